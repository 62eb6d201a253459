//! What a reader of the chain relies on about the steps of the flow: each is called as the flow has it, is looked at where
//! it was looked at before gate 2, and comes to what calls of its own show. What a result says of a state takes the tool's
//! definition, and is worked out in [`super::again`].

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{
        Agent, Arg, ArtifactKind, AutomationFlow, Constraint, Expression, FlowNode, NodeId, Scope, Until, fill_args,
    },
    engagement::{
        Arguments, Call, CallAllowed, CallFinished, CallOutcome, CallVoid, NodeSettled, Purpose, RESENT, State,
    },
    flow::NodeOutcome,
};

use super::{Papers, grounds, undone};

/// What is wrong with a call that was allowed for a step, or to look at one.
pub(super) fn allowed(state: &State, allowed: &CallAllowed, papers: &Papers<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let call = &allowed.call;
    let flow = allowed.purpose.node().and_then(|_| papers.flow(&state.artifact(ArtifactKind::Flow)?));
    let node = |id: &NodeId| flow.as_ref().and_then(|flow| flow.node(id));
    let reads = matches!(allowed.purpose, Purpose::Recheck { .. } | Purpose::CheckBefore { .. })
        || allowed.purpose.recovers() && !matches!(allowed.purpose, Purpose::Undo { .. });
    if reads && allowed.agent != Agent::Verifier {
        let (to, agent) = (allowed.purpose.words(), allowed.agent);
        found.push(format!("{call} allowed for the {agent} agent to {to}, which is the verifier's"));
    }
    let nowhere = |id: &&NodeId| flow.is_some() && node(id).is_none() && state.wanted_after(id).is_none();
    if let Some(id) = allowed.purpose.node().filter(nowhere) {
        found.push(format!("{call} allowed for step {id}, which the flow does not have"));
    }
    match &allowed.purpose {
        Purpose::Act { node: id, r#try, .. } => {
            if *r#try > 1 && allowed.counts.is_some() {
                found.push(format!("{call} allowed as try {try} of step {id}, and what changes things is tried once"));
            }
            if allowed.counts.as_ref().is_some_and(|counts| counts != id.as_str()) {
                found.push(format!("{call} allowed as step {id}, and counted as something else"));
            }
            let known = node(id);
            let looked = Purpose::Recheck { node: id.clone(), attempt: state.attempt(id) };
            let looked = state.call_for(&looked).is_some_and(|(_, call)| call.outcome == Some(CallOutcome::Ok));
            if !looked && known.is_some_and(|node| node.before.is_some()) {
                found.push(format!("{call} allowed as step {id}, and its state was not read again before"));
            }
            if condition(state, flow.as_deref().zip(known), papers) == Some(false) {
                found.push(format!("{call} allowed as step {id}, whose condition did not hold"));
            }
            let changes = |node: &FlowNode| node.undo.is_some() || node.after.is_some();
            if allowed.counts.is_none() && known.is_some_and(changes) {
                found.push(format!("{call} allowed as step {id} without being counted, and the step changes things"));
            }
        }
        // What is proposed by hand or by a model stands for itself.
        Purpose::Proposed { .. } | Purpose::Turn { .. }
            if allowed.counts.as_ref().is_some_and(|counts| *counts != allowed.digest.to_string()) =>
        {
            found.push(format!("{call} allowed {}, and counted as something else", allowed.purpose.words()));
        }
        Purpose::Undo { node: id } => found.extend(undone::otherwise(state, id, node(id), allowed, papers)),
        Purpose::Recheck { node: id, .. }
        | Purpose::ReadBack { node: id, .. }
        | Purpose::BeforeUndo { node: id }
        | Purpose::UndoCheck { node: id }
        | Purpose::LookAgain { node: id, .. }
        | Purpose::Observe { node: id }
            if !again_by_its_check(allowed, node(id)) =>
        {
            let before = node(id).and_then(|node| node.before.as_ref());
            let first = before.and_then(|before| state.calls.get(&before.call));
            let first = first.or_else(|| looked(state, id));
            if first.is_some_and(|first| !looks_at_the_same(first, allowed, papers)) {
                found.push(format!("{call} allowed to {}, and it reads something else", allowed.purpose.words()));
            }
        }
        Purpose::Verify { node: id, .. } | Purpose::LookAgain { node: id, .. } => {
            let otherwise = node(id).is_some_and(|node| checks_otherwise(state, node, allowed, papers));
            if otherwise {
                found.push(format!("{call} allowed to {}, and it reads something else", allowed.purpose.words()));
            }
        }
        Purpose::CheckBefore { check, item } | Purpose::CheckAfter { check, item } => {
            let spec = state.artifact(ArtifactKind::Spec).and_then(|spec| papers.spec(&spec));
            let Some(spec) = spec else { return found };
            let Some(known) = spec.acceptance.iter().find(|known| known.id == *check) else {
                found.push(format!("{call} allowed for check {check}, which the spec does not have"));
                return found;
            };
            let items = known.items();
            let wanted = items.get(*item as usize).and_then(|item| {
                let inputs = spec.inputs_value();
                let scope = Scope::new().with("inputs", &inputs).with("item", item);
                known.check.fill(&scope).ok()
            });
            let given = given(&allowed.args, papers);
            let reads = match (&wanted, &given) {
                (Some(wanted), Some(given)) => gives(given, wanted),
                (None, _) => false,
                (_, None) => true,
            };
            if known.check.tool != allowed.tool || !reads {
                found.push(format!("{call} allowed to {}, and it reads something else", allowed.purpose.words()));
            }
        }
        _ => {}
    }
    found
}

