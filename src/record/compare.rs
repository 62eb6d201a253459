//! Holds a record that was filed against the chain that it says it comes from, by whoever has the chain and neither the
//! manifests nor, perhaps, the results. Pure. What a state was is read with a manifest, so the states that a record
//! says are taken as they are; what it concludes from them, and all that it counts, cites and names, is not.
//!
//! A record that says better than its chain shows is wrong. Words change from one version of the program to the next, so
//! where only they differ that is told apart.

mod steps;

use jiff::Timestamp;

use crate::{
    artifact::{
        AcceptanceReading, ArtifactKind, Check, Digest, Independence, ReconciledRecord, RequirementResult, Spec,
        Totals, word_of,
    },
    engagement::{CallOutcome, Purpose, View},
};

use super::{
    judge, notes, requirements,
    step::{self, Left, Reconciled, number},
    totals,
};

/// How far the clock of whoever made a record may have been off, in seconds: back an hour and forward a day.
const CLOCK: i64 = 25 * 3_600;

/// How many seconds of work earlier versions, which read the clock once more, may have counted otherwise.
const WORKED: u64 = 60;

/// How a record differs from its chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// What does not follow from the chain.
    pub wrong: Vec<String>,
    /// What this version of the program would say in other words.
    pub words: Vec<String>,
}

impl Compared {
    /// Adds what was found otherwise, each once.
    pub(crate) fn and(&mut self, other: Self) {
        self.wrong.extend(other.wrong);
        for words in other.words {
            if !self.words.contains(&words) {
                self.words.push(words);
            }
        }
    }
}

/// How a record that is filed at this time differs from the chain before it. The documents of the view are those that
/// are there, and results may be left out of it; its tools are not looked at.
pub fn compare(view: &View<'_>, record: &ReconciledRecord, filed: Timestamp) -> Compared {
    let mut found = Compared::default();
    let built = view.documents.flow().is_some();
    let documents = [
        (ArtifactKind::Spec, Some(record.spec), view.documents.spec().is_some()),
        (ArtifactKind::Discovery, record.discovery, built || view.documents.discovery().is_some()),
        // What the design says is in the flow, but for how it is seen that a step did what it should.
        (ArtifactKind::Design, record.design, true),
        (ArtifactKind::Flow, record.flow, built),
    ];
    for (kind, says, readable) in documents {
        let is: Option<Digest> = view.state.artifact(kind);
        if says != is {
            found.wrong.push(format!("it names another {kind} than the current one"));
        } else if is.is_some() && !readable {
            found.wrong.push(format!("it rests on {kind}, which is not there or cannot be read"));
        }
    }
    let (Some(spec), true) = (view.documents.spec(), found.wrong.is_empty()) else { return found };
    checks(view, spec, record, &mut found);
    let steps = view.documents.flow().map(|flow| steps::told(view, flow, record, &mut found.wrong));
    let Some(steps) = steps.unwrap_or_else(|| record.steps.is_empty().then(Vec::new)) else {
        found.wrong.push("its steps are not those of the flow".into());
        return found;
    };
    targets(view, spec, record, &steps, &mut found);
    deviations(view, record, &steps, &mut found.wrong);
    if record.filled != notes::filled(view) {
        found.wrong.push("it says otherwise what filled the holes of the design".into());
    }
    if record.out_of_scope != spec.out_of_scope {
        found.wrong.push("it says otherwise what the spec leaves out".into());
    }
    let looked = steps.iter().any(|step| step.wrote) && notes::looked(view).next().is_some();
    if record.reading != Independence::None && !looked {
        found.wrong.push("it says that what was written was read back, and no reading was answered".into());
    }
    counts(view, record, filed, &mut found);
    outcome(view, spec, record, &steps, &mut found);
    found
}

/// Whether each requirement is the spec's, with its readings, and is called what they show.
fn checks(view: &View<'_>, spec: &Spec, record: &ReconciledRecord, found: &mut Compared) {
    let (said, asked) = (&record.requirements, &spec.requirements);
    let same = |(said, asked): (&RequirementResult, &crate::artifact::Requirement)| {
        said.id == asked.id && said.text == asked.text
    };
    if said.len() != asked.len() || !said.iter().zip(asked).all(same) {
        found.wrong.push("its requirements are not those of the spec".into());
        return;
    }
    for said in said {
        let covering: Vec<&Check> = spec.acceptance.iter().filter(|check| check.covers.contains(&said.id)).collect();
        if said.before.len() != covering.len() || said.after.len() != covering.len() {
            found.wrong.push(format!("its checks of {} are not those of the spec", said.id));
            continue;
        }
        for (before, readings) in [(true, &said.before), (false, &said.after)] {
            for (check, reading) in covering.iter().zip(readings) {
                let when = if before { "before" } else { "after" };
                let what = format!("check {} {when} the build", check.id);
                found.wrong.extend(read_otherwise(view, check, before, reading).map(|why| format!("{what}: {why}")));
            }
        }
        if requirements::status(&covering, &said.before, &said.after) != said.status {
            found.wrong.push(format!("it calls {} something else than its checks show", said.id));
        }
    }
}

