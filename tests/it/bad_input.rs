//! What cannot stand is said at once, with its place and what to do, and nothing is written.

use crate::{
    bench::{Answer, Bench},
    written::{DESIGN, SPEC},
};

/// What must be true of every error: it is written for a person, who learns what to do.
#[track_caller]
fn for_people(name: &str, answer: &Answer) {
    let err = &answer.err;
    assert!(err.starts_with("error: "), "{name}: {err}");
    for leak in ["::", "Some(", "None)", "Error {", "Err(", "Ok(", "panicked", "RUST_BACKTRACE", "\u{1b}"] {
        assert!(!err.contains(leak), "{name}: `{leak}` is in\n{err}");
    }
    assert!(answer.out.is_empty(), "{name}: {}", answer.out);
}

/// A request with these arguments is refused with this message, and leaves nothing.
#[track_caller]
fn refused(bench: &Bench, args: &[&str], says: &[&str]) {
    let name = args.join(" ");
    let answer = bench.run(&[&["request"], args].concat());
    assert_eq!(answer.code, 2, "{name}\n{}\n{}", answer.out, answer.err);
    for says in says {
        assert!(answer.err.contains(says), "{name}: `{says}` is not in\n{}", answer.err);
    }
    for_people(&name, &answer);
    assert!(bench.list().is_empty(), "{name}: something was filed");
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let bench = Bench::new();
    let table: [(&[&str], &[&str]); 15] = [
        (&["--blueprint", "vlna"], &["`vlna`", "address, dns, vlan"]),
        (&["--blueprint", "vlan"], &["missing: id, name", "--set"]),
        (&["--blueprint", "vlan", "--set", "id=120"], &["missing: name"]),
        (&["--blueprint", "vlan", "--set", "id=abc", "--set", "name=x"], &["`id`", "`abc` is not a whole number"]),
        (&["--blueprint", "vlan", "--set", "id=5000", "--set", "name=x"], &["`id`", "5000", "4094"]),
        (&["--blueprint", "vlan", "--set", "id=1", "--set", "name=x"], &["`id`", "2 to 4094"]),
        (&["--blueprint", "vlan", "--set", "id=9007199254740993", "--set", "name=x"], &["`id`"]),
        (&["--blueprint", "vlan", "--set", "id=120", "--set", "nmae=x"], &["`nmae`", "id, name, switches, ticket"]),
        (&["--blueprint", "vlan", "--set", "id=120", "--set", "id=121", "--set", "name=x"], &["given twice"]),
        (&["--blueprint", "vlan", "--set", "id"], &["has no `=`", "NAME=VALUE"]),
        (
            &["--blueprint", "vlan", "--set", "id=9999", "--set", "nmae=x", "--set", "name=a b"],
            &["input `id`: 9999", "no input `nmae`", "input `name`"],
        ),
        (&["--blueprint", "vlan", "--set", "id=120", "--set", "name=x", "--set", "switches="], &["too few"]),
        (&["--blueprint", "dns", "--set", "name=web01", "--set", "address=192.0.2.300"], &["`address`"]),
        (
            &["--blueprint", "dns", "--set", "name=web01", "--set", "address=2001:db8:0:0:0:0:0:1"],
            &["is an IPv6 address, and an IPv4 address is wanted here; it must be an IPv4 address, such as 192.0.2.10"],
        ),
        (&["--blueprint", "dns", "--set", "name=web.01", "--set", "address=192.0.2.3"], &["`name`"]),
    ];
    for (args, says) in table {
        refused(&bench, args, says);
    }
}

#[test]
fn a_value_that_does_not_fit_is_told_with_what_may_be_there_and_an_example() {
    let bench = Bench::new();
    let vlan = ["--blueprint", "vlan", "--set"];
    let table: [(&[&str], &str); 3] = [
        (
            &["id=abc", "--set", "name=x"],
            "`abc` is not a whole number; it must be a VLAN id from 2 to 4094, such as 120",
        ),
        (&["id=1", "--set", "name=x"], "it must be a VLAN id from 2 to 4094, such as 120"),
        (
            &["id=120", "--set", "name=a b"],
            "is not a plain name; it must be a plain name: letters, digits, `-`, `_` and `.`",
        ),
    ];
    for (args, says) in table {
        refused(&bench, &[&vlan[..], args].concat(), &[says]);
    }
    for (args, says) in [
        (&["list", "--limit", "x"][..], "a whole number is wanted here, such as 20"),
        (&["trust", "set", "dns@lab", "two", "--reason", "x"], "a whole number is wanted here, 1, 2 or 3"),
        (&["log", "consistency", "a", "2"], "the second line of a checkpoint"),
        (&["list", "--status", "done"], "possible values: open, waiting, closed"),
    ] {
        bench.run(args).code(2).says(says);
    }
}

