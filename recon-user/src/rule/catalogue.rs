//! The catalogue: the detections, one table of data.
//!
//! The source is ten KQL queries over `DeviceNetworkEvents` for ATT&CK TA0043, T1595.001. Where a query's stated purpose asks for
//! something else than it literally counts, both are here under one id and an alert's `recon.measure` says which fired.
//! `bin(TimeGenerated, 1h)` is the only window in the source, so an hour is the window of all but the rule for 'a short
//! time span'. One departure: 5's outbound half is by remote alone, where the query has the local address too. A connection that fails
//! before its first packet has none, and belongs with the others to that remote; a host has one address towards most remotes anyway.
//!
//! Beyond the ten:
//! - `icmp-sweep` by distinct addresses (its purpose says 'across multiple IP addresses', its query counts the pings of one), and
//!   `address-sweep`, the same for port hits. 50 is `icmp-sweep`'s own threshold: a client of one host's many addresses seldom needs
//!   as many.
//! - `outbound-port-scan`, `port-scan` the other way round, with its threshold. It is not of high severity: a traceroute over UDP and a
//!   client of passive FTP reach for as many ports.
//! - `outbound-sweep`: a worm's or a scanner's search for one service. DNS queries do not count, since a resolver that iterates asks
//!   hundreds of name servers. It is of low severity: a mail relay, a web proxy and a browser reach for as many remotes.
//! - `scan-then-connect`: the one who scanned found what it looked for.

use std::time::Duration;

use recon_common::Signal;

use super::{GroupBy, Measure, Processes, Rule, Severity, SignalSet};

