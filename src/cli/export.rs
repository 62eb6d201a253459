//! `countersign export`: the artifacts, the events and one page a person can read, in a new folder; and a bundle in one
//! file, for whoever checks; and a statement about each artifact, for whoever collects those.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use crate::{
    artifact::{ArtifactKind, EngagementId, to_yaml},
    engagement::{Body, Event},
    gate::{ApprovalRequest, Style, render, sequence_diagram},
    ledger::{
        Bundle, Contents, Envelope, Journal, LARGEST_BUNDLE, LedgerError, last_checkpoint, statements, write_bundle,
        write_new,
    },
    runtime::{Signs, WorkspaceError},
};

use super::{
    args::{Export, Global},
    code::{CliError, Code},
    context::Context,
    log,
    output::{aside_sentence, plain, quoted, say, say_json},
    proofs,
    room::with_room,
    show::{outcome_words, record_lines},
    verify,
};

/// How wide the page is.
const WIDTH: usize = 100;

/// What is not for `verify`: other programs read it.
const IN_TOTO: &str = "in_toto";

/// Something that was written.
struct Written {
    what: &'static str,
    place: PathBuf,
    files: Vec<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: Export) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let journal = context.journal(&args.id).await?;
    let mut written = Vec::new();
    // What is handed out is evidence of a ledger that is not whole then.
    let code = match args.bundle.is_some() || args.in_toto.is_some() {
        true => proofs::note_rolled_back(&context).await,
        false => Code::Done,
    };
    if [&args.dir, &args.bundle, &args.in_toto].into_iter().flatten().any(|place| place.as_os_str() == "-") {
        return Err(CliError::usage(
            "`-` is no file here: what is exported is written to one, and checked there; name it",
        ));
    }
    if let Some(dir) = &args.dir {
        written.push(folder(&context, &journal, dir).await?);
    }
    if let Some(file) = &args.bundle {
        written.push(bundle(&context, &journal, file, &args).await?);
    }
    if let Some(file) = &args.in_toto {
        written.push(in_toto(&context, &journal, file).await?);
    }
    if global.json {
        let mut answer = serde_json::Map::from_iter([("engagement".to_owned(), serde_json::json!(journal.id()))]);
        for Written { what, place, files } in written {
            answer.insert(what.to_owned(), serde_json::json!(place));
            if !files.is_empty() {
                answer.insert("files".to_owned(), serde_json::json!(files));
            }
        }
        say_json(&answer)?;
        return Ok(code);
    }
    for Written { place, files, .. } in &written {
        let holding = if files.is_empty() { String::new() } else { format!(": {}", files.join(", ")) };
        say(format!("{} written to {}{holding}", journal.id(), place.display()));
    }
    for Written { place, .. } in written.iter().filter(|one| one.what != IN_TOTO) {
        say(format!("Next: countersign verify {}", quoted(&as_a_path(place))));
    }
    Ok(code)
}

/// A place as no command takes for an engagement's name.
fn as_a_path(place: &Path) -> String {
    let path = place.display().to_string();
    if path.contains('/') { path } else { format!("./{path}") }
}

/// A folder for reading.
async fn folder(context: &Context, journal: &Journal, dir: &Path) -> Result<Written, CliError> {
    let bundle = Bundle::export(context.workspace.store().as_ref(), journal.id()).await?;
    let mut files = artifacts(journal)?;
    if let Some(flow) = journal.documents().flow() {
        let catalog = context.workspace.load_catalog()?;
        files.push(("sequence.mmd".to_owned(), sequence_diagram(flow, &catalog.toolbox)));
    }
    files.push(("page.txt".to_owned(), page(journal, &bundle)?));
    for (name, bytes) in bundle.signatures().map_err(|problem| CliError::failed(problem.to_string()))? {
        let text = String::from_utf8(bytes).map_err(|error| CliError::failed(format!("signatures/{name}: {error}")))?;
        files.push((format!("signatures/{name}"), text));
    }
    let names = files.iter().map(|(name, _)| name.clone());
    let names = names.chain(["events.jsonl".to_owned(), "blobs/".to_owned()]).collect();
    write_bundle(dir, &bundle.events, &bundle.blobs, files)?;
    Ok(Written { what: "folder", place: dir.to_owned(), files: names })
}

