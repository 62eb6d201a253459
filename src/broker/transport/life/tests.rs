//! Servers that do not want to end, and what they leave behind.

use std::process::{Child, Command, Stdio};

use super::*;

#[allow(clippy::disallowed_methods, reason = "these are what is ended")]
fn sh(script: &str, mark: &str) -> Child {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env(MARK, mark).stdout(Stdio::null()).spawn().unwrap()
}

fn ledger(number: u8) -> LedgerId {
    format!("{number:032x}").parse().unwrap()
}

fn mark(family: &str) -> Mark {
    Mark::new(&ledger(1), family)
}

/// Waits until so many processes are there.
fn wait_for(meant: &Meant, many: usize) {
    let begun = Instant::now();
    while marked(meant).len() < many {
        assert!(begun.elapsed() < Duration::from_secs(30), "they did not start");
        std::thread::sleep(EVERY);
    }
}

#[test]
fn a_mark_is_of_one_server_and_its_starter_is_this_process() {
    let (one, other) = (mark("a"), mark("a"));
    assert_ne!(one.0, other.0);
    let orphans = Meant::OrphansOf(of(&ledger(1), "a"));
    assert!(!orphans.is(&one.0), "its starter runs");
    let began = Process::read(std::process::id()).unwrap().unwrap().began;
    assert!(lives(&format!("{}.{began}.1", std::process::id())));
    assert!(!lives(&format!("{}.{}.1", std::process::id(), began + 1)), "the id was given to another one since");
    assert!(lives("what this program never wrote"), "nothing is ended that is not known");
    assert!(Process::read(u32::MAX / 2).unwrap().is_none());
}

#[tokio::test]
async fn a_server_is_ended_with_what_it_started_and_nothing_else_is() {
    let (own, other) = (mark("b"), mark("b"));
    // One has started others: one that gave its environment away, and one that has its own group and session.
    let mut server = sh("trap '' TERM; env -i sleep 300 & setsid sleep 300 & wait", &own.0);
    let mut beside = sh("exec sleep 300", &other.0);
    let meant = Meant::Server(own.0.clone());
    wait_for(&meant, 3);
    assert!(own.end().await);
    assert!(server.wait().unwrap().code().is_none());
    assert_eq!(marked(&meant), [] as [i32; 0]);
    assert!(beside.try_wait().unwrap().is_none(), "another server runs on");
    assert!(other.end().await);
    beside.wait().unwrap();
}

#[tokio::test]
async fn what_a_process_that_is_over_left_behind_is_ended_where_it_is_of_the_same_workspace_and_family() {
    // The starter began at a time at which no process with this id did.
    let left = |family: &str| format!("{}.{}.1.1", of(&ledger(2), family), std::process::id());
    let (mut server, mut other) = (sh("exec sleep 300", &left("c")), sh("exec sleep 300", &left("d")));
    wait_for(&Meant::Server(left("c")), 1);
    wait_for(&Meant::Server(left("d")), 1);
    assert_eq!(end_orphans(&ledger(2), "c").await, Some(1));
    assert!(server.wait().unwrap().code().is_none());
    assert!(other.try_wait().unwrap().is_none(), "another family's is left alone");
    assert_eq!(end_orphans(&ledger(2), "d").await, Some(1));
    other.wait().unwrap();
}
