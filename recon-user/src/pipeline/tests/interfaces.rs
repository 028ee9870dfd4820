//! The interfaces of a group's packets, through attempts, logs of rows and groups.

use super::*;
use crate::row::Name;

/// The findings of a remote that tries closed ports, each on the next of these interfaces.
fn found(profile: Profile, ports: u16, interfaces: &[&str]) -> Vec<Finding> {
    let mut pipeline = Pipeline::new(settings(plain(defaults(profile))));
    let interval = at(Duration::from_secs(7200));
    for (port, &interface) in (1000..1000 + ports).zip(interfaces.iter().cycle()) {
        for signal in [Signal::Syn, Signal::RefusedTcp] {
            let key = key(signal, REMOTE, Address::v4(LOCAL), port, 0);
            let key = RowKey::unpack(&key).expect("a signal");
            let interface = Name::new(interface).filter(|_| signal.has_interface());
            let row = Row {
                device: "web1",
                ..Row::bare(RowKey { interface, ..key }, 1, interval.to)
            };
            pipeline.push(&row, interval);
        }
    }
    pipeline.end_poll_unlimited(interval, false)
}

#[test]
fn a_finding_lists_the_interfaces_of_its_packets() {
    let many: Vec<String> = (10..30).map(|number| format!("veth{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (interfaces, expected) in [
        (&["eth1"][..], &["eth1"][..]),
        (&["veth7", "eth1", "eth0"], &["eth0", "eth1", "veth7"]),
        (&["eth1", ""], &["eth1"]),
        (&[""], &[]),
        (&many, &many[..8]),
    ] {
        for (profile, ports) in [(Profile::Outcomes, 60), (Profile::Source, 1000)] {
            let findings = found(profile, ports, interfaces);
            let scans = || findings.iter().filter(|it| it.query.id() == "port-scan");
            assert!(scans().next().is_some(), "{interfaces:?}");
            for finding in scans() {
                assert_eq!(finding.interfaces, expected, "{}", finding.query.id());
            }
        }
    }
}

#[test]
fn an_attempt_is_on_the_first_of_its_interfaces_by_name() {
    for order in [["eth1", "eth0"], ["eth0", "eth1"]] {
        let mut pipeline = Pipeline::new(settings(plain(defaults(Profile::Outcomes))));
        let interval = at(Duration::from_secs(7200));
        for interface in order {
            for port in 1000..1060 {
                let key = key(Signal::Syn, REMOTE, Address::v4(LOCAL), port, 0);
                let key = RowKey {
                    interface: Name::new(interface),
                    ..RowKey::unpack(&key).expect("a signal")
                };
                let row = Row {
                    device: "web1",
                    ..Row::bare(key, 1, interval.to)
                };
                pipeline.push(&row, interval);
            }
        }
        pipeline.end_poll_unlimited(interval, false);
        let later = at(Duration::from_secs(7202));
        let findings = pipeline.end_poll_unlimited(later, false);
        assert!(!findings.is_empty());
        for finding in findings {
            assert_eq!(finding.interfaces, ["eth0"], "{}", finding.query.id());
        }
    }
}

/// A user's rules filter and group by the columns.
#[test]
fn rules_read_the_places() {
    // (condition, columns to group by, whether a finding follows)
    for (condition, by, expected) in [
        ("InterfaceName == 'eth1'", "RemoteIP", true),
        ("InterfaceName == 'eth0'", "RemoteIP", false),
        ("NetworkNamespace == 'blue'", "RemoteIP", true),
        ("isempty(NetworkNamespace)", "RemoteIP", false),
        ("LocalPort > 0", "RemoteIP, InterfaceName", true),
        ("LocalPort > 0", "NetworkNamespace", true),
    ] {
        let text = format!(
            "// id: there\nDeviceNetworkEvents | where {condition} | summarize n = count() by {by} | where n > 20"
        );
        let mut pipeline = pipeline_of(&text, DEFAULT_MEMORY);
        let interval = at(Duration::from_secs(7200));
        let key = key(Signal::Syn, REMOTE, Address::v4(LOCAL), 1000, 0);
        let row = Row {
            device: "web1",
            ..Row::bare(
                RowKey {
                    interface: Name::new("eth1"),
                    netns: Name::new("blue"),
                    ..RowKey::unpack(&key).expect("a signal")
                },
                21,
                interval.to,
            )
        };
        pipeline.push(&row, interval);
        let findings = pipeline.end_poll_unlimited(interval, false);
        assert_eq!(!findings.is_empty(), expected, "{text}");
        for finding in findings {
            assert_eq!(finding.netns, ["blue"], "{text}");
        }
    }
}
