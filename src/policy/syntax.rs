//! Cedar syntax trees, built node by node. Values from a spec become literals and pattern characters of the tree and
//! are never spliced into text, so no quote, backslash or `*` in them can become policy. Source text is only
//! ever printed from the tree.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use cedar_policy::{
    Policy,
    pst::{
        self, ActionConstraint, BinaryOp, Clause, Effect, EntityOrSlot, EntityType, EntityUID, Expr, Literal, Name,
        NonEmpty, PatternElem, PrincipalConstraint, ResourceConstraint, StaticPolicy, Template, UnaryOp, Var,
    },
};
use serde_json::Value;

use crate::artifact::ValueSchema;

use super::schema::is_address;

/// A permit to be built.
pub(super) struct Permit<'a> {
    pub(super) id: &'a str,
    pub(super) reason: &'a str,
    /// The agent, or the group of agents.
    pub(super) principal: Principal<'a>,
    pub(super) tool: &'a str,
    /// All must hold.
    pub(super) conditions: Vec<Expr>,
}

/// For whom a permit is.
#[derive(Clone, Copy)]
pub(super) enum Principal<'a> {
    Agent(&'a str),
    Group(&'a str),
}

impl Permit<'_> {
    /// The policy.
    pub(super) fn build(self) -> Result<Policy, String> {
        self.try_build().map_err(|error| error.to_string())
    }

    fn try_build(self) -> Result<Policy, pst::PstConstructionError> {
        let principal = match self.principal {
            Principal::Agent(name) => PrincipalConstraint::Eq(EntityOrSlot::Entity(entity("Agent", name)?)),
            Principal::Group(name) => PrincipalConstraint::In(EntityOrSlot::Entity(entity("AgentGroup", name)?)),
        };
        let action = ActionConstraint::Eq(entity("Action", self.tool)?);
        let annotations = BTreeMap::from([("id".into(), self.id.into()), ("reason".into(), self.reason.into())]);
        let head = Template::new(self.id, Effect::Permit, principal, action, ResourceConstraint::Any)
            .with_annotations(annotations);
        let clauses = self.conditions.into_iter().map(|expr| Clause::When(Arc::new(expr)));
        let policy = StaticPolicy::try_from(head.try_with_clauses(clauses)?)?;
        Policy::from_pst(policy.into())
    }
}

/// The source of a policy, with one condition a line.
pub(super) fn source(policy: &Policy) -> Result<String, String> {
    let policy = policy.to_pst().map_err(|error| error.to_string())?;
    let pst::Template { id, effect, principal, action, resource, annotations, .. } = policy.body().clone();
    let head = Template::new(id, effect, principal, action, resource).with_annotations(annotations);
    let mut source = head.to_string().trim_end_matches(';').to_owned();
    for clause in policy.body().clauses() {
        source.push('\n');
        source.push_str(&clause.to_string());
    }
    source.push_str(";\n");
    Ok(source)
}

/// A forbid of every call of a tool for which a condition does not hold.
pub(super) fn forbid_unless(tool: &str, condition: Expr) -> Result<Policy, String> {
    let try_build = || -> Result<Policy, pst::PstConstructionError> {
        let action = ActionConstraint::Eq(entity("Action", tool)?);
        let head = Template::new("forbid", Effect::Forbid, PrincipalConstraint::Any, action, ResourceConstraint::Any);
        let template = head.try_with_clauses([Clause::Unless(Arc::new(condition))])?;
        Policy::from_pst(StaticPolicy::try_from(template)?.into())
    };
    try_build().map_err(|error| error.to_string())
}

fn entity(kind: &'static str, id: &str) -> Result<EntityUID, pst::PstConstructionError> {
    // Cedar parses a name each time, which takes longer than all the rest of a permit.
    static KNOWN: RwLock<BTreeMap<&str, EntityType>> = RwLock::new(BTreeMap::new());
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned();
    let ty = match known {
        Some(ty) => ty,
        None => {
            let ty = EntityType::from_name(Name::unqualified(kind)?);
            KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(kind, ty.clone());
            ty
        }
    };
    Ok(EntityUID { ty, eid: id.into() })
}

/// `principal == KIND::"ID"`, or `principal in …`, or the same of `resource`.
pub(super) fn is_entity(var: Var, op: BinaryOp, kind: &'static str, id: &str) -> Result<Expr, String> {
    let entity = entity(kind, id).map_err(|error| error.to_string())?;
    Ok(binary(op, Expr::Var(var), Expr::Literal(Literal::EntityUID(entity))))
}

