//! Calls of processes in other network namespaces: containers, or whoever made one.
//!
//! In: the rows of a poll. Out: those that count.
//! The decision held here: what a container sends leaves this host as a forwarded packet without
//! its socket, so the system call counts in its place, with the process. But anybody may make a
//! namespace of his own and call there whatever he likes. So a call counts once a packet without a
//! known sender has left for the same port of the same remote: in its own poll, or in the one
//! before or after, since a call and its packet may be counted in different polls.

use std::collections::HashSet;

use recon_common::signal::Transport;
use recon_common::{Address, Signal};
use serde::{Deserialize, Serialize};

use crate::row::RowKey;
use crate::seed::Secrets;

/// Where a packet or a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct CallTarget {
    remote: Address,
    port: Option<u16>,
    is_udp: bool,
}

impl CallTarget {
    fn of(key: &RowKey) -> Option<Self> {
        Some(Self {
            remote: key.remote?,
            port: key.port,
            is_udp: key.signal.transport() == Some(Transport::Udp),
        })
    }
}

/// A row: its key and its count.
type Call = (RowKey, u64);

/// The calls that wait for their packets, and the packets.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Calls {
    /// Whether calls count without their packets.
    #[serde(skip)]
    counts_all: bool,
    /// Those of this poll, and those of the one before.
    waiting: [Vec<Call>; 2],
    /// Where packets without a known sender have gone, in this poll and in the one before.
    sent: [HashSet<CallTarget, Secrets>; 2],
}

impl Calls {
    /// `counts_all` says that calls count without their packets.
    pub(super) fn new(counts_all: bool) -> Self {
        Self {
            counts_all,
            ..Self::default()
        }
    }

    /// Goes on with what waited in an earlier process.
    pub(super) fn resume(&mut self, earlier: Self) {
        self.waiting = earlier.waiting;
        self.sent = earlier.sent;
    }

    /// Holds the row back if it is a call in another namespace. Returns whether it is one.
    pub(super) fn hold(&mut self, key: &RowKey, count: u64) -> bool {
        let is_sent = matches!(
            key.signal,
            Signal::SynSent | Signal::DatagramSent | Signal::TraceSent
        );
        if !is_sent || self.counts_all {
            return false;
        }
        // The local address of a call is not known yet, and a packet has one.
        match (key.local, key.pid) {
            (None, _) => self.waiting[0].push((*key, count)),
            (Some(_), None) => self.sent[0].extend(CallTarget::of(key)),
            (Some(_), Some(_)) => {}
        }
        key.local.is_none()
    }

    /// Ends a poll. Returns the calls that count.
    pub(super) fn end_poll(&mut self) -> Vec<Call> {
        let [waiting, older] = &mut self.waiting;
        let [sent, before] = &self.sent;
        let has_packet = |(key, _): &mut Call| {
            CallTarget::of(key)
                .is_some_and(|target| sent.contains(&target) || before.contains(&target))
        };
        let mut counted: Vec<_> = older.extract_if(.., has_packet).collect();
        counted.extend(waiting.extract_if(.., has_packet));
        // What has no packet by now has none.
        *older = std::mem::take(waiting);
        let [sent, before] = &mut self.sent;
        *before = std::mem::take(sent);
        counted
    }
}

#[cfg(test)]
mod tests {
    use recon_common::Key;

    use super::*;

    const REMOTE: Address = Address::v4([198, 51, 100, 7]);
    const LOCAL: Address = Address::v4([203, 0, 113, 1]);

    fn key(signal: Signal, port: u16, local: Address, pid: u32) -> RowKey {
        let key = Key {
            remote: REMOTE,
            local,
            detail: pid,
            port,
            signal: signal as u8,
            tool: 0,
        };
        RowKey::unpack(&key).expect("a signal")
    }

    fn call(signal: Signal, port: u16) -> RowKey {
        key(signal, port, Address::UNSPECIFIED, 77)
    }

    fn packet(signal: Signal, port: u16) -> RowKey {
        key(signal, port, LOCAL, 0)
    }

    #[test]
    fn calls_count_with_their_packets() {
        use Signal::{ConnectFailed, DatagramSent, SynSent, TraceSent};
        let own = |port| key(SynSent, port, LOCAL, 77);
        // (what, the rows of each poll, ports of the calls that count, by poll)
        for (what, polls, expected) in [
            (
                "a call and its packet",
                vec![vec![call(SynSent, 80), packet(SynSent, 80)]],
                vec![vec![80]],
            ),
            (
                "in any order",
                vec![vec![packet(SynSent, 80), call(SynSent, 80)]],
                vec![vec![80]],
            ),
            (
                "the packet a poll later",
                vec![vec![call(SynSent, 80)], vec![packet(SynSent, 80)]],
                vec![vec![], vec![80]],
            ),
            (
                "the packet a poll earlier",
                vec![vec![packet(SynSent, 80)], vec![call(SynSent, 80)]],
                vec![vec![], vec![80]],
            ),
            (
                "the packet two polls later",
                vec![vec![call(SynSent, 80)], vec![], vec![packet(SynSent, 80)]],
                vec![vec![], vec![], vec![]],
            ),
            (
                "packets to another port, by another protocol, of a known sender",
                vec![vec![
                    call(SynSent, 80),
                    packet(SynSent, 81),
                    packet(DatagramSent, 80),
                    own(80),
                ]],
                vec![vec![]],
            ),
            (
                "a traceroute",
                vec![vec![call(DatagramSent, 33_434), packet(TraceSent, 33_434)]],
                vec![vec![33_434]],
            ),
        ] {
            let mut calls = Calls::new(false);
            let counted = polls.iter().map(|rows| {
                for row in rows {
                    let is_call = row.local.is_none();
                    assert_eq!(calls.hold(row, 1), is_call, "{what}");
                }
                let counted = calls.end_poll().into_iter();
                counted.filter_map(|(key, _)| key.port).collect()
            });
            let counted: Vec<Vec<u16>> = counted.collect();
            assert_eq!(counted, expected, "{what}");
        }
        let failed = key(ConnectFailed, 80, Address::UNSPECIFIED, 77);
        assert!(!Calls::new(false).hold(&failed, 1), "it has no packet");
        assert!(!Calls::new(true).hold(&call(SynSent, 80), 1), "all count");
    }
}
