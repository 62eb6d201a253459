//! What a reader of the chain relies on where the people, the tools and the targets that a question was decided on lie
//! beside it: whoever answered had the role, a signature was asked for where one was needed, and calls are inside their
//! grant to the last argument. Requests of before name digests only; then less is held, and that is said.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use crate::{
    artifact::{
        Agent, ArtifactKind, AutomationFlow, Capability, CapabilityStatus, Digest, DiscoveryReport, FlowNode, Grant,
        Recent, Spec, ToolName,
    },
    engagement::{
        About, Actor, Answer, Answered, Asked, Call, CallAllowed, CallOutcome, Event, GateState, Purpose, State,
        with_accepted,
    },
    facts::{Facts, Inventory, People, Role, Target, ToolFacts, flow_facts, listed_facts, risk, unproven_of},
    policy::{ApprovedOn, CatalogDigests, outside},
    tool::{Args, Effect, Tool},
};

use super::{Papers, finds, steps};

/// What a question was decided on.
pub(super) struct Grounds {
    pub(super) people: People,
    /// A tool that the spec grants and no manifest has is nothing.
    tools: BTreeMap<ToolName, Arc<Option<DefinedTool>>>,
    /// The targets that it names, and no others.
    pub(super) inventory: Inventory,
    pub(super) approved_on: ApprovedOn,
    decided_on: CatalogDigests,
    pub(super) facts: Facts,
    flow: Option<Digest>,
}

/// How many tools are kept before those that nobody asked for are forgotten.
const TOOLS: usize = 256;

/// What was read of definitions before, by their digests: the chains of a ledger are decided on the same few.
static DEFINED: LazyLock<Recent<Digest, Arc<Option<DefinedTool>>>> = LazyLock::new(|| Recent::new(TOOLS));

/// As much of a tool's definition as calls are held to.
#[derive(Deserialize)]
struct Defined {
    tool: Option<DefinedTool>,
    simulated: bool,
}

#[derive(Deserialize)]
struct DefinedTool {
    effect: Effect,
    args: Args,
    target: String,
    #[serde(default)]
    undo: Option<IgnoredAny>,
    /// Stands beside the tool, for all tools of its server.
    #[serde(skip)]
    simulated: bool,
}

impl Grounds {
    pub(super) fn of(request: &Digest, papers: &Papers<'_>) -> Option<Self> {
        let question = papers.question(request);
        if let Some(question) = question.filter(|question| question.grounds_kept) {
            let (approved_on, facts) = (question.approved_on.clone(), question.facts.clone());
            return Self::with(approved_on, question.decided_on, facts, question.flow, papers);
        }
        let request = papers.document(request)?;
        if request.get("grounds_kept") != Some(&Value::Bool(true)) {
            return None;
        }
        let approved_on = ApprovedOn::deserialize(request.get("approved_on")?).ok()?;
        let decided_on = CatalogDigests::deserialize(request.get("decided_on")?).ok()?;
        let facts = Facts::deserialize(request.get("facts")?).ok()?;
        let flow = request.get("flow").and_then(Value::as_str).and_then(|flow| flow.parse().ok());
        Self::with(approved_on, decided_on, facts, flow, papers)
    }

    fn with(
        approved_on: ApprovedOn,
        decided_on: CatalogDigests,
        facts: Facts,
        flow: Option<Digest>,
        papers: &Papers<'_>,
    ) -> Option<Self> {
        let people = serde_json::from_slice(papers.bytes(&decided_on.people)?).ok()?;
        let tool = |(name, digest): (&ToolName, &Digest)| Some((name.clone(), defined(papers.bytes(digest)?, digest)?));
        let tools = approved_on.tools.iter().map(tool).collect::<Option<_>>()?;
        let target = |digest: &Digest| serde_json::from_slice::<Target>(papers.bytes(digest)?).ok();
        let targets = approved_on.entries().map(|(_, entry)| target(entry)).collect::<Option<_>>()?;
        let inventory = approved_on.inventory(targets);
        Some(Self { people, tools, inventory, approved_on, decided_on, facts, flow })
    }

