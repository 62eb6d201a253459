//! What comes of a step that failed while the flow ran: the build agent is asked about it once, and says what it wants
//! called, or that it wants nothing. Each call that it wants is a deviation: a person accepts or rejects it, and only what
//! was accepted runs, once, as a step beside the design. Then what the failed step was to leave is looked at again; the
//! agent's word for it counts for nothing. Where it wants nothing, or a person says no, the design says what comes next.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    artifact::{
        Agent, Arg, ArtifactKind, AutomationFlow, Digest, FlowDeviation, FlowNode, NodeId, OnFailure, Phase, Step,
        StepId, ToolName,
    },
    flow::NodeOutcome,
    tool::Effect,
};

use super::{
    build::{self, Values, node_args, settle},
    decide::{in_phase, need},
    event::{Body, CallAllowed, CallOutcome, DeviationFound, NodeSettled},
    look::{after, before_state, verify_call},
    next::{Next, NextError, Proposal, ask_or_wait},
    purpose::Purpose,
    question::About,
    refusal::Refusal,
    state::{Gate, State},
    view::{Reading, View, state_call},
};

/// What the build agent said of a step that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Considered {
    /// The step that failed.
    pub node: NodeId,
    /// The attempt in which it failed.
    pub attempt: u32,
    /// The turn that said it, counted over the engagement; nothing where no answer came that could stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u32>,
    /// The calls that it wants, in their order; none where the design is to say what comes next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<CallWanted>,
    /// Why.
    pub because: String,
}

/// A call that the build agent wants after a failure: exactly these arguments, under a name of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallWanted {
    /// The name of the step that it would be.
    pub step: StepId,
    /// Its tool.
    pub tool: ToolName,
    /// The target that its arguments name.
    pub target: String,
    /// All of its arguments, in normal form.
    #[serde(rename = "with")]
    pub args: Map<String, Value>,
    /// The digest of exactly this call, see [`super::call_digest`].
    pub call: Digest,
    /// Why.
    pub because: String,
}

impl Considered {
    /// The most calls that are wanted after one failure.
    pub const MOST_WANTS: usize = 3;
}

impl CallWanted {
    /// The node that it runs as.
    pub fn node(&self) -> NodeId {
        NodeId::new(&self.step, None)
    }

    /// That node: whatever becomes of it decides nothing about others.
    pub fn flow_node(&self) -> FlowNode {
        let step = Step {
            id: self.step.clone(),
            tool: self.tool.clone(),
            args: self.args.iter().map(|(name, value)| (name.clone(), Arg::Literal(value.clone()))).collect(),
            needs: Vec::new(),
            when: None,
            for_each: None,
            until: None,
            verify: None,
            on_failure: OnFailure::Continue,
            approval: None,
            always: false,
        };
        FlowNode {
            id: self.node(),
            item: None,
            target: Some(self.target.clone()),
            step,
            needs: Vec::new(),
            before: None,
            after: None,
            skipped: None,
            undo: None,
        }
    }
}

impl State {
    /// What was said of the failure of a node in the attempt that it is in.
    pub fn considered_at(&self, node: &NodeId) -> Option<&Considered> {
        let attempt = self.attempt(node);
        self.considered.iter().find(|considered| considered.node == *node && considered.attempt == attempt)
    }

    /// The failure after which this node was wanted, and the call that it is.
    pub fn wanted_after(&self, node: &NodeId) -> Option<(&Considered, &CallWanted)> {
        self.considered.iter().find_map(|considered| {
            let want = considered.wants.iter().find(|want| want.node() == *node)?;
            Some((considered, want))
        })
    }

    /// The digest of exactly the call that was wanted as this node.
    pub fn wanted_call(&self, node: &NodeId) -> Option<Digest> {
        self.wanted_after(node).map(|(_, want)| want.call)
    }

    /// Whether a step has failed that nothing was said of yet.
    pub fn to_consider(&self) -> bool {
        self.artifact(ArtifactKind::Flow).is_some()
            && self
                .nodes
                .iter()
                .any(|(node, settled)| settled.outcome == NodeOutcome::Failed && self.considered_at(node).is_none())
    }

