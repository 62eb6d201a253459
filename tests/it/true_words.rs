//! What is told of an engagement holds against what the simulated lab has: results, baselines, hints and questions.

use serde_json::{Value, json};

use crate::{
    bench::{Bench, outcomes},
    talk::Talk,
};

const SPEC: &str = r#"
kind: spec
title: VLAN 20 is telephony, VLAN 30 is there
requirements: [{id: R1, text: VLAN 30 is on sw01}]
boundary:
  discover:
    - {tool: vlan.list, where: {switch: {any: true}}}
    - {tool: ipam.addresses.list, where: {prefix: {any: true}}}
  build:
    - {tool: vlan.rename, where: {switch: {any: true}, id: {is: 20}, name: {any: true}}, at_most: 2}
    - {tool: vlan.create, where: {switch: {any: true}, id: {is: 30}, name: {any: true}}, at_most: 2}
    - {tool: vlan.delete, where: {switch: {any: true}, id: {is: 20}}, at_most: 2}
    - {tool: ipam.address.release, where: {prefix: {any: true}, address: {any: true}}, at_most: 1}
acceptance:
  - {id: A1, covers: [R1], check: {tool: vlan.list, with: {switch: sw01}}, expect: 'result.vlans.exists(v, v.id == 30)'}
rollback: best_effort
"#;

/// A design with these steps.
fn design(steps: &str) -> String {
    format!(
        "discover:\n  - {{id: v, tool: vlan.list, with: {{switch: {{cel: item}}}}, for_each: {{items: '[\"sw01\", \"sw02\"]', \
         at_most: 2}}}}\n  - {{id: ip, tool: ipam.addresses.list, with: {{prefix: 192.0.2.0/24}}}}\nsteps:\n{steps}\n\
         acceptance: {{A1: [mk]}}\n"
    )
}

/// On both switches: VLAN 20 is renamed, then VLAN 30 made.
fn both(on_failure: &str) -> String {
    let each = "for_each: {items: '[\"sw01\", \"sw02\"]', at_most: 2}";
    design(&format!(
        "  - {{id: ren, tool: vlan.rename, with: {{switch: {{cel: item}}, id: 20, name: telephony}}, {each}, on_failure: \
         {on_failure}}}\n  - {{id: mk, tool: vlan.create, with: {{switch: {{cel: item}}, id: 30, name: iot}}, needs: [ren], \
         {each}, on_failure: {on_failure}}}"
    ))
}

fn at_gate2(steps: &str) -> (Bench, String) {
    let bench = Bench::impatient();
    let id = bench.request_written(SPEC, steps);
    bench.to_gate2(&id);
    (bench, id)
}

#[test]
fn a_target_that_was_changed_is_not_said_to_be_not_reached() {
    let (bench, id) = at_gate2(&both("stop"));
    bench.approve(&id);
    bench.fault("lie:vlan.create@sw01");
    let record = bench.drive(&id, 6)["record"].clone();
    assert_eq!(bench.vlan("20")[..2], [json!("telephony"), json!("telephony")]);
    assert_eq!(
        outcomes(&record["steps"], "node"),
        ["ren/sw01 done", "ren/sw02 done", "mk/sw01 failed", "mk/sw02 not_run"]
    );
    assert_eq!(outcomes(&record["targets"], "target"), ["sw01 failed", "sw02 failed"]);
    bench.run(&["show", &id]).code(0).shows("sw02 is changed in part: what `ren/sw02` did stays");
    bench.holds(&id);
}

#[test]
fn a_target_whose_change_was_taken_back_is_undone_though_more_was_to_be_done_there() {
    let (bench, id) = at_gate2(&both("undo_all"));
    bench.approve(&id);
    bench.fault("lie:vlan.create@sw01");
    let record = bench.drive(&id, 1)["record"].clone();
    assert_eq!(bench.vlan("20")[..2], [json!("voice"), json!("voice")]);
    assert_eq!(outcomes(&record["targets"], "target"), ["sw01 failed", "sw02 undone"]);
    assert!(!record["residual"].to_string().contains("in part"), "{record}");
    bench.holds(&id);
}

