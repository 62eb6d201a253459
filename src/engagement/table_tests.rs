//! Every command in every situation: one golden table for a person to read. A column is a situation, a row is a
//! command, a letter is the answer. A command, a purpose or a state that is not in the table does not compile or fails.

mod rows;

use std::collections::BTreeSet;

use crate::{
    artifact::{Agent, ArtifactKind, Phase, RecordOutcome},
    facts::Role,
    flow::NodeOutcome,
};

use super::{
    About, Answer, Body, CallOutcome, Command, GateState, Purpose, Refusal, RefusedAs, State, decide,
    testing::{Story, act, deviate, digest, intent, node, refuse},
};

pub(super) use rows::commands;
use rows::{about_name, close, purpose_name, purposes};

/// The letter of an answer.
fn letter(answer: &Result<Body, Refusal>) -> char {
    match answer {
        Ok(_) => '+',
        Err(Refusal::OutOfOrder { .. }) => '.',
        Err(Refusal::GateClosed(_)) => 'g',
        Err(Refusal::NotMadeFrom(_)) => 'm',
        Err(Refusal::NothingAsked(_)) => '-',
        Err(Refusal::OtherQuestion { .. }) => 'q',
        Err(Refusal::WrongAnswer(_)) => 'w',
        Err(Refusal::NoReason) => 'y',
        Err(Refusal::NotInRole(_)) => 'r',
        Err(Refusal::NotAPerson(_) | Refusal::NotThePolicy(_)) => 'p',
        Err(Refusal::SameHands(_)) => 'h',
        Err(Refusal::NeedsSignature | Refusal::Signature(_)) => 's',
        Err(Refusal::NotTheProgram(_) | Refusal::NotTheAgent(_)) => 't',
        Err(Refusal::Call(_) | Refusal::Said(_)) => 'c',
        Err(Refusal::Elsewhere { .. }) => 'l',
        Err(Refusal::Cancelled(_)) => 'x',
        Err(Refusal::Redaction(_)) => 'd',
        Err(Refusal::Over(_)) => 'o',
        Err(Refusal::NotEnded(_)) => 'e',
    }
}

/// The situations, in the order of the columns; a gap begins a phase.
fn situations() -> Vec<(&'static str, Story)> {
    let cancel = || Command::Cancel { reason: "enough".into(), roles: [Role::Requester].into() };
    let filed = || Story::begin(digest("request")).file(ArtifactKind::Spec);
    let feasibility = || Story::gate_1_open().enter(Phase::Feasibility);
    let designed = || Story::to_design().file(ArtifactKind::Design);
    let acting = || {
        let look = Purpose::Recheck { node: node("a"), attempt: 1 };
        Story::building().call(Agent::Verifier, look, CallOutcome::Ok).allow(Agent::Build, act("a", 1))
    };
    let unknown = || acting().finish(CallOutcome::Unknown);
    let shown = || unknown().call(Agent::Verifier, Purpose::ReadBack { node: node("a"), attempt: 1 }, CallOutcome::Ok);
    let wanting = || {
        let story = Story::building();
        let call = intent(&story.state, Agent::Build, act("a", 1)).digest;
        let command = refuse(&story.state, Agent::Build, act("a", 1), RefusedAs::NeedsApproval(Role::Approver));
        story.then(command).ask(About::Call { node: node("a"), call })
    };
    let deviating = || Story::building().then(deviate("a")).ask(About::Deviation { node: node("a") });
    let failed = || Story::building().settle("a", NodeOutcome::Failed, false);
    let failed_twice = || failed().settle("b", NodeOutcome::NotRun, false);
    let as_built = || Story::done().enter(Phase::AsBuilt);
    let recorded = || as_built().file(ArtifactKind::Record);
    vec![
        ("requirements: nothing is filed", Story::begin(digest("request"))),
        ("a spec is filed", filed()),
        ("gate 1 is asked", filed().ask(About::Gate1)),
        ("gate 1 is rejected", filed().ask(About::Gate1).answer(Answer::Reject)),
        ("gate 1 is open", Story::gate_1_open()),
        ("cancelled", Story::gate_1_open().then(cancel())),
        ("feasibility", feasibility()),
        (
            "a read is under way",
            feasibility().allow(Agent::Verifier, Purpose::CheckBefore { check: "A1".into(), item: 0 }),
        ),
        ("discovery is filed", feasibility().file(ArtifactKind::Discovery)),
        ("design", Story::to_design()),
        ("a design is filed", designed()),
        ("gate 2 is asked", designed().ask(About::Gate2)),
        ("gate 2 is rejected", designed().ask(About::Gate2).answer(Answer::Reject)),
        ("gate 2 is open", designed().ask(About::Gate2).answer(Answer::Approve)),
        ("build: there is no flow", Story::to_build()),
        ("a flow is filed", Story::building()),
        ("the call of a is under way", acting()),
        ("its outcome is unknown", unknown()),
        ("a was read back", shown()),
        ("whether it took effect is asked", unknown().ask(About::Unknown { node: node("a"), undo: false })),
        ("the approval of a's call is asked", wanting()),
        ("a's call is approved", wanting().answer(Answer::Approve)),
        ("a's call is rejected", wanting().answer(Answer::Reject)),
        ("a deviation is asked about", deviating()),
        ("a has failed, b was not run", failed_twice()),
        ("its failure is asked about", failed().ask(About::Failure { node: node("a") })),
        ("a is done", Story::done()),
        ("a is being taken back", Story::done().call(Agent::Build, Purpose::Undo { node: node("a") }, CallOutcome::Ok)),
        ("a is undone", Story::undone()),
        ("cancelled", Story::done().then(cancel())),
        ("as built", as_built()),
        ("a record is filed", recorded()),
        ("closed", recorded().then(close(RecordOutcome::Done))),
        ("closed, with what can be tried again", {
            let story = failed_twice().enter(Phase::AsBuilt).file(ArtifactKind::Record);
            story.then(close(RecordOutcome::PartlyDone))
        }),
    ]
}

