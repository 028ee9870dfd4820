//! Questions to the kernel over rtnetlink.
//!
//! In: a request. Out: the messages of its answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// The kernel puts at most this much into a message of a dump (NLMSG_GOODSIZE caps it at 32 KiB).
const DUMP_BUFFER: usize = 32 * 1024;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// One object, which the first message describes.
    One,
    /// All objects.
    All,
}

/// Sends a request, and gives each message of the answer to `reply`.
pub(super) fn request(
    of: RouteNetlinkMessage,
    asks: Asks,
    mut reply: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = NetlinkMessage::from(of);
    request.header.flags = match asks {
        Asks::One => NLM_F_REQUEST,
        Asks::All => NLM_F_DUMP | NLM_F_REQUEST,
    };
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    loop {
        let mut buffer = Vec::with_capacity(DUMP_BUFFER);
        socket.recv(&mut buffer, 0)?;
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(io::Error::other)?;
            let following = next_message(rest, &message);
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(inner) => {
                    reply(inner);
                    if asks == Asks::One {
                        return Ok(());
                    }
                }
                _ => {}
            }
            rest = following;
        }
    }
}

/// Whether packets to that address are for this host.
///
/// # Errors
/// The kernel has no route there.
pub(crate) fn is_local(address: IpAddr) -> io::Result<bool> {
    let mut of = RouteMessage::default();
    (
        of.header.address_family,
        of.header.destination_prefix_length,
    ) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, Ipv4Addr::BITS as u8),
        IpAddr::V6(_) => (AddressFamily::Inet6, Ipv6Addr::BITS as u8),
    };
    of.attributes
        .push(RouteAttribute::Destination(address.into()));
    let mut is_local = false;
    request(RouteNetlinkMessage::GetRoute(of), Asks::One, |reply| {
        if let RouteNetlinkMessage::NewRoute(route) = reply {
            is_local = matches!(
                route.header.kind,
                RouteType::Local | RouteType::Broadcast | RouteType::Multicast
            );
        }
    })?;
    Ok(is_local)
}

/// What follows a message in the same datagram.
pub(super) fn next_message<'a>(
    bytes: &'a [u8],
    message: &NetlinkMessage<RouteNetlinkMessage>,
) -> &'a [u8] {
    // Messages are padded to 4 bytes (NLMSG_ALIGNTO).
    let length = (message.header.length as usize).next_multiple_of(4);
    bytes.get(length..).unwrap_or_default()
}
