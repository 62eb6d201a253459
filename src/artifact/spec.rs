//! `spec.yaml`: what was asked for, what may be done about it, and how it will be known that it was done.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    digest::Digest,
    expression::{EvaluateError, Expression, Scope},
    grant::Boundary,
    names::ToolName,
    step::Arg,
};

/// An approved spec is the authorization boundary of its engagement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Always `spec`.
    pub kind: SpecKind,
    /// One line that says what is wanted.
    pub title: String,
    /// The digest of the request that this was made from; the program writes it.
    #[serde(default)]
    pub request: Option<Digest>,
    /// Tickets and other references.
    #[serde(default)]
    pub refs: Vec<String>,
    /// The reconciled record that this starts from (Day 2).
    #[serde(default)]
    pub baseline: Option<Digest>,
    /// The values that were asked for; expressions read them as `inputs`.
    #[serde(default)]
    pub inputs: Map<String, Value>,
    /// What must be true in the end.
    pub requirements: Vec<Requirement>,
    /// What one could take to be asked for and is not, each in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_of_scope: Vec<String>,
    /// What may be called.
    pub boundary: Boundary,
    /// How much may be used.
    #[serde(default)]
    pub limits: Limits,
    /// When the build may run.
    #[serde(default)]
    pub window: Option<Window>,
    /// How it will be known that the requirements are met.
    pub acceptance: Vec<Check>,
    /// Whether every write must be undoable.
    #[serde(default)]
    pub rollback: Rollback,
    /// Until when an undo may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub undo_until: Option<Timestamp>,
}

/// The `kind` of a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpecKind {
    /// A spec.
    Spec,
}

/// One thing that must be true in the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Such as `R1`.
    pub id: String,
    /// In words.
    pub text: String,
}

/// How much an engagement may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Tool calls of every kind.
    pub tool_calls: u32,
    /// Model tokens, in and out.
    pub model_tokens: u64,
    /// Minutes of running, not of waiting.
    pub minutes: u32,
    /// Calls outside the boundary, refused each, at which the engagement is stopped.
    #[serde(skip_serializing_if = "usual_attempts")]
    pub attempts_outside: u32,
}

/// Attempts outside the boundary at which an engagement is stopped where its spec says nothing else.
const ATTEMPTS_OUTSIDE: u32 = 3;

fn usual_attempts(attempts: &u32) -> bool {
    *attempts == ATTEMPTS_OUTSIDE
}

impl Default for Limits {
    fn default() -> Self {
        Self { tool_calls: 200, model_tokens: 200_000, minutes: 30, attempts_outside: ATTEMPTS_OUTSIDE }
    }
}

/// From when until when the build may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// First instant.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// First instant that is too late.
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// A falsifiable check: it must fail before the build and pass after it, unless it is an invariant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Such as `A1`.
    pub id: String,
    /// The requirements that it proves.
    pub covers: Vec<String>,
    /// What is read.
    pub check: ReadCall,
    /// Read once for each of these, which expressions know as `item`; the check holds if it holds for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Vec<Value>>,
    /// What must hold over `result`, `inputs` and `item`.
    pub expect: Expression,
    /// True before and after.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invariant: bool,
}

/// A call of a reading tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadCall {
    /// The tool.
    pub tool: ToolName,
    /// Its arguments.
    #[serde(rename = "with", default)]
    pub args: BTreeMap<String, Arg>,
}

/// Whether every write must be undoable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rollback {
    /// A step without an undo is refused.
    #[default]
    Required,
    /// Undo where there is one.
    BestEffort,
}

/// Something wrong with a document that parsed: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct SpecError {
    /// Keys and list positions joined by dots.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl SpecError {
    /// An error at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl Check {
    /// The items to read for: `for_each`, or one `null`.
    pub fn items(&self) -> Vec<Value> {
        self.for_each.clone().unwrap_or_else(|| vec![Value::Null])
    }
}

impl ReadCall {
    /// The arguments with every hole filled from `scope`.
    pub fn fill(&self, scope: &Scope<'_>) -> Result<Map<String, Value>, EvaluateError> {
        fill_args(&self.args, scope)
    }
}

/// Arguments with every hole filled from `scope`; a hole's `where` is checked by whoever sends the call.
pub(crate) fn fill_args(args: &BTreeMap<String, Arg>, scope: &Scope<'_>) -> Result<Map<String, Value>, EvaluateError> {
    args.iter()
        .map(|(name, arg)| {
            let value = match arg {
                Arg::Literal(value) => value.clone(),
                Arg::Hole(hole) => hole.cel.evaluate(scope)?,
                Arg::Fill(fill) => match &fill.filled {
                    Some(filled) => filled.value.clone(),
                    None => return Err(EvaluateError::new(&fill.fill, "nothing fills this hole yet")),
                },
            };
            Ok((name.clone(), value))
        })
        .collect()
}