/// Whether a step that failed is looked at again with its own check, and not where its state is read.
fn again_by_its_check(allowed: &CallAllowed, node: Option<&FlowNode>) -> bool {
    let own = node.is_some_and(|node| node.step.verify.is_some());
    own && matches!(allowed.purpose, Purpose::LookAgain { .. })
}

/// Whether a step is checked with another tool than it says, or with another argument as far as that can be told here.
fn checks_otherwise(state: &State, node: &FlowNode, allowed: &CallAllowed, papers: &Papers<'_>) -> bool {
    let Some(verify) = &node.step.verify else { return true };
    if verify.tool != allowed.tool {
        return true;
    }
    let told = || {
        let read = given(&allowed.args, papers)?;
        let args = Value::Object(given(&sent(state, &node.id)?.args, papers)?.as_ref().clone());
        let inputs = papers.spec(&state.artifact(ArtifactKind::Spec)?)?.inputs_value();
        let item = node.item.clone().unwrap_or_default();
        let scope = Scope::new().with("args", &args).with("inputs", &inputs).with("item", &item);
        otherwise_given(&verify.args, &scope, &read)
    };
    told().is_some()
}

/// The argument that is given otherwise than these say; what they read and is not in `scope` cannot be told.
pub(super) fn otherwise_given(
    says: &BTreeMap<String, Arg>,
    scope: &Scope<'_>,
    given: &Map<String, Value>,
) -> Option<String> {
    let differs = |(name, arg): &(&String, &Arg)| {
        let one = fill_args(&[((*name).clone(), (*arg).clone())].into(), scope).ok();
        let says = one.as_ref().and_then(|one| one.get(*name));
        says.is_some_and(|says| !given.get(*name).is_some_and(|given| alike(given, says)))
    };
    says.iter().find(differs).map(|(name, _)| name.clone())
}

/// How a call of a step is not what the flow has: where all its arguments are known, exactly these; else those that are.
pub(super) fn unlike(
    state: &State,
    (flow, known): (&AutomationFlow, &FlowNode),
    allowed: &CallAllowed,
    papers: &Papers<'_>,
) -> Option<&'static str> {
    if known.step.tool != allowed.tool {
        return Some("another tool");
    }
    if known.target.as_ref().is_some_and(|target| !alike_text(target, &allowed.target)) {
        return Some("another target");
    }
    // What was redacted is said elsewhere.
    let given = given(&allowed.args, papers)?;
    let same = match known.known_args() {
        Some(args) => args == *given,
        None => known.step.args.iter().all(|(name, arg)| match (arg, given.get(name)) {
            (_, None) => false,
            (Arg::Hole(hole), Some(value)) => {
                let within = hole.constraint.as_ref();
                within.is_none_or(|within| within.accepts(value, None, |_, _| true))
                    && bound(state, (flow, known), &hole.cel, papers).is_none_or(|bound| alike(&bound, value))
            }
            (arg, Some(value)) => arg.literal().is_none_or(|literal| alike(literal, value)),
        }),
    };
    (!same).then_some("other arguments")
}

