//! What verification found: problems with their places, notes, and how far somebody outside knows of it.

use std::fmt;

use serde::Serialize;

use crate::artifact::{Digest, EngagementId, RecordOutcome};

use super::super::{
    chain,
    log::{Freshness, LogCheck, UNCOVERED, is_logged},
    store::Logged,
};

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Whether there is no problem.
    pub ok: bool,
    /// Which engagement it is of, as far as its chain can be followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<Subject>,
    /// How many events there are.
    pub events: u64,
    /// The hash of the last event, where it can be read; what to compare with what others have seen.
    pub head: Option<Digest>,
    /// Whether somebody outside knows how far it went.
    pub freshness: Freshness,
    /// What is wrong, the first bad event first.
    pub problems: Vec<Problem>,
    /// What is not wrong, and yet to be known.
    pub notes: Vec<String>,
    /// What the log has a leaf of, and no proof here covers: nothing shows that it was not written anew. Whoever knows the
    /// ledger's key wants it to vouch for all, and is told of it as of what is wrong; others in notes.
    #[serde(skip)]
    pub uncovered: Vec<Problem>,
    /// What is written as versions before did and held to less, so that it can be made up; it is among the notes too. As the
    /// above, it is wrong for whoever knows the ledger's key.
    #[serde(skip)]
    pub held_to_less: Option<Problem>,
    /// How much rests on a name alone: answers without a signature, steps that were tried again,
    /// cancellations and redactions.
    pub on_a_name: u64,
}

/// The engagement that was verified, in the words of its own chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its id.
    pub engagement: EngagementId,
    /// What its last spec calls it or, before there is one, its request.
    pub title: String,
    /// How it ended; nothing while it is open.
    pub outcome: Option<RecordOutcome>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file that it is in, where there are several; left out where the chain is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The place in the chain, from 1; left out (0) where it is in no event.
    #[serde(skip_serializing_if = "in_no_event")]
    pub seq: u64,
    /// What is wrong there.
    pub what: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn in_no_event(seq: &u64) -> bool {
    *seq == 0
}

impl Problem {
    /// Something that is wrong with an event.
    pub fn at(seq: u64, what: impl Into<String>) -> Self {
        Self { file: None, seq, what: what.into() }
    }

    /// Something that is wrong with a file.
    pub fn with(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: Some(file.into()), seq: 0, what: what.into() }
    }

    /// The same in a file.
    #[must_use]
    pub fn in_file(self, file: impl Into<String>) -> Self {
        Self { file: Some(file.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.seq) {
            (None, 0) => f.write_str(&self.what),
            (None, seq) => write!(f, "event {seq}: {}", self.what),
            (Some(file), 0) => write!(f, "{file}: {}", self.what),
            (Some(file), seq) => write!(f, "event {seq} ({file}): {}", self.what),
        }
    }
}

impl Verification {
    /// Of something that cannot even be read.
    pub(in crate::ledger) fn unreadable(problem: Problem) -> Self {
        Self { ok: false, problems: vec![problem], notes: Vec::new(), ..Self::unwitnessed(0) }
    }
}

/// Whether somebody answered with the event of a leaf, or something ended with it; else it was the last one when its chain
/// was handed out, and nothing that a witness would have to know.
fn says(leaf: &Logged) -> bool {
    let event = leaf.bytes.as_ref().and_then(|bytes| chain::read(bytes).ok());
    event.is_none_or(|event| is_logged(&event.body))
}

/// So many problems are told.
const MOST_PROBLEMS: usize = 1_000;

/// So many answers on a name alone are named; of the others their number is said.
pub(super) const NAMED: usize = 8;

/// How what is said of a witness begins.
pub(in crate::ledger) const WITNESSED: &str = "witnessed: ";

/// Said of everything that is verified without a witness.
pub(super) const NOT_WITNESSED: &str =
    "freshness not witnessed: nothing here shows that the chain has not been cut at its end";

/// Keeps as many problems as anybody reads; how many others there were.
pub(in crate::ledger) fn drop_after_the_first(problems: &mut Vec<Problem>) -> usize {
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    problems.truncate(MOST_PROBLEMS);
    more
}

impl Verification {
    /// Of a chain of so many events that was found whole, and of which nobody outside knows.
    pub fn unwitnessed(events: u64) -> Self {
        let (problems, notes) = (Vec::new(), vec![NOT_WITNESSED.into()]);
        let freshness = Freshness::NotWitnessed;
        Self {
            ok: true,
            of: None,
            events,
            head: None,
            freshness,
            problems,
            notes,
            uncovered: Vec::new(),
            held_to_less: None,
            on_a_name: 0,
        }
    }

