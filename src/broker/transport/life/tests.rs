//! Servers that do not want to end, and what they leave behind.

use std::process::{Child, Command, Stdio};

use super::*;

#[allow(clippy::disallowed_methods, reason = "these are what is ended")]
fn sh(script: &str, mark: &str) -> Child {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env(MARK, mark).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_mark_is_of_one_server_and_its_starter_is_this_process() {
    let (one, other) = (Mark::new(), Mark::new());
    assert_ne!(one.0, other.0);
    assert!(starter_lives(&one.0));
    let (began, later) = (Process::read(std::process::id()).unwrap().began, "the id was given to another one since");
    assert!(!starter_lives(&format!("{}.{}.1", std::process::id(), began + 1)), "{later}");
    assert!(starter_lives("what this program never wrote"), "nothing is ended that is not known");
}

#[tokio::test]
async fn a_server_is_ended_with_what_it_started_and_nothing_else_is() {
    let (mark, other) = (Mark::new(), Mark::new());
    // One has started others: one that gave its environment away, and one that has its own group and session.
    let mut server = sh("trap '' TERM; env -i sleep 300 & setsid sleep 300 & wait", &mark.0);
    let mut beside = sh("exec sleep 300", &other.0);
    let is_mine = |wanted: &str| wanted == mark.0;
    while marked(&is_mine).len() < 3 {
        std::thread::sleep(EVERY);
    }
    assert!(mark.end().await);
    assert!(server.wait().unwrap().code().is_none());
    assert_eq!(marked(&is_mine), [] as [i32; 0]);
    assert!(beside.try_wait().unwrap().is_none(), "another server runs on");
    assert!(other.end().await);
    beside.wait().unwrap();
}

#[tokio::test]
async fn what_a_process_that_is_over_left_behind_is_ended() {
    // The starter began at a time at which no process with this id did.
    let left = format!("{}.1.1", std::process::id());
    let mut server = sh("exec sleep 300", &left);
    while marked(&|mark| mark == left).is_empty() {
        std::thread::sleep(EVERY);
    }
    assert!(end_orphans().await >= 1);
    assert!(server.wait().unwrap().code().is_none());
}
