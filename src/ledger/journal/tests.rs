use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::{
    artifact::{Agent, ArtifactKind, Phase, digest_of},
    engagement::DocumentError,
    ledger::{
        Bundle, Filter, SqliteStore,
        testing::{Story, allowed, discover, filed, finished, id, noon, person, request, requested, spec, written},
    },
};

impl Journal {
    /// What `write` writes, where nothing was written before.
    pub(crate) async fn commit(
        &mut self,
        at: Timestamp,
        bodies: Vec<(Actor, Body)>,
        documents: &[Arc<Written>],
    ) -> Result<(), LedgerError> {
        self.write(at, bodies, documents).await
    }
}

async fn store() -> (tempfile::TempDir, Arc<dyn Store>) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("ledger.sqlite")).await.unwrap();
    (dir, Arc::new(store))
}

pub(super) async fn begin(store: &Arc<dyn Store>) -> Journal {
    let store = Arc::clone(store);
    Journal::begin(store, id("k7m2q"), person("ada"), noon(), requested(), &[written(&request())]).await.unwrap()
}

fn spec_filed() -> (Actor, Body) {
    (Actor::Agent(Agent::Requirements), filed(ArtifactKind::Spec, 1, &spec(), &[requested().request]))
}

fn entered(reason: &str) -> (Actor, Body) {
    (Actor::Program, Body::Entered { phase: Phase::Requirements, reason: Some(reason.into()) })
}

fn same(one: &Journal, other: &Journal) {
    assert_eq!(one.state(), other.state());
    for value in one.blobs().values().chain(other.blobs().values()) {
        let digest = digest_of(value).unwrap();
        assert_eq!(one.blob(&digest), other.blob(&digest));
        assert!(one.blob(&digest).is_some());
    }
    assert_eq!(one.documents().spec(), other.documents().spec());
    assert_eq!(one.documents().request(), other.documents().request());
}

#[tokio::test]
async fn a_journal_that_is_opened_again_is_the_one_that_was_written() {
    let (_dir, store) = store().await;
    let mut journal = begin(&store).await;
    assert!(journal.documents().spec().is_none());
    journal.commit(noon(), vec![spec_filed(), entered("once more")], &[written(&spec())]).await.unwrap();
    assert_eq!(journal.documents().spec().unwrap().title, "Add VLAN 120");
    let result = json!({"whole": 1.0, "vlans": [1, 20]});
    let mut call = allowed(1, Agent::Design, discover(), false);
    call.args = serde_json::Map::from_iter([("ttl".to_owned(), json!(60.0))]).into();
    let call = (Actor::Agent(Agent::Design), Body::Allowed(Box::new(call)));
    journal.commit(noon(), vec![call], &[]).await.unwrap();
    journal.commit(noon(), vec![(Actor::Program, finished(1, &result))], &[written(&result)]).await.unwrap();
    journal.commit(noon(), Vec::new(), &[written(&json!("without an event nothing is written"))]).await.unwrap();
    assert_eq!(journal.state().seq, 5);
    assert_eq!(journal.blob(&digest_of(&result).unwrap()).unwrap()["whole"], json!(1));

    same(&journal, &Journal::open(Arc::clone(&store), journal.id()).await.unwrap());
    let lines = store.summaries(Filter::default()).await.unwrap();
    assert_eq!(lines, [Summary::of(journal.state(), journal.documents())]);
    let bundle = Bundle::export(&*store, journal.id()).await.unwrap();
    assert_eq!(bundle.events.len(), 5);
    assert_eq!(bundle.blobs.len(), 3);
    let missing = Journal::open(store, &id("zzzzz")).await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no engagement `zzzzz`; list them with `countersign list`");
}

#[tokio::test]
async fn of_two_journals_the_slower_is_refused_unchanged_and_catches_up() {
    let (_dir, store) = store().await;
    let mut fast = begin(&store).await;
    let mut slow = Journal::open(Arc::clone(&store), fast.id()).await.unwrap();
    fast.commit(noon(), vec![spec_filed()], &[written(&spec())]).await.unwrap();

    let before = slow.state().clone();
    let document = json!({"of": "the slower one"});
    let refused = slow.commit(noon(), vec![entered("me too")], &[written(&document)]).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "another process wrote to this engagement meanwhile; look at it again with `countersign show k7m2q`"
    );
    assert_eq!(*slow.state(), before);
    assert!(slow.blob(&digest_of(&document).unwrap()).is_none());
    assert_eq!(store.blob(digest_of(&document).unwrap()).await.unwrap(), None);

    assert_eq!(slow.catch_up().await.unwrap(), 1);
    assert_eq!(slow.catch_up().await.unwrap(), 0);
    same(&slow, &fast);
    slow.commit(noon(), vec![entered("now")], &[]).await.unwrap();
    assert_eq!(fast.catch_up().await.unwrap(), 1);
    same(&slow, &fast);

    let request = [written(&request())];
    let taken = Journal::begin(Arc::clone(&store), id("k7m2q"), person("eve"), noon(), requested(), &request);
    assert!(matches!(taken.await.unwrap_err(), LedgerError::Conflict(_)));
}

