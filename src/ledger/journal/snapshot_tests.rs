use std::{path::Path, sync::Arc};

use serde_json::json;

use super::{Journal, tests::begin};
use crate::{
    artifact::{Agent, Digest, digest_of},
    engagement::{Actor, Body, State},
    ledger::{
        LedgerError, LedgerKeys, SqliteStore,
        store::Store,
        testing::{allowed, discover, finished, noon, person, written},
    },
};

struct Place {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        Self { dir, store }
    }

    /// A connection that may do what the program never does.
    fn raw(&self) -> rusqlite::Connection {
        let raw = rusqlite::Connection::open(self.dir.path().join("ledger.sqlite")).unwrap();
        raw.execute_batch("DROP TRIGGER IF EXISTS events_stay; DROP TRIGGER IF EXISTS events_last").unwrap();
        raw
    }

    async fn opened(&self, journal: &Journal) -> Result<Journal, LedgerError> {
        Journal::open(Arc::clone(&self.store), journal.id()).await
    }
}

async fn open(dir: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open_signing(dir.join("ledger.sqlite"), dir.join("keys")).await.unwrap())
}

/// So many calls, each with its result, and the state after each.
async fn calls(journal: &mut Journal, many: u64) -> Vec<State> {
    let mut states = Vec::new();
    let from = journal.state().calls.len() as u64;
    for n in from + 1..=from + many {
        let call = (Actor::Agent(Agent::Design), Body::Allowed(Box::new(allowed(n, Agent::Design, discover(), false))));
        journal.commit(noon(), vec![call], &[]).await.unwrap();
        let result = json!({"vlans": [n]});
        journal.commit(noon(), vec![(Actor::Program, finished(n, &result))], &[written(&result)]).await.unwrap();
        states.push(journal.state().clone());
    }
    states
}

/// Whether events of before the snapshot are read: they are gone, and nobody notices.
async fn reads_the_beginning(place: &Place, journal: &Journal) -> bool {
    let raw = place.raw();
    raw.execute_batch("CREATE TEMP TABLE kept AS SELECT * FROM events WHERE seq BETWEEN 2 AND 99").unwrap();
    raw.execute_batch("DELETE FROM events WHERE seq BETWEEN 2 AND 99").unwrap();
    let opened = place.opened(journal).await;
    raw.execute_batch("INSERT INTO events SELECT * FROM kept; DROP TABLE kept").unwrap();
    match opened {
        Ok(opened) => {
            assert_eq!(opened.state(), journal.state());
            false
        }
        Err(_) => true,
    }
}

#[tokio::test]
async fn a_long_chain_is_gone_on_with_from_its_last_snapshot() {
    let place = Place::new().await;
    let mut journal = begin(&place.store).await;
    calls(&mut journal, 60).await;
    assert!(place.store.snapshot(journal.id()).await.unwrap().is_none(), "121 events are soon read");
    assert!(reads_the_beginning(&place, &journal).await);
    calls(&mut journal, 80).await;
    assert!(place.store.snapshot(journal.id()).await.unwrap().is_some());
    assert!(!reads_the_beginning(&place, &journal).await);

    // What was read before the snapshot is there when it is asked for, and nothing is lost by going on.
    let mut opened = place.opened(&journal).await.unwrap();
    let early = digest_of(&json!({"vlans": [3]})).unwrap();
    assert!(!opened.blobs().holds(&early));
    assert_eq!(**opened.blob(&early).unwrap(), json!({"vlans": [3]}));
    calls(&mut opened, 100).await;
    assert_eq!(journal.catch_up().await.unwrap(), 200);
    assert_eq!(journal.state(), opened.state());
    assert_eq!(place.opened(&journal).await.unwrap().state(), opened.state());

    // Another process with the same keys takes it for what it is, one without them folds the chain.
    let same = open(place.dir.path()).await;
    assert!(same.snapshot(journal.id()).await.unwrap().is_some());
    let keyless: Arc<dyn Store> = Arc::new(SqliteStore::open(place.dir.path().join("ledger.sqlite")).await.unwrap());
    assert!(keyless.snapshot(journal.id()).await.unwrap().is_none());
    assert_eq!(Journal::open(keyless, journal.id()).await.unwrap().state(), opened.state());
}

