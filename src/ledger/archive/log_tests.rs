//! What a bundle has of the log, and what happens to it.

use super::*;
use super::{
    stage_tests::{trust, trust_in},
    tests::{check, contents, flip_each, said},
};
use crate::{
    artifact::digest_bytes,
    engagement::LogSeen,
    ledger::{
        Freshness, InclusionProof, KeyHistory, Leaf, LedgerKeys, Nodes, PUBLIC_KEYS, is_logged, merkle,
        testing::{Story, history, history_from, id, note_key},
    },
};

/// The leaf of the last event of a chain.
fn leaf(events: &[Vec<u8>]) -> Leaf {
    let last = chain::read(events.last().unwrap()).unwrap();
    Leaf { engagement: last.engagement, head: last.hash, seq: last.seq }
}

/// Of another engagement.
fn other(seq: u64) -> Leaf {
    Leaf { engagement: id("zzzzz"), head: digest_bytes(&[0]), seq }
}

fn nodes(leaves: &[Leaf]) -> Nodes {
    let mut nodes = Nodes::new();
    for (leaf, size) in leaves.iter().zip(0..) {
        let hash = merkle::leaf_hash(&leaf.bytes().unwrap());
        nodes.extend(merkle::append(size, hash, &nodes).unwrap());
    }
    nodes
}

/// The checkpoint of a log of these leaves, signed by the key of this seed.
fn checkpoint(leaves: &[Leaf], seed: u8) -> (Checkpoint, Note) {
    let key = note_key(seed);
    let (size, nodes) = (leaves.len() as u64, nodes(leaves));
    let root = merkle::root(size, &nodes).unwrap();
    let checkpoint = Checkpoint { origin: key.public().name().to_owned(), size, root };
    let note = checkpoint.sign(&key);
    (checkpoint, note)
}

fn proof(leaves: &[Leaf], index: usize, seed: u8) -> InclusionProof {
    let (size, place) = (leaves.len() as u64, index as u64);
    let path = merkle::path(&merkle::inclusion(place, size).unwrap(), size, &nodes(leaves)).unwrap();
    let checkpoint = checkpoint(leaves, seed).1.to_string();
    InclusionProof { leaf: leaves[index].clone(), index: place, path, checkpoint }
}

/// Puts the keys and the proof about `leaves[index]` into a bundle.
fn log(contents: &mut Contents, keys: &KeyHistory, name: &str, proof: &InclusionProof) {
    contents.log.insert(PUBLIC_KEYS.into(), keys.text().as_bytes().to_vec());
    contents.log.insert(name.into(), canonical(proof).unwrap());
}

/// A signed story and the chain of trust stages in a log of five leaves, signed by the second key.
fn logged() -> (Contents, Vec<Leaf>) {
    let mut whole = contents(&Story::whole("k7m2q").signed(1));
    trust(&mut whole, Digest::ZERO, "lab", (1, 2));
    let leaves = vec![other(1), other(2), leaf(&whole.trust), leaf(&whole.engagement.events), other(3)];
    log(&mut whole, &history(&[1, 2]), PROOF, &proof(&leaves, 3, 2));
    log(&mut whole, &history(&[1, 2]), TRUST_PROOF, &proof(&leaves, 2, 2));
    (whole, leaves)
}

/// Puts the last event of an engagement that a log has a leaf of into one that has nothing else.
pub(super) fn in_a_log(contents: &mut Contents) {
    let logged = |event: &&Event| is_logged(&event.body);
    let told = contents.told();
    if let Some(last) = told.engagement.iter().rev().find(logged) {
        let leaf = Leaf { engagement: last.engagement.clone(), head: last.hash, seq: last.seq };
        log(contents, &history(&[1]), PROOF, &proof(&[leaf], 0, 1));
    }
}

/// Puts the last events of the engagement and, where `stages` is not 0, of the chain of stages under one checkpoint.
pub(super) fn under_one_checkpoint(contents: &mut Contents, stages: u64) -> (Checkpoint, Note) {
    let mut leaves = vec![leaf(&contents.engagement.events)];
    leaves.extend((stages > 0).then(|| leaf(&contents.trust)));
    log(contents, &history(&[1]), PROOF, &proof(&leaves, 0, 1));
    if stages > 0 {
        log(contents, &history(&[1]), TRUST_PROOF, &proof(&leaves, 1, 1));
    }
    all(contents, &leaves);
    checkpoint(&leaves, 1)
}

