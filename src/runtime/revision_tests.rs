//! The commit is the one that git says, whatever git keeps it in.
#![allow(clippy::disallowed_methods, reason = "the tests make repositories for git to read")]

use std::{fs, path::Path, process::Command};

use super::revision::revision;

#[test]
fn the_commit_is_the_one_that_git_says() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("one");
    let git = |folder: &Path, args: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=a@b.c"]).args(args);
        let done = command.env_remove("GIT_DIR").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    fs::create_dir_all(root.join("policies")).unwrap();
    git(&root, &["init", "-q", "-b", "main"]);
    assert_eq!(revision(&root.join("policies")), None, "there is no commit yet");
    git(&root, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let first = git(&root, &["rev-parse", "HEAD"]);
    assert_eq!(revision(&root.join("policies")).as_ref(), Some(&first));
    git(&root, &["pack-refs", "--all"]);
    assert_eq!(revision(&root).as_ref(), Some(&first));
    let other = home.path().join("two");
    git(&root, &["worktree", "add", "-q", "-b", "side", other.to_str().unwrap()]);
    git(&other, &["commit", "-q", "--allow-empty", "-m", "second"]);
    assert_eq!(revision(&other), Some(git(&other, &["rev-parse", "HEAD"])));
    git(&root, &["checkout", "-q", "--detach", &first]);
    assert_eq!(revision(&root), Some(first));
}
