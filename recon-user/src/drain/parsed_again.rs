//! Where the kernel programs stopped to parse a frame.
//!
//! In: the frame's first bytes and its length. Out: the offset of the header that is missing, or
//! of no use.
//! The decision held here: the same parser parses the frame once more. It may need a byte that is
//! not among those the kernel has sent, or find another reason than the kernel did (whose hook read
//! less of the frame): then the place is unknown, and not guessed.

use std::cell::Cell;

use recon_common::{FrameClass, LostFrame, Packet, parse};

/// Where the parser stops in a frame of that length which begins with `bytes`.
pub(super) fn stop_of(lost: LostFrame, bytes: &[u8], length: usize) -> Option<usize> {
    match lost.origin.is_bare {
        true => parse_again::<true>(lost, bytes, length),
        false => parse_again::<false>(lost, bytes, length),
    }
}

fn parse_again<const IS_BARE: bool>(lost: LostFrame, bytes: &[u8], length: usize) -> Option<usize> {
    let frame = FrameStart::<IS_BARE> {
        bytes,
        length,
        stop: Cell::new(None),
        lacks_bytes: Cell::new(false),
    };
    let class = match parse(&frame, lost.origin.direction) {
        Ok(_) => FrameClass::Signal,
        Err(class) => class,
    };
    let is_same = class == FrameClass::Lost(lost.loss) && !frame.lacks_bytes.get();
    frame.stop.get().filter(|_| is_same)
}

/// The first bytes of a frame.
struct FrameStart<'a, const IS_BARE: bool> {
    bytes: &'a [u8],
    length: usize,
    /// Where the parser stopped last.
    stop: Cell<Option<usize>>,
    /// Whether it has asked for more bytes that the frame has.
    lacks_bytes: Cell<bool>,
}

impl<const IS_BARE: bool> Packet for FrameStart<'_, IS_BARE> {
    const STARTS_WITH_IP: bool = IS_BARE;

    type Header<const N: usize> = [u8; N];

    fn header<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let bytes = self.bytes.header(offset);
        if bytes.is_none() && offset + N <= self.length {
            self.lacks_bytes.set(true);
        }
        bytes
    }

    fn payload<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.header(offset)
    }

    fn note_stop(&self, offset: usize) {
        self.stop.set(Some(offset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recon_common::{Direction, FrameOrigin, Loss};

    /// An Ethernet header, and an IPv4 header of 20 bytes before TCP, which says that the datagram
    /// has 40.
    const IPV4: [u8; 34] = [
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 198, 51,
        100, 2, 198, 51, 100, 1,
    ];

    /// That frame with another byte in one place, padded to that length.
    fn frame(at: usize, byte: u8, length: usize) -> Vec<u8> {
        let mut frame = IPV4.to_vec();
        frame[at] = byte;
        frame.resize(length, 0);
        frame
    }

    /// That many tags before the frame's own type.
    fn tagged(tags: usize) -> Vec<u8> {
        let mut frame = IPV4[..12].to_vec();
        frame.extend([0x81, 0, 0, 1].repeat(tags));
        frame.extend(&IPV4[12..]);
        frame
    }

    #[test]
    fn the_place_is_where_the_header_begins() {
        for (name, frame, loss, is_bare, expected) in [
            (
                "no whole Ethernet header",
                vec![0; 9],
                Loss::Truncated,
                false,
                Some(0),
            ),
            (
                "no whole IPv4 header",
                frame(0, 2, 34)[..30].to_vec(),
                Loss::Truncated,
                false,
                Some(14),
            ),
            (
                "IPv4 header of 16 bytes",
                frame(14, 0x44, 60),
                Loss::Malformed,
                false,
                Some(14),
            ),
            (
                "another version",
                frame(14, 0x55, 60),
                Loss::Malformed,
                false,
                Some(14),
            ),
            (
                "longer header than datagram",
                frame(17, 19, 60),
                Loss::Malformed,
                false,
                Some(14),
            ),
            (
                "no TCP header",
                frame(0, 2, 34),
                Loss::Truncated,
                false,
                Some(34),
            ),
            (
                "TCP header in the padding",
                frame(17, 30, 60),
                Loss::Truncated,
                false,
                Some(34),
            ),
            (
                "a cut tag",
                tagged(3)[..22].to_vec(),
                Loss::Truncated,
                false,
                Some(22),
            ),
            (
                "without Ethernet",
                frame(14, 0x44, 60)[14..].to_vec(),
                Loss::Malformed,
                true,
                Some(0),
            ),
            (
                "another reason than here",
                frame(14, 0x44, 60),
                Loss::TooDeep,
                false,
                None,
            ),
            ("whole", frame(0, 2, 60), Loss::Truncated, false, None),
        ] {
            let lost = LostFrame {
                loss,
                origin: FrameOrigin {
                    direction: Direction::In,
                    is_bare,
                },
            };
            assert_eq!(stop_of(lost, &frame, frame.len()), expected, "{name}");
        }
    }

    #[test]
    fn what_was_not_sent_is_not_guessed() {
        let lost = LostFrame {
            loss: Loss::Truncated,
            origin: FrameOrigin::of::<[u8]>(Direction::In),
        };
        let frame = tagged(100);
        assert_eq!(stop_of(lost, &frame[..256], frame.len()), None);
        // Two tags are the most on the way out.
        let lost = LostFrame {
            loss: Loss::TooDeep,
            origin: FrameOrigin::of::<[u8]>(Direction::Out),
        };
        assert_eq!(stop_of(lost, &frame[..256], frame.len()), Some(22));
    }
}
