//! Forged holes, deviations and flows, each with what is found and where.

use serde_json::{Value, json};

use super::*;
use crate::{
    artifact::{Agent, Arg, ArtifactKind, AutomationFlow, Filled, FlowDeviation, digest_of},
    engagement::{About, Actor, Answer, DeviationFound, Finish, HoleFilled, HolesFilled, Turned, Usage, Wanted},
    ledger::testing::{Story, design, filed, person},
};

pub(super) const BUILD: Actor = Actor::Agent(Agent::Build);

/// The places of the events.
const TURN: usize = 15;
const FILLED: usize = 16;
const DEVIATED: usize = 17;
const ANSWERED: usize = 19;
pub(super) const FLOW: usize = 20;

fn step() -> Value {
    let hole = json!({"fill": "a name", "where": {"like": "guest-*"}});
    json!({"id": "create", "tool": "vlan.create", "with": {"switch": "sw01", "id": 7, "name": hole}})
}

fn designed() -> Value {
    let mut design = design();
    design["steps"] = json!([step()]);
    design
}

fn approved() -> AutomationFlow {
    let design = digest_of(&designed()).unwrap();
    let node = json!({"id": "create", "target": "sw01", "needs": [], "step": step()});
    serde_json::from_value(json!({"kind": "flow", "design": design, "nodes": [node]})).unwrap()
}

fn built() -> AutomationFlow {
    let mut flow = approved();
    let filled = Filled { value: json!("guest-lobby"), because: "guests wait there".into() };
    flow.fill(&"create".parse().unwrap(), "name", &filled);
    let step = "create".parse().unwrap();
    flow.deviations.push(FlowDeviation { step, approved: flow.nodes.clone(), because: "it is free".into() });
    flow.nodes[0].step.args.insert("id".into(), Arg::Literal(json!(120)));
    flow
}

pub(super) fn turned(story: &mut Story, turn: u32) -> Body {
    let response = Some(story.document(&json!({"text": turn.to_string(), "calls": []})));
    Body::Turned(Box::new(Turned {
        agent: Agent::Build,
        drafting: ArtifactKind::Flow,
        turn,
        prompt: Digest::ZERO,
        request: Digest::ZERO,
        response,
        sealed: false,
        endpoint: "house".into(),
        model: "small".into(),
        usage: Usage::default(),
        latency_ms: 1,
        finish: Finish::Stop,
        calls: 0,
        error: None,
        currency: None,
        notes: Vec::new(),
    }))
}

/// An approved design with a hole, what fills it, a deviation that is accepted, and the flow.
pub(super) fn story() -> Story {
    let mut story = Story::whole("k7m2q");
    story.events.truncate(TURN - 2);
    story.in_words("Add VLAN 120", "Add VLAN 120");
    // What is looked at here is the build; what came before was written by a person.
    for (_, actor, body) in &mut story.events {
        if matches!(body, Body::Filed(filed) if filed.artifact != ArtifactKind::Discovery) {
            *actor = person("ada");
        }
    }
    // No person writes what was found out.
    let Body::Turned(mut reported) = turned(&mut story, 1) else { panic!() };
    (reported.agent, reported.drafting) = (Agent::Design, ArtifactKind::Discovery);
    let found =
        |(.., body): &(_, _, Body)| matches!(body, Body::Filed(filed) if filed.artifact == ArtifactKind::Discovery);
    let at = story.events.iter().position(found).unwrap();
    if let Body::Filed(filed) = &mut story.events[at].2 {
        filed.made_from.extend(reported.response);
    }
    story.events.insert(at, (story.events[at].0, Actor::Agent(Agent::Design), Body::Turned(reported)));
    let flow = digest_of(&approved()).unwrap();
    let design = story.document(&designed());
    for (.., body) in &mut story.events {
        if let Body::Filed(filed) = body
            && filed.artifact == ArtifactKind::Design
        {
            filed.digest = design;
        }
    }
    let offered = json!([crate::ledger::testing::digest_for("k7m2q", &crate::ledger::testing::act())]);
    let request = json!({
        "engagement": story.id, "about": About::Gate2, "artifact": design, "flow": flow, "calls": offered,
    });
    let request = story.document(&request);
    for (_, _, body) in &mut story.events {
        match body {
            Body::Asked(asked) if asked.about == About::Gate2 => asked.request = request,
            Body::Answered(answered) if answered.about == About::Gate2 => answered.request = request,
            _ => {}
        }
    }
    let turn = turned(&mut story, 1);
    story.tell(BUILD, turn);
    let (step, argument) = ("create".parse().unwrap(), "name".to_owned());
    let hole = HoleFilled { step, argument, value: json!("guest-lobby"), because: "guests wait there".into() };
    let (step, tool) = ("create".parse().unwrap(), "vlan.create".parse().unwrap());
    let args = [("id".to_owned(), json!(120))].into_iter().collect();
    let want = Wanted { step, tool, args, because: "it is free".into() };
    let node = want.node();
    story.tell(BUILD, Body::HolesFilled(HolesFilled { turn: 2, filled: vec![hole], wants: vec![want] }));
    let because = Some("it is free".to_owned());
    let (contract, actual) = (json!({"id": 7}), json!({"id": 120}));
    let what = "it is wanted otherwise".into();
    let found = DeviationFound { node: node.clone(), what, contract, actual, calls: Vec::new(), because, undo: false };
    story.tell(Actor::Program, Body::Deviated(found));
    story.gate(About::Deviation { node }, Digest::ZERO, &[]);
    file(&mut story, &built());
    story
}

