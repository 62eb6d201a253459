//! One decision, steps 1 to 7 of the design: tool, gate, guardrails, boundary, contract, stage, limits. No I/O: the
//! catalog, the state and the time come in, an answer with the rules that spoke comes out.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Digest, Phase, Spec, ToolName, Written},
    engagement::{
        Arguments, Gate, Next, Proposal, Purpose, Reading, RefusedAs, State, View, call_digest, look_before, next,
        opened_by_policy,
    },
    facts::{AUTONOMOUS, Role},
    policy::{Catalog, CompiledBoundary, Layer, Spoke, Verdict, nearest, rule},
    tool::{Effect, Tool},
};

use super::{
    circumstances::{Circumstances, window_open},
    grants::Grants,
    still::{anew, still_agreed, still_as_approved},
};

/// What was decided about a proposal.
pub(super) enum Decided {
    /// It may run.
    Allow(Box<Allowed>),
    /// It may not, or not without a person.
    Refuse {
        /// How.
        verdict: Refused,
        /// The call's digest, where the arguments have a normal form.
        digest: Option<Digest>,
        /// The rules that spoke; the last one decided.
        rules: Vec<Spoke>,
    },
}

/// How a call is refused.
pub(super) enum Refused {
    /// Not a call at all.
    Invalid,
    /// No.
    Denied,
    /// Only with this role's approval.
    NeedsApproval(Role),
}

/// A call that may run.
pub(super) struct Allowed {
    pub(super) digest: Digest,
    pub(super) tool: ToolName,
    pub(super) target: String,
    pub(super) args: Map<String, Value>,
    /// The arguments as its event has them, and the document that holds them where they are sealed.
    pub(super) sealed: (Arguments, Option<Arc<Written>>),
    pub(super) grant: String,
    pub(super) counts: Option<String>,
    pub(super) approved: bool,
    pub(super) rules: Vec<Spoke>,
}

/// What was said of a proposal: an answer to look at. Nothing can be run with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// How it is refused; nothing where it would be allowed.
    pub refused: Option<RefusedAs>,
    /// The call's digest, where its arguments have a normal form.
    pub digest: Option<Digest>,
    /// The grant that it rests on, where it would be allowed.
    pub grant: Option<String>,
    /// The rules that spoke; the last one decided.
    pub rules: Vec<Spoke>,
}

impl From<Refused> for RefusedAs {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid => Self::Invalid,
            Refused::Denied => Self::Denied,
            Refused::NeedsApproval(role) => Self::NeedsApproval(role),
        }
    }
}

impl From<Decided> for Said {
    fn from(decided: Decided) -> Self {
        match decided {
            Decided::Allow(allowed) => {
                let Allowed { digest, grant, rules, .. } = *allowed;
                Self { refused: None, digest: Some(digest), grant: Some(grant), rules }
            }
            Decided::Refuse { verdict, digest, rules } => {
                Self { refused: Some(verdict.into()), digest, grant: None, rules }
            }
        }
    }
}

/// Why a layer says no, on the way through the layers.
pub(super) type No = (Refused, Option<Digest>, Spoke);

pub(super) fn no(layer: Layer, rule: &str, reason: impl Into<String>) -> No {
    (Refused::Denied, None, Spoke { layer, rule: rule.to_owned(), reason: reason.into() })
}

/// What is true when a call is decided and stands in no document.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time.
    pub now: Timestamp,
    /// The trust stage that the engagement stands at.
    pub stage: u8,
    /// The targets that other engagements are changing.
    pub elsewhere: &'a BTreeSet<String>,
}

/// Decides a proposal.
pub(super) fn decide(
    view: &View<'_>,
    catalog: &Catalog,
    boundary: Option<&CompiledBoundary>,
    proposal: &Proposal,
    moment: &Moment<'_>,
) -> Decided {
    decide_on(view, catalog, boundary, proposal, moment, |args| is_next(view, proposal, args, moment.now))
}

