//! What a tool is: its arguments, its effect, how its target's state is read back and how it is undone. Pure.
//! Manifests come from `tools/*.yaml`; only [`crate::broker`] can run what they describe.

mod kept;
mod manifest;
mod pin;
mod server;
mod toolbox;
#[cfg(test)]
mod shipped_tests;

pub use kept::{Kept, SERVERS};
pub use manifest::{Args, Effect, Manifest, ManifestKind, StateRead, Tool, UndoRule};
pub use pin::{Pins, ServerPin, ServerSeen, tool_definition_digest};
pub use server::{Files, Secret, SecretFrom, Server, filled};
pub use toolbox::{ArgsProblem, ManifestProblem, Toolbox};
