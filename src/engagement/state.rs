//! The state of an engagement: what its events fold into. Folding trusts the events; [`super::decide`] is what
//! keeps wrong ones from being written, and `verify` what finds wrong ones that were.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    artifact::{Agent, ArtifactKind, CallId, Digest, EngagementId, NodeId, Phase, ToolName},
    flow::{NodeOutcome, Settled},
};

use super::event::{
    About, Actor, Answer, Answered, Asked, Body, CallOutcome, Closed, DeviationFound, Event, NodeSettled, Purpose,
    RefusedAs, Requested,
};

/// What the events of one engagement add up to.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The engagement.
    pub id: EngagementId,
    /// The place of the last event.
    pub seq: u64,
    /// The hash of the last event.
    pub head: Digest,
    /// When it began.
    pub opened_at: Timestamp,
    /// When the last event was written.
    pub last_at: Timestamp,
    /// How it began.
    pub requested: Requested,
    /// Who asked for it.
    pub requester: Actor,
    /// The phase that it is in.
    pub phase: Phase,
    /// The current version of each artifact; later ones are void when an earlier one changes.
    pub artifacts: BTreeMap<ArtifactKind, Filed>,
    /// How many versions of each artifact were filed, void ones included.
    pub versions: BTreeMap<ArtifactKind, u32>,
    /// The gates.
    pub gate1: GateState,
    /// The second gate.
    pub gate2: GateState,
    /// The question that is open.
    pub asked: Option<Asked>,
    /// When the open question was asked.
    pub asked_at: Option<Timestamp>,
    /// Every call, by id.
    pub calls: BTreeMap<CallId, Call>,
    /// The last call that served a purpose.
    pub served: BTreeMap<Purpose, CallId>,
    /// The distinct effects that each grant has let through.
    pub effects: BTreeMap<String, BTreeSet<String>>,
    /// Calls that a person approved, each with the uses that are left.
    pub approved_calls: BTreeMap<Digest, u32>,
    /// Calls that a person rejected, with the reason.
    pub rejected_calls: BTreeMap<Digest, String>,
    /// Every node that is settled.
    pub nodes: BTreeMap<NodeId, Settled>,
    /// Why a node was settled as it was.
    pub reasons: BTreeMap<NodeId, String>,
    /// The attempt that a node is in, from 1; left out where it is the first.
    pub attempts: BTreeMap<NodeId, u32>,
    /// Deviations, in order.
    pub deviations: Vec<Deviation>,
    /// Every answer, in order.
    pub answers: Vec<(Actor, Timestamp, Answered)>,
    /// What a person said of a call whose outcome was unknown.
    pub applied: BTreeMap<NodeId, bool>,
    /// Calls that ran.
    pub ran: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Attempts outside the boundary.
    pub outside: u64,
    /// Seconds that it waited for people.
    pub waited: i64,
    /// Seconds of work: the time between events while no question was open, long gaps left out, because a process
    /// that nobody runs does not work.
    pub worked: i64,
    /// Why a person ended it.
    pub cancelled: Option<String>,
    /// How it ended.
    pub closed: Option<Closed>,
}

/// The two gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Locks the spec.
    One,
    /// Locks the design.
    Two,
}

/// A longer gap between two events is not work, in seconds.
const LONGEST_WORK: i64 = 600;

/// Whether a gate is open.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum GateState {
    /// Nobody has answered for the current version.
    #[default]
    Closed,
    /// A person rejected the current version.
    Rejected {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// A person approved exactly this artifact.
    Open {
        /// The artifact.
        artifact: Digest,
        /// The approval request.
        request: Digest,
        /// Who.
        by: Actor,
    },
}

/// A filed version.
#[derive(Clone, Debug, PartialEq)]
pub struct Filed {
    /// Its version, from 1.
    pub version: u32,
    /// Its digest.
    pub digest: Digest,
    /// Who wrote it.
    pub author: Actor,
    /// When.
    pub at: Timestamp,
}