    /// The environments that it reaches.
    fn environments(&self) -> impl Iterator<Item = &String> {
        let reached = |target: &&Target| {
            self.approved_on.targets.contains_key(&target.name) || self.facts.targets.contains(&target.name)
        };
        let listed = self.inventory.targets.iter().filter(reached).map(|target| &target.environment);
        // Until they are found, targets may be wherever reads may find them.
        let open = self.approved_on.found_by.iter().filter(|_| self.approved_on.found.is_none());
        listed.chain(&self.approved_on.environments).chain(open.map(|by| &by.within.environment))
    }

    fn tool(&self, name: &ToolName) -> Option<&DefinedTool> {
        self.tools.get(name)?.as_ref().as_ref()
    }

    /// As much of a tool as facts follow from.
    fn tool_facts(&self, name: &ToolName) -> Option<ToolFacts<'_>> {
        let tool = self.tool(name)?;
        Some(ToolFacts {
            effect: tool.effect,
            target: &tool.target,
            names: tool.args.properties.get(&tool.target),
            irreversible: tool.effect != Effect::Read && tool.undo.is_none(),
            simulated: tool.simulated,
        })
    }

    /// How many changes of a flow are not shown to bring the state before back.
    pub(super) fn unproven_undos(&self, flow: &AutomationFlow) -> u64 {
        unproven_of(flow, &|name| self.tool_facts(name))
    }

    /// The flow that it was asked about, where that is here.
    pub(super) fn flow(&self, papers: &Papers<'_>) -> Option<Arc<AutomationFlow>> {
        self.flow.as_ref().and_then(|flow| papers.flow(flow))
    }

    /// The definitions of the tools.
    pub(super) fn defined(&self) -> impl Iterator<Item = &Digest> {
        self.approved_on.tools.values()
    }

    /// Whether something else was decided on the same tools, targets and policies.
    pub(super) fn decided_alike(&self, other: &CatalogDigests) -> bool {
        let of = |digests: &CatalogDigests| (digests.tools, digests.inventory, digests.policies);
        of(&self.decided_on) == of(other)
    }

    /// Whether a call was decided on the tools and targets that the question was decided on.
    fn still(&self, call: Option<Arc<CatalogDigests>>) -> bool {
        let then = &self.decided_on;
        call.is_none_or(|now| (then.tools, then.inventory) == (now.tools, now.inventory))
    }

    /// Whether targets are reached that are not among the entries here.
    fn reaches_others(&self) -> bool {
        self.approved_on.unlisted_targets || !self.approved_on.found_by.is_empty() && self.approved_on.found.is_none()
    }
}

/// What the bytes of a definition say, which are those of the digest.
fn defined(bytes: &[u8], digest: &Digest) -> Option<Arc<Option<DefinedTool>>> {
    if let Some(known) = DEFINED.get(digest) {
        return Some(known);
    }
    let Defined { tool, simulated } = serde_json::from_slice(bytes).ok()?;
    let defined = Arc::new(tool.map(|tool| DefinedTool { simulated, ..tool }));
    DEFINED.keep(*digest, Arc::clone(&defined));
    Some(defined)
}

