//! Who has made a local socket: a question over sock_diag(7).
//!
//! In: an abstract address. Out: the user whose socket has it.
//! The decision held here: the kernel lists all local sockets of this network namespace, since it
//! finds one by its inode alone. So it is asked about an address that is taken, and no other.

use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

use super::netlink::DUMP_BUFFER;

/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
pub(crate) const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `UDIAG_SHOW_NAME` and `UDIAG_SHOW_UID` of linux/unix_diag.h, and the attributes that they ask
/// for. The second one is there since Linux 5.4.
const SHOW: u32 = 0x01 | 0x40;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_UID: u16 = 7;
/// Lengths of `nlmsghdr` of linux/netlink.h, `unix_diag_req` and `unix_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 24;
const ANSWER: usize = 16;

/// The user whose socket has that abstract address in this network namespace. `None` if there is
/// none.
///
/// # Errors
/// The kernel does not list local sockets.
pub(super) fn find_owner(name: &[u8]) -> io::Result<Option<u32>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut owner = None;
    loop {
        let mut datagram = Vec::with_capacity(DUMP_BUFFER);
        socket.recv(&mut datagram, 0)?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
            match message.message_type() {
                NLMSG_DONE => return Ok(owner),
                NLMSG_ERROR => return Err(error_of(message.payload())),
                SOCK_DIAG_BY_FAMILY => owner = owner.or(owner_in(message.payload(), name)),
                _ => {}
            }
            // Messages are padded to 4 bytes (NLMSG_ALIGNTO).
            let length = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// A message that asks for all local sockets.
fn request() -> [u8; REQUEST] {
    const ANY_STATE: u32 = u32::MAX;
    const STATES: usize = HEADER + 4;
    const SHOWN: usize = HEADER + 12;
    let mut message = [0; REQUEST];
    let mut header = NetlinkBuffer::new(&mut message[..]);
    header.set_length(REQUEST as u32);
    header.set_message_type(SOCK_DIAG_BY_FAMILY);
    header.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
    message[HEADER] = libc::AF_UNIX as u8;
    message[STATES..STATES + 4].copy_from_slice(&ANY_STATE.to_ne_bytes());
    message[SHOWN..SHOWN + 4].copy_from_slice(&SHOW.to_ne_bytes());
    message
}

/// The user of the socket, if it has that address.
fn owner_in(socket: &[u8], name: &[u8]) -> Option<u32> {
    let (mut has_name, mut owner) = (false, None);
    for attribute in NlasIterator::new(socket.get(ANSWER..)?) {
        let attribute = attribute.ok()?;
        match attribute.kind() {
            // An abstract address begins with a zero.
            UNIX_DIAG_NAME => has_name = attribute.value().strip_prefix(&[0]) == Some(name),
            UNIX_DIAG_UID => owner = attribute.value().first_chunk().copied(),
            _ => {}
        }
    }
    owner.filter(|_| has_name).map(u32::from_ne_bytes)
}

/// What a message says that reports an error.
fn error_of(payload: &[u8]) -> io::Error {
    match payload.first_chunk().map(|&code| i32::from_ne_bytes(code)) {
        Some(code) => io::Error::from_raw_os_error(-code),
        None => io::ErrorKind::UnexpectedEof.into(),
    }
}
