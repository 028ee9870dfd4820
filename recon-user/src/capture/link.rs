//! Link layers: from what a capture has to what the parser takes.
//!
//! In: the bytes of a packet, and the number of its link type (tcpdump.org's LINKTYPE_ values).
//! Out: an Ethernet frame, or a packet that starts with IP.
//! The decision held here: what names a protocol by its EtherType, as Linux's cooked captures and
//! 802.11 do, becomes an Ethernet frame by a header that is made for it. So the one parser sees
//! tags of VLANs, ARP and groups there too.

use recon_common::protocol::{ETHERNET_HEADER, VLAN_TAG, ethertype};

use super::wrapped::Wrapper;

/// A link layer that recon reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Ethernet,
    /// None: packets start with IP.
    Raw,
    /// BSD's loopback: four bytes of the address family.
    Loopback,
    /// Linux's `any` interface.
    Cooked,
    /// The same, since libpcap 1.10.
    Cooked2,
    Ppp,
    /// PPP over Ethernet, without Ethernet's header.
    PppoE,
    /// Cisco's HDLC.
    Hdlc,
    /// 802.11.
    Wireless,
    /// 802.11 behind a header of the radio.
    Radiotap,
    /// Another one behind a header.
    Wrapped(Wrapper),
}

/// A packet as the parser takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkFrame<'a> {
    Ethernet(&'a [u8]),
    /// It starts with IP.
    Bare(&'a [u8]),
}

/// Why a packet gives no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It ends within the header of its link layer.
    Cut,
    /// It holds no packet of a network: management of a radio link, PPP's own messages.
    NoNetwork,
}

impl Link {
    /// The link layer of that number, if recon reads it.
    pub(crate) const fn of(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Ethernet,
            // BSD/OS, OpenBSD, LINKTYPE_RAW, LINKTYPE_IPV4, LINKTYPE_IPV6.
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            0 | 108 => Self::Loopback,
            113 => Self::Cooked,
            276 => Self::Cooked2,
            9 | 50 => Self::Ppp,
            51 => Self::PppoE,
            104 => Self::Hdlc,
            105 => Self::Wireless,
            127 => Self::Radiotap,
            _ => match Wrapper::of(number) {
                Some(wrapper) => Self::Wrapped(wrapper),
                None => return None,
            },
        })
    }
}

impl Link {
    /// The frame in a packet, if [`LinkReader::read`] gives the packet's bytes as they are, and
    /// they begin an IP header where most have it.
    #[inline]
    pub(crate) fn plain_frame(self, bytes: &[u8]) -> Option<LinkFrame<'_>> {
        let frame = match self {
            Self::Ethernet => LinkFrame::Ethernet(bytes),
            Self::Raw => LinkFrame::Bare(bytes),
            _ => return None,
        };
        frame.is_plain().then_some(frame)
    }
}

/// Reads frames, with space for headers that are made.
#[derive(Debug, Default)]
pub(crate) struct LinkReader {
    frame: Vec<u8>,
}

