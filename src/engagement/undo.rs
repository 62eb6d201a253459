//! Takes a node back: looks at what is there, calls what takes it back, and reads whether that worked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    artifact::{
        Agent, Arg, CallId, FlowNode, Scope, ToolName, Undo, fill_args,
        value::{clipped, shown},
    },
    flow::NodeOutcome,
    tool::Tool,
};

use super::{
    build::{ATTEMPTS, can_be_sent_again, old, said, settle},
    call::Call,
    event::{CallOutcome, CallVoid, DeviationFound},
    look::{after, look_after},
    next::{Next, NextError, Proposal, ask_or_wait},
    purpose::Purpose,
    question::About,
    view::{Reading, View, state_call},
};

/// The call that takes a node back: from its outcome and its before-state, never from what the design guessed.
pub fn undo_call(view: &View<'_>, node: &FlowNode) -> Result<Undo, String> {
    let tool = view.toolbox.tool(&node.step.tool).ok_or("the tool is gone")?;
    let acted_with = acted_with(view, node)?;
    worked_out(view, node, (tool, acted_with), &States::of(view, node, tool, acted_with)?)
}

fn worked_out(
    view: &View<'_>,
    node: &FlowNode,
    (tool, acted_with): (&Tool, &Map<String, Value>),
    States { before, left, .. }: &States,
) -> Result<Undo, String> {
    let rule = tool.undo.as_ref().ok_or("the tool has no undo")?;
    let (_, call) = view.act_of(&node.id).ok_or("it never ran")?;
    let args = Value::Object(acted_with.clone());
    let result = call.result.and_then(|digest| view.blobs.get(&digest)).map(|value| value.as_ref().clone());
    let mut scope = Scope::new().with("args", &args);
    if let Some(left) = left {
        scope = scope.with("left", left);
    }
    if let Some(before) = before {
        scope = scope.with("before", before);
    }
    if let Some(result) = &result {
        scope = scope.with("result", result);
    }
    let taken = fill_args(&rule.args, &scope).map_err(|error| error.to_string())?;
    let known = before.iter().fold(Scope::new().with("args", &args), |scope, before| scope.with("before", before));
    let undoes = view.toolbox.tool(&rule.tool).ok_or("the tool that takes it back is gone")?;
    // As it would be sent: names and addresses have one spelling.
    let sent = view.toolbox.check_args(undoes, &taken).unwrap_or_else(|_| taken.clone());
    let target = undoes.target.as_str();
    // What stands there because nobody gave anything was not given; what the design gives was, whatever it is.
    let designed = view.documents.design().and_then(|design| design.steps.iter().find(|step| step.id == node.step.id));
    let chosen = |name: &str, value: &Value| {
        let default = tool.args.properties.get(name).is_some_and(|of| of.default.as_ref() == Some(value));
        default && !designed.is_some_and(|step| step.args.contains_key(name))
    };
    let given = acted_with.iter().filter(|(name, value)| !chosen(name, value));
    let did = Did { on: call.target.as_deref(), given: given.map(|(name, value)| (name.as_str(), value)).collect() };
    match led_elsewhere(&rule.args, (&taken, &sent), &did, &known, target) {
        Some(why) => Err(why),
        None => Ok(Undo { tool: rule.tool.clone(), args: taken }),
    }
}

/// What a step did.
struct Did<'a> {
    /// Its target.
    on: Option<&'a str>,
    /// What it was given, without what a default chose.
    given: BTreeMap<&'a str, &'a Value>,
}

/// Why a call would take back something else than what the step did: what a server answered may say what came to be, and
/// never that another target is meant, or another thing than the step was given.
fn led_elsewhere(
    rule: &BTreeMap<String, Arg>,
    (taken, sent): (&Map<String, Value>, &Map<String, Value>),
    did: &Did<'_>,
    known: &Scope<'_>,
    target: &str,
) -> Option<String> {
    let would = sent.get(target).and_then(Value::as_str);
    if would.is_none() || would != did.on {
        let (would, did) = (would.unwrap_or("nothing"), did.on.unwrap_or("nothing"));
        return Some(format!("it would take something back on `{}`, and the step acted on `{did}`", clipped(would)));
    }
    taken.iter().find_map(|(name, value)| {
        let given = did.given.get(name.as_str()).filter(|given| sent.get(name) != Some(**given))?;
        let alone = rule.get(name).map(|arg| BTreeMap::from([(name.clone(), arg.clone())]));
        let known = alone.and_then(|alone| fill_args(&alone, known).ok());
        let said = known.is_none_or(|known| known.get(name) != Some(value));
        said.then(|| format!("its `{name}` would be {}, and the step was given {}", shown(value), shown(given)))
    })
}

