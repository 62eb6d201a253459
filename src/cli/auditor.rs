//! What an auditor brings along and is told beside what verification found: the ledger's key that they know, what is
//! shown of the log, signatures of others under checkpoints, and files of a folder that nothing was held against.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;

use crate::{
    artifact::ArtifactKind,
    ledger::{
        Bundle, Checkpoint, Freshness, InclusionProof, KeyHistory, LogCheck, LogProblem, Note, PUBLIC_KEYS, Problem,
        Verification, VerifierKey, bundled_log, last_checkpoint, origin,
    },
};

use super::{code::CliError, context::Context, files, output::plain};

/// So many files are named; of the others their number is said.
const NAMED: usize = 8;

/// What is shown of the log over all engagements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogShown {
    /// Which log: the name of its keys.
    pub id: String,
    /// How many leaves the log of the checkpoint has under which it is shown; nothing where it is under none.
    pub size: Option<u64>,
    /// Whether what was published by somebody else covers that.
    pub witnessed: bool,
    #[serde(skip)]
    keys: Option<KeyHistory>,
    /// Whether the keys come from whoever hands the bundle over.
    #[serde(skip)]
    brought: bool,
    #[serde(skip)]
    under: Option<(Checkpoint, Note)>,
}

impl LogShown {
    /// What a bundle file shows of it; nothing where it has no keys of a ledger.
    pub fn of_bundle(bytes: &[u8]) -> Option<Self> {
        let files = bundled_log(bytes);
        let keys = files.get(PUBLIC_KEYS).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let keys = KeyHistory::parse(keys?).ok()?;
        let id = keys.keys().first()?.key.name().to_owned();
        let proof = files.get("proof.json").and_then(|bytes| serde_json::from_slice::<InclusionProof>(bytes).ok());
        let note: Option<Note> = proof.and_then(|proof| proof.checkpoint.parse().ok());
        let under = note.and_then(|note| Some((Checkpoint::of(&note).ok()?, note)));
        let size = under.as_ref().map(|(checkpoint, _)| checkpoint.size);
        Some(Self { id, size, witnessed: false, keys: Some(keys), brought: true, under })
    }

    /// What a workspace shows of it.
    pub async fn of_workspace(context: &Context) -> Result<Self, CliError> {
        let store = context.workspace.store();
        let under = last_checkpoint(store.as_ref()).await?;
        let (id, size) = (origin(&store.ledger().await?), under.as_ref().map(|(checkpoint, _)| checkpoint.size));
        let keys = context.workspace.keys().await?.history().ok();
        Ok(Self { id, size, witnessed: false, keys, brought: false, under })
    }

    /// Puts what is known of it to what was found, and holds the ledger's keys against those that the auditor has.
    pub fn tell(mut self, keys: &[VerifierKey], verification: &mut Verification) -> Self {
        self.witnessed = matches!(verification.freshness, Freshness::Witnessed { .. });
        match self.wrong(keys) {
            Some(why) => verification.problems.push(Problem::at(0, why)),
            None if keys.is_empty() && !self.brought => {}
            None if keys.is_empty() => verification.notes.push(
                "key: the ledger's keys are those that were brought along with it; `--key` holds them against what \
                 `countersign keys show` said where it was made"
                    .into(),
            ),
            None => match self.signed_before(keys) {
                Some(why) => verification.problems.push(Problem::at(0, why)),
                None => {
                    verification.notes.push(format!("key: the ledger's keys, {}, are those that were given", self.id));
                }
            },
        }
        verification.hold_to_what_a_key_vouches_for(!keys.is_empty());
        verification.notes.extend(cosigned(self.under.as_slice(), "the checkpoint here"));
        verification.ok = verification.problems.is_empty();
        self
    }

    /// Why what a bundle is under is signed by a key that no given one vouches for: a key names the one that comes after
    /// it, and whoever makes up the ones before has every other signature of theirs.
    fn signed_before(&self, given: &[VerifierKey]) -> Option<String> {
        let (history, (checkpoint, note)) = (self.keys.as_ref()?, self.under.as_ref().filter(|_| self.brought)?);
        let first = history.keys().iter().position(|known| given.contains(&known.key))?;
        let (place, signer) = history.signer_of(note, checkpoint.size).ok()?;
        (place < first).then(|| {
            format!(
                "the checkpoint here is signed by {}, a key before the ones that were given, which do not vouch for it; give \
                 that one too, as `countersign keys show` says it",
                signer.key
            )
        })
    }

