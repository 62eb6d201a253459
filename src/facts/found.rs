//! Targets that a read adds after gate 1. `found_by` in `policies/inventory.yaml` says which read may add targets and
//! what such targets may be at most; what it found is worked out here from the answer that was recorded, and from
//! nothing else. The kind and the environment come from the file and never from a device, an entry of the file
//! always wins, and whatever does not fit is left out and said.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    artifact::{CallId, DOCUMENT, Expression, Format, Grant, Scope, Spec, ToolName, value::clipped},
    tool::{Effect, Toolbox},
};

use super::inventory::{Inventory, Target};

/// The most targets that one read may add, where the file says nothing and where it says more.
const MOST_FOUND: u32 = 512;

/// A read that may add targets, and what they may be at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundBy {
    /// The reading tool.
    pub tool: ToolName,
    /// Its arguments, all of them literal.
    #[serde(default)]
    pub args: Map<String, Value>,
    /// CEL over `result` that gives a list of `{name, tags, groups}`; the last two may be left out.
    pub targets: Expression,
    /// What every target that it finds is, such as `switch`.
    pub kind: String,
    /// What they may be at most.
    pub within: Within,
    /// How many it may add; where an answer gives more, none is added.
    #[serde(default = "most_found")]
    pub at_most: u32,
}

fn most_found() -> u32 {
    MOST_FOUND
}

/// What found targets may be at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// The environment of all of them.
    pub environment: String,
    /// The tags that they may have.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// The groups that they may belong to.
    #[serde(default)]
    pub groups: BTreeSet<String>,
}

/// What an answer says of one target.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    name: String,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    groups: BTreeSet<String>,
}

/// A recorded answer to a read that may add targets.
#[derive(Clone, Copy, Debug)]
pub struct FoundIn<'a> {
    /// The read, as gate 1 approved it.
    pub by: &'a FoundBy,
    /// The call.
    pub call: &'a CallId,
    /// What it answered.
    pub result: &'a Value,
}

/// What came of a read that may add targets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The read.
    pub by: FoundBy,
    /// The call.
    pub call: CallId,
    /// The targets that it added, by name.
    pub added: BTreeSet<String>,
    /// What its answer gave that was left out, each with the reason.
    pub left_out: Vec<String>,
}

