//! A studio: an engagement, its prompts, and the models' lines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use crate::{
    agent::{Desk, Draft, Move, Prompts, next_move, offer},
    artifact::{Agent, ArtifactKind, Blueprint, Digest, from_yaml},
    engagement::{
        About, Actor, CallRefused, Closed, Command, Considered, Finish, Next, Proposal, Purpose, RefusedAs,
        RequesterSaid, State, Turned, Usage, drafter,
    },
    facts::Role,
    model::{Answer, Message, ModelRequest, ToolRequest},
    policy::{Layer, Spoke},
    record::fixture::{Chain, VLAN, ada, object},
};

pub(in crate::agent) struct Studio {
    pub(in crate::agent) chain: Chain,
    pub(in crate::agent) prompts: Prompts,
    /// What the models say next.
    pub(in crate::agent) lines: VecDeque<Answer>,
    /// Every request that was made.
    pub(in crate::agent) requests: Vec<ModelRequest>,
    /// Calls that are refused as outside the boundary, by tool.
    pub(in crate::agent) outside: BTreeSet<String>,
}

/// Where a studio stops.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::agent) enum Stop {
    /// The model has no more lines.
    Silent,
    /// The requester is asked.
    Asked,
    /// A gate.
    Gate(About),
    /// It is over.
    Closed(Closed),
}

impl Studio {
    pub(in crate::agent) fn new(text: &str) -> Self {
        Self::of(Chain::words(text))
    }

    pub(in crate::agent) fn of(chain: Chain) -> Self {
        let (prompts, lines) = (Prompts::default(), VecDeque::new());
        Self { chain, prompts, lines, requests: Vec::new(), outside: BTreeSet::new() }
    }

