//! What programs build on: exit codes, JSON shapes, filters, short ids; and what a pipe gets.

use serde_json::{Value, json};

use crate::bench::{Answer, Bench, command, finish, run_in};

/// The fields of an object, sorted.
fn fields(value: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

#[test]
fn exit_codes_are_what_the_help_says() {
    let bench = Bench::impatient();
    let help = bench.run(&["--help"]).code(0).out;
    for line in ["0 done", "1 failed", "2 usage or configuration", "3 waiting for a person", "4 refused by policy"] {
        assert!(help.contains(line), "{help}");
    }
    assert!(help.contains("5 verification failed") && help.contains("6 partly done"), "{help}");
    bench.run(&["--version"]).code(0).shows("countersign 0.");
    // 4: what a rule refuses, with nothing changed, is refused and not failed.
    bench.edit(
        "policies/inventory.yaml",
        "environment: lab, tags: [access]",
        "environment: lab, tags: [access, freeze]",
    );
    let id = bench.request_one();
    let end = bench.to_end(&id, 4);
    assert_eq!(end["record"]["outcome"], "refused");
    assert!(end["record"]["summary"].as_str().unwrap().contains("freeze"), "{end}");
    assert!(bench.writes().is_empty());
    bench.holds(&id);
}

#[test]
fn a_phase_is_spelled_the_same_for_every_program() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_end(&id, 0);
    let phase = bench.list()[0]["phase"].clone();
    assert_eq!(phase, "as_built");
    assert_eq!(bench.run(&["show", &id, "--json"]).code(0).json()["phase"], phase);
    bench.run(&["export", "--help"]).code(0).shows("countersign export [OPTIONS] <ID> <DIR|");
    bench.run(&["approve", "--help"]).code(0).shows("  countersign approve k7m --digest ");
}

#[test]
fn an_engagement_is_called_what_its_current_spec_says() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    let spec = bench.run(&["show", &id, "--artifact", "spec"]).code(0).out;
    let title = bench.list()[0]["title"].as_str().unwrap().to_owned();
    bench.write("titled.yaml", &spec.replacen(&title, "Guests get a VLAN", 1));
    bench.run(&["edit", &id, "--file", "titled.yaml"]).code(0);
    assert_eq!(bench.list()[0]["title"], "Guests get a VLAN");
    bench.drive(&id, 3);
    bench.run(&["inbox"]).code(0).shows("Guests get a VLAN");
    bench.run(&["list"]).code(0).shows("Guests get a VLAN");
    bench.run(&["show", &id]).code(0).shows(&format!("{id}  Guests get a VLAN"));
    assert_eq!(bench.run(&["show", &id, "--json"]).code(0).json()["title"], "Guests get a VLAN");
    let approve = ["approve", &id, "--digest", &bench.question(&id)];
    let yes = bench.run(&approve).code(0).shows("  Guests get a VLAN, in lab, digest ");
    assert!(!yes.out.contains(&title), "{}", yes.out);
    // What was asked for stays on the chain.
    assert_eq!(bench.events(&id, "engagement.requested")[0]["body"]["title"], title.as_str());
}

#[test]
fn what_cannot_be_asked_so_says_how_to_ask() {
    let bench = Bench::new();
    bench.run(&["request"]).code(2).says("--text <WORDS>").says("--spec <FILE>");
    bench.run(&["spec", "diff", "old.yaml", "new.yaml"]).code(2).says("no file `old.yaml`").says("spec diff ID 1 2");
    bench.run(&["log", "trust"]).code(0).shows("countersign trust show");
    bench.run(&["log", "trust", "--kind", "call"]).code(0).shows("begins with `call`");
}

#[test]
fn every_command_has_help_with_an_example() {
    let bench = Bench::new();
    for name in [
        "demo",
        "init",
        "blueprints",
        "request",
        "run",
        "approve",
        "reject",
        "answer",
        "edit",
        "cancel",
        "list",
        "inbox",
        "show",
        "log",
        "export",
        "verify",
        "tools",
        "models",
        "policy",
        "spec",
        "call",
        "lab",
    ] {
        if name == "blueprints" {
            bench.run(&[name, "--help"]).code(0);
            continue;
        }
        bench.run(&[name, "--help"]).code(0).shows("Example");
    }
    bench.run(&["lab", "fault", "--help"]).code(0).shows("crash-before");
}

