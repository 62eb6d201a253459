//! `policies/inventory.yaml`: the targets that tools may name, with their environments, tags and groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::artifact::Format;

use super::found::{Finding, FoundBy, network};

/// The targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Always `inventory`.
    pub kind: InventoryKind,
    /// What must be true of them; checked when the file loads, and no part of the inventory's digest.
    #[serde(default, skip_serializing)]
    pub examples: Vec<TargetExample>,
    /// The reads that may add targets after gate 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found_by: Vec<FoundBy>,
    /// The targets; those of the file first.
    pub targets: Vec<Target>,
    /// What such reads added to them; never in a file.
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// Something that must be true of the inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetExample {
    /// The name.
    pub target: String,
    /// Whether the inventory must not know it.
    #[serde(default)]
    pub unknown: bool,
    /// What it must be.
    #[serde(default)]
    pub is: Option<String>,
    /// Where it must belong.
    #[serde(default)]
    pub environment: Option<String>,
    /// Tags that it must have.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Tags that it must not have.
    #[serde(default)]
    pub not_tags: BTreeSet<String>,
    /// Groups that it must belong to.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// Groups that it must not belong to.
    #[serde(default)]
    pub not_groups: BTreeSet<String>,
}

/// The `kind` of an inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InventoryKind {
    /// An inventory.
    Inventory,
}

/// Something that a tool can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What the tools call it: `sw01`, `corp.example.com`, `192.0.2.0/24`.
    pub name: String,
    /// What it is, such as `switch` or `zone`.
    pub is: String,
    /// The environment that it belongs to, such as `lab` or `production`.
    pub environment: String,
    /// Labels that policies look at.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Groups that `in_group` looks at.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// Whether the entry also stands for every zone below it, or every address and prefix inside it, that has no entry
    /// of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub below: bool,
}

impl Target {
    /// How much of a name the entry stands for: the labels or bits that it fixes; nothing where it does not.
    fn covers(&self, name: &str) -> Option<usize> {
        if !self.below {
            return None;
        }
        if let Ok(own) = self.name.parse::<IpNet>() {
            let inside = match (name.parse::<IpNet>(), name.parse::<IpAddr>()) {
                (Ok(net), _) => own.contains(&net),
                (_, Ok(address)) => own.contains(&address),
                _ => false,
            };
            return inside.then(|| usize::from(own.prefix_len()));
        }
        // A name below is its own labels, a dot and this name; `evilcorp.example.com` is not below `corp.example.com`.
        let labels = name.strip_suffix(&self.name)?.strip_suffix('.')?;
        (!labels.is_empty() && labels.split('.').all(|label| !label.is_empty())).then_some(self.name.len())
    }
}

impl Inventory {
    /// The entry for this name: its own, else the closest that stands for what is below it. None stands for a name that
    /// another entry has in another spelling, [`Inventory::spelled_otherwise`]: it may be meant, and says something else.
    pub fn target(&self, name: &str) -> Option<&Target> {
        let closest = || self.closest(name).filter(|closest| self.closer(name, Some(closest)).is_none());
        self.own(name).or_else(closest)
    }

    fn own(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }

    fn closest(&self, name: &str) -> Option<&Target> {
        let below = self.targets.iter().filter_map(|target| Some((target.covers(name)?, target)));
        below.max_by_key(|(fixed, _)| *fixed).map(|(_, target)| target)
    }

    /// The entry whose name this is, or is below and closer to than any that stands for it, but for the case of letters
    /// and the ways to write an address.
    pub fn spelled_otherwise(&self, name: &str) -> Option<&Target> {
        if self.own(name).is_some() { None } else { self.closer(name, self.closest(name)) }
    }

    fn closer(&self, name: &str, than: Option<&Target>) -> Option<&Target> {
        let net = network(name);
        self.targets.iter().filter(|target| target.name != name && target.covers(name).is_none()).find(|target| {
            let below = || target.below && than.is_none_or(|than| target.name.len() > than.name.len());
            let rest = name.len().checked_sub(target.name.len()).and_then(|at| name.as_bytes().split_at_checked(at));
            let named = rest.is_some_and(|(before, end)| {
                let ends = end.eq_ignore_ascii_case(target.name.as_bytes());
                ends && (before.is_empty() || before.ends_with(b".") && below())
            });
            named || net.is_some_and(|net| network(&target.name) == Some(net))
        })
    }

    /// The targets that belong to a group, by name.
    pub fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Target> {
        self.targets.iter().filter(move |target| target.groups.contains(group))
    }