    /// The calls that were wanted after failures and that were accepted, in order.
    pub(crate) fn accepted_after(&self) -> impl Iterator<Item = (&Considered, &CallWanted)> {
        let all =
            self.considered.iter().flat_map(|considered| considered.wants.iter().map(move |want| (considered, want)));
        all.filter(|(considered, want)| accepted(self, &want.node()) && self.still_wanted(considered, want))
    }

    /// Whether what was wanted after a failure may still be begun: the step has failed in that attempt, and nothing came
    /// after that. What has begun is looked after whatever came since.
    pub fn still_wanted(&self, considered: &Considered, want: &CallWanted) -> bool {
        let (node, failed) = (want.node(), self.nodes.get(&considered.node));
        self.nodes.contains_key(&node)
            || self.acting.contains(&node)
            || failed.is_some_and(|settled| settled.outcome == NodeOutcome::Failed)
                && considered.attempt == self.attempt(&considered.node)
    }

    /// Whether a node failed, and what it was to leave was seen after a call that was accepted.
    pub fn put_right(&self, node: &NodeId) -> bool {
        let ran = |want: &CallWanted| {
            let settled = self.nodes.get(&want.node());
            settled.is_some_and(|settled| matches!(settled.outcome, NodeOutcome::Done | NodeOutcome::Unchanged))
        };
        let seen = Purpose::LookAgain { node: node.clone(), attempt: self.attempt(node) };
        self.considered_at(node).is_some_and(|considered| considered.wants.iter().any(ran))
            && self.call_for(&seen).is_some_and(|(_, call)| call.outcome == Some(CallOutcome::Ok))
    }
}

fn accepted(state: &State, node: &NodeId) -> bool {
    state.deviation_before(node).is_some_and(|known| known.accepted_by.is_some())
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Call(why.into()))
}

pub(super) fn consider(state: &State, considered: Considered) -> Result<Body, Refusal> {
    if !state.requested.model {
        return wrong("this engagement is drafted without a model");
    }
    in_phase(state, "considering a failure", &[Phase::Build])?;
    need(state.gate_open(Gate::One), "gate 1")?;
    need(state.gate_open(Gate::Two), "gate 2")?;
    let node = &considered.node;
    let failed = state.nodes.get(node).is_some_and(|settled| settled.outcome == NodeOutcome::Failed);
    if !failed || considered.attempt != state.attempt(node) || state.artifact(ArtifactKind::Flow).is_none() {
        return wrong(format!("step {node} has not failed in attempt {}", considered.attempt));
    }
    if state.considered_at(node).is_some() {
        return wrong(format!("the failure of step {node} was considered already"));
    }
    if considered.because.trim().is_empty() {
        return Err(Refusal::NoReason);
    }
    let last = state.talk.last_turn(ArtifactKind::Flow).map(|(number, ..)| number);
    match considered.turn {
        Some(turn) if !state.talk.drafted(ArtifactKind::Flow) || last != Some(turn) => {
            return wrong("what is wanted after the failure does not come from the last turn");
        }
        None if !considered.wants.is_empty() => return wrong("nothing is wanted that no turn said"),
        _ => {}
    }
    if considered.wants.len() > Considered::MOST_WANTS {
        return wrong("the agent wants too much after the failure");
    }
    for (at, want) in considered.wants.iter().enumerate() {
        let id = want.node();
        let twice = considered.wants.iter().take(at).any(|other| other.step == want.step);
        if twice || known(state, &id) {
            return wrong(format!("there is a step {id} already"));
        }
    }
    Ok(Body::Considered(considered))
}

/// Whether anything is known of a node of this name.
fn known(state: &State, id: &NodeId) -> bool {
    state.nodes.contains_key(id)
        || state.acting.contains(id)
        || state.deviation_before(id).is_some()
        || state.wanted_after(id).is_some()
}

