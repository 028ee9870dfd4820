//! Rules on what this host's processes do.

use super::*;

const NOW: Duration = Duration::from_secs(7200);

/// What `rules` find in `rows`, with one process that is a tool.
fn found(rows: &[Key]) -> Vec<Finding> {
    let mut judge = judge(false);
    for row in rows {
        observe(&mut judge, row, 1, at(NOW), row.pid == PROCESS);
    }
    judge.end_poll_unlimited(at(NOW), false)
}

/// `count` SYNs of a process, each to the next port of `remote`.
fn syns(process: u32, count: u16) -> Vec<Key> {
    let local = Address::v4(LOCAL);
    (1..=count)
        .map(|port| key(Signal::SynSent, REMOTE, local, port, process))
        .collect()
}

#[test]
fn who_sends_matters() {
    let (tool, scan) = ("outbound-scan-tool", "outbound-port-scan");
    for (process, count, expected) in [
        (PROCESS, 1, &[tool][..]),
        (PROCESS, 21, &[tool, scan]),
        (PROCESS + 1, 1, &[]),
        (PROCESS + 1, 20, &[]),
        (PROCESS + 1, 21, &[scan]),
        (0, 100, &[]),
    ] {
        let findings = found(&syns(process, count));
        let ids: Vec<_> = findings
            .iter()
            .map(|finding| finding.query.id().to_owned())
            .collect();
        assert_eq!(ids, expected, "{count} ports by {process}");
        for finding in findings {
            assert_eq!(finding.pid, Some(process));
            assert_eq!(finding.pids, [process]);
        }
    }
    // Two processes are two groups.
    let both = [syns(PROCESS + 1, 20), syns(PROCESS + 2, 20)].concat();
    assert!(found(&both).is_empty());
}

#[test]
fn processes_are_asked_for_only_where_it_matters() {
    let judge = judge(false);
    for (signal, tool) in [
        (Signal::SynSent, true),
        (Signal::ConnectFailed, false),
        (Signal::Syn, false),
    ] {
        let process = false;
        assert_eq!(
            judge.process_needs(signal),
            ProcessNeeds { process, tool },
            "{signal:?}"
        );
    }
}

#[test]
fn a_sweep_has_a_sample_of_remotes() {
    let sweep = rule("outbound-sweep", Measure::DistinctRemotes);
    let rows: Vec<_> = (0..=sweep.threshold())
        .map(|number| event(sweep, REMOTE, number))
        .collect();
    let mut findings = found(&rows);
    findings.retain(|finding| finding.query.id() == sweep.id());
    let [finding] = &findings[..] else {
        panic!("{findings:?}")
    };
    assert_eq!((finding.count, finding.remote), (101, None));
    assert_eq!(finding.remotes.len(), 16);
    assert_eq!(finding.remotes[0], REMOTE);
    assert_eq!(finding.port, Some(53));
    // A resolver's queries are none.
    let queries: Vec<_> = rows
        .iter()
        .map(|row| Key {
            signal: Signal::DnsSentUdp as u8,
            pid: PROCESS + 1,
            ..*row
        })
        .collect();
    assert!(found(&queries).is_empty());
}

#[test]
fn failures_without_a_local_address_count_with_the_others() {
    let local = Address::v4(LOCAL);
    let failed = |local, process| key(Signal::ConnectFailed, REMOTE, local, 443, process);
    // (half of the rows, the other half, local address, process, processes)
    for (one, other, told_local, process, processes) in [
        (
            failed(local, 7),
            failed(Address::UNSPECIFIED, 8),
            Some(local),
            None,
            &[7, 8][..],
        ),
        (
            failed(Address::UNSPECIFIED, 0),
            failed(Address::UNSPECIFIED, 8),
            None,
            Some(8),
            &[8],
        ),
        (
            failed(Address::UNSPECIFIED, 0),
            failed(Address::UNSPECIFIED, 0),
            None,
            None,
            &[],
        ),
    ] {
        let rows = [[one; 51], [other; 51]].concat();
        let findings = found(&rows[..101]);
        let [finding] = &findings[..] else {
            panic!("{findings:?}")
        };
        assert_eq!(finding.query.id(), "failed-connections");
        assert_eq!((finding.local, finding.pid), (told_local, process));
        assert_eq!(finding.locals, Vec::from_iter(told_local));
        assert_eq!(finding.pids, processes);
        assert!(found(&rows[..100]).is_empty());
    }
}
