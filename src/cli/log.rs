//! `countersign log`: what happened, event by event.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    artifact::{Digest, EngagementId},
    engagement::{
        Answer, Arguments, Blobs, Body, CallOutcome, Considered, Event, Finish, HoleFilled, RefusedAs, Turned, opened,
    },
    ledger::{chain, is_logged, torn},
};

use super::{
    args::{Global, Log},
    code::{CliError, Code},
    context::Context,
    output::{about, count, money, plain, say, say_json, say_sentence},
    proofs,
    show::outcome_words,
    teller::outcome_word,
};

/// Runs the command.
pub async fn run(global: &Global, args: Log) -> Result<Code, CliError> {
    let named = match (args.command, args.id) {
        (Some(command), _) => return proofs::run(global, command).await,
        (None, named) => named.unwrap_or_default(),
    };
    let context = Context::open(global).await?;
    // The ledger keeps its trust stages in a chain of their own.
    let trust = named == EngagementId::TRUST;
    let id = if trust { EngagementId::trust() } else { context.workspace.find(&named).await? };
    let (mut events, mut sealed) = (Vec::new(), Vec::new());
    let (mut prev, mut last, mut logged, mut broken) = (Digest::ZERO, 0, None, None);
    for (bytes, seq) in context.workspace.store().events(&id, 0).await?.into_iter().zip(1..) {
        let event: Event = serde_json::from_slice(&bytes).map_err(|error| {
            CliError::failed(format!("an event cannot be read: {error}; run `countersign verify {id}`"))
        })?;
        if broken.is_none() {
            broken = chain::check(&bytes, seq, prev).err().map(|error| error.to_string());
        }
        last = seq;
        if is_logged(&event.body) {
            logged = Some((seq, event.body.kind()));
        }
        prev = event.hash;
        sealed.extend(arguments(&event).and_then(Arguments::sealed));
        if args.kind.as_ref().is_none_or(|kind| event.body.kind().starts_with(kind.as_str())) {
            events.push(event);
        }
    }
    let mut blobs = Blobs::new();
    for (digest, bytes) in context.workspace.store().blobs(&sealed).await? {
        let document = serde_json::from_slice(&bytes).ok();
        blobs.extend(document.and_then(|document| opened(&document)).map(|value| (digest, value)));
    }
    if broken.is_none() {
        broken = torn(context.workspace.store().as_ref(), &id, last, logged).await?;
    }
    let held = match broken {
        None => Ok(Code::Done),
        Some(error) => Err(CliError {
            code: Code::Unverified,
            message: format!("this is not what was written: {error}; see `countersign verify {id}`"),
        }),
    };
    if global.json {
        say_json(&events.iter().map(|event| Told::of(event, &blobs)).collect::<Vec<_>>())?;
        return held;
    }
    if events.is_empty() {
        say(match &args.kind {
            Some(kind) => format!("No event's kind begins with `{}`; `countersign log {id}` shows all.", plain(kind)),
            None => "No scope's stage was ever changed; `countersign trust show` says what holds.".to_owned(),
        });
    }
    for event in &events {
        say_sentence(line(event, &blobs));
    }
    held
}

/// An event for a program: as it was hashed, and beside it what was sealed of the arguments.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Option<&'a Map<String, Value>>>,
}

impl<'a> Told<'a> {
    fn of(event: &'a Event, blobs: &'a Blobs) -> Self {
        Self { event, arguments: arguments(event).map(|args| args.read(blobs)) }
    }
}

/// The arguments of the call that an event is about.
fn arguments(event: &Event) -> Option<&Arguments> {
    match &event.body {
        Body::Allowed(allowed) => Some(&allowed.args),
        Body::Refused(refused) => Some(&refused.args),
        _ => None,
    }
}

