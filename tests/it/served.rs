//! Engagements whose turns come from an endpoint: the program as it is, over HTTP, with answers that stream in odd
//! pieces and tools under the names that endpoints take. What it was asked is looked at request by request.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Mutex,
};

use countersign::artifact::{DiscoveryReport, SolutionDesign, Spec};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers};

use crate::{
    agents::{ZONE, dns_design, dns_spec, report},
    bench::{Answer, Bench, command, finish},
};

const KEY: &str = "canary-key-4711";
const TOOL_SECRET: &str = "canary-tool-secret-0815";
const WORDS: &str = "BETA-CANARY: publish web01 in corp.example.com with the address 192.0.2.10";

/// What the endpoint answers, one after another.
struct Turns(Mutex<VecDeque<ResponseTemplate>>);

impl Respond for Turns {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let none = || ResponseTemplate::new(400).set_body_string("no further turn");
        self.0.lock().unwrap().pop_front().unwrap_or_else(none)
    }
}

async fn serving(turns: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    let turns = Turns(Mutex::new(turns.into()));
    let post = Mock::given(matchers::method("POST")).and(matchers::path("/v1/chat/completions"));
    post.respond_with(turns).mount(&server).await;
    server
}

fn pieces(text: &str, length: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(length).map(|piece| piece.iter().collect()).collect()
}

fn stream(deltas: Vec<Value>, end: &str) -> ResponseTemplate {
    let delta =
        |delta: Value| json!({"model": "served-1", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    let last = [
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": end}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}),
    ];
    let events = deltas.into_iter().map(delta).chain(last);
    let body: String = events.map(|event| format!("data: {event}\n\n")).collect();
    ResponseTemplate::new(200).set_body_raw(format!(": hello\n\n{body}data: [DONE]\n\n"), "text/event-stream")
}

/// An answer in words, seven characters at a time.
fn says(document: &Value) -> ResponseTemplate {
    stream(pieces(&document.to_string(), 7).into_iter().map(|piece| json!({"content": piece})).collect(), "stop")
}

/// Calls by the names that the endpoint knows, each in pieces that come in turn with those of the others.
fn calls(calls: &[(&str, Value)]) -> ResponseTemplate {
    let mut each: Vec<VecDeque<Value>> = Vec::new();
    for (index, (name, arguments)) in calls.iter().enumerate() {
        let (first, rest) = name.split_at(3);
        let piece = |function: Value| json!({"tool_calls": [{"index": index, "function": function}]});
        let mut begun = piece(json!({"name": first, "arguments": ""}));
        begun["tool_calls"][0]["id"] = json!(format!("call_{index}"));
        let arguments = pieces(&arguments.to_string(), 3).into_iter().map(|part| piece(json!({"arguments": part})));
        each.push([begun, piece(json!({"name": rest}))].into_iter().chain(arguments).collect());
    }
    let mut deltas = Vec::new();
    while each.iter().any(|left| !left.is_empty()) {
        deltas.extend(each.iter_mut().filter_map(VecDeque::pop_front));
    }
    stream(deltas, "tool_calls")
}

fn found(call: &str) -> ResponseTemplate {
    says(&report(&["dns.record.create"], &[("records", None, call)])["document"])
}

/// A workspace whose agents ask this endpoint, with a secret for its tools and one for the endpoint.
fn asking(server: &MockServer) -> Bench {
    let bench = Bench::new();
    let secret = bench.outside("secret");
    std::fs::write(&secret, TOOL_SECRET).unwrap();
    let from = format!("secrets: [{{name: LAB_TOKEN, file: {}}}]\n  timeout_seconds: 5", secret.display());
    bench.edit("tools/lab.yaml", "timeout_seconds: 5", &from);
    bench.run(&["tools", "pin", "--yes"]).code(0);
    let role = json!({"use": [{"endpoint": "main", "model": "m"}]});
    let main = json!({
        "base_url": format!("{}/v1", server.uri()), "key": {"env": "SERVED_KEY"},
        "price_per_million": {"input": 2.0, "output": 8.0, "currency": "EUR"},
    });
    let models = json!({
        "kind": "models", "endpoints": {"main": main}, "roles": {"requirements": role, "design": role},
        "retries": {"first_wait_ms": 1, "longest_wait_ms": 5}, "record": "cassette.jsonl",
    });
    bench.write("policies/models.yaml", &models.to_string());
    bench
}

/// Runs a command with the endpoint's key in its environment.
fn run(bench: &Bench, args: &[&str]) -> Answer {
    let mut command = command(&bench.root);
    command.args(args).env("SERVED_KEY", KEY);
    finish(command)
}

#[track_caller]
fn to_gate(bench: &Bench, id: &str, gate: &str) {
    let answer = run(bench, &["run", id, "--json"]).code(3).json();
    assert_eq!(answer["status"]["about"], gate, "{}", bench.run(&["log", id]).out);
}

/// Looks at every request; the answer is what each was about.
#[track_caller]
fn check(requests: &[Request], others: &str, from: usize) -> Vec<String> {
    let mut about = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        assert_eq!(request.headers["authorization"], format!("Bearer {KEY}").as_str());
        let text = std::str::from_utf8(&request.body).unwrap();
        assert!(!text.contains(KEY) && !text.contains(TOOL_SECRET), "{text}");
        assert!(at < from || !text.contains(others), "{text}");
        let body: Value = request.body_json().unwrap();
        let mut open: BTreeSet<&str> = BTreeSet::new();
        for (nth, message) in body["messages"].as_array().unwrap().iter().enumerate() {
            assert_eq!(message["role"] == "system", nth == 0, "{message}");
            match message["role"].as_str().unwrap() {
                "tool" => {
                    assert!(open.remove(message["tool_call_id"].as_str().unwrap()), "it answers nothing: {message}")
                }
                _ => assert!(open.is_empty(), "not answered: {open:?}"),
            }
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                assert!(open.insert(call["id"].as_str().unwrap()), "an id twice: {message}");
            }
        }
        assert!(open.is_empty(), "not answered: {open:?}");
        let schema = &body["response_format"]["json_schema"];
        let name = schema["name"].as_str().unwrap_or_else(|| panic!("no schema is sent: {body}"));
        let (tools, own) = match name {
            "spec" => (&["ask"][..], schemars::schema_for!(Spec)),
            "discovery" => (&["dns_records_list", "read_result"][..], schemars::schema_for!(DiscoveryReport)),
            _ => (&["dns_records_list", "read_result"][..], schemars::schema_for!(SolutionDesign)),
        };
        assert_eq!(schema["schema"], own.to_value(), "the schema is the artifact's");
        let offered = body["tools"].as_array().unwrap().iter();
        let offered: Vec<&str> = offered.map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
        assert_eq!(offered, tools, "only what the role was granted is offered");
        about.push(name.to_owned());
    }
    about
}

