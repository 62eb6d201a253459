//! What the loop of an agent costs beside the model's own time: `cargo bench --bench turn`. One JSON object a line.
//!
//! A turn here is what the program does between two answers of a model: say what is next, rebuild the conversation from
//! the chain with its instructions and schema, take the request's digest, fold the turn, put its question, fold what the
//! requester says. Every turn asks one question and is answered, so the conversation grows by all of it. Not in it: the
//! model, the network, the ledger's write.
//!
//! `bytes_held` is how much more memory the process holds for each turn of a thousand engagements that stay open;
//! `bytes_asked` is how long the request of the turn is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise and prints what it found"
)]

/// The one that the program uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::{hint::black_box, sync::Arc, time::Instant};

use countersign::{
    agent::{Desk, Move, Prompts, next_move},
    artifact::{Agent, ArtifactKind, Digest, canonical, digest_of, from_yaml},
    engagement::{
        Actor, Blobs, Body, Documents, Event, Finish, RequestDocument, Requested, RequesterSaid, State, Turned, Usage,
        View,
    },
    facts::{Identity, IdentityMeans},
    model::{Answer, ToolRequest},
    policy::{Catalog, CatalogParts, Policies, PolicyTexts},
    tool::{Pins, Toolbox},
};
use jiff::Timestamp;
use serde_json::json;

/// How long an engagement's conversation becomes, in turns.
const TURNS: usize = 30;
/// How many engagements are open at once.
const ENGAGEMENTS: usize = 1_000;
/// The turns that are told one by one.
const TOLD: [usize; 3] = [1, 10, TURNS];

fn main() {
    let catalog = catalog();
    let prompts = Prompts::default();
    let before = resident();
    let mut took: Vec<Vec<u128>> = vec![Vec::new(); TURNS];
    let mut asked = vec![0; TURNS];
    let mut open: Vec<Talking> = Vec::with_capacity(ENGAGEMENTS);
    for _ in 0..ENGAGEMENTS {
        let mut talking = Talking::begin();
        for turn in 0..TURNS {
            let begun = Instant::now();
            asked[turn] = talking.turn(&catalog, &prompts, turn);
            took[turn].push(begun.elapsed().as_nanos());
        }
        open.push(talking);
    }
    let held = resident().saturating_sub(before);
    for turn in TOLD {
        let times = &mut took[turn - 1];
        times.sort_unstable();
        let at = |share: usize| times[times.len() * share / 100] as f64 / 1_000.0;
        println!(
            "{}",
            json!({"turn": turn, "p50_us": at(50).round(), "p99_us": at(99).round(), "bytes_asked": asked[turn - 1]})
        );
    }
    let turns = ENGAGEMENTS * TURNS;
    println!("{}", json!({"engagements": open.len(), "turns": turns, "bytes_held": held / turns as u64}));
}

/// An engagement whose requester is asked one thing after another.
struct Talking {
    state: State,
    documents: Documents,
    blobs: Blobs,
}

impl Talking {
    fn begin() -> Self {
        let text = Some("web01 in corp.example.com should resolve to 192.0.2.10".to_owned());
        let document = RequestDocument { text, ..RequestDocument::default() };
        let request = digest_of(&document).unwrap();
        let blobs = Blobs::from_iter([(request, Arc::new(serde_json::to_value(&document).unwrap()))]);
        let requested =
            Requested { request, title: "web01".into(), blueprint: None, from: None, model: true, seal: None };
        let begun = event(1, person(), Body::Requested(requested));
        let mut talking = Self { state: State::begin(&begun).unwrap(), documents: Documents::default(), blobs };
        talking.documents.refresh(&talking.state, &talking.blobs).unwrap();
        talking
    }

    fn tell(&mut self, actor: Actor, body: Body) {
        self.state.apply(&event(self.state.seq + 1, actor, body));
        self.documents.refresh(&self.state, &self.blobs).unwrap();
    }

    fn next(&self, catalog: &Catalog, prompts: &Prompts) -> Move {
        let view =
            View { state: &self.state, documents: &self.documents, blobs: &self.blobs, toolbox: &catalog.toolbox };
        next_move(&Desk { view, catalog, prompts, room: None }, ArtifactKind::Spec).unwrap()
    }

    /// One turn; the answer is how many bytes its request has.
    fn turn(&mut self, catalog: &Catalog, prompts: &Prompts, n: usize) -> usize {
        let Move::CallModel(asking) = self.next(catalog, prompts) else { panic!("no turn") };
        let bytes = canonical(&asking.request).unwrap();
        let arguments = json!({"questions": [{"text": format!("What about {n}?")}]}).to_string();
        let call = ToolRequest { id: "call".into(), name: "ask".into(), arguments };
        let answer = Answer {
            text: "There is one more thing to know before the draft.".into(),
            calls: vec![call],
            finish: Finish::ToolCalls,
            usage: Usage::default(),
            endpoint: "none".into(),
            model: "none".into(),
            notes: Vec::new(),
        };
        let response = digest_of(&answer).unwrap();
        self.blobs.insert(response, Arc::new(serde_json::to_value(&answer).unwrap()));
        let turned = Turned {
            agent: asking.agent,
            drafting: asking.drafting,
            turn: asking.turn,
            prompt: asking.prompt,
            request: digest_of(&asking.request).unwrap(),
            response: Some(response),
            sealed: false,
            endpoint: answer.endpoint,
            model: answer.model,
            usage: answer.usage,
            latency_ms: 0,
            finish: answer.finish,
            calls: 1,
            error: None,
            currency: None,
            notes: Vec::new(),
        };
        let actor = Actor::Agent(Agent::Requirements);
        self.tell(actor.clone(), Body::Turned(Box::new(turned)));
        let Move::Ask(questions) = self.next(catalog, prompts) else { panic!("no question") };
        self.tell(actor, Body::Inquired(questions));
        assert!(matches!(self.next(catalog, prompts), Move::Wait));
        let said = RequesterSaid { text: Some(format!("It is as it was, and number {n}.")), ..Default::default() };
        self.tell(person(), Body::Said(said));
        black_box(bytes).len()
    }
}

fn event(seq: u64, actor: Actor, body: Body) -> Event {
    let engagement = "k7m2q".parse().unwrap();
    let at = Timestamp::from_second(1_800_000_000 + i64::try_from(seq).unwrap()).unwrap();
    Event { engagement, seq, at, actor, body, prev: Digest::ZERO, hash: Digest::ZERO }
}

fn person() -> Actor {
    Actor::Person(Identity { name: "ada".into(), os_user: "ada".into(), means: IdentityMeans::Asserted })
}

fn catalog() -> Catalog {
    let manifests = vec![from_yaml("lab.yaml", include_str!("../tools/lab.yaml")).unwrap()];
    let toolbox = Toolbox::new(manifests, Pins::default()).unwrap();
    let texts = PolicyTexts {
        guardrails: include_str!("../policies/guardrails.cedar"),
        stages: include_str!("../policies/stages.cedar"),
        gates: include_str!("../policies/gates.cedar"),
    };
    Catalog::from(CatalogParts {
        signers: Default::default(),
        policies: Arc::new(Policies::load(texts, &toolbox).unwrap()),
        inventory: from_yaml("inventory.yaml", include_str!("../policies/inventory.yaml")).unwrap(),
        people: from_yaml("people.yaml", include_str!("../policies/people.yaml")).unwrap(),
        toolbox: Arc::new(toolbox),
    })
}

/// The bytes that this process holds in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
