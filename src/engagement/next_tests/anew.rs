//! Gates that stop holding on the way: they are asked anew at once, nothing is begun before the answer, and nothing is
//! done twice after it.

use crate::{
    artifact::{ArtifactKind, Phase},
    policy::Difference,
};

use super::{
    super::{About, Answer, Body, Gate, Next, Proposal, Purpose, Void},
    CREATE,
    world::{Fault, Run},
};

fn void(gate: Gate, differences: Vec<Difference>) -> Void {
    Void { gate, because: vec!["the inventory entry of `sw01` changed".into()], differences, unnamed: false }
}

/// The run from a turn on, with every gate that is open then void.
fn voided(whole: &Run, turn: usize) -> Run {
    let mut run = whole.crashed_after(turn);
    let open = [Gate::One, Gate::Two].into_iter().filter(|gate| run.story.state.gate_open(*gate));
    run.void = open.map(|gate| void(gate, vec![Difference::Target("sw01".into())])).collect();
    run
}

/// What was let through after a turn that is neither looking at nor taking back what was done, before a person said
/// yes to every gate that was void then.
fn begun_too_early(run: &Run, from: usize, gates: usize) -> Vec<String> {
    let mut left = gates;
    let mut early = Vec::new();
    for event in &run.story.events[from..] {
        match &event.body {
            Body::Answered(answered) if matches!(answered.about, About::Gate1 | About::Gate2) => {
                left = left.saturating_sub(1);
            }
            Body::Allowed(allowed) if left > 0 && !allowed.purpose.recovers() => early.push(allowed.purpose.words()),
            _ => {}
        }
    }
    early
}

#[test]
fn an_effect_whose_reading_gave_an_error_is_looked_at_before_anything_is_asked_anew() {
    let run = Run::new(&[CREATE]).fault("read back create/sw01", &[Fault::Error; 2]);
    let mut run = run.run_to(|next| matches!(next, Next::Pause(_)));
    let from = run.story.events.len();
    run.void = vec![void(Gate::One, vec![Difference::Target("sw01".into())])];
    let run = run.finished();
    let first = |is: fn(&Body) -> bool| run.story.events[from..].iter().position(|event| is(&event.body)).unwrap();
    let looked = first(|body| matches!(body, Body::Allowed(call) if matches!(call.purpose, Purpose::ReadBack { .. })));
    let asked = first(|body| matches!(body, Body::Asked(asked) if !asked.void.is_empty()));
    assert!(looked < asked, "{:#?}", run.told());
}

#[test]
fn a_gate_that_stops_holding_at_any_turn_is_asked_anew_and_nothing_is_done_twice() {
    let whole = Run::new(&[CREATE]).finished();
    let (expected, mut asked) = (whole.effects(), 0);
    for turn in 0..whole.turns.len() - 1 {
        let run = voided(&whole, turn);
        let (gates, from, phase) = (run.void.len(), run.story.events.len(), run.story.state.phase);
        let flow = run.story.state.artifact(ArtifactKind::Flow);
        let run = run.finished();
        let told = || format!("void after turn {turn}\n{:#?}", run.told());
        assert_eq!(run.effects(), expected, "{}", told());
        assert_eq!(run.nodes(), whole.nodes(), "{}", told());
        if phase == Phase::Requirements || phase == Phase::AsBuilt {
            continue;
        }
        let anew = run.story.events[from..].iter();
        let anew = anew.filter(|event| matches!(&event.body, Body::Asked(asked) if !asked.void.is_empty())).count();
        // Where all that was left is to look at what was done, there is nothing to ask about.
        let nothing_left = !run.void.is_empty();
        assert!(anew == gates || nothing_left, "{anew} of {gates}: {}", told());
        assert_eq!(begun_too_early(&run, from, gates), [] as [&str; 0], "{}", told());
        assert!(flow.is_none() || flow == run.story.state.artifact(ArtifactKind::Flow), "another flow: {}", told());
        asked += anew;
    }
    assert!(asked > 20, "{asked}");
}

