//! Compiles a design and the facts into a flow: items unrolled, known holes filled, calls put in order. The same
//! inputs always give the same flow, so what gate 2 showed is what the build gets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    artifact::{
        Arg, AutomationFlow, Before, Digest, EvaluateError, Fill, FlowKind, FlowNode, ForEach, NodeId, Scope,
        SolutionDesign, Step, StepId, Undo, canonical, fill_args, value::hides,
    },
    tool::{ArgsProblem, Effect, Tool, Toolbox},
};

/// A design that cannot be turned into calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A step names a tool that no manifest has.
    #[error("step `{step}`: there is no tool `{tool}`")]
    UnknownTool {
        /// The step.
        step: String,
        /// The tool.
        tool: String,
    },
    /// Steps need each other.
    #[error("the steps {} need each other in a circle", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// A step needs one that does not exist.
    #[error("step `{step}` needs `{needs}`, which does not exist")]
    UnknownNeed {
        /// The step.
        step: String,
        /// What it needs.
        needs: String,
    },
    /// A `for_each` did not give a list of distinct, nameable items, or gave too many.
    #[error("step `{step}`: {reason}")]
    Items {
        /// The step.
        step: String,
        /// What is wrong.
        reason: String,
    },
    /// An expression failed.
    #[error("step `{step}`: {source}")]
    Evaluate {
        /// The step.
        step: String,
        /// Why.
        source: EvaluateError,
    },
    /// A value that its hole or its tool does not accept.
    #[error("step `{step}`: argument `{argument}`: {reason}")]
    Argument {
        /// The step or node.
        step: String,
        /// The argument.
        argument: String,
        /// What is wrong.
        reason: String,
    },
}

/// The flow of a design. `before` gives the state that was read for a node, as far as it was; with none, the flow says
/// which nodes there are and is complete but for its diffs.
pub fn expand(
    design: &SolutionDesign,
    digest: Digest,
    facts: &Value,
    before: impl Fn(&FlowNode) -> Option<Before>,
    toolbox: &Toolbox,
) -> Result<AutomationFlow, ExpandError> {
    let inputs = Value::Object(design.inputs.clone());
    let scope = Scope::new().with("inputs", &inputs).with("facts", facts);
    let mut items: BTreeMap<&StepId, Vec<Option<Value>>> = BTreeMap::new();
    for step in &design.steps {
        let list = match &step.for_each {
            None => vec![None],
            Some(each) => resolve_items(&step.id, each, &scope)?.into_iter().map(Some).collect(),
        };
        items.insert(&step.id, list);
    }
    let by_id: BTreeMap<&StepId, &Step> = design.steps.iter().map(|step| (&step.id, step)).collect();
    let mut nodes = Vec::new();
    let mut left = BTreeMap::new();
    for step in in_order(&design.steps)? {
        let tool = toolbox
            .tool(&step.tool)
            .ok_or_else(|| ExpandError::UnknownTool { step: step.id.to_string(), tool: step.tool.to_string() })?;
        for item in items.get(&step.id).into_iter().flatten() {
            let key = item.as_ref().and_then(item_key);
            let id = NodeId::new(&step.id, key.as_deref());
            let mut needs = Vec::new();
            for needed in &step.needs {
                let paired = by_id.get(needed).is_some_and(|other| {
                    other.for_each.is_some()
                        && other.for_each.as_ref().map(|each| &each.items)
                            == step.for_each.as_ref().map(|each| &each.items)
                });
                if paired {
                    needs.push(NodeId::new(needed, key.as_deref()));
                } else {
                    let all = items.get(needed).into_iter().flatten();
                    needs.extend(all.map(|other| NodeId::new(needed, other.as_ref().and_then(item_key).as_deref())));
                }
            }
            let mut node = node(step, tool, id, item.clone(), needs, &scope, toolbox)?;
            look_ahead(&mut node, tool, &before, &mut left)?;
            nodes.push(node);
        }
    }
    Ok(AutomationFlow { kind: FlowKind::Flow, design: digest, nodes, deviations: Vec::new() })
}

/// Adds what follows from known arguments and the before-state. A step that changes what an earlier step of the same
/// flow left starts from what that one leaves, not from what was read before both.
fn look_ahead(
    node: &mut FlowNode,
    tool: &Tool,
    before: impl Fn(&FlowNode) -> Option<Before>,
    left: &mut BTreeMap<String, Value>,
) -> Result<(), ExpandError> {
    let Some(args) = node.known_args() else { return Ok(()) };
    node.before = before(node);
    let place = place(tool, &args);
    if let (Some(before), Some(earlier)) = (&mut node.before, place.as_ref().and_then(|place| left.get(place))) {
        before.state = earlier.clone();
    }
    complete(node, tool, &args)?;
    if let (Some(place), Some(after), None) = (place, &node.after, &node.skipped) {
        left.insert(place, after.clone());
    }
    Ok(())
}

