//! Killed where any commit begins and where it has ended: before what is written is durable, which is after the effect
//! that came before it, and right after it is durable, which is before the effect that comes next. Each time the rest
//! must come to what comes without a kill.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use countersign::ledger::{Bundle, SqliteStore};
use serde_json::Value;

use crate::{
    bench::{Bench, command, outcomes},
    written::{DESIGN, SPEC},
};

/// Runs a command that halts at a point and kills it there; whether it came so far.
pub fn killed_at(bench: &Bench, args: &[&str], point: usize) -> bool {
    let mut command = command(&bench.root);
    command.args(args).env("COUNTERSIGN_HALT", point.to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let halted = lines.map_while(Result::ok).any(|line| line.starts_with("halted at point"));
    if halted {
        child.kill().unwrap();
    }
    assert_eq!(child.wait().unwrap().code().is_none(), halted);
    halted
}

/// The exit code where it waits for a person.
const WAITS: i32 = 3;

/// What an engagement came to.
#[derive(Debug, PartialEq)]
struct End {
    outcome: Value,
    steps: Vec<String>,
    /// What took effect in the lab, in order.
    writes: Vec<String>,
    network: Value,
}

fn end(bench: &Bench, id: &str, code: i32) -> End {
    let mut ran = bench.run(&["run", id, "--json"]);
    // Of a call that nobody heard of it is a person who says that what is there is its own.
    if ran.code == WAITS {
        bench.run(&["show", id]).shows("may this be taken back, which others may have made?");
        bench.approving(id, &["--reason", "it is its own"]).code(0);
        ran = bench.run(&["run", id, "--json"]);
    }
    let end = ran.code(code).json();
    let record = &end["record"];
    End {
        outcome: record["outcome"].clone(),
        steps: outcomes(&record["steps"], "node"),
        writes: bench.writes(),
        network: lab(bench),
    }
}

fn lab(bench: &Bench) -> Value {
    serde_json::from_str::<Value>(&bench.read(".countersign/servers/lab/lab.json")).unwrap()["network"].clone()
}

/// Fails unless the chain holds and no call was left without an outcome, or unknown without anything that settles it.
fn settled(bench: &Bench, id: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bundle = runtime.block_on(async {
        let store = SqliteStore::open(bench.root.join(".countersign/ledger.db")).await.unwrap();
        let bundle = Bundle::export(&store, &id.parse().unwrap()).await.unwrap();
        store.close().await;
        bundle
    });
    let found = bundle.verify();
    assert!(found.ok, "{:?}", found.problems);
    let events: Vec<Value> = bundle.events.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect();
    let of = |kind: &'static str| events.iter().filter(move |event| event["kind"] == kind).map(|event| &event["body"]);
    for call in of("call.allowed") {
        let said: Vec<&Value> =
            of("call.finished").filter(|over| over["call"] == call["call"]).map(|over| &over["outcome"]).collect();
        let last = said.last().unwrap_or_else(|| panic!("{call} has no outcome"));
        if *last != "unknown" {
            continue;
        }
        // Nothing is unknown in the end: it was read again, called void, or the step was settled by what was read
        // back or a person saw.
        let again = of("call.allowed").filter(|other| other["purpose"] == call["purpose"]).count() > 1;
        let void = of("call.void").any(|void| void["call"] == call["call"]);
        let by_step = |of_call: &Value| {
            let purpose = call["purpose"].as_object().unwrap().values().next().unwrap();
            let known = !["unknown", "undo_failed"].iter().any(|not| of_call["outcome"] == *not);
            known && of_call["node"] == purpose["node"]
        };
        let (act, undo) = (&call["purpose"]["act"]["node"], &call["purpose"]["undo"]["node"]);
        let said = of("approval.answered").map(|said| &said["about"]["unknown"]).any(|unknown| {
            let of_undo = unknown["undo"] == true;
            let node = if of_undo { undo } else { act };
            !node.is_null() && unknown["node"] == *node
        });
        assert!(
            again || void || said || of("step.settled").any(by_step),
            "{call} is unknown, and nothing settled that"
        );
    }
}

/// Kills a command at every point of it, each time in a workspace as it was before, and has the rest done; at how many
/// points that was.
fn at_every_point(start: &Bench, args: &[&str], mut rest: impl FnMut(&Bench, usize)) -> usize {
    for point in 1.. {
        let bench = start.copy();
        if !killed_at(&bench, args, point) {
            assert!(point > 2, "nothing was written");
            return point - 1;
        }
        rest(&bench, point);
    }
    unreachable!()
}

/// Kills the build at every point of it.
fn killed_while_it_builds(ready: &Bench, id: &str, code: i32, writes: usize) {
    let unharmed = ready.copy();
    let wanted = end(&unharmed, id, code);
    settled(&unharmed, id);
    assert_eq!(wanted.writes.len(), writes, "{wanted:?}");
    let points = at_every_point(ready, &["run", id], |bench, point| {
        assert_eq!(end(bench, id, code), wanted, "killed at point {point}");
        settled(bench, id);
    });
    // An intent and an outcome for each change and each read around it.
    assert!(points >= 14, "only {points} points");
}

#[test]
fn a_build_that_is_killed_at_any_commit_makes_each_change_once() {
    let bench = Bench::impatient();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    killed_while_it_builds(&bench, &id, 0, 1);
}

#[test]
fn taking_back_that_is_killed_at_any_commit_takes_back_once_and_still_clears_up() {
    let bench = Bench::impatient();
    let design = DESIGN.replace("name: guest}\n", "name: guest}\n    on_failure: undo_all\n").replace(
        "acceptance:",
        "  - {id: last, tool: port.vlan.set, needs: [create], with: {switch: sw01, port: Gi1/0/8, vlan: 20}, \
         always: true}\nacceptance:",
    );
    // What clears up stands for itself: it does not need the VLAN that is taken back.
    let spec = SPEC.replace("vlan: {is: 120}}}", "vlan: {is: 20}}}");
    let id = bench.request_written(&spec, &design);
    bench.to_gate2(&id);
    bench.fault("half:vlan.create@sw02");
    bench.approve(&id);
    let unharmed = bench.copy();
    let writes = {
        end(&unharmed, &id, 6);
        unharmed.writes()
    };
    assert!(writes.iter().any(|write| write.starts_with("vlan.delete")), "{writes:?}");
    assert!(writes.iter().any(|write| write.starts_with("port.vlan.set")), "{writes:?}");
    killed_while_it_builds(&bench, &id, 6, writes.len());
}

#[test]
fn what_comes_before_the_build_may_be_killed_at_any_commit_too() {
    let bench = Bench::impatient();
    let id = bench.request_one();
    let asks = |about: &'static str| {
        let id = id.clone();
        move |bench: &Bench, point: usize| {
            assert_eq!(bench.drive(&id, 3)["status"]["about"], about, "killed at point {point}");
            settled(bench, &id);
        }
    };
    at_every_point(&bench, &["run", &id], asks("gate1"));
    bench.drive(&id, 3);
    bench.approve(&id);
    at_every_point(&bench, &["run", &id], asks("gate2"));
    bench.drive(&id, 3);
    let digest = bench.question(&id);
    at_every_point(&bench, &["approve", &id, "--digest", &digest], |bench, point| {
        // Before the commit it was not given, after it it was.
        let again = bench.run(&["approve", &id, "--digest", &digest]).code_in(&[0, 2]).code;
        assert_eq!(again, if point == 1 { 0 } else { 2 });
        settled(bench, &id);
    });
}

