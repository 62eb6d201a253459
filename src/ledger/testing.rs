//! What the tests of this module share: an engagement's story, told from its beginning to its end, to be stored,
//! sealed and tampered with.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use ssh_key::{HashAlg, LineEnding, PrivateKey, private::Ed25519Keypair};

use super::{
    chain::{self, Sealed},
    keys::{KeyHistory, origin, statement},
    note::{Note, NoteKey},
    store::{Append, Link, Logs},
    summary::Summary,
};
use crate::{
    agent::draft_spec,
    artifact::{
        Agent, ArtifactKind, AutomationFlow, CallId, Digest, EngagementId, LedgerId, NodeId, Phase, ReconciledRecord,
        RecordOutcome, Written, canonical, digest_of,
    },
    engagement::{
        About, Actor, Answer, Answered, ApprovalStatement, ArtifactFiled, Asked, Blobs, Body, CallAllowed,
        CallFinished, CallOutcome, Closed, Documents, Event, LogSeen, NodeSettled, Once, Purpose, RequestDocument,
        Requested, Signed, State, Statement, View, call_digest, opened,
    },
    facts::{AllowedSigners, Identity, IdentityMeans, Role, line_for},
    flow::NodeOutcome,
    record::reconcile,
    tool::Toolbox,
};

pub(super) fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// A file in which grace signs with the key of this seed.
pub(super) fn signers(seed: u8) -> AllowedSigners {
    AllowedSigners::parse(&line_for("grace", key(seed).public_key())).unwrap()
}

/// A statement's signature with the key of this seed.
pub(super) fn armored(seed: u8, statement: &impl Statement) -> String {
    let signature = key(seed).sign(statement.namespace(), HashAlg::Sha512, &canonical(statement).unwrap()).unwrap();
    signature.to_pem(LineEnding::LF).unwrap()
}

pub(super) fn ledger() -> LedgerId {
    "0".repeat(32).parse().unwrap()
}

/// Makes a ledger's file one of that ledger, as no program can.
pub(super) fn becomes_that_ledger(file: &std::path::Path) {
    let renamed = format!("DROP TRIGGER ledger_stays; UPDATE ledger SET id = '{}'", ledger());
    rusqlite::Connection::open(file).unwrap().execute_batch(&renamed).unwrap();
}

/// A key of the ledger's own.
pub(super) fn note_key(seed: u8) -> NoteKey {
    NoteKey::from_seed(&origin(&ledger()), &[seed; 32]).unwrap()
}

/// The ledger's keys of these seeds, each named by the one before it, which sign from before anything was asked.
pub(super) fn history(seeds: &[u8]) -> KeyHistory {
    history_from(seeds, noon())
}

/// The same, from this time on.
pub(super) fn history_from(seeds: &[u8], from: Timestamp) -> KeyHistory {
    let (mut notes, mut before) = (Vec::new(), None);
    for (seed, number) in seeds.iter().zip(1..) {
        let key = note_key(*seed);
        let text = statement(number, key.public(), from, None);
        let old: Option<u8> = before.replace(*seed);
        let signed = match old.map(note_key) {
            Some(old) => Note::sign(text, &[&old, &key]),
            None => Note::sign(text, &[&key]),
        };
        notes.push(signed.to_string());
    }
    KeyHistory::parse(&notes.join("\n")).unwrap()
}

/// A document as it is stored.
pub(super) fn written(document: &impl Serialize) -> Arc<Written> {
    Written::of(document).unwrap()
}

pub(super) fn id(text: &str) -> EngagementId {
    text.parse().unwrap()
}

pub(super) fn noon() -> Timestamp {
    "2026-12-01T12:00:00Z".parse().unwrap()
}

pub(super) fn person(name: &str) -> Actor {
    Actor::Person(Identity { name: name.into(), os_user: name.into(), means: IdentityMeans::Asserted })
}

pub(super) fn request() -> Value {
    let blueprint = json!({
        "kind": "blueprint", "name": "vlan", "title": "A VLAN", "about": "", "inputs": [], "spec": template(), "design": {},
    });
    json!({"blueprint": blueprint, "inputs": {"vlan": 120}, "spec": null, "design": null, "baseline": null})
}

pub(super) fn requested() -> Requested {
    Requested {
        request: digest_of(&request()).unwrap(),
        title: "Add VLAN 120".into(),
        blueprint: Some("vlan".into()),
        from: None,
        model: false,
        seal: None,
    }
}

/// The spec that the request gives.
pub(super) fn spec() -> Value {
    let (asked, digest) = (RequestDocument::deserialize(request()).unwrap(), digest_of(&request()).unwrap());
    serde_json::to_value(draft_spec(&asked, digest).unwrap()).unwrap()
}

