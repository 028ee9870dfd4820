//! The addresses of Unix sockets, for kernels that do not say over sock_diag(7) which user made
//! them.
//!
//! In: nothing. Out: the abstract addresses of the datagram sockets of this network namespace.
//! The decision held here: /proc/net/unix is for people. It shows a zero in an address as `@`, and
//! a line break as what it is. So an address may be read that nobody has; no address is hidden.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// Of the network namespace of this thread, not of the process.
const LISTED: &str = "/proc/thread-self/net/unix";
/// What stands before an address, of which the fifth is the type: net/unix/af_unix.c,
/// `unix_seq_show`.
const FIELDS: usize = 7;
const TYPE: usize = 4;
/// `SOCK_DGRAM`, as it is shown.
const DATAGRAM: &[u8] = b"0002";

/// Gives the address of each such socket, without its first zero, to `found`.
///
/// # Errors
/// /proc is not readable.
pub(super) fn list_datagram_names(mut found: impl FnMut(&[u8])) -> io::Result<()> {
    let mut lines = BufReader::new(File::open(LISTED)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Some(name) = read_line(line.strip_suffix(b"\n").unwrap_or(&line)) {
            found(name);
        }
        line.clear();
    }
    Ok(())
}

/// The abstract address of a datagram socket.
fn read_line(line: &[u8]) -> Option<&[u8]> {
    let mut rest = line;
    for number in 0..FIELDS {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(u8::is_ascii_whitespace)?;
        let (field, after) = rest.split_at(end);
        if number == TYPE && field != DATAGRAM {
            return None;
        }
        rest = after;
    }
    rest.strip_prefix(b" @")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

    #[test]
    fn lines_are_read() {
        for (line, expected) in [
            (
                &b"0000000000000000: 00000002 00000000 00000000 0002 01 12345 @recon/agent/2"[..],
                Some(&b"recon/agent/2"[..]),
            ),
            // A small inode is padded.
            (
                b"ffff9d8f42a3b000: 00000002 00000000 00000000 0002 01   123 @a b@",
                Some(b"a b@"),
            ),
            (b"0: 2 0 0 0002 01 5 @", Some(b"")),
            (b"0: 2 0 0 0002 01 5 @\xff", Some(b"\xff")),
            (b"0: 2 0 0 0002 01 5 /run/socket", None),
            (b"0: 2 0 0 0002 01 5  @late", None),
            (b"0: 2 0 0 0002 01 5", None),
            (b"0: 2 0 00010000 0001 01 5 @listens", None),
            (
                b"Num       RefCount Protocol Flags    Type St Inode Path",
                None,
            ),
            (b"@recon/agent/2", None),
            (b"", None),
        ] {
            assert_eq!(read_line(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_socket_is_listed_while_it_is_there() {
        let name = format!("recon-test/{:x}", crate::seed::random_number());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let count = || {
            let mut count = 0;
            list_datagram_names(|seen| count += usize::from(seen == name.as_bytes()))
                .expect("a list");
            count
        };
        let listener = UnixListener::bind_addr(&address).expect("a socket");
        assert_eq!(count(), 0);
        let datagram = UnixDatagram::bind_addr(&address).expect("a socket");
        assert_eq!(count(), 1);
        drop((listener, datagram));
        assert_eq!(count(), 0);
    }
}
