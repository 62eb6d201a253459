//! Hand-written specs and designs: everything that a step can say.

use serde_json::{Value, json};

use crate::bench::{Bench, outcomes};

/// A VLAN on two switches.
pub const SPEC: &str = "\
kind: spec
title: VLAN 120 on two switches
refs: [CHG0031337]
requirements:
  - {id: R1, text: VLAN 120 is there as guest}
boundary:
  discover:
    - {tool: vlan.list, where: {switch: {in_group: access-switches}}}
    - {tool: port.list, where: {switch: {in_group: access-switches}}}
    - {tool: dns.records.list, where: {zone: {is: corp.example.com}}}
  build:
    - tool: vlan.create
      where: {switch: {in_group: access-switches}, id: {min: 100, max: 199}, name: {any: true}}
      at_most: 6
    - {tool: vlan.delete, where: {switch: {in_group: access-switches}, id: {one_of: [20, 120]}}}
    - {tool: port.vlan.set, where: {switch: {in_group: access-switches}, port: {like: \"Gi1/0/*\"}, vlan: {is: 120}}}
acceptance:
  - id: A1
    covers: [R1]
    check: {tool: vlan.list, with: {switch: {cel: item}}}
    for_each: [sw01, sw02]
    expect: result.vlans.exists(v, v.id == 120 && v.name == \"guest\")
rollback: required
";

/// A design for it.
pub const DESIGN: &str = "\
steps:
  - id: create
    tool: vlan.create
    for_each: {items: '[\"sw01\", \"sw02\"]', at_most: 2}
    with: {switch: {cel: item}, id: 120, name: guest}
acceptance: {A1: [create]}
";

/// Steps after `create`, which still makes A1 true.
fn with_steps(steps: &str) -> String {
    DESIGN.replace("acceptance:", &format!("{steps}acceptance:"))
}

/// The design with another `on_failure` for its one step.
fn on_failure(what: &str) -> String {
    with_steps("").replace("name: guest}\n", &format!("name: guest}}\n    on_failure: {what}\n"))
}

#[test]
fn a_hand_written_spec_and_design_go_the_same_way() {
    let bench = Bench::new();
    let id = bench.request_written(SPEC, DESIGN);
    let end = bench.to_end(&id, 0);
    assert_eq!((&end["blueprint"], &end["record"]["outcome"]), (&Value::Null, &json!("done")));
    assert_eq!(bench.writes(), ["vlan.create 120 guest sw01", "vlan.create 120 guest sw02"]);
    bench.holds(&id);
}

#[test]
fn a_spec_that_only_reads_needs_no_design_and_no_second_gate() {
    let bench = Bench::new();
    let audit = SPEC
        .split_once("  build:")
        .map(|(head, tail)| format!("{head}{}", &tail[tail.find("acceptance:").unwrap()..]))
        .unwrap()
        .replace("v.id == 120 && v.name == \"guest\"", "v.id == 10")
        .replace("    for_each: [sw01, sw02]\n", "    for_each: [sw01, sw02]\n    invariant: true\n");
    bench.write("audit.yaml", &audit);
    let id = bench.request(&["--spec", "audit.yaml"]);
    bench.drive(&id, 3);
    bench.approve(&id);
    let end = bench.drive(&id, 0);
    assert_eq!((&end["record"]["outcome"], &end["record"]["totals"]["approvals"]), (&json!("done"), &json!(1)));
    let entered = bench.events(&id, "phase.entered").pop().unwrap();
    assert!(entered["body"]["reason"].as_str().unwrap().contains("gate 2 is not needed"), "{entered}");
    bench.holds(&id);
}

#[test]
fn when_skips_a_step_and_what_needs_it_goes_on() {
    let bench = Bench::new();
    let steps = "  - id: port
    tool: port.vlan.set
    needs: [create]
    when: facts.ports.ports.exists(p, p.port == \"Gi1/0/8\" && p.vlan == 99)
    with: {switch: sw01, port: Gi1/0/8, vlan: 120}
  - id: other
    tool: port.vlan.set
    needs: [port]
    when: facts.ports.ports.exists(p, p.port == \"Gi1/0/7\" && p.vlan == 1)
    with: {switch: sw01, port: Gi1/0/7, vlan: 120}
";
    let design =
        format!("discover:\n  - {{id: ports, tool: port.list, with: {{switch: sw01}}}}\n{}", with_steps(steps));
    let id = bench.request_written(SPEC, &design);
    let (code, end) = { (bench.to_gate2(&id), bench.yes_to_all(&id)).1 };
    let settled: Vec<_> = bench
        .events(&id, "step.settled")
        .iter()
        .map(|event| (event["body"]["node"].clone(), event["body"]["outcome"].clone()))
        .collect();
    assert!(settled.contains(&(json!("port"), json!("skipped"))), "{settled:?}");
    assert!(settled.contains(&(json!("other"), json!("done"))), "{settled:?}");
    assert_eq!(bench.network()["switches"]["sw01"]["ports"]["Gi1/0/7"]["vlan"], 120);
    assert_eq!(bench.network()["switches"]["sw01"]["ports"]["Gi1/0/8"]["vlan"], 1);
    assert_eq!(code, 0, "a step that its own condition skipped is no failure: {}", end["record"]);
    bench.holds(&id);
}

#[test]
fn until_repeats_a_read_and_gives_up_after_its_attempts() {
    for (attempts, wanted, code) in [(3, "v.id == 120", 0), (2, "v.id == 999", 6)] {
        let bench = Bench::new();
        let steps = format!(
            "  - id: seen
    tool: vlan.list
    needs: [create]
    with: {{switch: sw01}}
    until: {{expect: 'result.vlans.exists(v, {wanted})', attempts: {attempts}, every_seconds: 0}}
    on_failure: continue
"
        );
        let id = bench.request_written(SPEC, &with_steps(&steps));
        bench.to_end(&id, code);
        let tries = bench.events(&id, "call.allowed").into_iter();
        let tries = tries.filter(|event| event["body"]["purpose"]["act"]["node"] == "seen").count();
        assert_eq!(tries, if code == 0 { 1 } else { attempts });
        bench.holds(&id);
    }
}

#[test]
fn an_always_step_runs_whatever_happened_before() {
    let bench = Bench::new();
    let steps = "  - id: last
    tool: port.list
    needs: [create]
    with: {switch: sw01}
    always: true
  - id: never
    tool: port.vlan.set
    needs: [create]
    with: {switch: sw01, port: Gi1/0/8, vlan: 120}
";
    let id = bench.request_written(SPEC, &with_steps(steps));
    bench.to_gate2(&id);
    bench.fault("error:vlan.create@sw01");
    bench.approve(&id);
    let end = bench.drive(&id, 1);
    let steps = outcomes(&end["record"]["steps"], "node");
    assert_eq!(steps, ["create/sw01 failed", "create/sw02 not_run", "never not_run", "last done"]);
    assert!(bench.writes().is_empty());
}

#[test]
fn each_on_failure_means_what_it_says() {
    let table = [
        // `create/sw02` is left half done; what becomes of `create/sw01`, `create/sw02` and the lab.
        ("stop", 6, ["create/sw01 done", "create/sw02 failed"], [json!("guest"), json!("gu")]),
        ("continue", 6, ["create/sw01 done", "create/sw02 failed"], [json!("guest"), json!("gu")]),
        ("undo_target", 6, ["create/sw01 done", "create/sw02 undone"], [json!("guest"), Value::Null]),
        ("undo_all", 1, ["create/sw01 undone", "create/sw02 undone"], [Value::Null, Value::Null]),
    ];
    for (what, code, steps, left) in table {
        let bench = Bench::new();
        let id = bench.request_written(SPEC, &on_failure(what));
        bench.to_gate2(&id);
        bench.fault("half:vlan.create@sw02");
        bench.approve(&id);
        let end = bench.drive(&id, code);
        assert_eq!(outcomes(&end["record"]["steps"], "node"), steps, "{what}");
        assert_eq!(bench.vlan("120")[..2], left, "{what}");
        bench.holds(&id);
    }
}

#[test]
fn on_failure_ask_asks_and_does_what_it_is_told() {
    let table = [
        ("continue", 6, [json!("guest"), json!("gu")]),
        ("undo-target", 6, [json!("guest"), Value::Null]),
        ("undo-all", 1, [Value::Null, Value::Null]),
    ];
    for (choice, code, left) in table {
        let bench = Bench::new();
        let id = bench.request_written(SPEC, &on_failure("ask"));
        bench.to_gate2(&id);
        bench.fault("half:vlan.create@sw02");
        bench.approve(&id);
        let asked = bench.drive(&id, 3);
        assert_eq!(asked["status"]["about"]["failure"]["node"], "create/sw02");
        bench.run(&["approve", &id]).code(2).says("stop, continue, undo_target or undo_all");
        bench.run(&["answer", &id, "applied"]).code(2);
        bench.run(&["answer", &id, choice]).code(0);
        bench.drive(&id, code);
        assert_eq!(bench.vlan("120")[..2], left, "{choice}");
        bench.holds(&id);
    }
}

#[test]
fn what_others_did_to_a_change_is_seen_before_it_is_taken_back() {
    let voice = |network: &mut Value| network["switches"]["sw01"]["vlans"]["120"] = json!("voice");
    let stands = |before: &dyn Fn(&Bench)| {
        let bench = Bench::new();
        let id = bench.request_written(SPEC, &on_failure("ask"));
        bench.to_gate2(&id);
        bench.fault("error:vlan.create@sw02");
        bench.approve(&id);
        assert_eq!(bench.drive(&id, 3)["status"]["about"]["failure"]["node"], "create/sw02");
        before(&bench);
        bench.run(&["answer", &id, "undo-all"]).code(0);
        (bench, id)
    };
    // Someone took it back: there is nothing to do, and nothing is done.
    let (bench, id) = stands(&|bench| {
        bench.tamper(|network| drop(network["switches"]["sw01"]["vlans"].as_object_mut().unwrap().remove("120")))
    });
    let end = bench.drive(&id, 1);
    assert_eq!(outcomes(&end["record"]["steps"], "node"), ["create/sw01 undone", "create/sw02 failed"]);
    assert_eq!(bench.writes(), ["vlan.create 120 guest sw01"]);
    bench.holds(&id);
    // Someone made something else of it: a person sees what that is, and says.
    for yes in [false, true] {
        let (bench, id) = stands(&|bench| bench.tamper(voice));
        assert_eq!(bench.drive(&id, 3)["status"]["about"]["deviation"]["node"], "create/sw01");
        bench
            .run(&["show", &id])
            .shows("DEVIATION: may this be taken back over what changed since?")
            .shows("- name: guest")
            .shows("+ name: voice")
            .shows("This is called: delete VLAN 120 from sw01");
        if yes {
            bench.approve(&id);
        } else {
            bench.run(&["reject", &id, "--reason", "voice is theirs now"]).code(0);
        }
        let end = bench.drive(&id, 1);
        let became = if yes { "create/sw01 undone" } else { "create/sw01 failed" };
        assert_eq!(outcomes(&end["record"]["steps"], "node"), [became, "create/sw02 failed"]);
        assert_eq!(bench.vlan("120")[0], if yes { Value::Null } else { json!("voice") });
        let deviation = &end["record"]["deviations"][0];
        assert!(deviation["what"].as_str().unwrap().contains("what it left has been changed since"), "{deviation}");
        assert_eq!(deviation["accepted_by"].is_string(), yes);
        bench.holds(&id);
    }
}

#[test]
fn a_step_with_an_approval_of_its_own_is_asked_about_by_itself() {
    let bench = Bench::new();
    bench.people(&[("bob", "approver")]);
    let design = DESIGN.replace("name: guest}\n", "name: guest}\n    approval: owner\n");
    let id = bench.request_written(SPEC, &design);
    bench.to_gate2(&id);
    bench.approve(&id);
    for node in ["create/sw01", "create/sw02"] {
        let asked = bench.drive(&id, 3);
        assert_eq!(asked["status"]["about"]["call"]["node"], node);
        bench.run(&["approve", &id, "--as", "bob"]).code(4).says("`owner`");
        bench.approve(&id);
    }
    bench.drive(&id, 0);
    assert_eq!(bench.writes().len(), 2);
    bench.holds(&id);
}

/// A design that also deletes VLAN 20 from sw01.
fn destructive() -> String {
    with_steps(
        "  - id: remove
    tool: vlan.delete
    needs: [create]
    with: {switch: sw01, id: 20}
",
    )
}

#[test]
fn a_destructive_call_that_is_ticked_runs_without_another_question() {
    let bench = Bench::new();
    let id = bench.request_written(SPEC, &destructive());
    bench.to_gate2(&id);
    bench.approving(&id, &["--tick", "rmove"]).code(2).says("`rmove`");
    bench.approving(&id, &["--tick", "remove"]).code(0);
    bench.drive(&id, 0);
    assert_eq!(bench.vlan("20")[0], Value::Null);
    bench.holds(&id);
}

#[test]
fn a_destructive_call_that_is_not_ticked_asks_when_it_is_reached() {
    for yes in [true, false] {
        let bench = Bench::new();
        let id = bench.request_written(SPEC, &destructive());
        bench.to_gate2(&id);
        bench.approve(&id);
        let asked = bench.drive(&id, 3);
        assert_eq!(asked["status"]["about"]["call"]["node"], "remove");
        assert_eq!(asked["question"]["calls"][0]["destructive"], true);
        assert_eq!(bench.vlan("20")[0], "voice");
        if yes {
            bench.approve(&id);
            bench.drive(&id, 0);
        } else {
            bench.run(&["reject", &id, "--reason", "keep it"]).code(0);
            bench.drive(&id, 6);
        }
        assert_eq!(bench.vlan("20")[0], if yes { Value::Null } else { json!("voice") });
        bench.holds(&id);
    }
}

#[test]
fn the_boundary_is_asked_when_a_hole_is_filled_too() {
    // The value comes from an earlier answer, so nothing before the call can know that it is outside the grant.
    let bench = Bench::new();
    let steps = "  - id: look
    tool: vlan.list
    needs: [create]
    with: {switch: sw01}
  - id: more
    tool: vlan.create
    needs: [look]
    with: {switch: sw01, id: {cel: 'steps.look.result.vlans[0].id + 1'}, name: more}
    on_failure: continue
";
    let id = bench.request_written(SPEC, &with_steps(steps));
    bench.to_gate2(&id);
    let (code, end) = bench.yes_to_all(&id);
    assert_eq!(code, 6);
    assert!(outcomes(&end["record"]["steps"], "node").contains(&"more failed".to_owned()));
    let refused = bench.events(&id, "call.refused");
    assert_eq!(refused.last().unwrap()["body"]["refused"], "denied");
    assert_eq!(refused.last().unwrap()["arguments"]["id"], 2);
    assert_eq!(bench.vlan("2"), [Value::Null, Value::Null, Value::Null, Value::Null]);
    bench.holds(&id);
}

#[test]
fn at_most_counts_effects_and_stops_there() {
    let bench = Bench::new();
    let spec = SPEC.replace("at_most: 6", "at_most: 1");
    let id = bench.request_written(&spec, &on_failure("continue"));
    bench.to_gate2(&id);
    let (code, _) = bench.yes_to_all(&id);
    assert_eq!(code, 6);
    assert_eq!(bench.writes(), ["vlan.create 120 guest sw01"]);
    assert_eq!(bench.events(&id, "call.refused").pop().unwrap()["body"]["rules"][0]["rule"], "limit.at_most");
    bench.holds(&id);
}

#[test]
fn nothing_is_built_before_or_after_the_window() {
    let window = |from: &str, until: &str| format!("window: {{from: {from}, until: {until}}}\n");
    let bench = Bench::new();
    let id =
        bench.request_written(&format!("{SPEC}{}", window("2999-01-01T00:00:00Z", "2999-01-02T00:00:00Z")), DESIGN);
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.drive(&id, 3);
    bench.run(&["run", &id]).code(3).shows("The window opens at 2999-01-01T00:00:00Z");
    assert!(bench.writes().is_empty());
    let late = format!("{SPEC}{}", window("2001-01-01T00:00:00Z", "2001-01-02T00:00:00Z"));
    let id = bench.request_written(&late, DESIGN);
    bench.to_gate2(&id);
    bench.approve(&id);
    let end = bench.drive(&id, 1);
    assert_eq!(outcomes(&end["record"]["steps"], "node"), ["create/sw01 not_run", "create/sw02 not_run"]);
    assert!(bench.writes().is_empty());
    bench.holds(&id);
}

#[test]
fn a_guardrail_beats_every_approval() {
    let bench = Bench::new();
    bench.edit(
        "policies/inventory.yaml",
        "{name: sw02, is: switch, environment: lab, tags: [access]",
        "{name: sw02, is: switch, environment: lab, tags: [access, freeze]",
    );
    let id = bench.request_written(SPEC, &on_failure("continue"));
    bench.to_gate2(&id);
    let (code, end) = bench.yes_to_all(&id);
    assert_eq!(code, 6);
    assert_eq!(outcomes(&end["record"]["steps"], "node"), ["create/sw01 done", "create/sw02 failed"]);
    assert_eq!(bench.events(&id, "call.refused").pop().unwrap()["body"]["rules"][0]["rule"], "frozen");
    assert_eq!(bench.writes(), ["vlan.create 120 guest sw01"]);
    bench.holds(&id);
}
