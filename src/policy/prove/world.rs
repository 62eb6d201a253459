//! What holds for every call that can be made, as conditions: a manifest's bounds, the targets that the inventory
//! has, and who calls when. Cedar's schema alone knows less, so a solver left to itself would answer with calls that
//! never reach a policy. Every condition here is one that the broker makes true, and never more: leaving one out
//! costs an answer, adding one too many would cost a proof.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    PolicySet,
    pst::{BinaryOp, Expr, Var},
};
use serde_json::{Value, json};

use crate::{
    artifact::{Agent, Format, Phase, ValueSchema, ValueType},
    facts::{Inventory, Role, Target},
    tool::{Effect, Field, Tool},
};

use super::super::{
    Catalog,
    decide::Changes,
    schema::{READERS, names_a_target},
    syntax::{
        Join, binary, context, context_of, given, if_then_else, is_empty, is_entity, joined, like, literal, long, not,
        of_resource, set, string, truth,
    },
};

/// The environment that guardrails know by name.
const PRODUCTION: &str = "production";

/// On whose behalf a call is made, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occasion {
    pub(super) agent: Agent,
    pub(super) phase: Phase,
    pub(super) on_contract: bool,
    pub(super) recovery: bool,
    pub(super) window_open: bool,
    pub(super) stage: u8,
}

impl Occasion {
    /// A step of an approved design.
    pub(super) fn step(window_open: bool) -> Self {
        Self { agent: Agent::Build, phase: Phase::Build, on_contract: true, recovery: false, window_open, stage: 1 }
    }

    /// An `always` step, which goes on after a window or a limit ends.
    pub(super) fn always_step() -> Self {
        Self { recovery: true, ..Self::step(false) }
    }

    /// Discovery, before anything is designed.
    pub(super) fn discovery() -> Self {
        Self {
            agent: Agent::Design,
            phase: Phase::Feasibility,
            on_contract: false,
            recovery: false,
            window_open: false,
            stage: 1,
        }
    }

    /// A read-back.
    pub(super) fn read_back() -> Self {
        Self { agent: Agent::Verifier, phase: Phase::Build, recovery: true, ..Self::discovery() }
    }

    /// How far changes reach where this call is the engagement's first, and no other engagement is under way.
    pub(super) fn changes(tool: &Tool, target: Option<&Target>) -> Changes {
        let targets = u32::from(tool.effect != Effect::Read);
        let production = target.is_some_and(|target| target.environment == PRODUCTION);
        Changes { targets, production_targets: if production { targets } else { 0 }, elsewhere: 0 }
    }

    /// The occasion as conditions; everyone has approved whatever they could.
    pub(super) fn conditions(self, tool: &Tool) -> Result<Vec<Expr>, String> {
        let is = |name: &str, value: bool| if value { context(name) } else { not(context(name)) };
        let everyone = Role::ALL.map(|role| string(role.as_str())).into();
        let count = |name: &str, count: u32| binary(BinaryOp::Eq, context_of("changes", name), long(count.into()));
        let first = Self::changes(tool, None);
        let in_production = binary(BinaryOp::Eq, of_resource("environment"), string(PRODUCTION));
        let mut conditions = called_by(self.agent)?;
        conditions.extend([
            binary(BinaryOp::Eq, context("phase"), string(self.phase.as_str())),
            is("on_contract", self.on_contract),
            is("recovery", self.recovery),
            is("window_open", self.window_open),
            binary(BinaryOp::Eq, context("approved_by"), set(everyone)),
            binary(BinaryOp::Eq, context("stage"), long(self.stage.into())),
            count("targets", first.targets),
            if_then_else(in_production, count("production_targets", first.targets), count("production_targets", 0)),
            count("elsewhere", first.elsewhere),
        ]);
        Ok(conditions)
    }
}

/// That an agent calls, for its own sake and not to take something back.
pub(super) fn called_by(agent: Agent) -> Result<Vec<Expr>, String> {
    let reader = is_entity(Var::Principal, BinaryOp::In, "AgentGroup", READERS)?;
    let reads = matches!(agent, Agent::Design | Agent::Verifier);
    Ok(vec![
        is_entity(Var::Principal, BinaryOp::Eq, "Agent", agent.as_str())?,
        if reads { reader } else { not(reader) },
        binary(BinaryOp::Eq, context("undo_of"), string("")),
    ])
}

