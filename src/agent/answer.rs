//! A model's text as a document: strict, with the place of what is wrong in words that a model can act on.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::artifact::{ArtifactKind, YamlError, from_json, from_yaml};

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is no document.
    Malformed(String),
    /// The document cannot stand.
    Invalid(Vec<String>),
}

/// The most problems that are told at once.
const MOST: usize = 20;

impl Wrong {
    pub(super) fn invalid(problems: impl IntoIterator<Item = impl ToString>) -> Self {
        let mut told: Vec<String> = problems.into_iter().map(|problem| problem.to_string()).collect();
        let left = told.len().saturating_sub(MOST);
        told.truncate(MOST);
        if left > 0 {
            told.push(format!("and {left} more"));
        }
        Self::Invalid(told)
    }
}

/// Where thinking aloud ends.
const THOUGHT: &str = "</think>";

/// What a model says, without the thinking aloud that some put before it.
pub(super) fn said(text: &str) -> &str {
    let mut text = text.trim();
    while text.starts_with("<think>") {
        let Some((_, after)) = text.split_once(THOUGHT) else { return text };
        text = after.trim_start();
    }
    // Some templates begin the thinking themselves, and only its end is in the answer.
    match text.split_once(THOUGHT) {
        Some((thought, after)) if !thought.contains('{') => after.trim_start(),
        _ => text,
    }
}

/// The object in a text: all of it, or the longest that stands in its fenced blocks, or else in its prose. Whichever it
/// is, it is checked like any other draft.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, Wrong> {
    let text = said(text);
    if text.is_empty() {
        return Err(Wrong::Malformed("the answer is empty".into()));
    }
    if text.starts_with("<think>") {
        return Err(Wrong::Malformed("the answer ended amid its thinking; answer the document at once".into()));
    }
    let whole = written(text);
    if let (true, Ok(Some(_))) = (text.starts_with('{'), &whole) {
        return whole.map(Option::unwrap_or_default).map_err(|error| Wrong::Malformed(error.to_string()));
    }
    let fenced = fenced(text);
    let broken = fenced.iter().find(|block| block.starts_with('{')).and_then(|block| written(block).err());
    let found = match longest(&fenced)? {
        Some(map) => Some(map),
        None => match whole {
            Ok(Some(map)) => Some(map),
            // A list is no object, whatever stands in it.
            _ if text.starts_with('[') => None,
            Ok(None) => longest(&braced(text))?,
            Err(error) => match longest(&braced(text))? {
                Some(map) => Some(map),
                None => return Err(Wrong::Malformed(broken.unwrap_or(error).to_string())),
            },
        },
    };
    let prose = || match broken {
        Some(error) => error.to_string(),
        None => "the answer is prose; answer the document as one JSON object".to_owned(),
    };
    found.ok_or_else(|| Wrong::Malformed(prose()))
}

/// The object that a text is, as JSON or as YAML; nothing where it is something else.
fn written(text: &str) -> Result<Option<Map<String, Value>>, YamlError> {
    if text.starts_with('{') {
        return from_json("the answer", text)
            .map(|value| if let Value::Object(map) = value { Some(map) } else { None });
    }
    // `Here is the spec: {…}` is YAML too, and not what is meant.
    let names = |map: &Map<String, Value>| {
        let name = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        map.keys().all(name) && !(map.len() == 1 && map.values().all(Value::is_object))
    };
    Ok(match from_yaml("the answer", text)? {
        Value::Object(map) if names(&map) => Some(map),
        _ => None,
    })
}

/// The longest of the texts that are objects; which of several equally long ones is meant nobody knows.
fn longest(texts: &[&str]) -> Result<Option<Map<String, Value>>, Wrong> {
    let mut best: Option<(usize, Map<String, Value>)> = None;
    let mut several = false;
    for text in texts {
        let longest = best.as_ref().map_or(0, |(length, _)| *length);
        let Some(map) = Some(text).filter(|text| text.len() >= longest).and_then(|text| written(text).ok().flatten())
        else {
            continue;
        };
        several = best.is_some() && text.len() == longest;
        best = Some((text.len(), map));
    }
    if several {
        return Err(Wrong::Malformed("the answer holds several documents; answer one JSON object".into()));
    }
    Ok(best.map(|(_, map)| map))
}

