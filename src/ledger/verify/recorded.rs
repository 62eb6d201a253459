//! Whether the record that an engagement ends with follows from the chain before it: looked at once, where it is filed,
//! from the events and the documents that are there. Results may be redacted or left out; then less can be tried again.

use crate::{
    artifact::{ArtifactKind, Digest, Limits, Phase, ReconciledRecord, RecordOutcome},
    engagement::{Actor, Blobs, Body, Closed, Documents, Event, Exchange, Purpose, State, View},
    record::{Compared, compare, made_again},
    tool::Toolbox,
};

use super::{Papers, again, legible::unlike};

/// What is wrong with a record that is filed after `state`, and what of it is said in other words; nothing of any other
/// event.
pub(super) fn filed(state: &State, event: &Event, papers: &Papers<'_>) -> Compared {
    let mut found = Compared::default();
    let filed = match &event.body {
        Body::Filed(filed) if filed.artifact == ArtifactKind::Record => filed,
        _ => return found,
    };
    let what = format!("{} filed", filed.artifact);
    if event.actor != Actor::Program {
        found.wrong.push(format!("{what} by {}, which does not reconcile", event.actor));
    }
    if state.phase != Phase::AsBuilt {
        found.wrong.push(format!("{what} in the {} phase", state.phase));
    }
    // A record that is missing or was changed is reported where documents are.
    let Some(record) = papers.record(&filed.digest) else {
        if papers.document(&filed.digest).is_some() {
            let why = unlike::<ReconciledRecord>(&filed.digest, papers).unwrap_or_else(|| "it is none".into());
            found.wrong.push(format!("{what} that cannot be read: {why}"));
        }
        return found;
    };
    let (blobs, toolbox) = (blobs(state, &record, papers), Toolbox::default());
    let compared = with(state, papers, &blobs, &toolbox, |view| compare(view, &record, event.at));
    found.wrong.extend(compared.wrong.into_iter().map(does_not_follow));
    Compared { wrong: found.wrong, ..compared }
}

/// The same by whoever makes it again, where all that it was made from is here.
pub(super) fn made(state: &State, event: &Event, papers: &Papers<'_>) -> Option<Compared> {
    let Body::Filed(filed) = &event.body else { return None };
    if filed.artifact != ArtifactKind::Record {
        return None;
    }
    let (toolbox, blobs) = again::whole(state, papers)?;
    let record = papers.record(&filed.digest)?;
    let made = with(state, papers, &blobs, &toolbox, |view| made_again(view, &record));
    Some(Compared { wrong: made.wrong.into_iter().map(does_not_follow).collect(), ..made })
}

fn does_not_follow(why: String) -> String {
    format!("{} filed that does not follow from the chain: {why}", ArtifactKind::Record)
}

fn with<T>(state: &State, papers: &Papers<'_>, blobs: &Blobs, toolbox: &Toolbox, of: impl FnOnce(&View<'_>) -> T) -> T {
    let flow = state.artifact(ArtifactKind::Flow).and_then(|digest| Some((digest, papers.flow(&digest)?)));
    let documents = Documents::readable(state, blobs, flow);
    of(&View { state, documents: &documents, blobs, toolbox })
}

/// The documents that a record is made from and what the checks read, as far as they are here. The flow is read by
/// itself, what was discovered says nothing more where there is one, and what the design adds is how a step was seen
/// whose end nobody read.
fn blobs(state: &State, record: &ReconciledRecord, papers: &Papers<'_>) -> Blobs {
    let built = state.artifact(ArtifactKind::Flow).is_some();
    let unseen = record.steps.iter().any(|step| step.observed.is_none() || step.designed.is_none());
    let wanted = |kind: &ArtifactKind| match kind {
        ArtifactKind::Spec => true,
        ArtifactKind::Discovery => !built,
        ArtifactKind::Design => unseen,
        ArtifactKind::Flow | ArtifactKind::Record => false,
    };
    let artifacts = state.artifacts.iter().filter(|(kind, _)| wanted(kind));
    let mut blobs: Blobs =
        artifacts.filter_map(|(_, filed)| Some((filed.digest, papers.document(&filed.digest)?))).collect();
    let reads = |purpose: &Purpose| matches!(purpose, Purpose::CheckBefore { .. } | Purpose::CheckAfter { .. });
    let served = state.served.iter().filter(|(purpose, _)| reads(purpose));
    for result in served.filter_map(|(_, id)| state.calls.get(id)?.result) {
        blobs.extend(papers.result(state, &result).map(|value| (result, value)));
    }
    blobs
}

