//! What may be written about calls and the nodes that they are made for: each effect once, in its place, and its
//! outcome never lost.

use std::collections::BTreeSet;

use crate::{
    artifact::{Agent, ArtifactKind, CallId, NodeId, Phase},
    facts::Role,
    flow::{NodeOutcome, Settled},
};

use super::{
    call::holds_back,
    considered,
    decide::{in_phase, need},
    event::{Body, CallAllowed, CallFinished, CallOutcome, CallVoid, NodeSettled, Retried},
    purpose::Purpose,
    refusal::Refusal,
    state::{Gate, State},
};

fn wrong<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Call(why.into()))
}

/// Nothing ends while a call is under way: its outcome could not be written any more.
pub(super) fn none_under_way(state: &State) -> Result<(), Refusal> {
    match state.first_under_way() {
        Some(id) => wrong(format!("{id} is still under way")),
        None => Ok(()),
    }
}

pub(super) fn allow(state: &State, allowed: Box<CallAllowed>) -> Result<Body, Refusal> {
    if allowed.call != state.next_call() {
        return wrong(format!("{} is not the next call's id", allowed.call));
    }
    in_phase(state, "a tool call", &[Phase::Feasibility, Phase::Design, Phase::Build, Phase::AsBuilt])?;
    need(state.gate_open(Gate::One), "gate 1")?;
    if let Some(asked) = state.asked_anew().filter(|_| !allowed.purpose.recovers()) {
        return wrong(format!("{} is asked anew, and nothing is begun until it is answered", asked.about));
    }
    let phases: &[Phase] = match allowed.agent {
        Agent::Requirements => return wrong("the requirements agent has no tools"),
        Agent::Design => &[Phase::Feasibility, Phase::Design],
        Agent::Verifier => &Phase::ALL,
        Agent::Build => &[Phase::Build],
    };
    in_phase(state, &format!("a call of the {} agent", allowed.agent), phases)?;
    if allowed.agent == Agent::Build {
        need(state.gate_open(Gate::Two), "gate 2")?;
    }
    if let Some((agent, phase)) = place(&allowed.purpose) {
        let what = allowed.purpose.words();
        in_phase(state, &what, &[phase])?;
        // A step that only reads may be the verifier's, where its tool is granted for discovery alone.
        let reads = matches!(allowed.purpose, Purpose::Act { .. }) && allowed.counts.is_none();
        if allowed.agent != agent && !(reads && allowed.agent == Agent::Verifier) {
            return wrong(format!("{what} is not for the {} agent", allowed.agent));
        }
    }
    if allowed.counts.is_some() || matches!(allowed.purpose, Purpose::Undo { .. }) {
        none_under_way(state)?;
    }
    asked_for(state, &allowed)?;
    effect(state, &allowed)?;
    considered::runs_as_accepted(state, &allowed)?;
    if allowed.approved && state.approved_calls.get(&allowed.digest).is_none_or(|left| *left == 0) {
        return wrong("no unused approval names exactly this call");
    }
    if let Some(reason) = state.rejected_calls.get(&allowed.digest) {
        return wrong(format!("a person rejected exactly this call: {reason}"));
    }
    Ok(Body::Allowed(allowed))
}

/// Whose each purpose is, and in which phase; a call that is proposed by hand has no place of its own.
fn place(purpose: &Purpose) -> Option<(Agent, Phase)> {
    Some(match purpose {
        Purpose::Discover { .. } => (Agent::Design, Phase::Feasibility),
        Purpose::Find { .. } | Purpose::Baseline { .. } | Purpose::CheckBefore { .. } => {
            (Agent::Verifier, Phase::Feasibility)
        }
        Purpose::Before { .. } => (Agent::Verifier, Phase::Design),
        Purpose::Act { .. } | Purpose::Undo { .. } => (Agent::Build, Phase::Build),
        Purpose::Recheck { .. }
        | Purpose::ReadBack { .. }
        | Purpose::Verify { .. }
        | Purpose::LookAgain { .. }
        | Purpose::BeforeUndo { .. }
        | Purpose::UndoCheck { .. } => (Agent::Verifier, Phase::Build),
        Purpose::Observe { .. } | Purpose::CheckAfter { .. } => (Agent::Verifier, Phase::AsBuilt),
        Purpose::Turn { .. } => (Agent::Design, Phase::Feasibility),
        Purpose::Proposed { .. } => return None,
    })
}

