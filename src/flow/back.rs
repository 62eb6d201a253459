//! Whether an undo brings back what was there, as far as the manifests say what its tool leaves.

use serde_json::{Map, Value};

use crate::{
    artifact::{Scope, fill_args},
    tool::{Tool, Toolbox},
};

/// Whether a change that is taken back is shown to leave another state than was there before it: where a VLAN is created
/// over another one and deleted again, the other is not there. Where no manifest says what the undo leaves, or that is read
/// otherwise, nothing shows it. `left` is what the change leaves.
pub fn loses_what_was_there(
    toolbox: &Toolbox,
    (tool, args): (&Tool, &Map<String, Value>),
    left: Option<&Value>,
    before: &Value,
) -> bool {
    let Some(rule) = &tool.undo else { return false };
    let read = |tool: &Tool| tool.state.as_ref().map(|state| (state.tool.clone(), state.pick.source().to_owned()));
    let Some(undoes) = toolbox.tool(&rule.tool).filter(|undoes| read(undoes).is_some() && read(undoes) == read(tool))
    else {
        return false;
    };
    let args = Value::Object(args.clone());
    let known = Scope::new().with("args", &args).with("before", before);
    let (Some(after), Ok(args)) = (&undoes.after, fill_args(&rule.args, &known)) else { return false };
    let args = Value::Object(args);
    let scope = Scope::new().with("args", &args);
    let scope = left.into_iter().fold(scope, |scope, left| scope.with("before", left));
    after.evaluate(&scope).is_ok_and(|state| state != *before)
}
