//! Frames that no builder makes: tags, options, extension headers, fragments, and wrong lengths.

use recon_common::protocol::{ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER};

/// The length to which Ethernet pads short frames.
const SHORTEST_FRAME: usize = 60;

/// The frame under VLAN tags with these ethertypes, outermost first.
pub(crate) fn tagged(frame: &[u8], ethertypes: &[u16]) -> Vec<u8> {
    const ADDRESSES: usize = 12;
    const VLAN: [u8; 2] = [0, 7];
    let (addresses, rest) = frame.split_at(ADDRESSES);
    let tags = ethertypes
        .iter()
        .flat_map(|ethertype| [ethertype.to_be_bytes(), VLAN].concat());
    addresses
        .iter()
        .copied()
        .chain(tags)
        .chain(rest.iter().copied())
        .collect()
}

/// The frame with one byte set.
pub(crate) fn with_byte(frame: &[u8], place: usize, byte: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[place] = byte;
    frame
}

/// The IPv4 frame with `words` words of no-operation options.
pub(crate) fn with_options(frame: &[u8], words: u8) -> Vec<u8> {
    const NO_OPERATION: u8 = 1;
    let options = vec![NO_OPERATION; usize::from(words) * 4];
    let mut frame = [
        &frame[..ETHERNET_HEADER + IPV4_HEADER],
        &options,
        &frame[ETHERNET_HEADER + IPV4_HEADER..],
    ]
    .concat();
    frame[ETHERNET_HEADER] += words;
    add_length(&mut frame, ETHERNET_HEADER + 2, options.len());
    frame
}

/// The IPv6 frame with these extension headers, `(kind, bytes from the second on)`, before its
/// payload.
pub(crate) fn with_extensions(frame: &[u8], extensions: &[(u8, &[u8])]) -> Vec<u8> {
    const NEXT_HEADER: usize = ETHERNET_HEADER + 6;
    let protocol = frame[NEXT_HEADER];
    let mut chain = Vec::new();
    for (position, (_, rest)) in extensions.iter().enumerate() {
        let next = extensions
            .get(position + 1)
            .map_or(protocol, |(kind, _)| *kind);
        chain.push(next);
        chain.extend_from_slice(rest);
    }
    let mut frame = [
        &frame[..ETHERNET_HEADER + IPV6_HEADER],
        &chain,
        &frame[ETHERNET_HEADER + IPV6_HEADER..],
    ]
    .concat();
    if let Some((first, _)) = extensions.first() {
        frame[NEXT_HEADER] = *first;
    }
    add_length(&mut frame, ETHERNET_HEADER + 4, chain.len());
    frame
}

/// The first fragment of an IPv4 frame that carries `payload` bytes of it, padded as Ethernet does.
pub(crate) fn first_fragment(frame: &[u8], payload: usize) -> Vec<u8> {
    const MORE_FRAGMENTS: u8 = 0x20;
    let mut frame = frame[..ETHERNET_HEADER + IPV4_HEADER + payload].to_vec();
    frame[ETHERNET_HEADER + 6] |= MORE_FRAGMENTS;
    let total = (IPV4_HEADER + payload) as u16;
    frame[ETHERNET_HEADER + 2..ETHERNET_HEADER + 4].copy_from_slice(&total.to_be_bytes());
    padded(frame)
}

/// A fragment of an IPv4 frame that is not the first.
pub(crate) fn later_fragment(frame: &[u8]) -> Vec<u8> {
    with_byte(frame, ETHERNET_HEADER + 7, 1)
}

/// The frame with zeros up to Ethernet's shortest length.
pub(crate) fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(SHORTEST_FRAME), 0);
    frame
}

fn add_length(frame: &mut [u8], place: usize, more: usize) {
    let length = u16::from_be_bytes([frame[place], frame[place + 1]]) + more as u16;
    frame[place..place + 2].copy_from_slice(&length.to_be_bytes());
}
