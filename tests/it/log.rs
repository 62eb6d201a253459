//! The log over all engagements: checkpoints, proofs, keys, and what a witness outside makes of a ledger that was rolled
//! back or went another way.

use std::{os::unix::fs::PermissionsExt, path::Path};

use sha2::{Digest, Sha256};

use crate::bench::Bench;

/// How a file name is given as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An engagement that a person rejected and cancelled: one answer and one end.
pub fn ended(bench: &Bench) -> String {
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.run(&["reject", &id, "--reason", "not now"]).code(0);
    bench.run(&["cancel", &id, "--reason", "not now"]).code(0);
    bench.run(&["run", &id]).code(1);
    id
}

fn restore(bench: &Bench, copy: &Path) {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(bench.root.join(".countersign").join(name));
    }
    std::fs::copy(copy, bench.root.join(".countersign/ledger.db")).unwrap();
    let signed = bench.root.join(".countersign/keys/signed");
    if signed.exists() {
        bench.run(&["verify", "log"]).code(5).shows("the ledger was rolled back").shows("keys/signed");
        std::fs::remove_file(signed).unwrap();
    }
}

/// Does to the ledger's file what the program never does.
pub fn tamper(bench: &Bench, with: &str) {
    let ledger = rusqlite::Connection::open(bench.root.join(".countersign/ledger.db")).unwrap();
    let mut triggers = ledger.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").unwrap();
    let triggers = triggers.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let triggers: Vec<(String, String)> = triggers.map(Result::unwrap).collect();
    triggers.iter().for_each(|(name, _)| ledger.execute_batch(&format!("DROP TRIGGER {name}")).unwrap());
    ledger.execute_batch(with).unwrap();
    triggers.iter().for_each(|(_, sql)| ledger.execute_batch(sql).unwrap());
}

#[test]
fn a_chain_that_was_cut_at_its_end_is_not_gone_on_with() {
    for cut in [2, 8, 16] {
        let bench = Bench::new();
        let id = bench.request_one();
        bench.to_end(&id, 0);
        let last = bench.json(&["show", &id])["events"].as_u64().unwrap();
        let writes = bench.writes();
        tamper(
            &bench,
            &format!(
                "DELETE FROM events WHERE engagement = '{id}' AND seq > {0}; DELETE FROM summaries; DELETE FROM snapshots",
                last - cut
            ),
        );
        bench.run(&["verify", &id]).code(5).shows("the chain was cut");
        for args in [["run", &id].as_slice(), &["show", &id], &["log", &id], &["log", &id, "--json"]] {
            bench.run(args).code(5).says(&format!("the log has its event {last}")).says("it was cut");
        }
        let there = bench.run(&["log", &id, "--json"]).code(5).json();
        assert_eq!(there.as_array().unwrap().len() as u64, last - cut, "nothing was written");
        assert_eq!(bench.writes(), writes);
    }
}

/// Puts what a chain has in another ledger's file after an event into this one, with all that lies beside it.
fn graft(bench: &Bench, from: &Path, id: &str, after: u64, log: bool) {
    let of = format!("WHERE engagement = '{id}' AND seq > {after}");
    let log = if log {
        "INSERT INTO log_leaves SELECT * FROM other.log_leaves; INSERT INTO log_nodes SELECT * FROM other.log_nodes"
    } else {
        ""
    };
    tamper(
        bench,
        &format!(
            "ATTACH '{}' AS other; INSERT INTO events (engagement, seq, hash, bytes) SELECT engagement, seq, hash, bytes \
             FROM other.events {of} ORDER BY seq; INSERT OR IGNORE INTO blobs SELECT * FROM other.blobs; {log}",
            text(from)
        ),
    );
}

