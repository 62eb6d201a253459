//! Reads that may add targets: what gate 1 counts and approves of them, and what that lets through afterwards.

use super::*;
use crate::{
    artifact::CallId,
    facts::{Facts, FoundBy, FoundIn, Within, spec_facts},
};

const BY: &str = "{tool: dns.records.list, args: {zone: corp.example.com}, targets: result.devices, kind: switch, \
                  within: {environment: production, tags: [freeze], groups: [access-switches, found-switches]}, \
                  at_most: 9}";

fn by() -> FoundBy {
    from_yaml("found_by", BY).unwrap()
}

fn finding() -> Catalog {
    let mut catalog = catalog();
    catalog.inventory.found_by.push(by());
    catalog
}

fn answered(catalog: &Catalog, devices: Value) -> Catalog {
    let (by, call, result) = (by(), CallId::nth(1), json!({"devices": devices}));
    catalog.with_found(&[FoundIn { by: &by, call: &call, result: &result }])
}

fn of(spec: &Spec, catalog: &Catalog) -> (Facts, ApprovedOn) {
    let facts = spec_facts(spec, &catalog.toolbox, &catalog.inventory);
    let on = ApprovedOn::of(spec, &facts, catalog).unwrap();
    (facts, on)
}

const READ: &str = "{tool: dns.records.list, where: {zone: {is: corp.example.com}}}";

fn on(read: &str, switch: &str) -> Spec {
    let build =
        format!("{{tool: vlan.create, where: {{switch: {switch}, id: {{is: 120}}, name: {{is: guest}}}}, at_most: 2}}");
    spec(&format!("{{discover: [{read}], build: [{build}]}}"))
}

#[test]
fn a_read_is_approved_and_counted_only_where_it_is_granted_and_what_it_adds_is_reached() {
    let other = "{tool: dns.records.list, where: {zone: {like: \"*.example.org\"}}}";
    for (read, switch, used, counted) in [
        (READ, "{in_group: access-switches}", true, true),
        (READ, "{in_group: found-switches}", true, true),
        (READ, "{any: true}", true, true),
        (READ, "{in_group: cores}", false, false),
        (READ, "{is: sw01}", false, false),
        (READ, "{one_of: [sw01, sw02]}", false, false),
        // Its tool is granted, but not for this zone: it is not made, and counts all the same.
        (other, "{in_group: access-switches}", false, true),
        ("{tool: vlan.list, where: {switch: {is: sw01}}}", "{in_group: access-switches}", false, false),
    ] {
        let (catalog, spec) = (finding(), on(read, switch));
        assert!(CompiledBoundary::compile(&spec, &catalog).is_ok(), "{read} {switch}");
        let (facts, on) = of(&spec, &catalog);
        assert_eq!(on.found_by, if used { vec![by()] } else { vec![] }, "{read} {switch}");
        assert_eq!(facts.may_find, if counted { 9 } else { 0 }, "{read} {switch}");
        assert_eq!(facts.environments.contains("production"), counted, "{read} {switch}");
        // Once it has answered, what it added is known and nothing is guessed.
        let known = answered(&catalog, json!([{"name": "new1", "groups": ["access-switches"]}]));
        assert_eq!(of(&spec, &known).0.may_find, 0, "{read} {switch}");
    }
    let strange = on(READ, "{in_group: lost-switches}");
    assert!(CompiledBoundary::compile(&strange, &finding()).is_err());
}

#[test]
fn a_policy_at_gate_1_sees_the_worst_that_may_be_found() {
    let (catalog, spec) = (finding(), on(READ, "{in_group: access-switches}"));
    let asked = GateAsked {
        action: GateAction::ApproveSpec,
        stage: 3,
        requester: "ada".into(),
        blueprint: "vlan".into(),
        as_blueprint: true,
        steps: 0,
        unproven_undos: 0,
        proven: Proven::NotProven,
        deviation: String::new(),
    };
    let facts = GateFacts::of(asked, &spec, &of(&spec, &catalog).0, &catalog.inventory);
    assert_eq!((facts.targets, facts.targets_known), (3 + 9, false));
    assert!(facts.tags.contains("freeze") && facts.environments.contains("production"), "{facts:?}");
}

#[test]
fn what_is_found_is_reached_by_group_as_what_the_file_says() {
    let catalog = answered(&finding(), json!([{"name": "new1", "groups": ["access-switches"]}, {"name": "new2"}]));
    let boundary = CompiledBoundary::compile(&on(READ, "{in_group: access-switches}"), &catalog).unwrap();
    let create = |switch: &str, catalog: &Catalog| {
        let tool = tool(catalog, "vlan.create");
        let args = json!({"switch": switch, "id": 120, "name": "guest"}).as_object().unwrap().clone();
        let question = Question {
            agent: Agent::Build,
            phase: Phase::Build,
            stage: 2,
            tool,
            args: &args,
            on_contract: true,
            undo_of: None,
            recovery: false,
            window_open: true,
            approved_by: &Default::default(),
            changes: Changes::default(),
        };
        rule(catalog, &boundary, &question).verdict
    };
    assert_eq!(create("new1", &catalog), Verdict::Allow);
    assert_eq!(create("new2", &catalog), Verdict::Deny, "it is in no group that is granted");
    assert_eq!(create("new1", &finding()), Verdict::Deny, "nothing was found, so nobody knows it");
}

