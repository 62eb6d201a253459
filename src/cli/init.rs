//! `countersign init`: lays out a workspace and pins the servers that it ships.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    broker::Broker,
    runtime::{Workspace, init_files},
    tool::{Manifest, Pins, ServerSeen},
};

use super::{
    args::{Global, Init},
    code::{CliError, Code},
    context::{Context, os_user},
    output::{aside, plain, say, say_json},
};

/// Runs the command.
pub async fn run(global: &Global, args: Init) -> Result<Code, CliError> {
    let user = os_user()?;
    let owner = global.name.clone().unwrap_or_else(|| user.clone());
    let written = init_files(&args.dir, &owner, &user)?;
    let here = Global { workspace: Some(args.dir.clone()), ..global.clone() };
    let context = Context::open(&here).await?;
    let broker = context.broker();
    let pins = renewed(Pins::default(), look(&context.workspace, &broker, None).await?);
    broker.close().await;
    context.workspace.write_pins(&pins)?;
    context.workspace.load_catalog()?;
    context.workspace.keys().await?.ensure(Timestamp::now())?;
    if global.json {
        say_json(&serde_json::json!({"workspace": args.dir, "owner": owner, "files": written}))?;
        return Ok(Code::Done);
    }
    say(format!("Workspace in {}, owner {owner} (OS user {user}):", args.dir.display()));
    say("  tools/       what can be called, and how it is undone (the simulated lab is pinned)");
    say("  policies/    who may do what; what is never done; which targets there are");
    say("  prompts/     the blueprints");
    say("");
    say(format!("Next: cd {} && countersign blueprints", args.dir.display()));
    Ok(Code::Done)
}

/// What the servers are now, by family.
pub async fn look(
    workspace: &Workspace,
    broker: &Broker,
    only: Option<&str>,
) -> Result<BTreeMap<String, ServerSeen>, CliError> {
    let manifests: Vec<Manifest> = workspace.manifests()?;
    if let Some(family) = only.filter(|family| !manifests.iter().any(|manifest| manifest.family == *family)) {
        return Err(CliError::usage(format!("there is no tool family `{family}`; see `countersign tools list`")));
    }
    let mut seen = BTreeMap::new();
    for manifest in manifests.iter().filter(|manifest| only.is_none_or(|family| manifest.family == family)) {
        seen.insert(manifest.family.clone(), broker.inspect(manifest).await?);
        broker.notices().iter().for_each(|notice| aside(format!("note: {}", plain(notice))));
    }
    Ok(seen)
}

/// The pins with what was seen in place of what was pinned.
pub fn renewed(mut pins: Pins, seen: BTreeMap<String, ServerSeen>) -> Pins {
    pins.servers.extend(seen.into_iter().map(|(family, seen)| (family, seen.pin)));
    pins
}
