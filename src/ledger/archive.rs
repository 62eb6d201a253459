//! A bundle file: everything that an engagement rests on, in one file that whoever has it checks without a workspace, a
//! network or this program (`tests/bundle.md` says how). Pure: [`super::bundle`] reads and writes it.
//!
//! There is one way to write a bundle, so the same engagement gives the same bytes, and a reader compares: all that the
//! hashes of the chain do not cover (headers, order, padding, the manifest) is held against what writing it again gives.

mod leaves;
mod logged;
mod manifest;
mod packing;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    artifact::{Digest, LedgerId, canonical},
    engagement::{Body, Event, TrustStatement},
    facts::AllowedSigners,
};

pub(super) use leaves::LEAVES;
use logged::{LOG, is_of_the_log};
pub(super) use logged::{PROOF, TRUST_PROOF};
use manifest::{Format, Listed, MANIFEST, Manifest, listed_otherwise, newer, says_otherwise};
use packing::{Packed, file_at, pack, unpack};

use super::{
    bundle::{BLOBS, Bundle, EVENTS, asked_in, joined, lines},
    chain,
    checkpoint::Checkpoint,
    mentions::{Need, all_mentions},
    note::Note,
    signatures::{SIGNATURES, compare_signatures, signature_files},
    verify::{Problem, Verification, raised, untrusted, verify_stages},
};

/// No bundle that is written or read is larger, in bytes.
pub const LARGEST_BUNDLE: u64 = 512 * 1024 * 1024;

/// The folder of the ledger's own chain of trust stages.
const TRUST: &str = "trust";

/// What a bundle file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The engagement; its documents include those that the chain of trust stages names.
    pub engagement: Bundle,
    /// The events of the ledger's own chain of trust stages.
    pub trust: Vec<Vec<u8>>,
    /// What is here of the log over all engagements: the ledger's keys, and proofs, by the names of their files.
    pub log: BTreeMap<String, Vec<u8>>,
}

impl Contents {
    /// The bytes of the bundle file.
    ///
    /// # Errors
    ///
    /// What it is that no bundle can be made of: an event that cannot be read, or a signature whose documents are gone.
    pub fn pack(&self) -> Result<Vec<u8>, Problem> {
        let told = self.told();
        let files = self.files(&told)?;
        let manifest = self.manifest(&told, &files)?;
        Self::packed(files, &manifest)
    }

    fn packed(mut files: BTreeMap<String, Vec<u8>>, manifest: &Manifest) -> Result<Vec<u8>, Problem> {
        let written = canonical(manifest).map_err(|error| Problem::with(MANIFEST, error.to_string()))?;
        files.insert(MANIFEST.to_owned(), written);
        pack(MANIFEST, &files)
            .map_err(|error| Problem::with(MANIFEST, format!("the bundle cannot be written: {error}")))
    }

    fn told(&self) -> Told {
        Told { engagement: read_all(&self.engagement.events), trust: read_all(&self.trust) }
    }

    /// Every file but the manifest, by its path.
    fn files(&self, told: &Told) -> Result<BTreeMap<String, Vec<u8>>, Problem> {
        let mut files = BTreeMap::from([(EVENTS.to_owned(), joined(&self.engagement.events))]);
        for (digest, bytes) in &self.engagement.blobs {
            files.insert(blob_path(digest), bytes.clone());
        }
        for (folder, events) in told.by_folder() {
            for (name, bytes) in signature_files(events, &|digest| self.blob(digest))? {
                files.insert(format!("{folder}/{name}"), bytes);
            }
        }
        if !self.trust.is_empty() {
            files.insert(trust_events(), joined(&self.trust));
        }
        files.extend(self.log_files());
        Ok(files)
    }

    fn manifest(&self, told: &Told, files: &BTreeMap<String, Vec<u8>>) -> Result<Manifest, Problem> {
        let last = told.engagement.last().filter(|_| told.engagement.len() == self.engagement.events.len());
        let last = last.ok_or_else(|| Problem::with(EVENTS, "it is empty, or has an event that cannot be read"))?;
        let files = files.iter().map(|(path, bytes)| Listed::of(path, bytes));
        let gone =
            |(digest, need): &(Digest, Need)| *need != Need::Beside && !self.engagement.blobs.contains_key(digest);
        let left_out = self.named(told).into_iter().filter(gone).map(|(digest, _)| digest);
        Ok(Manifest {
            format: Format::One,
            engagement: last.engagement.clone(),
            ledger: self.ledger(told),
            events: self.engagement.events.len() as u64,
            head: last.hash,
            files: files.collect(),
            left_out: left_out.collect(),
        })
    }

    /// The ledger that it is of, as far as something in it was asked or signed for one.
    fn ledger(&self, told: &Told) -> Option<LedgerId> {
        let asked = told.engagement.iter().find_map(|event| Some(asked_in(event)?.1));
        let signed = || {
            told.trust.iter().find_map(|event| {
                let Body::TrustSet(set) = &event.body else { return None };
                let statement = self.blob(&set.signature.as_ref()?.statement)?;
                Some(serde_json::from_slice::<TrustStatement>(&statement).ok()?.ledger)
            })
        };
        asked.or_else(signed)
    }

