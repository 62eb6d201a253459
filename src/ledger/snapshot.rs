//! Snapshots: what a chain had folded into at one of its events, kept so that whoever goes on with an engagement folds
//! what came since and not all that there ever was. A snapshot is a cache: it is signed with the ledger's own key, is taken
//! for what it says only by the program that folds as its writer did, and only where the chain still has its event. What people
//! said, and what it was said of, rests on the chain all the same: a snapshot names the events that say so, and they are
//! read and folded by themselves. Any doubt, and the chain is folded from its beginning. What verifies reads none. Pure.
//!
//! Whoever has the ledger's key can still make a snapshot that lies about the rest: what calls came to, which steps are
//! settled, what was counted and how long it took; and one that leaves out events, so that what somebody once said yes to
//! counts after it was taken back or used up. It opens no gate and approves no call that nobody ever said yes to.

use serde::{Deserialize, Serialize};

use crate::{
    artifact::{Digest, LedgerId, digest_bytes},
    engagement::{Body, Event, State},
};

use super::{chain, keys::origin};

/// How the state is folded and written. A number higher for every change of [`State`] or of what events do to it, which a
/// test reminds of.
const FORM: &str = concat!(env!("CARGO_PKG_VERSION"), "-7");

/// How many events are folded again at most while a chain is short.
const OFTEN: u64 = 128;
/// Of a long chain, one part in so many: what snapshots cost then stays in proportion to what is written anyway.
const PART: u64 = 16;

#[derive(Serialize)]
struct Written<'a> {
    form: &'static str,
    state: &'a State,
    said: &'a [u64],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    form: String,
    state: State,
    said: Vec<u64>,
}

/// Whether it is time for another one, when the last was of this event (0 for none).
pub(super) fn is_due(seq: u64, last: u64) -> bool {
    seq.saturating_sub(last) >= OFTEN.max(seq / PART)
}

/// The bytes of a snapshot, with the places of all events before it that [`says`] is true of; nothing where a state cannot
/// be written.
pub(super) fn write(state: &State, said: &[u64]) -> Option<Vec<u8>> {
    serde_json::to_vec(&Written { form: FORM, state, said }).ok()
}

/// The state in a snapshot, where this program would have folded the same, and those places.
pub(super) fn read(bytes: &[u8]) -> Option<(State, Vec<u64>)> {
    let Read { form, state, said } = serde_json::from_slice(bytes).ok()?;
    (form == FORM).then_some((state, said))
}

/// Whether an event is one of those from which what people said follows: what they answered, what that was about, and what
/// took it back. Calls, which most events are of, use approvals up and give none.
pub(super) fn says(event: &Event) -> bool {
    match &event.body {
        Body::Requested(_)
        | Body::Entered { .. }
        | Body::Filed(_)
        | Body::HolesFilled(_)
        | Body::Considered(_)
        | Body::Asked(_)
        | Body::Answered(_)
        | Body::Void(_)
        | Body::Deviated(_)
        | Body::Retried(_)
        | Body::Cancelled { .. }
        | Body::Redacted(_)
        | Body::Closed(_) => true,
        Body::Turned(_)
        | Body::Inquired(_)
        | Body::Said(_)
        | Body::Returned(_)
        | Body::Proved(_)
        | Body::Allowed(_)
        | Body::Refused(_)
        | Body::Finished(_)
        | Body::Settled(_)
        | Body::TrustSet(_) => false,
    }
}

/// Whether a state has just the answers, and all that follows from them, that the events which say so fold into.
pub(super) fn rests_on(state: &State, said: &State) -> bool {
    let begun = |of: &State| (of.id.clone(), of.requested.clone(), of.requester.clone(), of.opened_at);
    let filed = |of: &State| (of.artifacts.clone(), of.versions.clone(), of.filed.clone(), of.authors.clone());
    let opened = |of: &State| (of.phase, of.gate1.clone(), of.gate2.clone(), of.answers.clone());
    let approved = |of: &State| (of.approved_roles.clone(), of.approved_until.clone(), of.rejected_calls.clone());
    let given = |(call, left): (&Digest, &u32)| said.approved_calls.get(call).is_some_and(|given| left <= given);
    let agreed = |of: &State| (of.deviations.clone(), of.considered.clone(), of.filling.clone());
    let looked = |of: &State| (of.applied.clone(), of.taken_back.clone());
    let ended = |of: &State| (of.cancelled.clone(), of.refused_anew, of.closed.clone(), of.redacted.clone());
    let asks = |of: &State| (of.signed, of.asked_in.clone(), of.barred.clone(), of.shown.clone(), of.attempts.clone());
    // A step that was settled closes its question, and steps are not among what was said.
    let open = state.asked.is_none() || state.asked == said.asked;
    open && begun(state) == begun(said)
        && filed(state) == filed(said)
        && opened(state) == opened(said)
        && approved(state) == approved(said)
        && state.approved_calls.iter().all(given)
        && agreed(state) == agreed(said)
        && looked(state) == looked(said)
        && ended(state) == ended(said)
        && asks(state) == asks(said)
}

/// Whether the stored bytes of an event are those of the last one that was folded into this state. Its hash names its
/// place and its engagement too.
pub(super) fn is_of(state: &State, bytes: &[u8]) -> bool {
    chain::read(bytes).is_ok_and(|event| event.hash == state.head)
}

/// What the ledger's key signs of a snapshot: no checkpoint and no statement of a key begins so.
pub(super) fn statement(ledger: &LedgerId, bytes: &[u8]) -> String {
    let digest: Digest = digest_bytes(bytes);
    format!("{}/snapshot\n{digest}\n", origin(ledger))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::Story;

    fn folded(story: &Story, events: usize) -> State {
        let bytes = story.bytes();
        let mut events = bytes.iter().take(events).map(|bytes| chain::read(bytes).unwrap());
        let mut state = State::begin(&events.next().unwrap()).unwrap();
        events.for_each(|event| state.apply(&event));
        state
    }

    #[test]
    fn a_snapshot_goes_with_the_event_that_it_was_made_at_and_with_no_other() {
        let (story, mut other) = (Story::whole("k7m2q"), Story::whole("k7m2q"));
        other.events[1].0 += jiff::SignedDuration::from_secs(1);
        let (bytes, state) = (story.bytes(), folded(&story, 5));
        assert!(is_of(&state, &bytes[4]));
        assert!(!is_of(&state, &bytes[3]) && !is_of(&state, &bytes[5]), "another place");
        assert!(!is_of(&state, &other.bytes()[4]), "the same event after another");
        assert!(!is_of(&state, &Story::whole("bbbbb").bytes()[4]), "another engagement");
        assert!(!is_of(&state, b"{}"));
    }

    #[test]
    fn a_snapshot_of_another_form_is_not_read() {
        let state = folded(&Story::whole("k7m2q"), 5);
        let bytes = write(&state, &[1, 2]).unwrap();
        assert_eq!(read(&bytes), Some((state, vec![1, 2])));
        let other = String::from_utf8(bytes).unwrap().replacen(FORM, "0.0.0-1", 1);
        assert_eq!(read(other.as_bytes()), None);
    }
}
