//! A flow in which a step is not what the design says, because a person accepted that it is another. What was approved
//! stays in the flow beside it, so that anyone can tell the one from the other.

use serde_json::{Map, Value};

use crate::{
    artifact::{Arg, AutomationFlow, FlowDeviation, FlowNode, NodeId, OnFailure, Step, StepId},
    tool::{Tool, Toolbox},
};

use super::expand::{ExpandError, known as fill_in};

/// The flow with these arguments in a step of it, or with the step itself where there is none of this name: a call of
/// `tool` after all others but those that always run.
pub fn otherwise(
    flow: &AutomationFlow,
    step: &StepId,
    tool: &Tool,
    with: &Map<String, Value>,
    because: &str,
    toolbox: &Toolbox,
) -> Result<AutomationFlow, ExpandError> {
    let mut flow = flow.clone();
    let known = flow.nodes.iter().any(|node| node.step.id == *step);
    let mut approved = Vec::new();
    for node in flow.nodes.iter_mut().filter(|node| node.step.id == *step && node.skipped.is_none()) {
        approved.push(node.clone());
        put(node, tool, with, toolbox)?;
    }
    // What is left out stays so, whatever its arguments are.
    if known && approved.is_empty() {
        return Ok(flow);
    }
    if !known {
        let mut node = bare(step, tool);
        put(&mut node, tool, with, toolbox)?;
        let last = flow.nodes.iter().position(|node| node.step.always).unwrap_or(flow.nodes.len());
        flow.nodes.insert(last, node);
    }
    flow.deviations.push(FlowDeviation { step: step.clone(), approved, because: because.to_owned() });
    Ok(flow)
}

/// Puts the arguments in; what was worked out from the others is for nothing then.
fn put(node: &mut FlowNode, tool: &Tool, with: &Map<String, Value>, toolbox: &Toolbox) -> Result<(), ExpandError> {
    for (name, value) in with {
        let argument = |reason| ExpandError::Argument { step: node.id.to_string(), argument: name.to_owned(), reason };
        let arg = Arg::from_value(value.clone()).map_err(argument)?;
        node.step.args.insert(name.clone(), arg);
    }
    (node.before, node.after, node.undo) = (None, None, None);
    fill_in(node, tool, toolbox)
}

fn bare(id: &StepId, tool: &Tool) -> FlowNode {
    let step = Step {
        id: id.clone(),
        tool: tool.name.clone(),
        args: Default::default(),
        needs: Vec::new(),
        when: None,
        for_each: None,
        until: None,
        verify: None,
        on_failure: OnFailure::default(),
        approval: None,
        always: false,
    };
    FlowNode {
        id: NodeId::new(id, None),
        item: None,
        target: None,
        step,
        needs: Vec::new(),
        before: None,
        after: None,
        skipped: None,
        undo: None,
    }
}
