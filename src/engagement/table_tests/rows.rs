//! Every command there is, each with the name of its row.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::super::{
    About, Answer, CallOutcome, CallVoid, Closed, Command, Purpose, Redacts, RefusedAs, Retried, SpecProved, State,
    testing::{act, allow, answer, ask, deviate, digest, file, finish, intent, node, proved, refuse, ruled, settle},
};
use crate::{
    artifact::{Agent, ArtifactKind, CallId, Digest, OnFailure, Phase, RecordOutcome},
    facts::Role,
    flow::NodeOutcome,
};

pub(super) fn close(outcome: RecordOutcome) -> Command {
    Command::Close(Closed { outcome, reason: "because".into() })
}

fn redact(call: u64, role: Role, reason: &str) -> Command {
    let (roles, people, reason) = ([role].into(), digest("people"), reason.to_owned());
    let by = Redacts { roles, needs: Role::Owner, people, reason };
    Command::Redact { calls: [CallId::nth(call)].into(), answers: BTreeSet::new(), by, signed: None }
}

/// Every purpose, for node `a` in its attempt.
pub(super) fn purposes(state: &State) -> [Purpose; 17] {
    let (node, attempt) = (node("a"), state.attempt(&node("a")));
    let n = || node.clone();
    [
        Purpose::Find { tool: "vlan.list".parse().unwrap(), by: digest("what lets it") },
        Purpose::Discover { read: "vlans".parse().unwrap(), item: None },
        Purpose::Baseline { node: n() },
        Purpose::CheckBefore { check: "A2".into(), item: 0 },
        Purpose::Before { node: n() },
        Purpose::Recheck { node: n(), attempt },
        Purpose::Act { node: n(), attempt, r#try: 1 },
        Purpose::ReadBack { node: n(), attempt },
        Purpose::Verify { node: n(), attempt },
        Purpose::LookAgain { node: n(), attempt },
        Purpose::BeforeUndo { node: n() },
        Purpose::Undo { node: n() },
        Purpose::UndoCheck { node: n() },
        Purpose::Observe { node: n() },
        Purpose::CheckAfter { check: "A1".into(), item: 0 },
        Purpose::Turn { turn: 1, call: 1 },
        Purpose::Proposed { n: 1 },
    ]
}

pub(super) fn purpose_name(purpose: &Purpose) -> &'static str {
    match purpose {
        Purpose::Find { .. } => "find targets",
        Purpose::Discover { .. } => "discover",
        Purpose::Baseline { .. } => "baseline",
        Purpose::CheckBefore { .. } => "check before",
        Purpose::Before { .. } => "before-state",
        Purpose::Recheck { .. } => "before-state again",
        Purpose::Act { .. } => "act",
        Purpose::ReadBack { .. } => "read back",
        Purpose::Verify { .. } => "verify",
        Purpose::LookAgain { .. } => "look again",
        Purpose::BeforeUndo { .. } => "look before the undo",
        Purpose::Undo { .. } => "undo",
        Purpose::UndoCheck { .. } => "read the undo back",
        Purpose::Observe { .. } => "observe",
        Purpose::CheckAfter { .. } => "check after",
        Purpose::Turn { .. } => "of a turn",
        Purpose::Proposed { .. } => "by hand",
    }
}

pub(super) fn about_name(about: &About) -> &'static str {
    match about {
        About::Gate1 => "gate 1",
        About::Gate2 => "gate 2",
        About::Call { .. } => "a call",
        About::Deviation { .. } => "a deviation",
        About::Failure { .. } => "a failure",
        About::Unknown { .. } => "an unknown call",
    }
}

