//! The events that belong in the log, and those that have no leaf. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    engagement::{Body, Event},
    ledger::keys::KeyHistory,
};

/// Whether the log over all engagements has a leaf of every such event: what a person or a policy answered, the end, and what
/// was destroyed after it. Of others it has one where they were the last when they were handed out.
pub fn is_logged(body: &Body) -> bool {
    matches!(body, Body::Answered(_) | Body::Closed(_) | Body::Redacted(_) | Body::TrustSet(_))
}

/// The places of those of a chain, whose leaves are of these. A log that was begun over chains that were there has one leaf
/// of what each had until then; whatever came after the ledger's first key has a leaf of its own.
pub(in crate::ledger) fn unlogged<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    leaves: &BTreeSet<u64>,
    keys: &KeyHistory,
) -> Vec<u64> {
    let signs_from = keys.keys().first().map_or(Timestamp::MAX, |first| first.from);
    let before = |event: &Event| event.at < signs_from && leaves.first().is_some_and(|first| event.seq < *first);
    let missing = |event: &&Event| is_logged(&event.body) && !leaves.contains(&event.seq) && !before(event);
    events.into_iter().filter(missing).map(|event| event.seq).collect()
}
