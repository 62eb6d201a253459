//! Recorded streams, cut anywhere, through the whole client without a socket; and what is sent.

use std::{io::Write as _, num::NonZeroU32, sync::Mutex};

use proptest::prelude::*;
use reqwest::{Body, Request, Response};
use serde_json::json;

use super::*;
use crate::{
    artifact::Agent,
    model::{Message, OutputSchema, ToolOffer, ToolRequest},
};

fn used() -> Use {
    Use {
        endpoint: "main".into(),
        model: Some("m-1".into()),
        temperature: Some(0.5),
        max_tokens: NonZeroU32::new(100),
        context_tokens: None,
        timeout_seconds: NonZeroU32::new(20).unwrap(),
    }
}

fn settings() -> EndpointSettings {
    EndpointSettings { base_url: Some("http://127.0.0.1:9/v1".into()), ..EndpointSettings::default() }
}

fn request() -> ModelRequest {
    let tool =
        |name: &str| ToolOffer { name: name.into(), about: "lists".into(), parameters: json!({"type": "object"}) };
    ModelRequest {
        agent: Agent::Design,
        messages: vec![Message::System { text: "be exact".into() }, Message::User { text: "go on".into() }],
        left_out: 0,
        tools: vec![tool("dns.records.list"), tool("dns_records_list"), tool("vlan.list")],
        output: None,
    }
}

/// An endpoint that sends these pieces, without a network.
fn endpoint(pieces: Vec<Vec<u8>>) -> OpenAi {
    let endpoint = OpenAi::new("main", &settings(), &used());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = CLIENT.get_or_init(|| reqwest::Client::builder().no_proxy().build().unwrap()).clone();
    let send: Send = Arc::new(move |_: Request| {
        let pieces: Vec<std::io::Result<Vec<u8>>> = pieces.iter().cloned().map(Ok).collect();
        let mut response = ::http::Response::new(Body::wrap_stream(futures::stream::iter(pieces)));
        response.headers_mut().insert("content-type", "text/event-stream; charset=utf-8".parse().unwrap());
        Box::pin(async move { Ok(Response::from(response)) })
    });
    assert!(endpoint.line.set(Ok(Line { client, send })).is_ok());
    endpoint
}

static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();

fn ask(endpoint: &OpenAi, request: &ModelRequest) -> (Result<Answer, Trouble>, Vec<Delta>) {
    let mut deltas = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(endpoint.turn(request, &mut |delta| deltas.push(delta)));
    (answer, deltas)
}

fn call(id: &str, name: &str, arguments: &str) -> ToolRequest {
    ToolRequest { id: id.into(), name: name.into(), arguments: arguments.into() }
}

fn events(chunks: &[Value]) -> Vec<u8> {
    let line = |chunk: &Value| format!("data: {chunk}\n\n");
    (chunks.iter().map(line).collect::<String>() + "data: [DONE]\n\n").into_bytes()
}

fn delta(delta: Value) -> Value {
    json!({"id": "c1", "model": "m-1-exact", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn end(word: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": word}]})
}

fn piece(index: Value, id: Value, name: Value, arguments: &str) -> Value {
    json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]})
}

