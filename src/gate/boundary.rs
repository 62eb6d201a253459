//! The boundary of a spec in plain words.

use crate::{artifact::Spec, policy::Catalog};

/// What the spec lets whom do, in plain sentences.
pub fn boundary_words(_spec: &Spec, _catalog: &Catalog) -> Vec<String> {
    Vec::new()
}
