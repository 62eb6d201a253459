use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::*;
use crate::ledger::{Contents, LedgerKeys, NoteKey, SqliteStore, keys::statement, testing::Story, verify_bundle};

struct Ledger {
    home: tempfile::TempDir,
}

impl Ledger {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("ledger.db")
    }

    async fn store(&self) -> SqliteStore {
        SqliteStore::open_signing(self.file(), self.home.path().join("keys")).await.unwrap()
    }

    /// Writes whole engagements, each with its two gates and its end in appends of their own.
    async fn with(&self, of: &[&str]) {
        let store = self.store().await;
        for id in of {
            let story = Story::whole(id);
            let ends = story.bytes().len();
            for seq in 0..ends {
                store.append(story.append(seq, seq + 1)).await.unwrap();
            }
        }
        store.close().await;
    }

    async fn keys(&self) -> KeyHistory {
        let store = self.store().await;
        LedgerKeys::of(self.home.path().join("keys"), &store.ledger().await.unwrap()).history().unwrap()
    }

    /// A new key; the one that was replaced is what somebody kept of it.
    async fn rotate(&self) -> NoteKey {
        let store = self.store().await;
        let keys = LedgerKeys::of(self.home.path().join("keys"), &store.ledger().await.unwrap());
        let old = keys.signer().unwrap();
        store.rotate(&keys, Timestamp::now()).unwrap();
        old
    }

    async fn published(&self) -> Vec<(Checkpoint, Note)> {
        read_checkpoints(&self.store().await.checkpoints(0).await.unwrap().join("\n")).unwrap()
    }

    async fn check(&self, published: &[(Checkpoint, Note)]) -> LogCheck {
        check_log(&self.store().await, &self.keys().await, published).await.unwrap()
    }

    /// A copy of the file as it is now.
    async fn copy(&self, to: &Path) {
        self.store().await.backup(to, None).await.unwrap();
    }

    /// Puts a copy in place of the file.
    fn restore(&self, from: &Path) {
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(self.home.path().join(name));
        }
        std::fs::copy(from, self.file()).unwrap();
    }

    fn behind_its_back(&self, statements: &str) {
        rusqlite::Connection::open(self.file()).unwrap().execute_batch(statements).unwrap();
    }
}

#[tokio::test]
async fn answers_and_ends_are_leaves_and_each_is_proven_under_a_signed_checkpoint() {
    let ledger = Ledger::new();
    ledger.with(&["aaaaa", "bbbbb", "ccccc"]).await;
    let (store, keys) = (ledger.store().await, ledger.keys().await);
    let logged = store.logged(None).await.unwrap();
    assert_eq!(
        logged.len(),
        9,
        "two gates and an end each: {:?}",
        logged.iter().map(|leaf| leaf.seq).collect::<Vec<_>>()
    );
    let sizes: Vec<u64> = ledger.published().await.iter().map(|(checkpoint, _)| checkpoint.size).collect();
    assert_eq!(sizes, (1..=9).collect::<Vec<u64>>());
    for id in ["aaaaa", "bbbbb", "ccccc"] {
        let proof = prove(&store, &id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((proof.leaf.engagement.as_str(), proof.leaf.seq), (id, Story::whole(id).bytes().len() as u64));
        assert_eq!(proof.check(&keys).unwrap().size, 9);
        // Whatever byte of it is another, it is no proof, or the same.
        let text = serde_json::to_string(&proof).unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let read = serde_json::from_slice::<InclusionProof>(&bytes);
            assert!(!read.is_ok_and(|read| read.check(&keys).is_ok()), "{at}: {}", String::from_utf8_lossy(&bytes));
        }
    }
    assert_eq!(prove(&store, &"ddddd".parse().unwrap()).await.unwrap(), None);
    for old in 1..=9 {
        for new in old..=9 {
            let proof = consistency(&store, old, new).await.unwrap().unwrap();
            assert!(proof.holds(), "{old} to {new}");
            assert!(!ConsistencyProof { old_root: Digest::ZERO, ..proof.clone() }.holds());
            assert!(old == new || !ConsistencyProof { new_root: proof.old_root, ..proof }.holds());
        }
    }
    for (old, new) in [(0, 3), (3, 10), (4, 3), (1, u64::MAX)] {
        assert_eq!(consistency(&store, old, new).await.unwrap(), None, "{old} to {new}");
    }
}

