//! What may be written to an engagement's chain. Every event passes here; a state in which a promise would be
//! broken cannot be reached, whoever asks.

use std::collections::BTreeSet;

use crate::{
    artifact::{Agent, ArtifactKind, Digest, Phase, RecordOutcome},
    facts::Role,
};

use super::{
    event::{
        About, Answer, Answered, ArtifactFiled, Asked, Body, CallAllowed, CallFinished, CallOutcome, CallRefused,
        CallVoid, Closed, DeviationFound, NodeSettled, Purpose, Retried,
    },
    state::{Gate, State},
};

/// Something that someone wants to happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Begin a phase.
    Enter {
        /// The phase.
        phase: Phase,
        /// Why, where a phase is left out or gone back to.
        reason: Option<String>,
    },
    /// File a version of an artifact.
    File {
        /// Which.
        artifact: ArtifactKind,
        /// Its digest.
        digest: Digest,
        /// The digests of what it was made from.
        made_from: Vec<Digest>,
    },
    /// Ask a person.
    Ask(Asked),
    /// Answer, in these roles.
    Answer {
        /// What about.
        about: About,
        /// The approval request that the person saw.
        request: Digest,
        /// The answer.
        answer: Answer,
        /// The roles that the person has.
        roles: BTreeSet<Role>,
        /// Why; a rejection needs one.
        reason: Option<String>,
        /// The calls that are approved with it.
        calls: Vec<Digest>,
    },
    /// Write down that a call may run, before it does.
    Allow(Box<CallAllowed>),
    /// Write down that a call may not run.
    Refuse(Box<CallRefused>),
    /// Write down how a call ended.
    Finish(CallFinished),
    /// Write down that an unknown call did not take effect.
    Void(CallVoid),
    /// Write down what became of a node.
    Settle(NodeSettled),
    /// Write down a deviation.
    Deviate(DeviationFound),
    /// Try failed nodes again.
    Retry {
        /// The nodes and calls.
        retried: Retried,
        /// The roles that the person has.
        roles: BTreeSet<Role>,
    },
    /// End it.
    Cancel {
        /// Why.
        reason: String,
        /// The roles that the person has.
        roles: BTreeSet<Role>,
    },
    /// Close it.
    Close(Closed),
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over.
    #[error("the engagement is closed; start another with `countersign request --from {0}`")]
    Over(String),
    /// A person ended it; only what clears up may still happen.
    #[error("the engagement was cancelled: {0}")]
    Cancelled(String),
    /// A gate is closed.
    #[error("{0} is not open for the current version")]
    GateClosed(&'static str),
    /// Out of order.
    #[error("{what} does not belong in the {phase} phase")]
    OutOfOrder {
        /// What was wanted.
        what: String,
        /// The phase.
        phase: Phase,
    },
    /// It does not follow from what it must follow from.
    #[error("{0}")]
    NotMadeFrom(String),
    /// Nobody asked this.
    #[error("nothing is open to answer; look with `countersign show {0}`")]
    NothingAsked(String),
    /// The question changed.
    #[error("the question changed meanwhile; it is now about {now}; look again with `countersign show {id}`")]
    OtherQuestion {
        /// What is asked now.
        now: String,
        /// The engagement.
        id: String,
    },
    /// The person may not.
    #[error("this needs the role `{0}`; ask someone who has it, or have an owner add it in policies/people.yaml")]
    NotInRole(Role),
    /// A rejection without a reason.
    #[error("say why, with `--reason`: the drafter works from it")]
    NoReason,
    /// An answer of the wrong kind.
    #[error("that is not an answer to this question: {0}")]
    WrongAnswer(&'static str),
    /// The call or node is not in the state that this needs.
    #[error("{0}")]
    Call(String),
}

/// The events that a command gives, or why it is refused. The same command in the same state gives the same answer.
pub fn decide(state: &State, command: Command) -> Result<Body, Refusal> {
    if state.closed.is_some() && !matches!(command, Command::Retry { .. }) {
        return Err(Refusal::Over(state.id.to_string()));
    }
    if let (Some(reason), true) = (&state.cancelled, starts_something(&command)) {
        return Err(Refusal::Cancelled(reason.clone()));
    }
    match command {
        Command::Enter { phase, reason } => enter(state, phase, reason),
        Command::File { artifact, digest, made_from } => file(state, artifact, digest, made_from),
        Command::Ask(asked) => ask(state, asked),
        Command::Answer { about, request, answer, roles, reason, calls } => {
            let answered = Answered { about, request, answer, role: Role::Requester, reason, calls };
            answer_question(state, answered, &roles)
        }
        Command::Allow(allowed) => allow(state, allowed),
        Command::Refuse(refused) => {
            if refused.call == state.next_call() {
                Ok(Body::Refused(refused))
            } else {
                Err(Refusal::Call(format!("{} is not the next call's id", refused.call)))
            }
        }
        Command::Finish(finished) => finish(state, finished),
        Command::Void(void) => {
            in_phase(state, "another attempt", &[Phase::Build])?;
            let unknown = state.calls.get(&void.call).is_some_and(|call| call.outcome == Some(CallOutcome::Unknown));
            let shown = state.calls.get(&void.shown_by).is_some_and(|call| call.outcome == Some(CallOutcome::Ok));
            if unknown && shown && void.attempt == state.attempt(&void.node) + 1 {
                Ok(Body::Void(void))
            } else {
                Err(Refusal::Call(format!("{} is not an unknown call that was read back", void.call)))
            }
        }
        Command::Settle(settled) => {
            in_phase(state, "a step's outcome", &[Phase::Build])?;
            need(state.gate_open(Gate::Two), "gate 2")?;
            Ok(Body::Settled(settled))
        }
        Command::Deviate(found) => {
            in_phase(state, "a deviation", &[Phase::Build])?;
            Ok(Body::Deviated(found))
        }
        Command::Retry { retried, roles } => retry(state, retried, &roles),
        Command::Cancel { reason, roles } => {
            if reason.trim().is_empty() {
                return Err(Refusal::NoReason);
            }
            if roles.is_empty() {
                return Err(Refusal::NotInRole(Role::Requester));
            }
            Ok(Body::Cancelled { reason })
        }
        Command::Close(closed) => {
            let unrecorded = matches!(closed.outcome, RecordOutcome::Cancelled | RecordOutcome::Refused);
            if unrecorded || state.artifacts.contains_key(&ArtifactKind::Record) {
                Ok(Body::Closed(closed))
            } else {
                Err(Refusal::OutOfOrder { what: "closing without a record".into(), phase: state.phase })
            }
        }
    }
}

/// Whether a command would begin something new, which a cancelled engagement may not.
fn starts_something(command: &Command) -> bool {
    match command {
        Command::Allow(allowed) => !recovers(&allowed.purpose),
        Command::Enter { phase, .. } => *phase != Phase::AsBuilt,
        Command::File { artifact, .. } => *artifact != ArtifactKind::Record,
        Command::Ask(asked) => !matches!(asked.about, About::Unknown { .. }),
        Command::Answer { about, .. } => !matches!(about, About::Unknown { .. }),
        Command::Deviate(_) | Command::Cancel { .. } | Command::Retry { .. } => true,
        Command::Refuse(_) | Command::Finish(_) | Command::Void(_) | Command::Settle(_) | Command::Close(_) => false,
    }
}

/// Calls that look or take back, which go on after a window, a limit or a cancellation.
fn recovers(purpose: &Purpose) -> bool {
    matches!(
        purpose,
        Purpose::Undo { .. }
            | Purpose::UndoCheck { .. }
            | Purpose::ReadBack { .. }
            | Purpose::Verify { .. }
            | Purpose::Observe { .. }
            | Purpose::CheckAfter { .. }
            | Purpose::Act { .. }
            | Purpose::Recheck { .. }
    )
}

fn need(open: bool, gate: &'static str) -> Result<(), Refusal> {
    if open { Ok(()) } else { Err(Refusal::GateClosed(gate)) }
}

fn in_phase(state: &State, what: &str, phases: &[Phase]) -> Result<(), Refusal> {
    if phases.contains(&state.phase) {
        Ok(())
    } else {
        Err(Refusal::OutOfOrder { what: what.to_owned(), phase: state.phase })
    }
}

fn enter(state: &State, phase: Phase, reason: Option<String>) -> Result<Body, Refusal> {
    let out_of_order = || Refusal::OutOfOrder { what: format!("entering the {phase} phase"), phase: state.phase };
    match (state.phase, phase) {
        (Phase::Requirements, Phase::Feasibility) => need(state.gate_open(Gate::One), "gate 1")?,
        (Phase::Feasibility, Phase::Design) => {
            need(state.gate_open(Gate::One), "gate 1")?;
            if state.artifact(ArtifactKind::Discovery).is_none() {
                return Err(out_of_order());
            }
        }
        (Phase::Design, Phase::Build) => {
            need(state.gate_open(Gate::One), "gate 1")?;
            need(state.gate_open(Gate::Two), "gate 2")?;
        }
        // Leaving out design or build must be explained.
        (_, Phase::AsBuilt) if state.phase != Phase::AsBuilt && reason.is_some() => {}
        (Phase::Build, Phase::AsBuilt) => {}
        (Phase::AsBuilt, Phase::Build) => need(state.gate_open(Gate::One) && state.gate_open(Gate::Two), "gate 2")?,
        _ => return Err(out_of_order()),
    }
    Ok(Body::Entered { phase, reason })
}

fn file(state: &State, artifact: ArtifactKind, digest: Digest, made_from: Vec<Digest>) -> Result<Body, Refusal> {
    let what = format!("filing {artifact}");
    let from = |kind: ArtifactKind| {
        state.artifact(kind).filter(|digest| made_from.contains(digest)).map(|_| ()).ok_or_else(|| {
            Refusal::NotMadeFrom(format!("{artifact} does not name the current {kind} as what it was made from"))
        })
    };
    match artifact {
        ArtifactKind::Spec => {
            in_phase(state, &what, &[Phase::Requirements, Phase::Feasibility, Phase::Design])?;
            if !made_from.contains(&state.requested.request) {
                return Err(Refusal::NotMadeFrom("spec.yaml does not name the request that it was made from".into()));
            }
        }
        ArtifactKind::Discovery => {
            in_phase(state, &what, &[Phase::Feasibility])?;
            need(state.gate_open(Gate::One), "gate 1")?;
            from(ArtifactKind::Spec)?;
        }
        ArtifactKind::Design => {
            // A design that was approved may be filed again before it is built: that closes gate 2.
            in_phase(state, &what, &[Phase::Design])?;
            need(state.gate_open(Gate::One), "gate 1")?;
            from(ArtifactKind::Spec)?;
            from(ArtifactKind::Discovery)?;
        }
        ArtifactKind::Flow => {
            in_phase(state, &what, &[Phase::Build])?;
            need(state.gate_open(Gate::Two), "gate 2")?;
            from(ArtifactKind::Design)?;
        }
        ArtifactKind::Record => {
            in_phase(state, &what, &[Phase::AsBuilt])?;
            from(ArtifactKind::Spec)?;
        }
    }
    let version = state.versions.get(&artifact).copied().unwrap_or(0) + 1;
    Ok(Body::Filed(ArtifactFiled { artifact, version, digest, made_from }))
}

fn ask(state: &State, asked: Asked) -> Result<Body, Refusal> {
    let what = format!("asking about {}", asked.about);
    match &asked.about {
        About::Gate1 => {
            in_phase(state, &what, &[Phase::Requirements])?;
            if state.artifact(ArtifactKind::Spec).is_none() || state.gate_open(Gate::One) {
                return Err(Refusal::OutOfOrder { what, phase: state.phase });
            }
        }
        About::Gate2 => {
            in_phase(state, &what, &[Phase::Design])?;
            if state.artifact(ArtifactKind::Design).is_none() || state.gate_open(Gate::Two) {
                return Err(Refusal::OutOfOrder { what, phase: state.phase });
            }
        }
        About::Call { .. } | About::Deviation { .. } | About::Failure { .. } | About::Unknown { .. } => {
            in_phase(state, &what, &[Phase::Build])?;
        }
    }
    Ok(Body::Asked(asked))
}

fn answer_question(state: &State, mut answered: Answered, roles: &BTreeSet<Role>) -> Result<Body, Refusal> {
    let Some(asked) = &state.asked else { return Err(Refusal::NothingAsked(state.id.to_string())) };
    if asked.about != answered.about || asked.request != answered.request {
        return Err(Refusal::OtherQuestion { now: asked.about.to_string(), id: state.id.to_string() });
    }
    answered.role =
        roles.iter().copied().filter(|role| *role >= asked.role).max().ok_or(Refusal::NotInRole(asked.role))?;
    let fits = match (&answered.about, &answered.answer) {
        (
            About::Gate1 | About::Gate2 | About::Call { .. } | About::Deviation { .. },
            Answer::Approve | Answer::Reject,
        ) => Ok(()),
        (About::Failure { .. }, Answer::Choose(_)) | (About::Unknown { .. }, Answer::Applied(_)) => Ok(()),
        (About::Failure { .. }, _) => Err("choose what the failure means: stop, continue, undo_target or undo_all"),
        (About::Unknown { .. }, _) => Err("say whether the call took effect: applied or not-applied"),
        _ => Err("approve or reject"),
    };
    fits.map_err(Refusal::WrongAnswer)?;
    let explained = answered.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty());
    if answered.answer == Answer::Reject && !explained {
        return Err(Refusal::NoReason);
    }
    if answered.about != About::Gate2 && !answered.calls.is_empty() {
        return Err(Refusal::WrongAnswer("only gate 2 approves calls together"));
    }
    Ok(Body::Answered(answered))
}