#[test]
fn targets_that_the_inventory_does_not_know_are_refused() {
    let bench = Bench::new();
    let vlan = ["--blueprint", "vlan", "--set", "id=120", "--set", "name=x", "--set"];
    refused(
        &bench,
        &[&vlan[..], &["switches=sw01,sw99"]].concat(),
        &["input `switches`: the inventory has no target `sw99`"],
    );
    let once = bench.run(&[&["request"], &vlan[..], &["switches=sw01,sw99"]].concat()).code(2);
    assert_eq!(once.err.matches("sw99").count(), 1, "{}", once.err);
    refused(&bench, &[&vlan[..], &["switches=sw01,sw01"]].concat(), &["twice"]);
    let dns = ["--blueprint", "dns", "--set", "name=web01", "--set", "address=192.0.2.3", "--set"];
    refused(&bench, &[&dns[..], &["zone=evil.example.org"]].concat(), &["evil.example.org"]);
}

#[test]
fn a_value_is_never_code() {
    let bench = Bench::new();
    let hostile = [
        "{cel: inputs.id}",
        "inputs.id",
        "\"] || true",
        "; rm -rf /",
        "$(touch owned)",
        "`touch owned`",
        "guest\nforbid",
        "guest\r",
        "\u{1b}[2J\u{1b}[H",
        "g\u{202e}tseu",
        "g\u{200b}uest",
        "../../etc/passwd",
        "guest'; permit(principal, action, resource);",
        "{{ 7 * 7 }}",
        "Agent::\"build\"",
        "",
    ];
    for value in hostile {
        let set = format!("name={value}");
        let answer = bench.run(&["request", "--blueprint", "vlan", "--set", "id=120", "--set", &set]);
        // `inputs.id` is a fine name for a VLAN: it enters as text, as every value does.
        if value == "inputs.id" {
            let id = answer.code(0).out.split_whitespace().next().unwrap().to_owned();
            bench.drive(&id, 3);
            assert_eq!(bench.artifact(&id, "spec")["inputs"]["name"], "inputs.id");
            assert_eq!(bench.artifact(&id, "spec")["boundary"]["build"][0]["where"]["name"]["is"], "inputs.id");
            continue;
        }
        assert_eq!(answer.code, 2, "{value:?}\n{}\n{}", answer.out, answer.err);
        assert!(answer.err.contains("`name`"), "{value:?}: {}", answer.err);
        assert!(!answer.err.contains(['\u{1b}', '\r', '\u{202e}', '\u{200b}']), "{value:?}: {:?}", answer.err);
    }
    // Free text goes through as text, to the last character.
    for value in ["{cel: inputs.id}", "\"] || true", "; rm -rf /", "$(touch owned)", "inputs.id"] {
        let args = ["--blueprint", "vlan", "--set", "id=120", "--set", "name=x", "--set"];
        let set = format!("ticket={value}");
        let id = bench.request(&[&args[..], &[&set]].concat());
        bench.drive(&id, 3);
        assert_eq!(bench.artifact(&id, "spec")["refs"][0], value);
    }
    let ticket = "ticket=a\u{1b}[31mb";
    let answer = bench.run(&["request", "--blueprint", "vlan", "--set", "id=120", "--set", "name=x", "--set", ticket]);
    assert!(!answer.code(2).err.contains('\u{1b}'));
    assert!(!bench.root.join("owned").exists());
}

