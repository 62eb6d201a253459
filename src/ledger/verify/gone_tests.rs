//! Sealed documents that are missing: redacted, left out, or lost.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{
    artifact::{CallId, RecordOutcome},
    engagement::{Arguments, Closed, Redacted, RedactionStatement, Retried, Seal, Signed, call_digest, sealing_key},
    facts::{Identity, IdentityMeans, Role},
    ledger::testing::{Story, armored, person, signers},
};

const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// The story of [`Story::whole`] in an engagement that seals.
fn sealed() -> Story {
    let mut story = Story::whole("k7m2q");
    let key = story.document(&sealing_key([7; 32]));
    let id = story.id.clone();
    let mut digests = BTreeMap::new();
    let seal = Seal::Key(KEY);
    let mut documents = Vec::new();
    for (_, _, body) in &mut story.events {
        match body {
            Body::Requested(requested) => requested.seal = Some(key),
            Body::Allowed(allowed) => {
                let Arguments::Plain(args) = allowed.args.clone() else { panic!() };
                let (args, document) = seal.arguments(allowed.purpose.node(), allowed.tool.as_str(), &args).unwrap();
                let digest = call_digest(&id, allowed.purpose.node(), allowed.tool.as_str(), &args).unwrap();
                digests.insert(allowed.digest, digest);
                (allowed.args, allowed.digest) = (args, digest);
                documents.extend(document);
            }
            Body::Finished(finished) => {
                let plain = finished.result.take().unwrap();
                let value = serde_json::from_slice(&story.blobs[&plain]).unwrap();
                let result = seal.result(&finished.call, &value).unwrap();
                (finished.result, finished.sealed) = (Some(result.document.digest()), true);
                documents.push(result.document);
                story.blobs.remove(&plain);
            }
            _ => {}
        }
    }
    story.blobs.extend(documents.iter().map(|document| (document.digest(), document.bytes().to_vec())));
    // The approval of gate 2 names the call by its digest.
    let offered: Vec<Digest> = digests.values().copied().collect();
    let (mut old, mut new) = (None, None);
    for (_, _, body) in &mut story.events {
        match body {
            Body::Asked(asked) if asked.about == crate::engagement::About::Gate2 => {
                let mut request: Value = serde_json::from_slice(&story.blobs[&asked.request]).unwrap();
                request["calls"] = json!(offered);
                let digest = crate::artifact::digest_of(&request).unwrap();
                (old, new) = (Some(asked.request), Some(request));
                asked.request = digest;
            }
            Body::Answered(answered) if answered.about == crate::engagement::About::Gate2 => {
                answered.request = crate::artifact::digest_of(new.as_ref().unwrap()).unwrap();
                answered.calls.iter_mut().for_each(|call| *call = digests[&*call]);
            }
            _ => {}
        }
    }
    story.blobs.remove(&old.unwrap());
    story.document(&new.unwrap());
    story
}

fn state(story: &Story) -> State {
    let sealed = story.sealed();
    State::replay(sealed.iter().map(|sealed| &sealed.event)).unwrap()
}

/// Redacts the first call, and destroys nothing yet.
fn told(story: &mut Story) -> Redacted {
    let state = state(story);
    let call = CallId::nth(1);
    let scope = state.redaction_of(&[call.clone()].into()).unwrap();
    let people = json!({
        "kind": "people",
        "people": [{"name": "ada", "roles": ["owner"]}, {"name": "grace", "roles": ["owner"]}, {"name": "eve", "roles": ["requester"]}],
    });
    let people: crate::facts::People = serde_json::from_value(people).unwrap();
    let people = story.document(&serde_json::to_value(&people).unwrap());
    let redacted = Redacted {
        calls: vec![call],
        destroyed: scope.documents.into_iter().chain(state.requested.seal).collect(),
        reason: "a customer's name".into(),
        role: Role::Owner,
        people,
        people_kept: true,
        signature: None,
    };
    story.tell(person("ada"), Body::Redacted(redacted.clone()));
    redacted
}

fn destroyed(story: &mut Story, redacted: &Redacted) {
    story.blobs.retain(|digest, _| !redacted.destroyed.contains(digest));
}

fn check(story: &Story) -> Verification {
    verify(&story.bytes(), &story.blobs)
}

