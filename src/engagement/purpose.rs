//! Why a call is made.

use serde::{Deserialize, Serialize};

use crate::artifact::{Digest, NodeId, StepId, ToolName};

/// Why a call is made; a purpose is served once a version, so a restart finds what was done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A read that may add targets, before discovery.
    Find {
        /// Its tool.
        tool: ToolName,
        /// The digest of what lets it.
        by: Digest,
    },
    /// A read of discovery.
    Discover {
        /// The read.
        read: StepId,
        /// Its item.
        item: Option<String>,
    },
    /// Reads what the baseline's node left.
    Baseline {
        /// The baseline's node.
        node: NodeId,
    },
    /// An acceptance check before the build.
    CheckBefore {
        /// The check.
        check: String,
        /// Its item, from 0.
        item: u32,
    },
    /// A node's before-state, for gate 2.
    Before {
        /// The node.
        node: NodeId,
    },
    /// A node's before-state once more, right before the effect.
    Recheck {
        /// The node.
        node: NodeId,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// The node's own call.
    Act {
        /// The node.
        node: NodeId,
        /// The attempt, from 1.
        attempt: u32,
        /// For a read with `until`: which try, from 1.
        r#try: u32,
    },
    /// The state after the effect.
    ReadBack {
        /// The node.
        node: NodeId,
        /// The attempt.
        attempt: u32,
    },
    /// The step's own `verify`.
    Verify {
        /// The node.
        node: NodeId,
        /// The attempt.
        attempt: u32,
    },
    /// What a node that failed was to leave, after a call that was accepted since.
    LookAgain {
        /// The node.
        node: NodeId,
        /// The attempt.
        attempt: u32,
    },
    /// The state right before an undo.
    BeforeUndo {
        /// The node.
        node: NodeId,
    },
    /// Takes a node back.
    Undo {
        /// The node.
        node: NodeId,
    },
    /// The state after an undo.
    UndoCheck {
        /// The node.
        node: NodeId,
    },
    /// The state at the end.
    Observe {
        /// The node.
        node: NodeId,
    },
    /// An acceptance check after the build.
    CheckAfter {
        /// The check.
        check: String,
        /// Its item, from 0.
        item: u32,
    },
    /// A call that a model asked for; never on contract, and evidence of nothing but its own answer.
    Turn {
        /// The turn, counted over the engagement from 1.
        turn: u32,
        /// Which of its calls, from 1.
        call: u32,
    },
    /// A call that someone proposed by hand; never on contract.
    Proposed {
        /// Counts proposals, from 1.
        n: u32,
    },
}

impl Purpose {
    /// Whether it is wanted by a person or a model, and never by the program itself.
    pub fn is_proposed(&self) -> bool {
        matches!(self, Self::Proposed { .. } | Self::Turn { .. })
    }

    /// Whether such a call takes back or looks at what was done, and so goes on after a window or a limit ends.
    pub fn recovers(&self) -> bool {
        matches!(
            self,
            Self::BeforeUndo { .. }
                | Self::Undo { .. }
                | Self::UndoCheck { .. }
                | Self::ReadBack { .. }
                | Self::Verify { .. }
                | Self::LookAgain { .. }
                | Self::Observe { .. }
                | Self::CheckAfter { .. }
        )
    }

    /// Whether it reads what an effect left. That has to be known, so an error, which says nothing of the target, is read
    /// past a few times.
    pub fn looks_after(&self) -> bool {
        matches!(self, Self::ReadBack { .. } | Self::BeforeUndo { .. } | Self::UndoCheck { .. })
    }

    /// The node that it serves.
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Self::Before { node }
            | Self::Baseline { node }
            | Self::Recheck { node, .. }
            | Self::Act { node, .. }
            | Self::ReadBack { node, .. }
            | Self::Verify { node, .. }
            | Self::LookAgain { node, .. }
            | Self::BeforeUndo { node }
            | Self::Undo { node }
            | Self::UndoCheck { node }
            | Self::Observe { node } => Some(node),
            Self::Find { .. }
            | Self::Discover { .. }
            | Self::CheckBefore { .. }
            | Self::CheckAfter { .. }
            | Self::Turn { .. }
            | Self::Proposed { .. } => None,
        }
    }

    /// In words, for a log.
    pub fn words(&self) -> String {
        let item = |item: &Option<String>| item.as_ref().map_or_else(String::new, |item| format!("/{item}"));
        match self {
            Self::Find { tool, .. } => format!("find targets with {tool}"),
            Self::Discover { read, item: of } => format!("discover {read}{}", item(of)),
            Self::Baseline { node } => format!("compare with the baseline's {node}"),
            Self::CheckBefore { check, .. } => format!("check {check} before the build"),
            Self::Before { node } => format!("read the state before {node}"),
            Self::Recheck { node, .. } => format!("read the state again before {node}"),
            Self::Act { node, attempt: 1, .. } => format!("step {node}"),
            Self::Act { node, attempt, .. } => format!("step {node}, attempt {attempt}"),
            Self::ReadBack { node, .. } => format!("read back {node}"),
            Self::Verify { node, .. } => format!("verify {node}"),
            Self::LookAgain { node, .. } => format!("look at {node} again"),
            Self::BeforeUndo { node } => format!("look before the undo of {node}"),
            Self::Undo { node } => format!("undo {node}"),
            Self::UndoCheck { node } => format!("read back the undo of {node}"),
            Self::Observe { node } => format!("observe {node} at the end"),
            Self::CheckAfter { check, .. } => format!("check {check} after the build"),
            Self::Turn { turn, call } => format!("call {call} of turn {turn}"),
            Self::Proposed { .. } => "proposed by hand".into(),
        }
    }
}
