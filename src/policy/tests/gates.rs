//! What a policy may answer in a person's place, and everything that keeps it a person's.

use super::*;
use crate::facts::spec_facts;

fn asked() -> GateAsked {
    GateAsked {
        action: GateAction::ApproveSpec,
        stage: 3,
        requester: "ada".into(),
        blueprint: "vlan".into(),
        as_blueprint: true,
        steps: 0,
        unproven_undos: 0,
        proven: Proven::NotProven,
        deviation: String::new(),
    }
}

const LAB: &str = "{build: [{tool: vlan.create, where: {switch: {in_group: access-switches}, id: {is: 120}, name: {is: guest}}, at_most: 2}]}";

fn facts(boundary: &str, asked: GateAsked) -> GateFacts {
    let (catalog, spec) = (catalog(), spec(boundary));
    let facts = spec_facts(&spec, &catalog.toolbox, &catalog.inventory);
    GateFacts::of(asked, &spec, &facts, &catalog.inventory)
}

fn why(ruling: GateRuling) -> String {
    match ruling {
        GateRuling::Human { why } => why,
        GateRuling::Approve { .. } => String::new(),
    }
}

#[test]
fn a_small_spec_for_the_lab_is_approved_with_its_rule_and_the_digest_of_the_facts() {
    let facts = facts(LAB, asked());
    assert_eq!((facts.targets, facts.changes, facts.targets_known), (2, Some(2), true));
    let ruling = catalog().policies.gate_ruling(&facts);
    let GateRuling::Approve { rules, facts: digest } = ruling else { panic!("{ruling:?}") };
    assert_eq!(rules.iter().map(|rule| rule.rule.as_str()).collect::<Vec<_>>(), ["small-lab-spec"]);
    assert!(rules[0].reason.contains("gate 1") && rules[0].layer == Layer::Gate);
    assert_eq!(digest, facts.digest().unwrap());
    let other = GateFacts { targets: 3, ..facts };
    assert_ne!(digest, other.digest().unwrap());
}

#[test]
fn whatever_is_not_plainly_allowed_is_a_persons() {
    let policies = std::sync::Arc::clone(&catalog().policies);
    let at = |change: fn(GateFacts) -> GateFacts| why(policies.gate_ruling(&change(facts(LAB, asked()))));
    assert_eq!(at(|facts| facts), "");
    type Case = (fn(GateFacts) -> GateFacts, &'static str);
    let cases: &[Case] = &[
        (|f| GateFacts { stage: 1, ..f }, "at trust stage 1 people answer"),
        (|f| GateFacts { stage: 2, ..f }, "at trust stage 2 people answer"),
        (|f| GateFacts { stage: 4, ..f }, "at trust stage 4 people answer"),
        (|f| GateFacts { as_blueprint: false, ..f }, "not exactly what a trusted blueprint"),
        (|f| GateFacts { blueprint: String::new(), ..f }, "not exactly what a trusted blueprint"),
        (|f| GateFacts { targets: 11, ..f }, "no rule of gates.cedar"),
        (|f| GateFacts { targets: u64::MAX, ..f }, "no rule of gates.cedar"),
        (|f| GateFacts { changes: None, ..f }, "no rule of gates.cedar"),
        (|f| GateFacts { destructive: 1, ..f }, "no rule of gates.cedar"),
        (|f| GateFacts { environments: BTreeSet::new(), ..f }, "no rule of gates.cedar"),
        (|f| GateFacts { proven: Proven::Refuted, ..f }, "no rule of gates.cedar"),
        (|f| GateFacts { action: GateAction::AcceptDeviation, ..f }, "no rule of gates.cedar"),
        (|f| GateFacts { tags: ["core".to_owned()].into(), ..f }, "[a-person-answers-for-what-matters]"),
        (|f| GateFacts { tags: ["freeze".to_owned()].into(), ..f }, "[a-person-answers-for-what-matters]"),
        (
            |f| GateFacts { environments: ["lab".to_owned(), "production".to_owned()].into(), ..f },
            "[a-person-answers-for-what-matters]",
        ),
    ];
    for (at_row, (change, part)) in cases.iter().enumerate() {
        let why = at(*change);
        assert!(why.contains(part), "row {at_row}: `{why}` should say `{part}`");
    }
}

#[test]
fn targets_that_cannot_be_listed_or_found_are_not_known() {
    let any = LAB.replace("{in_group: access-switches}", "{any: true}");
    assert!(!facts(&any, asked()).targets_known);
    let unknown = LAB.replace("{in_group: access-switches}", "{is: sw99}");
    let facts = facts(&unknown, asked());
    assert!(!facts.targets_known && facts.environments.is_empty());
    assert!(why(catalog().policies.gate_ruling(&facts)).contains("no rule of gates.cedar"));
}

#[test]
fn a_rule_that_fails_leaves_the_gate_to_a_person() {
    let gates = format!(
        "{GATES}\n@id(\"adds\") @reason(\"nothing\")\nforbid (principal, action, resource) when {{ context.targets + 9223372036854775807 < 0 }};"
    );
    let policies = Policies::parse(PolicyTexts { gates: &gates, ..texts(GUARDRAILS, STAGES) }, &toolbox()).unwrap();
    let why = why(policies.gate_ruling(&facts(LAB, asked())));
    assert!(why.contains("the rule `adds` of gates.cedar failed"), "{why}");
}

#[test]
fn a_gate_file_is_held_to_its_own_schema_and_its_examples() {
    let load = |gates: &str| {
        let problems = Policies::load(PolicyTexts { gates, ..texts(GUARDRAILS, STAGES) }, &toolbox()).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (from, to, part) in [
        ("context.targets <= 10", "context.targtes <= 10", "targtes"),
        ("Action::\"approve-design\"", "Action::\"write\"", "write"),
        ("context.targets <= 10", "context.targets <= 9", "targets: 10"),
        ("context.destructive == 0 && ", "", "destructive: 1"),
        ("destructive: 1", "destructve: 1", "destructve"),
        ("@id(\"small-lab-design\")", "@id(\"frozen\")", "stands twice"),
    ] {
        let changed = GATES.replace(from, to);
        assert_ne!(changed, GATES);
        let said = load(&changed);
        assert!(said.contains("gates.cedar:") && said.contains(part), "{to} should say `{part}`: {said}");
    }
    assert!(load("").contains("gates.cedar:1: the file has no rule"));
}
