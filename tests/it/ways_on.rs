//! What a newcomer meets: a file that is not there, a command at the wrong moment. Each is told with what to do next.

use std::{fs, process::Command};

use crate::bench::Bench;

/// Puts something else in the place of a file of the workspace while a command is run.
fn instead(bench: &Bench, name: &str, other: impl Fn(&std::path::Path), looked: impl Fn()) {
    let (path, away) = (bench.root.join(name), bench.outside("away"));
    fs::rename(&path, &away).unwrap();
    other(&path);
    looked();
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    } else {
        let _ = fs::remove_file(&path);
    }
    fs::rename(&away, &path).unwrap();
}

#[test]
fn a_file_of_the_workspace_that_cannot_be_read_is_named_with_what_to_do() {
    let bench = Bench::new();
    let id = bench.request_one();
    let told = |name: &str, says: &str| {
        let commands: [&[&str]; 4] =
            [&["inbox"], &["policy", "check"], &["run", &id, "--no-input"], &["trust", "show"]];
        let commands = commands.into_iter().filter(|args| name != "prompts/blueprints" || args[0] == "policy");
        for args in commands {
            let answer = bench.run(args).code(2).says(name).says(says).says("countersign init");
            assert!(!answer.err.contains("os error"), "{args:?}: {}", answer.err);
        }
    };
    // A pipe that nobody writes to would be waited for without end.
    let pipe = |path: &std::path::Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    for name in ["guardrails.cedar", "stages.cedar", "gates.cedar", "inventory.yaml", "people.yaml"] {
        let name = format!("policies/{name}");
        instead(&bench, &name, |_| {}, || told(&name, "is missing"));
        instead(&bench, &name, |path| fs::create_dir(path).unwrap(), || told(&name, "is not a file"));
        instead(&bench, &name, |path| fs::write(path, b"\xff\xfe").unwrap(), || told(&name, "is not UTF-8 text"));
        instead(&bench, &name, pipe, || told(&name, "is not a file"));
    }
    instead(
        &bench,
        "policies/allowed_signers",
        |path| fs::create_dir(path).unwrap(),
        || told("policies/allowed_signers", "is not a file"),
    );
    // Models are not needed, but what says which there are must be a file.
    let models = "policies/models.yaml";
    let looked = || drop(bench.run(&["run", &id, "--no-input"]).code(2).says(models).says("it is not a file"));
    instead(&bench, models, pipe, looked);
    instead(&bench, "tools", |_| {}, || told("tools", "is missing"));
    instead(&bench, "prompts/blueprints", |_| {}, || told("prompts/blueprints", "is missing"));
    // A file that a person names is another matter.
    let answer = bench.run(&["request", "--spec", "my-spec.yaml"]).code(2).says("there is no file `my-spec.yaml`");
    assert!(!answer.err.contains("os error"), "{}", answer.err);
    bench.run(&["request", "--spec", "policies"]).code(2).says("policies is a folder; name a file");
    bench.run(&["verify", &id, "--signers", "none"]).code(2).says("there is no file `none`");
}

#[test]
fn a_retry_of_nothing_says_why_and_what_to_do_instead() {
    let bench = Bench::new();
    let id = bench.request_one();
    let refused = |why: &str, next: &str| {
        bench.run(&["run", &id, "--retry", "failed"]).code(2).says("can be tried again").says(why).says(next);
    };
    let run = format!("countersign run {id}");
    refused("no step has been begun yet", &run);
    bench.to_gate2(&id);
    refused("no step has been begun yet", &run);
    bench.approve(&id);
    bench.drive(&id, 0);
    refused("every step is done", &format!("countersign show {id}"));
    let cancelled = bench.request_one();
    bench.run(&["cancel", &cancelled, "--reason", "not now"]).code(0);
    bench
        .run(&["run", &cancelled, "--retry", "failed"])
        .code(2)
        .says("cancelled (not now)")
        .says("countersign request");
    // What is asked about is answered first.
    let asks = crate::written::DESIGN.replace("name: guest}\n", "name: guest}\n    on_failure: ask\n");
    let asked = bench.request_written(&crate::written::SPEC.replace("is: 120", "is: 20"), &asks);
    bench.to_gate2(&asked);
    bench.fault("half:vlan.create@sw02");
    bench.approve(&asked);
    bench.drive(&asked, 3);
    let retried = bench.run(&["run", &asked, "--retry", "failed"]).code(2);
    retried.says("the failure of step create/sw02 is asked about").says(&format!("countersign show {asked}"));
    // Also where it could be tried again: a failure that waits for somebody's word is no more tried than any other, and the
    // chain says nothing that does not follow.
    let bench = Bench::new();
    let failed = bench.request_written(crate::written::SPEC, &asks);
    bench.to_gate2(&failed);
    bench.fault("error:vlan.create@sw02");
    bench.approve(&failed);
    assert_eq!(bench.drive(&failed, 3)["status"]["about"]["failure"]["node"], "create/sw02");
    bench.heal();
    let retried = bench.run(&["run", &failed, "--retry", "failed"]).code(2);
    retried.says("the failure of step create/sw02 is asked about");
    assert!(bench.events(&failed, "steps.retried").is_empty());
    bench.run(&["answer", &failed, "stop", "--digest", &bench.question(&failed)]).code(0);
    bench.drive(&failed, 6);
    bench.run(&["run", &failed, "--retry", "failed"]).code(0);
    bench.holds(&failed);
}

