//! What is read of one engagement costs the same in a small ledger and in a large one. Counted are the instructions of
//! SQLite's machine, which stay the same from one run to the next.

use std::cell::Cell;

use rusqlite::{Statement, StatementStatus};

use super::*;
use crate::ledger::{log, testing::Story};

thread_local! {
    static STEPS: Cell<i32> = const { Cell::new(0) };
}

/// Counts what a statement has done since it was last counted.
pub(super) fn count(statement: &Statement<'_>) {
    STEPS.set(STEPS.get() + statement.reset_status(StatementStatus::VmStep));
}

/// How many steps each way of reading one engagement takes, with so many others in the ledger.
async fn steps(others: usize) -> Vec<(&'static str, i32)> {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_signing(dir.path().join("ledger.sqlite"), dir.path().join("keys")).await.unwrap();
    let one = Story::whole("mmmmm");
    store.append(one.append(0, 20)).await.unwrap();
    for n in 0..others {
        for side in ['a', 'z'] {
            store.append(Story::whole(&format!("{side}{n:04}")).append(0, 20)).await.unwrap();
        }
    }
    let digests: Vec<Digest> = one.blobs.keys().copied().collect();
    let mut found = Vec::new();
    let mut taken = |of: &'static str| found.push((of, STEPS.take()));
    taken("all before");
    assert_eq!(store.events(&one.id, 5).unwrap().len(), 15);
    taken("events");
    assert_eq!(store.events_at(&one.id, &[1, 7]).unwrap().len(), 2);
    taken("some events");
    assert!(store.fetch(digests[0]).unwrap().is_some());
    taken("a document");
    assert_eq!(store.blobs(&digests).unwrap().len(), digests.len());
    taken("documents");
    Store::snapshot(&store, &one.id).await.unwrap();
    taken("a snapshot");
    store.around(0, Some(&one.id)).unwrap();
    taken("what others change");
    assert!(!store.logged(Some(&one.id)).await.unwrap().is_empty());
    taken("its leaves");
    assert!(store.log_size().await.unwrap() > 0);
    taken("the size of the log");
    assert!(log::last_checkpoint(&store).await.unwrap().is_some());
    taken("the last checkpoint");
    assert_eq!(store.find("mmm").unwrap(), std::slice::from_ref(&one.id));
    taken("its name");
    found.split_off(1)
}

#[tokio::test]
async fn reading_one_engagement_does_not_cost_more_with_others_beside_it() {
    let (few, many) = (steps(2).await, steps(20).await);
    assert!(few.iter().all(|(of, steps)| *steps > 0 || *of == "a snapshot"), "not counted: {few:?}");
    assert_eq!(few, many);
}