/// What endpoints sent, by how they write it, with the text and the calls that are in it.
fn recorded() -> Vec<(&'static str, Vec<u8>, &'static str, Vec<ToolRequest>)> {
    let null = Value::Null;
    let two = vec![call("a", "dns.records.list", r#"{"zone":"größe.名"}"#), call("b", "vlan.list", "{}")];
    let as_openai = events(&[
        delta(json!({"role": "assistant", "content": null})),
        delta(json!({"content": "Grüße "})),
        delta(json!({"content": "名前 🚀"})),
        delta(piece(json!(0), json!("a"), json!("dns_records_list"), "")),
        delta(piece(json!(0), null.clone(), null.clone(), "{\"zone\":\"grö")),
        delta(piece(json!(1), json!("b"), json!("vlan_list"), "")),
        delta(piece(json!(0), null.clone(), null.clone(), "ße.名\"}")),
        delta(piece(json!(1), null.clone(), null.clone(), "{}")),
        end("tool_calls"),
        json!({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 34}}),
    ]);
    // All calls have the same number, or none, and come whole; `stop` beside calls; comments and CRLF between.
    let whole = |index: Value| {
        let text = String::from_utf8(events(&[
            delta(json!({"content": [{"type": "text", "text": "Grüße "}, {"type": "text", "text": "名前 🚀"}]})),
            delta(piece(index.clone(), json!("a"), json!("dns_records_list"), r#"{"zone":"größe.名"}"#)),
            delta(piece(index, json!("b"), json!("vlan_list"), "{}")),
            end("stop"),
            json!({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 34}}),
        ]));
        format!(": waking up\r\n\r\n{}", text.unwrap().replace('\n', "\r\n")).into_bytes()
    };
    // The name with every piece again, the id too, and no number.
    let repeated = events(&[
        delta(json!({"content": "Grüße 名前 🚀"})),
        delta(piece(null.clone(), json!("a"), json!("dns_records_list"), "{\"zone\":")),
        delta(piece(null.clone(), json!("a"), json!("dns_records_list"), "\"größe.名\"}")),
        delta(piece(null.clone(), json!("b"), json!("vlan_list"), "{}")),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}],
               "usage": {"prompt_tokens": 12, "completion_tokens": 34}}),
    ]);
    let text = "Grüße 名前 🚀";
    vec![
        ("pieces", as_openai, text, two.clone()),
        ("one number", whole(json!(0)), text, two.clone()),
        ("no number", whole(null), text, two.clone()),
        ("repeated", repeated, text, two),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn an_answer_is_the_same_wherever_its_stream_is_cut(
        which in 0usize..4,
        cuts in prop::collection::vec(1usize..40, 0..120),
    ) {
        let (name, bytes, text, calls) = recorded().swap_remove(which);
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece.to_vec());
            rest = after;
        }
        pieces.push(rest.to_vec());
        let (answer, deltas) = ask(&endpoint(pieces), &request());
        let answer = answer.unwrap();
        prop_assert_eq!(answer.text.as_str(), text, "{}", name);
        prop_assert_eq!(&answer.calls, &calls, "{}", name);
        prop_assert_eq!(&answer.finish, &Finish::ToolCalls);
        prop_assert_eq!((answer.usage.input, answer.usage.output, answer.usage.estimated), (12, 34, false));
        let (mut shown, mut calling) = (String::new(), Vec::new());
        for delta in deltas {
            match delta {
                Delta::Text(text) => shown.push_str(&text),
                Delta::Calling(name) => calling.push(name),
                Delta::Restarted(why) => panic!("{why}"),
                Delta::Asked { .. } | Delta::Arguments(_) | Delta::Spent => {}
            }
        }
        prop_assert_eq!(shown.as_str(), text);
        prop_assert_eq!(calling, ["dns.records.list", "vlan.list"]);
    }

    #[test]
    fn a_stream_that_ends_anywhere_before_its_end_is_no_answer(which in 0usize..4, part in 0usize..1000) {
        let (_, bytes, ..) = recorded().swap_remove(which);
        // Up to the piece that says why it ends.
        let end = bytes.windows(13).rposition(|window| window == b"finish_reason").unwrap();
        let (answer, _) = ask(&endpoint(vec![bytes[..end * part / 1000].to_vec()]), &request());
        prop_assert!(matches!(answer, Err(Trouble::Again { .. })), "{:?}", answer);
    }
}