    /// Why the ledger's keys are not those that the auditor has.
    fn wrong(&self, given: &[VerifierKey]) -> Option<String> {
        let known = self.keys.as_ref().map(KeyHistory::keys).unwrap_or_default();
        let strange = given.iter().find(|key| !known.iter().any(|published| published.key == **key))?;
        let have: Vec<String> = known.iter().map(|published| published.key.to_string()).collect();
        // A key that came later shows that this was handed over before, or by somebody who has one that was replaced since.
        let later = match known.last().filter(|last| given.contains(&last.key)) {
            Some(last) => {
                format!("; if it was made after this was handed over, give the keys up to {} alone", last.key.id())
            }
            None => String::new(),
        };
        let have = if have.is_empty() { "none that can be read".to_owned() } else { have.join(", ") };
        Some(format!("the key {strange} that was given is none of this ledger's; it has {have}{later}"))
    }

    /// Holds the keys of the whole log against those that the auditor has.
    pub fn hold(&self, keys: &[VerifierKey], check: &mut LogCheck) {
        match self.wrong(keys) {
            Some(what) => {
                check.problems.push(LogProblem { leaf: 0, what });
                check.ok = false;
            }
            None if keys.is_empty() => {}
            None => check.notes.push(format!("key: the ledger's keys, {}, are those that were given", self.id)),
        }
    }
}

/// The keys of a ledger that an auditor has: a key, or a file with what `keys show` says.
pub fn read_keys(word: &str) -> Result<Vec<VerifierKey>, CliError> {
    let path = Path::new(word);
    if !files::is_one(path) {
        let key = word.parse().map_err(|error| {
            let file = if word.contains('+') { String::new() } else { format!("there is no file {word}, and ") };
            CliError::usage(format!(
                "{file}{error}; give one that `countersign keys show` says, such as countersign/…+1f0c2a9b+AQ…, or a file with them"
            ))
        })?;
        return Ok(vec![key]);
    }
    let keys: Vec<VerifierKey> = files::read(path)?.lines().filter_map(|line| line.trim().parse().ok()).collect();
    if keys.is_empty() {
        let name = files::name(path);
        return Err(CliError::usage(format!("{name} has no key in it; give what `countersign keys show` says")));
    }
    Ok(keys)
}

/// What to say of signatures under checkpoints that are of others than the ledger, and so of keys that nobody here knows.
pub fn cosigned(checkpoints: &[(Checkpoint, Note)], called: &str) -> Option<String> {
    let mut others: BTreeMap<&str, u64> = BTreeMap::new();
    for (checkpoint, note) in checkpoints {
        for name in note.signed_as().filter(|name| *name != checkpoint.origin) {
            let most = others.entry(name).or_default();
            *most = checkpoint.size.max(*most);
        }
    }
    let said: Vec<String> = others.iter().map(|(name, size)| format!("{} (of {size} leaves)", plain(name))).collect();
    (!said.is_empty()).then(|| {
        format!(
            "cosigned: {called} is signed by others too, whose keys are not known here and were not checked: {}",
            said.join(", ")
        )
    })
}

/// What to say of files in an exported folder that nothing was held against. Where a chain is broken nobody can say which
/// files belong to it.
pub fn not_checked(folder: &Path, bundle: &Bundle, whole: bool) -> Vec<String> {
    let told: BTreeSet<String> = bundle
        .told()
        .iter()
        .filter_map(|told| Some(format!("blobs/{}.json", told.digest?.hex())))
        .chain(ArtifactKind::ALL.into_iter().map(|kind| kind.file_name().to_owned()))
        .chain(["events.jsonl".to_owned()])
        .collect();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match name.as_str() {
            // Every file there is held against the events.
            "signatures" => {}
            "blobs" => {
                let inside = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
                found.extend(inside.map(|file| format!("blobs/{}", file.file_name().to_string_lossy())));
            }
            _ => found.push(name),
        }
    }
    found.retain(|name| !told.contains(name));
    found.sort();
    let (reading, strange): (Vec<String>, Vec<String>) =
        found.into_iter().partition(|name| ["page.txt", "sequence.mmd"].contains(&name.as_str()));
    let said = |names: Vec<String>, why: &str| {
        let (are, were) = if names.len() == 1 { ("is", "was") } else { ("are", "were") };
        (!names.is_empty()).then(|| format!("{} {are} {why} and {were} not checked", listed(names)))
    };
    let strange = said(strange, "nothing that `countersign export` writes").filter(|_| whole);
    said(reading, "for reading").into_iter().chain(strange).collect()
}

/// The names in words; the first of many.
fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let last = if more > 0 { Some(format!("{more} more")) } else { names.pop().map(|name| plain(&name)) };
    let first: Vec<String> = names.iter().map(|name| plain(name)).collect();
    [first.join(", ")].into_iter().chain(last).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" and ")
}
