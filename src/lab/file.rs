//! The lab's files: the state beside which everything else lies, its lock, and the journal. Every change is one
//! read-modify-write under an exclusive lock, stored by renaming a complete file over the old one, so that two
//! processes never lose each other's updates and a reader never sees half a file. It guards against processes that
//! die, not against power loss: a lab need not survive that.

#![allow(clippy::disallowed_methods, reason = "this is the one file of the lab that writes files")]

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{
    LabError,
    state::{JournalEnd, State},
};

/// Where the journal of the lab at `state` is: one JSON object `{tool, args, call, at}` per line and applied write.
pub fn journal_path(state: &Path) -> PathBuf {
    beside(state, ".journal.jsonl")
}

/// Reads the state as it is now, without a lock: the file is always complete.
pub(super) fn read(path: &Path) -> Result<State, LabError> {
    let bytes = fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => LabError::Missing { path: path.into() },
        _ => LabError::Io { doing: "read", path: path.into(), source },
    })?;
    serde_json::from_slice(&bytes).map_err(|source| LabError::Corrupt { path: path.into(), source })
}

/// Changes the state under the lock. It is stored, and the journal brought up to it, only if it did change.
pub(super) fn update<T>(path: &Path, change: impl FnOnce(&mut State) -> T) -> Result<T, LabError> {
    // Looked at before the lock is taken, so that a wrong path is not littered with a lock file.
    read(path)?;
    let _lock = lock(path)?;
    let before = read(path)?;
    let mut state = before.clone();
    state.journal = settle(path, &before.journal)?;
    let answer = change(&mut state);
    if state != before {
        store(path, &state)?;
        settle(path, &state.journal)?;
    }
    Ok(answer)
}

/// Stores the initial state and removes the journal.
pub(super) fn reset(path: &Path) -> Result<(), LabError> {
    let _lock = lock(path)?;
    store(path, &State::initial())?;
    let journal = journal_path(path);
    match fs::remove_file(&journal) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LabError::Io { doing: "remove", path: journal, source })
        }
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Waits for the lock; it ends with the returned file, and with the process if that dies.
fn lock(path: &Path) -> Result<File, LabError> {
    let path = beside(path, ".lock");
    let open = OpenOptions::new().create(true).append(true).open(&path);
    open.and_then(|file| file.lock().map(|()| file)).map_err(|source| LabError::Io { doing: "lock", path, source })
}

fn store(path: &Path, state: &State) -> Result<(), LabError> {
    let failed = |source| LabError::Io { doing: "write", path: path.into(), source };
    let mut bytes = serde_json::to_vec_pretty(state).map_err(|error| failed(error.into()))?;
    bytes.push(b'\n');
    let new = beside(path, ".new");
    fs::write(&new, bytes).and_then(|()| fs::rename(&new, path)).map_err(failed)
}

