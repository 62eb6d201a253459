//! On a terminal: `run` asks at its gates and goes on; no answer leaves it waiting.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    bench::{Answer, Bench, program},
    talk::Talk,
};

/// A command on a terminal of its own. The shell that `script` starts gives way to the program, or Ctrl-C would end the
/// shell as well; which shell that is does not depend on who runs the tests.
pub fn on_a_terminal(bench: &Bench, args: &str) -> Command {
    on_a_terminal_after(bench, ":", args)
}

/// The same, once the shell has done something first.
fn on_a_terminal_after(bench: &Bench, first: &str, args: &str) -> Command {
    let line = format!("{first}; exec '{}' {args}", program().display());
    let mut script = Command::new("script");
    script.current_dir(&bench.root).args(["-qefc", &line, "/dev/null"]);
    script.env("SHELL", "/bin/sh").env("TERM", "xterm").env_remove("NO_COLOR");
    script
}

/// Whether what is shown ends with a question.
fn asks(shown: &str) -> bool {
    let line = shown.rsplit(['\n', '\r']).next().unwrap_or_default();
    !line.starts_with(' ') && [") ", "? ", ": "].iter().any(|end| line.ends_with(end))
}

/// Runs a command on a terminal of its own, typing these lines, each when something is asked.
pub fn typed(bench: &Bench, args: &str, lines: &str, editor: Option<&str>) -> Answer {
    let mut script = on_a_terminal(bench, args);
    script.env_remove("COUNTERSIGN_KEY").env_remove("SSH_AUTH_SOCK");
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match editor {
        Some(editor) => script.env("EDITOR", editor).env_remove("VISUAL"),
        None => script.env_remove("EDITOR"),
    };
    let mut child = script.spawn().expect("`script` gives a test its terminal");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let shown = Arc::new(Mutex::new(String::new()));
    let showing = Arc::clone(&shown);
    let reading = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = stdout.read(&mut bytes) {
            showing.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    });
    let ended = Arc::new(());
    let ending = Arc::clone(&ended);
    let lines: Vec<String> = lines.split_inclusive('\n').map(str::to_owned).collect();
    let seen = Arc::clone(&shown);
    // Each line is typed when something is asked. The terminal is kept open until the program ends; it must not see the
    // end of the input before it has asked.
    let typing = std::thread::spawn(move || {
        let mut answered = 0;
        for line in lines {
            loop {
                let before = seen.lock().unwrap().len();
                std::thread::sleep(Duration::from_millis(40));
                let seen = seen.lock().unwrap();
                if Arc::strong_count(&ending) == 1 {
                    return stdin;
                }
                if before == seen.len() && before > answered && asks(&seen) {
                    answered = before;
                    break;
                }
            }
            if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                break;
            }
        }
        stdin
    });
    let (done, waited) = std::sync::mpsc::channel();
    let pid = child.id();
    std::thread::spawn(move || {
        if waited.recv_timeout(Duration::from_secs(60)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    drop(ended);
    reading.join().unwrap();
    drop(typing.join());
    let out = shown.lock().unwrap().clone();
    Answer { code: output.status.code().unwrap_or(-1), out, err: String::from_utf8_lossy(&output.stderr).into_owned() }
}

#[test]
fn no_answer_is_no() {
    let bench = Bench::new();
    let id = bench.request_one();
    for lines in ["\n", "\u{4}", "x\nyes\n\n"] {
        let answer = typed(&bench, &format!("run {id}"), lines, None).code(3).shows("leave it waiting");
        assert_eq!(answer.out.contains("please answer a, r, e or d"), lines.starts_with('x'), "{}", answer.out);
        assert!(answer.out.contains("[a]pprove [r]eject [e]dit [d]iff"), "{}", answer.out);
    }
    // The screen and the question say the same, and `?` says what each choice means.
    let answer = typed(&bench, &format!("run {id}"), "?\n\n", None).code(3);
    for shown in [
        "Without an answer it waits; nothing is approved.",
        "[d]iff [?] (default: leave it waiting)",
        "  a      this much may be done, and nothing else",
        "  r      no; you are asked why",
        "  e      change the draft in your editor",
        "  d      show what changed since the version that was shown last",
        "  Enter  leave it waiting; nothing is approved",
    ] {
        assert!(answer.out.contains(shown), "`{shown}` is not in {}", answer.out);
    }
    assert!(bench.events(&id, "approval.answered").is_empty());
    let answer = typed(&bench, &format!("run {id} --no-input"), "a\n", None).code(3);
    assert!(!answer.out.contains("[a]pprove"), "{}", answer.out);
    typed(&bench, &format!("run {id} --json"), "a\n", None).code(3);
    assert!(bench.events(&id, "approval.answered").is_empty());
}

#[test]
fn what_was_typed_before_a_gate_was_shown_does_not_answer_it() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    // The keys are in the terminal, which echoes them, before the program starts.
    let begin = bench.outside("begin");
    let wait = format!("until [ -e '{}' ]; do sleep 0.05; done", begin.display());
    let mut talk = Talk::of(on_a_terminal_after(&bench, &wait, &format!("run {id}")));
    talk.types("a\na\na\n");
    talk.hears("a\r\na\r\na\r\n");
    std::fs::write(&begin, "").unwrap();
    talk.hears("[a]pprove [r]eject");
    talk.types("\n");
    talk.ends(3);
    assert!(bench.events(&id, "approval.answered").is_empty());
    // Nor does what is typed at one gate answer the next one.
    let mut talk = Talk::new(&bench, &format!("run {id}"));
    talk.hears("[a]pprove [r]eject");
    talk.types("a\na\n");
    talk.hears("GATE 2");
    talk.hears("[a]pprove [s]ome");
    talk.types("\n");
    talk.ends(3);
    assert_eq!(bench.events(&id, "approval.answered").len(), 1);
    assert_eq!(bench.writes(), [""; 0]);
    // Nor a question that is asked of a command.
    std::fs::remove_file(&begin).unwrap();
    let mut talk = Talk::of(on_a_terminal_after(&bench, &wait, &format!("approve {id}")));
    talk.types("y\n");
    talk.hears("y\r\n");
    std::fs::write(&begin, "").unwrap();
    talk.hears("[a]pprove [?] (default: leave it waiting)");
    for (typed, heard) in [("?\n", "To say no: countersign reject"), ("yes please\n", "please type a, or Enter")] {
        talk.types(typed);
        talk.hears(heard);
        talk.hears("[a]pprove [?] (default: leave it waiting)");
    }
    talk.types("\n");
    talk.ends(3);
    assert_eq!(bench.events(&id, "approval.answered").len(), 1);
    bench.holds(&id);
}

#[test]
fn a_yes_at_each_gate_goes_on_to_the_end() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    let answer = typed(&bench, &format!("run {id}"), "d\na\na\n", None).code(0);
    let answer = answer.shows("No earlier version was shown");
    assert!(!answer.out.contains("kind: spec"), "{}", answer.out);
    assert_eq!(bench.vlan("120"), ["guest"; 4]);
    assert_eq!(bench.events(&id, "approval.answered").len(), 2);
    bench.holds(&id);
}

