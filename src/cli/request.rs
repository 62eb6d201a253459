//! `countersign request`.

use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::{
    agent::{Near, nearest},
    artifact::{Agent, DesignDraft, InputError, Spec, YamlError},
    model::Models,
    runtime::{NewRequest, RequestError, file_request},
};

use super::{
    args::{Global, Request, Run},
    code::{CliError, Code},
    context::Context,
    files, form,
    output::{interactive, plain, quoted, say, say_json},
    run as drive,
};

/// Runs the command.
pub async fn run(global: &Global, args: Request) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let identity = context.identity()?;
    let mut new = NewRequest::default();
    let mut texts = Vec::new();
    if let Some(name) = &args.blueprint {
        let blueprint = context.workspace.blueprints()?.named(name)?;
        let mut inputs = form::given(&blueprint, args.file.as_deref(), &args.set)?;
        if interactive() && !global.json && args.text.is_none() {
            form::ask_missing(&blueprint, &mut inputs)?;
        }
        new.inputs = inputs;
        new.blueprint = Some(blueprint);
    }
    if let Some(text) = &args.text {
        let blueprints = context.usable_blueprints()?;
        let near = nearest(text, &blueprints);
        let models = context.workspace.models()?;
        if let Some(agent) = without_model(&models) {
            return Err(without_models(&near, (!models.is_empty()).then_some(agent)));
        }
        new.text = Some(text.clone());
        new.material = near.into_iter().map(|near| near.blueprint.clone()).collect();
    }
    if let Some(path) = &args.spec {
        new.spec = Some(document::<Spec>(path, "spec", &mut texts)?);
    }
    if let Some(path) = &args.design {
        // What an engagement shows is a design that was filed, and says more than a draft may.
        new.design = Some(document::<DesignDraft>(path, "design", &mut texts).map_err(|error| {
            let filed = error.message.contains("no field `kind`");
            let draft =
                "\na request takes a draft, which has no `kind`; `countersign schema design-draft` says what it has";
            CliError { message: if filed { error.message + draft } else { error.message }, ..error }
        })?);
    }
    if let Some(id) = &args.from {
        new.from = Some(context.workspace.find(id).await?);
    }
    let asked = new.blueprint.as_ref().map(|blueprint| blueprint.inputs.clone()).unwrap_or_default();
    let journal = file_request(&context.workspace, new, identity, Timestamp::now()).await.map_err(|error| {
        let RequestError::Input(InputError::Invalid { name, reason }) = &error else { return placed(error, &texts) };
        match asked.iter().find(|input| input.name == *name) {
            Some(input) => form::unfit(input, reason),
            None => error.into(),
        }
    })?;
    let id = journal.id().clone();
    if args.run {
        drop(journal);
        return drive::run(global, Run::on(&id)).await;
    }
    if global.json {
        say_json(&serde_json::json!({"engagement": id, "title": journal.state().requested.title}))?;
    } else {
        say(format!("{id}  {}", plain(&journal.state().requested.title)));
        say(format!("Next: countersign run {id}"));
    }
    Ok(Code::Done)
}

/// The agent that words need and that has no model, if there is one: who drafts the spec, or the design after it.
pub fn without_model(models: &Models) -> Option<Agent> {
    [Agent::Requirements, Agent::Design].into_iter().find(|agent| models.for_agent(*agent).is_none())
}

/// Words need somebody to read them; a blueprint that is near them needs nobody. `only` is the agent that has no model
/// where others have one.
fn without_models(near: &[Near<'_>], only: Option<Agent>) -> CliError {
    let mut said = match only {
        None => "no model is configured that could draft from words: name one in policies/models.yaml".to_owned(),
        Some(agent) => format!(
            "no model is configured for the {agent} agent, without which words come to no design: name one under `roles: \
             {agent}` in policies/models.yaml"
        ),
    };
    match near {
        [] => said.push_str(", or see `countersign blueprints` and use `countersign request --blueprint`"),
        near => {
            said.push_str(", or use a blueprint that is near; `countersign chat` asks for its inputs:");
            for near in near {
                let words = near.words.join(", ");
                let (name, title) = (&near.blueprint.name, &near.blueprint.title);
                said.push_str(&format!(
                    "\n  countersign chat --blueprint {} ({title}; it speaks of {words})",
                    quoted(name)
                ));
            }
        }
    }
    CliError::usage(said)
}

/// A hand-written document; its text is kept, so that what is wrong with it can be shown at its line.
fn document<T: DeserializeOwned>(path: &Path, wanted: &str, texts: &mut Vec<(String, String)>) -> Result<T, CliError> {
    let name = files::name(path);
    let text = files::read(path)?;
    let document = files::document(&name, &text, wanted)?;
    texts.push((name, text));
    Ok(document)
}

/// Problems of hand-written documents with the file and line; the first text is the spec, the second the design.
fn placed(error: RequestError, texts: &[(String, String)]) -> CliError {
    let RequestError::Problems(problems) = &error else { return error.into() };
    if texts.is_empty() {
        return error.into();
    }
    let lines = problems.iter().map(|problem| {
        let of_spec = [
            "title",
            "request",
            "refs",
            "baseline",
            "inputs",
            "requirements",
            "out_of_scope",
            "boundary",
            "limits",
            "window",
        ];
        let first = problem.path.split('.').next().unwrap_or_default();
        let in_spec = of_spec.contains(&first)
            || (first == "acceptance" && problem.path.split('.').nth(1).is_some_and(|at| at.parse::<usize>().is_ok()));
        let text = if in_spec { texts.first() } else { texts.get(1).or_else(|| texts.first()) };
        match text {
            Some((name, text)) => YamlError::at(name, text, &problem.path, &problem.message).to_string(),
            None => problem.to_string(),
        }
    });
    CliError::usage(lines.collect::<Vec<_>>().join("\n"))
}