/// What an expression of a step gives from what earlier steps answered, where that is here.
fn bound(
    state: &State,
    (flow, known): (&AutomationFlow, &FlowNode),
    cel: &Expression,
    papers: &Papers<'_>,
) -> Option<Value> {
    let variables = cel.variables();
    if variables.iter().any(|variable| !["steps", "inputs", "item"].contains(&variable.as_str())) {
        return None;
    }
    let read = cel.members_of("steps")?;
    let mut steps = Map::new();
    for node in flow.nodes.iter().filter(|node| read.contains(node.step.id.as_str())) {
        let done = state.nodes.get(&node.id).is_some_and(|settled| settled.outcome == NodeOutcome::Done);
        let value = papers.answer(state, sent(state, &node.id).filter(|_| done)?)?;
        let entry = json!({"result": value.as_ref()});
        match node.id.as_str().split_once('/') {
            None => drop(steps.insert(node.step.id.to_string(), entry)),
            Some((step, item)) => {
                let of = steps.entry(step.to_owned()).or_insert_with(|| json!({}));
                of.as_object_mut()?.insert(item.to_owned(), entry);
            }
        }
    }
    let inputs = papers.spec(&state.artifact(ArtifactKind::Spec)?)?.inputs_value();
    let (steps, item) = (Value::Object(steps), known.item.clone().unwrap_or_default());
    cel.evaluate(&Scope::new().with("steps", &steps).with("inputs", &inputs).with("item", &item)).ok()
}

/// Whether the condition of a step holds, where it has one that can be told here.
fn condition(state: &State, step: Option<(&AutomationFlow, &FlowNode)>, papers: &Papers<'_>) -> Option<bool> {
    let (flow, node) = step?;
    bound(state, (flow, node), node.step.when.as_ref()?, papers)?.as_bool()
}

/// The last call of a step in its attempt that may have reached its tool.
pub(super) fn sent<'a>(state: &'a State, node: &NodeId) -> Option<&'a Call> {
    let attempt = state.attempt(node);
    let act = |r#try: u32| Purpose::Act { node: node.clone(), attempt, r#try };
    let acts = state.served.range(act(1)..=act(Until::MOST_ATTEMPTS)).rev();
    acts.filter_map(|(_, id)| state.calls.get(id)).find(|call| was_sent(call))
}

/// The arguments of a call, where they can be read here.
pub(super) fn given(args: &Arguments, papers: &Papers<'_>) -> Option<Arc<Map<String, Value>>> {
    match args {
        Arguments::Plain(args) => Some(Arc::new(args.clone())),
        Arguments::Sealed(digest) => papers.args(digest),
    }
}

/// The reading of a step's state that came first in its attempt.
fn looked<'a>(state: &'a State, node: &NodeId) -> Option<&'a Call> {
    let attempt = state.attempt(node);
    let read = |purpose: &Purpose| state.call_for(purpose).map(|(_, call)| call).filter(|call| call.refused.is_none());
    read(&Purpose::Recheck { node: node.clone(), attempt })
        .or_else(|| read(&Purpose::ReadBack { node: node.clone(), attempt }))
}

fn looks_at_the_same(first: &Call, allowed: &CallAllowed, papers: &Papers<'_>) -> bool {
    let args = first.args == allowed.args || {
        let (first, again) = (given(&first.args, papers), given(&allowed.args, papers));
        first.is_none() || again.is_none() || first == again
    };
    args && first.tool == allowed.tool.as_str() && first.target.as_ref() == Some(&allowed.target)
}

