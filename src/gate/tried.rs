//! What models asked for and were refused before a gate is asked: an approver sees what an agent would have done.

use crate::{
    artifact::Agent,
    engagement::{Call, Purpose, RefusedAs, View},
};

use super::{
    screen::Section,
    text::{count, first_names, sentence, word},
};

/// So many lines are shown.
const MOST: usize = 6;

/// Calls that were refused alike.
struct Tried<'a> {
    agent: Agent,
    tool: &'a str,
    rule: Option<&'a str>,
    /// Why the first of them was refused.
    reason: &'a str,
    targets: Vec<String>,
    times: usize,
}

/// The calls that models asked for and that were refused, where there are any.
pub(super) fn tried(view: &View<'_>) -> Option<Section> {
    let mut all: Vec<Tried<'_>> = Vec::new();
    for call in view.state.calls.values() {
        let (Purpose::Turn { .. }, Some((RefusedAs::Denied, reason))) = (&call.purpose, &call.refused) else {
            continue;
        };
        let (agent, tool, rule) = (call.agent, call.tool.as_str(), call.rule.as_deref());
        let target = target(view, call);
        match all.iter_mut().find(|known| (known.agent, known.tool, known.rule) == (agent, tool, rule)) {
            Some(known) => {
                known.times += 1;
                known.targets.extend(target.filter(|target| !known.targets.contains(target)));
            }
            None => {
                let targets = target.into_iter().collect();
                all.push(Tried { agent, tool, rule, reason, targets, times: 1 });
            }
        }
    }
    let mut section = Section::new("ASKED FOR AND REFUSED");
    all.iter().take(MOST).for_each(|tried| section.warn(words(tried)));
    let more: usize = all.iter().skip(MOST).map(|tried| tried.times).sum();
    if more > 0 {
        section.warn(format!("and {}", count(more, "more call")));
    }
    section.text("Nothing of that was sent.");
    (!all.is_empty()).then_some(section)
}

fn words(tried: &Tried<'_>) -> String {
    let Tried { agent, tool, reason, targets, times, .. } = tried;
    let on = if targets.is_empty() { String::new() } else { format!(" on {}", first_names(targets)) };
    let often = if *times == 1 { String::new() } else { format!(" ({times} times)") };
    format!("the {agent} agent asked for {}{on}{often}: {}", word(tool), sentence(reason))
}

/// What such a call would have been made at, where its arguments say so.
fn target(view: &View<'_>, call: &Call) -> Option<String> {
    let tool = view.toolbox.tool(&call.tool_name()?)?;
    let given = call.args.read(view.blobs)?.get(&tool.target)?.as_str()?;
    Some(word(given))
}
