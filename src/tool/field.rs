//! What a constraint names: an argument, or, of an argument that is an object, one of its members by a path such as
//! `options.mtu`. Compiler, request, proofs and screens all walk these, so none of them can forget a member.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::artifact::{Constraint, Grant, ValueSchema, ValueType};

use super::manifest::{Args, Tool};

/// An argument that is no object, or a member of one that is.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// What a constraint calls it: `port`, or `options.mtu`.
    pub path: Cow<'a, str>,
    /// Its type.
    pub schema: &'a ValueSchema,
    /// Whether it is always there once defaults are filled in.
    pub always_given: bool,
}

impl Args {
    /// Whether an argument is always there once defaults are filled in.
    pub fn always_given(&self, argument: &str) -> bool {
        let default = self.properties.get(argument).is_some_and(|schema| schema.default.is_some());
        default || self.required.iter().any(|name| name == argument)
    }

    /// Every argument, an object by its members, in the order of their names.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.properties.iter().flat_map(|(name, schema)| self.fields_of(name, schema))
    }

    /// An argument as it is constrained: itself, or its members.
    pub fn fields_of<'a>(&'a self, name: &'a str, schema: &'a ValueSchema) -> impl Iterator<Item = Field<'a>> {
        let given = self.always_given(name);
        let itself = Field { path: Cow::Borrowed(name), schema, always_given: given };
        let itself = (schema.kind != ValueType::Object).then_some(itself);
        let members = schema.properties.iter().map(move |(member, of)| Field {
            path: Cow::Owned(format!("{name}.{member}")),
            schema: of,
            always_given: given && schema.always_has(member),
        });
        itself.into_iter().chain(members)
    }

    /// The type of an argument or of a member of one.
    pub fn schema_at(&self, path: &str) -> Option<&ValueSchema> {
        match path.split_once('.') {
            None => self.properties.get(path),
            Some((argument, member)) => self.properties.get(argument)?.properties.get(member),
        }
    }
}

/// The value of an argument or of a member of one, where it is given.
pub fn value_at<'a>(args: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => args.get(path),
        Some((argument, member)) => args.get(argument)?.get(member),
    }
}

/// Gives an argument or a member of one this value.
pub fn put_at(args: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(args.insert(path.to_owned(), value)),
        Some((argument, member)) => {
            let object = args.entry(argument).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(members) = object {
                members.insert(member.to_owned(), value);
            }
        }
    }
}

/// How the parts of a grant are worded.
pub struct GrantWords<S, U, D> {
    /// A constraint inside the tool's sentence, with the name of what it constrains.
    pub said: S,
    /// A constraint after the name of what it constrains.
    pub unsaid: U,
    /// What stands for an argument that the grant does not name: its default, or nothing.
    pub default: D,
}

impl Tool {
    /// A grant as the tool says a call, with constraints for values; then what the sentence does not mention.
    pub fn sentence_of<S, U, D>(&self, grant: &Grant, words: &GrantWords<S, U, D>) -> String
    where
        S: Fn(&str, &Constraint) -> String,
        U: Fn(&Constraint) -> String,
        D: Fn(Option<&Value>) -> String,
    {
        let mentions = |path: &str| {
            let argument = path.split_once('.').map_or(path, |(argument, _)| argument);
            self.said_names().any(|name| name == argument)
        };
        let mut said = self.sentence(|name| match grant.constraints.get(name) {
            Some(constraint) => (words.said)(name, constraint),
            None if grant.names_members_of(name) => {
                let members = grant.constraints.iter().filter_map(|(path, constraint)| {
                    let (_, member) = path.split_once('.').filter(|(argument, _)| *argument == name)?;
                    Some(format!("{member} {}", (words.unsaid)(constraint)))
                });
                members.collect::<Vec<_>>().join(" and ")
            }
            None => (words.default)(self.args.properties.get(name).and_then(|schema| schema.default.as_ref())),
        });
        let unsaid: Vec<String> = grant
            .constraints
            .iter()
            .filter(|(path, _)| !mentions(path))
            .map(|(path, constraint)| format!("{path} {}", (words.unsaid)(constraint)))
            .collect();
        if !unsaid.is_empty() {
            said = format!("{said} ({})", unsaid.join("; "));
        }
        said
    }

    /// The names in braces of the tool's sentence.
    pub(super) fn said_names(&self) -> impl Iterator<Item = &str> {
        self.says.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
    }
}
