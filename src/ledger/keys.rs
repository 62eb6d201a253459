//! The ledger's own key: what signs checkpoints and what leaves the ledger. It lies in `.countersign/keys/`, where no
//! tool server may read. `public` there holds every key that there was: a note for each, signed by the key before it
//! and by itself, so that whoever trusts one of them can follow to those after it.
#![allow(clippy::disallowed_methods, reason = "this file owns making and keeping the ledger's key")]

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, TimestampRound, Unit};
use serde::Serialize;
use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair};

use crate::artifact::LedgerId;

use super::note::{Note, NoteError, NoteKey, VerifierKey};

/// The file of all public keys, in the folder and in a bundle.
pub const PUBLIC_KEYS: &str = "public";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file could not be used.
    #[error("could not {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file is not what was written there.
    #[error("{path}: {reason}; put the folder back as it was, from a copy of .countersign/keys")]
    Broken {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The log is signed with keys that are not here.
    #[error(
        "the keys of this ledger are not in {0}, and its checkpoints are signed with them: put the folder back from a copy of \
         .countersign/keys; no new key is made, since none could be shown to be this ledger's, and what is written \
         meanwhile is under no checkpoint"
    )]
    Lost(PathBuf),
    /// Another process rotates the key.
    #[error("another process is rotating the key; look at it with `countersign keys show`")]
    Busy,
}

impl KeyError {
    fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source }
    }

    fn broken(path: &Path, reason: impl Into<String>) -> Self {
        Self::Broken { path: path.into(), reason: reason.into() }
    }
}

/// A public key with the time in which it signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The key.
    pub key: VerifierKey,
    /// From when on.
    pub from: Timestamp,
    /// Until when; nothing for the current one.
    pub until: Option<Timestamp>,
}

/// All keys that a ledger had, the current one last. Each is named by the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHistory {
    text: String,
    keys: Vec<Published>,
}

impl KeyHistory {
    /// Reads and checks the statements. Nothing but the text is needed.
    ///
    /// # Errors
    ///
    /// [`NoteError`] for the first statement that cannot be read, or that the key before it did not sign.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut keys: Vec<Published> = Vec::new();
        for (note, number) in Note::several(text)?.into_iter().zip(1_u64..) {
            let wrong = |why: String| NoteError(format!("the statement of key {number} {why}"));
            let lines: Vec<&str> = note.text().lines().collect();
            let &[subject, says, vkey, from] = lines.as_slice() else {
                return Err(wrong("has not the four lines of one".into()));
            };
            let key: VerifierKey = vkey.parse().map_err(|error| wrong(format!("names no key: {error}")))?;
            let from: Timestamp = from.parse().map_err(|_| wrong("has no time".into()))?;
            if statement(number, &key, from) != note.text() {
                let of = format!("is for {subject} {says}, or not written as this program writes it");
                return Err(wrong(of));
            }
            if !note.is_signed_by(&key) {
                return Err(wrong("is not signed by that key".into()));
            }
            if let Some(before) = keys.last_mut() {
                if before.key.name() != key.name() {
                    return Err(wrong("is for another ledger than the one before".into()));
                }
                if !note.is_signed_by(&before.key) {
                    return Err(wrong("is not signed by the key before it".into()));
                }
                if from < before.from {
                    return Err(wrong("is older than the one before".into()));
                }
                before.until = Some(from);
            }
            keys.push(Published { key, from, until: None });
        }
        if keys.is_empty() {
            return Err(NoteError("there is no statement of a key in it".into()));
        }
        Ok(Self { text: text.to_owned(), keys })
    }

    /// The statements as they are written, for whoever checks them without the workspace.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The keys, the current one last.
    pub fn keys(&self) -> &[Published] {
        &self.keys
    }

    /// The key that signed a note, if one of these did.
    pub fn signer_of(&self, note: &Note) -> Option<&Published> {
        self.keys.iter().rev().find(|published| note.is_signed_by(&published.key))
    }

    /// The key whose signature of a message this is, if it is one's.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Option<&Published> {
        self.keys.iter().rev().find(|published| published.key.verify(message, signature))
    }
}

