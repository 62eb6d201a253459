//! A step that fails while the flow runs, in an engagement that models draft: what the build agent wants then runs only
//! where a person accepts it, once, and counts only where it is seen.

use serde_json::{Value, json};

use crate::{
    agents::{drafts, reads, report, scripted, spec_of, to_record},
    bench::{Bench, outcomes},
    crash::killed_at,
};

fn spec() -> Value {
    let mut spec = spec_of("vlan", &["id=120", "name=guest", "switches=sw01,sw02"]);
    spec["boundary"]["build"][0]["at_most"] = json!(4);
    let mut rename = spec["boundary"]["build"][0].clone();
    rename["tool"] = json!("vlan.rename");
    spec["boundary"]["build"].as_array_mut().unwrap().push(rename);
    spec
}

fn design(on_failure: &str) -> Value {
    json!({
        "steps": [{
            "id": "create", "tool": "vlan.create", "on_failure": on_failure,
            "for_each": {"items": "inputs.switches", "at_most": 2},
            "with": {"switch": {"cel": "item"}, "id": {"cel": "inputs.id"}, "name": {"cel": "inputs.name"}},
        }],
        "acceptance": {"A1": ["create"]},
    })
}

/// What the build agent says of the failure.
fn says(document: Value) -> Value {
    json!({"agent": "build", "drafting": "failure", "expect": ["This step failed", "create/sw01"], "document": document})
}

fn wants(step: &str, tool: &str, switch: &str) -> Value {
    let with = json!({"switch": switch, "id": 120, "name": "guest"});
    let call = json!({"step": step, "tool": tool, "with": with, "because": "switches are busy for a moment only"});
    says(json!({"calls": [call], "because": "the switch was busy"}))
}

/// An engagement that is approved at gate 2, where the first switch goes wrong so and the build agent answers so.
fn approved(on_failure: &str, fault: &str, turns: &[Value]) -> (Bench, String) {
    let mut all = vec![
        drafts("requirements", "spec", spec()),
        reads(&[("vlan.list", json!({"switch": "sw01"})), ("vlan.list", json!({"switch": "sw02"}))]),
        report(&["vlan.create", "vlan.rename"], &[("vlans", Some("sw01"), "c5"), ("vlans", Some("sw02"), "c6")]),
        drafts("design", "design", design(on_failure)),
    ];
    all.extend_from_slice(turns);
    let bench = scripted(&all);
    let mut models: Value = serde_json::from_str(&bench.read("policies/models.yaml")).unwrap();
    models["roles"]["build"] = models["roles"]["design"].clone();
    bench.write("policies/models.yaml", &models.to_string());
    bench.edit("tools/lab.yaml", "timeout_seconds: 5", "timeout_seconds: 1");
    bench.run(&["tools", "pin", "--yes"]).code(0);
    let id = bench.request(&["--text", "VLAN 120 guest on sw01 and sw02"]);
    bench.to_gate2(&id);
    bench.fault(fault);
    bench.approve(&id);
    (bench, id)
}

/// An engagement whose failed step was put right by what the build agent wanted, to its end.
pub fn put_right() -> (Bench, String) {
    let (bench, id) = approved("stop", BUSY, &[wants("put-right", "vlan.create", "sw01")]);
    to_record(&bench, &id);
    (bench, id)
}

const BUSY: &str = "error:vlan.create@sw01,times=1";

fn on(switch: &str, writes: &[String]) -> Vec<String> {
    writes.iter().filter(|write| write.contains(switch)).cloned().collect()
}

