//! Where checkpoints are published: a file, a repository, a command; and what is done with a ledger that has not all that
//! it signed.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::{
    bench::{Answer, Bench, command, finish},
    log::ended,
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn git_in(repository: &Path, args: &[&str]) -> String {
    let ended = Command::new("git").arg("-C").arg(repository).args(args).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

fn repository(path: &Path) {
    fs::create_dir(path).unwrap();
    git_in(path, &["init", "--quiet"]);
    git_in(path, &["config", "user.name", "witness"]);
    git_in(path, &["config", "user.email", "witness@example.com"]);
}

fn witness(bench: &Bench, lines: &str) {
    bench.edit("countersign.toml", "version = 1", &format!("version = 1\n[witness]\n{lines}"));
}

/// Has one more leaf written; what was said.
fn rejected(bench: &Bench) -> Answer {
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.run(&["reject", &id, "--reason", "not now"]).code(0)
}

#[test]
fn checkpoints_go_to_a_repository_and_a_command_and_what_failed_is_made_up_for() {
    let bench = Bench::new();
    let (repository, taken) = (bench.outside("repository"), bench.outside("taken"));
    self::repository(&repository);
    let git = |args: &[&str]| git_in(&repository, args);
    let witness = format!(
        "version = 1\n[witness]\ngit = \"{}\"\ncommand = [\"/bin/sh\", \"-c\", \"test -e ../open && cat >> {}\"]\n",
        repository.display(),
        taken.display()
    );
    bench.edit("countersign.toml", "version = 1", &witness);
    let id = bench.request_one();
    let told = bench.run(&["run", &id]).code(3);
    assert!(!told.err.contains("did not match any files"), "nothing is signed yet: {}", told.err);
    // The work goes on; what was not taken is said and comes with the next one.
    bench.run(&["reject", &id, "--reason", "not now"]).code(0).says("checkpoints were not published to `/bin/sh`");
    assert!(!taken.exists());
    fs::write(bench.outside("open"), "").unwrap();
    bench.run(&["cancel", &id, "--reason", "not now"]).code(0);
    let told = bench.run(&["run", &id]).code(1);
    assert!(!told.err.contains("not published"), "{}", told.err);
    assert_eq!(fs::read_to_string(&taken).unwrap().matches("\n\n— ").count(), 2);
    assert_eq!(git(&["log", "--format=%s"]).lines().count(), 2);
    assert_eq!(git(&["status", "--porcelain"]), "");
    let file = fs::read_dir(repository.join("checkpoints")).unwrap().next().unwrap().unwrap().path();
    for file in [&taken, &file] {
        bench.run(&["verify", "log", "--against", text(file)]).code(0).shows("covers 2 leaves");
    }
}

#[test]
fn what_a_repository_ignores_and_what_git_was_started_in_keep_no_checkpoint_back() {
    let bench = Bench::new();
    let (own, other) = (bench.outside("own"), bench.outside("other"));
    repository(&own);
    repository(&other);
    fs::write(own.join(".gitignore"), "checkpoints/\n").unwrap();
    witness(&bench, "git = \"../own\"\n");
    let id = bench.request_one();
    bench.drive(&id, 3);
    // As in a hook of another repository.
    let mut rejects = command(&bench.root);
    rejects.args(["reject", &id, "--reason", "not now"]).env("GIT_DIR", other.join(".git"));
    let told = finish(rejects).code(0);
    assert!(!told.err.contains("not published"), "{}", told.err);
    assert_eq!(git_in(&own, &["ls-files"]).lines().count(), 1);
    assert_eq!(git_in(&own, &["log", "--format=%s"]).lines().count(), 1);
    assert!(fs::read_dir(other.join(".git/refs/heads")).unwrap().next().is_none(), "it was committed elsewhere");
}

#[test]
fn a_repository_that_is_not_there_is_not_made_and_is_published_to_when_it_is() {
    let bench = Bench::new();
    let own = bench.outside("own");
    witness(&bench, "git = \"../own\"\n");
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.run(&["reject", &id, "--reason", "not now"]).code(0).says("there is no folder ");
    bench.run(&["log", "checkpoint"]).code(0);
    assert!(!own.exists(), "a disk that is not mounted was written to");
    repository(&own);
    bench.run(&["cancel", &id, "--reason", "not now"]).code(0);
    bench.run(&["run", &id]).code(1);
    assert_eq!(git_in(&own, &["ls-files"]).lines().count(), 1);
}

#[test]
fn what_was_not_pushed_is_pushed_when_it_can_be() {
    let bench = Bench::new();
    let (own, remote, away) = (bench.outside("own"), bench.outside("remote"), bench.outside("away"));
    fs::create_dir(&remote).unwrap();
    git_in(&remote, &["init", "--quiet", "--bare"]);
    repository(&own);
    git_in(&own, &["remote", "add", "origin", text(&remote)]);
    git_in(&own, &["config", "push.autoSetupRemote", "true"]);
    witness(&bench, "git = \"../own\"\npush = true\n");
    fs::rename(&remote, &away).unwrap();
    let id = bench.request_one();
    bench.drive(&id, 3);
    bench.run(&["reject", &id, "--reason", "not now"]).code(0).says("(fatal: ");
    fs::rename(&away, &remote).unwrap();
    // A remote that wants a password is told that nobody is there to type one.
    let hook = own.join(".git/hooks/pre-push");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\nprintf %s \"${GIT_TERMINAL_PROMPT-asks}\" > ../prompts\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let told = bench.run(&["run", &id]);
    assert!(!told.err.contains("not published"), "{}", told.err);
    assert_eq!(fs::read_to_string(bench.outside("prompts")).unwrap(), "0");
    assert_eq!(git_in(&remote, &["log", "--all", "--format=%s"]).lines().count(), 1);
}

#[test]
fn a_file_that_is_none_holds_nothing_up_and_one_that_is_torn_is_named_with_what_to_do() {
    let bench = Bench::new();
    let file = bench.outside("witness");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    witness(&bench, "file = \"../witness\"\n");
    rejected(&bench).says("no regular file");
    fs::remove_file(&file).unwrap();
    rejected(&bench);
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let told = rejected(&bench).says("cut it after its last whole checkpoint");
    assert!(!told.err.contains("with the next one"), "none ever is: {}", told.err);
}

#[test]
fn what_a_stranger_wrote_to_a_witness_is_told_and_keeps_nothing_back() {
    let bench = Bench::new();
    witness(&bench, "file = \"../witness\"\n");
    let file = bench.outside("witness");
    rejected(&bench);
    let own = fs::read_to_string(&file).unwrap();
    // Of this log, of more leaves than it has, and with a signature over something else.
    let strange = own.replacen("\n1\n", "\n1000000\n", 1);
    assert_ne!(strange, own);
    fs::write(&file, format!("{own}{strange}")).unwrap();
    let told = rejected(&bench).says("has a checkpoint of 1000000 leaves of this log that no key signed which may");
    assert!(!told.err.contains("not published"), "{}", told.err);
    assert!(fs::read_to_string(&file).unwrap().starts_with(&format!("{own}{strange}")));
    let since = fs::read_to_string(&file).unwrap().split_off(own.len() + strange.len());
    assert!(since.lines().any(|line| line == "2"), "{since}");
    bench.run(&["verify", "log", "--against", text(&file)]).code(5).shows("not signed by a key of this ledger");
}

#[test]
fn a_command_has_taken_a_checkpoint_when_it_ends_whatever_it_leaves_running() {
    let bench = Bench::new();
    witness(&bench, "command = [\"/bin/sh\", \"-c\", \"cat >> ../taken; sleep 300 & exit 0\"]\n");
    for size in 1..=2 {
        let told = rejected(&bench);
        assert!(!told.err.contains("not published"), "{}", told.err);
        assert_eq!(fs::read_to_string(bench.outside("taken")).unwrap().matches("\n\n— ").count(), size);
    }
}

#[test]
fn a_file_may_keep_the_checkpoints_of_several_ledgers() {
    let (one, other) = (Bench::new(), Bench::new());
    let file = one.outside("witness");
    // A ledger of its own: those of the tests are copies of one.
    fs::remove_dir_all(other.root.join(".countersign")).unwrap();
    for bench in [&one, &other] {
        witness(bench, &format!("file = \"{}\"\n", file.display()));
        let told = rejected(bench);
        assert!(!told.err.contains("published"), "{}", told.err);
        ended(bench);
    }
    for bench in [&one, &other] {
        bench.run(&["verify", "log", "--against", text(&file)]).code(0).shows("covers 3 leaves");
    }
}

#[test]
fn a_key_that_is_gone_is_told_while_leaves_are_under_no_checkpoint() {
    let bench = Bench::new();
    ended(&bench);
    let keys = fs::read_dir(bench.root.join(".countersign/keys")).unwrap().map(|entry| entry.unwrap().path());
    let key = keys.into_iter().find(|path| path.extension().is_some_and(|end| end == "key")).unwrap();
    let private = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    rejected(&bench)
        .says("the last 1 of 3 leaves of the log are under no checkpoint: ")
        .says("is missing; put it back");
    fs::write(&key, "no key\n").unwrap();
    rejected(&bench).says("the last 2 of 4 leaves of the log are under no checkpoint: ");
    fs::write(&key, private).unwrap();
    let told = rejected(&bench);
    assert!(!told.err.contains("under no checkpoint"), "{}", told.err);
}

#[test]
fn a_ledger_that_was_rolled_back_gets_no_new_key_and_no_copy_of_it_is_called_whole() {
    let bench = Bench::new();
    let first = ended(&bench);
    let (early, late) = (bench.outside("early.db"), bench.outside("late.db"));
    bench.run(&["backup", text(&early)]).code(0).shows("and so does the log");
    ended(&bench);
    bench.run(&["backup", text(&late)]).code(0);
    let put = |copy: &Path| {
        for name in ["ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::remove_file(bench.root.join(".countersign").join(name));
        }
        fs::copy(copy, bench.root.join(".countersign/ledger.db")).unwrap();
    };
    put(&early);
    bench.run(&["keys", "rotate"]).code(5).says("the ledger was rolled back");
    let copied = bench.run(&["backup", text(&bench.outside("of-early.db"))]).code(5);
    let copied = copied.shows("the log: this is no copy of all that there was: the ledger was rolled back");
    assert!(!copied.out.contains("and so does the log"), "{}", copied.out);
    let (tar, statements) = (bench.outside("of-early.tar"), bench.outside("of-early.jsonl"));
    for args in [
        &["log", "checkpoint"][..],
        &["log", "prove", &first],
        &["log", "consistency", "1", "2"],
        &["export", &first, "--bundle", text(&tar)],
        &["export", &first, "--in-toto", text(&statements)],
    ] {
        bench.run(args).code(5).says("the ledger was rolled back");
    }
    assert!(tar.exists() && !statements.exists(), "what is there is evidence of it, and nothing is signed about it");
    put(&late);
    bench.run(&["keys", "rotate"]).code(0);
    ended(&bench);
    bench.run(&["verify", "log"]).code(0);
}