#[test]
fn nothing_goes_on_from_an_answer_that_was_written_past_the_log() {
    let bench = Bench::new();
    // As after a clone: the ledger and its key are made by whatever is called first.
    std::fs::remove_dir_all(bench.root.join(".countersign/keys")).unwrap();
    std::fs::remove_file(bench.root.join(".countersign/ledger.db")).unwrap();
    let id = bench.request_one();
    bench.drive(&id, 3);
    let (asked, before) = (bench.events(&id, "").len() as u64, bench.outside("before.db"));
    bench.run(&["backup", text(&before)]).code(0);
    bench.approve(&id);
    let answered = bench.outside("answered.db");
    bench.run(&["backup", text(&answered)]).code(0);
    restore(&bench, &before);
    graft(&bench, &answered, &id, asked, false);
    // Nothing goes on from an answer that has no leaf.
    let event = asked + 1;
    let says = format!("the log has no leaf of its event {event} (approval.answered): it was written past it");
    let bundle = bench.outside("past.tar");
    for args in [
        ["run", &id].as_slice(),
        &["show", &id],
        &["log", &id],
        &["cancel", &id, "--reason", "no"],
        &["export", &id, "--bundle", text(&bundle)],
    ] {
        bench.run(args).code(5).says(&says);
    }
    let there = bench.run(&["log", &id, "--json"]).code(5).json();
    assert_eq!((there.as_array().unwrap().len() as u64, bundle.exists()), (event, false));
    bench.run(&["verify", &id]).code(5).shows(&format!("event {event}: the log has no leaf of this event"));
    bench
        .run(&["verify", "log"])
        .code(5)
        .shows(&format!("event {event} of {id} has no leaf: it was written past the log"));
    bench.run(&["backup", text(&bench.outside("past.db"))]).code(5).shows("was written past the log");
}

#[test]
fn an_event_that_is_not_what_was_written_is_named_by_whatever_shows_it() {
    let bench = Bench::new();
    let id = ended(&bench);
    let other = ended(&bench);
    for (event, whose) in [(3, &id), (5, &other)] {
        let bench = bench.copy();
        tamper(
            &bench,
            &format!(
                "UPDATE events SET bytes = (SELECT bytes FROM events WHERE engagement = '{whose}' AND seq = {0}) \
                 WHERE engagement = '{whose}' AND seq = {event}",
                event - 1
            ),
        );
        let why = format!("event {event} is missing: event {} stands in its place", event - 1);
        // All of it is shown, and that it does not hold.
        let shown = bench.run(&["log", whose]).code(5).says(&why);
        assert_eq!(shown.out.lines().filter(|line| line.contains("engagement.closed")).count(), 1);
        let told = bench.run(&["log", whose, "--json"]).code(5).says(&why);
        assert_eq!(told.json().as_array().unwrap().len(), 6);
        bench.run(&["verify", "log"]).code(5).shows(&format!("the chain of {whose} does not hold: {why}"));
        let holds = if *whose == id { &other } else { &id };
        bench.run(&["log", holds]).code(0);
    }
}

#[test]
fn a_chain_that_does_not_hold_hides_nothing_else_that_waits() {
    let bench = Bench::new();
    let (damaged, waits) = (bench.request_one(), bench.request_one());
    for id in [&damaged, &waits] {
        bench.drive(id, 3);
    }
    let other = format!("(SELECT bytes FROM events WHERE engagement = '{waits}' AND seq = 2)");
    tamper(&bench, &format!("UPDATE events SET bytes = {other} WHERE engagement = '{damaged}' AND seq = 2"));
    let inbox = bench.run(&["inbox"]).code(0).shows(&waits);
    inbox.says(&format!("{damaged} cannot be gone on with")).says(&format!("countersign verify {damaged}"));
    assert_eq!(bench.run(&["inbox", "--json"]).code(0).json().as_array().unwrap().len(), 2);
    let checked = bench.run(&["policy", "check"]);
    assert!((checked.out + &checked.err).contains(&format!("engagement {damaged} cannot be read")));
}

