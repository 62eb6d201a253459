//! What people who own policies do with them: examples are tried, rules checked, calls explained, proposed by hand, and
//! held against what the ledger holds.

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    written::{DESIGN, SPEC},
};

/// A guardrail with the examples that it needs.
fn guardrail(id: &str, examples: &str, body: &str) -> String {
    format!("\n{examples}@id(\"{id}\")\n@reason(\"not here\")\nforbid ({body};\n")
}

fn add(bench: &Bench, rule: &str) {
    let text = bench.read("policies/guardrails.cedar");
    bench.write("policies/guardrails.cedar", &format!("{text}{rule}"));
}

const NOT_ON_SW02: &str =
    "principal, action == Action::\"vlan.create\", resource) when { context.args.switch == \"sw02\" }";
const NOT_ON_SW02_EXAMPLES: &str =
    "// match: {tool: vlan.create, target: {name: sw02}}\n// no match: {tool: vlan.create, target: {name: sw01}}\n";

#[test]
fn examples_are_shown_and_one_that_does_not_hold_stops_everything_else() {
    let bench = Bench::new();
    let shown = bench.json(&["policy", "test"]);
    let examples = shown["examples"].as_array().unwrap();
    assert!(examples.len() > 100 && examples.iter().all(|tried| tried["outcome"]["is"] == "passed"), "{shown}");
    bench.run(&["policy", "test"]).code(0).shows("0 failed, 0 skipped, 0 rules without an example");

    bench.edit(
        "policies/guardrails.cedar",
        "// match: {effect: write, target: {tags: [freeze]}}",
        "// match: {effect: write}",
    );
    let failed = bench.run(&["policy", "test"]).code(2).shows("the rule does not match with the tool `vlan.create`");
    assert_eq!(failed.out.matches("FAIL").count(), 1, "{}", failed.out);
    for command in
        [&["tools", "list"][..], &["request", "--blueprint", "vlan", "--set", "id=120", "--set", "name=guest"]]
    {
        let line = bench.read("policies/guardrails.cedar").lines().position(|line| line == "// match: {effect: write}");
        let place = format!("policies/guardrails.cedar:{}: `frozen`: the example", line.unwrap() + 1);
        bench.run(command).code(2).says(&place).says("correct the rule or the example");
    }
    assert!(bench.run(&["list"]).out.contains("No engagements"));
    bench.edit(
        "policies/guardrails.cedar",
        "// match: {effect: write}",
        "// match: {effect: write, target: {tags: [freeze]}}",
    );
    bench.run(&["policy", "test"]).code(0);

    add(&bench, &guardrail("bare", "", NOT_ON_SW02));
    bench.run(&["policy", "test"]).code(2).shows("`bare` has no example that it matches");
    bench.run(&["tools", "list"]).code(2).says("`bare` has no example that it leaves alone");
}

#[test]
fn examples_of_inventory_and_people_are_held_to_their_files() {
    for (file, from, to, says) in [
        ("inventory.yaml", "target: sw99, unknown", "target: sw01, unknown", "`sw01` is in the inventory"),
        ("inventory.yaml", "{target: sw01, is: switch,", "{target: sw01, is: zone,", "`sw01` is a switch"),
        ("people.yaml", "may: owner", "may_not: owner", "has the role owner"),
        ("people.yaml", "may_not: requester", "may: requester", "`someone-who-left` does not have the role requester"),
    ] {
        let bench = Bench::new();
        let name = format!("policies/{file}");
        bench.edit(&name, from, to);
        let line = bench.read(&name).lines().position(|line| line.contains(to)).unwrap() + 1;
        bench.run(&["tools", "list"]).code(2).says(&format!("{name}:{line}:")).says(says);
    }
}

