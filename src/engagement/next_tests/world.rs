//! A small network that is only a map, and a driver that does what [`next`] says against it, one thing at a time. No
//! broker: every call is allowed, unless a test says who must approve it first.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, LazyLock},
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::{
    About, Answer, Blobs, Body, CUT_OFF, CallAllowed, CallFinished, CallOutcome, CallRefused, Command, Documents, Next,
    Proposal, Purpose, RESENT, RefusedAs, RequestDocument, View, Void, call_digest, next_but_void,
    testing::{Story, answer, ask_anew},
};
use crate::{
    artifact::{
        ArtifactKind, CallId, DesignDraft, DesignKind, Digest, DiscoveryKind, DiscoveryReport, Independence, OnFailure,
        ReadResult, ReconciledRecord, RecordKind, RecordOutcome, SolutionDesign, Spec, Totals, Verdict, digest_of,
        from_yaml,
    },
    facts::Role,
    flow::NodeOutcome,
    policy::{Layer, Spoke},
    tool::{Effect, Pins, Toolbox},
};

static TOOLBOX: LazyLock<Toolbox> = LazyLock::new(|| {
    let manifest = from_yaml("tools", include_str!("tools.yaml")).unwrap();
    Toolbox::new(vec![manifest], Pins::default()).unwrap()
});

/// The network.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct World {
    /// VLAN names by switch and id.
    pub(super) vlans: BTreeMap<(String, u64), String>,
    /// Notes on switches; nothing lists them.
    pub(super) notes: Vec<String>,
    /// Numbers that were given out, by the call that took them.
    pub(super) numbers: BTreeMap<CallId, u64>,
    /// What took effect, in order.
    pub(super) done: Vec<String>,
    /// How often a job has yet to be looked at before it is ready.
    pub(super) busy: u32,
}

impl World {
    /// Acts or looks; the same id gives the same number again.
    fn answer(&mut self, call: &CallId, tool: &str, args: &Map<String, Value>) -> Result<Value, String> {
        let switch = args["switch"].as_str().unwrap().to_owned();
        let id = args.get("id").and_then(Value::as_u64).unwrap_or(0);
        let text = |name: &str| args[name].as_str().unwrap().to_owned();
        let mut did = |what: String| self.done.push(what);
        match tool {
            "vlan.list" => {
                let on = |((of, id), name): (&(String, u64), &String)| {
                    (*of == switch).then(|| json!({"id": id, "name": name}))
                };
                return Ok(json!({"vlans": self.vlans.iter().filter_map(on).collect::<Vec<_>>()}));
            }
            "job.status" => {
                let ready = self.busy == 0;
                self.busy = self.busy.saturating_sub(1);
                return Ok(json!({"ready": ready}));
            }
            "vlan.create" | "vlan.make" | "vlan.keep" if self.vlans.contains_key(&(switch.clone(), id)) => {
                return Err("it is there".into());
            }
            "vlan.create" | "vlan.make" | "vlan.keep" => {
                did(format!("create {id} on {switch}"));
                self.vlans.insert((switch, id), text("name"));
            }
            "vlan.wipe" if self.numbers.contains_key(call) => {}
            "vlan.delete" | "vlan.wipe" => {
                self.numbers.insert(call.clone(), 0);
                did(format!("delete {id} from {switch}"));
                self.vlans.remove(&(switch, id)).ok_or("it is not there")?;
            }
            "number.take" => {
                let next = 150 + self.numbers.len() as u64;
                if !self.numbers.contains_key(call) {
                    did(format!("take {next}"));
                }
                return Ok(json!({"id": self.numbers.entry(call.clone()).or_insert(next)}));
            }
            "note.add" | "note.pin" => {
                did(format!("note {}", text("text")));
                self.notes.push(text("text"));
            }
            "note.remove" => {
                did(format!("remove {}", text("text")));
                self.notes.retain(|note| *note != text("text"));
            }
            "slot.put" => return Ok(json!({"slot": 7})),
            "slot.clear" => did(format!("clear slot {}", args["slot"])),
            "note.unpin" if self.numbers.contains_key(call) => {}
            "note.unpin" => {
                did(format!("unpin {}", text("text")));
                self.notes.retain(|note| *note != text("text"));
                self.numbers.insert(call.clone(), 0);
            }
            other => return Err(format!("there is no {other}")),
        }
        Ok(json!({}))
    }
}

