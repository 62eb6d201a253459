//! A bundle: one engagement as plain files, for whoever verifies it without the workspace. `events.jsonl` has one event
//! a line, byte for byte as it was hashed; `blobs/HEX.json` has each document and result under the digest of its bytes;
//! what else lies there (the artifacts as YAML, a page) is for reading and proves nothing. The same in one file, with all
//! that the engagement rests on, is [`super::archive`].

#![allow(clippy::disallowed_methods, reason = "a bundle is files, and this is what writes them")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    artifact::{Digest, EngagementId, LedgerId, canonical},
    engagement::{ApprovalStatement, Body, Event, LogSeen, opened},
    facts::{AllowedSigners, STAGES},
};

use super::{
    archive::{Contents, LARGEST_BUNDLE, LEAVES, PROOF, TRUST_PROOF},
    chain,
    checkpoint::Checkpoint,
    error::LedgerError,
    keys::{KeyHistory, PUBLIC_KEYS},
    log::{leaves, prove_under},
    mentions::{Mention, Need, all_mentions, mentions},
    merkle::Leaf,
    note::Note,
    plain::{read_plain, sibling},
    signatures::{SIGNATURES, compare_signatures, signature_files},
    store::{Logged, Store},
    verify::{Problem, Verification, raised, ran_at, untrusted, verify_against},
};

pub(super) const EVENTS: &str = "events.jsonl";
pub(super) const BLOBS: &str = "blobs";
/// No file of a signature that lies beside a chain is longer.
const LONGEST_SIGNATURE_FILE: u64 = 16 * 1024 * 1024;

/// What a bundle holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The events in order, as they were hashed.
    pub events: Vec<Vec<u8>>,
    /// The documents and results that they name, by the digest that they go by; [`verify`] checks it.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
}

/// An event or a document, and what it is in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The digest of a document; nothing of an event.
    pub digest: Option<Digest>,
    /// What it is, and where it stands.
    pub what: String,
    /// What it says; of what is sealed the value.
    pub value: Value,
}

impl Bundle {
    /// All that a store has of an engagement. Nothing is checked but what the store checks: a broken chain can be
    /// exported and shown to someone.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`] for an unknown id; and whatever reading gives.
    pub async fn export(store: &dyn Store, id: &EngagementId) -> Result<Self, LedgerError> {
        let events = store.events(id, 0).await?;
        if events.is_empty() {
            return Err(LedgerError::Missing(id.clone()));
        }
        let mut blobs = store.blobs(&named(&events, &BTreeMap::new())).await?;
        // What a question was decided on is named by its request, and what a record was built with by the record.
        let mut asked = BTreeSet::new();
        loop {
            let mut further = named(&events, &blobs);
            further.retain(|digest| !blobs.contains_key(digest) && asked.insert(*digest));
            if further.is_empty() {
                return Ok(Self { events, blobs });
            }
            blobs.extend(store.blobs(&further).await?);
        }
    }

    /// What the log would have of its last event; nothing where that cannot be read.
    pub fn head(&self) -> Option<Leaf> {
        let Event { engagement, hash: head, seq, .. } = chain::read(self.events.last()?).ok()?;
        Some(Leaf { engagement, head, seq })
    }

    /// What `ssh-keygen -Y verify` wants of each signed answer, by its name in `signatures/`: the bytes, their signature,
    /// and whose keys signed for whom.
    ///
    /// # Errors
    ///
    /// The first signed event that does not bear its signature out.
    pub fn signatures(&self) -> Result<BTreeMap<String, Vec<u8>>, Problem> {
        let events: Vec<_> = self.events.iter().filter_map(|bytes| chain::read(bytes).ok()).collect();
        signature_files(&events, &|digest| self.blobs.get(digest).cloned())
    }

