//! What a reader of the chain relies on about what is built: it is what gate 2 was approved on, but for what the build
//! agent filled into the holes that were left to it, and for the deviations that were accepted, each said on the chain.

use serde_json::{Map, Value, json};

use crate::{
    artifact::{Agent, Arg, ArtifactKind, AutomationFlow, Digest, Fill, FlowDeviation, FlowNode, NodeId, digest_of},
    engagement::{
        Actor, ArtifactFiled, CallAllowed, CallWanted, Considered, DeviationFound, Gate, GateState, HolesFilled,
        Purpose, State, Wanted,
    },
    flow::NodeOutcome,
};

use super::{Papers, steps};

pub(super) fn filled(state: &State, actor: &Actor, filled: &HolesFilled) -> Vec<String> {
    let mut found = Vec::new();
    if *actor != Actor::Agent(Agent::Build) {
        found.push(format!("holes filled by {actor}, which is not the build agent"));
    }
    if !state.requested.model {
        found.push("holes filled in an engagement that no model drafts".into());
    }
    if !state.gate_open(Gate::One) || !state.gate_open(Gate::Two) {
        found.push("holes filled while gate 2 was not open for the current solution.design".into());
    }
    if state.filling.is_some() || state.artifact(ArtifactKind::Flow).is_some() {
        found.push("holes filled that were filled before".into());
    }
    let last = state.talk.last_turn(ArtifactKind::Flow).map(|(number, ..)| number);
    if !state.talk.drafted(ArtifactKind::Flow) || last != Some(filled.turn) {
        found.push("holes filled with what the last turn of a model did not give".into());
    }
    found
}

/// What the build agent wants otherwise is what it said, and what was found before an undo rests on the reading for that.
pub(super) fn deviated(state: &State, actor: &Actor, found: &DeviationFound) -> Option<String> {
    if !state.rests_on_its_reading(found) || found.undo && *actor != Actor::Program {
        return Some(format!("a deviation at {} that does not rest on the reading that it must", found.node));
    }
    let because = found.because.as_ref()?;
    let mut wants = state.filling.iter().flat_map(|filling| &filling.wants);
    let said = wants.any(|want| want.node() == found.node && want.because == *because);
    let after = state.wanted_after(&found.node);
    let said = said || after.is_some_and(|(_, want)| want.because == *because && is_call(&found.actual, want));
    (*actor != Actor::Program || !said)
        .then(|| format!("a deviation at {} that the build agent did not ask for, by {actor}", found.node))
}

/// Whether a deviation is about exactly this call.
fn is_call(actual: &Value, want: &CallWanted) -> bool {
    *actual == json!({"tool": want.tool, "with": want.args})
}

/// What the build agent said of a step is said of one that failed, once, and by its last turn.
pub(super) fn considered(state: &State, actor: &Actor, considered: &Considered) -> Vec<String> {
    let mut found = Vec::new();
    let node = &considered.node;
    let by = if considered.turn.is_some() { Actor::Agent(Agent::Build) } else { Actor::Program };
    if *actor != by {
        found.push(format!("the failure of {node} considered by {actor}, which is not {by}"));
    }
    if !state.requested.model {
        found.push(format!("the failure of {node} considered in an engagement that no model drafts"));
    }
    let failed = state.nodes.get(node).is_some_and(|settled| settled.outcome == NodeOutcome::Failed);
    if !failed || considered.attempt != state.attempt(node) {
        found.push(format!("a failure of {node} considered that did not happen"));
    }
    if state.considered_at(node).is_some() {
        found.push(format!("the failure of {node} considered that was considered before"));
    }
    let last = state.talk.last_turn(ArtifactKind::Flow).map(|(number, ..)| number);
    let said = state.talk.drafted(ArtifactKind::Flow) && last == considered.turn;
    if considered.turn.is_some() && !said || considered.turn.is_none() && !considered.wants.is_empty() {
        found.push(format!("wanted after {node} failed, what the last turn of a model did not give"));
    }
    for want in &considered.wants {
        let id = want.node();
        if state.nodes.contains_key(&id) || state.acting.contains(&id) || state.wanted_after(&id).is_some() {
            found.push(format!("wanted after {node} failed, under the name of {id}, which was there before"));
        }
    }
    found
}

/// A step is called as the flow has it, and what was wanted after a failure only as exactly what a person accepted. What
/// was redacted is said elsewhere.
pub(super) fn allowed(state: &State, allowed: &CallAllowed, papers: &Papers<'_>) -> Option<String> {
    let Purpose::Act { node, .. } = &allowed.purpose else { return None };
    let Some((considered, want)) = state.wanted_after(node) else { return off_flow(state, allowed, papers) };
    let made = |with: &Map<String, Value>| steps::given(&allowed.args, papers).is_none_or(|given| *given == *with);
    let accepted = state.deviation_before(node).is_some_and(|at| at.accepted_by.is_some());
    // What the question showed is what runs: the digest alone would not say so.
    let same = made(&want.args) && allowed.digest == want.call && allowed.tool.as_str() == want.tool.as_str();
    if !accepted || !allowed.approved || !same {
        let call = &allowed.call;
        return Some(format!("{call} allowed as step {node}, which the design does not have and nobody accepted so"));
    }
    (!state.still_wanted(considered, want))
        .then(|| format!("{} allowed as step {node}, when the failure of {} was over", allowed.call, considered.node))
}