/// What is told of a call that the chain has let through.
fn over(call: u64, result: &Value) -> Command {
    let Body::Finished(finished) = finished(call, result) else { panic!() };
    Command::Finish(finished)
}

fn read(call: u64) -> (Actor, Body) {
    (Actor::Agent(Agent::Design), Body::Allowed(Box::new(allowed(call, Agent::Design, discover(), false))))
}

/// The second state is what is stored, and the first is that with what is staged.
async fn both_states_hold(journal: &Journal) {
    let stored = Journal::open(Arc::clone(&journal.store), journal.id()).await.unwrap();
    assert_eq!(**journal.durable.as_ref().unwrap(), *stored.state());
    let mut state = stored.state;
    journal.staged.iter().for_each(|staged| state.apply(&staged.sealed.event));
    assert_eq!(state, *journal.state());
}

#[tokio::test]
async fn an_outcome_that_is_staged_is_written_with_the_next_intent_in_one_transaction() {
    let (_dir, store) = store().await;
    let mut journal = begin(&store).await;
    let result = json!({"vlans": [1, 20]});
    for n in 1..=20 {
        journal.commit(noon(), vec![read(n)], &[]).await.unwrap();
        both_states_hold(&journal).await;
        let known = store.events(journal.id(), 0).await.unwrap().len();
        journal.act_soon(noon(), Actor::Program, over(n, &result), vec![written(&result)]).unwrap();
        both_states_hold(&journal).await;
        assert_eq!(store.events(journal.id(), 0).await.unwrap().len(), known, "it was written at once");
        assert!(journal.state().under_way.is_empty() && journal.state().seq == known as u64 + 1);
        let twice = journal.act_soon(noon(), Actor::Program, over(n, &result), Vec::new()).unwrap_err();
        assert!(matches!(twice, JournalError::Refused(_)), "{twice}");
    }
    journal.flush().await.unwrap();
    both_states_hold(&journal).await;
    let opened = Journal::open(Arc::clone(&store), journal.id()).await.unwrap();
    same(&journal, &opened);
    assert_eq!(opened.state().seq, 41);
    assert!(Bundle::export(&*store, journal.id()).await.unwrap().verify().problems.iter().all(|problem| {
        // These calls are let through without any gate, which is not what is looked at here.
        !problem.what.contains("follow") && !problem.what.contains("missing")
    }));
}

