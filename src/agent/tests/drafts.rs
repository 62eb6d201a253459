//! What a draft may not say, each with what is said of it.

use serde_json::{Value, json};

use super::{Studio, calls, design, desk::Stop, report, text};
use crate::{
    artifact::CapabilityStatus,
    engagement::{Body, DraftReturned},
    record::fixture::Chain,
};

fn returned(studio: &Studio) -> DraftReturned {
    let last = studio.chain.events.iter().rev().find_map(|event| match &event.body {
        Body::Returned(returned) => Some(returned.clone()),
        _ => None,
    });
    last.expect("nothing was given back")
}

fn reading() -> Studio {
    let mut studio = Studio::approved();
    let reads = calls(&[("vlan.list", json!({"switch": "sw01"})), ("vlan.list", json!({"switch": "sw02"}))]);
    assert_eq!(studio.hears([reads]), Stop::Silent);
    studio
}

#[test]
fn a_report_rests_on_calls_of_this_engagement_and_does_not_contradict_them() {
    type Change = fn(&mut Value);
    let table: Vec<(&str, Change, &str)> = vec![
        ("a call that was not made", |r| r["findings"][0]["calls"] = json!(["c99"]), "there was no call c99"),
        ("no call at all", |r| r["findings"][0]["calls"] = json!([]), "findings.0.calls: it cites no call"),
        ("a read that was not made", |r| r["reads"][0]["call"] = json!("c99"), "reads.0.call: no call c99"),
        (
            "a read without a call",
            |r| drop(r["reads"][0].as_object_mut().unwrap().remove("call")),
            "reads.0.call: name the id",
        ),
        ("a name twice", |r| r["reads"][1]["item"] = r["reads"][0]["item"].clone(), "`vlans` stands twice"),
        ("a read of another target", |r| r["reads"][1]["item"] = json!("sw03"), "it names sw03, and "),
        (
            "a blocked capability",
            |r| r["capabilities"][0]["status"] = json!("blocked"),
            "a needed capability is blocked",
        ),
        ("a tool that is none", |r| r["capabilities"][0]["tool"] = json!("vlan.burn"), "there is no tool `vlan.burn`"),
        (
            "a tool that is not granted",
            |r| r["capabilities"][0]["tool"] = json!("vlan.delete"),
            "does not grant `vlan.delete`",
        ),
        ("silence about what is granted", |r| r["capabilities"] = json!([]), "say whether `vlan.create` is there"),
        ("a field of its own", |r| r["approved"] = json!(true), "approved"),
        ("a verdict that is none", |r| r["verdict"] = json!("yes"), "yes"),
    ];
    for (name, change, says) in table {
        let mut studio = reading();
        let mut found = report(&studio);
        change(&mut found);
        assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent, "{name}");
        let said = returned(&studio);
        assert!(!said.malformed, "{name}");
        assert!(said.problems.join("; ").contains(says), "{name}: {:?}", said.problems);
    }
}

#[test]
fn a_refused_call_shows_nothing_and_what_it_was_for_is_blocked() {
    let mut studio = reading();
    let mut found = report(&studio);
    assert_eq!(studio.hears([calls(&[("port.list", json!({"switch": "sw01"}))])]), Stop::Silent);
    let refused = studio.chain.state().calls.iter().find(|(_, call)| call.refused.is_some()).unwrap().0.to_string();
    found["findings"][0]["calls"].as_array_mut().unwrap().push(json!(refused));
    assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent);
    let said = returned(&studio).problems.join("; ");
    assert!(said.contains(&format!("{refused} was refused, so it shows nothing")), "{said}");
    // It can be said, and ends the engagement with its reason, without a call that shows nothing.
    found["findings"] = json!([]);
    found["verdict"] = json!("not_feasible");
    found["capabilities"] = json!([{"need": "the ports", "status": "blocked", "tool": "port.list"}]);
    let Stop::Closed(closed) = studio.hears([text(&found.to_string())]) else { panic!("{:?}", returned(&studio)) };
    assert!(closed.reason.contains("the ports is needed and blocked (`port.list`)"), "{}", closed.reason);
}

