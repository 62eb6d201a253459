//! A question as Cedar hears it: principal, action, target and context, built from typed values (never from Cedar
//! JSON, so an argument that looks like `{"__entity": …}` is data or a type error) and validated against the
//! schema. It owns the lowering of values; what the answer means is [`super::decide`]'s.
//!
//! The whole question is lowered and validated once for each call that is asked about. A set of policies is then asked
//! with the parts that it looks at and no others, so that its answer can be kept for what looks the same to it: Cedar
//! cannot have read what was not there.

use std::{collections::BTreeSet, sync::Arc};

use cedar_policy::{Authorizer, Context, Entities, PolicyId, PolicySet, Request, RestrictedExpression, Schema};
use serde_json::{Map, Value};

use crate::{
    artifact::{Recent, ToolName, ValueSchema, ValueType},
    facts::{Inventory, Role, Target},
    tool::{Tool, Toolbox},
};

use super::{
    Catalog, CatalogParts,
    decide::Question,
    schema::{Action, Lowered, is_address, names_a_target},
    sight::{Seen, Sight, Slice},
};

type Pairs = Vec<(String, RestrictedExpression)>;

type Arguments = Arc<Map<String, Value>>;

/// What a question is lowered on.
#[derive(Clone, Copy)]
pub(super) struct Grounds<'a> {
    pub(super) lowered: &'a Lowered,
    pub(super) toolbox: &'a Toolbox,
    pub(super) inventory: &'a Inventory,
    /// Stands in for what the manifest says of its server, where an example says otherwise.
    pub(super) simulated: Option<bool>,
    /// What was answered on the same grounds before.
    pub(super) kept: Option<&'a Answers>,
}

impl<'a> From<&'a Catalog> for Grounds<'a> {
    fn from(catalog: &'a Catalog) -> Self {
        let CatalogParts { toolbox, inventory, policies, .. } = &**catalog;
        Self { lowered: policies.lowered(), toolbox, inventory, simulated: None, kept: catalog.answers() }
    }
}

/// Answers that were given on one catalog, and the calls that fit its schema.
#[derive(Debug)]
pub(super) struct Answers {
    given: Recent<Sight, Arc<Answer>>,
    fit: Recent<(ToolName, Arguments), Arguments>,
}

/// The most bytes that arguments are kept with, by estimate.
const SMALL: usize = 4_096;

impl Answers {
    /// None yet; so many may be added before those that nobody asked for meanwhile are forgotten.
    pub(super) fn new(recent: usize) -> Self {
        Self { given: Recent::new(recent), fit: Recent::new(recent) }
    }
}

/// A question that fits the schema.
pub(super) struct Asked<'a> {
    grounds: Grounds<'a>,
    question: &'a Question<'a>,
    args: Arguments,
    target: &'a Target,
    action: &'a Action,
    entities: Arc<Entities>,
}

/// What a set of policies answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The ids of the policies that decided: the forbids that hold, else the permits that hold.
    pub(super) rules: Vec<String>,
    /// Policies that could not be evaluated, with the reason.
    pub(super) failed: Vec<(String, String)>,
}

impl<'a> Asked<'a> {
    /// Lowers the question; the error says what has no place in the schema.
    pub(super) fn new(grounds: Grounds<'a>, question: &'a Question<'a>, target: &'a Target) -> Result<Self, String> {
        let lowered = grounds.lowered;
        let action = lowered.actions.get(&question.tool.name);
        let action = action.ok_or_else(|| format!("`{}` is not a tool that policies know", question.tool.name))?;
        // Rules about an effect would be asked about another one, and match nothing without any error.
        if action.effect != question.tool.effect {
            return Err(format!("`{}` had another effect when the policies were loaded", question.tool.name));
        }
        let entities = action.entities_with(lowered, target)?;
        // Whether it fits is a matter of the tool and its arguments: of the rest each value has the type of its place.
        let call = (question.tool.name.clone(), Arc::new(question.args.clone()));
        let known = grounds.kept.and_then(|kept| kept.fit.get(&call));
        let fits = known.is_some();
        // What is kept of one call shares its arguments.
        let args = known.unwrap_or_else(|| Arc::clone(&call.1));
        let asked = Self { grounds, question, args, target, action, entities };
        if !fits {
            asked.whole()?;
            if let Some(kept) = grounds.kept.filter(|_| asked.is_small()) {
                kept.fit.keep(call, Arc::clone(&asked.args));
            }
        }
        Ok(asked)
    }

