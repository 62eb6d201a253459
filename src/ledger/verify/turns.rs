//! What models said, held to what is filed from it: a turn says of itself what its answer says, the calls of an agent are those
//! that it asked for, none of them is left out, and what an agent files is what its last answer is. Answers may be redacted;
//! then nothing is compared.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    agent::{ASK, READ_RESULT, says_considered, says_filled, written_design, written_report, written_spec},
    artifact::{ArtifactKind, DiscoveryReport, Finding, NodeId, Phase, from_json},
    engagement::{
        About, Actor, Answer as Said, ArtifactFiled, Blobs, Body, Documents, Event, Purpose, State, Turned, View,
        drafter,
    },
    model::{Answer, plain},
};

use super::{
    Papers,
    again::current,
    grounds,
    steps::{alike, given},
};

/// What is wrong with an event of an engagement that models draft.
pub(super) fn breaches(state: &State, event: &Event, papers: &Papers<'_>) -> Option<String> {
    if !state.requested.model {
        return None;
    }
    match &event.body {
        Body::Turned(turned) => unlike_its_answer(turned, papers)
            .or_else(|| elsewhere(state, turned, papers))
            .or_else(|| unmade(state, turned.drafting, papers))
            .map(|why| format!("a turn about {} {why}", turned.drafting)),
        Body::Filed(filed) if matches!(event.actor, Actor::Agent(_)) => {
            let why = unmade(state, filed.artifact, papers).or_else(|| unwritten(state, filed, papers))?;
            Some(format!("{} filed {why}", filed.artifact))
        }
        Body::Entered { phase: Phase::AsBuilt, .. } if state.phase == Phase::Build => {
            let node = unasked(state, event, papers)?;
            Some(format!("the build was left, and the build agent was not asked about {node}, which failed"))
        }
        Body::HolesFilled(filled) => {
            let said = says_filled(&last(state, ArtifactKind::Flow, papers)?.text, filled, alike)?;
            (!said).then(|| "holes filled with what the answer does not say".into())
        }
        Body::Considered(considered) if considered.turn.is_some() => {
            let said = says_considered(&last(state, ArtifactKind::Flow, papers)?.text, considered, alike)?;
            let node = &considered.node;
            (!said).then(|| format!("wanted after {node} failed, what the answer does not say"))
        }
        Body::Inquired(asked) => {
            let calls = last(state, ArtifactKind::Spec, papers)?.calls;
            let put = calls.into_iter().find(|call| call.name == ASK)?;
            let put: Value = serde_json::from_str(&put.arguments).ok()?;
            let texts = put.get("questions")?.as_array()?.iter().filter_map(|one| one.get("text")?.as_str());
            let texts: Vec<&str> = texts.map(str::trim).collect();
            let other = asked.questions.iter().find(|question| !texts.contains(&question.text.as_str()))?;
            Some(format!("question {} that the last answer of its agent does not ask", other.id))
        }
        Body::Allowed(allowed) => {
            let args = given(&allowed.args, papers);
            let why = otherwise_asked(state, &allowed.purpose, allowed.tool.as_str(), args, papers)?;
            Some(format!("{} allowed for an agent {why}", allowed.call))
        }
        Body::Refused(refused) => {
            let args = given(&refused.args, papers);
            let why = otherwise_asked(state, &refused.purpose, &refused.tool, args, papers)?;
            Some(format!("{} refused to an agent {why}", refused.call))
        }
        _ => None,
    }
}

/// A step that failed and that the build agent was to be asked about, where nothing had ended that.
fn unasked(state: &State, event: &Event, papers: &Papers<'_>) -> Option<NodeId> {
    let (spec, flow) = current(state, papers)?;
    let (documents, toolbox) = (Documents::given(state, spec, flow), papers.toolbox(&state.opened_on()?)?);
    let blobs = Blobs::new();
    let view = View { state, documents: &documents, blobs: &blobs, toolbox: &toolbox };
    let spec = documents.spec()?;
    let over = spec.window.is_some_and(|window| event.at >= window.until);
    let ended = over || state.cancelled.is_some() || view.stopped().is_some() || state.spent(&spec.limits).is_some();
    view.failing().filter(|_| !ended).map(|node| node.id.clone())
}

fn answer(turned: &Turned, papers: &Papers<'_>) -> Option<Answer> {
    Answer::deserialize(papers.value(&turned.response?, turned.sealed)?.as_ref()).ok()
}

/// The answer of the last turn about a draft.
fn last(state: &State, kind: ArtifactKind, papers: &Papers<'_>) -> Option<Answer> {
    answer(state.talk.last_turn(kind)?.1, papers)
}

fn unlike_its_answer(turned: &Turned, papers: &Papers<'_>) -> Option<String> {
    // One that others overtook is written without its answer, and its answer is not read.
    let answer = answer(turned, papers)?;
    let differs = [
        ("endpoint", turned.endpoint != answer.endpoint),
        ("model", turned.model != answer.model),
        ("use of tokens", turned.usage != answer.usage),
        ("end", turned.finish != answer.finish),
    ];
    let what = differs.into_iter().find(|(_, differs)| *differs)?;
    Some(format!("with another {} than its answer says", what.0))
}

