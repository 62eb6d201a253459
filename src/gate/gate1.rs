//! The screen of gate 1: what is wanted, what may be done about it and to what, and how it will be known.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    artifact::{Arg, ArtifactKind, Check, Rollback, Scope, Spec},
    engagement::{Gate, Standing, View},
    facts::Facts,
    policy::{Catalog, ProofReport, spec_problems},
    tool::Effect,
};

use super::{
    boundary::{boundary_words, widest},
    common::{banner, head, moment, targets},
    proof::proof_sections,
    screen::{Screen, Section},
    since::since_last_shown,
    text::{count, names, sentence, value, word},
    tried::tried,
    wider::wider_than_needed,
};

/// What gate 1 shows.
pub(super) fn screen(
    view: &View<'_>,
    catalog: &Catalog,
    spec: &Spec,
    facts: &Facts,
    standing: &Standing,
    proof: Option<&ProofReport>,
    leaving: Vec<String>,
) -> Screen {
    let mut sections = vec![head(view, spec, standing)];
    sections.extend(unfit(spec, catalog));
    sections.extend(since_last_shown(view, ArtifactKind::Spec, &[]));
    let later = facts.writes != Some(0) && !view.state.gate_open(Gate::One);
    sections.push(allowed(spec, later, catalog, leaving));
    sections.push(targets("TARGETS", facts, catalog));
    match proof {
        Some(report) => sections.extend(proven(view, catalog, report)),
        None => sections.extend(widest_grant(spec, catalog)),
    }
    sections.extend(wider(view, spec, catalog));
    sections.extend(tried(view, |_| true));
    sections.push(wanted(spec, catalog));
    sections.extend(out_of_scope(spec));
    sections.push(bounds(view, spec, facts));
    Screen {
        title: "GATE 1: is this wanted, and may this much be done?".into(),
        banner: banner(facts),
        subject: sentence(&spec.title),
        sections,
        footer: "Without an answer it waits; nothing is approved.".into(),
    }
}

/// So many reasons why it does not fit are shown.
const REASONS: usize = 8;

/// Why the spec, which fitted when it was filed, does not fit the tools and targets as they are now.
fn unfit(spec: &Spec, catalog: &Catalog) -> Option<Section> {
    let problems = spec_problems(spec, catalog);
    let mut section = Section::new("CANNOT BE DONE AS THINGS ARE");
    problems.iter().take(REASONS).for_each(|problem| section.warn(problem.to_string()));
    if let Some(more) = problems.len().checked_sub(REASONS).filter(|more| *more > 0) {
        section.warn(format!("and {}", count(more, "more reason")));
    }
    section.text("What does not fit is refused whoever approves it: put back what it needs, or have the spec edited.");
    (!problems.is_empty()).then_some(section)
}

/// What may be done, the gravest of it first; `later` where gate 2 is asked before anything is changed.
fn allowed(spec: &Spec, later: bool, catalog: &Catalog, leaving: Vec<String>) -> Section {
    let mut section = Section::new("WHAT MAY BE DONE");
    let tools = spec.boundary.build.iter().filter_map(|grant| catalog.toolbox.tool(&grant.tool));
    let destructive = tools.filter(|tool| tool.effect == Effect::Destructive).map(|tool| tool.name.to_string());
    let destructive: BTreeSet<String> = destructive.collect();
    if !destructive.is_empty() {
        section.warn(format!("it may remove something, with {}", names(&destructive.iter().collect::<Vec<_>>())));
    }
    for said in boundary_words(spec, catalog).into_iter().chain(leaving) {
        section.text(said);
    }
    if later {
        section.text("A yes lets that be read and a design be made. Nothing is changed before gate 2 is answered.");
    }
    section
}

/// What a solver proved. The worst calls are its own; they stand in for the widest grant.
fn proven(view: &View<'_>, catalog: &Catalog, report: &ProofReport) -> Vec<Section> {
    let version = |number: u32| format!("version {number}");
    let newer = view.state.artifacts.get(&ArtifactKind::Spec).map_or(1, |filed| filed.version);
    let older = view.state.shown_before(ArtifactKind::Spec).map(|(number, _)| number).unwrap_or_default();
    proof_sections(report, catalog, &version(newer), &version(older))
}

fn widest_grant(spec: &Spec, catalog: &Catalog) -> Option<Section> {
    let mut section = Section::new("WIDEST GRANT (not proven by a solver)");
    for said in widest(spec, catalog)? {
        section.text(said);
    }
    Some(section)
}

/// What could be narrower, where anything could.
fn wider(view: &View<'_>, spec: &Spec, catalog: &Catalog) -> Option<Section> {
    let design = view.documents.request().and_then(|request| request.design_draft());
    let said = wider_than_needed(spec, design, catalog);
    let mut section = Section::new("WIDER THAN WHAT IS ASKED FOR NEEDS");
    said.into_iter().for_each(|said| section.warn(said));
    (!section.lines.is_empty()).then_some(section)
}

