//! Grants: what an approved spec lets which agent call, with which arguments, how often.

use std::collections::BTreeMap;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::ToolName;
use super::value::{Format, shown};

/// The authorization boundary of a spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Boundary {
    /// Reads for discovery; they serve read-back and acceptance too.
    #[serde(default)]
    pub discover: Vec<Grant>,
    /// What the build agent may call.
    #[serde(default)]
    pub build: Vec<Grant>,
}

/// One tool, with what its arguments must satisfy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The tool.
    pub tool: ToolName,
    /// A constraint for each argument; an argument that is not named must be absent or equal to its default. The members
    /// of an argument that is an object are named by a path, such as `options.mtu`.
    #[serde(rename = "where", default)]
    pub constraints: BTreeMap<String, Constraint>,
    /// How many distinct effects; unlimited (within the limits) where it is left out. Each grant is leave of its own:
    /// a call that several let in counts on the first that has room, so together they let in as many as they say in sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
}

/// What one argument must satisfy; everything that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// Equal to this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Value>,
    /// Equal to one of these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Value>>,
    /// Matches a pattern in which `*` stands for anything but the separator of the argument's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// An address or block inside this CIDR block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub in_range: Option<IpNet>,
    /// The name of a target that belongs to this inventory group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_group: Option<String>,
    /// At least this integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// At most this integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// A list of which every item is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset_of: Option<Vec<Value>>,
    /// A list of at most this many items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u32>,
    /// Anything that the tool's schema accepts; must be said aloud.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any: bool,
}

impl Grant {
    /// The constraint on an argument or on a member of one: its own, or that on the whole argument.
    pub fn on(&self, path: &str) -> Option<&Constraint> {
        let whole = || self.constraints.get(path.split_once('.')?.0);
        self.constraints.get(path).or_else(whole)
    }

    /// Whether any member of this argument is named.
    pub fn names_members_of(&self, argument: &str) -> bool {
        let is_member = |path: &String| path.split_once('.').is_some_and(|(of, _)| of == argument);
        self.constraints.keys().any(is_member)
    }
}

impl Constraint {
    /// The constraint that accepts exactly `value`.
    pub fn exactly(value: Value) -> Self {
        Self { is: Some(value), ..Self::default() }
    }

    /// Why the constraint cannot stand, if it cannot: it says nothing, or contradicts itself.
    pub fn problem(&self) -> Option<String> {
        if *self == Self::default() {
            return Some("it constrains nothing; write `any: true` to allow every value".into());
        }
        if self.any && *self != (Self { any: true, ..Self::default() }) {
            return Some("`any` stands beside another constraint; keep one of them".into());
        }
        if self.one_of.as_ref().is_some_and(Vec::is_empty) || self.subset_of.as_ref().is_some_and(Vec::is_empty) {
            return Some("its list is empty, so nothing can satisfy it".into());
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return Some(format!("min {min} is larger than max {max}, so nothing can satisfy it"));
        }
        if let (Some(is), Some(choices)) = (&self.is, &self.one_of)
            && !choices.contains(is)
        {
            return Some(format!("{} is not among its `one_of`, so nothing can satisfy it", shown(is)));
        }
        if let Some(is) = self.is.as_ref().and_then(Value::as_i64)
            && (self.min.is_some_and(|min| is < min) || self.max.is_some_and(|max| is > max))
        {
            return Some(format!("{is} is outside its own min and max, so nothing can satisfy it"));
        }
        if self.in_range.is_some_and(|block| block.trunc() != block) {
            return Some("`in_range` has host bits; write the block's first address".into());
        }
        None
    }

