//! How what a call came to is written down while that cannot be: nobody else knows of it.

use std::time::{Duration, Instant};

use crate::ledger::{Journal, LedgerError};

use super::{driver::Driver, error::DriverError, progress::Progress};

/// How long what a call came to is kept while the ledger is locked or its disk is full.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often that is said meanwhile, and how often it is tried. A try at a locked ledger takes half a minute by itself.
const SAID_EVERY: Duration = Duration::from_secs(30);
const TRIED_EVERY: Duration = Duration::from_secs(1);

impl Driver<'_> {
    /// Leaves an engagement where it is: what came of its last step is written down, as patiently as when it goes on.
    ///
    /// # Errors
    ///
    /// As [`Journal::flush`].
    pub async fn rest(
        &self,
        journal: &mut Journal,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), DriverError> {
        self.write_down(journal, watch).await
    }

    /// Writes what is staged. What a call came to is known to nobody else, so it is kept while another process has the
    /// ledger locked or its disk is full.
    pub(super) async fn write_down(
        &self,
        journal: &mut Journal,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), DriverError> {
        let begun = Instant::now();
        let mut said: Option<Instant> = None;
        loop {
            let (why, error) = match journal.flush().await {
                Err(error @ LedgerError::Busy) => ("another process has the ledger locked", error),
                Err(error @ LedgerError::Full) => ("the disk that the ledger is on is full", error),
                written => return Ok(written?),
            };
            if !journal.holds_an_outcome() || begun.elapsed() >= PATIENCE {
                return Err(error.into());
            }
            if said.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
                said = Some(Instant::now());
                watch(Progress::Unwritten(format!(
                    "{why}: what the last call came to is kept, and written down as soon as that is over; do not end this \
                     program before"
                )));
            }
            tokio::time::sleep(TRIED_EVERY).await;
        }
    }
}
