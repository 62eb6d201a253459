//! The build phase, node by node: look, compare, act, read back, settle; and undo where the design says so. What
//! a node came to is decided by reading its state, never by what the tool said of itself.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{Agent, Arg, ArtifactKind, CallId, FlowNode, NodeId, Phase, Scope, Spec, Until},
    flow::{NextNode, NodeOutcome, bind_args, next_node},
    tool::{Effect, Tool},
};

use super::{
    call::Call,
    considered,
    event::{CallOutcome, CallVoid, DeviationFound, NodeSettled},
    filling,
    look::{after, look_after, observed, verified},
    next::{Next, NextError, Proposal, ask_or_wait},
    purpose::Purpose,
    question::About,
    state::Deviation,
    undo,
    view::{Reading, View, state_call},
};

/// What is to be done next in the build phase.
pub(super) fn next(view: &View<'_>, now: Timestamp) -> Result<Next, NextError> {
    let spec = view.documents.spec().ok_or(NextError::Missing(ArtifactKind::Spec))?;
    let Some(flow) = view.documents.flow() else {
        // Before the flow is filed nothing has run, so a window that is not open yet is simply waited for.
        let ended = view.state.cancelled.clone().or_else(|| view.stopped());
        return Ok(match (ended, &spec.window) {
            (Some(reason), _) => Next::Enter(Phase::AsBuilt, Some(reason)),
            (None, Some(window)) if now < window.from => Next::WaitUntil(window.from),
            _ => filling::next(view).unwrap_or(Next::Draft(ArtifactKind::Flow)),
        });
    };
    let halted = match (&view.state.cancelled, &spec.window) {
        (Some(reason), _) => Some(format!("the engagement was cancelled: {reason}")),
        (None, _) if view.stopped().is_some() => view.stopped().map(|reason| format!("stopped: {reason}")),
        (None, Some(window)) if now >= window.until => Some(format!("the window ended at {}", window.until)),
        _ => None,
    };
    // A node that has acted is finished whatever halts the rest: its effect must be looked at.
    let open = |node: &&FlowNode| !view.state.nodes.contains_key(&node.id) && acted(view, &node.id);
    let mut acting = flow.nodes.iter().filter(|node| view.state.acting.contains(&node.id));
    if let Some(node) = acting.find(open) {
        return run(view, node, now);
    }
    if let Some(next) = considered::next(view, halted.is_some(), now) {
        return next;
    }
    Ok(match next_node(flow, &view.state.nodes, halted.as_deref()) {
        NextNode::Run(node) => return run(view, node, now),
        NextNode::Undo(node) => return undo::undo(view, node, now),
        NextNode::Ask(node) => ask_or_wait(view.state, About::Failure { node: node.id.clone() }),
        NextNode::Settle(node, outcome, reason) => settle(view, node, outcome, false, Some(reason)),
        NextNode::Finished => Next::Enter(Phase::AsBuilt, None),
    })
}

/// What a step comes to by what was read of it.
pub enum Comes {
    /// This.
    To(NodeSettled),
    /// Nobody knows, and a person is asked whether its call took effect.
    ToAQuestion,
    /// Its call, or the one that was to take it back, was lost and left nothing, and is made again.
    ToAnotherTry,
    /// More is to be read, called or asked first.
    ToNothingYet,
}

/// What a step comes to by what was read of it: when it was called, when it was called again for it to be put right, or when
/// it was taken back.
pub fn comes_to(view: &View<'_>, node: &FlowNode, put_right: bool, now: Timestamp) -> Comes {
    let next = match view.state.nodes.contains_key(&node.id) {
        false => Some(run(view, node, now)),
        true if put_right => considered::next(view, true, now),
        true => Some(undo::undo(view, node, now)),
    };
    match next {
        Some(Ok(Next::Settle(settled))) => Comes::To(settled),
        Some(Ok(Next::Ask(About::Unknown { .. }) | Next::Wait(About::Unknown { .. }))) => Comes::ToAQuestion,
        Some(Ok(Next::Void(_))) => Comes::ToAnotherTry,
        _ => Comes::ToNothingYet,
    }
}

fn acted(view: &View<'_>, node: &NodeId) -> bool {
    view.act_of(node).is_some_and(|(_, call)| call.refused.is_none())
}

pub(super) fn settle(
    view: &View<'_>,
    node: &FlowNode,
    outcome: NodeOutcome,
    changed: bool,
    reason: Option<String>,
) -> Next {
    let attempt = view.state.attempt(&node.id);
    Next::Settle(NodeSettled { node: node.id.clone(), attempt, outcome, changed, reason })
}

