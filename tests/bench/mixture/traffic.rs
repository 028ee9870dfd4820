//! From what remotes do to what the kernel counts.
//!
//! In: connections, datagrams, queries, pings and probes, each with its time. Out: for each poll of
//! a second, keys and counts, and a tally of each category.
//! The decisions held here:
//! - [`Traffic::add_connection`] alone turns a connection into rows. A signal about connections is
//!   added there, and one about their end in [`Traffic::add_end_of_connection`].
//! - Times of repetition are those of real stacks. A SYN or a SYN-ACK without an answer is repeated
//!   after 1, 3, 7, 15 and 31 s (RFC 6298; `tcp_syn_retries` and `tcp_synack_retries` of Linux).
//!   Windows repeats a refused SYN too (Microsoft's KB 175523), here twice, half a second apart. A
//!   kernel that never sent the SYN of a raw socket resets the answer, which is then not repeated.
//! - The SYN of a raw socket has no option, as those of hping3, masscan, scapy and Mirai, and is
//!   counted under such a tool. nmap's has one and ZMap's may have all of Linux's; that is not
//!   described here.
//! - Linux limits the refusals of datagrams for each remote (`icmp_ratelimit`): one a second after
//!   a burst of six.

use std::collections::HashMap;

use recon_common::{Address, Ending, Key, Signal, Tool};

use super::host::{Closed, DNS, HTTP, is_open};

/// A time of the hour, or a duration, in milliseconds.
pub(crate) type Millis = u64;
pub(crate) const SECOND: Millis = 1_000;
pub(crate) const MINUTE: Millis = 60 * SECOND;
pub(crate) const HOUR: Millis = 60 * MINUTE;
/// The polls of the hour.
pub(crate) const POLLS: u32 = (HOUR / SECOND) as u32;

/// The nanoseconds of one of them.
const NANOSECONDS: u64 = 1_000_000;

/// When a segment without an answer is sent, after the first.
const BACKOFF: [Millis; 6] = [0, SECOND, 3 * SECOND, 7 * SECOND, 15 * SECOND, 31 * SECOND];
/// How often Windows sends a SYN that is refused, and how far apart.
const WINDOWS_TRIES: u64 = 3;
const WINDOWS_PAUSE: Millis = 500;
/// From the SYN to the end of the handshake.
const ROUND_TRIP: Millis = 60;
/// The refusals of datagrams that a remote gets at once, and the time for one more.
const REFUSALS_AT_ONCE: u64 = 6;
const REFUSAL_INTERVAL: Millis = SECOND;

/// What opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    Linux,
    Windows,
    /// A raw socket: no SYN is repeated, and the remote's kernel resets each answer.
    Raw,
}

/// What this host does with a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    /// Answered, but the remote never completes the handshake.
    Abandoned,
    Refused,
    Dropped,
}

/// How much a remote sends on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Nothing,
    /// A greeting.
    Hello,
    /// Requests, or an attempt to log in.
    Requests,
    /// A file, or a long session.
    Upload,
}

impl Sent {
    /// A typical number of bytes.
    pub(crate) const fn bytes(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Hello => 300,
            Self::Requests => 3_000,
            Self::Upload => 500_000,
        }
    }
}

/// One connection that a remote opens, or tries to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) remote: Address,
    pub(crate) local: Address,
    pub(crate) port: u16,
    /// When the first SYN arrives.
    pub(crate) start: Millis,
    /// When it is closed, or the remote gives up.
    pub(crate) end: Millis,
    pub(crate) stack: Stack,
    pub(crate) outcome: Outcome,
    /// How many SYN-ACKs are lost, so that the SYN is repeated.
    pub(crate) lost: usize,
    pub(crate) sent: Sent,
    /// Requests to a web server, or queries to a DNS server.
    pub(crate) requests: u64,
    pub(crate) is_logged_in: bool,
}

/// What a category did, for a reader of the mixture.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) sources: u64,
    pub(crate) connections: u64,
    pub(crate) accepted: u64,
    pub(crate) logged_in: u64,
    /// Bytes that the remotes sent on accepted connections.
    pub(crate) bytes: u64,
    /// The seconds of all accepted connections.
    pub(crate) seconds: f64,
    /// Events of all signals.
    pub(crate) events: u64,
}

