//! `countersign policy`: what the policies of this workspace say, tried, explained and held against the ledger. It
//! reads, and writes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use clap::{Args, Subcommand};
use jiff::{Span, Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{Agent, Blueprint, Spec, from_yaml, value::shown, word_of},
    broker::{Moment, explain, proposed},
    engagement::{ApprovedSpec, Standing, View},
    facts::{misspelt_environments, misspelt_words, signing_gaps},
    ledger::{Filter, Journal, TrustBook, Which},
    policy::{
        Catalog, CompiledBoundary, ExampleOutcome, LayerAnswer, Nearest, PolicyProblem, Spoke, Verdict, blocked_grants,
        unmet_rules,
    },
    runtime::{Flip, answer_word, simulate},
    tool::value_at,
};

use super::{
    args::Global,
    code::{CliError, Code},
    context::Context,
    list::table,
    output::{count, plain, say, say_json, say_sentence},
};

/// `policy`
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// The `policy` commands.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Find rules that do not load, never match or never change an answer, and grants that guardrails never let through.
    #[command(after_help = "Example: countersign policy check")]
    Check,
    /// Try the examples that stand above the rules.
    #[command(after_help = "Example: countersign policy test --json")]
    Test,
    /// Show what every layer says to a call, the nearest grant and which argument is outside it. Writes nothing.
    #[command(after_help = "Example: countersign policy explain k7m \
        --call '{\"tool\": \"vlan.list\", \"args\": {\"switch\": \"sw01\"}}'")]
    Explain {
        /// The engagement; its first letters do.
        id: String,
        /// The call: `tool`, `args`, and `agent` where it is not the phase's own.
        #[arg(long, value_name = "JSON")]
        call: String,
    },
    /// Ask about every call in the ledger once more, with the files as they are now. Writes nothing.
    #[command(after_help = "Examples:\n  countersign policy simulate --since 30d\n  \
        countersign policy simulate --since 2026-12-01T00:00:00Z --json")]
    Simulate {
        /// So long ago (30d, 12h), or a time.
        #[arg(long, value_name = "SPAN", default_value = "30d")]
        since: String,
    },
}

/// Runs the command.
pub async fn run(global: &Global, args: PolicyArgs) -> Result<Code, CliError> {
    let context = Context::open(global).await?;
    match args.command {
        PolicyCommand::Check => check(global, &context).await,
        PolicyCommand::Test => test(global, &context),
        PolicyCommand::Explain { id, call } => explained(global, &context, &id, &call).await,
        PolicyCommand::Simulate { since } => simulated(global, &context, &since).await,
    }
}

