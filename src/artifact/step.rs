//! The one `Step` type that blueprint, design and flow share, with its typed holes.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::Value;

use super::{
    expression::Expression,
    fill::Fill,
    grant::Constraint,
    names::{StepId, ToolName},
};

/// One call, or one call for each item of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name within the design.
    pub id: StepId,
    /// The tool that it calls.
    pub tool: ToolName,
    /// The arguments: literals or typed holes.
    #[serde(rename = "with", default)]
    pub args: BTreeMap<String, Arg>,
    /// Steps that must be done first; of a step over the same items, only the same item's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<StepId>,
    /// Run only if this holds over `inputs`, `facts`, `item`, `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
    /// Run once for each of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// For a read: repeat until this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
    /// Read back and check; where it is left out, the manifest's own `state` and `after` are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// What a failure means for the rest.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// A role that must approve this step's calls one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// Run at the end whatever happened before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
}

/// An argument: a literal, or a typed hole that is filled later: by what is computed then, or by an agent.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(with = "Value")]
pub enum Arg {
    /// The value itself.
    Literal(Value),
    /// `{cel: …, where: …}`
    Hole(Hole),
    /// `{fill: …, where: …}`
    Fill(Box<Fill>),
}

/// A value that is computed when what it reads is known; it enters as a value, never as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// The expression over `inputs`, `facts`, `item`, `steps.ID.result`.
    pub cel: Expression,
    /// What the value must satisfy.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Constraint>,
}

/// Repeats a step over a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForEach {
    /// The list, over `inputs` and `facts`.
    pub items: Expression,
    /// The most items that were agreed to.
    pub at_most: u32,
}

/// Repeats a read until something holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Until {
    /// What must hold over `result`.
    pub expect: Expression,
    /// How often to try, at most 64 times.
    pub attempts: u32,
    /// Seconds between tries, at most 3600.
    pub every_seconds: u32,
}

impl Until {
    /// The most attempts.
    pub const MOST_ATTEMPTS: u32 = 64;
    /// The most seconds between two tries.
    pub const LONGEST_PAUSE: u32 = 3_600;

    /// The seconds between two tries, within what is allowed whoever wrote it.
    pub fn pause(&self) -> u32 {
        self.every_seconds.min(Self::LONGEST_PAUSE)
    }
}

/// A read after the step, and what must hold of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// The reading tool.
    pub tool: ToolName,
    /// Its arguments.
    #[serde(rename = "with", default)]
    pub args: BTreeMap<String, Arg>,
    /// What must hold over `result` and `args` (the step's own).
    pub expect: Expression,
}

/// What a step's failure means for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Run nothing more (but `always` steps); leave what was done.
    #[default]
    Stop,
    /// Undo what was done to the same target; go on with the others.
    UndoTarget,
    /// Undo everything, in reverse order, and stop.
    UndoAll,
    /// Go on with what does not need this step.
    Continue,
    /// Ask a person.
    Ask,
}

impl OnFailure {
    /// In words, for screens and logs.
    pub fn words(self) -> &'static str {
        match self {
            Self::Stop => "run nothing more",
            Self::UndoTarget => "take back what was done to the same target",
            Self::UndoAll => "take everything back",
            Self::Continue => "go on with what does not need it",
            Self::Ask => "ask a person",
        }
    }
}

impl Arg {
    /// The value, where it is known.
    pub fn literal(&self) -> Option<&Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Hole(_) => None,
            Self::Fill(fill) => fill.filled.as_ref().map(|filled| &filled.value),
        }
    }

    /// A value as an argument; a value that would read back as a hole is refused.
    pub fn from_value(value: Value) -> Result<Self, String> {
        if let Some(name) = ["cel", "fill"].into_iter().find(|name| value.get(name).is_some()) {
            return Err(format!("a value may not be an object with a `{name}` field"));
        }
        Ok(Self::Literal(value))
    }
}

impl Serialize for Arg {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Literal(value) => value.serialize(serializer),
            Self::Hole(hole) => hole.serialize(serializer),
            Self::Fill(fill) => fill.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Arg {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.get("cel").is_some() {
            serde_json::from_value(value).map(Self::Hole).map_err(D::Error::custom)
        } else if value.get("fill").is_some() {
            serde_json::from_value(value).map(Self::Fill).map_err(D::Error::custom)
        } else {
            Ok(Self::Literal(value))
        }
    }
}

impl Step {
    /// Every expression that is evaluated before the call.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let own = self.args.values();
        let verify = self.verify.iter().flat_map(|verify| verify.args.values());
        own.chain(verify)
            .filter_map(|arg| match arg {
                Arg::Hole(hole) => Some(&hole.cel),
                Arg::Literal(_) | Arg::Fill(_) => None,
            })
            .chain(&self.when)
            .chain(self.for_each.as_ref().map(|each| &each.items))
    }

    /// Every expression, those that look at its result too.
    pub fn all_expressions(&self) -> impl Iterator<Item = &Expression> {
        let after = self.verify.iter().map(|verify| &verify.expect);
        self.expressions().chain(after).chain(self.until.iter().map(|until| &until.expect))
    }

    /// Whether any of those that are evaluated before the call reads the variable `name`.
    pub fn reads(&self, name: &str) -> bool {
        self.expressions().any(|expression| expression.variables().contains(name))
    }

    /// The ids in `needs`, as a set.
    pub fn needed(&self) -> BTreeSet<&StepId> {
        self.needs.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_literal_cannot_be_smuggled_in_as_a_hole() {
        assert!(Arg::from_value(json!({"cel": "inputs.x"})).is_err());
        assert!(Arg::from_value(json!({"fill": "x", "where": {"any": true}})).is_err());
        assert!(matches!(serde_json::from_value(json!({"fill": "x", "where": {"any": true}})), Ok(Arg::Fill(_))));
        assert!(matches!(serde_json::from_value(json!({"cel": "item"})), Ok(Arg::Hole(_))));
        assert!(serde_json::from_value::<Arg>(json!({"cel": "item", "run": 1})).is_err());
        assert!(matches!(serde_json::from_value(json!("inputs.x")), Ok(Arg::Literal(_))));
    }
}