/// The values that a node's holes read.
pub(super) struct Values {
    inputs: Value,
    facts: Value,
    item: Value,
    pub(super) steps: Value,
}

impl Values {
    pub(super) fn of(view: &View<'_>, node: &FlowNode) -> Self {
        let inputs = view.documents.spec().map(|spec| spec.inputs_value()).unwrap_or_default();
        let facts = view.documents.facts().map(|facts| facts.as_ref().clone()).unwrap_or_default();
        Self { inputs, facts, item: node.item.clone().unwrap_or_default(), steps: steps(view) }
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope::new()
            .with("inputs", &self.inputs)
            .with("facts", &self.facts)
            .with("item", &self.item)
            .with("steps", &self.steps)
    }
}

/// The results of finished steps: `steps.ID.result`, or `steps.ID.ITEM.result` for a `for_each`.
fn steps(view: &View<'_>) -> Value {
    let mut steps = Map::new();
    let Some(flow) = view.documents.flow() else { return Value::Object(steps) };
    for node in &flow.nodes {
        let done = view.state.nodes.get(&node.id).is_some_and(|settled| settled.outcome == NodeOutcome::Done);
        let result = view.act_of(&node.id).and_then(|(_, call)| call.result).and_then(|digest| view.blobs.get(&digest));
        if let (true, Some(result)) = (done, result) {
            let entry = json!({"result": result.as_ref()});
            match node.id.as_str().split_once('/') {
                None => {
                    steps.insert(node.step.id.to_string(), entry);
                }
                Some((step, item)) => {
                    let of = steps.entry(step.to_owned()).or_insert_with(|| json!({}));
                    if let Value::Object(map) = of {
                        map.insert(item.to_owned(), entry);
                    }
                }
            }
        }
    }
    Value::Object(steps)
}

/// The arguments of a node, as far as the chain can tell: what it acted with, else what its holes give now.
pub fn node_args(view: &View<'_>, node: &FlowNode) -> Result<Map<String, Value>, String> {
    if let Some((_, call)) = view.act_of(&node.id).filter(|(_, call)| call.refused.is_none()) {
        return call.args.read(view.blobs).cloned().ok_or_else(|| "its arguments are not in the ledger".to_owned());
    }
    let tool = view.toolbox.tool(&node.step.tool).ok_or_else(|| format!("there is no tool `{}`", node.step.tool))?;
    // Without holes there is nothing to read, so nothing that was read before is copied for them.
    let values = (!node.knows_args()).then(|| Values::of(view, node));
    let scope = values.as_ref().map_or_else(Scope::new, Values::scope);
    bind_args(node, tool, &scope, view.toolbox).map_err(|error| lost_answer(view, node).unwrap_or(error.to_string()))
}

/// That a step which is done gave no answer that this one reads: its effect was seen, and what it said was lost.
fn lost_answer(view: &View<'_>, node: &FlowNode) -> Option<String> {
    let flow = view.documents.flow()?;
    let holes = node.step.args.iter().filter_map(|(name, arg)| match arg {
        Arg::Hole(hole) => Some((name, hole)),
        _ => None,
    });
    for (argument, hole) in holes {
        let read = hole.cel.members_of("steps").unwrap_or_default();
        let unanswered = |node: &&FlowNode| {
            let done = view.state.nodes.get(&node.id).is_some_and(|settled| settled.outcome == NodeOutcome::Done);
            let answer = view.act_of(&node.id).and_then(|(_, call)| call.result);
            read.contains(&node.step.id.to_string()) && done && answer.is_none()
        };
        if let Some(node) = flow.nodes.iter().find(unanswered) {
            return Some(format!(
                "`{}` is done, but what it answered was lost, so `{argument}` is not known; look at what it left and \
                 request the rest with that",
                node.id
            ));
        }
    }
    None
}