    /// What the events name, and how much it is needed.
    fn named(&self, told: &Told) -> BTreeMap<Digest, Need> {
        let mut named = BTreeMap::new();
        let events = told.engagement.iter().chain(&told.trust);
        for (_, mention) in all_mentions(events, &|digest| self.blob(digest)) {
            let need = named.entry(mention.digest).or_insert(mention.need);
            *need = mention.need.min(*need);
        }
        named
    }

    /// Leaves out what tools and models answered, and nothing that anything is shown by.
    pub fn without_results(&mut self) {
        let named = self.named(&self.told());
        self.engagement.blobs.retain(|digest, _| named.get(digest) != Some(&Need::May));
    }

    fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.engagement.blobs.get(digest).cloned()
    }
}

/// The events of both chains, as far as they can be read.
struct Told {
    engagement: Vec<Event>,
    trust: Vec<Event>,
}

impl Told {
    /// The events of each chain with the folder of their signatures.
    fn by_folder(&self) -> [(String, &[Event]); 2] {
        [(SIGNATURES.to_owned(), &self.engagement), (format!("{TRUST}/{SIGNATURES}"), &self.trust)]
    }
}

/// Verifies a bundle file, holding signatures against allowed signers of the verifier's own too, and what it has of the log
/// against published checkpoints where there are some. Whatever the bytes are, the answer is what is wrong with them.
pub fn verify_bundle(bytes: &[u8], own: Option<&AllowedSigners>, published: &[(Checkpoint, Note)]) -> Verification {
    let files = match unpack(bytes) {
        Ok(files) => files,
        Err(problem) => return Verification::unreadable(problem),
    };
    if let Some(format) = files.get(MANIFEST).and_then(|file| newer(file.bytes)) {
        let what =
            format!("says {format}: a newer countersign wrote it, and this one does not read that; use a newer one");
        return Verification::unreadable(Problem::with(MANIFEST, what));
    }
    let mut found = Vec::new();
    let says: Option<Manifest> = match files.get(MANIFEST).map(|file| serde_json::from_slice(file.bytes)) {
        None => {
            found.push(Problem::with(MANIFEST, "is missing, so this is no bundle that `countersign export` wrote"));
            None
        }
        Some(Ok(says)) => Some(says),
        Some(Err(error)) => {
            found.push(Problem::with(MANIFEST, format!("cannot be read: {error}")));
            None
        }
    };
    let each = files.iter().map(|(path, file)| (path.as_str(), file.bytes));
    let listed = says.as_ref().map(|says| listed_otherwise(&says.files, each)).unwrap_or_default();
    let (contents, signatures, unknown) = read_contents(&files);
    found.extend(unknown);
    let told = contents.told();
    let mut verification = contents.engagement.verify_against(own);
    found.extend(verification.problems.drain(..).map(|problem| problem.in_file(EVENTS)));
    found.extend(contents.stages(&told, own, &mut verification.notes));
    found.extend(contents.hold_to_the_log(&told, contents.ledger(&told).as_ref(), published, &mut verification));
    for (folder, events) in told.by_folder() {
        let none = BTreeMap::new();
        let lie_there = signatures.get(&folder).unwrap_or(&none);
        match signature_files(events, &|digest| contents.blob(digest)) {
            Ok(said) => found.extend(compare_signatures(&folder, &said, lie_there)),
            Err(problem) => found.push(problem.in_file(folder)),
        }
    }
    let named = contents.named(&told);
    for digest in contents.engagement.blobs.keys().filter(|digest| !named.contains_key(digest)) {
        found.push(Problem::with(blob_path(digest), "no event names it"));
    }
    for (digest, _) in named.iter().filter(|(_, need)| **need == Need::Extra) {
        if !contents.engagement.blobs.contains_key(digest) {
            verification.notes.push(format!("left out: what calls were decided on ({digest})"));
        }
    }
    let beside = named.iter().filter(|(_, need)| **need == Need::Beside).map(|(digest, _)| digest);
    for digest in beside.filter(|digest| !contents.engagement.blobs.contains_key(digest)) {
        let what = "the record that it starts from, or its flow";
        verification.notes.push(format!("left out: {what}, so what drifted is taken as told ({digest})"));
    }
    let again = contents.files(&told);
    let is = again.as_ref().ok().and_then(|again| contents.manifest(&told, again).ok());
    if let Ok(again) = &again {
        let known: BTreeSet<String> = found.iter().filter_map(|problem| problem.file.clone()).collect();
        let placed = |path: &str| known.contains(path);
        let differs = |(path, file): (&String, &Packed<'_>)| {
            let same = path == MANIFEST || again.get(path).is_none_or(|again| again == file.bytes);
            (!same && !placed(path)).then(|| Problem::with(path, "is not as `countersign export` writes it"))
        };
        let differing: Vec<Problem> = files.iter().filter_map(differs).collect();
        found.extend(differing);
    }
    if let (Some(says), Some(is)) = (&says, &is) {
        found.extend(says_otherwise(says, is));
    }
    if found.is_empty() {
        // The files bear one another out, so it is the manifest that is wrong about them.
        found.extend(listed.into_iter().map(|problem| Problem::with(MANIFEST, format!("is wrong: {problem}"))));
    } else {
        found.splice(0..0, listed);
    }
    if let (true, Ok(again), Some(is)) = (found.is_empty(), again, is) {
        found.extend(packed_otherwise(bytes, &files, Contents::packed(again, &is)));
    }
    verification.ok = found.is_empty();
    verification.problems = found;
    verification.keep_the_first(0);
    verification
}

