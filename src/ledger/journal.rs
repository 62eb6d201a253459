//! A handle on one engagement: the state that its chain folds into, its documents, and the one way to add to it.

mod again;
mod believed;
mod clock;
mod fetched;
mod leased;
mod new;
mod open;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    artifact::{Digest, EngagementId, Written},
    engagement::{Actor, Blobs, Body, Command, Documents, Event, Refusal, Requested, State, decide_for},
};

use super::{
    chain::{self, Sealed},
    error::LedgerError,
    log::is_logged,
    snapshot,
    store::{Append, Link, Logs, Store},
    summary::Summary,
};

pub use leased::Behind;

use believed::believed;
use clock::Clock;
use fetched::Fetched;
use leased::Leased;
use new::New;
use open::{held_to_log, of_this_ledger};

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

/// A handle on one engagement. What it holds is what is stored, and what [`Journal::act_soon`] has yet to store.
///
/// The state is kept twice, so that what a commit costs does not grow with the history: the next state is folded from
/// the second one, and once it is durable the two change places. A refusal or a caller who stops waiting leaves the
/// first as it was and loses the second, which the next commit copies anew.
pub struct Journal {
    store: Arc<dyn Store>,
    state: State,
    /// What is stored folds into this; nothing where a commit did not come to its end.
    durable: Option<Box<State>>,
    staged: Vec<Staged>,
    documents: Documents,
    blobs: Blobs,
    fetched: Arc<Fetched>,
    /// The place of the event that the last snapshot is of; 0 for none.
    snapshot_at: u64,
    /// The places of the stored events from which what people said follows.
    said: Vec<u64>,
    clock: Clock,
    leased: Leased,
}

