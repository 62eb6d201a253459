//! What is to be done next in an engagement: one pure answer, so that a process that was killed goes on exactly
//! where its chain ends.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    artifact::{
        AcceptanceReading, Agent, ArtifactKind, AutomationFlow, Before, CallId, Check, FlowNode, NodeId, Phase,
        ReadCall, RecordOutcome, Scope, ToolName, Until,
    },
    facts::Role,
    flow::{ExpandError, expand, item_key, resolve_items},
    tool::{Effect, StateRead, Toolbox},
};

use super::{
    build,
    documents::{Blobs, Documents},
    event::{CallOutcome, CallVoid, Closed, DeviationFound, NodeSettled, RefusedAs},
    look,
    purpose::Purpose,
    question::About,
    state::{Call, Gate, GateState, State},
};

/// Everything that the answer is read from.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The folded events.
    pub state: &'a State,
    /// The current documents.
    pub documents: &'a Documents,
    /// Stored results.
    pub blobs: &'a Blobs,
    /// The tools.
    pub toolbox: &'a Toolbox,
}

/// A call that someone wants made.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// On whose behalf.
    pub agent: Agent,
    /// Why.
    pub purpose: Purpose,
    /// The tool, as it was named.
    pub tool: String,
    /// The arguments, as they were given.
    pub args: Map<String, Value>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Draft this artifact.
    Draft(ArtifactKind),
    /// Begin this phase.
    Enter(Phase, Option<String>),
    /// Propose this call to the broker.
    Call(Proposal),
    /// A call was under way when the process ended: wait until it cannot still be running, then mark it unknown.
    Expire(CallId),
    /// Send an unknown call again under its own id, which the server answers from memory.
    Resend(CallId),
    /// Wait this many seconds before trying a read again.
    Pause(u32),
    /// Ask a person.
    Ask(About),
    /// Wait for the answer to the open question.
    Wait(About),
    /// Wait for the window to open.
    WaitUntil(Timestamp),
    /// Write down that an unknown call did not take effect, so that the step may begin another attempt.
    Void(CallVoid),
    /// Write down what became of a node.
    Settle(NodeSettled),
    /// Write down a deviation.
    Deviate(DeviationFound),
    /// Close the engagement.
    Close(Closed),
    /// It is over.
    Closed,
}

/// What is to be done next cannot be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NextError {
    /// A document is missing.
    #[error("the {0} is not there")]
    Missing(ArtifactKind),
    /// The design does not expand.
    #[error(transparent)]
    Expand(#[from] ExpandError),
}

/// How often a read whose outcome is unknown is made again.
const READS_AGAIN: usize = 3;

/// What is to be done next at the time `now`.
pub fn next(view: &View<'_>, now: Timestamp) -> Result<Next, NextError> {
    let state = view.state;
    if state.closed.is_some() {
        return Ok(Next::Closed);
    }
    if let Some((id, _)) = state.calls.iter().find(|(_, call)| call.refused.is_none() && call.outcome.is_none()) {
        return Ok(Next::Expire(id.clone()));
    }
    if let Some(reason) = &state.cancelled
        && state.phase < Phase::Build
    {
        return Ok(Next::Close(Closed { outcome: RecordOutcome::Cancelled, reason: reason.clone() }));
    }
    if let Some(reason) = view.stopped()
        && state.phase < Phase::Build
    {
        return Ok(Next::Close(Closed { outcome: RecordOutcome::Refused, reason }));
    }
    match state.phase {
        Phase::Requirements => Ok(requirements(view)),
        Phase::Feasibility => feasibility(view),
        Phase::Design => design(view),
        Phase::Build => build::next(view, now),
        Phase::AsBuilt => as_built(view),
    }
}

fn requirements(view: &View<'_>) -> Next {
    let state = view.state;
    match (state.artifact(ArtifactKind::Spec), &state.gate1) {
        (None, _) | (Some(_), GateState::Rejected { .. }) => Next::Draft(ArtifactKind::Spec),
        (Some(_), GateState::Open { .. }) => Next::Enter(Phase::Feasibility, None),
        (Some(_), GateState::Closed) => ask_or_wait(state, About::Gate1),
    }
}

