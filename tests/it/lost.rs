//! A workspace of which half is gone: the ledger without its keys, and the keys without their ledger.

use std::{fs, path::PathBuf};

use crate::bench::{Bench, run_in};

fn keys(bench: &Bench) -> PathBuf {
    bench.root.join(".countersign/keys")
}

/// Removes the ledger with what SQLite keeps beside it.
fn lose_the_ledger(bench: &Bench) {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(bench.root.join(".countersign").join(name));
    }
}

/// An engagement that a person rejected and cancelled: one answer and one end.
fn ended(bench: &Bench) -> String {
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.run(&["reject", &id, "--reason", "not now"]).code(0);
    bench.run(&["cancel", &id, "--reason", "not now"]).code(0);
    bench.run(&["run", &id]).code(1);
    id
}

#[test]
fn a_ledger_that_is_gone_is_not_taken_for_an_empty_one() {
    let bench = Bench::new();
    let id = bench.request_one();
    let copy = bench.outside("copy.db");
    bench.run(&["backup", copy.to_str().unwrap()]).code(0);
    fs::remove_file(bench.root.join(".countersign/ledger.db")).unwrap();
    // What a command that was cut short left beside the file is no ledger by itself.
    bench.run(&["list"]).code(1).says("backup");
    lose_the_ledger(&bench);
    let asked: [&[&str]; 9] = [
        &["list"],
        &["inbox"],
        &["show", &id],
        &["verify", &id],
        &["verify", "log"],
        &["backup", "other.db"],
        &["keys", "show"],
        &["tools", "list"],
        &["request", "--blueprint", "vlan", "--set", "id=121", "--set", "name=guest"],
    ];
    for args in asked {
        let answer =
            bench.run(args).code(1).says("is gone, and its keys are in ").says("restore the ledger from a backup");
        answer.says(&format!("to begin a new one without what was in it, move {} away", keys(&bench).display()));
        assert!(!bench.root.join(".countersign/ledger.db").exists(), "{args:?} made a new one");
    }
    fs::copy(&copy, bench.root.join(".countersign/ledger.db")).unwrap();
    bench.holds(&id);
    // Beginning anew is what it says, and done on purpose.
    lose_the_ledger(&bench);
    fs::rename(keys(&bench), bench.outside("old-keys")).unwrap();
    assert_eq!(bench.list().len(), 0);
    ended(&bench);
    bench.run(&["verify", "log"]).code(0);
}

#[test]
fn a_log_whose_keys_are_gone_goes_on_unsigned_says_so_and_is_signed_when_they_are_back() {
    let bench = Bench::new();
    ended(&bench);
    let away = bench.outside("keys-away");
    fs::rename(keys(&bench), &away).unwrap();
    let lost = "the keys of this ledger are not in ";
    let back = "put the folder back from a copy of .countersign/keys";
    let id = bench.request_one();
    bench.drive(&id, 3);
    let answer = bench.run(&["reject", &id, "--reason", "not now"]).code(0);
    answer.says("the last 1 of 3 leaves of the log are under no checkpoint: ").says(lost).says(back);
    bench.run(&["keys", "show"]).code(5).says(lost).says(back);
    bench.run(&["keys", "rotate"]).code(5).says(lost).says(back);
    bench.run(&["verify", "log"]).code(5).says(lost).says(back);
    bench.run(&["log", "checkpoint"]).code(0).says(lost).says(back);
    let copy = bench.outside("copy.db");
    bench.run(&["backup", copy.to_str().unwrap()]).code(0).says(lost);
    assert!(!keys(&bench).exists(), "another key was made");
    // Those of another ledger are none of this one.
    run_in(bench.root.parent().unwrap(), &["init", "other", "--as", "ada"]).code(0);
    fs::rename(bench.outside("other/.countersign/keys"), keys(&bench)).unwrap();
    bench.run(&["keys", "show"]).code(5).says("put the folder back as it was");
    bench.run(&["cancel", &id, "--reason", "not now"]).code(0);
    bench.run(&["run", &id]).code(1).says("the last 2 of 4 leaves of the log are under no checkpoint: ");
    fs::remove_dir_all(keys(&bench)).unwrap();
    fs::rename(&away, keys(&bench)).unwrap();
    let covered = |bench: &Bench| {
        let found = bench.json(&["verify", "log"]);
        found["checkpointed"] == found["size"]
    };
    // Whoever has the key again signs what waits, with a new leaf and without one.
    for args in [&["run"][..], &["log", "checkpoint"]] {
        let bench = bench.copy();
        assert!(!covered(&bench));
        bench.run(args).code(0);
        assert!(covered(&bench), "{args:?}");
    }
    ended(&bench);
    assert!(covered(&bench));
    bench.run(&["keys", "show"]).code(0);
}

