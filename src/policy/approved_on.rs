//! What an approval rests on: the tools and targets as they were when it was given. A call whose tool or target is
//! not that any more was never approved.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    artifact::{CanonicalError, Digest, NodeId, Spec, ToolName, digest_of},
    facts::{Facts, FoundBy, Inventory, InventoryKind, Target},
};

use super::{Catalog, found::finders};

/// The tools that a spec's boundary lets use and the targets that it reaches, each by the digest of what it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovedOn {
    /// Each tool's manifest entry, server and pin.
    pub tools: BTreeMap<ToolName, Digest>,
    /// Each target's inventory entry.
    pub targets: BTreeMap<String, Digest>,
    /// Whether the boundary reaches targets that cannot be listed; those are held to `environments` alone, until a flow
    /// names them.
    pub unlisted_targets: bool,
    /// The environments that those may be in: all of the inventory. Empty where every target is listed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub environments: BTreeSet<String>,
    /// The reads that may add targets, and what those may be at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found_by: Vec<FoundBy>,
    /// Each target that they added, as an inventory entry; nothing at gate 1, which approves the reads alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<BTreeMap<String, Digest>>,
    /// Where targets cannot all be listed, each other one that the flow or the call in question names, with the inventory
    /// entry that it has or that stands for it, if any does; nothing at gate 1, which knows no flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aimed: Option<BTreeMap<String, Option<Digest>>>,
    /// The steps of the flow whose call is asked about by itself once it is known, as gate 2 said; whatever policies or the
    /// trust stage let run later.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub asks_then: BTreeSet<NodeId>,
}

/// Something that an approval rested on and that is another now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A tool, its server or its pin.
    Tool(ToolName),
    /// An inventory entry.
    Target(String),
    /// A target that the boundary reaches now and did not.
    New(String),
    /// A target that it reached and does not any more.
    Gone(String),
    /// A read that may add targets, or what those may be.
    FoundBy(ToolName),
    /// Its targets could be listed and cannot any more.
    Unlisted,
    /// An environment in which targets that cannot be listed may be now.
    Environment(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) => write!(f, "the manifest, the server or the pin of `{name}` changed"),
            Self::Target(name) => write!(f, "the inventory entry of `{name}` changed"),
            Self::New(name) => write!(f, "`{name}` was not among the targets"),
            Self::Gone(name) => write!(f, "`{name}` is no longer among the targets"),
            Self::FoundBy(name) => {
                write!(f, "`found_by` of inventory.yaml lets `{name}` add other targets, or none any more")
            }
            Self::Unlisted => f.write_str("the targets can no longer all be listed"),
            Self::Environment(name) => write!(f, "a target may be in `{name}`, where none was"),
        }
    }
}

