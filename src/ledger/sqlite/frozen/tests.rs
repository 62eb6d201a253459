#![allow(clippy::disallowed_methods, reason = "these tests lay out what others left beside a ledger")]

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{super::store::Store, Readers, SqliteStore, connect},
    *,
};
use crate::ledger::testing::Story;

/// A ledger as it is opened where it cannot be written.
fn frozen(path: &Path) -> Result<SqliteStore, LedgerError> {
    let frozen = Some(Frozen::open(path, LedgerError::ReadOnly)?);
    let mut readers = Readers::new(path.to_owned());
    readers.frozen = frozen;
    Ok(SqliteStore { path: path.to_owned(), writer: None, readers, keys: None, commits: Arc::default() })
}

fn how_it_is_read(store: &SqliteStore) -> How {
    store.readers.frozen.as_ref().unwrap().how
}

/// What is in a folder, but for what processes share.
fn files_in(folder: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| !path.to_str().unwrap().ends_with(SHARED));
    files.map(|path| (path.file_name().unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

/// A ledger of which the first half is in the file and all of it was committed, as whoever was killed leaves it, with
/// what of it lies beside the file.
async fn left(folder: &Path, beside_it: &[&str]) -> PathBuf {
    let made = tempfile::tempdir().unwrap();
    let (path, story) = (made.path().join("ledger.db"), Story::whole("aaaaa"));
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(story.append(0, 7)).await.unwrap();
    connect(&path).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    store.append(story.append(7, 20)).await.unwrap();
    let to = folder.join("ledger.db");
    for suffix in beside_it.iter().chain(&[""]) {
        fs::copy(beside(&path, suffix), beside(&to, suffix)).unwrap();
    }
    store.close().await;
    to
}

#[tokio::test]
async fn all_that_was_committed_is_read_and_nothing_is_written() {
    let story = Story::whole("aaaaa");
    let cases = [(&[LOG, SHARED][..], How::Shared, 20), (&[LOG], How::WithLog, 20), (&[SHARED], How::Alone, 7)];
    for (beside_it, how, events) in cases {
        // What a URI has a meaning for is only a name here.
        let dir = tempfile::Builder::new().prefix("a%20?b#").tempdir().unwrap();
        let path = left(dir.path(), beside_it).await;
        let before = files_in(dir.path());
        let store = frozen(&path).unwrap();
        assert_eq!(how_it_is_read(&store), how);
        assert_eq!(store.events(&story.id, 0).unwrap(), story.bytes()[..events], "{how:?}");
        assert_eq!(store.summaries(&Filter::default()).unwrap().len(), 1, "{how:?}");
        for refused in [store.append(story.append(0, 7)).await.err(), Store::scrub(&store).await.err()] {
            assert!(matches!(refused, Some(LedgerError::ReadOnly)), "{how:?}: {refused:?}");
        }
        assert!(matches!(store.writable(), Err(LedgerError::ReadOnly)));
        let elsewhere = tempfile::tempdir().unwrap();
        let copied = store.backup(&elsewhere.path().join("copy.db"), None).await.unwrap();
        assert_eq!((copied.engagements, copied.events), (1, events as u64), "{how:?}");
        store.close().await;
        assert_eq!(files_in(dir.path()), before, "{how:?}");
    }
}

#[tokio::test]
async fn an_empty_log_has_nothing_that_is_not_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = left(dir.path(), &[]).await;
    fs::write(beside(&path, LOG), "").unwrap();
    let store = frozen(&path).unwrap();
    assert_eq!(how_it_is_read(&store), How::Alone);
    assert_eq!(store.events(&Story::whole("aaaaa").id, 0).unwrap().len(), 7);
}

#[tokio::test]
async fn where_there_was_no_room_for_what_is_shared_the_log_is_read_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = left(dir.path(), &[LOG]).await;
    fs::write(beside(&path, SHARED), "").unwrap();
    let store = frozen(&path).unwrap();
    assert_eq!(how_it_is_read(&store), How::WithLog);
    assert_eq!(store.events(&Story::whole("aaaaa").id, 0).unwrap().len(), 20);
}

