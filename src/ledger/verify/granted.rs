//! What a reader of the chain relies on about each call that was let through: it rests on a grant of the spec that gate 1
//! approved, in the attempt that its step was in, no more often than the grant says, within the window and the limits, and
//! on approvals that had not ended. What is outside the grant whatever the manifest says is found; defaults, separators
//! and groups take what the question was decided on, and are asked about in `grounds`.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    artifact::{Agent, ArtifactKind, Constraint, Digest, Grant, NodeId, Spec},
    engagement::{Call, CallAllowed, Purpose, State},
    flow::NodeOutcome,
    policy::{Layer, PolicyTexts},
};

use super::{Papers, grounds, steps};

/// What is wrong with a call that was allowed at `at`.
pub(super) fn allowed(state: &State, allowed: &CallAllowed, at: Timestamp, papers: &Papers<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let call = &allowed.call;
    if allowed.approved {
        let left = state.approved_calls.get(&allowed.digest).is_some_and(|left| *left > 0);
        if !left {
            found.push(format!("{call} allowed as approved, but no unused approval names it"));
        } else if state.approved_until.get(&allowed.digest).is_some_and(|until| *until <= at) {
            found.push(format!("{call} allowed as approved, after that approval had ended"));
        }
    } else if allowed.counts.is_some() && state.approved_in(&allowed.digest, at).is_some() {
        found.push(format!("{call} allowed without using the approval that names it"));
    } else if allowed.counts.is_some() && assisted_as_shipped(allowed, papers) {
        found.push(format!("{call} allowed as a change at trust stage 1, which nobody approved"));
    } else if allowed.counts.is_some() && grounds::kept(state, papers) && papers.document(&allowed.decided_on).is_none()
    {
        found.push(format!("{call} allowed as a change that nobody approved, and what let it through is not here"));
    } else if allowed.counts.is_some()
        && let Some(catalog) = papers.catalog(&allowed.decided_on)
        && papers.bytes(&catalog.policies).is_none()
    {
        found.push(format!("{call} allowed as a change that nobody approved, on policies that are not here"));
    }
    match &allowed.purpose {
        Purpose::Act { node, attempt, .. } if *attempt != state.attempt(node) => {
            let is = state.attempt(node);
            found.push(format!("{call} allowed as attempt {attempt} of step {node}, which was in attempt {is}"));
        }
        Purpose::Undo { node } => {
            found.extend(undone(state, node).map(|why| format!("{call} allowed to undo {node}, {why}")))
        }
        Purpose::Act { .. } | Purpose::Turn { .. } | Purpose::Proposed { .. } => {}
        reads if allowed.counts.is_some() => {
            found.push(format!("{call} allowed as a change, and it was to {}", reads.words()));
        }
        _ => {}
    }
    // A spec that is missing or was changed is reported where it was filed.
    let spec = state.artifact(ArtifactKind::Spec).and_then(|spec| papers.spec(&spec));
    let Some(spec) = spec else { return found };
    let grounded = || grounds::off(state, allowed, grant_named(&allowed.grant, &spec), papers);
    let why =
        off_grant(state, allowed, &spec, papers).or_else(grounded).or_else(|| over(state, allowed, at, &spec, papers));
    found.extend(why.map(|why| format!("{call} allowed {why}")));
    found
}

/// Whether a call was decided at trust stage 1 under the policies that ship with this program, which let nothing change
/// there that nobody approved. What other policies say is not tried here.
fn assisted_as_shipped(allowed: &CallAllowed, papers: &Papers<'_>) -> bool {
    static SHIPPED: LazyLock<Option<Digest>> = LazyLock::new(|| {
        let (guardrails, stages) =
            (include_str!("../../../policies/guardrails.cedar"), include_str!("../../../policies/stages.cedar"));
        PolicyTexts { guardrails, stages, gates: include_str!("../../../policies/gates.cedar") }.digest().ok()
    });
    let basis = papers.document(&allowed.decided_on);
    let says = |path: &str, value: Value| basis.as_ref().is_some_and(|basis| basis.pointer(path) == Some(&value));
    says("/standing/stage", json!(1)) && says("/catalog/policies", json!(*SHIPPED))
}

/// A change that ran on a rule alone, without the approval of a person that names it: the call and the rule.
pub(super) fn on_a_rule(allowed: &CallAllowed) -> Option<String> {
    let by = allowed.rules.iter().rfind(|rule| rule.layer == Layer::Stage).map(|rule| rule.rule.as_str());
    let changes = allowed.counts.is_some() && !allowed.approved;
    changes.then(|| format!("{} ({}) by `{}`", allowed.call, allowed.purpose.words(), by.unwrap_or("no rule")))
}

