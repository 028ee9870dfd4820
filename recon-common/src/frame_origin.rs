//! At which hook a frame was seen that the kernel programs hand over.
//!
//! In: a direction, and whether the hook's frames start with IP. Out: two bits of a word, and back.

use crate::{Direction, Packet};

/// At which hook a frame was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameOrigin {
    /// Whether it came in or went out.
    pub direction: Direction,
    /// Whether it starts with IP.
    pub is_bare: bool,
}

impl FrameOrigin {
    const OUT: u32 = 1;
    const BARE: u32 = 1 << 1;

    /// That of a hook's frames which cross it in that direction.
    #[inline(always)]
    #[must_use]
    pub const fn of<P: Packet + ?Sized>(direction: Direction) -> Self {
        Self {
            direction,
            is_bare: P::STARTS_WITH_IP,
        }
    }

    /// As a word.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u32 {
        let direction = match self.direction {
            Direction::In => 0,
            Direction::Out => Self::OUT,
        };
        let bare = match self.is_bare {
            true => Self::BARE,
            false => 0,
        };
        direction | bare
    }

    /// Reads a word.
    #[must_use]
    pub const fn unpack(word: u32) -> Self {
        Self {
            direction: match word & Self::OUT {
                0 => Direction::In,
                _ => Direction::Out,
            },
            is_bare: word & Self::BARE != 0,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = FrameOrigin> {
        [Direction::In, Direction::Out]
            .into_iter()
            .flat_map(|direction| [false, true].map(|is_bare| FrameOrigin { direction, is_bare }))
    }

    #[test]
    fn words_are_read_back() {
        for origin in all() {
            assert_eq!(FrameOrigin::unpack(origin.pack()), origin);
        }
    }
}
