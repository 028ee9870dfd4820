//! What the kernel programs say of a frame that the parser could not read.
//!
//! In: how a frame was lost, and at which hook. Out: one word of a record of the kernel's log, and
//! back; how many bytes of the frame a record has, and how many records the agent allows.
//! The decision held here: a record has the frame's first bytes and not the place where parsing
//! stopped. The agent parses the bytes again, by the same parser, which costs the kernel programs
//! nothing.

use crate::{FrameOrigin, Loss};

/// The ring of aya-log with the records, the array that limits them, and space for bytes: the maps
/// of the log, which belong to one agent and its programs.
pub const RING: &str = "AYA_LOGS";
/// See [`FOUND`] and [`ALLOWED`].
pub const LIMIT: &str = "LOG_LIMIT";
/// All of them.
pub const MAPS: [&str; 3] = [RING, LIMIT, "LOG_BYTES"];

/// Bytes of the frame in a record: more than the headers of common frames.
pub const CAPTURED: usize = 256;

/// The array by which agent and programs limit the records. Here is how many frames the programs
/// would have logged so far.
pub const FOUND: u32 = 0;
/// And here how many they may log.
pub const ALLOWED: u32 = 1;
/// Words of that array.
pub const LIMIT_WORDS: u32 = 2;

/// How a frame was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostFrame {
    /// Why.
    pub loss: Loss,
    /// At which hook.
    pub origin: FrameOrigin,
}

impl LostFrame {
    /// The bits of the loss, below those of the origin.
    const LOSS_BITS: u32 = u8::BITS;
    const LOSS: u32 = (1 << Self::LOSS_BITS) - 1;

    /// As a word.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u32 {
        self.loss as u32 | self.origin.pack() << Self::LOSS_BITS
    }

    /// Reads a word, or `None` if no frame is lost like that.
    #[must_use]
    pub fn unpack(word: u32) -> Option<Self> {
        let mut losses = Loss::OF_FRAMES.into_iter();
        let frame = Self {
            loss: losses.find(|&loss| loss as u32 == word & Self::LOSS)?,
            origin: FrameOrigin::unpack(word >> Self::LOSS_BITS),
        };
        (frame.pack() == word).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame_origin::tests::all;

    #[test]
    fn words_are_read_back() {
        for loss in Loss::OF_FRAMES {
            for origin in all() {
                let frame = LostFrame { loss, origin };
                assert_eq!(LostFrame::unpack(frame.pack()), Some(frame));
            }
        }
        for word in [3, 0xff, 1 << 10, u32::MAX] {
            assert_eq!(LostFrame::unpack(word), None, "{word:#x}");
        }
    }
}