#[test]
fn what_an_endpoint_says_is_taken_for_what_it_is() {
    let none = Value::Null;
    let twice = [
        delta(piece(json!(0), json!("x"), json!("vlan_list"), "{}")),
        delta(piece(json!(1), json!("x"), json!("dns_records_list_2"), "{}")),
        end("tool_calls"),
    ];
    let unnamed = [
        delta(piece(json!(0), none.clone(), json!("vlan_list"), "{}")),
        delta(piece(json!(1), none, json!("vlan_list"), "{}")),
        end("tool_calls"),
    ];
    let unknown = [delta(piece(json!(0), json!("x"), json!("rm -rf"), "{\"a\": }")), end("tool_calls")];
    let refusal = [delta(json!({"refusal": "I will "})), delta(json!({"refusal": "not"})), end("stop")];
    let text = |word: &str| [delta(json!({"content": "so"})), end(word)];
    let table = [
        (
            "two calls with one id",
            &twice[..],
            "",
            Finish::ToolCalls,
            // The second offer of a name that is the same once written as endpoints take it.
            vec![call("x", "vlan.list", "{}"), call("x-2", "dns_records_list", "{}")],
        ),
        (
            "calls without ids",
            &unnamed,
            "",
            Finish::ToolCalls,
            vec![call("call", "vlan.list", "{}"), call("call-2", "vlan.list", "{}")],
        ),
        ("a tool that there is not", &unknown, "", Finish::ToolCalls, vec![call("x", "rm -rf", "{\"a\": }")]),
        ("a refusal", &refusal, "I will not", Finish::Refused, vec![]),
    ];
    for (name, chunks, said, finish, calls) in table {
        let (answer, _) = ask(&endpoint(vec![events(chunks)]), &request());
        let answer = answer.unwrap();
        assert_eq!((answer.text.as_str(), answer.finish, answer.calls), (said, finish, calls), "{name}");
        assert!(answer.usage.estimated, "{name}: no figures were given");
    }
    for (word, finish) in [
        ("stop", Finish::Stop),
        ("length", Finish::Length),
        ("content_filter", Finish::Refused),
        ("tool_calls", Finish::Stop),
        ("max\u{0}imum", Finish::Other("max\u{fffd}imum".into())),
    ] {
        let (answer, _) = ask(&endpoint(vec![events(&text(word))]), &request());
        assert_eq!(answer.unwrap().finish, finish, "{word}");
    }
}

