//! The one task that writes. What arrives while a commit is under way shares the next one; each commit is one transaction
//! of few round trips to the thread that owns the file.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{
        error::LedgerError,
        store::Append,
        summary::{Status, Summary},
    },
    failed, integer, log, options,
    packed::Packer,
    scrub,
};

#[cfg(debug_assertions)]
use super::halt;

/// How many appends may share a commit.
pub(super) const SHARED: usize = 64;

/// An append, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) append: Append,
    pub(super) answer: oneshot::Sender<Result<(), LedgerError>>,
}

/// Writes until nobody can ask any more.
pub(super) async fn write(
    connection: SqliteConnection,
    (path, keys): (PathBuf, Option<PathBuf>),
    mut jobs: mpsc::Receiver<Job>,
    commits: Arc<AtomicU64>,
) {
    let mut writer = Writer { connection, signer: log::Signer::new(keys), packer: Packer::new() };
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, SHARED).await > 0 {
        // An append that cannot be written takes none of the others with it: each is tried by itself then.
        let together = match batch.len() {
            1 => false,
            _ => try_to(writer.commit(&batch).await, &mut writer.connection, &path, &commits).await.is_ok(),
        };
        for job in batch.drain(..) {
            let outcome = if together {
                Ok(())
            } else {
                let written = writer.commit(std::slice::from_ref(&job)).await;
                try_to(written, &mut writer.connection, &path, &commits).await
            };
            // Whoever asked may have stopped waiting.
            let _ = job.answer.send(outcome);
        }
    }
    if let Err(error) = writer.connection.close().await {
        tracing::warn!(%error, "the ledger's file did not close well");
    }
}

/// Counts what was written. After an error of the disk SQLite may have ended the transaction by itself, and the
/// connection believes that it is still in one: it is opened anew, so that what comes later can be written.
async fn try_to(
    written: Result<(), LedgerError>,
    connection: &mut SqliteConnection,
    path: &Path,
    commits: &AtomicU64,
) -> Result<(), LedgerError> {
    match &written {
        Ok(()) => {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        Err(LedgerError::Conflict(_) | LedgerError::Busy) => {}
        Err(_) => match options(path).connect().await {
            Ok(fresh) => *connection = fresh,
            Err(error) => tracing::warn!(%error, "the ledger's file could not be opened again"),
        },
    }
    written
}

/// What writes.
struct Writer {
    connection: SqliteConnection,
    signer: log::Signer,
    packer: Packer,
}

impl Writer {
    /// Writes all of them in one transaction, or none; after the last append what the log has of them.
    async fn commit(&mut self, jobs: &[Job]) -> Result<(), LedgerError> {
        if let Err(error) = self.put_all(jobs).await {
            // What went wrong first is the news: after some errors SQLite has rolled back by itself.
            if let Err(again) = self.run("ROLLBACK").await {
                tracing::debug!(%again, "what was written could not be taken back once more");
            }
            return Err(error);
        }
        #[cfg(debug_assertions)]
        halt::pass();
        if let Err(error) = self.run("COMMIT").await {
            let _ = self.run("ROLLBACK").await;
            return Err(failed("commit")(error));
        }
        #[cfg(debug_assertions)]
        halt::pass();
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(statement).execute(&mut self.connection).await.map(drop)
    }

    async fn put_all(&mut self, jobs: &[Job]) -> Result<(), LedgerError> {
        let mut begin = "BEGIN IMMEDIATE;";
        for job in jobs {
            self.put(begin, &job.append).await?;
            begin = "";
        }
        log::write(&mut self.connection, jobs.iter().map(|job| &job.append), &mut self.signer).await
    }

    /// Every statement that is run by itself is a round trip to the thread that owns the file, so they are run as one.
    /// Few of them at a time: each such text is prepared once and kept.
    async fn put(&mut self, begin: &'static str, append: &Append) -> Result<(), LedgerError> {
        let id = append.engagement.as_str();
        let (mut begin, mut expected) = (begin, Some(append.expected_seq));
        let (mut events, mut blobs) = (append.events.iter(), append.blobs.iter());
        let mut summary = append.summary.as_ref();
        loop {
            let links: Vec<_> = events.by_ref().take(AT_ONCE).collect();
            let some: Vec<_> = blobs.by_ref().take(AT_ONCE - links.len()).collect();
            let listed = summary.take_if(|_| some.len() + links.len() < AT_ONCE);
            if some.is_empty() && links.is_empty() && listed.is_none() {
                break;
            }
            let first = if expected.is_some() && !links.is_empty() { PUT_FIRST } else { "" };
            let later = links.len() - usize::from(!first.is_empty());
            let text = [begin, first, &PUT_EVENT.repeat(later), &PUT_BLOB.repeat(some.len())].concat();
            let text = if listed.is_some() { text + PUT_SUMMARY } else { text };
            let mut query = sqlx::query(AssertSqlSafe(text));
            for link in links {
                query = query.bind(id);
                if let Some(expected) = expected.take() {
                    query = query.bind(id).bind(integer(expected));
                }
                query = query.bind(integer(link.seq)).bind(link.hash.bytes().as_slice());
                query = query.bind(self.packer.pack(&link.bytes));
            }
            for (digest, bytes) in some {
                query = query.bind(digest.to_string()).bind(self.packer.pack(bytes));
            }
            if let Some(summary) = listed {
                let line = serde_json::to_string(summary)
                    .map_err(|error| LedgerError::corrupt("a summary", error.to_string()))?;
                let updated_at = summary.updated_at.as_microsecond();
                query =
                    query.bind(id).bind(standing(summary)).bind(summary.requester.as_str()).bind(updated_at).bind(line);
            }
            query.execute(&mut self.connection).await.map_err(|error| {
                if misplaced(&error) {
                    LedgerError::Conflict(append.engagement.clone())
                } else {
                    failed("write")(error)
                }
            })?;
            begin = "";
        }
        scrub::destroy(&mut self.connection, &append.destroyed).await
    }
}

/// Whether an event was to be written where it does not come next: another writer was faster.
fn misplaced(error: &sqlx::Error) -> bool {
    // SQLITE_CONSTRAINT_NOTNULL, which only PUT_FIRST can be, and SQLITE_CONSTRAINT_UNIQUE of the place of an event.
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "1299" || code == "2067")
}

/// How many statements are run as one.
pub(super) const AT_ONCE: usize = 8;

const PUT_BLOB: &str = "INSERT INTO blobs (digest, bytes) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING;";
const PUT_EVENT: &str = "INSERT INTO events (engagement, seq, hash, bytes) VALUES (?, ?, ?, ?);";
/// The first event of an append has no place, and is refused, where the chain is not as long as its writer knows.
const PUT_FIRST: &str = "INSERT INTO events (engagement, seq, hash, bytes) VALUES (?, \
    iif((SELECT coalesce(max(seq), 0) FROM events WHERE engagement = ?) = ?, ?, NULL), ?, ?);";
const PUT_SUMMARY: &str = "INSERT INTO summaries (engagement, standing, requester, updated_at, line) \
    VALUES (?, ?, ?, ?, ?) ON CONFLICT (engagement) DO UPDATE SET standing = excluded.standing, \
    requester = excluded.requester, updated_at = excluded.updated_at, line = excluded.line;";

/// Where an engagement stands, as lists are filtered.
fn standing(summary: &Summary) -> &'static str {
    match &summary.status {
        Status::Closed { .. } => "closed",
        Status::Waiting { .. } | Status::Rejected { .. } | Status::Asked { .. } => "waiting",
        Status::Drafting | Status::Running | Status::Cancelled { .. } => "open",
    }
}
