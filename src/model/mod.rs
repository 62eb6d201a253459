//! Language models behind one trait. A model only ever drafts: what it says is a message here, never a command.
//!
//! Providers: any endpoint that speaks Chat Completions (`openai`), answers from a script (`scripted`, simulated), and
//! turns kept on a cassette (`cassette`, recorded and replayed). `policies/models.yaml` says which agent asks which, and
//! `list` asks them: again, later, or the next one. Whatever an endpoint says is data: bounded, freed of what controls a
//! terminal, and without the key.

mod message;
mod clean;
mod meter;
mod time;
mod key;
mod config;
mod health;
mod list;
mod openai;
mod script;
mod scripted;
mod cassette;
mod models;

use std::{future::Future, pin::Pin};

pub use config::{
    EndpointSettings, KeyHeader, ModelsFile, ModelsKind, Price, Retries, RoleSettings, Roles, Switch, Use,
};
pub use key::KeySource;
pub use message::{Answer, Delta, Message, ModelRequest, OutputSchema, ToolOffer, ToolRequest};
pub use meter::Meter;
pub use models::{ModelEndpoint, Models};
pub(crate) use openai::plain;
pub use script::{ScriptCall, ScriptFile, ScriptKind, ScriptTake, ScriptTokens, ScriptTurn};

/// A model that answers one request at a time.
pub trait Model: Send + Sync {
    /// The answer to a request. `watch` is told of each piece as it comes, where the provider streams.
    fn answer<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a mut (dyn FnMut(Delta) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<Answer, ModelError>> + Send + 'a>>;
}

/// No answer. What was tried again and what not was decided before this was said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The endpoint will not take this request, today or tomorrow: a key, a model name, a setting.
    #[error("{endpoint} refused the request: {reason}")]
    Refused {
        /// The endpoint.
        endpoint: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// No endpoint of the list answered within the waiting time.
    #[error("no model answered: {0}")]
    Unavailable(String),
    /// The request differs from the one that was recorded.
    #[error("the recorded run asked something else: {0}")]
    Differs(String),
    /// The script or the recording has no further turn.
    #[error("{0} has no further turn for the {1} agent")]
    Exhausted(String, String),
}
