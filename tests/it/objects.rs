//! A tool whose argument is an object, all the way: the spec names its members, and what runs is inside every one.

use serde_json::json;

use crate::{
    bench::Bench,
    written::{DESIGN, SPEC},
};

/// A workspace whose `vlan.create` takes the VLAN as one object.
fn nested() -> Bench {
    let bench = Bench::new();
    // The server knows no objects, so what is sent to it is made flat on its way.
    bench.in_front("/usr/bin/sed -u 's/\"vlan\":{\\([^}]*\\)}/\\1/' |");
    let text = bench.read("tools/lab.yaml");
    let (before, rest) = text.split_once("  - name: vlan.create\n").unwrap();
    let (_, after) = rest.split_once("  - name: vlan.rename\n").unwrap();
    let create = "  - name: vlan.create
    about: Create a VLAN on a switch
    says: create {vlan} on {switch}
    effect: write
    target: switch
    args:
      properties:
        switch: {type: string, format: target}
        vlan:
          type: object
          properties:
            id: {type: integer, format: vlan-id, minimum: 1, maximum: 4094}
            name: {type: string, format: name, maxLength: 32, default: unnamed}
          required: [id]
      required: [switch, vlan]
    state:
      tool: vlan.list
      with: {switch: {cel: args.switch}}
      pick: 'result.vlans.filter(v, v.id == args.vlan.id)[?0].orValue(null)'
    after: args.vlan
    undo:
      tool: vlan.delete
      with: {switch: {cel: args.switch}, id: {cel: args.vlan.id}}

";
    let undone = "name: vlan.delete";
    let whole = "id: {cel: args.id}, name: {cel: before.name}}";
    let (head, tail) = after.split_once(undone).unwrap();
    let tail = tail.replacen(whole, "vlan: {cel: 'before'}}", 1);
    bench.write("tools/lab.yaml", &format!("{before}{create}  - name: vlan.rename\n{head}{undone}{tail}"));
    bench.run(&["tools", "pin", "--yes"]).code(0);
    bench
}

fn spec() -> String {
    let spec = SPEC.replace(
        "id: {min: 100, max: 199}, name: {any: true}",
        "vlan.id: {min: 100, max: 199}, vlan.name: {like: \"g*\"}",
    );
    assert_ne!(spec, SPEC);
    spec
}

#[test]
fn a_tool_that_takes_an_object_is_approved_by_member_and_run_as_approved() {
    let bench = nested();
    let design = DESIGN.replace("id: 120, name: guest", "vlan: {name: guest, id: 120}");
    let id = bench.request_written(&spec(), &design);
    bench.drive(&id, 3);
    let screen = bench.run(&["show", &id]).out.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = "The build agent may create id 100 to 199 and name like g* on any of the group access-switches";
    assert!(screen.contains(said), "{screen}");
    assert!(screen.contains("100 values of vlan.id"), "{screen}");
    bench.approve(&id);
    bench.drive(&id, 3);
    let explain = |call: &str| bench.json(&["policy", "explain", &id, "--call", call]);
    let outside = r#"{"tool": "vlan.create", "args": {"switch": "sw01", "vlan": {"id": 200}}, "agent": "build"}"#;
    let misses = json!([
        {"argument": "vlan.id", "must_be": "100 to 199"},
        {"argument": "vlan.name", "must_be": "like g*"},
    ]);
    assert_eq!(explain(outside)["nearest"], json!({"grant": "build.0", "misses": misses}));
    bench.run(&["policy", "explain", &id, "--call", outside]).code(0).shows("`vlan.id` is 200 and must be 100 to 199");
    let worse =
        r#"{"tool": "vlan.create", "args": {"switch": "sw01", "vlan": {"id": 120, "up": true}}, "agent": "build"}"#;
    assert_eq!(explain(worse)["layers"][0]["verdict"], json!("deny"));
    bench.approve(&id);
    let end = bench.drive(&id, 0);
    assert_eq!(end["record"]["outcome"], json!("done"), "{end}");
    assert_eq!(bench.writes(), ["vlan.create sw01 120 guest", "vlan.create sw02 120 guest"]);
    bench.holds(&id);
}

#[test]
fn a_call_outside_a_member_is_refused_and_a_path_to_nowhere_is_found_at_its_line() {
    let bench = nested();
    let wrong = spec().replace("vlan.id:", "vlan.idd:");
    bench.write("bad.yaml", &wrong);
    let line = wrong.lines().position(|line| line.contains("vlan.idd")).unwrap() + 1;
    bench
        .run(&["spec", "lint", "bad.yaml"])
        .code(1)
        .shows(&format!("bad.yaml:{line}:"))
        .shows("has no member `idd`; did you mean `id`?");
    bench.write("two.yaml", &spec().replace("vlan.name: {like: \"g*\"}", "vlan: {is: {id: 1}}"));
    bench.run(&["spec", "lint", "two.yaml"]).code(1).shows("`vlan` is an object: constrain its members");
    // What the design says beside the grant is found before anyone is asked.
    let design = DESIGN
        .replace("    for_each: {items: '[\"sw01\", \"sw02\"]', at_most: 2}\n", "")
        .replace("switch: {cel: item}, id: 120, name: guest", "switch: sw01, vlan: {name: guest, id: 99}");
    bench.write("my-spec.yaml", &spec());
    bench.write("my-design.yaml", &design);
    let request = ["request", "--spec", "my-spec.yaml", "--design", "my-design.yaml"];
    bench.run(&request).code(2).says("`vlan.id` must be 100 to 199");
    assert_eq!(bench.writes(), [""; 0]);
    // Two levels are refused with the line of the manifest.
    bench.edit(
        "tools/lab.yaml",
        "name: {type: string, format: name, maxLength: 32, default: unnamed}",
        "name: {type: object, properties: {a: {type: string}}}",
    );
    bench.run(&["tools", "list"]).code(2).says("tools/lab.yaml:").says("one level is taken");
}
