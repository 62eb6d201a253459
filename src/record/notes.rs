//! What a record says beside results: what nobody designed and who accepted it, what is left to look at, and how
//! far the reading was independent of the writing.

use std::collections::BTreeSet;

use crate::{
    artifact::{
        CallId, DeviationRecord, Digest, Filled, FilledHole, Independence, RequirementResult, RequirementStatus, Spec,
        TargetOutcome, TargetResult,
    },
    engagement::{About, Actor, Answer, Call, CallOutcome, GateState, Purpose, RefusedAs, View},
    facts::IdentityMeans,
    flow::NodeOutcome,
    tool::{Effect, Server},
};

use super::{
    outcome::in_words,
    step::{Left, Reconciled, number, targets},
};

/// Whether something is, or may be, not as it was before.
pub(super) fn something_changed(view: &View<'_>, steps: &[Reconciled<'_>]) -> bool {
    steps.iter().any(|step| step.left != Left::Nothing) || by_hand(view).any(|(_, call)| writes(view, call))
}

/// The calls that someone proposed by hand and that ran.
pub(super) fn by_hand<'a>(view: &View<'a>) -> impl Iterator<Item = (&'a CallId, &'a Call)> {
    let ran = |call: &Call| call.refused.is_none() && call.outcome != Some(CallOutcome::NotSent);
    view.state.calls.iter().filter(move |(_, call)| matches!(call.purpose, Purpose::Proposed { .. }) && ran(call))
}

fn writes(view: &View<'_>, call: &Call) -> bool {
    let tool = call.tool_name().and_then(|name| view.toolbox.tool(&name));
    tool.is_none_or(|tool| tool.effect != Effect::Read)
}

/// Whatever was found, built or run that the design does not say.
pub(super) fn deviations(view: &View<'_>, steps: &[Reconciled<'_>]) -> Vec<DeviationRecord> {
    let found = view.state.deviations.iter().map(|deviation| {
        let found = &deviation.found;
        let rejected = deviation.rejected.as_ref().map_or_else(String::new, |why| format!("; rejected: {why}"));
        let because = found.because.as_ref().map_or_else(String::new, |why| format!(", because: {why}"));
        DeviationRecord {
            what: match found.maybe_of_others() {
                true => format!("`{}`: {}: {}{rejected}", found.node, found.what, in_words(&found.actual)),
                false => format!(
                    "`{}`: {}: {} instead of {}{because}{rejected}",
                    found.node,
                    found.what,
                    in_words(&found.actual),
                    in_words(&found.contract)
                ),
            },
            calls: found.calls.clone(),
            accepted_by: deviation.accepted_by.as_ref().map(ToString::to_string),
        }
    });
    let mut made: Vec<_> = by_hand(view).collect();
    made.sort_by_key(|(id, _)| number(id));
    let made = made.into_iter().map(|(id, call)| {
        let tool = call.tool_name().and_then(|name| view.toolbox.tool(&name));
        let said = tool.zip(call.args.read(view.blobs)).map(|(tool, args)| tool.sentence_for(args));
        let said = said.unwrap_or_else(|| call.tool.clone());
        DeviationRecord {
            what: format!("called by hand: {said}"),
            calls: vec![id.clone()],
            accepted_by: call.digest.and_then(|digest| approver(view, digest)),
        }
    });
    let differing = steps.iter().filter(|step| step.differs).map(|step| {
        let shown = |value: &Option<serde_json::Value>| match value {
            None => "something that could not be computed".to_owned(),
            Some(value) => in_words(value),
        };
        let purpose = Purpose::Observe { node: step.node.id.clone() };
        let undone = step.result.outcome == TargetOutcome::Undone
            || view.state.nodes.get(&step.node.id).is_some_and(|settled| settled.outcome == NodeOutcome::Undone);
        let expected = if undone { &step.result.before } else { &step.result.designed };
        DeviationRecord {
            what: format!(
                "`{}`: at the end {} is there instead of {}",
                step.node.id,
                shown(&step.result.observed),
                shown(expected)
            ),
            calls: view.state.call_for(&purpose).map(|(id, _)| id.clone()).into_iter().collect(),
            accepted_by: None,
        }
    });
    found.chain(made).chain(differing).collect()
}

