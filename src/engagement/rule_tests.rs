//! Single rules of [`decide`](super::decide) and of the fold, each told as the mishap that it prevents. Whether
//! every command has the right answer in every situation is in `table_tests.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    artifact::{Agent, ArtifactKind, CallId, Digest, Limits, OnFailure, Phase, RecordOutcome},
    facts::Role,
    flow::NodeOutcome,
};

use super::{
    About, Actor, Answer, CUT_OFF, CallFinished, CallOutcome, CallVoid, Closed, Command, Purpose, Redacts, Refusal,
    RefusedAs, Retried, decide_for,
    testing::{Story, act, allow, answer, ask, deviate, digest, file, finish, intent, node, proved, refuse, settle},
};

fn read_back(id: &str, attempt: u32) -> Purpose {
    Purpose::ReadBack { node: node(id), attempt }
}

fn close(outcome: RecordOutcome) -> Command {
    Command::Close(Closed { outcome, reason: "because".into() })
}

fn cancel() -> Command {
    Command::Cancel { reason: "wrong ticket".into(), roles: [Role::Requester].into() }
}

fn retry(nodes: &[(&str, u32)]) -> Command {
    let nodes = nodes.iter().map(|(node, attempt)| ((*node).to_owned(), *attempt)).collect::<BTreeMap<_, _>>();
    Command::Retry { retried: Retried { nodes, calls: Vec::new() }, roles: [Role::Approver].into() }
}

/// The engagement has ended with what failed, and it is tried again.
fn again(story: Story, nodes: &[(&str, u32)]) -> Story {
    ended(story).then(retry(nodes))
}

fn ended(story: Story) -> Story {
    story.enter(Phase::AsBuilt).file(ArtifactKind::Record).then(close(RecordOutcome::PartlyDone))
}

fn void(call: u64, id: &str, attempt: u32, shown_by: u64) -> Command {
    Command::Void(CallVoid { call: CallId::nth(call), node: node(id), attempt, shown_by: CallId::nth(shown_by) })
}

fn is_call(refusal: Option<Refusal>) -> bool {
    matches!(refusal, Some(Refusal::Call(_)))
}

fn is_out_of_order(refusal: Option<Refusal>) -> bool {
    matches!(refusal, Some(Refusal::OutOfOrder { .. }))
}

#[test]
fn what_was_redacted_is_not_tried_again_nor_redacted_twice() {
    let story = Story::undone().enter(Phase::AsBuilt).file(ArtifactKind::Record).then(close(RecordOutcome::PartlyDone));
    let again = || retry(&[("a", 2)]);
    assert_eq!(story.refusal(again()), None);
    let redact = || {
        let (roles, reason) = ([Role::Owner].into(), "because".to_owned());
        let by = Redacts { roles, needs: Role::Owner, people: digest("people"), reason };
        Command::Redact { calls: [CallId::nth(1)].into(), answers: BTreeSet::new(), by, signed: None }
    };
    let story = story.then(redact());
    assert!(story.state.redacted.contains(&digest("key")), "the key goes with the first redaction");
    for command in [again(), redact()] {
        let refused = story.refusal(command);
        assert!(matches!(refused, Some(Refusal::Redaction(_))), "{refused:?}");
    }
}

#[test]
fn only_a_read_that_was_never_answered_is_made_again() {
    let read = |story: &Story| {
        let mut call = intent(&story.state, Agent::Build, act("a", 1));
        call.counts = None;
        Command::Allow(Box::new(call))
    };
    let begun = Story::building();
    let begun = begun.clone().then(read(&begun));
    for (outcome, refused) in [
        (CallOutcome::Unknown, false),
        (CallOutcome::NotSent, false),
        (CallOutcome::Ok, true),
        (CallOutcome::Error, true),
    ] {
        let over = begun.clone().finish(outcome);
        assert_eq!(is_call(over.refusal(read(&over))), refused, "{outcome:?}");
    }
    assert!(is_call(begun.refusal(read(&begun))));
    // What may have changed something is not made again because its tool is called a read now.
    let wrote = Story::building().call(Agent::Build, act("a", 1), CallOutcome::Unknown);
    assert!(is_call(wrote.refusal(read(&wrote))));
}

