//! Records that do not follow from their chain, each with what is found; that no record which was made from one is
//! found wrong is tried by every test that makes one.

use serde_json::json;

use super::{
    compare,
    fixture::{Chain, Scripted},
    tests::AUDIT,
};
use crate::{
    artifact::{
        CallId, DeviationRecord, Digest, Independence, ReconciledRecord, RecordOutcome, RequirementStatus,
        TargetOutcome,
    },
    engagement::{About, Blobs, Documents, Purpose, View},
    tool::Toolbox,
};

/// What is found of a record by whoever has no manifests, with or without results.
fn found(chain: &Chain, record: &ReconciledRecord, results: bool) -> super::Compared {
    let (tools, state) = (Toolbox::default(), chain.state());
    let mut blobs: Blobs = chain.blobs.clone();
    if !results {
        for result in state.calls.values().filter_map(|call| call.result) {
            blobs.remove(&result);
        }
    }
    let documents = Documents::readable(state, &blobs, None);
    compare(&View { state, documents: &documents, blobs: &blobs, toolbox: &tools }, record, chain.now())
}

#[test]
fn a_record_that_does_not_follow_from_its_chain_is_found_without_manifests_and_results() {
    type Forge = fn(&mut ReconciledRecord);
    let chain = Chain::vlan().script("step create/sw03", [Scripted::Error("table full")]).before_the_record();
    let record = chain.record();
    let table: &[(&str, Forge, &str)] = &[
        ("an outcome", |r| r.outcome = RecordOutcome::Done, "ended as `done`"),
        ("a step", |r| r.steps[2].outcome = TargetOutcome::Done, "calls step create/sw03 done"),
        ("a step that was not taken back", |r| r.steps[0].outcome = TargetOutcome::Undone, "calls step create/sw01"),
        ("a target", |r| r.targets[2].outcome = TargetOutcome::Done, "of its targets"),
        ("no target", |r| r.targets.truncate(3), "of its targets"),
        ("a requirement", |r| r.requirements[0].status = RequirementStatus::Met, "than its checks show"),
        ("another requirement", |r| r.requirements[0].text = "all is well".into(), "not those of the spec"),
        ("a check", |r| r.requirements[0].before.clear(), "not those of the spec"),
        ("evidence", |r| r.requirements[0].after[0].calls = vec![CallId::nth(1)], "cites other calls"),
        ("a call of a step", |r| r.steps[0].calls.truncate(1), "step create/sw01 cites other calls"),
        ("a step's name", |r| r.steps.swap(0, 1), "not those of the flow"),
        ("a reason", |r| r.steps[2].reason = Some("ada wanted it so".into()), "another reason for step create/sw03"),
        ("no steps", |r| r.steps.clear(), "not those of the flow"),
        ("what was designed", |r| r.steps[2].designed = r.steps[2].observed.clone(), "what was designed than the flow"),
        (
            "a deviation that nobody found",
            |r| {
                let what = "nothing".to_owned();
                r.deviations.push(DeviationRecord { what, calls: Vec::new(), accepted_by: Some("ada".into()) });
            },
            "its deviation 1 is none",
        ),
        ("calls", |r| r.totals.calls -= 1, "calls that ran"),
        ("refused", |r| r.totals.refused += 1, "calls that were refused"),
        ("outside", |r| r.totals.outside += 1, "outside the boundary"),
        ("approvals", |r| r.totals.approvals += 1, "3 approvals, and the chain 2"),
        ("waiting", |r| r.totals.waiting_seconds = 1, "waiting for people"),
        ("working", |r| r.totals.working_seconds = 1_000_000, "seconds of work"),
        ("tokens", |r| r.totals.model_tokens = 7, "model tokens"),
        ("a spec", |r| r.spec = Digest::ZERO, "another spec.yaml"),
        ("no flow", |r| r.flow = None, "another automation.flow"),
        ("what is left out", |r| r.out_of_scope.push("all".into()), "leaves out"),
    ];
    for results in [true, false] {
        assert_eq!(found(&chain, &record, results).wrong, Vec::<String>::new());
        for (name, forge, what) in table {
            let mut forged = record.clone();
            forge(&mut forged);
            let wrong = found(&chain, &forged, results).wrong;
            assert!(wrong.iter().any(|said| said.contains(what)), "{name}, results {results}: {wrong:?}");
        }
    }
}

