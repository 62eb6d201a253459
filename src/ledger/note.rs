//! Signed notes, as <https://c2sp.org/signed-note> has them: some lines of text, an empty line, and under it a line for
//! each signature. Pure: it reads, checks and writes them, and holds no key that is not handed to it.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::artifact::digest_bytes;

/// How a line with a signature begins: an em dash and a space.
const MARK: &str = "— ";
/// The number of Ed25519 among the signature types of C2SP.
const ED25519: u8 = 1;
/// No note that is taken here is longer.
const LONGEST: usize = 64 * 1024;
/// No note that is taken here has more signatures.
const MOST_SIGNATURES: usize = 32;

/// What cannot be read as a note or as a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoteError(pub(super) String);

impl NoteError {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// The public half of a key with its name, written `name+hash+base64` (a C2SP *vkey*).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, key: VerifyingKey) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::new(format!("`{name}` is no name of a key: it has spaces or a `+`, or is empty")));
        }
        let hashed = [name.as_bytes(), b"\n", &[ED25519], key.as_bytes()].concat();
        let digest = digest_bytes(&hashed);
        let id = digest.bytes().first_chunk().copied().unwrap_or_default();
        Ok(Self { name: name.to_owned(), id, key })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Eight hexadecimal digits that tell it from others of the name.
    pub fn id(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Its 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether a signature of 64 bytes is this key's over a message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.id(), BASE64_STANDARD.encode(typed))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let wrong = |why: &str| NoteError::new(format!("this is no public key (name+hash+base64): {why}"));
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it has not three parts"));
        };
        let typed = BASE64_STANDARD.decode(key).map_err(|_| wrong("its third part is not base64"))?;
        let Some((&ED25519, bytes)) = typed.split_first() else { return Err(wrong("it is not of type Ed25519")) };
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| wrong("it has not 32 bytes"))?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| wrong("its bytes are no key"))?;
        let read = Self::new(name, key)?;
        if read.id() == id { Ok(read) } else { Err(wrong("its hash is another's")) }
    }
}

impl serde::Serialize for VerifierKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A key that signs, with its public half.
pub struct NoteKey {
    key: SigningKey,
    public: VerifierKey,
}

impl NoteKey {
    /// The key that a seed stands for.
    ///
    /// # Errors
    ///
    /// [`NoteError`] for a name that is none.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = SigningKey::from_bytes(seed);
        let public = VerifierKey::new(name, key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// Its public half.
    pub fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// The Ed25519 signature of these bytes. Whatever is signed says what it is at its beginning, so that no signature
    /// of one kind is one of another: notes do by their first line.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

/// Says whose it is and never shows it.
impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKey({})", self.public)
    }
}

/// A text with signatures under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<(String, Vec<u8>)>,
}

impl Note {
    /// Signs a text, which must consist of whole lines.
    pub fn sign(text: String, keys: &[&NoteKey]) -> Self {
        let signature = |key: &&NoteKey| {
            let bytes = [key.public.id.as_slice(), key.sign(text.as_bytes()).as_slice()].concat();
            (key.public.name.clone(), bytes)
        };
        let signatures = keys.iter().map(signature).collect();
        Self { text, signatures }
    }