#[test]
fn nothing_ends_while_a_call_is_under_way() {
    let acting = Story::building().allow(Agent::Build, act("a", 1));
    let leave = Command::Enter { phase: Phase::AsBuilt, reason: Some("enough".into()) };
    assert!(is_call(acting.refusal(leave)));
    assert!(is_call(acting.refusal(settle(&acting.state, "a", NodeOutcome::Done, true))));
    let observing = Story::building().enter(Phase::AsBuilt);
    let observing = observing.allow(Agent::Verifier, Purpose::Observe { node: node("a") });
    assert!(is_call(observing.refusal(file(&observing.state, ArtifactKind::Record))));
    let reading = Story::gate_1_open().enter(Phase::Feasibility);
    let read = Purpose::CheckBefore { check: "A1".into(), item: 0 };
    let cancelled = reading.allow(Agent::Verifier, read).then(cancel());
    assert!(is_call(cancelled.refusal(close(RecordOutcome::Cancelled))));
    assert_eq!(cancelled.finish(CallOutcome::Unknown).refusal(close(RecordOutcome::Cancelled)), None);
}

#[test]
fn what_was_perhaps_sent_is_never_called_not_sent() {
    let unknown = Story::building().call(Agent::Build, act("a", 1), CallOutcome::Unknown);
    assert!(is_call(unknown.refusal(finish(&CallId::nth(1), CallOutcome::NotSent))));
    for outcome in [CallOutcome::Ok, CallOutcome::Error, CallOutcome::Unknown] {
        assert_eq!(unknown.refusal(finish(&CallId::nth(1), outcome)), None);
    }
}

#[test]
fn only_the_call_that_was_read_back_is_void_and_only_once() {
    let story = Story::building()
        .call(Agent::Verifier, Purpose::Recheck { node: node("b"), attempt: 1 }, CallOutcome::Ok)
        .call(Agent::Build, act("a", 1), CallOutcome::Unknown)
        .call(Agent::Verifier, read_back("a", 1), CallOutcome::Ok);
    for wrong in [void(2, "b", 2, 3), void(2, "a", 2, 1), void(2, "a", 3, 3), void(3, "a", 2, 3), void(9, "a", 2, 3)] {
        assert!(is_call(story.refusal(wrong.clone())), "{wrong:?}");
    }
    let story = story.then(void(2, "a", 2, 3));
    assert!(is_call(story.refusal(void(2, "a", 3, 3))), "a void call gave its approval back already");
    assert!(is_call(story.refusal(finish(&CallId::nth(2), CallOutcome::Ok))), "a void call has its outcome");
}

#[test]
fn an_effect_is_the_build_agents_alone() {
    for agent in [Agent::Design, Agent::Verifier] {
        for story in [Story::to_design(), Story::building()] {
            assert!(story.refusal(allow(&story.state, agent, act("a", 1))).is_some(), "{agent}");
            assert!(story.refusal(allow(&story.state, agent, Purpose::Undo { node: node("a") })).is_some(), "{agent}");
        }
    }
    let read = Purpose::Discover { read: "vlans".parse().unwrap(), item: None };
    let story = Story::building();
    assert!(story.refusal(allow(&story.state, Agent::Design, read)).is_some(), "discovery is over");
}

