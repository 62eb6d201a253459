//! Which stored events the program goes on with. Whoever can write the file can append events whose hashes hold, and has
//! nobody's key: an answer that opens something is taken only where `verify` would take it too, before it is folded.
//! What nobody signs, and nobody has to, costs nothing here.

use std::{cell::RefCell, sync::Arc};

use serde_json::Value;

use crate::{
    artifact::Digest,
    engagement::{Actor, Body, Event, State},
    facts::IdentityMeans,
    ledger::{error::LedgerError, store::Store, verify::breaches},
};

/// Whether an event that is to follow in this state says something that only a person may have said, and so must be
/// shown to be said by them.
fn speaks_for_someone(state: &State, event: &Event) -> bool {
    let signed = matches!(&event.actor, Actor::Person(who) if who.means == IdentityMeans::Signed);
    signed
        || match &event.body {
            Body::Answered(_) => true,
            Body::Redacted(redacted) => state.signed || redacted.signature.is_some(),
            Body::Retried(retried) => !retried.calls.is_empty(),
            _ => false,
        }
}

/// Checks an event that is to follow in this state, as far as it speaks for someone.
///
/// # Errors
///
/// [`LedgerError::Unbelieved`] if nobody shows to have said so; whatever the store gives.
pub(super) fn believed(store: &dyn Store, state: &State, event: &Event) -> Result<(), LedgerError> {
    if let (Body::Asked(asked), Some(before)) = (&event.body, &state.asked_in)
        && let Some(once) = asked.once.as_ref().filter(|once| once.ledger != *before)
    {
        let reason = format!("it was asked in the ledger {}, and what was asked before in {before}", once.ledger);
        return Err(LedgerError::Unbelieved { engagement: state.id.clone(), seq: event.seq, reason });
    }
    if !speaks_for_someone(state, event) {
        return Ok(());
    }
    let unread = RefCell::new(None);
    let document = |digest: &Digest| -> Option<Arc<Value>> {
        match store.fetch(*digest) {
            Ok(bytes) => serde_json::from_slice(&bytes?).ok().map(Arc::new),
            Err(error) => {
                unread.borrow_mut().get_or_insert(error);
                None
            }
        }
    };
    let mut wrong = breaches(state, event, &document, None);
    wrong.extend(by_nobody(event));
    wrong.extend(renewed(state, event));
    // A key that signs no more has not signed before what was written since.
    wrong.extend((event.at < state.last_at).then(|| "it is earlier than the event before it".to_owned()));
    if let Some(error) = unread.into_inner().filter(|error| !matches!(error, LedgerError::Corrupt { .. })) {
        return Err(error);
    }
    match wrong.into_iter().next() {
        None => Ok(()),
        Some(reason) => Err(LedgerError::Unbelieved { engagement: state.id.clone(), seq: event.seq, reason }),
    }
}

/// Why an answer is none, whatever it says: only people and policy answer.
fn by_nobody(event: &Event) -> Option<String> {
    let Body::Answered(answered) = &event.body else { return None };
    let answers = match &event.actor {
        Actor::Person(_) => answered.policy.is_none(),
        Actor::Policy => answered.policy.is_some(),
        Actor::Program | Actor::Agent(_) => false,
    };
    (!answers).then(|| format!("an answer about {} by {}, who gave none", answered.about, event.actor))
}

/// Why approvals that are renewed on a name alone are not what [`crate::engagement::decide_for`] lets renew.
fn renewed(state: &State, event: &Event) -> Option<String> {
    let Body::Retried(retried) = &event.body else { return None };
    let never = |call: &Digest| !state.agreed_to(call, state.last_at);
    let signed = |call: &Digest| state.signed || state.agreed_signed(call, state.last_at);
    if retried.calls.iter().any(never) {
        return Some("an approval is renewed that nobody gave".into());
    }
    retried
        .calls
        .iter()
        .any(signed)
        .then(|| "an approval is renewed on a name alone, where it needs a signature".into())
}
