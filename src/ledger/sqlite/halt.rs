//! Halts where a commit begins or has ended, so that a test can kill the program exactly there. None of this is in a
//! release build.

use std::{
    io::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The point to halt at; 0 for none.
static AT: AtomicU64 = AtomicU64::new(0);
/// How many points were passed.
static PASSED: AtomicU64 = AtomicU64::new(0);

/// Halts this process at a point: the first is where its first commit is about to be made, the second where it has been
/// made and nobody was told yet, and so on.
pub fn halt_at(point: u64) {
    AT.store(point, Ordering::Relaxed);
}

/// One of those points. Nothing goes on after it until the process is killed.
pub(super) fn pass() {
    let point = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    if point == AT.load(Ordering::Relaxed) {
        // Whoever kills it waits for this line; without it they would wait for ever, which is noticed.
        let _ = writeln!(std::io::stderr(), "halted at point {point}");
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}
