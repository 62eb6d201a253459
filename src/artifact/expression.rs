//! CEL expressions: parsed and bounded when a document is read, evaluated over JSON values. Values enter as
//! variables, never as text, so nothing a person or a device writes can become an expression.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, Program,
    common::{
        ast::{
            EntryExpr, Expr, IdedExpr, LiteralValue,
            operators::{INDEX, OPT_INDEX, OPT_SELECT},
        },
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString},
        value::Val,
    },
    extensions,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::Value;

use super::{cost, recent::Recent};

/// Longest source of one expression, in bytes.
const LONGEST: usize = 4096;
/// Operators and brackets in one expression.
const MOST_OPERATORS: usize = 200;
/// Comprehensions (`exists`, `all`, `map`, `filter`) that may stand inside one another.
const DEEPEST: usize = 2;
/// Items that one list or map may have when an expression reads it.
const MOST_ITEMS: usize = 10_000;

/// The variables that any expression of a document may read; other names are a comprehension's own.
pub(crate) const DOCUMENT: [&str; 8] = ["inputs", "facts", "item", "steps", "result", "args", "before", "left"];

/// How many expressions may be parsed before those that nobody read again are forgotten.
const GENERATION: usize = 1_024;

/// Expressions that were parsed before, by their source: a document is read again wherever its engagement is taken up,
/// and parsing what it says is most of that.
static PARSED: LazyLock<Recent<String, Arc<Parsed>>> = LazyLock::new(|| Recent::new(GENERATION));

/// What is known of an expression without evaluating it.
struct Parsed {
    program: Program,
    /// The variables that it reads, of the document and its own.
    variables: BTreeSet<String>,
    /// How deep its comprehensions are nested.
    depth: usize,
}

pub(super) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    // Both are the crate's own and can only clash with each other; a clash would show in every test.
    let _ = environment.add_extension(extensions::strings);
    let _ = environment.add_extension(extensions::lists);
    Arc::new(environment)
});

/// A CEL expression that parses and stays within its bounds.
#[derive(Clone, JsonSchema)]
#[schemars(with = "String")]
pub struct Expression {
    source: String,
    parsed: Arc<Parsed>,
}

/// The source is not an acceptable expression.
#[derive(Debug, thiserror::Error)]
#[error("`{source_text}` is not a usable CEL expression: {reason}")]
pub struct ExpressionError {
    source_text: String,
    reason: String,
}

/// Evaluating an expression failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}` could not be evaluated: {reason}")]
pub struct EvaluateError {
    expression: String,
    reason: String,
}

impl EvaluateError {
    /// What `expression` says does not come out, and why.
    pub(super) fn new(expression: &str, reason: &str) -> Self {
        Self { expression: expression.to_owned(), reason: reason.to_owned() }
    }
}

/// The variables that an expression may read.
#[derive(Clone, Debug, Default)]
pub struct Scope<'a>(Vec<(&'static str, &'a Value)>);

impl<'a> Scope<'a> {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same scope with one more variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'a Value) -> Self {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
        self
    }
}