/// The same, where whether the call is the contract's next enabled one is asked of `on_contract`.
pub(super) fn decide_on(
    view: &View<'_>,
    catalog: &Catalog,
    boundary: Option<&CompiledBoundary>,
    proposal: &Proposal,
    moment: &Moment<'_>,
    on_contract: impl FnOnce(&Map<String, Value>) -> bool,
) -> Decided {
    match layers(view, catalog, boundary, proposal, moment, on_contract) {
        Ok(allowed) => Decided::Allow(Box::new(allowed)),
        Err(Stopped::At((verdict, digest, spoke))) => Decided::Refuse { verdict, digest, rules: vec![spoke] },
        Err(Stopped::Ruled { verdict, digest, rules }) => Decided::Refuse { verdict, digest: Some(digest), rules },
    }
}

enum Stopped {
    At(No),
    Ruled { verdict: Refused, digest: Digest, rules: Vec<Spoke> },
}

impl From<No> for Stopped {
    fn from(no: No) -> Self {
        Self::At(no)
    }
}

fn layers(
    view: &View<'_>,
    catalog: &Catalog,
    boundary: Option<&CompiledBoundary>,
    proposal: &Proposal,
    moment: &Moment<'_>,
    on_contract: impl FnOnce(&Map<String, Value>) -> bool,
) -> Result<Allowed, Stopped> {
    let state = view.state;
    let now = moment.now;
    // 1. A known tool and valid arguments; from here on the same bytes are decided, digested and sent.
    let (tool, args) = known(catalog, proposal)?;
    let unsealed = |why: String| no(Layer::Tool, "tool.arguments", why);
    let (node, name) = (proposal.purpose.node(), proposal.tool.as_str());
    let sealed = view.seal().arguments(node, name, &args).map_err(|error| unsealed(error.to_string()))?;
    let digest = call_digest(&state.id, node, name, &sealed.0).map_err(|error| unsealed(error.to_string()))?;
    let at = |(refused, _, spoke): No| Stopped::At((refused, Some(digest), spoke));
    // 2. The phase's gate, and the window.
    let recovery = view.recovers(proposal);
    gate(view, tool, proposal, recovery, moment).map_err(at)?;
    let boundary = boundary.ok_or_else(|| at(no(Layer::Gate, "gate.closed", "there is no approved spec to go by")))?;
    let target = args.get(&tool.target).and_then(Value::as_str).unwrap_or_default().to_owned();
    // 5. Asked before 3 and 4, which hear of it: is this the contract's next enabled call?
    let on_contract = on_contract(&args);
    let contract = contract_spoke(proposal, tool, on_contract).map_err(at)?;
    one_change_at_a_time(state, tool).map_err(at)?;
    // 3, 4 and 6. Guardrails, boundary, stage.
    let circumstances = Circumstances::of(view, proposal, &digest, moment, recovery, on_contract).with_what_stands(
        (view, catalog),
        (tool, &target, &digest),
        moment,
    );
    let approved_in = circumstances.approved_in;
    let question = circumstances.question(view, catalog, (tool, &args), proposal, moment);
    let ruling = rule(catalog, boundary, &question);
    let mut rules = ruling.spoke;
    let verdict = match ruling.verdict {
        Verdict::Deny => Some(Refused::Denied),
        Verdict::Escalate(role) => Some(Refused::NeedsApproval(role)),
        Verdict::Allow => {
            // Where no rule asks any more, whoever may approve may say yes again.
            let anew = circumstances.stale.then_some(Refused::NeedsApproval(Role::Approver));
            step_approval(view, proposal, approved_in).or(anew)
        }
    };
    if ruling.verdict == Verdict::Allow && circumstances.stale {
        let reason = format!("{target} or the tool is not what it was when somebody said yes to this call");
        rules.push(Spoke { layer: Layer::Gate, rule: "approval.stale".into(), reason });
    }
    let grants = Grants { view, tool, proposal, digest, first: ruling.grant, also: ruling.also };
    if let Some(verdict @ Refused::Denied) = verdict {
        return Err(Stopped::Ruled { verdict, digest, rules });
    }
    // The rules speak first, because they say best what is wrong; then whether exactly this was ever approved.
    still_as_approved(view, catalog, tool, &target, recovery).map_err(at)?;
    if let Some(verdict) = verdict {
        // A count that is used up is said now, not after a person has been asked for nothing.
        limits(view, proposal, recovery, now).and_then(|()| grants.with_room()).map_err(at)?;
        return Err(Stopped::Ruled { verdict, digest, rules });
    }
    let rests = approved_in.is_some().then_some(&digest);
    still_agreed(view, catalog, &proposal.purpose, (rests, &target), now).map_err(at)?;
    rules.extend(contract.map(|spoke| as_accepted(view, proposal, spoke)));
    // 7. Counts and limits, reserved with the intent.
    limits(view, proposal, recovery, now).map_err(at)?;
    let (grant, counts) = grants.with_room().map_err(at)?;
    if let (Some(said), Some(permit)) = (grants.also.iter().find(|also| also.rule == grant), rules.first_mut()) {
        *permit = said.clone();
    }
    let approved = approved_in.is_some() && tool.effect != Effect::Read;
    Ok(Allowed { digest, tool: tool.name.clone(), target, args, sealed, grant, counts, approved, rules })
}

