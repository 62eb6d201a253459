//! The key of an endpoint: read when a request is sent, put into its header, and taken out of whatever comes back. It is
//! never part of an event, a document, an error, a log or a cassette.
#![allow(clippy::disallowed_methods, reason = "this file owns reading the keys of models")]

use std::{path::Path, process::Stdio, time::Duration};

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::timeout;

/// How long a command may take to say a key.
const PATIENCE: Duration = Duration::from_secs(8);
/// A shorter text cannot be told from others in an answer.
const SHORTEST: usize = 8;
/// What stands where a key stood.
const TAKEN_OUT: &str = "[key]";

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// In this variable of the program's environment.
    Env(String),
    /// In this file.
    File(String),
    /// Printed by this command, such as one of a password store.
    Command(Vec<String>),
}

impl KeySource {
    /// Why it does not say where a key is.
    pub(super) fn problem(&self) -> Option<String> {
        let absolute = |path: &str| {
            (!Path::new(path).is_absolute()).then(|| format!("`{path}` is not an absolute path; begin it with `/`"))
        };
        match self {
            Self::Env(name) if name.is_empty() || name.contains(['=', '\0']) => {
                Some("`env` is empty or no name; write one such as `OPENAI_API_KEY`".into())
            }
            Self::Env(_) => None,
            Self::File(path) => absolute(path),
            Self::Command(words) => absolute(words.first().map_or("", String::as_str)),
        }
    }

    /// The key. The error says where it was looked for and never what was read.
    pub(super) async fn read(&self) -> Result<SecretString, String> {
        let text = match self {
            Self::Env(name) => {
                std::env::var(name).map_err(|_| format!("the environment of this program has no text in `{name}`"))?
            }
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
            Self::Command(words) => printed(words).await?,
        };
        let key = text.trim_end_matches(['\r', '\n']);
        if key.len() < SHORTEST {
            return Err(format!("it is shorter than {SHORTEST} bytes, so it could not be kept out of the record"));
        }
        if !key.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
            return Err("it has characters that no header takes; a key is one line without spaces".into());
        }
        Ok(SecretString::from(key))
    }
}

async fn printed(words: &[String]) -> Result<String, String> {
    let (program, args) = words.split_first().ok_or("its command is empty")?;
    let mut child = tokio::process::Command::new(program);
    child.args(args).kill_on_drop(true).stdin(Stdio::null()).stderr(Stdio::null());
    let answer = timeout(PATIENCE, child.output()).await;
    let answer = answer.map_err(|_| format!("{program} did not answer within {} seconds", PATIENCE.as_secs()))?;
    let answer = answer.map_err(|error| format!("{program}: {error}"))?;
    if !answer.status.success() {
        return Err(format!("{program} ended with {}", answer.status));
    }
    String::from_utf8(answer.stdout).map_err(|_| format!("{program} did not answer with text"))
}

/// Takes a key out of bytes that come in pieces, wherever the pieces are cut.
pub(super) struct Redactor {
    key: Option<SecretString>,
    /// The end of what came, where it may be the beginning of the key.
    held: Vec<u8>,
}

impl Redactor {
    /// One for a key, or for none.
    pub(super) fn new(key: Option<SecretString>) -> Self {
        Self { key, held: Vec::new() }
    }

    /// What of the pieces so far can be passed on.
    pub(super) fn pass(&mut self, piece: &[u8]) -> Vec<u8> {
        let Some(key) = &self.key else { return piece.to_vec() };
        let key = key.expose_secret().as_bytes();
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(piece);
        let mut clean = Vec::with_capacity(all.len());
        let mut rest = all.as_slice();
        while let Some(at) = rest.windows(key.len()).position(|window| window == key) {
            let (before, from) = rest.split_at(at);
            clean.extend_from_slice(before);
            clean.extend_from_slice(TAKEN_OUT.as_bytes());
            rest = from.get(key.len()..).unwrap_or_default();
        }
        let begun = |length: &usize| key.get(..*length).is_some_and(|begin| rest.ends_with(begin));
        let held = (1..key.len()).rev().find(begun).unwrap_or(0);
        let (pass, hold) = rest.split_at(rest.len().saturating_sub(held));
        clean.extend_from_slice(pass);
        self.held = hold.to_vec();
        clean
    }

    /// What was held back, once nothing more comes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// A whole text without the key.
    pub(super) fn text(&self, text: &str) -> String {
        match &self.key {
            Some(key) => text.replace(key.expose_secret(), TAKEN_OUT),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_is_taken_out_wherever_the_pieces_are_cut(
            words in prop::collection::vec(prop_oneof![Just("aabaabaac"), Just("aab"), Just("a"), Just("é"), Just("c")], 0..12),
            cuts in prop::collection::vec(1usize..6, 0..40),
        ) {
            let text = words.concat();
            let mut redactor = Redactor::new(Some(SecretString::from("aabaabaac")));
            let whole = redactor.text(&text);
            let mut clean = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                clean.extend(redactor.pass(piece));
                rest = after;
            }
            clean.extend(redactor.pass(rest));
            clean.extend(redactor.rest());
            prop_assert_eq!(String::from_utf8(clean).unwrap(), whole);
        }
    }

    #[tokio::test]
    async fn a_key_is_read_from_where_it_is_and_an_error_never_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = folder.path().join(format!("key{}", text.len()));
            std::fs::write(&path, text).unwrap();
            KeySource::File(path.to_string_lossy().into_owned())
        };
        let command = |words: &[&str]| KeySource::Command(words.iter().map(|word| (*word).to_owned()).collect());
        for (source, found) in [
            (file("canary-key-1\n"), Ok("canary-key-1")),
            (command(&["/bin/echo", "canary-key-2"]), Ok("canary-key-2")),
            (file("canary"), Err("shorter than 8")),
            (file("canary key with spaces"), Err("no header takes")),
            (KeySource::File("/nowhere/key".into()), Err("/nowhere/key")),
            (KeySource::Env("COUNTERSIGN_NO_SUCH_KEY".into()), Err("COUNTERSIGN_NO_SUCH_KEY")),
            (command(&["/bin/false"]), Err("/bin/false ended with")),
        ] {
            match (source.read().await, found) {
                (Ok(key), Ok(expected)) => {
                    assert_eq!(key.expose_secret(), expected);
                    assert!(!format!("{key:?}").contains("canary"));
                }
                (Err(why), Err(says)) => assert!(why.contains(says) && !why.contains("canary"), "{why}"),
                (read, _) => panic!("{source:?}: {}", read.is_ok()),
            }
        }
    }
}
