//! Bytes that nobody meant: reading ends, without a panic, and gives what is there.

use proptest::prelude::*;

use super::written::{
    Order, gzip, interface, pcap, pcap_header, section, simple, zstd, zstd_skipped,
};
use super::*;

/// Files with each kind of header.
fn files() -> Vec<Vec<u8>> {
    let order = Order::Big;
    vec![
        pcap(Order::Little, false, LINK, TWO),
        pcap(order, true, 1, TWO),
        [pcap_header(Order::Little, 0xa1b2_cd34, LINK), vec![0; 64]].concat(),
        two_sections(),
        [
            section(order),
            interface(order, 101, &[]),
            simple(order, SYN, 40),
        ]
        .concat(),
        gzip(&two_sections()),
        [zstd(&two_sections()), zstd_skipped(b"note")].concat(),
    ]
}

proptest! {
    /// Whatever a file says, reading it ends, and gives no more bytes than it has.
    #[test]
    fn no_file_is_too_broken(
        number in 0..7_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        length in any::<prop::sample::Index>(),
        tail in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut file = files().swap_remove(number);
        for (place, value) in changes {
            let place = place.index(file.len());
            file[place] = value;
        }
        file.truncate(length.index(file.len() + 1));
        file.extend(tail);
        let is_plain = number < 5;
        let total = file.len();
        let (packets, _) = read(file);
        let sum: usize = packets.iter().map(|(_, bytes, ..)| bytes.len()).sum();
        prop_assert!(!is_plain || sum <= total, "{sum} of {total} bytes");
    }

    /// Whatever a packet says, its link layer is read or not.
    #[test]
    fn no_packet_is_too_broken(
        link in prop::sample::select(vec![
            0, 1, 8, 9, 101, 107, 113, 117, 119, 127, 163, 166, 192, 204, 239, 276,
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut reader = LinkReader::default();
        if let Ok(frame) = reader.read(Link::of(link).expect("known"), &bytes) {
            frame.network();
        }
    }
}
