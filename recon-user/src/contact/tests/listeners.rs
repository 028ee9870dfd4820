//! Attempts that are not answered, with a socket of this host on the port and without.

use super::*;

/// One target of each given kind: whether a socket waits there, and how many ports.
fn after(signal: Signal, kinds: &[(Option<bool>, u16)]) -> Polls {
    let mut polls = Polls::new();
    let mut port = 1000;
    for &(listener, ports) in kinds {
        polls.listener = listener;
        let rows: Vec<_> = (0..ports)
            .map(|number| (signal, port + number, 1))
            .collect();
        port += ports;
        polls.poll(&rows);
    }
    polls.poll(&[]);
    polls
}

#[test]
fn two_silent_ports_with_a_socket_weigh_as_one_failure() {
    use Verdict::{Scanner, Undecided};
    for (signal, kinds, expected) in [
        (Signal::Syn, &[(Some(false), 3)][..], Undecided),
        (Signal::Syn, &[(Some(false), 4)], Scanner),
        (Signal::Syn, &[(None, 4)], Scanner),
        (Signal::Syn, &[(Some(true), 7)], Undecided),
        // Who asks overloaded services alone is found too.
        (Signal::Syn, &[(Some(true), 8)], Scanner),
        (Signal::Datagram, &[(Some(true), 7)], Undecided),
        (Signal::DnsQueryUdp, &[(Some(true), 8)], Scanner),
        (Signal::Syn, &[(Some(true), 2), (Some(false), 3)], Scanner),
        (Signal::Syn, &[(Some(true), 1), (Some(false), 3)], Undecided),
        // To odd flags an open port is silent.
        (Signal::FinProbe, &[(Some(true), 4)], Scanner),
    ] {
        let polls = after(signal, kinds);
        let verdict = polls.contacts.standing(CLIENT).remote;
        assert_eq!(verdict, expected, "{signal:?} {kinds:?}");
    }
}

#[test]
fn outcomes_and_totals_say_where_a_socket_waits() {
    let mut polls = after(Signal::Syn, &[(Some(true), 2), (Some(false), 3), (None, 1)]);
    let outcomes = polls.contacts.outcomes(CLIENT, &[], None, at(0));
    let outcomes = outcomes.expect("attempts");
    assert_eq!((outcomes.silent, outcomes.silent_with_listener), (6, 2));
    let totals = polls.contacts.take_totals(at(9)).expect("attempts");
    let AttemptCounts {
        silent,
        silent_with_listener,
        ..
    } = totals.attempts;
    assert_eq!((silent, silent_with_listener), (6, 2));
}

/// Whether a socket waits, and the rows.
type Poll<'a> = (Option<bool>, &'a [Given]);

#[test]
fn a_later_packet_says_more_and_a_refusal_counts_in_full() {
    let later: &[Poll] = &[
        (Some(false), &[(Signal::Syn, 80, 1)]),
        (Some(true), &[(Signal::Syn, 80, 1)]),
    ];
    let refused: &[Poll] = &[
        (Some(true), &[(Signal::Syn, 80, 1)]),
        (None, &[]),
        (
            Some(false),
            &[(Signal::Syn, 80, 1), (Signal::RefusedTcp, 80, 1)],
        ),
    ];
    // (polls, silent ports, those of them with a socket)
    for (given, silent, silent_with_listener) in [(later, 1, 1), (refused, 0, 0)] {
        let mut polls = Polls::new();
        for &(listener, rows) in given {
            polls.listener = listener;
            polls.poll(rows);
        }
        polls.poll(&[]);
        let outcomes = polls.contacts.outcomes(CLIENT, &[], None, at(0));
        let outcomes = outcomes.expect("attempts");
        let found = (outcomes.silent, outcomes.silent_with_listener);
        assert_eq!(found, (silent, silent_with_listener), "{given:?}");
    }
}

#[test]
fn settled_rows_say_whether_a_socket_waits() {
    for listener in [None, Some(false), Some(true)] {
        let mut polls = Polls::new();
        polls.listener = listener;
        polls.poll(&[(Signal::Datagram, 514, 3)]);
        let settled = polls.contacts.settle(at(9), true);
        let found: Vec<_> = settled
            .iter()
            .map(|row| (row.key.signal, row.listener))
            .collect();
        assert_eq!(found, [(Signal::DatagramIgnored, listener)]);
    }
}
