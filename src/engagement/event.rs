//! The events of an engagement: everything that is remembered of it, in the words of the field. Of those there are most of,
//! the members are declared in the order of their names, in which they are written (RFC 8785), so that none is put in order.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    artifact::{Agent, ArtifactKind, CallId, Digest, EngagementId, NodeId, Phase, RecordOutcome, ToolName},
    facts::{Identity, Role, Scope},
    flow::NodeOutcome,
    policy::{Proven, Spoke},
};

use super::{
    considered::Considered,
    filling::HolesFilled,
    purpose::Purpose,
    question::{Answered, Asked},
    redact::Redacted,
    seal::Arguments,
    statement::Signature,
    talk::{AgentAsked, DraftReturned, RequesterSaid},
    turn::Turned,
};

/// One link of an engagement's chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The engagement.
    pub engagement: EngagementId,
    /// Its place, from 1.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Who made it happen.
    pub actor: Actor,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
    /// The hash of the event before; zero for the first.
    pub prev: Digest,
    /// SHA-256 over the canonical JSON of everything else.
    pub hash: Digest,
}

/// Who made something happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person.
    Person(Identity),
    /// One of the agents.
    Agent(Agent),
    /// `gates.cedar`, at trust stage 3.
    Policy,
    /// The program itself.
    Program,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(identity) => write!(f, "{identity}"),
            Self::Agent(agent) => write!(f, "{agent} agent"),
            Self::Policy => f.write_str("policy"),
            Self::Program => f.write_str("countersign"),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body")]
pub enum Body {
    /// An engagement began.
    #[serde(rename = "engagement.requested")]
    Requested(Requested),
    /// A phase began.
    #[serde(rename = "phase.entered")]
    Entered {
        /// The phase.
        phase: Phase,
        /// Why, where a phase was left out or gone back to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A version of an artifact was filed.
    #[serde(rename = "artifact.filed")]
    Filed(ArtifactFiled),
    /// A model answered an agent, or no model did.
    #[serde(rename = "model.turn")]
    Turned(Box<Turned>),
    /// An agent asks the requester.
    #[serde(rename = "agent.asked")]
    Inquired(AgentAsked),
    /// A person said something to the agents; nothing that is said here approves anything.
    #[serde(rename = "requester.said")]
    Said(RequesterSaid),
    /// A model's answer was given back, because it is no draft that could stand.
    #[serde(rename = "draft.returned")]
    Returned(DraftReturned),
    /// The build agent filled the holes of an approved design.
    #[serde(rename = "holes.filled")]
    HolesFilled(HolesFilled),
    /// The build agent was asked about a step that failed.
    #[serde(rename = "failure.considered")]
    Considered(Considered),
    /// A solver was asked about the boundary of a spec.
    #[serde(rename = "spec.proved")]
    Proved(SpecProved),
    /// A person was asked.
    #[serde(rename = "approval.asked")]
    Asked(Asked),
    /// A person answered.
    #[serde(rename = "approval.answered")]
    Answered(Answered),
    /// A call was decided and allowed; this is the intent, written before the effect.
    #[serde(rename = "call.allowed")]
    Allowed(Box<CallAllowed>),
    /// A call was decided and did not run.
    #[serde(rename = "call.refused")]
    Refused(Box<CallRefused>),
    /// What came of an allowed call.
    #[serde(rename = "call.finished")]
    Finished(CallFinished),
    /// Reading back showed that a call whose outcome was unknown did not take effect.
    #[serde(rename = "call.void")]
    Void(CallVoid),
    /// What became of a node of the flow.
    #[serde(rename = "step.settled")]
    Settled(NodeSettled),
    /// Something that the design does not say.
    #[serde(rename = "deviation.found")]
    Deviated(DeviationFound),
    /// A person had failed nodes tried again.
    #[serde(rename = "steps.retried")]
    Retried(Retried),
    /// A person ended the engagement.
    #[serde(rename = "engagement.cancelled")]
    Cancelled {
        /// Why.
        reason: String,
    },
    /// The engagement is over.
    #[serde(rename = "engagement.closed")]
    Closed(Closed),
    /// A person had what was given to calls and came back from them destroyed.
    #[serde(rename = "call.redacted")]
    Redacted(Redacted),
    /// A scope was given a trust stage; only in the ledger's own trust chain.
    #[serde(rename = "trust.set")]
    TrustSet(TrustSet),
}

/// How an engagement began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requested {
    /// The digest of the request document, which holds the blueprint or the hand-written files and the inputs.
    pub request: Digest,
    /// One line for lists.
    pub title: String,
    /// The blueprint's name, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<String>,
    /// The engagement whose record this starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EngagementId>,
    /// Whether language models draft it; a restart with other settings changes nothing about that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub model: bool,
    /// The digest of the key that its salts come from, see [`super::Seal`]; nothing in engagements of before there were
    /// seals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Digest>,
}

/// A version of an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactFiled {
    /// Which.
    pub artifact: ArtifactKind,
    /// Its version, from 1.
    pub version: u32,
    /// Its digest.
    pub digest: Digest,
    /// The digests of what it was made from.
    pub made_from: Vec<Digest>,
}

/// What a solver proved about the boundary of a spec, and what not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecProved {
    /// The digest of the spec.
    pub spec: Digest,
    /// The digest of the report.
    pub report: Digest,
    /// The solver and its version.
    pub solver: String,
    /// Everything in the report in one word.
    pub verdict: Proven,
}

