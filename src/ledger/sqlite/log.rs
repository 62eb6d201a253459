//! The log's tables: which event each leaf is of, the hashes of the tree that no later leaf can change, and the
//! checkpoints. They are written in the transaction of the events, so no event that belongs into the log is without.

use std::collections::BTreeMap;

use sqlx::{SqliteConnection, SqliteExecutor};

use crate::artifact::{Digest, EngagementId};

use super::{
    super::{
        checkpoint::Checkpoint,
        error::LedgerError,
        keys::{LedgerKeys, origin},
        merkle::{self, Leaf, Nodes},
        store::{Append, Logged},
    },
    failed, integer, ledger_id,
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
pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    let heads: Vec<(String, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT engagement, seq, hash FROM events AS one \
         WHERE seq = (SELECT max(seq) FROM events WHERE engagement = one.engagement) \
         ORDER BY (SELECT min(position) FROM events WHERE engagement = one.engagement)",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed("read the last events"))?;
    let wrong = || LedgerError::corrupt("the table of events", "an engagement or a hash is not one");
    let mut leaves = Vec::new();
    for (engagement, seq, hash) in heads {
        let (engagement, head) = (engagement.parse().map_err(|_| wrong())?, digest(&hash).ok_or_else(wrong)?);
        leaves.push(Leaf { engagement, head, seq: u64::try_from(seq).map_err(|_| wrong())? });
    }
    push(connection, leaves).await?;
    Ok(())
}

/// Adds the leaves of what is written in this transaction, and signs the log as it is then.
pub(super) async fn write<'a>(
    connection: &mut SqliteConnection,
    appends: impl Iterator<Item = &'a Append>,
    keys: Option<&std::path::Path>,
) -> Result<(), LedgerError> {
    let leaves: Vec<Leaf> = appends.filter_map(Append::leaf).collect();
    if leaves.is_empty() {
        return Ok(());
    }
    let (size, nodes) = push(connection, leaves).await?;
    let Some(folder) = keys else { return Ok(()) };
    let ledger = ledger_id(&mut *connection).await?;
    // A log that is not signed now is signed with its next leaf, by whoever may read the key.
    let key = match LedgerKeys::of(folder.to_owned(), &ledger).signer() {
        Ok(key) => key,
        Err(error) => {
            let error = words(&error);
            tracing::warn!(%error, "no checkpoint was signed; the next one covers what was written");
            return Ok(());
        }
    };
    let places = merkle::needed_for_root(size);
    let missing: Vec<u64> = places.iter().copied().filter(|at| !nodes.contains_key(at)).collect();
    let mut all = read_nodes(&mut *connection, &missing).await?;
    all.extend(nodes);
    let root = merkle::root(size, &all).ok_or_else(hole)?;
    let note = Checkpoint { origin: origin(&ledger), size, root }.sign(&key);
    sqlx::query("INSERT INTO checkpoints (size, note) VALUES (?, ?)")
        .bind(integer(size))
        .bind(note.to_string())
        .execute(connection)
        .await
        .map_err(failed("write a checkpoint"))?;
    Ok(())
}

