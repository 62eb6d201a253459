//! `countersign backup`: a checked copy of the whole ledger.

use crate::ledger::SqliteStore;

use super::{
    args::{Backup, Global},
    context::Context,
    output::{CliError, Code, say, say_json},
};

/// Runs the command.
pub async fn run(global: &Global, args: Backup) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let ledger = SqliteStore::open(context.workspace.state_folder().join("ledger.db")).await?;
    let copied = ledger.backup(&args.file).await;
    ledger.close().await;
    let copied = copied?;
    if global.json {
        say_json(&serde_json::json!({
            "file": args.file, "engagements": copied.engagements, "events": copied.events,
        }))?;
        return Ok(Code::Done);
    }
    let (file, many) = (args.file.display(), if copied.engagements == 1 { "" } else { "s" });
    say(format!("{file}: {} engagement{many}, {} events; every chain holds", copied.engagements, copied.events));
    say("What lies beside the ledger is not in it: tools/, policies/ and prompts/ belong into git.");
    Ok(Code::Done)
}
