//! Whether an event could have been written after a state: what [`decide`] would say to the command that gives it. Whoever
//! reads a chain holds it to the rules that it was written by.

use super::{
    command::Command,
    decide::{answer_question, decide, starts_something},
    event::{Body, Event},
    refusal::Refusal,
    state::State,
};
use crate::facts::Role;

/// Why an event could not have been written after this state. Whose answer it is, and whether it is signed as it must be,
/// is not asked: that takes more than the chain.
///
/// # Errors
///
/// The refusal that the command would have had.
pub fn follows(state: &State, event: &Event) -> Result<(), Refusal> {
    let some = || [Role::Owner, Role::Approver, Role::Requester].into();
    let command = match event.body.clone() {
        Body::Requested(_) | Body::TrustSet(_) | Body::Redacted(_) => return Ok(()),
        Body::Entered { phase, reason } => Command::Enter { phase, reason },
        Body::Filed(filed) => {
            Command::File { artifact: filed.artifact, digest: filed.digest, made_from: filed.made_from }
        }
        Body::Turned(turned) => Command::Turn(turned),
        Body::Inquired(asked) => Command::Inquire(asked),
        Body::Said(said) => Command::Say { said, roles: some() },
        Body::Returned(returned) => Command::GiveBack(returned),
        Body::HolesFilled(filled) => Command::Fill(filled),
        Body::Considered(considered) => Command::Consider(considered),
        Body::Proved(proved) => Command::Prove(proved),
        Body::Asked(asked) => Command::Ask(asked),
        Body::Answered(answered) => {
            let (about, request, expires) = (answered.about.clone(), answered.request, answered.expires);
            if let Some(policy) = answered.policy {
                Command::Rule { about, request, policy, expires }
            } else {
                let (answer, reason, calls) =
                    (answered.answer.clone(), answered.reason.clone(), answered.calls.clone());
                let role = answered.role;
                let roles = [role].into();
                let command = Command::Answer { about, request, answer, roles, reason, calls, expires, signed: None };
                if let (Some(reason), true) = (&state.cancelled, starts_something(state, &command)) {
                    return Err(Refusal::Cancelled(reason.clone()));
                }
                return answer_question(state, answered, &[role].into()).map(|_| ());
            }
        }
        Body::Allowed(allowed) => Command::Allow(allowed),
        Body::Refused(refused) => Command::Refuse(refused),
        Body::Finished(finished) => Command::Finish(finished),
        Body::Void(void) => Command::Void(void),
        Body::Settled(settled) => Command::Settle(settled),
        Body::Deviated(found) => Command::Deviate(found),
        Body::Retried(retried) => Command::Retry { retried, roles: some() },
        Body::Cancelled { reason } => Command::Cancel { reason, roles: some() },
        Body::Closed(closed) => Command::Close(closed),
    };
    decide(state, command).map(|_| ())
}
