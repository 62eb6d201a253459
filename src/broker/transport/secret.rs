//! The secrets of a server: read only for a call that was allowed, given to the server alone, and taken out of
//! whatever comes back before anybody else sees it. They are never part of an event, a document, an error or a log.
//!
//! What is taken out is a secret as it is, or a whole line of one that has several; a server that answers it in another
//! coding is not noticed.
#![allow(clippy::disallowed_methods, reason = "this file owns reading secrets")]

use std::{path::Path, process::Stdio, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::timeout;

use crate::tool::{Manifest, Secret, SecretFrom, filled};

use super::super::{permit::Permit, sources::Sources};

/// How long a command may take to say a secret.
const PATIENCE: Duration = Duration::from_secs(8);
/// A shorter text cannot be told from others in an answer.
const SHORTEST: usize = 4;
/// A shorter line of a secret is not looked for by itself.
const SHORTEST_LINE: usize = 16;

/// The secrets of one server, by the names of their variables.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    known: Vec<(String, SecretString)>,
}

impl Secrets {
    /// Reads the secrets of a manifest. It takes a permit because only a call that was allowed may be the reason.
    pub(super) async fn read(_: &Permit, manifest: &Manifest, sources: &dyn Sources) -> Result<Self, String> {
        let mut known = Vec::new();
        for secret in &manifest.server.secrets {
            let of = format!("the secret `{}` of `{}`", secret.name, manifest.family);
            let text = read(secret, sources).await.map_err(|why| format!("{of} could not be read: {why}"))?;
            if text.expose_secret().len() < SHORTEST {
                return Err(format!(
                    "{of} is shorter than {SHORTEST} bytes, so it could not be kept out of the record"
                ));
            }
            known.push((secret.name.clone(), text));
        }
        // The longest first: one may be a part of another.
        known.sort_by_key(|(_, text)| std::cmp::Reverse(text.expose_secret().len()));
        Ok(Self { known })
    }

    /// Gives them to a process that is about to start.
    pub(super) fn give(&self, child: &mut tokio::process::Command) {
        for (name, text) in &self.known {
            child.env(name, text.expose_secret());
        }
    }

    /// A text without them.
    pub(super) fn out_of(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, secret) in &self.known {
            let secret = secret.expose_secret();
            let lines = secret.lines().filter(|line| line.len() >= SHORTEST_LINE);
            for part in std::iter::once(secret).chain(lines) {
                if text.contains(part) {
                    text = text.replace(part, &format!("[secret {name}]"));
                }
            }
        }
        text
    }

    /// An answer without them: neither in its texts, nor as a key, nor as a number.
    pub(super) fn out_of_value(&self, value: Value) -> Value {
        if self.known.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.out_of(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.out_of_value(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(key, item)| (self.out_of(&key), self.out_of_value(item))).collect()
            }
            Value::Number(number) => {
                let text = number.to_string();
                let clean = self.out_of(&text);
                if clean == text { Value::Number(number) } else { Value::String(clean) }
            }
            Value::Null | Value::Bool(_) => value,
        }
    }
}

/// The error never says what was read.
async fn read(secret: &Secret, sources: &dyn Sources) -> Result<SecretString, String> {
    let root = sources.root().to_string_lossy();
    let text = match secret.from().ok_or("its manifest does not say where it is")? {
        SecretFrom::Env(name) => {
            std::env::var(name).map_err(|_| format!("the environment of this program has no text in `{name}`"))?
        }
        SecretFrom::File(path) => {
            let path = filled(path, "", &root);
            std::fs::read_to_string(Path::new(&path)).map_err(|error| format!("{path}: {error}"))?
        }
        SecretFrom::Command(words) => {
            let words: Vec<String> = words.iter().map(|word| filled(word, "", &root)).collect();
            let (program, args) = words.split_first().ok_or("its command is empty")?;
            let mut child = tokio::process::Command::new(program);
            child.args(args).current_dir(sources.root()).kill_on_drop(true);
            child.stdin(Stdio::null()).stderr(Stdio::null());
            let answer = timeout(PATIENCE, child.output()).await;
            let answer =
                answer.map_err(|_| format!("{program} did not answer within {} seconds", PATIENCE.as_secs()))?;
            let answer = answer.map_err(|error| format!("{program}: {error}"))?;
            if !answer.status.success() {
                return Err(format!("{program} ended with {}", answer.status));
            }
            String::from_utf8(answer.stdout).map_err(|_| format!("{program} did not answer with text"))?
        }
    };
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_taken_out_wherever_it_stands() {
        let key = "-----BEGIN KEY-----\nAAAAB3NzaC1yc2EAAAADAQABAAAB\n-----END KEY-----";
        let known = [("KEY", key), ("PIN", "271828"), ("TOKEN", "canary-token")];
        let known = known.map(|(name, text)| (name.to_owned(), SecretString::from(text))).into();
        let secrets = Secrets { known };
        let answer = json!({
            "banner": "logged in with canary-token.", "canary-token": [1, {"pin": 271828, "near": 2718}],
            "line": "AAAAB3NzaC1yc2EAAAADAQABAAAB", "whole": key, "none": null,
        });
        let clean = json!({
            "banner": "logged in with [secret TOKEN].", "[secret TOKEN]": [1, {"pin": "[secret PIN]", "near": 2718}],
            "line": "[secret KEY]", "whole": "[secret KEY]", "none": null,
        });
        assert_eq!(secrets.out_of_value(answer), clean);
        assert!(!format!("{secrets:?}").contains("canary"));
    }
}
