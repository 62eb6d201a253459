//! Models: what endpoints do wrong and what comes of it, keys, limits, recording and scripts. The endpoints are on this
//! machine and speak for themselves over a socket.

mod endpoint;

use std::{
    io::Write,
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign::{
    artifact::Agent,
    engagement::Finish,
    model::{Answer, Delta, Message, ModelError, ModelRequest, Models, OutputSchema, ToolOffer},
};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use self::endpoint::{Does, Server, call, cut, delta, end, events, good, response, says, status};
use crate::bench::Bench;

/// Quick retries: three attempts, then the endpoint is left alone for longer than anybody waits.
const QUICK: &str = "retries: {first_wait_ms: 1, longest_wait_ms: 5, total_wait_seconds: 30, failures_until_rest: 3, rest_seconds: 60}\n";

fn models(name: &str, endpoints: &[(&str, &str)], timeout: u32, folder: &Path, more: &str) -> Models {
    let list: String = endpoints.iter().map(|(name, settings)| format!("  {name}: {{{settings}}}\n")).collect();
    let used: String = endpoints
        .iter()
        .map(|(name, settings)| match settings.contains("base_url") {
            true => format!("{{endpoint: {name}, model: m, timeout_seconds: {timeout}}}, "),
            false => format!("{{endpoint: {name}}}, "),
        })
        .collect();
    let roles = format!("roles:\n  design: {{use: [{}]}}\n", used.trim_end_matches(", "));
    let retries = if more.contains("retries") { "" } else { QUICK };
    Models::parse(name, &format!("kind: models\nendpoints:\n{list}{roles}{retries}{more}"), folder).unwrap()
}

fn request(text: &str) -> ModelRequest {
    let tool = ToolOffer {
        name: "vlan.list".into(),
        about: "lists the VLANs".into(),
        parameters: json!({"type": "object", "properties": {"switch": {"type": "string"}}}),
    };
    let system = Message::System { text: "You design.".into() };
    ModelRequest {
        agent: Agent::Design,
        messages: vec![system, Message::User { text: text.into() }],
        left_out: 0,
        tools: vec![tool],
        output: None,
    }
}

async fn ask(models: &Models, request: &ModelRequest) -> (Result<Answer, ModelError>, Vec<Delta>) {
    let mut deltas = Vec::new();
    let model = models.for_agent(request.agent).unwrap();
    let answer = model.answer(request, &mut |delta| deltas.push(delta)).await;
    (answer, deltas)
}

/// What an endpoint's behaviour comes to.
#[derive(Debug)]
enum Comes {
    /// An answer with this in its debug text.
    Answer(&'static str),
    /// Nobody answered, with this reason.
    Unavailable(&'static str),
    /// It refused, with this reason.
    Refused(&'static str),
}

#[tokio::test]
async fn whatever_an_endpoint_does_wrong_has_an_end_with_a_reason() {
    use Comes::*;
    let html = |status: &str| {
        let page = b"<!DOCTYPE html><html><title>Gateway\nTrouble</title></html>";
        Does::Sends(response(status, "content-type: text/html; charset=utf-8\r\n", page))
    };
    let sse = |body: &[u8]| Does::Sends(response("200 OK", "content-type: text/event-stream\r\n", body));
    let chunks = |chunks: &[Value]| Does::Sends(events(chunks));
    let ten = "x".repeat(10 * 1024 * 1024);
    let many: Vec<Value> = (0..160).map(|_| delta(json!({"content": "y".repeat(64 * 1024)}))).collect();
    let whole = |content: &str| {
        let body = json!({"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
                          "usage": {"prompt_tokens": 3, "completion_tokens": 4}});
        Does::Sends(response("200 OK", "content-type: application/json\r\n", body.to_string().as_bytes()))
    };
    let half = || Does::Sends(cut(says("as it should be"), "\"stop\""));
    let elsewhere = Server::new(vec![good()]);
    let away = format!("location: {}/chat/completions\r\ncontent-length: 0\r\n", elsewhere.base);
    let in_an_hour = "date: Fri, 02 Jan 2026 03:00:00 GMT\r\nretry-after: Fri, 02 Jan 2026 04:00:00 GMT\r\n";
    let table: Vec<(&str, Vec<Does>, usize, Comes)> = vec![
        ("streams", vec![good()], 1, Answer("text: \"as it should be\"")),
        ("does not stream", vec![whole("at once")], 1, Answer("input: 3, output: 4, estimated: false")),
        ("says nothing", vec![Does::Stalls(vec![])], 3, Unavailable("within 1 seconds (`timeout_seconds`)")),
        ("stays on the line", vec![Does::Stalls(cut(says("half"), "data: [DONE]")), good()], 1, Answer("half")),
        ("stalls", vec![Does::Stalls(cut(says("half"), "\"stop\""))], 3, Unavailable("within 1 s")),
        ("ends at once", vec![Does::Ends, good()], 2, Answer("as it should be")),
        ("always ends at once", vec![Does::Ends], 3, Unavailable("the connection broke off")),
        ("half a stream", vec![half(), good()], 2, Answer("broke off before its end")),
        ("always half a stream", vec![half()], 3, Unavailable("broke off before its end")),
        ("a page", vec![html("200 OK")], 1, Refused("it answered with text/html")),
        ("a type of its own", vec![Does::Sends(response("200 OK", "", b"{}"))], 1, Refused("without a content type")),
        ("a page as an error", vec![html("502 Bad Gateway"), good()], 2, Answer("“Gateway Trouble”")),
        ("always a page", vec![html("502 Bad Gateway")], 3, Unavailable("502 Bad Gateway: a web page called")),
        ("408", vec![status("408 Request Timeout", ""), good()], 2, Answer("408")),
        ("409", vec![status("409 Conflict", ""), good()], 2, Answer("409")),
        ("429", vec![status("429 Too Many Requests", ""), good()], 2, Answer("429")),
        ("429 with a wait", vec![status("429 Too Many", "retry-after-ms: 2\r\n"), good()], 2, Answer("429")),
        ("429 for an hour", vec![status("429 Too Many", "retry-after: 3600\r\n"), good()], 1, Unavailable("not today")),
        ("429 until a time", vec![status("429 Too Many", in_an_hour), good()], 1, Unavailable("not today")),
        ("500", vec![status("500 Internal Server Error", ""), good()], 2, Answer("500")),
        ("529", vec![status("529 Overloaded", ""), good()], 2, Answer("529")),
        ("400", vec![status("400 Bad Request", ""), good()], 1, Refused("400 Bad Request: not today")),
        ("401", vec![status("401 Unauthorized", ""), good()], 1, Refused("not today; look at endpoints.")),
        ("403", vec![status("403 Forbidden", ""), good()], 1, Refused("403")),
        ("404", vec![status("404 Not Found", ""), good()], 1, Refused("`base_url`")),
        (
            "a redirect",
            vec![Does::Sends(response("307 Temporary Redirect", &away, b"")), good()],
            1,
            Refused("redirects to"),
        ),
        ("no choices", vec![chunks(&[json!({"choices": []})])], 3, Unavailable("no choice in it")),
        ("no events", vec![sse(b"")], 3, Unavailable("no choice in it")),
        ("no stream", vec![sse(b"\xff\xfe\x00 data")], 3, Unavailable("")),
        ("an event that is no JSON", vec![sse(b"data: {\"choices\": \n\n"), good()], 2, Answer("no JSON")),
        ("half a character", vec![sse(b"data: {\"choices\": [\xe2\x82\n\n"), good()], 2, Answer("as it should be")),
        (
            "an error in the stream",
            vec![chunks(&[json!({"error": {"message": "overloaded"}})]), good()],
            2,
            Answer("overloaded"),
        ),
        (
            "an unknown end",
            vec![chunks(&[delta(json!({"content": "a"})), end("tired")])],
            1,
            Answer("Other(\"tired\")"),
        ),
        ("a refusal", vec![chunks(&[delta(json!({"refusal": "no"})), end("stop")])], 1, Answer("finish: Refused")),
        (
            "a filter",
            vec![chunks(&[delta(json!({"content": "a"})), end("content_filter")])],
            1,
            Answer("finish: Refused"),
        ),
        (
            "no JSON in arguments",
            vec![chunks(&[call(0, "a", "vlan_list", "{\"switch\": }"), end("tool_calls")])],
            1,
            Answer("{\\\"switch\\\": }"),
        ),
        (
            "no such tool",
            vec![chunks(&[call(0, "a", "vlan.destroy", "{}"), end("tool_calls")])],
            1,
            Answer("name: \"vlan.destroy\""),
        ),
        (
            "two calls with one id",
            vec![chunks(&[call(0, "a", "vlan_list", "{}"), call(1, "a", "vlan_list", "{}"), end("tool_calls")])],
            1,
            Answer("id: \"a-2\", name: \"vlan.list\""),
        ),
        (
            "NUL in the text",
            vec![chunks(&[delta(json!({"content": "a\0b\u{1b}"})), end("stop")])],
            1,
            Answer("text: \"a\u{fffd}b\u{fffd}\""),
        ),
        ("NUL in the stream", vec![sse(b"data: {\"choices\": [\0]}\n\n"), good()], 2, Answer("as it should be")),
        ("10 MB in one event", vec![chunks(&[delta(json!({"content": ten})), end("stop")]), good()], 1, Refused("MiB")),
        ("10 MB in many events", vec![chunks(&many), good()], 1, Refused("longer than 2 MiB")),
        ("10 MB at once", vec![whole(&ten), good()], 1, Refused("longer than 4 MiB")),
        (
            "10 MB of arguments",
            vec![chunks(&[call(0, "a", "vlan_list", &ten[..3 << 20]), end("tool_calls")])],
            1,
            Refused("MiB"),
        ),
        ("10 MB of an error", vec![Does::Sends(response("400 Bad Request", "", ten.as_bytes()))], 1, Refused("xxx…")),
    ];
    let folder = tempfile::tempdir().unwrap();
    let cases = table.into_iter().map(|(name, does, asked, comes)| {
        let server = Server::new(does);
        // Only those that keep silent are waited for.
        let silent = matches!(comes, Unavailable(why) if why.contains("within 1 s"));
        let timeout = if silent { 1 } else { 60 };
        let endpoint = format!("base_url: '{}'", server.base);
        let models = models(name, &[("main", &endpoint)], timeout, folder.path(), "");
        async move {
            let (answer, _) = ask(&models, &request("go on")).await;
            let right = match (&answer, &comes) {
                (Ok(answer), Answer(says)) => format!("{answer:?}").contains(says),
                (Err(error @ ModelError::Unavailable(_)), Unavailable(says)) => error.to_string().contains(says),
                (Err(error @ ModelError::Refused { .. }), Refused(says)) => error.to_string().contains(says),
                _ => false,
            };
            let short: String = format!("{answer:?}").chars().take(600).collect();
            // On a busy machine the time may be up before the request is out.
            let times = server.asked() == asked || silent && server.asked() < asked;
            assert!(right && times, "{name}: {} times, {short}, not {comes:?}", server.asked());
        }
    });
    futures::future::join_all(cases).await;
    assert_eq!(elsewhere.asked(), 0, "no redirect is followed");
}

#[tokio::test]
async fn a_dead_endpoint_leads_to_the_next_and_what_was_shown_is_taken_back() {
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("base_url: 'http://{}/v1'", listener.local_addr().unwrap())
    };
    let half = Server::new(vec![Does::Sends(cut(says("half an answer"), "\"stop\""))]);
    let good = Server::new(vec![good()]);
    let folder = tempfile::tempdir().unwrap();
    let at = |server: &Server| format!("base_url: '{}'", server.base);
    let (half_at, good_at) = (at(&half), at(&good));
    let price = "price_per_million: {input: 2.0, output: 8.0, currency: USD}";
    let good_at = format!("{good_at}, {price}");
    let endpoints = [("dead", dead.as_str()), ("half", &half_at), ("good", &good_at)];
    let models = models("models.yaml", &endpoints, 60, folder.path(), "");
    let names: Vec<&str> = models.endpoints_for(Agent::Design).iter().map(|at| at.name.as_str()).collect();
    assert_eq!((names, models.currency()), (vec!["dead", "half", "good"], Some("USD")));
    assert!(models.for_agent(Agent::Build).is_none() && models.endpoints_for(Agent::Build).is_empty());

    let (answer, deltas) = ask(&models, &request("go on")).await;
    let answer = answer.unwrap();
    assert_eq!((answer.endpoint.as_str(), answer.text.as_str()), ("good", "as it should be"));
    for says in ["dead: it cannot be reached", "half: its answer broke off", "good was asked instead"] {
        assert!(answer.notes.iter().any(|note| note.contains(says)), "{says}: {:?}", answer.notes);
    }
    // What is shown after the last break is the answer.
    let last = deltas.iter().rposition(|delta| matches!(delta, Delta::Restarted(_))).unwrap();
    assert!(deltas[..last].contains(&Delta::Text("half an answer".into())), "{deltas:?}");
    assert!(matches!(&deltas[last + 1], Delta::Asked { endpoint, .. } if endpoint == "good"), "{deltas:?}");
    assert_eq!(deltas[last + 2..], [Delta::Text("as it should be".into())]);
    let usage = answer.usage;
    // The three halves count too, at no price: 4 tokens each, as many as the answer, and four times the request.
    let cost = Some(usage.input / 4 * 2 + 4 * 8);
    assert!(usage.estimated && (usage.output, usage.cost_micros) == (16, cost), "{usage:?}");

    // The breaker is open for both: nobody is asked there again.
    let before = half.asked();
    assert_eq!(ask(&models, &request("go on")).await.0.unwrap().endpoint, "good");
    assert_eq!((half.asked(), good.asked()), (before, 2));
}

/// What log lines go into.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_key_is_read_for_a_turn_and_shows_nowhere() {
    const KEY: &str = "canary-sk-123456789";
    let folder = tempfile::tempdir().unwrap();
    let (mark, teller) = (folder.path().join("asked"), folder.path().join("tell"));
    std::fs::write(&teller, format!("#!/bin/sh\necho x >> '{}'\necho {KEY}\n", mark.display())).unwrap();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let error = |status: &str, body: String| {
        Does::Sends(response(status, "content-type: application/json\r\n", body.as_bytes()))
    };
    let split = [
        delta(json!({"content": "it is canary-sk-"})),
        delta(json!({"content": "123456789!"})),
        json!({"model": KEY, "choices": []}),
        call(0, KEY, KEY, &format!("{{\"k\": \"{KEY}")),
        call(0, "", "", "\"}"),
        end(KEY),
    ];
    let server = Server::new(vec![
        error("500 Oops", format!("{{\"error\": \"Bearer {KEY} failed\"}}")),
        Does::Sends(response("503 No", "content-type: text/html\r\n", format!("<title>{KEY}</title>").as_bytes())),
        Does::Sends(events(&split)),
        error("401 Unauthorized", format!("{{\"error\": {{\"message\": \"wrong key {KEY}\"}}}}")),
        Does::Sends(response("302 Found", &format!("location: http://x.y/?key={KEY}\r\n"), b"")),
        Does::Sends(response("200 OK", &format!("content-type: {KEY}\r\n"), b"")),
        Does::Sends(response("200 OK", "content-type: text/event-stream\r\n", format!("data: {KEY}\n\n").as_bytes())),
    ]);
    let endpoint = format!("base_url: '{}', key: {{command: [/bin/sh, '{}']}}", server.base, teller.display());
    let models = models("keys", &[("keyed", &endpoint)], 60, folder.path(), "record: cassette.jsonl\n");
    let mut printed = format!("{models:?}");
    assert!(
        models.for_agent(Agent::Design).is_some() && !mark.exists() && server.asked() == 0,
        "nothing before a turn"
    );
    for text in ["one", "two", "three", "four", "five"] {
        let (answer, deltas) = ask(&models, &request(text)).await;
        assert_eq!(answer.is_ok(), text == "one", "{text}: {answer:?}");
        let said = answer.as_ref().map_or_else(ToString::to_string, |answer| answer.text.clone());
        printed.push_str(&format!("{answer:?}\n{said}\n{deltas:?}\n"));
    }
    printed.push_str(&std::fs::read_to_string(folder.path().join("cassette.jsonl")).unwrap());
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("async_openai") || logged.contains("reqwest") || logged.contains("hyper"), "{logged}");
    assert!(printed.contains("it is [key]!") && printed.contains("wrong key [key]"), "{printed}");
    assert!(!printed.contains("canary-sk-") && !logged.contains("canary-sk-"), "{printed}\n{logged}");
    let requests = server.requests.lock().unwrap();
    assert!(mark.exists() && requests.len() == 9, "{}", requests.len());
    assert!(requests.iter().all(|request| request.contains(&format!("authorization: Bearer {KEY}\r\n"))));
}

#[tokio::test]
async fn what_an_endpoint_lacks_is_found_once_and_done_without() {
    let server = MockServer::start().await;
    let refuses = |field: &str, says: &str| {
        Mock::given(matchers::method("POST"))
            .and(matchers::path("/v1/chat/completions"))
            .and(matchers::body_partial_json(match field {
                "parallel_tool_calls" => json!({field: true}),
                _ => json!({field: {"type": "json_schema"}}),
            }))
            .respond_with(ResponseTemplate::new(400).set_body_json(json!({"error": {"message": says}})))
            .with_priority(1)
            .expect(1)
    };
    refuses("response_format", "response_format json_schema is not supported together with tools").mount(&server).await;
    refuses("parallel_tool_calls", "Unrecognized request argument: parallel_tool_calls").mount(&server).await;
    let body = says(r#"{"kind": "spec"}"#);
    let at = body.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    Mock::given(matchers::method("POST"))
        .and(matchers::query_param("api-version", "2024-10-21"))
        .and(matchers::header("x-team", "networks"))
        .respond_with(ResponseTemplate::new(200).set_body_raw(body[at..].to_vec(), "text/event-stream"))
        .expect(2)
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("base_url: '{}/v1/', api_version: 2024-10-21, headers: {{x-team: networks}}", server.uri());
    let mut asked = request("draft it");
    asked.output = Some(OutputSchema { name: "spec".into(), schema: json!({"title": "the schema of it"}) });
    for turn in 1..=2 {
        // Another set of models: it is remembered for the process.
        let models = models("lacks", &[("plain", &endpoint)], 60, folder.path(), "");
        let (answer, deltas) = ask(&models, &asked).await;
        let answer = answer.unwrap();
        assert_eq!((answer.text.as_str(), answer.finish), (r#"{"kind": "spec"}"#, Finish::Stop));
        for says in ["no structured output beside tools", "no parallel tool calls"] {
            assert!(answer.notes.iter().any(|note| note.contains(says)), "turn {turn}: {:?}", answer.notes);
        }
        let restarts = deltas.iter().filter(|delta| matches!(delta, Delta::Restarted(_))).count();
        assert_eq!(restarts, if turn == 1 { 2 } else { 0 });
    }
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 4);
    let last: Value = requests[3].body_json().unwrap();
    assert!(last["messages"][0]["content"].as_str().unwrap().contains("the schema of it"), "{last}");
    assert!(last.get("response_format").is_none() && last["tools"][0]["function"]["name"] == "vlan_list");
}

#[tokio::test]
async fn limits_are_those_of_the_process() {
    let server = Server::new(vec![good()]);
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("base_url: '{}', requests_per_minute: 1", server.base);
    let own = || models("limits", &[("limited", &endpoint)], 60, folder.path(), "");
    assert!(ask(&own(), &request("one")).await.0.is_ok());
    let error = ask(&own(), &request("two")).await.0.unwrap_err();
    assert!(matches!(&error, ModelError::Unavailable(why) if why.contains("a minute are used up")), "{error}");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn what_was_recorded_is_replayed_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(vec![Does::Sends(events(&[call(0, "a", "vlan_list", "{}"), end("tool_calls")]))]);
    let endpoint = format!("base_url: '{}'", server.base);
    let recording = models("rec", &[("main", &endpoint)], 60, folder.path(), "record: cassette.jsonl\n");
    let recorded = ask(&recording, &request("list them\nall")).await.0.unwrap();
    assert_eq!(server.asked(), 1);

    let replaying = models("play", &[("tape", "replay: cassette.jsonl")], 60, folder.path(), "");
    assert!(replaying.endpoints_for(Agent::Design)[0].simulated);
    let played = ask(&replaying, &request("list them\nall")).await.0.unwrap();
    assert_eq!((&played.calls, &played.finish), (&recorded.calls, &recorded.finish));
    assert_eq!(played.endpoint, "tape (replayed)");
    let error = ask(&replaying, &request("list them\nnone")).await.0.unwrap_err().to_string();
    for says in ["cassette.jsonl:1: message 2 (user) is another", "-all", "+none"] {
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_script_answers_and_is_called_simulated() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let file = policies.join("models.yaml");
    assert!(Models::load(&file).unwrap().is_empty(), "no file, no model");
    std::fs::write(
        &file,
        "kind: models\nendpoints: {practice: {scripted: turns.yaml}}\nroles: {design: {use: [{endpoint: practice}]}}\n",
    )
    .unwrap();
    let error = Models::load(&file).unwrap_err().to_string();
    assert!(error.contains("turns.yaml") && error.contains("cannot be read"), "{error}");
    let turns =
        "kind: turns\nturns:\n  - {agent: design, expect: [sw01], calls: [{tool: vlan.list, with: {switch: sw01}}]}\n";
    std::fs::write(policies.join("turns.yaml"), turns).unwrap();
    let models = Models::load(&file).unwrap();
    assert_eq!(models.endpoints_for(Agent::Design)[0].name, "practice (simulated)");
    let (answer, deltas) = ask(&models, &request("the VLANs of sw01")).await;
    let answer = answer.unwrap();
    assert_eq!((answer.endpoint.as_str(), answer.model.as_str()), ("practice (simulated)", "scripted"));
    assert_eq!(answer.calls[0].arguments, r#"{"switch":"sw01"}"#);
    assert_eq!(deltas, [Delta::Calling("vlan.list".into())]);
    let error = ask(&models, &request("of sw02")).await.0.unwrap_err().to_string();
    assert!(error.contains("turns.yaml:3:") && error.contains("does not contain `sw01`"), "{error}");
}

#[test]
fn the_models_of_a_workspace_are_listed_and_asked_whether_they_answer() {
    let bench = Bench::new();
    bench.run(&["models", "list"]).code(0).shows("No models");
    bench.run(&["models", "check"]).code(0).shows("No models");
    let server = Server::new(vec![
        Does::Sends(says("{\"ok\": true}")),
        Does::Sends(events(&[call(0, "a", "ping", "{\"n\": 1}"), end("tool_calls")])),
        status("401 Unauthorized", ""),
    ]);
    let file = format!(
        "kind: models\nendpoints: {{main: {{base_url: '{}'}}}}\n\
         roles:\n  design: {{use: [{{endpoint: main, model: m}}]}}\n  build: {{use: [{{endpoint: main, model: m}}]}}\n",
        server.base
    );
    bench.write("policies/models.yaml", &file);
    let listed = bench.json(&["models", "list"]);
    assert_eq!((&listed[0]["agent"], &listed[1]["agent"]), (&json!("design"), &json!("build")), "{listed}");
    assert_eq!((listed[0]["asks"][0]["base_url"].as_str(), server.asked()), (Some(server.base.as_str()), 0));
    let checked = bench.json(&["models", "check"]);
    assert_eq!(checked.as_array().unwrap().len(), 1, "each is asked once: {checked}");
    for what in ["answers", "documents", "calls"] {
        assert_eq!(checked[0]["found"][what], true, "{checked}");
    }
    bench.run(&["models", "check"]).code(1).shows("not today");
    assert_eq!(server.asked(), 3);
    bench.edit("policies/models.yaml", "model: m}", "modle: m}");
    bench.run(&["models", "list"]).code(2).says("models.yaml:4:").says("there is no field `modle`");
}

#[test]
fn a_turn_that_somebody_overtook_is_counted_and_asked_again() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59}});
    let answer = events(&[delta(json!({"content": "no document"})), end("stop"), usage]);
    let server = Server::new(vec![Does::Waits(Duration::from_secs(2), answer)]);
    let bench = Bench::new();
    let role = json!({"use": [{"endpoint": "m", "model": "m"}]});
    let models = json!({
        "kind": "models", "endpoints": {"m": {"base_url": server.base}}, "roles": {"requirements": role, "design": role},
    });
    bench.write("policies/models.yaml", &models.to_string());
    for (what, last) in
        [(vec!["say", "ID", "on sw02 too"], ""), (vec!["cancel", "ID", "--reason", "enough"], "cancelled")]
    {
        let id = bench.request(&["--text", "VLAN 120 on sw01"]);
        let before = server.asked();
        let mut child = bench.start(&["run", &id, "--json"]);
        while server.asked() == before {
            std::thread::sleep(Duration::from_millis(20));
        }
        let what: Vec<&str> = what.into_iter().map(|word| if word == "ID" { id.as_str() } else { word }).collect();
        bench.run(&what).code(0);
        child.wait().unwrap();
        let turns = bench.events(&id, "model.turn");
        let first = &turns[0]["body"];
        assert_eq!(first["usage"]["input"], 50, "{first}");
        assert!(first["error"].as_str().unwrap().contains("does not know of"), "{first}");
        assert_eq!(first["response"], Value::Null);
        let closed = &bench.events(&id, "engagement.closed")[0]["body"]["outcome"];
        // What was said is asked about; after a cancellation nothing is.
        assert_eq!(turns.len() > 1, last.is_empty(), "{turns:?}");
        assert_eq!(*closed == last, !last.is_empty(), "{closed}");
        bench.run(&["verify", &id]).code(0);
    }
}