impl LinkReader {
    /// The frame in a packet.
    #[inline]
    pub(crate) fn read<'a>(
        &'a mut self,
        link: Link,
        bytes: &'a [u8],
    ) -> Result<LinkFrame<'a>, Unreadable> {
        /// The address family of BSD's loopback.
        const FAMILY: usize = 4;
        match link {
            Link::Ethernet => ethernet(bytes),
            Link::Raw => Ok(LinkFrame::Bare(bytes)),
            // The family's number and byte order are those of whoever captured. IP's version says
            // the same.
            Link::Loopback => Ok(LinkFrame::Bare(skip_header(bytes, FAMILY)?)),
            Link::Ppp => ppp(bytes),
            Link::PppoE => pppoe(bytes),
            Link::Hdlc => self.hdlc(bytes),
            Link::Wireless => self.wireless(bytes),
            Link::Cooked => self.cooked(bytes),
            Link::Cooked2 => self.cooked2(bytes),
            Link::Radiotap => self.radiotap(bytes),
            Link::Wrapped(wrapper) => {
                let (link, bytes) = wrapper.unwrap(bytes)?;
                self.read(link, bytes)
            }
        }
    }

    /// `sll_header` of libpcap: type of the packet, type and length of the address, address,
    /// protocol.
    fn cooked<'a>(&'a mut self, bytes: &'a [u8]) -> Result<LinkFrame<'a>, Unreadable> {
        const HEADER: usize = 16;
        const PROTOCOL: usize = 14;
        let kind = number(bytes, 0)?;
        let protocol = number(bytes, PROTOCOL)?;
        self.framed(protocol, is_group(kind), skip_header(bytes, HEADER)?)
    }

    /// `sll2_header`: protocol, interface, type of the address, type of the packet, address.
    fn cooked2<'a>(&'a mut self, bytes: &'a [u8]) -> Result<LinkFrame<'a>, Unreadable> {
        const HEADER: usize = 20;
        const KIND: usize = 10;
        let protocol = number(bytes, 0)?;
        let kind = bytes.get(KIND).ok_or(Unreadable::Cut)?;
        self.framed(
            protocol,
            is_group((*kind).into()),
            skip_header(bytes, HEADER)?,
        )
    }

    /// A frame of 802.11 behind the radio's header.
    fn radiotap<'a>(&'a mut self, bytes: &'a [u8]) -> Result<LinkFrame<'a>, Unreadable> {
        /// Where the radio's header has its length.
        const LENGTH: usize = 2;
        let length = number(bytes, LENGTH)?.swap_bytes();
        self.wireless(skip_header(bytes, length.into())?)
    }

    /// Address, control, EtherType.
    fn hdlc<'a>(&'a mut self, bytes: &'a [u8]) -> Result<LinkFrame<'a>, Unreadable> {
        const HEADER: usize = 4;
        const PROTOCOL: usize = 2;
        let protocol = number(bytes, PROTOCOL)?;
        self.framed(protocol, false, skip_header(bytes, HEADER)?)
    }

    /// A data frame of 802.11 that is not encrypted, and has a SNAP header.
    fn wireless<'a>(&'a mut self, bytes: &'a [u8]) -> Result<LinkFrame<'a>, Unreadable> {
        let (group, header) = wireless_header(bytes)?;
        const SNAP: &[u8] = &[0xaa, 0xaa, 0x03, 0, 0, 0];
        let bytes = skip_header(bytes, header)?;
        match bytes.get(..SNAP.len()).ok_or(Unreadable::Cut)? {
            SNAP => {}
            _ => return Err(Unreadable::NoNetwork),
        }
        let protocol = number(bytes, SNAP.len())?;
        self.framed(protocol, group, skip_header(bytes, SNAP.len() + 2)?)
    }

    /// The packet behind an Ethernet header.
    fn framed(
        &mut self,
        protocol: u16,
        is_to_group: bool,
        packet: &[u8],
    ) -> Result<LinkFrame<'_>, Unreadable> {
        let mut header = [0; ETHERNET_HEADER];
        header[0] = u8::from(is_to_group || is_to_group_address(protocol, packet));
        header[ETHERNET_HEADER - 2..].copy_from_slice(&protocol.to_be_bytes());
        self.frame.clear();
        self.frame.extend_from_slice(&header);
        self.frame.extend_from_slice(packet);
        Ok(LinkFrame::Ethernet(&self.frame))
    }
}

/// Whether a cooked packet of that type went to a broadcast or multicast address.
const fn is_group(kind: u16) -> bool {
    const BROADCAST: u16 = 1;
    const MULTICAST: u16 = 2;
    matches!(kind, BROADCAST | MULTICAST)
}

/// Whether a packet that this host sent goes to a group: its type says only that it leaves.
fn is_to_group_address(protocol: u16, packet: &[u8]) -> bool {
    const IPV4_DESTINATION: usize = 16;
    const IPV6_DESTINATION: usize = 24;
    match protocol {
        ethertype::IPV4 => {
            let to = packet.get(IPV4_DESTINATION..IPV4_DESTINATION + 4);
            to.is_some_and(|to| to[0] >> 4 == 0xe || to == [u8::MAX; 4])
        }
        ethertype::IPV6 => packet.get(IPV6_DESTINATION) == Some(&u8::MAX),
        _ => false,
    }
}