/// Wait where exactly this is asked already, else ask.
pub(super) fn ask_or_wait(state: &State, about: About) -> Next {
    match &state.asked {
        Some(asked) if asked.about == about => Next::Wait(about),
        _ => Next::Ask(about),
    }
}

fn feasibility(view: &View<'_>) -> Result<Next, NextError> {
    if let Some(report) = view.documents.discovery() {
        use crate::artifact::Verdict;
        let reason = || report.findings.iter().map(|finding| finding.text.clone()).collect::<Vec<_>>().join("; ");
        return Ok(match report.verdict {
            Verdict::NotFeasible | Verdict::WithChanges => Next::Enter(Phase::AsBuilt, Some(reason())),
            Verdict::Feasible | Verdict::WithConstraints if nothing_to_do(view) => {
                Next::Enter(Phase::AsBuilt, Some("every acceptance check holds already".into()))
            }
            Verdict::Feasible | Verdict::WithConstraints => match view.documents.spec() {
                Some(spec) if spec.boundary.build.is_empty() => Next::Enter(
                    Phase::AsBuilt,
                    Some("gate 2 is not needed: the spec has no build grants, so nothing can be built".into()),
                ),
                _ => Next::Enter(Phase::Design, None),
            },
        });
    }
    for proposal in view.discovery_reads()? {
        if let Some(next) = view.pending(proposal) {
            return Ok(next);
        }
    }
    if let Some(next) = checks_pending(view, true)? {
        return Ok(next);
    }
    Ok(Next::Draft(ArtifactKind::Discovery))
}

/// Whether every check that the build should make true holds already.
fn nothing_to_do(view: &View<'_>) -> bool {
    let Some(spec) = view.documents.spec() else { return false };
    let falsifiable: Vec<&Check> = spec.acceptance.iter().filter(|check| !check.invariant).collect();
    !falsifiable.is_empty() && falsifiable.iter().all(|check| view.acceptance(check, true).holds == Some(true))
}

fn design(view: &View<'_>) -> Result<Next, NextError> {
    let state = view.state;
    match (state.artifact(ArtifactKind::Design), &state.gate2) {
        (None, _) | (Some(_), GateState::Rejected { .. }) => return Ok(Next::Draft(ArtifactKind::Design)),
        (Some(_), GateState::Open { .. }) => return Ok(Next::Enter(Phase::Build, None)),
        (Some(_), GateState::Closed) => {}
    }
    for node in &view.preview()?.nodes {
        if let Some(proposal) = view.before_read(node)
            && let Some(next) = view.pending(proposal)
        {
            return Ok(next);
        }
    }
    Ok(ask_or_wait(state, About::Gate2))
}

fn as_built(view: &View<'_>) -> Result<Next, NextError> {
    let state = view.state;
    if state.gate_open(Gate::One) {
        if let Some(next) = checks_pending(view, false)? {
            return Ok(next);
        }
        if let Some(flow) = view.documents.flow() {
            for node in &flow.nodes {
                if let Some(proposal) = look::observation(view, node)
                    && let Some(next) = view.pending(proposal)
                {
                    return Ok(next);
                }
            }
        }
    }
    Ok(match view.documents.record() {
        None => Next::Draft(ArtifactKind::Record),
        Some(record) => Next::Close(Closed { outcome: record.outcome, reason: record.summary.clone() }),
    })
}

fn checks_pending(view: &View<'_>, before: bool) -> Result<Option<Next>, NextError> {
    let spec = view.documents.spec().ok_or(NextError::Missing(ArtifactKind::Spec))?;
    for check in &spec.acceptance {
        for (at, _) in check.items().iter().enumerate() {
            if let Some(proposal) = view.check_read(check, at, before)
                && let Some(next) = view.pending(proposal)
            {
                return Ok(Some(next));
            }
        }
    }
    Ok(None)
}

