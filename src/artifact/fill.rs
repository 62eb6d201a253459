//! A hole that an agent fills: an argument that a design leaves open, in words, with the bound that whatever fills it
//! must satisfy. Gate 2 approves the bound; what fills it is checked against it wherever it comes in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    grant::Constraint,
    value::{Format, ValueSchema, ValueType, shown},
};

/// An argument that the build agent chooses, inside a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// What is wanted, in words.
    pub fill: String,
    /// What the value must satisfy.
    #[serde(rename = "where")]
    pub constraint: Constraint,
    /// The longest text, in characters; [`Fill::LONGEST`] where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// What fills it; in a flow, and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<Filled>,
}

/// What fills a hole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filled {
    /// The value, in normal form.
    pub value: Value,
    /// Why this one, in the agent's words.
    pub because: String,
}

impl Fill {
    /// The longest text where a hole does not say, in characters.
    pub const LONGEST: u64 = 64;
    /// The longest explanation, in characters.
    pub const LONGEST_REASON: u64 = 500;

    /// Why such a hole cannot stand in a design, if it cannot: the part of it, and what is wrong. `schema` is the
    /// argument's.
    pub fn problem(&self, schema: &ValueSchema) -> Option<(&'static str, String)> {
        if self.filled.is_some() {
            return Some(("filled", "the program writes it into the flow; leave it out of a design".into()));
        }
        if self.fill.trim().is_empty() || self.fill.chars().any(char::is_control) {
            return Some(("fill", "say on one line what is wanted".into()));
        }
        if let Some(problem) = self.constraint.problem() {
            return Some(("where", problem));
        }
        if self.constraint.in_group.is_some() {
            return Some(("where.in_group", "only a grant of the spec knows groups; name the values here".into()));
        }
        if schema.kind == ValueType::Object {
            return Some(("fill", "an object is not filled; write it, or leave its argument out".into()));
        }
        if self.max_length == Some(0) || self.max_length.is_some() && !texts(schema) {
            return Some(("max_length", "it is for text, and at least 1".into()));
        }
        None
    }

    /// The normal form of a value that may fill the hole, or why it may not.
    pub fn check(&self, value: &Value, schema: &ValueSchema) -> Result<Value, String> {
        let value = schema.normalise(value)?;
        let longest = self.longest(schema);
        let long = |value: &Value| value.as_str().is_some_and(|text| text.chars().count() as u64 > longest);
        if long(&value) || value.as_array().is_some_and(|items| items.iter().any(long)) {
            return Err(format!("it is longer than {longest} characters"));
        }
        let format = schema.format.or_else(|| schema.items.as_ref().and_then(|items| items.format));
        // No hole is about groups, see `problem`.
        if !self.constraint.accepts(&value, format, |_, _| false) {
            return Err(format!("{} is not {}", shown(&value), self.constraint.words()));
        }
        Ok(value)
    }

    /// Everything that may fill it, in plain words: `text of at most 24 characters, like guest-*`.
    pub fn bound_words(&self, schema: &ValueSchema) -> String {
        let kind = match schema.kind {
            ValueType::String if schema.format == Some(Format::Text) || schema.format.is_none() => {
                format!("text of at most {} characters", self.longest(schema))
            }
            ValueType::String => format!("a name or address of at most {} characters", self.longest(schema)),
            ValueType::Integer => format!("a whole number{}", schema.range()),
            ValueType::Boolean => "true or false".into(),
            ValueType::Array => "a list of what the tool takes".into(),
            ValueType::Object => "an object".into(),
        };
        if self.constraint.any { kind } else { format!("{kind}, {}", self.constraint.words()) }
    }

    fn longest(&self, schema: &ValueSchema) -> u64 {
        let own = self.max_length.unwrap_or(Self::LONGEST);
        schema.max_length.map_or(own, |most| most.min(own))
    }
}

