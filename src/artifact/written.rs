//! A document that is filed with many engagements and is written once: its canonical bytes and what names them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::digest::{CanonicalError, Digest, canonical, digest_bytes};

/// A document in canonical form. Nothing can be made that has another digest or says something else than its bytes.
#[derive(Debug)]
pub struct Written {
    digest: Digest,
    bytes: Vec<u8>,
    value: Arc<Value>,
}

impl Written {
    /// Writes it, and reads it back.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] for what has no canonical form, or is nested deeper than a reader goes.
    pub fn of<T: Serialize>(document: &T) -> Result<Self, CanonicalError> {
        let bytes = canonical(document)?;
        let value = Arc::new(serde_json::from_slice(&bytes)?);
        Ok(Self { digest: digest_bytes(&bytes), bytes, value })
    }

    /// What names it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its RFC 8785 form.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub fn value(&self) -> &Arc<Value> {
        &self.value
    }
}
