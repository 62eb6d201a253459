//! What a request comes to, said while it is being made: its sentences with what is still open, and the steps that
//! its blueprint plans. Nothing here is filed; gates show what is.

use serde_json::{Map, Value, json};

use crate::{
    artifact::{Arg, Blueprint, Expression, Scope, Step, ValueType, fill, value::as_word},
    tool::Toolbox,
};

/// What stands for an answer that is not there yet.
const OPEN: &str = "…";

/// The title and the requirements as far as these answers make them.
pub fn so_far(blueprint: &Blueprint, answers: &Map<String, Value>) -> Vec<String> {
    let known = |name: &str, kind: ValueType| {
        let open = if kind == ValueType::Array { json!([OPEN]) } else { json!(OPEN) };
        answers.get(name).cloned().unwrap_or(open)
    };
    let inputs = blueprint.inputs.iter().map(|input| (input.name.clone(), known(&input.name, input.schema.kind)));
    let inputs = Value::Object(inputs.collect());
    let scope = Scope::new().with("inputs", &inputs);
    let requirements = blueprint.spec.get("requirements").and_then(Value::as_array);
    let texts = requirements.into_iter().flatten().filter_map(|requirement| requirement.get("text"));
    let said = blueprint.spec.get("title").into_iter().chain(texts);
    // What cannot be said without the open answers is not said yet.
    said.filter_map(|text| fill(text, &["inputs"], &scope).ok()?.as_str().map(str::to_owned)).collect()
}

/// The steps that the blueprint's design plans for these inputs, in plain words; what is only known later says so.
pub fn expected_steps(blueprint: &Blueprint, inputs: &Map<String, Value>, toolbox: &Toolbox) -> Vec<String> {
    let inputs = Value::Object(inputs.clone());
    blueprint.design.steps.iter().map(|step| step_words(step, &inputs, toolbox)).collect()
}

fn step_words(step: &Step, inputs: &Value, toolbox: &Toolbox) -> String {
    let Some(tool) = toolbox.tool(&step.tool) else {
        return format!("use `{}`, which no manifest describes", step.tool);
    };
    let scope = Scope::new().with("inputs", inputs);
    let items = step.for_each.as_ref().map(|each| each.items.evaluate(&scope).ok());
    let items: Vec<Value> = match items {
        None => vec![Value::Null],
        Some(Some(Value::Array(items))) => items,
        Some(_) => Vec::new(),
    };
    let said = tool.sentence(|name| match step.args.get(name) {
        Some(Arg::Literal(value)) => as_word(value),
        Some(Arg::Hole(hole)) => filled(&hole.cel, inputs, &items),
        Some(Arg::Fill(_)) => "(what the build agent chooses)".into(),
        None => {
            let default = tool.args.properties.get(name).and_then(|schema| schema.default.as_ref());
            default.map_or_else(|| "nothing".to_owned(), as_word)
        }
    });
    let undo = if tool.irreversible() { "; that cannot be undone" } else { "" };
    let when = if step.when.is_some() { ", if it is needed" } else { "" };
    format!("{}: {said}{when}{undo}", step.id)
}

/// What a hole comes to for each item, or where it comes from.
fn filled(cel: &Expression, inputs: &Value, items: &[Value]) -> String {
    let variables = cel.variables();
    for (variable, later) in [("steps", "what an earlier step answers"), ("facts", "what discovery reads")] {
        if variables.contains(variable) {
            return format!("({later})");
        }
    }
    let one = |item: &Value| cel.evaluate(&Scope::new().with("inputs", inputs).with("item", item)).ok();
    let mut each: Vec<String> = items.iter().filter_map(one).map(|value| as_word(&value)).collect();
    each.dedup();
    match each.as_slice() {
        [] => "(known later)".into(),
        [one] => one.clone(),
        all => format!("each of {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{artifact::from_yaml, tool::Pins};

    fn blueprint(name: &str) -> Blueprint {
        let text = match name {
            "vlan" => include_str!("../../prompts/blueprints/vlan.yaml"),
            "dns" => include_str!("../../prompts/blueprints/dns.yaml"),
            _ => include_str!("../../prompts/blueprints/address.yaml"),
        };
        from_yaml(name, text).unwrap()
    }

    fn answers(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_is_open_is_said_to_be_open() {
        let vlan = blueprint("vlan");
        let rest = "VLAN 1 is still there as default on each of them";
        for (given, title, first) in [
            (json!({}), "Create VLAN … …", "VLAN … is there as … on …"),
            (json!({"id": 120}), "Create VLAN 120 …", "VLAN 120 is there as … on …"),
            (
                json!({"id": 120, "name": "guest", "switches": ["sw01", "sw02"]}),
                "Create VLAN 120 guest",
                "VLAN 120 is there as guest on sw01, sw02",
            ),
        ] {
            assert_eq!(so_far(&vlan, &answers(given)), [title, first, rest]);
        }
        // A sentence that needs the answer to be said is left out until it is there.
        let mut counted = vlan;
        counted.spec["title"] = json!({"cel": "\"VLAN after \" + string(inputs.id - 1)"});
        assert_eq!(so_far(&counted, &answers(json!({}))).len(), 2);
        assert_eq!(so_far(&counted, &answers(json!({"id": 120})))[0], "VLAN after 119");
    }

    #[test]
    fn the_steps_are_said_with_what_is_known_of_them() {
        let manifest = from_yaml("lab.yaml", include_str!("../../tools/lab.yaml")).unwrap();
        let toolbox = Toolbox::new(vec![manifest], Pins::default()).unwrap();
        let inputs = answers(json!({"id": 120, "name": "guest", "switches": ["sw01", "sw02"]}));
        let steps = expected_steps(&blueprint("vlan"), &inputs, &toolbox);
        assert_eq!(steps, ["create: create VLAN 120 named guest on each of sw01, sw02"]);
        let inputs =
            answers(json!({"prefix": "192.0.2.0/24", "zone": "corp.example.com", "name": "web01", "ttl": 300}));
        let steps = expected_steps(&blueprint("address"), &inputs, &toolbox);
        assert_eq!(
            steps,
            [
                "allocate: allocate the lowest free address of 192.0.2.0/24 to web01",
                "publish: create the A record web01 for (what an earlier step answers) in corp.example.com with a TTL of \
                 300 seconds"
            ]
        );
        let unknown = expected_steps(&blueprint("dns"), &inputs, &Toolbox::default());
        assert_eq!(unknown, ["use `dns.record.create`, which no manifest describes"]);
    }
}