/// What is known of a call that a purpose needs.
pub(super) enum Reading {
    /// It was not made yet.
    Open,
    /// It gave this.
    Value(CallId, Arc<Value>),
    /// It failed or was refused.
    Failed(Option<CallId>, String),
    /// It must be made again.
    Again,
}

impl<'a> View<'a> {
    /// What is known of the call that served a purpose.
    pub(super) fn reading(&self, purpose: &Purpose) -> Reading {
        let Some((id, call)) = self.state.call_for(purpose) else { return Reading::Open };
        // A server that nobody has pinned, or that is not what was approved, is a matter of the workspace: nothing is
        // known of the target.
        if matches!(call.rule.as_deref(), Some("tool.unpinned" | "approval.void")) {
            return Reading::Again;
        }
        if let Some((_, reason)) = &call.refused {
            return Reading::Failed(Some(id.clone()), format!("the broker refused: {reason}"));
        }
        let said = || call.message.clone().unwrap_or_else(|| "no message".into());
        match call.outcome {
            Some(CallOutcome::Ok) => match call.result.and_then(|digest| self.blobs.get(&digest)) {
                Some(value) => Reading::Value(id.clone(), Arc::clone(value)),
                None => Reading::Failed(Some(id.clone()), "its result is not in the ledger".into()),
            },
            Some(CallOutcome::Error) => Reading::Failed(Some(id.clone()), said()),
            Some(CallOutcome::NotSent | CallOutcome::Unknown) | None => {
                let made = self.state.calls.values().filter(|call| call.purpose == *purpose).count();
                if made < READS_AGAIN { Reading::Again } else { Reading::Failed(Some(id.clone()), said()) }
            }
        }
    }

    /// Why the engagement is stopped, if its agents tried too often what no grant lets them do.
    pub fn stopped(&self) -> Option<String> {
        let most = self.documents.spec()?.limits.attempts_outside.max(1);
        let made = self.state.outside.saturating_sub(self.state.outside_seen);
        let calls = if made == 1 { "call" } else { "calls" };
        (made >= u64::from(most))
            .then(|| format!("{made} {calls} outside the boundary, and the spec stops it at {most}"))
    }

    /// The read as a next step, unless it was made and is over.
    pub(super) fn pending(&self, proposal: Proposal) -> Option<Next> {
        match self.reading(&proposal.purpose) {
            Reading::Open | Reading::Again => Some(Next::Call(proposal)),
            Reading::Value(..) | Reading::Failed(..) => None,
        }
    }

    /// The reads that discovery makes: those of the draft, then the baseline's.
    pub fn discovery_reads(&self) -> Result<Vec<Proposal>, NextError> {
        Ok(self.reads()?.into_iter().map(|read| read.proposal).chain(self.baseline_reads()).collect())
    }

    /// The reads of the draft with their names and items.
    pub fn reads(&self) -> Result<Vec<DiscoveryRead>, NextError> {
        let spec = self.documents.spec().ok_or(NextError::Missing(ArtifactKind::Spec))?;
        let Some(draft) = self.documents.request().and_then(|request| request.design_draft()) else {
            return Ok(Vec::new());
        };
        let inputs = spec.inputs_value();
        let scope = Scope::new().with("inputs", &inputs);
        let mut reads = Vec::new();
        for read in &draft.discover {
            let items = match &read.for_each {
                None => vec![None],
                Some(each) => resolve_items(&read.id, each, &scope)?.into_iter().map(Some).collect(),
            };
            for item in items {
                let null = Value::Null;
                let scope = scope.clone().with("item", item.as_ref().unwrap_or(&null));
                let call = ReadCall { tool: read.tool.clone(), args: read.args.clone() };
                let args =
                    call.fill(&scope).map_err(|source| ExpandError::Evaluate { step: read.id.to_string(), source })?;
                let key = item.as_ref().and_then(item_key);
                let purpose = Purpose::Discover { read: read.id.clone(), item: key.clone() };
                reads.push(DiscoveryRead {
                    id: read.id.clone(),
                    item: key,
                    proposal: Proposal { agent: Agent::Design, purpose, tool: read.tool.to_string(), args },
                });
            }
        }
        Ok(reads)
    }

