//! The current artifacts of an engagement as typed documents, parsed once a version.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    artifact::{
        ArtifactKind, AutomationFlow, Blueprint, DesignDraft, Digest, DiscoveryReport, ReconciledRecord,
        SolutionDesign, Spec, SpecError, digest_of,
    },
    policy::ApprovedOn,
};

use super::{
    blobs::Blobs,
    considered::with_accepted,
    planned::Planned,
    state::{Gate, GateState, State},
};

/// A document that the chain names cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is not stored.
    #[error("{what} {digest} is not in the ledger; restore the ledger from a backup")]
    Missing {
        /// What it is.
        what: String,
        /// Its digest.
        digest: Digest,
    },
    /// It is not what it should be.
    #[error("{what} {digest} cannot be read: {reason}")]
    Unreadable {
        /// What it is.
        what: String,
        /// Its digest.
        digest: Digest,
        /// Why.
        reason: String,
    },
}

/// The request: everything that drafting needs, copied into the engagement.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestDocument {
    /// The blueprint, where there is one.
    pub blueprint: Option<Blueprint>,
    /// The inputs, in normal form.
    pub inputs: serde_json::Map<String, Value>,
    /// A hand-written spec.
    pub spec: Option<Spec>,
    /// A hand-written design draft.
    pub design: Option<DesignDraft>,
    /// The digest of the record that this starts from.
    pub baseline: Option<Digest>,
    /// What was asked for, in the requester's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Blueprints that are like it, as material for whoever drafts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub material: Vec<Blueprint>,
}

impl RequestDocument {
    /// How much of the words of a request its title has, in characters.
    const LONGEST_TITLE: usize = 80;

    /// What the engagement is called until there is a spec: the first line of the words, or what the first spec will say;
    /// nothing where it gives nothing to draft from.
    pub fn title(&self) -> Option<String> {
        if let Some(text) = &self.text {
            let line = text.lines().next().unwrap_or_default();
            let mut title: String = line.chars().take(Self::LONGEST_TITLE).collect();
            if title.len() < text.len() {
                title.push('…');
            }
            return Some(title);
        }
        if let Some(spec) = &self.spec {
            return Some(spec.title.clone());
        }
        let drafted = self.blueprint.as_ref()?.draft_spec(&self.inputs);
        Some(drafted.ok()?.title)
    }

    /// What the design is drafted from; nothing for an audit.
    pub fn design_draft(&self) -> Option<&DesignDraft> {
        self.design.as_ref().or_else(|| self.blueprint.as_ref().map(|blueprint| &blueprint.design))
    }

    /// The spec that the blueprint gives for these inputs; nothing without a blueprint. `digest` is the request's own.
    pub fn expansion(&self, digest: Digest) -> Option<Result<Spec, SpecError>> {
        let drafted = self.blueprint.as_ref()?.draft_spec(&self.inputs);
        Some(drafted.map(|spec| Spec { request: Some(digest), baseline: self.baseline, ..spec }))
    }
}

/// The current documents.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    request: Option<(Digest, Arc<RequestDocument>)>,
    spec: Option<(Digest, Arc<Spec>)>,
    discovery: Option<(Digest, Arc<DiscoveryReport>)>,
    design: Option<(Digest, Arc<SolutionDesign>)>,
    flow: Option<(Digest, Arc<AutomationFlow>)>,
    /// The same with the calls that were accepted after failures, and how many those are.
    running: Option<(Digest, usize, Arc<AutomationFlow>)>,
    record: Option<(Digest, Arc<ReconciledRecord>)>,
    facts: Option<(Digest, Arc<Value>)>,
    expanded: Option<Expanded>,
    /// The reads that follow from them.
    pub(super) planned: Planned,
    /// The approved requests of gates 1 and 2, and what those approvals rest on once somebody asked.
    approved_on: [(Option<Digest>, OnceLock<Arc<ApprovedOn>>); 2],
}

