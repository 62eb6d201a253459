//! What a boundary is compiled to, what it refuses to compile, and how it explains itself.

use super::*;

#[test]
fn a_grant_that_cannot_mean_what_it_says_is_refused_with_its_place() {
    let catalog = catalog();
    let zone = "zone: {is: corp.example.com}, name: {any: true}, address: {any: true}";
    let cases: &[(&str, &str, &str)] = &[
        (
            "{build: [{tool: dns.record.creat, where: {}}]}",
            "boundary.build.0.tool",
            "did you mean `dns.record.create`?",
        ),
        ("{build: [{tool: zzz, where: {}}]}", "boundary.build.0.tool", "there is no tool `zzz`"),
        ("{discover: [{tool: vlan.create, where: {}}]}", "boundary.discover.0.tool", "changes things"),
        (
            "{discover: [{tool: vlan.list, where: {swich: {is: sw01}}}]}",
            "boundary.discover.0.where.swich",
            "did you mean `switch`?",
        ),
        ("{discover: [{tool: vlan.list, where: {}}]}", "boundary.discover.0.where.switch", "write `any: true`"),
        (
            "{discover: [{tool: vlan.list, where: {switch: {}}}]}",
            "boundary.discover.0.where.switch",
            "constrains nothing",
        ),
        (
            "{discover: [{tool: vlan.list, where: {switch: {is: sw11}}}]}",
            "boundary.discover.0.where.switch",
            "no target `sw11`",
        ),
        (
            "{discover: [{tool: vlan.list, where: {switch: {one_of: [sw01, nope]}}}]}",
            "boundary.discover.0.where.switch",
            "no target `nope`",
        ),
        (
            "{discover: [{tool: dns.records.list, where: {zone: {is: other.example.com}}}]}",
            "boundary.discover.0.where.zone",
            "no target `other.example.com`",
        ),
        (
            "{discover: [{tool: vlan.list, where: {switch: {in_group: access}}}]}",
            "boundary.discover.0.where.switch",
            "in the group `access`",
        ),
        (
            "{discover: [{tool: vlan.list, where: {switch: {in_group: access-switch}}}]}",
            "boundary.discover.0.where.switch",
            "did you mean `access-switches`?",
        ),
        (
            &format!("{{build: [{{tool: dns.record.create, where: {{{zone}, ttl: {{min: 100000}}}}}}]}}"),
            "boundary.build.0.where.ttl",
            "limit is 86400",
        ),
        (
            &format!("{{build: [{{tool: dns.record.create, where: {{{zone}, ttl: {{is: 10}}}}}}]}}"),
            "boundary.build.0.where.ttl",
            "out of range",
        ),
        (
            &format!("{{build: [{{tool: dns.record.create, where: {{{zone}, ttl: {{like: '3*'}}}}}}]}}"),
            "boundary.build.0.where.ttl",
            "is for text",
        ),
        (
            &format!("{{build: [{{tool: dns.record.create, where: {{{zone}, ttl: {{is: '3600'}}}}}}]}}"),
            "boundary.build.0.where.ttl",
            "not a whole number",
        ),
        (
            "{build: [{tool: dns.record.create, where: {zone: {is: corp.example.com}, name: {min: 1}, address: {any: true}}}]}",
            "boundary.build.0.where.name",
            "is for whole numbers",
        ),
        (
            "{build: [{tool: dns.record.create, where: {zone: {is: corp.example.com}, name: {in_range: 192.0.2.0/24}, address: {any: true}}}]}",
            "boundary.build.0.where.name",
            "compares addresses",
        ),
        (
            "{build: [{tool: dns.record.create, where: {zone: {is: corp.example.com}, name: {like: 'a.*'}, address: {any: true}}}]}",
            "boundary.build.0.where.name",
            "nothing can satisfy it",
        ),
        (
            "{build: [{tool: dns.record.create, where: {zone: {is: corp.example.com}, name: {any: true}, address: {like: '192.*'}}}]}",
            "boundary.build.0.where.address",
            "use `in_range`",
        ),
        (
            "{build: [{tool: dns.record.create, where: {zone: {is: corp.example.com}, name: {any: true}, address: {is: '192.0.2.300'}}}]}",
            "boundary.build.0.where.address",
            "not an IP address",
        ),
        (
            "{build: [{tool: dns.record.create, where: {zone: {is: corp.example.com}, name: {in_group: lab-zones}, address: {any: true}}}]}",
            "boundary.build.0.where.name",
            "names a target",
        ),
        (
            "{build: [{tool: vlan.create, where: {switch: {is: sw01}, id: {subset_of: [1]}, name: {max_items: 1}}}]}",
            "boundary.build.0.where.id",
            "is for lists",
        ),
        (
            "{build: [{tool: vlan.create, where: {switch: {is: sw01}, id: {subset_of: [1]}, name: {max_items: 1}}}]}",
            "boundary.build.0.where.name",
            "is for lists",
        ),
        (
            "{build: [{tool: vlan.create, where: {switch: {is: sw01}, id: {is: 5000}, name: {any: true}}}]}",
            "boundary.build.0.where.id",
            "not a VLAN id",
        ),
    ];
    for (boundary, path, part) in cases {
        let errors = CompiledBoundary::compile(&spec(boundary), &catalog).unwrap_err();
        assert_says(&errors, path, part);
    }
}

