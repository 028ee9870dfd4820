//! Whether a socket waits at a port, by what its host has answered.
//!
//! In: the counts of a poll. Out: the value of `LocalListener`.
//! The decision held here: the agent asks the kernel; a capture shows it. Where a host has answered
//! or accepted, somebody waits, and where it has refused, nobody does. Of a port that is silent
//! nothing is known. Bounded: when there are too many ports, all are forgotten.

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
            Signal::RefusedTcp => false,
            _ => return,
        };
        let Some(port) = port(key) else { return };
        if self.0.len() >= MOST && !self.0.contains_key(&port) {
            self.0.clear();
        }
        self.0.insert(port, is_served);
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
    let is_udp = key.signal.transport() == Some(Transport::Udp);
    Some((key.local?, key.port?, is_udp))
}
