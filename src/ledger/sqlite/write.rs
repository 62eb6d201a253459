//! The one thread that writes. What arrives while a commit is under way shares the next one.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rusqlite::{Connection, Params};
use tokio::sync::{mpsc, oneshot};

use crate::artifact::LedgerId;

use super::{
    super::{
        error::LedgerError,
        log::Signer,
        store::{Append, Logs},
        summary::{Status, Summary},
    },
    connect, failed, integer, log,
    packed::Packer,
    scrub, snapshots,
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
pub(super) fn write(
    (connection, file): (Connection, Option<FileId>),
    (path, keys): (PathBuf, Option<PathBuf>),
    mut jobs: mpsc::Receiver<Job>,
    commits: &AtomicU64,
) {
    let mut writer = Writer { connection, path: path.clone(), file, signer: Signer::new(keys), packer: Packer::new() };
    let mut batch = Vec::new();
    while jobs.blocking_recv_many(&mut batch, SHARED) > 0 {
        // An append that cannot be written takes none of the others with it: each is tried by itself then.
        let together = match batch.len() {
            1 => false,
            _ => try_to(writer.commit(&batch), &mut writer.connection, &path, commits).is_ok(),
        };
        for job in batch.drain(..) {
            let outcome = if together {
                Ok(())
            } else {
                let written = writer.commit(std::slice::from_ref(&job));
                try_to(written, &mut writer.connection, &path, commits)
            };
            // Whoever asked may have stopped waiting.
            let _ = job.answer.send(outcome);
        }
    }
    if let Err((_, error)) = writer.connection.close() {
        tracing::warn!(%error, "the ledger's file did not close well");
    }
}

/// Counts what was written. After an error of the disk SQLite may have ended the transaction by itself, and the
/// connection believes that it is still in one: it is opened anew, so that what comes later can be written.
fn try_to(
    written: Result<(), LedgerError>,
    connection: &mut Connection,
    path: &Path,
    commits: &AtomicU64,
) -> Result<(), LedgerError> {
    match &written {
        Ok(()) => {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        // After this the file that is there is another one.
        Err(LedgerError::Conflict(_) | LedgerError::Busy | LedgerError::Replaced { .. }) => {}
        Err(_) => match connect(path) {
            Ok(fresh) => *connection = fresh,
            Err(error) => tracing::warn!(%error, "the ledger's file could not be opened again"),
        },
    }
    written
}

/// What writes.
struct Writer {
    connection: Connection,
    path: PathBuf,
    /// Which file that was when it was opened.
    file: Option<FileId>,
    signer: Signer,
    packer: Packer,
}

impl Writer {
    /// Writes all of them in one transaction, or none; after the last append what the log has of them.
    fn commit(&mut self, jobs: &[Job]) -> Result<(), LedgerError> {
        // What is written to a file that nobody finds any more is lost, and what was let through by it would be done again.
        if file_id(&self.path)? != self.file {
            return Err(LedgerError::Replaced { path: self.path.clone() });
        }
        let signed = self.put_all(jobs);
        if signed.is_err() {
            // What went wrong first is the news: after some errors SQLite has rolled back by itself.
            if let Err(again) = self.run("ROLLBACK") {
                tracing::debug!(%again, "what was written could not be taken back once more");
            }
            return signed.map(drop);
        }
        #[cfg(debug_assertions)]
        halt::pass();
        if let Err(error) = self.run("COMMIT") {
            let _ = self.run("ROLLBACK");
            return Err(failed("commit")(error));
        }
        if let Ok(Some((ledger, size))) = &signed {
            self.signer.keep_signed(ledger, *size);
        }
        #[cfg(debug_assertions)]
        halt::pass();
        Ok(())
    }

    fn run(&self, statement: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute(()).map(drop)
    }

    fn put_all(&mut self, jobs: &[Job]) -> Result<Option<(LedgerId, u64)>, LedgerError> {
        self.run("BEGIN IMMEDIATE").map_err(failed("write"))?;
        for job in jobs {
            self.put(&job.append)?;
        }
        log::write(&self.connection, jobs.iter().map(|job| &job.append), &mut self.signer)
    }

    fn put(&mut self, append: &Append) -> Result<(), LedgerError> {
        self.put_events(append).map_err(|error| {
            if misplaced(&error) { LedgerError::Conflict(append.engagement.clone()) } else { failed("write")(error) }
        })?;
        if let Logs::Head(head) = &append.logs
            && !log::is_unlogged_head(&self.connection, head)?
        {
            return Err(LedgerError::Conflict(append.engagement.clone()));
        }
        if let Some(summary) = &append.summary {
            let line =
                serde_json::to_string(summary).map_err(|error| LedgerError::corrupt("a summary", error.to_string()))?;
            let updated_at = summary.updated_at.as_microsecond();
            let (id, standing) = (append.engagement.as_str(), standing(summary));
            // Most commits leave an engagement standing where it stood; then no index of the lists changes.
            let moved = self.execute(SAME_STANDING, (updated_at, &line, id, standing)).map_err(failed("write"))? == 0;
            if moved {
                let row = (id, standing, summary.requester.as_str(), updated_at, line);
                self.execute(PUT_SUMMARY, row).map_err(failed("write"))?;
            }
        }
        if let Some(bytes) = &append.snapshot
            && let Some(key) = log::own_key(&self.connection, &mut self.signer)?
        {
            snapshots::put(&self.connection, (&append.engagement, bytes), &key, &mut self.packer)?;
        }
        scrub::destroy(&self.connection, &append.destroyed)
    }

    fn put_events(&mut self, append: &Append) -> rusqlite::Result<()> {
        let id = append.engagement.as_str();
        for (at, link) in append.events.iter().enumerate() {
            let (seq, hash, row) = (integer(link.seq), link.hash.bytes(), self.packer.pack(&link.bytes));
            if at == 0 {
                let expected = integer(append.expected_seq);
                self.execute(PUT_FIRST, (id, id, expected, seq, hash.as_slice(), row))?;
            } else {
                self.execute(PUT_EVENT, (id, seq, hash.as_slice(), row))?;
            }
        }
        for written in &append.blobs {
            let (digest, bytes) = (written.digest().to_string(), written.bytes());
            // What lies there is looked for first where packing costs more: many questions are decided on the same.
            if bytes.len() > CHEAP && self.connection.prepare_cached(HAS_BLOB)?.exists([&digest])? {
                continue;
            }
            let row = self.packer.pack(bytes);
            self.execute(PUT_BLOB, (digest, row))?;
        }
        Ok(())
    }

    /// The answer is how many rows it changed.
    fn execute(&self, statement: &'static str, with: impl Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(statement)?.execute(with)
    }
}

/// A file by its device and its number on it.
pub(super) type FileId = (u64, u64);

/// Which file is there; nothing where none is.
pub(super) fn file_id(path: &Path) -> Result<Option<FileId>, LedgerError> {
    match std::fs::metadata(path) {
        Ok(file) => Ok(Some((file.dev(), file.ino()))),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LedgerError::io("look at", path, source)),
    }
}

/// Whether an event was to be written where it does not come next: another writer was faster.
fn misplaced(error: &rusqlite::Error) -> bool {
    // SQLITE_CONSTRAINT_NOTNULL, which only PUT_FIRST can be, and SQLITE_CONSTRAINT_UNIQUE of the place of an event.
    error.sqlite_error().is_some_and(|error| matches!(error.extended_code, 1299 | 2067))
}

/// Documents of up to this many bytes are packed in less time than it takes to look for them.
const CHEAP: usize = 512;
const HAS_BLOB: &str = "SELECT 1 FROM blobs WHERE digest = ?";
const PUT_BLOB: &str = "INSERT INTO blobs (digest, bytes) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING";
const PUT_EVENT: &str = "INSERT INTO events (engagement, seq, hash, bytes) VALUES (?, ?, ?, ?)";
/// The first event of an append has no place, and is refused, where the chain is not as long as its writer knows.
const PUT_FIRST: &str = "INSERT INTO events (engagement, seq, hash, bytes) VALUES (?, \
    iif((SELECT coalesce(max(seq), 0) FROM events WHERE engagement = ?) = ?, ?, NULL), ?, ?)";
const SAME_STANDING: &str = "UPDATE summaries SET updated_at = ?, line = ? WHERE engagement = ? AND standing = ?";
const PUT_SUMMARY: &str = "INSERT INTO summaries (engagement, standing, requester, updated_at, line) \
    VALUES (?, ?, ?, ?, ?) ON CONFLICT (engagement) DO UPDATE SET standing = excluded.standing, \
    requester = excluded.requester, updated_at = excluded.updated_at, line = excluded.line";

/// Where an engagement stands, as lists are filtered.
pub(super) fn standing(summary: &Summary) -> &'static str {
    match &summary.status {
        Status::Closed { .. } => "closed",
        Status::Waiting { .. } | Status::Rejected { .. } | Status::Asked { .. } => "waiting",
        Status::Drafting | Status::Running | Status::Cancelled { .. } => "open",
    }
}
