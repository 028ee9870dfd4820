//! The catalogue: the detections, one table of data.
//!
//! The source is ten KQL queries over `DeviceNetworkEvents` for ATT&CK TA0043, T1595.001. Where a query's stated purpose asks for
//! something else than it literally counts, both are here under one id and an alert's `recon.measure` says which fired.
//! `bin(TimeGenerated, 1h)` is the only window in the source, so an hour is the window of all but the rule for 'a short
//! time span'. Detection 4, 5's outbound half and 8's accepted connections need the socket hooks and are not here yet.
//!
//! Beyond the ten: `icmp-sweep` by distinct addresses (its purpose says 'across multiple IP addresses', its query counts the pings of
//! one), and `address-sweep`, the same for port hits. 50 is `icmp-sweep`'s own threshold: a client of one host's many
//! addresses seldom needs as many.

use std::time::Duration;

use recon_common::Signal;

use super::{GroupBy, Measure, Rule, Severity, SignalSet};

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

const BY_REMOTE: GroupBy = GroupBy {
    local: false,
    port: false,
};
const BY_REMOTE_LOCAL: GroupBy = GroupBy {
    local: true,
    port: false,
};
const BY_REMOTE_PORT: GroupBy = GroupBy {
    local: false,
    port: true,
};
const BY_ALL: GroupBy = GroupBy {
    local: true,
    port: true,
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
    by: BY_REMOTE_LOCAL,
    measure: Measure::Count,
    threshold: 0,
    window: HOUR,
};

/// The detections in force.
pub const CATALOGUE: &[Rule] = &[
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
        by: BY_ALL,
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
    // 5
    Rule {
        id: "failed-connections",
        name: "Multiple failed connection attempts",
        signals: SignalSet::of(&[Signal::RefusedTcp, Signal::RefusedIcmp]),
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
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_whole_and_its_direction_is_one() {
        for rule in CATALOGUE {
            assert!(!rule.id.is_empty() && !rule.name.is_empty(), "{rule:?}");
            assert!(rule.threshold > 0, "{}", rule.id);
            let outbound = rule
                .signals
                .iter()
                .filter(|signal| signal.is_outbound())
                .count();
            assert!(
                outbound == 0 || outbound == rule.signals.iter().count(),
                "{}: mixed directions",
                rule.id
            );
            assert!(rule.signals.iter().count() > 0, "{}: no signals", rule.id);
        }
    }
}
