//! A network in small, for tests: what the calls of a [`super::fixture::Chain`] read and change.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Four switches, an IPAM and a zone.
pub(crate) struct Network {
    /// VLANs by switch.
    pub(crate) vlans: BTreeMap<String, BTreeMap<i64, String>>,
    /// Addresses by name.
    addresses: BTreeMap<String, String>,
    /// Records: name, address, ttl.
    records: Vec<(String, String, i64)>,
}

impl Network {
    pub(super) fn new() -> Self {
        let vlans = ["sw01", "sw02", "sw03", "sw04"]
            .map(|switch| (switch.to_owned(), BTreeMap::from([(1, "default".to_owned()), (20, "voice".to_owned())])));
        Self {
            vlans: vlans.into(),
            addresses: BTreeMap::from([("www".into(), "192.0.2.7".into())]),
            records: vec![("www".into(), "192.0.2.7".into(), 3600)],
        }
    }

    /// What a tool answers, after it did what it does.
    pub(super) fn answer(&mut self, tool: &str, args: &Map<String, Value>) -> Result<Value, String> {
        let text = |name: &str| args[name].as_str().unwrap().to_owned();
        let number = |name: &str| args[name].as_i64().unwrap();
        if tool.starts_with("vlan.") {
            let vlans = self.vlans.get_mut(&text("switch")).ok_or("no such switch")?;
            match tool {
                "vlan.list" => {}
                "vlan.delete" => drop(vlans.remove(&number("id"))),
                _ => drop(vlans.insert(number("id"), text("name"))),
            }
            let listed: Vec<Value> = vlans.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
            return Ok(if tool == "vlan.list" { json!({"vlans": listed}) } else { json!({}) });
        }
        match tool {
            "ipam.addresses.list" => {
                let all = self.addresses.iter().map(|(name, at)| json!({"name": name, "address": at}));
                Ok(json!({"addresses": all.collect::<Vec<_>>(), "free": 200}))
            }
            "ipam.address.allocate" => {
                let address = format!("192.0.2.{}", 10 + self.addresses.len());
                self.addresses.insert(text("name"), address.clone());
                Ok(json!({"address": address, "name": text("name")}))
            }
            "ipam.address.release" => {
                self.addresses.retain(|_, at| *at != text("address"));
                Ok(json!({}))
            }
            "dns.records.list" => {
                let all = self.records.iter().map(|(n, a, ttl)| json!({"name": n, "address": a, "ttl": ttl}));
                Ok(json!({"records": all.collect::<Vec<_>>()}))
            }
            "dns.record.create" => {
                self.records.push((text("name"), text("address"), number("ttl")));
                Ok(json!({}))
            }
            other => Err(format!("{other} is not played here")),
        }
    }
}
