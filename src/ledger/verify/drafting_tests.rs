//! Forged conversations, each with what is found and where.

use serde_json::json;

use super::*;
use crate::{
    artifact::{Agent, ArtifactKind},
    engagement::{Actor, AgentAsked, AgentQuestion, DraftReturned, Finish, Requested, RequesterSaid, Turned, Usage},
    ledger::testing::{Story, filed, id, person, spec},
};

const REQUIREMENTS: Actor = Actor::Agent(Agent::Requirements);

fn turned(story: &mut Story, turn: u32, calls: usize) -> Body {
    let call = |n: usize| json!({"id": n.to_string(), "name": "ask", "arguments": "{}"});
    let answer = json!({"text": turn.to_string(), "calls": (0..calls).map(call).collect::<Vec<_>>()});
    let response = Some(story.document(&answer));
    Body::Turned(Box::new(Turned {
        agent: Agent::Requirements,
        drafting: ArtifactKind::Spec,
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
        calls: calls as u32,
        error: None,
        currency: None,
        notes: Vec::new(),
    }))
}

/// A request in words: turn, question, answer, turn, draft returned, turn, spec.
fn talk() -> Story {
    let mut story = Story::begun("k7m2q");
    let words = story.in_words("Add VLAN 120\nto sw1", "Add VLAN 120…");
    let first = turned(&mut story, 1, 1);
    story.tell(REQUIREMENTS, first);
    let question = AgentQuestion { id: "Q1".into(), text: "Which VLAN?".into(), schema: None };
    let asked = AgentAsked { agent: Agent::Requirements, turn: 1, questions: vec![question] };
    story.tell(REQUIREMENTS, Body::Inquired(asked));
    let said = RequesterSaid { text: None, answers: [("Q1".to_owned(), json!("120"))].into() };
    story.tell(person("ada"), Body::Said(said));
    let second = turned(&mut story, 2, 0);
    story.tell(REQUIREMENTS, second);
    let problems = vec!["boundary: it grants nothing".into()];
    let returned = DraftReturned { artifact: ArtifactKind::Spec, turn: 2, malformed: false, problems };
    story.tell(Actor::Program, Body::Returned(returned));
    let third = turned(&mut story, 3, 0);
    story.tell(REQUIREMENTS, third);
    let Body::Turned(last) = &story.events[6].2 else { panic!() };
    let from = [words, last.response.unwrap()];
    story.document(&spec());
    story.tell(REQUIREMENTS, filed(ArtifactKind::Spec, 1, &spec(), &from));
    story
}

fn found(story: &Story) -> Verification {
    verify(&story.bytes(), &story.blobs)
}

#[test]
fn a_conversation_verifies_and_what_models_said_may_be_left_out() {
    let mut story = talk();
    assert_eq!(found(&story).problems, []);
    let Body::Turned(turned) = &story.events[1].2 else { panic!() };
    let response = turned.response.unwrap();
    story.blobs.remove(&response);
    let verification = found(&story);
    assert!(verification.ok, "{:?}", verification.problems);
    assert!(verification.notes.iter().any(|note| note.contains("what the requirements agent's model said")));
}