#[test]
fn lists_filter_by_status_person_and_blueprint() {
    let bench = Bench::new();
    bench.people(&[("bob", "requester")]);
    let of = |args: &[&str]| -> Vec<String> {
        let rows = bench.json(&[&["list"], args].concat());
        rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(of(&[]).is_empty());
    bench.run(&["list"]).code(0).shows("countersign request");
    bench.run(&["inbox"]).code(0).shows("Nothing waits for ada");
    bench.run(&["run"]).code(0).shows("countersign request");
    let drafting = bench.request_one();
    let waiting = bench.request(&["--blueprint", "dns", "--set", "name=a", "--set", "address=192.0.2.10"]);
    bench.drive(&waiting, 3);
    let closed = bench.request_one();
    bench.run(&["cancel", &closed, "--reason", "no"]).code(0);
    bench.drive(&closed, 1);
    let args = ["--blueprint", "vlan", "--set", "id=130", "--set", "name=x", "--as", "bob"];
    let bobs = bench.request(&args);
    assert_eq!(of(&[]), [&bobs, &closed, &waiting, &drafting].map(Clone::clone));
    assert_eq!(of(&["--limit", "2"]), [&bobs, &closed].map(Clone::clone));
    bench.run(&["list", "--limit", "2"]).code(0).says("note: there are more than these 2; `--limit` shows more");
    assert_eq!(of(&["--status", "open"]), [&bobs, &waiting, &drafting].map(Clone::clone));
    assert_eq!(of(&["--status", "waiting"]), [waiting.as_str()]);
    assert_eq!(of(&["--status", "closed"]), [closed.as_str()]);
    assert_eq!(of(&["--mine", "--as", "bob"]), [bobs.as_str()]);
    assert_eq!(of(&["--blueprint", "vlan"]), [&bobs, &closed, &drafting].map(Clone::clone));
    assert_eq!(of(&["--blueprint", "vlan", "--limit", "1"]), [bobs.as_str()]);
    assert_eq!(of(&["--blueprint", "nothing"]), Vec::<String>::new());
    let row = &bench.list()[2];
    assert_eq!(
        fields(row),
        ["blueprint", "id", "opened_at", "phase", "requester", "seq", "status", "title", "updated_at"]
    );
    assert_eq!((&row["requester"], &row["blueprint"]), (&json!("ada"), &json!("dns")));
    assert_eq!(bench.json(&["inbox"])[0]["id"], json!(waiting));
    bench.run(&["list"]).code(0).shows("waiting for approver: gate 1 (the spec)");
    // A run without an id goes on with everything that is open, and says the worst.
    bench.run(&["run"]).code(3);
    assert_eq!(of(&["--status", "waiting"]).len(), 3);
}

#[test]
fn an_engagement_is_named_by_its_first_letters() {
    let bench = Bench::new();
    let ids: Vec<String> = (0..12).map(|_| bench.request_one()).collect();
    let id = &ids[0];
    let short =
        (1..=id.len()).map(|n| &id[..n]).find(|short| ids.iter().filter(|id| id.starts_with(short)).count() == 1);
    assert_eq!(bench.json(&["show", short.unwrap()])["engagement"], json!(id));
    assert_eq!(bench.json(&["show", &id.to_uppercase()])["engagement"], json!(id));
    let several = ids.iter().find_map(|id| {
        let letter = &id[..1];
        (ids.iter().filter(|other| other.starts_with(letter)).count() > 1).then_some(letter)
    });
    if let Some(several) = several {
        bench.run(&["show", several]).code(2).says("type more of the id");
    }
}

#[test]
fn answers_for_programs_have_stable_fields() {
    let bench = Bench::new();
    let id = bench.request_one();
    let gate = bench.drive(&id, 3);
    let status = [
        "artifacts",
        "blueprint",
        "engagement",
        "events",
        "head",
        "ledger",
        "phase",
        "question",
        "question_digest",
        "question_out_of_date",
        "record",
        "requester",
        "status",
        "title",
    ];
    assert_eq!(fields(&gate), status);
    // Looking again gives the same answer, and changes nothing.
    assert_eq!(bench.json(&["show", &id]), gate);
    assert_eq!(bench.drive(&id, 3), gate);
    let approved = bench.json(&["approve", &id, "--digest", &bench.question(&id)]);
    assert_eq!(
        (&approved["engagement"], &approved["about"], &approved["answer"], &approved["by"]["name"]),
        (&json!(id), &json!("gate1"), &json!("approved"), &json!("ada"))
    );
    for (args, says) in [
        (&["show", &id, "--artifact", "record"][..], "no reconciled.record yet"),
        (&["show", &id, "--artifact", "flow"], "yet"),
    ] {
        bench.run(args).code(2).says(says);
    }
    for event in bench.events(&id, "") {
        assert!(
            ["engagement", "seq", "at", "actor", "kind", "body", "prev", "hash"]
                .iter()
                .all(|name| !event[name].is_null())
        );
    }
    assert!(bench.events(&id, "approval").iter().all(|event| event["kind"].as_str().unwrap().starts_with("approval.")));
    assert_eq!(bench.events(&id, "nothing"), Vec::<Value>::new());
    let blueprints = bench.json(&["blueprints"]);
    let names: Vec<_> = blueprints.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["address", "dns", "vlan"]);
    let tools = bench.json(&["tools", "list"]);
    assert_eq!(tools.as_array().unwrap().len(), 12);
    assert!(tools.as_array().unwrap().iter().all(|tool| tool["pinned"] == true && tool["simulated"] == true));
    let lab = bench.json(&["lab", "show"]);
    assert_eq!((&lab["simulated"], &lab["faults"]), (&json!(true), &json!([])));
    let verified = bench.json(&["verify", &id]);
    assert_eq!((&verified["ok"], &verified["events"]), (&json!(true), &bench.json(&["show", &id])["events"]));
}

