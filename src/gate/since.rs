//! What changed since the version that was shown last: every line with the place where it stands.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    artifact::{ArtifactKind, Digest},
    engagement::{About, Actor, Answer, Answered, View, read_document},
};

use super::{
    common::moment,
    diff::told,
    screen::{Line, Section},
    text::{count, sentence, word},
};

/// Lines of the difference to the version before that are shown.
const MOST_CHANGES: usize = 16;
/// What differs in these parts of a document is shown first.
const FIRST: [&str; 2] = ["boundary", "steps"];
/// Refusals of versions before that are shown, the last ones.
const MOST_REFUSED: usize = 3;

/// What changed since the version before that a gate asked about last; nothing for a first version. `made_from` names
/// fields that only say what the document was made from.
pub(super) fn since_last_shown(view: &View<'_>, kind: ArtifactKind, made_from: &[&str]) -> Option<Section> {
    let version = view.state.artifacts.get(&kind)?.version;
    if version < 2 {
        return None;
    }
    let current = view.state.artifact(kind)?;
    let read = |digest: Digest| read_document::<Value>(digest, view.blobs, kind.file_name()).ok();
    let Some((since, last)) = view.state.shown_before(kind) else {
        let mut section = Section::new(format!("WHAT CHANGED (this is version {version})"));
        section.text("No version before was shown at this gate; read this one as if it were the first.");
        return Some(section);
    };
    let mut section = Section::new(format!(
        "WHAT CHANGED since version {since}, the last one that was shown (this is version {version})"
    ));
    refused_before(view, kind).into_iter().for_each(|line| section.warn(line));
    let (Some(mut before), Some(mut now)) = (read(last), read(current)) else {
        section.text("That version is not at hand; read this one as if it were new.");
        return Some(section);
    };
    for key in made_from {
        let (before, now) = (take(&mut before, key), take(&mut now, key));
        if before != now {
            section.text(format!("It was made from another {key}."));
        }
    }
    let mut lines = Vec::new();
    differences("", Some(&before), Some(&now), &mut lines);
    let more = lines.len().saturating_sub(MOST_CHANGES);
    section.lines.extend(lines.into_iter().take(MOST_CHANGES));
    if more > 0 {
        section.warn(format!("{} more differ; look at the whole difference before you answer", count(more, "line")));
    }
    if section.lines.is_empty() {
        section.text("Nothing; it was filed again as it was.");
    }
    Some(section)
}

/// Who said no to versions before, and why: whoever answers now is to see whether that was heard.
fn refused_before(view: &View<'_>, kind: ArtifactKind) -> Vec<String> {
    let about = if kind == ArtifactKind::Spec { About::Gate1 } else { About::Gate2 };
    let refused =
        view.state.answers.iter().rev().filter(|(.., said)| said.about == about && said.answer == Answer::Reject);
    let line = |(who, at, said): &(Actor, Timestamp, Answered)| {
        let version = view.blobs.get(&said.request).and_then(|request| request.get("version")?.as_u64());
        let version = version.map_or_else(|| "a version before".to_owned(), |version| format!("version {version}"));
        let why = said.reason.as_deref().map(sentence).unwrap_or_default();
        format!("{} said no to {version} on {}: \"{why}\"", word(&who.to_string()), moment(at))
    };
    refused.take(MOST_REFUSED).map(line).collect()
}

fn take(document: &mut Value, key: &str) -> Option<Value> {
    document.as_object_mut()?.remove(key)
}

/// The lines of everything that differs below a place.
fn differences(place: &str, before: Option<&Value>, after: Option<&Value>, lines: &mut Vec<Line>) {
    if before == after {
        return;
    }
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).is_some_and(|fields| !fields.is_empty());
    let items = |value: Option<&Value>| value.and_then(Value::as_array).is_some_and(|items| !items.is_empty());
    let either = |is: &dyn Fn(Option<&Value>) -> bool, other: fn(&Value) -> bool| {
        (is(before) || is(after)) && [before, after].into_iter().flatten().all(other)
    };
    if either(&fields, Value::is_object) {
        let keys = [before, after].into_iter().filter_map(|value| value?.as_object()).flat_map(|fields| fields.keys());
        // What may be done comes first: where lines are cut, it is not that.
        let last = |key: &str| !(place.is_empty() && FIRST.contains(&key));
        for (_, key) in keys.map(|key| (last(key), key)).collect::<BTreeSet<_>>() {
            let field = |value: Option<&'_ Value>| value.and_then(|value| value.get(key)).cloned();
            differences(&inside(place, key), field(before).as_ref(), field(after).as_ref(), lines);
        }
    } else if either(&items, Value::is_array) {
        let items = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        lists(place, &items(before), &items(after), lines);
    } else {
        let [before, after] = told(before, after);
        let line = |text: String| format!("{}: {text}", word(place));
        lines.extend(before.map(|text| Line::Removed(line(text))));
        lines.extend(after.map(|text| Line::Added(line(text))));
    }
}

