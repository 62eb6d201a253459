//! `countersign show`: where an engagement stands, and the open question as its approver sees it.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use crate::{
    artifact::{
        Agent, ArtifactKind, Digest, FilledHole, LedgerId, Phase, ReconciledRecord, RecordOutcome, RequirementStatus,
        TargetOutcome, to_yaml,
    },
    engagement::{About, AgentQuestion, Closed, GateState, Origin, Used},
    facts::Role,
    gate::{ApprovalRequest, render},
    ledger::{Claim, Journal, Status},
    runtime::{open_question, retryable},
};

use super::{
    again::{anew_from, changed_from, why},
    args::{ArtifactArg, Global, Show},
    code::{CliError, Code},
    context::Context,
    held::{self, HeldAnswer},
    list::status_words,
    log::filled_words,
    output::{about, called, count, money, plain, say, say_json, say_sentence, style},
    say as to_agents,
    who::{Here, next_words},
};

/// Runs the command.
pub async fn run(global: &Global, args: Show) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let journal = context.journal(&args.id).await?;
    if let Some(artifact) = args.artifact {
        return show_artifact(global, &journal, kind(artifact));
    }
    if global.json {
        say_json(&status(&context, &journal).await?)?;
        return Ok(Code::Done);
    }
    let state = journal.state();
    say(format!("{}  {}", state.id, plain(journal.title())));
    say(format!("  asked by   {}", plain(&state.requester.to_string())));
    say(format!("  phase      {}", state.phase));
    say(format!("  ledger     {}", journal.store().ledger().await?));
    let status = Status::of(state);
    // Between two questions it waits for a process, which may have been killed.
    let taken = Claim::is_taken(&context.workspace.claims(), journal.id());
    let by = match status {
        Status::Drafting | Status::Running if taken => ", by another process now",
        Status::Cancelled { .. } if taken => "; the process that runs it records that",
        Status::Cancelled { .. } => "; it is closed when it goes on",
        Status::Drafting | Status::Running => ", but no process goes on with it now",
        _ => "",
    };
    say_sentence(format!("  status     {}{by}", status_words(&status)));
    if !state.redacted.is_empty() {
        let documents = count(state.redacted.len() as u64, "document");
        let key = if state.key_destroyed() { ", the engagement's key among them" } else { "" };
        say_sentence(format!(
            "  redacted   {documents} destroyed{key}; `countersign log {}` says which, by whom and why",
            state.id
        ));
    }
    for (gate, name) in [(&state.gate1, "gate 1"), (&state.gate2, "gate 2")] {
        match gate {
            GateState::Closed => {}
            GateState::Open { by, .. } => say(format!("  {name}     approved by {}", plain(&by.to_string()))),
            GateState::Rejected { by, reason } => {
                say(format!("  {name}     rejected by {}: {}", plain(&by.to_string()), plain(reason)));
            }
        }
    }
    for (kind, filed) in &state.artifacts {
        let from = match Origin::of(state, *kind, &filed.author) {
            Origin::Model | Origin::Person => format!("by {}", plain(&filed.author.to_string())),
            Origin::Blueprint => {
                format!("from blueprint {}", plain(state.requested.blueprint.as_deref().unwrap_or("")))
            }
            Origin::File => format!("as {} handed it in", plain(&state.requester.to_string())),
            Origin::Rule => "from what was approved and read".to_owned(),
        };
        say(format!("  {:<17} version {}, {}, {from}", kind.file_name(), filed.version, filed.digest.short()));
    }
    for (agent, used) in state.talk.used() {
        say(format!("  {agent} agent: {}", used_words(used, state.talk.currency())));
    }
    for hole in state.filling.iter().flat_map(|filling| &filling.filled) {
        say(format!("  filled     {}", plain(&filled_words(hole))));
    }
    for deviation in &state.deviations {
        let said = match (&deviation.accepted_by, &deviation.rejected) {
            (Some(by), _) => format!("accepted by {}", plain(&by.to_string())),
            (None, Some(reason)) => format!("rejected: {}", plain(reason)),
            (None, None) => "open".into(),
        };
        say(format!("  deviation  {}: {} ({said})", deviation.found.node, plain(&deviation.found.what)));
    }
    let catalog = context.workspace.catalog_of(&journal)?;
    // Looking needs no role; who is nobody here is offered nothing that needs one.
    let here = Here { people: &catalog.people, signers: &catalog.signers, identity: context.identity().ok() };
    let open = open_question(&context.workspace, &journal, &catalog, &context.workspace.models()?).await?;
    if let Some(open) = &open {
        say("");
        say(render(&open.asked.screen, style()));
        if !open.changed.is_empty() {
            say("This question is out of date, and is asked anew when the engagement goes on:");
            for line in &open.changed {
                say(format!("  - {line}"));
            }
            say(format!("Next: countersign run {}", state.id));
            return Ok(Code::Done);
        }
    }
    let rejected = |gate: &GateState| matches!(gate, GateState::Rejected { .. });
    match &state.closed {
        Some(closed) => ending(&journal, closed, Some(&here)),
        None if state.cancelled.is_none()
            && !state.requested.model
            && (rejected(&state.gate1) || rejected(&state.gate2)) =>
        {
            say(here.edit(state));
        }
        None if state.cancelled.is_none() && state.talk.open().is_some() => {
            let open = state.talk.open().map(|asked| asked.questions.as_slice()).unwrap_or_default();
            to_agents::questions(&state.id, open);
        }
        None => match held::told(&state.id, state) {
            Some(told) => told.iter().for_each(say),
            None => match &open {
                Some(open) => here.next(&state.id, open).iter().for_each(say_sentence),
                None if taken => {}
                None => say(format!("Next: {}", next_words(&state.id, None, None))),
            },
        },
    }
    Ok(Code::Done)
}

