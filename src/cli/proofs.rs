//! `countersign log checkpoint`, `log prove` and `log consistency`: what shows others how far the log goes, that an
//! engagement is in it, and that it only ever grew.

use std::{os::unix::fs::FileTypeExt, path::Path};

use clap::Subcommand;
use serde_json::json;

use crate::{
    artifact::EngagementId,
    ledger::{
        Bundle, Checkpoint, Freshness, KeyHistory, LedgerError, LogCheck, LogProblem, Note, Problem, Store,
        Verification, VerifierKey, asked_otherwise, check_log, consistency, held, last_checkpoint, log_root, origin,
        prove, read_checkpoints,
    },
};

use super::{
    args::Global,
    auditor::{LogShown, cosigned},
    code::{CliError, Code},
    context::Context,
    files,
    output::{aside, aside_sentence, plain, say, say_json},
};

/// No file of checkpoints that is read is longer.
const LONGEST: u64 = 256 * 1024 * 1024;

/// What `log` does beside showing an engagement's events.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the last signed checkpoint: how many leaves the log over all engagements has, and their root.
    #[command(
        after_help = "Example: countersign log checkpoint > published.txt\n\nKept where this ledger cannot take it back, it \
                      shows later that nothing was cut off or written anew: `verify --against published.txt`. A table \
                      [witness] in countersign.toml publishes each one by itself."
    )]
    Checkpoint,
    /// Prove that an engagement's last answer or end is in the log of the last checkpoint.
    #[command(after_help = "Example: countersign log prove k7m --json > k7m.proof.json")]
    Prove {
        /// The engagement; its first letters do. `trust` for the chain of trust stages.
        id: String,
    },
    /// Prove that the log of one size begins with that of another.
    #[command(after_help = "Example: countersign log consistency 12 40 --json")]
    Consistency {
        /// The earlier size, as a checkpoint has it in its second line.
        #[arg(value_parser = super::args::whole::<u64>("the second line of a checkpoint, such as 12"))]
        old: u64,
        /// The later size.
        #[arg(value_parser = super::args::whole::<u64>("the second line of a checkpoint, such as 12"))]
        new: u64,
    },
}

/// Runs the command.
pub async fn run(global: &Global, command: LogCommand) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let store = context.workspace.store().as_ref();
    let code = note_rolled_back(&context).await;
    match command {
        LogCommand::Checkpoint => checkpoint(global, &context).await,
        LogCommand::Prove { id } => {
            let id = match id.as_str() {
                EngagementId::TRUST => EngagementId::trust(),
                id => context.workspace.find(id).await?,
            };
            inclusion(global, &context, &id).await
        }
        LogCommand::Consistency { old, new } => grown(global, store, old, new).await,
    }?;
    Ok(code)
}

async fn checkpoint(global: &Global, context: &Context) -> Result<(), CliError> {
    let store = context.workspace.store().as_ref();
    match context.workspace.sign_log().await {
        Ok(None) => {}
        Ok(Some(wrong)) => aside_sentence(format!("note: {}", plain(&wrong))),
        Err(error) => {
            aside_sentence(format!("note: nothing was signed now: {}", plain(&CliError::from(error).message)))
        }
    }
    let Some((Checkpoint { origin, size, root }, note)) = last_checkpoint(store).await? else {
        return Err(none_yet());
    };
    let leaves = store.log_size().await?;
    if global.json {
        say_json(
            &json!({"origin": origin, "size": size, "root": root, "leaves": leaves, "checkpoint": note.to_string()}),
        )?;
    } else {
        say(note.to_string().trim_end());
    }
    if let Err(CliError { message, .. }) = context.workspace.keys().await?.fit(Some(&note)).map_err(CliError::from) {
        aside(format!("note: this is the last one for now: {}", plain(&message)));
    }
    Ok(())
}

