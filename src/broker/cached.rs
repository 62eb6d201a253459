//! What a decision would otherwise work out anew each time: the boundary that an approved spec compiles to. It is kept
//! under what it follows from, so an entry is never stale, only unused.

use std::sync::Arc;

use crate::{
    artifact::{Digest, Recent, SpecError},
    engagement::{ApprovedSpec, View},
    policy::{Catalog, CompiledBoundary},
};

/// How many boundaries may be added before those that nobody asked for meanwhile are forgotten.
const GENERATION: usize = 16_384;

/// Boundaries that were compiled before, by the spec's digest and that of what it was compiled on.
pub(super) struct Cached(Recent<(Digest, Digest), Arc<CompiledBoundary>>);

impl Default for Cached {
    fn default() -> Self {
        Self(Recent::new(GENERATION))
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
        if let Some(known) = self.0.get(&key) {
            return Ok(Some(known));
        }
        let boundary = catalog.boundary(&spec)?;
        self.0.keep(key, Arc::clone(&boundary));
        Ok(Some(boundary))
    }
}
