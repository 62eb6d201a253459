//! `countersign run`: drives an engagement and, on a terminal, asks at its gates and goes on.

use std::sync::Arc;

use crate::{
    artifact::EngagementId,
    broker::Broker,
    ledger::{Claim, Filter, Which},
    runtime::{AnswerError, retry},
};

use super::{
    again::nothing_to_retry,
    args::{Global, Run},
    context::Context,
    interrupt::Interrupt,
    output::{CliError, Code, complain, count, interactive, plain, say, say_json},
    seat::Seat,
    show,
};

/// Runs the command.
pub async fn run(global: &Global, args: Run) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let broker = context.broker();
    let asks = interactive() && !args.no_input && !global.json;
    let ids = match &args.id {
        Some(id) => vec![(context.workspace.find(id).await?, String::new())],
        None => {
            let filter = Filter { which: Which::Open, ..Filter::default() };
            let open = context.workspace.store().summaries(filter).await?;
            open.into_iter().map(|summary| (summary.id, summary.title)).collect()
        }
    };
    if ids.is_empty() {
        // What could not be published before, or was not asked for then.
        context.publish().await;
        if global.json {
            say_json(&serde_json::json!([]))?;
        } else {
            say("Nothing is open. Begin with `countersign request`; see `countersign blueprints`.");
        }
        return Ok(Code::Done);
    }
    let of = args.id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
    let interrupt = Interrupt::listen(format!("countersign run{of}"));
    let mut worst = Code::Done;
    let mut answers = Vec::new();
    for (nth, (id, title)) in ids.iter().enumerate() {
        if args.id.is_none() && !global.json {
            let gap = if nth == 0 { "" } else { "\n" };
            say(format!("{gap}{id}  {} ({} of {} open)", plain(title), nth + 1, ids.len()));
        }
        let code = match one(global, &context, &broker, id, &args, (asks, &interrupt)).await {
            Ok((code, answer)) => {
                answers.extend(answer);
                code
            }
            // What stops one engagement is no reason to leave the others.
            Err(error) if args.id.is_none() => {
                complain(&error, global.json);
                error.code
            }
            Err(error) => {
                broker.close().await;
                return Err(error);
            }
        };
        worst = worst.worse(code);
        if interrupt.wanted() {
            break;
        }
    }
    broker.close().await;
    if global.json {
        match (args.id, answers.first()) {
            (Some(_), Some(answer)) => say_json(answer)?,
            _ => say_json(&answers)?,
        }
    }
    Ok(worst)
}

/// Runs one engagement; for a program, with where it stands then.
async fn one(
    global: &Global,
    context: &Context,
    broker: &Broker,
    id: &EngagementId,
    args: &Run,
    (asks, interrupt): (bool, &Arc<Interrupt>),
) -> Result<(Code, Option<show::StatusAnswer>), CliError> {
    let _claim = Claim::take(&context.workspace.claims(), id)?;
    let mut journal = context.journal(id.as_str()).await?;
    if args.retry.is_some() {
        let (again, renewed) = match retry(&context.workspace, &mut journal, context.identity()?).await {
            Err(AnswerError::NothingToRetry(_)) => return Err(nothing_to_retry(&journal)),
            again => again?,
        };
        if !global.json {
            let again = again.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let by = match renewed as u64 {
                0 => String::new(),
                calls => format!("; by that you renew the yes to {}", count(calls, "call")),
            };
            say(format!("Trying again: {again}{by}"));
        }
    }
    let identity = if asks { Some(context.identity()?) } else { None };
    let models = context.workspace.models()?;
    let key = context.key(args.key.as_deref())?;
    let (workspace, interrupt) = (&context.workspace, Some(Arc::clone(interrupt)));
    let (me, quiet) = (context.identity().ok(), global.json);
    let seat = Seat { workspace, broker, models, me, key: key.as_ref(), interrupt, quiet, chat: None };
    let code = seat.drive(&mut journal, identity.as_ref(), None).await?;
    let answer = if global.json { Some(show::status(context, &journal).await?) } else { None };
    Ok((code, answer))
}