/// Puts all leaves of the log beside the proofs.
fn all(contents: &mut Contents, leaves: &[Leaf]) {
    let lines = leaves.iter().flat_map(|leaf| [leaf.bytes().unwrap(), b"\n".to_vec()].concat());
    contents.log.insert(LEAVES.to_owned(), lines.collect());
}

#[test]
fn the_whole_log_shows_that_it_has_nothing_else_of_what_is_here() {
    let (whole, leaves) = logged();
    let published = |leaves: &[Leaf]| [checkpoint(leaves, 2)];
    // A log that was begun when there were these chains: it has one leaf of each.
    let begun = history_from(&[1, 2], "2026-12-09T12:00:00Z".parse().unwrap());
    // The same with other leaves, under a checkpoint of them.
    let signed_by = |keys: &KeyHistory, leaves: &[Leaf], ours: usize, stages: Option<usize>| {
        let mut whole = whole.clone();
        log(&mut whole, keys, PROOF, &proof(leaves, ours, 2));
        match stages {
            Some(at) => log(&mut whole, keys, TRUST_PROOF, &proof(leaves, at, 2)),
            None => drop(whole.log.remove(TRUST_PROOF)),
        }
        all(&mut whole, leaves);
        whole
    };
    let with = |leaves: &[Leaf], ours: usize, stages: Option<usize>| signed_by(&begun, leaves, ours, stages);
    let found = verify_bundle(&with(&leaves, 3, Some(2)).pack().unwrap(), None, &published(&leaves));
    assert!(found.ok && found.notes.iter().any(|note| note.contains("the whole log is here")), "{:?}", said(&found));
    // Where the ledger had its key before, an answer without a leaf was written past the log.
    let past = signed_by(&history(&[1, 2]), &leaves, 3, Some(2));
    let past = said(&verify_bundle(&past.pack().unwrap(), None, &published(&leaves)));
    assert_eq!(past.len(), 2, "{past:?}");
    assert!(past[0].starts_with("event 4 (events.jsonl): the log has no leaf of this event"), "{past:?}");
    let at = |seq: usize| {
        let event = chain::read(&whole.engagement.events[seq - 1]).unwrap();
        Leaf { engagement: event.engagement, head: event.hash, seq: seq as u64 }
    };
    let gates = [at(4), at(20)];
    let (first, second) = (leaves[3].clone(), leaves[2].clone());
    let forged = Leaf { head: other(7).head, ..first.clone() };
    let later = Leaf { seq: 21, ..other(8) };
    let later = Leaf { engagement: first.engagement.clone(), ..later };
    let lowered = Leaf { seq: 2, head: other(9).head, ..second.clone() };
    for (leaves, ours, says) in [
        (vec![forged, second.clone(), first.clone()], 2, "another history of it"),
        (vec![second.clone(), first.clone(), later], 1, "leaf 2 of the log is of this event, which is missing"),
        (vec![second.clone(), first.clone(), lowered], 1, "event 2 (trust/events.jsonl): leaf 2 of the log"),
        (vec![first.clone(), second.clone(), first.clone()], 2, "no later than the leaf before it"),
        (vec![second.clone(), gates[0].clone(), gates[1].clone()], 2, "has no leaf of this event"),
    ] {
        let stages = leaves.iter().position(|leaf| *leaf == second);
        let found = verify_bundle(&with(&leaves, ours, stages).pack().unwrap(), None, &published(&leaves));
        assert!(!found.ok && said(&found).iter().any(|problem| problem.contains(says)), "{says}: {:?}", said(&found));
    }
    // What was published before is over the first of these, or this is another log; so where two logs were published.
    let mut rewritten = leaves.clone();
    rewritten[0] = other(9);
    let last = [checkpoint(&leaves, 2), checkpoint(&leaves[..2], 1)];
    let found = verify_bundle(&with(&leaves, 3, Some(2)).pack().unwrap(), None, &last);
    assert!(found.ok, "{:?}", said(&found));
    for (published, says) in [
        (
            [checkpoint(&leaves, 2), checkpoint(&rewritten[..2], 1)],
            "log/leaves.jsonl: the published checkpoint of 2 leaves",
        ),
        ([checkpoint(&rewritten[..1], 1), checkpoint(&leaves[..1], 1)], "two checkpoints of 1 leaves were published"),
    ] {
        let found = verify_bundle(&with(&leaves, 3, Some(2)).pack().unwrap(), None, &published);
        assert!(!found.ok && said(&found).iter().any(|problem| problem.contains(says)), "{says}: {:?}", said(&found));
    }
    // Leaves that are not those of the checkpoint, or of none.
    let mut others = with(&leaves, 3, Some(2));
    all(&mut others, &leaves[..4]);
    assert!(said(&check(&others.pack().unwrap())).iter().any(|problem| problem.contains("is not the log of the")));
    others.log.remove(PROOF);
    assert!(said(&check(&others.pack().unwrap())).iter().any(|problem| problem.contains("names no checkpoint")));
}