impl ApprovedOn {
    /// The inventory entry of each target by its name, those that reads added and a flow names among them.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Digest)> {
        let aimed = self.aimed.iter().flatten().filter_map(|(name, entry)| Some((name, entry.as_ref()?)));
        self.targets.iter().chain(self.found.iter().flatten()).chain(aimed)
    }

    /// Holds targets that cannot be listed and are named to the entries that they have.
    ///
    /// # Errors
    ///
    /// If an entry has no canonical form.
    pub fn aim<'a>(
        &mut self,
        named: impl Iterator<Item = &'a str>,
        inventory: &Inventory,
    ) -> Result<(), CanonicalError> {
        if self.unlisted_targets {
            let named: BTreeSet<&str> = named.collect();
            let other = named.into_iter().filter(|target| self.entries().all(|(name, _)| name != target));
            self.aimed = Some(entries_of(other, inventory)?);
        }
        Ok(())
    }

    /// Each target that was named and whose entry is another now.
    ///
    /// # Errors
    ///
    /// As [`ApprovedOn::aim`].
    pub fn moved(&self, inventory: &Inventory) -> Result<Vec<Difference>, CanonicalError> {
        let Some(then) = &self.aimed else { return Ok(Vec::new()) };
        let now = entries_of(then.keys().map(String::as_str), inventory)?;
        let changed = then.iter().zip(now.values()).filter(|((_, then), now)| then != now);
        let says = |((name, then), now): ((&String, &Option<Digest>), &Option<Digest>)| match (then, now) {
            (None, _) => Difference::New(name.clone()),
            (_, None) => Difference::Gone(name.clone()),
            _ => Difference::Target(name.clone()),
        };
        Ok(changed.map(says).collect())
    }

    /// The entry of a target, of an inventory that has these entries alone. Where targets cannot be listed, an entry that
    /// stands for more is that of a target only if a flow named it: the whole inventory may have a closer one.
    pub fn entry<'a>(&self, inventory: &'a Inventory, name: &str) -> Option<&'a Target> {
        let aimed = || self.aimed.as_ref().is_some_and(|aimed| aimed.contains_key(name));
        inventory.target(name).filter(|entry| !self.unlisted_targets || entry.name == name || aimed())
    }

    /// An inventory of these entries alone, where they are at hand.
    pub fn inventory(&self, mut targets: Vec<Target>) -> Inventory {
        targets.sort_by(|one, other| one.name.cmp(&other.name));
        targets.dedup_by(|one, other| one.name == other.name);
        let (kind, found_by) = (InventoryKind::Inventory, self.found_by.clone());
        Inventory { kind, examples: Vec::new(), found_by, targets, findings: Vec::new() }
    }
}

/// The entry of each of these, if it has one.
fn entries_of<'a>(
    names: impl Iterator<Item = &'a str>,
    inventory: &Inventory,
) -> Result<BTreeMap<String, Option<Digest>>, CanonicalError> {
    names.map(|name| Ok((name.to_owned(), inventory.target(name).map(digest_of).transpose()?))).collect()
}

/// Each entry that is another now.
fn entries(then: &BTreeMap<String, Digest>, now: &BTreeMap<String, Digest>, found: &mut Vec<Difference>) {
    for (name, then) in then {
        match now.get(name) {
            Some(entry) if entry == then => {}
            Some(_) => found.push(Difference::Target(name.clone())),
            None => found.push(Difference::Gone(name.clone())),
        }
    }
    found.extend(now.keys().filter(|name| !then.contains_key(*name)).cloned().map(Difference::New));
}

impl ApprovedOn {
    /// What an approval of this spec, given now, rests on.
    pub fn of(spec: &Spec, facts: &Facts, catalog: &Catalog) -> Result<Self, CanonicalError> {
        let toolbox = &catalog.toolbox;
        let mut tools = BTreeMap::new();
        for grant in spec.boundary.discover.iter().chain(&spec.boundary.build) {
            let tool = toolbox.tool(&grant.tool);
            let undo = tool.and_then(|tool| tool.undo.as_ref()).map(|undo| &undo.tool);
            let state = tool.and_then(|tool| tool.state.as_ref()).map(|state| &state.tool);
            for name in [Some(&grant.tool), undo, state].into_iter().flatten() {
                tools.insert(name.clone(), toolbox.definition(name)?);
            }
        }
        let mut targets = BTreeMap::new();
        let inventory = &catalog.inventory;
        for target in facts.targets.iter().filter_map(|name| inventory.target(name)) {
            if inventory.finding_of(&target.name).is_none() {
                targets.insert(target.name.clone(), digest_of(target)?);
            }
        }
        let found_by = finders(spec, catalog);
        let mut found = None;
        if !found_by.is_empty() {
            let added = inventory.targets.iter().filter(|target| inventory.finding_of(&target.name).is_some());
            let digested = added.map(|target| Ok((target.name.clone(), digest_of(target)?)));
            found = Some(digested.collect::<Result<_, CanonicalError>>()?);
        }
        let anywhere = inventory.targets.iter().filter(|_| facts.unlisted_targets);
        let environments = anywhere.map(|target| target.environment.clone()).collect();
        let unlisted_targets = facts.unlisted_targets;
        Ok(Self {
            tools,
            targets,
            unlisted_targets,
            environments,
            found_by,
            found,
            aimed: None,
            asks_then: BTreeSet::new(),
        })
    }

