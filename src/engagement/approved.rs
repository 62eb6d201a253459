//! Proof, in a type, that a person approved exactly these bytes. Only this file can make one, from a state whose
//! gate is open for the digest that the document has.

use std::{ops::Deref, sync::Arc};

use crate::artifact::{ArtifactKind, Digest, SolutionDesign, Spec};

use super::{
    documents::Documents,
    state::{Gate, State},
};

/// A document that a gate is open for.
#[derive(Debug, Clone)]
pub struct Approved<T> {
    document: Arc<T>,
    digest: Digest,
}

/// The authorization boundary.
pub type ApprovedSpec = Approved<Spec>;
/// The execution contract.
pub type ApprovedDesign = Approved<SolutionDesign>;

impl<T> Approved<T> {
    /// The digest that was approved.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl<T> Deref for Approved<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.document
    }
}

impl Approved<Spec> {
    /// The approved spec, if gate 1 is open for the current version.
    pub fn spec(state: &State, documents: &Documents) -> Option<Self> {
        let digest = state.artifact(ArtifactKind::Spec).filter(|_| state.gate_open(Gate::One))?;
        Some(Self { document: Arc::clone(documents.spec()?), digest })
    }
}

impl Approved<SolutionDesign> {
    /// The approved design, if both gates are open for the current versions.
    pub fn design(state: &State, documents: &Documents) -> Option<Self> {
        let open = state.gate_open(Gate::One) && state.gate_open(Gate::Two);
        let digest = state.artifact(ArtifactKind::Design).filter(|_| open)?;
        Some(Self { document: Arc::clone(documents.design()?), digest })
    }
}