/// One event, ordered by poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    poll: u32,
    remote: Address,
    local: Address,
    port: u16,
    signal: Signal,
    word: u32,
    tool: u8,
}

/// What one key counted in one poll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    pub(crate) poll: u32,
    pub(crate) key: Key,
    pub(crate) count: u64,
}

/// The traffic of the hour, as it is built.
#[derive(Debug)]
pub(crate) struct Traffic {
    closed: Closed,
    events: Vec<Event>,
    tally: Tally,
    /// For each remote, when a further refusal would find the burst whole again.
    refusals: HashMap<Address, Millis>,
}

impl Traffic {
    pub(crate) fn new(closed: Closed) -> Self {
        Self {
            closed,
            events: Vec::new(),
            tally: Tally::default(),
            refusals: HashMap::new(),
        }
    }

    /// Takes the tally since the last call.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    pub(crate) fn count_source(&mut self) {
        self.tally.sources += 1;
    }

    /// What this host does with a SYN to a port, if the remote completes the handshake.
    pub(crate) fn outcome(&self, port: u16) -> Outcome {
        match (is_open(port), self.closed) {
            (true, _) => Outcome::Accepted,
            (false, Closed::Refuse) => Outcome::Refused,
            (false, Closed::Drop) => Outcome::Dropped,
        }
    }

    /// All rows of a connection.
    pub(crate) fn add_connection(&mut self, connection: &Connection) {
        self.tally.connections += 1;
        match connection.outcome {
            Outcome::Accepted => {
                let tries = &BACKOFF[..=connection.lost.min(BACKOFF.len() - 1)];
                for delay in tries {
                    self.add(connection, connection.start + delay, Signal::Syn);
                    self.add(connection, connection.start + delay, Signal::AnsweredTcp);
                }
                let last = tries.last().copied().unwrap_or_default();
                self.add_accepted(connection, connection.start + last + ROUND_TRIP);
            }
            Outcome::Abandoned => {
                self.add(connection, connection.start, Signal::Syn);
                let answers = match connection.stack {
                    Stack::Raw => 1,
                    Stack::Linux | Stack::Windows => BACKOFF.len(),
                };
                for delay in &BACKOFF[..answers] {
                    self.add(connection, connection.start + delay, Signal::AnsweredTcp);
                }
            }
            Outcome::Refused => {
                let tries = match connection.stack {
                    Stack::Windows => WINDOWS_TRIES,
                    Stack::Linux | Stack::Raw => 1,
                };
                for delay in (0..tries).map(|number| number * WINDOWS_PAUSE) {
                    self.add(connection, connection.start + delay, Signal::Syn);
                    self.add(connection, connection.start + delay, Signal::RefusedTcp);
                }
            }
            Outcome::Dropped => {
                let tries = match connection.stack {
                    Stack::Raw => 1,
                    Stack::Linux | Stack::Windows => BACKOFF.len(),
                };
                let patience = connection.end.saturating_sub(connection.start);
                let tries = BACKOFF[..tries].iter();
                for delay in tries.filter(|&&delay| delay == 0 || delay < patience) {
                    self.add(connection, connection.start + delay, Signal::Syn);
                }
            }
        }
    }

    /// The rows of an accepted connection, but for its handshake.
    fn add_accepted(&mut self, connection: &Connection, at: Millis) {
        self.add(connection, at, Signal::Accepted);
        let request = match connection.port {
            HTTP => Some(Signal::HttpGet),
            DNS => Some(Signal::DnsQueryTcp),
            _ => None,
        };
        if let Some(request) = request {
            for _ in 0..connection.requests {
                self.add(connection, at, request);
            }
        }
        self.add_end_of_connection(connection, at);
    }

    /// The end of an accepted connection: how long it lasted and what the remote sent, and that it
    /// logged in, which this host knows a second after it accepted.
    fn add_end_of_connection(&mut self, connection: &Connection, accepted: Millis) {
        let lasted = connection.end.saturating_sub(accepted);
        self.tally.accepted += 1;
        self.tally.logged_in += u64::from(connection.is_logged_in);
        self.tally.bytes += connection.sent.bytes();
        self.tally.seconds += lasted as f64 / SECOND as f64;
        let Connection {
            remote: from,
            local: to,
            port,
            ..
        } = *connection;
        let ending = Ending::new(connection.sent.bytes(), 0, lasted * NANOSECONDS).pack();
        self.push_with(
            from,
            to,
            port,
            accepted + lasted,
            Signal::Ended,
            [ending, 0],
        );
        if connection.is_logged_in {
            let logged_in = accepted + lasted.min(SECOND);
            self.push(from, to, port, logged_in, Signal::Login);
        }
    }

    /// The first datagram of a flow, which a service of this host answers.
    pub(crate) fn add_answered_flow(&mut self, from: Address, to: Address, port: u16, at: Millis) {
        self.push(from, to, port, at, Signal::Datagram);
        self.push(from, to, port, at, Signal::AnsweredUdp);
    }

    /// A datagram to a closed port. Those of one remote come in the order of their times.
    pub(crate) fn add_stray_datagram(&mut self, from: Address, to: Address, port: u16, at: Millis) {
        self.push(from, to, port, at, Signal::Datagram);
        if self.closed == Closed::Refuse && self.may_refuse(from, at) {
            self.push(from, to, port, at, Signal::RefusedIcmp);
        }
    }

    fn may_refuse(&mut self, remote: Address, at: Millis) -> bool {
        let whole = self.refusals.entry(remote).or_default();
        let next = (*whole).max(at) + REFUSAL_INTERVAL;
        let is_allowed = next - at <= REFUSALS_AT_ONCE * REFUSAL_INTERVAL;
        if is_allowed {
            *whole = next;
        }
        is_allowed
    }

    /// A DNS query over UDP, from a port of its own (RFC 5452).
    pub(crate) fn add_query(&mut self, from: Address, to: Address, at: Millis) {
        self.push(from, to, DNS, at, Signal::DnsQueryUdp);
        self.push(from, to, DNS, at, Signal::AnsweredUdp);
    }

    pub(crate) fn add_ping(&mut self, from: Address, to: Address, at: Millis) {
        self.push(from, to, 0, at, Signal::EchoRequest);
    }

    /// A segment with flags that no connection starts with. An open port is silent (RFC 9293,
    /// 3.10.7.2), a closed one resets.
    pub(crate) fn add_probe(
        &mut self,
        [from, to]: [Address; 2],
        port: u16,
        at: Millis,
        signal: Signal,
    ) {
        self.push(from, to, port, at, signal);
        if self.outcome(port) == Outcome::Refused {
            self.push(from, to, port, at, Signal::RefusedTcp);
        }
    }

    fn add(&mut self, connection: &Connection, at: Millis, signal: Signal) {
        let Connection {
            remote,
            local,
            port,
            ..
        } = *connection;
        let tool = match (connection.stack, signal) {
            (Stack::Raw, Signal::Syn) => Tool::Crafted as u8,
            _ => 0,
        };
        self.push_with(remote, local, port, at, signal, [0, tool.into()]);
    }

    /// Adds an event, unless the hour is over.
    fn push(&mut self, remote: Address, local: Address, port: u16, at: Millis, signal: Signal) {
        self.push_with(remote, local, port, at, signal, [0, 0]);
    }

    /// The words are what the key holds in the place of a pid, and the tool.
    fn push_with(
        &mut self,
        remote: Address,
        local: Address,
        port: u16,
        at: Millis,
        signal: Signal,
        [word, tool]: [u32; 2],
    ) {
        if at >= HOUR {
            return;
        }
        self.tally.events += 1;
        self.events.push(Event {
            poll: (at / SECOND) as u32,
            remote,
            local,
            port,
            signal,
            word,
            tool: tool as u8,
        });
    }

    /// What each key counted in each poll, in the order of the polls.
    pub(crate) fn into_rows(mut self) -> Vec<Counted> {
        self.events.sort_unstable();
        let equal = self.events.chunk_by(|one, next| one == next);
        let row = |events: &[Event]| {
            let event = events[0];
            Counted {
                poll: event.poll,
                key: Key {
                    remote: event.remote,
                    local: event.local,
                    detail: event.word,
                    port: event.port,
                    signal: event.signal as u8,
                    tool: event.tool,
                },
                count: events.len() as u64,
            }
        };
        equal.map(row).collect()
    }
}
