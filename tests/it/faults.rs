//! The lab misbehaves: what is recorded is what is there, never what a tool said of itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::{Bench, outcomes};

/// What one fault leads to.
struct Case {
    fault: &'static str,
    code: i32,
    /// `sw03` in the record.
    sw03: &'static str,
    /// VLAN 120 on sw03 in the end.
    left: Value,
    /// What the log says of it.
    says: &'static str,
}

/// A vlan request on two switches that misbehave from gate 2 on.
fn misbehaves(fault: &str) -> (Bench, String) {
    let bench = Bench::impatient();
    let args = ["--blueprint", "vlan", "--set", "id=120", "--set", "name=guest", "--set", "switches=sw01,sw03"];
    let id = bench.request(&args);
    bench.to_gate2(&id);
    bench.fault(fault);
    bench.approve(&id);
    (bench, id)
}

fn check(case: &Case) {
    let name = case.fault;
    let (bench, id) = misbehaves(name);
    let answer = bench.run(&["run", &id, "--json"]);
    assert_eq!(answer.code, case.code, "{name}\n{}\n{}", answer.out, answer.err);
    let record = &answer.json()["record"];
    let sw03 = format!("sw03 {}", case.sw03);
    assert_eq!(outcomes(&record["targets"], "target"), ["sw01 done", &sw03], "{name}");
    let met = if case.code == 0 { "met" } else { "not_met" };
    assert_eq!(record["requirements"][0]["status"], met, "{name}");
    assert_eq!(bench.vlan("120"), [json!("guest"), Value::Null, case.left.clone(), Value::Null], "{name}");
    let log = bench.run(&["log", &id]).code(0).out;
    assert!(log.contains(case.says), "{name}: `{}` is not in\n{log}", case.says);
    bench.holds(&id);
    if case.code == 0 {
        return;
    }
    // Once the lab behaves again, trying again finishes the job, and the record says so.
    bench.heal();
    let end = bench.run(&["run", &id, "--retry", "failed", "--json"]).code(0).json();
    assert_eq!(end["record"]["outcome"], "done", "{name}");
    let left = end["record"]["residual"].to_string();
    assert!(left.contains("`create/sw03` took 2 attempts: before the last one c"), "{name}: {left}");
    assert_eq!((&bench.vlan("120")[0], &bench.vlan("120")[2]), (&json!("guest"), &json!("guest")), "{name}");
    let record = end["artifacts"].as_array().unwrap().iter().find(|filed| filed["artifact"] == "reconciled.record");
    assert_eq!(record.unwrap()["version"], 2, "{name}");
    bench.holds(&id);
}

#[test]
fn a_lie_is_found_by_reading_back() {
    check(&Case {
        fault: "lie:vlan.create@sw03",
        code: 6,
        sw03: "failed",
        left: Value::Null,
        says: "the tool reported success, and nothing changed",
    });
}

#[test]
fn half_a_change_is_found_and_taken_back() {
    check(&Case {
        fault: "half:vlan.create@sw03",
        code: 6,
        sw03: "undone",
        left: Value::Null,
        says: "the tool reported success, but",
    });
}

#[test]
fn a_change_that_vanishes_is_not_done() {
    let (bench, id) = misbehaves("vanish:vlan.create@sw03");
    let record = &bench.drive(&id, 6)["record"];
    assert_eq!(record["outcome"], "partly_done");
    assert_eq!(record["requirements"][0]["status"], "not_met");
    assert_ne!(outcomes(&record["targets"], "target")[1], "sw03 done");
    assert_eq!(bench.vlan("120")[2], Value::Null);
    bench.holds(&id);
}

#[test]
fn an_error_fails_its_own_target_and_no_other() {
    check(&Case {
        fault: "error:vlan.create@sw03",
        code: 6,
        sw03: "failed",
        left: Value::Null,
        says: "simulated fault",
    });
}

#[test]
fn an_error_after_the_change_is_done_because_the_change_is_there() {
    check(&Case {
        fault: "error-after:vlan.create@sw03",
        code: 0,
        sw03: "done",
        left: json!("guest"),
        says: "the tool reported an error",
    });
}

#[test]
fn a_server_that_dies_before_the_change_is_tried_again_in_the_open() {
    check(&Case {
        fault: "crash-before:vlan.create@sw03,times=1",
        code: 0,
        sw03: "done",
        left: json!("guest"),
        says: "call.void",
    });
}