    pub(in crate::agent) fn desk(&self) -> Desk<'_> {
        Desk { view: self.chain.view(), catalog: &self.chain.catalog, prompts: &self.prompts, room: None }
    }

    /// Goes on with these lines.
    pub(in crate::agent) fn hears(&mut self, lines: impl IntoIterator<Item = Answer>) -> Stop {
        self.lines.extend(lines);
        self.run()
    }

    pub(in crate::agent) fn run(&mut self) -> Stop {
        for _ in 0..2000 {
            let next = self.chain.next().unwrap_or_else(|error| panic!("{error}"));
            match next {
                Next::Draft(kind) if self.chain.view().asks_a_model(kind) => {
                    if let Some(stop) = self.draft(kind) {
                        return stop;
                    }
                }
                Next::Consider(_) => {
                    if let Some(stop) = self.draft(ArtifactKind::Flow) {
                        return stop;
                    }
                }
                other => match self.chain.one(other) {
                    Ok(()) => {}
                    Err(Some(about)) => return Stop::Gate(about),
                    Err(None) => return Stop::Closed(self.chain.state().closed.clone().unwrap()),
                },
            }
        }
        panic!("it does not end");
    }

    fn draft(&mut self, kind: ArtifactKind) -> Option<Stop> {
        let next = next_move(&self.desk(), kind).unwrap_or_else(|error| panic!("{error}"));
        self.the_same_after_a_restart(kind, &next);
        match next {
            Move::CallModel(asking) => {
                check(&self.desk(), kind, &asking.request);
                self.requests.push(asking.request);
                let Some(line) = self.lines.pop_front() else {
                    self.requests.pop();
                    return Some(Stop::Silent);
                };
                let response = self.chain.store(&line);
                let turned = Turned {
                    agent: asking.agent,
                    drafting: kind,
                    turn: asking.turn,
                    prompt: asking.prompt,
                    request: Digest::ZERO,
                    response: Some(response),
                    sealed: false,
                    endpoint: line.endpoint.clone(),
                    model: line.model.clone(),
                    usage: line.usage,
                    latency_ms: 20,
                    finish: line.finish.clone(),
                    calls: line.calls.len() as u32,
                    error: None,
                    currency: Some("EUR".into()),
                    notes: Vec::new(),
                };
                self.chain.act(Actor::Agent(asking.agent), Command::Turn(Box::new(turned))).unwrap();
            }
            Move::CallTools(proposals) => self.propose(&proposals[0]),
            Move::Ask(asked) => self.chain.act(Actor::Agent(asked.agent), Command::Inquire(asked)).unwrap(),
            Move::Wait => return Some(Stop::Asked),
            Move::GiveBack(returned) => self.chain.act(Actor::Program, Command::GiveBack(returned)).unwrap(),
            Move::GiveUp(because) if self.desk().failed(kind) => {
                let node = self.chain.view().failing().unwrap().id.clone();
                let attempt = self.chain.state().attempt(&node);
                let nothing = Considered { node, attempt, turn: None, wants: Vec::new(), because };
                self.chain.act(Actor::Program, Command::Consider(nothing)).unwrap();
            }
            Move::GiveUp(reason) => {
                let outcome = crate::artifact::RecordOutcome::GivenUp;
                self.chain.act(Actor::Program, Command::Close(Closed { outcome, reason })).unwrap();
            }
            Move::Done(Draft::Flow(filled)) => {
                self.chain.act(Actor::Agent(Agent::Build), Command::Fill(*filled)).unwrap();
            }
            Move::Done(Draft::Failure(considered)) => {
                self.chain.act(Actor::Agent(Agent::Build), Command::Consider(*considered)).unwrap();
            }
            Move::Done(draft) => {
                let state = self.chain.state();
                let mut made_from = vec![state.requested.request];
                made_from.extend(state.artifacts.values().map(|filed| filed.digest));
                made_from.extend(state.talk.draft(kind));
                let actor = Actor::Agent(drafter(kind).unwrap());
                let digest = match &draft {
                    Draft::Spec(spec) => self.chain.store(spec),
                    Draft::Discovery(report) => self.chain.store(report),
                    Draft::Design(design) => self.chain.store(design),
                    Draft::Flow(_) | Draft::Failure(_) => unreachable!(),
                };
                self.chain.act(actor, Command::File { artifact: kind, digest, made_from }).unwrap();
            }
        }
        None
    }

    /// A turn about this that no answer comes to.
    pub(in crate::agent) fn hears_nothing(&mut self, kind: ArtifactKind) {
        let Move::CallModel(asking) = next_move(&self.desk(), kind).unwrap() else { panic!("nobody is asked") };
        let turned = Turned {
            agent: asking.agent,
            drafting: kind,
            turn: asking.turn,
            prompt: asking.prompt,
            request: Digest::ZERO,
            response: None,
            sealed: false,
            endpoint: "fast".into(),
            model: "m1".into(),
            usage: Usage::default(),
            latency_ms: 20,
            finish: Finish::Failed,
            calls: 0,
            error: Some("it does not answer".into()),
            currency: None,
            notes: Vec::new(),
        };
        self.chain.act(Actor::Agent(asking.agent), Command::Turn(Box::new(turned))).unwrap();
    }

    /// The broker in small: what an agent may not is refused, and everything else answered.
    fn propose(&mut self, proposal: &Proposal) {
        let known = proposal.tool.parse().ok().and_then(|name| self.chain.catalog.toolbox.tool(&name)).is_some();
        let granted = offer::granted_reads(&self.desk()).iter().any(|tool| tool.name.as_str() == proposal.tool);
        if known && granted && proposal.agent != Agent::Build && !self.outside.contains(&proposal.tool) {
            return self.chain.call(proposal);
        }
        let (layer, rule) = match proposal.agent {
            _ if !known => (Layer::Tool, "tool.unknown"),
            Agent::Requirements => (Layer::Gate, "agent.requirements"),
            Agent::Build => (Layer::Contract, "agent.build"),
            _ => (Layer::Boundary, "boundary.none"),
        };
        let reason = "no grant lets it".to_owned();
        let refused = CallRefused {
            call: self.chain.state().next_call(),
            digest: None,
            purpose: proposal.purpose.clone(),
            agent: proposal.agent,
            tool: proposal.tool.clone(),
            args: proposal.args.clone().into(),
            refused: RefusedAs::Denied,
            rules: vec![Spoke { layer, rule: rule.into(), reason }],
            decided_on: Digest::ZERO,
        };
        self.chain.act(Actor::Agent(proposal.agent), Command::Refuse(Box::new(refused))).unwrap();
    }

    /// The chain folded anew leads to the same move.
    fn the_same_after_a_restart(&self, kind: ArtifactKind, next: &Move) {
        let state = State::replay(&self.chain.events).unwrap();
        let mut documents = crate::engagement::Documents::default();
        documents.refresh(&state, &self.chain.blobs).unwrap();
        let view = crate::engagement::View { state: &state, documents: &documents, ..self.chain.view() };
        let desk = Desk { view, ..self.desk() };
        assert_eq!(next_move(&desk, kind).unwrap(), *next);
    }

    pub(in crate::agent) fn says(&mut self, text: &str, answers: Value) {
        let said = said(text, answers);
        self.chain.act(ada(), Command::Say { said, roles: [Role::Requester].into() }).unwrap();
    }

    pub(in crate::agent) fn approves(&mut self, about: About) {
        let calls = if about == About::Gate2 { self.chain.known_calls() } else { Vec::new() };
        let request = self.chain.rests_on();
        self.chain.answer_with(&about, request, crate::engagement::Answer::Approve, calls);
    }

    pub(in crate::agent) fn rejects(&mut self, about: About) {
        let request = self.chain.rests_on();
        self.chain.answer_with(&about, request, crate::engagement::Answer::Reject, Vec::new());
    }

    /// In feasibility, with an approved spec for VLAN 120 on `sw01` and `sw02`.
    pub(in crate::agent) fn approved() -> Self {
        let mut studio = Self::new("VLAN 120 guest on sw01 and sw02");
        assert_eq!(studio.hears([text(&spec().to_string())]), Stop::Gate(About::Gate1));
        studio.approves(About::Gate1);
        studio
    }

    /// The texts of the last request.
    pub(in crate::agent) fn told(&self) -> String {
        self.requests.last().map(told).unwrap_or_default()
    }

    /// What the model would be told next.
    pub(in crate::agent) fn told_next(&self) -> String {
        match next_move(&self.desk(), ArtifactKind::Flow).unwrap() {
            Move::CallModel(asking) => told(&asking.request),
            other => panic!("{other:?}"),
        }
    }

    /// How often each kind of event happened.
    pub(in crate::agent) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        self.chain.events.iter().for_each(|event| *counts.entry(event.body.kind()).or_default() += 1);
        counts
    }
}

