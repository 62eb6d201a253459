//! A handle on one engagement: the state that its chain folds into, its documents, and the one way to add to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    artifact::{Digest, EngagementId, canonical, digest_bytes},
    engagement::{Actor, Blobs, Body, Command, Documents, Event, Refusal, Requested, State, decide_for},
};

use super::{
    chain::{self, ChainError, Sealed},
    error::LedgerError,
    mentions::mentions,
    store::{Append, Link, Store},
    summary::Summary,
};

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The engagement does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store could not take it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A handle on one engagement. What it holds is what is stored: nothing is folded before it is durable.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
    state: State,
    documents: Documents,
    blobs: Blobs,
}

impl Journal {
    /// Begins an engagement.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Conflict`] if the id is taken, [`LedgerError::Document`] if the request is not among `documents`
    /// or cannot be read; and whatever [`Store::append`] gives.
    pub async fn begin(
        store: Arc<dyn Store>,
        id: EngagementId,
        actor: Actor,
        at: Timestamp,
        requested: Requested,
        documents: Vec<Value>,
    ) -> Result<Self, LedgerError> {
        let sealed = chain::seal(&id, 1, at, actor, Body::Requested(requested), Digest::ZERO)
            .map_err(LedgerError::Unwritable)?;
        let state = first(&sealed.event)?;
        let new = New::of(documents)?;
        let mut journal = Self { store, state, documents: Documents::default(), blobs: new.values };
        journal.documents.refresh(&journal.state, &journal.blobs)?;
        let append = Append {
            engagement: id,
            expected_seq: 0,
            events: vec![link(&sealed)],
            blobs: new.bytes,
            summary: Some(Summary::of(&journal.state)),
        };
        journal.store.append(append).await?;
        Ok(journal)
    }

