use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::{log_tests::in_a_log, stage_tests::trust, *};
use crate::{
    artifact::{ArtifactKind, digest_bytes, digest_of},
    engagement::Actor,
    ledger::testing::{Story, filed, id, signers, spec},
};

/// Files by their paths.
type Files = BTreeMap<String, Vec<u8>>;

/// What a bundle of a story holds: the documents that it names, and no others.
pub(super) fn contents(story: &Story) -> Contents {
    let mut contents =
        Contents { engagement: Bundle { events: story.bytes(), blobs: story.blobs.clone() }, ..Contents::default() };
    let named = contents.named(&contents.told());
    contents.engagement.blobs.retain(|digest, _| named.contains_key(digest));
    in_a_log(&mut contents);
    contents
}

/// A story up to its signed answer at gate 1.
fn beginning() -> Story {
    let mut story = Story::whole("k7m2q").signed(1);
    story.events.truncate(4);
    story
}

pub(super) fn check(bytes: &[u8]) -> Verification {
    verify_bundle(bytes, None, &[])
}

/// What was found, a line each.
pub(super) fn said(verification: &Verification) -> Vec<String> {
    verification.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_newer_program_wrote_is_not_called_changed() {
    let bytes = contents(&beginning()).pack().unwrap();
    let later = |format: &str| {
        let files = unpack(&bytes).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace("countersign-bundle/1", format);
        let mut files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(path, file)| (path.clone(), file.bytes.to_vec())).collect();
        let manifest = text(&files[MANIFEST]);
        files.insert(MANIFEST.to_owned(), manifest.into_bytes());
        said(&check(&pack(MANIFEST, &files).unwrap()))
    };
    let found = later("countersign-bundle/2");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("countersign-bundle/2: a newer countersign wrote it"), "{found:?}");
    for other in ["countersign-bundle/0", "countersign-bundle/x", "tar"] {
        assert!(later(other)[0].contains("unknown variant"), "{other}");
    }
}

#[test]
fn the_same_engagement_is_the_same_bytes_and_verifies_by_itself() {
    let mut whole = contents(&Story::whole("k7m2q").signed(1));
    trust(&mut whole, Digest::ZERO, "lab", (1, 2));
    let bytes = whole.pack().unwrap();
    assert_eq!(bytes, whole.clone().pack().unwrap());
    let verification = verify_bundle(&bytes, None, &[]);
    assert_eq!(said(&verification), Vec::<String>::new());
    assert!(verification.ok && verification.events == 20 && verification.on_a_name == 1, "{verification:?}");
    assert!(verification.notes.iter().any(|note| note.starts_with("signed: gate 1")), "{:?}", verification.notes);
    assert!(verification.notes.iter().any(|note| note.starts_with("trust: the chain")), "{:?}", verification.notes);
    // Against signers of one's own: gate 2 was answered on a name, and with another key nobody signed anything.
    let own = said(&verify_bundle(&bytes, Some(&signers(1)), &[]));
    assert!(own.len() == 1 && own[0].starts_with("event 12 (events.jsonl): "), "{own:?}");
    let strangers = said(&verify_bundle(&bytes, Some(&signers(9)), &[]));
    assert!(strangers.iter().any(|line| line.starts_with("event 4 (events.jsonl): ")), "{strangers:?}");
    assert!(strangers.iter().any(|line| line.starts_with("event 1 (trust/events.jsonl): ")), "{strangers:?}");
}

/// The path, the header, the content and the end of each file of an archive.
fn layout(bytes: &[u8]) -> Vec<(String, usize, std::ops::Range<usize>, usize)> {
    let files = unpack(bytes).unwrap();
    let place = |(path, file): (&String, &Packed<'_>)| {
        let begins = file.at + 512;
        let ends = begins + file.bytes.len();
        (path.clone(), file.at, begins..ends, ends.div_ceil(512) * 512)
    };
    files.iter().map(place).collect()
}