#[test]
fn a_bundle_says_where_its_chains_stand_in_the_log() {
    let (whole, leaves) = logged();
    let found = check(&whole.pack().unwrap());
    assert!(found.ok, "{:?}", said(&found));
    let says = |found: &Verification, what: &str| {
        assert!(found.notes.iter().any(|note| note.contains(what)), "{what}: {found:?}")
    };
    says(&found, "log: event 20 of the engagement is leaf 3 (from 0) of 5, signed by the key");
    says(&found, "log: event 1 of the chain of trust stages is leaf 2 (from 0) of 5");
    says(&found, "that is the last one here");
    says(&found, "freshness not witnessed: nothing here shows");
    // What came after the leaf is said, and so is that there is none.
    let before = Leaf { seq: 4, head: chain::read(&whole.engagement.events[3]).unwrap().hash, ..leaves[3].clone() };
    let mut earlier = whole.clone();
    log(&mut earlier, &history(&[1, 2]), PROOF, &proof(&[before], 0, 1));
    says(&check(&earlier.pack().unwrap()), "leaf 0 (from 0) of 1, signed by the key");
    says(&check(&earlier.pack().unwrap()), "16 after it, up to event 20, are under no checkpoint here");
    // Where nothing was answered the log has nothing of it yet.
    let mut story = Story::whole("k7m2q");
    story.events.truncate(3);
    let mut asked = contents(&story);
    says(&check(&asked.pack().unwrap()), "log: the ledger's keys are not here");
    asked.log.insert(PUBLIC_KEYS.into(), history(&[1]).text().as_bytes().to_vec());
    let found = check(&asked.pack().unwrap());
    assert!(found.ok, "{:?}", said(&found));
    says(&found, "log: nothing of the engagement is under a checkpoint here");
}

#[test]
fn a_bundle_whose_proof_was_taken_out_is_found() {
    let (whole, _) = logged();
    // The end is cut off, so that the log would say more of it than is here.
    let mut cut = whole.clone();
    cut.engagement.events.truncate(19);
    let named = cut.named(&cut.told());
    cut.engagement.blobs.retain(|digest, _| named.contains_key(digest));
    for stripped in [whole, cut] {
        for (left, missing) in [(&[PUBLIC_KEYS, TRUST_PROOF][..], "log/proof.json"), (&[], "log/public")] {
            let mut stripped = stripped.clone();
            stripped.log.retain(|name, _| left.contains(&name.as_str()));
            let found = said(&check(&stripped.pack().unwrap()));
            assert_eq!(found.len(), 1, "{found:?}");
            let begins = "event 4 (events.jsonl): the log has a leaf of this event (approval.answered)";
            assert!(found[0].starts_with(begins) && found[0].contains(missing), "{found:?}");
        }
    }
}