impl FoundBy {
    /// What is wrong with it, each with the key that it is about.
    fn problems(&self, inventory: &Inventory, toolbox: &Toolbox) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        match toolbox.tool(&self.tool) {
            None => found.push(("tool", format!("no manifest in tools/ has a tool `{}`", self.tool))),
            Some(tool) if tool.effect != Effect::Read => {
                found.push(("tool", format!("`{}` changes things; only a read may find targets", self.tool)));
            }
            Some(tool) => match toolbox.check_args(tool, &self.args) {
                Err(problem) => found.push(("args", problem.to_string())),
                Ok(args) => {
                    let name = args.get(&tool.target).and_then(Value::as_str).unwrap_or_default();
                    if inventory.target(name).is_none() {
                        let message = format!("`{name}` is not under `targets`, so the read would be refused");
                        found.push(("args", message));
                    }
                }
            },
        }
        // Other names are the expression's own, as `d` in `map(d, …)`.
        let read = self.targets.variables().iter().map(String::as_str);
        let foreign: Vec<&str> = read.filter(|name| *name != "result" && DOCUMENT.contains(name)).collect();
        if !foreign.is_empty() {
            found.push(("targets", format!("it may read `result` alone, and reads {}", foreign.join(", "))));
        }
        if self.kind.is_empty() || self.within.environment.is_empty() {
            found.push(("kind", "say what the targets are, and their environment under `within`".into()));
        }
        if !(1..=MOST_FOUND).contains(&self.at_most) {
            found.push(("at_most", format!("it may add between 1 and {MOST_FOUND} targets")));
        }
        found
    }

    /// Whether a spec grants its tool and reaches targets that it may add.
    fn used_by(&self, spec: &Spec, toolbox: &Toolbox) -> bool {
        let boundary = &spec.boundary;
        let granted = boundary.discover.iter().any(|grant| grant.tool == self.tool);
        granted && boundary.discover.iter().chain(&boundary.build).any(|grant| self.reached_by(grant, toolbox))
    }

    /// `is` and `one_of` name targets of the file, so only a group, or a grant that does not list its targets, does.
    fn reached_by(&self, grant: &Grant, toolbox: &Toolbox) -> bool {
        let grouped = |group: &String| self.within.groups.contains(group);
        if grant.constraints.values().any(|constraint| constraint.in_group.as_ref().is_some_and(grouped)) {
            return true;
        }
        let Some(tool) = toolbox.tool(&grant.tool) else { return false };
        let on = grant.constraints.get(&tool.target);
        on.is_some_and(|on| on.is.is_none() && on.one_of.is_none() && on.in_group.is_none())
    }

    /// The targets that an answer gives, by name, and what is left out of it. `file` is the inventory as written.
    fn found(&self, result: &Value, file: &Inventory) -> (BTreeMap<String, Target>, Vec<String>) {
        let (mut found, mut left_out) = (BTreeMap::<String, Target>::new(), Vec::new());
        let items = match self.targets.evaluate(&Scope::new().with("result", result)) {
            Ok(Value::Array(items)) => items,
            Ok(_) => return (found, vec!["all of it: `targets` gives no list".into()]),
            Err(error) => return (found, vec![format!("all of it: {}", clipped(&error.to_string()))]),
        };
        if items.len() > usize::try_from(self.at_most).unwrap_or(usize::MAX) {
            let why = format!("all of it: it gives {} targets and may add {}", items.len(), self.at_most);
            return (found, vec![why]);
        }
        let mut twice = BTreeSet::new();
        for (at, item) in items.into_iter().enumerate() {
            let target = match self.target(item, file) {
                Ok(target) => target,
                Err(why) => {
                    left_out.push(format!("entry {}: {}", at + 1, clipped(&why)));
                    continue;
                }
            };
            // One device under two names is one; two that differ under one name are neither.
            match found.get(&target.name) {
                Some(known) if *known != target => {
                    twice.insert(target.name);
                }
                _ => {
                    found.insert(target.name.clone(), target);
                }
            }
        }
        for name in twice {
            found.remove(&name);
            left_out.push(format!("{name}: the answer gives it twice and otherwise each time"));
        }
        (found, left_out)
    }

    /// One item of an answer as a target, or why it is none.
    fn target(&self, item: Value, file: &Inventory) -> Result<Target, String> {
        let said: Said = serde_json::from_value(item).map_err(|_| "it is not {name, tags, groups}".to_owned())?;
        let name = Format::Target.normalise(&said.name)?;
        if let Some(known) = file.clashes(&name) {
            return Err(format!("{name}: inventory.yaml says what `{known}` is, and that stands"));
        }
        let beyond = |what: &str, said: &BTreeSet<String>, may: &BTreeSet<String>| {
            said.difference(may).next().map(|one| format!("{name}: `found_by` allows no {what} `{one}`"))
        };
        let beyond =
            beyond("tag", &said.tags, &self.within.tags).or_else(|| beyond("group", &said.groups, &self.within.groups));
        match beyond {
            Some(why) => Err(why),
            None => Ok(Target {
                name,
                is: self.kind.clone(),
                environment: self.within.environment.clone(),
                tags: said.tags,
                groups: said.groups,
                below: false,
            }),
        }
    }
}

impl Inventory {
    /// The inventory with what these answers add to it. The same answers give the same inventory; what an earlier
    /// one added is not kept.
    pub fn with_found(&self, answers: &[FoundIn<'_>]) -> Self {
        let mut file = self.clone();
        let old: BTreeSet<String> = self.findings.iter().flat_map(|finding| finding.added.clone()).collect();
        file.targets.retain(|target| !old.contains(&target.name));
        file.findings.clear();
        let mut all: Vec<_> = answers.iter().map(|answer| (answer, answer.by.found(answer.result, &file))).collect();
        // A name that two reads give could be whichever device lies: neither adds it, unless both say the same.
        let mut seen: BTreeMap<String, Target> = BTreeMap::new();
        let mut disputed = BTreeSet::new();
        for target in all.iter().flat_map(|(_, (found, _))| found.values()) {
            if seen.insert(target.name.clone(), target.clone()).is_some_and(|known| known != *target) {
                disputed.insert(target.name.clone());
            }
        }
        let mut inventory = file;
        for (answer, (found, left_out)) in &mut all {
            for name in &disputed {
                if found.remove(name).is_some() {
                    left_out.push(format!("{name}: another read says otherwise what it is"));
                }
            }
            let new = found.values().filter(|target| inventory.targets.iter().all(|known| known.name != target.name));
            let new: Vec<Target> = new.cloned().collect();
            inventory.findings.push(Finding {
                by: answer.by.clone(),
                call: answer.call.clone(),
                added: new.iter().map(|target| target.name.clone()).collect(),
                left_out: std::mem::take(left_out),
            });
            inventory.targets.extend(new);
        }
        inventory
    }

    /// What is wrong with the reads that may add targets, each with where it stands in the file.
    pub fn wrong_finders(&self, toolbox: &Toolbox) -> Vec<(String, String)> {
        let of = |(at, by): (usize, &FoundBy)| {
            let problems = by.problems(self, toolbox).into_iter();
            problems.map(move |(key, why)| (format!("found_by.{at}.{key}"), why)).collect::<Vec<_>>()
        };
        self.found_by.iter().enumerate().flat_map(of).collect()
    }

    /// The read that added a target; nothing for one of the file.
    pub fn finding_of(&self, name: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.added.contains(name))
    }