/// What is wrong with a question, by what it was decided on.
pub(super) fn asked(state: &State, asked: &Asked, papers: &Papers<'_>) -> Vec<String> {
    let Some(grounds) = papers.grounds(&asked.request) else {
        let kept = |request: &Value| request.get("grounds_kept") == Some(&Value::Bool(true));
        let lost = papers.document(&asked.request).is_some_and(|request| kept(&request));
        let why = || format!("a question about {} decided on what cannot be read here", asked.about);
        return lost.then(why).into_iter().collect();
    };
    let (about, people, mut found) = (&asked.about, &grounds.people, Vec::new());
    if let Some(environment) = grounds.environments().find(|environment| people.signs_in(environment))
        && !asked.needs_signature()
    {
        found.push(format!("a question about {about} on a name alone, and it reaches {environment}"));
    }
    if let Some(environment) = grounds.environments().find(|environment| people.apart_in(environment)) {
        let hands = state.authors.values().flatten().chain([&state.requester]);
        let named = hands.filter_map(|actor| match actor {
            Actor::Person(identity) => Some(&identity.name),
            _ => None,
        });
        for name in named.filter(|name| !asked.barred.contains(*name)).collect::<BTreeSet<_>>() {
            found.push(format!("a question about {about} that lets {name} approve their own work in {environment}"));
        }
    }
    if asked.role < Role::Approver {
        found.push(format!("a question about {about} for the role {}, which approves nothing", asked.role));
    }
    let spec = state.artifact(ArtifactKind::Spec).and_then(|spec| papers.spec(&spec));
    if let Some(spec) = spec {
        let flow = grounds.flow(papers);
        let flow = (*about != About::Gate1).then_some(flow.as_deref());
        let why = rests_on_less(&grounds, &spec)
            .or_else(|| told_otherwise(&grounds, &spec, flow))
            .or_else(|| rests_on_another(state, asked, &grounds, papers))
            .or_else(|| finds::asked(state, asked, &grounds, papers));
        found.extend(why.map(|why| format!("a question about {about} {why}")));
    }
    found
}

/// Why the first question of gate 2 does not rest on what gate 1 was opened on, or one about a call or a state on what gate 2
/// was: where tools or targets change, the gate is asked anew before anything else is. After a failure what clears up goes on.
fn rests_on_another(state: &State, asked: &Asked, grounds: &Grounds, papers: &Papers<'_>) -> Option<String> {
    let (gate, number) = match asked.about {
        About::Gate2 => (&state.gate1, 1),
        About::Call { .. } | About::Deviation { .. } if !state.nodes.values().any(|settled| settled.failed) => {
            (&state.gate2, 2)
        }
        _ => return None,
    };
    let GateState::Open { request, .. } = gate else { return None };
    if !asked.void.is_empty() {
        return None;
    }
    let first = papers.grounds(request)?;
    let differs = first.approved_on.differences(&grounds.approved_on);
    let what = differs.first()?;
    Some(format!("that rests on something else than gate {number}, which was not asked anew: {what}"))
}

/// What is shown of a question that needs no signature, where gate 1 did.
pub(super) fn loosened(state: &State, asked: &Asked, papers: &Papers<'_>) -> Option<String> {
    let GateState::Open { request, .. } = &state.gate1 else { return None };
    let because = papers.document(request)?;
    let needed = because.get("signature_because").and_then(Value::as_array).is_some_and(|why| !why.is_empty());
    (needed && !asked.needs_signature()).then(|| asked.about.to_string())
}

/// What a call was decided on that is not what was approved: only what looks, takes back or clears up is let through so.
pub(super) fn moved(state: &State, allowed: &CallAllowed, papers: &Papers<'_>) -> Option<String> {
    if !goes_on(state, allowed, papers) {
        return None;
    }
    let still = at_call(state, papers)?.still(papers.catalog(&allowed.decided_on));
    (!still).then(|| format!("{} ({})", allowed.call, allowed.purpose.words()))
}

/// A change that was decided when the files as a whole were not those of its question any more. It is held to the tools and
/// targets that were approved all the same; which rules spoke is another matter.
pub(super) fn changed_since(state: &State, allowed: &CallAllowed, papers: &Papers<'_>) -> Option<String> {
    allowed.counts.as_ref()?;
    let grounds = at_call(state, papers)?;
    let (then, now) = (&grounds.decided_on, papers.catalog(&allowed.decided_on)?);
    // What reads found is in the inventory of whoever decides, and was not when gate 1 was asked about.
    let targets = grounds.approved_on.found_by.is_empty() && then.inventory != now.inventory;
    let files = [
        ("manifests", then.tools != now.tools),
        ("targets", targets),
        ("people", then.people != now.people),
        ("policies", then.policies != now.policies),
    ];
    let files: Vec<&str> = files.into_iter().filter(|(_, differ)| *differ).map(|(file, _)| file).collect();
    (!files.is_empty()).then(|| format!("{} ({})", allowed.call, files.join(", ")))
}

