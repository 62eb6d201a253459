//! What is shown where a gate that was open is asked anew: what changed since it was approved, what was done on that
//! approval, and what an answer means for the rest.

use crate::{
    artifact::{AutomationFlow, FlowNode, Phase, Spec},
    engagement::{Gate, GateState, View, Void, changed_tools, parse_document, void_gates},
    facts::Facts,
    policy::{Catalog, Difference},
};

use super::{
    ApprovalRequest, GateError,
    changes::facts,
    common::so_far,
    screen::Section,
    text::{names, quoted, sentence, word},
};

/// Whether a question about this gate is one about a gate that is open already.
pub(super) fn is_anew(view: &View<'_>, gate: Gate) -> bool {
    view.state.gate_open(gate)
}

/// Whether a node acted or is settled: an answer now is not about it any more.
pub(super) fn begun(view: &View<'_>, node: &FlowNode) -> bool {
    let acted = || view.act_of(&node.id).is_some_and(|(_, call)| call.refused.is_none());
    view.state.nodes.contains_key(&node.id) || acted()
}

/// The nodes that an answer is still about.
pub(super) fn left(view: &View<'_>, flow: &AutomationFlow) -> AutomationFlow {
    let mut left = flow.clone();
    left.nodes.retain(|node| !begun(view, node));
    left
}

/// Makes a request about a gate that is open one that asks anew; every other request stays as it is.
pub(super) fn asked_anew(
    request: &mut ApprovalRequest,
    view: &View<'_>,
    catalog: &Catalog,
    spec: &Spec,
    gate: Gate,
) -> Result<(), GateError> {
    let (true, GateState::Open { request: first, by, .. }) = (is_anew(view, gate), view.state.gate(gate)) else {
        return Ok(());
    };
    let all = void_gates(view, catalog, request.standing.stage)?;
    let void = all.iter().find(|void| void.gate == gate);
    request.void = match void {
        Some(void) => void.because.clone(),
        None => vec!["what had changed is again as it was approved".into()],
    };
    let mut changed = Section::new(format!("WHAT CHANGED SINCE {} WAS APPROVED", gate.name().to_uppercase()));
    changed.text(format!("It was approved by {}, and does not hold any more:", word(&by.to_string())));
    request.void.iter().for_each(|why| changed.warn(sentence(why)));
    entries(void, catalog, &mut changed);
    let before: Option<Facts> =
        parse_document::<ApprovalRequest>(*first, view.blobs, "approval request").ok().map(|request| request.facts);
    for line in before.map(|before| facts(&before, &request.facts)).unwrap_or_default() {
        changed.text(sentence(&line));
    }
    if let Some(other) = all.iter().find(|other| other.gate != gate) {
        let when = if other.gate > gate { "is asked after this one" } else { "is asked first" };
        changed.warn(format!("{} does not hold any more either, and {when}", other.gate.name()));
    }
    if let Err(problems) = catalog.boundary(spec) {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        changed.warn(format!("the spec does not fit the tools and the inventory any more: {}", sentence(&first)));
    }
    let mut sections = vec![changed];
    if let Some(flow) = view.documents.flow() {
        sections.push(so_far(view, flow));
    }
    sections.push(meaning(view, &all));
    sections.append(&mut request.screen.sections);
    request.screen.sections = sections;
    request.screen.title = format!("{}, ASKED ANEW: may it go on as things are now?", gate.name().to_uppercase());
    Ok(())
}

/// The entries that changed, as they are now.
fn entries(void: Option<&Void>, catalog: &Catalog, section: &mut Section) {
    for difference in void.into_iter().flat_map(|void| &void.differences) {
        let (Difference::Target(name) | Difference::New(name)) = difference else { continue };
        let Some(entry) = catalog.inventory.target(name) else { continue };
        let list = |all: &std::collections::BTreeSet<String>| {
            let all: Vec<String> = all.iter().map(|name| quoted(name)).collect();
            if all.is_empty() { "none".to_owned() } else { names(&all) }
        };
        section.detail(format!(
            "{} is now: {} in {}; tags: {}; groups: {}",
            word(name),
            word(&entry.is),
            word(&entry.environment),
            list(&entry.tags),
            list(&entry.groups)
        ));
    }
}

/// What an answer means for what is left and for what was done.
fn meaning(view: &View<'_>, all: &[Void]) -> Section {
    let mut section = Section::new("WHAT AN ANSWER MEANS");
    if view.state.phase != Phase::Build {
        section.pair("yes", "it goes on from here with the same documents; what was read is not read again");
        section.pair("no", "nothing more is read; the spec must be edited or the engagement cancelled");
        return section;
    }
    section.pair("yes", "the same flow goes on; what already ran is not run again");
    section.pair("no", "nothing more is begun; what was begun is looked at and recorded, as after a cancellation");
    let changed = changed_tools(all);
    let undone_with = |node: &FlowNode| {
        let tool = view.toolbox.tool(&node.step.tool)?;
        tool.undo.as_ref().map(|undo| undo.tool.clone()).filter(|tool| changed.contains(tool))
    };
    let nodes = view.documents.flow().into_iter().flat_map(|flow| &flow.nodes);
    let kept: Vec<&str> = nodes
        .filter(|node| view.state.nodes.get(&node.id).is_some_and(|settled| settled.changed))
        .filter(|node| undone_with(node).is_some())
        .map(|node| node.id.as_str())
        .collect();
    if !kept.is_empty() {
        section.warn(format!(
            "the tool that takes {} back is not the one that was approved, so after a no nothing takes it back",
            names(&kept)
        ));
    }
    section
}
