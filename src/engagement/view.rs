//! The view that the pure functions look at an engagement through: what its reads gave, and the reads that are still to
//! be made. It looks and never decides.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    artifact::{
        AcceptanceReading, Agent, ArtifactKind, AutomationFlow, Before, CallId, Check, Digest, FlowNode, NodeId,
        ReadCall, Scope, SolutionDesign, ToolName,
    },
    facts::Role,
    flow::{ExpandError, expand, item_key, resolve_items},
    tool::{Effect, StateRead, Tool, Toolbox},
};

use super::{
    blobs::Blobs,
    call::Call,
    documents::Documents,
    event::{CallOutcome, RefusedAs},
    next::{NextError, Proposal},
    picks::picked,
    purpose::Purpose,
    seal::Seal,
    state::State,
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

/// The versions of a spec after which discovery asks for no other.
const MOST_VERSIONS: u32 = 5;

/// How often in a row a read is made whose outcome stays unknown.
pub(super) const READS_AGAIN: usize = 3;

/// How many reads whose process ended count as one of those: it says nothing of the target, unless it is the read that
/// ends the process.
const CUT_OFF_AS_ONE: usize = 5;

/// A read for which no server could be used, where an engagement stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRead {
    /// What it was to read.
    pub purpose: Purpose,
    /// Why it was not sent.
    pub reason: String,
    /// How often it is made again before the engagement goes on without an answer.
    pub left: usize,
}

impl NotRead {
    /// The read on which an engagement stands still, if it does.
    pub fn last(state: &State) -> Option<Self> {
        let (_, call) = state.calls.last_key_value()?;
        let other = matches!(
            call.purpose,
            Purpose::Act { .. } | Purpose::Undo { .. } | Purpose::Turn { .. } | Purpose::Proposed { .. }
        );
        if other || call.outcome != Some(CallOutcome::NotSent) || state.asked.is_some() || state.closed.is_some() {
            return None;
        }
        let left = READS_AGAIN.saturating_sub(unanswered_in_a_row(state, &call.purpose));
        Some(Self { purpose: call.purpose.clone(), reason: call.message.clone().unwrap_or_default(), left })
    }
}

/// Seconds from a read of what an effect left that gave an error to the next one, for the first and the second time.
const SECONDS_BETWEEN: [u32; READS_AGAIN - 1] = [1, 4];

/// How often a read was made in vain since it was answered last.
pub(super) fn unanswered_in_a_row(state: &State, purpose: &Purpose) -> usize {
    let made = state.calls.values().rev().filter(|call| call.purpose == *purpose);
    let answered = |call: &&Call| match call.outcome {
        Some(CallOutcome::Ok) => true,
        Some(CallOutcome::Error) => !purpose.looks_after(),
        _ => false,
    };
    let unanswered = made.take_while(|call| !answered(call));
    let (cut_off, in_vain): (Vec<&Call>, Vec<&Call>) = unanswered.partition(|call| call.cut_off());
    in_vain.len() + cut_off.len() / CUT_OFF_AS_ONE
}