/// The name that the keys of a ledger have, and the origin of its checkpoints.
pub fn origin(ledger: &LedgerId) -> String {
    format!("countersign/{ledger}")
}

/// What a key is introduced with. Its first line is none that a checkpoint has.
pub(super) fn statement(number: u64, key: &VerifierKey, from: Timestamp) -> String {
    format!("{}/keys\n{number}\n{key}\n{from}\n", key.name())
}

/// The folder with a ledger's keys.
#[derive(Clone, Debug)]
pub struct LedgerKeys {
    folder: PathBuf,
    name: String,
    /// Whether the log is signed already, so that its first key is not made any more.
    begun: bool,
}

impl LedgerKeys {
    /// The keys of a ledger, in this folder. Nothing is read or made yet.
    pub fn of(folder: PathBuf, ledger: &LedgerId) -> Self {
        Self { folder, name: origin(ledger), begun: false }
    }

    /// The same of a log that has checkpoints, if it has: whoever lost the keys that signed them gets no other one, which
    /// nothing would show to be the ledger's.
    #[must_use]
    pub fn of_a_signed_log(self, begun: bool) -> Self {
        Self { begun, ..self }
    }

    /// Makes the first key where there is none yet.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; [`KeyError::Lost`] where there must have been one.
    pub fn ensure(&self, now: Timestamp) -> Result<(), KeyError> {
        let public = self.folder.join(PUBLIC_KEYS);
        match public.try_exists() {
            Ok(true) => return Ok(()),
            Ok(false) if self.begun => return Err(KeyError::Lost(self.folder.clone())),
            Ok(false) => {}
            Err(source) => return Err(KeyError::io("read", &public, source)),
        }
        fs::create_dir_all(&self.folder).map_err(|source| KeyError::io("make the folder", &self.folder, source))?;
        let key = self.generate()?;
        let text = Note::sign(statement(1, key.public(), whole(now)), &[&key]).to_string();
        let new = self.folder.join(format!("{PUBLIC_KEYS}.new-{}", key.public().id()));
        put(&new, &text, 0o644)?;
        // Whoever is faster has made it; this key is then nobody's.
        let linked = fs::hard_link(&new, &public);
        let _ = fs::remove_file(&new);
        match linked {
            Ok(()) => self.sync(),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                let _ = fs::remove_file(self.private(key.public()));
                Ok(())
            }
            Err(source) => Err(KeyError::io("write", &public, source)),
        }
    }

    /// All public keys; the first is made where there is none.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn history(&self) -> Result<KeyHistory, KeyError> {
        let path = self.folder.join(PUBLIC_KEYS);
        let text = self.public_text()?;
        let history = KeyHistory::parse(&text).map_err(|error| KeyError::broken(&path, error.to_string()))?;
        if let Some(other) = history.keys.first().filter(|first| first.key.name() != self.name) {
            let reason = format!("it has the keys of {}, not of {}", other.key.name(), self.name);
            return Err(KeyError::broken(&path, reason));
        }
        Ok(history)
    }

    /// Whether these are the keys of the log whose last checkpoint this is.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; [`KeyError::Lost`] where they are not here, [`KeyError::Broken`] where others are.
    pub fn fit(&self, last: Option<&Note>) -> Result<(), KeyError> {
        let history = self.history()?;
        if last.is_none_or(|last| history.signer_of(last).is_some()) {
            return Ok(());
        }
        Err(self.unfit("none of its keys has signed it"))
    }

    /// Why these keys do not sign what follows the last checkpoint.
    pub(super) fn unfit(&self, why: impl std::fmt::Display) -> KeyError {
        let reason = format!("the ledger's last checkpoint does not go with it: {why}");
        KeyError::broken(&self.folder.join(PUBLIC_KEYS), reason)
    }

    /// The file of the public keys as it is; it changes with each new key.
    pub(super) fn public_text(&self) -> Result<String, KeyError> {
        self.ensure(Timestamp::now())?;
        let path = self.folder.join(PUBLIC_KEYS);
        fs::read_to_string(&path).map_err(|source| KeyError::io("read", &path, source))
    }

    /// The key that signs now.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; [`KeyError::Io`] where this user may not read it.
    pub fn signer(&self) -> Result<NoteKey, KeyError> {
        let history = self.history()?;
        let Some(current) = history.keys.last() else {
            return Err(KeyError::broken(&self.folder.join(PUBLIC_KEYS), "there is no key in it"));
        };
        let path = self.private(&current.key);
        let text = fs::read_to_string(&path).map_err(|source| KeyError::io("read", &path, source))?;
        let key = PrivateKey::from_openssh(text).map_err(|error| KeyError::broken(&path, error.to_string()))?;
        let pair = key.key_data().ed25519().ok_or_else(|| KeyError::broken(&path, "it is not an Ed25519 key"))?;
        let key = NoteKey::from_seed(&self.name, &pair.private.to_bytes());
        let key = key.map_err(|error| KeyError::broken(&path, error.to_string()))?;
        if *key.public() == current.key {
            Ok(key)
        } else {
            Err(KeyError::broken(&path, "it is not the key that is public"))
        }
    }

    /// Makes a new key, which the current one names and which signs from now on. The private half of the current one
    /// is removed; its public half stays.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; nothing has changed then.
    pub fn rotate(&self, now: Timestamp) -> Result<KeyHistory, KeyError> {
        let (path, lock) = (self.folder.join(PUBLIC_KEYS), self.folder.join("lock"));
        self.ensure(now)?;
        let held = OpenOptions::new().create(true).append(true).open(&lock);
        let held: File = held.map_err(|source| KeyError::io("open", &lock, source))?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(KeyError::Busy),
            Err(TryLockError::Error(source)) => return Err(KeyError::io("lock", &lock, source)),
        }
        let (history, old) = (self.history()?, self.signer()?);
        let new = self.generate()?;
        let from = history.keys.last().map_or(whole(now), |last| whole(now).max(last.from));
        let number = history.keys.len() as u64 + 1;
        let note = Note::sign(statement(number, new.public(), from), &[&old, &new]);
        let text = format!("{}\n{note}", history.text);
        let checked = KeyHistory::parse(&text).map_err(|error| KeyError::broken(&path, error.to_string()))?;
        let written = self.folder.join(format!("{PUBLIC_KEYS}.new-{}", new.public().id()));
        put(&written, &text, 0o644)?;
        fs::rename(&written, &path).map_err(|source| KeyError::io("write", &path, source))?;
        self.sync()?;
        let gone = self.private(old.public());
        fs::remove_file(&gone).map_err(|source| KeyError::io("remove", &gone, source))?;
        Ok(checked)
    }

    /// Where the private half of a key lies, readable for nobody else.
    fn private(&self, key: &VerifierKey) -> PathBuf {
        self.folder.join(format!("{}.key", key.id()))
    }

    /// A new key, whose private half is durable when this answers.
    fn generate(&self) -> Result<NoteKey, KeyError> {
        let mut seed = [0; 32];
        let random = Path::new("/dev/urandom");
        getrandom::fill(&mut seed)
            .map_err(|error| KeyError::io("read", random, io::Error::other(error.to_string())))?;
        let broken = |reason: String| KeyError::broken(&self.folder, reason);
        let key = NoteKey::from_seed(&self.name, &seed).map_err(|error| broken(error.to_string()))?;
        let mut private = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        private.set_comment(&self.name);
        let text = private.to_openssh(LineEnding::LF).map_err(|error| broken(error.to_string()))?;
        put(&self.private(key.public()), &text, 0o600)?;
        Ok(key)
    }

    fn sync(&self) -> Result<(), KeyError> {
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| KeyError::io("sync", &self.folder, source))
    }
}

