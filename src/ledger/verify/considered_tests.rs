//! Forged calls after a failure, each with what is found and where.

use serde_json::{Map, Value, json};

use super::{
    building_tests::{BUILD, FLOW, found, story as built, turned},
    *,
};
use crate::{
    artifact::{Agent, CallId, NodeId},
    engagement::{
        About, Actor, Answer, CallAllowed, CallFinished, CallOutcome, CallWanted, Considered, DeviationFound,
        NodeSettled, PolicyAnswer, Purpose, Retried, call_digest,
    },
    flow::NodeOutcome,
    ledger::testing::{Story, allowed, person},
    policy::{Layer, Spoke},
};

/// The places of the events.
const FAILED: usize = FLOW + 1;
const TURN: usize = FAILED + 1;
const CONSIDERED: usize = TURN + 1;
const DEVIATED: usize = CONSIDERED + 1;
const ANSWERED: usize = DEVIATED + 2;
const ALLOWED: usize = ANSWERED + 1;
const LOOKED: usize = ALLOWED + 3;
const RIGHT: usize = LOOKED + 2;

fn node(step: &str) -> NodeId {
    NodeId::new(&step.parse().unwrap(), None)
}

fn settled(step: &str, outcome: NodeOutcome) -> Body {
    Body::Settled(NodeSettled { node: node(step), attempt: 1, outcome, changed: false, reason: None })
}

fn digest(step: &str, args: &Map<String, Value>) -> Digest {
    call_digest(&"k7m2q".parse().unwrap(), Some(&node(step)), "vlan.create", &args.clone().into()).unwrap()
}

fn want() -> CallWanted {
    let args = json!({"switch": "sw01", "id": 120, "name": "guest-lobby"}).as_object().unwrap().clone();
    let (step, tool) = ("again".parse().unwrap(), "vlan.create".parse().unwrap());
    let digest = digest("again", &args);
    CallWanted { step, tool, target: "sw01".into(), args, call: digest, because: "it was busy".into() }
}

fn finished(n: u64, story: &mut Story) -> Body {
    let result = Some(story.document(&json!({"ok": n})));
    Body::Finished(CallFinished {
        call: CallId::nth(n),
        outcome: CallOutcome::Ok,
        result,
        sealed: false,
        message: None,
    })
}

fn call(n: u64, agent: Agent, purpose: Purpose, approved: bool) -> Box<CallAllowed> {
    let want = want();
    let (tool, args) = (want.tool, want.args.into());
    let digest = call_digest(&"k7m2q".parse().unwrap(), purpose.node(), tool.as_str(), &args).unwrap();
    let grant = if agent == Agent::Build { "build.1" } else { "discover.1" }.into();
    Box::new(CallAllowed { digest, tool, args, grant, ..allowed(n, agent, purpose, approved) })
}

