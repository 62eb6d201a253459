//! One change of the simulated network, as data: what it sets, what half of it is, and how making it yields the edit
//! that takes it back. Pure; whether an edit is made is decided in `state`.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::network::{Network, Port, Record};

/// One change: sets one thing to a value, or with `None` removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Edit {
    Vlan { switch: String, id: u16, name: Option<String> },
    Port { switch: String, port: String, vlan: u16 },
    Description { switch: String, port: String, text: String },
    Record { zone: String, name: String, address: Ipv4Addr, ttl: Option<u32> },
    Address { prefix: String, address: Ipv4Addr, name: Option<String> },
}

impl Edit {
    /// What a device leaves behind that stops halfway: a name cut to half its characters, a TTL of 60 seconds (30
    /// where 60 was asked), a port description instead of the VLAN. Removing something, or a
    /// name of one character, has no half.
    pub(super) fn half(&self) -> Option<Self> {
        let mut edit = self.clone();
        match &mut edit {
            Self::Vlan { name: Some(name), .. } | Self::Address { name: Some(name), .. } => {
                *name = first_half(name)?;
            }
            Self::Record { ttl: Some(ttl), .. } => *ttl = if *ttl == 60 { 30 } else { 60 },
            Self::Port { switch, port, vlan } => {
                edit = Self::Description { switch: switch.clone(), port: port.clone(), text: format!("vlan {vlan}") };
            }
            Self::Vlan { name: None, .. }
            | Self::Address { name: None, .. }
            | Self::Record { ttl: None, .. }
            | Self::Description { .. } => return None,
        }
        Some(edit)
    }
}

impl Network {
    /// Makes the change and returns the change that takes it back. Without its target, which only a state file that
    /// was edited by hand can lack, nothing happens.
    pub(super) fn make(&mut self, edit: Edit) -> Edit {
        let mut back = edit.clone();
        match (edit, &mut back) {
            (Edit::Vlan { switch, id, name }, Edit::Vlan { name: before, .. }) => {
                if let Some(switch) = self.switches.get_mut(&switch) {
                    *before = set(&mut switch.vlans, id, name);
                }
            }
            (Edit::Port { switch, port, vlan }, Edit::Port { vlan: before, .. }) => {
                if let Some(port) = self.port_mut(&switch, &port) {
                    *before = std::mem::replace(&mut port.vlan, vlan);
                }
            }
            (Edit::Description { switch, port, text }, Edit::Description { text: before, .. }) => {
                if let Some(port) = self.port_mut(&switch, &port) {
                    *before = std::mem::replace(&mut port.description, text);
                }
            }
            (Edit::Record { zone, name, address, ttl }, Edit::Record { ttl: before, .. }) => {
                if let Some(records) = self.zones.get_mut(&zone) {
                    let same = |record: &Record| record.name == name && record.address == address;
                    *before = records.iter().find(|record| same(record)).map(|record| record.ttl);
                    records.retain(|record| !same(record));
                    records.extend(ttl.map(|ttl| Record { name: name.clone(), address, ttl }));
                    records.sort();
                }
            }
            (Edit::Address { prefix, address, name }, Edit::Address { name: before, .. }) => {
                if let Some(addresses) = self.prefixes.get_mut(&prefix) {
                    *before = set(addresses, address, name);
                }
            }
            // `back` is a copy of the same variant.
            _ => {}
        }
        back
    }

    fn port_mut(&mut self, switch: &str, port: &str) -> Option<&mut Port> {
        self.switches.get_mut(switch)?.ports.get_mut(port)
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

fn first_half(name: &str) -> Option<String> {
    let half: String = name.chars().take(name.chars().count() / 2).collect();
    (!half.is_empty()).then_some(half)
}
