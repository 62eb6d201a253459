//! Answers from a script: a model that nobody asks, for trying things out and for tests. Simulated, and called so
//! wherever it shows.
//!
//! Which turn is next is read off the conversation (how often the agent has spoken in it) and kept nowhere: an
//! engagement that goes on in another process goes on in its script, and each engagement begins at the first turn.

use std::path::Path;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::{
    artifact::{Agent, YamlError, from_yaml},
    engagement::{Finish, Usage},
};

use super::{
    Answer, Delta, Message, ModelError, ModelRequest, ToolRequest,
    health::Health,
    list::{Endpoint, Trouble, told},
    message::MOST_CALLS,
    script::{ScriptCall, ScriptFile, ScriptTokens, ScriptTurn},
};

/// What stands behind the name of the endpoint wherever it shows.
const SIMULATED: &str = "(simulated)";

/// A scripted model.
pub(super) struct Scripted {
    name: String,
    shown: String,
    file: String,
    text: String,
    turns: Vec<ScriptTurn>,
    health: Health,
}

impl Scripted {
    /// Reads a script.
    pub(super) fn read(name: &str, path: &Path) -> Result<Self, YamlError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| YamlError {
            name: file.clone(),
            line: 1,
            column: 1,
            message: format!("this script cannot be read: {error}"),
        })?;
        Self::parse(name, file, text)
    }

    fn parse(name: &str, file: String, text: String) -> Result<Self, YamlError> {
        let script: ScriptFile = from_yaml(&file, &text)?;
        let wrong = |at: usize, why: &str| Err(YamlError::at(&file, &text, &format!("turns.{at}"), why));
        for (at, turn) in script.turns.iter().enumerate() {
            if turn.agent.is_none_or(|agent| agent == Agent::Verifier) {
                return wrong(at, "say whose turn it is: `agent: requirements`, `design` or `build`");
            }
            if turn.text.is_some() && turn.document.is_some() {
                return wrong(at, "say either `text` or `document`");
            }
            if turn.text.is_none() && turn.document.is_none() && turn.calls.is_empty() && turn.finish.is_none() {
                return wrong(at, "say what is answered: `text`, `document` or `calls`");
            }
            if turn.calls.len() > MOST_CALLS {
                return wrong(at, &format!("at most {MOST_CALLS} calls come in one turn, as from an endpoint"));
            }
            if turn.calls.iter().any(|call| call.with.is_some() && call.arguments.is_some()) {
                return wrong(at, "say either `with` or `arguments` of a call");
            }
        }
        let shown = format!("{name} {SIMULATED}");
        Ok(Self { name: name.into(), shown, file, text, turns: script.turns, health: Health::new(None, None) })
    }

    fn turn(&self, request: &ModelRequest) -> Result<Answer, ModelError> {
        let output = request.output.as_ref().map(|output| output.name.as_str());
        let own = |turn: &ScriptTurn| {
            let draft = turn.drafting.as_deref();
            turn.agent == Some(request.agent) && (draft.is_none() || draft == output)
        };
        let spoken = request.messages.iter().filter(|message| matches!(message, Message::Assistant { .. })).count();
        let spoken = spoken + request.left_out;
        let mut all = self.turns.iter().enumerate().filter(|(_, turn)| own(turn));
        let agent = request.agent.as_str();
        let (at, turn) = all.nth(spoken).ok_or_else(|| ModelError::Exhausted(self.file.clone(), agent.into()))?;
        let said = everything(request);
        let differs = |field: &str, why: String| {
            let place = YamlError::at(&self.file, &self.text, &format!("turns.{at}.{field}"), why);
            ModelError::Differs(place.to_string())
        };
        for (nth, expected) in turn.expect.iter().enumerate() {
            if !said.contains(expected.as_str()) {
                let why = format!("the request of the {agent} agent does not contain `{expected}`");
                return Err(differs(&format!("expect.{nth}"), why));
            }
        }
        let mut taken = Vec::new();
        for (name, take) in &turn.take {
            let after = said.rfind(&take.after).and_then(|found| said.get(found + take.after.len()..));
            let found = after.and_then(|after| after.find(&take.until).and_then(|end| after.get(..end)));
            let Some(found) = found else {
                let why = format!("the request has nothing between `{}` and `{}`", take.after, take.until);
                return Err(differs(&format!("take.{name}"), why));
            };
            taken.push((format!("${{{name}}}"), found.to_owned()));
        }
        let fill = |text: &str| taken.iter().fold(text.to_owned(), |text, (name, found)| text.replace(name, found));
        let document = turn.document.as_ref().map(|document| filled(document, &fill).to_string());
        let text = document.or_else(|| turn.text.as_deref().map(fill)).unwrap_or_default();
        let call = |(nth, call): (usize, &ScriptCall)| ToolRequest {
            id: format!("simulated-{}-{}", at + 1, nth + 1),
            name: call.tool.clone(),
            arguments: match (&call.arguments, &call.with) {
                (Some(text), _) => fill(text),
                (None, Some(with)) => filled(with, &fill).to_string(),
                (None, None) => "{}".into(),
            },
        };
        let calls: Vec<ToolRequest> = turn.calls.iter().enumerate().map(call).collect();
        let guess = |text: &str| (text.len() as u64).div_ceil(4);
        let usage = match turn.usage {
            Some(ScriptTokens { input, output }) => Usage { input, output, estimated: false, cost_micros: None },
            None => Usage { input: guess(&said), output: guess(&text), estimated: true, cost_micros: None },
        };
        let ends = if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
        Ok(Answer {
            text,
            calls,
            finish: turn.finish.clone().unwrap_or(ends),
            usage,
            endpoint: self.shown.clone(),
            model: "scripted".into(),
            notes: vec![format!("simulated: turn {} of {}", at + 1, self.file)],
        })
    }
}