#[test]
fn what_was_approved_in_another_ledger_is_not_built_in_this_one() {
    let (theirs, ours) = (Bench::new(), Bench::new());
    let id = theirs.request_one();
    theirs.to_gate2(&id);
    theirs.approve(&id);
    let file = theirs.outside("theirs.db");
    theirs.run(&["backup", text(&file)]).code(0);
    // A ledger of its own: workspaces of these tests are copies of one.
    std::fs::remove_dir_all(ours.root.join(".countersign")).unwrap();
    ours.run(&["list"]).code(0);
    graft(&ours, &file, &id, 0, true);
    let elsewhere = |args: &[&str]| ours.run(args).code(1).says("no approval given there is one here");
    elsewhere(&["run", &id]);
    elsewhere(&["show", &id]);
    elsewhere(&["export", &id, "--bundle", text(&ours.outside("moved.tar"))]);
    ours.run(&["verify", &id]).code(5).shows("and this is the ledger");
    assert!(ours.writes().is_empty());
}

#[test]
fn a_hash_of_the_tree_that_is_not_what_its_leaves_give_is_found_and_nothing_is_signed_with_it() {
    let bench = Bench::new();
    let id = ended(&bench);
    ended(&bench);
    let open = bench.request_one();
    bench.drive(&open, 3);
    let checkpoint = bench.run(&["log", "checkpoint"]).code(0).out;
    // Of four leaves, the one that the root comes from, changed and gone; one that it does not; and one of no leaf.
    let at = |place: u64| format!("UPDATE log_nodes SET hash = zeroblob(32) WHERE place = {place}");
    let gone = "DELETE FROM log_nodes WHERE place = 3".to_owned();
    bench.run(&["verify", "log"]).code(0);
    let strange = bench.copy();
    tamper(&strange, "INSERT INTO log_nodes SELECT 8, hash FROM log_nodes WHERE place = 0");
    strange.run(&["verify", "log"]).code(5).shows("stored at place 8 is not what the leaves give");
    for (place, statement, needed) in [(3, at(3), true), (3, gone, true), (0, at(0), false)] {
        let bench = bench.copy();
        tamper(&bench, &statement);
        bench.run(&["verify", "log"]).code(5).shows(&format!("stored at place {place} is not what the leaves give"));
        bench.run(&["verify", &id]).code(5).shows("`countersign verify log`");
        bench
            .run(&["backup", text(&bench.outside(&format!("{place}.db")))])
            .code(5)
            .shows("is not what the leaves give");
        if needed {
            bench
                .approving(&open, &["--reason", "it was looked at"])
                .code(5)
                .says("do not lead to its last checkpoint");
            bench.run(&["keys", "rotate"]).code(5).says("do not lead to its last checkpoint");
            assert_eq!(bench.run(&["log", "checkpoint"]).code(0).out, checkpoint);
        }
    }
    // Nor is a key rotated on a log that lost its last leaf, which would leave none to sign what there was.
    let bench = bench.copy();
    tamper(&bench, "DELETE FROM log_leaves WHERE position = 3");
    bench.run(&["keys", "rotate"]).code(5).says("covers 4 leaves, and there are 3");
    // A checkpoint that is kept twice.
    tamper(&bench, "INSERT INTO checkpoints SELECT 9, note FROM checkpoints WHERE size = 4");
    bench.run(&["verify", "log"]).code(5).shows("two checkpoints of 4 leaves");
}

