//! What a record says of engagements that went well, badly, and not at all.

use serde_json::json;

use super::fixture::{ADDRESS, Chain, Scripted, VLAN, ada};
use crate::{
    artifact::{Digest, Independence, ReconciledRecord, RecordOutcome, TargetOutcome},
    engagement::{About, Answer, Command, Retried, decide},
    facts::Role,
};

/// The targets as `sw01 done`, and the steps' reasons.
fn told(record: &ReconciledRecord) -> (Vec<String>, Vec<String>) {
    let word = |outcome: TargetOutcome| serde_json::to_value(outcome).unwrap().as_str().unwrap().to_owned();
    let targets = record.targets.iter().map(|target| format!("{} {}", target.target, word(target.outcome))).collect();
    let reasons =
        record.steps.iter().filter_map(|step| Some(format!("{}: {}", step.node, step.reason.as_ref()?))).collect();
    (targets, reasons)
}

#[test]
fn what_was_designed_built_and_seen_is_done() {
    let record = Chain::vlan().finish().record();
    assert_eq!(record.outcome, RecordOutcome::Done);
    assert_eq!(record.summary, "4 of 4 targets done; R1, R2 met");
    assert_eq!(record.deviations, []);
    assert_eq!(record.reading, Independence::SameServer);
    let step = &record.steps[0];
    assert_eq!((step.before.clone(), step.observed.clone()), (Some(json!(null)), step.designed.clone()));
    let numbers: Vec<u64> = step.calls.iter().map(super::step::number).collect();
    assert!(numbers.len() >= 5 && numbers.is_sorted(), "{numbers:?}");
    assert_eq!(record.totals.approvals, 2);
    assert_eq!(record.totals.waiting_seconds, 122);
    assert_eq!(record.residual.len(), 2, "{:?}", record.residual);
}

#[test]
fn each_way_to_go_wrong_has_its_own_words() {
    use Scripted::*;
    let observe = "observe create/sw03 at the end";
    type Case = (&'static str, Vec<(&'static str, Vec<Scripted>)>, RecordOutcome, &'static str, &'static str);
    let cases: Vec<Case> = vec![
        (
            "it vanishes after the step",
            vec![(observe, vec![Vanish("sw03", 120)])],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 failed (sw03)",
            "create/sw03: it was there after the step and is not there now",
        ),
        (
            "it is replaced after the step",
            vec![(observe, vec![Appear("sw03", 120, "evil")])],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 failed (sw03)",
            "create/sw03: it was as designed after the step, and {\"id\":120,\"name\":\"evil\"} is there now instead",
        ),
        (
            "it cannot be reached at the end",
            vec![(observe, vec![NotSent("no route"); 3])],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 unreachable (sw03)",
            "create/sw03: it could not be reached at the end: no route",
        ),
        (
            "it cannot be read at the end",
            vec![(observe, vec![Error("bad gateway")])],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 unknown (sw03)",
            "create/sw03: it could not be read at the end: bad gateway",
        ),
        (
            "the tool says no",
            vec![("step create/sw03", vec![Error("table full")])],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 failed (sw03)",
            "create/sw03: the tool reported an error (table full), and nothing changed",
        ),
        (
            "the tool lies",
            vec![("step create/sw03", vec![Lie])],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 failed (sw03)",
            "create/sw03: the tool reported success, and nothing changed",
        ),
        (
            "the answer is lost and the change is there",
            vec![("step create/sw03", vec![Lost { acted: true }])],
            RecordOutcome::Done,
            "4 of 4 targets done",
            "create/sw03: its outcome was unknown (the connection ended), but the change is there",
        ),
        (
            "the call does not reach the switch",
            vec![("step create/sw03", vec![NotSent("no route")])],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 unreachable (sw03)",
            "create/sw03: it was not sent: no route",
        ),
        (
            "the switch cannot be read before the step",
            vec![("read the state again before create/sw03", vec![Error("no answer")])],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 unreachable (sw03)",
            "create/sw03: its state could not be read: no answer",
        ),
        (
            "it could not be read back, so it was taken back",
            vec![("read back create/sw03", vec![Error("no answer"), Error("no answer"), Error("no answer")])],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 undone (sw03)",
            "create/sw03: taken back; before that: it could not be read back: no answer",
        ),
        (
            "it could not be read back nor at the end",
            vec![
                ("read back create/sw03", vec![Lost { acted: false }, Error("no answer"), Error("no answer")]),
                (observe, vec![Error("no answer")]),
            ],
            RecordOutcome::PartlyDone,
            "3 of 4 targets done, 1 unknown (sw03)",
            "create/sw03: it was taken back, and it could not be read at the end: no answer",
        ),
        (
            "someone else was faster",
            vec![("read the state again before create/sw03", vec![Appear("sw03", 120, "guest")])],
            RecordOutcome::Done,
            "3 of 4 targets done, 1 as wanted already",
            "create/sw03: it is so already",
        ),
        (
            "a rule refuses every call",
            ["sw01", "sw02", "sw03", "sw04"]
                .map(|switch| {
                    (Box::leak(format!("step create/{switch}").into_boxed_str()) as &str, vec![Refuse("frozen")])
                })
                .into(),
            RecordOutcome::Refused,
            "the broker refused: frozen; nothing is changed",
            "create/sw01: the broker refused: frozen",
        ),
        (
            "every switch says no",
            ["sw01", "sw02", "sw03", "sw04"]
                .map(|switch| {
                    (Box::leak(format!("step create/{switch}").into_boxed_str()) as &str, vec![Error("full")])
                })
                .into(),
            RecordOutcome::Failed,
            "0 of 4 targets done, 4 failed (sw01, sw02, sw03, sw04)",
            "create/sw04: the tool reported an error (full), and nothing changed",
        ),
    ];
    for (case, script, outcome, summary, reason) in cases {
        let chain = script.into_iter().fold(Chain::vlan(), |chain, (purpose, does)| chain.script(purpose, does));
        let record = chain.finish().record();
        let (_, reasons) = told(&record);
        assert_eq!(record.outcome, outcome, "{case}: {}", record.summary);
        assert!(record.summary.starts_with(summary), "{case}: {}", record.summary);
        assert!(reasons.iter().any(|said| said == reason), "{case}: {reasons:?}");
    }
}

