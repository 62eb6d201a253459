//! What is wrong with a drafted design under its spec: tools and arguments outside the grants, steps that cannot be
//! ordered, results that are read before they are there, checks that nothing makes true. It reports all at once;
//! what runs is decided call by call, whatever was found here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use crate::{
    artifact::{
        Arg, Boundary, Component, Decision, DesignDraft, Expression, Fill, ForEach, Phase, Scope, Spec, SpecError,
        Step, StepId, ToolName, Until, ValueSchema, fill, plain_words, too_much_to_show,
    },
    facts::Role,
    tool::{Effect, Tool},
};

use super::{Catalog, CompiledBoundary, check_flow::inside, nearest};

/// What is wrong with a drafted design under its spec.
pub fn check_design(draft: &DesignDraft, spec: &Spec, catalog: &Catalog) -> Vec<SpecError> {
    let boundary = match catalog.boundary(spec) {
        Ok(boundary) => boundary,
        Err(wrong) => {
            let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            let message = format!("the spec's boundary cannot be used: {}", wrong.join("; "));
            return vec![SpecError::new("", message)];
        }
    };
    let mut review = Review { draft, spec, catalog, boundary, errors: too_much_to_show(draft) };
    review.reads();
    review.steps();
    review.order();
    review.acceptance();
    review.known_now();
    review.errors
}

struct Review<'a> {
    draft: &'a DesignDraft,
    spec: &'a Spec,
    catalog: &'a Catalog,
    boundary: Arc<CompiledBoundary>,
    errors: Vec<SpecError>,
}

/// Under which sides of the boundary a call may stand.
#[derive(Clone, Copy)]
pub(super) struct Sides {
    pub(super) discover: bool,
    pub(super) build: bool,
}

impl<'a> Review<'a> {
    fn say(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(SpecError::new(path, message));
    }

    fn reads(&mut self) {
        let mut ids = BTreeSet::new();
        for (at, read) in self.draft.discover.iter().enumerate() {
            let path = format!("discover.{at}");
            if !ids.insert(&read.id) {
                self.say(format!("{path}.id"), format!("`{}` stands twice", read.id));
            }
            let sides = Sides { discover: true, build: false };
            if let Some(tool) = self.granted(&format!("{path}.tool"), &read.tool, sides) {
                self.args(&path, tool, &read.args, sides, Phase::Feasibility);
            }
            self.for_each(&path, read.for_each.as_ref());
        }
        for (at, condition) in self.draft.feasible_when.iter().enumerate() {
            for (cited, id) in condition.cites.iter().enumerate().filter(|(_, id)| !ids.contains(id)) {
                self.say(format!("feasible_when.{at}.cites.{cited}"), format!("there is no read `{id}`"));
            }
        }
    }

    fn steps(&mut self) {
        let mut ids = BTreeSet::new();
        for (at, step) in self.draft.steps.iter().enumerate() {
            let path = format!("steps.{at}");
            if !ids.insert(&step.id) {
                self.say(format!("{path}.id"), format!("`{}` stands twice", step.id));
            }
            let sides = Sides { discover: true, build: true };
            if let Some(tool) = self.granted(&format!("{path}.tool"), &step.tool, sides) {
                self.args(&path, tool, &step.args, sides, Phase::Build);
                if step.until.is_some() && tool.effect != Effect::Read {
                    self.say(
                        format!("{path}.until"),
                        "only a read may be repeated; use `verify` on a step that writes",
                    );
                }
            }
            if let Some(until) = &step.until {
                let (most, longest) = (Until::MOST_ATTEMPTS, Until::LONGEST_PAUSE);
                if until.attempts == 0 {
                    self.say(format!("{path}.until.attempts"), "0 attempts never read anything");
                }
                if until.attempts > most {
                    self.say(format!("{path}.until.attempts"), format!("it is tried at most {most} times"));
                }
                if until.every_seconds > longest {
                    let message = format!("nobody waits longer than {longest} seconds between two tries");
                    self.say(format!("{path}.until.every_seconds"), message);
                }
            }
            if let Some(verify) = &step.verify {
                let sides = Sides { discover: true, build: false };
                if let Some(tool) = self.granted(&format!("{path}.verify.tool"), &verify.tool, sides) {
                    self.args(&format!("{path}.verify"), tool, &verify.args, sides, Phase::Build);
                    if self.proves_nothing(&verify.expect, tool) {
                        let message = "it holds whatever is read, so it proves nothing; ask for what the step leaves";
                        self.say(format!("{path}.verify.expect"), message);
                    }
                }
            }
            let roles = [Role::Approver, Role::Owner].map(Role::as_str);
            if let Some(role) = step.approval.as_deref().filter(|role| !roles.contains(role)) {
                self.say(
                    format!("{path}.approval"),
                    format!("no one can approve as `{role}`; write one of {}", roles.join(", ")),
                );
            }
            self.for_each(&path, step.for_each.as_ref());
        }
    }

