//! Targets that a read adds after gate 1: named in no file, approved by what they may be at most, built at gate 2.

use serde_json::{Value, json};

use crate::{
    bench::{Bench, outcomes},
    written::SPEC,
};

const DESIGN: &str = "\
discover:
  - {id: hosts, tool: dns.records.list, with: {zone: corp.example.com}}
steps:
  - id: create
    tool: vlan.create
    for_each: {items: '[\"sw01\"] + facts.hosts.records.filter(r, r.name == \"sw04\").map(r, r.name)', at_most: 2}
    with: {switch: {cel: item}, id: 120, name: guest}
acceptance: {A1: [create]}
";

/// A workspace whose inventory does not know `sw04`, and lets the zone's records add switches.
fn bench() -> Bench {
    let bench = Bench::new();
    let text = bench.read("policies/inventory.yaml");
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains("name: sw04,")).collect();
    let found_by = "found_by:
  - tool: dns.records.list
    args: {zone: corp.example.com}
    targets: 'result.records.filter(r, r.name.startsWith(\"sw\") || r.name == \"ns1\").map(r,
      {\"name\": r.name, \"groups\": r.name == \"ns1\" ? [\"core-switches\"] : [\"access-switches\"]})'
    kind: switch
    within: {environment: lab, tags: [access], groups: [access-switches]}
    at_most: 20
targets:";
    let text = kept.join("\n").replace("\ntargets:", &format!("\n{found_by}")) + "\n";
    bench.write("policies/inventory.yaml", &text);
    // A device may say what it wants of a name that the file knows.
    records(&bench, &["sw03", "sw04"]);
    bench
}

/// Has the lab's zone hold a record of each of these names.
fn records(bench: &Bench, names: &[&str]) {
    let file = ".countersign/servers/lab/lab.json";
    let mut lab: Value = serde_json::from_str(&bench.read(file)).unwrap();
    let zone = lab.pointer_mut("/network/zones/corp.example.com").unwrap().as_array_mut().unwrap();
    zone.retain(|record| !record["name"].as_str().unwrap().starts_with("sw"));
    zone.extend(names.iter().map(|name| json!({"name": name, "address": "192.0.2.77", "ttl": 3600})));
    bench.write(file, &lab.to_string());
}

fn spec() -> String {
    SPEC.replace("for_each: [sw01, sw02]", "for_each: [sw01]")
}

/// How often a read that may add targets was let through.
fn finds(bench: &Bench, id: &str) -> usize {
    bench.events(id, "call.allowed").iter().filter(|event| !event["body"]["purpose"]["find"].is_null()).count()
}

fn screen(bench: &Bench, id: &str) -> String {
    bench.run(&["show", id]).out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An engagement that built on a target which a read had added, to its end.
pub fn built_on_what_was_found() -> (Bench, String) {
    let bench = bench();
    let id = bench.request_written(&spec(), DESIGN);
    bench.yes_to_all(&id);
    (bench, id)
}

#[test]
fn a_target_that_a_read_adds_is_approved_at_gate_2_and_built() {
    let bench = bench();
    let id = bench.request_written(&spec(), DESIGN);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate1");
    let gate1 = screen(&bench, &id);
    for text in [
        "the verifier asks `dns.records.list`, which may add targets that nobody has seen yet, at most: 20 targets of \
         the kind switch in lab, with the tags access and the groups access-switches",
        "up to 20 more may be added by what is read after this gate",
    ] {
        assert!(gate1.contains(text), "{text} is not in {gate1}");
    }
    assert_eq!(finds(&bench, &id), 0, "before gate 1 nothing is read");
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    let gate2 = screen(&bench, &id);
    for text in [
        "found by call c1 (`dns.records.list`), not in inventory.yaml: sw04",
        "sw03: inventory.yaml says what `sw03` is, and that stands",
        "ns1: `found_by` allows no group `core-switches`",
    ] {
        assert!(gate2.contains(text), "{text} is not in {gate2}");
    }
    // It is the engagement's own: what another one is decided on does not know it.
    let call = |switch: &str| {
        json!({"tool": "vlan.create", "args": {"switch": switch, "id": 120, "name": "guest"}, "agent": "build"})
            .to_string()
    };
    let known = |id: &str| {
        let layers = bench.json(&["policy", "explain", id, "--call", &call("sw04")])["layers"].clone();
        !layers.to_string().contains("has no target `sw04`")
    };
    let other = bench.request_written(&spec(), DESIGN);
    assert_eq!(bench.drive(&other, 3)["status"]["about"], "gate1");
    assert!(known(&id) && !known(&other));
    // What the zone answers now is another matter: each command here is a process of its own, and finds the same.
    bench.approve(&id);
    records(&bench, &[]);
    let end = bench.drive(&id, 0);
    assert_eq!(outcomes(&end["record"]["targets"], "target"), ["sw01 done", "sw04 done"]);
    assert_eq!(bench.writes(), ["vlan.create 120 guest sw01", "vlan.create 120 guest sw04"]);
    assert_eq!(finds(&bench, &id), 1, "it is read once");
    bench.holds(&id);
}

#[test]
fn without_a_grant_for_the_read_nothing_is_found() {
    let bench = bench();
    let spec = spec().replace("    - {tool: dns.records.list, where: {zone: {is: corp.example.com}}}\n", "");
    let design = DESIGN
        .replace("discover:\n  - {id: hosts, tool: dns.records.list, with: {zone: corp.example.com}}\n", "")
        .replace(" + facts.hosts.records.filter(r, r.name == \"sw04\").map(r, r.name)", "");
    let id = bench.request_written(&spec, &design);
    bench.drive(&id, 3);
    assert!(!screen(&bench, &id).contains("may add targets"));
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    assert_eq!(finds(&bench, &id), 0);
    assert!(!screen(&bench, &id).contains("TARGETS THAT WERE FOUND"));
}

#[test]
fn what_may_be_found_is_held_to_gate_1_and_a_mistake_in_it_is_said_with_its_line() {
    let bench = bench();
    let id = bench.request_written(&spec(), DESIGN);
    bench.to_gate2(&id);
    bench.edit("policies/inventory.yaml", "within: {environment: lab,", "within: {environment: staging,");
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate1");
    let shown = screen(&bench, &id);
    assert!(shown.contains("`found_by` of inventory.yaml lets `dns.records.list` add other targets"), "{shown}");
    assert!(shown.contains("ASKED ANEW"), "{shown}");
    for (from, to, says) in [
        ("tool: dns.records.list", "tool: dns.record.create", "changes things; only a read may find targets"),
        ("zone: corp.example.com}", "zone: corp.example.net}", "is not under `targets`"),
        ("at_most: 20", "at_most: 2000", "between 1 and 512 targets"),
        ("{\"name\": r.name,", "{\"name\": inputs.name,", "it may read `result` alone, and reads inputs"),
    ] {
        let before = bench.read("policies/inventory.yaml");
        bench.edit("policies/inventory.yaml", from, to);
        bench.run(&["tools", "list"]).code(2).says("policies/inventory.yaml:").says(says);
        bench.write("policies/inventory.yaml", &before);
    }
    assert_eq!(bench.writes(), [""; 0]);
}
