//! The table of snapshots: the last one of each engagement, with the signature that shows it to be this ledger's. It is a
//! cache, and may be emptied at any time.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::artifact::EngagementId;

use super::{
    super::{error::LedgerError, keys::LedgerKeys, note::NoteKey, snapshot::statement},
    Unpacker, failed, ledger_id,
    packed::Packer,
    row,
};

/// The step of the schema that makes the table.
pub(super) const STEP: &str = "
CREATE TABLE snapshots (
    engagement TEXT NOT NULL PRIMARY KEY,
    signature  BLOB NOT NULL,
    bytes      BLOB NOT NULL
) STRICT;
PRAGMA user_version = 7;
";

const PUT: &str = "INSERT INTO snapshots (engagement, signature, bytes) VALUES (?, ?, ?) \
    ON CONFLICT (engagement) DO UPDATE SET signature = excluded.signature, bytes = excluded.bytes";

/// Puts a snapshot in place of the one before it.
pub(super) fn put(
    connection: &Connection,
    (engagement, bytes): (&EngagementId, &[u8]),
    key: &NoteKey,
    packer: &mut Packer,
) -> Result<(), LedgerError> {
    let signature = key.sign(statement(&ledger_id(connection)?, bytes).as_bytes());
    let row = (engagement.as_str(), signature.as_slice(), packer.pack(bytes));
    let put = connection.prepare_cached(PUT).and_then(|mut put| put.execute(row));
    put.map_err(failed("write a snapshot")).map(drop)
}

/// The snapshot of an engagement, if there is one that the current key in this folder has signed.
pub(super) fn get(
    connection: &Connection,
    engagement: &EngagementId,
    folder: &Path,
) -> Result<Option<Vec<u8>>, LedgerError> {
    let find = "SELECT signature, bytes FROM snapshots WHERE engagement = ?";
    let found: Option<(Vec<u8>, Vec<u8>)> =
        row(connection, find, (engagement.as_str(),), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(failed("read a snapshot"))?;
    let Some((signature, packed)) = found else { return Ok(None) };
    let ledger = ledger_id(connection)?;
    let history = LedgerKeys::of(folder.to_owned(), &ledger).of_a_signed_log(true).history();
    let Ok(bytes) = Unpacker::new().unpack(packed) else { return Ok(None) };
    let message = statement(&ledger, &bytes);
    let Ok(history) = history else { return Ok(None) };
    let by = history.verify(message.as_bytes(), &signature);
    if by.is_none() {
        tracing::warn!(%engagement, "its snapshot is not signed with this ledger's key; its events are read instead");
    }
    // Whoever has a key that was replaced may not be this ledger; nothing is wrong with what was signed before that.
    Ok(by.is_some_and(|key| key.until.is_none()).then_some(bytes))
}
