//! What the shipped manifest and blueprints say, held against what the lab answers: states before and after each
//! write, undo, conditions, steps and checks. Only these tests know both sides; nothing that ships does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    network::Network,
    state::{Call, Outcome, State},
    tool::{self, TOOLS},
};
use crate::{
    artifact::{Blueprint, Constraint, ReadCall, Scope, Spec, ToolName, fill_args, from_yaml},
    tool::{Effect, Pins, Tool, Toolbox},
};

/// The lab behind the checks that the shipped manifest asks for.
struct Lab {
    toolbox: Toolbox,
    state: State,
}

impl Lab {
    fn new() -> Self {
        let manifest = from_yaml("lab.yaml", include_str!("../../tools/lab.yaml")).unwrap();
        let toolbox = Toolbox::new(vec![manifest], Pins::default()).unwrap();
        Self { toolbox, state: State::initial() }
    }

    fn tool(&self, name: &ToolName) -> Tool {
        self.toolbox.tool(name).unwrap().clone()
    }

    /// Arguments as the broker sends them.
    fn args(&self, name: &ToolName, args: Map<String, Value>) -> Map<String, Value> {
        self.toolbox.check_args(&self.tool(name), &args).unwrap_or_else(|problem| panic!("{problem}"))
    }

    fn call(&mut self, name: &ToolName, args: Map<String, Value>) -> Result<Value, String> {
        let args = self.args(name, args);
        let tool = tool::Tool::named(name.as_str()).unwrap();
        let at = "2026-12-01T22:00:00Z".to_owned();
        match self.state.decide(&Call { tool, args: &args, id: None, at }, false) {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Refuse(message) => Err(message),
            other => panic!("{other:?}"),
        }
    }