/// The intent to run a call: the decision, the counters it takes and the exact arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallAllowed {
    /// On whose behalf.
    pub agent: Agent,
    /// Whether it uses up an approval of exactly this call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approved: bool,
    /// The arguments in normal form.
    pub args: Arguments,
    /// Its id.
    pub call: CallId,
    /// The effect counted against the grant's `at_most`, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<String>,
    /// What was decided on: the digests of policies, tools, inventory and people.
    pub decided_on: Digest,
    /// The digest of tool, arguments and node, see [`super::call_digest`]: what approvals name.
    pub digest: Digest,
    /// The grant that permits it.
    pub grant: String,
    /// Why it is made.
    pub purpose: Purpose,
    /// The rules that spoke.
    pub rules: Vec<Spoke>,
    /// The target.
    pub target: String,
    /// The tool.
    pub tool: ToolName,
}

/// A call that did not run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRefused {
    /// Its id.
    pub call: CallId,
    /// The digest of tool, arguments and node, where the arguments have a normal form.
    pub digest: Option<Digest>,
    /// Why it was wanted.
    pub purpose: Purpose,
    /// On whose behalf.
    pub agent: Agent,
    /// The tool, as it was named.
    pub tool: String,
    /// The arguments, as they were given.
    pub args: Arguments,
    /// How it was refused.
    pub refused: RefusedAs,
    /// The rules that spoke; the last one decided.
    pub rules: Vec<Spoke>,
    /// What was decided on.
    pub decided_on: Digest,
}

/// How a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedAs {
    /// The tool is not known or does not take these arguments.
    Invalid,
    /// A rule says no, or none says yes.
    Denied,
    /// A person in this role would have to approve it.
    NeedsApproval(Role),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The tool answered.
    Ok,
    /// The tool answered with an error.
    Error,
    /// The call never reached the tool.
    NotSent,
    /// Nobody knows whether it took effect.
    Unknown,
}

/// What came of an allowed call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallFinished {
    /// The call.
    pub call: CallId,
    /// What the tool or the transport said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How it ended.
    pub outcome: CallOutcome,
    /// The digest of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Digest>,
    /// Whether that is the digest of a sealed document.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
}

/// A call whose outcome was unknown and that reading back showed not to have taken effect: the step begins another
/// attempt, and an approval that the call had used may be used again. Where the call was to take the step back, its
/// attempt stays and it is taken back anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallVoid {
    /// The call.
    pub call: CallId,
    /// The node that it was made for.
    pub node: NodeId,
    /// The attempt that begins, or that is still to be taken back.
    pub attempt: u32,
    /// The call that read the state back.
    pub shown_by: CallId,
}

/// What became of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSettled {
    /// The attempt.
    pub attempt: u32,
    /// Whether the target is not as it was before.
    pub changed: bool,
    /// The node.
    pub node: NodeId,
    /// What became of it.
    pub outcome: NodeOutcome,
    /// Why, where it is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that the design does not say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviationFound {
    /// The node.
    pub node: NodeId,
    /// What differs, in words.
    pub what: String,
    /// What the design was approved on.
    pub contract: Value,
    /// What is there.
    pub actual: Value,
    /// The calls that show it.
    pub calls: Vec<CallId>,
    /// Why the build agent wants it, where it is one that it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Whether the node was to be taken back; then the call is the reading that was made for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
}

/// Failed nodes that a person had tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retried {
    /// The nodes, each with the attempt that begins.
    pub nodes: BTreeMap<String, u32>,
    /// The calls that are approved for one more use.
    pub calls: Vec<Digest>,
}

/// How an engagement ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// The outcome.
    pub outcome: RecordOutcome,
    /// One sentence that says why.
    pub reason: String,
}

/// A trust stage that a scope was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSet {
    /// The blueprint, to the byte, and the environment.
    pub scope: Scope,
    /// The blueprint's name when this was said, for people.
    pub name: String,
    /// The stage before.
    pub from: u8,
    /// The stage from now on.
    pub stage: u8,
    /// The role that it was raised in; lowering needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Why.
    pub reason: String,
    /// The signature of whoever said so; raising needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Body {
    /// The word that logs and filters use.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Requested(_) => "engagement.requested",
            Self::Entered { .. } => "phase.entered",
            Self::Filed(_) => "artifact.filed",
            Self::Turned(_) => "model.turn",
            Self::Inquired(_) => "agent.asked",
            Self::Said(_) => "requester.said",
            Self::Returned(_) => "draft.returned",
            Self::HolesFilled(_) => "holes.filled",
            Self::Considered(_) => "failure.considered",
            Self::Proved(_) => "spec.proved",
            Self::Asked(_) => "approval.asked",
            Self::Answered(_) => "approval.answered",
            Self::Allowed(_) => "call.allowed",
            Self::Refused(_) => "call.refused",
            Self::Finished(_) => "call.finished",
            Self::Void(_) => "call.void",
            Self::Settled(_) => "step.settled",
            Self::Deviated(_) => "deviation.found",
            Self::Retried(_) => "steps.retried",
            Self::Cancelled { .. } => "engagement.cancelled",
            Self::Closed(_) => "engagement.closed",
            Self::Redacted(_) => "call.redacted",
            Self::TrustSet(_) => "trust.set",
        }
    }
}
