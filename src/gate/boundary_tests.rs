//! What gate 1 says of grants: how wide they are, and the worst that they let through.

use serde_json::json;

use super::{
    tests::{asked, assert_says, at_gate1, shown},
    *,
};
use crate::record::fixture::{Chain, VLAN};

#[test]
fn the_widest_grant_and_its_worst_call_are_found() {
    let chain = at_gate1();
    let cases = [
        (
            json!([{"tool": "vlan.create", "where": {"switch": {"is": "sw01"}, "id": {"is": 5}, "name": {"is": "a"}}}]),
            "vlan.create lets through exactly one call: create VLAN 5 named a on sw01.",
            "",
        ),
        (
            json!([
                {"tool": "vlan.create", "where": {"switch": {"is": "sw01"}, "id": {"is": 5}, "name": {"is": "a"}}},
                {"tool": "vlan.create", "where": {"switch": {"in_group": "access-switches"}, "id": {"min": 100, "max": 199},
                 "name": {"is": "a"}}}
            ]),
            "vlan.create lets through 400 different calls: 100 values of id, 4 values of switch; every other value is fixed.",
            "create VLAN 199 named a on sw04",
        ),
        (
            json!([{"tool": "dns.record.create", "where": {"zone": {"is": "corp.example.com"}, "name": {"like": "web*"},
                "address": {"in_range": "192.0.2.0/24"}, "ttl": {"min": 60, "max": 86400}}}]),
            "dns.record.create lets through more different calls than can be counted: 256 values of address, name like web*, \
             86341 values of ttl; every other value is fixed.",
            "create the A record anything like web* for 192.0.2.255 in corp.example.com with a TTL of 86400 seconds",
        ),
    ];
    for (build, wide, worst) in cases {
        let mut spec = chain.draft_spec();
        spec.boundary.build = serde_json::from_value(build).unwrap();
        let said = super::boundary::widest(&spec, &chain.catalog).unwrap();
        let worst = (!worst.is_empty()).then(|| format!("The worst of them: {worst}."));
        assert_eq!(said, [wide.to_owned()].into_iter().chain(worst).collect::<Vec<_>>());
    }
}

#[test]
fn a_spec_that_changes_nothing_says_so() {
    let mut spec = at_gate1().draft_spec();
    spec.boundary.build.clear();
    let chain = at_gate1();
    assert_eq!(
        boundary_words(&spec, &chain.catalog),
        [
            "Nothing may be changed.",
            "The design agent and the verifier may read: list the VLANs of one of sw01, sw02, sw03, sw04."
        ]
    );
}

#[test]
fn a_grant_for_one_target_names_it() {
    let mut chain = Chain::request(VLAN, json!({"id": 120, "name": "guest", "switches": ["sw01"]}));
    chain.run();
    let text = shown(&asked(&chain, &About::Gate1));
    assert_says(
        &text,
        &[
            "The build agent may create VLAN 120 named guest on sw01, once, and undo that.",
            "vlan.create lets through exactly one call: create VLAN 120 named guest on sw01.",
        ],
    );
    assert!(!text.contains("The worst of them"), "{text}");
}

#[test]
fn what_is_only_read_counts_among_the_targets() {
    let mut chain = at_gate1();
    let mut spec = chain.draft_spec();
    let read = json!({"tool": "dns.records.list", "where": {"zone": {"is": "corp.example.com"}}});
    spec.boundary.discover.push(serde_json::from_value(read).unwrap());
    chain.file(ArtifactKind::Spec, &spec, vec![chain.state().requested.request]);
    let request = asked(&chain, &About::Gate1);
    assert!(request.facts.targets.contains("corp.example.com"));
    assert!(request.approved_on.targets.contains_key("corp.example.com"));
}

#[test]
fn an_object_is_said_by_the_members_that_the_grant_leaves_open() {
    let nested = "args:
      properties:
        switch: {type: string, format: target}
        vlan:
          type: object
          properties:
            id: {type: integer, format: vlan-id}
            name: {type: string, format: name, default: guest}
            up: {type: boolean}
          required: [id]
      required: [switch, vlan]
";
    let chain = Chain::vlan().with_manifest(|lab| {
        let (before, rest) = lab.split_once("  - name: vlan.create\n").unwrap();
        let (_, after) = rest.split_once("  - name: vlan.rename\n").unwrap();
        let create = "about: Create\n    says: create {vlan} on {switch}\n    effect: write\n    target: switch";
        let deleted = after.replace("id: {cel: args.id}, name: {cel: before.name}}", "vlan: {cel: before}}");
        format!("{before}  - name: vlan.create\n    {create}\n    {nested}  - name: vlan.rename\n{deleted}")
    });
    let said = |constraints: serde_json::Value| {
        let mut spec = chain.draft_spec();
        spec.boundary.build =
            vec![serde_json::from_value(json!({"tool": "vlan.create", "where": constraints})).unwrap()];
        let words = boundary_words(&spec, &chain.catalog)[0].clone();
        (words, super::boundary::widest(&spec, &chain.catalog).unwrap())
    };
    let (words, widest) =
        said(json!({"switch": {"is": "sw01"}, "vlan.id": {"min": 100, "max": 199}, "vlan.up": {"any": true}}));
    assert!(words.starts_with("The build agent may create id 100 to 199 and up anything on sw01"), "{words}");
    let wide = "vlan.create lets through 200 different calls: 100 values of vlan.id, 2 values of vlan.up; every other value is fixed.";
    assert_eq!(widest, [wide, "The worst of them: create id 199 and up anything on sw01."]);
    let (words, widest) = said(json!({"switch": {"is": "sw01"}, "vlan": {"any": true}}));
    assert!(words.starts_with("The build agent may create any vlan on sw01"), "{words}");
    assert!(
        widest[0].contains("more different calls than can be counted: 4094 values of vlan.id, vlan.name"),
        "{widest:?}"
    );
    assert_eq!(widest[1], "The worst of them: create anything on sw01.");
}
