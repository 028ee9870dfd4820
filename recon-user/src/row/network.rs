//! The network of a remote. One party may control all of its addresses.
//!
//! In: an address. Out: the first address of its network, or the network as text.
//! The decision held here: a network is a /24 for IPv4, the smallest block that is routed between
//! providers (RFC 7454, 6.1.3), and a /64 for IPv6, which is one link (RFC 4291, 2.5.1). A host on
//! that link may use all of its addresses.

use recon_common::Address;

const V4_LENGTH: u32 = 24;
const V6_LENGTH: u32 = 64;
/// The network bits of an IPv4 address, in network byte order.
const V4_MASK: u32 = (u32::MAX << (u32::BITS - V4_LENGTH)).to_be();

/// The first address of the network of `address`.
#[must_use]
pub fn first(address: Address) -> Address {
    match address.to_v4() {
        Some(word) => Address::from_v4_word(word & V4_MASK),
        None => {
            let [a, b, ..] = address.words();
            Address::from_words([a, b, 0, 0])
        }
    }
}

/// The network of `address`, such as `198.51.100.0/24`.
#[must_use]
pub fn text(address: Address) -> String {
    let length = match address.to_v4() {
        Some(_) => V4_LENGTH,
        None => V6_LENGTH,
    };
    format!("{}/{length}", first(address).to_ip())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let ip: std::net::IpAddr = address.parse().expect("an address");
            let address = Address::from(ip);
            assert_eq!(text(address), network, "{ip}");
            assert_eq!(first(first(address)), first(address), "{ip}");
        }
    }
}
