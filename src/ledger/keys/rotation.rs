//! One key in place of another, and what a rotation that was cut off has left.
#![allow(clippy::disallowed_methods, reason = "this file owns replacing the ledger's key")]

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::PathBuf,
};

use jiff::Timestamp;

use crate::ledger::note::Note;

use super::{KeyError, KeyHistory, LedgerKeys, PUBLIC_KEYS, put, statement, whole};

impl LedgerKeys {
    /// Makes a new key, which the current one names and which signs from now on, when the log has so many leaves and gets
    /// no more meanwhile. The private half of the current one is removed; its public half stays.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; nothing has changed then.
    pub(in crate::ledger) fn rotate(&self, now: Timestamp, size: u64) -> Result<KeyHistory, KeyError> {
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
        let note = Note::sign(statement(number, new.public(), from, Some(size)), &[&old, &new]);
        let text = format!("{}\n{note}", history.text);
        let checked = KeyHistory::parse(&text).map_err(|error| KeyError::broken(&path, error.to_string()))?;
        let written = self.folder.join(format!("{PUBLIC_KEYS}.new-{}", new.public().id()));
        put(&written, &text, 0o644)?;
        fs::rename(&written, &path).map_err(|source| KeyError::io("write", &path, source))?;
        self.sync()?;
        // With what a rotation that was cut off has left. The key is made, whatever becomes of this.
        for gone in self.beside(&checked)? {
            match fs::remove_file(&gone) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(KeyError::io("remove", &gone, source));
                }
                _ => {}
            }
        }
        Ok(checked)
    }

    /// What a rotation that was cut off has left: private halves that are not of the key that signs, and what was to become
    /// the file of the public keys. The next rotation removes them. Nothing while one is under way, or where the folder may
    /// not be listed.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn left_over(&self) -> Result<Vec<PathBuf>, KeyError> {
        let lock = self.folder.join("lock");
        // Where there was never a lock, nothing was ever rotated.
        let Ok(held) = File::open(&lock) else { return Ok(Vec::new()) };
        match held.try_lock_shared() {
            Ok(()) => self.beside(&self.history()?),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// The files in the folder that are of no use beside the last of these keys.
    fn beside(&self, history: &KeyHistory) -> Result<Vec<PathBuf>, KeyError> {
        let current = history.keys.last().map(|current| self.private(&current.key));
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => return Ok(Vec::new()),
            Err(source) => return Err(KeyError::io("read", &self.folder, source)),
        };
        let id = |name: &str| name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| KeyError::io("read", &self.folder, source))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let private = name.strip_suffix(".key").is_some_and(id) && Some(&path) != current.as_ref();
            let public = name.strip_prefix(PUBLIC_KEYS).and_then(|name| name.strip_prefix(".new-")).is_some_and(id);
            if private || public {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}