fn whats(verification: &Verification) -> String {
    let said: Vec<String> = verification.problems.iter().map(ToString::to_string).collect();
    said.join("\n")
}

#[test]
fn what_was_redacted_is_said_with_its_place_and_the_chain_stays_valid() {
    let mut story = sealed();
    assert!(check(&story).ok, "{}", whats(&check(&story)));
    let redacted = told(&mut story);
    destroyed(&mut story, &redacted);
    let found = check(&story);
    assert!(found.ok, "{}", whats(&found));
    let said = "redacted at event 21, by ada (asserted, OS user ada) in the role owner (a customer's name): \
                the arguments of c1 (event 6), the result of c1 (event 7)";
    assert!(found.notes.iter().any(|note| note == said), "{:#?}", found.notes);
}

#[test]
fn a_redaction_is_by_somebody_who_could_by_the_people_of_then() {
    let mut story = sealed();
    let redacted = told(&mut story);
    destroyed(&mut story, &redacted);
    let last = story.events.len() - 1;
    for (name, role, says) in [
        ("eve", Role::Owner, "redacted by eve in the role owner, which they did not have"),
        ("nobody", Role::Owner, "redacted by nobody in the role owner"),
        ("ada", Role::Approver, "redacted in the role approver, and it needs owner"),
    ] {
        let mut story = story.clone();
        let at = story.events[last].0;
        story.events[last] = (at, person(name), Body::Redacted(Redacted { role, ..redacted.clone() }));
        assert!(whats(&check(&story)).contains(says), "{}", whats(&check(&story)));
    }
    story.blobs.remove(&redacted.people);
    assert!(whats(&check(&story)).contains("the people of the redaction"), "{}", whats(&check(&story)));
    // Of one of before nothing lies beside it, and that is said.
    let (at, by, _) = story.events[last].clone();
    story.events[last] = (at, by, Body::Redacted(Redacted { people_kept: false, ..redacted }));
    let found = check(&story);
    assert!(found.ok, "{}", whats(&found));
    assert!(found.notes.iter().any(|note| note.contains("taken as told")), "{:?}", found.notes);
}

#[test]
fn what_nobody_redacted_is_missing() {
    let mut story = sealed();
    let redacted = told(&mut story);
    destroyed(&mut story, &redacted);
    // The event that excuses it is gone.
    story.events.pop();
    let found = check(&story);
    assert_eq!(found.problems.len(), 1, "{}", whats(&found));
    assert!(whats(&found).starts_with("event 6: the arguments of c1 (sha256:"), "{}", whats(&found));
    // A result may be left out, as ever, and that is another word.
    assert!(found.notes.iter().any(|note| note.starts_with("left out: the result of c1")), "{:?}", found.notes);
}

#[test]
fn a_redaction_excuses_nothing_but_what_was_sealed() {
    type Change = fn(&mut Story, &mut Redacted);
    let table: &[(&str, Change, &str)] = &[
        ("nothing was destroyed", |_, _| {}, "was destroyed, and it is here"),
        (
            "the spec",
            |story, redacted| {
                redacted.destroyed.push(state(story).artifact(crate::artifact::ArtifactKind::Spec).unwrap());
                destroyed(story, redacted);
            },
            "which is neither sealed here nor the key",
        ),
        (
            "the arguments of another call are gone too",
            |story, redacted| {
                destroyed(story, redacted);
                let other = state(story).calls[&CallId::nth(2)].args.sealed().unwrap();
                story.blobs.remove(&other);
            },
            "event 15: the arguments of c2 (sha256:",
        ),
        (
            "a call that is none",
            |story, redacted| {
                redacted.calls.push(CallId::nth(9));
                destroyed(story, redacted);
            },
            "redacted c9, which is no call",
        ),
        (
            "while it was open",
            |story, redacted| {
                let closed = story.events.len() - 2;
                story.events.remove(closed);
                destroyed(story, redacted);
            },
            "redacted before the engagement was closed",
        ),
        (
            "not by a person",
            |story, redacted| {
                story.events.last_mut().unwrap().1 = Actor::Program;
                destroyed(story, redacted);
            },
            "redacted by countersign, which is not a person",
        ),
        (
            "and then tried again",
            |story, redacted| {
                destroyed(story, redacted);
                let nodes = BTreeMap::from([("create-vlan/sw01".to_owned(), 2)]);
                story.tell(person("grace"), Body::Retried(Retried { nodes, calls: Vec::new() }));
            },
            "tried again after it was redacted",
        ),
        (
            "and something else after it",
            |story, redacted| {
                destroyed(story, redacted);
                let closed = Closed { outcome: RecordOutcome::Done, reason: "again".into() };
                story.tell(Actor::Program, Body::Closed(closed));
            },
            "after the engagement was closed",
        ),
    ];
    for (name, change, what) in table {
        let mut story = sealed();
        let mut redacted = told(&mut story);
        change(&mut story, &mut redacted);
        let at = story.events.iter().position(|(_, _, body)| matches!(body, Body::Redacted(_))).unwrap();
        story.events[at].2 = Body::Redacted(redacted);
        let found = check(&story);
        assert!(whats(&found).contains(what), "{name}: {}", whats(&found));
    }
}

