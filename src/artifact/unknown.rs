//! What an expression names and nothing gives: a function that is not there, or a variable of nowhere. Either would fail only
//! when it is evaluated, long after somebody approved it.

use std::sync::Arc;

use cel::{
    Context,
    common::ast::{EntryExpr, Expr, IdedExpr},
};

use super::{
    expression::{DOCUMENT, ENVIRONMENT, Expression},
    words::nearest,
};

/// What people write most, for who misspelt one.
const FUNCTIONS: [&str; 25] = [
    "all",
    "exists",
    "exists_one",
    "filter",
    "map",
    "has",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "charAt",
    "indexOf",
    "lowerAscii",
    "upperAscii",
    "replace",
    "split",
    "join",
    "substring",
    "trim",
    "distinct",
];

/// The names of types, which `type(…)` is compared with.
const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp", "uint"];

impl Expression {
    /// The function or the variable that nothing gives, with what may have been meant.
    pub fn unknown(&self) -> Option<String> {
        let mut bound = Vec::new();
        unknown(self.tree(), &mut bound).map(|why| format!("`{self}`: {why}"))
    }
}

fn unknown<'a>(node: &'a IdedExpr, bound: &mut Vec<&'a str>) -> Option<String> {
    match &node.expr {
        Expr::Call(call) => {
            let target = call.target.as_deref();
            let space = match target.map(|target| &target.expr) {
                Some(Expr::Ident(name)) => Some(format!("{name}.{}", call.func_name)),
                _ => None,
            };
            // Of a function in a name space the target is no variable.
            if space.as_deref().is_some_and(is_function) {
                return call.args.iter().find_map(|arg| unknown(arg, bound));
            }
            let operator = !call.func_name.starts_with(|c: char| c.is_ascii_alphabetic());
            if !operator && !is_function(&call.func_name) {
                let name = call.func_name.as_str();
                return Some(if FUNCTIONS.contains(&name) {
                    format!("`{name}` does not take these arguments")
                } else {
                    format!("there is no function `{name}`{}", nearest(name, FUNCTIONS.into_iter()))
                });
            }
            target.into_iter().chain(&call.args).find_map(|part| unknown(part, bound))
        }
        Expr::Comprehension(inner) => {
            if let Some(why) = [&inner.iter_range, &inner.accu_init].into_iter().find_map(|part| unknown(part, bound)) {
                return Some(why);
            }
            let outer = bound.len();
            bound.extend([inner.iter_var.as_str(), inner.accu_var.as_str()]);
            bound.extend(inner.iter_var2.as_deref());
            let parts = [&inner.loop_cond, &inner.loop_step, &inner.result];
            let why = parts.into_iter().find_map(|part| unknown(part, bound));
            bound.truncate(outer);
            why
        }
        Expr::Ident(name) => {
            let known = name.starts_with('@') || bound.contains(&name.as_str());
            let known = known || DOCUMENT.contains(&name.as_str()) || TYPES.contains(&name.as_str());
            (!known).then(|| format!("nothing is called `{name}`{}", nearest(name, DOCUMENT.into_iter())))
        }
        Expr::Select(select) => unknown(&select.operand, bound),
        Expr::List(list) => list.elements.iter().find_map(|part| unknown(part, bound)),
        Expr::Map(map) => map.entries.iter().find_map(|entry| of_entry(&entry.expr, bound)),
        Expr::Struct(fields) => fields.entries.iter().find_map(|entry| of_entry(&entry.expr, bound)),
        Expr::Literal(_) | Expr::Unspecified => None,
    }
}

fn of_entry<'a>(entry: &'a EntryExpr, bound: &mut Vec<&'a str>) -> Option<String> {
    match entry {
        EntryExpr::StructField(field) => unknown(&field.value, bound),
        EntryExpr::MapEntry(entry) => unknown(&entry.key, bound).or_else(|| unknown(&entry.value, bound)),
    }
}

/// Whether there is a function or a method with this name: no other may be given its name.
fn is_function(name: &str) -> bool {
    Context::with_env(Arc::clone(&ENVIRONMENT)).add_function(name, |_: i64| 0_i64).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_gives_is_named_with_what_may_have_been_meant() {
        let unknown = |source: &str| Expression::parse(source).unwrap().unknown();
        for source in [
            "result.vlans.exists(v, v.id == 120 && v.name.startsWith('g'))",
            "result.a.map(x, x.b).filter(b, b > size(inputs.c)).all(i, i in [1, 2])",
            "has(result.a) && type(result.a) == string ? int(result.a) > 3 : {'k': item}.k == args.b[0]",
            "result.names.map(n, n.lowerAscii()).join(',') == before.x && result.t.exists_one(v, v == 1)",
            "string(left.n).contains('1') || facts.r.result.x == steps.s.result",
            "!(-1 >= result.n % 2) && (result.n + 1.5) * 2.0 <= double(inputs.x)",
        ] {
            assert_eq!(unknown(source), None, "{source}");
        }
        for (source, says) in [
            ("result.a.startswith('x')", "there is no function `startswith`; did you mean `startsWith`?"),
            ("result.a.exist(x, x == 1)", "there is no function `exist`; did you mean `exists`?"),
            ("result.a.exists(x == 1)", "`exists` does not take these arguments"),
            ("result.a.matches('^x')", "there is no function `matches`"),
            ("timestamp(result.at) < timestamp(inputs.at)", "there is no function `timestamp`"),
            ("length(result.a) > 0", "there is no function `length`"),
            ("result.a == imputs.a", "nothing is called `imputs`; did you mean `inputs`?"),
            ("result.a.exists(x, y == 1)", "nothing is called `y`"),
            ("[result.a, {'k': x}] == [1]", "nothing is called `x`"),
            ("result.a.exists(x, x == 1) && x == 2", "nothing is called `x`"),
        ] {
            let found = unknown(source).unwrap_or_default();
            assert!(found.starts_with(&format!("`{source}`: ")) && found.contains(says), "{source}: {found}");
        }
    }
}
