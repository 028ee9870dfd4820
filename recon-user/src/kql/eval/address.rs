//! Tests of IPv4 addresses.
//!
//! In: texts. Out: [`AddressBlock`]s of addresses.
//! The decision held here: a block is two numbers, so that a test of an address is one comparison.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

const OCTET_BITS: u8 = 8;
const OCTETS: usize = 4;

/// IPv4 addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddressBlock {
    first: u32,
    mask: u32,
}

impl From<Ipv4Net> for AddressBlock {
    fn from(network: Ipv4Net) -> Self {
        Self {
            first: network.network().to_bits(),
            mask: network.netmask().to_bits(),
        }
    }
}

impl AddressBlock {
    /// The addresses whose text starts with one to three octets, each followed by a dot.
    pub(super) fn of_octets(text: &str) -> Option<Self> {
        let mut octets = [0; OCTETS];
        let mut count = 0;
        for part in text.strip_suffix('.')?.split('.') {
            let octet = octets[..OCTETS - 1].get_mut(count)?;
            *octet = part.parse().ok()?;
            // Neither `+1` nor `01` is how an address is written.
            if octet.to_string() != part {
                return None;
            }
            count += 1;
        }
        let network = Ipv4Net::new(octets.into(), OCTET_BITS * count as u8).ok()?;
        Some(network.into())
    }

    pub(super) fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.first
    }
}
