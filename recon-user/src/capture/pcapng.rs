//! pcapng: sections, interfaces and packets.
//!
//! In: blocks. Out: packets, each with its interface's link type, name and unit of time.
//! The decisions held here: blocks that hold no packet are skipped by their length, without a look.
//! pcap-parser takes the offset of times as little-endian and knows no binary units of time, so
//! both are read here.

use pcap_parser::pcapng::{
    Block, EnhancedPacketBlock, InterfaceDescriptionBlock, SimplePacketBlock, parse_block_be,
    parse_block_le,
};
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{EPB_MAGIC, IDB_MAGIC, OptionCode, SHB_MAGIC, SPB_MAGIC};

use super::container::{CaptureStream, NANOSECONDS, time};
use super::{CaptureError, Captured, Next};
use crate::row::Name;

/// Type, length and byte-order mark of a section header.
const SECTION_START: usize = 12;
/// Type and length of a block.
const BLOCK_START: usize = 8;
/// The shortest block: its type, and its length twice.
const SHORTEST_BLOCK: u32 = 12;
/// The longest block, as in Wireshark.
const LONGEST_BLOCK: u32 = 16 << 20;
/// Units of time in a second, if an interface does not say it.
const DEFAULT_UNITS: u64 = 1_000_000;
/// Interfaces of a section: each takes memory.
const MOST_INTERFACES: usize = 1 << 16;
/// The byte-order mark as a little-endian file has it.
const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
const BIG_ENDIAN: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];
/// The obsolete Packet Block.
const OLD_PACKET: u32 = 2;

/// The current section.
#[derive(Debug, Default)]
pub(super) struct Sections {
    is_big_endian: bool,
    interfaces: Vec<CaptureInterface>,
}

/// An interface that captured packets.
#[derive(Clone, Copy, Debug)]
struct CaptureInterface {
    link: u16,
    name: Option<Name>,
    /// How many units a second has.
    units: u64,
    /// Seconds to add to each time.
    offset: i64,
    /// Bytes captured of each packet. 0 for all.
    snaplen: u32,
}

