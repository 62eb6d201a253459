//! Snapshots: what a chain had folded into at one of its events, kept so that whoever goes on with an engagement folds
//! what came since and not all that there ever was. A snapshot is a cache: it is signed with the ledger's own key, is taken
//! for what it says only by the program that folds as its writer did, and only where the chain still has its event. Any
//! doubt, and the chain is folded from its beginning. What verifies reads none. Pure.

use serde::{Deserialize, Serialize};

use crate::{
    artifact::{Digest, LedgerId, digest_bytes},
    engagement::State,
};

use super::{chain, keys::origin};

/// How the state is folded and written. A number higher for every change of [`State`] or of what events do to it, which a
/// test reminds of.
const FORM: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

/// How many events are folded again at most while a chain is short.
const OFTEN: u64 = 128;
/// Of a long chain, one part in so many: what snapshots cost then stays in proportion to what is written anyway.
const PART: u64 = 16;

#[derive(Serialize)]
struct Written<'a> {
    form: &'static str,
    state: &'a State,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    form: String,
    state: State,
}

/// Whether it is time for another one, when the last was of this event (0 for none).
pub(super) fn is_due(seq: u64, last: u64) -> bool {
    seq.saturating_sub(last) >= OFTEN.max(seq / PART)
}

/// The bytes of a snapshot; nothing where a state cannot be written.
pub(super) fn write(state: &State) -> Option<Vec<u8>> {
    serde_json::to_vec(&Written { form: FORM, state }).ok()
}

/// The state in a snapshot, where this program would have folded the same.
pub(super) fn read(bytes: &[u8]) -> Option<State> {
    let Read { form, state } = serde_json::from_slice(bytes).ok()?;
    (form == FORM).then_some(state)
}

/// Whether the stored bytes of an event are those of the last one that was folded into this state.
pub(super) fn is_of(state: &State, bytes: &[u8]) -> bool {
    let event = chain::read(bytes);
    event.is_ok_and(|event| event.hash == state.head && event.seq == state.seq && event.engagement == state.id)
}

/// What the ledger's key signs of a snapshot: no checkpoint and no statement of a key begins so.
pub(super) fn statement(ledger: &LedgerId, bytes: &[u8]) -> String {
    let digest: Digest = digest_bytes(bytes);
    format!("{}/snapshot\n{digest}\n", origin(ledger))
}