/// A blueprint and what it gives, told by their digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// The request that it was worked out for.
    request: Digest,
    /// The blueprint.
    pub blueprint: Digest,
    /// The spec that it gives for the inputs of the request.
    pub spec: Digest,
}

impl Expanded {
    fn of(request: &RequestDocument, digest: Digest) -> Option<Self> {
        let spec = request.expansion(digest)?.ok()?;
        let blueprint = digest_of(request.blueprint.as_ref()?).ok()?;
        Some(Self { request: digest, blueprint, spec: digest_of(&spec).ok()? })
    }
}

impl Documents {
    /// Parses what has changed since the last time.
    pub fn refresh(&mut self, state: &State, blobs: &Blobs) -> Result<(), DocumentError> {
        self.refresh_among(state, &[blobs])
    }

    /// The same, where a document may lie in any of these.
    pub fn refresh_among(&mut self, state: &State, blobs: &[&Blobs]) -> Result<(), DocumentError> {
        keep(&mut self.request, Some(state.requested.request), blobs, "request")?;
        if self.expanded.is_none_or(|expanded| expanded.request != state.requested.request) {
            self.expanded = self.request.as_ref().and_then(|(digest, request)| Expanded::of(request.as_ref(), *digest));
        }
        keep(&mut self.spec, state.artifact(ArtifactKind::Spec), blobs, "spec.yaml")?;
        keep(&mut self.discovery, state.artifact(ArtifactKind::Discovery), blobs, "discovery.report")?;
        keep(&mut self.design, state.artifact(ArtifactKind::Design), blobs, "solution.design")?;
        keep(&mut self.flow, state.artifact(ArtifactKind::Flow), blobs, "automation.flow")?;
        let accepted = state.accepted_after().count();
        self.running = match (&self.flow, self.running.take()) {
            (Some((digest, _)), Some(known)) if (known.0, known.1) == (*digest, accepted) => Some(known),
            (Some((digest, flow)), _) if accepted > 0 => {
                Some((*digest, accepted, Arc::new(with_accepted(flow, state))))
            }
            _ => None,
        };
        keep(&mut self.record, state.artifact(ArtifactKind::Record), blobs, "reconciled.record")?;
        for (gate, known) in [Gate::One, Gate::Two].into_iter().zip(&mut self.approved_on) {
            let request = match state.gate(gate) {
                GateState::Open { request, .. } => Some(*request),
                _ => None,
            };
            if known.0 != request {
                *known = (request, OnceLock::new());
            }
        }
        self.facts = match &self.discovery {
            None => None,
            Some((digest, _)) if self.facts.as_ref().is_some_and(|(known, _)| known == digest) => self.facts.take(),
            Some((digest, report)) => Some((*digest, Arc::new(facts(report, blobs, &state.redacted)?))),
        };
        Ok(())
    }

    /// The current artifacts as far as they are there and can be read. Without the facts, which take the results: enough
    /// to look at a record, and nothing to go on with. Where there is a flow, discovery says nothing more of the end. A
    /// flow that was read before, with its digest, is not read again.
    pub fn readable(state: &State, blobs: &Blobs, flow: Option<(Digest, Arc<AutomationFlow>)>) -> Self {
        let mut documents = Self { flow, ..Self::default() };
        let all = [blobs];
        // What is missing or unreadable is left out, and whoever asks for it says so.
        let of = |kind: ArtifactKind| state.artifact(kind);
        let _ = keep(&mut documents.spec, of(ArtifactKind::Spec), &all, "spec.yaml");
        let _ = keep(&mut documents.design, of(ArtifactKind::Design), &all, "solution.design");
        let _ = keep(&mut documents.flow, of(ArtifactKind::Flow), &all, "automation.flow");
        if documents.flow.is_none() {
            let _ = keep(&mut documents.discovery, of(ArtifactKind::Discovery), &all, "discovery.report");
        }
        documents.running(state)
    }

