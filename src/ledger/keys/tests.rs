use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::artifact::Digest;

fn keys(home: &tempfile::TempDir) -> LedgerKeys {
    LedgerKeys::of(home.path().join("keys"), &"0123456789abcdef0123456789abcdef".parse().unwrap())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn keys_are_made_once_rotated_and_the_old_ones_kept() {
    let home = tempfile::tempdir().unwrap();
    let keys = keys(&home);
    keys.ensure(at(100)).unwrap();
    let first = keys.signer().unwrap();
    keys.ensure(at(200)).unwrap();
    assert_eq!(keys.signer().unwrap().public(), first.public());
    let history = keys.rotate(at(300), 7).unwrap();
    let second = keys.signer().unwrap();
    assert_ne!(second.public(), first.public());
    let [old, new] = history.keys() else { panic!("{history:?}") };
    assert_eq!((&old.key, old.from, old.until), (first.public(), at(100), Some(at(300))));
    assert_eq!((&new.key, new.from, new.until), (second.public(), at(300), None));
    assert_eq!((old.up_to, new.up_to), (Some(7), None));
    assert_eq!(history.verify(b"x", &first.sign(b"x")).unwrap().key, *first.public());
    assert!(history.verify(b"y", &first.sign(b"x")).is_none());
    // One private key is left, and it is its owner's alone.
    let files = fs::read_dir(home.path().join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let private: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "key")).collect();
    let [private] = private.as_slice() else { panic!("{private:?}") };
    assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(keys.exposed(), None);
    fs::set_permissions(private, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(keys.exposed().unwrap().contains("chmod 600"));
    assert_eq!(keys.signer().unwrap().public(), second.public(), "it signs all the same");
    fs::set_permissions(private, fs::Permissions::from_mode(0o600)).unwrap();
    // What a rotation that was killed left is said, and goes with the next one.
    let left = ["0a0b0c0d.key", "public.new-0a0b0c0d"].map(|name| home.path().join("keys").join(name));
    let own = home.path().join("keys/mine.key");
    left.iter().chain([&own]).for_each(|path| fs::write(path, "x").unwrap());
    assert_eq!(keys.left_over().unwrap(), left);
    keys.rotate(at(300), 7).unwrap();
    assert!(keys.left_over().unwrap().is_empty() && left.iter().all(|path| !path.exists()) && own.exists());
    let private = home.path().join("keys").join(format!("{}.key", keys.history().unwrap().keys()[2].key.id()));
    // A clock that goes back leaves no key that was never good.
    assert_eq!(keys.rotate(at(1), 7).unwrap().keys().last().unwrap().from, at(300));
    fs::write(private.parent().unwrap().join(format!("{}.key", keys.history().unwrap().keys()[3].key.id())), "x")
        .unwrap();
    assert!(matches!(keys.signer(), Err(KeyError::Broken { .. })));
}

#[test]
fn no_other_key_is_made_for_a_log_that_is_signed() {
    let home = tempfile::tempdir().unwrap();
    let keys = keys(&home).of_a_signed_log(true);
    for lost in [keys.ensure(at(100)), keys.history().map(drop), keys.signer().map(drop), keys.fit(None)] {
        assert!(matches!(lost, Err(KeyError::Lost(_))), "{lost:?}");
    }
    assert!(matches!(keys.rotate(at(100), 0), Err(KeyError::Lost(_))));
    assert!(!home.path().join("keys").exists());
    let keys = keys.of_a_signed_log(false);
    keys.ensure(at(100)).unwrap();
    let checkpoint = Checkpoint { origin: keys.name.clone(), size: 3, root: Digest::ZERO };
    let own = checkpoint.sign(&keys.signer().unwrap());
    assert!(keys.fit(Some(&own)).is_ok() && keys.fit(None).is_ok());
    let strange = checkpoint.sign(&NoteKey::from_seed(&keys.name, &[7; 32]).unwrap());
    keys.rotate(at(200), 2).unwrap();
    for other in [strange, Note::sign("x\n".into(), &[&keys.signer().unwrap()]), own] {
        assert!(matches!(keys.fit(Some(&other)), Err(KeyError::Broken { .. })), "{other}");
    }
}

#[test]
fn a_key_signs_no_log_that_is_larger_than_when_it_was_replaced() {
    let home = tempfile::tempdir().unwrap();
    let keys = keys(&home);
    let sign = |key: &NoteKey, size| Checkpoint { origin: keys.name.clone(), size, root: Digest::ZERO }.sign(key);
    keys.ensure(at(100)).unwrap();
    let first = keys.signer().unwrap();
    keys.rotate(at(200), 7).unwrap();
    let second = keys.signer().unwrap();
    let history = keys.rotate(at(300), 9).unwrap();
    let third = keys.signer().unwrap();
    let place = |key: &NoteKey, size: u64| history.signer_of(&sign(key, size), size).map(|(place, _)| place);
    assert_eq!((place(&first, 7), place(&second, 7), place(&second, 9)), (Ok(0), Ok(1), Ok(1)));
    assert_eq!((place(&third, 9), place(&third, u64::MAX)), (Ok(2), Ok(2)));
    let replaced = |key: &NoteKey, up_to| Err(Unsigned::Replaced { key: key.public().id(), up_to });
    assert_eq!((place(&first, 8), place(&second, 10)), (replaced(&first, 7), replaced(&second, 9)));
    assert_eq!(place(&NoteKey::from_seed(&keys.name, &[7; 32]).unwrap(), 1), Err(Unsigned::Unknown));
    // Where no size is named the order shows it.
    for (signed, wrong) in [
        (&[(1, 0), (2, 0), (3, 1), (9, 2)][..], None),
        (&[(3, 1), (3, 0), (9, 1)], None),
        (&[(4, 0), (3, 1)], Some(3)),
        (&[(1, 0), (2, 2), (5, 1)], Some(2)),
        (&[], None),
    ] {
        assert_eq!(history.out_of_order(signed).map(|(fewer, _)| fewer), wrong, "{signed:?}");
    }
    // A first key takes over from nobody.
    let sized = Note::sign(statement(1, first.public(), at(100), Some(0)), &[&first]).to_string();
    assert!(KeyHistory::parse(&sized).is_err());
}

#[test]
fn no_statement_can_be_changed_left_out_or_put_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let keys = keys(&home);
    for second in [100, 200, 300] {
        keys.ensure(at(second)).and_then(|()| keys.rotate(at(second), second.unsigned_abs())).unwrap();
    }
    let text = keys.history().unwrap().text().to_owned();
    let notes = Note::several(&text).unwrap();
    assert_eq!(notes.len(), 4);
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let read = String::from_utf8(bytes).ok().and_then(|text| KeyHistory::parse(&text).ok());
        // An empty line between two statements says nothing.
        let same = read.as_ref().is_some_and(|read| read.keys() == keys.history().unwrap().keys());
        assert!(read.is_none() || same, "byte {at}");
    }
    let joined = |order: &[usize]| order.iter().map(|at| notes[*at].to_string()).collect::<String>();
    assert!(KeyHistory::parse(&joined(&[0, 1, 2, 3])).is_ok());
    for order in [&[1, 2, 3][..], &[0, 2, 3], &[0, 1, 3], &[0, 1, 1, 2], &[1, 0, 2, 3], &[]] {
        assert!(KeyHistory::parse(&joined(order)).is_err(), "{order:?}");
    }
    // Whoever has only a new key of their own cannot follow on the keys there are.
    let own = NoteKey::from_seed(&keys.name, &[7; 32]).unwrap();
    let forged = Note::sign(statement(5, own.public(), at(400), Some(400)), &[&own]);
    let refused = KeyHistory::parse(&format!("{text}{forged}")).unwrap_err();
    assert_eq!(refused.to_string(), "the statement of key 5 is not signed by the key before it");
}
