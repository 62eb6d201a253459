//! The boundary of a spec in plain words: what which agent may do, what not, and how wide the widest grant is. It
//! says what the grants say and proves nothing about them.

use std::borrow::Cow;

use ipnet::IpNet;
use serde_json::Value;

use crate::{
    artifact::{Constraint, Format, Grant, Spec, ValueSchema, ValueType},
    facts::{Inventory, Target},
    policy::Catalog,
    tool::{Effect, Field, GrantWords, Tool},
};

use super::text::{names, quoted, value, word};

/// What the spec lets whom do, in plain sentences.
pub fn boundary_words(spec: &Spec, catalog: &Catalog) -> Vec<String> {
    let mut said = Vec::new();
    let mut changes = false;
    for grant in &spec.boundary.build {
        let Some(tool) = catalog.toolbox.tool(&grant.tool) else {
            said.push(format!("The build agent may use `{}`, which no manifest describes.", grant.tool));
            continue;
        };
        let often = match grant.at_most {
            None if tool.effect != Effect::Read => ", as often as the limits allow".to_owned(),
            _ => often(grant),
        };
        let sentence = grant_words(grant, tool);
        if tool.effect == Effect::Read {
            said.push(format!("The build agent may read: {sentence}{often}."));
            continue;
        }
        changes = true;
        let undo = match &tool.undo {
            Some(_) => ", and undo that.",
            None => ". That cannot be undone.",
        };
        said.push(format!("The build agent may {sentence}{often}{undo}"));
    }
    said.push(if changes { "It may not change or delete anything else." } else { "Nothing may be changed." }.into());
    let reads: Vec<String> = spec
        .boundary
        .discover
        .iter()
        .map(|grant| match catalog.toolbox.tool(&grant.tool) {
            Some(tool) => format!("{}{}", grant_words(grant, tool), often(grant)),
            None => format!("use `{}`, which no manifest describes", grant.tool),
        })
        .collect();
    if reads.is_empty() {
        said.push("The design agent and the verifier may not read anything.".into());
    } else {
        said.push(format!("The design agent and the verifier may read: {}.", reads.join("; ")));
    }
    said
}

fn often(grant: &Grant) -> String {
    match grant.at_most {
        None => String::new(),
        Some(1) => ", once".into(),
        Some(most) => format!(", at most {most} times"),
    }
}

/// A grant as the tool says a call, with constraints for values; then what the sentence does not mention.
fn grant_words(grant: &Grant, tool: &Tool) -> String {
    let said = |name: &str, constraint: &Constraint| match constraint.any {
        true => format!("any {name}"),
        false => constraint_words(constraint),
    };
    let default = |default: Option<&Value>| default.map_or("nothing".into(), value);
    tool.sentence_of(grant, &GrantWords { said, unsaid: constraint_words, default })
}

/// A constraint in words, long lists counted.
pub(super) fn constraint_words(constraint: &Constraint) -> String {
    let listed = |values: &[Value]| names(&values.iter().map(value).collect::<Vec<_>>());
    let mut parts = Vec::new();
    let mut rest = constraint.clone();
    parts.extend(rest.is.take().as_ref().map(value));
    parts.extend(rest.like.take().map(|pattern| format!("like {}", quoted(&pattern))));
    if let Some(choices) = rest.one_of.take() {
        parts.push(match choices.as_slice() {
            [one] => value(one),
            all => format!("one of {}", listed(all)),
        });
    }
    if let Some(allowed) = rest.subset_of.take() {
        parts.push(format!("only {}", listed(&allowed)));
    }
    let said = rest.words();
    if !said.is_empty() {
        parts.push(word(&said));
    }
    parts.join(", ")
}

/// How many values an argument may have.
enum Values {
    /// This many.
    Counted(u128),
    /// More than can be counted, and how the grant says so.
    Uncounted(String),
}

/// A grant and how many values each argument may have under it.
struct Measured<'a> {
    grant: &'a Grant,
    tool: &'a Tool,
    values: Vec<(Cow<'a, str>, Values)>,
}

impl Measured<'_> {
    /// Wider grants have the higher rank: first those with more arguments that cannot be counted.
    fn rank(&self) -> (usize, u128) {
        let open = self.values.iter().filter(|(_, values)| matches!(values, Values::Uncounted(_))).count();
        let counted = self.values.iter().map(|(_, values)| match values {
            Values::Counted(n) => *n,
            Values::Uncounted(_) => 1,
        });
        (open, counted.fold(1, u128::saturating_mul))
    }
}

/// The widest build grant in sentences, and the worst call that it lets through; nothing without build grants.
pub(super) fn widest(spec: &Spec, catalog: &Catalog) -> Option<Vec<String>> {
    let grants = spec.boundary.build.iter().filter_map(|grant| {
        let tool = catalog.toolbox.tool(&grant.tool)?;
        Some(Measured { grant, tool, values: measure(grant, tool, &catalog.inventory) })
    });
    // Of equally wide ones the first stays.
    let Measured { grant, tool, values } =
        grants.reduce(|widest, other| if other.rank() > widest.rank() { other } else { widest })?;
    let varied: Vec<String> = values
        .iter()
        .filter_map(|(name, values)| match values {
            Values::Counted(1) => None,
            Values::Counted(n) => Some(format!("{n} values of {name}")),
            Values::Uncounted(how) => Some(format!("{name} {how}")),
        })
        .collect();
    let fixed = match values.len() - varied.len() {
        0 => "nothing is fixed",
        _ => "every other value is fixed",
    };
    let worst = tool.sentence(|name| worst(grant, tool, name, &catalog.inventory));
    let many = match (Measured { grant, tool, values }).rank() {
        (0, 1) => return Some(vec![format!("{} lets through exactly one call: {worst}.", tool.name)]),
        (0, n) => format!("{n} different calls"),
        _ => "more different calls than can be counted".to_owned(),
    };
    let varied = if varied.is_empty() { String::new() } else { format!("{}; ", varied.join(", ")) };
    Some(vec![format!("{} lets through {many}: {varied}{fixed}.", tool.name), format!("The worst of them: {worst}.")])
}