/// What is said of a name that is none.
const NO_ID: &str = "write a name such as `R1`: 1 to 40 letters, digits, `.`, `_`, `-`, `/` or `:`";

/// Whether a text names a requirement or a check and says nothing: it stands in sentences that the program speaks.
fn is_id(text: &str) -> bool {
    let of_a_name = |c: char| c.is_alphanumeric() || "._-/:".contains(c);
    (1..=40).contains(&text.chars().count()) && text.chars().all(of_a_name)
}

impl Spec {
    /// The inputs as one value, for expressions.
    pub fn inputs_value(&self) -> Value {
        Value::Object(self.inputs.clone())
    }

    /// What is wrong with the spec by itself; what needs tools or the inventory is checked in [`crate::policy`].
    pub fn problems(&self) -> Vec<SpecError> {
        let mut found = super::showable::too_much_to_show(self);
        let mut say = |path: String, message: String| found.push(SpecError { path, message });
        if self.title.trim().is_empty() || self.title.contains('\n') {
            say("title".into(), "write one line that says what is wanted".into());
        }
        if self.requirements.is_empty() {
            say("requirements".into(), "at least one requirement is needed".into());
        }
        for (at, left_out) in self.out_of_scope.iter().enumerate() {
            if left_out.trim().is_empty() {
                say(format!("out_of_scope.{at}"), "say what is left out, or leave the line out".into());
            }
        }
        let mut ids = BTreeSet::new();
        for (at, requirement) in self.requirements.iter().enumerate() {
            if !is_id(&requirement.id) {
                say(format!("requirements.{at}.id"), NO_ID.into());
            }
            if !ids.insert(&requirement.id) {
                say(format!("requirements.{at}.id"), format!("`{}` stands twice", requirement.id));
            }
            if !self.acceptance.iter().any(|check| check.covers.contains(&requirement.id)) {
                say(
                    format!("requirements.{at}"),
                    format!("no acceptance check covers `{}`; nothing could show that it was met", requirement.id),
                );
            }
        }
        if self.boundary.discover.is_empty() && self.boundary.build.is_empty() {
            say("boundary".into(), "it grants nothing, so nothing could be read or built".into());
        }
        for (side, grants) in [("discover", &self.boundary.discover), ("build", &self.boundary.build)] {
            for (at, grant) in grants.iter().enumerate() {
                if grant.at_most == Some(0) {
                    say(format!("boundary.{side}.{at}.at_most"), "0 grants nothing; leave the grant out".into());
                }
                for (name, constraint) in &grant.constraints {
                    if let Some(problem) = constraint.problem() {
                        say(format!("boundary.{side}.{at}.where.{name}"), problem);
                    }
                }
            }
        }
        if let Some(window) = &self.window
            && window.from >= window.until
        {
            say("window".into(), "`until` is not after `from`".into());
        }
        let mut checks = BTreeSet::new();
        for (at, check) in self.acceptance.iter().enumerate() {
            if !is_id(&check.id) {
                say(format!("acceptance.{at}.id"), NO_ID.into());
            }
            if !checks.insert(&check.id) {
                say(format!("acceptance.{at}.id"), format!("`{}` stands twice", check.id));
            }
            if check.covers.is_empty() {
                say(format!("acceptance.{at}.covers"), "name the requirements that it proves".into());
            }
            for id in check.covers.iter().filter(|id| !ids.contains(id)) {
                say(format!("acceptance.{at}.covers"), format!("there is no requirement `{id}`"));
            }
            if check.for_each.as_ref().is_some_and(Vec::is_empty) {
                say(format!("acceptance.{at}.for_each"), "an empty list would prove nothing".into());
            }
            if !check.expect.variables().contains("result") {
                say(format!("acceptance.{at}.expect"), "it does not look at `result`, so it proves nothing".into());
            }
            if let Some(why) = check.expect.unknown() {
                say(format!("acceptance.{at}.expect"), why);
            }
            let unknown = check.check.args.iter().filter_map(|(name, arg)| match arg {
                Arg::Hole(hole) => Some((name, hole.cel.unknown()?)),
                Arg::Literal(_) | Arg::Fill(_) => None,
            });
            for (name, why) in unknown {
                say(format!("acceptance.{at}.check.with.{name}"), why);
            }
        }
        found
    }
}
