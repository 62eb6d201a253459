//! Files a request: checks everything that can be checked before anything is written, then begins the engagement.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    agent::{DraftError, draft_spec},
    artifact::{ArtifactKind, Blueprint, DesignDraft, Digest, EngagementId, InputError, Spec, SpecError, Written},
    engagement::{Actor, RequestDocument, Requested, RequesterSaid, sealing_key},
    facts::{Identity, Role},
    ledger::{Journal, LedgerError},
    policy::{check_design, holes_for_nobody, spec_problems},
};

use super::{error::WorkspaceError, workspace::Workspace};

/// What someone asks for.
#[derive(Clone, Debug, Default)]
pub struct NewRequest {
    /// The blueprint to draft from.
    pub blueprint: Option<Blueprint>,
    /// Its inputs, as given.
    pub inputs: Map<String, Value>,
    /// A hand-written spec.
    pub spec: Option<Spec>,
    /// A hand-written design.
    pub design: Option<DesignDraft>,
    /// The closed engagement whose record this starts from.
    pub from: Option<EngagementId>,
    /// What is asked for in words; models draft it.
    pub text: Option<String>,
    /// Blueprints that are like it, the nearest first, as material for the models.
    pub material: Vec<Blueprint>,
}

/// A request that is not filed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The words are none, or too many.
    #[error("say in 1 to {} bytes what is wanted", RequesterSaid::LONGEST)]
    Text,
    /// The inputs do not fit.
    #[error(transparent)]
    Input(#[from] InputError),
    /// There is nothing to draft from, or it does not come out as a spec.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The spec or the design says something that cannot stand.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Problems(Vec<SpecError>),
    /// The baseline is not a closed engagement with a record.
    #[error(
        "{0} has no reconciled record to start from: it is not closed yet, or it ended before anything was read; leave out `--from`"
    )]
    NoBaseline(EngagementId),
    /// The person may not.
    #[error(
        "this needs the role `{role}`, which `{name}` does not have; ask an owner to add it in policies/people.yaml"
    )]
    NotInRole {
        /// The person.
        name: String,
        /// The role.
        role: Role,
    },
    /// The workspace cannot be used.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is nothing to make a key from.
    #[error("the system gives no random numbers: {0}; see that /dev/urandom can be read")]
    Random(String),
    /// The request has no canonical form.
    #[error("the request cannot be written down: {0}")]
    Unwritable(String),
}

/// Begins an engagement, or says why not and leaves nothing behind.
pub async fn file_request(
    workspace: &Workspace,
    new: NewRequest,
    identity: Identity,
    now: Timestamp,
) -> Result<Journal, RequestError> {
    let catalog = workspace.load_catalog()?;
    if !catalog.people.roles(&identity).contains(&Role::Requester) {
        return Err(RequestError::NotInRole { name: identity.name, role: Role::Requester });
    }
    if let Some(text) = new.text.clone() {
        return file_in_words(workspace, new, text, identity, now).await;
    }
    let inputs = match &new.blueprint {
        Some(blueprint) => blueprint.check_inputs(&new.inputs)?,
        None => new.inputs,
    };
    let baseline = match &new.from {
        None => None,
        Some(id) => Some(baseline(workspace, id).await?),
    };
    let name = new.blueprint.as_ref().map(|blueprint| blueprint.name.clone());
    let request = RequestDocument {
        blueprint: new.blueprint,
        inputs,
        spec: new.spec,
        design: new.design,
        baseline,
        ..RequestDocument::default()
    };
    let document = Written::of(&request).map_err(|error| RequestError::Unwritable(error.to_string()))?;
    let digest = document.digest();
    let spec = draft_spec(&request, digest)?;
    let mut problems = spec_problems(&spec, &catalog);
    match request.design_draft() {
        Some(draft) if problems.is_empty() => {
            problems = check_design(draft, &spec, &catalog);
            problems.extend(holes_for_nobody(&draft.steps));
        }
        None if !spec.boundary.build.is_empty() => {
            problems.push(SpecError::new(
                "boundary.build",
                "it grants building, but there is no design; give one with `--design`",
            ));
        }
        _ => {}
    }
    if !problems.is_empty() {
        if request.blueprint.is_some() {
            problems = said_once(problems, &request.inputs);
        }
        return Err(RequestError::Problems(problems));
    }
    let (key, seal) = new_seal()?;
    let requested =
        Requested { request: digest, title: spec.title.clone(), blueprint: name, from: new.from, model: false, seal };
    let id = free_id(workspace).await?;
    Ok(Journal::begin(workspace.store().clone(), id, Actor::Person(identity), now, requested, &[document, key]).await?)
}

