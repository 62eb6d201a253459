//! What a step comes to when tools lie, fail, vanish or find something else than was approved.

use crate::{artifact::OnFailure, facts::Role};

use super::{
    super::{About, Answer, Next, Purpose},
    CREATE, LATER, NOTE, TAKE,
    world::{Fault, Rest, Run},
};

/// A failure of `create/sw01`, what the two nodes come to with `on_failure: continue`, why, and what took effect.
type Case = (&'static str, &'static [Fault], [&'static str; 2], &'static str, &'static [&'static str]);

#[test]
fn what_a_step_came_to_is_read_and_never_believed() {
    use Fault::*;
    const AT: &str = "step create/sw01";
    const BEFORE: &str = "read the state again before create/sw01";
    const AFTER: &str = "read back create/sw01";
    const BOTH: &[&str] = &["create 120 on sw01", "create 120 on sw02"];
    const OTHER: &[&str] = &["create 120 on sw02"];
    let done = ["create/sw01 Done", "create/sw02 Done"];
    let failed = ["create/sw01 Failed", "create/sw02 Done"];
    let unknown = ["create/sw01 Unknown", "create/sw02 Done"];
    let cases: [Case; 20] = [
        (AT, &[Lie], failed, "the tool reported success, and nothing changed", OTHER),
        (AT, &[Half], failed, "is there instead of", BOTH),
        (AT, &[Error], failed, "the tool reported an error (it said), and nothing changed", OTHER),
        (AT, &[ErrorButDone], done, "the tool reported an error (it said), but the change is there", BOTH),
        (AT, &[LostButDone], done, "its outcome was unknown (it said), but the change is there", BOTH),
        (AT, &[Lost], done, "", BOTH),
        (AT, &[NotSent], failed, "it was not sent", OTHER),
        (AT, &[Refused], failed, "the broker refused: because", OTHER),
        (BEFORE, &[Lost, Lost], done, "", BOTH),
        (BEFORE, &[Lost, Lost, Lost], failed, "its state could not be read", OTHER),
        (BEFORE, &[Error], failed, "its state could not be read", OTHER),
        (AFTER, &[Lost, NotSent], done, "", BOTH),
        (AFTER, &[Lost, Lost, Lost], unknown, "it could not be read back", BOTH),
        (AFTER, &[Lie], unknown, "", BOTH),
        // An error of the reader says nothing of what was done.
        (AFTER, &[Error], done, "", BOTH),
        (AFTER, &[Error, Lost], done, "", BOTH),
        (AFTER, &[Error, Error, Error], unknown, "it could not be read back", BOTH),
        // A process that is killed says nothing of the target, unless it is the read that kills it.
        (AFTER, &[CutOff, CutOff, Lost, CutOff, Lost, CutOff], done, "", BOTH),
        (AFTER, &[CutOff; 14], done, "", BOTH),
        (AFTER, &[CutOff; 15], unknown, "it could not be read back", BOTH),
    ];
    let step = format!("{CREATE}, on_failure: continue");
    for (at, faults, nodes, reason, effects) in cases {
        let run = Run::new(&[&step]).fault(at, faults).finished();
        assert_eq!(run.nodes(), nodes, "{at} {faults:?}: {:#?}", run.told());
        assert!(run.reason("create/sw01").contains(reason), "{at} {faults:?}: {}", run.reason("create/sw01"));
        let done: Vec<&str> = run.effects().into_keys().collect();
        assert_eq!(done, effects, "{at} {faults:?}");
        assert!(run.effects().values().all(|times| *times == 1), "{at} {faults:?}");
    }
}

#[test]
fn a_call_that_is_lost_again_and_again_is_given_up() {
    let mut run = Run::new(&[&format!("{CREATE}, on_failure: continue")]);
    for at in ["step create/sw01", "step create/sw01, attempt 2", "step create/sw01, attempt 3"] {
        run = run.fault(at, &[Fault::Lost]);
    }
    let run = run.finished();
    assert_eq!(run.nodes(), ["create/sw01 Failed", "create/sw02 Done"]);
    assert_eq!(run.reason("create/sw01"), "its outcome was unknown (it said), and nothing changed");
}

