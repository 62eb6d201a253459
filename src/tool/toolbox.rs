//! All manifests together: found by name, checked at load, and the one place where arguments get their normal form.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Map, Value, json};

use crate::artifact::{
    Arg, CanonicalError, Digest, Expression, Format, ToolName, ValueSchema, ValueType, digest_of, value::clipped,
};

use super::{
    manifest::{Effect, Manifest, Tool},
    pin::{Pins, ServerPin},
};

/// The most bytes that the texts and numbers of one call's arguments take.
const MOST_BYTES: usize = 64 << 10;

/// Which of the toolboxes of this process one is: what was worked out with one holds for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edition(u64);

impl Default for Edition {
    /// One that no toolbox has yet.
    fn default() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        Self(MADE.fetch_add(1, Ordering::Relaxed))
    }
}

/// Every tool that this workspace knows.
#[derive(Debug, Default)]
pub struct Toolbox {
    edition: Edition,
    manifests: Vec<Manifest>,
    validators: BTreeMap<ToolName, OnceLock<Option<jsonschema::Validator>>>,
    /// Where each tool stands: its manifest and its place in it.
    places: HashMap<ToolName, (usize, usize)>,
    /// The digest of each tool's definition; worked out once, because every decision asks for it.
    definitions: HashMap<ToolName, Digest>,
    pins: Pins,
    /// The tools whose manifest is, to the byte, the one that was pinned.
    pinned: BTreeSet<ToolName>,
}