/// What stands in the fenced blocks of a text; one that is not closed goes on to its end.
fn fenced(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let (mut at, mut open) = (0, None);
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        if line.trim_start().starts_with("```") {
            match open.take() {
                Some(from) => blocks.extend(text.get(from..at)),
                None => open = Some(next),
            }
        }
        at = next;
    }
    blocks.extend(open.and_then(|from| text.get(from..)));
    blocks.into_iter().map(str::trim).filter(|block| !block.is_empty()).collect()
}

/// What stands between outermost braces, found in one pass.
fn braced(text: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let (mut depth, mut from, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if depth > 0 => quoted = !quoted,
            _ if quoted => {}
            b'{' => {
                if depth == 0 {
                    from = at;
                }
                depth += 1;
            }
            b'}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    spans.extend(text.get(from..=at));
                }
            }
            _ => {}
        }
    }
    spans
}

/// The object as a document of one kind.
pub(super) fn document<T: DeserializeOwned>(kind: ArtifactKind, map: Map<String, Value>) -> Result<T, Wrong> {
    let pretty = serde_json::to_string_pretty(&map).map_err(|error| Wrong::Malformed(error.to_string()))?;
    from_yaml(kind.file_name(), &pretty).map_err(|error| {
        // The lines are those of the program's own spelling, so the line itself is told.
        let line = usize::try_from(error.line).unwrap_or(1).saturating_sub(1);
        let line = pretty.lines().nth(line).unwrap_or_default().trim();
        let line: String = line.chars().take(120).collect();
        Wrong::Invalid(vec![format!("at `{line}`: {}", error.message)])
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_found_in_what_models_put_around_it() {
        for text in [
            r#"{"title": "a"}"#,
            "  {\"title\": \"a\"}\n",
            "title: a",
            "Here it is:\n```json\n{\"title\": \"a\"}\n```\nDone.",
            "```yaml\ntitle: a\n```",
            "```\ntitle: a",
            "<think>An object such as {\"title\": \"b\"} will do.</think>\n{\"title\": \"a\"}",
            "<think>\nhm\n</think>\n\n<think></think>```json\n{\"title\": \"a\"}\n```",
            "and so I answer.\n</think>\n\n{\"title\": \"a\"}",
            "Here is the spec: {\"title\": \"a\"}",
            "Here is the spec:\n\n{\n  \"title\": \"a\"\n}\n\nSay so if the } or the { is wrong.",
            "Answer: {\"title\": \"a\"}",
            "{\"title\": \"a\"}\n\nIt is as you wished.",
            "Run this first:\n```bash\ncurl -s x\n```\nand then\n```json\n{\"title\": \"a\"}\n```",
            "An item is `{\"a\": 1}`, a hole `{cel: x}`. All of it:\n```json\n{\"title\": \"a\"}\n```",
            "Each is `{\"a\":1}` or {so}. All of it: {\"title\": \"a\"}",
            "```json {\"title\": \"a\"}```",
        ] {
            assert_eq!(object(text).map(Value::Object), Ok(json!({"title": "a"})), "{text}");
        }
        for (text, says) in [
            ("", "empty"),
            ("   ", "empty"),
            ("<think>so</think>", "empty"),
            ("<think>I wonder whether {\"title\": \"a\"}", "amid its thinking"),
            ("I cannot do that.", "prose"),
            ("[1, 2]", "prose"),
            ("[{\"title\": \"a\"}]", "prose"),
            (r#"{"title": "a", "title": "b"}"#, "title"),
            (r#"{"title": "#, "the answer:1:"),
            ("So:\n```json\n{\"title\": }\n```", "the answer:1:"),
            (r#"{"a": 1} {"b": 2}"#, "several"),
            ("```\n{\"a\": 1}\n```\nor\n```\n{\"b\": 2}\n```", "several"),
        ] {
            let wrong = object(text).unwrap_err();
            assert!(matches!(&wrong, Wrong::Malformed(why) if why.contains(says)), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn what_is_nested_to_no_end_is_read_once() {
        for piece in
            ["{", "{\"a\":", "[", "```\n", "```\n{", "</think>", "<think></think>", "<think>", "{}", "a {\"", "{\\"]
        {
            let text = piece.repeat(100_000);
            assert!(matches!(object(&text), Err(Wrong::Malformed(_))), "{piece}");
            assert!(matches!(object(&format!("Well, {text}")), Err(Wrong::Malformed(_))), "{piece}");
        }
    }
}
