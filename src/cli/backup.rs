//! `countersign backup`: a checked copy of the whole ledger.

use crate::{
    ledger::{LedgerError, SqliteStore},
    runtime::WorkspaceError,
};

use super::{
    args::{Backup, Global},
    context::Context,
    output::{CliError, Code, aside, plain, say, say_json},
};

/// Runs the command.
pub async fn run(global: &Global, args: Backup) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(missing) = folder.filter(|folder| !folder.is_dir()) {
        return Err(CliError::usage(format!(
            "there is no folder {}; make it, or name a file in one that is there",
            missing.display()
        )));
    }
    let ledger = SqliteStore::open(context.workspace.state_folder().join("ledger.db")).await?;
    // A ledger is worth a copy without its keys too.
    let keys = context.workspace.keys().await?.history().map_err(CliError::from);
    let rolled_back = context.workspace.not_rolled_back().await.err().map(|error| {
        let whether = match &error {
            WorkspaceError::Ledger(LedgerError::RolledBack { .. }) => "this is no copy of all that there was",
            _ => "whether this is a copy of all that there was could not be told",
        };
        format!("{whether}: {}", plain(&CliError::from(error).message))
    });
    let copied = ledger.backup(&args.file, keys.as_ref().ok()).await;
    ledger.close().await;
    let copied = copied?;
    if let Err(CliError { message, .. }) = &keys {
        aside(format!("note: the log was not held against its checkpoints: {}", plain(message)));
    }
    if let Some(note) = &rolled_back {
        aside(format!("note: {note}"));
    }
    if global.json {
        say_json(&serde_json::json!({
            "file": args.file, "engagements": copied.engagements, "events": copied.events,
            "log_holds": keys.is_ok() && rolled_back.is_none(),
        }))?;
        return Ok(Code::Done);
    }
    let (file, many) = (args.file.display(), if copied.engagements == 1 { "" } else { "s" });
    let log = if keys.is_ok() && rolled_back.is_none() { ", and so does the log" } else { "" };
    say(format!("{file}: {} engagement{many}, {} events; every chain holds{log}", copied.engagements, copied.events));
    say(
        "Its keys are not in it, and without them the log is neither shown nor gone on with: keep .countersign/keys too, as \
         safe as a private key.",
    );
    say("Nor is what lies beside it: tools/, policies/ and prompts/ belong into git.");
    Ok(Code::Done)
}