/// An event that is folded and not written yet, and what it was decided from.
struct Staged {
    at: Timestamp,
    actor: Actor,
    command: Command,
    documents: Vec<Arc<Written>>,
    sealed: Sealed,
    /// Those of the documents that are written with it.
    new: Vec<Arc<Written>>,
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
        documents: &[Arc<Written>],
    ) -> Result<Self, LedgerError> {
        let sealed = chain::seal(&id, 1, at, actor, Body::Requested(requested), Digest::ZERO)
            .map_err(LedgerError::Unwritable)?;
        let state = first(&sealed.event)?;
        let new = New::of(documents, &Blobs::new());
        let mut journal = Self::holding(store, state);
        journal.documents.refresh(&journal.state, &new.values)?;
        journal.blobs.append(&mut { new.values });
        let append = Append {
            engagement: id,
            expected_seq: 0,
            events: vec![link(&sealed)],
            blobs: new.written,
            destroyed: Vec::new(),
            summary: Some(Summary::of(&journal.state, &journal.documents)),
            logs: Logs::Nothing,
            snapshot: None,
        };
        journal.store.append(append).await?;
        Ok(journal)
    }

    /// Reads what others wrote since; the answer is how many events that was. What is staged is decided again after
    /// what they wrote, and what is refused then is left out: [`crate::engagement::next`] says anew what is to be done.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`]; the journal is then as it was.
    pub async fn catch_up(&mut self) -> Result<u64, LedgerError> {
        let stored = self.store.events(&self.state.id, self.stored_seq()).await?;
        if stored.is_empty() {
            return Ok(0);
        }
        // Whoever stopped waiting does not know whether what was staged was written after all.
        let written = self.staged.iter().zip(&stored).take_while(|(staged, bytes)| staged.sealed.bytes == **bytes);
        let written = written.count();
        if written < self.staged.len() {
            return self.decide_again(stored.len()).await;
        }
        let later = stored.get(written..).unwrap_or_default();
        let mut ahead = self.ahead();
        let events = fold(self.store.as_ref(), &mut ahead, later)?;
        of_this_ledger(self.store.as_ref(), &ahead).await?;
        let mut documents = self.documents.clone();
        let refreshed = documents.refresh(&ahead, &self.blobs);
        self.fetched.result()?;
        refreshed?;
        let logged = events.iter().rev().find(|event| is_logged(&event.body));
        if let Some(event) = logged {
            held_to_log(self.store.as_ref(), &ahead, Some((event.seq, event.body.kind()))).await?;
        }
        self.documents = documents;
        let staged = self.staged.drain(..).map(|staged| staged.sealed.event);
        self.said.extend(said(&staged.collect::<Vec<_>>()));
        self.said.extend(said(&events));
        self.move_on(ahead, &events);
        Ok(stored.len() as u64)
    }

    /// Decides a command and writes the event that it gives, with the documents that it names: the one way in which
    /// anything outside the ledger adds to a chain. What is staged is written with it, and first.
    ///
    /// # Errors
    ///
    /// [`JournalError::Refused`] if [`decide_for`] refuses it, else as [`Store::append`].
    pub async fn act(
        &mut self,
        at: Timestamp,
        actor: Actor,
        command: Command,
        documents: &[Arc<Written>],
    ) -> Result<(), JournalError> {
        self.at_hand(&command)?;
        let body = decide_for(&self.state, &actor, command)?;
        match self.write(at, vec![(actor, body)], documents).await {
            Err(LedgerError::Conflict(id)) if !self.staged.is_empty() => {
                // What is staged is true whoever wrote meanwhile, and is not lost with what was refused.
                self.flush().await?;
                Err(LedgerError::Conflict(id).into())
            }
            written => Ok(written?),
        }
    }

    /// Decides a command and folds the event that it gives, which is written with the next one, or by
    /// [`Journal::flush`]. For what a process that is killed finds out again: until it is written nobody may rest on
    /// it, so whoever waits for anything else flushes first.
    ///
    /// # Errors
    ///
    /// As [`Journal::act`]; the journal is then as it was.
    pub fn act_soon(
        &mut self,
        at: Timestamp,
        actor: Actor,
        command: Command,
        documents: Vec<Arc<Written>>,
    ) -> Result<(), JournalError> {
        self.at_hand(&command)?;
        let body = decide_for(&self.state, &actor, command.clone())?;
        let Some(sealed) = self.seal(at, vec![(actor.clone(), body)])?.pop() else { return Ok(()) };
        let new = New::of(&documents, &self.blobs);
        let copied = self.durable.is_some() || !self.staged.is_empty();
        if !copied || names_others(&sealed.event.body) {
            let mut ahead = self.state.clone();
            ahead.apply(&sealed.event);
            if names_others(&sealed.event.body) {
                let mut tried = self.documents.clone();
                tried.refresh_among(&ahead, &[&new.values, &self.blobs]).map_err(LedgerError::from)?;
                self.documents = tried;
            }
            let before = std::mem::replace(&mut self.state, ahead);
            if !copied {
                // The state without what is staged.
                self.durable = Some(Box::new(before));
            }
        } else {
            self.state.apply(&sealed.event);
        }
        self.clock.hear(self.state.last_at);
        self.blobs.append(&mut { new.values });
        self.staged.push(Staged { at, actor, command, documents, sealed, new: new.written });
        Ok(())
    }

    /// Writes what is staged, after what others wrote meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Store::append`]; what is staged stays so.
    pub async fn flush(&mut self) -> Result<(), LedgerError> {
        while !self.staged.is_empty() {
            match self.write(self.state.last_at, Vec::new(), &[]).await {
                Err(LedgerError::Conflict(_)) if self.catch_up().await? > 0 => {}
                written => return written,
            }
        }
        Ok(())
    }

    /// Writes what is staged, the events and the documents that they name in one transaction, then folds the events.
    /// An event is never earlier than the one before it, whatever the clock says. Without events nothing is written.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Conflict`] if another process wrote meanwhile, [`LedgerError::Document`] if an artifact is filed
    /// that is not stored or cannot be read, [`LedgerError::Unwritable`]; and whatever [`Store::append`] gives. The
    /// journal is then as it was. It is also as it was when the caller stops waiting, though the write may still
    /// happen: [`Journal::catch_up`] before the next one.
    async fn write(
        &mut self,
        at: Timestamp,
        bodies: Vec<(Actor, Body)>,
        documents: &[Arc<Written>],
    ) -> Result<(), LedgerError> {
        if bodies.is_empty() && self.staged.is_empty() {
            return Ok(());
        }
        let sealed = self.seal(at, bodies)?;
        let new = New::of(documents, &self.blobs);
        let mut ahead = self.ahead();
        for next in &sealed {
            ahead.apply(&next.event);
        }
        let mut documents = None;
        if sealed.iter().any(|next| names_others(&next.event.body)) {
            documents = Some(self.documents.clone());
        }
        if let Some(documents) = &mut documents {
            documents.refresh_among(&ahead, &[&new.values, &self.blobs])?;
        }
        let destroyed: Vec<Digest> =
            sealed.iter().flat_map(|sealed| destroyed_by(&sealed.event.body)).copied().collect();
        let due = snapshot::is_due(ahead.seq, self.snapshot_at);
        let next = self.staged.iter().map(|staged| &staged.sealed).chain(&sealed);
        let new_said: Vec<u64> = said(next.clone().map(|sealed| &sealed.event));
        let snapshot = if due { snapshot::write(&ahead, &[self.said.as_slice(), &new_said].concat()) } else { None };
        let append = Append {
            engagement: self.state.id.clone(),
            expected_seq: self.stored_seq(),
            events: next.clone().map(link).collect(),
            destroyed: destroyed.clone(),
            blobs: self.staged.iter().flat_map(|staged| staged.new.iter().cloned()).chain(new.written).collect(),
            summary: Some(Summary::of(&ahead, documents.as_ref().unwrap_or(&self.documents))),
            logs: Logs::last_where(next.clone().any(|sealed| is_logged(&sealed.event.body))),
            snapshot,
        };
        self.store.append(append).await?;
        // Nothing is waited for from here on.
        self.staged.clear();
        self.said.extend(new_said);
        if let Some(documents) = documents {
            self.documents = documents;
        }
        if due {
            self.snapshot_at = ahead.seq;
        }
        self.blobs.append(&mut { new.values });
        destroyed.iter().for_each(|digest| self.blobs.remove(digest));
        let events: Vec<Event> = sealed.into_iter().map(|sealed| sealed.event).collect();
        self.move_on(ahead, &events);
        Ok(())
    }

    /// The place of the last event that is stored, as far as is known.
    fn stored_seq(&self) -> u64 {
        self.state.seq.saturating_sub(self.staged.len() as u64)
    }

    /// A copy of the state to fold the next events into.
    fn ahead(&mut self) -> Box<State> {
        match self.durable.take() {
            Some(mut durable) => {
                self.staged.iter().for_each(|staged| durable.apply(&staged.sealed.event));
                durable
            }
            None => Box::new(self.state.clone()),
        }
    }

    /// Goes over to that copy, which is now what is stored; the state before it follows, and is the next copy.
    fn move_on(&mut self, mut ahead: Box<State>, events: &[Event]) {
        std::mem::swap(&mut self.state, &mut *ahead);
        self.clock.hear(self.state.last_at);
        events.iter().for_each(|event| ahead.apply(event));
        self.durable = Some(ahead);
    }

    /// The events of these bodies, after the last one.
    fn seal(&self, at: Timestamp, bodies: Vec<(Actor, Body)>) -> Result<Vec<Sealed>, LedgerError> {
        let at = at.max(self.state.last_at);
        let (mut seq, mut prev) = (self.state.seq, self.state.head);
        let mut sealed = Vec::with_capacity(bodies.len());
        for (actor, body) in bodies {
            seq += 1;
            let next = chain::seal(&self.state.id, seq, at, actor, body, prev).map_err(LedgerError::Unwritable)?;
            prev = next.event.hash;
            sealed.push(next);
        }
        Ok(sealed)
    }

    /// Nothing is decided on a document that is stored and could not be read. What a call came to is written all the same.
    fn at_hand(&self, command: &Command) -> Result<(), LedgerError> {
        if matches!(command, Command::Finish(_)) { Ok(()) } else { self.fetched.result() }
    }

    /// What time it is for this engagement: never earlier than before, nor than its last event.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether something is staged that only this process knows of: what a call came to.
    pub fn holds_an_outcome(&self) -> bool {
        self.staged.iter().any(|staged| matches!(staged.command, Command::Finish(_)))
    }

    /// The engagement.
    pub fn id(&self) -> &EngagementId {
        &self.state.id
    }

    /// What the chain folds into.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the engagement is called now.
    pub fn title(&self) -> &str {
        self.documents.title(&self.state)
    }

    /// The current documents.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// The documents and results that the events name, as far as they are stored. What is sealed is here as the value in
    /// its document.
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
}

