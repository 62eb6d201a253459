//! The screens as people read them.

use serde_json::json;

use super::*;
use crate::{
    engagement::Answer,
    record::fixture::{ADDRESS, Chain, Scripted, VLAN},
};

pub(super) fn asked(chain: &Chain, about: &About) -> ApprovalRequest {
    approval_request(&chain.view(), &chain.catalog, &assisted(), &[], about).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn assisted() -> Standing {
    Standing { stage: 1, because: "it is a test".into() }
}

pub(super) fn shown(request: &ApprovalRequest) -> String {
    render(&request.screen, Style::plain(100))
}

/// A VLAN engagement that waits at gate 1.
pub(super) fn at_gate1() -> Chain {
    let mut chain = Chain::vlan();
    assert_eq!(chain.run(), Some(About::Gate1));
    chain
}

/// An engagement that waits at gate 2.
pub(super) fn at_gate2(mut chain: Chain) -> Chain {
    chain.run();
    assert_eq!(chain.approve_gate1(), Some(About::Gate2));
    chain
}

pub(super) fn assert_says(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|shown| shown.trim_start() == *line), "`{line}` is missing:\n{text}");
    }
}

#[test]
fn gate_1_shows_what_is_wanted_and_what_may_be_done() {
    let chain = at_gate1();
    let request = asked(&chain, &About::Gate1);
    let digest = chain.state().artifact(ArtifactKind::Spec).unwrap().short();
    let expected = "\
GATE 1: is this wanted, and may this much be done?                        SIMULATED environment: lab
  Create VLAN 120 guest

  Engagement  k7m2q, spec version 1
  Asked by    ada (asserted, OS user ada)
  From        blueprint vlan
  Tickets     CHG0031337
  Window      none, so it may be built at any time
  Trust       stage 1: it is a test

WHAT MAY BE DONE
  The build agent may create VLAN 120 named guest on one of sw01, sw02, sw03, sw04, at most 4 times,
    and undo that.
  It may not change or delete anything else.
  The design agent and the verifier may read: list the VLANs of one of sw01, sw02, sw03, sw04.
  A yes lets that be read and a design be made. Nothing is changed before gate 2 is answered.

TARGETS
  4 in lab: sw01, sw02, sw03, sw04

WIDEST GRANT (not proven by a solver)
  vlan.create lets through 4 different calls: 4 values of switch; every other value is fixed.
  The worst of them: create VLAN 120 named guest on sw04.

WHAT MUST BE TRUE IN THE END
  R1  VLAN 120 is there as guest on sw01, sw02, sw03, sw04
    A1 fails before, holds after: list the VLANs of each of sw01, sw02, sw03, sw04
       result.vlans.exists(v, v.id == 120 && v.name == \"guest\")
  R2  VLAN 1 is still there as default on each of them
    A2 holds before and after: list the VLANs of each of sw01, sw02, sw03, sw04
       result.vlans.exists(v, v.id == 1 && v.name == \"default\")

  Limits        80 tool calls, 200000 model tokens, 30 minutes of running
                then it only looks at what was done, takes back and clears up
  Stopped at    3 attempts outside what may be done
  Rollback      every change must be undoable
  Irreversible  nothing
  Artifact      spec.yaml version 1, DIGEST

Without an answer it waits; nothing is approved.
";
    assert_eq!(shown(&request), expected.replace("DIGEST", &digest));
    assert_eq!((request.version, request.calls.len(), request.role), (1, 0, Role::Approver));
}

#[test]
fn gate_2_shows_the_exact_change_first() {
    let mut chain = Chain::vlan();
    chain.network.vlans.get_mut("sw02").unwrap().insert(120, "guest".into());
    let chain = at_gate2(chain);
    let request = asked(&chain, &About::Gate2);
    let mut expected = "\
GATE 2: may exactly this be done?                                         SIMULATED environment: lab
  Create VLAN 120 guest

WHAT WILL BE CHANGED
  on sw01, sw03, sw04 (3 alike): create VLAN 120 named guest on each
    - nothing
    + id: 120
    + name: guest
    taken back by: delete VLAN 120 from each
  sw02 is so already: nothing will be called

HOW FAR IT REACHES
  4 in lab: sw01, sw02, sw03, sw04
  3 changes, none of them destructive; irreversible: nothing
  If `create` fails: what was done to the same target is taken back, and the other targets go on.

  Engagement  k7m2q, spec version 1, design version 1
  Asked by    ada (asserted, OS user ada)
  From        blueprint vlan
  Tickets     CHG0031337
  Window      none, so it may be built at any time
  Trust       stage 1: it is a test
  Gate 1      approved by ada (asserted, OS user ada)

WHY THIS WAY
  When a switch fails, its own change is taken back and the others go on
    because: The VLAN on one switch does not depend on the VLAN on another

WHAT MUST BE TRUE IN THE END
  A1 (R1) does not hold now and must hold after, made true by `create`
  A2 (R2) holds now and must still hold after

WHAT WAS FOUND
  The switches answer (c1)

A YES LETS THESE 3 CALLS TAKE EFFECT, EACH ONCE
  create/sw01  CALL1  create VLAN 120 named guest on sw01
  create/sw03  CALL2  create VLAN 120 named guest on sw03
  create/sw04  CALL3  create VLAN 120 named guest on sw04

  Artifact  solution.design version 1, DIGEST

Without an answer it waits; nothing is approved. Tried again after a failure (`run --retry failed`),
    a call needs no new yes, unless this one is signed.
"
    .replace("DIGEST", &chain.state().artifact(ArtifactKind::Design).unwrap().short());
    for (at, call) in request.calls.iter().enumerate() {
        expected = expected.replace(&format!("CALL{}", at + 1), &call.call.short());
    }
    assert_eq!(shown(&request), expected);
    assert!(expected.lines().count() <= 45);
}

#[test]
fn the_same_chain_gives_the_same_request_and_its_approval_lets_exactly_its_calls_run() {
    let mut chain = at_gate2(Chain::vlan());
    let request = asked(&chain, &About::Gate2);
    for _ in 0..20 {
        assert_eq!(digest_of(&asked(&chain, &About::Gate2)).unwrap(), digest_of(&request).unwrap());
    }
    let stored: ApprovalRequest = serde_json::from_value(serde_json::to_value(&request).unwrap()).unwrap();
    assert_eq!(stored, request);
    let calls = request.calls.iter().map(|call| call.call).collect();
    chain.answer_with(&About::Gate2, digest_of(&request).unwrap(), Answer::Approve, calls);
    assert_eq!(chain.run(), None, "nothing else is asked");
    assert_eq!(chain.network.vlans["sw04"][&120], "guest");
}

#[test]
fn what_is_decided_later_is_asked_later() {
    let mut chain = at_gate2(Chain::request(ADDRESS, json!({"name": "web01"})));
    let request = asked(&chain, &About::Gate2);
    assert_says(
        &shown(&request),
        &[
            "allocate the lowest free address of 192.0.2.0/24 to web01",
            "taken back by: release (decided then) of 192.0.2.0/24",
            "create the A record web01 for (decided by `allocate`) in corp.example.com with a TTL of 3600",
            "address: decided when `allocate` has run, by steps.allocate.result.address; you will be asked",
            "after `allocate`",
            "If `allocate` or `publish` fails: everything is taken back, in reverse order, and nothing more is",
            "A YES LETS THIS CALL TAKE EFFECT, ONCE",
        ],
    );
    assert_eq!(request.calls.len(), 1);
    // Where a call of an approved design runs by itself nobody is asked then, and the yes is for that too.
    let supervised = Standing { stage: 2, ..assisted() };
    let unasked = approval_request(&chain.view(), &chain.catalog, &supervised, &[], &About::Gate2).unwrap();
    assert_says(
        &shown(&unasked),
        &[
            "! address: decided when `allocate` has run, by steps.allocate.result.address; a yes may let it run",
            "! it may let this run too, without another question, once that is decided: create the A record",
        ],
    );
    assert_eq!(unasked.calls.len(), 1);
    let calls = request.calls.iter().map(|call| call.call).collect();
    chain.answer_with(&About::Gate2, digest_of(&request).unwrap(), Answer::Approve, calls);
    let about = chain.run().unwrap();
    let request = asked(&chain, &about);
    assert_says(
        &shown(&request),
        &[
            "ONE CALL: may it run?                                                     SIMULATED environment: lab",
            "create the A record web01 for 192.0.2.11 in corp.example.com with a TTL of 3600 seconds",
            "address  192.0.2.11",
            "+ address: \"192.0.2.11\"",
            "taken back by: delete the A record web01 for 192.0.2.11 from corp.example.com",
            "At gate 2 it could not be known: it uses what an earlier step answered.",
            "The rule says: an approver must agree",
        ],
    );
    let About::Call { call, .. } = about else { panic!() };
    assert_eq!(request.calls.iter().map(|offered| offered.call).collect::<Vec<_>>(), [call]);
}

/// Deletes VLAN 20 from two switches.
fn delete(undo: bool) -> Chain {
    delete_from(undo, &["sw01", "sw02"])
}

fn delete_from(undo: bool, switches: &[&str]) -> Chain {
    let build =
        "      - tool: vlan.delete\n        where: {switch: {one_of: {cel: inputs.switches}}, id: {any: true}}\n";
    let (head, rest) = VLAN.split_once("    build:\n").unwrap();
    let (_, rest) = rest.split_once("  # Each switch is read").unwrap();
    let blueprint = format!("{head}    build:\n{build}  # Each switch is read{rest}")
        .replace("tool: vlan.create", "tool: vlan.delete")
        .replace("        name: {cel: inputs.name}\n      on_failure", "      on_failure")
        .replace(
            "result.vlans.exists(v, v.id == inputs.id && v.name == inputs.name)",
            "'!result.vlans.exists(v, v.id == 20)'",
        )
        .replace("on_failure: undo_target", "on_failure: ask");
    let inputs = json!({"id": 20, "name": "voice", "switches": switches});
    let chain = Chain::request(&blueprint, inputs);
    if undo {
        return chain;
    }
    chain.with_manifest(|manifest| {
        let (head, rest) = manifest.split_once("  - name: vlan.delete").unwrap();
        let (_, rest) = rest.split_once("  # Ports.").unwrap();
        let delete = "  - name: vlan.delete
    about: Delete a VLAN
    says: delete VLAN {id} from {switch}
    effect: destructive
    target: switch
    args:
      properties:
        switch: {type: string, format: target}
        id: {type: integer, format: vlan-id, minimum: 1, maximum: 4094}
      required: [switch, id]
";
        format!("{head}{delete}\n  # Ports.{rest}")
    })
}

#[test]
fn what_removes_something_is_ticked_call_by_call() {
    let mut chain = delete(true);
    chain.run();
    assert_says(
        &shown(&asked(&chain, &About::Gate1)),
        &[
            "! it may remove something, with vlan.delete",
            "The build agent may delete VLAN any id from one of sw01, sw02, as often as the limits allow, and",
            "A yes lets that be read and a design be made. Nothing is changed before gate 2 is answered.",
            "vlan.delete lets through 8188 different calls: 4094 values of id, 2 values of switch; nothing is",
            "The worst of them: delete VLAN 4094 from sw02.",
        ],
    );
    let chain = at_gate2(chain);
    let request = asked(&chain, &About::Gate2);
    let text = shown(&request);
    let tick = format!("[ ] create/sw01  {}  delete VLAN 20 from sw01", request.calls[0].call.short());
    assert_says(
        &text,
        &[
            "- name: voice",
            "+ nothing",
            "taken back by: create VLAN 20 named voice on each",
            "2 changes, 2 of them destructive; irreversible: nothing",
            "A YES LETS THOSE OF 2 CALLS TAKE EFFECT THAT ARE TICKED, EACH ONCE",
            "! what follows removes something or cannot be taken back; tick each call that may run",
            &tick,
        ],
    );
    assert!(request.calls.iter().all(|call| call.destructive));
}

#[test]
fn one_change_is_told_as_one() {
    let inputs = json!({"id": 120, "name": "guest", "switches": ["sw01"]});
    let chain = at_gate2(Chain::request(VLAN, inputs));
    let one = "1 change, not destructive; irreversible: nothing";
    assert_says(&shown(&asked(&chain, &About::Gate2)), &[one, "A YES LETS THIS CALL TAKE EFFECT, ONCE"]);
    let chain = at_gate2(delete_from(true, &["sw01"]));
    assert_says(&shown(&asked(&chain, &About::Gate2)), &["1 change, destructive; irreversible: nothing"]);
}

#[test]
fn what_cannot_be_taken_back_or_seen_is_a_warning() {
    let mut chain = delete(false);
    chain.run();
    assert_says(
        &shown(&asked(&chain, &About::Gate1)),
        &[
            "The build agent may delete VLAN any id from one of sw01, sw02, as often as the limits allow. That",
            "Irreversible  vlan.delete",
        ],
    );
    let mut chain = at_gate2(chain);
    let request = asked(&chain, &About::Gate2);
    assert_says(
        &shown(&request),
        &[
            "- (not known beforehand)",
            "! it cannot be taken back: vlan.delete has no undo",
            "! nothing reads back what it did: vlan.delete has no state to read, and the step no check",
            "2 changes, 2 of them destructive; irreversible: vlan.delete",
        ],
    );
    chain = chain.script("step create/sw01", [Scripted::Lost { acted: true }]);
    let calls = request.calls.iter().map(|call| call.call).collect();
    chain.answer_with(&About::Gate2, digest_of(&request).unwrap(), Answer::Approve, calls);
    let about = chain.run().unwrap();
    assert!(matches!(about, About::Unknown { .. }));
    assert_says(
        &shown(&asked(&chain, &about)),
        &[
            "UNKNOWN: did this call take effect?                                       SIMULATED environment: lab",
            "delete VLAN 20 from sw01",
            "! the connection ended",
            "on sw01, see whether it took effect; no tool here can read it",
            "not-applied  it did not; the step fails, and a person is asked what it means for the rest",
            "Nothing more happens until this is answered.",
        ],
    );
    chain.answer_with(&about, Digest::ZERO, Answer::Applied(false), Vec::new());
    let about = chain.run().unwrap();
    assert!(matches!(about, About::Failure { .. }));
    assert_says(
        &shown(&asked(&chain, &about)),
        &[
            "`create/sw01`: delete VLAN 20 from sw01",
            "! a person looked: it did not take effect",
            "Nothing is changed there.",
            "failed       create/sw01",
            "still to do  create/sw02",
            "undo-all     everything is taken back, in reverse order, and nothing more is run",
        ],
    );
}

#[test]
fn a_deviation_shows_both_states_and_what_a_yes_means() {
    let script = [Scripted::Appear("sw03", 120, "old")];
    let mut chain = at_gate2(Chain::vlan().script("read the state again before create/sw03", script));
    let about = chain.approve_gate2().unwrap();
    assert_says(
        &shown(&asked(&chain, &about)),
        &[
            "`create/sw03`: the state is not the one that gate 2 was approved on",
            "- nothing",
            "+ name: old",
            "This still runs: create VLAN 120 named guest on sw03",
            "- name: old",
            "+ name: guest",
            "! taken back by: delete VLAN 120 from sw03; nothing shows that this brings back what is there now",
            "The step fails without running; then what was done to the same target is taken back, and the other",
        ],
    );
}

#[test]
fn a_target_that_could_not_be_read_is_a_warning() {
    let mut chain = Chain::vlan();
    for purpose in ["discover vlans/sw03", "read the state before create/sw03"] {
        chain = chain.script(purpose, [const { Scripted::NotSent("no route") }; 3]);
    }
    let chain = at_gate2(chain);
    assert_says(
        &shown(&asked(&chain, &About::Gate2)),
        &[
            "on sw01, sw02, sw04 (3 alike): create VLAN 120 named guest on each",
            "create VLAN 120 named guest on sw03",
            "! sw03 could not be read, so what is there now is not known: no route",
        ],
    );
}

#[test]
fn many_alike_targets_are_one_change() {
    let switches: Vec<String> = (1..=40).map(|n| format!("sw{n:02}")).collect();
    let mut chain = Chain::request(VLAN, json!({"id": 120, "name": "guest", "switches": switches}));
    let known = chain.catalog.inventory.target("sw01").unwrap().clone();
    for switch in &switches {
        if chain.catalog.inventory.target(switch).is_none() {
            let target = crate::facts::Target { name: switch.clone(), ..known.clone() };
            chain.catalog.inventory.targets.push(target);
        }
        chain.network.vlans.entry(switch.clone()).or_default().insert(1, "default".into());
    }
    chain.network.vlans.get_mut("sw07").unwrap().insert(120, "old".into());
    let chain = at_gate2(chain);
    let text = shown(&asked(&chain, &About::Gate2));
    assert_says(
        &text,
        &[
            "on sw01, sw02, sw03, sw04, sw05, sw06, sw08, sw09 and 31 more (39 alike): create VLAN 120 named",
            "create VLAN 120 named guest on sw07",
            "- name: old",
            "and 28 more calls, each one of the changes above",
        ],
    );
    assert!(text.lines().count() < 75, "{text}");
    let words: Vec<&str> = text.split_whitespace().collect();
    let all = words.join(" ");
    let alike: Vec<&str> = switches.iter().map(String::as_str).filter(|switch| *switch != "sw07").collect();
    assert!(all.contains(&format!("on: {}", alike.join(", "))), "every target of a change is on the screen:\n{text}");
}

#[test]
fn how_a_step_is_checked_by_itself_is_shown() {
    let mut chain = Chain::vlan();
    chain.run();
    chain.approve_gate1();
    let mut design = chain.documents.design().unwrap().as_ref().clone();
    let verify = json!({
        "tool": "vlan.list", "with": {"switch": {"cel": "item"}}, "expect": "result.vlans.exists(v, v.id == 120)"
    });
    design.steps[0].verify = Some(serde_json::from_value(verify).unwrap());
    let from = vec![design.spec, design.discovery];
    chain.file(ArtifactKind::Design, &design, from);
    let text = shown(&asked(&chain, &About::Gate2));
    assert_says(
        &text,
        &["checked after by: vlan.list with switch (item); this must hold: result.vlans.exists(v, v.id =="],
    );
}

#[test]
fn there_is_nothing_to_ask_where_nothing_is_open() {
    let chain = at_gate2(Chain::vlan());
    let node = chain.view().preview().unwrap().nodes[0].id.clone();
    for about in [
        About::Call { node: node.clone(), call: Digest::ZERO },
        About::Deviation { node: node.clone() },
        About::Failure { node: node.clone() },
        About::Unknown { node, undo: false },
    ] {
        assert!(matches!(
            approval_request(&chain.view(), &chain.catalog, &assisted(), &[], &about),
            Err(GateError::NothingToAsk(_))
        ));
    }
}

#[test]
fn a_call_that_a_policy_forbids_is_not_offered() {
    let mut chain = at_gate2(Chain::vlan());
    let inventory = include_str!("../../policies/inventory.yaml");
    let frozen = inventory.replace(
        "{name: sw04, is: switch, environment: lab, tags: [access]",
        "{name: sw04, is: switch, environment: lab, tags: [freeze]",
    );
    chain.catalog.inventory = crate::artifact::from_yaml("inventory.yaml", &frozen).unwrap();
    let request = asked(&chain, &About::Gate2);
    assert_says(
        &shown(&request),
        &[
            "! sw04 will be refused: the target is frozen; only reading and recovery go on until its tag",
            "A YES LETS THESE 3 CALLS TAKE EFFECT, EACH ONCE",
        ],
    );
    assert!(request.calls.iter().all(|call| call.node.as_str() != "create/sw04"), "{:?}", request.calls);
    assert_eq!(request, asked(&chain, &About::Gate2));

    let all = inventory.replace("tags: [access]", "tags: [freeze]");
    chain.catalog.inventory = crate::artifact::from_yaml("inventory.yaml", &all).unwrap();
    let request = asked(&chain, &About::Gate2);
    let refused = "! sw01, sw02, sw03, sw04 will be refused: the target is frozen; only reading and recovery go on";
    assert_says(&shown(&request), &[refused, "A YES LETS NO CALL TAKE EFFECT BY ITSELF"]);
    assert_eq!(request.calls, []);
}

#[test]
fn a_call_that_wants_an_owner_says_so_before_anyone_says_yes() {
    let mut chain = at_gate2(Chain::vlan());
    let before = shown(&asked(&chain, &About::Gate2));
    assert!(!before.contains("owner"), "{before}");
    let rule = "@id(\"olga\") @reason(\"sw04 is the owner's\") forbid (principal, action in Action::\"write\", resource) \
                when { resource.groups.contains(\"owned\") } unless { context.approved_by.contains(\"owner\") };";
    let guardrails = format!("{}\n{rule}", include_str!("../../policies/guardrails.cedar"));
    let stages = include_str!("../../policies/stages.cedar");
    let gates = include_str!("../../policies/gates.cedar");
    let texts = crate::policy::PolicyTexts { guardrails: &guardrails, stages, gates };
    chain.catalog.policies = crate::policy::Policies::parse(texts, &chain.catalog.toolbox).unwrap().into();
    for target in chain.catalog.inventory.targets.iter_mut().filter(|target| target.name == "sw04") {
        target.groups.insert("owned".into());
    }
    let text = shown(&asked(&chain, &About::Gate2)).replace("\n", " ");
    assert!(text.contains("! create/sw04 needs the yes of an owner:"), "{text}");
    assert!(text.contains("sw04 is the owner's"), "{text}");
    assert!(!text.contains("create/sw03 needs"), "{text}");
}

#[test]
fn gate_1_says_first_where_the_spec_does_not_fit_what_there_is_now() {
    let mut chain = at_gate1();
    assert!(!shown(&asked(&chain, &About::Gate1)).contains("CANNOT BE DONE"));
    chain.catalog.inventory.targets.clear();
    let request = asked(&chain, &About::Gate1);
    let sections: Vec<_> = request.screen.sections.iter().filter_map(|section| section.heading.as_deref()).collect();
    assert_eq!(sections[0], "CANNOT BE DONE AS THINGS ARE", "{sections:?}");
    assert!(shown(&request).contains("boundary.build.0"), "{}", shown(&request));
}
