//! The conversation with a model, rebuilt from the chain for every turn: instructions, material, and the exchange about
//! this draft. What stands in it was computed here or passed `tool::shown`; nothing comes from another engagement.

use serde_json::{Value, json};

use crate::{
    artifact::{Agent, ArtifactKind, Digest},
    engagement::{AgentQuestion, Exchange, GateState, Heard, RequesterSaid},
    model::{Message, ModelRequest, OutputSchema},
    tool::{Tool, shown},
};

use super::{
    answer::said,
    build::holes_told,
    data::{WHOLE, cut, data},
    failed::failure_told,
    offer::{granted_reads, offers, parameters},
    prompt::Filling,
    turn::{Desk, TurnError, schema},
};

/// The most bytes of the exchange that are told again; earlier turns are left out whole.
const HISTORY: usize = 120_000;
/// The most characters of what a person said that are kept of a turn that is left out.
const LONGEST_KEPT: usize = 2_000;
/// The most bytes of each piece of material where room is scarce, one after another.
const MATERIAL: [usize; 4] = [WHOLE, 3_000, 1_000, 200];
/// The most targets of the inventory that are told.
const TARGETS: usize = 300;

/// How much is told again, in bytes.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Of the exchange.
    history: usize,
    /// Of each piece of material; where it is longer, its structure, counts and first items.
    material: usize,
}

/// The request of the next turn, and the digest of its instructions. Where its room is limited the exchange is cut first,
/// by turn, and then the material, by structure. What must be told is told whole or not at all.
pub(super) fn conversation(
    desk: &Desk<'_>,
    kind: ArtifactKind,
    agent: Agent,
) -> Result<(ModelRequest, Digest), TurnError> {
    let all = Told { history: HISTORY, material: usize::MAX };
    let mut asked = request(desk, kind, agent, all)?;
    let Some(room) = desk.room else { return Ok(asked) };
    let mut needs = asked.0.tokens();
    if needs <= room {
        return Ok(asked);
    }
    let said: usize = history(desk, kind, HISTORY)?.0.iter().map(bytes).sum();
    let over = usize::try_from(needs - room).unwrap_or(usize::MAX).saturating_mul(4);
    let less = [said.saturating_sub(over), 0].map(|history| Told { history, ..all });
    let least = MATERIAL.map(|material| Told { history: 0, material });
    for told in less.into_iter().chain(least) {
        asked = request(desk, kind, agent, told)?;
        needs = asked.0.tokens();
        if needs <= room {
            return Ok(asked);
        }
    }
    Err(TurnError::TooLong { agent, kind, needs, room })
}

fn request(desk: &Desk<'_>, kind: ArtifactKind, agent: Agent, told: Told) -> Result<(ModelRequest, Digest), TurnError> {
    let failed = desk.failed(kind);
    let schema = schema(kind, failed);
    let attempts = desk.view.documents.spec().map_or(0, |spec| spec.limits.attempts_outside);
    let filling = Filling { kind, schema: &schema.to_string(), attempts, failed };
    let prompt = desk.prompts.render(agent, &filling)?;
    let opening = opening(desk, kind, told.material);
    let mut messages = vec![Message::System { text: prompt.text }, Message::User { text: opening }];
    let (exchange, left_out) = history(desk, kind, told.history)?;
    messages.extend(exchange);
    // The name under which a script knows whose turn it is.
    let name = match kind {
        ArtifactKind::Spec => "spec",
        ArtifactKind::Discovery => "discovery",
        ArtifactKind::Flow if failed => "failure",
        ArtifactKind::Flow => "flow",
        _ => "design",
    };
    let request = ModelRequest {
        agent,
        messages: joined(messages),
        left_out,
        tools: offers(desk, kind),
        output: Some(OutputSchema { name: name.into(), schema }),
    };
    Ok((request, prompt.digest))
}

/// Two messages of the same person in a row are one: not every endpoint takes them otherwise.
fn joined(messages: Vec<Message>) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        if let (Some(Message::User { text: before }), Message::User { text }) = (out.last_mut(), &message) {
            before.push_str("\n\n");
            before.push_str(text);
            continue;
        }
        out.push(message);
    }
    out
}

