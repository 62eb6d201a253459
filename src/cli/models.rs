//! `countersign models`: which models draft, and whether each of them answers.

use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    artifact::Agent,
    engagement::Finish,
    model::{Answer, Message, Model, ModelEndpoint, ModelError, ModelRequest, Models, OutputSchema, ToolOffer},
};

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    list::table,
    output::{aside, plain, say, say_json},
};

/// `models`
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// The `models` commands.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List which models each agent asks, and where; nothing is asked.
    #[command(after_help = "Example: countersign models list")]
    List,
    /// Ask each model two tiny questions: one for a document, one for a call.
    #[command(after_help = "Example: countersign models check")]
    Check,
}

/// Runs the command.
pub async fn run(global: &Global, args: ModelsArgs) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let models = context.workspace.models()?;
    match args.command {
        ModelsCommand::List => list(global, &models),
        ModelsCommand::Check => check(global, &models).await,
    }
}

fn list(global: &Global, models: &Models) -> Result<Code, CliError> {
    if global.json {
        let agent = |agent: &Agent| json!({"agent": agent.as_str(), "asks": models.endpoints_for(*agent).iter().map(shown).collect::<Vec<_>>()});
        say_json(
            &Agent::ALL.iter().filter(|agent| models.for_agent(**agent).is_some()).map(agent).collect::<Vec<_>>(),
        )?;
        return Ok(Code::Done);
    }
    if models.is_empty() {
        say(NONE);
        return Ok(Code::Done);
    }
    let mut table = table();
    table.set_header(vec!["agent", "endpoint", "model", "at"]);
    for agent in Agent::ALL {
        for at in models.endpoints_for(agent) {
            let model = at.model.as_deref().unwrap_or_default();
            table.add_row([agent.as_str(), &at.name, model, &at.base_url].map(plain));
        }
    }
    say(table.to_string());
    Ok(Code::Done)
}

const NONE: &str = "No models: drafting is from blueprints and files. policies/models.yaml says how to name some.";

fn shown(at: &ModelEndpoint) -> Value {
    json!({"endpoint": at.name, "model": at.model, "base_url": at.base_url, "simulated": at.simulated})
}

async fn check(global: &Global, models: &Models) -> Result<Code, CliError> {
    let mut rows = Vec::new();
    let mut table = table();
    table.set_header(vec!["endpoint", "model", "answers", "documents", "calls", "milliseconds"]);
    let mut all = true;
    for (at, model) in models.each() {
        if !global.json {
            aside(format!("asking {}…", plain(&at.name)));
        }
        let begun = Instant::now();
        let document = ask(model.as_ref(), true).await;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let call = match &document {
            Ok(_) => ask(model.as_ref(), false).await,
            Err(error) => Err(error.clone()),
        };
        let documents = document.as_ref().map(is_document).unwrap_or(false);
        let calls = call.as_ref().map(calls_it).unwrap_or(false);
        let answers = document.is_ok();
        all &= answers;
        let mut notes: Vec<String> = [&document, &call].into_iter().flatten().flat_map(|a| a.notes.clone()).collect();
        notes.extend(document.as_ref().err().or(call.as_ref().err()).map(ToString::to_string));
        notes.dedup();
        let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let name = at.model.as_deref().unwrap_or_default();
        table.add_row(
            [&at.name, name, &word(answers), &word(documents), &word(calls), &milliseconds.to_string()].map(plain),
        );
        rows.push((
            at,
            json!({"answers": answers, "documents": documents, "calls": calls, "milliseconds": milliseconds}),
            notes,
        ));
    }
    if global.json {
        let row = |(at, found, notes): (ModelEndpoint, Value, Vec<String>)| json!({"asked": shown(&at), "found": found, "notes": notes});
        say_json(&rows.into_iter().map(row).collect::<Vec<_>>())?;
    } else if rows.is_empty() {
        say(if models.is_empty() { NONE } else { "Nothing to ask: every answer comes from a script or a cassette." });
    } else {
        say(table.to_string());
        for (at, _, notes) in rows {
            for note in notes {
                say(format!("{}: {}", plain(&at.name), plain(&note)));
            }
        }
    }
    Ok(if all { Code::Done } else { Code::Failed })
}

/// Asks for a document, or for a call.
async fn ask(model: &dyn Model, document: bool) -> Result<Answer, ModelError> {
    let object = |name: &str, of: &str| json!({"type": "object", "properties": {name: {"type": of}}, "required": [name], "additionalProperties": false});
    let says = if document { "Answer with the document {\"ok\": true}." } else { "Call the tool `ping` with n = 1." };
    let tool = || ToolOffer { name: "ping".into(), about: "Answers.".into(), parameters: object("n", "integer") };
    let request = ModelRequest {
        agent: Agent::Requirements,
        messages: vec![
            Message::System { text: "You are asked whether you can be reached. Be brief.".into() },
            Message::User { text: says.into() },
        ],
        left_out: 0,
        tools: if document { Vec::new() } else { vec![tool()] },
        output: document.then(|| OutputSchema { name: "check".into(), schema: object("ok", "boolean") }),
    };
    model.answer(&request, &mut |_| {}).await
}

fn is_document(answer: &Answer) -> bool {
    serde_json::from_str::<Value>(&answer.text).is_ok_and(|document| document.get("ok") == Some(&json!(true)))
}

fn calls_it(answer: &Answer) -> bool {
    answer.finish == Finish::ToolCalls && answer.calls.iter().any(|call| call.name == "ping")
}
