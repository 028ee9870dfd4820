//! The only parser: from a frame to what it shows, for every hook and for the host.
//!
//! In: a [`Packet`] and its [`Direction`]. Out: the [`Flow`], the [`Observation`] and the [`Tool`], or
//! the [`FrameClass`] of a frame that no rule asks about (data of established connections among them)
//! or that can't be read.
//! The decision held here: established TCP leaves after one look ([`established`]), other packets
//! as early as their headers allow. Addresses are copied last, since most packets have left by
//! then.

mod established;
mod fingerprint;
mod link;
mod network;
mod payload;
mod transport;

use crate::packet::Cursor;
use crate::{Flow, FrameClass, Observation, Packet, Tool};

/// Which way a packet crosses the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into this host (or through it): its source is the remote end.
    In,
    /// Out of this host (or through it): its destination is the remote end.
    Out,
}

/// What a frame shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Who talks to whom.
    pub flow: Flow,
    /// What it is.
    pub observation: Observation,
    /// The tool whose fingerprint an inbound packet carries. It counts only for a probe, see
    /// [`crate::Key::with_tool`].
    pub tool: Option<Tool>,
}

/// Returns what the frame shows, if it counts or must be remembered.
///
/// # Errors
/// The class of a frame that does neither.
#[inline(always)]
pub fn parse<P: Packet + ?Sized>(packet: &P, direction: Direction) -> Result<Parsed, FrameClass> {
    if established::is_of_established(packet, direction) {
        return Err(FrameClass::Established);
    }
    packet.pull_headers();
    parse_all(packet, direction)
}

/// Parses header by header.
#[inline(always)]
fn parse_all<P: Packet + ?Sized>(packet: &P, direction: Direction) -> Result<Parsed, FrameClass> {
    let (family, cursor) = link::ethernet(Cursor::new(packet), direction)?;
    let datagram = network::datagram(family, cursor)?;
    match direction {
        Direction::In => transport::inbound(&datagram),
        Direction::Out => transport::outbound(&datagram),
    }
}

#[cfg(test)]
mod tests;