#[test]
fn values_come_from_a_file_too_and_are_held_to_the_same() {
    let bench = Bench::new();
    let table = [
        ("id: 120\nname: {cel: inputs.id}\n", "values.yaml:2:1: name: "),
        ("id: \"120\"\nname: x\n", "values.yaml:1:1: id: "),
        ("name: x\nid: 120.5\n", "values.yaml:2:1: id: "),
        ("id: 120\nname: x\nnmae: y\n", "values.yaml:3:1: nmae: there is no such input; vlan has id, name"),
        ("id: 120\nid: 121\nname: x\n", "values.yaml:2"),
        ("id: 9007199254740992\nname: x\n", "values.yaml:1"),
        ("id: 120\n\tname: x\n", "tab"),
        ("- 120\n", "values.yaml:1"),
        ("id: [120\n", "values.yaml:"),
        ("id: 120\nname: !secret x\n", "values.yaml:2"),
    ];
    for (text, says) in table {
        bench.write("values.yaml", text);
        refused(&bench, &["--blueprint", "vlan", "--file", "values.yaml"], &[says]);
    }
    refused(&bench, &["--blueprint", "vlan", "--file", "nowhere.yaml"], &["nowhere.yaml"]);
    bench.write("values.yaml", "id: 120\nname: guest\nswitches: [sw01]\n");
    let id = bench.request(&["--blueprint", "vlan", "--file", "values.yaml", "--set", "id=121"]);
    bench.drive(&id, 3);
    assert_eq!(bench.artifact(&id, "spec")["inputs"]["id"], 121);
}

#[test]
fn a_spec_that_cannot_stand_is_refused_at_its_line() {
    let bench = Bench::new();
    bench.write("design.yaml", DESIGN);
    // What is changed in the spec, and what the message says; the line is where the change is.
    let table: &[(&str, &str, &[&str])] = &[
        ("title: VLAN 120 on two switches", "titel: VLAN", &["spec.yaml:2", "titel"]),
        ("title: VLAN 120 on two switches", "title: ''", &["spec.yaml:2"]),
        ("title: VLAN 120 on two switches", "title: [a]", &["spec.yaml:2"]),
        ("kind: spec", "kind: design", &["spec.yaml:1"]),
        ("kind: spec\n", "kind: spec\nkind: spec\n", &["spec.yaml:2"]),
        ("refs: [CHG0031337]", "refs: 9007199254740992", &["spec.yaml:3"]),
        ("refs: [CHG0031337]", "\trefs: []", &["spec.yaml:", "tab"]),
        ("requirements:\n  - {id: R1, text: VLAN 120 is there as guest}", "requirements: []", &["spec.yaml:4"]),
        ("id: R1, text", "id: R2, text", &["spec.yaml:", "R2"]),
        ("tool: vlan.create", "tool: vlan.crate", &["spec.yaml:12", "vlan.crate", "vlan.create"]),
        ("id: {min: 100, max: 199}", "id: {min: 199, max: 100}", &["spec.yaml:13", "199", "100"]),
        ("id: {min: 100, max: 199}", "id: {}", &["spec.yaml:13", "any: true"]),
        ("id: {min: 100, max: 199}", "id: {any: true, min: 1}", &["spec.yaml:13"]),
        ("id: {min: 100, max: 199}", "id: {is: 120, one_of: [121]}", &["spec.yaml:13"]),
        ("id: {min: 100, max: 199}", "id: {like: \"1*\"}", &["spec.yaml:13"]),
        ("id: {min: 100, max: 199}", "id: {is: abc}", &["spec.yaml:13"]),
        ("id: {min: 100, max: 199}", "vlan: {is: 120}", &["spec.yaml:13"]),
        ("at_most: 6", "at_most: 0", &["spec.yaml:14"]),
        ("at_most: 6", "at_most: -1", &["spec.yaml:14"]),
        ("one_of: [20, 120]", "one_of: []", &["spec.yaml:15", "empty"]),
        (
            "{in_group: access-switches}, id: {one_of",
            "{in_group: core-routers}, id: {one_of",
            &["spec.yaml:15", "core-routers"],
        ),
        ("{in_group: access-switches}, id: {one_of", "{is: sw99}, id: {one_of", &["spec.yaml:15", "sw99"]),
        ("check: {tool: vlan.list", "check: {tool: vlan.delete", &["spec.yaml:20", "may only read"]),
        ("with: {switch: {cel: item}}", "with: {swich: sw01}", &["spec.yaml:20"]),
        ("with: {switch: {cel: item}}", "with: {switch: corp.example.com}", &["spec.yaml:20"]),
        ("with: {switch: {cel: item}}", "with: {switch: {cel: items}}", &["spec.yaml:20"]),
        ("for_each: [sw01, sw02]", "for_each: []", &["spec.yaml:21"]),
        ("result.vlans.exists(v,", "result.vlans.all(v,", &["spec.yaml:22", "empty answer"]),
        ("result.vlans.exists(v, v.id == 120 && v.name == \"guest\")", "'true'", &["spec.yaml:22", "`result`"]),
        ("result.vlans.exists(v, v.id == 120 && v.name == \"guest\")", "'result.vlans ='", &["spec.yaml:22"]),
        (
            "result.vlans.exists(v, v.id == 120 && v.name == \"guest\")",
            "result.vlanz.exists(v, v.id == 120)",
            &["spec.yaml:22", "an answer of vlan.list has no `vlanz`; it has", "vlans"],
        ),
        ("covers: [R1]", "covers: [R9]", &["spec.yaml:", "R9"]),
        ("rollback: required", "rollback: maybe", &["spec.yaml:23", "maybe"]),
        (
            "rollback: required",
            "window: {from: 2026-12-02T00:00:00Z, until: 2026-12-01T00:00:00Z}",
            &["spec.yaml:23", "`until`"],
        ),
        ("rollback: required", "window: {from: tomorrow, until: later}", &["spec.yaml:23"]),
    ];
    for (from, to, says) in table {
        assert!(SPEC.contains(from), "{from}");
        bench.write("spec.yaml", &SPEC.replacen(from, to, 1));
        refused(&bench, &["--spec", "spec.yaml", "--design", "design.yaml"], says);
    }
    for text in ["", "\n", "null\n", "---\n---\n", "just text\n", "\u{0}", "kind: spec\n"] {
        bench.write("spec.yaml", text);
        refused(&bench, &["--spec", "spec.yaml", "--design", "design.yaml"], &["spec.yaml"]);
    }
    let no_grants = SPEC.find("boundary:").unwrap()..SPEC.find("acceptance:").unwrap();
    let mut empty = SPEC.to_owned();
    empty.replace_range(no_grants, "boundary: {}\n");
    bench.write("spec.yaml", &empty);
    refused(&bench, &["--spec", "spec.yaml", "--design", "design.yaml"], &["spec.yaml:6", "grants nothing"]);
    bench.write("spec.yaml", SPEC);
    refused(&bench, &["--spec", "spec.yaml"], &["--design"]);
    refused(&bench, &["--spec", "nowhere.yaml"], &["nowhere.yaml"]);
}