/// The current artifacts as YAML, by the names of their files.
fn artifacts(journal: &Journal) -> Result<Vec<(String, String)>, CliError> {
    let mut files = Vec::new();
    for kind in ArtifactKind::ALL {
        if let Some(document) = journal.state().artifact(kind).and_then(|digest| journal.blob(&digest)) {
            let text = to_yaml(document.as_ref()).map_err(|error| CliError::failed(error.to_string()))?;
            files.push((kind.file_name().to_owned(), text));
        }
    }
    Ok(files)
}

/// What to do about leaves that the ledger could not sign.
const SIGNS: &str =
    "have somebody who may read the ledger's key run `countersign log checkpoint`, which signs it, and export again";

/// How often an engagement that somebody works on meanwhile is read again.
const TRIES: usize = 4;

/// What is handed out, with its last event in the log if all of it holds and this user may sign that: else whoever hands it
/// on may have put in or written anew what came after its last answer.
async fn contents(context: &Context, id: &EngagementId, args: &Export) -> Result<Contents, CliError> {
    let store = context.workspace.store().as_ref();
    let mut why = format!("{id} is being worked on; export it again");
    for _ in 0..TRIES {
        let contents = Contents::export(store, id).await?;
        // A checkpoint that was published does not cover what comes now.
        let head = contents.engagement.head().filter(|_| args.against.is_none());
        let covers = store.logged_to(id).await?;
        let Some(head) = head.filter(|head| head.seq > covers) else { return Ok(contents) };
        let found = verify::of_workspace(context, id, &contents.engagement, (None, None)).await?;
        if let Some(problem) = found.problems.first() {
            why = format!("it does not hold, so nothing is signed about it: {problem}");
        } else {
            match context.workspace.sign_head(head).await {
                Ok(Signs::Signs) => {
                    context.publish().await;
                    if !context.workspace.publishes() {
                        aside_sentence(
                            "note: its last event is in the log now, under a new checkpoint; publish that one (`countersign log \
                             checkpoint`) where bundles are held against published ones",
                        );
                    }
                    return Ok(contents);
                }
                Ok(Signs::Not(reason)) => why = reason,
                Err(WorkspaceError::Ledger(LedgerError::Conflict(_))) => continue,
                Err(error) => why = error.to_string(),
            }
        }
        break;
    }
    aside_sentence(format!("note: the end of {id} is under no checkpoint in it: {}", plain(&why)));
    Ok(Contents::export(store, id).await?)
}

/// The same with what there is of the log, and whether that is the whole of it; nothing where others wrote to it meanwhile.
async fn logged(context: &Context, id: &EngagementId, args: &Export) -> Result<Option<(Contents, bool)>, CliError> {
    let store = context.workspace.store().as_ref();
    let mut contents = contents(context, id, args).await?;
    if !args.with_results {
        contents.without_results();
    }
    // What was asked or ran above trust stage 1 is witnessed only with the whole log.
    let whole = args.with_log || contents.engagement.rests_on_trust();
    let keys = async || context.workspace.keys().await?.history().map_err(CliError::from);
    let under = match &args.against {
        Some(published) => Some(proofs::last_published(store, &keys().await?, published).await?),
        None => last_checkpoint(store).await?,
    };
    // Read after the checkpoint, so that whoever signed it is among them.
    match contents.add_log(store, &keys().await?, under, whole).await {
        Err(LedgerError::Conflict(_)) => Ok(None),
        added => Ok(added.map(|()| Some((contents, whole)))?),
    }
}

