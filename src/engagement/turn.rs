//! One exchange with a model, as the chain remembers it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::{Agent, ArtifactKind, Digest};

/// A turn of an agent: what was asked by digest, what came back, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turned {
    /// Whose turn.
    pub agent: Agent,
    /// What the agent is drafting.
    pub drafting: ArtifactKind,
    /// Its place among the turns of this agent for this draft, from 1.
    pub turn: u32,
    /// The digest of the prompt template with the organisation's additions.
    pub prompt: Digest,
    /// The digest of the request as the provider was given it.
    pub request: Digest,
    /// The digest of the stored answer; nothing where none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Digest>,
    /// Whether that is the digest of a sealed document; then `request` has a salt too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
    /// The endpoint, as the configuration names it.
    pub endpoint: String,
    /// The model, as the endpoint names it.
    pub model: String,
    /// What it used.
    pub usage: Usage,
    /// From the request to the last byte.
    pub latency_ms: u64,
    /// Why the answer ended.
    pub finish: Finish,
    /// How many calls it asks for.
    #[serde(default, skip_serializing_if = "no_calls")]
    pub calls: u32,
    /// What went wrong, where no usable answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The currency of its cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What to know of how the answer was got: a retry, a failover, a capability that the endpoint lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn no_calls(calls: &u32) -> bool {
    *calls == 0
}

/// Tokens of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Whether the endpoint gave no figures, so that these are an estimate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// What it cost in millionths of the configured currency unit; nothing where no price is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
}

impl Usage {
    /// All tokens.
    pub fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Both together; an estimate where one of them is.
    pub fn and(self, other: Self) -> Self {
        let cost_micros = match (self.cost_micros, other.cost_micros) {
            (None, None) => None,
            (one, two) => Some(one.unwrap_or(0).saturating_add(two.unwrap_or(0))),
        };
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            estimated: self.estimated || other.estimated,
            cost_micros,
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model was done.
    Stop,
    /// The model wants tools called.
    ToolCalls,
    /// The answer was cut at the token limit.
    Length,
    /// The endpoint's content filter, or the model itself, refused.
    Refused,
    /// No answer came; the turn's `error` says why.
    Failed,
    /// A word that is not known here.
    Other(String),
}
