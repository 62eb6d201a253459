//! What a report says of the tools that the solution needs, against what the program knows of them: the manifests and
//! the grants. A tool that is not there, or not granted, is no capability, and one that is only simulated is said to be.

use std::collections::BTreeSet;

use crate::{
    artifact::{Capability, CapabilityStatus, DiscoveryReport, Spec, ToolName, Verdict},
    tool::Effect,
};

use super::turn::Desk;

/// Writes `stubbed` where a report says `resolved` of a tool that only simulates.
pub(super) fn mark_simulated(desk: &Desk<'_>, report: &mut DiscoveryReport) {
    for capability in &mut report.capabilities {
        if capability.status == CapabilityStatus::Resolved && simulated(desk, &capability.tool) {
            capability.status = CapabilityStatus::Stubbed;
        }
    }
}

/// What the capabilities of a report say against what is known of their tools.
pub(super) fn problems(desk: &Desk<'_>, report: &DiscoveryReport) -> Vec<String> {
    let spec = desk.view.documents.spec().map(|spec| &**spec);
    let mut problems: Vec<String> = Vec::new();
    for (at, capability) in report.capabilities.iter().enumerate() {
        problems.extend(wrong(desk, spec, capability, report.verdict).map(|why| format!("capabilities.{at}: {why}")));
    }
    if matches!(report.verdict, Verdict::Feasible | Verdict::WithConstraints) {
        let said: BTreeSet<&ToolName> = report.capabilities.iter().map(|capability| &capability.tool).collect();
        let built: BTreeSet<&ToolName> =
            spec.iter().flat_map(|spec| &spec.boundary.build).map(|grant| &grant.tool).collect();
        let silent = built
            .difference(&said)
            .map(|tool| format!("capabilities: say whether `{tool}` is there, which the spec grants under `build`"));
        problems.extend(silent);
    }
    problems
}

fn wrong(desk: &Desk<'_>, spec: Option<&Spec>, capability: &Capability, verdict: Verdict) -> Option<String> {
    let name = &capability.tool;
    if matches!(capability.status, CapabilityStatus::Blocked | CapabilityStatus::Skipped) {
        return None;
    }
    let Some(tool) = desk.catalog.toolbox.tool(name) else {
        return Some(format!("there is no tool `{name}`, so it is blocked"));
    };
    let boundary = &spec?.boundary;
    let builds = boundary.build.iter().any(|grant| grant.tool == *name);
    let reads = tool.effect == Effect::Read && boundary.discover.iter().any(|grant| grant.tool == *name);
    if !builds && !reads {
        return Some(format!("the spec does not grant `{name}`, so it is blocked"));
    }
    // Where everything is simulated that is said of the whole engagement; beside what is real it is a limit.
    let granted = boundary.build.iter().chain(&boundary.discover);
    let all_simulated = granted.map(|grant| &grant.tool).all(|tool| simulated(desk, tool));
    let stubbed = capability.status == CapabilityStatus::Stubbed;
    (stubbed && !all_simulated && verdict == Verdict::Feasible)
        .then(|| format!("`{name}` does not do the real thing, so the verdict is at least `with_constraints`"))
}

fn simulated(desk: &Desk<'_>, tool: &ToolName) -> bool {
    desk.catalog.toolbox.manifest_of(tool).is_some_and(|manifest| manifest.simulated)
}
