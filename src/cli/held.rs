//! What is said where an engagement stands still because no tool server could be used for a read: how often it is tried
//! again, what comes then, and what to do before that.

use serde::Serialize;

use crate::{
    artifact::EngagementId,
    engagement::{NotRead, State},
};

use super::output::{count, plain};

/// The same for a program.
#[derive(Debug, Serialize)]
pub struct HeldAnswer {
    /// What was to be read.
    read: String,
    /// Why it was not.
    reason: String,
    /// How often it is made again before the engagement goes on without an answer.
    attempts_left: usize,
}

/// For a program; nothing where the engagement does not stand still so.
pub fn answer(state: &State) -> Option<HeldAnswer> {
    let NotRead { purpose, reason, left } = NotRead::last(state)?;
    Some(HeldAnswer { read: purpose.words(), reason, attempts_left: left })
}

/// For people, where the reason was said already; the last line says what to do.
pub fn lines(id: &EngagementId, state: &State) -> Vec<String> {
    let Some(NotRead { purpose, left, .. }) = NotRead::last(state) else {
        return vec![format!("Put that right; next: countersign run {id}")];
    };
    let read = plain(&purpose.words());
    let without = "it counts as not readable, and what cannot be done without it fails or is not feasible";
    if left > 0 {
        let again = count(left as u64, "more attempt");
        vec![format!("{read}: {again}; after that {without}."), format!("Put that right; next: countersign run {id}")]
    } else {
        vec![
            format!("{read}: that was the last attempt; with the next run {without}."),
            format!(
                "Next: countersign run {id} goes on without it; to have it read, put that right, countersign cancel {id} \
                 --reason …, and request it again"
            ),
        ]
    }
}

/// The same with the reason, where nothing was said of it yet.
pub fn told(id: &EngagementId, state: &State) -> Option<Vec<String>> {
    let reason = NotRead::last(state)?.reason;
    let mut told = vec![format!("It stands still, and nothing more was sent: {}", plain(&reason))];
    told.extend(lines(id, state));
    Some(told)
}