pub(super) fn known<'a>(catalog: &'a Catalog, proposal: &Proposal) -> Result<(&'a Tool, Map<String, Value>), No> {
    let invalid =
        |rule: &str, reason: String| (Refused::Invalid, None, Spoke { layer: Layer::Tool, rule: rule.into(), reason });
    let hint = || nearest(&shown(&proposal.tool), catalog.toolbox.tools().map(|tool| tool.name.as_str()));
    let name: ToolName = proposal
        .tool
        .parse()
        .map_err(|_| invalid("tool.unknown", format!("there is no tool `{}`{}", shown(&proposal.tool), hint())))?;
    let tool = catalog
        .toolbox
        .tool(&name)
        .ok_or_else(|| invalid("tool.unknown", format!("no manifest in tools/ has a tool `{name}`{}", hint())))?;
    let args = catalog
        .toolbox
        .check_args(tool, &proposal.args)
        .map_err(|problem| invalid("tool.arguments", problem.to_string()))?;
    if !catalog.toolbox.is_pinned(&name) {
        let reason = format!(
            "`{name}` is not pinned, or its manifest has changed since; look at both and run `countersign tools pin`"
        );
        return Err((Refused::Denied, None, Spoke { layer: Layer::Tool, rule: "tool.unpinned".into(), reason }));
    }
    Ok((tool, args))
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Step 2.
pub(super) fn gate(
    view: &View<'_>,
    tool: &Tool,
    proposal: &Proposal,
    recovery: bool,
    moment: &Moment<'_>,
) -> Result<(), No> {
    let (state, now) = (view.state, moment.now);
    if let Some(closed) = &state.closed {
        return Err(no(Layer::Gate, "engagement.closed", format!("the engagement is closed: {}", closed.reason)));
    }
    if let (Some(reason), false) = (&state.cancelled, recovery) {
        return Err(no(Layer::Gate, "engagement.cancelled", format!("the engagement was cancelled: {reason}")));
    }
    if let (Some(reason), false) = (view.stopped(), recovery) {
        return Err(no(Layer::Gate, "engagement.stopped", format!("the engagement was stopped: {reason}")));
    }
    if !state.gate_open(Gate::One) {
        return Err(no(Layer::Gate, "gate.1", "gate 1 is not open: nobody has approved the current spec"));
    }
    if let Some(gate) = opened_by_policy(state).next().filter(|_| !recovery && moment.stage < AUTONOMOUS) {
        let reason = format!(
            "{} was answered by policy at trust stage 3, and the engagement stands at stage {} now; {}",
            gate.name(),
            moment.stage,
            anew(view)
        );
        return Err(no(Layer::Gate, "gate.stage", reason));
    }
    if let Some(asked) = state.asked_anew().filter(|_| !recovery) {
        let reason = format!("{} is asked anew, and nothing is begun until a person has answered", asked.about);
        return Err(no(Layer::Gate, "gate.anew", reason));
    }
    let phases: &[Phase] = match proposal.agent {
        Agent::Requirements => {
            return Err(no(Layer::Gate, "agent.requirements", "the requirements agent has no tools"));
        }
        Agent::Design => &[Phase::Feasibility, Phase::Design],
        Agent::Build => &[Phase::Build],
        Agent::Verifier => &[Phase::Feasibility, Phase::Design, Phase::Build, Phase::AsBuilt],
    };
    if !phases.contains(&state.phase) {
        let reason = format!("the {} agent has no calls in the {} phase", proposal.agent, state.phase);
        return Err(no(Layer::Gate, "gate.phase", reason));
    }
    if proposal.agent == Agent::Build && !state.gate_open(Gate::Two) {
        return Err(no(Layer::Gate, "gate.2", "gate 2 is not open: nobody has approved the current design"));
    }
    match spec(view).and_then(|spec| spec.window) {
        Some(window) if !window_open(view, now) && !recovery && tool.effect != Effect::Read => {
            let reason = format!("the window is from {} until {}", window.from, window.until);
            Err(no(Layer::Gate, "gate.window", reason))
        }
        _ => Ok(()),
    }
}

pub(super) fn spec<'a>(view: &View<'a>) -> Option<&'a Spec> {
    view.documents.spec().map(AsRef::as_ref)
}

