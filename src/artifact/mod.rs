//! The five documents of an engagement, the blueprint they may be drafted from, and what they share: digests,
//! strict YAML, CEL expressions, grants and steps. Pure: text in, values or located errors out. Nothing here
//! knows whether a document was approved; that is [`crate::engagement`].

mod blueprint;
mod canonical;
mod cost;
mod design;
mod digest;
mod discovery;
mod expression;
mod fill;
mod flow;
mod grant;
mod json;
mod names;
mod nested;
mod recent;
mod record;
mod showable;
mod spec;
mod spelled;
mod step;
mod template;
mod unknown;
pub mod value;
mod words;
mod written;
mod yaml;

pub use blueprint::{Blueprint, InputError, InputSchema};
pub use design::{Component, Decision, DesignDraft, DesignKind, Disposition, FeasibleWhen, Read, SolutionDesign};
pub use digest::{CanonicalError, Digest, Digester, ParseDigestError, canonical, digest_bytes, digest_of};
pub use discovery::{
    AcceptanceReading, Capability, CapabilityStatus, DiscoveryKind, DiscoveryReport, Drift, Finding, ReadResult,
    Verdict,
};
pub(crate) use expression::DOCUMENT;
#[cfg(test)]
pub(crate) use expression::evaluated;
pub use expression::{EvaluateError, Expression, ExpressionError, Scope};
pub use fill::{Fill, Filled};
pub use flow::{AutomationFlow, Before, FlowDeviation, FlowKind, FlowNode, NodeId, Undo};
pub use grant::{Boundary, Constraint, Grant};
pub use json::{from_json, strict};
pub use names::{Agent, ArtifactKind, CallId, EngagementId, LedgerId, NameError, Nonce, Phase, StepId, ToolName};
pub use recent::Recent;
pub use record::{
    AgentTotals, DeviationRecord, FilledHole, Independence, ReconciledRecord, RecordKind, RecordOutcome,
    RequirementResult, RequirementStatus, StepResult, TargetOutcome, TargetResult, Totals,
};
pub use showable::too_much_to_show;
pub(crate) use spec::fill_args;
pub use spec::{Check, Limits, ReadCall, Requirement, Rollback, Spec, SpecError, SpecKind, Window};
pub use spelled::is_canonical;
pub use step::{Arg, ForEach, Hole, OnFailure, Step, Until, Verify};
pub use template::{TemplateError, fill};
pub use value::{Format, ValueSchema, ValueType};
pub(crate) use words::{nearest, word_of};
pub use written::Written;

pub(crate) use nested::deepest;
pub use yaml::{YamlError, from_yaml, locate, plain_words, to_yaml};
