//! The facts that a gate is decided on, computed from a spec or a flow and the inventory.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    artifact::{AutomationFlow, Constraint, FlowNode, Spec, ToolName, ValueSchema},
    flow::brings_back,
    tool::{Effect, Toolbox},
};

use super::inventory::Inventory;

/// What the program computed about an engagement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The environments of the targets.
    pub environments: BTreeSet<String>,
    /// The targets that the boundary reaches, by name.
    pub targets: BTreeSet<String>,
    /// Whether some grant reaches targets that cannot be listed.
    pub unlisted_targets: bool,
    /// How many targets reads may add that are not known yet; left out where none may.
    #[serde(default, skip_serializing_if = "nothing")]
    pub may_find: u64,
    /// Whether every tool that may write only simulates.
    pub simulated: bool,
    /// Calls that change something: the most that the boundary allows, or those of the flow.
    pub writes: Option<u64>,
    /// Calls among them that are destructive.
    pub destructive: u64,
    /// Tools among them that cannot be undone.
    pub irreversible: BTreeSet<String>,
    /// The risk that follows from all of this.
    pub risk: Risk,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn nothing(n: &u64) -> bool {
    *n == 0
}

/// How much could go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Nothing is changed.
    None,
    /// A few undoable changes.
    Low,
    /// Many targets, or targets that cannot be listed.
    Medium,
    /// Something destructive or irreversible.
    High,
}

/// More targets than this are not a small change.
const FEW_TARGETS: u64 = 10;

/// As much of a tool as facts follow from.
#[derive(Clone, Copy, Debug)]
pub struct ToolFacts<'a> {
    /// What it does.
    pub effect: Effect,
    /// The argument that names its target.
    pub target: &'a str,
    /// Which names it takes, and how they are spelled.
    pub names: Option<&'a ValueSchema>,
    /// Whether what it does cannot be taken back.
    pub irreversible: bool,
    /// Whether its server only simulates.
    pub simulated: bool,
}

fn of_toolbox<'a>(toolbox: &'a Toolbox, name: &ToolName) -> Option<ToolFacts<'a>> {
    let tool = toolbox.tool(name)?;
    Some(ToolFacts {
        effect: tool.effect,
        target: &tool.target,
        names: tool.args.properties.get(&tool.target),
        irreversible: tool.irreversible(),
        simulated: toolbox.manifest_of(name).is_some_and(|manifest| manifest.simulated),
    })
}

/// The facts of a spec: what its boundary could reach at most.
pub fn spec_facts(spec: &Spec, toolbox: &Toolbox, inventory: &Inventory) -> Facts {
    let mut facts = listed_facts(spec, &|name| of_toolbox(toolbox, name), inventory);
    // What may still be found counts as the worst that it may be.
    let mut worst = BTreeSet::new();
    for by in inventory.open_finders(spec, toolbox) {
        facts.may_find += u64::from(by.at_most);
        worst.insert(by.within.environment.clone());
    }
    facts.risk = risk(&facts);
    facts.environments.append(&mut worst);
    facts
}

/// The same without what reads may still find, from as much of the tools as facts follow from.
pub fn listed_facts<'a>(
    spec: &Spec,
    tool: &dyn Fn(&ToolName) -> Option<ToolFacts<'a>>,
    inventory: &Inventory,
) -> Facts {
    let mut facts = empty();
    let mut writes = Some(0u64);
    for grant in &spec.boundary.build {
        let Some(tool) = tool(&grant.tool) else {
            facts.simulated = false;
            continue;
        };
        facts.simulated &= tool.simulated;
        reach(&mut facts, grant.constraints.get(tool.target), &tool, inventory);
        if tool.effect == Effect::Read {
            continue;
        }
        writes = writes.zip(grant.at_most).map(|(sum, most)| sum + u64::from(most));
        if tool.effect == Effect::Destructive {
            facts.destructive += grant.at_most.map_or(1, u64::from);
        }
        if tool.irreversible {
            facts.irreversible.insert(grant.tool.to_string());
        }
    }
    // What is only read is reached too: its environment and its tags count as those of what is changed.
    for grant in &spec.boundary.discover {
        let Some(tool) = tool(&grant.tool) else { continue };
        facts.simulated &= tool.simulated;
        reach(&mut facts, grant.constraints.get(tool.target), &tool, inventory);
    }
    facts.writes = writes;
    close(facts, inventory)
}

/// The facts of a flow: what it will do.
pub fn with_flow(spec: &Facts, flow: &AutomationFlow, toolbox: &Toolbox, inventory: &Inventory) -> Facts {
    flow_facts(spec, flow, &|name| of_toolbox(toolbox, name), inventory)
}