    /// A spec and a flow that were read before, with their digests, and nothing else: enough to look at a step.
    pub fn given(state: &State, spec: (Digest, Arc<Spec>), flow: (Digest, Arc<AutomationFlow>)) -> Self {
        Self { spec: Some(spec), flow: Some(flow), ..Self::default() }.running(state)
    }

    /// What a design is drafted from, and the design, each read before, with its digest; and the facts of the report.
    ///
    /// # Errors
    ///
    /// If something that was read is not there.
    pub fn drafting(
        (state, blobs): (&State, &Blobs),
        (request, spec): ((Digest, Arc<RequestDocument>), (Digest, Arc<Spec>)),
        discovery: Option<(Digest, Arc<DiscoveryReport>)>,
        design: Option<(Digest, Arc<SolutionDesign>)>,
    ) -> Result<Self, DocumentError> {
        let of = |(digest, report): &(Digest, Arc<DiscoveryReport>)| {
            Ok((*digest, Arc::new(facts(report, &[blobs], &state.redacted)?)))
        };
        let facts = discovery.as_ref().map(of).transpose()?;
        Ok(Self { request: Some(request), spec: Some(spec), discovery, design, facts, ..Self::default() })
    }

    fn running(mut self, state: &State) -> Self {
        let accepted = state.accepted_after().count();
        self.running = match &self.flow {
            Some((digest, flow)) if accepted > 0 => Some((*digest, accepted, Arc::new(with_accepted(flow, state)))),
            _ => None,
        };
        self
    }

    /// What the engagement is called: as its current spec says or, before there is one, as the request does.
    pub fn title<'a>(&'a self, state: &'a State) -> &'a str {
        self.spec().map_or(state.requested.title.as_str(), |spec| spec.title.as_str())
    }

    /// The request.
    pub fn request(&self) -> Option<&Arc<RequestDocument>> {
        self.request.as_ref().map(|(_, request)| request)
    }

    /// The blueprint and the spec that it gives, by digest; nothing where the spec was written by hand.
    pub fn expanded(&self) -> Option<Expanded> {
        self.expanded
    }

    /// The current spec, approved or not.
    pub fn spec(&self) -> Option<&Arc<Spec>> {
        self.spec.as_ref().map(|(_, spec)| spec)
    }

    /// The current discovery report.
    pub fn discovery(&self) -> Option<&Arc<DiscoveryReport>> {
        self.discovery.as_ref().map(|(_, report)| report)
    }

    /// The current design, approved or not.
    pub fn design(&self) -> Option<&Arc<SolutionDesign>> {
        self.design.as_ref().map(|(_, design)| design)
    }

    /// The current flow, with the calls that were accepted after failures.
    pub fn flow(&self) -> Option<&Arc<AutomationFlow>> {
        match &self.running {
            Some((.., flow)) => Some(flow),
            None => self.flow.as_ref().map(|(_, flow)| flow),
        }
    }

    /// The reconciled record.
    pub fn record(&self) -> Option<&Arc<ReconciledRecord>> {
        self.record.as_ref().map(|(_, record)| record)
    }

    /// What the approval of a gate that stands open rests on; nothing where it cannot be read now.
    pub fn approved_on(&self, gate: Gate, state: &State, blobs: &Blobs) -> Option<&ApprovedOn> {
        let GateState::Open { request, .. } = state.gate(gate) else { return None };
        let known =
            self.approved_on.iter().find(|(known, _)| known.as_ref() == Some(request)).map(|(_, known)| known)?;
        match known.get() {
            Some(known) => Some(known),
            None => approved(request, blobs).map(|read| &**known.get_or_init(|| Arc::new(read))),
        }
    }

    /// What the approval that was asked for with this request rests on; nothing where it cannot be read now.
    pub fn approved_in(&self, request: &Digest, state: &State, blobs: &Blobs) -> Option<Cow<'_, ApprovedOn>> {
        let asked = |gate: &Gate| matches!(state.gate(*gate), GateState::Open { request: open, .. } if open == request);
        match [Gate::One, Gate::Two].into_iter().find(asked) {
            Some(gate) => self.approved_on(gate, state, blobs).map(Cow::Borrowed),
            None => approved(request, blobs).map(Cow::Owned),
        }
    }

    /// What discovery read, as expressions know it: `facts.READ` or `facts.READ.ITEM`.
    pub fn facts(&self) -> Option<&Arc<Value>> {
        self.facts.as_ref().map(|(_, facts)| facts)
    }
}

