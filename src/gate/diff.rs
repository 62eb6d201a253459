//! Two states as the lines of a diff. A state comes from a device, so every key and value is shown as what it is,
//! on one line, in one order.

use serde_json::Value;

use crate::artifact::canonical;

use super::{
    screen::Line,
    text::{visible, word},
};

/// Items of two lists that are told one by one.
const MOST_ITEMS: usize = 16;
/// Texts that begin alike for at least this long are shown from where they differ.
const LONG_ALIKE: usize = 60;

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
                (Some(one), Some(other)) => pair(&format!("{}: ", word(key)), one, other, &mut lines),
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
    if let (Some(before @ (Value::Array(_) | Value::String(_))), Some(after @ (Value::Array(_) | Value::String(_)))) =
        (before, after)
    {
        let mut lines = Vec::new();
        pair("", before, after, &mut lines);
        return lines;
    }
    let removed = state_lines(before).into_iter().map(Line::Removed);
    removed.chain(state_lines(after).into_iter().map(Line::Added)).collect()
}

/// Two values that differ: of lists the items between those that begin and end them alike, of long texts from where they
/// differ on, so that what changed is never what was cut.
fn pair(key: &str, before: &Value, after: &Value, lines: &mut Vec<Line>) {
    let told_apart = |before: &Value, after: &Value, lines: &mut Vec<Line>| {
        let [before, after] = told(Some(before), Some(after));
        lines.extend(before.map(|text| Line::Removed(format!("{key}{text}"))));
        lines.extend(after.map(|text| Line::Added(format!("{key}{text}"))));
    };
    let (Value::Array(before_items), Value::Array(after_items)) = (before, after) else {
        return told_apart(before, after, lines);
    };
    let same = |(one, other): &(&Value, &Value)| one == other;
    let begin = before_items.iter().zip(after_items).take_while(same).count();
    let (old, new) = (before_items.get(begin..).unwrap_or_default(), after_items.get(begin..).unwrap_or_default());
    let end = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    if begin + end == 0 {
        return told_apart(before, after, lines);
    }
    let items = |n: usize| if n == 1 { "1 item".to_owned() } else { format!("{n} items") };
    let (old, new) = (old.get(..old.len() - end).unwrap_or_default(), new.get(..new.len() - end).unwrap_or_default());
    if begin > 0 {
        lines.push(Line::Kept(format!("{key}{} at the beginning as before", items(begin))));
    }
    for at in 0..old.len().max(new.len()).min(MOST_ITEMS) {
        let place = begin + at + 1;
        let [gone, come] = told(old.get(at), new.get(at));
        lines.extend(gone.map(|text| Line::Removed(format!("{key}item {place}: {text}"))));
        lines.extend(come.map(|text| Line::Added(format!("{key}item {place}: {text}"))));
    }
    for (rest, line) in [(old, Line::Removed as fn(String) -> Line), (new, Line::Added)] {
        let more = rest.len().saturating_sub(MOST_ITEMS);
        if more > 0 {
            lines.push(line(format!("{key}and {more} more items after that")));
        }
    }
    if end > 0 {
        lines.push(Line::Kept(format!("{key}{} at the end as before", items(end))));
    }
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
fn state_text(value: &Value) -> String {
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

/// Two values; long ones from where they differ, so that what changed is never what was cut.
pub(super) fn told(before: Option<&Value>, after: Option<&Value>) -> [Option<String>; 2] {
    let texts = [before, after].map(|value| value.map(state_text));
    let alike = match &texts {
        [Some(before), Some(after)] => {
            before.chars().zip(after.chars()).take_while(|(one, other)| one == other).count()
        }
        _ => 0,
    };
    let skipped = if alike < LONG_ALIKE { 0 } else { alike - 20 };
    texts.map(|text| {
        let text = text?;
        let rest: String = text.chars().skip(skipped).collect();
        Some(if skipped == 0 { word(&text) } else { format!("…{}", word(&rest)) })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(before: &Value, after: &Value) -> Vec<String> {
        let line = |line: &Line| match line {
            Line::Removed(text) => format!("- {text}"),
            Line::Added(text) => format!("+ {text}"),
            Line::Kept(text) => format!("  {text}"),
            other => panic!("{other:?}"),
        };
        diff(Some(before), Some(after)).iter().map(line).collect()
    }

    #[test]
    fn what_changed_is_never_what_is_cut() {
        let record =
            |name: &str, address: &str| json!({"address": address, "name": format!("{name}.corp.example.com")});
        let many: Vec<Value> = (0..9).map(|n| record(&format!("web{n}"), &format!("192.0.2.{n}"))).collect();
        let (mut moved, mut fewer) = (many.clone(), many.clone());
        moved[7] = record("web7", "192.0.2.66");
        fewer.remove(3);
        let both = |records: &[Value]| json!({"records": records});
        let found = lines(&both(&many), &both(&moved));
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found[0], "  records: 7 items at the beginning as before");
        assert_eq!(found[3], "  records: 1 item at the end as before");
        assert!(found[1].contains("192.0.2.7") && found[2].contains("192.0.2.66"), "{found:?}");
        let found = lines(&json!(many), &json!(fewer));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[1].starts_with("- item 4: ") && found[1].contains("web3"), "{found:?}");
        // Where something stands is told: a rule before another one is not one after it.
        let rules = |rules: &[&str]| json!(rules);
        let first = lines(&rules(&["deny any"]), &rules(&["permit x", "deny any"]));
        let last = lines(&rules(&["deny any"]), &rules(&["deny any", "permit x"]));
        assert_eq!(first, ["+ item 1: \"permit x\"", "  1 item at the end as before"]);
        assert_eq!(last, ["  1 item at the beginning as before", "+ item 2: \"permit x\""]);
        let found = lines(&json!([0]), &json!((0..100).collect::<Vec<_>>()));
        assert_eq!((found.len(), found[17].as_str()), (18, "+ and 83 more items after that"));
        let long = |end: &str| json!({"note": format!("{}{end}", "x".repeat(100))});
        let found = lines(&long("old"), &long("new"));
        assert!(found[0].ends_with("old") && found[1].ends_with("new"), "{found:?}");
        // Another order is a difference too.
        assert_eq!(lines(&json!([1, 2]), &json!([2, 1])).len(), 2);
        assert_eq!(lines(&json!([]), &json!([1])), ["- []", "+ [1]"]);
    }
}