#[test]
fn each_on_failure_does_what_it_says() {
    let both = ["create 120 on sw01", "create 120 on sw02"];
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("stop", &["create/sw01 Failed", "create/sw02 NotRun"], &both[..1]),
        ("continue", &["create/sw01 Failed", "create/sw02 Done"], &both),
        ("undo_target", &["create/sw01 Undone", "create/sw02 Done"], &[both[0], both[1], "delete 120 from sw01"]),
        ("undo_all", &["create/sw01 Undone", "create/sw02 NotRun"], &[both[0], "delete 120 from sw01"]),
        ("ask", &["create/sw01 Failed", "create/sw02 NotRun"], &both[..1]),
    ];
    for (on, nodes, effects) in cases {
        let run = Run::new(&[&format!("{CREATE}, on_failure: {on}")]);
        let run = run.fault("step create/sw01", &[Fault::Half]).finished();
        assert_eq!(run.nodes(), nodes, "{on}");
        assert_eq!(run.effects().into_keys().collect::<Vec<_>>(), effects, "{on}");
    }
    for (choice, nodes) in [
        (OnFailure::UndoTarget, ["create/sw01 Undone", "create/sw02 Done"]),
        (OnFailure::UndoAll, ["create/sw01 Undone", "create/sw02 NotRun"]),
        (OnFailure::Continue, ["create/sw01 Failed", "create/sw02 Done"]),
    ] {
        let run = Run::new(&[&format!("{CREATE}, on_failure: ask")]).fault("step create/sw01", &[Fault::Half]);
        let run = run.answering("the failure of step create/sw01", Answer::Choose(choice)).finished();
        assert_eq!(run.nodes(), nodes, "{choice:?}");
    }
}

#[test]
fn undo_that_does_not_show_is_not_an_undo() {
    for fault in [Fault::Lie, Fault::Error, Fault::Refused] {
        let run = Run::new(&[&format!("{CREATE}, on_failure: undo_all")]).fault("step create/sw01", &[Fault::Half]);
        let run = run.fault("undo create/sw01", std::slice::from_ref(&fault)).finished();
        assert_eq!(run.nodes(), ["create/sw01 UndoFailed", "create/sw02 NotRun"], "{fault:?}");
    }
    for fault in [Fault::ErrorButDone, Fault::LostButDone] {
        let run = Run::new(&[&format!("{CREATE}, on_failure: undo_all")]).fault("step create/sw01", &[Fault::Half]);
        let run = run.fault("undo create/sw01", std::slice::from_ref(&fault)).finished();
        assert_eq!(run.nodes(), ["create/sw01 Undone", "create/sw02 NotRun"], "{fault:?}");
    }
}

#[test]
fn an_undo_that_was_lost_on_its_way_is_made_again_but_not_for_ever() {
    let all = format!("{CREATE}, on_failure: undo_all");
    for (times, outcome) in [(1, "Undone"), (2, "Undone"), (3, "UndoFailed")] {
        for fault in [Fault::Lost, Fault::NotSent] {
            let run = Run::new(&[&all]).fault("step create/sw01", &[Fault::Half]);
            let run = run.fault("undo create/sw01", &vec![fault; times]).finished();
            let nodes = [format!("create/sw01 {outcome}"), "create/sw02 NotRun".into()];
            assert_eq!(run.nodes(), nodes, "{fault:?} {times} times");
            assert!(!run.reason("create/sw01").contains("after the undo"), "{}", run.reason("create/sw01"));
        }
    }
    // What is refused after that is not proposed for ever.
    let run = Run::new(&[&all]).fault("step create/sw01", &[Fault::Half]);
    let run = run.fault("undo create/sw01", &[Fault::NotSent, Fault::Refused]).finished();
    assert_eq!(run.nodes(), ["create/sw01 UndoFailed", "create/sw02 NotRun"], "{:#?}", run.told());
    // What the step left could not be read: then it is what it was to leave.
    let run = Run::new(&[&all]).fault("read back create/sw01", &[Fault::Lost, Fault::Lost, Fault::Lost]);
    let run = run.fault("undo create/sw01", &[Fault::Lost]).finished();
    assert_eq!(run.nodes(), ["create/sw01 Undone", "create/sw02 NotRun"], "{:#?}", run.told());
}

