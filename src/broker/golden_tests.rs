//! Every agent, phase, trust stage, effect, contract and gate in one table that a person reviews: what is answered and
//! which rule speaks. `cargo insta review`, or `INSTA_UPDATE=always`, writes it anew; what changed is for a person to
//! read. A new agent, phase or effect is in it at once, or does not compile here.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::json;

use super::{
    decide::{Decided, Moment, Refused, decide_on},
    tests::building,
};
use crate::{
    artifact::{Agent, Phase, Spec, StepId, from_yaml},
    engagement::{GateState, Proposal, Purpose, State, View, call_digest},
    facts::Role,
    policy::CompiledBoundary,
    record::fixture::{Chain, VLAN, object},
    tool::Effect,
};

const STAGES: [u8; 3] = [1, 2, 3];

/// Which gates are open.
#[derive(Clone, Copy, PartialEq)]
enum Gates {
    Closed,
    First,
    Both,
}

impl Gates {
    const ALL: [Gates; 3] = [Self::Closed, Self::First, Self::Both];

    fn words(self) -> &'static str {
        match self {
            Self::Closed => "no gate open",
            Self::First => "gate 1 open",
            Self::Both => "both gates open",
        }
    }
}

/// A boundary in which nothing is in the way but the engagement, the guardrails and the stage.
const WIDE: &str = "
kind: spec
title: Everything on one switch
requirements: [{id: R1, text: It is so}]
acceptance: []
boundary:
  discover: [{tool: vlan.list, where: {switch: {any: true}}}]
  build:
    - {tool: vlan.create, where: {switch: {any: true}, id: {any: true}, name: {any: true}}}
    - {tool: vlan.delete, where: {switch: {any: true}, id: {any: true}}}
    - {tool: vlan.list, where: {switch: {any: true}}}
";

/// A call of each effect. The match has no rest, so that a new effect needs one here.
fn tool(effect: Effect) -> (&'static str, serde_json::Value) {
    match effect {
        Effect::Read => ("vlan.list", json!({"switch": "sw01"})),
        Effect::Write => ("vlan.create", json!({"switch": "sw01", "id": 120, "name": "guest"})),
        Effect::Destructive => ("vlan.delete", json!({"switch": "sw01", "id": 120})),
    }
}

