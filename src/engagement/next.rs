//! What is to be done next in an engagement: one pure answer, so that a process that was killed goes on exactly
//! where its chain ends.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, ArtifactKind, CallId, Check, NodeId, Phase, RecordOutcome},
    flow::ExpandError,
};

use super::{
    build,
    event::{CallVoid, Closed, DeviationFound, NodeSettled},
    look,
    planned::Reads,
    purpose::Purpose,
    question::About,
    state::{Gate, GateState, State},
    view::View,
};

/// A call that someone wants made.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// On whose behalf.
    pub agent: Agent,
    /// Why.
    pub purpose: Purpose,
    /// The tool, as it was named.
    pub tool: String,
    /// The arguments, as they were given.
    pub args: Map<String, Value>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Draft this artifact.
    Draft(ArtifactKind),
    /// Begin this phase.
    Enter(Phase, Option<String>),
    /// Propose this call to the broker.
    Call(Proposal),
    /// A call was under way when the process ended: wait until it cannot still be running, then mark it unknown.
    Expire(CallId),
    /// Send an unknown call again under its own id, which the server answers from memory.
    Resend(CallId),
    /// Wait this many seconds before trying a read again.
    Pause(u32),
    /// Ask a person.
    Ask(About),
    /// Wait for the answer to the open question.
    Wait(About),
    /// Wait for the window to open.
    WaitUntil(Timestamp),
    /// Write down that an unknown call did not take effect, so that the step may begin another attempt.
    Void(CallVoid),
    /// Write down what became of a node.
    Settle(NodeSettled),
    /// Write down a deviation.
    Deviate(DeviationFound),
    /// Ask the build agent about this node, which failed.
    Consider(NodeId),
    /// Close the engagement.
    Close(Closed),
    /// It is over.
    Closed,
}

/// What is to be done next cannot be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NextError {
    /// A document is missing.
    #[error("the {0} is not there")]
    Missing(ArtifactKind),
    /// The design does not expand.
    #[error(transparent)]
    Expand(#[from] ExpandError),
}

/// What is to be done next at the time `now`.
pub fn next(view: &View<'_>, now: Timestamp) -> Result<Next, NextError> {
    let state = view.state;
    if state.closed.is_some() {
        return Ok(Next::Closed);
    }
    if let Some(id) = state.first_under_way() {
        return Ok(Next::Expire(id.clone()));
    }
    if let Some(reason) = &state.cancelled
        && state.phase < Phase::Build
    {
        return Ok(Next::Close(Closed { outcome: RecordOutcome::Cancelled, reason: reason.clone() }));
    }
    if let Some(reason) = view.stopped()
        && state.phase < Phase::Build
    {
        return Ok(Next::Close(Closed { outcome: RecordOutcome::Refused, reason }));
    }
    match state.phase {
        Phase::Requirements => Ok(requirements(view)),
        Phase::Feasibility => feasibility(view),
        Phase::Design => design(view),
        Phase::Build => build::next(view, now),
        Phase::AsBuilt => as_built(view),
    }
}

fn requirements(view: &View<'_>) -> Next {
    let state = view.state;
    match (state.artifact(ArtifactKind::Spec), &state.gate1) {
        (None, _) | (Some(_), GateState::Rejected { .. }) => Next::Draft(ArtifactKind::Spec),
        (Some(_), GateState::Open { .. }) => Next::Enter(Phase::Feasibility, None),
        // What was said after a version was filed is heard before anyone is asked about it.
        (Some(_), GateState::Closed) if state.talk.unheard() => Next::Draft(ArtifactKind::Spec),
        (Some(_), GateState::Closed) => ask_or_wait(state, About::Gate1),
    }
}

/// Wait where exactly this is asked already, else ask.
pub(super) fn ask_or_wait(state: &State, about: About) -> Next {
    match &state.asked {
        Some(asked) if asked.about == about => Next::Wait(about),
        _ => Next::Ask(about),
    }
}

