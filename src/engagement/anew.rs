//! Gates that were open and do not hold any more: what they were approved on is another now, or the policy that
//! opened them lost its trust. Such a gate is asked anew before anything else is begun. What was begun is finished,
//! looked at and taken back meanwhile, but nothing changes anything with a tool that is not the one that was approved.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    artifact::{ArtifactKind, CanonicalError, NodeId, Phase, ToolName},
    facts::{AUTONOMOUS, Facts, IdentityMeans, People, Role, spec_facts},
    flow::NodeOutcome,
    policy::{ApprovedOn, Catalog, Difference, GateFacts, GateRuling},
    tool::Effect,
};

use super::{
    event::Actor,
    next::{Next, NextError, Proposal, ask_or_wait, next},
    purpose::Purpose,
    question::{About, Asked},
    state::{Gate, GateState, State},
    view::View,
};

/// A gate that stands open and does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// The gate.
    pub gate: Gate,
    /// Why, each in a few words; never empty.
    pub because: Vec<String>,
    /// What its approval rests on and is another now.
    pub differences: Vec<Difference>,
    /// Whether the key that it was approved with is none that counts now: then nothing at all is changed on that approval.
    pub unnamed: bool,
}

impl Gate {
    /// The question that opens it.
    pub fn about(self) -> About {
        match self {
            Self::One => About::Gate1,
            Self::Two => About::Gate2,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "gate 1",
            Self::Two => "gate 2",
        }
    }
}

impl State {
    /// What is known of a gate.
    pub fn gate(&self, gate: Gate) -> &GateState {
        match gate {
            Gate::One => &self.gate1,
            Gate::Two => &self.gate2,
        }
    }

    /// The open question about a gate that was open already.
    pub fn asked_anew(&self) -> Option<&Asked> {
        self.asked.as_ref().filter(|asked| !asked.void.is_empty())
    }
}

/// The gates that stand open because the policy said so.
pub fn opened_by_policy(state: &State) -> impl Iterator<Item = Gate> {
    let by_policy = |gate: &Gate| matches!(state.gate(*gate), GateState::Open { by: Actor::Policy, .. });
    [Gate::One, Gate::Two].into_iter().filter(move |gate| state.gate_open(*gate) && by_policy(gate))
}

/// The gates that stand open and do not hold, in order. `stage` is the trust stage that the engagement stands at.
///
/// # Errors
///
/// If a tool or an inventory entry has no canonical form.
pub fn void_gates(view: &View<'_>, catalog: &Catalog, stage: u8) -> Result<Vec<Void>, CanonicalError> {
    let state = view.state;
    let Some(spec) = view.documents.spec() else { return Ok(Vec::new()) };
    let (mut found, mut now) = (Vec::new(), None);
    if !state.gate_open(Gate::One) && !state.gate_open(Gate::Two) {
        return Ok(found);
    }
    let facts = spec_facts(spec, &catalog.toolbox, &catalog.inventory);
    for gate in [Gate::One, Gate::Two].into_iter().filter(|gate| state.gate_open(*gate)) {
        let GateState::Open { by, .. } = state.gate(gate) else { continue };
        let then = view.documents.approved_on(gate, state, view.blobs);
        let mut because = Vec::new();
        let mut differences = Vec::new();
        match then {
            None => because.push("what it was approved on is not in the ledger".to_owned()),
            Some(then) => {
                if now.is_none() {
                    now = Some(ApprovedOn::of(spec, &facts, catalog)?);
                }
                differences = now.as_ref().map(|now| then.differences(now)).unwrap_or_default();
                differences.extend(then.moved(&catalog.inventory)?);
                because.extend(differences.iter().map(ToString::to_string));
            }
        }
        let unnamed = state.gate_unnamed(gate, &catalog.signers);
        because.extend(may_no_more(by, &catalog.people).or_else(|| outgrown(state, gate, by, &facts, catalog)));
        if stage < AUTONOMOUS && opened_by_policy(state).any(|opened| opened == gate) {
            because.push(format!("policy answered it at trust stage {AUTONOMOUS}, and it stands at stage {stage} now"));
        }
        because.extend(ruled_no_more(view, gate, catalog));
        because.extend(unnamed.iter().cloned());
        if !because.is_empty() {
            found.push(Void { gate, because, differences, unnamed: unnamed.is_some() });
        }
    }
    Ok(found)
}

/// Why a person's yes to a gate is not enough any more, wherever the engagement may run as things are now.
fn outgrown(state: &State, gate: Gate, by: &Actor, facts: &Facts, catalog: &Catalog) -> Option<String> {
    let unlisted = catalog.inventory.targets.iter().filter(|_| facts.unlisted_targets);
    let mut reached = facts.environments.iter().chain(unlisted.map(|target| &target.environment));
    reached.find_map(|environment| not_enough_in(state, gate, by, environment, &catalog.people))
}

/// Why a person's yes to a gate counts no more, wherever it reaches: they may not say it any more.
pub fn may_no_more(by: &Actor, people: &People) -> Option<String> {
    let Actor::Person(who) = by else { return None };
    let role = Role::Approver;
    (!people.roles(who).contains(&role))
        .then(|| format!("{} said yes, and does not have the role `{role}` any more", who.name))
}