/// What part of the world a write changes: the read that shows it, and the arguments that pick it out of the answer.
pub(super) fn place(tool: &Tool, args: &Map<String, Value>) -> Option<String> {
    let state = tool.state.as_ref()?;
    let named = state.pick.members_of("args");
    let picked: BTreeMap<&String, &Value> =
        args.iter().filter(|(name, _)| named.as_ref().is_none_or(|named| named.contains(*name))).collect();
    let args = Value::Object(args.clone());
    let read = fill_args(&state.args, &Scope::new().with("args", &args)).ok()?;
    let bytes = canonical(&json!([state.tool, read, state.pick, picked])).ok()?;
    String::from_utf8(bytes).ok()
}

fn node(
    step: &Step,
    tool: &Tool,
    id: NodeId,
    item: Option<Value>,
    needs: Vec<NodeId>,
    scope: &Scope<'_>,
    toolbox: &Toolbox,
) -> Result<FlowNode, ExpandError> {
    let null = Value::Null;
    let scope = scope.clone().with("item", item.as_ref().unwrap_or(&null));
    let evaluate = |source: EvaluateError| ExpandError::Evaluate { step: id.to_string(), source };
    let mut filled = step.clone();
    filled.for_each = None;
    for (name, arg) in &mut filled.args {
        if let Arg::Hole(hole) = arg
            && !hole.cel.variables().contains("steps")
        {
            let value = hole.cel.evaluate(&scope).map_err(evaluate)?;
            check_hole(hole, name, &value, tool, &id)?;
            *arg = Arg::from_value(value).map_err(|reason| argument(&id, name, reason))?;
        }
    }
    let mut skipped = None;
    if let Some(when) = &step.when
        && !when.variables().contains("steps")
    {
        if !when.holds(&scope).map_err(evaluate)? {
            skipped = Some(format!("its condition does not hold: {when}"));
        }
        filled.when = None;
    }
    let mut node =
        FlowNode { id, item, target: None, step: filled, needs, before: None, after: None, skipped, undo: None };
    known(&mut node, tool, toolbox)?;
    Ok(node)
}

/// Adds what follows from the arguments that are known: their normal form, and the target. Whatever is shown and decided of
/// a target is of the name that will be sent.
pub(super) fn known(node: &mut FlowNode, tool: &Tool, toolbox: &Toolbox) -> Result<(), ExpandError> {
    let filled = node.step.args.values().any(|arg| matches!(arg, Arg::Fill(_)));
    if let Some(args) = node.known_args().filter(|_| !filled) {
        let args = toolbox.check_args(tool, &args).map_err(|problem| from_args(&node.id, problem))?;
        node.target = args.get(&tool.target).and_then(Value::as_str).map(str::to_owned);
        node.step.args = args.into_iter().map(|(name, value)| (name, Arg::Literal(value))).collect();
    } else {
        for (name, arg) in &mut node.step.args {
            if let (Arg::Literal(value), Some(schema)) = (&mut *arg, tool.args.properties.get(name)) {
                *value = schema.normalise(value).map_err(|reason| argument(&node.id, name, reason))?;
            }
        }
        let target = node.step.args.get(&tool.target).and_then(Arg::literal);
        node.target = target.and_then(Value::as_str).map(str::to_owned);
    }
    Ok(())
}

/// Adds what follows from known arguments and the before-state: the state after, and the undo.
fn complete(node: &mut FlowNode, tool: &Tool, args: &Map<String, Value>) -> Result<(), ExpandError> {
    if tool.effect == Effect::Read {
        return Ok(());
    }
    let evaluate = |source: EvaluateError| ExpandError::Evaluate { step: node.id.to_string(), source };
    let args = Value::Object(args.clone());
    let state = node.before.as_ref().map(|before| before.state.clone());
    let mut scope = Scope::new().with("args", &args);
    if let Some(state) = &state {
        scope = scope.with("before", state);
    }
    if let (Some(after), Some(_)) = (&tool.after, &state) {
        node.after = Some(after.evaluate(&scope).map_err(evaluate)?);
    }
    if let Some(undo) = &tool.undo {
        let known = undo.args.values().all(|arg| match arg {
            Arg::Literal(_) => true,
            Arg::Fill(_) => false,
            Arg::Hole(hole) => {
                let variables = hole.cel.variables();
                !variables.contains("result")
                    && !variables.contains("left")
                    && (state.is_some() || !variables.contains("before"))
            }
        });
        if known && !node.unchanged() {
            let args = fill_args(&undo.args, &scope).map_err(evaluate)?;
            node.undo = Some(Undo { tool: undo.tool.clone(), args });
        }
    }
    Ok(())
}

/// The arguments of a node once `scope` (inputs, facts, item, steps) knows all that its holes read.
pub fn bind_args(
    node: &FlowNode,
    tool: &Tool,
    scope: &Scope<'_>,
    toolbox: &Toolbox,
) -> Result<Map<String, Value>, ExpandError> {
    let evaluate = |source: EvaluateError| ExpandError::Evaluate { step: node.id.to_string(), source };
    let args = fill_args(&node.step.args, scope).map_err(evaluate)?;
    for (name, arg) in &node.step.args {
        match (arg, args.get(name)) {
            (Arg::Hole(hole), Some(value)) => check_hole(hole, name, value, tool, &node.id)?,
            (Arg::Fill(fill), Some(value)) => check_fill(fill, name, value, tool, &node.id)?,
            _ => {}
        }
    }
    toolbox.check_args(tool, &args).map_err(|problem| from_args(&node.id, problem))
}

