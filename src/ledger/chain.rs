//! The chain: how an event becomes bytes and a hash, and how bytes are shown to be the event that was hashed. Pure.
//! What is stored is the RFC 8785 form of the whole event; its hash is over the same without `hash`.

mod parse;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    artifact::{CanonicalError, Digest, Digester, EngagementId, canonical},
    engagement::{Actor, Body, Event},
};

/// An event and the bytes that stand for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// The event, as reading the bytes gives it.
    pub event: Event,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

/// Bytes are not the event that should be there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// They are not an event.
    #[error("the event at {at} cannot be read: {reason}")]
    Unreadable {
        /// Its place, where it is known.
        at: String,
        /// Why.
        reason: String,
    },
    /// They are an event, but not the bytes that were hashed: other spacing, order, a repeated or an added field.
    #[error("event {0} is not in canonical form (RFC 8785), or has a field that no event has")]
    NotCanonical(u64),
    /// The hash is not the hash of the rest.
    #[error("event {seq} says that its hash is {says}, but it hashes to {is}")]
    Hash {
        /// Its place.
        seq: u64,
        /// The hash that it says.
        says: Digest,
        /// The hash that it has.
        is: Digest,
    },
    /// It stands in the wrong place.
    #[error("event {expected} is missing: event {found} stands in its place")]
    Seq {
        /// The place.
        expected: u64,
        /// What it says of its place.
        found: u64,
    },
    /// It does not follow the event before it.
    #[error("event {seq} does not follow the event before it: it names {found}, not {expected}")]
    Prev {
        /// Its place.
        seq: u64,
        /// The hash of the event before.
        expected: Digest,
        /// What it says.
        found: Digest,
    },
    /// The value has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// Makes an event and its bytes. The event is read back from the bytes, so that what is folded now is what a restart
/// will fold (`1.0` is `1` in canonical form), and nothing is ever written that could not be read.
///
/// # Errors
///
/// [`ChainError::Canonical`] for a value that has no canonical form, [`ChainError::Unreadable`] for one that is nested
/// deeper than a reader goes.
pub fn seal(
    engagement: &EngagementId,
    seq: u64,
    at: Timestamp,
    actor: Actor,
    body: Body,
    prev: Digest,
) -> Result<Sealed, ChainError> {
    let mut event = Event { engagement: engagement.clone(), seq, at, actor, body, prev, hash: Digest::ZERO };
    let mut bytes = canonical(&event)?;
    event.hash = hashed(&mut bytes).ok_or(ChainError::NotCanonical(seq))?;
    let read = parsed(&bytes)?;
    // What is read back as it was has these bytes for its canonical form, and their hash.
    let event = if read == event { read } else { check(&bytes, seq, prev)? };
    Ok(Sealed { event, bytes })
}

/// The event in stored bytes, if they are its canonical bytes and its hash is right.
///
/// # Errors
///
/// [`ChainError::Unreadable`], [`ChainError::NotCanonical`] or [`ChainError::Hash`].
pub fn read(bytes: &[u8]) -> Result<Event, ChainError> {
    let event = parsed(bytes)?;
    if canonical(&event)? != bytes {
        return Err(ChainError::NotCanonical(event.seq));
    }
    let is = hash_of(bytes, &event.hash).ok_or(ChainError::NotCanonical(event.seq))?;
    if is == event.hash { Ok(event) } else { Err(ChainError::Hash { seq: event.seq, says: event.hash, is }) }
}

fn parsed(bytes: &[u8]) -> Result<Event, ChainError> {
    let unreadable = |error: serde_json::Error| ChainError::Unreadable { at: place(bytes), reason: error.to_string() };
    parse::event(bytes).map_or_else(|| serde_json::from_slice(bytes).map_err(unreadable), Ok)
}

/// The event in stored bytes, if it is the one that stands at `seq` and follows `prev`.
///
/// # Errors
///
/// Whatever [`read`] finds, [`ChainError::Seq`] or [`ChainError::Prev`].
pub fn check(bytes: &[u8], seq: u64, prev: Digest) -> Result<Event, ChainError> {
    let event = read(bytes)?;
    if event.seq != seq {
        return Err(ChainError::Seq { expected: seq, found: event.seq });
    }
    if event.prev != prev {
        return Err(ChainError::Prev { seq, expected: prev, found: event.prev });
    }
    Ok(event)
}

