//! Files that are damaged, of another version, or in use by someone else.

use std::{
    io::{Seek, Write},
    time::{Duration, Instant},
};

use crate::bench::{Bench, run_in};

#[test]
fn a_workspace_of_a_newer_program_is_left_alone() {
    let bench = Bench::new();
    let config = bench.read("countersign.toml");
    let table = [
        ("version = 2", "newer"),
        ("version = 2\nfuture = true", "newer"),
        ("version = 0", "version = 1"),
        ("version = \"1\"", "countersign.toml"),
        ("version = 1\nvresion = 2", "vresion"),
        ("version =", "line 2"),
        ("", "version"),
    ];
    for (version, says) in table {
        bench.write("countersign.toml", &config.replace("version = 1", version));
        for args in [&["list"][..], &["blueprints"], &["tools", "list"]] {
            bench.run(args).code(2).says(says);
        }
    }
}

#[test]
fn outside_a_workspace_every_command_says_how_to_get_one() {
    let elsewhere = tempfile::tempdir().unwrap();
    for args in
        [&["list"][..], &["blueprints"], &["run"], &["inbox"], &["show", "x"], &["tools", "list"], &["lab", "show"]]
    {
        run_in(elsewhere.path(), args).code(2).says("countersign init");
    }
    run_in(elsewhere.path(), &["list", "--workspace", "nowhere"]).code(2).says("nowhere");
    std::fs::write(elsewhere.path().join("mine.txt"), "x").unwrap();
    run_in(elsewhere.path(), &["init", "."]).code(2).says("not empty");
    run_in(elsewhere.path(), &["init", "mine.txt"]).code(2).says("mine.txt is a file");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    // What somebody put there stays, in a folder that would be a workspace's too.
    for (folder, file) in [
        ("a/policies", "a/policies/mine.cedar"),
        ("b/tools", "b/tools"),
        ("c/.countersign", "c/.countersign/ledger.db"),
    ] {
        let (folder, file) = (elsewhere.path().join(folder), elsewhere.path().join(file));
        std::fs::create_dir_all(if folder == file { folder.parent().unwrap() } else { &folder }).unwrap();
        std::fs::write(&file, "mine").unwrap();
        let root = folder.parent().unwrap().file_name().unwrap().to_str().unwrap();
        run_in(elsewhere.path(), &["init", root]).code(2).says("not empty");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    }
    std::fs::create_dir_all(elsewhere.path().join("d/somebodys")).unwrap();
    run_in(elsewhere.path(), &["init", "d"]).code(2).says("not empty");
}

#[test]
fn files_that_do_not_load_stop_the_program_at_their_line() {
    let bench = Bench::new();
    let table = [
        ("policies/inventory.yaml", "is: switch, environment: lab", "is: switch, environmnet: lab", "inventory.yaml:"),
        ("policies/inventory.yaml", "name: sw02", "name: sw01", "`sw01` stands twice"),
        // Rules about `production` would not hold for it.
        ("policies/inventory.yaml", "environment: lab", "environment: Production", "lower-case letters"),
        ("policies/inventory.yaml", "environment: lab", "environment: 'production '", "no name of an environment"),
        ("policies/people.yaml", "kind: people", "kind: people\napprovals_last_hours: 0", "write 1 or more"),
        ("policies/people.yaml", "roles: [owner]", "roles: [boss]", "people.yaml:"),
        ("policies/guardrails.cedar", "forbid (", "permit (", "guardrails.cedar"),
        ("policies/guardrails.cedar", "principal ==", "principal =", "guardrails.cedar"),
        ("policies/guardrails.cedar", "@id(\"frozen\")", "@id(\"readers-only-read\")", "readers-only-read"),
        ("policies/guardrails.cedar", "resource.tags", "resource.tgas", "tgas"),
        ("policies/stages.cedar", "context.stage == 1", "context.stgae == 1", "stgae"),
        ("policies/stages.cedar", "permit (", "forbid (", "stages.cedar"),
        ("tools/lab.yaml", "effect: destructive", "effect: harmless", "lab.yaml:"),
        ("tools/lab.yaml", "name: vlan.rename", "name: vlan.create", "vlan.create"),
        ("tools/lab.yaml", "tool: vlan.delete\n", "tool: vlan.drop\n", "vlan.drop"),
        ("tools/pins.yaml", "servers:", "server:", "pins.yaml:"),
        ("tools/pins.yaml", "executable: sha256:", "executable: md5:", "pins.yaml:"),
    ];
    for (file, from, to, says) in table {
        let text = bench.read(file);
        bench.edit(file, from, to);
        let answer =
            bench.run(&["request", "--blueprint", "vlan", "--set", "id=120", "--set", "name=x"]).code(2).says(says);
        assert!(!answer.err.contains("::") || file.ends_with(".cedar"), "{file}: {}", answer.err);
        bench.write(file, &text);
    }
    for file in
        ["policies/guardrails.cedar", "policies/stages.cedar", "policies/inventory.yaml", "policies/people.yaml"]
    {
        let text = bench.read(file);
        std::fs::remove_file(bench.root.join(file)).unwrap();
        bench.run(&["request", "--blueprint", "vlan", "--set", "id=120", "--set", "name=x"]).code(2).says(file);
        bench.write(file, &text);
    }
    let text = bench.read("prompts/blueprints/dns.yaml");
    bench.write("prompts/blueprints/dns.yaml", &text.replace("kind: blueprint", "kind: recipe"));
    bench.run(&["request", "--blueprint", "dns"]).code(2).says("dns.yaml:");
    assert!(bench.list().is_empty());
}