    /// The reads that may add targets which a spec reaches, and whose tool it grants.
    pub fn finders<'a>(&'a self, spec: &'a Spec, toolbox: &'a Toolbox) -> impl Iterator<Item = &'a FoundBy> {
        self.found_by.iter().filter(|by| by.used_by(spec, toolbox))
    }

    /// Those of them whose answer is not known yet.
    pub fn open_finders<'a>(&'a self, spec: &'a Spec, toolbox: &'a Toolbox) -> impl Iterator<Item = &'a FoundBy> {
        self.finders(spec, toolbox).filter(|by| self.findings.iter().all(|finding| finding.by != **by))
    }

    /// The entry that says already what a name is, or what it is part of or holds. Some systems take `SW01` for
    /// `sw01`, so letters count whatever their case.
    fn clashes(&self, name: &str) -> Option<&str> {
        let (lower, net) = (name.to_ascii_lowercase(), network(name));
        let below = |name: &str, of: &str| name.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'));
        let clashes = |target: &&Target| {
            let known = target.name.to_ascii_lowercase();
            let within = target.below && below(&lower, &known) || below(&known, &lower);
            let overlaps = |known: IpNet| net.is_some_and(|net| net.contains(&known) || known.contains(&net));
            known == lower || within || network(&known).is_some_and(overlaps)
        };
        self.target(name).or_else(|| self.targets.iter().find(clashes)).map(|target| target.name.as_str())
    }
}