#[test]
fn what_is_there_at_the_end_and_nobody_designed_is_a_deviation() {
    let vanished = Chain::vlan().script("observe create/sw03 at the end", [Scripted::Vanish("sw03", 120)]);
    let record = vanished.finish().record();
    let said: Vec<&str> = record.deviations.iter().map(|deviation| deviation.what.as_str()).collect();
    assert_eq!(said, ["`create/sw03`: at the end nothing is there instead of {\"id\":120,\"name\":\"guest\"}"]);
    assert_eq!((record.deviations[0].calls.len(), record.deviations[0].accepted_by.clone()), (1, None));
    let lost = "check A1 held when it was read, but what `create/sw03` left was not there afterwards";
    assert!(record.residual.iter().any(|left| left == lost), "{:?}", record.residual);

    let failed = Chain::vlan().script("step create/sw03", [Scripted::Error("full")]).finish().record();
    assert_eq!(failed.deviations, [], "what was not built is not a deviation");
}

#[test]
fn what_was_taken_back_is_undone_and_not_failed() {
    let wrong = Chain::vlan().script("read back create/sw03", [Scripted::Appear("sw03", 120, "evil")]);
    let record = wrong.finish().record();
    assert!(record.summary.starts_with("3 of 4 targets done, 1 undone (sw03); "), "{}", record.summary);
    assert_eq!((record.outcome, record.deviations.len()), (RecordOutcome::PartlyDone, 0));

    let back_again = Chain::vlan()
        .script("read back create/sw03", [Scripted::Appear("sw03", 120, "evil")])
        .script("observe create/sw03 at the end", [Scripted::Appear("sw03", 120, "ghost")]);
    let record = back_again.finish().record();
    let reason = record.steps[2].reason.as_deref();
    assert_eq!(reason, Some("it was taken back, and {\"id\":120,\"name\":\"ghost\"} is there now"));
    assert_eq!(record.deviations.len(), 1);
}

#[test]
fn a_step_that_a_later_one_was_to_change_again_is_done() {
    let again = "    - id: again
      tool: vlan.create
      needs: [create]
      for_each: {items: inputs.switches, at_most: 40}
      with: {switch: {cel: item}, id: {cel: inputs.id}, name: staff}
  # The steps that make each check true";
    let blueprint = VLAN
        .replace("  # The steps that make each check true", again)
        .replace("v.id == inputs.id && v.name == inputs.name", "v.id == inputs.id && v.name == 'staff'");
    let mut chain = Chain::request(&blueprint, json!({"id": 120, "name": "guest", "switches": ["sw01"]}));
    chain.run();
    chain.approve_gate1();
    let mut asked = chain.approve_gate2();
    while asked.is_some() {
        asked = chain.answer(Answer::Approve, Vec::new());
    }
    let record = chain.record();
    assert_eq!(record.outcome, RecordOutcome::Done, "{record:#?}");
    let again = "create/sw01: it was seen, and then changed again by `again/sw01`, as designed";
    assert!(told(&record).1.iter().any(|reason| reason == again), "{:?}", told(&record).1);
}