/// Whether a schema takes text, or lists of it.
fn texts(schema: &ValueSchema) -> bool {
    schema.kind == ValueType::String || schema.items.as_ref().is_some_and(|items| items.kind == ValueType::String)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::artifact::{Arg, from_yaml};

    fn hole(yaml: &str) -> Fill {
        match from_yaml("hole", yaml).unwrap() {
            Arg::Fill(fill) => *fill,
            other => panic!("{other:?}"),
        }
    }

    fn schema(yaml: &str) -> ValueSchema {
        from_yaml("schema", yaml).unwrap()
    }

    #[test]
    fn what_fills_a_hole_is_inside_its_bound_whatever_the_tool_would_take() {
        let name = "{type: string, format: name, maxLength: 32}";
        let cases = [
            ("{fill: a name, where: {like: guest-*}}", name, json!("guest-lobby"), true),
            ("{fill: a name, where: {like: guest-*}}", name, json!("staff-lobby"), false),
            ("{fill: a name, where: {like: guest-*}}", name, json!("guest lobby"), false),
            ("{fill: a name, where: {any: true}, max_length: 5}", name, json!("guest"), true),
            ("{fill: a name, where: {any: true}, max_length: 5}", name, json!("guests"), false),
            ("{fill: a name, where: {any: true}}", "{type: string}", json!("x".repeat(64)), true),
            ("{fill: a name, where: {any: true}}", "{type: string}", json!("x".repeat(65)), false),
            ("{fill: a name, where: {any: true}, max_length: 90}", name, json!("x".repeat(33)), false),
            ("{fill: a number, where: {min: 2, max: 4}}", "{type: integer}", json!(4), true),
            ("{fill: a number, where: {min: 2, max: 4}}", "{type: integer}", json!(5), false),
            ("{fill: a number, where: {min: 2, max: 4}}", "{type: integer}", json!("4"), false),
            ("{fill: one, where: {one_of: [a, b]}}", "{type: string}", json!("b"), true),
            ("{fill: one, where: {one_of: [a, b]}}", "{type: string}", json!("c"), false),
            ("{fill: text, where: {any: true}}", "{type: string}", json!("a\u{202e}b"), false),
            (
                "{fill: some, where: {any: true}, max_length: 2}",
                "{type: array, items: {type: string}}",
                json!(["abc"]),
                false,
            ),
        ];
        for (yaml, of, value, may) in cases {
            assert_eq!(hole(yaml).check(&value, &schema(of)).is_ok(), may, "{yaml} {value}");
        }
        let lowered = hole("{fill: a label, where: {like: web*}}");
        assert_eq!(lowered.check(&json!("WEB01"), &schema("{type: string, format: dns-label}")), Ok(json!("web01")));
    }

    #[test]
    fn a_bound_is_said_in_words() {
        for (yaml, of, words) in [
            ("{fill: x, where: {any: true}}", "{type: string}", "text of at most 64 characters"),
            (
                "{fill: x, where: {like: guest-*}, max_length: 24}",
                "{type: string, format: name, maxLength: 32}",
                "a name or address of at most 24 characters, like guest-*",
            ),
            ("{fill: x, where: {any: true}}", "{type: integer, minimum: 1, maximum: 9}", "a whole number (1 to 9)"),
            ("{fill: x, where: {one_of: [1, 2]}}", "{type: integer}", "a whole number, one of 1, 2"),
        ] {
            assert_eq!(hole(yaml).bound_words(&schema(of)), words);
        }
    }

    #[test]
    fn a_hole_without_a_bound_or_with_a_value_cannot_stand() {
        let text = schema("{type: string}");
        for (yaml, part) in [
            ("{fill: ' ', where: {any: true}}", "fill"),
            ("{fill: x, where: {}}", "where"),
            ("{fill: x, where: {in_group: access}}", "where.in_group"),
            ("{fill: x, where: {any: true}, max_length: 0}", "max_length"),
            ("{fill: x, where: {any: true}, filled: {value: a, because: b}}", "filled"),
        ] {
            assert_eq!(hole(yaml).problem(&text).map(|(part, _)| part), Some(part), "{yaml}");
        }
        let number = hole("{fill: x, where: {any: true}, max_length: 3}").problem(&schema("{type: integer}"));
        assert_eq!(number.map(|(part, _)| part), Some("max_length"));
        assert_eq!(hole("{fill: x, where: {any: true}}").problem(&text), None);
        assert!(from_yaml::<Arg>("hole", "{fill: x}").is_err(), "a hole says its bound");
    }
}
