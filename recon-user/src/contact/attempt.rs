//! What is known of one attempt of a remote, until its outcome is.
//!
//! In: the counts of what the packets of an attempt show. Out: its [`Outcome`], and what it adds to
//! the evidence.
//! The decision held here: a handshake settles an attempt whatever else came. What this host
//! answered counts as half-open only once no handshake is to be expected any more.

use super::Clock;
use super::evidence::{Target, TargetResult};
use super::outcomes::Outcome;
use crate::row::{Interval, ToolSet};

/// What is known of an attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The poll that brought its first event.
    pub(super) since: Interval,
    /// The number of that poll.
    poll: u32,
    pub(super) hits: u32,
    pub(super) accepted: u32,
    pub(super) refused: u32,
    /// Whether this host answered: a SYN-ACK, or a datagram.
    pub(super) is_answered: bool,
    /// The tools whose fingerprints its packets carry.
    pub(super) tools: ToolSet,
    /// Whether it is the datagram of a traceroute, whose refusal is no failure.
    pub(super) is_traced: bool,
    /// Connections that were accepted, and those of them that have ended.
    pub(super) opened: u32,
    pub(super) ended: u32,
    /// Ended connections on which the remote has sent data, and others.
    pub(super) used: u32,
    pub(super) unused: u32,
}

impl Attempt {
    /// An attempt whose first event came with that poll.
    pub(super) fn begin(since: Interval, poll: u32) -> Self {
        Self {
            since,
            poll,
            hits: 0,
            accepted: 0,
            refused: 0,
            is_answered: false,
            tools: ToolSet::default(),
            is_traced: false,
            opened: 0,
            ended: 0,
            used: 0,
            unused: 0,
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
            Some(Outcome::Ignored)
        }
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
            now: clock.second,
            oldest: clock.oldest,
        }
    }

    /// What comes after the outcome is another attempt.
    pub(super) fn forget_outcome(&mut self) {
        self.hits = 0;
        self.accepted = 0;
        self.refused = 0;
        self.is_answered = false;
        self.tools = ToolSet::default();
    }
}
