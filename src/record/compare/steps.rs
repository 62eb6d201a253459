//! The steps of a record, held against the flow and against what the chain has of each.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    artifact::{AutomationFlow, CallId, Check, FlowNode, NodeId, ReconciledRecord, StepResult, TargetOutcome, word_of},
    engagement::{Call, CallOutcome, Purpose, View},
    flow::NodeOutcome,
};

use super::super::{
    outcome::{taken_back_again, taken_back_on_a_word},
    step::{Left, Reconciled, cited, say_what_is_left},
};

/// The steps of a record with what the rest of it needs; nothing where they are not those of the flow.
pub(super) fn told<'a>(
    view: &View<'a>,
    flow: &'a AutomationFlow,
    record: &ReconciledRecord,
    found: &mut Vec<String>,
) -> Option<Vec<Reconciled<'a>>> {
    let same = |(node, said): (&FlowNode, &StepResult)| node.id == said.node && node.step.tool == said.tool;
    if flow.nodes.len() != record.steps.len() || !flow.nodes.iter().zip(&record.steps).all(same) {
        return None;
    }
    let wrote: BTreeSet<&str> = view.state.effects.values().flatten().map(String::as_str).collect();
    let mut made: BTreeMap<&NodeId, Vec<(&CallId, &Call)>> = BTreeMap::new();
    for (id, call) in &view.state.calls {
        if let Some(node) = call.purpose.node() {
            made.entry(node).or_default().push((id, call));
        }
    }
    let differing: BTreeSet<&CallId> = record
        .deviations
        .iter()
        .skip(view.state.deviations.len())
        .filter(|said| said.accepted_by.is_none())
        .flat_map(|said| &said.calls)
        .collect();
    let one = |(at, (node, said)): (usize, (&'a FlowNode, &StepResult))| {
        let made = made.get(&node.id).into_iter().flatten().copied();
        let changes = wrote.contains(node.id.as_str());
        let case = Case { view, record, node, at, said, changes };
        if said.calls != cited(view.state, node, made) {
            found.push(format!("step {} cites other calls than were made for it", node.id));
        }
        found.extend(case.states().map(|why| format!("step {}: {why}", node.id)));
        if case.gives_another_reason() {
            found.push(format!("it gives another reason for step {} than the chain", node.id));
        }
        if !case.shown() {
            let word = word_of(said.outcome);
            found.push(format!("it calls step {} {word}, which the chain does not show", node.id));
        }
        let differs = case.observe().is_some_and(|(id, _)| differing.contains(id));
        if case.differs() && !differs {
            found.push(format!("it says of no deviation that step {} was not left as designed", node.id));
        }
        let act = view.act_of(&node.id).map(|(_, call)| call).filter(|call| call.refused.is_none());
        let ran = act.is_some_and(|call| call.outcome != Some(CallOutcome::NotSent));
        let wrote = ran && changes;
        Reconciled {
            node,
            tool: None,
            target: node.target.clone().or_else(|| act.and_then(|call| call.target.clone())),
            result: said.clone(),
            wrote,
            differs,
            left: Left::Nothing,
        }
    };
    let mut steps = flow.nodes.iter().zip(&record.steps).enumerate().map(one).collect();
    say_what_is_left(view.state, &mut steps);
    Some(steps)
}

struct Case<'a, 'b> {
    view: &'b View<'a>,
    record: &'b ReconciledRecord,
    node: &'a FlowNode,
    at: usize,
    said: &'b StepResult,
    /// Whether a call of it was let through to change something.
    changes: bool,
}

impl Case<'_, '_> {
    fn observe(&self) -> Option<(&CallId, &Call)> {
        self.view.state.call_for(&Purpose::Observe { node: self.node.id.clone() })
    }

