//! What a server says on standard error. It is read for as long as the server runs, so that none waits to be read, and
//! the end of it is kept for a person who wants to know why a server did not start. It goes neither to a model nor into
//! the chain: it is no answer of a tool.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinHandle,
    time::timeout,
};

/// How much of it is kept, in bytes.
const KEPT: usize = 16 << 10;
/// How many lines a person is told, and how long one may be.
const LINES: usize = 3;
const LONGEST: usize = 200;
/// How long a server that failed may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is heard of a server.
pub(super) struct Said {
    end: Arc<Mutex<End>>,
    hearing: Option<JoinHandle<()>>,
}

/// The end of what was said.
#[derive(Default)]
struct End {
    bytes: Vec<u8>,
    /// Whether more was said before it.
    cut: bool,
}

impl Said {
    /// Hears what is said from now on, until the server ends.
    pub(super) fn hear(errors: Option<impl AsyncRead + Send + Unpin + 'static>) -> Self {
        let end = Arc::<Mutex<End>>::default();
        let hearing = errors.map(|mut errors| {
            let end = Arc::clone(&end);
            tokio::spawn(async move {
                let mut some = [0; 1 << 10];
                while let Ok(read @ 1..) = errors.read(&mut some).await {
                    let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
                    end.bytes.extend(some.iter().take(read));
                    let over = end.bytes.len().saturating_sub(KEPT);
                    end.bytes.drain(..over);
                    end.cut |= over > 0;
                }
            })
        });
        Self { end, hearing }
    }

    /// The last lines that a server said which failed; nothing where it said nothing. `without_secrets` takes them out of
    /// the whole text, before any of it is cut: no part of one is left then.
    pub(super) async fn last(self, without_secrets: impl Fn(&str) -> String) -> Option<String> {
        if let Some(hearing) = self.hearing {
            let _ = timeout(LAST_WORDS, hearing).await;
        }
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&end.bytes);
        // A line whose beginning is gone may hold the rest of one.
        let text = if end.cut { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        let text = without_secrets(text);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines.iter().skip(lines.len().saturating_sub(LINES));
        let last: Vec<String> = last.map(|line| line.chars().take(LONGEST).collect()).collect();
        (!last.is_empty()).then(|| last.join(" / "))
    }
}

/// Why a server does not run.
pub(super) struct NotStarted {
    /// What is wrong, for whoever asked.
    pub(super) why: String,
    /// What the server said itself, for a person alone.
    pub(super) said: Option<String>,
}

impl From<String> for NotStarted {
    fn from(why: String) -> Self {
        Self { why, said: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_what_a_server_said_is_kept_and_no_more_of_it() {
        let noise = "x".repeat(10 * KEPT);
        let said = format!("{noise}\nTraceback:\n\n  in line 3\n{}\n", "y".repeat(2 * LONGEST));
        let last = of(said).await.unwrap();
        assert_eq!(last, format!("Traceback: / in line 3 / {}", "y".repeat(LONGEST)));
        assert_eq!(of(" \n".into()).await, None);
        assert_eq!(Said::hear(None::<&[u8]>).last(str::to_owned).await, None);
    }

    async fn of(said: String) -> Option<String> {
        let heard = Said::hear(Some(std::io::Cursor::new(said.into_bytes())));
        heard.last(|text| text.replace("hunter2-hunter2", "[secret]")).await
    }

    #[tokio::test]
    async fn no_part_of_a_secret_is_left_where_what_is_said_is_cut() {
        let secret = "hunter2-hunter2";
        for before in LONGEST - 20..LONGEST {
            let last = of(format!("{}{secret} and more\n", "u".repeat(before))).await.unwrap();
            assert!(!last.contains("hunter2"), "{last}");
        }
        for more in KEPT - 30..KEPT {
            let said = of(format!("{secret}{}\nit ended\n", "v".repeat(more))).await;
            assert!(!said.clone().unwrap_or_default().contains("hunter2"), "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_goes_on_is_not_waited_for() {
        let (ours, theirs) = tokio::io::duplex(64);
        let (said, kept) = (Said::hear(Some(ours)), theirs);
        assert_eq!(said.last(str::to_owned).await, None);
        drop(kept);
    }
}
