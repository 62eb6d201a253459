//! What is wrong with a tool as a manifest has it: what cannot be constrained, shown or undone as it says.

use std::collections::BTreeMap;

use serde_json::json;

use crate::artifact::{Arg, Expression, Format, ToolName, ValueSchema, ValueType};

use super::manifest::{Effect, Manifest, Tool};

pub(super) fn tool_problems(tool: &Tool, manifests: &[Manifest]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let lookup = |name: &ToolName| manifests.iter().flat_map(|m| &m.tools).find(|other| other.name == *name);
    let args = &tool.args.properties;
    for (name, schema) in args {
        let path = format!("args.properties.{name}");
        found.extend(schema_problems(&path, name, schema));
        for (member, of) in &schema.properties {
            let path = format!("{path}.properties.{member}");
            if matches!(member.as_str(), "cel" | "fill") {
                let why = format!("a value with a member `{member}` would be read as a hole; name it otherwise");
                found.push((path.clone(), why));
            }
            if of.kind == ValueType::Object {
                found.push((path.clone(), "an object in an object cannot be constrained; one level is taken".into()));
            }
            found.extend(schema_problems(&path, member, of));
        }
        for member in schema.required.iter().filter(|member| !schema.properties.contains_key(*member)) {
            found.push((format!("{path}.required"), format!("there is no member `{member}`")));
        }
    }
    for name in tool.said_names().filter(|name| !args.contains_key(*name)) {
        let hint = if name.contains('.') { "; an object is said whole" } else { "" };
        found.push(("says".into(), format!("there is no argument `{name}`{hint}")));
    }
    for name in tool.args.required.iter().filter(|name| !args.contains_key(*name)) {
        found.push(("args.required".into(), format!("there is no argument `{name}`")));
    }
    if !args.contains_key(&tool.target) || !tool.args.required.contains(&tool.target) {
        found.push(("target".into(), format!("`{}` is not a required argument", tool.target)));
    }
    if args.get(&tool.target).is_some_and(|schema| schema.kind == ValueType::Object) {
        found.push(("target".into(), format!("`{}` is an object; a target is named by text", tool.target)));
    }
    let holes = |args: &BTreeMap<String, Arg>, allowed: &[&str]| -> Option<String> {
        args.values().find_map(|arg| match arg {
            crate::artifact::Arg::Hole(hole) => only_reads(&hole.cel, allowed),
            crate::artifact::Arg::Fill(_) => Some("no agent fills a manifest; write the value or a `cel`".into()),
            crate::artifact::Arg::Literal(_) => None,
        })
    };
    if tool.effect == Effect::Read {
        if tool.undo.is_some() || tool.state.is_some() || tool.after.is_some() {
            found.push(("effect".into(), "a read has no `state`, `after` or `undo`".into()));
        }
    } else if tool.state.is_none() && tool.after.is_some() {
        found.push(("after".into(), "`after` stands beside a `state` that shows it".into()));
    }
    if let Some(state) = &tool.state {
        if lookup(&state.tool).is_none_or(|reader| reader.effect != Effect::Read) {
            found.push(("state.tool".into(), format!("`{}` is not a reading tool", state.tool)));
        }
        found.extend(holes(&state.args, &["args"]).map(|why| ("state.with".into(), why)));
        found.extend(only_reads(&state.pick, &["args", "result"]).map(|why| ("state.pick".into(), why)));
    }
    if let Some(undo) = &tool.undo {
        if lookup(&undo.tool).is_none_or(|undoer| undoer.effect == Effect::Read) {
            found.push(("undo.tool".into(), format!("`{}` is not a writing tool", undo.tool)));
        }
        found.extend(holes(&undo.args, &["args", "before", "left", "result"]).map(|why| ("undo.with".into(), why)));
        // An answer may not say that something else is meant; what is refused then is better refused here.
        let answered = |arg: &Arg| matches!(arg, Arg::Hole(hole) if ["left", "result"].iter().any(|of| hole.cel.variables().contains(*of)));
        let target = lookup(&undo.tool).map(|undoer| undoer.target.as_str());
        for (name, _) in undo.args.iter().filter(|(_, arg)| answered(arg)) {
            if target == Some(name.as_str()) {
                let why = format!("`{name}` names the target, which is the step's own: work it out from `args`");
                found.push(("undo.with".into(), why));
            } else if tool.args.required.contains(name) {
                let why = format!("`{name}` is given to the step, so write `args.{name}`, or what `before` says of it");
                found.push(("undo.with".into(), why));
            }
        }
    }
    if let Some(after) = &tool.after {
        found.extend(only_reads(after, &["args", "before"]).map(|why| ("after".into(), why)));
    }
    found
}

