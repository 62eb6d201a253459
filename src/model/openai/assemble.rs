//! An answer put together from the pieces of a stream. Pure. Endpoints disagree on much: what is one call and what the
//! next, where a name stands, what is left out. What cannot be made sense of is an error, never a guess about a call.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::engagement::{Finish, Usage};

use super::{
    super::{
        Answer, Delta, Message, ModelRequest, ToolRequest,
        clean::{clean, controls, short},
        key::Redactor,
        message::MOST_CALLS,
        meter::tokens,
    },
    wire::Names,
};

/// The longest answer, in bytes of text and arguments together.
const LONGEST: usize = 2 * 1024 * 1024;

/// Why there is no answer in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It ended too early or made no sense; the endpoint may do better.
    Again(String),
    /// The answer is of no use, and another like it would not be either.
    Never(String),
}

/// An answer under way.
pub(super) struct Assembly<'a> {
    names: &'a Names,
    redactor: Redactor,
    shown: Redactor,
    text: String,
    refusal: String,
    calls: Vec<Slot>,
    finish: Option<String>,
    usage: Option<(u64, u64)>,
    model: Option<String>,
    bytes: usize,
    any: bool,
}

#[derive(Default)]
struct Slot {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    told: bool,
}

impl<'a> Assembly<'a> {
    /// Nothing yet. The redactors take the same key out, one of the whole answer and one of its pieces.
    pub(super) fn new(names: &'a Names, redactor: Redactor, shown: Redactor) -> Self {
        Self {
            names,
            redactor,
            shown,
            text: String::new(),
            refusal: String::new(),
            calls: Vec::new(),
            finish: None,
            usage: None,
            model: None,
            bytes: 0,
            any: false,
        }
    }