/// Which limit of the spec was over. What takes back, looks or clears up goes on.
fn over(state: &State, allowed: &CallAllowed, at: Timestamp, spec: &Spec, papers: &Papers<'_>) -> Option<String> {
    if matches!(allowed.purpose, Purpose::Undo { .. }) {
        let until = spec.undo_until.filter(|until| at >= *until)?;
        return Some(format!("to take back what could be taken back until {until}"));
    }
    if grounds::goes_on(state, allowed, papers) {
        return None;
    }
    let limits = &spec.limits;
    let outside = state.outside.saturating_sub(state.outside_seen);
    if let Some(window) = spec.window.filter(|window| at < window.from || window.until <= at)
        && allowed.counts.is_some()
    {
        return Some(format!("as a change outside the window from {} until {}", window.from, window.until));
    }
    if state.ran >= u64::from(limits.tool_calls) {
        return Some(format!("after the {} tool calls that the spec allows", limits.tool_calls));
    }
    if state.worked >= i64::from(limits.minutes) * 60 {
        return Some(format!("after the {} minutes of running that the spec allows", limits.minutes));
    }
    (outside >= u64::from(limits.attempts_outside.max(1)))
        .then(|| format!("after {outside} attempts outside the boundary, at which the spec stops it"))
}

/// Why a step was not to be taken back.
fn undone(state: &State, node: &NodeId) -> Option<String> {
    let left = state.nodes.get(node).is_some_and(|settled| {
        let may = matches!(settled.outcome, NodeOutcome::Done | NodeOutcome::Failed | NodeOutcome::Unknown);
        settled.changed && may
    });
    let failed = state.nodes.values().any(|settled| settled.failed);
    (!left || !failed).then(|| {
        let why = if left { "and no step had failed" } else { "which had left nothing to take back" };
        why.to_owned()
    })
}

/// The grant with this name; an undo, which a grant implies, has none.
fn grant_named<'a>(name: &str, spec: &'a Spec) -> Option<&'a Grant> {
    let (side, at) = name.split_once('.')?;
    let grants = match side {
        "discover" => &spec.boundary.discover,
        "build" => &spec.boundary.build,
        _ => return None,
    };
    grants.get(at.parse::<usize>().ok()?)
}

/// Why a call does not rest on the grant that it names.
fn off_grant(state: &State, allowed: &CallAllowed, spec: &Spec, papers: &Papers<'_>) -> Option<String> {
    let (name, agent) = (&allowed.grant, allowed.agent);
    let (id, undo) = name.strip_suffix(".undo").map_or((name.as_str(), false), |id| (id, true));
    let Some(grant) = grant_named(id, spec) else {
        return Some(format!("under `{name}`, which the approved spec does not have"));
    };
    let builds = id.starts_with("build.");
    if builds != (agent == Agent::Build) {
        return Some(format!("for the {agent} agent under `{name}`, which is not for it"));
    }
    let undoes = matches!(allowed.purpose, Purpose::Undo { .. });
    if undo != undoes {
        return Some(format!("under `{name}` to {}", allowed.purpose.words()));
    }
    if undo {
        let acted = allowed.purpose.node().and_then(|node| acted(state, node));
        let same = acted.and_then(|call| call.grant.as_deref()) == Some(id);
        return (!same).then(|| format!("under `{name}`, and the step did not act under `{id}`"));
    }
    if grant.tool != allowed.tool {
        return Some(format!("with `{}` under `{name}`, which is for another tool", allowed.tool));
    }
    let given = steps::given(&allowed.args, papers);
    let outside = |(argument, constraint): &(&String, &Constraint)| {
        let value = given.as_ref().and_then(|given| given.get(*argument));
        value.is_some_and(|value| is_outside(constraint, value))
    };
    if let Some((argument, constraint)) = grant.constraints.iter().find(outside) {
        return Some(format!("under `{name}`, outside which it is: `{argument}` must be {}", constraint.words()));
    }
    if !builds && allowed.counts.is_some() {
        return Some(format!("as a change under `{name}`, which only lets it read"));
    }
    let most = u64::from(grant.at_most?);
    let effect = allowed.counts.as_ref()?;
    let known = state.effects.get(name);
    let new = !known.is_some_and(|known| known.contains(effect));
    let all = known.map_or(0, |known| known.len() as u64) + u64::from(new);
    (all > most).then(|| format!("as effect {all} under `{name}`, which allows {most}"))
}

/// The last call of a step itself that was let through.
fn acted<'a>(state: &'a State, node: &NodeId) -> Option<&'a Call> {
    let of = |call: &&Call| matches!(&call.purpose, Purpose::Act { node: it, .. } if it == node);
    state.calls.values().rev().filter(|call| call.refused.is_none()).find(of)
}

/// A value without case and order.
fn folded(value: &Value) -> Value {
    match value {
        Value::String(text) => text.to_ascii_lowercase().into(),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(folded).collect();
            items.sort_by_cached_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// Whether a value is outside a constraint whatever its format is. What only the manifest or the inventory can tell, such
/// as what `*` may stand for and who is in a group, is not asked.
fn is_outside(constraint: &Constraint, value: &Value) -> bool {
    let accepts = |constraint: &Constraint, value: &Value| constraint.accepts(value, None, |_, _| true);
    if accepts(constraint, value) {
        return false;
    }
    // Names may know no case, and lists no order.
    let folded = Constraint {
        is: constraint.is.as_ref().map(folded),
        one_of: constraint.one_of.as_ref().map(|choices| choices.iter().map(folded).collect()),
        subset_of: constraint.subset_of.as_ref().map(|choices| choices.iter().map(folded).collect()),
        like: constraint.like.as_ref().map(|pattern| pattern.to_ascii_lowercase()),
        ..constraint.clone()
    };
    !accepts(&folded, &self::folded(value)) && !steps::alike_one_of(constraint, value)
}
