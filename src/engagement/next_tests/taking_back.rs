//! Undos of which nobody knows whether they took effect: read back, sent again, or said by a person.

use super::{
    super::{About, Answer, Next},
    CREATE, NOTE,
    world::{Fault, Run},
};

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
