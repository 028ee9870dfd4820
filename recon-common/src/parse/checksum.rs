//! Whether this host's stack takes a segment, or drops it without an answer.
//!
//! In: a [`Datagram`] with a whole TCP header. Out: whether it is whole and plain, ends with its
//! header, and has the right checksum (RFC 9293, 3.1).
//! The decision held here: only SYN-ACKs are asked about, which excuse a reset. One with options of
//! IP, with extension headers or with data gives no reason to excuse anything: no stack answers a
//! forged SYN with that. Nor does one without its checksum, which only a neighbour on the same
//! machine sends. The sum is of whole words, since each field is one load.

use super::network::Datagram;
use crate::Packet;
use crate::packet::Fields;
use crate::protocol::TCP_HEADER;

/// Bytes of a word, in which TCP counts its header's length.
const WORD: usize = 4;
/// Words of the longest options.
const MOST_OPTIONS: usize = 10;

/// Whether the stack takes the segment, whose header says that it has so many words.
#[inline(always)]
pub(super) fn is_taken<P: Packet + ?Sized>(datagram: &Datagram<'_, P>, words: u8) -> bool {
    let segment = datagram.payload;
    let length = usize::from(words) * WORD;
    if segment.left() != length || !datagram.is_plain() {
        return false;
    }
    let (Some(header), Some(addresses)) =
        (segment.peek::<TCP_HEADER>(), datagram.sum_of_addresses())
    else {
        return false;
    };
    let mut sum = addresses + u64::from(datagram.protocol) + length as u64;
    sum += u64::from(header.u32::<0>()) + u64::from(header.u32::<4>());
    sum += u64::from(header.u32::<8>()) + u64::from(header.u32::<12>());
    sum += u64::from(header.u32::<16>());
    for option in 0..MOST_OPTIONS {
        let start = TCP_HEADER + option * WORD;
        if start >= length {
            break;
        }
        let Some(word) = segment.skip(start).peek::<WORD>() else {
            return false;
        };
        sum += u64::from(word.u32::<0>());
    }
    fold(sum) == u16::MAX
}

/// The sum of the 16-bit numbers in a sum of words, with its carries (RFC 1071).
#[inline(always)]
const fn fold(sum: u64) -> u16 {
    let words = (sum & u32::MAX as u64) + (sum >> u32::BITS);
    // 34 bits at most, then 19, 17 and 16.
    let mut halves = (words & u16::MAX as u64) + (words >> u16::BITS);
    halves = (halves & u16::MAX as u64) + (halves >> u16::BITS);
    halves = (halves & u16::MAX as u64) + (halves >> u16::BITS);
    halves as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_come_back() {
        for (sum, expected) in [
            (0, 0),
            (0xffff, 0xffff),
            (0x1_0000, 1),
            (0xffff_0001, 1),
            (0x1_ffff_ffff, 1),
            (0xff_ffff_ffff, 0xff),
        ] {
            assert_eq!(fold(sum), expected, "{sum:#x}");
        }
    }
}
