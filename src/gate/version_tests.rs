//! What a screen says of the versions before, and of the record that an engagement starts from.

use super::{
    tests::{asked, assert_says, at_gate1, at_gate2, shown},
    *,
};
use crate::{
    artifact::Spec,
    engagement::Answer,
    record::fixture::{Chain, ada},
};

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
    assert_says(
        &shown(&second),
        &[
            "WHAT CHANGED since version 1, the last one that was shown (this is version 2)",
            "- limits.tool_calls: 80",
            "+ limits.tool_calls: 20",
        ],
    );
    assert_eq!(what_changed(&first, &second), ["the spec is version 2 now, not 1"]);
    let lost = first.screen.sections.len();
    assert_eq!(second.screen.sections.len(), lost + 1);
}

#[test]
fn a_design_that_a_person_edited_says_who_and_what() {
    let mut chain = at_gate2(Chain::vlan());
    let request = chain.rests_on();
    chain.ask(&About::Gate2, request);
    let mut design = crate::artifact::SolutionDesign::clone(chain.documents.design().unwrap());
    design.steps[0].on_failure = crate::artifact::OnFailure::Stop;
    let made_from = vec![design.spec, design.discovery];
    chain.file_as(ada(), ArtifactKind::Design, &design, made_from);
    assert_eq!(chain.run(), Some(About::Gate2));
    let text = shown(&asked(&chain, &About::Gate2));
    let edited = "Engagement  k7m2q, spec version 1, design version 2, edited by ada (asserted, OS user ada)";
    let lines = [
        "WHAT CHANGED since version 1, the last one that was shown (this is version 2)",
        "- steps.create.on_failure: undo_target",
        "+ steps.create.on_failure: stop",
        edited,
    ];
    assert_says(&text, &lines);
    assert_says(&text, &["When a switch fails, its own change is taken back and the others go on"]);

    let mut spec = chain.draft_spec();
    spec.limits.tool_calls = 20;
    chain.file_as(ada(), ArtifactKind::Spec, &spec, vec![chain.state().requested.request]);
    let edited = "Engagement  k7m2q, spec version 2, edited by ada (asserted, OS user ada)";
    assert_says(&shown(&asked(&chain, &About::Gate1)), &[edited, "- limits.tool_calls: 80"]);
}

#[test]
fn what_changed_is_told_since_the_version_that_was_answered() {
    let mut chain = at_gate1();
    let request = chain.store(&asked(&chain, &About::Gate1));
    chain.answer_with(&About::Gate1, request, Answer::Reject, Vec::new());
    let mut spec = chain.draft_spec();
    for calls in [30, 20] {
        spec.limits.tool_calls = calls;
        chain.file(ArtifactKind::Spec, &spec, vec![chain.state().requested.request]);
    }
    let text = shown(&asked(&chain, &About::Gate1));
    let lines = [
        "WHAT CHANGED since version 1, the last one that was shown (this is version 3)",
        "- limits.tool_calls: 80",
        "+ limits.tool_calls: 20",
    ];
    assert_says(&text, &lines);
    let again = chain.state().artifact(ArtifactKind::Spec).unwrap();
    chain.file(ArtifactKind::Spec, &spec, vec![chain.state().requested.request]);
    assert_eq!(chain.state().artifact(ArtifactKind::Spec), Some(again));
}

#[test]
fn what_widened_between_two_questions_is_not_hidden_by_a_later_version() {
    let mut chain = at_gate1();
    let request = chain.store(&asked(&chain, &About::Gate1));
    chain.ask(&About::Gate1, request);
    let mut spec = chain.draft_spec();
    let made_from = vec![chain.state().requested.request];
    spec.limits.tool_calls = 500;
    chain.file(ArtifactKind::Spec, &spec, made_from.clone());
    spec.title = "Another title".into();
    chain.file(ArtifactKind::Spec, &spec, made_from.clone());
    let lines = [
        "WHAT CHANGED since version 1, the last one that was shown (this is version 3)",
        "- limits.tool_calls: 80",
        "+ limits.tool_calls: 500",
        "+ title: \"Another title\"",
    ];
    let third = asked(&chain, &About::Gate1);
    assert_says(&shown(&third), &lines);
    // Asking about it changes nothing that is asked; only the next version is compared with it.
    let request = chain.store(&third);
    chain.ask(&About::Gate1, request);
    assert_eq!(asked(&chain, &About::Gate1), third);
    spec.limits.tool_calls = 501;
    chain.file(ArtifactKind::Spec, &spec, made_from);
    let lines =
        ["WHAT CHANGED since version 3, the last one that was shown (this is version 4)", "- limits.tool_calls: 500"];
    assert_says(&shown(&asked(&chain, &About::Gate1)), &lines);
}

#[test]
fn a_version_before_which_none_was_shown_says_so() {
    let mut chain = at_gate1();
    let mut spec = chain.draft_spec();
    spec.limits.tool_calls = 500;
    chain.file(ArtifactKind::Spec, &spec, vec![chain.state().requested.request]);
    let lines = [
        "WHAT CHANGED (this is version 2)",
        "No version before was shown at this gate; read this one as if it were the first.",
    ];
    assert_says(&shown(&asked(&chain, &About::Gate1)), &lines);
    assert_eq!(chain.state().shown_before(ArtifactKind::Spec), None);
}

#[test]
fn a_record_that_it_starts_from_is_named() {
    let mut chain = Chain::vlan().starting_from("abcde");
    chain.run();
    let from = "Starts from  abcde, and drift from its record is read first";
    assert_says(&shown(&asked(&chain, &About::Gate1)), &["From         blueprint vlan", from]);
    let chain = at_gate2(chain);
    let from = "Starts from  abcde, and drift from its record was looked for, and there is none";
    assert_says(&shown(&asked(&chain, &About::Gate2)), &[from]);
}
