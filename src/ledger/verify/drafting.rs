//! What a reader of the chain relies on about drafting with models: turns come from agents in their phase, what people
//! said comes from people, and what an agent filed is what its last turn gave. What an engagement says of its own
//! beginning is what the request holds.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    artifact::{ArtifactKind, Digest},
    engagement::{
        Actor, AgentAsked, ArtifactFiled, Body, DraftReturned, Event, Exchange, Gate, RequestDocument, RequesterSaid,
        State, Turned, drafter, given, sealed_value,
    },
};

/// The first event: a person asked, and its line for lists says nothing else than the request.
pub(super) fn begun(event: &Event, document: &dyn Fn(&Digest) -> Option<Arc<Value>>) -> Vec<String> {
    let Body::Requested(requested) = &event.body else { return Vec::new() };
    let mut found = Vec::new();
    if !matches!(event.actor, Actor::Person(_)) {
        found.push(format!("requested by {}, which is not a person", event.actor));
    }
    // What is missing is said elsewhere.
    let Some(request) = document(&requested.request) else { return found };
    let Ok(request) = RequestDocument::deserialize(request.as_ref()) else {
        found.push("a request that cannot be read".into());
        return found;
    };
    match request.title() {
        None => found.push("a request that gives nothing to draft from".into()),
        Some(title) if title != requested.title => {
            found.push(format!("is called `{}`, and its request says `{title}`", requested.title));
        }
        Some(_) => {}
    }
    let blueprint = request.blueprint.as_ref().map(|blueprint| blueprint.name.as_str());
    if blueprint != requested.blueprint.as_deref() {
        found.push("names another blueprint than its request".into());
    }
    if request.text.is_some() != requested.model {
        found.push("says otherwise than its request whether models draft it".into());
    }
    if request.baseline.is_some() != requested.from.is_some() {
        found.push("says otherwise than its request whether it starts from a record".into());
    }
    found
}

pub(super) fn turned(
    state: &State,
    actor: &Actor,
    turned: &Turned,
    document: &dyn Fn(&Digest) -> Option<Arc<Value>>,
) -> Vec<String> {
    let mut found = Vec::new();
    let what = format!("a turn about {}", turned.drafting);
    if !state.requested.model {
        found.push(format!("{what} in an engagement that no model drafts"));
    }
    if *actor != Actor::Agent(turned.agent) || drafter(turned.drafting) != Some(turned.agent) {
        found.push(format!("{what} of the {} agent by {actor}", turned.agent));
    }
    if state.talk.open().is_some() {
        found.push(format!("{what} while the requester's answer was waited for"));
    }
    if turned.drafting != ArtifactKind::Spec && !state.gate_open(Gate::One) {
        found.push(format!("{what} while gate 1 was not open"));
    }
    // When the flow is filed, a turn is about a step of it that failed.
    let filled = state.filling.is_some() || state.artifact(ArtifactKind::Flow).is_some();
    let late = filled && !state.to_consider();
    if turned.drafting == ArtifactKind::Flow && (!state.gate_open(Gate::Two) || late) {
        found.push(format!(
            "{what} while gate 2 was not open, or after its holes were filled and without a step that failed"
        ));
    }
    if turned.turn != state.talk.next_turn(turned.drafting) {
        found.push(format!("{what} under the number {}, which is not the next", turned.turn));
    }
    let stored = turned.response.as_ref().and_then(document);
    let answer = if turned.sealed { stored.as_deref().and_then(sealed_value) } else { stored.as_deref() };
    let calls = answer.and_then(|answer| answer.get("calls")).and_then(Value::as_array);
    if calls.is_some_and(|calls| calls.len() as u64 != u64::from(turned.calls)) {
        found.push(format!("{what} that says otherwise than its answer how many calls it asks for"));
    }
    found
}

pub(super) fn inquired(state: &State, actor: &Actor, asked: &AgentAsked) -> Vec<String> {
    let mut found = Vec::new();
    if *actor != Actor::Agent(asked.agent) {
        found.push(format!("questions of the {} agent by {actor}", asked.agent));
    }
    let last = state.talk.about(ArtifactKind::Spec).last();
    if !matches!(last, Some(Exchange::Turn { number, turned }) if *number == asked.turn && turned.agent == asked.agent)
    {
        found.push("questions that do not come from the last turn".into());
    }
    if asked.questions.is_empty() || asked.questions.len() > AgentAsked::MOST {
        found.push(format!("{} questions at once", asked.questions.len()));
    }
    found
}

pub(super) fn said(state: &State, said: &RequesterSaid) -> Option<String> {
    let open = state.talk.open().map(|asked| asked.questions.as_slice()).unwrap_or_default();
    let unasked = said.answers.keys().find(|id| !open.iter().any(|question| question.id == **id));
    unasked.map(|id| format!("an answer to {id}, which was not asked"))
}

pub(super) fn returned(state: &State, actor: &Actor, returned: &DraftReturned) -> Vec<String> {
    let mut found = Vec::new();
    if *actor != Actor::Program {
        found.push(format!("an answer given back by {actor}"));
    }
    let last = state.talk.about(returned.artifact).last();
    if !matches!(last, Some(Exchange::Turn { number, .. }) if *number == returned.turn) {
        found.push(format!("an answer of turn {} given back, which is not the last", returned.turn));
    }
    found
}

/// What an agent filed where models draft follows a turn that gave it.
pub(super) fn filed(state: &State, actor: &Actor, filed: &ArtifactFiled) -> Option<String> {
    let by_model = state.requested.model && matches!(actor, Actor::Agent(_));
    (by_model && !given(state, filed.artifact, &filed.made_from))
        .then(|| format!("{} filed by {actor}, which no turn of a model gave", filed.artifact))
}
