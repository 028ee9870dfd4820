//! Crafted frames from the attacker to the host, with correct checksums.
//!
//! In: addresses and content. Out: bytes for [`crate::Sender`]. The same functions serve both
//! address families.

use std::net::IpAddr;

use anyhow::{Result, bail};
use etherparse::{IpHeaders, Ipv4Header, Ipv6Header, PacketBuilder, PacketBuilderStep, TcpHeader};

use crate::lab::{ATTACKER_MAC, HOST_MAC};

/// The initial value of most stacks.
const TIME_TO_LIVE: u8 = 64;
const WINDOW: u16 = 1024;
/// Bytes of a frame's two hardware addresses.
const ADDRESSES: usize = 12;
/// The source port of clients.
pub const CLIENT_PORT: u16 = 40_000;

/// The two ends of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// The source address, which may be forged.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    hops: u8,
}

impl Path {
    /// From `source` to `destination`.
    #[must_use]
    pub fn new(source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> Self {
        Self {
            source: source.into(),
            destination: destination.into(),
            hops: TIME_TO_LIVE,
        }
    }

    /// The same with another time to live, or hop limit.
    #[must_use]
    pub fn with_hops(self, hops: u8) -> Self {
        Self { hops, ..self }
    }

    /// A TCP segment.
    ///
    /// # Errors
    /// When the two addresses are of different families, or the payload is too long.
    pub fn tcp(&self, header: TcpHeader, payload: &[u8]) -> Result<Vec<u8>> {
        let builder = self.network()?.tcp_header(header);
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        builder.write(&mut bytes, payload)?;
        Ok(bytes)
    }

    /// A UDP datagram.
    ///
    /// # Errors
    /// As [`Path::tcp`].
    pub fn udp(&self, [from, to]: [u16; 2], payload: &[u8]) -> Result<Vec<u8>> {
        let builder = self.network()?.udp(from, to);
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        builder.write(&mut bytes, payload)?;
        Ok(bytes)
    }

    /// An echo request.
    ///
    /// # Errors
    /// As [`Path::tcp`].
    pub fn echo(&self, sequence: u16) -> Result<Vec<u8>> {
        const IDENTIFIER: u16 = 7;
        let network = self.network()?;
        let mut bytes = Vec::new();
        match self.source {
            IpAddr::V4(_) => network
                .icmpv4_echo_request(IDENTIFIER, sequence)
                .write(&mut bytes, &[])?,
            IpAddr::V6(_) => network
                .icmpv6_echo_request(IDENTIFIER, sequence)
                .write(&mut bytes, &[])?,
        }
        Ok(bytes)
    }

    /// An ICMP (not ICMPv6) error that quotes the start of a datagram.
    ///
    /// # Errors
    /// As [`Path::tcp`].
    pub fn icmp_error(&self, [kind, code]: [u8; 2], quoted: &[u8]) -> Result<Vec<u8>> {
        const UNUSED: [u8; 4] = [0; 4];
        let mut bytes = Vec::new();
        self.network()?
            .icmpv4_raw(kind, code, UNUSED)
            .write(&mut bytes, quoted)?;
        Ok(bytes)
    }

    fn network(&self) -> Result<PacketBuilderStep<IpHeaders>> {
        let ethernet = PacketBuilder::ethernet2(ATTACKER_MAC.0, HOST_MAC.0);
        Ok(ethernet.ip(match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => IpHeaders::Ipv4(
                Ipv4Header {
                    source: source.octets(),
                    destination: destination.octets(),
                    time_to_live: self.hops,
                    ..Ipv4Header::default()
                },
                Default::default(),
            ),
            (IpAddr::V6(source), IpAddr::V6(destination)) => IpHeaders::Ipv6(
                Ipv6Header {
                    source: source.octets(),
                    destination: destination.octets(),
                    hop_limit: self.hops,
                    ..Ipv6Header::default()
                },
                Default::default(),
            ),
            (source, destination) => bail!("{source} can't send to {destination}"),
        }))
    }
}

/// The header of a segment from port `from` to port `to`, without flags.
#[must_use]
pub fn segment([from, to]: [u16; 2]) -> TcpHeader {
    const SEQUENCE: u32 = 1000;
    TcpHeader::new(from, to, SEQUENCE, WINDOW)
}

/// The header of a SYN to `port`.
#[must_use]
pub fn syn(port: u16) -> TcpHeader {
    TcpHeader {
        syn: true,
        ..segment([CLIENT_PORT, port])
    }
}

/// The header of a data segment on a connection to `port`.
#[must_use]
pub fn data(port: u16) -> TcpHeader {
    TcpHeader {
        psh: true,
        ack: true,
        acknowledgment_number: 1,
        ..segment([CLIENT_PORT, port])
    }
}

/// The frame with a VLAN tag (802.1Q).
#[must_use]
pub fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    const KIND: [u8; 2] = [0x81, 0x00];
    let (addresses, rest) = frame.split_at(ADDRESSES);
    [addresses, &KIND, &vlan.to_be_bytes(), rest].concat()
}

/// The frame with two VLAN tags, the provider's (802.1ad) outside the customer's (802.1Q).
#[must_use]
pub fn double_tagged(frame: &[u8]) -> Vec<u8> {
    const OUTER: [u8; 4] = [0x88, 0xa8, 0x00, 0x64];
    const INNER: [u8; 4] = [0x81, 0x00, 0x00, 0x07];
    let (addresses, rest) = frame.split_at(ADDRESSES);
    [addresses, &OUTER, &INNER, rest].concat()
}

/// The IPv6 frame with `count` headers of destination options, which hold only padding.
#[must_use]
pub fn with_options(frame: &[u8], count: u16) -> Vec<u8> {
    /// Where the fixed header has the payload's length and the next header, and where it ends.
    const LENGTH: usize = 18;
    const NEXT_HEADER: usize = 20;
    const END: usize = 54;
    /// IANA's number of destination options.
    const DESTINATION: u8 = 60;
    /// `PadN` over the six bytes of a header without further ones.
    const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
    let protocol = frame[NEXT_HEADER];
    let mut headers = Vec::new();
    for left in (0..count).rev() {
        headers.push(if left == 0 { protocol } else { DESTINATION });
        headers.extend(PADDING);
    }
    let length = frame.len() - END + headers.len();
    let mut longer = [&frame[..END], &headers, &frame[END..]].concat();
    longer[LENGTH..LENGTH + 2].copy_from_slice(&(length as u16).to_be_bytes());
    longer[NEXT_HEADER] = DESTINATION;
    longer
}
