//! Questions to the kernel over rtnetlink.
//!
//! In: a request. Out: the messages of its answer.
//! The decision held here: the kernel takes any bytes for the names and the alias of an interface,
//! and the crate that reads its messages takes UTF-8 alone. One odd name must not hide all
//! interfaces, so its odd bytes become question marks before it is read.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::{ALIGNMENT, exchange, skip_message};

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
    let mut request = NetlinkMessage::from(of);
    request.header.flags = match asks {
        Asks::One => NLM_F_REQUEST,
        Asks::All => NLM_F_DUMP | NLM_F_REQUEST,
    };
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    exchange(NETLINK_ROUTE, &bytes, |datagram| {
        replace_odd_bytes(datagram);
        read_datagram(datagram, asks, &mut reply)
    })
}

fn read_datagram(
    datagram: &[u8],
    asks: Asks,
    reply: &mut impl FnMut(RouteNetlinkMessage),
) -> ControlFlow<io::Result<()>> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
            Ok(message) => message,
            Err(error) => return ControlFlow::Break(Err(io::Error::other(error))),
        };
        rest = skip_message(rest, message.header.length);
        match message.payload {
            NetlinkPayload::Done(_) => return ControlFlow::Break(Ok(())),
            NetlinkPayload::Error(error) => return ControlFlow::Break(Err(error.to_io())),
            NetlinkPayload::InnerMessage(inner) => {
                reply(inner);
                if asks == Asks::One {
                    return ControlFlow::Break(Ok(()));
                }
            }
            _ => {}
        }
    }
    ControlFlow::Continue(())
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

/// Replaces what is no UTF-8 in the names of interfaces, in each message of a datagram.
pub(super) fn replace_odd_bytes(datagram: &mut [u8]) {
    /// `struct nlmsghdr` and `struct ifinfomsg` of linux/netlink.h and linux/rtnetlink.h.
    const HEADERS: usize = 16 + 16;
    let mut rest = datagram;
    while let Some(length) = rest.first_chunk().map(|&length| u32::from_ne_bytes(length)) {
        let length = (length as usize).next_multiple_of(ALIGNMENT);
        let Some((message, following)) = rest.split_at_mut_checked(length.max(ALIGNMENT)) else {
            return;
        };
        // Another kind of message has other attributes, whose texts are none of these.
        if let Some(kind) = message.get(4..6)
            && [RTM_NEWLINK, RTM_DELLINK].contains(&u16::from_ne_bytes([kind[0], kind[1]]))
            && let Some(attributes) = message.get_mut(HEADERS..)
        {
            replace_in_attributes(attributes);
        }
        rest = following;
    }
}

/// Kinds of messages, of linux/rtnetlink.h.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
/// Attributes of linux/if_link.h: names, and the list of other names.
const NAMES: [u16; 3] = [3, 20, 53];
const PROPERTIES: u16 = 52;
/// `NLA_TYPE_MASK` of linux/netlink.h.
const KIND_MASK: u16 = 0x3fff;

fn replace_in_attributes(attributes: &mut [u8]) {
    const HEADER: usize = 4;
    let mut rest = attributes;
    while let Some(&[low, high, kind_low, kind_high]) = rest.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let Some(value) = rest.get_mut(HEADER..length) else {
            return;
        };
        let kind = u16::from_ne_bytes([kind_low, kind_high]) & KIND_MASK;
        if kind == PROPERTIES {
            replace_in_attributes(value);
        } else if NAMES.contains(&kind) && std::str::from_utf8(value).is_err() {
            let odd = value.iter_mut().filter(|byte| !byte.is_ascii());
            odd.for_each(|byte| *byte = b'?');
        }
        rest = rest
            .get_mut(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = (4 + value.len()) as u16;
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    fn message(kind: u16, attributes: &[u8]) -> Vec<u8> {
        let length = (32 + attributes.len()) as u32;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(32, 0);
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn odd_bytes_of_names_are_replaced_and_nothing_else() {
        const NESTED: u16 = 0x8000;
        let before_and_after: [(u16, &[u8], &[u8]); 5] = [
            (3, b"t\xff\0", b"t?\0"),
            (3, "t\u{fc}\0".as_bytes(), "t\u{fc}\0".as_bytes()),
            (20, b"\xc3\xff", b"??"),
            // An address.
            (1, b"\xff\xff", b"\xff\xff"),
            (
                PROPERTIES | NESTED,
                &attribute(53, b"\xffa"),
                &attribute(53, b"?a"),
            ),
        ];
        for (kind, before, after) in before_and_after {
            for (of, changes) in [(RTM_NEWLINK, true), (RTM_DELLINK, true), (24, false)] {
                let datagram = |value| {
                    let one = message(of, &attribute(kind, value));
                    [one.clone(), one].concat()
                };
                let mut found = datagram(before);
                replace_odd_bytes(&mut found);
                let expected = if changes {
                    datagram(after)
                } else {
                    datagram(before)
                };
                assert_eq!(found, expected, "{kind} in {of}");
            }
        }
    }

    #[test]
    fn any_bytes_are_read() {
        let whole = message(RTM_NEWLINK, &attribute(3, b"\xff\xff"));
        for end in 0..whole.len() {
            for byte in 0..whole.len() {
                let mut cut = whole[..end].to_vec();
                if let Some(byte) = cut.get_mut(byte) {
                    *byte = 0xff;
                }
                replace_odd_bytes(&mut cut);
            }
        }
    }
}