    /// What is true instead of an example, where it does not hold.
    pub fn contradicts(&self, example: &TargetExample) -> Option<String> {
        let name = &example.target;
        let target = match (self.target(name), example.unknown) {
            (Some(_), true) => return Some(format!("`{name}` is in the inventory")),
            (None, false) => return Some(format!("`{name}` is not in the inventory")),
            (None, true) => return None,
            (Some(target), false) => target,
        };
        let differs = |wanted: &Option<String>, found: &String| wanted.as_ref().is_some_and(|wanted| wanted != found);
        if differs(&example.is, &target.is) {
            return Some(format!("`{name}` is a {}", target.is));
        }
        if differs(&example.environment, &target.environment) {
            return Some(format!("`{name}` is in the environment {}", target.environment));
        }
        let sets = [
            ("the tag", &target.tags, &example.tags, &example.not_tags),
            ("the group", &target.groups, &example.groups, &example.not_groups),
        ];
        sets.into_iter().find_map(|(what, has, wanted, unwanted)| {
            let lacks = wanted.difference(has).next().map(|one| format!("`{name}` has not {what} `{one}`"));
            lacks.or_else(|| unwanted.intersection(has).next().map(|one| format!("`{name}` has {what} `{one}`")))
        })
    }

    /// What is wrong with the environments of targets, and of those that reads may add, each with its place in the file.
    /// Policies compare them letter by letter, so `Production` would be none that they know, and no rule about it would hold.
    pub fn wrong_environments(&self) -> Vec<(String, String)> {
        let targets = self.targets.iter().map(|target| &target.environment).enumerate();
        let targets = targets.map(|(at, environment)| (format!("targets.{at}.environment"), environment));
        let found = self.found_by.iter().map(|by| &by.within.environment).enumerate();
        let found = found.map(|(at, environment)| (format!("found_by.{at}.within.environment"), environment));
        let wrong = |environment: &str| {
            let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
            environment.is_empty() || !environment.bytes().all(good)
        };
        let said = |(place, environment): (String, &String)| {
            let why = format!(
                "`{environment}` is no name of an environment: write it in lower-case letters, digits, `-`, `_` and `.`, such \
                 as `production`; policies compare it letter by letter"
            );
            wrong(environment).then_some((place, why))
        };
        let mut seen = BTreeSet::new();
        let once = |(_, environment): &(String, &String)| seen.insert(environment.to_string());
        targets.chain(found).filter(once).filter_map(said).collect()
    }

