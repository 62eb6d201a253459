//! SHA-256 digests over RFC 8785 canonical JSON: the one way this program says "these exact bytes".

use std::{cmp::Ordering, fmt, str::FromStr};

use faster_hex::{CheckCase, hex_decode_array_with_case};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::Visitor, ser::Error};
use sha2::{Digest as _, Sha256};

use super::canonical::to_vec;

/// What stands before the digits.
const ALGORITHM: &str = "sha256:";

/// A SHA-256 digest, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Digest([u8; 32]);

/// The text is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest: write `sha256:` and 64 hexadecimal digits")]
pub struct ParseDigestError(String);

/// The value has no RFC 8785 form (a map key that is not text, or that stands twice).
#[derive(Debug, thiserror::Error)]
#[error("this value has no canonical JSON form (RFC 8785)")]
pub struct CanonicalError(#[from] serde_json::Error);

/// The RFC 8785 (JCS) bytes of a value.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    to_vec(value).map_err(CanonicalError)
}

/// The digest of a value's canonical bytes.
pub fn digest_of<T: Serialize>(value: &T) -> Result<Digest, CanonicalError> {
    Ok(digest_bytes(&canonical(value)?))
}

/// The digest of bytes as they are.
pub fn digest_bytes(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Digests bytes that come one part after the other.
#[derive(Clone, Debug, Default)]
pub struct Digester(Sha256);

impl Digester {
    /// Takes the next part.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all parts together.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// As their bytes are; the first eight nearly always tell, and are compared as one number: digests are looked up all the time.
impl Ord for Digest {
    fn cmp(&self, other: &Self) -> Ordering {
        let first = |digest: &Self| digest.0.first_chunk().map(|first| u64::from_be_bytes(*first));
        first(self).cmp(&first(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Digest {
    /// The digest that stands before the first event of a chain.
    pub const ZERO: Digest = Digest([0; 32]);

    /// The first twelve hexadecimal digits: enough for a person to compare, never used to decide.
    pub fn short(&self) -> String {
        self.hex().chars().take(12).collect()
    }

    /// The digest that these bytes are.
    pub(crate) fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.to_string().split_off(ALGORITHM.len())
    }

    /// As it is written, without an allocation: every event names several.
    fn written(&self) -> [u8; 71] {
        let mut written = *b"sha256:________________________________________________________________";
        // There is room for two letters a byte.
        let _ = faster_hex::hex_encode(&self.0, written.split_at_mut(ALGORITHM.len()).1);
        written
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.written()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseDigestError(text.to_owned());
        let hex = text.strip_prefix(ALGORITHM).ok_or_else(wrong)?;
        hex_decode_array_with_case(hex.as_bytes(), CheckCase::Lower).map(Digest).map_err(|_| wrong())
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.written()).map_err(S::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Written)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn key_order_and_spacing_do_not_change_a_digest() {
        let one = digest_of(&json!({"a": 1, "b": [true, null]})).unwrap();
        let other = digest_of(&serde_json::from_str::<serde_json::Value>("{ \"b\":[true,null], \"a\":1.0 }").unwrap());
        assert_eq!(one, other.unwrap());
        assert_eq!(one, one.to_string().parse().unwrap());
    }

    #[test]
    fn parts_have_the_digest_of_the_whole() {
        let mut parts = Digester::default();
        [&b"counter"[..], b"", b"sign"].into_iter().for_each(|part| parts.update(part));
        assert_eq!(parts.finish(), digest_bytes(b"countersign"));
    }

    #[test]
    fn only_the_one_spelling_is_a_digest() {
        for wrong in [
            "",
            "sha256:",
            "SHA256:00",
            &format!("sha256:{}", "G".repeat(64)),
            &"a".repeat(64),
            &format!("sha256:{}", "A".repeat(64)),
            &format!("sha256:{}", "a".repeat(63)),
            &format!("sha256:{}", "a".repeat(62)),
            &format!("sha256:{}", "a".repeat(66)),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
