//! Whether a socket of this host waits at a port: one that listens, or a bound one of UDP.
//!
//! In: local addresses and ports. Out: whether the kernel would find a socket there for a packet
//! from anybody. `None` if that is unknown: for an address of a guest, or if there is no time.
//! The decisions held here:
//! - The kernel answers with its own look-up (sock_diag(7), for one socket). So specific and
//!   wildcard binds, IPv6 sockets that take IPv4 and sockets of one interface count as they do for
//!   packets, and the number of sockets on the host costs nothing.
//! - Each port is asked for once a poll, up to a number of questions and a time. Some kernels let
//!   only one process ask at a time, and any user may hold that place. So a slow answer is followed
//!   by a rest.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use recon_common::Address;
use recon_common::protocol::ip_protocol::{TCP, UDP};
use recon_common::protocol::linux::{AF_INET, AF_INET6};

use crate::hook::{SOCK_DIAG_BY_FAMILY, is_local};
use crate::seed::Secrets;

/// Lengths of `nlmsghdr` of linux/netlink.h and `inet_diag_req_v2` of linux/inet_diag.h.
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
/// More than the kernel says of one socket.
const ANSWER: usize = 4096;
const ANY_PORT: u16 = 0;
/// Questions of one poll: 10 milliseconds, at 2 microseconds each.
const MOST_QUESTIONS: usize = 4096;
/// How long the questions of one poll may take.
const PATIENCE: Duration = Duration::from_millis(20);
/// After a poll whose questions took longer, nothing is asked for so many times as long: slow
/// answers take two hundredths of the agent's time.
const REST_FACTOR: u32 = 50;

/// A port of a local address. `is_udp` says of which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ServedPort {
    local: Address,
    port: u16,
    is_udp: bool,
}

/// The sockets of the agent's network namespace.
#[derive(Debug, Default)]
pub(crate) struct ServedPorts {
    /// `None` if this kernel does not answer.
    questions: Option<Questions>,
    /// The indexes of the watched interfaces. A socket may be bound to one of them.
    interfaces: Vec<u32>,
    /// What is known in this poll.
    known: HashMap<ServedPort, Option<bool>, Secrets>,
    own: HashMap<Address, bool, Secrets>,
    asked: usize,
    spent: Duration,
    rests_until: Option<Instant>,
}

impl ServedPorts {
    /// Asks the kernel, if it answers.
    pub(crate) fn open() -> Self {
        let questions = Questions::open();
        if let Err(error) = &questions {
            tracing::debug!("LocalListener is null: this kernel says nothing of sockets: {error}");
        }
        Self {
            questions: questions.ok(),
            ..Self::default()
        }
    }

    /// Sets the watched interfaces.
    pub(crate) fn watch(&mut self, indexes: impl Iterator<Item = u32>) {
        self.interfaces.clear();
        self.interfaces.extend(indexes);
    }

    /// Begins a poll, in which everything is asked for anew.
    pub(crate) fn begin_poll(&mut self) {
        self.known.clear();
        self.own.clear();
        self.asked = 0;
        self.spent = Duration::ZERO;
    }

    /// Whether a socket waits at that port of a local address.
    pub(crate) fn is_served(&mut self, local: Address, port: u16, is_udp: bool) -> Option<bool> {
        let service = ServedPort {
            local,
            port,
            is_udp,
        };
        if let Some(known) = self.known.get(&service) {
            return *known;
        }
        let begun = self.begin_questions()?;
        let is_own = *self.own.entry(local).or_insert_with(|| is_own(local));
        let answer = is_own.then(|| self.ask(service)).flatten();
        self.end_questions(begun);
        self.known.insert(service, answer);
        answer
    }

    /// Now, if there is time for questions.
    fn begin_questions(&mut self) -> Option<Instant> {
        let has_time = self.asked < MOST_QUESTIONS && self.spent < PATIENCE;
        if !has_time || self.questions.is_none() {
            return None;
        }
        let now = Instant::now();
        if self.rests_until.is_some_and(|until| now < until) {
            return None;
        }
        self.rests_until = None;
        Some(now)
    }

    fn end_questions(&mut self, begun: Instant) {
        let now = Instant::now();
        self.spent += now.duration_since(begun);
        if self.spent >= PATIENCE {
            self.rests_until = Some(now + REST_FACTOR * self.spent);
        }
    }

