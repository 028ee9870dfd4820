//! Containers: pcap in all its variants, and pcapng.
//!
//! In: the bytes of a capture. Out: its packets.
//! The decision held here: a file that ends within a packet is one that was cut, as when tcpdump is
//! killed: what it holds is read. A length that no packet has is corruption, since whatever follows
//! could be anything.

use std::io::{self, Read};

use jiff::Timestamp;
use pcap_parser::pcap::{
    LegacyPcapBlock, PcapHeader, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

use super::input::{Input, ReadProgress};
use super::pcapng::Sections;
use super::window::Window;
use super::{CaptureError, Captured, Next};

/// The headers of a file and of a packet in pcap, and of a packet in its modified variant.
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;
const MODIFIED_HEADER: usize = 24;
/// Where the captured length is in a packet's header.
const CAPTURED_LENGTH: usize = 8;
/// The longest packet: four times what libpcap captures.
const LONGEST_PACKET: u32 = 1 << 20;
/// The first four bytes of pcapng, in either byte order.
const SECTION_HEADER: &[u8] = b"\x0a\x0d\x0d\x0a";

/// The packets of a capture.
pub(crate) struct CaptureContainer {
    stream: CaptureStream,
    format: ContainerFormat,
}

/// The bytes of a container, and what messages call it.
pub(super) struct CaptureStream {
    pub(super) window: Window<Box<dyn Read>>,
    name: String,
    source: ReadProgress,
    is_compressed: bool,
}

enum ContainerFormat {
    Pcap(PcapHeader),
    Pcapng(Box<Sections>),
    /// A file without a byte.
    Empty,
}

impl CaptureContainer {
    /// Recognizes the container.
    ///
    /// # Errors
    /// The bytes can't be read, or are no capture.
    pub(crate) fn open(input: Input) -> Result<Self, CaptureError> {
        let Input {
            name,
            bytes,
            source,
            is_compressed,
            ..
        } = input;
        let mut stream = CaptureStream {
            window: Window::new(bytes),
            name,
            source,
            is_compressed,
        };
        stream.fill(FILE_HEADER)?;
        let start = stream.window.bytes(FILE_HEADER);
        let format = if start.is_empty() {
            ContainerFormat::Empty
        } else if start.starts_with(SECTION_HEADER) {
            ContainerFormat::Pcapng(Box::default())
        } else {
            match parse_pcap_header(start) {
                Ok((_, header)) => {
                    stream.window.skip(FILE_HEADER);
                    ContainerFormat::Pcap(header)
                }
                Err(_) => return Err(CaptureError::NotCapture { name: stream.name }),
            }
        };
        Ok(Self { stream, format })
    }

    /// The next packet.
    ///
    /// # Errors
    /// The bytes can't be read, or make no sense.
    pub(crate) fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        let Self { stream, format } = self;
        match format {
            ContainerFormat::Empty => Ok(Next::End),
            ContainerFormat::Pcap(header) => next_of_pcap(stream, header),
            ContainerFormat::Pcapng(sections) => sections.next(stream),
        }
    }
}

impl CaptureStream {
    /// Reads until so many bytes are there. Returns whether they are: a compressed stream that
    /// breaks off ends there.
    pub(super) fn fill(&mut self, length: usize) -> Result<bool, CaptureError> {
        self.window
            .fill(length)
            .or_else(|error| self.end_or_error(error))
    }

    /// Skips so many bytes. Returns whether there were as many.
    pub(super) fn skip_over(&mut self, length: u64) -> Result<bool, CaptureError> {
        self.window
            .skip_over(length)
            .or_else(|error| self.end_or_error(error))
    }

    fn end_or_error(&self, source: io::Error) -> Result<bool, CaptureError> {
        let is_cut = source.kind() == io::ErrorKind::UnexpectedEof || self.source.has_ended();
        match self.is_compressed && is_cut {
            true => Ok(false),
            false => Err(CaptureError::Read {
                name: self.name.clone(),
                position: self.window.position() + self.window.available() as u64,
                source,
            }),
        }
    }

    /// What is at the current place makes no sense.
    pub(super) fn corrupt(&self, what: impl Into<String>) -> CaptureError {
        self.corrupt_at(self.window.position(), what)
    }

    /// What is at that place makes no sense.
    pub(super) fn corrupt_at(&self, position: u64, what: impl Into<String>) -> CaptureError {
        CaptureError::Corrupt {
            name: self.name.clone(),
            position,
            what: what.into(),
        }
    }

    /// The end of the file, which is in the middle of something unless no byte is left.
    pub(super) fn end(&self) -> Next<'static> {
        match self.window.available() {
            0 => Next::End,
            _ => Next::Cut(self.window.position()),
        }
    }
}

fn next_of_pcap<'a>(
    stream: &'a mut CaptureStream,
    header: &PcapHeader,
) -> Result<Next<'a>, CaptureError> {
    let packet_header = match header.is_modified_format() {
        true => MODIFIED_HEADER,
        false => PACKET_HEADER,
    };
    if !stream.fill(packet_header)? {
        return Ok(stream.end());
    }
    let start = stream.window.bytes(packet_header);
    let field = start[CAPTURED_LENGTH..].first_chunk().copied();
    let field = field.unwrap_or_default();
    let captured = match header.is_bigendian() {
        true => u32::from_be_bytes(field),
        false => u32::from_le_bytes(field),
    };
    if captured > LONGEST_PACKET {
        return Err(stream.corrupt(format!("a packet of {captured} bytes")));
    }
    let length = packet_header + captured as usize;
    if !stream.fill(length)? {
        return Ok(stream.end());
    }
    let position = stream.window.position();
    stream.window.skip(length);
    let bytes = stream.window.skipped(length);
    let parse = match (header.is_modified_format(), header.is_bigendian()) {
        (true, _) => parse_pcap_frame_modified,
        (_, true) => parse_pcap_frame_be,
        (_, false) => parse_pcap_frame,
    };
    // The length has been checked, and the parser checks nothing else.
    let Ok((_, packet)) = parse(bytes) else {
        return Ok(Next::Cut(position));
    };
    Ok(Next::Packet(of_pcap(header, packet)))
}

fn of_pcap<'a>(header: &PcapHeader, packet: LegacyPcapBlock<'a>) -> Captured<'a> {
    /// Above them are flags, such as the length of a frame check sequence.
    const LINK_BITS: i32 = 0xffff;
    let unit = match header.is_nanosecond_precision() {
        true => 1,
        false => 1000,
    };
    // A fraction above a second carries over, as libpcap has it.
    let fraction = i64::from(packet.ts_usec) * unit;
    let seconds = i64::from(packet.ts_sec) + fraction / i64::from(NANOSECONDS);
    Captured {
        time: Some(time(seconds, fraction % i64::from(NANOSECONDS))),
        link: (header.network.0 & LINK_BITS) as u16,
        interface: None,
        bytes: packet.data,
        length: packet.origlen,
    }
}

/// In a second.
pub(super) const NANOSECONDS: u32 = 1_000_000_000;

/// That time, or the nearest that can be written.
pub(super) fn time(seconds: i64, nanoseconds: i64) -> Timestamp {
    let nanoseconds = i32::try_from(nanoseconds).unwrap_or_default();
    Timestamp::new(seconds, nanoseconds).unwrap_or(match seconds < 0 {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    })
}