#[test]
fn a_node_acts_once_in_its_attempt_and_on_a_flow() {
    let story = Story::to_build();
    assert!(is_call(story.refusal(allow(&story.state, Agent::Build, act("a", 1)))), "there is no flow");
    let story = Story::building();
    assert!(is_call(story.refusal(allow(&story.state, Agent::Build, act("a", 2)))), "attempt 2 has not begun");
    let mut again = intent(&story.state, Agent::Build, act("a", 1));
    again.purpose = Purpose::Act { node: node("a"), attempt: 1, r#try: 2 };
    assert!(is_call(story.refusal(Command::Allow(Box::new(again)))), "only a read is tried twice");
    let story = story.settle("a", NodeOutcome::NotRun, false);
    assert!(is_call(story.refusal(allow(&story.state, Agent::Build, act("a", 1)))), "it is settled");
    let undo = Purpose::Undo { node: node("a") };
    assert!(is_call(story.refusal(allow(&story.state, Agent::Build, undo))), "it did nothing to take back");
}

#[test]
fn a_refused_proposal_does_not_hide_what_was_done() {
    let story = Story::building().call(Agent::Build, act("a", 1), CallOutcome::Ok);
    let again = refuse(&story.state, Agent::Build, act("a", 1), RefusedAs::Denied);
    let story = story.then(again);
    assert_eq!(story.state.call_for(&act("a", 1)).unwrap().0, &CallId::nth(1));
    assert!(is_call(story.refusal(allow(&story.state, Agent::Build, act("a", 1)))));
}

#[test]
fn what_a_node_came_to_is_rewritten_only_by_its_undo() {
    let done = Story::done();
    for outcome in [NodeOutcome::Done, NodeOutcome::Failed, NodeOutcome::NotRun, NodeOutcome::Unknown] {
        assert!(is_call(done.refusal(settle(&done.state, "a", outcome, false))), "{outcome:?}");
    }
    assert!(is_call(done.refusal(settle(&done.state, "b", NodeOutcome::Undone, false))), "b never changed anything");
    assert!(is_call(done.refusal(settle(&done.state, "a", NodeOutcome::Undone, false))), "nothing took it back");
    let undone = Story::undone();
    assert!(is_call(undone.refusal(settle(&undone.state, "a", NodeOutcome::UndoFailed, true))));
    let again = Purpose::Undo { node: node("a") };
    assert!(is_call(undone.refusal(allow(&undone.state, Agent::Build, again))));
    let Command::Settle(mut later) = settle(&undone.state, "b", NodeOutcome::Failed, false) else { panic!() };
    later.attempt = 2;
    assert!(is_call(undone.refusal(Command::Settle(later))), "b is in its first attempt");
}

#[test]
fn what_a_node_came_to_rests_on_a_call() {
    let story = Story::building();
    for (outcome, changed) in [(NodeOutcome::Done, false), (NodeOutcome::Unknown, true), (NodeOutcome::Failed, true)] {
        assert!(is_call(story.refusal(settle(&story.state, "a", outcome, changed))), "{outcome:?}");
    }
    let early = Story::to_build();
    assert!(is_call(early.refusal(settle(&early.state, "a", NodeOutcome::NotRun, false))), "there is no flow");
}

#[test]
fn the_build_is_not_left_while_an_effect_is_unsettled() {
    let leave = |reason: Option<&str>| Command::Enter { phase: Phase::AsBuilt, reason: reason.map(str::to_owned) };
    let unknown = Story::building().call(Agent::Build, act("a", 1), CallOutcome::Unknown);
    assert!(is_call(unknown.refusal(leave(Some("enough")))));
    let settled = unknown.settle("a", NodeOutcome::Unknown, true);
    assert_eq!(settled.refusal(leave(None)), None);
    let undo = Purpose::Undo { node: node("a") };
    let undoing = Story::done().call(Agent::Build, undo, CallOutcome::Ok);
    assert!(is_call(undoing.refusal(leave(None))));
    assert_eq!(Story::undone().refusal(leave(None)), None);
    let early = Story::to_build();
    assert!(is_out_of_order(early.refusal(leave(None))), "leaving out the build must be explained");
    assert_eq!(early.refusal(leave(Some("cancelled"))), None);
}

#[test]
fn only_what_left_nothing_behind_is_tried_again() {
    let story = Story::done()
        .settle("failed", NodeOutcome::Failed, false)
        .came_to("half", NodeOutcome::Failed, true)
        .came_to("lost", NodeOutcome::Unknown, true)
        .settle("later", NodeOutcome::NotRun, false);
    for wrong in [("a", 2), ("half", 2), ("lost", 2), ("nobody", 1), ("failed", 1), ("failed", 3), ("later", 2)] {
        assert!(is_call(story.refusal(retry(&[wrong]))), "{wrong:?}");
    }
    let all = || retry(&[("failed", 2), ("later", 1)]);
    assert!(matches!(story.refusal(all()), Some(Refusal::NotEnded(_))), "nor before it has ended");
    let asked = story.clone().ask(About::Failure { node: node("failed") });
    assert!(
        matches!(asked.refusal(all()), Some(Refusal::NotEnded(_))),
        "least of all while its failure is asked about"
    );
    assert_eq!(ended(story).refusal(all()), None);
}

#[test]
fn an_end_without_a_record_needs_a_reason_that_is_on_the_chain() {
    let early = Story::gate_1_open().enter(Phase::Feasibility);
    assert!(is_out_of_order(early.refusal(close(RecordOutcome::Cancelled))), "nobody cancelled it");
    assert_eq!(early.refusal(close(RecordOutcome::Refused)), None);
    assert_eq!(early.then(cancel()).refusal(close(RecordOutcome::Cancelled)), None);
    let built = Story::done();
    assert!(is_out_of_order(built.refusal(close(RecordOutcome::Refused))), "what was built must be recorded");
    assert!(is_out_of_order(built.then(cancel()).refusal(close(RecordOutcome::Cancelled))));
}

#[test]
fn phases_are_left_out_only_once_someone_has_looked() {
    let leave = || Command::Enter { phase: Phase::AsBuilt, reason: Some("not feasible".into()) };
    let unread = Story::gate_1_open();
    assert!(is_out_of_order(unread.refusal(leave())));
    let unread = unread.enter(Phase::Feasibility);
    assert!(is_out_of_order(unread.refusal(leave())));
    assert_eq!(unread.file(ArtifactKind::Discovery).refusal(leave()), None);
    let recorded = Story::done().enter(Phase::AsBuilt).file(ArtifactKind::Record);
    assert!(is_out_of_order(recorded.refusal(Command::Enter { phase: Phase::Build, reason: Some("again".into()) })));
}

#[test]
fn one_design_gives_one_flow() {
    let story = Story::building();
    assert!(is_out_of_order(story.refusal(file(&story.state, ArtifactKind::Flow))));
}

#[test]
fn a_rejected_version_is_not_asked_about_again() {
    let spec = Story::begin(digest("request")).file(ArtifactKind::Spec).ask(About::Gate1).answer(Answer::Reject);
    assert!(is_out_of_order(spec.refusal(ask(About::Gate1))));
    assert_eq!(spec.file(ArtifactKind::Spec).refusal(ask(About::Gate1)), None);
    let design = Story::to_design().file(ArtifactKind::Design).ask(About::Gate2).answer(Answer::Reject);
    assert!(is_out_of_order(design.refusal(ask(About::Gate2))));
    assert_eq!(design.file(ArtifactKind::Design).refusal(ask(About::Gate2)), None);
    let story = Story::building();
    let call = intent(&story.state, Agent::Build, act("a", 1)).digest;
    let wanting = refuse(&story.state, Agent::Build, act("a", 1), RefusedAs::NeedsApproval(Role::Approver));
    let about = About::Call { node: node("a"), call };
    let rejected = story.then(wanting).ask(about.clone()).answer(Answer::Reject);
    assert!(is_call(rejected.refusal(ask(about))));
}

#[test]
fn nobody_is_asked_about_what_has_not_happened() {
    let story = Story::done();
    let about = |id: &str| {
        let id = node(id);
        let call = digest("some call");
        [
            About::Call { node: id.clone(), call },
            About::Deviation { node: id.clone() },
            About::Failure { node: id.clone() },
            About::Unknown { node: id.clone(), undo: false },
            About::Unknown { node: id, undo: true },
        ]
    };
    for about in about("a").into_iter().chain(about("b")) {
        assert!(is_call(story.refusal(ask(about.clone()))), "{about}");
    }
}

#[test]
fn asking_is_not_what_a_failure_can_mean() {
    let story = Story::building().settle("a", NodeOutcome::Failed, false).ask(About::Failure { node: node("a") });
    let choose = |on| answer(&story.state, Answer::Choose(on), &[Role::Approver]);
    assert!(matches!(story.refusal(choose(OnFailure::Ask)), Some(Refusal::WrongAnswer(_))));
    assert_eq!(story.refusal(choose(OnFailure::Stop)), None);
}

#[test]
fn a_cancelled_engagement_may_still_ask_what_clears_it_up() {
    let failed = Story::building().came_to("a", NodeOutcome::Failed, true).then(cancel());
    let asked = failed.ask(About::Failure { node: node("a") });
    let story = asked.answer(Answer::Choose(OnFailure::UndoAll)).then(deviate("last"));
    let story = story.ask(About::Deviation { node: node("last") }).answer(Answer::Approve);
    assert!(matches!(story.refusal(cancel()), Some(Refusal::Cancelled(_))));
    let wanting = refuse(&story.state, Agent::Build, act("last", 1), RefusedAs::NeedsApproval(Role::Approver));
    let call = intent(&story.state, Agent::Build, act("last", 1)).digest;
    story.then(wanting).ask(About::Call { node: node("last"), call }).answer(Answer::Approve);
}

#[test]
fn what_a_person_saw_of_one_call_is_not_said_of_the_next() {
    let asked = |story: Story| story.ask(About::Unknown { node: node("a"), undo: false });
    let story = Story::building().call(Agent::Build, act("a", 1), CallOutcome::Unknown);
    let story = asked(story).answer(Answer::Applied(false)).settle("a", NodeOutcome::Failed, false);
    let story = again(story, &[("a", 2)]).call(Agent::Build, act("a", 2), CallOutcome::Unknown);
    assert_eq!(story.state.applied, BTreeMap::new());
    asked(story);
}

#[test]
fn a_person_is_asked_whether_an_undo_took_effect_only_while_nobody_knows() {
    let about = |undo: bool| About::Unknown { node: node("a"), undo };
    let undo = || Purpose::Undo { node: node("a") };
    let left = || Story::building().came_to("a", NodeOutcome::Failed, true);
    for outcome in [CallOutcome::Unknown, CallOutcome::Error, CallOutcome::Ok, CallOutcome::NotSent] {
        let made = left().call(Agent::Build, undo(), outcome);
        let known = matches!(outcome, CallOutcome::Ok | CallOutcome::NotSent);
        assert_eq!(is_call(made.refusal(ask(about(true)))), known, "{outcome:?}");
        assert!(is_call(made.refusal(ask(about(false)))), "{outcome:?}: its own call is settled");
    }
    assert!(is_call(left().refusal(ask(about(true)))), "it was not made");
    let acted = Story::building().call(Agent::Build, act("a", 1), CallOutcome::Unknown);
    assert!(is_call(acted.refusal(ask(about(true)))), "there is nothing to take back yet");
    let told = left().call(Agent::Build, undo(), CallOutcome::Unknown).ask(about(true)).answer(Answer::Applied(false));
    assert_eq!((told.state.taken_back.len(), told.state.applied.len()), (1, 0));
    assert!(is_call(told.refusal(ask(about(true)))), "it was said");
    let settled = told.settle("a", NodeOutcome::UndoFailed, true);
    assert!(is_call(settled.refusal(ask(about(true)))), "it is over");
    // What was said of one undo is not said of the next.
    let again = left().call(Agent::Build, undo(), CallOutcome::Unknown).ask(about(true)).answer(Answer::Applied(true));
    let tried = self::again(again.settle("a", NodeOutcome::Undone, false), &[("a", 2)]);
    assert_eq!(tried.state.taken_back, BTreeMap::new());
    let read = left().call(Agent::Build, undo(), CallOutcome::Unknown).ask(about(true)).answer(Answer::Applied(true));
    let read = read.call(Agent::Verifier, Purpose::UndoCheck { node: node("a") }, CallOutcome::Ok);
    let (call, shown_by) = (CallId::nth(read.state.calls.len() as u64 - 1), CallId::nth(read.state.calls.len() as u64));
    let void = Command::Void(CallVoid { call, node: node("a"), attempt: 1, shown_by });
    assert_eq!(read.then(void).state.taken_back, BTreeMap::new());
}

#[test]
fn a_rejected_deviation_is_asked_about_again_when_a_person_tries_again() {
    let asked = Story::building().then(deviate("a")).ask(About::Deviation { node: node("a") });
    let story = again(asked.answer(Answer::Reject).settle("a", NodeOutcome::Failed, false), &[("a", 2)]);
    let again = story.state.deviation_at(&node("a")).unwrap();
    assert_eq!((&again.accepted_by, &again.rejected), (&None, &None));
}

#[test]
fn a_question_ends_with_what_it_was_about() {
    let asked = || {
        let story = Story::building();
        let wanting = refuse(&story.state, Agent::Build, act("a", 1), RefusedAs::NeedsApproval(Role::Approver));
        let call = intent(&story.state, Agent::Build, act("a", 1)).digest;
        story.then(wanting).ask(About::Call { node: node("a"), call })
    };
    assert_eq!(asked().settle("a", NodeOutcome::NotRun, false).state.asked, None, "the window ended meanwhile");
    assert!(asked().settle("b", NodeOutcome::NotRun, false).state.asked.is_some());
    let reason = Some("leave it".to_owned());
    assert_eq!(asked().then(Command::Enter { phase: Phase::AsBuilt, reason }).state.asked, None);
}

#[test]
fn waiting_for_a_person_who_edits_is_waiting() {
    let mut story = Story::begin(digest("request")).file(ArtifactKind::Spec).ask(About::Gate1);
    story.clock += 5_000;
    let story = story.file(ArtifactKind::Spec);
    assert_eq!((story.state.waited, story.state.worked), (5_001, 1), "the time before the first run is not work");
}

#[test]
fn a_call_that_is_waited_for_is_work_and_so_is_what_runs_since_the_last_event() {
    let begun = |seconds| {
        let mut story = Story::building().allow(Agent::Build, act("a", 1));
        story.clock += seconds;
        let worked = story.state.worked;
        (story, worked)
    };
    // However long it took to answer, but not where its process ended meanwhile.
    let (story, before) = begun(3_000);
    assert!(story.finish(CallOutcome::Ok).state.worked - before >= 3_000);
    let (story, before) = begun(3_000);
    let call = CallId::nth(story.state.calls.len() as u64);
    let cut = CallFinished {
        call,
        outcome: CallOutcome::Unknown,
        result: None,
        message: Some(CUT_OFF.into()),
        sealed: false,
    };
    assert!(story.then(Command::Finish(cut)).state.worked - before < 10);
    let (story, before) = begun(0);
    let after = |seconds| story.state.last_at.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    assert_eq!((story.state.worked_by(after(500)), story.state.worked_by(after(5_000))), (before + 500, before));
    let limits = |minutes| Limits { minutes, ..Limits::default() };
    assert_eq!(story.state.spent_by(&limits(60), after(500)), None);
    assert_eq!(story.state.spent_by(&limits(2), after(500)).unwrap().0, "limit.minutes");
}

#[test]
fn an_approval_keeps_the_role_that_it_was_given_in() {
    let story = Story::to_design().file(ArtifactKind::Design).ask(About::Gate2);
    let call = intent(&story.state, Agent::Build, act("a", 1)).digest;
    let Command::Answer { about, request, answer: yes, reason, .. } = answer(&story.state, Answer::Approve, &[]) else {
        panic!()
    };
    let roles = [Role::Approver].into();
    let story = story.then(Command::Answer {
        about,
        request,
        answer: yes,
        roles,
        reason,
        calls: vec![call],
        expires: None,
        signed: None,
    });
    let story = story.enter(Phase::Build).file(ArtifactKind::Flow);
    assert_eq!(story.state.approved_in(&call, story.state.last_at), Some(Role::Approver));
    let wanting = refuse(&story.state, Agent::Build, act("a", 1), RefusedAs::NeedsApproval(Role::Owner));
    let story = story.then(wanting).ask(About::Call { node: node("a"), call });
    let owner = answer(&story.state, Answer::Approve, &[Role::Owner]);
    let story = story.then(owner);
    assert_eq!(story.state.approved_in(&call, story.state.last_at), Some(Role::Owner));
    assert_eq!(story.state.approved_in(&digest("another"), story.state.last_at), None);
}

/// A step whose call was refused until a person agrees, and that person's answer.
fn asked_about(given: Answer) -> (Story, Digest) {
    let story = Story::building();
    let wanting = refuse(&story.state, Agent::Build, act("a", 1), RefusedAs::NeedsApproval(Role::Approver));
    let call = intent(&story.state, Agent::Build, act("a", 1)).digest;
    (story.then(wanting).ask(About::Call { node: node("a"), call }).answer(given), call)
}

#[test]
fn a_yes_is_used_up_by_what_may_have_been_sent_and_by_nothing_else() {
    for (outcome, left) in [(CallOutcome::NotSent, true), (CallOutcome::Error, false), (CallOutcome::Unknown, false)] {
        let (story, call) = asked_about(Answer::Approve);
        let mut allowed = intent(&story.state, Agent::Build, act("a", 1));
        allowed.approved = true;
        let story = story.then(Command::Allow(Box::new(allowed)));
        assert_eq!(story.state.approved_in(&call, story.state.last_at), None, "it is being used");
        let story = story.finish(outcome);
        assert_eq!(story.state.approved_in(&call, story.state.last_at).is_some(), left, "{outcome:?}");
    }
}

#[test]
fn a_call_that_a_person_refused_may_be_asked_about_again_once_its_step_is_tried_again() {
    let (story, call) = asked_about(Answer::Reject);
    let about = About::Call { node: node("a"), call };
    let story = story.settle("a", NodeOutcome::Failed, false);
    assert!(story.refusal(ask(about.clone())).is_some(), "the no stands");
    let story = again(story, &[("a", 2)]);
    assert!(!story.state.agreed_to(&call, story.state.last_at), "nothing is approved by that");
    let wanting = refuse(&story.state, Agent::Build, act("a", 2), RefusedAs::NeedsApproval(Role::Approver));
    let story = story.then(wanting).ask(about).answer(Answer::Reject).settle("a", NodeOutcome::Failed, false);
    assert!(!story.state.agreed_to(&call, story.state.last_at), "what was said of it last is a no");
    let story = again(story, &[("a", 3)]);
    assert!(!story.state.agreed_to(&call, story.state.last_at), "and stays one");
}

#[test]
fn a_proof_is_written_by_the_program_alone_and_speaks_of_the_current_spec_alone() {
    let story = Story::begin(digest("request")).file(ArtifactKind::Spec);
    let proof = proved(&story.state);
    let person = story.state.requester.clone();
    for actor in [person, Actor::Agent(Agent::Requirements), Actor::Agent(Agent::Verifier)] {
        let refused = decide_for(&story.state, &actor, Command::Prove(proof.clone()));
        assert!(matches!(refused, Err(Refusal::NotTheProgram(_))), "{actor}: {refused:?}");
    }
    assert!(decide_for(&story.state, &Actor::Program, Command::Prove(proof.clone())).is_ok());
    let story = story.then(Command::Prove(proof.clone()));
    assert_eq!(story.state.proved_of_spec(), Some(&proof));
    let story = story.ask(About::Gate1).answer(Answer::Reject).file(ArtifactKind::Spec);
    assert_eq!(story.state.proved_of_spec(), None, "version 2 is another spec");
}
