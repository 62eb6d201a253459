//! Stand-in until the policy rooms land.
use serde::{Deserialize, Serialize};
/// Which layer of the decision spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Step 1.
    Tool,
    /// Step 2.
    Gate,
    /// Step 3.
    Guardrails,
    /// Step 4.
    Boundary,
    /// Step 5.
    Contract,
    /// Step 6.
    Stage,
    /// Step 7.
    Limits,
}
/// A rule that spoke.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spoke {
    /// The layer.
    pub layer: Layer,
    /// The rule.
    pub rule: String,
    /// Its reason.
    pub reason: String,
}
