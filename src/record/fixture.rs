//! A whole engagement over a small network, driven by `next` and written through `decide`, for tests: what they look
//! at is a chain that could have been. Reads and writes are answered here; what a test scripts is answered as it says.

mod acting;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Compared, compare, made_again, network::Network, reconcile};
use crate::{
    artifact::{
        AcceptanceReading, Agent, ArtifactKind, Blueprint, Digest, DiscoveryKind, DiscoveryReport, Finding, NodeId,
        Phase, ReadResult, ReconciledRecord, Scope, SolutionDesign, Spec, Verdict, digest_of, fill, from_yaml,
    },
    engagement::{
        About, Actor, Answer, Asked, Blobs, Body, CallAllowed, CallFinished, CallOutcome, CallRefused, Command,
        Documents, Event, Next, NextError, Proposal, Purpose, Refusal, RefusedAs, RequestDocument, Requested, State,
        View, call_digest, decide, decide_for, next,
    },
    facts::{Identity, IdentityMeans, Role, spec_facts},
    policy::{ApprovedOn, Catalog, CatalogParts, Layer, Policies, PolicyTexts, Spoke},
    tool::{Effect, Pins, Toolbox},
};

pub(crate) const VLAN: &str = include_str!("../../prompts/blueprints/vlan.yaml");
pub(crate) const ADDRESS: &str = include_str!("../../prompts/blueprints/address.yaml");
const LAB: &str = include_str!("../../tools/lab.yaml");

