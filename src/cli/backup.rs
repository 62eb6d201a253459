//! `countersign backup`: a checked copy of the whole ledger. What does not hold is copied too, and said.

use crate::{
    ledger::{LedgerError, SqliteStore, Unsound},
    runtime::WorkspaceError,
};

use super::{
    args::{Backup, Global},
    code::{CliError, Code},
    context::Context,
    output::{aside, plain, say, say_json},
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
    let mut copied = copied?;
    if let Err(CliError { message, .. }) = &keys {
        aside(format!("note: the log was not held against its checkpoints: {}", plain(message)));
    }
    let log_holds = copied.log_holds && rolled_back.is_none();
    copied.problems.extend(rolled_back.map(|what| Unsound { place: "the log".into(), what }));
    let code = if copied.problems.is_empty() { Code::Done } else { Code::Unverified };
    if global.json {
        say_json(&serde_json::json!({
            "file": args.file, "engagements": copied.engagements, "events": copied.events,
            "log_holds": log_holds, "problems": copied.problems,
        }))?;
        return Ok(code);
    }
    let (file, many) = (args.file.display(), if copied.engagements == 1 { "" } else { "s" });
    let what = format!("{file}: {} engagement{many}, {} events", copied.engagements, copied.events);
    if copied.problems.is_empty() {
        say(format!("{what}; every chain holds{}", if log_holds { ", and so does the log" } else { "" }));
    } else {
        say(format!("{what}; NOT all of it holds, and so it does not in the ledger:"));
        for Unsound { place, what } in &copied.problems {
            say(format!("  {place}: {}", plain(what)));
        }
        say("The copy is made all the same, as the ledger is now. Keep the last one that held beside it.");
    }
    say(
        "Its keys are not in it, and without them the log is neither shown nor gone on with: keep .countersign/keys too, as \
         safe as a private key.",
    );
    say("Nor is what lies beside it: tools/, policies/ and prompts/ belong into git.");
    Ok(code)
}
