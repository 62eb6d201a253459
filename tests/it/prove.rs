//! What a solver proves about a spec, as a person and a program see it; and what is said where there is no solver. These
//! tests need cvc5 on the path, which `tests/run.sh` installs.

use serde_json::{Value, json};

use crate::bench::{Answer, Bench, command, finish};

/// Runs a command that may find the solver on the path.
fn with_solver(bench: &Bench, args: &[&str]) -> Answer {
    let mut command = command(&bench.root);
    command.env_remove("CVC5").args(args);
    finish(command)
}

/// A spec that lets the build agent create a record in a block.
fn spec(block: &str) -> String {
    format!(
        "kind: spec
title: Publish web01
requirements: [{{id: R1, text: web01 resolves}}]
boundary:
  discover:
    - {{tool: dns.records.list, where: {{zone: {{is: corp.example.com}}}}}}
  build:
    - tool: dns.record.create
      where:
        zone: {{is: corp.example.com}}
        name: {{like: \"web*\"}}
        address: {{in_range: {block}}}
        ttl: {{min: 60, max: 7200}}
      at_most: 1
acceptance:
  - id: A1
    covers: [R1]
    check: {{tool: dns.records.list, with: {{zone: corp.example.com}}}}
    expect: 'result.records.exists(r, r.name == \"web01\")'
"
    )
}

#[test]
fn a_version_is_proven_to_permit_no_more_or_refuted_with_a_call_in_the_tools_words() {
    let bench = Bench::new();
    bench.write("old.yaml", &spec("192.0.2.0/24"));
    bench.write("narrow.yaml", &spec("192.0.2.128/25"));
    bench.write("wide.yaml", &spec("192.0.2.0/23"));
    let narrow = with_solver(&bench, &["spec", "diff", "old.yaml", "narrow.yaml"]).code(0);
    narrow.shows("WHAT IS PROVEN (by cvc5 ").shows("Proven: narrow.yaml permits nothing that old.yaml did not.");
    let wide = with_solver(&bench, &["spec", "diff", "old.yaml", "wide.yaml"]).code(1);
    wide.shows("wide.yaml: refuted")
        .shows("wide.yaml also lets the build agent create the A record webanything for 192.0.3.255")
        .shows("in old.yaml: outside the grant build.0: `address` must be anything in 192.0.2.0/24");
    let wide = with_solver(&bench, &["spec", "diff", "old.yaml", "wide.yaml", "--json"]).code(1).json();
    let by = &wide["report"]["no_wider"]["by"];
    let call = json!({"zone": "corp.example.com", "name": "webanything", "address": "192.0.3.255", "ttl": 7200});
    assert_eq!((by.as_array().unwrap().len(), &by[0]["args"]), (1, &call), "{wide}");
}

#[test]
fn a_spec_alone_shows_the_worst_call_of_each_grant_and_the_grants_that_are_dead() {
    let bench = Bench::new();
    bench.write("spec.yaml", &spec("192.0.2.0/24"));
    let proven = with_solver(&bench, &["spec", "prove", "spec.yaml"]).code(0);
    proven
        .shows("Proven: no grant is dead under the guardrails.")
        .shows("Proven: no policy fails on a call that can be made with these tools.")
        .shows("build.0     create the A record webanything for 192.0.2.255 in corp.example.com with a TTL of 7200");
    let text = spec("192.0.2.0/24").replace(
        "      at_most: 1\n",
        "      at_most: 1\n    - tool: vlan.delete\n      where: {switch: {is: sw04}, id: {is: 9}}\n",
    );
    bench.write("dead.yaml", &text);
    let reset = |from: &str, to: &str| bench.edit("policies/inventory.yaml", from, to);
    let alive = with_solver(&bench, &["spec", "prove", "dead.yaml"]).code(0);
    alive.shows("build.1     delete VLAN 9 from sw04");
    reset("{name: sw04, is: switch, environment: lab,", "{name: sw04, is: switch, environment: production,");
    let dead = with_solver(&bench, &["spec", "prove", "dead.yaml"]).code(1);
    dead.shows("build.1 (vlan.delete) lets nothing through").shows("production-needs-a-window: in production nothing");
    // A window brings it back to life.
    let window = "window: {from: 2030-12-01T22:00:00Z, until: 2030-12-02T02:00:00Z}\nacceptance:";
    bench.write("open.yaml", &text.replace("acceptance:", window));
    with_solver(&bench, &["spec", "prove", "open.yaml"]).code(0).shows("delete VLAN 9 from sw04");
}

#[test]
fn a_version_is_compared_with_the_last_one_that_was_shown_and_not_with_one_that_nobody_saw() {
    let bench = Bench::new();
    let asked = ["request", "--blueprint", "dns", "--set", "name=web01", "--set", "address=192.0.2.10", "--json"];
    let id = bench.run(&asked).code(0).json()["engagement"].clone();
    let id = id.as_str().unwrap();
    with_solver(&bench, &["run", id, "--no-input"]).code(3).shows("GATE 1");
    // Version 2 permits more, and is not asked about; version 3 has another title.
    let first = bench.run(&["show", id, "--artifact", "spec"]).code(0).out;
    let wider = first.replacen("is: \"192.0.2.10\"", "in_range: 192.0.2.0/28", 1);
    bench.write("wider.yaml", &wider);
    bench.run(&["edit", id, "--file", "wider.yaml"]).code(0);
    let (_, title) = wider.split_once("title: ").unwrap();
    let title = title.lines().next().unwrap();
    bench.write("titled.yaml", &wider.replacen(title, "Another title", 1));
    bench.run(&["edit", id, "--file", "titled.yaml"]).code(0);
    let asked = with_solver(&bench, &["run", id, "--no-input"]).code(3);
    asked
        .shows("WHAT CHANGED since version 1, the last one that was shown (this is version 3)")
        .shows("in_range")
        .shows("Another title")
        .shows("version 3 also lets the build agent create the A record web01 for 192.0.2.15")
        .shows("in version 1: outside the grant");
    assert_eq!(bench.events(id, "spec.proved")[1]["body"]["verdict"], json!("refuted"));
}

#[test]
fn gate_1_shows_what_is_proven_and_the_answer_names_it() {
    let bench = Bench::new();
    let asked = ["request", "--blueprint", "dns", "--set", "name=web01", "--set", "address=192.0.2.10", "--json"];
    let id = bench.run(&asked).code(0).json()["engagement"].clone();
    let id = id.as_str().unwrap();
    let run = with_solver(&bench, &["run", id, "--no-input"]).code(3);
    run.says("asking cvc5 ")
        .shows("WHAT IS PROVEN (by cvc5 ")
        .shows("Proven: no grant is dead under the guardrails.")
        .shows("build.0     create the A record web01 for 192.0.2.10 in corp.example.com");
    let proved = bench.events(id, "spec.proved");
    assert_eq!((proved.len(), &proved[0]["body"]["verdict"]), (1, &json!("proven")));
    let shown = bench.run(&["show", id, "--json"]).code(0).json();
    assert_eq!(shown["question"]["proof"], proved[0]["body"]["report"], "the answer names the proof");
    // Asked again, it stands; nothing has to be proven twice, and nobody without a solver loses it.
    with_solver(&bench, &["run", id, "--no-input"]).code(3);
    bench.run(&["run", id, "--no-input"]).code(3).shows("WHAT IS PROVEN (by cvc5 ");
    assert_eq!(bench.events(id, "spec.proved").len(), 1);
    // Version 2 is compared with the version that was shown.
    bench.run(&["reject", id, "--reason", "a block, please"]).code(0);
    let wider = bench.run(&["show", id, "--artifact", "spec"]).code(0).out;
    let wider = wider.replacen("is: \"192.0.2.10\"", "in_range: 192.0.2.0/28", 1);
    bench.write("wider.yaml", &wider);
    bench.run(&["edit", id, "--file", "wider.yaml"]).code(0);
    let run = with_solver(&bench, &["run", id, "--no-input"]).code(3);
    run.shows("version 2 also lets the build agent create the A record web01 for 192.0.2.15")
        .shows("in version 1: outside the grant build.0: `address` must be 192.0.2.10");
    assert_eq!(bench.events(id, "spec.proved")[1]["body"]["verdict"], json!("refuted"));
    with_solver(&bench, &["spec", "diff", id, "2"]).shows("version 2");
    with_solver(&bench, &["spec", "diff", id, "1"]).code(2).says("is its first one").says("spec diff");
    with_solver(&bench, &["spec", "diff", id, "2", "1"]).code(0).shows("version 1 permits nothing that version 2 did");
    // On other policies nothing of it is proven any more, and a yes to the old question is refused.
    let digest = bench.run(&["show", id, "--json"]).code(0).json()["question_digest"].clone();
    bench.edit("policies/guardrails.cedar", "@id(\"frozen\")", "// changed\n@id(\"frozen\")");
    bench.run(&["approve", id, "--digest", digest.as_str().unwrap()]).code_in(&[1, 2, 3]);
    let again = bench.run(&["run", id, "--no-input"]).code(3);
    let again = again.says("not proven: the solver /nowhere/cvc5").shows("WIDEST GRANT (not proven by a solver)");
    assert!(!again.out.contains("WHAT IS PROVEN"), "{}", again.out);
    bench.edit("policies/guardrails.cedar", "// changed\n", "");
    let again = with_solver(&bench, &["run", id, "--no-input"]).code(3);
    again.shows("version 2 also lets the build agent");
    let digest = bench.run(&["show", id, "--json"]).code(0).json()["question_digest"].clone();
    bench.run(&["approve", id, "--digest", digest.as_str().unwrap()]).code(0);
    bench.holds(id);
}

#[test]
fn a_policy_that_requires_a_proof_answers_gate_1_only_with_one() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    bench.edit("policies/gates.cedar", "context.proven != \"refuted\"", "context.proven == \"proven\"");
    let unproven = bench.request_one();
    assert_eq!(bench.drive(&unproven, 3)["status"]["about"], "gate1");
    let proven = bench.request_one();
    with_solver(&bench, &["run", &proven, "--no-input"]).code(0);
    let by = bench.events(&proven, "approval.answered")[0]["body"]["policy"]["rules"][0]["rule"].clone();
    assert_eq!(by, "small-lab-spec");
    bench.holds(&proven);
}

#[test]
fn without_a_solver_nothing_is_called_proven() {
    let bench = Bench::new();
    bench.write("spec.yaml", &spec("192.0.2.0/24"));
    let absent = bench.run(&["spec", "prove", "spec.yaml"]).code(1);
    let absent = absent.shows("not proven").shows("/nowhere/cvc5").shows("apt-get install cvc5");
    assert!(!absent.out.contains("Proven:"), "{}", absent.out);
    let json = bench.run(&["spec", "diff", "spec.yaml", "spec.yaml", "--json"]).code(1).json();
    assert_eq!((&json["verdict"], &json["report"]["solver"]), (&json!("not_proven"), &Value::Null));
    // What countersign.toml names goes before what the environment has.
    bench.edit("countersign.toml", "version = 1", "version = 1\nsolver = \"/elsewhere/cvc5\"");
    let other = with_solver(&bench, &["spec", "prove", "spec.yaml"]).code(1);
    other.shows("the solver /elsewhere/cvc5 that countersign.toml names is not there");
}

#[test]
fn a_spec_that_is_not_there_or_does_not_compile_is_said_with_its_place() {
    let bench = Bench::new();
    bench.write("bad.yaml", &spec("192.0.2.0/24").replace("dns.record.create", "dns.record.crate"));
    with_solver(&bench, &["spec", "prove", "bad.yaml"]).code(2).says("bad.yaml:8:").says("dns.record.create");
    with_solver(&bench, &["spec", "prove", "none.yaml"]).code(2).says("there is no file `none.yaml`");
    let id = bench.request_one();
    with_solver(&bench, &["spec", "prove", &id]).code(2).says("has no spec yet");
    bench.drive(&id, 3);
    with_solver(&bench, &["spec", "prove", &id]).code(0).shows("version 1: proven");
    with_solver(&bench, &["spec", "diff", &id, "1", "2"]).code(2).says("has no version 2 of its spec; there are 1");
    let alone = with_solver(&bench, &["spec", "diff", &id, "1"]).code(2);
    let alone = alone.says(&format!("{id} has one version; there is nothing to compare it with"));
    assert!(!alone.out.contains("proven"), "{}", alone.out);
    with_solver(&bench, &["spec", "diff", &id, "1", "x"]).code(2).says("`x` is not the number of a version");
}
