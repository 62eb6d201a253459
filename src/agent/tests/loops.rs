//! From words to a design by turns, and every way back.

use serde_json::json;

use super::{Studio, calls, design, desk::Stop, report, said, spec, text};
use crate::{
    agent::offer::ASK,
    artifact::{Agent, ArtifactKind, Digest, Phase, RecordOutcome},
    engagement::{About, Actor, AgentAsked, Command, Finish, Refusal, Standing, Turned, Usage},
    facts::{Role, Trust},
    gate::{Style, approval_request, render},
    record::fixture::ada,
};

fn reads() -> crate::model::Answer {
    calls(&[("vlan.list", json!({"switch": "sw01"})), ("vlan.list", json!({"switch": "sw02"}))])
}

#[test]
fn words_come_to_a_record_by_questions_reads_and_drafts() {
    let mut studio = Studio::new("a guest network");
    let ask = json!({"questions": [
        {"text": "Which VLAN id?", "type": "integer"},
        {"text": "On which switches?", "choices": ["sw01 and sw02", "all"]},
    ]});
    assert_eq!(studio.hears([calls(&[(ASK, ask)])]), Stop::Asked);
    assert_eq!(studio.run(), Stop::Asked, "it waits");
    studio.says("", json!({"Q1": 120, "Q2": "sw01 and sw02"}));
    let mut wrong = spec();
    wrong["boundary"]["build"][0]["where"]["id"] = json!({"any": true, "is": 120});
    assert_eq!(studio.hears([text(&wrong.to_string())]), Stop::Silent);
    assert!(studio.chain.state().artifact(ArtifactKind::Spec).is_none());
    assert_eq!(studio.hears([text(&format!("Corrected:\n```json\n{}\n```", spec()))]), Stop::Gate(About::Gate1));
    assert!(studio.told().contains("Which VLAN id?") && studio.told().contains("sw01 and sw02"));
    assert!(studio.told().contains("boundary.build.0"), "the problem has gone back");
    studio.approves(About::Gate1);
    assert_eq!(studio.hears([reads()]), Stop::Silent);
    assert_eq!(studio.chain.state().phase, Phase::Feasibility);
    let found = report(&studio);
    assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent);
    let filed = studio.chain.documents.discovery().unwrap();
    assert_eq!((filed.reads.len(), filed.acceptance.len()), (2, 2));
    assert_eq!(studio.hears([text(&design().to_string())]), Stop::Gate(About::Gate2));
    studio.approves(About::Gate2);
    let Stop::Closed(closed) = studio.run() else { panic!() };
    assert_eq!(closed.outcome, RecordOutcome::Done, "{}", closed.reason);
    let record = studio.chain.documents.record().unwrap();
    assert_eq!(record.totals.model_turns, 6);
    assert_eq!(record.totals.model_tokens, 660);
    assert_eq!(record.totals.model_cost_micros, 42);
    assert_eq!((record.totals.model_tokens_estimated, record.totals.model_currency.as_deref()), (0, Some("EUR")));
    let agents: Vec<_> =
        record.totals.model_agents.iter().map(|used| (used.agent, used.turns, used.tokens, used.cost_micros)).collect();
    assert_eq!(agents, [(Agent::Requirements, 3, 330, 21), (Agent::Design, 3, 330, 21)]);
    let state = studio.chain.state();
    let authors: Vec<String> = state.artifacts.values().take(3).map(|filed| filed.author.to_string()).collect();
    assert_eq!(authors, ["requirements agent", "design agent", "design agent"]);
    let counts = studio.counts();
    assert_eq!(
        (counts["model.turn"], counts["agent.asked"], counts["requester.said"], counts["draft.returned"]),
        (6, 1, 1, 1)
    );
    assert_eq!(state.talk.used()[&Agent::Design].turns, 3);
}

#[test]
fn what_is_said_or_rejected_leads_to_another_version() {
    let mut studio = Studio::new("VLAN 120 guest");
    assert_eq!(studio.hears([text(&spec().to_string())]), Stop::Gate(About::Gate1));
    studio.says("not on sw02, please", json!({}));
    assert_eq!(studio.run(), Stop::Silent, "what was said is heard before anyone is asked");
    let mut second = spec();
    second["title"] = json!("Create VLAN 120 guest once");
    assert_eq!(studio.hears([text(&second.to_string())]), Stop::Gate(About::Gate1));
    assert!(studio.told().contains("not on sw02, please") && studio.told().contains("filed before"));
    studio.rejects(About::Gate1);
    assert_eq!(studio.hears([text(&spec().to_string())]), Stop::Gate(About::Gate1));
    assert!(studio.told().contains("A person rejected it") && studio.told().contains("not like this"));
    assert!(studio.told().contains("not on sw02, please"), "what was said earlier is not forgotten");
    assert_eq!(studio.chain.state().versions[&ArtifactKind::Spec], 3);
}