    /// Whether `value`, already in its normal form, satisfies the constraint; `format` is the argument's, and
    /// `in_group` says whether the inventory has the named target in a group. Used for the `where` of typed holes;
    /// the boundary itself is decided by Cedar.
    pub fn accepts(&self, value: &Value, format: Option<Format>, in_group: impl Fn(&str, &str) -> bool) -> bool {
        let text = value.as_str();
        let number = value.as_i64();
        let items = value.as_array();
        self.is.as_ref().is_none_or(|is| is == value)
            && self.one_of.as_ref().is_none_or(|choices| choices.contains(value))
            && self.like.as_ref().is_none_or(|pattern| text.is_some_and(|text| like(pattern, text, format)))
            && self.in_range.is_none_or(|block| text.is_some_and(|text| inside(block, text)))
            && self.in_group.as_ref().is_none_or(|group| text.is_some_and(|text| in_group(text, group)))
            && self.min.is_none_or(|min| number.is_some_and(|number| number >= min))
            && self.max.is_none_or(|max| number.is_some_and(|number| number <= max))
            && self
                .subset_of
                .as_ref()
                .is_none_or(|all| items.is_some_and(|items| items.iter().all(|i| all.contains(i))))
            && self.max_items.is_none_or(|most| items.is_some_and(|items| items.len() <= most as usize))
    }

    /// The constraint in plain words, to stand after the argument's name.
    pub fn words(&self) -> String {
        let list = |values: &[Value]| values.iter().map(plain).collect::<Vec<_>>().join(", ");
        let mut parts = Vec::new();
        if self.any {
            parts.push("anything".to_owned());
        }
        if let Some(is) = &self.is {
            parts.push(plain(is));
        }
        if let Some(choices) = &self.one_of {
            parts.push(format!("one of {}", list(choices)));
        }
        if let Some(pattern) = &self.like {
            parts.push(format!("like {pattern}"));
        }
        if let Some(block) = &self.in_range {
            parts.push(if parts.is_empty() { format!("anything in {block}") } else { format!("in {block}") });
        }
        if let Some(group) = &self.in_group {
            parts.push(format!("any of the group {group}"));
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) => parts.push(format!("{min} to {max}")),
            (Some(min), None) => parts.push(format!("at least {min}")),
            (None, Some(max)) => parts.push(format!("at most {max}")),
            (None, None) => {}
        }
        if let Some(allowed) = &self.subset_of {
            parts.push(format!("only {}", list(allowed)));
        }
        if let Some(most) = self.max_items {
            parts.push(format!("at most {most} items"));
        }
        parts.join(", ")
    }
}

/// Whether `text` matches `pattern` without a `*` standing for the format's separator.
fn like(pattern: &str, text: &str, format: Option<Format>) -> bool {
    let separator = format.and_then(Format::separator);
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    matches_parts(&parts, rest, separator)
}

fn matches_parts(parts: &[&str], text: &str, separator: Option<char>) -> bool {
    let Some((part, later)) = parts.split_first() else { return text.is_empty() };
    let wild = |upto: &str| separator.is_none_or(|separator| !upto.contains(separator));
    text.char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .filter_map(|at| Some((text.get(..at)?, text.get(at..)?)))
        .take_while(|(skipped, _)| wild(skipped))
        .any(|(_, rest)| rest.strip_prefix(*part).is_some_and(|rest| matches_parts(later, rest, separator)))
}

fn inside(block: IpNet, text: &str) -> bool {
    match (text.parse::<IpNet>(), text.parse::<std::net::IpAddr>()) {
        (Ok(inner), _) => block.contains(&inner),
        (_, Ok(address)) => block.contains(&address),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_never_stands_for_a_separator() {
        for (pattern, text, format, expected) in [
            ("web*", "web01", Some(Format::DnsLabel), true),
            ("*.corp.example.com", "a.corp.example.com", Some(Format::DnsName), true),
            ("*.corp.example.com", "a.b.corp.example.com", Some(Format::DnsName), false),
            ("a*c*e", "abcde", None, true),
            ("a*c*e", "abde", None, false),
            ("*", "a.b", None, true),
            ("*", "a.b", Some(Format::DnsName), false),
            ("web", "web01", None, false),
        ] {
            assert_eq!(like(pattern, text, format), expected, "{pattern} {text}");
        }
    }
}