#[test]
fn an_error_for_a_program_goes_to_standard_error_and_leaves_standard_output_empty() {
    let bench = Bench::new();
    for args in
        [&["show", "zzzzz", "--json"][..], &["request", "--blueprint", "x", "--json"], &["approve", "zzzzz", "--json"]]
    {
        let answer = bench.run(args).code(2);
        assert!(answer.out.is_empty() && answer.err.starts_with("{\"error\":{\"code\":2,"), "{args:?}");
    }
}

#[test]
fn a_pipe_gets_plain_text_and_a_reader_who_leaves_is_no_error() {
    let bench = Bench::new();
    let id = bench.request_one();
    let plain = |answer: &Answer| assert!(!answer.out.contains('\u{1b}') && !answer.err.contains('\u{1b}'));
    plain(&bench.run(&["run", &id]).code(3));
    plain(&bench.run(&["show", &id]).code(0));
    plain(&bench.run(&["list"]).code(0));
    let mut no_colour = command(&bench.root);
    no_colour.args(["show", &id]).env("NO_COLOR", "1");
    plain(&finish(no_colour).code(0));
    let script =
        format!("'{}' log {id} | head -1 >/dev/null; echo ${{PIPESTATUS[0]}}", crate::bench::program().display());
    let mut shell = std::process::Command::new("bash");
    shell.current_dir(&bench.root).args(["-c", &script]);
    assert_eq!(finish(shell).code(0).out.trim(), "0");
}

#[test]
fn a_gate_shows_what_would_be_done_and_to_what() {
    let bench = Bench::new();
    let id =
        bench.request(&["--blueprint", "vlan", "--set", "id=120", "--set", "name=guest", "--set", "ticket=CHG0031337"]);
    let shown = bench.run(&["run", &id]).code(3);
    for part in ["CHG0031337", "120", "guest", "sw01", "sw04", "ada"] {
        assert!(shown.out.contains(part), "`{part}` is not in\n{}", shown.out);
    }
    assert!(shown.out.contains(&format!("countersign approve {id}")), "{}", shown.out);
    assert!(bench.run(&["show", &id]).code(0).out.contains("CHG0031337"));
    bench.approve(&id);
    let shown = bench.run(&["run", &id]).code(3);
    for part in ["120", "guest", "sw01", "vlan.delete"] {
        let words = if part == "vlan.delete" { "delete VLAN 120" } else { part };
        assert!(shown.out.contains(words), "`{words}` is not in\n{}", shown.out);
    }
    let wide = |line: &str| !line.starts_with("Next:") && line.chars().count() > 100;
    assert!(!shown.out.lines().any(wide), "{}", shown.out);
}