pub(in crate::agent) fn told(request: &ModelRequest) -> String {
    serde_json::to_string(&request.messages).unwrap()
}

/// What holds for every request, whatever led to it.
pub(in crate::agent) fn check(desk: &Desk<'_>, kind: ArtifactKind, request: &ModelRequest) {
    assert_eq!(request.agent, drafter(kind).unwrap());
    assert!(matches!(request.messages.first(), Some(Message::System { .. })));
    assert!(!request.messages.iter().skip(1).any(|message| matches!(message, Message::System { .. })));
    // Each result answers a call of the turn before, each call has one result, and no id stands twice.
    let mut open: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    for message in &request.messages {
        match message {
            Message::Assistant { calls, .. } => {
                assert!(open.is_empty(), "calls without a result: {open:?}");
                open = calls.iter().map(|call| call.id.clone()).collect();
                assert!(open.iter().all(|id| seen.insert(id.clone())), "an id twice");
            }
            Message::Tool { call, .. } => {
                let at = open.iter().position(|id| id == call);
                open.remove(at.unwrap_or_else(|| panic!("{call} answers nothing of the turn before")));
            }
            Message::System { .. } | Message::User { .. } => assert!(open.is_empty(), "no result for {open:?}"),
        }
    }
    assert!(open.is_empty(), "no result for {open:?}");
    let granted: BTreeSet<&str> = match desk.view.documents.spec() {
        Some(spec) => spec.boundary.discover.iter().map(|grant| grant.tool.as_str()).collect(),
        None => BTreeSet::new(),
    };
    for tool in &request.tools {
        let own = match kind {
            ArtifactKind::Spec => tool.name == offer::ASK,
            ArtifactKind::Flow => tool.name == offer::READ_RESULT,
            _ => tool.name == offer::READ_RESULT || granted.contains(tool.name.as_str()),
        };
        assert!(own, "{} is offered for {kind}", tool.name);
    }
    let schema = &request.output.as_ref().unwrap().schema;
    let own = match kind {
        ArtifactKind::Spec => schemars::schema_for!(crate::artifact::Spec),
        ArtifactKind::Discovery => schemars::schema_for!(crate::artifact::DiscoveryReport),
        ArtifactKind::Flow if desk.failed(kind) => schemars::schema_for!(crate::agent::failed::FailureDraft),
        ArtifactKind::Flow => schemars::schema_for!(crate::agent::build::BuildDraft),
        _ => schemars::schema_for!(crate::artifact::SolutionDesign),
    };
    assert_eq!(*schema, own.to_value());
    // Nothing stands open or closed twice: material ends where the program ends it.
    let all = told(request);
    assert_eq!(all.matches("<data ").count() - 1, all.matches("</data>").count() - 1, "{all}");
}

