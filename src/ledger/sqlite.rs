//! The embedded backend: one SQLite file in write-ahead mode. One task owns the only connection that writes, so that
//! appends which arrive while a commit is under way share the next one, and a caller that gives up waiting leaves
//! no half-done transaction. Readers have connections of their own that cannot write.
//!
//! When it is opened, what the file is, its version and its tables are looked at. It is not searched for other damage (`PRAGMA quick_check` reads all of it): SQLite says so when it reads a bad page, and whatever it does
//! not notice, the chain and the digests do.

mod backup;
#[cfg(debug_assertions)]
mod halt;
mod log;
mod packed;
mod schema;
mod scrub;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::artifact::{Digest, EngagementId, LedgerId};

use super::{
    error::LedgerError,
    merkle::Nodes,
    store::{Append, AroundRead, Filter, Logged, Pending, Store, Which, checked, spelled},
    summary::Summary,
};

use packed::Unpacker;
use write::{AT_ONCE, Job, SHARED, write};

pub use backup::Backup;
#[cfg(debug_assertions)]
pub use halt::halt_at;

/// How long a writer waits for another process. SQLite hands its lock to whoever asks at the right moment, so that of
/// many writers on a slow disk one may wait for far longer than a commit takes.
const BUSY: Duration = Duration::from_secs(30);
/// A ledger in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    queue: mpsc::Sender<Job>,
    writer: JoinHandle<()>,
    readers: SqlitePool,
    commits: Arc<AtomicU64>,
}

