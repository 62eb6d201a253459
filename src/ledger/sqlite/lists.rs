//! Which engagements there are. The events say so; the table that lists are read from is a cache of them, and the line of
//! an engagement that has events and none there is made again from its events when the file is opened. The index of the
//! events is walked from one engagement to the next, so that this takes longer with each engagement and not with each
//! event.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::{
    artifact::{ArtifactKind, Digest, EngagementId},
    engagement::{Documents, State},
};

use super::{
    super::{chain, error::LedgerError, store::checked, summary::Summary},
    Unpacker, connect, failed,
    readers::Readers,
    row, rows,
    write::standing,
};

/// Those whose id begins so, without the ledger's own chain of trust stages. `~` comes after every letter of an id.
const FIND: &str = "WITH RECURSIVE known (id) AS (\
    SELECT min(engagement) FROM events WHERE engagement >= ?1 \
    UNION ALL SELECT (SELECT min(engagement) FROM events WHERE engagement > id) FROM known WHERE id < ?1 || '~') \
    SELECT id FROM known WHERE id < ?1 || '~' AND id <> ?2";

/// Those that no list has.
const UNLISTED: &str = "WITH RECURSIVE known (id) AS (\
    SELECT min(engagement) FROM events \
    UNION ALL SELECT (SELECT min(engagement) FROM events WHERE engagement > id) FROM known WHERE id IS NOT NULL) \
    SELECT id FROM known WHERE id <> ?1 AND NOT EXISTS (SELECT 1 FROM summaries WHERE engagement = id)";

/// What was written meanwhile is newer.
const PUT: &str = "INSERT INTO summaries (engagement, standing, requester, updated_at, line) VALUES (?, ?, ?, ?, ?) \
    ON CONFLICT (engagement) DO NOTHING";

/// In the place of what was found to be damaged.
const PUT_AGAIN: &str = "UPDATE summaries SET standing = ?, requester = ?, updated_at = ?, line = ? \
    WHERE engagement = ? AND CAST(line AS BLOB) = ?";

/// The engagements whose id begins so, in order.
pub(super) fn find(connection: &Connection, prefix: &str) -> Result<Vec<EngagementId>, LedgerError> {
    let with = (EngagementId::spelled(prefix), EngagementId::TRUST);
    let ids: Vec<String> = rows(connection, FIND, with, |row| row.get(0)).map_err(failed("find an engagement"))?;
    let parse =
        |id: String| id.parse().map_err(|_| LedgerError::corrupt("the table of events", "an engagement id is not one"));
    ids.into_iter().map(parse).collect()
}

/// Makes the lines again that are missing.
pub(super) fn make_again(connection: &mut Connection) -> Result<(), LedgerError> {
    let made = unlisted(connection)?;
    if made.is_empty() {
        return Ok(());
    }
    put(connection, &made).map_err(failed("make its list again"))
}

/// The lines that are missing. A chain that cannot be read has none, and is found by its id.
pub(super) fn unlisted(connection: &Connection) -> Result<Vec<(Summary, String)>, LedgerError> {
    let unlisted: Vec<String> =
        rows(connection, UNLISTED, (EngagementId::TRUST,), |row| row.get(0)).map_err(failed("read the list"))?;
    let mut made = Vec::new();
    for id in unlisted {
        match fold(connection, &id) {
            Some(summary) => made.push(summary),
            None => tracing::warn!(id, "an engagement is in no list, and its chain does not hold; verify it"),
        }
    }
    Ok(made)
}

fn put(connection: &mut Connection, made: &[(Summary, String)]) -> rusqlite::Result<()> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    for (summary, line) in made {
        tracing::warn!(id = %summary.id, "an engagement was in no list; its line was made again from its events");
        let updated_at = summary.updated_at.as_microsecond();
        let row = (summary.id.as_str(), standing(summary), summary.requester.as_str(), updated_at, line);
        transaction.execute(PUT, row)?;
    }
    transaction.commit()
}

