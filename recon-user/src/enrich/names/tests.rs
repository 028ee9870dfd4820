//! Which answers name an address, and that what is kept of them is bounded.

use recon_common::{Address, FrameOrigin};

use super::super::dns::tests::{message, record};
use super::*;

const A: u16 = 1;
const PTR: u16 = 12;
const QUERY: u16 = 0x0100;
const ANSWER: u16 = 0x8180;
const IP: [u8; 4] = [198, 51, 100, 7];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("a time")
}

fn flow(local_port: u16) -> Flow {
    Flow {
        remote: Address::v4([203, 0, 113, 53]),
        local: Address::v4([203, 0, 113, 1]),
        remote_port: 53,
        local_port,
        protocol: 17,
    }
}

fn say(names: &mut Names, flow: Flow, bytes: &[u8], direction: Direction, second: i64) {
    let message = Message::parse(bytes).expect("a message");
    names.set_time(at(second));
    names.note_message(flow, &message, direction);
}

fn ask(names: &mut Names, name: &str, kind: u16, second: i64) {
    say(
        names,
        flow(40_000),
        &message(QUERY, name, kind, &[]),
        Direction::Out,
        second,
    );
}

fn found(names: &mut Names, second: i64) -> Option<(String, NamedBy)> {
    names.set_time(at(second));
    let found = names.find(IpAddr::from(IP));
    found.map(|(name, by)| (name.to_owned(), by))
}

#[test]
fn only_the_answer_to_a_query_names_an_address() {
    let answer = message(ANSWER, "a.example", A, &[record("@", A, &IP)]);
    let mut other_number = answer.clone();
    other_number[1] += 1;
    let other_name = message(ANSWER, "b.example", A, &[record("@", A, &IP)]);
    let incoming = Direction::In;
    let named = Some(("a.example".to_owned(), NamedBy::Address));
    for (what, port, bytes, direction, second, expected) in [
        ("the answer", 40_000, &answer, incoming, 1, &named),
        ("on another flow", 40_001, &answer, incoming, 1, &None),
        (
            "of another number",
            40_000,
            &other_number,
            incoming,
            1,
            &None,
        ),
        ("of another name", 40_000, &other_name, incoming, 1, &None),
        (
            "sent by this host",
            40_000,
            &answer,
            Direction::Out,
            1,
            &None,
        ),
        ("too late", 40_000, &answer, incoming, 11, &None),
    ] {
        let mut names = Names::default();
        ask(&mut names, "a.example", A, 0);
        say(&mut names, flow(port), bytes, direction, second);
        assert_eq!(found(&mut names, 1), *expected, "{what}");
    }
    let mut names = Names::default();
    say(&mut names, flow(40_000), &answer, incoming, 0);
    assert_eq!(found(&mut names, 0), None, "nothing was asked");
}

#[test]
fn an_answer_counts_once() {
    let mut names = Names::default();
    ask(&mut names, "a.example", A, 0);
    let none = message(ANSWER, "a.example", A, &[]);
    say(&mut names, flow(40_000), &none, Direction::In, 0);
    let second = message(ANSWER, "a.example", A, &[record("@", A, &IP)]);
    say(&mut names, flow(40_000), &second, Direction::In, 0);
    assert_eq!(found(&mut names, 0), None);
}

#[test]
fn a_pointer_replaces_no_fresh_name() {
    const ASKED: &str = "7.100.51.198.in-addr.arpa";
    const DAY: i64 = 86_400;
    let named = |name: &str, by| Some((name.to_owned(), by));
    let mut names = Names::default();
    let pointer = message(
        ANSWER,
        ASKED,
        PTR,
        &[record("@", PTR, b"\x01p\x07example\0")],
    );
    let address = message(ANSWER, "a.example", A, &[record("@", A, &IP)]);
    for (kind, second, expected) in [
        (PTR, 0, named("p.example", NamedBy::Pointer)),
        (A, 1, named("a.example", NamedBy::Address)),
        (PTR, 2, named("a.example", NamedBy::Address)),
        (PTR, DAY + 2, named("p.example", NamedBy::Pointer)),
    ] {
        let (name, answer) = match kind {
            A => ("a.example", &address),
            _ => (ASKED, &pointer),
        };
        ask(&mut names, name, kind, second);
        say(&mut names, flow(40_000), answer, Direction::In, second);
        assert_eq!(found(&mut names, second), expected, "{second}");
    }
    assert_eq!(found(&mut names, 2 * DAY + 3), None, "a day later");
}

#[test]
fn the_oldest_go_first() {
    let mut aged = Aged::default();
    for number in 0..1000_u32 {
        aged.insert(number % 7, number, 4);
        assert!(aged.values.len() <= 4 && aged.order.len() <= 8);
        assert_eq!(aged.get(&(number % 7)), Some(&number));
    }
    // One that is renewed stays.
    let mut aged = Aged::default();
    for number in 0..100_u32 {
        aged.insert(u32::MAX, number, 4);
        aged.insert(number, number, 4);
    }
    assert_eq!(aged.get(&u32::MAX), Some(&99));
    // Renewals of one push no other one out.
    let mut aged = Aged::default();
    aged.insert(0, 0, 4);
    for number in 0..100_u32 {
        aged.insert(1, number, 4);
        assert!(aged.order.len() <= 8, "{}", aged.order.len());
    }
    assert_eq!(aged.get(&0), Some(&0));
    // Nothing is left of what was removed.
    for number in 0..1000_u32 {
        aged.insert(number, number, 4);
        aged.remove(&number);
        assert!(aged.order.len() <= 8, "{}", aged.order.len());
    }
}

#[test]
fn a_frame_is_read_with_its_headers() {
    let mut names = Names::default();
    names.set_time(at(0));
    let frame = |direction, payload: &[u8]| {
        let ends = [[203, 0, 113, 1], [203, 0, 113, 53]];
        let ports = [40_000_u16, 53];
        let [from, to] = match direction {
            Direction::Out => [0, 1],
            Direction::In => [1, 0],
        };
        let udp = 8 + payload.len() as u16;
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        // Under a VLAN tag.
        bytes.extend([0x81, 0, 0, 7, 8, 0, 0x45, 0]);
        bytes.extend((20 + udp).to_be_bytes());
        bytes.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        bytes.extend([ends[from], ends[to]].concat());
        for word in [ports[from], ports[to], udp, 0] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(payload);
        bytes
    };
    let answer = message(
        ANSWER,
        "a.example",
        A,
        &[record("@", A, &IP), record("@", A, &[1; 4])],
    );
    for (direction, payload) in [
        (Direction::Out, message(QUERY, "a.example", A, &[])),
        (Direction::In, answer),
    ] {
        let bytes = frame(direction, &payload);
        let origin = FrameOrigin::of::<[u8]>(direction);
        // The end is cut off.
        let bytes = match direction {
            Direction::In => &bytes[..bytes.len() - 1],
            Direction::Out => &bytes,
        };
        names.note_frame(origin, bytes);
    }
    assert_eq!(
        found(&mut names, 0),
        Some(("a.example".to_owned(), NamedBy::Address))
    );
    assert_eq!(names.len(), 1);
}