    /// Whether a socket of any interface, or of one of the watched, is there.
    fn ask(&mut self, service: ServedPort) -> Option<bool> {
        /// Stands for no interface.
        const NONE: u32 = 0;
        let questions = self.questions.as_mut()?;
        let interfaces = match &self.interfaces[..] {
            [] => &[NONE],
            watched => watched,
        };
        for &interface in interfaces {
            self.asked += 1;
            if questions.ask(service, interface)? {
                return Some(true);
            }
        }
        Some(false)
    }
}

/// Whether this host has that address. Asked by netlink: a running agent may open no socket that
/// could reach another host.
pub(crate) fn is_own(local: Address) -> bool {
    is_local(local.to_ip()).unwrap_or_default()
}

/// A socket for questions.
#[derive(Debug)]
struct Questions {
    socket: Socket,
    answer: Vec<u8>,
    number: u32,
}

impl Questions {
    /// # Errors
    /// The kernel does not answer about TCP, or not about UDP.
    fn open() -> io::Result<Self> {
        let mut questions = Self {
            socket: Socket::new(NETLINK_SOCK_DIAG)?,
            answer: Vec::with_capacity(ANSWER),
            number: 0,
        };
        // The kernel answers while it is asked, so that nothing is waited for.
        questions.socket.set_non_blocking(true)?;
        // 'No such socket' is also what a kernel says that knows nothing of a protocol.
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, ANY_PORT))?;
        let bound = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, ANY_PORT))?;
        let ports = [listener.local_addr()?.port(), bound.local_addr()?.port()];
        for (port, is_udp) in ports.into_iter().zip([false, true]) {
            let service = ServedPort {
                local: Address::from(IpAddr::from(Ipv4Addr::LOCALHOST)),
                port,
                is_udp,
            };
            if questions.ask(service, 0) != Some(true) {
                return Err(io::ErrorKind::Unsupported.into());
            }
        }
        Ok(questions)
    }

    /// Whether there is such a socket for packets that come in by that interface.
    fn ask(&mut self, service: ServedPort, interface: u32) -> Option<bool> {
        self.number = self.number.wrapping_add(1);
        let request = request(service, interface, self.number);
        let kernel = SocketAddr::new(0, 0);
        self.socket.send_to(&request, &kernel, 0).ok()?;
        loop {
            self.answer.clear();
            self.socket.recv(&mut self.answer, 0).ok()?;
            let (number, answer) = read_answer(&self.answer)?;
            // Not a late answer to an earlier question.
            if number == self.number {
                return answer;
            }
        }
    }
}

