//! The embedded backend: one SQLite file in write-ahead mode. One thread owns the only connection that writes, so that
//! appends which arrive while a commit is under way share the next one, and a caller that gives up waiting leaves
//! no half-done transaction. Readers have connections of their own that cannot write. They wait for no writer, and what
//! they read is mostly in memory, so whoever asks reads it itself: handing it to another thread would take longer.
//! Where the file cannot be written there is no writer, and the readers read as `frozen` says.
//!
//! When it is opened, what the file is, its version and its tables are looked at, and it is searched for other damage
//! before anything is written: a small file always, a large one when it is not as it was when it was last found whole.
//! What that does not notice, the chain and the digests do.

mod backup;
mod damage;
mod failed;
mod frozen;
#[cfg(debug_assertions)]
mod halt;
mod lists;
mod log;
mod packed;
mod readers;
mod schema;
mod scrub;
mod snapshots;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, MAIN_DB, OpenFlags, OptionalExtension, Row, config::DbConfig, ffi};
use tokio::sync::{mpsc, oneshot};

use crate::artifact::{Digest, EngagementId, LedgerId};

use super::{
    error::LedgerError,
    lease::{self, Taken, Waits, With},
    merkle::Nodes,
    store::{Append, AroundRead, Filter, Logged, Pending, Store, Which, checked},
    summary::Summary,
};

use failed::failed;
use frozen::Frozen;
use packed::Unpacker;
use readers::{Readers, row, rows};
use write::{Job, SHARED, file_id, write};

pub use backup::{Backup, Unsound};
#[cfg(debug_assertions)]
pub use halt::halt_at;

/// How long a writer waits for another process. SQLite hands its lock to whoever asks at the right moment, so that of
/// many writers on a slow disk one may wait for far longer than a commit takes.
const BUSY: Duration = Duration::from_secs(30);

/// A ledger in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    /// Nothing where the ledger is only read.
    writer: Option<(mpsc::Sender<Job>, JoinHandle<()>)>,
    readers: Readers,
    keys: Option<PathBuf>,
    commits: Arc<AtomicU64>,
}

