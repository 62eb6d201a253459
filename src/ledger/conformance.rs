//! What every backend must do, as one suite. A backend runs [`conformance`] on an empty database of its own, once with a
//! folder of keys and once without one.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use serde_json::json;

use super::{
    error::LedgerError,
    keys::KeyHistory,
    lease::{Lease, Taken, Waits, With},
    log::{check_log, consistency, last_checkpoint, log_root},
    merkle::Leaf,
    store::{Append, Filter, Logs, Pending, Store, Which},
    summary::Status,
    testing::{Story, id, person},
};
use crate::{
    artifact::{Agent, Digest, EngagementId, Written},
    engagement::Body,
};

/// A database of a backend.
pub(super) trait Database: Send + Sync {
    /// Another handle to it, as another process has one.
    fn open(&self) -> Pending<'_, Arc<dyn Store>>;

    /// The keys that sign its log, where there are any.
    fn keys(&self) -> Pending<'_, Option<KeyHistory>>;
}

/// Runs the suite on an empty database.
pub(super) async fn conformance(database: &dyn Database) {
    let store = database.open().await.unwrap();
    what_was_appended_is_read_back_byte_for_byte(&*store).await;
    an_append_behind_or_ahead_of_the_chain_is_a_conflict(&*store).await;
    of_two_who_race_one_wins(database).await;
    engagements_that_are_written_at_once_do_not_mind_each_other(&store).await;
    a_failing_append_leaves_nothing(&*store).await;
    documents_are_stored_once_and_found_by_digest(&*store).await;
    what_is_destroyed_is_gone_and_nothing_else(&*store).await;
    lists_are_filtered_and_the_last_written_comes_first(&*store).await;
    what_others_are_changing_is_known_until_they_are_closed(&*store).await;
    a_target_is_had_by_one_who_looked_or_by_many_who_did_not(database).await;
    what_was_sent_and_not_answered_is_waited_for(database).await;
    ids_are_found_by_how_they_begin(&*store).await;
    a_snapshot_is_the_last_of_its_own_engagement_or_none(&*store).await;
    what_was_answered_is_there_for_whoever_opens_it(database).await;
    the_log_grows_by_what_is_logged_and_each_time_it_is_signed(database).await;
    the_log_is_given_the_last_event_of_a_chain_and_no_other(database).await;
    assert_eq!(store.ledger().await.unwrap(), database.open().await.unwrap().ledger().await.unwrap());
}