/// ATT&CK's names for what all of them detect.
pub struct Technique {
    /// `threat.tactic.id` and `.name`.
    pub tactic: [&'static str; 2],
    /// `threat.technique.id` and `.name`.
    pub technique: [&'static str; 2],
    /// `threat.technique.subtechnique.id` and `.name`.
    pub subtechnique: [&'static str; 2],
}

/// The one sub-technique that the source names.
pub const TECHNIQUE: Technique = Technique {
    tactic: ["TA0043", "Reconnaissance"],
    technique: ["T1595", "Active Scanning"],
    subtechnique: ["T1595.001", "Scanning IP Blocks"],
};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

const BY_NOTHING: GroupBy = GroupBy {
    remote: false,
    local: false,
    port: false,
    process: false,
};
const BY_REMOTE: GroupBy = GroupBy {
    remote: true,
    ..BY_NOTHING
};
const BY_REMOTE_LOCAL: GroupBy = GroupBy {
    local: true,
    ..BY_REMOTE
};
const BY_REMOTE_PORT: GroupBy = GroupBy {
    port: true,
    ..BY_REMOTE
};
const BY_REMOTE_LOCAL_PORT: GroupBy = GroupBy {
    port: true,
    ..BY_REMOTE_LOCAL
};
const BY_PROCESS_REMOTE: GroupBy = GroupBy {
    process: true,
    ..BY_REMOTE
};
const BY_PROCESS_PORT: GroupBy = GroupBy {
    process: true,
    port: true,
    ..BY_NOTHING
};

const HITS: SignalSet = SignalSet::of(Signal::HITS);

/// What most rules have in common.
const HIT_COUNT: Rule = Rule {
    id: "",
    name: "",
    severity: Severity::Medium,
    signals: HITS,
    ports: &[],
    private_remotes: false,
    processes: Processes::Any,
    by: BY_REMOTE_LOCAL,
    measure: Measure::Count,
    threshold: 0,
    window: HOUR,
    after: None,
};

/// The detections in force.
pub static CATALOGUE: &[Rule] = &[
    // 1
    Rule {
        id: "port-scan",
        name: "Multiple ports scanned from a single IP",
        severity: Severity::High,
        by: BY_REMOTE,
        measure: Measure::DistinctPorts,
        threshold: 20,
        ..HIT_COUNT
    },
    Rule {
        id: "port-scan",
        name: "One port hit many times from a single IP",
        severity: Severity::Informational,
        by: BY_REMOTE_PORT,
        threshold: 20,
        ..HIT_COUNT
    },
    // 2
    Rule {
        id: "rapid-scan",
        name: "Rapid scanning behaviour",
        severity: Severity::Low,
        by: BY_REMOTE_LOCAL_PORT,
        threshold: 50,
        window: MINUTE,
        ..HIT_COUNT
    },
    // 3
    Rule {
        id: "common-ports",
        name: "Scanning of commonly targeted ports",
        severity: Severity::Informational,
        ports: &[22, 23, 80, 443, 3389],
        private_remotes: true,
        threshold: 10,
        ..HIT_COUNT
    },
    // 4
    Rule {
        id: "outbound-scan-tool",
        name: "Outbound traffic of a known scanning tool",
        severity: Severity::High,
        signals: SignalSet::of(&[
            Signal::SynSent,
            Signal::ProbeSent,
            Signal::DatagramSent,
            Signal::EchoSent,
            Signal::DnsSentUdp,
            Signal::DnsSentTcp,
        ]),
        processes: Processes::Tools,
        by: BY_PROCESS_REMOTE,
        ..HIT_COUNT
    },
    // 5
    Rule {
        id: "failed-connections",
        name: "Multiple failed connection attempts",
        signals: SignalSet::of(&[Signal::RefusedTcp, Signal::RefusedIcmp]),
        threshold: 100,
        ..HIT_COUNT
    },
    Rule {
        id: "failed-connections",
        name: "Multiple failed connections made by this host",
        signals: SignalSet::of(&[Signal::ConnectFailed]),
        by: BY_REMOTE,
        threshold: 100,
        ..HIT_COUNT
    },
    // 6
    Rule {
        id: "icmp-sweep",
        name: "ICMP echo requests",
        severity: Severity::Low,
        signals: SignalSet::of(&[Signal::EchoRequest]),
        threshold: 50,
        ..HIT_COUNT
    },
    Rule {
        id: "icmp-sweep",
        name: "ICMP ping sweep across multiple IP addresses",
        signals: SignalSet::of(&[Signal::EchoRequest]),
        by: BY_REMOTE,
        measure: Measure::DistinctAddresses,
        threshold: 50,
        ..HIT_COUNT
    },
    // 7
    Rule {
        id: "smb-scan",
        name: "Scan for SMB shares",
        ports: &[445],
        threshold: 10,
        ..HIT_COUNT
    },
    // 8
    Rule {
        id: "http-flood",
        name: "HTTP connections from a single IP",
        severity: Severity::Informational,
        signals: SignalSet::of(&[Signal::Accepted]),
        ports: &[80],
        threshold: 100,
        ..HIT_COUNT
    },
    Rule {
        id: "http-flood",
        name: "HTTP GET request flooding",
        severity: Severity::Low,
        signals: SignalSet::of(&[Signal::HttpGet]),
        threshold: 100,
        ..HIT_COUNT
    },
    // 9
    Rule {
        id: "dns-flood",
        name: "DNS query flooding: queries sent to one server",
        severity: Severity::Informational,
        signals: SignalSet::of(&[Signal::DnsSentUdp, Signal::DnsSentTcp]),
        by: BY_REMOTE,
        threshold: 200,
        ..HIT_COUNT
    },
    Rule {
        id: "dns-flood",
        name: "DNS query flooding: queries from one client",
        severity: Severity::Low,
        signals: SignalSet::of(&[Signal::DnsQueryUdp, Signal::DnsQueryTcp]),
        by: BY_REMOTE,
        threshold: 200,
        ..HIT_COUNT
    },
    // 10
    Rule {
        id: "syn-flood",
        name: "High number of SYN packets",
        signals: SignalSet::of(&[Signal::Syn]),
        by: BY_REMOTE,
        threshold: 500,
        ..HIT_COUNT
    },
    // Beyond the ten
    Rule {
        id: "address-sweep",
        name: "Many addresses of this host scanned from a single IP",
        by: BY_REMOTE,
        measure: Measure::DistinctAddresses,
        threshold: 50,
        ..HIT_COUNT
    },
    Rule {
        id: "outbound-port-scan",
        name: "Many ports of one remote reached for by one process",
        signals: SignalSet::of(&[Signal::SynSent, Signal::ProbeSent, Signal::DatagramSent]),
        processes: Processes::Known,
        by: BY_PROCESS_REMOTE,
        measure: Measure::DistinctPorts,
        threshold: 20,
        ..HIT_COUNT
    },
    Rule {
        id: "outbound-sweep",
        name: "Many remotes reached for on one port by one process",
        severity: Severity::Low,
        signals: SignalSet::of(&[
            Signal::SynSent,
            Signal::ProbeSent,
            Signal::DatagramSent,
            Signal::EchoSent,
        ]),
        processes: Processes::Known,
        by: BY_PROCESS_PORT,
        measure: Measure::DistinctRemotes,
        threshold: 100,
        ..HIT_COUNT
    },
    Rule {
        id: "scan-then-connect",
        name: "A source that scanned this host was accepted on a port",
        severity: Severity::High,
        signals: SignalSet::of(&[Signal::Accepted]),
        by: BY_REMOTE_PORT,
        after: Some("port-scan"),
        ..HIT_COUNT
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_whole_and_its_direction_is_one() {
        for rule in CATALOGUE {
            let Rule { id, by, .. } = rule;
            assert!(!id.is_empty() && !rule.name.is_empty(), "{rule:?}");
            assert!(rule.signals.iter().count() > 0, "{id}: no signals");
            assert!(by.remote || by.process, "{id}: nobody to name");
            let outbound = |signal: Signal| signal.is_outbound();
            assert!(
                rule.signals.iter().all(outbound) || !rule.signals.iter().any(outbound),
                "{id}: mixed directions"
            );
            assert!(rule.ports.is_sorted(), "{id}: answers are told by port");
            // One event is enough only where something else says that it is one too many.
            assert!(
                rule.threshold > 0 || rule.processes == Processes::Tools || rule.after.is_some(),
                "{id}: fires at everything"
            );
        }
    }

    #[test]
    fn processes_are_asked_for_where_they_are_known() {
        for rule in CATALOGUE {
            let needs = rule.by.process || rule.processes != Processes::Any;
            assert!(
                !needs || rule.is_outbound(),
                "{}: only outbound signals have a process",
                rule.id
            );
            assert!(
                !rule.by.process || rule.processes != Processes::Any,
                "{}: those that are not known are no group",
                rule.id
            );
        }
    }

    #[test]
    fn a_measure_does_not_count_what_the_group_is_of() {
        for rule in CATALOGUE {
            let is_fixed = match rule.measure {
                Measure::Count => false,
                Measure::DistinctPorts => rule.by.port,
                Measure::DistinctAddresses => rule.by.local,
                Measure::DistinctRemotes => rule.by.remote,
            };
            assert!(!is_fixed, "{}: always one", rule.id);
        }
    }

    #[test]
    fn a_rule_is_in_force_wherever_another_comes_after_it() {
        for rule in CATALOGUE {
            let Some(id) = rule.after else { continue };
            let before = CATALOGUE
                .iter()
                .find(|before| before.id == id && before.measure == Measure::DistinctPorts)
                .expect("a rule of that id counts ports");
            assert_eq!(before.by, BY_REMOTE, "{id}: looked up by remote");
            assert_eq!(before.after, None, "{id}: judged first");
            assert!(rule.severity <= before.severity, "{}", rule.id);
            assert!(before.private_remotes || !rule.private_remotes, "{id}");
        }
    }
}
