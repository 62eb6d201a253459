//! `countersign verify`: checks a chain, from the ledger or from an exported folder that needs no workspace.

use std::path::Path;

use crate::ledger::{Bundle, Verification, read_bundle};

use super::{
    args::{Global, Verify},
    context::Context,
    output::{CliError, Code, plain, say, say_json},
};

/// Runs the command.
pub async fn run(global: &Global, args: Verify) -> Result<Code, CliError> {
    let folder = Path::new(&args.what);
    let bundle = if folder.is_dir() {
        read_bundle(folder).map_err(unverified)?
    } else {
        let context = Context::open(global).await?;
        let id = context.workspace.find(&args.what).await?;
        Bundle::export(context.workspace.store().as_ref(), &id).await.map_err(unverified)?
    };
    let verification = bundle.verify();
    if global.json {
        say_json(&verification)?;
    } else {
        for line in lines(&verification) {
            say(line);
        }
    }
    Ok(if verification.ok { Code::Done } else { Code::Unverified })
}

fn unverified(error: crate::ledger::LedgerError) -> CliError {
    let missing = matches!(error, crate::ledger::LedgerError::Missing(_));
    let mut error = CliError::from(error);
    error.code = if missing { Code::Usage } else { Code::Unverified };
    error
}

/// A verification in a few lines.
pub fn lines(verification: &Verification) -> Vec<String> {
    let mut lines = Vec::new();
    let head = verification.head.map_or_else(|| "none".to_owned(), |head| head.to_string());
    if verification.ok {
        lines.push(format!("The chain holds: {} events, head {head}", verification.events));
    } else {
        lines.push("The chain does NOT hold:".into());
    }
    for problem in &verification.problems {
        lines.push(format!("  event {}: {}", problem.seq, plain(&problem.what)));
    }
    for note in &verification.notes {
        lines.push(format!("  note: {}", plain(note)));
    }
    lines
}
