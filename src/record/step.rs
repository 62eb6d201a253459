//! One designed step: what it was to leave, what became of it, and what is there at the end. What the end shows
//! beats what the step said when it was settled.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    artifact::{
        ArtifactKind, AutomationFlow, CallId, Check, FlowNode, NodeId, Scope, StepResult, TargetOutcome, TargetResult,
        ToolName, canonical, fill_args,
    },
    engagement::{
        AS_BEFORE, Call, CallOutcome, LOOKED, Purpose, SEEN_GONE, State, View, before_state, node_args, observed_state,
    },
    flow::NodeOutcome,
    tool::{Effect, Tool},
};

use super::requirements::Readings;

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

/// A state in words: its keys stand in one order, whatever order it was computed in.
pub(super) fn in_words(state: &Value) -> String {
    match state {
        Value::Null => "nothing".into(),
        state => canonical(state).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default(),
    }
}

/// The place of a call in its engagement.
pub(super) fn number(call: &CallId) -> u64 {
    u64::from(call.number())
}

/// What the end shows.
enum Ending {
    /// This is there.
    State(Value),
    /// It was to be read, and was not.
    Unread(TargetOutcome, String),
    /// The tool has no state to read.
    NoRoad,
}

impl Ending {
    fn state(&self) -> Option<&Value> {
        match self {
            Self::State(state) => Some(state),
            Self::Unread(..) | Self::NoRoad => None,
        }
    }
}

fn ending(view: &View<'_>, node: &FlowNode, tool: Option<&Tool>) -> Ending {
    if tool.is_none_or(|tool| tool.state.is_none()) {
        return Ending::NoRoad;
    }
    if let Some(state) = observed_state(view, node) {
        return Ending::State(state);
    }
    let Some((_, call)) = view.state.call_for(&Purpose::Observe { node: node.id.clone() }) else {
        return Ending::Unread(TargetOutcome::Unknown, "it was not read at the end".into());
    };
    if let Some((_, reason)) = &call.refused {
        return Ending::Unread(TargetOutcome::Unknown, format!("the broker refused to read it at the end: {reason}"));
    }
    let said = call.message.as_deref().unwrap_or("no answer");
    let (outcome, what) = match call.outcome {
        Some(CallOutcome::NotSent | CallOutcome::Unknown) | None => {
            (TargetOutcome::Unreachable, "it could not be reached at the end")
        }
        Some(CallOutcome::Error) => (TargetOutcome::Unknown, "it could not be read at the end"),
        Some(CallOutcome::Ok) => (TargetOutcome::Unknown, "the reading at the end could not be understood"),
    };
    Ending::Unread(outcome, format!("{what}: {said}"))
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

/// Whether what put a step right after it had failed was taken back later.
pub(super) fn taken_back_again(state: &State, node: &NodeId) -> bool {
    let undone = |id: &NodeId| state.nodes.get(id).is_some_and(|known| known.outcome == NodeOutcome::Undone);
    let considered = state.considered_at(node);
    considered.is_some_and(|considered| considered.wants.iter().any(|want| undone(&want.node())))
}

/// Whether nothing but a person's word says that a node, or what put it right, was taken back.
pub(super) fn taken_back_on_a_word(state: &State, node: &NodeId) -> bool {
    let said = |id: &NodeId| state.reasons.get(id).is_some_and(|reason| reason == SEEN_GONE);
    said(node)
        || state.considered_at(node).is_some_and(|considered| considered.wants.iter().any(|want| said(&want.node())))
}

/// Why a step that was taken back had failed, or what a person said of its undo.
fn before_it_was_taken_back(reason: String) -> String {
    let of_the_undo = [SEEN_GONE, AS_BEFORE].contains(&reason.as_str());
    if of_the_undo { reason } else { format!("taken back; before that: {reason}") }
}

struct Story<'a> {
    view: &'a View<'a>,
    node: &'a FlowNode,
    tool: Option<&'a Tool>,
    before: Option<&'a Value>,
    designed: Option<&'a Value>,
    ending: &'a Ending,
    later: Option<&'a NodeId>,
    readings: &'a Readings<'a>,
}

type Told = (TargetOutcome, Option<String>);

