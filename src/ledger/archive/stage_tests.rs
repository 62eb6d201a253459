//! Trust stages in bundles: a question at a stage that was not in force is found.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    tests::{check, contents, said},
    *,
};
use crate::{
    artifact::{Blueprint, EngagementId, Spec, digest_bytes, digest_of, from_yaml},
    engagement::{Actor, Head, RequestDocument, Signed, TrustSet},
    facts::{Identity, IdentityMeans, Role, Scope},
    ledger::testing::{Story, armored, id, ledger, noon, signers},
};

/// Adds a stage that grace gave and signed to the chain of trust stages.
pub(super) fn trust(contents: &mut Contents, blueprint: Digest, environment: &str, stages: (u8, u8)) {
    trust_in(contents, &ledger(), blueprint, environment, stages);
}

/// The same for a ledger.
pub(super) fn trust_in(
    contents: &mut Contents,
    ledger: &LedgerId,
    blueprint: Digest,
    environment: &str,
    stages: (u8, u8),
) {
    trust_at(contents, ledger, Scope { blueprint, environment: environment.into() }, stages, noon());
}

/// The same at a time.
fn trust_at(contents: &mut Contents, ledger: &LedgerId, scope: Scope, (from, stage): (u8, u8), at: Timestamp) {
    let (seq, hash) = contents.trust.last().map_or((0, Digest::ZERO), |last| {
        let last = chain::read(last).unwrap();
        (last.seq, last.hash)
    });
    let (name, reason) = ("vlan".to_owned(), "it went well".to_owned());
    let set = TrustSet { scope, name, from, stage, role: Some(Role::Owner), reason, signature: None };
    let expires = at + SignedDuration::from_hours(1);
    let grace = Identity { name: "grace".into(), os_user: "grace".into(), means: IdentityMeans::Signed };
    let statement = TrustStatement::of(&set, ledger.clone(), &grace, Head { seq, hash }, expires);
    let armored = armored(1, &statement);
    let signed = Signed { statement, armored, signers: signers(1), at };
    let set = TrustSet { signature: Some(signed.check().unwrap()), ..set };
    let (actor, body) = (Actor::Person(grace), Body::TrustSet(set));
    let sealed = chain::seal(&EngagementId::trust(), seq + 1, at, actor, body, hash).unwrap();
    contents.trust.push(sealed.bytes);
    for document in [serde_json::to_value(&signed.statement).unwrap(), signed.signers.document()] {
        let bytes = canonical(&document).unwrap();
        contents.engagement.blobs.insert(digest_bytes(&bytes), bytes);
    }
}

/// What was requested from the shipped blueprint for names, and the spec that this gives.
fn from_blueprint() -> (RequestDocument, Spec) {
    let blueprint: Blueprint = from_yaml("dns", include_str!("../../../prompts/blueprints/dns.yaml")).unwrap();
    let given = json!({"name": "web01", "address": "192.0.2.10"});
    let inputs = blueprint.check_inputs(given.as_object().unwrap()).unwrap();
    let request = RequestDocument { blueprint: Some(blueprint), inputs, ..RequestDocument::default() };
    let spec = request.expansion(digest_of(&request).unwrap()).unwrap().unwrap();
    (request, spec)
}

/// A story whose gate 1 was asked at trust stage 2, for that blueprint in the lab and elsewhere; `change` changes the spec.
fn at_stage_2(environments: &[&str], change: impl FnOnce(&mut Spec)) -> Story {
    let mut story = Story::whole("k7m2q");
    story.events.truncate(4);
    let (request, mut spec) = from_blueprint();
    change(&mut spec);
    let (title, name) = (request.title().unwrap(), request.blueprint.as_ref().unwrap().name.clone());
    let request = story.document(&json!(request));
    let Body::Requested(requested) = &mut story.events[0].2 else { panic!() };
    (requested.request, requested.title, requested.blueprint) = (request, title, Some(name));
    let artifact = story.document(&json!(spec));
    let Body::Filed(filed) = &mut story.events[1].2 else { panic!() };
    (filed.digest, filed.made_from) = (artifact, vec![request]);
    story.events[1].1 = crate::ledger::testing::person("ada");
    let asked = story.document(&json!({
        "engagement": id("k7m2q"), "about": "gate1", "artifact": artifact,
        "standing": {"stage": 2}, "facts": {"environments": environments},
    }));
    story.asked().request = asked;
    story.asked().stage = 2;
    story.answered().request = asked;
    story.signed(1)
}

