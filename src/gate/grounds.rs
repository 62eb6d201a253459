//! What a question was decided on, as documents that lie beside it: whoever verifies the chain holds answers and calls
//! against them, and needs no workspace for it.

use serde_json::Value;

use crate::{artifact::CanonicalError, policy::Catalog};

use super::ApprovalRequest;

impl ApprovalRequest {
    /// The people, the policies, and each tool and target that the approval will rest on; each document has the digest by
    /// which the request names it.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] for what cannot be written as JSON.
    pub fn grounds(&self, catalog: &Catalog) -> Result<Vec<Value>, CanonicalError> {
        let on = &self.approved_on;
        let targets = on.entries().filter_map(|(name, _)| catalog.inventory.target(name));
        let mut documents = vec![value(&catalog.people)?, value(&catalog.policies.texts())?];
        documents.extend(on.tools.keys().map(|name| catalog.toolbox.definition_document(name)));
        for target in targets {
            documents.push(value(target)?);
        }
        Ok(documents)
    }
}

fn value<T: serde::Serialize>(of: &T) -> Result<Value, CanonicalError> {
    serde_json::to_value(of).map_err(CanonicalError::from)
}