#[test]
fn a_blueprint_that_cannot_be_used_stops_no_other() {
    let bench = Bench::new();
    bench.edit("prompts/blueprints/dns.yaml", "title:", "tilte:");
    fs::write(bench.root.join("prompts/blueprints/latin.yaml"), b"name: caf\xe9\n").unwrap();
    for args in [&["blueprints"][..], &["trust", "show"]] {
        let answer = bench.run(args).code(0).shows("vlan").says("prompts/blueprints/dns.yaml:").says("latin.yaml");
        assert!(answer.err.lines().all(|line| line.starts_with("note: ")), "{}", answer.err);
    }
    bench.json(&["blueprints"]);
    bench.request_one();

    let answers = "printf '%s\\n' vlan 121 lobby sw01 '' | \"$0\" chat";
    let mut piped = std::process::Command::new("sh");
    piped.current_dir(&bench.root).args(["-c", answers]).arg(crate::bench::program());
    crate::bench::finish(piped).code(3).says("prompts/blueprints/dns.yaml:").shows("GATE 1");
    // The one that is asked for says what is wrong with it, and none of the others.
    let dns = ["--blueprint", "dns"];
    for command in ["request", "chat"] {
        let answer = bench.run(&[&[command], &dns[..]].concat()).code(2).says("error: prompts/blueprints/dns.yaml:");
        assert!(!answer.err.contains("latin"), "{}", answer.err);
    }
    bench.run(&["request", "--blueprint", "latin"]).code(2).says("latin.yaml is not UTF-8 text");
    bench.run(&["request", "--blueprint", "nds"]).code(2).says("there is no blueprint `nds`");
    let checked = bench.run(&["policy", "check"]).code(1).shows("prompts/blueprints/dns.yaml:");
    assert!(!checked.out.contains("in order"), "{}", checked.out);
}

#[test]
fn two_blueprints_of_one_name_are_both_refused_by_it() {
    let bench = Bench::new();
    bench.write("prompts/blueprints/another.yaml", &bench.read("prompts/blueprints/vlan.yaml"));
    let why = "prompts/blueprints/another.yaml: name: `vlan` is the name of prompts/blueprints/vlan.yaml too";
    bench.run(&["request", "--blueprint", "vlan", "--set", "id=120", "--set", "name=guest"]).code(2).says(why);
    let listed = bench.run(&["blueprints"]).code(0).says(why);
    assert!(!listed.out.contains("vlan:") && listed.out.contains("dns:"), "{}", listed.out);
    bench.run(&["policy", "check"]).code(1).shows(why);
}

#[test]
fn a_witness_that_can_get_nothing_is_told_with_its_line_and_what_to_do() {
    let bench = Bench::new();
    bench.write("program", "no program");
    let toml = |lines: &str| bench.write("countersign.toml", &format!("version = 1\n[witness]\n{lines}\n"));
    // What can never publish anything stops whatever would write; where only something is missing, work goes on.
    let table: [(&str, u8, &str); 12] = [
        ("kind = \"s3\"", 2, "line 3: unknown field `kind`, expected one of `file`, `git`"),
        ("command = []", 2, "countersign.toml:3: `command` of [witness] is empty"),
        ("command = [\"\"]", 2, "is empty"),
        ("file = \"\"", 2, "`file` of [witness] is empty"),
        ("file = \"w\"\npush = true", 2, "countersign.toml:4: `push` of [witness] is for `git`"),
        ("file = \"nowhere/kept\"", 0, "nowhere; make it"),
        ("file = \"policies\"", 0, "policies is a folder; name a file in it"),
        ("git = \"nowhere\"", 0, "git init"),
        ("git = \"policies\"", 0, "is in no git work tree"),
        ("command = [\"./publish\"]", 0, "publish; install it"),
        ("command = [\"./program\"]", 0, "chmod +x"),
        (
            "file = \"kept\"\ncommand = [\"no-such-program\"]",
            0,
            "countersign.toml:4: nothing can be published by the command",
        ),
    ];
    for (lines, code, says) in table {
        toml(lines);
        let args = ["request", "--blueprint", "vlan", "--set", "id=120", "--set", "name=guest"];
        bench.run(&args).code(code.into()).says(says);
        let checked = bench.run(&["policy", "check"]);
        assert!(checked.code != 0 && (checked.out + &checked.err).contains(says), "{lines}");
    }
    bench.write("countersign.toml", "version = 1\nwitness = 3\n");
    bench.run(&["policy", "check"]).code(2).says("line 2: invalid type: integer `3`, expected the table [witness]");
    toml("file = \"kept\"\ncommand = [\"/bin/true\"]");
    bench.run(&["policy", "check"]).code(0);
    let answer = bench.run(&["run", "--no-input"]).code(3);
    assert!(!answer.err.contains("publish"), "{}", answer.err);
}

