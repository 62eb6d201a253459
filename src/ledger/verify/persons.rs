//! What is said of the people of a chain: whose key an answer was signed with, what rests on a name alone, and what somebody
//! did without being asked.

use crate::{
    engagement::{Actor, Answer, Body, Event, State},
    facts::Identity,
};

use super::Papers;

/// A person's answer that nobody signed, or what counts as one: approvals that were renewed, steps that were tried again,
/// what was cancelled and what was destroyed.
pub(super) fn on_a_name(event: &Event) -> Option<String> {
    let signed = match &event.body {
        Body::Answered(answered) => answered.signature.is_some(),
        Body::Redacted(redacted) => redacted.signature.is_some(),
        Body::Retried(_) | Body::Cancelled { .. } => false,
        _ => return None,
    };
    did(event).filter(|_| !signed).map(|(did, _)| did)
}

/// What a person did that no question asks for, and who it was.
pub(super) fn acted(event: &Event) -> Option<(String, Identity)> {
    let answers = matches!(event.body, Body::Answered(_) | Body::Redacted(_));
    did(event).filter(|_| !answers).map(|(did, who)| (did, who.clone()))
}

/// Who approved under another name than whoever asked has, from the same operating-system user, where duties are apart. Who
/// asked is known by a name alone, so that may have been one person with two names.
pub(super) fn one_account(state: &State, actor: &Actor) -> Option<String> {
    let (Actor::Person(by), Actor::Person(asked)) = (actor, &state.requester) else { return None };
    let one = !state.barred.is_empty() && by.os_user == asked.os_user && by.name != asked.name;
    one.then(|| format!("by {}, asked for as {}, both OS user {}", by.name, asked.name, by.os_user))
}

/// What a person did, with who and where.
fn did(event: &Event) -> Option<(String, &Identity)> {
    let Actor::Person(identity) = &event.actor else { return None };
    let what = match &event.body {
        Body::Requested(_) => "the request".to_owned(),
        Body::Filed(filed) => filed.artifact.to_string(),
        Body::Said(_) => "what was said to agents".to_owned(),
        Body::Answered(answered) => answered.about.to_string(),
        Body::Retried(retried) if !retried.calls.is_empty() => "approvals renewed".to_owned(),
        Body::Retried(_) => "steps tried again".to_owned(),
        Body::Cancelled { .. } => "the cancellation".to_owned(),
        Body::Redacted(_) => "a redaction".to_owned(),
        _ => return None,
    };
    let no = matches!(&event.body, Body::Answered(answered) if answered.answer == Answer::Reject);
    let says = if no { ", a no" } else { "" };
    Some((format!("{what} by {} (event {}{says})", identity.name, event.seq), identity))
}

/// Whose key an answer was signed with, and what says that it is theirs.
pub(super) fn signer(event: &Event, held_against: bool, papers: &Papers<'_>) -> Option<String> {
    let Body::Answered(answered) = &event.body else { return None };
    if event.actor == Actor::Policy {
        let vouches = if held_against { ", which no signer vouches for" } else { "" };
        let policies = answered.policy.as_ref().map(|policy| policy.policies);
        let tried = match policies.filter(|policies| papers.document(policies).is_some()) {
            Some(policies) => format!("say so here too, as the policies {policies} have them"),
            None => "are not tried here".to_owned(),
        };
        return Some(format!("by policy: {}{vouches}; its rules {tried}", answered.about));
    }
    let Actor::Person(identity) = &event.actor else { return None };
    let signature = answered.signature.as_ref()?;
    let (about, name, key) = (&answered.about, &identity.name, &signature.key);
    let says = if held_against { "the signers given" } else { "the allowed signers kept with the chain" };
    Some(format!("signed: {about}, by {name} with the key {key}, as {says} have it"))
}
