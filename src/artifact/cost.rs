//! What evaluating an expression may come to, worked out before it is: nobody's check may hold a program up, whoever wrote
//! it and whatever a device answered. A bound from the expression and the sizes of what it reads, so it is the same
//! wherever and however often it is asked. Pure.

use std::collections::BTreeMap;

use cel::common::ast::{
    EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue,
    operators::{ADD, IN},
};
use serde_json::Value;

/// The most parts of expressions that one evaluation may come to: some seconds at the worst. A check of 20 parts over
/// 10,000 items comes to a tenth of it.
pub(super) const MOST_STEPS: u64 = 2_000_000;

/// Text is copied in pieces of so many bytes, each of which counts as a step.
const PIECE: u64 = 64;

/// Whether an expression over these variables stays within [`MOST_STEPS`].
pub(super) fn is_bounded(node: &IdedExpr, scope: &[(&'static str, &Value)]) -> bool {
    let mut widest = Widest::default();
    scope.iter().for_each(|(_, value)| widest.add(value));
    let mut names: BTreeMap<&str, Named<'_>> = scope.iter().map(|(name, value)| (*name, Named::Value(value))).collect();
    Cost { widest, names: &mut names }.of(node) <= MOST_STEPS
}

/// The most items of a list or map, and the longest text, anywhere in what is read.
#[derive(Clone, Copy, Default)]
struct Widest {
    items: u64,
    text: u64,
}

impl Widest {
    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.text = self.text.max(text.len() as u64),
            Value::Array(items) => {
                self.items = self.items.max(items.len() as u64);
                items.iter().for_each(|item| self.add(item));
            }
            Value::Object(members) => {
                self.items = self.items.max(members.len() as u64);
                members.values().for_each(|item| self.add(item));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Of what stands inside a list or a map.
    fn inside(value: &Value) -> Self {
        let mut widest = Self::default();
        match value {
            Value::Array(items) => items.iter().for_each(|item| widest.add(item)),
            Value::Object(members) => members.values().for_each(|item| widest.add(item)),
            _ => {}
        }
        widest
    }
}

/// What is known of a variable.
#[derive(Clone, Copy)]
enum Named<'a> {
    Value(&'a Value),
    /// Something of which no list has more items than this.
    Within(u64),
}

struct Cost<'n, 'a> {
    widest: Widest,
    names: &'n mut BTreeMap<&'a str, Named<'a>>,
}

impl<'a> Cost<'_, 'a> {
    /// How many parts are evaluated at most.
    fn of(&mut self, node: &'a IdedExpr) -> u64 {
        let inner = match &node.expr {
            Expr::Call(call) => {
                let parts = call.args.iter().chain(call.target.as_deref());
                let parts = parts.fold(0, |sum: u64, part| sum.saturating_add(self.of(part)));
                let among = || self.widest.items.saturating_mul(self.widest.items);
                let copied = match call.func_name.as_str() {
                    // A list that is put together item by item is not copied, and nor is a number.
                    ADD if call.args.iter().any(|arg| is_list_or_number(&arg.expr)) => 0,
                    "flatten" => among(),
                    "distinct" => among() / PIECE,
                    IN => self.widest.items / PIECE,
                    ADD | "string" | "join" | "split" | "replace" | "format" | "reverse" | "substring" | "trim"
                    | "lowerAscii" | "upperAscii" => self.widest.text / PIECE,
                    _ => 0,
                };
                parts.saturating_add(copied)
            }
            Expr::Comprehension(inner) => {
                let first = self.of(&inner.iter_range).saturating_add(self.of(&inner.accu_init));
                let times = self.size(&inner.iter_range);
                let within = Named::Within(self.inside(&inner.iter_range));
                let known = self.names.insert(&inner.iter_var, within);
                let second = inner.iter_var2.as_deref().map(|name| (name, self.names.insert(name, within)));
                let step = self.of(&inner.loop_cond).saturating_add(self.of(&inner.loop_step));
                self.restore(&inner.iter_var, known);
                if let Some((name, known)) = second {
                    self.restore(name, known);
                }
                first.saturating_add(times.saturating_mul(step)).saturating_add(self.of(&inner.result))
            }
            Expr::List(list) => list.elements.iter().fold(0, |sum: u64, part| sum.saturating_add(self.of(part))),
            Expr::Map(map) => self.of_entries(&map.entries),
            Expr::Struct(fields) => self.of_entries(&fields.entries),
            Expr::Select(select) => self.of(&select.operand),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => 0,
        };
        inner.saturating_add(1)
    }

    fn of_entries(&mut self, entries: &'a [IdedEntryExpr]) -> u64 {
        entries.iter().fold(0, |sum: u64, entry| {
            let cost = match &entry.expr {
                EntryExpr::StructField(field) => self.of(&field.value),
                EntryExpr::MapEntry(entry) => self.of(&entry.key).saturating_add(self.of(&entry.value)),
            };
            sum.saturating_add(cost)
        })
    }

    fn restore(&mut self, name: &'a str, known: Option<Named<'a>>) {
        match known {
            Some(known) => drop(self.names.insert(name, known)),
            None => drop(self.names.remove(name)),
        }
    }

    /// How many items what is ranged over has at most.
    fn size(&self, node: &'a IdedExpr) -> u64 {
        if let Some(value) = self.value(node) {
            return match value {
                Value::Array(items) => items.len() as u64,
                Value::Object(members) => members.len() as u64,
                _ => 0,
            };
        }
        match &node.expr {
            Expr::List(list) => list.elements.len() as u64,
            Expr::Map(map) => map.entries.len() as u64,
            // `filter` and `map` give no more than they are given.
            Expr::Comprehension(inner) => self.size(&inner.iter_range),
            Expr::Call(call) if call.func_name == ADD => {
                call.args.iter().fold(0, |sum: u64, arg| sum.saturating_add(self.size(arg)))
            }
            Expr::Call(call) if call.func_name == "flatten" => self.widest.items.saturating_mul(self.widest.items),
            Expr::Call(_) => self.widest.items.max(self.widest.text),
            _ => self.within(node).unwrap_or(self.widest.items),
        }
    }

    /// How many items a list inside what is ranged over has at most.
    fn inside(&self, node: &'a IdedExpr) -> u64 {
        match (self.value(node), self.within(node)) {
            (Some(value), _) => Widest::inside(value).items,
            (None, Some(within)) => within,
            (None, None) => self.widest.items.max(self.widest.text),
        }
    }

    /// What a path from a variable leads to.
    fn value(&self, node: &'a IdedExpr) -> Option<&'a Value> {
        match &node.expr {
            Expr::Ident(name) => match self.names.get(name.as_str())? {
                Named::Value(value) => Some(value),
                Named::Within(_) => None,
            },
            Expr::Select(select) if !select.test => self.value(&select.operand)?.get(&select.field),
            _ => None,
        }
    }

    fn within(&self, node: &'a IdedExpr) -> Option<u64> {
        match &node.expr {
            Expr::Ident(name) => match self.names.get(name.as_str())? {
                Named::Within(most) => Some(*most),
                Named::Value(_) => None,
            },
            Expr::Select(select) => self.within(&select.operand),
            _ => None,
        }
    }
}

fn is_list_or_number(node: &Expr) -> bool {
    matches!(
        node,
        Expr::List(_) | Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_))
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::artifact::{Expression, Scope};

    fn records(many: usize) -> serde_json::Value {
        let record = |n: usize| json!({"name": format!("web{n}"), "id": n, "tags": ["a", "b", "c"]});
        json!({"records": (0..many).map(record).collect::<Vec<_>>(), "text": "x".repeat(40_000)})
    }

    #[test]
    fn what_would_take_too_long_or_grow_too_large_is_not_begun() {
        let (result, inputs) = (records(2_000), json!({"names": ["web1", "web2"]}));
        let scope = Scope::new().with("result", &result).with("inputs", &inputs);
        for source in [
            "result.records.map(a, result.records.map(b, [a, b, 1, 2, 3])).size() > 0",
            "result.records.all(a, result.records.all(b, a.id == b.id || a.name != b.name))",
            "result.records.map(a, result.records).map(x, x.map(y, y.id)).size() > 0",
            "[result.records, result.records].all(x, x.all(y, result.records.exists(z, z == y)))",
            "result.records.map(r, result.text + \"x\" + result.text).size() > 0",
            "result.records.map(a, result.records.filter(b, b.id > 0)).flatten().size() > 0",
        ] {
            let Ok(expression) = Expression::parse(source) else { continue };
            let error = expression.evaluate(&scope).unwrap_err().to_string();
            assert!(error.contains("more than 2000000 steps"), "{source}: {error}");
        }
    }

    #[test]
    fn what_checks_ask_is_evaluated() {
        let (result, inputs) = (records(9_000), json!({"names": ["web1", "web2"]}));
        let scope = Scope::new().with("result", &result).with("inputs", &inputs);
        for source in [
            "result.records.exists_one(r, r.name == \"web7\" && r.id == 7)",
            "inputs.names.all(name, result.records.exists(r, r.name == name))",
            "result.records.all(r, r.tags.exists(tag, tag == \"b\"))",
            "result.records.filter(r, r.id > 10).map(r, r.name).size() > 0",
            "result.records.map(r, r.tags).all(tags, tags.size() == 3)",
        ] {
            assert!(Expression::parse(source).unwrap().holds(&scope).unwrap(), "{source}");
        }
    }
}
