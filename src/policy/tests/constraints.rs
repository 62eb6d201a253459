//! Every constraint both ways, decided by the whole ruling and not by the compiler's own parts.

use super::*;

const PORT: &str = r#"switch: {is: sw01}, port: {any: true}, vlans: {any: true}"#;
const RECORD: &str = "zone: {is: corp.example.com}, name: {any: true}, address: {any: true}";

fn port(more: Value) -> Value {
    merged(json!({"switch": "sw01", "port": "Gi1/0/1", "vlans": [10, 20]}), more)
}

fn record(more: Value) -> Value {
    merged(json!({"zone": "corp.example.com", "name": "web01", "address": "192.0.2.10"}), more)
}

fn merged(mut base: Value, more: Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base
}

/// Replaces one argument's constraint in a base `where`.
fn with(base: &str, constraint: &str) -> String {
    let name = constraint.split(':').next().unwrap();
    let kept: Vec<&str> = base.split(", ").filter(|part| !part.starts_with(&format!("{name}:"))).collect();
    format!("{{{}, {constraint}}}", kept.join(", "))
}

#[test]
fn each_constraint_lets_in_what_it_says_and_nothing_else() {
    let catalog = catalog();
    let cases: &[(&str, &str, Value, Value)] = &[
        // is
        ("port.trunk.set", "port: {is: Gi1/0/1}", json!({}), json!({"port": "Gi1/0/2"})),
        ("port.trunk.set", "native: {is: 7}", json!({"native": 7}), json!({"native": 8})),
        ("port.trunk.set", "tagged: {is: false}", json!({"tagged": false}), json!({"tagged": true})),
        ("port.trunk.set", "vlans: {is: [20, 10]}", json!({}), json!({"vlans": [10]})),
        ("port.trunk.set", "vlans: {is: []}", json!({"vlans": []}), json!({"vlans": [10]})),
        ("dns.record.create", "address: {is: 192.0.2.10}", json!({}), json!({"address": "192.0.2.11"})),
        ("dns.record.create", "name: {is: WEB01}", json!({"name": "Web01"}), json!({"name": "web02"})),
        // one_of
        (
            "port.trunk.set",
            "port: {one_of: [Gi1/0/1, Gi1/0/2]}",
            json!({"port": "Gi1/0/2"}),
            json!({"port": "Gi1/0/3"}),
        ),
        ("port.trunk.set", "native: {one_of: [1, 2]}", json!({"native": 2}), json!({"native": 3})),
        ("port.trunk.set", "vlans: {one_of: [[], [10, 20]]}", json!({"vlans": []}), json!({"vlans": [20]})),
        ("dns.record.create", "address: {one_of: ['2001:DB8::1']}", json!({"address": "2001:db8:0::1"}), json!({})),
        // like
        ("dns.record.create", "name: {like: 'web*'}", json!({}), json!({"name": "db01"})),
        ("dns.record.create", "name: {like: 'WEB0*'}", json!({}), json!({"name": "web11"})),
        ("port.trunk.set", "note: {like: 'a*b'}", json!({"note": "a / . * \\ b"}), json!({"note": "a"})),
        // in_range
        ("dns.record.create", "address: {in_range: 192.0.2.0/28}", json!({}), json!({"address": "192.0.2.16"})),
        ("dns.record.create", "address: {in_range: '2001:db8::/32'}", json!({"address": "2001:db8::9"}), json!({})),
        // in_group
        ("port.trunk.set", "switch: {in_group: spares}", json!({"switch": "sw02"}), json!({"switch": "sw01"})),
        // min and max
        ("dns.record.create", "ttl: {min: 300}", json!({"ttl": 300}), json!({"ttl": 299})),
        ("dns.record.create", "ttl: {max: 300}", json!({"ttl": 300}), json!({"ttl": 301})),
        ("dns.record.create", "ttl: {min: 300, max: 600}", json!({"ttl": 600}), json!({})),
        // subset_of and max_items
        ("port.trunk.set", "vlans: {subset_of: [10, 20, 30]}", json!({}), json!({"vlans": [10, 40]})),
        ("port.trunk.set", "vlans: {subset_of: [10]}", json!({"vlans": []}), json!({})),
        ("port.trunk.set", "peers: {subset_of: [sw02]}", json!({"peers": ["sw02"]}), json!({"peers": ["sw01"]})),
        ("port.trunk.set", "vlans: {max_items: 2}", json!({}), json!({"vlans": [1, 2, 3]})),
        (
            "port.trunk.set",
            "vlans: {max_items: 2, subset_of: [1, 2, 3]}",
            json!({"vlans": [1, 3]}),
            json!({"vlans": [1, 2, 3]}),
        ),
        // any, and what is not named
        ("port.trunk.set", "note: {any: true}", json!({"note": "x"}), json!({"native": 1})),
        ("port.trunk.set", "note: {any: true}", json!({}), json!({"tagged": false})),
        ("port.trunk.set", "in: {is: there}", json!({"in": "there"}), json!({})),
        (
            "port.trunk.set",
            "port: {any: true}",
            json!({"tagged": true, "peers": [], "in": "here"}),
            json!({"peers": ["sw02"]}),
        ),
        // an optional argument that is constrained must be given
        ("port.trunk.set", "native: {min: 1}", json!({"native": 1}), json!({})),
    ];
    for (tool, constraint, inner, outer) in cases {
        let (base, call): (_, fn(Value) -> Value) =
            if *tool == "port.trunk.set" { (PORT, port) } else { (RECORD, record) };
        let spec = build_spec(tool, &with(base, constraint));
        assert_eq!(inside(&catalog, &spec, tool, &call(inner.clone())), Ok("build.0".into()), "{constraint} {inner}");
        let refused = inside(&catalog, &spec, tool, &call(outer.clone())).unwrap_err();
        assert!(refused.starts_with("outside the grant build.0: `"), "{constraint} {outer}: {refused}");
    }
}

