//! Headers of each kind, and what of a frame is behind them.

use std::vec::Vec;

use super::*;
use crate::packet::BarePacket;

const TO_HOST: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
/// What must not be among the headers.
const PAYLOAD: &[u8] = b"PAYLOAD!";
const FROM: [u8; 4] = [198, 51, 100, 2];
const TO: [u8; 4] = [198, 51, 100, 1];

fn ethernet(kind: u16, packet: &[u8]) -> Vec<u8> {
    [&TO_HOST[..], &kind.to_be_bytes(), packet].concat()
}

/// IPv4 with so many bytes of options, and that word of flags and fragment offset.
fn ipv4(protocol: u8, options: usize, fragment: u16, body: &[u8]) -> Vec<u8> {
    let length = 20 + options + body.len();
    let words = u8::try_from(5 + options / 4).expect("short");
    let mut packet = Vec::from([0x40 | words, 0]);
    packet.extend(u16::try_from(length).expect("short").to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(FROM);
    packet.extend(TO);
    packet.extend((0..options).map(|_| 1));
    packet.extend(body);
    packet
}

fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::from([0x60, 0, 0, 0]);
    packet.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
    packet.extend([next, 64]);
    for last in [2, 1] {
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(body);
    packet
}

/// TCP with so many words of options.
fn tcp(options: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::from([0x9c, 0x40, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0]);
    segment.extend([(5 + options) << 4, 2, 4, 0, 0, 0, 0, 0]);
    segment.extend((0..4 * options).map(|_| 1));
    segment.extend(payload);
    segment
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::from([0x9c, 0x40, 0x10, 0]);
    let length = u16::try_from(8 + payload.len()).expect("short");
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

fn icmp(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0, 0, 0, 0, 0][..], body].concat()
}

