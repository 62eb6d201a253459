//! Lets `gates.cedar` answer an open question at trust stage 3, where it clearly says yes; everything else is left to
//! a person, with the reason.

use crate::{
    artifact::{ArtifactKind, AutomationFlow, Written},
    engagement::{About, Actor, Asked, Command, PolicyAnswer, Refusal, View, node_args},
    facts::{AUTONOMOUS, spec_facts, unproven_undos, with_flow},
    flow::brings_back,
    gate::proof_of_spec,
    ledger::{Journal, JournalError},
    policy::{Catalog, GateAction, GateAsked, GateFacts, GateRuling, Proven},
};

use super::{
    answer::{expiry, standing},
    driver::view,
    error::DriverError,
    workspace::Workspace,
};

/// What `gates.cedar` said to the open question.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ruled {
    /// It said yes, and that is on the chain; these are its reasons.
    Approved(Vec<String>),
    /// A person must answer, for this reason.
    Human(String),
    /// It is not asked about this, or not at this stage.
    NotAsked,
}

/// Asks `gates.cedar` the open question; a yes is written down with its rules and the facts that they were asked about.
pub(super) async fn rule(
    workspace: &Workspace,
    journal: &mut Journal,
    catalog: &Catalog,
) -> Result<Ruled, DriverError> {
    let Some(asked) = journal.state().asked.clone() else { return Ok(Ruled::NotAsked) };
    // Trust may have been taken back since the question was asked.
    if asked.stage < AUTONOMOUS || standing(workspace, journal, catalog).await?.stage < AUTONOMOUS {
        return Ok(Ruled::NotAsked);
    }
    if let Some(why) = not_shown_at_gate_2(&view(journal, catalog), catalog, &asked) {
        return Ok(Ruled::Human(why.into()));
    }
    let Some(facts) = gate_facts(&view(journal, catalog), catalog, &asked)? else { return Ok(Ruled::NotAsked) };
    let (rules, digest) = match catalog.policies.gate_ruling(&facts) {
        GateRuling::Approve { rules, facts } => (rules, facts),
        GateRuling::Human { why } => return Ok(Ruled::Human(why)),
    };
    let reasons = rules.iter().map(|rule| format!("{}: {}", rule.rule, rule.reason)).collect();
    let policy = PolicyAnswer { rules, facts: digest, policies: catalog.policies.digest() };
    let now = journal.now();
    let expires = Some(expiry(journal, catalog, now));
    let command = Command::Rule { about: asked.about, request: asked.request, policy, expires };
    match journal.act(now, Actor::Policy, command, &[Written::of(&facts)?]).await {
        Ok(()) => Ok(Ruled::Approved(reasons)),
        // What the core keeps for people is theirs, whatever the policy says.
        Err(JournalError::Refused(Refusal::WrongAnswer(why))) => Ok(Ruled::Human(why.into())),
        Err(error) => Err(error.into()),
    }
}

/// Why the facts, which are those of gate 2, do not tell what a step would do to the state that it found instead.
fn not_shown_at_gate_2(view: &View<'_>, catalog: &Catalog, asked: &Asked) -> Option<&'static str> {
    let About::Deviation { node } = &asked.about else { return None };
    if view.state.for_people_alone(node).is_some() {
        return None;
    }
    let found = &view.state.deviation_at(node)?.found;
    let node = view.documents.flow()?.node(node)?;
    let tool = catalog.toolbox.tool(&node.step.tool)?;
    if node.unchanged() {
        return Some("gate 2 showed no call there, and now there would be one");
    }
    // What has no undo is a fact of its own.
    let lost = tool.undo.is_some()
        && !brings_back(&catalog.toolbox, (tool, &node_args(view, node).ok()?), None, &found.actual);
    lost.then_some("nothing shows that taking it back brings back what is there now")
}

/// The facts of an open question; nothing for one that only people answer.
fn gate_facts(view: &View<'_>, catalog: &Catalog, asked: &Asked) -> Result<Option<GateFacts>, DriverError> {
    let (action, deviation) = match &asked.about {
        About::Deviation { node } if view.state.for_people_alone(node).is_some() => return Ok(None),
        About::Gate1 => (GateAction::ApproveSpec, ""),
        About::Gate2 => (GateAction::ApproveDesign, ""),
        About::Deviation { .. } => (GateAction::AcceptDeviation, "before-state"),
        About::Call { .. } | About::Failure { .. } | About::Unknown { .. } => return Ok(None),
    };
    let Some(spec) = view.documents.spec() else { return Ok(None) };
    let reach = spec_facts(spec, &catalog.toolbox, &catalog.inventory);
    let flow = match (action, view.documents.flow()) {
        (GateAction::ApproveSpec, _) => None,
        (_, Some(flow)) => Some(AutomationFlow::clone(flow)),
        (_, None) => Some(view.preview()?),
    };
    let facts = match &flow {
        None => reach,
        Some(flow) => with_flow(&reach, flow, &catalog.toolbox, &catalog.inventory),
    };
    let expanded = view.documents.expanded();
    let requester = match &view.state.requester {
        Actor::Person(identity) => identity.name.clone(),
        other => other.to_string(),
    };
    let from = GateAsked {
        action,
        stage: asked.stage,
        requester,
        blueprint: view.state.requested.blueprint.clone().unwrap_or_default(),
        as_blueprint: expanded.map(|expanded| expanded.spec) == view.state.artifact(ArtifactKind::Spec),
        steps: flow.as_ref().map_or(0, |flow| flow.nodes.len() as u64),
        unproven_undos: flow.as_ref().map_or(0, |flow| unproven_undos(flow, &catalog.toolbox)),
        proven: proof_of_spec(view, catalog).map_or(Proven::NotProven, |(_, report)| report.verdict()),
        deviation: deviation.to_owned(),
    };
    Ok(Some(GateFacts::of(from, spec, &facts, &catalog.inventory)))
}
