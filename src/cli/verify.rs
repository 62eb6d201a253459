//! `countersign verify`: checks a chain, from the ledger or from an exported folder or bundle, which need no workspace.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::{
    artifact::{ArtifactKind, EngagementId, digest_of, from_yaml, to_yaml},
    engagement::{Body, Event, State},
    facts::AllowedSigners,
    ledger::{
        Bundle, Problem, Subject, TrustBook, Verification, VerifierKey, bundled, read_bundle, read_bundle_file,
        read_plain, verify_bundle,
    },
    runtime::{AskedAgain, WorkspaceError, ask_again},
};

use super::{
    args::Global,
    auditor::{LogShown, cosigned, not_checked, read_keys},
    code::{CliError, Code},
    context::Context,
    files,
    output::{count, plain, say_json, say_sentence},
    proofs,
    room::with_room,
    show::outcome_words,
};

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// An engagement, a folder or a bundle that `export` wrote, `trust`, or `log` for the log over all engagements. A
    /// name with a slash, such as `./k7m2q`, is that of a folder or file, whatever engagements there are.
    #[arg(value_name = "ID|DIR|FILE|trust|log")]
    pub what: String,
    /// Hold the log against the checkpoints in this file, which somebody else kept: then nothing can have been cut off
    /// behind them or written anew. Where none of them covers what is verified, that is an error. `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Hold signatures against these allowed signers too, not only those that are kept with the chain; `-` for standard
    /// input.
    #[arg(long, value_name = "FILE")]
    pub signers: Option<PathBuf>,
    /// Hold the ledger's public keys against this one, or against a file with what `keys show` said; once for each.
    #[arg(long, value_name = "VKEY|FILE")]
    pub key: Vec<String>,
    /// Ask guardrails and trust stages again about each call that was let through, on the policies, tools and targets that
    /// its approval rests on. This takes longer, and is not needed to show that nothing was changed since.
    #[arg(long)]
    pub rules: bool,
}

/// How it is said that there is no workspace.
const NO_WORKSPACE: &str = "there is no workspace";

/// So many notes about what was left out are shown to people; of the others their number is said.
const LEFT_OUT_SHOWN: usize = 4;

/// Runs the command.
pub async fn run(global: &Global, args: Verify) -> Result<Code, CliError> {
    let signers = args.signers.as_deref().map(read_signers).transpose()?;
    let against = args.against.as_deref();
    let keys = args.key.iter().map(|word| read_keys(word)).collect::<Result<Vec<_>, _>>()?.concat();
    if args.rules && matches!(args.what.as_str(), EngagementId::TRUST | "log") {
        return Err(CliError::usage(format!("`verify {}` looks at no calls; leave out --rules", args.what)));
    }
    if args.what == EngagementId::TRUST {
        return trust(global, signers.as_ref(), against, &keys).await;
    }
    if args.what == "log" {
        if signers.is_some() {
            return Err(CliError::usage("`verify log` has no signatures of people in it; leave out --signers"));
        }
        return proofs::verify(global, against, &keys).await;
    }
    let path = Path::new(&args.what);
    let named = is_of_the_ledger(global, &args.what).await?;
    if path.is_dir() && !named && against.is_some() {
        return Err(CliError::usage(
            "a folder has nothing of the log in it; export a bundle (`countersign export ID --bundle FILE`) and verify that, \
             or verify the engagement in its workspace with --against",
        ));
    }
    if path.is_dir() && !named && !keys.is_empty() {
        return Err(CliError::usage(
            "a folder has no keys of the ledger in it; export a bundle (`countersign export ID --bundle FILE`) and verify \
             that",
        ));
    }
    if !named && path.join("manifest.json").is_file() && path.join("events.jsonl").is_file() {
        return Err(CliError::usage(format!(
            "{} is an opened bundle; give the file that it was opened from, whose every byte is checked",
            path.display()
        )));
    }
    let (mut verification, log, bundle) = match path {
        folder if folder.is_dir() && !named => {
            let (verification, bundle) = exported(folder, signers.as_ref())?;
            (verification, None, bundle)
        }
        file if file.exists() && !named => {
            let bytes = read_bundle_file(file).map_err(|error| CliError { code: Code::Usage, ..error.into() })?;
            if !is_tar(&bytes) {
                let what = match bytes.as_slice() {
                    [0x1f, 0x8b, ..] => "; it is packed with gzip: `gunzip` it first",
                    bytes if bytes.starts_with(b"SQLite format 3") => {
                        "; it is a ledger's file: `countersign verify ID` in the workspace that it was put back into"
                    }
                    bytes if bytes.starts_with(b"{\"payload") => {
                        "; it holds in-toto statements, which tests/check_intoto.py checks"
                    }
                    _ => "",
                };
                return Err(CliError::usage(format!(
                    "{} is no bundle{what}; give what `countersign export ID --bundle FILE` wrote",
                    file.display()
                )));
            }
            let published = against.map(proofs::read_published).transpose()?.unwrap_or_default();
            let mut verification = with_room(|| verify_bundle(&bytes, signers.as_ref(), &published))?;
            verification.notes.extend(cosigned(&published, "what was published"));
            let bundle = if args.rules { bundled(&bytes) } else { Bundle::default() };
            (verification, LogShown::of_bundle(&bytes), bundle)
        }
        _ => {
            let (verification, log, bundle) = stored(global, &args.what, signers.as_ref(), against).await?;
            (verification, Some(log), bundle)
        }
    };
    if named {
        let what = &args.what;
        verification.notes.push(format!(
            "this is the engagement of this workspace; something called {what} lies here too, and `countersign verify ./{what}` \
             checks that"
        ));
    }
    let rules = args.rules.then(|| with_room(|| ask_again(&bundle))).transpose()?;
    if let Some(rules) = &rules {
        tell_of_rules(rules, &mut verification);
    }
    if log.is_none() && !keys.is_empty() {
        verification.problems.push(Problem::at(0, "there are no keys of a ledger here to hold the given key against"));
        verification.ok = false;
    }
    if against.is_some() {
        verification.wants_a_witness();
    }
    let log = log.map(|log| log.tell(&keys, &mut verification));
    tell(global, "The chain", &verification, (log, rules))
}