    /// What is wrong with the names of targets, each with its place among them: a name that stands twice, in whatever
    /// spelling, and an address that is none.
    pub fn wrong_names(&self) -> Vec<(usize, String)> {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        let mut found = Vec::new();
        for (at, name) in self.targets.iter().map(|target| target.name.as_str()).enumerate() {
            let one = network(name).map_or_else(|| name.to_lowercase(), |net| net.to_string());
            match seen.insert(one, name) {
                Some(other) if other == name => found.push((at, format!("`{name}` stands twice"))),
                Some(other) => found.push((
                    at,
                    format!("`{name}` and `{other}` are one target to systems that know no such difference; keep one"),
                )),
                None => {}
            }
            let block = name.split_once('/').is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok());
            let wrong = block.then(|| Format::Cidr.normalise(name).err()).flatten();
            found.extend(wrong.map(|why| (at, why)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::from_yaml;

    #[test]
    fn a_name_stands_once_in_whatever_spelling_and_an_address_is_one() {
        let wrong = |names: &[&str]| {
            let targets: Vec<String> =
                names.iter().map(|name| format!("{{name: '{name}', is: x, environment: lab}}")).collect();
            let text = format!("kind: inventory\ntargets: [{}]", targets.join(", "));
            from_yaml::<Inventory>("inventory.yaml", &text).unwrap().wrong_names()
        };
        let fine = ["sw01", "sw02", "corp.example.com", "192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "Gi1/0/1"];
        assert_eq!(wrong(&fine), []);
        for (name, says) in [
            ("sw01", "`sw01` stands twice"),
            ("SW02", "`SW02` and `sw02` are one target"),
            ("2001:0db8::/32", "`2001:0db8::/32` and `2001:db8::/32` are one target"),
            ("198.51.100.7/24", "has host bits; did you mean 198.51.100.0/24?"),
            ("198.51.100.0/33", "`198.51.100.0/33` is not a CIDR block"),
        ] {
            let found = wrong(&[&fine[..], &[name]].concat());
            assert!(found.len() == 1 && found[0].0 == fine.len() && found[0].1.contains(says), "{name}: {found:?}");
        }
    }

    #[test]
    fn an_entry_may_stand_for_what_is_below_it() {
        let text = "kind: inventory
targets:
  - {name: example.com, is: zone, environment: production, below: true}
  - {name: lab.example.com, is: zone, environment: lab, below: true}
  - {name: core.lab.example.com, is: zone, environment: test}
  - {name: 198.51.100.0/24, is: prefix, environment: lab, below: true}
  - {name: 198.51.100.128/25, is: prefix, environment: test, below: true}
  - {name: 203.0.113.0/24, is: prefix, environment: lab}
  - {name: '2001:db8::/32', is: prefix, environment: lab, below: true}
";
        let inventory: Inventory = from_yaml("inventory.yaml", text).unwrap();
        for (name, environment) in [
            ("example.com", Some("production")),
            ("www.example.com", Some("production")),
            ("a.b.lab.example.com", Some("lab")),
            ("core.lab.example.com", Some("test")),
            // An entry without `below` stands for itself alone; what is below it is the next one's.
            ("a.core.lab.example.com", Some("lab")),
            ("evilexample.com", None),
            (".example.com", None),
            ("a..example.com", None),
            ("example.com.evil.net", None),
            ("198.51.100.0/26", Some("lab")),
            ("198.51.100.192/26", Some("test")),
            ("198.51.100.7", Some("lab")),
            ("198.51.0.0/16", None),
            ("203.0.113.0/25", None),
            ("2001:db8:1::/48", Some("lab")),
            ("2001:db9::/48", None),
        ] {
            let found = inventory.target(name).map(|target| target.environment.as_str());
            assert_eq!(found, environment, "{name}");
        }
    }

    #[test]
    fn an_example_that_does_not_hold_says_what_is_true_instead() {
        let targets = "targets: [{name: sw01, is: switch, environment: lab, tags: [access], groups: [a]}]";
        for (example, instead) in [
            ("{target: sw01, is: switch, environment: lab, tags: [access], not_tags: [core], groups: [a]}", None),
            ("{target: sw09, unknown: true}", None),
            ("{target: sw09}", Some("`sw09` is not in the inventory")),
            ("{target: sw01, unknown: true}", Some("`sw01` is in the inventory")),
            ("{target: sw01, is: zone}", Some("`sw01` is a switch")),
            ("{target: sw01, environment: production}", Some("`sw01` is in the environment lab")),
            ("{target: sw01, tags: [core]}", Some("`sw01` has not the tag `core`")),
            ("{target: sw01, not_tags: [access]}", Some("`sw01` has the tag `access`")),
            ("{target: sw01, groups: [b]}", Some("`sw01` has not the group `b`")),
            ("{target: sw01, not_groups: [a]}", Some("`sw01` has the group `a`")),
        ] {
            let text = format!("kind: inventory\nexamples: [{example}]\n{targets}");
            let inventory: Inventory = from_yaml("inventory.yaml", &text).unwrap();
            assert_eq!(inventory.contradicts(&inventory.examples[0]).as_deref(), instead, "{example}");
        }
    }

    #[test]
    fn nothing_stands_for_a_name_that_an_entry_has_in_another_spelling() {
        let inventory: Inventory = from_yaml(
            "inventory",
            "kind: inventory
targets:
  - {name: example.com, is: zone, environment: lab, below: true}
  - {name: CORP.example.com, is: zone, environment: production, below: true}
  - {name: '2001:db8::/32', is: prefix, environment: lab, below: true}
  - {name: '2001:DB8::1', is: host, environment: production}
  - {name: 192.0.2.7/32, is: host, environment: lab, below: true}
  - {name: COM, is: zone, environment: production, below: true}
",
        )
        .unwrap();
        for (name, entry, spelled) in [
            ("example.com", Some("example.com"), None),
            ("a.example.com", Some("example.com"), None),
            ("corp.example.com", None, Some("CORP.example.com")),
            ("a.corp.example.com", None, Some("CORP.example.com")),
            ("evilcorp.example.com", Some("example.com"), None),
            ("CORP.example.com", Some("CORP.example.com"), None),
            ("2001:db8::1", None, Some("2001:DB8::1")),
            ("2001:db8::1/128", None, Some("2001:DB8::1")),
            ("2001:db8::2", Some("2001:db8::/32"), None),
            ("2001:DB8::1", Some("2001:DB8::1"), None),
            ("192.0.2.7", Some("192.0.2.7/32"), None),
            ("EXAMPLE.com", None, Some("example.com")),
            // What is wider than the entry that stands for it would not have stood for it.
            ("b.example.com", Some("example.com"), None),
            ("example.org.com", None, Some("COM")),
        ] {
            let named = |target: Option<&Target>| target.map(|target| target.name.clone());
            let found = (named(inventory.target(name)), named(inventory.spelled_otherwise(name)));
            assert_eq!(found, (entry.map(str::to_owned), spelled.map(str::to_owned)), "{name}");
        }
    }
}
