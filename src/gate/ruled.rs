//! What the policies say to a call before it is asked for: gate 2 must not promise what is refused anyway.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Phase, Spec},
    facts::Role,
    policy::{Catalog, Changes, CompiledBoundary, Question, Verdict, rule},
    tool::Tool,
};

/// The policies as a build under this spec will meet them, with everybody's yes and inside the window.
pub(super) struct Policed<'a> {
    catalog: &'a Catalog,
    boundary: Result<CompiledBoundary, String>,
    stage: u8,
    window_open: bool,
    approved_by: BTreeSet<Role>,
}

impl<'a> Policed<'a> {
    pub(super) fn new(stage: u8, catalog: &'a Catalog, spec: &Spec) -> Self {
        let boundary = CompiledBoundary::compile(spec, catalog).map_err(|errors| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            format!("the boundary of the spec cannot be compiled: {first}")
        });
        Self {
            catalog,
            boundary,
            stage,
            window_open: spec.window.is_some(),
            approved_by: [Role::Approver, Role::Owner].into(),
        }
    }

    /// Why this call of the design is refused whoever says yes to it; nothing where it may run.
    pub(super) fn forbid(&self, tool: &Tool, args: &Map<String, Value>) -> Option<String> {
        let boundary = match &self.boundary {
            Ok(boundary) => boundary,
            Err(reason) => return Some(reason.clone()),
        };
        let question = Question {
            agent: Agent::Build,
            phase: Phase::Build,
            stage: self.stage,
            tool,
            args,
            on_contract: true,
            undo_of: None,
            recovery: false,
            window_open: self.window_open,
            approved_by: &self.approved_by,
            changes: Changes::default(),
        };
        let ruling = rule(self.catalog, boundary, &question);
        let reasons = || ruling.spoke.iter().map(|spoke| spoke.reason.as_str()).collect::<Vec<_>>().join("; ");
        (ruling.verdict == Verdict::Deny).then(reasons)
    }
}
