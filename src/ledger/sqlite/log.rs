//! The log's tables: which event each leaf is of, the hashes of the tree that no later leaf can change, and the
//! checkpoints. They are written in the transaction of the events, so no event that belongs into the log is without.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::artifact::{Digest, EngagementId, LedgerId};

use super::{
    super::{
        checkpoint::Checkpoint,
        error::LedgerError,
        keys::{KeyError, KeyHistory, LedgerKeys},
        log::{Grown, Signer, Stored, bears_out, with_leaves},
        merkle::{self, Leaf, Nodes},
        note::{Note, NoteKey},
        store::{Append, Logged, Logs, Store},
    },
    SqliteStore, Unpacker, connect, failed, integer, ledger_id, row, rows,
};

/// The step of the schema that makes the tables.
pub(super) const STEP: &str = "
CREATE TABLE log_leaves (
    position   INTEGER PRIMARY KEY,
    engagement TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    UNIQUE (engagement, seq)
) STRICT;
CREATE TABLE log_nodes (
    place INTEGER PRIMARY KEY,
    hash  BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL
) STRICT;
CREATE TRIGGER leaves_stay      BEFORE UPDATE ON log_leaves  BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER leaves_last      BEFORE DELETE ON log_leaves  BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER nodes_stay       BEFORE UPDATE ON log_nodes   BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER nodes_last       BEFORE DELETE ON log_nodes   BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER checkpoints_stay BEFORE UPDATE ON checkpoints BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER checkpoints_last BEFORE DELETE ON checkpoints BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
PRAGMA user_version = 3;
";

/// Begins the log of a ledger that had none with the heads of what is in it, the first begun first.
pub(super) fn begin(connection: &Connection) -> Result<(), LedgerError> {
    let heads: Vec<(String, i64, Vec<u8>)> = rows(
        connection,
        "SELECT engagement, seq, hash FROM events AS one \
         WHERE seq = (SELECT max(seq) FROM events WHERE engagement = one.engagement) \
         ORDER BY (SELECT min(position) FROM events WHERE engagement = one.engagement)",
        (),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )
    .map_err(failed("read the last events"))?;
    let wrong = || LedgerError::corrupt("the table of events", "an engagement or a hash is not one");
    let mut leaves = Vec::new();
    for (engagement, seq, hash) in heads {
        let (engagement, head) = (engagement.parse().map_err(|_| wrong())?, digest(&hash).ok_or_else(wrong)?);
        leaves.push(Leaf { engagement, head, seq: u64::try_from(seq).map_err(|_| wrong())? });
    }
    let (grown, _) = with_leaves(0, Nodes::new(), leaves)?;
    keep(connection, &grown)
}

/// Adds the leaves of what is written in this transaction, and signs the log as it is then; the answer is how many leaves
/// were signed, and of which ledger, if they were.
pub(super) fn write<'a>(
    connection: &Connection,
    appends: impl Iterator<Item = &'a Append> + Clone,
    signer: &mut Signer,
) -> Result<Option<(LedgerId, u64)>, LedgerError> {
    if appends.clone().all(|append| append.logs == Logs::Nothing) {
        return Ok(None);
    }
    let leaves: Vec<Leaf> = appends.filter_map(Append::leaf).collect();
    let statement = "SELECT coalesce(max(position) + 1, 0), (SELECT id FROM ledger) FROM log_leaves";
    let (size, ledger): (i64, String) =
        row(connection, statement, (), |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed("read the log"))?;
    let size = u64::try_from(size).unwrap_or(0);
    let ledger: LedgerId = ledger.parse().map_err(|_| LedgerError::corrupt("the ledger's own id", "it is not one"))?;
    let stored = Stored { ledger: ledger.clone(), size, last: last_checkpoint(connection)? };
    let nodes = read_nodes(connection, &stored.needs())?;
    let Some(grown) = stored.grow(nodes, leaves, signer)? else { return Ok(None) };
    keep(connection, &grown)?;
    Ok(grown.checkpoint.is_some().then_some((ledger, grown.size)))
}

