#![allow(clippy::disallowed_methods, reason = "these tests change files")]

use super::*;

/// As if they had been taken long after the last change.
fn settled(paths: Vec<PathBuf>) -> Stamps {
    Stamps { settled: true, ..Stamps::of(paths) }
}

#[test]
fn every_change_of_a_file_shows_even_one_that_hides_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (file, gone) = (dir.path().join("file"), dir.path().join("gone"));
    fs::write(&file, "one").unwrap();
    let watched = || settled(vec![dir.path().into(), file.clone(), gone.clone()]);
    let before = watched();
    assert!(before.hold());
    let changes: [(&str, &dyn Fn()); 4] = [
        ("the same length, with its time put back", &|| {
            let time = fs::metadata(&file).unwrap().modified().unwrap();
            fs::write(&file, "two").unwrap();
            fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        }),
        ("another file in its place", &|| {
            fs::write(dir.path().join("new"), "two").unwrap();
            fs::rename(dir.path().join("new"), &file).unwrap();
        }),
        ("a file where there was none", &|| fs::write(&gone, "").unwrap()),
        ("no file where there was one", &|| fs::remove_file(&file).unwrap()),
    ];
    for (name, change) in changes {
        let before = watched();
        // A step of the clock that file systems go by.
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(before.hold(), "before {name}");
        change();
        assert!(!before.hold(), "{name}");
    }
}

#[test]
fn what_changed_a_moment_ago_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "one").unwrap();
    assert!(!Stamps::of(vec![file.clone()]).hold());
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let old = |path: &Path| {
        let seen = fs::metadata(path).unwrap();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        since.saturating_sub(seen.ctime().max(seen.mtime()).unsigned_abs()) > 3
    };
    assert_eq!(Stamps::of(vec![text.clone()]).hold(), old(&text));
}
