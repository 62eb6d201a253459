//! SHA-256 digests over RFC 8785 canonical JSON: the one way this program says "these exact bytes".

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::Error as _};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Digest([u8; 32]);

/// The text is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest: write `sha256:` and 64 hexadecimal digits")]
pub struct ParseDigestError(String);

/// The value has no RFC 8785 form (a float that is not finite, a map key that is not text).
#[derive(Debug, thiserror::Error)]
#[error("this value has no canonical JSON form (RFC 8785)")]
pub struct CanonicalError(#[source] serde_json::Error);

/// The RFC 8785 (JCS) bytes of a value.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    serde_json_canonicalizer::to_vec(value).map_err(CanonicalError)
}

/// The digest of a value's canonical bytes.
pub fn digest_of<T: Serialize>(value: &T) -> Result<Digest, CanonicalError> {
    Ok(digest_bytes(&canonical(value)?))
}

/// The digest of bytes as they are.
pub fn digest_bytes(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

impl Digest {
    /// The digest that stands before the first event of a chain.
    pub const ZERO: Digest = Digest([0; 32]);

    /// The first twelve hexadecimal digits: enough for a person to compare, never used to decide.
    pub fn short(&self) -> String {
        self.hex().chars().take(12).collect()
    }

    /// The raw 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
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
        let hex = text.strip_prefix("sha256:").ok_or_else(wrong)?;
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong)?;
        }
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
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
    fn only_the_one_spelling_is_a_digest() {
        for wrong in ["", "sha256:", "SHA256:00", &format!("sha256:{}", "G".repeat(64)), &"a".repeat(64)] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