/// Begins an engagement that models draft. A blueprint is material like others, the first of them; of its inputs those
/// that are given are checked, and the rest is left to the agent to ask.
async fn file_in_words(
    workspace: &Workspace,
    new: NewRequest,
    text: String,
    identity: Identity,
    now: Timestamp,
) -> Result<Journal, RequestError> {
    let text = text.trim().to_owned();
    if text.is_empty() || text.len() > RequesterSaid::LONGEST {
        return Err(RequestError::Text);
    }
    let baseline = match &new.from {
        None => None,
        Some(id) => Some(baseline(workspace, id).await?),
    };
    let inputs = match &new.blueprint {
        Some(blueprint) => blueprint.check_given(&new.inputs)?,
        None => new.inputs,
    };
    let mut material: Vec<Blueprint> = new.blueprint.into_iter().collect();
    for blueprint in new.material {
        if !material.contains(&blueprint) {
            material.push(blueprint);
        }
    }
    let request = RequestDocument { inputs, baseline, text: Some(text), material, ..RequestDocument::default() };
    let title = request.title().unwrap_or_default();
    let document = Written::of(&request).map_err(|error| RequestError::Unwritable(error.to_string()))?;
    let digest = document.digest();
    let (key, seal) = new_seal()?;
    let requested = Requested { request: digest, title, blueprint: None, from: new.from, model: true, seal };
    let id = free_id(workspace).await?;
    Ok(Journal::begin(workspace.store().clone(), id, Actor::Person(identity), now, requested, &[document, key]).await?)
}

/// A target that the inventory does not know shows wherever a blueprint uses the input that names it; it is said once,
/// of the input.
fn said_once(problems: Vec<SpecError>, inputs: &Map<String, Value>) -> Vec<SpecError> {
    let mut said: Vec<SpecError> = Vec::new();
    for problem in problems {
        let unknown = problem.message.strip_prefix("the inventory has no target `");
        let unknown = unknown.and_then(|rest| rest.split('`').next());
        let names = |value: &Value| match value {
            Value::String(text) => Some(text.as_str()) == unknown,
            Value::Array(items) => items.iter().any(|item| item.as_str().is_some() && item.as_str() == unknown),
            _ => false,
        };
        let input = unknown.and_then(|_| inputs.iter().find(|(_, value)| names(value)));
        let problem = match input {
            Some((name, _)) => SpecError::new(format!("input `{name}`"), problem.message),
            None => problem,
        };
        if !said.contains(&problem) {
            said.push(problem);
        }
    }
    said
}

async fn baseline(workspace: &Workspace, id: &EngagementId) -> Result<Digest, RequestError> {
    let journal = Journal::open(workspace.store().clone(), id).await?;
    let record = journal.state().artifact(ArtifactKind::Record).filter(|_| journal.state().closed.is_some());
    record.ok_or_else(|| RequestError::NoBaseline(id.clone()))
}

/// The key that a new engagement seals with, and its digest.
fn new_seal() -> Result<(Arc<Written>, Option<Digest>), RequestError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| RequestError::Random(error.to_string()))?;
    let key = Written::of(&sealing_key(random)).map_err(|error| RequestError::Unwritable(error.to_string()))?;
    let digest = key.digest();
    Ok((key, Some(digest)))
}

/// A short id that no engagement has.
async fn free_id(workspace: &Workspace) -> Result<EngagementId, RequestError> {
    loop {
        // An id is no secret; the hasher's own random keys are enough to make it new.
        let id = EngagementId::from_bits(RandomState::new().build_hasher().finish());
        if workspace.store().events(&id, 0).await?.is_empty() {
            return Ok(id);
        }
    }
}
