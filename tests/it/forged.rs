//! Bundles of real engagements in which one document is another, with every hash made right again: what the links of a chain
//! cannot show, what the documents say must.

use std::{collections::BTreeMap, fs};

use countersign::{
    artifact::{Digest, canonical, digest_bytes},
    ledger::Bundle,
    runtime::ask_again,
};
use serde_json::{Value, json};

use crate::{
    agents::{dns_turns, scripted, to_record},
    bench::Bench,
    log::tamper,
};

/// The bundle of an engagement.
fn exported(bench: &Bench, id: &str) -> Bundle {
    let folder = bench.outside("exported");
    bench.run(&["export", id, folder.to_str().unwrap()]).code(0);
    let events = fs::read(folder.join("events.jsonl")).unwrap();
    let events = events.split_inclusive(|byte| *byte == b'\n').map(|line| line.trim_ascii_end().to_vec()).collect();
    let blobs = fs::read_dir(folder.join("blobs")).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let bundle = Bundle { events, blobs: blobs.map(|bytes| (digest_bytes(&bytes), bytes)).collect() };
    assert!(bundle.verify().ok, "{:?}", bundle.verify().problems);
    bundle
}

/// The bundle of one that made a VLAN on one switch.
fn of_a_vlan() -> Bundle {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.drive(&id, 0);
    exported(&bench, &id)
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The documents of which this holds.
fn which(bundle: &Bundle, of: impl Fn(&Value) -> bool) -> Vec<Digest> {
    bundle.blobs.iter().filter(|(_, bytes)| of(&read(bytes))).map(|(digest, _)| *digest).collect()
}

fn of_kind(kind: &'static str) -> impl Fn(&Value) -> bool {
    move |document| document["kind"] == kind
}

/// The bundle with these documents changed, and whatever names them, up to the last link.
fn forged(bundle: &Bundle, which: &[Digest], change: impl Fn(&mut Value)) -> Bundle {
    forged_throughout(bundle, (which, change), |_| ())
}

/// The same with each event changed too.
fn forged_throughout(
    bundle: &Bundle,
    (which, change): (&[Digest], impl Fn(&mut Value)),
    each: impl Fn(&mut Value),
) -> Bundle {
    let mut blobs: BTreeMap<Digest, Vec<u8>> = bundle.blobs.clone();
    let mut renamed: Vec<(Digest, Digest)> = Vec::new();
    for digest in which {
        let mut document = read(&blobs.remove(digest).unwrap());
        change(&mut document);
        let bytes = canonical(&document).unwrap();
        renamed.push((*digest, digest_bytes(&bytes)));
        blobs.insert(digest_bytes(&bytes), bytes);
    }
    let mut done = 0;
    while let Some((old, new)) = renamed.get(done).copied() {
        done += 1;
        for (digest, bytes) in blobs.clone() {
            let text = String::from_utf8(bytes).unwrap();
            if text.contains(&old.to_string()) {
                let bytes = text.replace(&old.to_string(), &new.to_string()).into_bytes();
                blobs.remove(&digest);
                renamed.push((digest, digest_bytes(&bytes)));
                blobs.insert(digest_bytes(&bytes), bytes);
            }
        }
    }
    let (mut events, mut prev) = (Vec::new(), None);
    for bytes in &bundle.events {
        let mut text = String::from_utf8(bytes.clone()).unwrap();
        for (old, new) in &renamed {
            text = text.replace(&old.to_string(), &new.to_string());
        }
        let mut event: Value = serde_json::from_str(&text).unwrap();
        if let Some(prev) = prev {
            event["prev"] = json!(prev);
        }
        each(&mut event);
        event.as_object_mut().unwrap().remove("hash");
        let hash = digest_bytes(&canonical(&event).unwrap());
        event["hash"] = json!(hash);
        prev = Some(hash);
        events.push(canonical(&event).unwrap());
    }
    Bundle { events, blobs }
}

#[track_caller]
fn found(bundle: &Bundle, says: &str) {
    let problems = bundle.verify().problems;
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|problem| problem.contains(says)), "{says}: {told:?}");
}