#[test]
fn the_help_names_the_chain_of_trust_stages_where_it_is_read() {
    let bench = Bench::new();
    bench.run(&["log", "--help"]).code(0).shows("countersign log trust").shows("<ID|trust>");
    bench.run(&["log", "trust"]).code(0);
}

#[test]
fn nobody_is_offered_what_would_be_refused_to_them() {
    let bench = Bench::new();
    bench.people(&[("req", "requester"), ("app", "approver"), ("bob", "approver")]);
    let show = |id: &str, name: &str, yes: bool| {
        let shown = bench.run(&["show", id, "--as", name]).code(0);
        let run = bench.run(&["run", id, "--no-input", "--as", name]).code(3);
        for said in [&shown, &run] {
            let offered = format!("Next: countersign --as {name} approve {id} ");
            assert_eq!(said.out.contains(&offered), yes, "{name}: {}", said.out);
        }
        let end = |said: &crate::bench::Answer| said.out.trim_end().lines().last().unwrap().to_owned();
        assert_eq!(end(&shown), end(&run), "{name}");
        shown
    };
    let id = bench.request_one();
    bench.drive(&id, 3);
    show(&id, "req", false).shows("Waiting for the role `approver`: ada, app, bob.");
    show(&id, "app", true);
    // Whoever is nobody here may look all the same.
    show(&id, "mallory", false).shows("Waiting for the role `approver`");
    bench.run(&["reject", &id, "--reason", "no"]).code(0);
    bench.run(&["show", &id, "--as", "req"]).code(0).shows(&format!("edit {id}, or countersign --as req cancel {id}"));
    let shown = bench.run(&["show", &id, "--as", "app"]).code(0).shows(&format!("edit {id}"));
    assert!(!shown.out.contains("cancel"), "{}", shown.out);
    // In production, where duties are apart and a yes is signed.
    bench.in_production();
    bench.key_of("ada");
    bench.key_of("app");
    let id = bench.request_one();
    bench.drive(&id, 3);
    let barred = show(&id, "ada", false).shows("the yes is somebody else's: app.");
    barred.shows(&format!("reject {id}"));
    show(&id, "app", true);
    show(&id, "bob", false).shows("policies/allowed_signers has no key of yours").shows("Who has one: app.");
    let ids = |name: &str| bench.json(&["inbox", "--as", name]).as_array().unwrap().len();
    assert_eq!((ids("ada"), ids("app"), ids("bob")), (1, 1, 1), "the draft that was rejected, and the gate");
    bench.run(&["inbox", "--as", "ada"]).code(0).shows("1 more waits that you asked for or wrote");
}

#[test]
fn only_who_may_try_again_is_offered_that() {
    let bench = Bench::new();
    bench.people(&[("req", "requester")]);
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.fault("error:vlan.create");
    bench.approve(&id);
    bench.yes_to_all(&id);
    bench.run(&["show", &id]).code(0).shows(&format!("Next: countersign run {id} --retry failed"));
    let shown = bench.run(&["show", &id, "--as", "req"]).code(0).shows("The role `approver` can").shows("ada");
    assert!(!shown.out.contains(&format!("Next: countersign --as req run {id}")), "{}", shown.out);
}

