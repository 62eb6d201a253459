//! What a person has agreed a server to be: its executable, its arguments with the files that they name, and the
//! definition of each tool.
//!
//! A pin holds what stands in the command. It cannot see what a program loads by itself: the modules that a script
//! imports, the libraries that a program links, a file whose name it computes, a folder. Where that matters, pin one
//! file that holds everything, such as a linked program or a packed script. Nor does a pin see a change between the
//! check and the start: who may write a server's files while it starts may change what starts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::artifact::{CanonicalError, Digest, digest_of};

/// The pins of every family, kept in `tools/pins.yaml` and written by `countersign tools pin`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// One pin a family.
    #[serde(default)]
    pub servers: BTreeMap<String, ServerPin>,
}

/// What one server was when it was pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerPin {
    /// Program and arguments as the manifest has them: what `{countersign}` and `{workspace}` stand for may move.
    pub command: Vec<String>,
    /// The digest of the bytes of the program that the command starts here.
    pub executable: Digest,
    /// The digest of each file that another word of the command names, such as a script; by that word.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Digest>,
    /// The digest of each tool's name, description and input schema.
    pub tools: BTreeMap<String, Digest>,
    /// The digest of the manifest, which says what a tool's call does and how it is taken back. A pin without one was
    /// written by an earlier version; nothing runs on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
}

/// What a server is, for a person to look at before it is pinned.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSeen {
    /// What it would be pinned as.
    pub pin: ServerPin,
    /// How it describes each of its tools.
    pub descriptions: BTreeMap<String, String>,
    /// Whether the kernel held it to what it may touch.
    pub confined: bool,
}

/// The digest of a tool as its server describes it.
pub fn tool_definition_digest(
    name: &str,
    description: Option<&str>,
    input_schema: &Value,
) -> Result<Digest, CanonicalError> {
    digest_of(&json!({"name": name, "description": description, "input_schema": input_schema}))
}
