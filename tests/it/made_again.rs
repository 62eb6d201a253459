//! `verify` works out again what lies beside a chain: what was drafted, read, answered by a model and settled. Each document
//! that says otherwise is found though every digest and every link holds.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{
    bench::{Bench, run_in},
    build_agent::filled_in,
    failed_step::put_right,
    found::built_on_what_was_found,
    rules_again::{rechain, rewrite},
};

/// What it is called, which documents become otherwise, how, and what is found.
type Forgery<'a> = (&'a str, fn(&Value) -> bool, fn(&mut Value), &'a str);

/// An engagement in a folder of its own, and what `verify` finds there.
struct Exported {
    folder: PathBuf,
}

impl Exported {
    fn of(bench: &Bench, id: &str) -> Self {
        let folder = bench.outside("exported");
        bench.run(&["export", id, folder.to_str().unwrap()]).code(0);
        Self { folder }
    }

    fn verify(&self) -> String {
        run_in(self.folder.parent().unwrap(), &["verify", self.folder.to_str().unwrap()]).out
    }

    /// What is found once each document of this kind is so.
    #[track_caller]
    fn finds(bench: &Bench, id: &str, forgeries: &[Forgery]) {
        for (name, is_it, change, found) in forgeries {
            let exported = Self::of(bench, id);
            let before = exported.verify();
            assert!(before.contains("The chain holds") && !before.contains(found), "{name}: {before}");
            rewrite(&exported.folder, is_it, change);
            let after = exported.verify();
            assert!(after.contains("This does NOT hold") && after.contains(found), "{name}: `{found}`\n{after}");
            std::fs::remove_dir_all(&exported.folder).unwrap();
        }
    }
}

fn kind(value: &Value, kind: &str) -> bool {
    value["kind"] == kind
}

/// An answer of a model, whatever it says.
fn answer(value: &Value) -> bool {
    value.pointer("/value/finish").is_some()
}

fn replace(value: &mut Value, from: &str, to: &str) {
    let text = value.to_string();
    assert!(text.contains(from), "{from} is not in {text}");
    *value = serde_json::from_str(&text.replace(from, to)).unwrap();
}

#[test]
fn what_was_drafted_without_a_model_is_what_its_request_and_its_readings_give() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_end(&id, 0);
    Exported::finds(
        &bench,
        &id,
        &[
            (
                "a spec",
                |value| kind(value, "spec"),
                |value| value["title"] = json!("Something else"),
                "spec.yaml filed that is not what its request and what was read give: another spec",
            ),
            (
                "a verdict",
                |value| kind(value, "discovery"),
                |value| value["verdict"] = json!("with_constraints"),
                "it says with_constraints, and what was read comes to feasible",
            ),
            (
                "a check",
                |value| kind(value, "discovery"),
                |value| value["acceptance"][0]["holds"] = json!(true),
                "what the checks showed",
            ),
            (
                "a decision",
                |value| kind(value, "design"),
                |value| value["decisions"] = json!([{"decision": "all of it", "because": "ada said so"}]),
                "solution.design filed that is not what its request and what was read give: its decisions",
            ),
            (
                "a state before",
                |value| kind(value, "flow"),
                |value| value["nodes"][0]["before"]["state"] = json!({"id": 120, "name": "old"}),
                "on another flow than its design and what was read give: step create/sw01",
            ),
            (
                "a call in words",
                |value| {
                    kind(value, "approval_request") && value["calls"].as_array().is_some_and(|calls| !calls.is_empty())
                },
                |value| replace(value, "named guest on sw01", "named guest on sw02"),
                "shows the call of create/sw01 as another",
            ),
            (
                "a call on the screen",
                |value| {
                    kind(value, "approval_request") && value["calls"].as_array().is_some_and(|calls| !calls.is_empty())
                },
                |value| {
                    let calls = value["calls"].clone();
                    replace(value, "named guest on sw01", "named guest on sw02");
                    value["calls"] = calls;
                },
                "whose screen shows a call that it does not offer so",
            ),
            (
                "a reach",
                |value| kind(value, "approval_request"),
                |value| {
                    let within = json!({"environment": "lab", "tags": [], "groups": []});
                    value["approved_on"]["found_by"] = json!([{
                        "tool": "vlan.list", "args": {"switch": "sw01"}, "targets": "[]", "kind": "switch", "within": within,
                        "at_most": 1,
                    }]);
                    value["facts"]["environments"] = json!(["elsewhere"]);
                },
                "says otherwise than its spec, flow, tools and targets: the targets and environments",
            ),
        ],
    );
}

