//! The answers of this host to the groups that are reported.

use super::*;

const SECOND_LOCAL: Address = Address::v4([203, 0, 113, 2]);

/// The answers in the finding of one rule, for `rows` in one poll.
fn answers(id: &str, measure: Measure, rows: &[(Signal, Address, u16, u64)]) -> Option<Answers> {
    let mut pipeline = built_in_pipeline(false);
    let now = at(Duration::from_secs(7200));
    for &(signal, local, port, count) in rows {
        let key = key(signal, REMOTE, local, port, 0);
        observe(&mut pipeline, &key, count, now, false);
    }
    let findings = pipeline.end_poll_unlimited(now, false);
    findings_of(&findings, rule(id, measure))
        .next()
        .expect("over the threshold")
        .answers
        .clone()
}

#[test]
fn each_group_has_its_own_answers() {
    let local = Address::v4(LOCAL);
    // Answers come before the hits that they answer, and one is from a port that was not probed.
    let mut rows = vec![
        (Signal::AnsweredTcp, local, 22, 1),
        (Signal::RefusedTcp, local, 22, 1),
        (Signal::AnsweredUdp, local, 53, 1),
        (Signal::RefusedIcmp, local, 30, 1),
        (Signal::RefusedTcp, local, 445, 11),
        (Signal::AnsweredTcp, SECOND_LOCAL, 445, 1),
        (Signal::AnsweredTcp, local, 9999, 1),
    ];
    rows.extend((20..40).map(|port| (Signal::Syn, local, port, 1)));
    rows.extend([
        (Signal::Datagram, local, 53, 1),
        (Signal::Syn, local, 445, 600),
        (Signal::Syn, SECOND_LOCAL, 445, 1),
    ]);
    let of = |open, refused, silent, open_ports: &[u16]| {
        Some(Answers {
            open,
            refused,
            silent,
            open_ports: open_ports.to_vec(),
        })
    };
    for (id, measure, expected) in [
        // 20 to 39 and 53 on one address, 445 on two.
        (
            "port-scan",
            Measure::DistinctPorts,
            of(3, 2, 18, &[22, 53, 445]),
        ),
        ("syn-flood", Measure::Count, of(3, 2, 18, &[22, 53, 445])),
        // Port 445.
        ("port-scan", Measure::Count, of(1, 1, 0, &[445])),
        // Port 445 of the first address.
        ("rapid-scan", Measure::Count, of(0, 1, 0, &[])),
        ("smb-scan", Measure::Count, of(0, 1, 0, &[])),
    ] {
        assert_eq!(answers(id, measure, &rows), expected, "{id} {measure:?}");
    }
}

#[test]
fn rules_on_refusals_and_pings_have_no_answers() {
    let local = Address::v4(LOCAL);
    let refused = [
        (Signal::Syn, local, 22, 101),
        (Signal::RefusedTcp, local, 22, 101),
    ];
    assert_eq!(
        answers("failed-connections", Measure::Count, &refused),
        None
    );
    let pings = [(Signal::EchoRequest, local, 0, 51)];
    assert_eq!(answers("icmp-sweep", Measure::Count, &pings), None);
}

#[test]
fn answers_to_private_remotes_count_if_a_rule_counts_them() {
    let mut pipeline = built_in_pipeline(false);
    let now = at(Duration::from_secs(7200));
    let local = Address::v4(LOCAL);
    for (signal, port, count) in [
        (Signal::Syn, 22, 11),
        (Signal::AnsweredTcp, 22, 11),
        (Signal::Syn, 8081, 1),
    ] {
        let key = key(signal, PRIVATE, local, port, 0);
        observe(&mut pipeline, &key, count, now, false);
    }
    let findings = pipeline.end_poll_unlimited(now, false);
    let finding = findings_of(&findings, rule("common-ports", Measure::Count))
        .next()
        .expect("over the threshold");
    let answers = finding.answers.as_ref().expect("probed");
    assert_eq!((answers.open, answers.silent), (1, 0));
}
