//! Gates that stop holding while it is built: they are asked anew, and a yes goes on with the same flow.

use serde_json::{Value, json};

use crate::{
    bench::{Bench, outcomes},
    written::{DESIGN, SPEC},
};

/// One switch is done and the next one waits for a person, in the middle of the build.
fn half_built(bench: &Bench) -> String {
    let id = bench.request(&[
        "--blueprint",
        "vlan",
        "--set",
        "id=120",
        "--set",
        "name=guest",
        "--set",
        "switches=sw01,sw02",
    ]);
    bench.to_gate2(&id);
    bench.approving(&id, &["--only", "create/sw01"]).code(0);
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["call"]["node"], "create/sw02");
    assert_eq!(bench.writes().len(), 1);
    id
}

fn offered(gate: &Value) -> Vec<String> {
    let calls = gate["question"]["calls"].as_array().unwrap();
    calls.iter().map(|call| call["node"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_entry_that_changed_in_the_build_has_both_gates_asked_anew() {
    let bench = Bench::new();
    let id = half_built(&bench);
    let flow = bench.artifact(&id, "flow");
    bench.edit(
        "policies/inventory.yaml",
        "name: sw02, is: switch, environment: lab",
        "name: sw02, is: switch, environment: staging",
    );
    let gate1 = bench.drive(&id, 3);
    assert_eq!(gate1["status"]["about"], "gate1");
    let shown = bench.run(&["show", &id]).code(0);
    for text in ["ASKED ANEW", "the inventory entry of `sw02` changed", "sw02 is now: switch in staging", "create/sw01"]
    {
        assert!(shown.out.contains(text), "{text} is not in {}", shown.out);
    }
    shown.shows("gate 2 does not hold any more either");
    bench.run(&["list"]).code(0).shows("gate 1 (the spec), asked anew");
    // Nothing runs while it is asked, by hand either.
    bench.drive(&id, 3);
    assert_eq!(bench.writes().len(), 1);
    bench.approve(&id);
    let gate2 = bench.drive(&id, 3);
    assert_eq!((&gate2["status"]["about"], offered(&gate2)), (&json!("gate2"), vec!["create/sw02".to_owned()]));
    bench.approve(&id);
    let end = bench.drive(&id, 0);
    assert_eq!(outcomes(&end["record"]["targets"], "target"), ["sw01 done", "sw02 done"]);
    assert_eq!(bench.writes().len(), 2, "each once");
    assert_eq!(bench.artifact(&id, "flow"), flow);
    bench.holds(&id);
}

#[test]
fn a_no_to_a_gate_that_is_asked_anew_begins_nothing_more() {
    let bench = Bench::new();
    let id = half_built(&bench);
    bench.edit(
        "policies/inventory.yaml",
        "name: sw02, is: switch, environment: lab",
        "name: sw02, is: switch, environment: staging",
    );
    bench.drive(&id, 3);
    bench.run(&["reject", &id, "--reason", "sw02 is another box now"]).code(0);
    let end = bench.run(&["run", &id, "--json"]).json();
    assert_eq!(outcomes(&end["record"]["targets"], "target"), ["sw01 done", "sw02 not_run"]);
    assert_eq!(bench.writes().len(), 1);
    bench.run(&["log", &id]).code(0).shows("sw02 is another box now");
    bench.holds(&id);
}

#[test]
fn a_tool_that_changed_in_the_build_is_pinned_first_and_then_asked_about() {
    let bench = Bench::new();
    let id = half_built(&bench);
    bench.edit("tools/lab.yaml", "timeout_seconds: 5", "timeout_seconds: 6");
    bench.run(&["run", &id, "--no-input"]).code(1).shows("countersign tools pin");
    bench.run(&["tools", "pin", "--yes"]).code(0);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate1");
    bench.run(&["show", &id]).code(0).shows("`vlan.create` changed");
    let (code, end) = bench.yes_to_all(&id);
    assert_eq!((code, &end["record"]["outcome"]), (0, &json!("done")));
    assert_eq!(bench.writes().len(), 2);
    bench.holds(&id);
}

#[test]
fn what_is_put_back_while_it_is_asked_still_waits_for_the_answer() {
    let bench = Bench::new();
    let id = half_built(&bench);
    let inventory = bench.read("policies/inventory.yaml");
    bench.edit(
        "policies/inventory.yaml",
        "name: sw02, is: switch, environment: lab",
        "name: sw02, is: switch, environment: staging",
    );
    bench.drive(&id, 3);
    bench.write("policies/inventory.yaml", &inventory);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate1");
    bench.run(&["show", &id]).code(0).shows("again as it was approved");
    let (code, _) = bench.yes_to_all(&id);
    assert_eq!((code, bench.writes().len()), (0, 2));
    bench.holds(&id);
}

#[test]
fn a_yes_on_a_name_alone_holds_only_while_a_name_is_enough() {
    let bench = Bench::new();
    let id = half_built(&bench);
    let people = bench.read("policies/people.yaml");
    bench.write("policies/people.yaml", &format!("{people}\nsigned_environments: [production, Lab]\n"));
    let gate1 = bench.drive(&id, 3);
    assert_eq!(gate1["status"]["about"], "gate1");
    bench.run(&["show", &id]).code(0).shows("said yes on a name alone, and `lab` needs a signature");
    bench.approving(&id, &[]).code(4);
    bench.drive(&id, 3);
    assert_eq!(bench.writes().len(), 1, "nothing is begun on a name");
}

#[test]
fn a_target_that_no_list_names_is_approved_for_the_environments_there_were() {
    let bench = Bench::new();
    let any = SPEC.replace("{in_group: access-switches}", "{like: \"sw0*\"}");
    let id = bench.request_written(&any, DESIGN);
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.edit(
        "policies/inventory.yaml",
        "name: sw02, is: switch, environment: lab",
        "name: sw02, is: switch, environment: staging",
    );
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate1");
    bench.run(&["show", &id]).code(0).shows("a target may be in `staging`, where none was");
    assert!(bench.writes().is_empty(), "{:?}", bench.writes());
}

#[test]
fn a_target_that_no_list_names_is_approved_with_its_entry_once_the_design_names_it() {
    let bench = Bench::new();
    let any = SPEC.replace("{in_group: access-switches}", "{like: \"sw0*\"}");
    let id = bench.request_written(&any, DESIGN);
    bench.to_gate2(&id);
    bench.approving(&id, &["--only", "create/sw01"]).code(0);
    let tagged = |name: &str| {
        let is = format!("name: {name}, is: switch, environment: lab, tags: [access");
        bench.edit("policies/inventory.yaml", &is, &format!("{is}, core"));
    };
    // One that no step names may become what it likes, in an environment that was known.
    tagged("sw04");
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["call"]["node"], "create/sw02");
    tagged("sw02");
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    let shown = bench.run(&["show", &id]).code(0);
    let shown = shown.shows("the inventory entry of `sw02` changed");
    shown.shows("sw02 is now: switch in lab; tags: access, core");
    assert_eq!(bench.writes().len(), 1, "{:?}", bench.writes());
    bench.approve(&id);
    let end = bench.drive(&id, 0);
    assert_eq!(outcomes(&end["record"]["targets"], "target"), ["sw01 done", "sw02 done"]);
    bench.holds(&id);
}

/// A yes to a call whose target only a result named, and the entry of that target is another since.
fn agreed_on_another_entry(bench: &Bench) -> String {
    let any = SPEC.replace("{in_group: access-switches}", "{like: \"sw0*\"}").replace("[sw01, sw02]", "[sw02]");
    let later = "steps:\n  - {id: look, tool: vlan.list, with: {switch: sw01}}\n  - id: create\n    tool: vlan.create\n    \
                 needs: [look]\n    with: {switch: {cel: 'steps.look.result.vlans.size() > 0 ? \"sw02\" : \"x\"'}, id: 120, name: guest}\n\
                 acceptance: {A1: [create]}\n";
    let id = bench.request_written(&any, later);
    bench.to_gate2(&id);
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["call"]["node"], "create");
    bench.approve(&id);
    let entry = "name: sw02, is: switch, environment: lab, tags: [access";
    bench.edit("policies/inventory.yaml", entry, &format!("{entry}, edge"));
    id
}

/// It is asked about anew, and runs once somebody has said yes again.
fn is_asked_anew(bench: &Bench, id: &str) {
    let asked = bench.drive(id, 3);
    assert_eq!((&asked["status"]["about"]["call"]["node"], bench.writes()), (&json!("create"), vec![]));
    bench.approve(id);
    bench.drive(id, 0);
    assert_eq!(bench.writes(), ["vlan.create 120 guest sw02"]);
    bench.holds(id);
}

#[test]
fn a_yes_to_a_call_is_of_its_target_as_it_was_where_only_a_result_named_it() {
    let bench = Bench::new();
    let id = agreed_on_another_entry(&bench);
    is_asked_anew(&bench, &id);
}

#[test]
fn what_was_asked_about_is_asked_anew_though_no_rule_would_ask_any_more() {
    let bench = Bench::new();
    let id = agreed_on_another_entry(&bench);
    let alone = "\n// match: {effect: write}\n// no match: {effect: read}\n@id(\"writes-alone\")\n\
                 @reason(\"a change of the approved design runs by itself\")\n\
                 permit (principal == Agent::\"build\", action in Action::\"write\", resource)\n\
                 when { context.stage == 1 && context.on_contract };\n";
    bench.write("policies/stages.cedar", &format!("{}{alone}", bench.read("policies/stages.cedar")));
    is_asked_anew(&bench, &id);
}

#[test]
fn a_step_that_clears_up_is_not_tried_without_end_where_its_approval_does_not_hold_any_more() {
    let bench = Bench::new();
    bench.people(&[("bea", "owner")]);
    let key = bench.key_of("bea");
    let design = DESIGN.replace(
        "name: guest}\n",
        "name: guest}\n    on_failure: ask\n  - id: clear\n    tool: vlan.create\n    with: {switch: sw01, id: 130, name: done}\n    always: true\n",
    );
    let id = bench.request_written(SPEC, &design);
    bench.to_gate2(&id);
    bench.fault("error:vlan.create@sw02,times=1");
    bench.approve(&id);
    bench.drive(&id, 3);
    // What was said on a name, by whoever asked for it, is not enough any more.
    bench.edit("policies/people.yaml", "kind: people\n", "kind: people\nseparation_of_duties: [lab]\n");
    bench.drive(&id, 3);
    let signed = ["--as", "bea", "--key", &key];
    bench.run(&[&["answer", &id, "undo-all", "--digest", &bench.question(&id)], &signed[..]].concat());
    let before = bench.events(&id, "call.refused").len();
    let gate = bench.drive(&id, 3);
    assert_eq!(gate["status"]["about"], "gate1", "the gates are asked anew");
    assert!(bench.events(&id, "call.refused").len() <= before + 1, "it was tried again and again");
    bench.approving(&id, &signed).code(0);
    bench.drive(&id, 3);
    bench.approving(&id, &signed).code(0);
    bench.drive(&id, 6);
    assert!(bench.writes().contains(&"vlan.create 130 done sw01".to_owned()), "{:?}", bench.writes());
    bench.holds(&id);
}

#[test]
fn a_call_that_waited_for_its_rate_is_decided_on_the_files_as_they_are_then() {
    let bench = Bench::new();
    // What is read before the change uses the minute up.
    bench.edit("tools/lab.yaml", "  calls_per_second: 50", "  calls_per_second: 50\n  calls_per_minute_per_target: 3");
    bench.run(&["tools", "pin", "--yes"]).code(0);
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    let mut running = bench.start(&["run", &id, "--no-input"]);
    let (mut calls, mut still) = (0, 0);
    while still < 8 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = bench.events(&id, "call.allowed").len();
        still = if now == calls && now >= 3 { still + 1 } else { 0 };
        calls = now;
        assert!(running.try_wait().unwrap().is_none(), "it did not wait");
    }
    assert_eq!((calls, bench.writes()), (3, vec![]));
    let entry = "name: sw01, is: switch, environment: lab, tags: [access";
    bench.edit("policies/inventory.yaml", entry, &format!("{entry}, freeze"));
    running.wait().unwrap();
    assert_eq!(bench.writes(), Vec::<String>::new(), "it was decided on what was there before it waited");
    bench.run(&["show", &id]).code(0).shows("the inventory entry of `sw01` changed");
}

