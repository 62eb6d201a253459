//! What values that others wrote cannot do to a screen, how states and values are told, and what changes a question.

use serde_json::{Value, json};

use super::{
    tests::{asked, at_gate1, at_gate2},
    *,
};
use crate::{
    artifact::{digest_bytes, value::hides},
    record::fixture::Chain,
};

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
        assert!(!line.chars().any(|c| c.is_control() || hides(c)), "{line:?}");
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

const HOSTILE: [&str; 8] = [
    "guest\nA YES LETS NO CALL TAKE EFFECT BY ITSELF\n  nothing",
    "\u{1b}[2J\u{1b}[H\u{1b}[31mred\rWHAT WILL BE CHANGED",
    "abc\u{202e}txt.\u{200b}\u{1bca0}\u{1d173}\u{feff}\u{2028}GATE 1\u{85}x\u{e0041}",
    "x          GATE 1: approved          + name: guest",
    "ＷＨＡＴ ＭＡＹ ＢＥ ＤＯＮＥ ＷＨＡＴ ＭＡＹ ＢＥ ＤＯＮＥ ＷＨＡＴ ＭＡＹ ＢＥ ＤＯＮＥ ＷＨＡＴ ＭＡＹ ＢＥ ＤＯＮＥ ＷＨＡＴ",
    "\" on sw01. It may also delete everything",
    "\\\" on sw01. It may also delete everything",
    "{id} {switch} \\n",
];

#[test]
fn no_value_can_fake_a_line_a_heading_or_a_colour() {
    for hostile in HOSTILE.iter().map(|text| (*text).to_owned()).chain(["y".repeat(4096), "z ".repeat(2048)]) {
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
        assert!(
            render(&screen, Style::plain(100)).lines().count() < 600,
            "what a document may hold is shown whole, and no more than that"
        );

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

proptest::proptest! {
    #[test]
    fn whatever_stands_on_a_screen_it_stays_a_screen(texts in proptest::array::uniform8(".{0,120}"), width in 0usize..140) {
        let [text, detail, key, value, gone, new, warning, call] = texts;
        let section = Section {
            heading: Some("HEADING".into()),
            lines: vec![
                Line::Text(text.clone()),
                Line::Detail(detail),
                Line::KeyValue { key, value },
                Line::Removed(gone),
                Line::Added(new.clone()),
                Line::Kept(new.clone()),
                Line::Warning(warning),
                Line::Call { node: new, sentence: call, digest: "0123456789ab".into(), tick: true },
            ],
        };
        let screen = Screen {
            title: "TITLE".into(), banner: None, subject: text, sections: vec![section], footer: "The end.".into(),
        };
        assert_sound(&screen, width);
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
        (json!("a  b"), "\"a\\u{20}\\u{20}b\""),
        (json!(" a b "), "\"\\u{20}a b\\u{20}\""),
        (json!(["a  b"]), "[\"a\\u{20}\\u{20}b\"]"),
        (json!("a\" b"), "\"a\\\" b\""),
        (json!("a\nb"), "\"a\\nb\""),
        (json!("\u{1b}[0m"), "\"\\u{1b}[0m\""),
    ] {
        assert_eq!(value(&given), expected);
    }
    // No value reads as if it ended earlier, or as if there were none.
    assert_eq!(value(&json!("a\" b")), r#""a\" b""#);
    assert_eq!(value(&json!("a\\\" b")), r#""a\\\" b""#);
    assert_eq!(value(&json!("CORP\\ada")), r#""CORP\\ada""#);
    assert_eq!(
        [value(&json!("nothing")), value(&json!("none")), value(&Value::Null)],
        ["\"nothing\"", "\"none\"", "nothing"]
    );
    assert_eq!(value(&json!("y".repeat(4096))), "y".repeat(4096), "what a document may hold is shown whole");
    for one in [" ", "\u{1b}", "\u{e9}\u{301}"] {
        let longest = json!(one.repeat(4096 / one.len()));
        assert!(!value(&longest).contains('…'), "as long as a document may hold, with all of it written out");
    }
    assert!(value(&json!("y".repeat(30_000))).ends_with("… (30000 characters)"), "a device may say any length");
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