#[test]
fn gate_1_approves_the_read_and_gate_2_each_target_that_it_added() {
    let (files, spec) = (finding(), on(READ, "{in_group: access-switches}"));
    let lab = |devices: Value| answered(&files, devices);
    let new1 = || json!([{"name": "new1", "groups": ["access-switches"]}]);
    let tool = "vlan.create".parse().unwrap();
    let gate1 = ApprovedOn { found: None, ..of(&spec, &files).1 };
    let gate2 = of(&spec, &lab(new1())).1;
    assert_eq!(gate1.differences(&gate2), []);
    for on in [&gate1, &gate2] {
        assert_eq!(ApprovedOn::voided(Some(on), &tool, "new1", &lab(new1())), None);
        assert_eq!(ApprovedOn::voided(Some(on), &tool, "sw01", &lab(new1())), None);
    }
    // Another answer is still inside what gate 1 approved, and is not what gate 2 did.
    for (devices, says, difference) in [
        (json!([]), None, Difference::Gone("new1".into())),
        (
            json!([{"name": "new1", "groups": ["access-switches"], "tags": ["freeze"]}]),
            Some("the inventory entry of `new1` changed"),
            Difference::Target("new1".into()),
        ),
    ] {
        let now = lab(devices);
        assert_eq!(gate1.differences(&of(&spec, &now).1), []);
        assert_eq!(gate2.differences(&of(&spec, &now).1), [difference]);
        assert_eq!(ApprovedOn::voided(Some(&gate2), &tool, "new1", &now).as_deref(), says);
    }
    let more = lab(json!([{"name": "new1", "groups": ["access-switches"]}, {"name": "new2"}]));
    assert_eq!(gate2.differences(&of(&spec, &more).1), [Difference::New("new2".into())]);
    assert!(ApprovedOn::voided(Some(&gate2), &tool, "new2", &more).is_some());
    // Where the file lets it add other targets, neither gate holds.
    let mut wider = catalog();
    wider.inventory.found_by.push(FoundBy { within: Within { groups: Default::default(), ..by().within }, ..by() });
    wider.inventory.found_by[0].within.groups.insert("access-switches".into());
    for then in [&gate1, &gate2] {
        let differences = then.differences(&of(&spec, &wider).1);
        assert!(differences.contains(&Difference::FoundBy("dns.records.list".parse().unwrap())), "{differences:?}");
        let none = then.differences(&of(&spec, &catalog()).1);
        assert!(none.contains(&Difference::FoundBy("dns.records.list".parse().unwrap())), "{none:?}");
    }
    // A name that the file learns is the file's, and nobody approved that.
    let mut learned = catalog();
    learned.inventory.found_by.push(by());
    let entry = learned.inventory.targets[0].clone();
    learned.inventory.targets.push(crate::facts::Target { name: "new1".into(), ..entry });
    let learned = answered(&learned, new1());
    assert!(learned.inventory.finding_of("new1").is_none());
    assert_eq!(gate1.differences(&of(&spec, &learned).1), [Difference::New("new1".into())]);
}

#[test]
fn nothing_is_proven_of_targets_that_nobody_knows() {
    struct Never;
    const ASKED: &str = "a solver is asked about targets that nobody knows";
    impl Ask for Never {
        fn reachable(&mut self, _: &Goal) -> Result<bool, String> {
            panic!("{ASKED}")
        }

        fn example(&mut self, _: &Goal) -> Result<Option<cedar_policy_symcc::Env>, String> {
            panic!("{ASKED}")
        }
    }
    let (catalog, spec) = (finding(), on(READ, "{in_group: access-switches}"));
    let report = prove(Subject { catalog: &catalog, spec: &spec, before: None }, "cvc5", &mut Never).unwrap();
    assert_eq!(report.verdict(), Proven::NotProven);
}

#[test]
fn a_name_of_a_grant_is_counted_as_it_is_sent() {
    let named = |zone: &str| {
        let spec = spec(&format!("{{build: [{{tool: dns.records.list, where: {{zone: {zone}}}}}]}}"));
        spec_facts(&spec, &catalog().toolbox, &catalog().inventory)
    };
    for zone in ["{is: corp.example.com}", "{is: CORP.Example.com}", "{one_of: [CORP.example.com]}"] {
        let facts = named(zone);
        assert_eq!(facts.targets.into_iter().collect::<Vec<_>>(), ["corp.example.com"], "{zone}");
        assert_eq!(facts.environments.into_iter().collect::<Vec<_>>(), ["lab"], "{zone}");
    }
}