/// `resource.NAME`
pub(super) fn of_resource(name: &str) -> Expr {
    attribute(Expr::Var(Var::Resource), name)
}

/// `expr.isEmpty()`
pub(super) fn is_empty(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOp::IsEmpty, expr: Arc::new(expr) }
}

/// `if IF then THEN else ELSE`
pub(super) fn if_then_else(cond: Expr, then_expr: Expr, else_expr: Expr) -> Expr {
    Expr::IfThenElse { cond: Arc::new(cond), then_expr: Arc::new(then_expr), else_expr: Arc::new(else_expr) }
}

/// All of `exprs`, true for none; or at least one of them, false for none. Unlike [`all`] the tree is as flat as can
/// be, because a solver's encoding is made by recursion. What stands first is still evaluated first.
pub(super) fn joined(op: Join, exprs: Vec<Expr>) -> Expr {
    let mut row = exprs;
    while row.len() > 1 {
        let mut pairs = row.into_iter();
        let mut next = Vec::new();
        while let Some(left) = pairs.next() {
            next.push(match pairs.next() {
                Some(right) => binary(if op == Join::All { BinaryOp::And } else { BinaryOp::Or }, left, right),
                None => left,
            });
        }
        row = next;
    }
    row.pop().unwrap_or(truth(op == Join::All))
}

/// How conditions are joined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    All,
    Any,
}

/// `true` or `false`
pub(super) fn truth(value: bool) -> Expr {
    Expr::Literal(Literal::Bool(value))
}

/// `context.RECORD.PATH`, in which a dot leads to the member of an object.
pub(super) fn context_of(record: &str, path: &str) -> Expr {
    path.split('.').fold(context(record), attribute)
}

/// `context.NAME`
pub(super) fn context(name: &str) -> Expr {
    attribute(Expr::Var(Var::Context), name)
}

/// `context.args has PATH`
pub(super) fn given(path: &str) -> Expr {
    let mut names = path.split('.').map(Into::into);
    let attrs = NonEmpty { head: names.next().unwrap_or_default(), tail: names.collect() };
    Expr::HasAttr { expr: Arc::new(context("args")), attrs }
}

fn attribute(expr: Expr, name: &str) -> Expr {
    Expr::GetAttr { expr: Arc::new(expr), attr: name.into() }
}

pub(super) fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { op, left: Arc::new(left), right: Arc::new(right) }
}

pub(super) fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOp::Not, expr: Arc::new(expr) }
}

/// All of them; true for none.
pub(super) fn all(exprs: Vec<Expr>) -> Expr {
    let all = exprs.into_iter().reduce(|left, right| binary(BinaryOp::And, left, right));
    all.unwrap_or(Expr::Literal(Literal::Bool(true)))
}

pub(super) fn set(exprs: Vec<Expr>) -> Expr {
    Expr::Set(exprs.into_iter().map(Arc::new).collect())
}

pub(super) fn long(value: i64) -> Expr {
    Expr::Literal(Literal::Long(value))
}

pub(super) fn string(value: &str) -> Expr {
    Expr::Literal(Literal::String(value.into()))
}

pub(super) fn address(value: &str) -> Expr {
    Expr::UnaryOp { op: UnaryOp::Ip, expr: Arc::new(string(value)) }
}

/// `expr like pattern`, in which `*` is the only wildcard.
pub(super) fn like(expr: Expr, pattern: &str) -> Expr {
    let element = |char: char| if char == '*' { PatternElem::Wildcard } else { PatternElem::Char(char) };
    Expr::Like { expr: Arc::new(expr), pattern: pattern.chars().map(element).collect() }
}

/// A value in normal form as a literal of the type that its schema is lowered to.
pub(super) fn literal(schema: &ValueSchema, value: &Value) -> Result<Expr, String> {
    match value {
        Value::String(text) if is_address(schema) => Ok(address(text)),
        Value::String(text) => Ok(string(text)),
        Value::Bool(bool) => Ok(Expr::Literal(Literal::Bool(*bool))),
        Value::Number(number) => number.as_i64().map(long).ok_or_else(|| format!("{number} is not a whole number")),
        Value::Array(items) => {
            let schema = schema.items.as_deref().ok_or("this list has no item schema")?;
            items.iter().map(|item| literal(schema, item)).collect::<Result<_, _>>().map(set)
        }
        Value::Null | Value::Object(_) => Err(format!("{value} is not a value that an argument can have")),
    }
}
