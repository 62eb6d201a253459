//! What can go wrong with a ledger, and what a person can do about it.

use std::{io, path::PathBuf};

use crate::{
    artifact::{Digest, EngagementId, LedgerId},
    engagement::DocumentError,
};

use super::chain::ChainError;

/// The ledger cannot do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process was faster, or the id is taken. Nothing was written.
    #[error("another process wrote to this engagement meanwhile; look at it again with `countersign show {0}`")]
    Conflict(EngagementId),
    /// There is no such engagement.
    #[error("there is no engagement `{0}`; list them with `countersign list`")]
    Missing(EngagementId),
    /// What is stored is not what was stored.
    #[error("{what} in the ledger is damaged: {reason}; restore the workspace from a backup")]
    Corrupt {
        /// What is damaged.
        what: String,
        /// How that shows.
        reason: String,
    },
    /// An event speaks for someone who is not shown to have said so.
    #[error(
        "event {seq} of engagement {engagement} is not believed: {reason}; nothing goes on from it: restore the workspace \
         from a backup (`countersign verify {engagement}` shows what else is wrong)"
    )]
    Unbelieved {
        /// The engagement.
        engagement: EngagementId,
        /// The place of the event.
        seq: u64,
        /// Why it is not believed.
        reason: String,
    },
    /// A chain of another ledger stands in this one.
    #[error(
        "engagement {engagement} was asked about in the ledger {asked_in}, and this is the ledger {here}: no approval given \
         there is one here, and nothing goes on from it; request it anew (`countersign request`), or go on where it was asked"
    )]
    Elsewhere {
        /// The engagement.
        engagement: EngagementId,
        /// The ledger that its questions say.
        asked_in: LedgerId,
        /// This one.
        here: LedgerId,
    },
    /// The file is not a ledger, or no longer one.
    #[error("{path} is not a ledger ({reason}); if it was one, restore it from a backup")]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// What lies beside the ledger's keys says nothing.
    #[error("{0}")]
    Keys(String),
    /// The ledger signed more than there is.
    #[error(
        "the ledger was rolled back: it signed its log up to {signed} leaves, and its last checkpoint covers {covers}; \
         restore it from a later backup. If it was put back on purpose and what came after is to be given up, remove {file}"
    )]
    RolledBack {
        /// How many leaves it signed.
        signed: u64,
        /// How many its last checkpoint covers.
        covers: u64,
        /// The file that says so.
        file: PathBuf,
    },
    /// The file is gone, and its keys are here.
    #[error(
        "the ledger {path} is gone, and its keys are in {keys}: restore the ledger from a backup; to begin a new one \
         without what was in it, move {keys} away"
    )]
    Gone {
        /// The file.
        path: PathBuf,
        /// The folder of the keys.
        keys: PathBuf,
    },
    /// Another file stands where the ledger was, or none.
    #[error(
        "the ledger {path} was moved, removed or replaced while this process had it open, and nothing more is written or sent: \
         put there the one that is to be gone on with, with every process ended and no {path}-wal or {path}-shm of another \
         beside it, and run this again"
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of this program.
    #[error(
        "this workspace was written by a newer countersign (ledger format {found}, this one knows {known}); use that one"
    )]
    Newer {
        /// The version of the file.
        found: i64,
        /// The last version that this program knows.
        known: i64,
    },
    /// Documents are destroyed, and the file that they were in could not be written anew.
    #[error(
        "it is destroyed, and the file of the ledger may still hold bytes of it: {0}; run the same again when that is put \
         right (it needs room for the file once more beside it)"
    )]
    Unscrubbed(String),
    /// Another process kept the ledger locked for longer than the busy timeout. Nothing was written.
    #[error("another process has kept the ledger locked for half a minute; see which one, and try again")]
    Busy,
    /// There is no room for it. Nothing was written.
    #[error("the disk that the ledger is on is full, and nothing was written; make room there and run this again")]
    Full,
    /// The file may not be written. Nothing was.
    #[error(
        "the ledger cannot be written: its file, its folder or its disk is read-only or belongs to someone else; make \
         `.countersign` and what is in it writable and run this again (what only reads, such as `countersign show`, works \
         as it is)"
    )]
    ReadOnly,
    /// The file may not be written, and would have to be before it can be read.
    #[error(
        "the ledger {0} can be neither written nor read here: it or what lies beside it cannot be opened, or a write that \
         was cut off has to be taken back first; make `.countersign` and what is in it readable and writable, or copy the \
         workspace to where they are, and run this again"
    )]
    Unreadable(PathBuf),
    /// Another process wrote to a ledger that cannot be written, and cannot be locked, here.
    #[error("the ledger was written while it was read from a place where it is read-only; run this again")]
    Changed,
    /// The file was written by an earlier version of this program and may not be written.
    #[error(
        "this workspace was written by an older countersign (ledger format {found}, this one reads {known}), and where its \
         ledger cannot be written it cannot be brought up to date: make `.countersign` and what is in it writable, or copy \
         the workspace to where it is, and run this again"
    )]
    Older {
        /// The version of the file.
        found: i64,
        /// The version that this program reads.
        known: i64,
    },
    /// Something is where a new file is to be made.
    #[error("{0} is there already; name a file that is not")]
    Exists(PathBuf),
    /// The database did not do what was asked, for a reason that is not damage, such as an error of the disk.
    #[error("the ledger could not {doing}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
    /// A file or directory could not be used.
    #[error("could not {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The event or document could not be read back once stored, so it was not stored.
    #[error("this cannot be written to the ledger")]
    Unwritable(#[source] ChainError),
    /// A document that the chain names cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Another process drives the engagement.
    #[error("another process is running engagement {0}; wait for it or look with `countersign show {0}`")]
    Claimed(EngagementId),
    /// A bundle is only written to a place of its own.
    #[error("{0} is not an empty directory; name a new one")]
    Occupied(PathBuf),
}

impl LedgerError {
    pub(super) fn corrupt(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), reason: reason.into() }
    }

    pub(super) fn event(engagement: &EngagementId, error: &ChainError) -> Self {
        Self::corrupt(format!("the chain of engagement {engagement}"), error.to_string())
    }

    /// The same damage, with the chain that it is in.
    pub(super) fn in_chain(self, engagement: &EngagementId) -> Self {
        match self {
            Self::Corrupt { what, reason } => {
                Self::corrupt(format!("the chain of engagement {engagement}"), format!("{what}: {reason}"))
            }
            other => other,
        }
    }

    pub(super) fn blob(digest: &Digest, reason: impl Into<String>) -> Self {
        Self::corrupt(format!("the document {digest}"), reason)
    }

    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source }
    }
}
