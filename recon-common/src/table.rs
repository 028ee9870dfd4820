//! The layout of what the kernel counts: the table's key and value, the counters, and their sizes.
//!
//! In: a flow, a signal and its detail. Out: [`Key`], 40 bytes without padding, the same for the
//! kernel and the agent.
//! The decisions held here: the value is only a count, since the drain empties the table every
//! interval, which bounds 'last seen' to that interval for free (a timestamp costs 13 to 31 ns per
//! packet). The port is the one that rules ask for: the local one, but the remote's for signals of
//! outbound traffic.
//! A tool's fingerprint is part of the key: it costs a packet nothing more. Who varies it gets as
//! many more keys as there are tools, which other ports of this host give him anyway. An overflow
//! key has none, but it keeps the detail, so that an alert about a flood names the interface: a
//! flood of many sources has one overflow key for each target and interface.

use crate::{Address, Detail, Direction, Flow, FrameClass, Loss, PendingConnect, Signal, Tool};

/// Key of the table: who did what to which address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct Key {
    /// The remote address, [`Address::UNSPECIFIED`] in an overflow key; see
    /// [`crate::PackedKey::overflow_key`].
    pub remote: Address,
    /// The local address, [`Address::UNSPECIFIED`] for a connection that failed before it had one.
    pub local: Address,
    /// The sender, the interface, or the namespace and the ending, by the signal; 0 if unknown.
    /// Only [`Key::detail`] reads it.
    pub detail: u32,
    /// The local port, or the remote's port for signals of outbound traffic; 0 if there is none.
    pub port: u16,
    /// Number of the [`Signal`].
    pub signal: u8,
    /// Number of the [`Tool`] whose fingerprint a probe carries; 0 if it carries none, and for
    /// other signals.
    pub tool: u8,
}

impl Key {
    /// The key under which `signal` of `flow` counts. `detail` is the word of a [`Detail`], 0 if
    /// there is none.
    #[inline(always)]
    #[must_use]
    pub fn for_flow(flow: &Flow, signal: Signal, detail: u32) -> Self {
        let port = match signal {
            // Its flow has a place instead of ports.
            Signal::StrayFragment => 0,
            _ if signal.is_outbound() => flow.remote_port,
            _ => flow.local_port,
        };
        Self {
            remote: flow.remote,
            local: flow.local,
            detail,
            port,
            signal: signal as u8,
            tool: 0,
        }
    }

    /// The key of a packet with that tool's fingerprint. Only probes have one: what a remote
    /// answers to this host is no scan, whatever its headers look like.
    #[inline(always)]
    #[must_use]
    pub fn with_tool(self, signal: Signal, tool: Option<Tool>) -> Self {
        let tool = tool.filter(|_| signal.is_probe());
        Self {
            tool: tool.map_or(0, |tool| tool as u8),
            ..self
        }
    }

    /// What its detail says. `None` if it is unknown, or if the signal is of another layout.
    #[must_use]
    pub fn detail(&self) -> Option<Detail> {
        Detail::read(Signal::from_number(self.signal)?, self.detail)
    }

    /// Whether it is an overflow key, which counts the packets of sources without keys.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.remote == Address::UNSPECIFIED
    }

    /// The key of a connection that failed before its first packet.
    #[must_use]
    pub fn for_failed_connect(pending: &PendingConnect) -> Self {
        Self {
            remote: pending.remote,
            local: Address::UNSPECIFIED,
            detail: pending.pid,
            port: pending.port,
            signal: Signal::ConnectFailed as u8,
            tool: 0,
        }
    }
}

/// Keys per generation of the table by default. The kernel preallocates about 100 bytes per key.
pub const TABLE_ENTRIES: u32 = 1 << 17;

/// A per-CPU counter besides the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Frames of that class that crossed a hook in that direction.
    Frames(Direction, FrameClass),
    /// Signals that a socket hook has counted: they are no frames.
    SocketSignals,
    /// What was not counted, for a reason that no single frame has.
    Lost(Loss),
}

impl Counter {
    /// Number of counters.
    pub const COUNT: u32 = Self::LOST + Loss::ALL.len() as u32;
    /// The index of the first counter of outbound frames; inbound ones come first.
    const OUTBOUND: u32 = FrameClass::COUNT as u32;
    const SOCKET_SIGNALS: u32 = 2 * Self::OUTBOUND;
    /// The index of the first loss.
    const LOST: u32 = Self::SOCKET_SIGNALS + 1;

    /// The counter's index in the per-CPU array.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        match self {
            Self::Frames(Direction::In, class) => class.index() as u32,
            Self::Frames(Direction::Out, class) => Self::OUTBOUND + class.index() as u32,
            Self::SocketSignals => Self::SOCKET_SIGNALS,
            Self::Lost(loss) => Self::LOST + loss as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_has_no_padding() {
        assert_eq!(size_of::<Key>(), 40);
        assert_eq!(align_of::<Key>(), 8);
    }

    #[test]
    fn counters_do_not_share_an_index() {
        let frames = |direction| {
            FrameClass::all().map(move |class| Counter::Frames(direction, class).index())
        };
        let indices: std::collections::BTreeSet<u32> = frames(Direction::In)
            .chain(frames(Direction::Out))
            .chain([Counter::SocketSignals.index()])
            .chain(Loss::ALL.map(|loss| Counter::Lost(loss).index()))
            .collect();
        assert!(indices.into_iter().eq(0..Counter::COUNT));
    }
}
