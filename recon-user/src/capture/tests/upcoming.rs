//! The packet that comes next, which a replay looks at while one comes.

use std::io::Cursor;

use super::super::*;
use super::written::{Order, pcap};
use super::{LINK, SYN, TWO};

#[test]
fn a_packet_that_has_been_read_as_a_whole_is_upcoming() {
    let file = pcap(Order::Little, false, LINK, TWO);
    let second = file.len() - SYN.len();
    // (length of the file, whether the second packet is upcoming while the first one comes)
    for (length, expected) in [
        (file.len(), true),
        (file.len() - 1, false),
        (second, false),
        (second - 1, false),
    ] {
        let file = Cursor::new(file[..length].to_vec());
        let input = Input::of("file".to_owned(), file, None);
        let mut container = input.and_then(CaptureContainer::open).expect("a capture");
        let Ok(Next::Packet(first)) = container.next() else {
            panic!("no packet in {length} bytes");
        };
        assert_eq!(first.upcoming, expected.then_some(SYN), "{length}");
    }
}
