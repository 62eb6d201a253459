//! Redaction: what a call was given and gave is destroyed to the last byte, the chain says so and stays valid.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{bench::Bench, crash::killed_at};

/// In the answer of a tool, and in arguments that were proposed by hand.
const GIVEN: &str = "canary-given-2187";
const GAVE: &str = "canary-gave-1138";

/// An engagement in whose calls both are, and the workspace that it is in.
fn told() -> (Bench, String) {
    let bench = Bench::new();
    bench.tamper(|network| network["switches"]["sw01"]["vlans"]["999"] = json!(GAVE));
    let id = bench.request_one();
    bench.to_gate2(&id);
    let args = json!({"switch": "sw01", "id": 120, "name": GIVEN}).to_string();
    bench.run(&["call", &id, "vlan.create", "--args", &args]).code(4).shows("[agent.reads]");
    (bench, id)
}

fn calls(bench: &Bench, id: &str) -> Vec<String> {
    let events = ["call.allowed", "call.refused"].into_iter().flat_map(|kind| bench.events(id, kind));
    events.map(|event| event["body"]["call"].as_str().unwrap().to_owned()).collect()
}

fn redact(bench: &Bench, id: &str, calls: &[String], more: &[&str]) -> crate::bench::Answer {
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    bench.run(&[&["redact", id][..], &calls, &["--reason", "a customer asked"], more].concat())
}

/// Every file under a folder, but those of the simulated device itself.
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

/// The files under a folder that hold a text anywhere.
fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(folder, &mut found);
    found.retain(|path| std::fs::read(path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()));
    found
}