/// What is known of the state that a node changed.
struct States {
    /// The call that reads it.
    reader: Option<(ToolName, Map<String, Value>)>,
    /// What was there before the node.
    before: Option<Value>,
    /// What the node left, where that was read.
    left: Option<Value>,
    /// What it was to leave.
    designed: Option<Value>,
}

/// What is there until a node is taken back: what a person said may be taken back all the same, else what the node left or was
/// to leave.
pub fn left_state(view: &View<'_>, node: &FlowNode) -> Option<Value> {
    let tool = view.toolbox.tool(&node.step.tool)?;
    let states = States::of(view, node, tool, acted_with(view, node).ok()?).ok()?;
    stands(view, node, &states).cloned()
}

fn stands<'a>(view: &View<'a>, node: &FlowNode, states: &'a States) -> Option<&'a Value> {
    let agreed = view.state.deviation_of_undo(&node.id).filter(|known| known.accepted_by.is_some());
    agreed.map(|known| &known.found.actual).or_else(|| states.left())
}

impl States {
    fn of(view: &View<'_>, node: &FlowNode, tool: &Tool, args: &Map<String, Value>) -> Result<Self, String> {
        let attempt = view.state.attempt(&node.id);
        let read = |purpose: Purpose| match view.reading(&purpose) {
            Reading::Value(call, result) => view.picked(tool, args, (&call, &result)).map(Some),
            _ => Ok(None),
        };
        let before = read(Purpose::Recheck { node: node.id.clone(), attempt })?;
        Ok(Self {
            reader: tool.state.as_ref().and_then(|state| state_call(state, args)),
            left: read(Purpose::ReadBack { node: node.id.clone(), attempt })?,
            designed: before.as_ref().and_then(|before| after(tool, args, before)),
            before,
        })
    }

    /// What it left, or was to leave where what it left could not be read.
    fn left(&self) -> Option<&Value> {
        self.left.as_ref().or(self.designed.as_ref())
    }
}

