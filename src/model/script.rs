//! The file that a scripted model answers from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{artifact::Agent, engagement::Finish};

/// A script: what a simulated model answers, turn by turn.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptFile {
    /// What the file is.
    pub kind: ScriptKind,
    /// The turns; each agent takes its own in their order, and every draft begins at the first for it.
    pub turns: Vec<ScriptTurn>,
}

/// What a script's `kind` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScriptKind {
    /// A script.
    Turns,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScriptTurn {
    /// Whose turn.
    pub agent: Option<Agent>,
    /// What is drafted: `spec`, `discovery`, `design`, `flow`, or `failure` for what is said of a step that failed; any of
    /// them where left out.
    pub drafting: Option<String>,
    /// What the request must contain.
    pub expect: Vec<String>,
    /// What is taken from the request into what stands below, where it says `${NAME}`.
    pub take: BTreeMap<String, ScriptTake>,
    /// What is said.
    pub text: Option<String>,
    /// What is said as a document, written here as YAML; it is sent as JSON.
    pub document: Option<Value>,
    /// What is asked to be called.
    pub calls: Vec<ScriptCall>,
    /// Why it ends; by itself where left out.
    pub finish: Option<Finish>,
    /// The tokens that it is said to have used; about as many as it would where left out.
    pub usage: Option<ScriptTokens>,
}

/// A text of the request: what stands after the last `after`, up to the next `until`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptTake {
    /// What stands before it.
    pub after: String,
    /// What stands behind it.
    pub until: String,
}

/// A call that is asked for.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptCall {
    /// The tool.
    pub tool: String,
    /// The arguments, written as YAML.
    #[serde(default)]
    pub with: Option<Value>,
    /// The arguments as text, for what is no JSON.
    #[serde(default)]
    pub arguments: Option<String>,
}

/// Tokens that a turn is said to have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptTokens {
    /// Of the request.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}
