//! How an engagement is opened: from its last snapshot on where there is one, else from its beginning.

use std::sync::Arc;

use super::{
    super::snapshot, Journal, believed::believed, clock::Clock, fetched::Fetched, first, fold, follow, leased::Leased,
    said,
};
use crate::{
    artifact::{Digest, EngagementId},
    engagement::{Blobs, Documents, Fetch, State},
    ledger::{LedgerError, chain, is_logged, log, store::Store},
};

impl Journal {
    /// Opens an engagement: folds its chain, checking every link from the last snapshot on, or all where there is none,
    /// and that it is what the log over all engagements has of it. What the events name is read when it is asked for;
    /// the current artifacts, at once.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`] for an unknown id, [`LedgerError::Corrupt`] or [`LedgerError::Document`] for a chain or
    /// a document that is not what was written, or one that was cut at its end or answered past the log,
    /// [`LedgerError::Unbelieved`] for an answer that nobody shows to have given,
    /// and [`LedgerError::Elsewhere`] for a chain of another ledger.
    pub async fn open(store: Arc<dyn Store>, id: &EngagementId) -> Result<Self, LedgerError> {
        let mut journal = match Self::resume(&store, id).await? {
            Some(journal) => journal,
            None => Self::replay(store, id).await?,
        };
        of_this_ledger(journal.store.as_ref(), &journal.state).await?;
        journal.refresh()?;
        journal.hold_to_log().await?;
        Ok(journal)
    }

    /// Whether what was read is what the log over all engagements has of it, neither more nor less, and up to its last leaf the
    /// very events. Which of them belong in it is looked at only where it has no leaf so late.
    async fn hold_to_log(&self) -> Result<(), LedgerError> {
        let (id, last) = (&self.state.id, self.store.last_leaf(&self.state.id).await?);
        let covers = last.map_or(0, |(_, seq)| seq);
        if let Some(last) = last
            && let Some(reason) = log::anew(self.store.as_ref(), id, last, (self.state.seq, self.state.head)).await?
        {
            return Err(LedgerError::corrupt(format!("the chain of engagement {id}"), reason));
        }
        let later: Vec<u64> = self.said.iter().copied().filter(|seq| *seq > covers).collect();
        if later.is_empty() && covers <= self.state.seq {
            return Ok(());
        }
        let mut last = None;
        for bytes in self.store.events_at(id, &later).await? {
            let event = chain::read(&bytes).map_err(|error| LedgerError::event(id, &error))?;
            last = Some(event).filter(|event| is_logged(&event.body)).or(last);
        }
        let last = last.as_ref().map(|event| (event.seq, event.body.kind()));
        held_to_log(self.store.as_ref(), &self.state, last).await
    }

    /// From the last snapshot on; nothing where there is none that goes with the chain.
    async fn resume(store: &Arc<dyn Store>, id: &EngagementId) -> Result<Option<Self>, LedgerError> {
        let read = store.snapshot(id).await?.and_then(|bytes| snapshot::read(&bytes));
        let Some((state, told)) = read else { return Ok(None) };
        let stored = store.events(id, state.seq.saturating_sub(1)).await?;
        let Some((_, later)) = stored.split_first().filter(|(last, _)| snapshot::is_of(&state, last)) else {
            tracing::warn!(engagement = %id, "its snapshot is not of its chain; all its events are read instead");
            return Ok(None);
        };
        if !said_so(store.as_ref(), &state, &told).await? {
            tracing::warn!(engagement = %id, "its snapshot says what its chain does not; all its events are read instead");
            return Ok(None);
        }
        let mut journal = Self::holding(Arc::clone(store), state);
        (journal.snapshot_at, journal.said) = (journal.state.seq, told);
        let later = fold(store.as_ref(), &mut journal.state, later)?;
        journal.said.extend(said(&later));
        journal.clock.hear(journal.state.last_at);
        Ok(Some(journal))
    }

    /// From the beginning.
    async fn replay(store: Arc<dyn Store>, id: &EngagementId) -> Result<Self, LedgerError> {
        let stored = store.events(id, 0).await?;
        let Some((bytes, later)) = stored.split_first() else { return Err(LedgerError::Missing(id.clone())) };
        let begun = follow(id, bytes, 1, Digest::ZERO)?;
        let mut journal = Self::holding(Arc::clone(&store), first(&begun)?);
        let later = fold(store.as_ref(), &mut journal.state, later)?;
        journal.said.extend(said(&later));
        journal.clock.hear(journal.state.last_at);
        Ok(journal)
    }

    pub(super) fn holding(store: Arc<dyn Store>, state: State) -> Self {
        let fetched = Arc::new(Fetched::new(Arc::clone(&store), state.requested.seal.is_some()));
        let blobs = Blobs::fetching(Arc::clone(&fetched) as Arc<dyn Fetch>);
        let documents = Documents::default();
        // An engagement begins with what was asked for.
        let (said, clock) = (vec![1], Clock::from(state.last_at));
        let (durable, staged) = (None, Vec::new());
        Self {
            store,
            state,
            durable,
            staged,
            documents,
            blobs,
            fetched,
            snapshot_at: 0,
            said,
            clock,
            leased: Leased::default(),
        }
    }

    /// Parses the documents that are current now.
    fn refresh(&mut self) -> Result<(), LedgerError> {
        let refreshed = self.documents.refresh(&self.state, &self.blobs);
        self.fetched.result()?;
        Ok(refreshed?)
    }
}

/// What was done after a cut is not known here, and would be done again; what was answered past the log nobody can be shown
/// later. `last` is the last event up to here that belongs in the log, where that has to be looked at.
pub(super) async fn held_to_log(
    store: &dyn Store,
    state: &State,
    last: Option<(u64, &str)>,
) -> Result<(), LedgerError> {
    match log::torn(store, &state.id, state.seq, last).await? {
        Some(reason) => Err(LedgerError::corrupt(format!("the chain of engagement {}", state.id), reason)),
        None => Ok(()),
    }
}

/// What was answered in one ledger opens nothing in another, whoever put its chain there.
pub(super) async fn of_this_ledger(store: &dyn Store, state: &State) -> Result<(), LedgerError> {
    let Some(asked_in) = state.asked_in.clone() else { return Ok(()) };
    let here = store.ledger().await?;
    if asked_in == here { Ok(()) } else { Err(LedgerError::Elsewhere { engagement: state.id.clone(), asked_in, here }) }
}

/// Whether the events at these places, each believed by itself, say what a snapshot says of people: a key of the ledger
/// makes no answer. Those between them are not read, so each is taken for what follows the event that it names.
async fn said_so(store: &dyn Store, state: &State, told: &[u64]) -> Result<bool, LedgerError> {
    let stored = store.events_at(&state.id, told).await?;
    let mut folded: Option<State> = None;
    let in_place = |seq: u64| told.first() == Some(&1) && seq <= state.seq;
    if stored.len() != told.len() {
        return Ok(false);
    }
    for (bytes, seq) in stored.iter().zip(told) {
        let read = chain::read(bytes).ok();
        let Some(event) = read.filter(|event| event.engagement == state.id && event.seq == *seq && in_place(*seq))
        else {
            return Ok(false);
        };
        let Some(before) = &mut folded else {
            folded = State::begin(&event);
            continue;
        };
        (before.seq, before.head) = (event.seq.saturating_sub(1), event.prev);
        match believed(store, before, &event) {
            Ok(()) if snapshot::says(&event) => before.apply(&event),
            Ok(()) | Err(LedgerError::Unbelieved { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(folded.is_some_and(|folded| snapshot::rests_on(state, &folded)))
}