/// Takes a node back, one thing at a time.
pub(super) fn undo(view: &View<'_>, node: &FlowNode, now: Timestamp) -> Result<Next, NextError> {
    let lost = |reason: String| Ok(settle(view, node, NodeOutcome::UndoFailed, true, Some(reason)));
    let Some(tool) = view.toolbox.tool(&node.step.tool) else { return lost("the tool is gone".into()) };
    let planned = acted_with(view, node).and_then(|args| {
        let states = States::of(view, node, tool, args)?;
        Ok((args, worked_out(view, node, (tool, args), &states)?, states))
    });
    let (args, taken_back, states) = match planned {
        Ok(planned) => planned,
        Err(reason) => return lost(format!("it cannot be undone: {reason}")),
    };
    let purpose = Purpose::Undo { node: node.id.clone() };
    // What was refused for the sake of the workspace can be put right, unless a person said no to that.
    let held = |call: &Call| call.held() && !view.state.refused_anew;
    // What was not sent is tried again, as often as anything is.
    let unsent = |call: &Call| call.outcome == Some(CallOutcome::NotSent) && begun(view, node) < ATTEMPTS as usize;
    let Some((id, call)) = view.state.call_for(&purpose).filter(|(_, call)| !held(call) && !unsent(call)) else {
        return Ok(begin(view, node, (tool, args), taken_back, &states, now));
    };
    if let Some((_, reason)) = &call.refused {
        return lost(format!("the broker refused the undo: {reason}"));
    }
    if let (Some((name, reads)), Some(before)) = (&states.reader, &states.before) {
        let purpose = Purpose::UndoCheck { node: node.id.clone() };
        let answered_since = || view.answered_since(call, &purpose);
        let check = || {
            let (tool, args) = (name.to_string(), reads.clone());
            Proposal { agent: Agent::Verifier, purpose: purpose.clone(), tool, args }
        };
        let unread = |reason: String| match call.unsure() {
            true => Ok(as_a_person_says(view, node)),
            false => lost(reason),
        };
        return match view.reading(&purpose) {
            Reading::Open | Reading::Again => Ok(look_after(view, check(), now)),
            Reading::Failed(..) if answered_since() => Ok(Next::Call(check())),
            Reading::Failed(_, reason) => unread(format!("the undo could not be read back: {reason}")),
            Reading::Value(shown_by, result) => match view.picked(tool, args, (&shown_by, &result)) {
                Ok(now) if now == *before => Ok(settle(view, node, NodeOutcome::Undone, false, None)),
                // Nobody knows whether it was sent, and what was to be taken back is there as it was: it is made again, in
                // the open.
                Ok(now) if is_undone_again(view, call, node) && Some(&now) == stands(view, node, &states) => {
                    let attempt = view.state.attempt(&node.id);
                    Ok(Next::Void(CallVoid { call: id.clone(), node: node.id.clone(), attempt, shown_by }))
                }
                Ok(now) => lost(match call.outcome {
                    Some(CallOutcome::Ok) => format!("after the undo {now} is there instead of {before}"),
                    Some(CallOutcome::NotSent) => {
                        format!("{now} is there instead of {before}, and the undo could not be sent: {}", said(call))
                    }
                    Some(CallOutcome::Error) => {
                        format!("{now} is there instead of {before}, and the undo failed: {}", said(call))
                    }
                    Some(CallOutcome::Unknown) | None => format!(
                        "{now} is there instead of {before}, and nobody knows whether the undo took effect: {}",
                        said(call)
                    ),
                }),
                Err(_) if answered_since() => Ok(Next::Call(check())),
                Err(reason) => unread(reason),
            },
        };
    }
    // No state can be read, so nothing shows that it is gone: no evidence is never a pass.
    match call.outcome {
        // Where it could be looked at, it is not sent again without that.
        _ if call
            .tool_name()
            .and_then(|name| view.toolbox.tool(&name))
            .is_some_and(|tool| can_be_sent_again(tool, call)) =>
        {
            Ok(Next::Resend(id.clone()))
        }
        _ if call.unsure() => Ok(as_a_person_says(view, node)),
        Some(CallOutcome::Ok) => lost("the undo reported success, and nothing could read whether it worked".into()),
        _ => lost(format!("the undo could not be sent: {}", said(call))),
    }
}

/// Why a step counts as taken back whose undo was not called.
pub const AS_BEFORE: &str = "it was as before already, so nothing was called to take it back";

/// Why a step counts as taken back of whose undo nothing but a person could tell.
pub const SEEN_GONE: &str = "a person looked: it was taken back";

/// For an undo of which nothing tells whether it took effect: what a person says.
fn as_a_person_says(view: &View<'_>, node: &FlowNode) -> Next {
    let (outcome, changed, reason) = match view.state.taken_back.get(&node.id) {
        None => return ask_or_wait(view.state, About::Unknown { node: node.id.clone(), undo: true }),
        Some(true) => (NodeOutcome::Undone, false, SEEN_GONE),
        Some(false) => (NodeOutcome::UndoFailed, true, "a person looked: the undo did not take effect"),
    };
    settle(view, node, outcome, changed, Some(reason.to_owned()))
}