/// What a scripted call does instead.
#[derive(Clone, Debug)]
pub(crate) enum Scripted {
    /// The tool says this error, and does nothing.
    Error(&'static str),
    /// The call does not reach the tool.
    NotSent(&'static str),
    /// The connection is lost; whether the tool acted is said.
    Lost {
        /// Whether it acted.
        acted: bool,
    },
    /// The tool reports success and does nothing.
    Lie,
    /// The broker refuses.
    Refuse(&'static str),
    /// Before the call someone removes this VLAN from this switch.
    Vanish(&'static str, i64),
    /// Before the call someone creates this VLAN on this switch.
    Appear(&'static str, i64, &'static str),
}

/// An engagement and the network that it works on.
pub(crate) struct Chain {
    pub(crate) catalog: Catalog,
    pub(crate) events: Vec<Event>,
    pub(crate) blobs: Blobs,
    pub(crate) documents: Documents,
    state: Option<State>,
    pub(crate) network: Network,
    script: BTreeMap<String, Vec<Scripted>>,
    seconds: i64,
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub(crate) fn ada() -> Actor {
    Actor::Person(Identity { name: "ada".into(), os_user: "ada".into(), means: IdentityMeans::Asserted })
}

pub(crate) fn catalog() -> Catalog {
    catalog_of(LAB)
}

pub(crate) fn catalog_of(manifest: &str) -> Catalog {
    let manifests = vec![from_yaml("lab.yaml", manifest).unwrap()];
    let toolbox = Toolbox::new(manifests, Pins::default()).unwrap();
    let texts = PolicyTexts {
        guardrails: include_str!("../../policies/guardrails.cedar"),
        stages: include_str!("../../policies/stages.cedar"),
        gates: include_str!("../../policies/gates.cedar"),
    };
    let policies = Policies::load(texts, &toolbox);
    // Whoever approves in these tests.
    let ada = "people:\n  - {name: ada, os_users: [], roles: [owner]}\n";
    let people = include_str!("../../policies/people.yaml").replace("people: []\n", ada);
    Catalog::from(CatalogParts {
        policies: policies.unwrap().into(),
        inventory: from_yaml("inventory.yaml", include_str!("../../policies/inventory.yaml")).unwrap(),
        people: from_yaml("people.yaml", &people).unwrap(),
        signers: Default::default(),
        toolbox: toolbox.into(),
    })
}

impl Chain {
    /// An engagement for VLAN 120 guest on all four switches.
    pub(crate) fn vlan() -> Self {
        Self::request(VLAN, json!({"id": 120, "name": "guest", "ticket": "CHG0031337"}))
    }

    /// An engagement from a blueprint.
    pub(crate) fn request(blueprint: &str, inputs: Value) -> Self {
        let blueprint: Blueprint = from_yaml("blueprint", blueprint).unwrap_or_else(|error| panic!("{error}"));
        let inputs = blueprint.check_inputs(&object(inputs)).unwrap();
        let title = blueprint.title.clone();
        let document = RequestDocument { blueprint: Some(blueprint), inputs, spec: None, ..RequestDocument::default() };
        Self::begin(catalog(), document, title)
    }

    /// An engagement from a hand-written spec.
    pub(crate) fn spec(spec: &str) -> Self {
        let spec: Spec = from_yaml("spec.yaml", spec).unwrap_or_else(|error| panic!("{error}"));
        let inputs = spec.inputs.clone();
        let title = spec.title.clone();
        let document = RequestDocument { blueprint: None, inputs, spec: Some(spec), ..RequestDocument::default() };
        Self::begin(catalog(), document, title)
    }

    /// An engagement that models draft.
    pub(crate) fn words(text: &str) -> Self {
        let document = RequestDocument { text: Some(text.into()), ..RequestDocument::default() };
        Self::begin(catalog(), document, text.into())
    }

    fn begin(catalog: Catalog, document: RequestDocument, title: String) -> Self {
        let mut chain = Self {
            catalog,
            events: Vec::new(),
            blobs: Blobs::new(),
            documents: Documents::default(),
            state: None,
            network: Network::new(),
            script: BTreeMap::new(),
            seconds: 0,
        };
        let request = chain.store(&document);
        let blueprint = document.blueprint.as_ref().map(|blueprint| blueprint.name.clone());
        let model = document.text.is_some();
        chain.push(ada(), Body::Requested(Requested { request, title, blueprint, from: None, model, seal: None }));
        chain
    }

    /// Another manifest for the lab.
    pub(crate) fn with_manifest(mut self, edit: impl Fn(&str) -> String) -> Self {
        self.catalog = catalog_of(&edit(LAB));
        self
    }

    /// An engagement that names the record of another one, without a baseline in its request.
    pub(crate) fn starting_from(mut self, engagement: &str) -> Self {
        self.state.as_mut().unwrap().requested.from = Some(engagement.parse().unwrap());
        self
    }

    /// What the calls for a purpose (in its own words) do instead, in order.
    pub(crate) fn script(mut self, purpose: &str, does: impl IntoIterator<Item = Scripted>) -> Self {
        self.script.insert(purpose.to_owned(), does.into_iter().collect());
        self
    }

    pub(crate) fn store<T: serde::Serialize>(&mut self, document: &T) -> Digest {
        let value = serde_json::to_value(document).unwrap();
        let digest = digest_of(&value).unwrap();
        self.blobs.insert(digest, Arc::new(value));
        digest
    }

    pub(crate) fn now(&self) -> Timestamp {
        let begin: Timestamp = "2026-12-01T22:00:00Z".parse().unwrap();
        begin + jiff::SignedDuration::from_secs(self.seconds)
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.seconds += seconds;
    }

    pub(crate) fn push(&mut self, actor: Actor, body: Body) {
        self.seconds += 1;
        let prev = self.events.last().map_or(Digest::ZERO, |event| event.hash);
        let seq = self.events.len() as u64 + 1;
        let hash = digest_of(&json!({"prev": prev, "seq": seq, "body": body})).unwrap();
        let engagement = "k7m2q".parse().unwrap();
        let event = Event { engagement, seq, at: self.now(), actor, body, prev, hash };
        match &mut self.state {
            Some(state) => state.apply(&event),
            None => self.state = State::begin(&event),
        }
        self.events.push(event);
        self.documents.refresh(self.state.as_ref().unwrap(), &self.blobs).unwrap();
    }

    pub(crate) fn command(&mut self, actor: Actor, command: Command) {
        let body = decide(self.state(), command).unwrap_or_else(|refusal| panic!("{refusal}"));
        self.push(actor, body);
    }

    /// What `actor` wants written, if it may be.
    pub(crate) fn act(&mut self, actor: Actor, command: Command) -> Result<(), Refusal> {
        let body = decide_for(self.state(), &actor, command)?;
        self.push(actor, body);
        Ok(())
    }

    pub(crate) fn state(&self) -> &State {
        self.state.as_ref().unwrap()
    }

    pub(crate) fn view(&self) -> View<'_> {
        let state = self.state();
        View { state, documents: &self.documents, blobs: &self.blobs, toolbox: &self.catalog.toolbox }
    }

    pub(crate) fn next(&self) -> Result<Next, NextError> {
        next(&self.view(), self.now())
    }

    /// The record as the chain stands. Whoever has no manifests, and perhaps no results, finds nothing wrong with it.
    pub(crate) fn record(&self) -> ReconciledRecord {
        let record = reconcile(&self.view()).unwrap();
        let (tools, state) = (Toolbox::default(), self.state());
        let mut blobs = self.blobs.clone();
        for results in [true, false] {
            if !results {
                let results = state.calls.values().filter_map(|call| call.result);
                results.for_each(|result| blobs.remove(&result));
            }
            let documents = Documents::readable(state, &blobs, None);
            let view = View { state, documents: &documents, blobs: &blobs, toolbox: &tools };
            assert_eq!(compare(&view, &record, self.now()), Compared::default(), "results {results}");
        }
        assert_eq!(self.made_again(&record), Compared::default());
        record
    }

    /// What is found of a record by whoever has the definitions of all tools, all results and the approved artifacts.
    pub(crate) fn made_again(&self, record: &ReconciledRecord) -> Compared {
        let (state, toolbox) = (self.state(), &self.catalog.toolbox);
        let defined: Vec<_> = toolbox.tools().map(|tool| toolbox.definition_document(&tool.name)).collect();
        let toolbox = Toolbox::as_defined(defined.iter()).unwrap();
        let documents = Documents::readable(state, &self.blobs, None);
        made_again(&View { state, documents: &documents, blobs: &self.blobs, toolbox: &toolbox }, record)
    }

    /// Runs it with a yes to both gates until its record is to be made.
    pub(crate) fn before_the_record(mut self) -> Self {
        for _ in 0..2000 {
            match self.next().unwrap() {
                Next::Draft(ArtifactKind::Record) => return self,
                Next::Ask(about) => {
                    let calls = if about == About::Gate2 { self.known_calls() } else { Vec::new() };
                    let request = self.rests_on();
                    self.answer_with(&about, request, Answer::Approve, calls);
                }
                next => self.one(next).unwrap(),
            }
        }
        panic!("no record is made");
    }

    /// Goes on until a person is asked (`Some`) or it is over (`None`).
    pub(crate) fn run(&mut self) -> Option<About> {
        for _ in 0..2000 {
            let next = self.next().unwrap_or_else(|error| panic!("{error}"));
            if let Err(stop) = self.one(next) {
                return stop;
            }
        }
        panic!("it does not end");
    }

    /// Does the one next thing, drafting as the blueprint says; the error is what it stops at.
    pub(crate) fn one(&mut self, next: Next) -> Result<(), Option<About>> {
        match next {
            Next::Draft(ArtifactKind::Spec) => {
                let spec = self.draft_spec();
                self.file(ArtifactKind::Spec, &spec, vec![self.state().requested.request]);
            }
            Next::Draft(ArtifactKind::Discovery) => self.file_discovery(),
            Next::Draft(ArtifactKind::Design) => self.file_design(),
            Next::Draft(ArtifactKind::Flow) => {
                let flow = self.view().built().unwrap();
                let mut from = vec![self.state().artifact(ArtifactKind::Design).unwrap()];
                from.extend(self.state().talk.draft(ArtifactKind::Flow));
                self.file(ArtifactKind::Flow, &flow, from);
            }
            Next::Draft(ArtifactKind::Record) => {
                let record = self.record();
                let spec = self.state().artifact(ArtifactKind::Spec).unwrap();
                self.file(ArtifactKind::Record, &record, vec![spec]);
            }
            Next::Enter(phase, reason) => self.command(Actor::Program, Command::Enter { phase, reason }),
            Next::Call(proposal) => self.call(&proposal),
            Next::Settle(settled) => self.command(Actor::Program, Command::Settle(settled)),
            Next::Deviate(found) => self.command(Actor::Program, Command::Deviate(found)),
            Next::Ask(about) | Next::Wait(about) => return Err(Some(about)),
            Next::Close(closed) => self.command(Actor::Program, Command::Close(closed)),
            Next::Closed => return Err(None),
            Next::Pause(seconds) => self.seconds += i64::from(seconds),
            Next::WaitUntil(at) => self.seconds += (at.as_second() - self.now().as_second()).max(0),
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    /// Answers what is asked and goes on.
    pub(crate) fn answer(&mut self, answer: Answer, calls: Vec<Digest>) -> Option<About> {
        let about = self.run().expect("somebody is asked");
        let request = self.rests_on();
        self.answer_with(&about, request, answer, calls);
        self.run()
    }

    /// As much of an approval request as decides: what it rests on.
    pub(crate) fn rests_on(&mut self) -> Digest {
        let spec = self.documents.spec().unwrap().clone();
        let facts = spec_facts(&spec, &self.catalog.toolbox, &self.catalog.inventory);
        let on = ApprovedOn::of(&spec, &facts, &self.catalog).unwrap();
        self.store(&json!({"approved_on": on}))
    }

    /// Asks with this request.
    pub(crate) fn ask(&mut self, about: &About, request: Digest) {
        self.command(Actor::Program, Command::Ask(Asked::new(about.clone(), request, Role::Approver)));
    }

    /// Asks with this request and answers it.
    pub(crate) fn answer_with(&mut self, about: &About, request: Digest, answer: Answer, calls: Vec<Digest>) {
        self.ask(about, request);
        self.wait(60);
        let accepts = matches!(about, About::Deviation { .. });
        let reason = (answer == Answer::Reject || accepts).then(|| "not like this".to_owned());
        let roles = [Role::Approver].into();
        self.command(
            ada(),
            Command::Answer {
                about: about.clone(),
                request,
                answer,
                roles,
                reason,
                calls,
                expires: None,
                signed: None,
            },
        );
    }

    /// Approves gate 1 and goes on.
    pub(crate) fn approve_gate1(&mut self) -> Option<About> {
        self.answer(Answer::Approve, Vec::new())
    }

    /// Approves gate 2 with every call that is known by then, and begins the build, so that its first call is next.
    pub(crate) fn approve_gate2_only(&mut self) {
        let calls = self.known_calls();
        let request = self.rests_on();
        self.answer_with(&About::Gate2, request, Answer::Approve, calls);
        self.command(Actor::Program, Command::Enter { phase: Phase::Build, reason: None });
        let flow = self.view().preview().unwrap();
        let design = self.state().artifact(ArtifactKind::Design).unwrap();
        self.file(ArtifactKind::Flow, &flow, vec![design]);
    }

    /// Approves gate 2 with every call that is known by then, and goes on.
    pub(crate) fn approve_gate2(&mut self) -> Option<About> {
        assert_eq!(self.run(), Some(About::Gate2));
        let calls = self.known_calls();
        self.answer(Answer::Approve, calls)
    }

    pub(crate) fn known_calls(&self) -> Vec<Digest> {
        let flow = self.view().preview().unwrap();
        let known = flow.nodes.iter().filter_map(|node| {
            let args = node.known_args()?;
            call_digest(&self.state().id, Some(&node.id), node.step.tool.as_str(), &args.into()).ok()
        });
        known.collect()
    }

    /// Runs it to its end, saying yes to both gates.
    pub(crate) fn finish(mut self) -> Self {
        assert_eq!(self.run(), Some(About::Gate1));
        if self.approve_gate1().is_some() {
            assert_eq!(self.approve_gate2(), None);
        }
        self
    }
}
