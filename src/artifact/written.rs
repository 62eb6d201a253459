//! A document as it is stored: its canonical bytes, what names them, and what they say. It is written once, however many
//! events and engagements it is filed with.

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde_json::Value;

use super::{
    canonical::to_vec_and_depth,
    digest::{CanonicalError, Digest, canonical, digest_bytes},
};

/// A document in canonical form. Nothing can be made that has another digest or says something else than its bytes.
#[derive(Debug)]
pub struct Written {
    digest: Digest,
    bytes: Vec<u8>,
    /// What they say, once somebody asked.
    value: OnceLock<Arc<Value>>,
}

/// How deep `serde_json` reads.
const DEEPEST: u32 = 127;

impl Written {
    /// Writes it.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] for what has no canonical form, or is nested deeper than a reader goes.
    pub fn of<T: Serialize>(document: &T) -> Result<Arc<Self>, CanonicalError> {
        let (bytes, deepest) = to_vec_and_depth(document)?;
        if deepest > DEEPEST {
            serde_json::from_slice::<Value>(&bytes)?;
        }
        Ok(Arc::new(Self { digest: digest_bytes(&bytes), bytes, value: OnceLock::new() }))
    }

    /// The same where it says what `read` finds in its bytes: of a sealed document that is the value in it.
    ///
    /// # Errors
    ///
    /// As [`Written::of`], and whatever `read` gives.
    pub fn read_as<T: Serialize>(
        document: &T,
        read: impl FnOnce(&[u8]) -> serde_json::Result<Value>,
    ) -> Result<Arc<Self>, CanonicalError> {
        let bytes = canonical(document)?;
        let value = OnceLock::from(Arc::new(read(&bytes)?));
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
        // What has a canonical form and is not too deep can be read.
        self.value.get_or_init(|| Arc::new(serde_json::from_slice(&self.bytes).unwrap_or_default()))
    }

    /// Whether what it says was read: at once where that is not what its bytes say, else when it was asked for.
    pub fn is_read(&self) -> bool {
        self.value.get().is_some()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::artifact::nested::deepest;

    #[test]
    fn what_is_written_can_be_read_back_and_what_is_nested_too_deep_is_not_written() {
        let nested = |deep: u32| (1..deep).fold(json!([]), |inner, _| json!([inner, "[[\"]\\", {}]));
        for deep in [1, 2, 100, 126] {
            let document = nested(deep);
            let written = Written::of(&document).unwrap();
            assert!(!written.is_read());
            assert_eq!(**written.value(), document);
            assert!(written.is_read());
            assert_eq!(deepest(written.bytes()), deep);
        }
        assert!(Written::of(&nested(DEEPEST)).is_ok());
        assert!(Written::of(&nested(DEEPEST + 1)).is_err(), "nobody could read it");
    }

    #[test]
    fn a_sealed_document_says_what_is_in_it() {
        let written = Written::read_as(&json!({"sealed": "x"}), |_| Ok(json!("inside"))).unwrap();
        assert!(written.is_read(), "nobody takes its bytes for what it says");
        assert_eq!(**written.value(), json!("inside"));
    }
}