async fn check(global: &Global, context: &Context) -> Result<Code, CliError> {
    // Whatever does not parse, type-check, match anything or hold its examples is an error with its line.
    let catalog = context.workspace.load_catalog()?;
    let mut signing =
        signing_gaps(&catalog.people, &context.workspace.load_signers()?, &catalog.inventory, Timestamp::now());
    signing.extend(misspelt_words(&catalog.inventory));
    context.workspace.models()?;
    let shadowed = catalog.policies.shadowed();
    let mut waiting: Vec<&str> = Vec::new();
    for tried in catalog.policies.examples() {
        let skipped = matches!(tried.outcome, ExampleOutcome::Skipped { .. });
        if skipped && tried.matches && !waiting.contains(&tried.rule.as_str()) {
            waiting.push(&tried.rule);
        }
    }
    let hindered = context.hindered().lines();
    let blueprints = context.workspace.blueprints()?;
    let unusable: Vec<String> = blueprints.wrong().map(str::to_owned).collect();
    let (mut blocked, mut untried) = (Vec::new(), Vec::new());
    for blueprint in blueprints.usable {
        match example_spec(&blueprint) {
            Ok(spec) => {
                let found = blocked_grants(&spec, &catalog);
                blocked.extend(found.into_iter().map(|error| format!("blueprint {}: {error}", blueprint.name)));
            }
            Err(why) => untried.push(format!("blueprint {}: {why}", blueprint.name)),
        }
    }
    let (open, early, found) = open_engagements(context, &catalog).await?;
    blocked.extend(found);
    let unmet = unmet_rules(&catalog);
    let misspelt = misspelt_environments(&catalog.people, &catalog.inventory);
    let clean = [&blocked, &unusable, &hindered, &misspelt].into_iter().all(Vec::is_empty) && shadowed.is_empty();
    if global.json {
        say_json(&json!({
            "ok": clean, "shadowed": shadowed.iter().map(problem).collect::<Vec<_>>(), "blocked_grants": blocked, "unusable_blueprints": unusable, "witness": hindered,
            "waiting_for_tools": waiting, "not_tried": untried, "open_engagements": open,
            "without_approved_spec": early,
            "unmet": unmet.iter().map(problem).collect::<Vec<_>>(), "signing": signing,
            "misspelt_environments": misspelt,
        }))?;
        return Ok(if clean { Code::Done } else { Code::Failed });
    }
    for problem in &shadowed {
        say_sentence(format!("policies/{}", plain(&problem.to_string())));
    }
    for line in misspelt.iter().chain(&hindered).chain(&unusable).chain(&blocked).chain(&untried) {
        say_sentence(plain(line));
    }
    for problem in &unmet {
        say_sentence(format!("note: policies/{}", plain(&problem.to_string())));
    }
    for gap in &signing {
        say_sentence(format!("note: {}", plain(gap)));
    }
    for rule in &waiting {
        say_sentence(format!("note: no tool here is one that `{}` could match; it waits for one", plain(rule)));
    }
    let others = match early {
        0 => String::new(),
        1 => "; 1 more has no approved spec yet".to_owned(),
        more => format!("; {more} more have no approved spec yet"),
    };
    say_sentence(format!("{} looked at{others}.", count(open, "open engagement")));
    if clean {
        let rules = catalog.policies.examples().iter().map(|tried| &tried.rule);
        let rules = rules.collect::<BTreeSet<_>>().len() as u64;
        say(format!("{} in order: none is shadowed, every example holds.", count(rules, "rule")));
    }
    Ok(if clean { Code::Done } else { Code::Failed })
}

/// How many engagements are open with an approved spec, and what in their specs will never come to anything as the
/// files are now.
async fn open_engagements(context: &Context, catalog: &Catalog) -> Result<(u64, u64, Vec<String>), CliError> {
    let (mut looked, mut early, mut found) = (0, 0, Vec::new());
    let filter = Filter { which: Which::Open, ..Filter::default() };
    for summary in context.workspace.store().summaries(filter).await? {
        let journal = match context.journal(summary.id.as_str()).await {
            Ok(journal) => journal,
            Err(CliError { message, .. }) => {
                found.push(format!(
                    "engagement {0} cannot be read: {message}; see `countersign verify {0}`",
                    summary.id
                ));
                continue;
            }
        };
        let Some(spec) = ApprovedSpec::spec(journal.state(), journal.documents()) else {
            early += 1;
            continue;
        };
        looked += 1;
        let problems = match CompiledBoundary::compile(&spec, catalog) {
            Ok(_) => blocked_grants(&spec, catalog),
            Err(problems) => problems,
        };
        found.extend(problems.into_iter().map(|error| format!("engagement {}: {error}", summary.id)));
    }
    Ok((looked, early, found))
}

fn problem(problem: &PolicyProblem) -> Value {
    json!({"file": problem.file, "line": problem.line, "message": problem.message})
}

/// The spec that a blueprint gives for the examples of its own inputs.
fn example_spec(blueprint: &Blueprint) -> Result<Spec, String> {
    let missing = blueprint.missing(&Map::new());
    let given: Map<String, Value> =
        missing.iter().filter_map(|input| Some((input.name.clone(), input.example.clone()?))).collect();
    let inputs =
        blueprint.check_inputs(&given).map_err(|error| format!("not tried, its examples do not do: {error}"))?;
    blueprint.draft_spec(&inputs).map_err(|error| format!("not tried, it drafts no spec: {error}"))
}

