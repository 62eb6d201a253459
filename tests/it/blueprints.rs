//! Each blueprint from request to record, and Day 2 from there.

use serde_json::{Value, json};

use crate::bench::{Bench, outcomes, run_in};

/// The requirement statuses with what each check showed before and after.
fn shown(record: &Value) -> Vec<String> {
    let held = |readings: &Value| {
        let of = |reading: &Value| format!("{}={}", reading["check"].as_str().unwrap(), reading["holds"]);
        readings.as_array().unwrap().iter().map(of).collect::<Vec<_>>().join(",")
    };
    let line = |one: &Value| {
        let status = one["status"].as_str().unwrap();
        format!("{} {status} {} {}", one["id"].as_str().unwrap(), held(&one["before"]), held(&one["after"]))
    };
    record["requirements"].as_array().unwrap().iter().map(line).collect()
}

/// What must be true of every engagement that came to an end: the chain holds, and what is exported holds without
/// the workspace.
fn exports_and_verifies(bench: &Bench, id: &str) {
    bench.holds(id);
    let folder = bench.outside("exported");
    bench.run(&["export", id, folder.to_str().unwrap()]).code(0).shows("countersign verify");
    for file in [
        "spec.yaml",
        "discovery.report",
        "solution.design",
        "automation.flow",
        "reconciled.record",
        "events.jsonl",
        "page.txt",
    ] {
        assert!(folder.join(file).is_file(), "{file} is not exported");
    }
    let page = std::fs::read_to_string(folder.join("page.txt")).unwrap();
    assert!(page.contains(id) && page.contains("What happened:") && page.contains("The chain holds"), "{page}");
    // From a folder that is no workspace, nor inside one.
    let elsewhere = tempfile::tempdir().unwrap();
    let verified = run_in(elsewhere.path(), &["verify", folder.to_str().unwrap(), "--json"]).code(0).json();
    assert_eq!((&verified["ok"], &verified["problems"]), (&json!(true), &json!([])));
    run_in(elsewhere.path(), &["list"]).code(2).says("countersign init");
    // A second export never writes into the first.
    bench.run(&["export", id, folder.to_str().unwrap()]).code(2).says("not an empty directory");
}

#[test]
fn vlan_goes_from_request_to_record() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    assert_eq!(bench.list()[0]["status"]["is"], "drafting");
    let gate = bench.drive(&id, 3);
    assert_eq!((&gate["phase"], &gate["status"]["about"]), (&json!("requirements"), &json!("gate1")));
    assert_eq!(gate["question"]["facts"]["targets"], json!(["sw01", "sw02", "sw03", "sw04"]));
    assert_eq!(gate["question"]["facts"]["simulated"], true);
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    assert_eq!(bench.writes(), Vec::<String>::new(), "something was changed before gate 2");
    bench.approve(&id);
    let end = bench.drive(&id, 0);
    assert_eq!(bench.vlan("120"), ["guest"; 4]);
    let record = &end["record"];
    assert_eq!(record["outcome"], "done");
    assert_eq!(shown(record), ["R1 met A1=false A1=true", "R2 met A2=true A2=true"]);
    assert_eq!(outcomes(&record["targets"], "target"), ["sw01 done", "sw02 done", "sw03 done", "sw04 done"]);
    assert_eq!(record["deviations"], json!([]));
    assert_eq!((&record["totals"]["approvals"], &record["totals"]["refused"]), (&json!(2), &json!(0)));
    let create = |switch: &str| format!("vlan.create 120 guest {switch}");
    assert_eq!(bench.writes(), ["sw01", "sw02", "sw03", "sw04"].map(create));
    exports_and_verifies(&bench, &id);
    // It is over: there is nothing left to do, and nobody can say otherwise.
    assert_eq!(bench.drive(&id, 0)["events"], end["events"]);
    bench.run(&["approve", &id]).code(2).says("nothing is open");
    bench.run(&["cancel", &id, "--reason", "too late"]).code(2).says("`--from");
}

#[test]
fn dns_goes_from_request_to_record() {
    let bench = Bench::new();
    let id = bench.request(&[
        "--blueprint",
        "dns",
        "--set",
        "name=web01",
        "--set",
        "address=192.0.2.10",
        "--set",
        "ttl=300",
    ]);
    let record = &bench.to_end(&id, 0)["record"];
    assert_eq!(shown(record), ["R1 met A1=false A1=true"]);
    assert_eq!(outcomes(&record["steps"], "node"), ["publish done"]);
    let records = &bench.network()["zones"]["corp.example.com"];
    let wanted = json!({"name": "web01", "address": "192.0.2.10", "ttl": 300});
    assert!(records.as_array().unwrap().contains(&wanted), "{records}");
    assert_eq!(bench.writes(), ["dns.record.create 192.0.2.10 web01 300 corp.example.com"]);
    exports_and_verifies(&bench, &id);
}

