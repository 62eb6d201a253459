//! The drafters: from a blueprint or from hand-written files without a model, and the agents, which draft with one. Pure:
//! what a drafter reads is in its arguments, and what it writes is only ever a draft that a gate shows to someone.

mod answer;
mod blueprint;
mod build;
mod call;
mod capability;
mod conversation;
mod data;
mod draft;
mod failed;
mod form;
mod limits;
mod nearest;
mod offer;
mod prompt;
mod shape;
mod shaping;
#[cfg(test)]
mod tests;
mod turn;
mod written;

pub use blueprint::{DraftError, draft_design, draft_discovery, draft_spec};
pub use draft::Draft;
pub use form::{Form, Taken, kind_words};
pub use nearest::{Near, clearly, nearest};
pub use offer::{ASK, READ_RESULT};
pub use prompt::{Prompt, PromptError, Prompts};
pub use shape::{expected_steps, so_far};
pub use shaping::{Shaped, Shaping};
pub use turn::{Asking, Desk, Move, TurnError, next_move};
pub use written::{
    WrittenRead, WrittenReport, says_considered, says_filled, written_design, written_report, written_spec,
};