#[test]
fn check_finds_rules_that_change_nothing_and_grants_that_come_to_nothing() {
    let bench = Bench::new();
    bench.run(&["policy", "check"]).code(0).shows("27 rules in order").shows("0 open engagements looked at.");
    for (file, wrong) in [("policies/allowed_signers", "garbage\n"), ("policies/models.yaml", "garbage: 1\n")] {
        let text = bench.read(file);
        bench.write(file, wrong);
        bench.run(&["policy", "check"]).code(2).says(&format!("{file}:1"));
        bench.write(file, &text);
    }
    let frozen = "principal, action == Action::\"vlan.create\", resource) when { resource.tags.contains(\"freeze\") && !context.recovery }";
    let examples = "// match: {tool: vlan.create, target: {tags: [freeze]}}\n// no match: {tool: vlan.create}\n";
    add(&bench, &guardrail("again", examples, frozen));
    bench.run(&["policy", "check"]).code(1).shows("`again` is shadowed: `frozen` (guardrails.cedar:");

    let bench = Bench::new();
    let examples = "// match: {tool: vlan.create}\n// no match: {tool: vlan.delete}\n";
    add(&bench, &guardrail("never", examples, "principal, action == Action::\"vlan.create\", resource)"));
    let found = bench.run(&["policy", "check", "--json"]).code(1).json();
    let blocked = found["blocked_grants"].as_array().unwrap();
    assert_eq!((blocked.len(), &found["shadowed"]), (1, &json!([])), "{found}");
    let said = blocked[0].as_str().unwrap();
    assert!(said.contains("blueprint vlan: boundary.build.0") && said.contains("`never`"), "{said}");

    // What an open engagement was granted and would never get is found too.
    let bench = Bench::new();
    let id = bench.request_one();
    let early = "0 open engagements looked at; 1 more has no approved spec yet.";
    bench.run(&["policy", "check"]).code(0).shows(early);
    bench.to_gate2(&id);
    bench.run(&["policy", "check"]).code(0).shows("1 open engagement looked at.");
    let examples = "// match: {tool: vlan.create}\n// no match: {tool: vlan.delete}\n";
    add(&bench, &guardrail("never", examples, "principal, action == Action::\"vlan.create\", resource)"));
    bench.run(&["policy", "check"]).code(1).shows(&format!("engagement {id}: boundary.build.0"));

    // A rule that names no value that there is cannot have an example, and says so at its line.
    let bench = Bench::new();
    let examples = "// match: {effect: write}\n// no match: {effect: read}\n";
    let phase = "principal, action in Action::\"write\", resource) when { context.phase == \"bild\" }";
    add(&bench, &guardrail("misspelt", examples, phase));
    bench.run(&["policy", "check"]).code(2).says("`misspelt`").says("does not match");
}