    /// Each thing that an approval rested on and that is another `now`.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (name, then) in &self.tools {
            if now.tools.get(name) != Some(then) {
                found.push(Difference::Tool(name.clone()));
            }
        }
        found.extend(now.tools.keys().filter(|name| !self.tools.contains_key(*name)).cloned().map(Difference::Tool));
        let other = |one: &Self, by: &&FoundBy| !one.found_by.contains(by);
        let gone = self.found_by.iter().filter(|by| other(now, by));
        let reads = gone.chain(now.found_by.iter().filter(|by| other(self, by)));
        found.extend(reads.map(|by| by.tool.clone()).collect::<BTreeSet<_>>().into_iter().map(Difference::FoundBy));
        entries(&self.targets, &now.targets, &mut found);
        if let (Some(then), Some(now)) = (&self.found, &now.found) {
            entries(then, now, &mut found);
        }
        if now.unlisted_targets && !self.unlisted_targets {
            found.push(Difference::Unlisted);
        }
        if self.unlisted_targets {
            found.extend(now.environments.difference(&self.environments).cloned().map(Difference::Environment));
        }
        found
    }

    /// Why a tool is not what the approval in `request` was given for, which need not be one that is read here.
    pub fn voided_tool(request: Option<&Value>, tool: &ToolName, catalog: &Catalog) -> Option<String> {
        let Some(on) = request.and_then(|request| request.get("approved_on")) else { return Some(NOT_THERE.into()) };
        let then = on.get("tools").and_then(|tools| tools.get(tool.as_str())).and_then(Value::as_str)?;
        other_tool(then.parse().ok(), tool, catalog)
    }

    /// Why a call is not what this was given for, where it is there: what its tool or its target is now differs.
    pub fn voided(on: Option<&Self>, tool: &ToolName, target: &str, catalog: &Catalog) -> Option<String> {
        let Some(on) = on else { return Some(NOT_THERE.into()) };
        // A tool that no grant names is refused by the boundary, with better words.
        if let Some(changed) = on.tools.get(tool).and_then(|then| other_tool(Some(*then), tool, catalog)) {
            return Some(changed);
        }
        let now = catalog.inventory.target(target)?;
        // An entry that stands for what is below it was approved for all of that.
        let found = catalog.inventory.finding_of(&now.name).is_some();
        let held = match (found, &on.found) {
            (false, _) => &on.targets,
            // Gate 1 approved the read and what it may add at most; what it added is that, or was left out.
            (true, None) => return None,
            (true, Some(held)) => held,
        };
        let aimed = on.aimed.as_ref().filter(|_| !found).and_then(|aimed| aimed.get(target));
        let changed = match aimed.map_or_else(|| held.get(&now.name), Option::as_ref) {
            Some(then) if digest_of(now).is_ok_and(|now| now == *then) => return None,
            Some(_) => Difference::Target(target.to_owned()),
            None if aimed.is_none() && on.unlisted_targets && !found => {
                if on.environments.contains(&now.environment) {
                    return None;
                }
                Difference::Environment(now.environment.clone())
            }
            None => Difference::New(target.to_owned()),
        };
        Some(changed.to_string())
    }
}

const NOT_THERE: &str = "what was approved is not in the ledger";

/// Why a tool is not the one with this digest.
fn other_tool(then: Option<Digest>, tool: &ToolName, catalog: &Catalog) -> Option<String> {
    let is = catalog.toolbox.definition(tool).is_ok_and(|now| then == Some(now));
    (!is).then(|| Difference::Tool(tool.clone()).to_string())
}
