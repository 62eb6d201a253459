//! What a decision would otherwise work out anew each time: the digests of a catalog, and the boundary that an approved
//! spec compiles to. Both are kept under what they follow from, so an entry is never stale, only unused.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    artifact::{CanonicalError, Digest, SpecError, digest_of},
    engagement::{ApprovedSpec, View},
    policy::{Catalog, CatalogDigests, CompiledBoundary},
};

/// How many boundaries may be added before those that nobody asked for meanwhile are forgotten.
const GENERATION: usize = 16_384;

/// How many catalogs are kept: an engagement for which targets were found has its own.
const CATALOGS: usize = 64;

/// What was decided on: the digests of a catalog, and their own.
#[derive(Clone, Copy)]
pub(super) struct DecidedOn {
    pub(super) digests: CatalogDigests,
    pub(super) digest: Digest,
}

/// Digests and boundaries that were worked out before.
#[derive(Default)]
pub(super) struct Cached {
    /// The catalogs themselves are kept, so that no other can have their address; the newest last.
    catalogs: Mutex<Vec<(Arc<Catalog>, DecidedOn)>>,
    boundaries: Mutex<Boundaries>,
}

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
    /// The digests of a catalog.
    pub(super) fn decided_on(&self, catalog: &Arc<Catalog>) -> Result<DecidedOn, CanonicalError> {
        let mut cached = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, decided_on)) = cached.iter().rev().find(|(known, _)| Arc::ptr_eq(known, catalog)) {
            return Ok(*decided_on);
        }
        let digests = catalog.digests()?;
        let decided_on = DecidedOn { digests, digest: digest_of(&digests)? };
        if cached.len() >= CATALOGS {
            cached.remove(0);
        }
        cached.push((Arc::clone(catalog), decided_on));
        Ok(decided_on)
    }

    /// The approved spec compiled to permits; nothing while gate 1 is closed. What a boundary compiles to depends on
    /// the tools and the inventory as well as on the spec.
    pub(super) fn boundary(
        &self,
        view: &View<'_>,
        catalog: &Catalog,
        decided_on: &DecidedOn,
    ) -> Result<Option<Arc<CompiledBoundary>>, Vec<SpecError>> {
        let Some(spec) = ApprovedSpec::spec(view.state, view.documents) else { return Ok(None) };
        let key = (spec.digest(), decided_on.digest);
        let known = self.boundaries.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        if known.is_some() {
            return Ok(known);
        }
        // Compiled without the lock: others need not wait for it, and twice is only slow.
        let boundary = Arc::new(CompiledBoundary::compile(&spec, catalog)?);
        self.boundaries.lock().unwrap_or_else(PoisonError::into_inner).keep(key, Arc::clone(&boundary));
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

    #[test]
    fn another_catalog_has_its_own_digests() {
        let cached = Cached::default();
        let first = Arc::new(catalog());
        let one = cached.decided_on(&first).unwrap();
        let mut other = catalog();
        other.inventory.targets.pop();
        let other = cached.decided_on(&Arc::new(other)).unwrap();
        assert_ne!((one.digest, one.digests.inventory), (other.digest, other.digests.inventory));
        assert_eq!(one.digests.tools, other.digests.tools);
        assert_eq!(cached.decided_on(&first).unwrap().digest, one.digest);
    }
}