#[test]
fn the_workspace_is_found_from_a_folder_below_it_and_by_name() {
    let bench = Bench::new();
    let id = bench.request_one();
    assert_eq!(run_in(&bench.root.join("prompts/blueprints"), &["list", "--json"]).code(0).json()[0]["id"], json!(id));
    let elsewhere = tempfile::tempdir().unwrap();
    let root = bench.root.to_str().unwrap();
    run_in(elsewhere.path(), &["--workspace", root, "run", &id]).code(3);
    run_in(elsewhere.path(), &["run", &id, "--workspace", root]).code(3);
    // What an error says to type can be typed.
    let told = run_in(elsewhere.path(), &["--workspace", root, "--as", "ada", "approve", &id]);
    let line = told.err.lines().find(|line| line.contains(" approve ")).unwrap_or_else(|| panic!("{}", told.err));
    let command = line.split_once("countersign ").unwrap().1.split(", or ").next().unwrap();
    assert_eq!(command.matches("--workspace").count(), 1, "{}", told.err);
    run_in(elsewhere.path(), &command.split_whitespace().collect::<Vec<_>>()).code(0);
}

#[test]
fn init_lays_out_a_workspace_that_runs_and_keeps_its_state_out_of_git() {
    let home = tempfile::tempdir().unwrap();
    let answer = run_in(home.path(), &["init", "a network", "--as", "Zoë \"Z\" O'Neil"]).code(0);
    assert!(answer.out.contains("countersign blueprints"), "{}", answer.out);
    let root = home.path().join("a network");
    assert!(std::fs::read_to_string(root.join(".gitignore")).unwrap().contains("/.countersign/"));
    let id =
        run_in(&root, &["request", "--blueprint", "dns", "--set", "name=a", "--set", "address=192.0.2.9", "--json"]);
    let id = id.code(0).json()["engagement"].as_str().unwrap().to_owned();
    let asked = run_in(&root, &["run", &id, "--json"]).code(3).json();
    let digest = asked["question_digest"].as_str().unwrap();
    run_in(&root, &["approve", &id, "--digest", digest]).code(0).shows("Zoë");
    run_in(&root, &["run", &id]).code(3);
    run_in(home.path(), &["init", "a network"]).code(2).says("not empty");
}

#[test]
fn the_demo_shows_the_main_job_and_an_attempt_that_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("demo");
    let answer = run_in(home.path(), &["demo", "--yes", dir.to_str().unwrap()]).code(0);
    for part in ["simulated", "refused", "outside", "VLAN 10", "countersign verify", "The chain holds", "--yes"] {
        assert!(answer.out.contains(part), "`{part}` is not in\n{}", answer.out);
    }
    assert!(!answer.out.contains("does NOT hold"));
    let list = run_in(&dir, &["list", "--json"]).code(0).json();
    assert_eq!(list[0]["status"]["outcome"], "done");
    let id = list[0]["id"].as_str().unwrap();
    let refused = run_in(&dir, &["log", id, "--kind", "call.refused", "--json"]).code(0).json();
    assert_eq!(refused.as_array().unwrap().len(), 1);
    assert_eq!(refused[0]["body"]["tool"], "vlan.delete");
    run_in(&dir, &["verify", id]).code(0);
    run_in(home.path(), &["demo", "--yes", dir.to_str().unwrap()]).code(2).says("not empty");
    run_in(home.path(), &["demo", "--json"]).code(2);
    // Without --yes and without a terminal nobody answers, so it waits.
    let other = home.path().join("other");
    let answer = run_in(home.path(), &["demo", other.to_str().unwrap()]).code(3);
    assert!(answer.out.contains("The demo waits."), "{}", answer.out);
}

#[test]
fn running_all_goes_on_where_one_is_locked_and_answers_with_an_array() {
    let bench = Bench::new();
    let (first, second) =
        (bench.request_vlan(), bench.request(&["--blueprint", "dns", "--set", "name=a", "--set", "address=192.0.2.9"]));
    let claims = bench.root.join(".countersign/claims");
    std::fs::create_dir_all(&claims).unwrap();
    let lock = std::fs::File::create(claims.join(format!("{first}.lock"))).unwrap();
    lock.lock().unwrap();
    let answer = bench.run(&["run", "--json"]).code(1);
    let error: serde_json::Value = serde_json::from_str(&answer.err).unwrap();
    assert_eq!(error["error"]["code"], 1);
    assert!(error["error"]["message"].as_str().unwrap().contains(&first), "{error}");
    let answers = answer.json();
    assert_eq!((answers.as_array().unwrap().len(), &answers[0]["engagement"]), (1, &json!(second)));
    drop(lock);
    assert_eq!(bench.run(&["run", "--json"]).code(3).json().as_array().unwrap().len(), 2);
    assert!(bench.drive(&first, 3).is_object());
    assert_eq!(Bench::new().run(&["run", "--json"]).code(0).json(), json!([]));
}

