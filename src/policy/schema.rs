//! The Cedar schema that policies are validated against, lowered from the tool manifests, and the entities that
//! follow from it: agents, actions and their groups. It depends on the toolbox alone, so it is made once and
//! shared; targets come from the inventory with each question.

use std::{
    collections::{BTreeSet, HashMap},
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};

use cedar_policy::{
    ActionConstraint, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema,
};
use serde_json::{Map, Value, json};

use crate::{
    artifact::{Agent, Format, ToolName, ValueSchema, ValueType},
    facts::Target,
    tool::{Effect, Tool, Toolbox},
};

/// The group of the agents that may only read.
pub(super) const READERS: &str = "readers";

/// The schema, and for each tool its action with all entities that do not depend on the target.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) schema: Schema,
    pub(super) actions: HashMap<ToolName, Action>,
    types: Types,
}

/// A tool as Cedar knows it.
#[derive(Debug)]
pub(super) struct Action {
    /// What the tool did when the policies were loaded.
    pub(super) effect: Effect,
    pub(super) uid: EntityUid,
    /// `Action::"read"`, `Action::"write"` or `Action::"destructive"`.
    pub(super) group: EntityUid,
    /// The action, the agents and all their groups.
    entities: Entities,
    /// The same with a target, for each target that was asked about, as the inventory had it then.
    with_target: RwLock<HashMap<String, (Target, Arc<Entities>)>>,
}

/// The most targets that an action's entities are kept for.
const MOST_TARGETS: usize = 4_096;

impl Action {
    /// The entities of a question about this target.
    pub(super) fn entities_with(&self, lowered: &Lowered, target: &Target) -> Result<Arc<Entities>, String> {
        let known = self.with_target.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, entities)) = known.get(&target.name).filter(|(was, _)| was == target) {
            return Ok(Arc::clone(entities));
        }
        drop(known);
        let entity = target_entity(lowered.target(&target.name), target)?;
        let entities = self.entities.clone().add_entities([entity], Some(&lowered.schema));
        let entities = Arc::new(entities.map_err(|error| error.to_string())?);
        let mut kept = self.with_target.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_TARGETS {
            kept.clear();
        }
        kept.insert(target.name.clone(), (target.clone(), Arc::clone(&entities)));
        Ok(entities)
    }
}

fn target_entity(uid: EntityUid, target: &Target) -> Result<Entity, String> {
    let text = |value: &String| RestrictedExpression::new_string(value.clone());
    let texts = |values: &BTreeSet<String>| RestrictedExpression::new_set(values.iter().map(text));
    let attributes = [
        ("environment".to_owned(), text(&target.environment)),
        ("is".to_owned(), text(&target.is)),
        ("tags".to_owned(), texts(&target.tags)),
        ("groups".to_owned(), texts(&target.groups)),
    ];
    Entity::new(uid, attributes.into(), [].into()).map_err(|error| error.to_string())
}

#[derive(Debug)]
struct Types {
    agent: EntityTypeName,
    group: EntityTypeName,
    action: EntityTypeName,
    target: EntityTypeName,
}

impl Action {
    /// Whether a rule with this action scope is about the tool.
    pub(super) fn admitted_by(&self, constraint: &ActionConstraint) -> bool {
        match constraint {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => *uid == self.uid,
            ActionConstraint::In(uids) => uids.iter().any(|uid| *uid == self.uid || *uid == self.group),
        }
    }
}

impl Types {
    fn new() -> Result<Self, String> {
        let named = |name: &str| EntityTypeName::from_str(name).map_err(|error| error.to_string());
        Ok(Self {
            agent: named("Agent")?,
            group: named("AgentGroup")?,
            action: named("Action")?,
            target: named("Target")?,
        })
    }
}

impl Lowered {
    /// Lowers the manifests. The error is Cedar's; manifests that a toolbox accepts do not cause one.
    pub(super) fn from_toolbox(toolbox: &Toolbox) -> Result<Self, String> {
        let schema = Schema::from_json_value(schema_json(toolbox)).map_err(|error| error.to_string())?;
        let types = Types::new()?;
        let agents: Vec<Entity> = Agent::ALL.into_iter().map(|agent| types.agent_entity(agent)).collect();
        let mut actions = HashMap::new();
        for tool in toolbox.tools() {
            let uid = types.action(tool.name.as_str());
            let group = types.action(tool.effect.as_str());
            let mut entities = agents.clone();
            entities
                .push(Entity::with_uid(EntityUid::from_type_name_and_id(types.group.clone(), EntityId::new(READERS))));
            entities.push(Entity::new_no_attrs(uid.clone(), [group.clone()].into()));
            entities.push(Entity::with_uid(group.clone()));
            let entities = Entities::from_entities(entities, None).map_err(|error| error.to_string())?;
            actions.insert(
                tool.name.clone(),
                Action { effect: tool.effect, uid, group, entities, with_target: RwLock::default() },
            );
        }
        Ok(Self { schema, actions, types })
    }

    pub(super) fn agent(&self, agent: Agent) -> EntityUid {
        self.types.agent(agent)
    }

    pub(super) fn target(&self, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.types.target.clone(), EntityId::new(name))
    }
}

impl Types {
    fn agent(&self, agent: Agent) -> EntityUid {
        EntityUid::from_type_name_and_id(self.agent.clone(), EntityId::new(agent.as_str()))
    }

