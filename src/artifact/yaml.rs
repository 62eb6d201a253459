//! Strict YAML: unknown fields, duplicate keys and integers beyond ±(2^53−1) are errors that point at the line.

use granit_parser::{Event, Parser, Span};
use serde::{Serialize, de::DeserializeOwned};

/// The largest integer that every JSON reader keeps exactly (RFC 8259, section 6).
pub(super) const SAFE_INTEGER: u64 = (1 << 53) - 1;

/// What is wrong with a YAML text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {message}")]
pub struct YamlError {
    /// The file or document the text came from.
    pub name: String,
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong and what would be right.
    pub message: String,
}

impl YamlError {
    /// An error found after parsing, placed at the line of `path` (such as `boundary.build.0.where.zone`).
    pub fn at(name: &str, text: &str, path: &str, message: impl Into<String>) -> Self {
        let (line, column) = locate(text, path);
        let message = message.into();
        let message = if path.is_empty() { message } else { format!("{path}: {message}") };
        Self { name: name.to_owned(), line, column, message }
    }
}

/// Reads a document of type `T`; `name` is what errors call the text.
pub fn from_yaml<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, YamlError> {
    let located = |error: serde_saphyr::Error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let message = error.without_snippet().to_string();
        let place = format!("line {line} column {column}: ");
        let message = message.strip_prefix(&place).unwrap_or(&message).to_owned();
        let message = message.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(&message).to_owned();
        YamlError { name: name.to_owned(), line, column, message: plain_words(&message) }
    };
    let options = || {
        serde_saphyr::options! {
            strict_booleans: true,
            reject_unsupported_tags: true,
            with_snippet: false,
            merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        }
    };
    let tree: serde_json::Value = serde_saphyr::from_str_with_options(text, options()).map_err(located)?;
    if let Some((path, number)) = unsafe_number(&tree, &mut String::new()) {
        let message =
            format!("{number} is not an integer between -(2^53-1) and 2^53-1; write it as text if it is a name");
        return Err(YamlError::at(name, text, &path, message));
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(located)
}

/// What a parser says, in words for whoever wrote the document rather than the program.
pub fn plain_words(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    let quoted = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
    let choices = |text: &str| text.replace('`', "").replace("one of ", "").replace(" or ", ", ");
    if let Some((what, expected)) = message.split_once(", expected ") {
        if what.starts_with("unknown variant") {
            return format!("`{}` cannot stand here; write {}", quoted(what), one_of(&choices(expected)));
        }
        if what.starts_with("unknown field") {
            return format!("there is no field `{}` here; the fields are {}", quoted(what), choices(expected));
        }
        if let Some(found) = what.strip_prefix("invalid type: ").or_else(|| what.strip_prefix("invalid value: ")) {
            return format!("{} is expected here, not {}", kind_words(expected), kind_words(found));
        }
    }
    if message.starts_with("missing field") {
        return format!("the field `{}` is missing", quoted(message));
    }
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        return format!("duplicate key `{}`: it stands twice", rest.split(", set ").next().unwrap_or(rest));
    }
    if let Some(kind) = message.strip_prefix("invalid ") {
        match kind {
            "u8" | "u16" | "u32" | "u64" | "usize" => {
                return "write a whole number, 0 or more, that is not too large".into();
            }
            "i8" | "i16" | "i32" | "i64" | "isize" => return "write a whole number that is not too large".into(),
            "f32" | "f64" => return "write a number".into(),
            _ if kind.starts_with("boolean") => return "write true or false".into(),
            _ => {}
        }
    }
    match message {
        "unexpected end of input" => "the text ends where more is expected; the document is empty or cut off".into(),
        "expected string scalar" => "text is expected here".into(),
        "expected mapping start" => "fields (`name: value`) are expected here".into(),
        "expected sequence start" => "a list is expected here".into(),
        _ if message.starts_with("unexpected character") => "this character cannot stand here".into(),
        _ if message.starts_with("data did not match any variant") => "this is none of the forms that fit here".into(),
        _ if message.starts_with("failed to parse") => {
            "this is not a time; write one such as 2026-12-01T22:00:00Z".into()
        }
        _ => message.to_owned(),
    }
}

fn one_of(choices: &str) -> String {
    if choices.contains(", ") { format!("one of {choices}") } else { format!("`{choices}`") }
}

/// What serde calls a kind of value, in the words of whoever writes documents.
fn kind_words(kind: &str) -> String {
    match kind {
        "a string" => "text".into(),
        "a sequence" | "sequence" => "a list".into(),
        "a map" | "map" => "a mapping".into(),
        "unit value" | "null" => "nothing".into(),
        "a boolean" => "true or false".into(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        _ if kind.starts_with("struct ") => "a mapping of fields".into(),
        _ => {
            kind.trim_start_matches("integer ").trim_start_matches("string ").trim_start_matches("boolean ").to_owned()
        }
    }
}

/// Writes a document as YAML.
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(value)
}

