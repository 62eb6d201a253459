//! The files of a new workspace.
#![allow(clippy::disallowed_methods, reason = "this file owns laying out a workspace")]

use std::{collections::BTreeSet, path::Path};

use crate::tool::SERVERS;

use super::workspace::{WorkspaceError, file_error, write};

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

/// Lays out a new workspace with `owner` as its owner, and the simulated lab's network.
pub fn init_files(root: &Path, owner: &str, os_user: &str) -> Result<Vec<String>, WorkspaceError> {
    if root.exists() && !root.is_dir() {
        return Err(WorkspaceError::NotAFolder(root.to_owned()));
    }
    let occupied = std::fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(WorkspaceError::NotEmpty(root.to_owned()));
    }
    let there = root.exists();
    lay_out(root, owner, os_user).inspect_err(|_| take_out(root, there))
}

/// Takes out what was laid out so far of a workspace that could not be, so that it can be tried again: the folder was empty.
fn take_out(root: &Path, there: bool) {
    let own = SHIPPED.iter().map(|(name, _)| *name).chain([SERVERS, "policies/people.yaml", "countersign.toml"]);
    let tops: BTreeSet<&str> = own.filter_map(|name| name.split('/').next()).collect();
    for top in tops {
        let path = root.join(top);
        let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    }
    if !there {
        let _ = std::fs::remove_dir(root);
    }
}

fn lay_out(root: &Path, owner: &str, os_user: &str) -> Result<Vec<String>, WorkspaceError> {
    let mut written = Vec::new();
    let mut put = |name: &str, text: &str| {
        write(&root.join(name), text)?;
        written.push(name.to_owned());
        Ok::<(), WorkspaceError>(())
    };
    for (name, text) in SHIPPED {
        put(name, text)?;
    }
    let people = include_str!("../../policies/people.yaml");
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let name = quoted(owner);
    let owner = format!("people:\n  - name: {name}\n    os_users: [{}]\n    roles: [owner]\n", quoted(os_user));
    let example = format!("examples:\n  - {{who: {name}, may: owner}}\n");
    put("policies/people.yaml", &people.replace("examples:\n", &example).replace("people: []\n", &owner))?;
    let lab = root.join(SERVERS).join("lab/lab.json");
    std::fs::create_dir_all(root.join(SERVERS).join("lab")).map_err(|error| file_error(&lab, &error))?;
    crate::lab::reset(&lab).map_err(|error| WorkspaceError::File { path: lab, reason: error.to_string() })?;
    // Written last: a folder without it is not a workspace, so a half-made one is never taken for one.
    put("countersign.toml", "# A countersign workspace. State is in .countersign/ beside this file.\nversion = 1\n")?;
    Ok(written)
}