#[test]
fn a_design_that_cannot_stand_is_refused_at_its_line() {
    let bench = Bench::new();
    bench.write("spec.yaml", SPEC);
    let table: &[(&str, &str, &[&str])] = &[
        ("id: create", "id: create\n    id: create", &["design.yaml:3"]),
        ("id: create", "id: Create It", &["design.yaml:2"]),
        ("tool: vlan.create", "tool: vlan.crate", &["design.yaml:3", "vlan.crate"]),
        ("tool: vlan.create", "tool: vlan.rename", &["design.yaml:3", "boundary.build"]),
        ("tool: vlan.create", "tool: vlan.create\n    needs: [creat]", &["design.yaml:4", "`creat`"]),
        ("tool: vlan.create", "tool: vlan.create\n    needs: [create]", &["design.yaml:", "wait for each other"]),
        ("tool: vlan.create", "tool: vlan.create\n    on_failure: retry", &["design.yaml:4", "retry"]),
        ("tool: vlan.create", "tool: vlan.create\n    approval: boss", &["design.yaml:4", "boss"]),
        (
            "tool: vlan.create",
            "tool: vlan.create\n    until: {expect: 'true', attempts: 3, every_seconds: 1}",
            &["design.yaml:4"],
        ),
        ("tool: vlan.create", "tool: vlan.create\n    script: rm -rf /", &["design.yaml:4", "script"]),
        ("at_most: 2", "at_most: 0", &["design.yaml:4"]),
        ("at_most: 2", "at_most: 9007199254740992", &["design.yaml:4"]),
        ("id: 120, name", "id: 120, nmae", &["design.yaml:5", "nmae"]),
        ("id: 120, name", "id: abc, name", &["design.yaml:5", "abc"]),
        ("id: 120, name", "id: {cel: 'steps.other.result.id'}, name", &["design.yaml:", "other"]),
        ("id: 120, name", "id: {cel: 'steps.create.result.id'}, name", &["design.yaml:", "its own result"]),
        ("id: 120, name", "id: {cel: '1 +'}, name", &["design.yaml:5"]),
        ("id: 120, name", "id: {cel: item, run: x}, name", &["design.yaml:5"]),
        ("id: 120, name", "id: {cel: inputs.vlan}, name", &["design.yaml:5", "inputs.vlan"]),
        ("at_most: 2}", "at_most: 2}\n    when: inputs.wanted", &["design.yaml:5", "inputs.wanted"]),
        ("[\"sw01\", \"sw02\"]", "inputs.switches", &["design.yaml:4", "inputs.switches"]),
        ("[\"sw01\", \"sw02\"]", "\"sw01\"", &["design.yaml:4", "a list is needed"]),
        ("acceptance:", "decisions:\n  - {wat: {cel: inputs.name}}\nacceptance:", &["design.yaml:7", "inputs.name"]),
        (
            "acceptance:",
            "components:\n  - {name: x, disposition: bild}\nacceptance:",
            &["design.yaml:7", "`bild`", "build"],
        ),
        ("A1: [create]", "A1: [creat]", &["design.yaml:6", "creat"]),
        ("A1: [create]", "A1: []", &["design.yaml:6", "A1"]),
        ("A1: [create]", "A9: [create]", &["design.yaml:", "A9"]),
    ];
    for (from, to, says) in table {
        assert!(DESIGN.contains(from), "{from}");
        bench.write("design.yaml", &DESIGN.replacen(from, to, 1));
        refused(&bench, &["--spec", "spec.yaml", "--design", "design.yaml"], says);
    }
    // What an engagement shows is no draft.
    bench.write("design.yaml", &format!("kind: design\n{DESIGN}"));
    refused(
        &bench,
        &["--spec", "spec.yaml", "--design", "design.yaml"],
        &["design.yaml:1", "`countersign schema design-draft`"],
    );
    // All of its arguments are known, so that it is outside the boundary is known too.
    let outside = DESIGN
        .replace("{switch: {cel: item}, id: 120", "{switch: sw01, id: 99")
        .replace("    for_each: {items: '[\"sw01\", \"sw02\"]', at_most: 2}\n", "");
    bench.write("design.yaml", &outside);
    refused(&bench, &["--spec", "spec.yaml", "--design", "design.yaml"], &["design.yaml:4"]);
    let cycle = "steps:
  - {id: a, tool: vlan.create, needs: [c], with: {switch: sw01, id: 120, name: guest}}
  - {id: b, tool: vlan.create, needs: [a], with: {switch: sw02, id: 120, name: guest}}
  - {id: c, tool: vlan.list, needs: [b], with: {switch: sw01}}
acceptance: {A1: [a, b]}
";
    bench.write("design.yaml", cycle);
    refused(
        &bench,
        &["--spec", "spec.yaml", "--design", "design.yaml"],
        &["design.yaml:2", "a needs c needs b needs a"],
    );
}