/// A frame of Ethernet, how many bytes of it are headers, and how many of those behind them are
/// payload.
type Row = (&'static str, Vec<u8>, usize, usize);

fn rows() -> Vec<Row> {
    const V4: u16 = ethertype::IPV4;
    const V6: u16 = ethertype::IPV6;
    use crate::protocol::ethertype;
    let v4 = |protocol, body: &[u8]| ethernet(V4, &ipv4(protocol, 0, 0, body));
    let v6 = |next, body: &[u8]| ethernet(V6, &ipv6(next, body));
    let [syn, probe] = [tcp(0, PAYLOAD), udp(PAYLOAD)];
    let tag = |packet: &[u8]| [&[0, 7, 8, 0][..], packet].concat();
    let padded = |frame: Vec<u8>| [&frame[..], PAYLOAD].concat();
    let chain = |next: u8| [&[next, 0, 1, 4, 0, 0, 0, 0][..], &probe].concat();
    let quoted = [&ipv4(17, 4, 0, &probe)[..], PAYLOAD].concat();
    Vec::from([
        ("SYN", v4(6, &tcp(0, &[])), 54, 0),
        ("SYN with data", v4(6, &syn), 54, 8),
        ("SYN with options and data", v4(6, &tcp(10, PAYLOAD)), 94, 8),
        ("options of IP", ethernet(V4, &ipv4(6, 40, 0, &syn)), 94, 8),
        (
            "a tag",
            ethernet(ethertype::VLAN, &tag(&ipv4(6, 0, 0, &syn))),
            58,
            8,
        ),
        (
            "data offset of 0",
            v4(6, &{
                let mut segment = syn.clone();
                segment[12] = 0;
                segment
            }),
            54,
            8,
        ),
        (
            "data offset past the end",
            v4(6, &{
                let mut segment = tcp(0, &[]);
                segment[12] = 0xf0;
                segment
            }),
            54,
            0,
        ),
        ("TCP over IPv6", v6(6, &syn), 74, 8),
        ("UDP", v4(17, &probe), 42, 8),
        ("UDP Lite", v4(136, &probe), 42, 8),
        (
            "UDP behind two extension headers",
            v6(0, &[&[60, 0, 1, 4, 0, 0, 0, 0][..], &chain(17)].concat()),
            78,
            8,
        ),
        ("padding is no payload", padded(v4(17, &udp(&[]))), 42, 0),
        ("padding behind a payload", padded(v4(17, &probe)), 42, 8),
        ("echo request", v4(1, &icmp(8, 0, PAYLOAD)), 42, 8),
        ("timestamp request", v4(1, &icmp(13, 0, PAYLOAD)), 42, 8),
        (
            "echo request of IPv6",
            v6(58, &icmp(128, 0, PAYLOAD)),
            62,
            8,
        ),
        (
            "an error that quotes UDP",
            v4(1, &icmp(3, 3, &quoted)),
            42 + 24 + 8,
            16,
        ),
        (
            "an error that quotes 8 bytes of TCP",
            v4(1, &icmp(3, 13, &ipv4(6, 0, 0, &syn))),
            42 + 28,
            20,
        ),
        (
            "an error that quotes another protocol",
            v4(1, &icmp(3, 2, &ipv4(47, 0, 0, PAYLOAD))),
            42 + 20,
            8,
        ),
        (
            "an error that quotes nothing",
            v4(1, &icmp(11, 0, &[])),
            42,
            0,
        ),
        (
            "an error whose quote is cut",
            v4(1, &icmp(3, 3, &quoted[..10])),
            42,
            10,
        ),
        (
            "an error of IPv6",
            v6(58, &icmp(1, 4, &ipv6(17, &probe))),
            62 + 48,
            8,
        ),
        (
            "a time exceeded of the other family",
            v6(1, &icmp(11, 0, PAYLOAD)),
            54,
            16,
        ),
        (
            "SCTP",
            v4(132, &[&[0; 12][..], &[1, 0, 0, 20], PAYLOAD].concat()),
            50,
            8,
        ),
        ("GRE", v4(47, PAYLOAD), 34, 8),
        ("ESP over IPv6", v6(50, PAYLOAD), 54, 8),
        (
            "a first fragment",
            ethernet(V4, &ipv4(17, 0, 0x2000, &probe)),
            42,
            8,
        ),
        (
            "a later fragment",
            ethernet(V4, &ipv4(17, 0, 0x2001, PAYLOAD)),
            34,
            8,
        ),
        (
            "a later fragment of IPv6",
            v6(44, &[&[17, 0, 0, 9, 0, 0, 0, 1][..], PAYLOAD].concat()),
            62,
            8,
        ),
        (
            "eight bytes of TCP",
            ethernet(V4, &ipv4(6, 0, 0x2000, &tcp(0, &[])[..8])),
            42,
            0,
        ),
        ("ARP", padded(ethernet(ethertype::ARP, &[0; 28])), 42, 0),
    ])
}

#[test]
fn headers_end_where_the_payload_begins() {
    for (name, frame, headers, payload) in rows() {
        let found = extent(frame.as_slice(), Direction::In).expect(name);
        let expected = Extent {
            start: 0,
            headers_end: headers,
            end: headers + payload,
        };
        assert_eq!(found, expected, "{name}");
        let recorded = &frame[..headers.min(frame.len())];
        let has_payload = recorded.windows(PAYLOAD.len()).any(|part| part == PAYLOAD);
        assert!(!has_payload, "{name}");
        // The same without a link layer.
        let bare = match frame[12..14] {
            [8, 0] | [0x86, 0xdd] => &frame[14..],
            _ => continue,
        };
        let found = extent(&BarePacket(bare), Direction::In).expect(name);
        assert_eq!(found.headers_end, headers - 14, "{name}, bare");
    }
}

#[test]
fn a_neighbour_solicitation_is_all_header() {
    let mut frame = ethernet(0x86dd, &ipv6(58, &icmp(135, 0, &[1; 24])));
    frame[0] = 0x33;
    let found = extent(frame.as_slice(), Direction::In).expect("a solicitation");
    assert_eq!((found.headers_end, found.end), (78, 78));
}

#[test]
fn so_much_of_a_payload_is_taken_as_is_asked_for() {
    let extent = Extent {
        start: 20,
        headers_end: 62,
        end: 70,
    };
    for (payload, expected) in [(0, 42), (1, 43), (8, 50), (9, 50), (usize::MAX >> 1, 50)] {
        assert_eq!(extent.length_with(payload), expected, "{payload}");
    }
}

/// Frames that the parser has not understood have none.
#[test]
fn what_is_not_parsed_has_no_extent() {
    for frame in [&[][..], &TO_HOST, &ethernet(0x0800, &[0x45; 19])] {
        assert_eq!(extent(frame, Direction::In), None, "{frame:?}");
    }
}
