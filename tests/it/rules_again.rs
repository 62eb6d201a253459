//! `verify --rules`: whoever verifies asks guardrails and trust stages themselves.

use std::{collections::BTreeMap, path::Path};

use countersign::artifact::{Digest, canonical, digest_bytes};
use serde_json::{Value, json};

use crate::bench::{Bench, run_in};

/// Changes a document of an exported folder, and whatever names it, so that every digest and every link holds: what the
/// owner of a ledger can do where nobody signed.
pub fn rewrite(folder: &Path, is_it: impl Fn(&Value) -> bool, change: impl Fn(&mut Value)) {
    let blobs = folder.join("blobs");
    let (mut old, mut new) = (BTreeMap::<String, String>::new(), BTreeMap::<String, Digest>::new());
    for entry in std::fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("sha256:{}", path.file_stem().unwrap().to_str().unwrap());
        old.insert(name, std::fs::read_to_string(path).unwrap());
    }
    // Until nothing names anything that became another.
    loop {
        let mut more = false;
        for (name, text) in &old {
            let mut said = text.clone();
            for (from, to) in &new {
                said = said.replace(from, &to.to_string());
            }
            let mut value: Value = serde_json::from_str(&said).unwrap();
            if is_it(&value) {
                change(&mut value);
            }
            let bytes = canonical(&value).unwrap();
            let digest = digest_bytes(&bytes);
            if digest.to_string() != *name && new.insert(name.clone(), digest) != Some(digest) {
                std::fs::write(blobs.join(format!("{}.json", digest.hex())), bytes).unwrap();
                more = true;
            }
        }
        if !more {
            break;
        }
    }
    for name in new.keys() {
        std::fs::remove_file(blobs.join(format!("{}.json", &name[7..]))).unwrap();
    }
    rechain(folder, |event| {
        let said = event.to_string();
        let said = new.iter().fold(said, |said, (from, to)| said.replace(from, &to.to_string()));
        *event = serde_json::from_str(&said).unwrap();
    });
}

/// Changes events of an exported folder, so that every link holds.
pub fn rechain(folder: &Path, change: impl Fn(&mut Value)) {
    let path = folder.join("events.jsonl");
    let (mut events, mut prev) = (Vec::new(), json!(Digest::ZERO));
    for line in std::fs::read_to_string(&path).unwrap().lines() {
        let mut event: Value = serde_json::from_str(line).unwrap();
        change(&mut event);
        event["prev"] = prev;
        event.as_object_mut().unwrap().remove("hash");
        prev = json!(digest_bytes(&canonical(&event).unwrap()));
        event["hash"] = prev.clone();
        events.extend(canonical(&event).unwrap());
        events.push(b'\n');
    }
    std::fs::write(path, events).unwrap();
}

/// An engagement that is over, in a folder of its own.
fn exported(bench: &Bench) -> std::path::PathBuf {
    let id = bench.request_one();
    bench.to_end(&id, 0);
    let folder = bench.outside("exported");
    bench.run(&["export", &id, folder.to_str().unwrap()]).code(0);
    folder
}

#[test]
fn what_rules_let_through_they_let_through_again() {
    let bench = Bench::new();
    let folder = exported(&bench);
    let (folder, id): (&str, String) = (folder.to_str().unwrap(), bench.list()[0]["id"].as_str().unwrap().to_owned());
    let file = bench.outside("k.bundle.tar");
    bench.run(&["export", &id, "--bundle", file.to_str().unwrap()]).code(0);
    let calls = bench.events(&id, "call.allowed").len();
    let words = format!("rules: guardrails and trust stages let {calls} calls through again, asked as if no other");
    for what in [&id, folder, file.to_str().unwrap()] {
        bench.run(&["verify", what, "--rules"]).code(0).shows(&words);
        assert_eq!(bench.json(&["verify", what, "--rules"])["rules"]["asked"], calls, "{what}");
        assert!(bench.json(&["verify", what]).get("rules").is_none());
    }
    for what in ["trust", "log"] {
        bench.run(&["verify", what, "--rules"]).code(2).says("looks at no calls; leave out --rules");
    }
}

#[test]
fn a_call_that_its_own_policies_refuse_is_found_though_every_link_holds() {
    let bench = Bench::new();
    let folder = exported(&bench);
    let alone = tempfile::tempdir().unwrap();
    let verify = |more: &[&str]| run_in(alone.path(), &[&["verify", folder.to_str().unwrap()], more].concat());
    verify(&["--rules"]).code(0);
    let policies = |value: &Value| value.get("guardrails").is_some();
    let rule = "\n@id(\"none-here\")\n@reason(\"no VLAN is made\")\nforbid (principal, action == Action::\"vlan.create\", resource);\n";
    let text = |value: &Value, file: &str| value[file].as_str().unwrap().to_owned();
    rewrite(&folder, policies, |value| {
        value["guardrails"] = json!(text(value, "guardrails") + rule);
    });
    verify(&[]).code(0);
    let told =
        verify(&["--rules"]).code(5).shows("let through, which its policies refuse (`none-here`: no VLAN is made)");
    assert_eq!(told.out.matches("let through").count(), 1, "one call made a VLAN: {}", told.out);

    // A higher stage than was approved at lets more run, and is said.
    rewrite(&folder, |value| value.get("catalog").is_some(), |value| value["standing"]["stage"] = json!(3));
    verify(&[]).code(0);
    verify(&["--rules"]).code(5).shows("at a higher trust stage than their approval");

    // Reads are approved by nobody, so a rule that asks a person about each refuses them.
    let asks = "action == Action::\"vlan.list\", resource) unless { context.approved_by.contains(\"approver\") };";
    rewrite(&folder, policies, |value| {
        let text = text(value, "guardrails").replace("action == Action::\"vlan.create\", resource);", asks);
        value["guardrails"] = json!(text);
    });
    verify(&[]).code(0);
    verify(&["--rules"]).code(5).shows("which needs the approval of a person with the role approver (`none-here`");
}

