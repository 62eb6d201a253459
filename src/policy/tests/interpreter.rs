//! The compiler of constraints to Cedar against an interpreter of the same constraints that knows no Cedar: random
//! grants and random calls, and not one of them is decided differently. The interpreter reads the grant as JSON and
//! the words of the design, and shares no code with the compiler.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};

use super::{
    super::{decide::within, request::Asked},
    pools::{Given, Pool, object, pools},
    *,
};
use crate::tool::{put_at, value_at};

const GRANTS: u32 = 700;
const CALLS: usize = 30;

/// A list of numbers that choices are read from, so that a failure shrinks to a small one.
struct Choices<'a> {
    left: std::slice::Iter<'a, u32>,
}

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        *self.left.next().unwrap_or(&0) as usize % n
    }

    fn of<'v, T>(&mut self, values: &'v [T]) -> &'v T {
        &values[self.below(values.len())]
    }

    /// True so many times in a hundred.
    fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    /// Some of the values, each once, in order.
    fn some(&mut self, values: &[Value]) -> Vec<Value> {
        let kept = self.below(1 << values.len());
        values.iter().enumerate().filter(|(at, _)| kept >> at & 1 == 1).map(|(_, value)| value.clone()).collect()
    }
}

/// Values of an argument: lists are put together from items.
fn value(pool: &Pool, choices: &mut Choices<'_>) -> Value {
    if pool.items.is_empty() {
        return choices.of(&pool.values).clone();
    }
    let mut items = choices.some(&pool.items);
    if choices.percent(30) {
        items.reverse();
    }
    Value::Array(items)
}

/// A constraint with one part or two.
fn constraint(pool: &Pool, choices: &mut Choices<'_>) -> Value {
    let mut parts = serde_json::Map::new();
    let mut kinds = vec!["is", "one_of", "one_of", "any"];
    if !pool.items.is_empty() {
        kinds.extend(["subset_of", "subset_of", "max_items", "max_items"]);
    }
    if !pool.patterns.is_empty() {
        kinds.extend(["like", "like", "like"]);
    }
    if !pool.blocks.is_empty() {
        kinds.extend(["in_range", "in_range", "in_range"]);
    }
    if !pool.groups.is_empty() {
        kinds.extend(["in_group", "in_group"]);
    }
    if !pool.bounds.is_empty() {
        kinds.extend(["min", "max"]);
    }
    for _ in 0..if choices.percent(30) { 2 } else { 1 } {
        let kind = *choices.of(&kinds);
        let said = match kind {
            "is" => value(pool, choices),
            "one_of" => Value::Array((0..=choices.below(3)).map(|_| value(pool, choices)).collect()),
            "like" => json!(choices.of(pool.patterns)),
            "in_range" => json!(choices.of(pool.blocks)),
            "in_group" => json!(choices.of(pool.groups)),
            "min" | "max" => json!(choices.of(pool.bounds)),
            "subset_of" => Value::Array(choices.some(&pool.items)),
            "max_items" => json!(choices.below(4)),
            _ => json!(true),
        };
        parts.insert(kind.to_owned(), said);
    }
    if parts.len() > 1 {
        parts.remove("any");
    }
    Value::Object(parts)
}

/// How often each part of a constraint held and did not.
#[derive(Default)]
struct Counts {
    parts: BTreeMap<String, [u32; 2]>,
    permitted: u32,
    refused: u32,
}

/// What the design says a grant means, for one call whose values are in normal form.
struct Interpreter<'a> {
    tool: &'a str,
    counts: &'a mut Counts,
}

