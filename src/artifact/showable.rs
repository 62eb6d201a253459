//! What a gate can show whole. A document that holds more is refused before anyone is asked about it: what stands
//! behind a cut would be approved unread.

use serde::Serialize;
use serde_json::Value;

use super::spec::SpecError;

/// The longest text that a document may hold, in bytes; expressions have the same limit.
const LONGEST_TEXT: usize = 4096;
/// The most entries that one list or one object may have.
const MOST_ENTRIES: usize = 1024;

/// The longest list or object that an argument may be, in characters as they are shown; one value is shown in one piece.
const LONGEST_ARGUMENT: usize = 20_000;

/// What a gate could not show whole of a document, at its place.
pub fn too_much_to_show<T: Serialize>(document: &T) -> Vec<SpecError> {
    let mut found = Vec::new();
    match serde_json::to_value(document) {
        Ok(value) => walk(&value, "", &mut found),
        Err(error) => found.push(SpecError::new("", error.to_string())),
    }
    found
}

fn walk(value: &Value, path: &str, found: &mut Vec<SpecError>) {
    let under = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let many = |n: usize| {
        let message = format!("it has {n} entries; a gate shows {MOST_ENTRIES} at most, so split it up");
        (n > MOST_ENTRIES).then(|| SpecError::new(path, message))
    };
    match value {
        Value::String(text) if text.len() > LONGEST_TEXT => {
            let message =
                format!("it is {} bytes long; a gate shows {LONGEST_TEXT} at most, so shorten it", text.len());
            found.push(SpecError::new(path, message));
        }
        Value::Array(items) => {
            found.extend(many(items.len()));
            for (at, item) in items.iter().enumerate().take(MOST_ENTRIES) {
                walk(item, &under(&at.to_string()), found);
            }
        }
        Value::Object(entries) => {
            found.extend(many(entries.len()));
            let arguments = path == "with" || path.ends_with(".with");
            for (name, entry) in entries.iter().take(MOST_ENTRIES) {
                if arguments && (entry.is_array() || entry.is_object()) && shown(entry) > LONGEST_ARGUMENT {
                    let message =
                        format!("it is longer than the {LONGEST_ARGUMENT} characters that a gate shows at most");
                    found.push(SpecError::new(under(name), message));
                }
                walk(entry, &under(name), found);
            }
        }
        _ => {}
    }
}

/// How long a value is on a screen at most: what could hide there is written out, and each space of several.
fn shown(value: &Value) -> usize {
    let mut before = '"';
    let long = |c: char| match std::mem::replace(&mut before, c) {
        ' ' if c == ' ' => 11,
        _ if c.is_ascii() => 1,
        _ => 10,
    };
    value.to_string().chars().map(long).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_gate_cannot_show_whole_is_found_at_its_place() {
        let fits = json!({"steps": [{"with": {"note": "x".repeat(LONGEST_TEXT), "list": vec![0; MOST_ENTRIES]}}]});
        assert_eq!(too_much_to_show(&fits), []);
        let long = json!({"steps": [{"with": {"note": "x".repeat(LONGEST_TEXT + 1)}}]});
        let found = too_much_to_show(&long);
        assert_eq!(found.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), ["steps.0.with.note"]);
        let spaced = json!({"steps": [{"with": {"notes": vec![" ".repeat(100); 30]}}]});
        assert_eq!(too_much_to_show(&spaced).len(), 1, "each space is written out");
        for letter in ["x", "\u{202e}"] {
            let all = json!({"with": {"notes": vec![letter.repeat(100); 300], "note": "short"}});
            assert_eq!(too_much_to_show(&all).first().map(|error| error.path.as_str()), Some("with.notes"), "{letter}");
        }
        let many = json!({"targets": vec!["sw01"; MOST_ENTRIES + 1]});
        assert_eq!(too_much_to_show(&many).first().map(|error| error.path.as_str()), Some("targets"));
    }
}
