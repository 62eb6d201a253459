//! Bundles: one file that is checked without a workspace, by this program and by thirty lines of Python.

use std::{
    path::Path,
    process::{Command, Output},
};

use countersign::ledger::verify_bundle;

use crate::bench::{Bench, run_in};

/// An engagement at trust stage 2, signed by ada and over.
pub fn finished() -> (Bench, String) {
    let bench = Bench::new();
    bench.trust("vlan@lab", "2", "ten clean runs");
    let id = bench.request_one();
    bench.to_end(&id, 0);
    (bench, id)
}

/// Has the script look at a bundle that looks at its answers too.
fn script(bundle: &Path, more: &[&str]) -> Output {
    python("check_answers.py", bundle, more)
}

fn python(script: &str, bundle: &Path, more: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    Command::new("python3").arg(script).arg(bundle).args(more).output().expect("python3 is installed by tests/run.sh")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where the content of a file begins in a bundle.
fn content(bundle: &[u8], path: &str) -> usize {
    let header = (0..bundle.len()).step_by(512).find(|at| {
        let name = &bundle[*at..*at + 100];
        name.starts_with(path.as_bytes()) && name[path.len()] == 0
    });
    header.unwrap_or_else(|| panic!("no {path} in the bundle")) + 512
}

#[test]
fn a_bundle_is_checked_without_a_workspace_and_by_a_script() {
    let (bench, id) = finished();
    let (file, alone) = (bench.outside("k.bundle.tar"), tempfile::tempdir().unwrap());
    let name = file.to_str().unwrap();
    bench.run(&["export", &id, "--bundle", name]).code(0).shows(&format!("countersign verify {name}"));
    let bytes = std::fs::read(&file).unwrap();
    // It is not written over, and written again it is the same.
    bench.run(&["export", &id, "--bundle", name]).code(2).says("is there already");
    let nowhere = bench.outside("no-folder/k.tar");
    let told = bench.run(&["export", &id, "--bundle", nowhere.to_str().unwrap()]).code(1);
    told.says("no-folder; make it first").says("could not write");
    bench.run(&["verify", &id, "--key", "no-file"]).code(2).says("there is no file no-file");
    let again = bench.outside("again.tar");
    let answer = bench.json(&["export", &id, "--bundle", again.to_str().unwrap()]);
    assert_eq!(answer["bundle"], again.to_str().unwrap());
    assert_eq!(std::fs::read(&again).unwrap(), bytes);
    let verify =
        |file: &Path, more: &[&str]| run_in(alone.path(), &[&["verify", file.to_str().unwrap()], more].concat());
    let head = bench.json(&["verify", &id])["head"].clone();
    let shown =
        verify(&file, &[]).code(0).shows("signed: gate 1 (the spec), by ada").shows("trust: the chain of stages holds");
    assert!(shown.out.contains("left out: the result of c1 ("), "{}", shown.out);
    assert!(!shown.out.contains("on a name alone"), "{}", shown.out);
    assert_eq!(verify(&file, &["--json"]).code(0).json()["head"], head);
    // Whoever checks brings their own signers.
    let signers = bench.root.join("policies/allowed_signers");
    let signers = signers.to_str().unwrap();
    verify(&file, &["--signers", signers]).code(0).shows("as the signers given have it");
    let strangers = alone.path().join("strangers");
    std::fs::write(&strangers, "# nobody\n").unwrap();
    let strangers = strangers.to_str().unwrap();
    let unknown = verify(&file, &["--signers", strangers]).code(5).shows("(events.jsonl): ");
    let unknown = unknown.shows("event 1 (trust/events.jsonl): ").shows(&format!("{strangers} has no line for `ada`"));
    // What is for an owner is not said to whoever checks, nor that a signature is good that is not.
    for wrong in ["an owner adds", "\\n", "note: signed: gate"] {
        assert!(!unknown.out.contains(wrong), "`{wrong}` is in {}", unknown.out);
    }
    // The script says the same, and knows as many signatures: two gates and a trust stage.
    let said = script(&file, &[]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(text(&said.stdout).contains("2 signatures") && text(&said.stdout).contains(head.as_str().unwrap()));
    assert!(script(&file, &[signers]).status.success());
    assert!(text(&script(&file, &[strangers]).stderr).contains("a signature that does not hold"));
    // The keys are those of the ledger, and a published checkpoint witnesses it.
    let shown = verify(&file, &[]).code(0).shows("freshness not witnessed");
    assert!(shown.out.contains("log: event ") && shown.out.contains(" of the engagement is leaf "), "{}", shown.out);
    let published = alone.path().join("published");
    std::fs::write(&published, bench.run(&["log", "checkpoint"]).code(0).out).unwrap();
    let published = published.to_str().unwrap();
    let witnessed = verify(&file, &["--against", published, "--json"]).code(0).json();
    assert_eq!(
        (&witnessed["freshness"]["is"], &witnessed["freshness"]["seq"]),
        (&"witnessed".into(), &witnessed["events"])
    );
    let keys = Command::new("tar").arg("-xOf").arg(&file).arg("log/public").output().unwrap();
    assert_eq!(text(&keys.stdout), bench.json(&["keys", "show"])["statements"].as_str().unwrap());
    // With what tools answered, nothing is left out.
    let whole = bench.outside("whole.tar");
    bench.run(&["export", &id, "--bundle", whole.to_str().unwrap(), "--with-results"]).code(0);
    assert!(!verify(&whole, &[]).code(0).out.contains("left out"));
    assert!(script(&whole, &[]).status.success());
    assert!(std::fs::metadata(&whole).unwrap().len() > bytes.len() as u64);
    bench.run(&["export", &id, "--with-results"]).code(2);
    bench.run(&["export", &id]).code(2).says("--bundle");
    // A byte in each kind of file, which the program and the script both find, and the program places.
    let changed = alone.path().join("changed.tar");
    let answer = bench.events(&id, "approval.answered").remove(0)["seq"].as_u64().unwrap();
    for path in [
        "manifest.json",
        "events.jsonl",
        "log/public",
        "log/proof.json",
        "log/trust.json",
        "trust/events.jsonl",
        "trust/signatures/1.sig",
        &format!("signatures/{answer}.json"),
        &format!("signatures/{answer}.allowed_signers"),
    ] {
        let mut bytes = bytes.clone();
        let at = content(&bytes, path) + 60;
        bytes[at] ^= 1;
        std::fs::write(&changed, &bytes).unwrap();
        verify(&changed, &[]).code(5).shows(path);
        assert!(!script(&changed, &[]).status.success(), "the script does not find what was done to {path}");
    }
    for (length, what) in [(0, "manifest.json: is missing"), (700, "at byte "), (bytes.len() - 1, "at byte ")] {
        std::fs::write(&changed, &bytes[..length]).unwrap();
        verify(&changed, &[]).code(5).shows(what);
    }
    std::fs::write(&changed, [&bytes[..], b"more"].concat()).unwrap();
    verify(&changed, &[]).code(5).shows(&format!("at byte {}", bytes.len()));
}

#[test]
fn statements_about_the_artifacts_are_checked_by_openssl() {
    let (bench, id) = finished();
    let (file, folder) = (bench.outside("k.intoto.jsonl"), bench.outside("record"));
    let name = file.to_str().unwrap();
    bench.run(&["export", &id, folder.to_str().unwrap(), "--in-toto", name]).code(0);
    bench.run(&["export", &id, "--in-toto", name]).code(2).says("is there already");
    let lines = std::fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 5);
    let script = |file: &Path, keys: &[&str]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check_intoto.py");
        Command::new("python3").arg(script).arg(file).args(keys).output().unwrap()
    };
    // The ledger's key of then signs, whatever came after it; without it nothing is taken.
    bench.run(&["keys", "rotate"]).code(0);
    let keys = bench.json(&["keys", "show"])["keys"].clone();
    let keys: Vec<&str> = keys.as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    let said = script(&file, &keys);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(text(&script(&file, &keys[1..]).stderr).contains("none of the keys given"));
    // The keys are taken as `keys show` says them, too, and without any it says what it wants.
    let (shown, empty) = (bench.outside("ledger-keys.txt"), bench.outside("empty"));
    std::fs::write(&shown, bench.run(&["keys", "show"]).out).unwrap();
    std::fs::write(&empty, "").unwrap();
    let by_file = script(&file, &[shown.to_str().unwrap()]);
    assert_eq!(by_file.stdout, said.stdout, "{}", text(&by_file.stderr));
    assert!(text(&script(&file, &[empty.to_str().unwrap()]).stderr).contains("has no key in it"));
    let usage = script(&file, &[]);
    assert!(usage.status.code() == Some(2) && text(&usage.stderr).starts_with("usage: check_intoto.py FILE KEYS"));
    // Its subjects are the files of the folder, as `sha256sum --check` has them.
    let sums = bench.outside("sums");
    std::fs::write(&sums, &said.stdout).unwrap();
    let checked = Command::new("sha256sum").arg("--check").arg(&sums).current_dir(&folder).output().unwrap();
    assert!(checked.status.success() && text(&checked.stdout).contains("spec.yaml: OK"), "{checked:?}");
    assert_eq!(text(&said.stdout).lines().count(), 10);
    let changed = bench.outside("changed");
    for at in (0..lines.find('\n').unwrap()).step_by(97) {
        let mut bytes = lines.clone().into_bytes();
        bytes[at] ^= 1;
        std::fs::write(&changed, bytes).unwrap();
        assert!(!script(&changed, &keys).status.success(), "byte {at}");
    }
    // Nothing is signed about what does not hold, nor about nothing.
    let early = bench.request_one();
    bench.run(&["export", &early, "--in-toto", changed.to_str().unwrap()]).code(1).says("it has no artifact yet");
}

