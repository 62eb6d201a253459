//! Who may have a turn about what, and when: every agent and every artifact in every situation.

use serde_json::json;

use super::{Studio, calls, design, desk::Stop, report, spec, text};
use crate::{
    agent::offer::ASK,
    artifact::{Agent, ArtifactKind, Digest},
    engagement::{About, Actor, Command, Finish, Turned, Usage, decide_for},
    facts::Role,
    record::fixture::ada,
};

/// The turns that may be had now, as `agent: artifact`.
fn may(studio: &Studio) -> Vec<String> {
    let state = studio.chain.state();
    let mut may = Vec::new();
    for agent in Agent::ALL {
        for drafting in ArtifactKind::ALL {
            let turned = Turned {
                agent,
                drafting,
                turn: state.talk.next_turn(drafting),
                prompt: Digest::ZERO,
                request: Digest::ZERO,
                response: Some(Digest::ZERO),
                sealed: false,
                endpoint: "e".into(),
                model: "m".into(),
                usage: Usage::default(),
                latency_ms: 1,
                finish: Finish::Stop,
                calls: 0,
                error: None,
                currency: None,
                notes: Vec::new(),
            };
            if decide_for(state, &Actor::Agent(agent), Command::Turn(Box::new(turned))).is_ok() {
                may.push(format!("{agent}: {drafting}"));
            }
        }
    }
    may
}

fn discovered(verdict: &str) -> Studio {
    let mut studio = Studio::approved();
    studio.hears([calls(&[("vlan.list", json!({"switch": "sw01"})), ("vlan.list", json!({"switch": "sw02"}))])]);
    let mut found = report(&studio);
    found["verdict"] = json!(verdict);
    assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent);
    studio
}

fn designed() -> Studio {
    let mut studio = discovered("feasible");
    assert_eq!(studio.hears([text(&design().to_string())]), Stop::Gate(About::Gate2));
    studio
}

#[test]
fn a_turn_is_had_by_the_agent_whose_draft_is_next_and_by_nobody_else() {
    let new = || Studio::new("VLAN 120 guest on sw01 and sw02");
    let asked = {
        let mut studio = new();
        studio.hears([calls(&[(ASK, json!({"questions": [{"text": "Which?"}]}))])]);
        studio
    };
    let filed = {
        let mut studio = new();
        studio.hears([text(&spec().to_string())]);
        studio
    };
    let cancelled = {
        let mut studio = new();
        let cancel = Command::Cancel { reason: "enough".into(), roles: [Role::Requester].into() };
        studio.chain.act(ada(), cancel).unwrap();
        studio
    };
    let feasibility = {
        let mut studio = Studio::approved();
        studio.run();
        studio
    };
    let approved = {
        let mut studio = designed();
        studio.approves(About::Gate2);
        studio
    };
    let building = {
        let mut studio = designed();
        studio.approves(About::Gate2);
        let next = studio.chain.next().unwrap();
        studio.chain.one(next).unwrap();
        studio
    };
    let done = {
        let mut studio = designed();
        studio.approves(About::Gate2);
        studio.run();
        studio
    };
    for (name, studio, expected) in [
        ("new", new(), &["requirements: spec.yaml"][..]),
        ("a question is open", asked, &[]),
        ("a spec is filed", filed, &["requirements: spec.yaml"]),
        ("cancelled", cancelled, &[]),
        ("gate 1 is open", Studio::approved(), &[]),
        ("feasibility", feasibility, &["design: discovery.report"]),
        ("it needs another spec", discovered("with_changes"), &["requirements: spec.yaml"]),
        ("it is feasible", discovered("feasible"), &["design: solution.design"]),
        ("a design is filed", designed(), &["design: solution.design"]),
        ("gate 2 is open", approved, &["design: solution.design"]),
        ("build", building, &["build: automation.flow"]),
        ("done", done, &[]),
    ] {
        assert_eq!(may(&studio), expected, "{name}");
    }
}