pub(super) fn run(view: &View<'_>, node: &FlowNode, now: Timestamp) -> Result<Next, NextError> {
    // What has acted may have changed something, whatever keeps it from being looked at.
    let begun = acted(view, &node.id);
    let outcome = if begun { NodeOutcome::Unknown } else { NodeOutcome::Failed };
    let failed = |reason: String| Ok(settle(view, node, outcome, begun, Some(reason)));
    if !begun && let Some(again) = filling::again(view, &node.step.id, now) {
        return again.or_else(failed);
    }
    if let Some(when) = &node.step.when {
        match when.holds(&Values::of(view, node).scope()) {
            Ok(true) => {}
            Ok(false) => {
                let reason = format!("its condition does not hold: {when}");
                return Ok(settle(view, node, NodeOutcome::Skipped, false, Some(reason)));
            }
            Err(error) => return failed(error.to_string()),
        }
    }
    let Some(tool) = view.toolbox.tool(&node.step.tool) else {
        return failed(format!("there is no tool `{}`", node.step.tool));
    };
    let args = match node_args(view, node) {
        Ok(args) => args,
        Err(reason) => return failed(reason),
    };
    Ok(if tool.effect == Effect::Read { read(view, node, &args, now) } else { write(view, node, tool, &args, now) })
}

