//! A request in the words of Chat Completions. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::{
    Message, ModelRequest, OutputSchema, ToolRequest,
    config::{EndpointSettings, Switch, Use},
    health::Lack,
};

/// The longest name that endpoints take for a tool.
const LONGEST_NAME: usize = 64;

/// The names of tools as endpoints take them (`[A-Za-z0-9_-]`), there and back.
pub(super) struct Names {
    there: BTreeMap<String, String>,
    back: BTreeMap<String, String>,
}

impl Names {
    /// The names of the tools that a request offers.
    pub(super) fn of(request: &ModelRequest) -> Self {
        let mut names = Self { there: BTreeMap::new(), back: BTreeMap::new() };
        for tool in &request.tools {
            let plain = plain(&tool.name);
            let mut other = plain.clone();
            for n in 2.. {
                if !names.back.contains_key(&other) {
                    break;
                }
                let end = format!("_{n}");
                other = plain.chars().take(LONGEST_NAME - end.len()).collect::<String>() + &end;
            }
            names.back.insert(other.clone(), tool.name.clone());
            names.there.insert(tool.name.clone(), other);
        }
        names
    }

    /// A tool as the endpoint knows it.
    fn there(&self, name: &str) -> String {
        self.there.get(name).cloned().unwrap_or_else(|| plain(name))
    }

    /// A tool as the program knows it; what is not offered stays as the model wrote it.
    pub(super) fn back(&self, name: &str) -> String {
        self.back.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }
}

/// The name of a tool as endpoints take it.
pub(crate) fn plain(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let plain: String = name.chars().map(fits).take(LONGEST_NAME).collect();
    if plain.is_empty() { "_".into() } else { plain }
}

/// What of the optional things is asked for, from the settings and from what the endpoint was found to lack.
pub(super) struct Shape {
    /// Whether the schema of the answer is sent as such, rather than in the instructions.
    pub(super) structured: bool,
    /// Whether several calls may stand in one answer.
    parallel: bool,
    lacks: BTreeSet<Lack>,
}

impl Shape {
    /// The shape of a request.
    pub(super) fn of(request: &ModelRequest, settings: &EndpointSettings, lacks: BTreeSet<Lack>) -> Self {
        let beside = !request.tools.is_empty() && lacks.contains(&Lack::StructuredOutputBesideTools);
        let structured = match settings.structured_output {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => !lacks.contains(&Lack::StructuredOutput) && !beside,
        };
        let parallel = match settings.parallel_tool_calls {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => !lacks.contains(&Lack::ParallelCalls),
        };
        Self { structured: structured && request.output.is_some(), parallel, lacks }
    }

    /// What was left out because the endpoint lacks it, of what this request would have had.
    pub(super) fn left_out(&self, request: &ModelRequest, used: &Use) -> Vec<Lack> {
        let matters = |lack: &&Lack| match lack {
            Lack::StructuredOutput => request.output.is_some() && !self.structured,
            Lack::StructuredOutputBesideTools => {
                let whole = self.lacks.contains(&Lack::StructuredOutput);
                request.output.is_some() && !request.tools.is_empty() && !self.structured && !whole
            }
            Lack::ParallelCalls => !request.tools.is_empty() && !self.parallel,
            Lack::StreamUsage => true,
            Lack::MaxTokens => used.max_tokens.is_some(),
            Lack::Temperature => used.temperature.is_some(),
        };
        self.lacks.iter().filter(matters).copied().collect()
    }
}

/// The body of a request.
pub(super) fn body(request: &ModelRequest, used: &Use, shape: &Shape, names: &Names) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(used.model));
    body.insert("messages".into(), messages(request, shape, names));
    body.insert("stream".into(), json!(true));
    if !shape.lacks.contains(&Lack::StreamUsage) {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    if let Some(most) = used.max_tokens {
        let newer = shape.lacks.contains(&Lack::MaxTokens);
        body.insert(if newer { "max_completion_tokens" } else { "max_tokens" }.into(), json!(most));
    }
    if let Some(degree) = used.temperature.filter(|_| !shape.lacks.contains(&Lack::Temperature)) {
        body.insert("temperature".into(), json!(degree));
    }
    if !request.tools.is_empty() {
        let tool = |tool: &super::super::ToolOffer| {
            let name = names.there(&tool.name);
            json!({"type": "function", "function": {"name": name, "description": tool.about, "parameters": tool.parameters}})
        };
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
        // Where it is unsaid, most endpoints give several.
        if !shape.lacks.contains(&Lack::ParallelCalls) {
            body.insert("parallel_tool_calls".into(), json!(shape.parallel));
        }
    }
    if let Some(output) = request.output.as_ref().filter(|_| shape.structured) {
        let schema = json!({"name": plain(&output.name), "schema": output.schema, "strict": false});
        body.insert("response_format".into(), json!({"type": "json_schema", "json_schema": schema}));
    }
    Value::Object(body)
}

