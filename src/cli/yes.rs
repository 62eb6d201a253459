//! How much of what gate 2 offers a yes is for: all of it, some of it, and destructive calls one by one.

use std::collections::BTreeSet;

use crate::{
    engagement::About,
    gate::{ApprovalRequest, OfferedCall},
    runtime::Yes,
};

use super::output::{agreed, plain, say};

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
            let question =
                format!("destructive: {sentence} ({node}). Let it run? [y]es (default: no, ask when it is reached)");
            agreed(&question, &["y", "yes"])
        })
        .map(|call| call.node.to_string())
        .collect()
}

/// Asks of every call by itself whether it is approved now.
pub fn some(asked: &ApprovalRequest) -> Yes {
    let yes = |call: &&OfferedCall| {
        let what = if call.destructive { "destructive: " } else { "" };
        let question = format!(
            "{what}{} ({}). Let it run? [y]es (default: no, ask when it is reached)",
            plain(&call.sentence),
            call.node
        );
        agreed(&question, &["y", "yes"])
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
