//! What reading back shows: after an effect, after a step's own `verify`, and at the end. What a node came to is
//! decided here, by what is there and never by what the tool said of itself.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{Agent, FlowNode, ReadCall, Scope, Verify},
    flow::{NodeOutcome, Settled},
    tool::{Effect, Tool},
};

use super::{
    build::{Values, left_to_pause, node_args, said, settle},
    call::Call,
    event::CallOutcome,
    next::{Next, Proposal},
    purpose::Purpose,
    view::{Reading, View, state_call},
};

/// Reads what an effect left, after a pause where that gave an error before.
pub(super) fn look_after(view: &View<'_>, proposal: Proposal, now: Timestamp) -> Next {
    match left_to_pause(view, &proposal.purpose, view.pause_before(&proposal.purpose), now) {
        0 => Next::Call(proposal),
        left => Next::Pause(left),
    }
}

/// What a read-back shows, compared with what was there and what should be.
pub(super) fn observed(
    view: &View<'_>,
    node: &FlowNode,
    tool: &Tool,
    args: &Map<String, Value>,
    call: &Call,
    before: &Value,
    now: &Value,
) -> Next {
    let fail = |changed: bool, reason: String| settle(view, node, NodeOutcome::Failed, changed, Some(reason));
    let told = match call.outcome {
        Some(CallOutcome::Ok) => "the tool reported success".to_owned(),
        Some(CallOutcome::Error) => format!("the tool reported an error ({})", said(call)),
        _ => format!("its outcome was unknown ({})", said(call)),
    };
    if tool.after.is_none() {
        // What will be there cannot be said beforehand, so all that is seen is whether something changed; the step's
        // own `verify` says whether it is right.
        return match call.outcome {
            _ if now == before => fail(false, format!("{told}, and nothing changed")),
            Some(CallOutcome::Error) => fail(true, format!("{told}, but {now} is there instead of {before}")),
            _ => verified(view, node, args, call),
        };
    }
    match after(tool, args, before) {
        Some(designed) if designed == *now => match call.outcome {
            Some(CallOutcome::Ok) => verified(view, node, args, call),
            _ => {
                let reason = format!("{told}, but the change is there");
                settle(view, node, NodeOutcome::Done, true, Some(reason))
            }
        },
        _ if now == before => fail(false, format!("{told}, and nothing changed")),
        Some(designed) => fail(true, format!("{told}, but {now} is there instead of {designed}")),
        None => fail(true, format!("{told}; what should be there could not be computed")),
    }
}

/// Why a step counts as run whose outcome nothing but a person could tell.
pub const LOOKED: &str = "a person looked: it took effect";

/// The step's own `verify`, if it has one; else it is done.
pub(super) fn verified(view: &View<'_>, node: &FlowNode, args: &Map<String, Value>, call: &Call) -> Next {
    let Some(verify) = &node.step.verify else {
        let looked = view.state.applied.contains_key(&node.id).then(|| LOOKED.to_owned());
        return settle(view, node, NodeOutcome::Done, true, looked);
    };
    let attempt = view.state.attempt(&node.id);
    let args_value = Value::Object(args.clone());
    let result = call.result.and_then(|digest| view.blobs.get(&digest)).map(|value| value.as_ref().clone());
    let mut values = Values::of(view, node);
    if let (Value::Object(steps), Some(result)) = (&mut values.steps, result) {
        steps.insert(node.step.id.to_string(), json!({"result": result}));
    }
    let scope = values.scope().with("args", &args_value);
    let reading = match verify_call(verify, &scope) {
        Ok(args) => args,
        Err(reason) => return settle(view, node, NodeOutcome::Failed, true, Some(reason)),
    };
    let purpose = Purpose::Verify { node: node.id.clone(), attempt };
    match view.reading(&purpose) {
        Reading::Open | Reading::Again => {
            Next::Call(Proposal { agent: Agent::Verifier, purpose, tool: verify.tool.to_string(), args: reading })
        }
        Reading::Failed(_, reason) => {
            settle(view, node, NodeOutcome::Unknown, true, Some(format!("it could not be verified: {reason}")))
        }
        Reading::Value(_, result) => match verify.expect.holds(&scope.with("result", &result)) {
            Ok(true) => settle(view, node, NodeOutcome::Done, true, None),
            Ok(false) => {
                let reason = format!("its verification does not hold: {}", verify.expect);
                settle(view, node, NodeOutcome::Failed, true, Some(reason))
            }
            Err(error) => settle(view, node, NodeOutcome::Failed, true, Some(error.to_string())),
        },
    }
}

pub(super) fn verify_call(verify: &Verify, scope: &Scope<'_>) -> Result<Map<String, Value>, String> {
    let call = ReadCall { tool: verify.tool.clone(), args: verify.args.clone() };
    call.fill(scope).map_err(|error| error.to_string())
}

/// The state that the manifest says a call leaves.
pub(super) fn after(tool: &Tool, args: &Map<String, Value>, before: &Value) -> Option<Value> {
    let args = Value::Object(args.clone());
    tool.after.as_ref()?.evaluate(&Scope::new().with("args", &args).with("before", before)).ok()
}

/// Reads what a node left at the end, where it can be read and something ran.
pub(super) fn observation(view: &View<'_>, node: &FlowNode) -> Option<Proposal> {
    let tool = view.toolbox.tool(&node.step.tool).filter(|tool| tool.effect != Effect::Read)?;
    let settled: &Settled = view.state.nodes.get(&node.id)?;
    if matches!(settled.outcome, NodeOutcome::NotRun | NodeOutcome::Skipped) {
        return None;
    }
    let state = tool.state.as_ref()?;
    let (name, args) = state_call(state, &node_args(view, node).ok()?)?;
    let purpose = Purpose::Observe { node: node.id.clone() };
    Some(Proposal { agent: Agent::Verifier, purpose, tool: name.to_string(), args })
}

/// What was read at the end of what a node left.
pub fn observed_state(view: &View<'_>, node: &FlowNode) -> Option<Value> {
    let tool = view.toolbox.tool(&node.step.tool)?;
    let args = node_args(view, node).ok()?;
    match view.reading(&Purpose::Observe { node: node.id.clone() }) {
        Reading::Value(call, result) => view.picked(tool, &args, (&call, &result)).ok(),
        _ => None,
    }
}

/// What was there right before a node acted.
pub fn before_state(view: &View<'_>, node: &FlowNode) -> Option<Value> {
    let tool = view.toolbox.tool(&node.step.tool)?;
    let args = node_args(view, node).ok()?;
    match view.reading(&Purpose::Recheck { node: node.id.clone(), attempt: view.state.attempt(&node.id) }) {
        Reading::Value(call, result) => view.picked(tool, &args, (&call, &result)).ok(),
        _ => node.before.as_ref().map(|before| before.state.clone()),
    }
}