fn messages(request: &ModelRequest, shape: &Shape, names: &Names) -> Value {
    let mut instructions = request.output.as_ref().filter(|_| !shape.structured).map(in_words);
    let mut list = Vec::new();
    // Many templates take instructions at the beginning only.
    if let (Some(text), false) = (&instructions, matches!(request.messages.first(), Some(Message::System { .. }))) {
        list.push(json!({"role": "system", "content": text}));
        instructions = None;
    }
    let mut messages = request.messages.iter().peekable();
    while let Some(message) = messages.next() {
        match message {
            Message::System { text } => {
                let more = instructions.take().map(|more| format!("{text}\n\n{more}"));
                list.push(json!({"role": "system", "content": more.as_ref().unwrap_or(text)}));
            }
            Message::User { text } => list.push(json!({"role": "user", "content": text})),
            Message::Assistant { text, calls } if calls.len() > 1 && !shape.parallel => {
                // One by one, each with its result, which stands behind all of them in the request.
                let mut results = Vec::new();
                while let Some(Message::Tool { call, text }) =
                    messages.next_if(|next| matches!(next, Message::Tool { .. }))
                {
                    results.push((call, text));
                }
                for (at, call) in calls.iter().enumerate() {
                    list.push(assistant(if at == 0 { text } else { "" }, std::slice::from_ref(call), names));
                    let own = results.iter().filter(|(id, _)| **id == call.id);
                    list.extend(own.map(|(id, text)| json!({"role": "tool", "tool_call_id": id, "content": text})));
                }
                let lost = results.iter().filter(|(id, _)| !calls.iter().any(|call| call.id == **id));
                list.extend(lost.map(|(id, text)| json!({"role": "tool", "tool_call_id": id, "content": text})));
            }
            Message::Assistant { text, calls } => list.push(assistant(text, calls, names)),
            Message::Tool { call, text } => list.push(json!({"role": "tool", "tool_call_id": call, "content": text})),
        }
    }
    Value::Array(list)
}

fn assistant(text: &str, calls: &[ToolRequest], names: &Names) -> Value {
    if calls.is_empty() {
        return json!({"role": "assistant", "content": text});
    }
    let call = |call: &ToolRequest| {
        let function = json!({"name": names.there(&call.name), "arguments": readable(&call.arguments)});
        json!({"id": call.id, "type": "function", "function": function})
    };
    let content = if text.is_empty() { Value::Null } else { json!(text) };
    json!({"role": "assistant", "content": content, "tool_calls": calls.iter().map(call).collect::<Vec<_>>()})
}

/// Arguments as templates can read them back: many stop at what is no JSON object.
fn readable(arguments: &str) -> String {
    match serde_json::from_str::<Map<String, Value>>(arguments) {
        Ok(_) => arguments.to_owned(),
        Err(_) => json!({"not_json": arguments}).to_string(),
    }
}

/// The schema of the answer as an instruction.
fn in_words(output: &OutputSchema) -> String {
    format!(
        "When you give your final answer, write one JSON document and nothing else. It must satisfy this JSON Schema \
         (`{}`):\n{}",
        output.name, output.schema
    )
}

/// About how many tokens a request is: a token is about four bytes.
pub(super) fn estimate(request: &ModelRequest) -> u64 {
    request.tokens()
}

/// What the endpoint says that it does not know, of what was sent and is not known yet.
pub(super) fn lacking(status: u16, says: &str, body: &Value, settings: &EndpointSettings) -> Option<Lack> {
    let says = says.to_lowercase();
    let named = |words: &[&str]| words.iter().any(|word| says.contains(word));
    let sent = |field: &str| body.get(field).is_some();
    let unknown = named(&["unsupported", "not support", "unrecognized", "unknown", "not permitted", "extra inputs"]);
    let fault = matches!(status, 400 | 404 | 415 | 422);
    if !fault && !matches!(status, 500 | 501) {
        return None;
    }
    let schema =
        named(&["response_format", "json_schema", "structured output", "response format", "guided", "grammar"])
            || fault && named(&["schema"]) && !named(&["tools[", "function parameters", "for function"]);
    if sent("response_format") && schema && settings.structured_output == Switch::Auto {
        return Some(if sent("tools") { Lack::StructuredOutputBesideTools } else { Lack::StructuredOutput });
    }
    let single = named(&["parallel", "single tool-call", "single tool call", "one tool call"]);
    if sent("parallel_tool_calls") && single && settings.parallel_tool_calls != Switch::On {
        return Some(Lack::ParallelCalls);
    }
    if sent("stream_options") && named(&["stream_options", "include_usage"]) {
        return Some(Lack::StreamUsage);
    }
    if sent("max_tokens") && (named(&["max_completion_tokens"]) || unknown && named(&["max_tokens"])) {
        return Some(Lack::MaxTokens);
    }
    (sent("temperature") && named(&["temperature"]) && (unknown || named(&["only the default"])))
        .then_some(Lack::Temperature)
}
