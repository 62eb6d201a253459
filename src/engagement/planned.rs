//! The reads that documents and tools give, worked out once for each version of them. Which of them are still to be made is
//! looked up in the events, so that nothing that was read is worked out again to say what is read next.

use std::sync::Arc;

use crate::{
    artifact::{ArtifactKind, Check, Digest, Recent},
    flow::expand,
    tool::Edition,
};

use super::{
    event::CallOutcome,
    next::{Next, NextError, Proposal},
    purpose::Purpose,
    view::{READS_AGAIN, View, unanswered_in_a_row},
};

/// Which reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reads {
    /// Those of discovery.
    Discovery,
    /// Those that give the before-states of the flow.
    Before,
    /// Those of the acceptance checks before the build.
    ChecksBefore,
    /// The same after it.
    ChecksAfter,
}

/// Which reads, the documents that say them, and the tools.
type Key = (Reads, [Option<Digest>; 2], Edition);

/// How many lists are kept: those of two versions of the documents.
const KEPT: usize = 8;

/// What was worked out. It follows from what it is kept under, so those who look at one engagement may share it.
#[derive(Clone, Debug)]
pub(super) struct Planned(Arc<Recent<Key, Arc<[Proposal]>>>);

impl Default for Planned {
    fn default() -> Self {
        Self(Arc::new(Recent::new(KEPT)))
    }
}

impl View<'_> {
    /// The first of some reads that was not made yet, or must be made again.
    pub(super) fn first_open(&self, reads: Reads) -> Result<Option<Next>, NextError> {
        let reads = self.planned(reads)?;
        Ok(reads.iter().find(|read| !self.is_over(&read.purpose)).cloned().map(Next::Call))
    }

    /// The same of one read.
    pub(super) fn pending(&self, proposal: Proposal) -> Option<Next> {
        (!self.is_over(&proposal.purpose)).then_some(Next::Call(proposal))
    }

    /// Whether a read was made and is not made again, whatever came of it; see [`View::reading`].
    pub(super) fn is_over(&self, purpose: &Purpose) -> bool {
        let Some((_, call)) = self.state.call_for(purpose) else { return false };
        match call.outcome {
            _ if call.held() => false,
            _ if call.refused.is_some() => true,
            Some(CallOutcome::Ok) => true,
            Some(CallOutcome::Error) if !purpose.looks_after() => true,
            Some(CallOutcome::Error | CallOutcome::NotSent | CallOutcome::Unknown) | None => {
                unanswered_in_a_row(self.state, purpose) >= READS_AGAIN
            }
        }
    }

    fn planned(&self, reads: Reads) -> Result<Arc<[Proposal]>, NextError> {
        let documents = match reads {
            Reads::Discovery => [Some(self.state.requested.request), self.state.artifact(ArtifactKind::Spec)],
            Reads::Before => [ArtifactKind::Discovery, ArtifactKind::Design].map(|kind| self.state.artifact(kind)),
            Reads::ChecksBefore | Reads::ChecksAfter => [None, self.state.artifact(ArtifactKind::Spec)],
        };
        let (kept, key) = (&self.documents.planned.0, (reads, documents, self.toolbox.edition()));
        if let Some(known) = kept.get(&key) {
            return Ok(known);
        }
        let made: Arc<[Proposal]> = match reads {
            Reads::Discovery => self.discovery_reads()?,
            Reads::Before => self.before_reads()?,
            Reads::ChecksBefore => self.check_reads(true)?,
            Reads::ChecksAfter => self.check_reads(false)?,
        }
        .into();
        // A baseline that could not be read now is read the next time.
        let baseline = || self.documents.request().is_some_and(|request| request.baseline.is_some());
        if reads != Reads::Discovery || !baseline() || !self.baseline_nodes().is_empty() {
            kept.keep(key, Arc::clone(&made));
        }
        Ok(made)
    }

    /// The reads of before-states, in the order of the flow. Which they are does not rest on what they give.
    fn before_reads(&self) -> Result<Vec<Proposal>, NextError> {
        let (design, digest, facts) = self.designed()?;
        let flow = expand(design, digest, facts, |_| None, self.toolbox)?;
        Ok(flow.nodes.iter().filter_map(|node| self.before_read(node)).collect())
    }

    fn check_reads(&self, before: bool) -> Result<Vec<Proposal>, NextError> {
        let spec = self.documents.spec().ok_or(NextError::Missing(ArtifactKind::Spec))?;
        let items = |check| std::iter::repeat(check).zip(0..Check::items(check).len());
        let reads = spec.acceptance.iter().flat_map(items);
        Ok(reads.filter_map(|(check, at)| self.check_read(check, at, before)).collect())
    }
}
