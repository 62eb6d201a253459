//! Texts and values that nobody would write: whatever comes in, there is an answer or an error with its place, never a
//! panic. Each run is short and new; a failure prints the smallest input that still fails.

use proptest::{prelude::*, test_runner::Config};

use super::*;
use crate::artifact::{Blueprint, DesignDraft, YamlError, from_json};

const BLUEPRINT: &str = include_str!("../../../prompts/blueprints/vlan.yaml");
const MANIFEST: &str = include_str!("../../../tools/lab.yaml");
const SPEC: &str = "\
kind: spec
title: VLAN 120 on two switches
refs: [CHG0031337]
requirements:
  - {id: R1, text: VLAN 120 is there as web}
boundary:
  discover:
    - {tool: vlan.list, where: {switch: {in_group: access-switches}}}
    - {tool: dns.records.list, where: {zone: {is: corp.example.com}}}
  build:
    - tool: vlan.create
      where: {switch: {one_of: [sw01, sw02]}, id: {min: 100, max: 199}, name: {like: \"web*\"}}
      at_most: 2
    - tool: dns.record.create
      where: {zone: {is: corp.example.com}, name: {any: true}, address: {in_range: 192.0.2.0/24}, ttl: {max: 600}}
    - tool: port.trunk.set
      where: {switch: {is: sw01}, port: {like: \"Gi1/0/*\"}, vlans: {subset_of: [10, 20], max_items: 1}}
    - tool: port.set
      where: {switch: {is: sw01}, port: {any: true}, options.up: {is: true}, options.mtu: {min: 1280, max: 9216}, extra: {any: true}}
limits: {tool_calls: 40, minutes: 30}
window: {from: 2026-12-01T22:00:00Z, until: 2026-12-02T02:00:00Z}
acceptance:
  - id: A1
    covers: [R1]
    check: {tool: vlan.list, with: {switch: {cel: item}}}
    for_each: [sw01, sw02]
    expect: 'result.vlans.exists(v, v.id == 120 && v.name == \"web\")'
rollback: required
";
const DESIGN: &str = "\
steps:
  - id: create
    tool: vlan.create
    for_each: {items: '[\"sw01\", \"sw02\"]', at_most: 2}
    with: {switch: {cel: item}, id: 120, name: web}
    verify: {tool: vlan.list, with: {switch: {cel: item}}, expect: 'size(result.vlans) > 0'}
  - id: look
    tool: vlan.list
    needs: [create]
    with: {switch: sw01}
    until: {expect: 'size(result.vlans) > 0', attempts: 3, every_seconds: 1}
acceptance: {A1: [create]}
";

/// What is put into a text where it does not belong.
const TOKENS: [&str; 46] = [
    "\n",
    "\n  ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    ",",
    "#",
    "&a ",
    "*a",
    "!!str ",
    "<<: ",
    "\t",
    "\0",
    "\r",
    "\u{202e}",
    "\u{feff}",
    "1e400",
    "9007199254740993",
    "-0",
    "0120",
    ".nan",
    "~",
    "{cel: ",
    "inputs",
    "item",
    "((((((((",
    "| \n",
    "? ",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "é",
    "𠮷",
    "\\u0000",
    "any: true",
    "__entity",
    "*",
    "192.0.2.1/24",
    "::ffff:192.0.2.1",
    "where: {}",
    "at_most: 4294967296",
];

/// A change of a text: where, what kind, and with what.
type Edit = (u16, u8, u16);

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, kind, with) in edits {
        let at = usize::from(*at) % (chars.len() + 1);
        let to = (at + 1 + usize::from(*with) % 40).min(chars.len());
        match kind % 5 {
            0 => drop(chars.drain(at..to)),
            1 => drop(chars.splice(at..at, TOKENS[usize::from(*with) % TOKENS.len()].chars())),
            2 => {
                let copied: Vec<char> = chars[at..to].to_vec();
                drop(chars.splice(at..at, copied));
            }
            3 => drop(chars.splice(at..to, TOKENS[usize::from(*with) % TOKENS.len()].chars())),
            _ => chars.truncate(if usize::from(*with) % 20 == 0 { at } else { chars.len() }),
        }
    }
    chars.into_iter().collect()
}

thread_local!(static KNOWN: (Catalog, CompiledBoundary, Spec) = {
    let (catalog, spec) = (catalog(), from_yaml("spec.yaml", SPEC).unwrap());
    let boundary = CompiledBoundary::compile(&spec, &catalog).unwrap();
    (catalog, boundary, spec)
});

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    proptest::collection::vec(any::<Edit>(), 0..8)
}

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Fails unless the error stands at a place of the text and says something.
fn placed(error: &YamlError, text: &str) -> Result<(), TestCaseError> {
    let lines =
        text.chars().filter(|c| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')).count() as u64 + 1;
    prop_assert!(error.line >= 1 && error.line <= lines + 1 && error.column >= 1, "{error}, of {lines} lines");
    prop_assert!(!error.message.trim().is_empty());
    Ok(())
}

/// A value as a tool's schema wants it, or nearly, or not at all.
fn value() -> impl Strategy<Value = Value> {
    const TEXTS: &[&str] = &[
        "sw01",
        "sw02",
        "core1",
        "sw99",
        "corp.example.com",
        "192.0.2.0/24",
        "web01",
        "WEB*",
        "Gi1/0/1",
        "192.0.2.10",
        "::1",
        "here",
        "",
        "*",
        "a\nb",
        "\u{202e}",
        "é",
        "__entity",
    ];
    let leaf = prop_oneof![
        4 => proptest::sample::select(TEXTS).prop_map(Value::from),
        2 => (-5_i64..5_000).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|float| json!(float)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::btree_map("[a-z_]{1,8}|mtu|up|peer|via|vlans|alias|mark|depth|note", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Arguments of a tool: most of them given, most of the right name.
fn arguments() -> impl Strategy<Value = (usize, Map<String, Value>)> {
    const NAMES: &[&str] = &[
        "switch", "id", "name", "port", "vlans", "peers", "native", "tagged", "note", "in", "zone", "alias", "address",
        "ttl", "prefix", "options", "extra", "x",
    ];
    let given = proptest::collection::vec((proptest::sample::select(NAMES), value()), 0..9);
    (0_usize..20, given)
        .prop_map(|(tool, given)| (tool, given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn a_spec_is_read_or_refused_at_its_place(edits in edits()) {
        let text = edited(SPEC, &edits);
        match from_yaml::<Spec>("spec.yaml", &text) {
            Err(error) => placed(&error, &text)?,
            Ok(spec) => {
                let wrong = KNOWN.with(|(catalog, ..)| check_spec(&spec, catalog));
                for error in spec.problems().into_iter().chain(wrong) {
                    prop_assert!(!error.message.is_empty());
                    placed(&YamlError::at("spec.yaml", &text, &error.path, &error.message), &text)?;
                }
            }
        }
    }

    #[test]
    fn a_design_is_read_or_refused_at_its_place(edits in edits()) {
        let text = edited(DESIGN, &edits);
        match from_yaml::<DesignDraft>("design.yaml", &text) {
            Err(error) => placed(&error, &text)?,
            Ok(draft) => {
                for error in KNOWN.with(|(catalog, _, spec)| check_design(&draft, spec, catalog)) {
                    prop_assert!(!error.message.is_empty());
                    placed(&YamlError::at("design.yaml", &text, &error.path, &error.message), &text)?;
                }
            }
        }
    }

    #[test]
    fn a_blueprint_and_a_manifest_are_read_or_refused_at_their_place(edits in edits(), which in any::<bool>()) {
        let text = edited(if which { BLUEPRINT } else { MANIFEST }, &edits);
        if which {
            match from_yaml::<Blueprint>("vlan.yaml", &text) {
                Err(error) => placed(&error, &text)?,
                Ok(blueprint) => {
                    let given = json!({"id": 120, "name": "guest"});
                    if let Ok(inputs) = blueprint.check_inputs(given.as_object().unwrap()) {
                        let _ = blueprint.draft_spec(&inputs).map_err(|error| assert!(!error.to_string().is_empty()));
                    }
                }
            }
        } else {
            match from_yaml::<crate::tool::Manifest>("lab.yaml", &text) {
                Err(error) => placed(&error, &text)?,
                Ok(manifest) => {
                    let problems = Toolbox::new(vec![manifest], Pins::default()).err();
                    prop_assert!(problems.iter().flatten().all(|problem| !problem.message.is_empty()));
                }
            }
        }
    }

    #[test]
    fn json_is_read_or_refused_at_its_place(edits in edits(), value in value()) {
        let text = edited(&serde_json::to_string_pretty(&value).unwrap(), &edits);
        if let Err(error) = from_json("call", &text) {
            // The parser stands before the first character of a line at times.
            placed(&YamlError { column: error.column.max(1), line: error.line.max(1), ..error }, &text)?;
        }
    }
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn arguments_have_one_normal_form_or_none_and_every_refusal_is_explained((at, given) in arguments()) {
        KNOWN.with(|(catalog, boundary, _)| {
            let tools: Vec<&Tool> = catalog.toolbox.tools().collect();
            let tool = tools[at % tools.len()];
            // What the tool does not take is mostly left out, or nothing else would ever be looked at.
            let given = given.into_iter().filter(|(name, _)| at == 0 || tool.args.properties.contains_key(name)).collect();
            let normal = match catalog.toolbox.check_args(tool, &given) {
                Err(problem) => {
                    let said = problem.to_string();
                    prop_assert!(said.contains(tool.name.as_str()) && said.len() < 1_500, "{said}");
                    return Ok(());
                }
                Ok(normal) => normal,
            };
            let again = catalog.toolbox.check_args(tool, &normal);
            prop_assert_eq!(again.as_ref(), Ok(&normal), "another normal form");
            for agent in Agent::ALL {
                let question = Question { agent, ..question(tool, &normal) };
                let ruling = rule(catalog, boundary, &question);
                prop_assert!(!ruling.spoke.is_empty(), "nothing spoke");
                for spoke in &ruling.spoke {
                    prop_assert!(!spoke.rule.is_empty() && !spoke.reason.is_empty(), "{:?}", spoke);
                    prop_assert!(!spoke.reason.contains("failed"), "{:?}", spoke);
                }
            }
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(config(15))]

    #[test]
    fn policies_are_read_or_refused_at_their_line(edits in edits(), which in any::<bool>()) {
        let (guardrails, stages) = if which {
            (edited(super::GUARDRAILS, &edits), STAGES.to_owned())
        } else {
            (super::GUARDRAILS.to_owned(), edited(STAGES, &edits))
        };
        let lines = guardrails.lines().count().max(stages.lines().count()) as u64;
        for problem in Policies::parse(texts(&guardrails, &stages), &toolbox()).err().into_iter().flatten() {
            prop_assert!(problem.line >= 1 && problem.line <= lines + 1 && !problem.message.is_empty(), "{problem}");
        }
    }
}