#[test]
fn policies_that_nobody_wrote_so_are_wrong_and_those_that_are_too_much_are_not_read() {
    let bench = Bench::new();
    let folder = exported(&bench);
    let alone = tempfile::tempdir().unwrap();
    let verify = |more: &[&str]| run_in(alone.path(), &[&["verify", folder.to_str().unwrap()], more].concat());
    let policies = |value: &Value| value.get("guardrails").is_some();
    let add = |more: &str| {
        rewrite(&folder, policies, |value| {
            value["guardrails"] = json!(value["guardrails"].as_str().unwrap().to_owned() + more);
        });
    };
    let deep = format!("when {{ {}true{} }};\n", "(".repeat(5_000), ")".repeat(5_000));
    add(&format!("\n@id(\"deep\")\n@reason(\"r\")\nforbid (principal, action, resource) {deep}"));
    verify(&[]).code(0);
    verify(&["--rules"]).code(0).shows("their policies are longer or nested deeper than is read here");
    rewrite(&folder, policies, |value| value["guardrails"] = json!("no rule"));
    verify(&[]).code(0);
    verify(&["--rules"]).code(5).shows("decided on what is here and cannot be read: the policies: guardrails.cedar:1:");
}

#[test]
fn calls_that_were_decided_on_other_files_or_are_redacted_are_counted_and_not_asked_about() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    let text = bench.read("policies/stages.cedar");
    bench.write("policies/stages.cedar", &format!("{text}\n// another word\n"));
    bench.drive(&id, 0);
    let rules = bench.json(&["verify", &id, "--rules"])["rules"].clone();
    assert!(rules["decided_on_others"].as_u64() > Some(0) && rules["asked"].as_u64() > Some(0), "{rules}");
    let calls = bench.events(&id, "call.allowed");
    let calls: Vec<&str> = calls.iter().map(|event| event["body"]["call"].as_str().unwrap()).collect();
    bench.run(&[&["redact", &id], &calls[..], &["--reason", "asked for", "--yes"]].concat()).code(0);
    let rules = bench.json(&["verify", &id, "--rules"])["rules"].clone();
    assert_eq!(rules["asked"], 0, "{rules}");
}

#[test]
fn a_step_is_not_done_where_what_was_read_of_it_shows_otherwise() {
    let bench = Bench::new();
    let folder = exported(&bench);
    let alone = tempfile::tempdir().unwrap();
    let verify = || run_in(alone.path(), &["verify", folder.to_str().unwrap()]);
    verify().code(0);
    // All that was read after the call becomes what was read before it.
    let made = |value: &Value| value.pointer("/value/vlans").is_some_and(|vlans| vlans.to_string().contains("120"));
    rewrite(&folder, made, |value| {
        let vlans = value["value"]["vlans"].as_array_mut().unwrap();
        vlans.retain(|vlan| vlan["id"] != 120);
    });
    verify()
        .code(5)
        .shows("settled as done, and what was read comes to failed: the tool reported success, and nothing changed")
        .shows("check A1 after the build: it says otherwise whether it held");
    // Whoever says that the tools had changed by then does not have it left unsaid.
    rewrite(&folder, |value| value.get("catalog").is_some(), |value| value["catalog"]["tools"] = json!(Digest::ZERO));
    let told = verify()
        .code(5)
        .shows("OTHERWISE WITH THE APPROVED TOOLS, which were others later: event 25: step create/sw01");
    assert!(!told.out.contains("\n  event 25: "), "{}", told.out);
}

#[test]
fn a_record_is_made_again_where_all_that_it_was_made_from_is_there() {
    let bench = Bench::new();
    let folder = exported(&bench);
    let alone = tempfile::tempdir().unwrap();
    let verify = || run_in(alone.path(), &["verify", folder.to_str().unwrap()]);
    verify().code(0);
    let change = |key: &str, to: &Value| {
        rewrite(
            &folder,
            |value| value["kind"] == "record",
            |value| {
                value[key] = to.clone();
                std::fs::write(folder.join("reconciled.record"), value.to_string()).unwrap();
            },
        );
    };
    change("residual", &json!([]));
    verify().code(0).shows("it does not say, as this version would, that the environment is simulated");
    change("reading", &json!("independent"));
    verify().code(5).shows("it says otherwise how far the reading was independent of the writing");
}
