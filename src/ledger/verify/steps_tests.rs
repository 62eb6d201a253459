//! Steps that came to something else than the chain says, each with what is found and where.

use serde_json::{Value, json};

use super::*;
use crate::{
    artifact::{Agent, CallId, NodeId},
    engagement::{
        About, Answer, Answered, CallAllowed, CallFinished, CallOutcome, CallVoid, DeviationFound, NodeSettled,
        Purpose, Retried,
    },
    flow::NodeOutcome,
    ledger::testing::{Story, act, allowed, digest_for, person, spec},
};

/// The places of the events.
const FILED: usize = 1;
const FLOW: usize = 13;
pub(super) const ACT: usize = 14;
pub(super) const SETTLED: usize = 16;
pub(super) const AS_BUILT: usize = 17;

pub(super) fn node() -> NodeId {
    act().node().unwrap().clone()
}

fn call(story: &mut Story, at: usize) -> &mut CallAllowed {
    let Body::Allowed(call) = &mut story.events[at].2 else { panic!() };
    call
}

fn finished(story: &mut Story, outcome: CallOutcome) {
    let Body::Finished(finished) = &mut story.events[ACT + 1].2 else { panic!() };
    finished.outcome = outcome;
}

pub(super) fn settle(story: &mut Story, outcome: NodeOutcome, changed: bool) {
    let Body::Settled(settled) = &mut story.events[SETTLED].2 else { panic!() };
    (settled.outcome, settled.changed) = (outcome, changed);
}

/// The step was never called.
fn not_called(story: &mut Story) {
    story.events.drain(ACT..SETTLED);
}

fn counted(story: &mut Story) {
    call(story, ACT).counts = Some(node().to_string());
}

/// Gives the flow this step; what it was approved on is found to be another, beside what is looked for.
fn flow(story: &mut Story, step: Value, undo: Value) {
    let node = json!({"id": node(), "target": "sw01", "needs": [], "step": step, "undo": undo});
    let flow = story.document(&json!({"kind": "flow", "design": Digest::ZERO, "nodes": [node]}));
    let Body::Filed(filed) = &mut story.events[FLOW].2 else { panic!() };
    filed.digest = flow;
}

fn step(with: Value) -> Value {
    json!({"id": "create-vlan", "tool": "switch.vlan.create", "with": with})
}

fn undoable(story: &mut Story) {
    let undo = json!({"tool": "switch.vlan.delete", "with": {"vlan": 120}});
    flow(story, step(json!({"vlan": 120})), undo);
}

/// The same with a spec that says this too.
fn spec_with(story: &mut Story, field: &str, value: Value) {
    let mut spec = spec();
    spec[field] = value;
    let spec = story.document(&spec);
    let Body::Filed(filed) = &mut story.events[FILED].2 else { panic!() };
    filed.digest = spec;
}

/// The place of the call that clears up.
const CLEARS: usize = AS_BUILT;

