//! What is known of a remote, and for how long.

use super::*;

/// Evidence of a day before is none, whether the host is busy or not.
#[test]
fn evidence_is_kept_for_a_day() {
    use Signal::{Accepted, AnsweredTcp, RefusedTcp, Syn};
    let mut daily = Polls::new();
    daily.length = SignedDuration::from_hours(25);
    for port in 1..=9 {
        daily.poll(&[(Syn, port, 1), (RefusedTcp, port, 1)]);
        let verdict = daily.contacts.source(CLIENT).verdict;
        assert_eq!(verdict, Verdict::Undecided, "a port a day: {port}");
    }
    let mut hourly = Polls::new();
    hourly.length = SignedDuration::from_hours(1);
    hourly.poll(&[(Syn, 80, 9), (AnsweredTcp, 80, 9), (Accepted, 80, 9)]);
    assert_eq!(hourly.contacts.source(CLIENT).verdict, Verdict::Client);
    // A failure keeps the remote, but not its successes.
    for port in 1..=30 {
        hourly.poll(&[(Syn, port % 2, 1), (RefusedTcp, port % 2, 1)]);
    }
    assert_eq!(hourly.contacts.source(CLIENT).verdict, Verdict::Undecided);
    assert!(!hourly.contacts.standing(CLIENT).is_proven);
}

/// A forged datagram that is answered proves nothing and excuses nothing.
#[test]
fn only_a_handshake_before_the_first_failure_is_a_clients() {
    use Signal::*;
    let visit = |port| [(Syn, port, 1), (AnsweredTcp, port, 1), (Accepted, port, 1)];
    let asked = [(DnsQueryUdp, 53, 1), (AnsweredUdp, 53, 1)];
    let refused = [(Syn, 23, 1), (RefusedTcp, 23, 1)];
    for (what, polls, expected) in [
        ("a client", [&visit(80)[..], &refused], true),
        ("a query", [&asked, &refused], false),
        ("a visit afterwards", [&refused, &visit(80)], false),
        ("no visit", [&refused, &refused], false),
    ] {
        let mut contacts = Polls::new();
        polls.into_iter().for_each(|rows| drop(contacts.poll(rows)));
        let source = contacts.contacts.source(CLIENT);
        assert_eq!(source.is_contradicted, expected, "{what}");
    }
}

#[test]
fn the_standing_of_a_remote_and_its_network() {
    let mut contacts = Polls::new();
    let neighbour = Address::v4([198, 51, 100, 8]);
    let refused = |port| [(Signal::Syn, port, 1), (Signal::RefusedTcp, port, 1)];
    let standing = |contacts: &Polls, remote| {
        let Standing {
            remote,
            network,
            is_proven,
        } = contacts.contacts.standing(remote);
        (remote, network, is_proven)
    };
    use Verdict::{Client, Scanner, Undecided};
    for (port, expected) in [
        (1, Undecided),
        (1, Undecided),
        (2, Undecided),
        (3, Undecided),
    ] {
        contacts.poll(&refused(port));
        assert_eq!(
            standing(&contacts, CLIENT),
            (expected, expected, false),
            "{port}"
        );
    }
    // The neighbour's failure on a port that failed before adds nothing, on another it does.
    contacts.poll_of(neighbour, &refused(3));
    assert_eq!(
        standing(&contacts, neighbour),
        (Undecided, Undecided, false)
    );
    contacts.poll_of(neighbour, &refused(4));
    assert_eq!(standing(&contacts, neighbour), (Undecided, Scanner, false));
    contacts.poll(&refused(5));
    assert_eq!(standing(&contacts, CLIENT), (Scanner, Scanner, false));
    let other = Address::v4([203, 0, 113, 200]);
    contacts.poll_of(other, &[(Signal::Syn, 80, 9), (Signal::Accepted, 80, 9)]);
    assert_eq!(standing(&contacts, other), (Client, Client, true));
    assert!(
        contacts.contacts.source(CLIENT)
            == SourceEvidence {
                verdict: Scanner,
                ..SourceEvidence::default()
            }
    );
}