impl SqliteStore {
    /// Opens the ledger in a file, which is made if it is not there, and is only read where it cannot be written.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotALedger`] for a file that is not one or no longer one, [`LedgerError::Newer`] for one that a
    /// later version of this program wrote, [`LedgerError::Unreadable`] or [`LedgerError::Older`] for one that would have
    /// to be written and cannot be, [`LedgerError::Corrupt`], [`LedgerError::Busy`] or [`LedgerError::Store`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, LedgerError> {
        Self::opened(path.as_ref(), None)
    }

    /// The same, signing a checkpoint whenever the log grows with the key that is in this folder.
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`]; [`LedgerError::Gone`] where the keys are there and the file is not.
    pub async fn open_signing(path: impl AsRef<Path>, keys: PathBuf) -> Result<Self, LedgerError> {
        Self::opened(path.as_ref(), Some(keys))
    }

    fn opened(path: &Path, keys: Option<PathBuf>) -> Result<Self, LedgerError> {
        // The keys are made after the file: where they are, it was.
        if let Some(keys) = keys.as_ref().filter(|keys| has_keys(keys))
            && path.try_exists().is_ok_and(|there| !there)
        {
            return Err(LedgerError::Gone { path: path.into(), keys: keys.clone() });
        }
        if path.is_dir() {
            return Err(LedgerError::NotALedger { path: path.into(), reason: "it is a folder".into() });
        }
        schema::create_if_missing(path)?;
        // Before it is opened: what is put there meanwhile is another one.
        let file = file_id(path)?;
        let commits = Arc::new(AtomicU64::new(0));
        let mut readers = Readers::new(path.to_owned());
        let connection = match ready(path) {
            Ok(connection) => connection,
            Err(error) => {
                readers.frozen = Some(Frozen::open(path, error)?);
                return Ok(Self { path: path.to_owned(), writer: None, readers, keys, commits });
            }
        };
        let (queue, jobs) = mpsc::channel(4 * SHARED);
        let (place, counted) = ((path.to_owned(), keys.clone()), Arc::clone(&commits));
        let writer = thread::Builder::new()
            .name("ledger".into())
            .spawn(move || write((connection, file), place, jobs, &counted))
            .map_err(|source| LedgerError::io("open", path, source))?;
        Ok(Self { path: path.to_owned(), writer: Some((queue, writer)), readers, keys, commits })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for what is being written and closes the file. Not needed for durability: what was answered is durable.
    pub async fn close(self) {
        let Self { readers, writer, .. } = self;
        drop(readers);
        let Some((queue, writer)) = writer else { return };
        drop(queue);
        if !matches!(tokio::task::spawn_blocking(|| writer.join()).await, Ok(Ok(()))) {
            tracing::warn!("the ledger's writer did not end well");
        }
    }

    async fn append(&self, append: Append) -> Result<(), LedgerError> {
        let (queue, _) = self.writer.as_ref().ok_or_else(|| self.readers.refusal())?;
        append.coherent()?;
        let (answer, answered) = oneshot::channel();
        let gone = || LedgerError::io("write", &self.path, std::io::Error::other("the thread that writes has ended"));
        queue.send(Job { append, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    fn events(&self, id: &EngagementId, after_seq: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        let statement = "SELECT bytes FROM events WHERE engagement = ? AND seq > ? ORDER BY seq";
        let rows = self.readers.all("read events", statement, (id.as_str(), integer(after_seq)), |row| row.get(0))?;
        Unpacker::unpack_all(rows).map_err(|error| error.in_chain(id))
    }

    fn events_at(&self, id: &EngagementId, seqs: &[u64]) -> Result<Vec<Vec<u8>>, LedgerError> {
        let statement =
            "SELECT bytes FROM events WHERE engagement = ? AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq";
        let places: Vec<i64> = seqs.iter().map(|seq| integer(*seq)).collect();
        let places = serde_json::json!(places).to_string();
        let rows = self.readers.all("read events", statement, (id.as_str(), places), |row| row.get(0))?;
        Unpacker::unpack_all(rows).map_err(|error| error.in_chain(id))
    }

    fn blobs(&self, digests: &[Digest]) -> Result<BTreeMap<Digest, Vec<u8>>, LedgerError> {
        let statement =
            "SELECT digest, bytes FROM blobs WHERE digest IN (SELECT value FROM json_each(?)) ORDER BY digest";
        let (mut found, mut with) = (BTreeMap::new(), Unpacker::new());
        for some in digests.chunks(200) {
            let names: Vec<String> = some.iter().map(Digest::to_string).collect();
            let names = (serde_json::json!(names).to_string(),);
            let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let rows: Vec<(String, Vec<u8>)> = self.readers.all("read documents", statement, names, read)?;
            for (name, bytes) in rows {
                let digest: Digest =
                    name.parse().map_err(|_| LedgerError::corrupt("the table of documents", "a digest is not one"))?;
                let bytes = with.unpack(bytes).map_err(|error| damaged(digest, error))?;
                found.insert(digest, checked(digest, bytes)?);
            }
        }
        Ok(found)
    }

    fn summaries(&self, filter: &Filter) -> Result<Vec<Summary>, LedgerError> {
        let standing = match filter.which {
            Which::All => r#"["open","waiting","closed"]"#,
            Which::Open => r#"["open","waiting"]"#,
            Which::Waiting => r#"["waiting"]"#,
            Which::Closed => r#"["closed"]"#,
        };
        let lines: Vec<(String, String)> = self.readers.all(
            "read the list",
            "SELECT engagement, line FROM summaries WHERE standing IN (SELECT value FROM json_each(?1)) \
             AND (?2 IS NULL OR requester = ?2) ORDER BY updated_at DESC, engagement LIMIT ?3",
            (standing, &filter.requester, filter.limit.map_or(-1, i64::from)),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let read = |(id, line): (String, String)| lists::read(&self.readers, &self.path, &id, line.as_bytes());
        let mut found: Vec<Summary> = lines.into_iter().map(read).collect::<Result<_, _>>()?;
        if let Some(frozen) = &self.readers.frozen {
            found.extend(frozen.unlisted(filter));
            found.sort_by(|one, other| other.updated_at.cmp(&one.updated_at).then_with(|| one.id.cmp(&other.id)));
            found.truncate(filter.limit.map_or(usize::MAX, |limit| limit as usize));
        }
        Ok(found)
    }

    fn changing(&self, except: &EngagementId) -> Result<BTreeSet<String>, LedgerError> {
        Ok(self.around(i64::MAX.unsigned_abs(), Some(except))?.1)
    }

    /// In one statement: each is a look at the file of its own, and this is read for every decision.
    fn around(&self, trust_after: u64, except: Option<&EngagementId>) -> Result<AroundRead, LedgerError> {
        let trust = EngagementId::trust();
        let (trust, after) = (trust.as_str(), integer(trust_after));
        let read = |row: &Row<'_>| {
            let bytes = row.get_ref(1)?.as_bytes()?;
            if let Some(seq) = row.get(0)? {
                return Ok(Around::Trust(seq, bytes.to_vec()));
            }
            Ok(match changing_in(bytes) {
                Some(targets) => Around::Changing(targets),
                None => Around::Damaged(row.get(2)?, bytes.to_vec()),
            })
        };
        let read: Vec<Around> = self.readers.with(|connection| {
            let rows = match except {
                Some(except) => rows(connection, AROUND, (trust, after, except.as_str()), read),
                None => rows(connection, TRUST_AFTER, (trust, after), read),
            };
            rows.map_err(failed("read the list"))
        })?;
        let (mut events, mut changing) = (BTreeMap::new(), BTreeSet::new());
        for read in read {
            match read {
                Around::Trust(seq, bytes) => drop(events.insert(seq, bytes)),
                Around::Changing(targets) => changing.extend(targets),
                Around::Damaged(id, line) => {
                    changing.extend(lists::read(&self.readers, &self.path, &id, &line)?.changing);
                }
            }
        }
        Ok((Unpacker::unpack_all(events.into_values().collect())?, changing))
    }

    fn find(&self, prefix: &str) -> Result<Vec<EngagementId>, LedgerError> {
        self.readers.with(|connection| lists::find(connection, prefix))
    }
}

impl Store for SqliteStore {
    fn append(&self, append: Append) -> Pending<'_, ()> {
        Box::pin(self.append(append))
    }

    fn writable(&self) -> Result<(), LedgerError> {
        if self.writer.is_some() { Ok(()) } else { Err(self.readers.refusal()) }
    }

    fn scrub(&self) -> Pending<'_, bool> {
        Box::pin(async {
            Store::writable(self)?;
            scrub::scrub(&self.path)
        })
    }

    fn is_scrubbed(&self) -> Pending<'_, bool> {
        Box::pin(async { self.readers.with(scrub::is_scrubbed) })
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn events<'a>(&'a self, id: &'a EngagementId, after_seq: u64) -> Pending<'a, Vec<Vec<u8>>> {
        Box::pin(async move { self.events(id, after_seq) })
    }

    fn events_at<'a>(&'a self, id: &'a EngagementId, seqs: &'a [u64]) -> Pending<'a, Vec<Vec<u8>>> {
        Box::pin(async move { self.events_at(id, seqs) })
    }

    fn blob(&self, digest: Digest) -> Pending<'_, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.blobs(&[digest])?.remove(&digest)) })
    }

    fn blobs<'a>(&'a self, digests: &'a [Digest]) -> Pending<'a, BTreeMap<Digest, Vec<u8>>> {
        Box::pin(async { self.blobs(digests) })
    }

    fn fetch(&self, digest: Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        let statement = "SELECT bytes FROM blobs WHERE digest = ?";
        let found = self.readers.with(|connection| {
            row(connection, statement, (digest.to_string(),), |row| row.get(0))
                .optional()
                .map_err(failed("read a document"))
        })?;
        let unpack = |bytes| Unpacker::new().unpack(bytes).map_err(|error| damaged(digest, error));
        found.map(unpack).transpose()?.map(|bytes| checked(digest, bytes)).transpose()
    }

    fn snapshot<'a>(&'a self, id: &'a EngagementId) -> Pending<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let Some(keys) = &self.keys else { return Ok(None) };
            self.readers.with(|connection| snapshots::get(connection, id, keys))
        })
    }

    fn summaries(&self, filter: Filter) -> Pending<'_, Vec<Summary>> {
        Box::pin(async move { self.summaries(&filter) })
    }

    fn changing<'a>(&'a self, except: &'a EngagementId) -> Pending<'a, BTreeSet<String>> {
        Box::pin(async { self.changing(except) })
    }

    fn around<'a>(&'a self, trust_after: u64, except: Option<&'a EngagementId>) -> Pending<'a, AroundRead> {
        Box::pin(async move { self.around(trust_after, except) })
    }

    fn take<'a>(
        &'a self,
        target: &'a str,
        by: &'a EngagementId,
        with: With,
        waits: Option<Waits>,
    ) -> Pending<'a, Taken> {
        Box::pin(async move { lease::take(&schema::beside(&self.path, "-leases"), target, by, with, waits) })
    }

    fn ledger(&self) -> Pending<'_, LedgerId> {
        Box::pin(async { self.readers.with(ledger_id) })
    }

    fn log_size(&self) -> Pending<'_, u64> {
        Box::pin(async { self.readers.with(log::log_size) })
    }

    fn log_nodes<'a>(&'a self, places: &'a [u64]) -> Pending<'a, Nodes> {
        Box::pin(async { self.readers.with(|connection| log::read_nodes(connection, places)) })
    }

    fn logged<'a>(&'a self, engagement: Option<&'a EngagementId>) -> Pending<'a, Vec<Logged>> {
        Box::pin(async move { self.readers.with(|connection| log::logged(connection, engagement)) })
    }

    fn last_leaf<'a>(&'a self, engagement: &'a EngagementId) -> Pending<'a, Option<(u64, u64)>> {
        Box::pin(async move { self.readers.with(|connection| log::last_leaf(connection, engagement)) })
    }

    fn checkpoints(&self, after: u64) -> Pending<'_, Vec<String>> {
        Box::pin(async move { self.readers.with(|connection| log::checkpoints(connection, after)) })
    }

    fn last_checkpoint(&self) -> Pending<'_, Option<String>> {
        Box::pin(async { self.readers.with(log::last_checkpoint) })
    }

    fn find<'a>(&'a self, prefix: &'a str) -> Pending<'a, Vec<EngagementId>> {
        Box::pin(async { self.find(prefix) })
    }
}

/// The events of the trust chain after a place, and the lines that name what their engagement is changing: an index has
/// only those, and closed engagements are not among them.
const AROUND: &str = "SELECT seq, bytes, NULL FROM events WHERE engagement = ?1 AND seq > ?2 \
    UNION ALL SELECT NULL, line, engagement FROM summaries WHERE instr(line, '\"changing\":[') > 0 AND engagement <> ?3";

/// The same without those lines.
const TRUST_AFTER: &str = "SELECT seq, bytes FROM events WHERE engagement = ?1 AND seq > ?2";

/// What is read for a decision.
enum Around {
    /// An event of the trust chain, with its place.
    Trust(i64, Vec<u8>),
    /// The targets that an engagement is changing, as its line says.
    Changing(Vec<String>),
    /// An engagement, and its line that does not say it.
    Damaged(String, Vec<u8>),
}

/// What the line of a [`Summary`] says last: the targets that its engagement is changing. Nothing that it says before can
/// hold the name of that member, since what is quoted in a text is escaped. Nothing where it is not said so.
fn changing_in(line: &[u8]) -> Option<Vec<String>> {
    const NAME: &[u8] = b"\"changing\":";
    let at = line.windows(NAME.len()).rposition(|bytes| bytes == NAME)?;
    serde_json::from_slice(line.get(at + NAME.len()..)?.strip_suffix(b"}")?).ok()
}

/// Whether there is anything in the folder of a ledger's keys, or may be.
fn has_keys(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

fn ledger_id(connection: &Connection) -> Result<LedgerId, LedgerError> {
    let id: String =
        row(connection, "SELECT id FROM ledger", (), |row| row.get(0)).map_err(failed("read its own id"))?;
    id.parse().map_err(|_| LedgerError::corrupt("the ledger's own id", "it is not one"))
}

/// The connection that writes, to a file that is found to be whole and is brought up to date.
fn ready(path: &Path) -> Result<Connection, LedgerError> {
    let mut connection = connect(path).map_err(|error| schema::opening(path, failed("be opened")(error)))?;
    schema::bring_up_to_date(&mut connection, path).map_err(|error| schema::damaged(path, error))?;
    lists::make_again(&mut connection)?;
    scrub::finish(&connection, path)?;
    Ok(connection)
}

/// A connection to a file that is there.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // No connection is used by two threads at once.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // SQLite opens a file that may not be written all the same, and would make what it shares beside it.
    if connection.is_readonly(MAIN_DB)? {
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None));
    }
    prepare(&connection)?;
    Ok(connection)
}

/// What every connection has.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    // Else statements that are kept are prepared again for other values.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // What is deleted is overwritten.
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON")
}

/// A place as SQLite keeps integers; no chain is so long that it matters.
fn integer(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// What is wrong with a packed document, said of that document.
fn damaged(digest: Digest, error: LedgerError) -> LedgerError {
    match error {
        LedgerError::Corrupt { reason, .. } => LedgerError::blob(&digest, reason),
        other => other,
    }
}

#[cfg(test)]
mod backup_tests;
#[cfg(test)]
mod steps_tests;
#[cfg(test)]
mod tests;
