//! What is wrong with a whole design: what [`check_design`] says of it, and the calls that it comes to and no grant lets in.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Arg, AutomationFlow, DesignDraft, Phase, SolutionDesign, Spec, SpecError, Step, StepId},
    tool::{Effect, Tool},
};

use super::{
    Catalog, CompiledBoundary,
    check_design::{Sides, check_design},
    decide::{Changes, Question, within},
};

/// What is wrong with a whole design under its spec, whoever wrote it, before it is expanded over the facts.
pub fn design_problems(design: &SolutionDesign, spec: &Spec, catalog: &Catalog) -> Vec<SpecError> {
    let draft = DesignDraft {
        discover: Vec::new(),
        feasible_when: Vec::new(),
        decisions: Vec::new(),
        components: Vec::new(),
        steps: design.steps.clone(),
        acceptance: design.acceptance.clone(),
    };
    let mut problems = check_design(&draft, spec, catalog);
    if design.inputs != spec.inputs {
        problems.push(SpecError::new("inputs", "they are the spec's; change them there"));
    }
    problems
}

/// The holes that the build agent would fill, in a design that no model drafts: nobody would fill them.
pub fn holes_for_nobody(steps: &[Step]) -> Vec<SpecError> {
    let mut found = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        for (name, _) in step.args.iter().filter(|(_, arg)| matches!(arg, Arg::Fill(_))) {
            let message = "the build agent fills it with a model, and there is none for it here, so nobody would; write \
                           the value, or name a model for it in policies/models.yaml and use `request --text`";
            found.push(SpecError::new(format!("steps.{at}.with.{name}"), message));
        }
    }
    found
}

/// The calls of an expanded design that no grant lets in, each with its step and why.
pub fn calls_outside(flow: &AutomationFlow, spec: &Spec, catalog: &Catalog) -> Vec<(StepId, String)> {
    let Ok(boundary) = catalog.boundary(spec) else { return Vec::new() };
    let sides = Sides { discover: true, build: true };
    let mut found = Vec::new();
    for node in flow.nodes.iter().filter(|node| node.skipped.is_none()) {
        let (Some(tool), Some(args)) = (catalog.toolbox.tool(&node.step.tool), node.known_args()) else { continue };
        if let Err(why) = inside(catalog, &boundary, tool, &args, sides, Phase::Build) {
            found.push((node.step.id.clone(), format!("step `{}`: {why}", node.id)));
        }
    }
    found
}

/// Whether a call whose arguments are all known is inside some grant.
pub(super) fn inside(
    catalog: &Catalog,
    boundary: &CompiledBoundary,
    tool: &Tool,
    args: &Map<String, Value>,
    sides: Sides,
    phase: Phase,
) -> Result<(), String> {
    let args = &catalog.toolbox.check_args(tool, args).map_err(|problem| problem.to_string())?;
    let ask = |agent: Agent| {
        let question = Question {
            agent,
            phase,
            stage: 1,
            tool,
            args,
            on_contract: true,
            undo_of: None,
            recovery: false,
            window_open: true,
            approved_by: &Default::default(),
            changes: Changes::default(),
        };
        within(catalog, boundary, &question)
    };
    let reads = sides.discover && tool.effect == Effect::Read;
    let agents = [(reads, Agent::Verifier), (sides.build, Agent::Build)];
    let mut reasons = BTreeSet::new();
    for (_, agent) in agents.into_iter().filter(|(asked, _)| *asked) {
        match ask(agent) {
            Ok(_) => return Ok(()),
            Err(spoke) => reasons.extend(spoke.into_iter().map(|spoke| spoke.reason)),
        }
    }
    Err(reasons.into_iter().collect::<Vec<_>>().join("; "))
}