    /// The whole question as things are, validated against the schema.
    pub(super) fn whole(&self) -> Result<Request, String> {
        let sight = Sight::whole(self.question, (&self.target.name, &self.args));
        self.request(&sight, Some(&self.grounds.lowered.schema))
    }

    /// What a slice answers as things are, or as if more roles had approved too.
    pub(super) fn answer(&self, slice: &Slice, more: &BTreeSet<Role>) -> Result<Arc<Answer>, String> {
        let sight = slice.sight(self.question, (&self.target.name, &self.args), more);
        let kept = self.grounds.kept;
        if let Some(known) = kept.and_then(|kept| kept.given.get(&sight)) {
            return Ok(known);
        }
        let answer = Arc::new(self.ask(slice.set(), &self.request(&sight, None)?));
        if let Some(kept) = kept.filter(|_| self.is_small()) {
            kept.given.keep(sight, Arc::clone(&answer));
        }
        Ok(answer)
    }

    /// A request in which nothing is but what is seen.
    fn request(&self, sight: &Sight, schema: Option<&Schema>) -> Result<Request, String> {
        let lowered = self.grounds.lowered;
        let context = Context::from_pairs(context(self.grounds, self.question.tool, sight)?);
        let context = context.map_err(|error| error.to_string())?;
        let (principal, resource) = (lowered.agent(sight.agent), lowered.target(&sight.target));
        Request::new(principal, self.action.uid.clone(), resource, context, schema).map_err(|error| error.to_string())
    }

    /// What `policies` say to `request`.
    pub(super) fn ask(&self, policies: &PolicySet, request: &Request) -> Answer {
        let response = Authorizer::new().is_authorized(request, policies, &self.entities);
        let diagnostics = response.diagnostics();
        let text = |id: &PolicyId| AsRef::<str>::as_ref(id).to_owned();
        let mut rules: Vec<String> = diagnostics.reason().map(text).collect();
        rules.sort_unstable();
        let mut failed: Vec<(String, String)> = diagnostics
            .errors()
            .map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                    (text(error.policy_id()), error.inner().to_string())
                }
            })
            .collect();
        failed.sort_unstable();
        Answer { rules, failed }
    }

    fn is_small(&self) -> bool {
        self.args.iter().map(|(name, value)| size(name, value)).sum::<usize>() <= SMALL
    }
}

/// About how much memory a member takes, or an item.
fn size(name: &str, value: &Value) -> usize {
    let within = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size("", item)).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| size(name, value)).sum(),
    };
    128 + name.len() + within
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts<'a>(values: impl IntoIterator<Item = &'a String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(|value| text(value)))
}

/// The parts that are seen.
fn context(grounds: Grounds<'_>, tool: &Tool, sight: &Sight) -> Result<Pairs, String> {
    let args = &*sight.args;
    let mut beside = Beside::default();
    if sight.parts.iter().any(|part| matches!(part, Seen::Groups | Seen::Counts)) {
        for (name, schema) in &tool.args.properties {
            beside.add((grounds.inventory, tool), name, name, schema, args.get(name))?;
        }
    }
    let Beside { mut groups, mut counts } = beside;
    let bool = RestrictedExpression::new_bool;
    let lowered = |part: &Seen| -> Result<(String, RestrictedExpression), String> {
        let (name, value) = match part {
            Seen::Args => ("args", arguments(tool, args)?),
            Seen::Groups => ("groups", record(std::mem::take(&mut groups))?),
            Seen::Counts => ("counts", record(std::mem::take(&mut counts))?),
            Seen::Phase(phase) => ("phase", text(phase.as_str())),
            Seen::Stage(stage) => ("stage", RestrictedExpression::new_long((*stage).into())),
            Seen::OnContract(is) => ("on_contract", bool(*is)),
            Seen::UndoOf(grant) => ("undo_of", text(grant)),
            Seen::Recovery(is) => ("recovery", bool(*is)),
            Seen::WindowOpen(is) => ("window_open", bool(*is)),
            Seen::ApprovedBy(roles) => {
                let roles = roles.iter().map(|role| text(role.as_str()));
                ("approved_by", RestrictedExpression::new_set(roles))
            }
            Seen::Simulated => {
                let manifest = || grounds.toolbox.manifest_of(&tool.name);
                let says = || manifest().is_some_and(|manifest| manifest.simulated);
                ("simulated", bool(grounds.simulated.unwrap_or_else(says)))
            }
            Seen::Changes(changes) => {
                let numbers = [
                    ("targets", changes.targets),
                    ("production_targets", changes.production_targets),
                    ("elsewhere", changes.elsewhere),
                ];
                let long = |number: u32| RestrictedExpression::new_long(number.into());
                ("changes", record(numbers.map(|(name, number)| (name.to_owned(), long(number))).into())?)
            }
        };
        Ok((name.to_owned(), value))
    };
    sight.parts.iter().map(lowered).collect()
}

