//! Servers that finish what they began whatever becomes of whoever asked: nothing of them acts once its effect was looked
//! for, so nothing is done twice and nothing is done that the record does not know of.

use std::{
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::bench::{Bench, outcomes, program, run_in};

/// Stands in front of the lab: the first change is begun late, whatever becomes of its standard input, and no polite
/// request ends it. The lab runs in a session of its own.
const LATE: &str = r#"
import os, signal, subprocess, sys, time
beside, late, program = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lab = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True)
for line in sys.stdin:
    if '"vlan.create"' in line and not os.path.exists(beside + "/begun"):
        open(beside + "/begun", "w").close()
        time.sleep(late)
    if '"vlan.create"' in line:
        open(beside + "/acted", "a").write("acted\n")
    lab.stdin.write(line)
    lab.stdin.flush()
    if '"id"' in line:
        answer = lab.stdout.readline()
        try:
            sys.stdout.write(answer)
            sys.stdout.flush()
        except BrokenPipeError:
            pass
"#;

/// Stands in front of the lab: the first change is answered at once with what is no document, and is begun late.
const USELESS: &str = r#"
import json, os, subprocess, sys, threading, time
beside, late, program = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
lab = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True)
one = threading.Lock()
def pass_on(line):
    with one:
        if '"vlan.create"' in line:
            open(beside + "/acted", "a").write("acted\n")
        lab.stdin.write(line)
        lab.stdin.flush()
        return lab.stdout.readline() if '"id"' in line else ""
def pass_on_late(line):
    time.sleep(late)
    pass_on(line)
for line in sys.stdin:
    if '"vlan.create"' in line and not os.path.exists(beside + "/begun"):
        open(beside + "/begun", "w").close()
        threading.Thread(target=pass_on_late, args=(line,), daemon=True).start()
        content = [{"type": "text", "text": "done, more or less"}]
        answer = json.dumps({"jsonrpc": "2.0", "id": json.loads(line)["id"], "result": {"content": content}}) + "\n"
    else:
        answer = pass_on(line)
    sys.stdout.write(answer)
    sys.stdout.flush()
"#;

/// A workspace with a server that acts so much later than it should, and an engagement of one change that may be built.
fn ready(bench: Bench, later: f64) -> (Bench, PathBuf, String) {
    ready_behind(bench, LATE, later)
}

fn ready_behind(bench: Bench, server: &str, later: f64) -> (Bench, PathBuf, String) {
    let beside = bench.in_front("");
    std::fs::write(beside.join("late.py"), server).unwrap();
    // A shell that has the server as its child, as scripts that start servers do.
    let started =
        format!("/usr/bin/python3 '{0}/late.py' '{0}' {later} '{1}' \"$@\"", beside.display(), program().display());
    bench.write("lab.sh", &format!("#!/bin/sh\ntrap '' TERM\n{started}\nexit $?\n"));
    bench.run(&["tools", "pin", "--yes"]).code(0);
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    (bench, beside, id)
}

