//! What an artifact was drafted from. An agent files it either way: with a model it drafted it, and without one it took it
//! from what was handed in.

use serde::Serialize;

use crate::artifact::ArtifactKind;

use super::{event::Actor, state::State};

/// What an artifact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A language model drafted it.
    Model,
    /// The blueprint that was asked for gives it.
    Blueprint,
    /// Whoever asked handed it in.
    File,
    /// A person wrote this version.
    Person,
    /// It follows by rule from what was approved and read.
    Rule,
}

impl Origin {
    /// That of an artifact of this kind that `author` filed.
    pub fn of(state: &State, kind: ArtifactKind, author: &Actor) -> Self {
        let drafted = matches!(kind, ArtifactKind::Spec | ArtifactKind::Discovery | ArtifactKind::Design);
        match author {
            Actor::Person(_) => Self::Person,
            Actor::Agent(_) if state.requested.model && drafted => Self::Model,
            Actor::Agent(_) if matches!(kind, ArtifactKind::Spec | ArtifactKind::Design) => {
                if state.requested.blueprint.is_some() { Self::Blueprint } else { Self::File }
            }
            Actor::Agent(_) | Actor::Policy | Actor::Program => Self::Rule,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifact::Agent,
        engagement::testing::{Story, digest, person},
    };

    #[test]
    fn what_no_model_drafted_is_not_said_to_be_an_agents() {
        let told = |model: bool, blueprint: Option<&str>| {
            let mut state = Story::begin(digest("request")).state;
            state.requested.model = model;
            state.requested.blueprint = blueprint.map(str::to_owned);
            let of = |kind, agent| Origin::of(&state, kind, &Actor::Agent(agent));
            assert_eq!(Origin::of(&state, ArtifactKind::Spec, &Actor::Person(person("ada"))), Origin::Person);
            assert_eq!(Origin::of(&state, ArtifactKind::Record, &Actor::Program), Origin::Rule);
            [
                of(ArtifactKind::Spec, Agent::Requirements),
                of(ArtifactKind::Discovery, Agent::Design),
                of(ArtifactKind::Design, Agent::Design),
                of(ArtifactKind::Flow, Agent::Build),
            ]
        };
        assert_eq!(told(true, None), [Origin::Model, Origin::Model, Origin::Model, Origin::Rule]);
        assert_eq!(told(false, Some("vlan")), [Origin::Blueprint, Origin::Rule, Origin::Blueprint, Origin::Rule]);
        assert_eq!(told(false, None), [Origin::File, Origin::Rule, Origin::File, Origin::Rule]);
    }
}
