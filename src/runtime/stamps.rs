//! Whether files are still those that were read, without reading them again: their inode, their size and when they last
//! changed. What changed too lately to tell one change from the next is not trusted and is read again.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// What files and folders were at one moment.
pub(super) struct Stamps {
    of: Vec<(PathBuf, Option<Stamp>)>,
    /// Whether a change after that moment shows.
    settled: bool,
}

/// Device, inode, size, and when the content and the inode last changed. Nobody can set the last one, so a file that was
/// changed has another stamp even where its time was put back.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// File systems keep time in steps of up to this many seconds, FAT in the widest.
const STEP: i64 = 2;

impl Stamps {
    /// What these are now. To be taken before they are read: then a change meanwhile shows the next time.
    pub(super) fn of(paths: Vec<PathBuf>) -> Self {
        let of: Vec<_> =
            paths.into_iter().map(|path| (stamp(&path), path)).map(|(stamp, path)| (path, stamp)).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let now = now.and_then(|now| i64::try_from(now.as_secs()).ok()).unwrap_or(i64::MIN);
        let long_ago = |stamp: &Stamp| stamp.changed.0.max(stamp.modified.0).saturating_add(STEP) < now;
        let settled = of.iter().filter_map(|(_, stamp)| stamp.as_ref()).all(long_ago);
        Self { of, settled }
    }

    /// Whether these are the same at another moment.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.of == other.of
    }

    /// Whether none of them can have changed since.
    pub(super) fn hold(&self) -> bool {
        self.settled && self.of.iter().all(|(path, known)| stamp(path) == *known)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let seen = fs::metadata(path).ok()?;
    Some(Stamp {
        inode: (seen.dev(), seen.ino()),
        size: seen.size(),
        modified: (seen.mtime(), seen.mtime_nsec()),
        changed: (seen.ctime(), seen.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests;