#[test]
fn a_server_that_always_dies_fails_its_target_after_three_attempts() {
    let (bench, id) = misbehaves("crash-before:vlan.create@sw03");
    let end = bench.drive(&id, 6);
    assert_eq!(outcomes(&end["record"]["targets"], "target")[1], "sw03 failed");
    let tried = bench.events(&id, "call.allowed").into_iter();
    assert_eq!(tried.filter(|event| event["body"]["purpose"]["act"]["node"] == "create/sw03").count(), 3);
    assert_eq!(bench.vlan("120")[2], Value::Null);
    bench.holds(&id);
}

#[test]
fn a_server_that_dies_after_the_change_is_done_because_the_change_is_there() {
    check(&Case {
        fault: "crash-after:vlan.create@sw03",
        code: 0,
        sw03: "done",
        left: json!("guest"),
        says: "its outcome was unknown",
    });
}

#[test]
fn a_server_that_answers_too_late_is_ended_and_looked_after() {
    check(&Case {
        fault: "slow:vlan.create@sw03,times=1,ms=30000",
        code: 0,
        sw03: "done",
        left: json!("guest"),
        says: "no answer within 1 seconds",
    });
}

#[test]
fn a_target_that_cannot_be_read_is_not_changed() {
    let (bench, id) = misbehaves("error:vlan.list@sw03");
    let record = &bench.drive(&id, 6)["record"];
    assert_eq!(record["requirements"][0]["status"], "not_shown");
    assert_ne!(outcomes(&record["targets"], "target")[1], "sw03 done");
    assert_eq!(bench.vlan("120")[2], Value::Null);
    assert_eq!(bench.writes(), ["vlan.create 120 guest sw01"]);
    bench.holds(&id);
}

#[test]
fn an_address_that_is_allocated_without_an_answer_is_asked_for_under_its_own_id() {
    for fault in ["crash-after:ipam.address.allocate,times=1", "crash-before:ipam.address.allocate,times=1"] {
        let bench = Bench::impatient();
        let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
        bench.to_gate2(&id);
        bench.fault(fault);
        let (code, _) = bench.yes_to_all(&id);
        assert_eq!(code, 0, "{fault}");
        let writes =
            ["ipam.address.allocate web01 192.0.2.0/24", "dns.record.create 192.0.2.3 web01 3600 corp.example.com"];
        assert_eq!(bench.writes(), writes, "{fault}");
        bench.holds(&id);
    }
}

#[test]
fn undo_all_leaves_the_lab_as_it_was() {
    for fault in ["error:dns.record.create", "half:dns.record.create", "lie:dns.record.create"] {
        let bench = Bench::impatient();
        let before = bench.network();
        let id = bench.request(&["--blueprint", "address", "--set", "name=web01", "--set", "ttl=300"]);
        bench.to_gate2(&id);
        bench.fault(fault);
        let (code, end) = bench.yes_to_all(&id);
        assert_eq!(code, 1, "{fault}");
        let steps = outcomes(&end["record"]["steps"], "node");
        assert_eq!(steps[0], "allocate undone", "{fault}");
        assert_ne!(steps[1], "publish done", "{fault}");
        assert_eq!(bench.network(), before, "{fault}");
        bench.holds(&id);
    }
}

#[test]
fn a_failure_everywhere_is_a_failure() {
    let (bench, id) = misbehaves("lie:vlan.create");
    let end = bench.drive(&id, 1);
    assert_eq!(end["record"]["outcome"], "failed");
    assert!(outcomes(&end["record"]["targets"], "target").iter().all(|target| target.ends_with(" failed")));
    assert!(bench.writes().is_empty());
    bench.run(&["run", &id]).code(1).shows("--retry failed");
}

#[test]
fn an_undo_that_lies_is_found_out() {
    let (bench, id) = misbehaves("half:vlan.create@sw03");
    bench.fault("lie:vlan.delete");
    let end = bench.drive(&id, 6);
    let target = &outcomes(&end["record"]["targets"], "target")[1];
    assert!(!target.ends_with("undone") && !target.ends_with("done"), "{target}");
    assert_eq!(bench.vlan("120")[2], "gu");
    assert!(end["record"].to_string().contains("after the undo"), "{end}");
    bench.holds(&id);
}

