//! Whether what an event names can be read as what it is. What looks at a document passes over one that it cannot read, so a
//! document that is here and that no program writes so is wrong by itself, whatever else it may say.
//!
//! Chains without a sealing key, and questions that do not say in which ledger they were asked, are of versions that wrote
//! some of these documents with less in them. They are held to less, and it is said of each question that is.

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    artifact::{ArtifactKind, Digest, SolutionDesign, Spec, canonical},
    engagement::{About, Asked, Basis, Body, Event, State},
    gate::ApprovalRequest,
    model::Answer,
    policy::ProofReport,
};

use super::Papers;

/// What of what an event names is here and says nothing that this program writes there.
pub(super) fn breaches(state: &State, event: &Event, papers: &Papers<'_>) -> Option<String> {
    let sealed = state.requested.seal.is_some();
    match &event.body {
        Body::Filed(filed) => {
            let is = &filed.digest;
            let why = match filed.artifact {
                ArtifactKind::Spec if papers.spec(is).is_none() => unlike::<Spec>(is, papers),
                ArtifactKind::Design if papers.design(is).is_none() => unlike::<SolutionDesign>(is, papers),
                // The others are read where they are compared.
                _ => None,
            }?;
            Some(format!("{} filed that cannot be read: {why}", filed.artifact))
        }
        Body::Proved(proved) if sealed => unlike::<ProofReport>(&proved.report, papers)
            .map(|why| format!("a proof whose report cannot be read: {why}")),
        Body::Asked(asked) if sealed && asked.once.is_some() => request(state, asked, papers),
        Body::Allowed(allowed) if sealed => {
            let why = basis(&allowed.decided_on, papers)?;
            Some(format!("{} allowed, decided on what cannot be read: {why}", allowed.call))
        }
        Body::Refused(refused) if sealed => {
            let why = basis(&refused.decided_on, papers)?;
            Some(format!("{} refused, decided on what cannot be read: {why}", refused.call))
        }
        Body::Turned(turned) if sealed => {
            let answer = papers.value(&turned.response?, turned.sealed)?;
            let why = Answer::deserialize(answer.as_ref()).err()?;
            Some(format!("a turn about {} whose answer cannot be read: {why}", turned.drafting))
        }
        _ => None,
    }
}

/// Why what a call was decided on is here and is no such document.
fn basis(decided_on: &Digest, papers: &Papers<'_>) -> Option<String> {
    papers.basis(decided_on).is_none().then(|| unlike::<Basis>(decided_on, papers)).flatten()
}

/// How a question's request is not one, or one of another question.
fn request(state: &State, asked: &Asked, papers: &Papers<'_>) -> Option<String> {
    let wrong = |why: String| Some(format!("a question about {} {why}", asked.about));
    let Some(request) = papers.question(&asked.request) else {
        // What is missing is said elsewhere.
        papers.document(&asked.request)?;
        let why = unlike::<ApprovalRequest>(&asked.request, papers).unwrap_or_else(|| "it is none".into());
        return wrong(format!("whose request cannot be read: {why}"));
    };
    // A member that is left out is none, and what is held to it would be held to nothing.
    if canonical(request.as_ref()).ok().as_deref() != papers.bytes(&asked.request) {
        return wrong("whose request is not written as this program writes it".into());
    }
    let kind = if asked.about == About::Gate1 { ArtifactKind::Spec } else { ArtifactKind::Design };
    let filed = state.artifacts.get(&kind);
    let version = filed.is_some_and(|filed| filed.version == request.version && request.artifact == Some(filed.digest));
    if request.engagement != state.id || request.about != asked.about || !version {
        return wrong("whose request is another question's".into());
    }
    if !request.grounds_kept {
        return wrong("of which it is not kept what it was decided on".into());
    }
    if request.signature_because.is_empty() == asked.needs_signature() {
        return wrong("with another need of a signature than its request says".into());
    }
    if asked.about != About::Gate1 && request.approved_on.unlisted_targets && request.approved_on.aimed.is_none() {
        return wrong("of which it is not kept which targets it names".into());
    }
    let all_here = request.approved_on.tools.values().all(|tool| papers.bytes(tool).is_some());
    if all_here && papers.toolbox(&asked.request).is_none() {
        return wrong("decided on tools that cannot be read".into());
    }
    None
}

/// Why a document that is here is not one of these.
pub(super) fn unlike<T: DeserializeOwned>(digest: &Digest, papers: &Papers<'_>) -> Option<String> {
    serde_json::from_slice::<T>(papers.bytes(digest)?).err().map(|error| error.to_string())
}
