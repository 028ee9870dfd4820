//! Attempts through [`Contacts`]: rows of a poll in, settled rows out.

mod hour;
mod known;
mod listeners;
mod outcomes;
mod redirects;
mod standing;

use recon_common::{Ending, Key};

use super::*;

const CLIENT: Address = Address::v4([198, 51, 100, 7]);
const SERVER: Address = Address::v4([203, 0, 113, 1]);
const PID: u32 = 4242;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

/// A row: signal, port, count.
type Given = (Signal, u16, u64);

struct Polls {
    contacts: Contacts,
    /// Polls so far.
    number: i32,
    length: SignedDuration,
    /// Whether a socket waits on the port of each row.
    listener: Option<bool>,
}

impl Polls {
    fn new() -> Self {
        let needs = ContactNeeds {
            networks: true,
            processes: false,
        };
        Self {
            contacts: Contacts::new(needs),
            number: 0,
            length: SignedDuration::from_secs(1),
            listener: None,
        }
    }

    fn poll(&mut self, rows: &[Given]) -> Vec<Given> {
        self.poll_of(CLIENT, rows)
    }

    /// One poll. Returns what is settled.
    fn poll_of(&mut self, remote: Address, rows: &[Given]) -> Vec<Given> {
        let interval = Interval {
            from: at(0) + self.length * self.number,
            to: at(0) + self.length * (self.number + 1),
        };
        self.number += 1;
        for &(signal, port, count) in rows {
            let ended = |bytes| Ending::new(bytes, 0, 0).pack();
            let (signal, detail) = match signal {
                // The count of a used one is odd.
                Signal::Ended if count % 2 == 1 => (signal, ended(100)),
                Signal::Ended => (signal, ended(0)),
                _ if signal.is_outbound() => (signal, PID),
                _ => (signal, 0),
            };
            let key = Key {
                remote,
                local: SERVER,
                detail,
                port,
                signal: signal as u8,
                tool: 0,
            };
            let row = Row {
                device: "web1",
                listener: self.listener,
                ..Row::bare(RowKey::unpack(&key).expect("a signal"), count, interval.to)
            };
            self.contacts.observe(&row, interval);
        }
        let settled = self.contacts.settle(interval.to, false);
        let given = |settled: Settled| {
            let RowKey { signal, port, .. } = settled.key;
            (signal, port.unwrap_or(0), settled.count)
        };
        settled.into_iter().map(given).collect()
    }
}

