//! The log as those who check it see it: proofs from what is stored, and the whole of it made again from the events, so
//! that neither a stored hash nor a stored checkpoint is taken at its word.

mod held;

use serde::{Deserialize, Serialize};

use crate::{
    artifact::{Digest, EngagementId},
    engagement::LogSeen,
};

use super::{
    bundle::Bundle,
    chain,
    checkpoint::{Checkpoint, read_checkpoints},
    error::LedgerError,
    keys::{KeyHistory, origin},
    merkle::{self, Leaf, Nodes, Tree},
    note::Note,
    store::{Logged, Store},
    verify::Problem,
};

pub use held::held;

/// That the log of a checkpoint has a leaf. Checked with nothing but the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// The leaf.
    pub leaf: Leaf,
    /// Its place among the leaves, from 0.
    pub index: u64,
    /// The hashes from beside the leaf up to below the root (RFC 6962, 2.1.1).
    pub path: Vec<Digest>,
    /// The checkpoint, as it was signed.
    pub checkpoint: String,
}

impl InclusionProof {
    /// The checkpoint, if the proof holds; else what is wrong with it.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn check(&self, keys: &KeyHistory) -> Result<Checkpoint, String> {
        let note: Note = self.checkpoint.parse().map_err(|error| format!("its checkpoint: {error}"))?;
        let (checkpoint, _) = signed(&note, keys)?;
        let leaf = self.leaf.bytes().map_err(|error| error.to_string())?;
        if merkle::includes(checkpoint.size, &checkpoint.root, self.index, &leaf, &self.path) {
            Ok(checkpoint)
        } else {
            Err(format!("it does not lead from its leaf to the root of the checkpoint of {}", checkpoint.size))
        }
    }
}

/// That the log of one size begins with that of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// The earlier size.
    pub old: u64,
    /// The root then.
    pub old_root: Digest,
    /// The later size.
    pub new: u64,
    /// The root then.
    pub new_root: Digest,
    /// The hashes that lead from one to the other (RFC 6962, 2.1.2).
    pub path: Vec<Digest>,
}

impl ConsistencyProof {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        merkle::extends((self.old, &self.old_root), (self.new, &self.new_root), &self.path)
    }
}

/// The last checkpoint with its note; nothing where there is none yet.
///
/// # Errors
///
/// [`LedgerError::Corrupt`] if it cannot be read; and whatever the store gives.
pub async fn last_checkpoint(store: &dyn Store) -> Result<Option<(Checkpoint, Note)>, LedgerError> {
    let Some(text) = store.last_checkpoint().await? else { return Ok(None) };
    let wrong = |error: super::note::NoteError| LedgerError::corrupt("the last checkpoint", error.to_string());
    Ok(read_checkpoints(&text).map_err(wrong)?.pop())
}

/// Proves that the last leaf of an engagement is in the log of the last checkpoint; nothing where it has no leaf in it.
///
/// # Errors
///
/// [`LedgerError::Corrupt`]; and whatever the store gives.
pub async fn prove(store: &dyn Store, id: &EngagementId) -> Result<Option<InclusionProof>, LedgerError> {
    let Some(last) = last_checkpoint(store).await? else { return Ok(None) };
    prove_under(store, id, u64::MAX, &last).await
}

/// The same under a checkpoint that this log had, for the last leaf of events up to `seq`.
///
/// # Errors
///
/// [`LedgerError::Corrupt`]; and whatever the store gives.
pub async fn prove_under(
    store: &dyn Store,
    id: &EngagementId,
    seq: u64,
    (checkpoint, note): &(Checkpoint, Note),
) -> Result<Option<InclusionProof>, LedgerError> {
    let logged = store.logged(Some(id)).await?;
    let under = |leaf: &&Logged| leaf.position < checkpoint.size && leaf.seq <= seq;
    let Some(last) = logged.iter().rev().find(under) else { return Ok(None) };
    let leaf = leaf_of(last).map_err(|what| LedgerError::corrupt("the log", what))?;
    let places = merkle::inclusion(last.position, checkpoint.size);
    let path = path(store, places, checkpoint.size).await?;
    Ok(Some(InclusionProof { leaf, index: last.position, path, checkpoint: note.to_string() }))
}

