//! The twelve tools of the simulated network: their names, descriptions and input schemas as a client sees them,
//! and [`Operation`], a call whose arguments have been read strictly. Pure; it knows nothing of the network's state.

use std::net::Ipv4Addr;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One tool as `tools/list` shows it.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    /// The read that shows what this tool changes; a read names itself.
    pub(super) shown_by: &'static str,
    pub(super) destructive: bool,
    arguments: &'static [Argument],
}

#[derive(Debug, Clone, Copy)]
enum Argument {
    Switch,
    Id,
    VlanName,
    Port,
    Vlan,
    Zone,
    RecordName,
    Address,
    Ttl,
    Prefix,
    AddressName,
}

/// All tools, in the order in which they are listed.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "vlan.list",
        description: "List the VLANs of a simulated switch.",
        shown_by: "vlan.list",
        destructive: false,
        arguments: &[Argument::Switch],
    },
    Tool {
        name: "vlan.create",
        description: "Create a VLAN on a simulated switch.",
        shown_by: "vlan.list",
        destructive: false,
        arguments: &[Argument::Switch, Argument::Id, Argument::VlanName],
    },
    Tool {
        name: "vlan.rename",
        description: "Rename a VLAN of a simulated switch.",
        shown_by: "vlan.list",
        destructive: false,
        arguments: &[Argument::Switch, Argument::Id, Argument::VlanName],
    },
    Tool {
        name: "vlan.delete",
        description: "Delete a VLAN that no port uses from a simulated switch.",
        shown_by: "vlan.list",
        destructive: true,
        arguments: &[Argument::Switch, Argument::Id],
    },
    Tool {
        name: "port.list",
        description: "List the ports of a simulated switch with their access VLANs.",
        shown_by: "port.list",
        destructive: false,
        arguments: &[Argument::Switch],
    },
    Tool {
        name: "port.vlan.set",
        description: "Set the access VLAN of a port of a simulated switch.",
        shown_by: "port.list",
        destructive: false,
        arguments: &[Argument::Switch, Argument::Port, Argument::Vlan],
    },
    Tool {
        name: "dns.records.list",
        description: "List the A records of a simulated DNS zone.",
        shown_by: "dns.records.list",
        destructive: false,
        arguments: &[Argument::Zone],
    },
    Tool {
        name: "dns.record.create",
        description: "Create an A record in a simulated DNS zone.",
        shown_by: "dns.records.list",
        destructive: false,
        arguments: &[Argument::Zone, Argument::RecordName, Argument::Address, Argument::Ttl],
    },
    Tool {
        name: "dns.record.delete",
        description: "Delete an A record from a simulated DNS zone.",
        shown_by: "dns.records.list",
        destructive: true,
        arguments: &[Argument::Zone, Argument::RecordName, Argument::Address],
    },
    Tool {
        name: "ipam.addresses.list",
        description: "List the allocated addresses of a simulated prefix and count the free ones.",
        shown_by: "ipam.addresses.list",
        destructive: false,
        arguments: &[Argument::Prefix],
    },
    Tool {
        name: "ipam.address.allocate",
        description: "Allocate the lowest free host address of a simulated prefix.",
        shown_by: "ipam.addresses.list",
        destructive: false,
        arguments: &[Argument::Prefix, Argument::AddressName],
    },
    Tool {
        name: "ipam.address.release",
        description: "Release an allocated address of a simulated prefix.",
        shown_by: "ipam.addresses.list",
        destructive: true,
        arguments: &[Argument::Prefix, Argument::Address],
    },
];

impl Tool {
    /// The tool of that name.
    pub(super) fn named(name: &str) -> Option<&'static Tool> {
        TOOLS.iter().find(|tool| tool.name == name)
    }

    /// Whether a call can change the network.
    pub(super) fn writes(&self) -> bool {
        self.name != self.shown_by
    }

    /// The JSON Schema of the arguments: all are required, and nothing else is taken.
    pub(super) fn input_schema(&self) -> Map<String, Value> {
        let properties: Map<String, Value> = self.arguments.iter().map(|argument| argument.property()).collect();
        let required: Vec<String> = properties.keys().cloned().collect();
        let mut schema = Map::new();
        schema.insert("type".into(), json!("object"));
        schema.insert("properties".into(), Value::Object(properties));
        schema.insert("required".into(), json!(required));
        schema.insert("additionalProperties".into(), json!(false));
        schema
    }
}