impl Sections {
    /// The next packet.
    pub(super) fn next<'a>(
        &mut self,
        stream: &'a mut CaptureStream,
    ) -> Result<Next<'a>, CaptureError> {
        loop {
            let Some((kind, length)) = self.next_block(stream)? else {
                return Ok(stream.end());
            };
            let position = stream.window.position();
            match kind {
                SHB_MAGIC | IDB_MAGIC | EPB_MAGIC | SPB_MAGIC => {
                    if !stream.fill(length)? {
                        return Ok(stream.end());
                    }
                    stream.window.skip(length);
                    if matches!(kind, EPB_MAGIC | SPB_MAGIC) {
                        let bytes = stream.window.skipped(length);
                        let packet = self.packet(bytes);
                        return packet
                            .map(Next::Packet)
                            .map_err(|what| stream.corrupt_at(position, what));
                    }
                    if kind == IDB_MAGIC {
                        let added = self.add_interface(stream.window.skipped(length));
                        added.map_err(|what| stream.corrupt_at(position, what))?;
                    }
                }
                OLD_PACKET => {
                    return Err(stream.corrupt(
                        "an obsolete packet block (type 2); convert the file: editcap -F pcapng OLD NEW",
                    ));
                }
                _ if !stream.skip_over(length as u64)? => return Ok(Next::Cut(position)),
                _ => {}
            }
        }
    }

    /// Type and length of the block at the current place. `None` at the end of the file.
    fn next_block(
        &mut self,
        stream: &mut CaptureStream,
    ) -> Result<Option<(u32, usize)>, CaptureError> {
        if !stream.fill(BLOCK_START)? {
            return Ok(None);
        }
        let start = stream.window.bytes(BLOCK_START);
        let word = |bytes: &[u8], at: usize| bytes[at..].first_chunk().copied().unwrap_or_default();
        // It reads the same in both byte orders.
        let is_section = u32::from_le_bytes(word(start, 0)) == SHB_MAGIC;
        if is_section {
            if !stream.fill(SECTION_START)? {
                return Ok(None);
            }
            let mark: [u8; 4] = word(stream.window.bytes(SECTION_START), BLOCK_START);
            self.is_big_endian = match mark {
                LITTLE_ENDIAN => false,
                BIG_ENDIAN => true,
                _ => return Err(stream.corrupt("a section without a byte-order mark")),
            };
            self.interfaces.clear();
        }
        let start = stream.window.bytes(BLOCK_START);
        let number = |at| match self.is_big_endian {
            true => u32::from_be_bytes(word(start, at)),
            false => u32::from_le_bytes(word(start, at)),
        };
        let (kind, length) = (number(0), number(4));
        if !(SHORTEST_BLOCK..=LONGEST_BLOCK).contains(&length) || !length.is_multiple_of(4) {
            return Err(stream.corrupt(format!("a block of {length} bytes")));
        }
        Ok(Some((kind, length as usize)))
    }

    fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Block<'a>, String> {
        let parsed = match self.is_big_endian {
            true => parse_block_be(bytes),
            false => parse_block_le(bytes),
        };
        let block = parsed.map(|(_, block)| block);
        block.map_err(|_| "a block that contradicts itself".to_owned())
    }

    /// The packet of a block.
    fn packet<'a>(&self, bytes: &'a [u8]) -> Result<Captured<'a>, String> {
        match self.parse(bytes)? {
            Block::EnhancedPacket(packet) => {
                if packet.caplen as usize > packet.data.len() {
                    return Err("a packet that is longer than its block".to_owned());
                }
                Ok(enhanced(&packet, self.described(packet.if_id)?))
            }
            // It has no number of an interface.
            Block::SimplePacket(packet) => Ok(simple(&packet, self.described(0)?)),
            _ => Err("a block of another kind than it says".to_owned()),
        }
    }

    fn described(&self, number: u32) -> Result<CaptureInterface, String> {
        let interface = self.interfaces.get(number as usize).copied();
        interface.ok_or_else(|| {
            format!("a packet of interface {number}, which the section does not describe")
        })
    }

    fn add_interface(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(format!("more than {MOST_INTERFACES} interfaces"));
        }
        if let Block::InterfaceDescription(description) = self.parse(bytes)? {
            let interface = self.interface(&description);
            self.interfaces.push(interface);
        }
        Ok(())
    }

    fn interface(&self, description: &InterfaceDescriptionBlock<'_>) -> CaptureInterface {
        let mut interface = CaptureInterface {
            link: u16::try_from(description.linktype.0).unwrap_or(u16::MAX),
            name: None,
            units: DEFAULT_UNITS,
            offset: 0,
            snaplen: description.snaplen,
        };
        for option in &description.options {
            let value = option.value();
            let value = value.get(..usize::from(option.len)).unwrap_or(value);
            match option.code {
                OptionCode::IfName => {
                    let text = String::from_utf8_lossy(value);
                    interface.name = Name::new(text.trim_end_matches('\0'));
                }
                OptionCode::IfTsresol => {
                    let units = value.first().and_then(|&code| units(code));
                    interface.units = units.unwrap_or(interface.units);
                }
                OptionCode::IfTsoffset => {
                    let bytes = value.first_chunk().copied().unwrap_or_default();
                    interface.offset = match self.is_big_endian {
                        true => i64::from_be_bytes(bytes),
                        false => i64::from_le_bytes(bytes),
                    };
                }
                _ => {}
            }
        }
        interface
    }
}

fn enhanced<'a>(packet: &EnhancedPacketBlock<'a>, interface: CaptureInterface) -> Captured<'a> {
    let ticks = u64::from(packet.ts_high) << u32::BITS | u64::from(packet.ts_low);
    let seconds = i64::try_from(ticks / interface.units).unwrap_or(i64::MAX);
    let part =
        u128::from(ticks % interface.units) * u128::from(NANOSECONDS) / u128::from(interface.units);
    let length = (packet.caplen as usize).min(packet.data.len());
    Captured {
        time: Some(time(
            seconds.saturating_add(interface.offset),
            i64::try_from(part).unwrap_or_default(),
        )),
        link: interface.link,
        interface: interface.name,
        bytes: &packet.data[..length],
        length: packet.origlen,
        upcoming: None,
    }
}

/// A packet without a time. What was captured of it has no length of its own.
fn simple<'a>(packet: &SimplePacketBlock<'a>, interface: CaptureInterface) -> Captured<'a> {
    let snaplen = match interface.snaplen {
        0 => u32::MAX,
        snaplen => snaplen,
    };
    let length = packet.orig_len().min(snaplen) as usize;
    Captured {
        time: None,
        link: interface.link,
        interface: interface.name,
        bytes: &packet.data[..length.min(packet.data.len())],
        length: packet.orig_len(),
        upcoming: None,
    }
}

/// How many units a second has, by `if_tsresol`: a negative power of 10, or of 2 with the highest
/// bit. `None` if a number of 64 bits can't count them.
fn units(code: u8) -> Option<u64> {
    const BINARY: u8 = 0x80;
    let power = u32::from(code & !BINARY);
    match code & BINARY {
        0 => 10_u64.checked_pow(power),
        _ => 1_u64.checked_shl(power),
    }
}
