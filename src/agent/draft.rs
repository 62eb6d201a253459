//! A model's answer as the document that it was to draft. It is checked exactly as one that a person files, and what the
//! program computes is written by the program: the model's word for it is not read.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    artifact::{
        AcceptanceReading, ArtifactKind, CallId, Digest, DiscoveryReport, Finding, SolutionDesign, Spec, Verdict,
        too_much_to_show,
    },
    engagement::{CallOutcome, Considered, HolesFilled},
    flow::expand,
    policy::{calls_outside, design_problems, holes_for_nobody, spec_problems},
    tool::{Effect, shown},
};

use super::{
    answer::{Wrong, document, object},
    blueprint::drift,
    build, capability, failed,
    turn::Desk,
    written,
};

/// A draft that can be filed.
#[derive(Clone, Debug, PartialEq)]
pub enum Draft {
    /// spec.yaml
    Spec(Box<Spec>),
    /// discovery.report
    Discovery(Box<DiscoveryReport>),
    /// solution.design
    Design(Box<SolutionDesign>),
    /// What automation.flow is built with beside the design.
    Flow(Box<HolesFilled>),
    /// What is wanted after a step of it failed.
    Failure(Box<Considered>),
}

/// The draft in an answer, or what is wrong with it.
pub(super) fn read(desk: &Desk<'_>, kind: ArtifactKind, text: &str) -> Result<Draft, Wrong> {
    let map = object(text)?;
    match kind {
        ArtifactKind::Spec => spec(desk, map),
        ArtifactKind::Discovery => discovery(desk, map),
        ArtifactKind::Design => design(desk, map),
        ArtifactKind::Flow if desk.failed(kind) => failed::read(desk, map).map(|said| Draft::Failure(Box::new(said))),
        ArtifactKind::Flow => build::read(desk, map).map(|filled| Draft::Flow(Box::new(filled))),
        ArtifactKind::Record => Err(Wrong::Malformed("no model drafts this".into())),
    }
}

fn spec(desk: &Desk<'_>, map: Map<String, Value>) -> Result<Draft, Wrong> {
    let baseline = desk.view.documents.request().and_then(|request| request.baseline);
    let spec = written::spec(map, desk.view.state.requested.request, baseline)?;
    let problems = spec_problems(&spec, desk.catalog);
    if problems.is_empty() { Ok(Draft::Spec(Box::new(spec))) } else { Err(Wrong::invalid(problems)) }
}

fn discovery(desk: &Desk<'_>, mut map: Map<String, Value>) -> Result<Draft, Wrong> {
    let state = desk.view.state;
    map.insert("kind".into(), json!("discovery"));
    map.insert("spec".into(), json!(state.artifact(ArtifactKind::Spec)));
    map.insert("acceptance".into(), json!([]));
    map.insert("drift".into(), json!([]));
    for list in ["reads", "reuse", "findings", "capabilities"] {
        map.entry(list).or_insert_with(|| json!([]));
    }
    let problems = fill_reads(desk, &mut map);
    if !problems.is_empty() {
        return Err(Wrong::invalid(problems));
    }
    let mut report: DiscoveryReport = document(ArtifactKind::Discovery, map)?;
    let view = &desk.view;
    let spec = view.documents.spec();
    report.acceptance =
        spec.map(|spec| spec.acceptance.iter().map(|check| view.acceptance(check, true)).collect()).unwrap_or_default();
    report.drift = drift(view);
    capability::mark_simulated(desk, &mut report);
    let mut problems: Vec<String> = too_much_to_show(&report).iter().map(ToString::to_string).collect();
    problems.extend(uncited(desk, &report));
    problems.extend(contradicted(desk, &report));
    if !problems.is_empty() {
        return Err(Wrong::invalid(problems));
    }
    let seen: Vec<Finding> = acceptance(desk, &report.acceptance).into_iter().map(|(finding, _)| finding).collect();
    report.findings.extend(seen);
    Ok(Draft::Discovery(Box::new(report)))
}

fn read_call(read: &Map<String, Value>) -> Option<CallId> {
    read.get("call").and_then(Value::as_str).and_then(|text| text.parse().ok())
}