/// The purpose that a refused proposal is written down under. A purpose that the program itself does not serve with
/// exactly this call now is only a claim: taken for an answer it would fail steps and undos that were never tried.
pub(super) fn refused_purpose(view: &View<'_>, proposal: &Proposal, now: Timestamp) -> Purpose {
    if let Purpose::Turn { turn, call } = proposal.purpose
        && view.state.talk.proposes(turn, call)
        && matches!(view.reading(&proposal.purpose), Reading::Open | Reading::Again)
    {
        return proposal.purpose.clone();
    }
    match wanted(view, &proposal.purpose, now) {
        Some(wanted) if wanted == *proposal => proposal.purpose.clone(),
        _ => Purpose::Proposed { n: view.state.next_call().number() },
    }
}

/// The call that the engagement wants next; or the look right before that, once more, where that is what is proposed: others
/// may have changed what it saw.
fn wanted(view: &View<'_>, proposed: &Purpose, now: Timestamp) -> Option<Proposal> {
    let Ok(Next::Call(next)) = next(view, now) else { return None };
    if next.purpose == *proposed {
        return Some(next);
    }
    look_before(view, &next.purpose).filter(|look| look.purpose == *proposed)
}

/// Whether exactly this, with its arguments in normal form, is what the engagement wants next.
pub(super) fn is_next(view: &View<'_>, proposal: &Proposal, args: &Map<String, Value>, now: Timestamp) -> bool {
    // Nothing that is proposed by hand or by a model is ever what the program wants next.
    if proposal.purpose.is_proposed() {
        return false;
    }
    let Some(wanted) = wanted(view, &proposal.purpose, now) else { return false };
    wanted.agent == proposal.agent
        && wanted.purpose == proposal.purpose
        && wanted.tool == proposal.tool
        && (wanted.args == *args || normal(view, &wanted).as_ref() == Some(args))
}

fn normal(view: &View<'_>, proposal: &Proposal) -> Option<Map<String, Value>> {
    let tool = view.toolbox.tool(&proposal.tool.parse().ok()?)?;
    view.toolbox.check_args(tool, &proposal.args).ok()
}