#[test]
fn policies_that_stop_loading_stop_what_is_under_way() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.edit("policies/guardrails.cedar", "forbid (", "forbid(forbid (");
    bench.run(&["run", &id]).code(2).says("guardrails.cedar");
    assert!(bench.writes().is_empty());
    bench.edit("policies/guardrails.cedar", "forbid(forbid (", "forbid (");
    bench.drive(&id, 0);
    bench.holds(&id);
}

#[test]
fn a_ledger_that_is_damaged_is_said_to_be_and_never_written_to() {
    let ledger = ".countersign/ledger.db";
    type Damage = fn(&mut Vec<u8>);
    let table: [(&str, Damage); 5] = [
        ("garbage", |bytes| bytes.fill(b'x')),
        ("truncated", |bytes| bytes.truncate(bytes.len() / 3 + 100)),
        ("one page", |bytes| bytes.truncate(4096)),
        ("a header of another kind", |bytes| bytes[..16].copy_from_slice(b"not a database!!")),
        ("holes", |bytes| bytes[4096..].iter_mut().for_each(|byte| *byte ^= 0x5a)),
    ];
    for (what, damage) in table {
        let bench = Bench::new();
        let id = bench.request_one();
        bench.to_gate2(&id);
        let file = bench.root.join(ledger);
        // A command that reads folds in what the last one left beside the file.
        while bench.root.join(".countersign/ledger.db-wal").exists() {
            bench.run(&["show", &id]).code(0);
        }
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        std::fs::write(&file, &bytes).unwrap();
        let network = bench.root.join(".countersign/servers/lab/lab.json");
        let lab = std::fs::read(&network).unwrap();
        for args in [&["run", &id][..], &["approve", &id], &["show", &id], &["log", &id], &["list"], &["verify", &id]] {
            let answer = bench.run(args).code_in(&[1, 5]);
            assert!(answer.err.starts_with("error: "), "{what} {args:?}: {}", answer.err);
            assert!(!answer.err.contains("::") && !answer.err.contains("Error {"), "{what} {args:?}: {}", answer.err);
            assert!(answer.err.contains("backup"), "{what} {args:?}: {}", answer.err);
        }
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "{what}: a damaged ledger was written to");
        assert_eq!(std::fs::read(&network).unwrap(), lab);
    }
}