/// The read that a call was, if it stands for the current spec and answered.
fn made(desk: &Desk<'_>, id: Option<CallId>) -> Result<Map<String, Value>, String> {
    let id = id.ok_or("name the id of a call that was made, such as `c3`")?;
    let state = desk.view.state;
    let current = state.served.values().any(|served| *served == id);
    let call =
        state.calls.get(&id).filter(|_| current).ok_or_else(|| format!("no call {id} was made for this spec"))?;
    let reads =
        call.tool_name().and_then(|name| desk.catalog.toolbox.tool(&name)).is_some_and(|t| t.effect == Effect::Read);
    match call.result {
        Some(result) if reads && call.outcome == Some(CallOutcome::Ok) => {
            let mut map = Map::new();
            map.insert("tool".into(), json!(call.tool));
            let args = call.args.read(desk.view.blobs).ok_or_else(|| format!("what {id} was given is not known"))?;
            map.insert("with".into(), json!(args));
            map.insert("result".into(), json!(result));
            Ok(map)
        }
        _ => Err(format!("{id} gave no answer that could be used")),
    }
}

/// What the program knows of each read stands in place of what the model wrote; the answer is what is wrong.
fn fill_reads(desk: &Desk<'_>, map: &mut Map<String, Value>) -> Vec<String> {
    let Some(Value::Array(reads)) = map.get_mut("reads") else { return Vec::new() };
    let mut problems = Vec::new();
    for (at, read) in reads.iter_mut().enumerate() {
        let Value::Object(read) = read else { continue };
        match made(desk, read_call(read)) {
            Ok(known) => read.extend(known),
            Err(why) => problems.push(format!("reads.{at}.call: {why}")),
        }
    }
    problems
}

/// Reads that share a name or name another target than they read, and findings that cite nothing that happened here.
fn uncited(desk: &Desk<'_>, report: &DiscoveryReport) -> Vec<String> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for (at, read) in report.reads.iter().enumerate() {
        if !names.insert((&read.id, &read.item)) {
            problems.push(format!("reads.{at}: `{}` stands twice; give each an `item` of its own", read.id));
        }
        if report.reads.iter().any(|other| other.id == read.id && other.item.is_some() != read.item.is_some()) {
            problems.push(format!("reads.{at}: `{}` stands with an `item` and without", read.id));
        }
        let target = desk.catalog.toolbox.tool(&read.tool).and_then(|tool| read.args.get(&tool.target)?.as_str());
        let item = read.item.as_deref().filter(|item| desk.catalog.inventory.target(item).is_some());
        if let (Some(item), Some(target)) = (item, target)
            && item != target
        {
            problems.push(format!("reads.{at}.item: it names {item}, and {} read {target}", read.call));
        }
    }
    for (at, finding) in report.findings.iter().enumerate() {
        if finding.calls.is_empty() {
            problems.push(format!("findings.{at}.calls: it cites no call; cite what shows it or leave it out"));
        }
        for id in &finding.calls {
            let why = match desk.view.state.calls.get(id) {
                None => format!("there was no call {id}"),
                Some(call) if call.refused.is_some() => format!("{id} was refused, so it shows nothing of the target"),
                Some(call) if !matches!(call.outcome, Some(CallOutcome::Ok | CallOutcome::Error)) => {
                    format!("{id} got no answer, so it shows nothing")
                }
                Some(_) => continue,
            };
            problems.push(format!("findings.{at}.calls: {why}"));
        }
    }
    problems
}

/// What the verdict says against what the program has read, and against the report itself.
fn contradicted(desk: &Desk<'_>, report: &DiscoveryReport) -> Vec<String> {
    let mut problems = capability::problems(desk, report);
    let blocked = report.blocked().next().is_some();
    if blocked && rank(report.verdict) < rank(Verdict::WithChanges) {
        problems.push("verdict: a needed capability is blocked, so say `with_changes` or `not_feasible`".into());
    }
    for (finding, least) in acceptance(desk, &report.acceptance) {
        if rank(report.verdict) < rank(least) {
            let least = json!(least).as_str().unwrap_or_default().to_owned();
            problems.push(format!("verdict: {}, so it is at least `{least}`", finding.text));
        }
    }
    let silent = matches!(report.verdict, Verdict::NotFeasible | Verdict::WithChanges) && report.findings.is_empty();
    if silent && !blocked && acceptance(desk, &report.acceptance).is_empty() {
        problems.push("findings: say why it is not feasible as it stands, and cite the calls that show it".into());
    }
    problems
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Feasible => 0,
        Verdict::WithConstraints => 1,
        Verdict::WithChanges => 2,
        Verdict::NotFeasible => 3,
    }
}

