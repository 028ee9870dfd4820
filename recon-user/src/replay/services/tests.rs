//! Which datagrams are answers, by what was known before.

use super::*;

const SERVER: Address = Address::v4([203, 0, 113, 53]);
const START: Timestamp = Timestamp::UNIX_EPOCH;
const CLIENT: Address = Address::v4([198, 51, 100, 7]);

fn flow(remote: (Address, u16), local: (Address, u16)) -> Flow {
    Flow {
        remote: remote.0,
        local: local.0,
        remote_port: remote.1,
        local_port: local.1,
        protocol: ip_protocol::UDP,
    }
}

#[test]
fn what_serves_answers_clients() {
    let asked = flow((SERVER, 53), (CLIENT, 40_000));
    let old = flow((SERVER, 53), (CLIENT, 1030));
    let high = flow((SERVER, 5060), (CLIENT, 40_000));
    let peer = flow((SERVER, 40_000), (CLIENT, 50_000));
    let probed = flow((SERVER, 53), (CLIENT, 161));
    // (what is known, the signal and the flow of a later datagram, whether that is an answer)
    for (known, signal, later, expected) in [
        (None, Signal::Datagram, asked, false),
        (
            Some((Signal::DatagramSent, asked)),
            Signal::Datagram,
            asked,
            true,
        ),
        (
            Some((Signal::DnsSentUdp, asked)),
            Signal::Datagram,
            old,
            true,
        ),
        (
            Some((Signal::DnsSentUdp, asked)),
            Signal::TraceProbe,
            asked,
            true,
        ),
        (
            Some((Signal::DnsSentUdp, asked)),
            Signal::RefusedIcmp,
            asked,
            true,
        ),
        (
            Some((Signal::DatagramSent, high)),
            Signal::Datagram,
            high,
            true,
        ),
        // Another port of the same address, and the same port of another one.
        (
            Some((Signal::DatagramSent, high)),
            Signal::Datagram,
            asked,
            false,
        ),
        (
            Some((Signal::DatagramSent, asked)),
            Signal::Datagram,
            flow((CLIENT, 53), (SERVER, 40_000)),
            false,
        ),
        // From the port of the service to that of a service: a probe.
        (
            Some((Signal::DnsSentUdp, asked)),
            Signal::Datagram,
            probed,
            false,
        ),
        // Nobody knows which of two high ports serves.
        (
            Some((Signal::DatagramSent, peer)),
            Signal::Datagram,
            peer,
            false,
        ),
        // Of the server's side.
        (
            Some((Signal::AnsweredUdp, turned(&asked))),
            Signal::DatagramSent,
            turned(&asked),
            true,
        ),
        (
            Some((Signal::AnsweredUdp, turned(&asked))),
            Signal::DatagramSent,
            asked,
            false,
        ),
        // A peer that answers looks for others, but not for services.
        (
            Some((Signal::AnsweredUdp, turned(&peer))),
            Signal::Datagram,
            flow((SERVER, 40_000), (CLIENT, 6881)),
            true,
        ),
        (
            Some((Signal::AnsweredUdp, turned(&peer))),
            Signal::Datagram,
            flow((SERVER, 40_000), (CLIENT, 161)),
            false,
        ),
        // What repeats its question after an answer has not answered.
        (
            Some((Signal::AnsweredUdp, asked)),
            Signal::DatagramSent,
            flow((SERVER, 6881), (CLIENT, 40_000)),
            false,
        ),
        // An answer is no question.
        (
            Some((Signal::DatagramSent, turned(&asked))),
            Signal::Datagram,
            turned(&asked),
            false,
        ),
    ] {
        let mut services = Services::default();
        if let Some((signal, flow)) = known {
            services.observe(signal, &flow, START);
        }
        let found = services.is_answer(signal, &later, START);
        assert_eq!(found, expected, "{known:?}, then {signal:?} {later:?}");
    }
}

/// Datagrams without a question from a server that was asked at the start, once each so many
/// milliseconds, and a question before each `per_question` of them. Returns how many count.
fn counted(
    datagrams: u16,
    every: i64,
    per_question: Option<u16>,
    port: impl Fn(u16) -> u16,
) -> u16 {
    let mut services = Services::default();
    let asked = flow((SERVER, 53), (CLIENT, 40_000));
    services.observe(Signal::DnsSentUdp, &asked, START);
    let mut counted = 0;
    for number in 0..datagrams {
        let now = START + SignedDuration::from_millis(every * i64::from(number));
        if per_question.is_some_and(|each| number % each == 0) {
            services.observe(Signal::DnsSentUdp, &asked, now);
        }
        let later = flow((SERVER, 53), (CLIENT, port(number)));
        counted += u16::from(!services.is_answer(Signal::Datagram, &later, now));
    }
    counted
}

#[test]
fn floods_and_scans_from_asked_ports_count() {
    // (what comes, how many, milliseconds between, one question for so many, how many count)
    for (name, datagrams, every, per_question, expected) in [
        ("a reflection", 30_000, 1, None, 30_000 - 19),
        ("a scan of 100 ports", 100, 10, None, 100 - 19),
        ("a lossy capture", 10_000, 20, Some(2), 0),
        ("a very lossy capture", 10_000, 20, Some(3), 0),
        ("a few answers each minute", 1000, 5000, None, 1000 - 481),
    ] {
        let found = counted(datagrams, every, per_question, |number| {
            30_000 + number % 20_000
        });
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn marks_expire() {
    let asked = flow((SERVER, 53), (CLIENT, 40_000));
    for (minutes, expected) in [(0, true), (39, true), (41, false)] {
        let mut services = Services::default();
        services.observe(Signal::DnsSentUdp, &asked, START);
        let now = START + SignedDuration::from_mins(minutes);
        let found = services.is_answer(Signal::Datagram, &asked, now);
        assert_eq!(found, expected, "{minutes}");
    }
}