/// A bundle for checking.
async fn bundle(context: &Context, journal: &Journal, file: &Path, args: &Export) -> Result<Written, CliError> {
    let results = args.with_results;
    let (mut made, mut tries) = (None, 0);
    while made.is_none() && tries < TRIES {
        made = logged(context, journal.id(), args).await?;
        tries += 1;
    }
    let (contents, whole) = made.ok_or_else(|| {
        let id = journal.id();
        CliError::failed(format!("{id} is being exported or worked on by others; export it again"))
    })?;
    if args.with_log && !contents.proves_the_engagement() {
        let id = journal.id();
        return Err(CliError::failed(format!(
            "nothing of {id} is under a checkpoint yet, so the log shows nothing of it; leave out --with-log, or have \
             somebody who may sign the log export it"
        )));
    }
    if whole && !args.with_log && contents.proves_the_engagement() {
        aside_sentence(
            "note: every leaf of the log is in it, because something was asked or ran above trust stage 1 (see --with-log)",
        );
    }
    if let (Some(published), false) = (&args.against, contents.proves_the_engagement()) {
        return Err(CliError::failed(format!(
            "nothing of {} is under a checkpoint in {}; publish a later one (`countersign log checkpoint`) and export again",
            journal.id(),
            published.display()
        )));
    }
    match contents.unproven() {
        Some((seq, false)) => {
            let id = journal.id();
            return Err(CliError::failed(format!(
                "event {seq} of {id} is in the log and under no checkpoint yet, so nobody could hold a bundle to the log; {SIGNS}, or \
                 export a folder"
            )));
        }
        Some((seq, true)) if args.against.is_none() => aside_sentence(format!(
            "note: event {seq} is in the log and under no checkpoint yet, so `verify --key` does not take what comes from there on; \
             {SIGNS}"
        )),
        _ => {}
    }
    let bytes = contents.pack().map_err(|problem| CliError::failed(problem.to_string()))?;
    if bytes.len() as u64 > LARGEST_BUNDLE {
        let instead = if results || args.with_log {
            "leave out --with-results and --with-log"
        } else {
            "export a folder instead"
        };
        return Err(CliError::failed(format!(
            "the bundle would have {} bytes, and none of more than {LARGEST_BUNDLE} is read; {instead}",
            bytes.len()
        )));
    }
    write_new(file, &bytes)?;
    Ok(Written { what: "bundle", place: file.to_owned(), files: Vec::new() })
}

/// What the chain says of each artifact, signed by the ledger.
async fn in_toto(context: &Context, journal: &Journal, file: &Path) -> Result<Written, CliError> {
    let (store, id) = (context.workspace.store().as_ref(), journal.id());
    let unverified = |message: String| CliError { code: Code::Unverified, message };
    let bundle = Bundle::export(store, id).await?;
    let verification = verify::of_workspace(context, id, &bundle, (None, None)).await?;
    if let Some(problem) = verification.problems.first() {
        return Err(unverified(format!("{id} does not hold, so nothing is signed about it: {problem}")));
    }
    let keys = context.workspace.keys().await?;
    let (key, history) = (keys.signer()?, keys.history()?);
    let failed = |what: String| CliError::failed(format!("{id}: {what}"));
    let mut lines = Vec::new();
    for statement in statements(&bundle, &store.ledger().await?).map_err(|problem| failed(problem.to_string()))? {
        let envelope = Envelope::sign(&statement, &key).and_then(|envelope| envelope.bytes());
        let bytes = envelope.map_err(|error| failed(error.to_string()))?;
        // What is handed out is checked as whoever gets it will.
        Envelope::open(&bytes, &history).map_err(unverified)?;
        lines.extend(bytes);
        lines.push(b'\n');
    }
    if lines.is_empty() {
        return Err(failed("it has no artifact yet; see `countersign run`".into()));
    }
    write_new(file, &lines)?;
    Ok(Written { what: IN_TOTO, place: file.to_owned(), files: Vec::new() })
}

/// One page: the end, the screens as they were approved, the log, and whether the chain holds.
fn page(journal: &Journal, bundle: &Bundle) -> Result<String, CliError> {
    let state = journal.state();
    let mut page = format!("{}  {}\n\n", state.id, plain(journal.title()));
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
        let _ = writeln!(page, "{}", log::line(event, journal.blobs()));
    }
    let _ = writeln!(page, "\n{}\n\nWhat happened:\n", "=".repeat(WIDTH));
    for event in &events {
        let _ = writeln!(page, "{}", log::line(event, journal.blobs()));
    }
    let _ = writeln!(page);
    for line in verify::lines(&with_room(|| bundle.verify())?) {
        let _ = writeln!(page, "{line}");
    }
    Ok(page)
}