#[test]
fn a_deviation_names_who_accepted_it() {
    let mut chain =
        Chain::vlan().script("read the state again before create/sw03", [Scripted::Appear("sw03", 120, "old")]);
    chain.run();
    chain.approve_gate1();
    let about = chain.approve_gate2().unwrap();
    assert!(matches!(&about, About::Deviation { node } if node.as_str() == "create/sw03"));
    assert_eq!(chain.answer(Answer::Approve, Vec::new()), None);
    let record = chain.record();
    assert_eq!(record.outcome, RecordOutcome::Done);
    let deviation = &record.deviations[0];
    assert_eq!(deviation.accepted_by.as_deref(), Some("ada (asserted, OS user ada)"));
    assert!(deviation.what.ends_with("{\"id\":120,\"name\":\"old\"} instead of nothing"), "{}", deviation.what);
}

#[test]
fn a_call_by_hand_is_a_deviation_and_a_change() {
    let mut chain = Chain::vlan().script("step create/sw01", [Scripted::Refuse("frozen")]);
    chain.run();
    chain.approve_gate1();
    assert_eq!(chain.answer(Answer::Approve, Vec::new()).map(|about| about.to_string()), Some(asked("sw02")));
    chain.by_hand("vlan.delete", json!({"switch": "sw04", "id": 20}));
    let cancel = Command::Cancel { reason: "enough".into(), roles: [Role::Requester].into() };
    chain.command(ada(), cancel);
    assert_eq!(chain.run(), None);
    let record = chain.record();
    assert_eq!(record.outcome, RecordOutcome::PartlyDone, "{}", record.summary);
    assert_eq!(record.deviations[0].what, "called by hand: delete VLAN 20 from sw04");
}

#[test]
fn what_is_there_at_the_end_is_not_denied_because_nothing_was_there_before() {
    let chain = Chain::vlan().script("step create/sw03", [Scripted::Error("table full")]);
    let chain = chain.script("observe create/sw03 at the end", [Scripted::Appear("sw03", 120, "guest")]);
    let record = chain.finish().record();
    assert!(record.summary.contains("perhaps left behind: `create/sw03`"), "{}", record.summary);
    let look = "`create/sw03` may have left a change behind";
    assert!(record.residual.iter().any(|left| left.starts_with(look)), "{:?}", record.residual);
}

fn asked(switch: &str) -> String {
    format!("the call of step create/{switch}")
}

#[test]
fn a_cancelled_engagement_says_what_it_left() {
    let cancel = || Command::Cancel { reason: "wrong ticket".into(), roles: [Role::Requester].into() };
    let mut early = Chain::vlan();
    early.run();
    early.approve_gate1();
    assert_eq!(early.answer(Answer::Approve, Vec::new()).map(|about| about.to_string()), Some(asked("sw01")));
    early.command(ada(), cancel());
    assert_eq!(early.run(), None);
    let record = early.record();
    assert_eq!(record.outcome, RecordOutcome::Cancelled);
    assert_eq!(record.summary, "wrong ticket; nothing is changed");

    let mut late = Chain::vlan();
    late.run();
    late.approve_gate1();
    let Some(About::Call { call, .. }) = late.answer(Answer::Approve, Vec::new()) else { panic!() };
    let about = late.run().unwrap();
    late.answer_with(&about, crate::artifact::Digest::ZERO, Answer::Approve, Vec::new());
    assert!(late.state().approved_calls.contains_key(&call));
    assert_eq!(late.run().map(|about| about.to_string()), Some(asked("sw02")));
    late.command(ada(), cancel());
    assert_eq!(late.run(), None);
    let record = late.record();
    assert_eq!(record.outcome, RecordOutcome::PartlyDone);
    assert!(record.summary.starts_with("ended early (wrong ticket); 1 of 4 targets done, 3 not reached"), "{record:?}");
}

#[test]
fn what_was_so_already_needs_nothing_and_proves_nothing() {
    let mut chain = Chain::vlan();
    for vlans in chain.network.vlans.values_mut() {
        vlans.insert(120, "guest".into());
    }
    let record = chain.finish().record();
    assert_eq!(record.outcome, RecordOutcome::NothingToDo);
    let summary = "everything was so already, and nothing was built; 4 of 4 targets as wanted already; \
                   R2 met; R1 met already";
    assert_eq!((record.summary.as_str(), record.flow, record.reading), (summary, None, Independence::None));
}

