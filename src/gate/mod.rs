//! What a person is asked at a gate: the approval request, whose digest an answer names, and the screen that shows
//! it. Everything on it is computed from the chain, the tools and the inventory, and is the same for the same
//! chain; there is no time in it. Pure: it shows and never decides. Terminal, chat and export render the screen.

mod anew;
mod boundary;
mod change;
mod changes;
mod common;
mod deviation;
mod diff;
mod earlier;
mod found;
mod gate1;
mod gate2;
mod grounds;
mod leaving;
mod proof;
mod question;
mod render;
mod ruled;
mod screen;
mod sequence;
mod signature;
mod since;
mod text;
mod tried;
mod wider;
#[cfg(test)]
mod boundary_tests;
#[cfg(test)]
mod leaving_tests;
#[cfg(test)]
mod question_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod untrusted_tests;
#[cfg(test)]
mod version_tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    artifact::{
        ArtifactKind, AutomationFlow, CanonicalError, Digest, EngagementId, FlowNode, NodeId, Spec, ToolName, digest_of,
    },
    engagement::{About, Actor, Gate, NextError, RefusedAs, SealError, Standing, View, read_document},
    facts::{Facts, Role, spec_facts, with_flow},
    policy::{ApprovedOn, Catalog, CatalogDigests, ProofReport},
    tool::{Effect, Tool},
};

pub use boundary::boundary_words;
pub use changes::what_changed;
pub use found::found_words;
pub use leaving::Endpoint;
pub use proof::proof_sections;
pub use question::said;
pub use render::{Style, render, rows};
pub use screen::{Line, Screen, Section};
pub use sequence::sequence_diagram;

/// What a person decides on: an approval names the digest of exactly this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Always `approval_request`.
    pub kind: ApprovalRequestKind,
    /// The engagement.
    pub engagement: EngagementId,
    /// What is asked.
    pub about: About,
    /// The version of the spec (gate 1) or of the design (everything else).
    pub version: u32,
    /// The digest of that artifact.
    pub artifact: Option<Digest>,
    /// The digest of the flow that the design gives: at gate 2 as previewed, later as filed.
    pub flow: Option<Digest>,
    /// The digest of what a solver proved about the spec; left out where it was asked nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Digest>,
    /// What the program computed about it.
    pub facts: Facts,
    /// What it was decided on.
    pub decided_on: CatalogDigests,
    /// Whether the people, the policies, and each tool and target that the approval will rest on lie in the ledger as
    /// documents, under the digests that are named here. What was asked before there were such documents has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grounds_kept: bool,
    /// The calls that a yes lets run, each once.
    pub calls: Vec<OfferedCall>,
    /// What the approval will rest on.
    pub approved_on: ApprovedOn,
    /// The trust stage that the engagement stands at.
    pub standing: Standing,
    /// At gate 1: where each agent's model is asked, and so who sees what that agent sees; none where no model is in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Endpoint>,
    /// The role that may answer.
    pub role: Role,
    /// Who may not say yes, because they asked for it or wrote it and duties are apart here.
    pub barred: BTreeSet<String>,
    /// Why a gate that was open is asked anew; empty for every other question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub void: Vec<String>,
    /// Why an answer needs the signature of whoever gives it; empty where a name is enough. A no needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signature_because: Vec<String>,
    /// The text that is shown.
    pub screen: Screen,
}

/// The `kind` of an approval request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalRequestKind {
    /// An approval request.
    #[default]
    ApprovalRequest,
}

/// A call that a yes lets run once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferedCall {
    /// The node that makes it.
    pub node: NodeId,
    /// The digest of exactly this call, see [`crate::engagement::call_digest`].
    pub call: Digest,
    /// The call in plain words.
    pub sentence: String,
    /// Whether it removes something or cannot be taken back; such a call is ticked by itself.
    pub destructive: bool,
}

impl OfferedCall {
    /// How it stands on the screen.
    pub fn line(&self) -> Line {
        Line::Call {
            node: text::word(self.node.as_str()),
            sentence: text::sentence(&self.sentence),
            digest: self.call.short(),
            tick: self.destructive,
        }
    }
}

