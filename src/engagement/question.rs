//! What people are asked, and what they answer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    artifact::{Digest, NodeId, OnFailure},
    facts::Role,
};

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
    },
}

impl About {
    /// The node that it is about.
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Self::Gate1 | Self::Gate2 => None,
            Self::Call { node, .. } | Self::Deviation { node } | Self::Failure { node } | Self::Unknown { node } => {
                Some(node)
            }
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
            Self::Unknown { node } => write!(f, "the unknown outcome of step {node}"),
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
}