fn feasibility(view: &View<'_>) -> Result<Next, NextError> {
    if let Some(report) = view.documents.discovery() {
        use crate::artifact::Verdict;
        return Ok(match report.verdict {
            Verdict::WithChanges if view.state.requested.model && view.redrafts_left() => {
                Next::Draft(ArtifactKind::Spec)
            }
            Verdict::NotFeasible | Verdict::WithChanges => Next::Enter(Phase::AsBuilt, Some(report.reasons())),
            Verdict::Feasible | Verdict::WithConstraints if nothing_to_do(view) => {
                Next::Enter(Phase::AsBuilt, Some("every acceptance check holds already".into()))
            }
            Verdict::Feasible | Verdict::WithConstraints => match view.documents.spec() {
                Some(spec) if spec.boundary.build.is_empty() => Next::Enter(
                    Phase::AsBuilt,
                    Some("gate 2 is not needed: the spec has no build grants, so nothing can be built".into()),
                ),
                _ => Next::Enter(Phase::Design, None),
            },
        });
    }
    if let Some(next) = view.find_reads().into_iter().find_map(|read| view.pending(read)) {
        return Ok(next);
    }
    for reads in [Reads::Discovery, Reads::ChecksBefore] {
        if let Some(next) = view.first_open(reads)? {
            return Ok(next);
        }
    }
    Ok(Next::Draft(ArtifactKind::Discovery))
}

/// Whether every check that the build should make true holds already.
fn nothing_to_do(view: &View<'_>) -> bool {
    let Some(spec) = view.documents.spec() else { return false };
    let falsifiable: Vec<&Check> = spec.acceptance.iter().filter(|check| !check.invariant).collect();
    !falsifiable.is_empty() && falsifiable.iter().all(|check| view.acceptance(check, true).holds == Some(true))
}

fn design(view: &View<'_>) -> Result<Next, NextError> {
    let state = view.state;
    match (state.artifact(ArtifactKind::Design), &state.gate2) {
        (None, _) | (Some(_), GateState::Rejected { .. }) => return Ok(Next::Draft(ArtifactKind::Design)),
        (Some(_), GateState::Open { .. }) => return Ok(Next::Enter(Phase::Build, None)),
        (Some(_), GateState::Closed) => {}
    }
    // Nothing more could be run for it, so nobody is asked to approve it. What was changed before stays to be recorded.
    if let Some(reason) = out_of_minutes(view).filter(|_| state.asked.is_none() && state.changed.is_empty()) {
        return Ok(Next::Close(Closed { outcome: RecordOutcome::GivenUp, reason }));
    }
    if let Some(next) = view.first_open(Reads::Before)? {
        return Ok(next);
    }
    // What does not come out as calls with what was read is said before anyone is asked about it.
    view.preview()?;
    Ok(ask_or_wait(state, About::Gate2))
}

/// That the minutes of the spec are over, where they are.
fn out_of_minutes(view: &View<'_>) -> Option<String> {
    let minutes = view.documents.spec()?.limits.minutes;
    (view.state.worked >= i64::from(minutes) * 60)
        .then(|| format!("the spec allows {minutes} minutes of running, and they are over before gate 2 was asked"))
}

fn as_built(view: &View<'_>) -> Result<Next, NextError> {
    let state = view.state;
    if state.gate_open(Gate::One) {
        if let Some(next) = view.first_open(Reads::ChecksAfter)? {
            return Ok(next);
        }
        if let Some(flow) = view.documents.flow() {
            let mut open = flow.nodes.iter().filter(|node| !view.is_over(&Purpose::Observe { node: node.id.clone() }));
            if let Some(read) = open.find_map(|node| look::observation(view, node)) {
                return Ok(Next::Call(read));
            }
        }
    }
    Ok(match view.documents.record() {
        None => Next::Draft(ArtifactKind::Record),
        Some(record) => Next::Close(Closed { outcome: record.outcome, reason: record.summary.clone() }),
    })
}
