//! What does each grant let through once the guardrails have spoken: nothing at all, or which call at worst?

use cedar_policy::PolicySet;

use crate::{
    artifact::{Grant, Spec},
    tool::Tool,
};

use super::super::{
    Catalog, CompiledBoundary,
    decide::{Layer, Ruling, rule},
};
use super::{
    everyone,
    goal::{Ask, Claim, Formula},
    narrow::worst_call,
    question,
    report::{GrantProof, Lets},
    world::{Occasion, world},
};

/// Every grant of a spec, in its order.
pub(super) fn each(catalog: &Catalog, spec: &Spec, boundary: &CompiledBoundary, ask: &mut dyn Ask) -> Vec<GrantProof> {
    let mut proofs = Vec::new();
    for (id, build, grant) in boundary.grants() {
        let Some(tool) = catalog.toolbox.tool(&grant.tool) else { continue };
        let one = OneGrant { catalog, boundary, id, grant, tool };
        let occasions = if build {
            vec![Occasion::step(spec.window.is_some())]
        } else {
            vec![Occasion::discovery(), Occasion::read_back()]
        };
        // What is dead at one trust stage may not be so at another, which the engagement may be raised to.
        let at = |stage: u8| occasions.iter().map(move |occasion| Occasion { stage, ..*occasion });
        let occasions: Vec<Occasion> = (1..=3).flat_map(at).collect();
        let lets = one.lets(&occasions, build, ask).unwrap_or_else(|reason| Lets::NotProven { reason });
        proofs.push(GrantProof { grant: id.to_owned(), tool: tool.name.clone(), lets });
    }
    proofs
}

struct OneGrant<'a> {
    catalog: &'a Catalog,
    boundary: &'a CompiledBoundary,
    id: &'a str,
    grant: &'a Grant,
    tool: &'a Tool,
}

impl OneGrant<'_> {
    fn lets(&self, occasions: &[Occasion], build: bool, ask: &mut dyn Ask) -> Result<Lets, String> {
        let permit = self.boundary.permit(self.id).ok_or("its permit is not there")?;
        let alone = PolicySet::from_policies([permit.clone()]).map_err(|error| error.to_string())?;
        let rules = self.catalog.policies.about(&self.tool.name).ok_or("no policy knows the tool")?;
        let mut guarded = rules.guardrails.set().clone();
        guarded.add(permit.clone()).map_err(|error| error.to_string())?;
        for occasion in occasions {
            let formula = self.formula(&guarded, *occasion)?;
            if !formula.possible(ask)? {
                continue;
            }
            let args = worst_call(&formula, &[self.grant], ask)?;
            let ruling = self.ruling(*occasion, &args);
            return match refused_by(&ruling, Layer::Guardrails) {
                None if self.holds(*occasion, &args) => Ok(Lets::Worst { args }),
                None => Err("the solver found a call that the grant does not permit after all".into()),
                Some(why) => Err(format!("the solver found a call that is forbidden after all: {why}")),
            };
        }
        let Some(first) = occasions.first() else { return Err("nobody can use it".into()) };
        let formula = self.formula(&alone, *first)?;
        if !formula.possible(ask)? {
            return Ok(Lets::Nothing { reason: "no call satisfies all that it asks".into() });
        }
        // Every call is forbidden; which rules say so is shown on the one that would be the worst.
        let args = worst_call(&formula, &[self.grant], ask)?;
        let ruling = self.ruling(*first, &args);
        let why = refused_by(&ruling, Layer::Guardrails);
        let mut reason = why.ok_or("the solver says that every call is forbidden, and the authorizer permits one")?;
        if build && self.formula(&guarded, Occasion::always_step())?.possible(ask)? {
            reason.push_str(" (an `always` step could still use it)");
        }
        Ok(Lets::Nothing { reason })
    }

    fn formula<'a>(&'a self, policies: &'a PolicySet, occasion: Occasion) -> Result<Formula<'a>, String> {
        let mut given = world(self.catalog, self.tool)?;
        given.extend(occasion.conditions(self.tool)?);
        Ok(Formula { catalog: self.catalog, tool: self.tool, claim: Claim::Allowed(policies), given })
    }

    fn ruling(&self, occasion: Occasion, args: &serde_json::Map<String, serde_json::Value>) -> Ruling {
        rule(self.catalog, self.boundary, &question(self.catalog, occasion, self.tool, args, &everyone()))
    }

    /// Whether the grant itself permits the call, whichever others do.
    fn holds(&self, occasion: Occasion, args: &serde_json::Map<String, serde_json::Value>) -> bool {
        let everyone = everyone();
        let question = question(self.catalog, occasion, self.tool, args, &everyone);
        super::super::decide::permits(self.catalog, self.boundary, &question).iter().any(|id| id == self.id)
    }
}

/// What a layer said against a call.
fn refused_by(ruling: &Ruling, layer: Layer) -> Option<String> {
    let spoke = ruling.spoke.iter().filter(|spoke| spoke.layer == layer);
    let said: Vec<String> = spoke.map(|spoke| format!("{}: {}", spoke.rule, spoke.reason)).collect();
    (!said.is_empty()).then(|| said.join("; "))
}
