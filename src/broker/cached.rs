//! What a decision would otherwise work out anew each time: the boundary that an approved spec compiles to. It is kept
//! under what it follows from, so an entry is never stale, only unused.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    artifact::{Digest, SpecError},
    engagement::{ApprovedSpec, View},
    policy::{Catalog, CompiledBoundary},
};

/// How many boundaries may be added before those that nobody asked for meanwhile are forgotten.
const GENERATION: usize = 16_384;

/// Boundaries that were compiled before.
#[derive(Default)]
pub(super) struct Cached(Mutex<Boundaries>);

type Key = (Digest, Digest);

/// Two generations: what is asked for moves into the young one, and when that is full the old one is dropped.
#[derive(Default)]
struct Boundaries {
    young: HashMap<Key, Arc<CompiledBoundary>>,
    old: HashMap<Key, Arc<CompiledBoundary>>,
}

impl Boundaries {
    fn get(&mut self, key: &Key) -> Option<Arc<CompiledBoundary>> {
        if let Some(found) = self.young.get(key) {
            return Some(Arc::clone(found));
        }
        let found = self.old.remove(key)?;
        self.keep(*key, Arc::clone(&found));
        Some(found)
    }

    fn keep(&mut self, key: Key, boundary: Arc<CompiledBoundary>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, boundary);
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
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        if known.is_some() {
            return Ok(known);
        }
        let boundary = catalog.boundary(&spec)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(key, Arc::clone(&boundary));
        Ok(Some(boundary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{artifact::digest_bytes, record::fixture::catalog};

    fn key(n: usize) -> Key {
        (digest_bytes(&n.to_be_bytes()), Digest::ZERO)
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_is_forgotten() {
        let spec = crate::artifact::from_yaml(
            "spec",
            "{kind: spec, title: t, requirements: [], acceptance: [], boundary: {}}",
        );
        let boundary = Arc::new(CompiledBoundary::compile(&spec.unwrap(), &catalog()).unwrap());
        let mut boundaries = Boundaries::default();
        for n in 0..3 * GENERATION {
            boundaries.keep(key(n), Arc::clone(&boundary));
            assert!(boundaries.get(&key(0)).is_some(), "the one that is asked for is there after {n} others");
            assert!(boundaries.young.len() + boundaries.old.len() <= 2 * GENERATION);
        }
        assert!(boundaries.get(&key(1)).is_none());
    }
}
