//! Waits for a target that another engagement has.

use std::time::Duration;

use crate::{
    broker::{BETWEEN, behind_words},
    ledger::{Behind, Journal},
};

use super::{
    error::DriverError,
    progress::{Progress, Stopped},
};

/// How long an engagement that has a target is waited for: longer than a step takes.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Waits a moment for a target that others have; the answer is why that is given up, if it is.
pub(super) async fn wait_behind(
    journal: &mut Journal,
    behind: &Behind,
    watch: &mut (dyn FnMut(Progress) + Send),
) -> Result<Option<Stopped>, DriverError> {
    let who = behind_words(behind);
    if behind.since.elapsed() > PATIENCE {
        let minutes = PATIENCE.as_secs() / 60;
        return Ok(Some(Stopped::Unreachable(format!("{who}, and was not done in {minutes} minutes"))));
    }
    if behind.begins {
        watch(Progress::Note(format!("{who}; waiting until that is over")));
    }
    journal.flush().await?;
    // A person may cancel it meanwhile.
    journal.catch_up().await?;
    tokio::time::sleep(BETWEEN).await;
    Ok(None)
}