    /// What is wrong with the states that it says.
    fn states(&self) -> Option<&'static str> {
        let answered = |call: Option<(&CallId, &Call)>| {
            call.is_some_and(|(_, call)| call.refused.is_none() && call.outcome == Some(CallOutcome::Ok))
        };
        if self.said.observed.is_some() && !answered(self.observe()) {
            return Some("it says what was there at the end, and no reading at the end was answered");
        }
        let attempt = self.view.state.attempt(&self.node.id);
        let again = self.view.state.call_for(&Purpose::Recheck { node: self.node.id.clone(), attempt });
        let known = self.node.before.as_ref().map(|before| &before.state);
        let before = self.said.before.as_ref();
        if before.is_some() && before != known && !answered(again) {
            return Some("it says otherwise what was there before than the flow, and it was not read again");
        }
        // From the same state the same arguments leave what gate 2 was approved on.
        let designed = self.node.after.as_ref().filter(|_| known.is_some() && before == known);
        (designed.is_some() && self.said.designed.as_ref() != designed)
            .then_some("it says otherwise what was designed than the flow")
    }

    /// Whether it says otherwise why a step was left out or failed; what was seen at the end may be said with it.
    fn gives_another_reason(&self) -> bool {
        let state = self.view.state;
        let Some(is) = state.reasons.get(&self.node.id) else { return false };
        let says = self.said.reason.as_deref().unwrap_or_default();
        match state.nodes.get(&self.node.id).map(|settled| settled.outcome) {
            Some(NodeOutcome::NotRun | NodeOutcome::Skipped) => says != is,
            Some(NodeOutcome::Failed) => !says.contains(is.as_str()),
            _ => false,
        }
    }

    /// Whether the chain shows what it is called, or at least nothing worse: which states were there is taken from it.
    fn shown(&self) -> bool {
        use NodeOutcome as Node;
        use TargetOutcome as Said;
        let state = self.view.state;
        let (said, seen) = (self.said.outcome, self.said.observed.as_ref());
        let Some(settled) = state.nodes.get(&self.node.id) else {
            let called = self.view.act_of(&self.node.id).is_some_and(|(_, call)| call.refused.is_none());
            return said == if called { Said::Unknown } else { Said::NotRun };
        };
        let as_before = |seen| self.said.before.as_ref() == Some(seen);
        let taken_back = match said {
            Said::Undone => match seen {
                Some(seen) => self.said.before.is_none() || as_before(seen),
                None => self.observe().is_none() && !taken_back_on_a_word(state, &self.node.id),
            },
            Said::Failed => seen.is_some(),
            Said::Unreachable | Said::Unknown => seen.is_none(),
            Said::Done | Said::Unchanged | Said::NotRun => false,
        };
        match settled.outcome {
            Node::Skipped => said == Said::Unchanged,
            Node::NotRun => said == Said::NotRun,
            Node::Done if taken_back_again(state, &self.node.id) => taken_back,
            Node::Undone => taken_back,
            Node::Done | Node::Unchanged => match said {
                Said::Done => settled.outcome == Node::Done && self.stayed(),
                Said::Unchanged => settled.outcome == Node::Unchanged && self.stayed(),
                Said::Failed => seen.is_some(),
                Said::Unreachable => seen.is_none(),
                Said::Unknown => true,
                Said::Undone | Said::NotRun => false,
            },
            Node::Failed => match said {
                Said::Failed => true,
                Said::Unreachable => !settled.changed,
                _ => false,
            },
            Node::Unknown => match said {
                Said::Done => {
                    let there = seen.is_some() && seen == self.said.designed.as_ref();
                    there && !seen.is_some_and(as_before) && self.node.step.verify.is_none()
                }
                Said::Failed => seen.is_some(),
                Said::Unknown => true,
                _ => false,
            },
            Node::UndoFailed => match said {
                Said::Undone => seen.is_some_and(as_before),
                Said::Failed => seen.is_some(),
                Said::Unknown => true,
                _ => false,
            },
        }
    }

    /// Whether a step that is called done or unchanged is shown to be so at the end.
    fn stayed(&self) -> bool {
        let (before, designed) = (self.said.before.as_ref(), self.said.designed.as_ref());
        match self.said.observed.as_ref() {
            Some(now) if designed == Some(now) => true,
            Some(now) => designed.is_none() && before != Some(now) && self.seen_otherwise() || self.changed_again(),
            // What has a state was to be read at the end, and was not.
            None if self.observe().is_some() || self.node.before.is_some() => false,
            None => !self.changes || self.seen_otherwise(),
        }
    }

    /// Whether a later step that is done was to leave exactly what is there now.
    fn changed_again(&self) -> bool {
        let done = |said: &StepResult| {
            self.view.state.nodes.get(&said.node).is_some_and(|settled| settled.outcome == NodeOutcome::Done)
        };
        let mut later = self.record.steps.iter().skip(self.at + 1);
        later.any(|said| said.designed == self.said.observed && done(said))
    }

    /// Whether something is there at the end that neither what was designed nor what was there before explains, as far as
    /// the record itself says what these were.
    fn differs(&self) -> bool {
        let (state, now) = (self.view.state, self.said.observed.as_ref());
        let (Some(settled), true) = (state.nodes.get(&self.node.id), now.is_some() && !self.changed_again()) else {
            return false;
        };
        let (designed, before) = (self.said.designed.as_ref(), self.said.before.as_ref());
        match settled.outcome {
            NodeOutcome::Done if taken_back_again(state, &self.node.id) => before != now,
            NodeOutcome::Undone => before != now,
            // What is there may be what it left.
            _ if designed.is_none() => false,
            NodeOutcome::Done | NodeOutcome::Unchanged => designed != now,
            NodeOutcome::Failed | NodeOutcome::Unknown | NodeOutcome::UndoFailed => designed != now && before != now,
            NodeOutcome::Skipped | NodeOutcome::NotRun => false,
        }
    }

    /// Whether the step's own `verify` or a check saw it.
    fn seen_otherwise(&self) -> bool {
        if self.node.step.verify.is_some() {
            return true;
        }
        let (Some(design), Some(spec)) = (self.view.documents.design(), self.view.documents.spec()) else {
            return false;
        };
        let held = |check: &Check, before: bool| {
            let all = self.record.requirements.iter();
            let mut all = all.flat_map(|said| if before { &said.before } else { &said.after });
            // Of a check that covers nothing the record says nothing.
            all.find(|reading| reading.check == check.id).is_none_or(|reading| reading.holds == Some(!before))
        };
        let proves = |check: &Check| {
            design.acceptance.get(&check.id).is_some_and(|steps| steps.contains(&self.node.step.id))
                && !check.invariant
                && held(check, true)
                && held(check, false)
        };
        spec.acceptance.iter().any(proves)
    }
}
