//! What `ssh-keygen -Y verify` wants of each signed event, as files under the number of the event: the bytes that were
//! signed, the signature, and whose keys signed for whom then. All of it stands in the chain; these are copies for
//! whoever checks without this program, so they are held against it. Pure.

use std::collections::BTreeMap;

use crate::{
    artifact::Digest,
    engagement::{Body, Event, Signature},
    facts::AllowedSigners,
};

use super::verify::Problem;

/// The folder that they lie in.
pub(super) const SIGNATURES: &str = "signatures";

/// All of them together are no larger: a few kilobytes are signed at a time, and events name them by digest, so that a
/// small bundle could want copies without end.
const MOST: usize = 64 << 20;

/// The files of every signed event, by their names in the folder; or the first event whose files cannot be made, since
/// something that it names is missing or was changed.
pub(super) fn signature_files(
    events: &[Event],
    blob: &dyn Fn(&Digest) -> Option<Vec<u8>>,
) -> Result<BTreeMap<String, Vec<u8>>, Problem> {
    let (mut files, mut size) = (BTreeMap::new(), 0);
    // Most were checked against the same signers, which are read once.
    let mut known: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    for event in events {
        let Some(signature) = signature(&event.body) else { continue };
        let gone = || Problem::at(event.seq, "what was signed, or whose keys signed then, is missing or was changed");
        let signers = match known.get(&signature.signers) {
            Some(known) => known.clone(),
            None => {
                let signers = blob(&signature.signers).and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let signers = signers.as_ref().and_then(AllowedSigners::from_document).ok_or_else(gone)?;
                known.entry(signature.signers).or_insert_with(|| signers.text().as_bytes().to_vec()).clone()
            }
        };
        let statement = blob(&signature.statement).ok_or_else(gone)?;
        size += statement.len() + signature.armored.len() + signers.len();
        if size > MOST {
            return Err(Problem::at(
                event.seq,
                "what was signed until here, with whose keys signed, is more than 64 MiB",
            ));
        }
        files.insert(format!("{}.json", event.seq), statement);
        files.insert(format!("{}.sig", event.seq), signature.armored.clone().into_bytes());
        files.insert(format!("{}.allowed_signers", event.seq), signers);
    }
    Ok(files)
}

/// What the files of a folder have that the chain does not say, and the other way round; `folder` is for the findings.
pub(super) fn compare_signatures(
    folder: &str,
    said: &BTreeMap<String, Vec<u8>>,
    found: &BTreeMap<String, Vec<u8>>,
) -> Vec<Problem> {
    let place = |name: &str| format!("{folder}/{name}");
    let of = |name: &str| name.split_once('.').and_then(|(seq, _)| seq.parse().ok()).unwrap_or(0);
    let mut problems = Vec::new();
    for (name, bytes) in said {
        let what = match found.get(name) {
            None => "is missing, though the event is signed",
            Some(is) if is != bytes => "was changed: the event says otherwise",
            Some(_) => continue,
        };
        problems.push(Problem::at(of(name), what).in_file(place(name)));
    }
    for name in found.keys().filter(|name| !said.contains_key(*name)) {
        problems.push(Problem::with(place(name), "is of no signed event"));
    }
    problems
}

fn signature(body: &Body) -> Option<&Signature> {
    match body {
        Body::Answered(answered) => answered.signature.as_ref(),
        Body::Redacted(redacted) => redacted.signature.as_ref(),
        Body::TrustSet(set) => set.signature.as_ref(),
        _ => None,
    }
}