#[test]
fn a_no_needs_a_reason_on_a_terminal_too() {
    let bench = Bench::new();
    let id = bench.request_one();
    typed(&bench, &format!("run {id}"), "r\n\nr\nVLAN 120 is taken\n\n", None).code(3);
    let answered = bench.events(&id, "approval.answered");
    assert_eq!(answered.len(), 1);
    assert_eq!(answered[0]["body"]["reason"], "VLAN 120 is taken");
}

#[test]
fn a_draft_is_edited_in_the_persons_editor() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    // An editor that leaves the file as it is; one that breaks it; one that takes a switch off.
    bench.drive(&id, 3);
    let answer = typed(&bench, &format!("run {id}"), "e\n\n", Some("true")).code(3);
    assert!(answer.out.contains("[a]pprove"), "{}", answer.out);
    let broken = typed(&bench, &format!("edit {id}"), "\n", Some("sed -i s/^title:/tilte:/")).code(2);
    assert!(broken.out.contains("spec.yaml:") && broken.out.contains("your text is in"), "{}", broken.out);
    typed(&bench, &format!("edit {id}"), "", Some("false")).code(1);
    typed(&bench, &format!("edit {id}"), "", Some("/nonexistent/editor")).code(2);
    assert_eq!(bench.events(&id, "artifact.filed").len(), 1);
    typed(&bench, &format!("run {id}"), "e\nd\na\na\n", Some("sed -i /-.sw04/d")).code(0);
    assert_eq!(bench.vlan("120")[3], serde_json::Value::Null);
    assert_eq!(bench.vlan("120")[2], "guest");
    bench.holds(&id);
}

#[test]
fn a_destructive_call_is_ticked_by_a_yes_of_its_own() {
    let bench = Bench::new();
    let design = format!(
        "{}acceptance: {{A1: [create]}}\n",
        crate::written::DESIGN.split_once("acceptance").unwrap().0.to_owned()
            + "  - {id: remove, tool: vlan.delete, needs: [create], with: {switch: sw01, id: 20}}\n"
    );
    let id = bench.request_written(crate::written::SPEC, &design);
    let answer = typed(&bench, &format!("run {id}"), "a\na\ny\n", None).code(0);
    assert!(answer.out.contains("destructive: delete VLAN 20 from sw01"), "{}", answer.out);
    assert_eq!(bench.vlan("20")[0], serde_json::Value::Null);
    bench.holds(&id);
    // No yes to it: it is asked about when it is reached, and no answer is no there too.
    let bench = Bench::new();
    let id = bench.request_written(crate::written::SPEC, &design);
    typed(&bench, &format!("run {id}"), "a\na\n\n\n", None).code(3);
    assert_eq!(bench.vlan("20")[0], "voice");
}