/// An error with what it rests on.
fn words(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Adds leaves; the size of the log then and the hashes that are new.
async fn push(connection: &mut SqliteConnection, leaves: Vec<Leaf>) -> Result<(u64, Nodes), LedgerError> {
    let mut size = log_size(&mut *connection).await?;
    let mut nodes = read_nodes(&mut *connection, &merkle::needed_to_append(size)).await?;
    let mut made = Nodes::new();
    for leaf in leaves {
        let bytes = leaf.bytes().map_err(|error| LedgerError::Unwritable(error.into()))?;
        let missing: Vec<u64> =
            merkle::needed_to_append(size).into_iter().filter(|at| !nodes.contains_key(at)).collect();
        nodes.extend(read_nodes(&mut *connection, &missing).await?);
        let new = merkle::append(size, merkle::leaf_hash(&bytes), &nodes).ok_or_else(hole)?;
        sqlx::query("INSERT INTO log_leaves (position, engagement, seq) VALUES (?, ?, ?)")
            .bind(integer(size))
            .bind(leaf.engagement.as_str())
            .bind(integer(leaf.seq))
            .execute(&mut *connection)
            .await
            .map_err(failed("write a leaf of the log"))?;
        for (place, hash) in &new {
            sqlx::query("INSERT INTO log_nodes (place, hash) VALUES (?, ?)")
                .bind(integer(*place))
                .bind(hash.bytes().as_slice())
                .execute(&mut *connection)
                .await
                .map_err(failed("write the log"))?;
        }
        nodes.extend(new.iter().copied());
        made.extend(new);
        size += 1;
    }
    Ok((size, made))
}

fn hole() -> LedgerError {
    LedgerError::corrupt("the log", "a hash of its tree is missing")
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().ok()
}

pub(super) async fn log_size(executor: impl SqliteExecutor<'_>) -> Result<u64, LedgerError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(position) FROM log_leaves")
        .fetch_one(executor)
        .await
        .map_err(failed("read the log"))?;
    Ok(last.map_or(0, |last| u64::try_from(last).unwrap_or(0) + 1))
}

pub(super) async fn read_nodes(executor: impl SqliteExecutor<'_>, places: &[u64]) -> Result<Nodes, LedgerError> {
    if places.is_empty() {
        return Ok(Nodes::new());
    }
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT place, hash FROM log_nodes WHERE place IN (SELECT value FROM json_each(?))")
            .bind(serde_json::json!(places).to_string())
            .fetch_all(executor)
            .await
            .map_err(failed("read the log"))?;
    let wrong = || LedgerError::corrupt("the log", "a hash of its tree is not one");
    let read = |(place, hash): (i64, Vec<u8>)| {
        Ok((u64::try_from(place).map_err(|_| wrong())?, digest(&hash).ok_or_else(wrong)?))
    };
    rows.into_iter().map(read).collect::<Result<BTreeMap<_, _>, _>>()
}

/// What the log has of an engagement, or of all where none is named, with the bytes of each event as far as they are
/// there.
pub(super) async fn logged(
    executor: impl SqliteExecutor<'_>,
    engagement: Option<&EngagementId>,
) -> Result<Vec<Logged>, LedgerError> {
    let rows: Vec<(i64, String, i64, Option<Vec<u8>>)> = sqlx::query_as(
        "SELECT log_leaves.position, log_leaves.engagement, log_leaves.seq, events.bytes FROM log_leaves \
         LEFT JOIN events ON events.engagement = log_leaves.engagement AND events.seq = log_leaves.seq \
         WHERE ?1 IS NULL OR log_leaves.engagement = ?1 ORDER BY log_leaves.position",
    )
    .bind(engagement.map(EngagementId::as_str))
    .fetch_all(executor)
    .await
    .map_err(failed("read the log"))?;
    let wrong = || LedgerError::corrupt("the log", "a leaf names no engagement or no place");
    let read = |(position, engagement, seq, bytes): (i64, String, i64, Option<Vec<u8>>)| {
        let number = |number: i64| u64::try_from(number).map_err(|_| wrong());
        let engagement = engagement.parse().map_err(|_| wrong())?;
        Ok(Logged { position: number(position)?, engagement, seq: number(seq)?, bytes })
    };
    rows.into_iter().map(read).collect()
}

pub(super) async fn checkpoints(executor: impl SqliteExecutor<'_>, after: u64) -> Result<Vec<String>, LedgerError> {
    sqlx::query_scalar("SELECT note FROM checkpoints WHERE size > ? ORDER BY size")
        .bind(integer(after))
        .fetch_all(executor)
        .await
        .map_err(failed("read the checkpoints"))
}

pub(super) async fn last_checkpoint(executor: impl SqliteExecutor<'_>) -> Result<Option<String>, LedgerError> {
    sqlx::query_scalar("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
        .fetch_optional(executor)
        .await
        .map_err(failed("read the checkpoints"))
}