/// A call and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Why it was made.
    pub purpose: Purpose,
    /// On whose behalf.
    pub agent: Agent,
    /// The tool, as it was named.
    pub tool: String,
    /// The target, where it was decided.
    pub target: Option<String>,
    /// The arguments.
    pub args: serde_json::Map<String, Value>,
    /// The digest that approvals name.
    pub digest: Option<Digest>,
    /// The grant that permitted it.
    pub grant: Option<String>,
    /// Whether it used up an approval.
    pub used_approval: bool,
    /// When it was decided.
    pub at: Timestamp,
    /// How it was refused, if it was.
    pub refused: Option<(RefusedAs, String)>,
    /// How it ended, if it did.
    pub outcome: Option<CallOutcome>,
    /// The digest of the result.
    pub result: Option<Digest>,
    /// What the tool or the transport said.
    pub message: Option<String>,
}

/// A deviation and what a person said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// What was found.
    pub found: DeviationFound,
    /// Who accepted it; nothing while open or rejected.
    pub accepted_by: Option<Actor>,
    /// Why it was rejected.
    pub rejected: Option<String>,
}

impl Call {
    /// Whether it was allowed and nothing is known of its outcome: a crash, or it is under way.
    pub fn in_doubt(&self) -> bool {
        self.refused.is_none() && matches!(self.outcome, None | Some(CallOutcome::Unknown))
    }

    /// The tool's name, where it is one.
    pub fn tool_name(&self) -> Option<ToolName> {
        self.tool.parse().ok()
    }
}

impl State {
    /// The state after the first event, if it is one that begins an engagement.
    pub fn begin(event: &Event) -> Option<Self> {
        let Body::Requested(requested) = &event.body else { return None };
        Some(Self {
            id: event.engagement.clone(),
            seq: event.seq,
            head: event.hash,
            opened_at: event.at,
            last_at: event.at,
            requested: requested.clone(),
            requester: event.actor.clone(),
            phase: Phase::Requirements,
            artifacts: BTreeMap::new(),
            versions: BTreeMap::new(),
            gate1: GateState::Closed,
            gate2: GateState::Closed,
            asked: None,
            asked_at: None,
            calls: BTreeMap::new(),
            served: BTreeMap::new(),
            effects: BTreeMap::new(),
            approved_calls: BTreeMap::new(),
            rejected_calls: BTreeMap::new(),
            nodes: BTreeMap::new(),
            reasons: BTreeMap::new(),
            attempts: BTreeMap::new(),
            deviations: Vec::new(),
            answers: Vec::new(),
            applied: BTreeMap::new(),
            ran: 0,
            refused: 0,
            outside: 0,
            waited: 0,
            worked: 0,
            cancelled: None,
            closed: None,
        })
    }