/// The first word of a command's rows.
fn verb(command: &Command) -> &'static str {
    match command {
        Command::Enter { .. } => "enter",
        Command::File { .. } => "file",
        Command::Turn(_) => "turn",
        Command::Inquire(_) => "inquire",
        Command::Say { .. } => "say",
        Command::GiveBack(_) => "give back",
        Command::Fill(_) => "fill",
        Command::Consider(_) => "consider",
        Command::Prove(_) => "prove",
        Command::Ask(_) => "ask",
        Command::Answer { .. } => "answer",
        Command::Rule { .. } => "rule",
        Command::Allow(_) => "allow",
        Command::Refuse(_) => "refuse",
        Command::Finish(_) => "finish",
        Command::Void(_) => "void",
        Command::Settle(_) => "settle",
        Command::Deviate(_) => "deviate",
        Command::Retry { .. } => "retry",
        Command::Cancel { .. } => "cancel",
        Command::Redact { .. } => "redact",
        Command::Close(_) => "close",
    }
}

/// Every command for a state, with the name of its row.
pub(in crate::engagement) fn commands(state: &State) -> Vec<(String, Command)> {
    let mut rows = Vec::new();
    let mut row = |name: String, command: Command| rows.push((format!("{} {name}", verb(&command)), command));
    let some = || Some("because".to_owned());
    for phase in Phase::ALL {
        row(phase.to_string(), Command::Enter { phase, reason: None });
    }
    row("as-built, saying why".into(), Command::Enter { phase: Phase::AsBuilt, reason: some() });
    for artifact in ArtifactKind::ALL {
        row(artifact.to_string(), file(state, artifact));
    }
    for artifact in ArtifactKind::ALL {
        let command = Command::File { artifact, digest: digest("made up"), made_from: vec![digest("nothing")] };
        row(format!("{artifact} from nothing"), command);
    }
    row("the spec".into(), Command::Prove(proved(state)));
    row("another spec".into(), Command::Prove(SpecProved { spec: digest("another"), ..proved(state) }));
    let (a, call) = (node("a"), intent(state, Agent::Build, act("a", 1)).digest);
    for about in [
        About::Gate1,
        About::Gate2,
        About::Call { node: a.clone(), call },
        About::Deviation { node: a.clone() },
        About::Failure { node: a.clone() },
        About::Unknown { node: a, undo: false },
    ] {
        row(format!("about {}", about_name(&about)), ask(about));
    }
    answers(state, &mut row);
    for agent in Agent::ALL {
        for purpose in purposes(state) {
            row(format!("{agent}: {}", purpose_name(&purpose)), allow(state, agent, purpose));
        }
    }
    let acting = intent(state, Agent::Build, act("a", state.attempt(&node("a"))));
    let mut changed = acting.clone();
    changed.approved = true;
    row("build: act, approved".into(), Command::Allow(Box::new(changed.clone())));
    changed.digest = digest("another call");
    row("build: act, another approved".into(), Command::Allow(Box::new(changed)));
    let mut read = acting.clone();
    (read.agent, read.counts) = (Agent::Verifier, None);
    row("verifier: act, only reading".into(), Command::Allow(Box::new(read)));
    let next = act("a", state.attempt(&node("a")) + 1);
    row("build: act in the next attempt".into(), allow(state, Agent::Build, next));
    let mut changed = acting;
    changed.call = CallId::nth(77);
    row("build: act under another id".into(), Command::Allow(Box::new(changed)));
    row("a call".into(), refuse(state, Agent::Build, act("a", 1), RefusedAs::Denied));
    let Command::Refuse(mut refused) = refuse(state, Agent::Build, act("a", 1), RefusedAs::Denied) else { panic!() };
    refused.call = CallId::nth(77);
    row("under another id".into(), Command::Refuse(refused));
    let last = state.calls.iter().max_by_key(|(_, call)| call.at);
    let last = last.map_or_else(|| CallId::nth(77), |(id, _)| id.clone());
    let own = state.call_for(&act("a", 1)).map_or_else(|| CallId::nth(77), |(id, _)| id.clone());
    for (name, outcome) in [
        ("ok", CallOutcome::Ok),
        ("an error", CallOutcome::Error),
        ("not sent", CallOutcome::NotSent),
        ("unknown", CallOutcome::Unknown),
    ] {
        row(format!("a's call as {name}"), finish(&own, outcome));
    }
    row("a's call".into(), Command::Void(CallVoid { call: own, node: node("a"), attempt: 2, shown_by: last }));
    for (name, outcome, changed) in [
        ("a as done", NodeOutcome::Done, true),
        ("a as failed", NodeOutcome::Failed, false),
        ("a as undone", NodeOutcome::Undone, false),
    ] {
        row(name.into(), settle(state, "a", outcome, changed));
    }
    row("at a".into(), deviate("a"));
    let again = |nodes: &[(&str, u32)], role: Role| {
        let nodes: BTreeMap<String, u32> = nodes.iter().map(|(node, attempt)| ((*node).into(), *attempt)).collect();
        Command::Retry { retried: Retried { nodes, calls: Vec::new() }, roles: [role].into() }
    };
    row("a".into(), again(&[("a", 2)], Role::Approver));
    row("a and b".into(), again(&[("a", 2), ("b", 1)], Role::Owner));
    row("a as a requester".into(), again(&[("a", 2)], Role::Requester));
    row("nothing".into(), again(&[], Role::Approver));
    let cancel = |reason: &str, roles: &[Role]| {
        let roles: BTreeSet<Role> = roles.iter().copied().collect();
        Command::Cancel { reason: reason.into(), roles }
    };
    row("saying why".into(), cancel("enough", &[Role::Requester]));
    row("without saying why".into(), cancel(" ", &[Role::Owner]));
    row("in no role".into(), cancel("enough", &[]));
    for outcome in OUTCOMES {
        row(format!("as {}", json!(outcome).as_str().unwrap()), close(outcome));
    }
    row("as an owner".into(), redact(1, Role::Owner, "because"));
    row("as an approver".into(), redact(1, Role::Approver, "because"));
    rows.push(("redact, without saying why".into(), redact(1, Role::Owner, " ")));
    rows.push(("redact no call".into(), redact(99, Role::Owner, "because")));
    rows
}