    /// What is wrong with the copies of signatures that lie beside the chain in a folder.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`] if they cannot be read.
    pub fn verify_signatures(&self, dir: &Path) -> Result<Vec<Problem>, LedgerError> {
        // An event that does not bear its signature out is found when the chain is verified.
        let Ok(said) = self.signatures() else { return Ok(Vec::new()) };
        let (dir, mut found) = (dir.join(SIGNATURES), BTreeMap::new());
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries.collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(LedgerError::io("read", &dir, source)),
        };
        for entry in entries {
            let path = entry.map_err(|source| LedgerError::io("read", &dir, source))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            found.insert(name, read_plain(&path, LONGEST_SIGNATURE_FILE)?);
        }
        Ok(compare_signatures(SIGNATURES, &said, &found))
    }

    /// All that can be read of it: each event, and each document once.
    pub fn told(&self) -> Vec<Told> {
        let mut told = Vec::new();
        let mut seen = BTreeSet::new();
        let blob = |digest: &Digest| self.blobs.get(digest).cloned();
        for event in self.events.iter().filter_map(|bytes| chain::read(bytes).ok()) {
            if let Ok(value) = serde_json::to_value(&event.body) {
                told.push(Told { digest: None, what: format!("event {} ({})", event.seq, event.body.kind()), value });
            }
            for (seq, Mention { digest, what, sealed, .. }) in all_mentions([&event], &blob) {
                let bytes = self.blobs.get(&digest).filter(|_| seen.insert(digest));
                let Some(value) = bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()) else { continue };
                let opened = if sealed { opened(&value).map(Arc::unwrap_or_clone) } else { Some(value) };
                let what = format!("{what} (event {seq})");
                told.extend(opened.map(|value| Told { digest: Some(digest), what, value }));
            }
        }
        told
    }

    /// What each approver saw of the log over all engagements when they signed, by the place of their answer.
    pub fn logs_seen(&self) -> Vec<(u64, LogSeen)> {
        let seen = |bytes: &Vec<u8>| {
            let event: Event = serde_json::from_slice(bytes).ok()?;
            let Body::Answered(answered) = event.body else { return None };
            let statement = self.blobs.get(&answered.signature?.statement)?;
            let statement: ApprovalStatement = serde_json::from_slice(statement).ok()?;
            Some((event.seq, statement.log?))
        };
        self.events.iter().filter_map(seen).collect()
    }

    /// As [`asked_in`].
    pub fn asked_in(&self) -> Option<(u64, LedgerId)> {
        self.events.iter().filter_map(|bytes| serde_json::from_slice(bytes).ok()).find_map(|event| asked_in(&event))
    }

    /// What the store of an engagement no longer has although nothing on the chain says that it was destroyed. Whoever
    /// hands a bundle on may leave it out, a ledger may not. What nothing can be shown without is found by
    /// [`Bundle::verify`].
    pub fn lost(&self) -> Vec<Problem> {
        let events: Vec<Event> = self.events.iter().filter_map(|bytes| chain::read(bytes).ok()).collect();
        let destroyed = |body: &Body| match body {
            Body::Redacted(redacted) => redacted.destroyed.clone(),
            _ => Vec::new(),
        };
        let destroyed: BTreeSet<Digest> = events.iter().flat_map(|event| destroyed(&event.body)).collect();
        let named = events.iter().flat_map(|event| mentions(event).into_iter().map(|mention| (event.seq, mention)));
        let gone =
            |mention: &Mention| !self.blobs.contains_key(&mention.digest) && !destroyed.contains(&mention.digest);
        named
            .filter(|(_, mention)| mention.need == Need::May && gone(mention))
            .map(|(seq, Mention { what, digest, .. })| {
                Problem::at(
                    seq,
                    format!("{what} ({digest}) is not in the ledger, and nothing says that it was destroyed"),
                )
            })
            .collect()
    }

    /// What was asked at a trust stage that the ledger's own chain of stages never gave; see [`Bundle::lost`] for what else
    /// only a ledger can show.
    pub fn untrusted(&self, trust: &[Event]) -> Vec<Problem> {
        let events: Vec<Event> = self.events.iter().filter_map(|bytes| chain::read(bytes).ok()).collect();
        untrusted(&events, trust, &|digest| self.blobs.get(digest).cloned())
    }

    /// Who raised the trust stages that it rests on, each in words.
    pub fn raised(&self, trust: &[Event]) -> Vec<String> {
        let events: Vec<Event> = self.events.iter().filter_map(|bytes| chain::read(bytes).ok()).collect();
        raised(&events, trust, &|digest| self.blobs.get(digest).cloned())
    }

    /// Whether something was asked at a trust stage above the first, or changed at one without an approval, which rests on
    /// the chain of stages.
    pub fn rests_on_trust(&self) -> bool {
        let read = |digest: &Digest| serde_json::from_slice(self.blobs.get(digest)?).ok();
        let above = |bytes: &Vec<u8>| {
            chain::read(bytes).is_ok_and(|event| match &event.body {
                Body::Asked(asked) => asked.stage > *STAGES.start(),
                Body::Allowed(allowed) => ran_at(allowed, &read).is_some_and(|stage| stage > *STAGES.start()),
                _ => false,
            })
        };
        self.events.iter().any(above)
    }

    /// Verifies it.
    pub fn verify(&self) -> Verification {
        self.verify_against(None)
    }

    /// Verifies it, holding signatures against allowed signers of the verifier's own too.
    pub fn verify_against(&self, signers: Option<&AllowedSigners>) -> Verification {
        verify_against(&self.events, &self.blobs, signers)
    }
}

