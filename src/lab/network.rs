//! The simulated network itself: what exists, what a call answers, and what it would change. Pure: a call is turned
//! into an answer and at most one edit; whether the edit happens, in full or at all, is decided by the caller, which is
//! where the faults are.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{edit::Edit, tool::Operation};

/// A whole simulated network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Switches by name.
    pub switches: BTreeMap<String, Switch>,
    /// DNS zones by name; only A records.
    pub zones: BTreeMap<String, Vec<Record>>,
    /// IPAM prefixes in CIDR notation, each with its allocated addresses and what they are for.
    pub prefixes: BTreeMap<String, BTreeMap<Ipv4Addr, String>>,
}

/// A simulated switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// VLAN names by VLAN id.
    pub vlans: BTreeMap<u16, String>,
    /// Ports by name.
    pub ports: BTreeMap<String, Port>,
}

/// A simulated access port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// The access VLAN.
    pub vlan: u16,
    /// A remark that only a half-done `port.vlan.set` writes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A simulated A record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The host name inside the zone.
    pub name: String,
    /// The address it resolves to.
    pub address: Ipv4Addr,
    /// Time to live in seconds.
    pub ttl: u32,
}

impl Network {
    /// The network as `countersign lab reset` makes it.
    pub fn initial() -> Self {
        let vlans = [(1, "default"), (10, "office"), (20, "voice")];
        let switch = Switch {
            vlans: vlans.map(|(id, name)| (id, name.to_owned())).into(),
            ports: (1..=8)
                .map(|number| {
                    let vlan = if number <= 4 { 10 } else { 1 };
                    let description = String::new();
                    (format!("Gi1/0/{number}"), Port { vlan, description })
                })
                .collect(),
        };
        let hosts = [("ns1", 2), ("mail", 5), ("www", 7)].map(|(name, last)| (name, Ipv4Addr::new(192, 0, 2, last)));
        let mut records: Vec<Record> = hosts
            .iter()
            .map(|(name, address)| Record { name: (*name).to_owned(), address: *address, ttl: 3600 })
            .collect();
        records.sort();
        let mut office: BTreeMap<_, _> = hosts.map(|(name, address)| (address, name.to_owned())).into();
        office.insert(Ipv4Addr::new(192, 0, 2, 1), "gateway".to_owned());
        let branch = BTreeMap::from([(Ipv4Addr::new(198, 51, 100, 1), "gateway".to_owned())]);
        Self {
            switches: (1..=4).map(|number| (format!("sw{number:02}"), switch.clone())).collect(),
            zones: BTreeMap::from([("corp.example.com".to_owned(), records)]),
            prefixes: BTreeMap::from([("192.0.2.0/24".to_owned(), office), ("198.51.100.0/24".to_owned(), branch)]),
        }
    }

