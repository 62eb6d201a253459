//! A ledger that can be read where it cannot be written: its disk is read-only or full, or the file or its folder is
//! somebody else's. Nothing is written beside it or into it. What was committed and lies in the write-ahead log is read
//! too, or the ledger is not read at all:
//!
//! - with the log and what processes share of it beside the file, SQLite reads as it does beside whoever writes;
//! - with the log alone, its index is made in memory, without locks;
//! - with no log, or an empty one, all of it is in the file, which is read without locks.
//!
//! Without locks nobody is kept from writing meanwhile, so after each read the files are held against what they were
//! when the ledger was opened: what was read while somebody wrote is not used.

use std::{
    ffi::OsString,
    fs,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    super::{
        error::LedgerError,
        store::{Filter, Which},
        summary::Summary,
    },
    failed, lists, prepare, schema,
    schema::beside,
    write::standing,
};

/// What lies beside the file while there is something that it does not have yet.
const LOG: &str = "-wal";
/// The same in a ledger without write-ahead logging.
const JOURNAL: &str = "-journal";
/// What processes share of the write-ahead log.
const SHARED: &str = "-shm";

/// Why it cannot be written.
#[derive(Clone, Copy, Debug)]
enum Why {
    ReadOnly,
    Full,
}

/// How it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// As beside a process that writes.
    Shared,
    /// The write-ahead log too, without locks.
    WithLog,
    /// The file and nothing else, without locks.
    Alone,
}

/// Which file it is, how long, and when it was written: device, number, length, seconds and nanoseconds.
type FileState = (u64, u64, u64, i64, i64);

/// A ledger that is only read.
#[derive(Debug)]
pub(super) struct Frozen {
    path: PathBuf,
    why: Why,
    how: How,
    /// What the files were when it was opened.
    files: [Option<FileState>; 3],
    /// What the list has not got; it is made again where the ledger can be written.
    unlisted: Vec<Summary>,
}

impl Frozen {
    /// Opens a ledger for reading, where opening it to write gave this error; else the error is the answer.
    pub(super) fn open(path: &Path, error: LedgerError) -> Result<Self, LedgerError> {
        let why = match error {
            LedgerError::ReadOnly => Why::ReadOnly,
            LedgerError::Full => Why::Full,
            _ => return Err(error),
        };
        let files = files(path);
        let mut frozen = Self { path: path.to_owned(), why, how: how(path), files, unlisted: Vec::new() };
        let looked = frozen.look();
        frozen.unchanged()?;
        frozen.unlisted = looked?;
        Ok(frozen)
    }

    /// Looks at what opening a ledger looks at; the answer is what its list has not got.
    fn look(&self) -> Result<Vec<Summary>, LedgerError> {
        let connection = self.connect().map_err(|error| self.unreadable(failed("be opened")(error)))?;
        schema::look(&connection, &self.path).map_err(|error| self.unreadable(error))?;
        Ok(lists::unlisted(&connection)?.into_iter().map(|(summary, _)| summary).collect())
    }

    /// A connection that cannot write.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self.how {
            How::Shared => Connection::open_with_flags(&self.path, flags)?,
            How::Alone => Connection::open_with_flags(immutable(&self.path), flags | OpenFlags::SQLITE_OPEN_URI)?,
            How::WithLog => {
                let connection = Connection::open_with_flags_and_vfs(&self.path, flags, "unix-none")?;
                // Else the index is made in a file that everyone shares.
                connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
                connection
            }
        };
        // Nothing that it finds beside the file is moved into it.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        prepare(&connection)?;
        Ok(connection)
    }

    /// Whether what was read since it was opened was read while nobody wrote.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Changed`] if it may not have been.
    pub(super) fn unchanged(&self) -> Result<(), LedgerError> {
        // Who reads with locks is never shown half of anything.
        if self.how == How::Shared || files(&self.path) == self.files { Ok(()) } else { Err(LedgerError::Changed) }
    }

    /// What whoever wants to write is told.
    pub(super) fn refusal(&self) -> LedgerError {
        match self.why {
            Why::ReadOnly => LedgerError::ReadOnly,
            Why::Full => LedgerError::Full,
        }
    }

    /// What the list has not got, as far as it is asked for.
    pub(super) fn unlisted(&self, filter: &Filter) -> impl Iterator<Item = Summary> {
        let asked = |summary: &&Summary| {
            let stands = match filter.which {
                Which::All => true,
                Which::Open => standing(summary) != "closed",
                Which::Waiting => standing(summary) == "waiting",
                Which::Closed => standing(summary) == "closed",
            };
            stands && filter.requester.as_ref().is_none_or(|requester| *requester == summary.requester)
        };
        self.unlisted.iter().filter(asked).cloned()
    }

    /// What would have to be written before it can be read means that it cannot be read here.
    fn unreadable(&self, error: LedgerError) -> LedgerError {
        match error {
            LedgerError::Full => LedgerError::Full,
            LedgerError::ReadOnly => LedgerError::Unreadable(self.path.clone()),
            other => other,
        }
    }
}

/// How a ledger can be read as its files are.
fn how(path: &Path) -> How {
    let holds = |suffix: &str| fs::metadata(beside(path, suffix)).is_ok_and(|file| file.len() > 0);
    if holds(JOURNAL) {
        // SQLite refuses it where a write that was cut off is still to be taken back.
        How::Shared
    } else if !holds(LOG) {
        How::Alone
    } else if holds(SHARED) {
        // An empty one is what is left where there was no room for it, and nobody shares anything.
        How::Shared
    } else {
        How::WithLog
    }
}

/// What the files are that hold what was written.
fn files(path: &Path) -> [Option<FileState>; 3] {
    // An empty log holds nothing, and whoever opens the ledger may make one. The time of the last change says nothing:
    // SQLite gives a log that it opens as root to the owner of the file.
    let of = |path: PathBuf| {
        let file = fs::metadata(path).ok().filter(|file| file.len() > 0)?;
        Some((file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    };
    [of(path.to_owned()), of(beside(path, LOG)), of(beside(path, JOURNAL))]
}

/// The name by which SQLite opens a file that nobody changes.
fn immutable(path: &Path) -> PathBuf {
    let mut name = if path.is_absolute() { b"file://".to_vec() } else { b"file:".to_vec() };
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => name.extend(format!("%{byte:02x}").into_bytes()),
            other => name.push(*other),
        }
    }
    name.extend(b"?immutable=1");
    OsString::from_vec(name).into()
}

#[cfg(test)]
mod tests;