/// Whether an event is the last of its chain and has no leaf yet.
pub(super) fn is_unlogged_head(connection: &Connection, head: &Leaf) -> Result<bool, LedgerError> {
    let statement = "SELECT (SELECT hash FROM events WHERE engagement = ?1 AND seq = ?2) = ?3 \
        AND NOT EXISTS (SELECT 1 FROM events WHERE engagement = ?1 AND seq > ?2) \
        AND NOT EXISTS (SELECT 1 FROM log_leaves WHERE engagement = ?1 AND seq >= ?2)";
    let with = (head.engagement.as_str(), integer(head.seq), head.head.bytes().as_slice());
    let is: Option<bool> = row(connection, statement, with, |row| row.get(0)).map_err(failed("read the last event"))?;
    Ok(is == Some(true))
}

/// The key that signs what this ledger keeps for itself, where there is one.
pub(super) fn own_key(connection: &Connection, signer: &mut Signer) -> Result<Option<Arc<NoteKey>>, LedgerError> {
    if !signer.signs() {
        return Ok(None);
    }
    Ok(signer.key(&ledger_id(connection)?, last_checkpoint(connection)?.as_deref()))
}

impl SqliteStore {
    /// Has the current key name a new one, which signs from now on. Nobody writes meanwhile, so the log has no more leaves
    /// than the statement of the new key says when it takes over.
    ///
    /// # Errors
    ///
    /// [`KeyError`], for a ledger that was rolled back among others; nothing has changed then.
    pub fn rotate(&self, keys: &LedgerKeys, now: Timestamp) -> Result<KeyHistory, KeyError> {
        let unread = |error: LedgerError| KeyError::Log(Box::new(error));
        Store::writable(self).map_err(unread)?;
        let connection = connect(self.path()).map_err(failed("be opened")).map_err(unread)?;
        // Taken back when the connection is dropped: nothing is written to the file.
        connection.execute_batch("BEGIN IMMEDIATE").map_err(failed("be locked")).map_err(unread)?;
        let last = last_checkpoint(&connection).map_err(unread)?;
        let last: Option<Note> = last.as_deref().map(str::parse).transpose().map_err(|error| keys.unfit(error))?;
        keys.fit(last.as_ref())?;
        // A statement for fewer leaves than are signed would make the log that has them one that somebody else signed.
        let last = last.as_ref().and_then(|last| Checkpoint::of(last).ok());
        keys.signed_all_of(last.as_ref().map_or(0, |last| last.size)).map_err(unread)?;
        let size = log_size(&connection).map_err(unread)?;
        if let Some(last) = last {
            let nodes = read_nodes(&connection, &merkle::needed_for_root(last.size)).map_err(unread)?;
            bears_out(size, &nodes, &last).map_err(unread)?;
        }
        keys.rotate(now, size)
    }
}

/// Writes what a log has grown by.
fn keep(connection: &Connection, grown: &Grown) -> Result<(), LedgerError> {
    let put = || {
        let mut leaf =
            connection.prepare_cached("INSERT INTO log_leaves (position, engagement, seq) VALUES (?, ?, ?)")?;
        for (position, Leaf { engagement, seq, .. }) in &grown.leaves {
            leaf.execute((integer(*position), engagement.as_str(), integer(*seq)))?;
        }
        let mut node = connection.prepare_cached("INSERT INTO log_nodes (place, hash) VALUES (?, ?)")?;
        for (place, hash) in &grown.made {
            node.execute((integer(*place), hash.bytes().as_slice()))?;
        }
        if let Some(note) = &grown.checkpoint {
            let mut checkpoint = connection.prepare_cached("INSERT INTO checkpoints (size, note) VALUES (?, ?)")?;
            checkpoint.execute((integer(grown.size), note))?;
        }
        Ok(())
    };
    put().map_err(failed("write the log"))
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    Some(Digest::of_bytes(bytes.try_into().ok()?))
}

pub(super) fn log_size(connection: &Connection) -> Result<u64, LedgerError> {
    let last: Option<i64> = row(connection, "SELECT max(position) FROM log_leaves", (), |row| row.get(0))
        .map_err(failed("read the log"))?;
    Ok(last.map_or(0, |last| u64::try_from(last).unwrap_or(0) + 1))
}