#[test]
fn a_build_that_is_killed_where_its_target_cannot_be_read_any_more_asks_a_person_what_happened() {
    let bench = Bench::impatient();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    // What took effect is checked as it was designed: where that cannot be read either, nobody knows what it came to.
    unread(&bench, &id, "error:vlan.list", ["create/sw01 unknown", "create/sw01 failed"]);
    // What can be read when the question is answered beats what is said, and what did not take effect is done then.
    unread(&bench, &id, "error:vlan.list,times=3", ["create/sw01 done"; 2]);
}

/// Kills a build of one step at every point of it, after which reads fail, and says what is there; the step comes to this
/// where it took effect and where not.
fn unread(start: &Bench, id: &str, fault: &str, comes: [&str; 2]) {
    let mut asked = 0;
    at_every_point(start, &["run", id], |bench, point| {
        bench.fault(fault);
        let mut ran = bench.run(&["run", id, "--json"]);
        if ran.code == 3 {
            asked += 1;
            let shown = bench.run(&["show", id]).code(0).out;
            assert!(shown.contains("did this call take effect?") && shown.contains("gave no answer"), "{shown}");
            // Whoever looks at the switch itself sees what the lab has.
            let there = bench.vlan("120")[0] != Value::Null;
            let choice = if there { "applied" } else { "not-applied" };
            bench.run(&["answer", id, choice, "--digest", &bench.question(id)]).code(0);
            ran = bench.run(&["run", id, "--json"]);
            let steps = outcomes(&ran.json()["record"]["steps"], "node");
            assert_eq!(steps, [comes[usize::from(!there)]], "killed at point {point}");
        }
        assert_ne!(ran.code, 3, "killed at point {point}: {}", ran.out);
        let created = bench.writes().iter().filter(|write| write.starts_with("vlan.create")).count();
        assert!(created <= 1, "killed at point {point}: {:?}", bench.writes());
        settled(bench, id);
    });
    assert!(asked >= 2, "asked at {asked} points only");
}

