//! Signed approvals: where a name is not enough, what a key opens and what it does not, and that OpenSSH agrees.

use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    bench::{Bench, command, finish, run_in},
    terminal::typed,
    written::{DESIGN, SPEC},
};

/// A request in production by rita, which bea may approve, at gate 1.
fn production() -> (Bench, String) {
    let bench = Bench::new();
    bench.people(&[("rita", "requester"), ("bea", "approver")]);
    bench.in_production();
    let one = ["--set", "id=120", "--set", "name=guest", "--set", "switches=sw01", "--as", "rita"];
    let id = bench.request(&[&["--blueprint", "vlan"], &one[..]].concat());
    bench.drive(&id, 3);
    (bench, id)
}

/// Runs a program of OpenSSH with this on its standard input.
fn openssh(program: &str, args: &[&str], input: &[u8], socket: Option<&str>) -> Output {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("SSH_AUTH_SOCK");
    if let Some(socket) = socket {
        command.env("SSH_AUTH_SOCK", socket);
    }
    let mut child = command.spawn().expect("openssh-client is installed by tests/run.sh");
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn is_good(folder: &Path, seq: u64, person: &str, namespace: &str, message: &[u8]) -> bool {
    let file = |end: &str| folder.join(format!("signatures/{seq}.{end}")).to_str().unwrap().to_owned();
    let (signers, signature) = (file("allowed_signers"), file("sig"));
    let args = ["-Y", "verify", "-f", &signers, "-I", person, "-n", namespace, "-s", &signature];
    openssh("ssh-keygen", &args, message, None).status.success()
}

#[test]
fn in_production_a_yes_is_signed_and_openssh_and_verify_agree_on_it() {
    let (bench, id) = production();
    bench.run(&["show", &id]).code(0).shows("reaches production.").shows("no key of yours");
    let digest = bench.question(&id);
    let by_name = bench.run(&["approve", &id, "--digest", &digest, "--as", "bea"]).code(4);
    by_name
        .says("needs your signature")
        .says(&format!("approve {id} --digest {} --key", digest.trim_start_matches("sha256:")));
    assert!(bench.events(&id, "approval.answered").is_empty());
    let key = bench.key_of("bea");
    bench.run(&["show", &id, "--as", "bea"]).code(0).shows("--key ~/.ssh/id_ed25519");
    bench.run(&["approve", &id, "--digest", &digest, "--as", "bea", "--key", &key]).code(0).shows("bea (signed");
    let event = bench.events(&id, "approval.answered").pop().unwrap();
    assert_eq!(event["actor"]["person"]["means"], "signed");
    bench.run(&["log", &id]).code(0).shows("signed with SHA256:");
    bench.run(&["verify", &id]).code(0).shows("signed: gate 1 (the spec), by bea with the key SHA256:");
    bench.run(&["export", &id, "../record"]).code(0);
    let folder = bench.outside("record");
    let seq = event["seq"].as_u64().unwrap();
    let message = std::fs::read(folder.join(format!("signatures/{seq}.json"))).unwrap();
    assert!(is_good(&folder, seq, "bea", "countersign-gate", &message));
    assert!(!is_good(&folder, seq, "rita", "countersign-gate", &message));
    assert!(!is_good(&folder, seq, "bea", "countersign-call", &message));
    assert!(!is_good(&folder, seq, "bea", "countersign-gate", &message[1..]));
    // What was signed says all of it, so that whoever has it can see that it is this and nothing else.
    let statement: Value = serde_json::from_slice(&message).unwrap();
    let ledger = bench.json(&["show", &id])["ledger"].clone();
    assert_eq!(statement["ledger"], ledger);
    assert_eq!((&statement["engagement"], &statement["request"]), (&json!(id), &json!(digest)));
    assert_eq!((&statement["person"], &statement["answer"]), (&json!("bea"), &json!("approve")));
    assert_eq!((&statement["head"]["seq"], &statement["head"]["hash"]), (&json!(seq - 1), &event["prev"]));
    // The folder needs no workspace; whoever verifies brings the signers that they trust.
    let alone = tempfile::tempdir().unwrap();
    let (right, wrong) = (alone.path().join("right"), alone.path().join("wrong"));
    std::fs::write(&right, bench.read("policies/allowed_signers")).unwrap();
    std::fs::write(&wrong, "# nobody\n").unwrap();
    let verify = |signers: &Path| {
        run_in(alone.path(), &["verify", folder.to_str().unwrap(), "--signers", signers.to_str().unwrap()])
    };
    verify(&right).code(0).shows("as the signers given have it");
    verify(&wrong).code(5).shows(&format!("event {seq}: ")).shows("no line for `bea`");
    std::fs::write(&wrong, "bea\n").unwrap();
    verify(&wrong).code(2).says("wrong:1: ");
}

#[test]
fn a_key_that_is_not_the_approvers_then_and_there_opens_nothing() {
    let (bench, id) = production();
    let key = bench.key_of("bea");
    let digest = bench.question(&id);
    let approve = |key: &str| bench.run(&["approve", &id, "--digest", &digest, "--as", "bea", "--key", key]);
    // Another's key is not offered to be hers too; one that nobody has is.
    let (theirs, unknown) = (bench.key_of("rita"), bench.outside("unknown"));
    openssh("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", unknown.to_str().unwrap()], b"", None);
    approve(unknown.to_str().unwrap()).code(4).says("an owner adds").says("bea namespaces=\"countersign-gate,");
    approve(&theirs).code(4).says("no line for `bea`").says("the key of `rita`; give a key of `bea`");
    approve("../nowhere").code(2).says("ssh-keygen -t ed25519");
    approve("~/.ssh/id_ed25519").code(2).says("only a shell makes a home folder of `~`");
    approve("policies/people.yaml").code(2).says("neither a private nor a public SSH key");
    let signers = bench.read("policies/allowed_signers");
    for (options, why) in [
        ("namespaces=\"git,countersign-call\"", "does not sign for `countersign-gate`"),
        ("valid-before=\"20200101Z\"", "signs no more since 2020-01-01"),
        ("valid-after=\"29990101Z\"", "signs from 2999-01-01"),
    ] {
        bench.write("policies/allowed_signers", &signers.replace("\nbea ", &format!("\nbea {options} ")));
        approve(&key).code(4).says(why);
        // Whoever looks for what comes next is told the same, with its line.
        bench.run(&["run", &id, "--as", "bea"]).code(3).shows("policies/allowed_signers:").shows(why);
    }
    bench.write("policies/allowed_signers", &signers.replace("\nbea ", "\n* "));
    approve(&key).code(2).says("policies/allowed_signers:").says("write each one out");
    bench.write("policies/allowed_signers", &signers);
    // Keys that others may read, of a kind that is not taken, and locked ones where nobody can be asked.
    let made = |name: &str, args: &[&str]| {
        let path = bench.outside(name).to_str().unwrap().to_owned();
        let args = [&["-q", "-C", "x", "-f", path.as_str()], args].concat();
        assert!(openssh("ssh-keygen", &args, b"", None).status.success());
        path
    };
    approve(&made("rsa", &["-t", "rsa", "-b", "2048", "-N", ""])).code(2).says("RUSTSEC-2023-0071");
    let locked = made("locked", &["-t", "ed25519", "-a", "1", "-N", "a secret"]);
    let public = std::fs::read_to_string(format!("{locked}.pub")).unwrap();
    bench.write("policies/allowed_signers", &format!("{signers}bea {public}"));
    approve(&locked).code(2).says("locked with a passphrase").says("ssh-add");
    let open = Command::new("chmod").args(["644", &locked]).status().unwrap();
    assert!(open.success());
    approve(&locked).code(2).says("chmod 600");
    assert!(Command::new("chmod").args(["600", &locked]).status().unwrap().success());
    assert!(bench.events(&id, "approval.answered").is_empty());
    let typing = format!("approve {id} --digest {digest} --as bea --key '{locked}'");
    typed(&bench, &typing, "not it\n", None).code(2).shows("not the passphrase");
    typed(&bench, &typing, "a secret\n", None).code(0).shows("bea (signed");
    bench.holds(&id);
}

