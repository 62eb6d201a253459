//! Destroying documents: the row goes in the transaction of the event that says so, and then the whole file is written
//! anew and the write-ahead log is cut, so that no page, free or in use, still holds the bytes. What the disk itself keeps
//! of sectors that were written over, and what copies hold, is out of reach from here.

use std::path::Path;

use rusqlite::Connection;

use crate::artifact::Digest;

use super::{super::error::LedgerError, connect, failed};

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

/// Destroys documents, as far as they are there.
pub(super) fn destroy(connection: &Connection, digests: &[Digest]) -> Result<(), LedgerError> {
    for digest in digests {
        for statement in
            ["INSERT INTO destroyed (digest) VALUES (?) ON CONFLICT DO NOTHING", "DELETE FROM blobs WHERE digest = ?"]
        {
            connection.execute(statement, (digest.to_string(),)).map_err(failed("destroy a document"))?;
        }
    }
    Ok(())
}

/// Writes the file anew and cuts the write-ahead log; whether that could be done to its end.
pub(super) fn scrub(path: &Path) -> Result<bool, LedgerError> {
    let anew = || {
        let connection = connect(path)?;
        // A page that is in use may hold more than its rows: what moved to another page is not written over there.
        connection.execute_batch("VACUUM")?;
        let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(busy == 0)
    };
    anew().map_err(|error: rusqlite::Error| LedgerError::Unscrubbed(error.to_string()))
}
