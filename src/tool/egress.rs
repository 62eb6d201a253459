//! What of a tool's answers a model may see. A manifest says it field by field; what it does not name stays here.
//! Pure, and the only place where an answer is made fit to leave.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::{Map, Value, json};

use super::manifest::Tool;

/// How much of a field a model may see. The order is from the most to the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Egress {
    /// The value as it is, with everything in it.
    Full,
    /// Its type, its length or count, and no content.
    Summary,
    /// Nothing but that it was left out.
    #[default]
    Never,
}

/// What a manifest says of one field of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputField {
    /// How much of it a model may see.
    pub model: Egress,
}

impl OutputField {
    /// Whether it says what holds without it.
    pub(super) fn is_never(&self) -> bool {
        self.model == Egress::Never
    }
}

/// Where a field stands in an answer: a JSON pointer (RFC 6901) in which `*` is every item of a list or every field of
/// an object, such as `/vlans/*/name`. The empty path is the whole answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct OutputPath(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    /// The field of this name.
    Field(String),
    /// Every item of a list, every field of an object.
    Each,
}

/// A path that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a path into an answer: {reason}; write one such as `/vlans/*/name`")]
pub struct OutputPathError {
    path: String,
    reason: &'static str,
}

impl FromStr for OutputPath {
    type Err = OutputPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason| OutputPathError { path: text.chars().take(80).collect(), reason };
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let rest = text.strip_prefix('/').ok_or_else(|| wrong("it does not begin with `/`"))?;
        let segment = |word: &str| match word {
            "*" => Ok(Segment::Each),
            "" => Err(wrong("a name in it is empty")),
            // It would never stand for an item, and what it was meant to keep in would be out.
            _ if word.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(wrong("items of a list are not numbered here; `*` is every one"))
            }
            _ => {
                let unescaped = word.replace("~1", "/").replace("~0", "~");
                let escapes = word.matches('~').count();
                if escapes != word.matches("~0").count() + word.matches("~1").count() {
                    return Err(wrong("`~` stands only in `~0` for `~` and `~1` for `/`"));
                }
                Ok(Segment::Field(unescaped))
            }
        };
        rest.split('/').map(segment).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for OutputPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(&name.replace('~', "~0").replace('/', "~1")),
            Self::Each => f.write_str("*"),
        }
    }
}

impl Serialize for OutputPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OutputPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What a model may see of an answer: `result` holds what is shown, `in_summary` and `left_out` name the rest by its
/// path and say how many values it is. The path that reaches deepest decides, of two as deep the one that shows less,
/// and where none reaches, nothing is shown. Names of fields are content too: one that the manifest does not write is
/// shown only over a value that is.
pub fn shown(tool: &Tool, answer: &Value) -> Value {
    let rules = tool.output.iter().map(|(path, field)| Rule { rest: &path.0, path, model: field.model }).collect();
    let mut walk = Walk::default();
    let seen = walk.at(answer, rules, Decided { model: Egress::Never, by: None }, String::new());
    let mut out = Map::new();
    out.extend(seen.value.map(|value| ("result".to_owned(), value)));
    for (name, places) in [("in_summary", walk.summarised), ("left_out", walk.left_out)] {
        if !places.is_empty() {
            out.insert(name.into(), json!(places));
        }
    }
    Value::Object(out)
}

/// The same for the text of an error, which a tool answers instead of a result.
pub fn shown_error(tool: &Tool, text: &str) -> Value {
    match tool.errors.model {
        Egress::Full => json!({"error": text}),
        Egress::Summary => json!({"error": summary(&text.into())}),
        Egress::Never => json!({"left_out": {"the text of the error": 1}}),
    }
}

/// A path of the manifest, on the way down an answer.
#[derive(Clone, Copy)]
struct Rule<'a> {
    /// What of it lies below.
    rest: &'a [Segment],
    path: &'a OutputPath,
    model: Egress,
}

/// What holds for a value where nothing below says otherwise.
#[derive(Clone, Copy)]
struct Decided<'a> {
    model: Egress,
    by: Option<&'a OutputPath>,
}

/// What is shown of a value.
struct Seen {
    value: Option<Value>,
    /// Whether any of it is shown as it is.
    content: bool,
}

#[derive(Default)]
struct Walk {
    summarised: BTreeMap<String, usize>,
    left_out: BTreeMap<String, usize>,
}