#[test]
fn one_damaged_page_of_another_engagement_stops_every_command_before_it_writes() {
    let bench = Bench::new();
    let other = bench.request_one();
    bench.to_gate2(&other);
    let id = bench.request_one();
    bench.drive(&id, 3);
    let file = bench.root.join(".countersign/ledger.db");
    // All of it is in the main file then.
    let ledger = rusqlite::Connection::open(&file).unwrap();
    ledger.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    drop(ledger);
    let whole = std::fs::read(&file).unwrap();
    // A leaf of the table of events with the first events in it, and none of the last engagement's.
    let has = |page: &[u8], what: &str| page.windows(what.len()).any(|bytes| bytes == what.as_bytes());
    let pages = whole.chunks(4096).enumerate().skip(1);
    let leaf = pages.filter(|(_, page)| page[0] == 13 && has(page, &other) && !has(page, &id)).map(|(at, _)| at);
    let leaf = leaf.min().unwrap();
    let mut bytes = whole.clone();
    bytes[leaf * 4096 + 2048..(leaf + 1) * 4096].fill(0);
    std::fs::write(&file, &bytes).unwrap();
    let commands: [&[&str]; 9] = [
        &["list"],
        &["show", &id],
        &["run", &id],
        &["reject", &id, "--reason", "not now"],
        &["request", "--blueprint", "vlan", "--set", "id=121", "--set", "name=guest"],
        &["verify", &id],
        &["verify", "log"],
        &["backup", "copy.db"],
        &["keys", "rotate"],
    ];
    for args in commands {
        bench.run(args).code(5).says("is damaged: ").says("restore the workspace from a backup");
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "{args:?} wrote to it");
    }
    assert!(!bench.root.join("copy.db").exists());
    std::fs::write(&file, &whole).unwrap();
    bench.run(&["list"]).code(0);
    bench.holds(&other);
}

#[test]
fn an_engagement_that_was_deleted_from_the_list_is_there_all_the_same() {
    let bench = Bench::new();
    let (id, other) = (bench.request_one(), bench.request_one());
    bench.to_gate2(&id);
    let before = bench.list();
    let ledger = rusqlite::Connection::open(bench.root.join(".countersign/ledger.db")).unwrap();
    let forget = || ledger.execute("DELETE FROM summaries WHERE engagement = ?", (&id,)).unwrap();
    for args in [&["verify", &id][..], &["show", &id], &["log", &id]] {
        assert_eq!(forget(), 1, "{args:?}");
        bench.run(args).code(0);
    }
    forget();
    assert_eq!(bench.list(), before);
    forget();
    let copy = bench.outside("copy.db");
    bench.run(&["backup", copy.to_str().unwrap()]).code(0).shows("2 engagements").shows("every chain holds");
    // What is broken and in no list is not passed over.
    let breaking = "DROP TRIGGER events_last; DELETE FROM events WHERE engagement = ?1 AND seq = 2";
    forget();
    ledger.execute_batch(&breaking.replace("?1", &format!("'{id}'"))).unwrap();
    bench.run(&["verify", &id]).code(5);
    let broken = bench.outside("broken.db");
    let said =
        bench.run(&["backup", broken.to_str().unwrap()]).code(5).shows("2 engagements").shows("NOT all of it holds");
    said.shows(&format!("the chain of engagement {id}"));
    assert!(broken.exists());
    bench.run(&["verify", &other]).code(0);
}

