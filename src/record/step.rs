//! The designed steps: what each was to leave, what was there before and is there at the end, what its calls left, and what
//! became of the targets.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    artifact::{
        ArtifactKind, AutomationFlow, CallId, FlowNode, NodeId, Scope, StepResult, TargetOutcome, TargetResult,
        ToolName, fill_args,
    },
    engagement::{Call, CallOutcome, Purpose, State, View, before_state, node_args},
    flow::NodeOutcome,
    tool::{Effect, Tool},
};

use super::{
    outcome::{Story, ending, taken_back_on_a_word},
    requirements::Readings,
};

/// A step with what the rest of the record needs to know of it.
pub(super) struct Reconciled<'a> {
    pub node: &'a FlowNode,
    pub tool: Option<&'a Tool>,
    pub target: Option<String>,
    pub result: StepResult,
    /// Whether its own call ran and changes things.
    pub wrote: bool,
    /// Whether something is there at the end that neither the design nor the state before explains.
    pub differs: bool,
    /// What its call left.
    pub left: Left,
}

/// Whether what a step did is still there at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing is left: it changed nothing, or the end is as it was before.
    Nothing,
    /// Nothing could show it, so something may be left.
    Perhaps,
    /// Something is there that was not there before.
    Something,
}

/// Every node of the flow, in its order.
pub(super) fn reconciled<'a>(
    view: &View<'a>,
    flow: &'a AutomationFlow,
    readings: &Readings<'_>,
) -> Vec<Reconciled<'a>> {
    let mut made: BTreeMap<&NodeId, Vec<(&CallId, &Call)>> = BTreeMap::new();
    for (id, call) in &view.state.calls {
        if let Some(node) = call.purpose.node() {
            made.entry(node).or_default().push((id, call));
        }
    }
    let of = |node: &'a FlowNode| {
        let made = made.remove(&node.id).unwrap_or_default();
        Known { node, place: place(view, node), made }
    };
    let known: Vec<Known<'_>> = flow.nodes.iter().map(of).collect();
    let one = |nth| {
        let (of, after) = known.get(nth..)?.split_first()?;
        Some(one(view, of, after, readings))
    };
    let mut steps = (0..known.len()).map_while(one).collect();
    say_what_is_left(view.state, &mut steps);
    steps
}

/// Says of each step what its call left.
pub(super) fn say_what_is_left(state: &State, steps: &mut Vec<Reconciled<'_>>) {
    let left: Vec<Left> = steps.iter().map(|step| left(state, step, steps)).collect();
    for (step, left) in steps.iter_mut().zip(left) {
        step.left = left;
    }
}

/// What became of each target: the worst of its steps. A target that was changed is not called unreached because another
/// step was not run there.
pub(super) fn targets(steps: &[Reconciled<'_>]) -> Vec<TargetResult> {
    let mut targets = worst(steps);
    for TargetResult { target, outcome } in targets.iter_mut().filter(|one| one.outcome == TargetOutcome::NotRun) {
        let there = steps.iter().filter(|step| step.target.as_ref() == Some(target));
        let came_to = |step: &Reconciled<'_>, to: TargetOutcome| step.wrote && step.result.outcome == to;
        let (mut done, mut undone) = (false, false);
        for step in there {
            done |= came_to(step, TargetOutcome::Done);
            undone |= came_to(step, TargetOutcome::Undone);
        }
        if done {
            *outcome = TargetOutcome::Failed;
        } else if undone {
            *outcome = TargetOutcome::Undone;
        }
    }
    targets
}

/// The worst of the steps of each target, as versions before called it. A target that was changed is not called unchanged
/// because another step found nothing to do there.
pub(super) fn worst(steps: &[Reconciled<'_>]) -> Vec<TargetResult> {
    let mut worst: BTreeMap<&str, TargetOutcome> = BTreeMap::new();
    for step in steps {
        let Some(target) = &step.target else { continue };
        let outcome = step.result.outcome;
        let known = worst.entry(target).or_insert(outcome);
        *known = match (*known, outcome) {
            (TargetOutcome::Done, TargetOutcome::Unchanged) => TargetOutcome::Done,
            (TargetOutcome::Unchanged, TargetOutcome::Done) => TargetOutcome::Done,
            (one, other) => one.max(other),
        };
    }
    worst.into_iter().map(|(target, outcome)| TargetResult { target: target.to_owned(), outcome }).collect()
}

/// A node, the place that it changes, and the calls that were made for it.
struct Known<'a> {
    node: &'a FlowNode,
    place: Option<Place<'a>>,
    made: Vec<(&'a CallId, &'a Call)>,
}

/// A node, with those after it.
fn one<'a>(view: &View<'a>, of: &Known<'a>, after: &[Known<'a>], readings: &Readings<'_>) -> Reconciled<'a> {
    let node = of.node;
    let tool = view.toolbox.tool(&node.step.tool);
    let args = node_args(view, node).ok();
    let before = before_state(view, node);
    let designed = tool.zip(args.as_ref()).and_then(|(tool, args)| designed(tool, args, before.as_ref()));
    let designed = designed.or_else(|| node.after.clone());
    let act = view.act_of(&node.id).map(|(_, call)| call).filter(|call| call.refused.is_none());
    let ran = act.is_some_and(|call| call.outcome != Some(CallOutcome::NotSent));
    let target = node
        .target
        .clone()
        .or_else(|| act.and_then(|call| call.target.clone()))
        .or_else(|| Some(args.as_ref()?.get(&tool?.target)?.as_str()?.to_owned()));
    let ending = ending(view, node, tool);
    let place = ending.state().zip(of.place.as_ref());
    let later = place.and_then(|(state, place)| changed_again(view, place, after, state));
    let (before_it, as_designed) = (before.as_ref(), designed.as_ref());
    let story = Story { view, node, tool, before: before_it, designed: as_designed, ending: &ending, later, readings };
    let (outcome, reason) = story.outcome();
    let differs = story.differs();
    let result = StepResult {
        node: node.id.clone(),
        tool: node.step.tool.clone(),
        outcome,
        reason,
        calls: cited(view.state, node, of.made.iter().copied()),
        before,
        designed,
        observed: ending.state().cloned(),
    };
    let wrote = ran && tool.is_some_and(|tool| tool.effect != Effect::Read);
    Reconciled { node, tool, target, result, wrote, differs, left: Left::Nothing }
}

