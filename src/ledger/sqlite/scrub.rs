//! Destroying documents: the row goes in the transaction of the event that says so, and then the whole file is written
//! anew and the write-ahead log is cut, so that no page, free or in use, still holds the bytes. What the disk itself keeps
//! of sectors that were written over, and what copies hold, is out of reach from here.

use std::path::Path;

use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::artifact::Digest;

use super::{super::error::LedgerError, failed, options};

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
pub(super) async fn destroy(connection: &mut SqliteConnection, digests: &[Digest]) -> Result<(), LedgerError> {
    for digest in digests {
        for statement in
            ["INSERT INTO destroyed (digest) VALUES (?) ON CONFLICT DO NOTHING", "DELETE FROM blobs WHERE digest = ?"]
        {
            let query = sqlx::query(statement).bind(digest.to_string());
            query.execute(&mut *connection).await.map_err(failed("destroy a document"))?;
        }
    }
    Ok(())
}

/// Writes the file anew and cuts the write-ahead log; whether that could be done to its end.
pub(super) async fn scrub(path: &Path) -> Result<bool, LedgerError> {
    let mut connection = options(path).connect().await.map_err(failed("be opened"))?;
    // A page that is in use may hold more than its rows: what moved to another page is not written over there.
    sqlx::query("VACUUM").execute(&mut connection).await.map_err(failed("write itself anew"))?;
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut connection)
        .await
        .map_err(failed("cut its write-ahead log"))?;
    connection.close().await.map_err(failed("be closed"))?;
    Ok(busy == 0)
}