/// After the step on sw01 one that runs whatever happened, on this target.
fn clearing_up(story: &mut Story, target: &str) {
    counted(story);
    let steps = ["create-vlan", "clear-up"].map(|id| {
        let step = json!({"id": id, "tool": "switch.vlan.create", "with": {"vlan": 120}, "always": id == "clear-up"});
        let id = if id == "clear-up" { json!(id) } else { json!(node()) };
        let target = if id == "clear-up" { target } else { "sw01" };
        json!({"id": id, "target": target, "needs": [], "step": step})
    });
    let flow = story.document(&json!({"kind": "flow", "design": Digest::ZERO, "nodes": steps}));
    let Body::Filed(filed) = &mut story.events[FLOW].2 else { panic!() };
    filed.digest = flow;
    let clears = NodeId::new(&"clear-up".parse().unwrap(), None);
    put(story, CLEARS, 3, Agent::Build, Purpose::Act { node: clears, attempt: 1, r#try: 1 });
    let call = call(story, CLEARS);
    call.target = target.into();
}

/// Puts a call and its answer before an event.
pub(super) fn put(story: &mut Story, at: usize, n: u64, agent: Agent, purpose: Purpose) {
    let time = story.events[at].0;
    let result = story.document(&json!({"n": n}));
    let answer = CallFinished {
        call: CallId::nth(n),
        outcome: CallOutcome::Ok,
        result: Some(result),
        sealed: false,
        message: None,
    };
    let made = allowed(n, agent, purpose, false);
    story.events.insert(at, (time, Actor::Program, Body::Finished(answer)));
    story.events.insert(at, (time, Actor::Agent(agent), Body::Allowed(Box::new(made))));
}

/// The step failed and left something; then it is looked at, and taken back without a call that was sent.
fn looked_and_undone(story: &mut Story, tried: bool) {
    settle(story, NodeOutcome::Failed, true);
    put(story, AS_BUILT, 3, Agent::Verifier, Purpose::BeforeUndo { node: node() });
    let mut at = AS_BUILT + 2;
    if tried {
        put(story, at, 4, Agent::Build, Purpose::Undo { node: node() });
        let Body::Finished(finished) = &mut story.events[at + 1].2 else { panic!() };
        (finished.outcome, finished.result) = (CallOutcome::NotSent, None);
        at += 2;
    }
    let (outcome, changed, reason) = (NodeOutcome::Undone, false, None);
    let undone = NodeSettled { node: node(), attempt: 1, outcome, changed, reason };
    let time = story.events[at - 1].0;
    story.events.insert(at, (time, Actor::Program, Body::Settled(undone)));
}

#[test]
fn what_was_seen_to_be_as_before_needs_no_call_to_be_taken_back() {
    let found = found(|s| looked_and_undone(s, false));
    assert!(!found.iter().any(|line| line.contains("taken back")), "{found:?}");
}

fn void(story: &mut Story, shown_by: u64) {
    finished(story, CallOutcome::Unknown);
    let void = CallVoid { call: CallId::nth(2), node: node(), attempt: 2, shown_by: CallId::nth(shown_by) };
    story.events[SETTLED].2 = Body::Void(void);
}

pub(super) fn found(change: impl Fn(&mut Story)) -> Vec<String> {
    let mut story = Story::whole("k7m2q");
    change(&mut story);
    let verification = verify(&story.bytes(), &story.blobs);
    verification.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_step_that_was_called_otherwise_is_found_though_every_link_holds() {
    type Forge = fn(&mut Story);
    let table: &[(&str, Forge, usize, &str)] = &[
        ("on another target", |s| call(s, ACT).target = "sw02".into(), ACT, "with another target"),
        (
            "with another value beside one that was not known",
            |s| {
                flow(s, step(json!({"vlan": 121, "name": {"cel": "steps.other.result.name"}})), Value::Null);
                call(s, ACT).args = json!({"vlan": 120, "name": "guest"}).as_object().unwrap().clone().into();
            },
            ACT,
            "with other arguments",
        ),
        (
            "without an argument that the flow has",
            |s| flow(s, step(json!({"vlan": 120, "name": {"cel": "steps.other.result.name"}})), Value::Null),
            ACT,
            "with other arguments",
        ),
        (
            "with a value outside what its hole may be",
            |s| flow(s, step(json!({"vlan": {"cel": "steps.other.result.id", "where": {"max": 100}}})), Value::Null),
            ACT,
            "with other arguments",
        ),
        (
            "with a value that no earlier step gave",
            |s| {
                let earlier = json!({
                    "id": "earlier", "target": "sw01", "needs": [],
                    "step": {"id": "earlier", "tool": "switch.vlan.create"},
                });
                let later = step(json!({"vlan": {"cel": "steps.earlier.result.n"}}));
                let later = json!({"id": node(), "target": "sw01", "needs": ["earlier"], "step": later});
                let flow = json!({"kind": "flow", "design": Digest::ZERO, "nodes": [earlier, later]});
                let flow = s.document(&flow);
                let Body::Filed(filed) = &mut s.events[FLOW].2 else { panic!() };
                filed.digest = flow;
                let Body::Settled(settled) = &s.events[SETTLED].2 else { panic!() };
                let earlier = NodeId::new(&"earlier".parse().unwrap(), None);
                let done = Body::Settled(NodeSettled { node: earlier.clone(), ..settled.clone() });
                let at = s.events[ACT].0;
                s.events.insert(ACT, (at, Actor::Program, done));
                put(s, ACT, 3, Agent::Build, Purpose::Act { node: earlier, attempt: 1, r#try: 1 });
            },
            ACT + 3,
            "with other arguments",
        ),
        (
            "once more, as another try",
            |s| {
                counted(s);
                call(s, ACT).purpose = Purpose::Act { node: node(), attempt: 1, r#try: 2 };
            },
            ACT,
            "is tried once",
        ),
        ("counted as another", |s| call(s, ACT).counts = Some("sw02".into()), ACT, "counted as something else"),
        ("without being counted", undoable, ACT, "without being counted"),
        (
            "without using its approval",
            |s| {
                counted(s);
                call(s, ACT).approved = false;
            },
            ACT,
            "without using the approval",
        ),
        (
            "with an argument outside its grant",
            |s| call(s, ACT).args = json!({"vlan": 666}).as_object().unwrap().clone().into(),
            ACT,
            "under `build.0`, outside which it is: `vlan` must be 120",
        ),
        (
            "outside the window",
            |s| {
                counted(s);
                spec_with(s, "window", json!({"from": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"}));
            },
            ACT,
            "as a change outside the window",
        ),
        (
            "after the last call that the spec allows",
            |s| spec_with(s, "limits", json!({"tool_calls": 1})),
            ACT,
            "after the 1 tool calls",
        ),
        (
            "to clear up after the last call, where nothing was done",
            |s| {
                spec_with(s, "limits", json!({"tool_calls": 1}));
                clearing_up(s, "sw02");
            },
            CLEARS,
            "after the 1 tool calls",
        ),
        (
            "without having been looked at once more",
            |s| {
                let before = json!({"state": null, "call": "c1"});
                let step = step(json!({"vlan": 120}));
                let node = json!({"id": node(), "target": "sw01", "needs": [], "step": step, "before": before});
                let flow = s.document(&json!({"kind": "flow", "design": Digest::ZERO, "nodes": [node]}));
                let Body::Filed(filed) = &mut s.events[FLOW].2 else { panic!() };
                filed.digest = flow;
            },
            ACT,
            "its state was not read again before",
        ),
        (
            "taken back otherwise",
            |s| {
                undoable(s);
                settle(s, NodeOutcome::Failed, true);
                put(s, AS_BUILT, 3, Agent::Build, Purpose::Undo { node: node() });
            },
            AS_BUILT,
            "otherwise than gate 2 was shown",
        ),
        (
            "taken back over what was changed since, and nobody said so",
            |s| {
                settle(s, NodeOutcome::Failed, true);
                put(s, AS_BUILT, 3, Agent::Verifier, Purpose::BeforeUndo { node: node() });
                let (what, calls) = ("x".into(), vec![CallId::nth(3)]);
                let (contract, actual) = (json!(1), json!(2));
                let found = DeviationFound { node: node(), what, contract, actual, calls, because: None, undo: true };
                let time = s.events[AS_BUILT].0;
                s.events.insert(AS_BUILT + 2, (time, Actor::Program, Body::Deviated(found)));
                put(s, AS_BUILT + 3, 4, Agent::Build, Purpose::Undo { node: node() });
            },
            AS_BUILT + 3,
            "nobody said yes to that",
        ),
        (
            "taken back elsewhere",
            |s| {
                settle(s, NodeOutcome::Failed, true);
                put(s, AS_BUILT, 3, Agent::Build, Purpose::Undo { node: node() });
                call(s, AS_BUILT).target = "sw02".into();
            },
            AS_BUILT,
            "on another target than it acted on",
        ),
        (
            "after the build",
            |s| {
                let again = Purpose::Act { node: node(), attempt: 1, r#try: 1 };
                put(s, AS_BUILT + 1, 3, Agent::Build, again);
            },
            AS_BUILT + 1,
            "in the as-built phase",
        ),
        (
            "looked at elsewhere",
            |s| {
                put(s, ACT, 3, Agent::Verifier, Purpose::Recheck { node: node(), attempt: 1 });
                let end = AS_BUILT + 3;
                put(s, end, 4, Agent::Verifier, Purpose::Observe { node: node() });
                call(s, end).target = "sw02".into();
            },
            AS_BUILT + 3,
            "and it reads something else",
        ),
        (
            "checked elsewhere",
            |s| {
                let read = json!({"tool": "switch.vlan.create", "with": {"vlan": 7}});
                spec_with(s, "acceptance", json!([{"id": "A1", "covers": [], "check": read, "expect": "true"}]));
                put(s, AS_BUILT + 1, 3, Agent::Verifier, Purpose::CheckAfter { check: "A1".into(), item: 0 });
            },
            AS_BUILT + 1,
            "and it reads something else",
        ),
    ];
    for (name, forge, at, what) in table {
        let found = found(forge);
        let place = format!("event {}: ", at + 1);
        assert!(found.iter().any(|line| line.starts_with(&place) && line.contains(what)), "{name}: {found:?}");
    }
}

#[test]
fn what_clears_up_where_something_was_done_goes_on_after_the_last_call() {
    let found = |target: &str| {
        found(|s| {
            spec_with(s, "limits", json!({"tool_calls": 2}));
            clearing_up(s, target);
        })
    };
    let after_all = |found: Vec<String>| found.iter().any(|line| line.contains("after the 2 tool calls"));
    assert!(after_all(found("sw02")) && !after_all(found("sw01")));
}

#[test]
fn a_step_comes_to_what_its_own_calls_show() {
    type Forge = fn(&mut Story);
    let table: &[(&str, Forge, usize, &str)] = &[
        (
            "in an attempt that it was not in",
            |s| {
                s.events[SETTLED].2 = Body::Settled(NodeSettled {
                    node: node(),
                    attempt: 2,
                    outcome: NodeOutcome::Done,
                    changed: true,
                    reason: None,
                });
            },
            SETTLED,
            "and it was in attempt 1",
        ),
        ("done, never called", not_called, ACT, "never called"),
        ("done, after an error", |s| finished(s, CallOutcome::Error), SETTLED, "did not succeed"),
        (
            "done, without a change",
            |s| {
                counted(s);
                settle(s, NodeOutcome::Done, false);
            },
            SETTLED,
            "done without a change",
        ),
        ("unchanged, and called", |s| settle(s, NodeOutcome::Unchanged, false), SETTLED, "though it was called"),
        ("not run, and called", |s| settle(s, NodeOutcome::NotRun, false), SETTLED, "though it was called"),
        (
            "unchanged, and nobody looked",
            |s| {
                settle(s, NodeOutcome::Unchanged, false);
                not_called(s);
            },
            ACT,
            "nobody looked",
        ),
        (
            "skipped for no reason",
            |s| {
                settle(s, NodeOutcome::Skipped, false);
                not_called(s);
            },
            ACT,
            "has no reason to",
        ),
        (
            "failed without a change, and nobody looked",
            |s| {
                counted(s);
                settle(s, NodeOutcome::Failed, false);
            },
            SETTLED,
            "nothing that was read shows that",
        ),
        ("taken back by nothing", |s| settle(s, NodeOutcome::Undone, false), SETTLED, "nothing that was called"),
        (
            "taken back, as was seen before what would have done it was tried",
            |s| looked_and_undone(s, true),
            AS_BUILT + 4,
            "nothing that was called",
        ),
        (
            "changed since, as no reading shows",
            |s| {
                let (what, calls) = ("x".into(), vec![CallId::nth(1)]);
                let (contract, actual) = (json!(1), json!(2));
                let found = DeviationFound { node: node(), what, contract, actual, calls, because: None, undo: true };
                let time = s.events[SETTLED].0;
                s.events.insert(SETTLED, (time, Actor::Program, Body::Deviated(found)));
            },
            SETTLED,
            "the reading that it must",
        ),
        ("void, by an earlier reading", |s| void(s, 1), SETTLED, "nothing that was read back shows it"),
        (
            "void, by a reading of another step",
            |s| {
                void(s, 3);
                let other = NodeId::new(&"other".parse().unwrap(), None);
                put(s, SETTLED, 3, Agent::Verifier, Purpose::ReadBack { node: other, attempt: 1 });
            },
            SETTLED + 2,
            "nothing that was read back shows it",
        ),
        (
            "known, without having been sent again",
            |s| {
                let known = s.events[ACT + 1].clone();
                finished(s, CallOutcome::Unknown);
                s.events.insert(ACT + 2, known);
            },
            ACT + 2,
            "without having been sent again",
        ),
    ];
    for (name, forge, at, what) in table {
        let found = found(forge);
        let place = format!("event {}: ", at + 1);
        assert!(found.iter().any(|line| line.starts_with(&place) && line.contains(what)), "{name}: {found:?}");
    }
}

/// A person is asked before an event whether the step's call, or its undo, took effect, and says this.
pub(super) fn say(story: &mut Story, at: usize, undo: bool, applied: bool) {
    let mut told = story.clone();
    told.gate(About::Unknown { node: node(), undo }, Digest::ZERO, &[]);
    story.blobs = told.blobs;
    let (answered, asked) = (told.events.pop().unwrap().2, told.events.pop().unwrap().2);
    let Body::Answered(answered) = answered else { panic!() };
    let answered = Answered { answer: Answer::Applied(applied), ..answered };
    let time = story.events[at].0;
    story.events.insert(at, (time, person("grace"), Body::Answered(answered)));
    story.events.insert(at, (time, Actor::Program, asked));
}

/// A person said that the step's call, of which nobody knew, took effect; what was read back before that, if anything was.
fn on_a_word(story: &mut Story, read_back: Option<CallOutcome>) {
    counted(story);
    finished(story, CallOutcome::Unknown);
    let Body::Finished(lost) = &mut story.events[ACT + 1].2 else { panic!() };
    lost.result = None;
    say(story, SETTLED, false, true);
    if let Some(outcome) = read_back {
        put(story, SETTLED, 4, Agent::Verifier, Purpose::ReadBack { node: node(), attempt: 1 });
        let Body::Finished(read) = &mut story.events[SETTLED + 1].2 else { panic!() };
        (read.outcome, read.result) = (outcome, None);
    }
    put(story, ACT, 3, Agent::Verifier, Purpose::Recheck { node: node(), attempt: 1 });
}

#[test]
fn a_persons_word_stands_in_for_a_reading_only_where_it_was_tried_in_vain() {
    let unread = |read_back| found(|s| on_a_word(s, read_back)).iter().any(|line| line.contains("was not read back"));
    assert!(unread(None));
    assert!(!unread(Some(CallOutcome::Error)) && !unread(Some(CallOutcome::Unknown)));
}

#[test]
fn what_is_read_in_other_words_is_the_same() {
    let alike = |one: Value, other: Value| super::steps::alike(&one, &other);
    assert!(alike(json!("Web01.Example"), json!("web01.example")));
    assert!(alike(json!("2001:db8:0::1"), json!("2001:db8::1")));
    assert!(alike(json!({"a": ["X"]}), json!({"a": ["x"], "more": 1})));
    assert!(!alike(json!("192.0.2.1"), json!("192.0.21")));
    assert!(!alike(json!("app01"), json!("evil")));
    assert!(!alike(json!(120), json!("120")));
    assert!(!alike(json!([1, 2]), json!([1])));
}

/// What verification finds where a step of a closed engagement is tried again in this attempt.
fn tried_again(mut story: Story, attempt: u32) -> Vec<String> {
    let nodes = BTreeMap::from([("create-vlan/sw01".to_owned(), attempt)]);
    story.tell(person("grace"), Body::Retried(Retried { nodes, calls: vec![digest_for("k7m2q", &act())] }));
    let again = Purpose::Act { node: act().node().unwrap().clone(), attempt, r#try: 1 };
    let mut again = allowed(3, Agent::Build, again, true);
    again.digest = digest_for("k7m2q", &act());
    story.tell(Actor::Agent(Agent::Build), Body::Allowed(Box::new(again)));
    let verification = verify(&story.bytes(), &story.blobs);
    verification.problems.into_iter().map(|problem| problem.what).collect()
}

#[test]
fn a_step_is_tried_again_only_where_it_failed_and_in_its_next_attempt() {
    let mut failed = Story::whole("k7m2q");
    for (.., body) in &mut failed.events {
        match body {
            Body::Finished(finished) if finished.call == CallId::nth(2) => {
                (finished.outcome, finished.result) = (CallOutcome::NotSent, None);
            }
            Body::Settled(settled) => (settled.outcome, settled.changed) = (NodeOutcome::Failed, false),
            _ => {}
        }
    }
    failed.reconcile();
    let again = |attempt| {
        let story = Story { id: failed.id.clone(), events: failed.events.clone(), blobs: failed.blobs.clone() };
        tried_again(story, attempt)
    };
    assert_eq!(again(2), [""; 0]);
    for found in [again(1), again(7), tried_again(Story::whole("k7m2q"), 2)] {
        assert!(found.iter().any(|what| what.contains("nothing that it came to lets it")), "{found:?}");
    }
}
