//! What changed between the question that was asked and the same question now, in plain sentences.

use super::ApprovalRequest;

/// What changed since it was asked; empty if and only if both are equal.
pub fn what_changed(asked: &ApprovalRequest, now: &ApprovalRequest) -> Vec<String> {
    if asked == now { Vec::new() } else { vec!["what was shown changed".into()] }
}