fn table() -> String {
    let situations = situations();
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut phase = None;
    for (_, story) in &situations {
        let gap = phase.replace(story.state.phase).is_some_and(|before| before != story.state.phase);
        for (at, (name, command)) in commands(&story.state).into_iter().enumerate() {
            if rows.len() == at {
                rows.push((name.clone(), String::new()));
            }
            let (known, letters) = &mut rows[at];
            assert_eq!(*known, name, "the same rows in every situation");
            if gap {
                letters.push(' ');
            }
            letters.push(letter(&decide(&story.state, command)));
        }
    }
    let mut letters = ('A'..='Z').chain('a'..='z');
    let label = |sample: &str, letters: &mut dyn Iterator<Item = char>| -> String {
        sample.chars().map(|c| if c == ' ' { c } else { letters.next().unwrap() }).collect()
    };
    let heads = label(&rows[0].1, &mut letters);
    rows.insert(0, ("columns".into(), heads));
    rows.iter().map(|(name, letters)| format!("{name:40}{letters}\n")).collect()
}

#[test]
fn every_command_in_every_situation_has_the_agreed_answer() {
    let is = table();
    let changes: Vec<String> = similar::TextDiff::from_lines(GOLDEN.trim_start(), &is)
        .iter_all_changes()
        .filter(|change| change.tag() != similar::ChangeTag::Equal)
        .map(|change| format!("{}{change}", change.tag()))
        .collect();
    assert!(changes.is_empty(), "the table is another:\n{}\nthe whole of it:\n{is}", changes.concat());
}

#[test]
fn every_kind_of_state_is_in_the_table() {
    let situations = situations();
    let states: Vec<&State> = situations.iter().map(|(_, story)| &story.state).collect();
    let gate = |gate: &GateState| match gate {
        GateState::Closed => "closed",
        GateState::Rejected { .. } => "rejected",
        GateState::Open { .. } => "open",
    };
    let outcome = |outcome: Option<CallOutcome>| match outcome {
        None => "under way",
        Some(CallOutcome::Ok) => "ok",
        Some(CallOutcome::Unknown) => "unknown",
        // What these lead to is the same as what an answer leads to.
        Some(CallOutcome::Error | CallOutcome::NotSent) => "failed",
    };
    let seen = |what: &dyn Fn(&State) -> Vec<&'static str>| -> BTreeSet<&'static str> {
        states.iter().flat_map(|state| what(state)).collect()
    };
    assert_eq!(seen(&|state| vec![state.phase.as_str()]).len(), Phase::ALL.len());
    assert_eq!(seen(&|state| vec![gate(&state.gate1)]).len(), 3);
    assert_eq!(seen(&|state| vec![gate(&state.gate2)]).len(), 3);
    assert_eq!(seen(&|state| state.asked.iter().map(|asked| about_name(&asked.about)).collect()).len(), 6);
    let called = seen(&|state| state.calls.values().map(|call| outcome(call.outcome)).collect());
    assert!(called.is_superset(&["under way", "ok", "unknown"].into()));
    assert_eq!(seen(&|state| state.artifacts.keys().map(|kind| kind.file_name()).collect()).len(), 5);
    let ended = |state: &State| (state.cancelled.is_some(), state.closed.is_some());
    let ends: BTreeSet<(bool, bool)> = states.iter().map(|state| ended(state)).collect();
    assert!(ends.is_superset(&[(false, false), (true, false), (false, true)].into()));
    let names: BTreeSet<&str> = purposes(states[0]).iter().map(purpose_name).collect();
    assert_eq!(names.len(), purposes(states[0]).len());
}

