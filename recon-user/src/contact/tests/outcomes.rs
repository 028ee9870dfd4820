//! What alerts say of the attempts of a remote.

use super::*;

#[test]
fn outcomes_are_those_of_the_window_the_ports_and_the_address() {
    let mut contacts = Polls::new();
    for port in [22, 23, 24] {
        contacts.poll(&[(Signal::Syn, port, 1), (Signal::RefusedTcp, port, 1)]);
    }
    contacts.poll(&[(Signal::Syn, 80, 1), (Signal::Accepted, 80, 1)]);
    contacts.poll(&[
        (Signal::Syn, 81, 1),
        (Signal::AnsweredTcp, 81, 1),
        (Signal::Datagram, 500, 1),
    ]);
    contacts.poll(&[]);
    let outcomes = |ports: &[u16], local, since| {
        let outcomes = contacts
            .contacts
            .outcomes(CLIENT, ports, local, at(since))?;
        let Outcomes {
            accepted,
            refused,
            half_open,
            silent,
            silent_with_listener: 0,
            open_ports,
        } = outcomes
        else {
            panic!("{outcomes:?}")
        };
        Some(([accepted, refused, half_open, silent], open_ports))
    };
    for (ports, local, since, expected) in [
        (&[][..], None, 0, Some(([1, 3, 1, 1], vec![80, 81]))),
        (&[], Some(SERVER), 0, Some(([1, 3, 1, 1], vec![80, 81]))),
        (&[], Some(CLIENT), 0, None),
        (&[22, 80], None, 0, Some(([1, 1, 0, 0], vec![80]))),
        (&[443], None, 0, None),
        (&[], None, 3, Some(([1, 1, 1, 1], vec![80, 81]))),
        (&[], None, 100, None),
    ] {
        assert_eq!(
            outcomes(ports, local, since),
            expected,
            "{ports:?} {local:?} {since}"
        );
    }
}
