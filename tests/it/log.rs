//! The log over all engagements: checkpoints, proofs, keys, and what a witness outside makes of a ledger that was rolled
//! back or went another way.

use std::{os::unix::fs::PermissionsExt, path::Path};

use crate::bench::Bench;

/// How a file name is given as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
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
fn each_gate_and_each_end_is_under_a_checkpoint_that_proves_it() {
    let bench = Bench::new();
    bench.run(&["log", "checkpoint"]).code(1).says("the first gate that is answered makes one");
    let id = bench.request_one();
    bench.run(&["log", "prove", &id]).code(1).says("is not in the log");
    bench.drive(&id, 3);
    bench.approve(&id);
    assert_eq!(bench.json(&["log", "checkpoint"])["size"], 1);
    bench.drive(&id, 3);
    bench.approve(&id);
    bench.drive(&id, 0);
    let checkpoint = bench.json(&["log", "checkpoint"]);
    assert_eq!((checkpoint["size"].as_u64(), checkpoint["leaves"].as_u64()), (Some(3), Some(3)));
    let note = bench.run(&["log", "checkpoint"]).code(0).out;
    assert_eq!(note, checkpoint["checkpoint"].as_str().unwrap());
    let origin = checkpoint["origin"].as_str().unwrap();
    assert!(note.starts_with(&format!("{origin}\n3\n")) && note.contains(&format!("\n\n— {origin} ")), "{note}");
    let proof = bench.json(&["log", "prove", &id]);
    let events = bench.json(&["log", &id]);
    let last = events.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&proof["leaf"]["seq"], &proof["leaf"]["head"], &proof["index"]),
        (&last["seq"], &last["hash"], &2.into())
    );
    bench.run(&["log", "prove", &id]).code(0).shows("is leaf 2 of 3");
    let grown = bench.json(&["log", "consistency", "1", "3"]);
    assert_eq!(grown["new_root"], checkpoint["root"]);
    bench.run(&["log", "consistency", "1", "4"]).code(2).says("the log has 3 leaves");
    assert_eq!(bench.json(&["verify", "log"])["root"], checkpoint["root"]);
    // What goes before the words of the log is still an engagement's events, and a flag of theirs no flag of these.
    bench.run(&["log", &id, "--kind", "engagement"]).code(0).shows("engagement.requested");
    bench.run(&["log"]).code(2);
    bench.trust("vlan@lab", "2", "it went well");
    assert_eq!(bench.json(&["log", "prove", "trust"])["leaf"]["engagement"], "trust");
    assert_eq!(bench.json(&["log", "checkpoint"])["size"], 4);
}

#[test]
fn a_rotated_key_signs_what_comes_and_the_old_one_vouches_for_it() {
    let bench = Bench::new();
    let first = bench.json(&["keys", "show"]);
    ended(&bench);
    let published = bench.outside("published");
    std::fs::write(&published, bench.run(&["log", "checkpoint"]).code(0).out).unwrap();
    let rotated = bench.json(&["keys", "rotate"]);
    assert_eq!(rotated["keys"][0]["key"], first["keys"][0]["key"]);
    assert_ne!(rotated["keys"][1]["key"], first["keys"][0]["key"]);
    assert_eq!(bench.json(&["keys", "show"]), rotated);
    ended(&bench);
    bench.run(&["verify", "log", "--against", text(&published)]).code(0);
    std::fs::write(&published, bench.run(&["log", "checkpoint"]).code(0).out).unwrap();
    bench.run(&["verify", "log", "--against", text(&published)]).code(0).shows("witnessed: a published checkpoint");
    // Its private half is its owner's alone; a workspace from before has one when it needs it.
    let keys = bench.root.join(".countersign/keys");
    for file in std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path()) {
        let private = std::fs::read_to_string(&file).unwrap().contains("PRIVATE");
        assert!(!private || std::fs::metadata(&file).unwrap().permissions().mode() & 0o077 == 0, "{}", file.display());
    }
    let other = Bench::new();
    std::fs::remove_dir_all(other.root.join(".countersign/keys")).unwrap();
    ended(&other);
    assert_eq!(other.json(&["verify", "log"])["checkpointed"], 2);
}
