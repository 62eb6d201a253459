//! `countersign trust`: which stage each blueprint has in each environment, and giving it another.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    artifact::digest_of,
    engagement::{Actor, Blobs, Body, set_trust},
    facts::{IdentityMeans, STAGES, Scope},
    ledger::{Lapsed, TrustBook, TrustError},
    runtime::sign_trust,
};

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    list::table,
    output::{plain, say, say_json},
    signing::Key,
};

/// `trust`
#[derive(Debug, Args)]
pub struct Trust {
    /// What to do.
    #[command(subcommand)]
    pub command: TrustCommand,
}

/// What `trust` does.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// List the scopes and their stages, and who set them.
    #[command(after_help = "Example: countersign trust show --json")]
    Show,
    /// Give a scope another stage.
    #[command(
        after_help = "Examples:\n  countersign trust set dns@lab 2 --reason 'ten good runs' --key ~/.ssh/id_ed25519\n  \
        countersign trust set dns@lab 1 --reason 'it went wrong'"
    )]
    Set {
        /// A blueprint in an environment, such as `dns@lab`.
        scope: String,
        /// 1 assisted, 2 supervised, 3 autonomous within policy.
        #[arg(value_parser = super::args::whole::<u8>("1, 2 or 3"))]
        stage: u8,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Sign it with this SSH key, as `approve --key`; raising needs it.
        #[arg(long, value_name = "FILE|agent")]
        key: Option<PathBuf>,
    },
}

/// Runs the command.
pub async fn run(global: &Global, args: Trust) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let book = TrustBook::open(Arc::clone(context.workspace.store())).await?;
    match args.command {
        TrustCommand::Show => {
            // What is there is shown whether it holds or not.
            let held = book.held_to_log().await;
            let last = context.workspace.not_rolled_back().await;
            let code = show(global, &context, &book, held.is_ok() && last.is_ok())?;
            held?;
            last?;
            Ok(code)
        }
        TrustCommand::Set { scope, stage, reason, key } => {
            context.workspace.store().writable()?;
            context.workspace.not_rolled_back().await?;
            book.held_to_log().await?;
            let key = context.key(key.as_deref())?;
            set(global, &context, book, (&scope, stage, &reason), key.as_ref()).await
        }
    }
}

/// What a stage means, in a few words.
fn words(stage: u8) -> &'static str {
    match stage {
        1 => "assisted: people approve every change",
        2 => "supervised: people approve both gates, writes on contract run",
        _ => "autonomous within policy: gates.cedar answers what it clearly allows",
    }
}

fn show(global: &Global, context: &Context, book: &TrustBook, holds: bool) -> Result<Code, CliError> {
    let catalog = context.workspace.load_catalog()?;
    let mut environments: Vec<&str> =
        catalog.inventory.targets.iter().map(|target| target.environment.as_str()).collect();
    environments.sort_unstable();
    environments.dedup();
    let mut rows = Vec::new();
    let trust = book.trust_by(&catalog.signers, &catalog.people);
    for blueprint in context.usable_blueprints()? {
        let digest = digest_of(&blueprint).map_err(|error| CliError::failed(error.to_string()))?;
        for environment in &environments {
            let scope = Scope { blueprint: digest, environment: (*environment).to_owned() };
            let (name, stage) = (format!("{}@{environment}", blueprint.name), trust.stage(&scope));
            let lapsed = book.lapsed(&scope, &catalog.signers, &catalog.people);
            rows.push((name, stage, scope, lapsed));
        }
    }
    // What is trusted and has no file any more is trusted still, for engagements that began with it.
    for (scope, name) in trusted_more(book, *STAGES.start()) {
        let stage = trust.stage(&scope);
        if rows.iter().all(|(.., known, _)| *known != scope) && stage > *STAGES.start() {
            rows.push((name, stage, scope, None));
        }
    }
    if global.json {
        let scopes: Vec<_> = rows
            .iter()
            .map(|(name, stage, scope, lapsed)| {
                let lapsed = lapsed.as_ref().map(|why| match why {
                    Lapsed::Key => "key",
                    Lapsed::Role(_) => "role",
                });
                json!({"scope": name, "stage": stage, "blueprint": scope.blueprint, "lapsed": lapsed})
            })
            .collect();
        say_json(&json!({"scopes": scopes, "history": book.events()}))?;
        return Ok(Code::Done);
    }
    let mut scopes = table();
    for (name, stage, scope, _) in &rows {
        scopes.add_row(vec![plain(name), format!("stage {stage}"), words(*stage).into(), scope.blueprint.short()]);
    }
    say(scopes.trim_fmt());
    for (name, .., lapsed) in &rows {
        let first = STAGES.start();
        let Some(why) = lapsed else { continue };
        say(match why {
            Lapsed::Key => format!(
                "{name} was raised with a key that policies/allowed_signers does not name for then, so it stands at stage {first}: \
                 put the line back (with `valid-before` where the key signs no more), or set it to 1 and raise it anew"
            ),
            Lapsed::Role(by) => format!(
                "{name} was raised by {}, who has not the role `{}` (`raise_trust` in policies/people.yaml) any more, so it \
                 stands at stage {first}: have somebody who has it set it to 1 and raise it anew",
                plain(&by.name),
                catalog.people.raise_trust
            ),
        });
    }
    for event in book.events() {
        say(super::log::line(event, &Blobs::new()));
    }
    if let Some(last) = book.events().last().filter(|_| holds) {
        say(format!("The chain of trust stages holds: head {}", last.hash));
    }
    let example = rows.first().map_or("vlan@lab", |(name, ..)| name.as_str());
    say(format!(
        "A changed blueprint is another scope, at stage {}, and lowering a stage lowers it for each text that it had. Change \
         one: countersign trust set {example} 2 --reason '…' --key ~/.ssh/id_ed25519",
        STAGES.start()
    ));
    Ok(Code::Done)
}