#[test]
fn what_a_check_showed_is_tried_again_where_its_result_is_there_and_only_then() {
    let chain = Chain::vlan().script("step create/sw03", [Scripted::Error("table full")]).before_the_record();
    let mut forged = chain.record();
    for requirement in &mut forged.requirements {
        for reading in &mut requirement.after {
            reading.holds = Some(true);
        }
        requirement.status = RequirementStatus::Met;
    }
    let wrong = found(&chain, &forged, true).wrong;
    assert!(wrong.iter().any(|said| said.contains("otherwise whether it held")), "{wrong:?}");
    let wrong = found(&chain, &forged, false).wrong;
    assert!(!wrong.iter().any(|said| said.contains("whether it held")), "{wrong:?}");
    // One result that shows it is enough: leaving out another one hides nothing.
    let (tools, state) = (Toolbox::default(), chain.state());
    let first = Purpose::CheckAfter { check: forged.requirements[0].after[0].check.clone(), item: 0 };
    let mut blobs: Blobs = chain.blobs.clone();
    blobs.remove(&state.call_for(&first).unwrap().1.result.unwrap());
    let documents = Documents::readable(state, &blobs, None);
    let view = View { state, documents: &documents, blobs: &blobs, toolbox: &tools };
    let wrong = compare(&view, &forged, chain.now()).wrong;
    assert!(wrong.iter().any(|said| said.contains("otherwise whether it held")), "{wrong:?}");
}

#[test]
fn a_check_that_was_not_read_never_held() {
    let chain = Chain::vlan().script("check A1 after the build", vec![Scripted::Error("no answer"); 8]);
    let chain = chain.before_the_record();
    let mut forged = chain.record();
    let reading = forged.requirements.iter_mut().flat_map(|said| &mut said.after).find(|said| said.holds.is_none());
    reading.unwrap().holds = Some(true);
    for results in [true, false] {
        let wrong = found(&chain, &forged, results).wrong;
        assert!(wrong.iter().any(|said| said.contains("and it was not read")), "{wrong:?}");
    }
}

#[test]
fn a_step_that_something_else_replaced_is_neither_done_nor_without_a_deviation() {
    let replaced = [Scripted::Appear("sw03", 120, "evil")];
    let chain = Chain::vlan().script("observe create/sw03 at the end", replaced).before_the_record();
    let record = chain.record();
    let mut forged = record.clone();
    forged.steps[2].outcome = TargetOutcome::Done;
    let wrong = found(&chain, &forged, false).wrong;
    assert!(wrong.iter().any(|said| said.contains("calls step create/sw03 done")), "{wrong:?}");
    forged.clone_from(&record);
    forged.deviations.clear();
    let wrong = found(&chain, &forged, false).wrong;
    assert_eq!(wrong, ["it says of no deviation that step create/sw03 was not left as designed"]);
    forged.clone_from(&record);
    forged.deviations[0].accepted_by = Some("ada".into());
    let wrong = found(&chain, &forged, false).wrong;
    assert!(wrong.iter().any(|said| said.contains("deviation 1 is none that the chain has")), "{wrong:?}");
}

#[test]
fn what_nobody_read_at_the_end_is_not_said_to_be_there() {
    let observe = "observe create/sw03 at the end";
    let chain = Chain::vlan().script(observe, [Scripted::Error("no answer")]).before_the_record();
    let record = chain.record();
    let mut forged = record.clone();
    forged.steps[2].outcome = TargetOutcome::Done;
    let wrong = found(&chain, &forged, false).wrong;
    assert!(wrong.iter().any(|said| said.contains("calls step create/sw03 done")), "{wrong:?}");
    forged.steps[2].observed = forged.steps[2].designed.clone();
    let wrong = found(&chain, &forged, false).wrong;
    assert!(wrong.iter().any(|said| said.contains("no reading at the end was answered")), "{wrong:?}");
}

