//! How much of what gate 2 offers a yes is for: all of it, some of it, and destructive calls one by one.

use std::collections::BTreeSet;

use crate::{
    engagement::About,
    facts::{Identity, People},
    gate::{ApprovalRequest, OfferedCall},
    runtime::{Open, Yes},
};

use super::{
    output::{plain, say},
    question::ticked,
};

/// Destructive calls are ticked one by one, each with its own yes.
pub fn tick(asked: &ApprovalRequest, given: &Yes) -> BTreeSet<String> {
    let open = |call: &&OfferedCall| call.destructive && !given.ticked.contains(call.node.as_str());
    let chosen = |call: &&OfferedCall| given.only.as_ref().is_none_or(|only| only.contains(call.node.as_str()));
    let offered = asked.calls.iter().filter(|_| asked.about == About::Gate2);
    offered
        .filter(open)
        .filter(chosen)
        .filter(|call| {
            let (sentence, node) = (plain(&call.sentence), &call.node);
            let question = format!(
                "destructive: {sentence} ({node})\nLet it run? [y]es [n]o (default: no, ask when it is reached)"
            );
            ticked(&question)
        })
        .map(|call| call.node.to_string())
        .collect()
}

/// Asks of every call by itself whether it is approved now.
pub fn some(asked: &ApprovalRequest) -> Yes {
    let yes = |call: &&OfferedCall| {
        let what = if call.destructive { "destructive: " } else { "" };
        let question = format!(
            "{what}{} ({})\nLet it run? [y]es [n]o (default: no, ask when it is reached)",
            plain(&call.sentence),
            call.node
        );
        ticked(&question)
    };
    let only: BTreeSet<String> = asked.calls.iter().filter(yes).map(|call| call.node.to_string()).collect();
    let ticked = asked.calls.iter().filter(|call| call.destructive).map(|call| call.node.to_string());
    Yes { ticked: ticked.filter(|node| only.contains(node)).collect(), only: Some(only), reason: None }
}

/// The steps of gate 2 whose calls a yes leaves out.
pub fn left_out(asked: &ApprovalRequest, yes: &Yes) -> Vec<String> {
    let approved = |call: &OfferedCall| {
        let node = call.node.as_str();
        (!call.destructive || yes.ticked.contains(node)) && yes.only.as_ref().is_none_or(|only| only.contains(node))
    };
    let offered = asked.calls.iter().filter(|_| asked.about == About::Gate2);
    offered.filter(|call| !approved(call)).map(|call| call.node.to_string()).collect()
}

/// Says what was left out of a yes.
pub fn say_left_out(nodes: &[String]) {
    if !nodes.is_empty() {
        let each = if nodes.len() == 1 { "it" } else { "each" };
        say(format!("  not approved yet: {}; {each} is asked about again when it is reached", nodes.join(", ")));
    }
}

/// Whether this person's answer to the open question would be taken.
pub fn may_answer(identity: &Identity, open: &Open, people: &People) -> bool {
    let barred = open.asked.barred.contains(&identity.name);
    let asks_a_yes = !matches!(open.asked.about, About::Failure { .. } | About::Unknown { .. });
    people.roles(identity).iter().any(|role| *role >= open.asked.role) && !(barred && asks_a_yes)
}

/// What a line says where a yes must name the digest that is shown: `approve` or `some` if it does, nothing if it is a
/// yes that does not, else the line itself.
pub fn named_yes<'a>(line: &'a str, digest: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(word @ ("approve" | "some")), Some(given), None) if given == digest => Some(word),
        (Some("a" | "approve" | "s" | "some" | "y" | "yes"), ..) => None,
        _ => Some(line),
    }
}

#[cfg(test)]
mod tests {
    use super::named_yes;

    #[test]
    fn only_a_yes_that_names_what_is_shown_is_one() {
        for (line, said) in [
            ("approve 1f0c2a9b", Some("approve")),
            ("some  1f0c2a9b", Some("some")),
            ("approve", None),
            ("approve 1f0c2a9", None),
            ("approve 1f0c2a9b0", None),
            ("approve 1f0c2a9b please", None),
            ("a", None),
            ("yes", None),
            ("s", None),
            ("a 1f0c2a9b", None),
            ("1f0c2a9b", Some("1f0c2a9b")),
            ("r", Some("r")),
            ("", Some("")),
        ] {
            assert_eq!(named_yes(line, "1f0c2a9b"), said, "{line}");
        }
    }
}
