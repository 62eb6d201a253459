//! What a reader of the chain relies on where policy answered in a person's place: it may only answer what policy answers,
//! at stage 3, to what no person wrote or rejected, on the policies and the facts that the question was asked on; and where
//! `gates.cedar` lies beside the chain, its rules are asked again.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    artifact::ArtifactKind,
    engagement::{About, Actor, Answer, Answered, PolicyAnswer, State},
    facts::{AUTONOMOUS, unproven_undos},
    policy::{GateAction, GateAsked, GateFacts, GateRuling, Layer, ProofReport, Proven, gate_ruling},
};

use super::Papers;

/// Why policy was not to answer so.
pub(super) fn may_not(
    state: &State,
    answered: &Answered,
    policy: &PolicyAnswer,
    papers: &Papers<'_>,
) -> Option<String> {
    let about = &answered.about;
    let why = |why: &str| Some(format!("an answer about {about} by policy {why}"));
    let asked = state.asked.as_ref();
    let may = matches!(about, About::Gate1 | About::Gate2 | About::Deviation { .. });
    if !may || policy.rules.is_empty() || answered.answer != Answer::Approve || !answered.calls.is_empty() {
        return Some(format!("an answer about {about} by policy, which a person must give"));
    }
    if let About::Deviation { node } = about
        && let Some(because) = state.for_people_alone(node)
    {
        return why(&format!("though {because}"));
    }
    if matches!(about, About::Deviation { .. }) && answered.expires.is_none() {
        return why("that never ends");
    }
    let kind = if *about == About::Gate1 { ArtifactKind::Spec } else { ArtifactKind::Design };
    let drafted = state.artifacts.get(&kind).is_some_and(|filed| matches!(filed.author, Actor::Agent(_)));
    if !drafted || state.rejected_by_a_person(about) {
        return why("to what a person wrote or rejected");
    }
    if asked.is_some_and(|asked| !asked.void.is_empty()) {
        return why("to what is asked anew");
    }
    if asked.is_none_or(|asked| asked.stage < AUTONOMOUS) {
        return why("below trust stage 3");
    }
    if policy.rules.iter().any(|rule| rule.layer != Layer::Gate) {
        return why("by rules that are not about gates");
    }
    let request = papers.document(&answered.request)?;
    let says = |path: &str| request.pointer(path);
    if says("/decided_on/policies").is_some_and(|policies| *policies != json!(policy.policies)) {
        return why("on other policies than it was asked on");
    }
    // Facts that are missing or were changed are reported where documents are.
    let facts = papers.document(&policy.facts)?;
    let facts = match GateFacts::deserialize(facts.as_ref()) {
        Ok(facts) => facts,
        Err(error) => return why(&format!("on facts that cannot be read: {error}")),
    };
    let action = match about {
        About::Gate1 => GateAction::ApproveSpec,
        About::Gate2 => GateAction::ApproveDesign,
        _ => GateAction::AcceptDeviation,
    };
    let requester = match &state.requester {
        Actor::Person(identity) => identity.name.clone(),
        other => other.to_string(),
    };
    let stage = asked.map_or(0, |asked| asked.stage);
    let irreversible = says("/facts/irreversible").and_then(Value::as_array).map(|tools| json!(tools.len()));
    let otherwise = [
        (says("/facts/environments").cloned(), json!(facts.environments)),
        (says("/facts/simulated").cloned(), json!(facts.simulated)),
        (says("/facts/writes").cloned(), json!(facts.changes)),
        (says("/facts/destructive").cloned(), json!(facts.destructive)),
        (irreversible, json!(facts.irreversible)),
    ];
    let otherwise = otherwise.into_iter().any(|(asked, told)| asked.is_some_and(|asked| asked != told));
    let own = facts.action == action && facts.stage == stage && facts.requester == requester;
    let blueprint = state.requested.blueprint.as_deref().unwrap_or_default() == facts.blueprint;
    if !own || !blueprint || otherwise || computed_otherwise(state, answered, &facts, papers) {
        return why("on other facts than it was asked on");
    }
    ruled_otherwise(policy, &facts, papers).and_then(|said| why(&said))
}

/// Whether the facts are not those that follow from spec, targets and proof, where these are here.
fn computed_otherwise(state: &State, answered: &Answered, told: &GateFacts, papers: &Papers<'_>) -> bool {
    let spec = state.artifact(ArtifactKind::Spec).and_then(|spec| papers.spec(&spec));
    let Some((grounds, spec)) = papers.grounds(&answered.request).zip(spec) else { return false };
    let proven = match state.proved_of_spec().map(|proved| papers.document(&proved.report)) {
        None => Proven::NotProven,
        Some(report) => match report.and_then(|report| ProofReport::deserialize(report.as_ref()).ok()) {
            Some(report) => {
                let before = state.shown_before(ArtifactKind::Spec).map(|(_, digest)| digest);
                let same = grounds.decided_alike(&report.decided_on) && report.before == before;
                if same { report.verdict() } else { Proven::NotProven }
            }
            // A report that is missing or was changed is reported where documents are.
            None => told.proven,
        },
    };
    // A flow that was never filed as it was asked about is not here.
    let (steps, unproven_undos) = match (told.action, grounds.flow(papers)) {
        (GateAction::ApproveSpec, _) => (0, 0),
        // Without the definitions of all tools, what takes a change back may bring back less than is known here.
        (_, Some(flow)) => {
            let unproven = match papers.toolbox(&answered.request) {
                Some(toolbox) => unproven_undos(&flow, &toolbox),
                None => grounds.unproven_undos(&flow).max(told.unproven_undos),
            };
            (flow.nodes.len() as u64, unproven)
        }
        (_, None) => (told.steps, told.unproven_undos),
    };
    let asked = GateAsked {
        action: told.action,
        stage: told.stage,
        requester: told.requester.clone(),
        blueprint: told.blueprint.clone(),
        as_blueprint: told.as_blueprint,
        steps,
        unproven_undos,
        proven,
        deviation: told.deviation.clone(),
    };
    let mut is = GateFacts::of(asked, &spec, &grounds.facts, &grounds.inventory);
    // What may still be found counts with tags that only the whole inventory knows.
    if grounds.facts.may_find > 0 {
        is.tags.clone_from(&told.tags);
    }
    is != *told
}

/// What `gates.cedar` says to these facts, where that is not what it was taken to say; nothing where it is not here.
fn ruled_otherwise(policy: &PolicyAnswer, facts: &GateFacts, papers: &Papers<'_>) -> Option<String> {
    let texts = papers.document(&policy.policies)?;
    let text = texts.get("gates").and_then(Value::as_str);
    let ruling = gate_ruling(text.unwrap_or_default(), facts);
    match ruling {
        Err(why) => Some(format!("by a gates.cedar that cannot be read: {why}")),
        Ok(GateRuling::Human { why }) => Some(format!("which its gates.cedar leaves to a person: {why}")),
        Ok(GateRuling::Approve { rules, facts: digest }) => {
            (rules != policy.rules || digest != policy.facts).then(|| "by other rules than allow it".to_owned())
        }
    }
}