/// Writes a bundle to `dir`, which must not exist or be empty, with files of the caller's beside it (path within the
/// bundle, text). All of it appears at once, or nothing.
///
/// # Errors
///
/// [`LedgerError::Occupied`] if something is there; [`LedgerError::Io`].
pub fn write_bundle(
    dir: &Path,
    events: &[Vec<u8>],
    blobs: &BTreeMap<Digest, Vec<u8>>,
    extra: Vec<(String, String)>,
) -> Result<(), LedgerError> {
    let exists = match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) => return Err(LedgerError::Occupied(dir.into())),
            None => true,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(LedgerError::Occupied(dir.into())),
        Err(source) => return Err(LedgerError::io("read", dir, source)),
    };
    let new = sibling(dir)?;
    let written = fill(&new, events, blobs, extra).and_then(|()| {
        // An empty directory makes way for the finished one, but not one that was filled meanwhile.
        let place = if exists { fs::remove_dir(dir) } else { Ok(()) };
        place.and_then(|()| fs::rename(&new, dir)).map_err(|source| LedgerError::io("write", dir, source))
    });
    if written.is_err() {
        // What could not be finished is of no use; that it cannot be removed either is not the news.
        let _ = fs::remove_dir_all(&new);
    }
    written
}

/// Reads a bundle. Nothing is checked here: that is [`Bundle::verify`].
///
/// # Errors
///
/// [`LedgerError::Io`] if it is not there or cannot be read.
pub fn read_bundle(dir: &Path) -> Result<Bundle, LedgerError> {
    let read = |path: &Path| read_plain(path, LARGEST_BUNDLE);
    let events = lines(&read(&dir.join(EVENTS))?);
    let mut blobs = BTreeMap::new();
    let path = dir.join(BLOBS);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Bundle { events, blobs }),
        Err(source) => return Err(LedgerError::io("read", &path, source)),
    };
    for entry in entries {
        let file = entry.map_err(|source| LedgerError::io("read", &path, source))?.path();
        let hex = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
        // Files that systems leave lying about are not blobs, and a blob that is missed is reported as missing.
        if let Some(digest) = hex.and_then(|hex| format!("sha256:{hex}").parse().ok()) {
            blobs.insert(digest, read(&file)?);
        }
    }
    Ok(Bundle { events, blobs })
}

impl Contents {
    /// All that a store has of an engagement and of the chain of trust stages; see [`Contents::without_results`].
    ///
    /// # Errors
    ///
    /// As [`Bundle::export`].
    pub async fn export(store: &dyn Store, id: &EngagementId) -> Result<Self, LedgerError> {
        let mut engagement = Bundle::export(store, id).await?;
        let trust = store.events(&EngagementId::trust(), 0).await?;
        engagement.blobs.extend(store.blobs(&named(&trust, &BTreeMap::new())).await?);
        Ok(Self { engagement, trust, ..Self::default() })
    }

