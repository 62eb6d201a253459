//! Searching a ledger file for damage before it is used (`PRAGMA quick_check`, which reads every page). A file of up to
//! [`SMALL`] bytes is searched whenever it is opened. A larger one is searched when it is not the file that was found
//! whole before: then its place, size and times are kept beside it, in `ledger.db.checked`, and whoever finds another
//! file, no such note or one that is older than [`FRESH`] searches again. What is in the write-ahead log moves to the file
//! sooner or later and so makes another file of it; until then SQLite holds each page there against a checksum. The note
//! saves time and proves nothing; where the ledger is only read none is written.
#![allow(clippy::disallowed_methods, reason = "this file owns the note beside the ledger")]

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, MAIN_DB, config::DbConfig};

use super::{super::error::LedgerError, failed, schema::beside};

/// So large a file is always searched: it takes about a millisecond for each MiB.
const SMALL: u64 = 32 << 20;
/// For so long a larger file that did not change is taken to be as it was: a disk that loses bits does not say so.
const FRESH: Duration = Duration::from_hours(24);
/// A file that was written this short a time ago may be written again without its time showing it.
const SETTLED: Duration = Duration::from_secs(1);

/// Searches the file that this connection has opened, unless it is known to be whole.
///
/// # Errors
///
/// [`LedgerError::Corrupt`] with the first damage.
pub(super) fn search(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    search_above(SMALL, connection, path).map(drop)
}

/// The same with another size; whether it was searched.
fn search_above(small: u64, connection: &Connection, path: &Path) -> Result<bool, LedgerError> {
    // Nothing here opens the file: closing it again would take SQLite's locks from it.
    let metadata = fs::metadata(path).map_err(|source| LedgerError::io("look at", path, source))?;
    let note = beside(path, ".checked");
    let large = metadata.len() > small;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let file = identity(&metadata);
    if large && fs::read_to_string(&note).is_ok_and(|text| holds(&text, &file, now)) {
        return Ok(false);
    }
    let found: Result<String, _> = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0));
    let damage = match found.map_err(failed("be searched for damage")) {
        Ok(said) if said == "ok" => None,
        // Its first line may only name the database.
        Ok(said) => Some(LedgerError::corrupt("the database file", said.lines().last().unwrap_or_default())),
        Err(error) => Some(error),
    };
    if let Some(error) = damage {
        // What the last process left beside the file is not moved into it now.
        if fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        return Err(error);
    }
    let settled = metadata.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|since| since > SETTLED);
    if large && settled && !connection.is_readonly(MAIN_DB).map_err(failed("be searched for damage"))? {
        let new = beside(path, &format!(".checked.new-{}", std::process::id()));
        // Without it the next one searches too.
        if fs::write(&new, format!("{file}\n{}\n", now.as_secs())).and_then(|()| fs::rename(&new, &note)).is_err() {
            let _ = fs::remove_file(&new);
        }
    }
    Ok(true)
}

/// Which file it is and when it was last changed, in one line.
fn identity(metadata: &fs::Metadata) -> String {
    format!(
        "{} {} {} {}.{:09} {}.{:09}",
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    )
}

/// Whether a note is about this file, and young enough.
fn holds(note: &str, file: &str, now: Duration) -> bool {
    let mut lines = note.lines();
    let same = lines.next() == Some(file);
    let at = lines.next().and_then(|at| at.parse().ok()).map(Duration::from_secs);
    same && at.and_then(|at| now.checked_sub(at)).is_some_and(|age| age < FRESH)
}

#[cfg(test)]
mod tests {
    use super::{super::connect, *};
    use crate::ledger::{SqliteStore, testing::Story};

    /// A closed ledger of a few pages that was last written an hour ago.
    async fn ledger(dir: &tempfile::TempDir) -> std::path::PathBuf {
        let path = dir.path().join("ledger.db");
        let store = SqliteStore::open(&path).await.unwrap();
        for of in ["aaaaa", "bbbbb", "ccccc"] {
            store.append(Story::whole(of).append(0, 20)).await.unwrap();
        }
        store.close().await;
        past(&path);
        path
    }

    fn past(path: &Path) {
        let file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
    }

    #[tokio::test]
    async fn a_large_file_is_searched_once_and_again_when_it_changed_or_a_day_has_passed() {
        let dir = tempfile::tempdir().unwrap();
        let path = ledger(&dir).await;
        let note = beside(&path, ".checked");
        let search = |small| search_above(small, &connect(&path).unwrap(), &path).unwrap();
        assert!(search(SMALL) && search(SMALL), "a small one is always searched");
        assert!(!note.exists());
        let reads = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        assert!(search_above(0, &reads, &path).unwrap());
        assert!(!note.exists(), "whoever only reads keeps none");
        drop(reads);
        assert!(search(0));
        let kept = fs::read_to_string(&note).unwrap();
        assert!(!search(0), "it is known to be whole");
        // Whatever is not a note about this very file is none.
        let (file, at) = kept.trim_end().split_once('\n').unwrap();
        let old = at.parse::<u64>().unwrap() - FRESH.as_secs();
        let notes = ["", "garbage", "\n\n", file, &format!("{file}\n{old}"), &format!("{file}\n99999999999")];
        for other in notes.into_iter().chain([kept.replacen(' ', "  ", 1).as_str()]) {
            fs::write(&note, other).unwrap();
            assert!(search(0), "{other:?}");
            assert!(!search(0), "{other:?}");
        }
        past(&path);
        assert!(search(0) && !search(0), "another time");
        fs::rename(&path, dir.path().join("away")).unwrap();
        fs::copy(dir.path().join("away"), &path).unwrap();
        assert!(search(0), "another file");
        assert!(search(0), "one that was written a moment ago is not taken for settled");
        fs::remove_file(&note).unwrap();
        fs::create_dir(&note).unwrap();
        past(&path);
        assert!(search(0) && search(0), "a note that cannot be kept");
    }

    #[tokio::test]
    async fn damage_that_was_not_there_before_is_found_in_a_large_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = ledger(&dir).await;
        assert!(search_above(0, &connect(&path).unwrap(), &path).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let leaf = (1..bytes.len() / 4096).find(|page| bytes[page * 4096] == 13).unwrap();
        bytes[leaf * 4096 + 3000..(leaf + 1) * 4096].fill(0);
        fs::write(&path, &bytes).unwrap();
        past(&path);
        let found = search_above(0, &connect(&path).unwrap(), &path).unwrap_err();
        assert!(matches!(found, LedgerError::Corrupt { .. }), "{found}");
        let found = SqliteStore::open(&path).await.unwrap_err();
        assert!(found.to_string().ends_with("restore the workspace from a backup"), "{found}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}