#[test]
fn every_flipped_byte_is_found_in_its_file_and_event() {
    let small = contents(&beginning());
    flip_each(&small, &|_| true);
    // The same for a chain of trust stages, once, beside the others.
    let mut trusted = small;
    trust(&mut trusted, Digest::ZERO, "lab", (1, 2));
    flip_each(&trusted, &|path| path.starts_with("trust/"));
}

/// Flips every byte of these files of a bundle and of what follows the last, each by itself.
pub(super) fn flip_each(contents: &Contents, these: &(dyn Fn(&str) -> bool + Sync)) {
    let good = contents.pack().unwrap();
    assert!(check(&good).ok);
    let layout = layout(&good);
    let ends = layout.iter().map(|(.., end)| *end).max().unwrap();
    let wanted = |at: usize| match layout.iter().find(|(_, header, _, end)| (*header..*end).contains(&at)) {
        Some((path, ..)) => these(path),
        None => these("") && at >= ends,
    };
    let each: Vec<usize> = (0..good.len()).filter(|at| wanted(*at)).collect();
    assert!(each.len() > 2_000, "{}", each.len());
    // Checking has no state, so as many at a time as there are processors.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in each.chunks(each.len().div_ceil(threads)) {
            let (good, layout) = (&good, &layout);
            scope.spawn(move || part.iter().for_each(|at| flip(good, layout, *at)));
        }
    });
}

fn flip(good: &[u8], layout: &[(String, usize, std::ops::Range<usize>, usize)], at: usize) {
    let mut bytes = good.to_vec();
    bytes[at] ^= 1 << (at % 8);
    let found = check(&bytes);
    let lines = said(&found);
    assert!(!found.ok && !lines.is_empty(), "byte {at} is not found");
    let place = layout.iter().find(|(_, header, _, end)| (*header..*end).contains(&at));
    let Some((path, header, content, end)) = place else {
        assert!(lines[0].contains("at byte "), "byte {at}, after the last file: {lines:?}");
        return;
    };
    let in_file = found.problems.iter().any(|problem| problem.file.as_deref() == Some(path));
    if !content.contains(&at) {
        // A header that is broken has no name to be called by.
        let said = lines[0].strip_prefix("at byte ").and_then(|rest| rest.split_once(':'));
        let near = said.is_some_and(|(byte, _)| (*header..*end).contains(&byte.parse().unwrap()));
        assert!(in_file || near, "byte {at} of the frame of {path}: {lines:?}");
        return;
    }
    assert!(in_file, "byte {at} of {path}: {lines:?}");
    if path.ends_with("events.jsonl") {
        let event = 1 + good[content.start..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        let named = found.problems.iter().any(|one| one.seq == event && one.file.as_deref() == Some(path));
        assert!(named, "byte {at} of {path} is in event {event}: {lines:?}");
    }
}

#[test]
fn a_bundle_that_is_cut_or_goes_on_is_found_at_every_length() {
    let good = contents(&beginning()).pack().unwrap();
    let mut lengths: Vec<usize> = (0..1100).collect();
    for edge in (512..good.len()).step_by(512) {
        lengths.extend([edge - 1, edge, edge + 1]);
    }
    lengths.extend(good.len() - 1100..good.len());
    for length in lengths {
        let found = check(&good[..length]);
        assert!(!found.ok && !found.problems.is_empty(), "{length} of {} bytes", good.len());
        let placed = |one: &Problem| one.file.is_some() || one.what.starts_with("at byte ");
        assert!(found.problems.iter().all(placed), "{length}: {:?}", said(&found));
    }
    for more in [&[0][..], &[0; 512], &[0; 1024], b"x", &good] {
        let lines = said(&check(&[&good, more].concat()));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(&format!("at byte {}: ", good.len())), "{lines:?}");
    }
}

