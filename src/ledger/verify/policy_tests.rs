//! What policy is said to have answered, in a chain whose every link holds.

use serde_json::json;

use super::*;
use crate::{
    artifact::digest_of,
    engagement::PolicyAnswer,
    ledger::testing::{Story, id, spec},
    policy::{Layer, Spoke},
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
    let verification = verify(&story.bytes(), &|digest| story.blobs.get(digest).cloned());
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
