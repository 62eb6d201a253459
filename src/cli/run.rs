//! `countersign run`: drives an engagement and, on a terminal, asks at its gates and goes on.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    artifact::EngagementId,
    broker::Broker,
    ledger::{Claim, Filter, Which},
    runtime::{AnswerError, retry},
};

use super::{
    again::nothing_to_retry,
    apart::{Apart, apart},
    args::{Global, Run},
    code::{CliError, Code},
    context::Context,
    interrupt::Interrupt,
    output::{aside, complain, count, interactive, plain, say, say_json, tell},
    seat::Seat,
    show,
};

/// Runs the command.
pub async fn run(global: &Global, args: Run) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let broker = context.broker();
    let many = args.at_once > 1;
    let asks = interactive() && !args.no_input && !global.json && !many;
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
    let of = match &args.id {
        Some(id) => format!(" {id}"),
        None if many => format!(" --at-once {}", args.at_once),
        None => String::new(),
    };
    let interrupt = Interrupt::listen(format!("countersign run{of}"));
    let run = OneRun { global, context: &context, broker: &broker, args: &args, asks };
    let turns = ids.iter().enumerate().map(|(nth, (id, title))| {
        let (run, interrupt, of) = (&run, interrupt.beside(), ids.len());
        async move {
            if interrupt.wanted() {
                return (nth, None, Apart::default());
            }
            let turn = async {
                if run.args.id.is_none() && !run.global.json {
                    let gap = if nth == 0 || many { "" } else { "\n" };
                    say(format!("{gap}{id}  {} ({} of {of} open)", plain(title), nth + 1));
                }
                run.one(id, &interrupt).await
            };
            let (ran, said) = if many { apart(turn).await } else { (turn.await, Apart::default()) };
            (nth, Some(ran), said)
        }
    });
    let bar = if many && !global.json { Some(progress(ids.len(), args.at_once)) } else { None };
    let mut turns = pin!(stream::iter(turns).buffer_unordered(args.at_once.into()));
    let (mut worst, mut answers, mut more) = (Code::Done, Vec::new(), false);
    while let Some((nth, ran, said)) = turns.next().await {
        let Some(ran) = ran else { continue };
        let told = || {
            if many && !global.json && std::mem::replace(&mut more, true) {
                say("");
            }
            tell(said);
            match ran {
                Ok((code, answer)) => {
                    answers.extend(answer.map(|answer| (nth, answer)));
                    Ok(code)
                }
                // What stops one engagement is no reason to leave the others.
                Err(error) if args.id.is_none() => {
                    complain(&error, global.json);
                    Ok(error.code)
                }
                Err(error) => Err(error),
            }
        };
        let code = match &bar {
            Some(bar) => {
                bar.inc(1);
                bar.suspend(told)
            }
            None => told(),
        };
        match code {
            Ok(code) => worst = worst.worse(code),
            Err(error) => {
                broker.close().await;
                return Err(error);
            }
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if many {
        // Whoever publishes leaves to the next one what comes meanwhile.
        context.publish().await;
    }
    broker.close().await;
    if global.json {
        answers.sort_by_key(|(nth, _)| *nth);
        let answers: Vec<show::StatusAnswer> = answers.into_iter().map(|(_, answer)| answer).collect();
        match (&args.id, answers.first()) {
            (Some(_), Some(answer)) => say_json(answer)?,
            _ => say_json(&answers)?,
        }
    }
    Ok(worst)
}

/// How many of them are over or wait, while the others are driven.
fn progress(all: usize, at_once: u8) -> ProgressBar {
    let driven = count(all as u64, "engagement");
    aside(format!("Driving {driven}, up to {at_once} at the same time; each is told when it is over or waits."));
    let bar = ProgressBar::new(all as u64);
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {pos} of {len}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// What engagements are run with.
struct OneRun<'a> {
    global: &'a Global,
    context: &'a Context,
    broker: &'a Broker,
    args: &'a Run,
    asks: bool,
}

impl OneRun<'_> {
    /// Runs one engagement; for a program, with where it stands then.
    async fn one(
        &self,
        id: &EngagementId,
        interrupt: &Arc<Interrupt>,
    ) -> Result<(Code, Option<show::StatusAnswer>), CliError> {
        let Self { global, context, broker, args, asks } = *self;
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
}
