//! The order in which the steps of a flow come: whose turn it was, what a failure means for the rest, and what a person
//! ended or refused. It is worked out as the program works it out, from the flow and what its steps came to.

use jiff::{SignedDuration, Timestamp};

use crate::{
    artifact::{ArtifactKind, AutomationFlow, CallId, FlowNode, NodeId, Phase},
    engagement::{Body, Call, Deviation, Event, Purpose, State, with_accepted},
    flow::{NextNode, NodeOutcome, next_node},
};

use super::Papers;

/// What may pass between a look at what was accepted and the call that it lets run.
const BETWEEN: SignedDuration = SignedDuration::from_secs(60);

/// What is wrong with what was done, taken back or left at an event.
pub(super) fn breaches(state: &State, event: &Event, papers: &Papers<'_>) -> Option<String> {
    match &event.body {
        Body::Allowed(allowed) => match &allowed.purpose {
            Purpose::Act { node, .. } => {
                // What was begun is finished, whatever came up meanwhile; what was wanted after a failure has its own order.
                let begun = state.acting.contains(node) || state.wanted_after(node).is_some();
                let turn = || out_of_turn(state, papers, |next| matches!(next, NextNode::Run(of) if of.id == *node));
                let why = if begun { None } else { turn() };
                let why = why.or_else(|| from_another_state(state, node, event.at, papers));
                why.map(|why| format!("{} allowed as step {node}, and {why}", allowed.call))
            }
            Purpose::Undo { node } => {
                let turn = |next: &NextNode<'_>| matches!(next, NextNode::Undo(of) if of.id == *node);
                let why = out_of_turn(state, papers, turn)?;
                Some(format!("{} allowed to take {node} back, and {why}", allowed.call))
            }
            _ => None,
        },
        Body::Settled(settled) if settled.outcome == NodeOutcome::NotRun => {
            left_out(state, &settled.node, event, papers)
        }
        Body::Entered { phase: Phase::AsBuilt, .. } if state.phase == Phase::Build => {
            let why = out_of_turn(state, papers, |next| matches!(next, NextNode::Finished))?;
            Some(format!("the build was left, and {why}"))
        }
        _ => None,
    }
}

/// What comes first, where it is not this.
fn out_of_turn(state: &State, papers: &Papers<'_>, is: impl Fn(&NextNode<'_>) -> bool) -> Option<String> {
    next(state, state.cancelled.as_deref(), papers, |next| (!is(next)).then(|| words(next)))?
}

fn next<T>(state: &State, halted: Option<&str>, papers: &Papers<'_>, of: impl FnOnce(&NextNode<'_>) -> T) -> Option<T> {
    // A flow that is missing or was changed is reported where it was filed.
    let flow = papers.flow(&state.artifact(ArtifactKind::Flow)?)?;
    let accepted: Option<AutomationFlow> =
        (state.accepted_after().next().is_some()).then(|| with_accepted(&flow, state));
    Some(of(&next_node(accepted.as_ref().unwrap_or(&flow), &state.nodes, halted)))
}

fn words(next: &NextNode<'_>) -> String {
    match next {
        NextNode::Run(node) => format!("step {} was to run", node.id),
        NextNode::Settle(node, _, reason) => format!("step {} was not to run: {reason}", node.id),
        NextNode::Undo(node) => format!("step {} was to be taken back", node.id),
        NextNode::Ask(node) => format!("nobody had said what the failure of {} means", node.id),
        NextNode::Finished => "every step was settled".to_owned(),
    }
}

/// A step is left out for what became of others, or where nothing new is begun.
fn left_out(state: &State, node: &NodeId, event: &Event, papers: &Papers<'_>) -> Option<String> {
    let ended = |at: Timestamp| {
        let spec = state.artifact(ArtifactKind::Spec).and_then(|spec| papers.spec(&spec));
        spec.is_none_or(|spec| {
            let outside = state.outside.saturating_sub(state.outside_seen);
            spec.window.is_some_and(|window| at >= window.until)
                || outside >= u64::from(spec.limits.attempts_outside.max(1))
        })
    };
    let halted = state.cancelled.clone().or_else(|| ended(event.at).then(String::new));
    let of_it = |of: &FlowNode| of.id == *node;
    // What was wanted after a failure is left out where that failure is over.
    let settled = |next: &NextNode<'_>| {
        matches!(next, NextNode::Settle(of, NodeOutcome::NotRun, _) if of_it(of)) || state.wanted_after(node).is_some()
    };
    let why = next(state, halted.as_deref(), papers, |next| (!settled(next)).then(|| words(next)))??;
    Some(format!("step {node} left out, and {why}"))
}

/// Why a step was not to run from the state that was read right before: it was another than the approved one, and nobody
/// said yes to that, or said so for a time that was over.
fn from_another_state(state: &State, node: &NodeId, at: Timestamp, papers: &Papers<'_>) -> Option<String> {
    let looked = Purpose::Recheck { node: node.clone(), attempt: state.attempt(node) };
    let (read, looked) = state.call_for(&looked)?;
    let answer = |call: &Call| papers.answer(state, call);
    // What was read once more and is the same is the same state.
    let same = |earlier: &CallId| {
        let earlier = state.calls.get(earlier).and_then(answer);
        earlier.is_some() && earlier == answer(looked)
    };
    let of_it = |known: &&Deviation| {
        let calls = &known.found.calls;
        known.found.because.is_none() && (calls.contains(read) || calls.last().is_some_and(same))
    };
    let known = state.deviation_before(node).filter(of_it)?;
    match (&known.accepted_by, known.accepted_until) {
        (None, _) => Some("its state was not the approved one, which nobody said yes to".into()),
        (_, Some(until)) if at.duration_since(until) > BETWEEN => {
            Some(format!("its state was not the approved one, and the yes to that ended at {until}"))
        }
        _ => None,
    }
}