    /// Keeps as many problems as anybody reads; of the others their number is said.
    pub(in crate::ledger) fn keep_the_first(&mut self, beside: usize) {
        let more = drop_after_the_first(&mut self.problems) + beside;
        if more > 0 {
            self.problems.push(Problem { file: None, seq: 0, what: format!("and {more} more problems") });
        }
    }

    /// Says that somebody outside knows how far it went.
    pub(in crate::ledger) fn witnessed_because(&mut self, what: &str) {
        self.notes.retain(|note| note != NOT_WITNESSED);
        self.notes.push(format!("{WITNESSED}{what}"));
    }

    /// Says why nobody outside does, though they were asked.
    pub(in crate::ledger) fn unwitnessed_because(&mut self, what: &str) {
        self.notes.retain(|note| note != NOT_WITNESSED);
        self.notes.push(format!("freshness not witnessed: {what}"));
    }

    /// Whoever brings along what was published wants to know that it covers this: where it does not, that is wrong.
    pub fn wants_a_witness(&mut self) {
        if self.ok && self.freshness == Freshness::NotWitnessed {
            self.problems.push(Problem::at(self.events, UNCOVERED));
            self.ok = false;
        }
    }

    /// Whoever has the ledger's key from elsewhere (`known`) wants it to vouch for all that it should have signed, and takes
    /// nothing that is held to less: that is wrong for them. Others are told.
    pub fn hold_to_what_a_key_vouches_for(&mut self, known: bool) {
        let (uncovered, less) = (std::mem::take(&mut self.uncovered), self.held_to_less.take());
        if known {
            self.notes.retain(|note| less.as_ref().is_none_or(|less| less.what != *note));
            self.problems.extend(uncovered.into_iter().chain(less));
        } else {
            self.notes.extend(uncovered.iter().map(|what| format!("UNDER NO CHECKPOINT: {what}")));
        }
        self.ok = self.problems.is_empty();
    }

    /// Holds it against what the log has of it, and against the log where that was checked: what is wrong with the log
    /// is wrong here too, since nobody can say which of its engagements it is about.
    pub fn hold_against(&mut self, logged: &[Logged], log: Option<&LogCheck>) {
        for leaf in logged.iter().filter(|leaf| leaf.seq > self.events) {
            let what =
                format!("leaf {} of the log is of this event, which is missing: the chain was cut", leaf.position);
            self.problems.push(Problem::at(leaf.seq, what));
        }
        for problem in log.iter().flat_map(|log| &log.problems) {
            let own = logged.iter().find(|leaf| leaf.position >= problem.leaf);
            let seq = own.map_or(self.events, |leaf| leaf.seq);
            self.problems.push(Problem::at(seq, format!("the log, from leaf {}: {}", problem.leaf, problem.what)));
        }
        if let Some(Freshness::Witnessed { size, .. }) = log.map(|log| &log.freshness) {
            let under = logged.iter().rev().find(|leaf| leaf.position < *size);
            let later = logged.iter().find(|leaf| leaf.position >= *size && says(leaf));
            self.notes.retain(|note| note != NOT_WITNESSED);
            self.notes.push(match (under, later) {
                (Some(leaf), None) => {
                    self.freshness = Freshness::Witnessed { size: *size, seq: Some(leaf.seq) };
                    format!("{WITNESSED}up to event {}, by a published checkpoint of {size} leaves", leaf.seq)
                }
                // Whoever has the ledger's key may have written anew what came after it was published.
                (Some(leaf), Some(later)) => format!(
                    "freshness not witnessed: the published checkpoint of {size} leaves covers it up to event {}, and event \
                     {} is in the log since; bring one along that was published later",
                    leaf.seq, later.seq
                ),
                // What was never begun has no leaf, and a log that has none of it shows that.
                (None, None) if self.events == 0 => {
                    self.freshness = Freshness::Witnessed { size: *size, seq: None };
                    format!("{WITNESSED}nothing of it is in the log, by a published checkpoint of {size} leaves")
                }
                (None, _) => {
                    format!("freshness not witnessed: nothing of this chain is under the checkpoint of {size} leaves")
                }
            });
        }
        self.ok = self.problems.is_empty();
    }
}
