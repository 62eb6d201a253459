//! Ctrl-C while a conversation is carried on: it ends the turn and not the engagement. What is under way is finished
//! and written down first; at a question, or the second time, the program ends at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::output::{Code, aside};

/// Whether the person wants the turn to end.
#[derive(Debug, Default)]
pub struct Interrupt {
    working: AtomicBool,
    wanted: AtomicBool,
}

impl Interrupt {
    /// Listens for Ctrl-C as long as the program runs. `next` is said with what goes on from here.
    pub fn listen(next: String) -> Arc<Self> {
        let interrupt = Arc::new(Self::default());
        let told = Arc::clone(&interrupt);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                let first = !told.wanted.swap(true, Ordering::SeqCst);
                if first && told.working.load(Ordering::SeqCst) {
                    aside("\n  ending the turn once this step is written down; Ctrl-C again ends the program at once");
                    continue;
                }
                aside(format!("\nNothing is lost. Next: {next}"));
                std::process::exit(Code::Waiting.number().into());
            }
        });
        interrupt
    }

    /// Says whether work is under way that is finished first.
    pub fn working(&self, working: bool) {
        self.working.store(working, Ordering::SeqCst);
    }

    /// Whether the turn is to end.
    pub fn wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }
}