/// What the program itself would call for on behalf of each agent.
fn purpose(agent: Agent, chain: &Chain) -> Purpose {
    let node = || chain.documents.flow().unwrap().nodes[0].id.clone();
    let read: StepId = "vlans".parse().unwrap();
    match agent {
        Agent::Requirements | Agent::Design => Purpose::Discover { read, item: None },
        Agent::Build => Purpose::Act { node: node(), attempt: 1, r#try: 1 },
        Agent::Verifier => Purpose::Recheck { node: node(), attempt: 1 },
    }
}

/// The engagement as it would be there.
fn state(chain: &Chain, phase: Phase, gates: Gates) -> State {
    let mut state = chain.state().clone();
    state.phase = phase;
    // What gate 2 approved with the design is left out, so that the table says who would be asked.
    state.approved_calls.clear();
    state.approved_roles.clear();
    match gates {
        Gates::Closed => (state.gate1, state.gate2) = (GateState::Closed, GateState::Closed),
        Gates::First => state.gate2 = GateState::Closed,
        Gates::Both => {}
    }
    state
}

/// The answer to one call, and what becomes of one that waits for a person once that person agrees.
fn answer(chain: &Chain, boundary: &CompiledBoundary, at: (&mut State, u8), proposal: &Proposal, on: bool) -> String {
    let (state, stage) = at;
    let elsewhere = Default::default();
    let moment = Moment { now: chain.now(), stage, elsewhere: &elsewhere };
    let ask = |state: &State| {
        let (documents, blobs) = (&chain.documents, &chain.blobs);
        let view = View { state, documents, blobs, toolbox: &chain.catalog.toolbox };
        let decided = decide_on(&view, &chain.catalog, Some(boundary), proposal, &moment, |_| on);
        match decided {
            Decided::Allow(allowed) => {
                let stage = allowed.rules.iter().find(|spoke| spoke.layer == crate::policy::Layer::Stage);
                (format!("runs ({})", stage.unwrap().rule), None)
            }
            Decided::Refuse { verdict: Refused::NeedsApproval(role), rules, .. } => {
                (format!("asks the {} ({})", role.as_str(), rules.last().unwrap().rule), Some(role))
            }
            Decided::Refuse { verdict: Refused::Denied, rules, .. } => {
                (format!("refused ({})", rules.last().unwrap().rule), None)
            }
            Decided::Refuse { verdict: Refused::Invalid, rules, .. } => panic!("{rules:?}"),
        }
    };
    let (said, asked): (String, Option<Role>) = ask(state);
    let Some(role) = asked else { return said };
    let digest =
        call_digest(&state.id, proposal.purpose.node(), &proposal.tool, &proposal.args.clone().into()).unwrap();
    state.approved_calls.insert(digest, 1);
    state.approved_roles.insert(digest, role);
    // The last answer is that to gate 2.
    state.answers.last_mut().unwrap().2.calls.push(digest);
    let then = ask(state).0;
    state.approved_calls.clear();
    state.approved_roles.clear();
    state.answers.last_mut().unwrap().2.calls.pop();
    format!("{said}, then {then}")
}

#[test]
fn the_table_of_all_answers_is_the_one_that_was_reviewed() {
    let chain = building(VLAN);
    let wide: Spec = from_yaml("spec.yaml", WIDE).unwrap();
    let boundary = CompiledBoundary::compile(&wide, &chain.catalog).unwrap();
    let (mut text, mut asked) = (String::new(), 0);
    for stage in STAGES {
        for agent in Agent::ALL {
            writeln!(text, "stage {stage}, {agent}").unwrap();
            // Phases and gates with the same answers to all six calls stand together.
            let mut same: Vec<(Vec<String>, Vec<String>)> = Vec::new();
            for gates in Gates::ALL {
                let mut here: BTreeMap<String, Vec<&str>> = BTreeMap::new();
                for phase in Phase::ALL {
                    let mut state = state(&chain, phase, gates);
                    let mut answers: BTreeMap<usize, (String, Vec<String>)> = BTreeMap::new();
                    for effect in Effect::ALL {
                        for on in [true, false] {
                            let (tool, args) = tool(effect);
                            let purpose = if on { purpose(agent, &chain) } else { Purpose::Proposed { n: 1 } };
                            let proposal = Proposal { agent, purpose, tool: tool.into(), args: object(args) };
                            let said = answer(&chain, &boundary, (&mut state, stage), &proposal, on);
                            let call = format!("{} {}", effect.as_str(), if on { "on contract" } else { "off" });
                            let at = answers.values().position(|(known, _)| *known == said).unwrap_or(answers.len());
                            answers.entry(at).or_insert_with(|| (said, Vec::new())).1.push(call);
                            asked += 1;
                        }
                    }
                    let lines = answers.into_values().map(|(said, calls)| match calls.len() {
                        6 => format!("      {said}: everything\n"),
                        _ => format!("      {said}: {}\n", calls.join(", ")),
                    });
                    here.entry(lines.collect()).or_default().push(phase.as_str());
                }
                for (answers, phases) in here {
                    let all = phases.len() == Phase::ALL.len();
                    let phases = if all { "every phase".to_owned() } else { phases.join(", ") };
                    let place = format!("    {}: {phases}\n", gates.words());
                    match same.iter_mut().find(|(_, known)| known[0] == answers) {
                        Some((places, _)) => places.push(place),
                        None => same.push((vec![place], vec![answers])),
                    }
                }
            }
            for (places, answers) in same {
                text.extend(places.into_iter().chain(answers));
            }
        }
    }
    assert_eq!(asked, STAGES.len() * Agent::ALL.len() * Gates::ALL.len() * Phase::ALL.len() * Effect::ALL.len() * 2);
    insta::assert_snapshot!("all_answers", text);
}