#[test]
fn a_form_asks_for_what_is_missing_and_says_what_does_not_fit() {
    let bench = Bench::new();
    let answer = typed(&bench, "request --blueprint vlan", "5000\n120\nguest room\nguest\n", None).code(0);
    assert!(answer.out.contains("Which VLAN id?") && answer.out.contains("4094"), "{}", answer.out);
    let id = bench.list()[0]["id"].as_str().unwrap().to_owned();
    bench.drive(&id, 3);
    assert_eq!(bench.artifact(&id, "spec")["inputs"]["name"], "guest");
    typed(&bench, "request --blueprint vlan", "120\n\u{4}", None).code(2);
    assert_eq!(bench.list().len(), 1);
}

#[test]
fn the_demo_asks_at_its_gates() {
    let bench = Bench::new();
    let dir = bench.outside("demo");
    let answer = typed(&bench, &format!("demo '{}'", dir.display()), "a\na\n", None).code(0);
    assert!(answer.out.contains("simulated") && answer.out.contains("The chain holds"), "{}", answer.out);
}

#[test]
fn approve_shows_what_is_asked_and_takes_no_answer_for_a_no() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.drive(&id, 3);
    for lines in ["\n", "\u{4}", "maybe\n\n"] {
        typed(&bench, &format!("approve {id}"), lines, None).code(3).shows("GATE 1").shows("still waits");
    }
    assert!(bench.events(&id, "approval.answered").is_empty());
    typed(&bench, &format!("approve {id}"), "a\n", None)
        .code(0)
        .shows("Create VLAN 120 guest")
        .shows("countersign run");
    assert_eq!(bench.events(&id, "approval.answered").len(), 1);
}

#[test]
fn ctrl_c_at_a_question_ends_the_command_and_says_that_nothing_was_done() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    let mut talk = Talk::new(&bench, &format!("approve {id}"));
    talk.hears("[a]pprove [?] (default: leave it waiting)");
    talk.types("\u{3}");
    talk.hears(&format!("Nothing was approved; {id} still waits."));
    talk.ends(3);
    assert!(bench.events(&id, "approval.answered").is_empty());
    std::fs::remove_file(bench.root.join("tools/pins.yaml")).unwrap();
    let mut talk = Talk::new(&bench, "tools pin");
    talk.hears("pin this?");
    talk.types("\u{3}");
    talk.hears("Nothing was pinned.");
    talk.ends(3);
    assert!(!bench.root.join("tools/pins.yaml").exists());
    let dir = bench.outside("demo");
    let mut talk = Talk::new(&bench, &format!("demo '{}'", dir.display()));
    talk.hears("[a]pprove [r]eject");
    talk.types("\u{3}");
    talk.hears(&format!("Nothing is lost. Next: countersign --workspace {} run ", dir.display()));
    talk.ends(3);
}

#[test]
fn lists_and_notes_are_as_wide_as_the_terminal_and_whole_in_a_pipe() {
    let bench = Bench::new();
    let id = bench.request_vlan();
    bench.to_gate2(&id);
    let inventory = bench.read("policies/inventory.yaml");
    bench.write(
        "policies/inventory.yaml",
        &inventory.replace("tags: [access]", "tags: [access, moved-to-another-room]"),
    );
    bench.run(&["run", &id]).code(3);
    let piped = bench.run(&["list"]).code(0).shows("asked anew: ");
    let reasons = piped.out.split_once("asked anew: ").unwrap().1.chars().take(60).collect::<String>();
    bench.run(&["inbox"]).code(0).shows(&reasons);
    for columns in ["60", "90"] {
        let width = columns.parse().unwrap();
        for command in ["list", "inbox", "blueprints", "policy check", "tools list"] {
            let mut script = on_a_terminal(&bench, command);
            script.env("COLUMNS", columns).stdin(Stdio::null());
            let shown = String::from_utf8(script.output().unwrap().stdout).unwrap();
            let long = shown.lines().filter(|line| !line.contains("countersign request"));
            for line in long {
                assert!(line.trim_end().chars().count() <= width, "{command} at {columns}: {line}");
            }
            assert!(!shown.contains("asked anew: "), "{shown}");
        }
    }
}
