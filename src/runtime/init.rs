//! The files of a new workspace.
#![allow(clippy::disallowed_methods, reason = "this file owns laying out a workspace")]

use std::path::Path;

use crate::tool::SERVERS;

use super::{
    error::WorkspaceError,
    workspace::{file_error, write},
};

/// The files that `init` lays out, relative to the workspace.
const SHIPPED: [(&str, &str); 11] = [
    ("tools/lab.yaml", include_str!("../../tools/lab.yaml")),
    ("prompts/blueprints/vlan.yaml", include_str!("../../prompts/blueprints/vlan.yaml")),
    ("prompts/blueprints/dns.yaml", include_str!("../../prompts/blueprints/dns.yaml")),
    ("prompts/blueprints/address.yaml", include_str!("../../prompts/blueprints/address.yaml")),
    ("policies/guardrails.cedar", include_str!("../../policies/guardrails.cedar")),
    ("policies/stages.cedar", include_str!("../../policies/stages.cedar")),
    ("policies/gates.cedar", include_str!("../../policies/gates.cedar")),
    ("policies/inventory.yaml", include_str!("../../policies/inventory.yaml")),
    ("policies/models.yaml", include_str!("../../policies/models.yaml")),
    ("policies/allowed_signers", include_str!("../../policies/allowed_signers")),
    (".gitignore", "/.countersign/\n"),
];

/// Lays out a new workspace with `owner` as its owner, and the simulated lab's network. One that could not be laid out whole
/// before is gone on with, where nothing in it is anybody else's.
///
/// # Errors
///
/// [`WorkspaceError`], for a folder that has something else in it among others. What was written then stays.
pub fn init_files(root: &Path, owner: &str, os_user: &str) -> Result<Vec<String>, WorkspaceError> {
    if root.exists() && !root.is_dir() {
        return Err(WorkspaceError::NotAFolder(root.to_owned()));
    }
    let files = files(owner, os_user);
    if !is_begun(root, &files) {
        let whole = root.join(WORKSPACE).exists() && root.join(".countersign/ledger.db").exists();
        let why = if whole { WorkspaceError::Workspace } else { WorkspaceError::NotEmpty };
        return Err(why(root.to_owned()));
    }
    for (name, text) in &files {
        write(&root.join(name), text)?;
    }
    let lab = root.join(SERVERS).join("lab/lab.json");
    if !lab.exists() {
        std::fs::create_dir_all(root.join(SERVERS).join("lab")).map_err(|error| file_error(&lab, &error))?;
        crate::lab::reset(&lab).map_err(|error| WorkspaceError::File { path: lab, reason: error.to_string() })?;
    }
    // Written last: a folder without it is not a workspace, so a half-made one is never taken for one.
    write(&root.join(WORKSPACE), MARK)?;
    Ok(files.into_iter().map(|(name, _)| name.to_owned()).chain([WORKSPACE.to_owned()]).collect())
}

/// The file that makes a folder a workspace, and what it says.
const WORKSPACE: &str = "countersign.toml";
const MARK: &str = "# A countersign workspace. State is in .countersign/ beside this file.\nversion = 1\n";

/// All files but that one, with what they say.
fn files(owner: &str, os_user: &str) -> Vec<(&'static str, String)> {
    let people = include_str!("../../policies/people.yaml");
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let name = quoted(owner);
    let owner = format!("people:\n  - name: {name}\n    os_users: [{}]\n    roles: [owner]\n", quoted(os_user));
    let example = format!("examples:\n  - {{who: {name}, may: owner}}\n");
    let people = people.replace("examples:\n", &example).replace("people: []\n", &owner);
    let shipped = SHIPPED.iter().map(|(name, text)| (*name, (*text).to_owned()));
    shipped.chain([("policies/people.yaml", people)]).collect()
}

/// Whether a folder is empty, or holds nothing but what `init` writes before there is a ledger, as it writes it. A ledger is
/// somebody's, whatever became of the rest.
fn is_begun(root: &Path, files: &[(&str, String)]) -> bool {
    let own = |name: &str| match files.iter().find(|(own, _)| *own == name) {
        Some((_, text)) => std::fs::read_to_string(root.join(name)).is_ok_and(|found| found == *text),
        None if name == WORKSPACE => std::fs::read_to_string(root.join(name)).is_ok_and(|found| found == MARK),
        None => name.starts_with(".countersign/"),
    };
    let ours =
        |folder: &str| folder.starts_with(".countersign/") || files.iter().any(|(own, _)| own.starts_with(folder));
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(root.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if folder.is_empty() && error.kind() == std::io::ErrorKind::NotFound => return true,
            // What cannot be looked into may hold anything.
            Err(_) => return false,
        };
        for entry in entries {
            let Ok(entry) = entry else { return false };
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && ours(&format!("{name}/")) => folders.push(format!("{name}/")),
                Ok(kind) if kind.is_file() && own(&name) => {}
                _ => return false,
            }
        }
    }
    !root.join(".countersign/ledger.db").exists() && !root.join("tools/pins.yaml").exists()
}
