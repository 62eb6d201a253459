//! Why driving an engagement could not go on.

use crate::{
    agent::{DraftError, TurnError},
    artifact::{ArtifactKind, CanonicalError},
    broker::BrokerError,
    engagement::{NextError, Refusal, SealError},
    gate::GateError,
    ledger::{JournalError, LedgerError},
    record::ReconcileError,
};

use super::workspace::WorkspaceError;

/// Driving could not go on. What was done is on the chain; running again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The broker could not decide or write.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The chain could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The engagement does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Files of the workspace do not load.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// There is no draft.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// An agent's next move cannot be said.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// What is next cannot be said.
    #[error(transparent)]
    Next(#[from] NextError),
    /// The question cannot be asked.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The record cannot be made.
    #[error(transparent)]
    Record(#[from] ReconcileError),
    /// A document has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// Something cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A drafted document does not stand.
    #[error("the draft of {0} cannot stand: {1}")]
    Invalid(ArtifactKind, String),
    /// What gate 2 approved is not what would run.
    #[error(
        "the flow is no longer the one that gate 2 approved, because the tools changed since; \
         cancel this engagement and request it again"
    )]
    FlowChanged,
}

impl From<JournalError> for DriverError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Refused(refusal) => Self::Refused(refusal),
            JournalError::Ledger(error) => Self::Ledger(error),
        }
    }
}

impl DriverError {
    /// Whether what it was worked out from is not there: that may be so because others wrote meanwhile.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Next(NextError::Missing(_)) | Self::Gate(GateError::Missing(_)))
    }

    /// What the ledger said, where that is why.
    pub(super) fn of_ledger(&self) -> Option<&LedgerError> {
        match self {
            Self::Ledger(error) | Self::Broker(BrokerError::Ledger(error)) => Some(error),
            _ => None,
        }
    }
}