    /// What was signed, with the end of its last line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whose signatures it says that it has, in their order; whether they are good is another question.
    pub fn signed_as(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|(name, _)| name.as_str())
    }

    /// Whether one of its signatures is this key's and good.
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        self.signatures.iter().any(|(name, signature)| {
            let own = signature.strip_prefix(&key.id).filter(|_| *name == key.name);
            own.is_some_and(|signature| key.verify(self.text.as_bytes(), signature))
        })
    }

    /// Reads notes that stand under one another, with or without an empty line between them.
    ///
    /// # Errors
    ///
    /// [`NoteError`] with the line.
    pub fn several(text: &str) -> Result<Vec<Self>, NoteError> {
        let mut notes = Vec::new();
        let (mut begins, mut one, mut signed) = (1, String::new(), false);
        for (line, number) in text.split_inclusive('\n').zip(1_usize..) {
            let marked = line.starts_with(MARK);
            if signed && !marked {
                notes.push(one.parse().map_err(|error| NoteError(format!("line {begins}: {error}")))?);
                (begins, one, signed) = (number, String::new(), false);
            }
            if one.is_empty() && line == "\n" {
                begins = number + 1;
                continue;
            }
            one.push_str(line);
            signed = marked;
            if one.len() > LONGEST {
                return Err(NoteError(format!("line {begins}: what begins here is too long for a note")));
            }
        }
        if !one.is_empty() {
            notes.push(one.parse().map_err(|error| NoteError(format!("line {begins}: {error}")))?);
        }
        Ok(notes)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for (name, signature) in &self.signatures {
            writeln!(f, "{MARK}{name} {}", BASE64_STANDARD.encode(signature))?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(whole: &str) -> Result<Self, NoteError> {
        let wrong = |why: &str| NoteError::new(format!("this is no signed note: {why}"));
        if whole.len() > LONGEST {
            return Err(wrong("it is too long"));
        }
        if whole.chars().any(|letter| letter.is_control() && letter != '\n') {
            return Err(wrong("it has control characters in it"));
        }
        let (text, under) = whole.rsplit_once("\n\n").ok_or_else(|| wrong("it has no empty line above signatures"))?;
        let under = under.strip_suffix('\n').ok_or_else(|| wrong("its last line does not end"))?;
        let mut signatures = Vec::new();
        for line in under.split('\n') {
            let parts = line.strip_prefix(MARK).and_then(|line| line.split_once(' '));
            let (name, signature) = parts.ok_or_else(|| wrong("a line under its text is no signature"))?;
            let signature = BASE64_STANDARD.decode(signature).map_err(|_| wrong("a signature is not base64"))?;
            if !is_name(name) || signature.len() < 5 {
                return Err(wrong("a signature has no name or is too short"));
            }
            signatures.push((name.to_owned(), signature));
        }
        if signatures.len() > MOST_SIGNATURES {
            return Err(wrong("it has too many signatures"));
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter.is_control() || letter == '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> NoteKey {
        NoteKey::from_seed("example.com/log", &[seed; 32]).unwrap()
    }

    /// The example of <https://c2sp.org/signed-note>, which is that of Go's sumdb/note.
    #[test]
    fn a_note_that_others_signed_is_read_and_checked() {
        let vkey: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
            — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let note: Note = text.parse().unwrap();
        assert!(note.is_signed_by(&vkey));
        assert_eq!(note.to_string(), text);
        assert_eq!(vkey.to_string().parse::<VerifierKey>().unwrap(), vkey);
        assert!(!note.is_signed_by(key(1).public()));
    }

    #[test]
    fn no_byte_of_a_note_or_a_key_can_be_another() {
        let note = Note::sign("a log\n3\nroot\n".into(), &[&key(1), &key(2)]);
        assert!(note.is_signed_by(key(1).public()) && note.is_signed_by(key(2).public()));
        assert!(!note.is_signed_by(key(3).public()));
        // A key of the same bytes under another name is another key.
        let other = NoteKey::from_seed("example.com/other", &[1; 32]).unwrap();
        assert!(!note.is_signed_by(other.public()));
        let (whole, vkey) = (note.to_string(), key(1).public().to_string());
        for at in 0..whole.len() {
            for bit in [1, 32, 128] {
                let mut bytes = whole.clone().into_bytes();
                bytes[at] ^= bit;
                let read = String::from_utf8(bytes).ok().and_then(|text| text.parse::<Note>().ok());
                let both = |note: &Note| note.is_signed_by(key(1).public()) && note.is_signed_by(key(2).public());
                assert!(!read.as_ref().is_some_and(both), "byte {at}: {read:?}");
            }
        }
        for at in 0..vkey.len() {
            let mut bytes = vkey.clone().into_bytes();
            bytes[at] ^= 1;
            let read = String::from_utf8(bytes).unwrap().parse::<VerifierKey>();
            assert!(read.as_ref().ok() != Some(key(1).public()), "byte {at}: {read:?}");
        }
    }

    #[test]
    fn notes_that_stand_under_one_another_are_read_one_by_one() {
        let notes = [1, 2, 3].map(|n| Note::sign(format!("note\n\n{n}\n"), &[&key(n), &key(9)]));
        for between in ["", "\n", "\n\n"] {
            let text = notes.each_ref().map(Note::to_string).join(between);
            assert_eq!(Note::several(&text).unwrap(), notes, "{between:?}");
            let cut = &text[..text.len() - 1];
            assert!(Note::several(cut).unwrap_err().to_string().starts_with("line "), "{between:?}");
        }
        assert_eq!(Note::several("\n\n").unwrap(), []);
        for no_note in [
            "x",
            "x\n",
            "x\n\n",
            "x\n\n— \n",
            "x\n\n— name\n",
            "x\n\n— name AAAA\n",
            "x\n— n AAAAAAAAAAAA\n",
            "\u{7}\n\n— n AAAAAAAA\n",
        ] {
            assert!(Note::several(no_note).is_err(), "{no_note:?}");
        }
    }
}