/// All that a request says, one text after another.
fn everything(request: &ModelRequest) -> String {
    let mut all = String::new();
    let mut add = |text: &str| {
        all.push_str(text);
        all.push('\n');
    };
    for message in &request.messages {
        match message {
            Message::System { text } | Message::User { text } => add(text),
            Message::Assistant { text, calls } => {
                add(text);
                for call in calls {
                    add(&format!("{} {}", call.name, call.arguments));
                }
            }
            Message::Tool { call, text } => {
                add(call);
                add(text);
            }
        }
    }
    for tool in &request.tools {
        add(&tool.name);
    }
    if let Some(output) = &request.output {
        add(&output.name);
    }
    all
}

fn filled(value: &Value, fill: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text)),
        Value::Array(items) => items.iter().map(|item| filled(item, fill)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, item)| (fill(name), filled(item, fill))).collect(),
        other => other.clone(),
    }
}

impl Endpoint for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn health(&self) -> &Health {
        &self.health
    }

    fn reserve(&self, _: &ModelRequest) -> u64 {
        0
    }

    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a mut (dyn FnMut(Delta) + Send),
    ) -> BoxFuture<'a, Result<Answer, Trouble>> {
        Box::pin(async move { Ok(told(self.turn(request).map_err(Trouble::Final)?, watch)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OutputSchema, ToolOffer};

    fn script(turns: &str) -> Result<Scripted, YamlError> {
        Scripted::parse("practice", "turns.yaml".into(), format!("kind: turns\nturns:\n{turns}"))
    }

    fn request(agent: Agent, said: &[&str], spoken: usize, output: Option<&str>) -> ModelRequest {
        let user = said.iter().map(|text| Message::User { text: (*text).into() });
        let own = (0..spoken).map(|_| Message::Assistant { text: "so".into(), calls: Vec::new() });
        ModelRequest {
            agent,
            messages: user.chain(own).collect(),
            left_out: 0,
            tools: vec![ToolOffer { name: "dns.records.list".into(), about: String::new(), parameters: Value::Null }],
            output: output.map(|name| OutputSchema { name: name.into(), schema: Value::Null }),
        }
    }

    #[test]
    fn turns_that_a_long_conversation_leaves_out_count() {
        let script =
            script("- {agent: design, text: one}\n- {agent: design, text: two}\n- {agent: design, text: three}\n")
                .unwrap();
        let cut = |left_out| ModelRequest { left_out, ..request(Agent::Design, &["hello"], 1, None) };
        assert_eq!(script.turn(&cut(0)).unwrap().text, "two");
        assert_eq!(script.turn(&cut(1)).unwrap().text, "three");
    }

    #[test]
    fn the_turns_of_an_agent_come_in_their_order_and_each_conversation_begins_anew() {
        let turns = "- {agent: design, drafting: discovery_report, calls: [{tool: dns.records.list, with: {zone: a.b}}]}\n\
                     - {agent: requirements, text: what zone?}\n\
                     - {agent: design, drafting: discovery_report, document: {kind: discovery_report, n: 1}}\n\
                     - {agent: design, drafting: solution_design, calls: [{tool: x, arguments: '{'}], finish: length}\n";
        let script = script(turns).unwrap();
        let turn = |agent, spoken, output| script.turn(&request(agent, &["hello"], spoken, output));
        for _ in 0..2 {
            let first = turn(Agent::Design, 0, Some("discovery_report")).unwrap();
            assert_eq!(first.calls[0].arguments, r#"{"zone":"a.b"}"#);
            assert_eq!((first.finish, first.endpoint.as_str()), (Finish::ToolCalls, "practice (simulated)"));
            assert!(first.notes[0].contains("simulated: turn 1 of turns.yaml") && first.usage.estimated);
        }
        let second = turn(Agent::Design, 1, Some("discovery_report")).unwrap();
        assert_eq!((second.text.as_str(), second.finish), (r#"{"kind":"discovery_report","n":1}"#, Finish::Stop));
        let other = turn(Agent::Design, 0, Some("solution_design")).unwrap();
        assert_eq!((other.calls[0].arguments.as_str(), other.finish), ("{", Finish::Length));
        assert_eq!(turn(Agent::Requirements, 0, None).unwrap().text, "what zone?");
        let none = turn(Agent::Requirements, 1, None).unwrap_err();
        assert_eq!(none, ModelError::Exhausted("turns.yaml".into(), "requirements".into()));
    }

    #[test]
    fn what_is_expected_must_be_there_and_what_is_taken_is_filled_in() {
        let turns = "- agent: design\n  expect: [web01, dns.records.list]\n  take: {call: {after: 'call ', until: ' '}}\n  \
                     document: {findings: [{cites: '${call}'}]}\n";
        let script = script(turns).unwrap();
        let answer = script.turn(&request(Agent::Design, &["web01: call c1 and call c2 too"], 0, None)).unwrap();
        assert_eq!(answer.text, r#"{"findings":[{"cites":"c2"}]}"#);
        let error = script.turn(&request(Agent::Design, &["call c1 "], 0, None)).unwrap_err().to_string();
        assert!(error.contains("turns.yaml:4:") && error.contains("does not contain `web01`"), "{error}");
        let error = script.turn(&request(Agent::Design, &["web01"], 0, None)).unwrap_err().to_string();
        assert!(error.contains("turns.yaml:5:") && error.contains("nothing between"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_script_is_said_at_its_line() {
        let many = format!("- {{agent: design, calls: [{}]}}\n", "{tool: t}, ".repeat(MOST_CALLS + 1));
        for (turns, line, says) in [
            ("- {agent: design, text: a}\n- {text: a}\n", 4, "whose turn"),
            ("- {agent: verifier, text: a}\n", 3, "whose turn"),
            ("- {agent: design}\n", 3, "say what is answered"),
            ("- {agent: design, text: a, document: {}}\n", 3, "either `text` or `document`"),
            ("- {agent: design, calls: [{tool: t, with: {}, arguments: x}]}\n", 3, "either `with` or `arguments`"),
            ("- {agent: design, says: a}\n", 3, "no field `says`"),
            (&many, 3, "at most 128 calls"),
        ] {
            let error = script(turns).map(|_| ()).unwrap_err();
            assert!(error.line == line && error.message.contains(says), "{turns}: {error}");
        }
    }
}