#[test]
fn a_ledger_whose_newest_checkpoints_and_leaves_are_taken_out_is_found_and_nothing_goes_on_in_it() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "2", "ten clean runs");
    let id = bench.request_one();
    bench.run(&["trust", "set", "vlan@lab", "1", "--reason", "an incident"]).code(0);
    bench.run(&["verify", "trust"]).code(0);
    // The lowering is cut out with all that shows it.
    tamper(
        &bench,
        "DELETE FROM events WHERE engagement = 'trust' AND seq = 2; DELETE FROM log_leaves WHERE position = 1; \
         DELETE FROM log_nodes WHERE place > 0; DELETE FROM checkpoints WHERE size = 2;",
    );
    for what in [&id, "trust", "log"] {
        bench.run(&["verify", what]).code(5).shows("rolled back").shows("keys/signed");
    }
    bench.run(&["run", &id]).code(5).says("the ledger was rolled back").says("keys/signed");
    assert!(bench.events(&id, "approval.asked").is_empty());
    // Whoever put it back on purpose says so.
    std::fs::remove_file(bench.root.join(".countersign/keys/signed")).unwrap();
    bench.run(&["verify", "log"]).code(0);
    bench.drive(&id, 3);
    // Without any checkpoint it is not taken for a log that has none yet.
    tamper(&bench, "DELETE FROM checkpoints");
    bench.run(&["verify", "log"]).code(5).shows("there is no checkpoint over its 1 leaves");
}