/// What turns used, in words.
fn used_words(used: &Used, currency: Option<&str>) -> String {
    let about = about(used.estimated);
    let cost = if used.cost_micros == 0 { String::new() } else { format!(", {}", money(used.cost_micros, currency)) };
    let seconds = used.latency_ms / 1_000;
    format!("{}, {about}{} tokens{cost}, {seconds} s of waiting for models", count(used.turns, "turn"), used.tokens)
}

/// What a program is told about an engagement.
#[derive(Debug, Serialize)]
pub struct StatusAnswer {
    engagement: String,
    title: String,
    blueprint: Option<String>,
    requester: String,
    phase: Phase,
    status: Status,
    artifacts: Vec<ArtifactAnswer>,
    /// What an agent asks the requester.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asked: Vec<AgentQuestion>,
    /// What the turns of models used, by agent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<Agent, Used>,
    /// The read on which it stands still.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<HeldAnswer>,
    question: Option<ApprovalRequest>,
    question_digest: Option<Digest>,
    question_out_of_date: Vec<String>,
    ledger: LedgerId,
    record: Option<ReconciledRecord>,
    events: u64,
    head: Digest,
}

#[derive(Debug, Serialize)]
struct ArtifactAnswer {
    artifact: &'static str,
    version: u32,
    digest: Digest,
}

/// The answer for a program.
pub async fn status(context: &Context, journal: &Journal) -> Result<StatusAnswer, CliError> {
    let state = journal.state();
    let open = open_question(
        &context.workspace,
        journal,
        &context.workspace.catalog_of(journal)?,
        &context.workspace.models()?,
    )
    .await?;
    Ok(StatusAnswer {
        engagement: state.id.to_string(),
        title: journal.title().to_owned(),
        blueprint: state.requested.blueprint.clone(),
        requester: state.requester.to_string(),
        phase: state.phase,
        status: Status::of(state),
        artifacts: state
            .artifacts
            .iter()
            .map(|(kind, filed)| ArtifactAnswer {
                artifact: kind.file_name(),
                version: filed.version,
                digest: filed.digest,
            })
            .collect(),
        asked: state.talk.open().map(|asked| asked.questions.clone()).unwrap_or_default(),
        models: state.talk.used().clone(),
        held: held::answer(state),
        question_digest: open.as_ref().map(|open| open.digest),
        question_out_of_date: open.as_ref().map(|open| open.changed.clone()).unwrap_or_default(),
        question: open.map(|open| open.asked),
        ledger: journal.store().ledger().await?,
        record: journal.documents().record().map(|record| record.as_ref().clone()),
        events: state.seq,
        head: state.head,
    })
}

