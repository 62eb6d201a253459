//! The ledger: one append-only chain of events per engagement, the documents and results that the events name, and
//! what reads them back. It owns the bytes that were hashed and never decides anything: [`crate::engagement`] says
//! what may be written, this says that it was written, whole and once, and whether it still is what was written.
//!
//! [`chain`] and [`verify`] are pure, so that a bundle can be checked on a machine that has no store.

mod bundle;
pub mod chain;
mod claim;
mod error;
mod journal;
mod keys;
mod mentions;
mod note;
mod sqlite;
mod store;
mod summary;
mod trust;
mod verify;

pub use bundle::{Bundle, read_bundle, write_bundle};
pub use claim::Claim;
pub use error::LedgerError;
pub use journal::{Journal, JournalError};
pub use keys::{KeyError, KeyHistory, LedgerKeys, PUBLIC_KEYS, Published, origin};
pub use note::{Note, NoteError, NoteKey, VerifierKey};
#[cfg(debug_assertions)]
pub use sqlite::halt_at;
pub use sqlite::{Backup, SqliteStore};
pub use store::{Append, Filter, Link, Pending, Store, Which};
pub use summary::{Status, Summary};
pub use trust::{TrustBook, TrustError};
pub use verify::{Problem, Verification, verify, verify_against};

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod testing;