/// An archive of these entries as they are, of the kinds that they say.
fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, bytes) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        let sum = format!("{:06o}\0 ", header.cksum().unwrap());
        header.as_old_mut().cksum.copy_from_slice(sum.as_bytes());
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn nothing_that_is_no_bundle_is_followed_held_or_taken_for_one() {
    let good = contents(&beginning()).pack().unwrap();
    let files: Vec<(String, Vec<u8>)> =
        unpack(&good).unwrap().iter().map(|(path, file)| (path.clone(), file.bytes.to_vec())).collect();
    let with = |more: &[(&str, EntryType, &[u8])]| {
        let mut entries: Vec<(&str, EntryType, &[u8])> = vec![];
        // As it is written: the manifest first.
        for first in [true, false] {
            let these = files.iter().filter(|(path, _)| (path == MANIFEST) == first);
            entries.extend(these.map(|(path, bytes)| (path.as_str(), EntryType::Regular, bytes.as_slice())));
        }
        entries.extend(more);
        archive(&entries)
    };
    assert_eq!(with(&[]), good, "the entries are as they are written");
    let file = EntryType::Regular;
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("up", with(&[("../out", file, b"x")]), "`../out` is no path"),
        ("up within", with(&[("blobs/../../out", file, b"x")]), "is no path"),
        ("absolute", with(&[("/etc/passwd", file, b"x")]), "is no path"),
        ("hidden", with(&[(".ssh/config", file, b"x")]), "is no path"),
        ("of another system", with(&[("blobs\\x.json", file, b"x")]), "is no path"),
        ("a control letter", with(&[("blobs/\u{1b}[2J", file, b"x")]), "is no path"),
        ("no name", with(&[("", file, b"x")]), "is no path"),
        ("a symbolic link", with(&[("page", EntryType::Symlink, b"")]), "page: at byte "),
        ("a hard link", with(&[("page", EntryType::Link, b"")]), "no plain file"),
        ("a folder", with(&[("blobs/", EntryType::Directory, b"")]), "is no path"),
        ("a folder by another name", with(&[("blobs", EntryType::Directory, b"")]), "no plain file"),
        ("a device", with(&[("null", EntryType::Char, b"")]), "no plain file"),
        ("a pipe", with(&[("pipe", EntryType::Fifo, b"")]), "no plain file"),
        ("a long name", with(&[("long", EntryType::GNULongName, b"blobs/x")]), "no plain file"),
        ("headers about headers", with(&[("x", EntryType::XHeader, b"19 path=blobs/xyz\n")]), "no plain file"),
        ("for all", with(&[("x", EntryType::XGlobalHeader, b"19 path=blobs/xyz\n")]), "no plain file"),
        ("holes", with(&[("holes", EntryType::GNUSparse, b"x")]), "no plain file"),
        ("twice", with(&[("events.jsonl", file, b"{}\n")]), "events.jsonl: at byte "),
        ("unknown", with(&[("readme.txt", file, b"x")]), "readme.txt: is no file of a bundle"),
        ("an unknown blob", with(&[("blobs/x.json", file, b"x")]), "blobs/x.json: is no file of a bundle"),
        ("nothing", Vec::new(), "manifest.json: is missing"),
        ("zeros", vec![0; 4096], "manifest.json: is missing"),
        ("text", b"hello ".repeat(200), "at byte 0: "),
        ("no manifest", archive(&[("events.jsonl", file, b"")]), "manifest.json: is missing"),
        ("a manifest that is none", archive(&[(MANIFEST, file, b"[]")]), "manifest.json: cannot be read"),
        ("a deep one", archive(&[(MANIFEST, file, &[b'['; 100_000])]), "manifest.json: cannot be read"),
    ];
    for (name, bytes, says) in table {
        let found = check(&bytes);
        assert!(!found.ok && said(&found).iter().any(|line| line.contains(says)), "{name}: {:?}", said(&found));
    }
    // A size that is not there, up to the largest that a header can say.
    for size in [1 << 20, u64::MAX >> 1, u64::MAX] {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..6].copy_from_slice(b"blobs1");
        header.set_entry_type(file);
        header.set_size(size);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([0; 1024]);
        let found = check(&bytes);
        assert!(!found.ok && said(&found)[0].contains("at byte 0: "), "{size}: {:?}", said(&found));
    }
    // The same files in another order, and with another time: the content would stand, and it is none.
    let last: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), file, bytes.as_slice())).collect();
    let found = said(&check(&archive(&last)));
    assert_ne!(archive(&last), good);
    assert!(found.len() == 1 && found[0].contains("it is not as `countersign export` writes it"), "{found:?}");
}