/// One event in one line, with the values of what is sealed.
pub fn line(event: &Event, blobs: &Blobs) -> String {
    let at = event.at.strftime("%Y-%m-%d %H:%M:%SZ");
    let actor = plain(&event.actor.to_string());
    format!("{:>4}  {at}  {:<20} {}  [{actor}]", event.seq, event.body.kind(), plain(&words(event, blobs)))
}

fn words(event: &Event, blobs: &Blobs) -> String {
    let args = || match arguments(event).and_then(|args| args.read(blobs)) {
        Some(args) => serde_json::to_string(args).unwrap_or_default(),
        None => "(redacted)".to_owned(),
    };
    match &event.body {
        Body::Requested(requested) => requested.title.clone(),
        Body::Entered { phase, reason } => match reason {
            Some(reason) => format!("{phase}: {reason}"),
            None => phase.to_string(),
        },
        Body::Filed(filed) => format!("{} version {}, {}", filed.artifact, filed.version, filed.digest.short()),
        Body::Turned(turned) => turn_words(turned),
        Body::Inquired(asked) => asked
            .questions
            .iter()
            .map(|question| format!("{}: {}", question.id, question.text))
            .collect::<Vec<_>>()
            .join("; "),
        Body::Said(said) => {
            let answers = said.answers.iter().map(|(id, answer)| format!("{id}: {answer}"));
            said.text.iter().cloned().chain(answers).collect::<Vec<_>>().join("; ")
        }
        Body::Returned(returned) => {
            format!("{} of turn {} given back: {}", returned.artifact, returned.turn, returned.problems.join("; "))
        }
        Body::HolesFilled(filled) => {
            let holes = filled.filled.iter().map(filled_words);
            let wants = filled.wants.iter().map(|want| format!("wants {} otherwise: {}", want.step, want.because));
            holes.chain(wants).collect::<Vec<_>>().join("; ")
        }
        Body::Considered(considered) => considered_words(considered),
        Body::Proved(proved) => {
            format!("{} by {}, {}", proved.verdict.as_str(), proved.solver, proved.report.short())
        }
        Body::Asked(asked) => format!("{}, {} may answer, {}", asked.about, asked.role, asked.request.short()),
        Body::Answered(answered) => {
            let answer = match &answered.answer {
                Answer::Approve => "approved".to_owned(),
                Answer::Reject => "rejected".to_owned(),
                Answer::Choose(choice) => choice.words().to_owned(),
                Answer::Applied(true) => "it took effect".to_owned(),
                Answer::Applied(false) => "it did not take effect".to_owned(),
            };
            let reason = answered.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            let signed = answered.signature.as_ref().map(|signature| format!(", signed with {}", signature.key));
            let signed = signed.unwrap_or_default();
            format!("{} {answer}{reason}, {}{signed}", answered.about, answered.request.short())
        }
        Body::Allowed(allowed) => {
            format!("{} {} {}: {} [{}]", allowed.call, allowed.tool, args(), allowed.purpose.words(), allowed.grant)
        }
        Body::Refused(refused) => {
            let how = match refused.refused {
                RefusedAs::Invalid => "invalid".to_owned(),
                RefusedAs::Denied => "denied".to_owned(),
                RefusedAs::NeedsApproval(role) => format!("needs the approval of a person with the role {role}"),
            };
            let rule =
                refused.rules.last().map(|rule| format!(": {} [{}]", rule.reason, rule.rule)).unwrap_or_default();
            format!("{} {} {} {how}{rule}", refused.call, refused.tool, args())
        }
        Body::Finished(finished) => {
            let outcome = match finished.outcome {
                CallOutcome::Ok => "answered",
                CallOutcome::Error => "answered with an error",
                CallOutcome::NotSent => "not sent",
                CallOutcome::Unknown => "outcome unknown",
            };
            let message = finished.message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
            format!("{} {outcome}{message}", finished.call)
        }
        Body::Void(void) => {
            format!("{} did not take effect, as {} shows; attempt {} begins", void.call, void.shown_by, void.attempt)
        }
        Body::Settled(settled) => {
            let reason = settled.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{} {}{reason}", settled.node, outcome_word(settled.outcome))
        }
        Body::Deviated(found) => {
            let because = found.because.as_ref().map_or_else(String::new, |because| format!(": {because}"));
            format!("{}: {}{because}", found.node, found.what)
        }
        Body::Retried(retried) => {
            let nodes = retried.nodes.keys().cloned().collect::<Vec<_>>().join(", ");
            match retried.calls.len() as u64 {
                0 => nodes,
                calls => format!("{nodes}; {} renewed by that", count(calls, "approval")),
            }
        }
        Body::Cancelled { reason } => reason.clone(),
        Body::Redacted(redacted) => {
            let calls: Vec<String> = redacted.calls.iter().map(ToString::to_string).collect();
            let documents = count(redacted.destroyed.len() as u64, "document");
            format!("{}: {documents} destroyed, {}", calls.join(", "), redacted.reason)
        }
        Body::TrustSet(set) => {
            format!("{}@{}: stage {} to {}, {}", set.name, set.scope.environment, set.from, set.stage, set.reason)
        }
        Body::Closed(closed) => format!("{}: {}", outcome_words(closed.outcome), closed.reason),
    }
}