fn template() -> Value {
    json!({
        "kind": "spec", "title": "Add VLAN 120", "requirements": [],
        "boundary": {
            "discover": [{"tool": "switch.vlan.create", "where": {"vlan": {"any": true}}}, {"tool": "vlan.create"}],
            "build": [{"tool": "switch.vlan.create", "where": {"vlan": {"is": 120}}, "at_most": 1}, {"tool": "vlan.create"}],
        },
        "acceptance": [],
    })
}

fn discovery() -> Value {
    json!({
        "kind": "discovery", "spec": digest_of(&spec()).unwrap(), "verdict": "feasible", "capabilities": [],
        "findings": [], "reads": [], "acceptance": [], "drift": [], "reuse": [],
    })
}

pub(super) fn design() -> Value {
    json!({
        "kind": "design", "spec": digest_of(&spec()).unwrap(), "discovery": digest_of(&discovery()).unwrap(),
        "inputs": {}, "steps": [step()], "acceptance": {},
    })
}

/// The one step of the design and of its flow.
fn step() -> Value {
    let verify = json!({"tool": "switch.vlan.create", "expect": "true"});
    json!({"id": "create-vlan", "tool": "switch.vlan.create", "with": {"vlan": 120}, "verify": verify})
}

fn flow() -> Value {
    let node = json!({"id": node(), "target": "sw01", "needs": [], "step": step()});
    let flow = json!({"kind": "flow", "design": digest_of(&design()).unwrap(), "nodes": [node]});
    // As it is written.
    serde_json::to_value(serde_json::from_value::<AutomationFlow>(flow).unwrap()).unwrap()
}

pub(super) fn filed(artifact: ArtifactKind, version: u32, document: &Value, made_from: &[Digest]) -> Body {
    let digest = digest_of(document).unwrap();
    Body::Filed(ArtifactFiled { artifact, version, digest, made_from: made_from.to_vec() })
}

pub(super) fn allowed(n: u64, agent: Agent, purpose: Purpose, approved: bool) -> CallAllowed {
    CallAllowed {
        call: CallId::nth(n),
        digest: digest_for("k7m2q", &purpose),
        purpose,
        agent,
        tool: "switch.vlan.create".parse().unwrap(),
        target: "sw01".into(),
        args: args().into(),
        grant: if agent == Agent::Build { "build.0" } else { "discover.0" }.into(),
        counts: None,
        approved,
        rules: Vec::new(),
        decided_on: digest_of(&json!({"policies": "as they were"})).unwrap(),
    }
}

fn args() -> Map<String, Value> {
    Map::from_iter([("vlan".to_owned(), json!(120))])
}

/// The digest of the story's call for a purpose.
pub(super) fn digest_for(of: &str, purpose: &Purpose) -> Digest {
    call_digest(&id(of), purpose.node(), "switch.vlan.create", &args().into()).unwrap()
}

pub(super) fn finished(n: u64, result: &Value) -> Body {
    let result = Some(digest_of(result).unwrap());
    Body::Finished(CallFinished {
        call: CallId::nth(n),
        outcome: CallOutcome::Ok,
        result,
        sealed: false,
        message: None,
    })
}