/// Whether an event can change what the current documents are; what most events are of cannot.
fn names_others(body: &Body) -> bool {
    let others = matches!(body, Body::Entered { .. } | Body::Asked(_) | Body::Proved(_) | Body::Closed(_));
    !others && !matches!(body, Body::Allowed(_) | Body::Finished(_) | Body::Refused(_) | Body::Settled(_))
}

/// The documents that an event destroys.
fn destroyed_by(body: &Body) -> &[Digest] {
    match body {
        Body::Redacted(redacted) => &redacted.destroyed,
        _ => &[],
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("id", &self.state.id).field("seq", &self.state.seq).finish_non_exhaustive()
    }
}

/// Folds stored events, each after it was found to be the next one and believed.
fn fold(store: &dyn Store, state: &mut State, stored: &[Vec<u8>]) -> Result<Vec<Event>, LedgerError> {
    let mut events = Vec::with_capacity(stored.len());
    for bytes in stored {
        let event = follow(&state.id, bytes, state.seq + 1, state.head)?;
        believed(store, state, &event)?;
        state.apply(&event);
        events.push(event);
    }
    Ok(events)
}

/// The places of those events from which what people said follows.
fn said<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<u64> {
    events.into_iter().filter(|event| snapshot::says(event)).map(|event| event.seq).collect()
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
mod believed_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;
