//! Ctrl-C while an engagement is driven: it ends the turn and not the engagement. A model is not waited for; a call
//! that is under way is finished and written down first; at a question, or the second time, the program ends at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use crate::runtime::Progress;

use super::output::{Code, aside};

/// Whether the person wants the turn to end.
#[derive(Debug, Default)]
pub struct Interrupt {
    working: AtomicBool,
    asking_a_model: AtomicBool,
    wanted: AtomicBool,
    told: Notify,
    next: String,
}

fn leave(next: &str) -> ! {
    aside(format!("\nNothing is lost. Next: {next}"));
    std::process::exit(Code::Waiting.number().into());
}

impl Interrupt {
    /// Listens for Ctrl-C as long as the program runs. `next` is said with what goes on from here.
    pub fn listen(next: String) -> Arc<Self> {
        let interrupt = Arc::new(Self { next, ..Self::default() });
        let told = Arc::clone(&interrupt);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                let first = !told.wanted.swap(true, Ordering::SeqCst);
                if first && told.asking_a_model.load(Ordering::SeqCst) {
                    told.told.notify_one();
                    continue;
                }
                if first && told.working.load(Ordering::SeqCst) {
                    aside("\n  ending the turn once this step is written down; Ctrl-C again ends the program at once");
                    continue;
                }
                leave(&told.next);
            }
        });
        interrupt
    }

    /// The command that goes on from here.
    pub fn next(&self) -> &str {
        &self.next
    }

    /// Says whether work is under way that is finished first.
    pub fn working(&self, working: bool) {
        self.working.store(working, Ordering::SeqCst);
    }

    /// Notices when all that is waited for is a model, whose answer counts for nothing until it is whole.
    pub fn watch(&self, progress: &Progress) {
        let asking = matches!(progress, Progress::Turning(..) | Progress::Delta(..));
        self.asking_a_model.store(asking, Ordering::SeqCst);
    }

    /// Whether the turn is to end.
    pub fn wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Waits until a model is no longer to be waited for.
    pub async fn broken_off(&self) {
        loop {
            self.told.notified().await;
            if self.asking_a_model.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// Ctrl-C while a command asks one question: it ends the command, which says that nothing was done. Once the question is
/// over, what was agreed to is done first.
pub struct Asking {
    over: Arc<AtomicBool>,
}

impl Asking {
    /// Listens from now on; `nothing` says what was not done.
    pub fn begin(nothing: String) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        // It is listened for before anything is asked; where that cannot be, Ctrl-C ends the program by itself.
        if let Ok(mut signals) = signal(SignalKind::interrupt()) {
            tokio::spawn(async move {
                let mut again = false;
                while signals.recv().await.is_some() {
                    if !told.load(Ordering::SeqCst) {
                        aside(format!("\n{nothing}"));
                        std::process::exit(Code::Waiting.number().into());
                    }
                    if again {
                        std::process::exit(Code::Failed.number().into());
                    }
                    again = true;
                    aside("\nwhat you agreed to is being done; Ctrl-C again ends the program at once");
                }
            });
        }
        Self { over }
    }

    /// The question was answered.
    pub fn over(self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