/// What fills the holes of the flow that was built.
pub(super) fn filled(view: &View<'_>) -> Vec<FilledHole> {
    let Some(flow) = view.documents.flow() else { return Vec::new() };
    let filled =
        flow.holes().into_iter().filter_map(|((step, argument), hole)| Some((step, argument, hole.filled.clone()?)));
    filled.map(|(step, argument, Filled { value, because })| FilledHole { step, argument, value, because }).collect()
}

/// Who approved exactly this call.
pub(super) fn approver(view: &View<'_>, digest: Digest) -> Option<String> {
    let names = |about: &About, calls: &[Digest]| match about {
        About::Call { call, .. } => *call == digest,
        _ => calls.contains(&digest),
    };
    let mut answers = view.state.answers.iter().rev();
    answers
        .find(|(_, _, answered)| answered.answer == Answer::Approve && names(&answered.about, &answered.calls))
        .map(|(actor, ..)| actor.to_string())
}

/// What is left to look at, in sentences.
pub(super) fn residual(
    view: &View<'_>,
    spec: &Spec,
    steps: &[Reconciled<'_>],
    requirements: &[RequirementResult],
) -> Vec<String> {
    let mut left = Vec::new();
    for requirement in requirements {
        let mixed = requirement.status == RequirementStatus::NotShown;
        for (before, after) in requirement.before.iter().zip(&requirement.after) {
            let check = spec.acceptance.iter().find(|check| check.id == before.check);
            let Some(check) = check.filter(|check| !check.invariant) else { continue };
            if mixed && before.holds == Some(true) && after.holds == Some(true) && view.documents.flow().is_some() {
                let id = &check.id;
                left.push(format!(
                    "{}: check {id} held before the build, so it proves nothing about the build",
                    requirement.id
                ));
            }
        }
        for reading in requirement.before.iter().chain(&requirement.after).filter(|reading| reading.holds.is_none()) {
            let why = reading.seen.as_deref().unwrap_or("it was not read");
            left.push(format!("{}: check {} could not be read: {why}", requirement.id, reading.check));
        }
    }
    left.extend(lost_since(view, spec, steps));
    left.extend(in_part(steps));
    left.extend(steps.iter().filter_map(|step| attempts(view, step)));
    for step in steps {
        let why = step.result.reason.as_deref().unwrap_or("no reason is known");
        match step.result.outcome {
            TargetOutcome::Done if reported_an_error(view, step) => left.push(format!(
                "`{}` is done by what was read, and its call reported an error: what is there may be what others made",
                step.node.id
            )),
            TargetOutcome::Unknown => {
                left.push(format!("`{}` is unknown: {why}; look at {}", step.node.id, where_to(step)));
            }
            TargetOutcome::Unreachable => {
                left.push(format!("`{}` is out of reach: {why}; look at {}", step.node.id, where_to(step)));
            }
            TargetOutcome::Failed if step.left == Left::Something => {
                left.push(format!("`{}` left a change behind: {why}; look at {}", step.node.id, where_to(step)));
            }
            TargetOutcome::Failed if step.left == Left::Perhaps => {
                left.push(format!(
                    "`{}` may have left a change behind: {why}; look at {}",
                    step.node.id,
                    where_to(step)
                ));
            }
            _ => {}
        }
    }
    let blind: BTreeSet<&str> = steps
        .iter()
        .filter(|step| step.wrote && step.node.step.verify.is_none())
        .filter_map(|step| step.tool.filter(|tool| tool.state.is_none()))
        .map(|tool| tool.name.as_str())
        .collect();
    left.extend(blind.iter().map(|tool| format!("what `{tool}` did could not be read back: it has no state to read")));
    if let Some(reason) = view.stopped() {
        left.push(format!("the engagement was stopped: {reason}"));
    }
    let denied = view.state.calls.values().filter(|call| matches!(call.refused, Some((RefusedAs::Denied, _)))).count();
    let outside = view.state.outside;
    for (n, what) in [(outside, "outside the boundary"), (denied as u64 - outside.min(denied as u64), "against a rule")]
    {
        let calls = if n == 1 { "call was" } else { "calls were" };
        if n > 0 {
            left.push(format!("{n} {calls} {what}: refused, and nothing was sent"));
        }
    }
    let missed: Vec<String> = view.state.uncompared().map(|(node, id, _)| format!("`{node}` ({id})")).collect();
    if let Some(from) = view.state.requested.from.as_ref().filter(|_| !missed.is_empty()) {
        left.push(format!("what {from} left could not be compared with what is there at {}", missed.join(", ")));
    }
    if means(view, IdentityMeans::Asserted) {
        let some = if means(view, IdentityMeans::Signed) { "some approvals" } else { "approvals" };
        left.push(format!("{some} are asserted: a name and an operating-system user, not a signature"));
    }
    let by_policy = |gate: &GateState| matches!(gate, GateState::Open { by: Actor::Policy, .. });
    match (by_policy(&view.state.gate1), by_policy(&view.state.gate2)) {
        (true, true) => left.push("no person opened a gate: policy answered both".into()),
        (true, false) => left.push("policy answered gate 1, and no person".into()),
        (false, true) => left.push("policy answered gate 2, and no person".into()),
        (false, false) => {}
    }
    let known = view.toolbox.tools().next().is_some();
    let used =
        view.state.calls.values().filter(|_| known).filter(|call| call.refused.is_none()).filter_map(Call::tool_name);
    let mut families = used.filter_map(|name| view.toolbox.manifest_of(&name)).peekable();
    if families.peek().is_some() && families.any(|manifest| manifest.simulated) {
        left.push("the environment is simulated: nothing outside the simulation was touched".into());
    }
    let mut said = BTreeSet::new();
    left.retain(|note| said.insert(note.clone()));
    left
}

/// The targets that are not as they were to be, where a step was done that stays.
fn in_part(steps: &[Reconciled<'_>]) -> impl Iterator<Item = String> {
    let short = |target: &TargetResult| !matches!(target.outcome, TargetOutcome::Done | TargetOutcome::Unchanged);
    targets(steps).into_iter().filter(short).filter_map(|TargetResult { target, .. }| {
        let stays = |step: &&Reconciled<'_>| {
            step.target.as_ref() == Some(&target)
                && step.left == Left::Something
                && step.result.outcome == TargetOutcome::Done
        };
        let stays: Vec<String> = steps.iter().filter(stays).map(|step| format!("`{}`", step.node.id)).collect();
        (!stays.is_empty()).then(|| format!("{target} is changed in part: what {} did stays", stays.join(", ")))
    })
}

/// Whether the last call of a step reported an error.
fn reported_an_error(view: &View<'_>, step: &Reconciled<'_>) -> bool {
    view.act_of(&step.node.id).is_some_and(|(_, call)| call.outcome == Some(CallOutcome::Error))
}

/// That a step took several attempts, and what its calls came to before the last one.
fn attempts(view: &View<'_>, step: &Reconciled<'_>) -> Option<String> {
    let (node, last) = (&step.node.id, view.state.attempt(&step.node.id));
    if last < 2 {
        return None;
    }
    let earlier = |(id, call): (&CallId, &Call)| match &call.purpose {
        Purpose::Act { node: of, attempt, .. } if of == node && *attempt < last => {
            let came = match (&call.refused, call.outcome) {
                (Some((RefusedAs::NeedsApproval(_), _)), _) => "waited for an approval",
                (Some(_), _) => "was refused",
                (None, Some(CallOutcome::Ok)) => "was answered",
                (None, Some(CallOutcome::Error)) => "failed",
                (None, Some(CallOutcome::NotSent)) => "was not sent",
                (None, Some(CallOutcome::Unknown) | None) => "got no answer",
            };
            Some((number(id), format!("{id} {came}")))
        }
        _ => None,
    };
    let mut earlier: Vec<_> = view.state.calls.iter().filter_map(earlier).collect();
    earlier.sort();
    let before: Vec<String> = earlier.into_iter().map(|(_, said)| said).collect();
    let before = if before.is_empty() { String::new() } else { format!(": before the last one {}", before.join(", ")) };
    Some(format!("`{node}` took {last} attempts{before}"))
}

/// Checks that held when they were read, of steps whose change was gone when it was looked at last.
fn lost_since(view: &View<'_>, spec: &Spec, steps: &[Reconciled<'_>]) -> Vec<String> {
    let Some(design) = view.documents.design().filter(|_| steps.iter().any(|step| step.differs)) else {
        return Vec::new();
    };
    let mut left = Vec::new();
    for check in spec.acceptance.iter().filter(|check| view.acceptance(check, false).holds == Some(true)) {
        let made_by = design.acceptance.get(&check.id);
        let lost = |step: &&Reconciled<'_>| {
            step.differs && made_by.is_some_and(|made_by| made_by.contains(&step.node.step.id))
        };
        left.extend(steps.iter().filter(lost).map(|step| {
            let id = &check.id;
            format!("check {id} held when it was read, but what `{}` left was not there afterwards", step.node.id)
        }));
    }
    left
}

