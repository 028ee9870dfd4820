//! The word of a key whose meaning depends on the key's signal.
//!
//! In: a signal and the word. Out: [`Detail`], the only reading of it.
//! The decisions held here:
//! - What this host's processes send has a sender, what comes in has an interface, and what sockets
//!   accept has a network namespace. No signal has two of them, so that one word is enough, and the
//!   key of a packet costs no more. An answer of this host has none: it may leave by another
//!   interface than the packet came in on.
//! - In which namespace a process sends is in a map of its own, by process ([`crate::process`]):
//!   its word is full.

use core::num::NonZeroU32;

use crate::{Ending, ImageId, NetnsId, Signal};

/// What the key of a signal says beside who did what to which address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The process of this host that sent it, and its program; see [`Signal::is_outbound`].
    Sender(ImageId),
    /// The index of the interface that the packet came in on; see [`Signal::has_interface`].
    Interface(NonZeroU32),
    /// Of a connection that this host has accepted: how it ended, for [`Signal::Ended`], and the
    /// namespace of its socket, if that is not the agent's.
    Connection {
        /// How it ended.
        ending: Option<Ending>,
        /// The namespace.
        netns: Option<NetnsId>,
    },
}

/// Whether a socket of this host has accepted what the signal is about.
const fn is_of_connection(signal: Signal) -> bool {
    matches!(signal, Signal::Accepted | Signal::Ended)
}

/// Where the word of a connection holds the namespace, above the ending.
const NETNS_SHIFT: u32 = u32::BITS - NetnsId::BITS;

impl Detail {
    /// Reads the word of a key of that signal. `None` if it is unknown.
    #[must_use]
    pub fn read(signal: Signal, word: u32) -> Option<Self> {
        if is_of_connection(signal) {
            return Some(Self::Connection {
                ending: Ending::unpack(word & ((1 << NETNS_SHIFT) - 1)),
                netns: NetnsId::read(word >> NETNS_SHIFT),
            });
        }
        let known = NonZeroU32::new(word)?;
        if signal.is_outbound() {
            return Some(Self::Sender(ImageId::unpack(word)));
        }
        signal.has_interface().then_some(Self::Interface(known))
    }

    /// The word of a connection with that packed ending, 0 if it has not ended, and with that word
    /// of a namespace, 0 for the agent's own.
    #[inline(always)]
    #[must_use]
    pub const fn connection_word(ending: u32, netns: u32) -> u32 {
        ending | netns << NETNS_SHIFT
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
        let netns = NetnsId::read(NetnsId::word(40));
        let connection = |ending, netns| Some(Detail::Connection { ending, netns });
        let [own, other] =
            [0, NetnsId::word(40)].map(|of| Detail::connection_word(ending.pack(), of));
        for (signal, word, expected) in [
            (Signal::Syn, sender.pack(), interface),
            (Signal::Datagram, sender.pack(), interface),
            (Signal::Syn, 0, None),
            (Signal::SynSent, sender.pack(), Some(Detail::Sender(sender))),
            (Signal::SynSent, 0, None),
            (Signal::SynAckReceived, 0, None),
            (Signal::Ended, own, connection(Some(ending), None)),
            (Signal::Ended, other, connection(Some(ending), netns)),
            (Signal::Accepted, 0, connection(None, None)),
            (
                Signal::Accepted,
                Detail::connection_word(0, NetnsId::word(40)),
                connection(None, netns),
            ),
            (Signal::RefusedTcp, sender.pack(), None),
        ] {
            assert_eq!(Detail::read(signal, word), expected, "{}", signal.name());
        }
    }

    #[test]
    fn no_signal_has_two_details() {
        for signal in Signal::ALL {
            let has = [
                signal.is_outbound(),
                signal.has_interface(),
                is_of_connection(signal),
            ];
            let details = has.into_iter().filter(|&has| has).count();
            assert!(details <= 1, "{}", signal.name());
        }
    }
}
