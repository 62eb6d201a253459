#![allow(clippy::disallowed_methods, reason = "these tests damage files")]

use std::{fs::OpenOptions, io::Write, sync::Arc};

use super::*;
use crate::{
    artifact::digest_of,
    ledger::{
        Journal, KeyHistory, LedgerKeys,
        conformance::{Database, conformance},
        testing::Story,
    },
};

pub(super) fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    (dir, path)
}

pub(super) fn raw(path: &Path) -> Connection {
    connect(path).unwrap()
}

/// An engagement with thirty documents beside those that it names.
fn long(of: &str) -> Story {
    let mut story = Story::whole(of);
    for n in 0..30 {
        story.document(&serde_json::json!({"of": of, "n": n, "text": "x".repeat(n * 100)}));
    }
    story
}

/// A closed ledger with three engagements, all of it in the main file.
pub(super) async fn filled(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    for of in ["aaaaa", "bbbbb", "ccccc"] {
        store.append(long(of).append(0, 7)).await.unwrap();
    }
    store.close().await;
    assert!(!path.with_file_name("ledger.sqlite-wal").exists());
}

/// A file, with the folder of its keys where it has one.
struct Place(PathBuf, Option<PathBuf>);

impl Database for Place {
    fn open(&self) -> Pending<'_, Arc<dyn Store>> {
        Box::pin(async {
            let Self(path, keys) = self;
            Ok(match keys {
                Some(keys) => Arc::new(SqliteStore::open_signing(path, keys.clone()).await?) as Arc<dyn Store>,
                None => Arc::new(SqliteStore::open(path).await?),
            })
        })
    }

    fn keys(&self) -> Pending<'_, Option<KeyHistory>> {
        Box::pin(async {
            let Some(keys) = &self.1 else { return Ok(None) };
            let ledger = self.open().await?.ledger().await?;
            Ok(Some(LedgerKeys::of(keys.clone(), &ledger).history().unwrap()))
        })
    }
}

#[tokio::test]
async fn sqlite_conforms() {
    let (_dir, path) = place();
    conformance(&Place(path, None)).await;
    let (dir, path) = place();
    conformance(&Place(path, Some(dir.path().join("keys")))).await;
}

#[tokio::test]
async fn a_ledger_is_durable_and_append_only_and_leaves_no_other_file() {
    let (dir, path) = place();
    filled(&path).await;
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ledger.sqlite"]);
    let store = SqliteStore::open(&path).await.unwrap();
    let story = Story::whole("bbbbb");
    assert_eq!(store.events(&story.id, 0).unwrap(), story.bytes()[..7]);
    let connection = raw(&path);
    for statement in
        ["UPDATE events SET seq = 99", "DELETE FROM events", "UPDATE blobs SET bytes = x'00'", "DELETE FROM blobs"]
    {
        let refused = connection.execute_batch(statement).unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{statement}: {refused}");
    }
    let level: i64 = connection.query_row("PRAGMA synchronous", (), |row| row.get(0)).unwrap();
    let mode: String = connection.query_row("PRAGMA journal_mode", (), |row| row.get(0)).unwrap();
    assert_eq!((level, mode.as_str()), (2, "wal"));
    let wrote = store.readers.with(|reader| reader.execute_batch("DELETE FROM summaries").map_err(failed("write")));
    assert!(matches!(wrote, Err(LedgerError::ReadOnly)), "a reader wrote");
}

