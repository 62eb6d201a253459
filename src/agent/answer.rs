//! A model's text as a document: strict, with the place of what is wrong in words that a model can act on.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::artifact::{ArtifactKind, from_json, from_yaml};

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

/// The object in a text: all of it, or what stands in its first fenced block.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, Wrong> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Wrong::Malformed("the answer is empty".into()));
    }
    let inner = if text.starts_with('{') { text } else { fenced(text).unwrap_or(text) }.trim();
    let value = if inner.starts_with('{') { from_json("the answer", inner) } else { from_yaml("the answer", inner) };
    match value {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Wrong::Malformed("the answer is prose; answer the document as one JSON object".into())),
        Err(error) => Err(Wrong::Malformed(error.to_string())),
    }
}

/// What stands in the first fenced block of a text.
fn fenced(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("```")?;
    let (_, block) = after.split_once('\n')?;
    Some(block.split_once("\n```").map_or(block, |(block, _)| block))
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
        ] {
            assert_eq!(object(text).map(Value::Object), Ok(json!({"title": "a"})), "{text}");
        }
        for text in
            ["", "   ", "I cannot do that.", "[1, 2]", r#"{"title": "a", "title": "b"}"#, r#"{"title": "#, "{} {}"]
        {
            assert!(matches!(object(text), Err(Wrong::Malformed(_))), "{text}");
        }
    }
}