/// Files a flow as the last event.
fn file(story: &mut Story, flow: &AutomationFlow) {
    let value = serde_json::to_value(flow).unwrap();
    story.document(&value);
    let Body::Turned(turned) = &story.events[TURN - 1].2 else { panic!() };
    let from = [flow.design, turned.response.unwrap()];
    story.tell(BUILD, filed(ArtifactKind::Flow, 1, &value, &from));
}

pub(super) fn found(story: &Story) -> Verification {
    verify(&story.bytes(), &story.blobs)
}

#[test]
fn what_the_build_agent_filled_in_verifies() {
    let story = story();
    assert_eq!(story.events.len(), FLOW);
    assert_eq!(found(&story).problems, []);
}

#[test]
fn a_forged_build_is_found_where_it_was_forged() {
    type Forge = fn(&mut Story);
    fn flow(story: &mut Story, change: impl FnOnce(&mut AutomationFlow)) {
        story.events.pop();
        let mut flow = built();
        change(&mut flow);
        file(story, &flow);
    }
    let table: [(&str, Forge, usize, &str); 14] = [
        ("filled by a person", |s| s.events[FILLED - 1].1 = person("ada"), FILLED, "which is not the build agent"),
        ("filled without a turn", |s| drop(s.events.remove(TURN - 1)), TURN, "the last turn of a model did not give"),
        (
            "filled twice",
            |s| {
                let again = s.events[FILLED - 1].clone();
                s.events.insert(FILLED, again);
            },
            FILLED + 1,
            "filled before",
        ),
        (
            "a turn after the holes were filled",
            |s| {
                let turn = turned(s, 2);
                let at = s.events[FILLED - 1].0;
                s.events.insert(FILLED, (at, BUILD, turn));
            },
            FILLED + 1,
            "after its holes were filled and without a step that failed",
        ),
        (
            "a turn before gate 2",
            |s| {
                let turn = s.events.remove(TURN - 1);
                s.events.insert(10, turn);
            },
            11,
            "while gate 2 was not open",
        ),
        (
            "a deviation that nobody wants",
            |s| {
                let Body::Deviated(found) = &mut s.events[DEVIATED - 1].2 else { panic!() };
                found.because = Some("I say so".into());
            },
            DEVIATED,
            "did not ask for",
        ),
        (
            "another value than was filled in",
            |s| {
                flow(s, |flow| {
                    let other = Filled { value: json!("guest-other"), because: "guests wait there".into() };
                    flow.fill(&"create".parse().unwrap(), "name", &other);
                });
            },
            FLOW,
            "is not what the build agent filled in",
        ),
        (
            "nothing in a hole",
            |s| {
                flow(s, |flow| {
                    *flow = flow.as_approved();
                });
            },
            FLOW,
            "is not what the build agent filled in",
        ),
        (
            "another argument, unsaid",
            |s| flow(s, |flow| drop(flow.nodes[0].step.args.insert("switch".into(), Arg::Literal(json!("sw02"))))),
            FLOW,
            "that nobody accepted",
        ),
        (
            "another argument, said to be approved",
            |s| {
                flow(s, |flow| {
                    let other = Arg::Literal(json!("sw02"));
                    flow.deviations[0].approved[0].step.args.insert("switch".into(), other);
                });
            },
            FLOW,
            "not the one that gate 2 was approved on",
        ),
        (
            "another call, unsaid",
            |s| flow(s, |flow| flow.nodes.extend_from_within(..)),
            FLOW,
            "not the one that gate 2 was approved on",
        ),
        (
            "otherwise than was accepted",
            |s| flow(s, |flow| drop(flow.nodes[0].step.args.insert("id".into(), Arg::Literal(json!(1))))),
            FLOW,
            "that nobody accepted",
        ),
        (
            "a deviation that was rejected",
            |s| {
                let Body::Answered(answered) = &mut s.events[ANSWERED - 1].2 else { panic!() };
                answered.answer = Answer::Reject;
            },
            FLOW,
            "that nobody accepted",
        ),
        (
            "a flow from another answer",
            |s| {
                let Body::Filed(filed) = &mut s.events[FLOW - 1].2 else { panic!() };
                filed.made_from.pop();
            },
            FLOW,
            "which no turn of a model gave",
        ),
    ];
    for (name, forge, place, says) in table {
        let mut story = story();
        forge(&mut story);
        let problems = found(&story).problems;
        assert!(
            problems.iter().any(|problem| problem.seq == place as u64 && problem.what.contains(says)),
            "{name}: {problems:?}"
        );
    }
}