fn unsafe_number(value: &serde_json::Value, path: &mut String) -> Option<(String, String)> {
    let mut descend = |key: &str, child: &serde_json::Value| {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        let found = unsafe_number(child, path);
        path.truncate(length);
        found
    };
    match value {
        serde_json::Value::Number(number) => {
            let safe = match (number.as_i64(), number.as_u64()) {
                (Some(integer), _) => integer.unsigned_abs() <= SAFE_INTEGER,
                (None, Some(_)) => false,
                // A float stands for itself unless it is an integer that did not fit.
                (None, None) => number.as_f64().is_some_and(|float| float.abs() <= SAFE_INTEGER as f64),
            };
            (!safe).then(|| (path.clone(), number.to_string()))
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| descend(&at.to_string(), item))
        }
        serde_json::Value::Object(map) => map.iter().find_map(|(key, item)| descend(key, item)),
        _ => None,
    }
}

/// Line and column (from 1) of the deepest part of `path` that the text has. `path` joins keys and list
/// positions with dots; keys that contain dots are found too.
pub fn locate(text: &str, path: &str) -> (u64, u64) {
    let mut best = (0, (1, 1));
    let mut walker = Walker { parser: Parser::new_from_str(text), best: &mut best, path };
    walker.document();
    best.1
}

struct Walker<'a, 'input> {
    parser: Parser<'input, granit_parser::StrInput<'input>>,
    best: &'a mut (usize, (u64, u64)),
    path: &'a str,
}

impl<'input> Walker<'_, 'input> {
    fn next(&mut self) -> Option<(Event<'input>, Span)> {
        loop {
            match self.parser.next_event()? {
                Ok((Event::Comment(..), _)) => {}
                Ok(event) => return Some(event),
                Err(_) => return None,
            }
        }
    }

    fn document(&mut self) {
        while let Some((event, span)) = self.next() {
            if !matches!(event, Event::StreamStart | Event::DocumentStart(..)) {
                self.node(event, span, "");
                return;
            }
        }
    }

    fn reached(&mut self, here: &str, span: &Span) {
        let on_the_way = self.path == here || self.path.strip_prefix(here).is_some_and(|rest| rest.starts_with('.'));
        if on_the_way && here.len() > self.best.0 {
            *self.best = (here.len(), (span.start.line() as u64, span.start.col() as u64 + 1));
        }
    }

    fn node(&mut self, event: Event<'input>, span: Span, here: &str) -> Option<()> {
        let join = |key: &str| if here.is_empty() { key.to_owned() } else { format!("{here}.{key}") };
        match event {
            Event::SequenceStart(..) => {
                for at in 0.. {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    let child = join(&at.to_string());
                    self.reached(&child, &span);
                    self.node(event, span, &child)?;
                }
            }
            Event::MappingStart(..) => loop {
                let (event, span) = self.next()?;
                if matches!(event, Event::MappingEnd) {
                    break;
                }
                let key = event.scalar().map(|(text, _)| text.to_owned()).unwrap_or_default();
                let child = join(&key);
                self.reached(&child, &span);
                if event.scalar().is_none() {
                    self.node(event, span, &child)?;
                }
                let (event, span) = self.next()?;
                self.node(event, span, &child)?;
            },
            _ => {
                let _ = span;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code)]
        name: String,
        #[expect(dead_code)]
        count: Option<i64>,
    }

    #[test]
    fn errors_point_at_the_line() {
        for (text, line, says) in [
            ("name: a\nnmae: b\n", 2, "nmae"),
            ("name: a\nname: b\n", 2, "duplicate"),
            ("name: a\ncount: 9007199254740992\n", 2, "2^53"),
            ("name: a\ncount: 1e400\n", 2, ""),
            ("name: a\ncount: [\n", 2, ""),
            ("name: a\ncount: x\n", 2, ""),
        ] {
            let error = from_yaml::<Sample>("sample.yaml", text).unwrap_err();
            assert!(error.line >= line && error.message.contains(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn errors_are_in_plain_words() {
        for (text, says) in [
            ("name: a\nnmae: b\n", "there is no field `nmae` here; the fields are name, count"),
            ("count: 1\n", "the field `name` is missing"),
            ("", "the text ends"),
            ("name: [a]\n", "text is expected here"),
            ("name: a\ncount: x\n", "write a whole number"),
            ("- a\n", "are expected here"),
        ] {
            let message = from_yaml::<Sample>("sample.yaml", text).unwrap_err().message;
            assert!(message.contains(says), "{text:?}: {message}");
        }
        let table = [
            ("unknown variant `x`, expected one of a, b", "`x` cannot stand here; write one of a, b"),
            ("unknown variant `x`, expected `a` or `b`", "`x` cannot stand here; write one of a, b"),
            ("unknown variant `x`, expected one of spec", "`x` cannot stand here; write `spec`"),
            ("invalid u32", "write a whole number, 0 or more, that is not too large"),
            ("invalid type: integer `5`, expected a string", "text is expected here, not `5`"),
        ];
        for (message, says) in table {
            assert_eq!(plain_words(message), says);
        }
    }

    #[test]
    fn a_path_is_found_in_nested_lists_and_maps() {
        let text = "a:\n  - b: 1\n  - b: 2\n    c.d: 3\nz: {q: [1,\n  2]}\n";
        assert_eq!(locate(text, "a.1.b"), (3, 5));
        assert_eq!(locate(text, "a.1.c.d"), (4, 5));
        assert_eq!(locate(text, "z.q.1"), (6, 3));
        assert_eq!(locate(text, "a.1.missing"), (3, 5));
        assert_eq!(locate(text, "nowhere"), (1, 1));
    }
}