/// What was said of a step that failed, and what is wanted after it.
pub(super) fn considered_words(considered: &Considered) -> String {
    let Considered { node, wants, because, .. } = considered;
    let wants = wants.iter().map(|want| {
        let args = serde_json::to_string(&want.args).unwrap_or_default();
        format!("{} ({} {args}): {}", want.step, want.tool, want.because)
    });
    let wants: Vec<String> = wants.collect();
    let wanted =
        if wants.is_empty() { "nothing is wanted".to_owned() } else { format!("wanted is {}", wants.join("; ")) };
    format!("{node} failed, {wanted}; {because}")
}

/// What fills a hole, and why.
pub(super) fn filled_words(hole: &HoleFilled) -> String {
    let HoleFilled { step, argument, value, because } = hole;
    format!("{argument} of {step} is {value}: {because}")
}

/// A turn of a model: what it drafts, with what, and what it used.
fn turn_words(turned: &Turned) -> String {
    let Turned { drafting, turn, endpoint, model, usage, latency_ms, .. } = turned;
    if let Some(error) = &turned.error {
        // The whole of a difference is for `--json`.
        let error = error.lines().next().unwrap_or_default();
        let used = if usage.tokens() == 0 { String::new() } else { format!(", {}", used(turned)) };
        return format!("{drafting} turn {turn}: no answer, {error}{used}{}", notes(turned));
    }
    let calls = if turned.calls == 0 { String::new() } else { format!(", {}", count(u64::from(turned.calls), "call")) };
    format!(
        "{drafting} turn {turn}: {model} at {endpoint}, {}, {latency_ms} ms{calls}{}{}",
        used(turned),
        ended(&turned.finish),
        notes(turned)
    )
}

/// The tokens of a turn and what they cost.
fn used(turned: &Turned) -> String {
    let Turned { usage, currency, .. } = turned;
    let cost = usage.cost_micros.map(|micros| format!(", {}", money(micros, currency.as_deref())));
    format!("{}{} tokens{}", about(usage.estimated), usage.tokens(), cost.unwrap_or_default())
}

/// Why an answer ended, where that is not how answers end.
fn ended(finish: &Finish) -> String {
    match finish {
        Finish::Stop | Finish::ToolCalls | Finish::Failed => String::new(),
        Finish::Length => ", cut off at the token limit".into(),
        Finish::Refused => ", refused".into(),
        Finish::Other(word) => format!(", ended with `{word}`"),
    }
}

/// What to know of how an answer was got.
fn notes(turned: &Turned) -> String {
    turned.notes.iter().map(|note| format!("; {note}")).collect()
}