#[test]
fn a_deviation_is_accepted_by_whoever_accepted_it() {
    let appeared = [Scripted::Appear("sw03", 120, "old")];
    let mut chain = Chain::vlan().script("read the state again before create/sw03", appeared);
    assert_eq!(chain.run(), Some(About::Gate1));
    chain.approve_gate1();
    assert!(matches!(chain.approve_gate2(), Some(About::Deviation { .. })));
    let mut chain = chain.before_the_record();
    let record = chain.record();
    for accepted in [None, Some("bob".to_owned())] {
        let mut forged = record.clone();
        forged.deviations[0].accepted_by = accepted;
        let wrong = found(&chain, &forged, false).wrong;
        assert_eq!(wrong, ["its deviation 1 was not accepted by whom it says"]);
    }
    let mut forged = record;
    forged.deviations.clear();
    let wrong = found(&chain, &forged, false).wrong;
    assert_eq!(wrong, ["it says 0 of the 1 deviations that the chain has"]);
    assert_eq!(chain.run(), None);
}

#[test]
fn nothing_is_read_back_where_nothing_was_written() {
    let audit = Chain::spec(AUDIT).before_the_record();
    let mut forged = audit.record();
    forged.reading = Independence::Independent;
    let wrong = found(&audit, &forged, false).wrong;
    assert_eq!(wrong, ["it says that what was written was read back, and no reading was answered"]);
}

#[test]
fn other_words_are_told_apart_from_what_is_wrong() {
    let chain = Chain::vlan().before_the_record();
    let mut other = chain.record();
    other.summary = format!("done: {}", other.summary);
    other.residual.clear();
    let found = found(&chain, &other, false);
    assert_eq!(found.wrong, Vec::<String>::new());
    assert!(found.words[0].starts_with("`done: 4 of 4 targets done"), "{:?}", found.words);
    assert!(found.words.iter().any(|said| said.contains("approvals are asserted")), "{:?}", found.words);
    for lie in ["All 5 targets done; R1 met", "everything is done"] {
        let told = self::found(&chain, &ReconciledRecord { summary: lie.into(), ..chain.record() }, false);
        assert!(told.wrong.len() == 1 && told.wrong[0].starts_with("its summary is `"), "{lie}: {:?}", told.wrong);
    }
}

#[test]
fn a_record_that_says_otherwise_than_what_was_read_is_found_by_whoever_makes_it_again() {
    type Forge = fn(&mut ReconciledRecord);
    let chain = Chain::vlan().script("step create/sw03", [Scripted::Error("table full")]).before_the_record();
    let record = chain.record();
    let wrong: &[(&str, Forge, &str)] = &[
        ("before", |r| r.steps[0].before = Some(json!("lie")), "what was there before is \"lie\""),
        ("designed", |r| r.steps[0].designed = Some(json!("lie")), "what was designed is \"lie\""),
        ("at the end", |r| r.steps[2].observed = Some(json!("lie")), "at the end is \"lie\""),
        ("unread", |r| r.steps[2].observed = None, "what was there at the end is unread, and what was read comes to"),
        (
            "failed, as if out of reach",
            |r| r.steps[2].outcome = TargetOutcome::Unreachable,
            "it calls step create/sw03 unreachable, and what was read comes to failed",
        ),
        ("a target", |r| r.targets[2].outcome = TargetOutcome::Unreachable, "of its targets"),
        ("independent", |r| r.reading = Independence::Independent, "how far the reading was independent"),
    ];
    let words: &[(&str, Forge, &str)] = &[
        ("nothing left", |r| r.residual.clear(), "that the environment is simulated"),
        ("more left", |r| r.residual.push("all is well".into()), "as this version would not, that all is well"),
        ("seen", |r| r.requirements[0].after[0].seen = Some("all is well".into()), "it says `all is well`, and"),
        ("a reason", |r| r.steps[0].reason = Some("all is well".into()), "of step create/sw01 it says `all is well`"),
    ];
    for (table, all) in [(wrong, true), (words, false)] {
        for (name, forge, what) in table {
            let mut forged = record.clone();
            forge(&mut forged);
            let found = chain.made_again(&forged);
            let said = if all { &found.wrong } else { &found.words };
            assert!(said.iter().any(|said| said.contains(what)), "{name}: {found:?}");
            assert!(all || found.wrong.is_empty(), "{name}: {found:?}");
        }
    }
}