#[test]
fn what_models_said_is_what_was_filed_and_called() {
    let (bench, id) = filled_in();
    Exported::finds(
        &bench,
        &id,
        &[
            (
                "a verdict",
                |value| answer(value) && value.to_string().contains("verdict"),
                |value| replace(value, "\\\"feasible\\\"", "\\\"not_feasible\\\""),
                "discovery.report filed that is not what the last answer of its agent is",
            ),
            (
                "a spec",
                |value| answer(value) && value.to_string().contains("requirements"),
                |value| replace(value, "\\\"at_most\\\":2", "\\\"at_most\\\":1"),
                "spec.yaml filed that is not what the last answer of its agent is",
            ),
            (
                "a design",
                |value| answer(value) && value.to_string().contains("undo_all"),
                |value| replace(value, "undo_all", "continue"),
                "solution.design filed that is not what the last answer of its agent is",
            ),
            (
                "a value",
                |value| answer(value) && value.to_string().contains("guest-lobby"),
                |value| replace(value, "guest-lobby", "guest-other"),
                "holes filled with what the answer does not say",
            ),
            (
                "a call",
                |value| answer(value) && value.to_string().contains("vlan.list"),
                |value| replace(value, "vlan.list", "vlan.delete"),
                "that asked for `vlan.delete`",
            ),
            (
                "an argument",
                |value| answer(value) && value.to_string().contains("vlan.list"),
                |value| replace(value, "sw01", "sw02"),
                "with another `switch` than it asked for",
            ),
            (
                "a second call",
                |value| answer(value) && !value["value"]["calls"].as_array().unwrap().is_empty(),
                |value| {
                    let calls = value["value"]["calls"].as_array_mut().unwrap();
                    calls.push(calls[0].clone());
                },
                "says otherwise than its answer how many calls it asks for",
            ),
            (
                "tokens",
                answer,
                |value| value["value"]["usage"]["input"] = json!(1),
                "with another use of tokens than its answer says",
            ),
            (
                "a place",
                |value| kind(value, "approval_request") && value.get("models").is_some(),
                |value| value["models"][0]["name"] = json!("abroad"),
                "of which gate 1 was not told",
            ),
            (
                "what fills a hole",
                |value| kind(value, "flow"),
                |value| replace(value, "guest-lobby", "guest-reception"),
                "is not what gate 2 left to be filled in: it is longer than 12 characters",
            ),
        ],
    );
}

#[test]
fn a_step_is_put_right_only_where_looking_again_shows_it() {
    let (bench, id) = put_right();
    // What was read after it was put right shows nothing, and so does all that was read later.
    Exported::finds(
        &bench,
        &id,
        &[(
            "looked again",
            |value| value.pointer("/value/vlans").is_some_and(|vlans| vlans.to_string().contains("120")),
            |value| value["value"]["vlans"] = json!([]),
            "step create/sw01 done after it failed, and what was read does not show it",
        )],
    );
}

