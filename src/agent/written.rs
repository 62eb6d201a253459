//! What an answer of a model says by itself, before it is held against anything: whoever reads a chain later compares what was
//! filed with it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{ArtifactKind, CallId, Capability, Digest, Finding, SolutionDesign, Spec, StepId, Verdict},
    engagement::{Considered, HolesFilled},
};

use super::answer::{Wrong, document, object};

/// A spec as an answer writes it, with what the program says of its beginning.
pub(super) fn spec(mut map: Map<String, Value>, request: Digest, baseline: Option<Digest>) -> Result<Spec, Wrong> {
    map.insert("request".into(), json!(request));
    map.insert("baseline".into(), json!(baseline));
    document(ArtifactKind::Spec, map)
}

/// A design as an answer writes it, with what it is made from.
pub(super) fn design(
    mut map: Map<String, Value>,
    spec: Digest,
    discovery: Digest,
    inputs: &Map<String, Value>,
) -> Result<SolutionDesign, Wrong> {
    map.insert("kind".into(), json!("design"));
    map.insert("spec".into(), json!(spec));
    map.insert("discovery".into(), json!(discovery));
    map.insert("inputs".into(), Value::Object(inputs.clone()));
    document(ArtifactKind::Design, map)
}

/// The spec that an answer is; nothing where it is none.
pub fn written_spec(text: &str, request: Digest, baseline: Option<Digest>) -> Option<Spec> {
    spec(object(text).ok()?, request, baseline).ok()
}

/// The design that an answer is; nothing where it is none.
pub fn written_design(
    text: &str,
    spec: Digest,
    discovery: Digest,
    inputs: &Map<String, Value>,
) -> Option<SolutionDesign> {
    design(object(text).ok()?, spec, discovery, inputs).ok()
}

/// What a report says that the program does not compute.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct WrittenReport {
    /// Its verdict.
    pub verdict: Verdict,
    /// Its findings; those of the program stand behind them.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Its reads.
    #[serde(default)]
    pub reads: Vec<WrittenRead>,
    /// What it says of tools that are needed; the program says which of them only simulate.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
}

/// A read that a report names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WrittenRead {
    /// Its name.
    pub id: StepId,
    /// Its item.
    #[serde(default)]
    pub item: Option<String>,
    /// The call.
    pub call: CallId,
}

/// The report that an answer is; nothing where it is none.
pub fn written_report(text: &str) -> Option<WrittenReport> {
    serde_json::from_value(Value::Object(object(text).ok()?)).ok()
}

/// Whether an answer says of the holes of a flow, and of what is wanted beside them, what is said that it says. Values have
/// a normal form, which `alike` knows.
pub fn says_filled(text: &str, filled: &HolesFilled, alike: impl Fn(&Value, &Value) -> bool) -> Option<bool> {
    let map = object(text).ok()?;
    let list = |name: &str| map.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let holes = list("holes");
    let said = filled.filled.iter().all(|hole| {
        holes.iter().any(|said| {
            said["step"] == json!(hole.step)
                && said["argument"] == json!(hole.argument)
                && said.get("value").is_some_and(|value| alike(value, &hole.value))
        })
    });
    let wanted = filled.wants.iter().map(|want| json!(want.step));
    Some(said && holes.len() == filled.filled.len() && steps(list("deviations")).eq(wanted))
}

/// The same of what is wanted after a step failed.
pub fn says_considered(text: &str, considered: &Considered, alike: impl Fn(&Value, &Value) -> bool) -> Option<bool> {
    let map = object(text).ok()?;
    let calls = map.get("calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let same = considered.wants.iter().zip(calls).all(|(want, said)| {
        let with = said.get("with").and_then(Value::as_object);
        let given = |(name, value): (&String, &Value)| want.args.get(name).is_some_and(|given| alike(value, given));
        said["step"] == json!(want.step)
            && said["tool"] == json!(want.tool)
            && with.is_none_or(|with| with.iter().all(given))
    });
    Some(same && considered.wants.len() == calls.len())
}

fn steps(said: &[Value]) -> impl Iterator<Item = Value> {
    said.iter().map(|said| said["step"].clone())
}