#[test]
fn ssh_agent_signs_for_whoever_has_it() {
    let (bench, id) = production();
    let key = bench.key_of("bea");
    let socket = bench.outside("agent").to_str().unwrap().to_owned();
    let mut agent = Command::new("ssh-agent").args(["-D", "-a", &socket]).stdout(Stdio::null()).spawn().unwrap();
    while !Path::new(&socket).exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let approve = |socket: Option<&str>, key: &str| {
        let mut approve = command(&bench.root);
        approve.args(["approve", &id, "--digest", &bench.question(&id), "--as", "bea"]).env("COUNTERSIGN_KEY", key);
        if let Some(socket) = socket {
            approve.env("SSH_AUTH_SOCK", socket);
        }
        finish(approve)
    };
    approve(None, "agent").code(2).says("no ssh-agent is here");
    approve(Some(&socket), "agent").code(2).says("ssh-add");
    assert!(openssh("ssh-add", &["-q", &key], b"", Some(&socket)).status.success());
    // A public key signs by the agent, also where its private one lies beside it.
    assert!(Path::new(&key).exists());
    approve(None, bench.outside("bea.pub").to_str().unwrap()).code(2).says("agent");
    // From here on only the agent has it.
    std::fs::remove_file(&key).unwrap();
    approve(Some(&socket), "agent").code(0).shows("bea (signed");
    bench.drive(&id, 3);
    let public = bench.outside("bea.pub");
    approve(Some(&socket), public.to_str().unwrap()).code(0).shows("gate 2");
    let _ = agent.kill();
    let _ = agent.wait();
    bench.drive(&id, 0);
    bench.holds(&id);
    assert!(!bench.artifact(&id, "record")["residual"].to_string().contains("asserted"));
}

