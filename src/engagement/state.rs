//! The state of an engagement: what its events fold into. Folding trusts the events; [`super::decide`] is what
//! keeps wrong ones from being written, and `verify` what finds wrong ones that were.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    artifact::{ArtifactKind, CallId, Digest, EngagementId, LedgerId, Limits, NodeId, Phase, Until},
    facts::Role,
    flow::{NodeOutcome, Settled},
};

use super::{
    call::Call,
    calls::can_be_taken_back,
    considered::Considered,
    event::{Actor, CallAllowed, CallOutcome, Closed, DeviationFound, Requested, Retried, SpecProved},
    filling::HolesFilled,
    purpose::Purpose,
    question::{About, Answer, Answered, Asked},
    talk::Talk,
};

/// What the events of one engagement add up to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// The call that was over last, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_over: Option<(CallId, Timestamp)>,
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
    /// The digest of every version of each artifact in order, void ones included.
    pub filed: BTreeMap<ArtifactKind, Vec<Digest>>,
    /// Who filed each of those versions.
    pub authors: BTreeMap<ArtifactKind, Vec<Actor>>,
    /// The versions that a gate was asked about, and so shown, or let through.
    pub shown: BTreeMap<ArtifactKind, BTreeSet<u32>>,
    /// What a solver proved last, about whichever version of the spec it names.
    pub proved: Option<SpecProved>,
    /// The gates.
    pub gate1: GateState,
    /// The second gate.
    pub gate2: GateState,
    /// What agents and the requester have said.
    pub talk: Talk,
    /// The question that is open.
    pub asked: Option<Asked>,
    /// Who may not say yes in this engagement, as the last question said.
    pub barred: BTreeSet<String>,
    /// Whether a question of this engagement needed a signature for a yes.
    pub signed: bool,
    /// The ledger that its questions are asked in, once one said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_in: Option<LedgerId>,
    /// When the open question was asked.
    pub asked_at: Option<Timestamp>,
    /// Every call, by id.
    pub calls: BTreeMap<CallId, Call>,
    /// Those of them that were let through and are not over: they are under way, or their process ended.
    pub under_way: BTreeSet<CallId>,
    /// The steps whose own call was let through, each with the attempt that it was in.
    pub acted: BTreeSet<(NodeId, u32)>,
    /// The steps that may have acted and are not settled: all that have are among them.
    pub acting: BTreeSet<NodeId>,
    /// The last call that served a purpose.
    #[serde(with = "pairs")]
    pub served: BTreeMap<Purpose, CallId>,
    /// The distinct effects that each grant has let through.
    pub effects: BTreeMap<String, BTreeSet<String>>,
    /// The targets of calls that were let through to change something.
    pub changed: BTreeSet<String>,
    /// Calls that a person approved, each with the uses that are left.
    pub approved_calls: BTreeMap<Digest, u32>,
    /// The highest role that each of them was approved in.
    pub approved_roles: BTreeMap<Digest, Role>,
    /// When the approvals of a call end, where they do.
    pub approved_until: BTreeMap<Digest, Timestamp>,
    /// Calls that a person rejected, with the reason.
    pub rejected_calls: BTreeMap<Digest, String>,
    /// Every node that is settled.
    pub nodes: BTreeMap<NodeId, Settled>,
    /// Why a node was settled as it was.
    pub reasons: BTreeMap<NodeId, String>,
    /// The attempt that a node is in, from 1; left out where it is the first.
    pub attempts: BTreeMap<NodeId, u32>,
    /// What the build agent filled into the current design, and what it wants otherwise.
    pub filling: Option<HolesFilled>,
    /// What was said of steps that failed, in order.
    pub considered: Vec<Considered>,
    /// Deviations, in order.
    pub deviations: Vec<Deviation>,
    /// Every answer, in order.
    pub answers: Vec<(Actor, Timestamp, Answered)>,
    /// What a person said of a call whose outcome was unknown: whether it took effect.
    pub applied: BTreeMap<NodeId, bool>,
    /// The same of an undo.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken_back: BTreeMap<NodeId, bool>,
    /// Calls that ran.
    pub ran: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Calls of agents that the boundary refused.
    pub outside: u64,
    /// Those of them that a person has seen since: they had steps tried again.
    pub outside_seen: u64,
    /// Seconds that it waited for people.
    pub waited: i64,
    /// Seconds of work: the time between events while no question was open, long gaps left out, because a process
    /// that nobody runs does not work.
    pub worked: i64,
    /// Whether the last event leaves the next move to a person or to whoever runs the program.
    pub idle: bool,
    /// Whether a person said no to a gate that was asked anew during the build.
    pub refused_anew: bool,
    /// Why a person ended it.
    pub cancelled: Option<String>,
    /// How it ended.
    pub closed: Option<Closed>,
    /// The answers of models that are sealed documents.
    pub sealed_answers: BTreeSet<Digest>,
    /// The sealed documents that were destroyed.
    pub redacted: BTreeSet<Digest>,
}