    /// Whether an expectation does not look at what was read, or is satisfied by an answer that shows nothing.
    fn proves_nothing(&self, expect: &Expression, tool: &Tool) -> bool {
        let (inputs, empty) = (self.spec.inputs_value(), Value::Object(tool.empty.clone().unwrap_or_default()));
        let scope = Scope::new().with("inputs", &inputs).with("result", &empty);
        !expect.variables().contains("result") || expect.holds(&scope).unwrap_or(false)
    }

    fn for_each(&mut self, path: &str, for_each: Option<&ForEach>) {
        if for_each.is_some_and(|each| each.at_most == 0) {
            self.say(format!("{path}.for_each.at_most"), "0 items would never run; write the most that may be");
        }
    }

    /// The tool, if the spec grants it on one of these sides; a read may stand on either, a write under `build`.
    fn granted(&mut self, path: &str, name: &ToolName, sides: Sides) -> Option<&'a Tool> {
        let toolbox = &self.catalog.toolbox;
        let Some(tool) = toolbox.tool(name) else {
            let hint = nearest(name.as_str(), toolbox.tools().map(|tool| tool.name.as_str()));
            self.say(path, format!("there is no tool `{name}`{hint}"));
            return None;
        };
        let Boundary { discover, build } = &self.spec.boundary;
        let reads = tool.effect == Effect::Read;
        if !sides.build && !reads {
            self.say(path, format!("`{name}` changes things; only a reading tool can stand here"));
            return None;
        }
        let granted = (sides.discover && reads && discover.iter().any(|grant| grant.tool == *name))
            || (sides.build && build.iter().any(|grant| grant.tool == *name));
        if !granted {
            let side = if reads { "boundary.discover" } else { "boundary.build" };
            let message = format!(
                "the spec does not grant `{name}` under `{side}`; leave it out, or widen the spec and go \
                 through gate 1 again"
            );
            self.say(path, message);
            return None;
        }
        Some(tool)
    }

    fn args(&mut self, path: &str, tool: &'a Tool, args: &BTreeMap<String, Arg>, sides: Sides, phase: Phase) {
        let before = self.errors.len();
        for (name, arg) in args {
            let path = format!("{path}.with.{name}");
            let Some(schema) = tool.args.properties.get(name) else {
                let hint = nearest(name, tool.args.properties.keys().map(String::as_str));
                self.say(path, format!("`{}` has no argument `{name}`{hint}", tool.name));
                continue;
            };
            match arg {
                Arg::Literal(value) if has_hole(value) => {
                    let message = "a hole stands for a whole argument; work the object out in one, such as \
                                   `{cel: '{\"mtu\": item.mtu}'}`";
                    self.say(path, message);
                }
                Arg::Literal(value) => {
                    if let Err(why) = schema.normalise(value) {
                        self.say(path, why);
                    }
                }
                Arg::Fill(fill) => self.fill(&path, tool, schema, (name, fill), sides),
                Arg::Hole(hole) => {
                    if let Some(constraint) = &hole.constraint {
                        if let Some(problem) = constraint.problem() {
                            self.say(format!("{path}.where"), problem);
                        } else if constraint.in_group.is_some() {
                            let message = "only a grant of the spec knows groups; name the values here";
                            self.say(format!("{path}.where.in_group"), message);
                        }
                    }
                }
            }
        }
        for name in tool.args.required.iter().filter(|name| !args.contains_key(*name)) {
            self.say(format!("{path}.with"), format!("`{}` needs the argument `{name}`", tool.name));
        }
        let literal: Option<Map<String, Value>> =
            args.iter().map(|(name, arg)| Some((name.clone(), arg.literal()?.clone()))).collect();
        if let Some(literal) = literal.filter(|_| self.errors.len() == before)
            && let Err(message) = inside(self.catalog, &self.boundary, tool, &literal, sides, phase)
        {
            self.say(format!("{path}.with"), message);
        }
    }

    /// A hole that the build agent fills: of a step's own call, and never what names its target.
    fn fill(&mut self, path: &str, tool: &Tool, schema: &ValueSchema, (name, fill): (&str, &Fill), sides: Sides) {
        if !sides.build {
            self.say(path, "the build agent fills only the arguments of a step's own call; write the value or a `cel`");
        } else if *name == *tool.target {
            self.say(path, "it names the target, which gate 2 shows, so nobody chooses it after; write it or a `cel`");
        } else if let Some((part, problem)) = fill.problem(schema) {
            self.say(format!("{path}.{part}"), problem);
        }
    }

    fn order(&mut self) {
        let steps: BTreeMap<&StepId, &'a Step> = self.draft.steps.iter().map(|step| (&step.id, step)).collect();
        for (at, step) in self.draft.steps.iter().enumerate() {
            for (needed, id) in step.needs.iter().enumerate().filter(|(_, id)| !steps.contains_key(id)) {
                let hint = nearest(id.as_str(), steps.keys().map(|id| id.as_str()));
                self.say(format!("steps.{at}.needs.{needed}"), format!("there is no step `{id}`{hint}"));
            }
        }
        if let Some(cycle) = cycle(&steps, &self.draft.steps) {
            let at = self.draft.steps.iter().position(|step| cycle.first() == Some(&&step.id)).unwrap_or_default();
            let names: Vec<&str> = cycle.iter().map(|id| id.as_str()).collect();
            let message = format!("the steps wait for each other and none could start: {}", names.join(" needs "));
            self.say(format!("steps.{at}.needs"), message);
        }
        for (at, step) in self.draft.steps.iter().enumerate() {
            self.results(&format!("steps.{at}"), step, &steps);
        }
    }

    /// A step that reads another's result must come after it.
    fn results(&mut self, path: &str, step: &Step, steps: &BTreeMap<&StepId, &Step>) {
        let after = all_needed(step, steps);
        let mut read = BTreeSet::new();
        for expression in step.all_expressions() {
            if let Some(why) = expression.unknown() {
                self.say(path, why);
            }
            match expression.members_of("steps") {
                Some(names) => read.extend(names),
                None => {
                    let message =
                        format!("`{expression}` must name the step that it reads, as in `steps.create.result`");
                    self.say(path, message);
                }
            }
        }
        for name in read {
            if !steps.keys().any(|id| id.as_str() == name) {
                let hint = nearest(&name, steps.keys().map(|id| id.as_str()));
                self.say(path, format!("it reads `steps.{name}` and there is no step `{name}`{hint}"));
            } else if name == step.id.as_str() {
                self.say(path, "it reads its own result before there is one");
            } else if !after.contains(name.as_str()) {
                self.say(format!("{path}.needs"), format!("it reads `steps.{name}`, so it must need `{name}`"));
            }
        }
    }

    /// What reads only the inputs is evaluated now: an input that is missing would stop the draft after gate 1.
    fn known_now(&mut self) {
        let (draft, inputs) = (self.draft, self.spec.inputs_value());
        let scope = &Scope::new().with("inputs", &inputs);
        for (what, values) in [("decisions", &draft.decisions), ("components", &draft.components)] {
            for (at, value) in values.iter().enumerate() {
                let path = format!("{what}.{at}");
                match fill(value, &["inputs"], scope) {
                    Err(error) if error.0.path.is_empty() => self.say(path, error.0.message),
                    Err(error) => self.say(format!("{path}.{}", error.0.path), error.0.message),
                    Ok(value) if has_hole(&value) => {}
                    Ok(value) => {
                        let wrong = match what {
                            "decisions" => serde_json::from_value::<Decision>(value).err(),
                            _ => serde_json::from_value::<Component>(value).err(),
                        };
                        if let Some(wrong) = wrong {
                            self.say(path, plain_words(&wrong.to_string()));
                        }
                    }
                }
            }
        }
        for (at, read) in draft.discover.iter().enumerate() {
            let path = format!("discover.{at}");
            self.items_now(&path, read.for_each.as_ref(), scope);
            self.args_now(&path, &read.tool, &read.args, scope);
        }
        for (at, step) in draft.steps.iter().enumerate() {
            let path = format!("steps.{at}");
            let when = step.when.as_ref().map(|when| known_now(when).then(|| when.holds(scope)));
            if let Some(Some(Err(error))) = &when {
                self.say(format!("{path}.when"), error.to_string());
            }
            // What a step that does not run would have read need not be there.
            if !matches!(when, None | Some(Some(Ok(true)))) {
                continue;
            }
            self.items_now(&path, step.for_each.as_ref(), scope);
            self.args_now(&path, &step.tool, &step.args, scope);
            if let Some(verify) = &step.verify {
                self.args_now(&format!("{path}.verify"), &verify.tool, &verify.args, scope);
            }
        }
    }

    fn items_now(&mut self, path: &str, for_each: Option<&ForEach>, scope: &Scope<'_>) {
        let Some(each) = for_each.filter(|each| known_now(&each.items)) else { return };
        let path = format!("{path}.for_each.items");
        match each.items.evaluate(scope) {
            Err(error) => self.say(path, error.to_string()),
            Ok(Value::Array(_)) => {}
            Ok(other) => self.say(path, format!("`{}` gives {other}; a list is needed", each.items)),
        }
    }

    fn args_now(&mut self, path: &str, tool: &ToolName, args: &BTreeMap<String, Arg>, scope: &Scope<'_>) {
        let schemas = self.catalog.toolbox.tool(tool).map(|tool| &tool.args.properties);
        for (name, arg) in args {
            let Arg::Hole(hole) = arg else { continue };
            if !known_now(&hole.cel) {
                continue;
            }
            let path = format!("{path}.with.{name}");
            match hole.cel.evaluate(scope) {
                Err(error) => self.say(path, error.to_string()),
                Ok(value) => {
                    let schema = schemas.and_then(|schemas| schemas.get(name));
                    if let Some(Err(why)) = schema.map(|schema| schema.normalise(&value)) {
                        self.say(path, why);
                    }
                }
            }
        }
    }

    fn acceptance(&mut self) {
        let steps: BTreeSet<&StepId> = self.draft.steps.iter().map(|step| &step.id).collect();
        for (check, made_by) in &self.draft.acceptance {
            if !self.spec.acceptance.iter().any(|known| known.id == *check) {
                let hint = nearest(check, self.spec.acceptance.iter().map(|known| known.id.as_str()));
                self.say(format!("acceptance.{check}"), format!("the spec has no acceptance check `{check}`{hint}"));
            }
            for (at, id) in made_by.iter().enumerate().filter(|(_, id)| !steps.contains(id)) {
                let hint = nearest(id.as_str(), steps.iter().map(|id| id.as_str()));
                self.say(format!("acceptance.{check}.{at}"), format!("there is no step `{id}`{hint}"));
            }
        }
        for check in self.spec.acceptance.iter().filter(|check| !check.invariant) {
            if self.draft.acceptance.get(&check.id).is_none_or(Vec::is_empty) {
                let message = format!("no step makes the check `{}` true; name the steps that do", check.id);
                self.say(format!("acceptance.{}", check.id), message);
            }
        }
    }
}

