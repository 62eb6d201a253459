//! The lab: a small simulated network (four switches, one DNS zone, two IPAM prefixes) that lives in one JSON file
//! and is reached only as an MCP server over stdio, like any tool family of a real network. This module owns that
//! file, its journal of applied writes and the faults that make the simulation misbehave on request. It never
//! touches a real device, never imports anything else of this crate, and is never called in place of MCP: what the
//! rest of the program knows about the lab, it learned through the protocol. Only `shipped_tests` knows both sides: it
//! holds the shipped manifest and blueprints against what the lab answers.
//!
//! In reading order: [`network`] (what exists and what a call would change), `edit` (a change as data), `tool`
//! (the twelve tools and their arguments), `fault` (how the lab can misbehave), `state` (one call, decided), `file`
//! (lock, load, store, journal), `server` (the protocol).

mod edit;
mod fault;
mod file;
pub mod network;
mod server;
mod state;
mod tool;
#[cfg(test)]
mod shipped_tests;

use std::path::{Path, PathBuf};

pub use fault::{FAULTS, Fault};
pub use file::journal_path;
pub use network::Network;
pub use server::serve;

/// Why the lab could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// There is no state file yet.
    #[error("no simulated network at `{}`: create one with `countersign lab reset`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The state file is there and is not a simulated network.
    #[error("`{}` is not a simulated network: start over with `countersign lab reset`", path.display())]
    Corrupt {
        /// The file that was read.
        path: PathBuf,
        /// Where and why reading stopped.
        source: serde_json::Error,
    },
    /// The file system said no.
    #[error("cannot {doing} `{}`: check that its directory exists and that you may write there", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file it was tried on.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// The text does not describe a fault.
    #[error("`{text}` is not a fault: {reason}")]
    Fault {
        /// What was written.
        text: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// The MCP session did not start or did not end well.
    #[error("the MCP session failed: start the lab from an MCP client, over stdin and stdout")]
    Session(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Writes the initial simulated network to `path`, without faults, and empties the journal. The directory must exist.
///
/// # Errors
///
/// [`LabError::Io`] when a file cannot be written. A corrupt state file is no error: it is replaced.
pub fn reset(path: &Path) -> Result<(), LabError> {
    file::reset(path)
}

/// Reads the simulated network as it is now, for showing it to a person.
///
/// # Errors
///
/// [`LabError::Missing`], [`LabError::Corrupt`] or [`LabError::Io`].
pub fn load(path: &Path) -> Result<Network, LabError> {
    file::read(path).map(|state| state.network)
}

/// The faults that are set now, in the order in which they were set.
///
/// # Errors
///
/// [`LabError::Missing`], [`LabError::Corrupt`] or [`LabError::Io`].
pub fn faults(path: &Path) -> Result<Vec<Fault>, LabError> {
    file::read(path).map(|state| state.faults)
}

/// Sets a fault, replacing one of the same kind for the same tool and target. A running server obeys it from its
/// next call on.
///
/// # Errors
///
/// [`LabError::Missing`], [`LabError::Corrupt`] or [`LabError::Io`].
pub fn set_fault(path: &Path, fault: Fault) -> Result<(), LabError> {
    file::update(path, |state| state.set_fault(fault))
}

/// Removes all faults, and forgets the changes that a `vanish` was still going to take back.
///
/// # Errors
///
/// [`LabError::Missing`], [`LabError::Corrupt`] or [`LabError::Io`].
pub fn clear_faults(path: &Path) -> Result<(), LabError> {
    file::update(path, state::State::clear_faults)
}
