//! `countersign spec lint`: everything that is wrong with a spec, and its boundary in the plain words of the gate.

use std::path::Path;

use serde_json::json;

use crate::{
    artifact::{ArtifactKind, Spec, SpecError, YamlError},
    gate::boundary_words,
    policy::{blocked_grants, check_spec},
};

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    files,
    output::{count, plain, say, say_json},
};

/// A spec, what to call it, and the text that lines are counted in.
struct Linted {
    name: String,
    spec: Spec,
    text: Option<String>,
}

/// Says what is wrong with the spec in a file, or with an engagement's current one.
pub async fn run(global: &Global, word: &str) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let catalog = context.workspace.load_catalog()?;
    let Linted { name, spec, text } = named(&context, word).await?;
    let mut problems = spec.problems();
    if problems.is_empty() {
        problems = check_spec(&spec, &catalog);
    }
    let blocked = if problems.is_empty() { blocked_grants(&spec, &catalog) } else { Vec::new() };
    let placed = |error: &SpecError| match &text {
        Some(text) => {
            let at = YamlError::at(&name, text, &error.path, &error.message);
            ((at.line, at.column), at.to_string())
        }
        None => ((0, 0), format!("{name}: {error}")),
    };
    let told = |errors: &[SpecError]| {
        let mut told: Vec<_> = errors.iter().map(placed).collect();
        told.sort_by_key(|(place, _)| *place);
        told.into_iter().map(|(_, told)| told).collect::<Vec<_>>()
    };
    let (problems, blocked) = (told(&problems), told(&blocked));
    let words = boundary_words(&spec, &catalog);
    let ok = problems.is_empty() && blocked.is_empty();
    if global.json {
        say_json(
            &json!({"ok": ok, "title": spec.title, "problems": problems, "blocked_grants": blocked, "boundary": words}),
        )?;
    } else {
        say(plain(&spec.title));
        for words in &words {
            say(format!("  {}", plain(words)));
        }
        for problem in problems.iter().chain(&blocked) {
            say(plain(problem));
        }
        if ok {
            say("Nothing is wrong with it.");
        } else {
            say(format!("{} found.", count((problems.len() + blocked.len()) as u64, "problem")));
        }
    }
    Ok(if ok { Code::Done } else { Code::Failed })
}

async fn named(context: &Context, word: &str) -> Result<Linted, CliError> {
    let path = Path::new(word);
    if files::is_one(path) {
        let (name, text) = (files::name(path), files::read(path)?);
        let spec = files::document(&name, &text, "spec")?;
        return Ok(Linted { name, spec, text: Some(text) });
    }
    if word.contains(['/', '.']) {
        return Err(CliError::usage(format!("there is no file `{word}`; give a spec's file, or an engagement's id")));
    }
    let journal = context.journal(word).await?;
    let spec = journal.documents().spec().ok_or_else(|| {
        let id = journal.id();
        CliError::usage(format!("{id} has no spec yet; `countersign run {id}` drafts it"))
    })?;
    let version = journal.state().artifacts.get(&ArtifactKind::Spec).map_or(0, |filed| filed.version);
    Ok(Linted { name: format!("spec version {version}"), spec: spec.as_ref().clone(), text: None })
}
