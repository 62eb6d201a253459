//! How an engagement ended, and the one sentence that says why.

use crate::{
    artifact::{RecordOutcome, RequirementResult, RequirementStatus, Spec, TargetOutcome, TargetResult, Verdict},
    engagement::{RefusedAs, State, View},
    flow::NodeOutcome,
};

use super::step::{Left, Reconciled};

/// All that the verdict rests on.
pub(super) struct Case<'a> {
    pub view: &'a View<'a>,
    pub spec: &'a Spec,
    pub steps: &'a [Reconciled<'a>],
    pub requirements: &'a [RequirementResult],
    pub targets: &'a [TargetResult],
    /// Whether something is not as it was before.
    pub changed: bool,
}

/// The outcome and one sentence that says why.
pub(super) fn verdict(case: &Case<'_>) -> (RecordOutcome, String) {
    let counted = counted(case);
    let state = case.view.state;
    if let Some(reason) = &state.cancelled {
        return if case.changed {
            (RecordOutcome::PartlyDone, format!("ended early ({reason}); {counted}"))
        } else {
            (RecordOutcome::Cancelled, format!("{reason}; {}", unchanged(state)))
        };
    }
    let built = case.view.documents.flow().is_some();
    if !built
        && let Some(report) = case.view.documents.discovery()
        && matches!(report.verdict, Verdict::NotFeasible | Verdict::WithChanges)
    {
        let found = Some(report.reasons()).filter(|found| !found.is_empty());
        let found = found.unwrap_or_else(|| "discovery names no reason".to_owned());
        let said = match report.verdict {
            Verdict::WithChanges => format!("it needs another version of the spec: {found}"),
            _ => found,
        };
        return (RecordOutcome::NotFeasible, said);
    }
    if let (Some(reason), false) = (case.view.stopped(), built) {
        return (RecordOutcome::Refused, format!("stopped: {reason}; nothing is changed"));
    }
    let met = case.requirements.iter().all(|requirement| is_met(requirement.status));
    if case.spec.boundary.build.is_empty() {
        return (if met { RecordOutcome::Done } else { RecordOutcome::Failed }, counted);
    }
    if !built {
        return if met {
            (RecordOutcome::NothingToDo, format!("everything was so already, and nothing was built; {counted}"))
        } else {
            (RecordOutcome::Failed, format!("nothing was built; {counted}"))
        };
    }
    let in_place = |outcome: TargetOutcome| matches!(outcome, TargetOutcome::Done | TargetOutcome::Unchanged);
    let all = case.targets.iter().all(|target| in_place(target.outcome))
        && case.steps.iter().all(|step| in_place(step.result.outcome));
    if met && all {
        return (RecordOutcome::Done, counted);
    }
    if let Some(reason) = case.view.stopped() {
        return if case.changed {
            (RecordOutcome::PartlyDone, format!("stopped ({reason}); {counted}"))
        } else {
            (RecordOutcome::Refused, format!("stopped: {reason}; {}", unchanged(state)))
        };
    }
    let some = case.steps.iter().any(|step| step.result.outcome == TargetOutcome::Done && step.wrote);
    let shown =
        |requirement: &RequirementResult| requirement.status == RequirementStatus::Met && !only_kept(case, requirement);
    // What is met while nothing of this engagement is there was not done by it.
    if some || case.changed && case.requirements.iter().any(shown) {
        return (RecordOutcome::PartlyDone, counted);
    }
    match refused(case) {
        Some(reason) => (RecordOutcome::Refused, format!("{reason}; {}", unchanged(state))),
        None => (RecordOutcome::Failed, counted),
    }
}

/// That nothing is changed; where nobody could read it, that is what somebody said.
fn unchanged(state: &State) -> &'static str {
    let said = state.applied.values().any(|applied| !applied);
    if said { "nothing is changed, a person said" } else { "nothing is changed" }
}

fn is_met(status: RequirementStatus) -> bool {
    matches!(status, RequirementStatus::Met | RequirementStatus::AlreadyMet)
}

