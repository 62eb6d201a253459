//! What a reader of the chain relies on about each call that was let through: it rests on a grant of the spec that gate 1
//! approved, in the attempt that its step was in, no more often than the grant says, and on approvals that had not ended.
//! Whether its arguments were inside the grant is not asked here: that takes the manifests, and a bundle has none.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    artifact::{Agent, ArtifactKind, Digest, NodeId},
    engagement::{Call, CallAllowed, Purpose, State},
    flow::NodeOutcome,
};

/// What is wrong with a call that was allowed at `at`.
pub(super) fn allowed(
    state: &State,
    allowed: &CallAllowed,
    at: Timestamp,
    document: &dyn Fn(&Digest) -> Option<Arc<Value>>,
) -> Vec<String> {
    let mut found = Vec::new();
    let call = &allowed.call;
    if allowed.approved {
        let left = state.approved_calls.get(&allowed.digest).is_some_and(|left| *left > 0);
        if !left {
            found.push(format!("{call} allowed as approved, but no unused approval names it"));
        } else if state.approved_until.get(&allowed.digest).is_some_and(|until| *until <= at) {
            found.push(format!("{call} allowed as approved, after that approval had ended"));
        }
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
    let spec = state.artifact(ArtifactKind::Spec).and_then(|spec| document(&spec));
    found.extend(spec.and_then(|spec| off_grant(state, allowed, &spec)).map(|why| format!("{call} allowed {why}")));
    found
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

/// Why a call does not rest on the grant that it names.
fn off_grant(state: &State, allowed: &CallAllowed, spec: &Value) -> Option<String> {
    let (name, agent) = (&allowed.grant, allowed.agent);
    let (id, undo) = name.strip_suffix(".undo").map_or((name.as_str(), false), |id| (id, true));
    let (side, at) = id.split_once('.').unwrap_or((id, ""));
    let grant = at.parse::<usize>().ok().and_then(|at| spec.get("boundary")?.get(side)?.get(at));
    let Some(grant) = grant else { return Some(format!("under `{name}`, which the approved spec does not have")) };
    let builds = side == "build";
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
    if grant.get("tool").and_then(Value::as_str) != Some(allowed.tool.as_str()) {
        return Some(format!("with `{}` under `{name}`, which is for another tool", allowed.tool));
    }
    if !builds && allowed.counts.is_some() {
        return Some(format!("as a change under `{name}`, which only lets it read"));
    }
    let most = grant.get("at_most").and_then(Value::as_u64)?;
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
