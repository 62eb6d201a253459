//! Undos of which nobody knows whether they took effect: read back, sent again, or said by a person.

use super::{
    super::{About, Answer, Command, Gate, Next, Purpose, Retried, Void},
    CREATE, NOTE, TAKE,
    world::{Fault, Run},
};
use crate::{facts::Role, policy::Difference};

const BAD: &str = "id: bad, tool: vlan.create, needs: [note], with: {switch: sw01, id: 120, name: guest}, \
                   on_failure: undo_all";

fn asks(next: &Next) -> bool {
    matches!(next, Next::Wait(About::Unknown { undo: true, .. }))
}

/// A note, and a step after it that goes wrong, so that both are taken back.
fn noted(undo: &[Fault]) -> Run {
    Run::new(&[NOTE, BAD]).fault("step bad", &[Fault::Half]).fault("undo note", undo)
}

#[test]
fn where_nothing_can_tell_whether_it_was_taken_back_a_person_is_asked() {
    let cases = [
        (Fault::Lost, "note UndoFailed", "a person looked: the undo did not take effect", 0),
        (Fault::CutOff, "note UndoFailed", "a person looked: the undo did not take effect", 0),
        (Fault::Error, "note UndoFailed", "a person looked: the undo did not take effect", 0),
        (Fault::LostButDone, "note Undone", "a person looked: it was taken back", 1),
        (Fault::ErrorButDone, "note Undone", "a person looked: it was taken back", 1),
    ];
    for (fault, comes, reason, removed) in cases {
        let run = noted(&[fault]).run_to(asks).finished();
        assert_eq!(run.nodes(), ["bad Undone", comes], "{fault:?}");
        assert_eq!(run.reason("note"), reason, "{fault:?}");
        assert_eq!(run.effects().get("remove hello").copied().unwrap_or_default(), removed, "{fault:?}");
    }
    let known = noted(&[]).finished();
    assert!(known.story.state.taken_back.is_empty(), "what its tool says of itself is nobody's to say");
    assert_eq!(known.nodes(), ["bad Undone", "note UndoFailed"]);
}

#[test]
fn an_undo_that_is_cut_off_anywhere_is_never_made_twice() {
    let whole = noted(&[]).finished();
    let mut asked = 0;
    for turn in 0..whole.turns.len() {
        let mut again = whole.crashed_after(turn);
        for attempt in ["step bad", "step bad, attempt 2"] {
            again.faults.insert(attempt.into(), [Fault::Half].into());
        }
        let again = again.finished();
        assert!(again.effects().values().all(|times| *times == 1), "{:#?}", again.told());
        for (node, taken) in &again.story.state.taken_back {
            asked += 1;
            let says = if *taken { "Undone" } else { "UndoFailed" };
            assert!(again.nodes().contains(&format!("{node} {says}")), "{:#?}", again.told());
            assert_eq!(again.world.notes.is_empty(), *taken);
        }
    }
    assert_eq!(asked, 2, "between the intent and the effect, and between the effect and the outcome");
}

#[test]
fn an_undo_that_nobody_can_read_back_is_asked_about_and_what_can_be_read_by_then_counts() {
    let step = format!("{CREATE}, on_failure: undo_all");
    let about = "the unknown outcome of the undo of step create/sw01";
    let unread = "read back the undo of create/sw01";
    let run = |fault: Fault, unread_times: usize| {
        let run = Run::new(&[&step]).fault("step create/sw01", &[Fault::Half]);
        let run = run.fault("undo create/sw01", &[fault]).fault(unread, &vec![Fault::Error; unread_times]);
        run.run_to(asks)
    };
    for fault in [Fault::Lost, Fault::LostButDone, Fault::Error, Fault::ErrorButDone] {
        for (says, comes) in [(true, "create/sw01 Undone"), (false, "create/sw01 UndoFailed")] {
            let told = run(fault, 4).answering(about, Answer::Applied(says)).finished();
            assert_eq!(told.nodes(), [comes, "create/sw02 NotRun"], "{fault:?}");
            assert!(told.reason("create/sw01").starts_with("a person looked: "), "{}", told.reason("create/sw01"));
        }
    }
    // It can be read once the person has answered, whatever that was.
    for (fault, says, comes, reason) in [
        (Fault::LostButDone, false, "create/sw01 Undone", ""),
        (Fault::ErrorButDone, false, "create/sw01 Undone", ""),
        (Fault::Lost, true, "create/sw01 Undone", ""),
        (Fault::Error, true, "create/sw01 UndoFailed", "and the undo failed"),
    ] {
        let read = run(fault, 3).answering(about, Answer::Applied(says)).finished();
        assert_eq!(read.nodes()[0], comes, "{fault:?}");
        assert!(read.reason("create/sw01").contains(reason), "{}", read.reason("create/sw01"));
        assert!(read.effects().values().all(|times| *times == 1), "{:#?}", read.told());
    }
}

