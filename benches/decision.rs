//! What a decision costs, beside bare Cedar: `cargo bench --bench decision`. One JSON object a line.
//!
//! `decision` is everything that `Broker::invoke` does between a proposal and its first write, steps 1 to 7: the
//! digests of the catalog and the compiled boundary (kept from one call to the next), the tool and its pin, the
//! arguments against their schema and into normal form, the digest of the call, gates and window, what the approved
//! design wants next, guardrails, boundary, trust stage, counts and limits. Not in it: reading the workspace's files,
//! waiting for rate limits, the ledger, the tool. Each policy is asked anew. `again` is the same where what policies said
//! is kept, as the program does, and the same was asked a moment ago, as gate 2 asks for each step that it shows.
//!
//! `cedar` is what someone would write who had only Cedar: the context made from the same arguments, a request that is
//! validated against the same schema, and one `is_authorized` over one set that holds every guardrail whose scope has
//! this tool and the engagement's own permits, against entities that were made before. `authorize` is the last of
//! these alone, the request made before.
//!
//! Both are asked about the same engagements in the same order, in turns of a few hundred, so that what else the
//! machine does falls on both. Engagements are live: each is at its own call in the build phase, with its own spec.
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

use std::{collections::BTreeSet, hint::black_box, path::Path, str::FromStr, sync::Arc, time::Instant};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicyId, PolicySet, Request, RestrictedExpression,
};
use countersign::{
    agent::{draft_design, draft_discovery, draft_spec},
    artifact::{ArtifactKind, Digest, EngagementId, LedgerId, Spec, digest_of, from_yaml},
    broker::{Broker, Moment, Sources},
    engagement::{
        About, Actor, Answer, Asked, Blobs, Body, CallAllowed, CallFinished, CallOutcome, Command, Documents, Event,
        Next, Proposal, Purpose, RequestDocument, Requested, Standing, State, View, call_digest, decide, next,
    },
    facts::{Identity, IdentityMeans, Role},
    gate::approval_request,
    policy::{Catalog, CatalogParts, CompiledBoundary, Policies, PolicyTexts},
    tool::{Kept, Pins, ServerPin, Toolbox},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

const LAB: &str = include_str!("../tools/lab.yaml");
const VLAN: &str = include_str!("../prompts/blueprints/vlan.yaml");
const GUARDRAILS: &str = include_str!("../policies/guardrails.cedar");
const STAGES: &str = include_str!("../policies/stages.cedar");
/// Whoever says yes in it.
const PEOPLE: &str = "{kind: people, people: [{name: ada, os_users: [ada], roles: [owner]}]}";
const SWITCHES: [&str; 4] = ["sw01", "sw02", "sw03", "sw04"];
/// How many decisions a figure rests on.
const ASKED: usize = 20_000;
/// How many are asked before the other side has its turn.
const TURN: usize = 250;

fn main() {
    let mut flat = Vec::new();
    for guardrails in [10, 30, 300] {
        for engagements in [1, 10, 1_000, 10_000] {
            let figures = measure(engagements, guardrails);
            println!("{}", json!(figures));
            flat.push(figures);
        }
    }
    for guardrails in [10, 30, 300] {
        let p50 = |n: usize| {
            flat.iter()
                .find(|f| f.guardrails == guardrails && f.engagements == n)
                .map_or(f64::NAN, |f| f.decision_p50_us)
        };
        println!("{}", json!({"guardrails": guardrails, "growth_10_to_10000": two(p50(10_000) / p50(10))}));
    }
}

#[derive(Serialize)]
struct Figures {
    engagements: usize,
    guardrails: usize,
    guardrails_about_the_tool: usize,
    decision_p50_us: f64,
    decision_p99_us: f64,
    again_p50_us: f64,
    cedar_p50_us: f64,
    cedar_p99_us: f64,
    authorize_p50_us: f64,
    ratio: f64,
    ratio_p99: f64,
    resident_mb: u64,
}

fn two(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn measure(engagements: usize, guardrails: usize) -> Figures {
    let text = with_guardrails(guardrails);
    let broker = |catalog: &Arc<Catalog>| {
        let ledger = "0".repeat(32).parse().unwrap();
        Broker::new(Arc::new(Fixed(Arc::clone(catalog), Kept::of(Path::new("/"), None), ledger)))
    };
    let (catalog, keeping) = (Arc::new(catalog(&text).keeping_no_answers()), Arc::new(catalog(&text)));
    let (broker, keeper) = (broker(&catalog), broker(&keeping));
    let live: Vec<Live> = (0..engagements).map(|n| Live::at_its_call(&catalog, n)).collect();
    let slice = guardrails_about(&text, &catalog);
    let bare: Vec<PolicySet> = live.iter().map(|live| live.bare(&slice, &catalog)).collect();
    let entities = SWITCHES.map(|switch| entities(&catalog, switch));
    let resident_mb = resident();
    // Every engagement was asked about before, as one is whose first call is over; both sides agree on each.
    for (live, set) in live.iter().zip(&bare) {
        for said in [live.decide(&broker, &catalog), live.decide(&keeper, &keeping)] {
            assert_eq!(said, None, "{}", live.proposal.tool);
        }
        assert_eq!(live.ask_cedar(set, &entities[live.switch], &catalog), Decision::Allow);
    }
    let authorizer = Authorizer::new();
    let (mut ours, mut again, mut cedar, mut alone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The next engagement is one that nothing of the last few has to do with.
    let at = |n: usize| n * 7_919 % engagements;
    for turn in 0..ASKED / TURN {
        let turn = turn * TURN..(turn + 1) * TURN;
        for n in turn.clone() {
            let live = &live[at(n)];
            let begun = Instant::now();
            let said = black_box(live.decide(&broker, &catalog));
            ours.push(begun.elapsed().as_nanos());
            assert!(said.is_none());
        }
        for n in turn.clone() {
            let live = &live[at(n)];
            live.decide(&keeper, &keeping);
            let begun = Instant::now();
            black_box(live.decide(&keeper, &keeping));
            again.push(begun.elapsed().as_nanos());
        }
        for n in turn {
            let (live, set) = (&live[at(n)], &bare[at(n)]);
            let begun = Instant::now();
            let said = black_box(live.ask_cedar(set, &entities[live.switch], &catalog));
            cedar.push(begun.elapsed().as_nanos());
            assert_eq!(said, Decision::Allow);
            let request = live.request(&catalog);
            let begun = Instant::now();
            black_box(authorizer.is_authorized(&request, set, &entities[live.switch]));
            alone.push(begun.elapsed().as_nanos());
        }
    }
    for figures in [&mut ours, &mut again, &mut cedar, &mut alone] {
        figures.sort_unstable();
    }
    let at = |figures: &[u128], share: f64| figures[((figures.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
    Figures {
        engagements,
        guardrails,
        guardrails_about_the_tool: slice.num_of_policies(),
        decision_p50_us: two(at(&ours, 0.5)),
        decision_p99_us: two(at(&ours, 0.99)),
        again_p50_us: two(at(&again, 0.5)),
        cedar_p50_us: two(at(&cedar, 0.5)),
        cedar_p99_us: two(at(&cedar, 0.99)),
        authorize_p50_us: two(at(&alone, 0.5)),
        ratio: two(at(&ours, 0.5) / at(&cedar, 0.5)),
        ratio_p99: two(at(&ours, 0.99) / at(&cedar, 0.99)),
        resident_mb,
    }
}

/// The shipped guardrails and more of the same kinds: a third about all tools, a third about all of one effect, a third
/// about one tool.
fn with_guardrails(n: usize) -> String {
    let shipped = GUARDRAILS.matches("@id(").count();
    let tools = ["vlan.create", "vlan.delete", "vlan.list", "port.vlan.set", "dns.record.create", "dns.record.delete"];
    let mut text = GUARDRAILS.to_owned();
    for at in 0..n - shipped {
        let effect = ["read", "write", "destructive"][at / 3 % 3];
        let scope = match at % 3 {
            0 => "action".to_owned(),
            1 => format!("action in Action::\"{effect}\""),
            _ => format!("action == Action::\"{}\"", tools[at / 3 % tools.len()]),
        };
        let condition = match at % 4 {
            0 => format!("resource.tags.contains(\"closed-{at}\")"),
            1 => format!("resource.environment == \"site-{at}\" && !context.window_open"),
            2 => format!("resource.groups.contains(\"group-{at}\") && context.phase == \"build\""),
            _ => format!("resource[\"is\"] == \"kind-{at}\" && !context.on_contract"),
        };
        text += &format!(
            "\n@id(\"rule-{at}\")\n@reason(\"closed; ask an owner\")\nforbid (principal, {scope}, resource)\nwhen {{ {condition} }}\nunless {{ context.recovery }};\n"
        );
    }
    text
}

/// The shipped workspace, its server pinned.
fn catalog(guardrails: &str) -> Catalog {
    let manifest = from_yaml("lab.yaml", LAB).unwrap();
    let tools = Toolbox::new(vec![manifest], Pins::default()).unwrap();
    let servers = tools.manifests().iter().map(|manifest| {
        let tools = manifest.tools.iter().map(|tool| (tool.name.to_string(), Digest::ZERO)).collect();
        let manifest_digest = digest_of(manifest).ok();
        let pin = ServerPin {
            command: Vec::new(),
            executable: Digest::ZERO,
            tools,
            manifest: manifest_digest,
            files: Default::default(),
        };
        (manifest.family.clone(), pin)
    });
    let toolbox = Toolbox::new(tools.manifests().to_vec(), Pins { servers: servers.collect() }).unwrap();
    let texts = PolicyTexts { guardrails, stages: STAGES, gates: include_str!("../policies/gates.cedar") };
    let policies = Policies::parse(texts, &toolbox).unwrap_or_else(|problems| panic!("{problems:?}"));
    Catalog::from(CatalogParts {
        policies: policies.into(),
        inventory: from_yaml("inventory.yaml", include_str!("../policies/inventory.yaml")).unwrap(),
        people: from_yaml("people.yaml", PEOPLE).unwrap(),
        signers: Default::default(),
        toolbox: toolbox.into(),
    })
}

struct Fixed(Arc<Catalog>, Kept, LedgerId);

impl Sources for Fixed {
    fn catalog(&self) -> Result<Arc<Catalog>, String> {
        Ok(Arc::clone(&self.0))
    }

    fn root(&self) -> &Path {
        Path::new("/")
    }

    fn ledger(&self) -> &LedgerId {
        &self.2
    }

    fn program(&self) -> &Path {
        Path::new("/")
    }

    fn revision(&self) -> Option<String> {
        None
    }

    fn kept(&self) -> &Kept {
        &self.1
    }
}

/// An engagement whose next call is the one that its approved design is for.
struct Live {
    state: State,
    documents: Documents,
    blobs: Blobs,
    switch: usize,
    proposal: Proposal,
    now: Timestamp,
}

impl Live {
    fn at_its_call(catalog: &Catalog, n: usize) -> Self {
        let inputs = json!({"id": 2 + n / 4 % 4_000, "name": format!("v{n}"), "switches": [SWITCHES[n % 4]]});
        let blueprint: countersign::artifact::Blueprint = from_yaml("vlan.yaml", VLAN).unwrap();
        let inputs = blueprint.check_inputs(inputs.as_object().unwrap()).unwrap();
        let request = RequestDocument { blueprint: Some(blueprint), inputs, spec: None, ..RequestDocument::default() };
        let mut story = Story::begin(&request, n);
        loop {
            match next(&story.view(catalog), story.now()).unwrap() {
                Next::Draft(kind) => story.draft(catalog, kind),
                Next::Enter(phase, reason) => story.act(Command::Enter { phase, reason }),
                Next::Ask(about) => story.approve(catalog, about),
                Next::Call(proposal) if matches!(proposal.purpose, Purpose::Act { .. }) => {
                    let (switch, now) = (n % 4, story.now());
                    let Story { state, documents, blobs, .. } = story;
                    return Self { state, documents, blobs, switch, proposal, now };
                }
                Next::Call(proposal) => story.call(catalog, proposal),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Why it would not run, if it would not.
    fn decide(&self, broker: &Broker, catalog: &Arc<Catalog>) -> Option<String> {
        let (state, documents, blobs) = (&self.state, &self.documents, &self.blobs);
        let view = View { state, documents, blobs, toolbox: &catalog.toolbox };
        let moment = Moment { now: self.now, stage: 1, elsewhere: &BTreeSet::new() };
        let said = broker.ruling_of(&view, catalog, &self.proposal, &moment).unwrap();
        said.refused.map(|refused| format!("{refused:?} {:?}", said.rules))
    }

    /// The guardrails about the tool and the engagement's own permits, in one set.
    fn bare(&self, slice: &PolicySet, catalog: &Catalog) -> PolicySet {
        let spec: &Spec = self.documents.spec().unwrap();
        let permits = CompiledBoundary::compile(spec, catalog).unwrap();
        let mut set = slice.clone();
        for policy in PolicySet::from_str(&permits.cedar()).unwrap().policies() {
            set.add(policy.new_id(PolicyId::new(policy.annotation("id").unwrap()))).unwrap();
        }
        set
    }

    fn request(&self, catalog: &Catalog) -> Request {
        let args = &self.proposal.args;
        let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
        let record = |pairs: Vec<(String, RestrictedExpression)>| RestrictedExpression::new_record(pairs).unwrap();
        let bool = RestrictedExpression::new_bool;
        let of = |name: &str| args[name].as_str().unwrap();
        let groups = &catalog.inventory.target(of("switch")).unwrap().groups;
        let groups = RestrictedExpression::new_set(groups.iter().map(|group| text(group)));
        let roles = ["approver", "requester"].map(text);
        let pairs = [
            (
                "args",
                record(vec![
                    ("switch".into(), text(of("switch"))),
                    ("id".into(), RestrictedExpression::new_long(args["id"].as_i64().unwrap())),
                    ("name".into(), text(of("name"))),
                ]),
            ),
            ("groups", record(vec![("switch".into(), groups)])),
            ("counts", record(Vec::new())),
            ("phase", text("build")),
            ("stage", RestrictedExpression::new_long(1)),
            ("on_contract", bool(true)),
            ("undo_of", text("")),
            ("recovery", bool(false)),
            ("window_open", bool(false)),
            ("simulated", bool(true)),
            (
                "changes",
                record(
                    [("targets", 1), ("production_targets", 0), ("elsewhere", 0)]
                        .map(|(name, n)| (name.to_owned(), RestrictedExpression::new_long(n)))
                        .into(),
                ),
            ),
            ("approved_by", RestrictedExpression::new_set(roles)),
        ];
        let context = Context::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value))).unwrap();
        let [principal, action, resource] = [
            "Agent::\"build\"".to_owned(),
            format!("Action::\"{}\"", self.proposal.tool),
            format!("Target::\"{}\"", of("switch")),
        ]
        .map(|uid| EntityUid::from_str(&uid).unwrap());
        Request::new(principal, action, resource, context, Some(catalog.policies.schema())).unwrap()
    }

    fn ask_cedar(&self, set: &PolicySet, entities: &Entities, catalog: &Catalog) -> Decision {
        Authorizer::new().is_authorized(&self.request(catalog), set, entities).decision()
    }
}

/// The guardrails whose scope has the tool that is asked about.
fn guardrails_about(text: &str, catalog: &Catalog) -> PolicySet {
    use cedar_policy::ActionConstraint;
    let _ = catalog;
    let mut set = PolicySet::new();
    let about = |uid: &EntityUid| ["vlan.create", "write"].contains(&uid.id().unescaped());
    for policy in PolicySet::from_str(text).unwrap().policies() {
        let admits = match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => about(&uid),
            ActionConstraint::In(uids) => uids.iter().any(about),
        };
        if admits {
            set.add(policy.new_id(PolicyId::new(policy.annotation("id").unwrap()))).unwrap();
        }
    }
    set
}

/// The agent, the action with its group, and the target.
fn entities(catalog: &Catalog, switch: &str) -> Entities {
    let uid = |text: &str| EntityUid::from_str(text).unwrap();
    let target = catalog.inventory.target(switch).unwrap();
    let text = |value: &String| RestrictedExpression::new_string(value.clone());
    let texts = |values: &BTreeSet<String>| RestrictedExpression::new_set(values.iter().map(text));
    let attributes = [
        ("environment".to_owned(), text(&target.environment)),
        ("is".to_owned(), text(&target.is)),
        ("tags".to_owned(), texts(&target.tags)),
        ("groups".to_owned(), texts(&target.groups)),
    ];
    let group = uid("Action::\"write\"");
    Entities::from_entities(
        [
            Entity::new_no_attrs(uid("Agent::\"build\""), Default::default()),
            Entity::new_no_attrs(uid("Action::\"vlan.create\""), [group.clone()].into()),
            Entity::new_no_attrs(group, Default::default()),
            Entity::new(uid(&format!("Target::\"{switch}\"")), attributes.into(), Default::default()).unwrap(),
        ],
        None,
    )
    .unwrap()
}

/// An engagement on its way, written through the same rules as any other but into memory.
struct Story {
    id: EngagementId,
    state: State,
    documents: Documents,
    blobs: Blobs,
}

fn ada() -> Actor {
    Actor::Person(Identity { name: "ada".into(), os_user: "ada".into(), means: IdentityMeans::Asserted })
}

impl Story {
    fn begin(request: &RequestDocument, n: usize) -> Self {
        let id = EngagementId::from_bits(n as u64);
        let value = serde_json::to_value(request).unwrap();
        let digest = digest_of(&value).unwrap();
        let requested = Requested {
            request: digest,
            title: "VLAN".into(),
            blueprint: Some("vlan".into()),
            from: None,
            model: false,
            seal: None,
        };
        let at: Timestamp = "2026-12-01T22:00:00Z".parse().unwrap();
        let event = Event {
            engagement: id.clone(),
            seq: 1,
            at,
            actor: ada(),
            body: Body::Requested(requested),
            prev: Digest::ZERO,
            hash: Digest::ZERO,
        };
        let blobs = Blobs::from_iter([(digest, Arc::new(value))]);
        let state = State::begin(&event).unwrap();
        let mut story = Self { id, state, documents: Documents::default(), blobs };
        story.documents.refresh(&story.state, &story.blobs).unwrap();
        story
    }

    fn view<'a>(&'a self, catalog: &'a Catalog) -> View<'a> {
        View { state: &self.state, documents: &self.documents, blobs: &self.blobs, toolbox: &catalog.toolbox }
    }

    fn now(&self) -> Timestamp {
        self.state.last_at + jiff::SignedDuration::from_secs(1)
    }

    fn act(&mut self, command: Command) {
        let body = decide(&self.state, command).unwrap_or_else(|refusal| panic!("{refusal}"));
        let actor = if matches!(body, Body::Answered(_)) { ada() } else { Actor::Program };
        let event = Event {
            engagement: self.id.clone(),
            seq: self.state.seq + 1,
            at: self.now(),
            actor,
            body,
            prev: Digest::ZERO,
            hash: Digest::ZERO,
        };
        self.state.apply(&event);
        self.documents.refresh(&self.state, &self.blobs).unwrap();
    }

    fn store(&mut self, value: Value) -> Digest {
        let digest = digest_of(&value).unwrap();
        self.blobs.insert(digest, Arc::new(value));
        digest
    }

    fn draft(&mut self, catalog: &Catalog, kind: ArtifactKind) {
        let of = |kind| self.state.artifact(kind);
        let (request, view) = (self.state.requested.request, self.view(catalog));
        let (value, made_from) = match (kind, of(ArtifactKind::Spec), of(ArtifactKind::Discovery)) {
            (ArtifactKind::Spec, ..) => {
                (json!(draft_spec(self.documents.request().unwrap(), request).unwrap()), vec![request])
            }
            (ArtifactKind::Discovery, Some(spec), _) => {
                (json!(draft_discovery(&view, self.documents.spec().unwrap(), spec).unwrap()), vec![spec])
            }
            (ArtifactKind::Design, Some(spec), Some(report)) => {
                let design = draft_design(&view, self.documents.spec().unwrap(), spec, report).unwrap();
                (json!(design), vec![spec, report])
            }
            (ArtifactKind::Flow, ..) => (json!(view.preview().unwrap()), vec![of(ArtifactKind::Design).unwrap()]),
            other => panic!("{other:?}"),
        };
        let digest = self.store(value);
        self.act(Command::File { artifact: kind, digest, made_from });
    }

    fn approve(&mut self, catalog: &Catalog, about: About) {
        let mut calls = Vec::new();
        if about == About::Gate2 {
            for node in &self.view(catalog).preview().unwrap().nodes {
                let (tool, args) = (node.step.tool.as_str(), node.known_args().unwrap());
                calls.push(call_digest(&self.id, Some(&node.id), tool, &args.into()).unwrap());
            }
        }
        let standing = Standing { stage: 1, because: "it is".into() };
        let shown = approval_request(&self.view(catalog), catalog, &standing, &[], &about).unwrap();
        let request = self.store(json!(shown));
        self.act(Command::Ask(Asked::new(about.clone(), request, Role::Approver)));
        let (answer, roles, reason, expires) = (Answer::Approve, [Role::Approver].into(), None, None);
        self.act(Command::Answer { about, request, answer, roles, reason, calls, expires, signed: None });
    }

    /// A read, which finds nothing but the VLAN that every switch has.
    fn call(&mut self, catalog: &Catalog, proposal: Proposal) {
        let tool = catalog.toolbox.tool(&proposal.tool.parse().unwrap()).unwrap();
        let args = catalog.toolbox.check_args(tool, &proposal.args).unwrap();
        let call = self.state.next_call();
        let digest = call_digest(&self.id, proposal.purpose.node(), &proposal.tool, &args.clone().into()).unwrap();
        self.act(Command::Allow(Box::new(CallAllowed {
            call: call.clone(),
            digest,
            purpose: proposal.purpose,
            agent: proposal.agent,
            tool: tool.name.clone(),
            target: args["switch"].as_str().unwrap().to_owned(),
            args: args.into(),
            grant: "discover.0".into(),
            counts: None,
            approved: false,
            rules: Vec::new(),
            decided_on: Digest::ZERO,
        })));
        let result = self.store(json!({"vlans": [{"id": 1, "name": "default"}]}));
        let outcome = CallOutcome::Ok;
        self.act(Command::Finish(CallFinished { call, outcome, result: Some(result), sealed: false, message: None }));
    }
}

/// Resident memory in MB, where the system says.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
