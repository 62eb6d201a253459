//! A disk that is full or read-only: nothing is sent, nothing is lost, and it goes on when there is room again.

use std::{io::Write, process::Command};

use countersign::ledger::SqliteStore;
use serde_json::Value;

use crate::{
    bench::{Bench, outcomes, program},
    crash::killed_at,
};

/// Runs lines of shell in a workspace that lies on a small disk of its own, in `$1/disk/workspace`; `run NAME ARGS…`
/// runs the program and leaves what it said in `$1/NAME.code`, `.out` and `.err`. Where disks may not be mounted nothing is
/// run, and that is said.
fn on_a_small_disk(bench: &Bench, lines: &str) -> bool {
    let home = bench.outside("disk").parent().unwrap().to_owned();
    std::fs::create_dir_all(home.join("disk")).unwrap();
    let skip = |why: &str| {
        // Past what captures the output of tests.
        let _ = writeln!(std::io::stderr(), "not tested on a small disk: {why}");
        false
    };
    // Whether disks may be mounted is asked first: what the lines answer means nothing else then.
    let asked = Command::new("unshare").args(["-rm", "true"]).output();
    match asked {
        Ok(asked) if asked.status.success() => {}
        Ok(asked) => return skip(&String::from_utf8_lossy(&asked.stderr)),
        Err(error) => return skip(&format!("unshare: {error}")),
    }
    let script = format!(
        "mount -t tmpfs -o size=12m tmpfs \"$1/disk\" || exit 77
cp -a \"$1/workspace\" \"$1/disk/workspace\" && cd \"$1/disk/workspace\" || exit 78
run() {{ name=$1; home=$2; shift 2; \"$0\" \"$@\" >\"$home/$name.out\" 2>\"$home/$name.err\"; echo $? >\"$home/$name.code\"; }}
{lines}
cp -a \"$1/disk/workspace/.countersign\" \"$1/left\""
    );
    let mut shell = Command::new("unshare");
    shell.args(["-rm", "sh", "-c", &script]).arg(program()).arg(&home).env("CVC5", "/nowhere/cvc5");
    let ended = shell.status().unwrap().code();
    if ended == Some(77) {
        return skip("a disk cannot be mounted");
    }
    assert_eq!(ended, Some(0));
    true
}

fn said(bench: &Bench, name: &str) -> (i32, String) {
    let read = |end: &str| std::fs::read_to_string(bench.outside(&format!("{name}.{end}"))).unwrap();
    (read("code").trim().parse().unwrap(), read("err") + &read("out"))
}

/// How many writes took effect in the lab on that disk.
fn writes(bench: &Bench) -> usize {
    let journal = bench.outside("left").join("servers/lab/lab.json.journal.jsonl");
    std::fs::read_to_string(journal).unwrap_or_default().lines().count()
}

fn ready() -> (Bench, String) {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    (bench, id)
}

/// The same with all that was written in the ledger's file and nothing beside it.
fn ready_and_closed() -> (Bench, String) {
    let (bench, id) = ready();
    close(&bench);
    (bench, id)
}

/// Moves what was written into the ledger's file, so that there is nothing beside it in which there is room left.
fn close(bench: &Bench) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ledger = bench.root.join(".countersign/ledger.db");
    runtime.block_on(async { SqliteStore::open(&ledger).await.unwrap().close().await });
    assert!(!bench.root.join(".countersign/ledger.db-wal").exists());
}

#[test]
fn a_full_disk_stops_it_before_anything_is_sent_and_it_goes_on_when_there_is_room() {
    let (bench, id) = ready();
    let lines = format!(
        "head -c 64m /dev/zero >../fill 2>/dev/null
run full \"$1\" run {id} --json
cp .countersign/servers/lab/lab.json.journal.jsonl \"$1/early\" 2>/dev/null
rm ../fill
run after \"$1\" run {id} --json
run verify \"$1\" verify {id}"
    );
    if !on_a_small_disk(&bench, &lines) {
        return;
    }
    let (code, text) = said(&bench, "full");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("full"), "{text}");
    assert_eq!(std::fs::read_to_string(bench.outside("early")).unwrap_or_default(), "", "something was sent");
    let (code, text) = said(&bench, "after");
    assert_eq!(code, 0, "{text}");
    assert_eq!(writes(&bench), 1);
    assert_eq!(said(&bench, "verify").0, 0);
}