/// What goes wrong with a call, once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// The tool reports success and does nothing.
    Lie,
    /// It reports success and does it wrong.
    Half,
    /// It reports an error and does nothing.
    Error,
    /// It reports an error and does it.
    ErrorButDone,
    /// Nobody hears of it again, and nothing is done.
    Lost,
    /// The process that made it ends, and nothing is done.
    CutOff,
    /// Nobody hears of it again, and it is done.
    LostButDone,
    /// It cannot be sent.
    NotSent,
    /// The broker says no.
    Refused,
}

/// An engagement and the network that it is about.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) story: Story,
    pub(super) world: World,
    documents: Documents,
    blobs: Blobs,
    /// What goes wrong, by the words of the purpose.
    pub(super) faults: BTreeMap<String, VecDeque<Fault>>,
    /// Which steps need a person's leave, by the words of the purpose.
    pub(super) needs: BTreeMap<String, Role>,
    /// Answers other than yes, by what is asked.
    pub(super) answers: BTreeMap<String, Answer>,
    /// The gates that stand open and do not hold, until they are answered anew.
    pub(super) void: Vec<Void>,
    /// The role that answers are given in.
    pub(super) as_role: Role,
    /// Every turn so far: how many events there were, and the world and documents then.
    pub(super) turns: Vec<(usize, World, Blobs)>,
}

/// Why a run rests.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rest {
    Asked(About),
    Window(Timestamp),
    Pause(u32),
    Closed,
}

const SPEC: &str = "
kind: spec
title: t
inputs: {id: 120, on: [sw01, sw02]}
requirements: [{id: R1, text: t}]
boundary: {discover: [], build: [{tool: vlan.create, where: {switch: {any: true}}}]}
acceptance:
  - {id: A1, covers: [R1], check: {tool: vlan.list, with: {switch: sw02}}, expect: 'result.vlans.exists(v, v.id == 120)'}
";

/// Creates the VLAN on both switches; the braces stay open for more fields.
pub(super) const CREATE: &str = "id: create, tool: vlan.create, for_each: {items: inputs.on, at_most: 4}, \
                                 with: {switch: {cel: item}, id: {cel: inputs.id}, name: guest}";

impl Run {
    /// A request for these steps, each in the braces of a YAML map.
    pub(super) fn new(steps: &[&str]) -> Self {
        Self::with_spec("", steps)
    }

    /// The same with more lines in the spec.
    pub(super) fn with_spec(more: &str, steps: &[&str]) -> Self {
        let steps: Vec<String> = steps.iter().map(|step| format!("{{{step}}}")).collect();
        let discover =
            "{id: vlans, tool: vlan.list, for_each: {items: inputs.on, at_most: 4}, with: {switch: {cel: item}}}";
        let draft = format!("{{discover: [{discover}], steps: [{}], acceptance: {{}}}}", steps.join(", "));
        let spec: Spec = from_yaml("spec", &format!("{SPEC}{more}")).unwrap();
        let design: DesignDraft = from_yaml("design", &draft).unwrap();
        let request = RequestDocument { spec: Some(spec), design: Some(design), ..RequestDocument::default() };
        let mut blobs = Blobs::new();
        let request = keep(&mut blobs, &request);
        let mut run = Self {
            story: Story::begin(request),
            world: World::default(),
            documents: Documents::default(),
            blobs,
            faults: BTreeMap::new(),
            needs: BTreeMap::new(),
            answers: BTreeMap::new(),
            void: Vec::new(),
            as_role: Role::Owner,
            turns: Vec::new(),
        };
        run.documents.refresh(&run.story.state, &run.blobs).unwrap();
        run
    }

    /// With this going wrong at a purpose, time after time.
    pub(super) fn fault(mut self, at: &str, faults: &[Fault]) -> Self {
        self.faults.insert(at.to_owned(), faults.iter().cloned().collect());
        self
    }

    /// With this answer to a question instead of yes.
    pub(super) fn answering(mut self, about: &str, answer: Answer) -> Self {
        self.answers.insert(about.to_owned(), answer);
        self
    }

