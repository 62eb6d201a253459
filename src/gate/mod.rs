//! What a person is asked at a gate: the approval request, whose digest an answer names, and the screen that shows
//! it. Everything on it is computed from the chain, the tools and the inventory, and is the same for the same
//! chain; there is no time in it. Pure: it shows and never decides. Terminal, chat and export render the screen.

mod boundary;
mod changes;
mod render;
mod screen;
mod text;

use serde::{Deserialize, Serialize};

use crate::{
    artifact::{ArtifactKind, CanonicalError, Digest, EngagementId, NodeId},
    engagement::{About, NextError, View},
    facts::{Facts, Role, spec_facts},
    policy::{Catalog, CatalogDigests},
};

pub use boundary::boundary_words;
pub use changes::what_changed;
pub use render::{Style, render};
pub use screen::{Line, Screen, Section};

/// What a person decides on: an approval names the digest of exactly this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Always `approval_request`.
    pub kind: ApprovalRequestKind,
    /// The engagement.
    pub engagement: EngagementId,
    /// What is asked.
    pub about: About,
    /// The version of the spec (gate 1) or of the design (everything else).
    pub version: u32,
    /// The digest of that artifact.
    pub artifact: Option<Digest>,
    /// The digest of the flow that the design gives: at gate 2 as previewed, later as filed.
    pub flow: Option<Digest>,
    /// What the program computed about it.
    pub facts: Facts,
    /// What it was decided on.
    pub decided_on: CatalogDigests,
    /// The calls that a yes lets run, each once.
    pub calls: Vec<OfferedCall>,
    /// The role that may answer.
    pub role: Role,
    /// The text that is shown.
    pub screen: Screen,
}

/// The `kind` of an approval request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalRequestKind {
    /// An approval request.
    #[default]
    ApprovalRequest,
}

/// A call that a yes lets run once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferedCall {
    /// The node that makes it.
    pub node: NodeId,
    /// The digest of exactly this call, see [`crate::engagement::call_digest`].
    pub call: Digest,
    /// The call in plain words.
    pub sentence: String,
    /// Whether it removes something or cannot be taken back; such a call is ticked by itself.
    pub destructive: bool,
}

/// A question that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A document is missing.
    #[error("the {0} is not there")]
    Missing(ArtifactKind),
    /// There is no such node, call or deviation.
    #[error("there is nothing to ask about {0}")]
    NothingToAsk(About),
    /// The design does not become a flow.
    #[error(transparent)]
    Next(#[from] NextError),
    /// Something has no canonical form, so it has no digest.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// The question as the chain and the catalog stand: the same for the same chain, blobs and catalog.
pub fn approval_request(view: &View<'_>, catalog: &Catalog, about: &About) -> Result<ApprovalRequest, GateError> {
    let kind = if *about == About::Gate1 { ArtifactKind::Spec } else { ArtifactKind::Design };
    let filed = view.state.artifacts.get(&kind).ok_or(GateError::Missing(kind))?;
    let spec = view.documents.spec().ok_or(GateError::Missing(ArtifactKind::Spec))?;
    Ok(ApprovalRequest {
        kind: ApprovalRequestKind::ApprovalRequest,
        engagement: view.state.id.clone(),
        about: about.clone(),
        version: filed.version,
        artifact: Some(filed.digest),
        flow: if *about == About::Gate2 { Some(crate::artifact::digest_of(&view.preview()?)?) } else { None },
        facts: spec_facts(spec, &catalog.toolbox, &catalog.inventory),
        decided_on: catalog.digests()?,
        calls: if *about == About::Gate2 {
            view.preview()?
                .nodes
                .iter()
                .filter_map(|n| {
                    Some(OfferedCall {
                        node: n.id.clone(),
                        call: crate::engagement::call_digest(
                            &view.state.id,
                            Some(&n.id),
                            n.step.tool.as_str(),
                            &n.known_args()?,
                        )
                        .ok()?,
                        sentence: String::new(),
                        destructive: false,
                    })
                })
                .collect()
        } else {
            Vec::new()
        },
        role: Role::Approver,
        screen: Screen::default(),
    })
}
