//! A document as it is stored: its canonical bytes, what names them, and what they say. It is written once, however many
//! events and engagements it is filed with.

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
    pub fn of<T: Serialize>(document: &T) -> Result<Arc<Self>, CanonicalError> {
        Self::read_as(document, |bytes| serde_json::from_slice(bytes))
    }

    /// The same where it says what `read` finds in its bytes: of a sealed document that is the value in it.
    ///
    /// # Errors
    ///
    /// As [`Written::of`].
    pub fn read_as<T: Serialize>(
        document: &T,
        read: impl FnOnce(&[u8]) -> serde_json::Result<Value>,
    ) -> Result<Arc<Self>, CanonicalError> {
        let bytes = canonical(document)?;
        let value = Arc::new(read(&bytes)?);
        Ok(Arc::new(Self { digest: digest_bytes(&bytes), bytes, value }))
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
