//! For tests of this module: an engagement told as a story, event by event, each folded as a restart would fold it.
//! The events carry a hash of their own making; the chain's real hash is the ledger's, which stands below.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{Agent, ArtifactKind, CallId, Digest, NodeId, Phase, digest_bytes, digest_of},
    facts::{Identity, IdentityMeans, Role},
    flow::NodeOutcome,
    policy::{Layer, Proven, Spoke},
};

use super::{
    About, Actor, Answer, Asked, Body, CallAllowed, CallFinished, CallOutcome, CallRefused, Command, DeviationFound,
    Event, NodeSettled, PolicyAnswer, Purpose, Refusal, RefusedAs, Requested, SpecProved, State, decide,
};

/// An engagement and everything that happened in it.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) events: Vec<Event>,
    pub(super) state: State,
    /// Seconds since 1970 that the next event is written at.
    pub(super) clock: i64,
}

impl Story {
    /// A request for the document with this digest.
    pub(super) fn begin(request: Digest) -> Self {
        let requested = Requested {
            request,
            title: "t".into(),
            blueprint: None,
            from: None,
            model: false,
            seal: Some(digest("key")),
        };
        let first = event(1, 1_000, Actor::Person(person("rita")), Body::Requested(requested), Digest::ZERO);
        let state = State::begin(&first).unwrap();
        Self { events: vec![first], state, clock: 1_001 }
    }

    /// Writes an event without asking whether it may be.
    pub(super) fn tell(&mut self, body: Body) {
        let actor = match &body {
            Body::Answered(answered) if answered.policy.is_some() => Actor::Policy,
            Body::Answered(_) | Body::Cancelled { .. } | Body::Retried(_) => Actor::Person(person("ada")),
            Body::Filed(_) => Actor::Agent(Agent::Design),
            _ => Actor::Program,
        };
        let next = event(self.state.seq + 1, self.clock, actor, body, self.state.head);
        self.clock += 1;
        self.state.apply(&next);
        self.events.push(next);
    }

    /// Decides a command and writes what it gives.
    pub(super) fn act(&mut self, command: Command) -> Result<(), Refusal> {
        let body = decide(&self.state, command)?;
        self.tell(body);
        Ok(())
    }

    /// The story after a command that is accepted.
    #[track_caller]
    pub(super) fn then(mut self, command: Command) -> Self {
        let shown = format!("{command:?}");
        if let Err(refusal) = self.act(command) {
            panic!("refused: {refusal} ({refusal:?})\n{shown}");
        }
        self
    }

    /// Why a command is refused here, if it is.
    pub(super) fn refusal(&self, command: Command) -> Option<Refusal> {
        decide(&self.state, command).err()
    }

    /// Files the next version of an artifact, made from all that there is.
    #[track_caller]
    pub(super) fn file(self, artifact: ArtifactKind) -> Self {
        let command = file(&self.state, artifact);
        self.then(command)
    }

    /// Enters a phase.
    #[track_caller]
    pub(super) fn enter(self, phase: Phase) -> Self {
        self.then(Command::Enter { phase, reason: None })
    }

    /// Asks.
    #[track_caller]
    pub(super) fn ask(self, about: About) -> Self {
        self.then(ask(about))
    }

    /// Answers what is asked, as an approver.
    #[track_caller]
    pub(super) fn answer(self, given: Answer) -> Self {
        let command = answer(&self.state, given, &[Role::Approver]);
        self.then(command)
    }

    /// Allows a call.
    #[track_caller]
    pub(super) fn allow(self, agent: Agent, purpose: Purpose) -> Self {
        let command = allow(&self.state, agent, purpose);
        self.then(command)
    }

    /// Finishes the last call.
    #[track_caller]
    pub(super) fn finish(self, outcome: CallOutcome) -> Self {
        let call = CallId::nth(self.state.calls.len() as u64);
        self.then(finish(&call, outcome))
    }

    /// Allows a call and finishes it.
    #[track_caller]
    pub(super) fn call(self, agent: Agent, purpose: Purpose, outcome: CallOutcome) -> Self {
        self.allow(agent, purpose).finish(outcome)
    }

