//! A bundle: one engagement as plain files, for whoever verifies it without the workspace. `events.jsonl` has one event
//! a line, byte for byte as it was hashed; `blobs/HEX.json` has each document and result under the digest of its bytes;
//! what else lies there (the artifacts as YAML, a page) is for reading and proves nothing.

#![allow(clippy::disallowed_methods, reason = "a bundle is files, and this is what writes them")]

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use crate::{
    artifact::{Digest, EngagementId},
    facts::AllowedSigners,
};

use super::{
    chain,
    error::LedgerError,
    mentions::mentions,
    store::Store,
    verify::{Verification, verify_against},
};

const EVENTS: &str = "events.jsonl";
const BLOBS: &str = "blobs";

/// What a bundle holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The events in order, as they were hashed.
    pub events: Vec<Vec<u8>>,
    /// The documents and results that they name, by the digest that they go by; [`verify`] checks it.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
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
        let mut named: Vec<Digest> = events
            .iter()
            .filter_map(|bytes| chain::read(bytes).ok())
            .flat_map(|event| mentions(&event))
            .map(|mention| mention.digest)
            .collect();
        named.sort_unstable();
        named.dedup();
        let blobs = store.blobs(&named).await?;
        Ok(Self { events, blobs })
    }

    /// Verifies it.
    pub fn verify(&self) -> Verification {
        self.verify_against(None)
    }

    /// Verifies it, holding signatures against allowed signers of the verifier's own too.
    pub fn verify_against(&self, signers: Option<&AllowedSigners>) -> Verification {
        verify_against(&self.events, &|digest| self.blobs.get(digest).cloned(), signers)
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
    let read = |path: &Path| {
        // A link or a pipe could lead anywhere, or never end.
        let plain = fs::symlink_metadata(path).and_then(|metadata| match metadata.is_file() {
            true => fs::read(path),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")),
        });
        plain.map_err(|source| LedgerError::io("read", path, source))
    };
    let text = read(&dir.join(EVENTS))?;
    let mut events: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    // The last line ends too; what stands after its end is not an event if it is nothing.
    events.pop_if(|last| last.is_empty());
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

/// Where a bundle is prepared: beside its place, so that a rename suffices.
fn sibling(dir: &Path) -> Result<PathBuf, LedgerError> {
    let name = dir.file_name().ok_or_else(|| LedgerError::Occupied(dir.into()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".new-{}", std::process::id()));
    Ok(dir.with_file_name(hidden))
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
    let mut lines = Vec::with_capacity(events.iter().map(|event| event.len() + 1).sum());
    for event in events {
        lines.extend_from_slice(event);
        lines.push(b'\n');
    }
    write(dir.join(EVENTS), &lines)?;
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
