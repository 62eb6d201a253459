//! What a question was decided on, as documents that lie beside it: whoever verifies the chain holds answers and calls
//! against them, and needs no workspace for it.

use std::sync::Arc;

use crate::{
    artifact::{CanonicalError, Written},
    policy::Catalog,
};

use super::ApprovalRequest;

impl ApprovalRequest {
    /// The people, the policies, and each tool and target that the approval will rest on; each document has the digest by
    /// which the request names it.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] for what cannot be written as JSON.
    pub fn grounds(&self, catalog: &Catalog) -> Result<Vec<Arc<Written>>, CanonicalError> {
        let (on, decided) = (&self.approved_on, &self.decided_on);
        let mut documents = vec![
            catalog.written(&decided.people, || Written::of(&catalog.people))?,
            catalog.written(&decided.policies, || Written::of(&catalog.policies.texts()))?,
        ];
        for (name, digest) in &on.tools {
            documents.push(catalog.written(digest, || Written::of(&catalog.toolbox.definition_document(name)))?);
        }
        for (name, digest) in on.entries() {
            if let Some(target) = catalog.inventory.target(name) {
                documents.push(catalog.written(digest, || Written::of(target))?);
            }
        }
        Ok(documents)
    }
}
