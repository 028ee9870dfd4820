//! The parser without a kernel: no bytes make it panic, and common frames show what they should.
//!
//! The full table of frames is in the `tests` package, where the kernel programs run it too.

use etherparse::PacketBuilder;
use proptest::prelude::*;
use std::vec::Vec;

use super::*;
use crate::{Address, Signal};

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
    let traceroute = |signal| Some((33_434, Observation::Unsolicited(signal)));
    for (name, bytes, expected) in [
        ("SYN", syn, Some((22, Observation::Plain(Signal::Syn)))),
        ("ACK", ack, None),
        (
            "UDP",
            udp,
            Some((161, Observation::Unsolicited(Signal::Datagram))),
        ),
        (
            "SYN-ACK",
            syn_ack,
            Some((40_000, Observation::Answer(Signal::SynAckReceived))),
        ),
        (
            "reset that refuses",
            reset(0),
            Some((40_000, Observation::Answer(Signal::ResetReceived))),
        ),
        ("reset that aborts", reset(1), None),
        (
            "echo reply",
            reply,
            Some((0, Observation::Answer(Signal::EchoReplyReceived))),
        ),
        ("traceroute", traced(16), traceroute(Signal::TraceProbe)),
        (
            "a datagram with one hop more",
            traced(17),
            traceroute(Signal::Datagram),
        ),
        (
            "ping",
            ping,
            Some((0, Observation::Plain(Signal::EchoRequest))),
        ),
    ] {
        let parsed = parse(&bytes[..], Direction::In).expect("whole frames");
        assert_eq!(
            parsed.map(|(flow, observation)| (flow.local_port, observation)),
            expected,
            "{name}"
        );
        if let Some((flow, _)) = parsed {
            assert_eq!(
                (flow.remote, flow.local),
                (Address::v4(REMOTE), Address::v4(LOCAL)),
                "{name}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), inward in any::<bool>()) {
        let direction = if inward { Direction::In } else { Direction::Out };
        // Other tests compare the result with the kernel's; this one checks that it does not panic.
        let _ = parse(&bytes[..], direction);
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
            prop_assert_eq!(parse_all(&bytes[..], direction), Ok(None));
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
        prop_assert_eq!(parsed == Err(Loss::Truncated), !whole);
    }
}
