//! The tables of a ledger file and its version, which only goes forward.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::{super::error::LedgerError, damage, failed, log, open, packed, scrub, snapshots};

/// Marks the file as a ledger (`PRAGMA application_id`): "CSgn".
const APPLICATION: i64 = 0x4353_676e;

/// What brings a file from one version to the next; the number of steps is the version that this program writes.
const STEPS: &[&str] = &[
    "
CREATE TABLE events (
    position   INTEGER PRIMARY KEY,
    engagement TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    hash       BLOB    NOT NULL,
    bytes      BLOB    NOT NULL,
    UNIQUE (engagement, seq)
) STRICT;
CREATE TABLE blobs (
    digest TEXT NOT NULL PRIMARY KEY,
    bytes  BLOB NOT NULL
) STRICT;
CREATE TABLE summaries (
    engagement TEXT    NOT NULL PRIMARY KEY,
    standing   TEXT    NOT NULL,
    requester  TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    line       TEXT    NOT NULL
) STRICT;
CREATE INDEX summaries_by_standing ON summaries (standing, updated_at);
CREATE TRIGGER events_stay  BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_last  BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER blobs_stay   BEFORE UPDATE ON blobs  BEGIN SELECT RAISE(ABORT, 'documents are append-only'); END;
CREATE TRIGGER blobs_last   BEFORE DELETE ON blobs  BEGIN SELECT RAISE(ABORT, 'documents are append-only'); END;
PRAGMA application_id = 0x4353676e;
PRAGMA user_version = 1;
",
    "
CREATE TABLE ledger (id TEXT NOT NULL) STRICT;
INSERT INTO ledger (id) VALUES (lower(hex(randomblob(16))));
CREATE TRIGGER ledger_stays BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'a ledger keeps its id'); END;
CREATE TRIGGER ledger_last  BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'a ledger keeps its id'); END;
PRAGMA user_version = 2;
",
    log::STEP,
    scrub::STEP,
    packed::STEP,
    LISTS,
    snapshots::STEP,
    scrub::OUTSTANDING,
];

/// The step that lets a commit which changes nothing that lists are found by touch no index, and finds who is changing
/// something without reading the line of everyone who waits.
const LISTS: &str = "
DROP INDEX IF EXISTS summaries_by_standing;
DROP INDEX IF EXISTS summaries_changing;
CREATE INDEX summaries_by_standing ON summaries (standing);
CREATE INDEX summaries_changing ON summaries (engagement) WHERE instr(line, '\"changing\":[') > 0;
PRAGMA user_version = 6;
";

/// The version whose step makes the log.
const WITH_LOG: usize = 3;

/// The version that this program writes.
fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Makes an empty ledger where there is no file. It is made beside and then given its name, so that a file which is
/// there is always whole: an empty one was damaged, and is not silently taken for a new ledger.
pub(super) fn create_if_missing(path: &Path) -> Result<(), LedgerError> {
    let not = |reason: &str| Err(LedgerError::NotALedger { path: path.into(), reason: reason.into() });
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() == 0 => return not("it is empty"),
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(LedgerError::io("open", path, source)),
    }
    if beside(path, "-wal").exists() {
        return not("the file is gone, but the write-ahead log beside it is there");
    }
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let new = beside(path, &format!(".new-{}-{count}", std::process::id()));
    let made = make(&new).and_then(|()| publish(&new, path).map_err(|source| LedgerError::io("make", path, source)));
    // After a rename it is gone already.
    let _ = fs::remove_file(&new);
    made
}

fn make(path: &Path) -> Result<(), LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = open(path, flags).map_err(failed("be made"))?;
    upgrade(&mut connection, 0)?;
    write_ahead(&connection)?;
    connection.close().map_err(|(_, error)| failed("be made")(error))
}

/// Gives the new file its name unless another process made one meanwhile.
fn publish(new: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(new, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // Not every file system has links.
        Err(_) if !path.exists() => fs::rename(new, path)?,
        Err(error) => return Err(error),
    }
    sync_folder_of(path);
    Ok(())
}

