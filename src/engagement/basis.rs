//! What a decision about a call is made on.

use serde::{Deserialize, Serialize};

use crate::{artifact::Digest, policy::CatalogDigests};

use super::trust::Standing;

/// What a decision is made on: the chain names it, and the ledger keeps it once for all calls that share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// The tools, the inventory, the people and the policies.
    pub catalog: CatalogDigests,
    /// The trust stage, and why it is this one.
    pub standing: Standing,
    /// The end of the chain of trust stages.
    pub trust: Digest,
    /// The commit that the workspace is at.
    pub commit: Option<String>,
}