#[test]
fn a_trust_stage_that_was_never_given_is_found() {
    let blueprint = digest_of(&from_blueprint().0.blueprint).unwrap();
    let verified_of = |story: &Story, give: &dyn Fn(&mut Contents)| {
        let mut contents = contents(story);
        give(&mut contents);
        said(&check(&contents.pack().unwrap()))
    };
    let verified = |give: &dyn Fn(&mut Contents)| verified_of(&at_stage_2(&["lab"], |_| ()), give);
    // Each environment that is reached must have been trusted, and the spec is what was trusted.
    let reached = at_stage_2(&["lab", "production"], |_| ());
    let in_the_lab = |contents: &mut Contents| trust(contents, blueprint, "lab", (1, 2));
    let everywhere = |contents: &mut Contents| {
        trust(contents, blueprint, "lab", (1, 2));
        trust(contents, blueprint, "production", (1, 2));
    };
    assert_eq!(verified_of(&reached, &everywhere), Vec::<String>::new());
    let found = verified_of(&reached, &in_the_lab);
    assert!(found.len() == 1 && found[0].contains("never gave"), "{found:?}");
    assert_eq!(verified_of(&at_stage_2(&[], |_| ()), &everywhere).len(), 1, "a question that reaches nothing");
    let edited = at_stage_2(&["lab"], |spec| spec.title = "another".into());
    let found = verified_of(&edited, &in_the_lab);
    assert!(found.len() == 1 && found[0].contains("not what its blueprint gives"), "{found:?}");
    assert_eq!(verified(&|contents| trust(contents, blueprint, "lab", (1, 2))), Vec::<String>::new());
    // What was given once and taken back may have been asked at while it was given.
    let since = |contents: &mut Contents| {
        trust(contents, blueprint, "lab", (1, 3));
        trust(contents, blueprint, "lab", (3, 1));
    };
    assert_eq!(verified(&since), Vec::<String>::new());
    let never: [&dyn Fn(&mut Contents); 4] = [
        &|_| {},
        &|contents| trust(contents, Digest::ZERO, "lab", (1, 2)),
        &|contents| trust(contents, blueprint, "production", (1, 2)),
        &|contents| trust(contents, blueprint, "lab", (1, 1)),
    ];
    for give in never {
        let found = verified(give);
        assert!(found.len() == 1 && found[0].starts_with("event 3 (events.jsonl): "), "{found:?}");
        assert!(found[0].contains("at trust stage 2"), "{found:?}");
    }
    // A chain that does not hold gives nothing from there on.
    let broken = verified(&|contents| {
        trust(contents, Digest::ZERO, "lab", (1, 2));
        trust(contents, blueprint, "lab", (1, 2));
        contents.trust.swap(0, 1);
    });
    assert!(broken.iter().any(|line| line.starts_with("event 1 (trust/events.jsonl): ")), "{broken:?}");
    assert!(broken.iter().any(|line| line.starts_with("event 3 (events.jsonl): ")), "{broken:?}");
}

#[test]
fn a_change_that_says_it_ran_at_a_trust_stage_that_was_never_given_is_found() {
    let mut story = Story::whole("k7m2q");
    let basis = story.document(&json!({"standing": {"stage": 2}}));
    for (.., body) in &mut story.events {
        match body {
            Body::Allowed(act) if act.approved => {
                (act.decided_on, act.counts, act.approved) =
                    (basis, act.purpose.node().map(ToString::to_string), false);
            }
            Body::Answered(answered) => answered.calls.clear(),
            _ => {}
        }
    }
    story.reconcile();
    let found = said(&check(&contents(&story).pack().unwrap()));
    assert!(
        found.len() == 1 && found[0].contains("c2 allowed as a change at trust stage 2, which the chain"),
        "{found:?}"
    );
}

