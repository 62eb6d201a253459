//! What gate 1 says of what leaves to models.

use super::{Endpoint, approval_request, tests::*, what_changed};
use crate::{
    artifact::Agent,
    engagement::About,
    record::fixture::Chain,
    tool::{Manifest, Pins, Toolbox},
};

fn endpoint(name: &str) -> Endpoint {
    of(name, &[Agent::Design])
}

fn of(name: &str, agents: &[Agent]) -> Endpoint {
    Endpoint {
        name: name.into(),
        url: format!("https://{name}.example.com/v1"),
        agents: agents.to_vec(),
        ..Endpoint::default()
    }
}

fn asked(chain: &Chain, models: &[Endpoint]) -> super::ApprovalRequest {
    approval_request(&chain.view(), &chain.catalog, &assisted(), models, &About::Gate1).unwrap()
}

#[test]
fn gate_1_says_what_models_see_and_where_they_are_asked() {
    let mut chain = at_gate1();
    let none = asked(&chain, &[]);
    assert!(!shown(&none).contains("asked at"), "{}", shown(&none));
    assert!(!serde_json::to_string(&none).unwrap().contains("\"models\""));

    let request = asked(&chain, &[endpoint("fast"), endpoint("large")]);
    let text = shown(&request).split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "Models of the design agent are asked at fast (https://fast.example.com/v1), large \
         (https://large.example.com/v1) and see what is answered by vlan.create (/id, /name, /switch), vlan.list (/switch, /vlans/*/id, /vlans/*/name). Of every \
         other field they are told that it was left out, and whether each acceptance check holds and each draft comes out.",
        "They see the text of the errors of vlan.create, vlan.list.",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(what_changed(&none, &request), ["the models that are asked, and so see something of it, changed"]);
    assert_eq!(what_changed(&asked(&chain, &[endpoint("fast")]), &request).len(), 1);

    // A manifest that says nothing lets nothing leave, and one that lets types leave says so.
    let manifest = |to: &str| -> Manifest {
        let text = include_str!("../../tools/lab.yaml");
        let text = text.replace("{model: full}", to);
        crate::artifact::from_yaml("lab.yaml", &text).unwrap()
    };
    for (model, said) in [
        ("{model: never}", "Nothing that these tools answer is shown to them, but for whether each"),
        (
            "{model: summary}",
            "see what is answered by none of these tools; only its type and size of vlan.create (/id, /name, /switch)",
        ),
    ] {
        chain.catalog.toolbox = Toolbox::new(vec![manifest(model)], Pins::default()).unwrap().into();
        let text = shown(&asked(&chain, &[endpoint("fast")])).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn gate_1_names_the_model_and_what_says_where_it_is_and_the_approval_holds_them() {
    let chain = at_gate1();
    let old = endpoint("fast");
    let here =
        Endpoint { model: Some("large-1".into()), headers: [("X-Route".into(), "eu 1".into())].into(), ..old.clone() };
    let text = shown(&asked(&chain, std::slice::from_ref(&here))).split_whitespace().collect::<Vec<_>>().join(" ");
    let said = "fast (https://fast.example.com/v1, model large-1, header X-Route: \"eu 1\") and see";
    assert!(text.contains(said), "{text}");
    let other = Endpoint { model: Some("large-2".into()), ..here.clone() };
    let elsewhere = Endpoint { headers: [("X-Route".into(), "us 1".into())].into(), ..here.clone() };
    assert!(here.is_approved_as(&here) && here.is_approved_as(&old), "an approval of old names no model");
    for another in [other, elsewhere, old] {
        assert!(!another.is_approved_as(&here), "{another:?}");
    }
}

#[test]
fn no_name_of_an_endpoint_reads_on_as_the_screen() {
    let chain = at_gate1();
    let hostile = Endpoint {
        name: "fast) and see nothing".into(),
        url: "https://x/\u{1b}[2K\nAPPROVED".into(),
        agents: vec![Agent::Design],
        ..Endpoint::default()
    };
    let text = shown(&asked(&chain, &[hostile]));
    assert!(text.contains("\"fast) and see nothing\"") && !text.contains("\nAPPROVED"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn gate_1_says_which_agents_endpoint_sees_what() {
    let chain = at_gate1();
    let text = |models: &[Endpoint]| shown(&asked(&chain, models)).split_whitespace().collect::<Vec<_>>().join(" ");
    let sees = "and sees the request and what is said, the inventory, the tools, the blueprints";
    let alone = text(&[of("words", &[Agent::Requirements])]);
    assert!(
        alone.contains(&format!(
            "The model of the requirements agent is asked at words (https://words.example.com/v1) {sees}"
        )),
        "{alone}"
    );
    assert!(!alone.contains("answered by"), "it sees no answer of a tool: {alone}");
    let all = text(&[of("words", &[Agent::Requirements]), of("house", &[Agent::Design]), of("far", &[Agent::Build])]);
    for said in [
        "requirements agent is asked at words (https://words.example.com/v1) and sees the request",
        "Models of the design agent are asked at house (https://house.example.com/v1) and see what is answered by",
        "Models of the build agent are asked at far (https://far.example.com/v1) and see what is answered by",
    ] {
        assert!(all.contains(said), "{said}\n{all}");
    }
    let one = text(&[of("house", &[Agent::Requirements, Agent::Design, Agent::Build])]);
    assert!(one.contains("Models of the design and build agents are asked at house"), "{one}");
    // A request of old named no agents, and meant those that see what was read.
    let old: Endpoint = serde_json::from_value(serde_json::json!({"name": "old", "url": "https://old/v1"})).unwrap();
    assert!(old.is_for(Agent::Design) && !old.is_for(Agent::Requirements) && old.is_for(Agent::Build));
    assert!(!serde_json::to_string(&old).unwrap().contains("agents"));
}
