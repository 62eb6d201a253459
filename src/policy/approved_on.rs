//! What an approval rests on: the tools and targets as they were when it was given. A call whose tool or target is
//! not that any more was never approved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    artifact::{CanonicalError, Digest, Spec, ToolName, digest_of},
    facts::Facts,
};

use super::Catalog;

/// The tools that a spec's boundary lets use and the targets that it reaches, each by the digest of what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovedOn {
    /// Each tool's manifest entry, server and pin.
    pub tools: BTreeMap<ToolName, Digest>,
    /// Each target's inventory entry.
    pub targets: BTreeMap<String, Digest>,
    /// Whether the boundary reaches targets that cannot be listed; those are not held to an entry.
    pub unlisted_targets: bool,
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
        for target in facts.targets.iter().filter_map(|name| catalog.inventory.target(name)) {
            targets.insert(target.name.clone(), digest_of(target)?);
        }
        Ok(Self { tools, targets, unlisted_targets: facts.unlisted_targets })
    }

    /// Why a call is not what the approval in `request` was given for: what its tool or its target is now differs.
    /// `request` is the stored approval request; without one nothing was approved.
    pub fn voided(request: Option<&Value>, tool: &ToolName, target: &str, catalog: &Catalog) -> Option<String> {
        let Some(on) = request.and_then(|request| request.get("approved_on")) else {
            return Some("what was approved is not in the ledger".into());
        };
        let said = |side: &str, name: &str| on.get(side).and_then(|entries| entries.get(name)).and_then(Value::as_str);
        let is = |now: Result<Digest, CanonicalError>, then: &str| {
            now.is_ok_and(|now| then.parse().is_ok_and(|then: Digest| then == now))
        };
        match said("tools", tool.as_str()) {
            Some(then) if is(catalog.toolbox.definition(tool), then) => {}
            Some(_) => return Some(format!("the manifest, the server or the pin of `{tool}` changed")),
            // A tool that no grant names is refused by the boundary, with better words.
            None => {}
        }
        let now = catalog.inventory.target(target)?;
        // An entry that stands for what is below it was approved for all of that.
        match said("targets", &now.name) {
            Some(then) if is(digest_of(now), then) => None,
            Some(_) => Some(format!("the inventory entry of `{target}` changed")),
            None if on.get("unlisted_targets") == Some(&Value::Bool(true)) => None,
            None => Some(format!("`{target}` was not among the targets")),
        }
    }
}
