//! A question to the kernel over netlink, and its answer.
//!
//! In: a request, as bytes. Out: the datagrams of the answer.
//! The decision held here: each question has a socket of its own, so that no late answer to another
//! one comes in between.

use std::io;
use std::ops::ControlFlow;

use netlink_sys::{Socket, SocketAddr};

/// The kernel puts at most this much into a datagram (`max_recvmsg_len` of netlink_recvmsg).
const DUMP_BUFFER: usize = 32 * 1024;
/// Messages and their parts are padded to so many bytes (`NLMSG_ALIGNTO`, `NLA_ALIGNTO`).
pub(super) const ALIGNMENT: usize = 4;
/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
pub(crate) const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Sends `request`, and gives each datagram of the answer to `read` until that breaks.
///
/// # Errors
/// The kernel's, or what `read` breaks with.
pub(super) fn exchange<T>(
    protocol: isize,
    request: &[u8],
    mut read: impl FnMut(&mut [u8]) -> ControlFlow<io::Result<T>>,
) -> io::Result<T> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(request, 0)?;
    let mut datagram = Vec::with_capacity(DUMP_BUFFER);
    loop {
        datagram.clear();
        match socket.recv(&mut datagram, 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            received => received?,
        };
        if let ControlFlow::Break(result) = read(&mut datagram) {
            return result;
        }
    }
}

/// What follows a message of that length in the same datagram.
pub(super) fn skip_message(bytes: &[u8], length: u32) -> &[u8] {
    let length = (length as usize).next_multiple_of(ALIGNMENT);
    bytes.get(length..).unwrap_or_default()
}