impl Story<'_> {
    fn outcome(&self) -> Told {
        let reason = self.view.state.reasons.get(&self.node.id).cloned();
        let Some(settled) = self.view.state.nodes.get(&self.node.id) else {
            return match self.view.act_of(&self.node.id) {
                Some((_, call)) if call.refused.is_none() => {
                    (TargetOutcome::Unknown, Some("it was called, and what came of it was not looked at".into()))
                }
                _ => (TargetOutcome::NotRun, Some("it was not reached".into())),
            };
        };
        match settled.outcome {
            NodeOutcome::Done if self.taken_back_again() => self.taken_back(reason),
            NodeOutcome::Done => self.stayed(TargetOutcome::Done, "after", reason),
            NodeOutcome::Unchanged => self.stayed(TargetOutcome::Unchanged, "before", reason),
            NodeOutcome::Skipped => (TargetOutcome::Unchanged, reason),
            NodeOutcome::NotRun => (TargetOutcome::NotRun, reason),
            NodeOutcome::Failed if !settled.changed && self.out_of_reach() => (TargetOutcome::Unreachable, reason),
            NodeOutcome::Failed => (TargetOutcome::Failed, self.though_there(reason)),
            NodeOutcome::Unknown => self.found_out(reason),
            NodeOutcome::Undone => self.taken_back(reason),
            NodeOutcome::UndoFailed => self.undo_not_confirmed(reason),
        }
    }

    /// Whether something is there at the end that neither the design nor the state before explains.
    fn differs(&self) -> bool {
        let (Some(settled), Some(now)) = (self.view.state.nodes.get(&self.node.id), self.ending.state()) else {
            return false;
        };
        if self.later.is_some() {
            return false;
        }
        let designed = self.designed == Some(now);
        let before = self.before == Some(now);
        match settled.outcome {
            NodeOutcome::Done if self.taken_back_again() => !before,
            NodeOutcome::Undone => !before,
            // What is there may be what it left.
            _ if self.unforeseen() => false,
            NodeOutcome::Done | NodeOutcome::Unchanged => !designed,
            NodeOutcome::Failed | NodeOutcome::Unknown | NodeOutcome::UndoFailed => !designed && !before,
            NodeOutcome::Skipped | NodeOutcome::NotRun => false,
        }
    }

    fn taken_back_again(&self) -> bool {
        taken_back_again(self.view.state, &self.node.id)
    }

    /// Whether what the step would leave could not be said beforehand.
    fn unforeseen(&self) -> bool {
        self.designed.is_none() && self.tool.is_some_and(|tool| tool.after.is_none())
    }

    /// A step that left or found what was designed: it counts only if it is there at the end.
    fn stayed(&self, as_it_was: TargetOutcome, when: &str, reason: Option<String>) -> Told {
        if self.tool.is_some_and(|tool| tool.effect == Effect::Read) {
            return (as_it_was, reason);
        }
        match self.ending {
            Ending::State(now) if self.designed == Some(now) => (as_it_was, reason),
            Ending::State(now) if self.unforeseen() && self.before != Some(now) => {
                self.seen_otherwise(as_it_was, reason)
            }
            Ending::State(_) if self.later.is_some() && self.view.state.put_right(&self.node.id) => (as_it_was, reason),
            Ending::State(_) if self.later.is_some() => {
                let later = self.later.map(ToString::to_string).unwrap_or_default();
                (as_it_was, Some(format!("it was seen, and then changed again by `{later}`, as designed")))
            }
            Ending::State(now) if reason.as_deref() == Some(LOOKED) => {
                let is =
                    if now.is_null() { "it is not there".to_owned() } else { format!("{} is there", in_words(now)) };
                (TargetOutcome::Failed, Some(format!("{LOOKED}; at the end {is}")))
            }
            Ending::State(Value::Null) => {
                (TargetOutcome::Failed, Some(format!("it was there {when} the step and is not there now")))
            }
            Ending::State(now) => (
                TargetOutcome::Failed,
                Some(format!("it was as designed {when} the step, and {} is there now instead", in_words(now))),
            ),
            Ending::Unread(outcome, why) => (*outcome, Some(why.clone())),
            Ending::NoRoad => self.seen_otherwise(as_it_was, reason),
        }
    }

    /// A tool without a state to read: the step's own `verify` or an acceptance check must have seen it.
    fn seen_otherwise(&self, as_it_was: TargetOutcome, reason: Option<String>) -> Told {
        let step = &self.node.step.id;
        if self.node.step.verify.is_some() {
            return (as_it_was, reason);
        }
        let shown = self.view.documents.design().and_then(|design| {
            let made_by = |check: &Check| design.acceptance.get(&check.id).is_some_and(|steps| steps.contains(step));
            let mut checks = self.readings.checks().filter(|(check, _)| !check.invariant && made_by(check));
            checks.find(|(_, read)| read(true).holds == Some(false) && read(false).holds == Some(true))
        });
        match shown {
            Some((check, _)) => (as_it_was, Some(format!("not read back by itself; seen by check {}", check.id))),
            None => {
                let nothing = || "the tool reported success, and nothing could read it back".to_owned();
                (TargetOutcome::Unknown, Some(reason.unwrap_or_else(nothing)))
            }
        }
    }

    /// A step of which nobody knew whether it took effect: the end may show it.
    fn found_out(&self, reason: Option<String>) -> Told {
        match self.ending {
            Ending::State(now) if self.designed == Some(now) && self.before != Some(now) => match self.node.step.verify
            {
                None => (TargetOutcome::Done, Some("seen only when it was read at the end".into())),
                Some(_) => (TargetOutcome::Unknown, reason),
            },
            Ending::State(now) if self.before == Some(now) => {
                (TargetOutcome::Failed, Some("at the end nothing had changed".into()))
            }
            Ending::State(now) => {
                (TargetOutcome::Failed, Some(format!("at the end {} is there instead", in_words(now))))
            }
            Ending::Unread(TargetOutcome::Unreachable, why) => (TargetOutcome::Unknown, Some(why.clone())),
            Ending::Unread(..) | Ending::NoRoad => (TargetOutcome::Unknown, reason),
        }
    }

    fn taken_back(&self, reason: Option<String>) -> Told {
        let said = taken_back_on_a_word(self.view.state, &self.node.id);
        let was = if said { SEEN_GONE } else { "it was taken back" };
        match self.ending {
            Ending::State(now) if self.before.is_some_and(|before| before != now) => {
                (TargetOutcome::Failed, Some(format!("{was}, and {} is there now", in_words(now))))
            }
            // What somebody says of it is no evidence.
            Ending::Unread(_, why) if said => (TargetOutcome::Unknown, Some(format!("{was}, and {why}"))),
            Ending::NoRoad if said => (TargetOutcome::Unknown, Some(was.to_owned())),
            Ending::Unread(outcome, why) => (*outcome, Some(format!("{was}, and {why}"))),
            Ending::State(_) | Ending::NoRoad => (TargetOutcome::Undone, reason.map(before_it_was_taken_back)),
        }
    }

    /// A step whose undo was not seen to have worked: the end may show it.
    fn undo_not_confirmed(&self, reason: Option<String>) -> Told {
        let why = reason.unwrap_or_else(|| "no reason is known".into());
        match self.ending {
            Ending::State(now) if self.before == Some(now) => {
                let seen = format!("its undo could not be confirmed ({why}); at the end it is as it was before");
                (TargetOutcome::Undone, Some(seen))
            }
            Ending::State(now) => {
                let there = in_words(now);
                (TargetOutcome::Failed, Some(format!("it was not taken back: {why}; at the end {there} is there")))
            }
            Ending::Unread(_, unread) => {
                (TargetOutcome::Unknown, Some(format!("its undo could not be confirmed: {why}; {unread}")))
            }
            Ending::NoRoad => (TargetOutcome::Unknown, Some(format!("its undo could not be confirmed: {why}"))),
        }
    }

    fn though_there(&self, reason: Option<String>) -> Option<String> {
        match (self.ending, reason) {
            (Ending::State(now), Some(reason)) if self.designed == Some(now) && self.before != Some(now) => {
                Some(format!("{reason}; at the end it is there"))
            }
            (_, reason) => reason,
        }
    }

    /// Whether a failed step got no answer, neither to its first look nor to its call.
    fn out_of_reach(&self) -> bool {
        let attempt = self.view.state.attempt(&self.node.id);
        let silent = |call: &Call| call.refused.is_none() && !matches!(call.outcome, Some(CallOutcome::Ok));
        if let Some((_, call)) = self.view.act_of(&self.node.id) {
            let reads = self.tool.is_some_and(|tool| tool.effect == Effect::Read);
            let lost = matches!(call.outcome, Some(CallOutcome::NotSent))
                || reads && matches!(call.outcome, Some(CallOutcome::Unknown) | None);
            return call.refused.is_none() && lost;
        }
        let look = Purpose::Recheck { node: self.node.id.clone(), attempt };
        self.view.state.call_for(&look).is_some_and(|(_, call)| silent(call))
    }
}
