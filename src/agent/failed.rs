//! What the build agent is told of a step that failed while the flow ran, and what it says of it: the calls that it wants
//! instead or besides, or none. Each is held against the boundary and made exact here; none runs before a person has
//! accepted it. What was read stays here, but for what manifests let out.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{
        Arg, ArtifactKind, AutomationFlow, Digest, FlowKind, FlowNode, NodeId, Spec, Step, StepId, ToolName,
        too_much_to_show,
    },
    engagement::{Call, CallOutcome, CallWanted, Considered, Purpose, Reading, node_args},
    policy::calls_outside,
    tool::{Effect, Tool, shown, shown_error},
};

use super::{
    answer::Wrong,
    build::{document, explained},
    data::{data, fitted},
    turn::Desk,
};

/// What the agent answers about a step that failed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FailureDraft {
    /// The calls that are wanted, in their order; none where the design is to say what comes next.
    #[serde(default)]
    calls: Vec<CallDraft>,
    /// Why these, or why none.
    because: String,
}

/// A call that the design does not have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CallDraft {
    /// A new name for the step that it would be.
    step: StepId,
    /// The tool.
    tool: ToolName,
    /// All arguments that it is to have, as values.
    #[serde(default)]
    with: Map<String, Value>,
    /// Why.
    because: String,
}

/// What an answer says, held against the flow and the boundary.
pub(super) fn read(desk: &Desk<'_>, map: Map<String, Value>) -> Result<Considered, Wrong> {
    let missing = || Wrong::Malformed("there is no failed step to say anything about".into());
    let view = &desk.view;
    let (turn, ..) = view.state.talk.last_turn(ArtifactKind::Flow).ok_or_else(missing)?;
    let node = view.failing().ok_or_else(missing)?;
    let flow = view.documents.flow().ok_or_else(missing)?;
    let spec = view.documents.spec().ok_or_else(missing)?;
    let said: FailureDraft = document(map)?;
    let mut problems = Vec::new();
    let because = explained("the answer", &said.because, &mut problems);
    let mut wants: Vec<CallWanted> = Vec::new();
    if said.calls.len() > Considered::MOST_WANTS {
        problems.push(format!("calls: {} are too many; say at most {}", said.calls.len(), Considered::MOST_WANTS));
        return Err(Wrong::invalid(problems));
    }
    for (at, call) in said.calls.into_iter().enumerate() {
        let path = format!("calls.{at}");
        let known = flow.nodes.iter().any(|node| node.step.id == call.step)
            || view.documents.design().is_some_and(|design| design.steps.iter().any(|step| step.id == call.step))
            || view.state.considered.iter().flat_map(|before| &before.wants).any(|want| want.step == call.step)
            || view.state.filling.iter().flat_map(|filling| &filling.wants).any(|want| want.step == call.step);
        if known || wants.iter().any(|want| want.step == call.step) {
            problems.push(format!("{path}.step: there is a step `{}` already; give this call a new name", call.step));
        }
        let because = explained(&path, &call.because, &mut problems);
        let CallDraft { step, tool, with, .. } = call;
        let asked = exact(desk, spec, step, tool, &with, because)
            .and_then(|want| room(desk, spec, flow, &want, &wants).map(|()| want));
        match asked {
            Ok(want) => wants.push(want),
            Err(why) => problems.push(format!("{path}: {why}")),
        }
    }
    if !problems.is_empty() {
        return Err(Wrong::invalid(problems));
    }
    let (node, attempt) = (node.id.clone(), view.state.attempt(&node.id));
    Ok(Considered { node, attempt, turn: Some(turn), wants, because })
}

/// The call with its arguments in normal form, where the spec's boundary lets it in and leaves room for it.
fn exact(
    desk: &Desk<'_>,
    spec: &Spec,
    step: StepId,
    name: ToolName,
    with: &Map<String, Value>,
    because: String,
) -> Result<CallWanted, String> {
    let toolbox = &desk.catalog.toolbox;
    let tool = toolbox.tool(&name).ok_or_else(|| format!("there is no tool `{name}`"))?;
    if tool.effect == Effect::Read {
        return Err(format!("`{name}` only reads, and would change nothing about the failure"));
    }
    let args = toolbox.check_args(tool, with).map_err(|problem| problem.to_string())?;
    if let Some(why) = args.values().find_map(|value| Arg::from_value(value.clone()).err()) {
        return Err(why);
    }
    // Whoever accepts it sees all of it, or it is not asked about.
    if let Some(more) = too_much_to_show(&json!({"with": args})).first() {
        return Err(more.to_string());
    }
    let target = args.get(&tool.target).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id, seal) = (NodeId::new(&step, None), desk.view.seal());
    let call = seal.call_digest(&desk.view.state.id, Some(&id), name.as_str(), &args).map_err(|why| why.to_string())?;
    let want = CallWanted { step, tool: name, target, args, call, because };
    let (kind, nodes) = (FlowKind::Flow, vec![want.flow_node()]);
    let alone = AutomationFlow { kind, design: Digest::ZERO, nodes, deviations: Vec::new() };
    if let Some((_, why)) = calls_outside(&alone, spec, desk.catalog).into_iter().next() {
        return Err(why);
    }
    Ok(want)
}