#[test]
fn the_lab_answers_programs_and_counts_in_words() {
    let bench = Bench::new();
    assert_eq!(bench.json(&["lab", "fault", "lie:vlan.create@sw03"])["faults"], json!(["lie:vlan.create@sw03"]));
    bench.run(&["lab", "fault", "error:vlan.rename"]).code(0).shows("2 faults are on");
    bench.run(&["lab", "fault", "--clear"]).code(0).shows("No faults are on");
    bench.run(&["lab", "fault", "error:vlan.rename"]).code(0).shows("1 fault is on");
    assert_eq!(bench.json(&["lab", "reset"])["reset"], true);
}

#[test]
fn what_needs_a_terminal_says_so_and_columns_are_honoured() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.drive(&id, 3);
    bench.run(&["edit", &id]).code(2).says("--file FILE").says(&format!("countersign show {id} --artifact spec"));
    bench.run(&["log", &id, "--kind", "bogus"]).code(0).shows("No event's kind begins with `bogus`");
    let widest = |columns: &str| {
        let mut show = crate::bench::command(&bench.root);
        show.args(["show", &id]).env("COLUMNS", columns);
        let shown = crate::bench::finish(show).code(0).out;
        shown
            .split("GATE 1")
            .nth(1)
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with("Next:"))
            .map(|line| line.chars().count())
            .max()
            .unwrap()
    };
    assert!(widest("70") < widest("120"));
}

#[test]
fn an_id_that_was_left_empty_stands_for_nothing() {
    let bench = Bench::new();
    bench.request_vlan();
    for id in ["", " "] {
        bench.run(&["cancel", id, "--reason", "a variable that was not set"]).code(2).says("an empty id stands for no");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let bench = Bench::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = command(&bench.root).args(["keys", "show"]).stdout(full).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("the answer could not be written to standard output"), "{said}");
    // What it did is done, and is said where it can be.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let one = ["request", "--blueprint", "vlan", "--set", "id=120", "--set", "name=guest", "--set", "switches=sw01"];
    let done = command(&bench.root).args(one).stdout(full).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    let [line] = &bench.list()[..] else { panic!("filed more than once") };
    assert!(said.contains(line["id"].as_str().unwrap()) && said.contains("what was done is done"), "{said}");
}

#[test]
fn a_limit_of_the_process_is_named_and_is_no_panic() {
    let bench = Bench::new();
    let id = bench.request_one();
    let within = |limit: &str, args: &[&str]| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]).arg(crate::bench::program()).args(args);
        shell.current_dir(&bench.root).env_remove("RUST_BACKTRACE");
        let answer = crate::bench::finish(shell);
        assert!(!answer.err.contains("panicked"), "{limit}: {}", answer.err);
        answer
    };
    for files in [4, 6, 8, 12, 20, 63] {
        within(&format!("-n {files}"), &["show", &id]).code(1).says(&format!("may open {files} files, and needs 64"));
        within(&format!("-S -n {files}"), &["show", &id]).code(0);
    }
    // A file that may not grow is an error, as a full disk is, and the command says so itself.
    let copy = bench.outside("copy.db");
    within("-f 8", &["backup", copy.to_str().unwrap()]).code(1).says("error: ");
    assert!(!copy.exists());
}

#[test]
fn only_an_owner_makes_a_new_key_and_nobody_stands_twice() {
    let bench = Bench::new();
    bench.people(&[("bob", "requester")]);
    bench.run(&["keys", "rotate", "--as", "bob"]).code(4).says("needs the role `owner`");
    bench.people(&[("bob", "owner")]);
    bench.run(&["policy", "check"]).code(2).says("the person `bob` stands twice");
}

#[test]
fn a_step_that_is_not_destructive_is_not_ticked() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.to_gate2(&id);
    bench.approving(&id, &["--tick", "create/sw01"]).code(2).says("nothing to tick").says("--only");
    assert_eq!(bench.drive(&id, 3)["status"]["about"], "gate2");
}
