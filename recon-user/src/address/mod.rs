//! What an address says by itself: its scope, and which others are its neighbours.
//!
//! In: an address. Out: its [`Scope`], and the first address or the text of its neighbours'
//! network.
//! The decisions held here:
//! - Private is what RFC 1918 says, which is what the source's string prefixes `10.`, `192.168.`
//!   and `172.16.` mean, and its IPv6 counterpart, unique local addresses (RFC 4193).
//! - Neighbours are a /24 of IPv4, the longest prefix that is routed between providers (RFC 7454,
//!   6.1.3), and a /64 of IPv6, which is one link (RFC 4291, 2.5.1): whoever has a host there may
//!   take all of its addresses.

mod ip_text;
mod labels;
mod network;
mod set;

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use recon_common::Address;

pub(crate) use ip_text::{IpText, endpoint_text};
pub(crate) use labels::Labels;
pub(crate) use network::Network;
pub(crate) use network::ipv4_range;
pub(crate) use set::NetworkSet;

/// The blocks of RFC 1918.
pub(crate) const RFC_1918: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The Internet.
    Public,
    /// The networks of one site.
    Private,
    /// This host.
    Loopback,
    /// One link.
    LinkLocal,
    /// Nothing: `0.0.0.0` and `::`.
    Unspecified,
}

impl Scope {
    /// All scopes.
    pub(crate) const ALL: [Self; 5] = [
        Self::Public,
        Self::Private,
        Self::Loopback,
        Self::LinkLocal,
        Self::Unspecified,
    ];

    /// The scope of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        let (is_private, is_link_local) = match address {
            IpAddr::V4(v4) => (v4.is_private(), v4.is_link_local()),
            IpAddr::V6(v6) => (v6.is_unique_local(), v6.is_unicast_link_local()),
        };
        match address {
            _ if address.is_loopback() => Self::Loopback,
            _ if address.is_unspecified() => Self::Unspecified,
            _ if is_private => Self::Private,
            _ if is_link_local => Self::LinkLocal,
            _ => Self::Public,
        }
    }

    /// The name, as the column `RemoteIPType` shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Public => "Public",
            Self::Private => "Private",
            Self::Loopback => "Loopback",
            Self::LinkLocal => "LinkLocal",
            Self::Unspecified => "Unspecified",
        }
    }
}

/// Whether most rules ignore `remote`: its scope is not public.
pub(crate) fn is_private(remote: IpAddr) -> bool {
    Scope::of(remote) != Scope::Public
}

const NEIGHBOURS_V4: u32 = 24;
const NEIGHBOURS_V6: u32 = 64;
const SITE_V6: u32 = 56;
const BLOCK_V6: u32 = 48;
/// The bits that IPv4 neighbours share, in network byte order.
const NEIGHBOURS_V4_MASK: u32 = (u32::MAX << (u32::BITS - NEIGHBOURS_V4)).to_be();

/// Feeds an address to a hash, in as few words as possible: a flood has a million a poll.
pub(crate) fn write_address(address: Address, state: &mut impl Hasher) {
    let [a, b, c, d] = address.words();
    state.write_u64(u64::from(a) << u32::BITS | u64::from(b));
    state.write_u64(u64::from(c) << u32::BITS | u64::from(d));
}

/// The first address of the network of `address` and its neighbours.
pub(crate) fn first_neighbour(address: Address) -> Address {
    match address.to_v4() {
        Some(word) => Address::from_v4_word(word & NEIGHBOURS_V4_MASK),
        None => {
            let [a, b, ..] = address.words();
            Address::from_words([a, b, 0, 0])
        }
    }
}

/// How far the network of a remote and its neighbours reaches.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum NetworkSize {
    /// A /24 of IPv4, a /64 of IPv6.
    Neighbours,
    /// A /56 of IPv6: what a provider delegates to a home.
    Site,
    /// A /48 of IPv6: what a provider delegates to a company, or a data centre to a customer.
    Block,
}

impl NetworkSize {
    /// The first address of the network of `address`. `None` for IPv4 networks beyond a /24: these
    /// belong to providers, whose customers have nothing to do with each other.
    #[inline]
    pub(crate) fn first(self, address: Address) -> Option<Address> {
        let length = match self {
            Self::Neighbours => return Some(first_neighbour(address)),
            Self::Site => SITE_V6,
            Self::Block => BLOCK_V6,
        };
        match address.to_v4() {
            Some(_) => None,
            None => Some(first_of(address, length)),
        }
    }

    /// The network with that first address as text, such as `2001:db8::/48`.
    pub(crate) fn text(self, first: Address) -> String {
        match self {
            Self::Neighbours => neighbour_network(first),
            Self::Site => format!("{}/{SITE_V6}", first.to_ip()),
            Self::Block => format!("{}/{BLOCK_V6}", first.to_ip()),
        }
    }
}

/// The first address of a network of IPv6 that has a /64 or more.
#[inline]
fn first_of(address: Address, length: u32) -> Address {
    let [a, b, ..] = address.words();
    let shared = (u32::MAX << (NEIGHBOURS_V6 - length)).to_be();
    Address::from_words([a, b & shared, 0, 0])
}

/// The networks of IPv6 that one owner has: a link, and what providers delegate to homes and sites
/// (RFC 6177).
const OWNED_V6: [u32; 3] = [NEIGHBOURS_V6, SITE_V6, BLOCK_V6];

