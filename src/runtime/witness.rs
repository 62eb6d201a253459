//! Publishing checkpoints to where this ledger cannot take them back: a file, a git repository, a command. It is done
//! where the work stops anyway, never holds it up for longer than [`PATIENCE`], and what fails is said and made up for
//! with the next checkpoint: each place is given all that it has not got yet.
#![allow(
    clippy::disallowed_methods,
    reason = "this file owns appending to the witness and starting git and its command"
)]

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::{io::AsyncWriteExt, process::Command};
use toml::Spanned;

use crate::ledger::{Checkpoint, LedgerError, Store, log_root, read_checkpoints};

/// How long git or the command may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `[witness]` in countersign.toml; each place that it names is given every checkpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the table [witness] with `file`, `git`, `push` or `command`")]
pub(super) struct Witness {
    /// A file that checkpoints are appended to.
    #[serde(default)]
    pub(super) file: Option<Spanned<PathBuf>>,
    /// A git work tree in which they are committed, in `checkpoints/LEDGER`.
    #[serde(default)]
    pub(super) git: Option<Spanned<PathBuf>>,
    /// Whether a commit is pushed to where its branch goes.
    #[serde(default)]
    pub(super) push: Option<Spanned<bool>>,
    /// A program with its arguments that is given one checkpoint at a time on its standard input, and takes it with exit
    /// code 0.
    #[serde(default)]
    pub(super) command: Option<Spanned<Vec<String>>>,
}

/// Gives each place what it has not got; the answer is what went wrong, in words.
pub(super) async fn publish(witness: &Witness, store: &dyn Store, root: &Path) -> Vec<String> {
    if witness.file.is_none() && witness.git.is_none() && witness.command.is_none() {
        return Vec::new();
    }
    let state = root.join(".countersign");
    // Whoever holds it publishes; what comes meanwhile is published with the next checkpoint.
    let Ok(lock) = OpenOptions::new().create(true).append(true).open(state.join("claims/witness.lock")) else {
        return vec!["checkpoints were not published: .countersign/claims cannot be written".into()];
    };
    if lock.try_lock().is_err() {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let mut said = |place: String, outcome: Result<(), Unpublished>| match outcome {
        Ok(()) => {}
        Err(Unpublished::Yet(why)) => {
            wrong.push(format!("checkpoints were not published to {place}: {why}; they are with the next one"));
        }
        Err(Unpublished::Ever(why)) => wrong.push(format!("checkpoints are not published to {place}: {why}")),
    };
    if let Some(file) = &witness.file {
        let file = root.join(file.get_ref());
        let outcome = to_file(store, &file).await.map(|_| ());
        said(file.display().to_string(), outcome);
    }
    if let Some(folder) = &witness.git {
        let folder = root.join(folder.get_ref());
        let push = witness.push.as_ref().is_some_and(|push| *push.get_ref());
        let outcome = to_git(store, &folder, push).await;
        said(folder.display().to_string(), outcome);
    }
    if let Some(command) = witness.command.as_ref().map(Spanned::get_ref) {
        let outcome = to_command(store, command, root, &state.join("published")).await;
        said(format!("`{}`", command.first().map_or("", String::as_str)), outcome);
    }
    wrong
}

/// Why a place did not get a checkpoint.
enum Unpublished {
    /// It may get it with the next one.
    Yet(String),
    /// It has what no checkpoint of this ledger follows from.
    Ever(String),
}

impl From<String> for Unpublished {
    fn from(why: String) -> Self {
        Self::Yet(why)
    }
}

/// The checkpoints that a place has not got, which knows this one. What it knows is never followed by what does not
/// follow from it.
async fn since(store: &dyn Store, known: Option<Checkpoint>) -> Result<Vec<String>, Unpublished> {
    let said = |error: LedgerError| Unpublished::Yet(error.to_string());
    let Some(Checkpoint { size, root, .. }) = known else { return store.checkpoints(0).await.map_err(said) };
    let leaves = store.log_size().await.map_err(said)?;
    let wrong = match log_root(store, size.min(leaves)).await.map_err(said)? {
        _ if size > leaves => format!("the log here has {leaves}: this ledger was rolled back"),
        here if here != root => {
            "it is of another log than the one here: this ledger was rolled back and went on".into()
        }
        _ => return store.checkpoints(size).await.map_err(said),
    };
    Err(Unpublished::Ever(format!(
        "it has a checkpoint of {size} leaves, and {wrong}; see `countersign verify log --against` with what was published"
    )))
}

/// The greatest checkpoint in a text.
fn greatest(text: &str) -> Result<Option<Checkpoint>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = read_checkpoints(text).map_err(|error| error.to_string())?;
    Ok(read.into_iter().map(|(checkpoint, _)| checkpoint).max_by_key(|checkpoint| checkpoint.size))
}

