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
    // What stops all of them is said once.
    context.workspace.load_catalog()?;
    let of = match &args.id {
        Some(id) => format!(" {id}"),
        None if many => format!(" --at-once {}", args.at_once),
        None => String::new(),
    };
    let interrupt = Interrupt::listen(format!("countersign run{of}"));
    let names: Vec<EngagementId> = ids.iter().map(|(id, _)| id.clone()).collect();
    let run = Arc::new(Turns { global: global.clone(), context, broker, args, asks, of: ids.len() });
    let turns = ids.into_iter().enumerate().map(|(nth, (id, title))| {
        let turn = Arc::clone(&run).turn(nth, id, title, interrupt.beside());
        async move { if many { beside(turn).await } else { turn.await } }
    });
    let Turns { context, broker, args, .. } = run.as_ref();
    let bar = if many && !global.json { Some(progress(run.of, args.at_once)) } else { None };
    let mut turns = pin!(stream::iter(turns).buffer_unordered(args.at_once.into()));
    let (mut worst, mut answers, mut more) = (Code::Done, Vec::new(), false);
    while let Some((nth, ran, said)) = turns.next().await {
        let (Some(ran), Some(id)) = (ran, names.get(nth)) else { continue };
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
                    let error = of_one(error, id);
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

/// What went wrong with one of several says with which.
fn of_one(error: CliError, id: &EngagementId) -> CliError {
    let first = error.message.lines().next().unwrap_or_default();
    let named = first.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == id.as_str());
    if named { error } else { CliError { message: format!("{id}: {}", error.message), ..error } }
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
struct Turns {
    global: Global,
    context: Context,
    broker: Broker,
    args: Run,
    asks: bool,
    /// How many there are.
    of: usize,
}

/// The place of a turn among all, how it ended, and what was kept of what it said; nothing of one that was not begun.
type Ended = (usize, Option<Result<(Code, Option<show::StatusAnswer>), CliError>>, Apart);

/// Has a turn taken by a task of its own, so that one which computes for long does not hold up the others.
async fn beside(turn: impl Future<Output = Ended> + Send + 'static) -> Ended {
    tokio::spawn(turn).await.unwrap_or_else(|ended| match ended.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // Nobody ends these tasks before they are done.
        Err(_) => (0, None, Apart::default()),
    })
}

impl Turns {
    /// Takes the turn of one engagement, unless no more is wanted.
    async fn turn(self: Arc<Self>, nth: usize, id: EngagementId, title: String, interrupt: Arc<Interrupt>) -> Ended {
        if interrupt.wanted() {
            return (nth, None, Apart::default());
        }
        let many = self.args.at_once > 1;
        let turn = async {
            if self.args.id.is_none() && !self.global.json {
                let gap = if nth == 0 || many { "" } else { "\n" };
                say(format!("{gap}{id}  {} ({} of {} open)", plain(&title), nth + 1, self.of));
            }
            self.one(&id, &interrupt).await
        };
        let (ran, said) = if many { apart(turn).await } else { (turn.await, Apart::default()) };
        (nth, Some(ran), said)
    }

    /// Runs one engagement; for a program, with where it stands then.
    async fn one(
        &self,
        id: &EngagementId,
        interrupt: &Arc<Interrupt>,
    ) -> Result<(Code, Option<show::StatusAnswer>), CliError> {
        let Self { global, context, broker, args, asks, .. } = self;
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
        let identity = if *asks { Some(context.identity()?) } else { None };
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_turn_that_keeps_its_thread_to_itself_holds_up_no_other() {
        let ((to_one, from_two), (to_two, from_one)) = (mpsc::channel(), mpsc::channel());
        let turn = |nth, tell: mpsc::Sender<()>, hear: mpsc::Receiver<()>| {
            beside(async move {
                // Neither gives its thread away before the other was there too.
                let met = tell.send(()).is_ok() && hear.recv_timeout(Duration::from_secs(60)).is_ok();
                (nth, met.then_some(Ok((Code::Done, None))), Apart::default())
            })
        };
        let turns = [turn(0, to_two, from_two), turn(1, to_one, from_one)];
        let met: Vec<bool> = stream::iter(turns).buffer_unordered(2).map(|(_, met, _)| met.is_some()).collect().await;
        assert_eq!(met, [true, true]);
    }
}
