//! A step that fails while the flow runs: when the build agent is asked about it, what it may want, what becomes of that
//! and what never does.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Studio, calls, design, desk::Stop, report, spec, text};
use crate::{
    agent::Prompts,
    artifact::{Agent, ArtifactKind, Digest, NodeId, OnFailure, Phase, RecordOutcome},
    engagement::{
        About, Actor, Answer, Asked, Body, CallWanted, Command, Considered, NodeSettled, PolicyAnswer, Purpose,
        Refusal, Retried, decide_for,
    },
    facts::Role,
    flow::NodeOutcome,
    policy::{Layer, Spoke},
    record::fixture::{Chain, Scripted, ada, object},
};

const BUSY: &str = "the switch is busy with CANARY-7";

fn node(id: &str) -> NodeId {
    serde_json::from_value(json!(id)).unwrap()
}

/// At gate 2 with VLAN 120 on two switches, where these calls go wrong.
fn at_gate_2(chain: Chain, on_failure: &str, wrong: &[(&str, Scripted)], edit: fn(&mut Value)) -> Studio {
    at_gate_2_with(chain, on_failure, wrong, edit, 4)
}

/// The same, where the spec grants so many.
fn at_gate_2_with(
    mut chain: Chain,
    on_failure: &str,
    wrong: &[(&str, Scripted)],
    edit: fn(&mut Value),
    most: u32,
) -> Studio {
    for (purpose, does) in wrong {
        chain = chain.script(purpose, [does.clone()]);
    }
    let mut studio = Studio::of(chain);
    studio.prompts = Prompts::default().building(true);
    let mut spec = spec();
    spec["boundary"]["build"][0]["at_most"] = json!(most);
    assert_eq!(studio.hears([text(&spec.to_string())]), Stop::Gate(About::Gate1));
    studio.approves(About::Gate1);
    studio.hears([calls(&[("vlan.list", json!({"switch": "sw01"})), ("vlan.list", json!({"switch": "sw02"}))])]);
    let found = report(&studio);
    let mut design = design();
    design["steps"][0]["on_failure"] = json!(on_failure);
    edit(&mut design["steps"][0]);
    assert_eq!(studio.hears([text(&found.to_string()), text(&design.to_string())]), Stop::Gate(About::Gate2));
    studio
}

fn as_it_is(_: &mut Value) {}

fn words() -> Chain {
    Chain::words("VLAN 120 guest on sw01 and sw02")
}

/// Where the first switch has failed and the build agent is asked about it.
fn failing(on_failure: &str) -> Studio {
    failing_with(on_failure, 4)
}

fn failing_with(on_failure: &str, most: u32) -> Studio {
    let wrong = [("step create/sw01", Scripted::Error(BUSY))];
    let mut studio = at_gate_2_with(words(), on_failure, &wrong, as_it_is, most);
    studio.approves(About::Gate2);
    assert_eq!(studio.run(), Stop::Silent, "the build agent is asked");
    studio
}

fn wants(step: &str, tool: &str, with: Value) -> Value {
    let call = json!({"step": step, "tool": tool, "with": with, "because": "it was busy for a moment"});
    json!({"calls": [call], "because": "busy switches answer later"})
}

fn once_more() -> Value {
    wants("once-more", "vlan.create", json!({"switch": "sw01", "id": 120, "name": "guest"}))
}

fn asked_about(step: &str) -> Stop {
    Stop::Gate(About::Deviation { node: node(step) })
}

fn closed(stop: Stop) -> RecordOutcome {
    let Stop::Closed(closed) = stop else { panic!("{stop:?}") };
    closed.outcome
}

/// What ran and changes something, step by step.
fn ran(studio: &Studio) -> Vec<String> {
    let allowed = studio.chain.events.iter().filter_map(|event| match &event.body {
        Body::Allowed(allowed) if allowed.counts.is_some() => allowed.purpose.node().map(ToString::to_string),
        _ => None,
    });
    allowed.collect()
}