impl Argument {
    fn property(self) -> (String, Value) {
        let text = |description| json!({"type": "string", "minLength": 1, "description": description});
        let vlan = |description| json!({"type": "integer", "minimum": 1, "maximum": 4094, "description": description});
        let (name, schema) = match self {
            Self::Switch => ("switch", text("switch, for example sw01")),
            Self::Id => ("id", vlan("VLAN id")),
            Self::VlanName => {
                ("name", json!({"type": "string", "minLength": 1, "maxLength": 32, "description": "VLAN name"}))
            }
            Self::Port => ("port", text("port, for example Gi1/0/1")),
            Self::Vlan => ("vlan", vlan("access VLAN, which must exist on the switch")),
            Self::Zone => ("zone", text("zone, for example corp.example.com")),
            Self::RecordName => (
                "name",
                json!({"type": "string", "minLength": 1, "maxLength": 63, "description": "host name inside the zone, one label"}),
            ),
            Self::Address => ("address", json!({"type": "string", "format": "ipv4", "description": "IPv4 address"})),
            Self::Ttl => (
                "ttl",
                json!({"type": "integer", "minimum": 1, "maximum": MAX_TTL, "description": "time to live in seconds"}),
            ),
            Self::Prefix => ("prefix", text("prefix, for example 192.0.2.0/24")),
            Self::AddressName => (
                "name",
                json!({"type": "string", "minLength": 1, "maxLength": 64, "description": "what the address is for"}),
            ),
        };
        (name.into(), schema)
    }
}

/// The longest time to live, RFC 2181 section 8.
const MAX_TTL: u32 = 2_147_483_647;

/// A call with its arguments read: names are not yet looked up, but every value has its type and its range.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Operation {
    #[serde(rename = "vlan.list")]
    VlanList { switch: String },
    #[serde(rename = "vlan.create")]
    VlanCreate { switch: String, id: u16, name: String },
    #[serde(rename = "vlan.rename")]
    VlanRename { switch: String, id: u16, name: String },
    #[serde(rename = "vlan.delete")]
    VlanDelete { switch: String, id: u16 },
    #[serde(rename = "port.list")]
    PortList { switch: String },
    #[serde(rename = "port.vlan.set")]
    PortVlanSet { switch: String, port: String, vlan: u16 },
    #[serde(rename = "dns.records.list")]
    RecordsList { zone: String },
    #[serde(rename = "dns.record.create")]
    RecordCreate { zone: String, name: String, address: Ipv4Addr, ttl: u32 },
    #[serde(rename = "dns.record.delete")]
    RecordDelete { zone: String, name: String, address: Ipv4Addr },
    #[serde(rename = "ipam.addresses.list")]
    AddressesList { prefix: String },
    #[serde(rename = "ipam.address.allocate")]
    AddressAllocate { prefix: String, name: String },
    #[serde(rename = "ipam.address.release")]
    AddressRelease { prefix: String, address: Ipv4Addr },
}

impl Operation {
    /// Reads a call strictly: unknown, missing or ill-typed arguments and values out of range are errors.
    pub(super) fn parse(tool: &str, arguments: &Map<String, Value>) -> Result<Self, String> {
        // As `{"tool": {arguments}}` this is serde's own shape for an enum, so nothing is matched by hand.
        let operation: Self =
            serde_json::from_value(json!({ tool: arguments })).map_err(|error| format!("`{tool}`: {error}"))?;
        operation.in_range()?;
        Ok(operation)
    }

    /// The switch, zone or prefix that the call is about.
    pub(super) fn target(&self) -> &str {
        match self {
            Self::VlanList { switch }
            | Self::VlanCreate { switch, .. }
            | Self::VlanRename { switch, .. }
            | Self::VlanDelete { switch, .. }
            | Self::PortList { switch }
            | Self::PortVlanSet { switch, .. } => switch,
            Self::RecordsList { zone } | Self::RecordCreate { zone, .. } | Self::RecordDelete { zone, .. } => zone,
            Self::AddressesList { prefix }
            | Self::AddressAllocate { prefix, .. }
            | Self::AddressRelease { prefix, .. } => prefix,
        }
    }