fn test(global: &Global, context: &Context) -> Result<Code, CliError> {
    let policies = context.workspace.policies()?;
    let (examples, without) = (policies.examples(), policies.without_examples());
    let failed = examples.iter().filter(|tried| matches!(tried.outcome, ExampleOutcome::Failed { .. })).count();
    let ok = failed == 0 && without.is_empty();
    // As of every other command, which does not even load these.
    let code = if ok { Code::Done } else { Code::Usage };
    if global.json {
        let without: Vec<Value> = without.iter().map(problem).collect();
        say_json(&json!({"ok": ok, "examples": examples, "without_examples": without}))?;
        return Ok(code);
    }
    let mut table = table();
    for tried in examples {
        let word = if tried.matches { "match" } else { "no match" };
        let (outcome, why) = match &tried.outcome {
            ExampleOutcome::Passed => ("pass", String::new()),
            ExampleOutcome::Skipped { why } => ("skip", why.clone()),
            ExampleOutcome::Failed { why } => ("FAIL", why.clone()),
        };
        let place = format!("{}:{}", tried.file, tried.line);
        let row = [outcome.to_owned(), place, tried.rule.clone(), format!("{word}: {}", tried.example), why];
        table.add_row(row.map(|cell| plain(&cell)));
    }
    say(table.trim_fmt());
    for problem in without {
        say(format!("FAIL  policies/{}", plain(&problem.to_string())));
    }
    let skipped = examples.iter().filter(|tried| matches!(tried.outcome, ExampleOutcome::Skipped { .. })).count();
    let passed = examples.len() - failed - skipped;
    say(format!(
        "{passed} passed, {failed} failed, {skipped} skipped, {} without an example",
        count(without.len() as u64, "rule")
    ));
    Ok(code)
}

/// What `--call` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    tool: String,
    #[serde(default)]
    args: Map<String, Value>,
    agent: Option<Agent>,
}

/// Of an engagement whose key a redaction destroyed.
pub fn undecidable(journal: &Journal) -> CliError {
    CliError::failed(format!(
        "a redaction destroyed the key of {0}, so no call of it can be decided any more; `countersign log {0}` shows what \
         was decided",
        journal.id()
    ))
}

async fn explained(global: &Global, context: &Context, id: &str, call: &str) -> Result<Code, CliError> {
    let asked: Asked = from_yaml("--call", call).map_err(|error| {
        CliError::usage(format!(
            r#"{error}; write a call such as {{"tool": "vlan.list", "args": {{"switch": "sw01"}}}}"#
        ))
    })?;
    let journal = context.journal(id).await?;
    if journal.state().key_destroyed() {
        return Err(undecidable(&journal));
    }
    let catalog = context.workspace.catalog_of(&journal)?;
    let view = View {
        state: journal.state(),
        documents: journal.documents(),
        blobs: journal.blobs(),
        toolbox: &catalog.toolbox,
    };
    let now = Timestamp::now().max(view.state.last_at);
    let trust = TrustBook::open(Arc::clone(context.workspace.store())).await?;
    trust.held_to_log().await?;
    let standing = Standing::of(&view, &catalog.inventory, &trust.trust_by(&catalog.signers, &catalog.people));
    let proposal = proposed(&view, &asked.tool, asked.args, asked.agent, now);
    let spec = ApprovedSpec::spec(journal.state(), journal.documents());
    let boundary = spec.map(|spec| CompiledBoundary::compile(&spec, &catalog)).transpose().map_err(|problems| {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        CliError::usage(format!("the approved spec no longer fits the tools and the inventory: {first}"))
    })?;
    let elsewhere = context.workspace.store().changing(journal.id()).await?;
    let moment = Moment { now, stage: standing.stage, elsewhere: &elsewhere };
    let explanation = explain(&view, &catalog, boundary.as_ref(), &proposal, &moment);
    let answer = answer_word(explanation.foreseen.refused);
    if global.json {
        say_json(&json!({
            "engagement": journal.id(), "tool": proposal.tool, "args": proposal.args, "agent": proposal.agent,
            "purpose": proposal.purpose, "stage": standing.stage, "answer": answer, "decided_by": explanation.foreseen.rules,
            "layers": explanation.layers, "nearest": explanation.nearest, "digest": explanation.digest,
        }))?;
        return Ok(Code::Done);
    }
    let args = serde_json::to_string(&proposal.args).unwrap_or_default();
    say(plain(&format!(
        "{} {args}, {} for the {} agent: {answer}",
        proposal.tool,
        proposal.purpose.words(),
        proposal.agent
    )));
    let mut table = table();
    for layer in &explanation.layers {
        let said = if layer.rules.is_empty() { vec![String::new()] } else { layer.rules.iter().map(rule).collect() };
        for (at, said) in said.into_iter().enumerate() {
            let head = if at == 0 { [word_of(layer.layer), verdict_word(layer)] } else { Default::default() };
            table.add_row(vec![format!("  {}", head[0]), head[1].clone(), plain(&said)]);
        }
    }
    say(table.trim_fmt());
    if let Some(nearest) = &explanation.nearest {
        closest(nearest, &proposal.args);
    }
    Ok(Code::Done)
}