#[test]
fn the_request_says_what_the_configuration_and_the_conversation_say() {
    let mut asked = request();
    asked.output = Some(OutputSchema { name: "spec".into(), schema: json!({"type": "object"}) });
    let both = vec![call("a", "dns.records.list", "{}"), call("b", "no such tool!", "not json")];
    asked.messages.push(Message::Assistant { text: String::new(), calls: both });
    asked.messages.push(Message::Tool { call: "a".into(), text: "[]".into() });
    asked.messages.push(Message::Tool { call: "b".into(), text: "no".into() });
    let names = Names::of(&asked);
    let body = |lacks: &[Lack]| {
        let shape = Shape::of(&asked, &settings(), lacks.iter().copied().collect());
        wire::body(&asked, &used(), &shape, &names)
    };
    let whole = body(&[]);
    assert_eq!(whole["model"], "m-1");
    assert_eq!((&whole["stream"], &whole["stream_options"]), (&json!(true), &json!({"include_usage": true})));
    assert_eq!((&whole["max_tokens"], &whole["temperature"]), (&json!(100), &json!(0.5)));
    assert_eq!(whole["parallel_tool_calls"], true);
    assert_eq!(whole["response_format"]["json_schema"]["schema"], json!({"type": "object"}));
    let offered: Vec<&str> =
        whole["tools"].as_array().unwrap().iter().map(|t| t["function"]["name"].as_str().unwrap()).collect();
    assert_eq!(offered, ["dns_records_list", "dns_records_list_2", "vlan_list"]);
    let calls = &whole["messages"][2]["tool_calls"];
    assert_eq!(calls[0]["function"], json!({"name": "dns_records_list", "arguments": "{}"}));
    assert_eq!(calls[1]["function"], json!({"name": "no_such_tool_", "arguments": r#"{"not_json":"not json"}"#}));
    assert_eq!(whole["messages"][3], json!({"role": "tool", "tool_call_id": "a", "content": "[]"}));

    // One call at a time is asked for, and not only hoped for.
    let single = EndpointSettings { parallel_tool_calls: Switch::Off, ..settings() };
    let shape = Shape::of(&asked, &single, [].into());
    assert_eq!(wire::body(&asked, &used(), &shape, &Names::of(&asked))["parallel_tool_calls"], false);
    let known = Shape::of(&asked, &single, [Lack::ParallelCalls].into());
    assert!(wire::body(&asked, &used(), &known, &Names::of(&asked)).get("parallel_tool_calls").is_none());

    // What it lacks is left out, and nothing is lost by that.
    let all = [Lack::StructuredOutput, Lack::ParallelCalls, Lack::StreamUsage, Lack::MaxTokens, Lack::Temperature];
    let less = body(&all);
    for field in ["response_format", "parallel_tool_calls", "stream_options", "max_tokens", "temperature"] {
        assert!(less.get(field).is_none() && whole.get(field).is_some(), "{field}");
    }
    assert_eq!(less["max_completion_tokens"], 100);
    let system = less["messages"][0]["content"].as_str().unwrap();
    assert!(system.starts_with("be exact") && system.ends_with(r#"{"type":"object"}"#), "{system}");
    let order: Vec<String> = less["messages"].as_array().unwrap()[2..]
        .iter()
        .map(|message| match message.get("tool_calls") {
            Some(calls) => calls.as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap()).collect(),
            None => format!("answers {}", message["tool_call_id"].as_str().unwrap()),
        })
        .collect();
    assert_eq!(order, ["a", "answers a", "b", "answers b"]);
}

#[test]
fn what_an_endpoint_does_not_know_is_found_in_what_it_says() {
    let mut asked = request();
    asked.output = Some(OutputSchema { name: "spec".into(), schema: json!({}) });
    let body =
        |asked: &ModelRequest| wire::body(asked, &used(), &Shape::of(asked, &settings(), [].into()), &Names::of(asked));
    let beside = body(&asked);
    asked.tools.clear();
    let alone = body(&asked);
    let auto = settings();
    let always = EndpointSettings { structured_output: Switch::On, ..settings() };
    for (status, says, body, settings, lack) in [
        (
            400,
            "'response_format' of type 'json_schema' is not supported with this model",
            &alone,
            &auto,
            Some(Lack::StructuredOutput),
        ),
        (400, "Cannot use tools with grammar constraints", &beside, &auto, Some(Lack::StructuredOutputBesideTools)),
        (500, "Failed to parse grammar", &alone, &auto, Some(Lack::StructuredOutput)),
        (400, "response_format is not supported", &alone, &always, None),
        (400, "This model only supports single tool-calls at once!", &beside, &auto, Some(Lack::ParallelCalls)),
        (400, "Unsupported parameter: 'parallel_tool_calls'", &alone, &auto, None),
        (422, "stream_options: Extra inputs are not permitted", &alone, &auto, Some(Lack::StreamUsage)),
        (
            400,
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            &alone,
            &auto,
            Some(Lack::MaxTokens),
        ),
        (400, "max_tokens is too large: 100", &alone, &auto, None),
        (400, "temperature does not support 0.5; only the default (1)", &alone, &auto, Some(Lack::Temperature)),
        (401, "no key for response_format", &alone, &auto, None),
        (500, "internal error: schema missing in database", &alone, &auto, None),
        (400, "the context is too long", &beside, &auto, None),
    ] {
        assert_eq!(wire::lacking(status, says, body, settings), lack, "{status} {says}");
    }
}

#[test]
fn tokens_cost_what_the_configuration_says() {
    let price = |input, output| Price { input, output, currency: "USD".into() };
    for (price, input, output, micros) in [
        (price(2.0, 8.0), 1000, 500, 6_000),
        (price(0.15, 0.6), 1, 1, 1),
        (price(0.15, 0.6), 1_000_000, 1_000_000, 750_000),
        (price(0.0, 0.0), 5, 5, 0),
    ] {
        assert_eq!(price.micros(input, output), micros);
    }
}

#[test]
fn a_key_is_in_nothing_that_can_be_printed() {
    let pieces =
        [delta(json!({"content": "your key is canary-"})), delta(json!({"content": "key-0001, yes"})), end("stop")];
    let mut endpoint = endpoint(vec![events(&pieces)]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"canary-key-0001\n").unwrap();
    endpoint.settings.key = Some(crate::model::KeySource::File(file.path().to_string_lossy().into_owned()));
    let seen = Arc::new(Mutex::new(String::new()));
    let line = endpoint.line.take().unwrap().unwrap();
    let (inner, spy) = (line.send.clone(), Arc::clone(&seen));
    let send: Send = Arc::new(move |request: Request| {
        let header = request.headers()["authorization"].to_str().unwrap().to_owned();
        *spy.lock().unwrap() = format!("{header} {request:?}");
        inner(request)
    });
    assert!(endpoint.line.set(Ok(Line { client: line.client, send })).is_ok());
    let (answer, deltas) = ask(&endpoint, &request());
    let answer = answer.unwrap();
    let printed = format!("{answer:?} {deltas:?} {:?}", endpoint.settings);
    assert!(answer.text.contains("your key is [key], yes") && !printed.contains("canary-key"), "{printed}");
    let seen = seen.lock().unwrap();
    assert!(seen.starts_with("Bearer canary-key-0001 ") && seen.matches("canary-key").count() == 1, "{seen}");
}
