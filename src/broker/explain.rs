//! What would be decided about a call, and what every layer says to it. It decides nothing: nothing is written, no
//! permit is minted, and the layers are the same functions that decide.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Digest, Phase, ToolName},
    engagement::{Next, Proposal, Purpose, View, next},
    policy::{Catalog, CompiledBoundary, Layer, LayerAnswer, Nearest, Spoke, Verdict, each_layer},
};

use super::{
    circumstances::Circumstances,
    decide::{
        Moment, No, Refused, Said, contract_spoke, decide, gate, is_next, known, limits, one_change_at_a_time,
        step_approval,
    },
    grants::Grants,
    still::{still_agreed, still_as_approved},
};

/// What every layer says to a proposal.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What would be decided.
    pub foreseen: Said,
    /// Each layer's own answer, in the order in which they are asked.
    pub layers: Vec<LayerAnswer>,
    /// The grant that comes closest, where none permits.
    pub nearest: Option<Nearest>,
    /// What approvals of this call would name, where its arguments have a normal form.
    pub digest: Option<Digest>,
}

/// How a proposal would be decided.
pub fn foresee(
    view: &View<'_>,
    catalog: &Catalog,
    boundary: Option<&CompiledBoundary>,
    proposal: &Proposal,
    moment: &Moment<'_>,
) -> Said {
    decide(view, catalog, boundary, proposal, moment).into()
}

/// What guardrails and trust stage say, asked again, to a call that was let through: its arguments stand in `proposal`, and
/// that it was the contract's next one is shown by the chain.
pub fn said_again(
    view: &View<'_>,
    catalog: &Catalog,
    (proposal, digest): (&Proposal, &Digest),
    moment: &Moment<'_>,
) -> Vec<LayerAnswer> {
    let Some(tool) = proposal.tool.parse().ok().and_then(|name: ToolName| catalog.toolbox.tool(&name)) else {
        return Vec::new();
    };
    let on_contract = !proposal.purpose.is_proposed();
    let circumstances = Circumstances::of(view, proposal, digest, moment, view.recovers(proposal), on_contract);
    let question = circumstances.question(view, catalog, (tool, &proposal.args), proposal, moment);
    let (layers, _) = each_layer(catalog, None, &question);
    layers.into_iter().filter(|answer| matches!(answer.layer, Layer::Guardrails | Layer::Stage)).collect()
}

/// A call that someone names by tool and arguments: the engagement's own next call where it is exactly that, else a
/// proposal in the name of `agent`, or of the agent whose phase it is.
pub fn proposed(
    view: &View<'_>,
    tool: &str,
    args: Map<String, Value>,
    agent: Option<Agent>,
    now: Timestamp,
) -> Proposal {
    let normal = |args: &Map<String, Value>| {
        let tool = view.toolbox.tool(&tool.parse::<ToolName>().ok()?)?;
        view.toolbox.check_args(tool, args).ok()
    };
    if let Ok(Next::Call(wanted)) = next(view, now)
        && wanted.tool == tool
        && normal(&args).is_some_and(|args| normal(&wanted.args) == Some(args))
        && agent.is_none_or(|agent| agent == wanted.agent)
    {
        return wanted;
    }
    let agent = agent.unwrap_or_else(|| proposer(view.state.phase));
    let n = view.state.next_call().number();
    Proposal { agent, purpose: Purpose::Proposed { n }, tool: tool.to_owned(), args }
}

/// The agent in whose name calls are proposed in a phase.
pub fn proposer(phase: Phase) -> Agent {
    match phase {
        Phase::Requirements => Agent::Requirements,
        Phase::Feasibility | Phase::Design => Agent::Design,
        Phase::Build | Phase::AsBuilt => Agent::Build,
    }
}

