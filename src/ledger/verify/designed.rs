//! Whether what runs is what the design says: the flow has its steps and no others, each as the design has it in what can
//! be told without the facts that were read; and a step that wants an approval of its own has one, in the role that it wants.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    artifact::{Arg, ArtifactKind, AutomationFlow, FlowNode, NodeId, Scope, Step, StepId},
    engagement::{About, Answer, Asked, CallAllowed, GateState, Purpose, State},
    facts::Role,
};

use super::{Papers, grounds, steps::alike};

/// How a flow, as it was approved, is not the one of the current design.
pub(super) fn unlike(state: &State, flow: &AutomationFlow, papers: &Papers<'_>) -> Option<String> {
    // A design that is missing or was changed is reported where it was filed.
    let design = papers.design(&state.artifact(ArtifactKind::Design)?)?;
    let steps: BTreeMap<&StepId, &Step> = design.steps.iter().rev().map(|step| (&step.id, step)).collect();
    let of = |step: &Step| steps.get(&step.id).copied();
    let inputs = Value::Object(design.inputs.clone());
    // What the design does not give is what the tool takes then.
    let more = |node: &FlowNode, step: &Step| {
        node.step.args.iter().filter(|(name, _)| !step.args.contains_key(*name)).any(|(name, arg)| {
            !arg.literal().is_some_and(|value| grounds::by_default(state, &node.step.tool, name, value, papers))
        })
    };
    let other = |node: &FlowNode, step: &Step| !is_of(node, step, &inputs) || more(node, step);
    if let Some(node) = flow.nodes.iter().find(|node| of(&node.step).is_none_or(|step| other(node, step))) {
        return Some(format!("step {} is not as the design has it", node.id));
    }
    let run: BTreeSet<&StepId> = flow.nodes.iter().map(|node| &node.step.id).collect();
    let missing = |step: &&Step| step.for_each.is_none() && !run.contains(&step.id);
    design.steps.iter().find(missing).map(|step| format!("step {} of the design is left out", step.id))
}

fn is_of(node: &FlowNode, step: &Step, inputs: &Value) -> bool {
    let (is, nothing) = (&node.step, Value::Null);
    let scope = Scope::new().with("inputs", inputs).with("item", node.item.as_ref().unwrap_or(&nothing));
    // A condition that is not about other steps is asked when the flow is made, and what it says is kept there.
    let when = match &step.when {
        Some(when) if !when.variables().contains("steps") => {
            let held = when.holds(&scope).ok();
            is.when.is_none() && held.is_none_or(|held| held == node.skipped.is_none())
        }
        when => is.when == *when && node.skipped.is_none(),
    };
    let told = |arg: &Arg| match arg {
        // What reads anything else cannot be told here.
        Arg::Hole(hole) => hole.cel.evaluate(&scope).ok(),
        arg => arg.literal().cloned(),
    };
    let args = step.args.iter().all(|(name, arg)| match (arg, is.args.get(name)) {
        (_, None) => false,
        (Arg::Fill(_), Some(is)) => is == arg,
        (arg, Some(is)) => match (told(arg), is.literal()) {
            (Some(says), Some(is)) => alike(is, &says),
            (Some(_), None) => false,
            // It follows from what was read, or will.
            (None, _) => matches!(arg, Arg::Hole(_)),
        },
    });
    args && when
        && is.tool == step.tool
        && is.needs == step.needs
        && is.until == step.until
        && is.verify == step.verify
        && is.on_failure == step.on_failure
        && is.approval == step.approval
        && is.always == step.always
}

/// The role that must approve each call of a step, where the design names one, or gate 2 said that it is asked about then.
fn wanted_at(state: &State, node: &NodeId, papers: &Papers<'_>) -> Option<Role> {
    let flow = papers.flow(&state.artifact(ArtifactKind::Flow)?)?;
    let designed = flow.node(node)?.step.approval.as_deref().map(Role::approving);
    let said = || {
        let GateState::Open { request, .. } = &state.gate2 else { return None };
        papers.question(request)?.approved_on.asks_then.contains(node).then_some(Role::Approver)
    };
    designed.or_else(said)
}

/// A question about one call that may be answered in a lesser role than its step wants.
pub(super) fn asked(state: &State, asked: &Asked, papers: &Papers<'_>) -> Option<String> {
    let About::Call { node, .. } = &asked.about else { return None };
    let wanted = wanted_at(state, node, papers).filter(|wanted| asked.role < *wanted)?;
    Some(format!("a question about {} for an {}, and the design wants an {wanted}", asked.about, asked.role))
}

/// A call that ran on another yes than its own, where its step wants one of its own.
pub(super) fn allowed(state: &State, allowed: &CallAllowed, papers: &Papers<'_>) -> Option<String> {
    let Purpose::Act { node, .. } = &allowed.purpose else { return None };
    let wanted = wanted_at(state, node, papers)?;
    let own = state.last_said_of(&allowed.digest).is_some_and(|(.., said)| {
        matches!(said.about, About::Call { .. }) && said.answer == Answer::Approve && said.role >= wanted
    });
    // A read uses no approval up: it may be tried more than once.
    let used = allowed.approved || allowed.counts.is_none();
    let call = &allowed.call;
    (!used || !own)
        .then(|| format!("{call} allowed as step {node}, which wants each call approved by an {wanted} by itself"))
}
