//! What a journal reads of its store while pure code works: the documents that it finds it needs.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::super::{error::LedgerError, store::Store};
use crate::{
    artifact::Digest,
    engagement::{Fetch, unsealed},
};

/// The documents of one engagement in its store.
pub(super) struct Fetched {
    store: Arc<dyn Store>,
    /// Whether the engagement seals: then what has the form of a sealed document is one, since nothing else that its
    /// events name has that form.
    seals: bool,
    /// What could not be read since the last time that somebody asked.
    failed: Mutex<Option<LedgerError>>,
}

impl Fetched {
    pub(super) fn new(store: Arc<dyn Store>, seals: bool) -> Self {
        Self { store, seals, failed: Mutex::default() }
    }

    /// The document in stored bytes, or the value in it where it is sealed.
    pub(super) fn read(&self, digest: &Digest, bytes: &[u8]) -> Result<Arc<Value>, LedgerError> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| LedgerError::blob(digest, error.to_string()))?;
        Ok(Arc::new(if self.seals { unsealed(value) } else { value }))
    }

    /// Whether all that was asked for since the last time could be read.
    pub(super) fn result(&self) -> Result<(), LedgerError> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// What was read, or nothing and why.
    fn kept<T>(&self, digest: &Digest, read: Result<Option<T>, LedgerError>) -> Option<T> {
        read.unwrap_or_else(|error| {
            tracing::warn!(%digest, %error, "a document could not be read");
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            None
        })
    }
}

impl Fetch for Fetched {
    fn fetch(&self, digest: &Digest) -> Option<Arc<Value>> {
        let read = self.store.fetch(*digest).and_then(|bytes| bytes.map(|bytes| self.read(digest, &bytes)).transpose());
        self.kept(digest, read)
    }

    fn bytes(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.kept(digest, self.store.fetch(*digest))
    }
}
