//! The log as those who check it see it: proofs from what is stored, and the whole of it made again from the events, so
//! that neither a stored hash nor a stored checkpoint is taken at its word.

mod check;
mod growing;
mod held;
mod unlogged;

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
    keys::KeyHistory,
    merkle::{self, Leaf, Nodes, Tree},
    note::Note,
    store::{Logged, Store},
    verify::Problem,
};

pub(super) use check::UNCOVERED;
pub use check::{Freshness, LogCheck, LogProblem, check_log};
pub(super) use growing::{Grown, Signer, Stored, bears_out, with_leaves};
pub use held::{anew, held, torn};
pub use unlogged::is_logged;
pub(super) use unlogged::unlogged;

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

/// Whether the log of the last checkpoint has this leaf at this place, by the hashes that are stored of its tree; of one that is
/// under no checkpoint yet nothing is known.
///
/// # Errors
///
/// [`LedgerError::Corrupt`]; and whatever the store gives.
async fn bears_out_leaf(store: &dyn Store, place: u64, leaf: &Leaf) -> Result<bool, LedgerError> {
    let last = last_checkpoint(store).await?.filter(|(checkpoint, _)| place < checkpoint.size);
    let Some((Checkpoint { size, root, .. }, _)) = last else { return Ok(true) };
    let path = path(store, merkle::inclusion(place, size), size).await?;
    let leaf = leaf.bytes().map_err(|error| LedgerError::corrupt("the log", error.to_string()))?;
    Ok(merkle::includes(size, &root, place, &leaf, &path))
}

/// Where the ledger that an approver was asked in is not this one, or what they saw of its log when they signed is not
/// what it was then.
///
/// # Errors
///
/// [`LedgerError::Corrupt`]; and whatever the store gives.
pub async fn asked_otherwise(store: &dyn Store, bundle: &Bundle) -> Result<Vec<Problem>, LedgerError> {
    let (leaves, here) = (store.log_size().await?, store.ledger().await?);
    let mut found: Vec<Problem> = bundle
        .asked_in()
        .into_iter()
        .filter(|(_, ledger)| *ledger != here)
        .map(|(seq, ledger)| Problem::at(seq, format!("asked in the ledger {ledger}, and this is the ledger {here}")))
        .collect();
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

#[cfg(test)]
mod tests;