#[test]
fn taking_back_that_is_killed_where_its_target_cannot_be_read_any_more_asks_a_person_what_happened() {
    let bench = Bench::impatient();
    let one = |text: &str| text.replace(r#""sw01", "sw02""#, r#""sw01""#).replace("[sw01, sw02]", "[sw01]");
    let design = one(DESIGN).replace("name: guest}\n", "name: guest}\n    on_failure: undo_all\n");
    let id = bench.request_written(&one(SPEC), &design);
    bench.to_gate2(&id);
    bench.fault("half:vlan.create");
    bench.approve(&id);
    let (mut asked, mut gone) = (0, 0);
    at_every_point(&bench, &["run", &id], |bench, point| {
        bench.fault("error:vlan.list");
        let before = asked;
        let mut ran = bench.run(&["run", &id, "--json"]);
        while ran.code == 3 {
            let shown = bench.run(&["show", &id]).code(0).out;
            let of_undo = shown.contains("did this undo take effect?");
            assert!(of_undo || shown.contains("did this call take effect?"), "{shown}");
            // Whoever looks at the switches themselves sees what the lab has.
            let there = bench.vlan("120")[0] != Value::Null;
            if of_undo {
                assert!(shown.contains("the step counts as taken back"), "{shown}");
                (asked, gone) = (asked + 1, gone + usize::from(!there));
            }
            let choice = if there == of_undo { "not-applied" } else { "applied" };
            bench.run(&["answer", &id, choice, "--digest", &bench.question(&id)]).code(0);
            ran = bench.run(&["run", &id, "--json"]);
        }
        // What somebody says is no evidence that it is gone.
        let steps = outcomes(&ran.json()["record"]["steps"], "node");
        assert!(asked == before || steps == ["create/sw01 unknown"], "killed at point {point}: {steps:?}");
        let writes = bench.writes();
        for tool in ["vlan.create", "vlan.delete"] {
            let times = writes.iter().filter(|write| write.starts_with(tool)).count();
            assert!(times <= 1, "killed at point {point}: {writes:?}");
        }
        settled(bench, &id);
    });
    assert!(asked >= 2 && (1..asked).contains(&gone), "asked {asked} times, {gone} of them it was gone");
}

#[test]
fn a_tool_that_knows_a_call_by_its_id_is_asked_under_it_wherever_it_was_killed() {
    let bench = Bench::impatient();
    let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
    bench.to_gate2(&id);
    bench.approve(&id);
    let end = |bench: &Bench| {
        // Which address it is to publish is known only now, and agreed to by a person.
        bench.yes_to_all(&id);
        end(bench, &id, 0)
    };
    let unharmed = bench.copy();
    let wanted = end(&unharmed);
    let points = at_every_point(&bench, &["run", &id], |bench, point| {
        assert_eq!(end(bench), wanted, "killed at point {point}");
        settled(bench, &id);
    });
    assert!(wanted.writes.len() == 2 && points >= 8, "{points} points, {wanted:?}");
}

#[test]
fn what_a_person_says_is_said_once_wherever_the_command_was_killed() {
    let bench = Bench::impatient();
    let filing = ["request", "--blueprint", "vlan", "--set", "id=120", "--set", "name=guest", "--set", "switches=sw01"];
    at_every_point(&bench, &filing, |bench, point| {
        // Before the commit there is none, and after it there is one that goes on.
        let list = bench.list();
        assert_eq!(list.len(), point - 1);
        for line in list {
            let id = line["id"].as_str().unwrap();
            bench.drive(id, 3);
            settled(bench, id);
        }
    });
    let design = DESIGN.replace("name: guest}\n", "name: guest}\n    on_failure: ask\n");
    let id = bench.request_written(SPEC, &design);
    bench.drive(&id, 3);
    let said = |start: &Bench, args: &[&str]| {
        let digest = start.question(&id);
        let args = [args, &["--digest", &digest]].concat();
        at_every_point(start, &args, |bench, point| {
            let again = bench.run(&args).code_in(&[0, 2, 6]).code;
            assert_eq!(again == 2, point > 1, "killed at point {point}");
            settled(bench, &id);
        });
    };
    said(&bench, &["approve", &id]);
    bench.approve(&id);
    bench.drive(&id, 3);
    bench.fault("error:vlan.create@sw02");
    bench.approve(&id);
    bench.drive(&id, 3);
    said(&bench, &["answer", &id, "stop"]);
    bench.run(&["answer", &id, "stop", "--digest", &bench.question(&id)]).code_in(&[0, 6]);
    bench.drive(&id, 6);
    // What failed is put right by hand, and tried again.
    bench.heal();
    let again = ["run", &id, "--retry", "failed"];
    at_every_point(&bench, &again, |bench, point| {
        let ran = bench.run(&["run", &id, "--json"]);
        // It was closed still, where the kill came before the first commit.
        let ran = if point == 1 { bench.run(&again) } else { ran };
        assert!([0, 3, 6].contains(&ran.code), "killed at point {point}: {}", ran.err);
        settled(bench, &id);
    });
}

#[test]
fn a_last_page_that_was_torn_as_the_process_died_costs_what_was_in_it_and_nothing_else() {
    let bench = Bench::impatient();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    let unharmed = bench.copy();
    let wanted = end(&unharmed, &id, 0);
    let (mut refused, mut torn) = (0, 0);
    at_every_point(&bench, &["run", &id], |bench, point| {
        let log = bench.root.join(".countersign/ledger.db-wal");
        let mut bytes = std::fs::read(&log).unwrap_or_default();
        // Half of the last frame is something else: what the disk was asked to write, and did not.
        let half = bytes.len().saturating_sub(2_048);
        torn += usize::from(half > 0);
        bytes[half..].fill(0x5a);
        std::fs::write(&log, bytes).unwrap();
        let ran = bench.run(&["run", &id, "--json"]);
        // What a checkpoint was signed over is missed, and nothing is gone on with then.
        if ran.code == 5 && ran.err.contains("was rolled back") {
            refused += 1;
            return;
        }
        let came = end(bench, &id, 0);
        // A disk that lost an intent after it had said that it is durable: what it led to is found, and not done again.
        assert!(["create/sw01 done", "create/sw01 unchanged"].contains(&came.steps[0].as_str()), "{:?}", came.steps);
        let steps = wanted.steps.clone();
        assert_eq!(End { steps, ..came }, wanted, "killed at point {point}");
        settled(bench, &id);
    });
    assert!(torn >= 12 && (1..3).contains(&refused), "{torn} torn, {refused} refused");
}
