//! What takes a step back: the call that gate 2 was shown, or, where that was not known beforehand, what the tool's own rule
//! gives for what the step was given, what was there before it and what it left, as far as those are here.

use serde_json::{Map, Value};

use crate::{
    artifact::{FlowNode, NodeId, Scope},
    engagement::{Call, CallAllowed, CallOutcome, Purpose, State},
    tool::{Tool, UndoRule},
};

use super::{
    Papers, grounds,
    steps::{given, gives, otherwise_given, sent},
};

/// How a call takes back something else than the step `id` did.
pub(super) fn otherwise(
    state: &State,
    id: &NodeId,
    node: Option<&FlowNode>,
    allowed: &CallAllowed,
    papers: &Papers<'_>,
) -> Vec<String> {
    let (call, mut found) = (&allowed.call, Vec::new());
    let acted = sent(state, id);
    if acted.and_then(|act| act.target.as_ref()).is_some_and(|acted| *acted != allowed.target) {
        found.push(format!("{call} allowed to undo {id} on another target than it acted on"));
    }
    if state.undo_waits(id) {
        found.push(format!("{call} allowed to undo {id}, which was changed since, and nobody said yes to that"));
    }
    // What was redacted is said elsewhere.
    let Some(given) = given(&allowed.args, papers) else { return found };
    // Where somebody accepted another state before it, it is taken back to that one.
    let from = state.deviation_before(id).filter(|deviation| deviation.accepted_by.is_some());
    if let Some(undo) = node.and_then(|node| node.undo.as_ref()) {
        let as_shown = gives(&given, &undo.args);
        let same =
            (as_shown || from.is_some()) && chosen(state, allowed, &given, |name| undo.args.contains_key(name), papers);
        if undo.tool != allowed.tool || !same {
            found.push(format!("{call} allowed to undo {id} otherwise than gate 2 was shown"));
        }
    }
    let tool = acted.and_then(|act| grounds::tool(state, &act.tool.parse().ok()?, papers));
    if let Some((tool, act)) = tool.zip(acted) {
        let before = from.map(|deviation| deviation.found.actual.clone());
        let before = before.or_else(|| Some(node?.before.as_ref()?.state.clone()));
        let known = Known::of(state, (id, act), &tool, before, papers);
        match &tool.undo {
            None => found.push(format!("{call} allowed to undo {id}, and its tool has no undo")),
            Some(rule) if rule.tool != allowed.tool => {
                found.push(format!(
                    "{call} allowed to undo {id} with {}, and its tool says {}",
                    allowed.tool, rule.tool
                ));
            }
            Some(rule) => {
                let other = known.and_then(|known| known.other(rule, &given));
                let more = !chosen(state, allowed, &given, |name| rule.args.contains_key(name), papers);
                if let Some(name) = other.or_else(|| more.then(|| "more".into())) {
                    found.push(format!("{call} allowed to undo {id} with another `{name}` than its tool's rule gives"));
                }
            }
        }
    }
    found
}

/// Whether whatever is given beside these is what the tool takes where nothing is given.
fn chosen(
    state: &State,
    allowed: &CallAllowed,
    given: &Map<String, Value>,
    named: impl Fn(&str) -> bool,
    papers: &Papers<'_>,
) -> bool {
    given.iter().all(|(name, value)| named(name) || grounds::by_default(state, &allowed.tool, name, value, papers))
}

/// What a rule reads, as far as it is here.
struct Known {
    args: Value,
    before: Option<Value>,
    left: Option<Value>,
    result: Option<Value>,
}

impl Known {
    fn of(
        state: &State,
        (id, act): (&NodeId, &Call),
        tool: &Tool,
        before: Option<Value>,
        papers: &Papers<'_>,
    ) -> Option<Self> {
        let args = given(&act.args, papers)?;
        let back = Purpose::ReadBack { node: id.clone(), attempt: state.attempt(id) };
        let back = state.call_for(&back).filter(|(_, call)| call.outcome == Some(CallOutcome::Ok));
        let picked = |call: &Call| papers.picks().of(&call.result?, tool, &args, &*papers.answer(state, call)?).ok();
        let left = back.and_then(|(_, call)| picked(call));
        Some(Self {
            before,
            left,
            result: papers.answer(state, act).map(|answer| answer.as_ref().clone()),
            args: Value::Object(args.as_ref().clone()),
        })
    }

    /// The argument that is given otherwise than the rule says; nothing where what it reads is not here.
    fn other(&self, rule: &UndoRule, given: &Map<String, Value>) -> Option<String> {
        let mut scope = Scope::new().with("args", &self.args);
        for (name, value) in [("before", &self.before), ("left", &self.left), ("result", &self.result)] {
            if let Some(value) = value {
                scope = scope.with(name, value);
            }
        }
        otherwise_given(&rule.args, &scope, given)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_says_what_takes_a_step_back_as_far_as_what_it_reads_is_here() {
        let rule = json!({"tool": "vlan.rename", "with": {
            "id": {"cel": "args.id"}, "name": {"cel": "before.name"}, "port": {"cel": "left.port"}, "why": "undo",
        }});
        let rule: UndoRule = serde_json::from_value(rule).unwrap();
        let known = Known {
            args: json!({"id": 10}),
            before: Some(json!({"name": "Ops"})),
            left: None,
            result: Some(json!({"port": "Gi1/0/9"})),
        };
        let other = |given: Value| known.other(&rule, given.as_object().unwrap());
        let right = json!({"id": 10, "name": "ops", "port": "Gi1/0/1", "why": "undo"});
        assert_eq!(other(right.clone()), None, "what it left is not here");
        for (name, value) in [("id", json!(20)), ("name", json!("EVIL")), ("why", json!("more"))] {
            let mut given = right.clone();
            given[name] = value;
            assert_eq!(other(given.clone()).as_deref(), Some(name), "{given}");
            given.as_object_mut().unwrap().remove(name);
            assert_eq!(other(given.clone()).as_deref(), Some(name), "{given}");
        }
        let known = Known { left: Some(json!({"port": "Gi1/0/1"})), ..known };
        assert_eq!(known.other(&rule, right.as_object().unwrap()), None);
        let mut given = right;
        given["port"] = json!("Gi1/0/2");
        assert_eq!(known.other(&rule, given.as_object().unwrap()).as_deref(), Some("port"));
    }
}