#[tokio::test]
async fn what_is_read_while_somebody_writes_is_not_used() {
    for (beside_it, how, seq) in [(&[][..], How::Alone, 7), (&[LOG], How::WithLog, 20)] {
        let dir = tempfile::tempdir().unwrap();
        let (path, story) = (left(dir.path(), beside_it).await, Story::whole("aaaaa"));
        let store = frozen(&path).unwrap();
        assert_eq!(how_it_is_read(&store), how);
        assert_eq!(store.events(&story.id, 0).unwrap().len(), seq);
        let other = SqliteStore::open(&path).await.unwrap();
        other.append(Story::whole("bbbbb").append(0, 7)).await.unwrap();
        let refused = store.events(&story.id, 0).unwrap_err();
        assert!(matches!(refused, LedgerError::Changed), "{how:?}: {refused}");
        other.close().await;
        let refused = store.events(&story.id, 0).unwrap_err();
        assert!(matches!(refused, LedgerError::Changed), "{how:?}: {refused}");
        assert_eq!(frozen(&path).unwrap().events(&story.id, 0).unwrap().len(), seq, "{how:?}");
    }
}

#[tokio::test]
async fn beside_a_process_that_writes_what_it_commits_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (path, story) = (dir.path().join("ledger.db"), Story::whole("aaaaa"));
    let writes = SqliteStore::open(&path).await.unwrap();
    writes.append(story.append(0, 7)).await.unwrap();
    let reads = frozen(&path).unwrap();
    assert_eq!(how_it_is_read(&reads), How::Shared);
    assert_eq!(reads.events(&story.id, 0).unwrap().len(), 7);
    writes.append(story.append(7, 20)).await.unwrap();
    assert_eq!(reads.events(&story.id, 0).unwrap().len(), 20);
}

#[tokio::test]
async fn what_is_in_no_list_is_listed_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let store = SqliteStore::open(&path).await.unwrap();
    for (of, to) in [("aaaaa", 7), ("bbbbb", 3), ("ccccc", 20)] {
        store.append(Story::whole(of).append(0, to)).await.unwrap();
    }
    let one = Filter { limit: Some(1), ..Filter::default() };
    let waiting = Filter { which: Which::Waiting, ..Filter::default() };
    let nobodys = Filter { requester: Some("nobody".into()), ..Filter::default() };
    let filters = [Filter::default(), one, waiting, nobodys];
    let before = filters.each_ref().map(|filter| store.summaries(filter).unwrap());
    store.close().await;
    connect(&path).unwrap().execute("DELETE FROM summaries WHERE engagement <> 'bbbbb'", ()).unwrap();
    let store = frozen(&path).unwrap();
    assert_eq!(filters.each_ref().map(|filter| store.summaries(filter).unwrap()), before);
}

#[tokio::test]
async fn what_would_have_to_be_written_first_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = left(dir.path(), &[]).await;
    // What a write that was cut off leaves where there is no write-ahead logging.
    let connection = connect(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA user_version = 5").unwrap();
    let refused = frozen(&path).unwrap_err();
    assert!(matches!(refused, LedgerError::Older { found: 5, known: 8 }), "{refused}");
    connection.execute_batch("PRAGMA user_version = 8; PRAGMA cache_size = 1; BEGIN").unwrap();
    connection.execute_batch("CREATE TABLE more (x); INSERT INTO more VALUES (zeroblob(9000000))").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let cut_off = elsewhere.path().join("ledger.db");
    for suffix in ["", JOURNAL] {
        fs::copy(beside(&path, suffix), beside(&cut_off, suffix)).unwrap();
    }
    let refused = frozen(&cut_off).unwrap_err();
    assert!(matches!(refused, LedgerError::Unreadable(_)), "{refused}");
    assert!(refused.to_string().contains("copy the workspace"), "{refused}");
}
