//! Publishing checkpoints to where this ledger cannot take them back: a file, a git repository, a command. It is done
//! where the work stops anyway, never holds it up for longer than [`PATIENCE`], and what fails is said and made up for
//! with the next checkpoint: each place is given all that it has not got yet.
#![allow(
    clippy::disallowed_methods,
    reason = "this file owns appending to the witness, and says what git and its command are started with"
)]

mod program;

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tokio::process::Command;
use toml::Spanned;

use crate::{
    artifact::LedgerId,
    ledger::{Checkpoint, KeyHistory, LedgerError, Note, Store, log_root, origin, read_checkpoints},
};

use program::run;

/// How long git or the command may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What git is told by whoever starts it as part of its own work, as in a hook: another repository than the one meant here.
const ELSEWHERE: [&str; 14] = [
    "GIT_QUARANTINE_PATH",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

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

impl Witness {
    /// Whether it names no place.
    pub(super) fn is_none(&self) -> bool {
        self.file.is_none() && self.git.is_none() && self.command.is_none()
    }
}

/// Gives each place what it has not got; the answer is what went wrong, in words. What a place says is held against the keys, where they are here.
pub(super) async fn publish(
    witness: &Witness,
    store: &dyn Store,
    keys: Option<&KeyHistory>,
    root: &Path,
) -> Vec<String> {
    let state = root.join(".countersign");
    // Whoever holds it publishes; what comes meanwhile is published with the next checkpoint.
    let Ok(lock) = OpenOptions::new().create(true).append(true).open(state.join("claims/witness.lock")) else {
        return vec!["checkpoints were not published: .countersign/claims cannot be written".into()];
    };
    if lock.try_lock().is_err() {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let mut said = |place: String, outcome: Result<Strange, Unpublished>| {
        wrong.extend(match outcome {
            Ok(None) => None,
            Ok(Some(size)) => Some(format!(
                "{place} has a checkpoint of {size} leaves of this log that no key signed which may: somebody else writes \
                 there, and `countersign verify log --against` does not hold with it"
            )),
            Err(Unpublished::Yet(why)) => {
                Some(format!("checkpoints were not published to {place}: {why}; they are with the next one"))
            }
            Err(Unpublished::Ever(why)) => Some(format!("checkpoints are not published to {place}: {why}")),
        });
    };
    if let Some(file) = &witness.file {
        let file = root.join(file.get_ref());
        let outcome = to_file((store, keys), &file).await;
        said(file.display().to_string(), outcome);
    }
    if let Some(folder) = &witness.git {
        let folder = root.join(folder.get_ref());
        let push = witness.push.as_ref().is_some_and(|push| *push.get_ref());
        let outcome = to_git((store, keys), &folder, push).await;
        said(folder.display().to_string(), outcome);
    }
    if let Some(command) = witness.command.as_ref().map(Spanned::get_ref) {
        let outcome = to_command((store, keys), command, root, &state.join(GIVEN)).await;
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

/// Why nothing more is to be signed in this log: what was published does not lead to it. A place that cannot be read says
/// nothing, as one that was never published to.
pub(super) async fn forked(
    witness: &Witness,
    store: &dyn Store,
    keys: Option<&KeyHistory>,
    root: &Path,
) -> Option<String> {
    let ledger = store.ledger().await.ok()?;
    let file = witness.file.as_ref().map(|file| root.join(file.get_ref()));
    let git = witness.git.as_ref().map(|folder| root.join(folder.get_ref()).join(kept_in_git(&ledger)));
    let command = witness.command.as_ref().map(|_| root.join(".countersign").join(GIVEN));
    for place in [file, git, command].into_iter().flatten() {
        let Ok(text) = fs::read_to_string(&place) else { continue };
        let Ok((Some(known), _)) = greatest((store, keys), &text).await else { continue };
        if let Err(Unpublished::Ever(why)) = follows(store, &known).await {
            return Some(format!("{}: {why}", place.display()));
        }
    }
    None
}

/// Where a git work tree has the checkpoints of a ledger.
fn kept_in_git(ledger: &LedgerId) -> String {
    format!("checkpoints/{ledger}")
}

/// Where it is kept which checkpoint the command was given last.
const GIVEN: &str = "published";

/// The checkpoints that a place has not got, which knows this one. What it knows is never followed by what does not
/// follow from it.
async fn since(store: &dyn Store, known: Option<Checkpoint>) -> Result<Vec<String>, Unpublished> {
    let size = match known {
        Some(known) => follows(store, &known).await?,
        None => 0,
    };
    store.checkpoints(size).await.map_err(|error| Unpublished::Yet(error.to_string()))
}

/// How far the log was published, if it follows from what a place knows.
async fn follows(store: &dyn Store, Checkpoint { size, root, .. }: &Checkpoint) -> Result<u64, Unpublished> {
    let (size, said) = (*size, |error: LedgerError| Unpublished::Yet(error.to_string()));
    let leaves = store.log_size().await.map_err(said)?;
    let wrong = match log_root(store, size.min(leaves)).await.map_err(said)? {
        _ if size > leaves => format!("the log here has {leaves}: this ledger was rolled back"),
        here if here != *root => {
            "it is of another log than the one here: this ledger was rolled back and went on, or a copy of it did"
                .into()
        }
        _ => return Ok(size),
    };
    Err(Unpublished::Ever(format!(
        "it has a checkpoint of {size} leaves, and {wrong}; see `countersign verify log --against` with what was published; after a backup that was restored on purpose, keep that \
         and publish to another place from now on"
    )))
}

/// The size of a checkpoint that a place has of this log, and that no key of the ledger signed.
type Strange = Option<u64>;

/// The log that is published, and its keys where they are here.
type Log<'a> = (&'a dyn Store, Option<&'a KeyHistory>);

/// The greatest checkpoint of a log in a text, which may have those of others too. Whoever can write there can write
/// anything: what the ledger did not sign is told and passed over.
async fn greatest((store, keys): Log<'_>, text: &str) -> Result<(Option<Checkpoint>, Strange), Unpublished> {
    if text.trim().is_empty() {
        return Ok((None, None));
    }
    let own = origin(&store.ledger().await.map_err(|error| error.to_string())?);
    let read = read_checkpoints(text).map_err(|error| {
        Unpublished::Ever(format!(
            "what is in it cannot be read: {error}; cut it after its last whole checkpoint, or name another one"
        ))
    })?;
    let own = read.into_iter().filter(|(checkpoint, _)| checkpoint.origin == own);
    let signed =
        |(checkpoint, note): &(Checkpoint, Note)| keys.is_none_or(|keys| keys.signer_of(note, checkpoint.size).is_ok());
    let (signed, strange): (Vec<_>, Vec<_>) = own.partition(signed);
    let greatest = signed.into_iter().map(|(checkpoint, _)| checkpoint).max_by_key(|checkpoint| checkpoint.size);
    Ok((greatest, strange.first().map(|(checkpoint, _)| checkpoint.size)))
}

/// Appends what a file has not got.
async fn to_file(log: Log<'_>, path: &Path) -> Result<Strange, Unpublished> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(Unpublished::Ever("it is no regular file; name one".into()));
    }
    let (known, strange) = match fs::read_to_string(path) {
        Ok(text) => greatest(log, &text).await?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, None),
        Err(error) => return Err(error.to_string().into()),
    };
    let new = since(log.0, known).await?;
    if new.is_empty() {
        return Ok(strange);
    }
    let text: String = new.iter().map(|note| format!("{note}\n")).collect();
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file: File| {
        let begins = file.metadata()?.len();
        // All of it or nothing: what is left of a note that broke off could not be read the next time.
        file.write_all(text.as_bytes()).or_else(|error| file.set_len(begins).and(Err(error)))?;
        file.sync_all()
    });
    written.map(|()| strange).map_err(|error| Unpublished::Yet(error.to_string()))
}

async fn to_git(log: Log<'_>, folder: &Path, push: bool) -> Result<Strange, Unpublished> {
    let ledger = log.0.ledger().await.map_err(|error| error.to_string())?;
    let name = kept_in_git(&ledger);
    // The folder itself is not made: one that is not there may be a disk that is not mounted.
    match fs::create_dir(folder.join("checkpoints")) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.to_string().into()),
        _ => {}
    }
    let strange = to_file(log, &folder.join(&name)).await?;
    // Before the first answer there is nothing to commit.
    if !folder.join(&name).exists() {
        return Ok(strange);
    }
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        for name in ELSEWHERE {
            command.env_remove(name);
        }
        // Nobody is asked for a password in the middle of something else.
        command.env("GIT_TERMINAL_PROMPT", "0");
        command.arg("-C").arg(folder).args(args);
        run(command, "", PATIENCE)
    };
    // What was appended before and could not be committed is committed now, whatever the repository ignores.
    git(&["add", "--force", "--", &name]).await?.well()?;
    let differs = git(&["diff", "--cached", "--quiet", "--", &name]).await?;
    if differs.status.code() == Some(1) {
        git(&["commit", "--quiet", "-m", &format!("Checkpoint of {ledger}"), "--", &name]).await?.well()?;
    } else {
        differs.well()?;
    }
    // So is what was committed and could not be pushed.
    if push && git(&["rev-list", "--count", "@{upstream}..HEAD"]).await?.well().as_deref() != Ok("0") {
        git(&["push", "--quiet"]).await?.well()?;
    }
    Ok(strange)
}

async fn to_command(log: Log<'_>, words: &[String], root: &Path, kept: &Path) -> Result<Strange, Unpublished> {
    let [program, args @ ..] = words else {
        return Err("`command` in countersign.toml is empty".to_owned().into());
    };
    // What is torn here is given once more.
    let (known, _) = match greatest(log, &fs::read_to_string(kept).unwrap_or_default()).await {
        Err(Unpublished::Yet(why)) => return Err(why.into()),
        known => known.unwrap_or_default(),
    };
    for note in since(log.0, known).await? {
        let mut command = Command::new(program);
        command.args(args).current_dir(root);
        run(command, &note, PATIENCE).await?.well()?;
        let new = kept.with_extension("new");
        let written = fs::write(&new, &note).and_then(|()| fs::rename(&new, kept));
        written.map_err(|error| format!("{}: {error}", kept.display()))?;
    }
    Ok(None)
}
