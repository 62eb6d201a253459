//! Steps that ran, were left out or were taken back when it was not their turn, each with what is found.

use serde_json::json;

use super::*;
use crate::{
    artifact::{Agent, CallId, NodeId, Phase, RecordOutcome},
    engagement::{Actor, Body, CallAllowed, Closed, DeviationFound, NodeSettled, Purpose},
    flow::NodeOutcome,
    ledger::testing::{Story, allowed, digest_for, finished, node, person},
};

const FLOW: usize = 13;
const SETTLED: usize = 16;

fn second() -> NodeId {
    NodeId::new(&"second".parse().unwrap(), None)
}

/// Up to the end of the first of two steps, which came to this; the flow says this of its failure.
fn first(on_failure: &str, outcome: NodeOutcome) -> Story {
    first_of(on_failure, outcome, "true")
}

/// The same, where the second step has a condition.
fn first_of(on_failure: &str, outcome: NodeOutcome, when: &str) -> Story {
    let mut story = Story::whole("k7m2q");
    let step =
        |id: &str| json!({"id": id, "tool": "switch.vlan.create", "with": {"vlan": 120}, "on_failure": on_failure});
    let mut nodes = json!([
        {"id": node(), "target": "sw01", "needs": [], "step": step("create-vlan")},
        {"id": second(), "target": "sw02", "needs": [], "step": step("second")},
    ]);
    if when != "true" {
        nodes[1]["step"]["when"] = json!(when);
    }
    let flow = story.document(&json!({"kind": "flow", "design": crate::artifact::Digest::ZERO, "nodes": nodes}));
    let Body::Filed(filed) = &mut story.events[FLOW].2 else { panic!() };
    filed.digest = flow;
    let settled = NodeSettled { node: node(), attempt: 1, outcome, changed: true, reason: None };
    story.events[SETTLED].2 = Body::Settled(settled);
    story.events.truncate(SETTLED + 1);
    story
}

fn call(story: &mut Story, n: u64, purpose: Purpose) {
    let looks = !matches!(purpose, Purpose::Act { .. } | Purpose::Undo { .. });
    let agent = if looks { Agent::Verifier } else { Agent::Build };
    let call = CallAllowed { digest: digest_for("k7m2q", &purpose), ..allowed(n, agent, purpose, false) };
    story.tell(Actor::Agent(agent), Body::Allowed(Box::new(call)));
}

