//! From what a packet shows to what is counted, where one packet alone can't tell.
//!
//! In: a [`Sighting`] of the parser and a [`Memory`] of earlier packets and open connections. Out: the [`Signal`] to count, if any.
//! The decision held here: replies to this host's own traffic, backscatter and the ends of real connections are nobody's scan.
//! A datagram is unsolicited unless this host sent one the other way; a FIN+ACK is a Maimon probe unless a socket knows the
//! connection (or knew it: that this host aborted or closed it is remembered). The kernel's memory is in `recon-ebpf`, the tests have their own.

use crate::{Flow, Signal};

/// What a packet shows, with the condition under which it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Counts by itself.
    Plain(Signal),
    /// Counts unless this host has sent something the other way.
    Unsolicited(Signal),
    /// Counts unless the connection exists or existed.
    Unconnected(Signal),
    /// Sent by this host; answers to it are expected from now on.
    Sent(Option<Signal>),
}

/// What is known about earlier packets and about this host's sockets.
pub trait Memory {
    /// Expect answers to this flow.
    fn remember(&self, flow: &Flow);
    /// Whether answers to this flow are expected.
    fn expects(&self, flow: &Flow) -> bool;
    /// Whether a connected socket of this host has this flow, or the packet is only passing through.
    fn is_connected(&self, flow: &Flow) -> bool;
}

impl Sighting {
    /// The signal to count for `flow`, after asking and updating `memory`.
    #[inline(always)]
    pub fn settle(self, flow: &Flow, memory: &impl Memory) -> Option<Signal> {
        match self {
            Self::Plain(signal) => Some(signal),
            Self::Unsolicited(signal) => (!memory.expects(flow)).then_some(signal),
            Self::Unconnected(signal) => {
                (!memory.expects(flow) && !memory.is_connected(flow)).then_some(signal)
            }
            Self::Sent(signal) => {
                memory.remember(flow);
                signal
            }
        }
    }
}
