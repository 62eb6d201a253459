use jiff::SignedDuration;
use serde_json::json;

use crate::{
    artifact::Digest,
    engagement::{Actor, Answer, Answered, Asked, Signature},
    facts::{AllowedSigners, Identity, IdentityMeans},
    ledger::{
        testing::{Story, id, signers},
        verify::{Verification, verify_against},
    },
};

fn asked(story: &mut Story) -> &mut Asked {
    story.asked()
}

fn answered(story: &mut Story) -> &mut Answered {
    story.answered()
}

fn signature(story: &mut Story) -> &mut Signature {
    answered(story).signature.as_mut().unwrap()
}

fn by(name: &str, means: IdentityMeans) -> Actor {
    Actor::Person(Identity { name: name.into(), os_user: name.into(), means })
}

/// A story whose gate 1 needs a signature, signed by grace with the key of this seed.
fn signed(seed: u8) -> Story {
    Story::whole("k7m2q").signed(seed)
}

fn check(story: &Story, own: Option<&AllowedSigners>) -> Verification {
    verify_against(&story.bytes(), &story.blobs, own)
}

#[test]
fn a_signed_answer_verifies_and_says_whose_key_it_was() {
    let found = check(&signed(1), None);
    assert_eq!(found.problems, []);
    let note = found.notes.iter().find(|note| note.starts_with("signed: gate 1")).unwrap();
    assert!(note.contains("by grace") && note.contains("SHA256:"), "{note}");
    // Gate 2 of this story was answered on a name: against signers of one's own that is no yes.
    let own = check(&signed(1), Some(&signers(1))).problems;
    assert!(own.len() == 1 && own[0].what.contains("gate 2") && own[0].what.contains("none of the signers"), "{own:?}");
    // Whoever may write the ledger can bring a key and a line of their own; whoever verifies brings the right ones.
    let forged = check(&signed(9), None);
    assert!(forged.ok);
    let held = check(&signed(9), Some(&signers(1)));
    assert!(held.problems[0].seq == 4 && held.problems[0].what.contains("no line for `grace`"), "{held:?}");
}

#[test]
fn whatever_is_done_to_a_signed_answer_is_found_where_it_was_done() {
    type Forge = fn(&mut Story);
    let table: &[(&str, Forge, u64, &str)] = &[
        (
            "without its signature",
            |s| {
                answered(s).signature = None;
                s.events[3].1 = by("grace", IdentityMeans::Asserted);
            },
            4,
            "on a name alone",
        ),
        ("without its signature, said to be signed", |s| answered(s).signature = None, 4, "without a signature"),
        ("said to be asserted", |s| s.events[3].1 = by("grace", IdentityMeans::Asserted), 4, "with a signature"),
        ("in another's name", |s| s.events[3].1 = by("eve", IdentityMeans::Signed), 4, "another person"),
        (
            "from another account",
            |s| {
                let Actor::Person(grace) = &mut s.events[3].1 else { panic!() };
                grace.os_user = "x".into();
            },
            4,
            "another operating-system user",
        ),
        ("another answer", |s| answered(s).answer = Answer::Reject, 4, "another answer"),
        ("a reason put in", |s| answered(s).reason = Some("x".into()), 4, "another reason"),
        ("a longer life", |s| answered(s).expires = None, 4, "another expiry"),
        ("a higher role", |s| answered(s).role = crate::facts::Role::Approver, 4, "another role"),
        ("moved to another engagement", |s| s.id = id("aaaaa"), 4, "another engagement"),
        ("asked anew", |s| asked(s).once.as_mut().unwrap().nonce = "b".repeat(32).parse().unwrap(), 4, "asking"),
        (
            "in another ledger",
            |s| asked(s).once.as_mut().unwrap().ledger = "1".repeat(32).parse().unwrap(),
            4,
            "another ledger",
        ),
        ("no longer to be signed", |s| asked(s).signed = false, 4, "another place in the chain"),
        ("after another past", |s| s.events[0].0 -= SignedDuration::from_secs(9), 4, "another place in the chain"),
        ("after it ended", |s| (3..20).for_each(|n| s.events[n].0 += SignedDuration::from_hours(73)), 4, "good until"),
        ("another key's name", |s| signature(s).key = "SHA256:x".into(), 4, "not the one that the event says"),
        ("no signature at all", |s| signature(s).armored = "yes".into(), 4, "no SSH signature"),
        (
            "the statement gone",
            |s| {
                let gone = signature(s).statement;
                s.blobs.remove(&gone);
            },
            4,
            "is missing",
        ),
        (
            "the signers swapped",
            |s| {
                let eve = s.document(&signers(9).document());
                signature(s).signers = eve;
            },
            4,
            "no line for `grace`",
        ),
        (
            "signers with more in them",
            |s| {
                let mut document = signers(1).document();
                document["more"] = json!(1);
                let more = s.document(&document);
                signature(s).signers = more;
            },
            4,
            "more in it",
        ),
        (
            "signers that are none",
            |s| {
                let none = s.document(&json!({"kind": "allowed_signers", "text": "* ssh-ed25519 AAAA"}));
                signature(s).signers = none;
            },
            4,
            "is missing or was changed",
        ),
    ];
    for (name, forge, place, says) in table {
        let mut story = signed(1);
        forge(&mut story);
        let found = check(&story, None);
        assert!(
            found.problems.iter().any(|problem| problem.seq == *place && problem.what.contains(says)),
            "{name}: {:?}",
            found.problems
        );
        assert_eq!(found.problems[0].seq, *place, "{name}: {:?}", found.problems);
    }
}

