//! Trust stages: who sets them, what each lets run alone, and what stays a person's.

use serde_json::{Value, json};

use crate::{bench::Bench, log::tamper};

/// Who answered which question, in order.
fn answered(bench: &Bench, id: &str) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let who = |event: &Value| match &event["actor"] {
        Value::String(name) => name.clone(),
        person => word(&person["person"]["name"]),
    };
    bench.events(id, "approval.answered").iter().map(|event| (word(&event["body"]["about"]), who(event))).collect()
}

fn stage(bench: &Bench, scope: &str) -> Value {
    let shown = bench.json(&["trust", "show"]);
    let scopes = shown["scopes"].as_array().unwrap();
    scopes.iter().find(|row| row["scope"] == scope).unwrap()["stage"].clone()
}

/// Leaves every design to a person; the text of `gates.cedar` that does.
fn without_designs(bench: &Bench) -> String {
    let text = bench.read("policies/gates.cedar");
    let (before, rest) = text.split_once("// match: {action: approve-design").unwrap();
    let after = rest.split_once("// match: {tags: [access, core]}").unwrap().1;
    let text = format!("{before}// match: {{tags: [access, core]}}{after}");
    bench.write("policies/gates.cedar", &text);
    text
}

#[test]
fn raising_needs_the_role_that_policy_names_and_lowering_none() {
    let bench = Bench::new();
    bench.people(&[("olga", "owner"), ("bea", "approver"), ("rita", "requester")]);
    assert_eq!(stage(&bench, "vlan@lab"), 1);
    let set = |who: &str, stage: &str| {
        let key = bench.key_of(who);
        bench.run(&["trust", "set", "vlan@lab", stage, "--reason", "it is time", "--as", who, "--key", &key])
    };
    let by_name = ["trust", "set", "vlan@lab", "3", "--reason", "it is time", "--as", "olga"];
    bench.run(&by_name).code(4).says("needs your signature").says("--key");
    set("bea", "2").code(4).says("owner");
    set("rita", "3").code(4).says("raise_trust");
    set("olga", "4").code(2).says("no trust stage 4");
    set("olga", "3").code(0);
    assert_eq!(stage(&bench, "vlan@lab"), 3);
    assert_eq!(stage(&bench, "dns@lab"), 1, "another blueprint is another scope");
    set("olga", "3").code(2).says("already");
    set("rita", "2").code(0);
    assert_eq!(stage(&bench, "vlan@lab"), 2);
    bench.run(&["trust", "set", "vlan@moon", "2", "--reason", "x", "--as", "olga"]).code(2).says("moon");
    bench.run(&["trust", "set", "vlan", "2", "--reason", "x", "--as", "olga"]).code(2).says("BLUEPRINT@ENVIRONMENT");
    let history = bench.json(&["trust", "show"])["history"].clone();
    assert_eq!(history.as_array().unwrap().len(), 2);
    assert_eq!(history[0]["body"]["reason"], "it is time");
    // A blueprint that changes by one byte of meaning is another scope.
    bench.edit("prompts/blueprints/vlan.yaml", "on another", "on any other");
    assert_eq!(stage(&bench, "vlan@lab"), 1);
    bench.edit("policies/people.yaml", "kind: people", "kind: people\nraise_trust: approver");
    set("bea", "2").code(0);
}

#[test]
fn at_stage_2_people_answer_the_gates_and_writes_on_contract_run() {
    for (stage, code) in [("1", 3), ("2", 0)] {
        let bench = Bench::new();
        if stage == "2" {
            bench.trust("vlan@lab", stage, "ten clean runs");
        }
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
        // Some, not all: what is left out is asked about at stage 1, and would be done without a question at stage 2.
        bench.approving(&id, &["--only", "nothing"]).code(2).says("nothing");
        let some = bench.approving(&id, &["--only", "create/sw01"]);
        if stage == "1" {
            some.code(0).shows("create/sw02");
        } else {
            some.code(2).says("create/sw02 would run all the same").says("countersign reject");
            assert_eq!(bench.events(&id, "approval.answered").len(), 1, "nothing was approved");
            bench.approve(&id);
        }
        let end = bench.drive(&id, code);
        if stage == "1" {
            assert_eq!(end["status"]["about"]["call"]["node"], "create/sw02");
            continue;
        }
        let allowed = bench.events(&id, "call.allowed");
        let rules: Vec<&str> = allowed
            .iter()
            .flat_map(|event| event["body"]["rules"].as_array().unwrap())
            .map(|rule| rule["rule"].as_str().unwrap())
            .collect();
        assert!(rules.iter().any(|rule| rule.starts_with("stage-2-write")), "{rules:?}");
        assert!(answered(&bench, &id).iter().all(|(_, who)| who != "policy"));
        bench.holds(&id);
    }
}

