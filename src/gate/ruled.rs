//! What the policies say to a call before it is asked for: gate 2 must not promise what is refused anyway.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Phase, Spec},
    facts::Role,
    policy::{Catalog, Changes, CompiledBoundary, Layer, Question, Ruling, Verdict, rule},
    tool::Tool,
};

/// The policies as a build under this spec will meet them, inside the window.
pub(super) struct Policed<'a> {
    catalog: &'a Catalog,
    boundary: Result<Arc<CompiledBoundary>, String>,
    stage: u8,
    window_open: bool,
}

/// What the policies say to a call.
pub(super) enum Said {
    /// An approver's yes lets it run.
    Runs,
    /// An approver's yes is not enough, and why.
    WantsOwner(String),
    /// It is refused whoever says yes to it, and why.
    Refused(String),
}

impl<'a> Policed<'a> {
    pub(super) fn new(stage: u8, catalog: &'a Catalog, spec: &Spec) -> Self {
        let boundary = catalog.boundary(spec).map_err(|errors| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            format!("the boundary of the spec cannot be compiled: {first}")
        });
        Self { catalog, boundary, stage, window_open: spec.window.is_some() }
    }

    /// What comes of this call of the design.
    pub(super) fn says(&self, tool: &Tool, args: &Map<String, Value>) -> Said {
        let one = match self.ruling(tool, args, &[Role::Approver].into()) {
            Ok(one) if one.verdict == Verdict::Allow => return Said::Runs,
            Ok(one) => one,
            Err(reason) => return Said::Refused(reason),
        };
        match self.ruling(tool, args, &[Role::Approver, Role::Owner].into()) {
            Ok(all) if all.verdict == Verdict::Deny => Said::Refused(reasons(&all)),
            Ok(_) if one.verdict == Verdict::Escalate(Role::Owner) => Said::WantsOwner(reasons(&one)),
            Ok(_) => Said::Runs,
            Err(reason) => Said::Refused(reason),
        }
    }

    /// Whether this call of an approved design runs without anybody's approval of it.
    pub(super) fn runs_unasked(&self, tool: &Tool, args: &Map<String, Value>) -> bool {
        self.ruling(tool, args, &BTreeSet::new()).is_ok_and(|ruling| ruling.verdict == Verdict::Allow)
    }

    fn ruling(&self, tool: &Tool, args: &Map<String, Value>, approved_by: &BTreeSet<Role>) -> Result<Ruling, String> {
        let boundary = self.boundary.as_ref().map_err(Clone::clone)?;
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
            approved_by,
            changes: Changes::default(),
        };
        Ok(rule(self.catalog, boundary, &question))
    }
}

/// Why the policies say so; that the boundary lets it in is no reason to ask.
fn reasons(ruling: &Ruling) -> String {
    let denied = ruling.verdict == Verdict::Deny;
    let spoke = ruling.spoke.iter().filter(|spoke| denied || spoke.layer != Layer::Boundary);
    spoke.map(|spoke| spoke.reason.as_str()).collect::<Vec<_>>().join("; ")
}
