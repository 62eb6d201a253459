//! The seat that an engagement is driven from: it goes on until somebody is asked, asks whoever sits there, and goes on.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;

use crate::{
    artifact::{EngagementId, OnFailure, Phase},
    broker::Broker,
    engagement::About,
    facts::Identity,
    gate::{ApprovalRequest, render},
    ledger::Journal,
    model::Models,
    policy::Catalog,
    runtime::{
        AnswerError, Choice, Driver, DriverError, Open, Progress, Signer, Stopped, Workspace, Yes, answer,
        open_question, say as say_to_agents,
    },
};

use super::{
    choices::{Offered, explained},
    code::{CliError, Code},
    context::solver_search,
    converse::Converse,
    edit, held,
    interrupt::Interrupt,
    output::{aside, plain, plain_lines, say, say_sentence, style},
    question::{agreed, prompt},
    say as to_agents, show,
    signing::Key,
    teller::Teller,
    who::Here,
    yes::{left_out, may_answer, named_yes, say_left_out, some, tick},
};

/// What stopped a draft, with what can be done about it.
fn stopped_by(error: DriverError, id: &EngagementId) -> CliError {
    let draft = matches!(&error, DriverError::Invalid(..) | DriverError::Draft(_) | DriverError::Next(_));
    let mut error = CliError::from(error);
    if draft {
        error.message.push_str(&format!(
            "\ncorrect it with `countersign edit {id}`, or end it with `countersign cancel {id} --reason …`"
        ));
    }
    error
}

/// Where driving is watched from.
pub struct Seat<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// Its broker.
    pub broker: &'a Broker,
    /// The models that draft, where any are configured.
    pub models: Models,
    /// The person who sits here, whether or not they are asked; nobody where the OS user is none that people.yaml names.
    pub me: Option<Identity>,
    /// The key of the person who sits here, for what they answer; what drives the engagement never has it.
    pub key: Option<&'a Key>,
    /// What Ctrl-C does here, if it is listened for.
    pub interrupt: Option<Arc<Interrupt>>,
    /// Whether to say nothing on the way.
    pub quiet: bool,
    /// In a conversation: what it is beside driving. A yes is then said with the digest that is shown.
    pub chat: Option<&'a Converse>,
}

/// Answers a question instead of the person at the terminal; used by `demo --yes`.
pub type Answerer<'a> = &'a (dyn Fn(&ApprovalRequest) -> Choice + Sync);