#[test]
fn a_switch_that_has_it_already_is_left_alone() {
    let mut chain = Chain::vlan();
    chain.network.vlans.get_mut("sw02").unwrap().insert(120, "guest".into());
    let record = chain.finish().record();
    assert_eq!(told(&record).0, ["sw01 done", "sw02 unchanged", "sw03 done", "sw04 done"]);
    assert_eq!((record.outcome, record.totals.refused), (RecordOutcome::Done, 0));
}

#[test]
fn a_discovery_that_rules_it_out_is_not_feasible() {
    let mut chain = Chain::vlan();
    chain.run();
    chain.answer_with(&About::Gate1, crate::artifact::Digest::ZERO, Answer::Approve, Vec::new());
    let enter = Command::Enter { phase: crate::artifact::Phase::Feasibility, reason: None };
    chain.command(ada(), enter);
    chain.file_not_feasible("sw02 has VLAN 120 staff");
    assert_eq!(chain.run(), None);
    let record = chain.record();
    assert_eq!(record.outcome, RecordOutcome::NotFeasible);
    assert_eq!(record.summary, "sw02 has VLAN 120 staff");
    assert!(record.targets.iter().all(|target| target.outcome == TargetOutcome::NotRun), "{:?}", record.targets);
    assert!(!record.residual.iter().any(|left| left.contains("left a change behind")), "{:?}", record.residual);
}

#[test]
fn an_undo_that_nothing_confirmed_is_said_as_such_and_the_end_may_show_it() {
    use Scripted::*;
    let wrong = "read back create/sw03";
    let check = "read back the undo of create/sw03";
    let observe = "observe create/sw03 at the end";
    let behind = |record: &ReconciledRecord| record.residual.iter().any(|left| left.contains("left a change behind"));
    let broken = || {
        Chain::vlan().script(wrong, [const { Error("no answer") }; 3]).script(check, [const { Error("no answer") }; 9])
    };

    let record = broken().finish().record();
    let (targets, reasons) = told(&record);
    assert_eq!(targets[2], "sw03 undone", "{reasons:?}");
    assert!(reasons[0].starts_with("create/sw03: its undo could not be confirmed ("), "{reasons:?}");
    assert!(reasons[0].ends_with("at the end it is as it was before"), "{reasons:?}");
    assert!(!behind(&record) && !record.summary.contains("left behind"), "{record:#?}");

    let record = broken().script("undo create/sw03", [Lie]).finish().record();
    let (targets, reasons) = told(&record);
    assert_eq!(targets[2], "sw03 failed", "{reasons:?}");
    assert!(reasons[0].starts_with("create/sw03: it was not taken back: "), "{reasons:?}");
    assert!(behind(&record) && record.summary.contains("; left behind: `create/sw03`"), "{record:#?}");

    let record = broken().script(observe, [const { Error("no answer") }; 9]).finish().record();
    let (targets, reasons) = told(&record);
    assert_eq!(targets[2], "sw03 unknown", "{reasons:?}");
    assert!(reasons[0].starts_with("create/sw03: its undo could not be confirmed: "), "{reasons:?}");
    assert!(record.summary.contains("; perhaps left behind: `create/sw03`"), "{}", record.summary);
    let mut notes = record.residual.clone();
    notes.sort();
    notes.dedup();
    assert_eq!(notes.len(), record.residual.len());
}

pub(super) const AUDIT: &str = "
kind: spec
title: Every switch has VLAN 20
requirements: [{id: R1, text: Every switch has VLAN 20}]
boundary: {discover: [{tool: vlan.list, where: {switch: {in_group: access-switches}}}]}
acceptance:
  - id: A1
    covers: [R1]
    check: {tool: vlan.list, with: {switch: {cel: item}}}
    for_each: [sw01, sw02]
    expect: result.vlans.exists(v, v.id == 20)
    invariant: true
";

#[test]
fn an_audit_is_done_when_everything_holds_and_failed_when_not() {
    let record = Chain::spec(AUDIT).finish().record();
    assert_eq!(
        (record.outcome, record.summary.as_str()),
        (RecordOutcome::Done, "2 of 2 targets as wanted already; R1 met")
    );
    let mut broken = Chain::spec(AUDIT);
    broken.network.vlans.get_mut("sw02").unwrap().remove(&20);
    let record = broken.finish().record();
    assert_eq!(record.outcome, RecordOutcome::Failed);
    assert_eq!(told(&record).0, ["sw01 unchanged", "sw02 failed"]);
}