#[test]
fn at_stage_3_the_policy_answers_what_it_clearly_allows() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    let id = bench.request_one();
    let end = bench.drive(&id, 0);
    assert_eq!(end["record"]["outcome"], "done");
    let both = [("gate1".to_owned(), "policy".to_owned()), ("gate2".to_owned(), "policy".to_owned())];
    assert_eq!(answered(&bench, &id), both);
    let by_policy = &bench.events(&id, "approval.answered")[0]["body"];
    assert_eq!(by_policy["policy"]["rules"][0]["rule"], "small-lab-spec");
    assert!(by_policy["policy"]["facts"].as_str().unwrap().starts_with("sha256:"), "{by_policy}");
    assert!(end["record"]["residual"].to_string().contains("no person opened a gate: policy answered both"), "{end}");
    bench.run(&["verify", &id]).code(0).shows("trust: vlan@lab was raised to stage 3 by ada as owner, with the key");
    bench.holds(&id);
}

#[test]
fn at_stage_3_a_person_answers_what_the_policy_does_not_clearly_allow() {
    // The spec is not the blueprint's any more: someone edited it.
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    bench.edit("policies/gates.cedar", r#"@id("small-lab-design")"#, r#"@id("small-lab-designs")"#);
    let text = bench.read("policies/gates.cedar");
    let without = text.split("// match: {action: approve-design").next().unwrap().to_owned()
        + text
            .split_once("// match: {tags: [access, core]}")
            .map(|(_, rest)| rest)
            .map(|rest| format!("// match: {{tags: [access, core]}}{rest}"))
            .unwrap()
            .as_str();
    bench.write("policies/gates.cedar", &without);
    let id = bench.request_one();
    // Gate 1 by policy, gate 2 by a person, because no rule speaks of designs any more.
    let asked = bench.drive(&id, 3);
    assert_eq!(asked["status"]["about"], "gate2");
    assert_eq!(asked["question"]["standing"]["stage"], 3);
    assert_eq!(answered(&bench, &id), [("gate1".to_owned(), "policy".to_owned())]);
    bench.approve(&id);
    bench.drive(&id, 0);
    bench.holds(&id);
}

#[test]
fn at_stage_3_a_state_that_gate_2_did_not_show_is_left_to_people() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
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
    // Policy opens both gates, and somebody makes that VLAN on the other switch while the first one waits to be built.
    bench.fault("slow:vlan.create,ms=4000");
    let mut running = bench.start(&["run", &id]);
    while !bench.events(&id, "call.allowed").iter().any(|call| call["body"]["purpose"]["act"].is_object()) {
        assert!(running.try_wait().unwrap().is_none(), "it runs");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(bench.writes(), Vec::<String>::new());
    bench.tamper(|network| network["switches"]["sw02"]["vlans"]["120"] = json!("theirs"));
    assert_eq!(running.wait().unwrap().code(), Some(3));
    let waits = bench.json(&["show", &id]);
    assert!(waits["status"]["about"]["deviation"].is_object(), "{}", waits["status"]);
    let both = [("gate1".to_owned(), "policy".to_owned()), ("gate2".to_owned(), "policy".to_owned())];
    assert_eq!(answered(&bench, &id), both);
    let told = "gates.cedar leaves this to a person: nothing shows that taking it back brings back what is there now";
    let again = bench.run(&["run", &id, "--no-input"]).code(3).says(told);
    assert_eq!(again.err.matches("gates.cedar leaves").count(), 1, "{}", again.err);
    bench.heal();
    bench.run(&["reject", &id, "--reason", "theirs"]).code_in(&[0, 4, 6]);
    assert_eq!(bench.vlan("120")[1], "theirs");
    bench.holds(&id);
}

#[test]
fn an_edited_spec_is_stage_1_whatever_its_blueprint_is() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    let spec = bench.run(&["show", &id, "--artifact", "spec"]).code(0).out;
    bench.write("edited.yaml", &spec.replace("tool_calls: ", "tool_calls: 1"));
    bench.run(&["edit", &id, "--file", "edited.yaml"]).code(0);
    let asked = bench.drive(&id, 3);
    assert_eq!(asked["question"]["standing"]["stage"], 1);
    assert!(asked["question"]["standing"]["because"].as_str().unwrap().contains("byte for byte"));
    assert_eq!(answered(&bench, &id), []);
}