    fn in_range(&self) -> Result<(), String> {
        match self {
            Self::VlanCreate { id, name, .. } | Self::VlanRename { id, name, .. } => {
                vlan_id(*id)?;
                text("name", name, 32)
            }
            Self::VlanDelete { id: vlan, .. } | Self::PortVlanSet { vlan, .. } => vlan_id(*vlan),
            Self::RecordCreate { name, ttl, .. } => {
                if !(1..=MAX_TTL).contains(ttl) {
                    return Err(format!("ttl {ttl} is not between 1 and {MAX_TTL}"));
                }
                label(name)
            }
            Self::RecordDelete { name, .. } => label(name),
            Self::AddressAllocate { name, .. } => text("name", name, 64),
            Self::VlanList { .. }
            | Self::PortList { .. }
            | Self::RecordsList { .. }
            | Self::AddressesList { .. }
            | Self::AddressRelease { .. } => Ok(()),
        }
    }
}

fn vlan_id(id: u16) -> Result<(), String> {
    if (1..=4094).contains(&id) { Ok(()) } else { Err(format!("VLAN id {id} is not between 1 and 4094")) }
}

fn text(argument: &str, value: &str, longest: usize) -> Result<(), String> {
    if value.is_empty() || value.chars().count() > longest || value.chars().any(char::is_control) {
        Err(format!("{argument} `{}` is not 1 to {longest} printable characters", value.escape_debug()))
    } else {
        Ok(())
    }
}

/// One label of a host name: letters, digits and inner hyphens, RFC 1123 section 2.1.
fn label(name: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if (1..=63).contains(&name.len()) && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-') {
        Ok(())
    } else {
        Err(format!("name `{}` is not one host name label", name.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn every_schema_takes_what_its_operation_takes() {
        let every = json!({"switch": "sw01", "id": 30, "name": "lab", "port": "Gi1/0/1", "vlan": 10,
            "zone": "corp.example.com", "address": "192.0.2.9", "ttl": 60, "prefix": "192.0.2.0/24"});
        for tool in TOOLS {
            let schema = Value::Object(tool.input_schema());
            assert_eq!(schema["additionalProperties"], json!(false), "{}", tool.name);
            let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
            let exact: Map<String, Value> =
                names.iter().map(|name| ((*name).clone(), every[name.as_str()].clone())).collect();
            assert!(jsonschema::is_valid(&schema, &json!(exact)), "{}", tool.name);
            Operation::parse(tool.name, &exact).unwrap();
            for name in names {
                let mut short = exact.clone();
                short.remove(name);
                assert!(!jsonschema::is_valid(&schema, &json!(short)));
                Operation::parse(tool.name, &short).unwrap_err();
            }
            let mut long = exact;
            long.insert("force".into(), json!(true));
            assert!(!jsonschema::is_valid(&schema, &json!(long)));
            Operation::parse(tool.name, &long).unwrap_err();
        }
    }

    #[test]
    fn a_value_out_of_range_is_an_error() {
        let cases = [
            ("vlan.create", json!({"switch": "sw01", "id": 0, "name": "x"})),
            ("vlan.create", json!({"switch": "sw01", "id": 4095, "name": "x"})),
            ("vlan.create", json!({"switch": "sw01", "id": "30", "name": "x"})),
            ("vlan.create", json!({"switch": "sw01", "id": 30, "name": "a\nb"})),
            ("vlan.rename", json!({"switch": "sw01", "id": 30, "name": ""})),
            ("dns.record.create", json!({"zone": "z", "name": "a.b", "address": "192.0.2.1", "ttl": 60})),
            ("dns.record.create", json!({"zone": "z", "name": "a", "address": "192.0.2.256", "ttl": 60})),
            ("dns.record.create", json!({"zone": "z", "name": "a", "address": "192.0.2.1", "ttl": 0})),
            ("vlan.drop", json!({"switch": "sw01"})),
        ];
        for (tool, value) in cases {
            let answer = Operation::parse(tool, &arguments(value.clone()));
            assert!(answer.is_err(), "{tool} {value}: {answer:?}");
        }
    }
}
