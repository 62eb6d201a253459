//! The server of a tool family: how it is started, how fast it may be called, which files it may touch and which
//! secrets it is given. All of it is pinned with the manifest.

use std::{
    num::NonZeroU16,
    path::{Component, Path},
};

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
    /// Most calls of one process that are under way at once; the others wait for their turn. One that is not answered as it
    /// should be ends the server, and so leaves unknown what came of those beside it.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub calls_at_once: NonZeroU16,
    /// Most calls per minute of one process, and of one engagement, to any one target; as many as there are where it is
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_minute_per_target: Option<u32>,
    /// The files and folders that it may touch beside the system's libraries and the files that its command names.
    #[serde(default, skip_serializing_if = "Files::is_empty")]
    pub files: Files,
    /// What it is given to prove who it is to what it reaches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
}

/// A secret, which the server finds in a variable of its environment. It is read only for a call that was allowed, and
/// not when the server is pinned: a server says what its tools are without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The variable, such as `NETBOX_TOKEN`.
    pub name: String,
    /// The variable of this program's own environment that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The file that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The command that prints it, such as one of a password store; it is run as the person who runs this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// Where a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretFrom<'a> {
    /// In this variable.
    Env(&'a str),
    /// In this file.
    File(&'a str),
    /// Printed by this command.
    Command(&'a [String]),
}

impl Secret {
    /// Where it is, if its manifest says exactly one place.
    pub fn from(&self) -> Option<SecretFrom<'_>> {
        match (&self.env, &self.file, &self.command) {
            (Some(name), None, None) => Some(SecretFrom::Env(name)),
            (None, Some(path), None) => Some(SecretFrom::File(path)),
            (None, None, Some(words)) => Some(SecretFrom::Command(words)),
            _ => None,
        }
    }

    fn problem(&self) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !self.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || !self.name.chars().all(plain) {
            return Some(format!("`{}` is not the name of a variable; write one such as `NETBOX_TOKEN`", self.name));
        }
        if LOADED.iter().any(|prefix| self.name.starts_with(prefix)) {
            return Some(format!("`{}` says what programs load; a secret has another name", self.name));
        }
        match self.from() {
            None => Some("say where it is, in exactly one of `env`, `file` and `command`".into()),
            Some(SecretFrom::Env("")) => Some("`env` is empty".into()),
            Some(SecretFrom::Env(_)) => None,
            Some(SecretFrom::File(path)) => not_a_place(path),
            Some(SecretFrom::Command(words)) => not_a_place(words.first().map_or("", String::as_str)),
        }
    }
}

/// Variables whose value would be run, not kept.
const LOADED: [&str; 4] = ["LD_", "PATH", "PYTHON", "NODE_OPTIONS"];

fn default_timeout() -> u32 {
    30
}

fn default_rate() -> u32 {
    50
}

fn one() -> NonZeroU16 {
    NonZeroU16::MIN
}

fn is_one(number: &NonZeroU16) -> bool {
    *number == NonZeroU16::MIN
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
        for (at, secret) in self.secrets.iter().enumerate() {
            if let Some(why) = secret.problem() {
                found.push((format!("secrets.{at}"), why));
            }
            if self.secrets.iter().take(at).any(|other| other.name == secret.name) {
                found.push((format!("secrets.{at}.name"), format!("`{}` stands twice", secret.name)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::from_yaml;

    #[test]
    fn a_secret_says_one_place_and_a_plain_name() {
        for (text, ok) in [
            ("{name: NETBOX_TOKEN, env: NETBOX_TOKEN}", true),
            ("{name: T, file: '{workspace}/../token'}", false),
            ("{name: T, file: /run/secrets/token}", true),
            ("{name: T, command: [/usr/bin/pass, show, netbox]}", true),
            ("{name: T, command: [pass, show, netbox]}", false),
            ("{name: T, command: []}", false),
            ("{name: T}", false),
            ("{name: T, env: A, file: /b}", false),
            ("{name: 'A=B', env: A}", false),
            ("{name: '', env: A}", false),
            ("{name: LD_PRELOAD, env: A}", false),
            ("{name: T, env: ''}", false),
        ] {
            let server: Server = from_yaml("s", &format!("{{command: [/bin/x], secrets: [{text}]}}")).unwrap();
            assert_eq!(server.problems().is_empty(), ok, "{text}: {:?}", server.problems());
        }
        let twice = "{command: [/bin/x], secrets: [{name: T, env: A}, {name: T, env: B}]}";
        assert_eq!(from_yaml::<Server>("s", twice).unwrap().problems().len(), 1);
    }
}
