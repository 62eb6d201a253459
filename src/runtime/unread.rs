//! Words for files that cannot be read. What the operating system says of them has no way on.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use super::error::WorkspaceError;

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

/// Why a file that a person named cannot be read, in words.
pub fn unread(place: &str, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("there is no file `{place}`"),
        ErrorKind::PermissionDenied => {
            format!("{place}: this OS user may not read it; give it leave to, or name another file")
        }
        ErrorKind::IsADirectory => format!("{place} is a folder; name a file"),
        ErrorKind::InvalidData => format!("{place} is not UTF-8 text; save it as that"),
        _ => format!("{place}: {error}"),
    }
}

/// The error where a file or folder of a workspace cannot be read.
pub(super) fn unusable(path: &Path, error: &io::Error) -> WorkspaceError {
    WorkspaceError::Unread(words(path, error).unwrap_or_else(|| format!("{}: {error}", path.display())))
}

fn words(path: &Path, error: &io::Error) -> Option<String> {
    let name = OF_EVERY_WORKSPACE.into_iter().find(|name| path.ends_with(name))?;
    let what = if ["tools", "prompts/blueprints"].contains(&name) { "a folder" } else { "a file" };
    let new = match name {
        "policies/people.yaml" => "`countersign init DIR` lays out a workspace that has one, in which only you stand",
        _ => "`countersign init DIR` lays out a workspace that has one",
    };
    let fetch = format!("take it from a backup or from version control, or copy it: {new}");
    let place = path.display();
    Some(match error.kind() {
        ErrorKind::NotFound => format!("{place} is missing, and nothing is done without it; {fetch}"),
        ErrorKind::PermissionDenied => format!(
            "{place}: this OS user may not read it, and nothing is done without it; have its owner give leave (`chmod`, `chown`)"
        ),
        ErrorKind::IsADirectory | ErrorKind::NotADirectory | ErrorKind::InvalidInput => {
            format!("{place} is not {what}, as it should be; move it away, then {fetch}")
        }
        ErrorKind::InvalidData => format!("{place} is not UTF-8 text; save it as that, or {fetch}"),
        _ => return None,
    })
}
