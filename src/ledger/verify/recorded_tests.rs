//! Records that do not follow from their chain, in chains whose every link holds, each with what is found and where.

use serde_json::json;

use super::*;
use crate::{
    artifact::{Phase, ReconciledRecord, RecordOutcome, TargetOutcome},
    ledger::testing::{Story, person},
};

/// The places of the events.
const AS_BUILT: usize = 17;
const RECORD: usize = 18;
const CLOSED: usize = 19;

fn record(story: &Story) -> ReconciledRecord {
    let Body::Filed(filed) = &story.events[RECORD].2 else { panic!() };
    serde_json::from_slice(&story.blobs[&filed.digest]).unwrap()
}

fn change(story: &mut Story, change: impl FnOnce(&mut ReconciledRecord)) {
    let mut record = record(story);
    change(&mut record);
    story.record(RECORD, &record);
}

fn check(story: &Story) -> Verification {
    verify(&story.bytes(), &story.blobs)
}

#[test]
fn a_record_that_does_not_follow_from_its_chain_is_found_where_it_was_filed() {
    type Forge = fn(&mut Story);
    let table: &[(&str, Forge, usize, &str)] = &[
        (
            "another outcome",
            |s| change(s, |record| record.outcome = RecordOutcome::PartlyDone),
            RECORD,
            "it ended as `partly_done`, and what it says itself comes to `done`",
        ),
        (
            "a step that was not done",
            |s| change(s, |record| record.steps[0].outcome = TargetOutcome::NotRun),
            RECORD,
            "step create-vlan/sw01 not_run, which the chain does not show",
        ),
        ("a target", |s| change(s, |record| record.targets[0].target = "sw02".into()), RECORD, "of its targets"),
        ("no evidence", |s| change(s, |record| record.steps[0].calls.clear()), RECORD, "cites other calls"),
        ("a count", |s| change(s, |record| record.totals.calls = 1), RECORD, "1 calls that ran, and the chain 2"),
        ("an approval", |s| change(s, |record| record.totals.approvals = 3), RECORD, "3 approvals, and the chain 2"),
        ("a design", |s| change(s, |record| record.design = None), RECORD, "another solution.design"),
        ("by a person", |s| s.events[RECORD].1 = person("ada"), RECORD, "which does not reconcile"),
        (
            "in the build",
            |s| s.events[AS_BUILT].2 = Body::Entered { phase: Phase::Build, reason: None },
            RECORD,
            "reconciled.record filed in the build phase",
        ),
        (
            "something else",
            |s| {
                let other = s.document(&json!({"kind": "record", "outcome": "done"}));
                let Body::Filed(filed) = &mut s.events[RECORD].2 else { panic!() };
                filed.digest = other;
            },
            RECORD,
            "that cannot be read",
        ),
        (
            "a flow that is none",
            |s| {
                let Body::Filed(filed) = s.events[13].2.clone() else { panic!() };
                s.blobs.insert(filed.digest, b"{}".to_vec());
            },
            RECORD,
            "it rests on automation.flow, which is not there or cannot be read",
        ),
        (
            "an end of its own",
            |s| {
                let Body::Closed(closed) = &mut s.events[CLOSED].2 else { panic!() };
                closed.reason = "all went well".into();
            },
            CLOSED,
            "for another reason than its record says",
        ),
        (
            "an end without a record",
            |s| {
                s.events.remove(RECORD);
            },
            RECORD,
            "closed without the record that this end has",
        ),
    ];
    assert_eq!(check(&Story::whole("k7m2q")).problems, []);
    for (name, forge, at, what) in table {
        let mut story = Story::whole("k7m2q");
        forge(&mut story);
        let found = check(&story).problems;
        let here = |problem: &&Problem| problem.seq == *at as u64 + 1 && problem.what.contains(what);
        assert!(found.iter().any(|problem| here(&problem)), "{name}: {found:?}");
    }
}

#[test]
fn a_record_in_other_words_holds_and_that_is_said() {
    let mut story = Story::whole("k7m2q");
    change(&mut story, |record| record.summary = "1 of 1 is there".into());
    let verification = check(&story);
    assert_eq!(verification.problems, []);
    let said = "the record of event 19: `1 of 1 is there` is `1 of 1 target done";
    assert!(verification.notes.iter().any(|note| note.starts_with(said)), "{:?}", verification.notes);
}

#[test]
fn what_ends_before_anything_was_built_has_no_record_and_a_cause() {
    let closed = |outcome, reason: &str, before: Option<Body>| {
        let mut story = Story::whole("k7m2q");
        story.events.truncate(5);
        before.into_iter().for_each(|body| story.tell(person("ada"), body));
        story.tell(Actor::Program, Body::Closed(crate::engagement::Closed { outcome, reason: reason.into() }));
        check(&story).problems.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>()
    };
    let cancelled = || Some(Body::Cancelled { reason: "no".into() });
    assert_eq!(closed(RecordOutcome::Cancelled, "no", cancelled()), Vec::<String>::new());
    for (outcome, reason, before, found) in [
        (RecordOutcome::Cancelled, "no", None, "closed for another reason than it was cancelled for"),
        (RecordOutcome::Cancelled, "yes", cancelled(), "closed for another reason than it was cancelled for"),
        (RecordOutcome::Refused, "no", None, "had not tried so often what nothing lets them do"),
        (RecordOutcome::GivenUp, "no", None, "closed as given up, and its time was not over"),
        (RecordOutcome::Done, "no", None, "closed without the record that this end has"),
    ] {
        let problems = closed(outcome, reason, before);
        assert!(problems.len() == 1 && problems[0].contains(found), "{outcome:?} {reason}: {problems:?}");
    }
}