#[tokio::test(flavor = "multi_thread")]
async fn words_come_to_a_record_over_http_and_again_from_a_cassette() {
    let busy = ResponseTemplate::new(429).insert_header("retry-after-ms", "2").set_body_string("busy");
    let server = serving(vec![
        says(&dns_spec()),
        busy,
        says(&dns_spec()),
        calls(&[("dns_records_list", json!({"zone": ZONE})), ("read_result", json!({"call": "c99"}))]),
        found("c2"),
        says(&dns_design()),
    ])
    .await;
    let bench = asking(&server);
    let other = bench.request(&["--text", "ALPHA-CANARY: publish web01 with the address 192.0.2.10"]);
    to_gate(&bench, &other, "gate1");
    bench.run(&["cancel", &other, "--reason", "the other one does it"]).code(0);
    let id = bench.request(&["--text", WORDS]);
    for gate in ["gate1", "gate2"] {
        to_gate(&bench, &id, gate);
        bench.approve(&id);
    }
    let answer = run(&bench, &["run", &id, "--json"]).code(0).json();
    bench.run(&["verify", &id]).code(0);
    let record = &answer["record"];
    assert_eq!(record["outcome"], "done", "{record:#}");
    let totals = &record["totals"];
    assert_eq!((&totals["model_turns"], &totals["model_tokens"]), (&json!(4), &json!(4_400)), "{totals:#}");
    assert_eq!((&totals["model_cost_micros"], &totals["model_currency"]), (&json!(11_200), &json!("EUR")));
    assert!(totals.get("model_tokens_estimated").is_none(), "the endpoint counted itself: {totals:#}");
    assert_eq!(totals["model_agents"][1]["agent"], "design");
    bench.run(&["show", &id]).code(0).shows("0.0112 EUR");
    bench
        .run(&["log", &id])
        .code(0)
        .shows("; main: 429 Too Many Requests: busy")
        .shows("served-1 at main, 1100 tokens");

    let requests = server.received_requests().await.unwrap();
    let about = check(&requests, "ALPHA-CANARY", 1);
    assert_eq!(about, ["spec", "spec", "spec", "discovery", "discovery", "design"]);
    let read: Value = requests[4].body_json().unwrap();
    let said = read["messages"].as_array().unwrap();
    let called = said.iter().find_map(|message| message["tool_calls"].as_array()).unwrap();
    assert_eq!(called[0]["function"]["name"], "dns_records_list");
    let cassette = bench.read("policies/cassette.jsonl");
    assert!(!cassette.contains(KEY) && !cassette.contains(TOOL_SECRET) && cassette.lines().count() == 5);

    // Nobody is there any more.
    drop(server);
    let fresh = || {
        let fresh = Bench::new();
        fresh.write("policies/cassette.jsonl", &cassette);
        let role = json!({"use": [{"endpoint": "tape"}]});
        let models = json!({
            "kind": "models", "endpoints": {"tape": {"replay": "cassette.jsonl"}},
            "roles": {"requirements": role, "design": role},
        });
        fresh.write("policies/models.yaml", &models.to_string());
        fresh
    };
    let again = fresh();
    let same = again.request(&["--text", WORDS]);
    let (code, answer) = again.yes_to_all(&same);
    assert_eq!(code, 0, "{answer:#}\n{}", again.run(&["log", &same]).out);
    for part in ["outcome", "requirements", "targets", "steps", "deviations"] {
        assert_eq!(answer["record"][part], record[part], "{part}");
    }
    assert_eq!(again.network(), bench.network());
    let turns = |bench: &Bench, id: &str| -> Vec<Value> {
        bench.events(id, "model").iter().map(|event| event["body"]["request"].clone()).collect()
    };
    // The same was asked, or the tape would have said what differs; and the digest of it has a salt, so that nobody can
    // try what it was.
    let (once, twice) = (turns(&bench, &id), turns(&again, &same));
    assert_eq!(once.len(), twice.len());
    assert!(once.iter().all(|request| !twice.contains(request)), "a guess at what was asked can be confirmed");

    let changed = fresh();
    let another = changed.request(&["--text", &WORDS.replace("192.0.2.10", "192.0.2.11")]);
    let stopped = changed.run(&["run", &another]).code(1).shows("is another than the recorded one:\n");
    let line = |sign: char, address: &str| {
        stopped.out.lines().any(|line| line.trim_start().starts_with(sign) && line.contains(address))
    };
    assert!(line('-', "192.0.2.10") && line('+', "192.0.2.11"), "{}", stopped.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_granted_is_refused_by_whatever_name_an_endpoint_asks_for_it() {
    let delete = json!({"zone": ZONE, "name": "www", "address": "192.0.2.7"});
    let server = serving(vec![
        says(&dns_spec()),
        calls(&[
            ("dns_record_delete", delete),
            ("vlan_list", json!({"switch": "sw01"})),
            ("dns_records_list", json!({"zone": ZONE})),
        ]),
        found("c4"),
        says(&dns_design()),
    ])
    .await;
    let bench = asking(&server);
    let before = bench.network();
    let id = bench.request(&["--text", WORDS]);
    to_gate(&bench, &id, "gate1");
    bench.approve(&id);
    to_gate(&bench, &id, "gate2");
    let refused = bench.events(&id, "call.refused");
    let tools: Vec<String> =
        refused.iter().map(|event| event["body"]["tool"].as_str().unwrap().replace('_', ".")).collect();
    assert_eq!(tools, ["dns.record.delete", "vlan.list"]);
    assert_eq!(bench.network(), before);
    let requests = server.received_requests().await.unwrap();
    assert_eq!(check(&requests, "ALPHA-CANARY", 0), ["spec", "discovery", "discovery", "design"]);
    let screen = run(&bench, &["show", &id]).code(0).shows("ASKED FOR AND REFUSED\n");
    let screen = screen.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for asked in [
        "! the design agent asked for dns.record.delete with {\"address\":\"192.0.2.7\",\"name\":\"www\",\"zone\":",
        "! the design agent asked for vlan.list with {\"switch\":\"sw01\"}: ",
    ] {
        assert!(screen.contains(asked), "{screen}");
    }
    let again = bench.run(&["verify", &id, "--rules"]).code(0);
    assert!(!again.out.contains("SHOWN OTHERWISE"), "{}", again.out);
    bench.approve(&id);
    let answer = run(&bench, &["run", &id, "--json"]).code(0).json();
    assert_eq!(answer["record"]["outcome"], "done");
    let outside = "changing something where it only reads is an attempt outside, and so is reading what nobody granted";
    assert_eq!(answer["record"]["totals"]["outside"], 2, "{outside}");
    let wrote = bench.events(&id, "call.allowed").into_iter().filter(|event| event["body"].get("counts").is_some());
    let wrote: Vec<Value> = wrote.map(|event| event["body"]["tool"].clone()).collect();
    assert_eq!(wrote, ["dns.record.create"]);
}