/// The engagement in a bundle file; what is wrong with it is [`verify_bundle`]'s to say.
pub fn bundled(bytes: &[u8]) -> Bundle {
    unpack(bytes).map(|files| read_contents(&files).0.engagement).unwrap_or_default()
}

/// The files that a bundle file has of the log, by their names; what is in them is [`verify_bundle`]'s to check.
pub fn bundled_log(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    unpack(bytes).map(|files| read_contents(&files).0.log).unwrap_or_default()
}

/// What the files hold, the copies of signatures by their folder, and the files that no bundle has.
#[allow(clippy::type_complexity, reason = "a name for the pair would say less than the pair")]
fn read_contents(
    files: &BTreeMap<String, Packed<'_>>,
) -> (Contents, BTreeMap<String, BTreeMap<String, Vec<u8>>>, Vec<Problem>) {
    let (mut contents, mut unknown) = (Contents::default(), Vec::new());
    let mut signatures: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for (path, file) in files {
        match path.rsplit_once('/').unwrap_or(("", path)) {
            ("", MANIFEST) => {}
            ("", EVENTS) => contents.engagement.events = lines(file.bytes),
            (TRUST, EVENTS) => contents.trust = lines(file.bytes),
            (BLOBS, name) => match name.strip_suffix(".json").map(|hex| format!("sha256:{hex}").parse()) {
                Some(Ok(digest)) => {
                    contents.engagement.blobs.insert(digest, file.bytes.to_vec());
                }
                _ => unknown.push(Problem::with(path, "is no file of a bundle")),
            },
            (folder, name) if folder == SIGNATURES || folder == format!("{TRUST}/{SIGNATURES}") => {
                signatures.entry(folder.to_owned()).or_default().insert(name.to_owned(), file.bytes.to_vec());
            }
            (LOG, name) if is_of_the_log(name) => {
                contents.log.insert(name.to_owned(), file.bytes.to_vec());
            }
            _ => unknown.push(Problem::with(path, "is no file of a bundle")),
        }
    }
    (contents, signatures, unknown)
}

impl Contents {
    /// What is wrong with the chain of trust stages, and with questions that were asked at a stage which it never gave.
    fn stages(&self, told: &Told, own: Option<&AllowedSigners>, notes: &mut Vec<String>) -> Vec<Problem> {
        let (events, found) = verify_stages(&self.trust, self.ledger(told).as_ref(), &|digest| self.blob(digest), own);
        let mut found: Vec<Problem> = found.into_iter().map(|problem| problem.in_file(trust_events())).collect();
        if let (Some(last), true) = (events.last(), found.is_empty()) {
            notes.push(format!("trust: the chain of stages holds up to its event {}, head {}", last.seq, last.hash));
        }
        if self.engagement.rests_on_trust() {
            notes.extend(raised(&told.engagement, &events, &|digest| self.blob(digest)));
        }
        let untrusted = untrusted(&told.engagement, &events, &|digest| self.blob(digest));
        found.extend(untrusted.into_iter().map(|problem| problem.in_file(EVENTS)));
        found
    }
}

/// Where the bytes are not those that writing the same again gives.
fn packed_otherwise(
    bytes: &[u8],
    files: &BTreeMap<String, Packed<'_>>,
    again: Result<Vec<u8>, Problem>,
) -> Option<Problem> {
    let again = match again {
        Ok(again) => again,
        Err(problem) => return Some(problem),
    };
    let at = bytes.iter().zip(&again).position(|(is, should)| is != should);
    let at = at.or_else(|| (bytes.len() != again.len()).then(|| bytes.len().min(again.len())))?;
    let what = format!("at byte {at}: it is not as `countersign export` writes it, though what it holds would stand");
    let problem = Problem { file: None, seq: 0, what };
    Some(match file_at(files, at) {
        Some(path) => problem.in_file(path),
        None => problem,
    })
}

fn read_all(stored: &[Vec<u8>]) -> Vec<Event> {
    stored.iter().filter_map(|bytes| chain::read(bytes).ok()).collect()
}

fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}.json", digest.hex())
}

fn trust_events() -> String {
    format!("{TRUST}/{EVENTS}")
}

#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod tests;