/// Whether a word that is also the name of something that lies here is the id of an engagement of this workspace: whoever
/// asks about an engagement is not told of what somebody put where they stand.
async fn is_of_the_ledger(global: &Global, word: &str) -> Result<bool, CliError> {
    let id = EngagementId::spelled(word);
    let begins_an_id = id.len() <= 5 && id.bytes().all(|byte| EngagementId::ALPHABET.contains(&byte));
    if !begins_an_id || !Path::new(word).exists() {
        return Ok(false);
    }
    let here = |error: CliError| CliError {
        message: format!(
            "{}. Something called {word} lies here, too: `countersign verify ./{word}` checks that",
            error.message
        ),
        ..error
    };
    let context = match Context::open(global).await {
        // One that was named is meant.
        Err(error) if error.message.starts_with(NO_WORKSPACE) && global.workspace.is_none() => return Ok(false),
        opened => opened.map_err(here)?,
    };
    match context.workspace.find(word).await {
        Ok(found) if found.as_str() == id => Ok(true),
        Ok(found) => {
            let why = format!("`{word}` stands for the engagement {found}, whose id would have to be written out");
            Err(here(CliError::usage(why)))
        }
        Err(WorkspaceError::Id(why)) => Err(here(CliError::usage(why))),
        Err(error) => Err(here(unfound(error))),
    }
}

/// Why an engagement cannot be found; where its chain is not whole, that is what was to be verified.
fn unfound(error: WorkspaceError) -> CliError {
    match error {
        WorkspaceError::Ledger(error) => unverified(error),
        other => other.into(),
    }
}

/// Puts what rules said when they were asked again to what was found.
fn tell_of_rules(rules: &AskedAgain, verification: &mut Verification) {
    verification.problems.extend(rules.problems.iter().cloned());
    verification.ok = verification.problems.is_empty();
    let of = |number: u64| count(number, "call");
    let questions = |number: u64| count(number, "question");
    if rules.shown > 0 {
        let shown = questions(rules.shown);
        verification.notes.push(format!("rules: the screens of {shown} are as they are made again here"));
    }
    if rules.not_shown > 0 {
        verification.notes.push(format!(
            "rules: the screens of {} were not made again: results are not here (`export --with-results`), or not all targets",
            questions(rules.not_shown)
        ));
    }
    for question in &rules.shown_otherwise {
        verification.notes.push(format!("SHOWN OTHERWISE than this version shows it: {question}"));
    }
    if rules.problems.is_empty() {
        verification.notes.push(format!(
            "rules: guardrails and trust stages let {} through again, asked as if no other engagement had changed anything",
            of(rules.asked)
        ));
    }
    for (number, why) in [
        (rules.decided_on_others, "decided on other tools, targets or policies than approved"),
        (
            rules.not_here,
            "something is not here (redacted, left out, a target of no entry of its own, or not kept then)",
        ),
        (rules.not_read, "their policies are longer or nested deeper than is read here"),
    ] {
        if number > 0 {
            verification.notes.push(format!("rules: not asked about {}: {why}", of(number)));
        }
    }
    if rules.at_a_higher_stage > 0 {
        verification.notes.push(format!(
            "rules: asked about {} at a higher trust stage than their approval was given at, as their decisions say",
            of(rules.at_a_higher_stage)
        ));
    }
}