#[test]
fn a_question_says_of_signatures_what_its_request_says() {
    let mut story = Story::whole("k7m2q");
    let request = json!({"engagement": "k7m2q", "about": "gate1", "signature_because": ["it reaches production"]});
    let digest: Digest = story.document(&request);
    asked(&mut story).request = digest;
    let found = check(&story, None);
    let said = |problem: &crate::ledger::Problem| problem.seq == 3 && problem.what.contains("need of a signature");
    assert!(found.problems.iter().any(said), "{:?}", found.problems);
}

#[test]
fn a_question_that_needs_less_than_gate_1_did_is_found() {
    let found = |gate: serde_json::Value, now: serde_json::Value| {
        let mut story = Story::whole("k7m2q");
        let same = |about: &str, more: &serde_json::Value| {
            let mut request = json!({
                "engagement": "k7m2q", "about": about, "decided_on": {"people": Digest::ZERO},
                "facts": {"environments": ["production"], "unlisted_targets": false}, "standing": {"stage": 1},
            });
            for (name, value) in more.as_object().unwrap() {
                request[name] = value.clone();
            }
            request
        };
        for (at, about, more) in [(2, "gate1", &gate), (10, "gate2", &now)] {
            let request = story.document(&same(about, more));
            let crate::engagement::Body::Asked(asked) = &mut story.events[at].2 else { panic!() };
            asked.request = request;
            let crate::engagement::Body::Answered(answered) = &mut story.events[at + 1].2 else { panic!() };
            answered.request = request;
        }
        let verification = super::verify(&story.bytes(), &story.blobs);
        verification.problems.iter().any(|problem| problem.what.contains("where gate 1 needed a signature"))
    };
    let needs = json!({"signature_because": ["it reaches production"]});
    assert!(found(needs.clone(), json!({})));
    for other in [
        json!({"decided_on": {"people": "sha256:1"}}),
        json!({"facts": {"environments": ["lab"], "unlisted_targets": false}}),
        json!({"facts": {"environments": ["production"], "unlisted_targets": true}}),
    ] {
        assert!(!found(needs.clone(), other.clone()), "{other}");
    }
    assert!(!found(json!({}), json!({})));
}
