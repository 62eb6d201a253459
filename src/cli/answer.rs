//! `countersign approve`, `reject`, `answer` and `cancel`.

use std::path::Path;

use crate::{
    artifact::{EngagementId, OnFailure},
    engagement::{About, Refusal},
    gate::render,
    ledger::{Claim, Status},
    runtime::{
        AnswerError, Choice, Given, Signer, Yes, answer, cancel as cancel_engagement, nothing_open, open_question,
    },
};

use super::{
    args::{AnswerArgs, Approve, ChoiceArg, Global, Reject},
    choices::{Offered, explained},
    code::{CliError, Code},
    context::Context,
    interrupt::Asking,
    output::{interactive, plain, say, say_json, style},
    question::prompt,
    who::{Here, next_words},
    yes::{left_out, say_left_out, tick},
};

/// `approve`. Nothing is approved that was not shown: either the digest says what was seen, or it is shown now.
pub async fn approve(global: &Global, args: Approve) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let mut journal = context.journal(&args.id).await?;
    let identity = context.identity()?;
    let key = context.key(args.key.as_deref())?;
    let id = journal.id().clone();
    let catalog = context.workspace.catalog_of(&journal)?;
    let open = open_question(&context.workspace, &journal, &catalog, &context.workspace.models()?)
        .await?
        .ok_or_else(|| nothing_open(journal.state()))?;
    if !catalog.people.roles(&identity).iter().any(|role| *role >= open.asked.role) {
        return Err(AnswerError::from(Refusal::NotInRole(open.asked.role)).into());
    }
    let only = (!args.only.is_empty()).then(|| args.only.into_iter().collect());
    let mut yes = Yes { ticked: args.tick.into_iter().collect(), only, reason: args.reason };
    let other_kind = matches!(open.asked.about, About::Failure { .. } | About::Unknown { .. });
    let seen = match args.digest {
        Some(digest) => digest,
        // What is no yes-or-no question, or is out of date, is refused with the reason for that.
        None if other_kind || !open.changed.is_empty() => open.digest.hex(),
        None if interactive() && !global.json => {
            let asking = Asking::begin(format!("Nothing was approved; {id} still waits."));
            say(render(&open.asked.screen, style()));
            if !asked_for_a_yes(&id, &open.asked.about, &mut yes.reason) {
                say(format!("Nothing was approved; {id} still waits."));
                return Ok(Code::Waiting);
            }
            yes.ticked.extend(tick(&open.asked, &yes));
            asking.over();
            open.digest.hex()
        }
        None => {
            let command = next_words(&id, Some(&open.asked.about), Some(&open));
            return Err(CliError::usage(format!(
                "a yes names what was seen: look with `countersign show {id}`, then answer with its digest:\n{command}"
            )));
        }
    };
    let choice = Choice::Approve(yes.clone());
    let signer = key.as_ref().map(|key| key as &dyn Signer);
    let Given { about, by: identity } =
        answer(&context.workspace, &mut journal, identity, choice, (Some(&seen), signer)).await?;
    context.publish().await;
    let environments: Vec<&String> = open.asked.facts.environments.iter().collect();
    let title = journal.title();
    let left = left_out(&open.asked, &yes);
    if global.json {
        say_json(&serde_json::json!({
            "engagement": id, "about": about, "answer": "approved", "by": identity, "title": title,
            "environments": environments, "digest": open.digest, "not_approved": left,
        }))?;
        return Ok(Code::Done);
    }
    say(format!("{id}: {about} approved by {}", plain(&identity.to_string())));
    let places = environments.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
    let places = if places.is_empty() { String::new() } else { format!(", in {places}") };
    say(format!("  {}{places}, digest {}", plain(title), open.digest.short()));
    say_left_out(&left);
    say(format!("Next: countersign run {id}"));
    Ok(Code::Done)
}

/// Whether whoever sits at the terminal approves what was shown; where a reason is needed and none was given it is asked for.
fn asked_for_a_yes(id: &EngagementId, about: &About, reason: &mut Option<String>) -> bool {
    loop {
        match prompt("[a]pprove [?] (default: leave it waiting)").as_deref().map(str::to_lowercase).as_deref() {
            None | Some("") => return false,
            Some("a" | "approve" | "y" | "yes") => break,
            Some("?") => {
                let offered = Offered { about, several: false, drafted: false, named: None };
                let lines = explained(offered);
                // A yes is told first, and leaving it last.
                lines.first().into_iter().chain(lines.last()).for_each(say);
                say(format!(
                    "To say no: countersign reject {id} --reason '…'. More can be done where it is asked: countersign run {id}"
                ));
            }
            Some(_) => say("please type a, or Enter to leave it waiting; ? explains them"),
        }
    }
    if matches!(about, About::Deviation { .. }) && reason.is_none() {
        *reason = prompt("why?").filter(|reason| !reason.is_empty());
        return reason.is_some();
    }
    true
}

/// `reject`
pub async fn reject(global: &Global, args: Reject) -> Result<Code, CliError> {
    give(global, &args.id, Choice::Reject { reason: args.reason }, (None, None), "rejected").await
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
    give(global, &args.id, choice, (args.digest.as_deref(), args.key.as_deref()), "answered").await
}

/// `cancel`
pub async fn cancel(global: &Global, args: Reject) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let mut journal = context.journal(&args.id).await?;
    cancel_engagement(&context.workspace, &mut journal, context.identity()?, args.reason).await?;
    let id = journal.id();
    if global.json {
        say_json(&serde_json::json!({"engagement": id, "cancelled": true}))?;
    } else {
        match Claim::is_taken(&context.workspace.claims(), id) {
            true => say(format!("{id} cancelled; the process that runs it finishes and records what was begun.")),
            false => {
                let begun = !journal.state().nodes.is_empty() || !journal.state().acting.is_empty();
                let stays = match journal.state().nodes.values().filter(|node| node.changed).count() as u64 {
                    0 => String::new(),
                    1 => " What 1 step changed stays.".to_owned(),
                    more => format!(" What {more} steps changed stays."),
                };
                say(match begun {
                    true => format!("{id} cancelled; what was begun is finished and recorded when it goes on.{stays}"),
                    false => format!("{id} cancelled; no step was begun, and it ends when it goes on."),
                });
                say(format!("Next: countersign run {id}"));
            }
        }
    }
    Ok(Code::Done)
}

async fn give(
    global: &Global,
    id: &str,
    choice: Choice,
    (seen, given): (Option<&str>, Option<&Path>),
    word: &str,
) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let mut journal = context.journal(id).await?;
    let identity = context.identity()?;
    // A no stops things, and is taken on a name alone.
    let key = context.key(given)?.filter(|_| !matches!(choice, Choice::Reject { .. }));
    let signer = key.as_ref().map(|key| key as &dyn Signer);
    let Given { about, by: identity } =
        answer(&context.workspace, &mut journal, identity, choice, (seen, signer)).await?;
    context.publish().await;
    let id = journal.id();
    if global.json {
        say_json(&serde_json::json!({"engagement": id, "about": about, "answer": word, "by": identity}))?;
    } else {
        say(format!("{id}: {about} {word} by {identity}"));
        match Status::of(journal.state()) {
            // Nothing goes on from there until somebody writes another draft or ends it.
            Status::Rejected { .. } => {
                let catalog = context.workspace.catalog_of(&journal)?;
                let (people, signers, identity) = (&catalog.people, &catalog.signers, context.identity().ok());
                say(Here { people, signers, identity }.edit(journal.state()));
            }
            _ => say(format!("Next: countersign run {id}")),
        }
    }
    Ok(Code::Done)
}
