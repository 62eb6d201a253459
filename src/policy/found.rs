//! Which reads may add targets to an engagement: those that its spec's boundary lets the verifier make.

use crate::{
    artifact::{Agent, Phase, Spec},
    facts::FoundBy,
};

use super::{
    Catalog, CompiledBoundary,
    decide::{Changes, Question, within},
};

/// The reads of `found_by` that the boundary of a spec permits, where it reaches what they may add.
pub(super) fn finders(spec: &Spec, catalog: &Catalog) -> Vec<FoundBy> {
    let mut named = catalog.inventory.finders(spec, &catalog.toolbox).peekable();
    if named.peek().is_none() {
        return Vec::new();
    }
    // What does not compile lets nothing through.
    let Ok(boundary) = catalog.boundary(spec) else { return Vec::new() };
    named.filter(|by| permitted(by, catalog, &boundary)).cloned().collect()
}

fn permitted(by: &FoundBy, catalog: &Catalog, boundary: &CompiledBoundary) -> bool {
    let Some(tool) = catalog.toolbox.tool(&by.tool) else { return false };
    let Ok(args) = catalog.toolbox.check_args(tool, &by.args) else { return false };
    let question = Question {
        agent: Agent::Verifier,
        phase: Phase::Feasibility,
        stage: 1,
        tool,
        args: &args,
        on_contract: false,
        undo_of: None,
        recovery: false,
        window_open: false,
        approved_by: &Default::default(),
        changes: Changes::default(),
    };
    within(catalog, boundary, &question).is_ok()
}