/// What a program is told.
#[derive(Serialize)]
struct Verified<'a> {
    #[serde(flatten)]
    verification: &'a Verification,
    /// What is shown of the log over all engagements.
    log: Option<LogShown>,
    /// What rules said when they were asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<AskedAgain>,
}

/// Whether a file begins as a bundle does, however damaged it is; one that ends before its first header may be one.
fn is_tar(bytes: &[u8]) -> bool {
    bytes.is_empty() || bytes.get(257..262) == Some(b"ustar")
}

/// Verifies a folder.
fn exported(folder: &Path, signers: Option<&AllowedSigners>) -> Result<(Verification, Bundle), CliError> {
    if !folder.join("events.jsonl").exists() && !folder.join("blobs").exists() {
        return Err(CliError::usage(format!(
            "{} is no folder that `countersign export` wrote: it has no events.jsonl",
            folder.display()
        )));
    }
    let bundle = read_bundle(folder).map_err(unverified)?;
    let mut verification = with_room(|| bundle.verify_against(signers))?;
    check_files(folder, &bundle, &mut verification);
    verification.problems.extend(bundle.verify_signatures(folder).map_err(unverified)?);
    if bundle.rests_on_trust() {
        verification.notes.push(
            "trust: something was asked or ran above trust stage 1, and a folder has no chain of trust stages to show that it was \
             given; a bundle has (`countersign export ID --bundle FILE`)"
                .into(),
        );
    }
    verification.ok = verification.problems.is_empty();
    Ok((verification, bundle))
}

/// Verifies an engagement of the workspace, and that the log over all has it.
async fn stored(
    global: &Global,
    what: &str,
    signers: Option<&AllowedSigners>,
    against: Option<&Path>,
) -> Result<(Verification, LogShown, Bundle), CliError> {
    let nothing = |more: String| {
        CliError::usage(format!("`{what}` is no folder or bundle that is here, and no engagement either: {more}"))
    };
    let context = match Context::open(global).await {
        Err(error) if error.message.starts_with(NO_WORKSPACE) => return Err(nothing(error.message)),
        opened => opened?,
    };
    let id = match context.workspace.find(what).await {
        Err(WorkspaceError::Id(why)) => return Err(nothing(why)),
        found => found.map_err(unfound)?,
    };
    let bundle = Bundle::export(context.workspace.store().as_ref(), &id).await.map_err(unverified)?;
    let verification = of_workspace(&context, &id, &bundle, (signers, against)).await?;
    Ok((verification, LogShown::of_workspace(&context).await?, bundle))
}

/// What is found of all that the workspace has of an engagement: its chain, what its store lost, the trust stages that it
/// rests on, and what the log over all has of it.
pub async fn of_workspace(
    context: &Context,
    id: &EngagementId,
    bundle: &Bundle,
    (signers, against): (Option<&AllowedSigners>, Option<&Path>),
) -> Result<Verification, CliError> {
    let mut verification = with_room(|| bundle.verify_against(signers))?;
    verification.problems.extend(bundle.lost());
    if bundle.rests_on_trust() {
        let book = TrustBook::open(std::sync::Arc::clone(context.workspace.store())).await.map_err(unverified)?;
        verification.problems.extend(bundle.untrusted(book.events()));
        verification.notes.extend(bundle.raised(book.events()));
        let stages = book.verify(signers).await.map_err(unverified)?;
        verification.problems.extend(stages.into_iter().map(|problem| problem.in_file("the chain of trust stages")));
    }
    verification.ok = verification.problems.is_empty();
    proofs::hold_against(context, id, against, &mut verification).await?;
    proofs::hold_to_what_was_asked(context, bundle, &mut verification).await?;
    Ok(verification)
}

/// The longest file that is read, in bytes; an artifact has no more.
const LONGEST: u64 = 16 << 20;

/// The allowed signers of whoever verifies.
fn read_signers(path: &Path) -> Result<AllowedSigners, CliError> {
    let text = files::read(path)?;
    AllowedSigners::parse_as(&files::name(path), &text).map_err(|problem| CliError::usage(problem.to_string()))
}

