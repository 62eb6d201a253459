//! What is wrong with a spec that only tools, inventory and policies can show: grants that do not compile, checks
//! that could not be read or that prove nothing, writes that could not be undone or read back. It reports all at
//! once and decides nothing.

use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Check, Grant, Phase, Rollback, Scope, Spec, SpecError},
    tool::{Effect, Tool},
};

use super::{
    Catalog, CompiledBoundary,
    decide::{Changes, Question, Ruling, Verdict, rule},
    nearest,
};

/// Everything that is wrong with a spec, whoever wrote it.
pub fn spec_problems(spec: &Spec, catalog: &Catalog) -> Vec<SpecError> {
    catalog.wrong_with(spec, || {
        let problems = spec.problems();
        if problems.is_empty() { check_spec(spec, catalog) } else { problems }
    })
}

/// What is wrong with a spec beyond what [`Spec::problems`] says.
pub fn check_spec(spec: &Spec, catalog: &Catalog) -> Vec<SpecError> {
    let mut errors = Vec::new();
    let boundary = catalog.boundary(spec).map_err(|wrong| errors.extend(wrong)).ok();
    check_writes(spec, catalog, &mut errors);
    for (side, grants) in [("discover", &spec.boundary.discover), ("build", &spec.boundary.build)] {
        for (at, grant) in grants.iter().enumerate() {
            check_kinds(grant, catalog, &format!("boundary.{side}.{at}"), &mut errors);
        }
    }
    for (at, check) in spec.acceptance.iter().enumerate() {
        let path = format!("acceptance.{at}");
        check_acceptance(spec, catalog, boundary.as_deref(), check, &path, &mut errors);
    }
    if !errors.is_empty() {
        let known = spec.problems();
        errors.retain(|error| !known.contains(error));
    }
    errors
}

/// The most targets of a kind that are named.
const MOST_KNOWN: usize = 8;

/// An argument that is named as a kind of the inventory (`switch`, `zone`) takes targets of that kind.
fn check_kinds(grant: &Grant, catalog: &Catalog, path: &str, errors: &mut Vec<SpecError>) {
    let Some(tool) = catalog.toolbox.tool(&grant.tool) else { return };
    let targets = &catalog.inventory.targets;
    let kind = &tool.target;
    let known: Vec<&str> = targets.iter().filter(|it| it.is == *kind).map(|it| it.name.as_str()).collect();
    let Some(constraint) = grant.constraints.get(kind).filter(|_| !known.is_empty()) else { return };
    let named = constraint.is.iter().chain(constraint.one_of.iter().flatten()).filter_map(Value::as_str);
    for name in named {
        let Some(entry) = catalog.inventory.target(name).filter(|entry| entry.is != *kind) else { continue };
        let first: Vec<String> = known.iter().take(MOST_KNOWN).map(|name| format!("`{name}`")).collect();
        let more =
            if known.len() > MOST_KNOWN { format!(" and {} more", known.len() - MOST_KNOWN) } else { String::new() };
        let message = format!(
            "`{name}` is a {} and `{}` takes a {kind}; the inventory has {}{more}",
            entry.is,
            tool.name,
            first.join(", ")
        );
        errors.push(SpecError::new(format!("{path}.where.{kind}"), message));
    }
}

fn check_writes(spec: &Spec, catalog: &Catalog, errors: &mut Vec<SpecError>) {
    for (at, grant) in spec.boundary.build.iter().enumerate() {
        let Some(tool) = catalog.toolbox.tool(&grant.tool) else { continue };
        let mut say = |message: String| errors.push(SpecError::new(format!("boundary.build.{at}.tool"), message));
        if spec.rollback == Rollback::Required && tool.irreversible() {
            say(format!(
                "`{}` cannot be undone and the spec says `rollback: required`; take the grant out or say `rollback: \
                 best_effort`",
                tool.name
            ));
        }
        if let Some(state) = &tool.state
            && spec.boundary.discover.iter().all(|grant| grant.tool != state.tool)
        {
            say(format!(
                "its before-state could not be read back; grant `{}` under `boundary.discover` too",
                state.tool
            ));
        }
    }
}