    /// Reads what the baseline left, to find drift.
    fn baseline_reads(&self) -> Vec<Proposal> {
        self.baseline_nodes()
            .into_iter()
            .filter_map(|node| {
                let tool = self.toolbox.tool(&node.step.tool)?;
                let state = tool.state.as_ref()?;
                let (name, args) = state_call(state, &node.known_args()?)?;
                let purpose = Purpose::Baseline { node: node.id.clone() };
                Some(Proposal { agent: Agent::Verifier, purpose, tool: name.to_string(), args })
            })
            .collect()
    }

    /// The nodes of the flow that the baseline was built with.
    pub fn baseline_nodes(&self) -> Vec<FlowNode> {
        let Some(baseline) = self.documents.request().and_then(|request| request.baseline) else { return Vec::new() };
        let flow = self
            .blobs
            .get(&baseline)
            .and_then(|record| record.get("flow"))
            .and_then(|digest| serde_json::from_value(digest.clone()).ok())
            .and_then(|digest| self.blobs.get(&digest))
            .and_then(|flow| serde_json::from_value::<AutomationFlow>(flow.as_ref().clone()).ok());
        flow.map(|flow| flow.nodes).unwrap_or_default()
    }

    /// One reading of an acceptance check.
    pub(super) fn check_read(&self, check: &Check, at: usize, before: bool) -> Option<Proposal> {
        let args = self.check_args(check, at)?;
        let item = u32::try_from(at).ok()?;
        let check_id = check.id.clone();
        let purpose = if before {
            Purpose::CheckBefore { check: check_id, item }
        } else {
            Purpose::CheckAfter { check: check_id, item }
        };
        Some(Proposal { agent: Agent::Verifier, purpose, tool: check.check.tool.to_string(), args })
    }

    fn check_args(&self, check: &Check, at: usize) -> Option<Map<String, Value>> {
        let inputs = self.documents.spec()?.inputs_value();
        let items = check.items();
        let item = items.get(at)?;
        check.check.fill(&Scope::new().with("inputs", &inputs).with("item", item)).ok()
    }

    /// What a check showed, before or after the build. No evidence is never a pass.
    pub fn acceptance(&self, check: &Check, before: bool) -> AcceptanceReading {
        let mut reading =
            AcceptanceReading { check: check.id.clone(), holds: Some(true), calls: Vec::new(), seen: None };
        let Some(spec) = self.documents.spec() else {
            return AcceptanceReading { holds: None, seen: Some("there is no spec".into()), ..reading };
        };
        let inputs = spec.inputs_value();
        for (at, item) in check.items().iter().enumerate() {
            let name = item_key(item).map_or_else(String::new, |key| format!("{key}: "));
            let Some(proposal) = self.check_read(check, at, before) else {
                reading.holds = None;
                reading.seen = Some(format!("{name}its arguments could not be filled"));
                continue;
            };
            match self.reading(&proposal.purpose) {
                Reading::Value(call, result) => {
                    reading.calls.push(call);
                    let scope = Scope::new().with("inputs", &inputs).with("item", item).with("result", &result);
                    match check.expect.holds(&scope) {
                        Ok(true) => {}
                        Ok(false) => {
                            reading.holds = reading.holds.map(|_| false);
                            reading.seen.get_or_insert(format!("{name}{} does not hold", check.expect));
                        }
                        Err(error) => {
                            reading.holds = None;
                            reading.seen = Some(format!("{name}{error}"));
                        }
                    }
                }
                Reading::Failed(call, reason) => {
                    reading.calls.extend(call);
                    reading.holds = None;
                    reading.seen = Some(format!("{name}{reason}"));
                }
                Reading::Open | Reading::Again => {
                    reading.holds = None;
                    reading.seen = Some(format!("{name}not read"));
                }
            }
        }
        reading
    }