#[test]
fn address_asks_about_the_call_that_nobody_could_know_at_gate_2() {
    let bench = Bench::new();
    let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
    bench.to_gate2(&id);
    // A yes to what is known holds for another try, and one to a call that is known only when it runs does not.
    let renewed = "needs no new yes";
    let screen = |id: &str| bench.run(&["show", id]).code(0).out.split_whitespace().collect::<Vec<_>>().join(" ");
    let which = format!("a call that removes nothing and is shown whole {renewed}");
    assert!(screen(&id).contains(&which), "{}", screen(&id));
    bench.approve(&id);
    // The IPAM has picked an address meanwhile; the call that publishes it was not among those that gate 2 approved.
    let asked = bench.drive(&id, 3);
    assert_eq!(asked["status"]["about"]["call"]["node"], "publish");
    assert!(!screen(&id).contains(renewed), "{}", screen(&id));
    assert_eq!(bench.writes(), ["ipam.address.allocate web01 192.0.2.0/24"]);
    bench.approve(&id);
    let record = &bench.drive(&id, 0)["record"];
    assert_eq!(shown(record), ["R1 met A1=false A1=true", "R2 met A2=false A2=true"]);
    assert_eq!(record["totals"]["approvals"], 3);
    let network = bench.network();
    assert_eq!(network["prefixes"]["192.0.2.0/24"]["192.0.2.3"], "web01");
    let wanted = json!({"name": "web01", "address": "192.0.2.3", "ttl": 3600});
    assert!(network["zones"]["corp.example.com"].as_array().unwrap().contains(&wanted));
    let writes =
        ["ipam.address.allocate web01 192.0.2.0/24", "dns.record.create 192.0.2.3 web01 3600 corp.example.com"];
    assert_eq!(bench.writes(), writes);
    exports_and_verifies(&bench, &id);
}

#[test]
fn a_rejected_call_never_runs_and_what_was_done_for_it_is_taken_back() {
    let bench = Bench::new();
    let before = bench.network();
    let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
    bench.to_gate2(&id);
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["call"]["node"], "publish");
    bench.run(&["reject", &id, "--reason", "the name is reserved"]).code(0);
    let record = &bench.run(&["run", &id, "--json"]).json()["record"];
    assert_eq!(outcomes(&record["steps"], "node"), ["allocate undone", "publish failed"]);
    assert_eq!(bench.network(), before);
    assert!(bench.writes().iter().all(|write| !write.starts_with("dns.")));
    bench.holds(&id);

    // Who tries again is asked again: the no was said to a call of that attempt, and nothing runs until there is a yes.
    let again = bench.run(&["run", &id, "--retry", "failed", "--json"]).code(3).json();
    assert_eq!(again["status"]["about"]["call"]["node"], "publish", "{again}");
    let question = bench.run(&["show", &id]).shows(", \"the name is reserved\". The").out;
    assert!(question.contains("The step fails without running; then everything is taken back, in"), "{question}");
    assert!(!question.contains("did not approve exactly"), "{question}");
    assert!(bench.writes().iter().all(|write| !write.starts_with("dns.")));
    bench.run(&["reject", &id, "--reason", "still reserved"]).code(0);
    let record = &bench.run(&["run", &id, "--json"]).json()["record"];
    assert_eq!(outcomes(&record["steps"], "node"), ["allocate undone", "publish failed"]);
    bench.run(&["run", &id, "--retry", "failed"]).code(3);
    bench.approve(&id);
    bench.drive(&id, 0);
    assert!(bench.writes().iter().any(|write| write.starts_with("dns.")), "{:?}", bench.writes());
    bench.holds(&id);
}

#[test]
fn what_is_so_already_needs_no_second_gate_and_no_write() {
    let bench = Bench::new();
    let id = bench.request(&["--blueprint", "vlan", "--set", "id=10", "--set", "name=office"]);
    bench.drive(&id, 3);
    bench.approve(&id);
    let end = bench.drive(&id, 0);
    assert_eq!(end["record"]["outcome"], "nothing_to_do");
    assert_eq!(end["record"]["requirements"][0]["status"], "already_met");
    assert!(bench.writes().is_empty());
    bench.holds(&id);
}