/// A message that asks for one socket.
fn request(service: ServedPort, interface: u32, number: u32) -> [u8; REQUEST] {
    /// `NLM_F_REQUEST` of linux/netlink.h.
    const NLM_F_REQUEST: u16 = 1;
    let mut message = [0; REQUEST];
    let mut put = |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(REQUEST as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(8, &number.to_ne_bytes());
    let (family, octets) = match service.local.to_ip() {
        IpAddr::V4(local) => (AF_INET, local.octets().to_vec()),
        IpAddr::V6(local) => (AF_INET6, local.octets().to_vec()),
    };
    let protocol = if service.is_udp { UDP } else { TCP };
    put(HEADER, &[family, protocol]);
    // From here on `inet_diag_sockid`: two ports, two addresses, interface, cookie. The first of
    // each pair is this host's for TCP, and the sender's for UDP. The other one stays 0: anybody's.
    const PORTS: usize = HEADER + 8;
    const ADDRESSES: usize = PORTS + 4;
    const INTERFACE: usize = ADDRESSES + 32;
    let second = usize::from(service.is_udp);
    put(PORTS + 2 * second, &service.port.to_be_bytes());
    put(ADDRESSES + 16 * second, &octets);
    put(INTERFACE, &interface.to_ne_bytes());
    // `INET_DIAG_NOCOOKIE`.
    put(INTERFACE + 4, &[u8::MAX; 8]);
    message
}

/// The number of the question, and whether there is a socket. `None` if that can't be read.
fn read_answer(message: &[u8]) -> Option<(u32, Option<bool>)> {
    /// `NLMSG_ERROR` of linux/netlink.h.
    const NLMSG_ERROR: u16 = 2;
    let word = |at: usize| Some(u32::from_ne_bytes(*message.get(at..)?.first_chunk()?));
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let answer = match kind {
        SOCK_DIAG_BY_FAMILY => Some(true),
        NLMSG_ERROR if word(HEADER)?.cast_signed() == -libc::ENOENT => Some(false),
        _ => None,
    };
    Some((word(8)?, answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::ToSocketAddrs;

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().expect("an address"))
    }

    /// A socket, which is open until it is dropped, and its port.
    fn bind(local: &str, is_udp: bool) -> (Box<dyn std::any::Any>, u16) {
        let local = (local, ANY_PORT).to_socket_addrs().expect("an address");
        let local = local.as_slice();
        if is_udp {
            let socket = UdpSocket::bind(local).expect("a free port");
            let port = socket.local_addr().expect("it is bound").port();
            (Box::new(socket), port)
        } else {
            let socket = TcpListener::bind(local).expect("a free port");
            let port = socket.local_addr().expect("it is bound").port();
            (Box::new(socket), port)
        }
    }

    #[test]
    fn sockets_are_found_as_packets_find_them() {
        let mut ports = ServedPorts::open();
        for is_udp in [false, true] {
            // (bound to, asked for, whether it is found)
            for (bound, asked, expected) in [
                ("127.0.0.1", "127.0.0.1", Some(true)),
                ("127.0.0.1", "127.0.0.2", Some(false)),
                ("0.0.0.0", "127.0.0.2", Some(true)),
                // IPv6, which takes IPv4 as well.
                ("::", "127.0.0.1", Some(true)),
                ("::", "::1", Some(true)),
                ("::1", "::1", Some(true)),
                ("::1", "127.0.0.1", Some(false)),
                ("0.0.0.0", "::1", Some(false)),
                // Not this host's.
                ("0.0.0.0", "198.51.100.7", None),
            ] {
                let (socket, port) = bind(bound, is_udp);
                ports.begin_poll();
                let mut ask = || ports.is_served(address(asked), port, is_udp);
                assert_eq!(ask(), expected, "{bound} {asked}, UDP {is_udp}");
                drop(socket);
                // Within a poll it is asked for once.
                assert_eq!(ask(), expected, "{bound} {asked}, UDP {is_udp}");
                ports.begin_poll();
                let closed = ports.is_served(address(asked), port, is_udp);
                assert_eq!(closed, expected.map(|_| false), "{bound} {asked}, closed");
            }
        }
    }

    #[test]
    fn own_addresses_are_those_that_can_be_bound() {
        for local in [
            "127.0.0.1",
            "127.0.0.2",
            "::1",
            "198.51.100.7",
            "2001:db8::7",
            "255.255.255.255",
            "224.0.0.1",
        ] {
            let can_be_bound = UdpSocket::bind((local, ANY_PORT)).is_ok();
            assert_eq!(is_own(address(local)), can_be_bound, "{local}");
        }
    }

    #[test]
    fn a_connected_socket_serves_nobody_else() {
        let mut ports = ServedPorts::open();
        let socket = UdpSocket::bind(("127.0.0.1", ANY_PORT)).expect("a free port");
        socket.connect(("127.0.0.1", 9)).expect("an address");
        let port = socket.local_addr().expect("it is bound").port();
        assert_eq!(
            ports.is_served(address("127.0.0.1"), port, true),
            Some(false)
        );
    }

    #[test]
    fn questions_are_bounded() {
        let mut ports = ServedPorts::open();
        let local = address("127.0.0.1");
        ports.asked = MOST_QUESTIONS;
        assert_eq!(ports.is_served(local, 9, false), None, "too many");
        ports.begin_poll();
        ports.spent = PATIENCE;
        assert_eq!(ports.is_served(local, 9, false), None, "no time");
        ports.begin_poll();
        assert_eq!(ports.is_served(local, 9, false), Some(false));
        ports.spent = PATIENCE;
        ports.end_questions(Instant::now());
        ports.begin_poll();
        assert_eq!(ports.is_served(local, 9, false), None, "it rests");
        ports.rests_until = Some(Instant::now());
        assert_eq!(ports.is_served(local, 9, false), Some(false));
        assert_eq!(ServedPorts::default().is_served(local, 9, false), None);
    }

    #[test]
    fn answers_that_are_cut_are_none() {
        let mut message = vec![0; HEADER + 4];
        message[4] = 2;
        message[8] = 7;
        for (error, expected) in [(-libc::ENOENT, Some(false)), (-libc::EPERM, None)] {
            message[HEADER..].copy_from_slice(&error.to_ne_bytes());
            assert_eq!(read_answer(&message), Some((7, expected)));
        }
        for length in 0..message.len() {
            assert_eq!(read_answer(&message[..length]), None, "{length}");
        }
    }
}