/// A flow whose step fails, a call that is wanted then and accepted, and the step that is done after it.
fn story() -> Story {
    let mut story = built();
    assert_eq!(story.events.len(), FLOW);
    let first = 2;
    story.tell(Actor::Program, settled("create", NodeOutcome::Failed));
    let turn = turned(&mut story, 1);
    story.tell(BUILD, turn);
    let considered = Considered {
        node: node("create"),
        attempt: 1,
        turn: Some(3),
        wants: vec![want()],
        because: "the switch was busy".into(),
    };
    story.tell(BUILD, Body::Considered(considered));
    let deviation = DeviationFound {
        node: node("again"),
        what: "it is wanted".into(),
        contract: json!({}),
        actual: json!({"tool": want().tool, "with": want().args}),
        calls: Vec::new(),
        because: Some(want().because),
        undo: false,
    };
    story.tell(Actor::Program, Body::Deviated(deviation));
    story.gate(About::Deviation { node: node("again") }, Digest::ZERO, &[]);
    let act = Purpose::Act { node: node("again"), attempt: 1, r#try: 1 };
    story.tell(BUILD, Body::Allowed(call(first, Agent::Build, act, true)));
    let over = finished(first, &mut story);
    story.tell(Actor::Program, over);
    story.tell(Actor::Program, settled("again", NodeOutcome::Done));
    let look = Purpose::LookAgain { node: node("create"), attempt: 1 };
    story.tell(Actor::Agent(Agent::Verifier), Body::Allowed(call(first + 1, Agent::Verifier, look, false)));
    let over = finished(first + 1, &mut story);
    story.tell(Actor::Program, over);
    story.tell(Actor::Program, settled("create", NodeOutcome::Done));
    story
}

#[test]
fn what_was_accepted_after_a_failure_verifies() {
    let story = story();
    assert_eq!(story.events.len(), RIGHT);
    assert_eq!(found(&story).problems, []);
}

#[test]
fn a_forged_call_after_a_failure_is_found_where_it_was_forged() {
    type Forge = fn(&mut Story);
    fn considered(story: &mut Story) -> &mut Considered {
        let Body::Considered(considered) = &mut story.events[CONSIDERED - 1].2 else { panic!() };
        considered
    }
    fn act(story: &mut Story) -> &mut CallAllowed {
        let Body::Allowed(allowed) = &mut story.events[ALLOWED - 1].2 else { panic!() };
        allowed
    }
    let table: [(&str, Forge, usize, &str); 18] = [
        ("without a failure", |s| drop(s.events.remove(FAILED - 1)), CONSIDERED - 1, "that did not happen"),
        ("a turn without a failure", |s| drop(s.events.remove(FAILED - 1)), TURN - 1, "without a step that failed"),
        ("of another attempt", |s| considered(s).attempt = 2, CONSIDERED, "that did not happen"),
        ("by a person", |s| s.events[CONSIDERED - 1].1 = person("ada"), CONSIDERED, "which is not build agent"),
        ("without a turn", |s| considered(s).turn = None, CONSIDERED, "did not give"),
        ("of another turn", |s| considered(s).turn = Some(1), CONSIDERED, "did not give"),
        ("under the name of a step", |s| considered(s).wants[0].step = "create".parse().unwrap(), CONSIDERED, "before"),
        (
            "twice",
            |s| {
                let again = s.events[CONSIDERED - 1].clone();
                s.events.insert(CONSIDERED, again);
            },
            CONSIDERED + 1,
            "considered before",
        ),
        (
            "a deviation about another call",
            |s| {
                let Body::Deviated(found) = &mut s.events[DEVIATED - 1].2 else { panic!() };
                found.actual = json!({"tool": "vlan.delete", "with": {}});
            },
            DEVIATED,
            "did not ask for",
        ),
        (
            "accepted by policy",
            |s| {
                s.events[ANSWERED - 1].1 = Actor::Policy;
                let Body::Answered(answered) = &mut s.events[ANSWERED - 1].2 else { panic!() };
                let rules = vec![Spoke { layer: Layer::Gate, rule: "gates".into(), reason: "it may".into() }];
                let (facts, policies) = (Digest::ZERO, Digest::ZERO);
                answered.policy = Some(PolicyAnswer { rules, facts, policies });
            },
            ANSWERED,
            "by policy though the build agent wants it",
        ),
        (
            "run although it was rejected",
            |s| {
                let Body::Answered(answered) = &mut s.events[ANSWERED - 1].2 else { panic!() };
                answered.answer = Answer::Reject;
            },
            ALLOWED,
            "nobody accepted so",
        ),
        (
            "run as another call",
            |s| {
                let mut args = want().args;
                args.insert("id".into(), json!(1));
                let allowed = act(s);
                allowed.digest = digest("again", &args);
                allowed.args = args.into();
            },
            ALLOWED,
            "nobody accepted so",
        ),
        (
            "run as a call that was shown as another",
            |s| considered(s).wants[0].args.insert("id".into(), json!(1)).into_iter().for_each(drop),
            ALLOWED,
            "nobody accepted so",
        ),
        (
            "run after the step was tried again",
            |s| {
                let nodes = [("create".to_owned(), 2)].into();
                let again = Body::Retried(Retried { nodes, calls: Vec::new() });
                let at = s.events[ALLOWED - 2].0;
                s.events.insert(ALLOWED - 1, (at, person("ada"), again));
            },
            ALLOWED + 1,
            "was over",
        ),
        (
            "a step that no flow has",
            |s| act(s).purpose = Purpose::Act { node: node("evil"), attempt: 1, r#try: 1 },
            ALLOWED,
            "which the flow does not have",
        ),
        (
            "a step of the flow with other arguments",
            |s| {
                let mut args = want().args;
                args.insert("id".into(), json!(1));
                let allowed = act(s);
                allowed.purpose = Purpose::Act { node: node("create"), attempt: 1, r#try: 1 };
                allowed.digest = digest("create", &args);
                allowed.args = args.into();
            },
            ALLOWED,
            "with other arguments than the flow has",
        ),
        ("run without using the yes", |s| act(s).approved = false, ALLOWED, "nobody accepted so"),
        (
            "done without a look",
            |s| drop(s.events.drain(LOOKED - 1..RIGHT - 1)),
            LOOKED,
            "nothing that was accepted shows it",
        ),
    ];
    for (name, forge, place, says) in table {
        let mut story = story();
        forge(&mut story);
        let problems = found(&story).problems;
        let found = problems.iter().any(|problem| problem.seq == place as u64 && problem.what.contains(says));
        assert!(found, "{name}: {problems:?}");
    }
}