#[test]
fn a_rejected_design_is_drafted_again_under_the_same_spec() {
    let mut studio = Studio::approved();
    studio.hears([reads()]);
    let found = report(&studio);
    assert_eq!(studio.hears([text(&found.to_string()), text(&design().to_string())]), Stop::Gate(About::Gate2));
    studio.rejects(About::Gate2);
    assert_eq!(studio.hears([text(&design().to_string())]), Stop::Gate(About::Gate2));
    assert!(studio.told().contains("not like this"));
    assert_eq!(studio.chain.state().versions[&ArtifactKind::Design], 2);
    assert_eq!(studio.chain.state().versions[&ArtifactKind::Spec], 1);
}

#[test]
fn with_changes_goes_back_to_gate_1_and_not_feasible_ends_with_the_reasons() {
    let mut studio = Studio::approved();
    studio.hears([reads()]);
    let mut found = report(&studio);
    found["verdict"] = json!("with_changes");
    found["findings"][0]["text"] = json!("sw02 is full, leave it out");
    assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent);
    let gate = Stop::Gate(About::Gate1);
    assert_eq!(studio.hears([text(&spec().to_string())]), gate);
    assert!(studio.told().contains("sw02 is full"));
    assert_eq!(studio.chain.state().versions[&ArtifactKind::Spec], 2);
    assert!(!studio.chain.state().gate_open(crate::engagement::Gate::One), "it is asked again");
    studio.approves(About::Gate1);
    assert_eq!(studio.run(), Stop::Silent, "discovery begins anew");
    assert!(studio.chain.state().artifact(ArtifactKind::Discovery).is_none());

    let mut studio = Studio::approved();
    studio.hears([reads()]);
    let mut found = report(&studio);
    found["verdict"] = json!("not_feasible");
    found["findings"][0]["text"] = json!("the id is taken");
    let Stop::Closed(closed) = studio.hears([text(&found.to_string())]) else { panic!() };
    assert_eq!(closed.outcome, RecordOutcome::NotFeasible);
    assert!(closed.reason.contains("the id is taken"), "{}", closed.reason);
}

#[test]
fn the_requirements_agent_calls_nothing_and_the_attempt_is_written_down() {
    let mut studio = Studio::new("VLAN 120");
    let wants = calls(&[("vlan.list", json!({"switch": "sw01"})), ("vlan.create", json!({"switch": "sw01"}))]);
    assert_eq!(studio.hears([wants]), Stop::Silent);
    let counts = studio.counts();
    assert_eq!(counts.get("call.allowed"), None);
    assert_eq!(counts["call.refused"], 2);
    assert!(studio.hears([text("nothing")]) == Stop::Silent && studio.told().contains("refused"));
}

#[test]
fn calls_outside_the_boundary_end_the_engagement() {
    let mut studio = Studio::approved();
    let out = |n: u32| calls(&[("vlan.create", json!({"switch": "sw01", "id": n, "name": "x"}))]);
    let Stop::Closed(closed) = studio.hears([out(1), out(2), out(3), out(4)]) else { panic!() };
    assert_eq!(closed.outcome, RecordOutcome::Refused);
    assert_eq!(studio.lines.len(), 1, "after the third nobody is asked any more");
}

#[test]
fn a_tool_in_the_spelling_of_endpoints_is_the_tool() {
    let mut studio = Studio::approved();
    let out = |n: u32| calls(&[("vlan_create", json!({"switch": "sw01", "id": n, "name": "x"}))]);
    let Stop::Closed(closed) = studio.hears([out(1), out(2), out(3), out(4)]) else { panic!() };
    assert_eq!(closed.outcome, RecordOutcome::Refused);
    assert_eq!(studio.chain.state().outside, 3, "each counts as an attempt");
    let refused: Vec<&str> = studio
        .chain
        .state()
        .calls
        .values()
        .filter(|call| call.refused.is_some())
        .map(|call| call.tool.as_str())
        .collect();
    assert_eq!(refused, ["vlan.create"; 3]);
    // What is no tool in any spelling stays what was written.
    let mut studio = Studio::approved();
    assert_eq!(studio.hears([calls(&[("vlan_burn", json!({}))])]), Stop::Silent);
    assert_eq!(studio.chain.state().outside, 0);
}

#[test]
fn gate_1_says_who_drafted_it_from_what() {
    let mut studio = Studio::new("VLAN 120 guest on sw01 and sw02");
    let mut spec = spec();
    spec["out_of_scope"] = json!(["the ports of both switches"]);
    assert_eq!(studio.hears([text(&spec.to_string())]), Stop::Gate(About::Gate1));
    let asked = |studio: &Studio| {
        let (view, catalog) = (studio.chain.view(), &studio.chain.catalog);
        let standing = Standing::of(&view, &catalog.inventory, &Trust::default());
        assert!(standing.because.contains("drafted from words"), "{}", standing.because);
        let request = approval_request(&view, catalog, &standing, &[], &About::Gate1).unwrap();
        render(&request.screen, Style::plain(100))
    };
    let shown = asked(&studio);
    assert!(shown.contains("words, drafted by small at house"), "{shown}");
    assert!(shown.contains("OUT OF SCOPE") && shown.contains("the ports of both switches"), "{shown}");
    assert!(!shown.contains("hand-written"), "{shown}");
}

