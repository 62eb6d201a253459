//! What stands in for a reading where a step was taken back and nothing could be read: what a person said, and only where
//! nobody knew.

use super::{
    steps_tests::{AS_BUILT, found, node, put, say, settle},
    *,
};
use crate::{
    artifact::Agent,
    engagement::{CallOutcome, NodeSettled, Purpose},
    flow::NodeOutcome,
    ledger::testing::Story,
};

/// The step failed and left something, and its undo came to this; a person was asked, about the undo or about the step's
/// own call, and it was settled as taken back.
fn on_a_word(story: &mut Story, outcome: CallOutcome, undo: bool, applied: bool) {
    settle(story, NodeOutcome::Failed, true);
    put(story, AS_BUILT, 3, Agent::Build, Purpose::Undo { node: node() });
    let Body::Finished(finished) = &mut story.events[AS_BUILT + 1].2 else { panic!() };
    (finished.outcome, finished.result) = (outcome, None);
    say(story, AS_BUILT + 2, undo, applied);
    let (outcome, changed, reason) = (NodeOutcome::Undone, false, None);
    let undone = NodeSettled { node: node(), attempt: 1, outcome, changed, reason };
    let time = story.events[AS_BUILT].0;
    story.events.insert(AS_BUILT + 4, (time, Actor::Program, Body::Settled(undone)));
}

#[test]
fn a_person_may_say_that_it_was_taken_back_and_of_exactly_that() {
    let forged = |outcome, undo, applied| {
        let found = found(|story| on_a_word(story, outcome, undo, applied));
        found.iter().any(|line| line.contains("taken back, and nothing that was called and read shows that"))
    };
    assert!(!forged(CallOutcome::Unknown, true, true));
    assert!(!forged(CallOutcome::Error, true, true));
    assert!(forged(CallOutcome::Unknown, true, false), "the person said that it was not");
    assert!(forged(CallOutcome::Unknown, false, true), "the person spoke of another call");
    assert!(forged(CallOutcome::Ok, true, true), "nobody asks about what its tool reported");
    assert!(forged(CallOutcome::NotSent, true, true));
}

#[test]
fn a_persons_word_stands_in_for_a_reading_of_it_only_where_that_was_tried_in_vain() {
    let forged = |read: Option<CallOutcome>| {
        let found = found(|story| {
            on_a_word(story, CallOutcome::Unknown, true, true);
            if let Some(outcome) = read {
                put(story, AS_BUILT + 2, 5, Agent::Verifier, Purpose::UndoCheck { node: node() });
                let Body::Finished(read) = &mut story.events[AS_BUILT + 3].2 else { panic!() };
                (read.outcome, read.result) = (outcome, None);
            }
            put(story, steps_tests::ACT, 4, Agent::Verifier, Purpose::Recheck { node: node(), attempt: 1 });
        });
        found.iter().any(|line| line.contains("taken back, and nothing that was called and read shows that"))
    };
    assert!(forged(None));
    assert!(!forged(Some(CallOutcome::Error)) && !forged(Some(CallOutcome::Unknown)));
}