/// A name as the addresses that it stands for, where it is one or a block.
pub(super) fn network(name: &str) -> Option<IpNet> {
    name.parse().ok().or_else(|| name.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::artifact::from_yaml;

    const FILE: &str = "kind: inventory
found_by:
  - tool: site.devices
    targets: 'result.devices'
    kind: switch
    within: {environment: lab, tags: [access], groups: [access-switches]}
    at_most: 4
  - tool: dc.devices
    targets: 'result.devices'
    kind: firewall
    within: {environment: production, tags: [firewall]}
targets:
  - {name: sw01, is: switch, environment: lab, groups: [access-switches]}
  - {name: fw01, is: firewall, environment: production, tags: [firewall]}
  - {name: example.com, is: zone, environment: production, below: true}
  - {name: net.example.org, is: zone, environment: production}
  - {name: 192.0.2.0/24, is: prefix, environment: production}
";

    fn inventory() -> Inventory {
        from_yaml("inventory.yaml", FILE).unwrap()
    }

    fn first(result: &Value) -> Inventory {
        let (file, call) = (inventory(), CallId::nth(1));
        file.with_found(&[FoundIn { by: &file.found_by[0], call: &call, result }])
    }

    #[test]
    fn what_is_found_is_what_the_file_says_and_the_rest_is_left_out_and_said() {
        for (device, left_out) in [
            (json!({"name": "sw09"}), None),
            (json!({"name": "sw09", "tags": ["access"], "groups": ["access-switches"]}), None),
            (json!({"name": "sw09", "tags": ["core"]}), Some("`found_by` allows no tag `core`")),
            (json!({"name": "sw09", "groups": ["core-switches"]}), Some("`found_by` allows no group `core-switches`")),
            // Nobody but the file says what a device is and where.
            (json!({"name": "sw09", "environment": "lab"}), Some("it is not {name, tags, groups}")),
            (json!({"name": "sw09", "is": "zone"}), Some("it is not {name, tags, groups}")),
            (json!({"name": "sw09", "below": true}), Some("it is not {name, tags, groups}")),
            (json!("sw09"), Some("it is not {name, tags, groups}")),
            (json!({"name": 9}), Some("it is not {name, tags, groups}")),
            (json!({"name": ""}), Some("is not a plain name")),
            (json!({"name": "sw 09"}), Some("is not a plain name")),
            (json!({"name": "sw09."}), Some("is not a plain name")),
            (json!({"name": "sw\u{30}\u{fe0e}9"}), Some("is not a plain name")),
            // A device that lies about its name: what the file says stands.
            (json!({"name": "fw01"}), Some("says what `fw01` is")),
            (json!({"name": "FW01", "groups": ["access-switches"]}), Some("says what `fw01` is")),
            (json!({"name": "www.example.com"}), Some("says what `example.com` is")),
            (json!({"name": "WWW.Example.COM"}), Some("says what `example.com` is")),
            (json!({"name": "example.org"}), Some("says what `net.example.org` is")),
            (json!({"name": "www.net.example.org"}), None),
            (json!({"name": "192.0.2.7"}), Some("says what `192.0.2.0/24` is")),
            (json!({"name": "192.0.2.0/25"}), Some("says what `192.0.2.0/24` is")),
            (json!({"name": "192.0.0.0/16"}), Some("says what `192.0.2.0/24` is")),
            (json!({"name": "198.51.100.7"}), None),
        ] {
            let with = first(&json!({"devices": [device]}));
            let said = with.findings[0].left_out.join("; ");
            match left_out {
                Some(why) => {
                    assert!(said.contains(why), "{device}: {said}");
                    assert_eq!(with.targets, inventory().targets, "{device}");
                }
                None => {
                    assert_eq!(said, "", "{device}");
                    let name = device["name"].as_str().unwrap();
                    let target = with.target(name).unwrap();
                    assert_eq!((target.is.as_str(), target.environment.as_str()), ("switch", "lab"), "{device}");
                    assert_eq!(with.finding_of(name).unwrap().call, CallId::nth(1));
                }
            }
        }
    }

    #[test]
    fn an_answer_that_is_no_list_or_too_long_adds_nothing() {
        let many: Vec<Value> = (0..5).map(|n| json!({"name": format!("sw1{n}")})).collect();
        for (result, why) in [
            (json!({"devices": many}), "it gives 5 targets and may add 4"),
            (json!({"devices": {"name": "sw09"}}), "gives no list"),
            (json!({}), "all of it: "),
            (json!({"devices": [{"name": "sw09"}, {"name": "sw09", "tags": ["access"]}]}), "twice"),
        ] {
            let with = first(&result);
            assert!(with.findings[0].left_out.join("; ").contains(why), "{result}: {:?}", with.findings);
            assert_eq!(with.targets, inventory().targets, "{result}");
        }
        let same = first(&json!({"devices": [{"name": "sw09"}, {"name": "sw09"}]}));
        assert_eq!(same.targets.len(), inventory().targets.len() + 1);
    }

    #[test]
    fn a_name_that_two_reads_give_otherwise_is_added_by_neither() {
        let (file, one, two) = (inventory(), CallId::nth(1), CallId::nth(2));
        let (lab, dc) = (json!({"devices": [{"name": "x1"}, {"name": "sw09"}]}), json!({"devices": [{"name": "x1"}]}));
        let answers = [
            FoundIn { by: &file.found_by[0], call: &one, result: &lab },
            FoundIn { by: &file.found_by[1], call: &two, result: &dc },
        ];
        let with = file.with_found(&answers);
        assert!(with.target("x1").is_none() && with.target("sw09").is_some());
        assert!(with.findings.iter().all(|finding| finding.left_out.join("").contains("another read")));
        // Worked out again, also from what was worked out before, it is the same.
        assert_eq!(with.with_found(&answers), with);
        let shorter = with.with_found(&[FoundIn { by: &file.found_by[1], call: &two, result: &dc }]);
        assert!(shorter.target("sw09").is_none(), "what the answers do not give any more is gone");
    }

    #[test]
    fn what_was_found_is_never_taken_from_a_file() {
        let forged = format!("{FILE}findings: []\n");
        assert!(from_yaml::<Inventory>("inventory.yaml", &forged).is_err());
    }
}
