//! The server of a tool family: how it is started, how fast it may be called, which files it may touch and which
//! secrets it is given. All of it is pinned with the manifest.

use std::path::{Component, Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An MCP server that is started as a child process and spoken to over its standard streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Program and arguments. `{countersign}` stands for this program, `{workspace}` for the workspace's folder.
    pub command: Vec<String>,
    /// How long a call may take.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u32,
    /// Most calls per second.
    #[serde(default = "default_rate")]
    pub calls_per_second: u32,
    /// The files and folders that it may touch beside the system's libraries and the files that its command names.
    #[serde(default, skip_serializing_if = "Files::is_empty")]
    pub files: Files,
}

fn default_timeout() -> u32 {
    30
}

fn default_rate() -> u32 {
    50
}

/// Files and folders that a server may touch; of a folder everything in it. `{workspace}` stands for the workspace's
/// folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// What it may read and start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// What it may read, change, make and remove. A file of the command that lies here is not pinned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<String>,
}

impl Files {
    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.write.is_empty()
    }
}

/// Fills in what `{countersign}` and `{workspace}` stand for.
pub fn filled(word: &str, program: &str, workspace: &str) -> String {
    word.replace("{countersign}", program).replace("{workspace}", workspace)
}

impl Server {
    /// What is wrong with it: the place, and why.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if self.command.is_empty() {
            found.push(("command".to_owned(), "it is empty".to_owned()));
        }
        for (name, paths) in [("read", &self.files.read), ("write", &self.files.write)] {
            for (at, path) in paths.iter().enumerate() {
                if let Some(why) = not_a_place(path) {
                    found.push((format!("files.{name}.{at}"), why));
                }
            }
        }
        found
    }
}

/// Why a text does not say where something lies, once its placeholders are filled in.
fn not_a_place(text: &str) -> Option<String> {
    let path = filled(text, "/countersign", "/workspace");
    let path = Path::new(&path);
    if !path.is_absolute() {
        Some(format!("`{text}` is not an absolute path; begin it with `/` or `{{workspace}}/`"))
    } else if path.components().any(|part| part == Component::ParentDir) {
        Some(format!("`{text}` goes up with `..`; write where it leads"))
    } else {
        None
    }
}
