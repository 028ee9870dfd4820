//! The frames around what is saved: whose it is, and whether all of it is there.
//!
//! In: bytes to save; the bytes of a file. Out: a file with a header; its payload, or why it can't
//! be used. The same for each record of a journal.
//! The decisions held here:
//! - A file is used only by the build that wrote it, or by one that saves the same
//!   ([`layout`]). Nothing of another layout is interpreted.
//! - The checksum is CRC-32: it finds a file that was cut or has lost bits. It does not protect
//!   from somebody who may write to the folder, which only recon's user may.

use thiserror::Error;

/// The version of the frames.
const VERSION: u32 = 1;
/// The bytes before a payload.
pub(super) const HEADER: usize = MAGIC + 4 + 8 + 8 + 4;
/// Those that say what a file is.
pub(super) const MAGIC: usize = 8;
/// The bytes before a record.
const RECORD_HEADER: usize = 4 + 4;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateFile {
    Snapshot,
    Journal,
}

impl StateFile {
    pub(super) const fn magic(self) -> [u8; MAGIC] {
        *match self {
            Self::Snapshot => b"reconSNP",
            Self::Journal => b"reconJRN",
        }
    }
}

/// Why a file can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Unusable {
    /// It has another beginning.
    #[error("it is no such file")]
    NoState,
    /// The frames have another version.
    #[error("its format is version {0}, and this recon reads version {VERSION}")]
    OtherVersion(u32),
    /// What it holds has another layout.
    #[error("another version of recon has written it")]
    OtherLayout,
    /// The file is shorter than it says, or longer.
    #[error("it was cut")]
    Cut,
    /// The checksum is another one.
    #[error("it is damaged")]
    Damaged,
    /// The payload does not say what it should.
    #[error("its content makes no sense")]
    Senseless,
    /// Its hashes are of other secrets.
    #[error("the hash secrets of this process are others")]
    OtherSecrets,
    /// It is larger than any that recon writes.
    #[error("it is larger than any that recon writes")]
    TooLarge,
}

/// The header of a file with that payload.
pub(super) fn header(kind: StateFile, payload: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let parts: [&[u8]; 5] = [
        &kind.magic(),
        &VERSION.to_le_bytes(),
        &layout().to_le_bytes(),
        &(payload.len() as u64).to_le_bytes(),
        &crc32fast::hash(payload).to_le_bytes(),
    ];
    let mut rest = &mut header[..];
    for part in parts {
        let (place, after) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = after;
    }
    header
}

/// The payload of a file, and what comes after it.
///
/// # Errors
/// Why it can't be used.
pub(super) fn payload(kind: StateFile, file: &[u8]) -> Result<(&[u8], &[u8]), Unusable> {
    let (magic, rest) = take::<MAGIC>(file).ok_or(Unusable::NoState)?;
    if magic != kind.magic() {
        return Err(Unusable::NoState);
    }
    let (version, rest) = take(rest).ok_or(Unusable::Cut)?;
    match u32::from_le_bytes(version) {
        VERSION => {}
        other => return Err(Unusable::OtherVersion(other)),
    }
    let (of, rest) = take(rest).ok_or(Unusable::Cut)?;
    if u64::from_le_bytes(of) != layout() {
        return Err(Unusable::OtherLayout);
    }
    let (length, rest) = take(rest).ok_or(Unusable::Cut)?;
    let (checksum, rest) = take(rest).ok_or(Unusable::Cut)?;
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| Unusable::Cut)?;
    let (payload, rest) = rest.split_at_checked(length).ok_or(Unusable::Cut)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(checksum) {
        return Err(Unusable::Damaged);
    }
    Ok((payload, rest))
}

/// Begins a record, whose payload the caller appends. Returns where that begins.
pub(super) fn begin_record(to: &mut Vec<u8>) -> usize {
    to.extend([0; RECORD_HEADER]);
    to.len()
}

/// Ends the record whose payload begins at `start`: fills in its length and checksum.
pub(super) fn end_record(to: &mut [u8], start: usize) {
    let (before, payload) = to.split_at_mut(start);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let header = &mut before[start - RECORD_HEADER..];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
}

/// The payload of the next record, and what comes after it. `None` at the end, and where a record
/// is not whole: nothing after that was written.
pub(super) fn next_record(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = take(file)?;
    let (checksum, rest) = take(rest)?;
    let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    (crc32fast::hash(payload) == u32::from_le_bytes(checksum)).then_some((payload, rest))
}

fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    Some((*first, rest))
}

/// The layout of what this build saves. The build script passes a number.
fn layout() -> u64 {
    env!("RECON_LAYOUT").parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(kind: StateFile, payload: &[u8]) -> Vec<u8> {
        let mut file = header(kind, payload).to_vec();
        file.extend(payload);
        file
    }

    #[test]
    fn a_file_of_another_kind_or_version_is_not_read() {
        let whole = file(StateFile::Snapshot, b"windows");
        assert_eq!(
            payload(StateFile::Snapshot, &whole),
            Ok((&b"windows"[..], &[][..]))
        );
        // (where a byte changes, what is said)
        for (at, expected) in [
            (0, Unusable::NoState),
            (8, Unusable::OtherVersion(0)),
            (12, Unusable::OtherLayout),
            (28, Unusable::Damaged),
            (HEADER, Unusable::Damaged),
        ] {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert_eq!(payload(StateFile::Snapshot, &other), Err(expected), "{at}");
        }
        assert_eq!(
            payload(StateFile::Journal, &whole),
            Err(Unusable::NoState),
            "another kind"
        );
        assert_eq!(
            payload(StateFile::Snapshot, &whole[..whole.len() - 1]),
            Err(Unusable::Cut)
        );
    }

    #[test]
    fn a_torn_record_ends_a_journal() {
        let mut journal = Vec::new();
        for payload in [&b"one"[..], b"", b"three"] {
            let start = begin_record(&mut journal);
            journal.extend(payload);
            end_record(&mut journal, start);
        }
        // (bytes that are there, records)
        let whole = journal.len();
        for (length, expected) in [(whole, 3), (whole - 1, 2), (whole - 5, 2), (12, 1), (3, 0)] {
            let mut rest = &journal[..length];
            let mut found = 0;
            while let Some((_, after)) = next_record(rest) {
                rest = after;
                found += 1;
            }
            assert_eq!(found, expected, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..200), at in 0..400_usize) {
            let _ = next_record(&noise);
            prop_assert!(payload(StateFile::Snapshot, &noise).is_err());
            let mut whole = file(StateFile::Snapshot, &noise);
            let bit = at % (whole.len() * 8);
            whole[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(payload(StateFile::Snapshot, &whole).is_err(), "bit {bit}");
        }
    }
}
