//! The manifest of a tool family, as written in `tools/*.yaml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::artifact::{Arg, Expression, ToolName, ValueSchema};

use super::{
    egress::{OutputField, OutputPath},
    server::Server,
};

/// One family of tools and the server that runs them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always `tools`.
    pub kind: ManifestKind,
    /// The family's name; pins and secrets are kept under it.
    pub family: String,
    /// One line for lists.
    pub about: String,
    /// Whether the server only simulates an environment.
    #[serde(default)]
    pub simulated: bool,
    /// The server.
    pub server: Server,
    /// The tools.
    pub tools: Vec<Tool>,
}

/// The `kind` of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ManifestKind {
    /// A tool manifest.
    Tools,
}

/// What a tool does to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Adds or changes.
    Write,
    /// Removes, or cannot be taken back.
    Destructive,
}

impl Effect {
    /// All effects.
    pub const ALL: [Effect; 3] = [Self::Read, Self::Write, Self::Destructive];

    /// The word that policies use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }
}

/// One tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name here and at the server.
    pub name: ToolName,
    /// One line for lists.
    pub about: String,
    /// The call in plain words, such as `create VLAN {id} named {name} on {switch}`.
    pub says: String,
    /// What it does to its target.
    pub effect: Effect,
    /// Its arguments.
    pub args: Args,
    /// The argument that names the inventory target.
    pub target: String,
    /// For a write: how to read the state that it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateRead>,
    /// For a write: the state that it leaves, over `args` and `before`; `null` where nothing is left. Left out where it
    /// cannot be said beforehand: then reading back shows only whether something changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Expression>,
    /// For a write: how it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoRule>,
    /// For a read: the fields of an answer that shows nothing; acceptance checks may not be satisfied by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<Map<String, Value>>,
    /// How much a model may see of each field of an answer; nothing of those that are not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output: BTreeMap<OutputPath, OutputField>,
    /// The same for the text of an error; nothing where it is left out.
    #[serde(default, skip_serializing_if = "OutputField::is_never")]
    pub errors: OutputField,
    /// Whether the server answers a second call with the same id from memory, without acting again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotency_key: bool,
}

/// The arguments as a JSON Schema object; other properties are never allowed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Each argument.
    pub properties: BTreeMap<String, ValueSchema>,
    /// Those that must be given.
    #[serde(default)]
    pub required: Vec<String>,
}

impl Args {
    /// The JSON Schema (2020-12) of the whole argument object.
    pub fn json_schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.properties.iter().map(|(name, schema)| (name.clone(), schema.json_schema())).collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }
}

/// How the state that a write changes is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateRead {
    /// The reading tool.
    pub tool: ToolName,
    /// Its arguments, over `args`.
    #[serde(rename = "with")]
    pub args: BTreeMap<String, Arg>,
    /// The state, over `result` and `args`; `null` where there is nothing.
    pub pick: Expression,
}

/// How a write is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoRule {
    /// The undoing tool.
    pub tool: ToolName,
    /// Its arguments, over `args`, `before`, `left` (the state read back after the call) and `result`.
    #[serde(rename = "with")]
    pub args: BTreeMap<String, Arg>,
}

impl Tool {
    /// The call in plain words, each `{argument}` replaced by what `word` gives for it.
    pub fn sentence(&self, word: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        let mut rest = self.says.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            match after.split_once('}') {
                Some((name, after)) => {
                    text.push_str(&word(name));
                    rest = after;
                }
                None => rest = after,
            }
        }
        text + rest
    }

    /// The same, and after it those of these arguments that it does not name: nothing of a call is left unsaid.
    pub fn whole_sentence<'a>(&self, names: impl Iterator<Item = &'a String>, word: impl Fn(&str) -> String) -> String {
        let unsaid = names.filter(|name| self.said_names().all(|said| said != name.as_str()));
        let unsaid: Vec<String> = unsaid.map(|name| format!("{name} {}", word(name))).collect();
        let said = self.sentence(word);
        if unsaid.is_empty() { said } else { format!("{said} ({})", unsaid.join("; ")) }
    }

    /// The call in plain words with these arguments.
    pub fn sentence_for(&self, args: &Map<String, Value>) -> String {
        self.sentence(|name| match args.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "(nothing)".to_owned(),
        })
    }

    /// Whether a write of this tool cannot be taken back.
    pub fn irreversible(&self) -> bool {
        self.effect != Effect::Read && self.undo.is_none()
    }
}
