//! What was drafted without a model is drafted again: the spec from the request, the discovery report from what was read, the
//! design from both; and so is what the program writes into a model's report, and the flow of gate 2. Where a result was left
//! out or redacted, or other tools were used since, that part is not.

use std::{collections::BTreeSet, sync::Arc};

use serde::Deserialize;

use crate::{
    agent::{draft_design, draft_discovery, draft_spec},
    artifact::{AcceptanceReading, ArtifactKind, word_of},
    engagement::{About, Actor, ArtifactFiled, Asked, Blobs, Documents, Proposal, Purpose, State, View},
    gate::{Line, OfferedCall, Screen, said},
    tool::Effect,
};

use super::{
    Papers,
    again::Gathered,
    grounds,
    steps::{given, gives},
};

/// How what was filed is not what the same drafter gives.
pub(super) fn otherwise(state: &State, actor: &Actor, filed: &ArtifactFiled, papers: &Papers<'_>) -> Option<String> {
    if !matches!(actor, Actor::Agent(_)) {
        return None;
    }
    let by_model = state.requested.model;
    let what = match filed.artifact {
        ArtifactKind::Spec if !by_model => spec(state, filed, papers),
        ArtifactKind::Discovery => report(state, filed, papers),
        ArtifactKind::Design if !by_model => design(state, filed, papers),
        _ => None,
    }?;
    Some(format!("{} filed that is not what its request and what was read give: {what}", filed.artifact))
}

fn spec(state: &State, filed: &ArtifactFiled, papers: &Papers<'_>) -> Option<String> {
    let (of, said) = (state.requested.request, papers.spec(&filed.digest)?);
    let is = draft_spec(papers.request(&of)?.as_ref(), of).ok()?;
    (is != *said).then(|| "another spec".into())
}

fn report(state: &State, filed: &ArtifactFiled, papers: &Papers<'_>) -> Option<String> {
    let said = papers.report(&filed.digest)?;
    let toolbox = papers.toolbox(&state.opened_on()?)?;
    let (documents, blobs) = read(state, papers)?;
    let view = View { state, documents: &documents, blobs: &blobs, toolbox: &toolbox };
    let (spec, digest) = (documents.spec()?, state.artifact(ArtifactKind::Spec)?);
    let is = draft_discovery(&view, spec, digest).ok()?;
    if let Some(unread) = view.discovery_reads().ok()?.iter().find_map(|read| unread(state, read, papers)) {
        return Some(unread);
    }
    let held = |readings: &[AcceptanceReading]| -> Vec<_> {
        readings.iter().map(|said| (said.check.clone(), said.holds, said.calls.clone())).collect()
    };
    // Bundles of before do not have the record that it starts from.
    let drifts = documents.request()?.baseline.is_none_or(|record| blobs.holds(&record));
    let by_model = state.requested.model;
    if said.verdict != is.verdict && !by_model {
        return Some(format!("it says {}, and what was read comes to {}", word_of(said.verdict), word_of(is.verdict)));
    }
    let differs = [
        ("what was read", !by_model && said.reads != is.reads),
        ("what it says of tools", !by_model && !grounds::says_of_tools(state, &said, &is.capabilities, papers)),
        ("what the checks showed", held(&said.acceptance) != held(&is.acceptance)),
        ("what drifted", drifts && said.drift != is.drift),
    ];
    differs.into_iter().find(|(_, differs)| *differs).map(|(what, _)| what.into())
}

fn design(state: &State, filed: &ArtifactFiled, papers: &Papers<'_>) -> Option<String> {
    let said = papers.design(&filed.digest)?;
    let toolbox = papers.toolbox(&state.opened_on()?)?;
    let (documents, blobs) = read(state, papers)?;
    let view = View { state, documents: &documents, blobs: &blobs, toolbox: &toolbox };
    let (spec, report) = (state.artifact(ArtifactKind::Spec)?, state.artifact(ArtifactKind::Discovery)?);
    let is = draft_design(&view, documents.spec()?, spec, report).ok()?;
    let differs = [
        ("its steps", said.steps != is.steps),
        ("which step each check shows", said.acceptance != is.acceptance),
        ("its decisions", said.decisions != is.decisions),
        ("its components", said.components != is.components),
        ("its inputs", said.inputs != is.inputs),
    ];
    differs.into_iter().find(|(_, differs)| *differs).map(|(what, _)| what.into())
}

/// How the flow that gate 2 is asked about is not the one of the design, with the states that were read.
pub(super) fn flow(state: &State, asked: &Asked, papers: &Papers<'_>) -> Option<String> {
    let grounds = papers.grounds(&asked.request).filter(|_| asked.about == About::Gate2)?;
    let (said, toolbox) = (grounds.flow(papers)?, papers.toolbox(&asked.request)?);
    let (documents, blobs) = read(state, papers)?;
    let is = View { state, documents: &documents, blobs: &blobs, toolbox: &toolbox }.preview().ok()?;
    if is == *said {
        return None;
    }
    let steps = said.nodes.iter().zip(&is.nodes).find(|(said, is)| said != is);
    let at = steps.map_or_else(|| "another number of steps".into(), |(said, _)| format!("step {}", said.id));
    Some(format!("a question about {} on another flow than its design and what was read give: {at}", asked.about))
}

