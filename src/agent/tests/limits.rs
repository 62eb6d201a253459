//! Each way in which drafting ends without a draft: named, and after no more turns than it takes.

use serde_json::json;

use super::{Studio, answer, calls, design, desk::Stop, finish, report, spec, text};
use crate::{
    agent::offer::{ASK, READ_RESULT},
    artifact::RecordOutcome,
    engagement::{About, Finish, Usage},
    model::{Answer, Message},
};

fn closed(studio: &mut Studio, lines: impl IntoIterator<Item = Answer>) -> (RecordOutcome, String) {
    match studio.hears(lines) {
        Stop::Closed(closed) => (closed.outcome, closed.reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn drafting_that_leads_nowhere_ends_with_its_reason() {
    let invalid = |n: u32| {
        let mut spec = spec();
        spec["requirements"] = json!([]);
        spec["title"] = json!(format!("try {n}"));
        text(&spec.to_string())
    };
    let refused = |n: u32| calls(&[("vlan.list", json!({"switch": format!("sw{n}")}))]);
    let no_json = || calls(&[("vlan.list", json!("{\"switch\": "))]);
    let many = |tokens: u64| Answer { usage: Usage { input: tokens, ..Usage::default() }, ..refused(1) };
    let table: Vec<(&str, Vec<Answer>, usize, &str)> = vec![
        ("invalid drafts", (0..9).map(invalid).collect(), 4, "given back 3 times"),
        ("prose", (0..9).map(|_| text("I would rather not.")).collect(), 3, "3 answers in a row were neither"),
        ("nothing", (0..9).map(|_| text("")).collect(), 3, "3 answers in a row were neither"),
        ("arguments that are no JSON", (0..9).map(|_| no_json()).collect(), 3, "3 answers in a row were neither"),
        (
            "refusals",
            (0..9).map(|_| finish(Finish::Refused, text("no"))).collect(),
            3,
            "3 answers in a row were neither",
        ),
        ("cut off", (0..9).map(|_| finish(Finish::Length, invalid(0))).collect(), 3, "3 answers in a row were neither"),
        ("the same call", (0..9).map(|_| refused(1)).collect(), 3, "3 times for the same call of `vlan.list`"),
        ("calls in vain", (0..9).map(refused).collect(), 6, "6 turns in a row brought nothing"),
        ("tokens", vec![many(120_000), many(80_000), refused(3)], 2, "200000 model tokens, and 200000 are used"),
    ];
    for (name, lines, turns, reason) in table {
        let mut studio = Studio::new("VLAN 120");
        let (outcome, said) = closed(&mut studio, lines);
        assert_eq!(outcome, RecordOutcome::GivenUp, "{name}");
        assert!(said.contains(reason), "{name}: {said}");
        assert!(said.contains("spec.yaml") || said.contains("draft"), "{name}: {said}");
        assert_eq!(studio.counts()["model.turn"], turns, "{name}");
    }
}

#[test]
fn a_mistake_between_what_is_right_ends_nothing() {
    let mut studio = Studio::new("VLAN 120");
    let wrong = |n: u32| calls(&[("vlan.list", json!({"switch": format!("sw{n}")}))]);
    let ask = |n: u32| calls(&[(ASK, json!({"questions": [{"text": format!("Question {n}?")}]}))]);
    for n in 0..4 {
        assert_eq!(studio.hears([text("hm"), text(""), ask(n)]), Stop::Asked, "{n}");
        studio.says("go on", json!({}));
    }
    for n in 0..5 {
        assert_eq!(studio.hears([wrong(n)]), Stop::Silent, "{n}");
    }
    assert!(matches!(studio.hears([text(&spec().to_string())]), Stop::Gate(_)));
}

#[test]
fn tokens_of_the_spec_are_the_limit_once_there_is_one() {
    let mut studio = Studio::new("VLAN 120");
    let mut small = spec();
    small["limits"]["model_tokens"] = json!(110);
    assert!(matches!(studio.hears([text(&small.to_string())]), Stop::Gate(_)));
    studio.approves(About::Gate1);
    let (outcome, said) = closed(&mut studio, []);
    assert_eq!(outcome, RecordOutcome::GivenUp);
    assert!(said.contains("the spec allows 110 model tokens, and 110 are used"), "{said}");
}

#[test]
fn a_draft_that_nobody_approved_sets_no_limit_of_its_own() {
    let costly = |line: Answer, tokens: u64| Answer { usage: Usage { input: tokens, ..Usage::default() }, ..line };
    let wants = |tokens: u64| {
        let mut spec = spec();
        spec["limits"]["model_tokens"] = json!(tokens);
        text(&spec.to_string())
    };
    let mut studio = Studio::new("VLAN 120");
    assert!(matches!(studio.hears([costly(wants(9_000_000), 200_000)]), Stop::Gate(_)));
    studio.rejects(About::Gate1);
    let (outcome, said) = closed(&mut studio, []);
    assert_eq!(outcome, RecordOutcome::GivenUp);
    assert!(
        said.contains("until gate 1 is open, an engagement has 200000 model tokens, and 200000 are used"),
        "{said}"
    );

    // A smaller one holds at once.
    let mut studio = Studio::new("VLAN 120");
    assert!(matches!(studio.hears([wants(100)]), Stop::Gate(_)));
    studio.rejects(About::Gate1);
    let (_, said) = closed(&mut studio, []);
    assert!(said.contains("until gate 1 is open, an engagement has 100 model tokens"), "{said}");

    // What was approved before holds for the next version too, and no more than that.
    let mut studio = Studio::new("VLAN 120");
    assert!(matches!(studio.hears([wants(500_000)]), Stop::Gate(_)));
    let request = studio.chain.rests_on();
    let mut request = studio.chain.blobs.get(&request).unwrap().as_ref().clone();
    request["artifact"] = json!(studio.chain.state().artifact(crate::artifact::ArtifactKind::Spec));
    let request = studio.chain.store(&request);
    studio.chain.answer_with(&About::Gate1, request, crate::engagement::Answer::Approve, Vec::new());
    studio.hears([costly(calls(&[("vlan.list", json!({"switch": "sw01"}))]), 250_000)]);
    let mut found = report(&studio);
    found["verdict"] = json!("with_changes");
    assert!(matches!(studio.hears([text(&found.to_string()), wants(9_000_000)]), Stop::Gate(_)));
    studio.rejects(About::Gate1);
    assert_eq!(studio.run(), Stop::Silent, "250000 are less than the 500000 that were approved");
    assert!(matches!(studio.hears([costly(wants(9_000_000), 250_000)]), Stop::Gate(_)));
    studio.rejects(About::Gate1);
    let (_, said) = closed(&mut studio, []);
    assert!(said.contains("an engagement has 500000 model tokens"), "{said}");
}

/// An engagement whose spec allows one minute of running.
fn for_a_minute() -> Studio {
    let mut studio = Studio::new("VLAN 120 guest on sw01 and sw02");
    let mut short = spec();
    short["limits"]["minutes"] = json!(1);
    assert!(matches!(studio.hears([text(&short.to_string())]), Stop::Gate(_)));
    studio.approves(About::Gate1);
    assert_eq!(studio.hears([calls(&[("vlan.list", json!({"switch": "sw01"}))])]), Stop::Silent);
    studio
}

#[test]
fn minutes_of_running_end_drafting_and_are_over_before_gate_2_is_asked() {
    let mut studio = for_a_minute();
    studio.chain.wait(61);
    let (outcome, said) = closed(&mut studio, [calls(&[("vlan.list", json!({"switch": "sw02"}))])]);
    assert_eq!(outcome, RecordOutcome::GivenUp);
    assert!(said.contains("the spec allows 1 minutes of running, and they are over"), "{said}");

    let mut studio = for_a_minute();
    let found = report(&studio);
    assert_eq!(studio.hears([text(&found.to_string())]), Stop::Silent);
    studio.chain.wait(61);
    let (outcome, said) = closed(&mut studio, [text(&design().to_string())]);
    assert_eq!(outcome, RecordOutcome::GivenUp);
    assert!(said.contains("over before gate 2 was asked"), "{said}");

    // Without a spec there are the usual minutes.
    let mut studio = Studio::new("VLAN 120");
    let wrong = |n: u32| calls(&[("vlan.list", json!({"switch": format!("sw{n}")}))]);
    for n in 0..3 {
        studio.chain.wait(599);
        assert_eq!(studio.hears([wrong(n)]), Stop::Silent);
    }
    studio.chain.wait(599);
    let (_, said) = closed(&mut studio, [wrong(3)]);
    assert!(said.contains("until gate 1 is open, an engagement has 30 minutes of running"), "{said}");
}

#[test]
fn asking_the_same_again_after_the_answer_is_a_loop() {
    let mut studio = Studio::new("VLAN 120");
    let ask = || calls(&[(ASK, json!({"questions": [{"text": "Which switches?"}]}))]);
    for n in 0..3 {
        assert_eq!(studio.hears([ask()]), Stop::Asked, "{n}");
        studio.says("sw01", json!({}));
    }
    let (outcome, said) = closed(&mut studio, []);
    assert_eq!(outcome, RecordOutcome::GivenUp);
    assert!(said.contains("3 times for the same call of `ask`"), "{said}");
}

#[test]
fn reading_the_same_slice_again_and_again_is_a_loop_too() {
    let mut studio = Studio::approved();
    studio.hears([calls(&[("vlan.list", json!({"switch": "sw01"}))])]);
    let id = studio.chain.state().calls.keys().last().unwrap().clone();
    let slice = || calls(&[(READ_RESULT, json!({"call": id}))]);
    let (_, said) = closed(&mut studio, (0..9).map(|_| slice()));
    assert!(said.contains("3 times for the same call of `read_result`"), "{said}");
}

#[test]
fn a_long_exchange_is_cut_by_whole_turns() {
    let mut studio = Studio::new("VLAN 120");
    studio.says("before anything else", json!({}));
    for n in 0..14 {
        let ask = json!({"questions": [{"text": format!("Question {n}?")}]});
        let mut line = calls(&[(ASK, ask)]);
        line.text = format!("thought {n} {}", "x".repeat(12_000));
        assert_eq!(studio.hears([answer(&line.text, line.calls)]), Stop::Asked);
        studio.says(&format!("answer {n}"), json!({}));
    }
    assert!(matches!(studio.hears([text(&spec().to_string())]), Stop::Gate(_)));
    let told = studio.told();
    assert!(told.contains("earliest turns are left out"), "{}", told.len());
    assert!(!told.contains("thought 0 ") && told.contains("thought 13 ") && told.contains("answer 13"));
    assert!(told.contains("before anything else"), "what came before the first turn is left out");
    assert!(told.len() < 250_000, "{}", told.len());
    let request = studio.requests.last().unwrap();
    let spoken = request.messages.iter().filter(|message| matches!(message, Message::Assistant { .. })).count();
    assert_eq!(request.left_out + spoken, 14);
}

#[test]
fn what_was_given_back_is_cut_with_the_turn_that_gave_it() {
    let mut studio = Studio::new("VLAN 120");
    for n in 0..14 {
        let invalid = format!("{{\"field{n:02}\": \"{}\"}}", "x".repeat(9_000));
        let ask = calls(&[(ASK, json!({"questions": [{"text": format!("Question {n}?")}]}))]);
        assert_eq!(studio.hears([text(&invalid), ask]), Stop::Asked);
        studio.says("go on", json!({}));
    }
    assert!(matches!(studio.hears([text(&spec().to_string())]), Stop::Gate(_)));
    let messages = &studio.requests.last().unwrap().messages;
    let mentions = |text: &str| -> Vec<usize> { (0..14).filter(|n| text.contains(&format!("field{n:02}"))).collect() };
    let said = messages.iter().filter_map(|message| match message {
        Message::Assistant { text, .. } => Some(mentions(text)),
        _ => None,
    });
    let given_back = messages.iter().filter_map(|message| match message {
        Message::User { text } => Some(mentions(text)),
        _ => None,
    });
    let (said, given_back): (Vec<usize>, Vec<usize>) = (said.flatten().collect(), given_back.flatten().collect());
    assert_eq!(said, given_back, "no answer without what was wrong with it, and nothing wrong without its answer");
    assert!(said.len() < 14 && said.contains(&13), "{said:?}");
}

#[test]
fn what_was_answered_and_read_outlives_the_turns_that_are_left_out() {
    let long = |mut line: Answer, n: u32| {
        line.text = format!("thought {n} {}", "x".repeat(40_000));
        line
    };
    let mut studio = Studio::new("VLAN 120");
    studio.says("begin with sw01", json!({}));
    let ask = json!({"questions": [{"text": "Which VLAN id?", "type": "integer"}]});
    assert_eq!(studio.hears([long(calls(&[(ASK, ask)]), 0)]), Stop::Asked);
    studio.says("", json!({"Q1": 4077}));
    for n in 1..4 {
        let vain = calls(&[("vlan.list", json!({"switch": format!("sw{n}")}))]);
        assert_eq!(studio.hears([long(vain, n)]), Stop::Silent);
    }
    assert!(matches!(studio.hears([text(&spec().to_string())]), Stop::Gate(_)));
    let told = studio.told();
    assert!(!told.contains("thought 0 ") && told.contains("earliest turns are left out"), "{}", told.len());
    for kept in ["begin with sw01", "Which VLAN id?", "4077", "Q1"] {
        assert!(told.contains(kept), "{kept}");
    }

    let mut studio = Studio::approved();
    assert_eq!(studio.hears([long(calls(&[("vlan.list", json!({"switch": "sw01"}))]), 0)]), Stop::Silent);
    let id = studio.chain.state().calls.keys().last().unwrap().clone();
    for n in 1..4 {
        let other = calls(&[(READ_RESULT, json!({"call": id, "limit": n}))]);
        assert_eq!(studio.hears([long(other, n)]), Stop::Silent);
    }
    let found = report(&studio);
    studio.hears([text(&found.to_string())]);
    let told = super::desk::told(&studio.requests[studio.requests.len() - 1]);
    let cut = studio.requests.iter().map(super::desk::told).find(|told| told.contains("earliest turns are left out"));
    let cut = cut.unwrap_or(told);
    let kept = cut.split("from the turns that are left out").nth(1).expect("nothing is kept");
    assert!(kept.contains(&format!("call\\\":\\\"{id}\\\"")) && kept.contains("vlan.list"), "{}", &kept[..400]);
}
