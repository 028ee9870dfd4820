//! Lists of sources: order, filter, bound, and numbers that agree with a walk over the targets.

use super::*;

/// Ten sources in one poll each: number N refuses N ports and accepts on one if it is even.
fn ten() -> Polls {
    let mut polls = Polls::new();
    for number in 1..=10 {
        let mut rows: Vec<Given> = (1..=number)
            .flat_map(|port| [(Signal::Syn, port, 1), (Signal::RefusedTcp, port, 1)])
            .collect();
        if number % 2 == 0 {
            rows.extend([(Signal::Syn, 443, 1), (Signal::Accepted, 443, 1)]);
        }
        polls.poll_of(remote(number), &rows);
    }
    polls.poll(&[]);
    polls.poll(&[]);
    polls
}

fn remote(number: u16) -> Address {
    Address::v4([203, 0, 113, number as u8])
}

#[test]
fn sources_are_listed_in_order_and_bounded() {
    let polls = ten();
    let all = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    let of = |number: u16| remote(number).to_ip();
    for (order, filter, limit, matching, expected) in [
        (SourceOrder::Recent, None, 200, 10, &all[..]),
        (SourceOrder::New, None, 3, 10, &all[..3]),
        (SourceOrder::Verdict, None, 2, 10, &[10, 9]),
        (SourceOrder::Ports, None, 4, 10, &[10, 9, 8, 7]),
        (SourceOrder::Failed, None, 2, 10, &[10, 9]),
        (SourceOrder::Accepted, None, 5, 10, &[10, 8, 6, 4, 2]),
        (SourceOrder::Recent, Some("203.0.113.7"), 200, 1, &[7]),
        (SourceOrder::Recent, Some("198.51.100"), 200, 0, &[]),
        (SourceOrder::Recent, Some("scanner"), 1, 6, &[10]),
        (SourceOrder::Recent, None, 0, 10, &[]),
    ] {
        let filter = filter.map(|text| text.parse().expect("a filter"));
        let found = polls.contacts.list_sources(SourceSelection {
            order,
            filter,
            limit,
        });
        let listed: Vec<_> = found.listed.iter().map(|of| of.ip).collect();
        let expected: Vec<_> = expected.iter().map(|&number| of(number)).collect();
        assert_eq!(listed, expected, "{order:?}");
        assert_eq!(found.matching, matching, "{order:?}");
        assert_eq!(found.counts.all(), 10);
        assert!(!found.lower_bound);
    }
}

/// What is kept for a list is what an alert finds by a walk over all targets.
#[test]
fn numbers_are_those_of_alerts() {
    let mut polls = ten();
    let busy = remote(11);
    use Signal::*;
    for port in 1..=2000 {
        let signal = [Accepted, RefusedTcp, AnsweredTcp, Syn][usize::from(port % 4)];
        polls.listener = Some(port % 8 == 3);
        polls.poll_of(busy, &[(Syn, port, 1), (signal, port, 1)]);
    }
    polls.listener = None;
    polls.poll(&[]);
    polls.poll(&[]);
    for number in 1..=11 {
        let known = polls.contacts.known_source(remote(number)).expect("known");
        let walked = polls
            .contacts
            .outcomes(remote(number), &[], None, Timestamp::UNIX_EPOCH);
        assert_eq!(Some(known.outcomes), walked, "{number}");
        let highest = if number % 2 == 0 { 443 } else { number };
        let highest = if number == 11 { 2000 } else { highest };
        assert_eq!(known.port_range, Some([1, highest]));
        assert_eq!(known.ports[0], 1);
        assert!(known.ports.len() <= 16, "{:?}", known.ports);
    }
    let unknown = polls.contacts.known_source(remote(12));
    assert!(unknown.is_none());
}
