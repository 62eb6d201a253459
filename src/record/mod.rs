//! Reconciles what was designed, built, run and observed into the record that an engagement ends with. It reads the
//! chain and what was read back, never what a model or a tool said of itself. Pure: a view and the time go in, a
//! record comes out.

use jiff::Timestamp;

use crate::{
    artifact::{ArtifactKind, Independence, ReconciledRecord, RecordKind, RecordOutcome, Totals},
    engagement::View,
};

/// A record cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The chain has no spec, so nothing says what was asked for.
    #[error("there is no {0}, so there is nothing to reconcile against")]
    Missing(ArtifactKind),
}

/// The reconciled record of an engagement as its chain stands; `now` ends the working time.
pub fn reconcile(view: &View<'_>, now: Timestamp) -> Result<ReconciledRecord, ReconcileError> {
    let state = view.state;
    let spec = state.artifact(ArtifactKind::Spec).ok_or(ReconcileError::Missing(ArtifactKind::Spec))?;
    let total = (now.as_second() - state.opened_at.as_second()).max(0);
    Ok(ReconciledRecord {
        kind: RecordKind::Record,
        spec,
        discovery: state.artifact(ArtifactKind::Discovery),
        design: state.artifact(ArtifactKind::Design),
        flow: state.artifact(ArtifactKind::Flow),
        outcome: RecordOutcome::Failed,
        summary: "not reconciled yet".into(),
        requirements: Vec::new(),
        targets: Vec::new(),
        steps: Vec::new(),
        deviations: Vec::new(),
        residual: Vec::new(),
        reading: Independence::None,
        totals: Totals {
            calls: state.ran,
            refused: state.refused,
            approvals: 0,
            model_tokens: 0,
            working_seconds: u64::try_from(total - state.waited).unwrap_or(0),
            waiting_seconds: u64::try_from(state.waited).unwrap_or(0),
        },
    })
}
