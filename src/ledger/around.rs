//! What a decision rests on beside its own engagement: the trust stages, and what other engagements are changing. Both
//! are read anew for every decision, since other processes write; the trust chain only as far as it is not known yet.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::artifact::EngagementId;

use super::{error::LedgerError, store::Store, trust::TrustBook};

/// Reads it, and keeps the trust chain that it read last.
#[derive(Default)]
pub struct Around {
    known: Mutex<Option<Arc<TrustBook>>>,
}

impl Around {
    /// The trust stages as they are now, and the targets that engagements other than this one have changed and that are
    /// not closed yet; no targets where no engagement is named. A trust chain that is not what the log has of it decides
    /// nothing: a stage that was taken back would be there again.
    ///
    /// # Errors
    ///
    /// As [`TrustBook::open`] and [`Store::changing`]; [`LedgerError::Corrupt`] for a trust chain that was cut or written past
    /// the log.
    pub async fn read(
        &self,
        store: &Arc<dyn Store>,
        except: Option<&EngagementId>,
    ) -> Result<(Arc<TrustBook>, BTreeSet<String>), LedgerError> {
        let known = self.known().clone().filter(|known| known.is_of(store));
        let first = known.is_none();
        let known = known.unwrap_or_else(|| Arc::new(TrustBook::unread(Arc::clone(store))));
        let (later, changing) = store.around(known.head().seq, except).await?;
        let book = if later.is_empty() {
            if first {
                known.held_to_log().await?;
            }
            known
        } else {
            let book = known.followed_by(later)?;
            book.believed_after(known.head().seq).await?;
            book.held_to_log().await?;
            Arc::new(book)
        };
        *self.known() = Some(Arc::clone(&book));
        Ok((book, changing))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Arc<TrustBook>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
