//! The examples of guardrails and trust stages: a call in a few words, everything that is not said as harmless as it
//! can be. An example that names no tool is tried with the tools that are here, so that rules fit any workspace.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, Policy, PolicyId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{Agent, Format, Phase, ToolName, ValueSchema, ValueType, from_yaml},
    facts::{Inventory, InventoryKind, Role, Target},
    tool::{Effect, Tool, Toolbox},
};

use super::{
    decide::{Changes, Question},
    example::{Example, ExampleOutcome, failed, judge},
    file::RuleFile,
    nearest,
    request::{Asked, Grounds},
    schema::Lowered,
};

/// A call as an example says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    agent: Agent,
    effect: Option<Effect>,
    tool: Option<String>,
    args: Map<String, Value>,
    target: SaidTarget,
    /// As rules write it: `as-built`.
    phase: String,
    stage: u8,
    on_contract: bool,
    undo_of: Option<String>,
    recovery: bool,
    window_open: bool,
    approved_by: BTreeSet<Role>,
    simulated: Option<bool>,
    changes: Changes,
}

/// The next step of an approved design that nobody has approved by itself.
impl Default for Said {
    fn default() -> Self {
        Self {
            agent: Agent::Build,
            effect: None,
            tool: None,
            args: Map::new(),
            target: SaidTarget::default(),
            phase: Phase::Build.as_str().into(),
            stage: 1,
            on_contract: true,
            undo_of: None,
            recovery: false,
            window_open: false,
            approved_by: BTreeSet::new(),
            simulated: None,
            changes: Changes::default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SaidTarget {
    name: Option<String>,
    is: String,
    environment: String,
    tags: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Default for SaidTarget {
    fn default() -> Self {
        let (tags, groups) = (BTreeSet::new(), BTreeSet::new());
        Self { name: None, is: "switch".into(), environment: "lab".into(), tags, groups }
    }
}

/// Tries one example of a rule.
pub(super) fn try_call(
    file: &RuleFile,
    rule: &str,
    example: &Example,
    lowered: &Lowered,
    toolbox: &Toolbox,
) -> Result<(), ExampleOutcome> {
    let said: Said = from_yaml("", &example.text).map_err(|error| failed(error.message))?;
    let phase = Phase::ALL.into_iter().find(|phase| phase.as_str() == said.phase);
    let phase = phase.ok_or_else(|| {
        failed(format!(
            "there is no phase `{}`; the phases are {}",
            said.phase,
            Phase::ALL.map(Phase::as_str).join(", ")
        ))
    })?;
    let alone = file.alone(rule);
    let tools = match &said.tool {
        Some(name) => vec![named(name, &said, toolbox)?],
        None if !said.args.is_empty() => return Err(failed("`args` are of one tool; name the `tool` too")),
        None => alone
            .policy(&PolicyId::new(rule))
            .map(|policy| standing_for(policy, said.effect, lowered, toolbox))
            .unwrap_or_default(),
    };
    if tools.is_empty() {
        let effect = said.effect.map_or("", Effect::as_str);
        return Err(ExampleOutcome::Skipped {
            why: format!("no {effect} tool is here to try it with").replace("  ", " "),
        });
    }
    for tool in tools {
        let args = arguments(tool, &said, toolbox)?;
        let name = args.get(&tool.target).and_then(Value::as_str).unwrap_or_default().to_owned();
        let SaidTarget { is, environment, tags, groups, .. } = &said.target;
        let (is, environment, tags, groups) = (is.clone(), environment.clone(), tags.clone(), groups.clone());
        let target = Target { name, is, environment, tags, groups, below: false };
        let inventory = Inventory {
            kind: InventoryKind::Inventory,
            examples: Vec::new(),
            found_by: Vec::new(),
            targets: vec![target.clone()],
            findings: Vec::new(),
        };
        let grounds = Grounds { lowered, toolbox, inventory: &inventory, simulated: said.simulated, kept: None };
        let question = Question {
            agent: said.agent,
            phase,
            stage: said.stage,
            tool,
            args: &args,
            on_contract: said.on_contract,
            undo_of: said.undo_of.as_deref(),
            recovery: said.recovery,
            window_open: said.window_open,
            approved_by: &said.approved_by,
            changes: said.changes,
        };
        let asked = Asked::new(grounds, &question, &target).map_err(failed)?;
        let answer = asked.ask(&alone, &asked.whole().map_err(failed)?);
        judge(example, !answer.rules.is_empty(), &answer.failed, &format!(" with the tool `{}`", tool.name))?;
    }
    Ok(())
}

fn named<'a>(name: &str, said: &Said, toolbox: &'a Toolbox) -> Result<&'a Tool, ExampleOutcome> {
    let tool = name.parse().ok().and_then(|name: ToolName| toolbox.tool(&name));
    let tool = tool.ok_or_else(|| {
        let hint = nearest(name, toolbox.tools().map(|tool| tool.name.as_str()));
        failed(format!("there is no tool `{name}`{hint}"))
    })?;
    match said.effect.filter(|effect| *effect != tool.effect) {
        Some(effect) => Err(failed(format!("`{name}` is {}, not {}", tool.effect.as_str(), effect.as_str()))),
        None => Ok(tool),
    }
}

/// The tools that an example without a tool is tried with. Tools of one effect are alike to a rule that does not name
/// one of them (it cannot use their arguments), so one of each kind stands for the others.
fn standing_for<'a>(policy: &Policy, effect: Option<Effect>, lowered: &Lowered, toolbox: &'a Toolbox) -> Vec<&'a Tool> {
    let constraint = policy.action_constraint();
    let names = |tool: &Tool| {
        let uid = lowered.actions.get(&tool.name).map(|action| &action.uid);
        match &constraint {
            ActionConstraint::Any => false,
            ActionConstraint::Eq(named) => Some(named) == uid,
            ActionConstraint::In(named) => named.iter().any(|named| Some(named) == uid),
        }
    };
    let mut kinds = BTreeSet::new();
    toolbox
        .manifests()
        .iter()
        .flat_map(|manifest| manifest.tools.iter().map(move |tool| (tool, manifest.simulated)))
        .filter(|(tool, _)| effect.is_none_or(|effect| tool.effect == effect))
        .filter(|(tool, simulated)| kinds.insert((tool.effect, *simulated, names(tool))))
        .map(|(tool, _)| tool)
        .collect()
}