impl Interpreter<'_> {
    fn permits(&mut self, grant: &Map<String, Value>, call: &Map<String, Value>) -> bool {
        let mut all = true;
        for path in pools(self.tool).keys() {
            let (argument, member) = path.split_once('.').map_or((*path, None), |(of, member)| (of, Some(member)));
            let value = match member {
                None => call.get(argument),
                Some(member) => call.get(argument).and_then(|object| object.get(member)),
            };
            let of_object = |path: &String| path.starts_with(&format!("{argument}."));
            all &= if member.is_some() && grant.contains_key(argument) {
                // The whole object may be anything.
                self.count("any object", call.contains_key(argument))
            } else if object(argument) == Some(Given::Optional) && !grant.keys().any(of_object) {
                // Nothing is said of an object that may be left out: it is.
                self.count("unnamed object", !call.contains_key(argument))
            } else {
                match grant.get(*path) {
                    Some(constraint) => {
                        let holds = self.holds(path, constraint, value);
                        if member.is_some() { self.count("member", holds) } else { holds }
                    }
                    None => {
                        let same = value.is_none() || value == default(path).as_ref();
                        if member.is_some() { self.count("unnamed member", same) } else { same }
                    }
                }
            };
        }
        all
    }

    fn count(&mut self, what: &str, holds: bool) -> bool {
        self.counts.parts.entry(what.to_owned()).or_default()[usize::from(holds)] += 1;
        what == "any object" || holds
    }

    fn holds(&mut self, name: &str, constraint: &Value, value: Option<&Value>) -> bool {
        let mut all = true;
        for (kind, said) in constraint.as_object().unwrap() {
            let holds = match value {
                None => kind == "any",
                Some(value) => part(name, kind, said, value),
            };
            // Anything holds for `any`, so what is counted is whether there was something.
            let way = if kind == "any" { value.is_some() } else { holds };
            self.counts.parts.entry(kind.clone()).or_default()[usize::from(way)] += 1;
            all &= holds;
        }
        all
    }
}

fn default(name: &str) -> Option<Value> {
    match name {
        "peers" => Some(json!([])),
        "tagged" => Some(json!(true)),
        "in" => Some(json!("here")),
        "ttl" => Some(json!(3600)),
        "options.mtu" => Some(json!(1500)),
        "extra.depth" => Some(json!(1)),
        "quiet.hours" => Some(json!(8)),
        _ => None,
    }
}

/// One value as it is compared: names of the DNS without case, addresses as their bits, lists as sorted sets.
fn compared(path: &str, value: &Value) -> String {
    let name = last(path);
    match value {
        Value::String(text) if matches!(name, "zone" | "name" | "alias") => text.to_ascii_lowercase(),
        Value::String(text) if matches!(name, "address" | "peer") => {
            format!("{:?}", text.parse::<std::net::IpAddr>().unwrap())
        }
        Value::Array(items) => {
            let mut items: Vec<String> = items.iter().map(ToString::to_string).collect();
            items.sort();
            items.join(",")
        }
        other => other.to_string(),
    }
}

/// The name of an argument or member without the way to it.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap()
}

fn part(path: &str, kind: &str, said: &Value, value: &Value) -> bool {
    let name = last(path);
    let same = |one: &Value| compared(name, one) == compared(name, value);
    match kind {
        "is" => same(said),
        "one_of" => said.as_array().unwrap().iter().any(same),
        "like" => {
            let separator = match name {
                "port" => Some('/'),
                "name" | "zone" | "alias" | "in" | "mark" => Some('.'),
                _ => None,
            };
            let (mut pattern, mut text) = (said.as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned());
            if matches!(name, "name" | "zone" | "alias") {
                (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
            }
            let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            matches(&pattern, &text, separator)
        }
        "in_range" => within_block(said.as_str().unwrap(), value.as_str().unwrap()),
        "in_group" => {
            let members: &[&str] = match said.as_str().unwrap() {
                "access-switches" => &["sw01", "sw02"],
                "spares" => &["sw02"],
                "cores" => &["core1"],
                "lab-zones" => &["corp.example.com"],
                _ => &["192.0.2.0/24"],
            };
            members.contains(&value.as_str().unwrap().to_lowercase().as_str())
        }
        "min" => value.as_i64() >= said.as_i64(),
        "max" => value.as_i64() <= said.as_i64(),
        "subset_of" => value.as_array().unwrap().iter().all(|item| said.as_array().unwrap().contains(item)),
        "max_items" => value.as_array().unwrap().len() as u64 <= said.as_u64().unwrap(),
        "any" => true,
        other => panic!("no constraint `{other}`"),
    }
}

fn matches(pattern: &[char], text: &[char], separator: Option<char>) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), None) => matches(rest, text, separator),
        (Some(('*', rest)), Some((first, later))) => {
            matches(rest, text, separator) || (Some(*first) != separator && matches(pattern, later, separator))
        }
        (Some((one, rest)), Some((other, later))) => one == other && matches(rest, later, separator),
        _ => false,
    }
}

