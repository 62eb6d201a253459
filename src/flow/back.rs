//! Whether an undo brings back what was there, as far as the manifests say what its tool leaves.

use serde_json::{Map, Value};

use crate::{
    artifact::{Arg, Scope, fill_args},
    tool::{Tool, Toolbox},
};

use super::expand::place;

/// Whether a change that is taken back is shown to bring back what was there before it. A VLAN that is created over another
/// one and deleted again does not bring the other back. Where no manifest says what the undo leaves, or that is read
/// otherwise, only an undo that is made from what was there can; where nothing was there, there is nothing to bring back.
/// `left` is what the change leaves.
pub fn brings_back(
    toolbox: &Toolbox,
    (tool, args): (&Tool, &Map<String, Value>),
    left: Option<&Value>,
    before: &Value,
) -> bool {
    let Some(rule) = &tool.undo else { return false };
    let read = |tool: &Tool| tool.state.as_ref().map(|state| (state.tool.clone(), state.pick.source().to_owned()));
    let Some(undoes) = toolbox.tool(&rule.tool) else { return false };
    let given = Value::Object(args.clone());
    let known = Scope::new().with("args", &given).with("before", before);
    // As it would be sent: what is not given is what the tool takes then. What it does not take is not sent.
    let sent = fill_args(&rule.args, &known).ok().map(|args| toolbox.check_args(undoes, &args));
    let later = rule.args.values().any(|arg| reads(arg, "result") || reads(arg, "left"));
    if matches!(sent, Some(Err(_))) || sent.is_none() && !later {
        return false;
    }
    let same = read(undoes).is_some() && read(undoes) == read(tool);
    let sent = sent.and_then(Result::ok).filter(|_| same);
    // What is read the same way of another place is another thing, whatever is there.
    if sent.as_ref().is_some_and(|sent| place(undoes, sent) != place(tool, args)) {
        return false;
    }
    let again = || {
        let args = Value::Object(sent?);
        let scope = Scope::new().with("args", &args);
        let scope = left.into_iter().fold(scope, |scope, left| scope.with("before", left));
        undoes.after.as_ref()?.evaluate(&scope).ok()
    };
    match again() {
        Some(state) => state == *before,
        None => !is_there(before) || rule.args.values().any(|arg| reads(arg, "before")),
    }
}

fn reads(arg: &Arg, what: &str) -> bool {
    matches!(arg, Arg::Hole(hole) if hole.cel.variables().contains(what))
}

/// Whether a state says that something is there.
fn is_there(state: &Value) -> bool {
    match state {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        artifact::from_yaml,
        tool::{Manifest, Pins},
    };

    /// The tools of the lab, changed here and there.
    fn toolbox(changed: &[(&str, &str)]) -> Toolbox {
        let text = include_str!("../../tools/lab.yaml");
        let text = changed.iter().fold(text.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
        let manifest: Manifest = from_yaml("lab.yaml", &text).unwrap();
        Toolbox::new(vec![manifest], Pins::default()).unwrap()
    }

    fn back(toolbox: &Toolbox, tool: &str, args: Value, before: &Value) -> bool {
        let tool = toolbox.tool(&tool.parse().unwrap()).unwrap();
        brings_back(toolbox, (tool, args.as_object().unwrap()), None, before)
    }

    #[test]
    fn an_undo_brings_back_what_its_tool_is_said_to_leave() {
        let toolbox = toolbox(&[]);
        let (one, other) = (json!({"id": 30, "name": "iot"}), json!({"id": 30, "name": "printers"}));
        let create = json!({"switch": "sw01", "id": 30, "name": "iot"});
        assert!(back(&toolbox, "vlan.create", create.clone(), &Value::Null));
        assert!(!back(&toolbox, "vlan.create", create.clone(), &other), "deleted, the other is not there again");
        assert!(back(&toolbox, "vlan.rename", create.clone(), &other));
        assert!(!back(&toolbox, "vlan.rename", create, &Value::Null), "there is no name to give it back");
        let delete = json!({"switch": "sw01", "id": 30});
        assert!(back(&toolbox, "vlan.delete", delete.clone(), &one));
        assert!(
            !back(&toolbox, "vlan.delete", delete, &json!({"id": 30, "name": "two words"})),
            "it would not be sent"
        );
        assert!(!back(
            &toolbox,
            "ipam.address.release",
            json!({"prefix": "192.0.2.0/24", "address": "192.0.2.1"}),
            &one
        ));
    }

    #[test]
    fn what_an_undo_leaves_elsewhere_brings_nothing_back() {
        let create = json!({"switch": "sw01", "id": 30, "name": "iot"});
        let with = |id: &str| {
            format!("      tool: vlan.delete\n      with: {{switch: {{cel: args.switch}}, id: {{cel: {id}}}}}\n")
        };
        let toolbox = toolbox(&[(&with("args.id"), &with("args.id + 1"))]);
        assert!(!back(&toolbox, "vlan.create", create, &Value::Null), "it deletes another one");
    }

    #[test]
    fn where_nothing_says_what_an_undo_leaves_only_one_made_from_what_was_there_can_bring_it_back() {
        let toolbox =
            toolbox(&[("    after: 'null'\n", ""), ("    after: '{\"id\": args.id, \"name\": args.name}'\n", "")]);
        let other = json!({"id": 30, "name": "printers"});
        assert!(!back(&toolbox, "vlan.create", json!({"switch": "sw01", "id": 30, "name": "iot"}), &other));
        assert!(back(&toolbox, "vlan.create", json!({"switch": "sw01", "id": 30, "name": "iot"}), &Value::Null));
        assert!(back(&toolbox, "vlan.delete", json!({"switch": "sw01", "id": 30}), &other));
    }
}