/// Waits until the server has been asked for the change; since when it has.
fn asked(beside: &std::path::Path) -> Instant {
    let since = Instant::now();
    while !beside.join("begun").exists() {
        assert!(since.elapsed() < Duration::from_secs(60), "it was not asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    Instant::now()
}

/// When the server would have acted, and some time more.
fn wait_for_it(asked: Instant, later: f64) {
    let late = Duration::from_secs_f64(later + 1.0);
    std::thread::sleep(late.saturating_sub(asked.elapsed()));
}

/// How often a change was passed on to the lab, which refuses what is there already.
fn acted(beside: &std::path::Path) -> usize {
    std::fs::read_to_string(beside.join("acted")).unwrap_or_default().lines().count()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// Runs an engagement and kills the program once the server was asked; since when it was.
fn killed(bench: &Bench, beside: &std::path::Path, id: &str) -> Instant {
    let mut child = bench.start(&["run", id]);
    let begun = asked(beside);
    child.kill().unwrap();
    child.wait().unwrap();
    begun
}

#[test]
fn what_a_killed_program_left_running_acts_no_more() {
    let later = 5.0;
    let (bench, beside, id) = ready(Bench::impatient(), later);
    let begun = killed(&bench, &beside, &id);
    let end = bench.drive(&id, 0);
    assert_eq!(outcomes(&end["record"]["targets"], "target"), ["sw01 done"]);
    assert!(begun.elapsed().as_secs_f64() < later, "it was looked for before the server would have acted");
    wait_for_it(begun, later);
    assert_eq!((bench.writes().len(), acted(&beside)), (1, 1), "the second attempt alone");
    bench.holds(&id);
}

#[test]
fn what_a_killed_program_left_running_acts_no_more_after_the_workspace_was_moved() {
    let later = 5.0;
    let (bench, beside, id) = ready(Bench::impatient(), later);
    let begun = killed(&bench, &beside, &id);
    let moved = bench.outside("moved");
    std::fs::rename(&bench.root, &moved).unwrap();
    let answer = run_in(&moved, &["run", &id]).code(0);
    assert!(answer.err.contains("left running by a program that has ended"), "{}", answer.err);
    wait_for_it(begun, later);
    assert_eq!(acted(&beside), 1, "the second attempt alone");
}

#[test]
fn a_server_that_did_not_answer_in_time_acts_no_more() {
    let later = 5.0;
    let (bench, beside, id) = ready(Bench::impatient(), later);
    let end = bench.drive(&id, 0);
    let begun = asked(&beside);
    assert_eq!(outcomes(&end["record"]["targets"], "target"), ["sw01 done"]);
    let late = bench.events(&id, "call.finished");
    assert!(late.iter().any(|event| event["body"]["message"] == "no answer within 1 seconds"), "{late:?}");
    assert_eq!(bench.events(&id, "call.void").len(), 1);
    wait_for_it(begun, later);
    assert_eq!((bench.writes().len(), acted(&beside)), (1, 1), "the second attempt alone");
    bench.holds(&id);
}

#[test]
fn a_server_whose_answer_cannot_be_used_acts_no_more() {
    let later = 3.0;
    let (bench, beside, id) = ready_behind(Bench::new(), USELESS, later);
    let end = bench.drive(&id, 0);
    let begun = asked(&beside);
    assert_eq!(outcomes(&end["record"]["targets"], "target"), ["sw01 done"]);
    assert_eq!(bench.events(&id, "call.void").len(), 1);
    wait_for_it(begun, later);
    assert_eq!((bench.writes().len(), acted(&beside)), (1, 1), "the second attempt alone");
    bench.holds(&id);
}

#[test]
fn what_was_cancelled_after_the_program_was_left_is_not_done_later() {
    // Later than is waited for, so that the program is left while it waits.
    let later = 8.0;
    let (bench, beside, id) = ready(Bench::new(), later);
    let mut child = bench.start(&["run", &id]);
    let begun = asked(&beside);
    signal(&child, Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, Signal::SIGINT);
    child.wait().unwrap();
    bench.run(&["cancel", &id, "--reason", "it hangs"]).code(0);
    let end = bench.drive(&id, 1);
    assert_eq!(end["record"]["outcome"], "cancelled");
    wait_for_it(begun, later);
    assert_eq!((bench.writes().len(), acted(&beside)), (0, 0));
    bench.holds(&id);
}

#[test]
fn an_outcome_waits_while_another_process_has_the_ledger_locked() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.fault("slow:vlan.create@sw01,ms=3000");
    let mut child = bench.start(&["run", &id]);
    let since = Instant::now();
    while bench.events(&id, "call.allowed").iter().all(|event| event["body"]["tool"] != "vlan.create") {
        assert!(since.elapsed() < Duration::from_secs(60), "it was not asked");
    }
    let other = rusqlite::Connection::open(bench.root.join(".countersign/ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Longer than one try to write takes.
    std::thread::sleep(Duration::from_secs(34));
    other.execute_batch("ROLLBACK").unwrap();
    assert!(child.wait().unwrap().success());
    let said = bench.events(&id, "call.finished");
    assert!(said.iter().all(|event| event["body"]["outcome"] == "ok"), "{said:?}");
    assert_eq!(bench.writes().len(), 1);
    bench.holds(&id);
}
