//! `countersign say`: answers what an agent asks.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::{agent::kind_words, engagement::AgentQuestion, runtime::say as say_to_agents};

use super::{
    args::{Global, Run},
    code::{CliError, Code},
    context::Context,
    output::{plain, say, say_json},
    question::prompt,
    run as drive,
};

/// `say`
#[derive(Debug, Args)]
pub struct SayArgs {
    /// The engagement; its first letters do.
    pub id: String,
    /// In your own words.
    #[arg(value_name = "WORDS", required_unless_present = "set")]
    pub text: Option<String>,
    /// The answer to one question, by its id.
    #[arg(long = "set", value_name = "ID=ANSWER")]
    pub set: Vec<String>,
    /// Go on with `run` at once.
    #[arg(long)]
    pub run: bool,
}

/// Runs the command.
pub async fn run(global: &Global, args: SayArgs) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let mut journal = context.journal(&args.id).await?;
    let identity = context.identity()?;
    let open = journal.state().talk.open().map(|asked| asked.questions.clone()).unwrap_or_default();
    let answers = args.set.iter().map(|word| answer(&open, word)).collect::<Result<BTreeMap<_, _>, _>>()?;
    say_to_agents(&context.workspace, &mut journal, identity, args.text, answers).await?;
    let id = journal.id().clone();
    if args.run {
        drop(journal);
        return drive::run(global, Run::on(&id)).await;
    }
    if global.json {
        say_json(&json!({"engagement": id, "said": true}))?;
    } else {
        say(format!("Next: countersign run {id}"));
    }
    Ok(Code::Done)
}

/// `Q1=web01` as an answer of the type that the question asks for.
fn answer(open: &[AgentQuestion], word: &str) -> Result<(String, Value), CliError> {
    let (id, word) = word
        .split_once('=')
        .ok_or_else(|| CliError::usage(format!("`{word}` is not an answer; write the question's id and `=`")))?;
    let schema = open.iter().find(|question| question.id == id).and_then(|question| question.schema.as_ref());
    let value = match schema {
        Some(schema) => schema
            .from_word(word)
            .map_err(|why| CliError::usage(format!("the answer to {id}: {why}; it must be {}", kind_words(schema))))?,
        None => Value::from(word),
    };
    Ok((id.to_owned(), value))
}

/// Asks the open questions on the terminal, one at a time; nothing where the person leaves them open.
pub fn ask(open: &[AgentQuestion]) -> Option<BTreeMap<String, Value>> {
    let mut answers = BTreeMap::new();
    say("");
    say("The requirements agent asks; an empty line leaves it waiting.");
    for question in open {
        loop {
            let line =
                prompt(&format!("{}{}", plain(&question.text), choices(question))).filter(|line| !line.is_empty())?;
            let value = match &question.schema {
                Some(schema) => schema.from_word(&line).and_then(|value| question.check(&value)),
                None => question.check(&Value::from(line)),
            };
            match value {
                Ok(value) => {
                    answers.insert(question.id.clone(), value);
                    break;
                }
                Err(why) => say(plain(&why)),
            }
        }
    }
    Some(answers)
}

/// The answers that there are, where there are few.
fn choices(question: &AgentQuestion) -> String {
    let choices = question.schema.as_ref().map(|schema| schema.choices.as_slice()).unwrap_or_default();
    let words: Vec<String> =
        choices.iter().map(|choice| plain(choice.as_str().unwrap_or(&choice.to_string()))).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// The open questions, for a terminal, with what comes next.
pub fn questions(id: &crate::artifact::EngagementId, open: &[AgentQuestion]) {
    say("");
    say("The requirements agent asks:");
    for question in open {
        let choices = choices(question);
        say(format!("  {}  {}{choices}", question.id, plain(&question.text)));
    }
    let answers: String = open.iter().map(|question| format!(" --set {}=…", question.id)).collect();
    say(format!("Next: countersign say {id}{answers}, or in words: countersign say {id} …"));
}
