//! Whether a socket waits at a port, by what its host has answered.
//!
//! In: the counts of a poll. Out: the value of `LocalListener`.
//! The decision held here: the agent asks the kernel; a capture shows it. Where a host has answered
//! or accepted, somebody waits, and where it has refused, nobody does. Of a port that is silent
//! nothing is known, unless a stream of datagrams goes there. Bounded: when there are too many
//! ports, all are forgotten.

use std::collections::HashMap;

use recon_common::signal::Transport;
use recon_common::{Address, Signal};

use crate::row::RowKey;
use crate::seed::Secrets;

/// Ports that are remembered.
const MOST: usize = 1 << 16;

/// A port of a local address, and whether it is one of UDP.
type Port = (Address, u16, bool);

/// What is known of ports.
#[derive(Debug, Default)]
pub(super) struct Served(HashMap<Port, bool, Secrets>);

impl Served {
    /// Notes what a row says of its port.
    pub(super) fn note_port(&mut self, key: &RowKey) {
        let is_served = match key.signal {
            Signal::AnsweredTcp | Signal::AnsweredUdp | Signal::Accepted => true,
            Signal::RefusedTcp | Signal::RefusedIcmp => false,
            _ => return,
        };
        let Some(port) = port(key) else { return };
        if self.0.len() >= MOST && !self.0.contains_key(&port) {
            self.0.clear();
        }
        self.0.insert(port, is_served);
    }

    /// The answer that a row stands for: a stream of datagrams that nobody refuses is taken, such
    /// as media of which one side is silent.
    pub(super) fn answer_to_stream(&self, key: &RowKey, count: u64) -> Option<RowKey> {
        /// A scanner repeats a datagram a few times, and media have 20 and more in a second.
        const STREAM: u64 = 10;
        let is_refused = self.listener(key) == Some(false);
        let is_stream = key.signal == Signal::Datagram && count >= STREAM && !is_refused;
        is_stream.then_some(RowKey {
            signal: Signal::AnsweredUdp,
            tool: None,
            interface: None,
            ..*key
        })
    }

    /// Whether a socket waits where a client's packet goes.
    pub(super) fn listener(&self, key: &RowKey) -> Option<bool> {
        match key.signal {
            Signal::Syn | Signal::Datagram | Signal::DnsQueryUdp => {
                self.0.get(&port(key)?).copied()
            }
            _ => None,
        }
    }
}

fn port(key: &RowKey) -> Option<Port> {
    // What ICMP refuses is a datagram, but for a firewall's refusals.
    let is_udp =
        key.signal == Signal::RefusedIcmp || key.signal.transport() == Some(Transport::Udp);
    Some((key.local?, key.port?, is_udp))
}
