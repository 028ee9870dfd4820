//! Captures as programs write them, byte by byte.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// A packet: when it came (seconds, nanoseconds), its bytes, and its length on the wire.
pub(crate) type Written<'a> = (u32, u32, &'a [u8], u32);

/// Numbers in one byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) fn word(self, number: u32) -> [u8; 4] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    pub(crate) fn half(self, number: u16) -> [u8; 2] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }
}

/// The header of a pcap file with that magic number.
pub(crate) fn pcap_header(order: Order, magic: u32, link: u32) -> Vec<u8> {
    let words = [0, 0, 65_535, link].map(|number| order.word(number));
    let version = [2, 4].map(|number| order.half(number));
    [
        &order.word(magic)[..],
        version.as_flattened(),
        words.as_flattened(),
    ]
    .concat()
}

/// A pcap file; `is_fine` says that times have nanoseconds.
pub(crate) fn pcap(order: Order, is_fine: bool, link: u32, packets: &[Written<'_>]) -> Vec<u8> {
    let (magic, unit) = match is_fine {
        true => (0xa1b2_3c4d, 1),
        false => (0xa1b2_c3d4, 1000),
    };
    let mut file = pcap_header(order, magic, link);
    for &(second, nanosecond, bytes, length) in packets {
        let captured = u32::try_from(bytes.len()).expect("short");
        for number in [second, nanosecond / unit, captured, length] {
            file.extend(order.word(number));
        }
        file.extend(bytes);
    }
    file
}

/// A block of pcapng.
pub(crate) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = order.word(u32::try_from(12 + padded).expect("short"));
    let mut block = [&order.word(kind)[..], &length, body].concat();
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}

pub(crate) fn section(order: Order) -> Vec<u8> {
    let version = [1, 0].map(|number| order.half(number));
    let body = [
        &order.word(0x1a2b_3c4d)[..],
        version.as_flattened(),
        &[0xff; 8],
    ]
    .concat();
    block(order, 0x0a0d_0d0a, &body)
}

/// An option of a block.
pub(crate) fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let length = order.half(u16::try_from(value.len()).expect("short"));
    let mut option = [&order.half(code)[..], &length, value].concat();
    option.resize(4 + value.len().next_multiple_of(4), 0);
    option
}

pub(crate) fn interface(order: Order, link: u16, options: &[Vec<u8>]) -> Vec<u8> {
    let mut body = [&order.half(link)[..], &[0; 2], &order.word(0)].concat();
    body.extend(options.concat());
    if !options.is_empty() {
        body.extend(option(order, 0, &[]));
    }
    block(order, 1, &body)
}

pub(crate) fn enhanced(
    order: Order,
    interface: u32,
    ticks: u64,
    bytes: &[u8],
    length: u32,
) -> Vec<u8> {
    let captured = u32::try_from(bytes.len()).expect("short");
    let words = [
        interface,
        (ticks >> 32) as u32,
        ticks as u32,
        captured,
        length,
    ];
    let mut body = words
        .map(|number| order.word(number))
        .as_flattened()
        .to_vec();
    body.extend(bytes);
    block(order, 6, &body)
}

pub(crate) fn simple(order: Order, bytes: &[u8], length: u32) -> Vec<u8> {
    block(order, 3, &[&order.word(length)[..], bytes].concat())
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// A frame of zstd that readers skip.
pub(crate) fn zstd_skipped(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [
        &0x184d_2a50_u32.to_le_bytes()[..],
        &length.to_le_bytes(),
        bytes,
    ]
    .concat()
}