/// Whether the spec's grants of a tool leave room for another call of it, beside those that are wanted before it and those
/// of steps that are still to come: what is put right is not to stop what was approved.
fn room(
    desk: &Desk<'_>,
    spec: &Spec,
    flow: &AutomationFlow,
    want: &CallWanted,
    before: &[CallWanted],
) -> Result<(), String> {
    let state = &desk.view.state;
    let grants = spec.boundary.build.iter().enumerate().filter(|(_, grant)| grant.tool == want.tool);
    let mut left = Some(0);
    for (at, grant) in grants {
        let used = state.effects.get(&format!("build.{at}")).map_or(0, BTreeSet::len);
        let free = grant.at_most.map(|most| (most as usize).saturating_sub(used));
        left = left.zip(free).map(|(left, free)| left + free);
    }
    let to_come = |node: &&FlowNode| {
        let settled = state.nodes.contains_key(&node.id) || node.skipped.is_some() || node.unchanged();
        node.step.tool == want.tool && !settled
    };
    let to_come = flow.nodes.iter().filter(to_come).count();
    let wanted = before.iter().filter(|other| other.tool == want.tool).count();
    match left {
        Some(0) => Err(format!("what the spec grants of `{}` is used up", want.tool)),
        Some(left) if left <= to_come + wanted => Err(format!(
            "the spec grants {left} more of `{}`, and the steps that are still to come need {to_come} of them",
            want.tool
        )),
        _ => Ok(()),
    }
}

/// The failure as the agent is told of it, with what came of the other steps.
pub(super) fn failure_told(desk: &Desk<'_>) -> Option<String> {
    let view = &desk.view;
    let (flow, node) = (view.documents.flow()?, view.failing()?);
    let tool = desk.catalog.toolbox.tool(&node.step.tool)?;
    let designed = designed(desk, node);
    let args = node_args(view, node).unwrap_or_default();
    let with: Map<String, Value> = node
        .step
        .args
        .keys()
        .map(|name| {
            let value = args.get(name).filter(|_| !designed.is_some_and(|step| was_read(step, name)));
            (name.clone(), value.cloned().unwrap_or_else(|| json!({"left_out": "it comes from what was read"})))
        })
        .collect();
    let attempt = view.state.attempt(&node.id);
    let seen =
        [Purpose::ReadBack { node: node.id.clone(), attempt }, Purpose::Verify { node: node.id.clone(), attempt }];
    let seen: Vec<Value> = seen.iter().filter_map(|purpose| reading(desk, purpose)).collect();
    let told = json!({
        "step": name(desk, node), "tool": tool.name, "with": with, "on_failure": node.step.on_failure,
        "came_of_it": came_of_it(desk, node, tool), "changed_something": view.state.nodes.get(&node.id)?.changed,
        "read_since": seen,
    });
    let others = flow.nodes.iter().filter(|other| other.id != node.id).filter_map(|other| {
        let settled = view.state.nodes.get(&other.id)?;
        let (_, call) = view.act_of(&other.id).unzip();
        let result = call.and_then(|call| {
            let tool = desk.catalog.toolbox.tool(&call.tool_name()?)?;
            Some(fitted(&shown(tool, view.blobs.get(&call.result?)?)).0)
        });
        Some(json!({"step": name(desk, other), "outcome": settled.outcome, "answered": result}))
    });
    let others: Vec<Value> = others.collect();
    Some(format!(
        "This step failed:\n{}\n\nThis came of the other steps so far:\n{}",
        data("failed step", &told),
        data("other steps", &json!(others))
    ))
}

fn designed<'a>(desk: &Desk<'a>, node: &FlowNode) -> Option<&'a Step> {
    desk.view.documents.design()?.steps.iter().find(|step| step.id == node.step.id)
}

/// Whether the items of a step come from what was read.
fn items_were_read(step: &Step) -> bool {
    step.for_each.as_ref().is_some_and(|each| each.items.variables().contains("facts"))
}

/// Whether an argument of a step comes from what was read or answered.
fn was_read(step: &Step, argument: &str) -> bool {
    let Some(Arg::Hole(hole)) = step.args.get(argument) else { return false };
    let reads = hole.cel.variables();
    reads.contains("facts") || reads.contains("steps") || reads.contains("item") && items_were_read(step)
}

/// The name of a step, with its item where that does not come from what was read.
fn name(desk: &Desk<'_>, node: &FlowNode) -> String {
    match designed(desk, node) {
        Some(step) if items_were_read(step) => step.id.to_string(),
        _ => node.id.to_string(),
    }
}

/// What came of the step's own call.
fn came_of_it(desk: &Desk<'_>, node: &FlowNode, tool: &Tool) -> Value {
    let Some((_, call)) = desk.view.act_of(&node.id) else {
        return json!({"not_called": "what is there could not be read, or its call could not be worked out"});
    };
    let reads = designed(desk, node).is_some_and(|step| step.reads("facts") || step.reads("steps"));
    match call {
        Call { refused: Some(_), .. } if reads => json!({"refused": "a rule says no"}),
        Call { refused: Some((_, reason)), .. } => json!({"refused": reason}),
        Call { outcome: Some(CallOutcome::Error), message, .. } => {
            shown_error(tool, message.as_deref().unwrap_or_default())
        }
        Call { outcome: Some(CallOutcome::Ok), result, .. } => {
            let answer = result.and_then(|digest| desk.view.blobs.get(&digest));
            json!({"answered": answer.map(|answer| fitted(&shown(tool, answer)).0), "but": "what was read since is not what it was to leave"})
        }
        Call { outcome: Some(CallOutcome::NotSent), .. } => json!({"not_sent": "the tool could not be reached"}),
        Call { .. } => json!({"unknown": "no answer came"}),
    }
}

/// What a reading gave, as far as its tool's manifest lets it out.
fn reading(desk: &Desk<'_>, purpose: &Purpose) -> Option<Value> {
    let Reading::Value(id, value) = desk.view.reading(purpose) else { return None };
    let tool = desk.catalog.toolbox.tool(&desk.view.state.calls.get(&id)?.tool_name()?)?;
    Some(json!({"call": id, "tool": tool.name, "answered": fitted(&shown(tool, &value)).0}))
}