/// What holds for every call of a tool that reaches a policy.
pub(super) fn world(catalog: &Catalog, tool: &Tool) -> Result<Vec<Expr>, String> {
    let simulated = catalog.toolbox.manifest_of(&tool.name).is_some_and(|manifest| manifest.simulated);
    let mut holds = vec![
        if simulated { context("simulated") } else { not(context("simulated")) },
        binary(BinaryOp::GreaterEq, context("stage"), long(1)),
        binary(BinaryOp::LessEq, context("stage"), long(3)),
        target(catalog, tool)?,
    ];
    for name in ["targets", "production_targets", "elsewhere"] {
        holds.push(binary(BinaryOp::GreaterEq, context_of("changes", name), long(0)));
        holds.push(binary(BinaryOp::LessEq, context_of("changes", name), long(u32::MAX.into())));
    }
    for Field { path, schema, always_given } in tool.args.fields() {
        let typed = joined(Join::All, argument(&path, schema)?);
        holds.push(if always_given { typed } else { if_then_else(given(&path), typed, absent(&path, schema)) });
        if names_a_target(tool, &path, schema) && *path != *tool.target {
            let known = groups(&catalog.inventory, &path, schema)?;
            let none = is_empty(context_of("groups", &path));
            holds.push(if always_given { known } else { if_then_else(given(&path), known, none) });
        }
    }
    Ok(holds)
}

/// What the manifest and the normal form say of an argument that is given.
fn argument(name: &str, schema: &ValueSchema) -> Result<Vec<Expr>, String> {
    let value = || context_of("args", name);
    let mut holds = Vec::new();
    let (least, most) = integers(schema);
    holds.extend(least.map(|least| binary(BinaryOp::GreaterEq, value(), long(least))));
    holds.extend(most.map(|most| binary(BinaryOp::LessEq, value(), long(most))));
    if !schema.choices.is_empty() && schema.kind != ValueType::Array {
        let choices = schema.choices.iter().map(|choice| literal(schema, choice)).collect::<Result<_, _>>()?;
        holds.push(binary(BinaryOp::Contains, set(choices), value()));
    }
    if schema.kind == ValueType::Array {
        let count = || context_of("counts", name);
        let bound = |bound: Option<u64>, other: i64| bound.and_then(|n| i64::try_from(n).ok()).unwrap_or(other);
        holds.push(binary(BinaryOp::GreaterEq, count(), long(bound(schema.min_items, 0))));
        holds.push(binary(BinaryOp::LessEq, count(), long(bound(schema.max_items, i64::from(u32::MAX)))));
        holds.push(binary(BinaryOp::Eq, binary(BinaryOp::Eq, count(), long(0)), is_empty(value())));
    }
    if schema.kind == ValueType::String && never_empty(schema) {
        holds.push(not(binary(BinaryOp::Eq, value(), string(""))));
    }
    if schema.kind == ValueType::String && schema.format == Some(Format::DnsLabel) {
        holds.push(not(like(value(), "*.*")));
    }
    Ok(holds)
}

fn never_empty(schema: &ValueSchema) -> bool {
    let names = [Format::DnsLabel, Format::DnsName, Format::Interface, Format::Target, Format::Name];
    schema.format.is_some_and(|format| names.contains(&format))
}

/// What holds where an argument is left out.
fn absent(name: &str, schema: &ValueSchema) -> Expr {
    match schema.kind {
        ValueType::Array => binary(BinaryOp::Eq, context_of("counts", name), long(0)),
        _ => truth(true),
    }
}

/// The least and the largest value that an integer argument may have, where there is one.
pub(super) fn integers(schema: &ValueSchema) -> (Option<i64>, Option<i64>) {
    if schema.kind != ValueType::Integer {
        return (None, None);
    }
    let vlan = schema.format == Some(Format::VlanId);
    let least = [schema.minimum, vlan.then_some(1)].into_iter().flatten().max();
    (least, [schema.maximum, vlan.then_some(4094)].into_iter().flatten().min())
}