#[test]
fn a_read_only_disk_is_named_and_nothing_is_sent() {
    let (bench, id) = ready();
    let lines = format!(
        "mount -o remount,ro \"$1/disk\" || exit 79
run held \"$1\" run {id} --json
mount -o remount,rw \"$1/disk\" || exit 79
cp .countersign/servers/lab/lab.json.journal.jsonl \"$1/early\" 2>/dev/null
run after \"$1\" run {id} --json
run verify \"$1\" verify {id}"
    );
    if !on_a_small_disk(&bench, &lines) {
        return;
    }
    let (code, text) = said(&bench, "held");
    assert_ne!(code, 0, "{text}");
    assert!(text.to_lowercase().contains("read-only"), "{text}");
    assert_eq!(std::fs::read_to_string(bench.outside("early")).unwrap_or_default(), "", "something was sent");
    assert_eq!(said(&bench, "after").0, 0, "{}", said(&bench, "after").1);
    assert_eq!(writes(&bench), 1);
    assert_eq!(said(&bench, "verify").0, 0);
}

/// The lab, which fills the disk once between a change and the answer that tells of it.
const FILLS_THE_DISK: &str = r#"#!/bin/sh
journal="$4.journal.jsonl"
folder="${4%/*}"
'{program}' "$@" | while IFS= read -r line; do
    if [ -s "$journal" ] && [ ! -e "$folder/filled" ]; then
        : >"$folder/filled"
        /usr/bin/yes >"$folder/fill" 2>&1
    fi
    printf '%s\n' "$line"
done
"#;

/// A workspace with that lab, and an engagement that is ready to be built.
fn ready_to_fill() -> (Bench, String) {
    let bench = Bench::new();
    bench.in_front("");
    bench.write("lab.sh", &FILLS_THE_DISK.replace("{program}", program().to_str().unwrap()));
    bench.run(&["tools", "pin", "--yes"]).code(0);
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    close(&bench);
    (bench, id)
}

#[test]
fn an_outcome_that_finds_no_room_waits_until_there_is_some() {
    let (bench, id) = ready_to_fill();
    let lines = format!(
        "(run full \"$1\" run {id}) &
for _ in $(seq 600); do grep -q 'disk that the ledger is on is full' \"$1/full.err\" \"$1/full.out\" 2>/dev/null && break; sleep 0.1; done
rm .countersign/servers/lab/fill
wait
run log \"$1\" log {id} --json
run verify \"$1\" verify {id}"
    );
    if !on_a_small_disk(&bench, &lines) {
        return;
    }
    let (code, text) = said(&bench, "full");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("is kept, and written down as soon as that is over"), "{text}");
    let (code, text) = said(&bench, "log");
    assert_eq!(code, 0, "{text}");
    let log = serde_json::from_str::<Vec<Value>>(&text).unwrap();
    let outcomes = log.iter().filter(|event| event["kind"] == "call.finished").map(|event| &event["body"]["outcome"]);
    assert!(outcomes.into_iter().all(|outcome| outcome == "ok"), "{log:#?}");
    assert_eq!(writes(&bench), 1);
    assert_eq!(said(&bench, "verify").0, 0);
}

