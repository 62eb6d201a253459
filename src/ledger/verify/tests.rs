use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::{
    artifact::{Agent, ArtifactKind, CallId, Phase, canonical, digest_of},
    engagement::{About, Actor, Answer, CallFinished, CallOutcome, Retried, SpecProved},
    facts::Role,
    ledger::testing::{Story, act, allowed, filed, person, spec},
    policy::{ProofReport, Proven},
};

fn check(events: &[Vec<u8>], blobs: &BTreeMap<Digest, Vec<u8>>) -> Verification {
    verify(events, blobs)
}

#[test]
fn a_whole_engagement_verifies_and_says_what_is_not_shown() {
    let story = Story::whole("k7m2q");
    let chain = story.sealed();
    let verification = check(&story.bytes(), &story.blobs);
    assert_eq!(verification.problems, []);
    assert!(verification.ok);
    assert_eq!(verification.events, 20);
    assert_eq!(verification.head, Some(chain.last().unwrap().event.hash));
    let [names, less, fresh] = verification.notes.as_slice() else { panic!("{:?}", verification.notes) };
    assert_eq!(fresh, NOT_WITNESSED);
    assert!(names.starts_with("on a name alone, which shows nothing about who it was: 2 answers: "), "{names}");
    assert!(names.contains("gate 1 (the spec) by grace (event 4), gate 2 (the design) by grace (event 12)"), "{names}");
    let told =
        "HELD TO LESS, as versions before wrote it: 7 things: what calls are given (event 1), which is not sealed, ";
    assert!(less.starts_with(told), "{less}");
    for (known, problems) in [(false, Vec::new()), (true, vec![Problem::at(1, less.clone())])] {
        let mut held = verification.clone();
        held.hold_to_what_a_key_vouches_for(known);
        assert_eq!((held.ok, &held.problems), (!known, &problems));
    }
    assert_eq!(verification.on_a_name, 2);
}

#[test]
fn every_beginning_of_a_chain_verifies_because_a_cut_end_cannot_be_seen() {
    let story = Story::whole("k7m2q");
    let bytes = story.bytes();
    for length in 1..=bytes.len() {
        let verification = check(&bytes[..length], &story.blobs);
        assert!(verification.ok, "{length}: {:?}", verification.problems);
        assert!(verification.notes.contains(&NOT_WITNESSED.to_owned()));
    }
    assert_eq!(check(&[], &story.blobs).problems[0].what, "the chain is empty");
}

/// Changes the JSON of one event and leaves the rest, its hash included, as it was.
fn edit(bytes: &mut [Vec<u8>], place: usize, change: impl FnOnce(&mut Value)) {
    let mut event: Value = serde_json::from_slice(&bytes[place - 1]).unwrap();
    change(&mut event);
    bytes[place - 1] = canonical(&event).unwrap();
}

/// Changes the JSON of one event and hashes it again, as someone would who knows how.
fn rehash(bytes: &mut [Vec<u8>], place: usize, change: impl FnOnce(&mut Value)) {
    edit(bytes, place, |event| {
        change(event);
        event.as_object_mut().unwrap().remove("hash");
        event["hash"] = json!(digest_of(event).unwrap());
    });
}

