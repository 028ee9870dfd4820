//! The only parser: from a frame to what it shows, for every hook and for the host.
//!
//! In: a [`Packet`] and its [`Direction`]. Out: the [`Flow`], the [`Observation`] and the
//! [`Tool`], or the [`FrameClass`] of a frame that no rule asks about (data of established
//! connections among them) or that can't be read.
//! The decision held here: established TCP leaves after one look ([`established`]), other packets
//! as early as their headers allow. Addresses are copied last, since most packets have left by
//! then. A packet without Ethernet header takes the same steps from its network header on, without
//! that first look: a tunnel costs far more than the look saves.

mod checksum;
mod established;
mod extent;
mod fingerprint;
mod link;
mod neighbour;
mod network;
mod payload;
mod transport;

use core::num::NonZeroU32;
use core::ops::Range;

use crate::observation::NONE;
use crate::packet::{Cursor, Fields as _};
use crate::protocol::{UDP_HEADER, ip_protocol};
use crate::{Flow, FlowMarks, FlowState, FrameClass, Ignored, Observation, Packet, Signal, Tool};
pub use extent::{Extent, extent};
use link::Frame;
pub use link::{NETWORK_START, behind_tunnel_headers};

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
    /// Of a fragment: where the next one of its datagram starts.
    pub next_fragment: Option<FragmentPlace>,
}

/// Where a fragment that is not the first is: the identification that all of a datagram's have (of
/// IPv6, both halves in one), and its offset in units of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentPlace(NonZeroU32);

impl FragmentPlace {
    /// The place at that offset, which is not 0.
    #[inline(always)]
    #[must_use]
    pub(crate) fn new(id: u16, offset: u16) -> Option<Self> {
        NonZeroU32::new(u32::from(id) << u16::BITS | u32::from(offset)).map(Self)
    }

    /// The identification and the offset.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn parts(self) -> [u16; 2] {
        let Self(place) = self;
        [(place.get() >> u16::BITS) as u16, place.get() as u16]
    }
}

impl Parsed {
    /// Returns the signal to count, and updates `state`.
    ///
    /// # Errors
    /// Why there is none.
    #[inline(always)]
    pub fn resolve(&self, state: &impl FlowState) -> Result<Signal, Ignored> {
        if self.observation == Observation::LaterFragment(NONE)
            && !state.marks(&self.flow).clear_reached()
        {
            return Ok(Signal::StrayFragment);
        }
        let signal = self.observation.resolve(&self.flow, state);
        // Whoever sends data of no connection in fragments must not have all but the first excused.
        let is_excused = self.observation != Observation::FirstFragment(NONE) || signal.is_none();
        if let Some(place) = self.next_fragment.filter(|_| is_excused) {
            state.marks(&self.flow.fragment(place)).mark_reached();
        }
        signal.ok_or(Ignored::of_resolved(self.observation))
    }
}

/// Returns what the frame shows, if it counts or must be remembered.
///
/// # Errors
/// The class of a frame that does neither.
#[inline(always)]
pub fn parse<P: Packet + ?Sized>(packet: &P, direction: Direction) -> Result<Parsed, FrameClass> {
    if !P::STARTS_WITH_IP && established::is_of_established(packet, direction) {
        return Err(FrameClass::Established);
    }
    packet.pull_headers();
    parse_all(packet, direction)
}

/// The flow of a UDP datagram, and where its payload is in the frame, which may end before that.
/// Only the agent asks, of frames that a hook has parsed before.
pub fn udp_payload<P: Packet + ?Sized>(
    packet: &P,
    direction: Direction,
) -> Option<(Flow, Range<usize>)> {
    let cursor = Cursor::new(packet);
    let frame = match P::STARTS_WITH_IP {
        true => link::bare(cursor),
        false => link::ethernet(cursor, direction),
    };
    let Ok(Frame::Ip(family, cursor)) = frame else {
        return None;
    };
    let datagram = network::datagram(family, cursor).ok()?;
    if datagram.protocol != ip_protocol::UDP {
        return None;
    }
    let header = datagram.payload.peek::<UDP_HEADER>()?;
    let ports = [header.u16::<0>(), header.u16::<2>()];
    let flow = datagram.flow(direction, ports).ok()?;
    let payload = datagram.payload.skip(UDP_HEADER);
    let start = payload.offset;
    Some((flow, start..start.saturating_add(payload.left())))
}

/// Parses header by header.
#[inline(always)]
fn parse_all<P: Packet + ?Sized>(packet: &P, direction: Direction) -> Result<Parsed, FrameClass> {
    let cursor = Cursor::new(packet);
    let frame = match P::STARTS_WITH_IP {
        true if direction == Direction::In => link::bare(cursor.at(packet.start()))?,
        true => link::bare(cursor)?,
        false => link::ethernet(cursor, direction)?,
    };
    let (family, cursor) = match frame {
        Frame::Ip(family, cursor) => (family, cursor),
        Frame::ToGroup(cursor) => return neighbour::solicitation(cursor),
        Frame::Arp(cursor) => return neighbour::arp(cursor),
    };
    let datagram = network::datagram(family, cursor)?;
    match direction {
        Direction::In if datagram.protocol == ip_protocol::FRAGMENT => datagram.later_fragment(),
        Direction::Out if datagram.protocol == ip_protocol::FRAGMENT => {
            Err(Ignored::Fragment.into())
        }
        Direction::In => transport::inbound(&datagram),
        Direction::Out => transport::outbound(&datagram),
    }
}

#[cfg(test)]
mod tests;
