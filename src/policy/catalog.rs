//! What every decision is made on: tools, targets, people and policies, as they were read. Nothing in it changes, so
//! what follows from it is worked out once: its digests, and the boundaries that specs were compiled to a moment ago.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};

use crate::{
    artifact::{CanonicalError, Digest, Recent, Spec, SpecError, Written, digest_of},
    facts::{AllowedSigners, FoundIn, Inventory, People},
    tool::Toolbox,
};

use super::{CompiledBoundary, request::Answers, source::Policies};

/// How many boundaries are added before those that nobody asked for meanwhile are forgotten: one engagement asks for
/// its own many times in a row. What is called for long afterwards is the broker's to keep.
const RECENT: usize = 64;

/// The same for documents that questions rest on: a tool or a target each.
const WRITTEN: usize = 1024;

/// What a catalog is made of.
#[derive(Debug)]
pub struct CatalogParts {
    /// The tools.
    pub toolbox: Arc<Toolbox>,
    /// The targets.
    pub inventory: Inventory,
    /// The people.
    pub people: People,
    /// Whose keys sign for whom. In no digest of what was decided on: an approval names the file that it was checked with.
    pub signers: Arc<AllowedSigners>,
    /// The guardrails, the trust stages and the gate policies.
    pub policies: Arc<Policies>,
}

/// The same for answers of policies: a call has about three, which its design, its gate and the call itself ask for.
const ANSWERS: usize = 1024;

/// The same in a catalog that is of one engagement alone.
const OWN_ANSWERS: usize = 128;

/// What every decision is made on.
#[derive(Debug)]
pub struct Catalog {
    parts: CatalogParts,
    known: Known,
}

/// What follows from the parts.
#[derive(Debug)]
struct Known {
    digests: OnceLock<(CatalogDigests, Digest)>,
    /// By the digest of what was compiled.
    boundaries: Recent<Digest, Arc<CompiledBoundary>>,
    /// The digests of specs that nothing is wrong with.
    sound: Recent<Digest, ()>,
    /// What policies said of what they saw; nothing where each answer is worked out anew.
    answers: Option<Answers>,
    /// Parts of it by their digest. What has one is the same in every catalog.
    written: Arc<Recent<Digest, Arc<Written>>>,
}

impl Default for Known {
    fn default() -> Self {
        let written = Arc::new(Recent::new(WRITTEN));
        Self {
            digests: OnceLock::new(),
            boundaries: Recent::new(RECENT),
            sound: Recent::new(RECENT),
            answers: Some(Answers::new(ANSWERS)),
            written,
        }
    }
}

/// The digests of what a decision was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogDigests {
    /// Of the manifests and pins.
    pub tools: Digest,
    /// Of the inventory.
    pub inventory: Digest,
    /// Of the people.
    pub people: Digest,
    /// Of the guardrails, stages and gate policies as they are written.
    pub policies: Digest,
}

impl From<CatalogParts> for Catalog {
    fn from(parts: CatalogParts) -> Self {
        Self { parts, known: Known::default() }
    }
}

impl Deref for Catalog {
    type Target = CatalogParts;

    fn deref(&self) -> &CatalogParts {
        &self.parts
    }
}

/// Tests change a catalog between decisions; everything is worked out anew then.
#[cfg(test)]
impl std::ops::DerefMut for Catalog {
    fn deref_mut(&mut self) -> &mut CatalogParts {
        self.known = Known::default();
        &mut self.parts
    }
}

impl Catalog {
    /// The same with what these answers add to the inventory.
    pub fn with_found(&self, answers: &[FoundIn<'_>]) -> Self {
        let CatalogParts { toolbox, inventory, people, signers, policies } = &self.parts;
        let (toolbox, signers, policies) = (Arc::clone(toolbox), Arc::clone(signers), Arc::clone(policies));
        let (inventory, people) = (inventory.with_found(answers), people.clone());
        let answers = self.known.answers.as_ref().map(|_| Answers::new(OWN_ANSWERS));
        let known = Known { written: Arc::clone(&self.known.written), answers, ..Known::default() };
        Self { parts: CatalogParts { toolbox, inventory, people, signers, policies }, known }
    }

    /// As much of a catalog as is known later, with the digests that the whole of it had.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`], which digests never give.
    pub fn as_of(parts: CatalogParts, digests: CatalogDigests) -> Result<Self, CanonicalError> {
        let known = Known { digests: OnceLock::from((digests, digest_of(&digests)?)), ..Known::default() };
        Ok(Self { parts, known })
    }

    /// The digests of everything in it.
    pub fn digests(&self) -> Result<CatalogDigests, CanonicalError> {
        self.both_digests().map(|(digests, _)| digests)
    }

    /// The digest of [`Catalog::digests`].
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        self.both_digests().map(|(_, digest)| digest)
    }

