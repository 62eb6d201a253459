//! How an engagement is opened: from its last snapshot on where there is one, else from its beginning.

use std::sync::Arc;

use super::{super::snapshot, Journal, fetched::Fetched, first, fold, follow};
use crate::{
    artifact::{Digest, EngagementId},
    engagement::{Blobs, Documents, Fetch, State},
    ledger::{LedgerError, store::Store},
};

impl Journal {
    /// Opens an engagement: folds its chain, checking every link from the last snapshot on, or all where there is none.
    /// What the events name is read when it is asked for; the current artifacts, at once.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`] for an unknown id, [`LedgerError::Corrupt`] or [`LedgerError::Document`] for a chain or
    /// a document that is not what was written.
    pub async fn open(store: Arc<dyn Store>, id: &EngagementId) -> Result<Self, LedgerError> {
        let mut journal = match Self::resume(&store, id).await? {
            Some(journal) => journal,
            None => Self::replay(store, id).await?,
        };
        journal.refresh()?;
        Ok(journal)
    }

    /// From the last snapshot on; nothing where there is none that goes with the chain.
    async fn resume(store: &Arc<dyn Store>, id: &EngagementId) -> Result<Option<Self>, LedgerError> {
        let Some(state) = store.snapshot(id).await?.and_then(|bytes| snapshot::read(&bytes)) else { return Ok(None) };
        let stored = store.events(id, state.seq.saturating_sub(1)).await?;
        let Some((_, later)) = stored.split_first().filter(|(last, _)| snapshot::is_of(&state, last)) else {
            tracing::warn!(engagement = %id, "its snapshot is not of its chain; all its events are read instead");
            return Ok(None);
        };
        let mut journal = Self::holding(Arc::clone(store), state);
        journal.snapshot_at = journal.state.seq;
        fold(store.as_ref(), &mut journal.state, later)?;
        Ok(Some(journal))
    }

    /// From the beginning.
    async fn replay(store: Arc<dyn Store>, id: &EngagementId) -> Result<Self, LedgerError> {
        let stored = store.events(id, 0).await?;
        let Some((bytes, later)) = stored.split_first() else { return Err(LedgerError::Missing(id.clone())) };
        let begun = follow(id, bytes, 1, Digest::ZERO)?;
        let mut journal = Self::holding(Arc::clone(&store), first(&begun)?);
        fold(store.as_ref(), &mut journal.state, later)?;
        Ok(journal)
    }

    pub(super) fn holding(store: Arc<dyn Store>, state: State) -> Self {
        let fetched = Arc::new(Fetched::new(Arc::clone(&store), state.requested.seal.is_some()));
        let blobs = Blobs::fetching(Arc::clone(&fetched) as Arc<dyn Fetch>);
        let documents = Documents::default();
        Self { store, state, durable: None, staged: Vec::new(), documents, blobs, fetched, snapshot_at: 0 }
    }

    /// Parses the documents that are current now.
    fn refresh(&mut self) -> Result<(), LedgerError> {
        let refreshed = self.documents.refresh(&self.state, &self.blobs);
        self.fetched.result()?;
        Ok(refreshed?)
    }
}