/// A call of a turn is one that the last turn asked for, reads, and is answered once.
fn asked_for(state: &State, allowed: &CallAllowed) -> Result<(), Refusal> {
    let Purpose::Turn { turn, call } = allowed.purpose else { return Ok(()) };
    if !state.talk.proposes(turn, call) {
        return wrong(format!("no turn of the agent asks for {}", allowed.purpose.words()));
    }
    if allowed.counts.is_some() {
        return wrong("what a model asks for only reads");
    }
    let known = state.call_for(&allowed.purpose).is_some_and(|(_, call)| {
        // What was held back may be asked again when that is put right.
        let refused = call.refused.is_some() && !call.rule.as_deref().is_some_and(holds_back);
        refused || matches!(call.outcome, Some(CallOutcome::Ok | CallOutcome::Error))
    });
    if known { wrong(format!("{} is answered already", allowed.purpose.words())) } else { Ok(()) }
}

/// A step acts once an attempt, on the flow, before it is settled; what it did is taken back once.
fn effect(state: &State, allowed: &CallAllowed) -> Result<(), Refusal> {
    match &allowed.purpose {
        Purpose::Act { node, attempt, r#try } => {
            if state.artifact(ArtifactKind::Flow).is_none() {
                return wrong("no flow is filed that the step could stand in");
            }
            if *attempt != state.attempt(node) {
                return wrong(format!("step {node} is in attempt {}, not {attempt}", state.attempt(node)));
            }
            if *r#try != 1 && allowed.counts.is_some() {
                return wrong(format!("step {node} changes something, and only a read is tried more than once"));
            }
            if state.nodes.contains_key(node) {
                return wrong(format!("step {node} is settled already"));
            }
        }
        Purpose::Undo { node } => {
            if !acted(state, node) || !state.nodes.get(node).is_some_and(can_be_taken_back) {
                return wrong(format!("step {node} left nothing that could be taken back"));
            }
            if state.undo_waits(node) {
                return wrong(format!("what step {node} left was changed since, and nobody said to take it back"));
            }
        }
        _ => return Ok(()),
    }
    match state.call_for(&allowed.purpose) {
        Some((_, call)) if call.refused.is_some() || call.outcome == Some(CallOutcome::NotSent) => Ok(()),
        Some((id, call)) if !state.reads_again(allowed, call) => {
            wrong(format!("{} ran already as {id}", allowed.purpose.words()))
        }
        _ => Ok(()),
    }
}

/// Whether a call of a node's own was let through in the attempt that it is in.
fn acted(state: &State, id: &NodeId) -> bool {
    state.acted.contains(&(id.clone(), state.attempt(id)))
}

/// Whether a step that is settled left something, and nothing was taken back yet.
pub(super) fn can_be_taken_back(settled: &Settled) -> bool {
    settled.changed && matches!(settled.outcome, NodeOutcome::Done | NodeOutcome::Failed | NodeOutcome::Unknown)
}

/// The build is not left while something that a step did, or that took it back, has not been looked at and said.
pub(super) fn all_settled(state: &State) -> Result<(), Refusal> {
    let open = state.served.keys().find_map(|purpose| {
        let (_, call) = state.call_for(purpose)?;
        let open = match purpose {
            Purpose::Act { node, .. } => !state.nodes.contains_key(node),
            Purpose::Undo { node } => state.nodes.get(node).is_some_and(can_be_taken_back),
            _ => false,
        };
        purpose.node().filter(|_| open && call.refused.is_none())
    });
    open.map_or(Ok(()), |node| wrong(format!("step {node} did something, and nobody has said what came of it")))
}

pub(super) fn finish(state: &State, finished: CallFinished) -> Result<Body, Refusal> {
    let id = &finished.call;
    let Some(call) = state.calls.get(id) else { return wrong(format!("there is no call {id}")) };
    let void = matches!(&call.purpose, Purpose::Act { node, attempt, .. } if *attempt < state.attempt(node));
    if !call.in_doubt() || void {
        return wrong(format!("{id} is over already"));
    }
    // A call that may have been sent would be made again if it were called not sent.
    if finished.outcome == CallOutcome::NotSent && call.outcome.is_some() {
        return wrong(format!("{id} may have been sent, so nobody can say that it was not"));
    }
    Ok(Body::Finished(finished))
}