#[test]
fn whatever_is_done_to_the_bytes_is_found_where_it_was_done() {
    type Tamper = fn(&mut Vec<Vec<u8>>);
    let table: &[(&str, Tamper, u64, &str)] = &[
        ("flip a letter of a title", |b| edit(b, 1, |e| e["body"]["title"] = json!("Add VLAN 121")), 1, "hashes to"),
        ("flip a digit of a hash", |b| edit(b, 7, |e| e["hash"] = json!(Digest::ZERO)), 7, "hashes to"),
        ("break the JSON", |b| b[6].truncate(40), 7, "cannot be read"),
        ("empty an event", |b| b[6].clear(), 7, "cannot be read"),
        ("bytes that are not UTF-8", |b| b[6][20] = 0xff, 7, "cannot be read"),
        ("add a field", |b| edit(b, 7, |e| e["extra"] = json!(1)), 7, "canonical"),
        ("add a field and hash it", |b| rehash(b, 7, |e| e["extra"] = json!(1)), 7, "canonical"),
        ("add a field within", |b| edit(b, 7, |e| e["body"]["extra"] = json!(1)), 7, "cannot be read"),
        ("add a space", |b| b[6].insert(1, b' '), 7, "canonical"),
        ("add a line end", |b| b[6].push(b'\n'), 7, "canonical"),
        (
            "repeat a field",
            |b| {
                b[6].splice(1..1, br#""seq":7,"#.iter().copied());
            },
            7,
            "read",
        ),
        (
            "drop the first",
            |b| {
                b.remove(0);
            },
            1,
            "is missing: event 2 stands in its place",
        ),
        (
            "drop one",
            |b| {
                b.remove(6);
            },
            7,
            "is missing: event 8 stands in its place",
        ),
        (
            "cut a piece out",
            |b| {
                b.drain(4..9);
            },
            5,
            "is missing: event 10",
        ),
        ("swap two", |b| b.swap(6, 7), 7, "is missing: event 8"),
        ("repeat one", |b| b.insert(7, b[6].clone()), 8, "is missing: event 7 stands in its place"),
        ("change who approved", |b| edit(b, 4, |e| e["actor"] = json!("program")), 4, "hashes to"),
        (
            "change who approved, hashed",
            |b| rehash(b, 4, |e| e["actor"]["person"]["name"] = json!("eve")),
            5,
            "does not follow",
        ),
        (
            "drop one and renumber the next",
            |b| {
                b.remove(6);
                rehash(b, 7, |e| e["seq"] = json!(7));
            },
            7,
            "does not follow",
        ),
        (
            "splice from another engagement",
            |b| b[6] = Story::whole("zzzzz").bytes()[6].clone(),
            7,
            "belongs to engagement zzzzz",
        ),
        (
            "splice and rename",
            |b| {
                b[6] = Story::whole("zzzzz").bytes()[6].clone();
                rehash(b, 7, |e| e["engagement"] = json!("k7m2q"));
            },
            7,
            "does not follow",
        ),
        (
            "go on with another engagement",
            |b| b.extend(Story::whole("zzzzz").bytes()),
            21,
            "belongs to engagement zzzzz",
        ),
        (
            "begin in the middle, hashed",
            |b| {
                b.drain(..6);
                rehash(b, 1, |e| {
                    e["seq"] = json!(1);
                    e["prev"] = json!(Digest::ZERO);
                });
            },
            1,
            "begins with call.finished",
        ),
        (
            "a first event that follows something",
            |b| rehash(b, 1, |e| e["prev"] = e["body"]["request"].clone()),
            1,
            "does not follow",
        ),
    ];
    for (name, tamper, place, says) in table {
        let story = Story::whole("k7m2q");
        let mut bytes = story.bytes();
        tamper(&mut bytes);
        let found = check(&bytes, &story.blobs);
        assert!(!found.ok, "{name}: not found");
        assert_eq!(found.problems[0].seq, *place, "{name}: {:?}", found.problems);
        assert!(found.problems[0].what.contains(says), "{name}: {:?}", found.problems);
        assert!(!found.problems[0].what.starts_with("event "), "{name}: {} says its place twice", found.problems[0]);
        assert!(found.problems.is_sorted_by_key(|problem| problem.seq), "{name}: {:?}", found.problems);
    }
}

#[test]
fn no_bit_can_be_flipped_unseen() {
    let story = Story::whole("k7m2q");
    let bytes = story.bytes();
    for (place, event) in bytes.iter().enumerate() {
        for at in (place % 11..event.len()).step_by(11) {
            let mut bytes = bytes.clone();
            bytes[place][at] ^= 1 << (at % 8);
            let found = check(&bytes[..=place], &story.blobs);
            assert_eq!(found.problems.first().map(|problem| problem.seq), Some(place as u64 + 1), "byte {at}");
        }
    }
}

#[test]
fn a_story_that_no_rule_allows_is_found_though_every_link_holds() {
    type Forge = fn(&mut Story);
    let table: &[(&str, Forge, u64, &str)] = &[
        (
            "an approval nobody was asked for",
            |s| {
                s.events.remove(2);
            },
            3,
            "no question was open",
        ),
        ("an approval of another request", |s| answer(s, 4).request = Digest::ZERO, 4, "the open question was about"),
        ("an approval of the other gate", |s| answer(s, 4).about = About::Gate2, 4, "the open question was about"),
        ("an approval by an agent", |s| s.events[3].1 = Actor::Agent(Agent::Requirements), 4, "not a person"),
        ("an approval by the program", |s| s.events[11].1 = Actor::Program, 12, "not a person"),
        ("an approval in too low a role", |s| answer(s, 4).role = Role::Requester, 4, "which needs approver"),
        (
            "an approval of another artifact",
            |s| {
                let request = s.document(&json!({"artifact": digest_of(&"other").unwrap()}));
                let Body::Asked(asked) = &mut s.events[2].2 else { panic!() };
                asked.request = request;
                answer(s, 4).request = request;
            },
            4,
            "does not name the spec.yaml that was filed",
        ),
        (
            "gate 1 rejected, and on",
            |s| {
                let said = answer(s, 4);
                (said.answer, said.reason) = (Answer::Reject, Some("no".into()));
            },
            5,
            "gate 1 was not open",
        ),
        (
            "a call while gate 1 is closed",
            |s| {
                s.events.drain(2..4);
            },
            3,
            "gate 1 was not open",
        ),
        (
            "a call before feasibility",
            |s| {
                s.events.remove(4);
            },
            5,
            "in the requirements phase",
        ),
        ("a call for the requirements agent", |s| call(s, 6).agent = Agent::Requirements, 6, "has no tools"),
        ("a build call while gate 2 is closed", |s| call(s, 6).agent = Agent::Build, 6, "gate 2 was not open"),
        (
            "gate 2 skipped",
            |s| {
                s.events.drain(10..12);
            },
            11,
            "gate 2 was not open",
        ),
        (
            "a new spec after gate 1",
            |s| {
                let request = crate::ledger::testing::requested().request;
                s.events.insert(4, s.events[1].clone());
                s.events[4].2 = filed(ArtifactKind::Spec, 2, &spec(), &[request]);
                s.events[4].0 = s.events[3].0;
            },
            6,
            "gate 1 was not open",
        ),
        (
            "a version left out",
            |s| {
                let Body::Filed(filed) = &mut s.events[1].2 else { panic!() };
                filed.version = 2;
            },
            2,
            "as version 2 after version 0",
        ),
        (
            "a design from another spec",
            |s| {
                let Body::Filed(filed) = &mut s.events[9].2 else { panic!() };
                filed.made_from.remove(0);
            },
            10,
            "without naming the current spec.yaml",
        ),
        ("an approval used that nobody gave", |s| answer(s, 12).calls.clear(), 15, "no unused approval"),
        (
            "an effect twice",
            |s| {
                let again = allowed(3, Agent::Build, act(), false);
                s.events.insert(16, (s.events[15].0, Actor::Program, Body::Allowed(Box::new(again))));
            },
            17,
            "what c2 had done",
        ),
        (
            "other arguments under an approved digest",
            |s| call(s, 15).args = serde_json::Map::from_iter([("vlan".to_owned(), json!(1))]).into(),
            15,
            "not the digest of its step, tool and arguments",
        ),
        (
            "another flow than the one that was approved",
            |s| {
                let flow = json!({"kind": "flow", "nodes": []});
                s.document(&flow);
                let Body::Filed(filed) = &mut s.events[13].2 else { panic!() };
                filed.digest = digest_of(&flow).unwrap();
            },
            14,
            "not the one that gate 2 was approved on",
        ),
        ("a call that was not offered", |s| answer(s, 12).calls.push(Digest::ZERO), 12, "was not offered"),
        (
            "a question of another engagement",
            |s| {
                let spec = digest_of(&spec()).unwrap();
                let request = s.document(&json!({"engagement": "zzzzz", "about": About::Gate1, "artifact": spec}));
                let Body::Asked(asked) = &mut s.events[2].2 else { panic!() };
                asked.request = request;
                answer(s, 4).request = request;
            },
            4,
            "a question of another engagement",
        ),
        (
            "a retry that approves what nobody did",
            |s| {
                let nodes = BTreeMap::from([("create-vlan/sw01".to_owned(), 2)]);
                s.tell(person("grace"), Body::Retried(Retried { nodes, calls: vec![Digest::ZERO] }));
            },
            21,
            "which nobody had given",
        ),
        (
            "an end that its record does not say",
            |s| {
                let Body::Closed(closed) = &mut s.events[19].2 else { panic!() };
                closed.outcome = crate::artifact::RecordOutcome::Failed;
            },
            20,
            "otherwise than its record says",
        ),
        ("an id twice", |s| call(s, 15).call = CallId::nth(1), 15, "the id of an earlier call"),
        (
            "an outcome of no call",
            |s| {
                s.events.remove(5);
            },
            6,
            "never allowed",
        ),
        ("a second outcome", |s| s.events.insert(7, s.events[6].clone()), 8, "a second outcome of c1"),
        (
            "going on after the end",
            |s| s.tell(Actor::Program, Body::Entered { phase: Phase::AsBuilt, reason: None }),
            21,
            "after the engagement was closed",
        ),
        (
            "retried by the program",
            |s| {
                let nodes = BTreeMap::from([("create-vlan/sw01".to_owned(), 2)]);
                s.tell(Actor::Program, Body::Retried(Retried { nodes, calls: Vec::new() }));
            },
            21,
            "not a person",
        ),
        (
            "cancelled by the program",
            |s| {
                s.events.truncate(5);
                s.tell(Actor::Program, Body::Cancelled { reason: "no".into() });
            },
            6,
            "not a person",
        ),
        ("begun twice", |s| s.events.insert(1, s.events[0].clone()), 2, "began before"),
        ("a clock that went back", |s| s.events[6].0 = s.events[0].0, 7, "earlier"),
        ("a request that is missing", |s| s.blobs.clear(), 1, "the request (sha256:"),
        (
            "an artifact that is missing",
            |s| {
                s.blobs.remove(&digest_of(&spec()).unwrap());
            },
            2,
            "spec.yaml, version 1",
        ),
        (
            "an artifact that was changed",
            |s| {
                s.blobs.insert(digest_of(&spec()).unwrap(), b"{}".to_vec());
            },
            2,
            "was changed",
        ),
        (
            "a result that was changed",
            |s| {
                s.blobs.insert(digest_of(&json!({"ok": true})).unwrap(), b"{}".to_vec());
            },
            16,
            "was changed",
        ),
    ];
    for (name, forge, place, says) in table {
        let mut story = Story::whole("k7m2q");
        forge(&mut story);
        let found = check(&story.bytes(), &story.blobs);
        let first = found.problems.first().unwrap_or_else(|| panic!("{name}: not found"));
        assert_eq!(first.seq, *place, "{name}: {:?}", found.problems);
        assert!(
            found.problems.iter().any(|problem| problem.seq == *place && problem.what.contains(says)),
            "{name}: {:?}",
            found.problems
        );
    }
}

fn answer(story: &mut Story, place: usize) -> &mut crate::engagement::Answered {
    let Body::Answered(answered) = &mut story.events[place - 1].2 else { panic!("event {place} is no answer") };
    answered
}

fn call(story: &mut Story, place: usize) -> &mut crate::engagement::CallAllowed {
    let Body::Allowed(allowed) = &mut story.events[place - 1].2 else { panic!("event {place} is no call") };
    allowed
}

#[test]
fn a_proof_is_the_programs_about_the_current_spec_and_as_its_report_says() {
    let told = |actor: Actor, of: &Value, report: Value, keep: bool| {
        let mut story = Story::whole("k7m2q");
        let proved = SpecProved {
            spec: digest_of(of).unwrap(),
            report: story.document(&report),
            solver: "cvc5 1.0.3".into(),
            verdict: Proven::Proven,
        };
        if !keep {
            story.blobs.remove(&proved.report);
        }
        story.events.insert(2, (story.events[2].0, actor, Body::Proved(proved)));
        let found = check(&story.bytes(), &story.blobs).problems;
        found.into_iter().map(|problem| (problem.seq, problem.what)).collect::<Vec<_>>()
    };
    let report = |of: &Value, solver: &str| json!({"spec": digest_of(of).unwrap(), "solver": solver});
    let (right, other) = (report(&spec(), "cvc5 1.0.3"), json!({"kind": "other"}));
    assert_eq!(told(Actor::Program, &spec(), right.clone(), true), []);
    let nothing_proven = json!({
        "kind": "proof_report", "spec": digest_of(&spec()).unwrap(), "solver": "cvc5 1.0.3", "grants": [],
        "decided_on": {"tools": Digest::ZERO, "inventory": Digest::ZERO, "people": Digest::ZERO, "policies": Digest::ZERO},
        "no_failures": {"verdict": "not_proven", "reason": "it was not asked"},
    });
    assert!(ProofReport::deserialize(&nothing_proven).is_ok(), "{:?}", ProofReport::deserialize(&nothing_proven));
    for (found, what) in [
        (told(Actor::Program, &spec(), nothing_proven, true), "does not bear out"),
        (told(Actor::Agent(Agent::Build), &spec(), right.clone(), true), "does not ask the solver"),
        (told(person("ada"), &spec(), right.clone(), true), "does not ask the solver"),
        (told(Actor::Program, &other, report(&other, "cvc5 1.0.3"), true), "about another spec"),
        (told(Actor::Program, &spec(), report(&other, "cvc5 1.0.3"), true), "does not bear out"),
        (told(Actor::Program, &spec(), report(&spec(), "cvc5 9"), true), "does not bear out"),
        (told(Actor::Program, &spec(), right, false), "the proof report about the spec"),
    ] {
        assert!(found.iter().any(|(_, said)| said.contains(what)), "{what}: {found:?}");
    }
}

#[test]
fn what_is_left_open_is_a_note_and_not_a_problem() {
    let mut story = Story::whole("k7m2q");
    story.events.truncate(15);
    story.blobs.remove(&digest_of(&json!({"vlans": [1, 20]})).unwrap());
    let verification = check(&story.bytes(), &story.blobs);
    assert!(verification.ok, "{:?}", verification.problems);
    let [left_out, unknown, _, _, fresh] = verification.notes.as_slice() else { panic!("{:?}", verification.notes) };
    assert!(left_out.starts_with("left out: the result of c1 (sha256:"), "{left_out}");
    assert_eq!(unknown, "unknown: c2 (step create-vlan/sw01) was allowed at 2026-12-01T12:00:14Z and has no outcome");
    assert_eq!(fresh, NOT_WITNESSED);
}

#[test]
fn a_call_whose_outcome_is_unknown_is_noted_with_what_its_step_came_to() {
    let mut story = Story::whole("k7m2q");
    let Body::Finished(finished) = &mut story.events[15].2 else { panic!() };
    (finished.outcome, finished.result) = (CallOutcome::Unknown, None);
    let verification = check(&story.bytes(), &story.blobs);
    let said = "c2 (step create-vlan/sw01) was allowed at 2026-12-01T12:00:14Z and has the outcome `unknown`; its step \
                was seen to be done";
    assert!(verification.notes.iter().any(|note| note.contains(said)), "{:?}", verification.notes);
}

#[test]
fn an_unknown_outcome_may_become_known() {
    let mut story = Story::whole("k7m2q");
    let unknown = CallFinished {
        call: CallId::nth(2),
        outcome: CallOutcome::Unknown,
        result: None,
        sealed: false,
        message: None,
    };
    story.events.insert(15, (story.events[14].0, Actor::Program, Body::Finished(unknown)));
    let Body::Finished(known) = &mut story.events[16].2 else { panic!() };
    known.message = Some("sent again: it answered from memory".into());
    let verification = check(&story.bytes(), &story.blobs);
    assert!(verification.ok, "{:?}", verification.problems);
}