/// How a reading is not what the chain has of it. A result that is not here cannot be tried again; that it was given can.
fn read_otherwise(view: &View<'_>, check: &Check, before: bool, said: &AcceptanceReading) -> Option<String> {
    let is = view.acceptance(check, before);
    if said.check != is.check || said.calls != is.calls {
        return Some("it cites other calls than were made for it".into());
    }
    let (mut gone, mut unread) = (false, false);
    for at in 0..check.items().len() {
        let Ok(item) = u32::try_from(at) else { continue };
        let check = check.id.clone();
        let purpose = if before { Purpose::CheckBefore { check, item } } else { Purpose::CheckAfter { check, item } };
        match view.state.call_for(&purpose) {
            Some((_, call)) if call.refused.is_none() && call.outcome == Some(CallOutcome::Ok) => {
                gone |= call.result.is_some_and(|result| view.blobs.get(&result).is_none());
            }
            _ => unread = true,
        }
    }
    if unread && said.holds.is_some() {
        return Some("it says whether it held, and it was not read".into());
    }
    // Where one result shows that it did not hold, the others cannot make it hold.
    let refuted = said.holds == Some(true) && view.refuted(check, before);
    (refuted || !gone && said.holds != is.holds)
        .then(|| "it says otherwise whether it held than what was read shows".into())
}

/// Whether each target is called what its steps or its checks show.
fn targets(view: &View<'_>, spec: &Spec, record: &ReconciledRecord, steps: &[Reconciled<'_>], found: &mut Compared) {
    let built = view.documents.flow().is_some();
    let is =
        if built { step::targets(steps) } else { requirements::targets(view, spec, spec.boundary.build.is_empty()) };
    // Which argument names the target is said by a manifest, where neither the flow nor a call says the target.
    let unnamed = steps.iter().any(|step| step.target.is_none());
    let known = |name: &str| is.iter().find(|target| target.target == name);
    let complete = built || results_are_here(view, spec);
    let same = if unnamed {
        is.iter().all(|is| record.targets.iter().any(|said| said.target == is.target))
    } else if complete {
        record.targets == is
    } else {
        record.targets.len() == is.len() && record.targets.iter().all(|said| known(&said.target).is_some())
    };
    if !same && built && record.targets == step::worst(steps) {
        found
            .words
            .push("it calls targets not reached that were changed before, as versions before this one did".into());
    } else if !same {
        found.wrong.push("what it says of its targets is not what its steps and checks show".into());
    }
}

fn results_are_here(view: &View<'_>, spec: &Spec) -> bool {
    let mut purposes = spec.acceptance.iter().flat_map(|check| {
        let items = 0..u32::try_from(check.items().len()).unwrap_or(u32::MAX);
        items.map(|item| Purpose::CheckAfter { check: check.id.clone(), item })
    });
    purposes.all(|purpose| {
        let result = view.state.call_for(&purpose).and_then(|(_, call)| call.result);
        result.is_none_or(|result| view.blobs.get(&result).is_some())
    })
}

/// Whether the deviations are those of the chain, each accepted by whoever accepted it.
fn deviations(view: &View<'_>, record: &ReconciledRecord, steps: &[Reconciled<'_>], found: &mut Vec<String>) {
    let mut by_hand: Vec<_> = notes::by_hand(view).collect();
    by_hand.sort_by_key(|(id, _)| number(id));
    let by_hand = by_hand.into_iter().map(|(id, call)| {
        let accepted = call.digest.and_then(|digest| notes::approver(view, digest));
        (vec![id.clone()], accepted)
    });
    let of_chain = view
        .state
        .deviations
        .iter()
        .map(|deviation| (deviation.found.calls.clone(), deviation.accepted_by.as_ref().map(ToString::to_string)));
    let is: Vec<_> = of_chain.chain(by_hand).collect();
    if record.deviations.len() < is.len() {
        let (says, is) = (record.deviations.len(), is.len());
        found.push(format!("it says {says} of the {is} deviations that the chain has"));
        return;
    }
    for (nth, (said, (calls, accepted))) in record.deviations.iter().zip(&is).enumerate() {
        if said.calls != *calls {
            found.push(format!("its deviation {} cites other calls than the chain", nth + 1));
        }
        if said.accepted_by != *accepted {
            found.push(format!("its deviation {} was not accepted by whom it says", nth + 1));
        }
        let told = view.state.deviations.get(nth).is_none_or(|known| said.what.contains(&known.found.what));
        if !told {
            found.push(format!("it says otherwise than the chain what deviation {} is", nth + 1));
        }
    }
    for (nth, said) in record.deviations.iter().enumerate().skip(is.len()) {
        let seen = steps.iter().any(|step| {
            let purpose = Purpose::Observe { node: step.node.id.clone() };
            view.state.call_for(&purpose).is_some_and(|(id, _)| said.calls == [id.clone()])
        });
        if !seen || said.accepted_by.is_some() {
            found.push(format!("its deviation {} is none that the chain has", nth + 1));
        }
    }
}

