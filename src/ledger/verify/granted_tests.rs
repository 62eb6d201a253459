//! Calls that no approved spec lets through, in a chain whose every link holds, each with what is found and where.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::{
    artifact::{Agent, CallId, NodeId},
    engagement::{Answered, CallAllowed, NodeSettled, Purpose},
    flow::NodeOutcome,
    ledger::testing::{Story, allowed, digest_for, noon},
};

/// The places of the events.
const READ: usize = 5;
const ANSWERED: usize = 11;
const FLOW: usize = 13;
const ACT: usize = 14;
const SETTLED: usize = 16;

fn call(story: &mut Story, at: usize) -> &mut CallAllowed {
    let Body::Allowed(call) = &mut story.events[at].2 else { panic!() };
    call
}

fn answer(story: &mut Story) -> &mut Answered {
    let Body::Answered(answered) = &mut story.events[ANSWERED].2 else { panic!() };
    answered
}

fn node() -> NodeId {
    let Purpose::Act { node, .. } = crate::ledger::testing::act() else { panic!() };
    node
}

/// Another call of the build agent, after the step is settled.
fn another(story: &mut Story, purpose: Purpose, grant: &str) {
    let digest = digest_for("k7m2q", &purpose);
    let call = CallAllowed { digest, grant: grant.into(), ..allowed(3, Agent::Build, purpose, false) };
    let at = noon() + SignedDuration::from_secs(SETTLED as i64);
    story.events.insert(SETTLED + 1, (at, Actor::Agent(Agent::Build), Body::Allowed(Box::new(call))));
}

fn undo(story: &mut Story, grant: &str) {
    another(story, Purpose::Undo { node: node() }, grant);
}

fn settle(story: &mut Story, outcome: NodeOutcome, changed: bool) {
    let settled = NodeSettled { node: node(), attempt: 1, outcome, changed, reason: None };
    story.events[SETTLED].2 = Body::Settled(settled);
}

/// Gives the step of the flow another one that it needs, which nothing has done.
fn needs_another(story: &mut Story) {
    let step = json!({"id": "create-vlan", "tool": "switch.vlan.create", "with": {"vlan": 120}});
    let node = json!({"id": node(), "target": "sw01", "needs": ["other"], "step": step});
    let flow = story.document(&json!({"kind": "flow", "design": Digest::ZERO, "nodes": [node]}));
    let Body::Filed(filed) = &mut story.events[FLOW].2 else { panic!() };
    filed.digest = flow;
}

