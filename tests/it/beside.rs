//! Two engagements that change the same thing: one after the other, so that what one looked at is what it changes and what
//! one recorded as done is there.

use std::time::{Duration, Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    bench::{Bench, run_in},
    written::{DESIGN, SPEC},
};

/// A workspace where VLAN 120 of sw01 is called `old`, and engagements that may each give it one of these names now.
fn renaming(names: &[&str]) -> (Bench, Vec<String>) {
    let bench = Bench::new();
    bench.tamper(|network| network["switches"]["sw01"]["vlans"]["120"] = json!("old"));
    let file = |name: &&str| {
        let of = |text: &str| {
            let text = text.replace("tool: vlan.create", "tool: vlan.rename").replace("guest", name);
            text.replace("[sw01, sw02]", "[sw01]").replace("[\"sw01\", \"sw02\"]", "[\"sw01\"]")
        };
        let id = bench.request_written(&of(SPEC), &of(DESIGN));
        bench.to_gate2(&id);
        bench.approve(&id);
        id
    };
    let ids = names.iter().map(file).collect();
    (bench, ids)
}

/// Runs all at once; how each ended.
fn at_once(bench: &Bench, ids: &[String]) -> Vec<(i32, Value)> {
    std::thread::scope(|scope| {
        let runs: Vec<_> = ids.iter().map(|id| scope.spawn(|| bench.run(&["run", id, "--json"]))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).map(|answer| (answer.code, answer.json())).collect()
    })
}

#[test]
fn what_one_recorded_as_done_is_not_lost_to_another_that_looked_before() {
    let (bench, ids) = renaming(&["guest", "voice", "video"]);
    bench.fault("slow:vlan.rename@sw01,ms=2000");
    let ends = at_once(&bench, &ids);
    let done: Vec<_> = ends.iter().filter(|(code, _)| *code == 0).collect();
    assert_eq!(done.len(), 1, "{ends:#?}");
    assert_eq!(bench.writes().len(), 1, "{:?}", bench.writes());
    for ((code, end), id) in ends.iter().zip(&ids) {
        if *code != 0 {
            assert_eq!((*code, &end["status"]["about"]), (3, &json!({"deviation": {"node": "create/sw01"}})), "{end}");
            // It was looked at after the other was done, and once.
            let looks = bench.events(id, "call.allowed");
            let looks = looks.iter().filter(|event| event["body"]["purpose"].get("recheck").is_some()).count();
            assert_eq!(looks, 1);
        }
        bench.holds(id);
    }
}

#[test]
fn a_look_that_was_let_go_is_made_again_before_the_change() {
    let (bench, ids) = renaming(&["guest"]);
    let id = &ids[0];
    let name = |name: &str| bench.tamper(|network| network["switches"]["sw01"]["vlans"]["120"] = json!(name));
    name("other");
    let asks = || {
        let end = bench.drive(id, 3);
        assert_eq!(end["status"]["about"], json!({"deviation": {"node": "create/sw01"}}));
        bench.approve(id);
    };
    asks();
    // While a person was asked nobody was kept from changing it.
    name("third");
    asks();
    assert_eq!(bench.writes(), [""; 0]);
    bench.drive(id, 0);
    assert_eq!(bench.vlan("120")[0], "guest");
    bench.holds(id);
}

#[test]
fn what_a_killed_program_sent_is_waited_for_by_others_too() {
    let (bench, ids) = renaming(&["guest", "voice"]);
    bench.fault("slow:vlan.rename@sw01,ms=4000");
    let mut child = bench.start(&["run", &ids[0]]);
    let since = Instant::now();
    let sent = || bench.events(&ids[0], "call.allowed").iter().any(|event| event["body"]["tool"] == "vlan.rename");
    while !sent() {
        assert!(since.elapsed() < Duration::from_secs(60), "it was not asked");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let said = run_in(&bench.root, &["run", &ids[1]]);
    // Nobody has the lock any more: what is waited for is what was sent.
    said.says(&format!("engagement {} is changing sw01; waiting until that is over", ids[0]));
}

#[test]
fn whoever_waits_hears_of_being_cancelled() {
    let (bench, ids) = renaming(&["guest", "voice"]);
    bench.fault("slow:vlan.rename@sw01,ms=4000");
    let mut first = bench.start(&["run", &ids[0]]);
    while !bench.events(&ids[0], "call.allowed").iter().any(|event| event["body"]["tool"] == "vlan.rename") {
        assert!(first.try_wait().unwrap().is_none(), "it runs");
    }
    // It has the target for as long as it stands still.
    let first_is = Pid::from_raw(i32::try_from(first.id()).unwrap());
    kill(first_is, Signal::SIGSTOP).unwrap();
    let mut second = bench.start(&["run", &ids[1]]);
    while !bench.events(&ids[1], "artifact.filed").iter().any(|event| event["body"]["artifact"] == "flow") {
        assert!(second.try_wait().unwrap().is_none(), "it runs");
    }
    std::thread::sleep(Duration::from_millis(200));
    bench.run(&["cancel", &ids[1], "--reason", "it takes too long"]).code(0);
    let since = Instant::now();
    while second.try_wait().unwrap().is_none() {
        assert!(since.elapsed() < Duration::from_secs(60), "it waits on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(second.wait().unwrap().code(), Some(1));
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(bench.writes().iter().all(|write| write.contains("guest")), "{:?}", bench.writes());
    bench.holds(&ids[1]);
}