#[test]
fn a_document_that_is_here_and_cannot_be_read_is_not_passed_over() {
    let bundle = of_a_vlan();
    assert!(forged(&bundle, &[], |_| ()).verify().ok, "nothing else is wrong with them");
    let more = |document: &mut Value| document["more"] = json!(1);
    let requests = which(&bundle, of_kind("approval_request"));
    let bases = which(&bundle, |document| document.get("standing").is_some() && document.get("catalog").is_some());
    let tools = which(&bundle, |document| document.get("pin").is_some() && document.get("tool").is_some());
    for (which, says) in [
        (which(&bundle, of_kind("spec")), "spec.yaml filed that cannot be read"),
        (which(&bundle, of_kind("design")), "solution.design filed that cannot be read"),
        (which(&bundle, of_kind("discovery")), "discovery.report filed that cannot be read"),
        (requests.clone(), "whose request cannot be read"),
        (bases.clone(), "decided on what cannot be read"),
    ] {
        assert!(!which.is_empty(), "{says}");
        found(&forged(&bundle, &which, more), says);
    }
    let odd = |document: &mut Value| document["tool"]["more"] = json!(1);
    found(&forged(&bundle, &tools, odd), "decided on tools that cannot be read");
    let unsaid = |document: &mut Value| drop(document.as_object_mut().unwrap().remove("simulated"));
    found(&forged(&bundle, &tools, unsaid), "decided on what cannot be read here");
    let mut without = bundle.clone();
    without.blobs.retain(|digest, _| !bases.contains(digest));
    let less = without.verify().held_to_less.map(|problem| problem.what).unwrap();
    assert!(less.contains("of which it is not here what it was decided on"), "{less}");
    for (name, says) in [
        ("grounds_kept", "of which it is not kept what it was decided on"),
        ("barred", "cannot be read"),
        ("flow", "whose request is not written as this program writes it"),
    ] {
        let without = |document: &mut Value| drop(document.as_object_mut().unwrap().remove(name));
        found(&forged(&bundle, &requests, without), says);
    }
    for (name, value) in [("version", json!(7)), ("about", json!("gate2"))] {
        let other = |document: &mut Value| document[name] = value.clone();
        found(&forged(&bundle, &requests, other), "whose request is another question's");
    }
}

#[test]
fn what_is_made_to_look_as_if_a_version_before_had_written_it_is_named() {
    let bundle = of_a_vlan();
    assert_eq!(bundle.verify().held_to_less, None);
    let requests = which(&bundle, of_kind("approval_request"));
    let without = |document: &mut Value| drop(document.as_object_mut().unwrap().remove("grounds_kept"));
    let of_before = forged_throughout(&bundle, (&requests, without), |event| {
        if event["kind"] == "approval.asked" {
            drop(event["body"].as_object_mut().unwrap().remove("once"));
        }
    });
    let mut verification = of_before.verify();
    let less = verification.held_to_less.as_ref().map(|problem| problem.what.clone()).unwrap();
    assert!(
        less.starts_with("HELD TO LESS, as versions before wrote it: 4 things: gate 1 (the spec) (event "),
        "{less}"
    );
    assert!(verification.notes.contains(&less), "{:?}", verification.notes);
    // An auditor who has the ledger's key from elsewhere does not take it.
    verification.hold_to_what_a_key_vouches_for(true);
    assert!(verification.problems.iter().any(|problem| problem.what == less), "{:?}", verification.problems);
}

