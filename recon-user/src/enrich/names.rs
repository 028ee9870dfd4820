//! Names of addresses, by the answers to this host's own DNS queries.
//!
//! In: the frames of queries and answers. Out: the name of an address, and by what kind of answer.
//! The decisions held here:
//! - An answer counts once, and only for a query that this host sent: by both ends and their ports,
//!   the query's number, the name and the kind. Whoever forges one has to guess these; a
//!   flow on which this host has sent at some time is not enough.
//! - The name of an address is the one that was asked for, not what it leads to by other names. Who
//!   looks up an address backwards gets what its owner likes, so such an answer replaces none about
//!   a name.
//! - All of it is bounded: the oldest goes first.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use jiff::{SignedDuration, Timestamp};
use recon_common::packet::BarePacket;
use recon_common::parse::udp_payload;
use recon_common::{Direction, Flow, FrameOrigin};
use serde::{Deserialize, Serialize};

use super::dns::{Message, Question, Said};

/// Addresses with a name.
const MAX_NAMES: usize = 1 << 16;
/// Queries that wait for an answer.
const MAX_QUERIES: usize = 1 << 12;
/// A name may belong to somebody else after that, whatever its time to live.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);
/// Clients ask again, or give up, after 5 s.
const MAX_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// By which answer a name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NamedBy {
    /// The name's owner says that it has the address (A, AAAA).
    Address,
    /// The address's owner says that it has the name (PTR).
    Pointer,
}

#[derive(Debug)]
struct Known {
    name: String,
    by: NamedBy,
    at: Timestamp,
}

/// A query, as its answer repeats it: the resolver's end, this host's, and what is asked.
type Asked = (SocketAddr, SocketAddr, Question);

/// Known names, and what has been asked.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Aged<IpAddr, Known>,
    asked: Aged<Asked, Timestamp>,
    /// The agent's clock, which the wall clock of alerts may be far from.
    now: Timestamp,
}

impl Names {
    /// Notes the time of what comes next. Names that are too old are not found any more.
    pub(crate) fn set_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Takes the first bytes of a frame.
    pub(crate) fn note_frame(&mut self, origin: FrameOrigin, bytes: &[u8]) {
        let found = match origin.is_bare {
            true => udp_payload(&BarePacket(bytes), origin.direction),
            false => udp_payload(bytes, origin.direction),
        };
        let message = found.and_then(|(flow, payload)| {
            let message = bytes.get(payload.start..payload.end.min(bytes.len()))?;
            Some((flow, Message::parse(message)?))
        });
        if let Some((flow, message)) = message {
            self.note_message(flow, &message, origin.direction);
        }
    }

    fn note_message(&mut self, flow: Flow, message: &Message<'_>, direction: Direction) {
        let remote = SocketAddr::new(flow.remote.to_ip(), flow.remote_port);
        let local = SocketAddr::new(flow.local.to_ip(), flow.local_port);
        let asked = (remote, local, message.question.clone());
        match (direction, message.is_answer) {
            (Direction::Out, false) => self.asked.insert(asked, self.now, MAX_QUERIES),
            (Direction::In, true) => {
                let since = self.asked.remove(&asked);
                if since.is_some_and(|since| self.now.duration_since(since) <= MAX_WAIT) {
                    self.note_answer(message);
                }
            }
            _ => {}
        }
    }

    fn note_answer(&mut self, message: &Message<'_>) {
        for said in message.said() {
            let (address, name, by) = match said {
                Said::Address(ip) => (ip, message.name().to_owned(), NamedBy::Address),
                Said::Pointer(ip, name) => (ip, name, NamedBy::Pointer),
            };
            self.learn(address, name, by);
        }
    }

    /// Takes a name that an answer says, unless a better one is known.
    pub(crate) fn learn(&mut self, address: IpAddr, name: String, by: NamedBy) {
        let address = address.to_canonical();
        let known = self.known.get(&address);
        let is_better = |known: &Known| {
            known.by == NamedBy::Address && by == NamedBy::Pointer && self.is_fresh(known)
        };
        if !known.is_some_and(is_better) && !name.is_empty() {
            let known = Known {
                name,
                by,
                at: self.now,
            };
            self.known.insert(address, known, MAX_NAMES);
        }
    }

    /// The name of an address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<(&str, NamedBy)> {
        let known = self.known.get(&address.to_canonical())?;
        self.is_fresh(known)
            .then_some((known.name.as_str(), known.by))
    }

    fn is_fresh(&self, known: &Known) -> bool {
        self.now.duration_since(known.at) <= MAX_AGE
    }

    /// How many addresses have one.
    pub(crate) fn len(&self) -> usize {
        self.known.values.len()
    }
}

/// Values in the order in which they came.
#[derive(Debug)]
struct Aged<K, V> {
    /// Each with the number of its latest place in `order`.
    values: HashMap<K, (u64, V)>,
    order: VecDeque<(u64, K)>,
    next: u64,
}

impl<K, V> Default for Aged<K, V> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
        }
    }
}

impl<K: Clone + Eq + std::hash::Hash, V> Aged<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// Adds a value as the youngest. The oldest goes where there are more than `most`.
    fn insert(&mut self, key: K, value: V, most: usize) {
        self.next += 1;
        self.order.push_back((self.next, key.clone()));
        self.values.insert(key, (self.next, value));
        if self.order.len() > 2 * most {
            // Half of them at least are places that a value has left.
            let values = &self.values;
            let is_latest = |&(number, ref key): &(u64, K)| {
                values.get(key).is_some_and(|&(place, _)| place == number)
            };
            self.order.retain(is_latest);
        }
        while self.values.len() > most {
            let Some((number, oldest)) = self.order.pop_front() else {
                break;
            };
            let place = self.values.get(&oldest).map(|(place, _)| *place);
            if place == Some(number) {
                self.values.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.values.remove(key).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests;
