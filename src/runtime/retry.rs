//! Steps that failed, tried again: which of them can be, and what is approved anew with that.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    artifact::{FlowNode, NodeId, StepResult, TargetOutcome},
    engagement::{Actor, Command, Gate, Retried, Seal, View},
    facts::Identity,
    flow::{Failures, NodeOutcome},
    ledger::Journal,
    tool::{Effect, Toolbox},
};

use super::{
    answer::{AnswerError, not_now},
    workspace::Workspace,
};

/// Has failed steps tried again, with what depends on them. Their approved calls are approved for one more use;
/// destructive ones ask again. The answer is what is tried again, and for how many calls a yes was renewed by that.
pub async fn retry(
    workspace: &Workspace,
    journal: &mut Journal,
    identity: Identity,
) -> Result<(Vec<NodeId>, usize), AnswerError> {
    let catalog = workspace.catalog_of(journal)?;
    let state = journal.state();
    let seal = Seal::of(state, journal.blobs());
    let mut nodes = BTreeMap::new();
    let mut calls = Vec::new();
    let mut again = Vec::new();
    let found = retryable(journal, journal.now());
    // Where duties are apart, whoever asked for it may try again, but renews no approval by that; nor does anybody
    // where approvals are signed or this one was, because a retry is not.
    let (own, now) = (state.barred.contains(&identity.name) || state.signed, Timestamp::now());
    if found.is_empty() {
        return Err(AnswerError::NothingToRetry(state.id.to_string()));
    }
    for (node, attempt) in found {
        nodes.insert(node.id.to_string(), attempt);
        again.push(node.id.clone());
        let writes = catalog.toolbox.tool(&node.step.tool).is_some_and(|tool| tool.effect == Effect::Write);
        if let (true, None, Some(args)) = (writes, &node.step.approval, node.known_args()) {
            let digest = seal.call_digest(&state.id, Some(&node.id), node.step.tool.as_str(), &args);
            let digest = digest.map_err(|error| AnswerError::Driver(error.to_string()))?;
            let used = state.approved_calls.get(&digest).is_none_or(|left| *left == 0);
            if used && !own && state.agreed_to(&digest, now) && !state.agreed_signed(&digest, now) {
                calls.push(digest);
            }
        }
    }
    let (roles, renewed) = (catalog.people.roles(&identity), calls.len());
    let command = Command::Retry { retried: Retried { nodes, calls }, roles };
    let id = journal.id().to_string();
    let done = journal.act(journal.now(), Actor::Person(identity), command, &[]).await;
    done.map_err(|error| not_now(error, &id))?;
    Ok((again, renewed))
}

/// The nodes that a retry would begin again, each with its attempt; none where a retry would be refused. A step is among
/// them only where what it needs is done or is tried again too, and no failure that stays keeps it from being run: else it
/// would only be left out. Where the spec lets
/// nothing more run, only what clears up is.
pub fn retryable(journal: &Journal, now: Timestamp) -> Vec<(&FlowNode, u32)> {
    let state = journal.state();
    let spent = spent(journal, now).is_some();
    let over = state.closed.is_none()
        || state.cancelled.is_some()
        || !state.gate_open(Gate::One)
        || !state.gate_open(Gate::Two);
    let nodes = journal.documents().flow().filter(|_| !over).into_iter().flat_map(|flow| &flow.nodes);
    let mut found: Vec<(&FlowNode, u32)> =
        nodes.filter_map(|node| Some((node, state.tried_again(&node.id)?))).collect();
    // Without the tools a read counts as a touch: then it is said when it is tried.
    let (blobs, toolbox) = (journal.blobs(), Toolbox::default());
    let view = View { state, documents: journal.documents(), blobs, toolbox: &toolbox };
    found.retain(|(node, _)| !spent || view.may_clear_up(node));
    let outcome = |node: &NodeId| state.nodes.get(node).map(|settled| settled.outcome);
    // What a step did and the last reading did not find any more is not there for others to build on.
    let record = journal.documents().record();
    let gone = |node: &NodeId| {
        let failed = |step: &StepResult| step.node == *node && step.outcome == TargetOutcome::Failed;
        record.is_some_and(|record| record.steps.iter().any(failed))
    };
    let done = |node: &NodeId| {
        matches!(outcome(node), Some(NodeOutcome::Done | NodeOutcome::Unchanged | NodeOutcome::Skipped)) && !gone(node)
    };
    let Some(flow) = journal.documents().flow() else { return Vec::new() };
    loop {
        let again: BTreeSet<&NodeId> = found.iter().map(|(node, _)| &node.id).collect();
        let all = found.len();
        let stays = state.nodes.iter().filter(|(node, _)| !again.contains(node));
        let stays = stays.map(|(node, settled)| (node.clone(), settled.clone())).collect();
        let failures = Failures::of(flow, &stays);
        found.retain(|(node, _)| {
            let needs = node.needs.iter().all(|needs| done(needs) || again.contains(needs));
            node.step.always || needs && !failures.bar(node)
        });
        if found.len() == all {
            return found;
        }
    }
}

/// Why the spec lets nothing more run that is not there to look, take back or clear up.
pub fn spent(journal: &Journal, now: Timestamp) -> Option<String> {
    let (state, spec) = (journal.state(), journal.documents().spec()?);
    if let Some((_, why)) = state.spent(&spec.limits) {
        return Some(why);
    }
    let ended = spec.window.filter(|window| now >= window.until)?;
    Some(format!("the window of the spec ended at {}", ended.until))
}
