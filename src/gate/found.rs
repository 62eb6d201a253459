//! What is shown of targets that reads add: at gate 1 which reads may and what such targets are at most, at gate 2
//! which of the targets are not in the file, which call gave them, and what was left out.

use std::collections::BTreeSet;

use crate::{
    engagement::{CallOutcome, Purpose, View},
    facts::{Facts, FoundBy},
    policy::Catalog,
};

use super::{
    screen::Section,
    text::{count, names, quoted, sentence, word},
};

/// How many of the things that were left out are said by themselves.
const MOST_LEFT_OUT: usize = 12;

/// Each read that may add targets, in words.
pub(super) fn may_add(finders: &[FoundBy]) -> Vec<String> {
    let list = |what: &str, all: &BTreeSet<String>| {
        let all: Vec<String> = all.iter().map(|name| quoted(name)).collect();
        if all.is_empty() { format!("no {what}") } else { format!("the {what} {}", names(&all)) }
    };
    let words = |by: &FoundBy| {
        format!(
            "After this gate the verifier asks `{}`, which may add targets that nobody has seen yet, at most: {} of the \
             kind {} in {}, with {} and {}. Names that inventory.yaml knows stay what they are.",
            by.tool,
            count(usize::try_from(by.at_most).unwrap_or(usize::MAX), "target"),
            quoted(&by.kind),
            quoted(&by.within.environment),
            list("tags", &by.within.tags),
            list("groups", &by.within.groups)
        )
    };
    finders.iter().map(words).collect()
}

/// What came of the reads that gate 1 let add targets; nothing where there are none.
pub(super) fn found(view: &View<'_>, catalog: &Catalog, facts: &Facts) -> Option<Section> {
    let mut section = Section::new("TARGETS THAT WERE FOUND");
    for proposal in view.find_reads() {
        let Some((id, call)) = view.state.call_for(&proposal.purpose) else {
            section.warn(format!("`{}` was not asked, so it added no target", proposal.tool));
            continue;
        };
        let finding = catalog.inventory.findings.iter().find(|finding| finding.call == *id);
        let Some(finding) = finding else {
            let why = match (&call.refused, &call.message) {
                (Some((_, reason)), _) | (None, Some(reason)) => word(reason),
                (None, None) => "there was no answer".into(),
            };
            let asked =
                if call.outcome == Some(CallOutcome::Ok) { "answered nothing usable" } else { "gave no answer" };
            section.warn(format!("`{}` {asked} in call {id}, so it added no target: {why}", proposal.tool));
            continue;
        };
        let used: Vec<&String> = finding.added.intersection(&facts.targets).collect();
        if !used.is_empty() {
            section.warn(format!("found by call {id} (`{}`), not in inventory.yaml: {}", proposal.tool, names(&used)));
        }
        let others = count(finding.added.len() - used.len(), "target");
        section.text(format!("call {id} (`{}`) added {others} that the steps do not touch", proposal.tool));
        for why in finding.left_out.iter().take(MOST_LEFT_OUT) {
            section.detail(format!("left out: {}", sentence(why)));
        }
        let more = finding.left_out.len().saturating_sub(MOST_LEFT_OUT);
        if more > 0 {
            section.detail(format!("and {more} more"));
        }
    }
    (!section.lines.is_empty()).then_some(section)
}

/// What a read that may add targets came to, for whoever watches; nothing for any other call.
pub fn found_words(catalog: &Catalog, purpose: &Purpose, call: &crate::artifact::CallId) -> Option<String> {
    let Purpose::Find { tool, .. } = purpose else { return None };
    let finding = catalog.inventory.findings.iter().find(|finding| finding.call == *call)?;
    let mut said = format!("{tool} added {}", count(finding.added.len(), "target"));
    if !finding.left_out.is_empty() {
        let left: Vec<String> = finding.left_out.iter().take(MOST_LEFT_OUT).map(|why| sentence(why)).collect();
        said += &format!("; {} left out: {}", finding.left_out.len(), left.join("; "));
    }
    Some(said)
}
