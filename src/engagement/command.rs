//! What someone may want written to an engagement's chain.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    artifact::{ArtifactKind, CallId, Digest, Phase},
    facts::Role,
};

use super::{
    considered::Considered,
    event::{
        CallAllowed, CallFinished, CallRefused, CallVoid, Closed, DeviationFound, NodeSettled, Retried, SpecProved,
    },
    filling::HolesFilled,
    question::{About, Answer, Asked, PolicyAnswer},
    redact::Redacts,
    statement::{ApprovalStatement, RedactionStatement, Signed},
    talk::{AgentAsked, DraftReturned, RequesterSaid},
    turn::Turned,
};

/// Something that someone wants to happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Begin a phase.
    Enter {
        /// The phase.
        phase: Phase,
        /// Why, where a phase is left out or gone back to.
        reason: Option<String>,
    },
    /// File a version of an artifact.
    File {
        /// Which.
        artifact: ArtifactKind,
        /// Its digest.
        digest: Digest,
        /// The digests of what it was made from.
        made_from: Vec<Digest>,
    },
    /// Write down a turn of a model.
    Turn(Box<Turned>),
    /// Ask the requester, as an agent.
    Inquire(AgentAsked),
    /// Say something to the agents.
    Say {
        /// What.
        said: RequesterSaid,
        /// The roles that the person has.
        roles: BTreeSet<Role>,
    },
    /// Give an answer back that is no draft.
    GiveBack(DraftReturned),
    /// Write down what the build agent filled in.
    Fill(HolesFilled),
    /// Write down what the build agent said of a step that failed.
    Consider(Considered),
    /// Write down what a solver proved about the spec.
    Prove(SpecProved),
    /// Ask a person.
    Ask(Asked),
    /// Answer, in these roles.
    Answer {
        /// What about.
        about: About,
        /// The approval request that the person saw.
        request: Digest,
        /// The answer.
        answer: Answer,
        /// The roles that the person has.
        roles: BTreeSet<Role>,
        /// Why; a rejection needs one.
        reason: Option<String>,
        /// The calls that are approved with it.
        calls: Vec<Digest>,
        /// When what is approved with it is no longer approved.
        expires: Option<Timestamp>,
        /// The person's signature, where there is one.
        signed: Option<Box<Signed<ApprovalStatement>>>,
    },
    /// Answer yes as `gates.cedar` says; only at trust stage 3, and only to a gate or about a deviation.
    Rule {
        /// What about.
        about: About,
        /// The approval request that the policy was asked about.
        request: Digest,
        /// What it said.
        policy: PolicyAnswer,
        /// When what is accepted with it is no longer accepted.
        expires: Option<Timestamp>,
    },
    /// Write down that a call may run, before it does.
    Allow(Box<CallAllowed>),
    /// Write down that a call may not run.
    Refuse(Box<CallRefused>),
    /// Write down how a call ended.
    Finish(CallFinished),
    /// Write down that an unknown call did not take effect.
    Void(CallVoid),
    /// Write down what became of a node.
    Settle(NodeSettled),
    /// Write down a deviation.
    Deviate(DeviationFound),
    /// Try failed nodes again.
    Retry {
        /// The nodes and calls.
        retried: Retried,
        /// The roles that the person has.
        roles: BTreeSet<Role>,
    },
    /// End it.
    Cancel {
        /// Why.
        reason: String,
        /// The roles that the person has.
        roles: BTreeSet<Role>,
    },
    /// Destroy what was given to calls and came back from them.
    Redact {
        /// The calls.
        calls: BTreeSet<CallId>,
        /// The answers of models that show a value of theirs.
        answers: BTreeSet<Digest>,
        /// Who wants it, and why.
        by: Redacts,
        /// The person's signature, where there is one.
        signed: Option<Box<Signed<RedactionStatement>>>,
    },
    /// Close it.
    Close(Closed),
}