/// What is known only once something was read or run.
const LATER: [&str; 6] = ["facts", "item", "steps", "result", "args", "before"];

/// Whether an expression can be evaluated as soon as there are inputs.
fn known_now(expression: &Expression) -> bool {
    let variables = expression.variables();
    LATER.iter().all(|name| !variables.contains(*name))
}

fn has_hole(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.contains_key("cel") || map.values().any(has_hole),
        Value::Array(items) => items.iter().any(has_hole),
        _ => false,
    }
}

/// The steps that must be done before this one, directly or through others.
fn all_needed<'a>(step: &'a Step, steps: &BTreeMap<&StepId, &'a Step>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&StepId> = step.needs.iter().collect();
    while let Some(id) = open.pop() {
        if found.insert(id.as_str()) {
            open.extend(steps.get(id).iter().flat_map(|step| &step.needs));
        }
    }
    found
}

/// Steps that need each other, the first repeated at the end.
fn cycle<'a>(steps: &BTreeMap<&'a StepId, &'a Step>, order: &'a [Step]) -> Option<Vec<&'a StepId>> {
    // What can be done is taken out until nothing more can; what is left waits for a cycle, or is part of one.
    let mut left: BTreeSet<&StepId> = steps.keys().copied().collect();
    loop {
        let can = |id: &&StepId| steps.get(id).is_none_or(|step| step.needs.iter().all(|need| !left.contains(need)));
        let done: Vec<&StepId> = left.iter().copied().filter(can).collect();
        if done.is_empty() {
            break;
        }
        left.retain(|id| !done.contains(id));
    }
    let mut path: Vec<&StepId> = Vec::new();
    let mut next = order.iter().map(|step| &step.id).find(|id| left.contains(id));
    while let Some(id) = next {
        if let Some(start) = path.iter().position(|passed| *passed == id) {
            let mut cycle = path.split_off(start);
            cycle.push(id);
            return Some(cycle);
        }
        path.push(id);
        next = steps.get(id).and_then(|step| step.needs.iter().find(|need| left.contains(need)));
    }
    None
}
