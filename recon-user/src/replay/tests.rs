//! The twin of the kernel's sockets over dialogues, segment by segment.

use jiff::{SignedDuration, Timestamp};
use recon_common::process::ACCEPTED_SLOTS;
use recon_common::protocol::ip_protocol;
use recon_common::protocol::tcp_flag::{ACK, FIN, PSH, RST, SYN};
use recon_common::{Address, Direction, Ending, Flow};

use super::connections::{Connections, SocketEvent};
use super::segment::{PacketEnds, Segment};

/// Direction, flags, sequence number, acknowledged number, bytes of data.
type Step = (Direction, u8, u32, u32, u32);

const IN: Direction = Direction::In;
const OUT: Direction = Direction::Out;
/// The first numbers of the remote and of the host: near the end, where they begin anew.
const REMOTE: u32 = u32::MAX - 3;
const LOCAL: u32 = u32::MAX;
const DATA: u8 = PSH | ACK;

fn flow(remote_port: u16) -> Flow {
    Flow {
        remote: Address::v4([198, 51, 100, 2]),
        local: Address::v4([203, 0, 113, 1]),
        remote_port,
        local_port: 22,
        protocol: ip_protocol::TCP,
    }
}

const fn segment((_, flags, sequence, acknowledged, length): Step) -> Segment {
    Segment {
        source_port: 0,
        destination_port: 0,
        sequence,
        acknowledged,
        flags,
        length,
    }
}

/// A number so many bytes behind the SYN of a side.
const fn behind(start: u32, bytes: u32) -> u32 {
    start.wrapping_add(1).wrapping_add(bytes)
}

/// The handshake of a remote.
fn handshake() -> Vec<Step> {
    vec![
        (IN, SYN, REMOTE, 0, 0),
        (OUT, SYN | ACK, LOCAL, behind(REMOTE, 0), 0),
        (IN, ACK, behind(REMOTE, 0), behind(LOCAL, 0), 0),
    ]
}

fn with(rest: &[Step]) -> Vec<Step> {
    [&handshake(), rest].concat()
}

/// What the sockets report of a dialogue with a second between segments, and whether there is a
/// connection at its end.
fn follow(steps: &[Step], is_one_way: bool) -> (Vec<SocketEvent>, bool) {
    let mut connections = Connections::default();
    let mut events = Vec::new();
    for (number, &step) in steps.iter().enumerate() {
        let passed = SignedDuration::from_secs(i64::try_from(number).expect("few"));
        let now = Timestamp::UNIX_EPOCH + passed;
        let event = connections.follow(&flow(40_000), &segment(step), step.0, now, is_one_way);
        events.extend(event);
    }
    let is_connected = connections.is_connected(&flow(40_000));
    (events, is_connected == Some(true))
}

fn ended(received: u64, sent: u64, seconds: u64) -> SocketEvent {
    SocketEvent::Ended(Ending::new(received, sent, seconds * 1_000_000_000))
}

const GIB: u64 = 1 << 30;

/// A download of 5 GiB in steps that the remote acknowledges, then both sides close.
fn download() -> Vec<Step> {
    const STEPS: u32 = 5;
    let mut steps = handshake();
    let bytes = |step: u32| step.wrapping_mul(1 << 30);
    for step in 0..STEPS {
        steps.push((
            OUT,
            DATA,
            behind(LOCAL, bytes(step)),
            behind(REMOTE, 0),
            1 << 30,
        ));
        steps.push((
            IN,
            ACK,
            behind(REMOTE, 0),
            behind(LOCAL, bytes(step + 1)),
            0,
        ));
    }
    let end = bytes(STEPS);
    let last = end.wrapping_add(1);
    steps.extend([
        (OUT, FIN | ACK, behind(LOCAL, end), behind(REMOTE, 0), 0),
        (IN, ACK, behind(REMOTE, 0), behind(LOCAL, last), 0),
        (IN, FIN | ACK, behind(REMOTE, 0), behind(LOCAL, last), 0),
    ]);
    steps
}

