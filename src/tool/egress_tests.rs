//! What may leave to a model, by example and against an answer worked out the long way.

use std::collections::BTreeSet;

use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Map, Value, json};

use super::{Egress, Manifest, Tool, shown, shown_error};
use crate::artifact::from_yaml;

/// A manifest of one reading tool with these lines.
fn text(output: &str) -> String {
    format!(
        "kind: tools\nfamily: sample\nabout: A sample\nserver: {{command: [sample]}}\ntools:\n  - name: box.list\n    \
         about: List\n    says: list {{box}}\n    effect: read\n    target: box\n    args:\n      properties: {{box: {{type: \
         string}}}}\n      required: [box]\n{output}"
    )
}

fn tool(output: &str) -> Tool {
    from_yaml::<Manifest>("tools/sample.yaml", &text(output)).unwrap().tools.remove(0)
}

#[test]
fn what_the_manifest_does_not_name_does_not_leave() {
    let answer = json!({
        "name": "sw01", "config": "enable secret 5 $1$abc", "serial": 17,
        "ports": [{"port": "Gi1", "note": "for Ada", "vlan": 10}, {"port": "Gi2", "note": "", "vlan": 20}],
        "users": {"ada": {"role": "admin", "hash": "x"}}
    });
    for (output, expected) in [
        ("", json!({"left_out": {"all of it": 1}})),
        ("    output: {'': {model: full}}\n", json!({"result": answer})),
        (
            "    output: {'': {model: summary}}\n",
            json!({"result": {"summary": {"type": "object", "fields": 5}}, "in_summary": {"all of it": 1}}),
        ),
        (
            "    output: {'': {model: full}, /config: {model: never}, /ports: {model: summary}, /users/*/hash: {model: never}}\n",
            json!({
                "result": {
                    "name": "sw01", "serial": 17,
                    "ports": {"summary": {"type": "list", "items": 2, "first": {"type": "object", "fields": 3}}},
                    "users": {"ada": {"role": "admin"}}
                },
                "in_summary": {"/ports": 1}, "left_out": {"/config": 1, "/users/*/hash": 1}
            }),
        ),
        (
            "    output: {/ports/*/port: {model: full}, /ports/*/note: {model: summary}}\n",
            json!({
                "result": {"ports": [
                    {"port": "Gi1", "note": {"summary": {"type": "text", "characters": 7}}},
                    {"port": "Gi2", "note": {"summary": {"type": "text", "characters": 0}}}
                ]},
                "in_summary": {"/ports/*/note": 2}, "left_out": {"/ports/*/…": 2, "/…": 4}
            }),
        ),
        // Whose name it is stays here where nothing under it is shown as it is.
        (
            "    output: {/users/*/role: {model: summary}}\n",
            json!({
                "result": {"users": {"#1": {"role": {"summary": {"type": "text", "characters": 5}}}}},
                "in_summary": {"/users/*/role": 1}, "left_out": {"/users/*/…": 1, "/…": 4}
            }),
        ),
        // Of two that reach as deep the one that shows less.
        (
            "    output: {/*: {model: full}, /config: {model: never}, /users/*/hash: {model: never}, /users/ada/hash: {model: full}}\n",
            json!({
                "result": {
                    "name": "sw01", "serial": 17, "ports": answer["ports"], "users": {"ada": {"role": "admin"}}
                },
                "left_out": {"/config": 1, "/users/*/hash": 1}
            }),
        ),
    ] {
        assert_eq!(shown(&tool(output), &answer), expected, "{output}");
    }
    // An answer of another shape than was thought shows nothing by that.
    let list = tool("    output: {/ports/*/port: {model: full}}\n");
    assert_eq!(shown(&list, &json!({"ports": "Gi1"})), json!({"result": {}, "left_out": {"/ports": 1}}));
    assert_eq!(shown(&list, &json!(["Gi1"])), json!({"result": [null], "left_out": {"/*": 1}}));
}

#[test]
fn the_text_of_an_error_leaves_only_where_that_is_written() {
    for (errors, expected) in [
        ("", json!({"left_out": {"the text of the error": 1}})),
        ("    errors: {model: summary}\n", json!({"error": {"type": "text", "characters": 2}})),
        ("    errors: {model: full}\n", json!({"error": "no"})),
    ] {
        assert_eq!(shown_error(&tool(errors), "no"), expected);
    }
}

