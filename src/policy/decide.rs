//! One ruling: guardrails, boundary and trust stage are asked in turn, and the strictest answer stands.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Phase},
    facts::Role,
    tool::Tool,
};

use super::{Catalog, CompiledBoundary};

/// May this call run?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// On whose behalf the call is made.
    pub agent: Agent,
    /// The phase that the engagement is in.
    pub phase: Phase,
    /// The trust stage, from 1.
    pub stage: u8,
    /// The tool.
    pub tool: &'a Tool,
    /// The arguments in normal form, defaults filled in.
    pub args: &'a Map<String, Value>,
    /// Whether the call is the contract's next enabled step.
    pub on_contract: bool,
    /// The id of the build grant (such as `build.0`) whose own effect this call takes back. Only the program sets
    /// it, and only where the call is exactly the undo that was worked out for that effect.
    pub undo_of: Option<&'a str>,
    /// Whether this is an undo, an `always` step or a read-back, which go on after a window or a limit ends.
    pub recovery: bool,
    /// Whether the engagement has a window and it is open.
    pub window_open: bool,
    /// The roles that have approved this very call.
    pub approved_by: &'a BTreeSet<Role>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may run.
    Allow,
    /// It may not.
    Deny,
    /// It may run if someone in this role approves it.
    Escalate(Role),
}

/// The layers of a decision, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The manifest: is it a known tool with valid arguments?
    Tool,
    /// The engagement: is the phase's gate open, and the window?
    Gate,
    /// `guardrails.cedar`.
    Guardrails,
    /// The spec's grants.
    Boundary,
    /// The approved design.
    Contract,
    /// `stages.cedar`.
    Stage,
    /// Counts, tokens and time.
    Limits,
}

/// A rule that spoke, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spoke {
    /// Where the rule stands.
    pub layer: Layer,
    /// Its id.
    pub rule: String,
    /// Its reason, which a person can act on.
    pub reason: String,
}

/// The verdict and how it came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruling {
    /// The verdict.
    pub verdict: Verdict,
    /// The rules that spoke, in order.
    pub spoke: Vec<Spoke>,
    /// The grant that it rests on, such as `build.0`, `discover.1` or `build.0.undo`.
    pub grant: Option<String>,
}

/// Rules on one call: target, guardrails, boundary and trust stage; contract and limits are the broker's.
pub fn rule(_catalog: &Catalog, _boundary: &CompiledBoundary, _question: &Question<'_>) -> Ruling {
    let reason = "no policy has been asked yet, so nothing may run".to_owned();
    let spoke = Spoke { layer: Layer::Boundary, rule: "boundary.none".into(), reason };
    Ruling { verdict: Verdict::Deny, spoke: vec![spoke], grant: None }
}
