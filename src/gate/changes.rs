//! What changed between the question that was asked and the same question now, in plain sentences. An answer to the
//! old one is no answer to the new one; this says why.

use std::collections::BTreeSet;

use crate::{engagement::About, facts::Facts};

use super::{ApprovalRequest, text::names};

/// What changed since it was asked; empty if and only if both are equal.
pub fn what_changed(asked: &ApprovalRequest, now: &ApprovalRequest) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |text: String| said.push(text);
    if asked == now {
        return said;
    }
    let document = if now.about == About::Gate1 { "spec" } else { "design" };
    if asked.engagement != now.engagement {
        say(format!("it is about another engagement: {} instead of {}", now.engagement, asked.engagement));
    }
    if asked.about != now.about {
        say(format!("the question is about {} now, not about {}", now.about, asked.about));
    }
    if asked.version != now.version {
        say(format!("the {document} is version {} now, not {}", now.version, asked.version));
    } else if asked.artifact != now.artifact {
        say(format!("the {document} changed"));
    }
    if asked.flow != now.flow {
        say("the calls that the design comes to changed".into());
    }
    for (what, differs) in [
        ("the tools changed", asked.decided_on.tools != now.decided_on.tools),
        ("the inventory changed", asked.decided_on.inventory != now.decided_on.inventory),
        ("the people and their roles changed", asked.decided_on.people != now.decided_on.people),
        ("the policies changed", asked.decided_on.policies != now.decided_on.policies),
    ] {
        if differs {
            say(what.into());
        }
    }
    facts(&asked.facts, &now.facts).into_iter().for_each(&mut say);
    calls(asked, now).into_iter().for_each(&mut say);
    if asked.standing.stage != now.standing.stage {
        say(format!("the trust stage is {} now, not {}", now.standing.stage, asked.standing.stage));
    } else if asked.standing != now.standing {
        say("what the trust stage rests on changed".into());
    }
    if asked.models != now.models {
        say("the models that are asked, and so see something of it, changed".into());
    }
    if asked.barred != now.barred {
        say("who may not say yes to it changed".into());
    }
    if asked.void != now.void {
        say("why the gate is asked anew changed".into());
    }
    if asked.signature_because != now.signature_because {
        say("why an answer needs a signature changed".into());
    }
    if asked.approved_on != now.approved_on && unsaid_basis(asked, now) {
        say("a tool or an inventory entry that the approval would rest on changed".into());
    }
    if asked.role != now.role {
        say(format!("the role that may answer is {} now, not {}", now.role, asked.role));
    }
    if said.is_empty() {
        said.push("the text that was shown changed".into());
    }
    said
}

/// Whether no other sentence says already what the basis differs by.
fn unsaid_basis(asked: &ApprovalRequest, now: &ApprovalRequest) -> bool {
    asked.decided_on.tools == now.decided_on.tools && asked.decided_on.inventory == now.decided_on.inventory
}

pub(super) fn facts(asked: &Facts, now: &Facts) -> Vec<String> {
    let mut said = Vec::new();
    let list = |all: &BTreeSet<String>| {
        let all: Vec<&String> = all.iter().collect();
        if all.is_empty() { "none".to_owned() } else { names(&all) }
    };
    let mut say = |what: &str, before: String, after: String| {
        if before != after {
            said.push(format!("the facts changed: {what} {before} -> {after}"));
        }
    };
    say("targets", asked.targets.len().to_string(), now.targets.len().to_string());
    if asked.targets.len() == now.targets.len() && asked.targets != now.targets {
        say("targets", list(&asked.targets), list(&now.targets));
    }
    say("targets that may be found", asked.may_find.to_string(), now.may_find.to_string());
    say("environments", list(&asked.environments), list(&now.environments));
    let writes = |writes: Option<u64>| writes.map_or_else(|| "without limit".to_owned(), |writes| writes.to_string());
    say("changes", writes(asked.writes), writes(now.writes));
    say("destructive changes", asked.destructive.to_string(), now.destructive.to_string());
    say("irreversible tools", list(&asked.irreversible), list(&now.irreversible));
    say("risk", format!("{:?}", asked.risk).to_lowercase(), format!("{:?}", now.risk).to_lowercase());
    if asked.simulated != now.simulated {
        let what = if now.simulated { "is simulated now" } else { "is not simulated any more" };
        said.push(format!("the facts changed: the environment {what}"));
    }
    if asked.unlisted_targets != now.unlisted_targets {
        let what = if now.unlisted_targets { "can no longer all be listed" } else { "can all be listed now" };
        said.push(format!("the facts changed: the targets {what}"));
    }
    if said.is_empty() && asked != now {
        said.push("the facts changed".into());
    }
    said
}

fn calls(asked: &ApprovalRequest, now: &ApprovalRequest) -> Option<String> {
    if asked.calls == now.calls {
        return None;
    }
    let ids = |request: &ApprovalRequest| request.calls.iter().map(|call| call.call).collect::<BTreeSet<_>>();
    let (before, after) = (ids(asked), ids(now));
    let (gone, new) = (before.difference(&after).count(), after.difference(&before).count());
    Some(match (gone, new) {
        (0, 0) => "the calls that a yes lets run are said or ordered differently".into(),
        (gone, new) => format!("the calls that a yes lets run changed: {gone} no longer among them, {new} new"),
    })
}
