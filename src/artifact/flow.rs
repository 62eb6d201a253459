//! `automation.flow`: the design with every item unrolled, every known hole filled and every before-state read.
//! Compiled by the pure `expand` of [`crate::flow`]; this file only says what it looks like.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    digest::Digest,
    fill::{Fill, Filled},
    names::{CallId, StepId, ToolName},
    step::{Arg, Step},
    value::present,
};

/// The calls that will run, in an order that respects what each needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomationFlow {
    /// Always `flow`.
    pub kind: FlowKind,
    /// The design that it was compiled from.
    pub design: Digest,
    /// The calls.
    pub nodes: Vec<FlowNode>,
    /// Where it is not what the design says, because the build agent wanted it otherwise and a person accepted that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<FlowDeviation>,
}

/// A step that is built otherwise than the design says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowDeviation {
    /// The step.
    pub step: StepId,
    /// Its calls as they were approved; none where the design has no such step.
    pub approved: Vec<FlowNode>,
    /// Why, in the agent's words.
    pub because: String,
}

/// The `kind` of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowKind {
    /// A flow.
    #[default]
    Flow,
}

/// A node of the flow: a step, and its item after a `/` where it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NodeId(String);

impl NodeId {
    /// The node of `step` for `item`.
    pub fn new(step: &StepId, item: Option<&str>) -> Self {
        Self(item.map_or_else(|| step.to_string(), |item| format!("{step}/{item}")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One call of the flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowNode {
    /// Its name.
    pub id: NodeId,
    /// The item of the step's `for_each`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub item: Option<Value>,
    /// The inventory target, where the arguments that name it are known.
    pub target: Option<String>,
    /// The step, with what is known filled in.
    pub step: Step,
    /// The nodes that must be done first.
    pub needs: Vec<NodeId>,
    /// What was there before, where the tool can be read back and the arguments are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// What the manifest says will be there after.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Why it will not run, where that is known now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// How it is undone, where it can be said now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
}

/// A state that was read before anything was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The state; `null` where there is nothing.
    pub state: Value,
    /// The call that read it.
    pub call: CallId,
}

/// The call that takes a write back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// The tool.
    pub tool: ToolName,
    /// The arguments.
    #[serde(rename = "with")]
    pub args: Map<String, Value>,
}

impl FlowNode {
    /// The arguments, where all of them are known.
    pub fn known_args(&self) -> Option<Map<String, Value>> {
        self.step.args.iter().map(|(name, arg)| Some((name.clone(), arg.literal()?.clone()))).collect()
    }

    /// Whether all of them are.
    pub fn knows_args(&self) -> bool {
        self.step.args.values().all(|arg| arg.literal().is_some())
    }

    /// Whether the state that it would leave is there already.
    pub fn unchanged(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => before.state == *after,
            _ => false,
        }
    }
}

impl AutomationFlow {
    /// The node with this id.
    pub fn node(&self, id: &NodeId) -> Option<&FlowNode> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    /// The holes that an agent fills, filled or not: the step and the argument of each, once for all items of a step.
    /// What is left out needs nothing.
    pub fn holes(&self) -> BTreeMap<(StepId, String), &Fill> {
        let nodes = self.nodes.iter().filter(|node| node.skipped.is_none());
        nodes
            .flat_map(|node| node.step.args.iter().map(move |(name, arg)| (node, name, arg)))
            .filter_map(|(node, name, arg)| match arg {
                Arg::Fill(fill) => Some(((node.step.id.clone(), name.clone()), fill.as_ref())),
                Arg::Literal(_) | Arg::Hole(_) => None,
            })
            .collect()
    }

    /// Puts a value into a hole of a step, for all of its items.
    pub fn fill(&mut self, step: &StepId, argument: &str, filled: &Filled) {
        for node in self.nodes.iter_mut().filter(|node| node.step.id == *step) {
            if let Some(Arg::Fill(fill)) = node.step.args.get_mut(argument) {
                fill.filled = Some(filled.clone());
            }
        }
    }

    /// The flow as the design alone gives it: nothing fills its holes, and every step is the one that was approved.
    #[must_use]
    pub fn as_approved(&self) -> Self {
        let mut flow = self.clone();
        for deviation in std::mem::take(&mut flow.deviations) {
            if deviation.approved.is_empty() {
                flow.nodes.retain(|node| node.step.id != deviation.step);
            }
            for node in &mut flow.nodes {
                if let Some(approved) = deviation.approved.iter().find(|approved| approved.id == node.id) {
                    node.clone_from(approved);
                }
            }
        }
        for arg in flow.nodes.iter_mut().flat_map(|node| node.step.args.values_mut()) {
            if let Arg::Fill(fill) = arg {
                fill.filled = None;
            }
        }
        flow
    }

    /// The nodes by id.
    pub fn by_id(&self) -> BTreeMap<&NodeId, &FlowNode> {
        self.nodes.iter().map(|node| (&node.id, node)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_will_be_there_is_read_as_it_was_written() {
        let step = json!({"id": "remove", "tool": "vlan.delete"});
        let mut node = json!({"id": "remove", "target": "sw01", "step": step, "needs": [], "after": null});
        let read: FlowNode = serde_json::from_value(node.clone()).unwrap();
        assert_eq!(read.after, Some(Value::Null));
        assert_eq!(serde_json::to_value(&read).unwrap().get("after"), Some(&Value::Null));
        node.as_object_mut().unwrap().remove("after");
        let read: FlowNode = serde_json::from_value(node).unwrap();
        assert_eq!(read.after, None);
    }
}
