//! Who has made a Unix socket: asked over sock_diag(7).
//!
//! In: nothing. Out: the address and the user of each datagram socket of this network namespace
//! that has an abstract address. The decision held here: the kernel keeps an address for one socket
//! of each type. So only the type that a claim has is looked at: whoever binds the same address for
//! another type, or accepts connections there, changes nothing.

use std::io;
use std::ops::ControlFlow;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlasIterator,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::netlink::{SOCK_DIAG_BY_FAMILY, exchange, skip_message};

/// `UDIAG_SHOW_NAME` and `UDIAG_SHOW_UID` of linux/unix_diag.h.
const SHOW: u32 = 0x01 | 0x40;
/// The attribute of the address. That of an abstract one begins with a zero.
const UNIX_DIAG_NAME: u16 = 0;
/// The attribute of the user whose process has made the socket.
const UNIX_DIAG_UID: u16 = 7;
/// Length of `nlmsghdr` of linux/netlink.h, and of `nlattr`.
const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// A header and `unix_diag_req`.
const REQUEST: usize = HEADER + 24;
/// Length of `unix_diag_msg`.
const ANSWER: usize = 16;

/// Gives the address, without its first zero, and the user of each such socket to `found`.
///
/// # Errors
/// The kernel does not list Unix sockets.
pub(super) fn list_datagram_sockets(mut found: impl FnMut(&[u8], u32)) -> io::Result<()> {
    exchange(NETLINK_SOCK_DIAG, &request(), |datagram| {
        read_datagram(datagram, &mut found)
    })
}

fn read_datagram(
    datagram: &[u8],
    found: &mut impl FnMut(&[u8], u32),
) -> ControlFlow<io::Result<()>> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = match NetlinkBuffer::new_checked(rest) {
            Ok(message) => message,
            Err(error) => return ControlFlow::Break(Err(io::Error::other(error))),
        };
        match message.message_type() {
            NLMSG_DONE => return ControlFlow::Break(end_of(message.payload())),
            NLMSG_ERROR => return ControlFlow::Break(Err(error_of(message.payload()))),
            SOCK_DIAG_BY_FAMILY => {
                if let Some((name, user)) = read_socket(message.payload()) {
                    found(name, user);
                }
            }
            _ => {}
        }
        rest = skip_message(rest, message.length());
    }
    ControlFlow::Continue(())
}

/// A message that asks for all Unix sockets.
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

/// The address and the user of a datagram socket that has an abstract address.
fn read_socket(socket: &[u8]) -> Option<(&[u8], u32)> {
    /// The byte of its type.
    const KIND: usize = 1;
    if i32::from(*socket.get(KIND)?) != libc::SOCK_DGRAM {
        return None;
    }
    let (mut name, mut user) = (None, None);
    for attribute in NlasIterator::new(socket.get(ANSWER..)?) {
        let attribute = attribute.ok()?;
        let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
        let value = attribute.into_inner().get(ATTRIBUTE_HEADER..length)?;
        match kind {
            UNIX_DIAG_NAME => name = value.strip_prefix(&[0]),
            UNIX_DIAG_UID => user = value.first_chunk().copied(),
            _ => {}
        }
    }
    Some((name?, user.map(u32::from_ne_bytes)?))
}

/// What the last message says: an error if the kernel could not list all.
fn end_of(payload: &[u8]) -> io::Result<()> {
    let code = payload.first_chunk().map(|&code| i32::from_ne_bytes(code));
    match code {
        Some(code) if code < 0 => Err(error_of(payload)),
        _ => Ok(()),
    }
}