fn where_to(step: &Reconciled<'_>) -> String {
    step.target.clone().unwrap_or_else(|| "its target".into())
}

/// Whether a person who is known so gave an answer that let something go on; a no needs nobody's signature.
fn means(view: &View<'_>, means: IdentityMeans) -> bool {
    let named = |actor: &Actor| matches!(actor, Actor::Person(identity) if identity.means == means);
    let gates = [&view.state.gate1, &view.state.gate2];
    gates.iter().any(|gate| matches!(gate, GateState::Open { by, .. } if named(by)))
        || view.state.answers.iter().any(|(actor, _, said)| named(actor) && said.answer != Answer::Reject)
}

/// Whether what was written was read back through another server than it was written with, whatever families they serve.
pub(super) fn independence(view: &View<'_>, steps: &[Reconciled<'_>]) -> Independence {
    let server = |tool: &str| {
        let name: crate::artifact::ToolName = tool.parse().ok()?;
        view.toolbox.manifest_of(&name).map(|manifest| &manifest.server)
    };
    let mut wrote: Vec<&Server> =
        steps.iter().filter(|step| step.wrote).filter_map(|step| server(step.node.step.tool.as_str())).collect();
    wrote.dedup();
    let mut read = looked(view).filter_map(|call| server(&call.tool)).peekable();
    match (wrote.is_empty() || read.peek().is_none(), read.any(|read| wrote.contains(&read))) {
        (true, _) => Independence::None,
        (false, true) => Independence::SameServer,
        (false, false) => Independence::Independent,
    }
}

/// The calls that looked at what was written, and were answered.
pub(super) fn looked<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Call> {
    let verifies = |purpose: &Purpose| {
        matches!(
            purpose,
            Purpose::ReadBack { .. }
                | Purpose::Verify { .. }
                | Purpose::LookAgain { .. }
                | Purpose::Observe { .. }
                | Purpose::CheckAfter { .. }
        )
    };
    let state = view.state;
    let served = state.served.iter().filter(move |(purpose, _)| verifies(purpose));
    served.filter_map(|(_, id)| state.calls.get(id)).filter(|call| call.outcome == Some(CallOutcome::Ok))
}
