//! The events that belong in the log and have no leaf. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    engagement::Event,
    ledger::{journal::is_logged, keys::KeyHistory},
};

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