impl Expression {
    /// Parses and bounds `source`.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        if let Some(parsed) = PARSED.get(source) {
            return Ok(Self { source: source.to_owned(), parsed });
        }
        let parsed = Arc::new(Self::compile(source)?);
        PARSED.keep(source.to_owned(), Arc::clone(&parsed));
        Ok(Self { source: source.to_owned(), parsed })
    }

    fn compile(source: &str) -> Result<Parsed, ExpressionError> {
        let wrong = |reason: String| ExpressionError { source_text: source.chars().take(200).collect(), reason };
        if source.len() > LONGEST {
            return Err(wrong(format!("it is longer than {LONGEST} bytes")));
        }
        // The parser descends into each of these; far more than anyone writes would end the program, not the parse.
        let operators = source.chars().filter(|c| "+-*/%!?&|([{".contains(*c)).count();
        if operators > MOST_OPERATORS {
            return Err(wrong(format!("it has more than {MOST_OPERATORS} operators and brackets")));
        }
        let program = ENVIRONMENT.compile(source).map_err(|errors| {
            wrong(errors.errors.first().map_or_else(|| "it does not parse".to_owned(), |error| error.msg.clone()))
        })?;
        // What follows `//` is on the screen and not in the expression.
        if source.contains("//") {
            return Err(wrong("`//` begins a comment, which would read as part of it; take it out".into()));
        }
        if let Some(problem) = misleading(program.expression()) {
            return Err(wrong(problem));
        }
        let depth = comprehension_depth(program.expression());
        if depth > DEEPEST {
            return Err(wrong(format!("{depth} comprehensions are nested, at most {DEEPEST} may be")));
        }
        let read = program.references();
        let variables = read.variables().into_iter().filter(|name| !name.starts_with('@')).map(str::to_owned).collect();
        Ok(Parsed { program, variables, depth })
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn tree(&self) -> &IdedExpr {
        self.parsed.program.expression()
    }

    /// The variables it reads.
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.parsed.variables
    }

    /// The members of `variable` that it reads, such as `a` in `steps.a.result` and in `steps["a"].result`. Nothing
    /// where it reads the variable in a way that does not say which members.
    pub fn members_of(&self, variable: &str) -> Option<BTreeSet<String>> {
        let mut members = BTreeSet::new();
        members_of(self.tree(), variable, &mut members).then_some(members)
    }

    /// The value over `scope`, as JSON.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluateError> {
        #[cfg(test)]
        EVALUATED.set(EVALUATED.get() + 1);
        let wrong = |reason: String| EvaluateError { expression: self.source.clone(), reason };
        if self.parsed.depth > 0 && !cost::is_bounded(self.tree(), &scope.0) {
            let most = cost::MOST_STEPS;
            return Err(wrong(format!("it could come to more than {most} steps with what it reads; ask for less")));
        }
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        // What it does not read is not copied for it.
        for (name, value) in scope.0.iter().filter(|(name, _)| self.parsed.variables.contains(*name)) {
            let value = to_cel(value).ok_or_else(|| wrong(format!("`{name}` holds more than {MOST_ITEMS} items")))?;
            context.add_variable_as_val(*name, value);
        }
        let value = self.parsed.program.execute(&context).map_err(|error| wrong(error.to_string()))?;
        let mut value = value.json().map_err(|_| wrong("the answer is not a JSON value".to_owned()))?;
        // CEL maps have no order; without one here the same state would read differently from run to run.
        value.sort_all_objects();
        Ok(value)
    }

    /// The value over `scope`, which must be true or false.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvaluateError> {
        match self.evaluate(scope)? {
            Value::Bool(answer) => Ok(answer),
            other => Err(EvaluateError {
                expression: self.source.clone(),
                reason: format!("the answer is {other}, expected true or false"),
            }),
        }
    }
}