#[test]
fn sockets_report_what_dialogues_show() {
    use SocketEvent::{Accepted, ConnectFailed};
    let fin = |start, bytes, acknowledged, acknowledged_bytes| {
        let sequence = behind(start, bytes);
        let acknowledged = behind(acknowledged, acknowledged_bytes);
        (FIN | ACK, sequence, acknowledged, 0)
    };
    let out =
        |(flags, sequence, acknowledged, length)| (OUT, flags, sequence, acknowledged, length);
    let into =
        |(flags, sequence, acknowledged, length)| (IN, flags, sequence, acknowledged, length);
    for (name, steps, expected, is_connected) in [
        ("a handshake", handshake(), vec![Accepted], true),
        (
            "a scan of half of it",
            [&handshake()[..2], &[(IN, RST, behind(REMOTE, 0), 0, 0)]].concat(),
            vec![],
            false,
        ),
        (
            "an ACK of another number",
            [&handshake()[..2], &[(IN, ACK, behind(REMOTE, 0), 77, 0)]].concat(),
            vec![],
            true,
        ),
        (
            "a SYN-ACK that was not captured",
            vec![
                handshake()[0],
                (OUT, ACK, behind(LOCAL, 0), behind(REMOTE, 9), 0),
            ],
            vec![Accepted],
            true,
        ),
        (
            "a retransmitted SYN-ACK",
            with(&[(OUT, SYN | ACK, LOCAL, behind(REMOTE, 0), 0)]),
            vec![Accepted],
            true,
        ),
        (
            "a reset by the remote",
            with(&[(IN, RST | ACK, behind(REMOTE, 0), 0, 0)]),
            vec![Accepted, ended(0, 0, 1)],
            true,
        ),
        (
            "the remote closes first",
            with(&[
                (IN, DATA, behind(REMOTE, 0), behind(LOCAL, 0), 300),
                (OUT, DATA, behind(LOCAL, 0), behind(REMOTE, 300), 5000),
                into(fin(REMOTE, 300, LOCAL, 5000)),
                out(fin(LOCAL, 5000, REMOTE, 301)),
                (IN, ACK, behind(REMOTE, 301), behind(LOCAL, 5001), 0),
            ]),
            vec![Accepted, ended(301, 5001, 5)],
            true,
        ),
        (
            "the host closes first",
            with(&[
                (OUT, DATA, behind(LOCAL, 0), behind(REMOTE, 0), 20),
                out(fin(LOCAL, 20, REMOTE, 0)),
                (IN, ACK, behind(REMOTE, 0), behind(LOCAL, 21), 0),
                into(fin(REMOTE, 0, LOCAL, 21)),
                (OUT, ACK, behind(LOCAL, 21), behind(REMOTE, 1), 0),
            ]),
            vec![Accepted, ended(0, 21, 4)],
            true,
        ),
        (
            "a download of 5 GiB",
            download(),
            vec![Accepted, ended(0, 5 * GIB + 1, 13)],
            true,
        ),
        (
            "refused to the host",
            vec![
                (OUT, SYN, LOCAL, 0, 0),
                (IN, RST | ACK, 0, behind(LOCAL, 0), 0),
            ],
            vec![ConnectFailed],
            false,
        ),
        (
            "opened by the host, then reset",
            vec![
                (OUT, SYN, LOCAL, 0, 0),
                (IN, SYN | ACK, REMOTE, behind(LOCAL, 0), 0),
                (OUT, ACK, behind(LOCAL, 0), behind(REMOTE, 0), 0),
                (IN, RST, behind(REMOTE, 0), 0, 0),
            ],
            vec![],
            true,
        ),
        ("a probe", vec![(IN, FIN | ACK, 5, 5, 0)], vec![], false),
        (
            "a probe that the host refuses",
            vec![(IN, ACK, 5, 5, 0), (OUT, RST, 5, 0, 0)],
            vec![],
            false,
        ),
        (
            "older than the capture",
            vec![(OUT, DATA, 5, 5, 9)],
            vec![],
            true,
        ),
    ] {
        assert_eq!(follow(&steps, false), (expected, is_connected), "{name}");
    }
}

#[test]
fn one_direction_shows_what_a_remote_has() {
    let inbound =
        |steps: Vec<Step>| -> Vec<Step> { steps.into_iter().filter(|step| step.0 == IN).collect() };
    for (name, steps, expected, is_connected) in [
        (
            "a handshake",
            handshake(),
            vec![SocketEvent::Accepted],
            true,
        ),
        ("a SYN", handshake()[..1].to_vec(), vec![], false),
        (
            "a SYN and a reset",
            vec![(IN, SYN, REMOTE, 0, 0), (IN, RST, behind(REMOTE, 0), 0, 0)],
            vec![],
            false,
        ),
        (
            "older than the capture",
            vec![(IN, DATA, 5, 5, 9)],
            vec![],
            true,
        ),
        ("a probe", vec![(IN, FIN | ACK, 5, 5, 0)], vec![], false),
    ] {
        let found = follow(&inbound(steps), true);
        assert_eq!(found, (expected, is_connected), "{name}");
    }
}

