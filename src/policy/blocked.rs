//! Grants that guardrails never let through: what a spec promises and nobody will ever get. Calls inside a grant are
//! tried in the most favourable circumstances; it is a finding where all of them are forbidden, and no proof that
//! a call which was not tried would be too.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Constraint, Grant, Phase, Spec, SpecError, ValueSchema, ValueType},
    facts::{Inventory, Role},
    tool::{Tool, put_at},
};

use super::{
    Catalog, CompiledBoundary,
    decide::{Changes, Layer, LayerAnswer, Question, Verdict, each_layer},
    example_call::sample,
};

/// At most so many values of one argument are tried.
const TRIED: usize = 50;

/// The grants of a spec of which no call that was tried is let through, with the guardrails that forbid them.
pub fn blocked_grants(spec: &Spec, catalog: &Catalog) -> Vec<SpecError> {
    let Ok(boundary) = catalog.boundary(spec) else { return Vec::new() };
    let sides = [
        ("discover", &spec.boundary.discover, Agent::Verifier, Phase::Feasibility),
        ("build", &spec.boundary.build, Agent::Build, Phase::Build),
    ];
    let mut found = Vec::new();
    for (side, grants, agent, phase) in sides {
        for (at, grant) in grants.iter().enumerate() {
            let Some(tool) = catalog.toolbox.tool(&grant.tool) else { continue };
            if let Some((tried, rules)) = forbidden(catalog, &boundary, grant, tool, (agent, phase)) {
                let rules = rules.into_iter().map(|rule| format!("`{rule}`")).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "guardrails let none of {tried} tried calls inside this grant through, whoever approves them: {rules}; \
                     take the grant out, narrow it to other targets, or change the rule"
                );
                found.push(SpecError::new(format!("boundary.{side}.{at}"), message));
            }
        }
    }
    found
}

/// How many calls were tried and what forbids them, where all of them are forbidden.
fn forbidden(
    catalog: &Catalog,
    boundary: &CompiledBoundary,
    grant: &Grant,
    tool: &Tool,
    (agent, phase): (Agent, Phase),
) -> Option<(usize, BTreeSet<String>)> {
    let approved_by: BTreeSet<Role> = Role::ALL.into();
    let (mut tried, mut rules) = (0, BTreeSet::new());
    for args in calls(grant, tool, &catalog.inventory) {
        let Ok(args) = catalog.toolbox.check_args(tool, &args) else { continue };
        let question = Question {
            agent,
            phase,
            stage: 1,
            tool,
            args: &args,
            on_contract: true,
            undo_of: None,
            recovery: false,
            window_open: true,
            approved_by: &approved_by,
            changes: Changes::default(),
        };
        let (layers, _) = each_layer(catalog, Some(boundary), &question);
        let of = |layer: Layer| layers.iter().find(|answer| answer.layer == layer);
        let says = |answer: Option<&LayerAnswer>, verdict| answer.and_then(|answer| answer.verdict) == Some(verdict);
        if !says(of(Layer::Boundary), Verdict::Allow) {
            continue;
        }
        tried += 1;
        let guardrails = of(Layer::Guardrails);
        if !says(guardrails, Verdict::Deny) {
            return None;
        }
        rules.extend(guardrails.into_iter().flat_map(|answer| answer.rules.iter().map(|spoke| spoke.rule.clone())));
    }
    (tried > 0).then_some((tried, rules))
}

/// Calls that a grant may let through: for each argument every value that it names, the others at their first.
fn calls(grant: &Grant, tool: &Tool, inventory: &Inventory) -> Vec<Map<String, Value>> {
    let values: Vec<(&String, Vec<Value>)> = grant
        .constraints
        .iter()
        .filter_map(|(path, constraint)| {
            let schema = tool.args.schema_at(path)?;
            Some((path, values(constraint, schema, *path == tool.target, inventory)))
        })
        .collect();
    let mut first = Map::new();
    for (path, values) in &values {
        values.first().into_iter().for_each(|value| put_at(&mut first, path, value.clone()));
    }
    let mut calls = vec![first.clone()];
    for (path, values) in values {
        for value in values.into_iter().skip(1) {
            let mut args = first.clone();
            put_at(&mut args, path, value);
            calls.push(args);
        }
    }
    calls
}

fn values(constraint: &Constraint, schema: &ValueSchema, target: bool, inventory: &Inventory) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    values.extend(constraint.is.clone());
    values.extend(constraint.one_of.iter().flatten().cloned());
    if let Some(group) = &constraint.in_group {
        values.extend(inventory.group(group).map(|target| target.name.clone().into()));
    } else if target {
        values.extend(inventory.targets.iter().map(|target| target.name.clone().into()));
    }
    values.extend(constraint.min.or(constraint.max).map(Value::from));
    values.extend(constraint.max.map(Value::from));
    values.extend(
        constraint.in_range.iter().flat_map(|block| [block.addr().to_string(), block.to_string()]).map(Value::from),
    );
    values.extend(constraint.like.as_ref().map(|pattern| Value::from(pattern.replace('*', "a"))));
    values.extend(constraint.subset_of.clone().map(Value::Array));
    if schema.kind == ValueType::Array {
        values.push(Value::Array(Vec::new()));
    }
    values.push(sample(schema, 0));
    values.truncate(TRIED);
    values
}