fn found(change: impl Fn(&mut Story)) -> Vec<String> {
    let mut story = Story::whole("k7m2q");
    change(&mut story);
    story.reconcile();
    let verification = verify(&story.bytes(), &story.blobs);
    verification.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_call_that_no_grant_lets_through_is_found_though_every_link_holds() {
    type Forge = fn(&mut Story);
    let table: &[(&str, Forge, usize, &str)] = &[
        ("a grant that is not there", |s| call(s, ACT).grant = "build.7".into(), ACT, "spec does not have"),
        ("a grant by no name", |s| call(s, ACT).grant = "build".into(), ACT, "spec does not have"),
        ("no grant", |s| call(s, READ).grant = String::new(), READ, "spec does not have"),
        ("a read under a build grant", |s| call(s, READ).grant = "build.0".into(), READ, "which is not for it"),
        ("a build under a grant to read", |s| call(s, ACT).grant = "discover.0".into(), ACT, "which is not for it"),
        (
            "another tool",
            |s| call(s, READ).tool = "switch.vlan.delete".parse().unwrap(),
            READ,
            "which is for another tool",
        ),
        ("a change under a grant to read", |s| call(s, READ).counts = Some("sw01".into()), READ, "only lets it read"),
        ("a change for a read", |s| call(s, READ).counts = Some("sw01".into()), READ, "as a change, and it was to"),
        (
            "an attempt that nobody began",
            |s| call(s, ACT).purpose = Purpose::Act { node: node(), attempt: 2, r#try: 1 },
            ACT,
            "which was in attempt 1",
        ),
        (
            "an approval that had ended",
            |s| answer(s).expires = Some(noon() + SignedDuration::from_secs(ACT as i64)),
            ACT,
            "after that approval had ended",
        ),
        ("a step before what it needs", needs_another, ACT, "before other, which it needs, was done"),
        ("an undo of what is done", |s| undo(s, "build.0.undo"), SETTLED + 1, "no step had failed"),
        (
            "an undo of what left nothing",
            |s| {
                settle(s, NodeOutcome::Failed, false);
                undo(s, "build.0.undo");
            },
            SETTLED + 1,
            "nothing to take back",
        ),
        (
            "an undo under the grant itself",
            |s| {
                settle(s, NodeOutcome::Failed, true);
                undo(s, "build.0");
            },
            SETTLED + 1,
            "under `build.0` to undo",
        ),
        (
            "an undo of another grant's",
            |s| {
                settle(s, NodeOutcome::Failed, true);
                call(s, ACT).grant = "build.1".into(); // for another tool, which is found too
                undo(s, "build.0.undo");
            },
            SETTLED + 1,
            "did not act under `build.0`",
        ),
        (
            "more effects than the grant allows",
            |s| {
                call(s, ACT).counts = Some("sw01".into());
                let node = NodeId::new(&"create-vlan".parse().unwrap(), Some("sw02"));
                another(s, Purpose::Act { node, attempt: 1, r#try: 1 }, "build.0");
                call(s, SETTLED + 1).counts = Some("sw02".into());
            },
            SETTLED + 1,
            "as effect 2 under `build.0`, which allows 1",
        ),
        (
            "a proposal that is counted as a step",
            |s| {
                call(s, ACT).counts = Some(node().to_string());
                another(s, Purpose::Proposed { n: 3 }, "build.0");
                call(s, SETTLED + 1).counts = Some(node().to_string());
            },
            SETTLED + 1,
            "and counted as something else",
        ),
    ];
    for (name, forge, at, what) in table {
        let found = found(forge);
        let place = format!("event {}: ", at + 1);
        assert!(found.iter().any(|line| line.starts_with(&place) && line.contains(what)), "{name}: {found:?}");
    }
}

#[test]
fn an_undo_of_what_a_failed_step_left_is_within_its_grant() {
    let found = found(|story| {
        settle(story, NodeOutcome::Failed, true);
        undo(story, "build.0.undo");
        assert_eq!(call(story, SETTLED + 1).call, CallId::nth(3));
        story.events.truncate(SETTLED + 2);
    });
    // It is within its grant, and not its turn: the flow says that nothing is taken back.
    assert_eq!(found, ["event 18: c3 allowed to take create-vlan/sw01 back, and every step was settled"]);
}

#[test]
fn an_approval_that_has_not_ended_and_a_count_that_is_not_used_up_are_good() {
    let found = found(|story| {
        answer(story).expires = Some(noon() + SignedDuration::from_secs(ACT as i64 + 1));
        call(story, ACT).counts = Some(node().to_string());
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_change_that_nobody_approved_is_named_and_at_stage_1_wrong_under_the_policies_that_ship() {
    let verified = |stage: u64, policies: Value| {
        let mut story = Story::whole("k7m2q");
        let basis = story.document(&json!({"standing": {"stage": stage}, "catalog": {"policies": policies}}));
        let act = call(&mut story, ACT);
        (act.decided_on, act.counts, act.approved) = (basis, Some(node().to_string()), false);
        let spoke = crate::policy::Spoke {
            layer: crate::policy::Layer::Stage,
            rule: "writes-run".into(),
            reason: "they may".into(),
        };
        act.rules = vec![spoke];
        answer(&mut story).calls.clear();
        story.reconcile();
        verify(&story.bytes(), &story.blobs)
    };
    let shipped = crate::policy::PolicyTexts {
        guardrails: include_str!("../../../policies/guardrails.cedar"),
        stages: include_str!("../../../policies/stages.cedar"),
        gates: include_str!("../../../policies/gates.cedar"),
    };
    let shipped = json!(shipped.digest().unwrap());
    let found = verified(1, shipped.clone());
    let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["event 15: c2 allowed as a change at trust stage 1, which nobody approved"]);
    for found in [verified(2, shipped), verified(1, json!(Digest::ZERO))] {
        assert!(found.ok, "{:?}", found.problems);
        let note = "without anybody's approval of the call, on a rule that is not tried here: 1 change: c2 (step \
                    create-vlan/sw01) by `writes-run`";
        assert!(found.notes.iter().any(|said| said == note), "{:?}", found.notes);
    }
}