#[test]
fn a_forged_conversation_is_found_where_it_was_forged() {
    type Forge = fn(&mut Story);
    fn turn(story: &mut Story, place: usize) -> &mut Turned {
        let Body::Turned(turned) = &mut story.events[place - 1].2 else { panic!() };
        turned
    }
    let table: [(&str, Forge, u64, &str); 15] = [
        (
            "no model drafts",
            |s| {
                let Body::Requested(request) = &mut s.events[0].2 else { panic!() };
                request.model = false;
            },
            2,
            "that no model drafts",
        ),
        ("a turn by a person", |s| s.events[1].1 = person("ada"), 2, "of the requirements agent by"),
        (
            "a turn of another agent",
            |s| {
                turn(s, 2).agent = Agent::Design;
                s.events[1].1 = Actor::Agent(Agent::Design);
            },
            2,
            "of the design agent by",
        ),
        ("a turn twice", |s| turn(s, 5).turn = 1, 5, "which is not the next"),
        ("a turn before the answer", |s| drop(s.events.remove(3)), 4, "while the requester's answer was waited for"),
        ("fewer calls than were asked for", |s| turn(s, 2).calls = 0, 2, "how many calls it asks for"),
        (
            "a design before gate 1",
            |s| {
                turn(s, 2).drafting = ArtifactKind::Design;
                turn(s, 2).agent = Agent::Design;
                s.events[1].1 = Actor::Agent(Agent::Design);
            },
            2,
            "while gate 1 was not open",
        ),
        ("questions by a person", |s| s.events[2].1 = person("ada"), 3, "questions of the requirements agent by"),
        (
            "questions of no turn",
            |s| {
                let Body::Inquired(asked) = &mut s.events[2].2 else { panic!() };
                asked.turn = 7;
            },
            3,
            "do not come from the last turn",
        ),
        (
            "an answer by an agent",
            |s| s.events[3].1 = REQUIREMENTS,
            4,
            "said by requirements agent, which is not a person",
        ),
        (
            "an answer that nobody asked for",
            |s| {
                let Body::Said(said) = &mut s.events[3].2 else { panic!() };
                said.answers.insert("Q9".into(), json!("yes"));
            },
            4,
            "an answer to Q9, which was not asked",
        ),
        ("given back by an agent", |s| s.events[5].1 = REQUIREMENTS, 6, "given back by requirements agent"),
        ("a spec after what was given back", |s| drop(s.events.remove(6)), 7, "which no turn of a model gave"),
        (
            "a spec from another answer",
            |s| {
                let Body::Filed(filed) = &mut s.events[7].2 else { panic!() };
                filed.made_from.pop();
            },
            8,
            "which no turn of a model gave",
        ),
        (
            "an answer that was changed",
            |s| {
                let response = turn(s, 2).response.unwrap();
                s.blobs.insert(response, b"{}".to_vec());
            },
            2,
            "was changed",
        ),
    ];
    for (name, forge, place, says) in table {
        let mut story = talk();
        forge(&mut story);
        let problems = found(&story).problems;
        assert!(
            problems.iter().any(|problem| problem.seq == place && problem.what.contains(says)),
            "{name}: {problems:?}"
        );
    }
}

#[test]
fn what_an_engagement_says_of_its_beginning_is_what_its_request_holds() {
    type Forge = fn(&mut Requested, &mut Story);
    let forged: [(&str, Forge); 7] = [
        ("called otherwise", |of, _| of.title = "Look at VLAN 120".into()),
        ("a blueprint", |of, _| of.blueprint = Some("vlan".into())),
        ("no model", |of, _| of.model = false),
        ("a record", |of, _| of.from = Some(id("zzzzz"))),
        ("other words", |of, story| {
            of.request = story.document(&json!({
                "blueprint": null, "inputs": {}, "spec": null, "design": null, "baseline": null, "text": "Drop it",
            }));
        }),
        ("nothing asked", |of, story| {
            of.request = story.document(&json!({
                "blueprint": null, "inputs": {}, "spec": null, "design": null, "baseline": null,
            }));
        }),
        ("no request", |of, story| of.request = story.document(&json!({"text": 7}))),
    ];
    let said = [
        "is called `Look at VLAN 120`, and its request says `Add VLAN 120…`",
        "names another blueprint than its request",
        "says otherwise than its request whether models draft it",
        "says otherwise than its request whether it starts from a record",
        "and its request says `Drop it`",
        "a request that gives nothing to draft from",
        "a request that cannot be read",
    ];
    for ((what, forge), said) in forged.into_iter().zip(said) {
        let mut story = talk();
        let Body::Requested(mut of) = story.events[0].2.clone() else { panic!() };
        forge(&mut of, &mut story);
        story.events[0].2 = Body::Requested(of);
        let problems = found(&story).problems;
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        assert!(first.contains("event 1") && first.contains(said), "{what}: {first}");
    }
    let mut story = talk();
    story.events[0].1 = REQUIREMENTS;
    let problems = found(&story).problems;
    assert!(problems.iter().any(|problem| problem.to_string().contains("which is not a person")), "{problems:?}");
}
