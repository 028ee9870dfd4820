//! Ends of connections from before the capture, which look like probes.
//!
//! In: FIN+ACKs on flows of which nothing is known. Out: those that count.
//! The decisions held here:
//! - The agent asks the kernel's sockets whether a FIN+ACK is of a connection. A capture shows it
//!   by the answer: a host acknowledges the FIN of a connection that it has, and resets or ignores
//!   one of none. So a FIN+ACK waits a second for the answer, by the capture's clock.
//! - Bounded: where too many wait, the oldest counts at once, as it would without an answer.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use recon_common::{Flow, Key};

use super::connections::{Connections, SocketPlace};

/// How long an answer is waited for: a round trip takes less.
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_secs(1);
/// FIN+ACKs that wait.
const MOST_WAITING: usize = 1 << 12;

/// What may be the end of an old connection.
#[derive(Debug, Default)]
pub(super) struct OldEnds {
    waiting: VecDeque<WaitingEnd>,
}

/// A FIN+ACK that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct WaitingEnd {
    /// The socket that would have its connection.
    place: SocketPlace,
    /// What counts if there is none.
    key: Key,
    since: Timestamp,
}

/// What a FIN+ACK has turned out to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum ResolvedEnd {
    /// A probe: its host has not acknowledged it. The key counts.
    Probe(Key),
    /// The end of a connection from before the capture.
    OldConnection,
}

impl OldEnds {
    /// Has a FIN+ACK wait. Returns another one that counts now, for want of room.
    pub(super) fn wait(&mut self, flow: &Flow, key: Key, now: Timestamp) -> Option<Key> {
        let oldest = match self.waiting.len() < MOST_WAITING {
            true => None,
            false => self.waiting.pop_front(),
        };
        self.waiting.push_back(WaitingEnd {
            place: flow.into(),
            key,
            since: now,
        });
        oldest.map(|end| end.key)
    }

    /// Resolves the next FIN+ACK that has waited long enough at that time, if one has.
    pub(super) fn resolve_next(
        &mut self,
        connections: &Connections,
        now: Timestamp,
    ) -> Option<ResolvedEnd> {
        let is_due = |end: &mut WaitingEnd| now.duration_since(end.since) >= ANSWERED_WITHIN;
        let end = self.waiting.pop_front_if(is_due)?;
        Some(match connections.is_connected(end.place) {
            Some(true) => ResolvedEnd::OldConnection,
            _ => ResolvedEnd::Probe(end.key),
        })
    }
}

#[cfg(test)]
mod tests;
