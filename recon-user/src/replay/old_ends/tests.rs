//! Old connections and scans that look like their ends, packet by packet.

use jiff::{SignedDuration, Timestamp};
use recon_common::Signal;
use recon_common::protocol::ip_protocol;
use recon_common::protocol::tcp_flag::{ACK, FIN, PSH, RST, SYN};

use crate::capture::LinkFrame;
use crate::replay::engine::{Engine, LocalAddresses};
use crate::replay::located::Located;

const REMOTE: [u8; 4] = [198, 51, 100, 2];
const LOCAL: [u8; 4] = [203, 0, 113, 1];
/// Neither is a service's.
const REMOTE_PORT: u16 = 40_000;
const LOCAL_PORT: u16 = 50_000;
const SERVICE: u16 = 22;

/// A packet of the remote or the host, and how long after the one before it comes.
#[derive(Clone, Copy)]
struct Step {
    is_inbound: bool,
    local_port: u16,
    flags: u8,
    after: SignedDuration,
}

const fn step(is_inbound: bool, local_port: u16, flags: u8) -> Step {
    Step {
        is_inbound,
        local_port,
        flags,
        after: SignedDuration::from_millis(1),
    }
}

const fn received(local_port: u16, flags: u8) -> Step {
    step(true, local_port, flags)
}

const fn sent(local_port: u16, flags: u8) -> Step {
    step(false, local_port, flags)
}

/// IPv4 and TCP without data.
fn packet(step: &Step) -> Vec<u8> {
    const SEQUENCE: [u8; 8] = [0, 0, 0, 7, 0, 0, 0, 9];
    let (from, to, ports) = match step.is_inbound {
        true => (REMOTE, LOCAL, [REMOTE_PORT, step.local_port]),
        false => (LOCAL, REMOTE, [step.local_port, REMOTE_PORT]),
    };
    [
        &[0x45, 0, 0, 40, 0, 1, 0, 0, 64, ip_protocol::TCP, 0, 0][..],
        &from,
        &to,
        &ports.map(u16::to_be_bytes).concat(),
        &SEQUENCE,
        &[0x50, step.flags, 4, 0, 0, 0, 0, 0],
    ]
    .concat()
}

/// The signals of a capture, in the order in which they are first counted.
fn count_signals(steps: &[Step]) -> Vec<(Signal, u64)> {
    let networks = ["203.0.113.0/24".parse().expect("a network")];
    let mut engine = Engine::new(LocalAddresses::Networks(networks.into_iter().collect()));
    let mut now = Timestamp::UNIX_EPOCH;
    for step in steps {
        now += step.after;
        engine.resolve_old_ends(now);
        let packet = packet(step);
        let frame = LinkFrame::Bare(&packet);
        engine.observe(frame, Located::of(frame), 0, now);
    }
    engine.resolve_old_ends(Timestamp::MAX);
    let rows = engine.counts.rows.iter();
    rows.filter_map(|(key, count)| Some((Signal::from_number(key.signal)?, *count)))
        .collect()
}

#[test]
fn ends_of_old_connections_are_no_scan() {
    use Signal::{MaimonProbe, RefusedTcp};
    const FIN_ACK: u8 = FIN | ACK;
    // Both directions are captured.
    const BEFORE: [Step; 2] = [sent(443, ACK), received(443, ACK)];
    let late = Step {
        after: SignedDuration::from_millis(1500),
        ..sent(SERVICE, ACK)
    };
    let port = LOCAL_PORT;
    for (name, steps, expected) in [
        (
            "a FIN that is acknowledged",
            &[received(SERVICE, FIN_ACK), sent(SERVICE, ACK)][..],
            &[][..],
        ),
        (
            "a FIN that is answered by one",
            &[received(SERVICE, FIN_ACK), sent(SERVICE, FIN_ACK)],
            &[],
        ),
        (
            "a FIN that is answered by data",
            &[received(SERVICE, FIN_ACK), sent(SERVICE, PSH | ACK)],
            &[],
        ),
        (
            "a Maimon probe that is refused",
            &[received(SERVICE, FIN_ACK), sent(SERVICE, RST)],
            &[(RefusedTcp, 1), (MaimonProbe, 1)],
        ),
        (
            "a Maimon probe that is dropped",
            &[received(SERVICE, FIN_ACK)],
            &[(MaimonProbe, 1)],
        ),
        (
            "a FIN whose answer comes late",
            &[received(SERVICE, FIN_ACK), late],
            &[(MaimonProbe, 1)],
        ),
        ("a reset of an old connection", &[sent(port, RST)], &[]),
        (
            "a reset of an old connection, whose host then refuses a probe",
            &[sent(port, RST), received(port, ACK), sent(port, RST)],
            &[(RefusedTcp, 1)],
        ),
        (
            "a reset that refuses an ACK",
            &[received(port, ACK), sent(port, RST)],
            &[(RefusedTcp, 1)],
        ),
        (
            "a SYN that is refused",
            &[received(port, SYN), sent(port, RST)],
            &[(Signal::Syn, 1), (RefusedTcp, 1)],
        ),
    ] {
        let found = count_signals(&[&BEFORE, steps].concat());
        let is_asked =
            |(signal, _): &(Signal, u64)| matches!(signal, MaimonProbe | RefusedTcp | Signal::Syn);
        let found: Vec<_> = found.into_iter().filter(is_asked).collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_flood_of_fins_takes_no_more_memory() {
    const FLOOD: u64 = 10_000;
    let flood: Vec<Step> = (0..FLOOD)
        .map(|number| Step {
            after: SignedDuration::ZERO,
            ..received(number as u16 + 1, FIN | ACK)
        })
        .collect();
    let found = count_signals(&flood);
    let probes: u64 = found
        .iter()
        .filter(|(signal, _)| *signal == Signal::MaimonProbe)
        .map(|(_, count)| count)
        .sum();
    assert_eq!(probes, FLOOD);
}

#[test]
fn only_packets_of_local_addresses_are_local() {
    // (the networks that are local, whether the packet is from or to one)
    for (network, expected) in [
        ("203.0.113.0/24", true),
        ("198.51.100.0/24", true),
        ("192.0.2.0/24", false),
    ] {
        let networks = [network.parse().expect("a network")];
        let mut engine = Engine::new(LocalAddresses::Networks(networks.into_iter().collect()));
        let packet = packet(&received(443, SYN));
        let frame = LinkFrame::Bare(&packet);
        engine.observe(frame, Located::of(frame), 0, Timestamp::UNIX_EPOCH);
        let found = (engine.has_local, engine.foreign);
        assert_eq!(found, (expected, u64::from(!expected)), "{network}");
    }
}