#[tokio::test]
async fn a_ledger_that_was_rolled_back_or_forked_is_found_by_what_was_published() {
    let ledger = Ledger::new();
    ledger.with(&["aaaaa"]).await;
    let old = ledger.home.path().join("old.db");
    ledger.copy(&old).await;
    ledger.with(&["bbbbb"]).await;
    let published = ledger.published().await;
    let whole = ledger.check(&published).await;
    assert_eq!((whole.ok, whole.size, whole.checkpointed), (true, 6, 6), "{:?}", whole.problems);
    assert_eq!(whole.freshness, Freshness::Witnessed { size: 6, seq: None });
    assert_eq!(whole.root, Some(published[5].0.root));
    assert_eq!(ledger.check(&[]).await.freshness, Freshness::NotWitnessed);

    // Rolled back: by itself it is whole, and only what was published shows it.
    ledger.restore(&old);
    assert!(ledger.check(&[]).await.ok);
    let found = ledger.check(&published).await;
    let [LogProblem { leaf: 3, what }] = found.problems.as_slice() else { panic!("{found:?}") };
    assert!(what.contains("covers 4 leaves, and the log has only 3: it was rolled back"), "{what}");
    // One that was published before is no less true for that.
    assert!(ledger.check(&published[..3]).await.ok);

    // Forked: it went on from there another way, until it was longer than what was published.
    ledger.with(&["ccccc", "ddddd"]).await;
    assert!(ledger.check(&[]).await.ok);
    let found = ledger.check(&published).await;
    let [LogProblem { leaf: 3, what }] = found.problems.as_slice() else { panic!("{found:?}") };
    assert!(what.contains("of leaves 3 to 3 at least one was changed"), "{what}");
    // With only the last one there is less to tell the place by.
    let found = ledger.check(&published[5..]).await;
    let [LogProblem { leaf: 0, what }] = found.problems.as_slice() else { panic!("{found:?}") };
    assert!(what.contains("of leaves 0 to 5"), "{what}");
    // Two of one size are over different leaves, whichever of them the log here has.
    let own = ledger.published().await.pop().unwrap();
    let here = own.0.size;
    let root = crate::artifact::digest_of(&"another").unwrap();
    let strange = Checkpoint { root, ..own.0.clone() };
    let keys = LedgerKeys::of(ledger.home.path().join("keys"), &ledger.store().await.ledger().await.unwrap());
    let both = [own, (strange.clone(), strange.sign(&keys.signer().unwrap()))];
    let found = ledger.check(&both).await;
    let [LogProblem { leaf, what }] = found.problems.as_slice() else { panic!("{found:?}") };
    assert_eq!(*leaf, here - 1);
    assert!(what.contains("over others than another one of as many (a fork)"), "{what}");

    // What another ledger, or nobody, has signed says nothing of this one.
    let other = Ledger::new();
    other.with(&["aaaaa"]).await;
    let found = ledger.check(&other.published().await).await;
    assert!(!found.ok && found.problems[0].what.contains("is of another log"), "{found:?}");
    let own = crate::ledger::NoteKey::from_seed(&published[0].0.origin, &[1; 32]).unwrap();
    let forged = published[0].0.sign(&own);
    let found = ledger.check(&[(published[0].0.clone(), forged)]).await;
    assert!(!found.ok && found.problems[0].what.contains("not signed by a key of this ledger"), "{found:?}");
}

