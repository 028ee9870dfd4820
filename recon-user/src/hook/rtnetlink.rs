//! Questions to the kernel over rtnetlink.
//!
//! In: a request. Out: the messages of its answer.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
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

/// What follows a message in the same datagram.
pub(super) fn next_message<'a>(
    bytes: &'a [u8],
    message: &NetlinkMessage<RouteNetlinkMessage>,
) -> &'a [u8] {
    // Messages are padded to 4 bytes (NLMSG_ALIGNTO).
    let length = (message.header.length as usize).next_multiple_of(4);
    bytes.get(length..).unwrap_or_default()
}
