//! What came of a proposal, and why nothing could be decided about one.

use serde_json::Value;

use crate::{
    artifact::CallId,
    engagement::{Refusal, RefusedAs, SealError},
    facts::Role,
    ledger::{Behind, JournalError, LedgerError},
    policy::Spoke,
};

use super::lease::behind_words;

/// What came of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Invoked {
    /// The id that the call got.
    pub call: CallId,
    /// What came of it.
    pub told: Told,
}

/// What the proposer is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The tool answered.
    Result(Value),
    /// The tool answered with an error.
    ToolError(String),
    /// It could not be sent.
    NotSent(String),
    /// Nobody knows whether it took effect.
    Unknown(String),
    /// It was refused.
    Refused {
        /// How.
        refused: RefusedAs,
        /// The rule that decided.
        rule: Spoke,
    },
}

/// The broker could not decide, or could not write down what it decided. Nothing ran.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The policies, manifests, inventory or people do not load.
    #[error("{0}")]
    Catalog(String),
    /// The chain could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The engagement does not allow what was to be written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A value has no canonical form.
    #[error("a digest could not be computed")]
    Digest(#[from] crate::artifact::CanonicalError),
    /// Something cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A server could not be looked at.
    #[error("{0}")]
    Server(String),
    /// Others have the target.
    #[error("{}; try again when that is over", behind_words(.0))]
    Behind(Behind),
    /// The target is to be looked at once more.
    #[error(
        "others may have changed the target since it was looked at, so the call is not made; run it again, to {0} first"
    )]
    LookFirst(String),
}

impl From<JournalError> for BrokerError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Ledger(error) => Self::Ledger(error),
            JournalError::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

impl Told {
    /// The role whose approval would do, where the call waits for one.
    pub fn needs(&self) -> Option<Role> {
        match self {
            Self::Refused { refused: RefusedAs::NeedsApproval(role), .. } => Some(*role),
            _ => None,
        }
    }
}