/// What is wrong with the schema of an argument, or of a member of one.
fn schema_problems(path: &str, name: &str, schema: &ValueSchema) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut say = |path: &str, what: &str| found.push((path.to_owned(), what.to_owned()));
    if matches!(name, "__entity" | "__extn") || !plain_name(name) {
        say(path, "the name of an argument or member is lower-case letters, digits and `_`");
    }
    if (schema.kind == ValueType::Array) != schema.items.is_some() {
        say(path, "a list, and only a list, has `items`");
    }
    match schema.items.as_ref().map(|items| items.kind) {
        Some(ValueType::Array) => say(path, "a list of lists cannot be constrained"),
        Some(ValueType::Object) => say(path, "a list of objects cannot be constrained"),
        _ => {}
    }
    if (schema.kind == ValueType::Object) == schema.properties.is_empty() {
        say(path, "an object, and only an object, has `properties`");
    }
    let items = schema.items.as_deref().and_then(|items| Some((format!("{path}.items"), unusable(items)?)));
    let own = unusable(schema).map(|why| (path.to_owned(), why));
    if let Some(default) = &schema.default {
        let normal = match schema.kind {
            // What the defaults of its members make of nothing, so that each member has one default and not two.
            ValueType::Object => schema.normalise(&json!({})).ok(),
            _ => schema.normalise(default).ok(),
        };
        match (normal, schema.kind) {
            (Some(normal), _) if normal == *default => {}
            (Some(normal), ValueType::Object) => {
                say(path, &format!("its default must be what the defaults of its members make: {normal}"));
            }
            (None, ValueType::Object) => say(path, "it has a required member, so it cannot have a default"),
            _ => say(path, "its default is not a value of its own type in normal form"),
        }
    }
    found.into_iter().chain(own).chain(items).collect()
}

/// Why no value fits a schema, or some do that its type does not have. Policies constrain what the schema says, so a
/// schema that says something else than it means would make rules that never match.
fn unusable(schema: &ValueSchema) -> Option<String> {
    let kind = schema.kind;
    let fits = match schema.format {
        None => true,
        Some(Format::VlanId) => kind == ValueType::Integer,
        Some(_) => kind == ValueType::String,
    };
    if !fits {
        return Some(
            "its format is of another type; vlan-id is for an integer, every other format for a string".into(),
        );
    }
    let misplaced = [
        ((schema.minimum.is_some() || schema.maximum.is_some()) && kind != ValueType::Integer, "minimum and maximum"),
        (schema.max_length.is_some() && kind != ValueType::String, "maxLength"),
        (
            (schema.min_items.is_some() || schema.max_items.is_some()) && kind != ValueType::Array,
            "minItems and maxItems",
        ),
        (!schema.required.is_empty() && kind != ValueType::Object, "required"),
        (!schema.choices.is_empty() && kind == ValueType::Object, "enum"),
    ];
    if let Some((_, what)) = misplaced.into_iter().find(|(misplaced, _)| *misplaced) {
        return Some(format!("{what} is of another type and would not be checked"));
    }
    let crossed = schema.minimum.zip(schema.maximum).is_some_and(|(least, most)| least > most)
        || schema.min_items.zip(schema.max_items).is_some_and(|(least, most)| least > most);
    if crossed {
        return Some("its least is more than its most, so no value fits".into());
    }
    let choice = schema.choices.iter().find(|choice| schema.normalise(choice).ok().as_ref() != Some(choice))?;
    Some(format!("{choice} in its `enum` is not a value of its type in normal form"))
}

fn plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= 60
}

/// Says so if the expression reads a document variable that is not allowed here.
fn only_reads(expression: &Expression, allowed: &[&str]) -> Option<String> {
    if let Some(why) = expression.unknown() {
        return Some(why);
    }
    let outer = ["inputs", "facts", "item", "steps", "result", "args", "before", "left"];
    let wrong = expression
        .variables()
        .iter()
        .find(|name| outer.contains(&name.as_str()) && !allowed.contains(&name.as_str()))?;
    Some(format!("`{expression}` reads `{wrong}`; it may read {}", allowed.join(", ")))
}
