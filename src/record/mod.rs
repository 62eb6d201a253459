//! Reconciles what was designed, built, run and observed into the record that an engagement ends with. It reads the
//! chain and what was read back, never what a model or a tool said of itself, and counts nothing as done that was
//! not seen. Pure: a view goes in, a record comes out.

mod again;
mod compare;
mod judge;
mod notes;
mod outcome;
mod requirements;
mod step;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod compare_tests;
#[cfg(test)]
mod network;
#[cfg(test)]
mod tests;

use crate::{
    artifact::{Agent, AgentTotals, ArtifactKind, ReconciledRecord, RecordKind, Totals},
    engagement::{Answer, State, Used, View},
};

pub use again::made_again;
pub use compare::{Compared, compare};

/// A record cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The chain has no spec, so nothing says what was asked for.
    #[error("there is no {0}, so there is nothing to reconcile against")]
    Missing(ArtifactKind),
}

/// The reconciled record of an engagement as its chain stands.
pub fn reconcile(view: &View<'_>) -> Result<ReconciledRecord, ReconcileError> {
    let state = view.state;
    let missing = ReconcileError::Missing(ArtifactKind::Spec);
    let (Some(spec), Some(digest)) = (view.documents.spec(), state.artifact(ArtifactKind::Spec)) else {
        return Err(missing);
    };
    let readings = requirements::Readings::of(view);
    let steps = view.documents.flow().map(|flow| step::reconciled(view, flow, &readings)).unwrap_or_default();
    let requirements = requirements::results(&readings, spec);
    let targets = match view.documents.flow() {
        Some(_) => step::targets(&steps),
        None => requirements::targets(view, spec, spec.boundary.build.is_empty()),
    };
    let changed = notes::something_changed(view, &steps);
    let (outcome, summary) = judge::verdict(&judge::Case {
        view,
        spec,
        steps: &steps,
        requirements: &requirements,
        targets: &targets,
        changed,
    });
    Ok(ReconciledRecord {
        kind: RecordKind::Record,
        spec: digest,
        discovery: state.artifact(ArtifactKind::Discovery),
        design: state.artifact(ArtifactKind::Design),
        flow: state.artifact(ArtifactKind::Flow),
        outcome,
        summary,
        deviations: notes::deviations(view, &steps),
        filled: notes::filled(view),
        residual: notes::residual(view, spec, &steps, &requirements),
        reading: notes::independence(view, &steps),
        requirements,
        out_of_scope: spec.out_of_scope.clone(),
        targets,
        steps: steps.into_iter().map(|step| step.result).collect(),
        totals: totals(state),
    })
}

fn totals(state: &State) -> Totals {
    let approved = |answer: &Answer| *answer == Answer::Approve;
    let waiting = state.waited.max(0);
    let used = state.talk.total();
    Totals {
        calls: state.ran,
        refused: state.refused,
        outside: state.outside,
        approvals: state.answers.iter().filter(|(_, _, answered)| approved(&answered.answer)).count() as u64,
        model_tokens: used.tokens,
        model_tokens_estimated: used.tokens_estimated,
        model_turns: used.turns,
        model_cost_micros: used.cost_micros,
        model_currency: state.talk.currency().map(str::to_owned),
        model_agents: state.talk.used().iter().map(of_agent).collect(),
        model_seconds: used.latency_ms / 1_000,
        working_seconds: state.worked.max(0).unsigned_abs(),
        waiting_seconds: waiting.unsigned_abs(),
    }
}

fn of_agent((agent, used): (&Agent, &Used)) -> AgentTotals {
    AgentTotals {
        agent: *agent,
        turns: used.turns,
        tokens: used.tokens,
        tokens_estimated: used.tokens_estimated,
        cost_micros: used.cost_micros,
        seconds: used.latency_ms / 1_000,
    }
}
