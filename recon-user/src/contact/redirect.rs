//! Ports that this host redirects to others of its own.
//!
//! In: connections that a socket has accepted, handshakes that seem to be left open. Out: which of
//! these were completed on another port.
//! The decision held here: a redirect (`nft ... redirect`, a transparent proxy) changes the port
//! after the hooks have seen the SYN, and the socket that accepts knows only its own. So a
//! connection that no SYN has asked for on its port pays for a handshake of the same remote that
//! seems to be left open a moment later. Besides redirects, only a handshake that is completed late
//! makes such a connection, so that nobody gets more excused than twice what he completes.

use std::collections::HashMap;

use jiff::Timestamp;
use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::Clock;
use crate::seed::Secrets;

/// Remotes that are kept: each has completed a handshake within seconds.
const MAX_REMOTES: usize = 1 << 16;

/// Connections that no SYN has asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Redirects {
    /// By remote, how many more than it has paid for, and when the last one was settled.
    unasked: HashMap<Address, (i64, Timestamp), Secrets>,
}

impl Redirects {
    /// Notes connections of a remote that no SYN has asked for.
    pub(super) fn note(&mut self, remote: Address, count: u32, clock: Clock) {
        if count == 0 || self.unasked.len() >= MAX_REMOTES && !self.unasked.contains_key(&remote) {
            return;
        }
        let (unasked, at) = self.unasked.entry(remote).or_default();
        *unasked += i64::from(count);
        *at = clock.now;
    }

    /// Whether so many handshakes of a remote, which seem to be left open, were completed on
    /// another port: at least half of them, since the last SYNs may still be without their
    /// connections. All are paid for then.
    pub(super) fn pay(&mut self, remote: Address, count: u32) -> bool {
        let Some((unasked, _)) = self.unasked.get_mut(&remote) else {
            return false;
        };
        let count = i64::from(count);
        let is_paid = *unasked * 2 >= count;
        if is_paid {
            *unasked -= count;
        }
        is_paid
    }

    /// Forgets what is too old to have to do with a handshake that is open now.
    pub(super) fn expire(&mut self, clock: Clock) {
        self.unasked
            .retain(|_, (unasked, at)| *unasked != 0 && !clock.has_stayed(*at));
    }
}
