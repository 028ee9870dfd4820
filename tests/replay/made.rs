//! Captures that are made packet by packet.

use anyhow::Result;
use recon_tests::frame::{Path, syn};
use recon_tests::lab::{ATTACKER, HOST};

/// When captures begin.
pub(crate) const START: u32 = 1_700_000_000;
/// A frame and the second of its time.
pub(crate) type Packet = (u32, Vec<u8>);

/// A pcap file of Ethernet frames.
pub(crate) fn pcap(packets: &[Packet]) -> Vec<u8> {
    const ETHERNET: u32 = 1;
    header(ETHERNET)
        .into_iter()
        .chain(records(packets))
        .collect()
}

pub(crate) fn header(link: u32) -> Vec<u8> {
    [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link]
        .map(u32::to_le_bytes)
        .concat()
}

pub(crate) fn records(packets: &[Packet]) -> Vec<u8> {
    let record = |(second, frame): &Packet| {
        let length = u32::try_from(frame.len()).expect("a frame is short");
        let head = [*second, 0, length, length].map(u32::to_le_bytes).concat();
        [head, frame.clone()].concat()
    };
    packets.iter().flat_map(record).collect()
}

/// SYNs to so many ports, one each `pause` seconds.
pub(crate) fn scan(ports: u16, pause: u32) -> Result<Vec<Packet>> {
    let path = Path::new(ATTACKER, HOST);
    (0..ports)
        .map(|number| {
            let second = START + u32::from(number) * pause;
            Ok((second, path.tcp(syn(2000 + number), &[])?))
        })
        .collect()
}
