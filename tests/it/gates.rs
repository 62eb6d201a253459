//! Gates: who may answer, what an answer names, and what happens to what was approved when something changes.

use serde_json::{Value, json};

use crate::bench::Bench;

fn digest(gate: &Value) -> String {
    gate["question_digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_rejection_needs_a_reason_and_then_someone_must_edit() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.run(&["reject", &id]).code(2).says("--reason");
    for none in ["  ", "…", "..."] {
        bench.run(&["reject", &id, "--reason", none]).code(2).says("--reason");
    }
    let no = bench.run(&["reject", &id, "--reason", "VLAN 120 is taken in building B"]).code(0);
    no.shows(&format!("Next: countersign edit {id}, or countersign cancel {id}"));
    // A blueprint drafts the same again, so running does not ask the same question again.
    for _ in 0..2 {
        let answer = bench.run(&["run", &id]).code(3).shows("VLAN 120 is taken in building B");
        assert!(answer.out.contains(&format!("countersign edit {id}")), "{}", answer.out);
    }
    bench.run(&["approve", &id]).code(2).says("nothing is open");
    bench.run(&["show", &id]).code(0).shows("rejected by ada");
    assert!(bench.events(&id, "call").is_empty());
}

#[test]
fn a_spec_can_be_edited_after_it_was_rejected_and_the_new_version_is_the_persons() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.drive(&id, 3);
    bench.run(&["reject", &id, "--reason", "sw04 is not ours"]).code(0);
    let spec = bench.run(&["show", &id, "--artifact", "spec"]).code(0).out;
    let narrower = spec.lines().filter(|line| !line.contains("- sw04")).collect::<Vec<_>>().join("\n");
    bench.write("narrower.yaml", &narrower);
    let filed = bench.json(&["edit", &id, "--file", "narrower.yaml"]);
    assert_eq!((&filed["artifact"], &filed["version"], &filed["filed"]), (&json!("spec"), &json!(2), &json!(true)));
    let by = &bench.events(&id, "artifact.filed").pop().unwrap()["actor"]["person"]["name"];
    assert_eq!(by, "ada");
    let gate = bench.drive(&id, 3);
    assert_eq!(gate["question"]["version"], 2);
    bench.run(&["show", &id]).shows("ada (asserted, OS user root) said no to version 1 on").shows("sw04 is not ours");
    assert_eq!(gate["question"]["facts"]["targets"], json!(["sw01", "sw02", "sw03"]));
    bench.approve(&id);
    bench.drive(&id, 3);
    bench.approve(&id);
    bench.drive(&id, 0);
    assert_eq!(bench.vlan("120"), [json!("guest"), json!("guest"), json!("guest"), Value::Null]);
    bench.holds(&id);
}

#[test]
fn an_edit_closes_what_was_approved() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    // In the design phase, a new version of the spec takes the engagement back to gate 1.
    let spec = bench.run(&["show", &id, "--artifact", "spec"]).code(0).out;
    bench.write("wider.yaml", &spec.replace("title: Create VLAN 120 guest", "title: Create VLAN 120 for guests"));
    let filed = bench.run(&["edit", &id, "--artifact", "spec", "--file", "wider.yaml"]).code(0);
    filed.shows("gate 1 is closed by that");
    // Filing what is there already changes nothing.
    let before = bench.events(&id, "").len();
    bench.run(&["edit", &id, "--artifact", "spec", "--file", "wider.yaml"]).code(0).shows("Nothing was changed");
    assert_eq!(bench.events(&id, "").len(), before);
    let told = bench.run(&["approve", &id]).code(2).says("nothing is open").says("another version was filed since");
    told.says(&format!("`countersign run {id}` asks about it"));
    let gate = bench.drive(&id, 3);
    assert_eq!((&gate["phase"], &gate["status"]["about"]), (&json!("requirements"), &json!("gate1")));
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    // The same for a design: another order of steps is another contract.
    let design = bench.run(&["show", &id, "--artifact", "design"]).code(0).out;
    bench.write("other.yaml", &design.replace("on_failure: undo_target", "on_failure: stop"));
    bench.approve(&id);
    bench.run(&["edit", &id, "--file", "other.yaml"]).code(0);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2", "an edit left the approval of gate 2 standing");
    assert!(bench.writes().is_empty());
    bench.approve(&id);
    bench.drive(&id, 0);
    assert_eq!(bench.artifact(&id, "design")["steps"][0]["on_failure"], "stop");
    bench.holds(&id);
}