#[test]
fn events_that_are_dropped_repeated_swapped_or_spliced_are_found_in_a_bundle_made_anew() {
    type Tamper = fn(&mut Vec<Vec<u8>>, &[Vec<u8>]);
    let table: &[(&str, Tamper, u64)] = &[
        ("drop the first", |ours, _| drop(ours.remove(0)), 1),
        ("drop one", |ours, _| drop(ours.remove(6)), 7),
        ("repeat one", |ours, _| ours.insert(7, ours[6].clone()), 8),
        ("swap two", |ours, _| ours.swap(6, 7), 7),
        ("splice one from elsewhere", |ours, theirs| ours[6].clone_from(&theirs[6]), 7),
        ("put their answer in for ours", |ours, theirs| ours[3].clone_from(&theirs[3]), 4),
        ("go on with theirs", |ours, theirs| ours.extend_from_slice(theirs), 21),
        ("end as they did", |ours, theirs| ours[10..].clone_from_slice(&theirs[10..]), 11),
        ("nothing at all", |ours, _| ours.clear(), 1),
    ];
    let theirs = Story::whole("zzzzz").signed(1).bytes();
    for (name, tamper, event) in table {
        let mut made = contents(&Story::whole("k7m2q").signed(1));
        let good = made.pack().unwrap();
        tamper(&mut made.engagement.events, &theirs);
        // Whoever does this writes the manifest anew as well; where that cannot be done, the old one stays.
        let bytes = made.pack().unwrap_or_else(|_| {
            let mut files: Files =
                unpack(&good).unwrap().iter().map(|(path, file)| (path.clone(), file.bytes.to_vec())).collect();
            files.insert(EVENTS.into(), joined(&made.engagement.events));
            pack(MANIFEST, &files).unwrap()
        });
        let found = check(&bytes);
        let first = found.problems.iter().find(|problem| problem.seq > 0);
        let place = first.map(|first| (first.seq, first.file.as_deref()));
        assert_eq!(place, Some((*event, Some(EVENTS))), "{name}: {:?}", said(&found));
    }
}

#[test]
fn an_approval_is_for_one_engagement_and_one_version_even_of_equal_bytes() {
    // To another engagement, with every hash and the manifest made anew.
    let ours = Story::whole("k7m2q").signed(1);
    let mut theirs = Story::whole("zzzzz").signed(1);
    theirs.events[3] = ours.events[3].clone();
    theirs.blobs.extend(ours.blobs.clone());
    let found = check(&contents(&theirs).pack().unwrap());
    let moved = said(&found);
    assert!(moved.iter().any(|line| line.starts_with("event 4 (events.jsonl): ")), "{moved:?}");
    assert!(moved.iter().any(|line| line.contains("for another engagement")), "{moved:?}");
    // To the next version, which has the same bytes and is asked about with the same request.
    let mut again = Story::whole("k7m2q").signed(1);
    let (asked, answered) = (again.events[2].clone(), again.events[3].clone());
    again.events.truncate(4);
    let request = digest_of(&crate::ledger::testing::request()).unwrap();
    again.tell(Actor::Agent(crate::artifact::Agent::Requirements), filed(ArtifactKind::Spec, 2, &spec(), &[request]));
    again.tell(asked.1, asked.2);
    let Body::Asked(asked) = &mut again.events[5].2 else { panic!() };
    asked.once.as_mut().unwrap().nonce = "b".repeat(32).parse().unwrap();
    again.tell(answered.1, answered.2);
    let moved = said(&check(&contents(&again).pack().unwrap()));
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert!(moved[0].starts_with("event 7 (events.jsonl): ") && moved[0].contains("another asking"), "{moved:?}");
}

