//! What events name: whether it is a document at all, sealed as the engagement seals, and how much is said of what is not.

use super::*;
use crate::{
    artifact::{ArtifactKind, digest_bytes},
    ledger::testing::Story,
};

fn check(story: &Story) -> Verification {
    verify(&story.bytes(), &story.blobs)
}

/// The places of the events of a kind.
fn places(story: &Story, is: impl Fn(&Body) -> bool) -> Vec<usize> {
    (0..story.events.len()).filter(|at| is(&story.events[*at].2)).collect()
}

#[test]
fn what_an_event_names_is_a_document_as_it_is_written_or_wrong() {
    let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
    for bytes in [
        &b"no JSON"[..],
        b"",
        b"\x00",
        b"{\"a\": 1}",
        b"{\"a\":1,\"a\":2}",
        b"{\"b\":1,\"a\":2}",
        b"1.0",
        b"1\n",
        &deep,
    ] {
        let digest = digest_bytes(bytes);
        for what in ["the result", "the approval request", "what c1 was decided on", "spec.yaml"] {
            let mut story = Story::whole("k7m2q");
            story.blobs.insert(digest, bytes.to_vec());
            let of = |body: &mut Body| match (what, body) {
                ("the result", Body::Finished(finished)) => finished.result = Some(digest),
                ("the approval request", Body::Asked(asked)) => asked.request = digest,
                ("what c1 was decided on", Body::Allowed(allowed)) => allowed.decided_on = digest,
                ("spec.yaml", Body::Filed(filed)) if filed.artifact == ArtifactKind::Spec => filed.digest = digest,
                _ => {}
            };
            story.events.iter_mut().for_each(|event| of(&mut event.2));
            let found = check(&story).problems;
            let told = |problem: &Problem| {
                problem.what.starts_with(what) && problem.what.ends_with("is no JSON document in canonical form")
            };
            assert!(found.iter().any(told), "{what}, {bytes:?}: {found:?}");
        }
    }
}

#[test]
fn a_result_that_is_sealed_otherwise_than_the_engagement_began_is_wrong() {
    let mut story = Story::whole("k7m2q");
    let at = places(&story, |body| matches!(body, Body::Finished(finished) if finished.result.is_some()))[0];
    let Body::Finished(finished) = &mut story.events[at].2 else { unreachable!() };
    finished.sealed = true;
    let found = check(&story).problems;
    let told = |problem: &Problem| problem.what.contains("is sealed, and the engagement began otherwise");
    assert!(found.iter().any(told), "{found:?}");
}

#[test]
fn an_answer_of_somebody_whom_an_earlier_question_barred_is_told() {
    let mut story = Story::whole("k7m2q");
    let first = places(&story, |body| matches!(body, Body::Asked(_)))[0];
    let Body::Asked(asked) = &mut story.events[first].2 else { unreachable!() };
    asked.barred.insert("grace".into());
    let notes = check(&story).notes;
    let told = |note: &String| note.starts_with("by somebody whom an earlier question barred from it: 2 answers");
    assert!(notes.iter().any(told), "{notes:?}");
}

#[test]
fn an_approval_from_the_account_that_asked_is_told_where_duties_are_apart() {
    for (apart, told) in
        [(true, "FROM THE ACCOUNT THAT ASKED, where nobody approves their own work: 2 approvals"), (false, "")]
    {
        let mut story = Story::whole("k7m2q");
        let Actor::Person(Identity { os_user, name, .. }) = story.events[0].1.clone() else { unreachable!() };
        for (_, actor, body) in &mut story.events {
            match (body, actor) {
                (Body::Asked(asked), _) if apart => drop(asked.barred.insert(name.clone())),
                (Body::Answered(_), Actor::Person(who)) => {
                    assert_ne!(who.name, name);
                    who.os_user.clone_from(&os_user);
                }
                _ => {}
            }
        }
        let notes = check(&story).notes;
        let found = notes.iter().find(|note| note.starts_with("FROM THE ACCOUNT"));
        assert_eq!(found.is_some_and(|note| note.starts_with(told)), apart, "{notes:?}");
    }
}

#[test]
fn as_many_problems_are_kept_as_anybody_reads() {
    let mut story = Story::whole("k7m2q");
    let asked = places(&story, |body| matches!(body, Body::Asked(_)))[0];
    let again = story.events[asked].clone();
    story.events.splice(asked..asked, std::iter::repeat_n(again, 3_000));
    story.blobs.clear();
    let problems = check(&story).problems;
    assert_eq!(problems.len(), 1_001);
    assert!(problems[1_000].what.ends_with("more problems"), "{:?}", problems[1_000]);
}