#[test]
fn a_change_whose_outcome_found_no_room_before_it_was_ended_is_read_back_and_not_made_again() {
    let (bench, id) = ready_to_fill();
    let lines = format!(
        "timeout -s KILL 8 \"$0\" run {id} >\"$1/full.out\" 2>\"$1/full.err\"
echo $? >\"$1/full.code\"
run cut \"$1\" log {id} --json
cp .countersign/servers/lab/lab.json.journal.jsonl \"$1/early\"
rm .countersign/servers/lab/fill
run after \"$1\" run {id} --json
run log \"$1\" log {id} --json
run verify \"$1\" verify {id}
run whole \"$1\" verify log"
    );
    if !on_a_small_disk(&bench, &lines) {
        return;
    }
    let (code, text) = said(&bench, "full");
    assert_eq!(code, 137, "{text}");
    assert!(text.contains("the disk that the ledger is on is full"), "{text}");
    assert_eq!(std::fs::read_to_string(bench.outside("early")).unwrap().lines().count(), 1, "it took effect");
    let events = |name: &str| {
        let (code, text) = said(&bench, name);
        assert_eq!(code, 0, "{text}");
        serde_json::from_str::<Vec<Value>>(&text).unwrap()
    };
    // The intent was stored, and nothing says what came of it.
    let change = |event: &&Value| event["kind"] == "call.allowed" && event["body"]["tool"] == "vlan.create";
    let cut = events("cut");
    let call = &cut.last().filter(change).unwrap_or_else(|| panic!("{cut:#?}"))["body"]["call"];
    let (code, text) = said(&bench, "after");
    assert_eq!(code, 0, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(outcomes(&answer["record"]["targets"], "target"), ["sw01 done"], "it was read back");
    let log = events("log");
    assert_eq!(log.iter().filter(change).count(), 1, "it was not sent again");
    let said_of_it = log.iter().filter(|event| event["kind"] == "call.finished" && event["body"]["call"] == *call);
    assert_eq!(said_of_it.map(|event| &event["body"]["outcome"]).collect::<Vec<_>>(), ["unknown"]);
    assert_eq!(writes(&bench), 1, "the lab was asked once");
    for name in ["verify", "whole"] {
        assert_eq!(said(&bench, name).0, 0, "{}", said(&bench, name).1);
    }
}

/// What every command that only reads answers on a disk that cannot be written, and every other one.
const READS_AND_REFUSES: &str = "run list \"$1\" list --json
run show \"$1\" show $ID --json
run log \"$1\" log $ID --json
run verify \"$1\" verify $ID
run inbox \"$1\" inbox --as ada --json
run folder \"$1\" export $ID \"$1/folder\"
run bundle \"$1\" export $ID --bundle \"$1/bundle.tar\"
run unpacked \"$1\" verify \"$1/bundle.tar\"
run whole \"$1\" verify log
run checkpoint \"$1\" log checkpoint
run stages \"$1\" trust show
run backup \"$1\" backup \"$1/copy.db\"
run no-request \"$1\" request --blueprint vlan --set id=130 --set name=x --as ada
run no-run \"$1\" run $ID
run no-runs \"$1\" run
run no-approve \"$1\" approve $ID --digest 0 --as ada
run no-reject \"$1\" reject $ID --reason no --as ada
run no-cancel \"$1\" cancel $ID --reason no --as ada
run no-say \"$1\" say $ID word --as ada
run no-edit \"$1\" edit $ID --as ada
run no-call \"$1\" call $ID vlan.list --as ada
run no-stage \"$1\" trust set vlan@lab 2 --reason no --as ada
run no-keys \"$1\" keys rotate --as ada
run no-redact \"$1\" redact $ID c1 --reason no --yes --as ada
";

/// Checks them; the last event is of this kind.
#[track_caller]
fn read_and_refused(bench: &Bench, id: &str, last: &str) {
    let json = |name: &str| {
        let (code, text) = said(bench, name);
        assert_eq!(code, 0, "{name}: {text}");
        serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
    };
    assert_eq!(json("list")[0]["id"], id);
    let events = json("log");
    let events = events.as_array().unwrap();
    assert_eq!(events.last().unwrap()["kind"], last);
    assert_eq!(json("show")["events"], events.len());
    json("inbox");
    for name in ["verify", "folder", "bundle", "unpacked", "whole", "checkpoint", "stages", "backup"] {
        let (code, text) = said(bench, name);
        assert_eq!(code, 0, "{name}: {text}");
    }
    for name in
        ["request", "run", "runs", "approve", "reject", "cancel", "say", "edit", "call", "stage", "keys", "redact"]
    {
        let (code, text) = said(bench, &format!("no-{name}"));
        assert_eq!(code, 1, "{name}: {text}");
        assert!(text.contains("is read-only") && text.contains("make `.countersign` and"), "{name}: {text}");
    }
    // The copy is a ledger with all of it.
    let copied = bench.copy();
    for name in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(copied.root.join(".countersign").join(name));
    }
    std::fs::copy(bench.outside("copy.db"), copied.root.join(".countersign/ledger.db")).unwrap();
    assert_eq!(copied.json(&["show", id])["events"], events.len());
}