#[test]
fn an_edit_that_cannot_stand_is_refused_at_its_line_and_nothing_is_filed() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.to_gate2(&id);
    let before = bench.events(&id, "").len();
    let spec = bench.run(&["show", &id, "--artifact", "spec"]).code(0).out;
    let design = bench.run(&["show", &id, "--artifact", "design"]).code(0).out;
    let table = [
        ("spec", spec.replace("title:", "tilte:"), "tilte"),
        ("spec", spec.replace("tool: vlan.create", "tool: vlan.crate"), "vlan.crate"),
        ("spec", spec.replace("id: A1", "id: A2"), "stands twice"),
        ("spec", String::new(), ""),
        ("design", design.replace("tool: vlan.create", "tool: vlan.delete"), "vlan.delete"),
        ("design", design.replace("on_failure: undo_target", "on_failure: give_up"), "give_up"),
        ("design", design.replace("at_most: 40", "at_most: 1"), "at most 1"),
    ];
    for (artifact, text, says) in table {
        bench.write("broken.yaml", &text);
        let answer = bench.run(&["edit", &id, "--artifact", artifact, "--file", "broken.yaml"]).code(2).says(says);
        assert!(answer.err.starts_with("error: broken.yaml:"), "{}", answer.err);
    }
    bench.run(&["edit", &id, "--file", "nowhere.yaml"]).code(2).says("nowhere.yaml");
    assert_eq!(bench.events(&id, "").len(), before);
    bench.approve(&id);
    bench.drive(&id, 0);
}

#[test]
fn an_approval_is_refused_when_what_it_was_asked_on_has_changed() {
    let table: [(&str, &str, &str, &str); 4] = [
        ("policies/inventory.yaml", "tags: [access]", "tags: [access, lab]", "inventory"),
        ("policies/guardrails.cedar", "the target is frozen;", "this target is frozen;", "polic"),
        ("tools/lab.yaml", "timeout_seconds: 5", "timeout_seconds: 6", "tool"),
        ("policies/people.yaml", "roles: [owner]", "roles: [owner, requester]", "people"),
    ];
    for (file, from, to, says) in table {
        let bench = Bench::new();
        let id = bench.request_one();
        let asked = digest(&bench.drive(&id, 3));
        bench.edit(file, from, to);
        let refused = bench.run(&["approve", &id]).code(3);
        assert!(refused.err.to_lowercase().contains(says), "{file}: {}", refused.err);
        assert!(refused.err.contains(&format!("countersign show {id}")), "{}", refused.err);
        assert!(bench.events(&id, "approval.answered").is_empty(), "{file}");
        assert!(!bench.json(&["show", &id])["question_out_of_date"].as_array().unwrap().is_empty(), "{file}");
        // Running asks anew, and that question can be answered.
        let again = bench.drive(&id, 3);
        assert_ne!(digest(&again), asked, "{file}");
        assert_eq!(again["question_out_of_date"], json!([]), "{file}");
        bench.run(&["approve", &id, "--digest", &asked]).code(2).says("digest");
        bench.run(&["approve", &id, "--digest", &digest(&again)]).code(0);
    }
}

#[test]
fn a_rejection_stands_even_if_something_has_changed() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.edit("policies/inventory.yaml", "tags: [access]", "tags: [access, lab]");
    bench.run(&["reject", &id, "--reason", "not now"]).code(0);
}

