//! Rows of the kernel's tables of TCP sockets, and the names of open sockets.
//!
//! In: a line of /proc/net/tcp or tcp6, or the target of a link in /proc/PID/fd. Out: a
//! [`TcpSocket`], or its inode number.
//! The decision held here: an IPv4 address is IPv4, also if an IPv6 socket has it mapped.

use std::net::IpAddr;

/// One end of a connection: an address and a port.
pub(super) type Endpoint = (IpAddr, u16);

/// A row of the table of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TcpSocket {
    pub(super) local: Endpoint,
    pub(super) state: u8,
    /// Who has made it.
    pub(super) user: u32,
    pub(super) inode: u64,
}

/// A row of the kernel's tables, by proc_pid_net(5). The heading is not a row.
pub(super) fn parse_row(line: &[u8]) -> Option<TcpSocket> {
    // Columns between the state and the user: queues, timer, retransmissions. Then: probes.
    const BEFORE_USER: usize = 3;
    const BEFORE_INODE: usize = 1;
    let mut columns = str::from_utf8(line).ok()?.split_ascii_whitespace().skip(1);
    let local = parse_endpoint(columns.next()?)?;
    let _remote = columns.next()?;
    Some(TcpSocket {
        local,
        state: u8::from_str_radix(columns.next()?, 16).ok()?,
        user: columns.nth(BEFORE_USER)?.parse().ok()?,
        inode: columns.nth(BEFORE_INODE)?.parse().ok()?,
    })
}

/// `ADDRESS:PORT`, the address as words of 32 bits in the machine's own order.
fn parse_endpoint(text: &str) -> Option<Endpoint> {
    const WORD_DIGITS: usize = 8;
    const V6_DIGITS: usize = 4 * WORD_DIGITS;
    let (address, port) = text.split_once(':')?;
    let word = |index: usize| {
        let digits = address.get(index * WORD_DIGITS..(index + 1) * WORD_DIGITS)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let address = match address.len() {
        WORD_DIGITS => IpAddr::from(word(0)?),
        V6_DIGITS => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut octets = [0; 16];
            octets.copy_from_slice(words.as_flattened());
            IpAddr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

/// The inode of `socket:[INODE]`.
pub(super) fn parse_socket_inode(target: &[u8]) -> Option<u64> {
    let inode = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(inode).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use recon_common::protocol::linux::TCP_LISTEN;

    fn ip(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn rows_are_parsed() {
        let rest = "00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0 0 10 0";
        for (ends, expected) in [
            (
                "0100007F:1F90 00000000:0000 0A",
                Some(("127.0.0.1", 8080, TCP_LISTEN)),
            ),
            ("0100007F:0016 076433C6:FFFF 01", Some(("127.0.0.1", 22, 1))),
            (
                "00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A",
                Some(("::1", 80, TCP_LISTEN)),
            ),
            (
                "0000000000000000FFFF00000100007F:0050 0000000000000000FFFF0000076433C6:0400 08",
                Some(("127.0.0.1", 80, 8)),
            ),
            ("local_address rem_address st", None),
            ("0100007F 00000000:0000 0A", None),
            ("0100007F:10000 00000000:0000 0A", None),
            ("0100007:1F90 00000000:0000 0A", None),
            ("0100007F01:1F90 00000000:0000 0A", None),
            (":: :: 0A", None),
            ("0100007G:1F90 00000000:0000 0A", None),
            ("é00007F:1F90 00000000:0000 0A", None),
            ("0100007F:1F90 00000000:0000 100", None),
        ] {
            let socket = parse_row(format!("   0: {ends} {rest}").as_bytes());
            let expected = expected.map(|(local, port, state)| TcpSocket {
                user: 1000,
                local: (ip(local), port),
                state,
                inode: 4242,
            });
            assert_eq!(socket, expected, "{ends}");
        }
        for line in [
            &b""[..],
            b"0:",
            b"\xff",
            b"0: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0 x",
        ] {
            assert_eq!(parse_row(line), None, "{}", line.escape_ascii());
        }
        for (target, inode) in [
            ("socket:[12]", Some(12)),
            ("socket:[]", None),
            ("socket:[12", None),
            ("pipe:[12]", None),
            ("/tmp/socket:[12]", None),
        ] {
            assert_eq!(parse_socket_inode(target.as_bytes()), inode);
        }
    }
}
