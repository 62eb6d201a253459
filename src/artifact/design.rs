//! `solution.design`: the decisions and steps that an approved design turns into an execution contract.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    digest::Digest,
    expression::Expression,
    names::{StepId, ToolName},
    step::{Arg, ForEach, Step},
};

/// A design: approved, it is the execution contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SolutionDesign {
    /// Always `design`.
    pub kind: DesignKind,
    /// The spec that it was made from.
    pub spec: Digest,
    /// The discovery report that it was made from.
    pub discovery: Digest,
    /// Expressions read these as `inputs`; the spec's own.
    pub inputs: Map<String, Value>,
    /// What was decided and why.
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// What is built, reused or skipped.
    #[serde(default)]
    pub components: Vec<Component>,
    /// The steps.
    pub steps: Vec<Step>,
    /// For each acceptance check, the steps that make it true.
    pub acceptance: BTreeMap<String, Vec<StepId>>,
}

/// The `kind` of a design.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DesignKind {
    /// A design.
    #[default]
    Design,
}

/// A decision and its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What was decided.
    pub decision: String,
    /// Why.
    pub because: String,
}

/// A part of the solution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Whether it is built, reused or skipped.
    pub disposition: Disposition,
}

/// Whether a component is built, reused or skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Made by this engagement.
    Build,
    /// There already.
    Reuse,
    /// Left out, and said so.
    Skip,
}

/// What a person or a blueprint writes before the facts are known: reads to make, and a design over them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesignDraft {
    /// Reads for discovery; their results are `facts.ID` (for a `for_each`, `facts.ID.ITEM`).
    #[serde(default)]
    pub discover: Vec<Read>,
    /// What must hold over `inputs` and `facts` for the design to make sense.
    #[serde(default)]
    pub feasible_when: Vec<FeasibleWhen>,
    /// Decisions; texts may be holes over `inputs` and `facts`.
    #[serde(default)]
    pub decisions: Vec<Value>,
    /// Components; texts may be holes.
    #[serde(default)]
    pub components: Vec<Value>,
    /// The steps.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// For each acceptance check, the steps that make it true.
    #[serde(default)]
    pub acceptance: BTreeMap<String, Vec<StepId>>,
}

/// A read that discovery makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// The name of its result among the facts.
    pub id: StepId,
    /// The tool.
    pub tool: ToolName,
    /// Its arguments, over `inputs` and `item`.
    #[serde(rename = "with", default)]
    pub args: BTreeMap<String, Arg>,
    /// Read once for each of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
}

/// A condition without which the design makes no sense.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeasibleWhen {
    /// What must hold over `inputs` and `facts`.
    pub expect: Expression,
    /// What to say where it does not; text or a hole.
    pub otherwise: Value,
    /// The reads that the finding rests on.
    pub cites: Vec<StepId>,
}
