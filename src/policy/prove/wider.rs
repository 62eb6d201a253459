//! Does a version permit anything that the one before it did not? Undos are left out: they follow the grants, and
//! only ever take back what was granted.

use std::collections::BTreeMap;

use crate::{
    artifact::{Agent, Grant, Spec, ToolName},
    tool::{Effect, Tool},
};

use super::super::{Catalog, CompiledBoundary, decide::within};
use super::{
    everyone,
    goal::{Ask, Claim, Formula},
    narrow::worst_call,
    question,
    report::{Counterexample, Proof},
    world::{Occasion, called_by, world},
};

/// That `newer` permits no call that `older` did not, and nothing more often.
pub(super) fn no_wider(
    catalog: &Catalog,
    (newer, boundary): (&Spec, &CompiledBoundary),
    (older, before): (&Spec, &CompiledBoundary),
    ask: &mut dyn Ask,
) -> Proof {
    let (mut found, mut unknown) = (Vec::new(), None);
    let sides = [
        (Agent::Build, &newer.boundary.build, Occasion::step(false)),
        (Agent::Verifier, &newer.boundary.discover, Occasion::read_back()),
    ];
    for (agent, grants, occasion) in sides {
        for (name, grants) in by_tool(grants) {
            let Some(tool) = catalog.toolbox.tool(name) else { continue };
            // The bounds of the version before say where its end is, and so where the other one goes beyond it.
            let older = older.boundary.build.iter().chain(&older.boundary.discover).filter(|grant| grant.tool == *name);
            let hints: Vec<&Grant> = grants.iter().copied().chain(older).collect();
            let both = Both { catalog, boundary, before, tool, occasion };
            match both.beyond(agent, &hints, ask) {
                Ok(counterexample) => found.extend(counterexample),
                Err(why) => unknown = unknown.or(Some(format!("{name}: {why}"))),
            }
        }
    }
    for (name, grants) in by_tool(&newer.boundary.build) {
        let older: Vec<&Grant> = older.boundary.build.iter().filter(|grant| grant.tool == *name).collect();
        let writes = catalog.toolbox.tool(name).is_some_and(|tool| tool.effect != Effect::Read);
        if !writes || older.is_empty() || found.iter().any(|other| other.tool == *name) {
            continue;
        }
        match more_often(&grants, &older) {
            Often::No => {}
            Often::Yes(why) => {
                found.push(Counterexample { agent: Agent::Build, tool: name.clone(), args: None, why });
            }
            Often::Unclear => {
                let why = "the counts (`at_most`) stand at other grants than before, so how often is not compared";
                unknown = unknown.or(Some(format!("{name}: {why}")));
            }
        }
    }
    Proof::of(found, unknown)
}

fn by_tool(grants: &[Grant]) -> BTreeMap<&ToolName, Vec<&Grant>> {
    let mut tools: BTreeMap<&ToolName, Vec<&Grant>> = BTreeMap::new();
    for grant in grants {
        tools.entry(&grant.tool).or_default().push(grant);
    }
    tools
}

/// Two boundaries and a tool.
struct Both<'a> {
    catalog: &'a Catalog,
    boundary: &'a CompiledBoundary,
    before: &'a CompiledBoundary,
    tool: &'a Tool,
    occasion: Occasion,
}

impl Both<'_> {
    /// The worst call that only the newer one permits.
    fn beyond(&self, agent: Agent, hints: &[&Grant], ask: &mut dyn Ask) -> Result<Option<Counterexample>, String> {
        let Self { catalog, tool, .. } = *self;
        let mut given = world(catalog, tool)?;
        given.extend(called_by(agent)?);
        let claim = Claim::Beyond(self.boundary.permits(), self.before.permits());
        let formula = Formula { catalog, tool, claim, given };
        if !formula.possible(ask)? {
            return Ok(None);
        }
        let args = worst_call(&formula, hints, ask)?;
        let everyone = everyone();
        let question = question(catalog, self.occasion, tool, &args, &everyone);
        if within(catalog, self.boundary, &question).is_err() {
            return Err("the solver found a call that the boundary does not permit after all".into());
        }
        match within(catalog, self.before, &question) {
            Ok(_) => Err("the solver found a call that the version before permits after all".into()),
            Err(spoke) => {
                let why = spoke.into_iter().map(|spoke| spoke.reason).collect::<Vec<_>>().join("; ");
                Ok(Some(Counterexample { agent, tool: tool.name.clone(), args: Some(args), why }))
            }
        }
    }
}

enum Often {
    No,
    Yes(String),
    Unclear,
}

/// Whether the counts of a tool's grants add up to more than before. Counts are not policy, so this is arithmetic.
fn more_often(newer: &[&Grant], older: &[&Grant]) -> Often {
    let most = |grant: &Grant| grant.at_most.map_or(u64::MAX, u64::from);
    let sum = |grants: &[&Grant]| grants.iter().map(|grant| most(grant)).fold(0, u64::saturating_add);
    let words = |n: u64| if n == u64::MAX { "as often as the limits allow".into() } else { format!("{n} in all") };
    let (now, then) = (sum(newer), sum(older));
    if now > then {
        return Often::Yes(format!("{} now, {} in the version before", words(now), words(then)));
    }
    let each_as_before = newer
        .iter()
        .all(|grant| older.iter().any(|other| other.constraints == grant.constraints && most(grant) <= most(other)));
    let least = older.iter().map(|grant| most(grant)).min().unwrap_or(0);
    if each_as_before || now <= least { Often::No } else { Often::Unclear }
}