fn read(view: &View<'_>, node: &FlowNode, args: &Map<String, Value>, now: Timestamp) -> Next {
    let attempt = view.state.attempt(&node.id);
    let tries = node.step.until.as_ref().map_or(1, |until| until.attempts.clamp(1, Until::MOST_ATTEMPTS));
    let purpose = |r#try: u32| Purpose::Act { node: node.id.clone(), attempt, r#try };
    let call = |r#try: u32| {
        // A read that is granted for discovery only is the verifier's, as every other reading of it.
        let granted = |spec: &Spec| spec.boundary.build.iter().any(|grant| grant.tool == node.step.tool);
        let agent =
            if view.documents.spec().is_some_and(|spec| granted(spec)) { Agent::Build } else { Agent::Verifier };
        let tool = node.step.tool.to_string();
        Next::Call(Proposal { agent, purpose: purpose(r#try), tool, args: args.clone() })
    };
    let mut seen = String::new();
    for r#try in 1..=tries {
        match view.reading(&purpose(r#try)) {
            Reading::Open if r#try == 1 => return call(1),
            // It was begun and never answered, as after a crash: reading again does nothing twice.
            Reading::Again => return call(r#try),
            Reading::Open => {
                // The pause belongs to the gap between two tries; a restart waits only what is left of it.
                return match &node.step.until {
                    Some(until) if until.every_seconds > 0 => {
                        let left = left_to_pause(view, &purpose(r#try - 1), until.pause(), now);
                        if left > 0 { Next::Pause(left) } else { call(r#try) }
                    }
                    _ => call(r#try),
                };
            }
            Reading::Failed(_, reason) => {
                if let Some(asking) = approval(view, node, &purpose(r#try), now) {
                    return asking.unwrap_or_else(|| call(r#try));
                }
                return settle(view, node, NodeOutcome::Failed, false, Some(reason));
            }
            Reading::Value(_, result) => match &node.step.until {
                None => return settle(view, node, NodeOutcome::Done, false, None),
                Some(until) => {
                    let values = Values::of(view, node);
                    match until.expect.holds(&values.scope().with("result", &result)) {
                        Ok(true) => return settle(view, node, NodeOutcome::Done, false, None),
                        Ok(false) => seen = format!("{} did not hold in {tries} tries", until.expect),
                        Err(error) => seen = error.to_string(),
                    }
                }
            },
        }
    }
    settle(view, node, NodeOutcome::Failed, false, Some(seen))
}

/// How many of the seconds between a try and the next one are left; never more than all of them, whatever the clock
/// did meanwhile.
pub(super) fn left_to_pause(view: &View<'_>, tried: &Purpose, seconds: u32, now: Timestamp) -> u32 {
    let since = view.state.call_for(tried).map_or(0, |(_, call)| now.as_second() - call.at.as_second());
    u32::try_from(i64::from(seconds) - since).unwrap_or(0).min(seconds)
}

fn write(view: &View<'_>, node: &FlowNode, tool: &Tool, args: &Map<String, Value>, now: Timestamp) -> Next {
    let attempt = view.state.attempt(&node.id);
    let failed = |reason: String| settle(view, node, NodeOutcome::Failed, false, Some(reason));
    let reader = tool.state.as_ref().and_then(|state| state_call(state, args));
    let look = |purpose: Purpose| {
        reader.as_ref().map(|(name, args)| Proposal {
            agent: Agent::Verifier,
            purpose,
            tool: name.to_string(),
            args: args.clone(),
        })
    };
    let mut before = None;
    if let Some(proposal) = look(Purpose::Recheck { node: node.id.clone(), attempt }) {
        match view.reading(&proposal.purpose) {
            Reading::Open | Reading::Again => return Next::Call(proposal),
            Reading::Failed(_, reason) => return failed(format!("its state could not be read: {reason}")),
            Reading::Value(call, _) if stale(view, node, &call, now) => return Next::Call(proposal),
            Reading::Value(call, result) => match view.picked(tool, args, (&call, &result)) {
                Err(reason) => return failed(reason),
                Ok(state) => {
                    if !acted(view, &node.id) {
                        if after(tool, args, &state).as_ref() == Some(&state) {
                            let reason = "it is so already".to_owned();
                            return settle(view, node, NodeOutcome::Unchanged, false, Some(reason));
                        }
                        if let Some(next) = deviation(view, node, &state, call, now) {
                            return next;
                        }
                    }
                    before = Some(state);
                }
            },
        }
    }
    let purpose = Purpose::Act { node: node.id.clone(), attempt, r#try: 1 };
    let propose = || {
        let tool = node.step.tool.to_string();
        Next::Call(Proposal { agent: Agent::Build, purpose: purpose.clone(), tool, args: args.clone() })
    };
    let Some((id, call)) = view.state.call_for(&purpose) else { return propose() };
    if let Some((_, reason)) = &call.refused {
        // It was refused for what the gates rest on, which is asked about first and says nothing of the target.
        if call.held() {
            return propose();
        }
        return match approval(view, node, &purpose, now) {
            Some(asking) => asking.unwrap_or_else(propose),
            None => failed(format!("the broker refused: {reason}")),
        };
    }
    if call.outcome == Some(CallOutcome::NotSent) {
        return failed(format!("it was not sent: {}", said(call)));
    }
    if can_be_sent_again(tool, call) {
        return Next::Resend(id.clone());
    }
    let open = call.unsure();
    if let (Some(proposal), Some(before)) = (look(Purpose::ReadBack { node: node.id.clone(), attempt }), &before) {
        let answered_since = || view.answered_since(call, &proposal.purpose);
        let unread = |reason: String| match open.then(|| ask_whether_applied(view, node)) {
            Some(asked) => asked.unwrap_or_else(|| verified(view, node, args, call)),
            None => settle(view, node, NodeOutcome::Unknown, true, Some(reason)),
        };
        return match view.reading(&proposal.purpose) {
            Reading::Open | Reading::Again => look_after(view, proposal, now),
            Reading::Failed(..) if answered_since() => Next::Call(proposal),
            Reading::Failed(_, reason) => unread(format!("it could not be read back: {reason}")),
            Reading::Value(shown_by, result) => match view.picked(tool, args, (&shown_by, &result)) {
                Err(_) if answered_since() => Next::Call(proposal),
                Err(reason) => unread(reason),
                // Reading back shows that it never happened: a new attempt, in the open, not a silent retry.
                Ok(now) if now == *before && is_made_again(view, node, call) => {
                    Next::Void(CallVoid { call: id.clone(), node: node.id.clone(), attempt: attempt + 1, shown_by })
                }
                Ok(now) => observed(view, node, tool, args, call, before, &now),
            },
        };
    }
    if open && let Some(next) = ask_whether_applied(view, node) {
        return next;
    }
    verified(view, node, args, call)
}

/// Whether a call of a step is made once more, in another attempt, where reading back shows that nothing came of it.
pub fn is_made_again(view: &View<'_>, node: &FlowNode, call: &Call) -> bool {
    let unknown = call.outcome == Some(CallOutcome::Unknown);
    unknown && view.state.attempt(&node.id) < ATTEMPTS && (!ended(view) || node.step.always)
}

/// Whether a person or the boundary ended it: what was begun is finished, and nothing is begun.
fn ended(view: &View<'_>) -> bool {
    view.state.cancelled.is_some() || view.stopped().is_some()
}

/// How often a step is begun when reading back shows that its call never took effect.
pub(super) const ATTEMPTS: u32 = 3;

/// Seconds after which a before-state that was read right before an effect is read again.
const FRESH: i64 = 120;

/// Whether the state that was read before a node's effect may have changed since: it is old, or a person was asked
/// in between.
fn stale(view: &View<'_>, node: &FlowNode, read: &CallId, now: Timestamp) -> bool {
    if acted(view, &node.id) {
        return false;
    }
    let asked_since = view.act_of(&node.id).is_some_and(|(id, call)| {
        let approved =
            call.digest.and_then(|digest| view.state.approved_calls.get(&digest)).is_some_and(|left| *left > 0);
        approved && id.number() > read.number()
    });
    old(view, read, now) || asked_since
}

/// Whether a state was read too long ago to act on.
pub(super) fn old(view: &View<'_>, read: &CallId, now: Timestamp) -> bool {
    // A target that is slow to answer is no older for that.
    let over = view.state.last_over.as_ref().filter(|(id, _)| id == read).map(|(_, at)| *at);
    let at = over.or_else(|| view.state.calls.get(read).map(|call| call.at));
    at.is_none_or(|at| now.as_second() - at.as_second() > FRESH)
}

/// What begins the message of a call that was sent again under its own id.
pub const RESENT: &str = "sent again";

/// Whether a call that nobody heard of again may be sent once more under its own id, which its server answers from memory.
pub fn can_be_sent_again(tool: &Tool, call: &Call) -> bool {
    let resent = call.message.as_deref().is_some_and(|message| message.starts_with(RESENT));
    call.outcome == Some(CallOutcome::Unknown) && tool.idempotency_key && !resent
}

pub(super) fn said(call: &Call) -> String {
    call.message.clone().unwrap_or_else(|| "nothing".into())
}

/// For a call that the broker wants a person for: ask, wait, settle as rejected, or (`Some(None)`) propose it again.
/// Nothing for a call that was refused for good.
fn approval(view: &View<'_>, node: &FlowNode, purpose: &Purpose, now: Timestamp) -> Option<Option<Next>> {
    let needed = view.needs_approval(purpose)?;
    let refused = view.state.call_for(purpose)?.1;
    let digest = refused.digest?;
    if let Some(reason) = view.state.rejected_calls.get(&digest) {
        let reason = format!("a person rejected the call: {reason}");
        return Some(Some(settle(view, node, NodeOutcome::Failed, false, Some(reason))));
    }
    // An approval in a lesser role is none: the broker would refuse again, and so would everyone for ever. Nor is one that
    // it knew when it refused: what that was of is another now.
    let since = view.state.agreement(&digest, now).is_some_and(|(_, at, _)| *at >= refused.at);
    if since && view.state.approved_in(&digest, now).is_some_and(|given| given >= needed) {
        return Some(None);
    }
    Some(Some(ask_or_wait(view.state, About::Call { node: node.id.clone(), call: digest })))
}

/// For a call of which nothing tells whether it took effect: what a person says.
fn ask_whether_applied(view: &View<'_>, node: &FlowNode) -> Option<Next> {
    match view.state.applied.get(&node.id) {
        None => Some(ask_or_wait(view.state, About::Unknown { node: node.id.clone(), undo: false })),
        Some(true) => None,
        Some(false) => {
            let reason = "a person looked: it did not take effect".to_owned();
            Some(settle(view, node, NodeOutcome::Failed, false, Some(reason)))
        }
    }
}

/// A before-state other than the one that was approved: record it, ask, and go on only if a person accepts it.
fn deviation(view: &View<'_>, node: &FlowNode, state: &Value, call: CallId, now: Timestamp) -> Option<Next> {
    let approved = &node.before.as_ref()?.state;
    if approved == state {
        return None;
    }
    let known = view.state.deviation_before(&node.id).filter(|deviation| deviation.found.actual == *state);
    // What was accepted for a while is found anew when the while is over and nothing was done yet.
    let over = |deviation: &Deviation| deviation.accepted_until.is_some_and(|until| now >= until);
    let known = known.filter(|deviation| acted(view, &node.id) || !over(deviation));
    // Only the last deviation of a node can be asked about.
    let last = view.state.deviation_at(&node.id);
    let decided = |known: &Deviation| known.accepted_by.is_some() || known.rejected.is_some();
    let known = known.filter(|known| decided(known) || last.is_some_and(|last| std::ptr::eq(last, *known)));
    let Some(known) = known else {
        return Some(Next::Deviate(DeviationFound {
            node: node.id.clone(),
            what: "the state is not the one that gate 2 was approved on".into(),
            contract: approved.clone(),
            actual: state.clone(),
            calls: vec![call],
            because: None,
            undo: false,
        }));
    };
    match (&known.accepted_by, &known.rejected) {
        (Some(_), _) => None,
        (None, Some(reason)) => {
            let reason = format!("a person rejected the deviation: {reason}");
            Some(settle(view, node, NodeOutcome::Failed, false, Some(reason)))
        }
        (None, None) => Some(ask_or_wait(view.state, About::Deviation { node: node.id.clone() })),
    }
}
