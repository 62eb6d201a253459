//! The fixture that the policy tests share: a toolbox like the lab's, an inventory with awkward targets, and a
//! question with everything at its most harmless, to be changed one field at a time.

mod aimed;
mod boundary;
mod checks;
mod constraints;
mod decide;
mod errors;
mod examples;
mod found;
mod fuzz;
mod gates;
mod interpreter;
mod load;
mod objects;
mod pools;
mod prove;
mod shadow;
mod shipped;
mod sight;
mod smuggling;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    artifact::{Agent, Phase, Spec, SpecError, ToolName, from_yaml},
    facts::{Inventory, People, Role, Target},
    tool::{Pins, Tool, Toolbox},
};

pub(super) const GUARDRAILS: &str = include_str!("../../../policies/guardrails.cedar");
pub(super) const STAGES: &str = include_str!("../../../policies/stages.cedar");
pub(super) const GATES: &str = include_str!("../../../policies/gates.cedar");

pub(super) fn texts<'a>(guardrails: &'a str, stages: &'a str) -> PolicyTexts<'a> {
    PolicyTexts { guardrails, stages, gates: GATES }
}

const TOOLS: &str = r#"
kind: tools
family: sample
about: A sample
simulated: true
server: {command: [sample]}
tools:
  - name: vlan.list
    about: List
    says: list the VLANs of {switch}
    effect: read
    target: switch
    empty: {vlans: []}
    args: {properties: {switch: {type: string, format: target}}, required: [switch]}
  - name: vlan.create
    about: Create
    says: create VLAN {id} named {name} on {switch}
    effect: write
    target: switch
    args: &vlan
      properties:
        switch: {type: string, format: target}
        id: {type: integer, format: vlan-id, minimum: 1, maximum: 4094}
        name: {type: string, format: name, maxLength: 32}
      required: [switch, id, name]
    state: {tool: vlan.list, with: {switch: {cel: args.switch}}, pick: 'result.vlans.filter(v, v.id == args.id)[?0].orValue(null)'}
    after: '{"id": args.id, "name": args.name}'
    undo: {tool: vlan.delete, with: {switch: {cel: args.switch}, id: {cel: args.id}}}
  - name: vlan.delete
    about: Delete
    says: delete VLAN {id} from {switch}
    effect: destructive
    target: switch
    args: {properties: {switch: {type: string, format: target}, id: {type: integer, format: vlan-id}}, required: [switch, id]}
    undo: {tool: vlan.create, with: {switch: {cel: args.switch}, id: {cel: args.id}, name: {cel: before.name}}}
  - name: port.trunk.set
    about: Trunk
    says: let {vlans} over {port} of {switch}
    effect: write
    target: switch
    args:
      properties:
        switch: {type: string, format: target}
        port: {type: string, format: interface}
        vlans: {type: array, items: {type: integer, format: vlan-id}}
        peers: {type: array, items: {type: string, format: target}, default: []}
        native: {type: integer}
        tagged: {type: boolean, default: true}
        note: {type: string}
        in: {type: string, format: name, default: here}
      required: [switch, port, vlans]
    undo: {tool: port.trunk.set, with: {}}
  - name: port.set
    about: Set
    says: set {port} of {switch} to {options}
    effect: write
    target: switch
    args:
      properties:
        switch: {type: string, format: target}
        port: {type: string, format: interface}
        options:
          type: object
          properties:
            mtu: {type: integer, minimum: 1280, maximum: 9216, default: 1500}
            up: {type: boolean}
            peer: {type: string, format: ip}
            via: {type: string, format: target}
            vlans: {type: array, items: {type: integer, format: vlan-id}}
            alias: {type: string, format: dns-name}
          required: [up]
        extra:
          type: object
          properties:
            depth: {type: integer, default: 1}
            mark: {type: string, format: name}
            note: {type: string}
          required: [mark]
        quiet: {type: object, properties: {hours: {type: integer, default: 8}}, default: {hours: 8}}
      required: [switch, port, options]
    undo: {tool: port.set, with: {}}
  - name: switch.reset
    about: Reset
    says: reset {switch}
    effect: destructive
    target: switch
    args: {properties: {switch: {type: string, format: target}}, required: [switch]}
  - name: dns.records.list
    about: List
    says: list the records of {zone}
    effect: read
    target: zone
    empty: {records: []}
    args: {properties: {zone: {type: string, format: dns-name}}, required: [zone]}
  - name: dns.records.count
    about: Count
    says: count the records of {zone}
    effect: read
    target: zone
    args: {properties: {zone: {type: string, format: dns-name}}, required: [zone]}
  - name: dns.record.create
    about: Create
    says: create the A record {name} for {address}
    effect: write
    target: zone
    args:
      properties:
        zone: {type: string, format: dns-name}
        name: {type: string, format: dns-label}
        alias: {type: string, format: dns-name}
        address: {type: string, format: ip}
        ttl: {type: integer, minimum: 60, maximum: 86400, default: 3600}
      required: [zone, name, address]
    state: {tool: dns.records.list, with: {zone: {cel: args.zone}}, pick: 'null'}
    after: 'null'
    undo: {tool: dns.record.delete, with: {zone: {cel: args.zone}, name: {cel: args.name}}}
  - name: dns.record.delete
    about: Delete
    says: delete the record {name}
    effect: destructive
    target: zone
    args: {properties: {zone: {type: string, format: dns-name}, name: {type: string, format: dns-label}}, required: [zone, name]}
    undo: {tool: dns.record.create, with: {}}
  - name: ipam.address.allocate
    about: Allocate
    says: allocate an address of {prefix} to {name}
    effect: write
    target: prefix
    args: {properties: {prefix: {type: string, format: cidr}, name: {type: string, format: dns-label}}, required: [prefix, name]}
    undo: {tool: ipam.address.allocate, with: {}}