#[test]
fn what_a_person_wrote_or_rejected_is_never_the_policys_to_approve() {
    let bench = Bench::new();
    bench.key_of("ada");
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.run(&["reject", &id, "--reason", "not on a Friday"]).code(0);
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    let design = bench.run(&["show", &id, "--artifact", "design"]).code(0).out;
    bench.write("again.yaml", &design);
    bench.run(&["edit", &id, "--artifact", "design", "--file", "again.yaml"]).code(0);
    let asked = bench.drive(&id, 3);
    assert_eq!((&asked["status"]["about"], &asked["question"]["standing"]["stage"]), (&json!("gate2"), &json!(3)));
    assert!(answered(&bench, &id).iter().all(|(_, who)| who != "policy"));
    assert!(bench.writes().is_empty());
}

#[test]
fn gates_that_the_policy_opened_hold_only_while_it_is_trusted() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    // Gate 1 by policy; gate 2 waits for a person, because the rule for designs is gone.
    without_designs(&bench);
    let id = bench.request_one();
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    bench.approve(&id);
    bench.run(&["trust", "set", "vlan@lab", "2", "--reason", "it surprised us"]).code(0);
    let asked = bench.drive(&id, 3);
    assert_eq!(asked["status"]["about"], "gate1");
    assert!(bench.writes().is_empty(), "nobody but the policy has answered gate 1");
    bench.run(&["show", &id]).code(0).shows("it stands at stage 2 now");
    bench.approve(&id);
    bench.drive(&id, 0);
    assert_eq!(bench.writes().len(), 1);
    bench.holds(&id);
    bench.run(&["log", "trust"]).code(0).shows("it surprised us");
    bench.run(&["verify", "trust"]).code(0).shows("2 events");
}