/// What a call of a step left.
fn left(state: &State, step: &Reconciled<'_>, steps: &[Reconciled<'_>]) -> Left {
    let result = &step.result;
    if !step.wrote {
        return Left::Nothing;
    }
    // What another step did to the same place is not this one's.
    let of_another = |now: &Value| {
        let done = |other: &&Reconciled<'_>| {
            let elsewhere = other.node.id == step.node.id || other.target != step.target;
            !elsewhere && other.result.outcome == TargetOutcome::Done
        };
        steps.iter().filter(done).any(|other| other.result.observed.as_ref() == Some(now))
    };
    let settled = state.nodes.get(&result.node);
    let open = settled.is_none_or(|settled| settled.changed || settled.outcome == NodeOutcome::Unknown)
        || taken_back_on_a_word(state, &result.node);
    match result.observed.as_ref() {
        Some(now) if result.before.as_ref() == Some(now) => Left::Nothing,
        // It was there as before when somebody looked, and is not at the end.
        Some(now) if !open && result.before.is_some() && !of_another(now) => Left::Perhaps,
        _ if !open => Left::Nothing,
        Some(_) => Left::Something,
        None if result.outcome == TargetOutcome::Done => Left::Something,
        None => Left::Perhaps,
    }
}

fn designed(tool: &Tool, args: &Map<String, Value>, before: Option<&Value>) -> Option<Value> {
    let args = Value::Object(args.clone());
    let mut scope = Scope::new().with("args", &args);
    if let Some(before) = before {
        scope = scope.with("before", before);
    }
    tool.after.as_ref()?.evaluate(&scope).ok()
}

/// Those of the calls for a node that its step cites: of the current design, in order.
pub(super) fn cited<'a>(
    state: &State,
    node: &FlowNode,
    made: impl Iterator<Item = (&'a CallId, &'a Call)>,
) -> Vec<CallId> {
    let since = state.artifacts.get(&ArtifactKind::Design).map(|filed| filed.at);
    let counts =
        |call: &Call| !matches!(call.purpose, Purpose::Baseline { .. }) && since.is_none_or(|since| call.at >= since);
    let made = made.filter(|(_, call)| counts(call)).map(|(id, _)| id.clone());
    let mut calls: Vec<CallId> = node.before.iter().map(|before| before.call.clone()).chain(made).collect();
    calls.sort_by_key(number);
    calls.dedup();
    calls
}

/// The place of a call in its engagement.
pub(super) fn number(call: &CallId) -> u64 {
    u64::from(call.number())
}

/// A later step that was to change the same state, and left exactly what is there now.
fn changed_again<'a>(view: &View<'_>, place: &Place<'_>, after: &[Known<'a>], now: &Value) -> Option<&'a NodeId> {
    let done = |id: &NodeId| view.state.nodes.get(id).is_some_and(|settled| settled.outcome == NodeOutcome::Done);
    let same = after.iter().filter(|other| other.place.as_ref() == Some(place) && done(&other.node.id));
    same.map(|other| other.node)
        .find(|other| {
            let tool = view.toolbox.tool(&other.step.tool);
            let args = node_args(view, other).ok();
            let before = before_state(view, other);
            tool.zip(args).and_then(|(tool, args)| designed(tool, &args, before.as_ref())).as_ref() == Some(now)
        })
        .map(|other| &other.id)
}

/// Which state a node changes.
#[derive(PartialEq)]
struct Place<'a> {
    /// How it is read.
    tool: &'a ToolName,
    args: Map<String, Value>,
    pick: &'a str,
    /// The arguments that single it out.
    singled: Map<String, Value>,
}

fn place<'a>(view: &View<'a>, node: &FlowNode) -> Option<Place<'a>> {
    let state = view.toolbox.tool(&node.step.tool)?.state.as_ref()?;
    let args = node_args(view, node).ok()?;
    let pick = state.pick.source();
    let singled = args.iter().filter(|(name, _)| pick.contains(&format!("args.{name}")));
    let singled = singled.map(|(name, value)| (name.clone(), value.clone())).collect();
    let args = Value::Object(args.clone());
    let args = fill_args(&state.args, &Scope::new().with("args", &args)).ok()?;
    Some(Place { tool: &state.tool, args, pick, singled })
}
