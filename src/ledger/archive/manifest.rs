//! The manifest of a bundle: what is in it, down to the bytes, and what was left out of it. All of it follows from the
//! other files, so it proves nothing by itself; it is what whoever has no other program checks first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::artifact::{Digest, EngagementId, LedgerId, digest_bytes};

use super::super::verify::Problem;

/// Its path.
pub(super) const MANIFEST: &str = "manifest.json";

/// The format, in which a reader knows its way or does not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Format {
    /// The first.
    #[serde(rename = "countersign-bundle/1")]
    One,
}

/// The format of a manifest that is a later one than any here.
pub(super) fn newer(manifest: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        format: String,
    }
    let Said { format } = serde_json::from_slice(manifest).ok()?;
    let number: u32 = format.strip_prefix("countersign-bundle/")?.parse().ok()?;
    (number > 1).then_some(format)
}

/// The manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: Format,
    pub(super) engagement: EngagementId,
    /// The ledger, where an event names it.
    pub(super) ledger: Option<LedgerId>,
    /// How many events the engagement has.
    pub(super) events: u64,
    /// The hash of the last one.
    pub(super) head: Digest,
    /// Every other file, in the order of their paths.
    pub(super) files: Vec<Listed>,
    /// What the events name and the bundle does not hold, by choice or because the ledger has it no longer.
    pub(super) left_out: Vec<Digest>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    pub(super) path: String,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub(super) sha256: String,
    /// How many bytes it has.
    pub(super) size: u64,
}

impl Listed {
    pub(super) fn of(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), sha256: digest_bytes(bytes).hex(), size: bytes.len() as u64 }
    }
}

/// Where the list of files and the files differ.
pub(super) fn listed_otherwise<'a>(
    listed: &[Listed],
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Vec<Problem> {
    let mut known: BTreeMap<&str, &Listed> = BTreeMap::new();
    let mut found = Vec::new();
    for file in listed {
        if known.insert(&file.path, file).is_some() {
            found.push(Problem::with(&file.path, "stands twice in the manifest"));
        }
    }
    for (path, bytes) in files.filter(|(path, _)| *path != MANIFEST) {
        let is = Listed::of(path, bytes);
        match known.remove(path) {
            None => found.push(Problem::with(path, "is not in the manifest")),
            Some(says) if says.size != is.size => {
                let what = format!("has {} bytes, and the manifest says {}", is.size, says.size);
                found.push(Problem::with(path, what));
            }
            Some(says) if says.sha256 != is.sha256 => {
                let what = format!("hashes to {}, and the manifest says {}", is.sha256, says.sha256);
                found.push(Problem::with(path, what));
            }
            Some(_) => {}
        }
    }
    found.extend(known.keys().map(|path| Problem::with(*path, "is missing, and the manifest lists it")));
    found
}

/// What a manifest says that the files do not bear out, its list of them aside.
pub(super) fn says_otherwise(says: &Manifest, is: &Manifest) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut differ = |what: &str, says: String, is: String| {
        if says != is {
            found.push(Problem::with(MANIFEST, format!("says that the {what} is {says}, and it is {is}")));
        }
    };
    let named = |ledger: &Option<LedgerId>| ledger.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    differ("engagement", says.engagement.to_string(), is.engagement.to_string());
    differ("ledger", named(&says.ledger), named(&is.ledger));
    differ("number of events", says.events.to_string(), is.events.to_string());
    differ("hash of the last event", says.head.to_string(), is.head.to_string());
    let of = |manifest: &Manifest| manifest.left_out.iter().copied().collect::<BTreeSet<_>>();
    let (said, left_out) = (of(says), of(is));
    for digest in left_out.difference(&said) {
        found.push(Problem::with(
            format!("blobs/{}.json", digest.hex()),
            "is missing, and the manifest does not say that it was left out",
        ));
    }
    for digest in said.difference(&left_out) {
        found
            .push(Problem::with(MANIFEST, format!("says that {digest} was left out, which no event names or is here")));
    }
    found
}
