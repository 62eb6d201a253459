//! A disk that is full or read-only: nothing is sent, nothing is lost, and it goes on when there is room again.

use std::{io::Write, process::Command};

use crate::bench::{Bench, program};

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
