//! The chain: how an event becomes bytes and a hash, and how bytes are shown to be the event that was hashed. Pure.
//! What is stored is the RFC 8785 form of the whole event; its hash is over the same without `hash`.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    artifact::{CanonicalError, Digest, EngagementId, canonical, digest_bytes},
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
    event.hash = hash(&event)?;
    let bytes = canonical(&event)?;
    let event = check(&bytes, seq, prev)?;
    Ok(Sealed { event, bytes })
}

/// The event in stored bytes, if they are its canonical bytes and its hash is right.
///
/// # Errors
///
/// [`ChainError::Unreadable`], [`ChainError::NotCanonical`] or [`ChainError::Hash`].
pub fn read(bytes: &[u8]) -> Result<Event, ChainError> {
    let event: Event = serde_json::from_slice(bytes)
        .map_err(|error| ChainError::Unreadable { at: place(bytes), reason: error.to_string() })?;
    if canonical(&event)? != bytes {
        return Err(ChainError::NotCanonical(event.seq));
    }
    let is = hash(&event)?;
    if is == event.hash { Ok(event) } else { Err(ChainError::Hash { seq: event.seq, says: event.hash, is }) }
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

/// SHA-256 over the canonical form of everything but `hash`.
fn hash(event: &Event) -> Result<Digest, ChainError> {
    let mut rest = serde_json::to_value(event)
        .map_err(|error| ChainError::Unreadable { at: event.seq.to_string(), reason: error.to_string() })?;
    if let Value::Object(fields) = &mut rest {
        fields.remove("hash");
    }
    Ok(digest_bytes(&canonical(&rest)?))
}

/// The place that unreadable bytes name, if they go that far.
fn place(bytes: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    let seq = value.as_ref().and_then(|value| value.get("seq")).and_then(Value::as_u64);
    seq.map_or_else(|| "an unknown place".into(), |seq| seq.to_string())
}
