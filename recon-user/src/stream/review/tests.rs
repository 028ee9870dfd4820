//! What is said of conditions that no row meets, and that nothing is said of others.

use crate::kql::Loader;
use crate::rule::{Profile, defaults};
use crate::stream::review;

use super::doubts;

/// The messages about a query, with the part of it that they are about.
fn said(text: &str) -> Vec<String> {
    let mut loaded = Loader::default().load("test.kql", text.as_bytes());
    assert_eq!(loaded.plans.len(), 1, "{text}: {:?}", loaded.diagnostics);
    let doubts = doubts(&loaded.plans[0], &loaded.diagnostics);
    review(&mut loaded);
    let errors = doubts.iter().filter(|doubt| doubt.is_hopeless).count();
    assert_eq!(loaded.diagnostics.errors(), errors, "{text}");
    let line = |doubt: &super::Doubt| {
        let level = match doubt.is_hopeless {
            true => "error",
            false => "warning",
        };
        let hint = doubt.hint.as_ref().map(|hint| format!(" ({hint})"));
        let place = &text[doubt.place.start..doubt.place.end];
        let hint = hint.unwrap_or_default();
        format!("{level} at `{place}`: {}{hint}", doubt.message)
    };
    doubts.iter().map(line).collect()
}

/// A rule on rows that meet `condition`.
fn of(table: &str, condition: &str) -> String {
    format!("{table} | where {condition} | summarize n = count() by RemoteIP | where n > 1")
}

#[test]
fn conditions_that_no_row_meets_are_errors() {
    const SENT: &str = "what this host sends has RemotePort and no LocalPort";
    for (condition, expected) in [
        (
            "ActionType == \"Syn\"",
            "error at `ActionType == \"Syn\"`: ActionType is never \"Syn\" (did you mean `SYN`?)",
        ),
        (
            "ActionType in (\"InboundConnectionAccepted\")",
            "error at `ActionType in (\"InboundConnectionAccepted\")`: ActionType is never \"InboundConnectionAccepted\" (it is one of SYN, NullProbe, FinProbe, XmasProbe, MaimonProbe, OddProbe, FragmentProbe, Datagram, ...)",
        ),
        (
            "Protocol == 'TCP'",
            "error at `Protocol == 'TCP'`: Protocol is never \"TCP\" (did you mean `Tcp`?)",
        ),
        (
            "RemoteIPType == 'public'",
            "error at `RemoteIPType == 'public'`: RemoteIPType is never \"public\" (did you mean `Public`?)",
        ),
        (
            "RemoteVerdict == 'hostile'",
            "error at `RemoteVerdict == 'hostile'`: RemoteVerdict is never \"hostile\" (it is one of client, undecided, scanner)",
        ),
        (
            "RemoteTool has 'nmapp'",
            "error at `RemoteTool has 'nmapp'`: no RemoteTool is like this",
        ),
        (
            "LocalPort == 99999",
            "error at `LocalPort == 99999`: no port is 99999 (a port is from 0 to 65535)",
        ),
        (
            "99999 == RemotePort",
            "error at `99999 == RemotePort`: no port is 99999 (a port is from 0 to 65535)",
        ),
        (
            "LocalPort > 65535",
            "error at `LocalPort > 65535`: no row meets this condition",
        ),
        (
            "LocalPort between (30 .. 20)",
            "error at `LocalPort between (30 .. 20)`: no row meets this condition",
        ),
        (
            "ActionType == 'Attempt'",
            "error at `ActionType == 'Attempt'`: ActionType is never \"Attempt\" (rows of ReconEvents have it)",
        ),
        (
            "LocalPort == 22 and LocalPort == 23",
            "error at `LocalPort == 23`: no row that meets the conditions before this one meets it too",
        ),
        (
            "LocalPort < 1024 | where LocalPort > 2000",
            "error at `LocalPort > 2000`: no row that meets the conditions before this one meets it too",
        ),
        (
            "ActionType == 'SYN' and Protocol == 'Udp'",
            "error at `Protocol == 'Udp'`: no row that meets the conditions before this one meets it too",
        ),
        (
            "ActionType == 'ConnectionRequest' and LocalPort == 22",
            &format!(
                "error at `LocalPort == 22`: no row that meets the conditions before this one meets it too ({SENT})"
            ),
        ),
        (
            "ActionType == 'SYN' and RemotePort == 22",
            "error at `RemotePort == 22`: no row that meets the conditions before this one meets it too (what remotes send has LocalPort and no RemotePort)",
        ),
        (
            "ActionType == 'SYN' and InitiatingProcessFileName == 'nmap'",
            "error at `InitiatingProcessFileName == 'nmap'`: no row that meets the conditions before this one meets it too (only what this host sends has a process)",
        ),
        (
            "RemoteIP == '198.51.100.0/24'",
            "warning at `RemoteIP == '198.51.100.0/24'`: RemoteIP is never \"198.51.100.0/24\" (write ipv4_is_in_range(RemoteIP, \"198.51.100.0/24\"))",
        ),
        (
            "RemoteIP in ('2001:DB8::1', '198.51.100.1')",
            "warning at `RemoteIP in ('2001:DB8::1', '198.51.100.1')`: RemoteIP is never \"2001:DB8::1\" (write \"2001:db8::1\")",
        ),
        (
            "ActionType in ('SYN', 'Sym')",
            "warning at `ActionType in ('SYN', 'Sym')`: ActionType is never \"Sym\" (did you mean `SYN`?)",
        ),
        (
            "ActionType != 'Syn'",
            "warning at `ActionType != 'Syn'`: ActionType is never \"Syn\" (did you mean `SYN`?)",
        ),
        (
            "LocalPort in (22, 70000)",
            "warning at `LocalPort in (22, 70000)`: no port is 70000 (a port is from 0 to 65535)",
        ),
    ] {
        let expected = [expected.to_owned()];
        assert_eq!(said(&of("DeviceNetworkEvents", condition)), expected);
    }
}