fn allow(state: &State, allowed: Box<CallAllowed>) -> Result<Body, Refusal> {
    let wrong = |why: String| Err(Refusal::Call(why));
    if allowed.call != state.next_call() {
        return wrong(format!("{} is not the next call's id", allowed.call));
    }
    in_phase(state, "a tool call", &[Phase::Feasibility, Phase::Design, Phase::Build, Phase::AsBuilt])?;
    need(state.gate_open(Gate::One), "gate 1")?;
    match allowed.agent {
        Agent::Requirements => return wrong("the requirements agent has no tools".into()),
        Agent::Design | Agent::Verifier => {}
        Agent::Build => {
            in_phase(state, "a call of the build agent", &[Phase::Build])?;
            need(state.gate_open(Gate::Two), "gate 2")?;
        }
    }
    let effectful = matches!(allowed.purpose, Purpose::Act { .. } | Purpose::Undo { .. });
    if effectful
        && let Some((id, call)) = state.call_for(&allowed.purpose)
        && call.refused.is_none()
        && call.outcome != Some(CallOutcome::NotSent)
    {
        return wrong(format!("{} ran already as {id}", allowed.purpose.words()));
    }
    if allowed.approved && state.approved_calls.get(&allowed.digest).is_none_or(|left| *left == 0) {
        return wrong("no unused approval names exactly this call".into());
    }
    if let Some(reason) = state.rejected_calls.get(&allowed.digest) {
        return wrong(format!("a person rejected exactly this call: {reason}"));
    }
    Ok(Body::Allowed(allowed))
}

fn finish(state: &State, finished: CallFinished) -> Result<Body, Refusal> {
    match state.calls.get(&finished.call) {
        None => Err(Refusal::Call(format!("there is no call {}", finished.call))),
        Some(call) if call.in_doubt() => Ok(Body::Finished(finished)),
        Some(_) => Err(Refusal::Call(format!("{} is over already", finished.call))),
    }
}

fn retry(state: &State, retried: Retried, roles: &BTreeSet<Role>) -> Result<Body, Refusal> {
    if !roles.contains(&Role::Approver) && !roles.contains(&Role::Owner) {
        return Err(Refusal::NotInRole(Role::Approver));
    }
    let open = state.gate_open(Gate::One) && state.gate_open(Gate::Two);
    if !open || !matches!(state.phase, Phase::Build | Phase::AsBuilt) {
        return Err(Refusal::OutOfOrder { what: "trying steps again".into(), phase: state.phase });
    }
    if retried.nodes.is_empty() {
        return Err(Refusal::Call("no step failed in a way that can be tried again".into()));
    }
    Ok(Body::Retried(retried))
}