/// What the rows of the ledger hold, as they stand in its file.
fn rows(bench: &Bench) -> BTreeSet<Vec<u8>> {
    let ledger = rusqlite::Connection::open(bench.root.join(".countersign/ledger.db")).unwrap();
    let mut statement = ledger.prepare("SELECT bytes FROM blobs").unwrap();
    statement.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_was_redacted_is_in_no_byte_that_is_kept_or_exported_and_the_chain_holds() {
    let (bench, id) = told();
    let every = calls(&bench, &id);
    for more in [&[][..], &["--yes"]] {
        let refused = redact(&bench, &id, &every, more).code(2).says("it is open");
        assert!(!refused.err.contains("destroyed"), "{}", refused.err);
    }
    bench.approve(&id);
    bench.drive(&id, 0);
    let every = calls(&bench, &id);
    let there = rows(&bench);
    let told = bench.run(&["log", &id, "--json"]).out + &bench.run(&["show", &id, "--json"]).out;
    assert!(told.contains(GIVEN), "it was never there");
    // Nothing happens without a yes, or for whoever may not.
    redact(&bench, &id, &every, &[]).code(2).says("nothing was destroyed").says("the engagement's key");
    let asked = redact(&bench, &id, &every, &["--json"]).code(2);
    assert_eq!(asked.json()["scrubbed"], false);
    let error: Value = serde_json::from_str(&asked.err).unwrap();
    assert_eq!(error["error"]["code"], 2, "{error}");
    bench.people(&[("app", "approver")]);
    // Whoever may not is told so before anything is shown of it.
    for more in [&["--as", "app"][..], &["--yes", "--as", "app"], &["--json", "--as", "app"]] {
        let refused = redact(&bench, &id, &every, more).code(4).says("needs the role `owner`");
        assert!(!(refused.out + &refused.err).contains("destroyed"), "{more:?}");
    }
    let refused = bench.run(&["redact", &id, &every[0], "--reason", " "]).code(2).says("reason");
    assert!(!refused.err.contains("destroyed"), "{}", refused.err);
    redact(&bench, &id, &["c99".into()], &["--yes"]).code(2).says("there is no call c99");
    assert_eq!(bench.json(&["verify", &id])["ok"], true);
    let before = bench.events(&id, "");
    // One call first: the others are still there to be seen.
    let one = &every[..1];
    let said =
        redact(&bench, &id, one, &["--yes"]).code(0).shows("No file of the ledger holds what was destroyed any more");
    assert!(
        said.out.contains("  args.switch: the request (event 1), spec.yaml"),
        "the target stands in other places, and that is said: {}",
        said.out
    );
    assert!(!said.out.contains(GAVE), "{}", said.out);
    // What other calls hold of it can go, too, and how is said.
    let also = said.out.lines().find(|line| line.contains("can go too, where they are named as well: ")).unwrap();
    assert!(every[1..].iter().any(|call| also.split(' ').any(|word| word == call)), "{also}");
    assert!(!said.out.contains(" more") || said.out.contains("(--json lists them)"), "{}", said.out);
    let said = redact(&bench, &id, &every, &["--yes", "--json"]).code(0).json();
    assert_eq!((&said["scrubbed"], &said["redaction"]["answers"]), (&json!(true), &json!([])));
    redact(&bench, &id, &every, &["--yes"]).code(0).shows("all of it was redacted before");
    // Everything that reads goes on, and shows nothing of it.
    let (folder, bundle) = (bench.outside("export"), bench.outside("k.bundle.tar"));
    let mut shown = String::new();
    for args in [
        &["show", &id][..],
        &["show", &id, "--json"],
        &["list"],
        &["log", &id],
        &["log", &id, "--json"],
        &["policy", "simulate", "--since", "1d"],
        &["export", &id, folder.to_str().unwrap()],
        &["export", &id, "--with-results", "--bundle", bundle.to_str().unwrap()],
        &["verify", &id],
        &["verify", folder.to_str().unwrap()],
        &["verify", bundle.to_str().unwrap()],
        &["verify", "log"],
    ] {
        let answer = bench.run(args).code(0);
        shown += &(answer.out + &answer.err);
    }
    for text in ["redacted at event ", "a customer asked", "(redacted)", "whose arguments or key a redaction destroyed"]
    {
        assert!(shown.contains(text), "`{text}` is nowhere in {shown}");
    }
    assert!(!shown.contains(&format!("not asked about: {id}")), "{shown}");
    // Nor is what cannot be decided any more said to be decided otherwise.
    let simulated = bench.json(&["policy", "simulate", "--since", "1d"]);
    let simulation = &simulated["simulation"];
    assert_eq!((&simulation["flips"], &simulation["calls"]), (&json!([]), &json!(0)), "{simulated}");
    assert_eq!(simulation["redacted_of"], json!({ id.as_str(): every.len() }));
    assert_eq!(simulation["redacted"], json!(every.len()));
    let call = r#"{"tool": "vlan.list", "args": {"switch": "sw01"}}"#;
    bench.run(&["policy", "explain", &id, "--call", call]).code(1).says("a redaction destroyed the key");
    bench.run(&["call", &id, "vlan.list", "--args", "{}"]).code(1).says("a redaction destroyed the key");
    for canary in [GIVEN, GAVE] {
        assert!(!shown.contains(canary), "{canary} is shown");
        let home = bench.outside("");
        assert_eq!(holding(&home, canary), Vec::<PathBuf>::new(), "{canary}");
    }
    // Nor do the rows that were destroyed stand anywhere as they stood.
    let gone: Vec<Vec<u8>> = there.difference(&rows(&bench)).cloned().collect();
    assert!(gone.len() > every.len(), "{} rows for {} calls", gone.len(), every.len());
    let mut kept = Vec::new();
    files(&bench.outside(""), &mut kept);
    for path in kept {
        let bytes = std::fs::read(&path).unwrap();
        let found = gone.iter().any(|row| bytes.windows(row.len()).any(|at| at == row.as_slice()));
        assert!(!found, "{} has a row that was destroyed", path.display());
    }
    // What was said before still stands, byte for byte.
    let after = bench.events(&id, "");
    let hashes = |events: &[Value]| events.iter().map(|event| event["hash"].clone()).collect::<Vec<_>>();
    assert_eq!(hashes(&after)[..before.len()], hashes(&before));
    assert_eq!(after.len(), before.len() + 2);
    // It is the end of trying, and still a baseline.
    bench.run(&["run", &id, "--retry", "failed"]).code(2);
    let next = ["request", "--blueprint", "vlan", "--set", "id=121", "--set", "name=lobby", "--from", &id];
    bench.run(&[&next[..], &["--set", "switches=sw01"]].concat()).code(0);
}

#[test]
fn the_role_is_the_one_that_the_people_file_names() {
    let (bench, id) = told();
    bench.approve(&id);
    bench.drive(&id, 0);
    bench.people(&[("app", "approver"), ("bob", "requester")]);
    bench.edit("policies/people.yaml", "kind: people", "kind: people\nredact: approver");
    let one = &calls(&bench, &id)[..1];
    redact(&bench, &id, one, &["--yes", "--as", "bob"]).code(4).says("needs the role `approver`");
    redact(&bench, &id, one, &["--yes", "--as", "app"]).code(0);
    bench.run(&["verify", &id]).code(0).shows("by app (asserted");
}

#[test]
fn where_answers_are_signed_a_name_is_not_enough_to_redact() {
    let (needed, given) = (Bench::new(), Bench::new());
    needed.trust("vlan@lab", "2", "ten clean runs");
    // Nothing asks for a signature, and the approver signs.
    given.key_of("ada");
    for bench in [needed, given] {
        signed_redaction(&bench);
    }
}

fn signed_redaction(bench: &Bench) {
    let id = bench.request_one();
    bench.to_end(&id, 0);
    let one = &calls(bench, &id)[..1];
    for more in [&[][..], &["--yes"]] {
        redact(bench, &id, one, more).code(4).says("needs a signature too");
    }
    let key = bench.key_of("ada");
    redact(bench, &id, one, &["--yes", "--key", &key]).code(0);
    bench.run(&["verify", &id]).code(0).shows("by ada (signed");
    let bundle = bench.outside("k.bundle.tar");
    let name = bundle.to_str().unwrap();
    bench.run(&["export", &id, "--bundle", name]).code(0);
    bench.write("own", &bench.read("policies/allowed_signers"));
    bench.run(&["verify", name, "--signers", "own"]).code(0).shows("redacted at event ");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check_answers.py");
    let said = std::process::Command::new("python3").arg(script).arg(name).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stdout).contains(" 3 signatures"), "{said:?}");
}