    /// What the call answers and what it would change. Nothing is changed here. An error is a message for the caller
    /// of the tool.
    pub(super) fn plan(&self, operation: &Operation) -> Result<(Value, Option<Edit>), String> {
        match operation {
            Operation::VlanList { .. }
            | Operation::PortList { .. }
            | Operation::RecordsList { .. }
            | Operation::AddressesList { .. } => Ok((self.read(operation)?, None)),
            Operation::VlanCreate { switch, id, name } => {
                if let Some(present) = self.switch(switch)?.vlans.get(id) {
                    return Err(format!("VLAN {id} exists on {switch} as `{present}`"));
                }
                Ok(name_vlan(switch, *id, name))
            }
            Operation::VlanRename { switch, id, name } => {
                self.vlan(switch, *id)?;
                Ok(name_vlan(switch, *id, name))
            }
            Operation::VlanDelete { switch, id } => {
                self.vlan(switch, *id)?;
                let mut ports = self.switch(switch)?.ports.iter();
                if let Some((port, _)) = ports.find(|(_, port)| port.vlan == *id) {
                    return Err(format!("VLAN {id} on {switch} is in use by port {port}"));
                }
                let edit = Edit::Vlan { switch: switch.clone(), id: *id, name: None };
                Ok((json!({"switch": switch, "id": id}), Some(edit)))
            }
            Operation::PortVlanSet { switch, port, vlan } => {
                let ports = &self.switch(switch)?.ports;
                known(ports, &format!("port on {switch}"), port)?;
                self.vlan(switch, *vlan)?;
                let edit = Edit::Port { switch: switch.clone(), port: port.clone(), vlan: *vlan };
                Ok((json!({"switch": switch, "port": port, "vlan": vlan}), Some(edit)))
            }
            Operation::RecordCreate { zone, name, address, ttl } => {
                if self.has_record(zone, name, *address)? {
                    return Err(format!("`{name}` has {address} in {zone} already"));
                }
                let answer = json!({"zone": zone, "name": name, "address": address, "ttl": ttl});
                Ok((answer, Some(record_edit(zone, name, *address, Some(*ttl)))))
            }
            Operation::RecordDelete { zone, name, address } => {
                if !self.has_record(zone, name, *address)? {
                    return Err(format!("`{name}` does not have {address} in {zone}"));
                }
                let answer = json!({"zone": zone, "name": name, "address": address});
                Ok((answer, Some(record_edit(zone, name, *address, None))))
            }
            Operation::AddressAllocate { prefix, name } => {
                let taken = known(&self.prefixes, "prefix", prefix)?;
                let address = network_of(prefix)?
                    .hosts()
                    .find(|host| !taken.contains_key(host))
                    .ok_or_else(|| format!("no free address in {prefix}"))?;
                let edit = Edit::Address { prefix: prefix.clone(), address, name: Some(name.clone()) };
                Ok((json!({"prefix": prefix, "address": address, "name": name}), Some(edit)))
            }
            Operation::AddressRelease { prefix, address } => {
                if !known(&self.prefixes, "prefix", prefix)?.contains_key(address) {
                    return Err(format!("{address} is not allocated in {prefix}"));
                }
                let edit = Edit::Address { prefix: prefix.clone(), address: *address, name: None };
                Ok((json!({"prefix": prefix, "address": address}), Some(edit)))
            }
        }
    }

    fn read(&self, operation: &Operation) -> Result<Value, String> {
        let target = operation.target();
        match operation {
            Operation::RecordsList { .. } => {
                let records = known(&self.zones, "zone", target)?;
                Ok(json!({"zone": target, "records": records}))
            }
            Operation::AddressesList { .. } => {
                let taken = known(&self.prefixes, "prefix", target)?;
                let hosts = network_of(target)?.hosts();
                let free = hosts.filter(|host| !taken.contains_key(host)).count();
                let addresses: Vec<Value> =
                    taken.iter().map(|(address, name)| json!({"address": address, "name": name})).collect();
                Ok(json!({"prefix": target, "addresses": addresses, "free": free}))
            }
            Operation::PortList { .. } => {
                let ports = self.switch(target)?.ports.iter();
                let ports: Vec<Value> =
                    ports.map(|(port, Port { vlan, .. })| json!({"port": port, "vlan": vlan})).collect();
                Ok(json!({"switch": target, "ports": ports}))
            }
            _ => {
                let vlans = self.switch(target)?.vlans.iter();
                let vlans: Vec<Value> = vlans.map(|(id, name)| json!({"id": id, "name": name})).collect();
                Ok(json!({"switch": target, "vlans": vlans}))
            }
        }
    }

    fn switch(&self, name: &str) -> Result<&Switch, String> {
        known(&self.switches, "switch", name)
    }

    fn vlan(&self, switch: &str, id: u16) -> Result<(), String> {
        match self.switch(switch)?.vlans.contains_key(&id) {
            true => Ok(()),
            false => Err(format!("no VLAN {id} on {switch}")),
        }
    }

    fn has_record(&self, zone: &str, name: &str, address: Ipv4Addr) -> Result<bool, String> {
        let records = known(&self.zones, "zone", zone)?;
        Ok(records.iter().any(|record| record.name == name && record.address == address))
    }
}