/// What a line says, or what its engagement's events say where it is damaged; then it is written again, unless somebody did
/// so meanwhile or nothing can be written here.
///
/// # Errors
///
/// [`LedgerError::Corrupt`] where the events do not say it either.
pub(super) fn read(readers: &Readers, path: &Path, id: &str, line: &[u8]) -> Result<Summary, LedgerError> {
    let error = match serde_json::from_slice(line) {
        Ok(summary) => return Ok(summary),
        Err(error) => error,
    };
    let Some((summary, again)) = readers.with(|connection| Ok(fold(connection, id)))? else {
        let what = format!("the line of engagement {id} in the list, and its chain (`countersign verify {id}`),");
        return Err(LedgerError::corrupt(what, error.to_string()));
    };
    tracing::warn!(id, %error, "the line of an engagement in the list was damaged; it is made again from its events");
    if readers.frozen.is_none() {
        let (updated_at, stands) = (summary.updated_at.as_microsecond(), standing(&summary));
        let row = (stands, summary.requester.as_str(), updated_at, again, id, line);
        let put = connect(path).and_then(|connection| connection.execute(PUT_AGAIN, row));
        if let Err(error) = put {
            tracing::warn!(id, %error, "it was not written");
        }
    }
    Ok(summary)
}

/// The line of an engagement and what it is stored as, from its events.
fn fold(connection: &Connection, id: &str) -> Option<(Summary, String)> {
    let statement = "SELECT bytes FROM events WHERE engagement = ? ORDER BY seq";
    let packed = rows(connection, statement, (id,), |row| row.get(0)).ok()?;
    let (mut events, mut prev) = (Vec::new(), Digest::ZERO);
    for (bytes, seq) in Unpacker::unpack_all(packed).ok()?.iter().zip(1..) {
        let event = chain::check(bytes, seq, prev).ok().filter(|event| event.engagement.as_str() == id)?;
        prev = event.hash;
        events.push(event);
    }
    let state = State::replay(&events)?;
    let mut summary = Summary::of(&state, &Documents::default());
    if let Some(title) = title(connection, &state) {
        summary.title = title;
    }
    let line = serde_json::to_string(&summary).ok()?;
    Some((summary, line))
}

