//! Reading the files that a person named, and words for key files that cannot be used.

use std::{
    fs::File,
    io::{Error, ErrorKind, Read},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use serde::de::DeserializeOwned;

use crate::{artifact::from_yaml, ledger::KeyError, runtime::unread};

use super::{code::CliError, output::plain};

/// No text that a person names is longer, in bytes.
const LONGEST: u64 = 16 << 20;
/// Whether standard input was read: it is there once.
static INPUT_READ: AtomicBool = AtomicBool::new(false);

/// A text file that a person named; `-` is standard input, and a pipe does as well.
pub fn read(path: &Path) -> Result<String, CliError> {
    read_up_to(path, LONGEST)
}

/// The same, of so many bytes at most.
pub fn read_up_to(path: &Path, longest: u64) -> Result<String, CliError> {
    let unread = |error: Error| CliError::usage(unread(&name(path), &error));
    let mut text = String::new();
    let read = if is_input(path) {
        if INPUT_READ.swap(true, Ordering::SeqCst) {
            return Err(CliError::usage(
                "`-` is given twice, and standard input is there once; name a file for the other",
            ));
        }
        std::io::stdin().lock().take(longest + 1).read_to_string(&mut text)
    } else {
        File::open(path).map_err(unread)?.take(longest + 1).read_to_string(&mut text)
    };
    if read.map_err(unread)? as u64 > longest {
        return Err(CliError::usage(format!("{} is longer than {longest} bytes", name(path))));
    }
    Ok(text)
}

/// What a text says that a person wrote; one of another kind is called what it is.
pub fn document<T: DeserializeOwned>(name: &str, text: &str, wanted: &str) -> Result<T, CliError> {
    from_yaml(name, text).map_err(|error| {
        let kind = text.lines().zip(1..).find_map(|(line, at)| Some((line.strip_prefix("kind:")?.trim(), at)));
        match kind.filter(|(said, _)| *said != wanted) {
            Some((other, at)) => {
                let other = plain(other);
                CliError::usage(format!(
                    "{name}:{at}: this is a document of kind `{other}`, and a {wanted} is wanted here"
                ))
            }
            None => error.into(),
        }
    })
}

/// What a file is called where something is said of it.
pub fn name(path: &Path) -> String {
    if is_input(path) { "standard input".into() } else { path.display().to_string() }
}

/// Whether a word names something to read: a file, a pipe or standard input.
pub fn is_one(path: &Path) -> bool {
    is_input(path) || path.metadata().is_ok_and(|found| !found.is_dir())
}

fn is_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What an error of the ledger's keys says where a file of theirs cannot be used; nothing where it is something else.
pub fn of_keys(error: &KeyError) -> Option<String> {
    let KeyError::Io { path, source, .. } = error else { return None };
    let (place, back) = (path.display(), "put it back from a copy of .countersign/keys");
    match source.kind() {
        ErrorKind::NotFound => Some(format!("{place} is missing, and nothing is signed without it; {back}")),
        ErrorKind::IsADirectory => Some(format!("{place} is a folder; {back}")),
        ErrorKind::PermissionDenied => {
            Some(format!("{place}: this OS user may not use it; ask whoever owns the workspace to do it"))
        }
        _ => None,
    }
}
