//! Rules on traffic of this host's processes.

use super::*;

const NOW: Duration = Duration::from_secs(7200);

/// The findings of the built-in rules in `rows`. One process is a scanning tool.
fn found(rows: &[Key]) -> Vec<Finding> {
    let mut pipeline = built_in_pipeline(false);
    for row in rows {
        observe(&mut pipeline, row, 1, at(NOW), row.detail == PROCESS);
    }
    pipeline.end_poll_unlimited(at(NOW), false)
}

/// `count` SYNs of a process, each to the next port of `remote`.
fn syns(process: u32, count: u16) -> Vec<Key> {
    let local = Address::v4(LOCAL);
    (1..=count)
        .map(|port| key(Signal::SynSent, REMOTE, local, port, process))
        .collect()
}

#[test]
fn findings_depend_on_the_sending_process() {
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

/// After a boot, a pid is another process's: what it does is not added to what the one before did,
/// and nobody is named for that.
#[test]
fn a_pid_of_another_boot_is_another_process() {
    const RULES: &str = "// id: by-process\nDeviceNetworkEvents\n| where ActionType == 'ConnectionRequest'\n| summarize ports = dcount(RemotePort) by InitiatingProcessId\n| where ports > 20\n\n// id: by-remote\nDeviceNetworkEvents\n| where ActionType == 'ConnectionRequest'\n| summarize ports = dcount(RemotePort) by RemoteIP\n| where ports > 20";
    // (whether the machine boots, the rules and processes of the findings)
    for (boots, expected) in [
        (
            false,
            &[
                ("by-process", &[PROCESS][..]),
                ("by-remote", &[PROCESS]),
                ("by-remote", &[PROCESS + 1, PROCESS + 2]),
            ][..],
        ),
        (
            true,
            &[("by-remote", &[PROCESS]), ("by-remote", &[PROCESS + 2])],
        ),
    ] {
        let mut pipeline = pipeline_of(RULES, DEFAULT_MEMORY);
        // (ports of a remote, by a process) in a poll each, before and after the boot
        let before = [(REMOTE, PROCESS, 1..16), (OTHER, PROCESS + 1, 1..16)];
        let after = [(REMOTE, PROCESS, 16..22), (OTHER, PROCESS + 2, 16..22)];
        let mut found = Vec::new();
        for (second, (remote, process, ports)) in before.into_iter().chain(after).enumerate() {
            if boots && second == 2 {
                let loaded = Loader::default().load("test.kql", RULES.as_bytes());
                let settings = settings(plain(loaded.plans));
                let ended = pipeline.forget_processes(settings, at(NOW).to);
                assert!(ended.is_empty(), "nothing was reported");
            }
            let interval = at(NOW + Duration::from_secs(second as u64));
            for port in ports {
                let key = key(Signal::SynSent, remote, Address::v4(LOCAL), port, process);
                observe(&mut pipeline, &key, 1, interval, false);
            }
            found.extend(pipeline.end_poll_unlimited(interval, false));
        }
        let found: Vec<_> = found
            .iter()
            .map(|finding| (finding.query.id(), finding.pids.as_slice()))
            .collect();
        assert_eq!(found, expected, "boots: {boots}");
    }
}

#[test]
fn processes_are_looked_up_only_for_signals_that_need_it() {
    let pipeline = built_in_pipeline(false);
    for (signal, tool) in [
        (Signal::SynSent, true),
        (Signal::ConnectFailed, false),
        (Signal::Syn, false),
    ] {
        let process = false;
        assert_eq!(
            pipeline.process_needs(signal),
            ProcessNeeds { process, tool },
            "{signal:?}"
        );
    }
}

#[test]
fn a_sweep_reports_a_sample_of_remotes() {
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
    // The queries of a resolver are not a sweep.
    let queries: Vec<_> = rows
        .iter()
        .map(|row| Key {
            signal: Signal::DnsSentUdp as u8,
            detail: PROCESS + 1,
            ..*row
        })
        .collect();
    assert!(found(&queries).is_empty());
}

#[test]
fn failures_without_a_local_address_count_with_the_others() {
    let local = Address::v4(LOCAL);
    let failed = |local, process| key(Signal::ConnectFailed, REMOTE, local, 443, process);
    // (half of the rows, the other half, reported local address, process and processes)
    for (one, other, expected_local, process, processes) in [
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
        assert_eq!((finding.local, finding.pid), (expected_local, process));
        assert_eq!(finding.locals, Vec::from_iter(expected_local));
        assert_eq!(finding.pids, processes);
        assert!(found(&rows[..100]).is_empty());
    }
}