/// What of a spec a question does not rest on.
fn rests_on_less(grounds: &Grounds, spec: &Spec) -> Option<String> {
    let mut granted = spec.boundary.discover.iter().chain(&spec.boundary.build);
    let missing = granted.find(|grant| !grounds.tools.contains_key(&grant.tool))?;
    Some(format!("that does not rest on `{}`, which the spec grants", missing.tool))
}

/// How the facts of a request are not those that follow from spec, flow, tools and targets. A flow that was never filed as
/// it was asked about is not here; what its facts say then is held to its own targets alone.
fn told_otherwise(grounds: &Grounds, spec: &Spec, flow: Option<Option<&AutomationFlow>>) -> Option<String> {
    follows(grounds, spec, flow, &|name| grounds.tool_facts(name))
}

fn follows<'a>(
    grounds: &'a Grounds,
    spec: &Spec,
    flow: Option<Option<&AutomationFlow>>,
    tool: &dyn Fn(&ToolName) -> Option<ToolFacts<'a>>,
) -> Option<String> {
    let (told, inventory) = (&grounds.facts, &grounds.inventory);
    let finds = !grounds.approved_on.found_by.is_empty();
    let mut is = told.clone();
    let reach = listed_facts(spec, tool, inventory);
    let unlisted = reach.unlisted_targets;
    match flow {
        None => is = reach,
        Some(Some(flow)) => is = flow_facts(&reach, flow, tool, inventory),
        Some(None) => {
            let environment = |name: &String| inventory.target(name).map(|target| target.environment.clone());
            is.simulated = reach.simulated;
            is.environments = told.targets.iter().filter_map(environment).collect();
            is.targets.retain(|name| told.unlisted_targets || reach.unlisted_targets || reach.targets.contains(name));
        }
    }
    // What reads may still find counts as the worst that it may be; which other reads there are the whole inventory knows.
    let open = finds && flow.is_none() && grounds.approved_on.found.is_none();
    let within = grounds.approved_on.found_by.iter().filter(|_| open);
    is.environments.extend(within.clone().map(|by| by.within.environment.clone()));
    let most: u64 = within.map(|by| u64::from(by.at_most)).sum();
    if finds && flow.is_none() {
        is.may_find = told.may_find.max(most);
        is.risk = risk(&is);
        if is.environments.is_subset(&told.environments) {
            is.environments.clone_from(&told.environments);
        }
    }
    let differs = |what: &'static str, differs: bool| differs.then_some(what);
    let reached = if grounds.approved_on.unlisted_targets {
        // Of a target that could not be listed no entry is here; it is in one of the inventory's environments.
        !told.environments.is_subset(&grounds.approved_on.environments)
    } else {
        is.environments != told.environments
    };
    let listed = reached || is.targets != told.targets || is.may_find != told.may_find;
    let what = differs("the targets and environments", listed)
        .or(differs("whether all targets are listed", is.unlisted_targets != told.unlisted_targets))
        .or(differs("whether all targets are listed", unlisted != grounds.approved_on.unlisted_targets))
        .or(differs("how much is changed", is.writes != told.writes || is.destructive != told.destructive))
        .or(differs("what cannot be taken back", is.irreversible != told.irreversible))
        .or(differs("whether all of it is simulated", is.simulated != told.simulated))
        .or(differs("the risk", is.risk != told.risk))?;
    Some(format!("that says otherwise than its spec, flow, tools and targets: {what}"))
}

/// Whether a person had the role that they answered in, by the people that the question was decided on.
pub(super) fn answered(actor: &Actor, answered: &Answered, papers: &Papers<'_>) -> Option<String> {
    let Actor::Person(identity) = actor else { return None };
    // A no is taken though the people changed since, and then others may say it.
    if answered.answer == Answer::Reject {
        return None;
    }
    let grounds = papers.grounds(&answered.request)?;
    let roles = grounds.people.roles(identity);
    let (about, name, role) = (&answered.about, &identity.name, answered.role);
    let has = match roles.last() {
        Some(has) => format!("was {has}"),
        None => "had none".to_owned(),
    };
    (!roles.contains(&role)).then(|| format!("an answer about {about} by {name} in the role {role}, who {has}"))
}

