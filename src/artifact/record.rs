//! `reconciled.record`: designed × built × run × observed, with call ids as evidence.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    digest::Digest,
    discovery::AcceptanceReading,
    flow::NodeId,
    names::{Agent, CallId, StepId, ToolName},
    value::present,
};

/// What became of an engagement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReconciledRecord {
    /// Always `record`.
    pub kind: RecordKind,
    /// The spec.
    pub spec: Digest,
    /// The discovery report.
    pub discovery: Option<Digest>,
    /// The design; none where it was not needed.
    pub design: Option<Digest>,
    /// The flow; none where nothing was built.
    pub flow: Option<Digest>,
    /// How it ended.
    pub outcome: RecordOutcome,
    /// One sentence that says why.
    pub summary: String,
    /// Each requirement with its evidence.
    pub requirements: Vec<RequirementResult>,
    /// What the spec left out, as it says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_of_scope: Vec<String>,
    /// Each target.
    pub targets: Vec<TargetResult>,
    /// Each step that was designed.
    pub steps: Vec<StepResult>,
    /// What was built or run that the design does not say, and who accepted it; an empty list says "none".
    pub deviations: Vec<DeviationRecord>,
    /// What the build agent filled into the design's holes, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filled: Vec<FilledHole>,
    /// What is left to look at.
    pub residual: Vec<String>,
    /// Whether the state was read back by another road than it was written.
    pub reading: Independence,
    /// Counts and times.
    pub totals: Totals,
}

/// The `kind` of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A record.
    #[default]
    Record,
}

/// How an engagement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordOutcome {
    /// Every requirement is shown to be met.
    Done,
    /// Everything was as asked before anything was built.
    NothingToDo,
    /// Some targets or requirements, not all.
    PartlyDone,
    /// None, or what was done was undone.
    Failed,
    /// The facts rule it out.
    NotFeasible,
    /// A rule of the organization, or a person, said no.
    Refused,
    /// The agents came to no draft that could stand, or a limit ended their drafting.
    GivenUp,
    /// Ended by a person.
    Cancelled,
}

/// A requirement and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequirementResult {
    /// The requirement.
    pub id: String,
    /// In words.
    pub text: String,
    /// Whether it is met.
    pub status: RequirementStatus,
    /// Each check before the build.
    pub before: Vec<AcceptanceReading>,
    /// Each check after it.
    pub after: Vec<AcceptanceReading>,
}

/// Whether a requirement is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequirementStatus {
    /// Its checks failed before and hold now (or are invariants that held throughout).
    Met,
    /// Its checks held before anything was built.
    AlreadyMet,
    /// A check does not hold.
    NotMet,
    /// No evidence; never counted as met.
    NotShown,
}

/// What became of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetResult {
    /// The target.
    pub target: String,
    /// What became of it.
    pub outcome: TargetOutcome,
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetOutcome {
    /// Changed as designed, and seen so.
    Done,
    /// It was so already.
    Unchanged,
    /// Changed and taken back.
    Undone,
    /// Not reached by the flow.
    NotRun,
    /// Not changed as designed.
    Failed,
    /// It could not be read or called.
    Unreachable,
    /// Nobody knows; a person must look.
    Unknown,
}

/// A designed step and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepResult {
    /// The node of the flow.
    pub node: NodeId,
    /// The tool.
    pub tool: ToolName,
    /// What became of it.
    pub outcome: TargetOutcome,
    /// Why, where it is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The calls that were made for it.
    pub calls: Vec<CallId>,
    /// What was there before.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What the design says should be there.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub designed: Option<Value>,
    /// What was read back at the end.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub observed: Option<Value>,
}

/// A hole of the design and what filled it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilledHole {
    /// The step.
    pub step: StepId,
    /// Its argument.
    pub argument: String,
    /// The value.
    pub value: Value,
    /// Why this one, in the agent's words.
    pub because: String,
}

/// A deviation and who accepted it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviationRecord {
    /// What differs from the design.
    pub what: String,
    /// The calls that show it.
    pub calls: Vec<CallId>,
    /// Who accepted it; nothing where nobody did.
    pub accepted_by: Option<String>,
}

/// Whether the state was read back by another road than it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Independence {
    /// By another server or credential.
    Independent,
    /// By the server that made the change.
    SameServer,
    /// Nothing was read back.
    None,
}

/// Counts and times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Calls that ran.
    pub calls: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Those of them that agents made outside the boundary.
    #[serde(default)]
    pub outside: u64,
    /// Approvals given.
    pub approvals: u64,
    /// Model tokens.
    pub model_tokens: u64,
    /// Those of them that are an estimate.
    #[serde(default, skip_serializing_if = "none")]
    pub model_tokens_estimated: u64,
    /// Turns of models.
    #[serde(default, skip_serializing_if = "none")]
    pub model_turns: u64,
    /// What they cost, in millionths of the configured currency unit, as far as prices are configured.
    #[serde(default, skip_serializing_if = "none")]
    pub model_cost_micros: u64,
    /// That currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_currency: Option<String>,
    /// The same for each agent that a model drafted for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_agents: Vec<AgentTotals>,
    /// Seconds of waiting for models.
    #[serde(default, skip_serializing_if = "none")]
    pub model_seconds: u64,
    /// Seconds of work: while nothing was asked, from the next `run` on, and at most ten minutes between two events.
    pub working_seconds: u64,
    /// Seconds of waiting for people.
    pub waiting_seconds: u64,
}

/// What the turns of one agent came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentTotals {
    /// The agent.
    pub agent: Agent,
    /// Its turns, those without an answer included.
    pub turns: u64,
    /// Its tokens.
    pub tokens: u64,
    /// Those of them that are an estimate.
    #[serde(default, skip_serializing_if = "none")]
    pub tokens_estimated: u64,
    /// What they cost, in millionths of the currency unit.
    #[serde(default, skip_serializing_if = "none")]
    pub cost_micros: u64,
    /// Seconds of waiting for its models.
    #[serde(default, skip_serializing_if = "none")]
    pub seconds: u64,
}

fn none(number: &u64) -> bool {
    *number == 0
}