#[test]
fn a_dash_is_standard_input_and_a_pipe_is_a_file() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    let spec = bench.run(&["show", &id, "--artifact", "spec"]).code(0).out;
    bench.write("spec.yaml", &spec);
    bench.write("broken.yaml", &spec.replacen("title:", "tilte:", 1));
    let shell = |line: &str| {
        let mut shell = std::process::Command::new("bash");
        // An engagement may have any letters in its id.
        let line = line.replace("$cs", &format!("'{}'", crate::bench::program().display()));
        shell.current_dir(&bench.root).env("CVC5", "/nowhere/cvc5").args(["-c", &line]);
        crate::bench::finish(shell)
    };
    shell("$cs spec lint - <spec.yaml").code(0).shows("Nothing is wrong with it.");
    shell("$cs spec lint <(cat spec.yaml)").code(0).shows("Nothing is wrong with it.");
    shell("$cs spec lint - <broken.yaml").code(2).says("standard input:");
    shell("$cs spec diff spec.yaml - <spec.yaml").code(1).shows("not proven");
    shell("$cs spec diff - - <spec.yaml").code(2).says("standard input is there once");
    bench.write("my-spec.yaml", crate::written::SPEC);
    bench.write("my-design.yaml", crate::written::DESIGN);
    shell("$cs request --spec - --design <(cat my-design.yaml) <my-spec.yaml").code(0);
    shell("$cs request --spec - --design - <my-spec.yaml").code(2).says("standard input is there once");
    shell("echo '{id: 130, name: lobby, switches: [sw01]}' | $cs request --blueprint vlan --file -").code(0);
    shell(&format!("sed s/VLAN/V-LAN/ spec.yaml | $cs edit {id} --file -")).code(0).shows("version 2 filed");
    for args in [&["verify", &id, "--signers"][..], &["verify", &id, "--against"]] {
        shell(&format!("$cs {} - </dev/null", args.join(" "))).code_in(&[0, 2, 5]);
    }
    for args in [&["spec", "lint"][..], &["request"], &["edit"], &["verify"]] {
        bench.run(&[args, &["--help"]].concat()).code(0).shows("`-` for standard input");
    }
}

#[test]
fn keys_end_with_the_exit_codes_of_every_command() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    let keys = bench.root.join(".countersign/keys");
    bench.people(&[("app", "approver")]);
    bench.run(&["keys", "rotate", "--as", "app"]).code(4);
    bench.run(&["keys", "rotate", "--as", "mallory"]).code(4);
    // What cannot be shown to be this ledger's does not verify; a file that cannot be used is a failure.
    let both = |code: i32, says: &str| {
        for command in ["show", "rotate"] {
            bench.run(&["keys", command]).code(code).says(says).says("copy of .countersign/keys");
        }
    };
    let public = keys.join("public");
    let kept = fs::read(&public).unwrap();
    fs::write(&public, "rubbish").unwrap();
    both(5, "public: ");
    fs::remove_file(&public).unwrap();
    fs::create_dir(&public).unwrap();
    both(1, "public is a folder");
    fs::remove_dir(&public).unwrap();
    both(5, "its checkpoints are signed with them");
    fs::write(&public, kept).unwrap();
    let private = fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path());
    let private = private.into_iter().find(|path| path.extension().is_some_and(|end| end == "key")).unwrap();
    fs::rename(&private, bench.outside("key")).unwrap();
    let answer = bench.run(&["keys", "rotate"]).code(1).says("is missing").says("copy of .countersign/keys");
    assert!(!answer.err.contains("os error"), "{}", answer.err);
    bench.run(&["keys", "show"]).code(0);
}

#[test]
fn what_is_said_of_several_engagements_says_of_which() {
    let bench = Bench::new();
    let (first, second) = (bench.request_one(), bench.request_one());
    let told = bench.run(&["run"]).code(3);
    for id in [&first, &second] {
        assert!(
            told.out.lines().any(|line| line.starts_with(&format!("{id}  Create VLAN 120 guest ("))),
            "{}",
            told.out
        );
    }
    assert!(told.out.contains("(2 of 2 open)"), "{}", told.out);
}

#[test]
fn a_command_in_an_error_is_said_as_it_works_here() {
    let bench = Bench::new();
    bench.people(&[("bob", "requester")]);
    let mut piped = std::process::Command::new("sh");
    piped.current_dir(&bench.root).args(["-c", "printf '121\\n' | \"$0\" --as bob chat --blueprint vlan"]);
    let ended = crate::bench::finish({
        piped.arg(crate::bench::program());
        piped
    });
    let next = "countersign --as bob chat --blueprint vlan --set";
    assert!(ended.err.lines().any(|line| line.trim_start().starts_with(next)), "{}", ended.err);
    let id = bench.request_one();
    bench.run(&["cancel", &id, "--reason", "no"]).code(0);
    bench.run(&["run", &id]).code(1);
    bench.run(&["edit", &id]).code(2).says("the engagement is closed");
}
