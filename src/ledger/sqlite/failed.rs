//! What SQLite's errors mean.

use nix::errno::Errno;

use super::super::error::LedgerError;

/// What a database error means for whoever asked. The primary result codes are those of <https://sqlite.org/rescode.html>.
pub(super) fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> LedgerError {
    move |error| {
        let damaged = |reason: String| LedgerError::corrupt("the database file", reason);
        match &error {
            rusqlite::Error::SqliteFailure(code, message) => match code.extended_code & 0xff {
                // SQLITE_IOERR_SHMSIZE: there is no room for what SQLite shares between processes.
                _ if code.extended_code == 4874 => LedgerError::Full,
                // SQLITE_BUSY, SQLITE_LOCKED
                5 | 6 => LedgerError::Busy,
                // SQLITE_CANTOPEN
                14 if no_more_files() => {
                    let reason = "too many files are open in this process; raise its limit (`ulimit -n`)";
                    let source = rusqlite::Error::SqliteFailure(*code, Some(reason.into()));
                    LedgerError::Store { doing, source }
                }
                // SQLITE_FULL
                13 => LedgerError::Full,
                // SQLITE_READONLY; and SQLITE_CANTOPEN, since the file is there: what SQLite keeps beside it cannot be made.
                8 | 14 => LedgerError::ReadOnly,
                // SQLITE_CORRUPT and SQLITE_NOTADB; and, since the statements here are fixed and right for an intact
                // schema, SQLITE_ERROR, SQLITE_CONSTRAINT and SQLITE_MISMATCH.
                1 | 11 | 19 | 20 | 26 => damaged(message.clone().unwrap_or_else(|| code.to_string())),
                _ => LedgerError::Store { doing, source: error },
            },
            // The same where a statement could not be prepared.
            rusqlite::Error::SqlInputError { msg, .. } => damaged(msg.clone()),
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows => damaged(error.to_string()),
            _ => LedgerError::Store { doing, source: error },
        }
    }
}

/// Whether this process, or this machine, has as many files open as it may; SQLite does not say so.
fn no_more_files() -> bool {
    let opened = std::fs::File::open("/");
    let errno = opened.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE))
}
