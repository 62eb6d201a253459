//! How text that others wrote is put on a screen: visible, on its own line, and no longer than a person reads. What
//! could move the cursor, hide or reorder text is shown as what it is.

use std::fmt::Write as _;

use serde_json::Value;

use crate::artifact::{canonical, value::hides};

/// The longest name that is shown whole, in characters.
const LONGEST_NAME: usize = 80;
/// The longest sentence or value that is shown whole. What a spec or a design may hold is shorter (see
/// `policy::check_shown`), so only what tools and devices said is ever cut.
const LONGEST_SENTENCE: usize = 25_000;
/// How many names a headline lists before the rest is counted.
pub(super) const MOST_NAMES: usize = 8;

/// The text with everything shown as what it is that would move the cursor, hide or reorder text. Doing it twice
/// changes nothing.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            ' ' => shown.push(' '),
            c if hidden(c) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Characters that take no place, reorder or overprint others, or look like a space without being one.
fn hidden(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || hides(c)
        || matches!(c,
            '\u{61c}' | '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}')
}

/// The columns that a character takes at most; what may be wide is counted as wide.
pub(super) fn columns(c: char) -> usize {
    if u32::from(c) < 0x1100 { 1 } else { 2 }
}

/// The columns that a text takes at most.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// A value inside a sentence. Text that could read on as the sentence is quoted.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Null => "nothing".into(),
        // The keys of what is nested stand in one order, whatever order it was computed in.
        other => exact(&canonical(other).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()),
    }
}

/// A text inside a sentence: bare where it is one plain word, else in quotes that it cannot close.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/:*@+%#=~".contains(c);
    // A text that is one of these words is not that there is none.
    let nothing = ["", "none", "nothing"].contains(&text);
    if !nothing && text.chars().all(plain) {
        return sentence(text);
    }
    // A backslash of its own escapes nothing.
    format!("\"{}\"", exact(&text.replace('\\', "\\\\")).replace('"', "\\\""))
}

/// A short text, cut where it is long.
pub(super) fn word(text: &str) -> String {
    cut(text, LONGEST_NAME)
}

/// A sentence, cut where it is long.
pub(super) fn sentence(text: &str) -> String {
    cut(text, LONGEST_SENTENCE)
}

/// A value as it is, space for space: `a b` is another value than `a  b`, and no screen shows how many there are.
fn exact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut others = text.chars().peekable();
    let mut between = false;
    while let Some(c) = others.next() {
        if c == ' ' && !(between && others.peek().is_some_and(|next| *next != ' ')) {
            shown.push_str("\\u{20}");
        } else {
            shown.push(c);
        }
        between = c != ' ';
    }
    sentence(&shown)
}

/// The text with runs of spaces made one, cut with its length where it is longer than `longest`.
fn cut(text: &str, longest: usize) -> String {
    let shown = visible(text);
    let words: Vec<&str> = shown.split(' ').filter(|word| !word.is_empty()).collect();
    let shown = words.join(" ");
    if shown.chars().count() <= longest {
        return shown;
    }
    let kept: String = shown.chars().take(longest).collect();
    format!("{kept}… ({} characters)", text.chars().count())
}

/// Names in a row, all of them.
pub(super) fn names<T: AsRef<str>>(all: &[T]) -> String {
    all.iter().map(|name| sentence(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Names in a headline: where they are many, the first ones and how many more. The same screen lists them all.
pub(super) fn first_names<T: AsRef<str>>(all: &[T]) -> String {
    match all.get(..MOST_NAMES) {
        Some(first) if all.len() > MOST_NAMES => format!("{} and {} more", names(first), all.len() - MOST_NAMES),
        _ => names(all),
    }
}

/// `1 target`, `4 targets`.
pub(super) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