/// What the current spec of an engagement is called.
fn title(connection: &Connection, state: &State) -> Option<String> {
    let spec = state.artifact(ArtifactKind::Spec)?;
    let packed = row(connection, "SELECT bytes FROM blobs WHERE digest = ?", (spec.to_string(),), |row| row.get(0));
    let bytes = checked(spec, Unpacker::new().unpack(packed.ok()?).ok()?).ok()?;
    let spec: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    Some(spec.get("title")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        engagement::Body,
        ledger::{Append, Filter, SqliteStore, sqlite::connect, testing::Story},
    };

    #[tokio::test]
    async fn a_line_that_is_made_again_is_called_what_the_current_spec_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let mut story = Story::whole("aaaaa");
        let Body::Requested(requested) = &mut story.events[0].2 else { panic!() };
        requested.title = "what it was called at first".into();
        store.append(story.append(0, 7)).await.unwrap();
        store.close().await;
        connect(&path).unwrap().execute("DELETE FROM summaries", ()).unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.summaries(&Filter::default()).unwrap()[0].title, "Add VLAN 120");
    }

    #[tokio::test]
    async fn a_damaged_line_hides_no_engagement_and_is_made_from_its_events() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let store = SqliteStore::open(&path).await.unwrap();
        for id in ["aaaaa", "bbbbb", "ccccc"] {
            store.append(Story::whole(id).append(0, 7)).await.unwrap();
        }
        let all = store.summaries(&Filter::default()).unwrap();
        let other = connect(&path).unwrap();
        other.execute("UPDATE summaries SET line = '{broken' WHERE engagement <> 'ccccc'", ()).unwrap();
        let aside = crate::ledger::testing::id("ddddd");
        assert!(store.around(0, Some(&aside)).unwrap().1.is_empty());
        assert_eq!(store.summaries(&Filter::default()).unwrap(), all);
        let damaged = "SELECT count(*) FROM summaries WHERE NOT json_valid(line)";
        assert_eq!(other.query_row(damaged, (), |row| row.get::<_, i64>(0)).unwrap(), 0, "it was written again");
        // One that others are held to for what it changes is made again for them too.
        let mut story = Story::whole("ddddd");
        for (.., body) in &mut story.events {
            if let Body::Allowed(call) = body {
                call.counts = Some("create-vlan/sw01".into());
            }
        }
        store.append(story.append(0, 19)).await.unwrap();
        let changing = store.changing(&crate::ledger::testing::id("aaaaa")).unwrap();
        assert!(!changing.is_empty());
        let cut = "UPDATE summaries SET line = substr(line, 1, instr(line, '\"changing\":[') + 13) WHERE engagement = 'ddddd'";
        assert_eq!(other.execute(cut, ()).unwrap(), 1);
        assert_eq!(store.changing(&crate::ledger::testing::id("aaaaa")).unwrap(), changing);
        assert_eq!(other.query_row(damaged, (), |row| row.get::<_, i64>(0)).unwrap(), 0);
        // What cannot be told is said, with the engagement.
        other.execute("UPDATE summaries SET line = '{broken' WHERE engagement = 'aaaaa'", ()).unwrap();
        other.execute_batch("DROP TRIGGER events_stay").unwrap();
        other.execute("UPDATE events SET bytes = x'01' WHERE engagement = 'aaaaa' AND seq = 3", ()).unwrap();
        let error = store.summaries(&Filter::default()).unwrap_err().to_string();
        assert!(
            error.starts_with("the line of engagement aaaaa in the list, and its chain (`countersign verify aaaaa`)"),
            "{error}"
        );
        let error = store.events(&crate::ledger::testing::id("aaaaa"), 0).unwrap_err().to_string();
        assert!(error.starts_with("the chain of engagement aaaaa in the ledger is damaged: a packed row"), "{error}");
    }

    #[tokio::test]
    async fn an_engagement_that_no_list_has_is_listed_again_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let store = SqliteStore::open(&path).await.unwrap();
        for (of, to) in [("aaaaa", 7), ("bbbbb", 3), ("ccccc", 20)] {
            store.append(Story::whole(of).append(0, to)).await.unwrap();
        }
        // The chain of trust stages is in no list, and is not missed.
        let trust = Append { engagement: EngagementId::trust(), summary: None, ..Story::whole("ddddd").append(0, 2) };
        store.append(trust).await.unwrap();
        let before = store.summaries(&Filter::default()).unwrap();
        let raw = connect(&path).unwrap();
        for id in ["aaaaa", "ccccc"] {
            raw.execute("DELETE FROM summaries WHERE engagement = ?", (id,)).unwrap();
        }
        let ids = |found: Vec<EngagementId>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(ids(store.find("").unwrap()), ["aaaaa", "bbbbb", "ccccc"], "the list is not asked");
        assert_eq!(ids(store.find("C").unwrap()), ["ccccc"]);
        assert_eq!(ids(store.find("tru").unwrap()), [""; 0]);
        assert_eq!(store.summaries(&Filter::default()).unwrap().len(), 1);
        store.close().await;
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.summaries(&Filter::default()).unwrap(), before);
        // One whose chain is broken is not made up, and is found and opened as before.
        raw.execute_batch(
            "DROP TRIGGER events_last; DELETE FROM events WHERE engagement = 'bbbbb' AND seq = 2; \
             DELETE FROM summaries WHERE engagement = 'bbbbb'",
        )
        .unwrap();
        let again = Arc::new(SqliteStore::open(&path).await.unwrap());
        assert_eq!(again.summaries(&Filter::default()).unwrap().len(), 2);
        assert_eq!(ids(again.find("bb").unwrap()), ["bbbbb"]);
    }
}
