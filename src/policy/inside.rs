//! Whether a call is inside a grant, told without Cedar: for whoever looks again at many calls that Cedar decided. It
//! decides nothing; a test holds it against what grants are compiled to.

use serde_json::{Map, Value};

use crate::{
    artifact::{Constraint, Format, Grant, ValueSchema, ValueType},
    tool::{Args, Field, value_at},
};

/// The first argument, or member of one, that is outside a grant, and what the grant says of it.
pub fn outside(
    grant: &Grant,
    args: &Args,
    given: &Map<String, Value>,
    in_group: &dyn Fn(&str, &str) -> bool,
) -> Option<(String, String)> {
    let left_out = || "left out".to_owned();
    for (name, schema) in &args.properties {
        let whole = schema.kind == ValueType::Object && grant.constraints.contains_key(name);
        if whole {
            continue;
        }
        if schema.kind == ValueType::Object && !grant.names_members_of(name) && !args.always_given(name) {
            if given.contains_key(name) {
                return Some((name.clone(), left_out()));
            }
            continue;
        }
        for Field { path, schema: of, .. } in args.fields_of(name, schema) {
            let value = value_at(given, &path);
            let (constraint, default) = (grant.constraints.get(&*path), &of.default);
            let inside = match (constraint, default) {
                (Some(constraint), _) if constraint.any => true,
                // What is said in the form in which values are compared, as most is, needs no other.
                (Some(constraint), _) => value.is_some_and(|value| {
                    constraint.accepts(value, of.format, in_group)
                        || normal(constraint, of).accepts(&sorted(value), of.format, in_group)
                }),
                (None, Some(default)) => value.is_none_or(|value| value == default || sorted(value) == sorted(default)),
                (None, None) => value.is_none(),
            };
            if !inside {
                let must = match (constraint, default) {
                    (Some(constraint), _) => constraint.words(),
                    (None, Some(default)) => format!("{default} (its default)"),
                    (None, None) => left_out(),
                };
                return Some((path.into_owned(), must));
            }
        }
    }
    None
}

/// A constraint in the form in which an argument of this type is compared.
fn normal(constraint: &Constraint, schema: &ValueSchema) -> Constraint {
    let value = |value: &Value| sorted(&schema.normalise(value).unwrap_or_else(|_| value.clone()));
    let item = |value: &Value| {
        let normal = schema.items.as_ref().and_then(|schema| schema.normalise(value).ok());
        normal.unwrap_or_else(|| value.clone())
    };
    let names = matches!(schema.format, Some(Format::DnsName | Format::DnsLabel));
    Constraint {
        is: constraint.is.as_ref().map(value),
        one_of: constraint.one_of.as_ref().map(|choices| choices.iter().map(value).collect()),
        subset_of: constraint.subset_of.as_ref().map(|all| all.iter().map(item).collect()),
        like: constraint.like.as_ref().map(|like| if names { like.to_ascii_lowercase() } else { like.clone() }),
        ..constraint.clone()
    }
}

/// A list is compared as the set that it stands for.
fn sorted(value: &Value) -> Value {
    let Value::Array(items) = value else { return value.clone() };
    let mut items = items.clone();
    items.sort_by_cached_key(Value::to_string);
    Value::Array(items)
}