#[test]
fn a_simulated_tool_is_stubbed_and_one_that_is_said_to_be_makes_no_feasible_verdict() {
    let mut studio = reading();
    let found = report(&studio);
    assert_eq!(found["capabilities"][0]["status"], "resolved");
    studio.hears([text(&found.to_string())]);
    let filed = studio.chain.documents.discovery().unwrap();
    assert_eq!(filed.capabilities[0].status, CapabilityStatus::Stubbed);

    let real = |manifest: &str| manifest.replace("simulated: true", "simulated: false");
    let mut studio = Studio::of(Chain::words("VLAN 120").with_manifest(real));
    assert!(matches!(studio.hears([text(&super::spec().to_string())]), Stop::Gate(_)));
    studio.approves(crate::engagement::About::Gate1);
    studio.hears([calls(&[("vlan.list", json!({"switch": "sw01"}))])]);
    let mut found = report(&studio);
    found["capabilities"][0]["status"] = json!("stubbed");
    assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent);
    let said = returned(&studio).problems.join("; ");
    assert!(said.contains("`vlan.create` does not do the real thing") && said.contains("`with_constraints`"), "{said}");
    found["verdict"] = json!("with_constraints");
    assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent);
    assert!(studio.chain.documents.discovery().is_some());
}

#[test]
fn what_the_program_computes_is_not_taken_from_a_model() {
    let mut studio = reading();
    let mut found = report(&studio);
    found["acceptance"] = json!([{"check": "A1", "holds": true, "calls": []}]);
    found["spec"] = json!("sha256:made up");
    found["reads"][0]["tool"] = json!("dns.records.list");
    found["reads"][0]["with"] = json!({"zone": "evil.example"});
    found["reads"][0]["result"] = json!("made up");
    assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent);
    let filed = studio.chain.documents.discovery().unwrap();
    assert_eq!(filed.acceptance[0].holds, Some(false));
    assert_eq!(filed.reads[0].tool.as_str(), "vlan.list");
    assert_eq!(filed.reads[0].args["switch"], "sw01");
}

#[test]
fn a_feasible_verdict_does_not_stand_against_a_broken_invariant() {
    let mut studio = Studio::new("VLAN 120");
    assert!(matches!(studio.hears([text(&super::spec().to_string())]), Stop::Gate(_)));
    studio.chain.network.vlans.get_mut("sw01").unwrap().remove(&1);
    studio.approves(crate::engagement::About::Gate1);
    studio.hears([calls(&[("vlan.list", json!({"switch": "sw01"}))])]);
    let found = report(&studio);
    assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent);
    let said = returned(&studio).problems.join("; ");
    assert!(said.contains("the invariant A2 does not hold") && said.contains("at least `with_changes`"), "{said}");
}

#[test]
fn a_design_is_checked_as_one_that_a_person_writes() {
    type Change = fn(&mut Value);
    let table: Vec<(&str, Change, &str)> = vec![
        ("a tool outside", |d| d["steps"][0]["tool"] = json!("vlan.delete"), "vlan.delete"),
        (
            "arguments outside",
            |d| {
                drop(d["steps"][0].as_object_mut().unwrap().remove("for_each"));
                d["steps"][0]["with"] = json!({"switch": "sw01", "id": 121, "name": "guest"});
            },
            "id",
        ),
        ("arguments outside beside holes", |d| d["steps"][0]["with"]["id"] = json!(121), "id"),
        ("a check that nothing makes true", |d| d["acceptance"] = json!({}), "A1"),
        ("a step that is none", |d| d["acceptance"]["A1"] = json!(["burn"]), "burn"),
        ("a circle", |d| d["steps"][0]["needs"] = json!(["create"]), "create"),
        ("inputs of its own", |d| d["steps"][0]["with"]["name"] = json!({"cel": "inputs.nobody"}), "name"),
    ];
    for (name, change, says) in table {
        let mut studio = reading();
        let found = report(&studio);
        let mut drafted = design();
        change(&mut drafted);
        assert_eq!(studio.hears([text(&found.to_string()), text(&drafted.to_string())]), Stop::Silent, "{name}");
        let said = returned(&studio);
        assert!(said.problems.join("; ").contains(says), "{name}: {:?}", said.problems);
    }
}