fn arguments(tool: &Tool, args: &Map<String, Value>) -> Result<RestrictedExpression, String> {
    if let Some(name) = args.keys().find(|name| !tool.args.properties.contains_key(*name)) {
        return Err(format!("`{}` has no argument `{name}`", tool.name));
    }
    let mut lowered = Pairs::new();
    for (name, schema) in &tool.args.properties {
        if let Some(value) = args.get(name) {
            lowered.push((name.clone(), lower(schema, value).map_err(|why| format!("argument `{name}`: {why}"))?));
        } else if tool.args.always_given(name) {
            return Err(format!("argument `{name}` is missing"));
        }
    }
    record(lowered)
}

fn record(pairs: Pairs) -> Result<RestrictedExpression, String> {
    RestrictedExpression::new_record(pairs).map_err(|error| error.to_string())
}

/// What stands beside the arguments in the context, with the members of an object under its name. It is there whether
/// or not the argument is given.
#[derive(Default)]
struct Beside {
    groups: Pairs,
    counts: Pairs,
}

impl Beside {
    fn add(
        &mut self,
        (inventory, tool): (&Inventory, &Tool),
        path: &str,
        name: &str,
        schema: &ValueSchema,
        value: Option<&Value>,
    ) -> Result<(), String> {
        if names_a_target(tool, path, schema) {
            self.groups.push((name.to_owned(), groups_of(inventory, value)));
        }
        if schema.kind == ValueType::Array {
            let count = value.and_then(Value::as_array).map_or(0, Vec::len);
            let count = i64::try_from(count).map_err(|_| format!("argument `{path}` has too many items"))?;
            self.counts.push((name.to_owned(), RestrictedExpression::new_long(count)));
        }
        let mut members = Self::default();
        for (member, of) in &schema.properties {
            let value = value.and_then(|value| value.get(member));
            members.add((inventory, tool), &format!("{path}.{member}"), member, of, value)?;
        }
        for (kept, found) in [(&mut self.groups, members.groups), (&mut self.counts, members.counts)] {
            if !found.is_empty() {
                kept.push((name.to_owned(), record(found)?));
            }
        }
        Ok(())
    }
}

fn groups_of(inventory: &Inventory, value: Option<&Value>) -> RestrictedExpression {
    let target = value.and_then(Value::as_str).and_then(|name| inventory.target(name));
    texts(target.iter().flat_map(|target| &target.groups))
}

fn lower(schema: &ValueSchema, value: &Value) -> Result<RestrictedExpression, String> {
    match (schema.kind, value) {
        (ValueType::String, Value::String(address)) if is_address(schema) => Ok(RestrictedExpression::new_ip(address)),
        (ValueType::String, Value::String(value)) => Ok(text(value)),
        (ValueType::Integer, Value::Number(number)) => {
            number.as_i64().map(RestrictedExpression::new_long).ok_or_else(|| format!("{number} is not a whole number"))
        }
        (ValueType::Boolean, Value::Bool(value)) => Ok(RestrictedExpression::new_bool(*value)),
        (ValueType::Array, Value::Array(items)) => {
            let schema = schema.items.as_deref().ok_or("this list has no item schema")?;
            let items: Vec<_> = items.iter().map(|item| lower(schema, item)).collect::<Result<_, _>>()?;
            Ok(RestrictedExpression::new_set(items))
        }
        (ValueType::Object, Value::Object(members)) => {
            let member = |(name, value): (&String, &Value)| {
                let schema = schema.properties.get(name).ok_or_else(|| format!("it has no member `{name}`"))?;
                Ok((name.clone(), lower(schema, value)?))
            };
            record(members.iter().map(member).collect::<Result<_, String>>()?)
        }
        (_, other) => Err(format!("{other} is not of the type that its manifest says")),
    }
}
