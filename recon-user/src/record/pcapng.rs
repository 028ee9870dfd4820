//! The bytes of an evidence file: pcapng (draft-ietf-opsawg-pcapng).
//!
//! In: headers, and what an alert says. Out: one section, with an interface for each network
//! interface and direction, and a packet for each header.
//! The decisions held here: the alert's id and sentence are a comment of the first packet, where
//! Wireshark shows them, and not of each: a file of 64 headers would be half comments. Times are in
//! nanoseconds. Packets without a link layer are of the type of their version of IP: tcpdump
//! (libpcap 1.10.3) refuses a second interface of LINKTYPE_RAW, since it compares that number with
//! another one of its own. pcap-parser, which reads captures here, also writes them, but its
//! feature for that brings the crates of `futures`; pcap-file would bring a second parser. This is three
//! kinds of blocks, all little-endian.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use recon_common::Direction;
use recon_common::hit_header::CAPTURED;

use super::store::RecordedHeader;
use crate::row::Name;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const VERSION: [u16; 2] = [1, 0];
/// A section whose length is not given.
const UNKNOWN_LENGTH: u64 = u64::MAX;
const ALIGNMENT: usize = 4;

/// Options of all blocks.
const END: u16 = 0;
const COMMENT: u16 = 1;
/// Options of a section: the system, and the program that writes.
const OS: u16 = 3;
const APPLICATION: u16 = 4;
/// Options of an interface.
const NAME: u16 = 2;
const DESCRIPTION: u16 = 3;
const RESOLUTION: u16 = 9;
/// A negative power of 10.
const NANOSECONDS: u8 = 9;
/// The option of a packet with its direction, in the two lowest bits.
const FLAGS: u16 = 2;
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// LINKTYPE_ETHERNET, LINKTYPE_IPV4 and LINKTYPE_IPV6 of tcpdump.org.
const ETHERNET: u16 = 1;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
/// An option has a length of 16 bits, and nobody reads a longer comment.
const LONGEST_TEXT: usize = 4096;
/// What the section's comment adds then: a reader would take its times for those of 1970.
const UNKNOWN_BOOT: &str = "the time of the boot is unknown: times count from the boot";
/// The name of an interface that has none.
const UNNAMED: &str = "unknown";

/// What a file has.
#[derive(Clone, Debug)]
pub(crate) struct EvidenceFile {
    /// Its name in the folder.
    pub(crate) name: String,
    /// The comment of the section: which host, which rule.
    pub(crate) about: String,
    /// The comment of the first packet: the alert's id and sentence.
    pub(crate) comment: String,
    /// What the wall clock would have shown at the boot. `None` if the clocks can't be read.
    pub(crate) boot: Option<Timestamp>,
    pub(crate) headers: Vec<Arc<RecordedHeader>>,
}

impl EvidenceFile {
    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut file = Vec::new();
        self.add_section(&mut file);
        let mut interfaces = Vec::new();
        let mut numbers = Vec::new();
        for header in &self.headers {
            let interface = (header.interface, header.origin.direction, link_type(header));
            let known = interfaces.iter().position(|known| *known == interface);
            numbers.push(known.unwrap_or(interfaces.len()));
            if known.is_none() {
                interfaces.push(interface);
            }
        }
        for (name, direction, link) in interfaces {
            add_interface(&mut file, name, direction, link);
        }
        let mut comment = Some(self.comment.as_str());
        for (header, number) in self.headers.iter().zip(numbers) {
            self.add_packet(&mut file, header, number, comment.take());
        }
        file
    }

    fn add_section(&self, file: &mut Vec<u8>) {
        let mut body = BYTE_ORDER.to_le_bytes().to_vec();
        body.extend(halves(VERSION));
        body.extend(UNKNOWN_LENGTH.to_le_bytes());
        add_text(&mut body, OS, "Linux");
        let application = concat!("recon ", env!("CARGO_PKG_VERSION"));
        add_text(&mut body, APPLICATION, application);
        let about = match self.boot {
            Some(_) => Cow::Borrowed(self.about.as_str()),
            None => Cow::Owned(format!("{}; {UNKNOWN_BOOT}", self.about)),
        };
        add_text(&mut body, COMMENT, &about);
        add_option(&mut body, END, &[]);
        add_block(file, SECTION, &body);
    }

    fn add_packet(
        &self,
        file: &mut Vec<u8>,
        header: &RecordedHeader,
        interface: usize,
        comment: Option<&str>,
    ) {
        let boot = self.boot.unwrap_or(Timestamp::UNIX_EPOCH);
        let at = boot.checked_add(header.since_boot);
        let at = at.map_or(0, Timestamp::as_nanosecond);
        let at = u64::try_from(at).unwrap_or_default();
        let mut body = Vec::new();
        for number in [
            u32::try_from(interface).unwrap_or_default(),
            (at >> u32::BITS) as u32,
            at as u32,
            u32::try_from(header.bytes.len()).unwrap_or_default(),
            header.length,
        ] {
            body.extend(number.to_le_bytes());
        }
        body.extend(&header.bytes);
        align(&mut body);
        let flags = match header.origin.direction {
            Direction::In => INBOUND,
            Direction::Out => OUTBOUND,
        };
        add_option(&mut body, FLAGS, &flags.to_le_bytes());
        if let Some(comment) = comment {
            add_text(&mut body, COMMENT, comment);
        }
        add_option(&mut body, END, &[]);
        add_block(file, PACKET, &body);
    }
}

/// Two numbers of 16 bits.
fn halves(numbers: [u16; 2]) -> [u8; 4] {
    let [[a, b], [c, d]] = numbers.map(u16::to_le_bytes);
    [a, b, c, d]
}

/// What a packet starts with.
fn link_type(header: &RecordedHeader) -> u16 {
    let version = header.bytes.first().map(|first| first >> 4);
    match (header.origin.is_bare, version) {
        (false, _) => ETHERNET,
        (true, Some(6)) => IPV6,
        (true, _) => IPV4,
    }
}

fn add_interface(file: &mut Vec<u8>, name: Option<Name>, direction: Direction, link: u16) {
    const RESERVED: u16 = 0;
    let direction = match direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let mut body = halves([link, RESERVED]).to_vec();
    body.extend(u32::try_from(CAPTURED).unwrap_or_default().to_le_bytes());
    add_text(&mut body, NAME, name.map_or(UNNAMED, Name::text));
    add_text(&mut body, DESCRIPTION, direction);
    add_option(&mut body, RESOLUTION, &[NANOSECONDS]);
    add_option(&mut body, END, &[]);
    add_block(file, INTERFACE, &body);
}

/// Adds a block, whose length is before and behind its body.
fn add_block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    /// Its type, and its length twice.
    const AROUND: usize = 12;
    let length = u32::try_from(AROUND + body.len()).unwrap_or_default();
    file.extend(kind.to_le_bytes());
    file.extend(length.to_le_bytes());
    file.extend(body);
    file.extend(length.to_le_bytes());
}

/// Adds an option with the start of a text.
fn add_text(body: &mut Vec<u8>, code: u16, text: &str) {
    add_option(
        body,
        code,
        &text.as_bytes()[..text.floor_char_boundary(LONGEST_TEXT)],
    );
}

/// Adds an option with a short value.
fn add_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or_default();
    body.extend(halves([code, length]));
    body.extend(value);
    align(body);
}

fn align(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
}