/// Lists, item by item: by id where every item has one of its own, else from where they begin to differ.
fn lists(place: &str, before: &[Value], after: &[Value], lines: &mut Vec<Line>) {
    if let (Some(old), Some(new)) = (ids(before), ids(after)) {
        let item = |items: &[Value], ids: &[&str], id: &str| {
            let at = ids.iter().position(|other| *other == id)?;
            items.get(at).cloned()
        };
        let added = new.iter().filter(|id| !old.contains(id));
        for id in old.iter().chain(added) {
            let (was, is) = (item(before, &old, id), item(after, &new, id));
            differences(&inside(place, id), was.as_ref(), is.as_ref(), lines);
        }
        let kept = |ids: &[&str], others: &[&str]| {
            ids.iter().filter(|id| others.contains(id)).copied().collect::<Vec<_>>().join(", ")
        };
        let (was, is) = (kept(&old, &new), kept(&new, &old));
        if was != is {
            let line = |order: &str| format!("{}: in the order {}", word(place), word(order));
            lines.push(Line::Removed(line(&was)));
            lines.push(Line::Added(line(&is)));
        }
        return;
    }
    let alike = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let (old, new) = (before.get(alike..).unwrap_or_default(), after.get(alike..).unwrap_or_default());
    let ends = old.iter().rev().zip(new.iter().rev()).take_while(|(one, other)| one == other).count();
    for at in 0..old.len().max(new.len()) - ends {
        let item = |items: &'_ [Value]| items.get(..items.len() - ends).and_then(|items| items.get(at)).cloned();
        differences(&inside(place, &(alike + at).to_string()), item(old).as_ref(), item(new).as_ref(), lines);
    }
}

/// The ids of all items, where each has one that no other has.
fn ids(items: &[Value]) -> Option<Vec<&str>> {
    let ids: Vec<&str> = items.iter().map(|item| item.get("id")?.as_str()).collect::<Option<_>>()?;
    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    (distinct.len() == ids.len()).then_some(ids)
}

fn inside(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_difference_says_where_it_stands() {
        let long = |end: &str| format!("{}{end}", "x".repeat(200));
        let tail = "x".repeat(20);
        let cases = [
            (
                json!({"limits": {"calls": 80}}),
                json!({"limits": {"calls": 20}}),
                vec!["- limits.calls: 80", "+ limits.calls: 20"],
            ),
            (json!({"a": "120"}), json!({"a": 120}), vec!["- a: \"120\"", "+ a: 120"]),
            (json!({"a": {}}), json!({}), vec!["- a: {}"]),
            (json!({"a": {"b": 1, "c": []}}), json!({}), vec!["- a.b: 1", "- a.c: []"]),
            (json!({"a": [1, 2, 3]}), json!({"a": [1, 3]}), vec!["- a.1: 2"]),
            (json!({"a": [{"t": 1}]}), json!({"a": [{"t": 1}, {"t": 2}]}), vec!["+ a.1.t: 2"]),
            (json!({"a": [1]}), json!({"a": {"b": 1}}), vec!["- a: [1]", "+ a: {\"b\":1}"]),
            (
                json!({"s": [{"id": "a", "n": 1}, {"id": "b", "n": 1}]}),
                json!({"s": [{"id": "b", "n": 2}, {"id": "a", "n": 1}, {"id": "c"}]}),
                vec!["- s.b.n: 1", "+ s.b.n: 2", "+ s.c.id: c", "- s: in the order a, b", "+ s: in the order b, a"],
            ),
            (json!({"a": 1}), json!({"a": 1}), vec![]),
        ];
        for (before, after, expected) in cases {
            assert_eq!(told_lines(&before, &after), expected);
        }
        let lines = told_lines(&json!({"a": long("old")}), &json!({"a": long("new")}));
        assert_eq!(lines, [format!("- a: …{tail}old"), format!("+ a: …{tail}new")]);
    }

    fn told_lines(before: &Value, after: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        differences("", Some(before), Some(after), &mut lines);
        let line = |line: &Line| match line {
            Line::Removed(text) => format!("- {text}"),
            Line::Added(text) => format!("+ {text}"),
            other => panic!("{other:?}"),
        };
        lines.iter().map(line).collect()
    }
}