/// Whether it counts what the chain counts.
fn counts(view: &View<'_>, record: &ReconciledRecord, filed: Timestamp, found: &mut Compared) {
    let Compared { wrong, words } = found;
    let (says, state) = (&record.totals, view.state);
    let is = totals(state);
    for (what, says, is) in [
        ("calls that ran", says.calls, is.calls),
        ("calls that were refused", says.refused, is.refused),
        ("calls outside the boundary", says.outside, is.outside),
        ("approvals", says.approvals, is.approvals),
        ("model tokens", says.model_tokens, is.model_tokens),
        ("turns of models", says.model_turns, is.model_turns),
        ("millionths that models cost", says.model_cost_micros, is.model_cost_micros),
        ("seconds of waiting for models", says.model_seconds, is.model_seconds),
        ("seconds of waiting for people", says.waiting_seconds, is.waiting_seconds),
    ] {
        if says != is {
            wrong.push(format!("it counts {says} {what}, and the chain {is}"));
        }
    }
    let used = |of: &Totals| (of.model_tokens_estimated, of.model_currency.clone(), of.model_agents.clone());
    if used(says) != used(&is) {
        wrong.push("it says otherwise than the chain what models used".into());
    }
    // The clock is read once more for it than the chain shows, and earlier versions counted all time without a question.
    let working = i64::try_from(says.working_seconds).unwrap_or(i64::MAX);
    let open = filed.as_second().saturating_sub(state.opened_at.as_second()).saturating_sub(state.waited.max(0));
    let (least, most) = (state.worked - CLOCK, open.max(state.worked) + CLOCK);
    if working < least || working > most {
        wrong.push(format!("it counts {working} seconds of work, which its times do not give"));
    } else if working.abs_diff(state.worked) > WORKED {
        words.push(format!("it counts {working} seconds of work, and this version {}", state.worked));
    }
}

/// Whether it ended as its steps, requirements and targets say.
fn outcome(view: &View<'_>, spec: &Spec, record: &ReconciledRecord, steps: &[Reconciled<'_>], found: &mut Compared) {
    let effects = || view.state.effects.values().flatten();
    let changes = |digest: Digest| effects().any(|effect| *effect == digest.to_string());
    let by_hand = notes::by_hand(view).any(|(_, call)| call.digest.is_some_and(changes));
    let (outcome, summary) = judge::verdict(&judge::Case {
        view,
        spec,
        steps,
        requirements: &record.requirements,
        targets: &record.targets,
        changed: by_hand || steps.iter().any(|step| step.left != Left::Nothing),
    });
    if outcome != record.outcome {
        let (says, is) = (word_of(record.outcome), word_of(outcome));
        found.wrong.push(format!("it ended as `{says}`, and what it says itself comes to `{is}`"));
    } else if figures(&summary) != figures(&record.summary) {
        found.wrong.push(format!("its summary is `{}`, and what it says itself comes to `{summary}`", record.summary));
    } else if summary != record.summary {
        found.words.push(format!("`{}` is `{summary}` in the words of this version", record.summary));
    }
    let left = notes::residual(view, spec, steps, &record.requirements);
    for note in left.into_iter().filter(|note| !record.residual.contains(note)) {
        found.words.push(unsaid(&note));
    }
}

/// That a record leaves out what is to be looked at.
pub(super) fn unsaid(note: &str) -> String {
    format!("it does not say, as this version would, that {note}")
}

/// The words of a summary that hold figures: counts, and the names of targets and requirements. Another version of the
/// program says the same ones, in whatever words.
fn figures(summary: &str) -> Vec<&str> {
    let words = summary.split(|c: char| !(c.is_alphanumeric() || "-_.:/".contains(c)));
    let mut figures: Vec<&str> = words.filter(|word| word.contains(|c: char| c.is_ascii_digit())).collect();
    figures.sort_unstable();
    figures
}