#[test]
fn where_the_process_that_redacts_is_killed_the_next_one_leaves_no_byte_of_it() {
    let (bench, id) = told();
    bench.approve(&id);
    bench.drive(&id, 0);
    let there = rows(&bench);
    let every = calls(&bench, &id);
    let mut args = vec!["redact", id.as_str(), "--reason", "asked for", "--yes"];
    args.extend(every.iter().map(String::as_str));
    // Its event is durable, and the file is not written anew.
    assert!(killed_at(&bench, &args, 2));
    let held = |row: &Vec<u8>| {
        let mut found = Vec::new();
        files(&bench.root.join(".countersign"), &mut found);
        found.iter().any(|path| std::fs::read(path).unwrap().windows(row.len()).any(|bytes| bytes == row.as_slice()))
    };
    let before = there.iter().filter(|row| held(row)).count();
    bench.run(&["verify", &id]).code(0).shows("redacted at event ");
    let gone: Vec<_> = there.difference(&rows(&bench)).cloned().collect();
    assert!(
        before > there.len() - 3 && gone.len() >= every.len(),
        "{before} of {}, {} gone of {}",
        there.len(),
        gone.len(),
        every.len()
    );
    assert_eq!(gone.iter().filter(|row| held(row)).count(), 0);
}

#[test]
fn what_a_refused_call_made_up_or_an_error_cut_is_still_shown_and_that_is_said() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    let (name, value) = ("canary-name-4711", "canary value ".repeat(30));
    for args in [json!({"switch": "sw01", name: "v"}), json!({"switch": "sw01", "id": value, "name": "n"})] {
        bench.run(&["call", &id, "vlan.create", "--args", &args.to_string()]).code_in(&[2, 4]);
    }
    bench.run(&["cancel", &id, "--reason", "no"]).code(0);
    bench.run(&["run", &id]).code(1);
    let refused = bench.events(&id, "call.refused");
    let call = |at: usize| refused[at]["body"]["call"].as_str().unwrap().to_owned();
    for (at, path) in [(0, "args (not the tool's)"), (1, "args.id")] {
        let said = redact(&bench, &id, &[call(at)], &["--yes", "--json"]).code(0);
        assert!(!said.out.contains("canary"), "{}", said.out);
        let places = said.json()["redaction"]["still_shown"][path].to_string();
        assert!(places.contains(&format!("event {} (", refused[at]["seq"])), "{path}: {}", said.out);
    }
    bench.holds(&id);
}