#[test]
fn a_workspace_on_a_read_only_disk_is_read_and_is_not_written() {
    let (bench, id) = ready_and_closed();
    let lines = format!(
        "ID={id}
mount -o remount,ro \"$1/disk\" || exit 79
{READS_AND_REFUSES}
mount -o remount,rw \"$1/disk\" || exit 79
run after \"$1\" run {id} --json"
    );
    if !on_a_small_disk(&bench, &lines) {
        return;
    }
    read_and_refused(&bench, &id, "approval.answered");
    assert_eq!(said(&bench, "after").0, 0, "{}", said(&bench, "after").1);
    assert_eq!(writes(&bench), 1);
}

#[test]
fn what_a_killed_process_left_in_the_log_beside_the_ledger_is_read_from_a_read_only_disk_too() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    // It was committed, and nobody was told; it lies in the log beside the ledger.
    let digest = bench.question(&id);
    assert!(killed_at(&bench, &["approve", &id, "--digest", &digest], 2));
    assert!(bench.root.join(".countersign/ledger.db-wal").metadata().unwrap().len() > 0);
    for shared in [true, false] {
        // A copy may be without what processes share of that log.
        let without = if shared { "" } else { "rm .countersign/ledger.db-shm" };
        let lines = format!(
            "ID={id}
{without}
mount -o remount,ro \"$1/disk\" || exit 79
{READS_AND_REFUSES}"
        );
        let bench = bench.copy();
        if !on_a_small_disk(&bench, &lines) {
            return;
        }
        read_and_refused(&bench, &id, "approval.answered");
    }
}

