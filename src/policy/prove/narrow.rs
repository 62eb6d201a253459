//! From "there is a call" to one call, and the worst one: argument by argument the solver is asked for the far end of
//! what is possible, and that value is kept. What comes out is a call as the broker would have it; whoever asked
//! for it still has it decided by the authorizer before a word is said about it.

use std::cmp::Reverse;

use cedar_policy::{
    EvalResult,
    pst::{BinaryOp, Expr},
};
use cedar_policy_symcc::Env;
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::{
    artifact::{Constraint, Format, Grant, ValueSchema, ValueType},
    facts::Target,
    tool::{Field, put_at},
};

use super::super::{
    schema::{is_address, names_a_target},
    syntax::{Join, binary, context_of, given, is_empty, joined, literal, long, not},
};
use super::{
    goal::{Ask, Formula},
    world::{integers, nameable, names_one},
};

/// The largest integer that a document can carry exactly; a report names none beyond it.
const LARGEST: i64 = (1 << 53) - 1;
/// How often a text that the solver thought of, and that no tool takes, is ruled out before giving up.
const TRIES: usize = 6;

/// The worst call that satisfies a formula which something satisfies. The grants only hint at where to look first.
pub(super) fn worst_call(
    formula: &Formula<'_>,
    grants: &[&Grant],
    ask: &mut dyn Ask,
) -> Result<Map<String, Value>, String> {
    let tool = formula.tool;
    let mut narrowed = formula.with([]);
    let mut args = Map::new();
    // The target first: which one it is matters more than any other argument.
    let (target, others): (Vec<_>, Vec<_>) = tool.args.properties.iter().partition(|(name, _)| **name == tool.target);
    for (name, schema) in target.into_iter().chain(others) {
        for Field { path, schema, always_given } in tool.args.fields_of(name, schema) {
            let hints: Vec<&Constraint> = grants.iter().filter_map(|grant| grant.constraints.get(&*path)).collect();
            let argument = Argument { name: &path, schema, hints: &hints, optional: !always_given };
            let found = argument.worst(&narrowed, ask)?;
            let fixed = match &found {
                Some(value) => equals(&path, schema, value, !always_given)?,
                None => not(given(&path)),
            };
            narrowed = narrowed.with([fixed]);
            found.into_iter().for_each(|value| put_at(&mut args, &path, value));
        }
        // An object of which no member is there is still there, or it is not.
        if schema.kind == ValueType::Object && !args.contains_key(name) {
            let needed = tool.args.always_given(name);
            if needed || !possible(&narrowed, [not(given(name))], ask)? {
                args.insert(name.clone(), json!({}));
            } else {
                narrowed = narrowed.with([not(given(name))]);
            }
        }
    }
    formula.catalog.toolbox.check_args(tool, &args).map_err(|problem| problem.to_string())
}

/// That an argument has this value.
fn equals(name: &str, schema: &ValueSchema, value: &Value, optional: bool) -> Result<Expr, String> {
    let here = || context_of("args", name);
    let mut holds = Vec::new();
    if optional {
        holds.push(given(name));
    }
    match value.as_array() {
        Some(items) => {
            let count = i64::try_from(items.len()).map_err(|error| error.to_string())?;
            let same =
                if items.is_empty() { is_empty(here()) } else { binary(BinaryOp::Eq, here(), literal(schema, value)?) };
            holds.extend([same, binary(BinaryOp::Eq, context_of("counts", name), long(count))]);
        }
        None => holds.push(binary(BinaryOp::Eq, here(), literal(schema, value)?)),
    }
    Ok(joined(Join::All, holds))
}

struct Argument<'a> {
    name: &'a str,
    schema: &'a ValueSchema,
    hints: &'a [&'a Constraint],
    optional: bool,
}

