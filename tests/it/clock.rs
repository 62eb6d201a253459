//! A clock that goes back or ahead while an engagement is under way: nothing is lost, nothing is done twice, and no event
//! is earlier than the one before it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    bench::{Answer, Bench, command, finish},
    written::{DESIGN, SPEC},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// What stands between the program and the clock: it adds so many seconds to what the clock says, of which a file may
/// say others meanwhile.
const SHIFTED: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *by = getenv("CLOCK_OFF_BY");
    int failed = real(id, now);
    char told[32];
    const char *file = getenv("CLOCK_OFF_FILE");
    FILE *open = file ? fopen(file, "r") : 0;
    if (open) {
        if (fgets(told, sizeof told, open)) by = told;
        fclose(open);
    }
    if (!failed && by && id == CLOCK_REALTIME) now->tv_sec += atol(by);
    return failed;
}
"#;

/// A workspace with a clock that can be set; the C compiler that builds SQLite makes it.
struct Clocked {
    bench: Bench,
    library: PathBuf,
}

impl Clocked {
    fn new() -> Self {
        let bench = Bench::new();
        let (source, library) = (bench.outside("clock.c"), bench.outside("clock.so"));
        std::fs::write(&source, SHIFTED).unwrap();
        let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
        assert!(made.unwrap().success(), "the clock does not compile");
        Self { bench, library }
    }

    /// Runs a command with the clock off by so many seconds.
    fn run(&self, off_by: i64, args: &[&str]) -> Answer {
        let mut command = command(Path::new(&self.bench.root));
        command.args(args).env("LD_PRELOAD", &self.library).env("CLOCK_OFF_BY", off_by.to_string());
        finish(command)
    }

    /// When each event of an engagement was written, in seconds; no event is earlier than the one before it.
    fn times(&self, id: &str) -> Vec<i64> {
        let at = |event: &Value| event["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let times: Vec<_> = self.bench.json(&["log", id]).as_array().unwrap().iter().map(at).collect();
        assert!(times.is_sorted(), "{times:?}");
        times.into_iter().map(jiff::Timestamp::as_second).collect()
    }
}

#[test]
fn a_clock_that_goes_back_or_ahead_between_two_runs_loses_nothing_and_does_nothing_twice() {
    for off_by in [-HOUR, DAY] {
        let clocked = Clocked::new();
        let bench = &clocked.bench;
        let id = bench.request_one();
        bench.to_gate2(&id);
        bench.approve(&id);
        let approved = *clocked.times(&id).last().unwrap();
        clocked.run(off_by, &["run", &id, "--json"]).code(0);
        assert_eq!(bench.writes().len(), 1);
        bench.holds(&id);
        let ended = *clocked.times(&id).last().unwrap();
        // Where the clock went back, the chain's goes on from its last event.
        let passed = ended - approved;
        assert!(if off_by < 0 { (0..90).contains(&passed) } else { passed > DAY - HOUR }, "{off_by}: {passed}");
    }
}

#[test]
fn a_question_that_was_asked_on_a_day_that_has_not_come_can_be_answered() {
    let clocked = Clocked::new();
    let bench = &clocked.bench;
    let id = bench.request_one();
    clocked.run(DAY, &["run", &id, "--json"]).code(3);
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    bench.approve(&id);
    bench.drive(&id, 0);
    assert_eq!(bench.writes().len(), 1);
    bench.holds(&id);
    let times = clocked.times(&id);
    assert!(times.last().unwrap() - times.first().unwrap() > DAY - HOUR);
}

#[test]
fn a_window_that_ended_while_the_clock_was_ahead_is_over_and_nothing_is_asked_without_end() {
    let clocked = Clocked::new();
    let bench = &clocked.bench;
    let now = jiff::Timestamp::now();
    let after = |seconds: i64| jiff::Timestamp::from_second(now.as_second() + seconds).unwrap();
    let window =
        format!("  window: {{from: '{}', until: '{}'}}\n  rollback: required\n", after(-HOUR), after(6 * HOUR));
    bench.edit("prompts/blueprints/vlan.yaml", "  rollback: required\n", &window);
    let id = bench.request_one();
    bench.to_gate2(&id);
    let digest = bench.question(&id);
    clocked.run(7 * HOUR, &["approve", &id, "--digest", &digest]).code(0);
    let end = bench.drive(&id, 1);
    assert_eq!(end["record"]["outcome"], "failed");
    assert_eq!(bench.events(&id, "call.refused"), Vec::<Value>::new());
    assert_eq!(bench.writes(), Vec::<String>::new());
    bench.holds(&id);
}

#[test]
fn a_yes_that_ended_before_it_was_used_is_asked_for_again_and_the_question_says_so() {
    let clocked = Clocked::new();
    let bench = &clocked.bench;
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    let asked = clocked.run(73 * HOUR, &["run", &id]).code(3).shows("ONE CALL").shows("ada (asserted, OS user");
    asked.shows(", and that ended on").shows("WHAT A NO MEANS").shows("The step fails without running; then");
    assert_eq!(bench.writes(), Vec::<String>::new());
    bench.holds(&id);
}

#[test]
fn a_pause_is_as_long_as_it_should_be_when_the_clock_goes_back_meanwhile() {
    let clocked = Clocked::new();
    let bench = &clocked.bench;
    let looks = "  - id: seen
    tool: vlan.list
    needs: [create]
    with: {switch: sw01}
    until: {expect: 'result.vlans.exists(v, v.id == 999)', attempts: 3, every_seconds: 2}
    on_failure: continue
acceptance:";
    let id = bench.request_written(SPEC, &DESIGN.replace("acceptance:", looks));
    bench.to_gate2(&id);
    bench.approve(&id);
    let off = bench.outside("off");
    std::fs::write(&off, "0").unwrap();
    let mut run = command(&bench.root);
    run.args(["run", &id, "--json"]).env("LD_PRELOAD", &clocked.library).env("CLOCK_OFF_FILE", &off);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let tries = || {
        let calls = bench.events(&id, "call.allowed");
        calls.iter().filter(|event| event["body"]["purpose"]["act"]["node"] == "seen").count()
    };
    let since = Instant::now();
    while tries() == 0 {
        assert!(since.elapsed() < Duration::from_secs(60), "it was not tried");
    }
    std::fs::write(&off, (-HOUR).to_string()).unwrap();
    while child.try_wait().unwrap().is_none() {
        assert!(since.elapsed() < Duration::from_secs(60), "it waits until the clock has caught up");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(tries(), 3);
    bench.holds(&id);
    clocked.times(&id);
}
