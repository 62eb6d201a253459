//! Copies of a ledger: whole as of one moment, and what does not hold in one is said.

#![allow(clippy::disallowed_methods, reason = "these tests lay out what others left beside a ledger")]

use std::sync::Arc;

use super::{
    tests::{filled, place, raw},
    *,
};
use crate::ledger::{Bundle, testing::Story};

/// The names of what lies in a folder.
fn names(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_a_killed_backup_left_beside_its_place_is_removed_and_nothing_else_is() {
    let (dir, path) = place();
    filled(&path).await;
    let store = SqliteStore::open(&path).await.unwrap();
    let copies = dir.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    // No process has such a number, and the first one is always there.
    let left = ["k.db.new-4294967295", "k.db.new-4294967295-wal", "k.db.new-4294967295-shm"];
    let others = ["k.db.new-1", "k.db.new-1-wal", "k.db.new-x", "k.db.newer", "other.db.new-4294967295"];
    for name in left.iter().chain(&others) {
        std::fs::write(copies.join(name), "x").unwrap();
    }
    store.backup(&copies.join("k.db"), None).await.unwrap();
    let mut there = names(&copies);
    there.retain(|name| name != "k.db");
    assert_eq!(there, others);
}

#[tokio::test]
async fn a_backup_is_whole_while_others_write_and_never_takes_the_place_of_a_file() {
    let (dir, path) = place();
    filled(&path).await;
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let story = Story::whole("ddddd");
            for seq in 0..20 {
                store.append(story.append(seq, seq + 1)).await.unwrap();
            }
        }
    });
    let copies = dir.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    let copy = copies.join("copy.db");
    let copied = store.backup(&copy, None).await.unwrap();
    writing.await.unwrap();
    assert_eq!(names(&copies), ["copy.db"]);
    let opened = SqliteStore::open(&copy).await.unwrap();
    let lists = opened.summaries(&Filter::default()).unwrap();
    let events: u64 = lists.iter().map(|summary| summary.seq).sum();
    assert_eq!((copied.engagements, copied.events), (lists.len(), events));
    assert!(lists.len() >= 3 && events >= 21, "{lists:?}");
    for summary in &lists {
        let (there, here) = (opened.events(&summary.id, 0), store.events(&summary.id, 0));
        assert_eq!(there.unwrap(), here.unwrap()[..usize::try_from(summary.seq).unwrap()]);
    }
    opened.close().await;
    let before = std::fs::read(&copy).unwrap();
    let refused = store.backup(&copy, None).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Exists(_)), "{refused}");
    assert_eq!(std::fs::read(&copy).unwrap(), before);
}

#[tokio::test]
async fn a_backup_says_which_chain_does_not_hold_and_has_it_as_it_is_with_all_others() {
    let (dir, path) = place();
    filled(&path).await;
    let connection = raw(&path);
    connection.execute_batch("DROP TRIGGER events_stay").unwrap();
    connection
        .execute_batch("UPDATE events SET bytes = (SELECT bytes FROM events WHERE position = 2) WHERE position = 3")
        .unwrap();
    connection.close().unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let copied = store.backup(&dir.path().join("copy.db"), None).await.unwrap();
    let [Unsound { place, .. }] = &copied.problems[..] else { panic!("{copied:?}") };
    assert_eq!((place.as_str(), copied.engagements), ("the chain of engagement aaaaa (event 3)", 3));
    let copy = SqliteStore::open(dir.path().join("copy.db")).await.unwrap();
    for of in ["aaaaa", "bbbbb", "ccccc"] {
        let id = of.parse().unwrap();
        assert_eq!(copy.events(&id, 0).unwrap(), store.events(&id, 0).unwrap());
    }
    copy.close().await;
    store.close().await;
    assert_eq!(names(dir.path()), ["copy.db", "ledger.sqlite"]);
}

#[tokio::test]
async fn a_backup_says_that_a_document_is_gone_and_finds_a_broken_chain_that_the_list_hides() {
    let (dir, path) = place();
    filled(&path).await;
    let store = SqliteStore::open(&path).await.unwrap();
    let story = Story::whole("ddddd");
    store.append(story.append(0, 20)).await.unwrap();
    let bundle = Bundle::export(&store, &story.id).await.unwrap();
    let without = |digest: &&Digest| {
        let mut without = bundle.clone();
        without.blobs.remove(digest);
        without.verify().ok && !without.lost().is_empty()
    };
    // One that a bundle may leave out and a ledger may not.
    let gone = bundle.blobs.keys().find(without).unwrap();
    let connection = raw(&path);
    connection.execute_batch("SAVEPOINT before; DROP TRIGGER blobs_last").unwrap();
    connection.execute("DELETE FROM blobs WHERE digest = ?", (gone.to_string(),)).unwrap();
    connection.execute_batch("RELEASE before").unwrap();
    let problems = async |name| store.backup(&dir.path().join(name), None).await.unwrap().problems;
    let found = problems("without.db").await;
    let [Unsound { place, what }] = &found[..] else { panic!("{found:?}") };
    assert!(place.starts_with("the chain of engagement ddddd (event "), "{place}");
    assert!(what.contains("is not in the ledger, and nothing says"), "{what}");
    let bytes = packed::Packer::new().pack(&bundle.blobs[gone]);
    connection.execute("INSERT INTO blobs (digest, bytes) VALUES (?, ?)", (gone.to_string(), bytes)).unwrap();
    assert_eq!(problems("whole.db").await, []);
    connection
        .execute_batch(
            "DROP TRIGGER events_stay; UPDATE events SET bytes = (SELECT bytes FROM events WHERE position = 2) \
             WHERE position = 3; DELETE FROM summaries WHERE engagement = 'aaaaa'",
        )
        .unwrap();
    let places: Vec<String> = problems("broken.db").await.into_iter().map(|problem| problem.place).collect();
    assert_eq!(places, ["the chain of engagement aaaaa (event 3)"]);
}

#[tokio::test]
async fn what_a_ledger_lost_is_found_though_a_bundle_may_leave_it_out() {
    let (_dir, path) = place();
    filled(&path).await;
    let store = SqliteStore::open(&path).await.unwrap();
    let story = Story::whole("ddddd");
    store.append(story.append(0, 20)).await.unwrap();
    let bundle = Bundle::export(&store, &story.id).await.unwrap();
    assert_eq!(bundle.lost(), []);
    let left = bundle.blobs.keys().filter(|digest| {
        let mut without = bundle.clone();
        without.blobs.remove(digest);
        let (lost, verified) = (without.lost(), without.verify());
        assert!(lost.len() + verified.problems.len() > 0, "{digest} may be missing");
        verified.ok && !lost.is_empty()
    });
    assert!(left.count() > 0, "nothing may be left out of a bundle");
}