#[test]
fn an_approval_can_name_the_digest_that_was_seen() {
    let bench = Bench::new();
    let id = bench.request_one();
    let digest = digest(&bench.drive(&id, 3));
    let hex = digest.strip_prefix("sha256:").unwrap();
    let other = if hex.starts_with('0') { "1".repeat(64) } else { "0".repeat(64) };
    for wrong in [other.as_str(), &hex[..63], &hex[..8], "sha256:", "", "nonsense"] {
        let refused = bench.run(&["approve", &id, "--digest", wrong]).code(2);
        assert!(refused.err.contains(&hex[..12]) && refused.err.contains("countersign show"), "{}", refused.err);
    }
    assert!(bench.events(&id, "approval.answered").is_empty());
    bench.run(&["approve", &id, "--digest", hex]).code(0);
}

#[test]
fn nothing_is_approved_unseen() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.drive(&id, 3);
    let refused = bench.run(&["approve", &id]).code(2).says(&format!("countersign show {id}"));
    let short = &bench.question(&id)["sha256:".len()..][..12];
    assert!(refused.err.contains(&format!("countersign approve {id} --digest {short}")), "{}", refused.err);
    bench.run(&["approve", &id, "--json"]).code(2);
    bench.run(&["approve", &id, "--digest", &short[..7]]).code(2).says("the whole digest is needed");
    assert!(bench.events(&id, "approval.answered").is_empty());
    bench.approving(&id, &[]).code(0).shows("Create VLAN 120 guest").shows("in lab").shows(short);
}

#[test]
fn a_question_that_is_asked_anew_says_what_changed() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.drive(&id, 3);
    bench.edit("policies/inventory.yaml", "tags: [access]", "tags: [access, lab]");
    bench.run(&["approve", &id]).code(3).says("inventory").says(&format!("countersign run {id}"));
    let run = bench.run(&["run", &id]).code(3);
    assert!(run.err.contains("asked anew") && run.err.contains("inventory"), "{}", run.err);
}

#[test]
fn only_people_with_the_role_may_answer() {
    let bench = Bench::new();
    bench.people(&[("req", "requester"), ("app", "approver")]);
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.run(&["approve", &id, "--as", "req"]).code(4).says("`approver`");
    bench.run(&["reject", &id, "--reason", "no", "--as", "req"]).code(4).says("`approver`");
    bench.run(&["approve", &id, "--as", "mallory"]).code(4).says("`mallory`");
    bench.run(&["request", "--blueprint", "vlan", "--set", "id=121", "--set", "name=x", "--as", "mallory"]).code(4);
    bench.run(&["inbox", "--as", "mallory"]).code(4);
    bench.run(&["tools", "pin", "--as", "app"]).code(4).says("`owner`");
    assert_eq!(bench.json(&["inbox", "--as", "req"]), json!([]));
    assert_eq!(bench.json(&["inbox", "--as", "app"])[0]["id"], json!(id));
    assert!(bench.events(&id, "approval.answered").is_empty());
    bench.approving(&id, &["--as", "app"]).code(0).shows("app (asserted");
    let answered = bench.events(&id, "approval.answered").pop().unwrap();
    assert_eq!((&answered["actor"]["person"]["name"], &answered["body"]["role"]), (&json!("app"), &json!("approver")));
    assert_eq!(answered["actor"]["person"]["means"], "asserted");
}

#[test]
fn someone_who_was_taken_off_the_list_may_no_longer_answer() {
    let bench = Bench::new();
    bench.people(&[("app", "approver")]);
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.edit("policies/people.yaml", "  - {name: app, os_users: [], roles: [approver]}\n", "");
    bench.run(&["approve", &id, "--as", "app"]).code(4).says("`app`");
    assert!(bench.events(&id, "approval.answered").is_empty());
}

#[test]
fn a_second_answer_is_refused() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.run(&["approve", &id]).code(2).says("nothing is open");
    bench.drive(&id, 3);
    bench.approve(&id);
    bench.run(&["approve", &id]).code(2).says("nothing is open");
    bench.run(&["reject", &id, "--reason", "on second thoughts"]).code(2).says("nothing is open");
    bench.run(&["answer", &id, "continue"]).code(2).says("nothing is open");
    assert_eq!(bench.events(&id, "approval.answered").len(), 1);
}