/// What a message says that reports an error.
fn error_of(payload: &[u8]) -> io::Error {
    match payload.first_chunk().map(|&code| i32::from_ne_bytes(code)) {
        Some(code) => io::Error::from_raw_os_error(code.saturating_neg()),
        None => io::ErrorKind::UnexpectedEof.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::geteuid;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

    const NONE: [u32; 0] = [];

    /// The users of datagram sockets with that address.
    fn users(name: &[u8]) -> Vec<u32> {
        let mut users = Vec::new();
        let found = |seen: &[u8], user| {
            if seen == name {
                users.push(user);
            }
        };
        list_datagram_sockets(found).expect("a list");
        users
    }

    #[test]
    fn the_socket_of_an_address_is_found_and_no_other() {
        let name = format!("recon-test/{:x}", crate::seed::random_number());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        // Three sockets that are no datagram sockets: one listens, one is accepted, one connects.
        let listener = UnixListener::bind_addr(&address).expect("a socket");
        let client = UnixStream::connect_addr(&address).expect("a connection");
        let accepted = listener.accept().expect("a connection");
        assert_eq!(users(name.as_bytes()), NONE);
        let odd = [name.as_bytes(), b"\0\xff"].concat();
        let odd_address = SocketAddr::from_abstract_name(&odd).expect("an address");
        let bound = [&address, &odd_address].map(UnixDatagram::bind_addr);
        let own = geteuid().as_raw();
        assert_eq!(users(name.as_bytes()), [own]);
        assert_eq!(users(&odd), [own]);
        assert_eq!(users(&name.as_bytes()[1..]), NONE);
        drop(bound);
        assert_eq!(users(name.as_bytes()), NONE);
        drop((listener, client, accepted));
    }

    /// An answer about a datagram socket with that address, of user 7.
    fn answer(kind: i32, name: &[u8]) -> Vec<u8> {
        let attribute = |of: u16, value: &[u8]| {
            let length = (ATTRIBUTE_HEADER + value.len()) as u16;
            let mut bytes = [length.to_ne_bytes(), of.to_ne_bytes()].concat();
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let mut socket = vec![libc::AF_UNIX as u8, kind as u8];
        socket.resize(ANSWER, 0);
        socket.extend(attribute(UNIX_DIAG_NAME, name));
        socket.extend(attribute(UNIX_DIAG_UID, &7_u32.to_ne_bytes()));
        message(SOCK_DIAG_BY_FAMILY, &socket)
    }

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes.extend(payload);
        let length = bytes.len() as u32;
        let mut header = NetlinkBuffer::new(&mut bytes[..]);
        header.set_length(length);
        header.set_message_type(kind);
        bytes
    }

    #[test]
    fn answers_are_read() {
        let (datagram, stream) = (libc::SOCK_DGRAM, libc::SOCK_STREAM);
        for (kind, name, expected) in [
            (
                datagram,
                &b"\0recon/agent/2"[..],
                Some(&b"recon/agent/2"[..]),
            ),
            (datagram, b"\0a\0\xff", Some(b"a\0\xff")),
            (datagram, b"\0", Some(b"")),
            (datagram, b"/run/socket\0", None),
            (datagram, b"", None),
            (stream, b"\0recon/agent/2", None),
        ] {
            let mut found = Vec::new();
            let two = [answer(kind, name), answer(kind, name)].concat();
            let read = read_datagram(&two, &mut |name, user| found.push((name.to_vec(), user)));
            assert!(read.is_continue(), "{name:?}");
            let expected = expected.map(|name| (name.to_vec(), 7));
            assert_eq!(
                found,
                Vec::from_iter([expected.clone(), expected].into_iter().flatten())
            );
        }
        let refused = message(NLMSG_ERROR, &(-libc::EPERM).to_ne_bytes());
        match read_datagram(&refused, &mut |_, _| {}) {
            ControlFlow::Break(Err(error)) => {
                assert_eq!(error.raw_os_error(), Some(libc::EPERM));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn any_cut_of_an_answer_is_read() {
        let whole = answer(libc::SOCK_DGRAM, b"\0recon/agent/2");
        for end in 0..whole.len() {
            for at in 0..end {
                let mut cut = whole[..end].to_vec();
                cut[at] = 0xff;
                let _ = read_datagram(&cut, &mut |_, _| {});
                let _ = read_socket(&cut[at..]);
            }
        }
        for payload in [&b""[..], &i32::MIN.to_ne_bytes()] {
            let _ = error_of(payload);
        }
        assert!(end_of(b"").is_ok());
        assert!(end_of(&0_i32.to_ne_bytes()).is_ok());
        assert!(end_of(&(-libc::ENOMEM).to_ne_bytes()).is_err());
    }
}