    fn action(&self, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.action.clone(), EntityId::new(name))
    }

    fn agent_entity(&self, agent: Agent) -> Entity {
        let readers = EntityUid::from_type_name_and_id(self.group.clone(), EntityId::new(READERS));
        let groups = matches!(agent, Agent::Design | Agent::Verifier).then_some(readers);
        Entity::new_no_attrs(self.agent(agent), groups.into_iter().collect())
    }
}

/// Whether an argument or a member of one names something that the inventory may know: then its groups are in
/// `context.groups`.
pub(super) fn names_a_target(tool: &Tool, path: &str, schema: &ValueSchema) -> bool {
    schema.kind == ValueType::String && (schema.format == Some(Format::Target) || tool.target == path)
}

/// Whether an argument is an address or a block, which Cedar compares as such and not as text.
pub(super) fn is_address(schema: &ValueSchema) -> bool {
    schema.kind == ValueType::String
        && matches!(schema.format, Some(Format::Ip | Format::Ipv4 | Format::Ipv6 | Format::Cidr))
}

fn schema_json(toolbox: &Toolbox) -> Value {
    let mut actions = Map::new();
    for effect in Effect::ALL {
        actions.insert(effect.as_str().into(), json!({}));
        // An action that no tool can have (its name has a space), so that a rule about all destructive calls is
        // sound in a workspace whose tools only read.
        actions.insert(format!("any {}", effect.as_str()), action_json(effect, context_json(None)));
    }
    for tool in toolbox.tools() {
        actions.insert(tool.name.to_string(), action_json(tool.effect, context_json(Some(tool))));
    }
    let text = json!({"type": "String"});
    let texts = json!({"type": "Set", "element": text});
    json!({"": {
        "entityTypes": {
            "Agent": {"memberOfTypes": ["AgentGroup"]},
            "AgentGroup": {"enum": [READERS]},
            "Target": {"shape": {"type": "Record", "attributes": {
                "environment": text, "is": text, "tags": texts, "groups": texts,
            }}},
        },
        "actions": actions,
    }})
}

fn action_json(effect: Effect, context: Value) -> Value {
    json!({
        "memberOf": [{"id": effect.as_str()}],
        "appliesTo": {"principalTypes": ["Agent"], "resourceTypes": ["Target"], "context": context},
    })
}

fn context_json(tool: Option<&Tool>) -> Value {
    let (mut args, mut beside) = (Map::new(), Beside::default());
    let texts = json!({"type": "Set", "element": {"type": "String"}});
    for (tool, (name, schema)) in tool.iter().flat_map(|tool| tool.args.properties.iter().map(move |arg| (*tool, arg)))
    {
        args.insert(name.clone(), attribute_json(schema, tool.args.always_given(name)));
        beside.add(tool, name, name, schema);
    }
    let Beside { groups, counts } = beside;
    let long = json!({"type": "Long"});
    json!({"type": "Record", "attributes": {
        "args": record(args),
        "groups": record(groups),
        "counts": record(counts),
        "phase": {"type": "String"},
        "stage": {"type": "Long"},
        "on_contract": {"type": "Boolean"},
        "undo_of": {"type": "String"},
        "recovery": {"type": "Boolean"},
        "window_open": {"type": "Boolean"},
        "approved_by": texts,
        "simulated": {"type": "Boolean"},
        "changes": {"type": "Record", "attributes": {"targets": long, "production_targets": long, "elsewhere": long}},
    }})
}

fn record(attributes: Map<String, Value>) -> Value {
    json!({"type": "Record", "attributes": attributes})
}

/// What stands beside the arguments in the context, with the members of an object under its name.
#[derive(Default)]
struct Beside {
    groups: Map<String, Value>,
    counts: Map<String, Value>,
}

impl Beside {
    fn add(&mut self, tool: &Tool, path: &str, name: &str, schema: &ValueSchema) {
        if names_a_target(tool, path, schema) {
            self.groups.insert(name.to_owned(), json!({"type": "Set", "element": {"type": "String"}}));
        }
        if schema.kind == ValueType::Array {
            self.counts.insert(name.to_owned(), json!({"type": "Long"}));
        }
        let mut members = Self::default();
        for (member, of) in &schema.properties {
            members.add(tool, &format!("{path}.{member}"), member, of);
        }
        for (kept, found) in [(&mut self.groups, members.groups), (&mut self.counts, members.counts)] {
            if !found.is_empty() {
                kept.insert(name.to_owned(), record(found));
            }
        }
    }
}

fn attribute_json(schema: &ValueSchema, always_given: bool) -> Value {
    let mut lowered = type_json(schema);
    if let (false, Value::Object(lowered)) = (always_given, &mut lowered) {
        lowered.insert("required".into(), json!(false));
    }
    lowered
}

fn type_json(schema: &ValueSchema) -> Value {
    match schema.kind {
        ValueType::String if is_address(schema) => json!({"type": "Extension", "name": "ipaddr"}),
        ValueType::String => json!({"type": "String"}),
        ValueType::Integer => json!({"type": "Long"}),
        ValueType::Boolean => json!({"type": "Boolean"}),
        ValueType::Array => {
            // A toolbox only accepts lists with items; without them nothing but text could be meant.
            let element = schema.items.as_deref().map_or_else(|| json!({"type": "String"}), type_json);
            json!({"type": "Set", "element": element})
        }
        ValueType::Object => {
            let members = schema.properties.iter();
            let member = |(name, of): (&String, _)| (name.clone(), attribute_json(of, schema.always_has(name)));
            record(members.map(member).collect())
        }
    }
}
