//! Numbers for the addresses of this host.
//!
//! In: addresses. Out: a number for each, so that a target takes eight bytes less than ten.
//! The decision held here: a host that forwards may see any address as a local one. Beyond the
//! bound all share one number, which makes fewer targets of more.

use std::collections::HashMap;

use recon_common::Address;
use serde::{Deserialize, Serialize};

use crate::seed::Secrets;

/// The number of all addresses beyond the bound.
const OTHER: u16 = u16::MAX;

/// The addresses that have numbers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Locals {
    numbers: HashMap<Address, u16, Secrets>,
    /// Most rows have the address of the row before.
    latest: Option<(Address, u16)>,
}

impl Locals {
    /// The number of an address, assigned if need be.
    pub(super) fn number(&mut self, local: Address) -> u16 {
        if let Some((latest, number)) = self.latest
            && latest == local
        {
            return number;
        }
        let next = u16::try_from(self.numbers.len()).unwrap_or(OTHER);
        let number = if next == OTHER {
            self.numbers.get(&local).copied().unwrap_or(OTHER)
        } else {
            *self.numbers.entry(local).or_insert(next)
        };
        self.latest = Some((local, number));
        number
    }

    /// The number of an address that has been seen.
    pub(super) fn find(&self, local: Address) -> Option<u16> {
        self.numbers.get(&local).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_beyond_the_bound_share_a_number() {
        let mut locals = Locals::default();
        let address = |number: u32| Address::v4(number.to_be_bytes());
        for number in 0..u32::from(OTHER) {
            assert_eq!(u32::from(locals.number(address(number))), number);
        }
        for number in [70_000, 80_000] {
            assert_eq!(locals.number(address(number)), OTHER);
        }
        assert_eq!(locals.number(address(7)), 7);
        assert_eq!(locals.find(address(70_000)), None);
    }
}
