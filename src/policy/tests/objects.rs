//! Arguments that are objects: constrained member by member, and never by less than each of them.

use super::{
    super::{blocked_grants, decide::each_layer},
    *,
};
use crate::tool::Manifest;

/// Whether the boundary alone lets a call of `port.set` in.
fn lets(constraints: &str, options: &str) -> Result<String, String> {
    let catalog = catalog();
    let spec = build_spec("port.set", &format!("{{switch: {{is: sw01}}, port: {{is: Gi1/0/1}}, {constraints}}}"));
    let call: Value = from_yaml("call", &format!("{{switch: sw01, port: Gi1/0/1, {options}}}")).unwrap();
    inside(&catalog, &spec, "port.set", &call)
}

#[test]
fn a_member_is_constrained_by_its_path_and_every_other_is_absent_or_its_default() {
    let named = "options.up: {is: true}, options.mtu: {min: 1280, max: 9000}";
    for (constraints, options, outside) in [
        (named, "options: {up: true, mtu: 9000}", None),
        (named, "options: {up: true}", None),
        (named, "options: {up: true, mtu: 9001}", Some("`options.mtu` must be 1280 to 9000")),
        (named, "options: {up: false}", Some("`options.up` must be true")),
        (named, "options: {up: true, peer: 192.0.2.1}", Some("`options.peer` must be left out")),
        (named, "options: {up: true, vlans: []}", Some("`options.vlans` must be left out")),
        (named, "options: {up: true}, extra: {mark: a}", Some("`extra` must be left out")),
        (named, "options: {up: true}, quiet: {}", None),
        (named, "options: {up: true}, quiet: {hours: 8}", None),
        (named, "options: {up: true}, quiet: {hours: 9}", Some("`quiet.hours` must be 8 (its default)")),
        ("options.up: {any: true}", "options: {up: false}", None),
        ("options.up: {any: true}", "options: {up: true, mtu: 1501}", Some("`options.mtu` must be 1500 (its default)")),
        ("options: {any: true}", "options: {up: false, mtu: 9216, peer: 10.0.0.1, vlans: [1]}", None),
        ("options: {any: true}", "options: {up: true}, extra: {mark: a}", Some("`extra` must be left out")),
        // Typed members are compared in their normal form, whoever wrote them how.
        ("options.up: {any: true}, options.alias: {is: A.B.com}", "options: {up: true, alias: a.b.COM}", None),
        (
            "options.up: {any: true}, options.peer: {in_range: '2001:db8::/32'}",
            "options: {up: true, peer: '2001:DB8:0::1'}",
            None,
        ),
        (
            "options.up: {any: true}, options.alias: {like: '*.com'}",
            "options: {up: true, alias: a.b.com}",
            Some("like *.com"),
        ),
        ("options.up: {any: true}, options.via: {in_group: cores}", "options: {up: true, via: core1}", None),
        (
            "options.up: {any: true}, options.via: {in_group: cores}",
            "options: {up: true, via: sw01}",
            Some("`options.via`"),
        ),
        (
            "options.up: {any: true}, options.vlans: {max_items: 1}",
            "options: {up: true, vlans: [1, 2]}",
            Some("`options.vlans`"),
        ),
        ("options.up: {any: true}, options.vlans: {is: []}", "options: {up: true, vlans: []}", None),
        ("options.up: {any: true}, options.vlans: {is: []}", "options: {up: true}", Some("`options.vlans`")),
        // An object that may be left out: its members are asked for where they are named, else the default holds.
        ("options.up: {any: true}, extra.mark: {any: true}", "options: {up: true}", None),
        ("options.up: {any: true}, extra.mark: {any: true}", "options: {up: true}, extra: {mark: b}", None),
        (
            "options.up: {any: true}, extra.mark: {any: true}",
            "options: {up: true}, extra: {mark: b, depth: 2}",
            Some("`extra.depth` must be 1 (its default)"),
        ),
        ("options.up: {any: true}, extra.mark: {is: a}", "options: {up: true}", Some("`extra.mark` must be a")),
    ] {
        match (lets(constraints, options), outside) {
            (Ok(grant), None) => assert_eq!(grant, "build.0"),
            (Err(why), Some(part)) => {
                assert!(why.contains(part), "{constraints} {options}: {why}");
            }
            (found, _) => panic!("{constraints} {options}: {found:?}"),
        }
    }
}

