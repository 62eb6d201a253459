//! `countersign edit`: opens a draft in the person's editor, checks it, and files it as a new version of theirs.
#![allow(clippy::disallowed_methods, reason = "this file owns starting the person's editor on a temporary file")]

use std::path::PathBuf;

use crate::{
    artifact::{ArtifactKind, to_yaml},
    engagement::{About, Gate, Refusal, State},
    facts::Identity,
    ledger::Journal,
    runtime::{AnswerError, Workspace, edit},
};

use super::{
    args::{Edit, EditArtifact, Global},
    code::{CliError, Code},
    context::Context,
    files,
    output::{interactive, say, say_json},
    question::agreed,
};

/// Runs the command.
pub async fn run(global: &Global, args: Edit) -> Result<Code, CliError> {
    let context = Context::open_to_write(global).await?;
    let mut journal = context.journal(&args.id).await?;
    let identity = context.identity()?;
    if journal.state().closed.is_some() {
        return Err(CliError::usage(Refusal::Over(journal.id().to_string()).to_string()));
    }
    let artifact = match args.artifact {
        Some(EditArtifact::Spec) => ArtifactKind::Spec,
        Some(EditArtifact::Design) => ArtifactKind::Design,
        None => open_draft(journal.state())?,
    };
    let id = journal.id().clone();
    let gate = if artifact == ArtifactKind::Spec { Gate::One } else { Gate::Two };
    let open = journal.state().gate_open(gate);
    let filed = match &args.file {
        Some(path) => {
            let text = files::read(path)?;
            let name = files::name(path);
            edit(&context.workspace, &mut journal, identity, artifact, &name, &text).await?.is_some()
        }
        None if !interactive() => {
            return Err(CliError::usage(format!(
                "an editor needs a terminal; write the new version to a file, beginning with `countersign show {id} \
                 --artifact {}`, and give it with `--file FILE`",
                if artifact == ArtifactKind::Spec { "spec" } else { "design" }
            )));
        }
        None => by_hand(&context.workspace, &mut journal, identity, artifact).await?,
    };
    let version = journal.state().versions.get(&artifact).copied().unwrap_or(0);
    if global.json {
        say_json(&serde_json::json!({"engagement": id, "artifact": artifact, "version": version, "filed": filed}))?;
    } else if filed {
        let closed = if open {
            format!(" {} is closed by that, and is asked about this version.", gate.name())
        } else {
            String::new()
        };
        say(format!("{id}: {artifact} version {version} filed.{closed} Next: countersign run {id}"));
    } else {
        say("Nothing was changed.");
    }
    Ok(Code::Done)
}

/// Edits the draft that is open, at a gate; whether a new version was filed.
pub async fn interactively(workspace: &Workspace, journal: &mut Journal, identity: Identity) -> Result<bool, CliError> {
    let artifact = open_draft(journal.state())?;
    by_hand(workspace, journal, identity, artifact).await
}

fn open_draft(state: &State) -> Result<ArtifactKind, CliError> {
    // Where gate 1 does not hold any more, or is asked anew, it is the spec that a new version is wanted of.
    let anew = state.asked.as_ref().is_some_and(|asked| asked.about == About::Gate1);
    let design = state.artifact(ArtifactKind::Design).is_some() && state.gate_open(Gate::One) && !anew;
    let kind = if design { ArtifactKind::Design } else { ArtifactKind::Spec };
    match state.artifact(kind) {
        Some(_) => Ok(kind),
        None => Err(CliError::usage(format!("{0} has no draft yet; run `countersign run {0}` first", state.id))),
    }
}

async fn by_hand(
    workspace: &Workspace,
    journal: &mut Journal,
    identity: Identity,
    artifact: ArtifactKind,
) -> Result<bool, CliError> {
    let digest = journal.state().artifact(artifact);
    let document = digest.and_then(|digest| journal.blob(&digest)).cloned();
    let document = document.ok_or_else(|| CliError::failed(format!("{artifact} is not in the ledger")))?;
    let before = to_yaml(document.as_ref()).map_err(|error| CliError::failed(error.to_string()))?;
    let name = artifact.file_name();
    let name = if name.ends_with(".yaml") { name.to_owned() } else { format!("{name}.yaml") };
    let path = workspace.state_folder().join(format!("{}-{name}", journal.id()));
    std::fs::write(&path, &before).map_err(|error| file_error(&path, &error))?;
    loop {
        open(&path)?;
        let after = std::fs::read_to_string(&path).map_err(|error| file_error(&path, &error))?;
        if after == before {
            let _ = std::fs::remove_file(&path);
            return Ok(false);
        }
        match edit(workspace, journal, identity.clone(), artifact, &path.display().to_string(), &after).await {
            Ok(filed) => {
                let _ = std::fs::remove_file(&path);
                return Ok(filed.is_some());
            }
            Err(error @ (AnswerError::Yaml(_) | AnswerError::Problems(_))) => {
                // What the person typed is never lost: it stays in the file.
                say(error.to_string());
                if !agreed("[e]dit again? (default: no, leave it)", &["e", "edit", "y", "yes"]) {
                    return Err(CliError::usage(format!(
                        "nothing was filed; your text is in {0}; correct it and file it with\ncountersign edit {1} --file \
                         {0}",
                        path.display(),
                        journal.id()
                    )));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn open(path: &PathBuf) -> Result<(), CliError> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = std::process::Command::new(program).args(words).arg(path).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CliError::failed(format!("the editor `{editor}` ended with {status}; nothing was filed"))),
        Err(error) => Err(CliError::usage(format!("the editor `{editor}` could not be started: {error}; set EDITOR"))),
    }
}

fn file_error(path: &std::path::Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!("{}: {error}", path.display()))
}
