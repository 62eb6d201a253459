//! Can a policy fail on a call that can be made? One that fails refuses the call, so nothing unsafe comes of it; but a
//! guardrail that fails is a guardrail that does not say what it should, and it is found before someone meets it.

use std::collections::BTreeSet;

use cedar_policy::{Policy, PolicySet};

use crate::{artifact::ToolName, tool::Tool};

use super::super::{Catalog, CompiledBoundary, decide::failures_of};
use super::{
    everyone,
    goal::{Ask, Claim, Formula},
    narrow::worst_call,
    question,
    report::{Counterexample, Proof},
    world::{Occasion, world},
};

/// That none of the policies about the tools of this boundary can fail, those that its undos need included.
pub(super) fn no_failures(catalog: &Catalog, boundary: &CompiledBoundary, ask: &mut dyn Ask) -> Proof {
    let (mut found, mut unknown) = (Vec::new(), None);
    let granted: BTreeSet<&ToolName> = boundary.grants().map(|(_, _, grant)| &grant.tool).collect();
    let undos = granted.iter().filter_map(|name| catalog.toolbox.tool(name)?.undo.as_ref()).map(|undo| &undo.tool);
    let tools: BTreeSet<&ToolName> = undos.chain(granted.iter().copied()).collect();
    for tool in tools.into_iter().filter_map(|name| catalog.toolbox.tool(name)) {
        let Some(rules) = catalog.policies.about(&tool.name) else { continue };
        let mut policies: Vec<&Policy> = [rules.guardrails.set(), rules.stages.set(), boundary.permits()]
            .into_iter()
            .flat_map(PolicySet::policies)
            .collect();
        policies.sort_by_key(|policy| policy.id().to_string());
        for policy in policies {
            match fails(catalog, tool, policy, ask) {
                Ok(counterexample) => found.extend(counterexample),
                Err(why) => unknown = unknown.or(Some(format!("`{}` on {}: {why}", policy.id(), tool.name))),
            }
        }
    }
    Proof::of(found, unknown)
}

/// A call on which the policy fails.
fn fails(catalog: &Catalog, tool: &Tool, policy: &Policy, ask: &mut dyn Ask) -> Result<Option<Counterexample>, String> {
    let formula = Formula { catalog, tool, claim: Claim::Fails(policy), given: world(catalog, tool)? };
    if !formula.possible(ask)? {
        return Ok(None);
    }
    let occasions = [
        Occasion::step(true),
        Occasion::step(false),
        Occasion::always_step(),
        Occasion::discovery(),
        Occasion::read_back(),
    ];
    for occasion in occasions {
        let formula = formula.with(occasion.conditions(tool)?);
        if !formula.possible(ask)? {
            continue;
        }
        let args = worst_call(&formula, &[], ask)?;
        let alone = PolicySet::from_policies([policy.clone()]).map_err(|error| error.to_string())?;
        let everyone = everyone();
        if let Some(why) = failures_of(catalog, &alone, &question(catalog, occasion, tool, &args, &everyone))? {
            let why = format!("`{}` fails: {why}", policy.id());
            return Ok(Some(Counterexample { agent: occasion.agent, tool: tool.name.clone(), args: Some(args), why }));
        }
    }
    Err("the solver says that it can fail, and no call that shows it was found".into())
}