#[test]
fn targets_that_are_zones_and_blocks_are_constrained_like_switches() {
    let catalog = catalog();
    let cases = [
        ("{in_group: lab-prefixes}", true),
        ("{in_range: 192.0.2.0/24}", true),
        ("{in_range: 192.0.0.0/16}", true),
        ("{in_range: 192.0.2.0/25}", false),
        ("{is: 192.0.2.0/24}", true),
    ];
    for (constraint, holds) in cases {
        let spec = build_spec("ipam.address.allocate", &format!("{{prefix: {constraint}, name: {{any: true}}}}"));
        let call = json!({"prefix": "192.0.2.0/24", "name": "web01"});
        assert_eq!(inside(&catalog, &spec, "ipam.address.allocate", &call).is_ok(), holds, "{constraint}");
    }
}

#[test]
fn a_star_never_stands_for_a_separator() {
    let catalog = catalog();
    let cases = [
        ("port", "Gi1/0/*", "Gi1/0/7", true),
        ("port", "Gi1/*/7", "Gi1/0/7", true),
        ("port", "*/*/*", "Gi1/0/7", true),
        ("port", "Gi1/*", "Gi1/0/7", false),
        ("port", "*", "Gi1/0/7", false),
        ("port", "Gi*7", "Gi1/0/7", false),
        ("port", "*", "Gi1", true),
        ("port", "**", "Gi1", true),
        ("in", "a.*", "a.b", true),
        ("in", "a.*", "a.b.c", false),
        ("in", "*.*", "a.b", true),
        ("in", "*.*", "a", false),
    ];
    for (name, pattern, value, holds) in cases {
        let spec = build_spec("port.trunk.set", &with(PORT, &format!("{name}: {{like: '{pattern}'}}")));
        let call = port(json!({name: value}));
        assert_eq!(inside(&catalog, &spec, "port.trunk.set", &call).is_ok(), holds, "{pattern} {value}");
    }
    let cases = [("*.example.com", "web.example.com", true), ("*.example.com", "a.web.example.com", false)];
    for (pattern, value, holds) in cases {
        let spec = build_spec("dns.record.create", &with(RECORD, &format!("alias: {{like: '{pattern}'}}")));
        let call = record(json!({"alias": value}));
        assert_eq!(inside(&catalog, &spec, "dns.record.create", &call).is_ok(), holds, "{pattern} {value}");
    }
}