    /// Adds what there is of the log: the ledger's keys, the proof of each chain under this checkpoint of it and, if it is to be
    /// `whole`, each leaf up to there. Keys that are read after the checkpoint have the one that signed it.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`]; [`LedgerError::Conflict`] where it is to be whole and the log has a later event; and whatever
    /// the store gives.
    pub async fn add_log(
        &mut self,
        store: &dyn Store,
        keys: &KeyHistory,
        under: Option<(Checkpoint, Note)>,
        whole: bool,
    ) -> Result<(), LedgerError> {
        self.log.insert(PUBLIC_KEYS.to_owned(), keys.text().as_bytes().to_vec());
        let Some(under) = under else { return Ok(()) };
        let first = self.engagement.events.first().and_then(|bytes| chain::read(bytes).ok());
        let chains = [
            (PROOF, first.map(|first| first.engagement), self.engagement.events.len()),
            (TRUST_PROOF, Some(EngagementId::trust()), self.trust.len()),
        ];
        for (name, id, events) in chains {
            let Some(id) = id else { continue };
            // What was written while this was read is not in it, and so is none of its leaves.
            if let Some(proof) = prove_under(store, &id, events as u64, &under).await? {
                let bytes = canonical(&proof).map_err(|error| LedgerError::corrupt("the log", error.to_string()))?;
                self.log.insert(name.to_owned(), bytes);
            }
            // Of the whole log it would be.
            let later = |leaf: &Logged| leaf.position < under.0.size && leaf.seq > events as u64;
            if whole && store.logged(Some(&id)).await?.iter().any(later) {
                return Err(LedgerError::Conflict(id));
            }
        }
        // They are held to the checkpoint of the proof.
        if whole && self.log.contains_key(PROOF) {
            self.log.insert(LEAVES.to_owned(), leaves(store, under.0.size).await?);
        }
        Ok(())
    }
}

/// What events, and the requests among these documents, name and may be handed on, each once.
fn named(events: &[Vec<u8>], blobs: &BTreeMap<Digest, Vec<u8>>) -> Vec<Digest> {
    let events: Vec<Event> = events.iter().filter_map(|bytes| chain::read(bytes).ok()).collect();
    let all = all_mentions(&events, &|digest| blobs.get(digest).cloned()).into_iter().map(|(_, mention)| mention);
    let mut named: Vec<Digest> =
        all.filter(|mention| mention.need != Need::Own).map(|mention| mention.digest).collect();
    named.sort_unstable();
    named.dedup();
    named
}

/// Events as lines.
pub(super) fn joined(events: &[Vec<u8>]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(events.iter().map(|event| event.len() + 1).sum());
    for event in events {
        lines.extend_from_slice(event);
        lines.push(b'\n');
    }
    lines
}

/// Lines as events.
pub(super) fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut events: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    // The last line ends too; what stands after its end is not an event if it is nothing.
    events.pop_if(|last| last.is_empty());
    events
}

fn fill(
    dir: &Path,
    events: &[Vec<u8>],
    blobs: &BTreeMap<Digest, Vec<u8>>,
    extra: Vec<(String, String)>,
) -> Result<(), LedgerError> {
    let write = |path: PathBuf, bytes: &[u8]| {
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, bytes)).map_err(|source| LedgerError::io("write", &path, source))
    };
    write(dir.join(EVENTS), &joined(events))?;
    for (digest, bytes) in blobs {
        write(dir.join(BLOBS).join(format!("{}.json", digest.hex())), bytes)?;
    }
    for (name, text) in extra {
        let path = Path::new(&name);
        let inside = path.components().all(|component| matches!(component, Component::Normal(_)));
        let own = path.starts_with(EVENTS) || path.starts_with(BLOBS);
        if !inside || own || name.is_empty() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "this is no place for a file in a bundle");
            return Err(LedgerError::io("write", path, source));
        }
        write(dir.join(path), text.as_bytes())?;
    }
    Ok(())
}

