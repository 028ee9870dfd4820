//! Networks, as settings name them.
//!
//! In: text such as `192.0.2.0/24`. Out: [`Network`], to be asked whether an address is of it.
//! The decision held here: an address without a length is a network of one, and bits set after the prefix are a mistake, not noise.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    /// The first address.
    first: IpAddr,
    /// How many bits all have in common.
    length: u32,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// It does not begin with an address.
    #[error(
        "`{0}` is no network: want an address and a prefix's length, as in 192.0.2.0/24 and 2001:db8::/32"
    )]
    Address(String),
    /// There is no such length.
    #[error("`{text}` is no network: want a prefix's length from 0 to {longest} after the `/`")]
    Length {
        /// All of it.
        text: String,
        /// The length of one address.
        longest: u32,
    },
    /// It is an address within a network.
    #[error("`{text}` has bits set after its prefix: want {network} or a longer prefix")]
    HostBits {
        /// All of it.
        text: String,
        /// The network that the address is of.
        network: Network,
    },
}

impl Network {
    /// Whether `address` is of it. An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) is taken for what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::around(address.to_canonical(), self.length) == Some(*self)
    }

    /// The network of that prefix's length that `address` is of. None where an address is shorter than that.
    fn around(address: IpAddr, length: u32) -> Option<Self> {
        let first = match address {
            IpAddr::V4(v4) => {
                let host = u32::BITS.checked_sub(length)?;
                let mask = u32::MAX.checked_shl(host).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let host = u128::BITS.checked_sub(length)?;
                let mask = u128::MAX.checked_shl(host).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        };
        Some(Self { first, length })
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| NetworkError::Address(text.to_owned()))?;
        let longest = if address.is_ipv4() {
            u32::BITS
        } else {
            u128::BITS
        };
        let wrong = || NetworkError::Length {
            text: text.to_owned(),
            longest,
        };
        let length = match length {
            // `parse` would take a sign too.
            Some(digits) if digits.starts_with('+') => return Err(wrong()),
            Some(digits) => digits.parse().map_err(|_| wrong())?,
            None => longest,
        };
        let network = Self::around(address, length).ok_or_else(wrong)?;
        if network.first != address {
            let text = text.to_owned();
            return Err(NetworkError::HostBits { text, network });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.length)
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
    fn what_is_no_network_says_what_is_wanted() {
        const ADDRESS: &str = "is no network: want an address and a prefix's length, as in 192.0.2.0/24 and 2001:db8::/32";
        for (text, expected) in [
            ("", ADDRESS),
            ("192.0.2/24", ADDRESS),
            ("office", ADDRESS),
            (
                "192.0.2.0/33",
                "is no network: want a prefix's length from 0 to 32 after the `/`",
            ),
            (
                "192.0.2.0/",
                "is no network: want a prefix's length from 0 to 32 after the `/`",
            ),
            (
                "2001:db8::/+32",
                "is no network: want a prefix's length from 0 to 128 after the `/`",
            ),
            (
                "192.0.2.1/24",
                "has bits set after its prefix: want 192.0.2.0/24 or a longer prefix",
            ),
            (
                "2001:db8::1/0",
                "has bits set after its prefix: want ::/0 or a longer prefix",
            ),
        ] {
            let error = text.parse::<Network>().expect_err(text);
            assert_eq!(error.to_string(), format!("`{text}` {expected}"));
        }
    }
}