#[test]
fn from_stage_2_on_a_yes_is_signed_and_a_no_needs_no_key() {
    let bench = Bench::new();
    bench.trust("vlan@lab", "2", "ten clean runs");
    bench.run(&["verify", "trust"]).code(0).shows("1 event");
    let id = bench.request_one();
    bench.drive(&id, 3);
    let digest = bench.question(&id);
    bench.run(&["approve", &id, "--digest", &digest]).code(4).says("because the trust stage is 2");
    let typing = format!("run {id}");
    typed(&bench, &typing, "a\n", None).code(3).shows("this needs your signature").shows("--key");
    let key = bench.key_of("ada");
    typed(&bench, &format!("run {id} --key '{key}'"), "a\n\n", None).code(3).shows("GATE 2");
    bench.run(&["reject", &id, "--reason", "not today"]).code(0).shows("ada (asserted");
    assert_eq!(bench.events(&id, "approval.answered").len(), 2);
    bench.holds(&id);
}

#[test]
fn an_approval_that_is_moved_to_another_engagement_is_found() {
    let (bench, id) = production();
    let key = bench.key_of("bea");
    let digest = bench.question(&id);
    bench.run(&["approve", &id, "--digest", &digest, "--as", "bea", "--key", &key]).code(0);
    bench.run(&["export", &id, "../one"]).code(0);
    let folder = bench.outside("one");
    // The same request again: the same bytes, another engagement. Its approval is put in for the first one's.
    let one = ["--set", "id=120", "--set", "name=guest", "--set", "switches=sw01", "--as", "rita"];
    let other = bench.request(&[&["--blueprint", "vlan"], &one[..]].concat());
    bench.drive(&other, 3);
    let digest = bench.question(&other);
    bench.run(&["approve", &other, "--digest", &digest, "--as", "bea", "--key", &key]).code(0);
    bench.run(&["export", &other, "../two"]).code(0);
    let lines = |folder: &Path| -> Vec<String> {
        std::fs::read_to_string(folder.join("events.jsonl")).unwrap().lines().map(str::to_owned).collect()
    };
    let (mut ours, theirs) = (lines(&folder), lines(&bench.outside("two")));
    let answer = ours.iter().position(|line| line.contains("approval.answered")).unwrap();
    assert!(theirs[answer].contains("approval.answered"));
    ours[answer].clone_from(&theirs[answer]);
    std::fs::write(folder.join("events.jsonl"), ours.join("\n") + "\n").unwrap();
    run_in(&bench.root, &["verify", folder.to_str().unwrap()]).code(5).shows(&format!("event {}: ", answer + 1));
}

#[test]
fn what_was_approved_on_a_name_stays_at_stage_1_whatever_is_trusted_since() {
    for signed in [false, true] {
        let bench = Bench::new();
        if signed {
            bench.key_of("ada");
        }
        let two = ["--set", "id=120", "--set", "name=guest", "--set", "switches=sw01,sw02"];
        let id = bench.request(&[&["--blueprint", "vlan"], &two[..]].concat());
        bench.to_gate2(&id);
        bench.approving(&id, &["--only", "create/sw01"]).code(0);
        bench.trust("vlan@lab", "2", "ten clean runs");
        // At stage 2 the other call would need nobody.
        let end = bench.drive(&id, if signed { 0 } else { 3 });
        if !signed {
            assert_eq!(end["status"]["about"]["call"]["node"], "create/sw02");
            assert!(end["question"]["standing"]["because"].as_str().unwrap().contains("on a name alone"), "{end}");
        }
        assert_eq!(bench.writes().len(), if signed { 2 } else { 1 });
    }
}

#[test]
fn an_approval_by_a_key_that_nobody_names_any_more_is_asked_for_anew() {
    let (bench, id) = production();
    let key = bench.key_of("bea");
    let approve = || {
        let digest = bench.question(&id);
        bench.run(&["approve", &id, "--digest", &digest, "--as", "bea", "--key", &key]).code(0);
    };
    approve();
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
    approve();
    let signers = bench.read("policies/allowed_signers");
    // A key that signs no more signed what it signed: nothing is asked that was answered.
    let retired = bench.copy();
    retired.write("policies/allowed_signers", &signers.replace("\nbea ", "\nbea valid-before=\"29990101Z\" "));
    retired.drive(&id, 0);
    assert_eq!(retired.writes().len(), 1);
    // Whoever can write the ledger can write an answer by a key of their own, and the line that lets it sign.
    let without: String =
        signers.lines().filter(|line| !line.starts_with("bea ")).map(|line| format!("{line}\n")).collect();
    bench.write("policies/allowed_signers", &without);
    let anew = bench.drive(&id, 3);
    assert_eq!(anew["status"]["about"], "gate1");
    bench
        .run(&["show", &id])
        .code(0)
        .shows("ASKED ANEW")
        .shows("does not count as things are")
        .shows("no line for `bea`");
    assert_eq!(bench.writes().len(), 0);
    // What was decided stays readable and verifies.
    bench.holds(&id);
    bench.write("policies/allowed_signers", &signers);
    bench.drive(&id, 3);
    approve();
    bench.drive(&id, 0);
    bench.write("policies/allowed_signers", &without);
    bench.run(&["show", &id]).code(0);
    bench.holds(&id);
}