fn wanted(spec: &Spec, catalog: &Catalog) -> Section {
    let mut section = Section::new("WHAT MUST BE TRUE IN THE END");
    for requirement in &spec.requirements {
        section.text(format!("{}  {}", word(&requirement.id), sentence(&requirement.text)));
        let covering = spec.acceptance.iter().filter(|check| check.covers.contains(&requirement.id));
        let mut covered = false;
        for check in covering {
            covered = true;
            let when = if check.invariant { "holds before and after" } else { "fails before, holds after" };
            section.detail(format!("{} {when}: {}", word(&check.id), reading(check, spec, catalog)));
            section.detail(format!("   {}", expectation(check, spec)));
        }
        if !covered {
            section.warn(format!("{} has no check, so nothing could show it", word(&requirement.id)));
        }
    }
    section
}

/// What the spec says is left out, where it says any.
fn out_of_scope(spec: &Spec) -> Option<Section> {
    let mut section = Section::new("OUT OF SCOPE");
    spec.out_of_scope.iter().for_each(|left_out| section.text(sentence(left_out)));
    (!section.lines.is_empty()).then_some(section)
}

/// The read of a check in words, for all of its items at once.
fn reading(check: &Check, spec: &Spec, catalog: &Catalog) -> String {
    let Some(tool) = catalog.toolbox.tool(&check.check.tool) else {
        return format!("use `{}`, which no manifest describes", check.check.tool);
    };
    let inputs = spec.inputs_value();
    let filled = |arg: &Arg, item: &Value| match arg {
        Arg::Literal(literal) => value(literal),
        Arg::Fill(_) => "(nobody fills it)".into(),
        Arg::Hole(hole) => {
            let scope = Scope::new().with("inputs", &inputs).with("item", item);
            hole.cel.evaluate(&scope).map_or_else(|_| format!("({})", word(hole.cel.source())), |filled| value(&filled))
        }
    };
    tool.sentence(|name| match check.check.args.get(name) {
        None => {
            tool.args.properties.get(name).and_then(|schema| schema.default.as_ref()).map_or("nothing".into(), value)
        }
        Some(arg) => {
            let mut each: Vec<String> = check.items().iter().map(|item| filled(arg, item)).collect();
            each.dedup();
            match each.as_slice() {
                [one] => one.clone(),
                all => format!("each of {}", names(all)),
            }
        }
    })
}

/// What a check expects, with the inputs that it names filled in.
fn expectation(check: &Check, spec: &Spec) -> String {
    let source = check.expect.source();
    let mut shown = String::new();
    let mut rest = source;
    let mut quote = None;
    while let Some(c) = rest.chars().next() {
        let named = rest.strip_prefix("inputs.").filter(|_| quote.is_none());
        let named = named.filter(|_| !shown.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.'));
        if let Some(after) = named {
            let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
            let (name, after) = after.split_at_checked(end).unwrap_or((after, ""));
            let scalar = spec.inputs.get(name).filter(|value| !value.is_array() && !value.is_object());
            if let Some(scalar) = scalar.filter(|_| !after.starts_with(['.', '['])) {
                shown.push_str(&scalar.to_string());
                rest = after;
                continue;
            }
        }
        match quote {
            // What follows a backslash never ends a text.
            Some(_) if c == '\\' => {
                let two = rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at);
                let (now, after) = rest.split_at_checked(two).unwrap_or((rest, ""));
                shown.push_str(now);
                rest = after;
                continue;
            }
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            _ => {}
        }
        shown.push(c);
        rest = rest.strip_prefix(c).unwrap_or_default();
    }
    sentence(&shown)
}

fn bounds(view: &View<'_>, spec: &Spec, facts: &Facts) -> Section {
    let mut section = Section { heading: None, lines: Vec::new() };
    let limits = &spec.limits;
    section.pair(
        "Limits",
        format!(
            "{} tool calls, {} model tokens, {} minutes of running",
            limits.tool_calls, limits.model_tokens, limits.minutes
        ),
    );
    section.pair("", "then it only looks at what was done, takes back and clears up");
    let attempts = count(limits.attempts_outside as usize, "attempt");
    section.pair("Stopped at", format!("{attempts} outside what may be done"));
    let rollback = match spec.rollback {
        Rollback::Required => "every change must be undoable",
        Rollback::BestEffort => "undone where there is an undo",
    };
    let until = spec.undo_until.as_ref().map_or_else(String::new, |at| format!(", until {}", moment(at)));
    section.pair("Rollback", format!("{rollback}{until}"));
    section.pair("Irreversible", irreversible(facts));
    if let Some(filed) = view.state.artifacts.get(&ArtifactKind::Spec) {
        section.pair("Artifact", format!("spec.yaml version {}, {}", filed.version, filed.digest.short()));
    }
    section
}

/// The tools that cannot be undone, or that there are none.
pub(super) fn irreversible(facts: &Facts) -> String {
    let all: Vec<&String> = facts.irreversible.iter().collect();
    if all.is_empty() { "nothing".into() } else { names(&all) }
}