/// How a call that an answer lets run is shown otherwise than it is.
pub(super) fn shown(state: &State, asked: &Asked, papers: &Papers<'_>) -> Option<String> {
    let question = papers.question(&asked.request);
    let earlier;
    let (calls, screen) = match &question {
        Some(question) => (&question.calls, &question.screen),
        // Requests of versions before have less in them.
        None => {
            let document = papers.document(&asked.request)?;
            let calls = Vec::<OfferedCall>::deserialize(document.get("calls")?).ok()?;
            earlier = (calls, Screen::deserialize(document.get("screen")?).ok()?);
            (&earlier.0, &earlier.1)
        }
    };
    if calls.is_empty() {
        return None;
    }
    let calls: Vec<(&OfferedCall, Line)> = calls.iter().map(|call| (call, call.line())).collect();
    let (grounds, toolbox) = (papers.grounds(&asked.request)?, papers.toolbox(&asked.request)?);
    let flow = grounds.flow(papers).or_else(|| papers.flow(&state.artifact(ArtifactKind::Flow)?));
    let lines = screen.sections.iter().flat_map(|section| &section.lines);
    let lines: BTreeSet<&Line> = lines.filter(|line| matches!(line, Line::Call { .. })).collect();
    for (offered, line) in &calls {
        let node = &offered.node;
        let args = match &asked.about {
            About::Call { .. } => given(&state.act_of(node)?.1.args, papers)?,
            _ => Arc::new(flow.as_ref()?.node(node)?.known_args()?),
        };
        let tool = match &asked.about {
            About::Call { .. } => toolbox.tool(&state.act_of(node)?.1.tool_name()?)?,
            _ => toolbox.tool(&flow.as_ref()?.node(node)?.step.tool)?,
        };
        let removes = tool.effect == Effect::Destructive || tool.irreversible();
        if offered.sentence != said(tool, &args) || offered.destructive != removes {
            return Some(format!("a question about {} that shows the call of {node} as another", asked.about));
        }
        // Of many that change things alike the screen shows the first; what is ticked stands there by itself.
        if removes && !lines.is_empty() && !lines.contains(line) {
            return Some(format!("a question about {} whose screen does not show the call of {node}", asked.about));
        }
    }
    let offered: BTreeSet<&Line> = calls.iter().map(|(_, line)| line).collect();
    let other = !lines.is_subset(&offered);
    other.then(|| format!("a question about {} whose screen shows a call that it does not offer so", asked.about))
}

/// How a read that discovery makes was not made, or was made otherwise.
fn unread(state: &State, read: &Proposal, papers: &Papers<'_>) -> Option<String> {
    let what = read.purpose.words();
    let Some((id, call)) = state.call_for(&read.purpose) else { return Some(format!("it did not {what}")) };
    let same = given(&call.args, papers).is_none_or(|given| gives(&given, &read.args));
    (call.tool != read.tool || !same).then(|| format!("{id} was to {what}, and reads something else"))
}

/// What was read before the design, with the current documents; nothing where not all of it is here.
fn read(state: &State, papers: &Papers<'_>) -> Option<(Documents, Blobs)> {
    let mut gathered = Gathered::new(state, papers);
    let before = |purpose: &&Purpose| {
        matches!(
            purpose,
            Purpose::Discover { .. }
                | Purpose::CheckBefore { .. }
                | Purpose::Baseline { .. }
                | Purpose::Find { .. }
                | Purpose::Before { .. }
        )
    };
    for purpose in state.served.keys().filter(before) {
        gathered.answer(purpose)?;
    }
    let (mut blobs, of) = (gathered.done(), |kind: ArtifactKind| state.artifact(kind));
    let (request, spec) = (state.requested.request, of(ArtifactKind::Spec)?);
    let from = ((request, papers.request(&request)?), (spec, papers.spec(&spec)?));
    // The record that it starts from, with its flow, where both are here.
    let record = from.0.1.baseline.and_then(|digest| Some((digest, papers.document(&digest)?)));
    let flow = record.as_ref().and_then(|(_, record)| record.get("flow")?.as_str()?.parse().ok());
    let flow = flow.and_then(|digest| Some((digest, papers.document(&digest)?)));
    for (digest, document) in record.filter(|_| flow.is_some()).into_iter().chain(flow) {
        blobs.insert(digest, document);
    }
    let report = of(ArtifactKind::Discovery).and_then(|digest| Some((digest, papers.report(&digest)?)));
    let design = of(ArtifactKind::Design).and_then(|digest| Some((digest, papers.design(&digest)?)));
    Some((Documents::drafting((state, &blobs), from, report, design).ok()?, blobs))
}