#[test]
fn a_workspace_that_somebody_else_owns_is_read_and_is_not_written() {
    // The folder and all that is in it, and the folder alone, in which nothing can be made then.
    for taken in ["-R a-w", "a-w"] {
        let (bench, id) = ready_and_closed();
        // Whoever has all rights may write all the same, but not without this one.
        let lines = format!(
            "ID={id}
chmod {taken} .countersign
before=$(ls -la --time-style=full-iso .countersign)
run() {{ name=$1; home=$2; shift 2; setpriv --bounding-set -dac_override \"$0\" \"$@\" >\"$home/$name.out\" 2>\"$home/$name.err\"; echo $? >\"$home/$name.code\"; }}
{READS_AND_REFUSES}
test \"$before\" = \"$(ls -la --time-style=full-iso .countersign)\" || exit 80"
        );
        if !on_a_small_disk(&bench, &lines) {
            return;
        }
        read_and_refused(&bench, &id, "approval.answered");
    }
}

#[test]
fn a_workspace_that_a_full_disk_stops_is_laid_out_when_there_is_room() {
    let (bench, _) = ready_and_closed();
    // There is room for some of the files, for all of them and not for a ledger, and for that and not for the pins.
    let lines = "for room in 24 60 100 140 180 220; do
  head -c 64m /dev/zero >../fill 2>/dev/null
  truncate -s -${room}k ../fill
  run stopped$room \"$1\" init ../new$room
  rm ../fill
  run after$room \"$1\" init ../new$room
  (cd ../new$room && \"$0\" tools pin --yes >/dev/null 2>&1; run pinned$room \"$1\" tools list)
  run again$room \"$1\" init ../new$room
  rm -r ../new$room
done";
    if !on_a_small_disk(&bench, lines) {
        return;
    }
    let mut stopped = 0;
    for room in [24, 60, 100, 140, 180, 220] {
        let (code, text) = said(&bench, &format!("stopped{room}"));
        stopped += u32::from(code != 0);
        assert!(code == 0 || text.contains("No space left") || text.contains("is full"), "{room}: {code} {text}");
        // Once there is a ledger it is a workspace, whose servers are pinned as any other's.
        let (finished, text) = said(&bench, &format!("after{room}"));
        assert!(code != 0 && finished == 0 || text.contains("`countersign tools pin`"), "{room}: {finished} {text}");
        let (_, tools) = said(&bench, &format!("pinned{room}"));
        assert!(!tools.contains("NOT PINNED"), "{room}: {tools}");
        // One that is whole is nobody's to lay out again.
        assert!(said(&bench, &format!("again{room}")).1.contains("is not empty"));
    }
    assert!(stopped >= 3, "{stopped}");
}

#[test]
fn a_workspace_on_a_full_disk_is_read() {
    let (bench, id) = ready_and_closed();
    let lines = format!(
        "head -c 64m /dev/zero >../fill 2>/dev/null
run show \"$1\" show {id} --json
run verify \"$1\" verify {id}
run refused \"$1\" cancel {id} --reason no --as ada"
    );
    if !on_a_small_disk(&bench, &lines) {
        return;
    }
    for name in ["show", "verify"] {
        assert_eq!(said(&bench, name).0, 0, "{}", said(&bench, name).1);
    }
    let (code, text) = said(&bench, "refused");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("is full, and nothing was written"), "{text}");
}

#[test]
fn a_backup_is_a_ledger_that_goes_on_where_it_was_made() {
    let (bench, id) = ready();
    let copy = bench.outside("copy.db");
    let told = bench.json(&["backup", copy.to_str().unwrap()]);
    assert_eq!(told["engagements"], 1);
    bench.run(&["backup", copy.to_str().unwrap()]).code(2).says("is there already");
    let nowhere = bench.run(&["backup", "nodir/copy.db"]).code(2).says("there is no folder nodir; make it");
    assert!(!nowhere.err.contains("the ledger cannot"), "{}", nowhere.err);
    // The ledger is lost, with all that was approved since: the copy takes its place.
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(bench.root.join(".countersign").join(name));
    }
    std::fs::copy(&copy, bench.root.join(".countersign/ledger.db")).unwrap();
    bench.drive(&id, 0);
    assert_eq!(bench.writes().len(), 1);
    bench.holds(&id);
}

#[test]
fn processes_that_share_a_ledger_each_finish_their_own_and_lose_nothing() {
    let bench = Bench::new();
    let one = |n: usize| {
        let (vlan, switch) = (format!("id=12{n}"), format!("switches=sw0{n}"));
        let id = bench.request(&["--blueprint", "vlan", "--set", &vlan, "--set", "name=guest", "--set", &switch]);
        bench.to_gate2(&id);
        bench.approve(&id);
        id
    };
    let ids: Vec<String> = (1..=4).map(one).collect();
    // Two for each engagement: one drives it, and the other is told so or finds it done.
    let start = |id: &String| [bench.start(&["run", id, "--json"]), bench.start(&["run", id, "--json"])];
    let mut running: Vec<_> = ids.iter().map(start).collect();
    for pair in &mut running {
        let codes = pair.each_mut().map(|child| child.wait().unwrap().code());
        assert!(codes.contains(&Some(0)), "{codes:?}");
    }
    assert_eq!(bench.writes().len(), ids.len(), "{:?}", bench.writes());
    ids.iter().for_each(|id| bench.holds(id));
}