fn kind(artifact: ArtifactArg) -> ArtifactKind {
    match artifact {
        ArtifactArg::Spec => ArtifactKind::Spec,
        ArtifactArg::Discovery => ArtifactKind::Discovery,
        ArtifactArg::Design => ArtifactKind::Design,
        ArtifactArg::Flow => ArtifactKind::Flow,
        ArtifactArg::Record => ArtifactKind::Record,
    }
}

fn show_artifact(global: &Global, journal: &Journal, kind: ArtifactKind) -> Result<Code, CliError> {
    let document = journal.state().artifact(kind).and_then(|digest| journal.blob(&digest)).cloned();
    let document = document.ok_or_else(|| {
        let id = journal.id();
        CliError::usage(match journal.state().versions.get(&kind) {
            Some(versions) => format!(
                "{id} has no {kind} that counts now: version {versions} is made anew; `countersign log {id} --kind artifact.filed` \
                 has the ones before"
            ),
            None => format!("{id} has no {kind} yet"),
        })
    })?;
    if global.json {
        say_json(document.as_ref())?;
    } else {
        say(yaml(&document)?.trim_end());
    }
    Ok(Code::Done)
}

fn yaml(document: &Arc<Value>) -> Result<String, CliError> {
    to_yaml(document.as_ref()).map_err(|error| CliError::failed(error.to_string()))
}

/// What changed in the draft at a gate since the version before that was shown there last.
pub fn artifact_diff(journal: &Journal, about: &About) -> Result<String, CliError> {
    let kind = if *about == About::Gate1 { ArtifactKind::Spec } else { ArtifactKind::Design };
    let state = journal.state();
    let name = if kind == ArtifactKind::Spec { "spec" } else { "design" };
    let whole = format!("the whole of it is in `countersign show {} --artifact {name}`", state.id);
    let Some(now) = state.artifacts.get(&kind) else { return Ok(format!("there is no {kind} yet")) };
    let Some((since, last)) = state.shown_before(kind) else {
        return Ok(format!("No earlier version was shown, so there is nothing to compare this one with; {whole}."));
    };
    let (Some(before), Some(document)) = (journal.blob(&last), journal.blob(&now.digest)) else {
        return Ok(format!("Version {since} is not at hand; {whole}."));
    };
    let (before, document) = (yaml(before)?, yaml(document)?);
    let diff = TextDiff::from_lines(&before, &document);
    let mut unified = diff.unified_diff();
    let names = [since, now.version].map(|version| format!("version {version}"));
    let [before, now] = &names;
    Ok(unified.context_radius(2).header(before, now).to_string())
}

/// The word of an outcome.
pub fn outcome_words(outcome: RecordOutcome) -> &'static str {
    match outcome {
        RecordOutcome::Done => "done",
        RecordOutcome::NothingToDo => "nothing to do",
        RecordOutcome::PartlyDone => "partly done",
        RecordOutcome::Failed => "failed",
        RecordOutcome::NotFeasible => "not feasible",
        RecordOutcome::Refused => "refused",
        RecordOutcome::GivenUp => "given up",
        RecordOutcome::Cancelled => "cancelled",
    }
}

/// How an engagement ended, with its record in a few lines, and what the person at hand can do next, if it is known who
/// that is.
pub fn ending(journal: &Journal, closed: &Closed, here: Option<&Here<'_>>) {
    say("");
    say_sentence(format!("{} is {}: {}", journal.id(), outcome_words(closed.outcome), plain(&closed.reason)));
    if let Some(record) = journal.documents().record() {
        for line in record_lines(record) {
            say_sentence(line);
        }
    }
    let id = journal.id();
    // What was redacted cannot be worked with again.
    let whole = journal.state().redacted.is_empty();
    let again = whole && matches!(closed.outcome, RecordOutcome::PartlyDone | RecordOutcome::Failed);
    let (short, again) = (again, again && !retryable(journal, journal.now()).is_empty());
    let elsewhere = here.filter(|here| again && !here.has(&[Role::Approver]));
    if let Some(here) = elsewhere {
        let who = here.with(Role::Approver);
        say(format!(
            "The role `approver` can have what failed tried again (`countersign run {id} --retry failed`): {who}."
        ));
    }
    if again && elsewhere.is_none() {
        say(format!("Next: countersign run {id} --retry failed, or countersign export {id} DIR"));
    } else if short && elsewhere.is_none() {
        say(format!("No step can be tried again: {}.", why(journal).0));
        say(format!("Next: {}, or countersign export {id} DIR", anew_from(journal.state())));
    } else {
        say(format!("Next: countersign export {id} DIR"));
        if whole && journal.documents().flow().is_some() {
            let anew = changed_from(journal.state()).replacen("countersign", called(), 1);
            say(format!("What is to be changed or taken back later starts from it: {anew}"));
        }
    }
}

