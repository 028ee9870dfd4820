//! How an accepted connection ended: what the remote sent and received, and how long it lived.
//!
//! In: bytes and milliseconds at the end of a connection. Out: [`Ending`], which the key of
//! [`crate::Signal::Ended`] holds in the place of the pid.
//! The decision held here: four classes of each, not numbers. Connections of one remote that are
//! alike share a key; with exact numbers each would take a key of its own.

use core::num::NonZeroU8;

/// The least bytes of each class: nothing, some, more than a failed login or a small request takes,
/// more than a page.
pub const BYTE_CLASSES: [u32; 4] = [0, 1, 1 << 13, 1 << 17];
/// The least seconds of each class: at once, a password prompt, a session, a long session.
pub const SECOND_CLASSES: [u32; 4] = [0, 1, 30, 600];

/// Bits of each class.
const CLASS_BITS: u32 = 2;
const CLASS_MASK: u8 = (1 << CLASS_BITS) - 1;
const SENT_SHIFT: u32 = CLASS_BITS;
const LIVED_SHIFT: u32 = 2 * CLASS_BITS;
/// Set in every ending, so that none is 0.
const MARK: u8 = 1 << (3 * CLASS_BITS);

/// The classes of a connection that has ended, as indices of [`BYTE_CLASSES`] and
/// [`SECOND_CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending(NonZeroU8);

impl Ending {
    /// The ending of a connection: bytes that the remote sent and has acknowledged, and the time
    /// from the handshake to the end.
    #[inline(always)]
    #[must_use]
    pub const fn new(received: u64, sent: u64, milliseconds: u64) -> Self {
        const MILLISECONDS: u64 = 1000;
        let received = class(received, &BYTE_CLASSES);
        let sent = class(sent, &BYTE_CLASSES) << SENT_SHIFT;
        let lived = class(milliseconds / MILLISECONDS, &SECOND_CLASSES) << LIVED_SHIFT;
        match NonZeroU8::new(MARK | received | sent | lived) {
            Some(classes) => Self(classes),
            // Never: the mark is set.
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
        (classes.get() & !(MARK - 1) == MARK).then_some(Self(classes))
    }

    /// The least bytes that the remote sent.
    #[must_use]
    pub fn received_bytes(self) -> u32 {
        BYTE_CLASSES[self.class_at(0)]
    }

    /// The least bytes that the remote has acknowledged.
    #[must_use]
    pub fn sent_bytes(self) -> u32 {
        BYTE_CLASSES[self.class_at(SENT_SHIFT)]
    }

    /// The least seconds that it lived.
    #[must_use]
    pub fn seconds(self) -> u32 {
        SECOND_CLASSES[self.class_at(LIVED_SHIFT)]
    }

    fn class_at(self, shift: u32) -> usize {
        usize::from(self.0.get() >> shift & CLASS_MASK)
    }
}

/// The greatest class whose least value is not above `value`.
#[inline(always)]
const fn class(value: u64, least: &[u32; 4]) -> u8 {
    let [_, one, two, three] = *least;
    (value >= one as u64) as u8 + (value >= two as u64) as u8 + (value >= three as u64) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_the_least_of_its_classes() {
        for (given, expected) in [
            ((0, 0, 0), (0, 0, 0)),
            ((1, 0, 999), (1, 0, 0)),
            ((8191, 8192, 1000), (1, 8192, 1)),
            ((8192, 131_071, 29_999), (8192, 8192, 1)),
            ((131_072, u64::MAX, 30_000), (131_072, 131_072, 30)),
            ((u64::MAX, 1, u64::MAX), (131_072, 1, 600)),
        ] {
            let (received, sent, milliseconds) = given;
            let ending = Ending::new(received, sent, milliseconds);
            let least = (
                ending.received_bytes(),
                ending.sent_bytes(),
                ending.seconds(),
            );
            assert_eq!(least, expected, "{given:?}");
            assert_eq!(Ending::unpack(ending.pack()), Some(ending), "{given:?}");
        }
        for other in [0, 1, 0x3f, 0x80, 0xc0, 0x140, u32::MAX] {
            assert_eq!(Ending::unpack(other), None, "{other:#x}");
        }
    }
}