/// The same value for an expression, which borrows its texts.
fn to_cel<'a>(value: &'a Value) -> Option<Box<dyn Val + 'a>> {
    Some(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(bool) => Box::new(CelBool::from(*bool)),
        Value::Number(number) => match number.as_i64() {
            // Every JSON integer is a CEL int, so that `id == 120` holds whoever wrote the 120.
            Some(integer) => Box::new(CelInt::from(integer)),
            None => Box::new(CelDouble::from(number.as_f64()?)),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) if items.len() <= MOST_ITEMS => {
            Box::new(CelList::from(items.iter().map(to_cel).collect::<Option<Vec<_>>>()?))
        }
        Value::Object(map) if map.len() <= MOST_ITEMS => {
            let entries = map.iter().map(|(key, item)| Some((CelMapKey::from(key.as_str()), to_cel(item)?)));
            Box::new(CelMap::from(entries.collect::<Option<HashMap<_, _>>>()?))
        }
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// Why an expression may not stand though it parses: it gives a document's variable another meaning, so that it reads
/// otherwise than it is, or makes a list of a length that nothing bounds.
fn misleading(node: &IdedExpr) -> Option<String> {
    let mut nodes: Vec<&IdedExpr> = Vec::new();
    match &node.expr {
        Expr::Call(call) if call.func_name.ends_with("range") => {
            return Some(format!("`{}` makes lists of any length; read a list instead", call.func_name));
        }
        Expr::Call(call) => nodes.extend(call.args.iter().chain(call.target.as_deref())),
        Expr::Comprehension(inner) => {
            let names = [Some(&inner.iter_var), inner.iter_var2.as_ref()];
            if let Some(name) = names.into_iter().flatten().find(|name| DOCUMENT.contains(&name.as_str())) {
                return Some(format!("`{name}` is a variable of the document; call the item something else"));
            }
            nodes.extend([&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result]);
        }
        Expr::List(list) => nodes.extend(&list.elements),
        Expr::Map(map) => nodes.extend(map.entries.iter().flat_map(entry_nodes)),
        Expr::Struct(fields) => nodes.extend(fields.entries.iter().flat_map(entry_nodes)),
        Expr::Select(select) => nodes.push(&select.operand),
        // What looks for the names that an expression reads would not find it.
        Expr::Ident(name) if name.starts_with('.') => {
            return Some(format!("`{name}` begins with a dot; write the name alone"));
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
    nodes.into_iter().find_map(misleading)
}

fn comprehension_depth(node: &IdedExpr) -> usize {
    let deepest = |nodes: &mut dyn Iterator<Item = &IdedExpr>| nodes.map(comprehension_depth).max().unwrap_or(0);
    match &node.expr {
        Expr::Call(call) => deepest(&mut call.args.iter().chain(call.target.as_deref())),
        Expr::Comprehension(inner) => {
            // What it ranges over is evaluated once, before it: a chain of comprehensions is not a nest.
            let parts = [&inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result];
            comprehension_depth(&inner.iter_range).max(1 + deepest(&mut parts.into_iter()))
        }
        Expr::List(list) => deepest(&mut list.elements.iter()),
        Expr::Map(map) => map.entries.iter().map(entry_depth).max().unwrap_or(0),
        Expr::Struct(fields) => fields.entries.iter().map(entry_depth).max().unwrap_or(0),
        Expr::Select(select) => comprehension_depth(&select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => 0,
    }
}

fn entry_depth(entry: &cel::common::ast::IdedEntryExpr) -> usize {
    match &entry.expr {
        EntryExpr::StructField(field) => comprehension_depth(&field.value),
        EntryExpr::MapEntry(entry) => comprehension_depth(&entry.key).max(comprehension_depth(&entry.value)),
    }
}

/// Collects the members of `variable`; false where it stands without a member that can be read off.
fn members_of(node: &IdedExpr, variable: &str, members: &mut BTreeSet<String>) -> bool {
    let is_variable = |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if name == variable);
    let mut each = |mut nodes: &mut dyn Iterator<Item = &IdedExpr>| {
        Iterator::all(&mut nodes, |node| members_of(node, variable, members))
    };
    match &node.expr {
        Expr::Ident(name) => name != variable,
        Expr::Select(select) if is_variable(&select.operand) => {
            members.insert(select.field.clone());
            true
        }
        Expr::Select(select) => members_of(&select.operand, variable, members),
        Expr::Call(call) => match call.args.as_slice() {
            [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(member)), .. }]
                if matches!(call.func_name.as_str(), INDEX | OPT_INDEX | OPT_SELECT) && is_variable(operand) =>
            {
                members.insert(member.inner().to_owned());
                true
            }
            args => each(&mut args.iter().chain(call.target.as_deref())),
        },
        Expr::Comprehension(inner) => {
            let parts = [&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result];
            each(&mut parts.into_iter())
        }
        Expr::List(list) => each(&mut list.elements.iter()),
        Expr::Map(map) => each(&mut map.entries.iter().flat_map(entry_nodes)),
        Expr::Struct(fields) => each(&mut fields.entries.iter().flat_map(entry_nodes)),
        Expr::Literal(_) | Expr::Unspecified => true,
    }
}

fn entry_nodes(entry: &cel::common::ast::IdedEntryExpr) -> impl Iterator<Item = &IdedExpr> {
    let (key, value) = match &entry.expr {
        EntryExpr::StructField(field) => (None, &field.value),
        EntryExpr::MapEntry(entry) => (Some(&entry.key), &entry.value),
    };
    key.into_iter().chain([value])
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cel({})", self.source)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Serialize for Expression {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Expression::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
thread_local! {
    static EVALUATED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many expressions this thread has evaluated.
#[cfg(test)]
pub(crate) fn evaluated() -> u64 {
    EVALUATED.get()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_data_and_never_become_expressions() {
        let inputs = json!({"name": "x\" || true || \"", "id": 120});
        let scope = Scope::new().with("inputs", &inputs);
        assert!(!Expression::parse("inputs.name == \"x\"").unwrap().holds(&scope).unwrap());
        assert_eq!(Expression::parse("'v' + string(inputs.id)").unwrap().evaluate(&scope).unwrap(), json!("v120"));
        assert!(Expression::parse("inputs.id == 120").unwrap().holds(&scope).unwrap());
    }

    #[test]
    fn what_an_expression_reads_is_what_was_given() {
        let value = json!({
            "nothing": null, "yes": true, "texts": ["", "ä", "a\"b"], "empty": [{}, []],
            "numbers": [0, -1, i64::MAX, i64::MIN, 1.5, 1e300], "deep": [{"a": [{"b": null}]}],
        });
        assert_eq!(Expression::parse("a").unwrap().evaluate(&Scope::new().with("a", &value)).unwrap(), value);
        for holds in [
            "a.nothing == null && a.yes && a.texts[1] == 'ä' && 'deep' in a && !('b' in a)",
            "a.numbers[0] == 0 && a.numbers[2] == 9223372036854775807 && a.numbers[4] > 1.4",
            "a.empty == [{}, []] && a.deep[0].a[0].b == null && size(a.texts) == 3",
            "a.texts.exists(t, t + 'x' == 'äx') && a.deep.map(d, d.a)[0] == [{'b': null}]",
        ] {
            assert!(Expression::parse(holds).unwrap().holds(&Scope::new().with("a", &value)).unwrap(), "{holds}");
        }
    }

    #[test]
    fn what_is_unbounded_or_wrong_is_refused() {
        for source in [
            "",
            "1 +",
            "a.map(x, b.map(y, c.map(z, x + y + z)))",
            &"1+".repeat(4000),
            &format!("1{}", "+1".repeat(800)),
            &"(".repeat(1900),
        ] {
            assert!(Expression::parse(source).is_err(), "{source}");
        }
        assert!(Expression::parse("a.map(x, b.exists(y, x == y))").is_ok());
        Expression::parse("a.filter(x, x > 1).map(x, x + 1).exists(x, x == 2)").unwrap();
        let many = json!(vec![0; MOST_ITEMS + 1]);
        assert!(Expression::parse("size(a) > 0").unwrap().evaluate(&Scope::new().with("a", &many)).is_err());
        assert!(Expression::parse("missing").unwrap().evaluate(&Scope::new()).is_err());
        assert!(Expression::parse("1").unwrap().holds(&Scope::new()).is_err());
    }

    #[test]
    fn what_reads_otherwise_than_it_is_is_refused() {
        for source in [
            "result.a.exists(inputs, inputs.id == 1)",
            "{'k': [1].map(result, result)}.k == result.a",
            "size(result.a) > 0 // && result.a.exists(v, v.id == 120)",
            "size(lists.range(300000000)) > 0",
            ".inputs.id == 120",
            "[1].exists(v, v == .steps.a.result)",
        ] {
            assert!(Expression::parse(source).is_err(), "{source}");
        }
    }

    #[test]
    fn an_expression_names_the_members_that_it_reads() {
        let members = |source: &str| Expression::parse(source).unwrap().members_of("steps");
        let some = |names: &[&str]| Some(names.iter().map(|name| name.to_string()).collect());
        assert_eq!(members(r#"steps.a.result + [steps["b-c"].result, {"k": steps.d}][0].x"#), some(&["a", "b-c", "d"]));
        assert_eq!(members("inputs.steps + [1].map(x, x + steps.e.result.n)[0]"), some(&["e"]));
        for hidden in ["steps", "steps[inputs.x].result", "steps.map(k, k)", "size(steps) + steps.a"] {
            assert_eq!(members(hidden), None, "{hidden}");
        }
    }

    #[test]
    fn an_expression_names_its_variables() {
        let expression = Expression::parse("result.records.exists(r, r.name == inputs.name)").unwrap();
        assert!(expression.variables().is_superset(&["result".to_owned(), "inputs".to_owned()].into()));
    }
}