/// Whether a frame of 802.11 goes to a group, and how long its header is.
fn wireless_header(frame: &[u8]) -> Result<(bool, usize), Unreadable> {
    const DATA: u8 = 2;
    const NO_DATA: u8 = 0x40;
    const QUALITY: u8 = 0x80;
    const TO_ACCESS_POINT: u8 = 0x01;
    const FROM_ACCESS_POINT: u8 = 0x02;
    const ENCRYPTED: u8 = 0x40;
    const ORDER: u8 = 0x80;
    const HEADER: usize = 24;
    const ADDRESS: usize = 6;
    const FIRST_ADDRESS: usize = 4;
    const THIRD_ADDRESS: usize = 16;
    const QOS_CONTROL: usize = 2;
    const HT_CONTROL: usize = 4;
    let &[kind, flags, ..] = frame else {
        return Err(Unreadable::Cut);
    };
    let is_data = kind >> 2 & 3 == DATA && kind & NO_DATA == 0;
    if !is_data || flags & ENCRYPTED != 0 {
        return Err(Unreadable::NoNetwork);
    }
    let (to, from) = (flags & TO_ACCESS_POINT != 0, flags & FROM_ACCESS_POINT != 0);
    let mut length = HEADER;
    if to && from {
        length += ADDRESS;
    }
    if kind & QUALITY != 0 {
        length += QOS_CONTROL;
        if flags & ORDER != 0 {
            length += HT_CONTROL;
        }
    }
    // The destination is the third address on its way to an access point, else the first.
    let destination = if to { THIRD_ADDRESS } else { FIRST_ADDRESS };
    let first = frame.get(destination).ok_or(Unreadable::Cut)?;
    Ok((first & 1 != 0, length))
}

/// Ethernet. Of PPP over it, a modem's side shows what the host's own interface has without.
#[inline]
fn ethernet(bytes: &[u8]) -> Result<LinkFrame<'_>, Unreadable> {
    const SESSION: u16 = 0x8864;
    match number(bytes, ETHERNET_HEADER - 2) {
        Ok(SESSION) => pppoe(skip_header(bytes, ETHERNET_HEADER)?),
        _ => Ok(LinkFrame::Ethernet(bytes)),
    }
}

/// Version and type, code, session, length, then PPP (RFC 2516). Codes other than 0 carry no PPP.
fn pppoe(bytes: &[u8]) -> Result<LinkFrame<'_>, Unreadable> {
    const HEADER: usize = 6;
    const CODE: usize = 1;
    match bytes.get(CODE).ok_or(Unreadable::Cut)? {
        0 => ppp(skip_header(bytes, HEADER)?),
        _ => Err(Unreadable::NoNetwork),
    }
}

/// PPP, with or without HDLC's two bytes, and with its protocol in one byte or two.
fn ppp(bytes: &[u8]) -> Result<LinkFrame<'_>, Unreadable> {
    const HDLC: &[u8] = &[0xff, 0x03];
    const IPV4: u16 = 0x21;
    const IPV6: u16 = 0x57;
    let bytes = bytes.strip_prefix(HDLC).unwrap_or(bytes);
    let &first = bytes.first().ok_or(Unreadable::Cut)?;
    // The last byte of a protocol's number is odd, all others are even (RFC 1661, 2).
    let (protocol, length) = match first & 1 {
        1 => (first.into(), 1),
        _ => (number(bytes, 0)?, 2),
    };
    match protocol {
        IPV4 | IPV6 => Ok(LinkFrame::Bare(skip_header(bytes, length)?)),
        _ => Err(Unreadable::NoNetwork),
    }
}

/// The bytes behind a header of that length.
fn skip_header(bytes: &[u8], length: usize) -> Result<&[u8], Unreadable> {
    bytes.get(length..).ok_or(Unreadable::Cut)
}

/// The 16-bit number at that place, in network byte order.
fn number(bytes: &[u8], at: usize) -> Result<u16, Unreadable> {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes
        .copied()
        .map(u16::from_be_bytes)
        .ok_or(Unreadable::Cut)
}

impl<'a> LinkFrame<'a> {
    /// Whether nothing is between its link layer and the IP header that this announces.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        let &Self::Ethernet(bytes) = self else {
            return true;
        };
        let version = bytes.get(ETHERNET_HEADER).map(|first| first >> 4);
        matches!(
            (number(bytes, ETHERNET_HEADER - 2), version),
            (Ok(ethertype::IPV4), Some(4)) | (Ok(ethertype::IPV6), Some(6))
        )
    }

    /// The packet's IP header and what follows, if it has one: behind any tags of VLANs.
    #[inline]
    pub(crate) fn network(&self) -> Option<&'a [u8]> {
        let bytes = match *self {
            Self::Bare(bytes) => return Some(bytes),
            Self::Ethernet(bytes) => bytes,
        };
        let mut at = ETHERNET_HEADER;
        loop {
            let kind = number(bytes, at - 2).ok()?;
            match kind {
                ethertype::IPV4 | ethertype::IPV6 => return bytes.get(at..),
                ethertype::VLAN | ethertype::VLAN_OUTER => at += VLAN_TAG,
                _ => return None,
            }
        }
    }
}
