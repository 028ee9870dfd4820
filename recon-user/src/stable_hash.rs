//! A hash that identifies something outside of this process.
//!
//! In: the parts of what is identified. Out: 128 bits, as hexadecimal digits.
//! The decision held here: FNV-1a of 128 bits (draft-eastlake-fnv), since ids in stored alerts must
//! mean the same after an upgrade and on every platform. The hashes of the standard library and of
//! foldhash may change with each of their versions, and are seeded here. It keeps no secret and
//! bounds nothing, so that whoever chooses its input gains nothing; 128 bits because accidental
//! collisions would join incidents.

use std::fmt;

use serde::{Deserialize, Serialize};

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// The most zeros at the beginning of a part that are one step.
const MOST_ZEROS: usize = 10;
/// The powers of the prime.
const POWERS: [u128; MOST_ZEROS + 1] = {
    let mut powers = [1; MOST_ZEROS + 1];
    let mut next = 1;
    while next < powers.len() {
        powers[next] = PRIME.wrapping_mul(powers[next - 1]);
        next += 1;
    }
    powers
};

/// The hash of the parts that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StableHash(u128);

impl StableHash {
    /// The hash of no parts.
    pub(crate) const EMPTY: Self = Self(OFFSET);

    /// Adds a part, preceded by its length so that other parts give another hash.
    pub(crate) const fn with(self, part: &[u8]) -> Self {
        let length = (part.len() as u64).to_be_bytes();
        self.with_bytes(&length).with_bytes(part)
    }

    /// Adds a part that may be unknown. It must not be empty if it is known.
    pub(crate) fn with_known<const N: usize>(self, part: Option<[u8; N]>) -> Self {
        self.with(part.as_ref().map_or(&[], |part| part))
    }

    /// The hash with these digits, as it is displayed.
    pub(crate) fn from_digits(text: &str) -> Option<Self> {
        const DIGITS: usize = u128::BITS as usize / 4;
        let is_one = text.len() == DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        u128::from_str_radix(text, 16)
            .ok()
            .filter(|_| is_one)
            .map(Self)
    }

    /// Half of its bits.
    pub(crate) const fn upper_half(self) -> u64 {
        (self.0 >> u64::BITS) as u64
    }

    const fn with_bytes(self, bytes: &[u8]) -> Self {
        let mut place = 0;
        while place < MOST_ZEROS && place < bytes.len() && bytes[place] == 0 {
            place += 1;
        }
        // A zero changes the hash by the factor alone: those of a length, and of an IPv4 address,
        // are one step.
        let mut hash = self.0.wrapping_mul(POWERS[place]);
        while place < bytes.len() {
            hash = (hash ^ bytes[place] as u128).wrapping_mul(PRIME);
            place += 1;
        }
        Self(hash)
    }
}

impl fmt::Display for StableHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without a format, since each line of an alert has two.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 2 * size_of::<u128>()];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        formatter.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the reference implementation.
    #[test]
    fn bytes_are_hashed_as_others_hash_them() {
        for (text, expected) in [
            ("", "6c62272e07bb014262b821756295c58d"),
            ("a", "d228cb696f1a8caf78912b704e4a8964"),
            ("ab", "08809544bbab1be95aa0733055b69a62"),
            ("abc", "a68d622cec8b5822836dbc7977af7f3b"),
            ("\0", "d228cb69101a8caf78912b704e4a147f"),
            ("\0\0a", "a68bb3932b8b5822836dbc78c742144c"),
            ("\0\0\0\0\0\0\0\0\0\0a", "27d3a91dea6e0f9757730f14203bf22c"),
            (
                "\0\0\0\0\0\0\0\0\0\0\0\0a",
                "4d7b456f8f591aa6338f6fc1a92bfa14",
            ),
            ("a\0\0b", "697128ab6c757277b806e976f4a36442"),
        ] {
            let hash = StableHash::EMPTY.with_bytes(text.as_bytes());
            assert_eq!(hash.to_string(), expected, "{text}");
            assert_eq!(StableHash::from_digits(expected), Some(hash));
        }
        for text in [
            "",
            "6c62272e",
            "+c62272e07bb014262b821756295c58d",
            "é",
            &"f".repeat(33),
        ] {
            assert_eq!(StableHash::from_digits(text), None, "{text}");
        }
    }

    #[test]
    fn parts_are_kept_apart() {
        let hash = |parts: &[&str]| {
            let add = |hash: StableHash, part: &&str| hash.with(part.as_bytes());
            parts.iter().fold(StableHash::EMPTY, add)
        };
        let all = [
            hash(&[]),
            hash(&[""]),
            hash(&["ab", "c"]),
            hash(&["a", "bc"]),
            hash(&["abc"]),
            hash(&["abc", ""]),
        ];
        for (position, one) in all.iter().enumerate() {
            assert!(!all[..position].contains(one), "{position}");
        }
    }
}