/// The place of a question with the ledger that it was asked in. That all of a chain were asked in one is a rule of its own.
pub(super) fn asked_in(event: &Event) -> Option<(u64, LedgerId)> {
    let Body::Asked(asked) = &event.body else { return None };
    Some((event.seq, asked.once.as_ref()?.ledger.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::Story;

    #[test]
    fn a_bundle_reads_back_as_it_was_and_verifies() {
        let home = tempfile::tempdir().unwrap();
        let story = Story::whole("k7m2q");
        let empty = home.path().join("empty");
        fs::create_dir(&empty).unwrap();
        for dir in [home.path().join("new"), home.path().join("new/in/side"), empty] {
            let _ = fs::remove_dir_all(home.path().join("new"));
            let extra =
                vec![("artifacts/spec.yaml".into(), "kind: spec\n".into()), ("index.html".into(), String::new())];
            write_bundle(&dir, &story.bytes(), &story.blobs, extra).unwrap();
            let bundle = read_bundle(&dir).unwrap();
            assert_eq!(bundle, Bundle { events: story.bytes(), blobs: story.blobs.clone() });
            assert!(bundle.verify().ok);
            assert_eq!(fs::read_to_string(dir.join("artifacts/spec.yaml")).unwrap(), "kind: spec\n");
            let again = write_bundle(&dir, &[], &BTreeMap::new(), Vec::new()).unwrap_err();
            assert!(matches!(again, LedgerError::Occupied(_)), "{again}");
        }
    }

    #[test]
    fn what_was_changed_on_the_way_is_found() {
        let home = tempfile::tempdir().unwrap();
        let story = Story::whole("k7m2q");
        type Change = fn(&Path, &Story);
        let table: &[(&str, Change, u64)] = &[
            ("a line ending of another system", |dir, _| edit(dir, |text| text.replace('\n', "\r\n")), 1),
            ("an empty line", |dir, _| edit(dir, |text| text.replacen('\n', "\n\n", 1)), 2),
            ("an empty line at the end", |dir, _| edit(dir, |text| text + "\n"), 21),
            ("half a line at the end", |dir, _| edit(dir, |text| text + "{\"actor\":"), 21),
            ("a blob", |dir, story| fs::write(blob(dir, story), "{}").unwrap(), 1),
            ("a blob that is gone", |dir, story| fs::remove_file(blob(dir, story)).unwrap(), 1),
            ("no blobs at all", |dir, _| fs::remove_dir_all(dir.join(BLOBS)).unwrap(), 1),
        ];
        for (n, (name, change, place)) in table.iter().enumerate() {
            let dir = home.path().join(n.to_string());
            write_bundle(&dir, &story.bytes(), &story.blobs, Vec::new()).unwrap();
            change(&dir, &story);
            let found = read_bundle(&dir).unwrap().verify();
            assert_eq!(found.problems.first().map(|problem| problem.seq), Some(*place), "{name}: {:?}", found.problems);
        }
        let dir = home.path().join("link");
        write_bundle(&dir, &story.bytes(), &story.blobs, Vec::new()).unwrap();
        fs::rename(dir.join(EVENTS), home.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(home.path().join("elsewhere"), dir.join(EVENTS)).unwrap();
        assert!(read_bundle(&dir).is_err());
        let missing = read_bundle(&home.path().join("nowhere")).unwrap_err();
        assert!(matches!(missing, LedgerError::Io { .. }), "{missing}");
    }

    fn edit(dir: &Path, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(dir.join(EVENTS)).unwrap();
        fs::write(dir.join(EVENTS), change(text)).unwrap();
    }

    fn blob(dir: &Path, story: &Story) -> PathBuf {
        let Some((_, _, crate::engagement::Body::Requested(requested))) = story.events.first() else { panic!() };
        dir.join(BLOBS).join(format!("{}.json", requested.request.hex()))
    }

    #[test]
    fn a_file_of_the_caller_stays_in_the_bundle_and_off_its_own_files() {
        let home = tempfile::tempdir().unwrap();
        for name in ["../out", "/tmp/out", "events.jsonl", "blobs/x.json", "", "a/../../out", "."] {
            let dir = home.path().join("bundle");
            let refused = write_bundle(&dir, &[], &BTreeMap::new(), vec![(name.into(), "x".into())]);
            assert!(refused.is_err(), "{name}");
            assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "{name} left something");
        }
    }
}
