//! The git commit that the policies were read under, where their folder is in a work tree. It is read from the files
//! that git keeps (gitrepository-layout(5)); no program is started for it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The commit that is checked out where `folder` lies; nothing outside a work tree or before its first commit. The
/// files may differ from it: the digests of what was read stand beside it.
pub(super) fn revision(folder: &Path) -> Option<String> {
    let dot_git = folder.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    let git = if dot_git.is_dir() { dot_git } else { linked(&dot_git)? };
    let head = line(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else { return hash(&head) };
    // A linked work tree keeps its branches in the main one.
    let common = line(&git.join("commondir")).map_or_else(|| git.clone(), |common| git.join(common));
    let loose = line(&common.join(name)).and_then(|text| hash(&text));
    loose.or_else(|| packed(&common, name))
}

/// Where the `.git` file of a linked work tree points to.
fn linked(file: &Path) -> Option<PathBuf> {
    let text = line(file)?;
    let path = text.strip_prefix("gitdir: ")?;
    Some(file.parent()?.join(path))
}

fn packed(git: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(git.join("packed-refs")).ok()?;
    let found = text.lines().filter_map(|line| line.split_once(' ')).find(|(_, known)| *known == name);
    found.and_then(|(commit, _)| hash(commit))
}

fn line(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

/// A SHA-1 or SHA-256 object name, and nothing else.
fn hash(text: &str) -> Option<String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (digits && matches!(text.len(), 40 | 64)).then(|| text.to_owned())
}
