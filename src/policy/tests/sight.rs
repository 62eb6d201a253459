//! What is kept of answers: policies of all kinds are asked about questions that differ in one part after the other, and
//! answer as if they had seen the whole question and nobody had asked before.

use std::sync::{Arc, LazyLock};

use cedar_policy::{Policy, PolicyId, PolicySet};
use proptest::{prelude::*, test_runner::Config};

use super::*;
use crate::policy::{
    request::{Answer, Asked},
    sight::{Reads, Slice},
};

/// Conditions that look at every part, in every way that Cedar has.
const CONDITIONS: [&str; 38] = [
    "true",
    "context.phase == \"build\"",
    "context[\"phase\"] == \"design\"",
    "\"build\" == context.phase",
    "context.stage > 1",
    "[1, context.stage].contains(2)",
    "-context.stage < -1",
    "context has stage && context.stage * 2 == 4",
    "context has nothing",
    "!(context has recovery)",
    "context.on_contract",
    "{inner: context.on_contract}.inner",
    "{inner: [context.recovery]}.inner.contains(true)",
    "if context.recovery then context.window_open else context.on_contract",
    "if resource.tags.isEmpty() then context.window_open else false",
    "context.undo_of like \"build*\"",
    "context.undo_of == \"\" || context.stage == 3",
    "context.approved_by.contains(\"approver\")",
    "context.approved_by.containsAny([\"owner\", \"viewer\"])",
    "[\"approver\"].containsAll(context.approved_by)",
    "context.approved_by.isEmpty()",
    "context.changes.targets + context.changes.elsewhere > 3",
    "context.changes has production_targets && context.changes.production_targets == 1",
    "context.changes == {targets: 1, production_targets: 0, elsewhere: 0}",
    // It overflows, so it fails.
    "context.changes.targets * 9223372036854775807 > 3",
    "context.simulated",
    "context.args has id && context.args.id > 100",
    // Not every tool has it, so it fails for some.
    "context.args.id > 100",
    "context.args.switch == resource[\"is\"]",
    "context.args has options.mtu && context.args.options.mtu > 1500",
    "context.groups has switch && context.groups.switch.contains(\"access-switches\")",
    "context.counts has vlans && context.counts.vlans > 1",
    // The whole of it at once.
    "context == {phase: \"build\"}",
    "[context].contains(context)",
    "{all: context}.all.stage == 2",
    "(if true then context else context).recovery",
    "principal is Agent in AgentGroup::\"readers\"",
    "resource is Target && resource.environment == \"production\" && principal == Agent::\"build\"",
];

