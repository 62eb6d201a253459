//! Makes a record again, by whoever has all that it was made from: the chain, the tools and what was read. Pure.

use crate::{
    artifact::{AcceptanceReading, ReconciledRecord, TargetOutcome, TargetResult, word_of},
    engagement::View,
};

use super::{Compared, compare::unsaid, outcome::in_words, reconcile};

/// How a record differs from the one that its chain, its tools and its results give. All of them are in the view.
pub fn made_again(view: &View<'_>, record: &ReconciledRecord) -> Compared {
    let mut found = Compared::default();
    let Ok(is) = reconcile(view) else { return found };
    for (said, is) in record.steps.iter().zip(&is.steps) {
        let node = &said.node;
        for (what, said, is) in [
            ("what was there before", &said.before, &is.before),
            ("what was designed", &said.designed, &is.designed),
            ("what was there at the end", &said.observed, &is.observed),
        ] {
            if said != is {
                let shown = |state: &Option<_>| state.as_ref().map_or_else(|| "unread".into(), in_words);
                let (said, is) = (shown(said), shown(is));
                found.wrong.push(format!("step {node}: {what} is {said}, and what was read comes to {is}"));
            }
        }
        if said.outcome != is.outcome {
            let (said, is) = (word_of(said.outcome), word_of(is.outcome));
            found.wrong.push(format!("it calls step {node} {said}, and what was read comes to {is}"));
        }
        if said.reason != is.reason {
            let reason = |reason: &Option<String>| reason.clone().unwrap_or_else(|| "nothing".into());
            let (said, is) = (reason(&said.reason), reason(&is.reason));
            found.words.push(format!("of step {node} it says `{said}`, and this version `{is}`"));
        }
    }
    // Whether those are called so that were left in the middle is looked at where the steps are.
    let in_part = |outcome| matches!(outcome, TargetOutcome::Failed | TargetOutcome::Undone);
    let same = |(said, is): (&TargetResult, &TargetResult)| {
        said == is || said.target == is.target && said.outcome == TargetOutcome::NotRun && in_part(is.outcome)
    };
    if record.targets.len() != is.targets.len() || !record.targets.iter().zip(&is.targets).all(same) {
        found.wrong.push("what it says of its targets is not what was read".into());
    }
    if record.reading != is.reading {
        found.wrong.push("it says otherwise how far the reading was independent of the writing".into());
    }
    for (said, is) in record.requirements.iter().zip(&is.requirements) {
        let readings = |of: [&[AcceptanceReading]; 2]| of.into_iter().flatten().cloned().collect::<Vec<_>>();
        let (said, is) = (readings([&said.before, &said.after]), readings([&is.before, &is.after]));
        for (said, is) in said.iter().zip(&is).filter(|(said, is)| said.seen != is.seen) {
            let shown = |reading: &AcceptanceReading| reading.seen.clone().unwrap_or_else(|| "nothing".into());
            let (check, said, is) = (&said.check, shown(said), shown(is));
            found.words.push(format!("of check {check} it says `{said}`, and this version `{is}`"));
        }
    }
    for note in is.residual.iter().filter(|note| !record.residual.contains(note)) {
        found.words.push(unsaid(note));
    }
    for note in record.residual.iter().filter(|note| !is.residual.contains(note)) {
        found.words.push(format!("it says, as this version would not, that {note}"));
    }
    found
}
