//! A blueprint: a reusable use case with an input schema, a spec and a design with holes. It needs no model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    design::DesignDraft,
    expression::Scope,
    spec::{Spec, SpecError},
    template::fill,
    value::ValueSchema,
};

/// A reusable use case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blueprint {
    /// Always `blueprint`.
    pub kind: BlueprintKind,
    /// The name that `request --blueprint` takes.
    pub name: String,
    /// One line for lists.
    pub title: String,
    /// What it does and what it leaves alone.
    pub about: String,
    /// What it asks for, in the order it asks.
    #[serde(default)]
    pub inputs: Vec<InputSchema>,
    /// The spec, with holes over `inputs`.
    pub spec: Value,
    /// The design, with holes over `inputs`, `facts`, `item` and `steps`.
    pub design: DesignDraft,
}

/// The `kind` of a blueprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlueprintKind {
    /// A blueprint.
    Blueprint,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSchema {
    /// The name that `--set` takes.
    pub name: String,
    /// The question that a form asks.
    pub ask: String,
    /// What the value must be; a `default` makes it optional.
    pub schema: ValueSchema,
    /// An example, for the form and the help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Value>,
}

/// What is wrong with the inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Inputs without a value or default.
    #[error("missing: {}; give them with `--set NAME=VALUE`", .0.join(", "))]
    Missing(Vec<String>),
    /// An input that the blueprint does not have.
    #[error("there is no input `{name}`; the inputs are {}", .known.join(", "))]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A value that does not fit.
    #[error("input `{name}`: {reason}")]
    Invalid {
        /// The input.
        name: String,
        /// What is wrong with its value.
        reason: String,
    },
}

impl Blueprint {
    /// The inputs in normal form, defaults filled in; every one that the blueprint asks for, and no other.
    pub fn check_inputs(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, InputError> {
        let known = || self.inputs.iter().map(|input| input.name.clone()).collect();
        if let Some(name) = given.keys().find(|name| !self.inputs.iter().any(|input| input.name == **name)) {
            return Err(InputError::Unknown { name: name.clone(), known: known() });
        }
        let missing = self.missing(given);
        if !missing.is_empty() {
            return Err(InputError::Missing(missing.iter().map(|input| input.name.clone()).collect()));
        }
        let mut normal = Map::new();
        for input in &self.inputs {
            if let Some(value) = given.get(&input.name).or(input.schema.default.as_ref()) {
                let value = input.schema.normalise(value);
                let value = value.map_err(|reason| InputError::Invalid { name: input.name.clone(), reason })?;
                normal.insert(input.name.clone(), value);
            }
        }
        Ok(normal)
    }

    /// Those of the inputs that are given, in normal form.
    pub fn check_given(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, InputError> {
        let mut normal = Map::new();
        for (name, value) in given {
            let input = self.inputs.iter().find(|input| input.name == *name).ok_or_else(|| InputError::Unknown {
                name: name.clone(),
                known: self.inputs.iter().map(|input| input.name.clone()).collect(),
            })?;
            let value = input.schema.normalise(value);
            let value = value.map_err(|reason| InputError::Invalid { name: name.clone(), reason })?;
            normal.insert(name.clone(), value);
        }
        Ok(normal)
    }

    /// The inputs that have neither a value nor a default.
    pub fn missing(&self, given: &Map<String, Value>) -> Vec<&InputSchema> {
        self.inputs.iter().filter(|input| !given.contains_key(&input.name) && input.schema.default.is_none()).collect()
    }

    /// The spec that these (checked) inputs give.
    pub fn draft_spec(&self, inputs: &Map<String, Value>) -> Result<Spec, SpecError> {
        let value = Value::Object(inputs.clone());
        let scope = Scope::new().with("inputs", &value);
        let mut spec = fill(&self.spec, &["inputs"], &scope)
            .map_err(|error| SpecError::new(format!("spec.{}", error.0.path), error.0.message))?;
        if let Value::Object(map) = &mut spec {
            map.insert("inputs".into(), value.clone());
        }
        serde_json::from_value(spec).map_err(|error| SpecError::new("spec", error.to_string()))
    }
}
