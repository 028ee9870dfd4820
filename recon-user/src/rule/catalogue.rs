//! The catalogue: the detections that are there by themselves, as KQL.
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
//!   hundreds of name servers. It is of low severity: a mail relay, a web proxy and a browser reach for as many remotes. Pings have no
//!   port, so that they are a rule of their own.
//! - `scan-then-connect`: the one who scanned found what it looked for.
//! - `split-scan`: `port-scan` by the network, for those who share one scan among neighbours. It is of less severity, since neighbours may have
//!   nothing to do with each other: customers of one provider, or of one address translator.
//! - Floods from many sources, by whom they are sent to: 10,000 in a minute are twenty times `syn-flood`'s threshold in a sixtieth of its
//!   time. How sure they are differs: handshakes that do not come to an end and 167 pings a second are nobody's business (medium), a receiver
//!   of logs or metrics gets as many datagrams (low), and a name server as many queries (informational).
//!
//! `split-scan` and the floods count sources, and one of them what was accepted, in aggregates beside the measure, which take more time than
//! it does: of no other rule that is there by itself is that so.

use crate::kql::{Loader, Plan};

/// ATT&CK's names for what a rule detects: an id and a name each. A name that is not known is empty.
#[derive(Clone, Copy, Debug)]
pub struct Technique<'a> {
    /// `threat.tactic`
    pub tactic: Option<[&'static str; 2]>,
    /// `threat.technique`
    pub technique: [&'a str; 2],
    /// `threat.technique.subtechnique`
    pub subtechnique: Option<[&'a str; 2]>,
}

const RECONNAISSANCE: [&str; 2] = ["TA0043", "Reconnaissance"];
const DISCOVERY: [&str; 2] = ["TA0007", "Discovery"];
const IMPACT: [&str; 2] = ["TA0040", "Impact"];
/// Techniques that rules on network events are about, with their tactics.
const TECHNIQUES: [([&str; 2], [&str; 2]); 3] = [
    (["T1595", "Active Scanning"], RECONNAISSANCE),
    (["T1046", "Network Service Discovery"], DISCOVERY),
    (["T1498", "Network Denial of Service"], IMPACT),
];
const SUBTECHNIQUES: [[&str; 2]; 4] = [
    ["T1595.001", "Scanning IP Blocks"],
    ["T1595.002", "Vulnerability Scanning"],
    ["T1595.003", "Wordlist Scanning"],
    ["T1498.001", "Direct Network Flood"],
];
/// That of a rule which names none: the one that the source is about.
const DEFAULT: &str = "T1595.001";

impl<'a> Technique<'a> {
    /// What is known of the technique of that id, such as `T1595.001`.
    #[must_use]
    pub fn of(id: Option<&'a str>) -> Self {
        let id = id.unwrap_or(DEFAULT);
        let whole = id.split('.').next().unwrap_or(id);
        let known = TECHNIQUES.iter().find(|([known, _], _)| *known == whole);
        let name = |[known, name]: &[&'static str; 2]| (*known == id).then_some(*name);
        Self {
            tactic: known.map(|(_, tactic)| *tactic),
            technique: [whole, known.map_or("", |([_, name], _)| name)],
            subtechnique: (whole != id).then(|| {
                let name = SUBTECHNIQUES.iter().find_map(name);
                [id, name.unwrap_or_default()]
            }),
        }
    }
}

/// The files, by their names.
const FILES: [(&str, &str); 4] = [
    ("inbound.kql", include_str!("default/inbound.kql")),
    ("outbound.kql", include_str!("default/outbound.kql")),
    ("beyond.kql", include_str!("default/beyond.kql")),
    ("floods.kql", include_str!("default/floods.kql")),
];

/// The detections. A rule comes after the one that it is `after`.
#[must_use]
pub fn defaults() -> Vec<Plan> {
    let mut loader = Loader::default();
    FILES
        .iter()
        .flat_map(|(name, text)| loader.load(name, text.as_bytes()).plans)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kql::Severity;
    use crate::rule::Configured;
    use crate::stream::{KeyColumn, Measure, ProcessFilter, Query};

    fn rules() -> Vec<Query> {
        let plans = defaults().into_iter();
        plans
            .map(|plan| Query::new(Configured::plain(plan)))
            .collect()
    }

    /// Whether it is about all sources together.
    fn is_flood(rule: &Query) -> bool {
        rule.id().ends_with("-flood-distributed")
    }

    #[test]
    fn files_are_without_a_mistake() {
        let mut loader = Loader::default();
        for (name, text) in FILES {
            let loaded = loader.load(name, text.as_bytes());
            let told = loaded.diagnostics.render(&loaded.source);
            assert_eq!(told, "", "{name}");
        }
    }

    #[test]
    fn thresholds_are_the_sources() {
        use Measure::{Count, DistinctAddresses, DistinctPorts, DistinctRemotes};
        use Severity::{High, Informational, Low, Medium};
        let found: Vec<_> = rules()
            .iter()
            .map(|rule| {
                let id = rule.id().to_owned();
                (id, rule.measure, rule.threshold(), rule.severity())
            })
            .collect();
        let expected = [
            ("port-scan", DistinctPorts, 20, High),
            ("port-scan", Count, 20, Informational),
            ("rapid-scan", Count, 50, Low),
            ("common-ports", Count, 10, Informational),
            ("failed-connections", Count, 100, Medium),
            ("icmp-sweep", Count, 50, Low),
            ("icmp-sweep", DistinctAddresses, 50, Medium),
            ("smb-scan", Count, 10, Medium),
            ("http-flood", Count, 100, Informational),
            ("http-flood", Count, 100, Low),
            ("dns-flood", Count, 200, Low),
            ("syn-flood", Count, 500, Medium),
            ("outbound-scan-tool", Count, 0, High),
            ("failed-connections", Count, 100, Medium),
            ("dns-flood", Count, 200, Informational),
            ("address-sweep", DistinctAddresses, 50, Medium),
            ("outbound-port-scan", DistinctPorts, 20, Medium),
            ("outbound-sweep", DistinctRemotes, 100, Low),
            ("outbound-sweep", DistinctRemotes, 100, Low),
            ("scan-then-connect", Count, 0, High),
            ("split-scan", DistinctPorts, 20, Medium),
            ("syn-flood-distributed", Count, 10_000, Medium),
            ("udp-flood-distributed", Count, 10_000, Low),
            ("icmp-flood-distributed", Count, 10_000, Medium),
            ("dns-flood-distributed", Count, 10_000, Informational),
        ];
        let expected = expected
            .map(|(id, measure, above, severity)| (id.to_owned(), measure, above, severity));
        assert_eq!(found, expected);
        for rule in rules() {
            let id = rule.id();
            let is_short = id == "rapid-scan" || is_flood(&rule);
            let seconds = if is_short { 60 } else { 3600 };
            assert_eq!(rule.window(), Duration::from_secs(seconds), "{id}");
            let is_of_all = id == "common-ports" || is_flood(&rule);
            assert_eq!(rule.filter.only_public, !is_of_all, "{id}");
            assert_eq!(rule.filter.needs_remote, !is_flood(&rule), "{id}");
        }
    }

    #[test]
    fn every_rule_has_one_direction_and_somebody_to_name() {
        for rule in rules() {
            let id = rule.id();
            let is_outbound = |signal: recon_common::Signal| signal.is_outbound();
            let signals = rule.filter.signals;
            assert!(signals.iter().count() > 0, "{id}: no signals");
            assert!(
                signals.iter().all(is_outbound) || !signals.iter().any(is_outbound),
                "{id}: mixed directions"
            );
            let names_sources = rule.key.has(KeyColumn::Network) || is_flood(&rule);
            assert!(
                rule.key.has(KeyColumn::Remote) || rule.key.has(KeyColumn::Pid) || names_sources,
                "{id}: nobody to name"
            );
            assert!(rule.key.computed.is_empty(), "{id}: groups take time");
            let kept = match id {
                // How many were accepted, and from how many sources.
                "syn-flood-distributed" => 2,
                _ => usize::from(names_sources),
            };
            assert_eq!(rule.others.len(), kept, "{id}: aggregates take time");
            assert!(
                rule.filter.conditions.is_empty(),
                "{id}: conditions take time"
            );
            assert!(!rule.needs_process(), "{id}: looks processes up");
            // One event is enough only where something else says that it is one too many.
            assert!(
                rule.threshold() > 0
                    || rule.filter.processes == ProcessFilter::Tools
                    || rule.after().is_some(),
                "{id}: fires at everything"
            );
        }
    }

    #[test]
    fn a_rule_is_in_force_wherever_another_comes_after_it() {
        let rules = rules();
        for (position, rule) in rules.iter().enumerate() {
            let Some(id) = rule.after().or(rule.unless()) else {
                continue;
            };
            let before = rules[..position]
                .iter()
                .find(|before| before.id() == id && before.reports_scanners())
                .expect("a rule of that id counts ports, and stands before");
            assert!(rule.severity() <= before.severity(), "{id}");
        }
    }

    #[test]
    fn techniques_have_names_as_far_as_they_are_known() {
        let active = ["T1595", "Active Scanning"];
        for (id, tactic, technique, subtechnique) in [
            (
                None,
                Some(RECONNAISSANCE),
                active,
                Some(["T1595.001", "Scanning IP Blocks"]),
            ),
            (Some("T1595"), Some(RECONNAISSANCE), active, None),
            (
                Some("T1595.002"),
                Some(RECONNAISSANCE),
                active,
                Some(["T1595.002", "Vulnerability Scanning"]),
            ),
            (
                Some("T1046"),
                Some(DISCOVERY),
                ["T1046", "Network Service Discovery"],
                None,
            ),
            (
                Some("T1498.001"),
                Some(IMPACT),
                ["T1498", "Network Denial of Service"],
                Some(["T1498.001", "Direct Network Flood"]),
            ),
            (
                Some("T1071.004"),
                None,
                ["T1071", ""],
                Some(["T1071.004", ""]),
            ),
        ] {
            let found = Technique::of(id);
            let found = (found.tactic, found.technique, found.subtechnique);
            assert_eq!(found, (tactic, technique, subtechnique), "{id:?}");
        }
    }
}
