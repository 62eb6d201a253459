//! Ctrl-C while an engagement is driven: it ends the turn and not the engagement. A model is not waited for; a call
//! that is under way is finished and written down first; at a question, or the second time, the program ends at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use crate::runtime::Progress;

use super::code::Code;
use super::output::aside;

/// Whether the person wants the turn to end, and what is under way for one engagement of those that are driven.
#[derive(Debug)]
pub struct Interrupt {
    working: AtomicBool,
    asking_a_model: AtomicBool,
    all: Arc<All>,
}

/// The same for all of them.
#[derive(Debug, Default)]
struct All {
    working: AtomicUsize,
    asking_a_model: AtomicUsize,
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
        let all = Arc::new(All { next, ..All::default() });
        let told = Arc::clone(&all);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                let first = !told.wanted.swap(true, Ordering::SeqCst);
                let asking = told.asking_a_model.load(Ordering::SeqCst);
                let working = told.working.load(Ordering::SeqCst);
                if first && asking > 0 {
                    told.told.notify_waiters();
                }
                if first && working > asking {
                    aside("\n  ending the turn once this step is written down; Ctrl-C again ends the program at once");
                }
                if !first || working.max(asking) == 0 {
                    leave(&told.next);
                }
            }
        });
        Arc::new(Self::of(all))
    }

    /// The same for another engagement that is driven beside this one.
    pub fn beside(&self) -> Arc<Self> {
        Arc::new(Self::of(Arc::clone(&self.all)))
    }

    fn of(all: Arc<All>) -> Self {
        Self { working: AtomicBool::new(false), asking_a_model: AtomicBool::new(false), all }
    }

    /// The command that goes on from here.
    pub fn next(&self) -> &str {
        &self.all.next
    }

    /// Says whether work is under way that is finished first.
    pub fn working(&self, working: bool) {
        set(&self.working, working, &self.all.working);
    }

    /// Notices when all that is waited for is a model, whose answer counts for nothing until it is whole.
    pub fn watch(&self, progress: &Progress) {
        let asking = matches!(progress, Progress::Turning(..) | Progress::Delta(..));
        set(&self.asking_a_model, asking, &self.all.asking_a_model);
    }

    /// Whether the turn is to end.
    pub fn wanted(&self) -> bool {
        self.all.wanted.load(Ordering::SeqCst)
    }

    /// Waits until a model is no longer to be waited for.
    pub async fn broken_off(&self) {
        loop {
            let told = self.all.told.notified();
            if self.wanted() && self.asking_a_model.load(Ordering::SeqCst) {
                return;
            }
            told.await;
        }
    }
}

/// Says that something is so, and counts for how many it is.
fn set(one: &AtomicBool, is: bool, all: &AtomicUsize) {
    if one.swap(is, Ordering::SeqCst) != is {
        if is {
            all.fetch_add(1, Ordering::SeqCst);
        } else {
            all.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.working(false);
        set(&self.asking_a_model, false, &self.all.asking_a_model);
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
