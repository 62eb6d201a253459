//! What a decision would otherwise work out anew each time: the boundary that an approved spec compiles to, and the
//! document of what it is decided on. They are kept under what they follow from, so an entry is never stale, only unused.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    artifact::{CanonicalError, Digest, Recent, SpecError, Written},
    engagement::{ApprovedSpec, Basis, View},
    policy::{Catalog, CompiledBoundary},
};

/// How many boundaries may be added before those that nobody asked for meanwhile are forgotten.
const GENERATION: usize = 16_384;

pub(super) struct Cached {
    /// Boundaries that were compiled before, by the spec's digest and that of what it was compiled on.
    boundaries: Recent<(Digest, Digest), Arc<CompiledBoundary>>,
    /// What was decided on last.
    basis: Mutex<Option<(Basis, Arc<Written>)>>,
}

impl Default for Cached {
    fn default() -> Self {
        Self { boundaries: Recent::new(GENERATION), basis: Mutex::default() }
    }
}

impl Cached {
    /// The approved spec compiled to permits; nothing while gate 1 is closed. What a boundary compiles to depends on
    /// the tools and the inventory, whose digest `on` is, as well as on the spec.
    pub(super) fn boundary(
        &self,
        view: &View<'_>,
        catalog: &Catalog,
        on: Digest,
    ) -> Result<Option<Arc<CompiledBoundary>>, Vec<SpecError>> {
        let Some(spec) = ApprovedSpec::spec(view.state, view.documents) else { return Ok(None) };
        let key = (spec.digest(), on);
        if let Some(known) = self.boundaries.get(&key) {
            return Ok(Some(known));
        }
        let boundary = catalog.boundary(&spec)?;
        self.boundaries.keep(key, Arc::clone(&boundary));
        Ok(Some(boundary))
    }

    /// What a decision is made on, as it is stored.
    pub(super) fn basis(&self, basis: Basis) -> Result<Arc<Written>, CanonicalError> {
        let mut last = self.basis.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, written)) = last.as_ref().filter(|(known, _)| *known == basis) {
            return Ok(Arc::clone(written));
        }
        let written = Written::of(&basis)?;
        *last = Some((basis, Arc::clone(&written)));
        Ok(written)
    }
}
