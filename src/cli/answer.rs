//! `countersign approve`, `reject`, `answer` and `cancel`.

use crate::{
    artifact::OnFailure,
    engagement::About,
    runtime::{Choice, answer, cancel as cancel_engagement},
};

use super::{
    args::{AnswerArgs, Approve, ChoiceArg, Global, Reject},
    context::Context,
    output::{CliError, Code, say, say_json},
};

/// `approve`
pub async fn approve(global: &Global, args: Approve) -> Result<Code, CliError> {
    let ticked = args.tick.into_iter().collect();
    give(global, &args.id, Choice::Approve { ticked }, args.digest.as_deref(), "approved").await
}

/// `reject`
pub async fn reject(global: &Global, args: Reject) -> Result<Code, CliError> {
    give(global, &args.id, Choice::Reject { reason: args.reason }, None, "rejected").await
}

/// `answer`
pub async fn choose(global: &Global, args: AnswerArgs) -> Result<Code, CliError> {
    let choice = match args.choice {
        ChoiceArg::Stop => Choice::Failure(OnFailure::Stop),
        ChoiceArg::Continue => Choice::Failure(OnFailure::Continue),
        ChoiceArg::UndoTarget => Choice::Failure(OnFailure::UndoTarget),
        ChoiceArg::UndoAll => Choice::Failure(OnFailure::UndoAll),
        ChoiceArg::Applied => Choice::Applied(true),
        ChoiceArg::NotApplied => Choice::Applied(false),
    };
    give(global, &args.id, choice, None, "answered").await
}

/// `cancel`
pub async fn cancel(global: &Global, args: Reject) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let mut journal = context.journal(&args.id).await?;
    cancel_engagement(&context.workspace, &mut journal, context.identity()?, args.reason).await?;
    let id = journal.id();
    if global.json {
        say_json(&serde_json::json!({"engagement": id, "cancelled": true}))?;
    } else {
        say(format!("{id} cancelled. Next: countersign run {id} finishes and records what was begun."));
    }
    Ok(Code::Done)
}

async fn give(global: &Global, id: &str, choice: Choice, seen: Option<&str>, word: &str) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let mut journal = context.journal(id).await?;
    let identity = context.identity()?;
    let about: About = answer(&context.workspace, &mut journal, identity.clone(), choice, seen).await?;
    let id = journal.id();
    if global.json {
        say_json(&serde_json::json!({"engagement": id, "about": about, "answer": word, "by": identity}))?;
    } else {
        say(format!("{id}: {about} {word} by {identity}"));
        say(format!("Next: countersign run {id}"));
    }
    Ok(Code::Done)
}