#[test]
fn a_signed_redaction_is_of_exactly_that_by_exactly_them() {
    let mut story = sealed();
    let before = state(&story);
    let mut redacted = told(&mut story);
    let at = story.events.last().unwrap().0;
    let expires = at + jiff::SignedDuration::from_hours(1);
    let grace = Identity { name: "grace".into(), os_user: "grace".into(), means: IdentityMeans::Signed };
    let statement = RedactionStatement::of(&before, &redacted, &grace, expires);
    let armored = armored(3, &statement);
    let signed = Signed { statement, armored, signers: signers(3), at };
    redacted.signature = Some(signed.check().unwrap());
    destroyed(&mut story, &redacted);
    story.document(&serde_json::to_value(&signed.statement).unwrap());
    story.document(&signed.signers.document());
    let by =
        |name: &str| Actor::Person(Identity { name: name.into(), os_user: name.into(), means: IdentityMeans::Signed });
    let last = story.events.len() - 1;
    story.events[last] = (at, by("grace"), Body::Redacted(redacted.clone()));
    assert!(check(&story).ok, "{}", whats(&check(&story)));
    for (who, other) in [
        ("ada", redacted.clone()),
        ("grace", Redacted { reason: "another".into(), ..redacted.clone() }),
        ("grace", Redacted { calls: vec![CallId::nth(2)], ..redacted.clone() }),
        ("grace", Redacted { role: Role::Approver, ..redacted.clone() }),
    ] {
        let mut story = story.clone();
        story.events[last] = (at, by(who), Body::Redacted(other));
        assert!(whats(&check(&story)).contains("signature that does not hold"), "{}", whats(&check(&story)));
    }
    let mut elsewhere = story.clone();
    let account = Identity { os_user: "root".into(), ..grace };
    elsewhere.events[last] = (at, Actor::Person(account), Body::Redacted(redacted.clone()));
    assert!(whats(&check(&elsewhere)).contains("another redaction, person, account"), "{}", whats(&check(&elsewhere)));
    let mut story = story.clone();
    story.events[last] = (at, by("grace"), Body::Redacted(Redacted { signature: None, ..redacted }));
    assert!(whats(&check(&story)).contains("said to be signed, without a signature"), "{}", whats(&check(&story)));
}

#[test]
fn arguments_are_sealed_as_the_engagement_began_and_as_arguments() {
    let call = |story: &mut Story, change: &dyn Fn(&mut crate::engagement::CallAllowed)| {
        let found = story.events.iter_mut().find_map(|(_, _, body)| match body {
            Body::Allowed(allowed) => Some(allowed),
            _ => None,
        });
        change(found.unwrap());
    };
    let mut story = sealed();
    call(&mut story, &|allowed| allowed.args = serde_json::Map::new().into());
    assert!(whats(&check(&story)).contains("c1 with its arguments in plain"), "{}", whats(&check(&story)));
    let mut story = sealed();
    let other = story.document(&json!({"salt": Digest::ZERO, "value": [1]}));
    call(&mut story, &|allowed| allowed.args = Arguments::Sealed(other));
    let found = whats(&check(&story));
    assert!(found.contains("the arguments of c1 are sealed as something else"), "{found}");
    assert!(found.contains("not the digest of its step, tool and arguments"), "{found}");
}
