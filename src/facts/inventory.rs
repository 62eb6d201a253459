//! `policies/inventory.yaml`: the targets that tools may name, with their environments, tags and groups.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Always `inventory`.
    pub kind: InventoryKind,
    /// The targets.
    pub targets: Vec<Target>,
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
}

impl Inventory {
    /// The target with this name.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }

    /// The targets that belong to a group, by name.
    pub fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Target> {
        self.targets.iter().filter(move |target| target.groups.contains(group))
    }

    /// Names that stand twice.
    pub fn duplicates(&self) -> Vec<&str> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for target in &self.targets {
            *seen.entry(&target.name).or_default() += 1;
        }
        seen.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect()
    }
}
