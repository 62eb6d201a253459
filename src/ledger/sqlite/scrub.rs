//! Destroying documents: the row goes in the transaction of the event that says so, and then the whole file is written
//! anew and the write-ahead log is cut, so that no page, free or in use, still holds the bytes. Until that is done the file
//! says so, and whoever opens it next does it. What the disk itself keeps of sectors that were written over, and what copies
//! hold, is out of reach from here.

use std::{path::Path, time::Duration};

use rusqlite::Connection;

use crate::artifact::Digest;

use super::{super::error::LedgerError, connect, failed, row};

/// The step of the schema after which documents can be destroyed, each once it is named as such and never before.
pub(super) const STEP: &str = "
CREATE TABLE destroyed (digest TEXT NOT NULL PRIMARY KEY) STRICT;
CREATE TRIGGER destroyed_stay BEFORE UPDATE ON destroyed BEGIN SELECT RAISE(ABORT, 'what is destroyed stays so'); END;
CREATE TRIGGER destroyed_last BEFORE DELETE ON destroyed BEGIN SELECT RAISE(ABORT, 'what is destroyed stays so'); END;
DROP TRIGGER blobs_last;
CREATE TRIGGER blobs_last BEFORE DELETE ON blobs WHEN OLD.digest NOT IN (SELECT digest FROM destroyed)
    BEGIN SELECT RAISE(ABORT, 'documents are append-only'); END;
PRAGMA user_version = 4;
";

/// The step after which a file says that it is to be written anew. Nobody knows whether what was destroyed before ever was.
pub(super) const OUTSTANDING: &str = "
CREATE TABLE unscrubbed (id INTEGER PRIMARY KEY AUTOINCREMENT, since INTEGER NOT NULL) STRICT;
INSERT INTO unscrubbed (since) SELECT unixepoch() WHERE EXISTS (SELECT 1 FROM destroyed);
PRAGMA user_version = 8;
";

/// How long whoever opens a ledger waits for others, to write its file anew.
const PATIENCE: Duration = Duration::from_secs(2);

/// Destroys documents, as far as they are there.
pub(super) fn destroy(connection: &Connection, digests: &[Digest]) -> Result<(), LedgerError> {
    for digest in digests {
        for statement in
            ["INSERT INTO destroyed (digest) VALUES (?) ON CONFLICT DO NOTHING", "DELETE FROM blobs WHERE digest = ?"]
        {
            connection.execute(statement, (digest.to_string(),)).map_err(failed("destroy a document"))?;
        }
    }
    if !digests.is_empty() {
        let note = "INSERT INTO unscrubbed (since) VALUES (unixepoch())";
        connection.execute(note, ()).map_err(failed("destroy a document"))?;
    }
    Ok(())
}

/// Whether the file was written anew since documents were destroyed.
pub(super) fn is_scrubbed(connection: &Connection) -> Result<bool, LedgerError> {
    let noted: bool = row(connection, "SELECT EXISTS (SELECT 1 FROM unscrubbed)", (), |row| row.get(0))
        .map_err(failed("read what is to be written anew"))?;
    Ok(!noted)
}

/// Writes the file anew where a process that ended has not. While others are in it that cannot be done; then it is left to
/// whoever opens it next, and is said.
pub(super) fn finish(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    if !is_scrubbed(connection)? {
        match scrub_within(path, Some(PATIENCE)) {
            Ok(true) => {}
            Ok(false) => tracing::debug!("others read the ledger, so its file was not written anew"),
            Err(error) => tracing::debug!(%error, "the ledger's file was not written anew"),
        }
    }
    Ok(())
}

/// Writes the file anew and cuts the write-ahead log; whether that could be done to its end.
pub(super) fn scrub(path: &Path) -> Result<bool, LedgerError> {
    scrub_within(path, None)
}

fn scrub_within(path: &Path, patience: Option<Duration>) -> Result<bool, LedgerError> {
    let anew = || {
        let connection = connect(path)?;
        if let Some(patience) = patience {
            connection.busy_timeout(patience)?;
        }
        let cut =
            || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0)).map(|busy: i64| busy == 0);
        // While somebody reads, what is written anew would only be added to the log beside the file.
        if !cut()? {
            return Ok(false);
        }
        // What others destroy meanwhile is theirs to write anew.
        let last = "SELECT coalesce(max(id), 0) FROM unscrubbed";
        let noted: i64 = connection.query_row(last, (), |row| row.get(0))?;
        if noted == 0 && patience.is_some() {
            return Ok(true);
        }
        // A page that is in use may hold more than its rows: what moved to another page is not written over there.
        connection.execute_batch("VACUUM")?;
        if !cut()? {
            return Ok(false);
        }
        connection.execute("DELETE FROM unscrubbed WHERE id <= ?", (noted,))?;
        // What said so is not left beside the file either, unless somebody reads it just now.
        cut()?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(true)
    };
    anew().map_err(|error: rusqlite::Error| LedgerError::Unscrubbed(error.to_string()))
}