/// Checks the ledger's own chain of trust stages: every link, that each stage follows from the one before, that
/// whoever raised one signed that, and that the log over all has it.
async fn trust(
    global: &Global,
    signers: Option<&AllowedSigners>,
    against: Option<&Path>,
    keys: &[VerifierKey],
) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let book = TrustBook::open(std::sync::Arc::clone(context.workspace.store())).await.map_err(unverified)?;
    let mut verification = proofs::trust_held_against(&context, book.events().len() as u64, against).await?;
    verification.head = Some(book.trust().head());
    let found = book.verify(signers).await.map_err(unverified)?;
    verification.problems.splice(..0, found);
    let says = if signers.is_some() { "the signers given" } else { "the allowed signers kept with the chain" };
    let good = match book.events().len() {
        0 => "no stage was ever set: every scope stands at stage 1".to_owned(),
        _ => format!("every signature is good as {says} have it; lowering a stage needs none"),
    };
    verification.notes.splice(..0, verification.problems.is_empty().then_some(good));
    let log = LogShown::of_workspace(&context).await?.tell(keys, &mut verification);
    tell(global, "The chain of trust stages", &verification, (Some(log), None))
}

/// Tells what was found, and the exit code that goes with it.
fn tell(
    global: &Global,
    of: &str,
    verification: &Verification,
    (log, rules): (Option<LogShown>, Option<AskedAgain>),
) -> Result<Code, CliError> {
    if global.json {
        say_json(&Verified { verification, log, rules })?;
    } else {
        lines_of(of, verification).into_iter().for_each(say_sentence);
    }
    Ok(if verification.ok { Code::Done } else { Code::Unverified })
}

/// Whether the artifacts that lie beside the events, for people to read, are the ones that the chain ends with.
fn check_files(folder: &Path, bundle: &Bundle, verification: &mut Verification) {
    let events: Option<Vec<Event>> = bundle.events.iter().map(|bytes| serde_json::from_slice(bytes).ok()).collect();
    let Some(events) = events else { return };
    let Some(state) = State::replay(&events) else { return };
    for kind in ArtifactKind::ALL {
        let name = kind.file_name();
        // A pipe could never end, and a link lead anywhere.
        let bytes = read_plain(&folder.join(name), LONGEST).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let what = match (state.artifact(kind), text) {
            (None, None) if !folder.join(name).exists() => continue,
            (None, _) => format!("{name} lies in the folder, but the chain has no {kind}"),
            (Some(_), None) => format!("{name} is missing from the folder or cannot be read"),
            (Some(digest), Some(text)) => {
                let value = from_yaml::<serde_json::Value>(name, &text);
                let as_written = value.as_ref().ok().and_then(|value| to_yaml(value).ok());
                match value.map(|value| digest_of(&value)) {
                    Ok(Ok(is)) if is == digest => {
                        if as_written.is_none_or(|written| written != text) {
                            verification.notes.push(format!(
                                "{name} says what the chain says and is not written as it was exported; nothing vouches for \
                                 comments in it"
                            ));
                        }
                        continue;
                    }
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
        verification.problems.push(Problem::at(seq, what));
    }
    verification.notes.extend(not_checked(folder, bundle, verification.ok));
}

fn unverified(error: crate::ledger::LedgerError) -> CliError {
    let missing = matches!(error, crate::ledger::LedgerError::Missing(_));
    let mut error = CliError::from(error);
    error.code = if missing { Code::Usage } else { Code::Unverified };
    error
}

/// A verification in a few lines.
pub fn lines(verification: &Verification) -> Vec<String> {
    lines_of("The chain", verification)
}

fn lines_of(what: &str, verification: &Verification) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(Subject { engagement, title, outcome }) = &verification.of {
        let ended = outcome.map_or("open", outcome_words);
        lines.push(format!("{engagement}  {} ({ended})", plain(title)));
    }
    let head = verification.head.map_or_else(|| "none".to_owned(), |head| head.to_string());
    if verification.ok {
        lines.push(format!("{what} holds: {}, head {head}", count(verification.events, "event")));
    } else {
        // Whoever gives signers asks for more than the chain itself says was needed.
        let unsigned = |problem: &Problem| problem.what.ends_with("which none of the signers given has signed");
        lines.push(match verification.problems.iter().all(unsigned) {
            true => format!("{what} is whole, and the signers given do NOT vouch for all of it:"),
            false => "This does NOT hold:".into(),
        });
    }
    for problem in &verification.problems {
        lines.push(format!("  {}", plain(&problem.to_string())));
    }
    let left_out = |note: &&String| note.starts_with("left out: ");
    let all = verification.notes.iter().filter(left_out).count();
    let mut shown = 0;
    for note in &verification.notes {
        if left_out(&note) {
            shown += 1;
        }
        if !left_out(&note) || shown <= LEFT_OUT_SHOWN || all == LEFT_OUT_SHOWN + 1 {
            lines.push(format!("  note: {}", plain(note)));
        } else if shown == LEFT_OUT_SHOWN + 1 {
            lines.push(format!("  note: left out: {} more; --json lists them", all - LEFT_OUT_SHOWN));
        }
    }
    lines
}