#[test]
fn what_makes_no_sense_is_recorded_as_not_feasible_with_its_evidence() {
    let bench = Bench::new();
    let id = bench.request(&["--blueprint", "vlan", "--set", "id=10", "--set", "name=guest"]);
    bench.drive(&id, 3);
    bench.approve(&id);
    let end = bench.drive(&id, 1);
    assert_eq!(end["record"]["outcome"], "not_feasible");
    let finding = &bench.artifact(&id, "discovery")["findings"][0];
    assert!(finding["text"].as_str().unwrap().contains("sw01 has VLAN 10 office"), "{finding}");
    assert_eq!(finding["calls"].as_array().unwrap().len(), 4);
    assert!(bench.writes().is_empty());
}

#[test]
fn an_engagement_from_a_record_reports_what_changed_behind_its_back() {
    let bench = Bench::new();
    let first = bench.request_vlan();
    bench.to_end(&first, 0);
    bench.tamper(|network| network["switches"]["sw02"]["vlans"]["120"] = json!("visitors"));
    bench.tamper(|network| {
        network["switches"]["sw03"]["vlans"].as_object_mut().unwrap().remove("120");
    });
    let args = ["--blueprint", "vlan", "--set", "id=121", "--set", "name=lobby", "--from", &first];
    let second = bench.request(&args);
    bench.drive(&second, 3);
    bench.approve(&second);
    bench.run(&["run", &second, "--json"]);
    let report = bench.artifact(&second, "discovery");
    let drift: Vec<_> = report["drift"].as_array().unwrap().iter().map(|one| (&one["node"], &one["now"])).collect();
    let visitors = json!({"id": 120, "name": "visitors"});
    assert_eq!(drift, [(&json!("create/sw02"), &visitors), (&json!("create/sw03"), &Value::Null)]);
    let found = report["findings"].to_string();
    assert!(found.contains("drift at create/sw02") && found.contains("drift at create/sw03"), "{found}");
    bench.approve(&second);
    assert_eq!(bench.drive(&second, 0)["record"]["outcome"], "done");
    // Its own spec names the record that it started from.
    assert_eq!(bench.artifact(&second, "spec")["baseline"], bench.record_digest(&first));
    exports_and_verifies(&bench, &second);
}

#[test]
fn what_could_not_be_compared_is_said_and_left_to_people() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    let first = bench.request_vlan();
    bench.drive(&first, 0);
    bench.tamper(|network| network["switches"]["sw03"]["vlans"]["120"] = json!("visitors"));
    // Its spec lets nobody look at the other switches.
    let second =
        ["--blueprint", "vlan", "--set", "id=121", "--set", "name=lobby", "--set", "switches=sw01", "--from", &first];
    let second = bench.request(&second);
    let waits = bench.drive(&second, 3);
    assert_eq!(waits["status"]["about"], "gate2");
    let shown = bench.run(&["run", &second, "--no-input"]).code(3);
    let shown = shown.says("could not be compared everywhere, so a person answers");
    let shown = shown.shows("COULD NOT BE COMPARED");
    shown.shows("`create/sw03` could not be compared with what was left there (c");
    bench.approve(&second);
    let record = bench.drive(&second, 0)["record"].clone();
    let told = format!("what {first} left could not be compared with what is there at `create/sw02` (c");
    assert!(record["residual"].to_string().contains(&told), "{record}");
    bench.holds(&second);
}

#[test]
fn what_a_record_saw_gone_is_no_drift() {
    let bench = Bench::new();
    bench.fault("vanish:vlan.create@sw02");
    let first = bench.request_vlan();
    let end = bench.to_end(&first, 6);
    let step = end["record"]["steps"].as_array().unwrap().iter().find(|step| step["node"] == "create/sw02").unwrap();
    assert_eq!(step["observed"], Value::Null, "the record says what was there at the end: {step}");
    bench.heal();
    let args = ["--blueprint", "vlan", "--set", "id=121", "--set", "name=lobby", "--from", &first];
    let second = bench.request(&args);
    bench.to_gate2(&second);
    let report = bench.artifact(&second, "discovery");
    assert!(report["drift"].as_array().is_none_or(Vec::is_empty), "nothing has changed since: {report}");
}

#[test]
fn only_a_closed_engagement_with_a_record_can_be_started_from() {
    let bench = Bench::new();
    let open = bench.request_vlan();
    let args = ["request", "--blueprint", "vlan", "--set", "id=121", "--set", "name=lobby", "--from"];
    bench.run(&[&args[..], &[&open]].concat()).code(2).says("it is not closed yet").says("leave out `--from`");
    bench.run(&[&args[..], &["zzzzz"]].concat()).code(2).says("countersign list");
    assert_eq!(bench.list().len(), 1);
}
