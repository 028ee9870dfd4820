//! Which remotes are private, and so not judged by most rules.
//!
//! In: an address. Out: yes or no.
//! The decision held here: the source's string prefixes `10.`, `192.168.` and `172.16.` mean the blocks of RFC 1918; loopback,
//! link-local and the unspecified address go with them, and so do the IPv6 counterparts.

use std::net::IpAddr;

/// Whether `remote` is of a private network, this host's own, or of the local link.
#[must_use]
pub fn is_private(remote: IpAddr) -> bool {
    match remote {
        IpAddr::V4(v4) => {
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_unique_local()
                || v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_their_edges() {
        for (address, expected) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("172.15.255.255", false),
            ("172.16.0.0", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("192.167.255.255", false),
            ("192.168.0.1", true),
            ("192.169.0.0", false),
            ("127.0.0.1", true),
            ("169.254.3.4", true),
            ("0.0.0.0", true),
            ("198.51.100.1", false),
            ("100.64.0.1", false),
            ("::1", true),
            ("::", true),
            ("fe80::1", true),
            ("fec0::1", false),
            ("fc00::1", true),
            ("fdff::1", true),
            ("fe00::1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(
                is_private(address.parse().expect("an address")),
                expected,
                "{address}"
            );
        }
    }
}