#[test]
fn a_baseline_left_nothing_where_a_step_was_not_run() {
    let bench = Bench::new();
    let args = ["--blueprint", "vlan", "--set", "id=120", "--set", "name=guest", "--set", "switches=sw01,sw02"];
    let id = bench.request(&args);
    bench.to_gate2(&id);
    bench.approving(&id, &["--only", "create/sw01"]).code(0);
    bench.drive(&id, 3);
    bench.run(&["cancel", &id, "--reason", "enough"]).code(0);
    bench.drive(&id, 6);
    assert_eq!(bench.vlan("120")[..2], [json!("guest"), Value::Null]);
    let next = bench.request(&[
        "--blueprint",
        "vlan",
        "--set",
        "id=121",
        "--set",
        "name=lobby",
        "--set",
        "switches=sw01,sw02",
        "--from",
        &id,
    ]);
    bench.to_gate2(&next);
    let report = bench.artifact(&next, "discovery");
    assert_eq!(report["drift"], json!([]), "{report}");
    // What it did leave and is gone since is drift.
    bench.tamper(|network| drop(network["switches"]["sw01"]["vlans"].as_object_mut().unwrap().remove("120")));
    let third = bench.request(&[
        "--blueprint",
        "vlan",
        "--set",
        "id=122",
        "--set",
        "name=hall",
        "--set",
        "switches=sw01,sw02",
        "--from",
        &id,
    ]);
    bench.to_gate2(&third);
    assert_eq!(bench.artifact(&third, "discovery")["drift"][0]["node"], "create/sw01");
}

#[test]
fn what_a_failure_that_stays_keeps_from_running_is_not_offered_again() {
    let (bench, id) = at_gate2(&design(
        "  - {id: del, tool: vlan.delete, with: {switch: sw02, id: 20}, on_failure: undo_all}\n  - {id: rel, tool: \
         ipam.address.release, with: {prefix: 192.0.2.0/24, address: 192.0.2.1}, needs: [del], on_failure: undo_all}\n  - {id: \
         mk, tool: vlan.create, with: {switch: sw01, id: 30, name: iot}, needs: [rel], on_failure: undo_all}",
    ));
    bench.run(&["show", &id]).code(0).shows("run, but for what has no undo.");
    bench.approving(&id, &["--tick", "del", "--tick", "rel"]).code(0);
    bench.fault("lie:vlan.create@sw01,times=1");
    bench.run(&["run", &id]).code_in(&[1, 6]);
    let shown = bench.run(&["show", &id]).code(0);
    assert!(!shown.out.contains("--retry"), "{}", shown.out);
    let again = bench.run(&["run", &id, "--retry", "failed"]).code(2);
    again.says("mk: a step that cannot be tried again keeps it from being run");
    bench.holds(&id);
}

