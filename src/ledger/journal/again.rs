//! What becomes of what is staged where others wrote first.

use std::sync::Arc;

use super::{Journal, JournalError, Staged};
use crate::ledger::LedgerError;

impl Journal {
    /// Opens the engagement anew and decides what is staged again.
    pub(super) async fn decide_again(&mut self, others: usize) -> Result<u64, LedgerError> {
        let mut fresh = Self::open(Arc::clone(&self.store), &self.state.id).await?;
        let staged = std::mem::take(&mut self.staged);
        // What is staged is not stored, and comes again with what is decided again.
        for written in staged.iter().flat_map(|staged| &staged.new) {
            self.blobs.remove(&written.digest());
        }
        fresh.blobs.append(&mut self.blobs);
        let mut clock = self.clock;
        clock.hear(fresh.state.last_at);
        fresh.clock = clock;
        fresh.leased = std::mem::take(&mut self.leased);
        *self = fresh;
        for Staged { at, actor, command, documents, .. } in staged {
            match self.act_soon(at, actor, command, documents) {
                Ok(()) => {}
                Err(JournalError::Refused(refusal)) => {
                    tracing::warn!(engagement = %self.state.id, %refusal, "others wrote meanwhile; left out");
                }
                Err(JournalError::Ledger(error)) => return Err(error),
            }
        }
        Ok(others as u64)
    }
}