#[test]
fn explain_shows_every_layer_and_the_argument_that_is_outside_and_writes_nothing() {
    let bench = Bench::new();
    let id = bench.request_one();
    let early = bench.run(&["policy", "explain", &id, "--call", r#"{"tool": "vlan.lst", "args": {}}"#]).code(0);
    early.shows("did you mean `vlan.list`?");
    let early = ["policy", "explain", &id, "--call", r#"{"tool": "vlan.list", "args": {"switch": "sw01"}}"#];
    bench.run(&early).code(0).shows("no boundary yet: gate 1 is not open");
    bench.to_gate2(&id);
    let before = bench.run(&["log", &id]).out;
    let call = r#"{"tool": "vlan.create", "args": {"switch": "sw01", "id": 130, "name": "guest"}, "agent": "build"}"#;
    let said = bench.json(&["policy", "explain", &id, "--call", call]);
    let layers: Vec<(String, Value)> = said["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| (layer["layer"].as_str().unwrap().to_owned(), layer["verdict"].clone()))
        .collect();
    let expected = [
        ("tool", json!("allow")),
        ("gate", json!("deny")),
        ("guardrails", json!("deny")),
        ("boundary", json!("deny")),
        ("contract", Value::Null),
        ("stage", json!("deny")),
        ("limits", Value::Null),
    ];
    assert_eq!(layers, expected.map(|(layer, verdict)| (layer.to_owned(), verdict)), "{said}");
    assert_eq!(said["nearest"], json!({"grant": "build.0", "misses": [{"argument": "id", "must_be": "120"}]}));
    bench.run(&["policy", "explain", &id, "--call", call]).code(0).shows("`id` is 130 and must be 120");
    // What comes next is explained as that.
    let bench2 = Bench::new();
    let id2 = bench2.request_one();
    bench2.drive(&id2, 3);
    let read = r#"{"tool": "vlan.list", "args": {"switch": "sw01"}}"#;
    let gate = bench2.json(&["policy", "explain", &id2, "--call", read]);
    assert_eq!((&gate["answer"], &gate["decided_by"][0]["rule"]), (&json!("denied"), &json!("gate.1")));

    for wrong in ["{", "{}", r#"{"tool": "vlan.list", "arg": {}}"#, r#"{"tool": "a", "tool": "b"}"#] {
        bench.run(&["policy", "explain", &id, "--call", wrong]).code(2).says("--call:").says("write a call such as");
    }
    let unknown = bench.json(&["policy", "explain", &id, "--call", r#"{"tool": "vlan.creat"}"#]);
    assert_eq!(unknown["answer"], "invalid");
    assert_eq!(bench.run(&["log", &id]).out, before);
    assert!(bench.writes().is_empty());
}

#[test]
fn simulate_finds_exactly_the_calls_that_would_be_answered_otherwise() {
    let bench = Bench::new();
    let id = bench.request_written(SPEC, DESIGN);
    bench.to_end(&id, 0);
    let log = bench.run(&["log", &id]).out;
    let same = bench.json(&["policy", "simulate", "--since", "1d"]);
    let simulation = &same["simulation"];
    let calls = bench.events(&id, "call.allowed").len() + bench.events(&id, "call.refused").len();
    assert_eq!((&simulation["calls"], &simulation["flips"]), (&json!(calls), &json!([])), "{same}");
    assert_eq!(simulation["then"], simulation["now"]);

    add(&bench, &guardrail("not-on-sw02", NOT_ON_SW02_EXAMPLES, NOT_ON_SW02));
    let changed = bench.json(&["policy", "simulate"]);
    let flips = changed["simulation"]["flips"].as_array().unwrap();
    assert_eq!(flips.len(), 1, "{changed}");
    let flip = &flips[0];
    assert_eq!((&flip["then"], &flip["now"]), (&json!("allowed"), &json!("denied")));
    assert_eq!((&flip["args"]["switch"], &flip["now_rule"]["rule"]), (&json!("sw02"), &json!("not-on-sw02")));
    assert_eq!(changed["simulation"]["now"]["denied"], 1);
    bench.run(&["policy", "simulate"]).code(0).shows("allowed -> denied: not here [not-on-sw02]");
    // Nothing was decided since tomorrow, and nothing was written by asking.
    assert_eq!(bench.json(&["policy", "simulate", "--since", "2999-01-01T00:00:00Z"])["simulation"]["calls"], 0);
    bench.run(&["policy", "simulate", "--since", "yesterday"]).code(2).says("30d");
    assert_eq!(bench.run(&["log", &id]).out, log);
    bench.holds(&id);
}

#[test]
fn a_call_by_hand_gets_what_an_agent_would_get_and_is_recorded_as_its_persons() {
    let bench = Bench::new();
    bench.people(&[("app", "approver"), ("bob", "requester")]);
    let id = bench.request_one();
    bench.drive(&id, 3);
    // Before gate 1 nothing is started, whoever asks.
    let read = ["call", &id, "vlan.list", "--args", r#"{"switch": "sw01"}"#];
    bench.run(&read).code(4).shows("[gate.1]");
    bench.approve(&id);
    bench.drive(&id, 3);
    let answer = bench.json(&[&read[..], &["--as", "bob"]].concat());
    assert_eq!((&answer["came_of_it"], &answer["result"]["switch"]), (&json!("result"), &json!("sw01")));
    let allowed = bench.events(&id, "call.allowed").pop().unwrap();
    assert_eq!(allowed["actor"]["person"]["name"], "bob", "{allowed}");
    assert!(allowed["body"]["purpose"]["proposed"].is_object(), "{allowed}");
    let table = [
        (r#"{"switch": "sw02"}"#, "vlan.list", 4, "boundary.none"),
        (r#"{"switch": "sw01", "id": 120, "name": "guest"}"#, "vlan.create", 4, "agent.reads"),
        (r#"{"swich": "sw01"}"#, "vlan.list", 2, "tool.arguments"),
        ("{}", "vlan.lst", 4, "tool.unknown"),
    ];
    for (args, tool, code, rule) in table {
        bench.run(&["call", &id, tool, "--args", args]).code(code).shows(&format!("[{rule}]"));
    }
    bench.run(&["call", &id, "vlan.lst"]).code(4).shows("did you mean `vlan.list`?");
    // What a person tries by hand is nobody's attempt, however often.
    for _ in 0..3 {
        bench.run(&["call", &id, "vlan.list", "--args", r#"{"switch": "sw02"}"#]).code(4).shows("[boundary.none]");
    }
    bench.run(&read).code(0);
    bench.run(&["call", &id, "vlan.list", "--args", "[1]"]).code(2).says("write the arguments as a JSON object");
    bench.run(&["call", &id, "vlan.list", "--args", "{switch}"]).code(2).says("write the arguments as a JSON object");
    bench.run(&[&read[..], &["--as", "app"]].concat()).code(4).says("needs the role `requester`");
    assert!(bench.writes().is_empty());
    // In the build phase a change that is not the next step is refused as the build agent's would be.
    bench.approve(&id);
    bench.drive(&id, 0);
    bench.holds(&id);
    bench.run(&read).code(2).says("the engagement is closed");
}

#[test]
fn lint_says_what_is_wrong_at_its_line_and_what_may_be_done_in_the_words_of_the_gate() {
    let bench = Bench::new();
    bench.write("good.yaml", SPEC);
    let good = bench.json(&["spec", "lint", "good.yaml"]);
    assert_eq!((&good["ok"], &good["problems"]), (&json!(true), &json!([])));
    let id = bench.request_written(SPEC, DESIGN);
    bench.run(&["spec", "lint", &id]).code(2).says("has no spec yet");
    bench.drive(&id, 3);
    let filed = bench.json(&["spec", "lint", &id]);
    assert_eq!(filed["boundary"], good["boundary"]);
    let screen = bench.run(&["show", &id]).out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in good["boundary"].as_array().unwrap() {
        assert!(screen.contains(words.as_str().unwrap()), "{words} is not on\n{screen}");
    }
    bench.write("bad.yaml", &SPEC.replace("tool: vlan.delete", "tool: vlan.delet"));
    let line = SPEC.lines().position(|line| line.contains("vlan.delete")).unwrap() + 1;
    bench
        .run(&["spec", "lint", "bad.yaml"])
        .code(1)
        .shows(&format!("bad.yaml:{line}:"))
        .shows("did you mean `vlan.delete`?");
    bench.run(&["spec", "lint", "none.yaml"]).code(2).says("there is no file `none.yaml`");
}

#[test]
fn what_one_engagement_has_changed_counts_for_another_until_it_is_closed() {
    let bench = Bench::new();
    bench.people(&[("app", "approver")]);
    bench.edit("policies/guardrails.cedar", "context.changes.elsewhere > 200", "context.changes.elsewhere > 1");
    bench.edit("policies/guardrails.cedar", "elsewhere: 200}", "elsewhere: 1}");
    bench.edit("policies/guardrails.cedar", "elsewhere: 199}", "elsewhere: 0}");
    // The first changes sw01 and then waits for an owner.
    let first = SPEC.replace("for_each: [sw01, sw02]", "for_each: [sw01]");
    let steps = DESIGN.replace("[\"sw01\", \"sw02\"]", "[\"sw01\"]").replace(
        "acceptance:",
        "  - id: port\n    tool: port.vlan.set\n    needs: [create]\n    approval: owner\n    with: {switch: sw01, port: Gi1/0/7, vlan: 120}\nacceptance:",
    );
    let id = bench.request_written(&first, &steps);
    bench.to_gate2(&id);
    bench.approving(&id, &["--as", "app"]).code(0);
    bench.drive(&id, 3);
    assert_eq!(bench.writes(), ["vlan.create 120 guest sw01"]);
    // The second may not change sw02 meanwhile: that would be two targets at once.
    let second = |switch: &str| {
        let set = format!("switches={switch}");
        let id = bench.request(&["--blueprint", "vlan", "--set", "id=130", "--set", "name=lobby", "--set", &set]);
        bench.to_gate2(&id);
        let (code, _) = bench.yes_to_all(&id);
        (id, code)
    };
    let (refused, code) = second("sw02");
    assert_eq!((code, bench.writes().len()), (4, 1));
    let rules = bench.events(&refused, "call.refused").pop().unwrap()["body"]["rules"].clone();
    assert_eq!(rules[0]["rule"], "too-many-targets-at-once");
    // The same target is no other target.
    assert_eq!(second("sw01").1, 0);
    // Once the first is closed, its changes are history.
    bench.run(&["cancel", &id, "--reason", "enough"]).code(0);
    bench.drive(&id, 6);
    assert_eq!(second("sw02").1, 0);
}
