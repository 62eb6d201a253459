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

/// The flow of a design. `before` holds the states that were read for it so far; with none, the flow says which
/// nodes there are and is complete but for its diffs.
pub fn expand(
    design: &SolutionDesign,
    digest: Digest,
    facts: &Value,
    before: &BTreeMap<NodeId, Before>,
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
            look_ahead(&mut node, tool, before, &mut left)?;
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
    before: &BTreeMap<NodeId, Before>,
    left: &mut BTreeMap<String, Value>,
) -> Result<(), ExpandError> {
    let Some(args) = node.known_args() else { return Ok(()) };
    node.before = before.get(&node.id).cloned();
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
fn place(tool: &Tool, args: &Map<String, Value>) -> Option<String> {
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

/// Adds what follows from the arguments that are known: their normal form, once all are, and the target.
pub(super) fn known(node: &mut FlowNode, tool: &Tool, toolbox: &Toolbox) -> Result<(), ExpandError> {
    let filled = node.step.args.values().any(|arg| matches!(arg, Arg::Fill(_)));
    if let Some(args) = node.known_args().filter(|_| !filled) {
        let args = toolbox.check_args(tool, &args).map_err(|problem| from_args(&node.id, problem))?;
        node.target = args.get(&tool.target).and_then(Value::as_str).map(str::to_owned);
        node.step.args = args.into_iter().map(|(name, value)| (name, Arg::Literal(value))).collect();
    } else if let Some(Arg::Literal(Value::String(target))) = node.step.args.get(&tool.target) {
        node.target = Some(target.clone());
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        artifact::from_yaml,
        tool::{Manifest, Pins},
    };

    const TOOLS: &str = "
kind: tools
family: t
about: t
server: {command: [t]}
tools:
  - name: vlan.list
    about: List
    says: list VLANs on {switch}
    effect: read
    target: switch
    args: {properties: {switch: {type: string, format: target}}, required: [switch]}
  - name: vlan.create
    about: Create
    says: create VLAN {id}
    effect: write
    target: switch
    args: {properties: {switch: {type: string, format: target}, id: {type: integer}}, required: [switch, id]}
    state: {tool: vlan.list, with: {switch: {cel: args.switch}}, pick: 'result'}
    after: '{\"id\": args.id}'
    undo: {tool: vlan.delete, with: {switch: {cel: args.switch}, id: {cel: args.id}}}
  - name: vlan.delete
    about: Delete
    says: delete VLAN {id}
    effect: destructive
    target: switch
    args: {properties: {switch: {type: string, format: target}, id: {type: integer}}, required: [switch, id]}
";

    fn toolbox() -> Toolbox {
        Toolbox::new(vec![from_yaml::<Manifest>("t", TOOLS).unwrap()], Pins::default()).unwrap()
    }

    fn design(steps: &str) -> SolutionDesign {
        let zero = Digest::ZERO;
        let text = format!(
            "{{kind: design, spec: '{zero}', discovery: '{zero}', inputs: {{id: 120, on: [sw01, sw02]}}, acceptance: {{}}, steps: {steps}}}"
        );
        from_yaml("d", &text).unwrap()
    }

    fn flow(steps: &str) -> Result<AutomationFlow, ExpandError> {
        expand(&design(steps), Digest::ZERO, &json!({"free": true}), &BTreeMap::new(), &toolbox())
    }

    const CREATE: &str = "{id: create, tool: vlan.create, with: {switch: {cel: item}, id: {cel: inputs.id}}, for_each: {items: inputs.on, at_most: 4}}";

    #[test]
    fn items_are_unrolled_and_steps_over_the_same_items_are_paired() {
        let again = CREATE.replace("id: create", "id: again").replace("tool:", "needs: [create], tool:");
        let once = "{id: once, tool: vlan.list, with: {switch: sw01}, needs: [again]}";
        let flow = flow(&format!("[{once}, {again}, {CREATE}]")).unwrap();
        let shown: Vec<(String, Vec<&str>)> =
            flow.nodes.iter().map(|n| (n.id.to_string(), n.needs.iter().map(NodeId::as_str).collect())).collect();
        let expected = [
            ("create/sw01", vec![]),
            ("create/sw02", vec![]),
            ("again/sw01", vec!["create/sw01"]),
            ("again/sw02", vec!["create/sw02"]),
            ("once", vec!["again/sw01", "again/sw02"]),
        ];
        assert_eq!(shown, expected.map(|(id, needs)| (id.to_owned(), needs)));
        let first = &flow.nodes[0];
        assert_eq!(first.target.as_deref(), Some("sw01"));
        assert_eq!(first.known_args().unwrap()["id"], json!(120));
        assert_eq!(first.undo.as_ref().unwrap().tool.as_str(), "vlan.delete");
    }

    #[test]
    fn expanding_twice_gives_the_same_bytes() {
        let one = flow(&format!("[{CREATE}]")).unwrap();
        assert_eq!(
            crate::artifact::digest_of(&one).unwrap(),
            crate::artifact::digest_of(&flow(&format!("[{CREATE}]")).unwrap()).unwrap()
        );
    }

    #[test]
    fn what_is_known_is_decided_and_what_is_not_stays_a_hole() {
        let skip = CREATE.replace("tool:", "when: '!facts.free', tool:");
        assert!(flow(&format!("[{skip}]")).unwrap().nodes[0].skipped.is_some());
        let later =
            "{id: later, tool: vlan.create, with: {switch: sw01, id: {cel: steps.create.result.id}}, needs: [create]}";
        let create = "{id: create, tool: vlan.create, with: {switch: sw01, id: 7}}";
        let flow = flow(&format!("[{create}, {later}]")).unwrap();
        let node = &flow.nodes[1];
        assert!(node.known_args().is_none() && node.undo.is_none() && node.target.as_deref() == Some("sw01"));
        let steps = json!({"create": {"result": {"id": 9}}});
        let toolbox = toolbox();
        let tool = toolbox.tool(&node.step.tool).unwrap();
        let args = bind_args(node, tool, &Scope::new().with("steps", &steps), &toolbox).unwrap();
        assert_eq!(args["id"], json!(9));
    }

    #[test]
    fn a_step_starts_from_what_an_earlier_one_leaves() {
        let first = "{id: first, tool: vlan.create, with: {switch: sw01, id: 7}}";
        let again = "{id: again, tool: vlan.create, with: {switch: sw01, id: 7}, needs: [first]}";
        let other = "{id: other, tool: vlan.create, with: {switch: sw02, id: 7}, needs: [first]}";
        let design = design(&format!("[{first}, {again}, {other}]"));
        let read = |id: &str| {
            (NodeId::new(&id.parse().unwrap(), None), Before { state: Value::Null, call: "c1".parse().unwrap() })
        };
        let before = ["first", "again", "other"].map(read).into_iter().collect();
        let flow = expand(&design, Digest::ZERO, &Value::Null, &before, &toolbox()).unwrap();
        let state = |at: usize| flow.nodes[at].before.as_ref().unwrap().state.clone();
        assert_eq!([state(0), state(1), state(2)], [Value::Null, json!({"id": 7}), Value::Null]);
        assert!(flow.nodes[1].unchanged() && !flow.nodes[2].unchanged());
    }

    #[test]
    fn a_design_that_cannot_run_says_why() {
        let a = "{id: a, tool: vlan.list, with: {switch: sw01}, needs: [b]}";
        let b = "{id: b, tool: vlan.list, with: {switch: sw01}, needs: [a]}";
        for (steps, says) in [
            (format!("[{a}, {b}]"), "circle"),
            (format!("[{a}]"), "does not exist"),
            (format!("[{}]", CREATE.replace("vlan.create", "vlan.make")), "no tool"),
            (format!("[{}]", CREATE.replace("at_most: 4", "at_most: 1")), "at most 1"),
            (format!("[{}]", CREATE.replace("inputs.on", "inputs.id")), "not a list"),
            (format!("[{}]", CREATE.replace("inputs.on", r#""['a\\u001b[31m']""#)), "control or invisible"),
            (
                format!(
                    "[{}]",
                    CREATE
                        .replace("inputs.on", "[\"a\", \"a\"]")
                        .replace("items: ", "items: '")
                        .replace("], at", "]', at")
                ),
                "twice",
            ),
            (
                format!("[{}]", CREATE.replace("{cel: inputs.id}", "{cel: inputs.id, where: {max: 100}}")),
                "does not satisfy",
            ),
            (format!("[{}]", CREATE.replace("{cel: inputs.id}", "{cel: inputs.nope}")), "nope"),
        ] {
            let error = flow(&steps).unwrap_err().to_string();
            assert!(error.contains(says), "{steps}: {error}");
        }
    }
}