#[test]
fn a_tool_without_a_state_is_done_only_if_its_step_or_a_check_saw_it() {
    let mut chain = Chain::request(ADDRESS, json!({"name": "web01"}));
    chain.run();
    chain.approve_gate1();
    let asked = chain.approve_gate2();
    assert_eq!(asked.map(|about| about.to_string()), Some("the call of step publish".into()));
    assert_eq!(chain.answer(Answer::Approve, Vec::new()), None);
    let record = chain.record();
    assert_eq!(record.outcome, RecordOutcome::Done, "{record:#?}");
    assert_eq!(told(&record).0, ["192.0.2.0/24 done", "corp.example.com done"]);
    assert_eq!(record.steps[1].designed.as_ref().unwrap()["address"], json!("192.0.2.11"));
}

#[test]
fn what_nobody_could_foresee_and_nothing_took_back_is_left_behind_and_no_deviation() {
    let mut chain = Chain::request(ADDRESS, json!({"name": "web01"}))
        .script("step publish", [const { Scripted::Error("no such zone") }; 2])
        .script("undo allocate", [Scripted::Error("not now")]);
    chain.run();
    chain.approve_gate1();
    chain.approve_gate2();
    assert_eq!(chain.answer(Answer::Approve, Vec::new()), None);
    let record = chain.record();
    assert_eq!(told(&record).0, ["192.0.2.0/24 failed", "corp.example.com failed"]);
    assert!(record.summary.contains("; left behind: `allocate`"), "{}", record.summary);
    assert!(record.residual.iter().any(|left| left.starts_with("`allocate` left a change behind")), "{record:#?}");
    // It is what was left, and the check that saw it was right.
    assert_eq!(record.deviations, Vec::new());
    assert!(!record.residual.iter().any(|left| left.contains("not there afterwards")), "{:?}", record.residual);
}

#[test]
fn a_requirement_is_met_only_by_checks_that_could_fail() {
    use super::requirements::status;
    use crate::artifact::{AcceptanceReading, Check, RequirementStatus::*, from_yaml};
    let check = |invariant: bool| -> Check {
        let text = format!("{{id: A, covers: [R], check: {{tool: t.x}}, expect: result.a, invariant: {invariant}}}");
        from_yaml("check", &text).unwrap()
    };
    let (yes, no, none) = (Some(true), Some(false), None);
    // Each check: whether it is an invariant, before, after.
    type Covering = Vec<(bool, Option<bool>, Option<bool>)>;
    let cases: Vec<(Covering, _)> = vec![
        (vec![], NotShown),
        (vec![(false, no, yes)], Met),
        (vec![(false, yes, yes)], AlreadyMet),
        (vec![(false, no, no)], NotMet),
        (vec![(false, yes, no)], NotMet),
        (vec![(false, no, none)], NotShown),
        (vec![(false, none, yes)], NotShown),
        (vec![(true, yes, yes)], Met),
        (vec![(true, yes, no)], NotMet),
        (vec![(true, no, yes)], NotMet),
        (vec![(true, none, yes)], NotShown),
        (vec![(false, no, yes), (true, yes, yes)], Met),
        (vec![(false, yes, yes), (true, yes, yes)], AlreadyMet),
        (vec![(false, no, yes), (true, yes, no)], NotMet),
        (vec![(false, no, yes), (false, yes, yes)], NotShown),
        (vec![(false, no, no), (false, none, none)], NotMet),
    ];
    for (covering, expected) in cases {
        let checks: Vec<Check> = covering.iter().map(|(invariant, ..)| check(*invariant)).collect();
        let reading = |holds| AcceptanceReading { check: "A".into(), holds, calls: Vec::new(), seen: None };
        let before: Vec<_> = covering.iter().map(|(_, before, _)| reading(*before)).collect();
        let after: Vec<_> = covering.iter().map(|(.., after)| reading(*after)).collect();
        assert_eq!(status(&checks.iter().collect::<Vec<_>>(), &before, &after), expected, "{covering:?}");
    }
}

#[test]
fn trying_again_approves_no_call_that_nobody_agreed_to() {
    let mut chain = Chain::vlan().script("step create/sw02", [Scripted::Error("no")]);
    assert_eq!(chain.run(), Some(About::Gate1));
    assert_eq!(chain.approve_gate1(), Some(About::Gate2));
    assert_eq!(chain.approve_gate2(), None);
    let agreed = chain.state().answers.last().unwrap().2.calls[1];
    for (call, fits) in [(agreed, true), (Digest::ZERO, false)] {
        let nodes = [("create/sw02".to_owned(), 2)].into();
        let retried = Retried { nodes, calls: vec![call] };
        let command = Command::Retry { retried, roles: [Role::Approver].into() };
        assert_eq!(decide(chain.state(), command).is_ok(), fits, "{call}");
    }
}