/// About to look at what `create/sw01` left wrong, to take it back.
fn about_to_look() -> Run {
    let looks = |next: &Next| matches!(next, Next::Call(call) if matches!(call.purpose, Purpose::BeforeUndo { .. }));
    Run::new(&[&format!("{CREATE}, on_failure: undo_all")]).fault("step create/sw01", &[Fault::Half]).run_to(looks)
}

const THEIRS: &str = "theirs";

#[test]
fn what_was_taken_back_by_others_is_not_taken_back_twice() {
    let mut run = about_to_look();
    run.world.vlans.clear();
    let run = run.finished();
    assert_eq!(run.nodes(), ["create/sw01 Undone", "create/sw02 NotRun"]);
    let why = run.reason("create/sw01");
    let was =
        "it was as before already, so nothing was called to take it back; before that: the tool reported success, but ";
    assert!(why.starts_with(was), "{why}");
    assert_eq!(run.world.done, ["create 120 on sw01"]);
}

#[test]
fn what_others_changed_since_is_taken_back_only_if_a_person_says_so() {
    const ASKED: &str = "a deviation at step create/sw01";
    let at = || ("sw01".to_owned(), 120);
    let changed = |answer: Answer| {
        let mut run = about_to_look().answering(ASKED, answer);
        run.world.vlans.insert(at(), THEIRS.into());
        run
    };
    let run = changed(Answer::Reject).finished();
    assert_eq!(run.nodes(), ["create/sw01 UndoFailed", "create/sw02 NotRun"]);
    assert!(run.reason("create/sw01").ends_with("a person said to leave it: no"), "{}", run.reason("create/sw01"));
    assert_eq!(
        (run.world.done.as_slice(), &run.world.vlans[&at()]),
        (["create 120 on sw01".into()].as_slice(), &THEIRS.into())
    );

    let run = changed(Answer::Approve).finished();
    assert_eq!(run.nodes(), ["create/sw01 Undone", "create/sw02 NotRun"]);
    assert_eq!(run.world.done, ["create 120 on sw01", "delete 120 from sw01"]);
    // That yes is about taking it back: it lets nothing run from a state that nobody approved.
    let node = super::super::testing::node("create/sw01");
    assert!(run.story.state.deviation_at(&node).is_some_and(|known| known.accepted_by.is_some()));
    assert!(run.story.state.deviation_before(&node).is_none());

    // A no stands, whatever is there by then; and nothing is done before an answer.
    let asked = |answer: Answer| changed(answer).run_to(|next| matches!(next, Next::Wait(About::Deviation { .. })));
    for then in ["others", "gu"] {
        let mut run = asked(Answer::Reject);
        run.story.clock += 600;
        run.world.vlans.insert(at(), then.into());
        assert!(matches!(run.next(), Next::Wait(About::Deviation { .. })), "{:?}", run.next());
        run.reply(&About::Deviation { node: node.clone() });
        run.story.clock += 600;
        let run = run.finished();
        assert_eq!((run.nodes()[0].as_str(), run.world.done.len()), ("create/sw01 UndoFailed", 1), "{then}");
    }

    // What changes again while a person thinks is asked about again.
    let mut run = changed(Answer::Approve).run_to(|next| matches!(next, Next::Wait(About::Deviation { .. })));
    run.reply(&About::Deviation { node });
    run.story.clock += 600;
    run.world.vlans.insert(at(), "others".into());
    let run = run.finished();
    assert_eq!(run.story.state.deviations.len(), 2);
    assert_eq!(run.nodes(), ["create/sw01 Undone", "create/sw02 NotRun"]);
}

#[test]
fn a_person_is_asked_where_nothing_tells_what_a_step_left() {
    let lost = [Fault::Lost, Fault::Lost, Fault::Lost];
    let make = format!("{}, on_failure: undo_all", CREATE.replace("vlan.create", "vlan.make"));
    let run = |answer: Answer| {
        let run = Run::new(&[&make]).answering("a deviation at step create/sw01", answer);
        run.fault("read back create/sw01", &lost).finished()
    };
    let left = run(Answer::Reject);
    assert_eq!((left.nodes()[0].as_str(), left.world.done.len()), ("create/sw01 UndoFailed", 1));
    let known = &left.story.state.deviations[0].found;
    assert!(known.left_unknown() && known.contract.is_null(), "{known:?}");
    let back = run(Answer::Approve);
    assert_eq!(back.nodes(), ["create/sw01 Undone", "create/sw02 NotRun"]);
    assert_eq!(back.world.done, ["create 120 on sw01", "delete 120 from sw01"]);
    // What was gone by itself needs nobody.
    let looks = |next: &Next| matches!(next, Next::Call(call) if matches!(call.purpose, Purpose::BeforeUndo { .. }));
    let mut gone = Run::new(&[&make]).fault("read back create/sw01", &lost).run_to(looks);
    gone.world.vlans.clear();
    let gone = gone.finished();
    assert_eq!((gone.nodes()[0].as_str(), gone.story.state.deviations.len()), ("create/sw01 Undone", 0));
}

