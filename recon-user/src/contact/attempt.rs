//! What is known of one attempt of a remote, until its outcome is.
//!
//! In: the counts of what the packets of an attempt show. Out: its [`Outcome`], and what it adds to
//! the evidence.
//! The decision held here: a handshake settles an attempt whatever else came. What this host
//! answered counts as half-open only once no handshake is to be expected any more.

use jiff::Timestamp;
use recon_common::Signal;
use serde::{Deserialize, Serialize};

use super::Clock;
use super::evidence::TargetResult;
use super::outcomes::Outcome;
use super::targets::Target;
use crate::row::{Interval, Name, RowKey, ToolSet};

/// How often a client sends a SYN, at most, on a network that loses some.
const MOST_REPEATED: u32 = 2;

/// When and where the packets of an attempt came in.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Arrival {
    /// The poll that brought its first event.
    pub(super) since: Interval,
    /// The interface. Of several the first by name, whatever the order of the rows.
    pub(super) interface: Option<Name>,
    /// The network namespace that accepted, if it is not the agent's. Of several the first.
    pub(super) netns: Option<Name>,
}

impl Arrival {
    /// Adds the interface and the namespace of a row.
    pub(super) fn add_place(&mut self, key: &RowKey) {
        self.interface = first_name(self.interface, key.interface);
        self.netns = first_name(self.netns, key.netns);
    }
}

/// The first of two names.
pub(super) fn first_name(one: Option<Name>, other: Option<Name>) -> Option<Name> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => {
            let is_first = one.text() <= other.text();
            Some(if is_first { one } else { other })
        }
        (one, other) => one.or(other),
    }
}

/// What is known of an attempt.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) arrival: Arrival,
    /// Where its connections came in, of which an attempt after them says nothing.
    pub(super) connected: Arrival,
    /// The number of the poll that brought its first event.
    poll: u32,
    pub(super) hits: u32,
    /// The SYNs among them.
    pub(super) syns: u32,
    pub(super) accepted: u32,
    pub(super) refused: u32,
    /// Whether this host answered: a SYN-ACK, or a datagram.
    pub(super) is_answered: bool,
    /// The tools whose fingerprints its packets carry.
    pub(super) tools: ToolSet,
    /// Whether a socket of this host waits there. `None` if unknown.
    pub(super) listener: Option<bool>,
    /// Whether it is the datagram of a traceroute, whose refusal is no failure.
    pub(super) is_traced: bool,
    /// Connections that were accepted, and those of them that have ended.
    pub(super) opened: u32,
    pub(super) ended: u32,
    /// Those that sockets have accepted since the last outcome.
    by_sockets: u32,
    /// Ended connections on which the remote has sent data, and others.
    pub(super) used: u32,
    pub(super) unused: u32,
    /// SYNs beside those that were accepted, whose handshakes may yet be completed, and since when.
    pub(super) left_open: u32,
    #[serde(with = "crate::saved::time")]
    left_since: Timestamp,
}

impl Attempt {
    /// An attempt whose first event came with that poll.
    pub(super) fn begin(since: Interval, poll: u32) -> Self {
        let arrival = Arrival {
            since,
            interface: None,
            netns: None,
        };
        Self {
            arrival,
            connected: arrival,
            poll,
            hits: 0,
            syns: 0,
            accepted: 0,
            refused: 0,
            is_answered: false,
            tools: ToolSet::default(),
            listener: None,
            is_traced: false,
            opened: 0,
            ended: 0,
            by_sockets: 0,
            used: 0,
            unused: 0,
            left_open: 0,
            left_since: since.to,
        }
    }

    /// The outcome, if it is known. `is_due` says that nothing more is to be expected.
    pub(super) fn outcome(&self, is_udp: bool, is_due: bool) -> Option<Outcome> {
        if self.accepted > 0 {
            Some(Outcome::Accepted)
        } else if is_udp && self.is_answered {
            Some(Outcome::Answered)
        } else if self.is_traced && self.hits == 0 {
            None
        } else if self.refused > 0 {
            Some(Outcome::Refused)
        } else if self.hits == 0 || !is_due {
            None
        } else if self.is_answered {
            Some(Outcome::HalfOpen)
        } else {
            Some(match self.listener {
                Some(true) => Outcome::Unserved,
                Some(false) | None => Outcome::Ignored,
            })
        }
    }