    /// Settles a node in its attempt.
    #[track_caller]
    pub(super) fn settle(self, id: &str, outcome: NodeOutcome, changed: bool) -> Self {
        let command = settle(&self.state, id, outcome, changed);
        self.then(command)
    }

    /// A request whose spec is filed, asked about and approved.
    pub(super) fn gate_1_open() -> Self {
        Self::begin(digest("request")).file(ArtifactKind::Spec).ask(About::Gate1).answer(Answer::Approve)
    }

    /// The design phase, with nothing designed.
    pub(super) fn to_design() -> Self {
        Self::gate_1_open().enter(Phase::Feasibility).file(ArtifactKind::Discovery).enter(Phase::Design)
    }

    /// A node that acted and came to this.
    #[track_caller]
    pub(super) fn came_to(self, id: &str, outcome: NodeOutcome, changed: bool) -> Self {
        self.call(Agent::Build, act(id, 1), CallOutcome::Ok).settle(id, outcome, changed)
    }

    /// The build phase, without a flow.
    pub(super) fn to_build() -> Self {
        let asked = Self::to_design().file(ArtifactKind::Design).ask(About::Gate2);
        asked.answer(Answer::Approve).enter(Phase::Build)
    }

    /// The build phase, with a flow.
    pub(super) fn building() -> Self {
        Self::to_build().file(ArtifactKind::Flow)
    }

    /// Node `a` is done and taken back.
    pub(super) fn undone() -> Self {
        let undo = Purpose::Undo { node: node("a") };
        Self::done().call(Agent::Build, undo, CallOutcome::Ok).settle("a", NodeOutcome::Undone, false)
    }

    /// Node `a` is done and read back.
    pub(super) fn done() -> Self {
        Self::building()
            .call(Agent::Verifier, Purpose::Recheck { node: node("a"), attempt: 1 }, CallOutcome::Ok)
            .call(Agent::Build, act("a", 1), CallOutcome::Ok)
            .call(Agent::Verifier, Purpose::ReadBack { node: node("a"), attempt: 1 }, CallOutcome::Ok)
            .settle("a", NodeOutcome::Done, true)
    }
}

fn event(seq: u64, at: i64, actor: Actor, body: Body, prev: Digest) -> Event {
    let at = Timestamp::from_second(at).unwrap();
    let mut event = Event { engagement: "k7m2q".parse().unwrap(), seq, at, actor, body, prev, hash: Digest::ZERO };
    event.hash = digest_of(&event).unwrap();
    // Folded as it would be read.
    serde_json::from_slice(&serde_json::to_vec(&event).unwrap()).unwrap()
}

pub(super) fn person(name: &str) -> Identity {
    Identity { name: name.into(), os_user: name.into(), means: IdentityMeans::Asserted }
}

/// The digest of a text; the same few are wanted very often.
pub(super) fn digest(text: &str) -> Digest {
    thread_local!(static KNOWN: RefCell<BTreeMap<String, Digest>> = RefCell::default());
    KNOWN.with_borrow_mut(|known| *known.entry(text.to_owned()).or_insert_with(|| digest_bytes(text.as_bytes())))
}

pub(super) fn node(id: &str) -> NodeId {
    serde_json::from_value(json!(id)).unwrap()
}

