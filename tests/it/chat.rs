//! A conversation: from a pipe, one answer a line; on a terminal, word by word. Nothing that is said in it approves.

use std::{process::Command, time::Duration};

use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use crate::{
    bench::{Answer, Bench, command, program},
    talk::Talk,
};

/// Runs a conversation with these lines from a pipe.
fn piped(bench: &Bench, args: &[&str], lines: &str) -> Answer {
    let mut command = command(&bench.root);
    command.arg("chat").args(args);
    let mut command = assert_cmd::Command::from_std(command);
    let output = command.timeout(Duration::from_secs(90)).write_stdin(lines).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// The only engagement there is.
#[track_caller]
fn only(bench: &Bench) -> String {
    let list = bench.list();
    assert_eq!(list.len(), 1, "{list:?}");
    list[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn each_shipped_blueprint_is_asked_for_line_by_line() {
    for (lines, inputs, planned, title) in [
        (
            "vlan\n120\nguest\nsw02, sw01\nCHG1\n",
            json!({"id": 120, "name": "guest", "switches": ["sw02", "sw01"], "ticket": "CHG1"}),
            "create: create VLAN 120 named guest on each of sw02, sw01",
            "Create VLAN 120 guest",
        ),
        (
            "web01 should resolve to 192.0.2.10, an A record\n\nweb01\n192.0.2.10\n\n\n",
            json!({"zone": "corp.example.com", "name": "web01", "address": "192.0.2.10", "ttl": 3600, "ticket": ""}),
            "publish: create the A record web01 for 192.0.2.10 in corp.example.com with a TTL of 3600 seconds",
            "Publish web01.corp.example.com",
        ),
        (
            "Allocate an address for a new server\n\n\nweb01\n300\n\n",
            json!({"prefix": "192.0.2.0/24", "zone": "corp.example.com", "name": "web01", "ttl": 300, "ticket": ""}),
            "allocate: allocate the lowest free address of 192.0.2.0/24 to web01",
            "Allocate an address for web01.corp.example.com",
        ),
    ] {
        let bench = Bench::new();
        let answer = piped(&bench, &[], lines).code(3);
        let id = only(&bench);
        for shown in ["DRAFT: nothing is filed yet", title, planned, "GATE 1", &format!("countersign approve {id}")] {
            assert!(answer.out.contains(shown), "`{shown}` is not in\n{}", answer.out);
        }
        assert_eq!(bench.artifact(&id, "spec")["inputs"], inputs);
        assert_eq!(bench.writes(), [""; 0]);
        assert_eq!(bench.yes_to_all(&id).0, 0);
        bench.holds(&id);
        piped(&bench, &[&id], "").code(0).shows("countersign export");
    }
}

#[test]
fn an_answer_that_does_not_fit_ends_a_script_with_its_place() {
    let bench = Bench::new();
    for (args, lines, says) in [
        (&[] as &[&str], "vlan\n5000\n", "standard input:2: `id`: 5000 is not a VLAN id"),
        (&[], "vlan\n120\nguest\nsw01,sw77\n", "standard input:4: `switches`: the inventory has no target `sw77`"),
        (&[], "vlan\n\n", "standard input:2: `id`: an answer is needed here"),
        (
            &[],
            "?\nreboot everything\n",
            "standard input:2: no blueprint speaks of any of these words; there are address, dns, vlan",
        ),
        (&["--text", "reboot everything"], "", "--text: no blueprint speaks"),
        (
            &["--blueprint", "dns"],
            "corp.example.com\nweb.01\n",
            "standard input:2: `name`: `web.01` is not a DNS label",
        ),
        (&["--blueprint", "dns", "--set", "ttl=1"], "", "input `ttl`: 1 is out of range"),
        (
            &["--blueprint", "dns"],
            "other.example.com\nweb01\n192.0.2.1\n\n\n",
            "input `zone`: the inventory has no target `other.example.com`",
        ),
        (&["--blueprint", "nothing"], "", "there is no blueprint `nothing`"),
        (&["zzzzz"], "", "there is no engagement `zzzzz`"),
        (&["--json"], "", "countersign request --json"),
    ] {
        piped(&bench, args, lines).code(2).says(says);
    }
    let mut bytes = command(&bench.root);
    bytes.args(["chat", "--blueprint", "dns"]);
    let output = assert_cmd::Command::from_std(bytes).write_stdin(vec![0xff, b'\n']).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard input:1: the line is not UTF-8"));
    assert!(bench.list().is_empty());
}

#[test]
fn what_was_answered_before_the_input_ends_is_not_lost() {
    let bench = Bench::new();
    let answers = ["dns", "", "web01", "192.0.2.10", "300", "it's for me"];
    for end in 1..answers.len() {
        let lines: String = answers[..end].iter().map(|line| format!("{line}\n")).collect();
        let ended = piped(&bench, &[], &lines).code(2).says("so nothing is filed");
        let said = ended.err.lines().find_map(|line| line.trim().strip_prefix("countersign chat ")).unwrap();
        // What stood in brackets and was taken is asked again; everything else is not.
        let mut rest: Vec<&str> = answers[end..].to_vec();
        if end > 1 {
            rest.insert(0, "");
        }
        let line = format!("'{}' chat {said}", program().display());
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(&bench.root).env("CVC5", "/nowhere/cvc5");
        let lines: String = rest.iter().map(|line| format!("{line}\n")).collect();
        let output = assert_cmd::Command::from_std(shell).write_stdin(lines).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let inputs: Vec<Value> = bench
        .list()
        .iter()
        .map(|summary| bench.artifact(summary["id"].as_str().unwrap(), "spec")["inputs"].clone())
        .collect();
    let expected = json!({"zone": "corp.example.com", "name": "web01", "address": "192.0.2.10", "ttl": 300, "ticket": "it's for me"});
    assert_eq!(inputs, vec![expected; answers.len() - 1]);
    piped(&bench, &[], "").code(2).says("nothing was asked for");
}

#[test]
fn a_script_goes_back_and_asks_for_help_like_a_person() {
    let bench = Bench::new();
    let lines = "publish web01\n2\nback\nname a zone\n?\nvlan\n?\n120\nback\n121\nguest\nsw01\n\n";
    let answer = piped(&bench, &[], lines).code(3);
    for shown in ["Which one?", "1  address", "2  dns", "a VLAN id from 2 to 4094", "vlan: Create a VLAN"] {
        assert!(answer.out.contains(shown), "`{shown}` is not in\n{}", answer.out);
    }
    assert_eq!(bench.artifact(&only(&bench), "spec")["inputs"]["id"], 121);
}

#[test]
fn nothing_from_a_pipe_approves() {
    let bench = Bench::new();
    // As an answer it is a name like any other; after the last answer it is not read.
    let more = "approve\na\ny\nyes\napprove 00000000\n";
    piped(&bench, &[], &format!("dns\n\napprove\n192.0.2.10\n\n\n{more}")).code(3).shows("GATE 1");
    let id = only(&bench);
    assert_eq!(bench.artifact(&id, "spec")["inputs"]["name"], "approve");
    let digest = bench.question(&id).replace("sha256:", "");
    for line in [format!("approve {}", &digest[..8]), format!("approve {digest}"), "a".into(), "yes".into()] {
        piped(&bench, &[&id], &format!("{line}\n{line}\n")).code(3).shows("asked by").shows("GATE 1");
    }
    assert!(bench.events(&id, "approval.answered").is_empty());
    assert_eq!(bench.writes(), [""; 0]);
}

#[test]
fn an_engagement_is_taken_up_again_by_whoever_has_the_ledger() {
    let bench = Bench::new();
    bench.people(&[("bob", "approver")]);
    let id = bench.request_vlan();
    let answer = piped(&bench, &[&id[..3], "--as", "bob"], "").code(3);
    for shown in ["Create VLAN 120 guest", "asked by   ada", "requirements", "GATE 1"] {
        assert!(answer.out.contains(shown), "`{shown}` is not in\n{}", answer.out);
    }
    bench.approve(&id);
    piped(&bench, &[&id], "").code(3).shows("GATE 2").shows("countersign approve");
    bench.approve(&id);
    piped(&bench, &[&id], "").code(0).shows("4 of 4 targets done");
    bench.holds(&id);
}

/// The first digits of the digest that a gate shows.
fn digits(question: &str) -> String {
    question.rsplit_once("`approve ").unwrap().1.chars().take(8).collect()
}

#[test]
fn a_conversation_goes_from_words_to_a_record() {
    let bench = Bench::new();
    let mut talk = Talk::new(&bench, "chat");
    talk.answers("What is to be done?", "guests need a \\");
    talk.hears(". ");
    talk.types("VLAN\r");
    talk.answers("Which VLAN id?", "5000");
    talk.hears("5000 is not a VLAN id");
    talk.answers("Which VLAN id?", "?");
    talk.hears("from 2 to 4094");
    talk.answers("Which VLAN id?", "119");
    talk.hears("Create VLAN 119 …");
    talk.answers("What is the VLAN called?", "back");
    talk.answers("Which VLAN id? [119]", "120");
    talk.answers("What is the VLAN called?", "guest");
    talk.answers("On which switches?", "sw01");
    talk.answers("Which ticket", "");
    talk.hears("DRAFT: nothing is filed yet");
    // Approving is not something that is said here.
    talk.answers("[f]ile it", "approve");
    talk.hears("approving comes later");
    assert!(bench.list().is_empty());
    talk.answers("[f]ile it", "");
    let question = talk.hears(" to approve what is shown");
    assert!(question.contains("GATE 1"), "{question}");
    let gate1 = digits(&question);
    for no in ["a", "yes", "approve", "approve 00000000", "approve it", "y"] {
        talk.types(&format!("{no}\r"));
        talk.hears(&format!("type `approve {gate1}`"));
        talk.hears(" to approve what is shown");
    }
    let id = only(&bench);
    assert!(bench.events(&id, "approval.answered").is_empty());
    assert!(bench.question(&id).starts_with(&format!("sha256:{gate1}")));
    talk.types(&format!("approve {gate1}\r"));
    let question = talk.hears(" to approve what is shown");
    let gate2 = digits(&question);
    assert!(question.contains("GATE 2") && gate2 != gate1, "{question}");
    talk.types(&format!("approve {gate1}\r"));
    talk.hears(&format!("type `approve {gate2}`"));
    // What is typed before it is asked for is not taken.
    talk.hears(" to approve what is shown");
    talk.types(&format!("approve {gate2}\r"));
    let heard = talk.ends(0);
    assert!(heard.contains("1 of 1 target done"), "{heard}");
    assert_eq!(bench.events(&id, "approval.answered").len(), 2);
    bench.holds(&id);
}

#[test]
fn an_answer_that_only_the_inventory_refuses_is_asked_again() {
    let bench = Bench::new();
    let mut talk = Talk::new(&bench, "chat --blueprint dns --set name=web01 --set address=192.0.2.10 --set ttl=60");
    talk.answers("In which zone?", "back");
    talk.hears("this is the first question");
    talk.answers("In which zone?", "other.example.com");
    talk.answers("Which ticket", "");
    talk.answers("[f]ile it", "b");
    talk.answers("Which ticket", "CHG7");
    talk.answers("[f]ile it", "f");
    talk.hears("the inventory has no target `other.example.com`");
    talk.answers("In which zone? [other.example.com]", "corp.example.com");
    talk.answers("Which ticket is this for, if any? [CHG7]", "");
    talk.answers("[f]ile it", "");
    talk.hears(" to approve what is shown");
    talk.types("\r");
    talk.ends(3);
    assert_eq!(bench.artifact(&only(&bench), "spec")["refs"], json!(["CHG7"]));
}

#[test]
fn whoever_may_not_approve_is_told_who_may_and_not_asked() {
    let bench = Bench::new();
    bench.people(&[("rita", "requester")]);
    let mut talk =
        Talk::new(&bench, "chat --as rita --blueprint vlan --set id=120 --set name=guest --set switches=sw01");
    talk.answers("Which ticket", "");
    talk.answers("[f]ile it", "");
    let heard = talk.ends(3);
    assert!(heard.contains("Waiting for the role `approver`: "), "{heard}");
    assert!(!heard.contains("to approve what is shown"), "{heard}");
}

#[test]
fn leaving_says_how_to_go_on() {
    let bench = Bench::new();
    let mut talk = Talk::new(&bench, "chat --blueprint vlan");
    talk.answers("Which VLAN id?", "120");
    talk.hears("What is the VLAN called?");
    talk.hears("> ");
    talk.types("gue\u{3}");
    talk.hears("Ctrl-C again leaves");
    talk.answers("What is the VLAN called?", "guest");
    talk.hears("On which switches?");
    talk.hears("> ");
    talk.types("\u{4}");
    let heard = talk.ends(2);
    assert!(heard.contains("countersign chat --blueprint vlan --set id=120 --set name=guest"), "{heard}");
    let mut talk = Talk::new(&bench, "chat --blueprint vlan --set id=120 --set name=guest --set switches=sw01");
    talk.answers("Which ticket", "");
    talk.answers("[f]ile it", "l");
    let heard = talk.ends(0);
    assert!(heard.contains("Nothing is filed"), "{heard}");
    assert!(bench.list().is_empty());
}

#[test]
fn ctrl_c_ends_the_turn_and_not_the_engagement() {
    let bench = Bench::new();
    let id = bench.request_one();
    let mut talk = Talk::new(&bench, &format!("chat {id}"));
    talk.hears(" to approve what is shown");
    talk.types("\u{3}");
    talk.hears(&format!("Nothing is lost. Next: countersign chat {id}"));
    talk.ends(3);
    let mut talk = Talk::new(&bench, &format!("run {id}"));
    talk.hears("[a]pprove");
    talk.types("\u{3}");
    talk.hears(&format!("Nothing is lost. Next: countersign run {id}"));
    talk.ends(3);
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.fault("slow:vlan.create,times=1,ms=2000");
    let mut talk = Talk::new(&bench, &format!("chat {id}"));
    // Often enough that the server has surely begun: a Ctrl-C that reached it would end the call.
    for _ in 0..10 {
        talk.hears("step create");
    }
    talk.types("\u{3}");
    talk.hears("The turn ended, the engagement did not.");
    let heard = talk.ends(3);
    // What was under way is done and written down; the rest was not begun.
    assert_eq!(bench.writes().len(), 1, "{heard}");
    assert!(bench.events(&id, "engagement.closed").is_empty());
    bench.holds(&id);
    piped(&bench, &[&id], "").code(0).shows("1 of 1 target done");
    assert_eq!(bench.writes().len(), 1);
}

/// A workspace in which scripted models draft what was asked for in words; they ask one thing first, and the spec has
/// to come after the answer.
fn drafting(answer: &str) -> Bench {
    let other = Bench::new();
    let id = other.request(&["--blueprint", "dns", "--set", "name=web01", "--set", "address=192.0.2.10"]);
    other.drive(&id, 3);
    let mut spec = other.artifact(&id, "spec");
    for written in ["request", "baseline"] {
        spec.as_object_mut().unwrap().remove(written);
    }
    let question = json!({"questions": [{"text": "Which address?", "choices": ["192.0.2.10", "192.0.2.11"]}]});
    let of = json!({"agent": "requirements", "drafting": "spec"});
    let turn = |more: Value| {
        let mut turn = of.as_object().unwrap().clone();
        turn.extend(more.as_object().unwrap().clone());
        Value::Object(turn)
    };
    let turns = [
        turn(json!({"text": "One thing is open.", "calls": [{"tool": "ask", "with": question}]})),
        turn(json!({"document": spec, "expect": ["Which address?", answer]})),
    ];
    let bench = Bench::new();
    bench.write("policies/turns.yaml", &json!({"kind": "turns", "turns": turns}).to_string());
    let role = json!({"use": [{"endpoint": "script"}]});
    let models = json!({
        "kind": "models", "endpoints": {"script": {"scripted": "turns.yaml"}},
        "roles": {"requirements": role, "design": role},
    });
    bench.write("policies/models.yaml", &models.to_string());
    bench
}

const WORDS: &str = "web01 needs a name";

#[test]
fn what_an_agent_asks_is_answered_line_by_line_and_approves_nothing() {
    for (lines, said) in [
        ("192.0.2.10\napprove\na\nyes\n", json!({"answers": {"Q1": "192.0.2.10"}})),
        ("?\nback\n192.0.2.10\n", json!({"answers": {"Q1": "192.0.2.10"}})),
        ("say 192.0.2.10, or approve it yourself\n", json!({"text": "192.0.2.10, or approve it yourself"})),
    ] {
        let bench = drafting("192.0.2.10");
        let answer = piped(&bench, &["--text", WORDS], lines).code(3);
        for shown in ["Which address? (192.0.2.10, 192.0.2.11)", "GATE 1", "countersign approve"] {
            assert!(answer.out.contains(shown), "`{shown}` is not in\n{}", answer.out);
        }
        let id = only(&bench);
        let events = bench.events(&id, "requester.said");
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["body"], said);
        assert_eq!(events[0]["actor"]["person"]["name"], "ada");
        assert!(bench.events(&id, "approval.answered").is_empty());
    }
}

#[test]
fn an_agents_question_waits_until_it_is_answered_and_a_blueprint_still_needs_no_model() {
    let bench = drafting("192.0.2.10");
    // The words may come from the pipe as well; with models they are theirs to read.
    piped(&bench, &[], &format!("{WORDS}\n")).code(3).shows("Which address?").shows("countersign chat ");
    let id = only(&bench);
    piped(&bench, &[&id], "192.0.2.99\n").code(2).says("standard input:1: `Q1`: `192.0.2.99` is not one of");
    assert!(bench.events(&id, "requester.said").is_empty());
    piped(&bench, &[&id], "192.0.2.10\n").code(3).shows("GATE 1");
    piped(&bench, &[], "vlan\n120\nguest\nsw01\n\n").code(3).shows("DRAFT").shows("GATE 1");
    // Without a model words are for nobody, but blueprints may be near them.
    let bench = Bench::new();
    let offered = bench.run(&["request", "--text", "publish web01 in DNS"]).code(2);
    for says in ["policies/models.yaml", "chat --blueprint dns (", "chat --blueprint address ("] {
        assert!(offered.err.contains(says), "{}", offered.err);
    }
    bench.run(&["request", "--text", "reboot everything"]).code(2).says("countersign blueprints");
}

#[test]
fn a_conversation_with_a_model_streams_and_asks_and_ends_at_the_gate() {
    let bench = drafting("192.0.2.10");
    let mut talk = Talk::new(&bench, "chat");
    talk.answers("What is to be done?", WORDS);
    talk.hears("  nearest   ");
    talk.hears("One thing is open.");
    talk.answers("Which address?", "192.0.2.99");
    talk.hears("is not one of");
    talk.answers("Which address?", "192.0.2.10");
    // What the model drafts is shown as it takes shape.
    talk.hears("    R1  ");
    talk.hears("    may be done with dns.record.create");
    let question = talk.hears(" to approve what is shown");
    let id = only(&bench);
    assert!(question.contains("Models of the design agent are asked at"), "{question}");
    assert!(bench.events(&id, "approval.answered").is_empty());
    let first = digits(&question);
    // What is said at the gate is heard, and the gate is asked again about what came of it.
    talk.types("say with a better title\r");
    talk.answers("Which address?", "192.0.2.10");
    let digest = digits(&talk.hears(" to approve what is shown"));
    assert_ne!(first, digest);
    assert_eq!(bench.events(&id, "requester.said")[1]["body"], json!({"text": "with a better title"}));
    assert!(bench.events(&id, "approval.answered").is_empty());
    talk.types("\r");
    talk.ends(3);
    assert!(bench.question(&id).contains(&digest));
}

#[test]
fn a_model_that_does_not_answer_is_not_waited_for() {
    let bench = drafting("192.0.2.10");
    let scripted = bench.read("policies/models.yaml");
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    let role = json!({"use": [{"endpoint": "silent", "model": "m"}]});
    let models = json!({"kind": "models", "endpoints": {"silent": {"base_url": url}},
        "roles": {"requirements": role, "design": role}});
    bench.write("policies/models.yaml", &models.to_string());
    // Whoever starts the program may have Ctrl-C blocked, and what is started inherits that.
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGINT);
    blocked.thread_block().unwrap();
    let mut talk = Talk::new(&bench, &format!("chat --text '{WORDS}'"));
    talk.hears("a model for spec.yaml");
    talk.types("\u{3}");
    talk.hears("The turn ended, the engagement did not.");
    talk.ends(3);
    let id = only(&bench);
    let turns = bench.events(&id, "model");
    let turned = &turns[0]["body"];
    assert_eq!((turns.len(), &turned["error"], &turned["endpoint"]), (1, &json!("interrupted"), &json!("silent")));
    assert!(turned["usage"]["input"].as_u64().unwrap() > 1_000 && turned["usage"]["estimated"] == true, "{turned:#}");
    bench.run(&["log", &id]).code(0).shows("no answer, interrupted, about ");
    // Nor is it where nobody converses.
    let mut talk = Talk::new(&bench, &format!("run {id}"));
    talk.hears("a model for spec.yaml");
    talk.types("\u{3}");
    talk.hears(&format!("Next: countersign run {id}"));
    talk.ends(3);
    assert_eq!(bench.events(&id, "model").len(), 2);
    bench.write("policies/models.yaml", &scripted);
    piped(&bench, &[&id], "192.0.2.10\n").code(3).shows("GATE 1");
    bench.holds(&id);
}