fn outcome(studio: &Studio, id: &str) -> Option<NodeOutcome> {
    studio.chain.state().nodes.get(&node(id)).map(|settled| settled.outcome)
}

#[test]
fn what_is_wanted_runs_once_after_a_yes_and_the_step_is_done_where_that_shows() {
    for on_failure in ["stop", "ask"] {
        let mut studio = failing(on_failure);
        assert_eq!(studio.hears([text(&once_more().to_string())]), asked_about("once-more"));
        assert_eq!(ran(&studio), ["create/sw01"], "nothing runs before somebody has said yes");
        studio.approves(About::Deviation { node: node("once-more") });
        assert_eq!(closed(studio.run()), RecordOutcome::Done);
        assert_eq!(ran(&studio), ["create/sw01", "once-more", "create/sw02"]);
        assert_eq!(studio.chain.network.vlans["sw01"][&120], "guest");
        let record = studio.chain.documents.record().unwrap();
        let deviation = &record.deviations[0];
        assert!(deviation.what.contains("`once-more`: step create/sw01 failed"), "{}", deviation.what);
        assert!(deviation.what.contains("because: it was busy for a moment"), "{}", deviation.what);
        assert!(deviation.accepted_by.as_ref().is_some_and(|by| by.contains("ada")));
        let step = record.steps.iter().find(|step| step.node == node("create/sw01")).unwrap();
        assert!(step.reason.as_ref().is_some_and(|reason| reason.contains("that was accepted")), "{step:?}");
        assert_eq!((studio.counts()["failure.considered"], studio.counts()["deviation.found"]), (1, 1));
    }
}

#[test]
fn what_others_changed_of_what_was_accepted_is_asked_about_before_it_is_taken_back() {
    let wrong = [("step create/sw01", Scripted::Error(BUSY)), ("step create/sw02", Scripted::Error(BUSY))];
    let mut studio = at_gate_2_with(words(), "ask", &wrong, as_it_is, 4);
    studio.approves(About::Gate2);
    assert_eq!(studio.hears([text(&once_more().to_string())]), asked_about("once-more"));
    studio.approves(About::Deviation { node: node("once-more") });
    let nothing = json!({"because": "someone must look at it"});
    let failure = About::Failure { node: node("create/sw02") };
    assert_eq!(studio.hears([text(&nothing.to_string())]), Stop::Gate(failure.clone()));
    studio.chain.network.vlans.get_mut("sw01").unwrap().insert(120, "theirs".into());
    let request = studio.chain.rests_on();
    studio.chain.answer_with(&failure, request, Answer::Choose(OnFailure::UndoAll), Vec::new());
    assert_eq!(studio.run(), asked_about("once-more"));
    let found = &studio.chain.state().deviation_at(&node("once-more")).unwrap().found;
    assert_eq!(found.actual, json!({"id": 120, "name": "theirs"}));
    // The yes lets it be taken back, and lets what was wanted run no second time.
    studio.approves(About::Deviation { node: node("once-more") });
    assert!(studio.chain.state().approved_calls.values().all(|left| *left == 0));
    closed(studio.run());
    assert_eq!(outcome(&studio, "once-more"), Some(NodeOutcome::Undone));
    assert_eq!(ran(&studio), ["create/sw01", "once-more", "create/sw02"]);
    assert_eq!(studio.chain.network.vlans["sw01"].get(&120), None);
}

#[test]
fn what_is_wanted_leaves_what_steps_that_are_still_to_come_need() {
    // One is used by the failure; of two more, one is for the second switch.
    for (most, fits) in [(2, false), (3, true)] {
        let mut studio = failing_with("stop", most);
        let stop = studio.hears([text(&once_more().to_string())]);
        assert_eq!(stop == asked_about("once-more"), fits, "{most}: {stop:?}");
        if !fits {
            let problems = super::build::last_problems(&studio);
            assert!(problems.contains("still to come need 1 of them"), "{problems}");
        }
    }
}