/// The exchange about a draft, turn by turn. Where it is too long the earliest turns are left out, each with all that
/// belongs to it: a call and its result are never parted. What was said before the first turn is always told. With it,
/// how many turns are left out.
fn history(desk: &Desk<'_>, kind: ArtifactKind, most: usize) -> Result<(Vec<Message>, usize), TurnError> {
    let about = desk.view.state.talk.about(kind);
    let mut groups: Vec<Vec<Message>> = vec![Vec::new()];
    // What is kept of each of them where it is left out: what was read, what was asked and what people said.
    let mut kept: Vec<Vec<Value>> = vec![Vec::new()];
    let mut open: &[AgentQuestion] = &[];
    let mut answered = false;
    for (at, piece) in about.iter().enumerate() {
        let rest = about.get(at + 1..).unwrap_or_default();
        let mut say = |text: String| {
            if let Some(group) = groups.last_mut() {
                group.push(Message::User { text });
            }
        };
        match piece {
            Exchange::Turn { turned, .. } if turned.error.is_some() => {}
            Exchange::Turn { number, turned } => {
                let calls = desk.calls_of(kind, *number, turned)?;
                let requests = calls.iter().map(|call| call.request()).collect();
                let text = said(&desk.answer_of(turned)?.text).to_owned();
                let mut group = vec![Message::Assistant { text, calls: requests }];
                group.extend(calls.iter().map(|call| Message::Tool { call: call.id(), text: call.told(desk, rest) }));
                groups.push(group);
                kept.push(calls.iter().filter_map(|call| call.read(desk)).collect());
                answered = false;
            }
            // Told as the result of the call that asked; what is said without being asked is a message of its own.
            Exchange::Asked(asked) => {
                open = &asked.questions;
                answered = true;
            }
            Exchange::Said(_, said) if answered => {
                answered = false;
                keep(&mut kept, open, said);
            }
            Exchange::Said(actor, said) => {
                let who = actor.to_string();
                say(data("said", &json!({"by": who, "says": said.text, "answers": said.answers})));
                keep(&mut kept, &[], said);
            }
            Exchange::Returned(returned) => say(format!(
                "The program does not take this {}. Correct what is listed and answer the whole document again.\n{}",
                if desk.failed(kind) { "answer".to_owned() } else { returned.artifact.to_string() },
                data("problems", &json!(returned.problems))
            )),
        }
    }
    let mut left_out = Vec::new();
    let mut left = 0;
    while groups.iter().flatten().map(bytes).sum::<usize>() > most && groups.len() > 2 {
        groups.remove(1);
        left_out.extend(kept.remove(1));
        left += 1;
    }
    if let Some(before) = groups.first_mut().filter(|_| left > 0) {
        let mut text = format!("The {left} earliest turns are left out here.");
        if !left_out.is_empty() {
            let told = data("from the turns that are left out", &json!(left_out));
            text += &format!(" This was read, asked and answered in them; what a call gave can be read again:\n{told}");
        }
        before.push(Message::User { text });
    }
    Ok((groups.into_iter().flatten().collect(), left))
}

/// Keeps what a person said beside the turn that it followed.
fn keep(kept: &mut [Vec<Value>], questions: &[AgentQuestion], said: &RequesterSaid) {
    let answer = |question: &AgentQuestion| json!({"id": question.id, "question": question.text, "answer": said.answers.get(&question.id)});
    let answers: Vec<Value> = questions.iter().map(answer).collect();
    let says: Option<String> = said.text.as_ref().map(|text| text.chars().take(LONGEST_KEPT).collect());
    if let Some(of) = kept.last_mut() {
        of.push(json!({"answers": answers, "says": says}));
    }
}

fn bytes(message: &Message) -> usize {
    match message {
        Message::System { text } | Message::User { text } | Message::Tool { text, .. } => text.len(),
        Message::Assistant { text, calls } => {
            text.len() + calls.iter().map(|call| call.name.len() + call.arguments.len()).sum::<usize>()
        }
    }
}

/// What a draft starts from.
fn opening(desk: &Desk<'_>, kind: ArtifactKind, most: usize) -> String {
    let mut parts = match kind {
        ArtifactKind::Spec => for_spec(desk, most),
        _ => for_design(desk, kind, most),
    };
    if desk.failed(kind) {
        parts.extend(failure_told(desk));
        parts.push("Say what you want called, or that you want nothing.".into());
        return parts.join("\n\n");
    }
    if kind == ArtifactKind::Flow {
        parts.extend(holes_told(desk));
    }
    parts.push(format!("Draft {kind}."));
    parts.join("\n\n")
}

fn for_spec(desk: &Desk<'_>, most: usize) -> Vec<String> {
    let view = &desk.view;
    let mut parts = Vec::new();
    let request = view.documents.request();
    if let Some(request) = request {
        let asked = json!({"text": request.text, "inputs": request.inputs});
        parts.push(format!("This was asked for:\n{}", data("request", &asked)));
    }
    let earlier: Vec<Value> = view.state.talk.earlier().iter().map(heard).collect();
    if !earlier.is_empty() {
        parts.push(format!("This was said since:\n{}", data("said", &json!(earlier))));
    }
    if let Some(spec) = view.documents.spec() {
        parts.push(format!("This version was filed before:\n{}", data("spec.yaml", &json!(spec))));
        parts.extend(rejected(&view.state.gate1));
        if let Some(report) = view.documents.discovery() {
            let findings: Vec<&str> = report.findings.iter().map(|finding| finding.text.as_str()).collect();
            let blocked: Vec<_> = report.blocked().collect();
            let found = json!({"verdict": report.verdict, "findings": findings, "blocked": blocked});
            parts.push(format!("Discovery says that it needs another version:\n{}", data("findings", &found)));
        }
    }
    parts.extend(material(desk, most));
    let tools: Vec<Value> = desk.catalog.toolbox.tools().map(described).collect();
    parts.push(format!("These tools exist:\n{}", data("tools", &cut(&json!(tools), most).0)));
    let targets = &desk.catalog.inventory.targets;
    let told: Vec<Value> = targets
        .iter()
        .take(TARGETS)
        .map(|target| {
            json!({
                "name": target.name, "is": target.is, "environment": target.environment, "groups": target.groups,
                "tags": target.tags,
            })
        })
        .collect();
    let left = targets.len().saturating_sub(TARGETS);
    parts.push(format!(
        "These targets exist:\n{}",
        data("targets", &cut(&json!({"targets": told, "not_shown": left}), most).0)
    ));
    parts
}