fn run(story: &mut Story) {
    call(story, 3, Purpose::Act { node: second(), attempt: 1, r#try: 1 });
}

fn leave(story: &mut Story) {
    story.tell(Actor::Program, Body::Entered { phase: Phase::AsBuilt, reason: None });
}

fn left_out(story: &mut Story) {
    let settled =
        NodeSettled { node: second(), attempt: 1, outcome: NodeOutcome::NotRun, changed: false, reason: None };
    story.tell(Actor::Program, Body::Settled(settled));
}

/// What is found at the last event.
fn last(story: &Story) -> Vec<String> {
    let at = story.events.len() as u64;
    let problems = verify(&story.bytes(), &story.blobs).problems;
    problems.into_iter().filter(|problem| problem.seq == at).map(|problem| problem.what).collect()
}

#[test]
fn each_step_has_its_turn() {
    use NodeOutcome::{Done, Failed};
    type Then = fn(&mut Story);
    let undo: Then = |story| call(story, 3, Purpose::Undo { node: node() });
    let cancelled: Then = |story| {
        story.tell(person("ada"), Body::Cancelled { reason: "not today".into() });
        run(story);
    };
    let table: [(&str, NodeOutcome, Then, Option<&str>); 11] = [
        ("stop", Done, run, None),
        ("continue", Failed, run, None),
        ("stop", Failed, run, Some("step second was not to run: the flow stopped when `create-vlan/sw01` failed")),
        ("undo_all", Failed, run, Some("step create-vlan/sw01 was to be taken back")),
        ("undo_all", Failed, leave, Some("the build was left, and step create-vlan/sw01 was to be taken back")),
        ("ask", Failed, run, Some("nobody had said what the failure of create-vlan/sw01 means")),
        ("stop", Failed, undo, Some("allowed to take create-vlan/sw01 back, and step second was not to run")),
        ("undo_all", Failed, undo, None),
        ("stop", Done, cancelled, Some("step second was not to run: not today")),
        ("stop", Done, left_out, Some("step second left out, and step second was to run")),
        ("stop", Failed, left_out, None),
    ];
    for (on_failure, outcome, then, what) in table {
        let mut story = first(on_failure, outcome);
        then(&mut story);
        let found = last(&story);
        // What the story's own spec and approvals say of the call is tried elsewhere.
        let of_order = |found: &&String| {
            ["was to", "was not to", "nobody had said", "left out, and", "was left, and"]
                .iter()
                .any(|of| found.contains(of))
        };
        match what {
            Some(what) => {
                assert!(found.iter().any(|found| found.contains(what)), "{on_failure} {outcome:?}: {found:?}")
            }
            None => assert_eq!(found.iter().find(of_order), None, "{on_failure} {outcome:?}"),
        }
    }
}

#[test]
fn a_condition_is_asked_where_it_can_be() {
    let (holds, not) = ("steps[\"create-vlan\"].sw01.result.ok", "!steps[\"create-vlan\"].sw01.result.ok");
    let skip = |story: &mut Story| {
        let (outcome, changed) = (NodeOutcome::Skipped, false);
        let settled = NodeSettled { node: second(), attempt: 1, outcome, changed, reason: None };
        story.tell(Actor::Program, Body::Settled(settled));
    };
    let found = |when: &str, runs: bool, here: bool| {
        let mut story = first_of("stop", NodeOutcome::Done, when);
        if runs {
            run(&mut story)
        } else {
            skip(&mut story)
        }
        if !here {
            story.blobs.remove(&crate::artifact::digest_of(&json!({"ok": true})).unwrap());
        }
        let said = ["whose condition did not hold", "skipped, and the flow has no reason to"];
        last(&story).iter().any(|found| said.iter().any(|said| found.contains(said)))
    };
    assert!(!found(holds, true, true) && !found(not, false, true));
    assert!(found(holds, false, true) && found(not, true, true));
    assert!(!found(holds, false, false) && !found(not, true, false), "what it reads is not here");
}

#[test]
fn a_step_runs_from_the_approved_state_or_one_that_somebody_said_yes_to() {
    let look = Purpose::Recheck { node: second(), attempt: 1 };
    let with = |again: bool, result: &str| {
        let mut story = first("stop", NodeOutcome::Done);
        call(&mut story, 3, look.clone());
        let there = json!({"there": "theirs"});
        story.document(&there);
        story.tell(Actor::Program, finished(3, &there));
        let found = DeviationFound {
            node: second(),
            what: "it is there".into(),
            contract: json!(null),
            actual: there,
            calls: vec![CallId::nth(3)],
            because: None,
            undo: false,
        };
        story.tell(Actor::Program, Body::Deviated(found));
        if again {
            let there = json!({"there": result});
            story.document(&there);
            call(&mut story, 4, look.clone());
            story.tell(Actor::Program, finished(4, &there));
        }
        call(&mut story, if again { 5 } else { 4 }, Purpose::Act { node: second(), attempt: 1, r#try: 1 });
        last(&story).iter().any(|found| found.contains("was not the approved one, which nobody said yes to"))
    };
    assert!(with(false, ""), "nobody said yes");
    assert!(with(true, "theirs"), "it was read once more, and is still there");
    assert!(!with(true, "nothing"), "it is another state by then");
}

#[test]
fn what_the_program_would_not_write_is_found() {
    // Everything was built, and it ends as if nothing had been.
    let mut story = Story::whole("k7m2q");
    story.events.truncate(SETTLED + 1);
    story.tell(person("ada"), Body::Cancelled { reason: "no".into() });
    story.tell(Actor::Program, Body::Closed(Closed { outcome: RecordOutcome::Cancelled, reason: "no".into() }));
    assert!(last(&story)[0].contains("closing without a record"), "{:?}", last(&story));

    // A step is called after it came to something.
    let mut story = Story::whole("k7m2q");
    let act = Purpose::Act { node: node(), attempt: 1, r#try: 1 };
    let settled = NodeSettled { node: node(), attempt: 1, outcome: NodeOutcome::NotRun, changed: false, reason: None };
    story.events.truncate(14);
    story.tell(Actor::Program, Body::Settled(settled));
    call(&mut story, 2, act);
    let found = last(&story);
    assert!(found.iter().any(|found| found.contains("every step was settled")), "{found:?}");

    // Something is done after the record was filed.
    let mut story = Story::whole("k7m2q");
    story.events.truncate(19);
    story.tell(Actor::Program, Body::Entered { phase: Phase::Build, reason: None });
    assert!(last(&story)[0].contains("entering the build phase does not belong"), "{:?}", last(&story));

    // It ends while a call is under way.
    let mut story = Story::whole("k7m2q");
    story.events.truncate(18);
    call(&mut story, 3, Purpose::Observe { node: node() });
    let filed = Story::whole("k7m2q").events[18].clone();
    story.events.push((story.events[18].0, filed.1, filed.2));
    assert!(last(&story).iter().any(|found| found.contains("c3 is still under way")), "{:?}", last(&story));
}

#[test]
fn what_is_called_done_was_looked_at_after_its_call() {
    let look = |attempt| Purpose::Recheck { node: node(), attempt };
    let back = Purpose::ReadBack { node: node(), attempt: 1 };
    let verify = Purpose::Verify { node: node(), attempt: 1 };
    let with = |before: &[Purpose], after: &[Purpose], checks: &str| {
        let mut story = first("stop", NodeOutcome::Done);
        let settled = story.events.pop().unwrap();
        let (finish, act) = (story.events.pop().unwrap(), story.events.pop().unwrap());
        let there = json!({"there": true});
        story.document(&there);
        let read = |story: &mut Story, from: u64, purposes: &[Purpose]| {
            for (purpose, n) in purposes.iter().zip(from..) {
                call(story, n, purpose.clone());
                story.tell(Actor::Program, finished(n, &there));
            }
            from + purposes.len() as u64
        };
        let acts = read(&mut story, 2, before);
        let (Body::Allowed(mut allowed), Body::Finished(mut over)) = (act.2, finish.2) else { panic!() };
        (allowed.call, allowed.counts, over.call) = (CallId::nth(acts), Some(node().to_string()), CallId::nth(acts));
        story.tell(act.1, Body::Allowed(allowed));
        story.tell(finish.1, Body::Finished(over));
        read(&mut story, acts + 1, after);
        story.tell(settled.1, settled.2);
        let Body::Filed(filed) = &mut story.events[FLOW].2 else { panic!() };
        let mut flow: serde_json::Value = serde_json::from_slice(&story.blobs[&filed.digest]).unwrap();
        flow["nodes"][0]["step"]["verify"] = json!({"tool": "switch.vlan.create", "expect": checks});
        filed.digest = crate::artifact::digest_of(&flow).unwrap();
        story.document(&flow);
        last(&story).into_iter().find(|found| found.contains("settled as done, "))
    };
    assert_eq!(with(&[], &[], "true"), None, "nothing says that its state can be read");
    let unread = "its state was not read back after its call";
    assert!(with(&[look(1)], &[], "true").is_some_and(|found| found.contains(unread)));
    assert!(with(&[look(1), back.clone()], &[], "true").is_some_and(|found| found.contains(unread)));
    assert_eq!(with(&[look(1)], std::slice::from_ref(&back), "true"), None);
    let shows = "what was read to check it shows that it is not";
    assert!(with(&[], std::slice::from_ref(&verify), "!result.there").is_some_and(|found| found.contains(shows)));
    assert_eq!(with(&[], std::slice::from_ref(&verify), "result.there"), None);
    assert_eq!(with(&[], &[verify], "facts.there"), None, "what it reads is not here");
}