#[test]
fn a_gate_that_the_policy_opened_holds_only_while_the_policy_would_open_it() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    let gates = without_designs(&bench);
    let id = bench.request_one();
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    assert_eq!(answered(&bench, &id), [("gate1".into(), "policy".into())]);
    bench.approve(&id);
    let read = ["call", &id, "vlan.list", "--args", r#"{"switch": "sw01"}"#];
    // Another text that says the same about this engagement.
    bench.write("policies/gates.cedar", &format!("{gates}\n// Read and left as it is.\n"));
    bench.run(&read).code(0);
    let unattended = "
// match: {environments: [lab]}
// no match: {environments: [test]}
@id(\"unattended\")
@reason(\"nothing runs unattended this week\")
forbid (principal, action, resource) when { context.environments.contains(\"lab\") };
";
    bench.write("policies/gates.cedar", &format!("{gates}{unattended}"));
    let says = "gates.cedar opened it, and now leaves it to a person: nothing runs unattended this week";
    bench.run(&read).code(4).shows("[approval.void]").shows(says);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate1");
    bench.run(&["show", &id]).code(0).shows(says);
    assert!(bench.writes().is_empty());
    bench.approve(&id);
    bench.drive(&id, 0);
    assert_eq!(bench.writes().len(), 1);
    bench.holds(&id);
}

#[test]
fn a_stage_holds_only_while_whoever_raised_it_may_raise_one() {
    let bench = Bench::new();
    bench.people(&[("olga", "owner")]);
    let key = bench.key_of("olga");
    let raise = ["trust", "set", "vlan@lab", "3", "--reason", "it went well", "--as", "olga", "--key", &key];
    bench.run(&raise).code(0);
    let one = |id: &str| {
        let (name, id) = (format!("name=v{id}"), format!("id={id}"));
        bench.request(&["--blueprint", "vlan", "--set", &id, "--set", &name, "--set", "switches=sw01"])
    };
    let first = one("120");
    bench.drive(&first, 0);
    let name = "{name: olga, os_users: [], roles: ";
    bench.edit("policies/people.yaml", &format!("{name}[owner]"), &format!("{name}[approver]"));
    let second = one("130");
    assert_eq!(bench.drive(&second, 3)["status"]["about"], "gate1");
    assert_eq!((stage(&bench, "vlan@lab"), bench.writes().len()), (json!(1), 1));
    bench.run(&["trust", "show"]).code(0).shows("raised by olga, who has not the role `owner`");
    assert!(bench.json(&["trust", "show"])["scopes"].as_array().unwrap().iter().any(|row| row["lapsed"] == "role"));
    bench.edit("policies/people.yaml", &format!("{name}[approver]"), &format!("{name}[owner]"));
    bench.drive(&second, 0);
    assert_eq!(answered(&bench, &second), [("gate1".into(), "policy".into()), ("gate2".into(), "policy".into())]);
    [first, second].iter().for_each(|id| bench.holds(id));
}

#[test]
fn what_gate_2_said_is_asked_about_is_asked_about_whatever_is_trusted_since() {
    let bench = Bench::new();
    let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
    bench.to_gate2(&id);
    bench.run(&["show", &id]).code(0).shows("you will be asked");
    bench.approve(&id);
    bench.trust("address@lab", "2", "ten clean runs");
    let asked = bench.drive(&id, 3);
    assert!(asked["status"]["about"]["call"].is_object(), "{:#}", asked["status"]);
    assert_eq!(bench.writes().len(), 1, "the step before it ran");
    bench.approve(&id);
    bench.drive(&id, 0);
    bench.holds(&id);
}

#[test]
fn lowering_a_stage_lowers_it_for_each_text_that_the_blueprint_had() {
    for gone in [false, true] {
        let bench = Bench::new();
        bench.trust("vlan@lab", "3", "a hundred clean runs");
        let id = bench.request_one();
        if gone {
            std::fs::remove_file(bench.root.join("prompts/blueprints/vlan.yaml")).unwrap();
        } else {
            bench.edit("prompts/blueprints/vlan.yaml", "on another", "on any other");
        }
        // The engagement began with the text of before, and that is trusted still.
        let shown = bench.json(&["trust", "show"]);
        let trusted = |row: &&Value| row["scope"] == "vlan@lab" && row["stage"] == 3;
        assert_eq!(shown["scopes"].as_array().unwrap().iter().filter(trusted).count(), 1, "{shown:#}");
        bench.run(&["trust", "set", "vlan@lab", "1", "--reason", "it went wrong"]).code(0).shows("stage 3 to 1");
        assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate1");
        assert!(bench.writes().is_empty());
        let again = bench.run(&["trust", "set", "vlan@lab", "1", "--reason", "it went wrong"]).code(2);
        if gone {
            again.says("there is no blueprint")
        } else {
            again.says("already")
        };
        bench.run(&["verify", "trust"]).code(0);
    }
}

#[test]
fn trust_stages_of_a_ledger_that_was_rolled_back_are_not_said_to_hold() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    let ledger = || ["", "-wal", "-shm"].map(|end| bench.root.join(format!(".countersign/ledger.db{end}")));
    let kept = ledger().map(|file| (std::fs::read(&file).ok(), file));
    bench.run(&["trust", "set", "vlan@lab", "1", "--reason", "it went wrong"]).code(0);
    for (bytes, file) in kept {
        match bytes {
            Some(bytes) => std::fs::write(file, bytes).unwrap(),
            None => drop(std::fs::remove_file(file)),
        }
    }
    let shown = bench.run(&["trust", "show"]).code(5);
    assert!(shown.out.contains("stage 3") && !shown.out.contains("holds"), "{}", shown.out);
    shown.says("rolled back");
}

#[test]
fn in_production_nobody_approves_what_they_asked_for() {
    let bench = Bench::new();
    bench.people(&[("rita", "owner"), ("bea", "approver")]);
    bench.in_production();
    let mine = ["--set", "id=120", "--set", "name=guest", "--set", "switches=sw01", "--as", "rita"];
    let id = bench.request(&[&["--blueprint", "vlan"], &mine[..]].concat());
    bench.run(&["run", &id, "--no-input"]).code(3);
    let digest = bench.question(&id);
    bench.run(&["show", &id]).code(0).shows("A yes of rita is not taken");
    bench.run(&["approve", &id, "--digest", &digest, "--as", "rita"]).code(4).says("separation_of_duties");
    bench.run(&["approve", &id, "--digest", &digest, "--as", "bea"]).code(4).says("needs your signature");
    let key = bench.key_of("bea");
    bench.run(&["approve", &id, "--digest", &digest, "--as", "bea", "--key", &key]).code(0).shows("bea (signed");
    assert_eq!(answered(&bench, &id), [("gate1".to_owned(), "bea".to_owned())]);
}

#[test]
fn a_question_at_a_stage_that_the_ledger_never_gave_does_not_verify() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "2", "ten clean runs");
    let id = bench.request_one();
    assert_eq!(bench.drive(&id, 3)["question"]["standing"]["stage"], 2);
    bench.holds(&id);
    let folder = bench.outside("record");
    bench.run(&["export", &id, folder.to_str().unwrap()]).code(0);
    bench.run(&["verify", folder.to_str().unwrap()]).code(0).shows("a folder has no chain of trust stages");
    // Whoever has the file takes the chain of stages away, with its leaf of the log.
    let ledger = rusqlite::Connection::open(bench.root.join(".countersign/ledger.db")).unwrap();
    ledger
        .execute_batch(
            "DROP TRIGGER events_last; DELETE FROM events WHERE engagement = 'trust';
             DROP TRIGGER leaves_last; DELETE FROM log_leaves; DROP TRIGGER nodes_last; DELETE FROM log_nodes;
             DROP TRIGGER checkpoints_last; DELETE FROM checkpoints;",
        )
        .unwrap();
    drop(ledger);
    bench.run(&["verify", &id]).code(5).shows("never gave its blueprint");
}

#[test]
fn a_conversation_says_that_filing_may_be_all_where_policy_answers() {
    let bench = Bench::new();
    let said = "FILING IT MAY BE ALL THAT ANYBODY SAYS";
    let talk = |code: i32| {
        let answers = "printf '%s\\n' 121 lobby sw01 '' | \"$0\" chat --blueprint vlan";
        let mut piped = std::process::Command::new("sh");
        piped.current_dir(&bench.root).args(["-c", answers]).arg(crate::bench::program());
        crate::bench::finish(piped).code(code)
    };
    assert!(!talk(3).shows("gate 1 comes next").out.contains(said));
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    talk(0).shows(said);
    assert_eq!(bench.writes(), ["vlan.create 121 lobby sw01"]);
}

#[test]
fn a_chain_of_trust_stages_that_was_cut_at_its_end_decides_nothing() {
    let bench = Bench::new();
    bench.key_of("ada");
    let id = bench.request_one();
    bench.trust("vlan@lab", "2", "it went well");
    bench.run(&["trust", "set", "vlan@lab", "1", "--reason", "it does not"]).code(0);
    bench.drive(&id, 3);
    let cut = bench.copy();
    // As if the stage had never been taken back.
    tamper(&cut, "DELETE FROM events WHERE engagement = 'trust' AND seq = 2");
    let says = "the log has its event 2, and it ends at event 1: it was cut";
    for args in [["run", &id].as_slice(), &["trust", "show"], &["trust", "set", "vlan@lab", "3", "--reason", "more"]] {
        cut.run(args).code(5).says("the chain of trust stages").says(says);
    }
    assert!(!cut.run(&["trust", "show"]).out.contains("holds"));
    cut.run(&["verify", "trust"]).code(5).shows("the chain was cut");
    bench.run(&["trust", "show"]).code(0).shows("The chain of trust stages holds");
    bench.drive(&id, 3);
}

#[test]
fn a_stage_that_was_set_after_the_checkpoint_is_said_to_be_under_none() {
    let bench = Bench::new();
    bench.trust("dns@lab", "2", "looked through");
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.approve(&id);
    let (published, keys, bundle) = (bench.outside("published"), bench.outside("keys"), bench.outside("b.tar"));
    std::fs::write(&published, bench.run(&["log", "checkpoint"]).code(0).out).unwrap();
    std::fs::write(&keys, bench.run(&["keys", "show"]).code(0).out).unwrap();
    bench.run(&["trust", "set", "dns@lab", "1", "--reason", "no more"]).code(0);
    let [published, keys, bundle] = [&published, &keys, &bundle].map(|path| path.to_str().unwrap());
    bench.run(&["export", &id, "--bundle", bundle, "--against", published]).code(0);
    // It rests on no stage, so that is no reason not to take it.
    let told = "UNDER NO CHECKPOINT: event 2 (trust/events.jsonl): the log has a leaf of this event (trust.set)";
    bench.run(&["verify", bundle, "--key", keys, "--against", published]).code(0).shows(told);
}
