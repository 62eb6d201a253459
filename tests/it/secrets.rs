//! Secrets: read only for a call that was allowed, and nowhere in what is kept, shown or logged.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::bench::{Answer, Bench, command, finish};

const CANARIES: [&str; 3] = ["canary-env-4711", "canary-file-0815", "canary-said-2342"];

/// A workspace whose server gets three secrets, and puts each into the names of things that it answers with; and the
/// mark that the command which prints one of them leaves.
fn leaky() -> (Bench, PathBuf) {
    let bench = Bench::new();
    let beside = bench.in_front(
        "for token in \"$FROM_ENV\" \"$FROM_FILE\" \"$SAID\"; do
  [ -n \"$token\" ] && sed -i \"0,/voice/s//$token/\" .countersign/servers/lab/lab.json
done
env > '{beside}/environment'",
    );
    std::fs::write(beside.join("token"), format!("{}\n", CANARIES[1])).unwrap();
    let says = beside.join("says");
    let mark = beside.join("said");
    std::fs::write(&says, format!("#!/bin/sh\n: > '{}'\necho {}\n", mark.display(), CANARIES[2])).unwrap();
    std::fs::set_permissions(&says, std::fs::Permissions::from_mode(0o755)).unwrap();
    let secrets = format!(
        "  secrets:\n    - {{name: FROM_ENV, env: LAB_TOKEN}}\n    - {{name: FROM_FILE, file: '{}'}}\n    \
         - {{name: SAID, command: ['{}']}}\n  timeout_seconds: 5\n",
        beside.join("token").display(),
        says.display()
    );
    bench.edit("tools/lab.yaml", "  timeout_seconds: 5\n", &secrets);
    bench.run(&["tools", "pin", "--yes"]).code(0).shows("says not pinned -> ");
    (bench, mark)
}

/// Runs a command with the secret in its environment, and everything logged that can be.
fn logged(bench: &Bench, args: &[&str]) -> Answer {
    let mut command = command(&bench.root);
    command.args(args).env("LAB_TOKEN", CANARIES[0]).env("COUNTERSIGN_LOG", "trace");
    finish(command)
}

/// Every file under a folder, but those of the server itself.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with(".countersign/servers") => {}
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_secret_is_nowhere_in_what_is_kept_shown_or_logged() {
    let (bench, mark) = leaky();
    assert!(!mark.exists(), "a secret was read to pin the server");
    let id = bench.request_vlan();
    let mut shown = Vec::new();
    let mut run = |args: &[&str], code: i32| {
        let answer = logged(&bench, args).code(code);
        shown.push((args.join(" "), answer.out.clone() + &answer.err));
        answer
    };
    run(&["run", &id], 3);
    assert!(!mark.exists(), "a secret was read before gate 1");
    bench.approve(&id);
    run(&["run", &id, "--json"], 3);
    assert!(mark.exists());
    bench.approve(&id);
    run(&["run", &id], 0);
    let export = bench.outside("export");
    for args in [
        &["show", &id][..],
        &["show", &id, "--json"],
        &["show", &id, "--artifact", "discovery"],
        &["log", &id],
        &["log", &id, "--json"],
        &["verify", &id],
        &["export", &id, export.to_str().unwrap()],
    ] {
        run(args, 0);
    }
    let logged = shown.iter().filter(|(_, text)| text.contains("DEBUG") && text.contains("vlan.list")).count();
    assert_eq!(logged, 2, "what the two runs that called anything did is logged");
    // The server had all three and answered with them: what was kept says where they were.
    let environment = std::fs::read_to_string(bench.outside("beside/environment")).unwrap();
    let mut kept = Vec::new();
    files(&bench.root, &mut kept);
    files(&export, &mut kept);
    let kept: Vec<(PathBuf, Vec<u8>)> =
        kept.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    let network = bench.read(".countersign/servers/lab/lab.json");
    for (name, canary) in ["FROM_ENV", "FROM_FILE", "SAID"].into_iter().zip(CANARIES) {
        assert!(environment.contains(&format!("{name}={canary}")), "{name} was not given");
        assert!(network.contains(canary), "{name} was not answered with");
        for (path, bytes) in &kept {
            assert!(!holds(bytes, canary), "{name} is in {}", path.display());
        }
        for (what, text) in &shown {
            assert!(!text.contains(canary), "{what} shows {name}");
        }
    }
    assert!(kept.iter().any(|(_, bytes)| holds(bytes, "[secret FROM_ENV]")), "an answer was taken for something else");
    assert!(!environment.contains("LAB_TOKEN"), "{environment}");
    bench.holds(&id);
}

#[test]
fn a_secret_that_cannot_be_read_holds_the_call_and_is_not_told() {
    let (bench, _) = leaky();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.approve(&id);
    bench.drive(&id, 1);
    let log = bench.run(&["log", &id]).code(0).out;
    assert!(log.contains("the secret `FROM_ENV` of `lab` could not be read"), "{log}");
    // What prints a secret is pinned, and when it fails it is not told what it said.
    let fails = format!("#!/bin/sh\necho {} >&2; exit 3\n", CANARIES[2]);
    std::fs::write(bench.outside("beside/says"), &fails).unwrap();
    logged(&bench, &["run", &id]).code(1);
    let log = bench.run(&["log", &id]).code(0).out;
    assert!(log.contains("/says` of `lab` has changed since it was pinned"), "{log}");
    bench.run(&["tools", "pin", "--yes"]).code(0);
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.approve(&id);
    let answer = logged(&bench, &["run", &id, "--json"]).code(1);
    let log = bench.run(&["log", &id]).code(0).out;
    assert!(log.contains("the secret `SAID` of `lab` could not be read") && log.contains("exit status: 3"), "{log}");
    assert!(!format!("{log}{}{}", answer.out, answer.err).contains("canary"));
}