#[tokio::test]
async fn what_is_staged_is_decided_again_after_what_others_wrote() {
    let (_dir, store) = store().await;
    for by_flush in [true, false] {
        let id = id(if by_flush { "aaaaa" } else { "bbbbb" });
        let request = [written(&request())];
        let begun = Journal::begin(Arc::clone(&store), id, person("ada"), noon(), requested(), &request);
        let mut slow = begun.await.unwrap();
        slow.commit(noon(), vec![read(1), read(2)], &[]).await.unwrap();
        let mut fast = Journal::open(Arc::clone(&store), slow.id()).await.unwrap();
        let result = |n: u64| json!({"vlans": [n], "by flush": by_flush});
        for n in [1, 2] {
            slow.act_soon(noon(), Actor::Program, over(n, &result(n)), vec![written(&result(n))]).unwrap();
        }
        // The faster one knows of one of the calls already, so that only the other is still to be said.
        fast.act(noon(), Actor::Program, over(1, &result(1)), &[written(&result(1))]).await.unwrap();
        if by_flush {
            slow.flush().await.unwrap();
        } else {
            let refused = slow.act(noon(), Actor::Program, over(2, &result(2)), &[]).await.unwrap_err();
            assert!(matches!(refused, JournalError::Refused(_)), "{refused}");
            let cancel = Command::Cancel { reason: "enough".into(), roles: [crate::facts::Role::Requester].into() };
            let refused = slow.act(noon(), person("ada"), cancel, &[]).await.unwrap_err();
            assert!(matches!(refused, JournalError::Ledger(LedgerError::Conflict(_))), "{refused}");
        }
        assert_eq!(slow.state().seq, 5);
        assert!(slow.state().under_way.is_empty() && slow.staged.is_empty());
        both_states_hold(&slow).await;
        assert_eq!(fast.catch_up().await.unwrap(), 1);
        same(&slow, &fast);
        // What was staged and not written was stored by nobody before.
        assert!(store.blob(digest_of(&result(2)).unwrap()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_caller_who_stops_waiting_leaves_a_journal_that_goes_on() {
    use futures::FutureExt;
    let result = json!({"vlans": []});
    let (_dir, store, mut journal, before) = loop {
        let (dir, store) = store().await;
        let mut journal = begin(&store).await;
        journal.commit(noon(), vec![read(1), read(2)], &[]).await.unwrap();
        journal.act_soon(noon(), Actor::Program, over(1, &result), vec![written(&result)]).unwrap();
        let before = journal.state().clone();
        // The write is on its way when the caller goes. On a busy machine it may be over already, and nobody went.
        if journal.commit(noon(), vec![entered("gone")], &[]).now_or_never().is_none() {
            break (dir, store, journal, before);
        }
    };
    assert_eq!(*journal.state(), before);
    while store.events(journal.id(), 3).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    journal.act_soon(noon(), Actor::Program, over(2, &result), Vec::new()).unwrap();
    journal.flush().await.unwrap();
    assert_eq!(journal.state().seq, 6);
    both_states_hold(&journal).await;
    same(&journal, &Journal::open(Arc::clone(&store), journal.id()).await.unwrap());
}

#[tokio::test]
async fn time_never_goes_back_within_a_chain() {
    let (_dir, store) = store().await;
    let mut journal = begin(&store).await;
    let later = noon() + SignedDuration::from_hours(1);
    for (clock, written) in [(later, later), (noon(), later), (later, later)] {
        journal.commit(clock, vec![entered("tick")], &[]).await.unwrap();
        assert_eq!(journal.state().last_at, written);
    }
    let found = Bundle::export(&*store, journal.id()).await.unwrap().verify().problems;
    assert!(found.iter().all(|problem| !problem.what.contains("earlier")), "{found:?}");
}

#[tokio::test]
async fn an_artifact_that_is_not_stored_or_is_not_one_is_not_filed() {
    let (_dir, store) = store().await;
    let mut journal = begin(&store).await;
    let before = journal.state().clone();
    let refused = journal.commit(noon(), vec![spec_filed()], &[]).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Document(DocumentError::Missing { .. })), "{refused}");
    let poem = json!({"kind": "poem"});
    let filed = (Actor::Program, filed(ArtifactKind::Spec, 1, &poem, &[requested().request]));
    let refused = journal.commit(noon(), vec![filed], &[written(&poem)]).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Document(DocumentError::Unreadable { .. })), "{refused}");
    assert_eq!(*journal.state(), before);
    assert_eq!(store.events(journal.id(), 0).await.unwrap().len(), 1);
    let lost = Journal::begin(Arc::clone(&store), id("zzzzz"), person("ada"), noon(), requested(), &[]);
    assert!(matches!(lost.await.unwrap_err(), LedgerError::Document(_)));
    assert_eq!(store.find("z").await.unwrap(), []);
}

#[tokio::test]
async fn a_chain_that_does_not_hold_is_not_opened() {
    let (_dir, store) = store().await;
    // A backend that hands out an event of another engagement, or one whose bytes were changed.
    let (mut spliced, mut changed) = (Story::begun("aaaaa").append(0, 1), Story::begun("bbbbb").append(0, 1));
    spliced.events = Story::begun("zzzzz").append(0, 1).events;
    changed.events[0].bytes[30] ^= 1;
    for append in [spliced, changed] {
        let engagement = append.engagement.clone();
        store.append(append).await.unwrap();
        let refused = Journal::open(Arc::clone(&store), &engagement).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Corrupt { .. }), "{refused}");
        assert!(refused.to_string().contains(&format!("the chain of engagement {engagement}")), "{refused}");
        assert!(refused.to_string().ends_with("restore the workspace from a backup"), "{refused}");
    }
    let mut journal = begin(&store).await;
    let mut forged = Story::begun("k7m2q");
    forged.tell(Actor::Program, entered("forged").1);
    forged.events[0].1 = person("eve");
    store.append(forged.append(1, 2)).await.unwrap();
    let before = journal.state().clone();
    assert!(matches!(journal.catch_up().await.unwrap_err(), LedgerError::Corrupt { .. }));
    assert_eq!(*journal.state(), before);
}