#[test]
fn a_call_that_was_approved_with_a_key_that_nobody_names_any_more_does_not_run() {
    let bench = Bench::new();
    bench.people(&[("bea", "approver")]);
    bench.key_of("ada");
    let key = bench.key_of("bea");
    let two = ["--set", "id=120", "--set", "name=guest", "--set", "switches=sw01,sw02"];
    let id = bench.request(&[&["--blueprint", "vlan"], &two[..]].concat());
    bench.to_gate2(&id);
    bench.approving(&id, &["--only", "create/sw01"]).code(0);
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["call"]["node"], "create/sw02");
    let digest = bench.question(&id);
    bench.run(&["approve", &id, "--digest", &digest, "--as", "bea", "--key", &key]).code(0);
    let signers = bench.read("policies/allowed_signers");
    let without: String =
        signers.lines().filter(|line| !line.starts_with("bea ")).map(|line| format!("{line}\n")).collect();
    bench.write("policies/allowed_signers", &without);
    let stopped = bench.run(&["run", &id]).code(1);
    assert!(format!("{stopped:?}").contains("no line for `bea`"), "{stopped:?}");
    assert_eq!(bench.writes().len(), 1);
    bench.write("policies/allowed_signers", &signers.replace("\nbea ", "\nbea valid-before=\"29990101Z\" "));
    bench.drive(&id, 0);
    assert_eq!(bench.writes().len(), 2);
}

#[test]
fn each_kind_of_answer_is_signed_for_itself_alone_and_openssh_agrees() {
    let bench = Bench::new();
    let key = bench.key_of("ada");
    // Two gates, a call whose address is known only when it is allocated, and a redaction.
    let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
    bench.yes_to_all(&id);
    bench.run(&["redact", &id, "c2", "--reason", "asked for", "--yes", "--key", &key]).code(0);
    // A VLAN that was not there at gate 2, and a step that fails for it.
    let design = DESIGN.replace("name: guest}\n", "name: guest}\n    on_failure: ask\n");
    let other = bench.request_written(SPEC, &design);
    bench.to_gate2(&other);
    bench.approve(&other);
    bench.tamper(|network| network["switches"]["sw01"]["vlans"]["120"] = json!("theirs"));
    assert!(bench.drive(&other, 3)["status"]["about"]["deviation"].is_object());
    bench.approve(&other);
    bench.fault("error:vlan.create@sw01");
    assert!(bench.drive(&other, 3)["status"]["about"]["failure"].is_object());
    bench.run(&["answer", &other, "stop", "--digest", &bench.question(&other), "--key", &key]).code_in(&[0, 6]);
    let mut seen = BTreeSet::new();
    for id in [&id, &other] {
        let folder = bench.outside(id);
        bench.run(&["export", id, folder.to_str().unwrap()]).code(0);
        let answered = bench.events(id, "approval.answered");
        for event in answered.into_iter().chain(bench.events(id, "call.redacted")) {
            let about = &event["body"]["about"];
            let own = match about.as_str().or_else(|| about.as_object()?.keys().next().map(String::as_str)) {
                None => "countersign-redact",
                Some("gate1" | "gate2") => "countersign-gate",
                Some("call") => "countersign-call",
                Some("deviation") => "countersign-deviation",
                Some("failure" | "unknown") => "countersign-answer",
                Some(other) => panic!("{other}"),
            };
            let seq = event["seq"].as_u64().unwrap();
            let message = std::fs::read(folder.join(format!("signatures/{seq}.json"))).unwrap();
            for namespace in ["gate", "call", "deviation", "answer", "trust", "redact"] {
                let namespace = format!("countersign-{namespace}");
                assert_eq!(is_good(&folder, seq, "ada", &namespace, &message), namespace == own, "{event}");
            }
            seen.insert(own);
        }
    }
    let all = ["answer", "call", "deviation", "gate", "redact"].map(|name| format!("countersign-{name}"));
    assert!(seen.into_iter().eq(all.iter().map(String::as_str)));
}