#[test]
fn one_flipped_byte_of_an_export_is_found_and_its_event_named() {
    let bench = Bench::new();
    let id = bench.request(&["--blueprint", "dns", "--set", "name=web01", "--set", "address=192.0.2.10"]);
    bench.to_end(&id, 0);
    let folder = bench.outside("exported");
    bench.run(&["export", &id, folder.to_str().unwrap()]).code(0);
    let elsewhere = tempfile::tempdir().unwrap();
    let path = folder.join("events.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate().step_by(4) {
        let middle = line.len() / 2;
        let flipped = if line.as_bytes()[middle] == b'a' { "b" } else { "a" };
        let mut changed = lines.clone();
        let broken = format!("{}{flipped}{}", &line[..middle], &line[middle + 1..]);
        changed[at] = &broken;
        std::fs::write(&path, changed.join("\n") + "\n").unwrap();
        let answer = run_in(elsewhere.path(), &["verify", folder.to_str().unwrap()]).code(5);
        assert!(
            answer.out.contains("does NOT hold") && answer.out.contains(&format!("event {}:", at + 1)),
            "{}",
            answer.out
        );
    }
    // An event that is missing, twice, or in another place; and a stored document that is another.
    let without = [&lines[..5], &lines[6..]].concat();
    let twice = [&lines[..6], &lines[5..]].concat();
    let mut swapped = lines.clone();
    swapped.swap(5, 6);
    for (changed, event) in [(without, "event 6:"), (twice, "event 7:"), (swapped, "event 6:")] {
        std::fs::write(&path, changed.join("\n") + "\n").unwrap();
        run_in(elsewhere.path(), &["verify", folder.to_str().unwrap()]).code(5).shows(event);
    }
    std::fs::write(&path, &text).unwrap();
    run_in(elsewhere.path(), &["verify", folder.to_str().unwrap()]).code(0);
    let blob = std::fs::read_dir(folder.join("blobs")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(blob, "{}").unwrap();
    run_in(elsewhere.path(), &["verify", folder.to_str().unwrap()]).code(5).shows("event ");
    std::fs::remove_file(&path).unwrap();
    run_in(elsewhere.path(), &["verify", folder.to_str().unwrap()]).code(5).says("events.jsonl");
}

#[test]
fn the_artifacts_of_an_export_are_held_against_its_chain() {
    let bench = Bench::new();
    let id = bench.request(&["--blueprint", "dns", "--set", "name=web01", "--set", "address=192.0.2.10"]);
    bench.to_end(&id, 0);
    let folder = bench.outside("exported");
    bench.run(&["export", &id, folder.to_str().unwrap()]).code(0).shows("events.jsonl").shows("blobs/");
    let verify = || run_in(&bench.root, &["verify", folder.to_str().unwrap()]);
    verify().code(0).shows("page.txt and sequence.mmd are for reading and were not checked");
    for name in ["spec.yaml", "discovery.report", "solution.design", "automation.flow", "reconciled.record"] {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        // Another layout of the same document is the same document, and what is only in the file is not the chain's.
        std::fs::write(&path, format!("# a comment\n{text}")).unwrap();
        verify().code(0).shows(&format!("{name} says what the chain says and is not written as it was exported"));
        std::fs::write(&path, text.replacen("kind:", "knid:", 1)).unwrap();
        verify().code(5).shows(&format!("{name} was changed"));
        std::fs::remove_file(&path).unwrap();
        verify().code(5).shows(&format!("{name} is missing"));
        // Neither is read: one never ends, and nobody writes to the other.
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        verify().code(5).shows(&format!("{name} is missing"));
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        verify().code(5).shows(&format!("{name} is missing"));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    assert!(!verify().code(0).out.contains("not written as it was"), "nothing is different");
    let elsewhere = tempfile::tempdir().unwrap();
    run_in(elsewhere.path(), &["verify", "."]).code(2).says("countersign export");
}

#[test]
fn one_engagement_is_run_by_one_process_at_a_time() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.fault("slow:vlan.create@sw01,times=1,ms=3000");
    let mut first = bench.start(&["run", &id]);
    let since = Instant::now();
    while !bench.events(&id, "call.allowed").iter().any(|event| event["body"]["tool"] == "vlan.create") {
        assert!(since.elapsed() < Duration::from_secs(20));
    }
    let second = bench.run(&["run", &id]).code(1).says("another process is running");
    assert!(second.err.contains(&format!("countersign show {id}")), "{}", second.err);
    // Looking is not running.
    bench.run(&["show", &id]).code(0);
    bench.run(&["log", &id]).code(0);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(bench.writes().len(), 4);
    bench.holds(&id);
}

#[test]
fn a_lab_file_that_is_damaged_fails_the_reads_and_nothing_else() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.approve(&id);
    let file = bench.root.join(".countersign/servers/lab/lab.json");
    let mut open = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    open.seek(std::io::SeekFrom::Start(10)).unwrap();
    open.write_all(b"\0\0\0").unwrap();
    bench.run(&["lab", "show"]).code(2).says("countersign lab reset");
    assert_eq!(bench.drive(&id, 1)["status"]["is"], "running", "nothing was sent, so nothing is decided");
    bench.run(&["lab", "reset"]).code(0);
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2", "once it can be used, it goes on");
    bench.holds(&id);
}

#[test]
fn a_server_that_ends_at_its_start_is_heard_by_a_person_and_not_by_the_chain() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.approve(&id);
    std::fs::remove_file(bench.root.join(".countersign/servers/lab/lab.json")).unwrap();
    let said = "create one with `countersign lab reset`";
    let ended = "it ended before it said that it is ready";
    bench.run(&["run", &id]).says("the server of `lab` said: error: no simulated network").says(said).shows(ended);
    bench.run(&["tools", "pin"]).code(1).says("it said: error: no simulated network").says(said);
    let log = bench.run(&["log", &id, "--json"]).code(0).out;
    assert!(log.contains(ended) && !log.contains("lab reset"), "{log}");
    bench.run(&["lab", "reset"]).code(0);
    bench.drive(&id, 3);
}