"#;

const INVENTORY: &str = r"
kind: inventory
targets:
  - {name: sw01, is: switch, environment: lab, tags: [access], groups: [access-switches]}
  - {name: sw02, is: switch, environment: lab, groups: [access-switches, spares]}
  - {name: core1, is: switch, environment: lab, tags: [core], groups: [cores]}
  - {name: prod1, is: switch, environment: production}
  - {name: cold1, is: switch, environment: lab, tags: [freeze]}
  - {name: corp.example.com, is: zone, environment: lab, groups: [lab-zones]}
  - {name: 192.0.2.0/24, is: prefix, environment: lab, groups: [lab-prefixes]}
";

pub(super) fn toolbox() -> Toolbox {
    Toolbox::new(vec![from_yaml("tools", &TOOLS.replace("&vlan", "")).unwrap()], Pins::default()).unwrap()
}

pub(super) fn catalog_with(guardrails: &str, stages: &str) -> Catalog {
    let toolbox = toolbox();
    // Rules of a test are not asked for examples; those that have some are held to them.
    let policies = Policies::parse(texts(guardrails, stages), &toolbox).unwrap();
    let failed: Vec<_> = policies.examples().iter().filter_map(Tried::problem).collect();
    assert_eq!(failed, []);
    let people = from_yaml("people", "{kind: people, people: []}").unwrap();
    Catalog::from(CatalogParts {
        toolbox: toolbox.into(),
        inventory: from_yaml("inventory", INVENTORY).unwrap(),
        people,
        signers: Default::default(),
        policies: policies.into(),
    })
}

pub(in crate::policy) fn catalog() -> Catalog {
    catalog_with(GUARDRAILS, STAGES)
}

/// A spec around a boundary (YAML in flow style).
pub(super) fn spec(boundary: &str) -> Spec {
    let text = format!(
        "kind: spec
title: A title
inputs: {{zone: corp.example.com, id: 120}}
requirements: [{{id: R1, text: It is so}}]
acceptance:
  - id: A1
    covers: [R1]
    check: {{tool: vlan.list, with: {{switch: sw01}}}}
    expect: 'result.vlans.exists(v, v.id == inputs.id)'
boundary: {boundary}
"
    );
    from_yaml("spec.yaml", &text).unwrap()
}

/// A spec with one build grant: a tool and its `where`.
pub(super) fn build_spec(tool: &str, constraints: &str) -> Spec {
    spec(&format!("{{build: [{{tool: {tool}, where: {constraints}}}]}}"))
}

pub(super) fn tool<'a>(catalog: &'a Catalog, name: &str) -> &'a Tool {
    catalog.toolbox.tool(&name.parse::<ToolName>().unwrap()).unwrap()
}

/// Arguments in their normal form, as the broker has them.
pub(super) fn args(catalog: &Catalog, tool: &Tool, args: &Value) -> Map<String, Value> {
    catalog.toolbox.check_args(tool, args.as_object().unwrap()).unwrap()
}

pub(super) static NOBODY: BTreeSet<Role> = BTreeSet::new();

/// The next step of an approved design at stage 1, which nobody has approved yet.
pub(super) fn question<'a>(tool: &'a Tool, args: &'a Map<String, Value>) -> Question<'a> {
    Question {
        agent: Agent::Build,
        phase: Phase::Build,
        stage: 1,
        tool,
        args,
        on_contract: true,
        undo_of: None,
        recovery: false,
        window_open: false,
        approved_by: &NOBODY,
        changes: Changes::default(),
    }
}

/// Whether the build agent's call is inside the boundary of `spec`, through the whole ruling.
pub(super) fn inside(catalog: &Catalog, spec: &Spec, name: &str, call: &Value) -> Result<String, String> {
    let boundary = CompiledBoundary::compile(spec, catalog).unwrap();
    let tool = tool(catalog, name);
    let args = args(catalog, tool, call);
    let approved = BTreeSet::from([Role::Approver]);
    let ruling = rule(catalog, &boundary, &Question { approved_by: &approved, ..question(tool, &args) });
    match ruling.verdict {
        Verdict::Allow => Ok(ruling.grant.unwrap()),
        _ => Err(ruling.spoke.iter().map(|spoke| spoke.reason.clone()).collect::<Vec<_>>().join("; ")),
    }
}

/// Errors as `path: message` lines.
pub(super) fn lines(errors: &[SpecError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Asserts that some error stands at `path` and says `part`.
pub(super) fn assert_says(errors: &[SpecError], path: &str, part: &str) {
    let said = errors.iter().any(|error| error.path == path && error.message.contains(part));
    assert!(said, "nothing at `{path}` says `{part}`: {:#?}", lines(errors));
}

#[test]
fn digests_follow_what_they_are_of() {
    let (one, other) = (catalog(), catalog_with(&format!("{GUARDRAILS}\n// more"), STAGES));
    let (one, other) = (one.digests().unwrap(), other.digests().unwrap());
    assert_ne!(one.policies, other.policies);
    assert_eq!((one.tools, one.inventory, one.people), (other.tools, other.inventory, other.people));
    let read: CatalogDigests = serde_json::from_value(serde_json::to_value(one).unwrap()).unwrap();
    assert_eq!(read, one);
    assert_eq!(json!(one)["tools"], json!(one.tools.to_string()));
}
