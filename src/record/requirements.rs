//! Requirements: met only by checks that could have failed and hold now. No evidence is never a pass.

use std::{cell::OnceCell, collections::BTreeMap};

use crate::{
    artifact::{
        AcceptanceReading, Check, RequirementResult, RequirementStatus, Scope, Spec, TargetOutcome, TargetResult,
    },
    engagement::{CallOutcome, Purpose, View},
};

/// What the checks of a spec showed, each read once, however many steps and requirements rest on it.
pub(super) struct Readings<'a> {
    view: &'a View<'a>,
    /// In the order of the checks: before the build and after it.
    known: Vec<[OnceCell<AcceptanceReading>; 2]>,
}

impl<'a> Readings<'a> {
    /// None read yet.
    pub(super) fn of(view: &'a View<'a>) -> Self {
        let checks = view.documents.spec().map_or(0, |spec| spec.acceptance.len());
        Self { view, known: std::iter::repeat_with(Default::default).take(checks).collect() }
    }

    /// The checks of the spec, each with what it showed: before the build, or after it.
    pub(super) fn checks<'s>(&'s self) -> impl Iterator<Item = (&'s Check, impl Fn(bool) -> &'s AcceptanceReading)> {
        let view = self.view;
        let checks = view.documents.spec().map(|spec| spec.acceptance.as_slice()).unwrap_or_default();
        checks.iter().zip(&self.known).map(move |(check, [before, after])| {
            let read = move |first: bool| {
                let known = if first { before } else { after };
                known.get_or_init(|| view.acceptance(check, first))
            };
            (check, read)
        })
    }
}

/// Every requirement with each of its checks before and after.
pub(super) fn results(readings: &Readings<'_>, spec: &Spec) -> Vec<RequirementResult> {
    let result = |requirement: &crate::artifact::Requirement| {
        let covers = |check: &Check| check.covers.contains(&requirement.id);
        let covering: Vec<&Check> = spec.acceptance.iter().filter(|check| covers(check)).collect();
        let readings = |before: bool| -> Vec<AcceptanceReading> {
            let of_it = readings.checks().filter(|(check, _)| covers(check));
            of_it.map(|(_, read)| read(before).clone()).collect()
        };
        let (before, after) = (readings(true), readings(false));
        let status = status(&covering, &before, &after);
        RequirementResult { id: requirement.id.clone(), text: requirement.text.clone(), status, before, after }
    };
    spec.requirements.iter().map(result).collect()
}

/// What the checks of one requirement show together; the readings stand in the order of the checks.
pub(super) fn status(
    covering: &[&Check],
    before: &[AcceptanceReading],
    after: &[AcceptanceReading],
) -> RequirementStatus {
    let readings = || covering.iter().zip(before.iter().zip(after)).map(|(check, (b, a))| (check, b.holds, a.holds));
    if covering.is_empty() {
        return RequirementStatus::NotShown;
    }
    // What does not hold is not made better by another check that could not be read.
    if readings().any(|(check, before, after)| after == Some(false) || (check.invariant && before == Some(false))) {
        return RequirementStatus::NotMet;
    }
    if readings().any(|(_, before, after)| before.is_none() || after.is_none()) {
        return RequirementStatus::NotShown;
    }
    let mut falsifiable = readings().filter(|(check, ..)| !check.invariant).peekable();
    if falsifiable.peek().is_none() {
        return RequirementStatus::Met;
    }
    let held: Vec<bool> = falsifiable.map(|(_, before, _)| before == Some(true)).collect();
    if held.iter().all(|held| !held) {
        RequirementStatus::Met
    } else if held.iter().all(|held| *held) {
        RequirementStatus::AlreadyMet
    } else {
        // Some of its checks held before the build, so they prove nothing about it.
        RequirementStatus::NotShown
    }
}

/// The targets that the checks read, where nothing was built: as wanted already or not reached; for an audit also
/// not as wanted, or out of reach.
pub(super) fn targets(view: &View<'_>, spec: &Spec, audit: bool) -> Vec<TargetResult> {
    let mut worst: BTreeMap<String, TargetOutcome> = BTreeMap::new();
    let inputs = spec.inputs_value();
    for check in &spec.acceptance {
        for (at, item) in check.items().iter().enumerate() {
            let Ok(at) = u32::try_from(at) else { continue };
            let purpose = Purpose::CheckAfter { check: check.id.clone(), item: at };
            let Some((_, call)) = view.state.call_for(&purpose) else { continue };
            let Some(target) = &call.target else { continue };
            let result = call.result.and_then(|digest| view.blobs.get(&digest));
            let outcome = match (call.outcome, result) {
                (Some(CallOutcome::Ok), Some(result)) => {
                    let scope = Scope::new().with("inputs", &inputs).with("item", item).with("result", result);
                    match check.expect.holds(&scope) {
                        Ok(true) => TargetOutcome::Unchanged,
                        Ok(false) => TargetOutcome::Failed,
                        Err(_) => TargetOutcome::Unknown,
                    }
                }
                (Some(CallOutcome::Ok | CallOutcome::Error), _) => TargetOutcome::Unknown,
                (Some(CallOutcome::NotSent | CallOutcome::Unknown) | None, _) => TargetOutcome::Unreachable,
            };
            let known = worst.entry(target.clone()).or_insert(outcome);
            *known = (*known).max(outcome);
        }
    }
    let of = |outcome| if audit || outcome == TargetOutcome::Unchanged { outcome } else { TargetOutcome::NotRun };
    worst.into_iter().map(|(target, outcome)| TargetResult { target, outcome: of(outcome) }).collect()
}
