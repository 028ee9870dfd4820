//! Containers, compression and link layers, a row each; and bytes that nobody meant.

mod robust;
mod upcoming;
mod wrapped;
pub(crate) mod written;

use std::io::Cursor;

use jiff::Timestamp;
use recon_common::packet::BarePacket;
use recon_common::{Direction, parse};

use super::*;
use written::{
    Order, Written, block, enhanced, gzip, interface, option, pcap, section, simple, zstd,
    zstd_skipped,
};

/// A SYN from 198.51.100.2 to 203.0.113.1, port 22.
const SYN: &[u8] = &[
    0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 198, 51, 100, 2, 203, 0, 113, 1, // IPv4
    0x9c, 0x40, 0, 22, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0, // TCP
];
const ETHERNET: &[u8] = &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
const LINK: u32 = 101;
/// Two packets, of the second only a part.
const TWO: &[Written<'static>] = &[
    (1_700_000_000, 123_456_000, SYN, 40),
    (1_700_000_001, 999_999_000, SYN, 1500),
];

/// What was read of a packet: its time as text, its bytes, its length, its interface.
pub(crate) type Found = (Option<String>, Vec<u8>, u32, Option<&'static str>);

/// All packets of a file, and how it ended.
pub(crate) fn read(file: Vec<u8>) -> (Vec<Found>, Result<Option<u64>, CaptureError>) {
    let mut packets = Vec::new();
    let input = Input::of("file".to_owned(), Cursor::new(file), None);
    let mut container = match input.and_then(CaptureContainer::open) {
        Ok(container) => container,
        Err(error) => return (packets, Err(error)),
    };
    let mut upcoming: Option<Vec<u8>> = None;
    let end = loop {
        match container.next() {
            Ok(Next::Packet(packet)) => {
                assert!(upcoming.is_none_or(|upcoming| upcoming == packet.bytes));
                upcoming = packet.upcoming.map(<[u8]>::to_vec);
                packets.push((
                    packet.time.map(|time| time.to_string()),
                    packet.bytes.to_vec(),
                    packet.length,
                    packet.interface.map(Name::text),
                ));
            }
            Ok(Next::End) => break Ok(None),
            Ok(Next::Cut(position)) => break Ok(Some(position)),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(upcoming, None);
    (packets, end)
}

fn expected_two() -> Vec<Found> {
    let time = |text: &str| Some(text.to_owned());
    vec![
        (time("2023-11-14T22:13:20.123456Z"), SYN.to_vec(), 40, None),
        (
            time("2023-11-14T22:13:21.999999Z"),
            SYN.to_vec(),
            1500,
            None,
        ),
    ]
}

/// A file of pcapng with `TWO` in two sections of both byte orders, with names, units and offsets.
fn two_sections() -> Vec<u8> {
    let (little, big) = (Order::Little, Order::Big);
    let named =
        |order, name: &[u8], units: u8| vec![option(order, 2, name), option(order, 9, &[units])];
    let offset = option(big, 14, &1_000_000_000_i64.to_be_bytes());
    [
        section(little),
        interface(little, 1, &[]),
        interface(little, 101, &named(little, b"veth0", 9)),
        block(little, 4, &[0; 20]),
        enhanced(little, 1, 1_700_000_000_123_456_000, SYN, 40),
        section(big),
        interface(big, 101, &[named(big, b"eth1", 6), vec![offset]].concat()),
        enhanced(big, 0, 700_000_001_999_999, SYN, 1500),
    ]
    .concat()
}

#[test]
fn containers_give_the_same_packets() {
    let mut rows: Vec<(String, Vec<u8>)> = Vec::new();
    for order in [Order::Little, Order::Big] {
        for is_fine in [false, true] {
            let file = pcap(order, is_fine, LINK, TWO);
            rows.push((format!("pcap {order:?}, nanoseconds {is_fine}"), file));
        }
    }
    let file = pcap(Order::Little, false, LINK, TWO);
    let (first, second) = file.split_at(70);
    rows.push(("gzip".to_owned(), gzip(&file)));
    rows.push((
        "gzip, two members".to_owned(),
        [gzip(first), gzip(second)].concat(),
    ));
    rows.push(("zstd".to_owned(), zstd(&file)));
    let frames = [zstd(first), zstd_skipped(b"note"), zstd(second)].concat();
    rows.push(("zstd, three frames".to_owned(), frames));
    let frames = [zstd_skipped(b"seek table"), zstd(&file)].concat();
    rows.push(("zstd, one to be skipped first".to_owned(), frames));
    // The lowest 16 bits are the link type.
    rows.push((
        "pcap, flags".to_owned(),
        pcap(Order::Big, true, 0x5400_0000 | LINK, TWO),
    ));
    for (name, file) in rows {
        let (packets, end) = read(file);
        assert_eq!(packets, expected_two(), "{name}");
        assert!(matches!(end, Ok(None)), "{name}: {end:?}");
    }
    let (packets, end) = read(two_sections());
    let names = [Some("veth0"), Some("eth1")];
    let named: Vec<Found> = expected_two()
        .into_iter()
        .zip(names)
        .map(|((time, bytes, length, _), name)| (time, bytes, length, name))
        .collect();
    assert_eq!(packets, named);
    assert!(matches!(end, Ok(None)), "{end:?}");
}

#[test]
fn units_of_time_are_powers_of_ten_and_of_two() {
    let order = Order::Little;
    for (code, ticks, expected) in [
        (0, 1_700_000_000, "2023-11-14T22:13:20Z"),
        (3, 1_700_000_000_500, "2023-11-14T22:13:20.5Z"),
        (0x80 | 1, 3_400_000_001, "2023-11-14T22:13:20.5Z"),
        (
            0x80 | 30,
            1_700_000_000 << 30 | 1 << 28,
            "2023-11-14T22:13:20.25Z",
        ),
        // No number of 64 bits has that many units: the default.
        (20, 1_700_000_000_000_000, "2023-11-14T22:13:20Z"),
        (0x80 | 64, 1_700_000_000_000_000, "2023-11-14T22:13:20Z"),
        // Later than what can be written.
        (0, u64::MAX, "9999-12-30T22:00:00.999999999Z"),
    ] {
        let units = vec![option(order, 9, &[code])];
        let file = [
            section(order),
            interface(order, 101, &units),
            enhanced(order, 0, ticks, SYN, 40),
        ];
        let (packets, _) = read(file.concat());
        let times: Vec<_> = packets.into_iter().filter_map(|(time, ..)| time).collect();
        assert_eq!(times, [expected], "{code:#x}");
    }
}

#[test]
fn a_simple_packet_has_no_time() {
    let order = Order::Big;
    let file = [
        section(order),
        interface(order, 101, &[]),
        simple(order, SYN, 40),
    ];
    let (packets, end) = read(file.concat());
    assert_eq!(packets, [(None, SYN.to_vec(), 40, None)]);
    assert!(matches!(end, Ok(None)), "{end:?}");
}

#[test]
fn a_cut_file_gives_what_it_holds() {
    let file = pcap(Order::Little, false, LINK, TWO);
    // The header, then 16 bytes and 40 of each packet.
    for length in 24..file.len() {
        let (packets, end) = read(file[..length].to_vec());
        let whole = (length - 24) / 56;
        assert_eq!(packets, expected_two()[..whole], "{length}");
        let is_cut = (length - 24) % 56 != 0;
        let expected = is_cut.then_some(24 + 56 * whole as u64);
        assert!(
            matches!(end, Ok(end) if end == expected),
            "{length}: {end:?}"
        );
    }
    let whole = two_sections();
    for length in 12..whole.len() {
        let (packets, end) = read(whole[..length].to_vec());
        assert!(packets.len() < 2, "{length}");
        // A block may end there.
        assert!(end.is_ok(), "{length}: {end:?}");
    }
    let many = vec![TWO[0]; 5000];
    let file = pcap(Order::Little, false, LINK, &many);
    for (name, packed) in [("gzip", gzip(&file)), ("zstd", zstd(&file))] {
        let (packets, end) = read(packed[..packed.len() / 2].to_vec());
        assert!(end.is_ok(), "{name}: {end:?}");
        assert!(
            packets.len() < many.len(),
            "{name}: {} packets",
            packets.len()
        );
    }
}

#[test]
fn what_makes_no_sense_has_a_place() {
    let order = Order::Little;
    let first = pcap(order, false, LINK, &TWO[..1]);
    let huge = [0, 0, u32::MAX, 40].map(|number| order.word(number));
    let ng = [section(order), interface(order, 101, &[])].concat();
    let start = ng.len();
    let with = |block: Vec<u8>| [ng.clone(), enhanced(order, 0, 0, SYN, 40), block].concat();
    let second = start + enhanced(order, 0, 0, SYN, 40).len();
    let mut long = enhanced(order, 0, 0, SYN, 40);
    // The captured length, which is more than the block holds.
    long[20..24].copy_from_slice(&order.word(400));
    let mut unequal = enhanced(order, 0, 0, SYN, 40);
    let last = unequal.len() - 4;
    unequal[last] ^= 4;
    let gigantic = [6, 0xffff_fffc, 0].map(|number| order.word(number));
    // (name, file, packets before it, message)
    for (name, file, before, message) in [
        (
            "no capture",
            b"PK\x03\x04, an archive of files".to_vec(),
            0,
            "is no capture",
        ),
        ("text", b"hello".to_vec(), 0, "is no capture"),
        ("an empty file", Vec::new(), 0, "is no capture"),
        (
            "two files joined",
            [first.clone(), first.clone()].concat(),
            1,
            "at byte 80: a second file header",
        ),
        (
            "a packet of 4 GiB",
            [first, huge.as_flattened().to_vec()].concat(),
            1,
            "corrupt at byte 80: a packet of 4294967295 bytes",
        ),
        (
            "a block of 4 GiB",
            with(gigantic.as_flattened().to_vec()),
            1,
            "a block of 4294967292 bytes",
        ),
        (
            "another interface",
            with(enhanced(order, 7, 0, SYN, 40)),
            1,
            "interface 7",
        ),
        ("a packet longer than its block", with(long), 1, "at byte"),
        ("two lengths", with(unequal), 1, "contradicts itself"),
        (
            "xz",
            b"\xfd7zXZ\0\0".to_vec(),
            0,
            "type `xzcat file | recon replay -`",
        ),
    ] {
        let (packets, end) = read(file);
        assert_eq!(packets.len(), before, "{name}");
        let error = end.expect_err(name).to_string();
        assert!(error.contains(message), "{name}: {error}");
        if before == 1 && !message.contains("at byte 80") {
            assert!(error.contains(&format!("byte {second}")), "{name}: {error}");
        }
    }
}

#[test]
fn link_layers_lead_to_the_same_packet() {
    let ethernet = [ETHERNET, SYN].concat();
    let expected = parse(&ethernet[..], Direction::In).expect("a SYN counts");
    let tagged = [&ETHERNET[..12], &[0x81, 0, 0, 5, 8, 0]].concat();
    let cooked = |kind: u8| [&[0, kind, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 8, 0], SYN].concat();
    let cooked_tagged = [
        &[
            0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 0x81, 0, 0, 5, 8, 0,
        ],
        SYN,
    ]
    .concat();
    let cooked2 = [
        &[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0],
        SYN,
    ]
    .concat();
    let wireless = |kind: u8, flags: u8, rest: usize| {
        let header = vec![0; rest];
        let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        [
            &[0, 0, 8, 0, 0, 0, 0, 0, kind, flags][..],
            &header,
            &snap,
            SYN,
        ]
        .concat()
    };
    let pppoe = |code: u8| [&[0x11, code, 0, 1, 0, 42, 0, 0x21], SYN].concat();
    for (name, number, bytes) in [
        ("Ethernet", 1, ethernet.clone()),
        ("Ethernet with a tag", 1, [&tagged, SYN].concat()),
        ("raw", 101, SYN.to_vec()),
        ("raw, BSD/OS", 12, SYN.to_vec()),
        ("IPv4", 228, SYN.to_vec()),
        ("loopback", 0, [&[2, 0, 0, 0], SYN].concat()),
        ("loopback, OpenBSD", 108, [&[0, 0, 0, 2], SYN].concat()),
        ("cooked", 113, cooked(0)),
        ("cooked, with a tag", 113, cooked_tagged),
        ("cooked 2", 276, cooked2),
        ("PPP", 9, [&[0xff, 3, 0, 0x21], SYN].concat()),
        ("PPP without HDLC", 9, [&[0, 0x21], SYN].concat()),
        ("PPP with a short protocol", 9, [&[0x21], SYN].concat()),
        ("PPPoE", 51, pppoe(0)),
        (
            "PPPoE over Ethernet",
            1,
            [&ETHERNET[..12], &[0x88, 0x64], &pppoe(0)].concat(),
        ),
        ("HDLC", 104, [&[0x0f, 0, 8, 0], SYN].concat()),
        ("802.11", 127, wireless(0x08, 0, 22)),
        ("802.11 alone", 105, wireless(0x08, 0, 22)[8..].to_vec()),
        ("802.11 with quality of service", 127, wireless(0x88, 1, 24)),
        ("802.11 between access points", 127, wireless(0x08, 3, 28)),
    ] {
        let link = Link::of(number).expect(name);
        let mut reader = LinkReader::default();
        let frame = reader.read(link, &bytes).expect(name);
        let parsed = match frame {
            LinkFrame::Ethernet(bytes) => parse(bytes, Direction::In),
            LinkFrame::Bare(bytes) => parse(&BarePacket(bytes), Direction::In),
        };
        let parsed = parsed.expect(name);
        assert_eq!(
            (parsed.flow, parsed.observation),
            (expected.flow, expected.observation),
            "{name}"
        );
        assert_eq!(frame.network(), Some(SYN), "{name}");
    }
    let mut reader = LinkReader::default();
    for (name, number, bytes, expected) in [
        ("to all", 113, cooked(1), None),
        ("cut", 113, cooked(0)[..15].to_vec(), Some(Unreadable::Cut)),
        (
            "beacon",
            127,
            wireless(0x80, 0, 22),
            Some(Unreadable::NoNetwork),
        ),
        (
            "encrypted",
            127,
            wireless(0x08, 0x40, 22),
            Some(Unreadable::NoNetwork),
        ),
        (
            "discovery of PPPoE",
            51,
            pppoe(9),
            Some(Unreadable::NoNetwork),
        ),
        ("LCP", 9, vec![0xc0, 0x21, 1], Some(Unreadable::NoNetwork)),
        ("nothing", 9, vec![], Some(Unreadable::Cut)),
    ] {
        let link = Link::of(number).expect(name);
        match (reader.read(link, &bytes), expected) {
            (Err(found), expected) => assert_eq!(Some(found), expected, "{name}"),
            (Ok(LinkFrame::Ethernet(frame)), None) => {
                assert!(parse(frame, Direction::In).is_err(), "{name}: to a group");
            }
            (Ok(frame), _) => panic!("{name}: {frame:?}"),
        }
    }
    assert_eq!(Link::of(147), None);
}

#[test]
fn times_before_1970_are_times() {
    let time = super::container::time(-1, 0);
    assert_eq!(time, Timestamp::from_second(-1).expect("a time"));
}