fn words(out: &str) -> String {
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_call_that_is_wanted_after_a_failure_runs_once_where_a_person_accepts_it() {
    // Once more what failed, and another tool where half of it was done.
    for (fault, tool) in [(BUSY, "vlan.create"), ("half:vlan.create@sw01,times=1", "vlan.rename")] {
        let (bench, id) = approved("stop", fault, &[wants("put-right", tool, "sw01")]);
        assert_eq!(bench.drive(&id, 3)["status"]["about"]["deviation"]["node"], "put-right", "{tool}");
        let before = bench.writes();
        let shown = words(&bench.run(&["show", &id]).code(0).out);
        for said in [
            "DEVIATION: may this be called, because a step failed?",
            "WHAT FAILED",
            "The approved design has no such call.",
            "its reason, in its own words: switches are busy for a moment only",
            "It is not called, nor what was wanted after it; then nothing more is run",
        ] {
            assert!(shown.contains(said), "{said}\n{shown}");
        }
        bench.approving(&id, &[]).code(2);
        assert_eq!(bench.writes(), before, "nothing runs before somebody has said yes, and why");
        bench.approve(&id);
        let record = to_record(&bench, &id);
        let after = bench.writes();
        assert_eq!(on("sw01", &after[before.len()..]), [format!("{tool} 120 guest sw01")], "{after:?}");
        assert_eq!(bench.vlan("120")[..2], [json!("guest"), json!("guest")]);
        let deviations = record["deviations"].as_array().unwrap();
        assert_eq!(deviations.len(), 1, "{deviations:#?}");
        assert!(deviations[0]["what"].as_str().unwrap().contains("`put-right`: step create/sw01 failed"));
        assert!(deviations[0]["accepted_by"].is_string());
        let steps = outcomes(&record["steps"], "node");
        assert_eq!(steps, ["create/sw01 done", "put-right done", "create/sw02 done"]);
        bench.run(&["log", &id]).code(0).shows("failure.considered").shows("switches are busy");
        let rules: Vec<String> =
            bench.events(&id, "call.allowed").iter().map(|event| event["body"]["rules"].to_string()).collect();
        assert_eq!(rules.iter().filter(|rules| rules.contains("contract.accepted")).count(), 1);
        assert_eq!(bench.artifact(&id, "flow")["nodes"].as_array().unwrap().len(), 2, "what was approved stays so");
    }
}

#[test]
fn where_nothing_is_wanted_or_accepted_the_design_says_what_comes_next() {
    let nothing = says(json!({"because": "someone must look at the switch"}));
    let (bench, id) = approved("ask", BUSY, &[nothing]);
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["failure"]["node"], "create/sw01");
    let shown = words(&bench.run(&["show", &id]).code(0).out);
    assert!(shown.contains("it wants nothing called, in its own words: someone must look at the switch"), "{shown}");
    let turns = bench.events(&id, "model.turn").len();
    bench.run(&["answer", &id, "stop", "--digest", &bench.question(&id)]).code_in(&[0, 6]);
    assert_eq!(bench.events(&id, "model.turn").len(), turns, "it is asked once");

    // Without a model for the build agent nobody is asked, and that is said.
    let (bench, id) = approved("ask", BUSY, &[]);
    let mut models: Value = serde_json::from_str(&bench.read("policies/models.yaml")).unwrap();
    models["roles"].as_object_mut().unwrap().remove("build");
    bench.write("policies/models.yaml", &models.to_string());
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["failure"]["node"], "create/sw01");
    bench.run(&["log", &id]).code(0).shows("names no model for the build agent");

    let (bench, id) = approved("stop", BUSY, &[wants("once-more", "vlan.create", "sw01")]);
    bench.drive(&id, 3);
    bench.run(&["reject", &id, "--reason", "not today"]).code(0);
    let end = bench.run(&["run", &id, "--json"]).code_in(&[1, 6]).json();
    let record = &end["record"];
    assert_eq!(outcomes(&record["steps"], "node"), ["create/sw01 failed", "create/sw02 not_run"]);
    assert!(record["deviations"][0]["accepted_by"].is_null());
    assert!(record["deviations"][0]["what"].as_str().unwrap().contains("rejected: not today"));
    assert_eq!(bench.writes(), Vec::<String>::new());
    bench.run(&["verify", &id]).code(0);
}

#[test]
fn what_is_wanted_outside_the_boundary_comes_back_and_never_runs() {
    let outside = ["sw03", "sw04", "sw03", "sw04"].map(|switch| wants("elsewhere", "vlan.create", switch));
    let (bench, id) = approved("stop", BUSY, &outside);
    let end = bench.run(&["run", &id, "--json"]).code_in(&[1, 6]).json();
    assert_eq!(outcomes(&end["record"]["steps"], "node"), ["create/sw01 failed", "create/sw02 not_run"]);
    assert_eq!((bench.events(&id, "draft.returned").len(), bench.writes().len()), (3, 0));
    let considered = &bench.events(&id, "failure.considered")[0];
    assert_eq!(considered["actor"], "program");
    assert!(considered["body"]["because"].as_str().unwrap().contains("given back 3 times"), "{considered}");
    assert!(bench.events(&id, "deviation.found").is_empty());
    bench.run(&["verify", &id]).code(0);
}

#[test]
fn what_is_wanted_after_a_failure_may_be_killed_at_any_commit() {
    let (bench, id) = approved("stop", "half:vlan.create@sw01", &[wants("put-right", "vlan.rename", "sw01")]);
    let unharmed = bench.copy();
    unharmed.drive(&id, 3);
    unharmed.approve(&id);
    let end = |bench: &Bench| {
        let end = bench.drive(&id, 0);
        bench.run(&["verify", &id]).code(0);
        let steps = outcomes(&end["record"]["steps"], "node");
        let deviations = end["record"]["deviations"].as_array().unwrap().len();
        assert_eq!(bench.events(&id, "failure.considered").len(), 1);
        (end["record"]["outcome"].clone(), steps, deviations, bench.writes(), bench.network())
    };
    let accepted = unharmed.copy();
    let wanted = end(&unharmed);
    assert_eq!(on("sw01", &wanted.3).len(), 2, "half of a VLAN, and then its name: {wanted:?}");
    let mut points = [0, 0];
    // From the yes at gate 2 to the question, and from its answer to the end.
    for (at, start) in [&bench, &accepted].into_iter().enumerate() {
        for point in 1.. {
            let copy = start.copy();
            if !killed_at(&copy, &["run", &id, "--json"], point) {
                break;
            }
            points[at] += 1;
            if at == 0 {
                assert_eq!(copy.drive(&id, 3)["status"]["about"]["deviation"]["node"], "put-right", "point {point}");
                copy.approve(&id);
            }
            assert_eq!(end(&copy), wanted, "killed at point {point} of part {at}");
        }
    }
    assert!(points[0] >= 8 && points[1] >= 8, "{points:?}");
}
