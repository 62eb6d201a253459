//! What a solver proved about a spec's boundary, as a document: for a gate, for programs, and for the chain.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::{CatalogDigests, Proven};
use crate::artifact::{Agent, Digest, ToolName};

/// What is proven about the boundary of one spec, and what is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofReport {
    /// Always `proof_report`.
    pub kind: ProofReportKind,
    /// The digest of the spec.
    pub spec: Digest,
    /// The digest of the spec that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// What it was proven on. On other policies, tools or targets nothing of it is proven.
    pub decided_on: CatalogDigests,
    /// The solver and its version, such as `cvc5 1.0.3`; nothing where none was asked.
    pub solver: Option<String>,
    /// That this spec permits no call that the one before it did not; nothing where there is none before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_wider: Option<Proof>,
    /// Each grant: that it is not dead under the guardrails, and the worst call that it lets through.
    pub grants: Vec<GrantProof>,
    /// That no policy fails on a call that can be made with a tool of this spec.
    pub no_failures: Proof,
}

/// The `kind` of a proof report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofReportKind {
    /// A proof report.
    #[default]
    ProofReport,
}

/// Whether something is so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case", deny_unknown_fields)]
pub enum Proof {
    /// It is so for every call.
    Proven {},
    /// It is not so, and these show it.
    Refuted {
        /// One for each tool and agent.
        by: Vec<Counterexample>,
    },
    /// It is not known.
    NotProven {
        /// Why.
        reason: String,
    },
}

/// What shows that something is not so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counterexample {
    /// On whose behalf.
    pub agent: Agent,
    /// The tool.
    pub tool: ToolName,
    /// The arguments of the call, which the authorizer decided as is said here; nothing where it is about how often
    /// a tool is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Map<String, Value>>,
    /// What is said of it, such as the policy that fails or how the version before refused it.
    pub why: String,
}

/// What is proven about one grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantProof {
    /// Its place in the spec, such as `build.0`.
    pub grant: String,
    /// Its tool.
    pub tool: ToolName,
    /// What it lets through.
    pub lets: Lets,
}

/// What a grant lets through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case", deny_unknown_fields)]
pub enum Lets {
    /// Calls, of which this is the worst; the authorizer confirmed it.
    Worst {
        /// Its arguments: the target that matters most, the far end of every range.
        args: Map<String, Value>,
    },
    /// Nothing, ever.
    Nothing {
        /// What is in the way.
        reason: String,
    },
    /// It is not known.
    NotProven {
        /// Why.
        reason: String,
    },
}

impl Proof {
    pub(super) fn not_proven(reason: impl Into<String>) -> Self {
        Self::NotProven { reason: reason.into() }
    }

    /// In one word.
    pub fn verdict(&self) -> Proven {
        match self {
            Self::Proven {} => Proven::Proven,
            Self::Refuted { .. } => Proven::Refuted,
            Self::NotProven { .. } => Proven::NotProven,
        }
    }

    /// What stands after looking at everything: what is known to be wrong, else what is not known.
    pub(super) fn of(found: Vec<Counterexample>, unknown: Option<String>) -> Self {
        match (found.is_empty(), unknown) {
            (false, _) => Self::Refuted { by: found },
            (true, Some(reason)) => Self::NotProven { reason },
            (true, None) => Self::Proven {},
        }
    }
}

impl ProofReport {
    /// The report where nobody could be asked.
    pub fn unasked(spec: Digest, before: Option<Digest>, decided_on: CatalogDigests, reason: &str) -> Self {
        Self {
            kind: ProofReportKind::default(),
            spec,
            before,
            decided_on,
            solver: None,
            no_wider: before.map(|_| Proof::not_proven(reason)),
            grants: Vec::new(),
            no_failures: Proof::not_proven(reason),
        }
    }

    /// All of it in one word.
    pub fn verdict(&self) -> Proven {
        let grants = self.grants.iter().map(|grant| match grant.lets {
            Lets::Worst { .. } => Proven::Proven,
            Lets::Nothing { .. } => Proven::Refuted,
            Lets::NotProven { .. } => Proven::NotProven,
        });
        let proofs = self.no_wider.iter().chain([&self.no_failures]).map(Proof::verdict);
        let all: Vec<Proven> = grants.chain(proofs).collect();
        let worst = [Proven::Refuted, Proven::NotProven].into_iter().find(|verdict| all.contains(verdict));
        worst.unwrap_or(Proven::Proven)
    }
}