fn measure<'a>(grant: &Grant, tool: &'a Tool, inventory: &Inventory) -> Vec<(Cow<'a, str>, Values)> {
    let one = |Field { path, schema, .. }: Field<'a>| {
        let values = grant.on(&path).map_or(Values::Counted(1), |constraint| {
            let counted = counted(constraint, schema, inventory);
            counted.map_or_else(|| Values::Uncounted(constraint_words(constraint)), Values::Counted)
        });
        (path, values)
    };
    tool.args.fields().map(one).collect()
}

/// The number of values that satisfy a constraint, at most; nothing where it cannot be counted.
fn counted(constraint: &Constraint, schema: &ValueSchema, inventory: &Inventory) -> Option<u128> {
    let listed = |values: &Option<Vec<Value>>| values.as_ref().map(|values| values.len() as u128);
    let integers = || {
        let (least, most) = integers(constraint, schema);
        Some((i128::from(most?) - i128::from(least?) + 1).max(0).unsigned_abs())
    };
    let addresses = |block: IpNet| {
        let free = u32::from(block.max_prefix_len() - block.prefix_len());
        let addresses = 1u128.checked_shl(free)?;
        // A block inside the block: as many as there are nodes in the tree below it.
        if schema.format == Some(Format::Cidr) { addresses.checked_mul(2)?.checked_sub(1) } else { Some(addresses) }
    };
    [
        constraint.is.as_ref().map(|_| 1),
        listed(&constraint.one_of),
        constraint.in_group.as_ref().map(|group| inventory.group(group).count() as u128),
        constraint.in_range.and_then(addresses),
        (schema.kind == ValueType::Integer).then(integers).flatten(),
        (schema.kind == ValueType::Boolean).then_some(2),
        (!schema.choices.is_empty()).then_some(schema.choices.len() as u128),
        listed(&constraint.subset_of).and_then(|n| 1u128.checked_shl(u32::try_from(n).ok()?)),
    ]
    .into_iter()
    .flatten()
    .min()
}

fn integers(constraint: &Constraint, schema: &ValueSchema) -> (Option<i64>, Option<i64>) {
    let vlan = schema.format == Some(Format::VlanId);
    let least = [constraint.min, schema.minimum, vlan.then_some(1)].into_iter().flatten().max();
    let most = [constraint.max, schema.maximum, vlan.then_some(4094)].into_iter().flatten().min();
    (least, most)
}

/// The value that an argument has in the worst call: the target that matters most, the far end of every range. Of an
/// object those members are said that the grant leaves a choice of.
fn worst(grant: &Grant, tool: &Tool, path: &str, inventory: &Inventory) -> String {
    let schema = tool.args.schema_at(path);
    if let Some(schema) = schema.filter(|_| grant.names_members_of(path)) {
        let members = tool.args.fields_of(path, schema).filter(|field| grant.constraints.contains_key(&*field.path));
        let named = members.map(|Field { path, .. }| {
            let member = path.rsplit('.').next().unwrap_or_default();
            format!("{member} {}", worst(grant, tool, &path, inventory))
        });
        return named.collect::<Vec<_>>().join(" and ");
    }
    let Some(constraint) = grant.on(path) else {
        return schema.and_then(|schema| schema.default.as_ref()).map_or("nothing".into(), value);
    };
    if let Some(is) = &constraint.is {
        return value(is);
    }
    let weight = |target: &Target| {
        let guarded = target.tags.iter().any(|tag| matches!(tag.as_str(), "core" | "firewall"));
        (target.environment == "production", guarded, target.tags.len())
    };
    if let Some(group) = &constraint.in_group {
        return inventory.group(group).max_by_key(|target| weight(target)).map_or("nothing".into(), |t| word(&t.name));
    }
    if let Some(choices) = &constraint.one_of {
        let heavy = choices.iter().max_by_key(|choice| match choice {
            Value::String(text) => (inventory.target(text).map(weight), 0),
            other => (None, other.as_i64().unwrap_or(0)),
        });
        return heavy.map_or("nothing".into(), value);
    }
    if let Some(block) = constraint.in_range {
        return if schema.is_some_and(|schema| schema.format == Some(Format::Cidr)) {
            block.to_string()
        } else {
            block.broadcast().to_string()
        };
    }
    match schema.map(|schema| (schema.kind, integers(constraint, schema))) {
        Some((ValueType::Integer, (_, Some(most)))) => most.to_string(),
        _ if constraint.any => "anything".into(),
        _ => format!("anything {}", constraint_words(constraint)),
    }
}