#[test]
fn who_says_what_became_of_a_call_is_told_what_that_means() {
    for says in ["not-applied", "applied"] {
        let bench = Bench::impatient();
        let id = bench.request_one();
        bench.to_gate2(&id);
        bench.approve(&id);
        bench.fault("slow:vlan.create,ms=30000");
        let mut running = bench.start(&["run", &id]);
        while bench.events(&id, "call.allowed").iter().all(|event| event["body"]["tool"] != "vlan.create") {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        running.kill().unwrap();
        running.wait().unwrap();
        bench.heal();
        bench.fault("error:vlan.list@sw01");
        bench.drive(&id, 3);
        bench.run(&["show", &id]).code(0).shows("the call is made once more, as it was approved");
        let digest = bench.question(&id);
        bench.run(&["answer", &id, says, "--digest", &digest]).code(0);
        bench.heal();
        let end = bench.drive(&id, 0);
        assert_eq!(end["record"]["steps"][0]["outcome"], "done", "{says}: {end}");
        assert_eq!((&bench.vlan("120")[0], bench.writes().len()), (&json!("guest"), 1), "{says}");
        bench.holds(&id);
    }
}

#[test]
fn an_undo_that_does_not_bring_back_what_is_there_is_said_at_gate_2() {
    let bench = Bench::new();
    bench.tamper(|network| network["switches"]["sw01"]["vlans"]["30"] = json!("printers"));
    let id = bench.request_written(
        &SPEC.replace("v.id == 30", "v.name == \"iot\""),
        &design("  - {id: mk, tool: vlan.create, with: {switch: sw01, id: 30, name: iot}, on_failure: undo_all}"),
    );
    bench.drive(&id, 3);
    bench.approve(&id);
    bench.run(&["run", &id]).code_in(&[1, 3]);
    let shown = bench.run(&["show", &id]).code(0);
    shown.shows("! taken back by: delete VLAN 30 from sw01; nothing shows that this brings");
}

#[test]
fn after_a_cancellation_a_question_says_that_nothing_more_is_begun() {
    let (bench, id) = at_gate2(&both("ask"));
    bench.approve(&id);
    bench.fault("lie:vlan.create@sw01,times=1");
    assert!(bench.drive(&id, 3)["status"]["about"]["failure"].is_object());
    bench.run(&["cancel", &id, "--reason", "changed our mind"]).code(0);
    bench
        .run(&["run", &id])
        .code(3)
        .shows("Nothing more is begun, whatever is chosen: it was cancelled: changed our mind");
    let digest = bench.question(&id);
    bench.run(&["answer", &id, "continue", "--digest", &digest]).code(0);
    bench.drive(&id, 6);
    assert_eq!(bench.vlan("30")[..2], [Value::Null, Value::Null]);
    bench.holds(&id);
}

#[test]
fn a_letter_that_is_a_yes_at_a_gate_answers_no_failure() {
    let (bench, id) = at_gate2(&both("ask"));
    bench.approve(&id);
    bench.fault("lie:vlan.create@sw01,times=1");
    let mut talk = Talk::new(&bench, &format!("run {id}"));
    for line in ["a", "s", "u", "undo"] {
        talk.hears("undo-target or undo-all, in full");
        talk.types(&format!("{line}\n"));
        talk.hears("please type stop, continue, undo-target or undo-all");
    }
    assert!(bench.events(&id, "approval.answered").iter().all(|event| event["body"]["answer"] == "approve"));
    talk.hears("undo-target or undo-all, in full");
    talk.types("undo-all\n");
    talk.ends(1);
    assert_eq!(bench.vlan("20")[..2], [json!("voice"), json!("voice")]);
    bench.holds(&id);
}

#[test]
fn a_manifest_that_changes_while_a_call_is_under_way_stops_the_run_and_loses_nothing() {
    let bench = Bench::new();
    let args = ["--blueprint", "vlan", "--set", "id=120", "--set", "name=guest", "--set", "switches=sw01,sw02"];
    let id = bench.request(&args);
    bench.to_gate2(&id);
    bench.approve(&id);
    let mut running = bench.under_way(&id, 1500);
    std::thread::sleep(std::time::Duration::from_millis(500));
    bench.edit("tools/lab.yaml", "Create a VLAN on a switch", "Create a Vlan on a switch");
    assert_eq!(running.wait().unwrap().code(), Some(1));
    let refused = bench.events(&id, "call.refused").len();
    assert!(refused < 10, "{refused}");
    bench.run(&["run", &id, "--no-input"]).code(1).shows("countersign tools pin");
    bench.heal();
    bench.run(&["tools", "pin", "--yes"]).code(0);
    assert_eq!(bench.yes_to_all(&id).0, 0);
    assert_eq!((bench.vlan("120")[..2].to_vec(), bench.writes().len()), (vec![json!("guest"); 2], 2));
    bench.holds(&id);
}