#[test]
fn thirty_lines_of_python_check_hashes_order_and_signatures() {
    let script = include_str!("../check_bundle.py");
    assert!(script.lines().count() <= 30);
    let (bench, id) = finished();
    let alone = tempfile::tempdir().unwrap();
    let (file, changed) = (bench.outside("k.bundle.tar"), alone.path().join("changed.tar"));
    bench.run(&["export", &id, "--bundle", file.to_str().unwrap()]).code(0);
    let (own, strangers) = (bench.root.join("policies/allowed_signers"), alone.path().join("strangers"));
    std::fs::write(&strangers, "# nobody\n").unwrap();
    let check = |file: &Path, signers: &Path| python("check_bundle.py", file, &[signers.to_str().unwrap()]);
    let said = check(&file, &own);
    let head = bench.json(&["verify", &id])["head"].clone();
    let wanted = format!(" events, 2 signatures, head {}\n", head.as_str().unwrap());
    assert!(said.status.success() && text(&said.stdout).ends_with(&wanted), "{said:?}");
    assert!(text(&check(&file, &strangers).stderr).contains("has a signature that does not hold: "));
    assert!(text(&python("check_bundle.py", &file, &[]).stderr).contains("BUNDLE ALLOWED_SIGNERS"));
    let forge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/forge_bundle.py");
    // Each has a right manifest; some have right hashes too, so that only the signature tells.
    for (forgery, says) in [
        ("blob", "is not what its name says"),
        ("drop", "event 6: does not follow the event before it"),
        ("swap", "event 6: does not follow the event before it"),
        ("repeat", "does not follow the event before it"),
        ("retitle", "event 1: does not have the hash that it says"),
        ("end", "manifest.json: names another end"),
        ("name", "event 1: does not follow the event before it"),
        ("cut", "does not follow the event before it"),
        ("role", "is signed over something else"),
        ("calls", "is signed over something else"),
        ("account", "is signed over something else"),
        ("statement", "is signed over something else"),
    ] {
        let made = Command::new("python3").arg(&forge).arg(forgery).arg(&file).arg(&changed).output().unwrap();
        assert!(made.status.success(), "{forgery}: {}", text(&made.stderr));
        let said = check(&changed, &own);
        assert!(!said.status.success() && text(&said.stderr).contains(says), "{forgery}: {}", text(&said.stderr));
    }
    let good = std::fs::read(&file).unwrap();
    for path in ["manifest.json", "events.jsonl", "log/proof.json", "trust/events.jsonl"] {
        let mut bytes = good.clone();
        bytes[content(&good, path) + 60] ^= 1;
        std::fs::write(&changed, &bytes).unwrap();
        assert!(!check(&changed, &own).status.success(), "{path}");
    }
}