/// The two gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Locks the spec.
    One,
    /// Locks the design.
    Two,
}

/// Whether a gate is open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// A deviation and what a person said of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// What was found.
    pub found: DeviationFound,
    /// Who accepted it; nothing while open or rejected.
    pub accepted_by: Option<Actor>,
    /// The question whose yes that was.
    pub accepted_on: Option<Digest>,
    /// Until when it is accepted, where that ends.
    pub accepted_until: Option<Timestamp>,
    /// Why it was rejected.
    pub rejected: Option<String>,
}

impl State {
    /// The attempt that a node is in.
    pub fn attempt(&self, node: &NodeId) -> u32 {
        self.attempts.get(node).copied().unwrap_or(1)
    }

    /// The attempt in which a node that is over would be tried again; nothing where it cannot be.
    pub fn tried_again(&self, node: &NodeId) -> Option<u32> {
        // What was accepted after a failure was accepted once.
        let settled = self.nodes.get(node).filter(|_| self.wanted_after(node).is_none())?;
        match settled.outcome {
            NodeOutcome::Failed if !settled.changed => Some(self.attempt(node) + 1),
            NodeOutcome::Undone => Some(self.attempt(node) + 1),
            NodeOutcome::NotRun => Some(self.attempt(node)),
            _ => None,
        }
    }

