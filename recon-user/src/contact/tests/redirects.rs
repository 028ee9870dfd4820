//! Ports that this host redirects to others of its own.

use super::*;

#[test]
fn a_handshake_that_is_completed_on_another_port_is_not_left_open() {
    use Signal::*;
    const NOTHING: &[Given] = &[];
    let to_7080 = |number| (Syn, 7080, number);
    let by_7003 = |number| (Accepted, 7003, number);
    let answered = |port| (AnsweredTcp, port, 1);
    let mut polls = Polls::new();
    // (rows of a poll, what is settled)
    for (rows, settled) in [
        (
            &[to_7080(3), answered(7080), by_7003(3)][..],
            &[(AttemptAccepted, 7003, 3)][..],
        ),
        (
            &[
                to_7080(2),
                answered(7080),
                by_7003(2),
                // The last segments of the first connections.
                (MaimonProbe, 7080, 3),
            ],
            &[(AttemptAccepted, 7003, 2)],
        ),
        (NOTHING, NOTHING),
        // What was asked for on its own port pays for nothing.
        (
            &[(Syn, 80, 1), answered(80), (Syn, 22, 1), (Accepted, 22, 1)],
            &[(AttemptAccepted, 22, 1)],
        ),
        (NOTHING, &[(AttemptHalfOpen, 80, 1)]),
        // One that is completed late pays for no flood.
        (&[(Syn, 25, 1), answered(25)], NOTHING),
        (NOTHING, &[(AttemptHalfOpen, 25, 1)]),
        (&[(Accepted, 25, 1)], &[(AttemptAccepted, 25, 1)]),
        (&[(Syn, 80, 3), answered(80)], NOTHING),
        (NOTHING, &[(AttemptHalfOpen, 80, 3)]),
        // Nor does a connection of long ago.
        (&[by_7003(9)], &[(AttemptAccepted, 7003, 9)]),
        (NOTHING, NOTHING),
        (NOTHING, NOTHING),
        (NOTHING, NOTHING),
        (NOTHING, NOTHING),
        (&[(Syn, 80, 1), answered(80)], NOTHING),
        (NOTHING, &[(AttemptHalfOpen, 80, 1)]),
    ] {
        assert_eq!(
            polls.poll(rows),
            settled,
            "{rows:?} in poll {}",
            polls.number
        );
    }
}