#[test]
fn a_trust_stage_that_was_given_later_or_taken_back_before_is_found_where_the_clocks_cannot_explain_it() {
    let blueprint = digest_of(&from_blueprint().0.blueprint).unwrap();
    let story = at_stage_2(&["lab"], |_| ());
    let hours = |hours: i64| story.events[2].0 + SignedDuration::from_hours(hours);
    let found = |stages: &[((u8, u8), i64)]| {
        let mut contents = contents(&story);
        for (stages, at) in stages {
            let scope = Scope { blueprint, environment: "lab".into() };
            trust_at(&mut contents, &ledger(), scope, *stages, hours(*at));
        }
        said(&check(&contents.pack().unwrap()))
    };
    let (given, raised, taken) = ((1, 2), (2, 3), (2, 1));
    // A clock that went back an hour, and one that went forward a day and came back.
    for good in [
        vec![(given, -9_000)],
        vec![(given, 1)],
        vec![(given, 25)],
        vec![(given, -100), (taken, -25)],
        vec![(given, -100), (taken, -50), (given, -30)],
        vec![(given, -100), (raised, -50)],
        vec![(given, -100), (taken, 50)],
    ] {
        assert_eq!(found(&good), Vec::<String>::new(), "{good:?}");
    }
    let taken_back = "the chain of trust stages took back at 2026-11-30T10:00:02Z";
    for (bad, what) in [
        (vec![(given, 26)], "which the chain of trust stages gave its blueprint at 2026-12-02T14:00:02Z"),
        (vec![(given, -100), (taken, -26)], taken_back),
        (vec![(given, -100), (taken, -26), (given, 30)], " and gave its blueprint at 2026-12-02T18:00:02Z"),
    ] {
        let found = found(&bad);
        assert!(found.len() == 1 && found[0].starts_with("event 3 (events.jsonl): "), "{bad:?}: {found:?}");
        assert!(found[0].contains(what), "{bad:?}: {found:?}");
    }
}

#[test]
fn what_rests_on_a_trust_stage_is_witnessed_only_with_the_chain_of_stages() {
    use crate::ledger::{Freshness, archive::log_tests::under_one_checkpoint};
    let blueprint = digest_of(&from_blueprint().0.blueprint).unwrap();
    let witnessed = |shown: u64, whole: bool| {
        let mut contents = contents(&at_stage_2(&["lab"], |_| ()));
        trust(&mut contents, blueprint, "lab", (1, 2));
        let published = under_one_checkpoint(&mut contents, shown);
        if !whole {
            contents.log.remove(LEAVES);
        }
        let found = verify_bundle(&contents.pack().unwrap(), None, &[published]);
        (found.freshness != Freshness::NotWitnessed, found.notes, found.uncovered)
    };
    // Before an answer nothing rests on it, and the log has nothing of the engagement.
    let mut asked = at_stage_2(&["lab"], |_| ());
    asked.events.truncate(3);
    let mut asked = contents(&asked);
    trust(&mut asked, blueprint, "lab", (1, 2));
    let keys = crate::ledger::testing::history(&[1]);
    asked.log.insert(crate::ledger::PUBLIC_KEYS.into(), keys.text().as_bytes().to_vec());
    let found = verify_bundle(&asked.pack().unwrap(), None, &[]);
    let trusted = |problem: &Problem| !problem.what.contains("no stage was taken back");
    assert!(found.ok && found.uncovered.iter().all(trusted), "{found:?}");
    let (covered, notes, uncovered) = witnessed(1, true);
    assert!(covered && uncovered.is_empty(), "{notes:?} {uncovered:?}");
    for (shown, whole) in [(0, true), (1, false)] {
        let (covered, notes, uncovered) = witnessed(shown, whole);
        // Nor does the ledger's key vouch for it.
        assert!(uncovered.len() == 1 && uncovered[0].what.contains("no stage was taken back"), "{uncovered:?}");
        assert!(!covered && notes.iter().any(|note| note.contains("no stage was taken back")), "{notes:?}");
    }
}