#[test]
fn an_undo_whose_server_remembers_is_sent_again_and_nobody_is_asked() {
    let pin = NOTE.replace("note.add", "note.pin");
    for fault in [Fault::Lost, Fault::LostButDone] {
        let run = Run::new(&[&pin, BAD]).fault("step bad", &[Fault::Half]).fault("undo note", &[fault]).finished();
        assert_eq!(run.effects().get("unpin hello"), Some(&1), "{:#?}", run.told());
        assert!(run.story.state.taken_back.is_empty());
        let says = "the undo reported success, and nothing could read whether it worked";
        assert_eq!((run.nodes()[1].as_str(), run.reason("note")), ("note UndoFailed", says));
    }
}

#[test]
fn where_it_can_be_looked_at_it_is_not_sent_again_unseen() {
    let keep = format!("{}, on_failure: undo_all", CREATE.replace("vlan.create", "vlan.keep"));
    let run = || Run::new(&[&keep]).fault("step create/sw01", &[Fault::Half]).fault("undo create/sw01", &[Fault::Lost]);
    let checks = |next: &Next| matches!(next, Next::Call(call) if matches!(call.purpose, Purpose::UndoCheck { .. }));
    let mut theirs = run().run_to(checks);
    theirs.world.vlans.insert(("sw01".into(), 120), "prod-core".into());
    let theirs = theirs.finished();
    assert_eq!(theirs.world.vlans[&("sw01".into(), 120)], "prod-core", "{:#?}", theirs.told());
    assert_eq!(theirs.nodes()[0], "create/sw01 UndoFailed");
    let ours = run().finished();
    assert_eq!((ours.nodes()[0].as_str(), ours.world.done.len()), ("create/sw01 Undone", 2), "{:#?}", ours.told());
}

#[test]
fn what_a_person_let_be_taken_back_is_taken_back_again_where_it_is_there_still() {
    let step = format!("{CREATE}, on_failure: undo_all");
    let looks = |next: &Next| matches!(next, Next::Call(call) if matches!(call.purpose, Purpose::BeforeUndo { .. }));
    let run = Run::new(&[&step]).fault("step create/sw01", &[Fault::Half]).fault("undo create/sw01", &[Fault::Lost]);
    let mut run = run.run_to(looks);
    run.world.vlans.insert(("sw01".into(), 120), "theirs".into());
    let run = run.finished();
    assert_eq!(run.nodes()[0], "create/sw01 Undone", "{:#?}", run.told());
    assert_eq!(run.world.done, ["create 120 on sw01", "delete 120 from sw01"]);
    assert_eq!(run.story.state.deviations.len(), 1, "that was asked once");
}

