//! One grant's arguments as Cedar conditions: each of the ten constraints checked against the argument's type and
//! turned into a syntax tree. It decides what a constraint means; [`super::boundary`] makes permits of it.

use cedar_policy::pst::{BinaryOp, Expr};
use serde_json::Value;

use crate::{
    artifact::{Constraint, Format, Grant, ValueSchema, ValueType, value::shown},
    facts::Inventory,
    tool::{Field, Tool},
};

use super::{
    nearest,
    schema::{is_address, names_a_target},
    syntax::{address, all, binary, context_of, given, if_then_else, like, literal, long, not, set, string, truth},
};

/// What a grant asks of one argument.
pub(super) struct Clause {
    pub(super) argument: String,
    /// In words, to stand after "must be".
    pub(super) words: String,
    pub(super) expr: Expr,
}

/// Something wrong with a grant: the argument, and why.
pub(super) type Wrong = (String, String);

/// The conditions of a grant, one for each argument of the tool, or member of one, that is constrained in any way.
pub(super) fn clauses(grant: &Grant, tool: &Tool, inventory: &Inventory) -> Result<Vec<Clause>, Vec<Wrong>> {
    let mut wrong: Vec<Wrong> = grant
        .constraints
        .iter()
        .filter_map(|(path, said)| Some((path.clone(), misnamed(path, said, grant, tool)?)))
        .collect();
    let mut found = Vec::new();
    for (name, schema) in &tool.args.properties {
        if schema.kind == ValueType::Object && grant.constraints.contains_key(name) {
            // `any`: whatever the object's schema takes.
            continue;
        }
        if schema.kind == ValueType::Object && !grant.names_members_of(name) && !tool.args.always_given(name) {
            // Nothing of it is named, so it is left out like any argument; `{}` is not left out.
            found.push(Clause { argument: name.clone(), words: "left out".into(), expr: not(given(name)) });
            continue;
        }
        for Field { path, schema: of, always_given } in tool.args.fields_of(name, schema) {
            let needed = always_given || path.split_once('.').is_some_and(|(_, member)| schema.always_has(member));
            let argument = Argument { tool, path: &path, schema: of, always_given, needed, inventory };
            let clause = match grant.constraints.get(&*path) {
                Some(constraint) => argument.constrained(constraint),
                None => argument.not_named().map_err(|why| vec![why]),
            };
            match clause {
                Ok(clause) => found.extend(clause),
                Err(whys) => wrong.extend(whys.into_iter().map(|why| (path.to_string(), why))),
            }
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// Why a constraint stands at a name that it cannot stand at.
fn misnamed(path: &str, said: &Constraint, grant: &Grant, tool: &Tool) -> Option<String> {
    let (argument, member) = path.split_once('.').map_or((path, None), |(argument, member)| (argument, Some(member)));
    let schema = tool.args.properties.get(argument);
    match (schema.map(|schema| (schema.kind, &schema.properties)), member) {
        (Some((ValueType::Object, members)), None) => {
            let first = members.keys().next().map_or("member", String::as_str);
            let open = said.any && said.problem().is_none();
            (!open).then(|| {
                format!("`{path}` is an object: constrain its members, such as `{path}.{first}`, or write `any: true`")
            })
        }
        (Some((ValueType::Object, members)), Some(member)) if members.contains_key(member) => {
            let twice = grant.constraints.contains_key(argument);
            twice.then(|| format!("`{argument}` is named as a whole too; keep one of them"))
        }
        (Some((ValueType::Object, members)), Some(member)) => {
            let hint = nearest(member, members.keys().map(String::as_str));
            Some(format!("`{argument}` of `{}` has no member `{member}`{hint}", tool.name))
        }
        (Some(_), None) => None,
        (Some(_), Some(_)) => Some(format!("`{argument}` of `{}` is no object and has no members", tool.name)),
        (None, _) => {
            let fields: Vec<Field<'_>> = tool.args.fields().collect();
            let known = tool.args.properties.keys().map(String::as_str);
            let hint = nearest(path, known.chain(fields.iter().map(|field| &*field.path)));
            Some(format!("`{}` has no argument `{argument}`{hint}", tool.name))
        }
    }
}

struct Argument<'a> {
    tool: &'a Tool,
    path: &'a str,
    schema: &'a ValueSchema,
    /// Whether it is there in every call.
    always_given: bool,
    /// Whether it is there wherever the object is that it is a member of.
    needed: bool,
    inventory: &'a Inventory,
}

impl Argument<'_> {
    fn value(&self) -> Expr {
        context_of("args", self.path)
    }

    fn clause(&self, words: String, expr: Expr) -> Clause {
        Clause { argument: self.path.to_owned(), words, expr }
    }

    /// An argument that the grant does not name must be absent or equal to its default.
    fn not_named(&self) -> Result<Option<Clause>, String> {
        if let Some(default) = &self.schema.default {
            let words = format!("{} (its default)", shown(default));
            let same = self.equals(default)?;
            let same = if self.always_given { same } else { if_then_else(given(self.path), same, truth(true)) };
            return Ok(Some(self.clause(words, same)));
        }
        if self.needed {
            return Err("the tool requires it; constrain it, or write `any: true` to allow every value".to_owned());
        }
        Ok(Some(self.clause("left out".into(), not(given(self.path)))))
    }

    /// The condition of a constraint; none where it accepts anything. Every part that is wrong is reported.
    fn constrained(&self, constraint: &Constraint) -> Result<Option<Clause>, Vec<String>> {
        if let Some(problem) = constraint.problem() {
            return Err(vec![problem]);
        }
        let parts = [
            constraint.is.as_ref().map(|value| self.is(value)),
            constraint.one_of.as_ref().map(|values| self.one_of(values)),
            constraint.like.as_ref().map(|pattern| self.like(pattern)),
            constraint.in_range.as_ref().map(|block| self.in_range(&block.to_string())),
            constraint.in_group.as_ref().map(|group| self.in_group(group)),
            constraint.min.map(|least| self.bounded(BinaryOp::GreaterEq, "min", least)),
            constraint.max.map(|most| self.bounded(BinaryOp::LessEq, "max", most)),
            constraint.subset_of.as_ref().map(|values| self.subset_of(values)),
            constraint.max_items.map(|most| self.max_items(most)),
        ];
        let (mut exprs, mut wrong) = (Vec::new(), Vec::new());
        for part in parts.into_iter().flatten() {
            match part {
                Ok(expr) => exprs.push(expr),
                Err(why) => wrong.push(why),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        if constraint.any {
            return Ok(None);
        }
        if !self.always_given {
            // Only `any` accepts an argument that is left out: nothing would be known of what the tool does then.
            exprs.insert(0, given(self.path));
        }
        Ok(Some(self.clause(constraint.words(), all(exprs))))
    }

    /// The value in the form in which arguments are compared, if it is a value that the argument can have.
    fn normal(&self, value: &Value) -> Result<Value, String> {
        let normal = self.schema.normalise(value)?;
        self.known_targets(&normal, self.schema)?;
        Ok(normal)
    }

    fn known_targets(&self, value: &Value, schema: &ValueSchema) -> Result<(), String> {
        match (value, &schema.items) {
            (Value::Array(items), Some(schema)) => items.iter().try_for_each(|item| self.known_targets(item, schema)),
            (Value::String(name), _)
                if schema.format == Some(Format::Target) || names_a_target(self.tool, self.path, schema) =>
            {
                if self.inventory.target(name).is_some() {
                    return Ok(());
                }
                let hint = nearest(name, self.inventory.targets.iter().map(|target| target.name.as_str()));
                Err(format!("the inventory has no target `{name}`{hint}; a call that names it would be refused"))
            }
            _ => Ok(()),
        }
    }

    fn equals(&self, normal: &Value) -> Result<Expr, String> {
        if normal.as_array().is_some_and(Vec::is_empty) {
            // Cedar gives an empty set no type, so it is counted instead.
            return Ok(binary(BinaryOp::Eq, context_of("counts", self.path), long(0)));
        }
        Ok(binary(BinaryOp::Eq, self.value(), literal(self.schema, normal)?))
    }

    fn is(&self, value: &Value) -> Result<Expr, String> {
        self.equals(&self.normal(value)?)
    }

    fn one_of(&self, values: &[Value]) -> Result<Expr, String> {
        let normal: Vec<Value> = values.iter().map(|value| self.normal(value)).collect::<Result<_, _>>()?;
        if self.schema.kind == ValueType::Array {
            let each: Vec<Expr> = normal.iter().map(|value| self.equals(value)).collect::<Result<_, _>>()?;
            let either = each.into_iter().reduce(|left, right| binary(BinaryOp::Or, left, right));
            return either.ok_or_else(|| "its list is empty, so nothing can satisfy it".to_owned());
        }
        let literals = normal.iter().map(|value| literal(self.schema, value)).collect::<Result<_, _>>()?;
        Ok(binary(BinaryOp::Contains, set(literals), self.value()))
    }

    fn like(&self, pattern: &str) -> Result<Expr, String> {
        if is_address(self.schema) {
            return Err("`like` compares text, and this is an address; use `in_range`".into());
        }
        self.only(ValueType::String, "like", "text")?;
        let pattern = match self.schema.format {
            Some(Format::DnsName | Format::DnsLabel) => pattern.to_ascii_lowercase(),
            _ => pattern.to_owned(),
        };
        let bare = ValueSchema { choices: Vec::new(), default: None, ..self.schema.clone() };
        let example = pattern.replace('*', "a");
        match bare.normalise(&Value::String(example.clone())) {
            Ok(Value::String(normal)) if normal == example => {}
            Ok(_) => return Err("no value has this form, so nothing can satisfy it".into()),
            Err(why) => return Err(format!("nothing can satisfy it: with `a` for `*`, {why}")),
        }
        let matches = like(self.value(), &pattern);
        let Some(separator) = self.schema.format.and_then(Format::separator) else { return Ok(matches) };
        // A value that matches has at least the pattern's separators; if it has no more, no `*` holds one.
        let separators = pattern.chars().filter(|char| *char == separator).count();
        let one_more = format!("*{}", format!("{separator}*").repeat(separators + 1));
        Ok(binary(BinaryOp::And, matches, not(like(self.value(), &one_more))))
    }

    fn in_range(&self, block: &str) -> Result<Expr, String> {
        if !is_address(self.schema) {
            return Err(format!("`in_range` compares addresses and blocks, and this is {}", self.sort()));
        }
        Ok(binary(BinaryOp::IsInRange, self.value(), address(block)))
    }

    fn in_group(&self, group: &str) -> Result<Expr, String> {
        if !names_a_target(self.tool, self.path, self.schema) {
            return Err("`in_group` is for an argument that names a target, and this one does not".into());
        }
        let found = self.inventory.found_by.iter().any(|by| by.within.groups.contains(group));
        if !found && self.inventory.group(group).next().is_none() {
            let groups = self.inventory.targets.iter().flat_map(|target| &target.groups).map(String::as_str);
            let hint = nearest(group, groups);
            return Err(format!("no target of the inventory is in the group `{group}`{hint}"));
        }
        Ok(binary(BinaryOp::Contains, context_of("groups", self.path), string(group)))
    }

    fn bounded(&self, op: BinaryOp, word: &str, bound: i64) -> Result<Expr, String> {
        self.only(ValueType::Integer, word, "whole numbers")?;
        let beyond = match op {
            BinaryOp::GreaterEq => self.schema.maximum.filter(|most| bound > *most),
            _ => self.schema.minimum.filter(|least| bound < *least),
        };
        if let Some(limit) = beyond {
            return Err(format!("`{word}` is {bound} and the tool's own limit is {limit}, so nothing can satisfy it"));
        }
        Ok(binary(op, self.value(), long(bound)))
    }

    fn subset_of(&self, values: &[Value]) -> Result<Expr, String> {
        self.only(ValueType::Array, "subset_of", "lists")?;
        let items = self.schema.items.as_deref().ok_or("this list has no item schema")?;
        let mut literals = Vec::new();
        for value in values {
            let normal = items.normalise(value)?;
            self.known_targets(&normal, items)?;
            literals.push(literal(items, &normal)?);
        }
        Ok(binary(BinaryOp::ContainsAll, set(literals), self.value()))
    }

    fn max_items(&self, most: u32) -> Result<Expr, String> {
        self.only(ValueType::Array, "max_items", "lists")?;
        Ok(binary(BinaryOp::LessEq, context_of("counts", self.path), long(most.into())))
    }

    fn only(&self, kind: ValueType, word: &str, what: &str) -> Result<(), String> {
        if self.schema.kind == kind {
            return Ok(());
        }
        Err(format!("`{word}` is for {what}, and this is {}", self.sort()))
    }

    fn sort(&self) -> &'static str {
        match self.schema.kind {
            ValueType::String if is_address(self.schema) => "an address",
            ValueType::String => "text",
            ValueType::Integer => "a whole number",
            ValueType::Boolean => "true or false",
            ValueType::Array => "a list",
            ValueType::Object => "an object",
        }
    }
}
