//! A call as the chain knows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::artifact::{Agent, Digest, ToolName};

use super::{
    event::{CallOutcome, RefusedAs},
    purpose::Purpose,
    seal::Arguments,
};

/// What begins the message of a call whose process ended before its outcome was written.
pub const CUT_OFF: &str = "the process ended before the answer was written down";

/// A call and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub args: Arguments,
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
    /// The rule that refused it.
    pub rule: Option<String>,
    /// How it ended, if it did.
    pub outcome: Option<CallOutcome>,
    /// The digest of the result.
    pub result: Option<Digest>,
    /// What the tool or the transport said.
    pub message: Option<String>,
}

impl Call {
    /// Whether it was allowed and nothing is known of its outcome: a crash, or it is under way.
    pub fn in_doubt(&self) -> bool {
        self.refused.is_none() && matches!(self.outcome, None | Some(CallOutcome::Unknown))
    }

    /// Whether its tool did not say that it took effect, nor that it was not sent: an error is the tool's word, and it may have
    /// acted before it said so.
    pub fn unsure(&self) -> bool {
        self.refused.is_none() && matches!(self.outcome, Some(CallOutcome::Unknown | CallOutcome::Error))
    }

    /// Whether it was refused because its server is not pinned or a gate does not hold as things are: a matter of the
    /// workspace, which says nothing of the target.
    pub fn held(&self) -> bool {
        self.rule.as_deref().is_some_and(holds_back)
    }

    /// Whether nobody knows what came of it because the process that made it ended.
    pub fn cut_off(&self) -> bool {
        self.outcome == Some(CallOutcome::Unknown)
            && self.message.as_deref().is_some_and(|message| message.starts_with(CUT_OFF))
    }

    /// The tool's name, where it is one.
    pub fn tool_name(&self) -> Option<ToolName> {
        self.tool.parse().ok()
    }
}

/// Whether this rule refuses a call for the sake of the workspace and not for what it would do.
pub fn holds_back(rule: &str) -> bool {
    matches!(rule, "tool.unpinned" | "approval.void" | "gate.stage" | "gate.anew")
}
