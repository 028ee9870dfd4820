//! Tests of IPv4 addresses.
//!
//! In: texts. Out: [`Block`]s of addresses.

use std::net::{IpAddr, Ipv4Addr};

const BITS: u32 = 32;
const OCTET_BITS: u32 = 8;
const OCTETS: usize = 4;

/// The blocks of RFC 1918.
pub(super) const PRIVATE: [Block; 3] = [
    Block::new([10, 0, 0, 0], 8),
    Block::new([172, 16, 0, 0], 12),
    Block::new([192, 168, 0, 0], 16),
];

/// IPv4 addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    first: u32,
    mask: u32,
}

impl Block {
    const fn new(octets: [u8; OCTETS], prefix: u32) -> Self {
        let mask = match u32::MAX.checked_shl(BITS - prefix) {
            Some(mask) => mask,
            // Of no bits at all.
            None => 0,
        };
        Self {
            first: u32::from_be_bytes(octets) & mask,
            mask,
        }
    }

    /// A range such as `10.0.0.0/8`, or one address.
    pub(super) fn of_range(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, prefix.parse().ok()?),
            None => (text, BITS),
        };
        let address: Ipv4Addr = address.parse().ok()?;
        (prefix <= BITS).then(|| Self::new(address.octets(), prefix))
    }

    /// The addresses whose text begins so, where that is one to three octets, each with its point.
    pub(super) fn of_octets(text: &str) -> Option<Self> {
        let mut octets = [0; OCTETS];
        let mut count = 0;
        for part in text.strip_suffix('.')?.split('.') {
            let octet = octets[..OCTETS - 1].get_mut(count)?;
            *octet = part.parse().ok()?;
            // As an address is written: neither `+1` nor `01`.
            if octet.to_string() != part {
                return None;
            }
            count += 1;
        }
        Some(Self::new(octets, OCTET_BITS * count as u32))
    }

    /// Whether it is in there, which no IPv6 address is.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => u32::from(address) & self.mask == self.first,
            IpAddr::V6(_) => false,
        }
    }
}

/// `ipv4_is_in_range`: false of what is no address or no range.
pub(super) fn is_in_range(address: &str, range: &str) -> bool {
    let block = Block::of_range(range);
    let address = address.parse().ok().map(IpAddr::V4);
    block
        .zip(address)
        .is_some_and(|(block, address)| block.contains(address))
}

/// `ipv4_is_private`: false of what is no address.
pub(super) fn is_private(address: &str) -> bool {
    let address: Option<Ipv4Addr> = address.parse().ok();
    address.is_some_and(|address| PRIVATE.iter().any(|block| block.contains(address.into())))
}
