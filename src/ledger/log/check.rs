//! The whole log made again from the events and held against its own checkpoints and those that were published.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    artifact::{Digest, EngagementId},
    engagement::Event,
    ledger::{
        chain::{self, ChainError},
        checkpoint::Checkpoint,
        error::LedgerError,
        keys::{KeyHistory, origin},
        merkle::Tree,
        note::Note,
        store::{Logged, Store},
    },
};

use super::{is_logged, leaf_at, signed, unlogged};

/// Whether somebody outside knows how far the log went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Freshness {
    /// Nothing was brought along that says so: what was cut off at the end is not missed.
    NotWitnessed,
    /// A published checkpoint says so.
    Witnessed {
        /// How many leaves it covers.
        size: u64,
        /// Where only one engagement is checked: up to which of its events.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
}

/// Said of what was to be held against published checkpoints and could not be.
pub(in crate::ledger) const UNCOVERED: &str = "none of the published checkpoints covers this, so they do not show that it is whole; \
    bring along later ones, or have it exported under one of them";

/// What is wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogProblem {
    /// The first leaf that it is about, from 0.
    pub leaf: u64,
    /// What is wrong.
    pub what: String,
}

/// What checking the log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogCheck {
    /// Whether there is no problem.
    pub ok: bool,
    /// How many leaves there are.
    pub size: u64,
    /// The root over them, made again from the events.
    pub root: Option<Digest>,
    /// How many leaves the ledger's own last checkpoint covers.
    pub checkpointed: u64,
    /// Whether a published checkpoint says how far it went.
    pub freshness: Freshness,
    /// What is wrong.
    pub problems: Vec<LogProblem>,
    /// What is not wrong, and yet to be known.
    pub notes: Vec<String>,
}

impl LogCheck {
    /// As [`crate::ledger::Verification::wants_a_witness`].
    pub fn wants_a_witness(&mut self) {
        if self.ok && self.freshness == Freshness::NotWitnessed {
            self.problems.push(LogProblem { leaf: self.size, what: UNCOVERED.into() });
            self.ok = false;
        }
    }
}

/// Makes the log again from the events and holds it against its own checkpoints and those that were published.
///
/// # Errors
///
/// Whatever the store gives.
pub async fn check_log(
    store: &dyn Store,
    keys: &KeyHistory,
    published: &[(Checkpoint, Note)],
) -> Result<LogCheck, LedgerError> {
    // Events, then checkpoints, then leaves: whoever writes meanwhile adds leaves to what was read.
    let (told, checkpoints) = (told(store).await?, store.checkpoints(0).await?);
    let logged = store.logged(None).await?;
    let mut check = Check { keys, tree: Tree::default(), broken: false, signed: Vec::new(), problems: Vec::new() };
    check.build(&logged);
    let own_origin = origin(&store.ledger().await?);
    if keys.keys().last().is_some_and(|published| published.key.name() != own_origin) {
        check.problem(0, format!("the keys are those of another ledger than {own_origin}"));
    }
    let mut own = Vec::new();
    for text in checkpoints {
        match text.parse() {
            Ok(note) => own.push(note),
            Err(error) => check.problem(0, format!("one of the ledger's own checkpoints: {error}")),
        }
    }
    let checkpointed = check.hold(&own, "the ledger's own").unwrap_or(0);
    let brought: Vec<Note> = published.iter().map(|(_, note)| note.clone()).collect();
    let witnessed = check.hold(&brought, "a published");
    if let Some((leaf, what)) = keys.out_of_order(&check.signed) {
        check.problem(leaf, what);
    }
    // Where a leaf is another one, its hashes are too.
    if check.problems.is_empty()
        && let Some(what) = stored_otherwise(store, &check.tree).await?
    {
        check.problem(0, what);
    }
    if !check.broken {
        check.problems.extend(left_out(&told, keys, &logged));
    }
    let mut sizes: Vec<u64> = own.iter().filter_map(|note| Some(Checkpoint::of(note).ok()?.size)).collect();
    sizes.sort_unstable();
    if let Some([size, _]) = sizes.array_windows().find(|[one, next]| one == next) {
        check.problem(0, format!("the ledger keeps two checkpoints of {size} leaves"));
    }
    let size = logged.len() as u64;
    let mut notes = Vec::new();
    if own.is_empty() && size > 0 && store.last_checkpoint().await?.is_none() {
        let what = format!(
            "there is no checkpoint over its {size} leaves, and its keys are here: those it had were taken out"
        );
        check.problem(0, what);
    } else if checkpointed < size {
        notes.push(format!("the last {} of {size} leaves are under no checkpoint yet", size - checkpointed));
    }
    notes.extend(dated_back(&logged, keys));
    let freshness = witnessed.map_or(Freshness::NotWitnessed, |size| Freshness::Witnessed { size, seq: None });
    let root = check.tree.root_at(check.tree.size()).filter(|_| !check.broken);
    Ok(LogCheck { ok: check.problems.is_empty(), size, root, checkpointed, freshness, problems: check.problems, notes })
}

