//! The ledger: one append-only chain of events per engagement, the documents and results that the events name, and
//! what reads them back. It owns the bytes that were hashed and never decides anything: [`crate::engagement`] says
//! what may be written, this says that it was written, whole and once, and whether it still is what was written.
//!
//! [`chain`], [`verify`] and what a bundle file holds are pure, so that a bundle can be checked on a machine that has no store.

mod archive;
mod around;
mod bundle;
pub mod chain;
mod checkpoint;
mod claim;
mod error;
mod intoto;
mod journal;
mod keys;
mod lease;
mod log;
mod mentions;
mod merkle;
mod note;
mod plain;
mod signatures;
mod snapshot;
mod sqlite;
mod store;
mod summary;
mod trust;
mod verify;

pub use archive::{Contents, LARGEST_BUNDLE, bundled, bundled_log, verify_bundle};
pub use around::Around;
pub use bundle::{Bundle, Told, read_bundle, write_bundle};
pub use checkpoint::{Checkpoint, read_checkpoints};
pub use claim::Claim;
pub use error::LedgerError;
pub use intoto::{Envelope, statements};
pub use journal::{Behind, Journal, JournalError};
pub use keys::{KeyError, KeyHistory, LedgerKeys, PUBLIC_KEYS, Published, Unsigned, origin};
pub use lease::{Lease, Taken, Waits, With};
pub use log::{
    ConsistencyProof, Freshness, InclusionProof, LogCheck, LogProblem, asked_otherwise, check_log, consistency, head,
    held, is_logged, last_checkpoint, log_root, prove, torn,
};
pub use merkle::{Leaf, Nodes};
pub use note::{Note, NoteError, NoteKey, VerifierKey};
pub(crate) use plain::read_plain;
pub use plain::{read_bundle_file, write_new};
#[cfg(debug_assertions)]
pub use sqlite::halt_at;
pub use sqlite::{Backup, SqliteStore, Unsound};
pub use store::{Append, Filter, Link, Logged, Logs, Pending, Store, Which};
pub use summary::{Status, Summary};
pub use trust::{Lapsed, TrustBook, TrustError};
pub use verify::{Problem, Subject, Verification, verify, verify_against};

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod testing;