/// A manifest that cannot be used: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{family}: {path}: {message}")]
pub struct ManifestProblem {
    /// The family.
    pub family: String,
    /// Keys and list positions joined by dots.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Arguments that the tool does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{tool}`: argument `{argument}`: {reason}")]
pub struct ArgsProblem {
    /// The tool.
    pub tool: String,
    /// The argument.
    pub argument: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Toolbox {
    /// Checks the manifests by themselves and against each other.
    pub fn new(manifests: Vec<Manifest>, pins: Pins) -> Result<Self, Vec<ManifestProblem>> {
        let mut problems = Vec::new();
        let mut validators = BTreeMap::new();
        let mut families = std::collections::BTreeSet::new();
        for manifest in &manifests {
            let mut say = |path: String, message: String| {
                problems.push(ManifestProblem { family: manifest.family.clone(), path, message });
            };
            if !families.insert(&manifest.family) {
                say("family".into(), "another manifest has the same family".into());
            }
            for (path, message) in manifest.server.problems() {
                say(format!("server.{path}"), message);
            }
            for (at, tool) in manifest.tools.iter().enumerate() {
                let at = format!("tools.{at}");
                for (path, message) in tool_problems(tool, &manifests) {
                    say(format!("{at}.{path}"), message);
                }
                match jsonschema::draft202012::new(&tool.args.json_schema()) {
                    Ok(validator) => {
                        if validators.insert(tool.name.clone(), OnceLock::from(Some(validator))).is_some() {
                            say(format!("{at}.name"), format!("`{}` is defined twice", tool.name));
                        }
                    }
                    Err(error) => say(format!("{at}.args"), error.to_string()),
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let as_pinned = manifests.iter().filter_map(|manifest| {
            let pin = pins.servers.get(&manifest.family)?;
            let same = pin.manifest.is_some() && pin.manifest == digest_of(manifest).ok();
            same.then(|| {
                manifest.tools.iter().map(|tool| &tool.name).filter(|name| pin.tools.contains_key(name.as_str()))
            })
        });
        let pinned = as_pinned.flatten().cloned().collect();
        let mut toolbox = Self { validators, pins, pinned, ..Self::of(manifests) };
        let define = |tool: &Tool| Some((tool.name.clone(), toolbox.define(&tool.name).ok()?));
        toolbox.definitions = toolbox.tools().filter_map(define).collect();
        Ok(toolbox)
    }

    /// These manifests as they are, checked before by whoever used them.
    pub(super) fn of(manifests: Vec<Manifest>) -> Self {
        let of = |(at, manifest): (usize, &Manifest)| {
            let tools = manifest.tools.iter().enumerate();
            tools.map(|(place, tool)| (tool.name.clone(), (at, place))).collect::<Vec<_>>()
        };
        let places: HashMap<_, _> = manifests.iter().enumerate().flat_map(of).collect();
        let validators = places.keys().map(|name| (name.clone(), OnceLock::new())).collect();
        Self { manifests, validators, places, ..Self::default() }
    }

    /// Which of this process's toolboxes it is.
    pub fn edition(&self) -> Edition {
        self.edition
    }

    /// All manifests.
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// All tools.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.manifests.iter().flat_map(|manifest| &manifest.tools)
    }

    /// The tool with this name.
    pub fn tool(&self, name: &ToolName) -> Option<&Tool> {
        let (manifest, place) = self.places.get(name)?;
        self.manifests.get(*manifest)?.tools.get(*place)
    }

    /// The manifest that holds this tool.
    pub fn manifest_of(&self, name: &ToolName) -> Option<&Manifest> {
        self.places.get(name).and_then(|(manifest, _)| self.manifests.get(*manifest))
    }

    /// What a family's server was pinned as.
    pub fn pin(&self, family: &str) -> Option<&ServerPin> {
        self.pins.servers.get(family)
    }

    /// Whether a tool is pinned: its server is, and its manifest says what it said then.
    pub fn is_pinned(&self, name: &ToolName) -> bool {
        self.pinned.contains(name)
    }

    /// All pins.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The digest of what a tool is: its manifest entry, its server and its pin.
    pub fn definition(&self, name: &ToolName) -> Result<Digest, CanonicalError> {
        self.definitions.get(name).map_or_else(|| self.define(name), |known| Ok(*known))
    }

    fn define(&self, name: &ToolName) -> Result<Digest, CanonicalError> {
        digest_of(&self.definition_document(name))
    }

    /// The digest of all manifests and pins.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        digest_of(&json!({"manifests": self.manifests, "pins": self.pins}))
    }

    /// The arguments in normal form with defaults filled in: the bytes that are decided, digested and sent. What is
    /// wrong is said in bounded words, however much was given.
    pub fn check_args(&self, tool: &Tool, args: &Map<String, Value>) -> Result<Map<String, Value>, ArgsProblem> {
        let wrong = |argument: &str, reason: String| ArgsProblem {
            tool: tool.name.to_string(),
            argument: clipped(argument),
            reason: clipped(&reason),
        };
        let mut normal = Map::new();
        for (name, value) in args {
            let schema = tool.args.properties.get(name);
            let schema = schema.ok_or_else(|| wrong(name, "the tool has no such argument".into()))?;
            let value = schema.normalise(value).map_err(|reason| wrong(name, reason))?;
            normal.insert(name.clone(), value);
        }
        for (name, schema) in &tool.args.properties {
            if let (false, Some(default)) = (normal.contains_key(name), &schema.default) {
                normal.insert(name.clone(), default.clone());
            }
        }
        if let Some(name) = tool.args.required.iter().find(|name| !normal.contains_key(name.as_str())) {
            return Err(wrong(name, "it is missing".into()));
        }
        // Those of manifests that were checked before are made when they are asked for.
        let make = || jsonschema::draft202012::new(&tool.args.json_schema()).ok();
        let validator = self.validators.get(&tool.name).and_then(|made| made.get_or_init(make).as_ref());
        let validator = validator.ok_or_else(|| wrong("", "the tool is not in this toolbox".into()))?;
        let bytes: usize = normal.iter().map(|(name, value)| name.len() + size(value)).sum();
        if bytes > MOST_BYTES {
            return Err(wrong(
                "",
                format!("all arguments together are {bytes} bytes, and at most {MOST_BYTES} are taken"),
            ));
        }
        let instance = Value::Object(normal);
        if let Err(error) = validator.validate(&instance) {
            return Err(wrong(error.instance_path().as_str().trim_start_matches('/'), error.to_string()));
        }
        match instance {
            Value::Object(normal) => Ok(normal),
            _ => Err(wrong("", "arguments must be an object".into())),
        }
    }
}

/// About how many bytes a value takes when it is sent.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 8,
    }
}

fn tool_problems(tool: &Tool, manifests: &[Manifest]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let lookup = |name: &ToolName| manifests.iter().flat_map(|m| &m.tools).find(|other| other.name == *name);
    let args = &tool.args.properties;
    for (name, schema) in args {
        let path = format!("args.properties.{name}");
        found.extend(schema_problems(&path, name, schema));
        for (member, of) in &schema.properties {
            let path = format!("{path}.properties.{member}");
            if matches!(member.as_str(), "cel" | "fill") {
                let why = format!("a value with a member `{member}` would be read as a hole; name it otherwise");
                found.push((path.clone(), why));
            }
            if of.kind == ValueType::Object {
                found.push((path.clone(), "an object in an object cannot be constrained; one level is taken".into()));
            }
            found.extend(schema_problems(&path, member, of));
        }
        for member in schema.required.iter().filter(|member| !schema.properties.contains_key(*member)) {
            found.push((format!("{path}.required"), format!("there is no member `{member}`")));
        }
    }
    for name in tool.said_names().filter(|name| !args.contains_key(*name)) {
        let hint = if name.contains('.') { "; an object is said whole" } else { "" };
        found.push(("says".into(), format!("there is no argument `{name}`{hint}")));
    }
    for name in tool.args.required.iter().filter(|name| !args.contains_key(*name)) {
        found.push(("args.required".into(), format!("there is no argument `{name}`")));
    }
    if !args.contains_key(&tool.target) || !tool.args.required.contains(&tool.target) {
        found.push(("target".into(), format!("`{}` is not a required argument", tool.target)));
    }
    if args.get(&tool.target).is_some_and(|schema| schema.kind == ValueType::Object) {
        found.push(("target".into(), format!("`{}` is an object; a target is named by text", tool.target)));
    }
    let holes = |args: &BTreeMap<String, crate::artifact::Arg>, allowed: &[&str]| -> Option<String> {
        args.values().find_map(|arg| match arg {
            crate::artifact::Arg::Hole(hole) => only_reads(&hole.cel, allowed),
            crate::artifact::Arg::Fill(_) => Some("no agent fills a manifest; write the value or a `cel`".into()),
            crate::artifact::Arg::Literal(_) => None,
        })
    };
    if tool.effect == Effect::Read {
        if tool.undo.is_some() || tool.state.is_some() || tool.after.is_some() {
            found.push(("effect".into(), "a read has no `state`, `after` or `undo`".into()));
        }
    } else if tool.state.is_none() && tool.after.is_some() {
        found.push(("after".into(), "`after` stands beside a `state` that shows it".into()));
    }
    if let Some(state) = &tool.state {
        if lookup(&state.tool).is_none_or(|reader| reader.effect != Effect::Read) {
            found.push(("state.tool".into(), format!("`{}` is not a reading tool", state.tool)));
        }
        found.extend(holes(&state.args, &["args"]).map(|why| ("state.with".into(), why)));
        found.extend(only_reads(&state.pick, &["args", "result"]).map(|why| ("state.pick".into(), why)));
    }
    if let Some(undo) = &tool.undo {
        if lookup(&undo.tool).is_none_or(|undoer| undoer.effect == Effect::Read) {
            found.push(("undo.tool".into(), format!("`{}` is not a writing tool", undo.tool)));
        }
        found.extend(holes(&undo.args, &["args", "before", "left", "result"]).map(|why| ("undo.with".into(), why)));
        // An answer may not say that something else is meant; what is refused then is better refused here.
        let answered = |arg: &Arg| matches!(arg, Arg::Hole(hole) if ["left", "result"].iter().any(|of| hole.cel.variables().contains(*of)));
        let target = lookup(&undo.tool).map(|undoer| undoer.target.as_str());
        for (name, _) in undo.args.iter().filter(|(_, arg)| answered(arg)) {
            if target == Some(name.as_str()) {
                let why = format!("`{name}` names the target, which is the step's own: work it out from `args`");
                found.push(("undo.with".into(), why));
            } else if tool.args.required.contains(name) {
                let why = format!("`{name}` is given to the step, so write `args.{name}`, or what `before` says of it");
                found.push(("undo.with".into(), why));
            }
        }
    }
    if let Some(after) = &tool.after {
        found.extend(only_reads(after, &["args", "before"]).map(|why| ("after".into(), why)));
    }
    found
}

/// What is wrong with the schema of an argument, or of a member of one.
fn schema_problems(path: &str, name: &str, schema: &ValueSchema) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut say = |path: &str, what: &str| found.push((path.to_owned(), what.to_owned()));
    if matches!(name, "__entity" | "__extn") || !plain_name(name) {
        say(path, "the name of an argument or member is lower-case letters, digits and `_`");
    }
    if (schema.kind == ValueType::Array) != schema.items.is_some() {
        say(path, "a list, and only a list, has `items`");
    }
    match schema.items.as_ref().map(|items| items.kind) {
        Some(ValueType::Array) => say(path, "a list of lists cannot be constrained"),
        Some(ValueType::Object) => say(path, "a list of objects cannot be constrained"),
        _ => {}
    }
    if (schema.kind == ValueType::Object) == schema.properties.is_empty() {
        say(path, "an object, and only an object, has `properties`");
    }
    let items = schema.items.as_deref().and_then(|items| Some((format!("{path}.items"), unusable(items)?)));
    let own = unusable(schema).map(|why| (path.to_owned(), why));
    if let Some(default) = &schema.default {
        let normal = match schema.kind {
            // What the defaults of its members make of nothing, so that each member has one default and not two.
            ValueType::Object => schema.normalise(&json!({})).ok(),
            _ => schema.normalise(default).ok(),
        };
        match (normal, schema.kind) {
            (Some(normal), _) if normal == *default => {}
            (Some(normal), ValueType::Object) => {
                say(path, &format!("its default must be what the defaults of its members make: {normal}"));
            }
            (None, ValueType::Object) => say(path, "it has a required member, so it cannot have a default"),
            _ => say(path, "its default is not a value of its own type in normal form"),
        }
    }
    found.into_iter().chain(own).chain(items).collect()
}