/// What a step came to rests on calls of that step, in the attempt that it is in.
pub(super) fn settled(state: &State, settled: &NodeSettled, papers: &Papers<'_>) -> Vec<String> {
    let (node, attempt) = (&settled.node, state.attempt(&settled.node));
    if settled.attempt != attempt {
        return vec![format!("step {node} settled in attempt {}, and it was in attempt {attempt}", settled.attempt)];
    }
    let failed = state.nodes.get(node).is_some_and(|known| known.outcome == NodeOutcome::Failed);
    if failed && settled.outcome == NodeOutcome::Done {
        let right = state.put_right(node);
        return (!right)
            .then(|| format!("step {node} done after it failed, and nothing that was accepted shows it"))
            .into_iter()
            .collect();
    }
    let sent = sent(state, node);
    let answered =
        |purpose: Purpose| state.call_for(&purpose).is_some_and(|(_, call)| call.outcome == Some(CallOutcome::Ok));
    let read_back = answered(Purpose::ReadBack { node: node.clone(), attempt });
    let seen = read_back || answered(Purpose::Verify { node: node.clone(), attempt });
    let told = state.applied.get(node).copied();
    // What a step changes is counted, and what it reads is not.
    let changes = state.effects.values().any(|effects| effects.contains(node.as_str()));
    // It was called, or could not be, and read back after that; or what was read before showed that nothing was left.
    let taken_back = || {
        let undo = state.call_for(&Purpose::Undo { node: node.clone() }).filter(|(_, call)| call.refused.is_none());
        let check = state.call_for(&Purpose::UndoCheck { node: node.clone() });
        let check = check.filter(|(_, call)| call.outcome == Some(CallOutcome::Ok));
        undo.zip(check).is_some_and(|((undo, _), (check, _))| check > undo)
            || state.seen_undone(node)
            || looked_at_undo(state, node)
    };
    let flow = state.artifact(ArtifactKind::Flow).and_then(|flow| papers.flow(&flow));
    let of_flow = flow.as_ref().and_then(|flow| flow.node(node));
    let conditional = || {
        let held = || condition(state, flow.as_deref().zip(of_flow), papers) == Some(true);
        of_flow.is_none_or(|node| node.skipped.is_some() || node.step.when.is_some() && !held())
    };
    let why = match (settled.outcome, sent) {
        (NodeOutcome::Done, None) => Some("done, and it was never called"),
        (NodeOutcome::Done, Some(call)) if call.outcome != Some(CallOutcome::Ok) && !seen && told != Some(true) => {
            Some("done, though its call did not succeed and nothing that was read shows it")
        }
        (NodeOutcome::Done, Some(call)) if changes && unseen(state, (node, call), of_flow, papers).is_some() => {
            unseen(state, (node, call), of_flow, papers)
        }
        (NodeOutcome::Done, Some(_)) if changes && !settled.changed => {
            Some("done without a change, and it changes things")
        }
        (NodeOutcome::Unchanged | NodeOutcome::Skipped | NodeOutcome::NotRun, Some(_)) => {
            Some("not run, though it was called")
        }
        (NodeOutcome::Unchanged, None) if !answered(Purpose::Recheck { node: node.clone(), attempt }) => {
            Some("unchanged, and nobody looked")
        }
        (NodeOutcome::Skipped, None) if !conditional() => Some("skipped, and the flow has no reason to"),
        (NodeOutcome::Failed, Some(_)) if changes && !settled.changed && !read_back && told != Some(false) => {
            Some("failed with nothing changed, and nothing that was read shows that")
        }
        (NodeOutcome::Undone, _) if !taken_back() => {
            Some("taken back, and nothing that was called and read shows that")
        }
        _ => None,
    };
    why.map(|why| format!("step {node} settled as {why}")).into_iter().collect()
}

/// Whether a person said that a step was taken back, where nobody knew that of its undo and its state could not be read
/// after it.
fn looked_at_undo(state: &State, node: &NodeId) -> bool {
    let said = state.taken_back.get(node) == Some(&true);
    let Some((undo, call)) = state.call_for(&Purpose::Undo { node: node.clone() }).filter(|_| said) else {
        return false;
    };
    let reads = Purpose::Recheck { node: node.clone(), attempt: state.attempt(node) };
    let readable = state.call_for(&reads).is_some_and(|(_, call)| call.outcome == Some(CallOutcome::Ok));
    let check = state.call_for(&Purpose::UndoCheck { node: node.clone() });
    call.unsure() && (!readable || check.is_some_and(|(id, _)| id > undo))
}

fn was_sent(call: &Call) -> bool {
    call.refused.is_none() && call.outcome != Some(CallOutcome::NotSent)
}