#[test]
fn the_script_finds_what_hashes_alone_do_not_show() {
    let (bench, id) = finished();
    let file = bench.outside("k.bundle.tar");
    bench.run(&["export", &id, "--bundle", file.to_str().unwrap()]).code(0);
    let forge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/forge_bundle.py");
    let alone = tempfile::tempdir().unwrap();
    // Each is a bundle that is made anew with a right manifest, so that only the chain and the signatures tell.
    for (forgery, says) in [
        ("none", ""),
        ("drop", "does not follow"),
        ("swap", "does not follow"),
        ("repeat", "does not follow"),
        ("retitle", "does not have the hash"),
        ("end", "names another end"),
        ("cut", "ends within an event"),
        ("name", "not of zzzzz"),
        ("blob", "is not what its name says"),
        ("signature", "another signature, or other signers, beside it"),
        ("stranger", "another signature, or other signers, beside it"),
        ("statement", "is signed over something else"),
        ("role", "a signature of another answer"),
        ("ends", "a signature of another answer"),
        ("calls", "a signature of another answer"),
        ("account", "a signature of another answer"),
        ("missing", ".sig: is missing"),
    ] {
        let forged = alone.path().join(format!("{forgery}.tar"));
        let made = Command::new("python3").arg(&forge).arg(forgery).arg(&file).arg(&forged).output().unwrap();
        assert!(made.status.success(), "{forgery}: {}", text(&made.stderr));
        let said = script(&forged, &[]);
        let verified = run_in(alone.path(), &["verify", forged.to_str().unwrap()]);
        if forgery == "none" {
            assert!(said.status.success() && std::fs::read(&forged).unwrap() == std::fs::read(&file).unwrap());
            verified.code(0);
        } else {
            assert!(text(&said.stderr).contains(says), "{forgery}: {}", text(&said.stderr));
            verified.code(5);
        }
    }
}