    pub(super) fn view(&self) -> View<'_> {
        View { state: &self.story.state, documents: &self.documents, blobs: &self.blobs, toolbox: &TOOLBOX }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_second(self.story.clock).unwrap()
    }

    #[track_caller]
    pub(super) fn next(&self) -> Next {
        next_but_void(&self.view(), &self.void, self.now()).unwrap()
    }

    #[track_caller]
    pub(super) fn act(&mut self, command: Command) {
        self.story = self.story.clone().then(command);
        self.documents.refresh(&self.story.state, &self.blobs).unwrap();
        self.turn();
    }

    fn turn(&mut self) {
        self.turns.push((self.story.events.len(), self.world.clone(), self.blobs.clone()));
    }

    /// The run after a crash right after a turn: what a new process finds.
    pub(super) fn crashed_after(&self, turn: usize) -> Self {
        let (events, world, blobs) = &self.turns[turn];
        let mut run = self.clone();
        run.turns.clear();
        run.story.events.truncate(*events);
        run.story.state = super::super::State::replay(&run.story.events).unwrap();
        run.story.clock = run.story.state.last_at.as_second() + 1;
        (run.world, run.blobs) = (world.clone(), blobs.clone());
        run.documents = Documents::default();
        run.documents.refresh(&run.story.state, &run.blobs).unwrap();
        run
    }

    /// Does what is next, one thing.
    #[track_caller]
    pub(super) fn step(&mut self) -> Option<Rest> {
        match self.next() {
            Next::Draft(kind) => self.draft(kind),
            Next::Enter(phase, reason) => self.act(Command::Enter { phase, reason }),
            Next::Call(proposal) => self.call(proposal),
            Next::Expire(call) => self.finish(&call, CallOutcome::Unknown, None, CUT_OFF),
            Next::Resend(call) => {
                let known = self.story.state.calls[&call].clone();
                let result = self.world.answer(&call, &known.tool, known.args.read(&self.blobs).unwrap()).unwrap();
                self.finish(&call, CallOutcome::Ok, Some(result), &format!("{RESENT}: from memory"));
            }
            Next::Pause(seconds) => return Some(Rest::Pause(seconds)),
            Next::Ask(about) => {
                let because = self.void.iter().find(|void| void.gate.about() == about).map(|void| void.because.clone());
                self.act(ask_anew(about, because.unwrap_or_default()));
            }
            Next::Wait(about) => return Some(Rest::Asked(about)),
            Next::WaitUntil(opens) => return Some(Rest::Window(opens)),
            Next::Void(void) => self.act(Command::Void(void)),
            Next::Settle(settled) => self.act(Command::Settle(settled)),
            Next::Deviate(found) => self.act(Command::Deviate(found)),
            Next::Consider(node) => panic!("no model is asked about {node} here"),
            Next::Close(closed) => self.act(Command::Close(closed)),
            Next::Closed => return Some(Rest::Closed),
        }
        None
    }

    /// Goes on until it rests.
    #[track_caller]
    pub(super) fn rest(&mut self) -> Rest {
        for _ in 0..300 {
            if let Some(rest) = self.step() {
                return rest;
            }
        }
        panic!("does not rest: {:#?}", &self.told()[self.told().len() - 20..]);
    }

    /// Goes on until `until` is what it would do or waits for.
    #[track_caller]
    pub(super) fn run_to(mut self, until: impl Fn(&Next) -> bool) -> Self {
        for _ in 0..300 {
            if until(&self.next()) {
                return self;
            }
            if let Some(rest) = self.step() {
                self.go_on(&rest);
            }
        }
        panic!("never comes to it: {:#?}", &self.told()[self.told().len() - 20..]);
    }

    /// Answers every question and waits out every pause, to the end.
    #[track_caller]
    pub(super) fn finished(self) -> Self {
        self.run_to(|next| *next == Next::Closed)
    }

    fn go_on(&mut self, rest: &Rest) {
        match rest {
            Rest::Asked(about) => self.reply(about),
            Rest::Window(opens) => self.story.clock = opens.as_second(),
            Rest::Pause(seconds) => self.story.clock += i64::from(*seconds),
            Rest::Closed => {}
        }
    }

    /// Answers as the test says, else yes; whoever is asked whether a note is there goes and looks.
    #[track_caller]
    pub(super) fn reply(&mut self, about: &About) {
        let given = self.answers.get(&about.to_string()).cloned().unwrap_or(match about {
            About::Failure { .. } => Answer::Choose(OnFailure::Stop),
            About::Unknown { undo, .. } => Answer::Applied(self.world.notes.is_empty() == *undo),
            _ => Answer::Approve,
        });
        self.void.retain(|void| void.gate.about() != *about);
        let command = answer(&self.story.state, given, &[self.as_role]);
        self.act(command);
    }

    fn call(&mut self, proposal: Proposal) {
        let Proposal { agent, purpose, tool, args } = proposal;
        let state = &self.story.state;
        let (call, words) = (state.next_call(), purpose.words());
        let name = tool.parse().unwrap();
        let known = TOOLBOX.tool(&name).unwrap();
        let args = TOOLBOX.check_args(known, &args).unwrap();
        let digest = call_digest(&state.id, purpose.node(), &tool, &args.clone().into()).unwrap();
        let fault = self.faults.get_mut(&words).and_then(VecDeque::pop_front);
        let approved = state.approved_in(&digest, self.now());
        let refused = match self.needs.get(&words) {
            Some(role) if approved.is_none_or(|given| given < *role) => Some(RefusedAs::NeedsApproval(*role)),
            _ => (fault == Some(Fault::Refused)).then_some(RefusedAs::Denied),
        };
        if let Some(refused) = refused {
            let rules = vec![Spoke { layer: Layer::Stage, rule: "r".into(), reason: "because".into() }];
            let (digest, decided_on, args) = (Some(digest), Digest::ZERO, args.into());
            let refused = CallRefused { call, digest, purpose, agent, tool, args, refused, rules, decided_on };
            return self.act(Command::Refuse(Box::new(refused)));
        }
        let writes = known.effect != Effect::Read && !matches!(purpose, Purpose::Undo { .. });
        self.act(Command::Allow(Box::new(CallAllowed {
            call: call.clone(),
            digest,
            counts: purpose.node().filter(|_| writes).map(ToString::to_string),
            purpose,
            agent,
            tool: name,
            target: args["switch"].as_str().unwrap().to_owned(),
            args: args.clone().into(),
            grant: "build.0".into(),
            approved: writes && approved.is_some(),
            rules: Vec::new(),
            decided_on: Digest::ZERO,
        })));
        let half = |mut args: Map<String, Value>| {
            args.insert("name".into(), json!("wrong"));
            args
        };
        let (outcome, result) = match fault {
            None => match self.world.answer(&call, &tool, &args) {
                Ok(result) => (CallOutcome::Ok, Some(result)),
                Err(_) => (CallOutcome::Error, None),
            },
            Some(Fault::Lie) => (CallOutcome::Ok, Some(json!({}))),
            Some(Fault::Half) => (CallOutcome::Ok, self.world.answer(&call, &tool, &half(args)).ok()),
            Some(Fault::Error) => (CallOutcome::Error, None),
            Some(Fault::ErrorButDone) => (CallOutcome::Error, self.world.answer(&call, &tool, &args).ok().and(None)),
            Some(Fault::Lost | Fault::CutOff) => (CallOutcome::Unknown, None),
            Some(Fault::LostButDone) => (CallOutcome::Unknown, self.world.answer(&call, &tool, &args).ok().and(None)),
            Some(Fault::NotSent | Fault::Refused) => (CallOutcome::NotSent, None),
        };
        // The effect is there and its outcome is not written yet: the worst moment to crash.
        self.turn();
        self.finish(&call, outcome, result, if fault == Some(Fault::CutOff) { CUT_OFF } else { "it said" });
    }

    fn finish(&mut self, call: &CallId, outcome: CallOutcome, result: Option<Value>, message: &str) {
        let result = result.map(|result| keep(&mut self.blobs, &result));
        let message = Some(message.to_owned());
        self.act(Command::Finish(CallFinished { call: call.clone(), outcome, result, sealed: false, message }));
    }

    fn draft(&mut self, kind: ArtifactKind) {
        let request = self.documents.request().unwrap().clone();
        let at = |kind| self.story.state.artifact(kind).unwrap_or(Digest::ZERO);
        let digest = match kind {
            ArtifactKind::Spec => {
                let mut spec = request.spec.clone().unwrap();
                spec.request = Some(self.story.state.requested.request);
                spec.title = format!("version {}", self.story.state.versions.len());
                keep(&mut self.blobs, &spec)
            }
            ArtifactKind::Discovery => {
                let report = self.discovery();
                keep(&mut self.blobs, &report)
            }
            ArtifactKind::Design => {
                let draft = request.design.clone().unwrap();
                let design = SolutionDesign {
                    kind: DesignKind::Design,
                    spec: at(ArtifactKind::Spec),
                    discovery: at(ArtifactKind::Discovery),
                    inputs: request.spec.clone().unwrap().inputs,
                    decisions: Vec::new(),
                    components: Vec::new(),
                    steps: draft.steps,
                    acceptance: BTreeMap::new(),
                };
                keep(&mut self.blobs, &design)
            }
            ArtifactKind::Flow => {
                let flow = self.view().preview().unwrap();
                keep(&mut self.blobs, &flow)
            }
            ArtifactKind::Record => {
                let record = self.record();
                keep(&mut self.blobs, &record)
            }
        };
        let state = &self.story.state;
        let made_from = state.artifacts.values().map(|filed| filed.digest).chain([state.requested.request]).collect();
        self.act(Command::File { artifact: kind, digest, made_from });
    }

    fn discovery(&self) -> DiscoveryReport {
        let view = self.view();
        let reads = view.reads().unwrap().into_iter().filter_map(|read| {
            let (call, made) = view.state.call_for(&read.proposal.purpose)?;
            let (tool, result) = (read.proposal.tool.parse().unwrap(), made.result?);
            let args = made.args.read(view.blobs)?.clone();
            Some(ReadResult { id: read.id, item: read.item, tool, args, call: call.clone(), result })
        });
        DiscoveryReport {
            kind: DiscoveryKind::Discovery,
            spec: view.state.artifact(ArtifactKind::Spec).unwrap(),
            verdict: Verdict::Feasible,
            capabilities: Vec::new(),
            findings: Vec::new(),
            reads: reads.collect(),
            acceptance: Vec::new(),
            drift: Vec::new(),
            reuse: Vec::new(),
        }
    }

    /// Only as much of a record as closing needs.
    fn record(&self) -> ReconciledRecord {
        let state = &self.story.state;
        let well = |outcome| matches!(outcome, NodeOutcome::Done | NodeOutcome::Unchanged | NodeOutcome::Skipped);
        let all = state.nodes.values().all(|settled| well(settled.outcome));
        ReconciledRecord {
            kind: RecordKind::Record,
            spec: state.artifact(ArtifactKind::Spec).unwrap(),
            discovery: state.artifact(ArtifactKind::Discovery),
            design: state.artifact(ArtifactKind::Design),
            flow: state.artifact(ArtifactKind::Flow),
            outcome: if all { RecordOutcome::Done } else { RecordOutcome::Failed },
            summary: "t".into(),
            out_of_scope: Vec::new(),
            requirements: Vec::new(),
            targets: Vec::new(),
            steps: Vec::new(),
            deviations: Vec::new(),
            filled: Vec::new(),
            residual: Vec::new(),
            reading: Independence::SameServer,
            totals: Totals {
                calls: 0,
                refused: 0,
                outside: 0,
                approvals: 0,
                model_tokens: 0,
                model_tokens_estimated: 0,
                model_turns: 0,
                model_cost_micros: 0,
                model_currency: None,
                model_agents: Vec::new(),
                model_seconds: 0,
                working_seconds: 0,
                waiting_seconds: 0,
            },
        }
    }

    /// What became of the nodes, such as `create/sw01 Done`.
    pub(super) fn nodes(&self) -> Vec<String> {
        self.story.state.nodes.iter().map(|(node, settled)| format!("{node} {:?}", settled.outcome)).collect()
    }

    /// Why a node was settled as it was.
    pub(super) fn reason(&self, node: &str) -> &str {
        let found = self.story.state.reasons.iter().find(|(id, _)| id.as_str() == node);
        found.map_or("", |(_, reason)| reason)
    }

    /// The events in words.
    pub(super) fn told(&self) -> Vec<String> {
        let words = |body: &Body| match body {
            Body::Allowed(allowed) => format!("{}: {} {:?}", allowed.call, allowed.purpose.words(), allowed.args),
            Body::Refused(refused) => format!("{}: refused {}", refused.call, refused.purpose.words()),
            other => format!("{other:?}"),
        };
        self.story.events.iter().map(|event| words(&event.body)).collect()
    }

    /// How often each thing took effect.
    pub(super) fn effects(&self) -> BTreeMap<&str, usize> {
        let mut times = BTreeMap::new();
        for what in &self.world.done {
            *times.entry(what.as_str()).or_default() += 1;
        }
        times
    }
}

fn keep<T: serde::Serialize>(blobs: &mut Blobs, document: &T) -> Digest {
    let digest = digest_of(document).unwrap();
    blobs.insert(digest, Arc::new(serde_json::to_value(document).unwrap()));
    digest
}
