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
    for proposal in view.find_reads().into_iter().chain(view.discovery_reads()?) {
        if let Some(next) = view.pending(proposal) {
            return Ok(next);
        }
    }
    if let Some(next) = checks_pending(view, true)? {
        return Ok(next);
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
    for node in &view.preview()?.nodes {
        if let Some(proposal) = view.before_read(node)
            && let Some(next) = view.pending(proposal)
        {
            return Ok(next);
        }
    }
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
        if let Some(next) = checks_pending(view, false)? {
            return Ok(next);
        }
        if let Some(flow) = view.documents.flow() {
            for node in &flow.nodes {
                if let Some(proposal) = look::observation(view, node)
                    && let Some(next) = view.pending(proposal)
                {
                    return Ok(next);
                }
            }
        }
    }
    Ok(match view.documents.record() {
        None => Next::Draft(ArtifactKind::Record),
        Some(record) => Next::Close(Closed { outcome: record.outcome, reason: record.summary.clone() }),
    })
}

fn checks_pending(view: &View<'_>, before: bool) -> Result<Option<Next>, NextError> {
    let spec = view.documents.spec().ok_or(NextError::Missing(ArtifactKind::Spec))?;
    for check in &spec.acceptance {
        for (at, _) in check.items().iter().enumerate() {
            if let Some(proposal) = view.check_read(check, at, before)
                && let Some(next) = view.pending(proposal)
            {
                return Ok(Some(next));
            }
        }
    }
    Ok(None)
}
