//! Files in one file and back: an uncompressed tar of plain files, written in one way only, so that the same files are
//! the same bytes. Pure. Reading is for bytes that anyone may have made: nothing is written anywhere, nothing is
//! followed, and no more is held than there is.

use std::{collections::BTreeMap, io};

use tar::{Archive, Builder, EntryType, Header};

use super::super::verify::Problem;

/// What a tar is made of.
const BLOCK: usize = 512;
/// No file in a bundle has a longer path; the header of a plain tar has room for it.
const LONGEST_PATH: usize = 100;

/// One file of an archive.
pub(super) struct Packed<'a> {
    /// Where its header begins.
    pub(super) at: usize,
    /// What is in it.
    pub(super) bytes: &'a [u8],
}

/// The files as one, in the order of their names, `first` before all others.
pub(super) fn pack(first: &str, files: &BTreeMap<String, Vec<u8>>) -> io::Result<Vec<u8>> {
    let (begins, others): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| path.as_str() == first);
    let mut builder = Builder::new(Vec::new());
    for (path, bytes) in begins.into_iter().chain(others) {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_path(path)?;
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        // As tar(1) and Python write it, so that they write the same bytes.
        if let Ok(field) = format!("{:06o}\0 ", header.cksum()?).as_bytes().try_into() {
            header.as_old_mut().cksum = field;
        }
        builder.append(&header, bytes.as_slice())?;
    }
    builder.into_inner()
}

/// The files of an archive by their paths; else the first thing about it that no bundle has.
pub(super) fn unpack(bytes: &[u8]) -> Result<BTreeMap<String, Packed<'_>>, Problem> {
    let mut files = BTreeMap::new();
    let mut next = 0;
    let broken = |at: usize, what: &str| Problem { file: None, seq: 0, what: format!("at byte {at}: {what}") };
    let mut archive = Archive::new(bytes);
    let entries = archive.entries().map_err(|error| broken(0, &error.to_string()))?;
    // As they are: no header may say how another is read.
    for entry in entries.raw(true) {
        let entry = entry.map_err(|error| broken(next, &format!("this is no file of a bundle: {error}")))?;
        let at = next;
        let path = plain(&entry.path_bytes()).ok_or_else(|| {
            let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            broken(at, &format!("`{shown}` is no path of a file in a bundle"))
        })?;
        if entry.header().entry_type() != EntryType::Regular {
            return Err(broken(at, "this is no plain file, and a bundle has nothing else").in_file(path));
        }
        let begins = at.saturating_add(BLOCK);
        let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
        let ends = begins.saturating_add(size);
        let Some(content) = bytes.get(begins..ends) else {
            return Err(broken(at, &format!("it is cut short: {size} bytes were to follow")).in_file(path));
        };
        next = ends.div_ceil(BLOCK).saturating_mul(BLOCK);
        if files.contains_key(&path) {
            return Err(broken(at, "it is there twice").in_file(path));
        }
        files.insert(path, Packed { at, bytes: content });
    }
    Ok(files)
}

/// The file in which a byte lies; nothing for what follows the last.
pub(super) fn file_at<'a>(files: &'a BTreeMap<String, Packed<'_>>, byte: usize) -> Option<&'a str> {
    let holds = |packed: &Packed<'_>| {
        let ends = (packed.at + BLOCK + packed.bytes.len()).div_ceil(BLOCK) * BLOCK;
        (packed.at..ends).contains(&byte)
    };
    files.iter().find(|(_, packed)| holds(packed)).map(|(path, _)| path.as_str())
}

/// A path that leads nowhere but down, in letters that every system writes alike.
fn plain(path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path).ok()?;
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let step = |step: &str| !step.starts_with('.') && !step.is_empty() && step.chars().all(letter);
    (text.len() <= LONGEST_PATH && text.split('/').all(step)).then(|| text.to_owned())
}