/// Proves that the log of `new` leaves begins with that of `old`; nothing for sizes that it never had.
///
/// # Errors
///
/// [`LedgerError::Corrupt`]; and whatever the store gives.
pub async fn consistency(store: &dyn Store, old: u64, new: u64) -> Result<Option<ConsistencyProof>, LedgerError> {
    let places = merkle::consistency(old, new);
    if places.is_none() || new > store.log_size().await? {
        return Ok(None);
    }
    let path = path(store, places, new).await?;
    let (old_root, new_root) = (log_root(store, old).await?, log_root(store, new).await?);
    Ok(Some(ConsistencyProof { old, old_root, new, new_root, path }))
}

/// The root of the log when it had `size` leaves, from the hashes that are stored.
///
/// # Errors
///
/// [`LedgerError::Corrupt`] for a size that it never had; and whatever the store gives.
pub async fn log_root(store: &dyn Store, size: u64) -> Result<Digest, LedgerError> {
    let nodes = store.log_nodes(&merkle::needed_for_root(size)).await?;
    merkle::root(size, &nodes).ok_or_else(hole)
}

/// What whoever signs an answer says of the log; nothing of one that has no leaves. The last checkpoint must go with it: a
/// log that was rolled back is noticed here, before anybody signs what was made of it. Where that covers all leaves, as it
/// does unless nobody could read the key, its root is theirs; else it is made again from the leaves, of which no stored
/// hash is taken at its word. Without the keys it is not asked who signed the checkpoint.
///
/// # Errors
///
/// [`LedgerError::Corrupt`] if it does not; and whatever the store gives.
pub async fn head(store: &dyn Store, keys: Option<&KeyHistory>) -> Result<Option<LogSeen>, LedgerError> {
    let corrupt = |what: String| LedgerError::corrupt("the log", what);
    let (last, size) = (last_checkpoint(store).await?, store.log_size().await?);
    let covers = last.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size);
    if let (Some((_, note)), Some(keys)) = (&last, keys) {
        signed(note, keys).map_err(corrupt)?;
    }
    if covers > size {
        let what = format!("its last checkpoint covers {covers} leaves, and there are {size}: it was rolled back");
        return Err(corrupt(what));
    }
    if size == 0 {
        return Ok(None);
    }
    let (then, now) = if covers == size {
        let root = log_root(store, size).await?;
        (Some(root), Some(root))
    } else {
        let mut tree = Tree::default();
        for (leaf, place) in store.logged(None).await?.iter().zip(0..) {
            tree.push(&leaf_at(leaf, place).map_err(corrupt)?);
        }
        (tree.root_at(covers), tree.root_at(size))
    };
    if last.is_some_and(|(checkpoint, _)| then != Some(checkpoint.root)) {
        return Err(corrupt(format!(
            "its last checkpoint of {covers} leaves is over others than there are: one was changed, left out or put in"
        )));
    }
    Ok(now.map(|root| LogSeen { size, root }))
}

/// Where what an approver saw of the log when they signed is not what it was then.
///
/// # Errors
///
/// [`LedgerError::Corrupt`]; and whatever the store gives.
pub async fn seen_otherwise(store: &dyn Store, bundle: &Bundle) -> Result<Vec<Problem>, LedgerError> {
    let (leaves, mut found) = (store.log_size().await?, Vec::new());
    for (seq, LogSeen { size, root }) in bundle.logs_seen() {
        let what = match size > leaves {
            true => {
                format!("whoever signed this saw {size} leaves in the log, and there are {leaves}: it was rolled back")
            }
            false if log_root(store, size).await? == root => continue,
            false => format!("whoever signed this saw another log: of its first {size} leaves one was changed"),
        };
        found.push(Problem::at(seq, what));
    }
    Ok(found)
}

async fn path(store: &dyn Store, places: Option<Vec<u64>>, size: u64) -> Result<Vec<Digest>, LedgerError> {
    let places = places.unwrap_or_default();
    let nodes: Nodes = store.log_nodes(&merkle::needed_for(&places, size)).await?;
    merkle::path(&places, size, &nodes).ok_or_else(hole)
}

