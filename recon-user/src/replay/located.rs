//! Where the state of a packet is, found while the packet before it is judged.
//!
//! In: a frame. Out: [`Located`]: its ends, and the place of its connection.
//! The decision held here: connections take more memory than a processor's near caches have, and
//! nearly each packet belongs to another one than the packet before. So the place is found a packet
//! ahead, and its memory is on its way when its turn comes.

use recon_common::protocol::ip_protocol;
use recon_common::{Direction, Flow};

use super::connections::SocketPlace;
use super::segment::{PacketEnds, Segment};
use crate::capture::LinkFrame;

/// What of a frame leads to its state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    /// `None` if it has no IP header.
    pub(super) ends: Option<PacketEnds>,
    /// The socket of its sender, if it is a segment of TCP.
    pub(super) sender: Option<SocketPlace>,
}

impl Located {
    #[inline]
    pub(super) fn of(frame: LinkFrame<'_>) -> Self {
        let ends = frame.network().and_then(PacketEnds::read);
        let place = |ends: &PacketEnds| {
            let segment = ends.segment.as_ref()?;
            Some(SocketPlace::from(&flow_of(ends, segment, Direction::Out)))
        };
        Self {
            ends,
            sender: ends.as_ref().and_then(place),
        }
    }
}

/// The flow of a segment, as the local end sees it.
#[inline]
pub(super) fn flow_of(ends: &PacketEnds, segment: &Segment, direction: Direction) -> Flow {
    let source = (ends.source, segment.source_port);
    let destination = (ends.destination, segment.destination_port);
    let ((remote, remote_port), (local, local_port)) = match direction {
        Direction::In => (source, destination),
        Direction::Out => (destination, source),
    };
    Flow {
        remote,
        local,
        remote_port,
        local_port,
        protocol: ip_protocol::TCP,
    }
}
