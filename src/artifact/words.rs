//! Words for people: how a value of a document is written in it, and what somebody who misspelt a name may have meant.

use serde::Serialize;

/// The word that stands for a value in a document, such as `partly_done`; nothing for what is more than a word.
pub(crate) fn word_of(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|word| Some(word.as_str()?.to_owned())).unwrap_or_default()
}

/// A hint at the known name that is most like `word`, the same one in another case first; empty where none is.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let spelled = known.iter().find(|name| name.eq_ignore_ascii_case(word)).copied();
    let close = similar::get_close_matches(word, &known, 1, 0.6).first().copied();
    spelled.or(close).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