/// Why no value fits a schema, or some do that its type does not have. Policies constrain what the schema says, so a
/// schema that says something else than it means would make rules that never match.
fn unusable(schema: &ValueSchema) -> Option<String> {
    let kind = schema.kind;
    let fits = match schema.format {
        None => true,
        Some(Format::VlanId) => kind == ValueType::Integer,
        Some(_) => kind == ValueType::String,
    };
    if !fits {
        return Some(
            "its format is of another type; vlan-id is for an integer, every other format for a string".into(),
        );
    }
    let misplaced = [
        ((schema.minimum.is_some() || schema.maximum.is_some()) && kind != ValueType::Integer, "minimum and maximum"),
        (schema.max_length.is_some() && kind != ValueType::String, "maxLength"),
        (
            (schema.min_items.is_some() || schema.max_items.is_some()) && kind != ValueType::Array,
            "minItems and maxItems",
        ),
        (!schema.required.is_empty() && kind != ValueType::Object, "required"),
        (!schema.choices.is_empty() && kind == ValueType::Object, "enum"),
    ];
    if let Some((_, what)) = misplaced.into_iter().find(|(misplaced, _)| *misplaced) {
        return Some(format!("{what} is of another type and would not be checked"));
    }
    let crossed = schema.minimum.zip(schema.maximum).is_some_and(|(least, most)| least > most)
        || schema.min_items.zip(schema.max_items).is_some_and(|(least, most)| least > most);
    if crossed {
        return Some("its least is more than its most, so no value fits".into());
    }
    let choice = schema.choices.iter().find(|choice| schema.normalise(choice).ok().as_ref() != Some(choice))?;
    Some(format!("{choice} in its `enum` is not a value of its type in normal form"))
}