    /// The state that a whole history folds into; nothing if it does not begin as an engagement does.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Self> {
        let mut events = events.into_iter();
        let mut state = Self::begin(events.next()?)?;
        for event in events {
            state.apply(event);
        }
        Some(state)
    }

    /// The state after one more event.
    pub fn apply(&mut self, event: &Event) {
        let gap = event.at.as_second() - self.last_at.as_second();
        if self.asked.is_none() && (0..=LONGEST_WORK).contains(&gap) {
            self.worked += gap;
        }
        self.seq = event.seq;
        self.head = event.hash;
        self.last_at = event.at;
        match &event.body {
            Body::Requested(_) => {}
            Body::Entered { phase, .. } => self.phase = *phase,
            Body::Filed(filed) => {
                self.void_after(filed.artifact);
                let version =
                    Filed { version: filed.version, digest: filed.digest, author: event.actor.clone(), at: event.at };
                self.artifacts.insert(filed.artifact, version);
                // A new version of an earlier artifact goes back to its phase.
                match filed.artifact {
                    ArtifactKind::Spec => self.phase = Phase::Requirements,
                    ArtifactKind::Design => self.phase = Phase::Design,
                    ArtifactKind::Discovery | ArtifactKind::Flow | ArtifactKind::Record => {}
                }
                self.versions.insert(filed.artifact, filed.version);
            }
            Body::Asked(asked) => {
                if self.asked.is_none() {
                    self.asked_at = Some(event.at);
                }
                self.asked = Some(asked.clone());
            }
            Body::Answered(answered) => self.answered(&event.actor, event.at, answered),
            Body::Allowed(allowed) => {
                let call = Call {
                    purpose: allowed.purpose.clone(),
                    agent: allowed.agent,
                    tool: allowed.tool.to_string(),
                    target: Some(allowed.target.clone()),
                    args: allowed.args.clone(),
                    digest: Some(allowed.digest),
                    grant: Some(allowed.grant.clone()),
                    used_approval: allowed.approved,
                    at: event.at,
                    refused: None,
                    outcome: None,
                    result: None,
                    message: None,
                };
                self.calls.insert(allowed.call.clone(), call);
                self.served.insert(allowed.purpose.clone(), allowed.call.clone());
                self.ran += 1;
                if let Some(effect) = &allowed.counts {
                    self.effects.entry(allowed.grant.clone()).or_default().insert(effect.clone());
                }
                if allowed.approved
                    && let Some(left) = self.approved_calls.get_mut(&allowed.digest)
                {
                    *left = left.saturating_sub(1);
                }
            }
            Body::Refused(refused) => {
                let reason = refused.rules.last().map(|spoke| spoke.reason.clone()).unwrap_or_default();
                let outside = refused.refused == RefusedAs::Denied;
                let call = Call {
                    purpose: refused.purpose.clone(),
                    agent: refused.agent,
                    tool: refused.tool.clone(),
                    target: None,
                    args: refused.args.clone(),
                    digest: refused.digest,
                    grant: None,
                    used_approval: false,
                    at: event.at,
                    refused: Some((refused.refused, reason)),
                    outcome: None,
                    result: None,
                    message: None,
                };
                self.calls.insert(refused.call.clone(), call);
                self.served.insert(refused.purpose.clone(), refused.call.clone());
                self.refused += u64::from(!matches!(refused.refused, RefusedAs::NeedsApproval(_)));
                self.outside += u64::from(outside);
            }
            Body::Finished(finished) => {
                if let Some(call) = self.calls.get_mut(&finished.call) {
                    call.outcome = Some(finished.outcome);
                    call.result = finished.result;
                    call.message = finished.message.clone();
                }
            }
            Body::Void(void) => {
                self.attempts.insert(void.node.clone(), void.attempt);
                let used = self.calls.get(&void.call).filter(|call| call.used_approval).and_then(|call| call.digest);
                if let Some(digest) = used {
                    *self.approved_calls.entry(digest).or_default() += 1;
                }
            }
            Body::Settled(settled) => self.settled(settled),
            Body::Deviated(found) => {
                self.deviations.push(Deviation { found: found.clone(), accepted_by: None, rejected: None });
            }
            Body::Retried(retried) => {
                self.closed = None;
                self.phase = Phase::Build;
                self.artifacts.remove(&ArtifactKind::Record);
                self.served
                    .retain(|purpose, _| !matches!(purpose, Purpose::CheckAfter { .. } | Purpose::Observe { .. }));
                self.nodes.retain(|node, _| !retried.nodes.contains_key(node.as_str()));
                self.reasons.retain(|node, _| !retried.nodes.contains_key(node.as_str()));
                self.served.retain(|purpose, _| {
                    let again = purpose.node().is_some_and(|node| retried.nodes.contains_key(node.as_str()));
                    !(again && matches!(purpose, Purpose::Undo { .. } | Purpose::UndoCheck { .. }))
                });
                for (node, attempt) in &retried.nodes {
                    if let Ok(node) = serde_json::from_value(Value::String(node.clone())) {
                        self.attempts.insert(node, *attempt);
                    }
                }
                for call in &retried.calls {
                    self.rejected_calls.remove(call);
                    *self.approved_calls.entry(*call).or_default() += 1;
                }
            }
            Body::Cancelled { reason } => {
                self.cancelled = Some(reason.clone());
                self.close_question(event.at);
            }
            Body::Closed(closed) => {
                self.closed = Some(closed.clone());
                self.close_question(event.at);
            }
        }
    }

    /// The attempt that a node is in.
    pub fn attempt(&self, node: &NodeId) -> u32 {
        self.attempts.get(node).copied().unwrap_or(1)
    }

    /// The last call that served a purpose.
    pub fn call_for(&self, purpose: &Purpose) -> Option<(&CallId, &Call)> {
        let id = self.served.get(purpose)?;
        Some((id, self.calls.get(id)?))
    }

    /// The id that the next call gets.
    pub fn next_call(&self) -> CallId {
        CallId::nth(self.calls.len() as u64 + 1)
    }

    /// The current digest of an artifact.
    pub fn artifact(&self, kind: ArtifactKind) -> Option<Digest> {
        self.artifacts.get(&kind).map(|filed| filed.digest)
    }

    /// The gate before a phase, and whether it is open for the current version.
    pub fn gate_open(&self, gate: Gate) -> bool {
        let (state, kind) = match gate {
            Gate::One => (&self.gate1, ArtifactKind::Spec),
            Gate::Two => (&self.gate2, ArtifactKind::Design),
        };
        matches!(state, GateState::Open { artifact, .. } if Some(*artifact) == self.artifact(kind))
    }

    /// The last deviation at a node.
    pub fn deviation_at(&self, node: &NodeId) -> Option<&Deviation> {
        self.deviations.iter().rev().find(|deviation| deviation.found.node == *node)
    }

    /// A new version of an artifact voids every later one, the gates that stood on them and what was read for them.
    fn void_after(&mut self, kind: ArtifactKind) {
        self.artifacts.retain(|other, _| *other < kind);
        match kind {
            ArtifactKind::Spec => {
                self.gate1 = GateState::Closed;
                self.gate2 = GateState::Closed;
                self.served.clear();
                self.nodes.clear();
                self.reasons.clear();
                self.approved_calls.clear();
            }
            ArtifactKind::Design => {
                self.gate2 = GateState::Closed;
                self.served.retain(|purpose, _| {
                    matches!(
                        purpose,
                        Purpose::Discover { .. }
                            | Purpose::CheckBefore { .. }
                            | Purpose::Baseline { .. }
                            | Purpose::Proposed { .. }
                    )
                });
                self.nodes.clear();
                self.reasons.clear();
                self.approved_calls.clear();
            }
            ArtifactKind::Discovery | ArtifactKind::Flow | ArtifactKind::Record => {}
        }
        if kind <= ArtifactKind::Design {
            self.asked = None;
            self.asked_at = None;
        }
    }

    fn close_question(&mut self, at: Timestamp) {
        self.asked = None;
        if let Some(since) = self.asked_at.take() {
            self.waited += (at.as_second() - since.as_second()).max(0);
        }
    }

    fn answered(&mut self, actor: &Actor, at: Timestamp, answered: &Answered) {
        self.close_question(at);
        self.answers.push((actor.clone(), at, answered.clone()));
        let reason = || answered.reason.clone().unwrap_or_default();
        let approved = answered.answer == Answer::Approve;
        if approved {
            for call in &answered.calls {
                *self.approved_calls.entry(*call).or_default() += 1;
            }
        }
        match &answered.about {
            About::Gate1 | About::Gate2 => {
                let kind = if answered.about == About::Gate1 { ArtifactKind::Spec } else { ArtifactKind::Design };
                let gate = match self.artifact(kind) {
                    Some(artifact) if approved => {
                        GateState::Open { artifact, request: answered.request, by: actor.clone() }
                    }
                    _ => GateState::Rejected { by: actor.clone(), reason: reason() },
                };
                match answered.about {
                    About::Gate1 => self.gate1 = gate,
                    _ => self.gate2 = gate,
                }
            }
            About::Call { call, .. } if approved => {
                self.rejected_calls.remove(call);
                if answered.calls.is_empty() {
                    *self.approved_calls.entry(*call).or_default() += 1;
                }
            }
            About::Call { call, .. } => {
                self.rejected_calls.insert(*call, reason());
            }
            About::Deviation { node } => {
                let open = self.deviations.iter_mut().rev().find(|deviation| deviation.found.node == *node);
                if let Some(deviation) = open {
                    if approved {
                        deviation.accepted_by = Some(actor.clone());
                    } else {
                        deviation.rejected = Some(reason());
                    }
                }
            }
            About::Failure { node } => {
                if let (Answer::Choose(choice), Some(settled)) = (&answered.answer, self.nodes.get_mut(node)) {
                    settled.chosen = Some(*choice);
                }
            }
            About::Unknown { node } => {
                if let Answer::Applied(applied) = answered.answer {
                    self.applied.insert(node.clone(), applied);
                }
            }
        }
    }

    fn settled(&mut self, settled: &NodeSettled) {
        let failed = matches!(settled.outcome, NodeOutcome::Failed | NodeOutcome::Unknown);
        let entry = self.nodes.entry(settled.node.clone()).or_insert(Settled {
            outcome: settled.outcome,
            failed,
            changed: settled.changed,
            chosen: None,
        });
        entry.outcome = settled.outcome;
        entry.changed = settled.changed;
        entry.failed |= failed;
        if let Some(reason) = &settled.reason {
            self.reasons.insert(settled.node.clone(), reason.clone());
        }
    }
}