#[tokio::test]
async fn a_snapshot_that_is_not_of_this_chain_or_not_of_this_ledger_is_not_used() {
    let place = Place::new().await;
    let mut journal = begin(&place.store).await;
    let states = calls(&mut journal, 80).await;
    let (raw, state) = (place.raw(), journal.state().clone());
    let count = |raw: &rusqlite::Connection| -> i64 {
        raw.query_row("SELECT count(*) FROM snapshots", (), |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&raw), 1);
    raw.execute_batch("CREATE TEMP TABLE good AS SELECT * FROM snapshots").unwrap();
    let again = "DELETE FROM snapshots; INSERT INTO snapshots SELECT * FROM good";

    // Whoever can write the file and has not the key writes another state, or another's signature.
    let mut forged = state.clone();
    forged.requester = person("mallory");
    let forged = super::super::snapshot::write(&forged, &[1]).unwrap();
    raw.execute("UPDATE snapshots SET bytes = ?", (&forged,)).unwrap();
    assert!(place.store.snapshot(journal.id()).await.unwrap().is_none());
    assert_eq!(*place.opened(&journal).await.unwrap().state(), state);
    raw.execute_batch(again).unwrap();
    raw.execute("UPDATE snapshots SET signature = zeroblob(64)", ()).unwrap();
    assert_eq!(*place.opened(&journal).await.unwrap().state(), state);
    raw.execute_batch(again).unwrap();
    assert!(!reads_the_beginning(&place, &journal).await, "the good one is used again");

    // It is signed, and the chain has gone back behind it: what is in the chain counts.
    raw.execute_batch("DELETE FROM events WHERE seq > 41").unwrap();
    assert_eq!(*place.opened(&journal).await.unwrap().state(), states[19]);

    // It is signed, and stands by the name of another engagement.
    raw.execute_batch(again).unwrap();
    let other = crate::ledger::testing::Story::whole("bbbbb");
    place.store.append(other.append(0, 5)).await.unwrap();
    raw.execute("UPDATE snapshots SET engagement = 'bbbbb'", ()).unwrap();
    let opened = Journal::open(Arc::clone(&place.store), &other.id).await.unwrap();
    assert_eq!((opened.id(), opened.state().seq), (&other.id, 5));
}

#[tokio::test]
async fn a_snapshot_that_the_ledgers_key_signed_opens_no_gate_that_nobody_opened() {
    use crate::engagement::{About, Answer, Answered, GateState};
    let place = Place::new().await;
    let mut journal = begin(&place.store).await;
    calls(&mut journal, 70).await;
    let state = journal.state().clone();
    let answered = Answered {
        about: About::Gate1,
        request: Digest::ZERO,
        answer: Answer::Approve,
        role: crate::facts::Role::Owner,
        reason: None,
        calls: vec![Digest::ZERO],
        expires: None,
        policy: None,
        signature: None,
    };
    type Lie = fn(&mut State, &Answered);
    let lies: [(&str, Lie); 7] = [
        ("nothing, but for what was counted", |state, _| state.ran += 1),
        ("an open gate", |state, said| {
            state.gate1 = GateState::Open { artifact: Digest::ZERO, request: said.request, by: person("grace") };
        }),
        ("an answer", |state, said| state.answers.push((person("grace"), noon(), said.clone()))),
        ("an approved call", |state, said| {
            state.approved_calls.insert(said.calls[0], 1);
        }),
        ("another ledger", |state, _| state.asked_in = Some("1".repeat(32).parse().unwrap())),
        ("another requester", |state, _| state.requester = person("mallory")),
        ("a question", |state, said| {
            state.asked = Some(crate::engagement::Asked::new(About::Gate1, said.request, crate::facts::Role::Owner));
        }),
    ];
    let ledger = place.store.ledger().await.unwrap();
    let key = LedgerKeys::of(place.dir.path().join("keys"), &ledger).signer().unwrap();
    for (name, lie) in lies {
        let mut forged = journal.state().clone();
        lie(&mut forged, &answered);
        let bytes = super::super::snapshot::write(&forged, &[1]).unwrap();
        let signature = key.sign(super::super::snapshot::statement(&ledger, &bytes).as_bytes());
        place.raw().execute("UPDATE snapshots SET bytes = ?, signature = ?", (&bytes, signature.as_slice())).unwrap();
        assert!(place.store.snapshot(journal.id()).await.unwrap().is_some(), "{name}: it is signed");
        let opened = place.opened(&journal).await.unwrap();
        // What a snapshot says of calls is taken for what it is: a cache of the ledger's own.
        let believed = if name.starts_with("nothing") { &forged } else { &state };
        assert_eq!(opened.state(), believed, "{name}");
    }
}