    /// Opens an engagement: replays its chain, checking every link, and loads what the events name.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`] for an unknown id, [`LedgerError::Corrupt`] or [`LedgerError::Document`] for a chain or
    /// a document that is not what was written.
    pub async fn open(store: Arc<dyn Store>, id: &EngagementId) -> Result<Self, LedgerError> {
        let stored = store.events(id, 0).await?;
        let Some((bytes, later)) = stored.split_first() else { return Err(LedgerError::Missing(id.clone())) };
        let begun = follow(id, bytes, 1, Digest::ZERO)?;
        let mut journal = Self { store, state: first(&begun)?, documents: Documents::default(), blobs: Blobs::new() };
        let mut events = vec![begun];
        journal.fold(later, &mut events)?;
        journal.load_named(&events).await?;
        journal.documents.refresh(&journal.state, &journal.blobs)?;
        if let Some(baseline) = journal.documents.request().and_then(|request| request.baseline) {
            journal.load(&[baseline]).await?;
            let flow = journal.blob(&baseline).and_then(|record| record.get("flow")).cloned();
            let flow: Option<Digest> = flow.and_then(|digest| serde_json::from_value(digest).ok());
            journal.load(&flow.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(journal)
    }

    /// Reads what others wrote since; the answer is how many events that was.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`]; the journal is then as it was.
    pub async fn catch_up(&mut self) -> Result<u64, LedgerError> {
        let stored = self.store.events(&self.state.id, self.state.seq).await?;
        if stored.is_empty() {
            return Ok(0);
        }
        let mut ahead = self.clone();
        let mut events = Vec::new();
        ahead.fold(&stored, &mut events)?;
        ahead.load_named(&events).await?;
        ahead.documents.refresh(&ahead.state, &ahead.blobs)?;
        *self = ahead;
        Ok(events.len() as u64)
    }

    /// Decides a command and writes the event that it gives, with the documents that it names: the one way in which
    /// anything outside the ledger adds to a chain.
    ///
    /// # Errors
    ///
    /// [`JournalError::Refused`] if [`decide_for`] refuses it, else as [`Store::append`].
    pub async fn act(
        &mut self,
        at: Timestamp,
        actor: Actor,
        command: Command,
        documents: Vec<Value>,
    ) -> Result<(), JournalError> {
        let body = decide_for(&self.state, &actor, command)?;
        Ok(self.commit(at, vec![(actor, body)], documents).await?)
    }

    /// Writes events and the documents that they name in one transaction, then folds them. An event is never earlier
    /// than the one before it, whatever the clock says. Without events nothing is written.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Conflict`] if another process wrote meanwhile, [`LedgerError::Document`] if an artifact is filed
    /// that is not stored or cannot be read, [`LedgerError::Unwritable`]; and whatever [`Store::append`] gives. The
    /// journal is then as it was. It is also as it was when the caller stops waiting, though the write may still
    /// happen: [`Journal::catch_up`] before the next one.
    pub(crate) async fn commit(
        &mut self,
        at: Timestamp,
        bodies: Vec<(Actor, Body)>,
        documents: Vec<Value>,
    ) -> Result<(), LedgerError> {
        if bodies.is_empty() {
            return Ok(());
        }
        let at = at.max(self.state.last_at);
        let (mut seq, mut prev) = (self.state.seq, self.state.head);
        let mut sealed = Vec::with_capacity(bodies.len());
        for (actor, body) in bodies {
            seq += 1;
            let next = chain::seal(&self.state.id, seq, at, actor, body, prev).map_err(LedgerError::Unwritable)?;
            prev = next.event.hash;
            sealed.push(next);
        }
        let new = New::of(documents)?;
        // The whole journal is tried on a copy, so that neither a refusal nor a caller who stops waiting leaves a
        // half-folded state.
        let mut ahead = self.clone();
        for next in &sealed {
            ahead.state.apply(&next.event);
        }
        ahead.blobs.extend(new.values);
        ahead.documents.refresh(&ahead.state, &ahead.blobs)?;
        let append = Append {
            engagement: self.state.id.clone(),
            expected_seq: self.state.seq,
            events: sealed.iter().map(link).collect(),
            blobs: new.bytes,
            summary: Some(Summary::of(&ahead.state)),
        };
        self.store.append(append).await?;
        *self = ahead;
        Ok(())
    }

    /// Loads more stored documents, such as a baseline's; those that are not stored are left out.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`] if one is not what its digest says.
    pub async fn load(&mut self, digests: &[Digest]) -> Result<(), LedgerError> {
        let wanted: BTreeSet<Digest> =
            digests.iter().copied().filter(|digest| !self.blobs.contains_key(digest)).collect();
        let wanted: Vec<Digest> = wanted.into_iter().collect();
        for (digest, bytes) in self.store.blobs(&wanted).await? {
            let value =
                serde_json::from_slice(&bytes).map_err(|error| LedgerError::blob(&digest, error.to_string()))?;
            self.blobs.insert(digest, Arc::new(value));
        }
        Ok(())
    }

    /// The engagement.
    pub fn id(&self) -> &EngagementId {
        &self.state.id
    }

    /// What the chain folds into.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The current documents.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// The documents and results that the events name, as far as they are stored.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// One of them.
    pub fn blob(&self, digest: &Digest) -> Option<&Arc<Value>> {
        self.blobs.get(digest)
    }

    /// The store that it is in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn fold(&mut self, stored: &[Vec<u8>], events: &mut Vec<Event>) -> Result<(), LedgerError> {
        for bytes in stored {
            let event = follow(&self.state.id, bytes, self.state.seq + 1, self.state.head)?;
            self.state.apply(&event);
            events.push(event);
        }
        Ok(())
    }

    async fn load_named(&mut self, events: &[Event]) -> Result<(), LedgerError> {
        let named: Vec<Digest> = events.iter().flat_map(mentions).map(|mention| mention.digest).collect();
        self.load(&named).await
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("id", &self.state.id).field("seq", &self.state.seq).finish_non_exhaustive()
    }
}

/// Documents on their way into the store, as values and as bytes.
struct New {
    values: Blobs,
    bytes: Vec<(Digest, Vec<u8>)>,
}

impl New {
    /// The values are read back from their bytes, for the same reason as events are.
    fn of(documents: Vec<Value>) -> Result<Self, LedgerError> {
        let mut values = BTreeMap::new();
        let mut stored = Vec::with_capacity(documents.len());
        for document in documents {
            let bytes = canonical(&document).map_err(|error| LedgerError::Unwritable(error.into()))?;
            let digest = digest_bytes(&bytes);
            let value = serde_json::from_slice(&bytes).map_err(|error| {
                LedgerError::Unwritable(ChainError::Unreadable { at: digest.to_string(), reason: error.to_string() })
            })?;
            values.insert(digest, Arc::new(value));
            stored.push((digest, bytes));
        }
        Ok(Self { values, bytes: stored })
    }
}

fn link(sealed: &Sealed) -> Link {
    Link { seq: sealed.event.seq, bytes: sealed.bytes.clone(), hash: sealed.event.hash }
}

/// The event in stored bytes, if it is this engagement's next.
fn follow(id: &EngagementId, bytes: &[u8], seq: u64, prev: Digest) -> Result<Event, LedgerError> {
    let event = chain::check(bytes, seq, prev).map_err(|error| LedgerError::event(id, &error))?;
    if event.engagement != *id {
        let reason = format!("event {seq} belongs to engagement {}", event.engagement);
        return Err(LedgerError::corrupt(format!("the chain of engagement {id}"), reason));
    }
    Ok(event)
}

fn first(event: &Event) -> Result<State, LedgerError> {
    State::begin(event).ok_or_else(|| {
        let reason = format!("it begins with {}, not with engagement.requested", event.body.kind());
        LedgerError::corrupt(format!("the chain of engagement {}", event.engagement), reason)
    })
}

#[cfg(test)]
mod tests;