    /// Takes in one event, or the whole of an answer that was not streamed.
    pub(super) fn take(&mut self, event: &Value, watch: &mut (dyn FnMut(Delta) + Send)) -> Result<(), Broken> {
        if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
            let says = error.get("message").and_then(Value::as_str).or(error.as_str()).unwrap_or("an error");
            let says = self.redactor.text(&short(says, 200));
            return Err(Broken::Again(format!("it broke off with: {says}")));
        }
        if let Some(name) = event.get("model").and_then(Value::as_str).filter(|name| !name.is_empty()) {
            self.model = Some(self.redactor.text(&short(name, 200)));
        }
        if let Some(usage) = event.get("usage").and_then(figures) {
            self.usage = Some(usage);
        }
        let choices = event.get("choices").and_then(Value::as_array);
        let first = |choice: &&Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0;
        let Some(choice) = choices.and_then(|choices| choices.iter().find(first)) else { return Ok(()) };
        self.any = true;
        if let Some(piece) = choice.get("delta").or_else(|| choice.get("message")) {
            self.piece(piece, watch)?;
        }
        if let Some(word) = choice.get("finish_reason").and_then(Value::as_str).filter(|word| !word.is_empty()) {
            self.finish = Some(word.to_owned());
        }
        Ok(())
    }

    fn piece(&mut self, piece: &Value, watch: &mut (dyn FnMut(Delta) + Send)) -> Result<(), Broken> {
        let text = piece.get("content").map(texts).unwrap_or_default();
        if !text.is_empty() {
            self.grow(text.len())?;
            let shown = self.shown.pass(text.as_bytes());
            tell(&shown, watch);
            self.text.push_str(&text);
        }
        let refusal = piece.get("refusal").map(texts).unwrap_or_default();
        self.grow(refusal.len())?;
        self.refusal.push_str(&refusal);
        for call in piece.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.call(call.get("index").and_then(Value::as_u64), call.get("id"), call.get("function"), watch)?;
        }
        // What tools were called before there were several.
        match piece.get("function_call").filter(|call| call.is_object()) {
            Some(call) => self.call(Some(0), None, Some(call), watch),
            None => Ok(()),
        }
    }

    fn call(
        &mut self,
        index: Option<u64>,
        id: Option<&Value>,
        function: Option<&Value>,
        watch: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<(), Broken> {
        let text = |value: Option<&Value>| match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let (id, function) = (text(id), function.unwrap_or(&Value::Null));
        let (name, arguments) = (text(function.get("name")), text(function.get("arguments")));
        self.grow(id.len() + name.len() + arguments.len())?;
        let at = match self.slot(index, &id, &name) {
            Some(at) => at,
            None if self.calls.len() >= MOST_CALLS => {
                return Err(Broken::Never(format!("it asked for more than {MOST_CALLS} calls at once")));
            }
            None => {
                self.calls.push(Slot { index, ..Slot::default() });
                self.calls.len() - 1
            }
        };
        let names = self.names;
        let Some(slot) = self.calls.get_mut(at) else { return Ok(()) };
        if slot.id.is_empty() {
            slot.id = id;
        }
        // A name comes whole, in pieces, or with every piece again.
        if slot.name != name {
            slot.name.push_str(&name);
        }
        slot.arguments.push_str(&arguments);
        if !arguments.is_empty() {
            watch(Delta::Arguments(arguments.len()));
        }
        if !slot.told && !slot.name.is_empty() && !slot.arguments.is_empty() {
            slot.told = true;
            let name = self.redactor.text(&short(&names.back(&slot.name), 100));
            watch(Delta::Calling(name));
        }
        Ok(())
    }

    /// The call that a piece goes on with; nothing where it begins one.
    fn slot(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let last = |test: &dyn Fn(&Slot) -> bool| self.calls.iter().rposition(test);
        let begins = |slot: &Slot| {
            let other_id = !id.is_empty() && !slot.id.is_empty() && slot.id != id;
            other_id && !name.is_empty()
        };
        match index {
            // Some number all calls alike and tell them apart by their ids.
            Some(_) => {
                let at = last(&|slot| slot.index == index)?;
                self.calls.get(at).filter(|slot| !begins(slot)).map(|_| at)
            }
            None if !id.is_empty() => {
                let at = last(&|slot| slot.id == id)?;
                self.calls.get(at).filter(|slot| name.is_empty() || slot.name == name).map(|_| at)
            }
            None if !name.is_empty() => None,
            None => self.calls.len().checked_sub(1),
        }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Broken> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > LONGEST {
            return Err(Broken::Never(format!(
                "its answer is longer than {} MiB; lower `max_tokens` of this role",
                LONGEST / (1024 * 1024)
            )));
        }
        Ok(())
    }

    /// Whether the endpoint has said why its answer ends; what may follow are figures.
    pub(super) fn ended(&self) -> bool {
        self.finish.is_some()
    }

    /// The answer, once the stream has ended. `reserved` is about what the request was, where the endpoint does not say.
    pub(super) fn finish(
        mut self,
        request: &ModelRequest,
        reserved: u64,
        watch: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, Broken> {
        tell(&self.shown.rest(), watch);
        if !self.any {
            return Err(Broken::Again("its answer has no choice in it".into()));
        }
        let Some(word) = self.finish.take() else {
            return Err(Broken::Again("its answer broke off before its end".into()));
        };
        let mut notes = Vec::new();
        let whole = [self.text.as_str(), self.refusal.as_str()].concat();
        let count = controls(&whole) + self.calls.iter().map(|call| controls(&call.arguments)).sum::<usize>();
        if count > 0 {
            notes.push(format!("{count} control characters in the answer were replaced"));
        }
        let finish = match word.as_str() {
            _ if !self.refusal.is_empty() => Finish::Refused,
            // Some say `stop` beside calls.
            "stop" | "tool_calls" | "function_call" | "eos" if !self.calls.is_empty() => Finish::ToolCalls,
            "stop" | "eos" => Finish::Stop,
            "tool_calls" | "function_call" => {
                notes.push("the endpoint said that tools are to be called, and named none".into());
                Finish::Stop
            }
            "length" => Finish::Length,
            "content_filter" => Finish::Refused,
            other => Finish::Other(self.redactor.text(&short(other, 60))),
        };
        let (input, output) = self.usage.unwrap_or((reserved, tokens(self.bytes)));
        let usage = Usage { input, output, estimated: self.usage.is_none(), cost_micros: None };
        let calls = self.requests(request, &mut notes);
        Ok(Answer {
            text: clean(&self.redactor.text(&whole)),
            calls,
            finish,
            usage,
            endpoint: String::new(),
            model: self.model.unwrap_or_default(),
            notes,
        })
    }

    /// The calls with ids of their own: some endpoints give none, and some give one twice, in the answer or in the
    /// conversation, and then nobody could say which call a result answers.
    fn requests(&self, request: &ModelRequest, notes: &mut Vec<String>) -> Vec<ToolRequest> {
        let said = request.messages.iter().filter_map(|message| match message {
            Message::Assistant { calls, .. } => Some(calls.iter().map(|call| call.id.clone())),
            _ => None,
        });
        let mut taken: BTreeSet<String> = said.flatten().collect();
        let mut renamed = 0;
        let mut calls = Vec::new();
        for slot in &self.calls {
            let given = self.redactor.text(&short(&slot.id, 100));
            let mut id = if given.is_empty() { "call".to_owned() } else { given.clone() };
            let base = id.clone();
            for n in 2.. {
                if !taken.contains(&id) {
                    break;
                }
                id = format!("{base}-{n}");
            }
            renamed += usize::from(id != given);
            taken.insert(id.clone());
            calls.push(ToolRequest {
                id,
                name: self.redactor.text(&clean(&self.names.back(&slot.name))),
                arguments: clean(&self.redactor.text(&slot.arguments)),
            });
        }
        if renamed > 0 {
            notes.push(format!("{renamed} calls had no id of their own and were given one"));
        }
        calls
    }
}

fn tell(shown: &[u8], watch: &mut (dyn FnMut(Delta) + Send)) {
    let text = clean(&String::from_utf8_lossy(shown));
    if !text.is_empty() {
        watch(Delta::Text(text));
    }
}

/// A text, or the texts of the parts of one.
fn texts(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let text = |part: &Value| part.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
            parts.iter().map(text).collect()
        }
        _ => String::new(),
    }
}

/// The tokens read and written; nothing where there are no sound figures.
fn figures(usage: &Value) -> Option<(u64, u64)> {
    const MOST: u64 = 1 << 40;
    let figure = |name: &str| usage.get(name).and_then(Value::as_u64).filter(|n| *n < MOST);
    let (input, output) = (figure("prompt_tokens")?, figure("completion_tokens").unwrap_or(0));
    (input + output > 0).then_some((input, output))
}