/// A place that gate 1 was not told of, once something was found.
fn elsewhere(state: &State, turned: &Turned, papers: &Papers<'_>) -> Option<String> {
    let found = turned.drafting != ArtifactKind::Spec || state.filed.contains_key(&ArtifactKind::Discovery);
    turned.response.filter(|_| found)?;
    let mut answers = state.answers.iter().rev().map(|(.., answered)| answered);
    let last = answers.find(|answered| answered.about == About::Gate1 && answered.answer == Said::Approve)?;
    let request = papers.document(&last.request)?;
    // Where there are none the request has no such member.
    let models = request.get("models").and_then(Value::as_array);
    let told =
        models.into_iter().flatten().any(|model| model.get("name").and_then(Value::as_str) == Some(&turned.endpoint));
    (!told).then(|| format!("answered by `{}`, of which gate 1 was not told", turned.endpoint))
}

/// A call that the last turn asks for and that was neither made nor refused.
fn unmade(state: &State, kind: ArtifactKind, papers: &Papers<'_>) -> Option<String> {
    let (turn, turned, _) = state.talk.last_turn(kind)?;
    let answer = answer(turned, papers)?;
    let tool = |nth: u32| {
        let asked = answer.calls.get(usize::try_from(nth).ok()?.checked_sub(1)?)?;
        let own = [ASK, READ_RESULT].contains(&asked.name.as_str());
        (!own && arguments(&asked.arguments).is_some()).then_some(&asked.name)
    };
    let open = |nth: &u32| tool(*nth).is_some() && state.call_for(&Purpose::Turn { turn, call: *nth }).is_none();
    let nth = (1..=turned.calls).find(open)?;
    drafter(kind)?;
    Some(format!("before call {nth} of the turn before, of `{}`, was made or refused", tool(nth)?))
}

fn arguments(text: &str) -> Option<Map<String, Value>> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    from_json("the arguments", text).ok()?.as_object().cloned()
}

/// How a call of a turn is not the one that was asked for.
fn otherwise_asked(
    state: &State,
    purpose: &Purpose,
    tool: &str,
    given: Option<Arc<Map<String, Value>>>,
    papers: &Papers<'_>,
) -> Option<String> {
    let Purpose::Turn { turn, call } = purpose else { return None };
    let answer = answer(state.talk.turn(*turn)?, papers)?;
    let asked = answer.calls.get(usize::try_from(*call).ok()?.checked_sub(1)?);
    let Some(asked) = asked else { return Some("that it did not ask for".into()) };
    if plain(tool) != plain(&asked.name) {
        return Some(format!("that asked for `{}`", asked.name));
    }
    let (wanted, given) = (arguments(&asked.arguments)?, given?);
    let toolbox = state.opened_on().and_then(|request| papers.toolbox(&request));
    let schema = |name: &str| toolbox.as_ref()?.tool(&tool.parse().ok()?)?.args.properties.get(name);
    let same = |name: &str, value: &Value, given: &Value| {
        alike(value, given) || schema(name).is_some_and(|schema| schema.normalise(value).as_ref() == Ok(given))
    };
    let other = wanted.iter().find(|(name, value)| !given.get(*name).is_some_and(|given| same(name, value, given)));
    other.map(|(name, _)| format!("with another `{name}` than it asked for"))
}

/// Whether a finding is one that the program writes into a model's report: about a check, by the calls that read it.
fn of_a_check(report: &DiscoveryReport, finding: &Finding) -> bool {
    report.acceptance.iter().any(|read| read.calls == finding.calls && finding.text.contains(read.check.as_str()))
}

/// How what an agent filed is not what its answer is.
fn unwritten(state: &State, filed: &ArtifactFiled, papers: &Papers<'_>) -> Option<String> {
    let text = last(state, filed.artifact, papers)?.text;
    let other = match filed.artifact {
        ArtifactKind::Spec => {
            let request = state.requested.request;
            let baseline = papers.request(&request)?.baseline;
            let said = papers.spec(&filed.digest)?;
            written_spec(&text, request, baseline).is_none_or(|is| is != *said)
        }
        ArtifactKind::Design => {
            let (spec, report) = (state.artifact(ArtifactKind::Spec)?, state.artifact(ArtifactKind::Discovery)?);
            let inputs = &papers.spec(&spec)?.inputs;
            let said = papers.design(&filed.digest)?;
            written_design(&text, spec, report, inputs).is_none_or(|is| is != *said)
        }
        ArtifactKind::Discovery => {
            let said = papers.report(&filed.digest)?;
            let Some(is) = written_report(&text) else { return Some(NOT_ITS_ANSWER.into()) };
            let reads = said.reads.iter().map(|read| (&read.id, &read.item, &read.call));
            said.verdict != is.verdict
                || !said.findings.starts_with(&is.findings)
                || said.findings.iter().skip(is.findings.len()).any(|finding| !of_a_check(&said, finding))
                || !is.reads.iter().map(|read| (&read.id, &read.item, &read.call)).eq(reads)
                || !grounds::says_of_tools(state, &said, &is.capabilities, papers)
        }
        ArtifactKind::Flow | ArtifactKind::Record => false,
    };
    other.then(|| NOT_ITS_ANSWER.into())
}

const NOT_ITS_ANSWER: &str = "that is not what the last answer of its agent is";