#[tokio::test]
async fn the_log_is_made_again_from_the_events_and_not_from_what_is_stored_of_it() {
    const OPEN: &str = "DROP TRIGGER events_stay; DROP TRIGGER events_last; DROP TRIGGER leaves_stay; \
        DROP TRIGGER leaves_last; DROP TRIGGER checkpoints_stay; DROP TRIGGER checkpoints_last; ";
    // An event of another engagement under the same place, as a row that is not packed.
    let forged = Story::whole("aaaaa").append(19, 20).events.remove(0).bytes;
    let forged = String::from_utf8(forged).unwrap().replace("aaaaa", "aaaab");
    let hex: String = forged.bytes().map(|byte| format!("{byte:02x}")).collect();
    let forged = format!("UPDATE events SET bytes = x'{hex}' WHERE engagement = 'aaaaa' AND seq = 20");
    let table = [
        ("DELETE FROM events WHERE engagement = 'aaaaa' AND seq >= 11", 1, "which is missing"),
        (
            "UPDATE events SET bytes = (SELECT bytes FROM events WHERE engagement = 'bbbbb' AND seq = 20) \
          WHERE engagement = 'aaaaa' AND seq = 20",
            2,
            "of bbbbb stands there",
        ),
        (&forged, 2, "hashes to"),
        ("DELETE FROM log_leaves WHERE position = 1", 1, "leaf 1 is missing"),
        ("DELETE FROM log_leaves WHERE position = 5", 5, "the log has only 5"),
        ("UPDATE checkpoints SET note = replace(note, 'countersign', 'countersigm') WHERE size = 4", 0, "another log"),
    ];
    for (change, leaf, what) in table {
        let ledger = Ledger::new();
        ledger.with(&["aaaaa", "bbbbb"]).await;
        ledger.behind_its_back(&format!("{OPEN}{change}"));
        let found = ledger.check(&[]).await;
        let first = found.problems.first().unwrap_or_else(|| panic!("{change} was not found"));
        assert!(first.leaf == leaf && first.what.contains(what), "{change}: {first:?}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_read_keeps_nothing_from_being_written_and_its_checkpoint_is_made_up_for() {
    let ledger = Ledger::new();
    ledger.with(&["aaaaa"]).await;
    let keys = ledger.home.path().join("keys");
    std::fs::rename(&keys, ledger.home.path().join("away")).unwrap();
    // Something is there that is no folder, so that no key can be made.
    std::os::unix::fs::symlink("/dev/null", &keys).unwrap();
    ledger.with(&["bbbbb"]).await;
    std::fs::remove_file(&keys).unwrap();
    std::fs::rename(ledger.home.path().join("away"), &keys).unwrap();
    let late = ledger.check(&[]).await;
    assert_eq!((late.ok, late.size, late.checkpointed), (true, 6, 3), "{late:?}");
    assert_eq!(late.notes, ["the last 3 of 6 leaves are under no checkpoint yet"]);
    ledger.rotate().await;
    ledger.with(&["ccccc"]).await;
    let whole = ledger.check(&ledger.published().await).await;
    assert_eq!((whole.ok, whole.size, whole.checkpointed), (true, 9, 9), "{whole:?}");
}

#[tokio::test]
async fn a_key_that_was_replaced_signs_no_log_that_went_on() {
    let ledger = Ledger::new();
    ledger.with(&["aaaaa"]).await;
    let old = ledger.rotate().await;
    ledger.with(&["bbbbb"]).await;
    let (store, keys, own) = (ledger.store().await, ledger.keys().await, ledger.published().await);
    assert_eq!(keys.keys()[0].up_to, Some(3));
    assert!(ledger.check(&own).await.ok);
    let (last, _) = own.last().unwrap().clone();
    let forged = (last.clone(), last.sign(&old));
    let why = "is signed by the key ";
    let found = ledger.check(std::slice::from_ref(&forged)).await;
    assert!(!found.ok && found.problems[0].what.contains(why), "{found:?}");
    assert!(found.problems[0].what.contains("was replaced when the log had 3 leaves"), "{found:?}");
    let id = "bbbbb".parse().unwrap();
    let proof = prove_under(&store, &id, u64::MAX, &forged).await.unwrap().unwrap();
    assert!(proof.check(&keys).unwrap_err().contains(why));
    let bundle = async |under: &(Checkpoint, Note), published: &[(Checkpoint, Note)]| {
        let mut contents = Contents::export(&store, &id).await.unwrap();
        contents.add_log(&store, &keys, Some(under.clone()), false).await.unwrap();
        verify_bundle(&contents.pack().unwrap(), None, published)
    };
    assert!(bundle(&own[5], &own).await.ok);
    for (under, published) in [(&forged, &own[..0]), (&own[5], std::slice::from_ref(&forged))] {
        let found = bundle(under, published).await;
        assert!(!found.ok && found.problems[0].what.contains(why), "{found:?}");
    }
    // What it signed when it was the ledger's key still holds, and so does one of the very size.
    assert!(ledger.check(&own[..3]).await.ok);
    // Where the statements name no size, what came before shows it.
    let folder = LedgerKeys::of(ledger.home.path().join("keys"), &store.ledger().await.unwrap());
    let new = folder.signer().unwrap();
    let said = |number, key: &NoteKey, by: &[&NoteKey]| {
        Note::sign(statement(number, key.public(), keys.keys()[0].from, None), by).to_string()
    };
    let unsized_keys = format!("{}\n{}", said(1, &old, &[&old]), said(2, &new, &[&old, &new]));
    let unsized_keys = KeyHistory::parse(&unsized_keys).unwrap();
    assert!(check_log(&store, &unsized_keys, &own).await.unwrap().ok);
    let found = check_log(&store, &unsized_keys, &[forged]).await.unwrap();
    assert!(found.problems[0].what.contains("had replaced by the checkpoint of 4"), "{found:?}");
}

#[tokio::test]
async fn what_is_signed_as_the_log_is_made_from_its_leaves_and_goes_with_its_last_checkpoint() {
    let ledger = Ledger::new();
    assert_eq!(head(&ledger.store().await, None).await.unwrap(), None);
    ledger.with(&["aaaaa"]).await;
    // What follows is under no checkpoint, since the key cannot be read.
    let (keys, away) = (ledger.home.path().join("keys"), ledger.home.path().join("away"));
    let history = ledger.keys().await;
    std::fs::rename(&keys, &away).unwrap();
    ledger.with(&["bbbbb"]).await;
    std::fs::rename(&away, &keys).unwrap();
    let store = ledger.store().await;
    let seen = head(&store, Some(&history)).await.unwrap().unwrap();
    assert_eq!((seen.size, seen.root), (6, log_root(&store, 6).await.unwrap()));
    // No stored hash is taken at its word.
    ledger.behind_its_back("DROP TRIGGER nodes_stay; UPDATE log_nodes SET hash = zeroblob(32) WHERE place < 4");
    assert_eq!(head(&store, Some(&history)).await.unwrap(), Some(seen));
    let (last, note) = last_checkpoint(&store).await.unwrap().unwrap();
    assert_eq!(last.size, 3);
    let stranger = NoteKey::from_seed(&last.origin, &[7; 32]).unwrap();
    let (bigger, other) = (Checkpoint { size: 7, ..last.clone() }, Checkpoint { root: Digest::ZERO, ..last.clone() });
    let signer = LedgerKeys::of(keys, &store.ledger().await.unwrap()).signer().unwrap();
    ledger.behind_its_back("DROP TRIGGER checkpoints_last; DROP TRIGGER checkpoints_stay");
    for (put, why) in [
        (last.sign(&stranger), "is not signed by a key of this ledger"),
        (bigger.sign(&signer), "its last checkpoint covers 7 leaves, and there are 6: it was rolled back"),
        (other.sign(&signer), "its last checkpoint of 3 leaves is over others"),
        (note, ""),
    ] {
        ledger.behind_its_back(&format!("UPDATE checkpoints SET note = '{put}' WHERE size = 3"));
        match head(&store, Some(&history)).await {
            Err(refused) => assert!(!why.is_empty() && refused.to_string().contains(why), "{refused}"),
            Ok(found) => assert_eq!((found, why), (Some(seen), "")),
        }
    }
    ledger.behind_its_back("DROP TRIGGER leaves_last; DELETE FROM log_leaves WHERE position = 1");
    let refused = head(&store, Some(&history)).await.unwrap_err().to_string();
    assert!(refused.contains("leaf 1 is missing"), "{refused}");
    ledger.behind_its_back("DELETE FROM log_leaves");
    assert!(head(&store, Some(&history)).await.unwrap_err().to_string().contains("rolled back"));
}

#[tokio::test]
async fn what_is_written_while_a_bundle_is_made_is_in_no_part_of_it() {
    let ledger = Ledger::new();
    let (store, story) = (ledger.store().await, Story::whole("aaaaa"));
    for seq in 0..6 {
        store.append(story.append(seq, seq + 1)).await.unwrap();
    }
    let mut contents = Contents::export(&store, &story.id).await.unwrap();
    for seq in 6..story.bytes().len() {
        store.append(story.append(seq, seq + 1)).await.unwrap();
    }
    let last = last_checkpoint(&store).await.unwrap();
    contents.add_log(&store, &ledger.keys().await, last, false).await.unwrap();
    let found = verify_bundle(&contents.pack().unwrap(), None, &ledger.published().await);
    assert!(found.ok, "{:?}", found.problems);
    assert_eq!(found.freshness, Freshness::Witnessed { size: 3, seq: Some(4) });
    // Under a checkpoint that came before its own first leaf there is nothing of it.
    let empty =
        (Checkpoint { size: 0, ..ledger.published().await[0].0.clone() }, ledger.published().await[0].1.clone());
    let mut contents = Contents::export(&store, &story.id).await.unwrap();
    contents.add_log(&store, &ledger.keys().await, Some(empty), false).await.unwrap();
    assert!(!contents.proves_the_engagement());
}

#[tokio::test]
async fn a_checkpoint_over_all_leaves_is_what_is_signed_where_it_goes_with_the_stored_hashes() {
    let ledger = Ledger::new();
    ledger.with(&["aaaaa", "bbbbb"]).await;
    let (store, history) = (ledger.store().await, ledger.keys().await);
    let (last, note) = last_checkpoint(&store).await.unwrap().unwrap();
    let seen = Some(LogSeen { size: last.size, root: last.root });
    assert_eq!(head(&store, Some(&history)).await.unwrap(), seen);
    let folder = LedgerKeys::of(ledger.home.path().join("keys"), &store.ledger().await.unwrap());
    let other = Checkpoint { root: Digest::ZERO, ..last.clone() }.sign(&folder.signer().unwrap());
    ledger.behind_its_back("DROP TRIGGER checkpoints_stay; DROP TRIGGER nodes_stay");
    for (note, fits) in [(&other, false), (&note, true)] {
        ledger.behind_its_back(&format!("UPDATE checkpoints SET note = '{note}' WHERE size = {}", last.size));
        assert_eq!(head(&store, Some(&history)).await.is_ok(), fits);
    }
    ledger.behind_its_back("UPDATE log_nodes SET hash = zeroblob(32)");
    let refused = head(&store, Some(&history)).await.unwrap_err().to_string();
    assert!(refused.contains("is over others than there are"), "{refused}");
}
