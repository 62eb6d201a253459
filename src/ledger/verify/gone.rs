//! Sealed documents that are not there. One that a later event says was destroyed is *redacted*, and the chain stays
//! valid; any other is missing, or was left out of what was handed on.
//!
//! Of what is redacted nothing more can be said than that it was what the chain committed to: whether the arguments
//! were fit for the tool, and how many calls an answer of a model asked for, is not tried again. That an approval was of
//! exactly this call still is, since a call's digest is over the commitment.

use crate::{
    artifact::Digest,
    engagement::{Actor, Body, Event, Redacted, State},
    facts::{People, Role},
};

use super::{
    super::mentions::{Mention, Need},
    Problem,
    papers::{Here, Of, Papers},
};

/// What is not there, and what was destroyed.
#[derive(Default)]
pub(super) struct Gone {
    /// Sealed documents that are missing, with the places where they are named.
    pub(super) missing: Vec<(u64, Mention)>,
    redactions: Vec<Redaction>,
}

struct Redaction {
    /// Who did it, where and why.
    said: String,
    destroyed: Vec<Digest>,
}

impl Gone {
    /// Takes note of what an event says was destroyed; the answer is the first document that is here all the same.
    pub(super) fn note(&mut self, event: &Event, state: Option<&State>, papers: &Papers<'_>) -> Option<Digest> {
        let Body::Redacted(redacted) = &event.body else { return None };
        let Redacted { destroyed, reason, role, .. } = redacted;
        let told = if papers.bytes(&redacted.people).is_some() { "" } else { ", taken as told" };
        let unknown = state.is_some_and(|state| without_the_role(state, &event.actor, *role, papers));
        let told = if unknown { ", WHO HAS NOT THAT ROLE in the people of its questions" } else { told };
        let said = format!("redacted at event {}, by {} in the role {role}{told} ({reason})", event.seq, event.actor);
        self.redactions.push(Redaction { said, destroyed: destroyed.clone() });
        destroyed.iter().find(|digest| !matches!(papers.here(digest, Of::Sealed), Here::Missing)).copied()
    }

    /// What is wrong about what is missing, and what is to be known of it.
    pub(super) fn settle(self) -> (Vec<Problem>, Vec<String>) {
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        let mut redacted: Vec<Vec<String>> = self.redactions.iter().map(|_| Vec::new()).collect();
        for (place, Mention { digest, what, need, .. }) in self.missing {
            let by = self.redactions.iter().zip(&mut redacted);
            let mut by = by.filter(|(redaction, _)| redaction.destroyed.contains(&digest));
            match (by.next(), need) {
                (Some((_, whats)), _) => whats.push(format!("{what} (event {place})")),
                (None, Need::Must) => problems.push(Problem::at(place, format!("{what} ({digest}) is missing"))),
                (None, _) => notes.push(format!("left out: {what} ({digest})")),
            }
        }
        for (Redaction { said, .. }, whats) in self.redactions.iter().zip(redacted) {
            let whats = if whats.is_empty() { "nothing else".to_owned() } else { whats.join(", ") };
            notes.push(format!("{said}: {whats}"));
        }
        (problems, notes)
    }
}

/// Whether somebody has a role in the people of none of the questions that were answered, where those are here: people
/// change, and whoever does this may bring people of their own.
fn without_the_role(state: &State, actor: &Actor, role: Role, papers: &Papers<'_>) -> bool {
    let Actor::Person(identity) = actor else { return false };
    let mut asked = state.answers.iter().filter_map(|(.., answered)| papers.grounds(&answered.request)).peekable();
    asked.peek().is_some() && asked.all(|grounds| !grounds.people.roles(identity).contains(&role))
}

/// What is wrong with a redaction after `state`: it is of a closed engagement, by somebody who could, and of nothing but
/// sealed documents.
pub(super) fn redacted(state: &State, actor: &Actor, redacted: &Redacted, papers: &Papers<'_>) -> Vec<String> {
    let mut found = Vec::new();
    // Where they are missing, that is said as of every document.
    let people = papers.bytes(&redacted.people).map(serde_json::from_slice::<People>);
    match (people, actor) {
        (Some(Ok(people)), Actor::Person(identity)) => {
            let (name, role) = (&identity.name, redacted.role);
            if !people.roles(identity).contains(&role) {
                found.push(format!("redacted by {name} in the role {role}, which they did not have"));
            }
            if role < people.redact {
                found.push(format!("redacted in the role {role}, and it needs {}", people.redact));
            }
        }
        (Some(Err(_)), _) => found.push("redacted by people whose file cannot be read".into()),
        _ => {}
    }
    if state.closed.is_none() {
        found.push("redacted before the engagement was closed".into());
    }
    if let Some(other) = redacted.destroyed.iter().find(|digest| !state.seals(digest)) {
        found.push(format!("redacted {other}, which is neither sealed here nor the key"));
    }
    if let Some(unknown) = redacted.calls.iter().find(|call| !state.calls.contains_key(call)) {
        found.push(format!("redacted {unknown}, which is no call"));
    }
    found
}