#[tokio::test]
async fn two_processes_that_open_a_new_ledger_at_once_share_it() {
    let (_dir, path) = place();
    let opened = (0..8).map(|_| {
        tokio::spawn({
            let path = path.clone();
            async move { SqliteStore::open(path).await }
        })
    });
    let mut stores = Vec::new();
    for task in opened.collect::<Vec<_>>() {
        stores.push(task.await.unwrap().unwrap());
    }
    let story = Story::whole("aaaaa");
    let mut seq = 0;
    for store in &stores {
        store.append(story.append(seq, seq + 1)).await.unwrap();
        seq += 1;
    }
    for store in &stores {
        assert_eq!(store.events(&story.id, 0).unwrap(), story.bytes()[..seq]);
    }
    let (first, second) = (&stores[0], &stores[1]);
    let (one, two) = tokio::join!(first.append(story.append(seq, 20)), second.append(story.append(seq, 20)));
    let lost = one.and(two).unwrap_err();
    assert!(matches!(lost, LedgerError::Conflict(_)), "{lost}");
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_is_whole_or_not_there() {
    let (_dir, path) = place();
    let store = SqliteStore::open(&path).await.unwrap();
    let story = Story::whole("aaaaa");
    for micros in 0..40 {
        let seq = store.events(&story.id, 0).unwrap().len();
        if seq >= 20 {
            break;
        }
        let _ =
            tokio::time::timeout(Duration::from_micros(micros * 20), store.append(story.append(seq, seq + 2))).await;
        let now = store.events(&story.id, 0).unwrap().len();
        assert!(now == seq || now == seq + 2, "{seq} then {now}");
        // A later append goes through: nothing is left locked.
        store.append(Story::begun(EngagementId::from_bits(micros).as_str()).append(0, 1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let (_dir, path) = place();
    filled(&path).await;
    let connection = raw(&path);
    connection.execute_batch("PRAGMA user_version = 9").unwrap();
    connection.close().unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Newer { found: 9, known: 8 }), "{refused}");
    assert!(refused.to_string().starts_with("this workspace was written by a newer countersign"), "{refused}");
}

#[tokio::test]
async fn a_ledger_has_an_id_of_its_own_and_keeps_it_and_an_older_one_gets_one() {
    let (_dir, path) = place();
    filled(&path).await;
    let of = async |path: &Path| {
        let store = SqliteStore::open(path).await.unwrap();
        let id = store.ledger().await.unwrap();
        store.close().await;
        id
    };
    let id = of(&path).await;
    assert_eq!(of(&path).await, id);
    let (_other, elsewhere) = place();
    assert_ne!(of(&elsewhere).await, id);
    let connection = raw(&path);
    for statement in ["UPDATE ledger SET id = 'x'", "DELETE FROM ledger"] {
        assert!(connection.execute_batch(statement).is_err(), "{statement}");
    }
    // As the first version wrote it.
    for statement in ["DROP TABLE ledger", NO_LOG, "PRAGMA user_version = 1"] {
        connection.execute_batch(statement).unwrap();
    }
    connection.close().unwrap();
    let anew = of(&path).await;
    assert_ne!(anew, id);
    assert_eq!(of(&path).await, anew);
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.events(&"aaaaa".parse().unwrap(), 0).unwrap().len(), 7, "nothing else is touched");
}

#[tokio::test]
async fn a_destroyed_document_is_in_no_byte_of_any_file() {
    let (dir, path) = place();
    filled(&path).await;
    let store = SqliteStore::open(&path).await.unwrap();
    let mut story = Story::whole("ddddd");
    // Small and large ones, so that they lie in pages with others and in pages of their own.
    let text = |n: u64| (0..1 + n * n).map(|at| digest_of(&(n, at)).unwrap().to_string()).collect::<String>();
    let documents: Vec<Digest> =
        (0..40).map(|n| story.document(&serde_json::json!({"n": n, "text": text(n)}))).collect();
    store.append(story.append(0, 19)).await.unwrap();
    // What stands in the rows is packed, so that is what is looked for: from the middle, where a row is only itself.
    let mut packer = packed::Packer::new();
    let rows = documents.iter().map(|document| packer.pack(&story.blobs[document]));
    let middles: Vec<Vec<u8>> = rows.map(|row| row[row.len() / 2..][..24].to_vec()).collect();
    let holds = || {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        let files: Vec<Vec<u8>> = files.collect();
        let in_one = |file: &Vec<u8>, middle: &[u8]| file.windows(middle.len()).any(|bytes| bytes == middle);
        middles.iter().filter(|middle| files.iter().any(|file| in_one(file, middle))).count()
    };
    assert!(holds() > 35, "it was never there: {}", holds());
    let mut append = story.append(19, 20);
    append.blobs.clear();
    append.destroyed.clone_from(&documents);
    store.append(append).await.unwrap();
    assert!(holds() > 0, "the write-ahead log has it still");
    // Whoever destroyed it ended there. While somebody reads, the next one cannot do it either.
    let reading = raw(&path);
    reading.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    assert!(!SqliteStore::open(&path).await.unwrap().is_scrubbed().await.unwrap());
    reading.execute_batch("COMMIT").unwrap();
    let next = SqliteStore::open(&path).await.unwrap();
    assert_eq!((next.is_scrubbed().await.unwrap(), holds()), (true, 0));
    next.close().await;
    assert!(store.scrub().await.unwrap());
    assert_eq!(holds(), 0);
    // Nothing else can be deleted, and what is destroyed is not forgotten.
    let connection = raw(&path);
    for statement in ["DELETE FROM blobs", "DELETE FROM destroyed", "UPDATE destroyed SET digest = 'x'"] {
        assert!(connection.execute_batch(statement).is_err(), "{statement}");
    }
    let one = documents[0].to_string();
    let count = "SELECT count(*) FROM destroyed WHERE digest = ?";
    let kept: i64 = connection.query_row(count, (one,), |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}

const NO_LOG: &str = "DROP TRIGGER blobs_last; DROP TABLE destroyed; DROP TABLE log_leaves; DROP TABLE log_nodes; \
    DROP TABLE checkpoints; DROP TABLE snapshots; DROP TABLE unscrubbed; CREATE TRIGGER blobs_last BEFORE DELETE ON blobs \
    BEGIN SELECT RAISE(ABORT, 'documents are append-only'); END";

#[tokio::test]
async fn the_log_of_an_older_ledger_begins_with_the_heads_of_what_is_in_it() {
    let (_dir, path) = place();
    filled(&path).await;
    let connection = raw(&path);
    connection.execute_batch(NO_LOG).unwrap();
    connection.execute_batch("PRAGMA user_version = 2").unwrap();
    connection.close().unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let logged = store.logged(None).await.unwrap();
    let heads: Vec<(u64, &str, u64)> =
        logged.iter().map(|leaf| (leaf.position, leaf.engagement.as_str(), leaf.seq)).collect();
    assert_eq!(heads, [(0, "aaaaa", 7), (1, "bbbbb", 7), (2, "ccccc", 7)]);
    assert_eq!(logged[0].bytes, store.events(&logged[0].engagement, 6).unwrap().pop());
}

#[tokio::test]
async fn what_is_not_a_ledger_is_refused_and_left_alone() {
    let (_dir, path) = place();
    for content in ["", "hello", &"garbage ".repeat(2000)] {
        std::fs::write(&path, content).unwrap();
        let refused = SqliteStore::open(&path).await.unwrap_err();
        assert!(matches!(refused, LedgerError::NotALedger { .. }), "{content:.10}: {refused:?}");
        assert!(refused.to_string().ends_with("restore it from a backup"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(refused.to_string().contains("another program's database"), "{refused}");

    std::fs::remove_file(&path).unwrap();
    std::fs::write(path.with_file_name("ledger.sqlite-wal"), "what is left of a ledger").unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(refused.to_string().contains("write-ahead log"), "{refused}");
    assert!(!path.exists());
}

/// Opens a file that was damaged and reads all of it; whatever comes back must be what was written.
async fn read_all(path: &Path, stories: &[(Story, Digest)]) -> Result<(), LedgerError> {
    let store = Arc::new(SqliteStore::open(path).await?);
    let mut outcome = Ok(());
    for (story, head) in stories {
        let opened = Journal::open(Arc::clone(&store) as Arc<dyn Store>, &story.id).await;
        let read = opened.map(|journal| assert_eq!(journal.state().head, *head, "wrong, and nobody noticed"));
        let digests: Vec<Digest> = story.blobs.keys().copied().collect();
        outcome = outcome.and(read).and(store.blobs(&digests).map(|found| {
            assert!(
                found.iter().all(|(digest, bytes)| story.blobs.get(digest) == Some(bytes)),
                "wrong, and nobody noticed"
            );
        }));
    }
    let lists = store.summaries(&Filter::default()).and(store.find("").map(|_| ()));
    Arc::into_inner(store).unwrap().close().await;
    outcome.and(lists)
}

#[tokio::test]
async fn damage_is_an_error_that_says_so_and_never_a_panic_or_a_wrong_answer() {
    let (dir, path) = place();
    filled(&path).await;
    let story = |of| {
        let story = long(of);
        let head = story.sealed()[6].event.hash;
        (story, head)
    };
    let stories = ["aaaaa", "bbbbb", "ccccc"].map(story);
    read_all(&path, &stories).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 20, "{pages}");

    let damaged = dir.path().join("damaged.sqlite");
    let mut found = 0;
    let mut look = async |bytes: &[u8], how: String| {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("damaged.sqlite{suffix}")));
        }
        OpenOptions::new().create(true).append(true).open(&damaged).unwrap().write_all(bytes).unwrap();
        if let Err(error) = read_all(&damaged, &stories).await {
            let honest = matches!(
                error,
                LedgerError::Corrupt { .. }
                    | LedgerError::NotALedger { .. }
                    | LedgerError::Missing(_)
                    | LedgerError::Newer { .. }
                    | LedgerError::Store { .. }
            ) || matches!(error, LedgerError::Document(_));
            assert!(honest, "{how}: {error:?}");
            found += 1;
        }
    };
    for length in [1, 50, 100, 1000, 4096, 5000, 4096 * 3, 4096 * (pages / 2), whole.len() - 4096, whole.len() - 1] {
        look(&whole[..length], format!("cut to {length}")).await;
    }
    for page in 0..pages {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        look(&bytes, format!("page {page} overwritten")).await;
        for step in 0..3 {
            let at = page * 4096 + (step * 1439 + page * 31) % 4096;
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            look(&bytes, format!("byte {at} flipped")).await;
        }
    }
    assert!(found > pages, "only {found} of {} were noticed", pages * 4 + 10);
}

#[tokio::test]
async fn a_document_that_was_changed_in_the_file_is_named_and_not_handed_out() {
    let (_dir, path) = place();
    filled(&path).await;
    let story = Story::whole("aaaaa");
    let crate::engagement::Body::Requested(requested) = &story.events[0].2 else { panic!("no request") };
    let connection = raw(&path);
    connection.execute_batch("DROP TRIGGER blobs_stay").unwrap();
    let update = "UPDATE blobs SET bytes = CAST('{}' AS BLOB) WHERE digest = ?";
    connection.execute(update, (requested.request.to_string(),)).unwrap();
    connection.close().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).await.unwrap());
    let refusals = [
        store.blob(requested.request).await.unwrap_err(),
        store.blobs(&[requested.request]).await.unwrap_err(),
        Journal::open(Arc::clone(&store), &story.id).await.unwrap_err(),
    ];
    for refused in refusals {
        assert!(matches!(refused, LedgerError::Corrupt { .. }), "{refused:?}");
        assert!(refused.to_string().contains(&requested.request.to_string()), "{refused}");
    }
}

