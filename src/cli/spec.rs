//! `countersign spec`: what can be said about a spec before anyone is asked to approve it.

use std::{path::Path, sync::Arc};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    artifact::{ArtifactKind, Spec, YamlError, value::hides},
    engagement::read_document,
    gate::{Screen, proof_sections, render},
    ledger::Journal,
    policy::{Catalog, CompiledBoundary, ProofReport, Proven},
    runtime::prove_spec,
};

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    files, lint,
    output::{plain, say, say_json, style},
};

/// `spec`
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SpecCommand,
}

/// The `spec` commands.
#[derive(Debug, Subcommand)]
pub enum SpecCommand {
    /// Say what is wrong with a spec, and its boundary in plain words.
    #[command(
        after_help = "Examples:\n  countersign spec lint my-spec.yaml\n  countersign spec lint - <my-spec.yaml\n  \
        countersign spec lint k7m"
    )]
    Lint {
        /// A spec's file (`-` for standard input), or an engagement.
        #[arg(value_name = "FILE|ID")]
        spec: String,
    },
    /// Prove that no grant is dead and no policy fails, find each grant's worst call, and compare with the version
    /// before where there is one.
    #[command(after_help = "Examples:\n  countersign spec prove my-spec.yaml\n  countersign spec prove k7m")]
    Prove {
        /// A spec's file (`-` for standard input), or an engagement.
        #[arg(value_name = "ID|FILE")]
        spec: String,
    },
    /// Prove that a version permits nothing that another did not, or show a call that only it permits.
    #[command(after_help = "Examples:\n  countersign spec diff k7m 1 2\n  countersign spec diff old.yaml new.yaml")]
    Diff {
        /// An engagement, or the older spec's file (`-` for standard input).
        #[arg(value_name = "ID|OLDER")]
        first: String,
        /// The older version's number, or the newer spec's file. A version by itself is compared with the one before.
        #[arg(value_name = "V1|NEWER")]
        second: String,
        /// The newer version's number.
        #[arg(value_name = "V2")]
        third: Option<String>,
    },
}

/// Runs the command.
pub async fn run(global: &Global, args: SpecArgs) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let catalog = context.workspace.load_catalog()?;
    match args.command {
        SpecCommand::Lint { spec } => lint::run(global, &spec).await,
        SpecCommand::Prove { spec } => {
            let versions = named(&context, &catalog, &spec).await?;
            show(global, &context, &catalog, versions).await
        }
        SpecCommand::Diff { first, second, third } => {
            let versions = match third {
                Some(newer) => {
                    let journal = context.journal(&first).await?;
                    let number = |text: &str| text.parse::<u32>().map_err(|_| not_a_version(text));
                    let (older, newer) = (number(&second)?, number(&newer)?);
                    Versions { newer: version(&journal, newer)?, older: Some(version(&journal, older)?) }
                }
                // One version: against the one before it.
                None if !files::is_one(Path::new(&first)) && second.parse::<u32>().is_ok() => {
                    let journal = context.journal(&first).await?;
                    let number = second.parse::<u32>().map_err(|_| not_a_version(&second))?;
                    let newer = version(&journal, number)?;
                    if number == 1 {
                        return Err(first_alone(&journal));
                    }
                    Versions { newer, older: Some(version(&journal, number - 1)?) }
                }
                None => {
                    let (older, newer) = (Path::new(&first), Path::new(&second));
                    if let Some(missing) = [older, newer].into_iter().find(|path| !files::is_one(path)) {
                        return Err(CliError::usage(format!(
                            "there is no file `{}`; give two files, or an engagement's id and one or two versions, \
                             such as `countersign spec diff ID 1 2`",
                            plain(&missing.to_string_lossy())
                        )));
                    }
                    Versions { newer: from_file(newer, &catalog)?, older: Some(from_file(older, &catalog)?) }
                }
            };
            show(global, &context, &catalog, versions).await
        }
    }
}

fn not_a_version(text: &str) -> CliError {
    CliError::usage(format!("`{text}` is not the number of a version, such as 2; see `countersign show ID`"))
}

