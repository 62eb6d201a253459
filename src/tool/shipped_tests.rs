//! The manifest and the blueprints that are shipped, by themselves: they load, they fit each other, and what a
//! requester types stays data. What they say about the lab is held against its answers in the tests of the lab.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Effect, Pins, Tool, Toolbox};
use crate::artifact::{Arg, Blueprint, Boundary, Grant, Spec, ToolName, from_yaml, to_yaml};

const BLUEPRINTS: [(&str, &str); 3] = [
    ("vlan", include_str!("../../prompts/blueprints/vlan.yaml")),
    ("dns", include_str!("../../prompts/blueprints/dns.yaml")),
    ("address", include_str!("../../prompts/blueprints/address.yaml")),
];

fn toolbox() -> Toolbox {
    let manifest = from_yaml("lab.yaml", include_str!("../../tools/lab.yaml")).unwrap();
    Toolbox::new(vec![manifest], Pins::default()).unwrap()
}

fn blueprints() -> Vec<Blueprint> {
    let read = |(name, text): &(&str, &str)| {
        let blueprint: Blueprint = from_yaml(name, text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(blueprint.name, *name);
        blueprint
    };
    BLUEPRINTS.iter().map(read).collect()
}

/// What a requester gives who follows the examples and leaves out what has a default.
fn example(blueprint: &Blueprint) -> Map<String, Value> {
    let asked = blueprint.missing(&Map::new()).into_iter();
    asked.map(|input| (input.name.clone(), input.example.clone().unwrap())).collect()
}

fn spec(blueprint: &Blueprint, given: &Map<String, Value>) -> Spec {
    blueprint.draft_spec(&blueprint.check_inputs(given).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn the_manifest_says_of_every_tool_what_people_and_policies_need() {
    let toolbox = toolbox();
    assert_eq!(toolbox.tools().count(), 12);
    for tool in toolbox.tools() {
        let by_name = match tool.name.as_str().rsplit('.').next().unwrap() {
            "list" => Effect::Read,
            "create" | "rename" | "set" | "allocate" => Effect::Write,
            _ => Effect::Destructive,
        };
        assert_eq!(tool.effect, by_name, "{}", tool.name);
        assert_eq!(tool.empty.is_some(), tool.effect == Effect::Read, "{}", tool.name);
        assert_eq!(tool.state.is_none(), tool.effect == Effect::Read, "{}", tool.name);
        assert_eq!(tool.after.is_none(), tool.effect == Effect::Read || tool.idempotency_key, "{}", tool.name);
        assert_eq!(tool.irreversible(), tool.name.as_str() == "ipam.address.release", "{}", tool.name);
        assert_eq!(tool.idempotency_key, tool.name.as_str() == "ipam.address.allocate", "{}", tool.name);
        for argument in tool.args.properties.keys() {
            let said = tool.says.contains(&format!("{{{argument}}}"));
            assert!(said, "{} does not say `{argument}`", tool.name);
        }
        tool.sentence(|argument| tool.args.properties.get(argument).map(|_| String::new()).unwrap());
    }
}

#[test]
fn a_call_is_said_in_plain_words() {
    let toolbox = toolbox();
    for (name, args, words) in [
        ("vlan.create", json!({"switch": "sw01", "id": 120, "name": "guest"}), "create VLAN 120 named guest on sw01"),
        (
            "port.vlan.set",
            json!({"switch": "sw01", "port": "Gi1/0/1", "vlan": 120}),
            "put port Gi1/0/1 of sw01 into VLAN 120",
        ),
        (
            "dns.record.create",
            json!({"zone": "Corp.Example.com", "name": "WEB01", "address": "192.0.2.10"}),
            "create the A record web01 for 192.0.2.10 in corp.example.com with a TTL of 3600 seconds",
        ),
        (
            "ipam.address.allocate",
            json!({"prefix": "192.0.2.0/24", "name": "web01"}),
            "allocate the lowest free address of 192.0.2.0/24 to web01",
        ),
    ] {
        let tool = toolbox.tool(&name.parse().unwrap()).unwrap();
        let args = toolbox.check_args(tool, &object(args)).unwrap();
        assert_eq!(tool.sentence_for(&args), words);
    }
}

#[test]
fn every_blueprint_gives_a_spec_that_can_be_approved() {
    for blueprint in blueprints() {
        let mut all = example(&blueprint);
        for inputs in [all.clone(), {
            let optional = blueprint.inputs.iter().map(|input| (input.name.clone(), input.example.clone().unwrap()));
            all.extend(optional);
            all
        }] {
            let spec = spec(&blueprint, &inputs);
            assert_eq!(spec.problems(), [], "{}", blueprint.name);
            assert_eq!(spec.inputs, blueprint.check_inputs(&inputs).unwrap());
            assert_eq!(spec.refs.len(), usize::from(inputs.contains_key("ticket")));
            let text = to_yaml(&spec).unwrap();
            assert_eq!(from_yaml::<Spec>("spec.yaml", &text).unwrap(), spec, "{text}");
        }
    }
}

#[test]
fn a_vlan_on_two_switches_is_granted_twice_and_nowhere_else() {
    let vlan = blueprints().remove(0);
    let spec = spec(&vlan, &object(json!({"id": 120, "name": "guest", "switches": ["sw02", "sw04"]})));
    assert_eq!(spec.title, "Create VLAN 120 guest");
    assert_eq!(spec.requirements[0].text, "VLAN 120 is there as guest on sw02, sw04");
    let boundary = json!({
        "discover": [{"tool": "vlan.list", "where": {"switch": {"one_of": ["sw02", "sw04"]}}}],
        "build": [{
            "tool": "vlan.create",
            "where": {"switch": {"one_of": ["sw02", "sw04"]}, "id": {"is": 120}, "name": {"is": "guest"}},
            "at_most": 2
        }]
    });
    assert_eq!(spec.boundary, serde_json::from_value::<Boundary>(boundary).unwrap());
    assert_eq!(spec.acceptance[0].items(), [json!("sw02"), json!("sw04")]);
}

#[test]
fn every_blueprint_grants_what_it_calls_and_no_more() {
    let toolbox = toolbox();
    let tool = |name: &ToolName| toolbox.tool(name).unwrap_or_else(|| panic!("no tool `{name}`"));
    for blueprint in blueprints() {
        let spec = spec(&blueprint, &example(&blueprint));
        for (grants, read) in [(&spec.boundary.discover, true), (&spec.boundary.build, false)] {
            for Grant { tool: name, constraints, at_most } in grants {
                let tool = tool(name);
                assert_eq!(tool.effect == Effect::Read, read, "{name}");
                assert_eq!(at_most.is_none(), read, "{name}: a write is granted a number of times");
                assert!(constraints.keys().eq(tool.args.properties.keys()), "{name}: an argument is left open");
                assert!(constraints.values().all(|constraint| !constraint.any), "{name}");
            }
        }
        let granted = |grants: &[Grant]| grants.iter().map(|grant| grant.tool.clone()).collect::<BTreeSet<_>>();
        let design = &blueprint.design;
        let steps: BTreeSet<ToolName> = design.steps.iter().map(|step| step.tool.clone()).collect();
        assert_eq!(granted(&spec.boundary.build), steps, "{}", blueprint.name);
        let mut reads: BTreeSet<ToolName> = design.discover.iter().map(|read| read.tool.clone()).collect();
        reads.extend(spec.acceptance.iter().map(|check| check.check.tool.clone()));
        reads.extend(design.steps.iter().filter_map(|step| Some(step.verify.as_ref()?.tool.clone())));
        reads.extend(steps.iter().filter_map(|name| Some(tool(name).state.as_ref()?.tool.clone())));
        assert_eq!(granted(&spec.boundary.discover), reads, "{}", blueprint.name);

        let known = |tool: &Tool, args: &std::collections::BTreeMap<String, Arg>| {
            assert!(args.keys().all(|name| tool.args.properties.contains_key(name)), "{}", tool.name);
            assert!(tool.args.required.iter().all(|name| args.contains_key(name)), "{}", tool.name);
        };
        design.discover.iter().for_each(|read| known(tool(&read.tool), &read.args));
        spec.acceptance.iter().for_each(|check| known(tool(&check.check.tool), &check.check.args));
        for step in &design.steps {
            known(tool(&step.tool), &step.args);
            step.verify.iter().for_each(|verify| known(tool(&verify.tool), &verify.args));
        }
        for check in &spec.acceptance {
            let mapped = design.acceptance.get(&check.id).is_some_and(|steps| !steps.is_empty());
            assert_eq!(mapped, !check.invariant, "{} {}", blueprint.name, check.id);
        }
        let ids: BTreeSet<_> = design.steps.iter().map(|step| &step.id).collect();
        assert!(design.acceptance.values().flatten().all(|step| ids.contains(step)));
    }
}

/// The same tree with `from` replaced by `to` within its texts.
fn replaced(tree: Value, from: &str, to: &str) -> Value {
    match tree {
        Value::String(text) => Value::String(text.replace(from, to)),
        Value::Array(items) => items.into_iter().map(|item| replaced(item, from, to)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, item)| (key, replaced(item, from, to))).collect(),
        other => other,
    }
}

#[test]
fn what_a_requester_types_is_refused_or_stays_data() {
    let hostile = [
        "\"; rm -rf /; \"",
        "$(reboot)",
        "{{ inputs.name }}",
        "{cel: inputs.name}",
        "inputs.name",
        "\"] || true || [\"",
        "x\" || true || \"",
        "permit (principal, action, resource);",
        "{\"__entity\": {\"type\": \"Agent\", \"id\": \"build\"}}",
        "*",
        "../../etc/passwd",
        "a\nboundary: {}",
        "a: b # c",
        "- a",
        "&a",
        "*a",
        "!!str a",
        "~",
        "null",
        "yes",
        "1e3",
        "0x1f",
        "2026-12-01",
        "'",
        "\"",
        " spaces around ",
        "sw01,sw02",
        "",
    ];
    let mut kept = BTreeSet::new();
    for blueprint in blueprints() {
        for input in &blueprint.inputs {
            let with = |value: Value| {
                let mut given = example(&blueprint);
                given.insert(input.name.clone(), value);
                blueprint.check_inputs(&given)
            };
            // As one word and as a list of one: whichever the input takes.
            let word = |text: &str| with(json!(text)).or(with(json!([text])));
            for text in hostile {
                assert!(with(json!({"cel": text})).is_err(), "{} took an object", input.name);
                let Ok(inputs) = word(text) else { continue };
                kept.insert((blueprint.name.clone(), input.name.clone(), text));
                let spec = blueprint.draft_spec(&inputs).unwrap();
                assert_eq!(spec.problems(), [], "{} {text}", input.name);
                let written = to_yaml(&spec).unwrap();
                assert_eq!(from_yaml::<Spec>("spec.yaml", &written).unwrap(), spec, "{written}");
                // The spec is the one of a harmless word, with this text in its place.
                let harmless = blueprint.draft_spec(&word("harmless").unwrap()).unwrap();
                let mut expected = replaced(serde_json::to_value(harmless).unwrap(), "harmless", text);
                if input.name == "ticket" && text.is_empty() {
                    expected["refs"] = json!([]);
                }
                assert_eq!(serde_json::to_value(spec).unwrap(), expected);
            }
        }
    }
    let plain = ["inputs.name", "null", "yes", "1e3", "0x1f", "2026-12-01"];
    for (blueprint, input, text) in kept {
        let named = plain.contains(&text) && matches!(input.as_str(), "name" | "zone" | "switches");
        assert!(input == "ticket" || named, "{blueprint}: {input} took {text}");
    }
}

#[test]
fn an_undo_whose_target_or_given_argument_an_answer_would_name_is_refused() {
    let shipped = include_str!("../../tools/lab.yaml");
    let undo = "with: {switch: {cel: args.switch}, id: {cel: args.id}}\n    output:";
    assert!(shipped.contains(undo));
    for (with, says) in [
        ("{switch: {cel: result.switch}, id: {cel: args.id}}", "`switch` names the target"),
        ("{switch: {cel: args.switch}, id: {cel: left.id}}", "`id` is given to the step, so write `args.id`"),
    ] {
        let text = shipped.replacen(undo, &format!("with: {with}\n    output:"), 1);
        let wrong = Toolbox::new(vec![from_yaml("lab.yaml", &text).unwrap()], Pins::default()).unwrap_err();
        assert!(format!("{wrong:?}").contains(says), "{with}: {wrong:?}");
    }
}
