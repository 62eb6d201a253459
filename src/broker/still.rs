//! Whether what the gates were approved on still holds: the tools and targets as they were, and a yes that would still
//! be enough where the target is now.

use jiff::Timestamp;

use crate::{
    artifact::Digest,
    engagement::{Gate, GateState, Purpose, View, may_no_more, not_enough_in, ruled_no_more},
    policy::{ApprovedOn, Catalog, Layer},
    tool::{Effect, Tool},
};

use super::decide::{No, no};

/// What a person can do about an approval that does not hold any more.
pub(super) fn anew(view: &View<'_>) -> String {
    format!("`countersign run {}` asks for it anew", view.state.id)
}

/// Whether tool and target are still what the open gates were approved on. A call that recovers goes on whatever its
/// target is now, because what was done must be looked at and taken back; but nothing changes anything with a tool
/// that is not the one that was approved.
pub(super) fn still_as_approved(
    view: &View<'_>,
    catalog: &Catalog,
    tool: &Tool,
    target: &str,
    recovery: bool,
) -> Result<(), No> {
    if recovery && tool.effect == Effect::Read {
        return Ok(());
    }
    for gate in [Gate::One, Gate::Two].into_iter().filter(|gate| view.state.gate_open(*gate)) {
        let GateState::Open { request, by, .. } = view.state.gate(gate) else { continue };
        let no_more = || may_no_more(by, &catalog.people).or_else(|| ruled_no_more(view, gate, catalog));
        if let Some(why) = (!recovery).then(no_more).flatten() {
            let reason = format!("{} does not hold: {why}; {}", gate.name(), anew(view));
            return Err(no(Layer::Gate, "approval.void", reason));
        }
        if let Some(entry) = catalog.inventory.target(target).filter(|_| !recovery)
            && let Some(why) = not_enough_in(view.state, gate, by, &entry.environment, &catalog.people)
        {
            let reason = format!("{} does not hold for {target}: {why}; {}", gate.name(), anew(view));
            return Err(no(Layer::Gate, "approval.void", reason));
        }
        if let Some(why) = view.state.gate_unnamed(gate, &catalog.signers) {
            let reason = format!("{} does not hold: {why}; {}", gate.name(), anew(view));
            return Err(no(Layer::Gate, "approval.void", reason));
        }
        if let Some(what) = still(view, request, catalog, (tool, target), recovery) {
            let reason =
                format!("{what} since {} was approved, which voids it; put it back, or {}", gate.name(), anew(view));
            return Err(no(Layer::Gate, "approval.void", reason));
        }
    }
    Ok(())
}

/// What is another now than when somebody said yes to exactly this call; nothing where nobody did.
pub(super) fn since_agreed(
    view: &View<'_>,
    catalog: &Catalog,
    (tool, target, call): (&Tool, &str, &Digest),
    recovery: bool,
    now: Timestamp,
) -> Option<String> {
    let request = view.state.agreed_on(call, now)?;
    if let Some(lost) = view.state.agreed_by_nobody_now(call, now, &catalog.people).filter(|_| !recovery) {
        return Some(lost);
    }
    still(view, &request, catalog, (tool, target), recovery)
}

/// What is another now than when this was approved.
fn still(
    view: &View<'_>,
    request: &Digest,
    catalog: &Catalog,
    (tool, target): (&Tool, &str),
    recovery: bool,
) -> Option<String> {
    if recovery {
        // What was done is taken back though a later version approved it and held it to more than is known here.
        ApprovedOn::voided_tool(view.blobs.get(request).map(AsRef::as_ref), &tool.name, catalog)
    } else {
        let on = view.documents.approved_in(request, view.state, view.blobs);
        ApprovedOn::voided(on.as_deref(), &tool.name, target, catalog)
    }
}

/// Whether what people agreed to about exactly this call still counts; `call` is its digest where it rests on an approval.
pub(super) fn still_agreed(
    view: &View<'_>,
    catalog: &Catalog,
    purpose: &Purpose,
    (call, target): (Option<&Digest>, &str),
    now: Timestamp,
) -> Result<(), No> {
    let environment = catalog.inventory.target(target).map(|entry| entry.environment.as_str());
    let deviation = match purpose {
        Purpose::Act { node, .. } => view.state.deviation_before(node),
        Purpose::Undo { node } => view.state.deviation_of_undo(node),
        _ => None,
    };
    let by = (&*catalog.signers, &catalog.people);
    match view.state.call_unnamed(call, deviation, now, by, environment) {
        None => Ok(()),
        // Nothing waits for that with something half done: it is left as others made it, and the record says so.
        Some(why) if matches!(purpose, Purpose::Undo { .. }) => {
            let reason = format!("what was said of taking it back over what was changed since does not hold: {why}");
            Err(no(Layer::Gate, "approval.unnamed", reason))
        }
        Some(why) => {
            let reason = format!(
                "what was said of this call does not hold: {why}; put that back (a line with `valid-before` where its key \
                 signs no more), or `countersign cancel {}`",
                view.state.id
            );
            Err(no(Layer::Gate, "approval.void", reason))
        }
    }
}
