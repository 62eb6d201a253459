//! `countersign tools`: what can be called, and pinning what the servers are.

use serde_json::json;

use crate::facts::Role;

use super::{
    args::{Global, Tools, ToolsCommand},
    context::Context,
    init::pin,
    list::table,
    output::{CliError, Code, say, say_json},
};

/// Runs the command.
pub async fn run(global: &Global, args: Tools) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    match args.command {
        ToolsCommand::List => list(global, &context),
        ToolsCommand::Pin { family } => renew(global, &context, family.as_deref()).await,
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
                       "simulated": manifest.simulated, "pinned": pinned, "irreversible": tool.irreversible()})
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
        say(format!("{}{simulated}: {} [{pinned}]", manifest.family, manifest.about.trim()));
        let mut table = table();
        for tool in &manifest.tools {
            let undo = match &tool.undo {
                Some(undo) => format!("undone by {}", undo.tool),
                None if tool.irreversible() => "cannot be undone".into(),
                None => String::new(),
            };
            table.add_row(vec![format!("  {}", tool.name), tool.effect.as_str().into(), tool.about.clone(), undo]);
        }
        say(table.to_string());
    }
    Ok(Code::Done)
}

async fn renew(global: &Global, context: &Context, family: Option<&str>) -> Result<Code, CliError> {
    let identity = context.identity()?;
    let catalog = context.workspace.load_catalog()?;
    if !catalog.people.roles(&identity).contains(&Role::Owner) {
        let message = format!("pinning tools needs the role `owner`; {} does not have it", identity.name);
        return Err(CliError { code: Code::Refused, message });
    }
    let before = catalog.toolbox.pins().clone();
    let broker = context.broker();
    let pins = pin(&context.workspace, &broker, family).await;
    broker.close().await;
    let pins = pins?;
    let mut changes = Vec::new();
    for (family, pin) in &pins.servers {
        let old = before.servers.get(family);
        if old.is_none_or(|old| old.executable != pin.executable) {
            changes.push(format!("{family}: program {}", pin.executable.short()));
        }
        if old.is_none_or(|old| old.manifest != pin.manifest) {
            let digest = pin.manifest.as_ref().map(crate::artifact::Digest::short).unwrap_or_default();
            changes.push(format!("{family}: manifest {digest}"));
        }
        if old.is_none_or(|old| old.command != pin.command) {
            changes.push(format!("{family}: command {}", pin.command.join(" ")));
        }
        for (tool, digest) in &pin.tools {
            if old.and_then(|old| old.tools.get(tool)) != Some(digest) {
                changes.push(format!("{family}: {tool} {}", digest.short()));
            }
        }
    }
    context.workspace.write_pins(&pins)?;
    if global.json {
        say_json(&json!({"pins": pins, "changes": changes}))?;
    } else if changes.is_empty() {
        say("Nothing changed; every server is what it was pinned as.");
    } else {
        say("Pinned (tools/pins.yaml):");
        for change in changes {
            say(format!("  {change}"));
        }
    }
    Ok(Code::Done)
}