#[test]
fn nothing_is_taken_back_unseen() {
    const LOOK: &str = "look before the undo of create/sw01";
    let run = about_to_look().fault(LOOK, &[Fault::Lost, Fault::NotSent]).finished();
    assert_eq!(run.nodes(), ["create/sw01 Undone", "create/sw02 NotRun"]);
    for faults in [&[Fault::Error; 3][..], &[Fault::Refused], &[Fault::Lost, Fault::Lost, Fault::Lost]] {
        let run = about_to_look().fault(LOOK, faults).finished();
        assert_eq!(run.nodes(), ["create/sw01 UndoFailed", "create/sw02 NotRun"], "{faults:?}");
        let reason = run.reason("create/sw01");
        assert!(reason.starts_with("what is there now could not be read, so nothing was taken back"), "{reason}");
        assert_eq!(run.world.done, ["create 120 on sw01"], "{faults:?}");
    }
    // What was read long ago is read again, however often.
    let mut run = about_to_look();
    for _ in 0..5 {
        assert!(matches!(run.next(), Next::Call(call) if matches!(call.purpose, Purpose::BeforeUndo { .. })));
        run.step();
        run.story.clock += 600;
    }
    // What could not be sent is looked at again before it is sent again.
    let mut run = about_to_look().fault("undo create/sw01", &[Fault::NotSent]);
    run = run.run_to(|next| matches!(next, Next::Call(call) if matches!(call.purpose, Purpose::Undo { .. })));
    assert!(run.step().is_none());
    run.world.vlans.clear();
    let run = run.finished();
    assert_eq!(run.nodes(), ["create/sw01 Undone", "create/sw02 NotRun"]);
    assert_eq!(run.world.done, ["create 120 on sw01"]);
}

/// At gate 2 there was nothing; when the build begins someone else's VLAN is there.
fn surprised(answer: Answer) -> Run {
    let run = Run::new(&[&format!("{CREATE}, on_failure: continue")]);
    let mut run = run.answering("a deviation at step create/sw01", answer).run_to(|next| *next == next_flow());
    run.world.vlans.insert(("sw01".into(), 120), "theirs".into());
    run
}

fn next_flow() -> Next {
    Next::Draft(crate::artifact::ArtifactKind::Flow)
}

#[test]
fn another_state_than_the_approved_one_waits_for_a_person() {
    let rejected = surprised(Answer::Reject).finished();
    assert_eq!(rejected.nodes(), ["create/sw01 Failed", "create/sw02 Done"]);
    assert_eq!(rejected.reason("create/sw01"), "a person rejected the deviation: no");
    assert_eq!(rejected.world.done, ["create 120 on sw02"]);

    let accepted = surprised(Answer::Approve).finished();
    assert_eq!(accepted.story.state.deviations.len(), 1);
    assert!(accepted.told().iter().any(|told| told.contains(": step create/sw01 ")), "{:#?}", accepted.told());
}

#[test]
fn what_changes_while_a_person_thinks_is_seen() {
    // A deviation is accepted, but by then there is yet another state.
    let asks = |next: &Next| matches!(next, Next::Wait(About::Deviation { .. }));
    let mut run = surprised(Answer::Approve).run_to(asks);
    run.reply(&About::Deviation { node: super::super::testing::node("create/sw01") });
    run.story.clock += 600;
    run.world.vlans.insert(("sw01".into(), 120), "others".into());
    assert_eq!(run.finished().story.state.deviations.len(), 2);

    // A call waits for its approval; meanwhile the state that gate 2 was approved on is gone, or the work is done.
    let asked = || {
        let mut run = Run::new(&[CREATE]);
        run.needs.insert("step create/sw01".into(), Role::Approver);
        run.run_to(|next| matches!(next, Next::Wait(About::Call { .. })))
    };
    let mut run = asked();
    run.world.vlans.insert(("sw01".into(), 120), "theirs".into());
    let run = run.run_to(|next| matches!(next, Next::Wait(About::Deviation { .. })));
    assert!(run.world.done.is_empty());
    let mut run = asked();
    run.world.vlans.insert(("sw01".into(), 120), "guest".into());
    let run = run.finished();
    assert_eq!(run.nodes(), ["create/sw01 Unchanged", "create/sw02 Done"]);
}