/// Times in statements are in whole seconds.
fn whole(now: Timestamp) -> Timestamp {
    now.round(TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor)).unwrap_or(now)
}

/// Writes a new file, which nobody else may read where `mode` says so from its first byte on.
fn put(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| KeyError::io("write", path, source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn keys(home: &tempfile::TempDir) -> LedgerKeys {
        LedgerKeys::of(home.path().join("keys"), &"0123456789abcdef0123456789abcdef".parse().unwrap())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn keys_are_made_once_rotated_and_the_old_ones_kept() {
        let home = tempfile::tempdir().unwrap();
        let keys = keys(&home);
        keys.ensure(at(100)).unwrap();
        let first = keys.signer().unwrap();
        keys.ensure(at(200)).unwrap();
        assert_eq!(keys.signer().unwrap().public(), first.public());
        let history = keys.rotate(at(300)).unwrap();
        let second = keys.signer().unwrap();
        assert_ne!(second.public(), first.public());
        let [old, new] = history.keys() else { panic!("{history:?}") };
        assert_eq!((&old.key, old.from, old.until), (first.public(), at(100), Some(at(300))));
        assert_eq!((&new.key, new.from, new.until), (second.public(), at(300), None));
        assert_eq!(history.verify(b"x", &first.sign(b"x")).unwrap().key, *first.public());
        assert!(history.verify(b"y", &first.sign(b"x")).is_none());
        // One private key is left, and it is its owner's alone.
        let files = fs::read_dir(home.path().join("keys")).unwrap().map(|entry| entry.unwrap().path());
        let private: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "key")).collect();
        let [private] = private.as_slice() else { panic!("{private:?}") };
        assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600);
        // A clock that goes back leaves no key that was never good.
        assert_eq!(keys.rotate(at(1)).unwrap().keys().last().unwrap().from, at(300));
        fs::write(private.parent().unwrap().join(format!("{}.key", keys.history().unwrap().keys()[2].key.id())), "x")
            .unwrap();
        assert!(matches!(keys.signer(), Err(KeyError::Broken { .. })));
    }

    #[test]
    fn no_other_key_is_made_for_a_log_that_is_signed() {
        let home = tempfile::tempdir().unwrap();
        let keys = keys(&home).of_a_signed_log(true);
        for lost in [keys.ensure(at(100)), keys.history().map(drop), keys.signer().map(drop), keys.fit(None)] {
            assert!(matches!(lost, Err(KeyError::Lost(_))), "{lost:?}");
        }
        assert!(matches!(keys.rotate(at(100)), Err(KeyError::Lost(_))));
        assert!(!home.path().join("keys").exists());
        let keys = keys.of_a_signed_log(false);
        keys.ensure(at(100)).unwrap();
        let own = Note::sign("x\n".into(), &[&keys.signer().unwrap()]);
        assert!(keys.fit(Some(&own)).is_ok() && keys.fit(None).is_ok());
        let strange = Note::sign("x\n".into(), &[&NoteKey::from_seed(&keys.name, &[7; 32]).unwrap()]);
        assert!(matches!(keys.fit(Some(&strange)), Err(KeyError::Broken { .. })));
    }

    #[test]
    fn no_statement_can_be_changed_left_out_or_put_elsewhere() {
        let home = tempfile::tempdir().unwrap();
        let keys = keys(&home);
        for second in [100, 200, 300] {
            keys.ensure(at(second)).and_then(|()| keys.rotate(at(second))).unwrap();
        }
        let text = keys.history().unwrap().text().to_owned();
        let notes = Note::several(&text).unwrap();
        assert_eq!(notes.len(), 4);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let read = String::from_utf8(bytes).ok().and_then(|text| KeyHistory::parse(&text).ok());
            // An empty line between two statements says nothing.
            let same = read.as_ref().is_some_and(|read| read.keys() == keys.history().unwrap().keys());
            assert!(read.is_none() || same, "byte {at}");
        }
        let joined = |order: &[usize]| order.iter().map(|at| notes[*at].to_string()).collect::<String>();
        assert!(KeyHistory::parse(&joined(&[0, 1, 2, 3])).is_ok());
        for order in [&[1, 2, 3][..], &[0, 2, 3], &[0, 1, 3], &[0, 1, 1, 2], &[1, 0, 2, 3], &[]] {
            assert!(KeyHistory::parse(&joined(order)).is_err(), "{order:?}");
        }
        // Whoever has only a new key of their own cannot follow on the keys there are.
        let own = NoteKey::from_seed(&keys.name, &[7; 32]).unwrap();
        let forged = Note::sign(statement(5, own.public(), at(400)), &[&own]);
        let refused = KeyHistory::parse(&format!("{text}{forged}")).unwrap_err();
        assert_eq!(refused.to_string(), "the statement of key 5 is not signed by the key before it");
    }
}
