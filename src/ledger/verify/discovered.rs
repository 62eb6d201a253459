//! Whether a discovery report says what the chain has: reads that were answered with what it says, findings that cite calls
//! there are, checks that were read; and whether what follows is what its verdict lets follow.

use crate::{
    artifact::{AcceptanceReading, ArtifactKind, CallId, Digest, Phase, ReadResult, Verdict},
    engagement::{ArtifactFiled, Call, CallOutcome, Purpose, State},
};

use super::Papers;

/// What is wrong with a report that is filed.
pub(super) fn filed(state: &State, filed: &ArtifactFiled, papers: &Papers<'_>) -> Vec<String> {
    if filed.artifact != ArtifactKind::Discovery {
        return Vec::new();
    }
    // One that is missing or was changed is reported where documents are.
    if papers.document(&filed.digest).is_none() {
        return Vec::new();
    }
    let what = format!("{} filed", filed.artifact);
    let Some(report) = papers.report(&filed.digest) else {
        return vec![format!("{what} that cannot be read")];
    };
    let answered = |id: &CallId| state.calls.get(id).filter(|call| call.outcome == Some(CallOutcome::Ok));
    let of_chain = |read: &ReadResult| {
        let same = |call: &Call| call.result == Some(read.result) && call.tool == read.tool.as_str();
        answered(&read.call).is_some_and(same)
    };
    let mut found = Vec::new();
    for read in report.reads.iter().filter(|read| !of_chain(read)) {
        found.push(format!("{what} whose read {} is none that {} gave", read.id, read.call));
    }
    for id in report.findings.iter().flat_map(|finding| &finding.calls).filter(|id| !state.calls.contains_key(id)) {
        found.push(format!("{what} with a finding that cites {id}, which was never made"));
    }
    for said in report.acceptance.iter().filter(|said| !read_as_said(state, said)) {
        found.push(format!("{what} that says whether check {} held, which was not read so", said.check));
    }
    found
}

/// Whether a check that is said to have held, or not to, was read by the calls that it cites.
fn read_as_said(state: &State, said: &AcceptanceReading) -> bool {
    let read = |id: &CallId| {
        state.calls.get(id).is_some_and(|call| {
            let of_it = matches!(&call.purpose, Purpose::CheckBefore { check, .. } if *check == said.check);
            of_it && (said.holds.is_none() || call.outcome == Some(CallOutcome::Ok))
        })
    };
    said.calls.iter().all(read) && (said.holds.is_none() || !said.calls.is_empty())
}

/// A design that is begun though the report says that the spec cannot be met as it stands.
pub(super) fn entered(state: &State, phase: Phase, papers: &Papers<'_>) -> Option<String> {
    let report: Digest = state.artifact(ArtifactKind::Discovery).filter(|_| phase == Phase::Design)?;
    let report = papers.report(&report)?;
    matches!(report.verdict, Verdict::NotFeasible | Verdict::WithChanges)
        .then(|| "the design phase entered, and the discovery report says that the spec cannot be met".to_owned())
}
