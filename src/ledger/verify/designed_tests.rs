//! Flows that are not their design's, and steps that ran without the approval that the design wants.

use serde_json::{Value, json};

use super::*;
use crate::{
    artifact::digest_of,
    engagement::{About, Actor, Asked, Body},
    facts::Role,
    ledger::testing::{Story, design, digest_for, node},
};

const DESIGN: usize = 9;
const FLOW: usize = 13;
const ACT: usize = 14;

fn step() -> Value {
    design()["steps"][0].clone()
}

/// A story with these steps in its design and in its flow, and what is found at an event.
fn found(designed: &[Value], built: &[Value], at: usize) -> Vec<String> {
    let mut story = Story::whole("k7m2q");
    let mut design = design();
    design["steps"] = json!(designed);
    let design = story.document(&design);
    let nodes: Vec<Value> =
        built.iter().map(|step| json!({"id": node(), "target": "sw01", "needs": [], "step": step})).collect();
    let flow = story.document(&json!({"kind": "flow", "design": design, "nodes": nodes}));
    for (place, digest) in [(DESIGN, design), (FLOW, flow)] {
        let Body::Filed(filed) = &mut story.events[place].2 else { panic!() };
        filed.digest = digest;
    }
    at_event(&story, at)
}

fn at_event(story: &Story, at: usize) -> Vec<String> {
    let problems = verify(&story.bytes(), &story.blobs).problems;
    problems.into_iter().filter(|problem| problem.seq == at as u64 + 1).map(|problem| problem.what).collect()
}

fn with(field: &str, value: Value) -> Value {
    let mut step = step();
    step[field] = value;
    step
}

#[test]
fn a_flow_has_the_steps_of_its_design_and_each_as_it_is_there() {
    let says = |found: &[String], what: &str| found.iter().any(|found| found.contains(what));
    let other = "is not as the design has it";
    assert!(!says(&found(&[step()], &[step()], FLOW), other));
    for (field, value) in [
        ("tool", json!("switch.vlan.delete")),
        ("with", json!({"vlan": 121})),
        ("with", json!({})),
        ("on_failure", json!("continue")),
        ("approval", json!("owner")),
        ("always", json!(true)),
        ("verify", json!(null)),
        ("when", json!("false")),
    ] {
        // What the design leaves out may be what the tool takes then, which is not here.
        let left_out = value == json!({});
        let changed = with(field, value);
        assert!(says(&found(&[step()], std::slice::from_ref(&changed), FLOW), other), "{changed}");
        let turned = says(&found(std::slice::from_ref(&changed), &[step()], FLOW), other);
        assert_eq!(turned, !left_out, "{changed}");
    }
    let more = with("id", json!("more"));
    assert!(says(&found(&[step()], &[step(), more.clone()], FLOW), other));
    assert!(says(&found(&[step(), more], &[step()], FLOW), "step more of the design is left out"));
    let holds = with("when", json!("true"));
    assert!(!says(&found(&[holds], &[step()], FLOW), other), "it is asked when the flow is made");
    // What is worked out from what was read is the flow's to say; what is worked out from the inputs is not.
    let read = with("with", json!({"vlan": {"cel": "facts.free"}}));
    assert!(!says(&found(&[read], &[step()], FLOW), other));
    let given = with("with", json!({"vlan": {"cel": "100 + 21"}}));
    assert!(says(&found(&[given], &[step()], FLOW), other));
}

#[test]
fn a_step_that_wants_an_approval_of_its_own_has_one_in_its_role() {
    let wants = with("approval", json!("owner"));
    let ran = found(std::slice::from_ref(&wants), std::slice::from_ref(&wants), ACT);
    assert!(ran.iter().any(|found| found.contains("which wants each call approved by an owner by itself")), "{ran:?}");
    for (role, fits) in [(Role::Approver, false), (Role::Owner, true)] {
        let mut story = Story::whole("k7m2q");
        let flow = json!({"kind": "flow", "design": digest_of(&design()).unwrap(), "nodes": [
            {"id": node(), "target": "sw01", "needs": [], "step": wants}]});
        let flow = story.document(&flow);
        let Body::Filed(filed) = &mut story.events[FLOW].2 else { panic!() };
        filed.digest = flow;
        let about = About::Call { node: node(), call: digest_for("k7m2q", &crate::ledger::testing::act()) };
        let request = story.document(&json!({"engagement": story.id, "about": about}));
        story.events.truncate(ACT);
        story.tell(Actor::Program, Body::Asked(Asked::new(about, request, role)));
        let found = at_event(&story, ACT);
        assert_eq!(found.iter().any(|found| found.contains("and the design wants an owner")), !fits, "{found:?}");
    }
}