#[test]
fn a_server_that_takes_longer_to_start_than_a_permit_lasts_is_waited_for_and_the_call_decided_as_it_was() {
    let bench = Bench::new();
    bench.in_front("sleep 11");
    bench.run(&["tools", "pin", "--yes"]).code(0);
    let create = |on: &str| {
        format!("{{id: {on}, tool: vlan.create, needs: [look], with: {{switch: {on}, id: 120, name: guest}}}}")
    };
    let design = format!(
        "steps:\n  - {{id: look, tool: vlan.list, with: {{switch: sw01}}, approval: approver}}\n  - {}\n  - {}\n\
         acceptance: {{A1: [sw01, sw02]}}\n",
        create("sw01"),
        create("sw02")
    );
    let id = bench.request_written(crate::written::SPEC, &design);
    let (code, end) = bench.yes_to_all(&id);
    assert_eq!(code, 0, "{end}");
    let steps = outcomes(&end["record"]["steps"], "node");
    assert_eq!(steps, ["look done", "sw01 done", "sw02 done"], "{end}");
    bench.holds(&id);
}

#[test]
fn what_is_cancelled_while_a_server_starts_is_not_sent() {
    let bench = Bench::new();
    bench.in_front("sleep 6");
    bench.run(&["tools", "pin", "--yes"]).code(0);
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.approve(&id);
    let mut child = bench.start(&["run", &id]);
    let since = Instant::now();
    while bench.events(&id, "call.allowed").is_empty() {
        assert!(since.elapsed() < Duration::from_secs(60), "nothing was let through");
    }
    bench.run(&["cancel", &id, "--reason", "wrong ticket"]).code(0);
    child.wait().unwrap();
    let ended = bench.events(&id, "call.finished").remove(0);
    assert_eq!(ended["body"]["outcome"], "not_sent", "{ended}");
    assert!(ended["body"]["message"].as_str().unwrap().contains("was cancelled"), "{ended}");
}

#[test]
fn a_server_that_describes_a_tool_otherwise_is_refused_until_someone_pins_it() {
    let bench = Bench::impatient();
    bench.fault("redescribe:vlan.create");
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.approve(&id);
    let end = bench.drive(&id, 1);
    assert_eq!(end["status"]["is"], "running", "nothing was sent, so nothing is decided");
    bench.run(&["log", &id]).code(0).shows("describes `vlan.create` otherwise").shows("tools pin");
    assert!(bench.writes().is_empty());
    // A person who has looked at it pins it; what was pinned is what is asked from then on.
    bench.run(&["tools", "pin", "lab", "--yes"]).code(0).shows("vlan.create");
    // What gate 1 approved was the server as it was; it is asked anew on the server as it is.
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate1");
    bench.run(&["show", &id]).code(0).shows("ASKED ANEW");
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    bench.approve(&id);
    bench.drive(&id, 0);
}

#[test]
fn how_often_a_server_that_nobody_pins_is_tried_is_said_before_the_engagement_goes_on_without() {
    let bench = Bench::impatient();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.approve(&id);
    bench.fault("redescribe:vlan.create");
    for (left, says) in
        [(2, ": 2 more attempts; after that"), (1, ": 1 more attempt; after that"), (0, ": that was the last attempt")]
    {
        let ran = bench.run(&["run", &id, "--no-input"]).code(1).shows("run `countersign tools pin`").shows(says);
        let next = if left == 0 { "countersign cancel" } else { "countersign run" };
        let stands = bench.run(&["show", &id]).code(0).shows("run `countersign tools pin`").shows(says).shows(next);
        let last = |text: &str| text.lines().last().unwrap().to_owned();
        assert_eq!(last(&ran.out), last(&stands.out), "they say the same");
        let held = &bench.json(&["show", &id])["held"];
        assert_eq!(held["attempts_left"], left, "{held}");
        assert!(held["reason"].as_str().unwrap().contains("countersign tools pin"), "{held}");
    }
    // Whatever is read next is said of in the same way, until it ends as was said.
    let end = loop {
        let answer = bench.run(&["run", &id, "--json"]).code(1).json();
        if answer["status"]["is"] == "closed" {
            break answer;
        }
        assert!(answer["held"]["attempts_left"].is_u64(), "{answer}");
    };
    assert_eq!(end["status"]["outcome"], "not_feasible", "{end}");
    assert!(end.get("held").is_none());
    bench.run(&["show", &id]).code(0).shows("countersign export");
    assert!(bench.writes().is_empty());
    bench.holds(&id);
}