/// Makes a name durable where a directory can be synced; elsewhere there is nothing to do.
pub(super) fn sync_folder_of(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Checks what the file is, searches it for damage and brings it to the version that this program writes.
pub(super) fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), LedgerError> {
    let version = identify(connection, path)?;
    if version < known() {
        upgrade(connection, version)?;
    }
    has_its_tables(connection)?;
    // A copy made with VACUUM INTO has lost it.
    write_ahead(connection)
}

/// The same for a file that is only read.
///
/// # Errors
///
/// As there; [`LedgerError::Older`] where the file would have to be brought to another version.
pub(super) fn look(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    let version = identify(connection, path)?;
    if version < known() {
        return Err(LedgerError::Older { found: version, known: known() });
    }
    has_its_tables(connection)
}

/// The version of a file that is a ledger without damage.
fn identify(connection: &Connection, path: &Path) -> Result<i64, LedgerError> {
    let version = pragma(connection, "PRAGMA user_version").map_err(|error| opening(path, error))?;
    let application = pragma(connection, "PRAGMA application_id").map_err(|error| opening(path, error))?;
    if application != APPLICATION || version < 1 {
        return Err(LedgerError::NotALedger { path: path.into(), reason: "it is another program's database".into() });
    }
    if version > known() {
        return Err(LedgerError::Newer { found: version, known: known() });
    }
    damage::search(connection, path)?;
    Ok(version)
}

fn has_its_tables(connection: &Connection) -> Result<(), LedgerError> {
    let tables = pragma(
        connection,
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN \
         ('events', 'blobs', 'summaries', 'ledger', 'log_leaves', 'log_nodes', 'checkpoints', 'destroyed', 'snapshots', \
         'unscrubbed')",
    );
    if tables? != 10 {
        return Err(LedgerError::corrupt("the database file", "a table is missing"));
    }
    Ok(())
}

fn upgrade(connection: &mut Connection, from: i64) -> Result<(), LedgerError> {
    let transaction =
        Transaction::new(connection, TransactionBehavior::Immediate).map_err(failed("begin to upgrade"))?;
    // Another process may have been faster.
    let version = pragma(&transaction, "PRAGMA user_version")?.max(from);
    for (step, makes) in STEPS.iter().zip(1_usize..).skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute_batch(step).map_err(failed("upgrade"))?;
        if makes == WITH_LOG {
            log::begin(&transaction)?;
        }
    }
    transaction.commit().map_err(failed("upgrade"))
}

fn write_ahead(connection: &Connection) -> Result<(), LedgerError> {
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))
        .map_err(failed("turn on write-ahead logging"))?;
    if mode != "wal" {
        tracing::warn!(mode, "the ledger's file system has no write-ahead logging; it works, but slower");
    }
    Ok(())
}

fn pragma(connection: &Connection, statement: &'static str) -> Result<i64, LedgerError> {
    connection.query_row(statement, (), |row| row.get(0)).map_err(failed("be opened"))
}

/// Damage that shows while a file is opened means that it is not a ledger, or no longer one.
pub(super) fn opening(path: &Path, error: LedgerError) -> LedgerError {
    match error {
        LedgerError::Corrupt { reason, .. } => {
            LedgerError::NotALedger { path: path.into(), reason: reason + &left_beside(path) }
        }
        other => other,
    }
}

/// The same of a file that is a ledger and is found to be damaged.
pub(super) fn damaged(path: &Path, error: LedgerError) -> LedgerError {
    match error {
        LedgerError::Corrupt { what, reason } => LedgerError::Corrupt { what, reason: reason + &left_beside(path) },
        other => other,
    }
}

/// That another file's log may lie beside this one, where one does: SQLite reads the two together.
fn left_beside(path: &Path) -> String {
    let log = beside(path, "-wal");
    if !log.metadata().is_ok_and(|log| log.len() > 0) {
        return String::new();
    }
    let (log, shared) = (log.display(), beside(path, "-shm"));
    let shared = shared.display();
    format!(
        "; {log} lies beside it, and if the file was just put there, that and {shared} are of the one before: move both to \
         another place first"
    )
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