/// How `hash` stands in the canonical bytes of an event.
fn member(hash: &Digest) -> String {
    format!("\"hash\":\"{hash}\",")
}

/// Where that is. Members are sorted by name, and after an event's own `hash` come only `kind`, `prev` and `seq`, none of
/// which can hold these bytes: the last place is the right one, whatever the arguments of a call say.
fn place_of(bytes: &[u8], member: &str) -> Option<usize> {
    let quoted = |window: &[u8]| window.first() == Some(&b'"');
    bytes.windows(member.len()).rposition(|window| quoted(window) && window == member.as_bytes())
}

/// The digest of the canonical form of everything but `hash`, from the canonical bytes of the whole.
fn hash_of(bytes: &[u8], hash: &Digest) -> Option<Digest> {
    let member = member(hash);
    around(bytes, place_of(bytes, &member)?, member.len())
}

/// Gives an event whose hash is still zero the one that it has, which is as long.
fn hashed(bytes: &mut [u8]) -> Option<Digest> {
    let zero = member(&Digest::ZERO);
    let at = place_of(bytes, &zero)?;
    let hash = around(bytes, at, zero.len())?;
    bytes.get_mut(at..at + zero.len())?.copy_from_slice(member(&hash).as_bytes());
    Some(hash)
}

/// The digest of all but the bytes at a place.
fn around(bytes: &[u8], at: usize, length: usize) -> Option<Digest> {
    let mut rest = Digester::default();
    rest.update(bytes.get(..at)?);
    rest.update(bytes.get(at + length..)?);
    Some(rest.finish())
}

/// The place that unreadable bytes name, if they go that far.
fn place(bytes: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    let seq = value.as_ref().and_then(|value| value.get("seq")).and_then(Value::as_u64);
    seq.map_or_else(|| "an unknown place".into(), |seq| seq.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        artifact::{Agent, digest_of},
        engagement::{Blobs, CallAllowed},
        ledger::testing::{Story, allowed, discover, id, noon},
    };

    fn with(args: Value) -> Result<Sealed, ChainError> {
        let Value::Object(args) = args else { panic!("not arguments") };
        let call = CallAllowed { args: args.into(), ..allowed(1, Agent::Design, discover(), false) };
        seal(&id("k7m2q"), 1, noon(), Actor::Program, Body::Allowed(Box::new(call)), Digest::ZERO)
    }

    #[test]
    fn the_hash_is_over_the_canonical_form_of_everything_else() {
        let sealed = Story::whole("k7m2q").sealed();
        for (place, Sealed { event, bytes }) in sealed.iter().enumerate() {
            // Computed here from the bytes alone, as a stranger would.
            let mut rest: Value = serde_json::from_slice(bytes).unwrap();
            let hash = rest.as_object_mut().unwrap().remove("hash").unwrap();
            assert_eq!(hash, json!(digest_of(&rest).unwrap()));
            let before = place.checked_sub(1).map_or(Digest::ZERO, |before| sealed[before].event.hash);
            assert_eq!(check(bytes, place as u64 + 1, before).unwrap(), *event);
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.starts_with(r#"{"actor":"#) && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn what_is_folded_now_is_what_a_restart_will_fold() {
        let args = json!({"whole": 1.0, "tiny": 1e-7, "long": 0.1 + 0.2, "big": 1e300, "é\u{1F600}": "\u{7f}\n\"", "zero": -0.0});
        let sealed = with(args).unwrap();
        assert_eq!(read(&sealed.bytes).unwrap(), sealed.event);
        let Body::Allowed(call) = &sealed.event.body else { panic!() };
        assert_eq!(call.args.read(&Blobs::new()).unwrap()["whole"], json!(1));
        // More than a float holds is rounded in canonical form; whoever folds sees what was hashed.
        let Body::Allowed(call) = with(json!({"n": u64::MAX})).unwrap().event.body else { panic!() };
        assert_ne!(call.args.read(&Blobs::new()).unwrap()["n"], json!(u64::MAX));
    }

    #[test]
    fn what_could_not_be_read_back_is_not_sealed() {
        let nested = (0..200).fold(json!(1), |inner, _| json!([inner]));
        let refused = with(json!({ "deep": nested })).unwrap_err();
        assert!(matches!(refused, ChainError::Unreadable { .. }), "{refused}");
    }
}