#[test]
fn what_is_left_out_is_said_and_what_is_needed_is_not_left_out() {
    let whole = contents(&Story::whole("k7m2q").signed(1));
    let mut fewer = whole.clone();
    fewer.without_results();
    let results = [json!({"vlans": [1, 20]}), json!({"ok": true})].map(|result| digest_of(&result).unwrap());
    assert_eq!(whole.engagement.blobs.len(), fewer.engagement.blobs.len() + results.len());
    let found = check(&fewer.pack().unwrap());
    assert!(found.ok, "{:?}", said(&found));
    for digest in results {
        assert!(found.notes.iter().any(|note| note.contains(&digest.to_string())), "{:?}", found.notes);
    }
    // One that is taken out is missing, unless the manifest says that it was left out; then it says so.
    let bytes = whole.pack().unwrap();
    let mut files: Files =
        unpack(&bytes).unwrap().iter().map(|(path, file)| (path.clone(), file.bytes.to_vec())).collect();
    files.remove(&blob_path(&results[0]));
    let lines = said(&check(&pack(MANIFEST, &files).unwrap()));
    assert!(lines.iter().any(|line| line.contains("does not say that it was left out")), "{lines:?}");
    // The other way round too.
    let mut files: Files =
        unpack(&bytes).unwrap().iter().map(|(path, file)| (path.clone(), file.bytes.to_vec())).collect();
    let mut manifest: Value = serde_json::from_slice(&files[MANIFEST]).unwrap();
    manifest["left_out"].as_array_mut().unwrap().insert(0, json!(results[1]));
    files.insert(MANIFEST.into(), canonical(&manifest).unwrap());
    let lines = said(&check(&pack(MANIFEST, &files).unwrap()));
    assert!(lines.iter().any(|line| line.starts_with("manifest.json: says that")), "{lines:?}");
    // What nothing can be shown without.
    for digest in whole.engagement.blobs.keys().filter(|digest| !results.contains(digest)) {
        let mut without = whole.clone();
        without.engagement.blobs.remove(digest);
        let Ok(bytes) = without.pack() else { continue };
        let found = check(&bytes);
        assert!(!found.ok, "{digest} is not missed");
        assert!(found.problems.iter().any(|one| one.seq > 0 && one.what.contains("missing")), "{:?}", said(&found));
    }
    // What nobody names.
    let mut more = whole;
    more.engagement.blobs.insert(digest_bytes(b"{}"), b"{}".to_vec());
    let lines = said(&check(&more.pack().unwrap()));
    assert!(lines.len() == 1 && lines[0].ends_with("no event names it"), "{lines:?}");
}

#[test]
fn copies_of_signatures_are_held_against_the_chain() {
    let bytes = contents(&beginning()).pack().unwrap();
    let forged = |change: &dyn Fn(&mut Files)| {
        let mut files: Files =
            unpack(&bytes).unwrap().iter().map(|(path, file)| (path.clone(), file.bytes.to_vec())).collect();
        change(&mut files);
        // The manifest lists what is there now.
        let mut manifest: Manifest = serde_json::from_slice(&files.remove(MANIFEST).unwrap()).unwrap();
        manifest.files = files.iter().map(|(path, bytes)| Listed::of(path, bytes)).collect();
        files.insert(MANIFEST.into(), canonical(&manifest).unwrap());
        said(&check(&pack(MANIFEST, &files).unwrap()))
    };
    assert_eq!(forged(&|_| {}), Vec::<String>::new());
    for name in ["4.json", "4.sig", "4.allowed_signers"] {
        let path = format!("signatures/{name}");
        let changed = forged(&|files| files.get_mut(&path).unwrap().push(b'\n'));
        assert_eq!(changed, [format!("event 4 ({path}): was changed: the event says otherwise")]);
        let gone = forged(&|files| drop(files.remove(&path)));
        assert_eq!(gone, [format!("event 4 ({path}): is missing, though the event is signed")]);
    }
    let more = forged(&|files| drop(files.insert("signatures/5.sig".into(), b"x".to_vec())));
    assert_eq!(more, ["signatures/5.sig: is of no signed event"]);
}

