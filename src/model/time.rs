//! The clock of waits and limits. A test may stop it: then it moves on only when somebody waits, and nobody waits long.

use std::time::{Duration, Instant};

#[cfg(test)]
thread_local! {
    static STOPPED: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

/// Stops the clock of this thread.
#[cfg(test)]
pub(super) fn stop() {
    STOPPED.set(Some(Instant::now()));
}

/// Now.
pub(super) fn now() -> Instant {
    #[cfg(test)]
    if let Some(stopped) = STOPPED.get() {
        return stopped;
    }
    Instant::now()
}

/// Waits.
pub(super) async fn sleep(wait: Duration) {
    #[cfg(test)]
    if let Some(stopped) = STOPPED.get() {
        STOPPED.set(Some(stopped + wait));
        return;
    }
    tokio::time::sleep(wait).await;
}
