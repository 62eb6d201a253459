//! What the random grants and calls of [`super::interpreter`] are made of: for each argument of a few tools, values,
//! patterns, blocks, groups and bounds that meet each other closely.

use std::collections::BTreeMap;

use super::*;

/// Whether an argument that is an object may be left out, and what stands in for it.
pub(super) fn object(argument: &str) -> Option<Given> {
    match argument {
        "options" => Some(Given::Always),
        "extra" => Some(Given::Optional),
        "quiet" => Some(Given::Default),
        _ => None,
    }
}

/// An argument, or a member of one by its path: the values that calls give and grants name, patterns, blocks and groups to constrain it with.
pub(super) struct Pool {
    pub(super) values: Vec<Value>,
    pub(super) items: Vec<Value>,
    pub(super) patterns: &'static [&'static str],
    pub(super) blocks: &'static [&'static str],
    pub(super) groups: &'static [&'static str],
    pub(super) bounds: &'static [i64],
    pub(super) given: Given,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Given {
    Always,
    Optional,
    Default,
}

fn pool(values: Value, given: Given) -> Pool {
    let values = values.as_array().unwrap().clone();
    Pool { values, items: Vec::new(), patterns: &[], blocks: &[], groups: &[], bounds: &[], given }
}

pub(super) fn pools(tool: &str) -> BTreeMap<&'static str, Pool> {
    use Given::{Always, Default, Optional};
    let switches = json!(["sw01", "sw02", "core1", "prod1"]);
    let all: Vec<(&str, Pool)> = match tool {
        "port.trunk.set" => vec![
            (
                "switch",
                Pool {
                    groups: &["access-switches", "spares", "cores"],
                    patterns: &["sw*", "*1", "*", "core*", "s*0*", "*w0*1*"],
                    ..pool(switches.clone(), Always)
                },
            ),
            (
                "port",
                Pool {
                    patterns: &[
                        "Gi1/0/*",
                        "*",
                        "*/*/*",
                        "Gi*",
                        "G*i*/0/1",
                        "Gi1/0/1",
                        "**/0/**",
                        "*/1",
                        "Gi1/*/1*",
                        "*.100",
                        "Gi1/0/*.*",
                    ],
                    ..pool(
                        json!([
                            "Gi1/0/1",
                            "Gi1/0/10",
                            "Te1/0/1",
                            "Gi1",
                            "Gi1/0",
                            "Gi1/0/1.100",
                            "Gi1/0/1/1",
                            "gi1/0/1"
                        ]),
                        Always,
                    )
                },
            ),
            (
                "vlans",
                Pool { items: json!([1, 10, 20, 30, 4094]).as_array().unwrap().clone(), ..pool(json!([]), Always) },
            ),
            (
                "peers",
                Pool {
                    items: json!(["sw01", "sw02", "core1"]).as_array().unwrap().clone(),
                    ..pool(json!([]), Default)
                },
            ),
            ("native", Pool { bounds: &[-5, 0, 1, 7, 8, 4094], ..pool(json!([-5, 0, 1, 7, 8, 9, 4094]), Optional) }),
            ("tagged", pool(json!([true, false]), Default)),
            (
                "note",
                Pool {
                    patterns: &["a*", "*", "*b", "a*b", "a/*", "é*", "a*b*c", "\\*"],
                    ..pool(
                        json!(["a", "ab", "a/b", "a.b", "", "é", "a * b", "\\", "\\x", "\"", "abc", "a\\*b"]),
                        Optional,
                    )
                },
            ),
            (
                "in",
                Pool {
                    patterns: &["h*", "*.*", "*", "a.*", "*ere", "a.b*"],
                    ..pool(json!(["here", "there", "a.b", "a.b.c", "a-b", "Here"]), Default)
                },
            ),
        ],
        "port.set" => vec![
            (
                "switch",
                Pool {
                    groups: &["access-switches", "cores"],
                    patterns: &["sw*", "*1"],
                    ..pool(switches.clone(), Always)
                },
            ),
            ("port", Pool { patterns: &["Gi1/0/*"], ..pool(json!(["Gi1/0/1", "Gi1/0/2"]), Always) }),
            (
                "options.mtu",
                Pool { bounds: &[1280, 1500, 9000, 9216], ..pool(json!([1280, 1500, 8999, 9000]), Default) },
            ),
            ("options.up", pool(json!([true, false]), Always)),
            (
                "options.peer",
                Pool {
                    blocks: &["192.0.2.0/24", "192.0.2.8/29", "::/0", "0.0.0.0/0"],
                    ..pool(json!(["192.0.2.10", "192.0.2.200", "198.51.100.1", "2001:DB8:0::9"]), Optional)
                },
            ),
            ("options.via", Pool { groups: &["access-switches", "cores", "spares"], ..pool(switches, Optional) }),
            (
                "options.vlans",
                Pool { items: json!([1, 10, 20]).as_array().unwrap().clone(), ..pool(json!([]), Optional) },
            ),
            (
                "options.alias",
                Pool {
                    patterns: &["*.b.com", "*.com", "A.*.com"],
                    ..pool(json!(["a.b.com", "A.B.COM", "b.com"]), Optional)
                },
            ),
            ("extra.depth", Pool { bounds: &[0, 1, 2], ..pool(json!([0, 1, 2]), Default) }),
            ("extra.mark", Pool { patterns: &["a*", "*"], ..pool(json!(["a", "ab", "b", "a.b"]), Always) }),
            ("extra.note", Pool { patterns: &["a*"], ..pool(json!(["a", "b"]), Optional) }),
            ("quiet.hours", Pool { bounds: &[0, 8, 9], ..pool(json!([0, 8, 9]), Default) }),
        ],
        "dns.record.create" => vec![
            (
                "zone",
                Pool {
                    groups: &["lab-zones"],
                    patterns: &["*.example.com", "corp.*", "corp.*.com", "*.*.*", "CORP.example.com"],
                    ..pool(json!(["corp.example.com", "Corp.Example.com"]), Always)
                },
            ),
            (
                "name",
                Pool {
                    patterns: &["web*", "WEB*", "*", "w*b*", "*01", "w*0*", "web01"],
                    ..pool(json!(["web01", "WEB01", "db01", "w", "web", "wxb9"]), Always)
                },
            ),
            (
                "alias",
                Pool {
                    patterns: &["*.corp.example.com", "*.example.com", "*", "a.*.com", "*.*", "A.B.com"],
                    ..pool(
                        json!([
                            "a.corp.example.com",
                            "a.b.corp.example.com",
                            "corp.example.com",
                            "a.b.com",
                            "A.B.COM",
                            "com"
                        ]),
                        Optional,
                    )
                },
            ),
            (
                "address",
                Pool {
                    blocks: &[
                        "192.0.2.0/24",
                        "192.0.2.0/28",
                        "0.0.0.0/0",
                        "192.0.2.10/32",
                        "198.51.100.0/24",
                        "2001:db8::/32",
                        "::/0",
                        "2001:db8::9/128",
                        "128.0.0.0/1",
                    ],
                    ..pool(
                        json!([
                            "192.0.2.10",
                            "192.0.2.16",
                            "198.51.100.1",
                            "0.0.0.0",
                            "255.255.255.255",
                            "2001:db8::9",
                            "2001:DB8:0::9",
                            "2001:db9::1"
                        ]),
                        Always,
                    )
                },
            ),
            ("ttl", Pool { bounds: &[60, 300, 3600, 86400], ..pool(json!([60, 299, 300, 301, 3600, 86400]), Default) }),
        ],
        _ => vec![
            (
                "prefix",
                Pool {
                    groups: &["lab-prefixes"],
                    blocks: &["192.0.2.0/24", "192.0.0.0/16", "192.0.2.0/25", "0.0.0.0/0", "::/0", "192.0.3.0/24"],
                    ..pool(json!(["192.0.2.0/24"]), Always)
                },
            ),
            ("name", Pool { patterns: &["web*", "*"], ..pool(json!(["web01", "db01"]), Always) }),
        ],
    };
    all.into_iter().collect()
}