#[test]
fn the_compiled_like_agrees_with_the_one_that_holes_are_checked_with() {
    let catalog = catalog();
    let format = tool(&catalog, "port.trunk.set").args.properties["port"].format;
    for pattern in ["Gi1/0/*", "*", "*/*", "Gi*/0/1", "Gi1/0/1", "G*i*", "**/**/*"] {
        let spec = build_spec("port.trunk.set", &with(PORT, &format!("port: {{like: '{pattern}'}}")));
        let constraint = spec.boundary.build[0].constraints["port"].clone();
        for value in ["Gi1/0/1", "Gi1/0/10", "Gi1", "Gi1/0", "Te1/0/1", "Gi1/0/1/2"] {
            let cedar = inside(&catalog, &spec, "port.trunk.set", &port(json!({"port": value}))).is_ok();
            assert_eq!(constraint.accepts(&json!(value), format, |_, _| false), cedar, "{pattern} {value}");
        }
    }
}

#[test]
fn what_a_person_or_model_types_stays_data() {
    let catalog = catalog();
    let hostile = [
        r#""] || true || [""#,
        r#"" || true || ""#,
        r#"\" || true || \""#,
        r"\",
        r"\\",
        r"\*",
        r"\u{2a}",
        r#"x"); permit(principal, action, resource); //"#,
        "naïve ☃ 雪 e\u{301}",
        r#"{"__entity": {"type": "Agent", "id": "build"}}"#,
        r#"{"__extn": {"fn": "ip", "arg": "192.0.2.1"}}"#,
        "}; permit(principal,action,resource) when {true",
        "?principal",
        "%s ${context}",
    ];
    for text in hostile {
        let quoted = serde_json::to_string(text).unwrap();
        for constraint in [
            format!("note: {{is: {quoted}}}"),
            format!("note: {{one_of: [{quoted}]}}"),
            format!("note: {{like: {quoted}}}"),
        ] {
            let spec = build_spec("port.trunk.set", &format!("{{{PORT}, {constraint}}}"));
            let ask = |note: &str| inside(&catalog, &spec, "port.trunk.set", &port(json!({"note": note}))).is_ok();
            // A star is the one thing that a pattern does not take literally.
            assert!(ask(text), "{constraint}");
            for other in ["x", "", "true", &format!("{text}x"), &format!("x{text}")] {
                let starred = constraint.contains("like") && text.ends_with('*') && other.starts_with(&text[..1]);
                assert_eq!(ask(other), starred, "{constraint} {other}");
            }
            // What is printed is what is asked.
            let boundary = CompiledBoundary::compile(&spec, &catalog).unwrap();
            let printed: cedar_policy::PolicySet = boundary.cedar().parse().unwrap();
            let conditions = |set: &cedar_policy::PolicySet| {
                let mut all: Vec<Value> = set.policies().map(|policy| policy.to_json().unwrap()).collect();
                all.sort_by_key(|policy| policy["annotations"]["id"].to_string());
                all
            };
            assert_eq!(conditions(&printed), conditions(boundary.permits()), "{}", boundary.cedar());
        }
    }
}

#[test]
fn an_entity_in_an_argument_is_no_entity() {
    let catalog = catalog();
    let tool = tool(&catalog, "port.trunk.set");
    let spec = build_spec("port.trunk.set", &format!("{{{PORT}, note: {{any: true}}}}"));
    let boundary = CompiledBoundary::compile(&spec, &catalog).unwrap();
    // The toolbox refuses it before; should it not, the types do.
    let mut args = args(&catalog, tool, &port(json!({})));
    for entity in [json!({"__entity": {"type": "Agent", "id": "build"}}), json!([1]), json!(null), json!(1.5)] {
        args.insert("note".into(), entity.clone());
        let ruling = rule(&catalog, &boundary, &question(tool, &args));
        assert_eq!(ruling.verdict, Verdict::Deny, "{entity}");
        assert_eq!(ruling.spoke[0].rule, "question.invalid");
    }
}