#[test]
fn what_is_so_already_is_left_alone() {
    let mut run = Run::new(&[CREATE]);
    run.world.vlans.insert(("sw01".into(), 120), "guest".into());
    let run = run.finished();
    assert_eq!(run.nodes(), ["create/sw01 Unchanged", "create/sw02 Done"]);
    assert_eq!(run.world.done, ["create 120 on sw02"]);
}

#[test]
fn a_condition_is_decided_when_what_it_reads_is_known() {
    let early = Run::new(&[&format!("{CREATE}, when: item != \"sw01\"")]).finished();
    assert_eq!(early.nodes(), ["create/sw01 Skipped", "create/sw02 Done"]);
    for (limit, says) in [(100, "later Done"), (150, "later Skipped")] {
        let late = Run::new(&[TAKE, &format!("{LATER}, when: steps.take.result.id > {limit}")]).finished();
        assert_eq!(late.nodes(), [says, "take Done"]);
    }
}

#[test]
fn a_value_that_comes_late_must_satisfy_its_constraint() {
    let narrow = LATER.replace("max: 200", "max: 140");
    let run = Run::new(&[TAKE, &narrow]).finished();
    assert_eq!(run.nodes(), ["later Failed", "take Done"]);
    assert_eq!(run.world.done, ["take 150"]);
    let failed = Run::new(&[TAKE, LATER]).fault("step take", &[Fault::Error]).finished();
    assert_eq!(failed.nodes(), ["later NotRun", "take Failed"]);
}

#[test]
fn a_person_who_looked_decides_what_nothing_can_tell() {
    let run = |fault: Fault| Run::new(&[NOTE]).fault("step note", &[fault]).finished();
    assert_eq!(run(Fault::LostButDone).nodes(), ["note Done"]);
    let not = run(Fault::Lost);
    assert_eq!(
        (not.nodes(), not.reason("note")),
        (vec!["note Failed".into()], "a person looked: it did not take effect")
    );
}

#[test]
fn an_error_where_nothing_can_be_read_back_is_asked_about() {
    let asks = |next: &Next| matches!(next, Next::Wait(About::Unknown { .. }));
    for (fault, says, reason) in [
        (Fault::Error, "note Failed", "a person looked: it did not take effect"),
        (Fault::ErrorButDone, "note Done", "a person looked: it took effect"),
    ] {
        let run = Run::new(&[NOTE]).fault("step note", std::slice::from_ref(&fault)).run_to(asks).finished();
        assert_eq!((run.nodes(), run.reason("note")), (vec![says.into()], reason), "{fault:?}");
    }
}

#[test]
fn an_effect_that_is_neither_known_nor_read_is_asked_about_and_never_taken_for_anything() {
    let asks = |next: &Next| matches!(next, Next::Wait(About::Unknown { .. }));
    let step = format!("{CREATE}, on_failure: undo_all");
    let unknown = [Fault::Error, Fault::ErrorButDone, Fault::Lost, Fault::LostButDone];
    // Three times before the question, and once more after the answer.
    let lost = [Fault::Lost, Fault::Error, Fault::Lost, Fault::Lost];
    let unread: [&[Fault]; 3] = [&[Fault::Error; 4], &lost, &[Fault::Lie; 2]];
    for (fault, unread) in unknown.into_iter().flat_map(|fault| unread.map(|unread| (fault, unread))) {
        let run = || {
            let run = Run::new(&[&step]).fault("step create/sw01", std::slice::from_ref(&fault));
            run.fault("read back create/sw01", unread).run_to(asks)
        };
        let about = "the unknown outcome of step create/sw01";
        let yes = run().answering(about, Answer::Applied(true)).finished();
        assert_eq!(yes.nodes(), ["create/sw01 Done", "create/sw02 Done"], "{fault:?} {unread:?}");
        assert_eq!(yes.reason("create/sw01"), "a person looked: it took effect");
        let no = run().answering(about, Answer::Applied(false)).finished();
        assert_eq!(no.nodes(), ["create/sw01 Failed", "create/sw02 NotRun"], "{fault:?} {unread:?}");
        assert_eq!(no.reason("create/sw01"), "a person looked: it did not take effect");
    }
}