#[test]
fn a_proof_that_is_of_something_else_is_found() {
    let (whole, leaves) = logged();
    let keys = history(&[1, 2]);
    let ours = &leaves[3];
    let of = |leaf: Leaf| proof(&[other(1), leaf], 1, 2);
    type Change<'a> = Box<dyn Fn(&mut Contents) + 'a>;
    let table: Vec<(&str, Change<'_>, &str)> = vec![
        (
            "no keys",
            Box::new(|it| drop(it.log.remove(PUBLIC_KEYS))),
            "log/public: is missing, and log/proof.json is here",
        ),
        (
            "no key of theirs",
            Box::new(|it| {
                it.log.remove(TRUST_PROOF);
                log(it, &history(&[1]), PROOF, &proof(&leaves, 3, 2));
            }),
            "log/proof.json: does not hold: the checkpoint of 5 is not signed",
        ),
        (
            "another's keys",
            Box::new(|it| drop(it.log.insert(PUBLIC_KEYS.into(), strangers()))),
            "log/public: has the keys of countersign/1111",
        ),
        (
            "more after the keys",
            Box::new(|it| it.log.get_mut(PUBLIC_KEYS).unwrap().push(b'\n')),
            "log/public: is not written",
        ),
        (
            "no keys in it",
            Box::new(|it| drop(it.log.insert(PUBLIC_KEYS.into(), Vec::new()))),
            "log/public: there is no statement",
        ),
        (
            "more after the proof",
            Box::new(|it| it.log.get_mut(PROOF).unwrap().push(b' ')),
            "log/proof.json: is not written",
        ),
        (
            "no proof in it",
            Box::new(|it| drop(it.log.insert(PROOF.into(), b"{}".to_vec()))),
            "log/proof.json: missing field",
        ),
        (
            "another engagement",
            Box::new(|it| log(it, &keys, PROOF, &of(other(20)))),
            "log/proof.json: is about zzzzz, and this is k7m2q",
        ),
        (
            "trust for ours",
            Box::new(|it| log(it, &keys, PROOF, &of(leaves[2].clone()))),
            "log/proof.json: is about trust",
        ),
        (
            "ours for trust",
            Box::new(|it| log(it, &keys, TRUST_PROOF, &of(ours.clone()))),
            "log/trust.json: is about k7m2q",
        ),
        (
            "another history of ours",
            Box::new(|it| log(it, &keys, PROOF, &of(Leaf { head: Digest::ZERO, ..ours.clone() }))),
            "event 20 (events.jsonl): leaf 1 of the log says that this event hashes to",
        ),
        (
            "an event in the place of another",
            Box::new(|it| log(it, &keys, PROOF, &of(Leaf { seq: 19, ..ours.clone() }))),
            "event 19 (events.jsonl): leaf 1 of the log says",
        ),
        (
            "the end cut off",
            Box::new(|it| it.engagement.events.truncate(18)),
            "event 20 (events.jsonl): leaf 3 of the log is of this event, which is missing",
        ),
        (
            "the trust stages cut off",
            Box::new(|it| it.trust.clear()),
            "event 1 (trust/events.jsonl): leaf 2 of the log is of this event, which is missing",
        ),
        (
            "a wrong index",
            Box::new(|it| log(it, &keys, PROOF, &InclusionProof { index: 2, ..proof(&leaves, 3, 2) })),
            "log/proof.json: does not hold: it does not lead from its leaf",
        ),
    ];
    for (name, change, says) in table {
        let mut changed = whole.clone();
        change(&mut changed);
        // What nothing names any longer is no matter here.
        let named = changed.named(&changed.told());
        changed.engagement.blobs.retain(|digest, _| named.contains_key(digest));
        let lines = said(&check(&changed.pack().unwrap()));
        assert!(lines.iter().any(|line| line.starts_with(says)), "{name}: {lines:?}");
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
    }
    let mut unknown = whole;
    unknown.log.insert("more".into(), Vec::new());
    assert_eq!(said(&check(&unknown.pack().unwrap()))[0], "log/more: is no file of a bundle");
}

#[test]
fn a_replaced_key_that_signed_after_another_took_over_is_found() {
    let (whole, leaves) = logged();
    // The statements of these keys are of before: no size is in them.
    let mut stolen = whole.clone();
    log(&mut stolen, &history(&[1, 2]), PROOF, &proof(&leaves, 3, 1));
    let against = |contents: &Contents, published: &[(Checkpoint, Note)]| {
        said(&verify_bundle(&contents.pack().unwrap(), None, published))
    };
    let later = [checkpoint(&leaves[..2], 2)];
    assert_eq!(against(&whole, &later), [""; 0]);
    let found = against(&stolen, &later);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("log/public: the checkpoint of 5 is signed by the key "), "{found:?}");
    // And so is one that was published.
    let longer = checkpoint(&[&leaves[..], &[other(4)]].concat(), 1);
    let found = against(&whole, &[longer]);
    assert!(found[0].starts_with("log/public: the checkpoint of 6 is signed by the key "), "{found:?}");
}