/// Appends what a file has not got; whether that is anything.
async fn to_file(store: &dyn Store, path: &Path) -> Result<bool, Unpublished> {
    let known = match fs::read_to_string(path) {
        Ok(text) => greatest(&text).map_err(|error| format!("what is in it cannot be read: {error}"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.to_string().into()),
    };
    let new = since(store, known).await?;
    if new.is_empty() {
        return Ok(false);
    }
    let text: String = new.iter().map(|note| format!("{note}\n")).collect();
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file: File| {
        let begins = file.metadata()?.len();
        // All of it or nothing: what is left of a note that broke off could not be read the next time.
        file.write_all(text.as_bytes()).or_else(|error| file.set_len(begins).and(Err(error)))?;
        file.sync_all()
    });
    written.map(|()| true).map_err(|error| Unpublished::Yet(error.to_string()))
}

async fn to_git(store: &dyn Store, folder: &Path, push: bool) -> Result<(), Unpublished> {
    let ledger = store.ledger().await.map_err(|error| error.to_string())?;
    let name = format!("checkpoints/{ledger}");
    fs::create_dir_all(folder.join("checkpoints")).map_err(|error| error.to_string())?;
    to_file(store, &folder.join(&name)).await?;
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder).args(args);
        finish(command, "")
    };
    // What was appended before and could not be committed is committed now.
    if git(&["status", "--porcelain", "--", &name]).await?.is_empty() {
        return Ok(());
    }
    git(&["add", "--", &name]).await?;
    git(&["commit", "--quiet", "-m", &format!("Checkpoint of {ledger}"), "--", &name]).await?;
    if push {
        git(&["push", "--quiet"]).await?;
    }
    Ok(())
}

async fn to_command(store: &dyn Store, words: &[String], root: &Path, kept: &Path) -> Result<(), Unpublished> {
    let [program, args @ ..] = words else {
        return Err("`command` in countersign.toml is empty".to_owned().into());
    };
    let known = greatest(&fs::read_to_string(kept).unwrap_or_default()).unwrap_or_default();
    for note in since(store, known).await? {
        let mut command = Command::new(program);
        command.args(args).current_dir(root);
        finish(command, &note).await?;
        let new = kept.with_extension("new");
        let written = fs::write(&new, &note).and_then(|()| fs::rename(&new, kept));
        written.map_err(|error| format!("{}: {error}", kept.display()))?;
    }
    Ok(())
}

/// Runs a program to its end; the answer is what it printed.
async fn finish(mut command: Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let ran = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read it may still take it.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let ended = tokio::time::timeout(PATIENCE, ran).await;
    let ended = ended.map_err(|_| format!("no answer within {} seconds", PATIENCE.as_secs()))?;
    let ended = ended.map_err(|error| error.to_string())?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim().lines().last().unwrap_or_default();
    Err(format!("it ended with {}{}", ended.status, if said.is_empty() { String::new() } else { format!(" ({said})") }))
}
