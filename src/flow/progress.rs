//! What is enabled next: a pure answer from a flow and what became of its nodes so far. Whoever asks twice with
//! the same outcomes gets the same node, which is what makes a restart safe.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::{AutomationFlow, FlowNode, NodeId, OnFailure};

/// What became of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeOutcome {
    /// It ran and its effect was seen.
    Done,
    /// What it would leave was there already.
    Unchanged,
    /// Its condition did not hold.
    Skipped,
    /// It was not reached.
    NotRun,
    /// It failed.
    Failed,
    /// Nobody knows whether it took effect.
    Unknown,
    /// It took effect and was taken back.
    Undone,
    /// It took effect and could not be taken back.
    UndoFailed,
}

/// What became of a node, as the chain says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The outcome.
    pub outcome: NodeOutcome,
    /// Whether it failed by itself; stays true when what it did is taken back.
    pub failed: bool,
    /// Whether the target is not as it was before the node (even if the node failed).
    pub changed: bool,
    /// What a person chose, for a failed node whose `on_failure` is `ask`.
    pub chosen: Option<OnFailure>,
}

/// What to do next in a flow.
#[derive(Clone, Debug, PartialEq)]
pub enum NextNode<'a> {
    /// Run this node.
    Run(&'a FlowNode),
    /// Settle this node without running it.
    Settle(&'a FlowNode, NodeOutcome, String),
    /// Take this node back.
    Undo(&'a FlowNode),
    /// Ask a person what the failure of this node means.
    Ask(&'a FlowNode),
    /// Nothing is left.
    Finished,
}

/// The nodes that failed by themselves, each with what that means for the rest. One that was undone for another's sake
/// decides about no other.
pub struct Failures<'a> {
    causes: Vec<(&'a FlowNode, OnFailure)>,
    undo_all: bool,
    undo_targets: BTreeSet<&'a str>,
}

impl<'a> Failures<'a> {
    /// Those of a flow.
    pub fn of(flow: &'a AutomationFlow, settled: &BTreeMap<NodeId, Settled>) -> Self {
        let failed = settled.values().any(|settled| settled.failed);
        let causes: Vec<(&FlowNode, OnFailure)> = flow
            .nodes
            .iter()
            .take_while(|_| failed)
            .filter_map(|node| {
                let settled = settled.get(&node.id).filter(|settled| settled.failed)?;
                Some((node, settled.chosen.unwrap_or(node.step.on_failure)))
            })
            .collect();
        let undo_all = causes.iter().any(|(_, on)| *on == OnFailure::UndoAll);
        let undo_targets = causes
            .iter()
            .filter(|(_, on)| *on == OnFailure::UndoTarget)
            .filter_map(|(node, _)| node.target.as_deref())
            .collect();
        Self { causes, undo_all, undo_targets }
    }

    /// Whether one of them has what a node did taken back.
    fn lost(&self, node: &FlowNode) -> bool {
        self.undo_all || node.target.as_deref().is_some_and(|target| self.undo_targets.contains(target))
    }

    /// The first that stops the flow.
    fn stop(&self) -> Option<&'a FlowNode> {
        let mut stops = self.causes.iter().filter(|(_, on)| matches!(on, OnFailure::Stop | OnFailure::UndoAll));
        stops.next().map(|(node, _)| *node)
    }

    /// Whether they keep a node from being run.
    pub fn bar(&self, node: &FlowNode) -> bool {
        !node.step.always && (self.stop().is_some() || self.lost(node))
    }
}

/// What to do next, given what became of the nodes so far. `halted` stops everything but undo and `always` steps.
pub fn next_node<'a>(
    flow: &'a AutomationFlow,
    settled: &BTreeMap<NodeId, Settled>,
    halted: Option<&str>,
) -> NextNode<'a> {
    let failures = Failures::of(flow, settled);
    let unasked = |node: &FlowNode, on: OnFailure| {
        on == OnFailure::Ask && settled.get(&node.id).is_some_and(|settled| settled.chosen.is_none())
    };
    if let Some((node, _)) = failures.causes.iter().find(|(node, on)| unasked(node, *on)) {
        return NextNode::Ask(node);
    }
    // Where nothing failed nothing is lost.
    for node in flow.nodes.iter().rev().take_while(|_| !failures.causes.is_empty()) {
        let open = settled.get(&node.id).is_some_and(|settled| {
            // An unknown effect is taken back too: reading after the undo shows whether that worked.
            settled.changed && matches!(settled.outcome, NodeOutcome::Done | NodeOutcome::Failed | NodeOutcome::Unknown)
        });
        if open && failures.lost(node) && !node.step.always {
            return NextNode::Undo(node);
        }
    }
    let Some(node) = flow.nodes.iter().find(|node| !settled.contains_key(&node.id)) else { return NextNode::Finished };
    if let Some(reason) = &node.skipped {
        return NextNode::Settle(node, NodeOutcome::Skipped, reason.clone());
    }
    if !node.step.always {
        if let Some(reason) = halted {
            return NextNode::Settle(node, NodeOutcome::NotRun, reason.to_owned());
        }
        if let Some(cause) = failures.stop() {
            return NextNode::Settle(node, NodeOutcome::NotRun, format!("the flow stopped when `{}` failed", cause.id));
        }
        if failures.lost(node) {
            return NextNode::Settle(node, NodeOutcome::NotRun, "another step on this target failed".into());
        }
        let missing = node.needs.iter().find(|needs| {
            !settled.get(*needs).is_some_and(|settled| {
                matches!(settled.outcome, NodeOutcome::Done | NodeOutcome::Unchanged | NodeOutcome::Skipped)
            })
        });
        if let Some(needs) = missing {
            let reason = format!("it needs `{needs}`, which is not done");
            return NextNode::Settle(node, NodeOutcome::NotRun, reason);
        }
    }
    NextNode::Run(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Digest, FlowKind, Step, from_yaml};

    /// `step/item needs…` in order; the item is the target.
    fn flow(on_failure: &str, nodes: &[(&str, &str, &[&str])]) -> AutomationFlow {
        let node = |(step, item, needs): &(&str, &str, &[&str])| {
            let always = if *step == "last" { "true" } else { "false" };
            let text = format!("{{id: {step}, tool: t.x, on_failure: {on_failure}, always: {always}}}");
            let step: Step = from_yaml("s", &text).unwrap();
            FlowNode {
                id: NodeId::new(&step.id, Some(item)),
                item: None,
                target: Some((*item).to_owned()),
                step,
                needs: needs.iter().map(|id| serde_json::from_value(serde_json::json!(id)).unwrap()).collect(),
                before: None,
                after: None,
                skipped: None,
                undo: None,
            }
        };
        AutomationFlow {
            kind: FlowKind::Flow,
            design: Digest::ZERO,
            nodes: nodes.iter().map(node).collect(),
            deviations: vec![],
        }
    }

    /// Runs a flow where the nodes in `failing` fail, and tells what happened in order.
    fn run(flow: &AutomationFlow, failing: &[&str], changed: bool) -> Vec<String> {
        let mut settled: BTreeMap<NodeId, Settled> = BTreeMap::new();
        let mut told = Vec::new();
        for _ in 0..100 {
            match next_node(flow, &settled, None) {
                NextNode::Finished => return told,
                NextNode::Run(node) => {
                    let fails = failing.contains(&node.id.as_str());
                    told.push(format!("{} {}", if fails { "fail" } else { "run" }, node.id));
                    let outcome = if fails { NodeOutcome::Failed } else { NodeOutcome::Done };
                    settled.insert(
                        node.id.clone(),
                        Settled { outcome, failed: fails, changed: !fails || changed, chosen: None },
                    );
                }
                NextNode::Settle(node, outcome, _) => {
                    told.push(format!("not {}", node.id));
                    settled.insert(node.id.clone(), Settled { outcome, failed: false, changed: false, chosen: None });
                }
                NextNode::Undo(node) => {
                    told.push(format!("undo {}", node.id));
                    let undone = settled.get_mut(&node.id).unwrap();
                    (undone.outcome, undone.changed) = (NodeOutcome::Undone, false);
                }
                NextNode::Ask(node) => {
                    told.push(format!("ask {}", node.id));
                    settled.get_mut(&node.id).unwrap().chosen = Some(OnFailure::Continue);
                }
            }
        }
        panic!("does not end: {told:?}");
    }

    #[test]
    fn each_on_failure_does_what_it_says() {
        let nodes: &[(&str, &str, &[&str])] =
            &[("a", "1", &[]), ("a", "2", &[]), ("b", "1", &["a/1"]), ("b", "2", &["a/2"]), ("last", "9", &[])];
        let cases: [(&str, &[&str], bool, &[&str]); 7] = [
            ("stop", &[], false, &["run a/1", "run a/2", "run b/1", "run b/2", "run last/9"]),
            ("stop", &["a/2"], false, &["run a/1", "fail a/2", "not b/1", "not b/2", "run last/9"]),
            ("continue", &["a/2"], false, &["run a/1", "fail a/2", "run b/1", "not b/2", "run last/9"]),
            ("undo_target", &["b/1"], false, &["run a/1", "run a/2", "fail b/1", "undo a/1", "run b/2", "run last/9"]),
            (
                "undo_all",
                &["b/1"],
                false,
                &["run a/1", "run a/2", "fail b/1", "undo a/2", "undo a/1", "not b/2", "run last/9"],
            ),
            (
                "undo_target",
                &["b/1"],
                true,
                &["run a/1", "run a/2", "fail b/1", "undo b/1", "undo a/1", "run b/2", "run last/9"],
            ),
            ("ask", &["a/2"], false, &["run a/1", "fail a/2", "ask a/2", "run b/1", "not b/2", "run last/9"]),
        ];
        for (on_failure, failing, changed, expected) in cases {
            assert_eq!(run(&flow(on_failure, nodes), failing, changed), expected, "{on_failure} {failing:?}");
        }
    }

    #[test]
    fn a_halt_stops_everything_but_what_always_runs() {
        let flow = flow("stop", &[("a", "1", &[]), ("last", "9", &[])]);
        let mut settled = BTreeMap::new();
        let NextNode::Settle(node, outcome, reason) = next_node(&flow, &settled, Some("cancelled")) else { panic!() };
        assert_eq!((node.id.as_str(), outcome, reason.as_str()), ("a/1", NodeOutcome::NotRun, "cancelled"));
        settled.insert(node.id.clone(), Settled { outcome, failed: false, changed: false, chosen: None });
        assert!(matches!(next_node(&flow, &settled, Some("cancelled")), NextNode::Run(node) if node.step.always));
    }
}