pub(super) fn act(id: &str, attempt: u32) -> Purpose {
    Purpose::Act { node: node(id), attempt, r#try: 1 }
}

/// The next version of an artifact, made from all that there is.
pub(super) fn file(state: &State, artifact: ArtifactKind) -> Command {
    let version = state.versions.get(&artifact).copied().unwrap_or(0) + 1;
    let made_from = state.artifacts.values().map(|filed| filed.digest).chain([state.requested.request]).collect();
    Command::File { artifact, digest: digest(&format!("{artifact} {version}")), made_from }
}

/// A proof about the current spec.
pub(super) fn proved(state: &State) -> SpecProved {
    let spec = state.artifact(ArtifactKind::Spec).unwrap_or(digest("nothing"));
    let report = digest(&format!("the proof about {spec}"));
    SpecProved { spec, report, solver: "cvc5 1.0.3".into(), verdict: Proven::Proven }
}

pub(super) fn deviate(id: &str) -> Command {
    let (what, contract, actual) = ("it differs".into(), json!(1), json!(2));
    let (node, calls, because) = (node(id), Vec::new(), None);
    Command::Deviate(DeviationFound { node, what, contract, actual, calls, because, undo: false })
}

/// A question; its request has a digest that no other question has.
pub(super) fn ask(about: About) -> Command {
    let request = digest(&about.to_string());
    Command::Ask(Asked::new(about, request, Role::Approver))
}

/// The same question, about a gate that was open and does not hold for these reasons.
pub(super) fn ask_anew(about: About, void: Vec<String>) -> Command {
    match ask(about) {
        Command::Ask(asked) => Command::Ask(Asked { void, ..asked }),
        other => other,
    }
}

/// The same question at trust stage 3.
pub(super) fn autonomous(command: Command) -> Command {
    match command {
        Command::Ask(asked) => Command::Ask(Asked { stage: 3, ..asked }),
        other => other,
    }
}

/// The policy's yes to what is asked, or to gate 1 where nothing is.
pub(super) fn ruled(state: &State) -> Command {
    let (about, request) =
        state.asked.as_ref().map_or((About::Gate1, Digest::ZERO), |asked| (asked.about.clone(), asked.request));
    let spoke = Spoke { layer: Layer::Gate, rule: "small".into(), reason: "it is small".into() };
    let policy = PolicyAnswer { rules: vec![spoke], facts: digest("facts"), policies: digest("policies") };
    let expires = state.last_at.checked_add(jiff::SignedDuration::from_hours(1)).ok();
    Command::Rule { about, request, policy, expires }
}

/// An answer to what is asked, or to gate 1 where nothing is.
pub(super) fn answer(state: &State, answer: Answer, roles: &[Role]) -> Command {
    let (about, request) =
        state.asked.as_ref().map_or((About::Gate1, Digest::ZERO), |asked| (asked.about.clone(), asked.request));
    let accepts = matches!(about, About::Deviation { .. });
    let reason = (answer == Answer::Reject || accepts).then(|| "no".to_owned());
    let roles: BTreeSet<Role> = roles.iter().copied().collect();
    Command::Answer { about, request, answer, roles, reason, calls: Vec::new(), expires: None, signed: None }
}

/// The next call, with arguments that follow from its purpose.
pub(super) fn intent(state: &State, agent: Agent, purpose: Purpose) -> CallAllowed {
    let writes = matches!(purpose, Purpose::Act { .. });
    let tool = if writes { "vlan.create" } else { "vlan.list" };
    let args: Map<String, Value> = purpose.node().map(|node| ("for".to_owned(), json!(node))).into_iter().collect();
    CallAllowed {
        call: state.next_call(),
        digest: digest(&format!("{tool} {:?}", purpose.node())),
        counts: purpose.node().filter(|_| writes).map(ToString::to_string),
        purpose,
        agent,
        tool: tool.parse().unwrap(),
        target: "sw01".into(),
        args: args.into(),
        grant: if writes { "build.0" } else { "discover.0" }.into(),
        approved: false,
        rules: Vec::new(),
        decided_on: Digest::ZERO,
    }
}

pub(super) fn allow(state: &State, agent: Agent, purpose: Purpose) -> Command {
    Command::Allow(Box::new(intent(state, agent, purpose)))
}

/// The next call, refused because a person must approve it.
pub(super) fn refuse(state: &State, agent: Agent, purpose: Purpose, refused: RefusedAs) -> Command {
    let CallAllowed { call, digest, purpose, agent, tool, args, rules, decided_on, .. } = intent(state, agent, purpose);
    let (digest, tool) = (Some(digest), tool.to_string());
    Command::Refuse(Box::new(CallRefused { call, digest, purpose, agent, tool, args, refused, rules, decided_on }))
}

pub(super) fn finish(call: &CallId, outcome: CallOutcome) -> Command {
    let result = (outcome == CallOutcome::Ok).then(|| digest(&format!("result of {call}")));
    Command::Finish(CallFinished { call: call.clone(), outcome, result, sealed: false, message: None })
}

pub(super) fn settle(state: &State, id: &str, outcome: NodeOutcome, changed: bool) -> Command {
    let attempt = state.attempt(&node(id));
    Command::Settle(NodeSettled { node: node(id), attempt, outcome, changed, reason: None })
}
