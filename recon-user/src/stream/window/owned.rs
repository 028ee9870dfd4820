//! The number of distinct ports in a window, of which a source's own can be taken out again.
//!
//! In: ports with their sources, one pane at a time; sources that no longer count. Out: how many
//! distinct ports the others have hit.
//! The decisions held here:
//! - Only who knows the sources of a port can take one source out. Dropping all ports of its
//!   network would let anybody who forges one neighbour hide the others.
//! - A port remembers its first [`OWNERS`] sources by 16 bits of a secret hash. One of more sources
//!   stays, whoever is taken out: to count it too long is less bad than to lose a scan.

use hashbrown::HashMap;
use recon_common::Address;
use serde::{Deserialize, Serialize};

use super::{Distinct, Pane, allocated};
use crate::seed::hash_secrets;
use crate::stream::Secrets;

/// How many sources of a port are remembered.
const OWNERS: usize = 3;

/// A source, by a part of its hash. 0 is none.
type Owner = u16;

/// The sources of a port.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Owners {
    first: [Owner; OWNERS],
    /// Whether there are more.
    has_more: bool,
}

/// The distinct ports in a window, with their sources.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OwnedPorts {
    ports: Distinct<u16>,
    owners: HashMap<u16, Owners, Secrets>,
}

impl Owners {
    fn add(&mut self, owner: Owner) {
        if self.first.contains(&owner) {
            return;
        }
        match self.first.iter_mut().find(|place| **place == 0) {
            Some(place) => *place = owner,
            None => self.has_more = true,
        }
    }

    /// Takes a source out. Returns whether the port has none left.
    fn withdraw(&mut self, owner: Owner) -> bool {
        let Some(place) = self.first.iter_mut().find(|place| **place == owner) else {
            return false;
        };
        *place = 0;
        !self.has_more && self.first == [0; OWNERS]
    }
}

fn owner_of(source: Address) -> Owner {
    (source.hash(hash_secrets()) as Owner).max(1)
}

impl OwnedPorts {
    /// Records a port of a source, as [`Distinct::add`] does.
    pub(crate) fn add(
        &mut self,
        now: Pane,
        port: u16,
        source: Address,
        limit: usize,
        may_grow: bool,
    ) -> bool {
        self.ports.expire(now);
        let before = self.ports.total();
        if before == 0 {
            self.owners = HashMap::default();
        }
        let is_held = self.ports.add(now, port, limit, may_grow);
        let is_new = self.ports.total() > before;
        let is_full = self.owners.len() == self.owners.capacity();
        match self.owners.get_mut(&port) {
            Some(owners) => {
                // The sources of a port that had left the window have left with it.
                if is_new {
                    *owners = Owners::default();
                }
                owners.add(owner_of(source));
            }
            None if is_new && (may_grow || !is_full) => {
                let mut owners = Owners::default();
                owners.add(owner_of(source));
                self.owners.insert(port, owners);
            }
            None => {}
        }
        is_held
    }

    /// Takes out the ports that only this source has hit.
    pub(crate) fn withdraw(&mut self, source: Address) {
        let (owner, ports) = (owner_of(source), &mut self.ports);
        self.owners.retain(|port, owners| {
            let is_over = owners.withdraw(owner);
            if is_over {
                ports.remove(port);
            }
            !is_over
        });
    }

    /// Drops the ports that have left the window at `now`.
    pub(crate) fn expire(&mut self, now: Pane) {
        self.ports.expire(now);
        if self.ports.total() == 0 {
            self.owners = HashMap::default();
        }
    }

    /// The number of ports in the window.
    pub(crate) fn total(&self) -> u64 {
        self.ports.total()
    }

    /// The bytes of heap that it takes.
    pub(crate) fn heap(&self) -> usize {
        self.ports.heap() + allocated(self.owners.allocation_size())
    }

    /// The bytes that the next port may take, while a table is copied to one of twice its size.
    pub(crate) fn growth(&self) -> usize {
        let is_full = self.owners.len() == self.owners.capacity();
        let owners = if is_full {
            2 * self.owners.allocation_size()
        } else {
            0
        };
        self.ports.growth() + owners
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pane;
    use super::*;

    const fn source(number: u8) -> Address {
        Address::v4([198, 51, 100, number])
    }

    #[test]
    fn a_source_takes_only_its_own_ports_along() {
        // (hits by source, who is taken out, ports that are left)
        for (hits, withdrawn, left) in [
            (&[(1, 0..18)][..], &[2][..], 18),
            (&[(1, 0..18)], &[1], 0),
            (&[(1, 0..18), (2, 100..121)], &[2], 18),
            (&[(1, 0..18), (2, 0..21)], &[2], 18),
            (&[(1, 0..18), (2, 0..21)], &[2, 1], 0),
            (&[(1, 0..5), (2, 0..5), (3, 0..5)], &[1, 2, 3], 0),
            // Of more sources than it remembers, a port stays.
            (&[(1, 0..5), (2, 0..5), (3, 0..5), (4, 0..5)], &[1, 2, 3], 5),
            (&[(1, 0..1000), (2, 990..1010)], &[1], 20),
        ] {
            let mut ports = OwnedPorts::default();
            for (number, range) in hits {
                for port in range.clone() {
                    assert!(ports.add(pane(0), port, source(*number), usize::MAX, true));
                }
            }
            for &number in withdrawn {
                ports.withdraw(source(number));
            }
            assert_eq!(ports.total(), left, "{hits:?} without {withdrawn:?}");
        }
    }

    #[test]
    fn the_sources_of_a_port_leave_the_window_with_it() {
        let mut ports = OwnedPorts::default();
        // A second port keeps the window from being empty.
        for (second, port, number) in [(0, 1, 1), (1800, 2, 1), (3700, 1, 2)] {
            assert!(ports.add(pane(second), port, source(number), 10, true));
        }
        assert_eq!(ports.total(), 2);
        ports.withdraw(source(2));
        assert_eq!(ports.total(), 1, "the first source's hit is too old");
        ports.expire(pane(9000));
        assert_eq!((ports.total(), ports.heap()), (0, 0));
    }

    #[test]
    fn without_memory_a_port_stays() {
        let mut ports = OwnedPorts::default();
        for port in 0..100 {
            ports.add(pane(0), port, source(1), usize::MAX, false);
        }
        let held = ports.total();
        ports.withdraw(source(1));
        assert!(ports.total() <= held);
    }
}
