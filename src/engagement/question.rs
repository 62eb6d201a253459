//! What people are asked, and what they answer.

use std::{collections::BTreeSet, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    artifact::{Digest, LedgerId, NodeId, Nonce, OnFailure},
    facts::{Role, STAGES},
    policy::Spoke,
};

use super::statement::Signature;

/// What a person is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// Gate 1: lock the spec.
    Gate1,
    /// Gate 2: lock the design.
    Gate2,
    /// One call.
    Call {
        /// The node that wants it.
        node: NodeId,
        /// The digest of exactly this call.
        call: Digest,
    },
    /// A deviation at a node.
    Deviation {
        /// The node.
        node: NodeId,
    },
    /// What the failure of a node means for the rest.
    Failure {
        /// The node.
        node: NodeId,
    },
    /// Whether a call whose outcome is unknown took effect.
    Unknown {
        /// The node.
        node: NodeId,
        /// Whether it is the call that was to take the node back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        undo: bool,
    },
}

impl About {
    /// The node that it is about.
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Self::Gate1 | Self::Gate2 => None,
            Self::Call { node, .. }
            | Self::Deviation { node }
            | Self::Failure { node }
            | Self::Unknown { node, .. } => Some(node),
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gate1 => f.write_str("gate 1 (the spec)"),
            Self::Gate2 => f.write_str("gate 2 (the design)"),
            Self::Call { node, .. } => write!(f, "the call of step {node}"),
            Self::Deviation { node } => write!(f, "a deviation at step {node}"),
            Self::Failure { node } => write!(f, "the failure of step {node}"),
            Self::Unknown { node, undo: false } => write!(f, "the unknown outcome of step {node}"),
            Self::Unknown { node, undo: true } => write!(f, "the unknown outcome of the undo of step {node}"),
        }
    }
}

/// A question to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What about.
    pub about: About,
    /// The digest of the approval request: what is decided, what it was decided on, and the text shown.
    pub request: Digest,
    /// The role that may answer.
    pub role: Role,
    /// The trust stage that the engagement stood at.
    #[serde(default = "assisted", skip_serializing_if = "is_assisted")]
    pub stage: u8,
    /// Who may not say yes, because they asked for it or wrote it and duties are apart here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub barred: BTreeSet<String>,
    /// Why a gate that was open is asked anew; empty for every other question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub void: Vec<String>,
    /// Whether where it reaches needs a signature.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// What makes it this question and no other; without it no signature can answer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<Once>,
}

/// What makes a question one that is asked once: the same question asked anew, or elsewhere, is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Once {
    /// The ledger that it is asked in.
    pub ledger: LedgerId,
    /// A random number.
    pub nonce: Nonce,
}

impl Asked {
    /// A question at stage 1 that everyone in the role may answer.
    pub fn new(about: About, request: Digest, role: Role) -> Self {
        Self {
            about,
            request,
            role,
            stage: assisted(),
            barred: BTreeSet::new(),
            void: Vec::new(),
            signed: false,
            once: None,
        }
    }

    /// Whether every answer but a no needs the signature of the person who gives it: where it reaches says so, the
    /// trust stage is above the first, or duties are apart. A no stops things, and needs none.
    pub fn needs_signature(&self) -> bool {
        self.signed || self.stage > assisted() || !self.barred.is_empty()
    }
}

fn assisted() -> u8 {
    *STAGES.start()
}

fn is_assisted(stage: &u8) -> bool {
    *stage == assisted()
}

/// A yes that `gates.cedar` gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyAnswer {
    /// The rules that allowed it.
    pub rules: Vec<Spoke>,
    /// The digest of the facts that they were asked about.
    pub facts: Digest,
    /// The digest of the policies as they are written.
    pub policies: Digest,
}

/// What a person answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Yes, to exactly this.
    Approve,
    /// No.
    Reject,
    /// For a failure: what it means for the rest.
    Choose(OnFailure),
    /// For an unknown outcome: whether it took effect.
    Applied(bool),
}

/// A person's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// What about.
    pub about: About,
    /// The approval request that it answers.
    pub request: Digest,
    /// The answer.
    pub answer: Answer,
    /// The highest role that the answer was given in.
    pub role: Role,
    /// Why; a rejection needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The calls that were approved with it, each for one use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Digest>,
    /// When what was approved with it is no longer approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What the policy said, where it was the policy that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyAnswer>,
    /// The person's signature; without one the answer is asserted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}