/// What every layer says to a proposal, also after one before has said no.
pub fn explain(
    view: &View<'_>,
    catalog: &Catalog,
    boundary: Option<&CompiledBoundary>,
    proposal: &Proposal,
    moment: &Moment<'_>,
) -> Explanation {
    let foreseen = foresee(view, catalog, boundary, proposal, moment);
    let mut explanation = Explanation { foreseen, layers: Vec::new(), nearest: None, digest: None };
    let layers = &mut explanation.layers;
    let tool = proposal.tool.parse::<ToolName>().ok().and_then(|name| catalog.toolbox.tool(&name));
    let args = tool.and_then(|tool| catalog.toolbox.check_args(tool, &proposal.args).ok());
    layers.push(answer(Layer::Tool, known(catalog, proposal).map(|_| None)));
    let (Some(tool), Some(args)) = (tool, args) else {
        let why = "there is no such call that could be asked about";
        let others = [Layer::Gate, Layer::Guardrails, Layer::Boundary, Layer::Contract, Layer::Stage, Layer::Limits];
        layers.extend(others.map(|layer| not_asked(layer, why)));
        return explanation;
    };
    let digest = view.seal().call_digest(&view.state.id, proposal.purpose.node(), proposal.tool.as_str(), &args);
    explanation.digest = digest.ok();
    let Some(digest) = explanation.digest else { return explanation };
    let recovery = view.recovers(proposal);
    let on_contract = is_next(view, proposal, &args, moment.now);
    let target = args.get(&tool.target).and_then(Value::as_str).unwrap_or_default();
    let gates = gate(view, tool, proposal, recovery, moment);
    let asked = Circumstances::of(view, proposal, &digest, moment, recovery, on_contract).with_what_stands(
        (view, catalog),
        (tool, target, &digest),
        moment,
    );
    let rests = asked.approved_in.is_some().then_some(&digest);
    let as_approved = || {
        still_as_approved(view, catalog, tool, target, recovery)?;
        still_agreed(view, catalog, &proposal.purpose, (rests, target), moment.now)
    };
    layers.push(answer(Layer::Gate, gates.and_then(|()| as_approved()).map(|()| None)));
    let question = asked.question(view, catalog, (tool, &args), proposal, moment);
    let (ruled, nearest) = each_layer(catalog, boundary, &question);
    explanation.nearest = nearest;
    let mut stage = None;
    let mut granted = Vec::new();
    for mut layer in ruled {
        match layer.layer {
            Layer::Stage => {
                if let (Some(Verdict::Allow), Some(Refused::NeedsApproval(role))) =
                    (layer.verdict, step_approval(view, proposal, asked.approved_in))
                {
                    layer.verdict = Some(Verdict::Escalate(role));
                    let reason = format!("the step asks for the approval of someone with the role {role}");
                    layer.rules.push(Spoke { layer: Layer::Stage, rule: "step.approval".into(), reason });
                }
                stage = Some(layer);
            }
            Layer::Boundary => {
                granted = if layer.verdict == Some(Verdict::Allow) { layer.rules.clone() } else { Vec::new() };
                if boundary.is_none() {
                    layer = not_asked(Layer::Boundary, "no boundary yet: gate 1 is not open");
                }
                layers.push(layer);
            }
            _ => layers.push(layer),
        }
    }
    let contract = contract_spoke(proposal, tool, on_contract)
        .and_then(|spoke| one_change_at_a_time(view.state, tool).map(|()| spoke));
    layers.push(match contract {
        // Neither a yes nor a no: the guardrails and the trust stage hear that the call is not on the contract.
        Ok(None) => not_asked(Layer::Contract, "the call is not the approved design's next step"),
        said => answer(Layer::Contract, said),
    });
    layers.extend(stage);
    let mut granted = granted.into_iter();
    layers.push(match granted.next() {
        None => not_asked(Layer::Limits, "no grant permits the call, so nothing is counted"),
        Some(first) => {
            let grants = Grants { view, tool, proposal, digest, first: Some(first.rule), also: granted.collect() };
            let counted = limits(view, proposal, recovery, moment.now).and_then(|()| grants.with_room());
            answer(Layer::Limits, counted.map(|_| None))
        }
    });
    explanation
}

fn answer(layer: Layer, answer: Result<Option<Spoke>, No>) -> LayerAnswer {
    match answer {
        Ok(spoke) => LayerAnswer { layer, verdict: Some(Verdict::Allow), rules: spoke.into_iter().collect() },
        Err((_, _, spoke)) => LayerAnswer { layer, verdict: Some(Verdict::Deny), rules: vec![spoke] },
    }
}

fn not_asked(layer: Layer, why: &str) -> LayerAnswer {
    LayerAnswer { layer, verdict: None, rules: vec![Spoke { layer, rule: "not.asked".into(), reason: why.into() }] }
}