/// Why the policy's yes to a gate counts no more: `gates.cedar`, as it is now, does not say it to the same facts.
pub fn ruled_no_more(view: &View<'_>, gate: Gate, catalog: &Catalog) -> Option<String> {
    let GateState::Open { request, by: Actor::Policy, .. } = view.state.gate(gate) else { return None };
    let mut answers = view.state.answers.iter().rev().map(|(_, _, answered)| answered);
    let said = answers.find(|said| said.request == *request && said.about == gate.about())?.policy.as_ref()?;
    if said.policies == catalog.policies.digest() {
        return None;
    }
    let facts = view.blobs.get(&said.facts).and_then(|facts| GateFacts::deserialize(facts.as_ref()).ok());
    match facts.map(|facts| catalog.policies.gate_ruling(&facts)) {
        Some(GateRuling::Approve { .. }) => None,
        Some(GateRuling::Human { why }) => Some(format!("gates.cedar opened it, and now leaves it to a person: {why}")),
        None => Some("what gates.cedar opened it on is not in the ledger".into()),
    }
}

/// Why a person's yes to a gate is not enough in an environment as the people file is now: it was given on a name alone
/// where a signature is needed, or by whoever asked for it or wrote it where nobody approves their own work.
pub fn not_enough_in(state: &State, gate: Gate, by: &Actor, environment: &str, people: &People) -> Option<String> {
    let Actor::Person(who) = by else { return None };
    let name = &who.name;
    if who.means == IdentityMeans::Asserted && people.signs_in(environment) {
        return Some(format!("{name} said yes on a name alone, and `{environment}` needs a signature"));
    }
    let kinds = match gate {
        Gate::One => &[ArtifactKind::Spec][..],
        Gate::Two => &[ArtifactKind::Spec, ArtifactKind::Design],
    };
    let authors = kinds.iter().filter_map(|kind| state.authors.get(kind)).flatten().chain(state.talk.speakers());
    let own =
        authors.chain([&state.requester]).any(|actor| matches!(actor, Actor::Person(other) if other.name == *name));
    (own && people.apart_in(environment))
        .then(|| format!("{name} asked for it, wrote it or told agents about it, and in `{environment}` nobody approves their own work"))
}

/// What is to be done next where these gates do not hold: what [`next`] says where that only finishes, looks or takes
/// back, else the question about the first of them.
///
/// # Errors
///
/// As [`next`].
pub fn next_but_void(view: &View<'_>, void: &[Void], now: jiff::Timestamp) -> Result<Next, NextError> {
    let planned = next(view, now)?;
    if matches!(view.state.phase, Phase::Requirements | Phase::AsBuilt) || goes_on(view, void, &planned) {
        return Ok(planned);
    }
    Ok(match (void.first(), view.state.asked_anew()) {
        (Some(void), _) => ask_or_wait(view.state, void.gate.about()),
        // It was put back meanwhile; a person was asked, so a person answers.
        (None, Some(asked)) => Next::Wait(asked.about.clone()),
        (None, None) => planned,
    })
}

/// Whether this is done although a gate does not hold.
fn goes_on(view: &View<'_>, void: &[Void], planned: &Next) -> bool {
    match planned {
        Next::Expire(_) | Next::Void(_) | Next::Close(_) | Next::Closed => true,
        Next::Enter(phase, _) => *phase == Phase::AsBuilt,
        Next::Draft(kind) => matches!(kind, ArtifactKind::Spec | ArtifactKind::Record),
        Next::Ask(About::Deviation { node }) | Next::Wait(About::Deviation { node }) => {
            view.state.deviation_at(node).is_some_and(|last| last.found.undo)
        }
        Next::Deviate(found) => found.undo,
        Next::Ask(about) | Next::Wait(about) => matches!(about, About::Failure { .. } | About::Unknown { .. }),
        Next::Settle(settled) => {
            let ends = matches!(settled.outcome, NodeOutcome::Undone | NodeOutcome::UndoFailed | NodeOutcome::NotRun);
            ends || acted(view, &settled.node)
        }
        Next::Call(proposal) => {
            let asked = view.state.asked_anew().is_some();
            let recovers = if asked { proposal.purpose.recovers() } else { view.recovers(proposal) };
            recovers && (view.state.refused_anew || as_approved(view, void, &proposal.tool) && !held(view, proposal))
        }
        // An effect that is still to be looked at is waited for; a step that waits for something of its own is not.
        Next::Pause(_) => view.state.calls.values().next_back().is_some_and(|last| last.purpose.looks_after()),
        // Whether it may be sent is decided anew; where it may not, what it left is looked for.
        Next::Resend(id) => view.state.calls.get(id).is_some_and(|call| {
            view.state.refused_anew || call.purpose.recovers() && as_approved(view, void, &call.tool)
        }),
        Next::WaitUntil(_) | Next::Consider(_) => false,
    }
}

fn acted(view: &View<'_>, node: &NodeId) -> bool {
    view.act_of(node).is_some_and(|(_, call)| call.refused.is_none())
}

/// Whether a step was to act at the end whatever happened and was refused for what the gates rest on: then they are asked
/// about first, and it is not tried again and again.
fn held(view: &View<'_>, proposal: &Proposal) -> bool {
    let node = match &proposal.purpose {
        Purpose::Act { node, .. } | Purpose::Recheck { node, .. } => node,
        _ => return false,
    };
    view.act_of(node).is_some_and(|(_, call)| call.held())
}

/// Whether a call that recovers only reads, or its tool is the one that was approved and somebody who counts approved it.
fn as_approved(view: &View<'_>, void: &[Void], tool: &str) -> bool {
    let Ok(name) = tool.parse::<ToolName>() else { return true };
    let reads = view.toolbox.tool(&name).is_some_and(|tool| tool.effect == Effect::Read);
    reads || !(changed_tools(void).contains(&name) || void.iter().any(|void| void.unnamed))
}

/// The tools that are not those that were approved.
pub fn changed_tools(void: &[Void]) -> BTreeSet<ToolName> {
    let tool = |difference: &Difference| match difference {
        Difference::Tool(name) => Some(name.clone()),
        _ => None,
    };
    void.iter().flat_map(|void| &void.differences).filter_map(tool).collect()
}
