//! Windows and cancellations: what still happens, and that it always comes to an end.

use crate::{artifact::ArtifactKind, facts::Role};

use super::{
    super::{About, Command, Next, NodeSettled, Proposal, Purpose},
    CREATE, NOTE,
    world::{Fault, Rest, Run},
};

const LAST: &str = "id: last, tool: note.add, with: {switch: sw01, text: bye}, always: true";
/// From 2 000 until 3 000 seconds after 1970; a run begins at 1 000.
const WINDOW: &str = "window: {from: 1970-01-01T00:33:20Z, until: 1970-01-01T00:50:00Z}\n";

fn cancelled(mut run: Run) -> Run {
    run.act(Command::Cancel { reason: "wrong ticket".into(), roles: [Role::Requester].into() });
    run
}

fn acting(words: &'static str) -> impl Fn(&Next) -> bool {
    move |next| matches!(next, Next::Call(Proposal { purpose, .. }) if purpose.words() == words)
}

#[test]
fn what_always_runs_runs_after_a_failure_a_cancellation_and_a_window() {
    let failed = Run::new(&[CREATE, LAST]).fault("step create/sw01", &[Fault::Error]).finished();
    assert_eq!(failed.nodes(), ["create/sw01 Failed", "create/sw02 NotRun", "last Done"]);
    let stopped = cancelled(Run::new(&[CREATE, LAST]).run_to(acting("step create/sw02"))).finished();
    assert_eq!(stopped.nodes(), ["create/sw01 Done", "create/sw02 NotRun", "last Done"]);
    let mut late = Run::with_spec(WINDOW, &[CREATE, LAST]).run_to(acting("step create/sw02"));
    late.story.clock = 3_000;
    assert_eq!(late.finished().nodes(), ["create/sw01 Done", "create/sw02 NotRun", "last Done"]);
}

#[test]
fn what_always_runs_may_ask_after_a_cancellation() {
    let always = "id: last, tool: vlan.create, with: {switch: sw01, id: 7, name: x}, always: true";
    let mut run = Run::new(&[CREATE, always]).run_to(acting("step create/sw01"));
    run.needs.insert("step last".into(), Role::Approver);
    run.world.vlans.insert(("sw01".into(), 7), "theirs".into());
    let run = cancelled(run).run_to(|next| matches!(next, Next::Wait(About::Deviation { .. })));
    let mut run = run.run_to(|next| matches!(next, Next::Wait(About::Call { .. })));
    run.world.vlans.clear();
    let run = run.finished();
    assert_eq!(run.nodes(), ["create/sw01 NotRun", "create/sw02 NotRun", "last Done"]);
}

#[test]
fn what_always_runs_is_begun_again_after_a_cancellation_where_it_was_lost() {
    let always = "id: last, tool: vlan.create, with: {switch: sw01, id: 7, name: x}, always: true";
    let run = Run::new(&[CREATE, always]).fault("step last", &[Fault::Lost]).run_to(acting("step create/sw01"));
    let run = cancelled(run).finished();
    assert_eq!(run.nodes(), ["create/sw01 NotRun", "create/sw02 NotRun", "last Done"], "{:#?}", run.told());
    assert_eq!(run.world.done, ["create 7 on sw01"]);
}

#[test]
fn a_question_about_a_failure_outlives_a_cancellation() {
    let step = format!("{CREATE}, on_failure: ask");
    let run = Run::new(&[&step]).fault("step create/sw01", &[Fault::Half]);
    let run = run.run_to(|next| matches!(next, Next::Wait(About::Failure { .. })));
    let run = cancelled(run).finished();
    assert_eq!(run.nodes(), ["create/sw01 Failed", "create/sw02 NotRun"]);
}

#[test]
fn a_cancellation_at_any_turn_comes_to_an_end_and_loses_nothing() {
    let step = format!("{CREATE}, on_failure: undo_target");
    let whole = Run::new(&[&step, NOTE, LAST]).fault("step create/sw02", &[Fault::Half]).finished();
    for turn in 0..whole.turns.len() - 1 {
        let mut run = whole.crashed_after(turn);
        run.faults.insert("step create/sw02".into(), [Fault::Half].into());
        let built = run.story.state.artifact(ArtifactKind::Flow).is_some();
        let run = cancelled(run).finished();
        assert!(run.effects().values().all(|times| *times == 1), "{:#?}", run.told());
        // Whatever is there was seen: no VLAN without a node that says so.
        for (switch, _) in run.world.vlans.keys() {
            let node = format!("create/{switch}");
            let told = run.nodes().iter().any(|told| {
                told.starts_with(&node) && ["Done", "Failed", "UndoFailed"].iter().any(|word| told.ends_with(word))
            });
            assert!(told, "cut after turn {turn}: {:#?}", run.told());
        }
        assert_eq!(built, !run.nodes().is_empty(), "{:#?}", run.told());
    }
}

#[test]
fn a_window_is_waited_for_and_is_not_held_open() {
    let mut run = Run::with_spec(WINDOW, &[CREATE]);
    let opens = loop {
        match run.rest() {
            Rest::Asked(about) => run.reply(&about),
            other => break other,
        }
    };
    assert_eq!(opens, Rest::Window("1970-01-01T00:33:20Z".parse().unwrap()));
    assert_eq!(run.story.state.artifact(ArtifactKind::Flow), None);
    // Cancelled meanwhile, it does not wait any more.
    assert_eq!(cancelled(run.clone()).rest(), Rest::Closed);
    assert_eq!(run.clone().finished().nodes(), ["create/sw01 Done", "create/sw02 Done"]);
    // Nobody came before it was over.
    run.story.clock = 3_000;
    let late = run.finished();
    assert_eq!(late.nodes(), ["create/sw01 NotRun", "create/sw02 NotRun"]);
    assert!(late.reason("create/sw01").starts_with("the window ended at"), "{}", late.reason("create/sw01"));
}

#[test]
fn what_was_begun_in_the_window_is_read_back_after_it() {
    let whole = Run::with_spec(WINDOW, &[CREATE]).finished();
    let mut seen = std::collections::BTreeSet::new();
    for turn in 0..whole.turns.len() {
        let mut run = whole.crashed_after(turn);
        if run.story.state.artifact(ArtifactKind::Flow).is_none() {
            continue;
        }
        run.story.clock = 3_000;
        let run = run.finished();
        assert!(run.effects().values().all(|times| *times == 1), "{:#?}", run.told());
        for switch in ["sw01", "sw02"] {
            let there = run.world.vlans.contains_key(&(switch.to_owned(), 120));
            let says = format!("create/{switch} {}", if there { "Done" } else { "NotRun" });
            assert!(run.nodes().contains(&says), "{:?} {:#?}", run.nodes(), run.told());
            seen.insert(says);
        }
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_question_that_the_window_overtook_is_not_open_any_more() {
    let mut run = Run::with_spec(WINDOW, &[CREATE]);
    run.needs.insert("step create/sw01".into(), Role::Approver);
    let mut run = run.run_to(|next| matches!(next, Next::Wait(About::Call { .. })));
    run.story.clock = 3_000;
    assert!(matches!(run.next(), Next::Settle(NodeSettled { .. })));
    assert_eq!(run.step(), None);
    assert_eq!(run.story.state.asked, None);
    let run = run.finished();
    let act = |purpose: &Purpose| matches!(purpose, Purpose::Act { .. });
    assert!(run.story.state.calls.values().all(|call| !act(&call.purpose) || call.refused.is_some()));
}