/// The keys of another ledger.
fn strangers() -> Vec<u8> {
    let home = tempfile::tempdir().unwrap();
    let keys = LedgerKeys::of(home.path().join("keys"), &"1".repeat(32).parse().unwrap());
    keys.history().unwrap().text().as_bytes().to_vec()
}

#[test]
fn published_checkpoints_witness_a_bundle_or_show_that_it_is_of_another_log() {
    let (whole, leaves) = logged();
    let bytes = whole.pack().unwrap();
    let against = |published: &[(Checkpoint, Note)]| verify_bundle(&bytes, None, published);
    let own = checkpoint(&leaves, 2);
    // Among others of other sizes and of other logs; a key that came later is no matter.
    let mut strange = checkpoint(&leaves, 2);
    strange.0.origin = "countersign/other".into();
    let longer = checkpoint(&[&leaves[..], &[other(4)]].concat(), 7);
    let found = against(&[checkpoint(&leaves[..2], 1), strange.clone(), own.clone(), longer.clone()]);
    assert!(found.ok, "{:?}", said(&found));
    assert_eq!(found.freshness, Freshness::Witnessed { size: 5, seq: Some(20) });
    assert!(found.notes.iter().any(|note| note.starts_with("witnessed: up to event 20, by a published")), "{found:?}");
    assert!(!found.notes.iter().any(|note| note.contains("not witnessed")), "{found:?}");
    // One that was published later shows more than is here.
    let later = checkpoint(&[&leaves[..], &[other(4)]].concat(), 2);
    let found = against(&[own.clone(), later]);
    assert!(found.notes.iter().any(|note| note.contains("a checkpoint of 6 leaves was published too")), "{found:?}");
    // Of others nothing follows.
    let found = against(&[checkpoint(&leaves[..2], 1), longer]);
    assert!(found.ok && found.freshness == Freshness::NotWitnessed);
    assert!(found.notes.iter().any(|note| note.contains("none such was published")), "{found:?}");
    assert!(!found.notes.iter().any(|note| note.starts_with("witnessed")), "{found:?}");
    // Another log of that size, a key that is not the ledger's, another ledger's.
    let mut forked = leaves.clone();
    forked[0] = other(9);
    let lines = said(&against(&[own.clone(), checkpoint(&forked, 1)]));
    assert!(lines.iter().any(|line| line.starts_with("log/proof.json: ") && line.contains("(a fork)")), "{lines:?}");
    assert_eq!(against(&[checkpoint(&forked, 1)]).freshness, Freshness::NotWitnessed);
    let lines = said(&against(&[checkpoint(&leaves, 7)]));
    assert!(lines.iter().any(|line| line.contains("is not signed by a key here")), "{lines:?}");
    // Keys that are made up sign a log of their own, and what was published before is by others.
    let lines = said(&against(&[own.clone(), checkpoint(&leaves[..2], 7)]));
    assert!(lines.iter().any(|line| line.contains("these are not the ledger's keys")), "{lines:?}");
    let found = against(&[checkpoint(&[&leaves[..], &[other(4)]].concat(), 7)]);
    assert!(found.notes.iter().any(|note| note.contains("is signed by a key that is not here")), "{found:?}");
    let lines = said(&against(&[strange]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("log/public: none of the published checkpoints is of this ledger"), "{lines:?}");
    // Nothing of the log is in it: that is an error, and it is not said to be witnessed.
    for files in [&[PUBLIC_KEYS][..], &[]] {
        let mut without = whole.clone();
        without.log.retain(|name, _| files.contains(&name.as_str()));
        let found = verify_bundle(&without.pack().unwrap(), None, std::slice::from_ref(&own));
        assert!(!found.ok && found.freshness == Freshness::NotWitnessed);
        let notes = found.notes.iter().filter(|note| note.starts_with("freshness not witnessed: ")).count();
        assert_eq!(notes, 1, "{found:?}");
    }
    let mut witnessed = against(std::slice::from_ref(&own));
    witnessed.wants_a_witness();
    assert!(witnessed.ok, "{witnessed:?}");
    // Whoever brought checkpoints along did not want to hear that they show nothing.
    let mut nothing = against(&[checkpoint(&leaves[..2], 1), checkpoint(&[&leaves[..], &[other(4)]].concat(), 2)]);
    nothing.wants_a_witness();
    assert!(!nothing.ok && said(&nothing).join("").contains("covers this"), "{nothing:?}");
}

#[test]
fn what_an_approver_saw_of_the_log_is_held_against_it() {
    let seeing = |log: LogSeen| {
        let mut story = Story::whole("k7m2q").signed(1);
        story.sign_seeing(1, Some(log));
        contents(&story)
    };
    let root = |leaves: &[Leaf]| checkpoint(leaves, 1).0.root;
    let before = [other(1), other(2)];
    let verified = |seen: LogSeen, published: &[(Checkpoint, Note)]| {
        let mut whole = seeing(seen);
        let leaves = [&before[..], &[leaf(&whole.engagement.events)]].concat();
        log(&mut whole, &history(&[1]), PROOF, &proof(&leaves, 2, 1));
        said(&verify_bundle(&whole.pack().unwrap(), None, published))
    };
    let truly = LogSeen { size: 2, root: root(&before) };
    assert_eq!(verified(truly, &[checkpoint(&before, 1)]), Vec::<String>::new());
    // The answer was given when the log had more than what its engagement is said to be in.
    let later = verified(LogSeen { size: 3, root: Digest::ZERO }, &[]);
    assert!(later.len() == 1 && later[0].starts_with("event 4 (events.jsonl): whoever signed this saw 3"), "{later:?}");
    // What was published then was another log.
    let other = verified(truly, &[checkpoint(&[other(1), other(3)], 1)]);
    assert!(
        other.len() == 1 && other[0].starts_with("event 4 (events.jsonl): whoever signed this saw ano"),
        "{other:?}"
    );
}

#[test]
fn every_flipped_byte_of_keys_and_proofs_is_found_in_its_file() {
    let (mut whole, leaves) = logged();
    // As little as there can be around them: each flip is a verification of it all.
    whole.engagement.events.truncate(4);
    let named = whole.named(&whole.told());
    whole.engagement.blobs.retain(|digest, _| named.contains_key(digest));
    let leaves = [leaves[2].clone(), leaf(&whole.engagement.events), other(3)];
    log(&mut whole, &history(&[1, 2]), PROOF, &proof(&leaves, 1, 2));
    log(&mut whole, &history(&[1, 2]), TRUST_PROOF, &proof(&leaves, 0, 2));
    flip_each(&whole, &|path| path.starts_with("log/"));
}

#[test]
fn trust_stages_of_another_ledger_are_found() {
    let mut whole = contents(&Story::whole("k7m2q").signed(1));
    trust_in(&mut whole, &"1".repeat(32).parse().unwrap(), Digest::ZERO, "lab", (1, 2));
    let lines = said(&check(&whole.pack().unwrap()));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("event 1 (trust/events.jsonl): a trust stage whose signature is for another ledger"),
        "{lines:?}"
    );
}

#[test]
fn what_was_published_before_the_last_leaf_does_not_cover_the_rest() {
    let (whole, leaves) = logged();
    let first = |seq: u64| Leaf {
        seq,
        head: chain::read(&whole.engagement.events[seq as usize - 1]).unwrap().hash,
        engagement: leaves[3].engagement.clone(),
    };
    let under = |leaf: Leaf| {
        let leaves = vec![leaf];
        let mut bundle = whole.clone();
        log(&mut bundle, &history(&[1, 2]), PROOF, &proof(&leaves, 0, 1));
        verify_bundle(&bundle.pack().unwrap(), None, &[checkpoint(&leaves, 1)])
    };
    let last = under(first(20));
    assert_eq!(last.freshness, Freshness::Witnessed { size: 1, seq: Some(20) }, "{:?}", last.notes);
    // Gate 1 is under it; gate 2 and the end are not, and may be written anew by whoever hands this over.
    let mut early = under(first(4));
    assert_eq!(early.freshness, Freshness::NotWitnessed);
    let why = "covers it up to event 4, and event 12 (approval.answered) came later";
    assert!(early.notes.iter().any(|note| note.contains(why)), "{:?}", early.notes);
    early.wants_a_witness();
    assert!(!early.ok);
}