#[tokio::test]
async fn a_write_ahead_log_that_is_torn_gives_back_whole_appends_and_takes_more() {
    let (dir, path) = place();
    filled(&path).await;
    let store = SqliteStore::open(&path).await.unwrap();
    let story = Story::whole("ddddd");
    for seq in 0..10 {
        store.append(story.append(2 * seq, 2 * seq + 2)).await.unwrap();
    }
    // As the disk is when the power goes: nobody has closed anything, and the last pages may not have arrived.
    let (whole, log) = (std::fs::read(&path).unwrap(), std::fs::read(schema::beside(&path, "-wal")).unwrap());
    assert!(log.len() > 40 * 4096, "{}", log.len());
    let torn = dir.path().join("torn.sqlite");
    let mut seen = BTreeSet::new();
    for cut in (0..60).map(|n| log.len() - n * 1_723) {
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(schema::beside(&torn, suffix));
        }
        std::fs::write(&torn, &whole).unwrap();
        std::fs::write(schema::beside(&torn, "-wal"), &log[..cut]).unwrap();
        let opened = SqliteStore::open(&torn).await.unwrap();
        let events = opened.events(&story.id, 0).unwrap();
        assert_eq!(events, story.bytes()[..events.len()], "cut to {cut}");
        assert_eq!(events.len() % 2, 0, "half an append, cut to {cut}");
        seen.insert(events.len());
        if events.len() < 20 {
            opened.append(story.append(events.len(), 20)).await.unwrap();
        }
        assert_eq!(opened.events(&story.id, 0).unwrap(), story.bytes());
        opened.close().await;
    }
    assert!(seen.contains(&20) && seen.len() > 3, "{seen:?}");
    store.close().await;
}

