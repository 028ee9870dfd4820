//! What a query derives from its conditions before it sees a row.

use super::*;
use crate::kql::Loader;

fn query(text: &str) -> Query {
    let text = format!("DeviceNetworkEvents\n{text}");
    let mut loaded = Loader::default().load("test.kql", text.as_bytes());
    assert_eq!(loaded.plans.len(), 1, "{text}: {:?}", loaded.diagnostics);
    Query::new(Configured::plain(loaded.plans.swap_remove(0)))
}

/// A query with the given condition.
fn with(condition: &str) -> Query {
    query(&format!(
        "| where {condition}\n| summarize n = count() by RemoteIP\n| where n > 1"
    ))
}

fn names(query: &Query) -> Vec<&'static str> {
    query.filter.signals.iter().map(Signal::name).collect()
}

#[test]
fn signals_are_those_whose_rows_can_count() {
    for (condition, expected) in [
        ("ActionType == 'SYN'", &["syn"][..]),
        ("ActionType =~ 'syn'", &["syn"]),
        (
            "ActionType == 'HttpGet' or ActionType == 'SYN'",
            &["syn", "http-get"],
        ),
        ("Protocol == 'ICMP'", &["echo-request", "echo-request-sent"]),
        (
            "Protocol == 'ICMP' and ActionType != 'EchoSent'",
            &["echo-request"],
        ),
        (
            "ActionType == 'Query' and RemotePort == 53",
            &["dns-query-sent", "dns-query-sent"],
        ),
        (
            "ActionType == 'Query' and LocalPort == 53",
            &["dns-query", "dns-query"],
        ),
        (
            "ActionType == 'ConnectionFailed' and isnull(LocalPort)",
            &["connect-failed"],
        ),
        (
            "ActionType == 'ConnectionFailed'",
            &["refused-reset", "refused-icmp", "connect-failed"],
        ),
        (
            "ActionType == 'ConnectionSuccess' and LocalPort == 80",
            &["accepted"],
        ),
        ("ActionType == 'PortAnswered'", &[]),
        (
            "ActionType == 'SYN' and InitiatingProcessFileName == 'nmap'",
            &[],
        ),
        (
            "InitiatingProcessFileName has 'nmap' and Protocol == 'Tcp'",
            &[
                "dns-query-sent",
                "syn-sent",
                "odd-flags-sent",
                "connect-failed",
            ],
        ),
    ] {
        assert_eq!(names(&with(condition)), expected, "{condition}");
    }
}

#[test]
fn ports_and_processes_are_derived_from_conditions() {
    use ProcessFilter::{Any, Known, Tools};
    // (condition, ports, processes, needs the process and the tool, only public remotes, conditions
    // left)
    for (condition, ports, processes, needs, only_public, left) in [
        (
            "LocalPort == 445",
            &[445][..],
            Any,
            [false, false],
            false,
            0,
        ),
        (
            "LocalPort in (80, 22, 80)",
            &[22, 80],
            Any,
            [false, false],
            false,
            0,
        ),
        ("LocalPort > 80", &[], Any, [false, false], false, 1),
        (
            "LocalPort in (22, 99999)",
            &[],
            Any,
            [false, false],
            false,
            1,
        ),
        (
            "LocalPort == 22 or RemotePort == 22",
            &[],
            Any,
            [false, false],
            false,
            1,
        ),
        (
            "InitiatingProcessIsScanner",
            &[],
            Tools,
            [false, true],
            false,
            0,
        ),
        (
            "InitiatingProcessIsScanner == true",
            &[],
            Tools,
            [false, true],
            false,
            0,
        ),
        (
            "not(InitiatingProcessIsScanner)",
            &[],
            Any,
            [false, true],
            false,
            1,
        ),
        (
            "InitiatingProcessFileName == 'nc'",
            &[],
            Known,
            [true, false],
            false,
            1,
        ),
        (
            "InitiatingProcessFileName != 'nc'",
            &[],
            Any,
            [true, false],
            false,
            1,
        ),
        (
            "InitiatingProcessId > 1",
            &[],
            Known,
            [false, false],
            false,
            1,
        ),
        (
            "RemoteIPType == 'Public'",
            &[],
            Any,
            [false, false],
            true,
            0,
        ),
        (
            "RemoteIP !startswith '10.'",
            &[],
            Any,
            [false, false],
            false,
            1,
        ),
        (
            "RemoteIP startswith '198.' and LocalPort == 1",
            &[1],
            Any,
            [false, false],
            false,
            1,
        ),
    ] {
        let query = with(condition);
        assert_eq!(query.filter.ports, ports, "{condition}");
        assert_eq!(query.filter.processes, processes, "{condition}");
        assert_eq!(
            [query.needs_process(), query.needs_tool()],
            needs,
            "{condition}"
        );
        assert_eq!(query.filter.only_public, only_public, "{condition}");
        assert_eq!(query.filter.conditions.len(), left, "{condition}");
    }
}