fn check_acceptance(
    spec: &Spec,
    catalog: &Catalog,
    boundary: Option<&CompiledBoundary>,
    check: &Check,
    path: &str,
    errors: &mut Vec<SpecError>,
) {
    let mut say = |part: &str, message: String| errors.push(SpecError::new(format!("{path}.{part}"), message));
    let Some(tool) = catalog.toolbox.tool(&check.check.tool) else {
        let hint = nearest(check.check.tool.as_str(), catalog.toolbox.tools().map(|tool| tool.name.as_str()));
        return say("check.tool", format!("there is no tool `{}`{hint}", check.check.tool));
    };
    if tool.effect != Effect::Read {
        return say("check.tool", format!("`{}` changes things; a check may only read", tool.name));
    }
    let Some(empty) = &tool.empty else {
        let message = format!(
            "the manifest of `{}` does not say what an empty answer looks like (`empty`), so a check over it could \
             pass on nothing",
            tool.name
        );
        return say("check.tool", message);
    };
    let members: Vec<&str> = empty.keys().chain(tool.args.properties.keys()).map(String::as_str).collect();
    let read_of = check.expect.members_of("result").unwrap_or_default();
    if let Some(name) = read_of.iter().find(|name| !members.contains(&name.as_str())) {
        let mut known: Vec<&str> = Vec::new();
        members.into_iter().for_each(|member| {
            if !known.contains(&member) {
                known.push(member)
            }
        });
        let message = format!("an answer of {} has no `{name}`; it has {}", tool.name, known.join(", "));
        return say("expect", message);
    }
    let inputs = spec.inputs_value();
    for item in check.items() {
        let here = |message: String| if check.for_each.is_some() { format!("for {item}: {message}") } else { message };
        let scope = Scope::new().with("inputs", &inputs).with("item", &item);
        let args = check.check.fill(&scope).map_err(|error| error.to_string());
        let args = args.and_then(|args| catalog.toolbox.check_args(tool, &args).map_err(|error| error.to_string()));
        let args = match args {
            Ok(args) => args,
            Err(message) => return say("check", here(message)),
        };
        if let Some(ruling) = boundary.map(|boundary| read(catalog, boundary, tool, &args))
            && ruling.verdict != Verdict::Allow
        {
            let reasons: Vec<String> = ruling.spoke.into_iter().map(|spoke| spoke.reason).collect();
            return say("check", here(format!("the verifier could not read it: {}", reasons.join("; "))));
        }
        if satisfied_by_nothing(check, &scope, &args, empty) {
            let message = "an empty answer would satisfy it, so it proves nothing; also ask for something that is \
                           there, such as `size(…) > 0`";
            return say("expect", here(message.to_owned()));
        }
    }
}

/// What would be decided about the verifier's read before anything is built.
fn read(catalog: &Catalog, boundary: &CompiledBoundary, tool: &Tool, args: &Map<String, Value>) -> Ruling {
    let question = Question {
        agent: Agent::Verifier,
        phase: Phase::Feasibility,
        stage: 1,
        tool,
        args,
        on_contract: false,
        undo_of: None,
        recovery: false,
        window_open: false,
        approved_by: &Default::default(),
        changes: Changes::default(),
    };
    rule(catalog, boundary, &question)
}

/// Whether the check holds over an answer that shows nothing, with or without the arguments echoed in it. What
/// cannot be evaluated over nothing is not satisfied by it.
fn satisfied_by_nothing(
    check: &Check,
    scope: &Scope<'_>,
    args: &Map<String, Value>,
    empty: &Map<String, Value>,
) -> bool {
    let echoed: Map<String, Value> = args.clone().into_iter().chain(empty.clone()).collect();
    [echoed, empty.clone()]
        .into_iter()
        .map(Value::Object)
        .any(|result| check.expect.holds(&scope.clone().with("result", &result)).unwrap_or(false))
}