#[test]
fn a_process_whose_ledger_is_replaced_sends_nothing_more() {
    for replaced in [true, false] {
        let bench = Bench::new();
        let id = bench.request_vlan();
        bench.to_gate2(&id);
        bench.approve(&id);
        let (ledger, before) = (bench.root.join(".countersign/ledger.db"), bench.outside("before.db"));
        bench.run(&["backup", before.to_str().unwrap()]).code(0);
        let mut running = bench.under_way(&id, 300);
        let there = bench.writes().len();
        if replaced {
            std::fs::rename(&before, &ledger).unwrap();
        } else {
            std::fs::remove_file(&ledger).unwrap();
        }
        assert_eq!(running.wait().unwrap().code(), Some(1), "it does not say that it is done");
        assert!(bench.writes().len() <= there + 1 && there < 4, "{there}: {:?}", bench.writes());
    }
}

#[test]
fn what_is_wrong_with_the_folder_of_the_keys_is_put_right_there_and_not_with_the_ledger() {
    let bench = Bench::new();
    let key = bench.key_of("ada");
    let before = bench.outside("keys");
    let id = bench.request_one();
    bench.drive(&id, 3);
    assert!(std::process::Command::new("cp").arg("-r").args([&keys(&bench), &before]).status().unwrap().success());
    bench.approve(&id);
    bench.run(&["keys", "rotate"]).code(0);
    ended(&bench);
    // The folder as it was before the key was replaced.
    let (away, own) = (bench.outside("away"), keys(&bench));
    fs::rename(&own, &away).unwrap();
    fs::rename(&before, &own).unwrap();
    bench.drive(&id, 3);
    let signed = bench.run(&["approve", &id, "--digest", &bench.question(&id), "--key", &key]).code(5);
    let signed = signed.says("put the folder back as it was").says("nothing is signed before that");
    assert!(!signed.err.contains("restore the workspace"), "{}", signed.err);
    fs::remove_dir_all(&own).unwrap();
    fs::rename(&away, &own).unwrap();
    fs::write(own.join("signed"), "many\n").unwrap();
    let told = bench.run(&["run", &id]).code(1).says("it is no number of leaves").says("put the folder back");
    assert!(!told.err.contains("restore the workspace"), "{}", told.err);
}

#[test]
fn a_folder_where_the_ledger_was_is_named() {
    let bench = Bench::new();
    lose_the_ledger(&bench);
    fs::create_dir(bench.root.join(".countersign/ledger.db")).unwrap();
    bench.run(&["list"]).code(1).says("is not a ledger (it is a folder)");
}

#[test]
fn what_is_left_beside_a_ledger_that_was_put_back_is_named() {
    let bench = Bench::new();
    let (ledger, before) = (bench.root.join(".countersign/ledger.db"), bench.outside("before.db"));
    let raw = rusqlite::Connection::open(&ledger).unwrap();
    raw.execute_batch("CREATE TABLE pad (x); INSERT INTO pad VALUES (zeroblob(400000))").unwrap();
    let id = bench.request_one();
    raw.execute_batch("DROP TABLE pad").unwrap();
    // Its pages lie elsewhere than in the ledger, which has room where the pad was.
    bench.run(&["backup", before.to_str().unwrap()]).code(0);
    // A log that was never brought into its file, as after a crash.
    raw.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    raw.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    raw.execute_batch("CREATE TABLE more (x)").unwrap();
    raw.close().unwrap();
    let log = bench.root.join(".countersign/ledger.db-wal");
    assert!(log.metadata().is_ok_and(|log| log.len() > 0));
    std::fs::copy(&before, &ledger).unwrap();
    let told = bench.run(&["show", &id]);
    assert!(told.code != 0, "{}", told.out);
    told.says("ledger.db-wal lies beside it").says("move both to another place first");
    std::fs::remove_file(&log).unwrap();
    let _ = std::fs::remove_file(bench.root.join(".countersign/ledger.db-shm"));
    bench.run(&["show", &id]).code(0);
}