#[test]
fn what_cannot_be_meant_is_refused_at_its_line() {
    for (output, line, says) in [
        ("    output:\n      vlans: {model: full}\n", 15, "begin with `/`"),
        ("    output:\n      /a: {model: full}\n      /vlans/0/name: {model: never}\n", 16, "not numbered"),
        ("    output:\n      /a//b: {model: full}\n", 15, "empty"),
        ("    output:\n      /a~2: {model: full}\n", 15, "`~0`"),
        ("    output:\n      /a: {model: some}\n", 15, "one of full, summary, never"),
        ("    output:\n      /a: full\n", 15, ""),
        ("    output:\n      /a: {}\n", 15, "model"),
        ("    output:\n      /a: {model: full}\n      /a: {model: never}\n", 16, "twice"),
        ("    output:\n      /a: {model: full, when: always}\n", 15, "no field `when`"),
        ("    errors: {model: all}\n", 14, "full"),
    ] {
        let error = from_yaml::<Manifest>("tools/sample.yaml", &text(output)).unwrap_err();
        assert!(error.line == line && error.message.contains(says), "{output}: {error}");
    }
    for path in ["", "/a", "/*/a~0b~1c/*"] {
        assert_eq!(path.parse::<super::OutputPath>().unwrap().to_string(), path);
    }
}

/// The same value with texts and names that stand nowhere else; names that a manifest may write stay as they are.
fn marked(value: &Value, next: &mut usize) -> Value {
    *next += 1;
    let mark = format!("canary{next}.");
    match value {
        Value::Array(items) => Value::Array(items.iter().map(|item| marked(item, next)).collect()),
        Value::Object(fields) => {
            let mut named = |(name, value): (&String, &Value)| {
                let value = marked(value, next);
                *next += 1;
                (if name == "k" { format!("kcanary{next}.") } else { name.clone() }, value)
            };
            Value::Object(fields.iter().map(&mut named).collect())
        }
        Value::String(_) => Value::String(mark),
        other => other.clone(),
    }
}

/// What a model may see of a value, worked out for each value by itself.
fn model(rules: &[(Vec<String>, Egress)], place: &[(String, bool)]) -> Egress {
    let fits = |path: &[String]| {
        path.len() <= place.len()
            && path.iter().zip(place).all(|(step, (name, field))| step == "*" || *field && step == name)
    };
    let fitting = || rules.iter().filter(|(path, _)| fits(path));
    let deepest = fitting().map(|(path, _)| path.len()).max();
    let models = fitting().filter(|(path, _)| Some(path.len()) == deepest).map(|(_, model)| *model);
    models.max().unwrap_or(Egress::Never)
}

/// Every text and marked name of a value, with whether it may be seen.
fn expected(
    rules: &[(Vec<String>, Egress)],
    value: &Value,
    place: &mut Vec<(String, bool)>,
    told: &mut Vec<(String, bool)>,
) -> bool {
    let mut below = |name: &str, field: bool, value: &Value, told: &mut Vec<(String, bool)>| {
        place.push((name.to_owned(), field));
        let seen = expected(rules, value, place, told);
        place.pop();
        seen
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.iter().fold(false, |seen, item| below("", false, item, told) | seen)
        }
        Value::Object(fields) if !fields.is_empty() => fields.iter().fold(false, |seen, (name, value)| {
            let inside = below(name, true, value, told);
            if name.starts_with('k') {
                told.push((name.clone(), inside));
            }
            inside | seen
        }),
        _ => {
            let seen = model(rules, place) == Egress::Full;
            told.extend(value.as_str().map(|text| (text.to_owned(), seen)));
            seen
        }
    }
}

fn answer() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!("")), Just(json!(7)), Just(json!(true)), Just(Value::Null)];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map("[abk]", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn rules() -> impl Strategy<Value = Vec<(Vec<String>, Egress)>> {
    let model = prop_oneof![Just(Egress::Full), Just(Egress::Summary), Just(Egress::Never)];
    let step = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("*".to_owned())];
    proptest::collection::vec((proptest::collection::vec(step, 0..4), model), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_leaves_but_what_is_written_to_leave(value in answer(), rules in rules()) {
        let value = marked(&value, &mut 0);
        let mut tool = tool("");
        let mut known = BTreeSet::new();
        let rules: Vec<_> = rules.into_iter().filter(|(path, _)| known.insert(path.clone())).collect();
        for (path, model) in &rules {
            let path: String = path.iter().map(|step| format!("/{step}")).collect();
            tool.output.insert(path.parse().unwrap(), super::OutputField { model: *model });
        }
        let out = shown(&tool, &value).to_string();
        let mut told = Vec::new();
        expected(&rules, &value, &mut Vec::new(), &mut told);
        for (text, seen) in told {
            prop_assert_eq!(out.contains(&text), seen, "{} in {} of {} by {:?}", text, out, value, rules);
        }
    }
}