/// The arguments of an example, with a sample for each that the tool requires and the example leaves out.
fn arguments(tool: &Tool, said: &Said, toolbox: &Toolbox) -> Result<Map<String, Value>, ExampleOutcome> {
    let mut args = said.args.clone();
    for (name, schema) in &tool.args.properties {
        if *name == tool.target {
            let target = said.target.name.clone().map(Value::from);
            let target = target.unwrap_or_else(|| sample(schema, 0));
            args.entry(name.clone()).or_insert(target);
        } else if tool.args.required.contains(name) {
            args.entry(name.clone()).or_insert_with(|| sample(schema, 0));
        }
    }
    toolbox.check_args(tool, &args).map_err(|problem| failed(problem.to_string()))
}

/// A value that the schema accepts; another for each `nth`.
pub(super) fn sample(schema: &ValueSchema, nth: u64) -> Value {
    if let Some(choice) = usize::try_from(nth).ok().and_then(|nth| schema.choices.get(nth)) {
        return choice.clone();
    }
    match schema.kind {
        ValueType::Boolean => json!(nth % 2 == 1),
        ValueType::Integer => {
            let least = schema.minimum.unwrap_or_else(|| schema.maximum.map_or(1, |most| most.min(1)));
            json!(least.saturating_add(i64::try_from(nth).unwrap_or(0)))
        }
        ValueType::Array => {
            let items = schema.items.as_deref();
            let each = (0..schema.min_items.unwrap_or(0)).filter_map(|nth| Some(sample(items?, nth)));
            Value::Array(each.collect())
        }
        ValueType::Object => {
            let required = schema.required.iter();
            Value::Object(
                required.filter_map(|name| Some((name.clone(), sample(schema.properties.get(name)?, nth)))).collect(),
            )
        }
        ValueType::String => json!(match schema.format {
            Some(Format::Ip | Format::Ipv4) => format!("192.0.2.{}", 1 + nth % 254),
            Some(Format::Ipv6) => format!("2001:db8::{:x}", 1 + nth % 65_534),
            Some(Format::Cidr) => format!("192.0.{}.0/24", 2 + nth % 250),
            Some(Format::DnsName) => format!("a{nth}.example"),
            _ => format!("a{nth}"),
        }),
    }
}