/// The same from as much of the tools as facts follow from.
pub fn flow_facts<'a>(
    spec: &Facts,
    flow: &AutomationFlow,
    tool: &dyn Fn(&ToolName) -> Option<ToolFacts<'a>>,
    inventory: &Inventory,
) -> Facts {
    let mut facts = empty();
    facts.simulated = spec.simulated;
    let mut writes = 0;
    for node in &flow.nodes {
        match &node.target {
            Some(target) => {
                facts.targets.insert(target.clone());
            }
            None => facts.unlisted_targets = true,
        }
        let Some(tool) = tool(&node.step.tool) else { continue };
        if tool.effect == Effect::Read || node.unchanged() {
            continue;
        }
        writes += 1;
        if tool.effect == Effect::Destructive {
            facts.destructive += 1;
        }
        if tool.irreversible {
            facts.irreversible.insert(node.step.tool.to_string());
        }
    }
    facts.writes = Some(writes);
    close(facts, inventory)
}

fn empty() -> Facts {
    Facts {
        environments: BTreeSet::new(),
        targets: BTreeSet::new(),
        unlisted_targets: false,
        may_find: 0,
        simulated: true,
        writes: Some(0),
        destructive: 0,
        irreversible: BTreeSet::new(),
        risk: Risk::None,
    }
}

fn reach(facts: &mut Facts, constraint: Option<&Constraint>, tool: &ToolFacts<'_>, inventory: &Inventory) {
    // A name is spelled as it will be sent. One that no call can have reaches nothing, and stays as it is written.
    let text = |value: &Value| {
        let sent = tool.names.and_then(|names| names.normalise(value).ok());
        sent.as_ref().unwrap_or(value).as_str().map(str::to_owned)
    };
    let Some(constraint) = constraint else { return };
    if let Some(name) = constraint.is.as_ref().and_then(text) {
        facts.targets.insert(name);
    } else if let Some(names) = &constraint.one_of {
        facts.targets.extend(names.iter().filter_map(text));
    } else if let Some(group) = &constraint.in_group {
        facts.targets.extend(inventory.group(group).map(|target| target.name.clone()));
        // An entry that stands for what is below it stands for more names than anyone could list.
        facts.unlisted_targets |= inventory.group(group).any(|target| target.below);
    } else {
        facts.unlisted_targets = true;
    }
}

fn close(mut facts: Facts, inventory: &Inventory) -> Facts {
    let environment = |name: &String| inventory.target(name).map(|target| target.environment.clone());
    facts.environments = facts.targets.iter().filter_map(environment).collect();
    facts.risk = risk(&facts);
    facts
}

/// What may go wrong at most, by the rest of the facts.
pub fn risk(facts: &Facts) -> Risk {
    if facts.destructive > 0 || !facts.irreversible.is_empty() {
        Risk::High
    } else if facts.unlisted_targets || facts.targets.len() as u64 + facts.may_find > FEW_TARGETS {
        Risk::Medium
    } else if facts.writes == Some(0) {
        Risk::None
    } else {
        Risk::Low
    }
}

/// How many changes of a flow are not shown to bring the state before back.
pub fn unproven_undos(flow: &AutomationFlow, toolbox: &Toolbox) -> u64 {
    let lost = |node: &&FlowNode| {
        let known = toolbox.tool(&node.step.tool).zip(node.known_args()).zip(node.before.as_ref());
        known.is_some_and(|((tool, args), before)| {
            !brings_back(toolbox, (tool, &args), node.after.as_ref(), &before.state)
        })
    };
    let undone = flow.nodes.iter().filter(|node| node.undo.is_some());
    unproven_of(flow, &|name| of_toolbox(toolbox, name)) + undone.filter(lost).count() as u64
}

/// The changes that have no undo, from as much of the tools as facts follow from.
pub fn unproven_of<'a>(flow: &AutomationFlow, tool: &dyn Fn(&ToolName) -> Option<ToolFacts<'a>>) -> u64 {
    let unproven = |node: &&FlowNode| {
        let tool = tool(&node.step.tool);
        let changes = tool.is_none_or(|tool| tool.effect != Effect::Read);
        // Where the arguments are bound later, the manifest's undo says how it is taken back.
        let later = !node.knows_args() && tool.is_some_and(|tool| !tool.irreversible);
        changes && node.skipped.is_none() && !node.unchanged() && node.undo.is_none() && !later
    };
    flow.nodes.iter().filter(unproven).count() as u64
}
