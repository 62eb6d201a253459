//! What can be proven about a boundary: that a version permits nothing that the one before it did not, that no grant
//! is dead under the guardrails, that no policy fails on a call that can be made, and the worst call of each grant. It
//! says what to ask a solver and what the answers mean; running one is [`crate::runtime`]'s. No answer of a solver
//! that names a call is passed on before the authorizer has decided that very call the same way.

mod errors;
mod goal;
mod grants;
mod narrow;
mod report;
mod wider;
mod world;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    artifact::{CanonicalError, Spec, digest_of},
    facts::Role,
    tool::Tool,
};

use super::{Catalog, CompiledBoundary, decide::Question, found::finders};
use world::Occasion;

pub use goal::{Ask, Goal};
pub use report::{Counterexample, GrantProof, Lets, Proof, ProofReport, ProofReportKind};

/// What is asked about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// What everything is decided on.
    pub catalog: &'a Catalog,
    /// The spec.
    pub spec: &'a Spec,
    /// The version before it, where there is one.
    pub before: Option<&'a Spec>,
}

/// Has everything proven about a spec that can be. The error is about digests; whatever else is in the way makes
/// something not proven, with the reason. `solver` is the solver and its version.
pub fn prove(subject: Subject<'_>, solver: &str, ask: &mut dyn Ask) -> Result<ProofReport, CanonicalError> {
    let Subject { catalog, spec, before } = subject;
    if let Some(by) = [Some(spec), before].into_iter().flatten().find_map(|spec| finders(spec, catalog).pop()) {
        let why = format!("`{}` may add targets after gate 1, and nobody can prove anything of those yet", by.tool);
        return unproven(subject, &why);
    }
    let mut report = unproven(subject, "")?;
    report.solver = Some(solver.to_owned());
    let compiled = |spec: &Spec| {
        CompiledBoundary::compile(spec, catalog).map_err(|errors| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            format!("its boundary does not compile: {first}")
        })
    };
    let boundary = match compiled(spec) {
        Ok(boundary) => boundary,
        Err(why) => return Ok(ProofReport { solver: report.solver, ..unproven(subject, &why)? }),
    };
    report.no_wider = before.map(|before| match compiled(before) {
        Ok(older) => wider::no_wider(catalog, (spec, &boundary), (before, &older), ask),
        Err(why) => Proof::not_proven(format!("of the version before, {why}")),
    });
    report.grants = grants::each(catalog, spec, &boundary, ask);
    report.no_failures = errors::no_failures(catalog, &boundary, ask);
    Ok(report)
}

/// The report where no solver could be asked, for this reason.
pub fn unproven(subject: Subject<'_>, reason: &str) -> Result<ProofReport, CanonicalError> {
    let before = subject.before.map(digest_of).transpose()?;
    Ok(ProofReport::unasked(digest_of(subject.spec)?, before, subject.catalog.digests()?, reason))
}

/// A call as the authorizer is asked about it, to confirm what a solver said.
fn question<'a>(
    catalog: &Catalog,
    occasion: Occasion,
    tool: &'a Tool,
    args: &'a Map<String, Value>,
    approved_by: &'a BTreeSet<Role>,
) -> Question<'a> {
    let target = args.get(&tool.target).and_then(Value::as_str).and_then(|name| catalog.inventory.target(name));
    Question {
        agent: occasion.agent,
        phase: occasion.phase,
        stage: occasion.stage,
        tool,
        args,
        on_contract: occasion.on_contract,
        undo_of: None,
        recovery: occasion.recovery,
        window_open: occasion.window_open,
        approved_by,
        changes: Occasion::changes(tool, target),
    }
}

/// Everyone's approval.
fn everyone() -> BTreeSet<Role> {
    Role::ALL.into()
}
