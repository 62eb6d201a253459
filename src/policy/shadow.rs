//! Rules that never change an answer. One rule shadows another if its scope takes in the other's and it asks for
//! nothing that the other does not ask for too: then it speaks whenever the other does. Texts are compared and not
//! meanings, so what is found is true and not everything is found; a prover sees the rest.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, Effect, Policy, PolicyId, PrincipalConstraint, ResourceConstraint};
use serde_json::{Value, json};

use crate::artifact::ToolName;

use super::{
    file::RuleFile,
    schema::{Lowered, READERS},
    source::{GATES, PolicyProblem},
};

/// A rule, taken apart.
struct Rule<'a> {
    file: &'static str,
    line: u64,
    id: &'a str,
    policy: &'a Policy,
    /// What must hold, each part by itself; nothing where the policy cannot be written as JSON.
    asks: Option<Vec<Value>>,
}

/// The shadowed rules of all files, each at its line.
pub(super) fn shadowed(files: &[RuleFile], lowered: &Lowered) -> Vec<PolicyProblem> {
    let rules: Vec<Rule<'_>> = files.iter().flat_map(rules).collect();
    let mut problems = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        // Of two rules that shadow each other the first stays.
        let over = rules.iter().enumerate().find(|(other, over)| {
            *other != at && over.shadows(rule, lowered) && (*other < at || !rule.shadows(over, lowered))
        });
        if let Some((_, over)) = over {
            let how = match (over.policy.effect(), rule.policy.effect()) {
                (Effect::Forbid, Effect::Permit) => "forbids everything that it permits, so it never lets anything run",
                _ => "says the same to every call that it matches, so it changes nothing",
            };
            let message = format!("`{}` is shadowed: `{}` ({}:{}) {how}", rule.id, over.id, over.file, over.line);
            problems.push(PolicyProblem { file: rule.file.into(), line: rule.line, message });
        }
    }
    problems
}

fn rules(file: &RuleFile) -> impl Iterator<Item = Rule<'_>> {
    file.rules.iter().filter_map(|rule| {
        let policy = file.set.policy(&PolicyId::new(&rule.id))?;
        Some(Rule { file: file.name, line: rule.line, id: &rule.id, policy, asks: asks(policy) })
    })
}

impl Rule<'_> {
    fn shadows(&self, other: &Rule<'_>, lowered: &Lowered) -> bool {
        // The gates are asked about other things than calls.
        let comparable = (self.file == GATES) == (other.file == GATES)
            && (self.policy.effect() == other.policy.effect() && self.file == other.file
                || self.policy.effect() == Effect::Forbid && other.policy.effect() == Effect::Permit);
        let (Some(asks), Some(others)) = (&self.asks, &other.asks) else { return false };
        comparable
            && asks.iter().all(|ask| others.contains(ask))
            && principals(&self.policy.principal_constraint(), &other.policy.principal_constraint())
            && resources(&self.policy.resource_constraint(), &other.policy.resource_constraint())
            && actions(&self.policy.action_constraint(), &other.policy.action_constraint(), lowered)
    }
}

fn principals(wide: &PrincipalConstraint, narrow: &PrincipalConstraint) -> bool {
    match (wide, narrow) {
        (PrincipalConstraint::Any, _) => true,
        (PrincipalConstraint::In(group), PrincipalConstraint::Eq(agent)) => {
            group.id().unescaped() == READERS && ["design", "verifier"].contains(&agent.id().unescaped())
        }
        (wide, narrow) => wide == narrow,
    }
}

fn resources(wide: &ResourceConstraint, narrow: &ResourceConstraint) -> bool {
    matches!(wide, ResourceConstraint::Any) || wide == narrow
}

fn actions(wide: &ActionConstraint, narrow: &ActionConstraint, lowered: &Lowered) -> bool {
    if matches!(wide, ActionConstraint::Any) || wide == narrow {
        return true;
    }
    let reached = |constraint: &ActionConstraint| -> BTreeSet<&ToolName> {
        let admitted = lowered.actions.iter().filter(|(_, action)| action.admitted_by(constraint));
        admitted.map(|(tool, _)| tool).collect()
    };
    let narrow = reached(narrow);
    // A rule that reaches no tool here waits for one, and is not shadowed.
    !narrow.is_empty() && narrow.is_subset(&reached(wide))
}

/// Everything that must hold for a policy to speak.
fn asks(policy: &Policy) -> Option<Vec<Value>> {
    let policy = policy.to_json().ok()?;
    let mut found = Vec::new();
    for condition in policy.get("conditions")?.as_array()? {
        let body = condition.get("body")?;
        match condition.get("kind")?.as_str()? {
            "when" => split(body, &mut found),
            _ => split_not(body, &mut found),
        }
    }
    Some(found)
}

/// The parts of a conjunction.
fn split(body: &Value, found: &mut Vec<Value>) {
    match (body.get("&&"), body.get("!")) {
        (Some(both), _) => {
            ["left", "right"].iter().filter_map(|side| both.get(side)).for_each(|part| split(part, found))
        }
        (None, Some(not)) => match not.get("arg") {
            Some(inner) => split_not(inner, found),
            None => found.push(body.clone()),
        },
        (None, None) => found.push(body.clone()),
    }
}

/// The parts of what must not hold.
fn split_not(body: &Value, found: &mut Vec<Value>) {
    match (body.get("||"), body.get("!").and_then(|not| not.get("arg"))) {
        (Some(either), _) => {
            ["left", "right"].iter().filter_map(|side| either.get(side)).for_each(|part| split_not(part, found));
        }
        (None, Some(inner)) => split(inner, found),
        (None, None) => found.push(json!({"!": {"arg": body}})),
    }
}