/// By how much an event may be dated before one that the log had before it: whoever signs an answer is asked for a
/// passphrase after the clock was read.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// That events are dated before such as the log had by then. Nobody's clock goes back so far by itself, and whether a key
/// was valid, an approval fresh or a window open was told by it.
fn dated_back(logged: &[Logged], keys: &KeyHistory) -> Option<String> {
    // A log that was begun over chains that were there has their last events first, in the order of the chains.
    let begun = keys.keys().first().map_or(Timestamp::MAX, |first| first.from);
    let (mut latest, mut first, mut many) = (None::<(Timestamp, &Logged)>, None, 0_u64);
    for leaf in logged {
        let Some(event) = leaf.bytes.as_deref().and_then(|bytes| chain::read(bytes).ok()) else { continue };
        // What was the last event when it was handed out may be as old as it likes.
        if latest.is_none() && event.at < begun || !is_logged(&event.body) {
            continue;
        }
        match latest {
            Some((at, before)) if at.duration_since(event.at) > SLACK => {
                many += 1;
                first.get_or_insert_with(|| {
                    format!(
                        "event {} of {} says {}, and event {} of {}, which the log had before it, {at}",
                        leaf.seq, leaf.engagement, event.at, before.seq, before.engagement
                    )
                });
            }
            Some((at, _)) if event.at <= at => {}
            _ => latest = Some((event.at, leaf)),
        }
    }
    let more = if many > 1 { format!(" (and {} more)", many - 1) } else { String::new() };
    first.map(|first| {
        format!(
            "THE CLOCK WAS SET BACK: {first}{more}; whether a key was valid, an approval fresh or a window open was told by it"
        )
    })
}

/// Where another hash is stored of the tree than its leaves give: what is proven or signed by it does not hold, and one that
/// stands where a coming leaf needs room lets none be written.
async fn stored_otherwise(store: &dyn Store, tree: &Tree) -> Result<Option<String>, LedgerError> {
    let places: Vec<u64> = (0..=tree.size().next_power_of_two() * 2).collect();
    let stored = store.log_nodes(&places).await?;
    // A leaf that came meanwhile has its hashes there too.
    if store.log_size().await? != tree.size() {
        return Ok(None);
    }
    let differs = places.into_iter().find(|place| stored.get(place) != tree.nodes().get(place));
    Ok(differs.map(|place| {
        format!(
            "the hash of its tree that is stored at place {place} is not what the leaves give, though they stand: proofs \
             that need it do not hold, and nothing more is signed that does; restore the ledger from a backup"
        )
    }))
}

/// A chain, as far as the log is about it.
struct Told {
    id: EngagementId,
    /// The events that belong in the log.
    events: Vec<Event>,
    /// The first event that is not the next one of its chain, with what is wrong with it.
    broken: Option<(u64, ChainError)>,
}

async fn told(store: &dyn Store) -> Result<Vec<Told>, LedgerError> {
    let mut all = Vec::new();
    for id in store.find("").await?.into_iter().chain([EngagementId::trust()]) {
        let (mut told, mut prev) = (Told { id, events: Vec::new(), broken: None }, Digest::ZERO);
        for (bytes, seq) in store.events(&told.id, 0).await?.iter().zip(1..) {
            let event = match chain::check(bytes, seq, prev) {
                Ok(event) => event,
                Err(error) => {
                    told.broken.get_or_insert((seq, error));
                    // What is left is looked at all the same: an answer without a leaf is not hidden by this.
                    let Ok(event) = chain::read(bytes) else { continue };
                    event
                }
            };
            prev = event.hash;
            if is_logged(&event.body) {
                told.events.push(event);
            }
        }
        all.push(told);
    }
    Ok(all)
}