/// What the acceptance readings rule out, without the values that were read: these words go to a model.
fn acceptance(desk: &Desk<'_>, readings: &[AcceptanceReading]) -> Vec<(Finding, Verdict)> {
    let Some(spec) = desk.view.documents.spec() else { return Vec::new() };
    let finding = |reading: &AcceptanceReading| {
        let invariant = spec.acceptance.iter().any(|check| check.id == reading.check && check.invariant);
        let (text, least) = match (reading.holds, invariant) {
            (Some(true), true) | (Some(false), false) => return None,
            (Some(true), false) => (
                format!("{} holds already and proves nothing about the build", reading.check),
                Verdict::WithConstraints,
            ),
            (Some(false), true) => {
                (format!("the invariant {} does not hold before the build", reading.check), Verdict::WithChanges)
            }
            (None, _) => (format!("{} could not be read", reading.check), Verdict::WithChanges),
        };
        Some((Finding { text, calls: reading.calls.clone() }, least))
    };
    readings.iter().filter_map(finding).collect()
}

fn design(desk: &Desk<'_>, map: Map<String, Value>) -> Result<Draft, Wrong> {
    let state = desk.view.state;
    let missing = || Wrong::Malformed("there is no approved spec and report to design from".into());
    let spec = desk.view.documents.spec().ok_or_else(missing)?;
    let of = |kind: ArtifactKind| state.artifact(kind).ok_or_else(missing);
    let design = written::design(map, of(ArtifactKind::Spec)?, of(ArtifactKind::Discovery)?, &spec.inputs)?;
    let facts = desk.view.documents.facts().map(|facts| facts.as_ref().clone()).unwrap_or_default();
    let mut problems = design_problems(&design, spec, desk.catalog);
    if !desk.prompts.builds() {
        problems.extend(holes_for_nobody(&design.steps));
    }
    if !problems.is_empty() {
        return Err(Wrong::invalid(problems));
    }
    let outside = |facts: &Value| match expand(&design, Digest::ZERO, facts, |_| None, &desk.catalog.toolbox) {
        Ok(flow) => calls_outside(&flow, spec, desk.catalog).into_iter().map(|(_, why)| why).collect(),
        Err(error) => vec![error.to_string()],
    };
    let wrong = outside(&facts);
    if wrong.is_empty() {
        return Ok(Draft::Design(Box::new(design)));
    }
    if !design.steps.iter().any(|step| step.reads("facts")) {
        return Err(Wrong::invalid(wrong));
    }
    // These words go to a model. An expression can bring any field of an answer into an error, and which of many steps
    // fails tells as much as a value would: so what is said follows from what models are shown, and from nothing else.
    let mut told = outside(&shown_facts(desk));
    told.push(match told.is_empty() {
        true => {
            "over all that was read it does not come out as calls inside the boundary; over what you are shown it does"
                .into()
        }
        false => "this is worked out over what you are shown of the answers: a field that was left out is missing here"
            .into(),
    });
    Err(Wrong::invalid(told))
}

/// What discovery read, as far as models are shown it.
fn shown_facts(desk: &Desk<'_>) -> Value {
    let mut facts = Map::new();
    for read in desk.view.documents.discovery().into_iter().flat_map(|report| &report.reads) {
        let tool = desk.catalog.toolbox.tool(&read.tool);
        let answer = tool.zip(desk.view.blobs.get(&read.result)).map(|(tool, answer)| shown(tool, answer));
        let seen = answer.and_then(|mut answer| answer.get_mut("result").map(Value::take)).unwrap_or_default();
        match &read.item {
            None => drop(facts.insert(read.id.to_string(), seen)),
            Some(item) => {
                let of = facts.entry(read.id.to_string()).or_insert_with(|| Value::Object(Map::new()));
                of.as_object_mut().map(|of| of.insert(item.clone(), seen));
            }
        }
    }
    Value::Object(facts)
}