const CALLS: [(&str, &str); 9] = [
    ("vlan.create", r#"{"switch": "sw01", "id": 100, "name": "a"}"#),
    ("vlan.create", r#"{"switch": "sw01", "id": 101, "name": "a"}"#),
    ("vlan.create", r#"{"switch": "core1", "id": 101, "name": "a"}"#),
    ("vlan.delete", r#"{"switch": "prod1", "id": 101}"#),
    ("vlan.list", r#"{"switch": "sw01"}"#),
    ("port.trunk.set", r#"{"switch": "sw01", "port": "Gi1/0/1", "vlans": [1]}"#),
    ("port.trunk.set", r#"{"switch": "sw01", "port": "Gi1/0/1", "vlans": [1, 2]}"#),
    ("port.set", r#"{"switch": "sw02", "port": "Gi1/0/1", "options": {"up": true, "mtu": 9000}}"#),
    ("port.set", r#"{"switch": "sw02", "port": "Gi1/0/1", "options": {"up": true}}"#),
];

fn policies(conditions: &[(bool, usize)]) -> PolicySet {
    let policy = |(at, (when, condition)): (usize, &(bool, usize))| {
        let clause = if *when { "when" } else { "unless" };
        let text = format!("forbid (principal, action, resource) {clause} {{ {} }};", CONDITIONS[*condition]);
        Policy::parse(Some(PolicyId::new(format!("p{at}"))), text).unwrap()
    };
    PolicySet::from_policies(conditions.iter().enumerate().map(policy)).unwrap()
}

fn slice_of(set: PolicySet) -> Slice {
    let reads = set.policies().map(|policy| Reads::of(&policy.to_cedar().unwrap()));
    let reads = reads.fold(Reads::default(), Reads::and);
    Slice::new(set, reads)
}

/// A question in small numbers: its call, and what else it says.
type Drawn = (usize, (Agent, Phase, u8), (bool, bool, bool), Option<&'static str>, BTreeSet<Role>, Changes);

fn drawn() -> impl Strategy<Value = Drawn> {
    let agents = prop::sample::select(vec![Agent::Build, Agent::Verifier]);
    let phases = prop::sample::select(vec![Phase::Build, Phase::Design]);
    let roles = prop::collection::btree_set(prop::sample::select(Role::ALL.to_vec()), 0..2);
    let changes = (0..3_u32, 0..2_u32, 0..3_u32).prop_map(|(targets, production_targets, elsewhere)| Changes {
        targets,
        production_targets,
        elsewhere,
    });
    let undo_of = prop::sample::select(vec![None, Some("build.0"), Some("other")]);
    (0..CALLS.len(), (agents, phases, 1..4_u8), any::<(bool, bool, bool)>(), undo_of, roles, changes)
}

/// One for all, so that what is kept for some policies is there when others are asked.
static CATALOG: LazyLock<Catalog> = LazyLock::new(catalog);

proptest! {
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_is_kept_is_what_would_be_answered(
        conditions in prop::collection::vec((any::<bool>(), 0..CONDITIONS.len()), 0..4),
        asked in prop::collection::vec(drawn(), 1..40),
        more in prop::sample::select(vec![BTreeSet::new(), BTreeSet::from([Role::Approver])]),
    ) {
        let catalog = &*CATALOG;
        let slice = slice_of(policies(&conditions));
        let said: Vec<Value> = CALLS.iter().map(|(_, call)| serde_json::from_str(call).unwrap()).collect();
        for (call, (agent, phase, stage), (on_contract, recovery, window_open), undo_of, roles, changes) in &asked {
            let tool = tool(catalog, CALLS[*call].0);
            let args = args(catalog, tool, &said[*call]);
            let target = catalog.inventory.target(args["switch"].as_str().unwrap()).unwrap();
            let all: BTreeSet<Role> = roles.union(&more).copied().collect();
            let question = Question {
                agent: *agent,
                phase: *phase,
                stage: *stage,
                on_contract: *on_contract,
                recovery: *recovery,
                window_open: *window_open,
                undo_of: *undo_of,
                approved_by: roles,
                changes: *changes,
                ..question(tool, &args)
            };
            let asked = Asked::new(catalog.into(), &question, target).unwrap();
            let found = asked.answer(&slice, &more).unwrap();
            let whole = Question { approved_by: &all, ..question };
            let whole = Asked::new(catalog.into(), &whole, target).unwrap();
            let expected = whole.ask(slice.set(), &whole.whole().unwrap());
            prop_assert_eq!(&*found, &expected, "{} {:?}", slice.set(), question);
            prop_assert!(Arc::ptr_eq(&found, &asked.answer(&slice, &more).unwrap()), "it is kept");
        }
    }
}

/// Asks about VLAN `id` on sw01 at a stage.
fn asks(catalog: &Catalog, slice: &Slice, (id, stage): (u16, u8)) -> Arc<Answer> {
    let tool = tool(catalog, "vlan.create");
    let args = args(catalog, tool, &json!({"switch": "sw01", "id": id, "name": "a"}));
    let question = Question { stage, ..question(tool, &args) };
    let target = catalog.inventory.target("sw01").unwrap();
    Asked::new(catalog.into(), &question, target).unwrap().answer(slice, &NOBODY).unwrap()
}

#[test]
fn policies_are_shown_what_they_look_at_and_fail_where_they_look_further() {
    let catalog = catalog();
    let at_stage = || policies(&[(true, CONDITIONS.iter().position(|said| *said == "context.stage > 1").unwrap())]);
    let blind = Slice::new(at_stage(), Reads::default());
    for stage in [1, 2] {
        let answer = asks(&catalog, &blind, (100, stage));
        assert_eq!((&answer.rules[..], answer.failed.len()), (&[][..], 1), "{:?}", answer.failed);
        assert!(answer.failed[0].1.contains("stage"), "{:?}", answer.failed);
    }
    let slice = slice_of(at_stage());
    assert_eq!(asks(&catalog, &slice, (100, 1)).rules, Vec::<String>::new());
    assert_eq!(asks(&catalog, &slice, (100, 2)).rules, ["p0"]);
    assert!(Arc::ptr_eq(&asks(&catalog, &slice, (100, 2)), &asks(&catalog, &slice, (101, 2))), "it sees no arguments");
}

#[test]
fn an_answer_is_of_one_catalog_and_of_one_set_of_policies() {
    let (one, mut other) = (catalog(), catalog());
    let tagged = |condition: &str| {
        let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
        PolicySet::from_policies([Policy::parse(Some(PolicyId::new("p")), text).unwrap()]).unwrap()
    };
    let slice = slice_of(tagged("resource.tags.contains(\"late\")"));
    assert_eq!(asks(&one, &slice, (100, 1)).rules, Vec::<String>::new());
    let target = other.inventory.targets.iter_mut().find(|target| target.name == "sw01").unwrap();
    target.tags.insert("late".into());
    assert_eq!(asks(&other, &slice, (100, 1)).rules, ["p"], "the same policies on another inventory");
    let mut more = slice.clone();
    assert_eq!(asks(&one, &more, (100, 1)).rules, Vec::<String>::new());
    more.add(Policy::parse(Some(PolicyId::new("more")), "forbid (principal, action, resource);").unwrap()).unwrap();
    assert_eq!(asks(&one, &more, (100, 1)).rules, ["more"], "one policy more");
    assert_eq!(asks(&one, &slice, (100, 1)).rules, Vec::<String>::new());
}

#[test]
fn what_a_policy_looks_at_is_read_from_its_text() {
    let names = |text: &str| format!("{:?}", Reads::of(text));
    for one in
        ["context.stage", "context . stage > 1", "context[\"stage\"]", "context has stage", "context has \"stage\""]
    {
        assert_eq!(names(one), names("context // a comment\n.\n stage"), "{one}");
    }
    for none in ["\"context\"", "// context\n", "\"\\\"context\"", "resource.contexts", "\"\" // context.stage", ""] {
        assert_eq!(Reads::of(none), Reads::default(), "{none}");
    }
    for all in [
        "context",
        "1context",
        "// a comment\rcontext",
        "(context).stage",
        "context[\"st\\u{61}ge\"]",
        "context.else",
        "context == {}",
        "resource.context",
        "context[",
    ] {
        assert_eq!(Reads::of(all), Reads::ALL, "{all}");
    }
    assert_ne!(Reads::of("context.stage"), Reads::of("context.stage && context.phase"));
    assert_eq!(Reads::of("context.args.id > 1 && context has args.name"), Reads::of("context.args"));
}