fn for_design(desk: &Desk<'_>, kind: ArtifactKind, most: usize) -> Vec<String> {
    let view = &desk.view;
    let mut parts = Vec::new();
    if let Some(spec) = view.documents.spec() {
        parts.push(format!("This spec was approved:\n{}", data("spec.yaml", &json!(spec))));
        let readings: Vec<Value> = spec
            .acceptance
            .iter()
            .map(|check| view.acceptance(check, true))
            .map(|reading| json!({"check": reading.check, "holds": reading.holds, "calls": reading.calls}))
            .collect();
        if kind == ArtifactKind::Discovery {
            parts
                .push(format!("The program has read the acceptance checks:\n{}", data("acceptance", &json!(readings))));
        }
        let granted = spec.boundary.discover.iter().chain(&spec.boundary.build);
        let mut names: Vec<_> = granted.map(|grant| &grant.tool).collect();
        names.sort();
        names.dedup();
        let tools: Vec<Value> =
            names.into_iter().filter_map(|name| desk.catalog.toolbox.tool(name)).map(described).collect();
        parts.push(format!("These tools are granted:\n{}", data("tools", &cut(&json!(tools), most).0)));
    }
    if let Some(report) = view.documents.discovery() {
        let reads: Vec<Value> = report
            .reads
            .iter()
            .map(|read| {
                let tool = desk.catalog.toolbox.tool(&read.tool);
                let stored = view.blobs.get(&read.result);
                let value = tool.zip(stored).map(|(tool, value)| shown(tool, value));
                let (value, whole) = value.as_ref().map(|value| cut(value, WHOLE.min(most))).unwrap_or_default();
                json!({
                    "id": read.id, "item": read.item, "tool": read.tool, "with": read.args, "call": read.call,
                    "shown": value, "whole": whole,
                })
            })
            .collect();
        let drifted: Vec<&str> = report.drift.iter().map(|drift| drift.node.as_str()).collect();
        let told = json!({
            "verdict": report.verdict, "capabilities": report.capabilities, "findings": report.findings,
            "reads": reads, "reuse": report.reuse, "drifted": drifted,
        });
        parts.push(format!("This is what discovery found:\n{}", data("discovery.report", &told)));
    }
    if let Some(design) = view.documents.design() {
        let which =
            if kind == ArtifactKind::Flow { "This design was approved" } else { "This version was filed before" };
        parts.push(format!("{which}:\n{}", data("solution.design", &json!(design))));
        parts.extend(rejected(&view.state.gate2));
    }
    if kind == ArtifactKind::Flow {
        return parts;
    }
    parts.extend(material(desk, most));
    if !granted_reads(desk).is_empty() && kind == ArtifactKind::Discovery {
        parts.push("Read what you need with the tools that are offered.".into());
    }
    parts
}

fn rejected(gate: &GateState) -> Option<String> {
    let GateState::Rejected { reason, .. } = gate else { return None };
    Some(format!("A person rejected it, and said why:\n{}", data("rejection", &json!({"reason": reason}))))
}

fn heard(heard: &Heard) -> Value {
    let answers: Vec<Value> = heard
        .questions
        .iter()
        .map(|question| json!({"question": question.text, "answer": heard.said.answers.get(&question.id)}))
        .collect();
    json!({"says": heard.said.text, "answers": answers})
}

/// The blueprints that came with the request.
fn material(desk: &Desk<'_>, most: usize) -> Option<String> {
    let request = desk.view.documents.request()?;
    let blueprints: Vec<_> = request.blueprint.iter().chain(&request.material).collect();
    if blueprints.is_empty() {
        return None;
    }
    Some(format!(
        "These blueprints are like it, the nearest first:\n{}",
        data("blueprints", &cut(&json!(blueprints), most).0)
    ))
}

/// A tool as a draft needs to know it.
fn described(tool: &Tool) -> Value {
    json!({
        "name": tool.name, "about": tool.about, "effect": tool.effect, "target": tool.target,
        "arguments": parameters(tool), "state_is_read_with": tool.state.as_ref().map(|state| &state.tool),
        "can_be_undone": !tool.irreversible(), "empty_answer": tool.empty, "answers_shown": tool.output,
    })
}