#[test]
fn a_path_that_leads_nowhere_is_refused_at_its_line_with_the_name_that_was_meant() {
    let catalog = catalog();
    for (constraints, at, part) in [
        ("options.up: {any: true}, options.mut: {min: 1}", "options.mut", "no member `mut`; did you mean `mtu`?"),
        (
            "options.up: {any: true}, optons.mtu: {min: 1}",
            "optons.mtu",
            "has no argument `optons`; did you mean `options.mtu`?",
        ),
        ("options.up: {any: true}, port.mtu: {min: 1}", "port.mtu", "`port` of `port.set` is no object"),
        ("options.up: {any: true}, options.mtu.low: {min: 1}", "options.mtu.low", "no member `mtu.low`"),
        ("options: {is: {up: true}}", "options", "constrain its members, such as `options.alias`"),
        ("options: {any: true}, options.up: {is: true}", "options.up", "named as a whole too"),
        ("options.mtu: {min: 1280}", "options.up", "the tool requires it"),
        ("options.up: {any: true}, extra.note: {any: true}", "extra.mark", "the tool requires it"),
        ("options.up: {any: true}, options.mtu: {max: 1000}", "options.mtu", "own limit is 1280"),
        ("options.up: {any: true}, options.mtu: {like: x}", "options.mtu", "`like` is for text"),
        ("options.up: {any: true}, options.via: {is: sw99}", "options.via", "no target `sw99`"),
        ("options.up: {any: true}, options.peer: {is: nowhere}", "options.peer", "not an IP address"),
    ] {
        let constraints = format!("{{switch: {{is: sw01}}, port: {{any: true}}, {constraints}}}");
        let errors = CompiledBoundary::compile(&build_spec("port.set", &constraints), &catalog).unwrap_err();
        assert_says(&errors, &format!("boundary.build.0.where.{at}"), part);
    }
    // The line is that of the path itself.
    let text = "boundary:\n  build:\n    - tool: port.set\n      where:\n        options.up: {is: true}\n        options.mut: {min: 1}\n";
    assert_eq!(crate::artifact::locate(text, "boundary.build.0.where.options.mut").0, 6);
}

