//! Plain files: read no further than a limit, and never a pipe or a link that could lead anywhere; written whole or not at
//! all.

#![allow(clippy::disallowed_methods, reason = "this is what reads and writes what leaves the ledger")]

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{archive::LARGEST_BUNDLE, error::LedgerError};

/// Writes a new file, whole or not at all.
///
/// # Errors
///
/// [`LedgerError::Exists`] if something is there; [`LedgerError::Io`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(LedgerError::Exists(path.into()));
    }
    let new = sibling(path)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        let why = format!("there is no folder {}; make it first", parent.display());
        return Err(LedgerError::io("write", path, io::Error::new(io::ErrorKind::NotFound, why)));
    }
    let written = fs::File::create_new(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let written = written.map_err(|source| LedgerError::io("write", &new, source)).and_then(|()| {
        // What was put there meanwhile stays as it is.
        fs::hard_link(&new, path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => LedgerError::Exists(path.into()),
            _ => LedgerError::io("write", path, source),
        })
    });
    let _ = fs::remove_file(&new);
    written
}

/// The bytes of a bundle file, which may be anything.
///
/// # Errors
///
/// [`LedgerError::Io`] if it is no file, too large or cannot be read.
pub fn read_bundle_file(path: &Path) -> Result<Vec<u8>, LedgerError> {
    read_at_most(path, LARGEST_BUNDLE)
}

/// A file that is no link: that could lead anywhere.
pub(crate) fn read_plain(path: &Path, most: u64) -> Result<Vec<u8>, LedgerError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file");
            Err(LedgerError::io("read", path, source))
        }
        _ => read_at_most(path, most),
    }
}

/// A plain file: a pipe could never end.
fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, LedgerError> {
    let refused = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let read = fs::metadata(path).and_then(|metadata| {
        if !metadata.is_file() {
            return Err(refused("it is not a plain file".into()));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
        let whole = bytes.len() as u64 <= most;
        if whole { Ok(bytes) } else { Err(refused(format!("it has more than {most} bytes, and none such is read"))) }
    });
    read.map_err(|source| LedgerError::io("read", path, source))
}

/// Where something is prepared: beside its place, so that a rename suffices.
pub(super) fn sibling(dir: &Path) -> Result<PathBuf, LedgerError> {
    let name = dir.file_name().ok_or_else(|| LedgerError::Occupied(dir.into()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".new-{}", std::process::id()));
    Ok(dir.with_file_name(hidden))
}