async fn what_was_appended_is_read_back_byte_for_byte(store: &dyn Store) {
    let story = Story::whole("aaaaa");
    let bytes = story.bytes();
    assert_eq!(store.events(&story.id, 0).await.unwrap(), Vec::<Vec<u8>>::new());
    store.append(story.append(0, 1)).await.unwrap();
    store.append(story.append(1, 20)).await.unwrap();
    assert_eq!(store.events(&story.id, 0).await.unwrap(), bytes);
    assert_eq!(store.events(&story.id, 17).await.unwrap(), bytes[17..]);
    assert_eq!(store.events(&story.id, 20).await.unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(store.events(&story.id, u64::MAX).await.unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(store.events(&id("aaaab"), 0).await.unwrap(), Vec::<Vec<u8>>::new());
    let some = [bytes[0].clone(), bytes[6].clone(), bytes[19].clone()];
    assert_eq!(store.events_at(&story.id, &[20, 1, 7, 21, u64::MAX]).await.unwrap(), some);
    assert_eq!(store.events_at(&story.id, &[]).await.unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(store.events_at(&id("aaaab"), &[1]).await.unwrap(), Vec::<Vec<u8>>::new());
}

async fn an_append_behind_or_ahead_of_the_chain_is_a_conflict(store: &dyn Store) {
    let story = Story::whole("bbbbb");
    store.append(story.append(0, 5)).await.unwrap();
    for (from, to) in [(0, 1), (4, 6), (6, 7)] {
        let refused = store.append(story.append(from, to)).await.unwrap_err();
        assert!(matches!(&refused, LedgerError::Conflict(id) if *id == story.id), "{from}: {refused}");
    }
    assert_eq!(store.events(&story.id, 0).await.unwrap(), story.bytes()[..5]);
    store.append(story.append(5, 6)).await.unwrap();
}

async fn of_two_who_race_one_wins(database: &dyn Database) {
    let story = Story::whole("ccccc");
    // Two in one process, and two in another.
    let stores = [database.open().await.unwrap(), database.open().await.unwrap()];
    for seq in 0..20 {
        let tasks: Vec<_> = (0..4)
            .map(|n| {
                let (store, append) = (Arc::clone(&stores[n % 2]), story.append(seq, seq + 1));
                tokio::spawn(async move { store.append(append).await })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => won += 1,
                Err(error) => assert!(matches!(error, LedgerError::Conflict(_)), "{error}"),
            }
        }
        assert_eq!(won, 1, "event {}", seq + 1);
    }
    for store in stores {
        assert_eq!(store.events(&story.id, 0).await.unwrap(), story.bytes());
    }
}

async fn engagements_that_are_written_at_once_do_not_mind_each_other(store: &Arc<dyn Store>) {
    let name = |n: u64| EngagementId::from_bits(n << 5 | 14).to_string();
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let story = Story::whole(&name(n));
                // Every tenth is wrong, and must not take the others with it.
                let (first, wrong) = (story.append(0, 10), n % 10 == 0);
                let second = story.append(if wrong { 11 } else { 10 }, 20);
                store.append(first).await.unwrap();
                assert_eq!(store.append(second).await.is_err(), wrong);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for n in 0..100 {
        let length = store.events(&id(&name(n)), 0).await.unwrap().len();
        assert_eq!(length, if n % 10 == 0 { 10 } else { 20 }, "{n}");
    }
}

async fn a_failing_append_leaves_nothing(store: &dyn Store) {
    let story = Story::whole("ddddd");
    store.append(story.append(0, 2)).await.unwrap();
    let before = line(store, "ddddd").await;
    let document = Written::of(&json!({"only": "in the append that fails"})).unwrap();
    let digest = document.digest();

    let mut late = story.append(3, 6);
    late.blobs.push(document);
    let mut gap = story.append(2, 6);
    gap.blobs.clone_from(&late.blobs);
    gap.events.remove(1);
    for append in [late, gap] {
        store.append(append).await.unwrap_err();
        assert_eq!(store.events(&story.id, 0).await.unwrap(), story.bytes()[..2]);
        assert_eq!(store.blob(digest).await.unwrap(), None);
        assert_eq!(line(store, "ddddd").await, before);
    }
    store.append(story.append(2, 6)).await.unwrap();
}

async fn documents_are_stored_once_and_found_by_digest(store: &dyn Store) {
    let mut story = Story::begun("eeeee");
    let extra = story.document(&json!({"é": [1.5, "\u{1F600}", null]}));
    store.append(story.append(0, 1)).await.unwrap();
    // The same documents again, in another engagement.
    let mut other = Story::begun("eeeef");
    other.blobs.clone_from(&story.blobs);
    store.append(other.append(0, 1)).await.unwrap();
    assert_eq!(store.blob(extra).await.unwrap().as_ref(), story.blobs.get(&extra));
    assert_eq!(store.blob(Digest::ZERO).await.unwrap(), None);
    assert_eq!(store.fetch(extra).unwrap().as_ref(), story.blobs.get(&extra));
    assert_eq!(store.fetch(Digest::ZERO).unwrap(), None);
    let mut wanted: Vec<Digest> = story.blobs.keys().copied().collect();
    wanted.extend([Digest::ZERO, extra]);
    assert_eq!(store.blobs(&wanted).await.unwrap(), story.blobs);
    assert_eq!(store.blobs(&[]).await.unwrap(), BTreeMap::new());
}

async fn what_is_destroyed_is_gone_and_nothing_else(store: &dyn Store) {
    let mut story = Story::whole("vvvvv");
    let (gone, stays) = (story.document(&json!("goes")), story.document(&json!("stays")));
    store.append(story.append(0, 19)).await.unwrap();
    let mut append = story.append(19, 20);
    append.blobs.clear();
    append.destroyed = vec![gone];
    store.append(append).await.unwrap();
    assert_eq!(store.blob(gone).await.unwrap(), None);
    assert!(store.blob(stays).await.unwrap().is_some());
    assert!(!store.is_scrubbed().await.unwrap());
    assert!(store.scrub().await.unwrap());
    assert!(store.is_scrubbed().await.unwrap());
    assert_eq!(store.blob(gone).await.unwrap(), None);
    assert_eq!(store.events(&story.id, 0).await.unwrap(), story.bytes());
}

async fn lists_are_filtered_and_the_last_written_comes_first(store: &dyn Store) {
    let mut ids = Vec::new();
    // Drafting, waiting, running and closed, asked for by someone whom no other test knows.
    for (n, (of, to)) in [("fffff", 2), ("ffffg", 3), ("ffffh", 5), ("ffffj", 20)].into_iter().enumerate() {
        let mut story = Story::whole(of);
        story.events[0].1 = person("hopper");
        let late = jiff::SignedDuration::from_hours(n as i64);
        story.events.iter_mut().for_each(|(at, ..)| *at += late);
        store.append(story.append(0, to)).await.unwrap();
        ids.push(of);
    }
    let list = async |which, limit| {
        let filter = Filter { which, requester: Some("hopper".into()), limit };
        let found = store.summaries(filter).await.unwrap();
        found.iter().map(|line| format!("{} {}", line.id, line.status.word())).collect::<Vec<_>>()
    };
    assert_eq!(list(Which::All, None).await, ["ffffj closed", "ffffh running", "ffffg waiting", "fffff drafting"]);
    assert_eq!(list(Which::All, Some(2)).await, ["ffffj closed", "ffffh running"]);
    assert_eq!(list(Which::Open, None).await, ["ffffh running", "ffffg waiting", "fffff drafting"]);
    assert_eq!(list(Which::Waiting, None).await, ["ffffg waiting"]);
    assert_eq!(list(Which::Closed, None).await, ["ffffj closed"]);
    let all = store.summaries(Filter::default()).await.unwrap();
    assert!(all.len() > ids.len());
    assert!(all.is_sorted_by(|a, b| a.updated_at >= b.updated_at));
    let waiting = line(store, "ffffg").await.unwrap();
    let Status::Waiting { words, .. } = &waiting.status else { panic!("{waiting:?}") };
    assert_eq!(words, "gate 1 (the spec)");
    assert_eq!((waiting.seq, waiting.title.as_str()), (3, "Add VLAN 120"));
}

/// A target whose name looks like what a line of the list says of targets.
const ODD: &str = r#"only","changing":["here"]}"#;

async fn what_others_are_changing_is_known_until_they_are_closed(store: &dyn Store) {
    let mut story = Story::whole("mmmmm");
    for (.., body) in &mut story.events {
        if let Body::Allowed(call) = body
            && call.agent == Agent::Build
        {
            call.counts = Some("create-vlan/sw01".into());
            call.target = ODD.into();
        }
    }
    let changing = async |except: &str| {
        let (trust, around) = store.around(0, Some(&id(except))).await.unwrap();
        assert_eq!(trust, store.events(&EngagementId::trust(), 0).await.unwrap());
        assert!(store.around(0, None).await.unwrap().1.is_empty(), "nobody asked");
        let changing = store.changing(&id(except)).await.unwrap();
        assert_eq!(around, changing);
        changing.contains(ODD)
    };
    let before = 13;
    for (from, to, seen) in [(0, before, false), (before, 19, true), (19, 20, false)] {
        store.append(story.append(from, to)).await.unwrap();
        assert_eq!(changing("nnnnn").await, seen, "after event {to}");
        assert!(!changing("mmmmm").await, "an engagement is not other than itself");
    }
}

/// Asks for a target in one go.
async fn take(store: &dyn Store, target: &str, by: &str, with: With, waits: Option<Waits>) -> Taken {
    store.take(target, &id(by), with, waits).await.unwrap()
}

fn has(taken: Taken) -> Box<dyn Lease> {
    match taken {
        Taken::Has(lease) => lease,
        Taken::Waits(waits) => panic!("{:?} has it", waits.behind),
    }
}

fn behind(taken: Taken) -> Waits {
    match taken {
        Taken::Waits(waits) => waits,
        Taken::Has(_) => panic!("it is had by two"),
    }
}

async fn a_target_is_had_by_one_who_looked_or_by_many_who_did_not(database: &dyn Database) {
    let (one, other) = (database.open().await.unwrap(), database.open().await.unwrap());
    let first = has(take(&*one, "sw01", "aaaaa", With::Nobody, None).await);
    let _aside = has(take(&*one, "sw02", "bbbbb", With::Nobody, None).await);
    for (store, with) in [(&one, With::Nobody), (&other, With::Nobody), (&other, With::TheBlind)] {
        assert_eq!(behind(take(&**store, "sw01", "bbbbb", with, None).await).behind, Some(id("aaaaa")));
    }
    // Whoever waits comes before whoever had it and asks again, and before whoever asks later.
    let waits = behind(take(&*other, "sw01", "bbbbb", With::Nobody, None).await);
    drop(first);
    for with in [With::Nobody, With::TheBlind] {
        behind(take(&*one, "sw01", "aaaaa", with, None).await);
    }
    let second = has(take(&*other, "sw01", "bbbbb", With::Nobody, Some(waits)).await);
    let waits = behind(take(&*one, "sw01", "aaaaa", With::TheBlind, None).await);
    drop(second);
    let third = has(take(&*one, "sw01", "aaaaa", With::TheBlind, Some(waits)).await);
    let fourth = has(take(&*other, "sw01", "bbbbb", With::TheBlind, None).await);
    let waits = behind(take(&*one, "sw01", "ccccc", With::Nobody, None).await);
    drop(third);
    let waits = behind(take(&*one, "sw01", "ccccc", With::Nobody, Some(waits)).await);
    behind(take(&*one, "sw01", "aaaaa", With::TheBlind, None).await);
    drop(fourth);
    has(take(&*one, "sw01", "ccccc", With::Nobody, Some(waits)).await);
}

async fn what_was_sent_and_not_answered_is_waited_for(database: &dyn Database) {
    let store = database.open().await.unwrap();
    let at_most = SignedDuration::from_secs(1);
    for with in [With::Nobody, With::TheBlind] {
        let mut answered = has(take(&*store, "sw01", "aaaaa", with, None).await);
        answered.sends(at_most).unwrap();
        answered.over();
        drop(answered);
        let mut lost = has(take(&*store, "sw01", "aaaaa", with, None).await);
        lost.sends(at_most).unwrap();
        drop(lost);
        // Its own is waited for by whoever goes on with it.
        drop(has(take(&*store, "sw01", "aaaaa", with, None).await));
        let mut lost = has(take(&*store, "sw01", "aaaaa", with, None).await);
        let since = std::time::Instant::now();
        lost.sends(at_most).unwrap();
        drop(lost);
        let mut waits = Some(behind(take(&*store, "sw01", "bbbbb", With::Nobody, None).await));
        // Those who look at nothing wait for whoever had it alone, and not for each other.
        match take(&*store, "sw01", "ccccc", With::TheBlind, None).await {
            Taken::Has(_) => panic!("whoever waits comes first"),
            Taken::Waits(_) => drop(waits.take()),
        }
        match take(&*store, "sw01", "ccccc", With::TheBlind, None).await {
            Taken::Has(_) => assert_eq!(with, With::TheBlind),
            Taken::Waits(_) => assert_eq!(with, With::Nobody),
        }
        waits = Some(behind(take(&*store, "sw01", "bbbbb", With::Nobody, None).await));
        assert_eq!(waits.as_ref().unwrap().behind, Some(id("aaaaa")));
        while let Some(still) = waits.take() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            match take(&*store, "sw01", "bbbbb", With::Nobody, Some(still)).await {
                Taken::Waits(still) => waits = Some(still),
                Taken::Has(lease) => drop(lease),
            }
        }
        assert!(since.elapsed() > std::time::Duration::from_millis(900), "{:?}", since.elapsed());
    }
    // Whoever waited long for one who was there waits for what that one left all the same.
    let mut lost = has(take(&*store, "sw01", "aaaaa", With::Nobody, None).await);
    let waits = behind(take(&*store, "sw01", "bbbbb", With::Nobody, None).await);
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    lost.sends(at_most).unwrap();
    drop(lost);
    behind(take(&*store, "sw01", "bbbbb", With::Nobody, Some(waits)).await);
}

async fn ids_are_found_by_how_they_begin(store: &dyn Store) {
    let found =
        async |prefix: &str| store.find(prefix).await.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    for of in ["hh012", "hh0zz", "hhzzz"] {
        store.append(Story::begun(of).append(0, 1)).await.unwrap();
    }
    assert_eq!(found("hh").await, ["hh012", "hh0zz", "hhzzz"]);
    assert_eq!(found("hh0").await, ["hh012", "hh0zz"]);
    assert_eq!(found(" HHOi ").await, ["hh012"]);
    assert_eq!(found("hhzzz").await, ["hhzzz"]);
    for nothing in ["hhzzzz", "hh_", "hh%", "'", "\u{10ffff}"] {
        assert_eq!(found(nothing).await, [""; 0], "{nothing}");
    }
    assert_eq!(found("").await.len(), store.summaries(Filter::default()).await.unwrap().len());
}

async fn line(store: &dyn Store, of: &str) -> Option<super::Summary> {
    store.summaries(Filter::default()).await.unwrap().into_iter().find(|line| line.id == id(of))
}

async fn a_snapshot_is_the_last_of_its_own_engagement_or_none(store: &dyn Store) {
    let (one, other) = (Story::whole("sssss"), Story::whole("ttttt"));
    let with = |story: &Story, from, to, snapshot: Option<&[u8]>| Append {
        snapshot: snapshot.map(<[u8]>::to_vec),
        ..story.append(from, to)
    };
    for (story, from, to, snapshot) in [
        (&one, 0, 2, Some(&b"first"[..])),
        (&other, 0, 2, Some(b"of another")),
        (&one, 2, 4, Some(b"second")),
        (&one, 4, 5, None),
    ] {
        store.append(with(story, from, to, snapshot)).await.unwrap();
    }
    // What is refused replaces none.
    store.append(with(&one, 3, 5, Some(b"refused"))).await.unwrap_err();
    let kept = store.snapshot(&one.id).await.unwrap();
    assert!(kept.as_deref().is_none_or(|kept| kept == b"second"), "{kept:?}");
    let kept = store.snapshot(&other.id).await.unwrap();
    assert!(kept.as_deref().is_none_or(|kept| kept == b"of another"), "{kept:?}");
    assert_eq!(store.snapshot(&id("sssst")).await.unwrap(), None);
}

async fn what_was_answered_is_there_for_whoever_opens_it(database: &dyn Database) {
    let story = Story::whole("ggggg");
    let early = database.open().await.unwrap();
    assert!(early.events(&story.id, 0).await.unwrap().is_empty());
    for seq in 0..20 {
        // Nobody closes anything: a process that answered may be killed right after that.
        let store = database.open().await.unwrap();
        store.append(story.append(seq, seq + 1)).await.unwrap();
        assert_eq!(store.commits(), 1);
        drop(store);
        let next = database.open().await.unwrap();
        for store in [&next, &early] {
            assert_eq!(store.events(&story.id, 0).await.unwrap(), story.bytes()[..=seq]);
        }
    }
    assert_eq!((early.blobs(&[]).await.unwrap().len(), early.commits()), (0, 0));
}

async fn the_log_grows_by_what_is_logged_and_each_time_it_is_signed(database: &dyn Database) {
    let (store, other) = (database.open().await.unwrap(), database.open().await.unwrap());
    let began = store.log_size().await.unwrap();
    let checkpoints = store.checkpoints(0).await.unwrap().len();
    let story = Story::whole("jjjjj");
    let mut leaves = Vec::new();
    for (seq, bytes) in story.bytes().into_iter().enumerate() {
        let append = story.append(seq, seq + 1);
        let logged = append.logs == Logs::Last;
        store.append(append).await.unwrap();
        if logged {
            leaves.push((began + leaves.len() as u64, seq as u64 + 1, Some(bytes)));
        }
        let size = began + leaves.len() as u64;
        assert_eq!(
            (store.log_size().await.unwrap(), other.log_size().await.unwrap()),
            (size, size),
            "event {}",
            seq + 1
        );
        // What is refused adds none, and signs none.
        let again = Append { logs: Logs::Last, ..story.append(seq, seq + 1) };
        assert!(matches!(store.append(again).await, Err(LedgerError::Conflict(_))));
        assert_eq!(store.log_size().await.unwrap(), size);
        let last = leaves.last().map_or(0, |(_, seq, _)| *seq);
        assert_eq!(other.logged_to(&story.id).await.unwrap(), last, "event {}", seq + 1);
    }
    assert_eq!(other.logged_to(&id("nnnnn")).await.unwrap(), 0, "of one that is not there");
    assert!(leaves.len() >= 3, "{leaves:?}");
    let of = |id: Option<&EngagementId>| {
        let (store, id) = (Arc::clone(&other), id.cloned());
        async move { store.logged(id.as_ref()).await.unwrap() }
    };
    let (own, all) = (of(Some(&story.id)).await, of(None).await);
    let found: Vec<_> = own.iter().map(|leaf| (leaf.position, leaf.seq, leaf.bytes.clone())).collect();
    assert_eq!(found, leaves);
    assert!(all.iter().map(|leaf| leaf.position).eq(0..began + leaves.len() as u64));
    assert_eq!(all[usize::try_from(began).unwrap()..], own);
    let Some(keys) = database.keys().await.unwrap() else {
        store.append(Append::signing()).await.unwrap();
        return assert_eq!(store.checkpoints(0).await.unwrap(), Vec::<String>::new());
    };
    // Each has a checkpoint, the stored hashes lead to its root, and each log is the one before it with more.
    let signed = store.checkpoints(0).await.unwrap();
    assert_eq!(signed.len(), checkpoints + leaves.len());
    assert_eq!(store.checkpoints(began + 1).await.unwrap(), signed[checkpoints + 1..]);
    let (last, _) = last_checkpoint(&*other).await.unwrap().unwrap();
    assert_eq!((last.size, last.root), (began + leaves.len() as u64, log_root(&*store, last.size).await.unwrap()));
    for size in 1..last.size {
        let grown = consistency(&*store, size, last.size).await.unwrap().unwrap();
        assert!(grown.holds(), "from {size}");
    }
    // Who signed them is held against the keys. Some stories of this suite append several answers at once.
    let mut problems = check_log(&*store, &keys, &[]).await.unwrap().problems;
    problems.retain(|problem| !problem.what.contains("has no leaf") || problem.what.contains("jjjjj"));
    assert_eq!(problems, []);
    // Where all is signed, signing writes nothing.
    store.append(Append::signing()).await.unwrap();
    assert_eq!(store.checkpoints(0).await.unwrap(), signed);
}

async fn the_log_is_given_the_last_event_of_a_chain_and_no_other(database: &dyn Database) {
    let (store, story) = (database.open().await.unwrap(), Story::whole("hhhhh"));
    store.append(story.append(0, 2)).await.unwrap();
    let links = story.append(0, 3).events;
    let head = |at: usize| Leaf { engagement: story.id.clone(), head: links[at].hash, seq: links[at].seq };
    let size = store.log_size().await.unwrap();
    // One that others have written on since, one that is not there yet, one of this place that is not what is there, and
    // one of nothing.
    for other in
        [head(0), head(2), Leaf { head: links[0].hash, ..head(1) }, Leaf { engagement: id("nnnnn"), ..head(1) }]
    {
        assert!(matches!(store.append(Append::head(other.clone())).await, Err(LedgerError::Conflict(_))), "{other:?}");
    }
    assert_eq!(store.log_size().await.unwrap(), size);
    let (one, two) = tokio::join!(store.append(Append::head(head(1))), store.append(Append::head(head(1))));
    assert!(matches!((one, two), (Ok(()), Err(LedgerError::Conflict(_))) | (Err(LedgerError::Conflict(_)), Ok(()))));
    let logged = store.logged(Some(&story.id)).await.unwrap();
    let found: Vec<_> = logged.iter().map(|leaf| (leaf.position, leaf.seq)).collect();
    assert_eq!(found, [(size, 2)]);
    if database.keys().await.unwrap().is_some() {
        let (last, _) = last_checkpoint(&*store).await.unwrap().unwrap();
        assert_eq!((last.size, last.root), (size + 1, log_root(&*store, size + 1).await.unwrap()));
    }
    // It goes on as before.
    store.append(story.append(2, 3)).await.unwrap();
    assert_eq!(store.events(&story.id, 0).await.unwrap().len(), 3);
}
