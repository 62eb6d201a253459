//! What became of one designed step, from what it came to when it ran and from what is there at the end.

use serde_json::Value;

use crate::{
    artifact::{Check, FlowNode, NodeId, TargetOutcome, canonical},
    engagement::{AS_BEFORE, Call, CallOutcome, LOOKED, Purpose, SEEN_GONE, State, View, observed_state},
    flow::NodeOutcome,
    tool::{Effect, Tool},
};

use super::requirements::Readings;

/// A state in words: its keys stand in one order, whatever order it was computed in.
pub(super) fn in_words(state: &Value) -> String {
    match state {
        Value::Null => "nothing".into(),
        state => canonical(state).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default(),
    }
}

/// What the end shows.
pub(super) enum Ending {
    /// This is there.
    State(Value),
    /// It was to be read, and was not.
    Unread(TargetOutcome, String),
    /// The tool has no state to read.
    NoRoad,
}

impl Ending {
    pub(super) fn state(&self) -> Option<&Value> {
        match self {
            Self::State(state) => Some(state),
            Self::Unread(..) | Self::NoRoad => None,
        }
    }
}

pub(super) fn ending(view: &View<'_>, node: &FlowNode, tool: Option<&Tool>) -> Ending {
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
    let of_the_undo = reason == SEEN_GONE || reason.starts_with(AS_BEFORE);
    if of_the_undo { reason } else { format!("taken back; before that: {reason}") }
}

pub(super) struct Story<'a> {
    pub view: &'a View<'a>,
    pub node: &'a FlowNode,
    pub tool: Option<&'a Tool>,
    pub before: Option<&'a Value>,
    pub designed: Option<&'a Value>,
    pub ending: &'a Ending,
    pub later: Option<&'a NodeId>,
    pub readings: &'a Readings<'a>,
}

type Told = (TargetOutcome, Option<String>);

impl Story<'_> {
    pub(super) fn outcome(&self) -> Told {
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
    pub(super) fn differs(&self) -> bool {
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
            // What it would leave could not be said beforehand, and what it left is not there.
            Ending::State(now) if self.unforeseen() => (
                TargetOutcome::Failed,
                Some(format!("it took effect, and at the end {} is there as before", in_words(now))),
            ),
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
