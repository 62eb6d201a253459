//! Grants: what an approved spec lets which agent call, with which arguments, how often.

use std::collections::BTreeMap;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::ToolName;
use super::value::shown;

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
    /// A constraint for each argument; an argument that is not named must be absent or equal to its default.
    #[serde(rename = "where", default)]
    pub constraints: BTreeMap<String, Constraint>,
    /// How many distinct effects; unlimited (within the limits) where it is left out.
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
            parts.push(format!("in {block}"));
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

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