/// Nothing is proven by comparing the first version with none.
fn first_alone(journal: &Journal) -> CliError {
    let id = journal.id();
    let there = journal.state().filed.get(&ArtifactKind::Spec).map_or(0, Vec::len);
    CliError::usage(match there {
        1 => format!("{id} has one version; there is nothing to compare it with"),
        _ => format!("version 1 of {id} is its first one; give two versions, such as `countersign spec diff {id} 1 2`"),
    })
}

/// A spec and what it is called.
struct Named {
    name: String,
    spec: Arc<Spec>,
}

/// A spec, and the one that it is compared with.
struct Versions {
    newer: Named,
    older: Option<Named>,
}

/// What `spec prove` was given: a file, else an engagement's spec as it was filed last.
async fn named(context: &Context, catalog: &Catalog, word: &str) -> Result<Versions, CliError> {
    if files::is_one(Path::new(word)) {
        return Ok(Versions { newer: from_file(Path::new(word), catalog)?, older: None });
    }
    if word.contains(['/', '.']) {
        return Err(CliError::usage(format!("there is no file `{word}`; give a spec's file, or an engagement's id")));
    }
    let journal = context.journal(word).await?;
    let filed = journal.state().filed.get(&ArtifactKind::Spec).map_or(0, Vec::len);
    let last = u32::try_from(filed).unwrap_or(u32::MAX);
    if last == 0 {
        let id = journal.id();
        return Err(CliError::usage(format!("{id} has no spec yet; `countersign run {id}` drafts it")));
    }
    let older = if last > 1 { Some(version(&journal, last - 1)?) } else { None };
    Ok(Versions { newer: version(&journal, last)?, older })
}

/// A version of an engagement's spec, from 1.
fn version(journal: &Journal, number: u32) -> Result<Named, CliError> {
    let filed = journal.state().filed.get(&ArtifactKind::Spec);
    let at = (number as usize).checked_sub(1);
    let digest = filed.and_then(|filed| filed.get(at?)).copied().ok_or_else(|| {
        let there = filed.map_or(0, Vec::len);
        CliError::usage(format!("{} has no version {number} of its spec; there are {there}", journal.id()))
    })?;
    let spec: Spec =
        read_document(digest, journal.blobs(), "spec.yaml").map_err(|error| CliError::failed(error.to_string()))?;
    Ok(Named { name: format!("version {number}"), spec: Arc::new(spec) })
}

/// A spec from a file; a boundary that does not compile is shown at its line.
fn from_file(path: &Path, catalog: &Catalog) -> Result<Named, CliError> {
    let name = files::name(path);
    let text = files::read(path)?;
    let spec: Spec = files::document(&name, &text, "spec")?;
    if let Err(problems) = CompiledBoundary::compile(&spec, catalog) {
        let lines = problems.iter().map(|problem| YamlError::at(&name, &text, &problem.path, &problem.message));
        return Err(CliError::usage(lines.map(|line| line.to_string()).collect::<Vec<_>>().join("\n")));
    }
    let name: String = name.chars().filter(|c| !c.is_control() && !hides(*c)).collect();
    Ok(Named { name, spec: Arc::new(spec) })
}

async fn show(
    global: &Global,
    context: &Context,
    catalog: &Arc<Catalog>,
    versions: Versions,
) -> Result<Code, CliError> {
    let Versions { newer, older } = versions;
    let solver = context.solver().await;
    let before = older.as_ref().map(|older| &older.spec);
    let report = prove_spec(catalog, &newer.spec, before, &solver).await;
    let report: ProofReport = report.map_err(|error| CliError::failed(error.to_string()))?;
    let verdict = report.verdict();
    let code = if verdict == Proven::Proven { Code::Done } else { Code::Failed };
    if global.json {
        say_json(&json!({"verdict": verdict, "report": report}))?;
        return Ok(code);
    }
    let older = older.as_ref().map_or("", |older| older.name.as_str());
    let screen = Screen {
        title: format!("{}: {}", newer.name, verdict.as_str()),
        banner: None,
        subject: newer.spec.title.clone(),
        sections: proof_sections(&report, catalog, &newer.name, older),
        footer: footer(verdict).into(),
    };
    say(render(&screen, style()));
    Ok(code)
}

fn footer(verdict: Proven) -> &'static str {
    match verdict {
        Proven::Proven => "All of it is proven.",
        Proven::NotProven => "Not all of it is proven.",
        Proven::Refuted => "Not all of it holds.",
    }
}
