//! `discovery.report`: what the granted reads showed. Every finding cites the calls that it rests on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    digest::Digest,
    names::{CallId, StepId, ToolName},
};

/// What was found, and whether the spec can be met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscoveryReport {
    /// Always `discovery`.
    pub kind: DiscoveryKind,
    /// The spec that it was made from.
    pub spec: Digest,
    /// Whether the spec can be met.
    pub verdict: Verdict,
    /// What the solution needs, and what gives it.
    pub capabilities: Vec<Capability>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// The reads, in order.
    pub reads: Vec<ReadResult>,
    /// Each acceptance check as it stood before the build.
    pub acceptance: Vec<AcceptanceReading>,
    /// Differences from the baseline (Day 2).
    pub drift: Vec<Drift>,
    /// What is there already and can be used.
    pub reuse: Vec<String>,
}

impl DiscoveryReport {
    /// Why it cannot be met as it stands: what was found, or where nothing is named what is missing.
    pub fn reasons(&self) -> String {
        let found = self.findings.iter().map(|finding| finding.text.clone());
        let missing = self.blocked().map(|one| format!("{} is needed and blocked (`{}`)", one.need, one.tool));
        let said: Vec<String> = if self.findings.is_empty() { missing.collect() } else { found.collect() };
        said.join("; ")
    }

    /// What is needed and missing.
    pub fn blocked(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.iter().filter(|capability| capability.status == CapabilityStatus::Blocked)
    }
}

/// The `kind` of a discovery report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiscoveryKind {
    /// A discovery report.
    #[default]
    Discovery,
}

/// Whether the spec can be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it stands.
    Feasible,
    /// With the limits that the findings name.
    WithConstraints,
    /// Only with another version of the spec.
    WithChanges,
    /// Not.
    NotFeasible,
}

/// Something the solution needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// What is needed.
    pub need: String,
    /// Whether it is there.
    pub status: CapabilityStatus,
    /// The tool that gives it.
    pub tool: ToolName,
}

/// Whether a capability is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityStatus {
    /// There.
    Resolved,
    /// There, with something to know.
    Warning,
    /// There in name or simulated only: it does not do the real thing.
    Stubbed,
    /// Not needed.
    Skipped,
    /// Missing.
    Blocked,
}

/// A statement and the calls that it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What was found.
    pub text: String,
    /// The calls that show it.
    pub calls: Vec<CallId>,
}

/// One read and where its result is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadResult {
    /// The read's name among the facts.
    pub id: StepId,
    /// The item, for a `for_each`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The tool.
    pub tool: ToolName,
    /// The arguments.
    #[serde(rename = "with")]
    pub args: Map<String, Value>,
    /// The call.
    pub call: CallId,
    /// The digest of its result.
    pub result: Digest,
}

/// An acceptance check as it read at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceReading {
    /// The check.
    pub check: String,
    /// Whether it held; nothing where it could not be read.
    pub holds: Option<bool>,
    /// The calls that it rests on.
    pub calls: Vec<CallId>,
    /// What was seen where it did not hold or could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

/// A difference between the baseline and what is there now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// The step of the baseline that made it.
    pub node: String,
    /// What it left.
    pub recorded: Value,
    /// What is there now.
    pub now: Value,
    /// The call that shows it.
    pub call: CallId,
}
