//! Arguments that mean one thing to whoever decides and another to whoever acts: each is refused, or decided and sent
//! in one and the same normal form.

use super::*;
use crate::artifact::{from_json, value::depth};

const GRANT: &str = "{zone: {is: corp.example.com}, name: {like: 'web*'}, address: {in_range: 192.0.2.0/24}, ttl: {min: 60, max: 3600}}";

/// What is sent for a call of the build agent that an approver agreed to, or why nothing is.
fn sent(tool_name: &str, grant: &str, call: &Value) -> Result<Map<String, Value>, String> {
    let catalog = catalog();
    let tool = tool(&catalog, tool_name);
    let normal = catalog.toolbox.check_args(tool, call.as_object().unwrap()).map_err(|problem| problem.to_string())?;
    inside(&catalog, &build_spec(tool_name, grant), tool_name, &Value::Object(normal.clone())).map(|_| normal)
}

fn record(more: &Value) -> Value {
    let mut call = json!({"zone": "corp.example.com", "name": "web01", "address": "192.0.2.10", "ttl": 300});
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call
}

#[test]
fn what_is_spelt_otherwise_is_sent_as_it_was_decided_or_not_at_all() {
    let plain = sent("dns.record.create", GRANT, &record(&json!({}))).unwrap();
    assert_eq!(Value::Object(plain.clone()), record(&json!({})));
    // Another spelling of the same thing gets the same bytes, so one approval and one count are for both.
    for same in [json!({"name": "WEB01"}), json!({"zone": "Corp.EXAMPLE.com"}), json!({"name": "wEb01"})] {
        assert_eq!(sent("dns.record.create", GRANT, &record(&same)), Ok(plain.clone()), "{same}");
    }
    let refused: &[(Value, &str)] = &[
        // Extra fields, and names in the wrong case
        (json!({"force": true}), "no such argument"),
        (json!({"Name": "web02"}), "no such argument"),
        (json!({"name ": "web02"}), "no such argument"),
        (json!({"__entity": {"type": "Agent", "id": "build"}}), "no such argument"),
        (json!({"__extn": {"fn": "ip", "arg": "192.0.2.1"}}), "no such argument"),
        (json!({"args": {"name": "web02"}}), "no such argument"),
        // Look-alikes
        (json!({"name": "w\u{435}b01"}), "not a DNS label"),
        (json!({"name": "web\u{ff10}1"}), "not a DNS label"),
        (json!({"name": "web01\u{200b}"}), "invisible"),
        (json!({"name": "web\u{ad}01"}), "invisible"),
        (json!({"name": "web\u{e0061}"}), "invisible"),
        (json!({"zone": "corp.ex\u{430}mple.com"}), "not a DNS name"),
        (json!({"zone": "corp\u{3002}example.com"}), "not a DNS name"),
        (json!({"name": "xn--wb01-8ve"}), "outside the grant"),
        // The wrong type
        (json!({"ttl": "300"}), "not a whole number"),
        (json!({"ttl": 120.0}), "not a whole number"),
        (json!({"ttl": 1e300}), "not a whole number"),
        (json!({"ttl": true}), "not a whole number"),
        (json!({"ttl": null}), "not a whole number"),
        (json!({"ttl": [300]}), "a list is not"),
        (json!({"name": 1}), "not text"),
        (json!({"name": ["web01"]}), "a list is not text"),
        (json!({"name": {"__entity": {"type": "Agent", "id": "build"}}}), "an object is not text"),
        (json!({"address": {"__extn": {"fn": "ip", "arg": "192.0.2.1"}}}), "an object is not text"),
        (json!({"address": 3_221_225_994_i64}), "not text"),
        // Too large, too small, too much
        (json!({"ttl": 9_007_199_254_740_993_i64}), "2^53-1"),
        (json!({"ttl": -9_007_199_254_740_993_i64}), "2^53-1"),
        (json!({"ttl": i64::MAX}), "2^53-1"),
        (json!({"ttl": u64::MAX}), "not a whole number"),
        (json!({"ttl": 59}), "out of range"),
        (json!({"ttl": 3601}), "outside the grant"),
        (json!({"ttl": -300}), "out of range"),
        (json!({"name": "w".repeat(1 << 20)}), "longer than"),
        (json!({"w".repeat(1 << 20): 1}), "no such argument"),
        // Names that reach out of where they stand
        (json!({"name": "web01."}), "not a DNS label"),
        (json!({"name": "web01.other.example.com"}), "not a DNS label"),
        (json!({"name": "web/../x"}), "not a DNS label"),
        (json!({"name": "web*"}), "not a DNS label"),
        (json!({"name": "web01 other"}), "not a DNS label"),
        (json!({"name": "web01\n"}), "control characters"),
        (json!({"name": "web01\r\nadmin 192.0.2.66"}), "control characters"),
        (json!({"name": "web01\0"}), "control characters"),
        (json!({"name": "web%30"}), "not a DNS label"),
        (json!({"name": "-web"}), "not a DNS label"),
        (json!({"name": ""}), "not a DNS label"),
        (json!({"name": "@"}), "not a DNS label"),
        (json!({"zone": "corp.example.com."}), "not a DNS name"),
        (json!({"zone": "other.example.com"}), ""),
        (json!({"zone": "*.example.com"}), "not a DNS name"),
        (json!({"zone": "corp..example.com"}), "not a DNS name"),
        // Addresses that are other addresses
        (json!({"address": "::ffff:192.0.2.10"}), "IPv4 inside IPv6"),
        (json!({"address": "::ffff:c000:20a"}), "IPv4 inside IPv6"),
        (json!({"address": "::192.0.2.10"}), "IPv4 inside IPv6"),
        (json!({"address": "64:ff9b::192.0.2.10"}), "IPv4 inside IPv6"),
        (json!({"address": "192.0.2.010"}), "not an IP address"),
        (json!({"address": "0300.0.2.10"}), "not an IP address"),
        (json!({"address": "0xc0.0.2.10"}), "not an IP address"),
        (json!({"address": "3221225994"}), "not an IP address"),
        (json!({"address": "192.0.522"}), "not an IP address"),
        (json!({"address": " 192.0.2.10"}), "not an IP address"),
        (json!({"address": "192.0.2.10/24"}), "not an IP address"),
        (json!({"address": "fe80::1%eth0"}), "not an IP address"),
        (json!({"address": "192.0.2.10\u{661}"}), "not an IP address"),
        (json!({"address": "192.0.3.1"}), "outside the grant"),
        (json!({"address": "2001:db8::1"}), "outside the grant"),
    ];
    for (more, says) in refused {
        let why = sent("dns.record.create", GRANT, &record(more)).expect_err(&more.to_string());
        assert!(why.contains(says), "{}: {why}", &more.to_string()[..more.to_string().len().min(90)]);
        assert!(why.len() < 2_000, "the answer repeats {} bytes", why.len());
    }
    // A value that is left out is not one that is null.
    let mut without = record(&json!({}));
    without.as_object_mut().unwrap().remove("name");
    assert!(sent("dns.record.create", GRANT, &without).unwrap_err().contains("missing"));
}