/// What a call of a step is that the flow does not have so.
fn off_flow(state: &State, allowed: &CallAllowed, papers: &Papers<'_>) -> Option<String> {
    let (call, node) = (&allowed.call, allowed.purpose.node()?);
    let Some(filed) = state.artifact(ArtifactKind::Flow) else {
        return Some(format!("{call} allowed as step {node} before an {} was filed", ArtifactKind::Flow));
    };
    // A flow that is missing, was changed or cannot be read is reported where it was filed.
    let flow = papers.flow(&filed)?;
    match flow.node(node) {
        None => Some(format!("{call} allowed as step {node}, which the flow does not have")),
        Some(known) => {
            if let Some(what) = steps::unlike(state, (&flow, known), allowed, papers) {
                return Some(format!("{call} allowed as step {node} with {what} than the flow has"));
            }
            let done = |needs: &NodeId| {
                state.nodes.get(needs).is_some_and(|settled| {
                    matches!(settled.outcome, NodeOutcome::Done | NodeOutcome::Unchanged | NodeOutcome::Skipped)
                })
            };
            let before = known.needs.iter().find(|needs| !known.step.always && !done(needs));
            before.map(|needs| format!("{call} allowed as step {node} before {needs}, which it needs, was done"))
        }
    }
}

/// What runs is what gate 2 was approved on, and whatever is not was filled in or accepted.
pub(super) fn flow(state: &State, filed: &ArtifactFiled, papers: &Papers<'_>) -> Vec<String> {
    let GateState::Open { request, .. } = &state.gate2 else { return Vec::new() };
    let document = |digest: &Digest| papers.document(digest);
    let toolbox = papers.toolbox(request);
    let approved = document(request).filter(|_| filed.artifact == ArtifactKind::Flow);
    let Some(approved) = approved.as_ref().and_then(|request| request.get("flow")) else { return Vec::new() };
    let built = papers.flow(&filed.digest);
    // As it stands it is what was approved where nothing was filled in and nothing is otherwise.
    let bare = match &built {
        Some(flow) if !flow.deviations.is_empty() || has_holes(flow) => digest_of(&flow.as_approved()),
        _ => Ok(filed.digest),
    };
    let what = format!("{} filed", filed.artifact);
    let mut found = Vec::new();
    if built.is_none() && document(&filed.digest).is_some() {
        found.push(format!("{what} that cannot be read"));
    }
    if bare.map(|digest| digest.to_string()).ok().as_deref() != approved.as_str() {
        found.push(format!("{what} that is not the one that gate 2 was approved on"));
    }
    let Some(built) = built else { return found };
    let said = state.filling.as_ref();
    for (node, argument, hole) in built.nodes.iter().filter(|node| node.skipped.is_none()).flat_map(filled_in) {
        let step = &node.step.id;
        let of = |filling: &HolesFilled| {
            let value = filling.filled.iter().find(|hole| hole.step == *step && hole.argument == *argument);
            value.map(|value| (value.value.clone(), value.because.clone()))
        };
        let filled = hole.filled.as_ref().map(|filled| (filled.value.clone(), filled.because.clone()));
        if filled.is_none() || said.and_then(of) != filled {
            found.push(format!("{what} in which `{argument}` of step {step} is not what the build agent filled in"));
        }
        let schema = toolbox.as_ref().and_then(|toolbox| toolbox.tool(&node.step.tool)?.args.properties.get(argument));
        let beyond = schema.zip(filled).and_then(|(schema, (value, _))| hole.check(&value, schema).err());
        found.extend(beyond.map(|why| {
            format!("{what} in which `{argument}` of step {step} is not what gate 2 left to be filled in: {why}")
        }));
    }
    for deviation in &built.deviations {
        let wants = said.map(|said| said.wants.as_slice()).unwrap_or_default();
        let want = wants.iter().find(|want| want.step == deviation.step);
        let accepted =
            want.and_then(|want| state.deviation_before(&want.node())).is_some_and(|at| at.accepted_by.is_some());
        if !accepted || !want.is_some_and(|want| as_accepted(&built, deviation, want)) {
            found.push(format!("{what} with a deviation at step {} that nobody accepted", deviation.step));
        }
    }
    found
}

fn has_holes(flow: &AutomationFlow) -> bool {
    flow.nodes.iter().any(|node| filled_in(node).next().is_some())
}

/// The arguments of a step that were left to be filled in.
fn filled_in(node: &FlowNode) -> impl Iterator<Item = (&FlowNode, &String, &Fill)> {
    node.step.args.iter().filter_map(move |(name, arg)| match arg {
        Arg::Fill(fill) => Some((node, name, fill.as_ref())),
        Arg::Literal(_) | Arg::Hole(_) => None,
    })
}

/// Whether a step is otherwise in nothing but what was accepted.
fn as_accepted(built: &AutomationFlow, deviation: &FlowDeviation, want: &Wanted) -> bool {
    let mut nodes = built.nodes.iter().filter(|node| node.step.id == deviation.step && node.skipped.is_none());
    nodes.all(|node| {
        let wanted =
            want.args.iter().all(|(name, value)| node.step.args.get(name).and_then(Arg::literal) == Some(value));
        let mut rest = node.step.clone();
        let approved = deviation.approved.iter().find(|approved| approved.id == node.id).map(|node| &node.step);
        let same = approved.is_none_or(|approved| {
            let others =
                |(name, arg): (&String, &Arg)| want.args.contains_key(name) || rest.args.get(name) == Some(arg);
            let kept = approved.args.iter().all(others);
            rest.args.clone_from(&approved.args);
            kept && rest == *approved
        });
        wanted && same && node.step.tool == want.tool
    })
}