    /// The steps that cannot be tried again so, each with the attempt that it was to be.
    pub fn not_tried_again<'a>(&self, retried: &'a Retried) -> impl Iterator<Item = (&'a str, u32)> {
        let begins = |node: &str| self.tried_again(self.nodes.keys().find(|id| id.as_str() == node)?);
        let named = retried.nodes.iter().map(|(node, attempt)| (node.as_str(), *attempt));
        named.filter(move |(node, attempt)| begins(node) != Some(*attempt))
    }

    /// Which limit of its spec lets nothing more run that is not there to look, take back or clear up: the rule and why.
    pub fn spent(&self, limits: &Limits) -> Option<(&'static str, String)> {
        if self.ran >= u64::from(limits.tool_calls) {
            let why = format!("the spec allows {} tool calls and all are used", limits.tool_calls);
            return Some(("limit.tool_calls", why));
        }
        self.out_of_time(self.worked, limits)
    }

    /// The same at a time: what it waited for since the last event is running too.
    pub fn spent_by(&self, limits: &Limits, now: Timestamp) -> Option<(&'static str, String)> {
        self.spent(limits).or_else(|| self.out_of_time(self.worked_by(now), limits))
    }

    fn out_of_time(&self, worked: i64, limits: &Limits) -> Option<(&'static str, String)> {
        (worked >= i64::from(limits.minutes) * 60).then(|| {
            ("limit.minutes", format!("the spec allows {} minutes of running and they are over", limits.minutes))
        })
    }

    /// The highest role that a call was approved in, while an approval of it is unused and has not ended.
    pub fn approved_in(&self, call: &Digest, now: Timestamp) -> Option<Role> {
        let left = self.approved_calls.get(call).is_some_and(|left| *left > 0);
        let ended = self.approved_until.get(call).is_some_and(|until| now >= *until);
        self.approved_roles.get(call).copied().filter(|_| left && !ended)
    }

    /// The last call that served a purpose.
    pub fn call_for(&self, purpose: &Purpose) -> Option<(&CallId, &Call)> {
        let id = self.served.get(purpose)?;
        Some((id, self.calls.get(id)?))
    }

    /// The steps of what it starts from that could not be compared with what is there, each with the call that was to read it.
    pub fn uncompared(&self) -> impl Iterator<Item = (&NodeId, &CallId, &Call)> {
        self.served.iter().filter_map(|(purpose, id)| {
            let Purpose::Baseline { node } = purpose else { return None };
            let call = self.calls.get(id)?;
            let over = call.refused.is_some() || call.outcome.is_some_and(|outcome| outcome != CallOutcome::Ok);
            over.then_some((node, id, call))
        })
    }

    /// The first call that was let through and is not over.
    pub fn first_under_way(&self) -> Option<&CallId> {
        self.under_way.first()
    }

    /// The id that the next call gets.
    pub fn next_call(&self) -> CallId {
        CallId::nth(self.calls.len() as u64 + 1)
    }

    /// The current digest of an artifact.
    pub fn artifact(&self, kind: ArtifactKind) -> Option<Digest> {
        self.artifacts.get(&kind).map(|filed| filed.digest)
    }

    /// The version before the current one that a gate asked about last: its number and digest. What changed since is
    /// what nobody who is asked now has seen.
    pub fn shown_before(&self, kind: ArtifactKind) -> Option<(u32, Digest)> {
        let current = self.artifacts.get(&kind)?.version;
        let last = *self.shown.get(&kind)?.range(..current).next_back()?;
        let at = usize::try_from(last).ok()?.checked_sub(1)?;
        Some((last, *self.filed.get(&kind)?.get(at)?))
    }

    /// The gate before a phase, and whether it is open for the current version.
    pub fn gate_open(&self, gate: Gate) -> bool {
        let (state, kind) = match gate {
            Gate::One => (&self.gate1, ArtifactKind::Spec),
            Gate::Two => (&self.gate2, ArtifactKind::Design),
        };
        matches!(state, GateState::Open { artifact, .. } if Some(*artifact) == self.artifact(kind))
    }

    /// The request whose yes calls rest on: the one of gate 2 where that is open, else of gate 1.
    pub fn opened_on(&self) -> Option<Digest> {
        let open = |gate: Gate| match self.gate(gate) {
            GateState::Open { request, .. } if self.gate_open(gate) => Some(*request),
            _ => None,
        };
        open(Gate::Two).or_else(|| open(Gate::One))
    }

    /// Whether a step's call is a read that was begun before and never answered, and so may be made again: reading
    /// twice does nothing twice.
    pub fn reads_again(&self, allowed: &CallAllowed, earlier: &Call) -> bool {
        let Purpose::Act { node, .. } = &allowed.purpose else { return false };
        let acted = self.effects.values().any(|effects| effects.contains(node.as_str()));
        allowed.counts.is_none() && !acted && earlier.outcome == Some(CallOutcome::Unknown)
    }

    /// What a solver proved about the current version of the spec.
    pub fn proved_of_spec(&self) -> Option<&SpecProved> {
        self.proved.as_ref().filter(|proved| Some(proved.spec) == self.artifact(ArtifactKind::Spec))
    }

    /// The role in which a person last agreed to a call; nothing where nobody did, someone rejected it since, or what
    /// was agreed to has ended.
    pub fn agreed_in(&self, call: &Digest, now: Timestamp) -> Option<Role> {
        self.agreement(call, now).map(|(.., answered)| answered.role)
    }

    /// Whether the person who last agreed to a call signed that: then nobody renews it on a name.
    pub fn agreed_signed(&self, call: &Digest, now: Timestamp) -> bool {
        self.agreement(call, now).is_some_and(|(.., answered)| answered.signature.is_some())
    }

    /// When a person last said whether a step's call, or its undo, took effect.
    pub(super) fn told_of(&self, node: &NodeId, undo: bool) -> Option<Timestamp> {
        let about = About::Unknown { node: node.clone(), undo };
        self.answers.iter().rev().find(|(.., answered)| answered.about == about).map(|(_, at, _)| *at)
    }

    /// Whether an answer had to be signed, or was: what is destroyed after it is signed too, or who checks the one could not
    /// check the other.
    pub fn has_signatures(&self) -> bool {
        self.signed || self.answers.iter().any(|(.., answered)| answered.signature.is_some())
    }

    /// The approval request whose yes a call rests on.
    pub fn agreed_on(&self, call: &Digest, now: Timestamp) -> Option<Digest> {
        self.agreement(call, now).map(|(.., answered)| answered.request)
    }

    /// The yes that a call rests on.
    pub(super) fn agreement(&self, call: &Digest, now: Timestamp) -> Option<&(Actor, Timestamp, Answered)> {
        if self.approved_until.get(call).is_some_and(|until| now >= *until) {
            return None;
        }
        if self.rejected_calls.contains_key(call) {
            return None;
        }
        // Whoever said no said it of whatever was said before.
        self.last_said_of(call).filter(|(.., answered)| answered.answer == Answer::Approve)
    }

    /// The last answer about a call that counts for it: its own, or the one that gate 2 gave with others.
    pub fn last_said_of(&self, call: &Digest) -> Option<&(Actor, Timestamp, Answered)> {
        // An earlier answer than the last one about gate 2 was about another design.
        for answer in self.answers.iter().rev() {
            let (.., answered) = answer;
            let named = match &answered.about {
                About::Call { call: asked, .. } => asked == call,
                About::Deviation { node } if self.wanted_call(node) == Some(*call) => true,
                _ => answered.answer == Answer::Approve && answered.calls.contains(call),
            };
            if named {
                return Some(answer);
            }
            if answered.about == About::Gate2 {
                return None;
            }
        }
        None
    }

    /// Whether a person agreed to a call and nobody rejected it since.
    pub fn agreed_to(&self, call: &Digest, now: Timestamp) -> bool {
        self.agreed_in(call, now).is_some()
    }

    /// Whether a person has said no to this question, or to this gate, in any version.
    pub fn rejected_by_a_person(&self, about: &About) -> bool {
        let no = |(actor, _, answered): &(Actor, Timestamp, Answered)| {
            matches!(actor, Actor::Person(_)) && answered.about == *about && answered.answer == Answer::Reject
        };
        self.answers.iter().any(no)
    }

    /// The last deviation at a node that is not about taking it back.
    pub fn deviation_before(&self, node: &NodeId) -> Option<&Deviation> {
        let mut of_node = self.deviations.iter().rev().filter(|deviation| deviation.found.node == *node);
        of_node.find(|deviation| !deviation.found.undo)
    }

    /// A node's own call, in the attempt that it is in.
    pub fn act_of(&self, node: &NodeId) -> Option<(&CallId, &Call)> {
        let attempt = self.attempt(node);
        let act = |r#try: u32| Purpose::Act { node: node.clone(), attempt, r#try };
        let tries = self.served.range(act(1)..=act(Until::MOST_ATTEMPTS));
        tries.rev().find_map(|(_, id)| Some((id, self.calls.get(id)?)))
    }

    /// The last deviation at a node, where it is one about taking it back as it is now: it was found after the node ran.
    pub fn deviation_of_undo(&self, node: &NodeId) -> Option<&Deviation> {
        let known = self.deviation_at(node).filter(|known| known.found.undo)?;
        let acted = self.act_of(node).map(|(id, _)| id);
        (known.found.calls.first() > acted).then_some(known)
    }

    /// Whether a node is not taken back as things are: others changed what it left, and no person has said to go on.
    pub(crate) fn undo_waits(&self, node: &NodeId) -> bool {
        self.deviation_of_undo(node).is_some_and(|known| known.accepted_by.is_none())
    }

    /// Whether it could be seen that a node was taken back already: it was looked at before an undo, after the last try.
    pub(crate) fn seen_undone(&self, node: &NodeId) -> bool {
        let looked = self.call_for(&Purpose::BeforeUndo { node: node.clone() });
        let tried = self.call_for(&Purpose::Undo { node: node.clone() }).map(|(id, _)| id);
        looked.is_some_and(|(id, call)| call.outcome == Some(CallOutcome::Ok) && Some(id) > tried)
    }

    /// The call of a step, or the one that was to take it back, of which nothing tells whether it took effect and no person
    /// has said.
    pub fn in_question(&self, node: &NodeId, undo: bool) -> Option<(&CallId, &Call)> {
        let (purpose, told) = match undo {
            true => (Purpose::Undo { node: node.clone() }, &self.taken_back),
            false => (Purpose::Act { node: node.clone(), attempt: self.attempt(node), r#try: 1 }, &self.applied),
        };
        let open = match self.nodes.get(node) {
            Some(settled) => undo && can_be_taken_back(settled),
            None => !undo,
        };
        self.call_for(&purpose).filter(|(_, call)| open && call.unsure() && !told.contains_key(node))
    }

    /// Whether a deviation rests on the reading that it must: the one that was made before an undo of that node, and no
    /// other on that.
    pub(crate) fn rests_on_its_reading(&self, found: &DeviationFound) -> bool {
        let of_undo = |id: &CallId| {
            let call = self.calls.get(id);
            call.is_some_and(|call| {
                matches!(&call.purpose, Purpose::BeforeUndo { node } if *node == found.node)
                    && call.outcome == Some(CallOutcome::Ok)
            })
        };
        let since = |id: &CallId| self.act_of(&found.node).is_some_and(|(acted, _)| id > acted);
        if found.undo {
            found.calls.first().is_some_and(|id| of_undo(id) && since(id))
        } else {
            !found.calls.iter().any(of_undo)
        }
    }

    /// Why only people may accept the last deviation at a node, at every stage; nothing where a policy may.
    pub fn for_people_alone(&self, node: &NodeId) -> Option<&'static str> {
        let found = &self.deviation_at(node)?.found;
        if found.because.is_some() {
            return Some("the build agent wants it, so a person answers");
        }
        found.undo.then_some("what is to be taken back was changed since, so a person answers")
    }

    /// The last deviation at a node.
    pub fn deviation_at(&self, node: &NodeId) -> Option<&Deviation> {
        self.deviations.iter().rev().find(|deviation| deviation.found.node == *node)
    }
}

/// A map whose keys are no text, as a list of pairs.
mod pairs {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(
        map: &BTreeMap<Purpose, CallId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Purpose, CallId>, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