    /// The flow as it stands: with every before-state that was read so far.
    pub fn preview(&self) -> Result<AutomationFlow, NextError> {
        let design = self.documents.design().ok_or(NextError::Missing(ArtifactKind::Design))?;
        let digest = self.state.artifact(ArtifactKind::Design).ok_or(NextError::Missing(ArtifactKind::Design))?;
        let null = Value::Null;
        let facts = self.documents.facts().map_or(&null, |facts| facts.as_ref());
        let bare = expand(design, digest, facts, &Default::default(), self.toolbox)?;
        let before = bare.nodes.iter().filter_map(|node| Some((node.id.clone(), self.before(node)?))).collect();
        Ok(expand(design, digest, facts, &before, self.toolbox)?)
    }

    /// The read that gives a node's before-state; nothing where it cannot be read or a discovery read has it already.
    fn before_read(&self, node: &FlowNode) -> Option<Proposal> {
        let (tool, args) = self.state_call_of(node)?;
        if self.discovered(&tool, &args).is_some() {
            return None;
        }
        let purpose = Purpose::Before { node: node.id.clone() };
        Some(Proposal { agent: Agent::Verifier, purpose, tool: tool.to_string(), args })
    }

    /// A node's before-state, where it was read.
    fn before(&self, node: &FlowNode) -> Option<Before> {
        let (tool, args) = self.state_call_of(node)?;
        let (call, result) = match self.discovered(&tool, &args) {
            Some(found) => found,
            None => match self.reading(&Purpose::Before { node: node.id.clone() }) {
                Reading::Value(call, result) => (call, result),
                _ => return None,
            },
        };
        Some(Before { state: self.pick(node, &result)?, call })
    }

    /// The call that reads the state that a writing node changes, where its arguments are known.
    fn state_call_of(&self, node: &FlowNode) -> Option<(ToolName, Map<String, Value>)> {
        let tool = self.toolbox.tool(&node.step.tool).filter(|tool| tool.effect != Effect::Read)?;
        if node.skipped.is_some() {
            return None;
        }
        state_call(tool.state.as_ref()?, &node.known_args()?)
    }

    /// The state in a result of that call.
    fn pick(&self, node: &FlowNode, result: &Value) -> Option<Value> {
        let tool = self.toolbox.tool(&node.step.tool)?;
        let args = Value::Object(node.known_args()?);
        tool.state.as_ref()?.pick.evaluate(&Scope::new().with("args", &args).with("result", result)).ok()
    }

    /// The result of a discovery read of exactly this, if there is one.
    fn discovered(&self, tool: &ToolName, args: &Map<String, Value>) -> Option<(CallId, Arc<Value>)> {
        let report = self.documents.discovery()?;
        let read = report.reads.iter().find(|read| read.tool == *tool && read.args == *args)?;
        Some((read.call.clone(), Arc::clone(self.blobs.get(&read.result)?)))
    }

    /// Whether the last call for a purpose waits for a person, and in which role.
    pub(super) fn needs_approval(&self, purpose: &Purpose) -> Option<Role> {
        match self.state.call_for(purpose)?.1.refused {
            Some((RefusedAs::NeedsApproval(role), _)) => Some(role),
            _ => None,
        }
    }

    /// The purpose of a node's own call.
    pub fn act_of(&self, node: &NodeId) -> Option<(&CallId, &Call)> {
        let attempt = self.state.attempt(node);
        let act = |r#try: u32| Purpose::Act { node: node.clone(), attempt, r#try };
        let tries = self.state.served.range(act(1)..=act(Until::MOST_ATTEMPTS));
        tries.rev().find_map(|(_, id)| Some((id, self.state.calls.get(id)?)))
    }
}

/// The reading call of a `state` rule for these arguments.
pub(super) fn state_call(state: &StateRead, args: &Map<String, Value>) -> Option<(ToolName, Map<String, Value>)> {
    let args = Value::Object(args.clone());
    let call = ReadCall { tool: state.tool.clone(), args: state.args.clone() };
    Some((state.tool.clone(), call.fill(&Scope::new().with("args", &args)).ok()?))
}

/// A read of discovery.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscoveryRead {
    /// Its name among the facts.
    pub id: crate::artifact::StepId,
    /// Its item.
    pub item: Option<String>,
    /// The call.
    pub proposal: Proposal,
}