#[test]
fn what_was_accepted_after_a_failure_is_not_for_what_comes_after_it_is_tried_again() {
    let mut studio = failing("stop");
    assert_eq!(studio.hears([text(&once_more().to_string())]), asked_about("once-more"));
    studio.approves(About::Deviation { node: node("once-more") });
    let nodes = [("create/sw01".to_owned(), 2), ("create/sw02".to_owned(), 1)];
    let nodes = nodes.into_iter().filter(|(id, _)| studio.chain.state().nodes.contains_key(&node(id))).collect();
    let agreed = studio.chain.state().approved_calls.clone();
    // It ends before that was called, and is tried again then.
    let leave = Command::Enter { phase: Phase::AsBuilt, reason: Some("its minutes are over".into()) };
    studio.chain.act(Actor::Program, leave).unwrap();
    assert!(matches!(studio.run(), Stop::Closed(_)));
    let retried = Retried { nodes, calls: Vec::new() };
    studio.chain.act(ada(), Command::Retry { retried, roles: [Role::Approver].into() }).unwrap();
    // The second attempt goes well, so nothing that was accepted after the first is called.
    let stop = studio.run();
    assert_ne!(ran(&studio).last().unwrap(), "once-more", "{stop:?} {agreed:?}");
    assert!(!ran(&studio).contains(&"once-more".to_owned()), "{:?}", ran(&studio));
    let act = Purpose::Act { node: node("once-more"), attempt: 1, r#try: 1 };
    let args = object(json!({"switch": "sw01", "id": 120, "name": "guest"}));
    let allowed = studio.chain.intent(Agent::Build, act, "vlan.create", &args);
    let allowed = crate::engagement::CallAllowed { approved: true, ..allowed };
    let refused = studio.chain.act(Actor::Agent(Agent::Build), Command::Allow(Box::new(allowed)));
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn where_no_answer_comes_three_times_it_comes_as_designed() {
    let mut studio = failing("stop");
    for _ in 0..3 {
        assert_eq!(studio.run(), Stop::Silent, "it is asked again");
        studio.hears_nothing(ArtifactKind::Flow);
    }
    let Stop::Closed(closed) = studio.run() else { panic!("it waits for nobody") };
    assert_eq!(closed.outcome, RecordOutcome::Failed);
    let [considered] = studio.chain.state().considered.as_slice() else { panic!() };
    assert!(considered.wants.is_empty() && considered.because.ends_with("3 times no answer came"), "{considered:?}");
}

#[test]
fn where_nothing_is_wanted_or_a_person_says_no_it_comes_as_designed() {
    for (line, no) in [(json!({"because": "someone must look at it"}), false), (once_more(), true)] {
        let mut studio = failing("stop");
        let stop = studio.hears([text(&line.to_string())]);
        if no {
            assert_eq!(stop, asked_about("once-more"));
            studio.rejects(About::Deviation { node: node("once-more") });
        }
        let end = if no { studio.run() } else { stop };
        assert_eq!(closed(end), RecordOutcome::Failed);
        assert_eq!(ran(&studio), ["create/sw01"]);
        let left = [outcome(&studio, "create/sw01"), outcome(&studio, "create/sw02"), outcome(&studio, "once-more")];
        assert_eq!(left, [Some(NodeOutcome::Failed), Some(NodeOutcome::NotRun), None]);
        let mut studio = failing("ask");
        if no {
            studio.hears([text(&line.to_string())]);
            studio.rejects(About::Deviation { node: node("once-more") });
        } else {
            studio.lines.push_back(text(&line.to_string()));
        }
        assert_eq!(studio.run(), Stop::Gate(About::Failure { node: node("create/sw01") }));
        assert_eq!(studio.counts()["failure.considered"], 1, "it is asked once");
    }
}

#[test]
fn what_cannot_stand_comes_back_three_times_and_then_nothing_is_wanted() {
    let cases = [
        (wants("wipe", "vlan.delete", json!({"switch": "sw01", "id": 1})), "grant"),
        (wants("other", "vlan.create", json!({"switch": "sw03", "id": 120, "name": "guest"})), "must be one of"),
        (wants("create", "vlan.create", json!({"switch": "sw01", "id": 120, "name": "guest"})), "already"),
        (wants("look", "vlan.list", json!({"switch": "sw01"})), "only reads"),
        (wants("made-up", "vlan.conjure", json!({})), "no tool"),
        (wants("less", "vlan.create", json!({"switch": "sw01"})), "id"),
        (json!({"calls": vec![once_more()["calls"][0].clone(); 4], "because": "more helps"}), "too many"),
        (json!({"calls": []}), "because"),
    ];
    for (line, says) in cases {
        let mut studio = failing("stop");
        assert_eq!(studio.hears([text(&line.to_string())]), Stop::Silent, "{says}");
        let problems = super::build::last_problems(&studio);
        assert!(problems.contains(says), "{says}: {problems}");
        let end = studio.hears(vec![text(&line.to_string()); 3]);
        assert_eq!(closed(end), RecordOutcome::Failed, "{says}");
        assert_eq!((studio.counts()["draft.returned"], ran(&studio)), (3, vec!["create/sw01".to_owned()]), "{says}");
        let considered = &studio.chain.state().considered[0];
        assert_eq!((considered.turn, considered.wants.len()), (None, 0), "{says}");
        assert!(considered.because.contains("given back 3 times"), "{}", considered.because);
    }
}

#[test]
fn a_call_that_was_accepted_and_puts_nothing_right_leaves_the_step_failed() {
    let lies = [("step create/sw01", Scripted::Error(BUSY)), ("step once-more", Scripted::Lie)];
    let mut studio = at_gate_2(words(), "stop", &lies, as_it_is);
    studio.approves(About::Gate2);
    assert_eq!(studio.run(), Stop::Silent);
    assert_eq!(studio.hears([text(&once_more().to_string())]), asked_about("once-more"));
    studio.approves(About::Deviation { node: node("once-more") });
    assert_eq!(closed(studio.run()), RecordOutcome::Failed);
    assert_eq!(ran(&studio), ["create/sw01", "once-more"], "it runs once, whatever came of it");

    // A call that does what it says and leaves the failed step as it was.
    let mut studio = failing("stop");
    let elsewhere = wants("elsewhere", "vlan.create", json!({"switch": "sw02", "id": 120, "name": "guest"}));
    assert_eq!(studio.hears([text(&elsewhere.to_string())]), asked_about("elsewhere"));
    studio.approves(About::Deviation { node: node("elsewhere") });
    studio.run();
    let left = [outcome(&studio, "elsewhere"), outcome(&studio, "create/sw01"), outcome(&studio, "create/sw02")];
    assert_eq!(left, [Some(NodeOutcome::Done), Some(NodeOutcome::Failed), Some(NodeOutcome::NotRun)]);

    // Its own `verify` decides, where it has one: here nothing makes it hold.
    let other = |step: &mut Value| {
        step["verify"] =
            json!({"tool": "vlan.list", "with": {"switch": {"cel": "item"}}, "expect": "result.vlans.size() > 9"});
    };
    let mut studio = at_gate_2(words(), "stop", &lies[..1], other);
    studio.approves(About::Gate2);
    assert_eq!(studio.run(), Stop::Silent);
    assert_eq!(studio.hears([text(&once_more().to_string())]), asked_about("once-more"));
    studio.approves(About::Deviation { node: node("once-more") });
    studio.run();
    assert_eq!(outcome(&studio, "once-more"), Some(NodeOutcome::Done));
    assert_eq!(outcome(&studio, "create/sw01"), Some(NodeOutcome::Failed));
}

#[test]
fn what_was_wanted_after_a_call_that_failed_or_was_rejected_is_not_asked_about() {
    let mut line = once_more();
    let mut then = line["calls"][0].clone();
    then["step"] = json!("and-then");
    line["calls"].as_array_mut().unwrap().push(then);
    let mut studio = failing("stop");
    assert_eq!(studio.hears([text(&line.to_string())]), asked_about("once-more"));
    studio.rejects(About::Deviation { node: node("once-more") });
    assert_eq!(closed(studio.run()), RecordOutcome::Failed);
    assert_eq!(studio.counts()["deviation.found"], 1);
    let mut studio = failing("stop");
    studio.hears([text(&line.to_string())]);
    studio.approves(About::Deviation { node: node("once-more") });
    assert_eq!(studio.run(), asked_about("and-then"));
    studio.rejects(About::Deviation { node: node("and-then") });
    assert_eq!(closed(studio.run()), RecordOutcome::Done, "what ran before it is looked at");
}

#[test]
fn nobody_is_asked_where_the_design_says_what_comes_next_or_a_person_did() {
    let error = || ("step create/sw01", Scripted::Error(BUSY));
    for on_failure in ["undo_target", "undo_all", "continue"] {
        let mut studio = at_gate_2(words(), on_failure, &[error()], as_it_is);
        studio.approves(About::Gate2);
        assert!(matches!(studio.run(), Stop::Closed(_)), "{on_failure}");
        assert!(!studio.counts().contains_key("failure.considered"), "{on_failure}");
    }
    // What is unknown is not a failure.
    let unread = [("read back create/sw01", Scripted::Error(BUSY))];
    let mut studio = at_gate_2(words(), "stop", &unread, as_it_is);
    studio.approves(About::Gate2);
    assert!(matches!(studio.run(), Stop::Closed(_)));
    assert!(!studio.counts().contains_key("failure.considered"));
    // A step that clears up clears up, whatever comes of it.
    let mut studio = at_gate_2(words(), "stop", &[error()], |step| step["always"] = json!(true));
    studio.approves(About::Gate2);
    assert!(matches!(studio.run(), Stop::Closed(_)));
    assert!(!studio.counts().contains_key("failure.considered"));
    // A person who said no to the call has said what is to come of it.
    let mut studio = at_gate_2(words(), "stop", &[], as_it_is);
    let request = studio.chain.rests_on();
    studio.chain.answer_with(&About::Gate2, request, Answer::Approve, Vec::new());
    let Stop::Gate(about @ About::Call { .. }) = studio.run() else { panic!() };
    studio.rejects(about);
    assert!(matches!(studio.run(), Stop::Closed(_)));
    assert!(!studio.counts().contains_key("failure.considered"));
}

#[test]
fn what_put_a_step_right_is_taken_back_with_the_rest() {
    let wrong = [("step create/sw01", Scripted::Error(BUSY)), ("step last", Scripted::Error("no"))];
    let mut studio = Studio::of(wrong.iter().fold(words(), |chain, (at, does)| chain.script(at, [does.clone()])));
    studio.prompts = Prompts::default().building(true);
    let mut spec = spec();
    spec["boundary"]["build"][0]["at_most"] = json!(4);
    studio.hears([text(&spec.to_string())]);
    studio.approves(About::Gate1);
    studio.hears([calls(&[("vlan.list", json!({"switch": "sw01"})), ("vlan.list", json!({"switch": "sw02"}))])]);
    let mut design = design();
    design["steps"][0]["on_failure"] = json!("stop");
    design["steps"][0]["for_each"]["items"] = json!("inputs.switches.filter(s, s == 'sw01')");
    let last = json!({
        "id": "last", "tool": "vlan.create", "with": {"switch": "sw02", "id": 120, "name": "guest"},
        "on_failure": "undo_all",
    });
    design["steps"].as_array_mut().unwrap().push(last);
    let found = report(&studio);
    assert_eq!(studio.hears([text(&found.to_string()), text(&design.to_string())]), Stop::Gate(About::Gate2));
    studio.approves(About::Gate2);
    assert_eq!(studio.hears([text(&once_more().to_string())]), asked_about("once-more"));
    studio.approves(About::Deviation { node: node("once-more") });
    studio.run();
    assert!(!studio.chain.network.vlans["sw01"].contains_key(&120));
    let record = studio.chain.documents.record().unwrap();
    let told: Vec<(String, Value)> =
        record.steps.iter().map(|step| (step.node.to_string(), json!(step.outcome))).collect();
    let undone = |id: &str| (id.to_owned(), json!("undone"));
    assert_eq!(told, [undone("create/sw01"), undone("once-more"), ("last".to_owned(), json!("failed"))]);
    assert_eq!(record.deviations.len(), 1, "{:#?}", record.deviations);
}

#[test]
fn of_a_failure_the_model_is_told_what_manifests_let_out() {
    let studio = failing("stop");
    let told = studio.told_next();
    assert!(told.contains("create/sw01") && told.contains("CANARY-7"), "{told}");
    let silent = |manifest: &str| manifest.replace("errors: {model: full}", "errors: {model: never}");
    let mut studio =
        at_gate_2(words().with_manifest(silent), "stop", &[("step create/sw01", Scripted::Error(BUSY))], as_it_is);
    studio.approves(About::Gate2);
    assert_eq!(studio.run(), Stop::Silent);
    let told = studio.told_next();
    assert!(told.contains("create/sw01") && !told.contains("CANARY-7"), "{told}");
}

#[test]
fn what_was_accepted_runs_while_that_holds_and_not_when_it_is_over_or_halted() {
    let mut studio = failing("stop");
    assert_eq!(studio.hears([text(&once_more().to_string())]), asked_about("once-more"));
    let request = studio.chain.rests_on();
    let until = studio.chain.now() + SignedDuration::from_secs(90);
    studio.chain.accept_until(&node("once-more"), request, until);
    studio.chain.wait(200);
    assert_eq!(closed(studio.run()), RecordOutcome::Failed);
    assert_eq!((ran(&studio).len(), outcome(&studio, "once-more")), (1, Some(NodeOutcome::NotRun)));

    let mut studio = failing("stop");
    studio.hears([text(&once_more().to_string())]);
    studio.approves(About::Deviation { node: node("once-more") });
    let cancel = Command::Cancel { reason: "enough".into(), roles: [Role::Requester].into() };
    studio.chain.act(ada(), cancel).unwrap();
    studio.run();
    assert_eq!((ran(&studio).len(), outcome(&studio, "once-more")), (1, Some(NodeOutcome::NotRun)));
}

#[test]
fn a_failure_is_considered_by_the_build_agent_where_there_is_one_and_once() {
    let build = Actor::Agent(Agent::Build);
    let mut studio = failing("stop");
    let args = object(json!({"switch": "sw01", "id": 120, "name": "guest"}));
    let (step, tool) = ("once-more".parse().unwrap(), "vlan.create".parse().unwrap());
    let act = Purpose::Act { node: node("once-more"), attempt: 1, r#try: 1 };
    let call = studio.chain.intent(Agent::Build, act.clone(), "vlan.create", &args).digest;
    let want = CallWanted { step, tool, target: "sw01".into(), args, call, because: "busy".into() };
    let said = |turn: Option<u32>, wants: &[CallWanted]| Considered {
        node: node("create/sw01"),
        attempt: 1,
        turn,
        wants: wants.to_vec(),
        because: "busy".into(),
    };
    let last = studio.chain.state().talk.turns();
    let no = |studio: &Studio, actor: &Actor, considered: Considered, what: &str| {
        let refused = decide_for(studio.chain.state(), actor, Command::Consider(considered));
        assert!(refused.is_err(), "{what}");
    };
    let wanted = std::slice::from_ref(&want);
    no(&studio, &build, said(Some(last), wanted), "before a turn about it");
    no(&studio, &Actor::Program, said(None, wanted), "what no turn said");
    studio
        .chain
        .act(build.clone(), Command::Turn(Box::new(super::build::turned(crate::artifact::ArtifactKind::Flow, 1))))
        .unwrap();
    let turn = Some(last + 1);
    no(&studio, &ada(), said(turn, wanted), "by a person");
    no(&studio, &Actor::Program, said(turn, wanted), "by the program");
    no(&studio, &build, said(Some(last), wanted), "of another turn");
    no(&studio, &build, Considered { node: node("create/sw02"), ..said(turn, wanted) }, "of a step that did not fail");
    no(&studio, &build, Considered { attempt: 2, ..said(turn, wanted) }, "of another attempt");
    no(&studio, &build, Considered { because: " ".into(), ..said(turn, wanted) }, "without saying why");
    no(&studio, &build, said(turn, &[want.clone(), want.clone()]), "the same name twice");
    let named = CallWanted { step: "gone".parse().unwrap(), ..want.clone() };
    let many: Vec<CallWanted> =
        ["a", "b", "c", "d"].iter().map(|name| CallWanted { step: name.parse().unwrap(), ..named.clone() }).collect();
    no(&studio, &build, said(turn, &many), "too much");
    studio.chain.act(build.clone(), Command::Consider(said(turn, wanted))).unwrap();
    no(&studio, &build, said(turn, &[named]), "twice");
    let again = Command::Turn(Box::new(super::build::turned(crate::artifact::ArtifactKind::Flow, 1)));
    assert!(matches!(studio.chain.act(build.clone(), again), Err(Refusal::OutOfOrder { .. })), "when all is said");

    // Nor does a policy, at whatever stage.
    assert_eq!(studio.run(), asked_about("once-more"));
    let (about, request) = (About::Deviation { node: node("once-more") }, studio.chain.rests_on());
    let asked = Asked { stage: 3, ..Asked::new(about.clone(), request, Role::Approver) };
    let mut before = studio.chain.state().clone();
    before.asked = Some(asked);
    let rules = vec![Spoke { layer: Layer::Gate, rule: "gates".into(), reason: "it may".into() }];
    let policy = PolicyAnswer { rules, facts: Digest::ZERO, policies: Digest::ZERO };
    let rule = Command::Rule { about, request, policy, expires: Some(studio.chain.now()) };
    let refused = decide_for(&before, &Actor::Policy, rule);
    assert!(matches!(refused, Err(Refusal::WrongAnswer(why)) if why.contains("the build agent wants it")));

    // Nobody has accepted it, so it does not run, and the step is not done by saying so.
    assert_eq!(studio.run(), asked_about("once-more"));
    let allowed = studio.chain.intent(Agent::Build, act, "vlan.create", &want.args);
    for approved in [false, true] {
        let allowed = crate::engagement::CallAllowed { approved, ..allowed.clone() };
        let refused = studio.chain.act(build.clone(), Command::Allow(Box::new(allowed)));
        assert!(matches!(&refused, Err(Refusal::Call(why)) if why.contains("nobody has accepted")), "{refused:?}");
    }
    let outcome = NodeOutcome::Done;
    let done = NodeSettled { node: node("create/sw01"), attempt: 1, outcome, changed: false, reason: None };
    assert!(studio.chain.act(Actor::Program, Command::Settle(done)).is_err());
    studio.approves(About::Deviation { node: node("once-more") });
    for (approved, id) in [(false, 120), (true, 121)] {
        let mut args = want.args.clone();
        args.insert("id".into(), json!(id));
        let allowed = studio.chain.intent(Agent::Build, allowed.purpose.clone(), "vlan.create", &args);
        let allowed = crate::engagement::CallAllowed { approved, ..allowed };
        assert!(studio.chain.act(build.clone(), Command::Allow(Box::new(allowed))).is_err(), "{approved}");
    }
    assert_eq!(closed(studio.run()), RecordOutcome::Done);
}
