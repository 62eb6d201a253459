//! Fills the holes of a JSON tree. A hole is an object with a `cel` field (and perhaps `where`); what fills it
//! enters as a value. A hole that reads a variable which is not yet known stays a hole.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    expression::{DOCUMENT, Expression, Scope},
    spec::SpecError,
};

/// A hole could not be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct TemplateError(#[from] pub SpecError);

/// The tree with every hole filled whose variables are all among `known`, which `scope` must hold.
pub fn fill(tree: &Value, known: &[&str], scope: &Scope<'_>) -> Result<Value, TemplateError> {
    let known: BTreeSet<&str> = known.iter().copied().collect();
    fill_at(tree, &known, scope, "")
}

fn fill_at(tree: &Value, known: &BTreeSet<&str>, scope: &Scope<'_>, path: &str) -> Result<Value, TemplateError> {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match tree {
        Value::Object(map) if map.contains_key("cel") => {
            let wrong = |message: String| TemplateError(SpecError::new(path, message));
            if let Some(unknown) = map.keys().find(|key| !matches!(key.as_str(), "cel" | "where")) {
                return Err(wrong(format!("a hole has `cel` and perhaps `where`, not `{unknown}`")));
            }
            let source = map.get("cel").and_then(Value::as_str).ok_or_else(|| wrong("`cel` must be text".into()))?;
            let expression = Expression::parse(source).map_err(|error| wrong(error.to_string()))?;
            if !expression
                .variables()
                .iter()
                .all(|name| known.contains(name.as_str()) || !DOCUMENT.contains(&name.as_str()))
            {
                return Ok(tree.clone());
            }
            let value = expression.evaluate(scope).map_err(|error| wrong(error.to_string()))?;
            if holds_a_hole(&value) {
                return Err(wrong("a value may not contain an object with a `cel` field".into()));
            }
            Ok(value)
        }
        Value::Object(map) => map
            .iter()
            .map(|(key, child)| Ok((key.clone(), fill_at(child, known, scope, &join(key))?)))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, child)| fill_at(child, known, scope, &join(&at.to_string())))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        _ => Ok(tree.clone()),
    }
}

fn holds_a_hole(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.contains_key("cel") || map.values().any(holds_a_hole),
        Value::Array(items) => items.iter().any(holds_a_hole),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn holes_are_filled_with_values_and_later_ones_stay() {
        let inputs = json!({"name": "guest", "ids": [1, 2]});
        let scope = Scope::new().with("inputs", &inputs);
        let tree = json!({"a": {"cel": "inputs.name"}, "b": [{"cel": "inputs.ids"}], "c": {"cel": "item"}});
        let filled = fill(&tree, &["inputs"], &scope).unwrap();
        assert_eq!(filled, json!({"a": "guest", "b": [[1, 2]], "c": {"cel": "item"}}));
    }

    #[test]
    fn a_value_cannot_bring_a_hole_with_it() {
        let inputs = json!({"name": {"cel": "1 + 1"}});
        let scope = Scope::new().with("inputs", &inputs);
        let error = fill(&json!({"a": {"b": {"cel": "inputs.name"}}}), &["inputs"], &scope).unwrap_err();
        assert_eq!(error.0.path, "a.b");
    }
}
