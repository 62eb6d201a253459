//! `countersign list`, `inbox` and `blueprints`.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::json;

use crate::{
    artifact::{InputSchema, value::as_word},
    engagement::About,
    facts::Role,
    ledger::{Filter, Status, Summary, Which},
};

use super::{
    args::{Global, List, StatusArg},
    code::{CliError, Code},
    context::Context,
    output::{aside_sentence, columns, count, plain, say, say_json, say_sentence},
};

/// `list`
pub async fn list(global: &Global, args: List) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let which = match args.status {
        None => Which::All,
        Some(StatusArg::Open) => Which::Open,
        Some(StatusArg::Waiting) => Which::Waiting,
        Some(StatusArg::Closed) => Which::Closed,
    };
    // A name that nobody has is refused, though looking needs no role.
    if global.name.is_some() {
        context.identity()?;
    }
    let requester = if args.mine { Some(context.identity()?.name) } else { None };
    if args.limit == 0 {
        return Err(CliError::usage("`--limit 0` shows nothing; leave it out, or write at least 1"));
    }
    // One more than is shown, to see whether there are others.
    let filter = Filter { which, requester, limit: args.blueprint.is_none().then(|| args.limit.saturating_add(1)) };
    let mut summaries = context.workspace.store().summaries(filter).await?;
    if let Some(blueprint) = &args.blueprint {
        summaries.retain(|summary| summary.blueprint.as_ref() == Some(blueprint));
    }
    if summaries.len() > args.limit as usize {
        summaries.truncate(args.limit as usize);
        aside_sentence(format!("note: there are more than these {}; `--limit` shows more", args.limit));
    }
    let filtered = args.status.is_some() || args.mine || args.blueprint.is_some();
    let empty = if filtered {
        "No engagement matches; `countersign list` shows all."
    } else {
        "No engagements. Begin with `countersign request`; see `countersign blueprints`."
    };
    show(global, &summaries, empty)
}

/// `inbox`
pub async fn inbox(global: &Global) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let identity = context.identity()?;
    let roles = context.workspace.load_catalog()?.people.roles(&identity);
    let filter = Filter { which: Which::Waiting, ..Filter::default() };
    let mut summaries = context.workspace.store().summaries(filter).await?;
    summaries.retain(|summary| match &summary.status {
        Status::Waiting { role, .. } => roles.iter().any(|has| has >= role),
        Status::Rejected { .. } => roles.contains(&Role::Requester),
        Status::Asked { .. } => summary.requester == identity.name,
        _ => false,
    });
    // Nobody says yes to what they asked for or wrote where duties are apart.
    let (mut own, mut others) = (Vec::new(), 0_u64);
    for summary in summaries {
        let barred = match &summary.status {
            Status::Waiting { about: About::Failure { .. } | About::Unknown { .. }, .. } => false,
            Status::Waiting { .. } => {
                let journal = context.journal(summary.id.as_str()).await;
                // One that does not hold hides none of the others.
                if let Err(CliError { message, .. }) = &journal {
                    let id = &summary.id;
                    aside_sentence(format!(
                        "note: {id} cannot be gone on with: {}; see `countersign verify {id}`",
                        plain(message)
                    ));
                }
                let asked = journal.as_ref().ok().and_then(|journal| journal.state().asked.as_ref());
                asked.is_some_and(|asked| asked.barred.contains(&identity.name))
            }
            _ => false,
        };
        if barred { others += 1 } else { own.push(summary) }
    }
    let code = show(global, &own, &format!("Nothing waits for {}.", plain(&identity.name)))?;
    if others > 0 && !global.json {
        let (waits, yes) = if others == 1 { ("waits", "its yes is") } else { ("wait", "their yes is") };
        say(format!(
            "{others} more {waits} that you asked for or wrote, so {yes} somebody else's; see `countersign list`."
        ));
    }
    Ok(code)
}

/// `blueprints`
pub async fn blueprints(global: &Global) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    let all = context.usable_blueprints()?;
    if global.json {
        let rows = all.iter().map(|blueprint| {
            json!({"name": blueprint.name, "title": blueprint.title, "about": blueprint.about, "inputs": blueprint.inputs})
        });
        say_json(&rows.collect::<Vec<_>>())?;
        return Ok(Code::Done);
    }
    for blueprint in &all {
        say(format!("{}: {}", blueprint.name, blueprint.title));
        for line in blueprint.about.trim().lines() {
            say_sentence(format!("    {line}"));
        }
        let mut table = table();
        for input in &blueprint.inputs {
            table.add_row(vec![format!("    {}", input.name), input.ask.clone(), default_words(input)]);
        }
        say(table.trim_fmt());
        let set = blueprint.inputs.iter().filter(|input| input.schema.default.is_none()).map(|input| {
            let example = input.example.as_ref().map_or_else(|| "…".to_owned(), as_word);
            format!(" --set {}={example}", input.name)
        });
        say(format!("    countersign request --blueprint {}{}", blueprint.name, set.collect::<String>()));
        say("");
    }
    Ok(Code::Done)
}

fn default_words(input: &InputSchema) -> String {
    match &input.schema.default {
        Some(serde_json::Value::String(text)) if text.is_empty() => "optional".into(),
        Some(value) => format!("default {}", as_word(value)),
        None => "required".into(),
    }
}

/// A table without lines, as wide as the terminal that it is for.
pub fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(columns) = columns() {
        table.set_width(u16::try_from(columns).unwrap_or(u16::MAX));
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

fn show(global: &Global, summaries: &[Summary], empty: &str) -> Result<Code, CliError> {
    if global.json {
        say_json(&summaries)?;
        return Ok(Code::Done);
    }
    if summaries.is_empty() {
        say(empty);
        return Ok(Code::Done);
    }
    let mut table = table();
    table.set_header(vec!["id", "phase", "status", "asked by", "written", "title"]);
    for summary in summaries {
        table.add_row(vec![
            summary.id.to_string(),
            summary.phase.to_string(),
            in_short(status_words(&summary.status)),
            plain(&summary.requester),
            summary.updated_at.strftime("%Y-%m-%d %H:%MZ").to_string(),
            plain(&summary.title),
        ]);
    }
    // These are short, and no word of theirs is broken where a terminal is narrow.
    for short in [0, 1, 4] {
        if let Some(column) = table.column_mut(short) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    say(table.trim_fmt());
    Ok(Code::Done)
}

/// On a terminal, without why something was asked anew: `show` says that. What waits for nobody may wait for a process.
fn in_short(status: String) -> String {
    if matches!(status.as_str(), "drafting" | "running") {
        return format!("{status} (`run` goes on with it)");
    }
    match status.split_once(", asked anew: ") {
        Some((asked, _)) if columns().is_some() => format!("{asked}, asked anew"),
        _ => status,
    }
}

/// Where an engagement stands, in a few words.
pub fn status_words(status: &Status) -> String {
    match status {
        Status::Waiting { words, role, .. } => format!("waiting for {role}: {words}"),
        Status::Asked { questions, .. } => {
            format!("waiting for the requester: {}", count(*questions as u64, "question"))
        }
        Status::Rejected { artifact, .. } => format!("rejected: {artifact} waits for an edit"),
        Status::Closed { outcome, .. } => super::show::outcome_words(*outcome).to_owned(),
        other => other.word().to_owned(),
    }
}
