//! Checkpoints: how many leaves the log has and their root, signed, as <https://c2sp.org/tlog-checkpoint> has it: a note
//! of three lines, the origin, the size and the root in base64. Pure.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use crate::artifact::Digest;

use super::note::{Note, NoteError, NoteKey};

/// A checkpoint as it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Which log; the name of the keys that sign it.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The note of it.
    pub fn sign(&self, key: &NoteKey) -> Note {
        Note::sign(self.text(), &[key])
    }

    /// The checkpoint in a note, whoever signed it.
    ///
    /// # Errors
    ///
    /// [`NoteError`] for a note that is no checkpoint.
    pub fn of(note: &Note) -> Result<Self, NoteError> {
        let wrong = |why: &str| NoteError(format!("this is no checkpoint: {why}"));
        let mut lines = note.text().split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(wrong("it has not three lines"));
        };
        let size: u64 = size.parse().map_err(|_| wrong("its second line is no size"))?;
        let root = BASE64_STANDARD.decode(root).map_err(|_| wrong("its third line is not base64"))?;
        let root = root.try_into().map_err(|_| wrong("its root has not 32 bytes"))?;
        let root = Digest::of_bytes(root);
        // What a file begins with is no part of a name.
        if origin.starts_with('\u{feff}') {
            return Err(wrong("it begins with a byte order mark"));
        }
        let read = Self { origin: origin.to_owned(), size, root };
        // No extension lines, no leading zeroes, no sign.
        if read.text() == note.text() { Ok(read) } else { Err(wrong("it is not written as this program writes it")) }
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root.bytes()))
    }
}

/// The checkpoints of a file that has one or more, each with its note.
///
/// # Errors
///
/// [`NoteError`] with what cannot be read.
pub fn read_checkpoints(text: &str) -> Result<Vec<(Checkpoint, Note)>, NoteError> {
    let notes = Note::several(text)?;
    if notes.is_empty() {
        return Err(NoteError("there is no checkpoint in it".into()));
    }
    let numbered = notes.into_iter().zip(1_usize..);
    numbered
        .map(|(note, number)| {
            let read = Checkpoint::of(&note).map_err(|error| NoteError(format!("note {number}: {error}")))?;
            Ok((read, note))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::digest_bytes;

    #[test]
    fn a_checkpoint_is_three_lines_and_nothing_else() {
        let key = NoteKey::from_seed("countersign/x", &[3; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "countersign/x".into(), size: 12, root: digest_bytes(b"x") };
        let note = checkpoint.sign(&key);
        let root = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=";
        assert_eq!(note.text(), format!("countersign/x\n12\n{root}\n"));
        assert!(note.is_signed_by(key.public()));
        assert_eq!(Checkpoint::of(&note).unwrap(), checkpoint);
        let text = format!("{note}\n{note}");
        assert_eq!(read_checkpoints(&text).unwrap(), [(checkpoint.clone(), note.clone()), (checkpoint, note.clone())]);
        let root = note.text().lines().nth(2).unwrap().to_owned();
        for other in [
            format!("countersign/x\n012\n{root}\n"),
            format!("countersign/x\n+12\n{root}\n"),
            format!("countersign/x\n-1\n{root}\n"),
            format!("countersign/x\n99999999999999999999\n{root}\n"),
            format!("countersign/x\n12\n{root}\nmore\n"),
            format!("countersign/x\n12\n{}\n", root.trim_end_matches('=')),
            "countersign/x\n12\nAAAA\n".to_owned(),
            "countersign/x\n12\n".to_owned(),
            format!("\u{feff}countersign/x\n12\n{root}\n"),
        ] {
            assert!(Checkpoint::of(&Note::sign(other.clone(), &[&key])).is_err(), "{other}");
        }
        assert!(read_checkpoints("").is_err());
    }
}