/// Whether a requirement is covered by invariants alone: that nothing broke is not something done.
fn only_kept(case: &Case<'_>, requirement: &RequirementResult) -> bool {
    case.spec.acceptance.iter().filter(|check| check.covers.contains(&requirement.id)).all(|check| check.invariant)
}

/// The reason, where nothing changed and every step that failed was refused by a rule or a person.
fn refused(case: &Case<'_>) -> Option<String> {
    if case.changed {
        return None;
    }
    let mut failed = case.steps.iter().filter(|step| {
        case.view.state.nodes.get(&step.node.id).is_some_and(|settled| settled.outcome == NodeOutcome::Failed)
    });
    let said_no = |step: &Reconciled<'_>| {
        let (_, call) = case.view.act_of(&step.node.id)?;
        let (how, _) = call.refused.as_ref()?;
        let rejected = call.digest.is_some_and(|digest| case.view.state.rejected_calls.contains_key(&digest));
        (*how == RefusedAs::Denied || rejected).then(|| step.result.reason.clone().unwrap_or_default())
    };
    let first = said_no(failed.next()?)?;
    failed.all(|step| said_no(step).is_some()).then_some(first)
}

/// The targets and requirements in one row: `3 of 4 targets done, 1 failed (sw03); R1 not met, R2 met`.
fn counted(case: &Case<'_>) -> String {
    let mut parts = Vec::new();
    if !case.targets.is_empty() {
        parts.push(targets(case.targets));
    }
    parts.push(requirements(case.requirements));
    parts.extend(left_behind(case, Left::Something).map(|steps| format!("left behind: {steps}")));
    parts.extend(left_behind(case, Left::Perhaps).map(|steps| format!("perhaps left behind: {steps}")));
    parts.join("; ")
}

/// The steps that are not done and that left something.
fn left_behind(case: &Case<'_>, left: Left) -> Option<String> {
    let in_place =
        |step: &&Reconciled<'_>| matches!(step.result.outcome, TargetOutcome::Done | TargetOutcome::Unchanged);
    let of = case.steps.iter().filter(|step| step.left == left && !in_place(step));
    let names: Vec<String> = of.map(|step| format!("`{}`", step.node.id)).collect();
    (!names.is_empty()).then(|| listed(&names))
}

/// The first few names, and that there are more.
fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let shown = names.iter().take(5).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 5 { ", …" } else { "" };
    format!("{shown}{more}")
}

fn targets(targets: &[TargetResult]) -> String {
    let of = |outcome: TargetOutcome| targets.iter().filter(move |target| target.outcome == outcome);
    let (done, unchanged) = (of(TargetOutcome::Done).count(), of(TargetOutcome::Unchanged).count());
    let all = targets.len();
    let noun = if all == 1 { "target" } else { "targets" };
    let mut parts = match (done, unchanged) {
        (0, n) if n > 0 => vec![format!("{n} of {all} {noun} as wanted already")],
        (_, 0) => vec![format!("{done} of {all} {noun} done")],
        (_, n) => vec![format!("{done} of {all} {noun} done, {n} as wanted already")],
    };
    for (outcome, word) in [
        (TargetOutcome::Undone, "undone"),
        (TargetOutcome::NotRun, "not reached"),
        (TargetOutcome::Failed, "failed"),
        (TargetOutcome::Unreachable, "unreachable"),
        (TargetOutcome::Unknown, "unknown"),
    ] {
        let names: Vec<&str> = of(outcome).map(|target| target.target.as_str()).collect();
        if !names.is_empty() {
            parts.push(format!("{} {word} ({})", names.len(), listed(&names)));
        }
    }
    parts.join(", ")
}

fn requirements(requirements: &[RequirementResult]) -> String {
    let said = |status: RequirementStatus, words: &str| {
        let of: Vec<&str> = requirements.iter().filter(|one| one.status == status).map(|one| one.id.as_str()).collect();
        (!of.is_empty()).then(|| format!("{} {words}", of.join(", ")))
    };
    let said = [
        said(RequirementStatus::Met, "met"),
        said(RequirementStatus::AlreadyMet, "met already"),
        said(RequirementStatus::NotMet, "not met"),
        said(RequirementStatus::NotShown, "not shown"),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