#[test]
fn an_engagement_whose_end_is_written_anew_is_found_by_the_ledgers_own_checkpoint() {
    let bench = Bench::new();
    let (id, other) = (ended(&bench), ended(&bench));
    bench.run(&["verify", &id]).code(0);
    let close = bench.events(&id, "engagement.closed").pop().unwrap();
    // Another end, whose hash holds.
    let mut forged = close.clone();
    let event = forged.as_object_mut().unwrap();
    event.remove("arguments");
    event.remove("hash");
    event.insert("at".into(), "2099-01-01T00:00:00Z".into());
    let hash = Sha256::digest(serde_json_canonicalizer::to_vec(&forged).unwrap());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    forged["hash"] = format!("sha256:{hash}").into();
    let bytes = serde_json_canonicalizer::to_string(&forged).unwrap().replace('\'', "''");
    let (seq, of) = (&close["seq"], &id);
    tamper(
        &bench,
        &format!(
            "UPDATE events SET bytes = CAST('{bytes}' AS BLOB), hash = x'{hash}' WHERE engagement = '{of}' AND seq = {seq}"
        ),
    );
    bench.run(&["verify", &id]).code(5).shows("is over another leaf").shows(&format!("event {seq}: "));
    bench.run(&["verify", &other]).code(0);
    // Nor is it enough to take its leaves out.
    tamper(&bench, &format!("DELETE FROM log_leaves WHERE engagement = '{of}'"));
    bench.run(&["verify", &id]).code(5).shows("the log has no leaf of this event");
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
    bench.run(&["log", "prove", &id]).code(0).shows("is leaf 2 (from 0) of 3");
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

#[test]
fn a_backup_put_back_is_found_by_what_the_witness_has_and_so_is_a_fork() {
    let bench = Bench::new();
    bench.edit("countersign.toml", "version = 1", "version = 1\n[witness]\nfile = \"../witness\"");
    let first = ended(&bench);
    let copy = bench.outside("copy.db");
    bench.json(&["backup", text(&copy)]);
    let second = ended(&bench);
    let witness = bench.outside("witness");
    let kept = std::fs::read_to_string(&witness).unwrap();
    assert_eq!(kept.matches("\n\n— ").count(), 4, "{kept}");
    let fresh = bench.json(&["verify", &second, "--against", text(&witness)]);
    assert_eq!((&fresh["freshness"]["is"], &fresh["freshness"]["size"]), (&"witnessed".into(), &4.into()));
    assert_eq!(fresh["freshness"]["seq"], fresh["events"]);
    let blind = bench.json(&["verify", &second]);
    assert_eq!(blind["freshness"]["is"], "not_witnessed");
    bench.run(&["verify", &second]).code(0).shows("freshness not witnessed");

    // A bundle says so too: under the last checkpoint, or under one that the witness has.
    let bundle = |id: &str, name: &str, more: &[&str]| {
        let file = bench.outside(name);
        let file = text(&file).to_owned();
        (bench.run(&[&["export", id, "--bundle", &file], more].concat()), file)
    };
    let (_, before) = bundle(&first, "before.tar", &[]);
    bench.run(&["verify", &before, "--against", text(&witness)]).code(0).shows("witnessed: up to event");
    let (_, all) = bundle(&first, "all.tar", &["--with-log"]);
    let whole = bench.run(&["verify", &all, "--against", text(&witness)]).code(0);
    whole.shows("the whole log is here, and by then had nothing else of it");
    let half = bench.outside("half");
    let middle: Vec<&str> = kept.split_inclusive("\n\n").collect();
    std::fs::write(&half, middle[..middle.len() / 2].concat()).unwrap();
    let half = text(&half);
    // What a witness has of the beginning says nothing of how it went on.
    let most = bench.outside("most");
    std::fs::write(&most, middle[..middle.len() - 2].concat()).unwrap();
    bench.run(&["verify", &second, "--against", text(&most)]).code(5).shows("is in the log since");
    let uncovered = bench.run(&["verify", &before, "--against", half]).code(5);
    uncovered.shows("none of the published checkpoints covers this").shows("freshness not witnessed: the proof here");
    bundle(&second, "late.tar", &["--against", half]).0.code(1).says("publish a later one");
    let (_, proven) = bundle(&first, "proven.tar", &["--against", half]);
    bench.run(&["verify", &proven, "--against", half]).code(0).shows("witnessed: up to event");

    let unset = bench.run(&["verify", "trust", "--against", text(&witness)]).code(0).shows("no stage was ever set");
    unset.shows("nothing of it is in the log, by a published checkpoint of 4 leaves");
    restore(&bench, &copy);
    bench.run(&["verify", &first]).code(0);
    let place = "leaf 2: a published checkpoint covers 3 leaves, and the log has only 2: it was rolled back";
    bench.run(&["verify", "log", "--against", text(&witness)]).code(5).shows(place);
    bundle(&first, "rolled.tar", &["--against", text(&witness)]).0.code(5).says("it was rolled back");
    let found = bench.run(&["verify", &first, "--against", text(&witness), "--json"]).code(5).json();
    let what = found["problems"][0]["what"].as_str().unwrap();
    assert!(what.starts_with("the log, from leaf 2: ") && what.contains("has only 2: it was rolled back"), "{what}");
    bench.run(&["verify", "trust", "--against", text(&witness)]).code(5).shows("rolled back");
    // Whatever is done next is not published over what the witness has, and that is said.
    let id = bench.request_one();
    bench.drive(&id, 3);
    // Nor is anything put into the log for it, so that the bundle of what still runs does not end under a checkpoint.
    let leaves = |bench: &Bench| bench.run(&["verify", "log", "--json"]).json()["leaves"].clone();
    let before = leaves(&bench);
    let (open, _) = bundle(&id, "open.tar", &[]);
    open.code(0).says("is under no checkpoint in it").says("the log here has 2: this ledger was rolled back");
    assert_eq!(leaves(&bench), before);
    let told = bench.run(&["reject", &id, "--reason", "not now"]).code(0).says("this ledger was rolled back");
    let told = told.says("publish to another place from now on");
    assert!(!told.err.contains("with the next one"), "none ever is: {}", told.err);
    assert_eq!(std::fs::read_to_string(&witness).unwrap(), kept);
    let (_, forked) = bundle(&id, "forked.tar", &[]);
    bench.run(&["verify", &forked]).code(0).shows("freshness not witnessed");
    bench.run(&["verify", &forked, "--against", text(&witness)]).code(5).shows("log/proof.json: ").shows("(a fork)");
    ended(&bench);
    ended(&bench);
    assert_eq!(std::fs::read_to_string(&witness).unwrap(), kept);
    bench.run(&["verify", "log"]).code(0);
    bench.run(&["verify", "log", "--against", text(&witness)]).code(5).shows("leaf 2").shows("(a fork)");
    bench.run(&["verify", &first, "--against", text(&witness)]).code(5).shows("the log, from leaf 2").shows("(a fork)");
    bundle(&first, "refused.tar", &["--against", text(&witness)]).0.code(5).says("of another log than the one here");
    bench.run(&["verify", &first, "--against", "countersign.toml"]).code(2).says("countersign.toml: ");
    bench.run(&["verify", &first, "--against", "/dev/zero"]).code(2).says("no file of checkpoints");
}

#[test]
fn who_signs_says_what_the_log_was_and_a_changed_one_is_found_at_their_answer() {
    let bench = Bench::new();
    bench.key_of("ada");
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    let (folder, checkpoint) = (bench.outside("record"), bench.json(&["log", "consistency", "1", "2"]));
    bench.run(&["export", &id, text(&folder)]).code(0);
    let mut signed: Vec<(u64, serde_json::Value)> = std::fs::read_dir(folder.join("signatures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| {
            let statement = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), statement)
        })
        .collect();
    signed.sort_by_key(|(seq, _)| *seq);
    let [(_, gate1), (seq, gate2)] = signed.as_slice() else { panic!("{signed:?}") };
    assert!(gate1.get("log").is_none(), "there was no log then");
    assert_eq!((&gate2["log"]["size"], &gate2["log"]["root"]), (&1.into(), &checkpoint["old_root"]));
    bench.run(&["verify", &id]).code(0);
    let change = "DROP TRIGGER nodes_stay; UPDATE log_nodes SET hash = zeroblob(32) WHERE place = 0";
    let ledger = rusqlite::Connection::open(bench.root.join(".countersign/ledger.db")).unwrap();
    ledger.execute_batch(change).unwrap();
    drop(ledger);
    let found = bench.run(&["verify", &id, "--json"]).code(5).json();
    let says = |problem: &serde_json::Value| {
        problem["seq"] == *seq && problem["what"].as_str().unwrap().starts_with("whoever signed this saw another log")
    };
    assert!(found["problems"].as_array().unwrap().iter().any(says), "{found}");
}

