//! `countersign call`: a person or a script proposes one call in an engagement's current phase. It takes the road that
//! an agent's call takes and gets what an agent's call would get; it is recorded as theirs.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    artifact::from_json,
    broker::{Told, proposer},
    engagement::{Actor, Proposal, Purpose, RefusedAs},
    facts::Role,
    ledger::Claim,
};

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    output::{plain, quoted, say, say_json},
    policy::undecidable,
};

/// `call`
#[derive(Debug, Args)]
pub struct CallArgs {
    /// The engagement; its first letters do.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// The arguments, as a JSON object.
    #[arg(long, value_name = "JSON")]
    pub args: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: CallArgs) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let identity = context.identity()?;
    let catalog = context.workspace.load_catalog()?;
    if !catalog.people.roles(&identity).contains(&Role::Requester) {
        let message = format!(
            "proposing a call needs the role `requester`, which {} does not have; ask an owner to add it",
            identity.name
        );
        return Err(CliError { code: Code::Refused, message });
    }
    let given = object(args.args.as_deref().unwrap_or("{}"))?;
    let id = context.workspace.find(&args.id).await?;
    // Nobody else drives the engagement meanwhile; the call's outcome is written before the claim is given back.
    let _claim = Claim::take(&context.workspace.claims(), &id)?;
    let mut journal = context.journal(id.as_str()).await?;
    if journal.state().key_destroyed() {
        return Err(undecidable(&journal));
    }
    let state = journal.state();
    let purpose = Purpose::Proposed { n: state.next_call().number() };
    let proposal = Proposal { agent: proposer(state.phase), purpose, tool: args.tool.clone(), args: given.clone() };
    let broker = context.broker();
    let invoked = broker.invoke(&mut journal, Actor::Person(identity), proposal).await;
    broker.close().await;
    let invoked = invoked?;
    let call = invoked.call;
    let (code, said, value) = match invoked.told {
        Told::Result(value) => (Code::Done, "result", value),
        Told::ToolError(text) => (Code::Failed, "tool_error", text.into()),
        Told::NotSent(text) => (Code::Failed, "not_sent", text.into()),
        Told::Unknown(text) => (Code::Failed, "unknown", text.into()),
        Told::Refused { refused, rule } => {
            let usage = refused == RefusedAs::Invalid && rule.rule != "tool.unknown";
            let code = if usage { Code::Usage } else { Code::Refused };
            (code, "refused", json!({"as": refused, "rule": rule}))
        }
    };
    if global.json {
        say_json(&json!({"engagement": id, "call": call, "came_of_it": said, said: value}))?;
        return Ok(code);
    }
    match (said, &value) {
        ("result", value) => say(plain(&serde_json::to_string(value).unwrap_or_default())),
        ("refused", value) => {
            let part = |name: &str| value.pointer(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            say(plain(&format!("{call} was refused: {} [{}]", part("/rule/reason"), part("/rule/rule"))));
            let proposed = json!({"tool": args.tool, "args": given}).to_string();
            say(format!(
                "Next: countersign policy explain {id} --call {}, which says it layer by layer",
                quoted(&proposed)
            ));
        }
        ("tool_error", value) => say(plain(&format!("{call}: the tool answered with an error: {}", text(value)))),
        ("not_sent", value) => say(plain(&format!("{call} was not sent: {}", text(value)))),
        (_, value) => say(plain(&format!("{call}: nobody knows whether it took effect: {}", text(value)))),
    }
    Ok(code)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The arguments that JSON gives.
fn object(text: &str) -> Result<Map<String, Value>, CliError> {
    let unlike = |why: String| {
        CliError::usage(format!(r#"{why}; write the arguments as a JSON object, such as {{"switch": "sw01"}}"#))
    };
    match from_json("--args", text).map_err(|error| unlike(error.to_string()))? {
        Value::Object(given) => Ok(given),
        other => Err(unlike(format!("--args: {other} is no object"))),
    }
}
