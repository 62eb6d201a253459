//! Rules that ask for an environment, a tag or a group that no target of the inventory has and that is written almost
//! like one that some target has. A name that is like no other may be meant for targets to come and is left alone.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::facts::Inventory;

use super::{Catalog, nearest, source::PolicyProblem};

/// What a rule may ask of a target by name.
const ASKED: [&str; 3] = ["environment", "tags", "groups"];

/// The rules of guardrails.cedar and stages.cedar that no target could meet for what looks like a slip of the pen.
pub fn unmet_rules(catalog: &Catalog) -> Vec<PolicyProblem> {
    let mut found = Vec::new();
    for (file, line, id, policy) in catalog.policies.rules_about_calls() {
        let Ok(json) = policy.to_json() else { continue };
        let mut names = BTreeSet::new();
        asked(&json, &mut names);
        for (of, name) in names {
            let known = known(&catalog.inventory, of);
            if known.contains(name.as_str()) {
                continue;
            }
            let hint = nearest(&name, known.iter().copied());
            if !hint.is_empty() {
                let of = of.trim_end_matches('s');
                let message = format!("`{id}`: no target of the inventory has the {of} `{name}`{hint}");
                found.push(PolicyProblem { file: file.into(), line, message });
            }
        }
    }
    found
}

fn known<'a>(inventory: &'a Inventory, of: &str) -> BTreeSet<&'a str> {
    let targets = inventory.targets.iter();
    let found = inventory.found_by.iter().map(|by| &by.within);
    let words: BTreeSet<&String> = match of {
        "environment" => {
            targets.map(|target| &target.environment).chain(found.map(|within| &within.environment)).collect()
        }
        "tags" => targets.flat_map(|target| &target.tags).chain(found.flat_map(|within| &within.tags)).collect(),
        _ => targets.flat_map(|target| &target.groups).chain(found.flat_map(|within| &within.groups)).collect(),
    };
    words.into_iter().map(String::as_str).collect()
}

/// The texts that an expression compares an attribute of the target with.
fn asked(json: &Value, found: &mut BTreeSet<(&'static str, String)>) {
    match json {
        Value::Array(items) => items.iter().for_each(|item| asked(item, found)),
        Value::Object(fields) => {
            for (operator, sides) in fields {
                if matches!(operator.as_str(), "==" | "contains" | "containsAll" | "containsAny")
                    && let (Some(left), Some(right)) = (sides.get("left"), sides.get("right"))
                {
                    for (one, other) in [(left, right), (right, left)] {
                        if let Some(of) = attribute(one) {
                            found.extend(texts(other).into_iter().map(|text| (of, text)));
                        }
                    }
                }
                asked(sides, found);
            }
        }
        _ => {}
    }
}

/// The attribute of the target that an expression reads.
fn attribute(json: &Value) -> Option<&'static str> {
    let read = json.get(".")?;
    let of = read.get("attr")?.as_str()?;
    let resource = read.pointer("/left/Var").and_then(Value::as_str) == Some("resource");
    ASKED.into_iter().find(|name| resource && *name == of)
}

/// The texts of a literal, or of a set of literals.
fn texts(json: &Value) -> Vec<String> {
    if let Some(text) = json.get("Value").and_then(Value::as_str) {
        return vec![text.to_owned()];
    }
    let items = json.get("Set").and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.get("Value")?.as_str().map(str::to_owned)).collect()
}
