//! Events and documents as their rows hold them: packed with Zstandard (RFC 8878) and a dictionary of what ledgers hold,
//! where that makes them smaller. Rows of before are as they were written and are read so: canonical JSON never begins
//! with the byte that a packed row begins with. Digests are over the bytes that were packed, and whoever reads a row checks
//! them; what is wrong with a row shows there at the latest.
//!
//! A dictionary is part of the format. It is never changed, or what was packed with it could not be read; a better one
//! gets a file, a number and a first byte of its own.

use std::sync::{LazyLock, Mutex, PoisonError};

use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
    zstd_safe::get_frame_content_size,
};

use super::super::error::LedgerError;

/// The step of the schema after which rows may be packed; no table changes.
pub(super) const STEP: &str = "PRAGMA user_version = 5;";

/// The first byte of a row that is packed with the first dictionary.
const FIRST: u8 = 1;
/// The most that one row may hold when it is unpacked; far more than anything that is written.
const MOST: u64 = 32 << 20;
/// The most that rows which are read together may hold.
const MOST_TOGETHER: u64 = 1 << 30;
/// Small rows gain nothing worth the time from a higher one.
const LEVEL: i32 = 1;
/// What is shorter is not packed.
const SHORT: usize = 64;

static DICTIONARY: &[u8] = include_bytes!("dictionary-1.txt");
static ENCODER: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// What packs rows.
pub(super) struct Packer(Option<Compressor<'static>>);

impl Packer {
    /// One that can be used for many rows.
    pub(super) fn new() -> Self {
        Self(Compressor::with_prepared_dictionary(&ENCODER).ok())
    }

    /// The row for these bytes; they themselves where packing does not make them smaller or cannot be done.
    pub(super) fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        let packed = self.0.as_mut().filter(|_| bytes.len() >= SHORT).and_then(|with| with.compress(bytes).ok());
        match packed {
            Some(packed) if packed.len() + 1 < bytes.len() => [&[FIRST], packed.as_slice()].concat(),
            _ => bytes.to_vec(),
        }
    }
}

/// What unpacks rows: made when the first packed row comes, and kept for others afterwards, since making it takes longer
/// than unpacking a row.
pub(super) struct Unpacker(Option<Decompressor<'static>>);

/// How many are kept; as many as read at once.
const KEPT: usize = 8;

static IDLE: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

impl Drop for Unpacker {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.extend(self.0.take());
        }
    }
}

impl Unpacker {
    /// One that can be used for many rows.
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// The bytes in a row.
    pub(super) fn unpack(&mut self, row: Vec<u8>) -> Result<Vec<u8>, LedgerError> {
        let Some((&FIRST, packed)) = row.split_first() else { return Ok(row) };
        let damaged = |why: String| LedgerError::corrupt("a packed row of the database file", why);
        let size = match get_frame_content_size(packed) {
            Ok(Some(size)) if size <= MOST => usize::try_from(size).unwrap_or_default(),
            _ => return Err(damaged("it does not say how much it holds, or too much".into())),
        };
        let with = match &mut self.0 {
            Some(with) => with,
            none => {
                let kept = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let new = || Decompressor::with_prepared_dictionary(&DECODER);
                none.insert(kept.map_or_else(new, Ok).map_err(|error| damaged(error.to_string()))?)
            }
        };
        with.decompress(packed, size).map_err(|error| damaged(error.to_string()))
    }

    /// The bytes in many rows.
    pub(super) fn unpack_all(rows: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, LedgerError> {
        Self::unpack_within(rows, MOST_TOGETHER)
    }

    fn unpack_within(rows: Vec<Vec<u8>>, most: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        let (mut with, mut together) = (Self::new(), 0);
        let unpack = |row| {
            let bytes = with.unpack(row)?;
            together += bytes.len() as u64;
            if together > most {
                let why = format!("together they hold more than {most} bytes");
                return Err(LedgerError::corrupt("packed rows of the database file", why));
            }
            Ok(bytes)
        };
        rows.into_iter().map(unpack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::digest_bytes;

    #[test]
    fn what_was_packed_is_read_back_and_what_was_not_is_read_as_it_is() {
        let mut packer = Packer::new();
        let event = br#"{"actor":"program","at":"2026-05-01T10:00:00Z","body":{"call":"c7","outcome":"ok"},"engagement":"aaaaa"}"#;
        let packed = packer.pack(event);
        assert!(packed.len() * 2 < event.len() && packed[0] == FIRST, "{} of {}", packed.len(), event.len());
        let long = vec![b'7'; 3 << 20];
        for bytes in [&event[..], b"", b"{}", b"\"\"", &[0xf0; 100], &long] {
            let row = packer.pack(bytes);
            assert!(row.len() <= bytes.len());
            assert_eq!(Unpacker::new().unpack(row).unwrap(), bytes);
            if bytes.first() != Some(&FIRST) {
                assert_eq!(Unpacker::new().unpack(bytes.to_vec()).unwrap(), bytes, "as rows of before are");
            }
        }
    }

    #[test]
    fn a_small_row_that_holds_far_too_much_is_an_error() {
        let row = Packer::new().pack(&vec![b' '; MOST as usize + 1]);
        assert!(row.len() < 1 << 20);
        let error = Unpacker::new().unpack(row).unwrap_err().to_string();
        assert!(error.contains("too much"), "{error}");
        let row = Packer::new().pack(&[b' '; 1_000]);
        assert_eq!(Unpacker::unpack_within(vec![row.clone(); 4], 4_000).unwrap().concat().len(), 4_000);
        let error = Unpacker::unpack_within(vec![row; 5], 4_000).unwrap_err().to_string();
        assert!(error.contains("together they hold more"), "{error}");
    }

    #[test]
    fn a_damaged_row_is_an_error_or_other_bytes_and_never_a_panic() {
        let event =
            br#"{"actor":"program","body":{"call":"c7","outcome":"ok","result":"sha256:1"},"engagement":"aaaaa"}"#;
        let packed = Packer::new().pack(event);
        for at in 1..packed.len() {
            let mut row = packed.clone();
            row[at] ^= 0x55;
            assert_ne!(Unpacker::new().unpack(row).ok().as_deref(), Some(&event[..]), "byte {at}");
            let cut = Unpacker::new().unpack(packed[..at].to_vec());
            assert_ne!(cut.ok().as_deref(), Some(&event[..]), "cut at {at}");
        }
        // One that says that it is larger than anything that is written, or not how large, takes no memory for it.
        for size in [u64::MAX, MOST + 1] {
            let huge = [&[FIRST, 0x28, 0xb5, 0x2f, 0xfd, 0xe0], &size.to_le_bytes()[..], &[1, 0, 0]].concat();
            assert!(matches!(Unpacker::new().unpack(huge), Err(LedgerError::Corrupt { .. })), "{size}");
        }
    }

    #[test]
    fn the_dictionary_is_the_one_that_ledgers_were_packed_with() {
        let is = digest_bytes(DICTIONARY).to_string();
        assert_eq!(
            is, "sha256:93090f3e509e08673a42341f80e1ae06ae96d1dd8ebc2c4068be5cb251667eea",
            "ledgers could not be read; give a new dictionary a file of its own"
        );
    }
}
