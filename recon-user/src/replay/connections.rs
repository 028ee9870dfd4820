//! The userspace twin of the kernel's sockets: which TCP connections a host has, and how they end.
//!
//! In: TCP segments of a host, in both directions. Out: what a socket hook would have counted, and
//! whether a socket has a flow.
//! The decisions held here:
//! - Direct-mapped slots, as in the kernel: memory is constant. What the host opens or answers
//!   takes the slot of an older connection, which then has no end. Anything else waits until the
//!   slot's owner has been silent for long. Both are counted.
//! - Where both ends of a connection are hosts under watch, each has a socket. Their slots are
//!   beside each other, so that a packet takes one hash and one place in memory.

use jiff::Timestamp;
use recon_common::flow::{FLOW_SLOTS, MEDIA_BIT};
use recon_common::process::ACCEPTED_SLOTS;
use recon_common::protocol::tcp_flag::{RST, SYN};
use recon_common::{Direction, Flow};

pub(super) use super::connection::SocketEvent;
use super::connection::{TcpConnection, TcpState};
use super::segment::Segment;
use super::two_way::turned;
use crate::prefetch::prefetch;
use crate::seed::hash_secrets;

const _: () = assert!(ACCEPTED_SLOTS <= FLOW_SLOTS && ACCEPTED_SLOTS.is_power_of_two());
// The lowest bit tells the two ends of a connection apart.
const _: () = assert!(MEDIA_BIT < ACCEPTED_SLOTS && MEDIA_BIT > 1);

/// The connections of all hosts that are watched.
pub(super) struct Connections {
    slots: Vec<TcpConnection>,
    /// Accepted connections whose end is not known, since newer ones took their slots.
    pub(super) lost_ends: u64,
    /// Segments that were not followed, since other connections had their slots.
    pub(super) unfollowed: u64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            slots: vec![TcpConnection::NONE; ACCEPTED_SLOTS as usize],
            lost_ends: 0,
            unfollowed: 0,
        }
    }
}

/// Where the socket of a flow's local end has its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketPlace {
    slot: u32,
    fingerprint: u32,
    /// What leads to the slot of the other end's socket.
    beside: u32,
}

impl From<&Flow> for SocketPlace {
    #[inline]
    fn from(flow: &Flow) -> Self {
        // Both ends of a connection have the same hash. Ports first: they mostly differ.
        let remote = (flow.remote_port, flow.remote);
        let local = (flow.local_port, flow.local);
        let is_turned = remote > local;
        let (slot, fingerprint) = match is_turned {
            true => turned(flow).fingerprint(hash_secrets()),
            false => flow.fingerprint(hash_secrets()),
        };
        Self {
            slot: slot & (ACCEPTED_SLOTS - 1) ^ u32::from(is_turned),
            fingerprint,
            beside: u32::from(remote != local),
        }
    }
}

impl SocketPlace {
    /// The place of the other end's socket.
    pub(super) const fn of_other_end(self) -> Self {
        Self {
            slot: self.slot ^ self.beside,
            ..self
        }
    }
}

impl Connections {
    /// Whether a socket has the flow: open, half open or just closed. Unknown if another flow has
    /// its slot.
    pub(super) fn is_connected(&self, place: impl Into<SocketPlace>) -> Option<bool> {
        let (connection, is_own) = self.find(place.into());
        if !is_own {
            return connection.kept_for().is_none().then_some(false);
        }
        Some(!matches!(
            connection.state,
            TcpState::None | TcpState::Tried
        ))
    }

    /// Whether the remote has sent a SYN that nothing has answered yet.
    pub(super) fn was_tried(&self, flow: &Flow) -> bool {
        let (connection, is_own) = self.find(flow.into());
        is_own && connection.state == TcpState::Tried
    }

    /// Whether anything of the remote has come on that flow, as far as it is followed.
    pub(super) fn was_reached(&self, flow: &Flow) -> bool {
        let (connection, is_own) = self.find(flow.into());
        is_own && connection.is_reached()
    }

    /// Notes that something of the remote has come that has no [`Segment`], such as a fragment.
    pub(super) fn mark_reached(&mut self, flow: &Flow, now: Timestamp) {
        if let Some(connection) = self.take_slot(flow.into(), false, now) {
            connection.note_reached();
        }
    }

    /// Whether it is known of a connection that what its host sends is captured.
    #[inline]
    pub(super) fn is_two_way(&self, place: SocketPlace) -> bool {
        let (connection, is_own) = self.find(place);
        is_own && connection.is_two_way()
    }

    /// Fetches the connections of both ends.
    #[inline]
    pub(super) fn prefetch(&self, place: SocketPlace) {
        prefetch(&self.slots[place.slot as usize]);
        prefetch(&self.slots[place.of_other_end().slot as usize]);
    }

    /// The connection in a slot, and whether it is the one of that place.
    #[inline]
    fn find(&self, place: SocketPlace) -> (&TcpConnection, bool) {
        let connection = &self.slots[place.slot as usize];
        (connection, connection.fingerprint == place.fingerprint)
    }

    /// Follows a segment. `is_one_way` says that the host's own segments are not captured.
    #[inline]
    pub(super) fn follow(
        &mut self,
        place: impl Into<SocketPlace>,
        segment: &Segment,
        direction: Direction,
        now: Timestamp,
        is_one_way: bool,
    ) -> Option<SocketEvent> {
        let opens = direction == Direction::Out && segment.flags & (SYN | RST) == SYN;
        let connection = self.take_slot(place.into(), opens, now)?;
        match direction {
            Direction::Out => connection.send(segment, now),
            Direction::In => {
                connection.note_reached();
                if !is_one_way {
                    connection.note_two_way();
                }
                connection.receive(segment, now, is_one_way)
            }
        }
    }

    /// The connection of a place, if its slot is free or its own.
    #[inline]
    fn take_slot(
        &mut self,
        place: SocketPlace,
        opens: bool,
        now: Timestamp,
    ) -> Option<&mut TcpConnection> {
        let connection = &mut self.slots[place.slot as usize];
        if connection.fingerprint != place.fingerprint {
            // A flood of SYNs must not displace connections.
            if !opens && connection.is_kept(now) {
                self.unfollowed += 1;
                return None;
            }
            if connection.state == TcpState::Accepted {
                self.lost_ends += 1;
            }
            *connection = TcpConnection::begin(place.fingerprint, now);
        }
        connection.note_segment(now);
        Some(connection)
    }
}

#[cfg(test)]
mod tests {
    use recon_common::Address;
    use recon_common::protocol::ip_protocol;

    use super::*;

    /// Flows between odd ports have the fingerprint of the one between the ports before.
    #[test]
    fn connections_whose_ports_step_together_have_slots_of_their_own() {
        let flow = |remote_port, local_port| Flow {
            remote: Address::v4([198, 51, 100, 7]),
            local: Address::v4([203, 0, 113, 1]),
            remote_port,
            local_port,
            protocol: ip_protocol::TCP,
        };
        for step in (0..100).step_by(2) {
            let places = [0, 1].map(|odd| {
                let flow = flow(40_000 + step + odd, 80 + step + odd);
                let place = SocketPlace::from(&flow);
                [place.slot, place.of_other_end().slot]
            });
            let [[a, b], [c, d]] = places;
            assert!(a != c && a != d && b != c && b != d, "{step}: {places:?}");
        }
    }
}
