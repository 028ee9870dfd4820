//! Messages as servers write them, cut off, and made up.

use proptest::prelude::*;

use super::*;

/// A message: number 7, one question, and records that are written out.
pub(in crate::enrich) fn message(
    flags: u16,
    name: &str,
    kind: u16,
    records: &[Vec<u8>],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [7, flags, 1, records.len() as u16, 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(wire(name));
    bytes.extend([kind.to_be_bytes(), IN.to_be_bytes()].concat());
    bytes.extend(records.concat());
    bytes
}

/// A name as labels. `@` is a pointer to the question's.
fn wire(name: &str) -> Vec<u8> {
    if name == "@" {
        return vec![POINTER, DNS_HEADER as u8];
    }
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}

pub(in crate::enrich) fn record(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = wire(owner);
    for word in [kind, IN, 0, 60, data.len() as u16] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(data);
    bytes
}

const ANSWER: u16 = 0x8180;
const TRUNCATED: u16 = 0x0200;
const V4: [u8; 4] = [198, 51, 100, 7];

fn said(bytes: &[u8]) -> Vec<String> {
    let message = Message::parse(bytes);
    let said = message.map(|message| {
        let name = message.name().to_owned();
        let said = message.said().into_iter();
        let lines = said.map(|said| match said {
            Said::Address(ip) => format!("{name} is {ip}"),
            Said::Pointer(ip, pointer) => format!("{ip} is called {pointer}"),
        });
        lines.collect()
    });
    said.unwrap_or_default()
}

#[test]
fn an_answer_says_what_was_asked() {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).octets();
    let long = format!("{}.example", "x".repeat(63));
    let arpa6 = format!("7.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23));
    for (what, bytes, expected) in [
        (
            "an address",
            message(ANSWER, "WWW.Example", A, &[record("@", A, &V4)]),
            &["www.example is 198.51.100.7"][..],
        ),
        (
            "two addresses",
            message(
                ANSWER,
                "a.example",
                A,
                &[
                    record("@", A, &V4),
                    record("a.EXAMPLE", A, &[198, 51, 100, 8]),
                ],
            ),
            &["a.example is 198.51.100.7", "a.example is 198.51.100.8"],
        ),
        (
            "an address of IPv6",
            message(ANSWER, &long, AAAA, &[record("@", AAAA, &v6)]),
            &[&format!("{long} is 2001:db8::7")],
        ),
        (
            "by way of two other names",
            message(
                ANSWER,
                "a.example",
                A,
                &[
                    record("@", CNAME, &wire("b.example")),
                    record("b.example", CNAME, &wire("c.cdn")),
                    record("c.cdn", A, &V4),
                ],
            ),
            &["a.example is 198.51.100.7"],
        ),
        (
            "a record of a name that was not asked for",
            message(ANSWER, "a.example", A, &[record("bank.example", A, &V4)]),
            &[],
        ),
        (
            "a record of another kind",
            message(ANSWER, "a.example", A, &[record("@", AAAA, &v6)]),
            &[],
        ),
        (
            "a pointer",
            message(
                ANSWER,
                "7.100.51.198.in-addr.arpa",
                PTR,
                &[record("@", PTR, &wire("Host.example"))],
            ),
            &["198.51.100.7 is called host.example"],
        ),
        (
            "a pointer of IPv6",
            message(
                ANSWER,
                &arpa6,
                PTR,
                &[record("@", PTR, &wire("six.example"))],
            ),
            &["2001:db8::7 is called six.example"],
        ),
        (
            "a pointer of no address",
            message(
                ANSWER,
                "7.100.in-addr.arpa",
                PTR,
                &[record("@", PTR, &wire("a.example"))],
            ),
            &[],
        ),
        (
            "control characters, a dot and a backslash within labels",
            message(
                ANSWER,
                "7.100.51.198.in-addr.arpa",
                PTR,
                &[record("@", PTR, b"\x04\x1b[2J\x03a.\\\0")],
            ),
            &["198.51.100.7 is called \\027\\0912j.a\\046\\092"],
        ),
        (
            "a truncated answer",
            message(ANSWER | TRUNCATED, "a.example", A, &[record("@", A, &V4)]),
            &["a.example is 198.51.100.7"],
        ),
        (
            "no such name",
            message(ANSWER | 3, "a.example", A, &[record("@", A, &V4)]),
            &[],
        ),
        ("a query", message(0x0100, "a.example", A, &[]), &[]),
        (
            "a pointer to itself",
            message(
                ANSWER,
                "a.example",
                A,
                &[[&[POINTER, 27][..], &[0; 14]].concat()],
            ),
            &[],
        ),
        (
            "an address of three bytes",
            message(ANSWER, "a.example", A, &[record("@", A, &[1, 2, 3])]),
            &[],
        ),
    ] {
        assert_eq!(said(&bytes), expected, "{what}");
    }
    let records = [record("@", A, &V4), record("@", A, &V4)];
    let whole = message(ANSWER, "a.example", A, &records);
    // What is cut off within the second record still has the first.
    assert_eq!(
        said(&whole[..whole.len() - 1]),
        ["a.example is 198.51.100.7"]
    );
}

#[test]
fn a_question_is_repeated_in_any_case() {
    let [query, answer] = [
        message(0x0100, "a.ExAmple", A, &[]),
        message(ANSWER, "A.example", A, &[]),
    ]
    .map(|bytes| Message::parse(&bytes).expect("a message").question.clone());
    assert_eq!(query, answer);
}

proptest! {
    /// Whatever comes: no panic, no loop, only names that a terminal can show.
    #[test]
    fn any_bytes_do_no_harm(
        head in prop::sample::select(vec![ANSWER, ANSWER | TRUNCATED]),
        changed in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        rest in proptest::collection::vec(any::<u8>(), 0..700),
    ) {
        let records = [record("@", CNAME, &wire("b.example")), record("b.example", A, &V4)];
        let pointer = [record("@", PTR, &wire("a.example"))];
        for mut bytes in [
            message(head, "a.example", A, &records),
            message(head, "7.100.51.198.in-addr.arpa", PTR, &pointer),
            message(head, "a.example", A, std::slice::from_ref(&rest)),
            rest.clone(),
        ] {
            let length = bytes.len();
            for (place, byte) in changed.iter().filter(|_| length > 0) {
                let place = place.index(length);
                bytes[place] = *byte;
            }
            for line in said(&bytes) {
                prop_assert!(line.chars().all(|letter| (' '..='~').contains(&letter)), "{line:?}");
                prop_assert!(line.len() <= 2 * MAX_NAME);
            }
        }
    }
}
