//! The log as a backend writes it, in the transaction of the events that it grows by: what it needs of what is stored, and
//! what is to be stored with it. Nothing here knows how anything is stored.

use std::{path::PathBuf, sync::Arc};

use crate::{
    artifact::{Digest, LedgerId},
    ledger::{
        checkpoint::Checkpoint,
        error::LedgerError,
        keys::{KeyError, LedgerKeys, origin},
        merkle::{self, Leaf, Nodes},
        note::NoteKey,
    },
};

/// A log as it is stored.
pub(in crate::ledger) struct Stored {
    /// The ledger.
    pub(in crate::ledger) ledger: LedgerId,
    /// How many leaves there are.
    pub(in crate::ledger) size: u64,
    /// The last checkpoint, as it was signed.
    pub(in crate::ledger) last: Option<String>,
}

/// What a log has grown by.
pub(in crate::ledger) struct Grown {
    /// How many leaves there are now.
    pub(in crate::ledger) size: u64,
    /// The leaves that are new, each with its place.
    pub(in crate::ledger) leaves: Vec<(u64, Leaf)>,
    /// The hashes of the tree that are new, each with its place; none that is stored changes.
    pub(in crate::ledger) made: Vec<(u64, Digest)>,
    /// The checkpoint of all leaves, where there is a key to sign it with.
    pub(in crate::ledger) checkpoint: Option<String>,
}

impl Stored {
    /// The places of the hashes that growing it needs.
    pub(in crate::ledger) fn needs(&self) -> Vec<u64> {
        let mut places = merkle::needed_for_root(self.size);
        places.extend(self.last_one().map(|last| merkle::needed_for_root(last.size)).unwrap_or_default());
        places.sort_unstable();
        places.dedup();
        places
    }

    /// What it becomes with more leaves, or with none where its last ones are under no checkpoint; nothing where there is
    /// nothing to be written. `nodes` are the hashes that it [needs](Self::needs).
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`] where the hashes do not lead to the last checkpoint, or one is missing.
    pub(in crate::ledger) fn grow(
        self,
        nodes: Nodes,
        leaves: Vec<Leaf>,
        signer: &mut Signer,
    ) -> Result<Option<Grown>, LedgerError> {
        let last = self.last_one();
        if let Some(last) = &last {
            bears_out(self.size, &nodes, last)?;
        }
        if leaves.is_empty() && self.size == last.map_or(0, |last| last.size) {
            return Ok(None);
        }
        let (mut grown, nodes) = with_leaves(self.size, nodes, leaves)?;
        if let Some(key) = signer.key(&self.ledger, self.last.as_deref()) {
            let root = merkle::root(grown.size, &nodes).ok_or_else(hole)?;
            let checkpoint = Checkpoint { origin: origin(&self.ledger), size: grown.size, root };
            grown.checkpoint = Some(checkpoint.sign(&key).to_string());
        }
        Ok(Some(grown))
    }

    /// The last checkpoint; who signed it is asked elsewhere, and after one that cannot be read nothing is signed.
    fn last_one(&self) -> Option<Checkpoint> {
        Checkpoint::of(&self.last.as_deref()?.parse().ok()?).ok()
    }
}

/// Whether what is stored of the log is what was signed last. What goes on from anything else would be signed with it, and
/// be another log from then on.
///
/// # Errors
///
/// [`LedgerError::Corrupt`] if not.
pub(in crate::ledger) fn bears_out(size: u64, nodes: &Nodes, last: &Checkpoint) -> Result<(), LedgerError> {
    let covers = last.size;
    if covers > size {
        let what = format!("its last checkpoint covers {covers} leaves, and there are {size}: it was rolled back");
        return Err(LedgerError::corrupt("the log", what));
    }
    if merkle::root(covers, nodes) == Some(last.root) {
        return Ok(());
    }
    let what = format!("the hashes that are stored of its tree do not lead to its last checkpoint, of {covers} leaves");
    Err(LedgerError::corrupt("the log", what))
}

/// The log of this size with more leaves, unsigned, and the hashes that its root comes from, and more.
pub(in crate::ledger) fn with_leaves(
    size: u64,
    mut nodes: Nodes,
    leaves: Vec<Leaf>,
) -> Result<(Grown, Nodes), LedgerError> {
    let mut grown = Grown { size, leaves: Vec::with_capacity(leaves.len()), made: Vec::new(), checkpoint: None };
    for leaf in leaves {
        let bytes = leaf.bytes().map_err(|error| LedgerError::Unwritable(error.into()))?;
        let new = merkle::append(grown.size, merkle::leaf_hash(&bytes), &nodes).ok_or_else(hole)?;
        nodes.extend(new.iter().copied());
        grown.made.extend(new);
        grown.leaves.push((grown.size, leaf));
        grown.size += 1;
    }
    Ok((grown, nodes))
}

fn hole() -> LedgerError {
    LedgerError::corrupt("the log", "a hash of its tree is missing")
}

/// What signs the log, if anything does.
#[derive(Debug)]
pub(in crate::ledger) struct Signer {
    folder: Option<PathBuf>,
    /// The key, with the public keys among which it is the last.
    known: Option<(String, Arc<NoteKey>)>,
}

impl Signer {
    /// With the key in this folder.
    pub(in crate::ledger) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, known: None }
    }

    /// Whether it signs anything at all.
    pub(in crate::ledger) fn signs(&self) -> bool {
        self.folder.is_some()
    }

    /// Writes down, once it is durable, that so many leaves were signed.
    pub(in crate::ledger) fn keep_signed(&self, ledger: &LedgerId, size: u64) {
        let Some(folder) = self.folder.clone() else { return };
        if let Err(error) = LedgerKeys::of(folder, ledger).keep_signed(size) {
            tracing::warn!(error = words(&error), "how far the log was signed was not written down");
        }
    }

    /// The key. A log that is not signed now is signed with its next leaf, by whoever may read the key.
    pub(in crate::ledger) fn key(&mut self, ledger: &LedgerId, last: Option<&str>) -> Option<Arc<NoteKey>> {
        let keys = LedgerKeys::of(self.folder.clone()?, ledger).of_a_signed_log(last.is_some());
        let read = || {
            // One that cannot be read is found when the log is checked; nothing is signed after it.
            keys.fit(last.map(str::parse).transpose().map_err(|error| keys.unfit(&error))?.as_ref())?;
            Ok((keys.public_text()?, Arc::new(keys.signer()?)))
        };
        let known = self.known.take().filter(|(text, _)| keys.public_text().is_ok_and(|now| now == *text));
        match known.map_or_else(read, Ok) {
            Ok(known) => Some(Arc::clone(&self.known.insert(known).1)),
            Err(error) => {
                let error = words(&error as &KeyError);
                tracing::warn!(%error, "nothing was signed with the ledger's key; the next checkpoint covers what was written");
                None
            }
        }
    }
}

/// An error with what it rests on.
fn words(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
