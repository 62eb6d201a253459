//! What is next, driven from a request to its end against a network that is only a map; and cut off at every turn, to
//! see that whoever goes on comes to the same end and does nothing twice.

mod anew;
mod costs;
mod failures;
mod halts;
mod taking_back;
mod world;

use super::{Next, State, next};

use world::{CREATE, Fault, Run};

const TAKE: &str = "id: take, tool: number.take, with: {switch: sw01}";
const LATER: &str = "id: later, tool: vlan.create, needs: [take], \
                     with: {switch: sw01, id: {cel: steps.take.result.id, where: {min: 100, max: 200}}, name: guest}";
const NOTE: &str = "id: note, tool: note.add, with: {switch: sw01, text: hello}";

/// Crashes after every turn of a run that goes well and goes on from there: nothing takes effect twice, and the nodes
/// and the network end as they did.
fn cut_everywhere(run: Run) -> Run {
    let run = run.finished();
    let expected = run.effects();
    assert!(expected.values().all(|times| *times == 1), "{expected:?}");
    assert!(run.turns.len() > 25, "{}", run.turns.len());
    for turn in 0..run.turns.len() {
        let again = run.crashed_after(turn).finished();
        let told = || format!("cut after {:?}\n{:#?}", run.told().get(run.turns[turn].0 - 1), again.told());
        assert_eq!(again.effects(), expected, "{}", told());
        assert_eq!((again.nodes(), &again.world.vlans), (run.nodes(), &run.world.vlans), "{}", told());
        let ended = |run: &Run| run.story.state.closed.as_ref().map(|closed| closed.outcome);
        assert_eq!(ended(&again), ended(&run), "{}", told());
    }
    run
}

#[test]
fn a_run_that_is_cut_anywhere_ends_the_same_and_does_nothing_twice() {
    let run = cut_everywhere(Run::new(&[CREATE]));
    assert_eq!(run.nodes(), ["create/sw01 Done", "create/sw02 Done"]);
    assert_eq!(run.world.done, ["create 120 on sw01", "create 120 on sw02"]);
}

#[test]
fn a_lost_answer_is_asked_for_again_where_the_server_remembers() {
    let run = cut_everywhere(Run::new(&[TAKE, LATER]));
    assert_eq!(run.world.done, ["take 150", "create 150 on sw01"]);
    let lost = Run::new(&[TAKE, LATER]).fault("step take", &[Fault::LostButDone]).finished();
    assert_eq!(lost.world.done, ["take 150", "create 150 on sw01"]);
}

#[test]
fn a_read_that_is_cut_off_is_read_again() {
    let run = cut_everywhere(Run::new(&[CREATE, "id: look, tool: job.status, needs: [create], with: {switch: sw01}"]));
    assert_eq!(run.nodes(), ["create/sw01 Done", "create/sw02 Done", "look Done"]);
}

#[test]
fn a_run_with_failures_and_undo_is_cut_anywhere_too() {
    let undo = format!("{CREATE}, on_failure: undo_target");
    let run = Run::new(&[&undo]).fault("step create/sw02", &[Fault::Half]);
    let whole = run.clone().finished();
    assert_eq!(whole.nodes(), ["create/sw01 Done", "create/sw02 Undone"]);
    let ours = ["create 120 on sw01", "create 120 on sw02", "delete 120 from sw02"];
    for turn in 0..whole.turns.len() {
        let mut again = whole.crashed_after(turn);
        // The switch goes on doing it wrong.
        again.faults.insert("step create/sw02".into(), [Fault::Half].into());
        again.faults.insert("step create/sw02, attempt 2".into(), [Fault::Half].into());
        let again = again.finished();
        assert!(again.effects().iter().all(|(what, times)| ours.contains(what) && *times == 1), "{:?}", again.told());
        // A lost undo is not sent again: reading shows whether it took effect, and a person is told.
        let nodes = again.nodes();
        let undone = again.world.vlans.keys().all(|(switch, _)| switch == "sw01");
        let says = if undone { "create/sw02 Undone" } else { "create/sw02 UndoFailed" };
        assert_eq!(nodes, ["create/sw01 Done", says], "{:#?}", again.told());
    }
}

#[test]
fn where_nothing_can_tell_a_person_is_asked_and_the_call_is_not_made_again() {
    let whole = Run::new(&[NOTE]).finished();
    assert_eq!(whole.nodes(), ["note Done"]);
    let mut asked = 0;
    for turn in 0..whole.turns.len() {
        let again = whole.crashed_after(turn).finished();
        assert!(again.world.notes.len() <= 1, "{:#?}", again.told());
        let there = !again.world.notes.is_empty();
        let says = if there { "note Done" } else { "note Failed" };
        assert_eq!(again.nodes(), [says], "{:#?}", again.told());
        asked += again.story.state.applied.len();
    }
    assert_eq!(asked, 2, "between the intent and the effect, and between the effect and the outcome");
}

#[test]
fn the_same_chain_gives_the_same_next_thing() {
    let steps = [CREATE, TAKE, LATER, NOTE, "id: wait, tool: job.status, with: {switch: sw01}"];
    let run = Run::new(&steps).fault("step create/sw02", &[Fault::Lost]).finished();
    let mut closed = 0;
    for turn in 0..run.turns.len() {
        let here = run.crashed_after(turn);
        let first = here.next();
        assert_eq!(first, here.next());
        let replayed = State::replay(&here.story.events).unwrap();
        let view = super::View { state: &replayed, ..here.view() };
        assert_eq!(next(&view, here.now()).unwrap(), first);
        closed += usize::from(first == Next::Closed);
    }
    assert_eq!(closed, 1);
}
