//! Files: reading those that a person named, and words for those that cannot be read. What the operating system says of
//! them has no way on.

use std::{
    fs::File,
    io::{Error, ErrorKind, Read},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    broker::BrokerError,
    ledger::KeyError,
    runtime::{AnswerError, DriverError, RequestError, SigningError, WorkspaceError, unread},
};

use super::output::CliError;

/// The files and folders that every workspace has, as `init` lays them out.
const OF_EVERY_WORKSPACE: [&str; 8] = [
    "policies/guardrails.cedar",
    "policies/stages.cedar",
    "policies/gates.cedar",
    "policies/inventory.yaml",
    "policies/people.yaml",
    "policies/allowed_signers",
    "tools",
    "prompts/blueprints",
];

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

/// What an error of a workspace says where one of its own files cannot be read; nothing where it is something else, or
/// the file can be read by now.
pub fn of_the_workspace(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(BrokerError::Catalog(said)) = broker(error) {
        let path = said.rsplit_once(": ").map(|(path, _)| Path::new(path))?;
        return words(path);
    }
    if let Some(KeyError::Io { path, source, .. }) = error.downcast_ref::<KeyError>() {
        let back = "put it back from a copy of .countersign/keys";
        let place = path.display();
        return match source.kind() {
            ErrorKind::NotFound => Some(format!("{place} is missing, and nothing is signed without it; {back}")),
            ErrorKind::IsADirectory => Some(format!("{place} is a folder; {back}")),
            ErrorKind::PermissionDenied => {
                Some(format!("{place}: this OS user may not use it; ask whoever owns the workspace to do it"))
            }
            _ => None,
        };
    }
    match workspace(error)? {
        WorkspaceError::File { path, .. } => words(path),
        _ => None,
    }
}

fn words(path: &Path) -> Option<String> {
    let name = OF_EVERY_WORKSPACE.into_iter().find(|name| path.ends_with(name))?;
    let folder = Path::new(name).extension().is_none() && !name.ends_with("allowed_signers");
    let tried = if folder { std::fs::read_dir(path).map(drop) } else { std::fs::read_to_string(path).map(drop) };
    let new = match name {
        "policies/people.yaml" => "`countersign init DIR` lays out a workspace that has one, in which only you stand",
        _ => "`countersign init DIR` lays out a workspace that has one",
    };
    let fetch = format!("take it from a backup or from version control, or copy it: {new}");
    let place = path.display();
    let what = if folder { "a folder" } else { "a file" };
    Some(match tried.err()?.kind() {
        ErrorKind::NotFound => format!("{place} is missing, and nothing is done without it; {fetch}"),
        ErrorKind::PermissionDenied => format!(
            "{place}: this OS user may not read it, and nothing is done without it; have its owner give leave (`chmod`, `chown`)"
        ),
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            format!("{place} is not {what}, as it should be; move it away, then {fetch}")
        }
        ErrorKind::InvalidData => format!("{place} is not UTF-8 text; save it as that, or {fetch}"),
        _ => return None,
    })
}

/// The error of a workspace that another error is.
fn workspace<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a WorkspaceError> {
    if let Some(error) = error.downcast_ref::<WorkspaceError>() {
        return Some(error);
    }
    if let Some(RequestError::Workspace(error)) = error.downcast_ref::<RequestError>() {
        return Some(error);
    }
    if let Some(SigningError::Workspace(error)) = error.downcast_ref::<SigningError>() {
        return Some(error);
    }
    if let Some(DriverError::Workspace(error)) = error.downcast_ref::<DriverError>() {
        return Some(error);
    }
    match error.downcast_ref::<AnswerError>()? {
        AnswerError::Workspace(error) | AnswerError::Signing(SigningError::Workspace(error)) => Some(error),
        _ => None,
    }
}

fn broker<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a BrokerError> {
    match error.downcast_ref::<DriverError>() {
        Some(DriverError::Broker(error)) => Some(error),
        _ => error.downcast_ref::<BrokerError>(),
    }
}
