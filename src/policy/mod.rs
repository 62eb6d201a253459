//! The policies and what they decide: the Cedar schema lowered from the tool manifests, the organisation's
//! guardrails, trust stages and gate policies, each spec's boundary compiled to permits, and the ruling on one call
//! with the rules that spoke. Pure: it is asked and answers, and never runs, stores or reads a clock; [`crate::broker`] does the
//! asking. What is decided here enters Cedar as typed values and never as text.

mod approved_on;
mod blocked;
mod bounds;
mod boundary;
mod catalog;
mod check_design;
mod check_flow;
mod check_spec;
mod clause;
mod decide;
mod example;
mod example_call;
mod file;
mod found;
mod gates;
mod inside;
mod prove;
mod request;
mod schema;
mod shadow;
mod sight;
mod source;
mod syntax;
mod unmet;

pub use approved_on::{ApprovedOn, Difference};
pub use blocked::blocked_grants;
pub use boundary::CompiledBoundary;
pub use bounds::is_too_much;
pub use catalog::{Catalog, CatalogDigests, CatalogParts};
pub use check_design::check_design;
pub use check_flow::{calls_outside, design_problems, holes_for_nobody};
pub use check_spec::{check_spec, spec_problems};
pub use decide::{Changes, Layer, LayerAnswer, Miss, Nearest, Question, Ruling, Spoke, Verdict, each_layer, rule};
pub use example::{ExampleOutcome, Tried};
pub use gates::{GateAction, GateAsked, GateFacts, GateRuling, Proven, gate_ruling};
pub use inside::outside;
pub use prove::{
    Ask, Counterexample, Goal, GrantProof, Lets, Proof, ProofReport, ProofReportKind, Subject, prove, unproven,
};
pub use source::{Policies, PolicyProblem, PolicyTexts};
pub use unmet::unmet_rules;

pub(crate) use crate::artifact::nearest;

#[cfg(test)]
mod tests;