#[tokio::test]
async fn a_disk_that_is_full_or_read_only_is_named_and_what_comes_later_is_written() {
    for (way, wanted) in [("query_only = ON", "read-only"), ("max_page_count = 1", "is full")] {
        let (_dir, path) = place();
        filled(&path).await;
        let store = SqliteStore::open(&path).await.unwrap();
        // The writer's connection cannot write: SQLite answers as it does when the disk cannot.
        let connection = raw(&path);
        connection.execute_batch(&format!("PRAGMA {way}")).unwrap();
        let (queue, jobs) = mpsc::channel(1);
        let of = path.clone();
        let hobbled =
            thread::spawn(move || write((connection, file_id(&of).unwrap()), (of, None), jobs, &AtomicU64::default()));
        let append = async |append: Append| {
            let (answer, answered) = oneshot::channel();
            queue.send(Job { append, answer }).await.unwrap();
            answered.await.unwrap()
        };
        let refused = append(long("ddddd").append(0, 7)).await.unwrap_err();
        assert!(refused.to_string().contains(wanted), "{way}: {refused:?}");
        assert!(store.events(&"ddddd".parse().unwrap(), 0).unwrap().is_empty(), "{way}");
        // There is room again: the same process goes on.
        append(long("ddddd").append(0, 7)).await.unwrap();
        assert_eq!(store.events(&"ddddd".parse().unwrap(), 0).unwrap().len(), 7, "{way}");
        drop(queue);
        hobbled.join().unwrap();
    }
}
