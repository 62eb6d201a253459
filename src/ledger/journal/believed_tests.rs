use std::sync::Arc;

use crate::{
    engagement::{Actor, Answer, Body, Redacted, Retried},
    facts::{Identity, IdentityMeans, Role},
    ledger::{
        Journal, LedgerError, SqliteStore,
        store::Store,
        testing::{Story, becomes_that_ledger, person, signers},
    },
};

/// A ledger with the first events of this story, and a handle on the engagement as it stood before its gate was answered.
async fn stored(story: &Story, to: usize) -> (tempfile::TempDir, Arc<dyn Store>, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.sqlite");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&file).await.unwrap());
    becomes_that_ledger(&file);
    store.append(story.append(0, 3)).await.unwrap();
    let before = Journal::open(Arc::clone(&store), &story.id).await.unwrap();
    store.append(story.append(3, to)).await.unwrap();
    (dir, store, before)
}

fn by(name: &str, means: IdentityMeans) -> Actor {
    Actor::Person(Identity { name: name.into(), os_user: name.into(), means })
}

#[tokio::test]
async fn a_signed_answer_is_gone_on_from() {
    let story = Story::whole("k7m2q").signed(1);
    let (_dir, store, mut before) = stored(&story, 5).await;
    let opened = Journal::open(store, &story.id).await.unwrap();
    before.catch_up().await.unwrap();
    assert_eq!((opened.state(), opened.state().seq), (before.state(), 5));
}

#[tokio::test]
async fn an_answer_that_nobody_signed_as_it_stands_opens_nothing() {
    type Forge = fn(&mut Story);
    let table: &[(&str, Forge, &str)] = &[
        (
            "with the signature of another engagement",
            |s| {
                let mut other = Story::whole("aaaaa").signed(1);
                s.answered().signature = other.answered().signature.clone();
                s.blobs.append(&mut other.blobs);
            },
            "another engagement",
        ),
        ("without its signature, said to be signed", |s| s.answered().signature = None, "without a signature"),
        (
            "on a name, where it needs a signature",
            |s| {
                s.answered().signature = None;
                s.events[3].1 = by("grace", IdentityMeans::Asserted);
            },
            "on a name alone",
        ),
        (
            "in the program's name",
            |s| {
                s.answered().signature = None;
                s.events[3].1 = Actor::Program;
            },
            "who gave none",
        ),
        (
            "in the policy's name, which said nothing",
            |s| {
                s.answered().signature = None;
                s.events[3].1 = Actor::Policy;
            },
            "who gave none",
        ),
        ("in another's name", |s| s.events[3].1 = by("eve", IdentityMeans::Signed), "another person"),
        ("another answer", |s| s.answered().answer = Answer::Reject, "another answer"),
        (
            "checked against signers that do not name the key",
            |s| {
                let eve = s.document(&signers(9).document());
                s.answered().signature.as_mut().unwrap().signers = eve;
            },
            "no line for `grace`",
        ),
        (
            "what was signed is not there",
            |s| {
                let gone = s.answered().signature.as_ref().unwrap().statement;
                s.blobs.remove(&gone);
            },
            "is missing",
        ),
        (
            "said of a time before what was written since",
            |s| s.events[3].0 -= jiff::SignedDuration::from_secs(60),
            "earlier than the event before it",
        ),
    ];
    for (name, forge, says) in table {
        let mut story = Story::whole("k7m2q").signed(1);
        forge(&mut story);
        if name.starts_with("said of a time") {
            story.sign(1);
        }
        let (_dir, store, mut before) = stored(&story, 5).await;
        let seq = before.state().seq;
        for error in [Journal::open(store, &story.id).await.unwrap_err(), before.catch_up().await.unwrap_err()] {
            let LedgerError::Unbelieved { seq: 4, reason, .. } = &error else { panic!("{name}: {error}") };
            assert!(reason.contains(says), "{name}: {reason}");
            assert!(error.to_string().contains("countersign verify k7m2q"), "{error}");
        }
        assert_eq!(before.state().seq, seq, "{name}: the handle is as it was");
    }
}

#[tokio::test]
async fn a_redaction_and_a_renewed_approval_need_what_they_needed_when_they_were_decided() {
    let redacted = Body::Redacted(Redacted {
        calls: Vec::new(),
        destroyed: Vec::new(),
        reason: "x".into(),
        role: Role::Owner,
        people: crate::artifact::Digest::ZERO,
        people_kept: false,
        signature: None,
    });
    let renewed = |call| Body::Retried(Retried { nodes: Default::default(), calls: vec![call] });
    let never = renewed(crate::artifact::Digest::ZERO);
    for (body, says) in [(redacted, "redacted on a name alone"), (never, "that nobody gave")] {
        let mut story = Story::whole("k7m2q").signed(1);
        story.events.truncate(4);
        story.tell(person("eve"), body);
        let (_dir, store, _) = stored(&story, 5).await;
        let error = Journal::open(store, &story.id).await.unwrap_err();
        assert!(matches!(&error, LedgerError::Unbelieved { seq: 5, reason, .. } if reason.contains(says)), "{error}");
    }
}
