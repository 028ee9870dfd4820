//! Packets that count as nothing, once each.

use super::*;

const CLIENT: [u8; 4] = [198, 51, 100, 7];
const SERVER: [u8; 4] = [203, 0, 113, 53];

/// A datagram of 12 bytes.
fn datagram(from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
    let start = [0x45, 0, 0, 40, 0, 1, 0, 0, 64, ip_protocol::UDP, 0, 0];
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    let rest = [0, 20, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&start[..], &from.0, &to.0, &ports, &rest].concat()
}

#[test]
fn what_is_withheld_counts_once() {
    let networks = || {
        let network = "198.51.100.0/24".parse().expect("a network");
        LocalAddresses::Networks([network].into_iter().collect())
    };
    let asks = datagram((CLIENT, 40_000), (SERVER, 53));
    let answers = datagram((SERVER, 53), (CLIENT, 40_001));
    for locals in [LocalAddresses::All, networks()] {
        let mut engine = Engine::new(locals);
        for packet in [&asks, &answers] {
            let frame = LinkFrame::Bare(packet);
            let located = engine.locate(frame);
            engine.observe(frame, located, 0, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(engine.two_way.withheld, 1, "{:?}", engine.locals);
    }
}