#[test]
fn who_signs_sees_leaves_that_are_not_signed_yet_and_signs_nothing_of_a_log_that_was_rolled_back() {
    let bench = Bench::new();
    bench.people(&[("grace", "approver")]);
    let key = bench.key_of("grace");
    let signing = ["--as", "grace", "--reason", "it was looked at", "--key", &key];
    let (keys, away) = (bench.root.join(".countersign/keys"), bench.outside("keys"));
    let id = bench.request_one();
    bench.drive(&id, 3);
    // Nobody can make or read a key: the first leaf is under no checkpoint.
    std::fs::rename(&keys, &away).unwrap();
    std::os::unix::fs::symlink("/dev/null", &keys).unwrap();
    bench.approve(&id);
    bench.drive(&id, 3);
    std::fs::remove_file(&keys).unwrap();
    std::fs::rename(&away, &keys).unwrap();
    let before = bench.copy();
    bench.approving(&id, &signing).code(0);
    let folder = bench.outside("exported");
    bench.run(&["export", &id, text(&folder)]).code(0);
    let seen = |path: std::path::PathBuf| {
        let statement = std::fs::read_to_string(path).ok()?;
        let statement: serde_json::Value = serde_json::from_str(&statement).ok()?;
        statement["log"]["size"].as_u64()
    };
    let statements = std::fs::read_dir(folder.join("signatures")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(statements.filter_map(seen).collect::<Vec<_>>(), [1]);
    bench.run(&["verify", &id]).code(0);
    // The same moment again in a ledger whose last leaves are gone: its last checkpoint covers more.
    let ended = ended(&before);
    let ledger = rusqlite::Connection::open(before.root.join(".countersign/ledger.db")).unwrap();
    let cut = "DROP TRIGGER leaves_last; DELETE FROM log_leaves WHERE engagement = '";
    ledger.execute_batch(&format!("{cut}{ended}'")).unwrap();
    drop(ledger);
    let events = before.events(&id, "").len();
    before.approving(&id, &signing).code(5).says("it was rolled back").says("restore the workspace from a backup");
    assert_eq!(before.events(&id, "").len(), events, "it was answered");
}
