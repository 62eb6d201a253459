//! What every screen has: who asked, when it may run, and which targets it is about.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    artifact::{ArtifactKind, AutomationFlow, FlowNode, Spec, Window},
    engagement::{Actor, Filed, Standing, View},
    facts::Facts,
    flow::NodeOutcome,
    policy::Catalog,
};

use super::{
    screen::Section,
    text::{names, quoted, sentence, word},
};

/// What stands beside the title: where it reaches, and whether all of that is only simulated.
pub(super) fn banner(facts: &Facts) -> Option<String> {
    let places: Vec<String> = facts.environments.iter().map(|name| word(name)).collect();
    let others = if facts.unlisted_targets { ", and targets that cannot be listed" } else { "" };
    match (facts.simulated, places.len()) {
        (true, 0) => Some(format!("SIMULATED environment{others}")),
        (true, 1) => Some(format!("SIMULATED environment: {}{others}", names(&places))),
        (true, _) => Some(format!("SIMULATED environments: {}{others}", names(&places))),
        (false, 0) => None,
        (false, 1) => Some(format!("environment: {}{others}", names(&places))),
        (false, _) => Some(format!("environments: {}{others}", names(&places))),
    }
}

/// Who asked, for what and when it may run.
pub(super) fn head(view: &View<'_>, spec: &Spec, standing: &Standing) -> Section {
    let state = view.state;
    let mut section = Section::default();
    let version = |kind: ArtifactKind| state.artifacts.get(&kind).map(version);
    let mut what = state.id.to_string();
    if let Some(version) = version(ArtifactKind::Spec) {
        what = format!("{what}, spec version {version}");
    }
    if let Some(version) = version(ArtifactKind::Design) {
        what = format!("{what}, design version {version}");
    }
    section.pair("Engagement", what);
    section.pair("Asked by", word(&state.requester.to_string()));
    let others = state.talk.speakers().filter(|actor| **actor != state.requester);
    let others: BTreeSet<String> = others.map(|actor| word(&actor.to_string())).collect();
    if !others.is_empty() {
        section.pair("Also told by", names(&others.into_iter().collect::<Vec<_>>()));
    }
    match &state.requested.blueprint {
        Some(blueprint) => section.pair("From", format!("blueprint {}", word(blueprint))),
        None if state.requested.model => {
            let by = state.talk.drafted_by(ArtifactKind::Spec);
            let by = by.map(|by| format!(", drafted by {} at {}", quoted(&by.model), quoted(&by.endpoint)));
            section.pair("From", format!("words{}", by.unwrap_or_default()));
        }
        None => section.pair("From", "a hand-written spec"),
    }
    if let Some(from) = &state.requested.from {
        let missed = state.uncompared().count();
        let drift = match view.documents.discovery() {
            None => "is read first".to_owned(),
            Some(report) if report.drift.is_empty() && missed == 0 => "was looked for, and there is none".to_owned(),
            Some(report) if report.drift.is_empty() => {
                format!("was looked for and not found, but {missed} of its steps COULD NOT BE COMPARED")
            }
            Some(_) if missed == 0 => "was found".to_owned(),
            Some(_) => format!("was found, and {missed} of its steps COULD NOT BE COMPARED"),
        };
        section.pair("Starts from", format!("{from}, and drift from its record {drift}"));
    }
    let refs: Vec<String> = spec.refs.iter().map(|reference| quoted(reference)).collect();
    section.pair("Tickets", if refs.is_empty() { "none".into() } else { names(&refs) });
    let window = spec.window.as_ref().map_or_else(|| "none, so it may be built at any time".into(), window);
    section.pair("Window", window);
    section.pair("Trust", format!("stage {}: {}", standing.stage, sentence(&standing.because)));
    section
}

/// A version and, where a person wrote it, who.
fn version(filed: &Filed) -> String {
    match (&filed.author, filed.version) {
        (author @ Actor::Person(_), 1) => format!("1, written by {}", word(&author.to_string())),
        (author @ Actor::Person(_), version) => format!("{version}, edited by {}", word(&author.to_string())),
        (Actor::Agent(_) | Actor::Policy | Actor::Program, version) => version.to_string(),
    }
}

/// A window in words.
fn window(window: &Window) -> String {
    format!("{} to {}", moment(&window.from), moment(&window.until))
}

/// An instant as people write it; seconds only where there are any.
pub(super) fn moment(at: &Timestamp) -> String {
    let format = if at.as_second() % 60 == 0 { "%Y-%m-%d %H:%M UTC" } else { "%Y-%m-%d %H:%M:%S UTC" };
    at.strftime(format).to_string()
}

/// The tags of targets that rules speak of, each with its targets: what is special about them here.
pub(super) fn ruled_tags<'a>(catalog: &Catalog, targets: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut by_tag: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for target in targets.filter_map(|name| catalog.inventory.target(name)) {
        for tag in target.tags.iter().filter(|tag| catalog.policies.speak_of(tag)) {
            by_tag.entry(tag).or_default().push(&target.name);
        }
    }
    let line = |(tag, all): (&&str, &Vec<&str>)| format!("tagged {}, which rules speak of: {}", word(tag), names(all));
    by_tag.iter().map(line).collect()
}

/// The targets by environment.
pub(super) fn targets(heading: &str, facts: &Facts, catalog: &Catalog) -> Section {
    let mut section = Section::new(heading);
    let mut by_environment: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut strangers = Vec::new();
    for name in &facts.targets {
        match catalog.inventory.target(name) {
            Some(target) => by_environment.entry(&target.environment).or_default().push(name),
            None => strangers.push(quoted(name)),
        }
    }
    for (environment, all) in &by_environment {
        section.text(format!("{} in {}: {}", all.len(), word(environment), names(all)));
    }
    ruled_tags(catalog, facts.targets.iter().map(String::as_str)).into_iter().for_each(|line| section.warn(line));
    if !strangers.is_empty() {
        section.warn(format!("not in the inventory, so every call to it is refused: {}", names(&strangers)));
    }
    if facts.may_find > 0 {
        section.warn(format!("up to {} more may be added by what is read after this gate", facts.may_find));
    }
    if facts.unlisted_targets {
        section.warn("some targets are not named here: a grant reaches more than can be listed");
    }
    if section.lines.is_empty() {
        section.text("none");
    }
    section
}

/// What became of the steps so far, and which are still to be done.
pub(super) fn so_far(view: &View<'_>, flow: &AutomationFlow) -> Section {
    let nodes = &view.state.nodes;
    let mut section = Section::new("WHAT WAS DONE SO FAR");
    let ids = |wanted: &dyn Fn(&FlowNode) -> bool| {
        flow.nodes.iter().filter(|node| wanted(node)).map(|node| node.id.as_str()).collect::<Vec<_>>()
    };
    for (outcome, words) in [
        (NodeOutcome::Done, "done"),
        (NodeOutcome::Unchanged, "so already"),
        (NodeOutcome::Skipped, "left out"),
        (NodeOutcome::Failed, "failed"),
        (NodeOutcome::Unknown, "unknown"),
        (NodeOutcome::Undone, "taken back"),
        (NodeOutcome::UndoFailed, "not taken back"),
        (NodeOutcome::NotRun, "not run"),
    ] {
        let of = ids(&|node| nodes.get(&node.id).is_some_and(|settled| settled.outcome == outcome));
        if !of.is_empty() {
            section.pair(words, names(&of));
        }
    }
    let open = ids(&|node| !nodes.contains_key(&node.id));
    section.pair("still to do", if open.is_empty() { "nothing".into() } else { names(&open) });
    section
}