#[test]
fn a_lost_call_that_could_be_sent_again_is_held_to_what_was_read() {
    let bench = Bench::new();
    let id = bench.request(&["--blueprint", "address", "--set", "name=web01"]);
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.yes_to_all(&id);
    bench.drive(&id, 0);
    let exported = Exported::of(&bench, &id);
    let lost = |event: &mut Value| {
        let of_it = event["kind"] == "call.finished" && event["body"]["call"] == acted(&bench, &id);
        if of_it {
            event["body"] = json!({"call": event["body"]["call"], "outcome": "unknown", "message": "no answer"});
        }
    };
    let found = "step allocate settled, and what was read shows that its call took no effect";
    rechain(&exported.folder, lost);
    let before = exported.verify();
    assert!(!before.contains(found), "what was read shows it: {before}");
    rewrite(
        &exported.folder,
        |value| value.pointer("/value/addresses").is_some_and(|all| all.to_string().contains("web01")),
        |value| value["value"]["addresses"] = json!([]),
    );
    let after = exported.verify();
    assert!(after.contains(found), "{after}");
}

/// The call by which the address was taken.
fn acted(bench: &Bench, id: &str) -> Value {
    let allowed = bench.events(id, "call.allowed");
    let act = allowed.iter().find(|event| event["body"]["purpose"]["act"]["node"] == "allocate");
    act.unwrap()["body"]["call"].clone()
}

#[test]
fn a_target_that_no_read_found_is_reached_by_nobody() {
    let (bench, id) = built_on_what_was_found();
    Exported::finds(
        &bench,
        &id,
        &[
            (
                "nothing was found",
                |value| value.pointer("/value/records").is_some(),
                |value| value["value"]["records"] = json!([]),
                "reaches `sw04`, which no read found so",
            ),
            (
                "another read",
                |value| kind(value, "approval_request"),
                |value| value["approved_on"]["found_by"][0]["args"]["zone"] = json!("example.com"),
                "which gate 1 did not let find targets",
            ),
        ],
    );
}

#[test]
fn a_change_of_files_and_an_owner_of_later_are_noted() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.approve(&id);
    bench.people(&[("kim", "owner")]);
    bench.drive(&id, 0);
    let noted = "after files changed since its question, with the tools and targets that were approved: 1 change";
    bench.run(&["verify", &id]).code(0).shows(noted);
    let call = bench.events(&id, "call.allowed")[0]["body"]["call"].as_str().unwrap().to_owned();
    bench.run(&["redact", &id, &call, "--reason", "asked for", "--as", "kim", "--yes"]).code(0);
    bench
        .run(&["verify", &id])
        .code(0)
        .shows("in the role owner, WHO HAS NOT THAT ROLE in the people of its questions");
}

#[test]
fn what_drifted_is_held_to_the_record_that_an_engagement_starts_from() {
    let bench = Bench::new();
    let first = bench.request_one();
    bench.to_end(&first, 0);
    bench.tamper(|network| network["switches"]["sw01"]["vlans"]["120"] = json!("drifted"));
    let id = bench.request(&["--blueprint", "vlan", "--set", "id=121", "--set", "name=lobby", "--from", &first]);
    bench.to_end(&id, 0);
    Exported::finds(
        &bench,
        &id,
        &[
            (
                "no drift",
                |value| kind(value, "discovery"),
                |value| {
                    assert_ne!(value["drift"], json!([]));
                    value["drift"] = json!([]);
                },
                "what drifted",
            ),
            (
                "a reading elsewhere",
                |value| kind(value, "discovery"),
                |value| value["reads"][0]["with"]["switch"] = json!("sw04"),
                "what was read",
            ),
        ],
    );
    let file = bench.outside("second.tar");
    bench.run(&["export", &id, "--bundle", file.to_str().unwrap()]).code(0);
    let told = run_in(file.parent().unwrap(), &["verify", file.to_str().unwrap()]).code(0);
    assert!(!told.out.contains("what drifted is taken as told"), "{}", told.out);
}

#[test]
fn who_did_something_without_a_role_is_noted() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.people(&[("kim", "owner")]);
    bench.run(&["cancel", &id, "--reason", "not needed", "--as", "kim"]).code(0);
    bench.drive(&id, 1);
    let noted =
        "by SOMEBODY WITHOUT A ROLE in the people of its questions: 1 thing done: the cancellation by kim (event ";
    bench.run(&["verify", &id]).code(0).shows(noted);
}