fn name_vlan(switch: &str, id: u16, name: &str) -> (Value, Option<Edit>) {
    let edit = Edit::Vlan { switch: switch.to_owned(), id, name: Some(name.to_owned()) };
    (json!({"switch": switch, "id": id, "name": name}), Some(edit))
}

fn record_edit(zone: &str, name: &str, address: Ipv4Addr, ttl: Option<u32>) -> Edit {
    let (zone, name) = (zone.to_owned(), name.to_owned());
    Edit::Record { zone, name, address, ttl }
}

fn network_of(prefix: &str) -> Result<Ipv4Net, String> {
    prefix.parse().map_err(|_| format!("`{prefix}` in the state file is not a prefix"))
}

/// Looks up a name, and says which names there are when it is none of them.
fn known<'a, V>(map: &'a BTreeMap<String, V>, what: &str, name: &str) -> Result<&'a V, String> {
    map.get(name).ok_or_else(|| {
        let names: Vec<&str> = map.keys().map(String::as_str).collect();
        format!("no {what} `{}`; known: {}", name.escape_debug(), names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(network: &Network, tool: &str, arguments: Value) -> Result<(Value, Option<Edit>), String> {
        network.plan(&Operation::parse(tool, arguments.as_object().unwrap())?)
    }

    fn call(network: &mut Network, tool: &str, arguments: Value) -> Value {
        let (answer, edit) = plan(network, tool, arguments).unwrap();
        if let Some(edit) = edit {
            network.make(edit);
        }
        answer
    }

    #[test]
    fn a_read_answers_what_is_there_in_order() {
        let mut network = Network::initial();
        let cases = [
            (
                "vlan.list",
                json!({"switch": "sw04"}),
                json!({"switch": "sw04", "vlans": [{"id": 1, "name": "default"}, {"id": 10, "name": "office"}, {"id": 20, "name": "voice"}]}),
            ),
            (
                "dns.records.list",
                json!({"zone": "corp.example.com"}),
                json!({"zone": "corp.example.com", "records": [
                    {"name": "mail", "address": "192.0.2.5", "ttl": 3600},
                    {"name": "ns1", "address": "192.0.2.2", "ttl": 3600},
                    {"name": "www", "address": "192.0.2.7", "ttl": 3600}]}),
            ),
            (
                "ipam.addresses.list",
                json!({"prefix": "198.51.100.0/24"}),
                json!({"prefix": "198.51.100.0/24", "addresses": [{"address": "198.51.100.1", "name": "gateway"}], "free": 253}),
            ),
        ];
        for (tool, arguments, answer) in cases {
            assert_eq!(call(&mut network, tool, arguments), answer);
        }
        let ports = call(&mut network, "port.list", json!({"switch": "sw02"}));
        assert_eq!(ports["ports"].as_array().unwrap().len(), 8);
        assert_eq!(ports["ports"][3], json!({"port": "Gi1/0/4", "vlan": 10}));
        assert_eq!(ports["ports"][4], json!({"port": "Gi1/0/5", "vlan": 1}));
        assert_eq!(network, Network::initial());
    }

    #[test]
    fn a_write_changes_what_it_says_and_can_be_taken_back() {
        let zone = "corp.example.com";
        let cases = [
            ("vlan.create", json!({"switch": "sw01", "id": 30, "name": "lab"})),
            ("vlan.rename", json!({"switch": "sw01", "id": 20, "name": "phones"})),
            ("vlan.delete", json!({"switch": "sw01", "id": 20})),
            ("port.vlan.set", json!({"switch": "sw01", "port": "Gi1/0/1", "vlan": 20})),
            ("dns.record.create", json!({"zone": zone, "name": "web01", "address": "192.0.2.10", "ttl": 300})),
            ("dns.record.delete", json!({"zone": zone, "name": "www", "address": "192.0.2.7"})),
            ("ipam.address.release", json!({"prefix": "192.0.2.0/24", "address": "192.0.2.7"})),
        ];
        for (tool, arguments) in cases {
            let mut network = Network::initial();
            let (answer, edit) = plan(&network, tool, arguments.clone()).unwrap();
            assert_eq!(answer, arguments, "{tool}");
            let back = network.make(edit.unwrap());
            assert_ne!(network, Network::initial(), "{tool}");
            network.make(back);
            assert_eq!(network, Network::initial(), "{tool}");
        }
    }

    #[test]
    fn the_lowest_free_address_is_allocated_until_there_is_none() {
        let mut network = Network::initial();
        let arguments = json!({"prefix": "192.0.2.0/24", "name": "web"});
        for expected in ["192.0.2.3", "192.0.2.4", "192.0.2.6", "192.0.2.8"] {
            let answer = call(&mut network, "ipam.address.allocate", arguments.clone());
            assert_eq!(answer["address"], expected);
        }
        for _ in 0..246 {
            call(&mut network, "ipam.address.allocate", arguments.clone());
        }
        let full = plan(&network, "ipam.address.allocate", arguments).unwrap_err();
        assert_eq!(full, "no free address in 192.0.2.0/24");
        let listed = call(&mut network, "ipam.addresses.list", json!({"prefix": "192.0.2.0/24"}));
        assert_eq!(listed["free"], 0);
        assert_eq!(listed["addresses"][253]["address"], "192.0.2.254");
    }

    #[test]
    fn a_call_that_does_not_fit_the_network_says_why() {
        let network = Network::initial();
        let zone = "corp.example.com";
        let cases = [
            ("vlan.list", json!({"switch": "sw09"}), "no switch `sw09`; known: sw01, sw02, sw03, sw04"),
            ("vlan.create", json!({"switch": "sw01", "id": 10, "name": "x"}), "VLAN 10 exists on sw01 as `office`"),
            ("vlan.rename", json!({"switch": "sw01", "id": 30, "name": "x"}), "no VLAN 30 on sw01"),
            ("vlan.delete", json!({"switch": "sw01", "id": 30}), "no VLAN 30 on sw01"),
            ("vlan.delete", json!({"switch": "sw01", "id": 10}), "VLAN 10 on sw01 is in use by port Gi1/0/1"),
            ("port.vlan.set", json!({"switch": "sw01", "port": "Gi1/0/1", "vlan": 30}), "no VLAN 30 on sw01"),
            (
                "port.vlan.set",
                json!({"switch": "sw01", "port": "Gi1/0/9", "vlan": 10}),
                "no port on sw01 `Gi1/0/9`; known: Gi1/0/1, Gi1/0/2, Gi1/0/3, Gi1/0/4, Gi1/0/5, Gi1/0/6, Gi1/0/7, Gi1/0/8",
            ),
            ("dns.records.list", json!({"zone": "example.org"}), "no zone `example.org`; known: corp.example.com"),
            (
                "dns.record.create",
                json!({"zone": zone, "name": "www", "address": "192.0.2.7", "ttl": 60}),
                "`www` has 192.0.2.7 in corp.example.com already",
            ),
            (
                "dns.record.delete",
                json!({"zone": zone, "name": "www", "address": "192.0.2.8"}),
                "`www` does not have 192.0.2.8 in corp.example.com",
            ),
            (
                "ipam.address.allocate",
                json!({"prefix": "10.0.0.0/8", "name": "x"}),
                "no prefix `10.0.0.0/8`; known: 192.0.2.0/24, 198.51.100.0/24",
            ),
            (
                "ipam.address.release",
                json!({"prefix": "192.0.2.0/24", "address": "192.0.2.99"}),
                "192.0.2.99 is not allocated in 192.0.2.0/24",
            ),
        ];
        for (tool, arguments, message) in cases {
            assert_eq!(plan(&network, tool, arguments).unwrap_err(), message, "{tool}");
        }
    }
}