fn check_hole(
    hole: &crate::artifact::Hole,
    name: &str,
    value: &Value,
    tool: &Tool,
    node: &NodeId,
) -> Result<(), ExpandError> {
    let format = tool.args.properties.get(name).and_then(|schema| schema.format);
    match &hole.constraint {
        // A design that names one is refused, and one of before is not followed.
        Some(constraint) if constraint.in_group.is_some() => {
            let reason = "its `where` names a group, which nothing here knows; take it out of the design".into();
            Err(argument(node, name, reason))
        }
        Some(constraint) if !constraint.accepts(value, format, |_, _| false) => Err(argument(
            node,
            name,
            format!("{} does not satisfy {}", crate::artifact::value::shown(value), constraint.words()),
        )),
        _ => Ok(()),
    }
}

fn check_fill(fill: &Fill, name: &str, value: &Value, tool: &Tool, node: &NodeId) -> Result<(), ExpandError> {
    let schema = tool.args.properties.get(name);
    let checked = schema.map_or_else(|| Err("the tool has no such argument".into()), |of| fill.check(value, of));
    checked.map(drop).map_err(|reason| argument(node, name, reason))
}

fn argument(node: &NodeId, name: &str, reason: String) -> ExpandError {
    ExpandError::Argument { step: node.to_string(), argument: name.to_owned(), reason }
}

fn from_args(node: &NodeId, problem: ArgsProblem) -> ExpandError {
    ExpandError::Argument { step: node.to_string(), argument: problem.argument, reason: problem.reason }
}

/// The distinct items of a `for_each`.
pub fn resolve_items(step: &StepId, each: &ForEach, scope: &Scope<'_>) -> Result<Vec<Value>, ExpandError> {
    let wrong = |reason: String| ExpandError::Items { step: step.to_string(), reason };
    let value = each.items.evaluate(scope);
    let value = value.map_err(|source| ExpandError::Evaluate { step: step.to_string(), source })?;
    let Value::Array(list) = value else { return Err(wrong(format!("`{}` is not a list", each.items))) };
    if list.len() > each.at_most as usize {
        return Err(wrong(format!("{} items, but at most {} were agreed to", list.len(), each.at_most)));
    }
    let mut keys = BTreeSet::new();
    for item in &list {
        let key = item_key(item)
            .ok_or_else(|| wrong(format!("{item} has no name; use text, a number, or an object with a `name`")))?;
        // The key becomes part of a node's name, which is printed; a device may have written it.
        if key.chars().any(|c| c.is_control() || hides(c)) {
            return Err(wrong("an item's name holds control or invisible characters".into()));
        }
        if !keys.insert(key) {
            return Err(wrong(format!("{item} stands twice")));
        }
    }
    Ok(list)
}

/// The name of an item: itself, or its `name` or `id`.
pub fn item_key(item: &Value) -> Option<String> {
    match item {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(map) => map.get("name").or_else(|| map.get("id")).and_then(item_key),
        _ => None,
    }
}

/// The steps so that each stands after what it needs, otherwise as written; `always` steps last.
fn in_order(steps: &[Step]) -> Result<Vec<&Step>, ExpandError> {
    for step in steps {
        if let Some(needs) = step.needs.iter().find(|needs| !steps.iter().any(|other| other.id == **needs)) {
            return Err(ExpandError::UnknownNeed { step: step.id.to_string(), needs: needs.to_string() });
        }
    }
    let mut ordered: Vec<&Step> = Vec::new();
    let mut placed: BTreeSet<&StepId> = BTreeSet::new();
    let mut waiting: Vec<&Step> = steps.iter().filter(|step| !step.always).collect();
    waiting.extend(steps.iter().filter(|step| step.always));
    while !waiting.is_empty() {
        let Some(at) = waiting.iter().position(|step| step.needs.iter().all(|needs| placed.contains(needs))) else {
            return Err(ExpandError::Cycle(circle(&waiting)));
        };
        let step = waiting.remove(at);
        placed.insert(&step.id);
        ordered.push(step);
    }
    Ok(ordered)
}

/// Walks needs among steps that all wait for each other until one comes round again.
fn circle(waiting: &[&Step]) -> Vec<String> {
    let mut path: Vec<&StepId> = Vec::new();
    let mut current = waiting.first().copied();
    while let Some(step) = current {
        if let Some(start) = path.iter().position(|seen| **seen == step.id) {
            let mut round: Vec<String> = path.iter().skip(start).map(ToString::to_string).collect();
            round.push(step.id.to_string());
            return round;
        }
        path.push(&step.id);
        current = step.needs.iter().find_map(|needs| waiting.iter().copied().find(|other| other.id == *needs));
    }
    path.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