/// The targets of the inventory that an argument can name, in the form in which arguments are compared.
pub(super) fn nameable<'a>(inventory: &'a Inventory, schema: &ValueSchema) -> Vec<&'a Target> {
    let can = |target: &&Target| {
        let name = json!(target.name);
        schema.normalise(&name) == Ok(name)
    };
    inventory.targets.iter().filter(can).collect()
}

/// That the argument names one of these targets.
pub(super) fn names_one(name: &str, schema: &ValueSchema, targets: &[&Target]) -> Result<Expr, String> {
    let names: Vec<Expr> =
        targets.iter().map(|target| literal(schema, &Value::from(target.name.as_str()))).collect::<Result<_, _>>()?;
    Ok(if names.is_empty() { truth(false) } else { binary(BinaryOp::Contains, set(names), context_of("args", name)) })
}

/// That the call's target is in the inventory and is what the inventory says. Targets that differ in nothing but
/// their name are told once; a name by itself matters only to rules that say it.
fn target(catalog: &Catalog, tool: &Tool) -> Result<Expr, String> {
    let name = &tool.target;
    let schema = tool.args.properties.get(name).ok_or("the tool has no target")?;
    let targets = nameable(&catalog.inventory, schema);
    let mut alike: BTreeMap<_, Vec<&Target>> = BTreeMap::new();
    for target in &targets {
        let what = (&target.environment, &target.is, &target.tags, &target.groups);
        alike.entry(what).or_default().push(target);
    }
    let mut kinds = Vec::new();
    for ((environment, is, tags, groups), targets) in alike {
        let mut holds = vec![
            names_one(name, schema, &targets)?,
            binary(BinaryOp::Eq, of_resource("environment"), string(environment)),
            binary(BinaryOp::Eq, of_resource("is"), string(is)),
            texts(of_resource("tags"), tags),
            texts(of_resource("groups"), groups),
        ];
        if names_a_target(tool, name, schema) {
            holds.push(texts(context_of("groups", name), groups));
        }
        kinds.push(joined(Join::All, holds));
    }
    let mut holds = vec![joined(Join::Any, kinds)];
    let rules = catalog.policies.about(&tool.name);
    for said in rules.iter().flat_map(|rules| [rules.guardrails.set(), rules.stages.set()]).flat_map(said_targets) {
        let same = match targets.iter().find(|target| target.name == said) {
            Some(target) => {
                binary(BinaryOp::Eq, context_of("args", name), literal(schema, &Value::from(target.name.as_str()))?)
            }
            None => truth(false),
        };
        holds.push(binary(BinaryOp::Eq, is_entity(Var::Resource, BinaryOp::Eq, "Target", &said)?, same));
    }
    Ok(joined(Join::All, holds))
}

/// The targets that policies name.
fn said_targets(policies: &PolicySet) -> BTreeSet<String> {
    let literals = policies.policies().flat_map(cedar_policy::Policy::entity_literals);
    let targets = literals.filter(|uid| uid.type_name().basename() == "Target");
    targets.map(|uid| uid.id().unescaped().to_owned()).collect()
}

/// That `context.groups.NAME` is what the inventory says of the argument's value.
fn groups(inventory: &Inventory, name: &str, schema: &ValueSchema) -> Result<Expr, String> {
    let value = || context_of("groups", name);
    let mut alike: BTreeMap<&BTreeSet<String>, Vec<&Target>> = BTreeMap::new();
    for target in nameable(inventory, schema) {
        alike.entry(&target.groups).or_default().push(target);
    }
    let mut otherwise = is_empty(value());
    for (groups, targets) in alike {
        otherwise = if_then_else(names_one(name, schema, &targets)?, texts(value(), groups), otherwise);
    }
    Ok(otherwise)
}

/// That a set of texts is this one; Cedar gives an empty set no type, so that one is asked for otherwise.
fn texts(value: Expr, texts: &BTreeSet<String>) -> Expr {
    if texts.is_empty() {
        return is_empty(value);
    }
    binary(BinaryOp::Eq, value, set(texts.iter().map(|text| string(text)).collect()))
}
