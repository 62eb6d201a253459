//! What goes to a model and what comes back. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    artifact::Agent,
    engagement::{Finish, Usage},
};

use super::{config::Price, meter::tokens};

/// One request: the whole conversation so far and what the agent may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRequest {
    /// The agent, by whose name the endpoint, the model and the settings are chosen.
    pub agent: Agent,
    /// The conversation, the system prompt first.
    pub messages: Vec<Message>,
    /// How many turns of it are left out, because it was too long.
    #[serde(default, skip_serializing_if = "none_left_out")]
    pub left_out: usize,
    /// The tools that may be asked for.
    pub tools: Vec<ToolOffer>,
    /// What the final answer has to look like; none where the agent may answer in prose.
    pub output: Option<OutputSchema>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn none_left_out(turns: &usize) -> bool {
    *turns == 0
}

impl ModelRequest {
    /// About how many tokens it is, its tools and its schema included.
    pub fn tokens(&self) -> u64 {
        tokens(serde_json::to_string(self).map_or(0, |text| text.len()))
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case", deny_unknown_fields)]
pub enum Message {
    /// The program's instructions.
    System {
        /// The text.
        text: String,
    },
    /// What a person, or the program on their behalf, says.
    User {
        /// The text.
        text: String,
    },
    /// What the model said before.
    Assistant {
        /// The text; may be empty beside calls.
        text: String,
        /// What it asked to have called.
        calls: Vec<ToolRequest>,
    },
    /// What came of one of those calls.
    Tool {
        /// The id of the call that this answers.
        call: String,
        /// The result, or why there is none.
        text: String,
    },
}

/// A tool that a model may ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolOffer {
    /// Its name; endpoints take `[A-Za-z0-9_-]` only, and providers translate to and fro.
    pub name: String,
    /// What it does.
    pub about: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
}

/// A call that a model asks for. The arguments are as it wrote them: they need not even be JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRequest {
    /// The id that the endpoint gave it.
    pub id: String,
    /// The tool, as the model named it.
    pub name: String,
    /// The arguments, as text.
    pub arguments: String,
}

/// What a final answer has to look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSchema {
    /// A name for it.
    pub name: String,
    /// The JSON Schema.
    pub schema: Value,
}

/// The most calls in one answer.
pub(super) const MOST_CALLS: usize = 128;

/// A model's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The text; may be empty beside calls.
    pub text: String,
    /// What it asks to have called, in its order.
    pub calls: Vec<ToolRequest>,
    /// Why it ended.
    pub finish: Finish,
    /// What it used.
    pub usage: Usage,
    /// The endpoint that answered, as the configuration names it.
    pub endpoint: String,
    /// The model that answered, as the endpoint names it.
    pub model: String,
    /// What to know of how it was got: a retry, a failover, a capability that the endpoint lacks.
    pub notes: Vec<String>,
}

/// A piece of an answer under way.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// An endpoint is asked.
    Asked {
        /// Which, as the configuration names it.
        endpoint: String,
        /// About how many tokens the request is.
        tokens: u64,
        /// What tokens cost there.
        price: Option<Price>,
    },
    /// More text.
    Text(String),
    /// A call is being written: the tool's name.
    Calling(String),
    /// So many more bytes of a call's arguments.
    Arguments(usize),
    /// The model has read the request in vain, and that counts as used.
    Spent,
    /// The endpoint broke off and is asked again: what came so far counts for nothing.
    Restarted(String),
}
