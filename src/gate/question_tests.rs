//! The questions of the build phase that come up after something went wrong.

use super::{
    tests::{asked, assert_says, at_gate2, shown},
    *,
};
use crate::{
    engagement::Answer,
    record::fixture::{Chain, Scripted, VLAN},
};

#[test]
fn an_undo_where_nothing_tells_what_the_step_left_shows_what_is_there_now_and_what_was_before() {
    let after = "    after: '{\"id\": args.id, \"name\": args.name}'\n";
    let blueprint = VLAN.replace("on_failure: undo_target", "on_failure: undo_all");
    let inputs = serde_json::json!({"id": 120, "name": "guest", "switches": ["sw01"]});
    let chain = Chain::request(&blueprint, inputs).with_manifest(|manifest| manifest.replacen(after, "", 1));
    let mut chain = at_gate2(chain).script("read back create/sw01", [const { Scripted::Error("busy") }; 3]);
    let request = asked(&chain, &About::Gate2);
    let calls = request.calls.iter().map(|call| call.call).collect();
    chain.answer_with(&About::Gate2, digest_of(&request).unwrap(), Answer::Approve, calls);
    let about = chain.run().unwrap();
    assert!(matches!(about, About::Deviation { .. }), "{about}");
    assert_says(
        &shown(&asked(&chain, &about)),
        &[
            "DEVIATION: may this be taken back, where nothing tells what it left?      SIMULATED environment: lab",
            "WHAT IS THERE NOW",
            "`create/sw01` did this: create VLAN 120 named guest on sw01",
            "there before the step (-), and there now (+):",
            "- nothing",
            "+ name: guest",
            "This is called: delete VLAN 120 from sw01",
        ],
    );
}

#[test]
fn what_rules_speak_of_is_said_of_the_targets_that_have_it() {
    let mut chain = Chain::vlan();
    for (target, tag) in chain.catalog.inventory.targets.iter_mut().zip(["firewall", "rack-7", "core"]) {
        target.tags.insert(tag.into());
    }
    chain.run();
    let tagged = ["! tagged core, which rules speak of: sw03", "! tagged firewall, which rules speak of: sw01"];
    let at_gate1 = shown(&asked(&chain, &About::Gate1));
    assert_says(&at_gate1, &tagged);
    assert!(!at_gate1.contains("rack-7") && !at_gate1.contains("tagged access"), "{at_gate1}");
    let chain = at_gate2(chain);
    assert_says(&shown(&asked(&chain, &About::Gate2)), &tagged);
}