/// What belongs in the log and is not in it, and what is in it of chains that do not hold.
fn left_out(told: &[Told], keys: &KeyHistory, logged: &[Logged]) -> Vec<LogProblem> {
    let mut leaves: BTreeMap<&EngagementId, BTreeMap<u64, u64>> = BTreeMap::new();
    for leaf in logged {
        leaves.entry(&leaf.engagement).or_default().insert(leaf.seq, leaf.position);
    }
    let mut found = Vec::new();
    for Told { id, events, broken } in told {
        let own = leaves.remove(id).unwrap_or_default();
        let leaf = |seq: u64| own.range(seq..).next().map_or(logged.len() as u64, |(_, position)| *position);
        if let Some((seq, error)) = broken {
            let what = format!("the chain of {id} does not hold: {error}; see `countersign verify {id}`");
            found.push(LogProblem { leaf: leaf(*seq), what });
        }
        for seq in unlogged(events, &own.keys().copied().collect(), keys) {
            let leaf = leaf(seq);
            let what =
                format!("event {seq} of {id} has no leaf: it was written past the log, or its leaf was taken out");
            found.push(LogProblem { leaf, what });
        }
    }
    found
}

struct Check<'a> {
    keys: &'a KeyHistory,
    tree: Tree,
    /// Whether the tree ends before the log does, because a leaf could not be made again.
    broken: bool,
    /// The sizes of all checkpoints with the places of the keys that signed them.
    signed: Vec<(u64, usize)>,
    problems: Vec<LogProblem>,
}

impl Check<'_> {
    fn problem(&mut self, leaf: u64, what: String) {
        self.problems.push(LogProblem { leaf, what });
    }

    fn build(&mut self, logged: &[Logged]) {
        for (leaf, place) in logged.iter().zip(0..) {
            match leaf_at(leaf, place) {
                Ok(bytes) if !self.broken => self.tree.push(&bytes),
                Ok(_) => {}
                Err(what) => {
                    self.broken = true;
                    self.problem(place, what);
                }
            }
        }
    }

    /// Holds the log against checkpoints; the size of the greatest that holds.
    fn hold(&mut self, notes: &[Note], whose: &str) -> Option<u64> {
        let mut sound = Vec::new();
        for note in notes {
            match signed(note, self.keys) {
                Ok((checkpoint, place)) => {
                    self.signed.push((checkpoint.size, place));
                    sound.push(checkpoint);
                }
                Err(what) => self.problem(0, format!("{whose} checkpoint: {what}")),
            }
        }
        sound.sort_by_key(|checkpoint| checkpoint.size);
        let (mut good, size) = (None, self.tree.size());
        for checkpoint in sound {
            let covers = checkpoint.size;
            if covers > size {
                if !self.broken {
                    self.problem(size, format!(
                        "{whose} checkpoint covers {covers} leaves, and the log has only {size}: it was rolled back, and \
                         what follows leaf {} is gone", size.saturating_sub(1)
                    ));
                }
                break;
            }
            if self.tree.root_at(covers) != Some(checkpoint.root) {
                let (from, to) = (good.unwrap_or(0), covers.saturating_sub(1));
                let what = if from > to {
                    format!("{whose} checkpoint of {covers} leaves is over others than another one of as many (a fork)")
                } else {
                    format!(
                        "{whose} checkpoint of {covers} leaves is over others than the log has: of leaves {from} to {to} at \
                         least one was changed, left out or put in (a fork)"
                    )
                };
                self.problem(from.min(to), what);
                break;
            }
            good = Some(covers);
        }
        good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifact::RecordOutcome,
        engagement::{Actor, Body, Closed},
        ledger::testing::history_from,
    };

    /// Leaves of events at these minutes.
    fn leaves(minutes: &[i64]) -> Vec<Logged> {
        let leaf = |(minute, position): (&i64, u64)| {
            let (id, at) = ("k7m2q".parse().unwrap(), Timestamp::from_second(minute * 60).unwrap());
            let body = if minute % 2 == 0 {
                Body::Closed(Closed { outcome: RecordOutcome::Done, reason: "no".into() })
            } else {
                // What was handed out while it ran.
                Body::Cancelled { reason: "no".into() }
            };
            let sealed = chain::seal(&id, position + 1, at, Actor::Program, body, Digest::ZERO).unwrap();
            Logged { position, engagement: id, seq: position + 1, bytes: Some(sealed.bytes) }
        };
        minutes.iter().zip(0..).map(leaf).collect()
    }

    #[test]
    fn events_that_are_dated_before_what_the_log_had_are_told() {
        let keys = history_from(&[1], Timestamp::UNIX_EPOCH);
        assert_eq!(dated_back(&leaves(&[2, 4, 4, 20, 18, 20, 3, 22]), &keys), None);
        let told = dated_back(&leaves(&[2, 50, 10, 12, 60]), &keys).unwrap();
        assert!(told.starts_with("THE CLOCK WAS SET BACK: event 3 of k7m2q says 1970-01-01T00:10:00Z"), "{told}");
        assert!(
            told.contains("event 2 of k7m2q, which the log had before it, 1970-01-01T00:50:00Z (and 1 more);"),
            "{told}"
        );
    }
}
