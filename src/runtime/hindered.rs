//! What is wrong with `[witness]` of countersign.toml before anything is published: what can never be, and what has to
//! be made first.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use toml::Spanned;

use super::{error::WorkspaceError, witness::Witness};

/// The places of `[witness]` to which nothing can be published as things are, each with its line and what to do.
#[derive(Debug, Default)]
pub struct Hindered {
    /// What no change outside the file could help.
    never: Vec<String>,
    /// What is missing beside it.
    now: Vec<String>,
}

impl Hindered {
    /// Looks at the places that a workspace names; `text` is its countersign.toml, and programs without a path are looked
    /// for in `search`.
    pub(super) fn of(witness: &Witness, text: &str, workspace: &Path, search: &OsStr) -> Self {
        let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let said = |at: std::ops::Range<usize>, why: String| format!("countersign.toml:{}: {why}", line(at.start));
        let mut found = Self::default();
        let empty = |path: &Spanned<PathBuf>| path.get_ref().as_os_str().is_empty();
        for (key, path) in [("file", &witness.file), ("git", &witness.git)] {
            if let Some(path) = path.as_ref().filter(|path| empty(path)) {
                found
                    .never
                    .push(said(path.span(), format!("`{key}` of [witness] is empty; give a path, or remove the line")));
            }
        }
        if let Some(push) = witness.push.as_ref().filter(|push| *push.get_ref() && witness.git.is_none()) {
            let why = "`push` of [witness] is for `git`, which is not given; name the work tree with `git`, or remove the line";
            found.never.push(said(push.span(), why.into()));
        }
        if let Some(file) = witness.file.as_ref().filter(|file| !empty(file))
            && let Some(why) = no_file(&workspace.join(file.get_ref()))
        {
            found.now.push(said(file.span(), format!("nothing can be published to the file of [witness]: {why}")));
        }
        if let Some(git) = witness.git.as_ref().filter(|git| !empty(git))
            && let Some(why) = no_work_tree(&workspace.join(git.get_ref()))
        {
            found.now.push(said(git.span(), format!("nothing can be published to `git` of [witness]: {why}")));
        }
        if let Some(command) = &witness.command {
            match command.get_ref().first().filter(|program| !program.is_empty()) {
                None => {
                    let why = "`command` of [witness] is empty; give a program and its arguments, or remove the line";
                    found.never.push(said(command.span(), why.into()));
                }
                Some(program) => {
                    if let Some(why) = no_program(program, workspace, search) {
                        let why = format!("nothing can be published by the command of [witness]: {why}");
                        found.now.push(said(command.span(), why));
                    }
                }
            }
        }
        found
    }

    /// What is said beside a command that writes.
    ///
    /// # Errors
    ///
    /// A configuration that could never publish anything.
    pub fn notes(self) -> Result<Vec<String>, WorkspaceError> {
        if self.never.is_empty() { Ok(self.now) } else { Err(WorkspaceError::Problems(self.never)) }
    }

    /// All of it.
    pub fn lines(self) -> Vec<String> {
        self.never.into_iter().chain(self.now).collect()
    }
}

fn no_file(path: &Path) -> Option<String> {
    let folder = path.parent().unwrap_or(path);
    if path.is_dir() {
        Some(format!("{} is a folder; name a file in it", path.display()))
    } else if path.metadata().is_ok_and(|found| !found.is_file()) {
        Some(format!("{} is no regular file; name one", path.display()))
    } else if !folder.is_dir() {
        Some(format!("there is no folder {}; make it, or mount what it should be", folder.display()))
    } else {
        None
    }
}

fn no_work_tree(path: &Path) -> Option<String> {
    let here = path.display();
    if !path.is_dir() {
        return Some(format!(
            "there is no folder {here}; make a repository of it with `git init {here}`, or clone one there"
        ));
    }
    let tree = path.canonicalize().is_ok_and(|path| path.ancestors().any(|folder| folder.join(".git").exists()));
    (!tree).then(|| format!("{here} is in no git work tree; make one with `git init {here}`"))
}

fn no_program(program: &str, workspace: &Path, search: &OsStr) -> Option<String> {
    let runs = |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if program.contains('/') {
        let path = workspace.join(program);
        return if !path.exists() {
            Some(format!("there is no program {}; install it, or name the one that is there", path.display()))
        } else if !runs(&path) {
            Some(format!("{} is no program; make it one with `chmod +x`", path.display()))
        } else {
            None
        };
    }
    let found = std::env::split_paths(search).any(|folder| runs(&folder.join(program)));
    (!found).then(|| format!("`{program}` is nowhere on the path (PATH); install it, or give its whole path"))
}
