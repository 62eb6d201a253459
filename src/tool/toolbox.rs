//! All manifests together: found by name, checked at load, and the one place where arguments get their normal form.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Map, Value, json};

use crate::artifact::{CanonicalError, Digest, ToolName, digest_of, value::clipped};

use super::{
    manifest::{Manifest, Tool},
    pin::{Pins, ServerPin},
    problems::tool_problems,
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
        let mut toolbox = Self { validators, pins, pinned, ..Self::of(manifests, HashMap::new()) };
        let define = |tool: &Tool| Some((tool.name.clone(), toolbox.define(&tool.name).ok()?));
        toolbox.definitions = toolbox.tools().filter_map(define).collect();
        Ok(toolbox)
    }

    /// These manifests as they are, checked before by whoever used them; each tool has the definition that it had there.
    pub(super) fn of(manifests: Vec<Manifest>, definitions: HashMap<ToolName, Digest>) -> Self {
        let of = |(at, manifest): (usize, &Manifest)| {
            let tools = manifest.tools.iter().enumerate();
            tools.map(|(place, tool)| (tool.name.clone(), (at, place))).collect::<Vec<_>>()
        };
        let places: HashMap<_, _> = manifests.iter().enumerate().flat_map(of).collect();
        let validators = places.keys().map(|name| (name.clone(), OnceLock::new())).collect();
        Self { manifests, validators, places, definitions, ..Self::default() }
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