impl Walk {
    /// What is shown of the value at `place`, which is told in the words of the manifest and never in the answer's.
    fn at(&mut self, value: &Value, rules: Vec<Rule<'_>>, outer: Decided<'_>, place: String) -> Seen {
        let (here, below): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule.rest.is_empty());
        let strictest = here.iter().max_by_key(|rule| rule.model);
        let decided = strictest.map_or(outer, |rule| Decided { model: rule.model, by: Some(rule.path) });
        match value {
            Value::Object(fields) if !below.is_empty() => self.object(fields, &below, decided, &place),
            Value::Array(items) if !below.is_empty() => {
                let each: Vec<Rule<'_>> =
                    below.iter().filter_map(|rule| rule.below(|next| *next == Segment::Each)).collect();
                let mut content = decided.model == Egress::Full && items.is_empty();
                let items = items.iter().map(|item| {
                    let seen = self.at(item, each.clone(), decided, format!("{place}/*"));
                    content |= seen.content;
                    // An item keeps its place, so that others are not taken for it.
                    seen.value.unwrap_or_default()
                });
                let value = Value::Array(items.collect());
                Seen { value: Some(value), content }
            }
            _ => self.whole(value, decided, place),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, below: &[Rule<'_>], decided: Decided<'_>, place: &str) -> Seen {
        let mut out = Map::new();
        let mut content = decided.model == Egress::Full && fields.is_empty();
        for (at, (name, value)) in fields.iter().enumerate() {
            let is_named = |next: &Segment| matches!(next, Segment::Field(field) if field == name);
            let named = below.iter().any(|rule| rule.rest.first().is_some_and(is_named));
            let reaching: Vec<Rule<'_>> =
                below.iter().filter_map(|rule| rule.below(|next| *next == Segment::Each || is_named(next))).collect();
            let reached = !reaching.is_empty();
            let inside = match (named, reached) {
                (true, _) => format!("{place}/{}", Segment::Field(name.clone())),
                (false, true) => format!("{place}/*"),
                (false, false) => format!("{place}/…"),
            };
            if decided.model == Egress::Summary && !reached {
                self.count(Egress::Summary, decided.by.map_or(inside, ToString::to_string));
                continue;
            }
            let seen = self.at(value, reaching, decided, inside);
            content |= seen.content;
            if let Some(value) = seen.value {
                let name = if named || seen.content { name.clone() } else { format!("#{}", at + 1) };
                out.entry(name).or_insert(value);
            }
        }
        Seen { value: Some(Value::Object(out)), content }
    }

    /// A value that no path reaches into.
    fn whole(&mut self, value: &Value, decided: Decided<'_>, place: String) -> Seen {
        let place = || match decided.by {
            Some(path) if !path.0.is_empty() => path.to_string(),
            _ if place.is_empty() => "all of it".into(),
            _ => place,
        };
        let value = match decided.model {
            Egress::Full => return Seen { value: Some(value.clone()), content: true },
            Egress::Summary => Some(json!({"summary": summary(value)})),
            Egress::Never => None,
        };
        self.count(decided.model, place());
        Seen { value, content: false }
    }

    fn count(&mut self, model: Egress, place: String) {
        let places = if model == Egress::Summary { &mut self.summarised } else { &mut self.left_out };
        *places.entry(place).or_default() += 1;
    }
}

impl<'a> Rule<'a> {
    /// The rule one step further down, where its next step is this one.
    fn below(&self, is: impl Fn(&Segment) -> bool) -> Option<Self> {
        let (next, rest) = self.rest.split_first()?;
        is(next).then_some(Self { rest, ..*self })
    }
}

/// A value's type and size, and the same of the first item of a list.
fn summary(value: &Value) -> Value {
    match value {
        Value::Null => json!({"type": "nothing"}),
        Value::Bool(_) => json!({"type": "true or false"}),
        Value::Number(_) => json!({"type": "number"}),
        Value::String(text) => json!({"type": "text", "characters": text.chars().count()}),
        Value::Array(items) => match items.first() {
            Some(first) => json!({"type": "list", "items": items.len(), "first": summary(first)}),
            None => json!({"type": "list", "items": 0}),
        },
        Value::Object(fields) => json!({"type": "object", "fields": fields.len()}),
    }
}