impl Argument<'_> {
    /// The value that reaches furthest, or nothing where the argument must be left out.
    fn worst(&self, formula: &Formula<'_>, ask: &mut dyn Ask) -> Result<Option<Value>, String> {
        if self.optional && !possible(formula, [given(self.name)], ask)? {
            return Ok(None);
        }
        let formula = formula.with(self.optional.then(|| given(self.name)));
        let found = match self.schema.kind {
            ValueType::Integer => self.largest(&formula, ask)?,
            ValueType::String if names_a_target(formula.tool, self.name, self.schema) => {
                let targets = nameable(&formula.catalog.inventory, self.schema);
                match self.heaviest(&formula, targets, ask)? {
                    Some(name) => Some(name),
                    None => self.first_possible(&formula, ask)?,
                }
            }
            _ => self.first_possible(&formula, ask)?,
        };
        found.map(Some).ok_or_else(|| format!("no value of `{}` could be found", self.name))
    }

    /// The largest integer, between what is said in the grants and by bisection from there.
    fn largest(&self, formula: &Formula<'_>, ask: &mut dyn Ask) -> Result<Option<Value>, String> {
        let (least, most) = integers(self.schema);
        let (mut least, mut most) = (least.unwrap_or(-LARGEST), most.unwrap_or(LARGEST));
        let at_least = |bound: i64| [binary(BinaryOp::GreaterEq, context_of("args", self.name), long(bound))];
        let said = |hint: &&Constraint| {
            let listed = hint.is.iter().chain(hint.one_of.iter().flatten()).filter_map(Value::as_i64);
            listed.chain([hint.max, hint.min].into_iter().flatten()).collect::<Vec<_>>()
        };
        let mut guesses: Vec<i64> =
            self.hints.iter().flat_map(said).chain(self.default().and_then(Value::as_i64)).collect();
        guesses.push(most);
        guesses.sort_unstable_by_key(|guess| Reverse(*guess));
        guesses.dedup();
        for guess in guesses.into_iter().filter(|guess| (least..=most).contains(guess)).collect::<Vec<_>>() {
            if possible(formula, at_least(guess), ask)? {
                least = guess;
                // Most often a bound that someone wrote is the bound.
                if guess < most && !possible(formula, at_least(guess + 1), ask)? {
                    most = guess;
                }
                break;
            }
            most = guess - 1;
        }
        while least < most {
            let middle = least + (most - least) / 2 + 1;
            if possible(formula, at_least(middle), ask)? { least = middle } else { most = middle - 1 }
        }
        Ok(Some(json!(least)))
    }

    /// The target that matters most: in production, then guarded, then with the most labels. Halving a list of alike
    /// ones keeps the questions few however many there are.
    fn heaviest(
        &self,
        formula: &Formula<'_>,
        mut targets: Vec<&Target>,
        ask: &mut dyn Ask,
    ) -> Result<Option<Value>, String> {
        let weight = |target: &Target| {
            let guarded = target.tags.iter().any(|tag| matches!(tag.as_str(), "core" | "firewall"));
            (target.environment == "production", guarded, target.tags.len())
        };
        targets.sort_by_key(|target| Reverse(weight(target)));
        let mut rest = targets.as_slice();
        if rest.is_empty() || !possible(formula, [names_one(self.name, self.schema, rest)?], ask)? {
            return Ok(None);
        }
        while rest.len() > 1 {
            let (heavier, lighter) = rest.split_at(rest.len() / 2);
            rest =
                if possible(formula, [names_one(self.name, self.schema, heavier)?], ask)? { heavier } else { lighter };
        }
        Ok(rest.first().map(|target| json!(target.name)))
    }

    /// The first of the values worth trying that is possible, else one that the solver thinks of.
    fn first_possible(&self, formula: &Formula<'_>, ask: &mut dyn Ask) -> Result<Option<Value>, String> {
        for value in self.candidates() {
            if possible(formula, [equals(self.name, self.schema, &value, self.optional)?], ask)? {
                return Ok(Some(value));
            }
        }
        let mut formula = formula.with([]);
        for _ in 0..TRIES {
            let Some(thought) = formula.example(ask)?.and_then(|env| argument_of(&env, self.name)) else {
                return Ok(None);
            };
            match self.schema.normalise(&thought) {
                Ok(value) if value == thought => return Ok(Some(value)),
                _ if thought.is_string() && !is_address(self.schema) => {
                    formula = formula.with([not(equals(self.name, self.schema, &thought, self.optional)?)]);
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn default(&self) -> Option<&Value> {
        self.schema.default.as_ref()
    }

    /// Values worth trying, the furthest first: only what the argument can have, each once.
    fn candidates(&self) -> Vec<Value> {
        let listed = self.hints.iter().flat_map(|hint| hint.is.iter().chain(hint.one_of.iter().flatten())).cloned();
        let mut all: Vec<Value> = match self.schema.kind {
            ValueType::Boolean => [true, false].map(Value::from).into(),
            ValueType::Array => self.lists(),
            ValueType::String if is_address(self.schema) => self.addresses(),
            _ => self.texts(),
        };
        all.extend(listed);
        all.extend(self.schema.choices.iter().cloned());
        all.extend(self.default().cloned());
        let mut kept: Vec<Value> = Vec::new();
        for value in all.into_iter().filter_map(|value| self.schema.normalise(&value).ok()) {
            if !kept.contains(&value) {
                kept.push(value);
            }
        }
        kept
    }

    /// The far ends of every block that a grant names, the widest block first, and addresses that none may name.
    fn addresses(&self) -> Vec<Value> {
        let mut blocks: Vec<IpNet> = self.hints.iter().filter_map(|hint| hint.in_range).collect();
        blocks.sort_by_key(|block| (block.max_prefix_len() - block.prefix_len(), block.network()));
        blocks.dedup();
        let anywhere = ["0.0.0.0/0", "::/0"].into_iter().filter_map(|text| text.parse::<IpNet>().ok());
        // Where a grant accepts anything, everything is the worst; else that is asked in vain, and once.
        let blocks: Vec<IpNet> = anywhere.chain(blocks.into_iter().rev()).collect();
        if self.schema.format == Some(Format::Cidr) {
            let halves = blocks.iter().filter_map(|block| block.subnets(block.prefix_len() + 1).ok()?.last());
            return blocks.iter().copied().chain(halves).map(|block| json!(block.to_string())).collect();
        }
        blocks.iter().flat_map(|block| [block.broadcast(), block.network()]).map(|ip| json!(ip.to_string())).collect()
    }

    /// What the patterns of the grants let in, and a word that nobody would write.
    fn texts(&self) -> Vec<Value> {
        let patterns = self.hints.iter().filter_map(|hint| hint.like.as_deref());
        let filled = patterns.flat_map(|pattern| ["anything", "x"].map(|word| json!(pattern.replace('*', word))));
        let words = ["anything", "x", "anything.example.com"].map(Value::from);
        filled.chain(words).collect()
    }

    /// As many of the items that the grants list as they let in.
    fn lists(&self) -> Vec<Value> {
        let mut lists = Vec::new();
        for allowed in self.hints.iter().filter_map(|hint| hint.subset_of.as_ref()) {
            let bounds = self.hints.iter().filter_map(|hint| hint.max_items).map(|most| most as usize);
            for most in bounds.chain([allowed.len(), 1]) {
                lists.push(Value::Array(allowed.iter().take(most).cloned().collect()));
            }
        }
        lists.push(json!([]));
        lists
    }
}

/// Whether the formula can still be satisfied with this.
fn possible(formula: &Formula<'_>, more: impl IntoIterator<Item = Expr>, ask: &mut dyn Ask) -> Result<bool, String> {
    formula.with(more).possible(ask)
}

/// The value of an argument, or of a member of one, in the solver's request.
fn argument_of(env: &Env, path: &str) -> Option<Value> {
    let mut value = env.request.context()?.get("args")?.clone();
    for name in path.split('.') {
        let EvalResult::Record(members) = value else { return None };
        value = members.get(name)?.clone();
    }
    value_of(&value)
}

fn value_of(result: &EvalResult) -> Option<Value> {
    Some(match result {
        EvalResult::Bool(value) => json!(value),
        EvalResult::Long(value) => json!(value),
        EvalResult::String(value) => json!(value),
        EvalResult::Set(items) => Value::Array(items.iter().map(value_of).collect::<Option<_>>()?),
        // `ip("192.0.2.1/32")`
        EvalResult::ExtensionValue(text) => {
            let text = text.split('"').nth(1)?;
            let block = text.parse::<IpNet>().ok();
            let single = block.filter(|block| block.prefix_len() == block.max_prefix_len());
            json!(single.map_or_else(|| text.to_owned(), |block| block.addr().to_string()))
        }
        EvalResult::EntityUid(_) | EvalResult::Record(_) => return None,
    })
}