#[test]
fn a_no_in_the_build_begins_nothing_more_and_what_was_done_is_seen() {
    let whole = Run::new(&[CREATE]).finished();
    let mut seen = std::collections::BTreeSet::new();
    for turn in 0..whole.turns.len() - 1 {
        let mut run = voided(&whole, turn);
        if run.story.state.artifact(ArtifactKind::Flow).is_none() {
            continue;
        }
        run.answers.insert(About::Gate1.to_string(), Answer::Reject);
        let (gates, from) = (run.void.len(), run.story.events.len());
        let run = run.finished();
        // A gate that never opens again lets nothing begin.
        assert_eq!(begun_too_early(&run, from, gates + 1), [] as [&str; 0], "{:#?}", run.told());
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
fn a_no_before_the_build_goes_back_to_the_spec() {
    let run =
        Run::new(&[CREATE]).run_to(|next| matches!(next, Next::Call(call) if call.purpose.words().contains("A1")));
    let mut run = run;
    run.void = vec![void(Gate::One, Vec::new())];
    assert_eq!(run.next(), Next::Ask(About::Gate1));
    run.step();
    let about = About::Gate1;
    run.answers.insert(about.to_string(), Answer::Reject);
    run.reply(&about);
    assert_eq!((run.story.state.phase, run.next()), (Phase::Requirements, Next::Draft(ArtifactKind::Spec)));
    assert_eq!(run.story.state.cancelled, None);
}

#[test]
fn what_takes_back_waits_only_where_its_own_tool_is_not_the_one_that_was_approved() {
    let undo = |next: &Next| matches!(next, Next::Call(Proposal { purpose: Purpose::Undo { .. }, .. }));
    let step = format!("{CREATE}, on_failure: undo_target");
    let run = Run::new(&[&step]).fault("step create/sw01", &[Fault::Half]).run_to(undo);
    let tool = |name: &str| Difference::Tool(name.parse().unwrap());
    for (differences, goes_on) in [
        (vec![Difference::Target("sw01".into())], true),
        (vec![tool("vlan.create")], true),
        (vec![tool("vlan.list")], true),
        (vec![tool("vlan.delete")], false),
    ] {
        let mut run = run.clone();
        run.void = vec![void(Gate::One, differences.clone()), void(Gate::Two, differences.clone())];
        let next = run.next();
        assert_eq!(undo(&next), goes_on, "{differences:?}: {next:?}");
        if !goes_on {
            assert_eq!(next, Next::Ask(About::Gate1));
            // Also after a cancellation: a yes lets it be taken back.
            let mut cancelled = run.clone();
            cancelled.act(super::super::Command::Cancel {
                reason: "wrong".into(),
                roles: [crate::facts::Role::Requester].into(),
            });
            assert_eq!(cancelled.finished().nodes(), ["create/sw01 Undone", "create/sw02 NotRun"]);
            let rejected = run.clone().answering(&About::Gate1.to_string(), Answer::Reject).run_to(undo);
            assert!(rejected.story.state.refused_anew, "the broker refuses it then");
        }
    }
    // What changed since is asked about whatever the gates are, and after a no to one it is not asked for ever.
    let looks = |next: &Next| matches!(next, Next::Call(call) if matches!(call.purpose, Purpose::BeforeUndo { .. }));
    let mut run = Run::new(&[&step]).fault("step create/sw01", &[Fault::Half]).run_to(looks);
    run.world.vlans.insert(("sw01".into(), 120), "theirs".into());
    run.void = vec![void(Gate::One, vec![tool("vlan.delete")])];
    let asked = |next: &Next| matches!(next, Next::Wait(About::Deviation { .. }));
    let run = run.answering(&About::Gate1.to_string(), Answer::Reject).run_to(asked);
    let kept = run.clone().answering("a deviation at step create/sw01", Answer::Reject);
    assert_eq!(kept.finished().nodes()[0], "create/sw01 UndoFailed");
    let mut run = run;
    run.reply(&About::Deviation { node: super::super::testing::node("create/sw01") });
    assert!(run.run_to(undo).story.state.refused_anew);
}
