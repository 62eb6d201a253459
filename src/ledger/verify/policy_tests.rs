//! What policy is said to have answered, in a chain whose every link holds.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::{
    artifact::digest_of,
    engagement::{PolicyAnswer, RequestDocument},
    ledger::testing::{Story, id, request, spec},
    policy::{GateFacts, Layer, Spoke},
};

/// The facts that gate 1 is said to have been decided on.
fn facts() -> Value {
    json!({
        "action": "approve-spec", "stage": 3, "requester": "ada", "blueprint": "vlan", "as_blueprint": true,
        "environments": ["lab"], "tags": [], "targets": 1, "targets_known": true, "simulated": true, "grants": 1,
        "steps": 0, "changes": 1, "destructive": 0, "irreversible": 0, "unproven_undos": 0, "rollback_required": true,
        "window_hours": null, "proven": "not_proven", "deviation": "",
    })
}

/// What is found where policy answered gate 1 on these facts, by these rules and policies.
fn found(facts: &Value, layer: Layer, policies: &Value) -> Vec<String> {
    let mut story = Story::whole("k7m2q");
    story.events.truncate(4);
    let request = story.document(&json!({
        "engagement": id("k7m2q"), "about": "gate1", "artifact": digest_of(&spec()).unwrap(),
        "standing": {"stage": 3}, "decided_on": {"policies": digest_of(&json!("as they are")).unwrap()},
        "facts": {"environments": ["lab"], "simulated": true, "writes": 1, "destructive": 0, "irreversible": []},
    }));
    (story.asked().request, story.asked().stage) = (request, 3);
    let facts = story.document(facts);
    let rules = vec![Spoke { layer, rule: "small".into(), reason: "it is small".into() }];
    let policy = PolicyAnswer { rules, facts, policies: digest_of(policies).unwrap() };
    (story.answered().request, story.answered().policy) = (request, Some(policy));
    story.events[3].1 = Actor::Policy;
    let verification = verify(&story.bytes(), &story.blobs);
    verification.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn policy_answers_on_the_facts_and_the_policies_that_the_question_was_asked_on() {
    let are = json!("as they are");
    assert_eq!(found(&facts(), Layer::Gate, &are), Vec::<String>::new());
    let with = |field: &str, value: Value| {
        let mut facts = facts();
        facts[field] = value;
        facts
    };
    for (facts, layer, policies, what) in [
        (facts(), Layer::Gate, json!("others"), "on other policies than"),
        (facts(), Layer::Guardrails, are.clone(), "by rules that are not about gates"),
        (json!({"anything": 1}), Layer::Gate, are.clone(), "on facts that cannot be read"),
        (with("action", json!("approve-design")), Layer::Gate, are.clone(), "on other facts than"),
        (with("stage", json!(2)), Layer::Gate, are.clone(), "on other facts than"),
        (with("requester", json!("grace")), Layer::Gate, are.clone(), "on other facts than"),
        (with("blueprint", json!("dns")), Layer::Gate, are.clone(), "on other facts than"),
        (with("environments", json!(["production"])), Layer::Gate, are.clone(), "on other facts than"),
        (with("simulated", json!(false)), Layer::Gate, are.clone(), "on other facts than"),
        (with("changes", json!(null)), Layer::Gate, are.clone(), "on other facts than"),
        (with("destructive", json!(9)), Layer::Gate, are.clone(), "on other facts than"),
        (with("irreversible", json!(1)), Layer::Gate, are, "on other facts than"),
    ] {
        let found = found(&facts, layer, &policies);
        assert!(found.iter().any(|line| line.starts_with("event 4: ") && line.contains(what)), "{what}: {found:?}");
    }
}

/// What is found where policy answered gate 1 by these rules, and people, policies, tools and targets lie beside it.
fn found_beside(told: &Value, rules: &[Spoke], gates: &str) -> Vec<String> {
    let mut story = Story::whole("k7m2q");
    story.events.truncate(4);
    let spec = json!({
        "kind": "spec", "title": "Add VLAN 120", "requirements": [], "acceptance": [],
        "boundary": {"build": [{"tool": "switch.vlan.create", "where": {"switch": {"is": "sw01"}}, "at_most": 1}]},
    });
    let mut asked = request();
    asked["blueprint"]["spec"] = spec;
    let request = story.document(&asked);
    let asked = RequestDocument::deserialize(asked).unwrap();
    let spec = crate::agent::draft_spec(&asked, request).unwrap();
    let Body::Requested(requested) = &mut story.events[0].2 else { panic!() };
    requested.request = request;
    let Body::Filed(filed) = &mut story.events[1].2 else { panic!() };
    (filed.digest, filed.made_from) = (digest_of(&spec).unwrap(), vec![request]);
    story.document(&json!(spec));
    let tool = json!({"effect": "write", "args": {"properties": {}}, "target": "switch", "undo": {}});
    let tool = json!({"tool": tool, "server": null, "pin": null, "simulated": true});
    let target = json!({"name": "sw01", "is": "switch", "environment": "lab", "tags": ["spare"], "groups": []});
    let (tool, target) = (story.document(&tool), story.document(&target));
    let policies = story.document(&json!({"guardrails": "", "stages": "", "gates": gates}));
    let people: crate::facts::People = serde_json::from_value(json!({"kind": "people", "people": []})).unwrap();
    let people = story.document(&serde_json::to_value(people).unwrap());
    let request = story.document(&json!({
        "engagement": id("k7m2q"), "about": "gate1", "artifact": digest_of(&spec).unwrap(),
        "standing": {"stage": 3}, "grounds_kept": true,
        "decided_on": {"policies": policies, "people": people, "tools": policies, "inventory": policies},
        "approved_on": {"tools": {"switch.vlan.create": tool}, "targets": {"sw01": target},
                        "unlisted_targets": false},
        "facts": {"environments": ["lab"], "targets": ["sw01"], "unlisted_targets": false, "simulated": true,
                  "writes": 1, "destructive": 0, "irreversible": [], "risk": "low"},
    }));
    (story.asked().request, story.asked().stage) = (request, 3);
    let facts = story.document(told);
    let policy = PolicyAnswer { rules: rules.to_vec(), facts, policies };
    (story.answered().request, story.answered().policy) = (request, Some(policy));
    story.events[3].1 = Actor::Policy;
    let verification = verify(&story.bytes(), &story.blobs);
    verification.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_rules_of_gates_cedar_are_asked_again_about_facts_that_follow_from_what_lies_there() {
    let gates = include_str!("../../../policies/gates.cedar");
    let with = |field: &str, value: Value| {
        let mut facts = facts();
        facts["tags"] = json!(["spare"]);
        facts[field] = value;
        facts
    };
    let right = with("steps", json!(0));
    let asked: GateFacts = serde_json::from_value(right.clone()).unwrap();
    let Ok(crate::policy::GateRuling::Approve { rules, .. }) = crate::policy::gate_ruling(gates, &asked) else {
        panic!("the shipped policies let this pass")
    };
    assert_eq!(found_beside(&right, &rules, gates), Vec::<String>::new());
    let other = vec![Spoke { rule: "small-lab-design".into(), ..rules[0].clone() }];
    let design_only =
        "@id(\"one\")\n@reason(\"it is one\")\npermit (principal, action == Action::\"approve-design\", resource);";
    for (facts, rules, gates, what) in [
        (with("tags", json!([])), &rules, gates, "on other facts than it was asked on"),
        (with("steps", json!(7)), &rules, gates, "on other facts than it was asked on"),
        (with("unproven_undos", json!(1)), &rules, gates, "on other facts than it was asked on"),
        (with("targets", json!(0)), &rules, gates, "on other facts than it was asked on"),
        (with("grants", json!(2)), &rules, gates, "on other facts than it was asked on"),
        (with("rollback_required", json!(false)), &rules, gates, "on other facts than it was asked on"),
        (with("window_hours", json!(1)), &rules, gates, "on other facts than it was asked on"),
        (with("proven", json!("proven")), &rules, gates, "on other facts than it was asked on"),
        (right.clone(), &other, gates, "by other rules than allow it"),
        (right.clone(), &rules, design_only, "which its gates.cedar leaves to a person"),
        (right, &rules, "permit (", "by a gates.cedar that cannot be read"),
    ] {
        let found = found_beside(&facts, rules, gates);
        assert!(found.iter().any(|line| line.starts_with("event 4: ") && line.contains(what)), "{what}: {found:?}");
    }
}