impl SqliteStore {
    /// Opens the ledger in a file, which is made if it is not there. Needs a tokio runtime, which it then belongs to.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotALedger`] for a file that is not one or no longer one, [`LedgerError::Newer`] for one that a
    /// later version of this program wrote, [`LedgerError::Corrupt`], [`LedgerError::Busy`] or [`LedgerError::Store`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, LedgerError> {
        Self::opened(path.as_ref(), None).await
    }

    /// The same, signing a checkpoint whenever the log grows with the key that is in this folder.
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`].
    pub async fn open_signing(path: impl AsRef<Path>, keys: PathBuf) -> Result<Self, LedgerError> {
        Self::opened(path.as_ref(), Some(keys)).await
    }

    async fn opened(path: &Path, keys: Option<PathBuf>) -> Result<Self, LedgerError> {
        schema::create_if_missing(path).await?;
        let mut connection =
            options(path).connect().await.map_err(|error| schema::opening(path, failed("be opened")(error)))?;
        schema::bring_up_to_date(&mut connection, path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .test_before_acquire(false)
            .connect_lazy_with(options(path).pragma("query_only", "ON"));
        let (queue, jobs) = mpsc::channel(4 * SHARED);
        let commits = Arc::new(AtomicU64::new(0));
        let writer = tokio::spawn(write(connection, (path.to_owned(), keys), jobs, Arc::clone(&commits)));
        Ok(Self { path: path.to_owned(), queue, writer, readers, commits })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for what is being written and closes the file. Not needed for durability: what was answered is durable.
    pub async fn close(self) {
        drop(self.queue);
        self.readers.close().await;
        if let Err(error) = self.writer.await {
            tracing::warn!(%error, "the ledger's writer did not end well");
        }
    }

    async fn append(&self, append: Append) -> Result<(), LedgerError> {
        append.coherent()?;
        let (answer, answered) = oneshot::channel();
        let gone = || failed("write")(sqlx::Error::WorkerCrashed);
        self.queue.send(Job { append, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    async fn events(&self, id: &EngagementId, after_seq: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        sqlx::query_scalar("SELECT bytes FROM events WHERE engagement = ? AND seq > ? ORDER BY seq")
            .bind(id.as_str())
            .bind(integer(after_seq))
            .fetch_all(&self.readers)
            .await
            .map_err(failed("read events"))
            .and_then(Unpacker::unpack_all)
    }

    async fn blobs(&self, digests: &[Digest]) -> Result<BTreeMap<Digest, Vec<u8>>, LedgerError> {
        let (mut found, mut with) = (BTreeMap::new(), Unpacker::new());
        for some in digests.chunks(200) {
            let names: Vec<String> = some.iter().map(Digest::to_string).collect();
            let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
                "SELECT digest, bytes FROM blobs WHERE digest IN (SELECT value FROM json_each(?)) ORDER BY digest",
            )
            .bind(serde_json::json!(names).to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(failed("read documents"))?;
            for (name, bytes) in rows {
                let digest: Digest =
                    name.parse().map_err(|_| LedgerError::corrupt("the table of documents", "a digest is not one"))?;
                let bytes = with.unpack(bytes).map_err(|error| LedgerError::blob(&digest, error.to_string()))?;
                found.insert(digest, checked(digest, bytes)?);
            }
        }
        Ok(found)
    }

    async fn summaries(&self, filter: Filter) -> Result<Vec<Summary>, LedgerError> {
        let standing = match filter.which {
            Which::All => r#"["open","waiting","closed"]"#,
            Which::Open => r#"["open","waiting"]"#,
            Which::Waiting => r#"["waiting"]"#,
            Which::Closed => r#"["closed"]"#,
        };
        let lines: Vec<String> = sqlx::query_scalar(
            "SELECT line FROM summaries WHERE standing IN (SELECT value FROM json_each(?1)) \
             AND (?2 IS NULL OR requester = ?2) ORDER BY updated_at DESC, engagement LIMIT ?3",
        )
        .bind(standing)
        .bind(filter.requester)
        .bind(filter.limit.map_or(-1, i64::from))
        .fetch_all(&self.readers)
        .await
        .map_err(failed("read the list"))?;
        let parse = |line: String| {
            serde_json::from_str(&line).map_err(|error| LedgerError::corrupt("the list", error.to_string()))
        };
        lines.into_iter().map(parse).collect()
    }

    async fn changing(&self, except: &EngagementId) -> Result<BTreeSet<String>, LedgerError> {
        // Most engagements wait at gates and have changed nothing; their lines are not even parsed.
        let lines: Vec<String> = sqlx::query_scalar(
            "SELECT line FROM summaries WHERE standing IN ('open', 'waiting') AND engagement <> ? \
             AND instr(line, '\"changing\":[') > 0",
        )
        .bind(except.as_str())
        .fetch_all(&self.readers)
        .await
        .map_err(failed("read the list"))?;
        let mut found = BTreeSet::new();
        for line in lines {
            let summary: Summary =
                serde_json::from_str(&line).map_err(|error| LedgerError::corrupt("the list", error.to_string()))?;
            found.extend(summary.changing);
        }
        Ok(found)
    }

    async fn around(&self, trust_after: u64, except: Option<&EngagementId>) -> Result<AroundRead, LedgerError> {
        let rows: Vec<(Option<i64>, Vec<u8>)> = sqlx::query_as(
            "SELECT seq, bytes FROM events WHERE engagement = ? AND seq > ? \
             UNION ALL SELECT NULL, CAST(line AS BLOB) FROM summaries WHERE standing IN ('open', 'waiting') \
             AND engagement <> ? AND instr(line, '\"changing\":[') > 0 ORDER BY 1",
        )
        .bind(EngagementId::trust().as_str().to_owned())
        .bind(integer(trust_after))
        .bind(except.map(EngagementId::as_str))
        .fetch_all(&self.readers)
        .await
        .map_err(failed("read what a decision rests on"))?;
        let (mut trust, mut changing, mut with) = (Vec::new(), BTreeSet::new(), Unpacker::new());
        for (seq, bytes) in rows {
            if seq.is_some() {
                trust.push(with.unpack(bytes)?);
                continue;
            }
            let summary: Summary =
                serde_json::from_slice(&bytes).map_err(|error| LedgerError::corrupt("the list", error.to_string()))?;
            changing.extend(summary.changing);
        }
        Ok((trust, changing))
    }

    async fn find(&self, prefix: &str) -> Result<Vec<EngagementId>, LedgerError> {
        // `~` comes after every letter of an id.
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT engagement FROM summaries WHERE engagement >= ?1 AND engagement < ?1 || '~' ORDER BY engagement",
        )
        .bind(spelled(prefix))
        .fetch_all(&self.readers)
        .await
        .map_err(failed("read the list"))?;
        let parse =
            |id: String| id.parse().map_err(|_| LedgerError::corrupt("the list", "an engagement id is not one"));
        ids.into_iter().map(parse).collect()
    }
}

impl Store for SqliteStore {
    fn append(&self, append: Append) -> Pending<'_, ()> {
        Box::pin(self.append(append))
    }

    fn scrub(&self) -> Pending<'_, bool> {
        Box::pin(scrub::scrub(&self.path))
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn events<'a>(&'a self, id: &'a EngagementId, after_seq: u64) -> Pending<'a, Vec<Vec<u8>>> {
        Box::pin(self.events(id, after_seq))
    }

    fn blob(&self, digest: Digest) -> Pending<'_, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.blobs(&[digest]).await?.remove(&digest)) })
    }

    fn blobs<'a>(&'a self, digests: &'a [Digest]) -> Pending<'a, BTreeMap<Digest, Vec<u8>>> {
        Box::pin(self.blobs(digests))
    }

    fn summaries(&self, filter: Filter) -> Pending<'_, Vec<Summary>> {
        Box::pin(self.summaries(filter))
    }

    fn changing<'a>(&'a self, except: &'a EngagementId) -> Pending<'a, BTreeSet<String>> {
        Box::pin(self.changing(except))
    }

    fn around<'a>(&'a self, trust_after: u64, except: Option<&'a EngagementId>) -> Pending<'a, AroundRead> {
        Box::pin(self.around(trust_after, except))
    }

    fn ledger(&self) -> Pending<'_, LedgerId> {
        Box::pin(ledger_id(&self.readers))
    }

    fn log_size(&self) -> Pending<'_, u64> {
        Box::pin(log::log_size(&self.readers))
    }

    fn log_nodes<'a>(&'a self, places: &'a [u64]) -> Pending<'a, Nodes> {
        Box::pin(log::read_nodes(&self.readers, places))
    }

    fn logged<'a>(&'a self, engagement: Option<&'a EngagementId>) -> Pending<'a, Vec<Logged>> {
        Box::pin(log::logged(&self.readers, engagement))
    }

    fn checkpoints(&self, after: u64) -> Pending<'_, Vec<String>> {
        Box::pin(log::checkpoints(&self.readers, after))
    }

    fn last_checkpoint(&self) -> Pending<'_, Option<String>> {
        Box::pin(log::last_checkpoint(&self.readers))
    }

    fn find<'a>(&'a self, prefix: &'a str) -> Pending<'a, Vec<EngagementId>> {
        Box::pin(self.find(prefix))
    }
}

async fn ledger_id(executor: impl sqlx::SqliteExecutor<'_>) -> Result<LedgerId, LedgerError> {
    let id: String =
        sqlx::query_scalar("SELECT id FROM ledger").fetch_one(executor).await.map_err(failed("read its own id"))?;
    id.parse().map_err(|_| LedgerError::corrupt("the ledger's own id", "it is not one"))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        // What is deleted is overwritten.
        .pragma("secure_delete", "ON")
        .disable_statement_logging()
}

/// A place as SQLite keeps integers; no chain is so long that it matters.
fn integer(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// What a database error means for whoever asked. The primary result codes are those of <https://sqlite.org/rescode.html>.
fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> LedgerError {
    move |error| {
        let damaged = |reason: String| LedgerError::corrupt("the database file", reason);
        match &error {
            sqlx::Error::Database(database) => {
                let extended = database.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
                match extended & 0xff {
                    // SQLITE_IOERR_SHMSIZE: there is no room for what SQLite shares between processes.
                    _ if extended == 4874 => LedgerError::Full,
                    // SQLITE_BUSY, SQLITE_LOCKED
                    5 | 6 => LedgerError::Busy,
                    // SQLITE_FULL
                    13 => LedgerError::Full,
                    // SQLITE_READONLY; and SQLITE_CANTOPEN, since the file is there: what SQLite keeps beside it cannot be made.
                    8 | 14 => LedgerError::ReadOnly,
                    // SQLITE_CORRUPT and SQLITE_NOTADB; and, since the statements here are fixed and right for an intact
                    // schema, SQLITE_ERROR, SQLITE_CONSTRAINT and SQLITE_MISMATCH.
                    1 | 11 | 19 | 20 | 26 => damaged(database.message().to_owned()),
                    _ => LedgerError::Store { doing, source: error },
                }
            }
            sqlx::Error::PoolTimedOut => LedgerError::Busy,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                damaged(error.to_string())
            }
            _ => LedgerError::Store { doing, source: error },
        }
    }
}

#[cfg(test)]
mod tests;