#[test]
fn attempts_come_to_something_or_to_nothing() {
    use Signal::*;
    const NOTHING: &[Given] = &[];
    // (polls: rows and what is settled)
    let rows: &[&[(&[Given], &[Given])]] = &[
        // At once, in any order within the poll.
        &[(
            &[(Syn, 22, 1), (Accepted, 22, 1), (AnsweredTcp, 22, 1)],
            &[(AttemptAccepted, 22, 1)],
        )],
        &[(
            &[(RefusedTcp, 23, 2), (Syn, 23, 2)],
            &[(AttemptRefused, 23, 2)],
        )],
        &[(
            &[(Datagram, 53, 3), (AnsweredUdp, 53, 1)],
            &[(DatagramAnswered, 53, 3)],
        )],
        &[(
            &[(DnsQueryUdp, 53, 3), (AnsweredUdp, 53, 1)],
            &[(DatagramAnswered, 53, 3)],
        )],
        &[(
            &[(RefusedIcmp, 69, 1), (Datagram, 69, 1)],
            &[(DatagramRefused, 69, 1)],
        )],
        // A protocol without ports is refused.
        &[(&[(RefusedIcmp, 0, 3)], NOTHING), (NOTHING, NOTHING)],
        // A firewall refuses a SYN by ICMP.
        &[(
            &[(Syn, 69, 1), (RefusedIcmp, 69, 1)],
            &[(AttemptRefused, 69, 1)],
        )],
        // A poll later, with the outcome of that poll.
        &[
            (&[(Syn, 80, 1), (AnsweredTcp, 80, 1)], NOTHING),
            (&[(Accepted, 80, 1)], &[(AttemptAccepted, 80, 1)]),
        ],
        &[
            (&[(Syn, 80, 4), (AnsweredTcp, 80, 1)], NOTHING),
            (NOTHING, &[(AttemptHalfOpen, 80, 4)]),
            (NOTHING, NOTHING),
        ],
        &[
            (&[(Syn, 81, 1)], NOTHING),
            (&[(RefusedTcp, 81, 1)], &[(AttemptRefused, 81, 1)]),
        ],
        &[
            (&[(Syn, 81, 1)], NOTHING),
            (&[(Syn, 81, 1)], &[(AttemptIgnored, 81, 2)]),
        ],
        &[
            (&[(XmasProbe, 81, 1)], NOTHING),
            (NOTHING, &[(AttemptIgnored, 81, 1)]),
        ],
        &[
            (&[(Datagram, 161, 1)], NOTHING),
            (NOTHING, &[(DatagramIgnored, 161, 1)]),
        ],
        // What was accepted once is no failure later, nor is its late completion.
        &[
            (
                &[(Syn, 80, 1), (Accepted, 80, 1)],
                &[(AttemptAccepted, 80, 1)],
            ),
            (&[(Syn, 80, 5), (RefusedTcp, 80, 5)], NOTHING),
            // Data on a connection from before the restart of the service.
            (&[(RefusedTcp, 80, 3)], NOTHING),
        ],
        &[
            (&[(Syn, 80, 1)], NOTHING),
            (NOTHING, &[(AttemptIgnored, 80, 1)]),
            (&[(Accepted, 80, 1)], &[(AttemptAccepted, 80, 1)]),
        ],
        // The refusal of a traceroute's datagram is none.
        &[
            (&[(TraceProbe, 33434, 3), (RefusedIcmp, 33434, 3)], NOTHING),
            (&[(RefusedIcmp, 33434, 1)], NOTHING),
            (NOTHING, NOTHING),
        ],
        // Forwarded connections are known to have been established by their end.
        &[(
            &[(Syn, 80, 1), (AnsweredTcp, 80, 1), (ForwardedEnded, 80, 1)],
            &[(AttemptAccepted, 80, 1)],
        )],
        // A refusal without its SYN, as in rows from elsewhere.
        &[(&[(RefusedTcp, 23, 2)], &[(AttemptRefused, 23, 2)])],
        // What this host's processes reach for.
        &[(
            &[(SynSent, 443, 1), (SynAckReceived, 443, 1)],
            &[(ConnectAnswered, 443, 1)],
        )],
        &[(
            &[(SynSent, 443, 1), (ResetReceived, 443, 1)],
            &[(ConnectRefused, 443, 1)],
        )],
        &[(
            &[(SynSent, 443, 1), (ConnectFailed, 443, 1)],
            &[(ConnectRefused, 443, 1)],
        )],
        &[
            (&[(SynSent, 443, 1)], NOTHING),
            (NOTHING, &[(ConnectIgnored, 443, 1)]),
        ],
        &[(
            &[(DatagramSent, 53, 1), (ReplyReceived, 53, 1)],
            &[(SentAnswered, 53, 1)],
        )],
        &[
            (&[(DatagramSent, 53, 1)], NOTHING),
            (&[(ReplyReceived, 53, 1)], &[(SentAnswered, 53, 1)]),
        ],
        &[
            (&[(EchoSent, 0, 1)], NOTHING),
            (NOTHING, &[(EchoIgnored, 0, 1)]),
        ],
        &[(
            &[(EchoSent, 0, 1), (EchoReplyReceived, 0, 1)],
            &[(EchoAnswered, 0, 1)],
        )],
        // A remote that restarts.
        &[
            (
                &[(SynSent, 80, 1), (SynAckReceived, 80, 1)],
                &[(ConnectAnswered, 80, 1)],
            ),
            (NOTHING, NOTHING),
            (&[(SynSent, 80, 9), (ResetReceived, 80, 9)], NOTHING),
        ],
    ];
    for polls in rows {
        let mut contacts = Polls::new();
        for (number, (given, expected)) in polls.iter().enumerate() {
            assert_eq!(
                contacts.poll(given),
                *expected,
                "poll {number} of {polls:?}"
            );
        }
    }
}