/// How a step that is called done was not looked at after its call, as it has to be: its state where that can be read, and
/// what its own check reads where the call succeeded.
fn unseen(
    state: &State,
    (node, call): (&NodeId, &Call),
    of_flow: Option<&FlowNode>,
    papers: &Papers<'_>,
) -> Option<&'static str> {
    let attempt = state.attempt(node);
    let answered =
        |purpose: Purpose| state.call_for(&purpose).filter(|(_, call)| call.outcome == Some(CallOutcome::Ok));
    // The last of its calls that has this purpose: what was read before it shows nothing of it.
    let acted = state.served.get(&call.purpose)?;
    let after = |purpose: Purpose| answered(purpose).filter(|(id, _)| *id > acted);
    let readable = answered(Purpose::Recheck { node: node.clone(), attempt }).is_some();
    // Where nobody knew what came of the call and its state could not be read back, a person looked.
    let read_back = Purpose::ReadBack { node: node.clone(), attempt };
    let in_vain = state.call_for(&read_back).is_some_and(|(id, _)| *id > *acted);
    let looked = state.applied.get(node) == Some(&true) && call.outcome != Some(CallOutcome::Ok) && in_vain;
    if readable && !looked && after(read_back).is_none() {
        return Some("done, and its state was not read back after its call");
    }
    let verify = of_flow?.step.verify.as_ref().filter(|_| call.outcome == Some(CallOutcome::Ok))?;
    let Some((_, read)) = after(Purpose::Verify { node: node.clone(), attempt }) else {
        // Chains of before questions kept what they were decided on are held to less.
        let why = "done, and what it is to be checked with was not read after its call";
        return grounds::kept(state, papers).then_some(why);
    };
    let result = papers.answer(state, read)?;
    let args = Value::Object(given(&call.args, papers)?.as_ref().clone());
    let inputs = papers.spec(&state.artifact(ArtifactKind::Spec)?)?.inputs_value();
    let item = of_flow?.item.clone().unwrap_or_default();
    let scope = Scope::new().with("args", &args).with("inputs", &inputs).with("item", &item).with("result", &result);
    // What it reads beside these is not here, and then it cannot be told.
    (verify.expect.holds(&scope) == Ok(false)).then_some("done, and what was read to check it shows that it is not")
}

/// A call that is called void did not take effect: a later reading of what its step changes shows it.
pub(super) fn void(state: &State, void: &CallVoid) -> Option<String> {
    let shows = |call: &Call| {
        let reads =
            matches!(&call.purpose, Purpose::ReadBack { node, .. } | Purpose::UndoCheck { node } if *node == void.node);
        reads && call.outcome == Some(CallOutcome::Ok)
    };
    let known = state.calls.get(&void.call);
    let unknown = known.is_some_and(|call| call.outcome == Some(CallOutcome::Unknown));
    let own = known.is_some_and(|call| call.purpose.node() == Some(&void.node));
    let shown = state.calls.get(&void.shown_by).is_some_and(shows) && void.shown_by.number() > void.call.number();
    (!unknown || !own || !shown).then(|| format!("{} called void, but nothing that was read back shows it", void.call))
}

/// An outcome that was unknown becomes known only by sending the call again under its own id.
pub(super) fn known_later(earlier: &Call, finished: &CallFinished) -> Option<String> {
    let again = finished.message.as_deref().is_some_and(|message| message.starts_with(RESENT));
    (earlier.outcome == Some(CallOutcome::Unknown) && !again)
        .then(|| format!("{} was unknown, and has another outcome without having been sent again", finished.call))
}

/// Whether each of these arguments is among those that were given, in whatever spelling; others may have defaults.
pub(super) fn gives(given: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    wanted.iter().all(|(name, value)| given.get(name).is_some_and(|given| alike(given, value)))
}

/// Whether two values are the same once each is in its normal form, whatever their format is.
pub(super) fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => alike_text(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            // A member that one does not have may be a default.
            one.iter().all(|(name, one)| other.get(name).is_none_or(|other| alike(one, other)))
        }
        _ => one == other,
    }
}

/// Whether a value is the one that a constraint names, or one of those, in another spelling.
pub(super) fn alike_one_of(constraint: &Constraint, value: &Value) -> bool {
    let named = constraint.is.iter().chain(constraint.one_of.iter().flatten());
    let rest = Constraint { is: None, one_of: None, ..constraint.clone() };
    named.into_iter().any(|named| alike(named, value)) && rest.accepts(value, None, |_, _| true)
}

/// DNS names know no case, and addresses have several spellings.
fn alike_text(one: &str, other: &str) -> bool {
    let addresses = || Some(one.parse::<IpAddr>().ok()? == other.parse::<IpAddr>().ok()?);
    let blocks = || Some(one.parse::<IpNet>().ok()? == other.parse::<IpNet>().ok()?);
    one.eq_ignore_ascii_case(other) || addresses().or_else(blocks).unwrap_or(false)
}