/// The part of an approval request that its approval rests on.
#[derive(serde::Deserialize)]
struct Approved {
    approved_on: ApprovedOn,
}

fn approved(request: &Digest, blobs: &Blobs) -> Option<ApprovedOn> {
    parse_among(*request, &[blobs], "the approved request").ok().map(|read: Approved| read.approved_on)
}

fn keep<T: DeserializeOwned>(
    slot: &mut Option<(Digest, Arc<T>)>,
    digest: Option<Digest>,
    blobs: &[&Blobs],
    what: &str,
) -> Result<(), DocumentError> {
    match digest {
        None => *slot = None,
        Some(digest) if slot.as_ref().is_some_and(|(known, _)| *known == digest) => {}
        Some(digest) => *slot = Some((digest, Arc::new(parse_among(digest, blobs, what)?))),
    }
    Ok(())
}

/// A stored document that is not sealed as a `T`, which need not be made a value first.
pub fn parse<T: DeserializeOwned>(digest: Digest, blobs: &Blobs, what: &str) -> Result<T, DocumentError> {
    parse_among(digest, &[blobs], what)
}

/// A stored document as a `T`.
pub fn read<T: DeserializeOwned>(digest: Digest, blobs: &Blobs, what: &str) -> Result<T, DocumentError> {
    read_among(digest, &[blobs], what)
}

fn stored<'a>(digest: &Digest, blobs: &[&'a Blobs]) -> Option<&'a Arc<Value>> {
    blobs.iter().find_map(|some| some.get(digest))
}

fn read_among<T: DeserializeOwned>(digest: Digest, blobs: &[&Blobs], what: &str) -> Result<T, DocumentError> {
    let value = stored(&digest, blobs).ok_or_else(|| DocumentError::Missing { what: what.to_owned(), digest })?;
    T::deserialize(value.as_ref()).map_err(|error| DocumentError::Unreadable {
        what: what.to_owned(),
        digest,
        reason: error.to_string(),
    })
}

/// The same for a document that is not sealed, which need not be made a value first where only this is read from it.
/// What does not read so is read the other way, which also says what is wrong with it.
fn parse_among<T: DeserializeOwned>(digest: Digest, blobs: &[&Blobs], what: &str) -> Result<T, DocumentError> {
    // Where one holds it no other fetches it.
    let holder = blobs.iter().find(|some| some.holds(&digest));
    let bytes = match holder {
        Some(holder) => holder.bytes(&digest),
        None => blobs.iter().find_map(|some| some.bytes(&digest)),
    };
    match bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        Some(parsed) => Ok(parsed),
        None => read_among(digest, blobs, what),
    }
}

/// What was redacted is not among them; nothing rests on facts any more then.
fn facts(report: &DiscoveryReport, blobs: &[&Blobs], redacted: &BTreeSet<Digest>) -> Result<Value, DocumentError> {
    let mut facts = serde_json::Map::new();
    for read in report.reads.iter().filter(|read| !redacted.contains(&read.result)) {
        let result = stored(&read.result, blobs).ok_or_else(|| DocumentError::Missing {
            what: format!("the result of {}", read.call),
            digest: read.result,
        })?;
        match &read.item {
            None => {
                facts.insert(read.id.to_string(), result.as_ref().clone());
            }
            Some(item) => {
                let of = facts.entry(read.id.to_string()).or_insert_with(|| Value::Object(serde_json::Map::new()));
                if let Value::Object(map) = of {
                    map.insert(item.clone(), result.as_ref().clone());
                }
            }
        }
    }
    Ok(Value::Object(facts))
}