#[test]
fn a_scanner_that_comes_back_uses_a_connection() {
    use Signal::*;
    const VISIT: [Given; 4] = [
        (Syn, 80, 1),
        (AnsweredTcp, 80, 1),
        (Accepted, 80, 1),
        (Ended, 80, 1),
    ];
    let used = |polls: &[&[Given]]| {
        let mut contacts = Polls::new();
        let settled = polls.iter().flat_map(|rows| contacts.poll(rows));
        let used: Vec<_> = settled.filter(|(signal, ..)| *signal == Used).collect();
        (used, contacts.contacts.source(CLIENT).is_proven)
    };
    // A scan finds the port open, and leaves the handshake there.
    let refused = |ports: u16| -> Vec<Given> {
        let ports = 1..=ports;
        ports
            .flat_map(|port| [(Syn, port, 1), (RefusedTcp, port, 1)])
            .collect()
    };
    // A scan finds the port open, and leaves the handshake there.
    let scan_of = |ports| [refused(ports), vec![(Syn, 80, 1), (AnsweredTcp, 80, 1)]].concat();
    let scan = scan_of(3);
    let silent = [(Syn, 23, 1), (Syn, 24, 1), (Syn, 25, 1), (Syn, 80, 1)];
    let of = |parts: &[&[Given]]| parts.concat();
    let rest = [&[][..]; 7];
    let then = |polls: &[Vec<Given>]| -> (Vec<Given>, bool) {
        let polls: Vec<&[Given]> = polls.iter().map(Vec::as_slice).chain(rest).collect();
        used(&polls)
    };
    let visit = (vec![(Used, 80, 1)], true);
    // In the same poll, whatever the order of the rows and whether the scan was answered.
    assert_eq!(then(&[of(&[&scan, &VISIT])]), visit);
    assert_eq!(then(&[of(&[&VISIT, &scan])]), visit);
    assert_eq!(then(&[of(&[&VISIT, &silent])]), visit);
    assert_eq!(then(&[scan.clone(), vec![], VISIT.to_vec()]), visit);
    // A connection without an end that stays.
    let open = VISIT[..3].to_vec();
    assert_eq!(then(&[scan.clone(), open]), visit);
    // A connect scan closes at once, without data: no use, but a proof.
    let mut probe = VISIT;
    probe[3].2 = 2;
    assert_eq!(then(&[of(&[&refused(3), &probe])]), (vec![], true));
    // A connect scan, and then its sender.
    let after = then(&[of(&[&refused(3), &probe]), vec![], VISIT.to_vec()]);
    assert_eq!(after, visit);
    // Somebody scans in the name of who then comes for the first time, to a port that the scan
    // did not try.
    let first_visit = then(&[refused(3), vec![], VISIT.to_vec()]);
    assert_eq!(first_visit, (vec![], false));
    // A client, in whose name somebody scans a port that it then uses for the first time: it may be
    // the scanner, but that is not proven.
    let web = [(Syn, 443, 1), (AnsweredTcp, 443, 1), (Accepted, 443, 1)];
    let later = then(&[web.to_vec(), vec![], scan.clone(), vec![], VISIT.to_vec()]);
    assert_eq!(later, (vec![(Used, 80, 1)], false));
    // A client that went there before, in whose name somebody scans, and one that never failed.
    assert_eq!(
        then(&[VISIT.to_vec(), vec![], scan.clone(), VISIT.to_vec()]),
        (vec![], false)
    );
    assert_eq!(then(&[VISIT.to_vec()]), (vec![], false));
    // Who mistypes a port or two and then finds the right one is no scanner.
    assert_eq!(then(&[scan_of(1), VISIT.to_vec()]), (vec![], false));
    // The same within a second.
    let mut quick = Polls::new();
    quick.length = SignedDuration::from_millis(100);
    let polls = [&VISIT[..], &scan, &VISIT].into_iter().chain([&[][..]; 60]);
    let settled: Vec<_> = polls.flat_map(|rows| quick.poll(rows)).collect();
    assert!(!settled.contains(&(Used, 80, 1)), "{settled:?}");
    assert!(!quick.contacts.source(CLIENT).is_proven);
}

#[test]
fn open_ports_of_several_addresses_are_listed_once_while_they_wait() {
    let mut contacts = Contacts::new(ContactNeeds::default());
    let interval = Interval {
        from: at(0),
        to: at(1),
    };
    for last in 1..=20 {
        for (port, signal) in [22, 80]
            .into_iter()
            .flat_map(|port| [Signal::Syn, Signal::AnsweredTcp].map(|signal| (port, signal)))
        {
            let key = Key {
                remote: CLIENT,
                local: Address::v4([203, 0, 113, last]),
                detail: 0,
                port,
                signal: signal as u8,
                tool: 0,
            };
            let row = Row {
                device: "web1",
                ..Row::bare(RowKey::unpack(&key).expect("a signal"), 1, interval.to)
            };
            contacts.observe(&row, interval);
        }
    }
    assert!(contacts.settle(interval.to, false).is_empty());
    let outcomes = contacts.outcomes(CLIENT, &[], None, at(0));
    let outcomes = outcomes.expect("attempts");
    assert_eq!(
        (outcomes.half_open, outcomes.open_ports),
        (40, vec![22, 80])
    );
}