fn rule(spoke: &Spoke) -> String {
    format!("{} [{}]", spoke.reason, spoke.rule)
}

fn verdict_word(layer: &LayerAnswer) -> String {
    match layer.verdict {
        None => "-".into(),
        Some(Verdict::Allow) => "yes".into(),
        Some(Verdict::Deny) => "NO".into(),
        Some(Verdict::Escalate(role)) => format!("asks {role}"),
    }
}

fn closest(nearest: &Nearest, args: &Map<String, Value>) {
    say(format!("The nearest grant is {}:", nearest.grant));
    if nearest.misses.is_empty() {
        say("  every argument is inside it");
    }
    for miss in &nearest.misses {
        let given = value_at(args, &miss.argument).map_or_else(|| "left out".to_owned(), shown);
        say(plain(&format!("  `{}` is {given} and must be {}", miss.argument, miss.must_be)));
    }
}

async fn simulated(global: &Global, context: &Context, since: &str) -> Result<Code, CliError> {
    let since = begin(since, Timestamp::now())?;
    let catalog: Arc<Catalog> = context.workspace.load_catalog()?;
    let simulation = simulate(&context.workspace, &catalog, since).await?;
    if global.json {
        say_json(&json!({"since": since, "simulation": simulation}))?;
        return Ok(Code::Done);
    }
    say(format!("{} since {}:", count(simulation.calls, "call"), since.strftime("%Y-%m-%d %H:%MZ")));
    let mut answers: Vec<&String> = simulation.then.keys().chain(simulation.now.keys()).collect();
    answers.sort();
    answers.dedup();
    let mut table = table();
    table.set_header(vec!["  answer", "then", "now"]);
    for answer in answers {
        let of = |counts: &BTreeMap<String, u64>| counts.get(answer).copied().unwrap_or(0).to_string();
        table.add_row(vec![format!("  {answer}"), of(&simulation.then), of(&simulation.now)]);
    }
    say(table.trim_fmt());
    for flip in &simulation.flips {
        say(plain(&flipped(flip)));
    }
    for (id, calls) in &simulation.redacted_of {
        let calls = count(*calls, "call");
        say(format!("not asked about: {calls} of {id}, whose arguments or key a redaction destroyed"));
    }
    for line in &simulation.unread {
        say(format!("not asked about: {}", plain(line)));
    }
    if simulation.flips.is_empty() {
        say("No call would be answered otherwise.");
    } else {
        say(format!("{} would be answered otherwise.", count(simulation.flips.len() as u64, "call")));
    }
    Ok(Code::Done)
}

fn flipped(flip: &Flip) -> String {
    let args = serde_json::to_string(&flip.args).unwrap_or_default();
    let because = flip.now_rule.as_ref().or(flip.then_rule.as_ref()).map(rule).unwrap_or_default();
    let Flip { engagement, call, tool, then, now, .. } = flip;
    format!("{engagement} {call} {tool} {args}: {then} -> {now}: {because}")
}

/// The time that `--since` names: so long ago, or a time.
fn begin(since: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    if let Ok(at) = since.parse::<Timestamp>() {
        return Ok(at);
    }
    let wrong = || {
        CliError::usage(format!("`{since}` is not a span such as 30d or 12h, nor a time such as 2026-12-01T00:00:00Z"))
    };
    let span: Span = since.parse().map_err(|_| wrong())?;
    let then = now.to_zoned(TimeZone::UTC).checked_sub(span.abs()).map_err(|_| wrong())?;
    Ok(then.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_span_ago_or_a_time() {
        let now: Timestamp = "2026-12-31T12:00:00Z".parse().unwrap();
        for (since, then) in [
            ("30d", "2026-12-01T12:00:00Z"),
            ("12h", "2026-12-31T00:00:00Z"),
            ("1w", "2026-12-24T12:00:00Z"),
            ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ] {
            assert_eq!(begin(since, now).unwrap().to_string(), then, "{since}");
        }
        for wrong in ["", "yesterday", "30"] {
            assert!(begin(wrong, now).is_err(), "{wrong}");
        }
    }
}
