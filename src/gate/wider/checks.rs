//! Build grants against the acceptance checks, where no design says yet what is done with them: what must be true in the
//! end is then all that says what is asked for.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    artifact::{Check, Grant, Scope, Spec, canonical},
    tool::{Effect, Tool},
};

use super::super::text::{count, names, value, word};
use super::pinned;

/// That a grant takes something away, or that no check names what it is about.
pub(super) fn not_asked_for(grant: &Grant, tool: &Tool, spec: &Spec) -> Vec<String> {
    let mut said = Vec::new();
    match tool.effect {
        Effect::Read => return said,
        Effect::Write => {}
        Effect::Destructive => {
            said.push(format!("{} takes something away, and no design says yet what for", grant.tool));
        }
    }
    let named = Named::of(spec);
    let unnamed = |argument: &str| -> Vec<String> {
        let values = grant.constraints.get(argument).and_then(pinned).unwrap_or_default();
        values.into_iter().filter(|one| !named.names(one)).map(value).collect()
    };
    let targets = unnamed(&tool.target);
    if !targets.is_empty() {
        let it = if targets.len() == 1 { "it" } else { "them" };
        said.push(format!("{} may be used on {}, and no check names {it}", grant.tool, names(&targets)));
    }
    let others: Vec<(&String, Vec<&Value>)> = grant
        .constraints
        .iter()
        .filter(|(argument, _)| **argument != tool.target)
        .filter_map(|(argument, constraint)| Some((argument, pinned(constraint)?)))
        .collect();
    if !others.is_empty() && !others.iter().any(|(_, values)| values.iter().any(|one| named.names(one))) {
        let each = |(argument, values): &(&String, Vec<&Value>)| {
            format!("{} {}", word(argument), names(&values.iter().map(|one| value(one)).collect::<Vec<_>>()))
        };
        let each: Vec<String> = others.iter().map(each).collect();
        said.push(format!("no check names what {} may be used with: {}", grant.tool, each.join("; ")));
    }
    said
}

/// A count beyond what the checks could look at, however they are read: each of their reads, for each value that they
/// name.
pub(super) fn more_than_checked(grant: &Grant, tool: &Tool, spec: &Spec) -> Option<String> {
    let most = usize::try_from(grant.at_most?).unwrap_or(usize::MAX);
    if tool.effect == Effect::Read {
        return None;
    }
    let of_tool = |check: &&Check| tool.state.as_ref().is_none_or(|state| state.tool == check.check.tool);
    let reads = |check: &Check| {
        let listed = inputs_of(check, spec).map(|value| value.as_array().map_or(1, Vec::len)).sum::<usize>();
        check.items().len().saturating_mul(literals(check.expect.source()).len().saturating_add(listed).max(1))
    };
    let checks = spec.acceptance.iter().filter(|check| !check.invariant).filter(of_tool);
    let looked_at = checks.map(reads).fold(0, usize::saturating_add);
    // None at all is said of the grant in other words.
    (looked_at > 0 && most > looked_at).then(|| {
        format!(
            "{} may take effect {}, and the checks look at {looked_at} of them at most",
            grant.tool,
            count(most, "time")
        )
    })
}

/// The inputs that a check reads, in its call or in what it expects.
fn inputs_of<'a>(check: &'a Check, spec: &'a Spec) -> impl Iterator<Item = &'a Value> {
    // Nothing where it takes them all, which is as much as there is.
    let members = check.expect.members_of("inputs");
    spec.inputs
        .iter()
        .filter(move |(name, _)| members.as_ref().is_none_or(|members| members.contains(*name)))
        .map(|(_, value)| value)
}

/// Every value that some check names.
struct Named(BTreeSet<Vec<u8>>);

impl Named {
    fn of(spec: &Spec) -> Self {
        let mut named = Self(BTreeSet::new());
        let inputs = spec.inputs_value();
        for check in &spec.acceptance {
            for item in check.items() {
                let scope = Scope::new().with("inputs", &inputs).with("item", &item);
                let filled = check.check.fill(&scope).unwrap_or_default();
                filled.values().chain([&item]).for_each(|value| named.add(value));
            }
            inputs_of(check, spec).for_each(|value| named.add(value));
            literals(check.expect.source()).iter().for_each(|literal| named.add(literal));
        }
        named
    }

    /// A value, and whatever is in it.
    fn add(&mut self, value: &Value) {
        self.0.extend(canonical(value).ok());
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.add(field)),
            _ => {}
        }
    }

    fn names(&self, value: &Value) -> bool {
        canonical(value).is_ok_and(|bytes| self.0.contains(&bytes))
    }
}

/// The texts and integers that stand in an expression.
fn literals(source: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let end = match c {
            '"' | '\'' => {
                let inner = rest.get(1..).unwrap_or_default();
                let end = inner.find(c).unwrap_or(inner.len());
                found.push(Value::from(inner.get(..end).unwrap_or_default()));
                end + 2
            }
            '0'..='9' if !(before.is_alphanumeric() || matches!(before, '_' | '.')) => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                found.extend(rest.get(..end).and_then(|digits| digits.parse::<i64>().ok()).map(Value::from));
                end
            }
            other => other.len_utf8(),
        };
        before = rest.get(..end.min(rest.len())).and_then(|passed| passed.chars().last()).unwrap_or(c);
        rest = rest.get(end..).unwrap_or_default();
    }
    found
}