/// What is wrong with how an engagement is closed: it ends as its record says, and what was done or found is recorded.
pub(super) fn closed(state: &State, closed: &Closed, papers: &Papers<'_>) -> Vec<String> {
    let (mut found, document) = (Vec::new(), |digest: &Digest| papers.document(digest));
    let early = matches!(closed.outcome, RecordOutcome::Cancelled | RecordOutcome::Refused | RecordOutcome::GivenUp);
    let Some(record) = state.artifact(ArtifactKind::Record) else {
        if !early {
            found.push("closed without the record that this end has".into());
        }
        let why = ended_for_nothing(state, closed, papers).filter(|_| state.phase < Phase::Build);
        found.extend(why.map(str::to_owned));
        return found;
    };
    let record = document(&record);
    let says = |field: &str| record.as_ref().and_then(|record| record.get(field));
    if says("outcome").is_some_and(|outcome| serde_json::to_value(closed.outcome).ok().as_ref() != Some(outcome)) {
        found.push("closed otherwise than its record says".into());
    }
    if says("summary").is_some_and(|summary| summary.as_str() != Some(&closed.reason)) {
        found.push("closed for another reason than its record says".into());
    }
    found
}

/// Whether a model was asked for what is drafted now, or may not be asked any more.
fn asked_in_vain(state: &State, limits: &Limits) -> bool {
    let kind = match state.phase {
        Phase::Requirements => ArtifactKind::Spec,
        Phase::Feasibility if state.artifact(ArtifactKind::Discovery).is_some() => ArtifactKind::Spec,
        Phase::Feasibility => ArtifactKind::Discovery,
        Phase::Design => ArtifactKind::Design,
        Phase::Build | Phase::AsBuilt => ArtifactKind::Flow,
    };
    let turned = state.talk.about(kind).iter().any(|piece| matches!(piece, Exchange::Turn { .. }));
    turned || state.talk.total().tokens >= limits.model_tokens.min(Limits::default().model_tokens)
}

/// How what ended before anything was built did not come to that end.
fn ended_for_nothing(state: &State, closed: &Closed, papers: &Papers<'_>) -> Option<&'static str> {
    let spec = state.artifact(ArtifactKind::Spec).and_then(|spec| papers.spec(&spec));
    let limits = spec.map_or_else(Limits::default, |spec| spec.limits);
    let outside = state.outside.saturating_sub(state.outside_seen);
    match closed.outcome {
        RecordOutcome::Cancelled if state.cancelled.as_ref() != Some(&closed.reason) => {
            Some("closed for another reason than it was cancelled for")
        }
        RecordOutcome::Refused if outside < u64::from(limits.attempts_outside.max(1)) => {
            Some("closed as refused, and its agents had not tried so often what nothing lets them do")
        }
        // What a minute is, clocks may see otherwise.
        RecordOutcome::GivenUp if state.worked + 60 >= i64::from(limits.minutes) * 60 => None,
        RecordOutcome::GivenUp if !state.requested.model => Some("closed as given up, and its time was not over"),
        // A model may come to no draft in many ways, and is asked in each.
        RecordOutcome::GivenUp if !asked_in_vain(state, &limits) => {
            Some("closed as given up, and no model was asked in vain")
        }
        _ => None,
    }
}
