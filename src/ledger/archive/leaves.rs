//! The whole log in a bundle: every leaf up to the checkpoint of the proof. Of the engagement and of the trust stages it
//! shows what one proof cannot: that the log has nothing else of them, neither later events nor another history. Pure.

use std::collections::BTreeMap;

use crate::{artifact::EngagementId, engagement::Event};

use super::{
    super::{
        bundle::{EVENTS, lines},
        checkpoint::Checkpoint,
        keys::KeyHistory,
        log::{InclusionProof, unlogged},
        merkle::{Leaf, Tree},
        note::Note,
        verify::Problem,
    },
    Contents, Told,
    logged::{LOG, PROOF},
    trust_events,
};

/// The leaves, one a line, in their order.
pub(in crate::ledger) const LEAVES: &str = "leaves.jsonl";

impl Contents {
    /// Whether the whole log is here.
    pub(super) fn has_all_leaves(&self) -> bool {
        self.log.contains_key(LEAVES)
    }

    /// What is wrong with the leaves, or shows that the chains here are not all that the log has of them, or that the log is
    /// not the one of which checkpoints were published.
    pub(super) fn hold_to_all_leaves<'a>(
        &self,
        told: &Told,
        keys: &KeyHistory,
        published: impl Iterator<Item = &'a Checkpoint>,
    ) -> Vec<Problem> {
        let Some(bytes) = self.log.get(LEAVES) else { return Vec::new() };
        let wrong = |what: String| vec![Problem::with(format!("{LOG}/{LEAVES}"), what)];
        let proof = self.log.get(PROOF).and_then(|bytes| serde_json::from_slice::<InclusionProof>(bytes).ok());
        let note: Option<Note> = proof.and_then(|proof| proof.checkpoint.parse().ok());
        let Some(checkpoint) = note.and_then(|note| Checkpoint::of(&note).ok()) else {
            return wrong(format!("is here, and {LOG}/{PROOF} names no checkpoint that it could be held against"));
        };
        let (mut tree, mut leaves) = (Tree::default(), Vec::new());
        for (place, line) in lines(bytes).iter().enumerate() {
            match serde_json::from_slice::<Leaf>(line) {
                Ok(leaf) => leaves.push(leaf),
                Err(error) => return wrong(format!("leaf {place} cannot be read: {error}")),
            }
            tree.push(line);
        }
        if (tree.size(), tree.root_at(tree.size())) != (checkpoint.size, Some(checkpoint.root)) {
            return wrong(format!("is not the log of the checkpoint in {LOG}/{PROOF}, of {} leaves", checkpoint.size));
        }
        let mut found = Vec::new();
        for theirs in published.filter(|theirs| theirs.size <= tree.size()) {
            if tree.root_at(theirs.size) != Some(theirs.root) {
                found.extend(wrong(format!(
                    "the published checkpoint of {} leaves is over others than the first {0} here: one was changed, left out \
                     or put in (a fork)",
                    theirs.size
                )));
            }
        }
        for (seq, seen) in self.engagement.logs_seen() {
            if seen.size <= tree.size() && tree.root_at(seen.size) != Some(seen.root) {
                let what = format!("whoever signed this saw another log of {} leaves than is here", seen.size);
                found.push(Problem::at(seq, what).in_file(EVENTS));
            }
        }
        if let Some(first) = told.engagement.first() {
            found.extend(all_of(&leaves, &first.engagement, (&told.engagement, EVENTS), keys));
        }
        found.extend(all_of(&leaves, &EngagementId::trust(), (&told.trust, &trust_events()), keys));
        found
    }
}

/// Where a chain is not all that the log has of it.
fn all_of(leaves: &[Leaf], id: &EngagementId, (events, file): (&[Event], &str), keys: &KeyHistory) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut say = |seq: u64, what: String| found.push(Problem::at(seq, what).in_file(file));
    let own: Vec<(usize, &Leaf)> = leaves.iter().enumerate().filter(|(_, leaf)| leaf.engagement == *id).collect();
    let there: BTreeMap<u64, &Event> = events.iter().rev().map(|event| (event.seq, event)).collect();
    let mut last = 0;
    for (place, leaf) in &own {
        match there.get(&leaf.seq) {
            None => say(leaf.seq, format!("leaf {place} of the log is of this event, which is missing")),
            Some(event) if event.hash != leaf.head => {
                say(leaf.seq, format!("leaf {place} of the log is of another event here: another history of it"));
            }
            Some(_) if leaf.seq <= last => {
                say(
                    leaf.seq,
                    format!("leaf {place} of the log is of an event that is no later than the leaf before it"),
                );
            }
            Some(_) => {}
        }
        last = leaf.seq;
    }
    // What came after the last leaf here is under no checkpoint here, and may be in the log by now.
    let covered = events.iter().filter(|event| event.seq < last);
    for seq in unlogged(covered, &own.iter().map(|(_, leaf)| leaf.seq).collect(), keys) {
        say(seq, "the log has no leaf of this event, and one of a later event".into());
    }
    found
}