/// What is known of a call that a purpose needs.
pub enum Reading {
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
    /// How the engagement seals.
    pub fn seal(&self) -> Seal<'a> {
        Seal::of(self.state, self.blobs)
    }

    /// What is known of the call that served a purpose.
    pub fn reading(&self, purpose: &Purpose) -> Reading {
        let Some((id, call)) = self.state.call_for(purpose) else { return Reading::Open };
        // A server that nobody has pinned, or that is not what was approved, is a matter of the workspace: nothing is
        // known of the target.
        if call.held() {
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
            Some(CallOutcome::Error) if !purpose.looks_after() => Reading::Failed(Some(id.clone()), said()),
            Some(CallOutcome::Error | CallOutcome::NotSent | CallOutcome::Unknown) | None => {
                let made = unanswered_in_a_row(self.state, purpose);
                if made < READS_AGAIN { Reading::Again } else { Reading::Failed(Some(id.clone()), said()) }
            }
        }
    }

    /// How many seconds after its last call a read is made again.
    pub(super) fn pause_before(&self, purpose: &Purpose) -> u32 {
        let failed = self.state.call_for(purpose).is_some_and(|(_, call)| call.outcome == Some(CallOutcome::Error));
        let times = if failed { unanswered_in_a_row(self.state, purpose) } else { 0 };
        times.checked_sub(1).and_then(|before| SECONDS_BETWEEN.get(before)).copied().unwrap_or(0)
    }

    /// Whether a person has said of a call that it took effect, or did not, since what it left was read last.
    pub(super) fn answered_since(&self, call: &Call, reading: &Purpose) -> bool {
        let read = self.state.call_for(reading).map(|(_, call)| call.at);
        let of_undo = matches!(reading, Purpose::UndoCheck { .. });
        let told = reading.node().and_then(|node| self.state.told_of(node, of_undo));
        call.unsure() && read < told
    }

    /// Whether agents may still draft another version of the spec by themselves.
    pub(super) fn redrafts_left(&self) -> bool {
        self.state.versions.get(&ArtifactKind::Spec).copied().unwrap_or(0) < MOST_VERSIONS
    }

    /// Why the engagement is stopped, if its agents tried too often what no grant lets them do.
    pub fn stopped(&self) -> Option<String> {
        let most = self.documents.spec()?.limits.attempts_outside.max(1);
        let made = self.state.outside.saturating_sub(self.state.outside_seen);
        let calls = if made == 1 { "call" } else { "calls" };
        (made >= u64::from(most))
            .then(|| format!("{made} {calls} outside the boundary, and the spec stops it at {most}"))
    }

    /// Whether a call takes back, looks, or clears up: those go on after a window or a limit ends.
    pub fn recovers(&self, proposal: &Proposal) -> bool {
        proposal.purpose.recovers() || self.clears_up(proposal)
    }

    /// Whether this is an `always` step that clears up: one on a target that this engagement has touched. Any other is
    /// a step like the rest, or a design could put its work past windows, limits and freezes by calling it `always`.
    fn clears_up(&self, proposal: &Proposal) -> bool {
        let node = proposal.purpose.node().and_then(|id| self.documents.flow()?.node(id));
        node.is_some_and(|node| self.may_clear_up(node))
    }

    /// Whether a node goes on for that when the window or a limit is over.
    pub fn may_clear_up(&self, node: &FlowNode) -> bool {
        let Some(flow) = self.documents.flow() else { return false };
        let touched = |other: &FlowNode| {
            // One that is under way, as this step itself may be, has touched nothing yet that is known.
            let ran = |call: &Call| call.outcome.is_some_and(|outcome| outcome != CallOutcome::NotSent);
            let changes = self.toolbox.tool(&other.step.tool).is_none_or(|tool| tool.effect != Effect::Read);
            let (act, target) = (self.act_of(&other.id), node.target.as_deref());
            changes && act.is_some_and(|(_, call)| ran(call) && target.is_some() && call.target.as_deref() == target)
        };
        node.step.always && flow.nodes.iter().any(touched)
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
    pub(super) fn baseline_reads(&self) -> Vec<Proposal> {
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

    /// What the baseline's record says that a node left: what was read back at the end. Where nothing was read, nothing is
    /// known to have drifted.
    pub fn baseline_left(&self, node: &FlowNode) -> Option<Value> {
        let baseline = self.documents.request().and_then(|request| request.baseline)?;
        let steps = self.blobs.get(&baseline)?.get("steps")?.as_array()?;
        let step = steps.iter().find(|step| step.get("node").and_then(Value::as_str) == Some(node.id.as_str()))?;
        // What was read as nothing is there as null; what was not read is not there.
        step.get("observed").cloned()
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

    pub(super) fn check_args(&self, check: &Check, at: usize) -> Option<Map<String, Value>> {
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

    /// Whether one of the results that are here shows by itself that a check did not hold.
    pub fn refuted(&self, check: &Check, before: bool) -> bool {
        let Some(inputs) = self.documents.spec().map(|spec| spec.inputs_value()) else { return false };
        check.items().iter().enumerate().any(|(at, item)| {
            let Some(proposal) = self.check_read(check, at, before) else { return false };
            let Reading::Value(_, result) = self.reading(&proposal.purpose) else { return false };
            let scope = Scope::new().with("inputs", &inputs).with("item", item).with("result", &result);
            check.expect.holds(&scope) != Ok(true)
        })
    }

    /// The flow as it stands: with every before-state that was read so far.
    pub fn preview(&self) -> Result<AutomationFlow, NextError> {
        let (design, digest, facts) = self.designed()?;
        Ok(expand(design, digest, facts, |node| self.before(node), self.toolbox)?)
    }

    /// What a flow is made from: the design, and what discovery read.
    pub(super) fn designed(&self) -> Result<(&'a SolutionDesign, Digest, &'a Value), NextError> {
        let design = self.documents.design().ok_or(NextError::Missing(ArtifactKind::Design))?;
        let digest = self.state.artifact(ArtifactKind::Design).ok_or(NextError::Missing(ArtifactKind::Design))?;
        let facts = self.documents.facts().map_or(&Value::Null, |facts| facts.as_ref());
        Ok((design.as_ref(), digest, facts))
    }

    /// The read that gives a node's before-state; nothing where it cannot be read or a discovery read has it already.
    pub(super) fn before_read(&self, node: &FlowNode) -> Option<Proposal> {
        let (tool, args) = self.state_call_of(node)?;
        if self.discovered(&tool, &args).is_some() {
            return None;
        }
        let purpose = Purpose::Before { node: node.id.clone() };
        Some(Proposal { agent: Agent::Verifier, purpose, tool: tool.to_string(), args })
    }

    /// A node's before-state, where it was read.
    pub(super) fn before(&self, node: &FlowNode) -> Option<Before> {
        let (tool, args) = self.state_call_of(node)?;
        let (writer, acted) = (self.toolbox.tool(&node.step.tool)?, node.known_args()?);
        if let Some((call, answer, result)) = self.discovered(&tool, &args) {
            return Some(Before {
                state: self.blobs.picks().of(answer, writer, &acted, result).ok()?,
                call: call.clone(),
            });
        }
        match self.reading(&Purpose::Before { node: node.id.clone() }) {
            Reading::Value(call, result) => {
                Some(Before { state: self.picked(writer, &acted, (&call, &result)).ok()?, call })
            }
            _ => None,
        }
    }

    /// The call that reads the state that a writing node changes, where its arguments are known.
    pub(super) fn state_call_of(&self, node: &FlowNode) -> Option<(ToolName, Map<String, Value>)> {
        let tool = self.toolbox.tool(&node.step.tool).filter(|tool| tool.effect != Effect::Read)?;
        if node.skipped.is_some() {
            return None;
        }
        state_call(tool.state.as_ref()?, &node.known_args()?)
    }

    /// The state that a call with these arguments changes, in what a read of it gave; why there is none, in words.
    pub(super) fn picked(
        &self,
        tool: &Tool,
        args: &Map<String, Value>,
        (read, result): (&CallId, &Value),
    ) -> Result<Value, String> {
        match self.state.calls.get(read).and_then(|call| call.result) {
            Some(answer) => self.blobs.picks().of(&answer, tool, args, result),
            None => picked(tool, args, result),
        }
    }

    /// The discovery read of exactly this, with what it gave, if there is one.
    fn discovered(
        &self,
        tool: &ToolName,
        args: &Map<String, Value>,
    ) -> Option<(&'a CallId, &'a Digest, &'a Arc<Value>)> {
        let report = self.documents.discovery()?;
        let read = report.reads.iter().find(|read| read.tool == *tool && read.args == *args)?;
        Some((&read.call, &read.result, self.blobs.get(&read.result)?))
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
        self.state.act_of(node)
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