    fn both_digests(&self) -> Result<(CatalogDigests, Digest), CanonicalError> {
        if let Some(known) = self.known.digests.get() {
            return Ok(*known);
        }
        let digests = CatalogDigests {
            tools: self.toolbox.digest()?,
            inventory: digest_of(&self.inventory)?,
            people: digest_of(&self.people)?,
            policies: self.policies.digest(),
        };
        let both = (digests, digest_of(&digests)?);
        Ok(*self.known.digests.get_or_init(|| both))
    }

    /// The boundary of a spec, compiled. It depends on the grants and on this catalog alone.
    pub fn boundary(&self, spec: &Spec) -> Result<Arc<CompiledBoundary>, Vec<SpecError>> {
        let Ok(digest) = digest_of(&spec.boundary) else { return CompiledBoundary::compile(spec, self).map(Arc::new) };
        if let Some(known) = self.known.boundaries.get(&digest) {
            return Ok(known);
        }
        // Two may compile the same at once; that is only slow.
        let boundary = Arc::new(CompiledBoundary::compile(spec, self)?);
        self.known.boundaries.keep(digest, Arc::clone(&boundary));
        Ok(boundary)
    }

    /// A part of it as a document, by the digest that it should have; `make` writes it where that was not done lately.
    ///
    /// # Errors
    ///
    /// As `make`.
    pub fn written(
        &self,
        digest: &Digest,
        make: impl FnOnce() -> Result<Arc<Written>, CanonicalError>,
    ) -> Result<Arc<Written>, CanonicalError> {
        if let Some(known) = self.known.written.get(digest) {
            return Ok(known);
        }
        let written = make()?;
        self.known.written.keep(written.digest(), Arc::clone(&written));
        Ok(written)
    }

    /// The same, where policies are asked anew each time: for comparison.
    #[must_use]
    pub fn keeping_no_answers(mut self) -> Self {
        self.known.answers = None;
        self
    }

    pub(super) fn answers(&self) -> Option<&Answers> {
        self.known.answers.as_ref()
    }

    /// What `find` finds wrong with a spec. What nothing was found wrong with a moment ago is not looked through again.
    pub(super) fn wrong_with(&self, spec: &Spec, find: impl FnOnce() -> Vec<SpecError>) -> Vec<SpecError> {
        let Ok(digest) = digest_of(spec) else { return find() };
        if self.known.sound.get(&digest).is_some() {
            return Vec::new();
        }
        let found = find();
        if found.is_empty() {
            self.known.sound.keep(digest, ());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::catalog;

    fn spec(id: usize) -> Spec {
        let boundary = format!(
            "{{build: [{{tool: vlan.create, where: {{switch: {{is: sw01}}, name: {{any: true}}, id: {{is: {id}}}}}}}]}}"
        );
        let text = format!("{{kind: spec, title: t, requirements: [], acceptance: [], boundary: {boundary}}}");
        crate::artifact::from_yaml("spec", &text).unwrap()
    }

    #[test]
    fn another_catalog_has_its_own_digests() {
        let (one, mut other) = (catalog(), catalog());
        assert_eq!(one.digests().unwrap(), other.digests().unwrap());
        other.inventory.targets.pop();
        assert_ne!(one.digest().unwrap(), other.digest().unwrap());
        assert_ne!(one.digests().unwrap().inventory, other.digests().unwrap().inventory);
        assert_eq!(one.digests().unwrap().tools, other.digests().unwrap().tools);
    }

    #[test]
    fn a_boundary_is_compiled_once_and_each_spec_has_its_own() {
        let catalog = catalog();
        let first = catalog.boundary(&spec(10)).unwrap();
        assert!(Arc::ptr_eq(&first, &catalog.boundary(&spec(10)).unwrap()));
        for id in 10..11 + 2 * RECENT {
            let boundary = catalog.boundary(&spec(id)).unwrap();
            assert!(boundary.cedar().contains(&format!("{id}")), "{}", boundary.cedar());
        }
        assert!(!Arc::ptr_eq(&first, &catalog.boundary(&spec(10)).unwrap()), "it was forgotten");
        assert!(catalog.boundary(&spec(9_999)).is_err(), "what does not fit is said each time");
        assert!(catalog.boundary(&spec(9_999)).is_err());
    }

    #[test]
    fn a_spec_that_nothing_is_wrong_with_is_looked_through_once_for_each_catalog() {
        let (one, mut other) = (catalog(), catalog());
        let spec = spec(10);
        let problem = || vec![SpecError::new("title", "it is wrong")];
        assert_eq!(one.wrong_with(&spec, problem), problem(), "what is wrong is said each time");
        assert_eq!(one.wrong_with(&spec, problem), problem());
        assert_eq!(one.wrong_with(&spec, Vec::new), []);
        assert_eq!(one.wrong_with(&spec, || panic!("it was looked through")), []);
        let changed = Spec { title: "another".into(), ..spec.clone() };
        assert_eq!(one.wrong_with(&changed, problem), problem());
        assert_eq!(other.wrong_with(&spec, Vec::new), []);
        other.inventory.targets.pop();
        assert_eq!(other.wrong_with(&spec, problem), problem(), "it is another catalog now");
    }
}
