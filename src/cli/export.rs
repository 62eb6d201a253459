//! `countersign export`: the artifacts, the events and one page a person can read, in a new folder.

use std::fmt::Write;

use crate::{
    artifact::{ArtifactKind, Digest, to_yaml},
    engagement::{Answered, Body, Event},
    facts::AllowedSigners,
    gate::{ApprovalRequest, Style, render, sequence_diagram},
    ledger::{Bundle, Journal, write_bundle},
};

use super::{
    args::{Export, Global},
    context::Context,
    log,
    output::{CliError, Code, plain, say, say_json},
    show::{outcome_words, record_lines},
    verify,
};

/// How wide the page is.
const WIDTH: usize = 100;

/// Runs the command.
pub async fn run(global: &Global, args: Export) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let journal = context.journal(&args.id).await?;
    let bundle = Bundle::export(context.workspace.store().as_ref(), journal.id()).await?;
    let mut files = Vec::new();
    for kind in ArtifactKind::ALL {
        if let Some(document) = journal.state().artifact(kind).and_then(|digest| journal.blob(&digest)) {
            let text = to_yaml(document.as_ref()).map_err(|error| CliError::failed(error.to_string()))?;
            files.push((kind.file_name().to_owned(), text));
        }
    }
    if let Some(flow) = journal.documents().flow() {
        let catalog = context.workspace.load_catalog()?;
        files.push(("sequence.mmd".to_owned(), sequence_diagram(flow, &catalog.toolbox)));
    }
    files.push(("page.txt".to_owned(), page(&journal, &bundle)?));
    files.extend(signatures(&bundle)?);
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    write_bundle(&args.dir, &bundle.events, &bundle.blobs, files)?;
    let names = [names, vec!["events.jsonl".to_owned(), "blobs/".to_owned()]].concat();
    if global.json {
        say_json(&serde_json::json!({"engagement": journal.id(), "folder": args.dir, "files": names}))?;
    } else {
        say(format!("{} written to {}: {}", journal.id(), args.dir.display(), names.join(", ")));
        say(format!("Next: countersign verify {}", args.dir.display()));
    }
    Ok(Code::Done)
}

/// What `ssh-keygen -Y verify` wants of each signed answer: the bytes, their signature, and whose keys sign for whom.
fn signatures(bundle: &Bundle) -> Result<Vec<(String, String)>, CliError> {
    let mut files = Vec::new();
    for event in bundle.events.iter().filter_map(|bytes| serde_json::from_slice::<Event>(bytes).ok()) {
        let Body::Answered(Answered { signature: Some(signature), .. }) = event.body else { continue };
        let of = |digest: &Digest| bundle.blobs.get(digest).and_then(|bytes| String::from_utf8(bytes.clone()).ok());
        let signers = of(&signature.signers).and_then(|text| serde_json::from_str(&text).ok());
        let signers = signers.as_ref().and_then(AllowedSigners::from_document);
        let (Some(statement), Some(signers)) = (of(&signature.statement), signers) else {
            return Err(CliError::failed(format!("what event {} was signed on is missing or was changed", event.seq)));
        };
        let name = |end: &str| format!("signatures/{}.{end}", event.seq);
        files.push((name("json"), statement));
        files.push((name("sig"), signature.armored));
        files.push((name("allowed_signers"), signers.text().to_owned()));
    }
    Ok(files)
}

/// One page: the end, the screens as they were approved, the log, and whether the chain holds.
fn page(journal: &Journal, bundle: &Bundle) -> Result<String, CliError> {
    let state = journal.state();
    let mut page = format!("{}  {}\n\n", state.id, plain(&state.requested.title));
    match (&state.closed, journal.documents().record()) {
        (Some(closed), record) => {
            let _ = writeln!(page, "{}: {}", outcome_words(closed.outcome), plain(&closed.reason));
            for line in record.iter().flat_map(|record| record_lines(record)) {
                let _ = writeln!(page, "{line}");
            }
        }
        (None, _) => {
            let _ = writeln!(page, "Not closed yet; it is in the {} phase.", state.phase);
        }
    }
    let mut events = Vec::new();
    for bytes in &bundle.events {
        events.push(serde_json::from_slice::<Event>(bytes).map_err(|error| CliError::failed(error.to_string()))?);
    }
    for event in &events {
        let Body::Answered(answered) = &event.body else { continue };
        let request = journal
            .blob(&answered.request)
            .and_then(|value| serde_json::from_value::<ApprovalRequest>(value.as_ref().clone()).ok());
        let Some(request) = request else { continue };
        let _ = writeln!(page, "\n{}\n", "=".repeat(WIDTH));
        let _ = writeln!(page, "{}", render(&request.screen, Style::plain(WIDTH)));
        let _ = writeln!(page, "{}", log::line(event));
    }
    let _ = writeln!(page, "\n{}\n\nWhat happened:\n", "=".repeat(WIDTH));
    for event in &events {
        let _ = writeln!(page, "{}", log::line(event));
    }
    let _ = writeln!(page);
    for line in verify::lines(&bundle.verify()) {
        let _ = writeln!(page, "{line}");
    }
    Ok(page)
}