#[test]
fn the_permits_can_be_read() {
    let boundary = spec(
        "{discover: [{tool: vlan.list, where: {switch: {in_group: access-switches}}}],
          build: [{tool: vlan.create, where: {switch: {is: sw01}, id: {min: 100, max: 199}, name: {like: 'web-*'}}, at_most: 2}]}",
    );
    let compiled = CompiledBoundary::compile(&boundary, &catalog()).unwrap();
    insta::assert_snapshot!(compiled.cedar(), @r##"
    @id("discover.0")
    @reason("list the VLANs of any of the group access-switches")
    permit(principal in AgentGroup::"readers", action == Action::"vlan.list", resource)
    when { context.groups.switch.contains("access-switches") };

    @id("build.0")
    @reason("create VLAN 100 to 199 named like web-* on sw01, at most 2 in all")
    permit(principal == Agent::"build", action == Action::"vlan.create", resource)
    when { context.undo_of == "" }
    when { (context.args.id >= 100) && (context.args.id <= 199) }
    when { (context.args.name like "web-*") && (!(context.args.name like "*.*")) }
    when { context.args.switch == "sw01" };

    @id("build.0.undo")
    @reason("takes back what `build.0` did with `vlan.create`, and nothing else")
    permit(principal == Agent::"build", action == Action::"vlan.delete", resource)
    when { context.undo_of == "build.0" };
    "##);
}

#[test]
fn an_undo_is_permitted_only_as_the_undo_of_its_own_grant() {
    let catalog = catalog();
    let spec = build_spec("vlan.create", "{switch: {is: sw01}, id: {is: 120}, name: {any: true}}");
    let boundary = CompiledBoundary::compile(&spec, &catalog).unwrap();
    let delete = tool(&catalog, "vlan.delete");
    let args = args(&catalog, delete, &json!({"switch": "sw01", "id": 120}));
    let ask = |agent: Agent, undo_of: Option<&str>| {
        rule(&catalog, &boundary, &Question { agent, undo_of, recovery: true, ..question(delete, &args) })
    };
    let undo = ask(Agent::Build, Some("build.0"));
    assert_eq!((undo.verdict, undo.grant.as_deref()), (Verdict::Allow, Some("build.0.undo")));
    assert_eq!(undo.spoke.last().unwrap().rule, "stage-1-undo");
    for (agent, undo_of) in [
        (Agent::Build, None),
        (Agent::Build, Some("")),
        (Agent::Build, Some("build.1")),
        (Agent::Build, Some("build.0.undo")),
        (Agent::Verifier, Some("build.0")),
        (Agent::Design, Some("build.0")),
    ] {
        assert_eq!(ask(agent, undo_of).verdict, Verdict::Deny, "{agent} {undo_of:?}");
    }
}

#[test]
fn an_undo_never_borrows_an_ordinary_grant() {
    let catalog = catalog();
    let spec = spec("{build: [{tool: vlan.delete, where: {switch: {is: sw01}, id: {is: 120}}}]}");
    let boundary = CompiledBoundary::compile(&spec, &catalog).unwrap();
    let delete = tool(&catalog, "vlan.delete");
    let args = args(&catalog, delete, &json!({"switch": "sw01", "id": 120}));
    let ruling = rule(&catalog, &boundary, &Question { undo_of: Some("build.7"), ..question(delete, &args) });
    assert_eq!(ruling.verdict, Verdict::Deny);
    assert!(ruling.spoke[0].reason.contains("`build.7`"), "{ruling:?}");
}

#[test]
fn a_refusal_names_what_falls_outside_the_closest_grant() {
    let catalog = catalog();
    let spec = spec(
        "{discover: [{tool: vlan.list, where: {switch: {is: sw02}}}],
          build: [{tool: vlan.create, where: {switch: {is: sw01}, id: {min: 100, max: 199}, name: {like: 'web-*'}}},
                  {tool: vlan.create, where: {switch: {is: sw02}, id: {is: 7}, name: {is: old}}}]}",
    );
    let refused = |tool: &str, call: Value| inside(&catalog, &spec, tool, &call).unwrap_err();
    assert_eq!(
        refused("vlan.create", json!({"switch": "sw01", "id": 200, "name": "web-1"})),
        "outside the grant build.0: `id` must be 100 to 199"
    );
    assert_eq!(
        refused("vlan.create", json!({"switch": "sw02", "id": 7, "name": "web-1"})),
        "outside the grant build.1: `name` must be old"
    );
    assert_eq!(refused("vlan.delete", json!({"switch": "sw01", "id": 1})), "the spec does not grant `vlan.delete`");
    assert_eq!(
        refused("vlan.list", json!({"switch": "sw02"})),
        "the spec grants `vlan.list`, but not to the build agent"
    );
}

#[test]
fn the_first_of_several_grants_is_the_one_that_counts() {
    let catalog = catalog();
    let grant = |switch: &str| format!("{{tool: vlan.list, where: {{switch: {{is: {switch}}}}}}}");
    let grants: Vec<String> =
        std::iter::repeat_n(grant("sw01"), 2).chain(std::iter::repeat_n(grant("sw02"), 9)).collect();
    let spec = spec(&format!("{{build: [{}]}}", grants.join(", ")));
    // `build.10` sorts before `build.2` as text; the spec's own order is what stands.
    assert_eq!(inside(&catalog, &spec, "vlan.list", &json!({"switch": "sw02"})), Ok("build.2".into()));
    assert_eq!(inside(&catalog, &spec, "vlan.list", &json!({"switch": "sw01"})), Ok("build.0".into()));
}