/// Family, bits of the address, and how many of them count.
fn bits(text: &str) -> (bool, u128, u32) {
    let (address, length) = text.split_once('/').map_or((text, None), |(at, length)| (at, length.parse().ok()));
    match address.parse::<std::net::IpAddr>().unwrap() {
        std::net::IpAddr::V4(four) => (false, u128::from(u32::from(four)) << 96, length.unwrap_or(32)),
        std::net::IpAddr::V6(six) => (true, u128::from(six), length.unwrap_or(128)),
    }
}

fn within_block(block: &str, value: &str) -> bool {
    let ((family, block, length), (other, address, inner)) = (bits(block), bits(value));
    let mask = if length == 0 { 0 } else { u128::MAX << (128 - length) };
    family == other && inner >= length && block & mask == address & mask
}

fn target<'a>(catalog: &'a Catalog, tool: &Tool, args: &Map<String, Value>) -> &'a crate::facts::Target {
    catalog.inventory.target(args[&tool.target].as_str().unwrap()).unwrap()
}

/// One grant and its calls: whether the compiled boundary says what the interpreter says.
fn agree(catalog: &Catalog, choices: &[u32], counts: &mut Counts) -> Result<(), TestCaseError> {
    let mut choices = Choices { left: choices.iter() };
    let name = *choices.of(&[
        "port.trunk.set",
        "dns.record.create",
        "port.trunk.set",
        "dns.record.create",
        "port.set",
        "port.set",
        "ipam.address.allocate",
    ]);
    let pools = pools(name);
    let mut grant = Map::new();
    // Of objects it is first settled whether they are named, and whether as a whole.
    let mut objects = BTreeMap::new();
    for argument in pools.keys().filter_map(|path| Some(path.split_once('.')?.0)) {
        objects.entry(argument).or_insert_with(|| {
            let whole = choices.percent(15);
            (whole, object(argument) == Some(Given::Always) || choices.percent(60))
        });
    }
    for (path, pool) in &pools {
        let (whole, named) = path.split_once('.').map_or((false, true), |(argument, _)| objects[argument]);
        if whole {
            grant.insert(path.split_once('.').unwrap().0.to_owned(), json!({"any": true}));
        } else if named && (pool.given == Given::Always || choices.percent(50)) {
            grant.insert((*path).to_owned(), constraint(pool, &mut choices));
        }
    }
    let said = spec(&json!({"build": [{"tool": name, "where": grant}]}).to_string());
    // What cannot be satisfied, or stands twice over, is refused at gate 1 and never asked.
    let Ok(boundary) = CompiledBoundary::compile(&said, catalog) else { return Err(TestCaseError::reject("no grant")) };
    let tool = tool(catalog, name);
    for _ in 0..CALLS {
        let mut call = Map::new();
        let mut left_out = BTreeMap::new();
        for argument in objects.keys() {
            let named = grant.keys().any(|path| path.split('.').next() == Some(argument));
            let out = object(argument) != Some(Given::Always) && choices.percent(if named { 15 } else { 85 });
            left_out.insert(*argument, out);
        }
        for (argument, pool) in &pools {
            if argument.split_once('.').is_some_and(|(object, _)| left_out[object]) {
                continue;
            }
            let constraint = grant.get(*argument);
            let left_out = if constraint.is_some() { 15 } else { 85 };
            if pool.given != Given::Always && choices.percent(left_out) {
                continue;
            }
            let mut given = value(pool, &mut choices);
            // Mostly what the grant accepts: a call that fails for five reasons shows little of each.
            for _ in 0..4 {
                let fits = match constraint {
                    None => default(argument).as_ref() == Some(&given),
                    Some(said) => {
                        said.as_object().unwrap().iter().all(|(kind, said)| part(argument, kind, said, &given))
                    }
                };
                if fits || choices.percent(12) {
                    break;
                }
                given = value(pool, &mut choices);
            }
            put_at(&mut call, argument, given);
        }
        // An object that is there may have no member.
        for (argument, out) in left_out {
            if !out && !call.contains_key(argument) {
                call.insert(argument.to_owned(), json!({}));
            }
        }
        let normal = catalog.toolbox.check_args(tool, &call).map_err(|why| TestCaseError::fail(why.to_string()))?;
        // Defaults are part of what is asked; everything else the interpreter reads as it was given.
        let mut filled = call.clone();
        for argument in pools.keys() {
            let there = argument
                .split_once('.')
                .is_none_or(|(of, _)| filled.contains_key(of) || object(of) == Some(Given::Default));
            if let (true, None, Some(default)) = (there, value_at(&filled, argument), default(argument)) {
                put_at(&mut filled, argument, default);
            }
        }
        let expected = Interpreter { tool: name, counts }.permits(&grant, &filled);
        let about = question(tool, &normal);
        let asked = Asked::new(catalog.into(), &about, target(catalog, tool, &normal)).unwrap();
        let answer = asked.ask(boundary.permits(), &asked.whole().unwrap());
        prop_assert!(answer.failed.is_empty(), "{:?}", answer.failed);
        let found = boundary.holding(&answer.rules).next().is_some();
        prop_assert_eq!(found, expected, "{} {}", json!(grant), json!(call));
        // So does what reads the same grant without Cedar, when a chain is verified.
        let in_group = |name: &str, group: &str| {
            catalog.inventory.target(name).is_some_and(|target| target.groups.contains(group))
        };
        let off = outside(&said.boundary.build[0], &tool.args, &normal, &in_group);
        prop_assert_eq!(off.is_none(), expected, "{:?} {} {}", off, json!(grant), json!(call));
        // What a refusal says is worked out apart from the decision; a few are held against each other.
        if !found && counts.refused.is_multiple_of(50) {
            let said = within(catalog, &boundary, &question(tool, &normal)).unwrap_err().remove(0).reason;
            prop_assert!(said.starts_with("outside the grant build.0: `"), "{}", said);
        }
        if expected { counts.permitted += 1 } else { counts.refused += 1 }
    }
    Ok(())
}

