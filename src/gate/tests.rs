//! The screens as people read them, what hostile values cannot do to them, and what changes a question.

use serde_json::{Value, json};

use super::*;
use crate::{
    artifact::{Spec, digest_bytes},
    engagement::Answer,
    record::fixture::{ADDRESS, Chain, Scripted, VLAN},
};

fn asked(chain: &Chain, about: &About) -> ApprovalRequest {
    approval_request(&chain.view(), &chain.catalog, about).unwrap_or_else(|error| panic!("{error}"))
}

fn shown(request: &ApprovalRequest) -> String {
    render(&request.screen, Style::plain(100))
}

/// A VLAN engagement that waits at gate 1.
fn at_gate1() -> Chain {
    let mut chain = Chain::vlan();
    assert_eq!(chain.run(), Some(About::Gate1));
    chain
}

/// An engagement that waits at gate 2.
fn at_gate2(mut chain: Chain) -> Chain {
    chain.run();
    assert_eq!(chain.approve_gate1(), Some(About::Gate2));
    chain
}

fn assert_says(text: &str, lines: &[&str]) {
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
GATE 1: is this wanted, and may this much be done?                             SIMULATED environment
  Create VLAN 120 guest

  Engagement  k7m2q, spec version 1
  Asked by    ada (asserted, OS user ada)
  From        blueprint vlan
  Tickets     CHG0031337
  Window      none, so it may be built at any time

WHAT MAY BE DONE
  The build agent may create VLAN 120 named guest on one of sw01, sw02, sw03, sw04, at most 4 times,
    and undo that.
  It may not change or delete anything else.
  The design agent and the verifier may read: list the VLANs of one of sw01, sw02, sw03, sw04.

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
  Rollback      every change must be undoable
  Irreversible  nothing
  Digest        spec.yaml version 1, DIGEST

The default answer is no.
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
GATE 2: may exactly this be done?                                              SIMULATED environment
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
  Gate 1      approved by ada (asserted, OS user ada)

WHY THIS WAY
  When a switch fails, its own change is taken back and the others go on
    because: The VLAN on one switch does not depend on the VLAN on another

WHAT MUST BE TRUE IN THE END
  A1 (R1) does not hold now and must hold after, made true by `create`
  A2 (R2) holds now and must still hold after

WHAT WAS FOUND
  The switches answer (c1)

A YES LETS THESE 3 CALLS RUN, EACH ONCE
  CALL1  create VLAN 120 named guest on sw01
  CALL2  create VLAN 120 named guest on sw03
  CALL3  create VLAN 120 named guest on sw04

  Digest  solution.design version 1, DIGEST

The default answer is no.
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
            "taken back by: release (the address that it answers) of 192.0.2.0/24",
            "create the A record web01 for (decided by `allocate`) in corp.example.com with a TTL of 3600",
            "address: decided when `allocate` has run; you will be asked then",
            "after `allocate`",
            "If `allocate` or `publish` fails: everything is taken back, in reverse order, and nothing more is",
            "A YES LETS THIS CALL RUN, ONCE",
        ],
    );
    assert_eq!(request.calls.len(), 1);
    let calls = request.calls.iter().map(|call| call.call).collect();
    chain.answer_with(&About::Gate2, digest_of(&request).unwrap(), Answer::Approve, calls);
    let about = chain.run().unwrap();
    let request = asked(&chain, &about);
    assert_says(
        &shown(&request),
        &[
            "ONE CALL: may it run?                                                          SIMULATED environment",
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
    let inputs = json!({"id": 20, "name": "voice", "switches": ["sw01", "sw02"]});
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
            "The build agent may delete VLAN anything from one of sw01, sw02, and undo that.",
            "vlan.delete lets through 8188 different calls: 4094 values of id, 2 values of switch; nothing is",
            "The worst of them: delete VLAN 4094 from sw02.",
        ],
    );
    let chain = at_gate2(chain);
    let request = asked(&chain, &About::Gate2);
    let text = shown(&request);
    let tick = format!("[ ] {}  delete VLAN 20 from sw01", request.calls[0].call.short());
    assert_says(
        &text,
        &[
            "- name: voice",
            "+ nothing",
            "taken back by: create VLAN 20 named voice on each",
            "2 changes, 2 of them destructive; irreversible: nothing",
            "! what follows removes something or cannot be taken back; tick each call that may run",
            &tick,
        ],
    );
    assert!(request.calls.iter().all(|call| call.destructive));
}

