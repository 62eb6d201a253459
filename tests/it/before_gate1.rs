//! Before gate 1 nothing reaches an environment; and what is started is only what was pinned.

use std::path::PathBuf;

use serde_json::json;

use crate::bench::{Bench, command};

/// Puts a program of the workspace's own in front of the lab, which leaves a mark when it is started; pins it, and
/// takes the mark away that pinning left.
fn marked(bench: &Bench) -> PathBuf {
    let mark = bench.in_front(": > '{beside}/started'").join("started");
    bench.run(&["tools", "pin", "--yes"]).code(0).shows("lab.sh");
    std::fs::remove_file(&mark).expect("pinning starts the server");
    mark
}

/// The child processes of a process, now.
fn children(pid: u32) -> Vec<String> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of =
        |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("children")).ok();
    tasks.filter_map(of).flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn before_gate_1_no_server_is_started_and_the_environment_is_not_read() {
    let bench = Bench::new();
    let mark = marked(&bench);
    // Nothing could be read from the network either: it is not there.
    let lab = bench.root.join(".countersign/servers/lab/lab.json");
    let aside = bench.outside("lab.json");
    std::fs::rename(&lab, &aside).unwrap();
    let id = bench.request_one();
    let mut run =
        command(&bench.root).args(["run", &id, "--json"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    while run.try_wait().unwrap().is_none() {
        assert_eq!(children(run.id()), Vec::<String>::new(), "a child process before gate 1");
    }
    assert_eq!(run.wait().unwrap().code(), Some(3));
    bench.run(&["show", &id]).code(0);
    bench.run(&["list"]).code(0);
    bench.run(&["reject", &id, "--reason", "no"]).code(0);
    bench.drive(&id, 3);
    let spec = bench.run(&["show", &id, "--artifact", "spec"]).code(0).out;
    bench.write("again.yaml", &spec);
    bench.run(&["edit", &id, "--file", "again.yaml"]).code(0);
    bench.drive(&id, 3);
    assert!(!mark.exists(), "the server was started before gate 1");
    assert!(!lab.exists());
    assert!(bench.events(&id, "call").is_empty());
    // It is gate 1 that held it back: the same run after it starts the server.
    std::fs::rename(&aside, &lab).unwrap();
    bench.approve(&id);
    bench.drive(&id, 3);
    assert!(mark.exists());
}

#[test]
fn cancelled_before_gate_1_nothing_is_ever_started() {
    let bench = Bench::new();
    let mark = marked(&bench);
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.run(&["cancel", &id, "--reason", "no"]).code(0);
    bench.drive(&id, 1);
    bench.run(&["export", &id, bench.outside("x").to_str().unwrap()]).code(0);
    assert!(!mark.exists());
    bench.holds(&id);
}

#[test]
fn a_program_that_is_not_the_one_that_was_pinned_is_not_started() {
    type Tamper = fn(&Bench);
    let table: [(&str, Tamper, &str); 4] = [
        (
            "another program",
            |bench| {
                let script = bench.read("lab.sh");
                bench.write("lab.sh", &script.replace("exec", "echo tampered >&2; exec"));
            },
            "has changed since it was pinned",
        ),
        (
            "another digest among the pins",
            |bench| {
                let text = bench.read("tools/pins.yaml");
                let at = text.find("executable: sha256:").unwrap() + 19;
                let digit = if &text[at..=at] == "0" { "1" } else { "0" };
                bench.write("tools/pins.yaml", &format!("{}{digit}{}", &text[..at], &text[at + 1..]));
            },
            "has changed since it was pinned",
        ),
        (
            "another command",
            |bench| bench.edit("tools/lab.yaml", "\"serve\", \"--state\"", "\"serve\", \"--json\", \"--state\""),
            "its manifest has changed since",
        ),
        ("no pins", |bench| std::fs::remove_file(bench.root.join("tools/pins.yaml")).unwrap(), "not pinned"),
    ];
    for (what, tamper, says) in table {
        let bench = Bench::new();
        let mark = marked(&bench);
        tamper(&bench);
        let id = bench.request_one();
        bench.drive(&id, 3);
        bench.approve(&id);
        let end = bench.drive(&id, 1);
        assert_eq!(end["status"]["is"], "running", "{what}");
        let log = bench.run(&["log", &id]).code(0).out;
        assert!(log.contains(says) && log.contains("countersign tools pin"), "{what}: {log}");
        assert!(!mark.exists(), "{what}: it was started");
        assert!(bench.writes().is_empty());
        bench.holds(&id);
        // A person who has looked pins what there is; then it runs.
        bench.run(&["tools", "pin", "--yes"]).code(0);
        let id = bench.request_one();
        bench.to_gate2(&id);
    }
}

#[test]
fn a_server_gets_nothing_of_the_environment() {
    let bench = Bench::new();
    let seen = bench.in_front("/usr/bin/env > '{beside}/seen'").join("seen");
    let mut pin = command(&bench.root);
    pin.args(["tools", "pin", "--yes"]).env("LAB_TOKEN", "s3cret").env("SSH_AUTH_SOCK", "/tmp/agent");
    crate::bench::finish(pin).code(0);
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(!seen.contains("s3cret") && !seen.contains("SSH_AUTH_SOCK") && !seen.contains("HOME="), "{seen}");
}

#[test]
fn a_server_that_is_not_there_is_said_so_and_nothing_is_pinned() {
    let bench = Bench::new();
    let pins = bench.read("tools/pins.yaml");
    for (command, says) in [
        ("\"/nonexistent/server\"", "/nonexistent/server"),
        ("\"python3\"", "absolute path"),
        ("\"/bin/true\"", "could not be started"),
    ] {
        let other = Bench::new();
        other.edit("tools/lab.yaml", "\"{countersign}\", \"lab\", \"serve\"", command);
        let kept = other.read("tools/pins.yaml");
        other.run(&["tools", "pin", "--yes"]).code_in(&[1, 2]).says(says);
        assert_eq!(other.read("tools/pins.yaml"), kept);
    }
    bench.run(&["tools", "pin", "lba"]).code(2).says("countersign tools list");
    let manifest = bench.read("tools/lab.yaml");
    bench.write("tools/lab.yaml", &manifest.replace("effect: destructive", "effect: write"));
    let told = bench.run(&["tools", "pin"]).code(3).shows("as the manifest of lab says it now:");
    told.shows("vlan.delete: writes, taken back by vlan.create");
    bench.write("tools/lab.yaml", &manifest);
    bench.run(&["tools", "pin", "--yes"]).code(0).shows("Nothing changed");
    assert_eq!(bench.read("tools/pins.yaml"), pins);
    assert_eq!(bench.json(&["tools", "list"])[0]["pinned"], json!(true));
}

#[test]
fn pinning_shows_what_changes_and_writes_it_only_after_a_yes() {
    let bench = Bench::new();
    let pins = bench.read("tools/pins.yaml");
    assert!(!pins.contains(bench.root.to_str().unwrap()) && pins.contains("{workspace}"), "{pins}");
    bench.fault("redescribe:vlan.create");
    let shown = bench.run(&["tools", "pin"]).code(3).shows("lab: vlan.create is described otherwise now: ");
    assert!(shown.out.contains("countersign tools pin --yes"), "{}", shown.out);
    assert_eq!(bench.run(&["tools", "pin", "--json"]).code(3).json()["written"], json!(false));
    assert_eq!(bench.read("tools/pins.yaml"), pins);
    bench.run(&["tools", "pin", "--yes"]).code(0).shows("Pinned");
    assert_ne!(bench.read("tools/pins.yaml"), pins);
    bench.heal();
    bench.edit("tools/lab.yaml", "\"serve\", \"--state\"", "\"serve\", \"--json\", \"--state\"");
    bench.run(&["tools", "pin"]).code(3).shows("lab: command {countersign} lab serve --state").shows(" -> ");
}
