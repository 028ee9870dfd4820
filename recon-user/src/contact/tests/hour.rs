//! What the attempts of an hour add up to.

use super::*;

const OTHER: Address = Address::v4([198, 51, 100, 200]);

#[test]
fn an_hour_has_the_attempts_the_ports_and_the_sources_of_its_own() {
    use Signal::{Accepted, AnsweredTcp, Datagram, RefusedTcp, Syn};
    let mut polls = Polls::new();
    assert_eq!(polls.contacts.take_totals(at(0)), None, "nothing was tried");
    polls.poll_of(
        CLIENT,
        &[(Syn, 80, 2), (AnsweredTcp, 80, 2), (Accepted, 80, 2)],
    );
    polls.poll_of(
        OTHER,
        &[(Syn, 22, 3), (RefusedTcp, 22, 3), (Datagram, 22, 1)],
    );
    polls.poll_of(OTHER, &[(Syn, 22, 1), (AnsweredTcp, 22, 1)]);
    polls.poll_of(OTHER, &[]);
    let counts = |accepted, refused, half_open, silent| AttemptCounts {
        accepted,
        refused,
        half_open,
        silent,
        silent_with_listener: 0,
    };
    let sources = |undecided| SourceCounts {
        undecided,
        ..SourceCounts::default()
    };
    let network = |sources| NetworkSources {
        network: Address::v4([198, 51, 100, 0]),
        sources,
    };
    let first = ContactTotals {
        attempts: counts(2, 3, 1, 1),
        // 22 of TCP and of UDP, and 80.
        ports: 3,
        sources: sources(2),
        new: 2,
        networks: vec![network(2)],
        lower_bound: false,
    };
    assert_eq!(polls.contacts.take_totals(at(4)), Some(first));
    assert_eq!(polls.contacts.take_totals(at(4)), None, "taken once");
    polls.number = 10;
    polls.poll_of(CLIENT, &[(Syn, 443, 1), (RefusedTcp, 443, 1)]);
    let second = ContactTotals {
        attempts: counts(0, 1, 0, 0),
        ports: 1,
        sources: sources(1),
        networks: vec![network(1)],
        ..ContactTotals::default()
    };
    assert_eq!(polls.contacts.take_totals(at(12)), Some(second));
}

#[test]
fn ten_networks_are_named() {
    let mut polls = Polls::new();
    let remote = |network: u32, number: u32| {
        Address::from_v4_word((0x1400_0000 + network * 256 + number).to_be())
    };
    for network in 0..12 {
        for number in 0..=network {
            polls.poll_of(
                remote(network, number),
                &[(Signal::Syn, 80, 1), (Signal::RefusedTcp, 80, 1)],
            );
        }
    }
    let totals = polls.contacts.take_totals(at(100)).expect("attempts");
    let networks = totals.networks.iter();
    let networks: Vec<_> = networks.map(|of| (of.network, of.sources)).collect();
    let expected = (2..12).rev().map(|of| (remote(of, 0), u64::from(of) + 1));
    assert_eq!(networks, Vec::from_iter(expected));
}

#[test]
fn sources_beyond_the_bound_make_a_lower_bound() {
    let mut polls = Polls::new();
    // More than the 65,536 that the ledger keeps.
    for number in 0..70_000_u32 {
        let remote = Address::from_v4_word((0x1400_0000 + number).to_be());
        polls.poll_of(remote, &[(Signal::Syn, 80, 1), (Signal::RefusedTcp, 80, 1)]);
    }
    let totals = polls.contacts.take_totals(at(70_000)).expect("attempts");
    assert!(totals.lower_bound);
    assert_eq!(totals.attempts.all(), 70_000);
}
