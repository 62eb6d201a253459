//! Killed at any moment, an engagement goes on where its chain ends: nothing is lost and nothing runs twice.

use std::{
    process::Child,
    time::{Duration, Instant},
};

use countersign::ledger::{SqliteStore, Store};

use crate::{
    bench::{Bench, outcomes},
    written::{DESIGN, SPEC},
};

/// Counts events without starting the program, which would take longer than what is to be cut through.
struct Watch {
    runtime: tokio::runtime::Runtime,
    store: SqliteStore,
}

impl Watch {
    fn new(bench: &Bench) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(SqliteStore::open(bench.root.join(".countersign/ledger.db"))).unwrap();
        Self { runtime, store }
    }

    /// The events after a place.
    fn events(&self, id: &str, after: usize) -> usize {
        self.runtime.block_on(self.store.events(&id.parse().unwrap(), after as u64)).unwrap().len()
    }

    /// Kills the process as soon as the chain is this long; whether it was still running then.
    fn kill_at(&self, child: &mut Child, id: &str, length: usize) -> bool {
        let since = Instant::now();
        loop {
            if self.events(id, length - 1) > 0 {
                child.kill().unwrap();
                return child.wait().unwrap().code().is_none();
            }
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "{id} hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Kills the run again and again, each time some events further on, until it closes; how often it was killed.
fn killed_every(bench: &Bench, id: &str, first: usize, every: usize) -> usize {
    let watch = Watch::new(bench);
    let mut kills = 0;
    let mut at = first;
    for _ in 0..80 {
        let mut child = bench.start(&["run", id]);
        if watch.kill_at(&mut child, id, at) {
            kills += 1;
            // Not in step with the attempts, of which a step begins only so many: each would be cut off at its call.
            at = watch.events(id, 0) + every + kills % 3;
            continue;
        }
        match child.wait().unwrap().code() {
            Some(3) => {
                bench.approve(id);
                at = at.max(watch.events(id, 0) + 1);
            }
            Some(0) => return kills,
            other => panic!("{id} ended with {other:?}:\n{}", bench.run(&["log", id]).out),
        }
    }
    panic!("{id} does not end:\n{}", bench.run(&["log", id]).out);
}

#[test]
fn a_vlan_request_that_is_killed_again_and_again_writes_each_vlan_once() {
    let mut kills = 0;
    for (first, every) in [(2, 4), (3, 7)] {
        let bench = Bench::impatient();
        let args = ["--blueprint", "vlan", "--set", "id=120", "--set", "name=guest", "--set", "switches=sw01,sw03"];
        let id = bench.request(&args);
        kills += killed_every(&bench, &id, first, every);
        assert_eq!(bench.writes(), ["vlan.create 120 guest sw01", "vlan.create 120 guest sw03"]);
        let end = bench.drive(&id, 0);
        assert_eq!(end["record"]["outcome"], "done");
        bench.holds(&id);
    }
    assert!(kills >= 14, "only {kills} kills");
}

#[test]
fn an_address_request_that_is_killed_again_and_again_allocates_one_address() {
    let bench = Bench::impatient();
    let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
    let kills = killed_every(&bench, &id, 3, 3);
    let writes =
        ["ipam.address.allocate web01 192.0.2.0/24", "dns.record.create 192.0.2.3 web01 3600 corp.example.com"];
    assert_eq!(bench.writes(), writes);
    let end = bench.drive(&id, 0);
    assert_eq!(end["record"]["outcome"], "done");
    bench.holds(&id);
    assert!(kills >= 10, "only {kills} kills");
}

#[test]
fn killed_right_after_an_intent_is_written_a_call_has_an_outcome_in_the_end() {
    // The intent to write is the event that the kill waits for, so the effect is cut off before, in or after it.
    let bench = Bench::impatient();
    let id = bench.request_vlan();
    bench.to_gate2(&id);
    bench.approve(&id);
    let watch = Watch::new(&bench);
    let before = watch.events(&id, 0);
    // Entering the phase, the flow, the state read again, and the intent.
    let mut child = bench.start(&["run", &id]);
    assert!(watch.kill_at(&mut child, &id, before + 5));
    let begun = bench.events(&id, "call.allowed").pop().unwrap();
    assert_eq!(begun["body"]["tool"], "vlan.create");
    bench.drive(&id, 0);
    assert_eq!(bench.writes().len(), 4);
    bench.holds(&id);
}

#[test]
fn killed_while_a_step_reads_it_reads_again() {
    let bench = Bench::new();
    let steps = "  - {id: look, tool: port.list, needs: [create], with: {switch: sw01}}\n";
    let design = DESIGN.replace("acceptance:", &format!("{steps}acceptance:"));
    let id = bench.request_written(SPEC, &design);
    bench.to_gate2(&id);
    bench.fault("slow:port.list,times=1,ms=4000");
    bench.approve(&id);
    let begun = || bench.events(&id, "call.allowed").into_iter().filter(|event| event["body"]["tool"] == "port.list");
    let mut child = bench.start(&["run", &id]);
    let since = Instant::now();
    while begun().count() == 0 {
        assert!(since.elapsed() < Duration::from_secs(60), "it never reads");
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it was killed under way");
    let end = bench.drive(&id, 0);
    assert_eq!(begun().count(), 2);
    assert_eq!(outcomes(&end["record"]["steps"], "node")[2], "look done");
    assert_eq!(bench.writes(), ["vlan.create 120 guest sw01", "vlan.create 120 guest sw02"]);
    bench.holds(&id);
}

#[test]
fn killed_while_it_takes_things_back_it_goes_on_taking_them_back() {
    for further in [1, 4] {
        let bench = Bench::impatient();
        let before = bench.network();
        let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
        bench.to_gate2(&id);
        bench.fault("half:dns.record.create");
        bench.approve(&id);
        bench.drive(&id, 3);
        bench.approve(&id);
        let watch = Watch::new(&bench);
        let settled = |bench: &Bench| bench.events(&id, "step.settled").len();
        assert_eq!(settled(&bench), 1);
        let at = watch.events(&id, 0);
        // The state read again, the call with its outcome, the read-back and its settling come first.
        let mut child = bench.start(&["run", &id]);
        watch.kill_at(&mut child, &id, at + 6 + further);
        let (code, end) = bench.yes_to_all(&id);
        assert_eq!(code, 1, "{further}: {end}");
        assert_eq!(bench.network(), before, "{further}: {:?}", bench.writes());
        bench.holds(&id);
    }
}

#[test]
fn a_killed_answer_was_given_or_was_not() {
    for wait in [0, 40, 80] {
        let bench = Bench::new();
        let id = bench.request(&["--blueprint", "dns", "--set", "name=web01", "--set", "address=192.0.2.10"]);
        bench.drive(&id, 3);
        let digest = bench.question(&id);
        let mut child = bench.start(&["approve", &id, "--digest", &digest]);
        std::thread::sleep(Duration::from_millis(wait));
        let _ = child.kill();
        child.wait().unwrap();
        bench.holds(&id);
        let answered = bench.events(&id, "approval.answered").len();
        let again = bench.run(&["approve", &id, "--digest", &digest]).code_in(&[0, 2]).code;
        assert_eq!(again == 0, answered == 0);
        assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    }
}
