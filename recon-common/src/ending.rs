//! How an accepted connection ended: what the remote sent and received, and how long it lived.
//!
//! In: bytes and milliseconds at the end of a connection. Out: [`Ending`], which the key of
//! [`crate::Signal::Ended`] holds as its detail.
//! The decision held here: classes, not numbers. Connections of one remote that are alike share a
//! key; with exact numbers each would take a key of its own. The classes are one number of mixed
//! radix, so that all of them fit into a byte.

use core::num::NonZeroU8;

/// The least bytes of each class: nothing; some, such as the greeting of a monitor of SSH; the
/// exchange of keys and a refused password; a short transfer over SSH; more than a small request
/// takes; more than a page.
pub const BYTE_CLASSES: [u32; 6] = [0, 1, 1 << 8, 1 << 12, 1 << 13, 1 << 17];
/// The least seconds of each class: at once, a password prompt, a session, a long session.
pub const SECOND_CLASSES: [u32; 4] = [0, 1, 30, 600];

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

const BYTE_RADIX: u8 = BYTE_CLASSES.len() as u8;
/// The numbers of all endings are from 1 to this one, so that none is 0.
const LAST: u8 = BYTE_RADIX * BYTE_RADIX * SECOND_CLASSES.len() as u8;

/// The classes of a connection that has ended, as indices of [`BYTE_CLASSES`] and
/// [`SECOND_CLASSES`]: one more than the number whose digits they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ending(NonZeroU8);

impl Ending {
    /// The ending of a connection: bytes that the remote sent and has acknowledged, and the
    /// nanoseconds from the handshake to the end.
    #[inline(always)]
    #[must_use]
    pub const fn new(received: u64, sent: u64, lived: u64) -> Self {
        let received = class(received, &BYTE_CLASSES, 1);
        let sent = class(sent, &BYTE_CLASSES, 1);
        let lived = class(lived, &SECOND_CLASSES, SECOND);
        let digits = (lived * BYTE_RADIX + sent) * BYTE_RADIX + received;
        match NonZeroU8::new(1 + digits) {
            Some(classes) => Self(classes),
            // Never: no number of these digits is that great.
            None => Self(NonZeroU8::MIN),
        }
    }

    /// The word in the key.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u32 {
        self.0.get() as u32
    }

    /// Reads the word of a key. `None` for a word of another layout.
    #[must_use]
    pub fn unpack(word: u32) -> Option<Self> {
        let classes = u8::try_from(word).ok().and_then(NonZeroU8::new)?;
        (classes.get() <= LAST).then_some(Self(classes))
    }

    /// The least bytes that the remote sent.
    #[must_use]
    pub fn received_bytes(self) -> u32 {
        BYTE_CLASSES[usize::from(self.digits() % BYTE_RADIX)]
    }

    /// The least bytes that the remote has acknowledged.
    #[must_use]
    pub fn sent_bytes(self) -> u32 {
        BYTE_CLASSES[usize::from(self.digits() / BYTE_RADIX % BYTE_RADIX)]
    }

    /// The least seconds that it lived.
    #[must_use]
    pub fn seconds(self) -> u32 {
        SECOND_CLASSES[usize::from(self.digits() / (BYTE_RADIX * BYTE_RADIX))]
    }

    fn digits(self) -> u8 {
        self.0.get() - 1
    }
}

/// The greatest class whose least value, in that unit, is not above `value`.
#[inline(always)]
const fn class<const N: usize>(value: u64, least: &[u32; N], unit: u64) -> u8 {
    let mut class = 0;
    let mut next = 1;
    while next < N {
        class += (value >= least[next] as u64 * unit) as u8;
        next += 1;
    }
    class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_the_least_of_its_classes() {
        for (given, expected) in [
            ((0, 0, 0), (0, 0, 0)),
            ((1, 0, 999), (1, 0, 0)),
            ((255, 256, 1000), (1, 256, 1)),
            ((4095, 4096, 1000), (256, 4096, 1)),
            ((8191, 8192, 1000), (4096, 8192, 1)),
            ((8192, 131_071, 29_999), (8192, 8192, 1)),
            ((131_072, u64::MAX, 30_000), (131_072, 131_072, 30)),
            ((u64::MAX, 1, u64::MAX / SECOND), (131_072, 1, 600)),
        ] {
            let (received, sent, milliseconds) = given;
            let ending = Ending::new(received, sent, milliseconds * 1_000_000);
            let least = (
                ending.received_bytes(),
                ending.sent_bytes(),
                ending.seconds(),
            );
            assert_eq!(least, expected, "{given:?}");
            assert_eq!(Ending::unpack(ending.pack()), Some(ending), "{given:?}");
        }
        for other in [0, 145, 255, 257, u32::MAX] {
            assert_eq!(Ending::unpack(other), None, "{other:#x}");
        }
    }
}