/// The columns are the [`situations`], phase by phase: A nothing filed, B spec filed, C gate 1 asked, D rejected,
/// E open, F cancelled; G feasibility, H a read under way, I discovery filed; J design, K design filed, L gate 2
/// asked, M rejected, N open; O build, P flow filed, Q a's call under way, R unknown, S read back, T asked whether it
/// took effect, U approval asked, V approved, W rejected, X deviation asked, Y a failed and b not run, Z failure asked,
/// a done, b being taken back, c undone, d cancelled; e as built, f recorded, g closed, h closed with what can be tried
/// again.
///
/// `+` accepted, `.` out of order, `g` gate closed, `m` not made from what it must be, `-` nothing is asked, `q` another
/// question is, `w` no answer to it, `y` no reason, `r` not in the role, `c` the call or step does not allow it, `x`
/// cancelled, `o` over, `d` nothing that can be redacted.
const GOLDEN: &str = "
columns                                 ABCDEF GHI JKLMN OPQRSTUVWXYZabcd efgh
enter requirements                      .....x ... ..... ...............x ..oo
enter feasibility                       gggg+x ... ..... ...............x ..oo
enter design                            .....x ..+ ..... ...............x ..oo
enter build                             .....x ... gggg+ ...............x ..oo
enter as-built                          ...... ... ..... .+cccc+++++++c++ ..oo
enter as-built, saying why              ...... ..+ +++++ ++cccc+++++++c++ ..oo
file spec.yaml                          +++++x +++ +++++ ...............x ..oo
file discovery.report                   .....x +++ ..... ...............x ..oo
file solution.design                    .....x ... +++++ ...............x ..oo
file automation.flow                    .....x ... ..... +..............x ..oo
file reconciled.record                  ...... ... ..... ................ ++oo
file spec.yaml from nothing             mmmmmx mmm mmmmm ...............x ..oo
file discovery.report from nothing      .....x mmm ..... ...............x ..oo
file solution.design from nothing       .....x ... mmmmm ...............x ..oo
file automation.flow from nothing       .....x ... ..... mmmmmmmmmmmmmmmx ..oo
file reconciled.record from nothing     ...... ... ..... ................ mmoo
prove the spec                          m++..x ... ..... ...............x ..oo
prove another spec                      mmmmmx ... ..... ...............x ..oo
ask about gate 1                        .++..x ... ..... ...............x ..oo
ask about gate 2                        .....x ... .++.. ...............x ..oo
ask about a call                        ...... ... ..... cccccc++cccccccc ..oo
ask about a deviation                   ...... ... ..... ccccccccc+cccccc ..oo
ask about a failure                     ...... ... ..... cccccccccc++cccc ..oo
ask about an unknown call               ...... ... ..... ccc+++cccccccccc ..oo
answer yes                              --+--x --- --+-- -----w+--+-w---x --oo
answer yes, with calls                  --w--x --- --+-- -----ww--w-w---x --oo
answer yes as a requester               --r--x --- --r-- -----rr--r-r---x --oo
answer yes in no role                   --r--x --- --r-- -----rr--r-r---x --oo
answer yes to another text              --q--x --- --q-- -----qq--q-q---x --oo
answer yes to another question          --q--x --- --q-- -----qq--q-q---x --oo
answer no                               --+--x --- --+-- -----w+--+-w---x --oo
answer no, without saying why           --y--x --- --y-- -----wy--y-w---x --oo
answer stop                             --w--x --- --w-- -----ww--w-+---x --oo
answer ask                              --w--x --- --w-- -----ww--w-w---x --oo
answer yes, without saying why          --+--x --- --+-- -----w+--y-w---x --oo
rule yes, by policy                     --w--x --- --w-- -----ww--w-w---x --oo
answer it took effect                   --w--x --- --w-- -----+w--w-w---x --oo
allow requirements: find targets        .....x ccc ccccc cccccccccccccccx ccoo
allow requirements: discover            .....x ccc ccccc cccccccccccccccx ccoo
allow requirements: baseline            .....x ccc ccccc cccccccccccccccx ccoo
allow requirements: check before        .....x ccc ccccc cccccccccccccccx ccoo
allow requirements: before-state        .....x ccc ccccc cccccccccccccccx ccoo
allow requirements: before-state again  ...... ccc ccccc cccccccccccccccc ccoo
allow requirements: act                 ...... ccc ccccc cccccccccccccccc ccoo
allow requirements: read back           ...... ccc ccccc cccccccccccccccc ccoo
allow requirements: verify              ...... ccc ccccc cccccccccccccccc ccoo
allow requirements: look again          ...... ccc ccccc cccccccccccccccc ccoo
allow requirements: look before the undo...... ccc ccccc cccccccccccccccc ccoo
allow requirements: undo                ...... ccc ccccc cccccccccccccccc ccoo
allow requirements: read the undo back  ...... ccc ccccc cccccccccccccccc ccoo
allow requirements: observe             ...... ccc ccccc cccccccccccccccc ccoo
allow requirements: check after         ...... ccc ccccc cccccccccccccccc ccoo
allow requirements: of a turn           .....x ccc ccccc cccccccccccccccx ccoo
allow requirements: by hand             .....x ccc ccccc cccccccccccccccx ccoo
allow design: find targets              .....x ccc ..... ...............x ..oo
allow design: discover                  .....x +++ ..... ...............x ..oo
allow design: baseline                  .....x ccc ..... ...............x ..oo
allow design: check before              .....x ccc ..... ...............x ..oo
allow design: before-state              .....x ... ccccc ...............x ..oo
allow design: before-state again        ...... ... ..... ................ ..oo
allow design: act                       ...... ... ..... ................ ..oo
allow design: read back                 ...... ... ..... ................ ..oo
allow design: verify                    ...... ... ..... ................ ..oo
allow design: look again                ...... ... ..... ................ ..oo
allow design: look before the undo      ...... ... ..... ................ ..oo
allow design: undo                      ...... ... ..... ................ ..oo
allow design: read the undo back        ...... ... ..... ................ ..oo
allow design: observe                   ...... ... ..... ................ ..oo
allow design: check after               ...... ... ..... ................ ..oo
allow design: of a turn                 .....x ccc ..... ...............x ..oo
allow design: by hand                   .....x +++ +++++ ...............x ..oo
allow build: find targets               .....x ... ..... ...............x ..oo
allow build: discover                   .....x ... ..... ...............x ..oo
allow build: baseline                   .....x ... ..... ...............x ..oo
allow build: check before               .....x ... ..... ...............x ..oo
allow build: before-state               .....x ... ..... ...............x ..oo
allow build: before-state again         ...... ... ..... cccccccccccccccc ..oo
allow build: act                        ...... ... ..... c+cccc++c+cccccc ..oo
allow build: read back                  ...... ... ..... cccccccccccccccc ..oo
allow build: verify                     ...... ... ..... cccccccccccccccc ..oo
allow build: look again                 ...... ... ..... cccccccccccccccc ..oo
allow build: look before the undo       ...... ... ..... cccccccccccccccc ..oo
allow build: undo                       ...... ... ..... cccccccccccc+cc+ ..oo
allow build: read the undo back         ...... ... ..... cccccccccccccccc ..oo
allow build: observe                    ...... ... ..... ................ ..oo
allow build: check after                ...... ... ..... ................ ..oo
allow build: of a turn                  .....x ... ..... ...............x ..oo
allow build: by hand                    .....x ... ..... +++++++++++++++x ..oo
allow verifier: find targets            .....x +++ ..... ...............x ..oo
allow verifier: discover                .....x ccc ..... ...............x ..oo
allow verifier: baseline                .....x +++ ..... ...............x ..oo
allow verifier: check before            .....x +++ ..... ...............x ..oo
allow verifier: before-state            .....x ... +++++ ...............x ..oo
allow verifier: before-state again      ...... ... ..... ++++++++++++++++ ..oo
allow verifier: act                     ...... ... ..... cccccccccccccccc ..oo
allow verifier: read back               ...... ... ..... ++++++++++++++++ ..oo
allow verifier: verify                  ...... ... ..... ++++++++++++++++ ..oo
allow verifier: look again              ...... ... ..... ++++++++++++++++ ..oo
allow verifier: look before the undo    ...... ... ..... ++++++++++++++++ ..oo
allow verifier: undo                    ...... ... ..... cccccccccccccccc ..oo
allow verifier: read the undo back      ...... ... ..... ++++++++++++++++ ..oo
allow verifier: observe                 ...... ... ..... ................ ++oo
allow verifier: check after             ...... ... ..... ................ ++oo
allow verifier: of a turn               .....x ccc ..... ...............x ..oo
allow verifier: by hand                 .....x +++ +++++ +++++++++++++++x ++oo
allow build: act, approved              ...... ... ..... ccccccc+cccccccc ..oo
allow build: act, another approved      ...... ... ..... cccccccccccccccc ..oo
allow verifier: act, only reading       ...... ... ..... c+cccc++c+cccccc ..oo
allow build: act in the next attempt    ...... ... ..... cccccccccccccccc ..oo
allow build: act under another id       cccccc ccc ccccc cccccccccccccccc ccoo
refuse a call                           ++++++ +++ +++++ ++++++++++++++++ ++oo
refuse under another id                 cccccc ccc ccccc cccccccccccccccc ccoo
finish a's call as ok                   cccccc ccc ccccc cc++++cccccccccc ccoo
finish a's call as an error             cccccc ccc ccccc cc++++cccccccccc ccoo
finish a's call as not sent             cccccc ccc ccccc cc+ccccccccccccc ccoo
finish a's call as unknown              cccccc ccc ccccc cc++++cccccccccc ccoo
void a's call                           ...... ... ..... cccc+ccccccccccc ..oo
settle a as done                        ...... ... ..... ccc+++cccccccccc ..oo
settle a as failed                      ...... ... ..... c+c+++++++cccccc ..oo
settle a as undone                      ...... ... ..... ccccccccccccc+cc ..oo
deviate at a                            ...... ... ..... ++++++++++++++++ ..oo
retry a                                 .....x ... ..... cccccccccceeccex ccc+
retry a and b                           .....x ... ..... cccccccccceccccx ccc+
retry a as a requester                  rrrrrx rrr rrrrr rrrrrrrrrrrrrrrx rrrr
retry nothing                           .....x ... ..... cccccccccccccccx cccc
cancel saying why                       +++++x +++ +++++ +++++++++++++++x ++oo
cancel without saying why               yyyyyx yyy yyyyy yyyyyyyyyyyyyyyx yyoo
cancel in no role                       rrrrrx rrr rrrrr rrrrrrrrrrrrrrrx rroo
close as done                           ...... .c. ..... ..c............. .+oo
close as nothing_to_do                  ...... .c. ..... ..c............. .+oo
close as partly_done                    ...... .c. ..... ..c............. .+oo
close as failed                         ...... .c. ..... ..c............. .+oo
close as not_feasible                   ...... .c. ..... ..c............. .+oo
close as refused                        ++++++ +c+ +++++ ..c............. .+oo
close as given_up                       ++++++ +c+ +++++ ..c............. .+oo
close as cancelled                      .....+ .c. ..... ..c............. .+oo
redact as an owner                      dddddd ddd ddddd dddddddddddddddd dd+d
redact as an approver                   dddddd ddd ddddd dddddddddddddddd ddrr
redact, without saying why              dddddd ddd ddddd dddddddddddddddd ddyy
redact no call                          dddddd ddd ddddd dddddddddddddddd dddd
";

/// Snapshots of states are read by programs that fold as their writer did, see `ledger::snapshot`.
#[test]
fn states_are_folded_as_snapshots_say() {
    let states: Vec<State> = situations().into_iter().map(|(_, story)| story.state).collect();
    assert_eq!(
        crate::artifact::digest_of(&states).unwrap().to_string(),
        "sha256:6eca7b23673297895a710567811e6178ecb9e109d45f372a51a7e0d3d0523969",
        "folding or the state changed: raise the number in FORM of ledger/snapshot.rs, then put this digest here"
    );
}
