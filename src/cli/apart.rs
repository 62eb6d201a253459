//! What is said of several things that are under way at the same time, kept apart: the lines of each are told together, when
//! it is over.

use std::{
    cell::RefCell,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For how long what was said for one of several need not be said for another.
const AGAIN: Duration = Duration::from_secs(20);

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

tokio::task_local! {
    static KEPT: RefCell<Vec<(Stream, String)>>;
}

/// What was said of one of them.
#[derive(Debug, Default)]
pub struct Apart(Vec<(Stream, String)>);

impl Apart {
    /// Its lines in their order.
    pub fn lines(self) -> impl Iterator<Item = (Stream, String)> {
        self.0.into_iter()
    }
}

/// Keeps a line where what is said now is told later; whether that is so.
pub fn keep(stream: Stream, line: &str) -> bool {
    KEPT.try_with(|kept| kept.borrow_mut().push((stream, line.to_owned()))).is_ok()
}

/// Whether what is said now is told later.
pub fn is_kept() -> bool {
    KEPT.try_with(|_| ()).is_ok()
}

/// When several were last warned of something, and of what.
static WARNED: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// Whether somebody was told this a moment ago, for one of several of which it holds; else it is noted as told now.
pub fn warned_lately(text: &str) -> bool {
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.as_ref().is_some_and(|(at, said)| at.elapsed() < AGAIN && said == text) {
        return true;
    }
    *warned = Some((Instant::now(), text.to_owned()));
    false
}

/// Does something, and keeps what is said of it.
pub async fn apart<T>(work: impl Future<Output = T>) -> (T, Apart) {
    let work = async {
        let done = work.await;
        (done, Apart(KEPT.with(RefCell::take)))
    };
    KEPT.scope(RefCell::default(), work).await
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn what_is_said_at_the_same_time_is_kept_apart_and_nothing_is_kept_outside() {
        let said = |n: usize| {
            apart(async move {
                for line in 0..3 {
                    assert!(keep(Stream::Out, &format!("{n}.{line}")));
                    tokio::task::yield_now().await;
                }
                n
            })
        };
        let all: Vec<(usize, Apart)> = stream::iter(0..4).map(said).buffer_unordered(4).collect().await;
        assert_eq!(all.len(), 4);
        for (n, apart) in all {
            let lines: Vec<String> = apart.lines().map(|(_, line)| line).collect();
            assert_eq!(lines, [0, 1, 2].map(|line| format!("{n}.{line}")));
        }
        assert!(!keep(Stream::Err, "outside") && !is_kept());
    }

    #[test]
    fn what_holds_of_several_is_told_once() {
        assert!(!warned_lately("the disk is full"));
        assert!(warned_lately("the disk is full"));
        assert!(!warned_lately("the ledger is locked"));
        assert!(!warned_lately("the disk is full"), "something else was said since");
    }
}