#[test]
fn arguments_that_do_not_fit_together_are_usage_errors() {
    let bench = Bench::new();
    let table: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["request"],
        &["request", "--blueprint", "vlan", "--spec", "x.yaml"],
        &["request", "--design", "x.yaml"],
        &["request", "--spec", "x.yaml", "--set", "a=b"],
        &["run", "--retry", "failed"],
        &["run", "x", "--retry", "all"],
        &["approve"],
        &["answer", "x", "maybe"],
        &["list", "--status", "asleep"],
        &["list", "--limit", "-1"],
        &["show", "x", "--artifact", "secrets"],
        &["lab", "fault"],
        &["verify"],
    ];
    for args in table {
        let answer = bench.run(args).code(2);
        assert!(answer.err.contains("Usage") || answer.err.contains("--help"), "{args:?}: {}", answer.err);
    }
    for args in
        [&["run", "zzzzz"][..], &["show", "zzzzz"], &["approve", "zzzzz"], &["log", "zzzzz"], &["verify", "zzzzz"]]
    {
        let answer = bench.run(args).code(2).says("countersign list");
        for_people(&args.join(" "), &answer);
    }
    for id in ["../x", "", "%", "*", "' or 1=1 --", "\u{1b}[2J"] {
        let answer = bench.run(&["show", id]).code(2);
        assert!(!answer.err.contains('\u{1b}'), "{:?}", answer.err);
    }
    bench.run(&["lab", "fault", "lie:vlan.create@sw99"]).code(2).says("`sw99`").says("sw01");
    bench.run(&["list", "--blueprint", "bogus"]).code(0).shows("No engagement matches");
    bench.run(&["list", "--limit", "0"]).code(2).says("write at least 1");
    bench.run(&["list", "--as", "nobody"]).code(4).says("`nobody`");
    for fault in ["lie", "fib:vlan.create", "lie:vlan.list", "lie:vlan.create,times=0"] {
        bench.run(&["lab", "fault", fault]).code(2).says("is not a fault");
    }
    assert!(bench.list().is_empty());
}