#[test]
fn include_private_drops_every_exclusion_of_private_remotes() {
    for condition in [
        "RemoteIPType == 'Public'",
        "not(ipv4_is_private(RemoteIP))",
        "RemoteIP !startswith '10.' and RemoteIP !startswith '192.168.' and RemoteIP !startswith '172.16.'",
    ] {
        let mut rule = with(condition).rule;
        rule.include_private = true;
        let query = Query::new(rule);
        assert!(
            !query.filter.only_public && query.filter.conditions.is_empty(),
            "{condition}"
        );
    }
}

#[test]
fn countif_on_the_signal_is_measured_like_count() {
    // (aggregate, measure, measured signals)
    for (aggregate, measure, measured) in [
        ("countif(ActionType == 'SYN')", Measure::Count, &["syn"][..]),
        (
            "countif(Protocol == 'Tcp' and isnotnull(LocalPort))",
            Measure::Count,
            &["syn", "dns-query"],
        ),
        (
            "countif(LocalPort == 22)",
            Measure::Other,
            &["syn", "dns-query", "dns-query"],
        ),
    ] {
        let query = query(&format!(
            "| where ActionType == 'SYN' or ActionType == 'Query' and isnotnull(LocalPort)\n| summarize n = {aggregate}, all = count() by RemoteIP\n| where n > 1"
        ));
        let names: Vec<_> = query.measured.signals.iter().map(Signal::name).collect();
        assert_eq!(
            (query.measure, &names[..]),
            (measure, measured),
            "{aggregate}"
        );
    }
}

#[test]
fn a_query_needs_a_remote_if_it_reads_a_property_of_remotes() {
    for (text, expected) in [
        ("| summarize n = count() by LocalIP", false),
        ("| summarize n = count() by RemoteIP", true),
        ("| summarize n = count() by RemoteNetwork", true),
        (
            "| where RemoteIPType == 'Public' | summarize n = count() by LocalIP",
            true,
        ),
        (
            "| where RemoteIPType != 'Private' | summarize n = count() by LocalIP",
            false,
        ),
    ] {
        for include_private in [false, true] {
            let mut rule = query(&format!("{text} | where n > 1")).rule;
            rule.include_private = include_private;
            assert_eq!(Query::new(rule).filter.needs_remote, expected, "{text}");
        }
    }
}

#[test]
fn rows_without_the_counted_port_are_not_measured() {
    // (aggregates, whether the rule counts rows without a local port, whether the measure does)
    for (aggregates, in_rule, in_measure) in [
        ("n = dcount(LocalPort)", false, false),
        ("n = dcount(LocalPort), all = count()", true, false),
        ("n = count()", true, true),
        ("n = dcount(LocalIP)", true, true),
    ] {
        let query = query(&format!(
            "| summarize {aggregates} by RemoteIP\n| where n > 1"
        ));
        for signal in [Signal::SynSent, Signal::EchoRequest] {
            assert_eq!(
                query.filter.signals.contains(signal),
                in_rule,
                "{aggregates}"
            );
            assert_eq!(
                query.measured.signals.contains(signal),
                in_measure,
                "{aggregates}"
            );
        }
        assert!(query.measured.signals.contains(Signal::Syn), "{aggregates}");
    }
}