#[test]
fn blocks_lists_and_plain_names_hide_nothing_either() {
    let allocate = "{prefix: {in_range: 192.0.2.0/24}, name: {any: true}}";
    assert!(sent("ipam.address.allocate", allocate, &json!({"prefix": "192.0.2.0/24", "name": "a"})).is_ok());
    for (prefix, says) in [
        ("192.0.2.1/24", "host bits"),
        ("192.0.2.0/024", "not a CIDR block"),
        ("192.0.2.0/33", "not a CIDR block"),
        ("192.0.2.0", "not a CIDR block"),
        ("192.0.2.0/255.255.255.0", "not a CIDR block"),
        ("::ffff:192.0.2.0/120", "IPv4 inside IPv6"),
        ("0.0.0.0/0", ""),
        ("192.0.0.0/16", ""),
        ("192.0.2.0/25", ""),
    ] {
        let why = sent("ipam.address.allocate", allocate, &json!({"prefix": prefix, "name": "a"})).unwrap_err();
        assert!(why.contains(says), "{prefix}: {why}");
    }
    let trunk = "{switch: {is: sw01}, port: {like: 'Gi1/0/*'}, vlans: {subset_of: [10, 20]}, note: {any: true}}";
    let call = |more: Value| {
        let mut call = json!({"switch": "sw01", "port": "Gi1/0/1", "vlans": [10], "note": "x"});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    assert!(sent("port.trunk.set", trunk, &call(json!({}))).is_ok());
    let refused: &[(Value, &str)] = &[
        (json!({"port": "Gi1/0/../../2"}), "not a plain name"),
        (json!({"port": "Gi1/0/./1"}), "not a plain name"),
        (json!({"port": "Gi1/0/"}), "not a plain name"),
        (json!({"port": "Gi1/0/1/2"}), "outside the grant"),
        (json!({"port": "../Gi1/0/1"}), "not a plain name"),
        (json!({"port": "Gi1/0/1;reload"}), "not a plain name"),
        (json!({"port": "Gi1/0/1 - 48"}), "not a plain name"),
        (json!({"switch": "SW01"}), ""),
        (json!({"switch": "sw01."}), "not a plain name"),
        (json!({"switch": "sw01/../sw02"}), "not a plain name"),
        (json!({"switch": "sw02"}), "outside the grant"),
        (json!({"vlans": 10}), "not a list"),
        (json!({"vlans": [10, 10]}), "stands twice"),
        (json!({"vlans": [10, 4095]}), "not a VLAN id"),
        (json!({"vlans": [10, "20"]}), "not a whole number"),
        (json!({"vlans": [[10]]}), "a list is not"),
        (json!({"vlans": [10, 30]}), "outside the grant"),
        (json!({"vlans": (1..=1_001).collect::<Vec<_>>()}), "too many"),
        (json!({"peers": ["sw02"]}), "outside the grant"),
        (json!({"note": "a\u{2028}b"}), "invisible"),
        (json!({"note": "a\u{202e}b"}), "invisible"),
        (json!({"note": "x".repeat(16_385)}), "longer than"),
        (json!({"note": "x\u{7f}"}), "control"),
        (json!({"note": "\u{1b}[2J"}), "control"),
    ];
    for (more, says) in refused {
        let why = sent("port.trunk.set", trunk, &call(more.clone())).expect_err(&more.to_string());
        assert!(why.contains(says), "{}: {why}", &more.to_string()[..more.to_string().len().min(90)]);
    }
}

#[test]
fn a_value_of_any_depth_is_refused_without_looking_into_it() {
    let mut deep = json!(1);
    for _ in 0..100_000 {
        deep = Value::Array(vec![deep]);
    }
    assert_eq!(depth(&deep), 100_000);
    let call = record(&json!({}));
    let mut call = call.as_object().unwrap().clone();
    call.insert("name".into(), deep);
    let catalog = catalog();
    let why = catalog.toolbox.check_args(tool(&catalog, "dns.record.create"), &call).unwrap_err().to_string();
    assert!(why.contains("a list is not text"), "{why}");
    // Values are dropped one level after the other; a test thread has no stack for a hundred thousand levels.
    let mut left: Vec<Value> = call.into_iter().map(|(_, value)| value).collect();
    while let Some(value) = left.pop() {
        if let Value::Array(items) = value {
            left.extend(items);
        }
    }
}

#[test]
fn arguments_that_are_valid_one_by_one_are_refused_when_they_are_too_much_together() {
    let grant = "{switch: {is: sw01}, port: {any: true}, vlans: {any: true}, note: {any: true}}";
    let call = |note: &str| json!({"switch": "sw01", "port": "Gi1/0/1", "vlans": [10], "note": note});
    assert!(sent("port.trunk.set", grant, &call(&"x".repeat(16_000))).is_ok());
    let why = sent("port.trunk.set", grant, &call(&"\u{10ffff}".repeat(16_384))).unwrap_err();
    assert!(why.contains("together") || why.contains("invisible"), "{why}");
    let why = sent("port.trunk.set", grant, &call(&"雪".repeat(16_384))).map(|_| ());
    assert!(why.is_ok(), "49 kB are taken: {why:?}");
    assert!(sent("port.trunk.set", grant, &call(&"𠮷".repeat(16_384))).unwrap_err().contains("together"));
}

#[test]
fn a_key_that_stands_twice_and_a_number_that_is_no_double_are_no_call() {
    for text in [
        r#"{"zone": "corp.example.com", "name": "web01", "name": "admin", "address": "192.0.2.10"}"#,
        r#"{"zone": "corp.example.com", "name": "web01", "n\u0061me": "admin", "address": "192.0.2.10"}"#,
        r#"{"zone": "corp.example.com", "name": "web01", "address": "192.0.2.10", "ttl": 1e400}"#,
        r#"{"zone": "corp.example.com", "name": "web01", "address": "192.0.2.10", "ttl": 0300}"#,
        r#"{"zone": "corp.example.com", "name": "web01", "address": "192.0.2.10", "ttl": 9007199254740993}"#,
    ] {
        assert!(from_json("call", text).is_err(), "{text}");
        // A document says it in YAML, which is read as strictly or gives a value that no argument can have.
        let read: Result<Value, _> = from_yaml("call", text);
        assert!(read.is_err() || sent("dns.record.create", GRANT, &read.unwrap()).is_err(), "{text}");
    }
}

#[test]
fn a_manifest_cannot_fetch_its_schema_from_elsewhere() {
    for reference in [
        "{$ref: 'http://192.0.2.66/schema.json'}",
        "{$ref: 'file:///etc/passwd'}",
        "{type: string, $ref: 'http://192.0.2.66/schema.json'}",
        "{type: string, $dynamicRef: '#x'}",
        "{type: array, items: {$ref: 'http://192.0.2.66/schema.json'}}",
        "{type: string, pattern: '.*'}",
        "{type: object, properties: {a: {$ref: 'http://192.0.2.66/schema.json'}}}",
        "{type: object, properties: {a: {type: string}}, additionalProperties: true}",
        "{type: [string, 'null']}",
        "{anyOf: [{type: string}]}",
    ] {
        let text = TOOLS.replace("&vlan", "").replace(
            "args: {properties: {switch: {type: string, format: target}}, required: [switch]}",
            &format!("args: {{properties: {{switch: {reference}}}, required: [switch]}}"),
        );
        assert_ne!(text, TOOLS);
        let error = from_yaml::<crate::tool::Manifest>("tools", &text).unwrap_err();
        assert!(error.line > 1, "{reference}: {error}");
    }
    for schema in ["http://json-schema.org/draft-07/schema", "x"] {
        let text = TOOLS
            .replace("&vlan", "")
            .replace("required: [switch]}", &format!("required: [switch], $schema: '{schema}'}}"));
        assert!(from_yaml::<crate::tool::Manifest>("tools", &text).is_err());
    }
    // As text it is data: the one value that the argument may have.
    let text = TOOLS.replace("&vlan", "").replace(
        "note: {type: string}",
        "note: {type: string, enum: ['{\"$ref\": \"http://192.0.2.66/schema.json\"}']}",
    );
    let toolbox = Toolbox::new(vec![from_yaml("tools", &text).unwrap()], Pins::default()).unwrap();
    let schema = &toolbox.tool(&"port.trunk.set".parse().unwrap()).unwrap().args.properties["note"];
    assert!(schema.normalise(&json!("x")).is_err());
}

#[test]
fn an_argument_cannot_be_named_like_cedar_json() {
    for name in ["__entity", "__extn", "_x", "Name", "a-b", "a.b", "1a", ""] {
        let text = TOOLS.replace("&vlan", "").replace("note: {type: string}", &format!("'{name}': {{type: string}}"));
        let problems = Toolbox::new(vec![from_yaml("tools", &text).unwrap()], Pins::default()).unwrap_err();
        assert!(problems[0].message.contains("lower-case letters"), "{name}: {problems:?}");
    }
}

#[test]
fn like_never_crosses_a_separator_whatever_is_sent() {
    let cases: &[(&str, &str, &str, bool)] = &[
        ("alias", "*.corp.example.com", "web.corp.example.com", true),
        ("alias", "*.corp.example.com", "WEB.Corp.Example.Com", true),
        ("alias", "*.corp.example.com", "a.web.corp.example.com", false),
        ("alias", "*.corp.example.com", "corp.example.com", false),
        ("alias", "*.corp.example.com", "web.corp.example.com.evil.com", false),
        ("alias", "corp.*", "corp.example.com", false),
    ];
    for (name, pattern, value, holds) in cases {
        let grant = format!(
            "{{zone: {{is: corp.example.com}}, name: {{any: true}}, address: {{any: true}}, {name}: {{like: '{pattern}'}}}}"
        );
        let mut call = record(&json!({*name: value}));
        call.as_object_mut().unwrap().remove("ttl");
        assert_eq!(sent("dns.record.create", &grant, &call).is_ok(), *holds, "{pattern} {value}");
    }
}