/// Writes the journal's last line if it is not there, or not all of it. The answer is where the journal ends now, which
/// is elsewhere if someone removed or changed it by hand.
fn settle(path: &Path, end: &JournalEnd) -> Result<JournalEnd, LabError> {
    let path = journal_path(path);
    let failed = |source| LabError::Io { doing: "write", path: path.clone(), source };
    let there = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(failed(error)),
    };
    let start = end.bytes.saturating_sub(end.last.len() as u64);
    if there == end.bytes {
        return Ok(end.clone());
    }
    if !(start..end.bytes).contains(&there) {
        return Ok(JournalEnd { bytes: there, last: String::new() });
    }
    let write = || {
        let mut journal = OpenOptions::new().create(true).write(true).truncate(false).open(&path)?;
        journal.set_len(start)?;
        journal.seek(SeekFrom::Start(start))?;
        journal.write_all(end.last.as_bytes())
    };
    write().map_err(failed)?;
    Ok(end.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::lab::{clear_faults, faults, load, network::Network, set_fault, state::Call, tool::Tool};

    fn lab() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lab.json");
        reset(&path).unwrap();
        (directory, path)
    }

    fn allocate(path: &Path) {
        let args = json!({"prefix": "192.0.2.0/24", "name": "web"});
        let call = Call {
            tool: Tool::named("ipam.address.allocate").unwrap(),
            args: args.as_object().unwrap(),
            id: Some("c1"),
            at: "2026-12-01T22:00:00Z".into(),
        };
        update(path, |state| state.decide(&Call { id: None, ..call }, false)).unwrap();
    }

    fn journal(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(journal_path(path)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_reset_lab_is_the_initial_network_with_an_empty_journal() {
        let (_directory, path) = lab();
        assert_eq!(load(&path).unwrap(), Network::initial());
        allocate(&path);
        set_fault(&path, "lie:vlan.create".parse().unwrap()).unwrap();
        assert_ne!(load(&path).unwrap(), Network::initial());
        assert_eq!(journal(&path).len(), 1);
        reset(&path).unwrap();
        assert_eq!(load(&path).unwrap(), Network::initial());
        assert_eq!(faults(&path).unwrap(), []);
        assert_eq!(journal(&path), [] as [Value; 0]);
    }

    #[test]
    fn a_fault_is_kept_until_it_is_cleared() {
        let (_directory, path) = lab();
        let fault: crate::lab::Fault = "slow:vlan.list@sw02,times=2,ms=5".parse().unwrap();
        set_fault(&path, fault.clone()).unwrap();
        assert_eq!(faults(&path).unwrap(), [fault]);
        clear_faults(&path).unwrap();
        assert_eq!(faults(&path).unwrap(), []);
    }

    #[test]
    fn a_missing_or_corrupt_file_says_what_to_do() {
        let (_directory, path) = lab();
        let elsewhere = path.with_file_name("other.json");
        let missing = set_fault(&elsewhere, "lie:vlan.create".parse().unwrap()).unwrap_err();
        assert!(matches!(missing, LabError::Missing { .. }) && missing.to_string().contains("countersign lab reset"));
        assert!(!beside(&elsewhere, ".lock").exists());
        for text in ["", "{", "{}", "{\"network\": 3}"] {
            fs::write(&path, text).unwrap();
            let corrupt = load(&path).unwrap_err();
            assert!(matches!(corrupt, LabError::Corrupt { .. }), "{text}");
            assert!(corrupt.to_string().contains("countersign lab reset"));
            clear_faults(&path).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "a corrupt file is left alone");
        }
        reset(&path).unwrap();
        load(&path).unwrap();
    }

    #[test]
    fn no_update_is_lost_between_two_writers() {
        let (_directory, path) = lab();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20).for_each(|_| allocate(&path)));
            }
        });
        assert_eq!(load(&path).unwrap().prefixes["192.0.2.0/24"].len(), 84);
        let lines = journal(&path);
        assert_eq!(lines.len(), 80);
        let expected = json!({"tool": "ipam.address.allocate", "args": {"prefix": "192.0.2.0/24", "name": "web"},
            "call": null, "at": "2026-12-01T22:00:00Z"});
        assert!(lines.iter().all(|line| *line == expected));
    }

    #[test]
    fn a_line_that_a_dead_process_did_not_write_is_written_by_the_next() {
        let (_directory, path) = lab();
        allocate(&path);
        allocate(&path);
        let whole = fs::read(journal_path(&path)).unwrap();
        for cut in [whole.len() / 2, whole.len() / 2 + 7, whole.len() - 1] {
            fs::write(journal_path(&path), &whole[..cut]).unwrap();
            clear_faults(&path).unwrap();
            assert_eq!(fs::read(journal_path(&path)).unwrap(), whole);
        }
        fs::remove_file(journal_path(&path)).unwrap();
        allocate(&path);
        assert_eq!(journal(&path).len(), 1, "a journal removed by hand starts again");
    }
}