    /// Counts connections that a socket has accepted.
    pub(super) fn add_accepted(&mut self, count: u32) {
        for number in [&mut self.accepted, &mut self.opened, &mut self.by_sockets] {
            *number = number.saturating_add(count);
        }
    }

    /// How many of these no SYN has asked for.
    pub(super) fn unasked(&self) -> u32 {
        self.by_sockets.saturating_sub(self.syns)
    }

    /// What it adds to the evidence.
    pub(super) fn result(&self, target: Target, outcome: Outcome, clock: Clock) -> TargetResult {
        let count = match outcome {
            Outcome::Accepted => self.accepted,
            _ => self.hits.max(self.refused).max(1),
        };
        TargetResult {
            target,
            outcome,
            count: count.into(),
            tools: self.tools,
            poll: self.poll,
            is_probed: self.hits > self.accepted,
            listener: self.listener,
            now: clock.second,
            oldest: clock.oldest,
        }
    }

    /// Adds the interface and the namespace of a row: of an attempt, or of a connection's end.
    pub(super) fn add_place(&mut self, key: &RowKey) {
        match key.signal {
            Signal::Ended => self.connected.add_place(key),
            _ => self.arrival.add_place(key),
        }
    }

    /// What comes after the outcome is another attempt, with places of its own. SYNs beyond those
    /// that were accepted, more than a client repeats, are left open: a flood must not hide behind
    /// a connection a second.
    pub(super) fn forget_outcome(&mut self, now: Timestamp) {
        if self.accepted > 0 || self.ended >= self.opened {
            self.connected = self.arrival;
        }
        (self.arrival.interface, self.arrival.netns) = (None, None);
        let accepted = std::mem::take(&mut self.accepted);
        let hits = std::mem::take(&mut self.hits);
        if std::mem::take(&mut self.is_answered) && accepted > 0 {
            self.left_open = self.left_open.saturating_sub(accepted.saturating_sub(hits));
            if hits / MOST_REPEATED > accepted {
                if self.left_open == 0 {
                    self.left_since = now;
                }
                self.left_open = self.left_open.saturating_add(hits - accepted);
            }
        }
        self.refused = 0;
        self.by_sockets = 0;
        self.syns = 0;
        self.listener = None;
        self.tools = ToolSet::default();
    }

    /// How many handshakes were left open beside those that were completed. Counts each once.
    pub(super) fn take_left_open(&mut self, clock: Clock) -> u32 {
        match self.left_open > 0 && clock.has_waited(self.left_since) {
            true => std::mem::take(&mut self.left_open),
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use recon_common::{Address, Key};

    use super::*;

    #[test]
    fn the_next_attempt_has_places_of_its_own() {
        let key = Key {
            remote: Address::v4([198, 51, 100, 7]),
            local: Address::v4([203, 0, 113, 1]),
            detail: 0,
            port: 22,
            signal: Signal::Syn as u8,
            tool: 0,
        };
        let row = |signal, interface, netns| RowKey {
            interface: Name::new(interface),
            netns: Name::new(netns),
            signal,
            ..RowKey::unpack(&key).expect("a signal")
        };
        let now = Timestamp::UNIX_EPOCH;
        let mut attempt = Attempt::begin(Interval { from: now, to: now }, 1);
        // (signal, interface, namespace, places of the attempt, places of connections)
        for (signal, interface, netns, expected, connected) in [
            (Signal::Syn, "dmz0", "", ["dmz0", ""], ["", ""]),
            (Signal::Accepted, "", "blue", ["dmz0", "blue"], ["", ""]),
            // The next attempt, while the connection is open.
            (Signal::Syn, "eth0", "", ["eth0", ""], ["dmz0", "blue"]),
            (Signal::Ended, "", "blue", ["eth0", ""], ["dmz0", "blue"]),
            (Signal::Accepted, "", "", ["eth0", ""], ["dmz0", "blue"]),
            (Signal::Syn, "dmz0", "", ["dmz0", ""], ["eth0", ""]),
        ] {
            attempt.add_place(&row(signal, interface, netns));
            let places = [attempt.arrival, attempt.connected].map(|arrival| {
                [arrival.interface, arrival.netns].map(|name| name.map_or("", Name::text))
            });
            assert_eq!(places, [expected, connected], "{signal:?}");
            if signal == Signal::Accepted {
                attempt.accepted = 1;
                attempt.opened += 1;
                attempt.forget_outcome(now);
            }
        }
    }
}