#[test]
fn groups_that_cannot_be_are_errors() {
    const TOGETHER: &str = "no group that meets the conditions before this one meets it too";
    for (query, expected) in [
        (
            "summarize n = dcount(LocalPort) by RemoteIP | where n > 65536",
            "error at `n > 65536`: no group meets this condition (there are only 65536 ports)"
                .to_owned(),
        ),
        (
            "summarize n = count() by RemoteIP | where n > 20 | where n < 10",
            format!("error at `n < 10`: {TOGETHER}"),
        ),
        (
            "summarize n = count(), m = dcount(LocalIP) by RemoteIP | where n > 20 and m < 1 and m > 3",
            format!("error at `m > 3`: {TOGETHER}"),
        ),
        (
            "where ActionType == 'SYN' | summarize n = count() by RemoteIP, RemotePort | where n > 1",
            "error at `DeviceNetworkEvents`: no row that meets the conditions has all columns that the query groups by (what remotes send has LocalPort; what this host sends has RemotePort and a process)".to_owned(),
        ),
        (
            "where ActionType == 'SYN' | summarize n = dcount(RemotePort) by RemoteIP | where n > 1",
            "error at `DeviceNetworkEvents`: no row that meets the conditions counts in what the threshold is compared with (what remotes send has LocalPort; what this host sends has RemotePort and a process)".to_owned(),
        ),
    ] {
        assert_eq!(said(&format!("DeviceNetworkEvents | {query}")), [expected]);
    }
}

#[test]
fn conditions_that_may_hold_are_not_doubted() {
    for (table, condition) in [
        ("DeviceNetworkEvents", "LocalPort == 65535"),
        (
            "DeviceNetworkEvents",
            "LocalPort between (20 .. 30) and LocalPort != 22",
        ),
        ("DeviceNetworkEvents", "LocalPort == 22 or RemotePort == 22"),
        (
            "DeviceNetworkEvents",
            "LocalPort % 1000 == 999 and LocalPort > 60000",
        ),
        ("DeviceNetworkEvents", "tolower(ActionType) == 'syn'"),
        ("DeviceNetworkEvents", "ActionType =~ 'syn'"),
        ("DeviceNetworkEvents", "ActionType in~ ('syn', 'datagram')"),
        ("DeviceNetworkEvents", "ActionType endswith 'probe'"),
        (
            "DeviceNetworkEvents",
            "RemoteIP == '' or RemoteIP startswith '10.'",
        ),
        (
            "DeviceNetworkEvents",
            "RemoteNetwork in ('198.51.100.0/24', '2001:db8::/64')",
        ),
        (
            "DeviceNetworkEvents",
            "InitiatingProcessFileName == 'nmap' and RemotePort == 22",
        ),
        ("DeviceNetworkEvents", "isempty(InitiatingProcessFileName)"),
        ("DeviceNetworkEvents", "Count > 1000000"),
        (
            "ReconEvents",
            "BytesReceived < 8192 and ConnectionSeconds >= 30",
        ),
        (
            "ReconEvents",
            "Outcome in ('refused', 'ignored') and LocalPort == 22",
        ),
        ("ReconEvents", "RemoteProven and RemoteVerdict != 'client'"),
    ] {
        assert_eq!(said(&of(table, condition)), [""; 0], "{condition}");
    }
}

#[test]
fn the_built_in_rules_are_not_doubted() {
    for profile in [Profile::Outcomes, Profile::Source] {
        for plan in defaults(profile) {
            let mut loaded = Loader::default().load("none.kql", b"ReconEvents");
            loaded.plans = vec![plan];
            assert_eq!(doubts(&loaded.plans[0], &loaded.diagnostics), []);
        }
    }
}