/// Begins to take a node back: it is looked at first, for while it waited others may have changed the same thing. What is
/// as before already is not taken back twice, and what is neither that nor what the step left is a person's to decide.
fn begin(
    view: &View<'_>,
    node: &FlowNode,
    (tool, acted_with): (&Tool, &Map<String, Value>),
    undo: Undo,
    states: &States,
    now: Timestamp,
) -> Next {
    let settle =
        |outcome: NodeOutcome, changed: bool, reason: String| settle(view, node, outcome, changed, Some(reason));
    let purpose = Purpose::Undo { node: node.id.clone() };
    let tried = view.state.call_for(&purpose).map(|(id, _)| id.number());
    let tool_name = undo.tool.to_string();
    let call = Next::Call(Proposal { agent: Agent::Build, purpose, tool: tool_name, args: undo.args });
    let (Some((name, args)), Some(before)) = (&states.reader, &states.before) else { return call };
    // What a person was asked is answered before anything is looked at again, and a no is a no.
    if let Some(known) = view.state.deviation_of_undo(&node.id).filter(|known| known.accepted_by.is_none()) {
        let there = &known.found.actual;
        return match &known.rejected {
            None => ask_or_wait(view.state, About::Deviation { node: node.id.clone() }),
            Some(reason) => {
                let reason = format!("{there} was there, and a person said to leave it: {reason}");
                settle(NodeOutcome::UndoFailed, true, reason)
            }
        };
    }
    let purpose = Purpose::BeforeUndo { node: node.id.clone() };
    let again = |read: &CallId| old(view, read, now) || tried.is_some_and(|tried| tried > read.number());
    let look = |purpose| {
        let proposal = Proposal { agent: Agent::Verifier, purpose, tool: name.to_string(), args: args.clone() };
        look_after(view, proposal, now)
    };
    let unread = |reason: String| {
        let reason = format!("what is there now could not be read, so nothing was taken back: {reason}");
        settle(NodeOutcome::UndoFailed, true, reason)
    };
    match view.reading(&purpose) {
        Reading::Open | Reading::Again => look(purpose),
        Reading::Failed(_, reason) => unread(reason),
        Reading::Value(read, _) if again(&read) => look(purpose),
        Reading::Value(read, result) => match view.picked(tool, acted_with, (&read, &result)) {
            Err(reason) => unread(reason),
            Ok(there) if there == *before => {
                let failed = view.state.reasons.get(&node.id).map(|why| format!("; before that: {why}"));
                settle(NodeOutcome::Undone, false, format!("{AS_BEFORE}{}", failed.unwrap_or_default()))
            }
            Ok(there) => {
                // A target may take its time to become what it was to be.
                let as_left = [&states.left, &states.designed].into_iter().flatten().find(|left| **left == there);
                let found = match (as_left.or(states.left()), maybe_of_others(view, node)) {
                    (Some(_), None) if as_left.is_some() => return call,
                    (Some(left), Some(why)) if as_left.is_some() => (why, left.clone(), there),
                    (Some(left), _) => (CHANGED_SINCE, left.clone(), there),
                    (None, _) => (LEFT_UNKNOWN, Value::Null, there),
                };
                otherwise(view, node, found, read, now).unwrap_or(call)
            }
        },
    }
}

/// What a deviation says where something else is there than a step left.
const CHANGED_SINCE: &str = "it is to be taken back, and what it left has been changed since";

/// What it says where something is there as it was read after a step, or as that was to leave it, and its call reported an
/// error: somebody else may have made it just then, and only what a step did itself is taken back unasked.
const AFTER_AN_ERROR: &str =
    "it is to be taken back, and its call reported an error, so others may have made what is there";

/// What it says so where nobody heard what the call came to.
const UNHEARD: &str =
    "it is to be taken back, and nobody heard what its call came to, so others may have made what is there";

/// Why what is there may be what others made; nothing where the call of the step reported success, or a person said that
/// it took effect.
fn maybe_of_others(view: &View<'_>, node: &FlowNode) -> Option<&'static str> {
    let (_, call) = view.act_of(&node.id)?;
    match call.outcome {
        Some(CallOutcome::Error) => Some(AFTER_AN_ERROR),
        Some(CallOutcome::Unknown) | None => (view.state.applied.get(&node.id) != Some(&true)).then_some(UNHEARD),
        Some(CallOutcome::Ok | CallOutcome::NotSent) => None,
    }
}

/// What it says where nothing tells what a step left, and it is not as before.
const LEFT_UNKNOWN: &str = "it is to be taken back, and nothing tells what it left";

impl DeviationFound {
    /// Whether what a step left before it is to be taken back is not known; the contract says nothing then.
    pub fn left_unknown(&self) -> bool {
        self.undo && self.what == LEFT_UNKNOWN
    }

    /// Whether a step is to be taken back whose call reported an error or was not heard of, and it is not as before.
    pub fn maybe_of_others(&self) -> bool {
        self.undo && [AFTER_AN_ERROR, UNHEARD].contains(&self.what.as_str())
    }
}

/// Something else is there than a node is known to have left: a person is asked whether it is taken back all the same; nothing where one
/// said so of exactly this.
fn otherwise(
    view: &View<'_>,
    node: &FlowNode,
    (what, left, there): (&str, Value, Value),
    read: CallId,
    now: Timestamp,
) -> Option<Next> {
    let known = view.state.deviation_of_undo(&node.id).filter(|known| known.found.actual == there);
    let holds = known.is_some_and(|known| known.accepted_until.is_none_or(|until| now < until));
    (!holds).then(|| {
        Next::Deviate(DeviationFound {
            node: node.id.clone(),
            what: what.into(),
            contract: left,
            actual: there,
            calls: vec![read],
            because: None,
            undo: true,
        })
    })
}

/// What a node acted with.
fn acted_with<'a>(view: &View<'a>, node: &FlowNode) -> Result<&'a Map<String, Value>, String> {
    let (_, call) = view.state.act_of(&node.id).ok_or("it never ran")?;
    Ok(call.args.read(view.blobs).ok_or("its arguments are not in the ledger")?)
}

