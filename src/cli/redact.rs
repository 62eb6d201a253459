//! `countersign redact`: destroys what calls were given and gave, after saying what goes and what still shows it.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use serde_json::json;

use crate::{
    artifact::{CallId, EngagementId, digest_of},
    engagement::{Redacts, Refusal, redaction},
    facts::Identity,
    ledger::Journal,
    runtime::{AnswerError, Redaction, Signer, plan_redaction, redact},
};

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    interrupt::Asking,
    output::{count, interactive, plain, say, say_json},
    question::agreed,
};

/// So many places are shown of each value; of the others their number is said.
const PLACES: usize = 4;

/// `redact`
#[derive(Debug, Args)]
pub struct Redact {
    /// The engagement; its first letters do. It must be closed.
    pub id: String,
    /// The calls, as `countersign log` names them, such as `c3`.
    #[arg(required = true)]
    pub calls: Vec<String>,
    /// Why.
    #[arg(long)]
    pub reason: String,
    /// Destroy what is shown without asking.
    #[arg(long)]
    pub yes: bool,
    /// Sign it with this SSH key; needed where answers needed one, or were signed.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(global: &Global, args: Redact) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let mut journal = context.journal(&args.id).await?;
    let key = context.key(args.key.as_deref())?;
    let id = journal.id().clone();
    let wanted: Result<BTreeSet<CallId>, CliError> = args.calls.iter().map(|word| call(word)).collect();
    let wanted = wanted?;
    let identity = context.identity()?;
    may(&context, &journal, &identity, (&wanted, &args.reason, key.is_some()))?;
    let catalog = context.workspace.load_catalog()?;
    let redaction = plan_redaction(&journal, &wanted, &catalog.toolbox).await?;
    if !redaction.is_done() && !args.yes {
        if global.json || !interactive() {
            if global.json {
                say_json(&json!({"engagement": id, "redaction": redaction, "scrubbed": false}))?;
            } else {
                lines(&id, &redaction, "would be").iter().for_each(super::output::aside);
            }
            return Err(CliError::usage(
                "nothing was destroyed: it cannot be undone; say `--yes` to have it done without being asked",
            ));
        }
        let asking = Asking::begin("Nothing was destroyed.".into());
        lines(&id, &redaction, "will be").iter().for_each(say);
        if !agreed("Destroy it for good? [y]es (default: no)", &["y", "yes"]) {
            say("Nothing was destroyed.");
            return Ok(Code::Waiting);
        }
        asking.over();
    }
    let signer = key.as_ref().map(|key| key as &dyn Signer);
    let scrubbed = redact(&context.workspace, &mut journal, identity, &redaction, args.reason, signer).await;
    context.publish().await;
    let scrubbed = scrubbed?;
    if global.json {
        say_json(&json!({"engagement": id, "redaction": redaction, "scrubbed": scrubbed}))?;
    } else {
        if redaction.is_done() {
            say(format!("{id}: all of it was redacted before; the ledger's file was written anew."));
        } else if args.yes {
            lines(&id, &redaction, "are").iter().for_each(say);
        }
        if scrubbed {
            say("No file of the ledger holds what was destroyed any more; what is said to stay above stays.");
            say(format!("Next: countersign verify {id}"));
        }
    }
    if !scrubbed {
        return Err(CliError::failed(
            "it is destroyed, but a file of the ledger still has its bytes while another process reads; run the same again when \
             that has ended",
        ));
    }
    Ok(Code::Done)
}

/// Whether the person may have these calls redacted: what would be refused in the end is refused before anything is shown.
fn may(
    context: &Context,
    journal: &Journal,
    identity: &Identity,
    (calls, reason, key): (&BTreeSet<CallId>, &str, bool),
) -> Result<(), CliError> {
    let refused = |refusal: Refusal| CliError::from(AnswerError::from(refusal));
    let people = &context.workspace.load_catalog()?.people;
    let by = Redacts {
        roles: people.roles(identity),
        needs: people.redact,
        people: digest_of(people).map_err(|error| CliError::failed(error.to_string()))?,
        reason: reason.to_owned(),
    };
    let state = journal.state();
    let scope = state.redaction_of(calls);
    // What was redacted before is written anew once more, by whoever asks.
    if scope.as_ref().is_ok_and(|scope| scope.documents.is_empty()) && state.closed.is_some() {
        return Ok(());
    }
    redaction(state, calls, &BTreeSet::new(), by).map_err(refused)?;
    if state.has_signatures() && !key {
        return Err(CliError {
            code: Code::Refused,
            message: format!(
                "answers of {} were signed, so what is destroyed of it needs a signature too; say whose key: `--key FILE`",
                state.id
            ),
        });
    }
    Ok(())
}

fn call(word: &str) -> Result<CallId, CliError> {
    word.parse().map_err(|_| {
        CliError::usage(format!("`{}` is no call: write it as `countersign log` does, such as `c3`", plain(word)))
    })
}

/// What goes, and what still shows it.
fn lines(id: &EngagementId, redaction: &Redaction, are: &str) -> Vec<String> {
    let Redaction { calls, documents, answers, also_in, still_shown } = redaction;
    let names = |calls: &BTreeSet<CallId>| calls.iter().map(ToString::to_string).collect::<Vec<_>>();
    let calls = names(calls);
    let answers = match answers.len() {
        0 => String::new(),
        some => format!(", {} of models that show them", count(some as u64, "answer")),
    };
    let mut lines = vec![
        format!("{id}: the arguments and results of {} {are} destroyed for good:", calls.join(", ")),
        format!("  {}{answers}, and the engagement's key", count(documents.len() as u64, "document")),
        "What still shows a value of them, and stays:".to_owned(),
    ];
    for (path, places) in still_shown {
        let shown: Vec<String> = places.iter().take(PLACES).map(|place| plain(place)).collect();
        let more = places.len().saturating_sub(PLACES);
        let more = if more > 0 { format!(" and {more} more (--json lists them)") } else { String::new() };
        lines.push(format!("  {}: {}{more}", plain(path), shown.join(", ")));
    }
    if !also_in.is_empty() {
        let also = names(also_in);
        let hold = if also.len() == 1 { "holds" } else { "hold" };
        let also = also.join(" ");
        lines.push(format!(
            "  of that, these calls {hold} the same and can go too, where they are named as well: {also}"
        ));
    }
    if still_shown.is_empty() {
        lines.push("  nothing in this engagement".to_owned());
    }
    lines.push(
        "  and what cannot be looked into here: backups, exports, other engagements, what tools and models kept".into(),
    );
    lines
}