#[tokio::test]
async fn a_snapshot_after_answers_is_used_while_the_chain_has_them_and_not_without() {
    for (cut, used) in [(false, true), (true, false)] {
        let place = Place::new().await;
        crate::ledger::testing::becomes_that_ledger(&place.dir.path().join("ledger.sqlite"));
        let mut story = crate::ledger::testing::Story::whole("k7m2q").signed(1);
        story.events.truncate(13);
        place.store.append(story.append(0, 13)).await.unwrap();
        let mut journal = Journal::open(Arc::clone(&place.store), &story.id).await.unwrap();
        calls(&mut journal, 80).await;
        let snapshot = place.store.snapshot(journal.id()).await.unwrap();
        let (of, said) = super::super::snapshot::read(&snapshot.unwrap()).unwrap();
        assert!(said.contains(&4) && said.contains(&12) && of.seq > 60, "{said:?}");
        let between = "DELETE FROM events WHERE seq BETWEEN 20 AND 60";
        place.raw().execute_batch(between).unwrap();
        if cut {
            place.raw().execute_batch("DELETE FROM events WHERE seq = 4").unwrap();
        }
        let opened = place.opened(&journal).await;
        assert_eq!(opened.is_ok(), used);
        assert!(opened.is_err() || *opened.unwrap().state() == *journal.state());
    }
}

#[tokio::test]
async fn what_was_approved_in_another_ledger_opens_nothing_in_this_one() {
    let mut story = crate::ledger::testing::Story::whole("k7m2q").signed(1);
    story.events.truncate(13);
    // From its beginning, and from a snapshot that the ledger itself made of it.
    for calls_before in [0, 80] {
        let place = Place::new().await;
        let file = place.dir.path().join("ledger.sqlite");
        let own = place.store.ledger().await.unwrap();
        crate::ledger::testing::becomes_that_ledger(&file);
        place.store.append(story.append(0, 2)).await.unwrap();
        // Somebody has it open before anything is asked.
        let mut before = Journal::open(Arc::clone(&place.store), &story.id).await.unwrap();
        place.store.append(story.append(2, 13)).await.unwrap();
        let mut journal = Journal::open(Arc::clone(&place.store), &story.id).await.unwrap();
        calls(&mut journal, calls_before).await;
        let snapshot = place.store.snapshot(journal.id()).await.unwrap();
        assert_eq!(snapshot.is_some(), calls_before > 0);
        place.raw().execute("UPDATE ledger SET id = ?", (own.as_str(),)).unwrap();
        for refused in [place.opened(&journal).await.unwrap_err(), before.catch_up().await.unwrap_err()] {
            assert!(matches!(&refused, LedgerError::Elsewhere { here, .. } if *here == own), "{refused}");
        }
        let bundle = crate::ledger::Bundle::export(place.store.as_ref(), &story.id).await.unwrap();
        let found = crate::ledger::log::asked_otherwise(place.store.as_ref(), &bundle).await.unwrap();
        let [problem] = &found[..] else { panic!("{found:?}") };
        assert!(problem.seq == 3 && problem.what.contains("this is the ledger"), "{problem}");
    }
}

#[tokio::test]
async fn nothing_is_decided_on_a_document_that_is_stored_and_cannot_be_read() {
    let place = Place::new().await;
    let mut journal = begin(&place.store).await;
    calls(&mut journal, 1).await;
    let digest = digest_of(&json!({"vlans": [1]})).unwrap();
    let raw = place.raw();
    raw.execute_batch("DROP TRIGGER blobs_stay").unwrap();
    raw.execute("UPDATE blobs SET bytes = CAST('{\"vlans\":[2]}' AS BLOB) WHERE digest = ?", (digest.to_string(),))
        .unwrap();
    let mut opened = place.opened(&journal).await.unwrap();
    assert!(opened.blob(&digest).is_none(), "other bytes are not the document");
    let cancel = || crate::engagement::Command::Cancel {
        reason: "enough".into(),
        roles: [crate::facts::Role::Requester].into(),
    };
    let refused = opened.act(noon(), person("ada"), cancel(), &[]).await.unwrap_err();
    assert!(refused.to_string().contains(&digest.to_string()), "{refused}");
    assert_eq!(opened.state().seq, 3);
    // What was decided without looking at it is written.
    opened.act(noon(), person("ada"), cancel(), &[]).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_that_a_replaced_key_signed_is_not_used_and_the_next_one_is() {
    let place = Place::new().await;
    let mut journal = begin(&place.store).await;
    calls(&mut journal, 70).await;
    assert!(place.store.snapshot(journal.id()).await.unwrap().is_some());
    let raw = SqliteStore::open(place.dir.path().join("ledger.sqlite")).await.unwrap();
    let keys = LedgerKeys::of(place.dir.path().join("keys"), &place.store.ledger().await.unwrap());
    raw.rotate(&keys, noon()).unwrap();
    assert!(place.store.snapshot(journal.id()).await.unwrap().is_none());
    assert_eq!(place.opened(&journal).await.unwrap().state(), journal.state());
    calls(&mut journal, 70).await;
    assert!(place.store.snapshot(journal.id()).await.unwrap().is_some());
}