async fn inclusion(global: &Global, context: &Context, id: &EngagementId) -> Result<(), CliError> {
    let Some(proof) = prove(context.workspace.store().as_ref(), id).await? else {
        let why = "nothing of it was answered or closed under a checkpoint yet";
        return Err(CliError::failed(format!(
            "{id} is not in the log: {why}; see `countersign {}`",
            if id.as_str() == "trust" { "trust show".to_owned() } else { format!("show {id}") }
        )));
    };
    // What is handed out is checked as whoever gets it will.
    let checked = proof.check(&context.workspace.keys().await?.history()?);
    let checkpoint = checked.map_err(|why| CliError {
        code: Code::Unverified,
        message: format!("the proof does not hold: {why}; see `countersign verify log`"),
    })?;
    if global.json {
        return say_json(&proof);
    }
    say(format!("event {} of {id}, {}", proof.leaf.seq, proof.leaf.head));
    say(format!("is leaf {} (from 0) of {}:", proof.index, checkpoint.size));
    proof.path.iter().for_each(|hash| say(format!("  {hash}")));
    say("");
    say(proof.checkpoint.trim_end());
    Ok(())
}

async fn grown(global: &Global, store: &dyn Store, old: u64, new: u64) -> Result<(), CliError> {
    let Some(proof) = consistency(store, old, new).await? else {
        let leaves = store.log_size().await?;
        return Err(CliError::usage(if leaves == 0 {
            "the log has no leaf yet: the first answer or the first end of an engagement makes one".to_owned()
        } else {
            format!("the log has {leaves} leaves; name two sizes from 1 to {leaves}, the smaller one first")
        }));
    };
    if !proof.holds() {
        let message = "the proof does not hold: a stored hash of the log was changed; see `countersign verify log`";
        return Err(CliError { code: Code::Unverified, message: message.into() });
    }
    if global.json {
        return say_json(&proof);
    }
    say(format!("The log of {new} leaves, root {}", proof.new_root));
    say(format!("begins with that of {old}, root {}:", proof.old_root));
    proof.path.iter().for_each(|hash| say(format!("  {hash}")));
    Ok(())
}

fn none_yet() -> CliError {
    CliError::failed("there is no checkpoint yet; the first gate that is answered makes one")
}

/// Says beside what is handed out that the ledger has signed more than it has; the code that the command ends with then.
pub async fn note_rolled_back(context: &Context) -> Code {
    match context.workspace.not_rolled_back().await {
        Ok(()) => Code::Done,
        Err(error) => {
            aside_sentence(format!("note: {}", plain(&error.to_string())));
            Code::Unverified
        }
    }
}

/// The checkpoints of a file that somebody else kept.
pub fn read_published(path: &Path) -> Result<Vec<(Checkpoint, Note)>, CliError> {
    let wrong = |why: String| CliError::usage(format!("{}: {why}", files::name(path)));
    if path.metadata().is_ok_and(|found| found.is_dir() || found.file_type().is_char_device()) {
        return Err(wrong("this is no file of checkpoints; name what the witness keeps".into()));
    }
    let text = files::read_up_to(path, LONGEST)?;
    read_checkpoints(&text).map_err(|error| {
        wrong(format!(
            "{error}; it must hold checkpoints as `countersign log checkpoint` prints them, an empty line between each two and \
             nothing else"
        ))
    })
}

/// The greatest of the published checkpoints, if the log here is the one that it is of.
pub async fn last_published(store: &dyn Store, keys: &KeyHistory, path: &Path) -> Result<(Checkpoint, Note), CliError> {
    let of = origin(&store.ledger().await?);
    let own = read_published(path)?.into_iter().filter(|(checkpoint, _)| checkpoint.origin == of);
    let Some((checkpoint, note)) = own.max_by_key(|(checkpoint, _)| checkpoint.size) else {
        return Err(CliError::usage(format!("{}: none of these checkpoints is of this ledger, {of}", path.display())));
    };
    let (size, leaves) = (checkpoint.size, store.log_size().await?);
    let why = match keys.signer_of(&note, size) {
        Err(why) => why.to_string(),
        Ok(_) if size > leaves => {
            format!("has more leaves than the log here, which has {leaves}: it was rolled back")
        }
        Ok(_) if log_root(store, size).await? != checkpoint.root => "is of another log than the one here".to_owned(),
        Ok(_) => return Ok((checkpoint, note)),
    };
    let (file, message) = (path.display(), "see `countersign verify log --against` with the same file");
    Err(CliError {
        code: Code::Unverified,
        message: format!("{file}: the checkpoint of {size} leaves {why}; {message}"),
    })
}