#[test]
fn a_yes_holds_as_long_as_whoever_said_it_may_say_it() {
    // The role is taken away, or the person.
    for now in ["  - {name: bea, os_users: [], roles: [requester]}\n", ""] {
        let bench = Bench::new();
        bench.people(&[("bea", "approver")]);
        let id = bench.request_one();
        bench.drive(&id, 3);
        bench.approve(&id);
        bench.drive(&id, 3);
        bench.approving(&id, &["--as", "bea"]).code(0);
        bench.edit("policies/people.yaml", "  - {name: bea, os_users: [], roles: [approver]}\n", now);
        let asked = bench.drive(&id, 3);
        assert_eq!((&asked["status"]["about"], bench.writes()), (&json!("gate2"), vec![]));
        let shown = bench.run(&["show", &id]).code(0).out;
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("bea said yes, and does not have the role `approver` any more"), "{shown}");
        bench.approve(&id);
        bench.drive(&id, 0);
        bench.holds(&id);
    }
}

#[test]
fn a_yes_to_a_call_holds_as_long_as_whoever_said_it_may_say_it() {
    let bench = Bench::new();
    bench.people(&[("bea", "approver")]);
    let id = half_built(&bench);
    bench.approving(&id, &["--as", "bea"]).code(0);
    bench.edit("policies/people.yaml", "  - {name: bea, os_users: [], roles: [approver]}\n", "");
    let asked = bench.drive(&id, 3);
    assert_eq!((&asked["status"]["about"]["call"]["node"], bench.writes().len()), (&json!("create/sw02"), 1));
    bench.approve(&id);
    bench.drive(&id, 0);
    bench.holds(&id);
}

