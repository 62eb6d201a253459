//! `countersign tools`: what can be called, and pinning what the servers are.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    artifact::Digest,
    facts::Role,
    tool::{Effect, Manifest, ServerPin, ServerSeen, Tool},
};

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    init::{look, renewed},
    interrupt::Asking,
    list::table,
    output::{interactive, plain, say, say_json, say_sentence},
    question::agreed,
};

/// `tools`
#[derive(Debug, Args)]
pub struct Tools {
    /// What to do.
    #[command(subcommand)]
    pub command: ToolsCommand,
}

/// The `tools` commands.
#[derive(Debug, Subcommand)]
pub enum ToolsCommand {
    /// List the tools, what they do and whether they are pinned.
    #[command(after_help = "Example: countersign tools list")]
    List,
    /// Start each server once, show what has changed about it, and pin it: program, arguments and tool definitions.
    #[command(after_help = "Examples:\n  countersign tools pin\n  countersign tools pin lab --yes")]
    Pin {
        /// Only this family.
        family: Option<String>,
        /// Pin what is shown without asking.
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
pub async fn run(global: &Global, args: Tools) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    match args.command {
        ToolsCommand::List => list(global, &context),
        ToolsCommand::Pin { family, yes } => renew(global, &context, family.as_deref(), yes).await,
    }
}

fn list(global: &Global, context: &Context) -> Result<Code, CliError> {
    let catalog = context.workspace.load_catalog()?;
    let toolbox = &catalog.toolbox;
    if global.json {
        let rows = toolbox.manifests().iter().flat_map(|manifest| {
            manifest.tools.iter().map(move |tool| {
                let pinned = toolbox.is_pinned(&tool.name);
                json!({"tool": tool.name, "about": tool.about, "effect": tool.effect, "family": manifest.family,
                       "simulated": manifest.simulated, "pinned": pinned, "irreversible": tool.irreversible(),
                       "undone_by": tool.undo.as_ref().map(|undo| &undo.tool)})
            })
        });
        say_json(&rows.collect::<Vec<_>>())?;
        return Ok(Code::Done);
    }
    for manifest in toolbox.manifests() {
        let simulated = if manifest.simulated { " (simulated)" } else { "" };
        let pinned = match toolbox.pin(&manifest.family) {
            None => "NOT PINNED, nothing of it can run",
            Some(_) if manifest.tools.iter().all(|tool| toolbox.is_pinned(&tool.name)) => "pinned",
            Some(_) => "CHANGED SINCE IT WAS PINNED, nothing of it can run until it is pinned again",
        };
        say_sentence(format!("{}{simulated}: {} [{pinned}]", manifest.family, manifest.about.trim()));
        let mut table = table();
        for tool in &manifest.tools {
            let undo = match &tool.undo {
                Some(undo) => format!("undone by {}", undo.tool),
                None if tool.irreversible() => "cannot be undone".into(),
                None => String::new(),
            };
            table.add_row(vec![format!("  {}", tool.name), tool.effect.as_str().into(), tool.about.clone(), undo]);
        }
        say(table.trim_fmt());
    }
    Ok(Code::Done)
}

async fn renew(global: &Global, context: &Context, family: Option<&str>, yes: bool) -> Result<Code, CliError> {
    let identity = context.identity()?;
    let catalog = context.workspace.load_catalog()?;
    if !catalog.people.roles(&identity).contains(&Role::Owner) {
        let message = format!(
            "pinning tools needs the role `owner`, which {} does not have; ask someone who has it",
            identity.name
        );
        return Err(CliError { code: Code::Refused, message });
    }
    let before = catalog.toolbox.pins().clone();
    let broker = context.broker();
    let seen = look(&context.workspace, &broker, family).await;
    broker.close().await;
    let seen = seen?;
    let mut pins = before.clone();
    // A server whose manifest is gone cannot be called; its pin says nothing any more.
    let known = |family: &String| catalog.toolbox.manifests().iter().any(|manifest| manifest.family == *family);
    pins.servers.retain(|family, _| known(family));
    let mut changes: Vec<String> = Vec::new();
    for family in before.servers.keys().filter(|family| !known(family)) {
        changes.push(format!("{family}: has no manifest any more, so its pin is taken out"));
    }
    for (family, seen) in &seen {
        changes.extend(differences(family, before.servers.get(family), seen));
    }
    if changes.is_empty() {
        if global.json {
            say_json(&json!({"pins": renewed(pins, seen), "changes": changes, "written": false}))?;
        } else {
            say("Nothing changed; every server is what it was pinned as.");
        }
        return Ok(Code::Done);
    }
    if !global.json {
        say("What changes in tools/pins.yaml:");
        for change in &changes {
            say(format!("  {}", plain(change)));
        }
        let of_manifest = |manifest: &&Manifest| {
            let old = before.servers.get(&manifest.family).and_then(|old| old.manifest.as_ref());
            seen.get(&manifest.family).is_some_and(|seen| old != seen.pin.manifest.as_ref())
        };
        for manifest in catalog.toolbox.manifests().iter().filter(of_manifest) {
            say(format!("What may change something, as the manifest of {} says it now:", plain(&manifest.family)));
            for tool in manifest.tools.iter().filter(|tool| tool.effect != Effect::Read) {
                say_sentence(format!("  {}", plain(&effect_words(tool))));
            }
        }
    }
    let pins = renewed(pins, seen);
    let of = family.map(|family| format!(" {family}")).unwrap_or_default();
    let nothing = format!("Nothing was pinned. Next: countersign tools pin{of} --yes");
    let agreed = yes || {
        let asking = Asking::begin(nothing.clone());
        let agreed = interactive() && !global.json && agreed("pin this? [y]es (default: no)", &["y", "yes"]);
        asking.over();
        agreed
    };
    if agreed {
        context.workspace.write_pins(&pins)?;
    }
    if global.json {
        say_json(&json!({"pins": pins, "changes": changes, "written": agreed}))?;
    } else if agreed {
        say("Pinned.");
    } else {
        say(nothing);
    }
    Ok(if agreed { Code::Done } else { Code::Waiting })
}

/// What a tool may do, in the words in which gates speak of it: whoever pins it answers for them.
fn effect_words(tool: &Tool) -> String {
    let effect = match tool.effect {
        Effect::Read => "only reads",
        Effect::Write => "writes",
        Effect::Destructive => "REMOVES something, so each call is ticked",
    };
    let undo = match &tool.undo {
        Some(undo) => format!("taken back by {}", undo.tool),
        None => "CANNOT be taken back".to_owned(),
    };
    format!("{}: {effect}, {undo} ({})", tool.name, tool.says)
}

/// What is otherwise about a server than when it was pinned, line by line.
fn differences(family: &str, old: Option<&ServerPin>, seen: &ServerSeen) -> Vec<String> {
    let mut lines = Vec::new();
    let new = &seen.pin;
    if old.is_none_or(|old| old.executable != new.executable) {
        let before = old.map_or_else(|| "not pinned".to_owned(), |old| old.executable.short());
        lines.push(format!("{family}: program {before} -> {}", new.executable.short()));
    }
    let files = |pin: Option<&ServerPin>| pin.map(|pin| pin.files.clone()).unwrap_or_default();
    let (was, is) = (files(old), files(Some(new)));
    for word in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
        let short = |files: &BTreeMap<String, Digest>| files.get(word).map_or("not pinned".to_owned(), Digest::short);
        if was.get(word) != is.get(word) {
            lines.push(format!("{family}: file {word} {} -> {}", short(&was), short(&is)));
        }
    }
    if old.is_none_or(|old| old.command != new.command) {
        let before = old.map_or_else(|| "not pinned".to_owned(), |old| old.command.join(" "));
        lines.push(format!("{family}: command {before} -> {}", new.command.join(" ")));
    }
    if old.is_none_or(|old| old.manifest != new.manifest) {
        let short = |digest: Option<&Digest>| digest.map_or_else(|| "not pinned".to_owned(), Digest::short);
        let before = short(old.and_then(|old| old.manifest.as_ref()));
        lines.push(format!("{family}: manifest {before} -> {}", short(new.manifest.as_ref())));
    }
    for (tool, digest) in &new.tools {
        let how = match old.and_then(|old| old.tools.get(tool)) {
            Some(pinned) if pinned == digest => continue,
            Some(_) => "is described otherwise now",
            None => "is new",
        };
        let about = seen.descriptions.get(tool).map(String::as_str).unwrap_or_default();
        lines.push(format!("{family}: {tool} {how}: {about}"));
    }
    for tool in old.iter().flat_map(|old| old.tools.keys()).filter(|tool| !new.tools.contains_key(*tool)) {
        lines.push(format!("{family}: {tool} is no longer among its tools"));
    }
    lines
}