fn plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= 60
}

/// Says so if the expression reads a document variable that is not allowed here.
fn only_reads(expression: &Expression, allowed: &[&str]) -> Option<String> {
    if let Some(why) = expression.unknown() {
        return Some(why);
    }
    let outer = ["inputs", "facts", "item", "steps", "result", "args", "before", "left"];
    let wrong = expression
        .variables()
        .iter()
        .find(|name| outer.contains(&name.as_str()) && !allowed.contains(&name.as_str()))?;
    Some(format!("`{expression}` reads `{wrong}`; it may read {}", allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::from_yaml;

    #[test]
    fn a_tool_is_pinned_only_while_its_manifest_is_what_it_was() {
        let manifest: Manifest = from_yaml("m", MANIFEST).unwrap();
        let name = manifest.tools[0].name.clone();
        let pin = |digest: Option<Digest>| ServerPin {
            command: vec!["sample".into()],
            executable: Digest::ZERO,
            files: BTreeMap::new(),
            tools: [(name.to_string(), Digest::ZERO)].into(),
            manifest: digest,
        };
        let pinned = |text: &str, digest: Option<Digest>| {
            let pins = Pins { servers: [("sample".to_owned(), pin(digest))].into() };
            Toolbox::new(vec![from_yaml("m", text).unwrap()], pins).unwrap().is_pinned(&name)
        };
        let digest = digest_of(&manifest).unwrap();
        assert!(pinned(MANIFEST, Some(digest)));
        assert!(!pinned(&MANIFEST.replace("effect: write", "effect: read"), Some(digest)));
        assert!(!pinned(MANIFEST, None));
    }

    const MANIFEST: &str = "
kind: tools
family: sample
about: A sample
server: {command: [sample]}
tools:
  - name: dns.record.create
    about: Create an A record
    says: create A record {name}
    effect: write
    target: zone
    args:
      properties:
        zone: {type: string, format: dns-name}
        name: {type: string, format: dns-label}
        ttl: {type: integer, minimum: 60, maximum: 86400, default: 3600}
      required: [zone, name]
";

    #[test]
    fn arguments_are_checked_and_get_one_normal_form() {
        let toolbox = Toolbox::new(vec![from_yaml("m", MANIFEST).unwrap()], Pins::default()).unwrap();
        let tool = toolbox.tools().next().unwrap();
        let check = |value: Value| toolbox.check_args(tool, value.as_object().unwrap());
        let normal = check(json!({"zone": "Corp.Example.com", "name": "WEB"})).unwrap();
        assert_eq!(Value::Object(normal), json!({"zone": "corp.example.com", "name": "web", "ttl": 3600}));
        for wrong in [
            json!({"zone": "a.b"}),
            json!({"zone": "a.b", "name": "x", "extra": 1}),
            json!({"zone": "a.b", "Name": "x", "name": "x"}),
            json!({"zone": "a.b", "name": "x", "ttl": 59}),
            json!({"zone": "a.b", "name": "x", "ttl": "60"}),
            json!({"zone": "a.b", "name": "x", "ttl": 120.0}),
            json!({"zone": "a.b.", "name": "x"}),
            json!({"zone": "a.b", "name": "x.y"}),
            json!({"zone": "a.b", "name": {"__entity": {"type": "Agent", "id": "build"}}}),
        ] {
            assert!(check(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_manifest_that_cannot_be_constrained_or_undone_as_said_is_refused() {
        for (from, to) in [
            ("target: zone", "target: ttl"),
            ("default: 3600", "default: 3"),
            ("name: {type: string, format: dns-label}", "name: {type: array}"),
            ("required: [zone, name]", "required: [zone, name, other]"),
            ("effect: write", "effect: write\n    undo: {tool: nothing, with: {}}"),
            ("name: {type: string, format: dns-label}", "name: {type: string, format: vlan-id}"),
            ("name: {type: string, format: dns-label}", "name: {type: boolean, format: dns-label}"),
            ("name: {type: string, format: dns-label}", "name: {type: string, minimum: 3}"),
            ("name: {type: string, format: dns-label}", "name: {type: integer, maxLength: 3}"),
            ("name: {type: string, format: dns-label}", "name: {type: string, enum: [a, 1]}"),
            ("name: {type: string, format: dns-label}", "name: {type: string, format: dns-label, enum: [WEB]}"),
            ("name: {type: string, format: dns-label}", "name: {type: array, items: {type: integer, format: ip}}"),
            (
                "name: {type: string, format: dns-label}",
                "name: {type: array, items: {type: array, items: {type: string}}}",
            ),
            ("minimum: 60", "minimum: 90000"),
            ("effect: write", "effect: write\n    after: 'args.name'"),
        ] {
            let manifest = from_yaml("m", &MANIFEST.replace(from, to)).unwrap();
            assert!(Toolbox::new(vec![manifest], Pins::default()).is_err(), "{to}");
        }
        // Types that no constraint can speak of are not types here, and the line says so.
        for kind in ["number", "null", "[string, integer]"] {
            let text = MANIFEST.replace("name: {type: string,", &format!("name: {{type: {kind},"));
            assert_eq!(from_yaml::<Manifest>("m", &text).unwrap_err().line, 15, "{kind}");
        }
    }
}
