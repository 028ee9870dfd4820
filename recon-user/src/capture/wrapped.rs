//! Link layers that wrap another one: headers of a radio's driver, of a firewall's log, of a
//! direction.
//!
//! In: the bytes of a packet, and which of these it has. Out: the link layer below and its bytes.
//! The decision held here: of these headers only the length is read, and what says which link
//! layer follows. They are what a capture has instead of a frame, and carry nothing that counts.

use super::link::{Link, Unreadable};

/// A header before another link layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// Per-Packet Information, before a frame of the link type that it names.
    Ppi,
    /// The header of Prism's driver, before 802.11.
    Prism,
    /// The header of AVS's driver, before 802.11.
    Avs,
    /// OpenBSD's log of its firewall, before IP.
    Pflog,
    /// OpenBSD's interface of IPsec, before IP.
    Enc,
    /// Linux's log of its firewall, before IP, in attributes.
    Nflog,
    /// A direction, before PPP.
    PppDirection,
    /// pppd's direction in the place of HDLC's address.
    Pppd,
    /// SLIP of BSD: direction and compressed header, before IP.
    Slip,
    /// Frame relay, before IP.
    FrameRelay,
}

impl Wrapper {
    /// The wrapper of that link type.
    pub(super) const fn of(number: u16) -> Option<Self> {
        Some(match number {
            8 => Self::Slip,
            107 => Self::FrameRelay,
            109 => Self::Enc,
            117 => Self::Pflog,
            119 => Self::Prism,
            163 => Self::Avs,
            166 => Self::Pppd,
            192 => Self::Ppi,
            204 => Self::PppDirection,
            239 => Self::Nflog,
            _ => return None,
        })
    }

    /// The link layer behind the header, and its bytes.
    pub(super) fn unwrap(self, bytes: &[u8]) -> Result<(Link, &[u8]), Unreadable> {
        const SLIP: usize = 16;
        const ENC: usize = 12;
        let (link, header) = match self {
            Self::Ppi => {
                let link = u16::try_from(little(bytes, 4)?).ok().and_then(Link::of);
                let length = little(bytes, 0)? >> u16::BITS;
                // One header of another is nobody's.
                let link = link.filter(|link| !matches!(link, Link::Wrapped(_)));
                (link.ok_or(Unreadable::NoNetwork)?, length as usize)
            }
            Self::Prism => (Link::Wireless, little(bytes, 4)? as usize),
            Self::Avs => (Link::Wireless, little(bytes, 4)?.swap_bytes() as usize),
            Self::Pflog => {
                let length = *bytes.first().ok_or(Unreadable::Cut)?;
                (Link::Raw, usize::from(length).next_multiple_of(4))
            }
            Self::Enc => (Link::Raw, ENC),
            Self::Nflog => return nflog(bytes).map(|bytes| (Link::Raw, bytes)),
            Self::PppDirection => (Link::Ppp, 1),
            Self::Pppd => (Link::Ppp, 2),
            Self::Slip => (Link::Raw, SLIP),
            Self::FrameRelay => (Link::Raw, frame_relay(bytes)?),
        };
        Ok((link, bytes.get(header..).ok_or(Unreadable::Cut)?))
    }
}

/// The length of frame relay's header before IP: an address of two bytes, then RFC 2427's control
/// and protocol, or Cisco's EtherType.
fn frame_relay(bytes: &[u8]) -> Result<usize, Unreadable> {
    let kind = bytes.get(2..4).ok_or(Unreadable::Cut)?;
    match kind {
        [0x03, 0xcc | 0x8e] | [0x08, 0x00] | [0x86, 0xdd] => Ok(4),
        _ => Err(Unreadable::NoNetwork),
    }
}

/// The payload among the attributes: length and type, both in the order of who captured, which is
/// little-endian nearly everywhere.
fn nflog(bytes: &[u8]) -> Result<&[u8], Unreadable> {
    const HEADER: usize = 4;
    const ATTRIBUTE: usize = 4;
    const PAYLOAD: u16 = 9;
    let mut rest = bytes.get(HEADER..).ok_or(Unreadable::Cut)?;
    loop {
        let head: &[u8; ATTRIBUTE] = rest.first_chunk().ok_or(Unreadable::NoNetwork)?;
        let length = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let kind = u16::from_le_bytes([head[2], head[3]]);
        if length < ATTRIBUTE {
            return Err(Unreadable::NoNetwork);
        }
        if kind == PAYLOAD {
            let end = length.min(rest.len());
            return Ok(&rest[ATTRIBUTE..end]);
        }
        let next = length.next_multiple_of(ATTRIBUTE);
        rest = rest.get(next..).ok_or(Unreadable::NoNetwork)?;
    }
}

/// The 32-bit number at that place, little-endian.
fn little(bytes: &[u8], at: usize) -> Result<u32, Unreadable> {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes
        .copied()
        .map(u32::from_le_bytes)
        .ok_or(Unreadable::Cut)
}
