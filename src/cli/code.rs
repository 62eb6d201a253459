//! Exit codes, and what a person is told when a command does not do what it was asked.

use std::process::ExitCode;

use crate::{
    artifact::{RecordOutcome, YamlError},
    broker::BrokerError,
    engagement::{Refusal, TrustRefusal},
    ledger::{KeyError, LedgerError, TrustError},
    runtime::{AnswerError, DriverError, RequestError, SigningError, WorkspaceError},
};

/// The stable exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Done,
    /// Failed, not feasible or cancelled.
    Failed,
    /// Usage or configuration.
    Usage,
    /// Waiting for a person.
    Waiting,
    /// Refused by policy or a person.
    Refused,
    /// Verification failed: what is kept, or was given, does not hold.
    Unverified,
    /// Partly done.
    Partly,
}

impl Code {
    /// As the process's exit code.
    pub fn exit(self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Waiting => 3,
            Self::Refused => 4,
            Self::Unverified => 5,
            Self::Partly => 6,
        }
    }

    /// The worse of two, where several engagements were run.
    pub fn worse(self, other: Self) -> Self {
        let order =
            [Self::Done, Self::Waiting, Self::Partly, Self::Refused, Self::Unverified, Self::Usage, Self::Failed];
        let rank = |code| order.iter().position(|known| *known == code);
        if rank(other) > rank(self) { other } else { self }
    }

    /// The code of an engagement that ended so.
    pub fn of(outcome: RecordOutcome) -> Self {
        match outcome {
            RecordOutcome::Done | RecordOutcome::NothingToDo => Self::Done,
            RecordOutcome::PartlyDone => Self::Partly,
            RecordOutcome::Failed | RecordOutcome::NotFeasible | RecordOutcome::GivenUp | RecordOutcome::Cancelled => {
                Self::Failed
            }
            RecordOutcome::Refused => Self::Refused,
        }
    }
}

/// What a person is told when a command does not do what it was asked.
#[derive(Debug)]
pub struct CliError {
    /// The exit code.
    pub code: Code,
    /// What is wrong and what to do next.
    pub message: String,
}

impl CliError {
    /// A usage or configuration error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: Code::Usage, message: message.into() }
    }

    /// Something that failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: Code::Failed, message: message.into() }
    }
}

/// The message of an error with what it rests on, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = inner.source();
    }
    text
}

fn ledger_code(error: &LedgerError) -> Code {
    match error {
        LedgerError::Missing(_) | LedgerError::Occupied(_) | LedgerError::Exists(_) => Code::Usage,
        // What was done stands, and what is kept of it does not hold, whichever command sees that.
        LedgerError::Corrupt { .. } | LedgerError::Unbelieved { .. } | LedgerError::RolledBack { .. } => {
            Code::Unverified
        }
        _ => Code::Failed,
    }
}

fn refusal_code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::NotInRole(_)
        | Refusal::SameHands(_)
        | Refusal::GateClosed(_)
        | Refusal::NeedsSignature
        | Refusal::Signature(_) => Code::Refused,
        Refusal::NoReason
        | Refusal::WrongAnswer(_)
        | Refusal::NothingAsked(_)
        | Refusal::Over(_)
        | Refusal::NotEnded(_)
        | Refusal::Redaction(_)
        | Refusal::Said(_) => Code::Usage,
        _ => Code::Failed,
    }
}

fn workspace_code(error: &WorkspaceError) -> Code {
    match error {
        WorkspaceError::Nobody(_) => Code::Refused,
        WorkspaceError::Ledger(error) => ledger_code(error),
        _ => Code::Usage,
    }
}

fn key_code(error: &KeyError) -> Code {
    match error {
        // Nothing here shows that what was signed is this ledger's.
        KeyError::Lost(_) | KeyError::Broken { .. } => Code::Unverified,
        KeyError::Log(error) => ledger_code(error),
        KeyError::Io { .. } | KeyError::Busy => Code::Failed,
    }
}

fn signing_code(error: &SigningError) -> Code {
    match error {
        SigningError::NotAllowed(_) => Code::Refused,
        SigningError::Unusable(_) => Code::Usage,
        SigningError::Keys(error) => key_code(error),
        SigningError::Workspace(error) => workspace_code(error),
        SigningError::Ledger(error) => ledger_code(error),
    }
}

macro_rules! coded {
    ($type:ty, $error:ident => $code:expr) => {
        impl From<$type> for CliError {
            fn from($error: $type) -> Self {
                Self { code: $code, message: chain(&$error) }
            }
        }
    };
}

coded!(WorkspaceError, error => workspace_code(&error));
coded!(LedgerError, error => ledger_code(&error));
coded!(TrustError, error => match &error {
    TrustError::Refused(
        TrustRefusal::NotInRole(_)
        | TrustRefusal::NotAPerson(_)
        | TrustRefusal::NeedsSignature
        | TrustRefusal::Signature(_),
    ) => Code::Refused,
    TrustError::Refused(_) => Code::Usage,
    TrustError::Ledger(error) => ledger_code(error),
});
coded!(SigningError, error => signing_code(&error));
impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        Self { code: key_code(&error), message: super::files::of_keys(&error).unwrap_or_else(|| chain(&error)) }
    }
}
coded!(YamlError, error => Code::Usage);
coded!(crate::lab::LabError, error => Code::Usage);
coded!(RequestError, error => match &error {
    RequestError::NotInRole { .. } => Code::Refused,
    RequestError::Ledger(error) => ledger_code(error),
    RequestError::Workspace(error) => workspace_code(error),
    _ => Code::Usage,
});
coded!(AnswerError, error => match &error {
    AnswerError::Refused(refusal) | AnswerError::NotNow { refusal, .. } => refusal_code(refusal),
    AnswerError::NothingToRetry(_) => Code::Usage,
    AnswerError::Workspace(error) => workspace_code(error),
    AnswerError::Ledger(error) => ledger_code(error),
    AnswerError::Changed { .. } => Code::Waiting,
    AnswerError::NeedsSignature { .. } => Code::Refused,
    AnswerError::Signing(error) => signing_code(error),
    AnswerError::Driver(_) | AnswerError::Document(_) | AnswerError::Gate(_) => Code::Failed,
    _ => Code::Usage,
});
coded!(BrokerError, error => match &error {
    BrokerError::Catalog(_) => Code::Usage,
    BrokerError::Refused(refusal) => refusal_code(refusal),
    _ => Code::Failed,
});
coded!(DriverError, error => match &error {
    DriverError::Refused(refusal) => refusal_code(refusal),
    DriverError::Workspace(error) => workspace_code(error),
    DriverError::Broker(BrokerError::Catalog(_)) => Code::Usage,
    DriverError::Ledger(error) => ledger_code(error),
    _ => Code::Failed,
});