/// A reconciled record in a few lines.
pub fn record_lines(record: &ReconciledRecord) -> Vec<String> {
    let mut lines = Vec::new();
    for requirement in &record.requirements {
        let status = match requirement.status {
            RequirementStatus::Met => "met",
            RequirementStatus::AlreadyMet => "met before",
            RequirementStatus::NotMet => "NOT MET",
            RequirementStatus::NotShown => "NOT SHOWN",
        };
        let checks = |readings: &[crate::artifact::AcceptanceReading]| {
            let one = |reading: &crate::artifact::AcceptanceReading| {
                let held = match reading.holds {
                    Some(true) => "held",
                    Some(false) => "did not hold",
                    None => "not read",
                };
                format!("{} {held}", plain(&reading.check))
            };
            readings.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        lines.push(format!("  {:<10} {} {}", status, plain(&requirement.id), plain(&requirement.text)));
        lines.push(format!(
            "             before: {}; after: {}",
            checks(&requirement.before),
            checks(&requirement.after)
        ));
    }
    for left_out in &record.out_of_scope {
        lines.push(format!("  {:<10} {}", "left out", plain(left_out)));
    }
    for target in &record.targets {
        lines.push(format!("  {:<10} {}", target_word(target.outcome), plain(&target.target)));
    }
    let bad =
        record.steps.iter().filter(|step| !matches!(step.outcome, TargetOutcome::Done | TargetOutcome::Unchanged));
    for step in bad {
        let reason = step.reason.as_deref().filter(|reason| !reason.is_empty());
        let reason = reason.map(|reason| format!(": {}", plain(reason))).unwrap_or_default();
        lines.push(format!("  {:<10} step {}{reason}", target_word(step.outcome), step.node));
    }
    for hole in &record.filled {
        let FilledHole { step, argument, value, because } = hole;
        lines.push(format!("  filled     {argument} of {step} is {}: {}", plain(&value.to_string()), plain(because)));
    }
    if record.deviations.is_empty() {
        lines.push("  deviations none".into());
    }
    for deviation in &record.deviations {
        let by = deviation.accepted_by.clone().unwrap_or_else(|| "nobody".into());
        lines.push(format!("  deviation  {} (accepted by {})", plain(&deviation.what), plain(&by)));
    }
    for residual in &record.residual {
        lines.push(format!("  note       {}", plain(residual)));
    }
    let totals = &record.totals;
    if totals.model_turns > 0 {
        let cost = totals.model_cost_micros;
        let unit = totals.model_currency.as_deref();
        let cost = if cost == 0 { String::new() } else { format!(", {}", money(cost, unit)) };
        let about = about(totals.model_tokens_estimated > 0);
        let turns = count(totals.model_turns, "turn");
        let seconds = totals.model_seconds;
        lines.push(format!(
            "  {turns} of models, {about}{} tokens{cost}, {seconds} s of waiting for them",
            totals.model_tokens
        ));
    }
    lines.push(format!(
        "  {}, {} refused, {}; {} s of work, {} s of waiting",
        count(totals.calls, "call"),
        totals.refused,
        count(totals.approvals, "approval"),
        totals.working_seconds,
        totals.waiting_seconds
    ));
    lines
}

fn target_word(outcome: TargetOutcome) -> &'static str {
    match outcome {
        TargetOutcome::Done => "done",
        TargetOutcome::Unchanged => "unchanged",
        TargetOutcome::Undone => "undone",
        TargetOutcome::NotRun => "not run",
        TargetOutcome::Failed => "failed",
        TargetOutcome::Unreachable => "no answer",
        TargetOutcome::Unknown => "unknown",
    }
}