#[test]
fn a_flood_displaces_no_connection() {
    let mut connections = Connections::default();
    for step in handshake() {
        connections.follow(
            &flow(1),
            &segment(step),
            step.0,
            Timestamp::UNIX_EPOCH,
            false,
        );
    }
    for number in 0..1_000_000_u32 {
        let [a, b, c, d] = number.to_be_bytes();
        let flow = Flow {
            remote: Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]),
            ..flow(2)
        };
        let syn = segment((IN, SYN, 0, 0, 0));
        let event = connections.follow(&flow, &syn, IN, Timestamp::UNIX_EPOCH, false);
        assert_eq!(event, None);
    }
    assert_eq!(connections.is_connected(&flow(1)), Some(true));
    assert_eq!(connections.lost_ends, 0);
}

/// Flows of which nearly every slot has one.
fn flows_of_all_slots() -> impl Iterator<Item = Flow> {
    (0..ACCEPTED_SLOTS * 8).map(|number| {
        let [a, b, c, d] = number.to_be_bytes();
        Flow {
            remote: Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]),
            ..flow(2)
        }
    })
}

#[test]
fn slots_of_who_is_gone_are_free_again() {
    let [minute, hour] = [61, 3601].map(SignedDuration::from_secs);
    let inbound = [handshake()[0], handshake()[2]];
    // (what has the slots, its segments, whether one way only is captured, how long it is silent,
    // whose segments come then, what they show, whether ends are lost)
    for (name, before, is_one_way, silent, then, expected, loses_ends) in [
        (
            "SYNs that were answered, then a client",
            &handshake()[..2],
            false,
            SignedDuration::ZERO,
            &handshake()[..],
            Some(SocketEvent::Accepted),
            false,
        ),
        (
            "SYNs that were answered, then an old connection",
            &handshake()[..2],
            false,
            minute,
            &[(OUT, DATA, 5, 5, 9)],
            None,
            false,
        ),
        (
            "clients whose end is missing",
            &inbound,
            true,
            hour,
            &inbound,
            Some(SocketEvent::Accepted),
            true,
        ),
    ] {
        let mut connections = Connections::default();
        let start = Timestamp::UNIX_EPOCH;
        for flow in flows_of_all_slots() {
            for &step in before {
                connections.follow(&flow, &segment(step), step.0, start, is_one_way);
            }
        }
        let mut event = None;
        for &step in then {
            let now = start + silent;
            event = connections.follow(&flow(1), &segment(step), step.0, now, is_one_way);
        }
        assert_eq!(event, expected, "{name}");
        assert_eq!(connections.is_connected(&flow(1)), Some(true), "{name}");
        assert_eq!(connections.lost_ends > 0, loses_ends, "{name}");
    }
}

#[test]
fn what_is_not_followed_is_counted_and_unknown() {
    let mut connections = Connections::default();
    let inbound = [handshake()[0], handshake()[2]];
    for flow in flows_of_all_slots() {
        for step in inbound {
            let now = Timestamp::UNIX_EPOCH;
            connections.follow(&flow, &segment(step), step.0, now, true);
        }
    }
    assert!(connections.unfollowed > 0);
    let mut unknown = flows_of_all_slots().filter(|flow| connections.is_connected(flow).is_none());
    assert!(unknown.next().is_some());
}

#[test]
fn headers_end_where_packets_do() {
    let packet: Vec<u8> = [
        &[0x45, 0, 0, 43, 0, 1, 0, 0, 64, 6, 0, 0][..],
        &[198, 51, 100, 2, 203, 0, 113, 1],
        &[
            0x9c, 0x40, 0, 22, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, DATA, 4, 0, 0, 0, 0, 0,
        ],
        b"abc",
        // Padding of Ethernet.
        &[0; 6],
    ]
    .concat();
    let header = PacketEnds::read(&packet).expect("a packet");
    assert_eq!(header.source, Address::v4([198, 51, 100, 2]));
    let segment = header.segment.expect("a segment");
    assert_eq!(
        (segment.sequence, segment.acknowledged, segment.length),
        (1, 2, 3)
    );
    for length in 0..packet.len() {
        let header = PacketEnds::read(&packet[..length]);
        assert_eq!(header.is_some(), length >= 20, "{length}");
        let segment = header.and_then(|header| header.segment);
        assert_eq!(segment.is_some(), length >= 40, "{length}");
    }
    let mut fragment = packet;
    fragment[6] = 0x20;
    assert_eq!(
        PacketEnds::read(&fragment).and_then(|header| header.segment),
        None
    );
}