/// Whether a yes lasts no longer than yeses did by the people that the question was decided on, from when its window
/// opens. One of the policy to a gate has no end of its own.
pub(super) fn lasts(state: &State, event: &Event, answered: &Answered, papers: &Papers<'_>) -> Option<String> {
    let gate_by_policy = answered.policy.is_some() && matches!(answered.about, About::Gate1 | About::Gate2);
    if answered.answer != Answer::Approve || gate_by_policy {
        return None;
    }
    let hours = papers.grounds(&answered.request)?.people.approvals_last_hours;
    let spec = state.artifact(ArtifactKind::Spec).and_then(|spec| papers.spec(&spec));
    let opens = spec.and_then(|spec| spec.window.as_ref().map(|window| window.from)).unwrap_or(event.at);
    let most = opens.max(event.at).checked_add(SignedDuration::from_hours(hours.into())).unwrap_or(Timestamp::MAX);
    answered.expires.is_none_or(|expires| expires > most).then(|| {
        let (about, by) = (&answered.about, &event.actor);
        format!("an answer about {about} by {by} for longer than the {hours} hours that a yes lasts")
    })
}

/// Why a call is not one that its grant, its tool and its target let through; nothing where they are not here, or what it
/// was given was destroyed.
pub(super) fn off(state: &State, allowed: &CallAllowed, grant: Option<&Grant>, papers: &Papers<'_>) -> Option<String> {
    let grounds = at_call(state, papers)?;
    let name = &allowed.tool;
    let as_asked = !goes_on(state, allowed, papers) || grounds.still(papers.catalog(&allowed.decided_on));
    let known = grounds.tool(name);
    let undoes = matches!(allowed.purpose, Purpose::Undo { .. });
    if let Some(tool) = known
        && (tool.effect != Effect::Read && !undoes) != allowed.counts.is_some()
    {
        let how = if tool.effect == Effect::Read { "as a read, yet" } else { "without" };
        return Some(format!("{how} being counted as a change"));
    }
    if !as_asked && allowed.counts.is_none() && !undoes {
        return None;
    }
    let Some(tool) = known else {
        return Some(format!("with `{name}`, which its approval does not rest on"));
    };
    if tool.effect != Effect::Read && allowed.agent != Agent::Build {
        return Some(format!("for the {} agent, which only reads, with `{name}`", allowed.agent));
    }
    let entry = |name: &str| grounds.approved_on.entry(&grounds.inventory, name);
    if let Some(why) = finds::read_otherwise(allowed, &grounds, papers) {
        return Some(why);
    }
    let nowhere = || finds::nowhere(state, &allowed.target, &grounds, papers);
    if entry(&allowed.target).is_none() && as_asked && (!grounds.reaches_others() || nowhere()) {
        return Some(format!("on `{}`, which its approval does not rest on", allowed.target));
    }
    let given = steps::given(&allowed.args, papers)?;
    if let Some(why) = not_taken(tool, &given) {
        return Some(format!("with arguments that `{name}` does not take: {why}"));
    }
    if given.get(&tool.target).and_then(Value::as_str) != Some(&allowed.target) {
        return Some(format!("on `{}`, and its arguments name another target", allowed.target));
    }
    // Of targets that only other arguments name, no entry is here but by chance.
    let in_group = |name: &str, group: &str| match entry(name) {
        Some(target) if target.name == name || name == allowed.target => !as_asked || target.groups.contains(group),
        _ => !as_asked || name != allowed.target || grounds.reaches_others(),
    };
    let (path, must) = outside(grant?, &tool.args, &given, &in_group)?;
    Some(format!("under `{}`, outside which it is: `{path}` must be {must}", allowed.grant))
}

/// What a call is decided on: what gate 1 was, and once gate 2 is open what that was, which knows what reads had found.
fn at_call(state: &State, papers: &Papers<'_>) -> Option<Arc<Grounds>> {
    papers.grounds(&state.opened_on()?)
}