#[test]
fn copies_of_signatures_in_a_folder_are_held_against_its_chain() {
    let (bench, id) = finished();
    bench.run(&["export", &id, "../record"]).code(0);
    let folder = bench.outside("record");
    let verify = || run_in(&bench.root, &["verify", folder.to_str().unwrap()]);
    verify().code(0);
    let answer = bench.events(&id, "approval.answered").remove(0)["seq"].as_u64().unwrap();
    for end in ["json", "sig", "allowed_signers"] {
        let path = folder.join(format!("signatures/{answer}.{end}"));
        let bytes = std::fs::read(&path).unwrap();
        let place = format!("event {answer} (signatures/{answer}.{end}): ");
        std::fs::write(&path, [&bytes[..], b"\n"].concat()).unwrap();
        verify().code(5).shows(&format!("{place}was changed"));
        std::fs::remove_file(&path).unwrap();
        verify().code(5).shows(&format!("{place}is missing"));
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::write(folder.join("signatures/1.sig"), "x").unwrap();
    verify().code(5).shows("signatures/1.sig: is of no signed event");
}

#[test]
fn files_of_a_folder_that_nothing_was_held_against_are_named() {
    let (bench, id) = finished();
    let folder = bench.outside("record");
    let name = folder.to_str().unwrap();
    bench.run(&["export", &id, name]).code(0);
    let clean = bench.run(&["verify", name]).code(0).shows("page.txt and sequence.mmd are for reading and were not");
    assert!(!clean.out.contains("nothing that"), "{}", clean.out);
    assert_eq!(bench.json(&["verify", name])["log"], serde_json::Value::Null);
    std::fs::write(folder.join("approved.txt"), "all of it").unwrap();
    std::fs::write(folder.join(format!("blobs/{}.json", "0".repeat(64))), "{}").unwrap();
    let said = bench.run(&["verify", name]).code(0).shows("approved.txt and blobs/0000");
    said.shows(".json are nothing that `countersign export` writes and were not checked");
    bench.run(&["verify", name, "--key", "x+1+A"]).code(2);
    // Which files belong to a broken chain nobody can say.
    let events = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    std::fs::write(folder.join("events.jsonl"), events.replacen("\"at\":\"20", "\"at\":\"19", 2)).unwrap();
    let broken = bench.run(&["verify", name]).code(5).shows("event 1: says that its hash is sha256:");
    assert!(!broken.out.contains("nothing that"), "{}", broken.out);
}

#[test]
fn the_whole_log_is_put_beside_a_proof_and_nowhere_else() {
    let bench = Bench::new();
    let over = bench.request_one();
    bench.drive(&over, 3);
    bench.run(&["reject", &over, "--reason", "not now"]).code(0);
    // One that has no leaf yet, in a log that has some, and nobody who could sign one.
    let id = bench.request_one();
    bench.drive(&id, 3);
    let (plain, whole) = (bench.outside("plain.tar"), bench.outside("whole.tar"));
    let (plain, whole) = (plain.to_str().unwrap(), whole.to_str().unwrap());
    let own = bench.json(&["keys", "show"])["keys"][0]["key"].as_str().unwrap().to_owned();
    let own = format!(".countersign/keys/{}.key", own.split('+').nth(1).unwrap());
    let (key, away) = (bench.root.join(own), bench.outside("private"));
    std::fs::rename(&key, &away).unwrap();
    bench.run(&["export", &id, "--bundle", whole, "--with-log"]).code(1).says("nothing of").says("--with-log");
    let told = format!("note: the end of {id} is under no checkpoint in it: ");
    bench.run(&["export", &id, "--bundle", plain]).code(0).says(&told).says(".key is missing");
    bench.run(&["verify", plain]).code(0);
    std::fs::rename(&away, &key).unwrap();
    bench.run(&["export", &over, "--bundle", whole, "--with-log"]).code(0);
    bench.run(&["verify", whole]).code(0);
}

#[test]
fn what_still_runs_is_handed_out_under_a_checkpoint_up_to_its_end() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    let (name, key) = (bench.outside("running.tar"), bench.outside("key"));
    let (name, key) = (name.to_str().unwrap(), key.to_str().unwrap());
    std::fs::write(key, bench.run(&["keys", "show"]).code(0).out).unwrap();
    let last = bench.events(&id, "").last().unwrap()["seq"].as_u64().unwrap();
    let published = bench.outside("published");
    std::fs::write(&published, bench.run(&["log", "checkpoint"]).code(0).out).unwrap();
    bench.run(&["export", &id, "--bundle", name, "--with-results"]).code(0);
    // Nobody answered since what was published.
    let witnessed = bench.run(&["verify", &id, "--against", published.to_str().unwrap()]).code(0);
    witnessed.shows("witnessed: up to event ");
    let leaves = bench.json(&["log", "checkpoint"])["size"].as_u64().unwrap();
    let verified = bench.run(&["verify", name, "--key", key]).code(0);
    let verified = verified.shows(&format!("log: event {last} of the engagement is leaf {} (from 0)", leaves - 1));
    assert!(!verified.out.contains("UNDER NO CHECKPOINT"), "{}", verified.out);
    // Nothing is put into the log twice, and nothing is in the way of what goes on.
    bench.run(&["export", &id, "--bundle", bench.outside("again.tar").to_str().unwrap()]).code(0);
    assert_eq!(bench.json(&["log", "checkpoint"])["size"].as_u64(), Some(leaves));
    bench.approve(&id);
    bench.drive(&id, 0);
    bench.run(&["verify", &id]).code(0);
    bench.run(&["verify", "log"]).code(0);
    let ended = bench.outside("ended.tar");
    let ended = ended.to_str().unwrap();
    bench.run(&["export", &id, "--bundle", ended, "--with-log"]).code(0);
    bench.run(&["verify", ended, "--key", key]).code(0);
}