/// What was wanted after a failure runs only as it was accepted, on that acceptance, and once.
pub(super) fn runs_as_accepted(state: &State, allowed: &CallAllowed) -> Result<(), Refusal> {
    let Purpose::Act { node, .. } = &allowed.purpose else { return Ok(()) };
    let Some((considered, want)) = state.wanted_after(node) else { return Ok(()) };
    if !state.still_wanted(considered, want) {
        return wrong(format!("the failure of step {} after which {node} was accepted is over", considered.node));
    }
    let digest = want.call;
    if !accepted(state, node) {
        return wrong(format!("nobody has accepted step {node}, which the design does not have"));
    }
    if allowed.digest != digest || !allowed.approved {
        return wrong(format!("step {node} was accepted as another call, or for another time"));
    }
    Ok(())
}

/// Whether this settles a step that failed as done, because that was seen after a call that was accepted.
pub(super) fn puts_right(state: &State, settled: &NodeSettled) -> bool {
    let failed = state.nodes.get(&settled.node).is_some_and(|known| known.outcome == NodeOutcome::Failed);
    settled.outcome == NodeOutcome::Done && failed && state.put_right(&settled.node)
}

/// The flow with the calls that were accepted since it was filed, each after the step whose failure it is about. A name
/// that the flow has already stays the flow's.
pub fn with_accepted(flow: &AutomationFlow, state: &State) -> AutomationFlow {
    let mut flow = flow.clone();
    for (considered, want) in state.accepted_after() {
        let Some(at) = flow.nodes.iter().position(|node| node.id == considered.node) else { continue };
        if flow.nodes.iter().any(|node| node.step.id == want.step) {
            continue;
        }
        let before = considered.wants.iter().take_while(|other| *other != want);
        let before = before.filter(|other| flow.nodes.iter().any(|node| node.id == other.node())).count();
        flow.nodes.insert((at + 1 + before).min(flow.nodes.len()), want.flow_node());
        let (step, because) = (want.step.clone(), want.because.clone());
        flow.deviations.push(FlowDeviation { step, approved: Vec::new(), because });
    }
    flow
}

/// What is to be done about steps that failed, before what their failure means for the rest comes. `halted` begins
/// nothing; what has run is looked at all the same.
pub(super) fn next(view: &View<'_>, halted: bool, now: Timestamp) -> Option<Result<Next, NextError>> {
    let flow = view.documents.flow()?;
    for considered in &view.state.considered {
        let settled = view.state.nodes.get(&considered.node);
        let open = settled.is_some_and(|known| known.outcome == NodeOutcome::Failed && known.chosen.is_none());
        let node =
            flow.node(&considered.node).filter(|node| open && view.state.attempt(&node.id) == considered.attempt);
        if let Some(next) = node.and_then(|node| after_it(view, flow, node, considered, halted, now)) {
            return Some(next);
        }
    }
    let limits = view.documents.spec()?.limits;
    if halted || view.state.spent(&limits).is_some() {
        return None;
    }
    view.failing().map(|node| Ok(Next::Consider(node.id.clone())))
}

/// The next of the calls that were wanted after this failure, and at the end what they came to.
fn after_it(
    view: &View<'_>,
    flow: &AutomationFlow,
    node: &FlowNode,
    considered: &Considered,
    halted: bool,
    now: Timestamp,
) -> Option<Result<Next, NextError>> {
    let mut ran = false;
    for want in &considered.wants {
        let id = want.node();
        match view.state.nodes.get(&id).map(|settled| settled.outcome) {
            Some(NodeOutcome::Done | NodeOutcome::Unchanged) => {
                ran = true;
                continue;
            }
            // What came after it was wanted with it.
            Some(_) => break,
            None if halted => break,
            None => {}
        }
        let Some(known) = view.state.deviation_before(&id) else {
            return Some(Ok(Next::Deviate(found(view, node, want))));
        };
        match (&known.accepted_by, &known.rejected) {
            (None, Some(_)) => break,
            (None, None) => return Some(Ok(ask_or_wait(view.state, About::Deviation { node: id }))),
            (Some(_), _) => {}
        }
        let Some(wanted) = flow.node(&id).filter(|_| view.state.wanted_after(&id).is_some()) else { break };
        if known.accepted_until.is_some_and(|until| now >= until) {
            let reason = "what was accepted had ended before it was called".to_owned();
            return Some(Ok(settle(view, wanted, NodeOutcome::NotRun, false, Some(reason))));
        }
        return Some(build::run(view, wanted, now));
    }
    if ran { look_again(view, node) } else { None }
}