/// The networks that `address` shares with others of one owner, each by its first address and its
/// prefix length: its neighbours', and for IPv6 wider ones too.
pub(crate) fn enclosing_networks(address: Address) -> impl Iterator<Item = (Address, u8)> {
    let lengths = match address.to_v4() {
        Some(_) => &[NEIGHBOURS_V4][..],
        None => &OWNED_V6,
    };
    let first = first_neighbour(address);
    lengths.iter().map(move |&length| {
        let network = match address.to_v4() {
            Some(_) => first,
            None => first_of(first, length),
        };
        (network, length as u8)
    })
}

/// The network of `address` and its neighbours as text, such as `198.51.100.0/24`.
pub(crate) fn neighbour_network(address: Address) -> String {
    let length = match address.to_v4() {
        Some(_) => NEIGHBOURS_V4,
        None => NEIGHBOURS_V6,
    };
    format!("{}/{length}", first_neighbour(address).to_ip())
}

/// Whether a text is what that size gives for some address.
pub(crate) fn is_network_of(size: NetworkSize, text: &str) -> bool {
    let first = text
        .split_once('/')
        .and_then(|(first, _)| first.parse().ok());
    let of_text = first.and_then(|first: IpAddr| size.first(first.into()));
    of_text.is_some_and(|first| size.text(first) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_their_edges() {
        for (address, expected) in [
            ("9.255.255.255", "Public"),
            ("10.0.0.0", "Private"),
            ("10.255.255.255", "Private"),
            ("11.0.0.0", "Public"),
            ("172.15.255.255", "Public"),
            ("172.16.0.0", "Private"),
            ("172.31.255.255", "Private"),
            ("172.32.0.0", "Public"),
            ("192.167.255.255", "Public"),
            ("192.168.0.1", "Private"),
            ("192.169.0.0", "Public"),
            ("127.0.0.1", "Loopback"),
            ("169.254.3.4", "LinkLocal"),
            ("0.0.0.0", "Unspecified"),
            ("198.51.100.1", "Public"),
            ("100.64.0.1", "Public"),
            ("::1", "Loopback"),
            ("::", "Unspecified"),
            ("fe80::1", "LinkLocal"),
            ("fec0::1", "Public"),
            ("fc00::1", "Private"),
            ("fdff::1", "Private"),
            ("fe00::1", "Public"),
            ("2001:db8::1", "Public"),
        ] {
            let ip: IpAddr = address.parse().expect("an address");
            assert_eq!(Scope::of(ip).name(), expected, "{address}");
            assert_eq!(is_private(ip), expected != "Public", "{address}");
            if let IpAddr::V4(v4) = ip {
                let is_in_block = RFC_1918.iter().any(|block| block.contains(&v4));
                assert_eq!(is_in_block, expected == "Private", "{address}");
            }
        }
    }

    #[test]
    fn one_owner_has_networks_of_several_lengths() {
        for (address, expected) in [
            ("198.51.100.7", &["198.51.100.0/24"][..]),
            (
                "2001:db8:1:2345::6",
                &[
                    "2001:db8:1:2345::/64",
                    "2001:db8:1:2300::/56",
                    "2001:db8:1::/48",
                ],
            ),
        ] {
            let ip: IpAddr = address.parse().expect("an address");
            let networks = enclosing_networks(Address::from(ip));
            let networks = networks.map(|(first, length)| format!("{}/{length}", first.to_ip()));
            assert_eq!(networks.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn networks_of_each_size_have_names() {
        use NetworkSize::{Block, Neighbours, Site};
        for (size, address, expected) in [
            (Neighbours, "198.51.100.7", Some("198.51.100.0/24")),
            (Site, "198.51.100.7", None),
            (Block, "198.51.100.7", None),
            (
                Neighbours,
                "2001:db8:1:2345::6",
                Some("2001:db8:1:2345::/64"),
            ),
            (Site, "2001:db8:1:2345::6", Some("2001:db8:1:2300::/56")),
            (Block, "2001:db8:1:2345::6", Some("2001:db8:1::/48")),
        ] {
            let ip: IpAddr = address.parse().expect("an address");
            let first = size.first(ip.into());
            let text = first.map(|first| size.text(first));
            assert_eq!(text.as_deref(), expected, "{size:?} of {address}");
            assert!(expected.is_none_or(|text| is_network_of(size, text)));
            assert!(!is_network_of(size, address));
        }
    }

    #[test]
    fn neighbours_share_a_network() {
        for (address, network) in [
            ("198.51.100.0", "198.51.100.0/24"),
            ("198.51.100.255", "198.51.100.0/24"),
            ("198.51.101.0", "198.51.101.0/24"),
            ("0.0.0.1", "0.0.0.0/24"),
            ("255.255.255.255", "255.255.255.0/24"),
            ("2001:db8::", "2001:db8::/64"),
            ("2001:db8::ffff:ffff:ffff:ffff", "2001:db8::/64"),
            ("2001:db8:0:1::", "2001:db8:0:1::/64"),
            ("::1", "::/64"),
        ] {
            let ip: IpAddr = address.parse().expect("an address");
            let address = Address::from(ip);
            assert_eq!(neighbour_network(address), network, "{ip}");
            let first = first_neighbour(address);
            assert_eq!(first_neighbour(first), first, "{ip}");
        }
    }
}
