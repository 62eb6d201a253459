//! A question as Cedar hears it: principal, action, target and context, built from typed values (never from Cedar
//! JSON, so an argument that looks like `{"__entity": …}` is data or a type error) and validated against the
//! schema. It owns the lowering of values; what the answer means is [`super::decide`]'s.

use std::{collections::BTreeSet, sync::Arc};

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicyId, PolicySet, Request, RestrictedExpression};
use serde_json::Value;

use crate::{
    artifact::{ValueSchema, ValueType},
    facts::{Inventory, Role, Target},
    tool::{Tool, Toolbox},
};

use super::{
    Catalog, CatalogParts,
    decide::Question,
    schema::{Lowered, is_address, names_a_target},
};

type Pairs = Vec<(String, RestrictedExpression)>;

/// What a question is lowered on.
#[derive(Clone, Copy)]
pub(super) struct Grounds<'a> {
    pub(super) lowered: &'a Lowered,
    pub(super) toolbox: &'a Toolbox,
    pub(super) inventory: &'a Inventory,
    /// Stands in for what the manifest says of its server, where an example says otherwise.
    pub(super) simulated: Option<bool>,
}

impl<'a> From<&'a Catalog> for Grounds<'a> {
    fn from(catalog: &'a Catalog) -> Self {
        let CatalogParts { toolbox, inventory, policies, .. } = &**catalog;
        Self { lowered: policies.lowered(), toolbox, inventory, simulated: None }
    }
}

/// A question whose parts are lowered once and asked several times.
pub(super) struct Asked<'a> {
    lowered: &'a Lowered,
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    entities: Arc<Entities>,
    /// The context but for `approved_by`.
    context: Pairs,
    approved_by: &'a BTreeSet<Role>,
}

/// What a set of policies answered.
pub(super) struct Answer {
    /// The ids of the policies that decided: the forbids that hold, else the permits that hold.
    pub(super) rules: Vec<String>,
    /// Policies that could not be evaluated, with the reason.
    pub(super) failed: Vec<(String, String)>,
}

impl<'a> Asked<'a> {
    /// Lowers the question; the error says what has no place in the schema.
    pub(super) fn new(grounds: Grounds<'a>, question: &Question<'a>, target: &Target) -> Result<Self, String> {
        let lowered = grounds.lowered;
        let action = lowered.actions.get(&question.tool.name);
        let action = action.ok_or_else(|| format!("`{}` is not a tool that policies know", question.tool.name))?;
        // Rules about an effect would be asked about another one, and match nothing without any error.
        if action.effect != question.tool.effect {
            return Err(format!("`{}` had another effect when the policies were loaded", question.tool.name));
        }
        let resource = lowered.target(&target.name);
        let entities = action.entities_with(lowered, target)?;
        Ok(Self {
            lowered,
            principal: lowered.agent(question.agent),
            action: action.uid.clone(),
            resource,
            entities,
            context: context(grounds, question)?,
            approved_by: question.approved_by,
        })
    }

    /// The question as things are.
    pub(super) fn as_it_is(&self) -> Result<Request, String> {
        self.request(&BTreeSet::new())
    }

    /// The question as if these roles had approved too.
    pub(super) fn request(&self, more: &BTreeSet<Role>) -> Result<Request, String> {
        let approved = |role: &Role| self.approved_by.contains(role) || more.contains(role);
        // An owner has every role, so what an owner approved is approved in every role.
        let owner = approved(&Role::Owner);
        let roles = Role::ALL.into_iter().filter(|role| owner || approved(role));
        let roles = RestrictedExpression::new_set(roles.map(|role| text(role.as_str())));
        let pairs = self.context.iter().cloned().chain([("approved_by".to_owned(), roles)]);
        let context = Context::from_pairs(pairs).map_err(|error| error.to_string())?;
        let (principal, action) = (self.principal.clone(), self.action.clone());
        Request::new(principal, action, self.resource.clone(), context, Some(&self.lowered.schema))
            .map_err(|error| error.to_string())
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
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts<'a>(values: impl IntoIterator<Item = &'a String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(|value| text(value)))
}

fn context(grounds: Grounds<'_>, question: &Question<'_>) -> Result<Pairs, String> {
    let (mut args, mut beside) = (Pairs::new(), Beside::default());
    let tool = question.tool;
    if let Some(name) = question.args.keys().find(|name| !tool.args.properties.contains_key(*name)) {
        return Err(format!("`{}` has no argument `{name}`", tool.name));
    }
    for (name, schema) in &tool.args.properties {
        let value = question.args.get(name);
        if let Some(value) = value {
            args.push((name.clone(), lower(schema, value).map_err(|why| format!("argument `{name}`: {why}"))?));
        } else if tool.args.always_given(name) {
            return Err(format!("argument `{name}` is missing"));
        }
        beside.add((grounds.inventory, tool), name, name, schema, value)?;
    }
    let Beside { groups, counts } = beside;
    let manifest = || grounds.toolbox.manifest_of(&tool.name);
    let simulated = grounds.simulated.unwrap_or_else(|| manifest().is_some_and(|manifest| manifest.simulated));
    let changes = question.changes;
    let long = |number: u32| RestrictedExpression::new_long(number.into());
    let changes = [
        ("targets", changes.targets),
        ("production_targets", changes.production_targets),
        ("elsewhere", changes.elsewhere),
    ];
    let changes = changes.map(|(name, number)| (name.to_owned(), long(number)));
    let bool = RestrictedExpression::new_bool;
    Ok([
        ("args", record(args)?),
        ("groups", record(groups)?),
        ("counts", record(counts)?),
        ("phase", text(question.phase.as_str())),
        ("stage", RestrictedExpression::new_long(question.stage.into())),
        ("on_contract", bool(question.on_contract)),
        ("undo_of", text(question.undo_of.unwrap_or_default())),
        ("recovery", bool(question.recovery)),
        ("window_open", bool(question.window_open)),
        ("simulated", bool(simulated)),
        ("changes", record(changes.into())?),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into())
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
