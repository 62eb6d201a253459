//! What is shipped fits together: the lab's tools, its inventory, the policies and every blueprint.

use super::*;
use crate::artifact::Blueprint;

const TOOLS: &str = include_str!("../../../tools/lab.yaml");
const INVENTORY: &str = include_str!("../../../policies/inventory.yaml");
const PEOPLE: &str = include_str!("../../../policies/people.yaml");

pub(super) fn shipped() -> Catalog {
    let toolbox = Toolbox::new(vec![from_yaml("lab.yaml", TOOLS).unwrap()], Pins::default()).unwrap();
    let policies = Policies::load(texts(GUARDRAILS, STAGES), &toolbox).unwrap();
    let inventory = from_yaml("inventory.yaml", INVENTORY).unwrap();
    Catalog::from(CatalogParts {
        toolbox: toolbox.into(),
        inventory,
        people: from_yaml("people.yaml", PEOPLE).unwrap(),
        signers: Default::default(),
        policies: policies.into(),
    })
}

#[test]
fn every_blueprint_drafts_a_spec_and_a_design_without_problems() {
    let catalog = shipped();
    let cases = [
        (include_str!("../../../prompts/blueprints/vlan.yaml"), json!({"id": 120, "name": "guest"})),
        (include_str!("../../../prompts/blueprints/dns.yaml"), json!({"name": "web01", "address": "192.0.2.10"})),
        (include_str!("../../../prompts/blueprints/address.yaml"), json!({"name": "web01"})),
    ];
    for (text, inputs) in cases {
        let blueprint: Blueprint = from_yaml("blueprint.yaml", text).unwrap();
        let inputs = blueprint.check_inputs(inputs.as_object().unwrap()).unwrap();
        let spec = blueprint.draft_spec(&inputs).unwrap();
        assert_eq!(lines(&spec.problems()), Vec::<String>::new(), "{}", blueprint.name);
        assert_eq!(lines(&check_spec(&spec, &catalog)), Vec::<String>::new(), "{}", blueprint.name);
        assert_eq!(
            lines(&check_design(&blueprint.design, &spec, &catalog)),
            Vec::<String>::new(),
            "{}",
            blueprint.name
        );
    }
}
