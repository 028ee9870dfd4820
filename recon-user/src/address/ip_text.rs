//! The text of an address, which stands in a line several times, and of one with a port, which is
//! the value of a column.
//!
//! In: an address. Out: its text, written once.
//! The decision held here: each row may need one, and the standard library's formatting takes as
//! long as the rest of the row.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;

use arrayvec::ArrayString;
use serde::{Serialize, Serializer};

/// The longest: IPv6 with an IPv4 address at its end.
const LONGEST: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();

/// An address as RFC 5952 has it.
#[derive(Clone, Copy)]
pub(crate) struct IpText(ArrayString<LONGEST>);

impl IpText {
    pub(crate) fn of(address: IpAddr) -> Self {
        let mut text = ArrayString::new();
        // There is room for any address.
        match address {
            // The standard library takes several times as long.
            IpAddr::V4(address) => {
                let mut dot = "";
                for octet in address.octets() {
                    let _ = text.try_push_str(dot);
                    let _ = text.try_push_str(itoa::Buffer::new().format(octet));
                    dot = ".";
                }
            }
            IpAddr::V6(address) => {
                let _ = write!(text, "{address}");
            }
        }
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for IpText {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl Serialize for IpText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// An address and a port, as [`std::net::SocketAddr`] has them.
pub(crate) fn endpoint_text(address: IpAddr, port: u16) -> String {
    /// `[`, `]`, `:`, and the port.
    const REST: usize = 3 + "65535".len();
    let ip = IpText::of(address);
    let mut text = String::with_capacity(ip.as_str().len() + REST);
    match address {
        IpAddr::V4(_) => text.push_str(ip.as_str()),
        IpAddr::V6(_) => {
            text.push('[');
            text.push_str(ip.as_str());
            text.push(']');
        }
    }
    text.push(':');
    text.push_str(itoa::Buffer::new().format(port));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_that_of_the_standard_library() {
        for text in [
            "0.0.0.0",
            "9.10.99.100",
            "255.255.255.255",
            "::",
            "2001:db8::1",
            "::ffff:198.51.100.7",
            "2001:db8:1111:2222:3333:4444:5555:6666",
        ] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(IpText::of(address).to_string(), text);
        }
        let octets = (0..=u8::MAX).map(|octet| IpAddr::from([octet, 1, octet, 20]));
        for address in octets {
            assert_eq!(IpText::of(address).to_string(), address.to_string());
        }
    }

    #[test]
    fn an_endpoint_is_that_of_the_standard_library() {
        for text in [
            "203.0.113.7",
            "0.0.0.0",
            "2001:db8::1",
            "::ffff:198.51.100.7",
        ] {
            let address: IpAddr = text.parse().expect("an address");
            for port in [0, 1, 9, 10, 80, 99, 100, 443, 1000, 9999, 10_000, u16::MAX] {
                let expected = std::net::SocketAddr::new(address, port).to_string();
                assert_eq!(endpoint_text(address, port), expected);
            }
        }
    }
}
