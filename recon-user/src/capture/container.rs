//! Containers: pcap in all its variants, and pcapng.
//!
//! In: the bytes of a capture. Out: its packets.
//! The decision held here: a file that ends within a packet is one that was cut, as when tcpdump is
//! killed: what it holds is read. A length that no packet has is corruption, since whatever follows
//! could be anything.

use std::io::{self, Read};

use jiff::Timestamp;
use pcap_parser::pcap::{PcapHeader, parse_pcap_header};

use super::input::{Input, ReadProgress};
use super::pcapng::Sections;
use super::window::Window;
use super::{CaptureError, Captured, Next};

/// The headers of a file and of a packet in pcap, and of a packet in its modified variant.
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;
const MODIFIED_HEADER: usize = 24;
/// The longest packet: four times what libpcap captures.
const LONGEST_PACKET: u32 = 1 << 20;
/// The first four bytes of pcapng, in either byte order.
const SECTION_HEADER: &[u8] = b"\x0a\x0d\x0d\x0a";

/// Whether a file that begins so is a capture.
pub(crate) fn is_capture(start: &[u8]) -> bool {
    start.starts_with(SECTION_HEADER) || parse_pcap_header(start).is_ok()
}

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
    Pcap(PcapFormat),
    Pcapng(Box<Sections>),
    /// A compressed file that was cut before the header in it.
    Cut,
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
        let is_cut = match stream.window.fill(FILE_HEADER) {
            Ok(_) => false,
            Err(error) => !stream.end_or_error(error)?,
        };
        let start = stream.window.bytes(FILE_HEADER);
        let format = if is_cut {
            ContainerFormat::Cut
        } else if start.starts_with(SECTION_HEADER) {
            ContainerFormat::Pcapng(Box::default())
        } else {
            match parse_pcap_header(start) {
                Ok((_, header)) => {
                    stream.window.skip(FILE_HEADER);
                    ContainerFormat::Pcap(PcapFormat::new(&header))
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
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        let Self { stream, format } = self;
        match format {
            ContainerFormat::Pcap(format) => next_of_pcap(stream, *format),
            ContainerFormat::Pcapng(sections) => sections.next(stream),
            ContainerFormat::Cut => Ok(Next::Cut(0)),
        }
    }
}

impl CaptureStream {
    /// Reads until so many bytes are there. Returns whether they are: a compressed stream that
    /// breaks off ends there.
    #[inline]
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

/// How the packets of a file of pcap are written.
#[derive(Clone, Copy)]
struct PcapFormat {
    is_big_endian: bool,
    /// The length of a packet's header.
    header: usize,
    /// Nanoseconds in the unit of a packet's time.
    unit: i64,
    link: u16,
}

impl PcapFormat {
    fn new(header: &PcapHeader) -> Self {
        /// Above them are flags, such as the length of a frame check sequence.
        const LINK_BITS: i32 = 0xffff;
        Self {
            is_big_endian: header.is_bigendian(),
            header: match header.is_modified_format() {
                true => MODIFIED_HEADER,
                false => PACKET_HEADER,
            },
            unit: match header.is_nanosecond_precision() {
                true => 1,
                false => 1000,
            },
            link: (header.network.0 & LINK_BITS) as u16,
        }
    }

    /// Whether what was read as a packet's time are the magic number and the version of a file.
    fn is_file_header(self, seconds: u32, fraction: u32) -> bool {
        const MAGIC: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
        const MAJOR: [u8; 2] = [2, 0];
        const MINOR: [u8; 2] = [4, 0];
        let version = match self.is_big_endian {
            true => [MAJOR[1], MAJOR[0], MINOR[1], MINOR[0]],
            false => [MAJOR[0], MAJOR[1], MINOR[0], MINOR[1]],
        };
        MAGIC.contains(&seconds) && fraction == self.number(version)
    }

    fn number(self, bytes: [u8; 4]) -> u32 {
        match self.is_big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        }
    }
}

/// The next packet. Its header is read here and not by pcap-parser, which reads it a second time.
#[inline]
fn next_of_pcap(stream: &mut CaptureStream, format: PcapFormat) -> Result<Next<'_>, CaptureError> {
    if !stream.fill(format.header)? {
        return Ok(stream.end());
    }
    let start = stream.window.bytes(PACKET_HEADER).as_chunks().0;
    let &[seconds, fraction, captured, length] = start else {
        return Ok(stream.end());
    };
    let [seconds, fraction, captured, length] =
        [seconds, fraction, captured, length].map(|field| format.number(field));
    if captured == 0 && format.is_file_header(seconds, fraction) {
        return Err(stream.corrupt(
            "a second file header; name captures one after another instead of joining them",
        ));
    }
    if captured > LONGEST_PACKET {
        return Err(stream.corrupt(format!("a packet of {captured} bytes")));
    }
    if !stream.fill(format.header + captured as usize)? {
        return Ok(stream.end());
    }
    stream.window.skip(format.header + captured as usize);
    // A fraction above a second carries over, as libpcap has it.
    let fraction = i64::from(fraction) * format.unit;
    let carried = fraction / i64::from(NANOSECONDS);
    Ok(Next::Packet(Captured {
        time: Some(time(
            i64::from(seconds) + carried,
            fraction % i64::from(NANOSECONDS),
        )),
        link: format.link,
        interface: None,
        bytes: stream.window.skipped(captured as usize),
        length,
        upcoming: upcoming_of_pcap(stream, format),
    }))
}

/// The bytes of the packet at the current place, if it has been read as a whole.
#[inline]
fn upcoming_of_pcap(stream: &CaptureStream, format: PcapFormat) -> Option<&[u8]> {
    let rest = stream.window.bytes(usize::MAX);
    let &[_, _, captured, _] = rest.first_chunk::<PACKET_HEADER>()?.as_chunks().0 else {
        return None;
    };
    let captured = format.number(captured);
    // Without any bytes it may be the header of a file.
    let is_packet = (1..=LONGEST_PACKET).contains(&captured);
    let packet = rest.get(format.header..format.header + captured as usize);
    packet.filter(|_| is_packet)
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
