//! The word of a key whose meaning depends on the key's signal.
//!
//! In: a signal and the word. Out: [`Detail`], the only reading of it.
//! The decision held here: what this host's processes send has a sender, and what comes in has an
//! interface; no signal has both, so that both fit into one word, and the key of a packet costs no
//! more. An answer of this host has neither: it may leave by another interface than the packet came
//! in on.

use core::num::NonZeroU32;

use crate::{Ending, ImageId, Signal};

/// What the key of a signal says beside who did what to which address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The process of this host that sent it, and its program; see [`Signal::is_outbound`].
    Sender(ImageId),
    /// The index of the interface that the packet came in on; see [`Signal::has_interface`].
    Interface(NonZeroU32),
    /// How the connection ended, for [`Signal::Ended`].
    Ending(Ending),
}

impl Detail {
    /// Reads the word of a key of that signal. `None` if it is unknown.
    #[must_use]
    pub fn read(signal: Signal, word: u32) -> Option<Self> {
        if signal == Signal::Ended {
            return Ending::unpack(word).map(Self::Ending);
        }
        let known = NonZeroU32::new(word)?;
        if signal.is_outbound() {
            return Some(Self::Sender(ImageId::unpack(word)));
        }
        signal.has_interface().then_some(Self::Interface(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_one_reading() {
        let ending = Ending::new(1, 0, 0);
        let sender = ImageId { pid: 7, number: 3 };
        let interface = NonZeroU32::new(sender.pack()).map(Detail::Interface);
        for (signal, word, expected) in [
            (Signal::Syn, sender.pack(), interface),
            (Signal::Datagram, sender.pack(), interface),
            (Signal::Syn, 0, None),
            (Signal::SynSent, sender.pack(), Some(Detail::Sender(sender))),
            (Signal::SynSent, 0, None),
            (Signal::SynAckReceived, 0, None),
            (Signal::Ended, ending.pack(), Some(Detail::Ending(ending))),
            (Signal::Ended, 0, None),
            (Signal::RefusedTcp, sender.pack(), None),
            (Signal::Accepted, sender.pack(), None),
        ] {
            assert_eq!(Detail::read(signal, word), expected, "{}", signal.name());
        }
    }
}