const OUTCOMES: [RecordOutcome; 8] = [
    RecordOutcome::Done,
    RecordOutcome::NothingToDo,
    RecordOutcome::PartlyDone,
    RecordOutcome::Failed,
    RecordOutcome::NotFeasible,
    RecordOutcome::Refused,
    RecordOutcome::GivenUp,
    RecordOutcome::Cancelled,
];

fn answers(state: &State, row: &mut impl FnMut(String, Command)) {
    let approver = [Role::Approver];
    row("yes".into(), answer(state, Answer::Approve, &approver));
    row(
        "yes, with calls".into(),
        with(answer(state, Answer::Approve, &approver), |_, _, calls, _| {
            calls.push(digest("call"));
        }),
    );
    row("yes as a requester".into(), answer(state, Answer::Approve, &[Role::Requester]));
    row("yes in no role".into(), answer(state, Answer::Approve, &[]));
    row(
        "yes to another text".into(),
        with(answer(state, Answer::Approve, &approver), |_, request, _, _| {
            *request = digest("another request");
        }),
    );
    row(
        "yes to another question".into(),
        with(answer(state, Answer::Approve, &approver), |about, _, _, _| {
            *about = if *about == About::Gate2 { About::Gate1 } else { About::Gate2 };
        }),
    );
    row("no".into(), answer(state, Answer::Reject, &approver));
    row(
        "no, without saying why".into(),
        with(answer(state, Answer::Reject, &approver), |_, _, _, reason| {
            *reason = Some("  ".into());
        }),
    );
    row("stop".into(), answer(state, Answer::Choose(OnFailure::Stop), &approver));
    row("ask".into(), answer(state, Answer::Choose(OnFailure::Ask), &approver));
    let silent = with(answer(state, Answer::Approve, &approver), |_, _, _, reason| *reason = None);
    row("yes, without saying why".into(), silent);
    row("yes, by policy".into(), ruled(state));
    row("it took effect".into(), answer(state, Answer::Applied(true), &approver));
}

fn with(
    mut command: Command,
    change: impl FnOnce(&mut About, &mut Digest, &mut Vec<Digest>, &mut Option<String>),
) -> Command {
    if let Command::Answer { about, request, calls, reason, .. } = &mut command {
        change(about, request, calls, reason);
    }
    command
}