#[test]
fn two_answers_at_the_same_time_are_one_answer() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    let digest = bench.question(&id);
    let mut children: Vec<_> = (0..6).map(|_| bench.start(&["approve", &id, "--digest", &digest])).collect();
    let codes: Vec<_> = children.iter_mut().map(|child| child.wait().unwrap().code().unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(bench.events(&id, "approval.answered").len(), 1);
    bench.holds(&id);
}

#[test]
fn an_answer_of_another_kind_is_refused() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    for choice in ["stop", "continue", "undo-target", "undo-all", "applied", "not-applied"] {
        bench.run(&["answer", &id, choice]).code(2).says("approve or reject");
    }
    bench.approving(&id, &["--tick", "create/sw01"]).code(2).says("create/sw01");
    assert!(bench.events(&id, "approval.answered").is_empty());
}

#[test]
fn cancelling_ends_an_engagement_in_every_phase() {
    let bench = Bench::new();
    let cancel = |id: &str| bench.run(&["cancel", id, "--reason", "the change was withdrawn"]).code(0);
    let new = |vlan: &str| {
        bench.request(&[
            "--blueprint",
            "vlan",
            "--set",
            &format!("id={vlan}"),
            "--set",
            "name=x",
            "--set",
            "switches=sw01",
        ])
    };
    // Before anything was drafted, at gate 1, after it, and at gate 2.
    let prepare: [fn(&Bench, &str); 4] = [
        |_, _| {},
        |bench, id| drop(bench.drive(id, 3)),
        |bench, id| {
            bench.drive(id, 3);
            bench.approve(id);
        },
        |bench, id| bench.to_gate2(id),
    ];
    for (at, prepare) in prepare.into_iter().enumerate() {
        let id = new(&format!("{}", 200 + at));
        prepare(&bench, &id);
        bench.run(&["cancel", &id]).code(2).says("--reason");
        bench.run(&["cancel", &id, "--reason", " "]).code(2).says("--reason");
        cancel(&id);
        bench.run(&["approve", &id]).code_in(&[1, 2]);
        let end = bench.drive(&id, 1);
        assert_eq!((&end["status"]["is"], &end["status"]["outcome"]), (&json!("closed"), &json!("cancelled")), "{at}");
        bench.run(&["cancel", &id, "--reason", "again"]).code(2).says("`--from");
        bench.holds(&id);
    }
    assert!(bench.writes().is_empty());
    // After gate 2, before the first write.
    let id = new("210");
    bench.to_gate2(&id);
    bench.approve(&id);
    cancel(&id);
    let end = bench.drive(&id, 1);
    assert_eq!(end["status"]["outcome"], "cancelled");
    assert!(bench.writes().is_empty());
    bench.holds(&id);
}

#[test]
fn cancelling_in_the_middle_of_the_build_records_what_was_done() {
    let bench = Bench::new();
    let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
    bench.to_gate2(&id);
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["call"]["node"], "publish");
    bench.run(&["cancel", &id, "--reason", "the change was withdrawn"]).code(0);
    let end = bench.drive(&id, 6);
    assert_eq!(end["record"]["outcome"], "partly_done");
    assert!(end["record"]["summary"].as_str().unwrap().contains("the change was withdrawn"));
    assert_eq!(bench.writes(), ["ipam.address.allocate web01 192.0.2.0/24"]);
    bench.holds(&id);
}

#[test]
fn tools_that_change_after_gate_2_run_nothing_that_was_not_approved() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    // Another undo makes another flow than the one that was approved.
    bench.edit("tools/lab.yaml", "calls_per_second: 50", "calls_per_second: 40");
    bench.edit(
        "tools/lab.yaml",
        "      tool: vlan.delete\n      with: {switch: {cel: args.switch}, id: {cel: args.id}}",
        "      tool: vlan.delete\n      with: {switch: {cel: args.switch}, id: 10}",
    );
    bench.run(&["run", &id]).code(1).shows("countersign tools pin");
    bench.run(&["tools", "pin", "--yes"]).code(0);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate1");
    bench.run(&["show", &id]).code(0).shows("`vlan.create` changed");
    assert!(bench.writes().is_empty());
    bench.run(&["cancel", &id, "--reason", "the tools changed"]).code(0);
    bench.drive(&id, 1);
    bench.holds(&id);
}

