//! What is taken for data of a connection, against the parser.

use proptest::collection::vec;
use proptest::prelude::*;
use recon_common::packet::BarePacket;
use recon_common::{Direction, FrameClass, parse};

use super::PacketEnds;
use crate::capture::LinkFrame;

/// Ethernet, IPv4 or IPv6, and an acknowledgement to port 443 with four bytes of data.
fn frame(is_v6: bool) -> Vec<u8> {
    let tcp = [
        &[0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 7, 0, 0, 0, 9][..],
        &[0x50, 0x10, 4, 0, 0, 0, 0, 0],
        b"GET ",
    ]
    .concat();
    let hardware = [2; 12];
    let network = match is_v6 {
        true => [
            &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 6, 64][..],
            &[0x20; 16],
            &[0x21; 16],
        ]
        .concat(),
        false => [
            &[8, 0, 0x45, 0, 0, 44, 0, 1, 0, 0, 64, 6, 0, 0][..],
            &[198, 51, 100, 2, 203, 0, 113, 1],
        ]
        .concat(),
    };
    [&hardware[..], &network, &tcp].concat()
}

/// The class that the parser gives a frame that is taken for data, each way.
fn classes_of_data(frame: LinkFrame<'_>) -> Option<[Option<FrameClass>; 2]> {
    let header = frame.network().and_then(PacketEnds::read)?;
    let is_data = header.is_data && frame.is_plain();
    let segment = header.segment.filter(|_| is_data)?;
    let class = |direction| match frame {
        LinkFrame::Ethernet(bytes) => parse(bytes, direction).err(),
        LinkFrame::Bare(bytes) => parse(&BarePacket(bytes), direction).err(),
    };
    // The parser looks for requests, so it is asked all the same.
    let inbound = match segment.may_be_request() {
        true => Some(FrameClass::Established),
        false => class(Direction::In),
    };
    Some([class(Direction::Out), inbound])
}

#[test]
fn an_acknowledgement_is_data() {
    for is_v6 in [false, true] {
        let frame = frame(is_v6);
        let expected = Some([Some(FrameClass::Established); 2]);
        assert_eq!(classes_of_data(LinkFrame::Ethernet(&frame)), expected);
        assert_eq!(classes_of_data(LinkFrame::Bare(&frame[14..])), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever is taken for data shows nothing and is not lost.
    #[test]
    fn the_parser_takes_nothing_else_for_data(
        is_v6: bool,
        is_bare: bool,
        changes in vec((0_usize..78, any::<u8>()), 0..4),
        length in 30_usize..80,
    ) {
        let mut frame = frame(is_v6);
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(length);
        let frame = match is_bare {
            true => LinkFrame::Bare(&frame[14..]),
            false => LinkFrame::Ethernet(&frame),
        };
        if let Some(classes) = classes_of_data(frame) {
            for class in classes {
                let is_nothing = matches!(class, Some(FrameClass::Established | FrameClass::Ignored(_)));
                prop_assert!(is_nothing, "{frame:?}: {class:?}");
            }
        }
    }
}