#[test]
fn what_others_may_have_made_is_taken_back_where_a_person_says_so() {
    let step = format!("{CREATE}, on_failure: undo_all");
    let run = |first: &[Fault]| {
        Run::new(&[&step]).fault("step create/sw01", first).fault("step create/sw02", &[Fault::Error])
    };
    // Its call reports an error, and what it was to leave is there: by its own doing, or because others made it just then.
    let acts = |next: &Next| matches!(next, Next::Call(call) if matches!(call.purpose, Purpose::Act { .. }));
    let mut theirs = run(&[Fault::Error]).run_to(acts);
    theirs.step();
    theirs.world.vlans.insert(("sw01".into(), 120), "guest".into());
    let about = "a deviation at step create/sw01";
    let left = theirs.clone().answering(about, Answer::Reject).finished();
    assert_eq!(left.nodes(), ["create/sw01 UndoFailed", "create/sw02 Failed"], "{:#?}", left.told());
    assert_eq!((left.world.vlans.len(), left.world.done.len()), (1, 0), "theirs stays");
    assert!(left.story.state.deviations[0].found.maybe_of_others(), "{:?}", left.story.state.deviations);
    let back = run(&[Fault::ErrorButDone]).finished();
    assert_eq!((back.nodes()[0].as_str(), back.story.state.deviations.len()), ("create/sw01 Undone", 1));
    assert_eq!(back.world.done, ["create 120 on sw01", "delete 120 from sw01"]);
    // So it is where nobody heard of its call.
    let unheard = run(&[Fault::LostButDone]).answering(about, Answer::Reject).finished();
    assert_eq!(
        (unheard.nodes()[0].as_str(), unheard.world.done.len()),
        ("create/sw01 UndoFailed", 1),
        "{:#?}",
        unheard.told()
    );
    // What its call is known to have done is taken back unasked.
    let own = run(&[]).finished();
    assert_eq!((own.nodes()[0].as_str(), own.story.state.deviations.len()), ("create/sw01 Undone", 0));
}

#[test]
fn an_answer_aims_an_undo_only_at_what_the_design_leaves_open() {
    let bad = BAD.replace("needs: [note]", "needs: [put]");
    let run = |given: &str| {
        let put = format!("id: put, tool: slot.put, with: {{switch: sw01{given}}}");
        Run::new(&[&put, &bad]).fault("step bad", &[Fault::Half]).finished()
    };
    assert!(run("").world.done.contains(&"clear slot 7".to_owned()), "it was left to the tool");
    let given = run(", slot: 0");
    assert!(!given.world.done.contains(&"clear slot 7".to_owned()), "{:#?}", given.told());
    assert_eq!(given.reason("put"), "it cannot be undone: its `slot` would be 7, and the step was given 0");
}

#[test]
fn each_attempt_has_its_own_tries_to_take_back() {
    let step = format!("{CREATE}, on_failure: undo_target");
    let half = |attempt: u32| match attempt {
        1 => "step create/sw01".to_owned(),
        more => format!("step create/sw01, attempt {more}"),
    };
    let mut run = Run::new(&[&step]).fault(&half(1), &[Fault::Half]).finished();
    for attempt in 2..=5 {
        let nodes = [("create/sw01".to_owned(), attempt)].into();
        run = run.fault(&half(attempt), &[Fault::Half]);
        run.act(Command::Retry { retried: Retried { nodes, calls: Vec::new() }, roles: [Role::Approver].into() });
        let faults: &[Fault] = if attempt == 5 { &[Fault::Lost] } else { &[] };
        run = run.fault("undo create/sw01", faults).finished();
        assert_eq!(run.nodes()[0], "create/sw01 Undone", "attempt {attempt}: {}", run.reason("create/sw01"));
    }
}

#[test]
fn what_may_be_sent_again_does_not_keep_a_gate_from_being_rejected() {
    let pin = NOTE.replace("note.add", "note.pin");
    let undo = Run::new(&[&pin, BAD]).fault("step bad", &[Fault::Half]).fault("undo note", &[Fault::Lost]);
    let act = Run::new(&[TAKE]).fault("step take", &[Fault::Lost]);
    let again = |next: &Next| matches!(next, Next::Resend(_));
    for (run, tool, goes_on) in [(undo, "note.unpin", true), (act, "number.take", false)] {
        let mut run = run.run_to(again);
        let void = |differences: Vec<Difference>| {
            vec![Void { gate: Gate::One, because: vec!["changed".into()], differences, unnamed: false }]
        };
        run.void = void(vec![Difference::Target("sw01".into())]);
        assert_eq!(again(&run.next()), goes_on, "{tool}: what takes back goes on");
        run.void = void(vec![Difference::Tool(tool.parse().unwrap())]);
        assert_eq!(run.next(), Next::Ask(About::Gate1), "{tool}");
        let run = run.answering(&About::Gate1.to_string(), Answer::Reject).run_to(again);
        assert!(run.story.state.refused_anew, "the broker refuses it then, and it is looked after");
    }
}
