//! Requests to models that take only so much.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    Studio, calls,
    desk::{check, told},
    text,
};
use crate::{
    agent::{Desk, Move, TurnError, next_move},
    artifact::ArtifactKind,
};

/// Asks for the next turn with less and less room; the answer is how long the requests were.
fn with_less_and_less(studio: &Studio, kind: ArtifactKind, must: &[&str]) -> BTreeSet<u64> {
    let desk = studio.desk();
    let Move::CallModel(whole) = next_move(&desk, kind).unwrap() else { panic!("no turn") };
    let (mut sizes, mut fits) = (BTreeSet::new(), true);
    for room in (0..=whole.request.tokens()).rev().step_by(25) {
        match next_move(&Desk { room: Some(room), ..desk }, kind) {
            Ok(Move::CallModel(asking)) => {
                assert!(fits && asking.request.tokens() <= room, "{room}");
                check(&desk, kind, &asking.request);
                let told = told(&asking.request);
                for must in must {
                    assert!(told.contains(must), "{must} is not in {told}");
                }
                sizes.insert(asking.request.tokens());
            }
            Err(error @ TurnError::TooLong { .. }) => {
                assert!(error.to_string().contains("`context_tokens`"), "{error}");
                fits = false;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(!fits, "there is no request without a length");
    assert_eq!(sizes.last(), Some(&whole.request.tokens()), "what fits is not cut");
    sizes
}

#[test]
fn a_request_is_cut_to_its_room_by_turn_and_structure_or_not_made() {
    let studio = Studio::new("VLAN 120 guest on sw01 and sw02");
    let sizes = with_less_and_less(&studio, ArtifactKind::Spec, &["VLAN 120 guest on sw01 and sw02"]);
    assert!(sizes.len() > 2, "{sizes:?}");

    let mut studio = Studio::approved();
    let read = |switch: &str| calls(&[("vlan.list", json!({"switch": switch}))]);
    let wrong = |n: u32| text(&json!({"verdict": n, "said": "word ".repeat(800)}).to_string());
    studio.hears([read("sw01"), wrong(1), read("sw02"), wrong(2)]);
    let sizes = with_less_and_less(&studio, ArtifactKind::Discovery, &["This spec was approved", "does not take this"]);
    assert!(sizes.len() > 2, "{sizes:?}");
    assert!(sizes.last().unwrap() - sizes.first().unwrap() > 1_000, "a long turn was left out: {sizes:?}");
}
