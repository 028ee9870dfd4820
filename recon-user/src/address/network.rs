//! Networks, as settings name them.
//!
//! In: text such as `192.0.2.0/24`. Out: [`Network`], which says whether it contains an address.
//! The decisions held here: an address without a prefix length is a network of one. Bits set after
//! the prefix are an error, not noise. An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) is
//! IPv4.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Serialize, Serializer};

/// The prefix length of `::ffff:0:0`, which IPv4-mapped addresses share.
const MAPPED_LENGTH: u8 = 96;

/// Addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// The number of bits that its addresses share.
    pub(super) fn prefix_length(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Its first and its last address.
    pub(super) fn ends(&self) -> (IpAddr, IpAddr) {
        (self.0.network(), self.0.broadcast())
    }

    /// Whether `address` is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// The error says what is wrong, and what to write.
impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            format!("`{text}` is not a network: use an address and a prefix length, as in 192.0.2.0/24 or 2001:db8::/32")
        })?;
        let single = IpNet::from(address);
        let network = match length {
            // `parse` accepts a sign.
            Some(digits) if digits.starts_with('+') => None,
            Some(digits) => digits
                .parse()
                .ok()
                .and_then(|length| IpNet::new(address, length).ok()),
            None => Some(single),
        };
        let network = network.map(unmapped).ok_or_else(|| {
            let longest = single.max_prefix_len();
            format!(
                "`{text}` is not a network: use a prefix length from 0 to {longest} after the `/`"
            )
        })?;
        match network.trunc() {
            trunc if trunc == network => Ok(Self(network)),
            trunc => Err(format!(
                "`{text}` has bits set after its prefix: use {trunc} or a longer prefix"
            )),
        }
    }
}

/// The IPv4 network that an IPv4-mapped one stands for.
fn unmapped(network: IpNet) -> IpNet {
    let IpAddr::V4(address) = network.addr().to_canonical() else {
        return network;
    };
    let length = network.prefix_len().checked_sub(MAPPED_LENGTH);
    let mapped = length.and_then(|length| IpNet::new(address.into(), length).ok());
    mapped
        .filter(|_| network.addr().is_ipv6())
        .unwrap_or(network)
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The block of a range such as `10.0.0.0/8`, whose host bits are ignored, or of one address.
pub(crate) fn ipv4_range(text: &str) -> Option<Ipv4Net> {
    match text.contains('/') {
        true => text.parse().ok().map(|network: Ipv4Net| network.trunc()),
        false => text.parse().ok().map(|address: Ipv4Addr| address.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        for (network, address, expected) in [
            ("192.0.2.0/24", "192.0.2.0", true),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("192.0.2.0/24", "2001:db8::1", false),
            ("::ffff:192.0.2.0/120", "192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "192.0.3.7", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("::/0", "ffff::", true),
            ("::1", "::1", true),
        ] {
            let network: Network = network.parse().expect("a network");
            let address = address.parse().expect("an address");
            assert_eq!(network.contains(address), expected, "{network} {address}");
            let again: Network = network.to_string().parse().expect("a network");
            assert_eq!(again, network);
        }
    }

    #[test]
    fn other_texts_are_refused_with_a_hint() {
        const ADDRESS: &str = "is not a network: use an address and a prefix length, as in 192.0.2.0/24 or 2001:db8::/32";
        for (text, expected) in [
            ("", ADDRESS),
            ("192.0.2/24", ADDRESS),
            ("office", ADDRESS),
            (
                "192.0.2.0/33",
                "is not a network: use a prefix length from 0 to 32 after the `/`",
            ),
            (
                "192.0.2.0/",
                "is not a network: use a prefix length from 0 to 32 after the `/`",
            ),
            (
                "2001:db8::/+32",
                "is not a network: use a prefix length from 0 to 128 after the `/`",
            ),
            (
                "192.0.2.1/24",
                "has bits set after its prefix: use 192.0.2.0/24 or a longer prefix",
            ),
            (
                "2001:db8::1/0",
                "has bits set after its prefix: use ::/0 or a longer prefix",
            ),
        ] {
            let error = text.parse::<Network>().expect_err(text);
            assert_eq!(error.to_string(), format!("`{text}` {expected}"));
        }
    }
}
