//! What models asked for and were refused before a person is asked: an approver sees what an agent would have done. It is
//! told from the chain alone, since nothing else is sure to be kept of a tool that was not granted.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    artifact::Agent,
    engagement::{Call, Purpose, RefusedAs, View},
};

use super::{
    screen::Section,
    text::{count, first_names, names, sentence, value, word},
};

/// So many lines are shown, and so many calls in one of them.
const MOST: usize = 12;

/// Calls of one tool that were refused by one rule.
struct Tried<'a> {
    agent: Agent,
    tool: &'a str,
    rule: Option<&'a str>,
    /// Whether no tool takes it as it was asked for.
    invalid: bool,
    /// Why the first of them was refused.
    reason: &'a str,
    /// What they were given, each once.
    given: Vec<String>,
    times: usize,
}

/// The calls that models of these agents asked for and that were refused, where there are any.
pub(super) fn tried(view: &View<'_>, by: impl Fn(Agent) -> bool) -> Option<Section> {
    let mut all: Vec<Tried<'_>> = Vec::new();
    for call in view.state.calls.values().filter(|call| matches!(call.purpose, Purpose::Turn { .. }) && by(call.agent))
    {
        let (invalid, reason) = match &call.refused {
            Some((RefusedAs::Denied, reason)) => (false, reason),
            Some((RefusedAs::Invalid, reason)) => (true, reason),
            Some((RefusedAs::NeedsApproval(_), _)) | None => continue,
        };
        let (agent, tool, rule) = (call.agent, call.tool.as_str(), call.rule.as_deref());
        let given = given(view, call);
        match all.iter_mut().find(|known| (known.agent, known.tool, known.rule) == (agent, tool, rule)) {
            Some(known) => {
                known.times += 1;
                known.given.extend(given.filter(|given| !known.given.contains(given)));
            }
            None => {
                let given = given.into_iter().collect();
                all.push(Tried { agent, tool, rule, invalid, reason, given, times: 1 });
            }
        }
    }
    // What could have been sent comes first: names of tools that there are not can be made up without end.
    all.sort_by_key(|tried| tried.invalid);
    let mut section = Section::new("ASKED FOR AND REFUSED");
    all.iter().take(MOST).for_each(|tried| section.warn(words(tried)));
    let rest = |invalid: bool| all.iter().skip(MOST).filter(move |tried| tried.invalid == invalid);
    let tools: BTreeSet<String> = rest(false).map(|tried| word(tried.tool)).collect();
    let (more, vain) = (times(rest(false)), times(rest(true)));
    if more > 0 {
        section.warn(format!("and {} of {}", count(more, "more call"), names(&tools.into_iter().collect::<Vec<_>>())));
    }
    if vain > 0 {
        section.detail(format!("and {} that no tool takes", count(vain, "more call")));
    }
    section.text("Nothing of that was sent.");
    (!all.is_empty()).then_some(section)
}

fn times<'a>(all: impl Iterator<Item = &'a Tried<'a>>) -> usize {
    all.map(|tried| tried.times).sum()
}

fn words(tried: &Tried<'_>) -> String {
    let Tried { agent, tool, reason, given, times, .. } = tried;
    let with = if given.is_empty() { String::new() } else { format!(" with {}", first_names(given)) };
    let often = if *times == 1 { String::new() } else { format!(" ({times} times)") };
    format!("the {agent} agent asked for {}{with}{often}: {}", word(tool), sentence(reason))
}

/// What a call was given.
fn given(view: &View<'_>, call: &Call) -> Option<String> {
    Some(word(&value(&json!(call.args.read(view.blobs)?))))
}
