//! What the reads of `found_by` added for one engagement. It follows from the chain alone: the reads as gate 1 approved
//! them, and what was recorded as their answers. So a restart finds the same, and what a system answers later adds and
//! takes away nothing.

use std::sync::Arc;

use crate::{
    artifact::{Agent, CallId, Digest, digest_of},
    facts::{FoundBy, FoundIn},
    policy::Catalog,
};

use super::{
    blobs::Blobs,
    documents::Documents,
    event::CallOutcome,
    next::Proposal,
    purpose::Purpose,
    state::{Gate, State},
    view::View,
};

/// The reads that gate 1 let add targets, as it approved them.
pub fn approved_finders<'a>(state: &State, documents: &'a Documents, blobs: &Blobs) -> &'a [FoundBy] {
    if !state.gate_open(Gate::One) {
        return &[];
    }
    documents.approved_on(Gate::One, state, blobs).map_or(&[], |approved| &approved.found_by)
}

/// The answers that are recorded to these reads, each with its call.
pub fn found_answers<'a>(finders: &'a [FoundBy], state: &'a State) -> Vec<(&'a FoundBy, &'a CallId, Digest)> {
    let answer = |by: &'a FoundBy| {
        let (id, call) = state.call_for(&purpose(by)?)?;
        let over = call.refused.is_none() && call.outcome == Some(CallOutcome::Ok);
        Some((by, id, call.result.filter(|_| over)?))
    };
    finders.iter().filter_map(answer).collect()
}

fn purpose(by: &FoundBy) -> Option<Purpose> {
    Some(Purpose::Find { tool: by.tool.clone(), by: digest_of(by).ok()? })
}

/// The calls that an engagement's targets were found by, each with the digest of its answer. Where these are the same,
/// [`catalog_of`] gives the same.
pub fn found_in(state: &State, documents: &Documents, blobs: &Blobs) -> Vec<(Purpose, CallId, Digest)> {
    let finders = approved_finders(state, documents, blobs);
    let named = |(by, call, result): (&FoundBy, &CallId, Digest)| Some((purpose(by)?, call.clone(), result));
    found_answers(finders, state).into_iter().filter_map(named).collect()
}

/// What an engagement is decided on: the catalog of the files, with the targets that were found for it.
pub fn catalog_of(files: &Arc<Catalog>, state: &State, documents: &Documents, blobs: &Blobs) -> Arc<Catalog> {
    let finders = approved_finders(state, documents, blobs);
    let found: Vec<FoundIn<'_>> = found_answers(finders, state)
        .into_iter()
        .filter_map(|(by, call, result)| Some(FoundIn { by, call, result: blobs.get(&result)?.as_ref() }))
        .collect();
    if found.is_empty() { Arc::clone(files) } else { Arc::new(files.with_found(&found)) }
}

impl View<'_> {
    /// The reads that may add targets.
    pub fn find_reads(&self) -> Vec<Proposal> {
        let proposal = |by: &FoundBy| {
            let purpose = purpose(by)?;
            Some(Proposal { agent: Agent::Verifier, purpose, tool: by.tool.to_string(), args: by.args.clone() })
        };
        approved_finders(self.state, self.documents, self.blobs).iter().filter_map(proposal).collect()
    }
}
