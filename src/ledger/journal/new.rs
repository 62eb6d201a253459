//! Documents on their way into the store, beside the events that name them.

use std::sync::Arc;

use crate::{artifact::Written, engagement::Blobs};

/// Documents that are not stored yet, as values and as what is stored.
pub(super) struct New {
    pub(super) values: Blobs,
    pub(super) written: Vec<Arc<Written>>,
}

impl New {
    /// Those of these documents that are not `known`: what is stored, or is written with what is staged, is not written
    /// again.
    pub(super) fn of(documents: &[Arc<Written>], known: &Blobs) -> Self {
        let mut new = Self { values: Blobs::new(), written: Vec::with_capacity(documents.len()) };
        for written in documents {
            let digest = written.digest();
            if !known.holds(&digest) && !new.values.holds(&digest) {
                new.values.add(Arc::clone(written));
                new.written.push(Arc::clone(written));
            }
        }
        new
    }
}