/// Whether an undo is made once more where reading shows that nothing came of it: its outcome is unknown, and it was not
/// begun too often.
pub fn is_undone_again(view: &View<'_>, call: &Call, node: &FlowNode) -> bool {
    call.outcome == Some(CallOutcome::Unknown) && begun(view, node) < ATTEMPTS as usize
}

/// How many calls were let through to take back what a node did in the attempt that it is in.
fn begun(view: &View<'_>, node: &FlowNode) -> usize {
    let undo = Purpose::Undo { node: node.id.clone() };
    let acted = view.state.act_of(&node.id).map(|(id, _)| id.number());
    let since = |id: &CallId| Some(id.number()) > acted;
    view.state.calls.iter().filter(|(id, call)| call.purpose == undo && call.refused.is_none() && since(id)).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::artifact::from_yaml;

    /// Why an undo that is worked out so is not made, where a server answered this about a step on sw01 with VLAN 120.
    fn led(rule: &str, answered: &Value) -> Option<String> {
        let rule: BTreeMap<String, Arg> = from_yaml("undo", rule).unwrap();
        let acted_with = json!({"switch": "sw01", "id": 120, "name": "guest", "slot": 0});
        let before = json!({"id": 7, "name": "old"});
        let known = Scope::new().with("args", &acted_with).with("before", &before);
        let taken = fill_args(&rule, &known.with("result", answered).with("left", answered)).unwrap();
        let known = Scope::new().with("args", &acted_with).with("before", &before);
        let given = acted_with.as_object().unwrap().iter().filter(|(name, _)| *name != "slot");
        let did = Did { on: Some("sw01"), given: given.map(|(name, value)| (name.as_str(), value)).collect() };
        led_elsewhere(&rule, (&taken, &taken), &did, &known, "switch")
    }

    #[test]
    fn an_answer_aims_no_undo_at_anything_else() {
        let honest = json!({"switch": "sw01", "id": 120, "port": "Gi1"});
        let lie = |field: &str, value: Value| {
            let mut lie = honest.clone();
            lie[field] = value;
            lie
        };
        let by_answer = "{switch: {cel: result.switch}, id: {cel: left.id}}";
        assert_eq!(led(by_answer, &honest), None);
        let why = led(by_answer, &lie("switch", json!("sw04"))).unwrap();
        assert_eq!(why, "it would take something back on `sw04`, and the step acted on `sw01`");
        let why = led(by_answer, &lie("id", json!(30))).unwrap();
        assert_eq!(why, "its `id` would be 30, and the step was given 120");
        // What was there before is no answer to the step, and what it was not given is only known from one.
        assert_eq!(led("{switch: {cel: args.switch}, name: {cel: before.name}}", &honest), None);
        assert_eq!(led("{switch: {cel: args.switch}, port: {cel: result.port}}", &lie("port", json!("Gi9"))), None);
        assert_eq!(led("{switch: {cel: args.switch}, slot: {cel: result.slot}}", &lie("slot", json!(7))), None);
        assert!(led("{id: {cel: args.id}}", &honest).unwrap().contains("on `nothing`"));
    }
}
