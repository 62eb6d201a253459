//! The drafters. Here: drafting from a blueprint or from hand-written files, without a model. Pure: what a drafter
//! reads is in its arguments, and what it writes is only ever a draft that a gate shows to someone.

mod blueprint;
mod form;
mod nearest;
mod shape;

pub use blueprint::{DraftError, draft_design, draft_discovery, draft_spec};
pub use form::{Form, Taken};
pub use nearest::{Near, clearly, nearest};
pub use shape::{expected_steps, so_far};
