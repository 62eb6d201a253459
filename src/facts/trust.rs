//! Trust: the stage that each scope, a blueprint in an environment, was given. It is a fold of the ledger's own trust
//! chain; where nothing was said the stage is 1.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::Digest;

/// The stages: 1 assisted, 2 supervised, 3 autonomous within policy.
pub const STAGES: std::ops::RangeInclusive<u8> = 1..=3;

/// The stage from which policy may answer in a person's place.
pub const AUTONOMOUS: u8 = 3;

/// A blueprint, by its digest, in an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The blueprint's digest; another version of it is another scope.
    pub blueprint: Digest,
    /// The environment of its targets.
    pub environment: String,
}

/// The stages that were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    stages: BTreeMap<Scope, u8>,
    head: Digest,
}

impl Default for Trust {
    fn default() -> Self {
        Self { stages: BTreeMap::new(), head: Digest::ZERO }
    }
}

impl Trust {
    /// The stage of a scope; 1 where none was given.
    pub fn stage(&self, scope: &Scope) -> u8 {
        self.stages.get(scope).copied().unwrap_or(*STAGES.start())
    }

    /// Whether any environment was given a stage for this blueprint.
    pub fn knows(&self, blueprint: &Digest) -> bool {
        self.stages.keys().any(|scope| scope.blueprint == *blueprint)
    }

    /// The hash of the last event of the trust chain; zero where there is none.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// The trust after one more event of the chain.
    pub fn set(&mut self, scope: Scope, stage: u8, head: Digest) {
        self.stages.insert(scope, stage);
        self.head = head;
    }
}