#[test]
fn what_an_agent_filed_is_what_its_model_answered() {
    let bench = scripted(&dns_turns());
    let id = bench.request(&["--text", "Publish web01 in corp.example.com with the address 192.0.2.10"]);
    to_record(&bench, &id);
    let bundle = exported(&bench, &id);
    let answers = which(&bundle, |document| document["value"]["finish"].is_string());
    assert_eq!(answers.len(), 4);
    let other = |document: &mut Value| {
        if document["value"]["calls"] == json!([]) {
            document["value"]["text"] = json!("I cannot recommend this. Do not build it.");
        }
    };
    let forgery = forged(&bundle, &answers, other);
    for artifact in ["spec.yaml", "discovery.report", "solution.design"] {
        found(&forgery, &format!("{artifact} filed that is not what the last answer of its agent is"));
    }
    found(&forged(&bundle, &answers, |answer| answer["value"]["more"] = json!(1)), "whose answer cannot be read");
    let reports = which(&bundle, of_kind("discovery"));
    for status in ["resolved", "blocked"] {
        let status = |report: &mut Value| report["capabilities"][0]["status"] = json!(status);
        found(
            &forged(&bundle, &reports, status),
            "discovery.report filed that is not what the last answer of its agent is",
        );
    }
}

#[test]
fn a_change_that_nobody_approved_is_shown_with_the_policies_that_let_it_through() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    let id = bench.request(&[
        "--blueprint",
        "vlan",
        "--set",
        "id=120",
        "--set",
        "name=guest",
        "--set",
        "switches=sw01,sw02,sw03",
    ]);
    // The policies change in words alone while two calls are to come, so that the last one is decided on others than gate 2.
    let mut running = bench.under_way(&id, 1_500);
    bench.write("policies/stages.cedar", &format!("// Looked through.\n{}", bench.read("policies/stages.cedar")));
    assert_eq!(running.wait().unwrap().code(), Some(0));
    bench.holds(&id);
    let bundle = exported(&bench, &id);
    let texts = which(&bundle, |document| document.get("guardrails").is_some());
    assert_eq!(texts.len(), 2);
    let looked_through = |digest: &&Digest| bundle.blobs[*digest].windows(15).any(|words| words == b"Looked through.");
    let later = texts.iter().find(looked_through).unwrap();
    let mut without = forged(&bundle, &[], |_| ());
    without.blobs.remove(later);
    found(&without, "allowed as a change that nobody approved, on policies that are not here");
    let bases = which(&bundle, |document| document["catalog"]["policies"] == json!(later));
    assert!(!bases.is_empty());
    let strange = |basis: &mut Value| basis["catalog"]["policies"] = json!(Digest::ZERO);
    found(&forged(&bundle, &bases, strange), "on policies that are not here");
}

#[test]
fn what_an_approver_was_shown_is_made_again() {
    let bundle = of_a_vlan();
    let again = ask_again(&bundle);
    assert_eq!((again.shown, again.not_shown, again.shown_otherwise), (2, 0, Vec::new()));
    let requests = which(&bundle, of_kind("approval_request"));
    let less = |request: &mut Value| drop(request["screen"]["sections"].as_array_mut().unwrap().remove(1));
    let told = ask_again(&forged(&bundle, &requests, less)).shown_otherwise;
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("and this version shows `WHAT MAY BE DONE`"), "{told:?}");
    assert!(told[1].contains("and this version shows `HOW FAR IT REACHES`"), "{told:?}");
    let harmless = |request: &mut Value| request["screen"]["subject"] = json!("Count the VLANs of a switch");
    let told = ask_again(&forged(&bundle, &requests, harmless)).shown_otherwise;
    assert_eq!(
        told[0],
        "gate 1 (the spec) (event 3): `Count the VLANs of a switch`, and this version shows `Create VLAN 120 guest`"
    );
    // Without results the screen of gate 2 cannot be made.
    let mut without = bundle;
    let results = which(&without, |document| document.get("value").is_some());
    results.iter().for_each(|digest| drop(without.blobs.remove(digest)));
    let again = ask_again(&without);
    assert_eq!((again.shown, again.not_shown, again.shown_otherwise), (1, 1, Vec::new()));
}

