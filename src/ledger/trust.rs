//! The ledger's own chain of trust stages: which stage each blueprint has in each environment, who said so and why.
//! It is a chain like an engagement's, with the same hashes and the same one write.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    artifact::{Digest, EngagementId},
    engagement::{Actor, Body, Event, TrustRefusal, set_trust},
    facts::{Role, STAGES, Scope, Trust},
};

use super::{
    chain,
    error::LedgerError,
    store::{Append, Link, Store},
};

/// A stage that was not set.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] TrustRefusal),
    /// It could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The chain and what it folds into.
pub struct TrustBook {
    store: Arc<dyn Store>,
    events: Vec<Event>,
    trust: Trust,
}

impl TrustBook {
    /// Reads the chain, checking every link.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`] for a chain that is not what was written; and whatever [`Store::events`] gives.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, LedgerError> {
        let id = EngagementId::trust();
        let stored = store.events(&id, 0).await?;
        let mut book = Self { store, events: Vec::with_capacity(stored.len()), trust: Trust::default() };
        for bytes in stored {
            let (seq, prev) = book.last();
            let event = chain::check(&bytes, seq + 1, prev).map_err(|error| LedgerError::event(&id, &error))?;
            book.fold(event)?;
        }
        Ok(book)
    }

    /// What the chain folds into.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Its events, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Gives a scope another stage.
    ///
    /// # Errors
    ///
    /// [`TrustError::Refused`] if it may not be, [`LedgerError::Conflict`] if another process wrote meanwhile; and
    /// whatever [`Store::append`] gives.
    pub async fn set(
        &mut self,
        at: Timestamp,
        actor: Actor,
        (scope, name, stage): (Scope, &str, u8),
        reason: &str,
        (roles, raises): (&std::collections::BTreeSet<Role>, Role),
    ) -> Result<(), TrustError> {
        let body = set_trust(&self.trust, &actor, (scope, name, stage), reason, roles, raises)?;
        let (seq, prev) = self.last();
        let at = self.events.last().map_or(at, |last| at.max(last.at));
        let sealed = chain::seal(&EngagementId::trust(), seq + 1, at, actor, body, prev);
        let sealed = sealed.map_err(LedgerError::Unwritable)?;
        let link = Link { seq: seq + 1, bytes: sealed.bytes, hash: sealed.event.hash };
        let append = Append {
            engagement: EngagementId::trust(),
            expected_seq: seq,
            events: vec![link],
            blobs: Vec::new(),
            summary: None,
        };
        self.store.append(append).await?;
        Ok(self.fold(sealed.event)?)
    }

    fn last(&self) -> (u64, Digest) {
        self.events.last().map_or((0, Digest::ZERO), |event| (event.seq, event.hash))
    }

    fn fold(&mut self, event: Event) -> Result<(), LedgerError> {
        let Body::TrustSet(set) = &event.body else {
            let reason = format!("event {} is {}, which no trust chain has", event.seq, event.body.kind());
            return Err(LedgerError::corrupt("the chain of trust stages", reason));
        };
        // Such a stage was never set by this program, whatever the event's hash says.
        let raised = set.stage > set.from && set.role.is_none();
        let nobody = !matches!(event.actor, Actor::Person(_)) || event.engagement != EngagementId::trust();
        if raised || nobody || !STAGES.contains(&set.stage) || set.from != self.trust.stage(&set.scope) {
            let reason = format!("event {} does not follow from those before it", event.seq);
            return Err(LedgerError::corrupt("the chain of trust stages", reason));
        }
        self.trust.set(set.scope.clone(), set.stage, event.hash);
        self.events.push(event);
        Ok(())
    }
}