#[test]
fn what_a_guardrail_says_of_a_member_is_heard() {
    let rule = "// match: {tool: port.set, args: {port: Gi1/0/1, options: {up: true, mtu: 9000}}}
         // no match: {tool: port.set, args: {port: Gi1/0/1, options: {up: true}}}
         // no match: {tool: port.set}
         @id(\"jumbo\") @reason(\"no jumbo frames\")
         forbid (principal, action == Action::\"port.set\", resource) when { context.args.options.mtu > 1500 };
         // match: {tool: port.set, args: {options: {up: true, via: core1}}}
         // no match: {tool: port.set, args: {options: {up: true}}}
         @id(\"via\") @reason(\"not by that\")
         forbid (principal, action == Action::\"port.set\", resource)
         when { context.args.options has via && context.args.options.via == \"core1\" };
         @id(\"many\") @reason(\"too many\")
         forbid (principal, action == Action::\"port.set\", resource) when { context.counts.options.vlans > 2 };
         @id(\"grouped\") @reason(\"that group\")
         forbid (principal, action == Action::\"port.set\", resource)
         when { context.groups.options.via.contains(\"spares\") };";
    let catalog = catalog_with(&format!("{GUARDRAILS}\n{rule}"), STAGES);
    let tool = tool(&catalog, "port.set");
    let every = "{switch: {any: true}, port: {any: true}, options: {any: true}}";
    let boundary = CompiledBoundary::compile(&build_spec("port.set", every), &catalog).unwrap();
    for (options, rule) in [
        (json!({"up": true}), "build.0"),
        (json!({"up": true, "mtu": 9000}), "jumbo"),
        (json!({"up": true, "via": "core1"}), "via"),
        (json!({"up": true, "via": "sw02"}), "grouped"),
        (json!({"up": true, "vlans": [1, 2, 3]}), "many"),
        (json!({"up": true, "vlans": [1, 2]}), "build.0"),
    ] {
        let args = args(&catalog, tool, &json!({"switch": "sw01", "port": "Gi1/0/1", "options": options}));
        let ruling = super::super::rule(&catalog, &boundary, &question(tool, &args));
        assert_eq!(ruling.spoke[0].rule, rule, "{options}");
    }
    // A grant of nothing but what a guardrail forbids is found dead, whichever member it is about.
    let dead = "{switch: {is: sw01}, port: {is: Gi1/0/1}, options.up: {is: true}, options.mtu: {min: 9000}}";
    let found = blocked_grants(&build_spec("port.set", dead), &catalog);
    assert_eq!(found.len(), 1);
    assert_says(&found, "boundary.build.0", "`jumbo`");
    let alive = dead.replace("min: 9000", "min: 1500");
    assert_eq!(blocked_grants(&build_spec("port.set", &alive), &catalog), []);
}

#[test]
fn an_object_that_reads_like_an_entity_or_has_more_than_its_members_is_no_argument() {
    let catalog = catalog();
    let tool = tool(&catalog, "port.set");
    let check = |options: Value| {
        let call = json!({"switch": "sw01", "port": "Gi1/0/1", "options": options});
        catalog.toolbox.check_args(tool, call.as_object().unwrap()).map_err(|problem| problem.to_string())
    };
    let normal = check(json!({"up": true, "alias": "A.b", "peer": "2001:DB8:0::1"})).unwrap();
    assert_eq!(normal["options"], json!({"up": true, "alias": "a.b", "peer": "2001:db8::1", "mtu": 1500}));
    assert_eq!(normal["quiet"], json!({"hours": 8}));
    assert_eq!(normal.get("extra"), None);
    for (options, part) in [
        (json!({}), "the member `up` is missing"),
        (json!({"up": null}), "member `up`: null is not true or false"),
        (json!({"up": true, "speed": 1}), "it has no member `speed`"),
        (json!({"up": true, "mtu": 1279}), "member `mtu`: 1279 is out of range"),
        (json!({"up": true, "mtu": {"__extn": {"fn": "ip", "arg": "1"}}}), "an object is not a whole number"),
        (json!({"__entity": {"type": "Agent", "id": "build"}}), "it has no member `__entity`"),
        (json!([true]), "a list is not an object"),
        (json!("up"), "is text, and not an object"),
        (json!({"up": true, "alias": "a\u{202e}b"}), "member `alias`"),
    ] {
        let why = check(options.clone()).unwrap_err();
        assert!(why.contains("`options`") && why.contains(part), "{options}: {why}");
    }
}

#[test]
fn a_design_says_objects_whole_and_a_miss_names_the_member() {
    let catalog = catalog();
    let spec = build_spec("port.set", "{switch: {is: sw01}, port: {is: Gi1/0/1}, options.up: {is: true}}");
    let design = |options: &str| {
        let text = format!(
            "{{steps: [{{id: set, tool: port.set, with: {{switch: sw01, port: Gi1/0/1, options: {options}}}}}], acceptance: {{A1: [set]}}}}"
        );
        super::super::check_design(&from_yaml("design", &text).unwrap(), &spec, &catalog)
    };
    assert_eq!(lines(&design("{up: true}")), Vec::<String>::new());
    assert_eq!(lines(&design("{cel: '{\"up\": inputs.id > 1}'}")), Vec::<String>::new());
    assert_says(&design("{up: true, mtu: 1600}"), "steps.0.with", "`options.mtu` must be 1500");
    assert_says(&design("{up: {cel: 'true'}}"), "steps.0.with.options", "a hole stands for a whole argument");
    assert_says(&design("{cel: '{\"up\": inputs.id}'}"), "steps.0.with.options", "member `up`");
    assert_says(&design("{up: 1}"), "steps.0.with.options", "member `up`");
    let tool = tool(&catalog, "port.set");
    let boundary = CompiledBoundary::compile(&spec, &catalog).unwrap();
    let args = args(&catalog, tool, &json!({"switch": "sw01", "port": "Gi1/0/1", "options": {"up": false}}));
    let (_, nearest) = each_layer(&catalog, Some(&boundary), &question(tool, &args));
    let misses = json!([{"argument": "options.up", "must_be": "true"}]);
    assert_eq!(json!(nearest.unwrap().misses), misses);
}

#[test]
fn one_level_is_taken_and_everything_else_is_refused_with_the_line() {
    const MANIFEST: &str = "kind: tools
family: sample
about: A sample
server: {command: [sample]}
tools:
  - name: port.set
    about: Set
    says: set {port} to {options}
    effect: write
    target: port
    args:
      properties:
        port: {type: string}
        options:
          type: object
          properties: {mtu: {type: integer, default: 1500}, up: {type: boolean}}
      required: [port]
";
    let load = |text: &str| -> Result<(), (u64, String)> {
        let manifest: Manifest = from_yaml("m", text).map_err(|error| (error.line, error.message))?;
        let problems = Toolbox::new(vec![manifest], Pins::default()).err();
        let first = problems.map(|problems| problems[0].clone());
        first.map_or(Ok(()), |problem| Err((crate::artifact::locate(text, &problem.path).0, problem.message)))
    };
    assert_eq!(load(MANIFEST), Ok(()));
    let members = "{mtu: {type: integer, default: 1500}, up: {type: boolean}}";
    for (from, to, line, part) in [
        (members, "{mtu: {type: object, properties: {a: {type: integer}}}}", 16, "one level is taken"),
        (
            members,
            "{mtu: {type: array, items: {type: object, properties: {a: {type: integer}}}}}",
            16,
            "a list of objects",
        ),
        (members, "{}", 14, "only an object, has `properties`"),
        (members, "{Mtu: {type: integer}}", 16, "lower-case"),
        (members, "{__entity: {type: integer}}", 16, "lower-case"),
        (members, "{cel: {type: string}}", 16, "read as a hole"),
        (members, "{mtu: {type: integer, default: 1500.5}}", 16, "its default is not a value"),
        (members, "{mtu: {type: integer, maxLength: 3}}", 16, "maxLength is of another type"),
        (members, "{mtu: {type: integer, oneOf: []}}", 16, "no field `oneOf`"),
        (members, "{up: {type: boolean}}\n          additionalProperties: true", 17, "no field `additionalProperties`"),
        (members, "{up: {type: boolean}}\n          required: [down]", 17, "no member `down`"),
        (members, "{up: {type: boolean}}\n          enum: [{up: true}]", 14, "enum is of another type"),
        (members, "{mtu: {type: integer, default: 1}}\n          default: {mtu: 2}", 14, "make: {\"mtu\":1}"),
        (
            members,
            "{up: {type: boolean}}\n          required: [up]\n          default: {up: true}",
            14,
            "cannot have a default",
        ),
        ("port: {type: string}", "port: {type: string, required: [a]}", 13, "required is of another type"),
        ("port: {type: string}", "port: {type: string, properties: {a: {type: string}}}", 13, "only an object, has"),
        ("target: port", "target: options", 10, "not a required argument"),
        ("{port} to {options}", "{port} to {options.mtu}", 8, "an object is said whole"),
        ("{port} to {options}", "{prt}", 8, "no argument `prt`"),
    ] {
        let (at, message) = load(&MANIFEST.replace(from, to)).unwrap_err();
        assert!(at == line && message.contains(part), "{to}: {at}: {message}");
    }
    let target = MANIFEST.replace("target: port", "target: options").replace("required: [port]", "required: [options]");
    assert!(load(&target).unwrap_err().1.contains("a target is named by text"));
}
