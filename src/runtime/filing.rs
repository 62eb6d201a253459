//! Files the artifacts: each is drafted from what is on the chain, held to what it must fit, and written down with the
//! event that names it.

use serde::{Deserialize, Serialize};

use crate::{
    agent::{draft_design, draft_discovery, draft_spec},
    artifact::{Agent, ArtifactKind, Digest, Written, digest_of},
    engagement::{Actor, ApprovedDesign, ApprovedSpec, Command, GateState, NextError, Refusal, parse_document},
    ledger::Journal,
    policy::{Catalog, spec_problems},
    record::reconcile,
};

use super::{
    driver::{Driver, view},
    error::DriverError,
    progress::{Progress, Stopped},
};

impl Driver<'_> {
    /// Drafts and files a document: with a model where the request says so, else from a blueprint or a file; the answer
    /// is why it cannot, if it cannot.
    pub(super) async fn draft(
        &self,
        journal: &mut Journal,
        catalog: &Catalog,
        kind: ArtifactKind,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Option<Stopped>, DriverError> {
        if view(journal, catalog).asks_a_model(kind) {
            return self.draft_with_model(journal, catalog, kind, watch).await;
        }
        let state = journal.state();
        let rejected = match kind {
            ArtifactKind::Spec => &state.gate1,
            _ => &state.gate2,
        };
        if let (GateState::Rejected { by, reason }, ArtifactKind::Spec | ArtifactKind::Design) = (rejected, kind) {
            return Ok(Some(Stopped::NeedsEdit { artifact: kind, by: by.to_string(), reason: reason.clone() }));
        }
        // A draft that is asked of someone takes its time; one from a blueprint or a file is there at once.
        if journal.documents().request().is_none_or(|request| request.design_draft().is_none()) {
            journal.flush().await?;
        }
        let digest = match kind {
            ArtifactKind::Spec => self.file_spec(journal, catalog)?,
            ArtifactKind::Discovery => self.file_discovery(journal, catalog)?,
            ArtifactKind::Design => self.file_design(journal, catalog)?,
            ArtifactKind::Flow => self.file_flow(journal, catalog)?,
            ArtifactKind::Record => self.file_record(journal, catalog)?,
        };
        watch(Progress::Filed(kind, digest));
        Ok(None)
    }

    fn file_spec(&self, journal: &mut Journal, catalog: &Catalog) -> Result<Digest, DriverError> {
        let request = journal.documents().request().cloned().ok_or(NextError::Missing(ArtifactKind::Spec))?;
        let from = journal.state().requested.request;
        let spec = draft_spec(&request, from)?;
        if let Some(problem) = spec_problems(&spec, catalog).first() {
            return Err(DriverError::Invalid(ArtifactKind::Spec, problem.to_string()));
        }
        self.file_artifact(journal, Actor::Agent(Agent::Requirements), ArtifactKind::Spec, &spec, vec![from])
    }

    fn file_discovery(&self, journal: &mut Journal, catalog: &Catalog) -> Result<Digest, DriverError> {
        let spec = approved_spec(journal)?;
        let report = draft_discovery(&view(journal, catalog), &spec, spec.digest())?;
        let from = vec![spec.digest()];
        self.file_artifact(journal, Actor::Agent(Agent::Design), ArtifactKind::Discovery, &report, from)
    }

    fn file_design(&self, journal: &mut Journal, catalog: &Catalog) -> Result<Digest, DriverError> {
        let spec = approved_spec(journal)?;
        let report = journal.state().artifact(ArtifactKind::Discovery);
        let report = report.ok_or(NextError::Missing(ArtifactKind::Discovery))?;
        let design = draft_design(&view(journal, catalog), &spec, spec.digest(), report)?;
        // A design that does not come out as calls is said now, before anyone is asked to approve it.
        let facts = journal.documents().facts().map(|facts| facts.as_ref().clone()).unwrap_or_default();
        crate::flow::expand(&design, Digest::ZERO, &facts, |_| None, &catalog.toolbox)
            .map_err(|error| DriverError::Invalid(ArtifactKind::Design, error.to_string()))?;
        let from = vec![spec.digest(), report];
        self.file_artifact(journal, Actor::Agent(Agent::Design), ArtifactKind::Design, &design, from)
    }

    fn file_flow(&self, journal: &mut Journal, catalog: &Catalog) -> Result<Digest, DriverError> {
        let flow = view(journal, catalog).built()?;
        let design = ApprovedDesign::design(journal.state(), journal.documents());
        let design = design.ok_or(Refusal::GateClosed("gate 2"))?;
        let GateState::Open { request, .. } = journal.state().gate2.clone() else {
            return Err(Refusal::GateClosed("gate 2").into());
        };
        // What runs is what gate 2 showed, but for what it left to the build agent and for what was accepted since: the
        // same design and facts give the same flow, unless the tools changed.
        let approved: ShownFlow = parse_document(request, journal.blobs(), "approval request")
            .map_err(|error| DriverError::Ledger(error.into()))?;
        if approved.flow != Some(digest_of(&flow.as_approved())?) {
            return Err(DriverError::FlowChanged);
        }
        if let Some(((step, argument), _)) = flow.holes().into_iter().find(|(_, hole)| hole.filled.is_none()) {
            let why = format!("nothing fills `{argument}` of step `{step}`");
            return Err(DriverError::Invalid(ArtifactKind::Flow, why));
        }
        let mut from = vec![design.digest()];
        from.extend(journal.state().talk.draft(ArtifactKind::Flow));
        self.file_artifact(journal, Actor::Agent(Agent::Build), ArtifactKind::Flow, &flow, from)
    }

    fn file_record(&self, journal: &mut Journal, catalog: &Catalog) -> Result<Digest, DriverError> {
        let record = reconcile(&view(journal, catalog))?;
        let kinds = [ArtifactKind::Spec, ArtifactKind::Discovery, ArtifactKind::Design, ArtifactKind::Flow];
        let from = kinds.into_iter().filter_map(|kind| journal.state().artifact(kind)).collect();
        self.file_artifact(journal, Actor::Program, ArtifactKind::Record, &record, from)
    }

    /// Whatever follows, a question, a call or the end, is written in one transaction with it: until then nobody has
    /// seen it, and it is drafted again from the same after a crash.
    fn file_artifact<T: Serialize>(
        &self,
        journal: &mut Journal,
        actor: Actor,
        artifact: ArtifactKind,
        document: &T,
        made_from: Vec<Digest>,
    ) -> Result<Digest, DriverError> {
        let written = Written::of(document)?;
        let digest = written.digest();
        journal.act_soon(journal.now(), actor, Command::File { artifact, digest, made_from }, vec![written])?;
        Ok(digest)
    }
}

/// The flow that gate 2 showed, of all that its request says.
#[derive(Deserialize)]
struct ShownFlow {
    flow: Option<Digest>,
}

fn approved_spec(journal: &Journal) -> Result<ApprovedSpec, DriverError> {
    let spec = ApprovedSpec::spec(journal.state(), journal.documents());
    spec.ok_or_else(|| Refusal::GateClosed("gate 1").into())
}