async fn set(
    global: &Global,
    context: &Context,
    mut book: TrustBook,
    (scope, stage, reason): (&str, u8, &str),
    key: Option<&Key>,
) -> Result<Code, CliError> {
    let (name, environment) = scope.split_once('@').ok_or_else(|| {
        CliError::usage(format!(
            "`{scope}` is no scope: write BLUEPRINT@ENVIRONMENT, such as `dns@lab`; `countersign trust show` lists them"
        ))
    })?;
    let catalog = context.workspace.load_catalog()?;
    let mut earlier = trusted_more(&book, stage);
    earlier.retain(|_, named| named == scope);
    let current = context.workspace.blueprints()?.named(name);
    let current = if earlier.is_empty() { Some(current?) } else { current.ok() };
    if !catalog.inventory.targets.iter().any(|target| target.environment == environment) {
        return Err(CliError::usage(format!(
            "no target of policies/inventory.yaml is in the environment `{environment}`; `countersign trust show` lists \
             the scopes"
        )));
    }
    let digest = current.map(|blueprint| digest_of(&blueprint)).transpose();
    let digest = digest.map_err(|error| CliError::failed(error.to_string()))?;
    let current = digest.map(|blueprint| Scope { blueprint, environment: environment.to_owned() });
    // Whoever lowers a stage means every text that the blueprint had: engagements go on with the one they began with.
    let mut scopes: Vec<Scope> = earlier.into_keys().filter(|scope| Some(scope) != current.as_ref()).collect();
    let unchanged = |scope: &Scope| !scopes.is_empty() && book.trust().stage(scope) == stage;
    let current = current.filter(|scope| !unchanged(scope));
    if current.as_ref().is_some_and(|scope| stage > book.trust().stage(scope)) {
        scopes.clear();
    }
    scopes.extend(current);
    let mut code = Code::Done;
    for scope in scopes {
        code = set_one(global, context, &mut book, (scope, name, stage, reason), key).await?;
    }
    Ok(code)
}

/// The scopes that the ledger trusts with more than a stage, with their names, whatever a blueprint's text was then.
fn trusted_more(book: &TrustBook, stage: u8) -> BTreeMap<Scope, String> {
    let sets = book.events().iter().filter_map(|event| match &event.body {
        Body::TrustSet(set) => Some((set.scope.clone(), format!("{}@{}", set.name, set.scope.environment))),
        _ => None,
    });
    sets.filter(|(scope, _)| book.trust().stage(scope) > stage).collect()
}

async fn set_one(
    global: &Global,
    context: &Context,
    book: &mut TrustBook,
    (scope, name, stage, reason): (Scope, &str, u8, &str),
    key: Option<&Key>,
) -> Result<Code, CliError> {
    let catalog = context.workspace.load_catalog()?;
    let mut identity = context.identity()?;
    let roles = catalog.people.roles(&identity);
    let person = Actor::Person(identity.clone());
    let wanted = (scope, name, stage);
    let set = set_trust(book.trust(), &person, wanted, reason, &roles, catalog.people.raise_trust);
    let set = set.map_err(TrustError::Refused)?;
    let now = book.events().last().map_or_else(Timestamp::now, |last| last.at.max(Timestamp::now()));
    // Lowering only stops things, and is taken on a name alone.
    let signed = match key.filter(|_| set.stage > set.from) {
        Some(key) => {
            let signed = sign_trust(&context.workspace, key, &set, &identity, book.head(), now).await?;
            identity.means = IdentityMeans::Signed;
            Some(signed)
        }
        None => None,
    };
    book.set(now, Actor::Person(identity), set, signed).await?;
    context.publish().await;
    let Some(event) = book.events().last() else { return Ok(Code::Failed) };
    if global.json {
        say_json(event)?;
        return Ok(Code::Done);
    }
    if let Body::TrustSet(set) = &event.body {
        let name = plain(&format!("{}@{}", set.name, set.scope.environment));
        say(format!("{name}: stage {} to {} ({}), by {}", set.from, set.stage, words(set.stage), event.actor));
        say("It holds for every engagement from its next decision on.");
    }
    Ok(Code::Done)
}