pub(super) fn void(state: &State, void: CallVoid) -> Result<Body, Refusal> {
    in_phase(state, "another attempt", &[Phase::Build])?;
    let (node, attempt) = (void.node.clone(), state.attempt(&void.node));
    let unknown = |purpose: Purpose| {
        let call = state.calls.get(&void.call);
        call.is_some_and(|call| call.purpose == purpose && call.outcome == Some(CallOutcome::Unknown))
    };
    let shown = |reading: Purpose| {
        let read = state.calls.get(&void.shown_by);
        read.is_some_and(|call| call.purpose == reading && call.outcome == Some(CallOutcome::Ok))
    };
    let act = unknown(Purpose::Act { node: node.clone(), attempt, r#try: 1 })
        && shown(Purpose::ReadBack { node: node.clone(), attempt });
    // An undo belongs to the attempt that it takes back, which stays; only the one that stands may be made again.
    let undo = Purpose::Undo { node: node.clone() };
    let stands = state.call_for(&undo).is_some_and(|(id, _)| *id == void.call && void.shown_by > void.call)
        && state.nodes.get(&node).is_some_and(can_be_taken_back);
    let undo = stands && unknown(undo) && shown(Purpose::UndoCheck { node });
    if (act && void.attempt == attempt + 1) || (undo && void.attempt == attempt) {
        Ok(Body::Void(void))
    } else {
        wrong(format!("{} is not an unknown call that was read back", void.call))
    }
}

pub(super) fn settle(state: &State, settled: NodeSettled) -> Result<Body, Refusal> {
    in_phase(state, "a step's outcome", &[Phase::Build])?;
    need(state.gate_open(Gate::Two), "gate 2")?;
    let node = &settled.node;
    if state.artifact(ArtifactKind::Flow).is_none() {
        return wrong("no flow is filed that the step could stand in");
    }
    if settled.attempt != state.attempt(node) {
        return wrong(format!("step {node} is in attempt {}, not {}", state.attempt(node), settled.attempt));
    }
    let of_node = |id: &&CallId| state.calls.get(id).is_some_and(|call| call.purpose.node() == Some(node));
    if let Some(id) = state.under_way.iter().find(of_node) {
        return wrong(format!("{id} is still under way"));
    }
    let known = state.nodes.get(node);
    match settled.outcome {
        NodeOutcome::Undone | NodeOutcome::UndoFailed => {
            if !known.is_some_and(can_be_taken_back) {
                return wrong(format!("step {node} left nothing that could be taken back"));
            }
            let undo = state.call_for(&Purpose::Undo { node: node.clone() });
            let taken = undo.is_some_and(|(_, call)| call.refused.is_none());
            if settled.outcome == NodeOutcome::Undone && !taken && !state.seen_undone(node) {
                return wrong(format!("nothing has taken step {node} back"));
            }
        }
        _ if considered::puts_right(state, &settled) => {}
        _ if known.is_some() => return wrong(format!("step {node} is settled already")),
        NodeOutcome::Done | NodeOutcome::Unknown if !acted(state, node) => {
            return wrong(format!("step {node} made no call that this could have come of"));
        }
        _ if settled.changed && !acted(state, node) => {
            return wrong(format!("step {node} made no call that could have changed anything"));
        }
        _ => {}
    }
    Ok(Body::Settled(settled))
}

pub(super) fn retry(state: &State, retried: Retried, roles: &BTreeSet<Role>) -> Result<Body, Refusal> {
    if !roles.contains(&Role::Approver) && !roles.contains(&Role::Owner) {
        return Err(Refusal::NotInRole(Role::Approver));
    }
    if !state.redacted.is_empty() {
        return Err(Refusal::Redaction(format!(
            "what it read and did was redacted, so nothing of it can be tried again; start another with `countersign \
             request --from {} --text '…'`, or with `--blueprint` or `--spec`",
            state.id
        )));
    }
    let open = state.gate_open(Gate::One) && state.gate_open(Gate::Two);
    if !open || !matches!(state.phase, Phase::Build | Phase::AsBuilt) {
        return Err(Refusal::OutOfOrder { what: "trying steps again".into(), phase: state.phase });
    }
    // Trying again renews an approval that someone gave; it never stands for one.
    if let Some(call) = retried.calls.iter().find(|call| !state.agreed_to(call, state.last_at)) {
        return wrong(format!("nobody agreed to the call {}, so it cannot be approved again", call.short()));
    }
    if retried.nodes.is_empty() {
        return wrong("no step failed in a way that can be tried again");
    }
    if let Some((node, attempt)) = state.not_tried_again(&retried).next() {
        return wrong(format!("step {node} cannot be tried again in attempt {attempt}"));
    }
    // What it is asked about is answered first, as it must be answered; nothing is dropped by trying again.
    if state.closed.is_none() {
        return Err(Refusal::NotEnded(state.id.to_string()));
    }
    Ok(Body::Retried(retried))
}
