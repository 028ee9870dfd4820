//! Link layers behind headers of drivers and firewalls, a row each.

use super::*;

#[test]
fn headers_of_drivers_and_firewalls_lead_to_the_packet() {
    let ethernet = [ETHERNET, SYN].concat();
    let expected = parse(&ethernet[..], Direction::In).expect("a SYN counts");
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let wireless = [&[8, 0][..], &[0; 22], &snap, SYN].concat();
    let wireless_behind = |header: &[u8]| [header, &wireless].concat();
    let packet_behind = |header: &[u8]| [header, SYN].concat();
    let attributes = [2, 0, 0, 0, 6, 0, 10, 0, b'a', 0, 0, 0, 44, 0, 9, 0];
    let endless = [2, 0, 0, 0, 0, 0, 10, 0, b'a', 0, 0, 0];
    let (cut, none) = (Some(Unreadable::Cut), Some(Unreadable::NoNetwork));
    // (name, link type, packet, why it gives none)
    for (name, number, bytes, why) in [
        (
            "PPI",
            192,
            wireless_behind(&[0, 0, 8, 0, 105, 0, 0, 0]),
            None,
        ),
        (
            "PPI in PPI",
            192,
            packet_behind(&[0, 0, 8, 0, 192, 0, 0, 0]),
            none,
        ),
        (
            "PPI, too long",
            192,
            packet_behind(&[0, 0, 99, 0, 105, 0, 0, 0]),
            cut,
        ),
        (
            "Prism",
            119,
            wireless_behind(&[0, 0, 0, 0, 8, 0, 0, 0]),
            None,
        ),
        ("AVS", 163, wireless_behind(&[0, 0, 0, 1, 0, 0, 0, 8]), None),
        ("pflog", 117, packet_behind(&[5, 2, 0, 0, 0, 0, 0, 0]), None),
        ("IPsec's interface", 109, packet_behind(&[0; 12]), None),
        ("NFLOG", 239, packet_behind(&attributes), None),
        ("NFLOG, cut", 239, attributes[..14].to_vec(), none),
        (
            "NFLOG, without a length",
            239,
            packet_behind(&endless),
            none,
        ),
        (
            "PPP with a direction",
            204,
            packet_behind(&[0, 0xff, 3, 0, 0x21]),
            None,
        ),
        ("pppd", 166, packet_behind(&[1, 3, 0, 0x21]), None),
        ("SLIP", 8, packet_behind(&[0; 16]), None),
        (
            "frame relay",
            107,
            packet_behind(&[0x18, 0x41, 3, 0xcc]),
            None,
        ),
        (
            "frame relay, Cisco",
            107,
            packet_behind(&[0x18, 0x41, 8, 0]),
            None,
        ),
        (
            "frame relay, its own messages",
            107,
            packet_behind(&[0, 1, 3, 8]),
            none,
        ),
        ("nothing", 119, vec![], cut),
    ] {
        let link = Link::of(number).expect(name);
        let mut reader = LinkReader::default();
        let read = reader.read(link, &bytes);
        assert_eq!(read.err(), why, "{name}");
        let parsed = match reader.read(link, &bytes) {
            Ok(LinkFrame::Ethernet(frame)) => parse(frame, Direction::In),
            Ok(LinkFrame::Bare(packet)) => parse(&BarePacket(packet), Direction::In),
            Err(_) => continue,
        };
        assert_eq!(parsed, Ok(expected), "{name}");
    }
}
