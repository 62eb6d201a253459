//! The calls of a turn: what each of them is, whether anything came of it, and what the model is told. What a call of a
//! tool gave is read from the chain, where the broker wrote it.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    artifact::{Agent, ArtifactKind, CallId, Digest, ValueSchema, ValueType, canonical, from_json},
    engagement::{
        AgentAsked, AgentQuestion, CallOutcome, DocumentError, Exchange, Proposal, Purpose, Reading, Turned, drafter,
        read_document,
    },
    model::{Answer, ToolRequest, plain},
    tool::{shown, shown_error},
};

use super::{
    data::{data, fitted, slice},
    offer::{ASK, READ_RESULT},
    turn::Desk,
};

/// One call of a turn.
pub(super) struct TurnCall {
    /// The turn, counted over the engagement.
    turn: u32,
    /// Its place in the turn, from 1.
    nth: u32,
    /// The name and arguments as the model wrote them.
    name: String,
    arguments: String,
    wants: Wants,
}

/// What a call wants.
enum Wants {
    /// Answers of the requester.
    Ask(Vec<AgentQuestion>),
    /// A part of a result that was shown already.
    Slice(Slice),
    /// A tool of a server, which the broker decides.
    Tool(Proposal),
    /// Nothing that could be made out, and why.
    Nothing(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slice {
    call: CallId,
    #[serde(default)]
    path: String,
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Questions {
    questions: Vec<Question>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    text: String,
    #[serde(default)]
    choices: Vec<Value>,
    #[serde(default, rename = "type")]
    kind: Option<ValueType>,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An answer.
    Something,
    /// A refusal or an error.
    Nothing,
    /// It was no call that could be made out.
    NoCall,
}

impl<'a> Desk<'a> {
    /// The answer of a turn.
    pub(super) fn answer_of(&self, turned: &Turned) -> Result<Answer, DocumentError> {
        let digest = turned.response.unwrap_or(Digest::ZERO);
        read_document(digest, self.view.blobs, "a model's answer")
    }

    /// The calls of a turn, in its order.
    pub(super) fn calls_of(
        &self,
        kind: ArtifactKind,
        number: u32,
        turned: &Turned,
    ) -> Result<Vec<TurnCall>, DocumentError> {
        if turned.calls == 0 {
            return Ok(Vec::new());
        }
        let answer = self.answer_of(turned)?;
        let mut asked = false;
        let calls = answer.calls.into_iter().zip(1..).map(|(request, nth)| {
            let mut call = self.call(kind, number, nth, request);
            if let Wants::Ask(_) = call.wants {
                if asked {
                    call.wants = Wants::Nothing(format!("`{ASK}` once in a turn, with all questions in it"));
                }
                asked = true;
            }
            call
        });
        Ok(calls.collect())
    }

    fn call(&self, kind: ArtifactKind, turn: u32, nth: u32, request: ToolRequest) -> TurnCall {
        let ToolRequest { name, arguments, .. } = request;
        let wants = match from_json("the arguments", if arguments.trim().is_empty() { "{}" } else { &arguments }) {
            Err(error) => Wants::Nothing(format!("{error}; write one JSON object")),
            Ok(Value::Object(args)) => match (name.as_str(), drafter(kind)) {
                (ASK, Some(Agent::Requirements)) => self.questions(Value::Object(args)),
                (READ_RESULT, Some(Agent::Design | Agent::Build)) => {
                    match serde_json::from_value(Value::Object(args)) {
                        Ok(slice) => Wants::Slice(slice),
                        Err(error) => Wants::Nothing(error.to_string()),
                    }
                }
                (_, Some(agent)) => {
                    let purpose = Purpose::Turn { turn, call: nth };
                    Wants::Tool(Proposal { agent, purpose, tool: self.meant(&name), args })
                }
                (_, None) => Wants::Nothing("nothing may be called here".into()),
            },
            Ok(_) => Wants::Nothing("the arguments are not one JSON object".into()),
        };
        TurnCall { turn, nth, name, arguments, wants }
    }

    /// The tool that a name means. Endpoints write names without dots, and know only those that are offered: another tool
    /// in that spelling is the tool itself, so that what is not granted is decided as what it is.
    fn meant(&self, name: &str) -> String {
        let tools = || self.catalog.toolbox.tools().map(|tool| tool.name.as_str());
        if tools().any(|tool| tool == name) {
            return name.to_owned();
        }
        let mut alike = tools().filter(|tool| plain(tool) == name);
        match (alike.next(), alike.next()) {
            (Some(tool), None) => tool.to_owned(),
            _ => name.to_owned(),
        }
    }

    fn questions(&self, args: Value) -> Wants {
        let wrong = |why: String| Wants::Nothing(why);
        let asked: Questions = match serde_json::from_value(args) {
            Ok(asked) => asked,
            Err(error) => return wrong(error.to_string()),
        };
        if asked.questions.is_empty() || asked.questions.len() > AgentAsked::MOST {
            return wrong(format!("{} questions; ask one to {}", asked.questions.len(), AgentAsked::MOST));
        }
        if asked.questions.iter().any(|q| q.text.trim().is_empty() || q.text.len() > AgentQuestion::LONGEST) {
            return wrong(format!("a question has 1 to {} characters", AgentQuestion::LONGEST));
        }
        if asked.questions.iter().any(|question| question.choices.len() > AgentQuestion::MOST_CHOICES) {
            return wrong(format!("a question has at most {} choices", AgentQuestion::MOST_CHOICES));
        }
        let questions = asked.questions.into_iter().enumerate().map(|(at, question)| AgentQuestion {
            // The ids are given when the question is asked; here only their order is known.
            id: at.to_string(),
            text: question.text.trim().to_owned(),
            schema: schema(question.choices, question.kind),
        });
        Wants::Ask(questions.collect())
    }

    /// A result that this engagement's design agent was shown, as far as it may be.
    fn result(&self, id: &CallId) -> Option<Value> {
        let own = |call: &&crate::engagement::Call| {
            call.agent == Agent::Design && matches!(call.purpose, Purpose::Turn { .. })
        };
        let call = self.view.state.calls.get(id).filter(own)?;
        let tool = self.catalog.toolbox.tool(&call.tool_name()?)?;
        Some(shown(tool, self.view.blobs.get(&call.result?)?))
    }
}

/// What an answer must be, where the question says.
fn schema(choices: Vec<Value>, kind: Option<ValueType>) -> Option<ValueSchema> {
    if choices.is_empty() && matches!(kind, None | Some(ValueType::String | ValueType::Array)) {
        return None;
    }
    let of_choice = |choice: &Value| match choice {
        Value::Number(_) => ValueType::Integer,
        Value::Bool(_) => ValueType::Boolean,
        _ => ValueType::String,
    };
    let kind = kind.or_else(|| choices.first().map(of_choice)).unwrap_or(ValueType::String);
    serde_json::from_value(json!({"type": kind, "enum": choices})).ok()
}

impl TurnCall {
    /// The id that it has in the conversation: the program's own, whatever the endpoint called it.
    pub(super) fn id(&self) -> String {
        format!("t{}c{}", self.turn, self.nth)
    }

    /// The same request under the program's own id.
    pub(super) fn request(&self) -> ToolRequest {
        ToolRequest { id: self.id(), name: self.name.clone(), arguments: self.arguments.clone() }
    }

    /// The tool and the arguments in canonical form.
    pub(super) fn words(&self) -> (String, String) {
        let value = from_json("the arguments", &self.arguments).ok();
        let canonical =
            value.and_then(|value| canonical(&value).ok()).map(|bytes| String::from_utf8_lossy(&bytes).into());
        (self.name.clone(), canonical.unwrap_or_else(|| self.arguments.clone()))
    }

    /// The proposal, where it wants a tool that was not called yet.
    pub(super) fn open(&self, desk: &Desk<'_>) -> Option<&Proposal> {
        let Wants::Tool(proposal) = &self.wants else { return None };
        matches!(desk.view.reading(&proposal.purpose), Reading::Open | Reading::Again).then_some(proposal)
    }

    /// What it read, where it read anything.
    pub(super) fn read(&self, desk: &Desk<'_>) -> Option<Value> {
        let Wants::Tool(proposal) = &self.wants else { return None };
        let Reading::Value(id, _) = desk.view.reading(&proposal.purpose) else { return None };
        Some(json!({"call": id, "tool": proposal.tool, "with": proposal.args}))
    }

    /// The questions, where it asks any.
    pub(super) fn asks(&self) -> Option<&[AgentQuestion]> {
        match &self.wants {
            Wants::Ask(questions) => Some(questions),
            _ => None,
        }
    }

    /// What came of it; `rest` is what was said after its turn.
    pub(super) fn outcome(&self, desk: &Desk<'_>, rest: &[Exchange]) -> Outcome {
        match &self.wants {
            Wants::Nothing(_) => Outcome::NoCall,
            Wants::Ask(_) if rest.iter().any(|piece| matches!(piece, Exchange::Asked(_))) => Outcome::Something,
            Wants::Ask(_) => Outcome::Nothing,
            Wants::Slice(wanted) => match self.sliced(desk, wanted) {
                Ok(_) => Outcome::Something,
                Err(_) => Outcome::Nothing,
            },
            Wants::Tool(proposal) => match desk.view.reading(&proposal.purpose) {
                Reading::Value(..) => Outcome::Something,
                _ => Outcome::Nothing,
            },
        }
    }

    /// What the model is told of it.
    pub(super) fn told(&self, desk: &Desk<'_>, rest: &[Exchange]) -> String {
        match &self.wants {
            Wants::Nothing(why) => data("no call", &json!({"wrong": why})),
            Wants::Ask(_) => answers(rest),
            Wants::Slice(wanted) => match self.sliced(desk, wanted) {
                Ok(part) => data("part of a result", &part),
                Err(why) => data("no result", &json!({"wrong": why})),
            },
            Wants::Tool(proposal) => tool_said(desk, proposal),
        }
    }

    fn sliced(&self, desk: &Desk<'_>, wanted: &Slice) -> Result<Value, String> {
        let result = desk.result(&wanted.call).ok_or("no result of this call was shown in this engagement")?;
        slice(&result, &wanted.path, wanted.offset, wanted.limit)
    }
}

/// The answers to the questions of a turn.
fn answers(rest: &[Exchange]) -> String {
    let asked = rest.iter().find_map(|piece| match piece {
        Exchange::Asked(asked) => Some(asked),
        _ => None,
    });
    let said = rest.iter().find_map(|piece| match piece {
        Exchange::Said(_, said) => Some(said),
        _ => None,
    });
    let (Some(asked), Some(said)) = (asked, said) else {
        return data("no answer", &json!({"wrong": "the questions were not put to anyone"}));
    };
    let answers: Vec<Value> = asked
        .questions
        .iter()
        .map(|question| json!({"question": question.text, "answer": said.answers.get(&question.id)}))
        .collect();
    data("the requester answers", &json!({"answers": answers, "says": said.text}))
}

/// What came of a tool's call. Of what the tool said only what its manifest lets out.
fn tool_said(desk: &Desk<'_>, proposal: &Proposal) -> String {
    let reading = desk.view.reading(&proposal.purpose);
    let id = match &reading {
        Reading::Value(id, _) | Reading::Failed(Some(id), _) => id.clone(),
        _ => return data("no call", &json!({"wrong": "the call was not made"})),
    };
    let call = desk.view.state.calls.get(&id);
    let tool = call.and_then(|call| desk.catalog.toolbox.tool(&call.tool_name()?));
    let label = format!("call {id}");
    match (reading, call, tool) {
        (Reading::Value(_, value), Some(_), Some(tool)) => {
            let (part, whole) = fitted(&shown(tool, &value));
            // Nothing is said of what is left out: a digest of it all would let a guess at that be confirmed.
            match whole {
                true => data(&label, &part),
                false => data(&format!("{label}, shown in part, the rest with `{READ_RESULT}`"), &part),
            }
        }
        (_, Some(call), _) if call.refused.is_some() => {
            let reason = call.refused.as_ref().map(|(_, reason)| reason.as_str()).unwrap_or_default();
            data(&label, &json!({"refused": reason}))
        }
        (_, Some(call), Some(tool)) if call.outcome == Some(CallOutcome::Error) => {
            data(&label, &shown_error(tool, call.message.as_deref().unwrap_or_default()))
        }
        _ => data(&label, &json!({"failed": "no answer came, so nothing is known"})),
    }
}