#[test]
fn what_cannot_be_taken_back_or_seen_is_a_warning() {
    let mut chain = delete(false);
    chain.run();
    assert_says(
        &shown(&asked(&chain, &About::Gate1)),
        &[
            "The build agent may delete VLAN anything from one of sw01, sw02. That cannot be undone.",
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
            "UNKNOWN: did this call take effect?                                            SIMULATED environment",
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
            "undo_all     everything is taken back, in reverse order, and nothing more is run",
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
            "taken back by: delete VLAN 120 from sw03",
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
    for switch in &switches {
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
    assert!(text.lines().count() < 65, "{text}");
}

#[test]
fn a_new_version_says_what_changed() {
    let mut chain = at_gate1();
    let first = asked(&chain, &About::Gate1);
    let request = chain.store(&first);
    chain.answer_with(&About::Gate1, request, Answer::Reject, Vec::new());
    let mut spec: Spec = chain.draft_spec();
    spec.limits.tool_calls = 20;
    chain.file(ArtifactKind::Spec, &spec, vec![chain.state().requested.request]);
    let second = asked(&chain, &About::Gate1);
    assert_says(&shown(&second), &["WHAT CHANGED (this is version 2)", "-   tool_calls: 80", "+   tool_calls: 20"]);
    assert_eq!(what_changed(&first, &second), ["the spec is version 2 now, not 1"]);
    let lost = first.screen.sections.len();
    assert_eq!(second.screen.sections.len(), lost + 1);
}

#[test]
fn every_difference_has_its_sentence_and_no_difference_has_none() {
    let chain = at_gate2(Chain::vlan());
    let asked = asked(&chain, &About::Gate2);
    assert_eq!(what_changed(&asked, &asked.clone()), [""; 0]);
    let other = digest_bytes(b"other");
    type Change = fn(&mut ApprovalRequest, Digest);
    let cases: [(Change, &str); 20] = [
        (|now, _| now.version = 2, "the design is version 2 now, not 1"),
        (|now, other| now.artifact = Some(other), "the design changed"),
        (|now, other| now.flow = Some(other), "the calls that the design comes to changed"),
        (|now, other| now.decided_on.tools = other, "the tools changed"),
        (|now, other| now.decided_on.inventory = other, "the inventory changed"),
        (|now, other| now.decided_on.people = other, "the people and their roles changed"),
        (|now, other| now.decided_on.policies = other, "the policies changed"),
        (|now, _| drop(now.facts.targets.pop_last()), "the facts changed: targets 4 -> 3"),
        (
            |now, _| {
                now.facts.targets.pop_last();
                now.facts.targets.insert("sw09".into());
            },
            "the facts changed: targets sw01, sw02, sw03, sw04 -> sw01, sw02, sw03, sw09",
        ),
        (
            |now, _| now.facts.environments = ["production".into()].into(),
            "the facts changed: environments lab -> production",
        ),
        (|now, _| now.facts.writes = None, "the facts changed: changes 4 -> without limit"),
        (|now, _| now.facts.destructive = 1, "the facts changed: destructive changes 0 -> 1"),
        (|now, _| now.facts.irreversible = ["a.b".into()].into(), "the facts changed: irreversible tools none -> a.b"),
        (|now, _| now.facts.risk = crate::facts::Risk::High, "the facts changed: risk low -> high"),
        (|now, _| now.facts.simulated = false, "the facts changed: the environment is not simulated any more"),
        (|now, _| now.facts.unlisted_targets = true, "the facts changed: the targets can no longer all be listed"),
        (|now, _| drop(now.calls.pop()), "the calls that a yes lets run changed: 1 no longer among them, 0 new"),
        (|now, _| now.role = Role::Owner, "the role that may answer is owner now, not approver"),
        (
            |now, _| now.about = About::Gate1,
            "the question is about gate 1 (the spec) now, not about gate 2 (the design)",
        ),
        (|now, _| now.screen.footer = "Yes.".into(), "the text that was shown changed"),
    ];
    for (change, expected) in cases {
        let mut now = asked.clone();
        change(&mut now, other);
        assert_eq!(what_changed(&asked, &now), [expected]);
    }
}

/// What every rendered screen must be, whatever stands on it.
fn assert_sound(screen: &Screen, width: usize) {
    let text = render(screen, Style::plain(width));
    let headings: Vec<&str> = screen.sections.iter().filter_map(|section| section.heading.as_deref()).collect();
    for line in text.lines() {
        assert!(super::text::width(line) <= width.max(40), "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let own = line.is_empty()
            || line.starts_with("  ")
            || headings.iter().any(|heading| heading.starts_with(line))
            || screen.title.starts_with(line.split("   ").next().unwrap())
            || screen.footer.starts_with(line)
            || screen.banner.as_deref() == Some(line);
        assert!(own, "only headings stand in the first column: {line:?}\n{text}");
    }
    let coloured = render(screen, Style::colour(width));
    let mut plain = coloured;
    for code in ["0", "1", "2", "31", "32", "33"] {
        plain = plain.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(plain, text, "colour changes nothing but colour");
}

const HOSTILE: [&str; 7] = [
    "guest\nA YES LETS NO CALL RUN BY ITSELF\n  nothing",
    "\u{1b}[2J\u{1b}[H\u{1b}[31mred\rWHAT WILL BE CHANGED",
    "abc\u{202e}txt.\u{200b}\u{feff}\u{2028}GATE 1\u{85}x\u{e0041}",
    "x          GATE 1: approved          + name: guest",
    "ＷＨＡＴ ＭＡＹ ＢＥ ＤＯＮＥ ＷＨＡＴ ＭＡＹ ＢＥ ＤＯＮＥ ＷＨＡＴ ＭＡＹ ＢＥ ＤＯＮＥ ＷＨＡＴ ＭＡＹ ＢＥ ＤＯＮＥ ＷＨＡＴ",
    "\" on sw01. It may also delete everything",
    "{id} {switch} \\n",
];

#[test]
fn no_value_can_fake_a_line_a_heading_or_a_colour() {
    for hostile in HOSTILE.iter().map(|text| (*text).to_owned()).chain(["y".repeat(5000), "z ".repeat(3000)]) {
        let mut chain = at_gate1();
        let mut spec = chain.draft_spec();
        spec.title = hostile.clone();
        spec.refs = vec![hostile.clone()];
        spec.requirements[0].text = hostile.clone();
        spec.inputs.insert("name".into(), json!(hostile));
        let name = spec.boundary.build[0].constraints.get_mut("name").unwrap();
        name.is = Some(json!(hostile));
        spec.boundary.build[0].constraints.get_mut("switch").unwrap().one_of =
            Some(vec![json!(hostile), json!("sw01")]);
        chain.file(ArtifactKind::Spec, &spec, vec![chain.state().requested.request]);
        let screen = asked(&chain, &About::Gate1).screen;
        for width in [20, 60, 100, 200] {
            assert_sound(&screen, width);
        }
        assert!(render(&screen, Style::plain(100)).lines().count() < 90);

        let mut chain = Chain::vlan();
        chain.network.vlans.get_mut("sw03").unwrap().insert(120, hostile.clone());
        let chain = at_gate2(chain);
        let mut request = asked(&chain, &About::Gate2);
        for width in [60, 100] {
            assert_sound(&request.screen, width);
        }
        // Whoever builds a screen, the renderer makes its text visible.
        let section = request.screen.sections.last_mut().unwrap();
        section.text(hostile.clone());
        section.warn(hostile.clone());
        section.pair(hostile.chars().take(20).collect::<String>(), hostile.clone());
        assert_sound(&request.screen, 100);
    }
}

#[test]
fn a_value_says_what_it_is() {
    use super::text::value;
    for (given, expected) in [
        (json!("guest"), "guest"),
        (json!("192.0.2.0/24"), "192.0.2.0/24"),
        (json!(120), "120"),
        (json!(null), "nothing"),
        (json!(""), "\"\""),
        (json!("a b"), "\"a b\""),
        (json!("a\" b"), "\"a\\\" b\""),
        (json!("a\nb"), "\"a\\nb\""),
        (json!("\u{1b}[0m"), "\"\\u{1b}[0m\""),
    ] {
        assert_eq!(value(&given), expected);
    }
    assert_eq!(value(&json!("y".repeat(2000))), format!("{}… (2000 characters)", "y".repeat(80)));
}

#[test]
fn states_are_told_field_by_field_in_one_order() {
    let told = |before: Option<Value>, after: Option<Value>| {
        let line = |line: &Line| match line {
            Line::Kept(text) => format!("  {text}"),
            Line::Removed(text) => format!("- {text}"),
            Line::Added(text) => format!("+ {text}"),
            other => panic!("{other:?}"),
        };
        super::diff::diff(before.as_ref(), after.as_ref()).iter().map(line).collect::<Vec<_>>()
    };
    let (one, other) = (json!({"vlan": 10, "port": "Gi1/0/1"}), json!({"port": "Gi1/0/1", "vlan": 20}));
    assert_eq!(told(Some(one.clone()), Some(other)), ["  port: Gi1/0/1", "- vlan: 10", "+ vlan: 20"]);
    assert_eq!(told(Some(json!(null)), Some(one.clone())), ["- nothing", "+ port: Gi1/0/1", "+ vlan: 10"]);
    assert_eq!(told(Some(one.clone()), Some(json!(null))), ["- port: Gi1/0/1", "- vlan: 10", "+ nothing"]);
    assert_eq!(told(None, Some(json!("120"))), ["- (not known beforehand)", "+ \"120\""]);
    assert_eq!(
        told(Some(json!({"a": [2, {"b": 1}]})), Some(json!({"a": "true"}))),
        ["- a: [2,{\"b\":1}]", "+ a: \"true\""]
    );
    assert_eq!(told(Some(one.clone()), Some(one)), ["  port: Gi1/0/1", "  vlan: 10"]);
}

#[test]
fn the_widest_grant_and_its_worst_call_are_found() {
    let chain = at_gate1();
    let cases = [
        (
            json!([{"tool": "vlan.create", "where": {"switch": {"is": "sw01"}, "id": {"is": 5}, "name": {"is": "a"}}}]),
            "vlan.create lets through 1 different call: every value is fixed.",
            "create VLAN 5 named a on sw01",
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
        assert_eq!(said, [wide.to_owned(), format!("The worst of them: {worst}.")]);
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
fn there_is_nothing_to_ask_where_nothing_is_open() {
    let chain = at_gate2(Chain::vlan());
    let node = chain.view().preview().unwrap().nodes[0].id.clone();
    for about in [
        About::Call { node: node.clone(), call: Digest::ZERO },
        About::Deviation { node: node.clone() },
        About::Unknown { node },
    ] {
        assert!(matches!(approval_request(&chain.view(), &chain.catalog, &about), Err(GateError::NothingToAsk(_))));
    }
}
