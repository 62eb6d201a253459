//! Whether an undo brings back what was there, as far as the manifests say what its tool leaves.

use serde_json::{Map, Value};

use crate::{
    artifact::{Arg, Scope, fill_args},
    tool::{Tool, Toolbox},
};

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
    let given = Value::Object(args.clone());
    let known = Scope::new().with("args", &given).with("before", before);
    let again = || {
        let undoes = toolbox.tool(&rule.tool).filter(|undoes| read(undoes).is_some() && read(undoes) == read(tool))?;
        let args = fill_args(&rule.args, &known).ok()?;
        // As it would be sent: what is not given is what the tool takes then.
        let args = Value::Object(toolbox.check_args(undoes, &args).unwrap_or(args));
        let scope = Scope::new().with("args", &args);
        let scope = left.into_iter().fold(scope, |scope, left| scope.with("before", left));
        undoes.after.as_ref()?.evaluate(&scope).ok()
    };
    match again() {
        Some(state) => state == *before,
        None => !is_there(before) || rule.args.values().any(reads_before),
    }
}

fn reads_before(arg: &Arg) -> bool {
    matches!(arg, Arg::Hole(hole) if hole.cel.variables().contains("before"))
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
