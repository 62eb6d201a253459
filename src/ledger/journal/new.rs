//! Documents on their way into the store, beside the events that name them.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use crate::{
    artifact::{Digest, Written, canonical, digest_bytes},
    engagement::{Blobs, Event, opened},
};

use super::super::{chain::ChainError, error::LedgerError, mentions::mentions};

/// Documents on their way into the store, as values and as bytes.
pub(super) struct New {
    pub(super) values: Blobs,
    pub(super) bytes: Vec<(Digest, Vec<u8>)>,
}

impl New {
    /// The values are read back from their bytes, for the same reason as events are. Those that are `known` are stored,
    /// or are written with what is staged, and are not written again.
    pub(super) fn of(documents: Vec<Value>, known: &Blobs, sealed: &BTreeSet<Digest>) -> Result<Self, LedgerError> {
        let mut values = Blobs::new();
        let mut stored = Vec::with_capacity(documents.len());
        for document in documents {
            let bytes = canonical(&document).map_err(|error| LedgerError::Unwritable(error.into()))?;
            let digest = digest_bytes(&bytes);
            if known.holds(&digest) {
                continue;
            }
            let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
                LedgerError::Unwritable(ChainError::Unreadable { at: digest.to_string(), reason: error.to_string() })
            })?;
            let value = if sealed.contains(&digest) { open(&digest, &value)? } else { Arc::new(value) };
            values.insert(digest, value);
            stored.push((digest, bytes));
        }
        Ok(Self { values, bytes: stored })
    }

    /// Those of these that are not `known`.
    pub(super) fn add(&mut self, grounds: &[Arc<Written>], known: &Blobs) {
        for written in grounds {
            let digest = written.digest();
            if !known.holds(&digest) && !self.values.holds(&digest) {
                self.values.insert(digest, Arc::clone(written.value()));
                self.bytes.push((digest, written.bytes().to_vec()));
            }
        }
    }
}

/// The sealed documents that events name.
pub(super) fn sealed_by<'a>(events: impl IntoIterator<Item = &'a Event>) -> BTreeSet<Digest> {
    events.into_iter().flat_map(mentions).filter(|mention| mention.sealed).map(|mention| mention.digest).collect()
}

/// The value in a sealed document.
fn open(digest: &Digest, document: &Value) -> Result<Arc<Value>, LedgerError> {
    opened(document).ok_or_else(|| LedgerError::blob(digest, "it is no sealed document"))
}
