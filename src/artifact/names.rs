//! Names that travel through the whole program, each checked where it is read.

use std::{borrow::Borrow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::Error as _};

/// A name that does not follow its own rule.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is not a {what}: {rule}")]
pub struct NameError {
    name: String,
    what: &'static str,
    rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { name: text.chars().take(80).collect(), what: $what, rule: $rule })
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn words(text: &str, separators: &[char], longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .split(|c| separators.contains(&c))
            .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
}

fn hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

name! {
    /// A tool's name, such as `dns.record.create`.
    ToolName, "tool name", "use lower-case words joined by dots, such as `dns.record.create`",
    |text| words(text, &['.', '_'], 80)
}
name! {
    /// A step's name within a design, such as `create-vlan`.
    StepId, "step id", "use lower-case words joined by hyphens, such as `create-vlan`",
    |text| words(text, &['-', '_'], 40)
}
name! {
    /// An engagement's short, typeable id, such as `k7m2q`.
    EngagementId, "engagement id", "ids are five letters and digits, such as `k7m2q`",
    |text| text == EngagementId::TRUST || text.len() == 5 && text.bytes().all(|b| EngagementId::ALPHABET.contains(&b))
}
name! {
    /// A ledger's random id, made with it: what keeps an approval for one ledger from being one for another.
    LedgerId, "ledger id", "ledger ids are 32 lower-case hexadecimal digits",
    |text| hexadecimal(text, 32)
}
name! {
    /// Random digits that make each question another, even where it asks the same.
    Nonce, "nonce", "nonces are 32 lower-case hexadecimal digits",
    |text| hexadecimal(text, 32)
}
/// A call's id within its engagement, such as `c12`; the chain cites calls by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct CallId(u32);

impl FromStr for CallId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('c').filter(|n| !n.starts_with(['0', '+'])).and_then(|n| n.parse().ok());
        digits.map(Self).ok_or_else(|| NameError {
            name: text.chars().take(80).collect(),
            what: "call id",
            rule: "call ids are `c` and a number from 1, such as `c12`",
        })
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl Serialize for CallId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl EngagementId {
    /// Crockford's base 32 in lower case: no letter that a person mistakes for a digit.
    pub const ALPHABET: &'static [u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    /// An id, or the beginning of one, as ids are written: in lower case, with a digit for each letter that is taken for it.
    pub fn spelled(typed: &str) -> String {
        let letter = |letter: char| match letter.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        };
        typed.trim().chars().map(letter).collect()
    }

    /// The name of the ledger's own chain of trust stages. Its letters are not all in [`Self::ALPHABET`], so no
    /// engagement can have it.
    pub const TRUST: &'static str = "trust";

    /// The id under which the ledger's own chain of trust stages is kept.
    pub fn trust() -> Self {
        Self(Self::TRUST.to_owned())
    }

    /// An id from random bits; the caller checks that it is free.
    pub fn from_bits(bits: u64) -> Self {
        let letter = |at: u32| {
            let index = (bits >> (at * 5)) & 31;
            Self::ALPHABET.get(index as usize).copied().map_or('0', char::from)
        };
        Self((0..5).map(letter).collect())
    }
}

impl Nonce {
    /// A nonce from random bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }
}

impl CallId {
    /// The id of the engagement's `n`-th call, from 1.
    pub fn nth(n: u64) -> Self {
        Self(u32::try_from(n).unwrap_or(u32::MAX))
    }

    /// Its place among the engagement's calls.
    pub fn number(&self) -> u32 {
        self.0
    }
}

/// Which of the five documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// `spec.yaml`
    Spec,
    /// `discovery.report`
    Discovery,
    /// `solution.design`
    Design,
    /// `automation.flow`
    Flow,
    /// `reconciled.record`
    Record,
}

impl ArtifactKind {
    /// All five, in the order of the phases.
    pub const ALL: [ArtifactKind; 5] = [Self::Spec, Self::Discovery, Self::Design, Self::Flow, Self::Record];

    /// The name of the file that holds it.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Spec => "spec.yaml",
            Self::Discovery => "discovery.report",
            Self::Design => "solution.design",
            Self::Flow => "automation.flow",
            Self::Record => "reconciled.record",
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file_name())
    }
}

/// The phases of an engagement, strictly in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// What is wanted; ends at gate 1.
    Requirements,
    /// What is there; ends with the discovery report.
    Feasibility,
    /// How it will be done; ends at gate 2.
    Design,
    /// It is done.
    Build,
    /// What it came to.
    AsBuilt,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Phase; 5] = [Self::Requirements, Self::Feasibility, Self::Design, Self::Build, Self::AsBuilt];

    /// The word that policies and screens use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requirements => "requirements",
            Self::Feasibility => "feasibility",
            Self::Design => "design",
            Self::Build => "build",
            Self::AsBuilt => "as-built",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// On whose behalf a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Agent {
    /// Drafts the spec; has no tools at all.
    Requirements,
    /// Discovers and designs; reads only.
    Design,
    /// Runs what the design says.
    Build,
    /// The platform's own reader: before-states, read-back, acceptance.
    Verifier,
}

impl Agent {
    /// All agents.
    pub const ALL: [Agent; 4] = [Self::Requirements, Self::Design, Self::Build, Self::Verifier];

    /// The word that policies and screens use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requirements => "requirements",
            Self::Design => "design",
            Self::Build => "build",
            Self::Verifier => "verifier",
        }
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
