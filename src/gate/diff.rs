//! Two states as the lines of a diff. A state comes from a device, so every key and value is shown as what it is,
//! on one line, in one order.

use serde_json::Value;

use crate::artifact::canonical;

use super::{
    screen::Line,
    text::{visible, word},
};

/// The lines between two states; a state that is not known is said to be so.
pub(super) fn diff(before: Option<&Value>, after: Option<&Value>) -> Vec<Line> {
    if let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) {
        let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
        keys.sort();
        keys.dedup();
        let field = |key: &str, value: &Value| format!("{}: {}", word(key), state_value(value));
        let mut lines = Vec::new();
        for key in keys {
            match (before.get(key), after.get(key)) {
                (Some(one), Some(other)) if one == other => lines.push(Line::Kept(field(key, one))),
                (one, other) => {
                    lines.extend(one.map(|one| Line::Removed(field(key, one))));
                    lines.extend(other.map(|other| Line::Added(field(key, other))));
                }
            }
        }
        return lines;
    }
    if before.is_some() && before == after {
        return state_lines(before).into_iter().map(Line::Kept).collect();
    }
    let removed = state_lines(before).into_iter().map(Line::Removed);
    removed.chain(state_lines(after).into_iter().map(Line::Added)).collect()
}

fn state_lines(state: Option<&Value>) -> Vec<String> {
    match state {
        None => vec!["(not known beforehand)".into()],
        Some(Value::Null) => vec!["nothing".into()],
        Some(Value::Object(fields)) if !fields.is_empty() => {
            let mut lines: Vec<(&String, &Value)> = fields.iter().collect();
            lines.sort_by_key(|(key, _)| *key);
            lines.into_iter().map(|(key, value)| format!("{}: {}", word(key), state_value(value))).collect()
        }
        Some(other) => vec![state_value(other)],
    }
}

fn state_value(value: &Value) -> String {
    word(&state_text(value))
}

/// A value of a state, whole: text bare where it can be nothing but text, else quoted; what is nested in one line.
pub(super) fn state_text(value: &Value) -> String {
    let plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'))
            && !matches!(text, "true" | "false" | "null" | "nothing")
    };
    match value {
        Value::String(text) if plain(text) => text.clone(),
        other => {
            let text = canonical(other).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            visible(&text.unwrap_or_default())
        }
    }
}
