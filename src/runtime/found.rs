//! The catalog that an engagement is decided on, where targets were found for it; worked out once for each answer.

use std::sync::{Arc, PoisonError};

use crate::{
    artifact::{CallId, Digest},
    engagement::{Purpose, catalog_of, found_in},
    ledger::Journal,
    policy::Catalog,
};

use super::{error::WorkspaceError, workspace::Workspace};

/// The catalog of the files, what was found for an engagement, and the catalog with that.
pub(super) type Derived = (Arc<Catalog>, Vec<(Purpose, CallId, Digest)>, Arc<Catalog>);

/// How many catalogs of engagements are kept.
const DERIVED: usize = 64;

impl Workspace {
    /// What an engagement is decided on: the catalog of the files, with the targets that were found for it.
    pub fn catalog_of(&self, journal: &Journal) -> Result<Arc<Catalog>, WorkspaceError> {
        Ok(self.with_found(self.load_catalog()?, journal))
    }

    /// The same as the files were a moment ago, for saying what is to be done next.
    pub(super) fn catalog_of_lately(&self, journal: &Journal) -> Result<Arc<Catalog>, WorkspaceError> {
        Ok(self.with_found(self.catalog_lately()?, journal))
    }

    fn with_found(&self, files: Arc<Catalog>, journal: &Journal) -> Arc<Catalog> {
        let found = found_in(journal.state(), journal.documents(), journal.blobs());
        if found.is_empty() {
            return files;
        }
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |(from, by, _): &&Derived| Arc::ptr_eq(from, &files) && *by == found;
        if let Some((.., catalog)) = derived.iter().find(known) {
            return Arc::clone(catalog);
        }
        let catalog = catalog_of(&files, journal.state(), journal.documents(), journal.blobs());
        derived.retain(|(from, ..)| Arc::ptr_eq(from, &files));
        if derived.len() >= DERIVED {
            derived.remove(0);
        }
        derived.push((files, found, Arc::clone(&catalog)));
        catalog
    }
}