pub(super) fn read_nodes(connection: &Connection, places: &[u64]) -> Result<Nodes, LedgerError> {
    if places.is_empty() {
        return Ok(Nodes::new());
    }
    let found: Vec<(i64, Vec<u8>)> = rows(
        connection,
        "SELECT place, hash FROM log_nodes WHERE place IN (SELECT value FROM json_each(?))",
        (serde_json::json!(places).to_string(),),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
    .map_err(failed("read the log"))?;
    let wrong = || LedgerError::corrupt("the log", "a hash of its tree is not one");
    let read = |(place, hash): (i64, Vec<u8>)| {
        Ok((u64::try_from(place).map_err(|_| wrong())?, digest(&hash).ok_or_else(wrong)?))
    };
    found.into_iter().map(read).collect::<Result<BTreeMap<_, _>, _>>()
}

/// All leaves with the events that they stand for.
const LEAVES: &str = "SELECT log_leaves.position, log_leaves.engagement, log_leaves.seq, events.bytes FROM log_leaves \
    LEFT JOIN events ON events.engagement = log_leaves.engagement AND events.seq = log_leaves.seq \
    ORDER BY log_leaves.position";
/// The same of one engagement; in one statement with the other, it would read every leaf there is.
const LEAVES_OF: &str = "SELECT log_leaves.position, log_leaves.engagement, log_leaves.seq, events.bytes FROM log_leaves \
    LEFT JOIN events ON events.engagement = log_leaves.engagement AND events.seq = log_leaves.seq \
    WHERE log_leaves.engagement = ? ORDER BY log_leaves.position";

/// What the log has of an engagement, or of all where none is named, with the bytes of each event as far as they are
/// there.
pub(super) fn logged(connection: &Connection, engagement: Option<&EngagementId>) -> Result<Vec<Logged>, LedgerError> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let found = match engagement {
        None => rows(connection, LEAVES, (), read),
        Some(id) => rows(connection, LEAVES_OF, (id.as_str(),), read),
    };
    let found: Vec<(i64, String, i64, Option<Vec<u8>>)> = found.map_err(failed("read the log"))?;
    let wrong = || LedgerError::corrupt("the log", "a leaf names no engagement or no place");
    let mut with = Unpacker::new();
    let read = |(position, engagement, seq, bytes): (i64, String, i64, Option<Vec<u8>>)| {
        let number = |number: i64| u64::try_from(number).map_err(|_| wrong());
        let engagement: EngagementId = engagement.parse().map_err(|_| wrong())?;
        let bytes = bytes.map(|bytes| with.unpack(bytes)).transpose().map_err(|error| error.in_chain(&engagement))?;
        Ok(Logged { position: number(position)?, engagement, seq: number(seq)?, bytes })
    };
    found.into_iter().map(read).collect()
}

pub(super) fn last_leaf(connection: &Connection, engagement: &EngagementId) -> Result<Option<(u64, u64)>, LedgerError> {
    let statement = "SELECT position, seq FROM log_leaves WHERE engagement = ? ORDER BY seq DESC LIMIT 1";
    let last: Option<(i64, i64)> =
        row(connection, statement, (engagement.as_str(),), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(failed("read the log"))?;
    let number = |number: i64| u64::try_from(number).ok();
    let read = last.map(|(position, seq)| {
        number(position).zip(number(seq)).ok_or_else(|| LedgerError::corrupt("the log", "a leaf names no place"))
    });
    read.transpose()
}

pub(super) fn checkpoints(connection: &Connection, after: u64) -> Result<Vec<String>, LedgerError> {
    let statement = "SELECT note FROM checkpoints WHERE size > ? ORDER BY size";
    rows(connection, statement, (integer(after),), |row| row.get(0)).map_err(failed("read the checkpoints"))
}

pub(super) fn last_checkpoint(connection: &Connection) -> Result<Option<String>, LedgerError> {
    let statement = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1";
    row(connection, statement, (), |row| row.get(0)).optional().map_err(failed("read the checkpoints"))
}