/// Whether what calls are decided on now lies beside the chain: of chains of before it may not.
pub(super) fn kept(state: &State, papers: &Papers<'_>) -> bool {
    at_call(state, papers).is_some()
}

/// The whole definition of a tool that calls are held to now, where it is here and is one of this version.
pub(super) fn tool(state: &State, name: &ToolName, papers: &Papers<'_>) -> Option<Tool> {
    papers.toolbox(&state.opened_on()?)?.tool(name).cloned()
}

/// Whether a report says of the tools that are needed what its drafter does. That one only simulates is the program's to say.
pub(super) fn says_of_tools(state: &State, said: &DiscoveryReport, is: &[Capability], papers: &Papers<'_>) -> bool {
    let grounds = at_call(state, papers);
    let simulated = |tool: &ToolName| grounds.as_ref()?.tool(tool).map(|tool| tool.simulated);
    let status = |capability: &Capability| match (capability.status, simulated(&capability.tool)) {
        (CapabilityStatus::Resolved, Some(true)) => CapabilityStatus::Stubbed,
        (CapabilityStatus::Stubbed, None) => CapabilityStatus::Resolved,
        (status, _) => status,
    };
    let same = |(is, said): (&Capability, &Capability)| {
        let told = if simulated(&said.tool).is_none() { status(said) } else { said.status };
        status(is) == told && Capability { status: said.status, ..is.clone() } == *said
    };
    is.len() == said.capabilities.len() && is.iter().zip(&said.capabilities).all(same)
}

/// Whether an argument is what a tool takes where none is given, as far as its definition is here.
pub(super) fn by_default(state: &State, tool: &ToolName, name: &str, value: &Value, papers: &Papers<'_>) -> bool {
    let Some(grounds) = at_call(state, papers) else { return true };
    let Some(tool) = grounds.tool(tool) else { return false };
    tool.args.properties.get(name).is_some_and(|of| of.default.as_ref() == Some(value))
}

/// Whether a call goes on though targets changed or a limit is over, and looks with tools that did: it looks at what was done,
/// takes it back, or is of a step that clears up.
pub(super) fn goes_on(state: &State, allowed: &CallAllowed, papers: &Papers<'_>) -> bool {
    let clears_up = || {
        let flow = state.artifact(ArtifactKind::Flow).and_then(|flow| papers.flow(&flow))?;
        let accepted = (state.accepted_after().next().is_some()).then(|| with_accepted(&flow, state));
        let flow = accepted.as_ref().unwrap_or(&flow);
        let node = flow.node(allowed.purpose.node()?)?;
        let target = node.target.as_deref()?;
        Some(node.step.always && flow.nodes.iter().any(|other| touched(state, other, target)))
    };
    allowed.purpose.recovers() || clears_up().unwrap_or_default()
}

/// Whether a step has made a change on a target, as far as is known.
fn touched(state: &State, node: &FlowNode, target: &str) -> bool {
    let changes = || state.effects.values().any(|effects| effects.contains(node.id.as_str()));
    let ran = |call: &Call| call.outcome.is_some_and(|outcome| outcome != CallOutcome::NotSent);
    let on_it = |call: &Call| ran(call) && call.target.as_deref() == Some(target);
    state.act_of(&node.id).is_some_and(|(_, call)| on_it(call)) && changes()
}

/// Why a tool does not take these arguments in this form.
fn not_taken(tool: &DefinedTool, given: &Map<String, Value>) -> Option<String> {
    for (name, value) in given {
        match tool.args.properties.get(name).map(|schema| schema.normalise(value)) {
            None => return Some(format!("it has no `{name}`")),
            Some(Err(why)) => return Some(format!("`{name}`: {why}")),
            Some(Ok(normal)) if normal != *value => return Some(format!("`{name}` is not in its normal form")),
            Some(Ok(_)) => {}
        }
    }
    let names = tool.args.properties.keys();
    let missing = names.filter(|name| tool.args.always_given(name)).find(|name| !given.contains_key(*name));
    missing.map(|name| format!("`{name}` is missing"))
}