#[test]
fn a_server_that_can_be_used_again_after_two_attempts_is_asked_as_if_nothing_had_been() {
    let bench = Bench::impatient();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.approve(&id);
    bench.fault("redescribe:vlan.create");
    bench.run(&["run", &id, "--no-input"]).code(1);
    bench.run(&["run", &id, "--no-input"]).code(1).shows(": 1 more attempt");
    bench.heal();
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    assert!(bench.json(&["show", &id]).get("held").is_none());
    bench.approve(&id);
    bench.drive(&id, 0);
}

#[test]
fn a_banner_with_instructions_changes_nothing() {
    let bench = Bench::new();
    bench.fault("inject:vlan.list");
    let id = bench.request_vlan();
    let end = bench.to_end(&id, 0);
    assert_eq!(end["record"]["outcome"], "done");
    assert_eq!(bench.writes().len(), 4);
    assert!(bench.writes().iter().all(|write| write.starts_with("vlan.create 120 ")));
    bench.holds(&id);
}

#[test]
fn a_change_since_gate_2_is_a_deviation_that_someone_must_accept() {
    for (accept, code, left) in [(true, 0, "guest"), (false, 6, "visitors")] {
        let bench = Bench::new();
        let id = bench.request_written(
            &crate::written::SPEC.replace("tool: vlan.create", "tool: vlan.rename"),
            &crate::written::DESIGN.replace("tool: vlan.create", "tool: vlan.rename"),
        );
        bench.tamper(|network| {
            for switch in ["sw01", "sw02"] {
                network["switches"][switch]["vlans"]["120"] = json!("old");
            }
        });
        bench.to_gate2(&id);
        bench.tamper(|network| network["switches"]["sw02"]["vlans"]["120"] = json!("visitors"));
        bench.approve(&id);
        let asked = bench.drive(&id, 3);
        assert_eq!(asked["status"]["about"]["deviation"]["node"], "create/sw02");
        if accept {
            bench.approve(&id);
        } else {
            bench.run(&["reject", &id, "--reason", "find out who did that"]).code(0);
        }
        let end = bench.drive(&id, code);
        assert_eq!(bench.vlan("120")[1], left);
        let deviation = &end["record"]["deviations"][0];
        assert_eq!(deviation["accepted_by"].is_null(), !accept, "{deviation}");
        bench.holds(&id);
    }
}

#[test]
fn a_retry_renews_no_approval_that_was_signed() {
    let bench = Bench::impatient();
    bench.key_of("ada");
    let args = ["--blueprint", "vlan", "--set", "id=120", "--set", "name=guest", "--set", "switches=sw01,sw03"];
    let id = bench.request(&args);
    bench.to_gate2(&id);
    bench.fault("lie:vlan.create@sw03,times=1");
    bench.approve(&id);
    bench.drive(&id, 6);
    // In the lab a name would be enough to try again; what somebody signed is asked for anew.
    let waits = bench.run(&["run", &id, "--retry", "failed", "--json"]).code(3).json();
    assert_eq!(waits["status"]["about"]["call"]["node"], "create/sw03", "{waits}");
    bench.run(&["show", &id]).shows("said yes to it on").shows(", for one use; c").shows("done         create/sw01");
    assert_eq!(bench.vlan("120")[2], Value::Null);
    // A no on a name alone lets nothing run, so no approval is less than signed for it.
    bench.run(&["reject", &id, "--reason", "not yet"]).code(0);
    bench.drive(&id, 6);
    bench.run(&["run", &id, "--retry", "failed"]).code(3);
    bench.approve(&id);
    let end = bench.drive(&id, 0);
    assert!(!end["record"]["residual"].to_string().contains("asserted"), "{end}");
    assert_eq!(bench.events(&id, "steps.retried")[0]["body"]["calls"], json!([]));
    bench.run(&["verify", &id, "--signers", "policies/allowed_signers"]).code(0);
    // The no, and who had it tried again.
    assert_eq!(bench.json(&["verify", &id])["on_a_name"], 3);
}

