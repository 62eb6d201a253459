//! Why a workspace cannot be used, and why driving an engagement could not go on.

use std::path::PathBuf;

use crate::{
    agent::{DraftError, TurnError},
    artifact::{ArtifactKind, CanonicalError, YamlError},
    broker::BrokerError,
    engagement::{NextError, Refusal, SealError},
    gate::GateError,
    ledger::{JournalError, LedgerError},
    record::ReconcileError,
};

/// A workspace that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// There is none.
    #[error(
        "there is no workspace in {0} or above it; go there or name one with `--workspace DIR`; `countersign init DIR` makes one"
    )]
    NotFound(PathBuf),
    /// `init` was asked to write into a workspace.
    #[error("{0} is not empty; `countersign init` wants a new or empty folder")]
    NotEmpty(PathBuf),
    /// `init` was asked to write into a workspace that has a ledger.
    #[error("{0} is not empty, it is a workspace; `countersign tools pin` there pins what is not pinned yet")]
    Workspace(PathBuf),
    /// `init` was given a file.
    #[error("{0} is a file; `countersign init` wants a new or empty folder")]
    NotAFolder(PathBuf),
    /// Its files do not come to rest.
    #[error("files in policies/ or tools/ are being changed right now; nothing was decided on them, run this again")]
    Changing,
    /// A newer program wrote it.
    #[error("this workspace has layout version {found}, this program reads {known}; use a newer countersign")]
    Newer {
        /// The version found.
        found: u32,
        /// The one that this program reads.
        known: u32,
    },
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file or folder of the workspace cannot be read: which, why, and what to do.
    #[error("{0}")]
    Unread(String),
    /// A file says something wrong, at a place.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// Files that do not fit together.
    #[error("{}", .0.join("\n"))]
    Problems(Vec<String>),
    /// The ledger cannot be opened or read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such blueprint.
    #[error("there is no blueprint `{name}`; there are {}", .known.join(", "))]
    NoBlueprint {
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A short id that stands for none or several.
    #[error("{0}")]
    Id(String),
    /// Someone who is not listed.
    #[error("{0} is not in policies/people.yaml; ask an owner to add them")]
    Nobody(String),
}

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
