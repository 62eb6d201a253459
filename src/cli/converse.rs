//! What a conversation is beside driving: where lines come from, and who speaks. Questions of
//! agents are asked here as a form; what is said goes to the agents and answers no gate.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Map;

use crate::{
    agent::Form,
    artifact::{InputSchema, ValueSchema, from_yaml},
    engagement::AgentQuestion,
    facts::Identity,
    ledger::Journal,
    runtime::{Workspace, say as tell},
};

use super::{
    asking::{Asked, Beside, ask_all},
    code::CliError,
    output::{quoted, say},
    reader::Reader,
};

/// A conversation that is carried on.
pub struct Converse {
    reader: Mutex<Reader>,
    speaker: Identity,
}

impl Converse {
    /// A conversation of this person.
    pub fn new(reader: Reader, speaker: Identity) -> Self {
        Self { reader: Mutex::new(reader), speaker }
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a person types here.
    pub fn interactive(&self) -> bool {
        self.reader().interactive()
    }

    /// Asks what an agent wants to know, one question at a time, and tells it; whether to go on.
    pub async fn answer(
        &self,
        workspace: &Workspace,
        journal: &mut Journal,
        open: &[AgentQuestion],
    ) -> Result<bool, CliError> {
        let id = journal.id().clone();
        let inputs = open.iter().map(input).collect::<Result<Vec<_>, _>>()?;
        let catalog = workspace.load_catalog()?;
        let mut form =
            Form::new(&inputs, &catalog.inventory, Map::new()).map_err(|error| CliError::failed(error.to_string()))?;
        say("");
        say("The requirements agent asks; a line that begins with `say ` says something in words instead.");
        let asked = ask_all(&mut self.reader(), &mut form, Beside { back: false, words: true }, |_| {})?;
        let text = match asked {
            Asked::Whole | Asked::Back => None,
            Asked::InWords(text) => Some(text),
            Asked::Over(_) => {
                let set: String = form.as_set().iter().map(|set| format!(" --set {}", quoted(set))).collect();
                say(format!("Nothing was said yet. Next: countersign chat {id}, or countersign say {id}{set} …"));
                return Ok(false);
            }
            Asked::Unfit(question, why) => {
                let place = self.reader().place();
                return Err(CliError::usage(format!(
                    "{place}: `{question}`: {why}; nothing was said. Go on with `countersign chat {id}`"
                )));
            }
        };
        let answers = form.answers().clone().into_iter().collect();
        tell(workspace, journal, self.speaker.clone(), text, answers).await?;
        Ok(true)
    }
}

/// A question of an agent as a form asks it.
fn input(question: &AgentQuestion) -> Result<InputSchema, CliError> {
    let schema: ValueSchema = match &question.schema {
        Some(schema) => schema.clone(),
        None => from_yaml("answer", "{type: string}")?,
    };
    Ok(InputSchema { name: question.id.clone(), ask: question.text.clone(), schema, example: None })
}