/// The deviation that a person is asked about: the step as it was to run, and the call that is wanted.
fn found(view: &View<'_>, node: &FlowNode, want: &CallWanted) -> DeviationFound {
    let contract = json!({"tool": node.step.tool, "with": node_args(view, node).unwrap_or_default()});
    DeviationFound {
        node: want.node(),
        what: format!("step {} failed, and the build agent wants a call that the design does not have", node.id),
        contract,
        actual: json!({"tool": want.tool, "with": want.args}),
        calls: view.act_of(&node.id).map(|(id, _)| id.clone()).into_iter().collect(),
        because: Some(want.because.clone()),
        undo: false,
    }
}

/// Looks again at what the failed step was to leave: by its own `verify`, else by its tool's state. It is done where that
/// shows it, and stays failed where it does not or nothing can.
fn look_again(view: &View<'_>, node: &FlowNode) -> Option<Result<Next, NextError>> {
    let tool = view.toolbox.tool(&node.step.tool)?;
    let args = node_args(view, node).ok()?;
    let (values, args_value) = (Values::of(view, node), Value::Object(args.clone()));
    let scope = values.scope().with("args", &args_value);
    let (reader, with) = match &node.step.verify {
        Some(verify) => (verify.tool.clone(), verify_call(verify, &scope).ok()?),
        None => state_call(tool.state.as_ref()?, &args)?,
    };
    let purpose = Purpose::LookAgain { node: node.id.clone(), attempt: view.state.attempt(&node.id) };
    let (call, result) = match view.reading(&purpose) {
        Reading::Open | Reading::Again => {
            let tool = reader.to_string();
            return Some(Ok(Next::Call(Proposal { agent: Agent::Verifier, purpose, tool, args: with })));
        }
        Reading::Failed(..) => return None,
        Reading::Value(call, result) => (call, result),
    };
    let shown = match &node.step.verify {
        Some(verify) => verify.expect.holds(&scope.with("result", &result)) == Ok(true),
        None => {
            let before = before_state(view, node).unwrap_or_default();
            let now = view.picked(tool, &args, (&call, &result)).ok();
            now.is_some() && now == after(tool, &args, &before)
        }
    };
    let known = view.state.nodes.get(&node.id)?;
    let why = view.state.reasons.get(&node.id).map_or("it failed", String::as_str);
    let reason = format!("{why}; it was there after a call that the design does not have and that was accepted");
    shown.then(|| Ok(settle(view, node, NodeOutcome::Done, known.changed, Some(reason))))
}

impl<'a> View<'a> {
    /// The step that failed and that the build agent is to be asked about next: one that changes something, whose failure
    /// leaves things as they are until someone says what it means.
    pub fn failing(&self) -> Option<&'a FlowNode> {
        let flow = self.documents.flow().filter(|_| self.state.requested.model)?;
        flow.nodes.iter().find(|node| self.is_to_be_considered(node))
    }

    fn is_to_be_considered(&self, node: &FlowNode) -> bool {
        let failed = self.state.nodes.get(&node.id);
        let failed = failed.is_some_and(|known| known.outcome == NodeOutcome::Failed && known.chosen.is_none());
        let waits = matches!(node.step.on_failure, OnFailure::Ask | OnFailure::Stop) && !node.step.always;
        let changes = || self.toolbox.tool(&node.step.tool).is_some_and(|tool| tool.effect != Effect::Read);
        // A person who said no to the step has said what is to come of it.
        let refused = || {
            let call = self.act_of(&node.id).and_then(|(_, call)| call.digest);
            call.is_some_and(|call| self.state.rejected_calls.contains_key(&call))
                || self.state.deviation_before(&node.id).is_some_and(|known| known.rejected.is_some())
        };
        failed
            && waits
            && self.state.considered_at(&node.id).is_none()
            && self.state.wanted_after(&node.id).is_none()
            && changes()
            && !refused()
    }
}
