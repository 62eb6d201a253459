//! The ledger's own key: what signs checkpoints and what leaves the ledger. It lies in `.countersign/keys/`, where no
//! tool server may read. `public` there holds every key that there was: a note for each, signed by the key before it
//! and by itself, so that whoever trusts one of them can follow to those after it. It names the size of the log too, so
//! that whoever gets hold of a key that was replaced can sign no log that went on with it.
#![allow(clippy::disallowed_methods, reason = "this file owns making and keeping the ledger's key")]

mod rotation;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use jiff::{Timestamp, TimestampRound, Unit};
use serde::Serialize;
use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair};

use crate::artifact::LedgerId;

use super::{
    checkpoint::Checkpoint,
    error::LedgerError,
    note::{Note, NoteError, NoteKey, VerifierKey},
};

/// The file of all public keys, in the folder and in a bundle.
pub const PUBLIC_KEYS: &str = "public";

/// The file beside the keys that says how many leaves they have signed at most. It is no part of the ledger, so that what
/// is cut off the ledger's end is missed.
const SIGNED: &str = "signed";

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
    /// The log could not be read.
    #[error("the key was not rotated")]
    Log(#[source] Box<LedgerError>),
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
    /// How many leaves the log had when it was replaced: it signs no checkpoint of more. Nothing for the current one, and
    /// where the statement of the next key was written before it said so.
    pub up_to: Option<u64>,
}

/// Why a checkpoint is not taken for signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// None of the keys has signed it.
    #[error("is not signed by a key of this ledger")]
    Unknown,
    /// Only a key did that had been replaced before.
    #[error(
        "is signed by the key {key}, which was replaced when the log had {up_to} leaves: somebody else has that key"
    )]
    Replaced {
        /// The key.
        key: String,
        /// How many leaves the last log has that it signs.
        up_to: u64,
    },
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
            let (subject, says, vkey, from, size) = match *lines.as_slice() {
                [subject, says, vkey, from] => (subject, says, vkey, from, None),
                [subject, says, vkey, from, size] if number > 1 => (subject, says, vkey, from, Some(size)),
                _ => return Err(wrong("has not the lines of one".into())),
            };
            let size = size.map(str::parse).transpose().map_err(|_| wrong("has no size of the log".into()))?;
            let key: VerifierKey = vkey.parse().map_err(|error| wrong(format!("names no key: {error}")))?;
            let from: Timestamp = from.parse().map_err(|_| wrong("has no time".into()))?;
            if statement(number, &key, from, size) != note.text() {
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
                (before.until, before.up_to) = (Some(from), size);
            }
            keys.push(Published { key, from, until: None, up_to: None });
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

    /// The key that signed the checkpoint of so many leaves, with its place among the keys.
    ///
    /// # Errors
    ///
    /// [`Unsigned`] if none did, or only one that had been replaced by then.
    pub fn signer_of(&self, note: &Note, size: u64) -> Result<(usize, &Published), Unsigned> {
        let mut why = Unsigned::Unknown;
        for (place, published) in self.keys.iter().enumerate().rev() {
            if !note.is_signed_by(&published.key) {
                continue;
            }
            match published.up_to.filter(|up_to| size > *up_to) {
                None => return Ok((place, published)),
                Some(up_to) => why = Unsigned::Replaced { key: published.key.id(), up_to },
            }
        }
        Err(why)
    }

    /// What is wrong with the order of checkpoints, each with its size and the place of the key that signed it: none is
    /// signed by a key that was before that of one with fewer leaves. Of keys whose statements name no size it is all that
    /// shows that a replaced one went on signing.
    pub fn out_of_order(&self, signed: &[(u64, usize)]) -> Option<(u64, String)> {
        let mut signed = signed.to_vec();
        signed.sort_unstable();
        let mut latest: Option<(u64, usize)> = None;
        for (size, place) in signed {
            if let Some((fewer, later)) = latest.filter(|(fewer, later)| *fewer < size && *later > place) {
                let key = |place: usize| self.keys.get(place).map(|published| published.key.id()).unwrap_or_default();
                return Some((
                    fewer,
                    format!(
                        "the checkpoint of {size} is signed by the key {}, which {} had replaced by the checkpoint of \
                         {fewer}: somebody else has that key",
                        key(place),
                        key(later)
                    ),
                ));
            }
            if latest.is_none_or(|(_, later)| place > later) {
                latest = Some((size, place));
            }
        }
        None
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

/// What a key is introduced with, and how many leaves the log had by then if it is not the first. Its first line is none
/// that a checkpoint has.
pub(super) fn statement(number: u64, key: &VerifierKey, from: Timestamp, size: Option<u64>) -> String {
    let size = size.map(|size| format!("{size}\n")).unwrap_or_default();
    format!("{}/keys\n{number}\n{key}\n{from}\n{size}", key.name())
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
        let text = Note::sign(statement(1, key.public(), whole(now), None), &[&key]).to_string();
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
        let Some(last) = last else { return Ok(()) };
        let Checkpoint { size, .. } = Checkpoint::of(last).map_err(|error| self.unfit(error))?;
        history.signer_of(last, size).map_err(|why| self.unfit(format!("it {why}"))).map(drop)
    }

    /// Why these keys do not sign what follows the last checkpoint.
    pub(super) fn unfit(&self, why: impl std::fmt::Display) -> KeyError {
        let reason = format!("the ledger's last checkpoint does not go with it: {why}");
        KeyError::broken(&self.folder.join(PUBLIC_KEYS), reason)
    }

    /// Where it stands how many leaves were signed.
    pub(super) fn signed_file(&self) -> PathBuf {
        self.folder.join(SIGNED)
    }

    /// How many leaves were signed at most; nothing where nobody has written that down.
    ///
    /// # Errors
    ///
    /// [`KeyError::Io`], and [`KeyError::Broken`] where it is no number.
    pub fn signed_up_to(&self) -> Result<Option<u64>, KeyError> {
        let path = self.signed_file();
        match fs::read_to_string(&path) {
            // A crash may leave it empty; what it said is said again with the next one.
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => text.trim().parse().map(Some).map_err(|_| KeyError::broken(&path, "it is no number of leaves")),
            Err(source) if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(source) => Err(KeyError::io("read", &path, source)),
        }
    }

    /// Writes down that so many leaves were signed, unless more were. It is written in its place and not waited for: what
    /// a crash of the machine takes of it only makes it say less.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub(super) fn keep_signed(&self, size: u64) -> Result<(), KeyError> {
        if self.signed_up_to()?.is_some_and(|known| known >= size) {
            return Ok(());
        }
        let path = self.signed_file();
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(&path);
        let written = file.and_then(|file| file.write_all_at(format!("{size:020}\n").as_bytes(), 0));
        written.map_err(|source| KeyError::io("write", &path, source))
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
    /// [`KeyError`]; [`KeyError::Io`] where this user may not read it, or it is gone.
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

    /// What to do where others than its owner may read a private key; nothing where none may. It signs all the same: what
    /// is under no checkpoint is worse off.
    pub fn exposed(&self) -> Option<String> {
        let mut paths = fs::read_dir(&self.folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let open = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
        let path = paths.find(|path| path.extension().is_some_and(|end| end == "key") && open(path))?;
        Some(format!(
            "others may read the ledger's private key {0}, and sign logs with it: take that back with `chmod 600 {0}`, and make \
             a new one with `countersign keys rotate` if somebody may have",
            path.display()
        ))
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
mod tests;
