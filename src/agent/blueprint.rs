//! Drafts the spec, the discovery report and the design from the request document and the facts.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    artifact::{CallId, Decision, DesignKind},
    artifact::{
        Capability, CapabilityStatus, Digest, DiscoveryKind, DiscoveryReport, Drift, Finding, ReadResult, Scope,
        SolutionDesign, Spec, SpecError, Verdict, fill,
    },
    engagement::{NextError, Purpose, RequestDocument, View},
};

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The request holds nothing to draft from.
    #[error("the request has {0}; file one that does")]
    NothingToDraftFrom(&'static str),
    /// The draft does not come out as a document.
    #[error(transparent)]
    Document(#[from] SpecError),
    /// The reads of the draft cannot be made out.
    #[error(transparent)]
    Reads(#[from] NextError),
}

/// The spec of a request.
pub fn draft_spec(request: &RequestDocument, digest: Digest) -> Result<Spec, DraftError> {
    if let Some(spec) = &request.spec {
        return Ok(Spec { request: Some(digest), baseline: request.baseline, ..spec.clone() });
    }
    let nothing = DraftError::NothingToDraftFrom("neither a blueprint nor a spec");
    Ok(request.expansion(digest).ok_or(nothing)??)
}

/// What the reads showed, with a verdict that follows from the draft's own conditions.
pub fn draft_discovery(view: &View<'_>, spec: &Spec, spec_digest: Digest) -> Result<DiscoveryReport, DraftError> {
    let mut report = DiscoveryReport {
        kind: DiscoveryKind::Discovery,
        spec: spec_digest,
        verdict: Verdict::Feasible,
        capabilities: capabilities(view, spec),
        findings: Vec::new(),
        reads: Vec::new(),
        acceptance: spec.acceptance.iter().map(|check| view.acceptance(check, true)).collect(),
        drift: drift(view),
        reuse: Vec::new(),
    };
    let mut facts = serde_json::Map::new();
    let mut unread: BTreeSet<String> = BTreeSet::new();
    for read in view.reads()? {
        let Some((call, made)) = view.state.call_for(&read.proposal.purpose) else { continue };
        let value =
            made.result.and_then(|digest| Some((digest, view.blobs.get(&digest)?, made.args.read(view.blobs)?)));
        let Some((result, value, args)) = value else {
            let why = made.refused.as_ref().map(|(_, reason)| reason.clone()).or_else(|| made.message.clone());
            let of = read.item.as_ref().map_or_else(String::new, |item| format!(" for {item}"));
            let text = format!("{}{of} could not be read: {}", read.id, why.unwrap_or_else(|| "no message".into()));
            report.findings.push(Finding { text, calls: vec![call.clone()] });
            unread.insert(read.id.to_string());
            continue;
        };
        match &read.item {
            None => {
                facts.insert(read.id.to_string(), value.as_ref().clone());
            }
            Some(item) => {
                let of = facts.entry(read.id.to_string()).or_insert_with(|| Value::Object(Default::default()));
                if let Value::Object(map) = of {
                    map.insert(item.clone(), value.as_ref().clone());
                }
            }
        }
        report.reads.push(ReadResult {
            id: read.id.clone(),
            item: read.item.clone(),
            tool: read.proposal.tool.parse().map_err(|error| SpecError::new("discover", format!("{error}")))?,
            args: args.clone(),
            call: call.clone(),
            result,
        });
    }
    if !unread.is_empty() {
        report.verdict = Verdict::NotFeasible;
    }
    feasibility(view, spec, &Value::Object(facts), &unread, &mut report)?;
    acceptance_findings(spec, &mut report);
    for drift in &report.drift {
        let text = format!("drift at {}: the baseline left {}, now it is {}", drift.node, drift.recorded, drift.now);
        report.findings.push(Finding { text, calls: vec![drift.call.clone()] });
    }
    Ok(report)
}

/// What must hold for the design to make sense; where it does not, the finding cites the reads it rests on.
fn feasibility(
    view: &View<'_>,
    spec: &Spec,
    facts: &Value,
    unread: &BTreeSet<String>,
    report: &mut DiscoveryReport,
) -> Result<(), DraftError> {
    let Some(draft) = view.documents.request().and_then(|request| request.design_draft()) else { return Ok(()) };
    let inputs = spec.inputs_value();
    let scope = Scope::new().with("inputs", &inputs).with("facts", facts);
    for (at, condition) in draft.feasible_when.iter().enumerate() {
        if condition.cites.iter().any(|read| unread.contains(read.as_str())) {
            continue;
        }
        let calls: Vec<CallId> = report
            .reads
            .iter()
            .filter(|read| condition.cites.contains(&read.id))
            .map(|read| read.call.clone())
            .collect();
        let text = match condition.expect.holds(&scope) {
            Ok(true) => continue,
            Ok(false) => text(&condition.otherwise, &scope)
                .map_err(|error| SpecError::new(format!("design.feasible_when.{at}.otherwise"), error.message))?,
            Err(error) => error.to_string(),
        };
        report.verdict = Verdict::NotFeasible;
        report.findings.push(Finding { text, calls });
    }
    Ok(())
}

/// An invariant that does not hold, or a check that cannot be read, rules the build out; a check that holds already
/// will prove nothing about it.
fn acceptance_findings(spec: &Spec, report: &mut DiscoveryReport) {
    for reading in report.acceptance.clone() {
        let invariant = spec.acceptance.iter().any(|check| check.id == reading.check && check.invariant);
        let seen = reading.seen.clone().unwrap_or_default();
        let (text, worst) = match (reading.holds, invariant) {
            (Some(true), true) | (Some(false), false) => continue,
            (Some(true), false) => (
                format!("{} holds already, so it will prove nothing about the build", reading.check),
                Verdict::WithConstraints,
            ),
            (Some(false), true) => (
                format!("the invariant {} does not hold before the build: {seen}", reading.check),
                Verdict::NotFeasible,
            ),
            (None, _) => (format!("{} could not be read: {seen}", reading.check), Verdict::NotFeasible),
        };
        if report.verdict != Verdict::NotFeasible {
            report.verdict = worst;
        }
        report.findings.push(Finding { text, calls: reading.calls.clone() });
    }
}

fn capabilities(view: &View<'_>, spec: &Spec) -> Vec<Capability> {
    let tools: BTreeSet<_> =
        spec.boundary.discover.iter().chain(&spec.boundary.build).map(|grant| grant.tool.clone()).collect();
    tools
        .into_iter()
        .map(|name| match view.toolbox.tool(&name) {
            Some(tool) if tool.irreversible() => Capability {
                need: format!("{} (it cannot be undone)", tool.about),
                status: CapabilityStatus::Warning,
                tool: name,
            },
            Some(tool) => {
                let simulated = view.toolbox.manifest_of(&name).is_some_and(|manifest| manifest.simulated);
                let status = if simulated { CapabilityStatus::Stubbed } else { CapabilityStatus::Resolved };
                Capability { need: tool.about.clone(), status, tool: name }
            }
            None => Capability { need: name.to_string(), status: CapabilityStatus::Blocked, tool: name },
        })
        .collect()
}

pub(super) fn drift(view: &View<'_>) -> Vec<Drift> {
    let mut found = Vec::new();
    for node in view.baseline_nodes() {
        let purpose = Purpose::Baseline { node: node.id.clone() };
        let Some((call, made)) = view.state.call_for(&purpose) else { continue };
        let Some(result) = made.result.and_then(|digest| view.blobs.get(&digest)) else { continue };
        let Some(args) = node.known_args().map(Value::Object) else { continue };
        let state = view.toolbox.tool(&node.step.tool).and_then(|tool| tool.state.as_ref());
        let scope = Scope::new().with("args", &args).with("result", result);
        let now = state.and_then(|state| state.pick.evaluate(&scope).ok());
        if let (Some(now), Some(recorded)) = (now, view.baseline_left(&node))
            && now != recorded
        {
            found.push(Drift { node: node.id.to_string(), recorded, now, call: call.clone() });
        }
    }
    found
}

/// The design of a request once discovery has been filed.
pub fn draft_design(
    view: &View<'_>,
    spec: &Spec,
    spec_digest: Digest,
    discovery: Digest,
) -> Result<SolutionDesign, DraftError> {
    let draft = view
        .documents
        .request()
        .and_then(|request| request.design_draft())
        .ok_or(DraftError::NothingToDraftFrom("no design; give one with `--design`"))?;
    let inputs = spec.inputs_value();
    let null = Value::Null;
    let facts = view.documents.facts().map_or(&null, |facts| facts.as_ref());
    let scope = Scope::new().with("inputs", &inputs).with("facts", facts);
    let filled = |what: &str, at: usize, value: &Value| {
        fill(value, &["inputs", "facts"], &scope)
            .map_err(|error| SpecError::new(format!("design.{what}.{at}.{}", error.0.path), error.0.message))
    };
    let mut decisions: Vec<Decision> = Vec::new();
    for (at, value) in draft.decisions.iter().enumerate() {
        let value = filled("decisions", at, value)?;
        decisions.push(
            serde_json::from_value(value)
                .map_err(|error| SpecError::new(format!("design.decisions.{at}"), error.to_string()))?,
        );
    }
    let mut components = Vec::new();
    for (at, value) in draft.components.iter().enumerate() {
        let value = filled("components", at, value)?;
        components.push(
            serde_json::from_value(value)
                .map_err(|error| SpecError::new(format!("design.components.{at}"), error.to_string()))?,
        );
    }
    Ok(SolutionDesign {
        kind: DesignKind::Design,
        spec: spec_digest,
        discovery,
        inputs: spec.inputs.clone(),
        decisions,
        components,
        steps: draft.steps.clone(),
        acceptance: draft.acceptance.clone(),
    })
}

fn text(template: &Value, scope: &Scope<'_>) -> Result<String, SpecError> {
    match fill(template, &["inputs", "facts"], scope).map_err(|error| error.0)? {
        Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}