pub(super) fn act() -> Purpose {
    Purpose::Act { node: node(), attempt: 1, r#try: 1 }
}

pub(super) fn discover() -> Purpose {
    Purpose::Discover { read: "vlans".parse().unwrap(), item: None }
}

pub(super) fn node() -> NodeId {
    NodeId::new(&"create-vlan".parse().unwrap(), Some("sw01"))
}

/// Events that are not sealed yet, and the documents that they name.
#[derive(Clone)]
pub(super) struct Story {
    pub id: EngagementId,
    pub events: Vec<(Timestamp, Actor, Body)>,
    pub blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Story {
    /// An engagement that was just requested.
    pub fn begun(of: &str) -> Self {
        let mut story = Self { id: id(of), events: Vec::new(), blobs: BTreeMap::new() };
        story.document(&request());
        story.tell(person("ada"), Body::Requested(requested()));
        story
    }

    /// Lets it begin with these words, which models draft from; their digest.
    pub fn in_words(&mut self, text: &str, title: &str) -> Digest {
        let words = json!({
            "blueprint": null, "inputs": {}, "spec": null, "design": null, "baseline": null, "text": text,
        });
        let request = self.document(&words);
        let Some((_, _, Body::Requested(requested))) = self.events.first_mut() else { panic!() };
        let before = requested.request;
        *requested = Requested { request, title: title.into(), blueprint: None, model: true, ..requested.clone() };
        for (.., body) in &mut self.events {
            if let Body::Filed(filed) = body {
                filed.made_from.iter_mut().filter(|from| **from == before).for_each(|from| *from = request);
            }
        }
        request
    }

    /// An engagement from its request to its end, 20 events.
    pub fn whole(of: &str) -> Self {
        let mut story = Self::begun(of);
        let program = Actor::Program;
        let request = requested().request;
        let (spec_digest, result) = (digest_of(&spec()).unwrap(), json!({"vlans": [1, 20]}));
        story.document(&spec());
        story.tell(Actor::Agent(Agent::Requirements), filed(ArtifactKind::Spec, 1, &spec(), &[request]));
        story.gate(About::Gate1, spec_digest, &[]);
        story.tell(program.clone(), Body::Entered { phase: Phase::Feasibility, reason: None });
        let call = CallAllowed { digest: digest_for(of, &discover()), ..allowed(1, Agent::Design, discover(), false) };
        story.tell(Actor::Agent(Agent::Design), Body::Allowed(Box::new(call)));
        story.document(&result);
        story.tell(program.clone(), finished(1, &result));
        let found = story.document(&discovery());
        story.tell(Actor::Agent(Agent::Design), filed(ArtifactKind::Discovery, 1, &discovery(), &[spec_digest]));
        story.tell(program.clone(), Body::Entered { phase: Phase::Design, reason: None });
        let designed = story.document(&design());
        let from = [spec_digest, found];
        story.tell(Actor::Agent(Agent::Design), filed(ArtifactKind::Design, 1, &design(), &from));
        story.gate(About::Gate2, designed, &[digest_for(of, &act())]);
        story.tell(program.clone(), Body::Entered { phase: Phase::Build, reason: None });
        story.document(&flow());
        story.tell(Actor::Agent(Agent::Build), filed(ArtifactKind::Flow, 1, &flow(), &[designed]));
        let call = CallAllowed { digest: digest_for(of, &act()), ..allowed(2, Agent::Build, act(), true) };
        story.tell(Actor::Agent(Agent::Build), Body::Allowed(Box::new(call)));
        story.document(&json!({"ok": true}));
        story.tell(program.clone(), finished(2, &json!({"ok": true})));
        let settled = NodeSettled { node: node(), attempt: 1, outcome: NodeOutcome::Done, changed: true, reason: None };
        story.tell(program.clone(), Body::Settled(settled));
        story.tell(program.clone(), Body::Entered { phase: Phase::AsBuilt, reason: None });
        story.document(&json!({"kind": "record"}));
        story.tell(program.clone(), filed(ArtifactKind::Record, 1, &json!({"kind": "record"}), &[spec_digest]));
        let closed = Closed { outcome: RecordOutcome::Done, reason: String::new() };
        story.tell(program, Body::Closed(closed));
        story.reconcile();
        story
    }

    /// Files the record that its events give where one is filed, and closes as it says.
    pub fn reconcile(&mut self) {
        let is_record = |body: &Body| matches!(body, Body::Filed(filed) if filed.artifact == ArtifactKind::Record);
        let Some(at) = self.events.iter().position(|(.., body)| is_record(body)) else { return };
        let before: Vec<_> = self.sealed().into_iter().take(at).map(|sealed| sealed.event).collect();
        let state = State::replay(&before).unwrap();
        let value = |bytes: &Vec<u8>| Some(Arc::new(serde_json::from_slice::<Value>(bytes).ok()?));
        let read = self.blobs.iter().filter_map(|(digest, bytes)| Some((*digest, value(bytes)?)));
        let blobs: Blobs = read.map(|(digest, value)| (digest, opened(&value).unwrap_or(value))).collect();
        let (documents, toolbox) = (Documents::readable(&state, &blobs, None), Toolbox::default());
        let view = View { state: &state, documents: &documents, blobs: &blobs, toolbox: &toolbox };
        let record = reconcile(&view).unwrap();
        self.record(at, &record);
    }

    /// Files this record at this place, and closes as it says.
    pub fn record(&mut self, at: usize, record: &ReconciledRecord) {
        let digest = self.document(&serde_json::to_value(record).unwrap());
        for (.., body) in self.events.iter_mut().skip(at) {
            match body {
                Body::Filed(filed) if filed.artifact == ArtifactKind::Record => filed.digest = digest,
                Body::Closed(closed) => {
                    *closed = Closed { outcome: record.outcome, reason: record.summary.clone() };
                }
                _ => {}
            }
        }
    }

    pub fn tell(&mut self, actor: Actor, body: Body) {
        let at = noon() + SignedDuration::from_secs(self.events.len() as i64);
        self.events.push((at, actor, body));
    }

    pub fn document(&mut self, value: &Value) -> Digest {
        let digest = digest_of(value).unwrap();
        self.blobs.insert(digest, canonical(value).unwrap());
        digest
    }

    /// The question of gate 1.
    pub fn asked(&mut self) -> &mut Asked {
        let Body::Asked(asked) = &mut self.events[2].2 else { panic!() };
        asked
    }

    /// The answer to it.
    pub fn answered(&mut self) -> &mut Answered {
        let Body::Answered(answered) = &mut self.events[3].2 else { panic!() };
        answered
    }

    /// The same where gate 1 needs a signature, signed by grace with the key of this seed.
    pub fn signed(mut self, seed: u8) -> Self {
        let once = Once { ledger: ledger(), nonce: "a".repeat(32).parse().unwrap() };
        self.asked().once = Some(once);
        self.asked().signed = true;
        self.sign(seed);
        self
    }

    /// Signs gate 1 as it stands now.
    pub fn sign(&mut self, seed: u8) {
        self.sign_seeing(seed, None);
    }

    /// The same by somebody who saw this of the log.
    pub fn sign_seeing(&mut self, seed: u8, log: Option<LogSeen>) {
        let before: Vec<_> = self.sealed().into_iter().take(3).map(|sealed| sealed.event).collect();
        let state = State::replay(&before).unwrap();
        let expires = noon() + SignedDuration::from_hours(72);
        let answer = self.answered();
        answer.signature = None;
        answer.expires = Some(expires);
        let by = Identity { name: "grace".into(), os_user: "grace".into(), means: IdentityMeans::Signed };
        let statement = ApprovalStatement { log, ..ApprovalStatement::of(&state, answer, &by, expires).unwrap() };
        let armored = armored(seed, &statement);
        let signed = Signed { statement, armored, signers: signers(seed), at: self.events[3].0 };
        self.answered().signature = Some(signed.check().unwrap());
        self.events[3].1 = Actor::Person(by);
        self.document(&serde_json::to_value(&signed.statement).unwrap());
        self.document(&signed.signers.document());
    }

    pub fn gate(&mut self, about: About, artifact: Digest, calls: &[Digest]) {
        let request = self.document(&json!({
            "engagement": self.id, "about": about, "artifact": artifact, "shown": "VLAN 120 on sw01",
            "flow": digest_of(&flow()).unwrap(), "calls": calls, "models": [{"name": "house"}],
        }));
        self.tell(Actor::Program, Body::Asked(Asked::new(about.clone(), request, Role::Approver)));
        let reason = matches!(about, About::Deviation { .. }).then(|| "it is theirs".to_owned());
        let answered = Answered {
            about,
            request,
            answer: Answer::Approve,
            role: Role::Owner,
            reason,
            calls: calls.to_vec(),
            expires: None,
            policy: None,
            signature: None,
        };
        self.tell(person("grace"), Body::Answered(answered));
    }

    /// The events as a chain whose every link holds.
    pub fn sealed(&self) -> Vec<Sealed> {
        let (mut prev, mut chain) = (Digest::ZERO, Vec::new());
        for ((at, actor, body), seq) in self.events.iter().cloned().zip(1..) {
            let sealed = chain::seal(&self.id, seq, at, actor, body, prev).unwrap();
            prev = sealed.event.hash;
            chain.push(sealed);
        }
        chain
    }

    pub fn bytes(&self) -> Vec<Vec<u8>> {
        self.sealed().into_iter().map(|sealed| sealed.bytes).collect()
    }

    /// What writes the events after `from`, up to and with `to`.
    pub fn append(&self, from: usize, to: usize) -> Append {
        let sealed = self.sealed();
        let events: Vec<&Event> = sealed.iter().take(to).map(|sealed| &sealed.event).collect();
        let links = sealed[from..to].iter();
        Append {
            engagement: self.id.clone(),
            expected_seq: from as u64,
            events: links
                .map(|sealed| Link { seq: sealed.event.seq, bytes: sealed.bytes.clone(), hash: sealed.event.hash })
                .collect(),
            blobs: self.blobs.values().map(|bytes| written(&serde_json::from_slice::<Value>(bytes).unwrap())).collect(),
            destroyed: Vec::new(),
            summary: Some(Summary::of(&State::replay(events).unwrap(), &Documents::default())),
            logs: Logs::last_where(
                sealed[from..to].iter().any(|sealed| matches!(sealed.event.body, Body::Answered(_) | Body::Closed(_))),
            ),
            snapshot: None,
        }
    }
}