#[test]
fn the_compiler_and_the_interpreter_never_disagree() {
    let catalog = catalog();
    let counts = std::cell::RefCell::new(Counts::default());
    let config =
        Config { cases: GRANTS, max_global_rejects: GRANTS * 3, failure_persistence: None, ..Config::default() };
    let strategy = proptest::collection::vec(any::<u32>(), 2_000);
    TestRunner::new(config)
        .run(&strategy, |choices| agree(&catalog, &choices, &mut counts.borrow_mut()))
        .unwrap_or_else(|error| panic!("{error}"));
    let counts = counts.into_inner();
    assert_eq!(counts.permitted + counts.refused, GRANTS * CALLS as u32);
    assert!(counts.permitted > 3_000 && counts.refused > 3_000, "{} {}", counts.permitted, counts.refused);
    let kinds = ["is", "one_of", "like", "in_range", "in_group", "min", "max", "subset_of", "max_items", "any"];
    let objects = ["member", "unnamed member", "any object", "unnamed object"];
    let kinds: BTreeSet<&str> = kinds.into_iter().chain(objects).collect();
    assert_eq!(counts.parts.keys().map(String::as_str).collect::<BTreeSet<_>>(), kinds);
    for (kind, [not, holds]) in &counts.parts {
        // Far below what is seen (about 100 to 150 for the rarest), so that chance alone never fails it.
        assert!(*not >= 40 && *holds >= 40, "`{kind}` held {holds} times and did not {not} times");
    }
}