/// `countersign verify log`: the whole log, made again from the events.
pub async fn verify(global: &Global, against: Option<&Path>, keys: &[VerifierKey]) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let mut check = checked(&context, against).await?;
    LogShown::of_workspace(&context).await?.hold(keys, &mut check);
    let freshness = match check.freshness {
        Freshness::Witnessed { size, .. } => format!("witnessed: a published checkpoint covers {size} leaves"),
        Freshness::NotWitnessed => {
            "freshness not witnessed: nothing here shows that the log has not been cut at its end".into()
        }
    };
    check.notes.insert(0, freshness);
    if global.json {
        say_json(&check)?;
        return Ok(code(check.ok));
    }
    match (check.ok, check.root) {
        (true, Some(root)) => {
            let leaves = if check.size == 1 { "leaf" } else { "leaves" };
            say(format!("The log holds: {} {leaves}, root {root}", check.size));
        }
        _ => say("This does NOT hold:"),
    }
    check.problems.iter().for_each(|problem| say(format!("  leaf {}: {}", problem.leaf, plain(&problem.what))));
    check.notes.iter().for_each(|note| say(format!("  note: {note}")));
    Ok(code(check.ok))
}

fn code(ok: bool) -> Code {
    if ok { Code::Done } else { Code::Unverified }
}

async fn checked(context: &Context, against: Option<&Path>) -> Result<LogCheck, CliError> {
    let mut published = against.map(read_published).transpose()?.unwrap_or_default();
    let of = origin(&context.workspace.store().ledger().await?);
    // A witness may keep the checkpoints of several ledgers.
    if published.iter().any(|(checkpoint, _)| checkpoint.origin == of) {
        published.retain(|(checkpoint, _)| checkpoint.origin == of);
    }
    let keys = context.workspace.keys().await?.history()?;
    let others = cosigned(&published, "what was published");
    let check = check_log(context.workspace.store().as_ref(), &keys, &published).await;
    let mut check = check.map_err(|error| match error {
        LedgerError::Corrupt { .. } => CliError { code: Code::Unverified, message: error.to_string() },
        other => other.into(),
    })?;
    if let Err(error) = context.workspace.not_rolled_back().await {
        check.problems.push(LogProblem { leaf: check.checkpointed, what: error.to_string() });
        check.ok = false;
    }
    if against.is_some() {
        check.wants_a_witness();
    }
    check.notes.extend(others);
    Ok(check)
}

/// Holds what was found about one chain against the log: that what the log has of it is there, and, where published
/// checkpoints are brought along, that the log is still the one that was published.
pub async fn hold_against(
    context: &Context,
    id: &EngagementId,
    against: Option<&Path>,
    verification: &mut Verification,
) -> Result<(), CliError> {
    let log = match against {
        Some(_) => Some(checked(context, against).await?),
        None => None,
    };
    if let Some(log) = &log {
        verification.notes.extend(log.notes.iter().filter(|note| note.starts_with("cosigned: ")).cloned());
    }
    let logged = context.workspace.store().logged(Some(id)).await?;
    verification.hold_against(&logged, log.as_ref());
    let store = context.workspace.store().as_ref();
    if log.is_none() {
        let rolled_back = context.workspace.not_rolled_back().await.err();
        verification.problems.extend(rolled_back.map(|error| Problem::at(0, error.to_string())));
        match context.workspace.keys().await?.history() {
            Ok(keys) => {
                let (problems, notes) = held(store, &keys, id).await?;
                verification.problems.extend(problems);
                verification.notes.extend(notes);
            }
            Err(error) => verification.notes.push(format!("not held against the ledger's own checkpoints: {error}")),
        }
    }
    verification.ok = verification.problems.is_empty();
    Ok(())
}

/// Holds the ledger that each question was asked in, and what each approver saw of its log when they signed, against
/// the ledger and its log as they are.
pub async fn hold_to_what_was_asked(
    context: &Context,
    bundle: &Bundle,
    verification: &mut Verification,
) -> Result<(), CliError> {
    verification.problems.extend(asked_otherwise(context.workspace.store().as_ref(), bundle).await?);
    verification.ok = verification.problems.is_empty();
    Ok(())
}

/// The same for the chain of trust stages.
pub async fn trust_held_against(
    context: &Context,
    events: u64,
    against: Option<&Path>,
) -> Result<Verification, CliError> {
    let mut verification = Verification::unwitnessed(events);
    hold_against(context, &EngagementId::trust(), against, &mut verification).await?;
    if against.is_some() {
        verification.wants_a_witness();
    }
    Ok(verification)
}
