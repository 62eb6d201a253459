//! Where the broker gets what it decides on, and what servers are started with.

use std::{path::Path, sync::Arc};

use crate::{artifact::LedgerId, engagement::catalog_of, ledger::Journal, policy::Catalog, tool::Kept};

/// Where the broker gets what it decides on. It asks again for every decision.
pub trait Sources: Send + Sync {
    /// The catalog as its files are now.
    fn catalog(&self) -> Result<Arc<Catalog>, String>;
    /// What an engagement is decided on: the same, with the targets that were found for it.
    fn catalog_of(&self, journal: &Journal) -> Result<Arc<Catalog>, String> {
        Ok(catalog_of(&self.catalog()?, journal.state(), journal.documents(), journal.blobs()))
    }
    /// The workspace's folder, for server commands.
    fn root(&self) -> &Path;
    /// The workspace's ledger, by which what servers leave behind is found wherever the folder was moved.
    fn ledger(&self) -> &LedgerId;
    /// This program, for server commands that start it.
    fn program(&self) -> &Path;
    /// The commit that the policies were read under, where they are in a work tree of git.
    fn revision(&self) -> Option<String>;
    /// What no server may touch.
    fn kept(&self) -> &Kept;
}
