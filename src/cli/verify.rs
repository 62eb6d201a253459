//! `countersign verify`: checks a chain, from the ledger or from an exported folder that needs no workspace.

use std::path::Path;

use crate::{
    artifact::{ArtifactKind, EngagementId, digest_of, from_yaml},
    engagement::{Body, Event, State},
    facts::AllowedSigners,
    ledger::{Bundle, Problem, TrustBook, Verification, read_bundle},
};

use super::{
    args::{Global, Verify},
    context::Context,
    output::{CliError, Code, count, plain, say, say_json},
};

/// Runs the command.
pub async fn run(global: &Global, args: Verify) -> Result<Code, CliError> {
    if args.what == EngagementId::TRUST {
        if args.signers.is_some() {
            return Err(CliError::usage(
                "`verify trust` holds the chain against the signers that it keeps; leave out --signers, and compare \
                 policies/allowed_signers with yours"
                    .to_owned(),
            ));
        }
        return trust(global).await;
    }
    let signers = args.signers.as_deref().map(read_signers).transpose()?;
    let folder = Path::new(&args.what);
    let exported = folder.is_dir();
    let bundle = if exported {
        if !folder.join("events.jsonl").exists() && !folder.join("blobs").exists() {
            return Err(CliError::usage(format!(
                "{} is no folder that `countersign export` wrote: it has no events.jsonl",
                folder.display()
            )));
        }
        read_bundle(folder).map_err(unverified)?
    } else {
        let context = Context::open(global).await?;
        let id = context.workspace.find(&args.what).await?;
        Bundle::export(context.workspace.store().as_ref(), &id).await.map_err(unverified)?
    };
    let mut verification = bundle.verify_against(signers.as_ref());
    if exported {
        check_files(folder, &bundle, &mut verification);
    }
    if global.json {
        say_json(&verification)?;
    } else {
        for line in lines(&verification) {
            say(line);
        }
    }
    Ok(if verification.ok { Code::Done } else { Code::Unverified })
}

/// The allowed signers of whoever verifies.
fn read_signers(path: &Path) -> Result<AllowedSigners, CliError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| CliError::usage(format!("{}: {error}", path.display())))?;
    AllowedSigners::parse(&text).map_err(|problem| CliError::usage(format!("{}: {problem}", path.display())))
}

/// Checks the ledger's own chain of trust stages: every link, and that each stage follows from the one before.
async fn trust(global: &Global) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let book = TrustBook::open(std::sync::Arc::clone(context.workspace.store())).await.map_err(unverified)?;
    let (events, head) = (book.events().len(), book.trust().head());
    let problems = book.verify().await.map_err(unverified)?;
    if global.json {
        say_json(
            &serde_json::json!({"ok": problems.is_empty(), "events": events, "head": head, "problems": problems}),
        )?;
    } else if !problems.is_empty() {
        say("This does NOT hold:");
        for problem in &problems {
            say(format!("  event {}: {}", problem.seq, plain(&problem.what)));
        }
    } else {
        say(format!("The chain of trust stages holds: {}, head {head}", count(events as u64, "event")));
        say("  note: freshness not witnessed: nothing here shows that the chain has not been cut at its end");
    }
    Ok(if problems.is_empty() { Code::Done } else { Code::Unverified })
}

/// Whether the artifacts that lie beside the events, for people to read, are the ones that the chain ends with.
fn check_files(folder: &Path, bundle: &Bundle, verification: &mut Verification) {
    let events: Option<Vec<Event>> = bundle.events.iter().map(|bytes| serde_json::from_slice(bytes).ok()).collect();
    let Some(events) = events else { return };
    let Some(state) = State::replay(&events) else { return };
    for kind in ArtifactKind::ALL {
        let name = kind.file_name();
        let text = std::fs::read_to_string(folder.join(name)).ok();
        let what = match (state.artifact(kind), text) {
            (None, None) => continue,
            (None, Some(_)) => format!("{name} lies in the folder, but the chain has no {kind}"),
            (Some(_), None) => format!("{name} is missing from the folder or cannot be read"),
            (Some(digest), Some(text)) => {
                let value = from_yaml::<serde_json::Value>(name, &text);
                match value.map(|value| digest_of(&value)) {
                    Ok(Ok(is)) if is == digest => continue,
                    Ok(Ok(is)) => {
                        format!("{name} was changed: it has the digest {}, not {}", is.short(), digest.short())
                    }
                    Ok(Err(error)) => format!("{name} was changed: {error}"),
                    Err(error) => format!("{name} was changed: {error}"),
                }
            }
        };
        let filed = |event: &&Event| matches!(&event.body, Body::Filed(filed) if filed.artifact == kind);
        let seq = events.iter().rev().find(filed).map_or(state.seq, |event| event.seq);
        verification.problems.push(Problem { seq, what });
    }
    verification.ok = verification.problems.is_empty();
    let others: Vec<&str> =
        ["page.txt", "sequence.mmd"].into_iter().filter(|name| folder.join(name).exists()).collect();
    if !others.is_empty() {
        let (are, were) = if others.len() == 1 { ("is", "was") } else { ("are", "were") };
        verification.notes.push(format!("{} {are} for reading and {were} not checked", others.join(" and ")));
    }
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
        lines.push(format!("The chain holds: {}, head {head}", count(verification.events, "event")));
    } else {
        lines.push("This does NOT hold:".into());
    }
    for problem in &verification.problems {
        lines.push(format!("  event {}: {}", problem.seq, plain(&problem.what)));
    }
    for note in &verification.notes {
        lines.push(format!("  note: {}", plain(note)));
    }
    lines
}