#[test]
fn turns_questions_and_words_are_written_by_those_whose_they_are() {
    let mut studio = Studio::new("VLAN 120");
    let turned = |agent: Agent, drafting: ArtifactKind, turn: u32| {
        Command::Turn(Box::new(Turned {
            agent,
            drafting,
            turn,
            prompt: Digest::ZERO,
            request: Digest::ZERO,
            response: Some(Digest::ZERO),
            sealed: false,
            endpoint: "e".into(),
            model: "m".into(),
            usage: Usage::default(),
            latency_ms: 1,
            finish: Finish::Stop,
            calls: 1,
            error: None,
            currency: None,
            notes: Vec::new(),
        }))
    };
    let requirements = Actor::Agent(Agent::Requirements);
    let asked = |turn: u32, ids: &[&str]| {
        let question =
            |id: &&str| crate::engagement::AgentQuestion { id: (*id).into(), text: "Why?".into(), schema: None };
        let questions = ids.iter().map(question).collect();
        Command::Inquire(AgentAsked { agent: Agent::Requirements, turn, questions })
    };
    let file = |studio: &Studio| {
        let made_from = vec![studio.chain.state().requested.request];
        Command::File { artifact: ArtifactKind::Spec, digest: Digest::ZERO, made_from }
    };
    let mut refused = |actor: Actor, command: Command, what: &str| {
        let refusal = studio.chain.act(actor, command);
        assert!(refusal.is_err(), "{what}");
        refusal.unwrap_err()
    };
    let spec = ArtifactKind::Spec;
    assert!(matches!(refused(ada(), turned(Agent::Requirements, spec, 1), "a person"), Refusal::NotTheAgent(_)));
    refused(Actor::Program, turned(Agent::Requirements, spec, 1), "the program");
    refused(Actor::Agent(Agent::Design), turned(Agent::Design, spec, 1), "another agent");
    refused(requirements.clone(), turned(Agent::Requirements, spec, 2), "the second turn first");
    let early =
        refused(Actor::Agent(Agent::Design), turned(Agent::Design, ArtifactKind::Discovery, 1), "before gate 1");
    assert!(matches!(early, Refusal::OutOfOrder { .. }), "{early}");
    refused(requirements.clone(), asked(1, &["Q1"]), "questions without a turn");
    let say = |said| Command::Say { said, roles: [Role::Requester].into() };
    assert!(matches!(refused(requirements.clone(), say(said("yes", json!({}))), "no person"), Refusal::NotAPerson(_)));
    let roleless = Command::Say { said: said("yes", json!({})), roles: Default::default() };
    assert!(matches!(refused(ada(), roleless, "no role"), Refusal::NotInRole(_)));
    refused(ada(), say(said("", json!({}))), "nothing said");
    refused(ada(), say(said("", json!({"Q1": "x"}))), "an answer to nothing");
    let filed = file(&studio);
    assert!(matches!(studio.chain.act(requirements.clone(), filed), Err(Refusal::NotMadeFrom(_))), "no turn gave it");
    studio.chain.act(requirements.clone(), turned(Agent::Requirements, spec, 1)).unwrap();
    let filed = file(&studio);
    assert!(studio.chain.act(requirements.clone(), filed).is_err(), "the turn asks for a call and gives no draft");
    let mut refused =
        |actor: Actor, command: Command, what: &str| assert!(studio.chain.act(actor, command).is_err(), "{what}");
    refused(requirements.clone(), asked(1, &[]), "no question");
    refused(requirements.clone(), asked(1, &["Q1", "Q2", "Q3", "Q4"]), "too many");
    refused(requirements.clone(), asked(1, &["Q2"]), "another id");
    refused(requirements.clone(), asked(2, &["Q1"]), "another turn");
    refused(Actor::Program, asked(1, &["Q1"]), "not the agent");
    studio.chain.act(requirements.clone(), asked(1, &["Q1", "Q2"])).unwrap();
    let mut refused =
        |actor: Actor, command: Command, what: &str| assert!(studio.chain.act(actor, command).is_err(), "{what}");
    refused(requirements, turned(Agent::Requirements, spec, 2), "a turn while the answer is waited for");
    refused(ada(), say(said("", json!({"Q1": "because"}))), "half an answer");
    refused(ada(), say(said("", json!({"Q1": "because", "Q2": 3}))), "no words");
    studio.says("because", json!({}));
    assert!(studio.chain.state().talk.open().is_none());

    let mut without = crate::record::fixture::Chain::vlan();
    let command = turned(Agent::Requirements, spec, 1);
    assert!(without.act(Actor::Agent(Agent::Requirements), command).is_err(), "no model drafts here");
}