/// A question that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A document is missing.
    #[error("the {0} is not there")]
    Missing(ArtifactKind),
    /// There is no such node, call or deviation.
    #[error("there is nothing to ask about {0}")]
    NothingToAsk(About),
    /// The design does not become a flow.
    #[error(transparent)]
    Next(#[from] NextError),
    /// Something has no canonical form, so it has no digest.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// A call's digest cannot be made.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// The question as the chain and the catalog stand: the same for the same chain, blobs, catalog and models.
pub fn approval_request(
    view: &View<'_>,
    catalog: &Catalog,
    standing: &Standing,
    models: &[Endpoint],
    about: &About,
) -> Result<ApprovalRequest, GateError> {
    let seal = view.seal();
    let named = |node: &FlowNode, tool: &Tool, args: &Map<String, Value>| {
        Ok(seal.call_digest(&view.state.id, Some(&node.id), tool.name.as_str(), args)?)
    };
    request(view, catalog, (standing, models, about), &named)
}

/// A question that was asked, made again where the key is not that calls are sealed with: those that it offered have the
/// digests that it offered them by.
///
/// # Errors
///
/// As [`approval_request`].
pub fn made_again(view: &View<'_>, catalog: &Catalog, asked: &ApprovalRequest) -> Result<ApprovalRequest, GateError> {
    let named = |node: &FlowNode, _: &Tool, _: &Map<String, Value>| {
        let offered = asked.calls.iter().find(|offered| offered.node == node.id);
        Ok(offered.map_or(Digest::ZERO, |offered| offered.call))
    };
    request(view, catalog, (&asked.standing, &asked.models, &asked.about), &named)
}

/// Names a call that gate 2 offers.
type Named<'a> = dyn Fn(&FlowNode, &Tool, &Map<String, Value>) -> Result<Digest, GateError> + 'a;

fn request(
    view: &View<'_>,
    catalog: &Catalog,
    (standing, models, about): (&Standing, &[Endpoint], &About),
    named: &Named<'_>,
) -> Result<ApprovalRequest, GateError> {
    let kind = if *about == About::Gate1 { ArtifactKind::Spec } else { ArtifactKind::Design };
    let filed = view.state.artifacts.get(&kind).ok_or(GateError::Missing(kind))?;
    let spec = view.documents.spec().ok_or(GateError::Missing(ArtifactKind::Spec))?;
    let reach = spec_facts(spec, &catalog.toolbox, &catalog.inventory);
    let barred = barred(view, catalog, &reach);
    let mut request = ApprovalRequest {
        kind: ApprovalRequestKind::ApprovalRequest,
        engagement: view.state.id.clone(),
        about: about.clone(),
        version: filed.version,
        artifact: Some(filed.digest),
        flow: None,
        approved_on: ApprovedOn::of(spec, &reach, catalog)?,
        standing: standing.clone(),
        models: Vec::new(),
        signature_because: signature::because(catalog, &reach, standing, &barred),
        barred,
        proof: None,
        facts: reach.clone(),
        decided_on: catalog.digests()?,
        grounds_kept: true,
        calls: Vec::new(),
        role: role(view, about),
        void: Vec::new(),
        screen: Screen::default(),
    };
    if *about == About::Gate1 {
        let proof = proof_of_spec(view, catalog);
        request.proof = proof.as_ref().map(|(digest, _)| *digest);
        request.models = models.to_vec();
        let report = proof.as_ref().map(|(_, report)| report);
        // What reads will add is not known yet, so their approval is of the reads.
        request.approved_on.found = None;
        let mut seen = found::may_add(&request.approved_on.found_by);
        seen.extend(leaving::leaving_words(spec, catalog, models));
        request.screen = gate1::screen(view, catalog, spec, &request.facts, standing, report, seen);
        anew::asked_anew(&mut request, view, catalog, spec, Gate::One)?;
        say_barred(&mut request);
        signature::say(&mut request);
        return Ok(request);
    }
    let flow = match view.documents.flow() {
        Some(flow) => AutomationFlow::clone(flow),
        None => view.preview()?,
    };
    request.flow = Some(digest_of(&flow)?);
    let aimed = flow.nodes.iter().filter_map(|node| node.target.as_deref()).chain(called(view, catalog, &flow, about));
    request.approved_on.aim(aimed, &catalog.inventory)?;
    request.facts = with_flow(&request.facts, &flow, &catalog.toolbox, &catalog.inventory);
    let (facts, flow) = (&request.facts, &flow);
    if *about == About::Gate2 {
        let design = view.documents.design().ok_or(GateError::Missing(ArtifactKind::Design))?;
        let Offer { calls, forbidden, owners } = offered((view, catalog), standing.stage, spec, flow, named)?;
        request.calls = calls;
        request.approved_on.asks_then = asks_then((view, catalog), standing.stage, spec, flow);
        let calls = &request.calls;
        let (forbidden, owners) = (&forbidden, &owners);
        // Asked anew, it is about what is left.
        let left = anew::left(view, flow);
        let reach = with_flow(&reach, &left, &catalog.toolbox, &catalog.inventory);
        let (flow, facts) = if anew::is_anew(view, Gate::Two) { (&left, &reach) } else { (flow, facts) };
        request.screen = gate2::screen(&gate2::Design {
            view,
            catalog,
            spec,
            design,
            flow,
            facts,
            standing,
            calls,
            forbidden,
            owners,
        });
        anew::asked_anew(&mut request, view, catalog, spec, Gate::Two)?;
    } else {
        let screen = question::Question { view, catalog, spec, flow, facts, about }.screen()?;
        request.calls = one_call(view, catalog, flow, about);
        request.screen = screen;
    }
    say_renewed(&mut request, flow);
    say_barred(&mut request);
    signature::say(&mut request);
    Ok(request)
}

/// What a solver proved about the current spec, on what everything is decided on now, compared with the version before
/// that gate 1 showed last. Anything else that was proven says nothing about this question.
pub fn proof_of_spec(view: &View<'_>, catalog: &Catalog) -> Option<(Digest, ProofReport)> {
    let proved = view.state.proved_of_spec()?;
    let report: ProofReport = read_document(proved.report, view.blobs, "proof report").ok()?;
    let now = catalog.digests().ok()?;
    let then = report.decided_on;
    let same = (then.tools, then.inventory, then.policies) == (now.tools, now.inventory, now.policies);
    let before = view.state.shown_before(ArtifactKind::Spec).map(|(_, digest)| digest);
    (same && report.spec == proved.spec && report.before == before).then_some((proved.report, report))
}

/// The steps whose call is not known yet and that gate 2 says are asked about then.
fn asks_then(
    (view, catalog): (&View<'_>, &Catalog),
    stage: u8,
    spec: &Spec,
    flow: &AutomationFlow,
) -> BTreeSet<NodeId> {
    let policies = ruled::Policed::new(stage, catalog, spec);
    let later = |node: &&FlowNode| !anew::begun(view, node) && node.skipped.is_none() && !node.knows_args();
    let asks = |node: &FlowNode| {
        let tool = catalog.toolbox.tool(&node.step.tool).filter(|tool| tool.effect != Effect::Read)?;
        gate2::stage_asks(stage, &policies, node, tool).then(|| node.id.clone())
    };
    flow.nodes.iter().filter(later).filter_map(asks).collect()
}

/// What gate 2 can promise, and what it cannot.
struct Offer<'a> {
    /// The calls that a yes lets run.
    calls: Vec<OfferedCall>,
    /// The nodes whose call is refused whoever says yes, with the reason.
    forbidden: Vec<(&'a FlowNode, String)>,
    /// The nodes whose call an approver's yes is not enough for, with the reason.
    owners: BTreeMap<NodeId, String>,
}

/// The calls that gate 2 approves with the design: those that will run, are known to the last byte, and that no
/// policy forbids.
fn offered<'a>(
    (view, catalog): (&View<'_>, &Catalog),
    stage: u8,
    spec: &Spec,
    flow: &'a AutomationFlow,
    named: &Named<'_>,
) -> Result<Offer<'a>, GateError> {
    let mut offer = Offer { calls: Vec::new(), forbidden: Vec::new(), owners: BTreeMap::new() };
    let policies = ruled::Policed::new(stage, catalog, spec);
    let open = |node: &&FlowNode| !anew::begun(view, node) && node.skipped.is_none() && !node.unchanged();
    for node in flow.nodes.iter().filter(open) {
        let tool = catalog.toolbox.tool(&node.step.tool).filter(|tool| tool.effect != Effect::Read);
        let (Some(tool), Some(args)) = (tool, node.known_args()) else { continue };
        let said = policies.says(tool, &args);
        if let ruled::Said::Refused(reason) = said {
            offer.forbidden.push((node, reason));
            continue;
        }
        // A step that names a role is asked about call by call, when it is reached.
        if node.step.approval.is_some() {
            continue;
        }
        if let ruled::Said::WantsOwner(reason) = said {
            offer.owners.insert(node.id.clone(), reason);
        }
        offer.calls.push(OfferedCall {
            node: node.id.clone(),
            call: named(node, tool, &args)?,
            sentence: question::said(tool, &args),
            destructive: tool.effect == Effect::Destructive || tool.irreversible(),
        });
    }
    Ok(offer)
}

/// Those of the calls which gate 2 offers that run without anybody's approval of them once the design is approved, at this
/// trust stage: a yes to the design cannot leave them out.
///
/// # Errors
///
/// [`GateError`] if the design does not become a flow.
pub fn run_unasked(view: &View<'_>, catalog: &Catalog, asked: &ApprovalRequest) -> Result<Vec<NodeId>, GateError> {
    let spec = view.documents.spec().ok_or(GateError::Missing(ArtifactKind::Spec))?;
    let policies = ruled::Policed::new(asked.standing.stage, catalog, spec);
    let flow = view.preview()?;
    let unasked = |offered: &&OfferedCall| {
        let node = flow.node(&offered.node);
        let tool = node.and_then(|node| catalog.toolbox.tool(&node.step.tool));
        let args = node.and_then(FlowNode::known_args);
        tool.zip(args).is_some_and(|(tool, args)| policies.runs_unasked(tool, &args))
    };
    Ok(asked.calls.iter().filter(unasked).map(|offered| offered.node.clone()).collect())
}

/// The target of the call that is asked about: a flow does not name one that follows from a result, nor that of a call
/// which an agent wants.
fn called<'a>(view: &'a View<'a>, catalog: &Catalog, flow: &AutomationFlow, about: &About) -> Option<&'a str> {
    let target = |tool: &ToolName| Some(&catalog.toolbox.tool(tool)?.target);
    match about {
        About::Call { node, .. } => {
            let args = view.act_of(node)?.1.args.read(view.blobs)?;
            args.get(target(&flow.node(node)?.step.tool)?)?.as_str()
        }
        About::Deviation { node } => {
            if let Some((_, want)) = view.state.wanted_after(node) {
                return Some(&want.target);
            }
            // What an agent wants is a call; anything else is a state, which a device may have made look like one.
            let found = &view.state.deviation_at(node)?.found;
            let wanted = found.because.as_ref().map(|_| &found.actual)?;
            let tool = wanted.get("tool")?.as_str()?.parse().ok()?;
            wanted.get("with")?.get(target(&tool)?)?.as_str()
        }
        _ => None,
    }
}

fn one_call(view: &View<'_>, catalog: &Catalog, flow: &AutomationFlow, about: &About) -> Vec<OfferedCall> {
    let About::Call { node, call } = about else { return Vec::new() };
    let tool = flow.node(node).and_then(|node| catalog.toolbox.tool(&node.step.tool));
    let asked = view.act_of(node).zip(tool).and_then(|((_, made), tool)| {
        Some(OfferedCall {
            node: node.clone(),
            call: *call,
            sentence: question::said(tool, made.args.read(view.blobs)?),
            destructive: tool.effect == Effect::Destructive || tool.irreversible(),
        })
    });
    asked.into_iter().collect()
}

/// Who asked for it, told agents about it or wrote any version of it, where the people file keeps duties apart in an environment that it
/// reaches.
fn barred(view: &View<'_>, catalog: &Catalog, reach: &Facts) -> BTreeSet<String> {
    let apart = |environment: &String| catalog.people.apart_in(environment);
    let anywhere = || catalog.inventory.targets.iter().any(|target| apart(&target.environment));
    let reached = reach.environments.iter().any(apart) || reach.unlisted_targets && anywhere();
    if !reached {
        return BTreeSet::new();
    }
    // Whoever wrote an earlier version, or told an agent what to write, has a hand in the one that came of it.
    let authors = view.state.authors.values().flatten().chain(view.state.talk.speakers());
    let person = |actor: &Actor| match actor {
        Actor::Person(identity) => Some(identity.name.clone()),
        Actor::Agent(_) | Actor::Policy | Actor::Program => None,
    };
    authors.chain([&view.state.requester]).filter_map(person).collect()
}

/// Says on the screen what becomes of a yes that nobody signs, where what it lets run fails.
fn say_renewed(request: &mut ApprovalRequest, flow: &AutomationFlow) {
    // A yes to what was known only when it ran, or that its step wants each time, is to that one call.
    let known = |node: &FlowNode| node.knows_args() && node.step.approval.is_none();
    let renewed = |call: &OfferedCall| !call.destructive && flow.node(&call.node).is_some_and(known);
    if request.signature_because.is_empty() && request.calls.iter().any(renewed) {
        let changes = flow.nodes.iter().filter(|node| node.skipped.is_none() && !node.unchanged());
        let all = request.calls.iter().all(renewed) && changes.into_iter().all(known);
        let which = if all { "a call" } else { "a call that removes nothing and is shown whole" };
        request.screen.footer += &format!(
            " Tried again after a failure (`run --retry failed`), {which} needs no new yes, unless this one is signed."
        );
    }
}

/// Says on the screen whose yes is not taken.
fn say_barred(request: &mut ApprovalRequest) {
    if !request.barred.is_empty() {
        let names: Vec<String> = request.barred.iter().map(|name| text::quoted(name)).collect();
        let who = text::names(&names);
        request.screen.footer +=
            &format!(" A yes of {who} is not taken: where this runs nobody approves their own work.");
    }
}

/// The role that may answer: an approver, or the one that the refused call or its step names.
fn role(view: &View<'_>, about: &About) -> Role {
    let About::Call { node, .. } = about else { return Role::Approver };
    let needed = match view.act_of(node).and_then(|(_, call)| call.refused.as_ref()) {
        Some((RefusedAs::NeedsApproval(role), _)) => *role,
        _ => Role::Approver,
    };
    let step = view.documents.flow().and_then(|flow| flow.node(node)).and_then(|node| node.step.approval.as_deref());
    needed.max(step.map_or(Role::Approver, Role::approving))
}
