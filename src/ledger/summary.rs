//! One line about an engagement, for lists and inboxes. A cache of the events: written with them, never trusted by
//! whoever verifies.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    artifact::{ArtifactKind, EngagementId, Phase, RecordOutcome},
    engagement::{About, Actor, Documents, GateState, State},
    facts::Role,
};

/// One line about an engagement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The engagement.
    pub id: EngagementId,
    /// Its title, as its current spec says it.
    pub title: String,
    /// The blueprint's name, where there is one.
    pub blueprint: Option<String>,
    /// Who asked for it, by name.
    pub requester: String,
    /// The phase that it is in.
    pub phase: Phase,
    /// Where it stands.
    pub status: Status,
    /// The place of its last event.
    pub seq: u64,
    /// When it began.
    pub opened_at: Timestamp,
    /// When its last event was written.
    pub updated_at: Timestamp,
    /// The targets that it has changed, until it is closed. It stands last: decisions read this and nothing else of a line.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub changing: BTreeSet<String>,
}

/// Where an engagement stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Status {
    /// The spec is being drafted.
    Drafting,
    /// The program goes on as soon as it is run.
    Running,
    /// A person must answer.
    Waiting {
        /// What about, as it was asked.
        about: About,
        /// The same in words.
        words: String,
        /// The role that may answer.
        role: Role,
        /// Since when.
        since: Timestamp,
    },
    /// An agent asked the requester something.
    Asked {
        /// How many questions are open.
        questions: usize,
        /// Since when.
        since: Timestamp,
    },
    /// A person rejected the draft, and someone must edit it or cancel.
    Rejected {
        /// Which draft.
        artifact: ArtifactKind,
        /// Why.
        reason: String,
    },
    /// A person ended it, and what it left is being recorded.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// It is over.
    Closed {
        /// How it ended.
        outcome: RecordOutcome,
        /// One sentence that says why.
        reason: String,
    },
}

impl Status {
    /// Where an engagement in this state stands.
    pub fn of(state: &State) -> Self {
        if let Some(closed) = &state.closed {
            return Self::Closed { outcome: closed.outcome, reason: closed.reason.clone() };
        }
        if let Some(asked) = &state.asked {
            return Self::Waiting {
                about: asked.about.clone(),
                words: match asked.void.as_slice() {
                    [] => asked.about.to_string(),
                    why => format!("{}, asked anew: {}", asked.about, why.join("; ")),
                },
                role: asked.role,
                since: state.asked_at.unwrap_or(state.last_at),
            };
        }
        if let (None, Some(asked)) = (&state.cancelled, state.talk.open()) {
            let since = state.talk.open_since().unwrap_or(state.last_at);
            return Self::Asked { questions: asked.questions.len(), since };
        }
        let draft = match state.phase {
            Phase::Requirements => Some((ArtifactKind::Spec, &state.gate1)),
            Phase::Design => Some((ArtifactKind::Design, &state.gate2)),
            Phase::Feasibility | Phase::Build | Phase::AsBuilt => None,
        };
        // Where models draft, what was rejected is drafted again.
        let again = state.requested.model;
        if let (None, false, Some((artifact, GateState::Rejected { reason, .. }))) = (&state.cancelled, again, draft) {
            return Self::Rejected { artifact, reason: reason.clone() };
        }
        match (&state.cancelled, state.phase) {
            (Some(reason), _) => Self::Cancelled { reason: reason.clone() },
            (None, Phase::Requirements) => Self::Drafting,
            (None, _) => Self::Running,
        }
    }

    /// The word that filters and lists use.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Drafting => "drafting",
            Self::Running => "running",
            Self::Waiting { .. } => "waiting",
            Self::Asked { .. } => "asked",
            Self::Rejected { .. } => "rejected",
            Self::Cancelled { .. } => "cancelled",
            Self::Closed { .. } => "closed",
        }
    }
}

impl Summary {
    /// The line about an engagement in this state, whose documents say what it is called.
    pub fn of(state: &State, documents: &Documents) -> Self {
        Self {
            id: state.id.clone(),
            title: documents.title(state).to_owned(),
            blueprint: state.requested.blueprint.clone(),
            requester: match &state.requester {
                Actor::Person(identity) => identity.name.clone(),
                other => other.to_string(),
            },
            phase: state.phase,
            status: Status::of(state),
            seq: state.seq,
            opened_at: state.opened_at,
            updated_at: state.last_at,
            changing: if state.closed.is_none() { state.changed.clone() } else { BTreeSet::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engagement::{Body, Event},
        ledger::testing::{Story, person},
    };

    #[test]
    fn the_line_of_an_engagement_follows_its_events_and_survives_storage() {
        let mut cancelled = Story::whole("k7m2q");
        cancelled.events.truncate(3);
        cancelled.tell(person("ada"), Body::Cancelled { reason: "not needed any more".into() });
        let whole = Story::whole("k7m2q");
        let table = [(1, "drafting"), (2, "drafting"), (3, "waiting"), (5, "running"), (11, "waiting"), (20, "closed")];
        let told = table.map(|(to, word)| (&whole, to, word)).into_iter().chain([(&cancelled, 4, "cancelled")]);
        for (story, to, word) in told {
            let events: Vec<Event> = story.sealed().into_iter().take(to).map(|sealed| sealed.event).collect();
            let line = Summary::of(&State::replay(&events).unwrap(), &Documents::default());
            assert_eq!(line.status.word(), word, "after event {to}");
            assert_eq!((line.seq, line.requester.as_str()), (to as u64, "ada"));
            let stored = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Summary>(&stored).unwrap(), line);
        }
    }
}
