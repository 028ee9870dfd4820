//! Whom memory is taken from when it is short.
//!
//! In: the sources of groups and logs. Out: which of them hold more than their share.
//! The decisions held here:
//! - Whoever can forge addresses can fill any memory. So a source that has completed a handshake
//!   is not evicted for one that has not, and no state of a source that anybody can forge is safe
//!   for good: a newcomer always gets room.
//! - Whoever grows takes room of small sources only: few sources can have all ports.
//! - Each state keeps a share of the memory: a flood of one state evicts that state. Sources of a
//!   few packets do not evict suspicious ones, nor the other way round.
//! - One owner may have all addresses of an IPv6 network, each with a handshake. So the sources of
//!   a network that holds more than its quota go first, whatever they have shown.
//! - Among equals chance decides, under secrets of this process: nobody can choose his victim.

use std::hash::{BuildHasher, Hasher};

use jiff::Timestamp;
use recon_common::Address;

use super::{Secrets, Tag};
use crate::address::{enclosing_networks, write_address};

/// Each state of groups or logs keeps one part of so many.
pub(super) const KEPT_SHARE: usize = 8;
/// A network may hold one part of so many.
const NETWORK_SHARE: usize = 16;
/// What a network may always hold.
const LEAST_QUOTA: usize = 16;
/// Counters of a row, a power of two: many more than networks can be over their quota.
const COUNTERS: usize = 1 << 12;
const ROWS: usize = 2;

/// What is known of groups and sources outside of the stream.
pub(crate) trait Watcher {
    /// Whether a tagged group has been reported within the window, which begins at `since`.
    fn is_reported(&self, tag: Tag, since: Timestamp) -> bool;

    /// Whether a remote has completed a handshake with this host.
    fn is_proven(&self, remote: Address) -> bool;

    /// Whether somebody in the network of a remote has.
    fn is_network_proven(&self, remote: Address) -> bool;
}

/// Who needs room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// A source of which nothing is kept yet.
    Newcomer,
    /// A group that has counted rows.
    Growth,
}

/// How much each network holds: exact, or too much where networks share counters.
#[derive(Debug)]
pub(super) struct NetworkLoads {
    /// Two rows of counters (a count-min sketch): a network's load is the lower of two.
    counters: Box<[[u32; COUNTERS]; ROWS]>,
}

impl Default for NetworkLoads {
    fn default() -> Self {
        Self {
            counters: Box::new([[0; COUNTERS]; ROWS]),
        }
    }
}

impl NetworkLoads {
    /// Adds a holder to the networks of its source.
    pub(super) fn add(&mut self, remote: Address, secrets: &Secrets) {
        self.update(remote, secrets, |counter| {
            *counter = counter.saturating_add(1)
        });
    }

    /// Removes a holder that was added.
    pub(super) fn remove(&mut self, remote: Address, secrets: &Secrets) {
        self.update(remote, secrets, |counter| {
            *counter = counter.saturating_sub(1)
        });
    }

    fn update(&mut self, remote: Address, secrets: &Secrets, change: impl Fn(&mut u32)) {
        for network in enclosing_networks(remote) {
            let positions = positions(network, secrets);
            for (row, position) in self.counters.iter_mut().zip(positions) {
                change(&mut row[position]);
            }
        }
    }

    /// Whether a network of a source holds more than its quota, of so many holders.
    pub(super) fn is_over_quota(&self, remote: Address, holders: usize, secrets: &Secrets) -> bool {
        let quota = (holders / NETWORK_SHARE).max(LEAST_QUOTA);
        enclosing_networks(remote).any(|network| {
            let mut rows = self.counters.iter().zip(positions(network, secrets));
            rows.all(|(row, position)| row[position] as usize > quota)
        })
    }
}

/// The counters of a network.
fn positions(network: (Address, u8), secrets: &Secrets) -> [usize; ROWS] {
    let (first, length) = network;
    let mut hasher = secrets.build_hasher();
    write_address(first, &mut hasher);
    hasher.write_u8(length);
    let hash = hasher.finish();
    [hash, hash >> u32::BITS].map(|half| half as usize % COUNTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_over_its_quota_from_the_next_holder_on() {
        let v4: fn(u8) -> Address = |host| Address::v4([198, 51, 100, host]);
        let networks: fn(u8) -> Address = |subnet| Address::v4([198, 51, subnet, 1]);
        // Each is alone in a /64 and a /56, and all are in one /48.
        let site: fn(u8) -> Address = |number| {
            let subnet = [0x20, 0x01, 0x0d, 0xb8, 0, 1, number, 1];
            let mut octets = [number; 16];
            octets[..8].copy_from_slice(&subnet);
            Address::v6(octets)
        };
        let secrets = Secrets::default();
        // (addresses, how many of them hold something, holders in all, whether that is too much)
        for (address, added, holders, expected) in [
            (v4, 100, 1_600, false),
            (v4, 101, 1_600, true),
            (v4, 101, 3_200, false),
            (v4, 16, 1, false),
            (v4, 17, 1, true),
            (site, 100, 1_600, false),
            (site, 101, 1_600, true),
            (networks, 200, 1_600, false),
        ] {
            let mut loads = NetworkLoads::default();
            (0..added).for_each(|number| loads.add(address(number), &secrets));
            let is_over = loads.is_over_quota(address(0), holders, &secrets);
            assert_eq!(is_over, expected, "{added} of {holders}");
            (0..added).for_each(|number| loads.remove(address(number), &secrets));
            assert!(loads.counters.iter().flatten().all(|&counter| counter == 0));
        }
    }
}