#[test]
fn what_is_no_bundle_is_said_to_be_what_it_is() {
    let (bench, id) = finished();
    let (file, opened) = (bench.outside("k.tar"), bench.outside("opened"));
    let name = file.to_str().unwrap();
    bench.run(&["export", &id, "--bundle", name]).code(0);
    bench.run(&["export", &id, "--bundle", "-"]).code(2).says("`-` is no file here");
    std::fs::create_dir(&opened).unwrap();
    assert!(Command::new("tar").args(["-xf", name, "-C"]).arg(&opened).status().unwrap().success());
    bench.run(&["verify", opened.to_str().unwrap()]).code(2).says("is an opened bundle");
    assert!(Command::new("gzip").arg("-k").arg(&file).status().unwrap().success());
    bench.run(&["verify", &format!("{name}.gz")]).code(2).says("`gunzip` it first");
    bench.run(&["verify", ".countersign/ledger.db"]).code(2).says("it is a ledger's file");
    let statements = bench.outside("k.jsonl");
    bench.run(&["export", &id, "--in-toto", statements.to_str().unwrap()]).code(0);
    bench.run(&["verify", statements.to_str().unwrap()]).code(2).says("tests/check_intoto.py checks");
    // The script names the file that it cannot read, and the signers that it held a signature against.
    let strange = script(&file, &["/nowhere"]);
    assert!(!strange.status.success() && text(&strange.stderr).starts_with("/nowhere: "), "{strange:?}");
}