/// Step 5. A step's own call, an undo and a verifier's read must be exactly what comes next.
pub(super) fn contract_spoke(proposal: &Proposal, tool: &Tool, on_contract: bool) -> Result<Option<Spoke>, No> {
    // Whatever serves a purpose counts as evidence for it, so only the program's own next call may claim one.
    let bound = !proposal.purpose.is_proposed();
    if bound && !on_contract {
        let reason = match proposal.purpose {
            Purpose::Act { .. } | Purpose::Undo { .. } => "the approved design's next enabled step",
            _ => "what this engagement reads next",
        };
        let reason = format!("{} with this tool and these arguments is not {reason}", proposal.purpose.words());
        return Err(no(Layer::Contract, "contract.next", reason));
    }
    if proposal.agent == Agent::Build && matches!(proposal.purpose, Purpose::Turn { .. }) {
        let reason = "the build agent calls nothing while it drafts; what it wants done is a deviation to be said";
        return Err(no(Layer::Contract, "agent.build", reason));
    }
    if proposal.agent == Agent::Verifier && !on_contract {
        let reason = "the verifier is the platform's own reader; nobody proposes calls in its name";
        return Err(no(Layer::Contract, "agent.verifier", reason));
    }
    if proposal.agent != Agent::Build && tool.effect != Effect::Read {
        // No grant is for that, so it counts as an attempt outside the boundary.
        return Err(no(Layer::Boundary, "agent.reads", format!("the {} agent only reads", proposal.agent)));
    }
    Ok(on_contract.then(|| Spoke {
        layer: Layer::Contract,
        rule: "contract.next".into(),
        reason: "it is the next enabled call".into(),
    }))
}

/// A call that a person accepted after a step failed is next because of that, and not because the design has it.
fn as_accepted(view: &View<'_>, proposal: &Proposal, spoke: Spoke) -> Spoke {
    let node = match &proposal.purpose {
        Purpose::Act { node, .. } => node,
        _ => return spoke,
    };
    match view.state.wanted_after(node) {
        None => spoke,
        Some((considered, _)) => Spoke {
            layer: Layer::Contract,
            rule: "contract.accepted".into(),
            reason: format!(
                "the design does not have it; a person accepted exactly this call after {} failed",
                considered.node
            ),
        },
    }
}

/// While a call is under way nobody knows yet what it leaves, so nothing else is changed.
pub(super) fn one_change_at_a_time(state: &State, tool: &Tool) -> Result<(), No> {
    match state.first_under_way() {
        Some(id) if tool.effect != Effect::Read => {
            let reason =
                format!("{id} is still under way, and an engagement changes one thing at a time; try after it");
            Err(no(Layer::Contract, "contract.under_way", reason))
        }
        _ => Ok(()),
    }
}

/// A step may ask for an approval of its own, whatever the stage lets run, and gate 2 may have said that it is asked about.
pub(super) fn step_approval(view: &View<'_>, proposal: &Proposal, approved_in: Option<Role>) -> Option<Refused> {
    let Purpose::Act { node, .. } = &proposal.purpose else { return None };
    // What the design does not have runs on a yes alone, which gate 2 asked anew takes back.
    let role = if view.state.wanted_after(node).is_some() {
        Role::Approver
    } else {
        match view.documents.flow()?.node(node)?.step.approval.as_deref() {
            Some(role) => Role::approving(role),
            None => {
                let on = view.documents.approved_on(Gate::Two, view.state, view.blobs)?;
                on.asks_then.contains(node).then_some(Role::Approver)?
            }
        }
    };
    (approved_in < Some(role)).then_some(Refused::NeedsApproval(role))
}

/// Step 7, but for what grants count.
pub(super) fn limits(view: &View<'_>, proposal: &Proposal, recovery: bool, now: Timestamp) -> Result<(), No> {
    let state: &State = view.state;
    let Some(spec) = spec(view) else { return Err(no(Layer::Limits, "limit.none", "there is no spec")) };
    if let (Purpose::Undo { .. }, Some(until)) = (&proposal.purpose, spec.undo_until)
        && now >= until
    {
        let reason = format!("the spec lets changes be taken back until {until}");
        return Err(no(Layer::Limits, "limit.undo_until", reason));
    }
    match state.spent_by(&spec.limits, now).filter(|_| !recovery) {
        Some((rule, reason)) => Err(no(Layer::Limits, rule, reason)),
        None => Ok(()),
    }
}