#[test]
fn what_rests_on_a_deviation_waits_while_whoever_accepted_it_may_not() {
    let bench = Bench::new();
    bench.people(&[("bea", "approver")]);
    let renamed = |text: &str| text.replace("tool: vlan.create", "tool: vlan.rename");
    let id = bench.request_written(&renamed(SPEC), &renamed(DESIGN));
    let named = |name: &str| bench.tamper(|network| network["switches"]["sw02"]["vlans"]["120"] = json!(name));
    bench.tamper(|network| network["switches"]["sw01"]["vlans"]["120"] = json!("old"));
    named("old");
    bench.to_gate2(&id);
    bench.approve(&id);
    named("visitors");
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["deviation"]["node"], "create/sw02");
    bench.approving(&id, &["--as", "bea", "--reason", "it is ours"]).code(0);
    let (of, now) =
        ("  - {name: bea, os_users: [], roles: [approver]}\n", "  - {name: bea, os_users: [], roles: [requester]}\n");
    bench.edit("policies/people.yaml", of, now);
    bench.run(&["run", &id]).code(1).shows("bea lost the role `approver`; put that back");
    assert_eq!(bench.vlan("120")[1], "visitors");
    bench.edit("policies/people.yaml", now, of);
    bench.drive(&id, 0);
    assert_eq!(bench.vlan("120")[1], "guest");
    bench.holds(&id);
}
