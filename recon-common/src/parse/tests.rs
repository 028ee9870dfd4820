//! The parser without a kernel: no bytes make it panic, and common frames show what they should.
//!
//! The full table of frames is in the `tests` package, where the kernel programs run it too.

use etherparse::{IpHeaders, Ipv4Header, PacketBuilder, TcpHeader};
use proptest::prelude::*;
use std::vec::Vec;

use super::*;
use crate::observation::NONE;
use crate::{Address, Loss, Signal, Tool};

const REMOTE: [u8; 4] = [198, 51, 100, 7];
const LOCAL: [u8; 4] = [203, 0, 113, 1];

fn frame(build: impl FnOnce(PacketBuilderIp, &mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    build(
        PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(REMOTE, LOCAL, 64),
        &mut bytes,
    );
    bytes
}

type PacketBuilderIp = etherparse::PacketBuilderStep<etherparse::IpHeaders>;

#[test]
fn common_frames() {
    let syn = frame(|ip, bytes| {
        ip.tcp(40_000, 22, 1, 1024)
            .syn()
            .write(bytes, &[])
            .expect("memory")
    });
    let ack = frame(|ip, bytes| {
        ip.tcp(40_000, 22, 1, 1024)
            .ack(1)
            .write(bytes, &[])
            .expect("memory")
    });
    let syn_ack = frame(|ip, bytes| {
        ip.tcp(443, 40_000, 1, 1024)
            .syn()
            .ack(1)
            .write(bytes, &[])
            .expect("memory")
    });
    let reset = |sequence| {
        frame(|ip, bytes| {
            ip.tcp(443, 40_000, sequence, 1024)
                .rst()
                .ack(1)
                .write(bytes, &[])
                .expect("memory")
        })
    };
    let udp = frame(|ip, bytes| ip.udp(40_000, 161).write(bytes, &[7]).expect("memory"));
    let ping = frame(|ip, bytes| {
        ip.icmpv4_echo_request(1, 2)
            .write(bytes, &[])
            .expect("memory")
    });
    let reply = frame(|ip, bytes| {
        ip.icmpv4_echo_reply(1, 2)
            .write(bytes, &[])
            .expect("memory")
    });
    let traced = |hops| {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4(REMOTE, LOCAL, hops)
            .udp(40_000, 33_434)
            .write(&mut bytes, &[7])
            .expect("memory");
        bytes
    };
    let traceroute = |signal| Ok((33_434, Observation::Unsolicited(signal)));
    for (name, bytes, expected) in [
        ("SYN", syn, Ok((22, Observation::Plain(Signal::Syn)))),
        ("ACK", ack, Err(FrameClass::Established)),
        (
            "UDP",
            udp,
            Ok((161, Observation::Unsolicited(Signal::Datagram))),
        ),
        (
            "SYN-ACK",
            syn_ack,
            Ok((40_000, Observation::SynAckReceived(true))),
        ),
        (
            "reset that refuses",
            reset(0),
            Ok((40_000, Observation::ResetReceived(NONE))),
        ),
        (
            "reset with another sequence number",
            reset(1),
            Ok((40_000, Observation::ResetReceived(NONE))),
        ),
        ("echo reply", reply, Ok((0, Observation::EchoReply(NONE)))),
        ("traceroute", traced(16), traceroute(Signal::TraceProbe)),
        (
            "a datagram with one hop more",
            traced(17),
            traceroute(Signal::Datagram),
        ),
        (
            "ping",
            ping,
            Ok((0, Observation::Plain(Signal::EchoRequest))),
        ),
    ] {
        let parsed = parse(&bytes[..], Direction::In);
        assert_eq!(
            parsed.map(|parsed| (parsed.flow.local_port, parsed.observation)),
            expected,
            "{name}"
        );
        if let Ok(Parsed { flow, .. }) = parsed {
            assert_eq!(
                (flow.remote, flow.local),
                (Address::v4(REMOTE), Address::v4(LOCAL)),
                "{name}"
            );
        }
    }
}

/// An IPv4 header as tools fill it in: without 'don't fragment'.
fn crafted(identification: u16, time_to_live: u8) -> Ipv4Header {
    Ipv4Header {
        source: REMOTE,
        destination: LOCAL,
        identification,
        time_to_live,
        dont_fragment: false,
        ..Ipv4Header::default()
    }
}

/// A SYN to port 22 under that header, with those options.
fn syn_under(ip: Ipv4Header, sequence: u32, window: u16, options: &[u8]) -> Vec<u8> {
    let mut tcp = TcpHeader::new(40_000, 22, sequence, window);
    tcp.syn = true;
    tcp.set_options_raw(options).expect("at most ten words");
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ip(IpHeaders::Ipv4(ip, Default::default()))
        .tcp_header(tcp)
        .write(&mut bytes, &[])
        .expect("memory");
    bytes
}

fn tool_of(frame: &[u8]) -> Option<Tool> {
    parse(frame, Direction::In).expect("a probe").tool
}

#[test]
fn probes_show_their_tool() {
    const SEGMENT_SIZE: &[u8] = &[2, 4, 5, 0xb4];
    const SEQUENCE: u32 = 0x1234_5678;
    // The low half of 203.0.113.1, of the sequence number, and the port.
    const MASSCAN: u16 = 0x7101 ^ 0x5678 ^ 22;
    let target = u32::from_be_bytes(LOCAL);
    for (name, ip, sequence, window, options, expected) in [
        (
            "nmap",
            crafted(7, 41),
            1,
            1024,
            SEGMENT_SIZE,
            Some(Tool::Nmap),
        ),
        (
            "nmap before 4.85",
            crafted(7, 41),
            1,
            4096,
            SEGMENT_SIZE,
            Some(Tool::Nmap),
        ),
        (
            "another size",
            crafted(7, 41),
            1,
            1024,
            &[2, 4, 5, 0xa0],
            None,
        ),
        (
            "masscan",
            crafted(MASSCAN, 250),
            SEQUENCE,
            1024,
            &[],
            Some(Tool::Masscan),
        ),
        (
            "masscan 1.3.9",
            crafted(MASSCAN, 250),
            SEQUENCE,
            1025,
            SEGMENT_SIZE,
            Some(Tool::Masscan),
        ),
        (
            "another identification",
            crafted(MASSCAN + 1, 250),
            SEQUENCE,
            1024,
            &[],
            Some(Tool::Crafted),
        ),
        (
            "ZMap",
            crafted(54_321, 240),
            1,
            65_535,
            &[],
            Some(Tool::Zmap),
        ),
        (
            "from fewer hops",
            crafted(54_321, 128),
            1,
            65_535,
            &[],
            Some(Tool::Crafted),
        ),
        ("hping3", crafted(7, 60), 1, 512, &[], Some(Tool::Hping)),
        (
            "Mirai",
            crafted(7, 60),
            target,
            5000,
            &[],
            Some(Tool::Mirai),
        ),
        (
            "any other",
            crafted(7, 60),
            1,
            1024,
            &[],
            Some(Tool::Crafted),
        ),
        (
            "with 'don't fragment'",
            Ipv4Header {
                dont_fragment: true,
                ..crafted(7, 60)
            },
            1,
            64_240,
            &[],
            Some(Tool::Crafted),
        ),
        // The least that a stack sends: uIP, lwIP.
        ("a small stack", crafted(7, 60), 1, 5840, SEGMENT_SIZE, None),
    ] {
        assert_eq!(
            tool_of(&syn_under(ip, sequence, window, options)),
            expected,
            "{name}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), inward in any::<bool>()) {
        let direction = if inward { Direction::In } else { Direction::Out };
        // Other tests compare the result with the kernel's; this one checks that it does not panic.
        let _ = parse(&bytes[..], direction);
    }

    /// Windows's options; Linux and others have more.
    #[test]
    fn a_clients_syn_shows_no_tool(id in any::<u16>(), ttl in 1_u8.., sequence in any::<u32>(), window in any::<u16>(), more in 0_usize..=7) {
        let ip = Ipv4Header { dont_fragment: true, ..crafted(id, ttl) };
        let options = [&[2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2][..], &[1; 28][..4 * more]].concat();
        prop_assert_eq!(tool_of(&syn_under(ip, sequence, window, &options)), None);
    }

    /// Segments of both families, with changes to the bytes that the fast path looks at, and to
    /// others.
    #[test]
    fn the_fast_path_drops_nothing_that_counts(
        is_v6 in any::<bool>(),
        inward in any::<bool>(),
        flags in any::<u8>(),
        port in prop::sample::select(&[22, 53, 80, 443][..]),
        changes in prop::collection::vec((12_usize..70, any::<u8>()), 0..3),
        length in 40_usize..120,
    ) {
        let mut bytes = Vec::new();
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let ip = match is_v6 {
            true => ethernet.ipv6([2; 16], [3; 16], 64),
            false => ethernet.ipv4(REMOTE, LOCAL, 64),
        };
        ip.tcp(40_000, port, 1, 1024).ack(1).write(&mut bytes, b"GET / HTTP/1.1 and some more bytes").expect("memory");
        bytes[if is_v6 { 67 } else { 47 }] = flags;
        for (place, byte) in changes {
            bytes[place] = byte;
        }
        bytes.truncate(length);
        let direction = if inward { Direction::In } else { Direction::Out };
        if established::is_of_established(&bytes[..], direction) {
            prop_assert_eq!(parse_all(&bytes[..], direction), Err(FrameClass::Established));
        }
    }

    #[test]
    fn an_acknowledgement_takes_the_fast_path(cut in 0_usize..54) {
        let ack = frame(|ip, bytes| ip.tcp(40_000, 22, 1, 1024).ack(1).write(bytes, &[]).expect("memory"));
        let is_fast = established::is_of_established(&ack[..cut], Direction::In);
        prop_assert_eq!(is_fast, cut >= 48);
    }

    #[test]
    fn a_truncated_frame_is_a_loss(cut in 0_usize..54) {
        let syn = frame(|ip, bytes| ip.tcp(40_000, 22, 1, 1024).syn().write(bytes, &[]).expect("memory"));
        let parsed = parse(&syn[..cut], Direction::In);
        // TCP's flags end at byte 48; the parser does not need what follows.
        let whole = cut >= 48;
        prop_assert_eq!(parsed == Err(FrameClass::Lost(Loss::Truncated)), !whole);
    }
}