#[test]
fn approvals_that_were_renewed_on_a_name_are_counted_and_named() {
    let (bench, id) = misbehaves("lie:vlan.create@sw03,times=1");
    bench.drive(&id, 6);
    bench.run(&["run", &id, "--retry", "failed"]).code(0);
    let event = &bench.events(&id, "steps.retried")[0];
    assert_eq!(event["body"]["calls"].as_array().unwrap().len(), 1);
    assert_eq!(bench.json(&["verify", &id])["on_a_name"], 3);
    let says = format!("approvals renewed by ada (event {})", event["seq"]);
    bench.run(&["verify", &id]).code(0).shows(&says);
    let key = bench.key_of("ada");
    assert!(!key.is_empty());
    let held = bench.run(&["verify", &id, "--signers", "policies/allowed_signers"]).code(5);
    assert!(held.out.contains("approvals renewed on a name alone"), "{}", held.out);
}

#[test]
fn an_answer_that_was_lost_is_named_by_the_step_that_reads_it() {
    let bench = Bench::impatient();
    let id = bench.request(&["--blueprint", "address", "--set", "name=app01"]);
    bench.to_gate2(&id);
    // Each sending acts, and the process ends before it answers; only reading back shows what came of it.
    bench.fault("crash-after:ipam.address.allocate");
    bench.approve(&id);
    let (_, end) = bench.yes_to_all(&id);
    let steps = end["record"]["steps"].as_array().unwrap();
    let publish = steps.iter().find(|step| step["node"] == "publish").unwrap();
    assert!(
        publish["reason"].as_str().unwrap().contains("`allocate` is done, but what it answered was lost"),
        "{publish}"
    );
}

#[test]
fn a_step_whose_needs_cannot_be_done_any_more_is_not_offered_again() {
    let bench = Bench::impatient();
    let id = bench.request(&["--blueprint", "address", "--set", "name=app01"]);
    bench.to_gate2(&id);
    bench.fault("error:dns.record.create");
    bench.fault("lie:ipam.address.release");
    bench.approve(&id);
    bench.yes_to_all(&id);
    // What `allocate` left could not be taken back, so nothing that needs it can be tried again.
    assert!(!bench.run(&["show", &id]).code(0).out.contains("--retry"), "{}", bench.run(&["show", &id]).out);
    bench
        .run(&["run", &id, "--retry", "failed"])
        .code(2)
        .says("no step of")
        .says("allocate: it was to be taken back, and that failed or could not be seen")
        .says(&format!("countersign request --blueprint address --set … --from {id}"));
}

#[test]
fn a_step_is_not_tried_again_where_what_it_needs_is_not_there_any_more() {
    let bench = Bench::new();
    let design = "steps:\n  - {id: make, tool: vlan.create, with: {switch: sw01, id: 120, name: guest}}\n  - {id: remove, \
                  tool: vlan.delete, needs: [make], with: {switch: sw01, id: 20}}\nacceptance: {A1: [make]}\n";
    let id = bench.request_written(crate::written::SPEC, design);
    bench.to_gate2(&id);
    bench.fault("error:vlan.delete");
    bench.approve(&id);
    bench.fault("vanish:vlan.create@sw01");
    bench.yes_to_all(&id);
    let end = bench.json(&["show", &id]);
    assert_eq!(outcomes(&end["record"]["steps"], "node"), ["make failed", "remove failed"], "{end}");
    let on = format!("countersign request --spec FILE --design FILE --from {id}");
    bench.run(&["run", &id, "--retry", "failed"]).code(2).says("no step of").says(&on);
    let shown = bench.run(&["show", &id]).shows("No step can be tried again: ").shows(&on);
    assert!(!shown.out.contains("--retry"), "it is offered");
}

#[test]
fn nothing_is_tried_again_where_the_spec_lets_nothing_more_run() {
    let bench = Bench::new();
    let spec = format!("{}limits: {{tool_calls: 8}}\n", crate::written::SPEC);
    let id = bench.request_written(&spec, crate::written::DESIGN);
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.yes_to_all(&id);
    let why = "the spec allows 8 tool calls and all are used";
    let on = format!("countersign request --spec FILE --design FILE --from {id}");
    bench.run(&["run", &id, "--retry", "failed"]).code(2).says(why).says(&on);
    let shown = bench.run(&["show", &id]).shows(why).shows(&on);
    assert!(!shown.out.contains("--retry"), "it is offered");
    bench.holds(&id);
}