#[test]
fn a_manifest_that_is_wrong_about_what_bears_itself_out_is_what_is_wrong() {
    let bytes = contents(&beginning()).pack().unwrap();
    let files: Files = unpack(&bytes).unwrap().iter().map(|(path, file)| (path.clone(), file.bytes.to_vec())).collect();
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut files = files.clone();
        let mut manifest: Manifest = serde_json::from_slice(&files[MANIFEST]).unwrap();
        change(&mut manifest);
        files.insert(MANIFEST.into(), canonical(&manifest).unwrap());
        said(&check(&pack(MANIFEST, &files).unwrap()))
    };
    assert_eq!(with(&|_| {}), Vec::<String>::new());
    type Change = fn(&mut Manifest);
    let table: &[(Change, &str)] = &[
        (|it| it.files[0].sha256 = "0".repeat(64), "and the manifest says 0000"),
        (|it| it.files[0].size += 1, "bytes, and the manifest says"),
        (|it| drop(it.files.remove(0)), "is not in the manifest"),
        (|it| it.files.push(Listed::of("more", b"")), "more: is missing, and the manifest lists it"),
        (|it| it.files.insert(0, Listed::of("events.jsonl", b"")), "stands twice in the manifest"),
        (|it| it.files.reverse(), "it is not as `countersign export` writes it"),
        (|it| it.events += 1, "says that the number of events is 5, and it is 4"),
        (|it| it.head = Digest::ZERO, "says that the hash of the last event is"),
        (|it| it.engagement = id("zzzzz"), "says that the engagement is zzzzz, and it is k7m2q"),
        (|it| it.ledger = None, "says that the ledger is none"),
    ];
    for (change, says) in table {
        let lines = with(change);
        assert!(!lines.is_empty() && lines.iter().all(|line| line.starts_with(MANIFEST)), "{says}: {lines:?}");
        assert!(lines.iter().any(|line| line.contains(says)), "{says}: {lines:?}");
    }
}

#[test]
fn questions_of_another_ledger_are_found() {
    let mut story = Story::whole("k7m2q").signed(1);
    let once = story.asked().once.clone();
    let place = story.events.iter().rposition(|(.., body)| matches!(body, Body::Asked(_))).unwrap();
    let Body::Asked(asked) = &mut story.events[place].2 else { panic!() };
    asked.once = once.map(|once| crate::engagement::Once { ledger: "1".repeat(32).parse().unwrap(), ..once });
    let lines = said(&check(&contents(&story).pack().unwrap()));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with(&format!("event {} (events.jsonl)", place + 1)), "{lines:?}");
    assert!(lines[0].contains(&format!("asked in the ledger {}", "0".repeat(32))), "{lines:?}");
}

#[test]
fn of_very_many_problems_the_first_are_told_and_how_many_more() {
    let mut manifest = None;
    let whole = contents(&Story::whole("k7m2q"));
    let entries = whole.pack().unwrap();
    let files = unpack(&entries).unwrap();
    let entries: Vec<(&str, EntryType, Vec<u8>)> = files
        .iter()
        .map(|(path, file)| {
            let mut bytes = file.bytes.to_vec();
            if path == MANIFEST {
                let mut says: Value = serde_json::from_slice(&bytes).unwrap();
                let more = (0..3_000).map(|n: u32| json!(digest_bytes(&n.to_le_bytes())));
                says["left_out"].as_array_mut().unwrap().extend(more);
                bytes = canonical(&says).unwrap();
                manifest = Some(says);
            }
            (path.as_str(), EntryType::Regular, bytes)
        })
        .collect();
    let entries: Vec<_> = entries.iter().map(|(path, kind, bytes)| (*path, *kind, bytes.as_slice())).collect();
    let found = check(&archive(&entries));
    assert!(!found.ok && manifest.is_some());
    assert_eq!(found.problems.len(), 1_001);
    assert!(said(&found)[1_000].ends_with(" more problems"), "{}", said(&found)[1_000]);
}