#[test]
fn each_role_may_do_what_it_is_for_and_no_more() {
    let bench = Bench::new();
    bench.people(&[("req", "requester"), ("app", "approver")]);
    let vlan = ["request", "--blueprint", "vlan", "--set", "id=121", "--set", "name=x", "--as"];
    bench.run(&[&vlan[..], &["app"]].concat()).code(4).says("`requester`");
    bench.run(&[&vlan[..], &["req"]].concat()).code(0);
    let id = bench.request_vlan();
    bench.drive(&id, 3);
    let spec = bench.run(&["show", &id, "--artifact", "spec"]).code(0).out;
    bench.write("again.yaml", &spec);
    for name in ["req", "app"] {
        bench.run(&["edit", &id, "--file", "again.yaml", "--as", name]).code(0);
    }
    bench.run(&["cancel", &id, "--reason", "no", "--as", "app"]).code(4).says("`requester`");
    bench.run(&["cancel", &id, "--reason", "no", "--as", "req"]).code(0);
    bench.drive(&id, 1);
}

#[test]
fn what_comes_next_is_what_can_be_done() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.run(&["run", &id, "--retry", "failed"]).code(2).says(&format!("countersign run {id}"));
    bench.drive(&id, 3);
    bench.run(&["reject", &id, "--reason", "no"]).code(0);
    bench.run(&["show", &id]).code(0).shows(&format!("Next: countersign edit {id}"));
    bench.run(&["cancel", &id, "--reason", "no"]).code(0);
    for args in [&["run", &id][..], &["show", &id]] {
        let answer = bench.run(args);
        assert!(!answer.out.contains("--retry") && !answer.out.contains("Next: countersign run"), "{}", answer.out);
    }
    bench.run(&["run", &id, "--retry", "failed"]).code(2).says("it was cancelled (no)");
    let done = bench.request(&["--blueprint", "dns", "--set", "name=a", "--set", "address=192.0.2.9"]);
    bench.to_end(&done, 0);
    let answer = bench.run(&["show", &done]).code(0);
    assert!(!answer.out.contains("--retry") && !answer.out.contains("Next: countersign run"), "{}", answer.out);
    bench.run(&["run", &done, "--retry", "failed"]).code(2).says(&format!("countersign show {done}"));
    bench.write("spec.yaml", &bench.run(&["show", &done, "--artifact", "spec"]).out);
    let late = bench.request_vlan();
    bench.to_gate2(&late);
    bench.approve(&late);
    bench.fault("error:vlan.create");
    bench.drive(&late, 1);
    bench.run(&["edit", &late, "--file", "spec.yaml", "--artifact", "spec"]).code_in(&[1, 2]).says("countersign ");
}

#[test]
fn what_runs_is_cancelled_before_its_next_effect_however_often_it_writes_meanwhile() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.to_gate2(&id);
    bench.approve(&id);
    // Long enough for two commands in front of the last one, however slow the machine is.
    let mut running = bench.under_way(&id, 2_000);
    // Nobody is told to run what runs.
    let shown = bench.run(&["show", &id]).code(0).shows("by another process now");
    assert!(!shown.out.contains("Next: "), "{}", shown.out);
    let told = bench.run(&["cancel", &id, "--reason", "stop it"]).code(0).shows("the process that runs it");
    assert!(!told.out.contains("Next: "), "{}", told.out);
    let written = bench.writes().len();
    running.wait().unwrap();
    // What was under way when it was cancelled comes to its end, and nothing after it begins.
    assert!(bench.writes().len() <= written + 1 && written < 4, "{written} of 4: {:?}", bench.writes());
    assert_eq!(bench.json(&["show", &id])["status"]["outcome"], "partly_done");
    bench.holds(&id);
}