#[test]
fn a_call_is_let_through_by_the_rules_that_it_says() {
    let mut bundle = of_a_vlan();
    assert_eq!(ask_again(&bundle).problems, []);
    let write = |event: &Value| event["kind"] == "call.allowed" && event["body"]["approved"] == true;
    let at = bundle.events.iter().position(|event| write(&read(event))).unwrap();
    let mut event = read(&bundle.events[at]);
    let rules = event["body"]["rules"].as_array_mut().unwrap();
    let stage = rules.iter_mut().find(|rule| rule["layer"] == "stage").unwrap();
    stage["rule"] = json!("autonomous-writes-run");
    bundle.events[at] = canonical(&event).unwrap();
    let problems = ask_again(&bundle).problems;
    assert!(
        problems.len() == 1 && problems[0].what.contains("let through by other rules than it says"),
        "{problems:?}"
    );
}

/// Puts an event into the ledger's file in the place of the one that has its place.
fn write_anew(bench: &Bench, event: &Value) {
    let text = String::from_utf8(canonical(event).unwrap()).unwrap().replace('\'', "''");
    let (hash, of) = (event["hash"].as_str().unwrap(), event["engagement"].as_str().unwrap());
    let hash = hash.trim_start_matches("sha256:");
    let place = format!("engagement = '{of}' AND seq = {}", event["seq"]);
    tamper(bench, &format!("UPDATE events SET bytes = CAST('{text}' AS BLOB), hash = x'{hash}' WHERE {place}"));
}

#[test]
fn a_trust_stage_that_was_taken_back_is_not_written_out_of_the_chain() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "3", "a hundred clean runs");
    bench.run(&["trust", "set", "vlan@lab", "1", "--reason", "one was not clean"]).code(0);
    let mut lowered = bench.events("trust", "")[1].clone();
    assert_eq!(lowered["body"]["stage"], 1);
    lowered["body"]["stage"] = json!(2);
    lowered.as_object_mut().unwrap().remove("hash");
    lowered["hash"] = json!(digest_bytes(&canonical(&lowered).unwrap()));
    write_anew(&bench, &lowered);
    let id = bench.request_one();
    let says = "the log has another event 2: it was written anew";
    bench.run(&["run", &id]).code(5).says(says);
    assert!(bench.events(&id, "approval").is_empty());
    bench.run(&["verify", "trust"]).code(5);
}

#[test]
fn nothing_that_was_written_anew_is_signed_when_it_is_exported() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    let anew = forged_throughout(&exported(&bench, &id), (&[], |_| ()), |event| {
        if event["kind"] == "approval.answered" {
            event["body"]["reason"] = json!("as nobody said it");
        }
    });
    assert!(anew.verify().ok, "by itself it holds: {:?}", anew.verify().problems);
    let leaves = bench.json(&["log", "checkpoint"])["size"].clone();
    tamper(&bench, "DELETE FROM snapshots");
    anew.events.iter().for_each(|bytes| write_anew(&bench, &read(bytes)));
    let file = bench.outside("anew.tar");
    bench.run(&["verify", &id]).code(5).shows("over another leaf");
    for args in [&["export", &id, "--bundle", file.to_str().unwrap()][..], &["run", &id], &["approve", &id]] {
        bench.run(args).code(5).says("the log has another event 4: it was written anew");
    }
    assert!(!file.exists());
    assert_eq!(bench.json(&["log", "checkpoint"])["size"], leaves);
}

#[test]
fn a_call_that_gate_2_said_is_asked_about_needs_a_yes_of_its_own() {
    let bench = Bench::new();
    bench.trust("address@lab", "2", "ten clean runs");
    let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.drive(&id, 0);
    let bundle = exported(&bench, &id);
    let gate2 = which(&bundle, |document| document["kind"] == "approval_request" && document["about"] == "gate2");
    let found = forged(&bundle, &gate2, |request| request["approved_on"]["asks_then"] = json!(["publish"])).verify();
    let says = "allowed as step publish, which wants each call approved by an approver by itself";
    assert!(found.problems.iter().any(|problem| problem.to_string().contains(says)), "{:?}", found.problems);
}