pub(in crate::agent) fn said(text: &str, answers: Value) -> RequesterSaid {
    let text = (!text.is_empty()).then(|| text.to_owned());
    RequesterSaid { text, answers: object(answers).into_iter().collect() }
}

/// An answer in words.
pub(in crate::agent) fn text(text: &str) -> Answer {
    answer(text, Vec::new())
}

/// An answer with calls.
pub(in crate::agent) fn calls(calls: &[(&str, Value)]) -> Answer {
    let request = |(name, arguments): &(&str, Value)| ToolRequest {
        id: "call".into(),
        name: (*name).into(),
        arguments: match arguments {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        },
    };
    answer("", calls.iter().map(request).collect())
}

pub(in crate::agent) fn finish(finish: Finish, line: Answer) -> Answer {
    Answer { finish, ..line }
}

pub(in crate::agent) fn answer(text: &str, calls: Vec<ToolRequest>) -> Answer {
    let finish = if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
    let usage = Usage { input: 100, output: 10, estimated: false, cost_micros: Some(7) };
    let (endpoint, model) = ("house".into(), "small".into());
    Answer { text: text.into(), calls, finish, usage, endpoint, model, notes: Vec::new() }
}

/// A spec that stands: VLAN 120 guest on two switches.
pub(in crate::agent) fn spec() -> Value {
    let blueprint: Blueprint = from_yaml("vlan.yaml", VLAN).unwrap();
    let inputs = json!({"id": 120, "name": "guest", "switches": ["sw01", "sw02"]});
    let spec = blueprint.draft_spec(&blueprint.check_inputs(&object(inputs)).unwrap()).unwrap();
    let mut spec = serde_json::to_value(spec).unwrap();
    object_mut(&mut spec).remove("request");
    object_mut(&mut spec).remove("baseline");
    spec
}

fn object_mut(value: &mut Value) -> &mut serde_json::Map<String, Value> {
    value.as_object_mut().unwrap()
}

/// A report over the reads of the last turn.
pub(in crate::agent) fn report(studio: &Studio) -> Value {
    let own = |(purpose, id): (&Purpose, &crate::artifact::CallId)| {
        matches!(purpose, Purpose::Turn { .. }).then(|| id.to_string())
    };
    let made: Vec<String> = studio.chain.state().served.iter().filter_map(own).collect();
    let read = |id: &String| {
        let call = &studio.chain.state().calls[&id.parse().unwrap()];
        json!({"id": "vlans", "item": call.args.read(&studio.chain.blobs).unwrap()["switch"], "call": id})
    };
    json!({
        "verdict": "feasible",
        "capabilities": [{"need": "a VLAN", "status": "resolved", "tool": "vlan.create"}],
        "findings": [{"text": "VLAN 120 is free on both", "calls": made}],
        "reads": made.iter().map(read).collect::<Vec<_>>(),
    })
}

/// A design that stands.
pub(in crate::agent) fn design() -> Value {
    json!({
        "decisions": [{"decision": "one switch at a time", "because": "they do not depend on one another"}],
        "components": [{"name": "VLAN 120 guest", "disposition": "build"}],
        "steps": [{
            "id": "create", "tool": "vlan.create", "for_each": {"items": "inputs.switches", "at_most": 2},
            "with": {"switch": {"cel": "item"}, "id": {"cel": "inputs.id"}, "name": {"cel": "inputs.name"}},
            "on_failure": "undo_target",
        }],
        "acceptance": {"A1": ["create"]},
    })
}
