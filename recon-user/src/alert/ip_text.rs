//! The text of an address, which stands in a line several times.
//!
//! In: an address. Out: its text, written once.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;

use serde::{Serialize, Serializer};

/// The longest: IPv6 with an IPv4 address at its end.
const LONGEST: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();

/// An address as RFC 5952 has it.
#[derive(Clone, Copy)]
pub(super) struct IpText {
    bytes: [u8; LONGEST],
    length: usize,
}

impl IpText {
    pub(super) fn of(address: IpAddr) -> Self {
        let mut text = Self {
            bytes: [0; LONGEST],
            length: 0,
        };
        match address {
            IpAddr::V4(address) => {
                for (place, octet) in address.octets().into_iter().enumerate() {
                    if place > 0 {
                        text.push(b'.');
                    }
                    text.push_octet(octet);
                }
            }
            IpAddr::V6(address) => {
                // There is room for any address.
                let _ = write!(text, "{address}");
            }
        }
        text
    }

    fn push(&mut self, byte: u8) {
        if let Some(to) = self.bytes.get_mut(self.length) {
            *to = byte;
            self.length += 1;
        }
    }

    /// The standard library takes several times as long for each.
    fn push_octet(&mut self, octet: u8) {
        if octet >= 100 {
            self.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            self.push(b'0' + octet / 10 % 10);
        }
        self.push(b'0' + octet % 10);
    }

    fn as_str(&self) -> &str {
        // It is ASCII throughout.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for IpText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

impl Display for IpText {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

impl Serialize for IpText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
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
}