fn hole() -> LedgerError {
    LedgerError::corrupt("the log", "a hash of its tree is missing")
}

/// The leaf that an event gives, from the event's own bytes.
fn leaf_of(logged: &Logged) -> Result<Leaf, String> {
    let Logged { position, engagement, seq, bytes } = logged;
    let named = format!("leaf {position} is of event {seq} of {engagement}");
    let bytes = bytes.as_ref().ok_or_else(|| format!("{named}, which is missing"))?;
    let event = chain::read(bytes).map_err(|error| format!("{named}: {error}"))?;
    if event.engagement != *engagement || event.seq != *seq {
        return Err(format!("{named}, but event {} of {} stands there", event.seq, event.engagement));
    }
    Ok(Leaf { engagement: engagement.clone(), head: event.hash, seq: *seq })
}

/// The first so many leaves, one a line.
///
/// # Errors
///
/// [`LedgerError::Corrupt`] where one is missing; and whatever the store gives.
pub(super) async fn leaves(store: &dyn Store, size: u64) -> Result<Vec<u8>, LedgerError> {
    let mut lines = Vec::new();
    for (leaf, place) in store.logged(None).await?.iter().zip(0..size) {
        lines.extend(leaf_at(leaf, place).map_err(|what| LedgerError::corrupt("the log", what))?);
        lines.push(b'\n');
    }
    Ok(lines)
}

/// The bytes of the leaf that stands at this place.
fn leaf_at(leaf: &Logged, place: u64) -> Result<Vec<u8>, String> {
    match leaf.position == place {
        true => leaf_of(leaf).and_then(|leaf| leaf.bytes().map_err(|error| error.to_string())),
        false => Err(format!("leaf {place} is missing: leaf {} stands in its place", leaf.position)),
    }
}

/// The checkpoint of a note and the place of the key of the ledger that signed it, if one did.
fn signed(note: &Note, keys: &KeyHistory) -> Result<(Checkpoint, usize), String> {
    let checkpoint = Checkpoint::of(note).map_err(|error| error.to_string())?;
    let size = checkpoint.size;
    if keys.keys().last().is_some_and(|published| published.key.name() != checkpoint.origin) {
        return Err(format!("the checkpoint of {size} is of another log: {}", checkpoint.origin));
    }
    match keys.signer_of(note, size) {
        Ok((place, _)) => Ok((checkpoint, place)),
        Err(why) => Err(format!("the checkpoint of {size} {why}")),
    }
}

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
pub(super) const UNCOVERED: &str = "none of the published checkpoints covers this, so they do not show that it is whole; \
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
    /// As [`super::Verification::wants_a_witness`].
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
    let logged = store.logged(None).await?;
    let mut check = Check { keys, tree: Tree::default(), broken: false, signed: Vec::new(), problems: Vec::new() };
    check.build(&logged);
    let own_origin = origin(&store.ledger().await?);
    if keys.keys().last().is_some_and(|published| published.key.name() != own_origin) {
        check.problem(0, format!("the keys are those of another ledger than {own_origin}"));
    }
    let mut own = Vec::new();
    for text in store.checkpoints(0).await? {
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
    let size = logged.len() as u64;
    let mut notes = Vec::new();
    if own.is_empty() && size > 0 {
        let what = format!(
            "there is no checkpoint over its {size} leaves, and its keys are here: those it had were taken out"
        );
        check.problem(0, what);
    } else if checkpointed < size {
        notes.push(format!("the last {} of {size} leaves are under no checkpoint yet", size - checkpointed));
    }
    let freshness = witnessed.map_or(Freshness::NotWitnessed, |size| Freshness::Witnessed { size, seq: None });
    let root = check.tree.root_at(check.tree.size()).filter(|_| !check.broken);
    Ok(LogCheck { ok: check.problems.is_empty(), size, root, checkpointed, freshness, problems: check.problems, notes })
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
                let from = good.unwrap_or(0);
                self.problem(from, format!(
                    "{whose} checkpoint of {covers} leaves is over others than the log has: of leaves {from} to {} at \
                     least one was changed, left out or put in (a fork)", covers.saturating_sub(1)
                ));
                break;
            }
            good = Some(covers);
        }
        good
    }
}

#[cfg(test)]
mod tests;