#[test]
fn a_byte_that_is_flipped_anywhere_in_what_was_exported_is_found_with_its_place() {
    let (bench, id) = finished();
    let key = bench.key_of("ada");
    let (whole, redacted) = (bench.outside("whole.tar"), bench.outside("redacted.tar"));
    let all = ["--with-results", "--with-log"];
    bench.run(&[&["export", &id, "--bundle", whole.to_str().unwrap()], &all[..]].concat()).code(0);
    bench.run(&["redact", &id, "c1", "--reason", "asked for", "--yes", "--key", &key]).code(0);
    bench.run(&[&["export", &id, "--bundle", redacted.to_str().unwrap()], &all[..]].concat()).code(0);
    for (file, first) in [(whole, 0), (redacted, 101)] {
        let good = std::fs::read(&file).unwrap();
        assert!(verify_bundle(&good, None, &[]).ok);
        // Every byte of a smaller one is flipped beside the code that reads bundles; here some 400 of each.
        let each: Vec<usize> = (first..good.len()).step_by(good.len() / 400).collect();
        std::thread::scope(|scope| {
            for part in each.chunks(each.len().div_ceil(2)) {
                let good = &good;
                scope.spawn(move || {
                    for at in part {
                        let mut bytes = good.clone();
                        bytes[*at] ^= 1 << (at % 8);
                        let found = verify_bundle(&bytes, None, &[]);
                        let place = |problem: &countersign::ledger::Problem| {
                            problem.file.is_some() || problem.seq > 0 || problem.what.contains("at byte ")
                        };
                        assert!(!found.ok && found.problems.iter().any(place), "byte {at}: {:?}", found.problems);
                    }
                });
            }
        });
    }
}