#[test]
fn what_can_be_read_after_a_person_was_asked_beats_what_they_say() {
    let asks = |next: &Next| matches!(next, Next::Wait(About::Unknown { .. }));
    let about = "the unknown outcome of step create/sw01";
    let cases = [
        (Fault::Lost, true, "create/sw01 Done", ""),
        (Fault::Lost, false, "create/sw01 Done", ""),
        (Fault::LostButDone, false, "create/sw01 Done", "but the change is there"),
        (Fault::Error, true, "create/sw01 Failed", "and nothing changed"),
        (Fault::ErrorButDone, false, "create/sw01 Done", "but the change is there"),
    ];
    for (fault, says, comes, reason) in cases {
        let run = Run::new(&[&format!("{CREATE}, on_failure: continue")]);
        let run = run.fault("step create/sw01", &[fault]).fault("read back create/sw01", &[Fault::Error; 3]);
        let run = run.run_to(asks).answering(about, Answer::Applied(says)).finished();
        assert_eq!(run.nodes()[0], comes, "{fault:?} {says}");
        assert!(run.reason("create/sw01").contains(reason), "{fault:?} {says}: {}", run.reason("create/sw01"));
        assert!(run.effects().values().all(|times| *times == 1), "{fault:?} {says}");
    }
}

#[test]
fn a_read_that_is_never_answered_is_made_again_a_few_times() {
    use Fault::*;
    let look = "id: look, tool: job.status, with: {switch: sw01}";
    let cases: [(&[Fault], &str, usize); 5] = [
        (&[Lost], "look Done", 2),
        (&[NotSent, Lost], "look Done", 3),
        (&[Lost, Lost, Lost], "look Failed", 3),
        (&[Error], "look Failed", 1),
        (&[Refused], "look Failed", 1),
    ];
    for (faults, says, calls) in cases {
        let run = Run::new(&[look]).fault("step look", faults).finished();
        let made = run.story.state.calls.values().filter(|call| call.tool == "job.status").count();
        assert_eq!((run.nodes(), made), (vec![says.into()], calls), "{faults:?}: {:#?}", run.told());
    }
}

#[test]
fn a_read_is_tried_until_it_holds_with_a_pause_between() {
    let wait = "id: wait, tool: job.status, with: {switch: sw01}, \
                until: {expect: result.ready, attempts: 3, every_seconds: 60}";
    for (busy, says, pauses) in [(0, "wait Done", 0), (2, "wait Done", 2), (3, "wait Failed", 2)] {
        let mut run = Run::new(&[wait]);
        run.world.busy = busy;
        let began = run.story.clock;
        let run = run.finished();
        assert_eq!(run.nodes(), [says], "{busy}");
        let took = run.story.clock - began;
        assert!((pauses * 60..pauses * 60 + 60).contains(&took), "{busy}: {took} seconds");
    }
}

#[test]
fn an_approval_counts_in_the_role_that_it_was_given_in() {
    let mut run = Run::new(&[CREATE]);
    run.needs.insert("step create/sw01".into(), Role::Owner);
    run.as_role = Role::Approver;
    let mut run = run.run_to(|next| matches!(next, Next::Wait(About::Call { .. })));
    run.reply(&asked(&run));
    // An approver's yes is not an owner's: the question comes again, and nothing spins.
    assert!(matches!(run.rest(), Rest::Asked(About::Call { .. })));
    run.as_role = Role::Owner;
    let run = run.finished();
    assert_eq!(run.nodes(), ["create/sw01 Done", "create/sw02 Done"]);
    let purpose = Purpose::Act { node: super::super::testing::node("create/sw01"), attempt: 1, r#try: 1 };
    assert!(run.story.state.call_for(&purpose).unwrap().1.used_approval);
}

fn asked(run: &Run) -> About {
    run.story.state.asked.as_ref().unwrap().about.clone()
}