impl Seat<'_> {
    /// Drives until the engagement must wait or is over. With an identity, questions are asked on the terminal; with
    /// an answerer as well, it is asked instead.
    pub async fn drive(
        &self,
        journal: &mut Journal,
        identity: Option<&Identity>,
        answerer: Option<Answerer<'_>>,
    ) -> Result<Code, CliError> {
        self.drive_to(journal, identity, answerer, None).await
    }

    /// The same, but no further than the beginning of a phase.
    pub async fn drive_to(
        &self,
        journal: &mut Journal,
        identity: Option<&Identity>,
        answerer: Option<Answerer<'_>>,
        phase: Option<Phase>,
    ) -> Result<Code, CliError> {
        let driver = Driver::new(self.workspace, self.broker).proving(solver_search());
        let interrupt = self.interrupt.as_ref();
        let broken_off = || -> BoxFuture<'static, ()> {
            let interrupt = interrupt.cloned();
            Box::pin(async move {
                match interrupt {
                    Some(interrupt) => interrupt.broken_off().await,
                    None => std::future::pending().await,
                }
            })
        };
        let driver = driver.drafting_with(self.models.clone()).until(&broken_off);
        loop {
            let mut teller = Teller::new(self.quiet, self.chat.is_some_and(Converse::interactive));
            let working = |working| interrupt.iter().for_each(|interrupt| interrupt.working(working));
            working(true);
            let stopped = loop {
                let ended = interrupt.is_some_and(|interrupt| interrupt.wanted());
                if ended || phase.is_some_and(|phase| journal.state().phase == phase) {
                    driver.rest(journal, &mut |progress| teller.tell(progress)).await?;
                    teller.rest();
                    return Ok(if ended { self.turn_ended() } else { Code::Waiting });
                }
                let mut watch = |progress: Progress| {
                    interrupt.iter().for_each(|interrupt| interrupt.watch(&progress));
                    teller.tell(progress);
                };
                match driver.step(journal, &mut watch).await {
                    Ok(None) => {}
                    Ok(Some(stopped)) => break stopped,
                    Err(error) => {
                        teller.rest();
                        return Err(stopped_by(error, journal.id()));
                    }
                }
            };
            working(false);
            teller.rest();
            match stopped {
                Stopped::Closed(closed) => {
                    if !self.quiet {
                        show::ending(journal, &closed, None);
                    }
                    return Ok(Code::of(closed.outcome));
                }
                Stopped::WindowOpens(opens) => {
                    if !self.quiet {
                        say(format!("The window opens at {opens}. Run this again then."));
                    }
                    return Ok(Code::Waiting);
                }
                Stopped::Unreachable(reason) => {
                    if !self.quiet {
                        say(format!("It cannot go on, and nothing more was sent: {}", plain(&reason)));
                        held::lines(journal.id(), journal.state()).iter().for_each(say);
                    }
                    return Ok(Code::Failed);
                }
                Stopped::Questions(open) => {
                    if let Some(chat) = self.chat {
                        if chat.answer(self.workspace, journal, &open).await? {
                            continue;
                        }
                        return Ok(Code::Waiting);
                    }
                    if let (Some(identity), None) = (identity, answerer)
                        && let Some(answers) = to_agents::ask(&open)
                    {
                        say_to_agents(self.workspace, journal, identity.clone(), None, answers).await?;
                        continue;
                    }
                    if !self.quiet {
                        to_agents::questions(journal.id(), &open);
                    }
                    return Ok(Code::Waiting);
                }
                Stopped::NoModel(agent) => {
                    let id = journal.id();
                    let or = match agent {
                        crate::artifact::Agent::Build => format!("end it with `countersign cancel {id} --reason …`"),
                        _ => format!("write the draft yourself with `countersign edit {id}`"),
                    };
                    return Err(CliError::usage(format!(
                        "models draft this engagement, and none is configured for the {agent} agent: name one in \
                         policies/models.yaml, or {or}"
                    )));
                }
                Stopped::NoAnswer(why) => {
                    if !self.quiet {
                        say(format!("It cannot go on: {}", plain_lines(&why)));
                        say(format!("Next, when that is put right: countersign run {}", journal.id()));
                    }
                    return Ok(Code::Failed);
                }
                Stopped::Interrupted => return Ok(self.turn_ended()),
                Stopped::NeedsEdit { artifact, by, reason } => {
                    if !self.quiet {
                        let id = journal.id();
                        say(format!("{artifact} was rejected by {}: {}", plain(&by), plain(&reason)));
                        say(format!("Next: countersign edit {id}, or countersign cancel {id} --reason …"));
                    }
                    if let (Some(identity), None) = (identity, answerer)
                        && agreed("[e]dit it now? (default: leave it waiting)", &["e", "edit", "y", "yes"])
                    {
                        edit::interactively(self.workspace, journal, identity.clone()).await?;
                        continue;
                    }
                    return Ok(Code::Waiting);
                }
                Stopped::Waiting(about) => {
                    if !self.ask(journal, &about, identity, answerer).await? {
                        return Ok(Code::Waiting);
                    }
                }
            }
        }
    }

    /// What comes next where a question stays open, for the person who sits here.
    fn hint(&self, id: &EngagementId, open: &Open, catalog: &Catalog) {
        let here = Here { people: &catalog.people, signers: &catalog.signers, identity: self.me.clone() };
        here.next(id, open).iter().for_each(say_sentence);
    }

    /// What is said where a person ended the turn.
    fn turn_ended(&self) -> Code {
        let next = self.interrupt.as_ref().map(|interrupt| interrupt.next()).unwrap_or_default();
        aside(format!("The turn ended, the engagement did not. Next: {next}"));
        Code::Waiting
    }

    /// Shows the question and takes an answer; the answer is whether to go on.
    async fn ask(
        &self,
        journal: &mut Journal,
        about: &About,
        identity: Option<&Identity>,
        answerer: Option<Answerer<'_>>,
    ) -> Result<bool, CliError> {
        let catalog = self.workspace.catalog_of(journal)?;
        let Some(open) = open_question(self.workspace, journal, &catalog, &self.models).await? else { return Ok(true) };
        let id = journal.id().clone();
        if self.quiet && answerer.is_none() {
            return Ok(false);
        }
        say("");
        say(render(&open.asked.screen, style()));
        // In a conversation, whoever may not answer is not asked.
        let asked = identity.filter(|identity| self.chat.is_none() || may_answer(identity, &open, &catalog.people));
        let Some(identity) = asked else {
            self.hint(&id, &open, &catalog);
            return Ok(false);
        };
        let choice = match answerer {
            Some(answerer) => {
                let choice = answerer(&open.asked);
                say(format!("Answered by {}: {}", identity.name, choice_words(&choice)));
                choice
            }
            None => match self.prompt_for(journal, about, &open, identity).await? {
                Asked::Choice(choice) => choice,
                Asked::Edited => return Ok(true),
                Asked::Left => {
                    self.hint(&id, &open, &catalog);
                    return Ok(false);
                }
            },
        };
        let left = match &choice {
            Choice::Approve(yes) => left_out(&open.asked, yes),
            _ => Vec::new(),
        };
        let rejects = matches!(choice, Choice::Reject { .. });
        let signer = self.key.filter(|_| !rejects).map(|key| key as &dyn Signer);
        if signer.is_none() && !rejects && !open.asked.signature_because.is_empty() {
            let own = open.asked.barred.contains(&identity.name) && matches!(choice, Choice::Approve(_));
            say(if own {
                "Nothing was answered: you asked for this, wrote it or told the agents about it."
            } else {
                "Nothing was answered: this needs your signature."
            });
            self.hint(&id, &open, &catalog);
            return Ok(false);
        }
        let digest = open.digest.hex();
        match answer(self.workspace, journal, identity.clone(), choice, (Some(&digest), signer)).await {
            Ok(_) => say_left_out(&left),
            // The question stands, and is asked again.
            Err(AnswerError::RunsUnasked { steps, .. }) if answerer.is_none() => say_sentence(format!(
                "Nothing was approved: {} would run all the same, because at this trust stage a call of an approved design runs \
                 by itself. Approve all of it, or reject it.",
                steps.iter().map(|step| plain(step)).collect::<Vec<_>>().join(", ")
            )),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    async fn prompt_for(
        &self,
        journal: &mut Journal,
        about: &About,
        open: &Open,
        identity: &Identity,
    ) -> Result<Asked, CliError> {
        let asked = &open.asked;
        // What is said in a conversation approves nothing but what it names.
        let named: Option<String> = self.chat.map(|_| open.digest.hex().chars().take(8).collect());
        let gate = matches!(about, About::Gate1 | About::Gate2);
        let several = *about == About::Gate2 && asked.calls.len() > 1;
        // What a model drafts is changed in words, and asked about again.
        let drafted = self.chat.is_some() && *about == About::Gate1 && journal.state().requested.model;
        loop {
            let by_name = named.as_ref().map(|digest| {
                let some = if several { format!(", `some {digest}` to choose among its calls") } else { String::new() };
                let words = if drafted { "`say …` to have it drafted otherwise, " } else { "" };
                let rest = if gate { "[r]eject [e]dit [d]iff [?]" } else { "[r]eject [?]" };
                format!("`approve {digest}` to approve what is shown{some}, {words}{rest} (default: leave it waiting)")
            });
            let question = match about {
                About::Failure { .. } => {
                    "stop, continue, undo-target or undo-all, in full, or [?] (default: leave it waiting)"
                }
                About::Unknown { .. } => "applied or not-applied, in full, or [?] (default: leave it waiting)",
                _ if by_name.is_some() => by_name.as_deref().unwrap_or_default(),
                _ if several => "[a]pprove [s]ome [r]eject [e]dit [d]iff [?] (default: leave it waiting)",
                _ if gate => "[a]pprove [r]eject [e]dit [d]iff [?] (default: leave it waiting)",
                _ => "[a]pprove [r]eject [?] (default: leave it waiting)",
            };
            let Some(line) = prompt(question) else { return Ok(Asked::Left) };
            if let Some(words) = line.strip_prefix("say ").filter(|_| drafted) {
                let words = Some(words.trim().to_owned());
                say_to_agents(self.workspace, journal, identity.clone(), words, BTreeMap::new()).await?;
                return Ok(Asked::Edited);
            }
            let line = line.to_lowercase();
            if line == "?" {
                explained(Offered { about, several, drafted, named: named.as_deref() }).iter().for_each(say);
                continue;
            }
            let said = match &named {
                Some(digest) if !matches!(about, About::Failure { .. } | About::Unknown { .. }) => {
                    let Some(said) = named_yes(&line, digest) else {
                        say(format!("a yes names what is shown: type `approve {digest}`"));
                        continue;
                    };
                    said
                }
                _ => line.as_str(),
            };
            let choice = match (about, said) {
                (_, "") => return Ok(Asked::Left),
                // What a letter means at a gate it must not mean here.
                (About::Failure { .. }, "stop") => Choice::Failure(OnFailure::Stop),
                (About::Failure { .. }, "continue") => Choice::Failure(OnFailure::Continue),
                (About::Failure { .. }, "undo-target") => Choice::Failure(OnFailure::UndoTarget),
                (About::Failure { .. }, "undo-all") => Choice::Failure(OnFailure::UndoAll),
                (About::Unknown { .. }, "applied") => Choice::Applied(true),
                (About::Unknown { .. }, "not-applied") => Choice::Applied(false),
                (About::Failure { .. }, _) => {
                    say("please type stop, continue, undo-target or undo-all; ? explains them");
                    continue;
                }
                (About::Unknown { .. }, _) => {
                    say("please type applied or not-applied; ? explains them");
                    continue;
                }
                (About::Deviation { .. }, "a" | "approve") => {
                    match prompt("why?").filter(|reason| !reason.is_empty()) {
                        reason @ Some(_) => Choice::Approve(Yes { reason, ..Yes::default() }),
                        None => continue,
                    }
                }
                (_, "a" | "approve") => Choice::Approve(Yes { ticked: tick(asked, &Yes::default()), ..Yes::default() }),
                (About::Gate2, "s" | "some") if several => Choice::Approve(some(asked)),
                (_, "r" | "reject") => match prompt("why?").filter(|reason| !reason.is_empty()) {
                    Some(reason) => Choice::Reject { reason },
                    None => continue,
                },
                (_, "e" | "edit") if gate => {
                    if edit::interactively(self.workspace, journal, identity.clone()).await? {
                        return Ok(Asked::Edited);
                    }
                    continue;
                }
                (_, "d" | "diff") if gate => {
                    say(show::artifact_diff(journal, about)?);
                    continue;
                }
                _ => {
                    let yes = match (named.is_some(), several) {
                        (true, _) => "approve with the digest",
                        (false, true) => "a, s",
                        (false, false) => "a",
                    };
                    say(if gate {
                        format!("please answer {yes}, r, e or d; ? explains them")
                    } else {
                        format!("please answer {yes} or r; ? explains them")
                    });
                    continue;
                }
            };
            return Ok(Asked::Choice(choice));
        }
    }
}

enum Asked {
    Choice(Choice),
    Edited,
    Left,
}

fn choice_words(choice: &Choice) -> String {
    match choice {
        Choice::Approve(_) => "yes".into(),
        Choice::Reject { reason } => format!("no, {reason}"),
        Choice::Failure(on) => on.words().into(),
        Choice::Applied(applied) => if *applied { "it took effect" } else { "it did not take effect" }.into(),
    }
}
