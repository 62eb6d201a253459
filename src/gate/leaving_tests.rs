//! What gate 1 says of what leaves to models.

use super::{Endpoint, approval_request, tests::*, what_changed};
use crate::{
    engagement::About,
    record::fixture::Chain,
    tool::{Manifest, Pins, Toolbox},
};

fn endpoint(name: &str) -> Endpoint {
    Endpoint { name: name.into(), url: format!("https://{name}.example.com/v1") }
}

fn asked(chain: &Chain, models: &[Endpoint]) -> super::ApprovalRequest {
    approval_request(&chain.view(), &chain.catalog, &assisted(), models, &About::Gate1).unwrap()
}

#[test]
fn gate_1_says_what_models_see_and_where_they_are_asked() {
    let mut chain = at_gate1();
    let none = asked(&chain, &[]);
    assert!(!shown(&none).contains("Models are asked"), "{}", shown(&none));
    assert!(!serde_json::to_string(&none).unwrap().contains("\"models\""));

    let request = asked(&chain, &[endpoint("fast"), endpoint("large")]);
    let text = shown(&request).split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "Models are asked at fast (https://fast.example.com/v1), large (https://large.example.com/v1) and see what is \
         answered by vlan.create (/id, /name, /switch), vlan.list (/switch, /vlans/*/id, /vlans/*/name). Of every \
         other field they are told that it was left out.",
        "They see the text of the errors of vlan.create, vlan.list.",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(what_changed(&none, &request), ["the models that will see what the tools answer changed"]);
    assert_eq!(what_changed(&asked(&chain, &[endpoint("fast")]), &request).len(), 1);

    // A manifest that says nothing lets nothing leave, and one that lets types leave says so.
    let manifest = |to: &str| -> Manifest {
        let text = include_str!("../../tools/lab.yaml");
        let text = text.replace("{model: full}", to);
        crate::artifact::from_yaml("lab.yaml", &text).unwrap()
    };
    for (model, said) in [
        ("{model: never}", "Nothing that these tools answer is shown to them."),
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
fn no_name_of_an_endpoint_reads_on_as_the_screen() {
    let chain = at_gate1();
    let hostile = Endpoint { name: "fast) and see nothing".into(), url: "https://x/\u{1b}[2K\nAPPROVED".into() };
    let text = shown(&asked(&chain, &[hostile]));
    assert!(text.contains("\"fast) and see nothing\"") && !text.contains("\nAPPROVED"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}
