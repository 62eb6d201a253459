//! Whether what the gates were approved on still holds: who opened them, and the tools and targets as they were.

use crate::{
    artifact::Phase,
    engagement::{Actor, Gate, GateState, View},
    policy::{ApprovedOn, Catalog, Layer},
    tool::Tool,
};

use super::decide::{No, no};

/// The first gate that stands open because the policy said so.
pub(super) fn opened_by_policy(view: &View<'_>) -> Option<u8> {
    let by_policy = |gate: &GateState| matches!(gate, GateState::Open { by: Actor::Policy, .. });
    [(1, &view.state.gate1), (2, &view.state.gate2)].into_iter().find(|(_, gate)| by_policy(gate)).map(|(n, _)| n)
}

/// What a person can do about an approval that does not hold any more.
pub(super) fn anew(view: &View<'_>) -> String {
    let id = &view.state.id;
    match view.state.phase {
        Phase::Build | Phase::AsBuilt => {
            format!("`countersign cancel {id} --reason …`, and request what is left again")
        }
        _ => format!("file the artifact again with `countersign edit {id}` and have it approved as things are now"),
    }
}

/// Whether tool and target are still what the open gates were approved on.
pub(super) fn still_as_approved(view: &View<'_>, catalog: &Catalog, tool: &Tool, target: &str) -> Result<(), No> {
    let gates = [(Gate::One, &view.state.gate1, "gate 1"), (Gate::Two, &view.state.gate2, "gate 2")];
    for (gate, state, name) in gates {
        let GateState::Open { request, .. } = state else { continue };
        let request = view.blobs.get(request).map(AsRef::as_ref);
        if view.state.gate_open(gate)
            && let Some(what) = ApprovedOn::voided(request, &tool.name, target, catalog)
        {
            let reason = format!("{what} since {name} was approved, which voids it; put it back, or {}", anew(view));
            return Err(no(Layer::Gate, "approval.void", reason));
        }
    }
    Ok(())
}
