//! `countersign keys`: the ledger's own public keys, and making a new one.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    facts::Role,
    ledger::{KeyHistory, SqliteStore, last_checkpoint},
};

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    output::{aside_sentence, say, say_json},
};

/// `keys`
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What `keys` does.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Show the public keys, the current one last, and how long each signs.
    #[command(after_help = "Example: countersign keys show > ledger-keys.txt")]
    Show,
    /// Make a new key, signed by the current one, that signs from now on. Needs the role `owner`.
    #[command(after_help = "Example: countersign keys rotate && countersign keys show")]
    Rotate,
}

/// Runs the command.
pub async fn run(global: &Global, args: KeysArgs) -> Result<Code, CliError> {
    let context = match args.command {
        KeysCommand::Show => Context::open(global).await?,
        KeysCommand::Rotate => Context::open_to_write(global).await?,
    };
    let keys = context.workspace.keys().await?;
    let history = match args.command {
        KeysCommand::Show => {
            let last = last_checkpoint(context.workspace.store().as_ref()).await?;
            keys.fit(last.map(|(_, note)| note).as_ref())?;
            keys.history()?
        }
        KeysCommand::Rotate => {
            let identity = context.identity()?;
            if !context.workspace.load_catalog()?.people.roles(&identity).contains(&Role::Owner) {
                let message = format!(
                    "a new key needs the role `owner`, which {} does not have; ask someone who has it",
                    identity.name
                );
                return Err(CliError { code: Code::Refused, message });
            }
            let ledger = SqliteStore::open(context.workspace.state_folder().join("ledger.db")).await?;
            let rotated = ledger.rotate(&keys, Timestamp::now());
            ledger.close().await;
            rotated?
        }
    };
    if let Some(exposed) = keys.exposed() {
        aside_sentence(format!("note: {exposed}"));
    }
    for gone in keys.left_over()? {
        let what = "is not of the key that signs: something was cut off while a key was made; the next `countersign keys \
                    rotate` removes it";
        aside_sentence(format!("note: {} {what}", gone.display()));
    }
    if global.json {
        say_json(&json!({"keys": history.keys(), "statements": history.text()}))?;
    } else {
        lines(&history).into_iter().for_each(say);
        if matches!(args.command, KeysCommand::Rotate) {
            aside_sentence(
                "note: the private half of the key before is removed, and copies of .countersign/keys are out of date: make new \
                 ones beside your backups",
            );
        }
    }
    Ok(Code::Done)
}

fn lines(history: &KeyHistory) -> Vec<String> {
    let mut lines = Vec::new();
    for published in history.keys() {
        let until = published.until.map_or_else(|| "now".to_owned(), |until| until.to_string());
        lines.push(published.key.to_string());
        let up_to = published.up_to.map(|size| format!(", for logs of up to {size} leaves")).unwrap_or_default();
        lines.push(format!("  from {} until {until}{up_to}", published.from));
    }
    lines.push("Give these to whoever checks what this ledger signs; each names the one after it.".into());
    lines
}