    /// The state that a write of `tool` with `args` changes, as the manifest says to read it.
    fn state_of(&mut self, tool: &Tool, args: &Value) -> Value {
        let state = tool.state.as_ref().unwrap();
        let reading = fill_args(&state.args, &Scope::new().with("args", args)).unwrap();
        let result = self.call(&state.tool, reading).unwrap();
        state.pick.evaluate(&Scope::new().with("args", args).with("result", &result)).unwrap()
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn the_manifest_takes_nothing_that_the_lab_does_not_take() {
    let lab = Lab::new();
    let every = json!({"switch": "sw01", "id": 30, "name": "lab", "port": "Gi1/0/1", "vlan": 10,
        "zone": "corp.example.com", "address": "192.0.2.9", "prefix": "192.0.2.0/24"});
    assert!(lab.toolbox.tools().map(|tool| tool.name.as_str()).eq(TOOLS.iter().map(|tool| tool.name)));
    for tool in TOOLS {
        let said = lab.tool(&tool.name.parse().unwrap());
        let schema = Value::Object(tool.input_schema());
        let args = said.args.required.iter().map(|name| (name.clone(), every[name.as_str()].clone())).collect();
        let args = json!(lab.args(&said.name, args));
        assert!(jsonschema::is_valid(&schema, &args), "{}: {args}", tool.name);
        let names: BTreeSet<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert!(said.args.properties.keys().eq(names), "{}", tool.name);
        assert_eq!(said.effect == Effect::Destructive, tool.destructive, "{}", tool.name);
        let shown_by = said.state.map(|state| state.tool.to_string());
        let expected = tool.writes().then(|| tool.shown_by.to_owned());
        assert_eq!(shown_by, expected, "{}", tool.name);
    }
}

#[test]
fn the_undo_of_an_allocation_releases_no_address_but_its_own() {
    let lab = Lab::new();
    let undo = lab.tool(&"ipam.address.allocate".parse().unwrap()).undo.unwrap();
    let (args, before) = (json!({"prefix": "192.0.2.0/24", "name": "web07"}), json!(["192.0.2.9"]));
    let released = |left: Value, result: Option<&str>| {
        let result = result.map(|address| json!({"address": address}));
        let scope = Scope::new().with("args", &args).with("before", &before).with("left", &left);
        let scope = result.iter().fold(scope, |scope, result| scope.with("result", result));
        Some(fill_args(&undo.args, &scope).ok()?["address"].as_str().unwrap().to_owned())
    };
    let one = json!(["192.0.2.3", "192.0.2.9"]);
    for answered in [Some("192.0.2.3"), None] {
        assert_eq!(released(one.clone(), answered).as_deref(), Some("192.0.2.3"), "{answered:?}");
    }
    // Somebody else had one for the same name just then.
    let two = json!(["192.0.2.3", "192.0.2.4", "192.0.2.9"]);
    assert_eq!(released(two.clone(), Some("192.0.2.4")).as_deref(), Some("192.0.2.4"));
    for nothing_tells in [None, Some("192.0.2.9"), Some("192.0.2.1")] {
        assert_eq!(released(two.clone(), nothing_tells), None, "{nothing_tells:?}");
    }
}

#[test]
fn a_write_leaves_what_the_manifest_says_and_its_undo_takes_it_back() {
    let zone = "corp.example.com";
    let cases = [
        ("vlan.create", json!({"switch": "sw01", "id": 120, "name": "guest"}), json!(null)),
        ("vlan.rename", json!({"switch": "sw01", "id": 20, "name": "phones"}), json!({"id": 20, "name": "voice"})),
        ("vlan.delete", json!({"switch": "sw01", "id": 20}), json!({"id": 20, "name": "voice"})),
        (
            "port.vlan.set",
            json!({"switch": "sw01", "port": "Gi1/0/1", "vlan": 20}),
            json!({"port": "Gi1/0/1", "vlan": 10}),
        ),
        ("dns.record.create", json!({"zone": zone, "name": "web01", "address": "192.0.2.10"}), json!(null)),
        ("dns.record.create", json!({"zone": zone, "name": "www", "address": "192.0.2.10", "ttl": 60}), json!(null)),
        (
            "dns.record.delete",
            json!({"zone": zone, "name": "www", "address": "192.0.2.7"}),
            json!({"name": "www", "address": "192.0.2.7", "ttl": 3600}),
        ),
        (
            "ipam.address.release",
            json!({"prefix": "192.0.2.0/24", "address": "192.0.2.7"}),
            json!({"name": "www", "address": "192.0.2.7"}),
        ),
        ("ipam.address.allocate", json!({"prefix": "192.0.2.0/24", "name": "web01"}), json!([])),
    ];
    for (name, args, before) in cases {
        let mut lab = Lab::new();
        let tool = lab.tool(&name.parse().unwrap());
        let args = lab.args(&tool.name, object(args));
        let (given, args) = (args.clone(), json!(args));
        let scope = Scope::new().with("args", &args).with("before", &before);
        if tool.state.is_some() {
            assert_eq!(lab.state_of(&tool, &args), before, "{name}");
        }
        let result = lab.call(&tool.name, given).unwrap();
        assert_ne!(lab.state.network, Network::initial(), "{name}");
        if let Some(after) = &tool.after {
            let after = after.evaluate(&scope).unwrap();
            assert_ne!(after, before, "{name}");
            assert_eq!(lab.state_of(&tool, &args), after, "{name}");
        }
        if let Some(undo) = &tool.undo {
            let left = if tool.state.is_some() { lab.state_of(&tool, &args) } else { Value::Null };
            let scope = scope.with("result", &result).with("left", &left);
            lab.call(&undo.tool, fill_args(&undo.args, &scope).unwrap()).unwrap();
            assert_eq!(lab.state.network, Network::initial(), "{name}");
        }
    }
}

#[test]
fn a_model_sees_all_that_the_lab_answers_and_a_field_it_did_not_have_is_left_out() {
    let every = json!({"switch": "sw01", "id": 30, "name": "lab", "port": "Gi1/0/1", "vlan": 10,
        "zone": "corp.example.com", "address": "192.0.2.9", "prefix": "192.0.2.0/24"});
    let mut lab = Lab::new();
    for tool in TOOLS {
        let mut said = lab.tool(&tool.name.parse().unwrap());
        let mut given = every.clone();
        match tool.name {
            "vlan.rename" => given["id"] = json!(20),
            "vlan.delete" => given["id"] = json!(30),
            "ipam.address.release" => given["address"] = json!("192.0.2.7"),
            _ => {}
        }
        let args = said.args.required.iter().map(|name| (name.clone(), given[name.as_str()].clone())).collect();
        let mut answer = lab.call(&said.name, args).unwrap_or_else(|error| panic!("{}: {error}", tool.name));
        assert_eq!(crate::tool::shown(&said, &answer), json!({"result": answer}), "{}", tool.name);
        let before = answer.clone();
        answer["running_config"] = json!("enable secret 5 $1$mERr$hx5rVt7rPNoS4wqbXKX7m0");
        let left_out = json!({"result": before, "left_out": {"/…": 1}});
        assert_eq!(crate::tool::shown(&said, &answer), left_out, "{}", tool.name);
        said.output.clear();
        assert_eq!(crate::tool::shown(&said, &answer), json!({"left_out": {"all of it": 1}}), "{}", tool.name);
    }
}

#[test]
fn a_write_that_was_done_halfway_or_not_at_all_does_not_look_done() {
    for (name, args) in [
        ("vlan.create", json!({"switch": "sw01", "id": 120, "name": "guest"})),
        ("vlan.rename", json!({"switch": "sw01", "id": 20, "name": "phones"})),
        ("vlan.delete", json!({"switch": "sw01", "id": 20})),
        ("port.vlan.set", json!({"switch": "sw01", "port": "Gi1/0/1", "vlan": 20})),
        ("dns.record.create", json!({"zone": "corp.example.com", "name": "web01", "address": "192.0.2.10"})),
        ("dns.record.delete", json!({"zone": "corp.example.com", "name": "www", "address": "192.0.2.7"})),
        ("ipam.address.release", json!({"prefix": "192.0.2.0/24", "address": "192.0.2.7"})),
    ] {
        for fault in ["lie", "half"] {
            let mut lab = Lab::new();
            lab.state.set_fault(format!("{fault}:{name}").parse().unwrap());
            let tool = lab.tool(&name.parse().unwrap());
            let args = lab.args(&tool.name, object(args.clone()));
            let (given, args) = (args.clone(), json!(args));
            let before = lab.state_of(&tool, &args);
            lab.call(&tool.name, given).unwrap();
            let after = tool.after.as_ref().unwrap();
            let after = after.evaluate(&Scope::new().with("args", &args).with("before", &before)).unwrap();
            assert_ne!(lab.state_of(&tool, &args), after, "{fault} {name}");
        }
    }
}

/// A blueprint at work: its design, run against the lab step by step, without anything that governs it.
struct Run {
    lab: Lab,
    blueprint: Blueprint,
    spec: Spec,
    inputs: Value,
    facts: Value,
}

impl Run {
    fn new(blueprint: &str, given: Value) -> Self {
        let text = match blueprint {
            "vlan" => include_str!("../../prompts/blueprints/vlan.yaml"),
            "dns" => include_str!("../../prompts/blueprints/dns.yaml"),
            _ => include_str!("../../prompts/blueprints/address.yaml"),
        };
        let blueprint: Blueprint = from_yaml(blueprint, text).unwrap();
        let inputs = blueprint.check_inputs(&object(given)).unwrap();
        let spec = blueprint.draft_spec(&inputs).unwrap();
        Self { lab: Lab::new(), blueprint, spec, inputs: Value::Object(inputs), facts: json!({}) }
    }

    /// Makes the design's reads and answers what stands in the way, if anything does.
    fn discover(&mut self) -> Vec<Value> {
        let mut facts = Map::new();
        for read in self.blueprint.design.discover.clone() {
            let scope = Scope::new().with("inputs", &self.inputs);
            let fact = match &read.for_each {
                None => self.lab.call(&read.tool, fill_args(&read.args, &scope).unwrap()).unwrap(),
                Some(each) => {
                    let items = each.items.evaluate(&scope).unwrap();
                    let items = items.as_array().unwrap();
                    assert!(items.len() <= each.at_most as usize);
                    let one = |item: &Value| {
                        let args = fill_args(&read.args, &scope.clone().with("item", item)).unwrap();
                        (item.as_str().unwrap().to_owned(), self.lab.call(&read.tool, args).unwrap())
                    };
                    items.iter().map(one).collect::<Map<_, _>>().into()
                }
            };
            facts.insert(read.id.to_string(), fact);
        }
        self.facts = Value::Object(facts);
        let scope = Scope::new().with("inputs", &self.inputs).with("facts", &self.facts);
        let conditions = self.blueprint.design.feasible_when.iter();
        let broken = conditions.filter(|condition| !condition.expect.holds(&scope).unwrap());
        broken.map(|one| crate::artifact::fill(&one.otherwise, &["inputs", "facts"], &scope).unwrap()).collect()
    }

    /// Runs the steps in order; the answer is whether each step's own `verify` held.
    fn build(&mut self) -> Result<bool, String> {
        let mut steps = json!({});
        let mut verified = true;
        for step in self.blueprint.design.steps.clone() {
            let scope = Scope::new().with("inputs", &self.inputs).with("facts", &self.facts).with("steps", &steps);
            let items = match &step.for_each {
                Some(each) => each.items.evaluate(&scope).unwrap().as_array().unwrap().clone(),
                None => vec![Value::Null],
            };
            let mut result = Value::Null;
            for item in &items {
                let scope = scope.clone().with("item", item);
                let args = self.lab.args(&step.tool, fill_args(&step.args, &scope).unwrap());
                assert!(self.grants(&step.tool, &args), "{} {args:?}", step.id);
                result = self.lab.call(&step.tool, args.clone())?;
                if let Some(verify) = &step.verify {
                    let args = Value::Object(args);
                    let read = self.lab.call(&verify.tool, fill_args(&verify.args, &scope).unwrap())?;
                    verified &= verify.expect.holds(&Scope::new().with("args", &args).with("result", &read)).unwrap();
                }
            }
            steps[step.id.as_str()] = json!({"result": result});
        }
        Ok(verified)
    }

    /// Whether a build grant covers the call, as far as shipped blueprints constrain arguments.
    fn grants(&self, tool: &ToolName, args: &Map<String, Value>) -> bool {
        let fits = |constraint: &Constraint, value: &Value| {
            constraint.is.as_ref().is_none_or(|is| is == value)
                && constraint.one_of.as_ref().is_none_or(|choices| choices.contains(value))
                && constraint.in_range.is_none_or(|block| {
                    value.as_str().unwrap().parse::<std::net::IpAddr>().is_ok_and(|address| block.contains(&address))
                })
        };
        let grants = self.spec.boundary.build.iter().filter(|grant| grant.tool == *tool);
        grants.into_iter().any(|grant| args.iter().all(|(name, value)| fits(&grant.constraints[name], value)))
    }

    /// Whether each acceptance check holds: `(id, holds)`.
    fn accept(&mut self) -> BTreeMap<String, bool> {
        let read = |lab: &mut Lab, call: &ReadCall, scope: &Scope<'_>| {
            let args = call.fill(scope).unwrap();
            lab.call(&call.tool, args).unwrap()
        };
        let mut held = BTreeMap::new();
        for check in &self.spec.acceptance {
            let all = check.items().iter().all(|item| {
                let scope = Scope::new().with("inputs", &self.inputs).with("item", item);
                let result = read(&mut self.lab, &check.check, &scope);
                check.expect.holds(&scope.with("result", &result)).unwrap()
            });
            held.insert(check.id.clone(), all);
        }
        held
    }
}

fn examples() -> [(&'static str, Value); 3] {
    [
        ("vlan", json!({"id": 120, "name": "guest"})),
        ("dns", json!({"name": "web01", "address": "192.0.2.10", "ttl": 300})),
        ("address", json!({"name": "web01"})),
    ]
}

#[test]
fn a_blueprint_changes_what_it_says_and_its_checks_tell() {
    for (name, given) in examples() {
        let mut run = Run::new(name, given);
        assert_eq!(run.discover(), Vec::<Value>::new(), "{name}");
        assert_eq!(run.lab.state.network, Network::initial(), "{name}: discovery changed something");
        let invariant = |run: &Run, id: &str| run.spec.acceptance.iter().any(|check| check.id == id && check.invariant);
        for (id, holds) in run.accept() {
            assert_eq!(holds, invariant(&run, &id), "{name} {id} before the build");
        }
        for check in &run.spec.acceptance {
            let empty = json!(run.lab.tool(&check.check.tool).empty.unwrap());
            let item = json!("sw01");
            let scope = Scope::new().with("inputs", &run.inputs).with("item", &item).with("result", &empty);
            assert_eq!(check.expect.holds(&scope), Ok(false), "{name} {} of an empty answer", check.id);
        }
        assert_eq!(run.build(), Ok(true), "{name}");
        assert!(run.accept().values().all(|holds| *holds), "{name}: {:?}", run.accept());
    }
}

#[test]
fn what_the_blueprints_leave_in_the_lab_is_what_was_asked_for() {
    let mut runs = examples().map(|(name, given)| Run::new(name, given));
    for run in &mut runs {
        run.build().unwrap();
    }
    let [vlan, dns, address] = runs.map(|run| run.lab.state.network);
    let mut expected = Network::initial();
    expected.switches.values_mut().for_each(|switch| assert_eq!(switch.vlans.insert(120, "guest".into()), None));
    assert_eq!(vlan, expected);
    let record = |network: &Network| {
        let mut records = network.zones["corp.example.com"].iter().filter(|record| record.name == "web01");
        let record = records.next().map(|record| (record.address.to_string(), record.ttl));
        assert!(records.next().is_none());
        record
    };
    assert_eq!(record(&dns), Some(("192.0.2.10".into(), 300)));
    assert_eq!(dns.prefixes, Network::initial().prefixes);
    assert_eq!(record(&address), Some(("192.0.2.3".into(), 3600)));
    let taken = &address.prefixes["192.0.2.0/24"];
    assert_eq!(taken[&"192.0.2.3".parse().unwrap()], "web01");
    assert_eq!(taken.len(), Network::initial().prefixes["192.0.2.0/24"].len() + 1);
}

#[test]
fn a_network_that_says_done_and_did_not_is_not_believed() {
    for (name, given) in examples() {
        let tools: Vec<ToolName> =
            Run::new(name, given.clone()).blueprint.design.steps.iter().map(|step| step.tool.clone()).collect();
        for tool in tools {
            for fault in ["lie", "half"] {
                let mut run = Run::new(name, given.clone());
                run.lab.state.set_fault(format!("{fault}:{tool},times=1").parse().unwrap());
                run.discover();
                let verified = run.build().unwrap();
                let accepted = run.accept().values().all(|holds| *holds);
                assert!(!accepted, "{name}: {fault} of {tool}");
                assert_eq!(verified, tool.as_str() != "ipam.address.allocate", "{name}: {fault} of {tool}");
            }
        }
    }
}

#[test]
fn what_stands_in_the_way_is_said() {
    let zone = "corp.example.com";
    let cases = [
        ("vlan", "vlan.create", json!({"switch": "sw03", "id": 120, "name": "guest"}), vec![]),
        (
            "vlan",
            "vlan.create",
            json!({"switch": "sw03", "id": 120, "name": "printers"}),
            vec!["the id or the name is taken: sw03 has VLAN 120 printers"],
        ),
        (
            "vlan",
            "vlan.create",
            json!({"switch": "sw01", "id": 121, "name": "guest"}),
            vec!["the id or the name is taken: sw01 has VLAN 121 guest"],
        ),
        (
            "dns",
            "dns.record.create",
            json!({"zone": zone, "name": "web01", "address": "192.0.2.10", "ttl": 300}),
            vec![],
        ),
        (
            "dns",
            "dns.record.create",
            json!({"zone": zone, "name": "web01", "address": "192.0.2.11", "ttl": 300}),
            vec!["the name is taken: web01 resolves to 192.0.2.11 with a TTL of 300 seconds"],
        ),
        (
            "dns",
            "dns.record.create",
            json!({"zone": zone, "name": "web01", "address": "192.0.2.10", "ttl": 60}),
            vec!["the name is taken: web01 resolves to 192.0.2.10 with a TTL of 60 seconds"],
        ),
        (
            "address",
            "dns.record.create",
            json!({"zone": zone, "name": "web01", "address": "192.0.2.99"}),
            vec!["the name is published already: web01 resolves to 192.0.2.99"],
        ),
        (
            "address",
            "ipam.address.allocate",
            json!({"prefix": "192.0.2.0/24", "name": "web01"}),
            vec!["the name has an address already: 192.0.2.3"],
        ),
    ];
    for (name, tool, args, said) in cases {
        let (_, given) = examples().into_iter().find(|(example, _)| *example == name).unwrap();
        let mut run = Run::new(name, given);
        run.lab.call(&tool.parse().unwrap(), object(args)).unwrap();
        assert_eq!(run.discover(), said, "{name}");
    }
    let mut full = Run::new("address", json!({"name": "web01"}));
    for _ in 0..250 {
        let args = json!({"prefix": "192.0.2.0/24", "name": "filler"});
        full.lab.call(&"ipam.address.allocate".parse().unwrap(), object(args)).unwrap();
    }
    assert_eq!(full.discover(), ["192.0.2.0/24 has no free address"]);
}

#[test]
fn a_switch_that_has_the_vlan_needs_no_change() {
    let mut run = Run::new("vlan", json!({"id": 120, "name": "guest"}));
    let args = json!({"switch": "sw03", "id": 120, "name": "guest"});
    let create = run.lab.tool(&"vlan.create".parse().unwrap());
    run.lab.call(&create.name, object(args.clone())).unwrap();
    assert_eq!(run.discover(), Vec::<Value>::new());
    assert!(!run.accept()["A1"], "three switches are left to do");
    let before = run.lab.state_of(&create, &args);
    let after = create.after.unwrap().evaluate(&Scope::new().with("args", &args).with("before", &before)).unwrap();
    assert_eq!(before, after);
}
