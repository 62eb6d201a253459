//! What a tool is: its arguments, its effect, how its target's state is read back and how it is undone, and what of
//! its answers a model may see. Pure. Manifests come from `tools/*.yaml`; only [`crate::broker`] can run what they
//! describe.

mod egress;
mod definition;
mod field;
mod kept;
mod manifest;
mod pin;
mod problems;
mod server;
mod toolbox;
#[cfg(test)]
mod egress_tests;
#[cfg(test)]
mod shipped_tests;

pub use egress::{Egress, OutputField, OutputPath, OutputPathError, shown, shown_error};
pub use field::{Field, GrantWords, put_at, value_at};
pub use kept::{Kept, SERVERS};
pub use manifest::{Args, Effect, Manifest, ManifestKind, StateRead, Tool, UndoRule};
pub use pin::{Pins, ServerPin, ServerSeen, tool_definition_digest};
pub use server::{Files, Secret, SecretFrom, Server, filled};
pub use toolbox::{ArgsProblem, Edition, ManifestProblem, Toolbox};
